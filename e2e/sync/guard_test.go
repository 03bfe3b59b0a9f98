package sync_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// shopPolicy keeps the shop under the default guard, but for the settling.
func shopPolicy() policyFile {
	return policyFile{mappings: shop, more: map[string]any{"ignore": []string{"eng-alumni"}}}.adopting()
}

func held(s messages.OrgSyncState) bool { return s.Hold != nil }

func notHeld(s messages.OrgSyncState) bool { return s.Hold == nil && over(s) }

// sellers returns the members of the source group sales; confluenceOnly those to whom nothing else gives Confluence.
func sellers() []string { return emptyShop().Groups[4].Members }

func confluenceOnly() (keys []string) {
	for _, key := range sellers() {
		if !slices.Contains(shopFile().Groups[3].Members, key) {
			keys = append(keys, key)
		}
	}
	return keys
}

func removals(stats cloud.Stats) int { return stats.Operations["memberships.remove"] }

func TestGuardHoldsAnEmptiedSource(t *testing.T) {
	t.Parallel()
	o := start(t, "--org", suite.OrgFile(t, shopFile()))
	o.settled(shopPolicy())
	o.requireInStep(shop, nil)
	o.resetStats()

	t.Log("the source is emptied: its removals wait, and the rules say why")
	o.leave("sales", sellers()...)
	state := o.until(held)
	require.Equal(t, messages.StateHeld, state.State)
	require.Equal(t, len(confluenceOnly()), state.Hold.Removals)
	require.Equal(t, len(confluenceOnly()), state.Hold.People)
	rules := strings.Join(state.Hold.Rules, "\n")
	require.Contains(t, rules, "source-suspect")
	require.Contains(t, rules, "sales")
	require.Contains(t, rules, confluence)
	state = o.syncNow()
	require.Zero(t, removals(o.stats()))
	require.NotNil(t, state.Hold, "%+v", state)

	t.Log("a decision on another plan is refused, and says which one is open")
	open := state.Hold.Plan
	err := o.Decide(t.Context(), org, messages.ApprovePlan, "sha256:0000")
	require.ErrorContains(t, err, open)
	require.Equal(t, open, o.status().Hold.Plan)

	t.Log("rejected, it is not raised again")
	require.NoError(t, o.Decide(t.Context(), org, messages.RejectPlan, open))
	o.until(notHeld)
	state = o.syncNow()
	require.Nil(t, state.Hold)
	require.Equal(t, len(confluenceOnly()), state.LastFull.Counts.Suppressed)
	require.Zero(t, removals(o.stats()))
	require.ErrorContains(t, o.Decide(t.Context(), org, messages.ApprovePlan, open), "nothing is held")

	t.Log("filled and emptied again, it is raised again")
	o.join("sales", sellers()...)
	state = o.syncNow()
	require.Nil(t, state.Hold)
	require.Zero(t, state.LastFull.Counts.Suppressed)
	o.leave("sales", sellers()...)
	o.until(held)

	t.Log("some come back: the hold is replaced by a smaller one, and exactly that is released")
	o.until(func(s messages.OrgSyncState) bool { return s.Hold != nil && over(s) })
	first := o.status().Hold.Plan
	back := confluenceOnly()[:5]
	o.join("sales", back...)
	state = o.until(func(s messages.OrgSyncState) bool {
		return s.Hold != nil && s.Hold.Removals == len(confluenceOnly())-len(back) && over(s)
	})
	require.NotEmpty(t, state.Hold.Changed)
	require.ErrorContains(t, o.Decide(t.Context(), org, messages.ApprovePlan, first), state.Hold.Plan)
	o.resetStats()
	require.NoError(t, o.Decide(t.Context(), org, messages.ApprovePlan, state.Hold.Plan))
	o.until(notHeld)
	o.eventually(func() error { return inStep(t, o.state(), shop, nil) })
	require.Equal(t, len(confluenceOnly())-len(back), removals(o.stats()))
	o.requireClean(shop)
}

func TestPauseStopsBulkWork(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	const people = 100
	o := start(t, "--org", suite.OrgFile(t, oneGroup(people)), "--latency", slow)
	o.apply(policyFile{mappings: everybody})
	state := o.until(held)
	require.NoError(t, o.Decide(t.Context(), org, messages.ApprovePlan, state.Hold.Plan))
	o.added(20)

	var answer messages.Answer
	require.NoError(t, o.Update(t.Context(), org, messages.Pause, messages.PauseInput{By: "test", Reason: "lunch"},
		&answer))
	state = o.until(func(s messages.OrgSyncState) bool {
		return s.Running != nil &&
			s.Running.State == messages.RunWaiting
	})
	require.Equal(t, messages.StatePaused, state.State)
	require.Equal(t, "lunch", state.Paused.Reason)
	written := o.stats().Writes
	require.Less(t, written, people)
	require.ErrorContains(t, o.Update(t.Context(), org, messages.SyncNow, messages.SyncNowInput{}, &answer),
		"paused by test")
	for range 3 { // time passes: questions are still answered, nothing is written
		_, err := o.Ask(t.Context(), messages.ReportInput{Org: org, Kind: messages.ReportRuns})
		require.NoError(t, err)
	}
	require.Equal(t, written, o.stats().Writes)

	require.NoError(t, o.Update(t.Context(), org, messages.Resume, messages.ResumeInput{By: "test"}, &answer))
	o.until(stack.Idle)
	o.requireInStep(everybody, nil)
	require.Equal(t, people, o.stats().Operations["memberships.add"])
	o.requireClean(everybody)
}

