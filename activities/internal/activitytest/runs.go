package activitytest

import (
	"io"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/apply"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
)

// Holding is what the ledger knows of a person in builders.
func (o *SimulatedOrg) Holding(person string) *access.Holding {
	o.T.Helper()
	states, err := o.Ledger.States(o.T.Context(), Org, []string{person}, o.Clock())
	require.NoError(o.T, err)
	for _, h := range states[person].Holdings {
		if h.Target == Builders {
			return &h
		}
	}
	return nil
}

func (o *SimulatedOrg) Line(in apply.ChangeInput) access.Change {
	o.T.Helper()
	c, err := o.Ledger.Line(o.T.Context(), Org, in.Run, in.Person, in.Target)
	require.NoError(o.T, err)
	return c
}

// LookAndWrite looks at people, and writes what follows.
func (o *SimulatedOrg) LookAndWrite(names ...string) {
	o.T.Helper()
	first := o.NewRun()
	o.Examine(first, "", names...)
	o.Write(first)
	o.Advance(5 * time.Second)
	second := o.NewRun()
	o.Examine(second, first.Run, names...)
	o.Write(second)
	o.Advance(time.Minute)
}

// VerifyFully does a whole verification, with what the reconcile workflow does about what was not shown.
func (o *SimulatedOrg) VerifyFully() (map[string]apply.ChangeResult, apply.EndedResult) {
	o.T.Helper()
	run, verdict := o.SweepAndJudge()
	results := o.Write(run)
	o.Advance(5 * time.Second)
	var over apply.EndedResult
	if verdict.Unseen > 0 {
		over = Must[apply.EndedResult](o, o.Acts.Reconcile.CloseEnded, run)
		require.Zero(o.T, Must[apply.EndedResult](o, o.Acts.Reconcile.CloseEnded, run).Holdings,
			"a repeat finds it done")
	}
	o.Finish(run, messages.ScopeFull)
	o.Advance(time.Minute)
	return results, over
}

// LookTwice looks at people two times, as for events that name them.
func (o *SimulatedOrg) LookTwice(names ...string) reconcile.JudgeResult {
	o.T.Helper()
	first := o.NewRun()
	o.Examine(first, "", names...)
	o.Advance(5 * time.Second)
	return o.Examine(o.NewRun(), first.Run, names...)
}

// Entry returns the last thing that the chain says of somebody.
func (o *SimulatedOrg) Entry(name string, target access.Entitlement) (kind, body string) {
	o.T.Helper()
	entries, err := o.Ledger.History(o.T.Context(), Org, o.AccountID(name), target, 1)
	require.NoError(o.T, err)
	require.NotEmpty(o.T, entries)
	return entries[0].Kind, string(entries[0].Body)
}

// OwnedHoldings are the standing holdings of Castellan's own, by person and target.
func (o *SimulatedOrg) OwnedHoldings() map[string]bool {
	o.T.Helper()
	all := map[string]bool{}
	for _, p := range o.Sim.State().People {
		held, err := o.Ledger.HoldingsAt(o.T.Context(), Org, p.AccountID, "", o.Clock())
		require.NoError(o.T, err)
		for _, h := range held {
			if h.Owned { // what somebody else made may be forgotten, and found again
				all[p.Name+" "+string(h.Target)] = true
			}
		}
	}
	return all
}

// Examine looks at people; first names the run of an earlier look.
func (o *SimulatedOrg) Examine(run session.RunInput, first string, names ...string) reconcile.JudgeResult {
	o.T.Helper()
	return Must[reconcile.JudgeResult](o, o.Acts.Reconcile.Examine,
		reconcile.ExamineInput{RunInput: run, Trigger: "events", Scope: Named(names...), First: first})
}

func (o *SimulatedOrg) DecideHold(decision string, hold *messages.Hold) reconcile.DecideResult {
	o.T.Helper()
	require.NotNil(o.T, hold)
	return Must[reconcile.DecideResult](o, o.Acts.Reconcile.Decide, reconcile.DecideInput{
		Org: Org, Decision: decision, DecisionInput: messages.DecisionInput{Plan: hold.Plan, By: "carol@example.com"},
	})
}

