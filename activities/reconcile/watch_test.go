package reconcile_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"

	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

func TestEventsNameWhomToLookAt(t *testing.T) {
	t.Parallel()
	w, cursor := activitytest.Watched(t)
	w.Pass(time.Minute)
	w.Join("eng", "jo")
	w.Leave("support", "lea")
	w.Pass(time.Minute)
	seen := w.Watch(cursor)
	require.ElementsMatch(t, []string{w.Id("jo"), w.Id("lea")}, seen.People)
	require.ElementsMatch(t, []string{w.Group("eng").ID, w.Group("support").ID}, seen.Recount)
	require.False(t, seen.Fresh)
	require.Empty(t, seen.Full)
	require.NotEqual(t, cursor, seen.Cursor)
	w.Pass(time.Minute)
	require.Empty(t, w.Watch(seen.Cursor).People, "an event is told once")
}

func TestWhatThePolicyDoesNotTouchIsNotLookedAt(t *testing.T) {
	t.Parallel()
	w, cursor := activitytest.Watched(t)
	w.Pass(time.Minute)
	w.Send(http.MethodPost, "/_sim/noise", map[string]any{"count": 50})
	w.Join("unused", "ivo")
	w.ByHand(http.MethodPost, "other", "ivo")
	w.Pass(time.Minute)
	seen := w.Watch(cursor)
	require.Empty(t, seen.People)
	require.Empty(t, seen.Full)
}

// A local group that nothing but a rule's condition names counts as much as a synced one.
func TestWatchLooksAtLocalGroupsThatARuleAsksFor(t *testing.T) {
	t.Parallel()
	for _, condition := range []string{`in("other")`, `groups.exists(g, g.startsWith("oth"))`} {
		for feed, moves := range map[bool]string{true: "events", false: "counts"} {
			t.Run(condition+" by "+moves, func(t *testing.T) {
				w, cursor := activitytest.Watched(t)
				w.Admit(strings.Replace(activitytest.OpenGuard, "adopt: auto", "adopt: auto, rules: auto", 1) +
					"\nrules:\n  - {name: no, when: '" + condition +
					"', deny: ['group:helpers'], mode: enforce, owner: ana@example.com}\n")
				w.Verified()
				w.Configure(func(s *cloud.Settings) { s.Guard = feed })
				w.Pass(time.Hour)
				if feed {
					cursor = w.Watch(cursor).Cursor
					w.Pass(time.Minute)
				}
				w.ByHand(http.MethodPost, "other", "ivo")
				w.Pass(time.Minute)
				seen := activitytest.Must[reconcile.WatchResult](w, w.Acts.Reconcile.Watch,
					reconcile.WatchInput{Org: activitytest.Org, Policy: w.Policy, Cursor: cursor,
						Every: messages.Duration(time.Millisecond), Once: true})
				require.Equal(t, moves, seen.Mode)
				if feed {
					require.Contains(t, seen.People, w.Id("ivo"))
				} else {
					require.Contains(t, seen.Groups, w.Group("other").ID)
				}
			})
		}
	}
}

func TestOurOwnWritesAreNotLookedAt(t *testing.T) {
	t.Parallel()
	w, cursor := activitytest.Watched(t)
	w.Pass(time.Minute)
	w.Join("eng", "jo")
	w.Pass(time.Minute)
	seen := w.Watch(cursor)
	require.Equal(t, []string{w.Id("jo")}, seen.People)
	run := w.NewRun()
	w.Examine(run, "", seen.People...)
	require.Len(t, w.Write(run), 1)
	w.Pass(5 * time.Second)
	echo := w.Watch(seen.Cursor)
	require.Empty(t, echo.People, "an echo of our own write")
	w.Pass(3 * time.Minute)
	w.ByHand(http.MethodDelete, "builders", "jo")
	w.Pass(time.Second)
	require.Equal(t, []string{w.Id("jo")}, w.Watch(echo.Cursor).People, "somebody else takes it back a little later")
}

func TestAGroupThatNobodyKnowsNeedsAFreshOutline(t *testing.T) {
	t.Parallel()
	w, cursor := activitytest.Watched(t)
	w.Pass(time.Minute)
	w.Send(http.MethodPost, "/_sim/groups", map[string]any{"name": "brand-new", "members": []string{w.Id("ivo")}})
	w.Pass(time.Minute)
	seen := w.Watch(cursor)
	require.True(t, seen.Fresh)
}

func TestAWatchGoesOnAtItsHeartbeat(t *testing.T) {
	t.Parallel()
	w, cursor := activitytest.Watched(t)
	w.Pass(time.Minute)
	w.Join("eng", "jo")
	w.Pass(time.Minute)
	later := w.Watch(cursor).Cursor
	w.Beat = later
	require.Empty(t, w.Watch(cursor).People, "an earlier attempt was further already")
}

func TestWithoutAFeedTheCountsAreWatched(t *testing.T) {
	t.Parallel()
	w, cursor := activitytest.Watched(t)
	w.Configure(func(s *cloud.Settings) { s.Guard = false })
	w.Join("support", "ivo")
	in := reconcile.WatchInput{Org: activitytest.Org, Policy: w.Policy, Cursor: cursor,
		Every: messages.Duration(time.Millisecond), Once: true}
	seen := activitytest.Must[reconcile.WatchResult](w, w.Acts.Reconcile.Watch, in)
	require.Equal(t, "counts", seen.Mode)
	require.Contains(t, seen.Groups, w.Group("support").ID)
}

func TestAFeedThatFailsIsTriedAgain(t *testing.T) {
	t.Parallel()
	w, cursor := activitytest.Watched(t)
	w.Inject(cloud.Fault{Operations: []string{"events.stream"}, Kind: cloud.FaultStatus, Count: 1,
		Params: cloud.FaultParams{Status: 503}})
	_, err := activitytest.Call[reconcile.WatchResult](w, w.Acts.Reconcile.Watch,
		reconcile.WatchInput{Org: activitytest.Org, Policy: w.Policy, Cursor: cursor,
			Every: messages.Duration(time.Second), Once: true})
	app := activitytest.ApplicationError(t, err)
	require.Equal(t, session.ErrUnavailable, app.Type())
	require.False(t, app.NonRetryable())
}

// A worker that is told to stop keeps no watch: another takes it over, from where it was.
func TestWatchEndsWhenItsWorkerStops(t *testing.T) {
	t.Parallel()
	w, cursor := activitytest.Watched(t)
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	stopping := make(chan struct{})
	close(stopping)
	env.SetWorkerStopChannel(stopping)
	env.RegisterActivity(w.Acts.Reconcile.Watch)
	answer, err := env.ExecuteActivity(w.Acts.Reconcile.Watch,
		reconcile.WatchInput{Org: activitytest.Org, Policy: w.Policy, Cursor: cursor,
			Every: messages.Duration(time.Hour)})
	require.NoError(t, err)
	var result reconcile.WatchResult
	require.NoError(t, answer.Get(&result))
	require.NotEmpty(t, result.Cursor)
	require.Empty(t, result.People)
}
