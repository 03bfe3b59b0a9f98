package session_test

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
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

func TestInterruptedReadsGoOnElsewhere(t *testing.T) {
	t.Parallel()
	w := activitytest.New(t)
	w.Admit(activitytest.AutoAdopt)
	run := w.NewRun()
	w.Outline(run)
	in := reconcile.SweepInput{RunInput: run, Pages: 20}
	w.Configure(func(s *cloud.Settings) { s.Latency = cloud.Duration(time.Hour) })
	_, err := w.Stopped(w.Acts.Reconcile.Sweep, in)
	app := activitytest.ApplicationError(t, err)
	require.Equal(t, session.ErrStopping, app.Type())
	require.False(t, app.NonRetryable())

	w.Configure(func(s *cloud.Settings) { s.Latency = 0 })
	w.Restart()
	require.Equal(t, len(activitytest.People.People),
		activitytest.Must[session.SweepResult](w, w.Acts.Reconcile.Sweep, in).People)
}

func TestInterruptedWatchSaysHowFarItCame(t *testing.T) {
	t.Parallel()
	w, cursor := activitytest.Watched(t)
	w.Configure(func(s *cloud.Settings) { s.Latency = cloud.Duration(time.Hour) })
	value, err := w.Stopped(w.Acts.Reconcile.Watch,
		reconcile.WatchInput{Org: activitytest.Org, Policy: w.Policy, Cursor: cursor,
			Every: messages.Duration(time.Hour)})
	require.NoError(t, err)
	var result reconcile.WatchResult
	require.NoError(t, value.Get(&result))
	require.Equal(t, cursor, result.Cursor)
}

func TestWritesAreNotInterrupted(t *testing.T) {
	t.Parallel()
	w := activitytest.New(t)
	w.Admit(activitytest.OpenGuard)
	run, _ := w.Planned()
	next := activitytest.Must[apply.NextResult](w, w.Acts.Apply.Next,
		apply.NextInput{RunInput: run, Actions: []access.Action{access.Add}, Limit: 1})
	w.Configure(func(s *cloud.Settings) { s.Latency = cloud.Duration(200 * time.Millisecond) })
	value, err := w.Stopped(w.Acts.Apply.Apply,
		apply.ChangeInput{RunInput: run, Person: next.Lines[0].Person, Target: next.Lines[0].Target})
	require.NoError(t, err)
	var result apply.ChangeResult
	require.NoError(t, value.Get(&result))
	require.Equal(t, access.Done, result.State)
}

// Two workers may do parts of one run: where one of them begins the run anew, the other follows.
func TestWorkersFollowTheOutlineThatAnotherSaved(t *testing.T) {
	t.Parallel()
	w := activitytest.New(t)
	w.Admit(activitytest.OpenGuard)
	run := w.NewRun()
	w.Outline(run)
	one := w.Acts
	w.Restart()
	w.Pass(time.Minute)
	w.Admin(http.MethodDelete, "/admin/v2/orgs/"+w.Sim.Info().OrgID+"/directories/"+w.Sim.Info().DirectoryID+"/groups/"+
		w.Group("builders").ID, "")
	w.Outline(run)
	w.Acts = one
	activitytest.Must[session.SweepResult](w, w.Acts.Reconcile.Sweep, reconcile.SweepInput{RunInput: run, Pages: 20})
	require.Equal(t, 2, w.Judge(run).Counts.Adds, "helpers alone: builders is no more")
}
