package activities_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// crowded is an organization of n people, all of them in eng.
func crowded(n int) cloud.OrgFile {
	file := cloud.OrgFile{Local: []cloud.OrgGroup{{Name: "builders"}, {Name: "helpers"}}}
	for i := range n {
		file.People = append(file.People, fmt.Sprintf("p%04d", i))
	}
	file.Admins = file.People[:1]
	file.Groups = []cloud.OrgGroup{{Name: "eng", Members: file.People}, {Name: "support", Members: file.People[:2]}, {Name: "unused"}}
	return file
}

func TestAnOutlineCostsFewCalls(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.admit(auto)
	run := w.newRun()
	var result activities.OutlineResult
	made := w.calls(func() { result = w.outline(run) })
	require.Equal(t, map[string]int{"groups.search": 1, "role-assignments.list": 2}, made, "one page of groups, and what the two targets open")
	require.Equal(t, 3, result.Calls)
	require.Equal(t, 2, result.Targets)
	require.Equal(t, len(w.sim.State().Groups), result.Groups)
}

func TestAnOutlineMakesTheGroupsThatAreToBeMade(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	created := must[activities.AdmitResult](w, w.acts.Admit, w.admitIn(fmt.Sprintf(`
version: 1
organization: {name: acme, id: %s, key: "env:KEY"}
mappings:
  - {name: team spaces, from: [eng], to: ["group:team-eng"], create: true}
ignore: [support, unused]
guard: {adopt: auto}
`, w.sim.Info().OrgID)))
	run := activities.RunInput{Org: org, Run: "r1", Policy: created.Policy, Preview: true}
	w.outline(run)
	require.Zero(t, w.sim.Stats().Operations["groups.create"], "a preview creates nothing")

	run.Run, run.Preview = "r2", false
	w.outline(run)
	w.outline(run)
	require.Equal(t, 1, w.sim.Stats().Operations["groups.create"], "a repeat finds the group")
	require.False(t, w.group("team-eng").Synced)
}

func TestASweepGoesBlockByBlock(t *testing.T) {
	t.Parallel()
	w := newWorldOf(t, crowded(350))
	w.admit(auto)
	run := w.newRun()
	w.outline(run)
	first := must[activities.SweepResult](w, w.acts.Sweep, activities.SweepInput{RunInput: run, Pages: 2})
	require.Equal(t, 200, first.People)
	require.Equal(t, 2, first.Calls)
	require.NotEmpty(t, first.Next)
	second := must[activities.SweepResult](w, w.acts.Sweep, activities.SweepInput{RunInput: run, Pages: 2, Block: 1, Cursor: first.Next})
	require.Equal(t, 150, second.People)
	require.Empty(t, second.Next)
	verdict := w.judge(run)
	require.Equal(t, 352, verdict.Counts.Adds)
	require.Equal(t, 350, verdict.Counts.People)
	require.Zero(t, verdict.Suspects)
}

func TestASweepGoesOnWhereAnEarlierAttemptWas(t *testing.T) {
	t.Parallel()
	w := newWorldOf(t, crowded(350))
	w.admit(auto)
	run := w.newRun()
	w.outline(run)
	in := activities.SweepInput{RunInput: run, Pages: 20}
	w.inject(cloud.Fault{Operations: []string{"users.search"}, Kind: cloud.FaultStatus, After: 2, Count: 1, Params: cloud.FaultParams{Status: 503}})
	_, err := call[activities.SweepResult](w, w.acts.Sweep, in)
	app := application(t, err)
	require.Equal(t, activities.ErrUnavailable, app.Type())
	require.False(t, app.NonRetryable())
	require.NotEmpty(t, w.beats)
	var beat struct {
		Page   int
		Cursor string
		People int
	}
	require.NoError(t, w.beats[len(w.beats)-1](&beat))
	require.Equal(t, 2, beat.Page)
	require.Equal(t, 200, beat.People)

	w.beat = beat
	w.restart() // the next attempt may be on another worker
	var result activities.SweepResult
	made := w.calls(func() { result = must[activities.SweepResult](w, w.acts.Sweep, in) })
	require.Equal(t, 2, made["users.search"], "only the pages that were left")
	require.Equal(t, 350, result.People)
	verdict := w.judge(run)
	require.Equal(t, 352, verdict.Counts.Adds)
	require.Zero(t, verdict.Suspects, "everybody was counted once")
}

