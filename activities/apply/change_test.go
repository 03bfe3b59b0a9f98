package apply_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/apply"
	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// planned is a world with one change released: jo is added to builders, or carol removed from them.
func planned(t *testing.T, action access.Action) (*activitytest.SimulatedOrg, apply.ChangeInput) {
	t.Helper()
	w := activitytest.InStep(t)
	who := "jo"
	if action == access.Add {
		w.Join("eng", who)
	} else {
		who = "carol"
		w.Leave("eng", who)
	}
	run := w.NewRun()
	w.Sweep(run)
	require.Equal(t, 1, w.Judge(run).Open)
	return w, apply.ChangeInput{RunInput: run, Person: w.Id(who), Target: activitytest.Builders}
}

func TestAChangeIsMadeOnce(t *testing.T) {
	t.Parallel()
	for _, action := range []access.Action{access.Add, access.Remove} {
		t.Run(string(action), func(t *testing.T) {
			w, in := planned(t, action)
			var result apply.ChangeResult
			made := w.Calls(func() { result = activitytest.Must[apply.ChangeResult](w, w.Acts.Apply.Apply, in) })
			require.Equal(t, apply.ChangeResult{State: access.Done, Answer: "accepted"}, result)
			require.Len(t, made, 1, "one call: %v", made)
			made = w.Calls(func() {
				require.Equal(t, result,
					activitytest.Must[apply.ChangeResult](w, w.Acts.Apply.Apply, in))
			})
			require.Empty(t, made, "a repeat finds the answer in the ledger")
			if h := w.Holding(in.Person); action == access.Add {
				require.True(t, h.Owned)
			} else {
				require.Nil(t, h)
			}
		})
	}
}

func TestWhatIsAlreadySoIsNotClaimed(t *testing.T) {
	t.Parallel()
	w, in := planned(t, access.Add)
	w.ByHand(http.MethodPost, "builders", "jo")
	require.Equal(t, access.Already, activitytest.Must[apply.ChangeResult](w, w.Acts.Apply.Apply, in).State)
	require.False(t, w.Holding(in.Person).Owned, "somebody else made it")

	w, in = planned(t, access.Remove)
	w.ByHand(http.MethodDelete, "builders", "carol")
	require.Equal(t, access.Already, activitytest.Must[apply.ChangeResult](w, w.Acts.Apply.Apply, in).State)
	require.Nil(t, w.Holding(in.Person))
}

func TestALicenceLimitIsAShortageAndNoRetry(t *testing.T) {
	t.Parallel()
	w := activitytest.NewOf(t, activitytest.People)
	w.Configure(func(s *cloud.Settings) { s.Licences = map[string]int{"jira/acme": 0} })
	w.Policy = activitytest.Must[reconcile.AdmitResult](w, w.Acts.Reconcile.Admit, w.AdmitIn(`
version: 1
organization: {name: acme, id: `+w.Sim.Info().OrgID+`, key: "env:KEY"}
mappings: [{name: jira, from: [eng], to: ["default:jira/acme/user"]}]
ignore: [support, unused]
guard: {adopt: auto}
`)).Policy
	run, _ := w.Planned()
	next := activitytest.Must[apply.NextResult](w, w.Acts.Apply.Next,
		apply.NextInput{RunInput: run, Actions: []access.Action{access.Add}, Limit: 1})
	require.True(t, next.More)
	result := activitytest.Must[apply.ChangeResult](w, w.Acts.Apply.Apply,
		apply.ChangeInput{RunInput: run, Person: next.Lines[0].Person, Target: next.Lines[0].Target})
	require.Equal(t, access.Shortage, result.State)
	require.True(t, result.Closed, "the target takes nobody else either")
}

