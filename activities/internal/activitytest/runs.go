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
func (w *SimulatedOrg) Holding(person string) *access.Holding {
	w.T.Helper()
	states, err := w.Ledger.States(w.T.Context(), Org, []string{person}, w.Clock())
	require.NoError(w.T, err)
	for _, h := range states[person].Holdings {
		if h.Target == Builders {
			return &h
		}
	}
	return nil
}

func (w *SimulatedOrg) Line(in apply.ChangeInput) access.Change {
	w.T.Helper()
	c, err := w.Ledger.Line(w.T.Context(), Org, in.Run, in.Person, in.Target)
	require.NoError(w.T, err)
	return c
}

// Written looks at people, and writes what follows.
func (w *SimulatedOrg) Written(names ...string) {
	w.T.Helper()
	first := w.NewRun()
	w.Examine(first, "", names...)
	w.Write(first)
	w.Pass(5 * time.Second)
	second := w.NewRun()
	w.Examine(second, first.Run, names...)
	w.Write(second)
	w.Pass(time.Minute)
}

// Verified does a whole verification, with what the reconcile workflow does about what was not shown.
func (w *SimulatedOrg) Verified() (map[string]apply.ChangeResult, apply.EndedResult) {
	w.T.Helper()
	run, verdict := w.Planned()
	results := w.Write(run)
	w.Pass(5 * time.Second)
	var over apply.EndedResult
	if verdict.Unseen > 0 {
		over = Must[apply.EndedResult](w, w.Acts.Reconcile.CloseEnded, run)
		require.Zero(w.T, Must[apply.EndedResult](w, w.Acts.Reconcile.CloseEnded, run).Holdings,
			"a repeat finds it done")
	}
	w.Finish(run, messages.ScopeFull)
	w.Pass(time.Minute)
	return results, over
}

// Twice looks at people two times, as for events that name them.
func (w *SimulatedOrg) Twice(names ...string) reconcile.JudgeResult {
	w.T.Helper()
	first := w.NewRun()
	w.Examine(first, "", names...)
	w.Pass(5 * time.Second)
	return w.Examine(w.NewRun(), first.Run, names...)
}

// whyNot is the last thing that the chain says of somebody.
func (w *SimulatedOrg) Entry(name string, target access.Entitlement) (kind, body string) {
	w.T.Helper()
	entries, err := w.Ledger.History(w.T.Context(), Org, w.Id(name), target, 1)
	require.NoError(w.T, err)
	require.NotEmpty(w.T, entries)
	return entries[0].Kind, string(entries[0].Body)
}

// Books are the standing holdings of Castellan's own, by person and target.
func (w *SimulatedOrg) Books() map[string]bool {
	w.T.Helper()
	all := map[string]bool{}
	for _, p := range w.Sim.State().People {
		held, err := w.Ledger.HoldingsAt(w.T.Context(), Org, p.AccountID, "", w.Clock())
		require.NoError(w.T, err)
		for _, h := range held {
			if h.Owned { // what somebody else made may be forgotten, and found again
				all[p.Name+" "+string(h.Target)] = true
			}
		}
	}
	return all
}

// Examine looks at people; first names the run of an earlier look.
func (w *SimulatedOrg) Examine(run session.RunInput, first string, names ...string) reconcile.JudgeResult {
	w.T.Helper()
	return Must[reconcile.JudgeResult](w, w.Acts.Reconcile.Examine,
		reconcile.ExamineInput{RunInput: run, Trigger: "events", Scope: Named(names...), First: first})
}

func (w *SimulatedOrg) Decided(decision string, hold *messages.Hold) reconcile.DecideResult {
	w.T.Helper()
	require.NotNil(w.T, hold)
	return Must[reconcile.DecideResult](w, w.Acts.Reconcile.Decide, reconcile.DecideInput{
		Org: Org, Decision: decision, DecisionInput: messages.DecisionInput{Plan: hold.Plan, By: "carol@example.com"},
	})
}

