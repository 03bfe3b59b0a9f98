package review_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/review"
)

// asked returns a request of bo's for ana that carol and dan may approve.
func asked() access.Grant {
	return access.Grant{ID: "g1", Person: "id-ana", Email: "ana@acme.example", By: "id-bo", State: access.GrantWaiting,
		Approvers: []string{"id-carol", "id-dan", "id-bo", "id-ana", "eve@acme.example"}, Needs: 1,
		ApprovalDeadline: noon.Add(time.Hour), Duration: access.Duration(2 * time.Hour)}
}

func TestMayDecide(t *testing.T) {
	for name, c := range map[string]struct {
		by          string
		deny        bool
		askerHidden bool
		want        error
	}{
		"an approver":                      {by: "id-carol"},
		"an approver who denies":           {by: "id-carol", deny: true},
		"nobody":                           {by: "", want: review.ErrSelf},
		"for oneself":                      {by: "id-ana", want: review.ErrSelf},
		"who asked for it":                 {by: "id-bo", want: review.ErrSelf},
		"nor do they deny it":              {by: "id-bo", deny: true, want: review.ErrSelf},
		"a stranger":                       {by: "id-eve", want: review.ErrNotApprover},
		"an address is nobody's":           {by: "eve@acme.example", want: review.ErrNotApprover},
		"asked for by nobody knows whom":   {by: "id-carol", askerHidden: true, want: review.ErrRequesterUnknown},
		"which may be denied all the same": {by: "id-carol", askerHidden: true, deny: true},
	} {
		require.ErrorIs(t, review.MayDecide(asked(), c.by, !c.deny, !c.askerHidden), c.want, name)
	}
}

func TestExpired(t *testing.T) {
	require.False(t, review.Expired(asked(), noon))
	require.True(t, review.Expired(asked(), noon.Add(time.Hour)))
	open := asked()
	open.ApprovalDeadline = time.Time{}
	require.False(t, review.Expired(open, noon.Add(time.Hour)), "it waits for ever")
	require.False(t, review.Expired(review.Deny(asked(), "id-dan", ""), noon.Add(time.Hour)))
}

func TestHasDecided(t *testing.T) {
	approved := review.Approve(asked(), access.Approval{By: "id-carol", At: noon})
	require.True(t, review.HasDecided(approved, "id-carol", true))
	require.False(t, review.HasDecided(approved, "id-dan", true))
	require.False(t, review.HasDecided(approved, "id-carol", false))
	require.True(t, review.HasDecided(review.Deny(asked(), "id-dan", "no"), "id-dan", false))
	require.False(t, review.HasDecided(review.Deny(asked(), "id-dan", "no"), "id-carol", false))
}

func TestApprove(t *testing.T) {
	for name, c := range map[string]struct {
		needs int
		start time.Time
		by    []string
		state access.GrantState
		from  time.Time
	}{
		"one":          {needs: 1, by: []string{"id-carol"}, state: access.GrantGranted, from: noon},
		"one of two":   {needs: 2, by: []string{"id-carol"}, state: access.GrantWaiting},
		"two":          {needs: 2, by: []string{"id-carol", "id-dan"}, state: access.GrantGranted, from: noon},
		"one twice":    {needs: 2, by: []string{"id-carol", "id-carol"}, state: access.GrantWaiting},
		"an address":   {needs: 2, by: []string{"carol@acme.example", "id-carol"}, state: access.GrantWaiting},
		"starts later": {needs: 1, start: noon.Add(time.Hour), by: []string{"id-dan"}, state: access.GrantGranted, from: noon.Add(time.Hour)},
		"started":      {needs: 1, start: noon.Add(-time.Hour), by: []string{"id-dan"}, state: access.GrantGranted, from: noon},
	} {
		g := asked()
		g.Needs, g.Start = c.needs, c.start
		for _, by := range c.by {
			g = review.Approve(g, access.Approval{By: by, At: noon})
		}
		require.Equal(t, []any{c.state, c.from}, []any{g.State, g.From}, name)
		require.Len(t, g.Approvals, len(c.by), name)
		if c.state == access.GrantGranted {
			require.Equal(t, c.from.Add(2*time.Hour), g.Until, name)
		}
	}
}