// everybody maps the one source of oneGroup.
var everybody = []mapping{{Name: "everybody", From: []string{"staff"}, To: []string{"default:jira/acme/user"}}}

// oneGroup returns an organization of so many people in one source group.
func oneGroup(people int) cloud.OrgFile {
	keys := crowd(people)
	return cloud.OrgFile{People: append(keys, "boss"), Admins: []string{"boss"},
		Groups: []cloud.OrgGroup{{Name: "staff", Members: keys}}}
}

func TestDryRunWritesNothing(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	o := start(t, "--org", suite.OrgFile(t, emptyShop()))
	p := shopPolicy()
	p.more["dryRun"] = true
	o.apply(p)
	state := o.until(func(s messages.OrgSyncState) bool { return s.LastFull != nil && over(s) })
	require.True(t, state.LastFull.DryRun)
	require.Equal(t, 70, state.LastFull.Counts.Adds)
	answer, err := o.Ask(t.Context(),
		messages.ReportInput{Org: org, Kind: messages.ReportPlan, Run: state.LastFull.Run})
	require.NoError(t, err)
	require.Len(t, answer.Plan.Lines, 70)
	for _, line := range answer.Plan.Lines {
		require.Equal(t, "recorded", string(line.State))
	}
	o.leave("sales", "p045")
	o.syncNow()
	require.Zero(t, o.stats().Writes-o.stats().Operations["scim.groups.patch"])
	require.Empty(t, group(t, o.state(), jira).Members)

	t.Log("without dryRun the same policy waits for consent, then writes")
	o.settled(shopPolicy())
	o.requireInStep(shop, nil)
}

func TestUndoTakesARunBack(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	o := start(t, "--org", suite.OrgFile(t, emptyShop()))
	p := shopPolicy()
	p.guard = wide
	o.settled(p)
	before := o.state()
	o.leave("eng-core", "p006", "p007")
	o.join("sales", "p051", "p052")
	state := o.syncNow()
	o.requireInStep(shop, nil)
	runs, err := o.Ask(t.Context(), messages.ReportInput{Org: org, Kind: messages.ReportRuns})
	require.NoError(t, err)
	var undone []string
	for _, run := range runs.Runs { // events and the full run share the work
		if run.Counts.Done > 0 && run.Counts.Adds+run.Counts.Removals < 10 {
			undone = append(undone, run.Run)
		}
	}
	require.NotEmpty(t, undone, "%+v", state)

	for _, run := range undone {
		var answer messages.Answer
		require.NoError(t, o.Update(t.Context(), org, messages.Undo,
			messages.UndoInput{Run: run, By: "test", Reason: "a mistake"}, &answer))
		require.Positive(t, answer.Run.Counts.Done)
	}
	for _, name := range []string{jira, confluence} {
		require.ElementsMatch(t, group(t, before, name).Members, group(t, o.state(), name).Members, name)
	}
	state = o.status()
	require.NotNil(t, state.Paused)
	require.Contains(t, state.Paused.Reason, "taken back")

	t.Log("resumed, the policy is followed again")
	var answer messages.Answer
	require.NoError(t, o.Update(t.Context(), org, messages.Resume, messages.ResumeInput{By: "test"}, &answer))
	o.until(stack.Idle)
	o.requireInStep(shop, nil)
	require.ErrorContains(t, o.Update(t.Context(), org, messages.Undo,
		messages.UndoInput{Run: "20000101-000000.000", By: "test"}, &answer), "no run")
}

func TestSyncOnePersonNow(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	// nothing but the question tells of changes
	o := start(t, "--org", suite.OrgFile(t, shopFile()), "--event-lag", "1h")
	o.settled(shopPolicy())
	ask := func(person string) (answer messages.Answer, err error) {
		err = o.Update(t.Context(), org, messages.SyncNow, messages.SyncNowInput{Person: person, By: "test"}, &answer)
		return answer, err
	}

	o.join("ops", "p051")
	answer, err := ask("p051@example.com")
	require.NoError(t, err)
	require.Equal(t, 2, answer.Run.Counts.Done)
	require.True(t, o.in(jira, "p051"))
	require.True(t, o.in(confluence, "p051"))

	o.leave("ops", "p051")
	answer, err = ask(person(t, o.state(), "p051").AccountID)
	require.NoError(t, err)
	require.Equal(t, 2, answer.Run.Counts.Done)
	o.requireInStep(shop, nil)

	answer, err = ask("p052@example.com")
	require.NoError(t, err)
	require.Zero(t, answer.Run.Counts.Done, "nothing is due to somebody in no source group")

	_, err = ask("nobody@example.com")
	require.ErrorContains(t, err, "nobody@example.com")
	require.Nil(t, o.status().Problem, "a question about nobody is nobody's problem")
	require.Equal(t, messages.StateOK, o.status().State)
}
