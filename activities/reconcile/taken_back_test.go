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
		"removed from the organization": func(o *activitytest.SimulatedOrg) {
			o.Leave("eng", "carol")
			o.ChangePerson("carol", map[string]any{"remove": true})
			o.Invite("carol")
			o.ByHand(http.MethodPost, "builders", "carol")
		},
		"taken out of the target": func(o *activitytest.SimulatedOrg) {
			o.ByHand(http.MethodDelete, "builders", "carol")
			o.Leave("eng", "carol")
			o.ByHand(http.MethodPost, "builders", "carol")
		},
	} {
		t.Run(name, func(t *testing.T) {
			o, cursor := activitytest.NewWatched(t)
			require.True(t, o.Held("carol", activitytest.Builders).Owned)
			o.Advance(time.Minute)
			happens(o)
			o.Advance(time.Second)
			seen := o.Watch(cursor)
			require.Contains(t, seen.People, o.AccountID("carol"))
			o.LookAndWrite(seen.People...)
			require.Contains(t, o.Members("builders"), "carol")
			require.False(t, o.Held("carol", activitytest.Builders).Owned)
			kind, body := o.Entry("carol", activitytest.Builders)
			require.Equal(t, "holding-ended", kind)
			require.Contains(t, body, "somebody else took it")
			results, _ := o.VerifyFully()
			require.Empty(t, results)
			require.Contains(t, o.Members("builders"), "carol")
		})
	}
}

// A full verification that comes before any look knows it as well.
func TestSweepLeavesWhatWasGivenByHandSince(t *testing.T) {
	t.Parallel()
	o, cursor := activitytest.NewWatched(t)
	o.Advance(time.Minute)
	o.ByHand(http.MethodDelete, "builders", "carol", "dan")
	o.Leave("eng", "carol", "eve")
	o.ByHand(http.MethodPost, "builders", "carol", "dan")
	o.Advance(time.Second)
	o.Watch(cursor)
	results, _ := o.VerifyFully()
	require.Len(t, results, 1)
	require.NotContains(t, o.Members("builders"), "eve", "an ordinary leaver")
	require.Contains(t, o.Members("builders"), "carol")
	require.False(t, o.Held("dan", activitytest.Builders).Owned, "a mapping gives what he has by hand")
	require.True(t, o.Held("bo", activitytest.Builders).Owned)
}

// What Castellan itself gives back after somebody took it, and what it takes itself, stays its own affair.
func TestExamineTakesWhatItGaveBackItself(t *testing.T) {
	t.Parallel()
	o, cursor := activitytest.NewWatched(t)
	o.Advance(time.Minute)
	o.ByHand(http.MethodDelete, "builders", "carol")
	o.Advance(time.Second)
	seen := o.Watch(cursor)
	o.LookAndWrite(seen.People...)
	require.Contains(t, o.Members("builders"), "carol")
	require.True(t, o.Held("carol", activitytest.Builders).Owned)
	o.Advance(3 * time.Minute)
	o.Leave("eng", "carol")
	o.Advance(time.Second)
	seen = o.Watch(seen.Cursor)
	o.LookAndWrite(seen.People...)
	require.NotContains(t, o.Members("builders"), "carol")
	require.Nil(t, o.Held("carol", activitytest.Builders))
	o.Advance(3 * time.Minute)
	o.Join("eng", "carol")
	o.Advance(time.Second)
	seen = o.Watch(seen.Cursor)
	o.LookAndWrite(seen.People...)
	require.True(t, o.Held("carol", activitytest.Builders).Owned)
}

// What a grant gave, and somebody took and gave by hand since, stays when the grant is over.
func TestGrantEndLeavesWhatWasGivenByHandSince(t *testing.T) {
	t.Parallel()
	for target, take := range taken {
		give := map[access.Entitlement]func(*activitytest.SimulatedOrg){
			access.OrgAdmin: func(o *activitytest.SimulatedOrg) {
				o.ChangePerson("ivo",
					map[string]any{"orgAdmin": true})
			},
			activitytest.Builders: func(o *activitytest.SimulatedOrg) { o.ByHand(http.MethodPost, "builders", "ivo") },
		}[target]
		if give == nil {
			continue // no event says of these that they were taken
		}
		for name, look := range map[string]func(*activitytest.SimulatedOrg){
			"after a look": func(o *activitytest.SimulatedOrg) {
				o.LookAndWrite(o.AccountID("ivo"))
				require.False(t, o.Held("ivo", target).Owned)
			},
			"before any look": func(*activitytest.SimulatedOrg) {},
		} {
			t.Run(string(target)+" "+name, func(t *testing.T) {
				o, g := lent(t, activitytest.Lendable, target)
				cursor := o.Watch("").Cursor
				o.Advance(time.Minute)
				take(o)
				o.Advance(time.Second)
				give(o)
				o.Advance(time.Second)
				seen := o.Watch(cursor)
				require.Contains(t, seen.People, o.AccountID("ivo"))
				look(o)
				o.AdvanceToEnd(g)
				o.AttendAll(g)
				require.True(t, o.Has(target))
				o.VerifyFully()
				require.True(t, o.Has(target))
			})
		}
	}
}

// Atlassian's clock and ours differ: what Castellan gave back after it was taken by hand is Castellan's own all the
// same.
func TestWatchGoesByOneClock(t *testing.T) {
	t.Parallel()
	for _, ahead := range []time.Duration{20 * time.Second, 10 * time.Minute} {
		o, cursor := activitytest.NewWatched(t)
		o.Sim.Advance(ahead)
		o.Advance(time.Minute)
		o.ByHand(http.MethodDelete, "builders", "carol")
		o.Advance(5 * time.Second)
		seen := o.Watch(cursor)
		o.LookAndWrite(seen.People...)
		require.Contains(t, o.Members("builders"), "carol")
		o.Advance(5 * time.Second)
		o.Watch(seen.Cursor)
		o.LookAndWrite(o.AccountID("carol"))
		require.True(t, o.Held("carol", activitytest.Builders).Owned, ahead)
		o.Advance(time.Minute)
		o.Leave("eng", "carol")
		o.VerifyFully()
		require.NotContains(t, o.Members("builders"), "carol")
	}
}
