package activities_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// watch polls once, from a cursor.
func (w *world) watch(cursor string) activities.WatchResult {
	w.t.Helper()
	return must[activities.WatchResult](w, w.acts.Watch, activities.WatchInput{Org: org, Policy: w.policy, Cursor: cursor, Every: messages.Duration(time.Second), Once: true})
}

// watched is a world in step and the cursor behind all that has happened.
func watched(t *testing.T) (*world, string) {
	t.Helper()
	w := inStep(t)
	w.pass(time.Hour)
	first := w.watch("")
	require.Equal(t, "events", first.Mode)
	require.Empty(t, first.People, "a first watch begins now")
	return w, first.Cursor
}

func TestEventsNameWhomToLookAt(t *testing.T) {
	t.Parallel()
	w, cursor := watched(t)
	w.pass(time.Minute)
	w.join("eng", "jo")
	w.leave("support", "lea")
	w.pass(time.Minute)
	seen := w.watch(cursor)
	require.ElementsMatch(t, []string{w.id("jo"), w.id("lea")}, seen.People)
	require.ElementsMatch(t, []string{w.group("eng").ID, w.group("support").ID}, seen.Recount)
	require.False(t, seen.Fresh)
	require.Empty(t, seen.Full)
	require.NotEqual(t, cursor, seen.Cursor)
	w.pass(time.Minute)
	require.Empty(t, w.watch(seen.Cursor).People, "an event is told once")
}

func TestWhatThePolicyDoesNotTouchIsNotLookedAt(t *testing.T) {
	t.Parallel()
	w, cursor := watched(t)
	w.pass(time.Minute)
	w.send(http.MethodPost, "/_sim/noise", map[string]any{"count": 50})
	w.join("unused", "ivo")
	w.byHand(http.MethodPost, "other", "ivo")
	w.pass(time.Minute)
	seen := w.watch(cursor)
	require.Empty(t, seen.People)
	require.Empty(t, seen.Full)
}

func TestOurOwnWritesAreNotLookedAt(t *testing.T) {
	t.Parallel()
	w, cursor := watched(t)
	w.pass(time.Minute)
	w.join("eng", "jo")
	w.pass(time.Minute)
	seen := w.watch(cursor)
	require.Equal(t, []string{w.id("jo")}, seen.People)
	run := w.newRun()
	w.examine(run, "", seen.People...)
	require.Len(t, w.write(run), 1)
	w.pass(5 * time.Second)
	echo := w.watch(seen.Cursor)
	require.Empty(t, echo.People, "an echo of our own write")
	w.pass(3 * time.Minute)
	w.byHand(http.MethodDelete, "builders", "jo")
	w.pass(time.Second)
	require.Equal(t, []string{w.id("jo")}, w.watch(echo.Cursor).People, "somebody else takes it back a little later")
}

func TestAGroupThatNobodyKnowsNeedsAFreshOutline(t *testing.T) {
	t.Parallel()
	w, cursor := watched(t)
	w.pass(time.Minute)
	w.send(http.MethodPost, "/_sim/groups", map[string]any{"name": "brand-new", "members": []string{w.id("ivo")}})
	w.pass(time.Minute)
	seen := w.watch(cursor)
	require.True(t, seen.Fresh)
}

func TestAWatchGoesOnAtItsHeartbeat(t *testing.T) {
	t.Parallel()
	w, cursor := watched(t)
	w.pass(time.Minute)
	w.join("eng", "jo")
	w.pass(time.Minute)
	later := w.watch(cursor).Cursor
	w.beat = later
	require.Empty(t, w.watch(cursor).People, "an earlier attempt was further already")
}

func TestWithoutAFeedTheCountsAreWatched(t *testing.T) {
	t.Parallel()
	w, cursor := watched(t)
	w.configure(func(s *cloud.Settings) { s.Guard = false })
	w.join("support", "ivo")
	in := activities.WatchInput{Org: org, Policy: w.policy, Cursor: cursor, Every: messages.Duration(time.Millisecond), Once: true}
	seen := must[activities.WatchResult](w, w.acts.Watch, in)
	require.Equal(t, "counts", seen.Mode)
	require.Contains(t, seen.Groups, w.group("support").ID)
}

func TestAFeedThatFailsIsTriedAgain(t *testing.T) {
	t.Parallel()
	w, cursor := watched(t)
	w.inject(cloud.Fault{Operations: []string{"events.stream"}, Kind: cloud.FaultStatus, Count: 1, Params: cloud.FaultParams{Status: 503}})
	_, err := call[activities.WatchResult](w, w.acts.Watch, activities.WatchInput{Org: org, Policy: w.policy, Cursor: cursor, Every: messages.Duration(time.Second), Once: true})
	app := application(t, err)
	require.Equal(t, activities.ErrUnavailable, app.Type())
	require.False(t, app.NonRetryable())
}