func TestASweepWhoseAnswerWasLostIsNotMadeAgain(t *testing.T) {
	t.Parallel()
	w := newWorldOf(t, crowded(150))
	w.admit(auto)
	run := w.newRun()
	w.sweep(run)
	w.beat = map[string]any{"Page": 2, "Cursor": "", "People": 150}
	made := w.calls(func() {
		result := must[activities.SweepResult](w, w.acts.Sweep, activities.SweepInput{RunInput: run, Pages: 20})
		require.Equal(t, 150, result.People)
		require.Empty(t, result.Next)
	})
	require.Empty(t, made)
}

func TestASweptBlockCanBeSweptAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.admit(auto)
	run, before := w.planned()
	w.sweep(run)
	after := w.judge(run)
	require.Equal(t, before.Plan, after.Plan)
	require.Equal(t, before.Counts, after.Counts)
	require.Zero(t, after.Suspects, "a repeat replaces what it saw")
}

func TestACursorThatRepeatsIsBadEvidence(t *testing.T) {
	t.Parallel()
	w := newWorldOf(t, crowded(350))
	w.admit(auto)
	run := w.newRun()
	w.outline(run)
	w.inject(cloud.Fault{Operations: []string{"users.search"}, Kind: cloud.FaultRepeatedCursor, After: 1})
	_, err := call[activities.SweepResult](w, w.acts.Sweep, activities.SweepInput{RunInput: run, Pages: 20})
	require.Equal(t, activities.ErrEvidence, application(t, err).Type())
}

func TestTheGuardHoldsTheFirstPlan(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.admit("")
	run := w.newRun()
	require.Equal(t, 12, w.sweep(run))
	verdict := w.judge(run)
	require.Zero(t, verdict.Open)
	require.Equal(t, messages.Counts{People: 12, Adds: 8, Adopts: 1, Held: 9, Foreign: 1}, counted(verdict.Counts))
	require.Equal(t, 8, verdict.Hold.Adds)
	require.Equal(t, run.Run, verdict.Hold.Run)
	require.Len(t, verdict.Hold.Rules, 1)
	require.Contains(t, verdict.Hold.Rules[0], "adopt")
	require.Contains(t, verdict.Hold.Plan, "sha256:")
	for label, c := range w.lines(run.Run) {
		require.Equal(t, access.Held, c.State, label)
	}
	require.Empty(t, w.write(run))
	require.Zero(t, w.sim.Stats().Writes)
}

// counted leaves out what depends on how the calls went.
func counted(c messages.Counts) messages.Counts { c.Calls = 0; return c }

func TestADryRunRecordsAndReleasesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.admit(auto + "\ndryRun: true")
	run, verdict := w.planned()
	require.Zero(t, verdict.Open)
	require.Equal(t, 8, verdict.Counts.Adds)
	for label, c := range w.lines(run.Run) {
		require.Equal(t, access.Recorded, c.State, label)
	}
	require.Empty(t, w.write(run))
}

func TestRemovalsBeyondTheGuardAreHeldAndAdditionsGoOn(t *testing.T) {
	t.Parallel()
	w := inStep(t)
	w.admit("guard: {adopt: auto, run: {removals: 1}, source: {share: 100%}}")
	w.leave("eng", "carol", "dan", "eve")
	w.join("eng", "jo")
	run, verdict := w.planned()
	require.Equal(t, 1, verdict.Open)
	require.Equal(t, 3, verdict.Counts.Held)
	require.Equal(t, 3, verdict.Hold.Removals)
	require.Equal(t, map[string]access.ChangeState{"add jo@example.com to group:builders": access.Done}, states(w.write(run)))
	require.Equal(t, "ana bo carol dan eve jo kim", w.members("builders"))
}