// held returns a grant that is, or was, in force from some hours after noon to others.
func held(id string, from, until int) access.Grant {
	return access.Grant{ID: id, State: access.GrantGranted, From: noon.Add(time.Duration(from) * time.Hour),
		Until: noon.Add(time.Duration(until) * time.Hour)}
}

func TestLimit(t *testing.T) {
	for name, c := range map[string]struct {
		most, rest int // hours
		from       int
		others     []access.Grant
		until      int
		limited    bool
		err        error
		rests      string // the grant after or before which it does
	}{
		"nothing else":              {most: 6, rest: 2, until: 4},
		"some is left":              {most: 6, from: 4, others: []access.Grant{held("a", 0, 4)}, until: 6, limited: true},
		"nothing is left":           {most: 6, from: 6, others: []access.Grant{held("a", 0, 4), held("b", 4, 6)}, err: review.ErrInRow},
		"after a break":             {most: 6, from: 7, others: []access.Grant{held("a", 0, 4), held("b", 4, 6)}, until: 11},
		"no limit":                  {from: 6, others: []access.Grant{held("a", 0, 6)}, until: 10},
		"while another is in force": {rest: 2, from: 1, others: []access.Grant{held("a", 0, 4)}, rests: "a"},
		"a moment after":            {rest: 2, from: 5, others: []access.Grant{held("a", 0, 4)}, rests: "a"},
		"after the rest":            {rest: 2, from: 6, others: []access.Grant{held("a", 0, 4)}, until: 10},
		"a moment before":           {rest: 2, from: 6, others: []access.Grant{held("b", 11, 15)}, rests: "b"},
		"long before":               {rest: 2, from: 0, others: []access.Grant{held("b", 11, 15)}, until: 4},
	} {
		t.Run(name, func(t *testing.T) {
			g := held("g", c.from, c.from+4)
			g.Duration, g.MostInRow = access.Duration(4*time.Hour), access.Duration(time.Duration(c.most)*time.Hour)
			g.Rest = access.Duration(time.Duration(c.rest) * time.Hour)
			got, err := review.Limit(g, c.others)
			if c.rests != "" {
				rest, is := errors.AsType[*review.CooldownError](err)
				require.True(t, is, err)
				require.Equal(t, c.rests, rest.Other.ID)
				return
			}
			require.ErrorIs(t, err, c.err)
			if c.err == nil {
				require.Equal(t, noon.Add(time.Duration(c.until)*time.Hour), got.Until)
				require.Equal(t, got.Until.Sub(got.From), got.Duration.Std())
				require.Equal(t, c.limited, got.Limit != "")
			}
		})
	}
}

// TestLookBackIsFarEnough: what ended before the reach changes nothing about whether a grant may begin.
func TestLookBackIsFarEnough(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		hours := func(name string, from, to int) access.Duration {
			return access.Duration(time.Duration(rapid.IntRange(from, to).Draw(r, name)) * time.Hour)
		}
		g := held("g", 0, 4)
		g.Duration, g.MostInRow, g.Rest = access.Duration(4*time.Hour), hours("most", 0, 8), hours("rest", 0, 8)
		var all, near []access.Grant
		for n := range rapid.IntRange(0, 6).Draw(r, "others") {
			from := rapid.IntRange(-30, 10).Draw(r, "from")
			other := held(fmt.Sprint(n), from, from+rapid.IntRange(1, 6).Draw(r, "length"))
			if all = append(all, other); other.Until.After(g.From.Add(-review.LookBack(g))) {
				near = append(near, other)
			}
		}
		want, wrong := review.Limit(g, all)
		got, err := review.Limit(g, near)
		require.Equal(r, wrong, err)
		require.Equal(r, want, got)
	})
}
