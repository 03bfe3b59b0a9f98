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

func TestFloorOutweighsTheEndOfAGrant(t *testing.T) {
	t.Parallel()
	for _, target := range []access.Entitlement{activitytest.Other, access.OrgAdmin} {
		t.Run(strings.ReplaceAll(string(target), ":", " "), func(t *testing.T) {
			t.Parallel()
			o := activitytest.WithGrants(t, "protected: [{target: \""+string(target)+"\", minimum: 1}]\n"+
				activitytest.Lendable)
			holds := func(name string, yes bool) {
				if target == access.OrgAdmin {
					o.ChangePerson(name, map[string]any{"orgAdmin": yes})
				} else {
					o.ByHand(map[bool]string{true: http.MethodPost, false: http.MethodDelete}[yes], "other", name)
				}
			}
			g := o.Grant("kim", target, time.Hour)
			o.AttendAll(g)
			for _, name := range []string{"jo", "ana", "bo"} {
				holds(name, false)
			}
			o.AdvanceToEnd(g)
			_, answers := o.Attend(g)
			require.False(t, answers[0].Right)
			require.False(t, answers[0].Soon, "only a person can help")
			require.Contains(t, answers[0].Why, "at least 1")
			require.Contains(t, answers[0].Why, "kim@example.com")
			require.True(t, o.Holds("kim", target))
			require.True(t, o.StoredGrant(g).RevokedAt.IsZero())

			holds("hana", true)
			o.AttendAll(g)
			require.False(t, o.Holds("kim", target))
			require.True(t, o.Holds("hana", target))
		})
	}
}

func TestFloorKeepsTheKeyOwner(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	text := o.PolicyText(activitytest.OpenGuard + "\nprotected: [{target: group:other, minimum: 1}]\n" +
		activitytest.Lendable)
	text = strings.Replace(text, `key: "env:KEY"`, `key: "env:KEY", keyOwner: carol@example.com`, 1)
	o.Policy = activitytest.Must[reconcile.AdmitResult](o, o.Acts.Reconcile.Admit, o.AdmitIn(text)).Policy
	o.Outline(o.NewRun())
	g := o.Grant("carol", activitytest.Other, time.Hour)
	o.AttendAll(g)
	o.AdvanceToEnd(g)
	_, answers := o.Attend(g)
	require.False(t, answers[0].Right)
	require.Contains(t, answers[0].Why, "owns Castellan's key")
	require.True(t, o.Holds("carol", activitytest.Other))
}

// Whom a lagging read still shows does not count, and the floors of two targets have nothing to do with each other.
func TestFloorsOfSeveralTargetsAllApply(t *testing.T) {
	t.Parallel()
	o := activitytest.WithGrants(t,
		"protected: [{target: group:other, minimum: 2}, {target: role:org-admin, minimum: 2}]\n"+activitytest.Lendable)
	var grants []access.Grant
	for _, name := range []string{"kim", "lea", "eve"} {
		grants = append(grants, o.Grant(name, activitytest.Other, time.Hour))
	}
	grants = append(grants, o.Grant("kim", access.OrgAdmin, time.Hour), o.Grant("lea", access.OrgAdmin, time.Hour))
	o.AttendAll(grants...)
	o.ChangePerson("ana", map[string]any{"orgAdmin": false})
	o.AdvanceToEnd(grants[0])
	o.Configure(func(s *cloud.Settings) { s.Lag = cloud.Duration(30 * time.Second) })
	r := o.PlanRound(grants...)
	o.WriteRound(r, 1)
	by := map[access.Entitlement]map[access.ChangeState]int{activitytest.Other: {}, access.OrgAdmin: {}}
	for _, c := range o.Lines(r.Run) {
		by[c.Target][c.State]++
	}
	require.Equal(t, map[access.ChangeState]int{access.Done: 2, access.Refused: 1}, by[activitytest.Other])
	require.Equal(t, map[access.ChangeState]int{access.Done: 1, access.Refused: 1}, by[access.OrgAdmin])
	require.Len(t, o.Group("other").Members, 2)
	require.Len(t, o.Sim.State().OrgAdmins, 2)
}
