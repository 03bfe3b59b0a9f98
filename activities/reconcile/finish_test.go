package reconcile_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/apply"
	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

func TestSetEndsLinesWithoutACall(t *testing.T) {
	t.Parallel()
	o := activitytest.New(t)
	o.Admit(activitytest.OpenGuard)
	run, _ := o.SweepAndJudge()
	in := reconcile.SetInput{RunInput: run, Action: access.Add, Target: []access.Entitlement{"group:helpers"},
		State: access.Shortage, Answer: "not tried"}
	made := o.Calls(func() { require.Equal(t, 2, activitytest.Must[int](o, o.Acts.Reconcile.Set, in)) })
	require.Empty(t, made)
	require.Zero(t, activitytest.Must[int](o, o.Acts.Reconcile.Set, in))
	require.Equal(t, 1, activitytest.Must[int](o, o.Acts.Reconcile.Set,
		reconcile.SetInput{RunInput: run, Action: access.Adopt, State: access.Done, Answer: "recorded"}))
	require.Len(t, o.Write(run), 6)
	states, err := o.Ledger.States(t.Context(), activitytest.Org, []string{o.AccountID("finn")}, o.Clock())
	require.NoError(t, err)
	require.True(t, states[o.AccountID("finn")].Holdings[0].Owned, "adopted is owned")
}

func TestVerifyReadsBack(t *testing.T) {
	t.Parallel()
	o := activitytest.New(t)
	o.Admit(activitytest.OpenGuard)
	o.Configure(func(s *cloud.Settings) { s.Lag = cloud.Duration(10 * time.Second) })
	run, _ := o.SweepAndJudge()
	o.Write(run)
	early := activitytest.Must[reconcile.VerifyResult](o, o.Acts.Reconcile.Verify, run)
	require.Equal(t, 8, early.Unverified)
	require.Len(t, early.Open, 8)
	o.Advance(20 * time.Second)
	late := activitytest.Must[reconcile.VerifyResult](o, o.Acts.Reconcile.Verify, run)
	require.Equal(t, 8, late.Verified)
	require.Zero(t, late.Unverified)
	require.True(t, o.Lines(run.Run)["add carol@example.com to group:builders"].Verified)
	again := activitytest.Must[reconcile.VerifyResult](o, o.Acts.Reconcile.Verify, run)
	require.Equal(t, late.Verified, again.Verified)
}

func TestVerifyIgnoresWhatALaterRunTookBack(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	run := session.RunInput{Org: activitytest.Org, Run: "run-001", Policy: o.Policy}
	before := activitytest.Must[reconcile.VerifyResult](o, o.Acts.Reconcile.Verify, run)
	o.Leave("support", "lea")
	_, sum := o.VerifyEverybody()
	require.Positive(t, sum.Counts.Done)
	after := activitytest.Must[reconcile.VerifyResult](o, o.Acts.Reconcile.Verify, run)
	require.Less(t, after.Verified, before.Verified)
	require.Zero(t, after.Unverified)

	o.ByHand(http.MethodDelete, "builders", "carol")
	require.Equal(t, 1, activitytest.Must[reconcile.VerifyResult](o, o.Acts.Reconcile.Verify, run).Unverified,
		"what somebody else took back is missed")
}

func TestFinishCountsAndRepeats(t *testing.T) {
	t.Parallel()
	o := activitytest.New(t)
	o.Admit(activitytest.OpenGuard)
	run, _ := o.SweepAndJudge()
	o.Write(run)
	sum := o.Finish(run, messages.ScopeFull)
	require.Equal(t, 9, sum.Counts.Done)
	require.Equal(t, messages.RunDone, sum.State)
	counts, err := o.Ledger.SourceCounts(t.Context(), activitytest.Org)
	require.NoError(t, err)
	require.Len(t, counts, 3, "what the source groups had is the measure of the next run")
	again := o.Finish(run, messages.ScopeFull)
	require.Equal(t, sum.Counts, again.Counts)
	kept, err := o.Ledger.Run(t.Context(), activitytest.Org, run.Run)
	require.NoError(t, err)
	require.Equal(t, messages.RunDone, kept.State)
	require.False(t, kept.Ended.IsZero())
}

// A run can be stopped at any moment, also before it read anything.
func TestFinishClosesARunThatWasStoppedEarly(t *testing.T) {
	t.Parallel()
	for name, reach := range map[string]func(*activitytest.SimulatedOrg, session.RunInput){
		"before the outline": func(*activitytest.SimulatedOrg, session.RunInput) {},
		"before the sweep":   func(o *activitytest.SimulatedOrg, run session.RunInput) { o.Outline(run) },
		"before the verdict": func(o *activitytest.SimulatedOrg, run session.RunInput) { o.Sweep(run) },
	} {
		for _, problem := range []*messages.Problem{nil, {Kind: session.ErrKeyRefused, Message: "organization acme: make a new key"}} {
			t.Run(name, func(t *testing.T) {
				o := activitytest.New(t)
				o.Admit(activitytest.OpenGuard)
				run := o.NewRun()
				reach(o, run)
				sum := activitytest.Must[messages.RunSummary](o, o.Acts.Reconcile.Finish,
					reconcile.FinishInput{RunInput: run, Scope: messages.ScopeFull, Summary: messages.RunSummary{
						Run: run.Run, Scope: messages.ScopeFull, State: messages.RunStopped, Problem: problem,
						Started: o.Clock(),
					}})
				require.Equal(t, messages.RunStopped, sum.State)
				kept, err := o.Ledger.Run(t.Context(), activitytest.Org, run.Run)
				require.NoError(t, err)
				require.False(t, kept.Ended.IsZero())
				require.Equal(t, problem, session.RunMessage(kept).Problem)
				counts, err := o.Ledger.SourceCounts(t.Context(), activitytest.Org)
				require.NoError(t, err)
				require.Empty(t, counts, "a run that was stopped proves nothing")
			})
		}
	}
}

