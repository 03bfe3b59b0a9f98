package reconcile_test

import (
	"database/sql"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/reconcile"
)

// A grant that the ledger cannot read keeps nobody else's from being given.
func TestAttendGoesOnPastAGrantThatCannotBeRead(t *testing.T) {
	t.Parallel()
	o := activitytest.WithGrants(t, activitytest.Lendable)
	broken, g := o.Grant("kim", activitytest.Other, time.Hour), o.Grant("eve", activitytest.Other, time.Hour)
	in := reconcile.AttendInput{RunInput: o.NewRun()}
	in.Asks = append(in.Asks, o.SignalOf(broken), o.SignalOf(g))
	db, err := sql.Open("sqlite", o.File)
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), `UPDATE grants SET body = 'no JSON' WHERE id = ?`, broken.ID)
	require.NoError(t, err)
	require.NoError(t, db.Close())
	plan := activitytest.Must[reconcile.AttendResult](o, o.Acts.Reconcile.Attend, in)
	require.Equal(t, 1, plan.Open)
	require.Contains(t, o.Lines(in.Run), "add eve@example.com to group:other")
}
