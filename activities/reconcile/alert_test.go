package reconcile_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/messages"
)

// TestFinishTellsOfAHold: watchers hear of a held plan once, of another plan when everybody was looked at, and again of
// one that is held again.
func TestFinishTellsOfAHold(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	finish := func(scope, provision, plan string, change ...func(*reconcile.FinishInput)) (told []string) {
		t.Helper()
		before := len(o.Notifier.Notices)
		in := reconcile.FinishInput{RunInput: o.NewRun(), Scope: scope, Summary: messages.RunSummary{Scope: scope,
			State: messages.RunDone, Started: o.Clock(), Provision: provision}}
		in.Summary.Run = in.Run
		if plan != "" {
			in.Summary.Hold = &messages.Hold{Plan: plan, Run: in.Run, Removals: 3, People: 3, Provision: provision,
				Rules: []string{"share: 3 of 4"}, Opened: o.Clock()}
		}
		for _, each := range change {
			each(&in)
		}
		if scope == messages.ScopeFull {
			o.Sweep(in.RunInput)
		}
		activitytest.Must[messages.RunSummary](o, o.Acts.Reconcile.Finish, in)
		for _, n := range o.Notifier.Notices[before:] {
			require.Equal(t, reconcile.NoticeAlert, n.Kind)
			require.Contains(t, n.Text, "share: 3 of 4")
			told = append(told, n.Subject+": "+n.ID)
		}
		return told
	}
	access := func(plan string) []string { return []string{"A plan is held in acme: hold acme " + plan} }
	staff := func(plan string) []string {
		return []string{"A plan of provision staff is held in acme: hold acme " + plan}
	}
	preview := func(in *reconcile.FinishInput) { in.Preview = true }
	require.Empty(t, finish(messages.ScopeFull, "", "sha256:1", preview))
	require.Equal(t, access("sha256:1"), finish(messages.ScopePeople, "", "sha256:1"))
	require.Empty(t, finish(messages.ScopeFull, "", "sha256:1"), "it was told")
	require.Empty(t, finish(messages.ScopePeople, "", "sha256:2"), "it grows person by person")
	require.Equal(t, access("sha256:2"), finish(messages.ScopeFull, "", "sha256:2"))
	require.Equal(t, staff("sha256:i"), finish(messages.ScopeProvision, "staff", "sha256:i"))
	require.Empty(t, finish(messages.ScopeFull, "", "sha256:2"), "each lane by itself")
	require.Empty(t, finish(messages.ScopeProvision, "staff", "sha256:i"))
	require.Empty(t, finish(messages.ScopeHold, "staff", ""))
	require.Empty(t, finish(messages.ScopeProvision, "staff", "sha256:i"))
	require.Empty(t, finish(messages.ScopeProvision, "staff", ""), "nothing is held any more")
	require.Equal(t, staff("sha256:i"), finish(messages.ScopeProvision, "staff", "sha256:i"), "held again")
	o.Notifier.Fails = 1
	require.Empty(t, finish(messages.ScopeProvision, "staff", "sha256:j"))
	require.Equal(t, staff("sha256:j"), finish(messages.ScopeProvision, "staff", "sha256:j"))
}
