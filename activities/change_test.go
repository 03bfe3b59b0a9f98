package activities_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/simulator/cloud"
)

const builders = access.Entitlement("group:builders")

// planned is a world with one change released: jo is added to builders, or carol removed from them.
func planned(t *testing.T, action access.Action) (*world, activities.ChangeInput) {
	t.Helper()
	w := inStep(t)
	who := "jo"
	if action == access.Add {
		w.join("eng", who)
	} else {
		who = "carol"
		w.leave("eng", who)
	}
	run := w.newRun()
	w.sweep(run)
	require.Equal(t, 1, w.judge(run).Open)
	return w, activities.ChangeInput{RunInput: run, Person: w.id(who), Target: builders}
}

// holding is what the ledger knows of a person in builders.
func (w *world) holding(person string) *access.Holding {
	w.t.Helper()
	states, err := w.ledger.States(w.t.Context(), org, []string{person}, w.clock())
	require.NoError(w.t, err)
	for _, h := range states[person].Holdings {
		if h.Target == builders {
			return &h
		}
	}
	return nil
}

func (w *world) line(in activities.ChangeInput) access.Change {
	w.t.Helper()
	c, err := w.ledger.Line(w.t.Context(), org, in.Run, in.Person, in.Target)
	require.NoError(w.t, err)
	return c
}

func TestAChangeIsMadeOnce(t *testing.T) {
	t.Parallel()
	for _, action := range []access.Action{access.Add, access.Remove} {
		t.Run(string(action), func(t *testing.T) {
			w, in := planned(t, action)
			var result activities.ChangeResult
			made := w.calls(func() { result = must[activities.ChangeResult](w, w.acts.Apply, in) })
			require.Equal(t, activities.ChangeResult{State: access.Done, Answer: "accepted"}, result)
			require.Len(t, made, 1, "one call: %v", made)
			made = w.calls(func() { require.Equal(t, result, must[activities.ChangeResult](w, w.acts.Apply, in)) })
			require.Empty(t, made, "a repeat finds the answer in the ledger")
			if h := w.holding(in.Person); action == access.Add {
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
	w.byHand(http.MethodPost, "builders", "jo")
	require.Equal(t, access.Already, must[activities.ChangeResult](w, w.acts.Apply, in).State)
	require.False(t, w.holding(in.Person).Owned, "somebody else made it")

	w, in = planned(t, access.Remove)
	w.byHand(http.MethodDelete, "builders", "carol")
	require.Equal(t, access.Already, must[activities.ChangeResult](w, w.acts.Apply, in).State)
	require.Nil(t, w.holding(in.Person))
}

func TestALicenceLimitIsAShortageAndNoRetry(t *testing.T) {
	t.Parallel()
	w := newWorldOf(t, people)
	w.configure(func(s *cloud.Settings) { s.Licences = map[string]int{"jira/acme": 0} })
	w.policy = must[activities.AdmitResult](w, w.acts.Admit, w.admitIn(`
version: 1
organization: {name: acme, id: `+w.sim.Info().OrgID+`, key: "env:KEY"}
mappings: [{name: jira, from: [eng], to: ["default:jira/acme/user"]}]
ignore: [support, unused]
guard: {adopt: auto}
`)).Policy
	run, _ := w.planned()
	next := must[activities.NextResult](w, w.acts.Next, activities.NextInput{RunInput: run, Actions: []access.Action{access.Add}, Limit: 1})
	require.True(t, next.More)
	result := must[activities.ChangeResult](w, w.acts.Apply, activities.ChangeInput{RunInput: run, Person: next.Lines[0].Person, Target: next.Lines[0].Target})
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
			w.inject(cloud.Fault{Operations: []string{"memberships.*"}, Kind: c.fault, Count: 1})
			_, err := call[activities.ChangeResult](w, w.acts.Apply, in)
			if err == nil { // an answer that says done with any body is done
				require.Equal(t, cloud.FaultGarbage, c.fault)
				require.Equal(t, access.Done, w.line(in).State)
				return
			}
			app := application(t, err)
			require.Equal(t, activities.ErrOutcomeUnknown, app.Type())
			require.False(t, app.NonRetryable())
			require.Equal(t, 5*time.Second, app.NextRetryDelay())
			require.Equal(t, access.Sent, w.line(in).State)

			w.restart()
			result := must[activities.ChangeResult](w, w.acts.Apply, in)
			require.Equal(t, c.state, result.State)
			operations := w.sim.Stats().Operations
			writes := operations["memberships.add"] + operations["memberships.remove"]
			require.Equal(t, c.writes, writes)
			if c.action == access.Add {
				require.True(t, w.holding(in.Person).Owned)
			}
		})
	}
}

func TestAReadBackThatShowsNobodyWaits(t *testing.T) {
	t.Parallel()
	w, in := planned(t, access.Add)
	w.inject(cloud.Fault{Operations: []string{"memberships.add"}, Kind: cloud.FaultTimeoutBefore, Count: 1})
	_, err := call[activities.ChangeResult](w, w.acts.Apply, in)
	require.Error(t, err)
	w.inject(cloud.Fault{Operations: []string{"users.search"}, Kind: cloud.FaultEmptyPage, Count: 2, Params: cloud.FaultParams{Next: "drop"}})
	_, err = call[activities.ChangeResult](w, w.acts.Apply, in)
	require.Equal(t, activities.ErrEvidence, application(t, err).Type())
	require.Equal(t, access.Sent, w.line(in).State)
	require.Equal(t, access.Done, must[activities.ChangeResult](w, w.acts.Apply, in).State)
}

func TestARateLimitIsWaitedFor(t *testing.T) {
	t.Parallel()
	w, in := planned(t, access.Add)
	w.inject(cloud.Fault{Operations: []string{"memberships.add"}, Kind: cloud.FaultStatus, Count: 1, Params: cloud.FaultParams{Status: 429, RetryAfter: "17"}})
	_, err := call[activities.ChangeResult](w, w.acts.Apply, in)
	app := application(t, err)
	require.Equal(t, activities.ErrRateLimited, app.Type())
	require.Equal(t, 17*time.Second, app.NextRetryDelay())
	require.Equal(t, access.Planned, w.line(in).State, "it certainly did not happen")
	made := w.calls(func() { require.Equal(t, access.Done, must[activities.ChangeResult](w, w.acts.Apply, in).State) })
	require.Equal(t, map[string]int{"memberships.add": 1}, made, "nothing has to be read back")
}

// Whoever was put there by somebody else while we waited stays somebody else's.
func TestARateLimitClaimsNothing(t *testing.T) {
	t.Parallel()
	w, in := planned(t, access.Add)
	w.inject(cloud.Fault{Operations: []string{"memberships.add"}, Kind: cloud.FaultStatus, Count: 1, Params: cloud.FaultParams{Status: 429}})
	_, err := call[activities.ChangeResult](w, w.acts.Apply, in)
	require.Error(t, err)
	w.byHand(http.MethodPost, "builders", "jo")
	require.Equal(t, access.Already, must[activities.ChangeResult](w, w.acts.Apply, in).State)
	require.False(t, w.holding(in.Person).Owned)
}

func TestARefusedKeyStopsAtOnce(t *testing.T) {
	t.Parallel()
	w, in := planned(t, access.Add)
	w.inject(cloud.Fault{Operations: []string{"memberships.add"}, Kind: cloud.FaultExpireKey})
	_, err := call[activities.ChangeResult](w, w.acts.Apply, in)
	app := application(t, err)
	require.Equal(t, activities.ErrKeyRefused, app.Type())
	require.True(t, app.NonRetryable())
	require.NotContains(t, app.Message(), w.key)
	require.Equal(t, access.Planned, w.line(in).State)
}

func TestAKeyThatMayOnlyReadIsRefused(t *testing.T) {
	t.Parallel()
	w, in := planned(t, access.Add)
	w.configure(func(s *cloud.Settings) { s.Keys = map[string]cloud.KeyState{w.key: cloud.KeyReadOnly} })
	result := must[activities.ChangeResult](w, w.acts.Apply, in)
	require.Equal(t, access.Refused, result.State)
	require.True(t, result.Closed)
}

func TestWhatIsHeldIsNeverWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.admit("")
	run, _ := w.planned()
	_, err := call[activities.ChangeResult](w, w.acts.Apply, activities.ChangeInput{RunInput: run, Person: w.id("carol"), Target: builders})
	require.True(t, application(t, err).NonRetryable())
	require.Zero(t, w.sim.Stats().Writes)
}

