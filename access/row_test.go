package access_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
)

func TestRowsCountWhatIsHeldOneAfterTheOther(t *testing.T) {
	noon := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	held := func(from, until time.Duration) access.Grant {
		return access.Grant{State: access.GrantEnded, From: noon.Add(from), Until: noon.Add(until)}
	}
	granted := func(from, until time.Duration) access.Grant {
		g := held(from, until)
		g.State = access.GrantGranted
		return g
	}
	const h = time.Hour
	for name, test := range map[string]struct {
		grants []access.Grant
		room   time.Duration // of 6 hours, at noon
	}{
		"nothing before":            {nil, 6 * h},
		"two before":                {[]access.Grant{held(-4*h, -2*h), held(-2*h, 0)}, 2 * h},
		"in any order, overlapping": {[]access.Grant{held(-2*h, 0), held(-5*h, -h)}, h},
		"it runs still":             {[]access.Grant{granted(-3*h, h)}, 3 * h},
		"a short break":             {[]access.Grant{held(-5*h, -59*time.Minute)}, h},
		"a break":                   {[]access.Grant{held(-5*h, -h)}, 6 * h},
		"all is used":               {[]access.Grant{held(-4*h, 0), held(-6*h, -3*h)}, 0},
		"denied, or withdrawn": {[]access.Grant{{State: access.GrantDenied, From: noon.Add(-4 * h), Until: noon},
			held(-h, -h)}, 6 * h},
		"one for later":              {[]access.Grant{granted(4*h, 8*h)}, 3 * h},
		"one for later that fits":    {[]access.Grant{granted(4*h, 5*h)}, 6 * h},
		"one for later, after a day": {[]access.Grant{granted(24*h, 30*h)}, 6 * h},
		"a row for later":            {[]access.Grant{granted(2*h, 4*h), granted(4*h, 8*h)}, h},
	} {
		require.Equal(t, test.room, access.ConsecutiveRoom(noon, access.Duration(6*h), test.grants), name)
	}
}
