package apply_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/simulator/cloud"
)

func TestOverlappingGrantsAreAUnion(t *testing.T) {
	t.Parallel()
	w := activitytest.WithGrants(t, activitytest.Lendable)
	short := w.Grant("kim", activitytest.Other, time.Hour)
	w.Right(short)
	w.Pass(30 * time.Minute)
	long := w.Grant("kim", activitytest.Other, 2*time.Hour)
	require.Equal(t, short.Key, long.Key)
	made := w.Calls(func() { w.Right(long) })
	require.Zero(t, made["memberships.add"], "it is held already")
	require.Len(t, w.Held("kim", activitytest.Other).Reasons, 2)

	w.Until(short)
	made = w.Calls(func() { w.Right(short) })
	require.Empty(t, made)
	require.True(t, w.Holds("kim", activitytest.Other))
	require.Equal(t, []access.Reason{long.GrantReason()}, w.Held("kim", activitytest.Other).Reasons)
	require.False(t, w.Stored(short).RevokedAt.IsZero())
	require.True(t, w.Stored(long).RevokedAt.IsZero())

	w.Until(long)
	w.Right(long)
	require.False(t, w.Holds("kim", activitytest.Other))
	require.Nil(t, w.Held("kim", activitytest.Other))
}

func TestGrantsOfOneGroupByTwoNamesAreAUnion(t *testing.T) {
	t.Parallel()
	const byRole, byName = access.Entitlement("default:jira-software/acme/admin"),
		access.Entitlement("group:jira-admins-acme")
	w := activitytest.WithGrants(t,
		strings.Replace(activitytest.Lendable, `"group:other"`, `"group:other", "group:jira-admins-acme"`, 1))
	first, second := w.Grant("kim", byRole, time.Hour), w.Grant("kim", byName, 2*time.Hour)
	w.Right(first, second)
	w.Until(first)
	w.Right(first)
	require.True(t, w.Holds("kim", byRole), "the other name still gives it")
	w.Until(second)
	w.Right(second)
	require.False(t, w.Holds("kim", byRole))
}

func TestWhatAMappingGivesStaysWhenAGrantEnds(t *testing.T) {
	t.Parallel()
	t.Run("given before", func(t *testing.T) {
		t.Parallel()
		w := activitytest.WithGrants(t, activitytest.Lendable)
		g := w.Grant("carol", activitytest.Builders, time.Hour)
		w.Right(g)
		w.Until(g)
		made := w.Calls(func() { w.Right(g) })
		require.Zero(t, made["memberships.remove"])
		require.Contains(t, w.Members("builders"), "carol")
		h := w.Held("carol", activitytest.Builders)
		require.True(t, h.Owned)
		require.Equal(t, access.ReasonMapping, h.Reasons[0].Kind)
		require.False(t, w.Stored(g).RevokedAt.IsZero())
	})
	for name, protect := range map[string]string{"begun meanwhile": "",
		"begun meanwhile, protected": "protected: [{target: group:builders, minimum: 1}]\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := activitytest.WithGrants(t, protect+activitytest.Lendable)
			g := w.Grant("jo", activitytest.Builders, time.Hour)
			w.Right(g)
			w.Join("eng", "jo") // which nothing but a read at the moment of writing shows
			w.Until(g)
			r := w.Right(g)
			result := r.Results["remove jo@example.com from group:builders"]
			require.Equal(t, access.Superseded, result.State)
			require.Contains(t, result.Answer, "mapping builders")
			require.Contains(t, w.Members("builders"), "jo")
			h := w.Held("jo", activitytest.Builders)
			require.True(t, h.Owned)
			require.Equal(t, access.ReasonMapping, h.Reasons[0].Kind)

			w.Pass(5 * time.Minute)
			w.Leave("eng", "jo")
			w.Full()
			require.NotContains(t, w.Members("builders"), "jo", "from now on it is the mapping's")
		})
	}
}