func states(results map[string]activities.ChangeResult) map[string]access.ChangeState {
	by := map[string]access.ChangeState{}
	for label, r := range results {
		by[label] = r.State
	}
	return by
}

// Whoever's list of groups came back cut short seems to have left; the groups' own counts say otherwise.
func TestTruncatedGroupListsRemoveNobody(t *testing.T) {
	t.Parallel()
	t.Run("while they last, removals wait", func(t *testing.T) {
		w := inStep(t)
		w.inject(cloud.Fault{Operations: []string{"users.search"}, Kind: cloud.FaultTruncatedGroups, Params: cloud.FaultParams{Share: 0.9}})
		run, verdict := w.planned()
		require.Positive(t, verdict.Counts.Removals, "the fault struck")
		require.Positive(t, verdict.Suspects)
		require.Equal(t, verdict.Counts.Removals, verdict.Counts.Held)
		for label := range w.write(run) {
			require.NotContains(t, label, "remove")
		}
	})
	t.Run("a partial look takes nothing either", func(t *testing.T) {
		w := inStep(t)
		w.inject(cloud.Fault{Operations: []string{"users.search"}, Kind: cloud.FaultTruncatedGroups, Params: cloud.FaultParams{Share: 1}})
		first := w.examine(w.newRun(), "", w.id("carol"))
		run := w.newRun()
		second := w.examine(run, "run-002", w.id("carol"))
		require.Zero(t, first.Open)
		require.Zero(t, second.Open, "the group search still shows carol in eng")
		require.Empty(t, w.write(run))
		require.Contains(t, w.members("builders"), "carol")
	})
}

func TestAMoveDuringTheSweepHoldsNothingUp(t *testing.T) {
	t.Parallel()
	w := inStep(t)
	w.leave("eng", "carol")
	run := w.newRun()
	w.sweep(run)
	w.leave("eng", "dan") // after dan was read
	verdict := w.judge(run)
	require.Equal(t, 1, verdict.Counts.Removals)
	require.Zero(t, verdict.Counts.Held, "%v", verdict.Findings)
	require.Equal(t, map[string]access.ChangeState{"remove carol@example.com from group:builders": access.Done}, states(w.write(run)))
}

func TestASourceThatShrinksHoldsItsRemovals(t *testing.T) {
	t.Parallel()
	w := inStep(t)
	w.admit("guard: {adopt: auto, run: {removals: 1000, share: 100%}, target: {removals: 1000, share: 100%}, lastAccess: {people: 1000}, window: {removals: 1000, share: 100%}, source: {share: 30%, minimum: 5}}")
	w.leave("eng", "carol", "dan", "eve")
	w.leave("support", "hana")
	_, verdict := w.planned()
	require.Equal(t, 3, verdict.Hold.Removals)
	require.Contains(t, verdict.Hold.Rules[0], "eng")
	require.Equal(t, 1, verdict.Open, "support is too small to be judged, and lost one")
}

// A verification that saw no groups knows nothing of sources: the last good counts stay the measure of later runs.
func TestAGroupSearchThatComesBackEmptyRemovesNobodyAndForgetsNoSource(t *testing.T) {
	t.Parallel()
	w := inStep(t)
	w.inject(cloud.Fault{Operations: []string{"groups.search"}, Kind: cloud.FaultEmptyPage, Params: cloud.FaultParams{Next: "drop"}})
	run, verdict := w.planned()
	require.Positive(t, verdict.Suspects)
	require.Empty(t, w.write(run))
	w.finish(run, messages.ScopeFull)
	known, err := w.ledger.SourceCounts(t.Context(), org)
	require.NoError(t, err)
	for _, source := range []string{"eng", "support"} {
		require.Contains(t, known, w.group(source).ID, "what %s had is the measure of the next run", source)
	}
}
