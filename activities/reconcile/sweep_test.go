package reconcile_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

func TestAnOutlineCostsFewCalls(t *testing.T) {
	t.Parallel()
	w := activitytest.New(t)
	w.Admit(activitytest.AutoAdopt)
	run := w.NewRun()
	var result reconcile.OutlineResult
	made := w.Calls(func() { result = w.Outline(run) })
	require.Equal(t, map[string]int{"groups.search": 1}, made,
		"one page of groups, whose counts say that the two targets open nothing")
	require.Equal(t, 1, result.Calls)
	require.Equal(t, 2, result.Targets)
	require.Equal(t, len(w.Sim.State().Groups), result.Groups)
}

// Without the count that tells which groups open something, all targets are asked.
func TestAnOutlineReadsTheRolesOfTargetsThatMayOpenSomething(t *testing.T) {
	t.Parallel()
	file := activitytest.People
	file.Local = []cloud.OrgGroup{{Name: "builders", Roles: []cloud.OrgRole{{App: "jira", Site: "acme", Role: "user"}}},
		{Name: "helpers"}, {Name: "other"}}
	w := activitytest.NewOf(t, file)
	w.Admit(activitytest.AutoAdopt)
	one := w.Calls(func() { w.Outline(w.NewRun()) })
	require.Equal(t, map[string]int{"groups.search": 1, "role-assignments.list": 1}, one)
	w.Configure(func(s *cloud.Settings) { s.NoCounts = true })
	all := w.Calls(func() { w.Outline(w.NewRun()) })
	require.Equal(t, map[string]int{"groups.search": 1, "role-assignments.list": 2}, all)
}

func TestAnOutlineMakesTheGroupsThatAreToBeMade(t *testing.T) {
	t.Parallel()
	w := activitytest.New(t)
	created := activitytest.Must[reconcile.AdmitResult](w, w.Acts.Reconcile.Admit, w.AdmitIn(fmt.Sprintf(`
version: 1
organization: {name: acme, id: %s, key: "env:KEY"}
mappings:
  - {name: team spaces, from: [eng], to: ["group:team-eng"], create: true}
ignore: [support, unused]
guard: {adopt: auto}
`, w.Sim.Info().OrgID)))
	run := session.RunInput{Org: activitytest.Org, Run: "r1", Policy: created.Policy, Preview: true}
	w.Outline(run)
	require.Zero(t, w.Sim.Stats().Operations["groups.create"], "a preview creates nothing")

	run.Run, run.Preview = "r2", false
	w.Outline(run)
	w.Outline(run)
	require.Equal(t, 1, w.Sim.Stats().Operations["groups.create"], "a repeat finds the group")
	require.False(t, w.Group("team-eng").Synced)
}

func TestASweepGoesBlockByBlock(t *testing.T) {
	t.Parallel()
	w := activitytest.NewOf(t, activitytest.Crowded(350))
	w.Admit(activitytest.AutoAdopt)
	run := w.NewRun()
	w.Outline(run)
	first := activitytest.Must[session.SweepResult](w, w.Acts.Reconcile.Sweep,
		reconcile.SweepInput{RunInput: run, Pages: 2})
	require.Equal(t, 200, first.People)
	require.Equal(t, 2, first.Calls)
	require.NotEmpty(t, first.Next)
	second := activitytest.Must[session.SweepResult](w, w.Acts.Reconcile.Sweep,
		reconcile.SweepInput{RunInput: run, Pages: 2, Block: 1, Cursor: first.Next})
	require.Equal(t, 150, second.People)
	require.Empty(t, second.Next)
	verdict := w.Judge(run)
	require.Equal(t, 352, verdict.Counts.Adds)
	require.Equal(t, 350, verdict.Counts.People)
	require.Zero(t, verdict.Suspects)
}

