package activities_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/simulator/cloud"
)

func TestAFloorOutweighsTheEndOfAGrant(t *testing.T) {
	t.Parallel()
	for _, target := range []access.Entitlement{other, access.OrgAdmin} {
		t.Run(strings.ReplaceAll(string(target), ":", " "), func(t *testing.T) {
			t.Parallel()
			w := lending(t, "protected: [{target: \""+string(target)+"\", minimum: 1}]\n"+lendable)
			holds := func(name string, yes bool) {
				if target == access.OrgAdmin {
					w.set(name, map[string]any{"orgAdmin": yes})
				} else {
					w.byHand(map[bool]string{true: http.MethodPost, false: http.MethodDelete}[yes], "other", name)
				}
			}
			g := w.grant("kim", target, time.Hour)
			w.right(g)
			for _, name := range []string{"jo", "ana", "bo"} {
				holds(name, false)
			}
			w.until(g)
			_, answers := w.attend(g)
			require.False(t, answers[0].Right)
			require.False(t, answers[0].Soon, "only a person can help")
			require.Contains(t, answers[0].Why, "at least 1")
			require.Contains(t, answers[0].Why, "kim@example.com")
			require.True(t, w.holds("kim", target))
			require.True(t, w.stored(g).Taken.IsZero())

			holds("hana", true)
			w.right(g)
			require.False(t, w.holds("kim", target))
			require.True(t, w.holds("hana", target))
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
			w := inStep(t)
			text := w.text(open + "\nprotected: [{target: group:other, " + c.protect + "}]\n" + lendable)
			text = strings.Replace(text, `key: "env:KEY"`, `key: "env:KEY"`+c.owner, 1)
			w.policy = must[activities.AdmitResult](w, w.acts.Admit, w.admitIn(text)).Policy
			w.outline(w.newRun())
			g := w.grant("carol", other, time.Hour)
			w.right(g)
			w.until(g)
			_, answers := w.attend(g)
			require.False(t, answers[0].Right)
			require.Contains(t, answers[0].Why, c.why)
			require.True(t, w.holds("carol", other))
		})
	}
}

// Whom a lagging read still shows does not count, and the floors of two targets have nothing to do with each other.
func TestFloorsStandSideBySide(t *testing.T) {
	t.Parallel()
	w := lending(t, "protected: [{target: group:other, minimum: 2}, {target: role:org-admin, minimum: 2}]\n"+lendable)
	var grants []access.Grant
	for _, name := range []string{"kim", "lea", "eve"} {
		grants = append(grants, w.grant(name, other, time.Hour))
	}
	grants = append(grants, w.grant("kim", access.OrgAdmin, time.Hour), w.grant("lea", access.OrgAdmin, time.Hour))
	w.right(grants...)
	w.set("ana", map[string]any{"orgAdmin": false})
	w.until(grants[0])
	w.configure(func(s *cloud.Settings) { s.Lag = cloud.Duration(30 * time.Second) })
	r := w.begin(grants...)
	w.lend(r, 1)
	by := map[access.Entitlement]map[access.ChangeState]int{other: {}, access.OrgAdmin: {}}
	for _, c := range w.lines(r.Run) {
		by[c.Target][c.State]++
	}
	require.Equal(t, map[access.ChangeState]int{access.Done: 2, access.Refused: 1}, by[other])
	require.Equal(t, map[access.ChangeState]int{access.Done: 1, access.Refused: 1}, by[access.OrgAdmin])
	require.Len(t, w.group("other").Members, 2)
	require.Len(t, w.sim.State().OrgAdmins, 2)
}