// protected is a world in step whose builders are protected.
func protected(t *testing.T, floor string) *world {
	t.Helper()
	w := inStep(t)
	w.admit(open + "\nprotected: [{target: group:builders, " + floor + "}]")
	return w
}

func TestAFloorIsCheckedAsItIsWritten(t *testing.T) {
	t.Parallel()
	w := protected(t, "minimum: 4")
	w.leave("eng", "carol", "dan", "eve")
	run := w.newRun()
	w.sweep(run)
	require.Equal(t, 3, w.judge(run).Open)
	next := must[activities.NextResult](w, w.acts.Next, activities.NextInput{RunInput: run, Actions: []access.Action{access.Remove}, Limit: 100})
	for _, l := range next.Lines {
		require.True(t, l.Guarded, "one at a time")
	}
	w.configure(func(s *cloud.Settings) { s.Lag = cloud.Duration(time.Minute) }) // reads still show whoever was just removed
	by := map[access.ChangeState]int{}
	for _, r := range w.write(run) {
		by[r.State]++
		if r.State == access.Refused {
			require.Contains(t, r.Answer, "at least 4")
		}
	}
	require.Equal(t, map[access.ChangeState]int{access.Done: 2, access.Refused: 1}, by)
	require.Len(t, w.group("builders").Members, 4)
}

func TestWhoAlwaysStaysIsNotRemoved(t *testing.T) {
	t.Parallel()
	w := protected(t, "minimum: 1, always: [carol@example.com]")
	w.leave("eng", "carol")
	run, _ := w.planned()
	require.Equal(t, map[string]access.ChangeState{"remove carol@example.com from group:builders": access.Refused}, states(w.write(run)))
}

func TestAFloorThatCannotBeReadRefusesNothingForGood(t *testing.T) {
	t.Parallel()
	w := protected(t, "minimum: 1")
	w.leave("eng", "carol")
	run, _ := w.planned()
	in := activities.ChangeInput{RunInput: run, Person: w.id("carol"), Target: builders}
	w.inject(cloud.Fault{Operations: []string{"users.search"}, Kind: cloud.FaultStatus, Count: 1, Params: cloud.FaultParams{Status: 503}})
	_, err := call[activities.ChangeResult](w, w.acts.Apply, in)
	require.False(t, application(t, err).NonRetryable())
	require.Equal(t, access.Planned, w.line(in).State)
	require.Equal(t, access.Done, must[activities.ChangeResult](w, w.acts.Apply, in).State)
}
