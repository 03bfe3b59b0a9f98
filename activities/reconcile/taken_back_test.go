package reconcile_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/internal/activitytest"
)

// Between two looks carol leaves, and comes back: what somebody gave her by hand then is theirs. Without the event
// feed, nothing would tell it from what Castellan gave.
func TestExamineLeavesWhatWasGivenByHandSince(t *testing.T) {
	t.Parallel()
	for name, happens := range map[string]func(*activitytest.SimulatedOrg){
		"removed from the organization": func(w *activitytest.SimulatedOrg) {
			w.Leave("eng", "carol")
			w.Set("carol", map[string]any{"remove": true})
			w.Invite("carol")
			w.ByHand(http.MethodPost, "builders", "carol")
		},
		"taken out of the target": func(w *activitytest.SimulatedOrg) {
			w.ByHand(http.MethodDelete, "builders", "carol")
			w.Leave("eng", "carol")
			w.ByHand(http.MethodPost, "builders", "carol")
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, cursor := activitytest.Watched(t)
			require.True(t, w.Held("carol", activitytest.Builders).Owned)
			w.Pass(time.Minute)
			happens(w)
			w.Pass(time.Second)
			seen := w.Watch(cursor)
			require.Contains(t, seen.People, w.Id("carol"))
			w.Written(seen.People...)
			require.Contains(t, w.Members("builders"), "carol")
			require.False(t, w.Held("carol", activitytest.Builders).Owned)
			kind, body := w.Entry("carol", activitytest.Builders)
			require.Equal(t, "holding-ended", kind)
			require.Contains(t, body, "somebody else took it")
			results, _ := w.Verified()
			require.Empty(t, results)
			require.Contains(t, w.Members("builders"), "carol")
		})
	}
}

// A full verification that comes before any look knows it as well.
func TestSweepLeavesWhatWasGivenByHandSince(t *testing.T) {
	t.Parallel()
	w, cursor := activitytest.Watched(t)
	w.Pass(time.Minute)
	w.ByHand(http.MethodDelete, "builders", "carol", "dan")
	w.Leave("eng", "carol", "eve")
	w.ByHand(http.MethodPost, "builders", "carol", "dan")
	w.Pass(time.Second)
	w.Watch(cursor)
	results, _ := w.Verified()
	require.Len(t, results, 1)
	require.NotContains(t, w.Members("builders"), "eve", "an ordinary leaver")
	require.Contains(t, w.Members("builders"), "carol")
	require.False(t, w.Held("dan", activitytest.Builders).Owned, "a mapping gives what he has by hand")
	require.True(t, w.Held("bo", activitytest.Builders).Owned)
}

// What Castellan itself gives back after somebody took it, and what it takes itself, stays its own affair.
func TestExamineTakesWhatItGaveBackItself(t *testing.T) {
	t.Parallel()
	w, cursor := activitytest.Watched(t)
	w.Pass(time.Minute)
	w.ByHand(http.MethodDelete, "builders", "carol")
	w.Pass(time.Second)
	seen := w.Watch(cursor)
	w.Written(seen.People...)
	require.Contains(t, w.Members("builders"), "carol")
	require.True(t, w.Held("carol", activitytest.Builders).Owned)
	w.Pass(3 * time.Minute)
	w.Leave("eng", "carol")
	w.Pass(time.Second)
	seen = w.Watch(seen.Cursor)
	w.Written(seen.People...)
	require.NotContains(t, w.Members("builders"), "carol")
	require.Nil(t, w.Held("carol", activitytest.Builders))
	w.Pass(3 * time.Minute)
	w.Join("eng", "carol")
	w.Pass(time.Second)
	seen = w.Watch(seen.Cursor)
	w.Written(seen.People...)
	require.True(t, w.Held("carol", activitytest.Builders).Owned)
}

// What a grant gave, and somebody took and gave by hand since, stays when the grant is over.
func TestAGrantsEndLeavesWhatWasGivenByHandSince(t *testing.T) {
	t.Parallel()
	for target, take := range taken {
		give := map[access.Entitlement]func(*activitytest.SimulatedOrg){
			access.OrgAdmin: func(w *activitytest.SimulatedOrg) {
				w.Set("ivo",
					map[string]any{"orgAdmin": true})
			},
			activitytest.Builders: func(w *activitytest.SimulatedOrg) { w.ByHand(http.MethodPost, "builders", "ivo") },
		}[target]
		if give == nil {
			continue // no event says of these that they were taken
		}
		for name, look := range map[string]func(*activitytest.SimulatedOrg){
			"after a look": func(w *activitytest.SimulatedOrg) {
				w.Written(w.Id("ivo"))
				require.False(t, w.Held("ivo", target).Owned)
			},
			"before any look": func(*activitytest.SimulatedOrg) {},
		} {
			t.Run(string(target)+" "+name, func(t *testing.T) {
				w, g := lent(t, activitytest.Lendable, target)
				cursor := w.Watch("").Cursor
				w.Pass(time.Minute)
				take(w)
				w.Pass(time.Second)
				give(w)
				w.Pass(time.Second)
				seen := w.Watch(cursor)
				require.Contains(t, seen.People, w.Id("ivo"))
				look(w)
				w.Until(g)
				w.Right(g)
				require.True(t, w.Has(target))
				w.Verified()
				require.True(t, w.Has(target))
			})
		}
	}
}

// Atlassian's clock and ours differ: what Castellan gave back after it was taken by hand is Castellan's own all the
// same.
func TestWatchGoesByOneClock(t *testing.T) {
	t.Parallel()
	for _, ahead := range []time.Duration{20 * time.Second, 10 * time.Minute} {
		w, cursor := activitytest.Watched(t)
		w.Sim.Advance(ahead)
		w.Pass(time.Minute)
		w.ByHand(http.MethodDelete, "builders", "carol")
		w.Pass(5 * time.Second)
		seen := w.Watch(cursor)
		w.Written(seen.People...)
		require.Contains(t, w.Members("builders"), "carol")
		w.Pass(5 * time.Second)
		w.Watch(seen.Cursor)
		w.Written(w.Id("carol"))
		require.True(t, w.Held("carol", activitytest.Builders).Owned, ahead)
		w.Pass(time.Minute)
		w.Leave("eng", "carol")
		w.Verified()
		require.NotContains(t, w.Members("builders"), "carol")
	}
}
