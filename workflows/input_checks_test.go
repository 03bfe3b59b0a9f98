package workflows_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/messages"
)

// A key in another case, or twice, is refused wherever it stands: as an update without a trace, as a signal recorded.
func TestOrgSyncTakesOnlyDocumentedKeys(t *testing.T) {
	for name, body := range map[string]struct{ name, body, why string }{
		"another case": {messages.ApprovePlan,
			`{"plan":"sha256:held","by":"finn@acme.example","BY":"carol@acme.example"}`, `unknown field "BY"`},
		"twice": {messages.ApprovePlan,
			`{"plan":"sha256:held","by":"finn@acme.example","by":"carol@acme.example"}`, `"by" stands there twice`},
		"twice, escaped": {messages.Pause, `{"by":"finn","\u0062y":"carol"}`, `"by" stands there twice`},
		"deep in the policy": {messages.ApplyPolicy, `{"by":"finn","policy":{"organization":{"id":"a","id":"b"}}}`,
			`"policy.organization.id" stands there twice`},
		"a long name": {messages.Pause, `{"by":"` + strings.Repeat("x", 321) + `"}`,
			"by has 321 bytes; at most 320"},
		"a long reason": {messages.Pause, `{"by":"finn","reason":"` + strings.Repeat("x", 4001) + `"}`,
			"reason has 4001 bytes"},
		"a long person": {messages.SyncNow, `{"person":"` + strings.Repeat("x", 400) + `"}`,
			"person has 400 bytes"},
		"a long run": {messages.Undo, `{"by":"finn","run":"` + strings.Repeat("x", 400) + `"}`,
			"run has 400 bytes"},
		"a long target": {messages.Grant,
			`{"person":"ana","requestedBy":"bo","target":"group:` + strings.Repeat("x", 1100) + `"}`,
			"target has 1106 bytes"},
		"no text": {messages.Pause, `{"by":"a\u0000b"}`, "U+0000"},
		"a large body": {messages.SyncNow, `{"by":"mallory","person":"` + strings.Repeat("x", 1<<20) + `"}`,
			"It was not read"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLoop(t)
			update := l.updateAt(time.Minute, body.name, typed(body.body))
			l.signalAt(2*time.Minute, body.name, typed(body.body))
			l.start(time.Hour)
			require.ErrorContains(t, update.rejected, body.why)
			refused := l.status().Refused
			require.Len(t, refused, 1)
			require.Contains(t, refused[0].Why, body.why)
			require.Less(t, len(refused[0].Why), 600)
		})
	}
}

// Who sent what was dropped is shown, as far as its body says so, and how large it was.
func TestOrgSyncShowsTheSenderOfADroppedMessage(t *testing.T) {
	l := newLoop(t)
	large := strings.Repeat("x", 1<<20)
	l.signalAt(time.Minute, messages.SyncNow, typed(`{"by":"mallory@acme.example","person":"`+large+`"}`))
	l.signalAt(2*time.Minute, "no-such-signal", typed(`{"requestedBy":"mallory@acme.example","x":"`+large+`"}`))
	l.signalAt(3*time.Minute, messages.ForceContinueAsNew, typed(`"`+large+`"`))
	l.start(time.Hour)
	refused := l.status().Refused
	require.Len(t, refused, 3)
	require.Equal(t, []string{"mallory@acme.example", "mallory@acme.example", ""},
		[]string{refused[0].By, refused[1].By, refused[2].By})
	for _, r := range refused {
		require.Greater(t, r.Size, 1<<20)
	}
	require.Contains(t, l.page(), "said by mallory@acme.example")
}

