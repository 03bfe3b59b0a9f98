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

func TestGrantOfUnknownOutcomeIsTakenBack(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{cloud.FaultTimeoutAfter, cloud.FaultTimeoutBefore} {
		for _, target := range []access.Entitlement{activitytest.Other, access.OrgAdmin, activitytest.Jira} {
			t.Run(kind+" "+strings.ReplaceAll(string(target), "/", " "), func(t *testing.T) {
				t.Parallel()
				o := activitytest.WithGrants(t, activitytest.Lendable)
				g := o.Grant("kim", target, time.Hour)
				o.Inject(cloud.Fault{Operations: []string{"memberships.add", "org-roles.assign", "roles.assign"},
					Kind: kind, Count: 1})
				r := o.PlanRound(g)
				o.WriteRound(r, 1) // and whoever would have tried again died
				require.Equal(t, kind == cloud.FaultTimeoutAfter, o.Holds("kim", target))
				answer := o.AnswerRound(r)[0]
				require.False(t, answer.Right)
				require.True(t, answer.Soon)
				o.AdvanceToEnd(g)
				o.AttendAll(g)
				require.False(t, o.Holds("kim", target))
				require.False(t, o.StoredGrant(g).RevokedAt.IsZero())
			})
		}
	}
}

func TestGrantOfUnknownOutcomeIsFoundDone(t *testing.T) {
	t.Parallel()
	for _, target := range []access.Entitlement{activitytest.Other, access.OrgAdmin, activitytest.Jira} {
		t.Run(strings.ReplaceAll(string(target), "/", " "), func(t *testing.T) {
			t.Parallel()
			o := activitytest.WithGrants(t, activitytest.Lendable)
			g := o.Grant("kim", target, time.Hour)
			o.Inject(cloud.Fault{Operations: []string{"memberships.*", "org-roles.*", "roles.*"},
				Kind: cloud.FaultTimeoutAfter, Count: 1})
			o.AttendAll(g)
			require.True(t, o.Held("kim", target).Owned)
			o.AdvanceToEnd(g)
			o.Sim.ClearFaults("")
			o.Inject(cloud.Fault{Operations: []string{"memberships.*", "org-roles.*", "roles.*"},
				Kind: cloud.FaultTimeoutAfter, Count: 1})
			o.AttendAll(g)
			require.False(t, o.Holds("kim", target))
			require.Nil(t, o.Held("kim", target))
		})
	}
}

// What somebody else gave, and has taken since, is not found in the ledger to be theirs still.
func TestGrantOfUnknownOutcomeIsTakenBackDespiteAFormerGiftByHand(t *testing.T) {
	t.Parallel()
	o := activitytest.WithGrants(t, activitytest.Lendable)
	o.VerifyEverybody()
	require.False(t, o.Held("jo", activitytest.Other).Owned)
	o.ByHand(http.MethodDelete, "other", "jo") // and nobody looks
	g := o.Grant("jo", activitytest.Other, time.Hour)
	o.Inject(cloud.Fault{Operations: []string{"memberships.add"}, Kind: cloud.FaultTimeoutAfter, Count: 1})
	r := o.PlanRound(g)
	o.WriteRound(r, 1)
	require.True(t, o.Holds("jo", activitytest.Other))
	o.AnswerRound(r)
	o.AdvanceToEnd(g)
	o.AttendAll(g)
	require.False(t, o.Holds("jo", activitytest.Other), "it was the grant that gave it")
}

// A mapping that begins while nobody knows whether the grant was given keeps it, and takes it over.
func TestGrantOfUnknownOutcomeIsLeftToAMapping(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]func(*activitytest.SimulatedOrg){
		"that nobody saw yet": func(*activitytest.SimulatedOrg) {},
		"that a verification sees": func(
			o *activitytest.SimulatedOrg) {
			o.Advance(5 * time.Minute)
			o.VerifyEverybody()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := activitytest.WithGrants(t, activitytest.Lendable)
			g := o.Grant("jo", activitytest.Builders, time.Hour)
			o.Inject(cloud.Fault{Operations: []string{"memberships.add"}, Kind: cloud.FaultTimeoutAfter, Count: 1})
			r := o.PlanRound(g)
			o.WriteRound(r, 1)
			o.AnswerRound(r)
			o.AdvanceToEnd(g)
			o.Join("eng", "jo")
			before(o)
			o.Attend(g)
			o.AttendAll(g)
			require.Contains(t, o.Members("builders"), "jo")
			require.False(t, o.StoredGrant(g).RevokedAt.IsZero())

			o.Advance(5 * time.Minute)
			o.Leave("eng", "jo")
			o.VerifyEverybody()
			require.NotContains(t, o.Members("builders"), "jo", "Castellan gave it, and nothing gives it any more")
		})
	}
}

// A verification that finds the target held cannot know that a write which was never answered gave it.
func TestGrantOfUnknownOutcomeOutlivesAVerification(t *testing.T) {
	t.Parallel()
	o := activitytest.WithGrants(t, activitytest.Lendable)
	g := o.Grant("kim", activitytest.Other, time.Hour)
	run, verdict := o.SweepAndJudge()
	require.Equal(t, 1, verdict.Open, "the verification gives it too")
	o.Inject(cloud.Fault{Operations: []string{"memberships.add"}, Kind: cloud.FaultTimeoutAfter, Count: 1})
	r := o.PlanRound(g)
	o.WriteRound(r, 1)
	o.Write(run)
	o.AnswerRound(r)
	o.AdvanceToEnd(g)
	o.AttendAll(g)
	require.False(t, o.Holds("kim", activitytest.Other))
}

// A removal that is begun and never answered is begun again by the next question.
func TestGrantRemovalThatWasInterruptedIsMade(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{cloud.FaultTimeoutAfter, cloud.FaultTimeoutBefore} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			o := activitytest.WithGrants(t, activitytest.Lendable)
			g := o.Grant("kim", activitytest.Other, time.Hour)
			o.AttendAll(g)
			o.AdvanceToEnd(g)
			o.Inject(cloud.Fault{Operations: []string{"memberships.remove"}, Kind: kind, Count: 1})
			r := o.PlanRound(g)
			o.WriteRound(r, 1)
			require.False(t, o.AnswerRound(r)[0].Right)
			require.True(t, o.StoredGrant(g).RevokedAt.IsZero())
			o.AttendAll(g)
			require.False(t, o.Holds("kim", activitytest.Other))
			require.Nil(t, o.Held("kim", activitytest.Other))
			require.False(t, o.StoredGrant(g).RevokedAt.IsZero())
		})
	}
}