func TestWhatSomebodyElseGaveBeforeStays(t *testing.T) {
	t.Parallel()
	for name, arrange := range map[string]func(w *activitytest.SimulatedOrg){
		"before the request": func(w *activitytest.SimulatedOrg) { w.ByHand(http.MethodPost, "other", "kim") },
		"and the first attempt cannot read": func(w *activitytest.SimulatedOrg) {
			w.ByHand(http.MethodPost, "other", "kim")
			w.Inject(cloud.Fault{Operations: []string{"users.search"}, Kind: cloud.FaultTimeoutBefore, Count: 1})
		},
		"and the first attempt is not let write": func(w *activitytest.SimulatedOrg) {
			w.ByHand(http.MethodPost, "other", "kim")
			w.Inject(cloud.Fault{Operations: []string{"users.search"}, Kind: cloud.FaultStaleRead, Count: 1,
				Params: cloud.FaultParams{Age: cloud.Duration(time.Minute)}})
			w.Inject(cloud.Fault{Operations: []string{"memberships.add"}, Kind: cloud.FaultStatus, Count: 1,
				Params: cloud.FaultParams{Status: 429}})
		},
		"and the read lags": func(w *activitytest.SimulatedOrg) {
			w.ByHand(http.MethodPost, "other", "kim")
			w.Inject(cloud.Fault{Operations: []string{"users.search"}, Kind: cloud.FaultStaleRead, Count: 1,
				Params: cloud.FaultParams{Age: cloud.Duration(time.Minute)}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := activitytest.WithGrants(t, activitytest.Lendable)
			g := w.Grant("kim", activitytest.Other, time.Hour)
			arrange(w)
			r := w.Right(g)
			require.Equal(t, access.Already, r.Results["add kim@example.com to group:other"].State)
			require.False(t, w.Held("kim", activitytest.Other).Owned)
			w.Until(g)
			made := w.Calls(func() { w.Right(g) })
			require.Zero(t, made["memberships.remove"])
			require.True(t, w.Holds("kim", activitytest.Other))
			w.Pass(10 * time.Minute)
			w.Full()
			require.True(t, w.Holds("kim", activitytest.Other), "nor does a verification take it")
		})
	}
}

func TestAHandThatGaveBetweenTheAttemptsKeepsIt(t *testing.T) {
	t.Parallel()
	w := activitytest.WithGrants(t, activitytest.Lendable)
	g := w.Grant("kim", activitytest.Other, time.Hour)
	r := w.Begin(g)
	line := w.LinesOf(r)[0]
	w.Inject(cloud.Fault{Operations: []string{"memberships.add"}, Kind: cloud.FaultStatus, Count: 1,
		Params: cloud.FaultParams{Status: 429}})
	require.False(t, w.Attempt(r, line), "the first attempt read that it is not held, and wrote nothing")
	w.ByHand(http.MethodPost, "other", "kim")
	require.True(t, w.Attempt(r, line))
	require.Equal(t, access.Already, r.Results[line.Label].State)
	require.True(t, w.Answer(r)[0].Right)
	w.Until(g)
	w.Right(g)
	require.True(t, w.Holds("kim", activitytest.Other))
}

// A removal that was planned for the end of a grant meets another grant that has begun since.
func TestAGrantThatBeganBeforeTheRemovalKeepsIt(t *testing.T) {
	t.Parallel()
	for name, protect := range map[string]string{"plain": "",
		"protected": "protected: [{target: group:other, minimum: 1}]\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := activitytest.WithGrants(t, protect+activitytest.Lendable)
			first := w.Grant("kim", activitytest.Other, time.Hour)
			w.Right(first)
			w.Until(first)
			r := w.Begin(first)
			second := w.Grant("kim", activitytest.Other, time.Hour)
			w.Lend(r, 1)
			require.Equal(t, access.Superseded, r.Results["remove kim@example.com from group:other"].State)
			w.Answer(r)
			w.Right(second)
			require.True(t, w.Holds("kim", activitytest.Other))
			w.Until(second)
			w.Right(second)
			require.False(t, w.Holds("kim", activitytest.Other))
		})
	}
}

// The ledger may have on its books what somebody has taken by hand: a grant that begins is seen to be held.
func TestAGrantAfterAHandTookTheOneBeforeIsGiven(t *testing.T) {
	t.Parallel()
	w := activitytest.WithGrants(t, activitytest.Lendable)
	w.Right(w.Grant("kim", activitytest.Other, time.Hour))
	w.ByHand(http.MethodDelete, "other", "kim") // and nobody looks
	w.Pass(time.Minute)
	second := w.Grant("kim", activitytest.Other, 2*time.Hour)
	w.Right(second)
	require.True(t, w.Holds("kim", activitytest.Other))
	w.Until(second)
	w.Right(second)
	require.False(t, w.Holds("kim", activitytest.Other))
}
