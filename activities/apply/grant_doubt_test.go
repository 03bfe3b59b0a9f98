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

func TestAnUnknownOutcomeIsTakenBackAllTheSame(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{cloud.FaultTimeoutAfter, cloud.FaultTimeoutBefore} {
		for _, target := range []access.Entitlement{activitytest.Other, access.OrgAdmin, activitytest.Jira} {
			t.Run(kind+" "+strings.ReplaceAll(string(target), "/", " "), func(t *testing.T) {
				t.Parallel()
				w := activitytest.WithGrants(t, activitytest.Lendable)
				g := w.Grant("kim", target, time.Hour)
				w.Inject(cloud.Fault{Operations: []string{"memberships.add", "org-roles.assign", "roles.assign"},
					Kind: kind, Count: 1})
				r := w.Begin(g)
				w.Lend(r, 1) // and whoever would have tried again died
				require.Equal(t, kind == cloud.FaultTimeoutAfter, w.Holds("kim", target))
				answer := w.Answer(r)[0]
				require.False(t, answer.Right)
				require.True(t, answer.Soon)
				w.Until(g)
				w.Right(g)
				require.False(t, w.Holds("kim", target))
				require.False(t, w.Stored(g).RevokedAt.IsZero())
			})
		}
	}
}

func TestAnUnknownOutcomeIsFoundToBeDone(t *testing.T) {
	t.Parallel()
	for _, target := range []access.Entitlement{activitytest.Other, access.OrgAdmin, activitytest.Jira} {
		t.Run(strings.ReplaceAll(string(target), "/", " "), func(t *testing.T) {
			t.Parallel()
			w := activitytest.WithGrants(t, activitytest.Lendable)
			g := w.Grant("kim", target, time.Hour)
			w.Inject(cloud.Fault{Operations: []string{"memberships.*", "org-roles.*", "roles.*"},
				Kind: cloud.FaultTimeoutAfter, Count: 1})
			w.Right(g)
			require.True(t, w.Held("kim", target).Owned)
			w.Until(g)
			w.Sim.ClearFaults("")
			w.Inject(cloud.Fault{Operations: []string{"memberships.*", "org-roles.*", "roles.*"},
				Kind: cloud.FaultTimeoutAfter, Count: 1})
			w.Right(g)
			require.False(t, w.Holds("kim", target))
			require.Nil(t, w.Held("kim", target))
		})
	}
}

// What somebody else gave, and has taken since, is not found in the ledger to be theirs still.
func TestAnUnknownOutcomeIsTakenBackFromWhomAHandGaveBefore(t *testing.T) {
	t.Parallel()
	w := activitytest.WithGrants(t, activitytest.Lendable)
	w.Full()
	require.False(t, w.Held("jo", activitytest.Other).Owned)
	w.ByHand(http.MethodDelete, "other", "jo") // and nobody looks
	g := w.Grant("jo", activitytest.Other, time.Hour)
	w.Inject(cloud.Fault{Operations: []string{"memberships.add"}, Kind: cloud.FaultTimeoutAfter, Count: 1})
	r := w.Begin(g)
	w.Lend(r, 1)
	require.True(t, w.Holds("jo", activitytest.Other))
	w.Answer(r)
	w.Until(g)
	w.Right(g)
	require.False(t, w.Holds("jo", activitytest.Other), "it was the grant that gave it")
}

// A mapping that begins while nobody knows whether the grant was given keeps it, and takes it over.
func TestAnUnknownOutcomeIsLeftToAMapping(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]func(*activitytest.SimulatedOrg){
		"that nobody saw yet":      func(*activitytest.SimulatedOrg) {},
		"that a verification sees": func(w *activitytest.SimulatedOrg) { w.Pass(5 * time.Minute); w.Full() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := activitytest.WithGrants(t, activitytest.Lendable)
			g := w.Grant("jo", activitytest.Builders, time.Hour)
			w.Inject(cloud.Fault{Operations: []string{"memberships.add"}, Kind: cloud.FaultTimeoutAfter, Count: 1})
			r := w.Begin(g)
			w.Lend(r, 1)
			w.Answer(r)
			w.Until(g)
			w.Join("eng", "jo")
			before(w)
			w.Attend(g)
			w.Right(g)
			require.Contains(t, w.Members("builders"), "jo")
			require.False(t, w.Stored(g).RevokedAt.IsZero())

			w.Pass(5 * time.Minute)
			w.Leave("eng", "jo")
			w.Full()
			require.NotContains(t, w.Members("builders"), "jo", "Castellan gave it, and nothing gives it any more")
		})
	}
}

// A verification that finds the target held cannot know that a write which was never answered gave it.
func TestAnUnknownOutcomeIsNotForgottenByAVerification(t *testing.T) {
	t.Parallel()
	w := activitytest.WithGrants(t, activitytest.Lendable)
	g := w.Grant("kim", activitytest.Other, time.Hour)
	run, verdict := w.Planned()
	require.Equal(t, 1, verdict.Open, "the verification gives it too")
	w.Inject(cloud.Fault{Operations: []string{"memberships.add"}, Kind: cloud.FaultTimeoutAfter, Count: 1})
	r := w.Begin(g)
	w.Lend(r, 1)
	w.Write(run)
	w.Answer(r)
	w.Until(g)
	w.Right(g)
	require.False(t, w.Holds("kim", activitytest.Other))
}

// A removal that is begun and never answered is begun again by the next question.
func TestARemovalThatWasCutOffIsMade(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{cloud.FaultTimeoutAfter, cloud.FaultTimeoutBefore} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := activitytest.WithGrants(t, activitytest.Lendable)
			g := w.Grant("kim", activitytest.Other, time.Hour)
			w.Right(g)
			w.Until(g)
			w.Inject(cloud.Fault{Operations: []string{"memberships.remove"}, Kind: kind, Count: 1})
			r := w.Begin(g)
			w.Lend(r, 1)
			require.False(t, w.Answer(r)[0].Right)
			require.True(t, w.Stored(g).RevokedAt.IsZero())
			w.Right(g)
			require.False(t, w.Holds("kim", activitytest.Other))
			require.Nil(t, w.Held("kim", activitytest.Other))
			require.False(t, w.Stored(g).RevokedAt.IsZero())
		})
	}
}