func TestASweepGoesOnWhereAnEarlierAttemptWas(t *testing.T) {
	t.Parallel()
	w := activitytest.NewOf(t, activitytest.Crowded(350))
	w.Admit(activitytest.AutoAdopt)
	run := w.NewRun()
	w.Outline(run)
	in := reconcile.SweepInput{RunInput: run, Pages: 20}
	w.Inject(cloud.Fault{Operations: []string{"users.search"}, Kind: cloud.FaultStatus, After: 2, Count: 1,
		Params: cloud.FaultParams{Status: 503}})
	_, err := activitytest.Call[session.SweepResult](w, w.Acts.Reconcile.Sweep, in)
	app := activitytest.ApplicationError(t, err)
	require.Equal(t, session.ErrUnavailable, app.Type())
	require.False(t, app.NonRetryable())
	require.NotEmpty(t, w.Beats)
	var beat struct {
		Page   int
		Cursor string
		People int
	}
	require.NoError(t, w.Beats[len(w.Beats)-1](&beat))
	require.Equal(t, 2, beat.Page)
	require.Equal(t, 200, beat.People)

	w.Beat = beat
	w.Restart() // the next attempt may be on another worker
	var result session.SweepResult
	made := w.Calls(func() { result = activitytest.Must[session.SweepResult](w, w.Acts.Reconcile.Sweep, in) })
	require.Equal(t, 2, made["users.search"], "only the pages that were left")
	require.Equal(t, 350, result.People)
	verdict := w.Judge(run)
	require.Equal(t, 352, verdict.Counts.Adds)
	require.Zero(t, verdict.Suspects, "everybody was counted once")
}

func TestASweepWhoseAnswerWasLostIsNotMadeAgain(t *testing.T) {
	t.Parallel()
	w := activitytest.NewOf(t, activitytest.Crowded(150))
	w.Admit(activitytest.AutoAdopt)
	run := w.NewRun()
	w.Sweep(run)
	w.Beat = map[string]any{"Page": 2, "Cursor": "", "People": 150}
	made := w.Calls(func() {
		result := activitytest.Must[session.SweepResult](w, w.Acts.Reconcile.Sweep,
			reconcile.SweepInput{RunInput: run, Pages: 20})
		require.Equal(t, 150, result.People)
		require.Empty(t, result.Next)
	})
	require.Empty(t, made)
}

func TestASweptBlockCanBeSweptAgain(t *testing.T) {
	t.Parallel()
	w := activitytest.New(t)
	w.Admit(activitytest.AutoAdopt)
	run, before := w.Planned()
	w.Sweep(run)
	after := w.Judge(run)
	require.Equal(t, before.Plan, after.Plan)
	require.Equal(t, before.Counts, after.Counts)
	require.Zero(t, after.Suspects, "a repeat replaces what it saw")
}

func TestACursorThatRepeatsIsBadEvidence(t *testing.T) {
	t.Parallel()
	w := activitytest.NewOf(t, activitytest.Crowded(350))
	w.Admit(activitytest.AutoAdopt)
	run := w.NewRun()
	w.Outline(run)
	w.Inject(cloud.Fault{Operations: []string{"users.search"}, Kind: cloud.FaultRepeatedCursor, After: 1})
	_, err := activitytest.Call[session.SweepResult](w, w.Acts.Reconcile.Sweep,
		reconcile.SweepInput{RunInput: run, Pages: 20})
	require.Equal(t, session.ErrEvidence, activitytest.ApplicationError(t, err).Type())
}

func TestTheGuardHoldsTheFirstPlan(t *testing.T) {
	t.Parallel()
	w := activitytest.New(t)
	w.Admit("")
	run := w.NewRun()
	require.Equal(t, 12, w.Sweep(run))
	verdict := w.Judge(run)
	require.Zero(t, verdict.Open)
	require.Equal(t, messages.Counts{People: 12, Adds: 8, Adopts: 1, Held: 9, Foreign: 1}, counted(verdict.Counts))
	require.Equal(t, 8, verdict.Hold.Adds)
	require.Equal(t, run.Run, verdict.Hold.Run)
	require.Len(t, verdict.Hold.Rules, 1)
	require.Contains(t, verdict.Hold.Rules[0], "adopt")
	require.Contains(t, verdict.Hold.Plan, "sha256:")
	for label, c := range w.Lines(run.Run) {
		require.Equal(t, access.Held, c.State, label)
	}
	require.Empty(t, w.Write(run))
	require.Zero(t, w.Sim.Stats().Writes)
}

// counted leaves out what depends on how the calls went.
func counted(c messages.Counts) messages.Counts { c.Calls = 0; return c }

func TestADryRunRecordsAndReleasesNothing(t *testing.T) {
	t.Parallel()
	w := activitytest.New(t)
	w.Admit(activitytest.AutoAdopt + "\ndryRun: true")
	run, verdict := w.Planned()
	require.Zero(t, verdict.Open)
	require.Equal(t, 8, verdict.Counts.Adds)
	for label, c := range w.Lines(run.Run) {
		require.Equal(t, access.Recorded, c.State, label)
	}
	require.Empty(t, w.Write(run))
}

