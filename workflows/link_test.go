package workflows_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities/provisioning"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/workflows"
)

// linkTest runs one batch of links in time-skipping time, and plays the activities and the organization's loop. There
// are four people, two in a wave.
type linkTest struct {
	historyRunner
	input messages.LinkInput

	pick    func(n int) (provisioning.PickLinksResult, error)
	nobody  bool                                                  // the preview shows nobody to link
	loop    func(n int, in messages.LinkWaveSignal) time.Duration // after which it answers; 0: it does not
	check   func(n int, in provisioning.CheckWaveInput) provisioning.CheckWaveResult
	id      string
	picks   int
	left    int // people without a wave
	asks    []messages.LinkWaveSignal
	askedAt []time.Duration
	checks  []provisioning.CheckWaveInput
	decided []reconcile.DecideInput
	ended   []string
	changed string // since the preview
	stopped bool   // the lines were ended before the rest
	after   []messages.ProvisionNowInput
}

const linkPlan = "sha256:4a"

func newLinkTest(t *testing.T) *linkTest {
	t.Helper()
	return &linkTest{historyRunner: historyRunner{t: t}, left: 4, id: messages.LinkID(org, "pilot"),
		input: messages.LinkInput{Provision: "staff", People: []string{"ana@acme.example"}, Wave: 2, By: "ops"},
		pick:  func(int) (provisioning.PickLinksResult, error) { return picked, nil },
		loop:  func(int, messages.LinkWaveSignal) time.Duration { return 5 * time.Second },
		check: func(int, provisioning.CheckWaveInput) provisioning.CheckWaveResult {
			return provisioning.CheckWaveResult{}
		},
	}
}

var picked = provisioning.PickLinksResult{Policy: "p1", People: 4, Gap: 9}

func (l *linkTest) runToEnd() (state messages.LinkState, err error) {
	l.t.Helper()
	if err = l.runHistories(messages.Link, l.input, l.openHistory); err == nil {
		err = l.env.GetWorkflowResult(&state)
	}
	l.allDone()
	return state, err
}

func (l *linkTest) openHistory(start time.Time) {
	env := l.newHistory(l.id, start)
	env.RegisterWorkflowWithOptions(workflows.Link, workflow.RegisterOptions{Name: messages.Link})
	for name, play := range map[string]any{
		"PickLinks": func(context.Context, provisioning.PickLinksInput) (provisioning.PickLinksResult, error) {
			l.picks++
			return l.pick(l.picks)
		},
		"PreviewLinks": func(_ context.Context,
			in provisioning.PreviewLinksInput) (provisioning.PreviewLinksResult, error) {
			if in.After == "" {
				return provisioning.PreviewLinksResult{Next: "hr:2", People: 2}, nil
			}
			return provisioning.PreviewLinksResult{People: 2}, nil
		},
		"JudgeLinks": func(_ context.Context, in provisioning.JudgeLinksInput) (provisioning.JudgeLinksResult, error) {
			result := provisioning.JudgeLinksResult{Counts: []messages.StateCount{{State: "pending", Count: 4}}}
			if !in.Observe && !l.nobody {
				result.Hold = &messages.Hold{Plan: linkPlan, People: 4, Rules: []string{"link: 4 people"}}
			}
			return result, nil
		},
		"CheckDecider": func(context.Context, reconcile.DeciderInput) error { return nil },
		"Decide": func(_ context.Context, in reconcile.DecideInput) (reconcile.DecideResult, error) {
			l.decided = append(l.decided, in)
			return reconcile.DecideResult{}, nil
		},
		"NextWave": func(_ context.Context, in provisioning.NextWaveInput) (next provisioning.NextWaveResult, err error) {
			if l.changed != "" {
				return provisioning.NextWaveResult{Surprise: []string{l.changed}}, nil
			}
			for ; l.left > 0 && len(next.Identities) < in.Size; l.left-- {
				next.Identities = append(next.Identities, "hr:"+string(rune('0'+l.left)))
			}
			return next, nil
		},
		"CheckWave": func(_ context.Context, in provisioning.CheckWaveInput) (provisioning.CheckWaveResult, error) {
			l.checks = append(l.checks, in)
			return l.check(len(l.checks), in), nil
		},
		"EndLinks": func(_ context.Context, in provisioning.EndLinksInput) (provisioning.EndLinksResult, error) {
			if in.LinesOnly {
				l.stopped = true
			} else {
				l.ended = append(l.ended, in.State)
			}
			return provisioning.EndLinksResult{Counts: []messages.StateCount{{State: "linked", Count: 4}}}, nil
		},
	} {
		env.RegisterActivityWithOptions(play, activity.RegisterOptions{Name: name})
	}
	env.OnSignalExternalWorkflow(mock.Anything, messages.OrgSyncID(org), "", messages.LinkWave, mock.Anything).Return(
		func(_, _, _, _ string, body any) error {
			in := body.(messages.LinkWaveSignal)
			l.asks, l.askedAt = append(l.asks, in), append(l.askedAt, l.since())
			if after := l.loop(len(l.asks), in); after > 0 {
				l.plan(l.env.Now().Add(after), func() { l.env.SignalWorkflow(messages.Look, nil) })
			}
			return nil
		}).Maybe()
	env.OnSignalExternalWorkflow(mock.Anything, messages.OrgSyncID(org), "", messages.ProvisionNow,
		mock.Anything).Return(func(_, _, _, _ string, body any) error {
		l.after = append(l.after, body.(messages.ProvisionNowInput))
		return nil
	}).Maybe()
	l.runs(env)
}