// A write of which nobody knows whether it was done is read back before anything is written again.
func TestAnUnknownOutcomeIsReadBack(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		action access.Action
		fault  string
		writes int // calls of the write until it is known to be done
		state  access.ChangeState
	}{
		"added, and the answer was lost":   {access.Add, cloud.FaultTimeoutAfter, 1, access.Done},
		"removed, and the answer was lost": {access.Remove, cloud.FaultTimeoutAfter, 1, access.Done},
		"never arrived":                    {access.Add, cloud.FaultTimeoutBefore, 2, access.Done},
		"an answer that cannot be read":    {access.Add, cloud.FaultGarbage, 1, access.Done},
	} {
		t.Run(name, func(t *testing.T) {
			w, in := planned(t, c.action)
			w.Inject(cloud.Fault{Operations: []string{"memberships.*"}, Kind: c.fault, Count: 1})
			_, err := activitytest.Call[apply.ChangeResult](w, w.Acts.Apply.Apply, in)
			if err == nil { // an answer that says done with any body is done
				require.Equal(t, cloud.FaultGarbage, c.fault)
				require.Equal(t, access.Done, w.Line(in).State)
				return
			}
			app := activitytest.ApplicationError(t, err)
			require.Equal(t, session.ErrOutcomeUnknown, app.Type())
			require.False(t, app.NonRetryable())
			require.Equal(t, 5*time.Second, app.NextRetryDelay())
			require.Equal(t, access.Sent, w.Line(in).State)

			w.Restart()
			result := activitytest.Must[apply.ChangeResult](w, w.Acts.Apply.Apply, in)
			require.Equal(t, c.state, result.State)
			operations := w.Sim.Stats().Operations
			writes := operations["memberships.add"] + operations["memberships.remove"]
			require.Equal(t, c.writes, writes)
			if c.action == access.Add {
				require.True(t, w.Holding(in.Person).Owned)
			}
		})
	}
}

func TestAReadBackThatShowsNobodyWaits(t *testing.T) {
	t.Parallel()
	w, in := planned(t, access.Add)
	w.Inject(cloud.Fault{Operations: []string{"memberships.add"}, Kind: cloud.FaultTimeoutBefore, Count: 1})
	_, err := activitytest.Call[apply.ChangeResult](w, w.Acts.Apply.Apply, in)
	require.Error(t, err)
	w.Inject(cloud.Fault{Operations: []string{"users.search"}, Kind: cloud.FaultEmptyPage, Count: 2,
		Params: cloud.FaultParams{Next: "drop"}})
	_, err = activitytest.Call[apply.ChangeResult](w, w.Acts.Apply.Apply, in)
	require.Equal(t, session.ErrEvidence, activitytest.ApplicationError(t, err).Type())
	require.Equal(t, access.Sent, w.Line(in).State)
	require.Equal(t, access.Done, activitytest.Must[apply.ChangeResult](w, w.Acts.Apply.Apply, in).State)
}

func TestARateLimitIsWaitedFor(t *testing.T) {
	t.Parallel()
	w, in := planned(t, access.Add)
	w.Inject(cloud.Fault{Operations: []string{"memberships.add"}, Kind: cloud.FaultStatus, Count: 1,
		Params: cloud.FaultParams{Status: 429, RetryAfter: "17"}})
	_, err := activitytest.Call[apply.ChangeResult](w, w.Acts.Apply.Apply, in)
	app := activitytest.ApplicationError(t, err)
	require.Equal(t, session.ErrRateLimited, app.Type())
	require.Equal(t, 17*time.Second, app.NextRetryDelay())
	require.Equal(t, access.Planned, w.Line(in).State, "it certainly did not happen")
	made := w.Calls(func() {
		require.Equal(t, access.Done, activitytest.Must[apply.ChangeResult](w, w.Acts.Apply.Apply, in).State)
	})
	require.Equal(t, map[string]int{"memberships.add": 1}, made, "nothing has to be read back")
}

// Whoever was put there by somebody else while we waited stays somebody else's.
func TestARateLimitClaimsNothing(t *testing.T) {
	t.Parallel()
	w, in := planned(t, access.Add)
	w.Inject(cloud.Fault{Operations: []string{"memberships.add"}, Kind: cloud.FaultStatus, Count: 1,
		Params: cloud.FaultParams{Status: 429}})
	_, err := activitytest.Call[apply.ChangeResult](w, w.Acts.Apply.Apply, in)
	require.Error(t, err)
	w.ByHand(http.MethodPost, "builders", "jo")
	require.Equal(t, access.Already, activitytest.Must[apply.ChangeResult](w, w.Acts.Apply.Apply, in).State)
	require.False(t, w.Holding(in.Person).Owned)
}

func TestARefusedKeyStopsAtOnce(t *testing.T) {
	t.Parallel()
	w, in := planned(t, access.Add)
	w.Inject(cloud.Fault{Operations: []string{"memberships.add"}, Kind: cloud.FaultExpireKey})
	_, err := activitytest.Call[apply.ChangeResult](w, w.Acts.Apply.Apply, in)
	app := activitytest.ApplicationError(t, err)
	require.Equal(t, session.ErrKeyRefused, app.Type())
	require.True(t, app.NonRetryable())
	require.NotContains(t, app.Message(), w.Key)
	require.Equal(t, access.Planned, w.Line(in).State)
}