func TestRemovalsBeyondTheGuardAreHeldAndAdditionsGoOn(t *testing.T) {
	t.Parallel()
	w := activitytest.InStep(t)
	w.Admit("guard: {adopt: auto, run: {removals: 1}, source: {share: 100%}}")
	w.Leave("eng", "carol", "dan", "eve")
	w.Join("eng", "jo")
	run, verdict := w.Planned()
	require.Equal(t, 1, verdict.Open)
	require.Equal(t, 3, verdict.Counts.Held)
	require.Equal(t, 3, verdict.Hold.Removals)
	require.Equal(t, map[string]access.ChangeState{"add jo@example.com to group:builders": access.Done},
		activitytest.States(w.Write(run)))
	require.Equal(t, "ana bo carol dan eve jo kim", w.Members("builders"))
}

// Whoever's list of groups came back cut short seems to have left; the groups' own counts say otherwise.
func TestTruncatedGroupListsRemoveNobody(t *testing.T) {
	t.Parallel()
	t.Run("while they last, removals wait", func(t *testing.T) {
		w := activitytest.InStep(t)
		w.Inject(cloud.Fault{Operations: []string{"users.search"}, Kind: cloud.FaultTruncatedGroups,
			Params: cloud.FaultParams{Share: 0.9}})
		run, verdict := w.Planned()
		require.Positive(t, verdict.Counts.Removals, "the fault struck")
		require.Positive(t, verdict.Suspects)
		require.Equal(t, verdict.Counts.Removals, verdict.Counts.Held)
		for label := range w.Write(run) {
			require.NotContains(t, label, "remove")
		}
	})
	t.Run("a partial look takes nothing either", func(t *testing.T) {
		w := activitytest.InStep(t)
		w.Inject(cloud.Fault{Operations: []string{"users.search"}, Kind: cloud.FaultTruncatedGroups,
			Params: cloud.FaultParams{Share: 1}})
		first := w.Examine(w.NewRun(), "", w.Id("carol"))
		run := w.NewRun()
		second := w.Examine(run, "run-002", w.Id("carol"))
		require.Zero(t, first.Open)
		require.Zero(t, second.Open, "the group search still shows carol in eng")
		require.Empty(t, w.Write(run))
		require.Contains(t, w.Members("builders"), "carol")
	})
}

func TestAMoveDuringTheSweepHoldsNothingUp(t *testing.T) {
	t.Parallel()
	w := activitytest.InStep(t)
	w.Leave("eng", "carol")
	run := w.NewRun()
	w.Sweep(run)
	w.Leave("eng", "dan") // after dan was read
	verdict := w.Judge(run)
	require.Equal(t, 1, verdict.Counts.Removals)
	require.Zero(t, verdict.Counts.Held, "%v", verdict.Findings)
	require.Equal(t, map[string]access.ChangeState{"remove carol@example.com from group:builders": access.Done},
		activitytest.States(w.Write(run)))
}

func TestASourceThatShrinksHoldsItsRemovals(t *testing.T) {
	t.Parallel()
	w := activitytest.InStep(t)
	w.Admit("guard: {adopt: auto, run: {removals: 1000, share: 100%}, target: {removals: 1000, share: 100%}, lastAccess: {people: 1000}, window: {removals: 1000, share: 100%}, source: {share: 30%, minimum: 5}}")
	w.Leave("eng", "carol", "dan", "eve")
	w.Leave("support", "hana")
	_, verdict := w.Planned()
	require.Equal(t, 3, verdict.Hold.Removals)
	require.Contains(t, verdict.Hold.Rules[0], "eng")
	require.Equal(t, 1, verdict.Open, "support is too small to be judged, and lost one")
}

// A verification that saw no groups knows nothing of sources: the last good counts stay the measure of later runs.
func TestAGroupSearchThatComesBackEmptyRemovesNobodyAndForgetsNoSource(t *testing.T) {
	t.Parallel()
	w := activitytest.InStep(t)
	w.Inject(cloud.Fault{Operations: []string{"groups.search"}, Kind: cloud.FaultEmptyPage,
		Params: cloud.FaultParams{Next: "drop"}})
	run, verdict := w.Planned()
	require.Positive(t, verdict.Suspects)
	require.Empty(t, w.Write(run))
	w.Finish(run, messages.ScopeFull)
	known, err := w.Ledger.SourceCounts(t.Context(), activitytest.Org)
	require.NoError(t, err)
	for _, source := range []string{"eng", "support"} {
		require.Contains(t, known, w.Group(source).ID, "what %s had is the measure of the next run", source)
	}
}
