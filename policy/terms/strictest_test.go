package terms_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/policy/terms"
)

var approvers = []string{"557058:ana", "id-of-bo", "id-of-cy", "id-of-dan"}

func drawEntry(t *rapid.T, name string) policy.Grantable {
	span := rapid.Custom(func(t *rapid.T) policy.Duration {
		return policy.Duration(rapid.IntRange(1, 12).Draw(t, "hours")) * policy.Duration(time.Hour)
	})
	people := rapid.SliceOfNDistinct(rapid.SampledFrom(approvers), 2, 4, rapid.ID[string])
	e := policy.Grantable{
		Name: name, Targets: []access.Entitlement{access.OrgAdmin}, Ahead: span.Draw(t, "ahead"),
		Duration: policy.GrantDuration{Max: span.Draw(t, "max")}, Remind: span.Draw(t, "remind"),
		Cooldown: span.Draw(t, "cooldown") - policy.Duration(time.Hour),
		Reason:   rapid.Bool().Draw(t, "reason"),
		Eligible: rapid.SampledFrom([]string{"", "", "", "", "", "", "managed", `in("it-ops")`, `addedWithin("20d")`,
			`in("sales")`}).Draw(t, "eligible"),
	}
	if rapid.Bool().Draw(t, "long") {
		e.Duration.Max += policy.Duration(12 * time.Hour)
	}
	e.Duration.Default = min(e.Duration.Max, span.Draw(t, "default"))
	if rapid.Bool().Draw(t, "approval") {
		e.Approval = &policy.Approval{Count: rapid.SampledFrom([]int{1, 1, 1, 2}).Draw(t, "count"),
			Wait: span.Draw(t, "wait"), Codes: rapid.Bool().Draw(t, "codes")}
		if e.Approval.By = people.Draw(t, "by"); rapid.SampledFrom([]bool{true, true, false}).Draw(t, "groups") {
			e.Approval.Groups = []string{"leads"}
		}
		if rapid.Bool().Draw(t, "glass") {
			e.BreakGlass = &policy.BreakGlass{People: people.Draw(t, "people"), Max: span.Draw(t, "glass max")}
		}
	}
	if rapid.Bool().Draw(t, "extend") {
		e.Extend = &policy.Extension{Max: 2 * span.Draw(t, "total"), Times: rapid.IntRange(1, 2).Draw(t, "times"),
			Approval: rapid.Bool().Draw(t, "again")}
	}
	return e
}

func drawRequest(t *rapid.T) terms.Request {
	r := request()
	r.Duration = time.Duration(rapid.SampledFrom([]int{0, 0, 0, 1, 2, 6, 13}).Draw(t, "asked")) * time.Hour
	if h := rapid.SampledFrom([]int{0, 0, 0, 0, 0, 1, 5, 13}).Draw(t, "start"); h > 0 {
		r.Start = noon.Add(time.Duration(h) * time.Hour)
	}
	r.By = rapid.SampledFrom(approvers).Draw(t, "by")
	r.Urgent = rapid.SampledFrom([]bool{false, false, false, true}).Draw(t, "urgent")
	r.Approvers = map[string][]access.Person{"Leads": members("dan@acme.example", "eve@acme.example")}
	if until := rapid.IntRange(-4, 4).Draw(t, "until"); rapid.IntRange(0, 3).Draw(t, "earlier") == 3 {
		old := access.Grant{
			ID: "g0", Person: "557058:ana", Target: access.OrgAdmin, State: access.GrantGranted,
			From: noon.Add(-5 * time.Hour), Until: noon.Add(time.Duration(until) * time.Hour),
		}
		if r.Earlier = append(r.Earlier, old); rapid.Bool().Draw(t, "renews") {
			r.Renews, r.Start, r.Urgent = &old, time.Time{}, false
		}
	}
	return r
}

