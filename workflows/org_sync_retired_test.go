package workflows_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
)

// A retired organization's loop says so once and rests, without a watch and without schedules, until its policy is
// applied again.
func TestOrgSyncRestsWhileItIsRetired(t *testing.T) {
	for name, how := range map[string]func(l *loop){
		"told by a sync-now": func(l *loop) {
			l.signalAt(10*time.Minute, messages.SyncNow, messages.SyncNowInput{By: "worker --retire"})
		},
		"found by its watch": func(l *loop) {
			l.events = []watchEvent{{after: time.Minute},
				{after: 10 * time.Minute, err: fatal(session.ErrRetired, "organization acme was retired")}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			var kept atomic.Int32
			l := newLoop(t, func(l *loop) {
				l.env.RegisterActivityWithOptions(
					func(context.Context, reconcile.KeepSchedulesInput) error { kept.Add(1); return nil },
					activity.RegisterOptions{Name: "KeepSchedules"})
			})
			l.admit = func(in reconcile.AdmitInput) (reconcile.AdmitResult, error) {
				result := inForce(in, true)
				result.Settings.Scheduled, result.Settings.Clocked = true, true
				return result, nil
			}
			served := func() bool { at := l.env.Now().Sub(begin); return at < 5*time.Minute || at > 72*time.Hour }
			l.run = func(_ workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
				sum := ended(in)
				if !served() {
					sum.State, sum.Problem = messages.RunStopped,
						&messages.Problem{Kind: session.ErrRetired, Message: "organization acme was retired"}
				}
				return sum, nil
			}
			how(l)
			var runs, watches int
			l.at(time.Hour, func() {
				runs, watches = len(l.runs), len(l.watches)
				require.Equal(t, messages.StateRetired, l.status().State)
				require.Zero(t, l.status().Problem.Retry)
				require.EqualValues(t, 2, kept.Load(), "its schedules are taken away")
				require.Contains(t, l.page(), "Nothing is done until its policy is applied again.")
			})
			l.at(70*time.Hour, func() {
				require.Len(t, l.runs, runs, "it goes on trying")
				require.Len(t, l.watches, watches, "it goes on watching")
			})
			again := l.updateAt(73*time.Hour, messages.ApplyPolicy,
				messages.PolicyInput{Policy: []byte(`"first"`), By: "ana"})
			l.at(74*time.Hour, func() {
				require.Contains(t, again.message(t), "taken up again")
				require.Equal(t, messages.StateOK, l.status().State)
				require.Greater(t, len(l.watches), watches)
			})
			l.start(75 * time.Hour)
		})
	}
}