// After decides the people again whom a run changed, looks a second time, and writes. It returns the run and what came
// of it.
func (w *SimulatedOrg) After(of session.RunInput, since time.Time) (session.RunInput, reconcile.JudgeResult,
	messages.RunSummary) {
	w.T.Helper()
	in := reconcile.ExamineInput{RunInput: w.NewRun(), Trigger: "what a run changed",
		Scope: messages.Scope{Kind: messages.ScopePeople}, After: []string{of.Run}, Since: since}
	verdict := Must[reconcile.JudgeResult](w, w.Acts.Reconcile.Examine, in)
	if len(verdict.Settling) > 0 {
		w.Pass(10 * time.Second)
		in = reconcile.ExamineInput{RunInput: w.NewRun(), Trigger: "second look",
			Scope: messages.Scope{Kind: messages.ScopePeople, People: verdict.Settling}, First: in.Run, Since: since}
		verdict = Must[reconcile.JudgeResult](w, w.Acts.Reconcile.Examine, in)
	}
	if verdict.Quiet() {
		return in.RunInput, verdict, messages.RunSummary{}
	}
	w.Write(in.RunInput)
	sum := w.Finish(in.RunInput, messages.ScopePeople)
	w.Pass(time.Minute)
	return in.RunInput, verdict, sum
}

// Stopped runs an activity on a worker that is told to stop once a call to Atlassian waits for its answer.
func (w *SimulatedOrg) Stopped(run, in any) (converter.EncodedValue, error) {
	w.T.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.NewTextHandler(io.Discard, nil))))
	env := suite.NewTestActivityEnvironment()
	env.SetTestTimeout(time.Minute)
	env.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{&session.Interrupt{}}})
	w.Acts.Register(env)
	stop := make(chan struct{})
	env.SetWorkerStopChannel(stop)
	w.Send(http.MethodPost, "/_sim/stats/reset", nil)
	go func() {
		defer close(stop)
		for tick := time.Tick(time.Millisecond); w.Sim.Stats().PeakInFlight == 0; {
			select {
			case <-tick:
			case <-w.T.Context().Done():
				return
			}
		}
	}()
	return env.ExecuteActivity(run, in)
}

// Glance looks at what a poll of the event feed names.
func (w *SimulatedOrg) Glance(seen reconcile.WatchResult) reconcile.JudgeResult {
	w.T.Helper()
	return Must[reconcile.JudgeResult](w, w.Acts.Reconcile.Examine, reconcile.ExamineInput{
		RunInput: w.NewRun(), Trigger: "events", Fresh: seen.Fresh,
		Scope: messages.Scope{Kind: messages.ScopeGroups, People: seen.People, Groups: seen.Groups,
			Recount: seen.Recount},
	})
}

// Watch polls once, from a cursor.
func (w *SimulatedOrg) Watch(cursor string) reconcile.WatchResult {
	w.T.Helper()
	return Must[reconcile.WatchResult](w, w.Acts.Reconcile.Watch,
		reconcile.WatchInput{Org: Org, Policy: w.Policy, Cursor: cursor, Every: messages.Duration(time.Second),
			Once: true})
}

// Watched is a world in step and the cursor behind all that has happened.
func Watched(t *testing.T) (*SimulatedOrg, string) {
	t.Helper()
	w := InStep(t)
	w.Pass(time.Hour)
	first := w.Watch("")
	require.Equal(t, "events", first.Mode)
	require.Empty(t, first.People, "a first watch begins now")
	return w, first.Cursor
}

// WhoIs is the account that the reports find behind a word.
func (w *SimulatedOrg) WhoIs(typed string) (string, error) {
	w.T.Helper()
	answer, err := Call[messages.ReportAnswer](w, w.Acts.Reports.Answer,
		messages.ReportInput{Org: Org, Kind: messages.ReportWhy, Person: typed})
	if err != nil {
		return "", err
	}
	return answer.Why.Person.ID, nil
}