// TestJudgeNoGrantExceedsAnyEntry: whatever entries come together, what is granted is within the terms of each of them.
func TestJudgeNoGrantExceedsAnyEntry(t *testing.T) {
	outcomes := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		p := policy.Policy{}
		for i := range rapid.SampledFrom([]int{1, 1, 2, 3}).Draw(t, "entries") {
			p.Grants = append(p.Grants, drawEntry(t, fmt.Sprint("e", i)))
		}
		r := drawRequest(t)
		r = known(r)
		got, err := terms.Judge(&p, r)

		slices.Reverse(p.Grants)
		turned, errTurned := terms.Judge(&p, r)
		require.Equal(t, err == nil, errTurned == nil, "the order of the entries does not matter")
		if err != nil {
			var refused *terms.Refusal
			require.ErrorAs(t, err, &refused)
			outcomes[refused.Rule]++
			return
		}
		turned.Limit = got.Limit
		require.Equal(t, got, turned, "the order of the entries does not matter")
		outcomes[string(got.State)]++

		start := noon
		if r.Start.After(noon) {
			start = r.Start
		}
		if r.Renews != nil {
			start = r.Renews.Until
		}
		if r.Duration > 0 {
			require.Equal(t, r.Duration, got.Duration.Std(), "what was asked for is granted or refused, never cut")
		}
		for _, e := range p.Grants {
			requireWithin(t, e, r, got, start)
		}
		if got.State == access.GrantGranted {
			require.Equal(t, start, got.From)
			require.Equal(t, got.From.Add(got.Duration.Std()), got.Until)
		} else {
			require.GreaterOrEqual(t, len(got.Approvers), got.Needs)
			require.NotContains(t, got.Approvers, r.By)
			require.NotContains(t, got.Approvers, "557058:ana")
			require.True(t, got.From.IsZero() && got.Until.IsZero())
		}
	})
	for _, outcome := range []access.GrantState{access.GrantGranted, access.GrantWaiting} {
		require.Positive(t, outcomes[string(outcome)], "%s never came up: %v", outcome, outcomes)
	}
}

// requireWithin holds a grant to one entry.
func requireWithin(t *rapid.T, e policy.Grantable, r terms.Request, got access.Grant, start time.Time) {
	span := func(d policy.Duration) time.Duration { return d.Std() }
	require.LessOrEqual(t, got.Duration.Std(), span(e.Duration.Max))
	require.LessOrEqual(t, span(e.Remind), got.Remind.Std())
	require.NotEqual(t, `in("sales")`, e.Eligible, "ana is not in sales")
	if r.Duration == 0 {
		require.LessOrEqual(t, got.Duration.Std(), span(e.Duration.Default))
	}
	if r.Renews != nil {
		require.NotNil(t, e.Extend)
		require.LessOrEqual(t, start.Add(got.Duration.Std()).Sub(r.Renews.From), span(e.Extend.Max))
	} else {
		require.LessOrEqual(t, start.Sub(noon), span(e.Ahead))
		for _, g := range r.Earlier {
			require.False(t, e.Cooldown > 0 && start.Before(g.Until.Add(span(e.Cooldown))))
		}
	}
	switch {
	case e.Approval == nil:
	case got.State == access.GrantWaiting:
		require.GreaterOrEqual(t, got.Needs, e.Approval.Count)
		require.LessOrEqual(t, got.ApprovalDeadline.Sub(noon), span(e.Approval.Wait))
		require.True(t, got.Codes || !e.Approval.Codes)
		for _, name := range got.Approvers {
			member := len(e.Approval.Groups) > 0 && (name == "id-of-dan" || name == "id-of-eve")
			require.True(t, member || slices.Contains(e.Approval.By, name), name)
		}
	case got.Urgent:
		require.LessOrEqual(t, got.Duration.Std(), span(e.BreakGlass.Max))
		require.Contains(t, e.BreakGlass.People, "557058:ana")
		require.Contains(t, e.BreakGlass.People, r.By)
	default:
		require.True(t, r.Renews != nil && !e.Extend.Approval, "nobody was asked")
	}
}
