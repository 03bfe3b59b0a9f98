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

func TestGrantsThatOverlapAreAUnion(t *testing.T) {
	t.Parallel()
	o := activitytest.WithGrants(t, activitytest.Lendable)
	short := o.Grant("kim", activitytest.Other, time.Hour)
	o.AttendAll(short)
	o.Advance(30 * time.Minute)
	long := o.Grant("kim", activitytest.Other, 2*time.Hour)
	require.Equal(t, short.Key, long.Key)
	made := o.Calls(func() { o.AttendAll(long) })
	require.Zero(t, made["memberships.add"], "it is held already")
	require.Len(t, o.Held("kim", activitytest.Other).Reasons, 2)

	o.AdvanceToEnd(short)
	made = o.Calls(func() { o.AttendAll(short) })
	require.Empty(t, made)
	require.True(t, o.Holds("kim", activitytest.Other))
	require.Equal(t, []access.Reason{long.GrantReason()}, o.Held("kim", activitytest.Other).Reasons)
	require.False(t, o.StoredGrant(short).RevokedAt.IsZero())
	require.True(t, o.StoredGrant(long).RevokedAt.IsZero())

	o.AdvanceToEnd(long)
	o.AttendAll(long)
	require.False(t, o.Holds("kim", activitytest.Other))
	require.Nil(t, o.Held("kim", activitytest.Other))
}

func TestGrantsOfOneGroupByTwoNamesAreAUnion(t *testing.T) {
	t.Parallel()
	const byRole, byName = access.Entitlement("default:jira-software/acme/admin"),
		access.Entitlement("group:jira-admins-acme")
	o := activitytest.WithGrants(t,
		strings.Replace(activitytest.Lendable, `"group:other"`, `"group:other", "group:jira-admins-acme"`, 1))
	first, second := o.Grant("kim", byRole, time.Hour), o.Grant("kim", byName, 2*time.Hour)
	o.AttendAll(first, second)
	o.AdvanceToEnd(first)
	o.AttendAll(first)
	require.True(t, o.Holds("kim", byRole), "the other name still gives it")
	o.AdvanceToEnd(second)
	o.AttendAll(second)
	require.False(t, o.Holds("kim", byRole))
}

func TestGrantRemovalKeepsWhatAMappingGives(t *testing.T) {
	t.Parallel()
	t.Run("given before", func(t *testing.T) {
		t.Parallel()
		o := activitytest.WithGrants(t, activitytest.Lendable)
		g := o.Grant("carol", activitytest.Builders, time.Hour)
		o.AttendAll(g)
		o.AdvanceToEnd(g)
		made := o.Calls(func() { o.AttendAll(g) })
		require.Zero(t, made["memberships.remove"])
		require.Contains(t, o.Members("builders"), "carol")
		h := o.Held("carol", activitytest.Builders)
		require.True(t, h.Owned)
		require.Equal(t, access.ReasonMapping, h.Reasons[0].Kind)
		require.False(t, o.StoredGrant(g).RevokedAt.IsZero())
	})
	for name, protect := range map[string]string{"begun meanwhile": "",
		"begun meanwhile, protected": "protected: [{target: group:builders, minimum: 1}]\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := activitytest.WithGrants(t, protect+activitytest.Lendable)
			g := o.Grant("jo", activitytest.Builders, time.Hour)
			o.AttendAll(g)
			o.Join("eng", "jo") // which nothing but a read at the moment of writing shows
			o.AdvanceToEnd(g)
			r := o.AttendAll(g)
			result := r.Results["remove jo@example.com from group:builders"]
			require.Equal(t, access.Superseded, result.State)
			require.Contains(t, result.Answer, "mapping builders")
			require.Contains(t, o.Members("builders"), "jo")
			h := o.Held("jo", activitytest.Builders)
			require.True(t, h.Owned)
			require.Equal(t, access.ReasonMapping, h.Reasons[0].Kind)

			o.Advance(5 * time.Minute)
			o.Leave("eng", "jo")
			o.VerifyEverybody()
			require.NotContains(t, o.Members("builders"), "jo", "from now on it is the mapping's")
		})
	}
}