// approveAt approves the preview.
func (l *linkTest) approveAt(after time.Duration) *answer {
	return l.updateAt(after, messages.ApprovePlan, messages.DecisionInput{Plan: linkPlan, By: "ana"})
}

// TestLinkWaits: nobody is linked before exactly the preview is approved; then all are, wave by wave, and the loop
// hears of the end.
func TestLinkWaits(t *testing.T) {
	l := newLinkTest(t)
	other := l.updateAt(time.Second, messages.ApprovePlan, messages.DecisionInput{Plan: "sha256:5b", By: "ana"})
	l.at(time.Hour, func() {
		require.Empty(t, l.asks)
		contains(t, l.page(), "pilot", "held", "4 pending", "full verification: 9", "starter links", linkPlan,
			"--name approve-plan")
	})
	approved := l.approveAt(2 * time.Hour)
	state, err := l.runToEnd()
	require.NoError(t, err)
	require.ErrorContains(t, other.rejected, linkPlan)
	require.NoError(t, approved.err)
	require.Equal(t, messages.LinkDone, state.State)
	require.Equal(t, "pilot", l.decided[0].Batch)
	require.Len(t, l.asks, 2)
	require.Equal(t, []string{"hr:4", "hr:3"}, l.asks[0].Identities)
	require.Equal(t, []string{"hr:2", "hr:1"}, l.asks[1].Identities)
	require.Equal(t, []string{messages.LinkDone}, l.ended)
	require.Equal(t, "staff", l.after[0].Provision)
}

// TestLinkStopsAtASurprise: what the preview does not show stops the batch before the next wave.
func TestLinkStopsAtASurprise(t *testing.T) {
	l := newLinkTest(t)
	l.check = func(int, provisioning.CheckWaveInput) provisioning.CheckWaveResult {
		return provisioning.CheckWaveResult{Surprise: []string{"ana@acme.example: group:builders is gone"}}
	}
	l.approveAt(time.Minute)
	state, err := l.runToEnd()
	require.NoError(t, err)
	require.Equal(t, messages.LinkStopped, state.State)
	require.Contains(t, state.Surprise[0], "builders is gone")
	require.Len(t, l.asks, 1)
	require.Equal(t, []string{messages.LinkStopped}, l.ended)
}

// TestLinkStopsBeforeAWrite: what changed since the preview stops the batch before anything is written.
func TestLinkStopsBeforeAWrite(t *testing.T) {
	l := newLinkTest(t)
	l.changed = "ana@acme.example: account 7 is inactive; nothing was written"
	l.approveAt(time.Minute)
	state, err := l.runToEnd()
	require.NoError(t, err)
	require.Equal(t, messages.LinkStopped, state.State)
	require.Contains(t, state.Surprise[0], "inactive")
	require.Empty(t, l.asks)
}

// TestLinkAsksAgain: a loop that is paused, or has lost the question, is asked again, more and more rarely; histories
// stay short.
func TestLinkAsksAgain(t *testing.T) {
	l := newLinkTest(t)
	l.loop = func(n int, _ messages.LinkWaveSignal) time.Duration {
		if n < 200 {
			return 0
		}
		return time.Second
	}
	l.check = func(int, provisioning.CheckWaveInput) provisioning.CheckWaveResult {
		if len(l.asks) < 200 {
			return provisioning.CheckWaveResult{Open: 2}
		}
		return provisioning.CheckWaveResult{}
	}
	l.approveAt(time.Minute)
	l.at(10*time.Hour, func() { l.env.SetCurrentHistoryLength(1001) })
	state, err := l.runToEnd()
	require.NoError(t, err)
	require.Equal(t, messages.LinkDone, state.State)
	require.Equal(t, 2, l.histories)
	require.Equal(t, time.Minute, (l.askedAt[1] - l.askedAt[0]).Round(time.Second))
	require.Equal(t, 2*time.Minute, (l.askedAt[2] - l.askedAt[1]).Round(time.Second))
	require.Equal(t, 15*time.Minute, (l.askedAt[100] - l.askedAt[99]).Round(time.Second))
}

