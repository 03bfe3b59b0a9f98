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

func TestOutlineCostsFewCalls(t *testing.T) {
	t.Parallel()
	o := activitytest.New(t)
	o.Admit(activitytest.AutoAdopt)
	run := o.NewRun()
	var result reconcile.OutlineResult
	made := o.Calls(func() { result = o.Outline(run) })
	opening := 0
	for _, g := range o.Sim.State().Groups {
		if len(g.Roles) > 0 {
			opening++
		}
	}
	require.Equal(t, map[string]int{"groups.search": 1, "role-assignments.list": opening}, made,
		"one page of groups, whose counts say that the two targets open nothing, and the roles of others for their records")
	require.Equal(t, 1+opening, result.Calls)
	require.Equal(t, 2, result.Targets)
	require.Equal(t, len(o.Sim.State().Groups), result.Groups)
	made = o.Calls(func() { o.Outline(o.NewRun()) })
	require.Equal(t, map[string]int{"groups.search": 1}, made, "the records have the roles")
}

// Without the count that tells which groups open something, all targets are asked.
func TestOutlineReadsTheRolesOfTargetsThatMayOpenSomething(t *testing.T) {
	t.Parallel()
	file := activitytest.People
	file.Local = []cloud.OrgGroup{{Name: "builders", Roles: []cloud.OrgRole{{App: "jira", Site: "acme", Role: "user"}}},
		{Name: "helpers"}, {Name: "other"}}
	o := activitytest.NewOf(t, file)
	o.Admit(activitytest.AutoAdopt)
	o.Outline(o.NewRun()) // for the records of groups
	one := o.Calls(func() { o.Outline(o.NewRun()) })
	require.Equal(t, map[string]int{"groups.search": 1, "role-assignments.list": 1}, one)
	o.Configure(func(s *cloud.Settings) { s.NoCounts = true })
	o.Outline(o.NewRun())
	all := o.Calls(func() { o.Outline(o.NewRun()) })
	require.Equal(t, map[string]int{"groups.search": 1, "role-assignments.list": 2}, all)
}

func TestOutlineCreatesMissingGroups(t *testing.T) {
	t.Parallel()
	o := activitytest.New(t)
	created := activitytest.Must[reconcile.AdmitResult](o, o.Acts.Reconcile.Admit, o.AdmitIn(fmt.Sprintf(`
version: 1
organization: {name: acme, id: %s, key: "env:KEY"}
mappings:
  - {name: team spaces, from: [eng], to: ["group:team-eng"], create: true}
ignore: [support, unused]
guard: {adopt: auto}
`, o.Sim.Info().OrgID)))
	run := session.RunInput{Org: activitytest.Org, Run: "r1", Policy: created.Policy, Preview: true}
	o.Outline(run)
	require.Zero(t, o.Sim.Stats().Operations["groups.create"], "a preview creates nothing")

	run.Run, run.Preview = "r2", false
	o.Outline(run)
	o.Outline(run)
	require.Equal(t, 1, o.Sim.Stats().Operations["groups.create"], "a repeat finds the group")
	require.False(t, o.Group("team-eng").Synced)
}

func TestSweepGoesBlockByBlock(t *testing.T) {
	t.Parallel()
	o := activitytest.NewOf(t, activitytest.PeopleInEng(350))
	o.Admit(activitytest.AutoAdopt)
	run := o.NewRun()
	o.Outline(run)
	first := activitytest.Must[session.SweepResult](o, o.Acts.Reconcile.Sweep,
		reconcile.SweepInput{RunInput: run, Pages: 2})
	require.Equal(t, 200, first.People)
	require.Equal(t, 2, first.Calls)
	require.NotEmpty(t, first.Next)
	second := activitytest.Must[session.SweepResult](o, o.Acts.Reconcile.Sweep,
		reconcile.SweepInput{RunInput: run, Pages: 2, Block: 1, Cursor: first.Next})
	require.Equal(t, 150, second.People)
	require.Empty(t, second.Next)
	verdict := o.Judge(run)
	require.Equal(t, 352, verdict.Counts.Adds)
	require.Equal(t, 350, verdict.Counts.People)
	require.Zero(t, verdict.Suspects)
}