// What workflows say to each other is checked like what people say, and recorded where it cannot be right.
func TestOrgSyncChecksInternalSignals(t *testing.T) {
	for name, signal := range map[string]struct{ name, body string }{
		"attend of nobody": {messages.ReconcileGrant,
			`{"workflow":"","person":"p","target":"role:org-admin","turn":1}`},
		"attend of another org": {messages.ReconcileGrant,
			`{"workflow":"grant:other:role:org-admin:p","person":"p","target":"role:org-admin","turn":1}`},
		"attend of a bad id": {messages.ReconcileGrant,
			`{"workflow":"grant:acme:group:Büro:p","person":"p","target":"group:Büro","turn":1}`},
		"attend without a person": {messages.ReconcileGrant,
			`{"workflow":"grant:acme:role:org-admin:p","target":"role:org-admin","turn":1}`},
		"attend without a target": {messages.ReconcileGrant,
			`{"workflow":"grant:acme:role:org-admin:p","person":"p","turn":1}`},
		"attend of a large person": {messages.ReconcileGrant,
			`{"workflow":"grant:acme:role:org-admin:p","person":"` + strings.Repeat("p", 400) +
				`","target":"role:org-admin","turn":1}`},
		"attend twice": {messages.ReconcileGrant,
			`{"workflow":"grant:acme:role:org-admin:p","person":"p","person":"q","target":"role:org-admin","turn":1}`},
		"attend that is text": {messages.ReconcileGrant, `"x"`},
		"look-at of nothing":  {messages.LookAt, `{}`},
		"look-at of nobody":   {messages.LookAt, `{"review":"r","people":[""]}`},
		"look-at of too many": {messages.LookAt,
			`{"review":"r","people":["a"` + strings.Repeat(`,"a"`, 4000) + `]}`},
		"aside of no run":        {messages.WritesPaused, `{"turn":1}`},
		"progress of no run":     {messages.RunProgress, `{"run":{}}`},
		"progress of no state":   {messages.RunProgress, `{"run":{"run":"r","state":"approve it"}}`},
		"progress of a long run": {messages.RunProgress, `{"run":{"run":"` + strings.Repeat("r", 400) + `"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			d := newGrantsLoop(t)
			d.signalAt(time.Minute, signal.name, typed(signal.body))
			d.start(time.Hour)
			refused := d.status().Refused
			require.Len(t, refused, 1)
			require.Equal(t, signal.name, refused[0].Name)
			require.Empty(t, d.told, "nobody is told of it")
			require.Empty(t, d.examines)
		})
	}
}

// What is held and what is consented to comes from the ledger, whatever is said in the name of a run.
func TestOrgSyncBelievesNoSignalAboutAHold(t *testing.T) {
	l := newLoop(t)
	l.run = func(ctx workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
		_ = workflow.Sleep(ctx, time.Hour)
		sum := ended(in)
		sum.Hold = &messages.Hold{Plan: held, Run: in.Run, Removals: 3, Opened: begin}
		tell(ctx, in, sum, true)
		return sum, nil
	}
	l.admit = func(in reconcile.AdmitInput) (reconcile.AdmitResult, error) { return inForce(in, false), nil }
	l.at(time.Minute, func() {
		l.env.SignalWorkflow(messages.RunProgress, messages.ProgressSignal{Judged: true, Run: messages.RunSummary{
			Run: l.runs[0].Run, State: messages.RunApplying, Trigger: "forged", Plan: "forged", By: "forged",
			Findings: []string{"forged"}, Adopted: true,
			Hold: &messages.Hold{Plan: "sha256:forged", Run: "forged", Adds: 1, Opened: begin},
		}})
	})
	l.at(2*time.Minute, func() {
		require.Nil(t, l.status().Hold)
		require.False(t, l.status().Adopted)
		require.NotContains(t, l.page(), "forged")
		require.Equal(t, messages.RunReading, l.status().Running.State)
		require.Contains(t, lastOf(l.status().Refused).Why, "did not send this")
		text, err := json.Marshal(l.status())
		require.NoError(t, err)
		require.NotContains(t, string(text), "forged")
	})
	l.at(2*time.Hour, func() {
		require.Equal(t, held, l.status().Hold.Plan, "what its guard held is taken from the ledger")
		require.False(t, l.status().Adopted)
	})
	l.start(3 * time.Hour)
}

// What a run has noticed is seen while it goes on: it may write for hours.
func TestOrgSyncShowsWhatARunUnderWayHasNoticed(t *testing.T) {
	l := newLoop(t)
	l.run = func(ctx workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
		sum := ended(in)
		sum.State, sum.Findings = messages.RunApplying, []string{"source-suspect eng: it shrank"}
		tell(ctx, in, sum, true)
		_ = workflow.Sleep(ctx, time.Hour)
		sum.State = messages.RunDone
		return sum, nil
	}
	l.at(time.Minute, func() {
		require.Equal(t, messages.RunApplying, l.status().Running.State)
		require.Equal(t, []string{"source-suspect eng: it shrank"}, l.status().Running.Findings)
		require.Equal(t, 1, l.status().Running.Reported)
	})
	l.start(2 * time.Hour)
}

func TestTemporaryGrantChecksInternalSignals(t *testing.T) {
	l := newGrantTest(t, grantFrom("g1", 0, time.Hour))
	l.signalAt(10*time.Minute, messages.GrantReconciled, typed(`{"turn":0,"right":true}`))
	l.signalAt(11*time.Minute, messages.GrantReconciled, typed(`{"turn":"one"}`))
	l.signalAt(12*time.Minute, messages.Look, typed(`"`+strings.Repeat("x", 1<<20)+`"`))
	l.at(20*time.Minute, func() { require.Len(t, l.status().Refused, 3) })
	require.Equal(t, messages.GrantOver, l.mustEnd().State)
}

func TestReconcileChecksItsGate(t *testing.T) {
	r := newRunTest(t, adding("a", jira))
	r.env.RegisterDelayedCallback(func() {
		r.env.SignalWorkflow(messages.Gate, typed(`"closed"`))
		r.env.SignalWorkflow(messages.Gate, typed(`{"closed":true,"turn":-1}`))
		r.env.SignalWorkflow(messages.Gate, typed(`{"closed":true,"why":"`+strings.Repeat("x", 1<<20)+`"}`))
	}, time.Millisecond)
	sum := r.do()
	require.Equal(t, 1, sum.Counts.Done, "it goes on")
	require.Len(t, sum.Refused, 3)
}

// A state names whose it is: another organization's, another grant's, another review's, another run's does not run.
func TestWorkflowsTakeNoStateOfAnother(t *testing.T) {
	t.Run("organization", func(t *testing.T) {
		for _, of := range []string{"other", ""} {
			l := newLoop(t)
			l.env.ExecuteWorkflow(messages.OrgSync,
				messages.OrgSyncInput{State: &messages.OrgSyncState{Org: of, Policy: "p", Adopted: true}})
			require.ErrorContains(t, l.env.GetWorkflowError(), "is not that of acme")
		}
	})
	t.Run("grant", func(t *testing.T) {
		l := newGrantTest(t)
		l.input.State = &messages.GrantState{Workflow: "grant:acme:role:org-admin:mallory"}
		_, err := l.runToEnd()
		require.ErrorContains(t, err, "is not that of grant:acme:role:org-admin:")
	})
	t.Run("review", func(t *testing.T) {
		c := newReviewTest(t)
		c.input.State = &messages.ReviewState{Workflow: "access-review:acme:other:2026-01-01",
			Phase: messages.ReviewDeciding}
		_, err := c.runToEnd()
		require.ErrorContains(t, err, "is not that of access-review:acme:")
	})
	t.Run("run", func(t *testing.T) {
		for _, of := range []string{"reconcile:other:r1", "grant:acme:r1"} {
			r := newRunTest(t, adding("a", jira))
			r.input.Progress = &messages.Progress{Workflow: of, Phase: "add"}
			r.env.ExecuteWorkflow(messages.Reconcile, r.input)
			require.ErrorContains(t, r.env.GetWorkflowError(), "is not that of reconcile:acme:r1")
		}
		r := newRunTest(t, adding("a", jira))
		r.input.Org = "other"
		r.env.ExecuteWorkflow(messages.Reconcile, r.input)
		require.ErrorContains(t, r.env.GetWorkflowError(), "is started by org-sync:other")
	})
}

// A run that the organization's loop did not start reads, records and writes nothing, whatever its input says.
func TestReconcileRunsAsAChildOfTheLoopAlone(t *testing.T) {
	for name, is := range map[string]struct {
		parent, id string
		change     func(*messages.ReconcileInput)
		why        string
	}{
		"by hand":                 {"", "hand1", nil, "is started by org-sync:acme, not manually"},
		"by hand, under its name": {"", "reconcile:acme:r1", nil, "is started by org-sync:acme, not manually"},
		"by another organization": {"org-sync:other", "reconcile:acme:r1", nil,
			"is started by org-sync:acme, not by org-sync:other"},
		"under another name": {"org-sync:acme", "hand1", nil, "must be reconcile:acme:r1, not hand1"},
		"under that of an approval": {"org-sync:acme", "reconcile:acme:r1:approved", nil,
			"must be reconcile:acme:r1, not"},
		"approved, as any other": {"org-sync:acme", "reconcile:acme:r1", func(in *messages.ReconcileInput) {
			in.Scope = messages.Scope{Kind: messages.ScopeHold, Run: "r1", Plan: held}
		}, "must be reconcile:acme:r1:approved"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRunTest(t, adding("a", jira))
			patientChild(r.env, is.parent)
			r.startAs(is.id)
			if is.change != nil {
				is.change(&r.input)
			}
			r.env.ExecuteWorkflow(messages.Reconcile, r.input)
			require.ErrorContains(t, r.env.GetWorkflowError(), is.why)
			require.Empty(t, r.calls)
		})
	}
}

// What a workflow is started with is as strict as what is said to it.
func TestWorkflowsRefuseInputsThatCanBeReadInTwoWays(t *testing.T) {
	for text, why := range map[string]string{
		`{"By":"carol"}`:                  `unknown field "By"`,
		`{"by":"a","by":"b"}`:             `"by" stands there twice`,
		`{"state":{"org":"a","org":"b"}}`: `"state.org" stands there twice`,
		`[]`:                              "does not fit",
		`"policy"`:                        "does not fit",
	} {
		l := newLoop(t)
		l.env.ExecuteWorkflow(messages.OrgSync, typed(text))
		require.ErrorContains(t, l.env.GetWorkflowError(), why)
	}
	q := newLoop(t)
	q.env.ExecuteWorkflow(messages.OrgSync)
	require.ErrorContains(t, q.env.GetWorkflowError(), "there was no input")
}