// TestLinkLooksAgain: a link that is not seen yet is looked for a few times, without asking the loop again.
func TestLinkLooksAgain(t *testing.T) {
	l := newLinkTest(t)
	l.left = 2
	l.check = func(n int, in provisioning.CheckWaveInput) provisioning.CheckWaveResult {
		if in.Last {
			return provisioning.CheckWaveResult{Surprise: []string{"not linked"}}
		}
		return provisioning.CheckWaveResult{Unseen: 1}
	}
	l.approveAt(time.Minute)
	state, err := l.runToEnd()
	require.NoError(t, err)
	require.Equal(t, messages.LinkStopped, state.State)
	require.Len(t, l.asks, 1)
	require.Len(t, l.checks, 7)
}

// TestLinkOfNobody: where nobody is to be linked, or nothing can be written, nothing waits for a decision.
func TestLinkOfNobody(t *testing.T) {
	for name, change := range map[string]func(*linkTest){
		"all are linked already": func(l *linkTest) { l.nobody = true },
		"a policy that observes": func(l *linkTest) {
			l.pick = func(int) (provisioning.PickLinksResult, error) {
				return provisioning.PickLinksResult{Policy: "p1", ReadOnly: "it only observes"}, nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLinkTest(t)
			change(l)
			state, err := l.runToEnd()
			require.NoError(t, err)
			require.Equal(t, messages.LinkDone, state.State)
			require.Empty(t, l.asks)
		})
	}
}

// TestLinkEndsEarly: rejected, or cancelled while it waits or links.
func TestLinkEndsEarly(t *testing.T) {
	t.Run("rejected", func(t *testing.T) {
		l := newLinkTest(t)
		l.updateAt(time.Minute, messages.RejectPlan, messages.DecisionInput{Plan: linkPlan, By: "ana"})
		state, err := l.runToEnd()
		require.NoError(t, err)
		require.Equal(t, messages.LinkRejected, state.State)
		require.Equal(t, []string{messages.LinkRejected}, l.ended)
		require.Empty(t, l.asks)
	})
	for name, at := range map[string]time.Duration{"while it waits": time.Minute,
		"while it links": time.Hour + time.Second} {
		t.Run("cancelled "+name, func(t *testing.T) {
			l := newLinkTest(t)
			if at > time.Hour {
				l.approveAt(time.Hour)
			}
			l.cancelAt(at)
			_, err := l.runToEnd()
			require.True(t, temporal.IsCanceledError(err), "%v", err)
			require.Equal(t, []string{messages.LinkStopped}, l.ended)
			require.Less(t, len(l.asks), 2)
			require.Equal(t, at > time.Hour, l.stopped)
			require.Len(t, l.checks, len(l.asks), "what became of the wave is found out")
		})
	}
}

// TestLinkSurvivesTrouble: what cannot be read is read again; what was asked for wrongly is refused.
func TestLinkSurvivesTrouble(t *testing.T) {
	l := newLinkTest(t)
	l.pick = func(n int) (provisioning.PickLinksResult, error) {
		if n < 20 {
			return picked, errors.New("no route to host")
		}
		return picked, nil
	}
	l.at(2*time.Minute, func() { require.Contains(t, l.page(), "no route to host") })
	l.approveAt(time.Hour)
	state, err := l.runToEnd()
	require.NoError(t, err)
	require.Equal(t, messages.LinkDone, state.State)
	require.Nil(t, state.Problem)

	l = newLinkTest(t)
	l.pick = func(int) (provisioning.PickLinksResult, error) {
		return picked, temporal.NewNonRetryableApplicationError("2 of 3 people are in none of the sources",
			session.ErrUnknown, nil)
	}
	_, err = l.runToEnd()
	require.ErrorContains(t, err, "2 of 3 people")

	for says, change := range map[string]func(*linkTest){
		"provision is missing": func(l *linkTest) { l.input.Provision = "" },
		"by is missing":        func(l *linkTest) { l.input.By = "" },
		"write 1 to 200":       func(l *linkTest) { l.input.Wave = 201 },
		"must be link:":        func(l *linkTest) { l.id = "pilot" },
		"name of a batch":      func(l *linkTest) { l.id = messages.LinkID(org, "two words") },
	} {
		l := newLinkTest(t)
		change(l)
		_, err := l.runToEnd()
		require.ErrorContains(t, err, says)
	}
}

// TestLinkIsRenewed: a history may end while the preview waits.
func TestLinkIsRenewed(t *testing.T) {
	l := newLinkTest(t)
	l.signalAt(time.Minute, messages.ForceContinueAsNew, nil)
	l.approveAt(time.Hour)
	state, err := l.runToEnd()
	require.NoError(t, err)
	require.Equal(t, 2, l.histories)
	require.Equal(t, 1, l.picks)
	require.Equal(t, messages.LinkDone, state.State)
	require.Len(t, l.asks, 2)
}
