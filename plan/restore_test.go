package plan_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/plan"
	"github.com/castellan-io/castellan/policy"
)

func TestBelievesMembers(t *testing.T) {
	t.Parallel()
	share := policy.Share(20 * policy.Percent)
	for name, c := range map[string]struct {
		had, kept, met, counted int
		want                    bool
	}{
		"nobody is gone":                       {10, 10, 12, 12, true},
		"some are gone, within the limit":      {10, 8, 8, 8, true},
		"more are gone than the limit":         {10, 7, 7, 7, false},
		"replaced by as many others":           {10, 5, 10, 10, false},
		"all are gone of a small group":        {2, 0, 0, 0, false},
		"one is gone whom the count still has": {10, 9, 9, 10, false},
		"the count is lower":                   {10, 9, 9, 8, true},
		"the count is not known":               {10, 9, 9, -1, true},
		"the count alone disagrees":            {10, 10, 10, 11, true},
		"it was not read before":               {0, 0, 9, 9, true},
	} {
		limit := policy.SourceLimit{Share: share, Minimum: 20}
		require.Equal(t, c.want, plan.BelievesMembers(limit, c.had, c.kept, c.met, c.counted), name)
	}
}

func TestReadmissionRefuses(t *testing.T) {
	t.Parallel()
	b, _ := policy.Bind(&policy.Policy{}, access.Outline{Groups: []access.Group{{ID: "g", Name: "Club"}}})
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	active := access.Person{ID: "a", AccountStatus: "active", MembershipStatus: "active"}
	change := func(how func(*access.Person)) access.Person {
		one := active
		how(&one)
		return one
	}
	ruling := access.Ruling{Person: "a", Target: "group:CLUB", Verdict: access.VerdictRemove, At: now.Add(-time.Hour),
		Until: now.Add(time.Hour)}
	for want, c := range map[string]struct {
		person access.Person
		ruling access.Ruling
	}{
		"":                              {person: active},
		"no longer in the organization": {},
		"an app":                        {person: change(func(p *access.Person) { p.AccountType = "app" })},
		"their account is inactive":     {person: change(func(p *access.Person) { p.AccountStatus = "inactive" })},
		"suspended":                     {person: change(func(p *access.Person) { p.MembershipStatus = "suspended" })},
		"no_membership":                 {person: change(func(p *access.Person) { p.MembershipStatus = "no_membership" })},
		"a review decided":              {person: active, ruling: ruling},
	} {
		known := policy.Known{Now: now}
		if c.ruling.Person != "" {
			known.Rulings = []access.Ruling{c.ruling}
		}
		got := plan.Readmission{Bound: b, Group: "Club", Person: c.person, Known: known}.Refuse()
		if want == "" {
			require.Empty(t, got)
		}
		require.Contains(t, got, want)
	}
	known := policy.Known{Now: now.Add(2 * time.Hour), Rulings: []access.Ruling{ruling}}
	require.Empty(t, plan.Readmission{Bound: b, Group: "Club", Person: active, Known: known}.Refuse(),
		"a ruling that is over")
}
