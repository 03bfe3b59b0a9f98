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
	w := activitytest.WithGrants(t, activitytest.Lendable)
	broken, g := w.Grant("kim", activitytest.Other, time.Hour), w.Grant("eve", activitytest.Other, time.Hour)
	in := reconcile.AttendInput{RunInput: w.NewRun()}
	in.Asks = append(in.Asks, w.AskOf(broken), w.AskOf(g))
	db, err := sql.Open("sqlite", w.File)
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), `UPDATE grants SET body = 'no JSON' WHERE id = ?`, broken.ID)
	require.NoError(t, err)
	require.NoError(t, db.Close())
	plan := activitytest.Must[reconcile.AttendResult](w, w.Acts.Reconcile.Attend, in)
	require.Equal(t, 1, plan.Open)
	require.Contains(t, w.Lines(in.Run), "add eve@example.com to group:other")
}
