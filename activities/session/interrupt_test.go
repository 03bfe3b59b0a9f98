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
	o := activitytest.New(t)
	o.Admit(activitytest.AutoAdopt)
	run := o.NewRun()
	o.Outline(run)
	in := reconcile.SweepInput{RunInput: run, Pages: 20}
	o.Configure(func(s *cloud.Settings) { s.Latency = cloud.Duration(time.Hour) })
	_, err := o.CallOnStoppingWorker(o.Acts.Reconcile.Sweep, in)
	app := activitytest.ApplicationError(t, err)
	require.Equal(t, session.ErrStopping, app.Type())
	require.False(t, app.NonRetryable())

	o.Configure(func(s *cloud.Settings) { s.Latency = 0 })
	o.Restart()
	require.Equal(t, len(activitytest.People.People),
		activitytest.Must[session.SweepResult](o, o.Acts.Reconcile.Sweep, in).People)
}

func TestInterruptedWatchSaysHowFarItCame(t *testing.T) {
	t.Parallel()
	o, cursor := activitytest.NewWatched(t)
	o.Configure(func(s *cloud.Settings) { s.Latency = cloud.Duration(time.Hour) })
	value, err := o.CallOnStoppingWorker(o.Acts.Reconcile.Watch,
		reconcile.WatchInput{Org: activitytest.Org, Policy: o.Policy, Cursor: cursor,
			Every: messages.Duration(time.Hour)})
	require.NoError(t, err)
	var result reconcile.WatchResult
	require.NoError(t, value.Get(&result))
	require.Equal(t, cursor, result.Cursor)
}

func TestWritesAreNotInterrupted(t *testing.T) {
	t.Parallel()
	o := activitytest.New(t)
	o.Admit(activitytest.OpenGuard)
	run, _ := o.SweepAndJudge()
	next := activitytest.Must[apply.NextResult](o, o.Acts.Apply.Next,
		apply.NextInput{RunInput: run, Actions: []access.Action{access.Add}, Limit: 1})
	o.Configure(func(s *cloud.Settings) { s.Latency = cloud.Duration(200 * time.Millisecond) })
	value, err := o.CallOnStoppingWorker(o.Acts.Apply.Apply,
		apply.ChangeInput{RunInput: run, Person: next.Lines[0].Person, Target: next.Lines[0].Target})
	require.NoError(t, err)
	var result apply.ChangeResult
	require.NoError(t, value.Get(&result))
	require.Equal(t, access.Done, result.State)
}

// Two workers may do parts of one run: where one of them begins the run anew, the other follows.
func TestWorkersFollowTheOutlineThatAnotherSaved(t *testing.T) {
	t.Parallel()
	o := activitytest.New(t)
	o.Admit(activitytest.OpenGuard)
	run := o.NewRun()
	o.Outline(run)
	one := o.Acts
	o.Restart()
	o.Advance(time.Minute)
	o.Admin(http.MethodDelete, "/admin/v2/orgs/"+o.Sim.Info().OrgID+"/directories/"+o.Sim.Info().DirectoryID+"/groups/"+
		o.Group("builders").ID, "")
	o.Outline(run)
	o.Acts = one
	activitytest.Must[session.SweepResult](o, o.Acts.Reconcile.Sweep, reconcile.SweepInput{RunInput: run, Pages: 20})
	require.Equal(t, 2, o.Judge(run).Counts.Adds, "helpers alone: builders is no more")
}
