package activities_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/simulator/cloud"
)

func TestOverlappingGrantsAreAUnion(t *testing.T) {
	t.Parallel()
	w := lending(t, lendable)
	short := w.grant("kim", other, time.Hour)
	w.right(short)
	w.pass(30 * time.Minute)
	long := w.grant("kim", other, 2*time.Hour)
	require.Equal(t, short.Key, long.Key)
	made := w.calls(func() { w.right(long) })
	require.Zero(t, made["memberships.add"], "it is held already")
	require.Len(t, w.held("kim", other).Reasons, 2)

	w.until(short)
	made = w.calls(func() { w.right(short) })
	require.Empty(t, made)
	require.True(t, w.holds("kim", other))
	require.Equal(t, []access.Reason{long.GrantReason()}, w.held("kim", other).Reasons)
	require.False(t, w.stored(short).Taken.IsZero())
	require.True(t, w.stored(long).Taken.IsZero())

	w.until(long)
	w.right(long)
	require.False(t, w.holds("kim", other))
	require.Nil(t, w.held("kim", other))
}

func TestGrantsOfOneGroupByTwoNamesAreAUnion(t *testing.T) {
	t.Parallel()
	const byRole, byName = access.Entitlement("default:jira-software/acme/admin"), access.Entitlement("group:jira-admins-acme")
	w := lending(t, strings.Replace(lendable, `"group:other"`, `"group:other", "group:jira-admins-acme"`, 1))
	first, second := w.grant("kim", byRole, time.Hour), w.grant("kim", byName, 2*time.Hour)
	w.right(first, second)
	w.until(first)
	w.right(first)
	require.True(t, w.holds("kim", byRole), "the other name still gives it")
	w.until(second)
	w.right(second)
	require.False(t, w.holds("kim", byRole))
}

func TestWhatAMappingGivesStaysWhenAGrantEnds(t *testing.T) {
	t.Parallel()
	t.Run("given before", func(t *testing.T) {
		t.Parallel()
		w := lending(t, lendable)
		g := w.grant("carol", builders, time.Hour)
		w.right(g)
		w.until(g)
		made := w.calls(func() { w.right(g) })
		require.Zero(t, made["memberships.remove"])
		require.Contains(t, w.members("builders"), "carol")
		h := w.held("carol", builders)
		require.True(t, h.Owned)
		require.Equal(t, access.ReasonMapping, h.Reasons[0].Kind)
		require.False(t, w.stored(g).Taken.IsZero())
	})
	for name, protect := range map[string]string{"begun meanwhile": "", "begun meanwhile, protected": "protected: [{target: group:builders, minimum: 1}]\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := lending(t, protect+lendable)
			g := w.grant("jo", builders, time.Hour)
			w.right(g)
			w.join("eng", "jo") // which nothing but a read at the moment of writing shows
			w.until(g)
			r := w.right(g)
			result := r.results["remove jo@example.com from group:builders"]
			require.Equal(t, access.Superseded, result.State)
			require.Contains(t, result.Answer, "mapping builders")
			require.Contains(t, w.members("builders"), "jo")
			h := w.held("jo", builders)
			require.True(t, h.Owned)
			require.Equal(t, access.ReasonMapping, h.Reasons[0].Kind)

			w.pass(5 * time.Minute)
			w.leave("eng", "jo")
			w.full()
			require.NotContains(t, w.members("builders"), "jo", "from now on it is the mapping's")
		})
	}
}

func TestWhatSomebodyElseGaveBeforeStays(t *testing.T) {
	t.Parallel()
	for name, arrange := range map[string]func(w *world){
		"before the request": func(w *world) { w.byHand(http.MethodPost, "other", "kim") },
		"and the first attempt cannot read": func(w *world) {
			w.byHand(http.MethodPost, "other", "kim")
			w.inject(cloud.Fault{Operations: []string{"users.search"}, Kind: cloud.FaultTimeoutBefore, Count: 1})
		},
		"and the first attempt is not let write": func(w *world) {
			w.byHand(http.MethodPost, "other", "kim")
			w.inject(cloud.Fault{Operations: []string{"users.search"}, Kind: cloud.FaultStaleRead, Count: 1, Params: cloud.FaultParams{Age: cloud.Duration(time.Minute)}})
			w.inject(cloud.Fault{Operations: []string{"memberships.add"}, Kind: cloud.FaultStatus, Count: 1, Params: cloud.FaultParams{Status: 429}})
		},
		"and the read lags": func(w *world) {
			w.byHand(http.MethodPost, "other", "kim")
			w.inject(cloud.Fault{Operations: []string{"users.search"}, Kind: cloud.FaultStaleRead, Count: 1, Params: cloud.FaultParams{Age: cloud.Duration(time.Minute)}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := lending(t, lendable)
			g := w.grant("kim", other, time.Hour)
			arrange(w)
			r := w.right(g)
			require.Equal(t, access.Already, r.results["add kim@example.com to group:other"].State)
			require.False(t, w.held("kim", other).Owned)
			w.until(g)
			made := w.calls(func() { w.right(g) })
			require.Zero(t, made["memberships.remove"])
			require.True(t, w.holds("kim", other))
			w.pass(10 * time.Minute)
			w.full()
			require.True(t, w.holds("kim", other), "nor does a verification take it")
		})
	}
}

func TestAHandThatGaveBetweenTheAttemptsKeepsIt(t *testing.T) {
	t.Parallel()
	w := lending(t, lendable)
	g := w.grant("kim", other, time.Hour)
	r := w.begin(g)
	line := w.linesOf(r)[0]
	w.inject(cloud.Fault{Operations: []string{"memberships.add"}, Kind: cloud.FaultStatus, Count: 1, Params: cloud.FaultParams{Status: 429}})
	require.False(t, w.attempt(r, line), "the first attempt read that it is not held, and wrote nothing")
	w.byHand(http.MethodPost, "other", "kim")
	require.True(t, w.attempt(r, line))
	require.Equal(t, access.Already, r.results[line.Label].State)
	require.True(t, w.answer(r)[0].Right)
	w.until(g)
	w.right(g)
	require.True(t, w.holds("kim", other))
}

// A removal that was planned for the end of a grant meets another grant that has begun since.
func TestAGrantThatBeganBeforeTheRemovalKeepsIt(t *testing.T) {
	t.Parallel()
	for name, protect := range map[string]string{"plain": "", "protected": "protected: [{target: group:other, minimum: 1}]\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := lending(t, protect+lendable)
			first := w.grant("kim", other, time.Hour)
			w.right(first)
			w.until(first)
			r := w.begin(first)
			second := w.grant("kim", other, time.Hour)
			w.lend(r, 1)
			require.Equal(t, access.Superseded, r.results["remove kim@example.com from group:other"].State)
			w.answer(r)
			w.right(second)
			require.True(t, w.holds("kim", other))
			w.until(second)
			w.right(second)
			require.False(t, w.holds("kim", other))
		})
	}
}

// The ledger may have on its books what somebody has taken by hand: a grant that begins is seen to be held.
func TestAGrantAfterAHandTookTheOneBeforeIsGiven(t *testing.T) {
	t.Parallel()
	w := lending(t, lendable)
	w.right(w.grant("kim", other, time.Hour))
	w.byHand(http.MethodDelete, "other", "kim") // and nobody looks
	w.pass(time.Minute)
	second := w.grant("kim", other, 2*time.Hour)
	w.right(second)
	require.True(t, w.holds("kim", other))
	w.until(second)
	w.right(second)
	require.False(t, w.holds("kim", other))
}
