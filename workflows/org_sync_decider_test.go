package workflows_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
)

// decisions returns what somebody may decide by an address, once a plan is held and the organization is paused.
func decisions(by string) map[string]any {
	return map[string]any{
		messages.ApprovePlan: messages.DecisionInput{Plan: held, By: by},
		messages.RejectPlan:  messages.DecisionInput{Plan: held, By: by},
		messages.Undo:        messages.UndoInput{Run: "r1", By: by},
		messages.Resume:      messages.ResumeInput{By: by},
	}
}

// heldAndPaused returns a loop where something waits for every decision.
func heldAndPaused(t *testing.T) *loop {
	t.Helper()
	l := newLoop(t)
	l.run = func(ctx workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
		sum := ended(in)
		if in.Scope.Kind == messages.ScopeUndo {
			sum.Hold = &messages.Hold{Plan: held, Run: in.Run, Removals: 500, Undo: true}
			tell(ctx, in, sum, true)
		}
		return sum, nil
	}
	l.updateAt(time.Minute, messages.Undo, messages.UndoInput{Run: "r", By: "ana"})
	return l
}

func TestOrgSyncDeciderIsInTheDirectory(t *testing.T) {
	for name, body := range decisions("carol@acme.example") {
		t.Run(name, func(t *testing.T) {
			l := heldAndPaused(t)
			l.at(9*time.Minute, func() {
				l.mu.Lock()
				defer l.mu.Unlock()
				l.decider = fatal(session.ErrUnknown, "the directory shows nobody named carol@acme.example")
			})
			said := l.updateAt(10*time.Minute, name, body)
			l.signalAt(20*time.Minute, name, body)
			l.at(30*time.Minute, func() {
				require.ErrorContains(t, said.err, "the directory shows nobody named carol@acme.example")
				require.Contains(t, lastOf(l.status().Refused).Why,
					"the directory shows nobody named carol@acme.example")
				require.Empty(t, l.decides)
				require.Len(t, l.runs, 2)
				require.Equal(t, messages.StatePaused, l.status().State)
				l.mu.Lock()
				defer l.mu.Unlock()
				l.decider = nil
			})
			known := l.updateAt(40*time.Minute, name, body)
			l.start(time.Hour)
			require.NoError(t, known.rejected)
			require.NoError(t, known.err)
			require.Equal(t, []string{"carol@acme.example", "carol@acme.example", "carol@acme.example"}, l.deciders)
		})
	}
}

func TestOrgSyncOutageKeepsNobodyFromDeciding(t *testing.T) {
	for name, body := range decisions("carol@acme.example") {
		t.Run(name, func(t *testing.T) {
			l := heldAndPaused(t)
			l.decider = errors.New("Atlassian is away")
			said := l.updateAt(10*time.Minute, name, body)
			l.start(time.Hour)
			require.NoError(t, said.rejected)
			require.NoError(t, said.err)
		})
	}
	for name, body := range decisions(messages.You) {
		t.Run(name+", by a placeholder", func(t *testing.T) {
			l := heldAndPaused(t)
			l.decider = errors.New("Atlassian is away")
			said := l.updateAt(10*time.Minute, name, body)
			l.start(time.Hour)
			require.ErrorContains(t, said.err, "put your own e-mail address or account id there")
		})
	}
}

// TestOrgSyncWhoPausesIsTakenAtOnce: whatever somebody is called, nothing is to be written on while they are looked up.
func TestOrgSyncWhoPausesIsTakenAtOnce(t *testing.T) {
	l := newLoop(t)
	l.decider = fatal(session.ErrUnknown, "by is you@example.com, which stands for you")
	pasted := l.updateAt(time.Minute, messages.Pause, messages.PauseInput{By: messages.You})
	l.at(2*time.Minute, func() { require.Equal(t, messages.StateOK, l.status().State) })
	paused := l.updateAt(3*time.Minute, messages.Pause, messages.PauseInput{By: "nobody@acme.example"})
	l.at(3*time.Minute+time.Second, func() { require.Equal(t, messages.StatePaused, l.status().State) })
	l.start(time.Hour)
	require.ErrorContains(t, pasted.err, "which stands for you")
	require.NoError(t, paused.err)
	require.Equal(t, []string{messages.You}, l.deciders)
}

func TestOrgSyncPlanThatIsGoneOnceItsDeciderIsKnownIsNotDecided(t *testing.T) {
	l := newLoop(t)
	l.run = holding(held)
	l.env.OnActivity("CheckDecider", mock.Anything, mock.Anything).After(10 * time.Second).Return(nil)
	first := l.updateAt(time.Minute, messages.RejectPlan, messages.DecisionInput{Plan: held, By: "carol"})
	second := l.updateAt(time.Minute, messages.RejectPlan, messages.DecisionInput{Plan: held, By: "dan@acme.example"})
	l.start(time.Hour)
	require.NoError(t, first.err)
	require.ErrorContains(t, second.err, "nothing is held")
	require.Len(t, l.decides, 1)
}

func TestOrgSyncResumeSaysThatAHeldUndoIsReplaced(t *testing.T) {
	l := heldAndPaused(t)
	resumed := l.updateAt(10*time.Minute, messages.Resume, messages.ResumeInput{By: "ana"})
	l.start(time.Hour)
	contains(t, resumed.message(t), "a full verification starts now", "It replaces the plan "+held, "undo it again")
	plain := newLoop(t)
	plain.updateAt(time.Minute, messages.Pause, messages.PauseInput{By: "ana"})
	resumed = plain.updateAt(10*time.Minute, messages.Resume, messages.ResumeInput{By: "ana"})
	plain.start(time.Hour)
	require.NotContains(t, resumed.message(t), "replaces")
}

// Whoever is looked up takes a moment. What somebody else says meanwhile is the later word.
func TestOrgSyncResumeLiftsNoPauseThatCameAfterIt(t *testing.T) {
	l := heldAndPaused(t)
	l.decider = errors.New("Atlassian is away")
	resumed := l.updateAt(10*time.Minute, messages.Resume, messages.ResumeInput{By: "carol@acme.example"})
	paused := l.updateAt(10*time.Minute+2*time.Second, messages.Pause,
		messages.PauseInput{By: "bob", Reason: "an incident"})
	l.start(time.Hour)
	require.NoError(t, paused.err)
	require.ErrorContains(t, resumed.err, "paused again in the meantime, by bob")
	require.Equal(t, messages.StatePaused, l.status().State)
}