func TestSweepResumesAnEarlierAttempt(t *testing.T) {
	t.Parallel()
	o := activitytest.NewOf(t, activitytest.PeopleInEng(350))
	o.Admit(activitytest.AutoAdopt)
	run := o.NewRun()
	o.Outline(run)
	in := reconcile.SweepInput{RunInput: run, Pages: 20}
	o.Inject(cloud.Fault{Operations: []string{"users.search"}, Kind: cloud.FaultStatus, After: 2, Count: 1,
		Params: cloud.FaultParams{Status: 503}})
	_, err := activitytest.Call[session.SweepResult](o, o.Acts.Reconcile.Sweep, in)
	app := activitytest.ApplicationError(t, err)
	require.Equal(t, session.ErrUnavailable, app.Type())
	require.False(t, app.NonRetryable())
	require.NotEmpty(t, o.Beats)
	var beat struct {
		Page   int
		Cursor string
		People int
	}
	require.NoError(t, o.Beats[len(o.Beats)-1](&beat))
	require.Equal(t, 2, beat.Page)
	require.Equal(t, 200, beat.People)

	o.Beat = beat
	o.Restart() // the next attempt may be on another worker
	var result session.SweepResult
	made := o.Calls(func() { result = activitytest.Must[session.SweepResult](o, o.Acts.Reconcile.Sweep, in) })
	require.Equal(t, 2, made["users.search"], "only the pages that were left")
	require.Equal(t, 350, result.People)
	verdict := o.Judge(run)
	require.Equal(t, 352, verdict.Counts.Adds)
	require.Zero(t, verdict.Suspects, "everybody was counted once")
}

func TestSweepWhoseAnswerWasLostIsNotRepeated(t *testing.T) {
	t.Parallel()
	o := activitytest.NewOf(t, activitytest.PeopleInEng(150))
	o.Admit(activitytest.AutoAdopt)
	run := o.NewRun()
	o.Sweep(run)
	o.Beat = map[string]any{"Page": 2, "Cursor": "", "People": 150}
	made := o.Calls(func() {
		result := activitytest.Must[session.SweepResult](o, o.Acts.Reconcile.Sweep,
			reconcile.SweepInput{RunInput: run, Pages: 20})
		require.Equal(t, 150, result.People)
		require.Empty(t, result.Next)
	})
	require.Empty(t, made)
}

func TestSweepOfABlockCanBeRepeated(t *testing.T) {
	t.Parallel()
	o := activitytest.New(t)
	o.Admit(activitytest.AutoAdopt)
	run, before := o.SweepAndJudge()
	o.Sweep(run)
	after := o.Judge(run)
	require.Equal(t, before.Plan, after.Plan)
	require.Equal(t, before.Counts, after.Counts)
	require.Zero(t, after.Suspects, "a repeat replaces what it saw")
}

func TestSweepRefusesACursorThatRepeats(t *testing.T) {
	t.Parallel()
	o := activitytest.NewOf(t, activitytest.PeopleInEng(350))
	o.Admit(activitytest.AutoAdopt)
	run := o.NewRun()
	o.Outline(run)
	o.Inject(cloud.Fault{Operations: []string{"users.search"}, Kind: cloud.FaultRepeatedCursor, After: 1})
	_, err := activitytest.Call[session.SweepResult](o, o.Acts.Reconcile.Sweep,
		reconcile.SweepInput{RunInput: run, Pages: 20})
	require.Equal(t, session.ErrEvidence, activitytest.ApplicationError(t, err).Type())
}

func TestGuardHoldsTheFirstPlan(t *testing.T) {
	t.Parallel()
	o := activitytest.New(t)
	o.Admit("")
	run := o.NewRun()
	require.Equal(t, 12, o.Sweep(run))
	verdict := o.Judge(run)
	require.Zero(t, verdict.Open)
	require.Equal(t, messages.Counts{People: 12, Adds: 8, Adopts: 1, Held: 9, Foreign: 1}, counted(verdict.Counts))
	require.Equal(t, 8, verdict.Hold.Adds)
	require.Equal(t, run.Run, verdict.Hold.Run)
	require.Len(t, verdict.Hold.Rules, 1)
	require.Contains(t, verdict.Hold.Rules[0], "adopt")
	require.Contains(t, verdict.Hold.Plan, "sha256:")
	for label, c := range o.Lines(run.Run) {
		require.Equal(t, access.Held, c.State, label)
	}
	require.Empty(t, o.Write(run))
	require.Zero(t, o.Sim.Stats().Writes)
}

// counted leaves out what depends on how the calls went.
func counted(c messages.Counts) messages.Counts { c.Calls = 0; return c }