func TestAKeyThatMayOnlyReadIsRefused(t *testing.T) {
	t.Parallel()
	w, in := planned(t, access.Add)
	w.Configure(func(s *cloud.Settings) { s.Keys = map[string]cloud.KeyState{w.Key: cloud.KeyReadOnly} })
	result := activitytest.Must[apply.ChangeResult](w, w.Acts.Apply.Apply, in)
	require.Equal(t, access.Refused, result.State)
	require.True(t, result.Closed)
}

func TestWhatIsHeldIsNeverWritten(t *testing.T) {
	t.Parallel()
	w := activitytest.New(t)
	w.Admit("")
	run, _ := w.Planned()
	_, err := activitytest.Call[apply.ChangeResult](w, w.Acts.Apply.Apply,
		apply.ChangeInput{RunInput: run, Person: w.Id("carol"), Target: activitytest.Builders})
	require.True(t, activitytest.ApplicationError(t, err).NonRetryable())
	require.Zero(t, w.Sim.Stats().Writes)
}

// protected is a world in step whose builders are protected.
func protected(t *testing.T, floor string) *activitytest.SimulatedOrg {
	t.Helper()
	w := activitytest.InStep(t)
	w.Admit(activitytest.OpenGuard + "\nprotected: [{target: group:builders, " + floor + "}]")
	return w
}

// A removal may wait for minutes while the API is out of order. Whoever is in the source again by then keeps the
// target.
func TestARemovalThatWaitedForItsWriteIsReadAgain(t *testing.T) {
	t.Parallel()
	for name, back := range map[string]bool{"still gone": false, "back": true} {
		t.Run(name, func(t *testing.T) {
			w, in := planned(t, access.Remove)
			w.Pass(time.Since(w.Now) + time.Minute) // the test's activities are scheduled by the real clock
			if back {
				w.Join("eng", "carol")
			}
			result := activitytest.Must[apply.ChangeResult](w, w.Acts.Apply.Apply, in)
			require.Equal(t, back, result.State == access.Superseded, result)
			require.Equal(t, !back, result.State == access.Done, result)
			require.Equal(t, back, w.Holding(in.Person) != nil)
		})
	}
}

func TestAFloorIsCheckedAsItIsWritten(t *testing.T) {
	t.Parallel()
	w := protected(t, "minimum: 4")
	w.Leave("eng", "carol", "dan", "eve")
	run := w.NewRun()
	w.Sweep(run)
	require.Equal(t, 3, w.Judge(run).Open)
	next := activitytest.Must[apply.NextResult](w, w.Acts.Apply.Next,
		apply.NextInput{RunInput: run, Actions: []access.Action{access.Remove}, Limit: 100})
	for _, l := range next.Lines {
		require.True(t, l.Guarded, "one at a time")
	}
	// reads still show whoever was just removed
	w.Configure(func(s *cloud.Settings) { s.Lag = cloud.Duration(time.Minute) })
	by := map[access.ChangeState]int{}
	for _, r := range w.Write(run) {
		by[r.State]++
		if r.State == access.Refused {
			require.Contains(t, r.Answer, "at least 4")
		}
	}
	require.Equal(t, map[access.ChangeState]int{access.Done: 2, access.Refused: 1}, by)
	require.Len(t, w.Group("builders").Members, 4)
}

func TestWhoAlwaysStaysIsNotRemoved(t *testing.T) {
	t.Parallel()
	w := protected(t, "minimum: 1, always: [carol@example.com]")
	w.Leave("eng", "carol")
	run, _ := w.Planned()
	require.Equal(t, map[string]access.ChangeState{"remove carol@example.com from group:builders": access.Refused},
		activitytest.States(w.Write(run)))
}

func TestAFloorThatCannotBeReadRefusesNothingForGood(t *testing.T) {
	t.Parallel()
	w := protected(t, "minimum: 1")
	w.Leave("eng", "carol")
	run, _ := w.Planned()
	in := apply.ChangeInput{RunInput: run, Person: w.Id("carol"), Target: activitytest.Builders}
	w.Inject(cloud.Fault{Operations: []string{"users.search"}, Kind: cloud.FaultStatus, Count: 1,
		Params: cloud.FaultParams{Status: 503}})
	_, err := activitytest.Call[apply.ChangeResult](w, w.Acts.Apply.Apply, in)
	require.False(t, activitytest.ApplicationError(t, err).NonRetryable())
	require.Equal(t, access.Planned, w.Line(in).State)
	require.Equal(t, access.Done, activitytest.Must[apply.ChangeResult](w, w.Acts.Apply.Apply, in).State)
}
