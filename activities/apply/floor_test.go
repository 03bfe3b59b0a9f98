package apply_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/apply"
	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// protected is a simulated organization in step whose builders are protected.
func protected(t *testing.T, floor string) *activitytest.SimulatedOrg {
	t.Helper()
	o := activitytest.NewInStep(t)
	o.Admit(activitytest.OpenGuard + "\nprotected: [{target: group:builders, " + floor + "}]")
	return o
}

func TestFloorIsCheckedBeforeTheWrite(t *testing.T) {
	t.Parallel()
	o := protected(t, "minimum: 4")
	o.Leave("eng", "carol", "dan", "eve")
	run := o.NewRun()
	o.Sweep(run)
	require.Equal(t, 3, o.Judge(run).Open)
	next := activitytest.Must[apply.NextResult](o, o.Acts.Apply.Next,
		apply.NextInput{RunInput: run, Actions: []access.Action{access.Remove}, Limit: 100})
	for _, l := range next.Lines {
		require.True(t, l.Guarded, "one at a time")
	}
	// reads still show whoever was just removed
	o.Configure(func(s *cloud.Settings) { s.Lag = cloud.Duration(time.Minute) })
	by := map[access.ChangeState]int{}
	for _, r := range o.Write(run) {
		by[r.State]++
		if r.State == access.Refused {
			require.Contains(t, r.Answer, "at least 4")
		}
	}
	require.Equal(t, map[access.ChangeState]int{access.Done: 2, access.Refused: 1}, by)
	require.Len(t, o.Group("builders").Members, 4)
}

func TestFloorKeepsPeopleWhoAlwaysStay(t *testing.T) {
	t.Parallel()
	o := protected(t, "minimum: 1, always: [carol@example.com]")
	o.Leave("eng", "carol")
	run, _ := o.SweepAndJudge()
	require.Equal(t, map[string]access.ChangeState{"remove carol@example.com from group:builders": access.Refused},
		activitytest.States(o.Write(run)))
}

func TestFloorThatCannotBeReadIsTriedAgain(t *testing.T) {
	t.Parallel()
	o := protected(t, "minimum: 1")
	o.Leave("eng", "carol")
	run, _ := o.SweepAndJudge()
	in := apply.ChangeInput{RunInput: run, Person: o.AccountID("carol"), Target: activitytest.Builders}
	o.Inject(cloud.Fault{Operations: []string{"users.search"}, Kind: cloud.FaultStatus, Count: 1,
		Params: cloud.FaultParams{Status: 503}})
	_, err := activitytest.Call[apply.ChangeResult](o, o.Acts.Apply.Apply, in)
	require.False(t, activitytest.ApplicationError(t, err).NonRetryable())
	require.Equal(t, access.Planned, o.Line(in).State)
	require.Equal(t, access.Done, activitytest.Must[apply.ChangeResult](o, o.Acts.Apply.Apply, in).State)
}