func TestDryRunRecordsAndReleasesNothing(t *testing.T) {
	t.Parallel()
	o := activitytest.New(t)
	o.Admit(activitytest.AutoAdopt + "\ndryRun: true")
	run, verdict := o.SweepAndJudge()
	require.Zero(t, verdict.Open)
	require.Equal(t, 8, verdict.Counts.Adds)
	for label, c := range o.Lines(run.Run) {
		require.Equal(t, access.Recorded, c.State, label)
	}
	require.Empty(t, o.Write(run))
}

func TestGuardHoldsRemovalsAndReleasesAdditions(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	o.Admit("guard: {adopt: auto, run: {removals: 1}, source: {share: 100%}}")
	o.Leave("eng", "carol", "dan", "eve")
	o.Join("eng", "jo")
	run, verdict := o.SweepAndJudge()
	require.Equal(t, 1, verdict.Open)
	require.Equal(t, 3, verdict.Counts.Held)
	require.Equal(t, 3, verdict.Hold.Removals)
	require.Equal(t, map[string]access.ChangeState{"add jo@example.com to group:builders": access.Done},
		activitytest.States(o.Write(run)))
	require.Equal(t, "ana bo carol dan eve jo kim", o.Members("builders"))
}

// Whoever's list of groups came back cut short seems to have left; the groups' own counts say otherwise.
func TestSweepRemovesNobodyOnTruncatedGroupLists(t *testing.T) {
	t.Parallel()
	t.Run("while they last, removals wait", func(t *testing.T) {
		o := activitytest.NewInStep(t)
		o.Inject(cloud.Fault{Operations: []string{"users.search"}, Kind: cloud.FaultTruncatedGroups,
			Params: cloud.FaultParams{Share: 0.9}})
		run, verdict := o.SweepAndJudge()
		require.Positive(t, verdict.Counts.Removals, "the fault struck")
		require.Positive(t, verdict.Suspects)
		require.Equal(t, verdict.Counts.Removals, verdict.Counts.Held)
		for label := range o.Write(run) {
			require.NotContains(t, label, "remove")
		}
	})
	t.Run("a partial look takes nothing either", func(t *testing.T) {
		o := activitytest.NewInStep(t)
		o.Inject(cloud.Fault{Operations: []string{"users.search"}, Kind: cloud.FaultTruncatedGroups,
			Params: cloud.FaultParams{Share: 1}})
		first := o.Examine(o.NewRun(), "", o.AccountID("carol"))
		run := o.NewRun()
		second := o.Examine(run, "run-002", o.AccountID("carol"))
		require.Zero(t, first.Open)
		require.Zero(t, second.Open, "the group search still shows carol in eng")
		require.Empty(t, o.Write(run))
		require.Contains(t, o.Members("builders"), "carol")
	})
}

func TestSweepIsNotHeldUpByAMove(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	o.Leave("eng", "carol")
	run := o.NewRun()
	o.Sweep(run)
	o.Leave("eng", "dan") // after dan was read
	verdict := o.Judge(run)
	require.Equal(t, 1, verdict.Counts.Removals)
	require.Zero(t, verdict.Counts.Held, "%v", verdict.Findings)
	require.Equal(t, map[string]access.ChangeState{"remove carol@example.com from group:builders": access.Done},
		activitytest.States(o.Write(run)))
}

func TestGuardHoldsRemovalsOfAShrunkSource(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	o.Admit("guard: {adopt: auto, run: {removals: 1000, share: 100%}, target: {removals: 1000, share: 100%}, lastAccess: {people: 1000}, window: {removals: 1000, share: 100%}, source: {share: 30%, minimum: 5}}")
	o.Leave("eng", "carol", "dan", "eve")
	o.Leave("support", "hana")
	_, verdict := o.SweepAndJudge()
	require.Equal(t, 3, verdict.Hold.Removals)
	require.Contains(t, verdict.Hold.Rules[0], "eng")
	require.Equal(t, 1, verdict.Open, "support is too small to be judged, and lost one")
}

// A verification that saw no groups knows nothing of sources: the last good counts stay the measure of later runs.
func TestSweepWithAnEmptyGroupSearchRemovesNobody(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	o.Inject(cloud.Fault{Operations: []string{"groups.search"}, Kind: cloud.FaultEmptyPage,
		Params: cloud.FaultParams{Next: "drop"}})
	run, verdict := o.SweepAndJudge()
	require.Positive(t, verdict.Suspects)
	require.Empty(t, o.Write(run))
	o.Finish(run, messages.ScopeFull)
	known, err := o.Ledger.SourceCounts(t.Context(), activitytest.Org)
	require.NoError(t, err)
	for _, source := range []string{"eng", "support"} {
		require.Contains(t, known, o.Group(source).ID, "what %s had is the measure of the next run", source)
	}
}