// FollowUp decides the people again whom a run changed, looks a second time, and writes. It returns the run and what
// came of it.
func (o *SimulatedOrg) FollowUp(of session.RunInput, since time.Time) (session.RunInput, reconcile.JudgeResult,
	messages.RunSummary) {
	o.T.Helper()
	in := reconcile.ExamineInput{RunInput: o.NewRun(), Trigger: "what a run changed",
		Scope: messages.Scope{Kind: messages.ScopePeople}, After: []string{of.Run}, Since: since}
	verdict := Must[reconcile.JudgeResult](o, o.Acts.Reconcile.Examine, in)
	if len(verdict.Settling) > 0 {
		o.Advance(10 * time.Second)
		in = reconcile.ExamineInput{RunInput: o.NewRun(), Trigger: "second look",
			Scope: messages.Scope{Kind: messages.ScopePeople, People: verdict.Settling}, First: in.Run, Since: since}
		verdict = Must[reconcile.JudgeResult](o, o.Acts.Reconcile.Examine, in)
	}
	if verdict.Quiet() {
		return in.RunInput, verdict, messages.RunSummary{}
	}
	o.Write(in.RunInput)
	sum := o.Finish(in.RunInput, messages.ScopePeople)
	o.Advance(time.Minute)
	return in.RunInput, verdict, sum
}

// CallOnStoppingWorker runs an activity on a worker that is told to stop once a call to Atlassian waits for its answer.
func (o *SimulatedOrg) CallOnStoppingWorker(run, in any) (converter.EncodedValue, error) {
	o.T.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.NewTextHandler(io.Discard, nil))))
	env := suite.NewTestActivityEnvironment()
	env.SetTestTimeout(time.Minute)
	env.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{&session.Interrupt{}}})
	o.Acts.Register(env)
	stop := make(chan struct{})
	env.SetWorkerStopChannel(stop)
	o.Send(http.MethodPost, "/_sim/stats/reset", nil)
	go func() {
		defer close(stop)
		for tick := time.Tick(time.Millisecond); o.Sim.Stats().PeakInFlight == 0; {
			select {
			case <-tick:
			case <-o.T.Context().Done():
				return
			}
		}
	}()
	return env.ExecuteActivity(run, in)
}

// LookAt looks at what a poll of the event feed names.
func (o *SimulatedOrg) LookAt(seen reconcile.WatchResult) reconcile.JudgeResult {
	o.T.Helper()
	return Must[reconcile.JudgeResult](o, o.Acts.Reconcile.Examine, reconcile.ExamineInput{
		RunInput: o.NewRun(), Trigger: "events", Fresh: seen.Fresh,
		Scope: messages.Scope{Kind: messages.ScopeGroups, People: seen.People, Groups: seen.Groups,
			Recount: seen.Recount},
	})
}

// Watch polls once, from a cursor.
func (o *SimulatedOrg) Watch(cursor string) reconcile.WatchResult {
	o.T.Helper()
	return Must[reconcile.WatchResult](o, o.Acts.Reconcile.Watch,
		reconcile.WatchInput{Org: Org, Policy: o.Policy, Cursor: cursor, Every: messages.Duration(time.Second),
			Once: true})
}

// NewWatched is a simulated organization in step and the cursor behind all that has happened.
func NewWatched(t *testing.T) (*SimulatedOrg, string) {
	t.Helper()
	o := NewInStep(t)
	o.Advance(time.Hour)
	first := o.Watch("")
	require.Equal(t, "events", first.Mode)
	require.Empty(t, first.People, "a first watch begins now")
	return o, first.Cursor
}

// WhoIs is the account that the reports find behind a word.
func (o *SimulatedOrg) WhoIs(typed string) (string, error) {
	o.T.Helper()
	answer, err := Call[messages.ReportAnswer](o, o.Acts.Reports.Answer,
		messages.ReportInput{Org: Org, Kind: messages.ReportWhy, Person: typed})
	if err != nil {
		return "", err
	}
	return answer.Why.Person.ID, nil
}
