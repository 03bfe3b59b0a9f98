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

func TestWatchReturnsWhomEventsName(t *testing.T) {
	t.Parallel()
	o, cursor := activitytest.NewWatched(t)
	o.Advance(time.Minute)
	o.Join("eng", "jo")
	o.Leave("support", "lea")
	o.Advance(time.Minute)
	seen := o.Watch(cursor)
	require.ElementsMatch(t, []string{o.AccountID("jo"), o.AccountID("lea")}, seen.People)
	require.ElementsMatch(t, []string{o.Group("eng").ID, o.Group("support").ID}, seen.Recount)
	require.False(t, seen.Fresh)
	require.Empty(t, seen.Full)
	require.NotEqual(t, cursor, seen.Cursor)
	o.Advance(time.Minute)
	require.Empty(t, o.Watch(seen.Cursor).People, "an event is told once")
}

func TestWatchIgnoresWhatThePolicyDoesNotTouch(t *testing.T) {
	t.Parallel()
	o, cursor := activitytest.NewWatched(t)
	o.Advance(time.Minute)
	o.Send(http.MethodPost, "/_sim/noise", map[string]any{"count": 50})
	o.Join("unused", "ivo")
	o.ByHand(http.MethodPost, "other", "ivo")
	o.Advance(time.Minute)
	seen := o.Watch(cursor)
	require.Empty(t, seen.People)
	require.Empty(t, seen.Full)
}

// A local group that nothing but a rule's condition names counts as much as a synced one.
func TestWatchLooksAtLocalGroupsThatARuleAsksFor(t *testing.T) {
	t.Parallel()
	for _, condition := range []string{`in("other")`, `groups.exists(g, g.startsWith("oth"))`} {
		for feed, moves := range map[bool]string{true: "events", false: "counts"} {
			t.Run(condition+" by "+moves, func(t *testing.T) {
				o, cursor := activitytest.NewWatched(t)
				o.Admit(strings.Replace(activitytest.OpenGuard, "adopt: auto", "adopt: auto, rules: auto", 1) +
					"\nrules:\n  - {name: no, when: '" + condition +
					"', deny: ['group:helpers'], mode: enforce, owner: ana@example.com}\n")
				o.VerifyFully()
				o.Configure(func(s *cloud.Settings) { s.Guard = feed })
				o.Advance(time.Hour)
				if feed {
					cursor = o.Watch(cursor).Cursor
					o.Advance(time.Minute)
				}
				o.ByHand(http.MethodPost, "other", "ivo")
				o.Advance(time.Minute)
				seen := activitytest.Must[reconcile.WatchResult](o, o.Acts.Reconcile.Watch,
					reconcile.WatchInput{Org: activitytest.Org, Policy: o.Policy, Cursor: cursor,
						Every: messages.Duration(time.Millisecond), Once: true})
				require.Equal(t, moves, seen.Mode)
				if feed {
					require.Contains(t, seen.People, o.AccountID("ivo"))
				} else {
					require.Contains(t, seen.Groups, o.Group("other").ID)
				}
			})
		}
	}
}

func TestWatchIgnoresOurOwnWrites(t *testing.T) {
	t.Parallel()
	o, cursor := activitytest.NewWatched(t)
	o.Advance(time.Minute)
	o.Join("eng", "jo")
	o.Advance(time.Minute)
	seen := o.Watch(cursor)
	require.Equal(t, []string{o.AccountID("jo")}, seen.People)
	run := o.NewRun()
	o.Examine(run, "", seen.People...)
	require.Len(t, o.Write(run), 1)
	o.Advance(5 * time.Second)
	echo := o.Watch(seen.Cursor)
	require.Empty(t, echo.People, "an echo of our own write")
	o.Advance(3 * time.Minute)
	o.ByHand(http.MethodDelete, "builders", "jo")
	o.Advance(time.Second)
	require.Equal(t, []string{o.AccountID("jo")}, o.Watch(echo.Cursor).People, "somebody else takes it back a little later")
}

func TestWatchWantsAFreshOutlineForAnUnknownGroup(t *testing.T) {
	t.Parallel()
	o, cursor := activitytest.NewWatched(t)
	o.Advance(time.Minute)
	o.Send(http.MethodPost, "/_sim/groups", map[string]any{"name": "brand-new", "members": []string{o.AccountID("ivo")}})
	o.Advance(time.Minute)
	seen := o.Watch(cursor)
	require.True(t, seen.Fresh)
}

func TestWatchResumesAtItsHeartbeat(t *testing.T) {
	t.Parallel()
	o, cursor := activitytest.NewWatched(t)
	o.Advance(time.Minute)
	o.Join("eng", "jo")
	o.Advance(time.Minute)
	later := o.Watch(cursor).Cursor
	o.Beat = later
	require.Empty(t, o.Watch(cursor).People, "an earlier attempt was further already")
}

func TestWatchComparesCountsWithoutAFeed(t *testing.T) {
	t.Parallel()
	o, cursor := activitytest.NewWatched(t)
	o.Configure(func(s *cloud.Settings) { s.Guard = false })
	o.Join("support", "ivo")
	in := reconcile.WatchInput{Org: activitytest.Org, Policy: o.Policy, Cursor: cursor,
		Every: messages.Duration(time.Millisecond), Once: true}
	seen := activitytest.Must[reconcile.WatchResult](o, o.Acts.Reconcile.Watch, in)
	require.Equal(t, "counts", seen.Mode)
	require.Contains(t, seen.Groups, o.Group("support").ID)
}

func TestWatchTriesAFailingFeedAgain(t *testing.T) {
	t.Parallel()
	o, cursor := activitytest.NewWatched(t)
	o.Inject(cloud.Fault{Operations: []string{"events.stream"}, Kind: cloud.FaultStatus, Count: 1,
		Params: cloud.FaultParams{Status: 503}})
	_, err := activitytest.Call[reconcile.WatchResult](o, o.Acts.Reconcile.Watch,
		reconcile.WatchInput{Org: activitytest.Org, Policy: o.Policy, Cursor: cursor,
			Every: messages.Duration(time.Second), Once: true})
	app := activitytest.ApplicationError(t, err)
	require.Equal(t, session.ErrUnavailable, app.Type())
	require.False(t, app.NonRetryable())
}

// A worker that is told to stop keeps no watch: another takes it over, from where it was.
func TestWatchEndsWhenItsWorkerStops(t *testing.T) {
	t.Parallel()
	o, cursor := activitytest.NewWatched(t)
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	stopping := make(chan struct{})
	close(stopping)
	env.SetWorkerStopChannel(stopping)
	env.RegisterActivity(o.Acts.Reconcile.Watch)
	answer, err := env.ExecuteActivity(o.Acts.Reconcile.Watch,
		reconcile.WatchInput{Org: activitytest.Org, Policy: o.Policy, Cursor: cursor,
			Every: messages.Duration(time.Hour)})
	require.NoError(t, err)
	var result reconcile.WatchResult
	require.NoError(t, answer.Get(&result))
	require.NotEmpty(t, result.Cursor)
	require.Empty(t, result.People)
}