func TestUndoTakesARunBack(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	o.Leave("eng", "carol")
	o.Join("eng", "jo")
	run, sum := o.VerifyEverybody()
	require.Equal(t, 2, sum.Counts.Done)
	require.True(t, o.Ask(messages.ReportInput{Kind: messages.ReportLedger}).Ledger.Whole)
	columns := "action, group_id, email, state, reasons, sources, loses, held_by, answer, at, attempts"
	o.Forge(`INSERT INTO lines (org, run, person, target, rank, `+columns+
		`) SELECT org, run, person, 'role:org-admin', rank, `+columns+` FROM lines WHERE run = ? AND action = 'remove'`,
		run.Run)
	o.Forge(`INSERT INTO lines (org, run, person, target, rank, `+columns+`) SELECT org, run, ?, target, rank, `+
		columns+` FROM lines WHERE run = ? AND action = 'remove' AND target = 'group:builders'`, o.AccountID("eve"), run.Run)
	forged := o.Ask(messages.ReportInput{Kind: messages.ReportLedger})
	require.EqualValues(t, 2, forged.Ledger.Unexplained)
	require.Contains(t, forged.Message,
		"lines "+run.Run+" "+o.AccountID("carol")+" role:org-admin: it is done, and no entry of the chain says so")
	undo := o.NewRun()
	require.Equal(t, 2, activitytest.Must[int](o, o.Acts.Reconcile.PlanUndo,
		reconcile.UndoInput{RunInput: undo, Of: run.Run, By: "ana"}))
	require.Equal(t, 2, activitytest.Must[int](o, o.Acts.Reconcile.PlanUndo,
		reconcile.UndoInput{RunInput: undo, Of: run.Run, By: "ana"}), "a repeat plans the same")
	verdict := activitytest.Must[reconcile.JudgeResult](o, o.Acts.Reconcile.Judge,
		reconcile.JudgeInput{RunInput: undo, Scope: messages.ScopeUndo, Started: o.Clock()})
	require.Equal(t, 2, verdict.Open)
	require.Equal(t, map[string]access.ChangeState{
		"add carol@example.com to group:builders":   access.Done,
		"remove jo@example.com from group:builders": access.Done,
	}, activitytest.States(o.Write(undo)))
	require.Equal(t, "ana bo carol dan eve kim", o.Members("builders"))

	_, err := activitytest.Call[int](o, o.Acts.Reconcile.PlanUndo,
		reconcile.UndoInput{RunInput: o.NewRun(), Of: "nothing"})
	require.Equal(t, session.ErrUnknown, activitytest.ApplicationError(t, err).Type())
}

// Undoing much passes the same guard; once approved, it is done, though the policy asks for the opposite.
func TestUndoThatIsHeldCanBeApproved(t *testing.T) {
	t.Parallel()
	o := activitytest.New(t)
	o.Admit(activitytest.OpenGuard)
	run, _ := o.VerifyEverybody()
	o.Admit("guard: {adopt: auto, run: {removals: 2}, source: {share: 100%}}")
	undo := o.NewRun()
	activitytest.Must[int](o, o.Acts.Reconcile.PlanUndo, reconcile.UndoInput{RunInput: undo, Of: run.Run, By: "ana"})
	verdict := activitytest.Must[reconcile.JudgeResult](o, o.Acts.Reconcile.Judge,
		reconcile.JudgeInput{RunInput: undo, Scope: messages.ScopeUndo, Started: o.Clock()})
	require.Equal(t, 8, verdict.Hold.Removals)
	require.True(t, verdict.Hold.Undo)
	o.Finish(undo, messages.ScopeUndo)
	activitytest.Must[reconcile.DecideResult](o, o.Acts.Reconcile.Decide,
		reconcile.DecideInput{Org: activitytest.Org, Decision: ledger.Approve,
			DecisionInput: messages.DecisionInput{Plan: verdict.Hold.Plan, By: "carol"}})
	confirmed := activitytest.Must[reconcile.ConfirmResult](o, o.Acts.Reconcile.Confirm,
		apply.ConfirmInput{RunInput: undo, Actions: []access.Action{access.Remove}, Fresh: true})
	require.Equal(t, 8, confirmed.Standing)
	require.Len(t, o.Write(undo), 8)
	require.Empty(t, o.Members("builders"))
	require.Equal(t, "finn gil", o.Members("helpers"))
}
