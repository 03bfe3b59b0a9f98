package reconcile_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/activities/grants"
	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/messages"
)

// An ask of no workflow is answered by nothing, once: it is tried again by nobody.
func TestAttendedPassesOverWhomNobodyCanTell(t *testing.T) {
	t.Parallel()
	o := activitytest.WithGrants(t, activitytest.Lendable)
	g := o.Grant("kim", activitytest.Other, time.Hour)
	r := o.PlanRound(g)
	for _, id := range []string{"", "grant:acme:group:B\u00fcro:x"} {
		r.Asks = append(r.Asks, messages.ReconcileGrantSignal{Workflow: id, Person: o.AccountID("kim"),
			Target: activitytest.Other, Turn: 1})
	}
	require.Equal(t, 3, activitytest.Must[int](o, o.Acts.Reconcile.Attended, r.AttendInput))
	require.Len(t, o.Temporal.Answers, 1)
}

// One grant that cannot be told keeps no other from its answer.
func TestAttendedTellsTheOthers(t *testing.T) {
	t.Parallel()
	o := activitytest.WithGrants(t, activitytest.Lendable)
	deaf, g := o.Grant("kim", activitytest.Other, time.Hour), o.Grant("eve", activitytest.Other, time.Hour)
	r := o.PlanRound(deaf, g)
	o.Temporal.Deaf = messages.GrantID(activitytest.Org, deaf.Target, deaf.Key)
	_, err := activitytest.Call[int](o, o.Acts.Reconcile.Attended, r.AttendInput)
	require.ErrorContains(t, err, "the connection is lost", "it is tried again")
	require.Len(t, o.Temporal.Answers, 1)
}

// A grant that the ledger does not know keeps a workflow from nothing.
func TestReadGrantsPassesOverWhatIsNotKnown(t *testing.T) {
	t.Parallel()
	o := activitytest.WithGrants(t, activitytest.Lendable)
	g := o.Grant("kim", activitytest.Other, time.Hour)
	_, err := activitytest.Call[any](o, o.Acts.Grants.ReadGrants,
		grants.GrantsInput{Org: activitytest.Org, Target: activitytest.Other, Key: g.Key, Known: []string{"no-such"}})
	require.NoError(t, err)
}
