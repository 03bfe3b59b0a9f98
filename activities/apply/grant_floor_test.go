package apply_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/simulator/cloud"
)

func TestAFloorOutweighsTheEndOfAGrant(t *testing.T) {
	t.Parallel()
	for _, target := range []access.Entitlement{activitytest.Other, access.OrgAdmin} {
		t.Run(strings.ReplaceAll(string(target), ":", " "), func(t *testing.T) {
			t.Parallel()
			w := activitytest.WithGrants(t, "protected: [{target: \""+string(target)+"\", minimum: 1}]\n"+
				activitytest.Lendable)
			holds := func(name string, yes bool) {
				if target == access.OrgAdmin {
					w.Set(name, map[string]any{"orgAdmin": yes})
				} else {
					w.ByHand(map[bool]string{true: http.MethodPost, false: http.MethodDelete}[yes], "other", name)
				}
			}
			g := w.Grant("kim", target, time.Hour)
			w.Right(g)
			for _, name := range []string{"jo", "ana", "bo"} {
				holds(name, false)
			}
			w.Until(g)
			_, answers := w.Attend(g)
			require.False(t, answers[0].Right)
			require.False(t, answers[0].Soon, "only a person can help")
			require.Contains(t, answers[0].Why, "at least 1")
			require.Contains(t, answers[0].Why, "kim@example.com")
			require.True(t, w.Holds("kim", target))
			require.True(t, w.Stored(g).RevokedAt.IsZero())

			holds("hana", true)
			w.Right(g)
			require.False(t, w.Holds("kim", target))
			require.True(t, w.Holds("hana", target))
		})
	}
}

func TestWhoHasToStayIsNotTaken(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ owner, protect, why string }{
		"the key's owner": {", keyOwner: carol@example.com", "minimum: 1", "owns the key"},
		"a named person":  {"", "minimum: 1, always: [carol@example.com]", "always stays"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := activitytest.InStep(t)
			text := w.Text(activitytest.OpenGuard + "\nprotected: [{target: group:other, " + c.protect + "}]\n" +
				activitytest.Lendable)
			text = strings.Replace(text, `key: "env:KEY"`, `key: "env:KEY"`+c.owner, 1)
			w.Policy = activitytest.Must[reconcile.AdmitResult](w, w.Acts.Reconcile.Admit, w.AdmitIn(text)).Policy
			w.Outline(w.NewRun())
			g := w.Grant("carol", activitytest.Other, time.Hour)
			w.Right(g)
			w.Until(g)
			_, answers := w.Attend(g)
			require.False(t, answers[0].Right)
			require.Contains(t, answers[0].Why, c.why)
			require.True(t, w.Holds("carol", activitytest.Other))
		})
	}
}

// Whom a lagging read still shows does not count, and the floors of two targets have nothing to do with each other.
func TestFloorsStandSideBySide(t *testing.T) {
	t.Parallel()
	w := activitytest.WithGrants(t,
		"protected: [{target: group:other, minimum: 2}, {target: role:org-admin, minimum: 2}]\n"+activitytest.Lendable)
	var grants []access.Grant
	for _, name := range []string{"kim", "lea", "eve"} {
		grants = append(grants, w.Grant(name, activitytest.Other, time.Hour))
	}
	grants = append(grants, w.Grant("kim", access.OrgAdmin, time.Hour), w.Grant("lea", access.OrgAdmin, time.Hour))
	w.Right(grants...)
	w.Set("ana", map[string]any{"orgAdmin": false})
	w.Until(grants[0])
	w.Configure(func(s *cloud.Settings) { s.Lag = cloud.Duration(30 * time.Second) })
	r := w.Begin(grants...)
	w.Lend(r, 1)
	by := map[access.Entitlement]map[access.ChangeState]int{activitytest.Other: {}, access.OrgAdmin: {}}
	for _, c := range w.Lines(r.Run) {
		by[c.Target][c.State]++
	}
	require.Equal(t, map[access.ChangeState]int{access.Done: 2, access.Refused: 1}, by[activitytest.Other])
	require.Equal(t, map[access.ChangeState]int{access.Done: 1, access.Refused: 1}, by[access.OrgAdmin])
	require.Len(t, w.Group("other").Members, 2)
	require.Len(t, w.Sim.State().OrgAdmins, 2)
}
