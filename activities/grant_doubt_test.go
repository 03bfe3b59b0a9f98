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

func TestAnUnknownOutcomeIsTakenBackAllTheSame(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{cloud.FaultTimeoutAfter, cloud.FaultTimeoutBefore} {
		for _, target := range []access.Entitlement{other, access.OrgAdmin, jira} {
			t.Run(kind+" "+strings.ReplaceAll(string(target), "/", " "), func(t *testing.T) {
				t.Parallel()
				w := lending(t, lendable)
				g := w.grant("kim", target, time.Hour)
				w.inject(cloud.Fault{Operations: []string{"memberships.add", "org-roles.assign", "roles.assign"}, Kind: kind, Count: 1})
				r := w.begin(g)
				w.lend(r, 1) // and whoever would have tried again died
				require.Equal(t, kind == cloud.FaultTimeoutAfter, w.holds("kim", target))
				answer := w.answer(r)[0]
				require.False(t, answer.Right)
				require.True(t, answer.Soon)
				w.until(g)
				w.right(g)
				require.False(t, w.holds("kim", target))
				require.False(t, w.stored(g).Taken.IsZero())
			})
		}
	}
}

func TestAnUnknownOutcomeIsFoundToBeDone(t *testing.T) {
	t.Parallel()
	for _, target := range []access.Entitlement{other, access.OrgAdmin, jira} {
		t.Run(strings.ReplaceAll(string(target), "/", " "), func(t *testing.T) {
			t.Parallel()
			w := lending(t, lendable)
			g := w.grant("kim", target, time.Hour)
			w.inject(cloud.Fault{Operations: []string{"memberships.*", "org-roles.*", "roles.*"}, Kind: cloud.FaultTimeoutAfter, Count: 1})
			w.right(g)
			require.True(t, w.held("kim", target).Owned)
			w.until(g)
			w.sim.ClearFaults("")
			w.inject(cloud.Fault{Operations: []string{"memberships.*", "org-roles.*", "roles.*"}, Kind: cloud.FaultTimeoutAfter, Count: 1})
			w.right(g)
			require.False(t, w.holds("kim", target))
			require.Nil(t, w.held("kim", target))
		})
	}
}

// What somebody else gave, and has taken since, is not found in the ledger to be theirs still.
func TestAnUnknownOutcomeIsTakenBackFromWhomAHandGaveBefore(t *testing.T) {
	t.Parallel()
	w := lending(t, lendable)
	w.full()
	require.False(t, w.held("jo", other).Owned)
	w.byHand(http.MethodDelete, "other", "jo") // and nobody looks
	g := w.grant("jo", other, time.Hour)
	w.inject(cloud.Fault{Operations: []string{"memberships.add"}, Kind: cloud.FaultTimeoutAfter, Count: 1})
	r := w.begin(g)
	w.lend(r, 1)
	require.True(t, w.holds("jo", other))
	w.answer(r)
	w.until(g)
	w.right(g)
	require.False(t, w.holds("jo", other), "it was the grant that gave it")
}

// A mapping that begins while nobody knows whether the grant was given keeps it, and takes it over.
func TestAnUnknownOutcomeIsLeftToAMapping(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]func(*world){
		"that nobody saw yet":      func(*world) {},
		"that a verification sees": func(w *world) { w.pass(5 * time.Minute); w.full() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := lending(t, lendable)
			g := w.grant("jo", builders, time.Hour)
			w.inject(cloud.Fault{Operations: []string{"memberships.add"}, Kind: cloud.FaultTimeoutAfter, Count: 1})
			r := w.begin(g)
			w.lend(r, 1)
			w.answer(r)
			w.until(g)
			w.join("eng", "jo")
			before(w)
			w.attend(g)
			w.right(g)
			require.Contains(t, w.members("builders"), "jo")
			require.False(t, w.stored(g).Taken.IsZero())

			w.pass(5 * time.Minute)
			w.leave("eng", "jo")
			w.full()
			require.NotContains(t, w.members("builders"), "jo", "Castellan gave it, and nothing gives it any more")
		})
	}
}

// A verification that finds the target held cannot know that a write which was never answered gave it.
func TestAnUnknownOutcomeIsNotForgottenByAVerification(t *testing.T) {
	t.Parallel()
	w := lending(t, lendable)
	g := w.grant("kim", other, time.Hour)
	run, verdict := w.planned()
	require.Equal(t, 1, verdict.Open, "the verification gives it too")
	w.inject(cloud.Fault{Operations: []string{"memberships.add"}, Kind: cloud.FaultTimeoutAfter, Count: 1})
	r := w.begin(g)
	w.lend(r, 1)
	w.write(run)
	w.answer(r)
	w.until(g)
	w.right(g)
	require.False(t, w.holds("kim", other))
}

// A removal that is begun and never answered is begun again by the next question.
func TestARemovalThatWasCutOffIsMade(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{cloud.FaultTimeoutAfter, cloud.FaultTimeoutBefore} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := lending(t, lendable)
			g := w.grant("kim", other, time.Hour)
			w.right(g)
			w.until(g)
			w.inject(cloud.Fault{Operations: []string{"memberships.remove"}, Kind: kind, Count: 1})
			r := w.begin(g)
			w.lend(r, 1)
			require.False(t, w.answer(r)[0].Right)
			require.True(t, w.stored(g).Taken.IsZero())
			w.right(g)
			require.False(t, w.holds("kim", other))
			require.Nil(t, w.held("kim", other))
			require.False(t, w.stored(g).Taken.IsZero())
		})
	}
}