func TestGrantRemovalKeepsWhatSomebodyElseGaveBefore(t *testing.T) {
	t.Parallel()
	for name, arrange := range map[string]func(o *activitytest.SimulatedOrg){
		"before the request": func(o *activitytest.SimulatedOrg) { o.ByHand(http.MethodPost, "other", "kim") },
		"and the first attempt cannot read": func(o *activitytest.SimulatedOrg) {
			o.ByHand(http.MethodPost, "other", "kim")
			o.Inject(cloud.Fault{Operations: []string{"users.search"}, Kind: cloud.FaultTimeoutBefore, Count: 1})
		},
		"and the first attempt is not let write": func(o *activitytest.SimulatedOrg) {
			o.ByHand(http.MethodPost, "other", "kim")
			o.Inject(cloud.Fault{Operations: []string{"users.search"}, Kind: cloud.FaultStaleRead, Count: 1,
				Params: cloud.FaultParams{Age: cloud.Duration(time.Minute)}})
			o.Inject(cloud.Fault{Operations: []string{"memberships.add"}, Kind: cloud.FaultStatus, Count: 1,
				Params: cloud.FaultParams{Status: 429}})
		},
		"and the read lags": func(o *activitytest.SimulatedOrg) {
			o.ByHand(http.MethodPost, "other", "kim")
			o.Inject(cloud.Fault{Operations: []string{"users.search"}, Kind: cloud.FaultStaleRead, Count: 1,
				Params: cloud.FaultParams{Age: cloud.Duration(time.Minute)}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := activitytest.WithGrants(t, activitytest.Lendable)
			g := o.Grant("kim", activitytest.Other, time.Hour)
			arrange(o)
			r := o.AttendAll(g)
			require.Equal(t, access.Already, r.Results["add kim@example.com to group:other"].State)
			require.False(t, o.Held("kim", activitytest.Other).Owned)
			o.AdvanceToEnd(g)
			made := o.Calls(func() { o.AttendAll(g) })
			require.Zero(t, made["memberships.remove"])
			require.True(t, o.Holds("kim", activitytest.Other))
			o.Advance(10 * time.Minute)
			o.VerifyEverybody()
			require.True(t, o.Holds("kim", activitytest.Other), "nor does a verification take it")
		})
	}
}

func TestGrantRemovalKeepsWhatWasGivenByHandBetweenAttempts(t *testing.T) {
	t.Parallel()
	o := activitytest.WithGrants(t, activitytest.Lendable)
	g := o.Grant("kim", activitytest.Other, time.Hour)
	r := o.PlanRound(g)
	line := o.LinesOf(r)[0]
	o.Inject(cloud.Fault{Operations: []string{"memberships.add"}, Kind: cloud.FaultStatus, Count: 1,
		Params: cloud.FaultParams{Status: 429}})
	require.False(t, o.Attempt(r, line), "the first attempt read that it is not held, and wrote nothing")
	o.ByHand(http.MethodPost, "other", "kim")
	require.True(t, o.Attempt(r, line))
	require.Equal(t, access.Already, r.Results[line.Label].State)
	require.True(t, o.AnswerRound(r)[0].Right)
	o.AdvanceToEnd(g)
	o.AttendAll(g)
	require.True(t, o.Holds("kim", activitytest.Other))
}

// A removal that was planned for the end of a grant meets another grant that has begun since.
func TestGrantRemovalKeepsWhatALaterGrantGives(t *testing.T) {
	t.Parallel()
	for name, protect := range map[string]string{"plain": "",
		"protected": "protected: [{target: group:other, minimum: 1}]\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := activitytest.WithGrants(t, protect+activitytest.Lendable)
			first := o.Grant("kim", activitytest.Other, time.Hour)
			o.AttendAll(first)
			o.AdvanceToEnd(first)
			r := o.PlanRound(first)
			second := o.Grant("kim", activitytest.Other, time.Hour)
			o.WriteRound(r, 1)
			require.Equal(t, access.Superseded, r.Results["remove kim@example.com from group:other"].State)
			o.AnswerRound(r)
			o.AttendAll(second)
			require.True(t, o.Holds("kim", activitytest.Other))
			o.AdvanceToEnd(second)
			o.AttendAll(second)
			require.False(t, o.Holds("kim", activitytest.Other))
		})
	}
}

// The ledger may have on its books what somebody has taken by hand: a grant that begins is seen to be held.
func TestGrantAfterARemovalByHandIsGiven(t *testing.T) {
	t.Parallel()
	o := activitytest.WithGrants(t, activitytest.Lendable)
	o.AttendAll(o.Grant("kim", activitytest.Other, time.Hour))
	o.ByHand(http.MethodDelete, "other", "kim") // and nobody looks
	o.Advance(time.Minute)
	second := o.Grant("kim", activitytest.Other, 2*time.Hour)
	o.AttendAll(second)
	require.True(t, o.Holds("kim", activitytest.Other))
	o.AdvanceToEnd(second)
	o.AttendAll(second)
	require.False(t, o.Holds("kim", activitytest.Other))
}
