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

// planned is a simulated organization with one change released: jo is added to builders, or carol removed from them.
func planned(t *testing.T, action access.Action) (*activitytest.SimulatedOrg, apply.ChangeInput) {
	t.Helper()
	o := activitytest.NewInStep(t)
	who := "jo"
	if action == access.Add {
		o.Join("eng", who)
	} else {
		who = "carol"
		o.Leave("eng", who)
	}
	run := o.NewRun()
	o.Sweep(run)
	require.Equal(t, 1, o.Judge(run).Open)
	return o, apply.ChangeInput{RunInput: run, Person: o.AccountID(who), Target: activitytest.Builders}
}

func TestApplyMakesAChangeOnce(t *testing.T) {
	t.Parallel()
	for _, action := range []access.Action{access.Add, access.Remove} {
		t.Run(string(action), func(t *testing.T) {
			o, in := planned(t, action)
			var result apply.ChangeResult
			made := o.Calls(func() { result = activitytest.Must[apply.ChangeResult](o, o.Acts.Apply.Apply, in) })
			require.Equal(t, apply.ChangeResult{State: access.Done, Answer: "accepted"}, result)
			require.Len(t, made, 1, "one call: %v", made)
			made = o.Calls(func() {
				require.Equal(t, result,
					activitytest.Must[apply.ChangeResult](o, o.Acts.Apply.Apply, in))
			})
			require.Empty(t, made, "a repeat finds the answer in the ledger")
			if h := o.Holding(in.Person); action == access.Add {
				require.True(t, h.Owned)
			} else {
				require.Nil(t, h)
			}
		})
	}
}

func TestApplyDoesNotClaimWhatIsAlreadySo(t *testing.T) {
	t.Parallel()
	o, in := planned(t, access.Add)
	o.ByHand(http.MethodPost, "builders", "jo")
	require.Equal(t, access.Already, activitytest.Must[apply.ChangeResult](o, o.Acts.Apply.Apply, in).State)
	require.False(t, o.Holding(in.Person).Owned, "somebody else made it")

	o, in = planned(t, access.Remove)
	o.ByHand(http.MethodDelete, "builders", "carol")
	require.Equal(t, access.Already, activitytest.Must[apply.ChangeResult](o, o.Acts.Apply.Apply, in).State)
	require.Nil(t, o.Holding(in.Person))
}

func TestApplyReportsALicenceLimitAsAShortage(t *testing.T) {
	t.Parallel()
	o := activitytest.NewOf(t, activitytest.People)
	o.Configure(func(s *cloud.Settings) { s.Licences = map[string]int{"jira/acme": 0} })
	o.Policy = activitytest.Must[reconcile.AdmitResult](o, o.Acts.Reconcile.Admit, o.AdmitIn(`
version: 1
organization: {name: acme, id: `+o.Sim.Info().OrgID+`, key: "env:KEY"}
mappings: [{name: jira, from: [eng], to: ["default:jira/acme/user"]}]
ignore: [support, unused]
guard: {adopt: auto}
`)).Policy
	run, _ := o.SweepAndJudge()
	next := activitytest.Must[apply.NextResult](o, o.Acts.Apply.Next,
		apply.NextInput{RunInput: run, Actions: []access.Action{access.Add}, Limit: 1})
	require.True(t, next.More)
	result := activitytest.Must[apply.ChangeResult](o, o.Acts.Apply.Apply,
		apply.ChangeInput{RunInput: run, Person: next.Lines[0].Person, Target: next.Lines[0].Target})
	require.Equal(t, access.Shortage, result.State)
	require.True(t, result.Closed, "the target takes nobody else either")

	run, _ = o.SweepAndJudge()
	next = activitytest.Must[apply.NextResult](o, o.Acts.Apply.Next,
		apply.NextInput{RunInput: run, Actions: []access.Action{access.Add}, Limit: 2})
	require.Len(t, next.Lines, 2)
	several := activitytest.Must[[]apply.ChangeResult](o, o.Acts.Apply.ApplySeveral, severalOf(run, next.Lines...))
	require.Equal(t, []apply.ChangeResult{result, {}}, several, "the second is not tried")
}

// A write of which nobody knows whether it was done is read back before anything is written again.
func TestApplyReadsBackAnUnknownOutcome(t *testing.T) {
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
			o, in := planned(t, c.action)
			o.Inject(cloud.Fault{Operations: []string{"memberships.*"}, Kind: c.fault, Count: 1})
			_, err := activitytest.Call[apply.ChangeResult](o, o.Acts.Apply.Apply, in)
			if err == nil { // an answer that says done with any body is done
				require.Equal(t, cloud.FaultGarbage, c.fault)
				require.Equal(t, access.Done, o.Line(in).State)
				return
			}
			app := activitytest.ApplicationError(t, err)
			require.Equal(t, session.ErrOutcomeUnknown, app.Type())
			require.False(t, app.NonRetryable())
			require.Equal(t, 5*time.Second, app.NextRetryDelay())
			require.Equal(t, access.Sent, o.Line(in).State)

			o.Restart()
			result := activitytest.Must[apply.ChangeResult](o, o.Acts.Apply.Apply, in)
			require.Equal(t, c.state, result.State)
			operations := o.Sim.Stats().Operations
			writes := operations["memberships.add"] + operations["memberships.remove"]
			require.Equal(t, c.writes, writes)
			if c.action == access.Add {
				require.True(t, o.Holding(in.Person).Owned)
			}
		})
	}
}

func TestApplyWaitsWhenTheReadBackShowsNobody(t *testing.T) {
	t.Parallel()
	o, in := planned(t, access.Add)
	o.Inject(cloud.Fault{Operations: []string{"memberships.add"}, Kind: cloud.FaultTimeoutBefore, Count: 1})
	_, err := activitytest.Call[apply.ChangeResult](o, o.Acts.Apply.Apply, in)
	require.Error(t, err)
	o.Inject(cloud.Fault{Operations: []string{"users.search"}, Kind: cloud.FaultEmptyPage, Count: 2,
		Params: cloud.FaultParams{Next: "drop"}})
	_, err = activitytest.Call[apply.ChangeResult](o, o.Acts.Apply.Apply, in)
	require.Equal(t, session.ErrEvidence, activitytest.ApplicationError(t, err).Type())
	require.Equal(t, access.Sent, o.Line(in).State)
	require.Equal(t, access.Done, activitytest.Must[apply.ChangeResult](o, o.Acts.Apply.Apply, in).State)
}

func TestApplyWaitsForARateLimit(t *testing.T) {
	t.Parallel()
	o, in := planned(t, access.Add)
	o.Inject(cloud.Fault{Operations: []string{"memberships.add"}, Kind: cloud.FaultStatus, Count: 1,
		Params: cloud.FaultParams{Status: 429, RetryAfter: "17"}})
	_, err := activitytest.Call[apply.ChangeResult](o, o.Acts.Apply.Apply, in)
	app := activitytest.ApplicationError(t, err)
	require.Equal(t, session.ErrRateLimited, app.Type())
	require.Equal(t, 17*time.Second, app.NextRetryDelay())
	require.Equal(t, access.Planned, o.Line(in).State, "it certainly did not happen")
	made := o.Calls(func() {
		require.Equal(t, access.Done, activitytest.Must[apply.ChangeResult](o, o.Acts.Apply.Apply, in).State)
	})
	require.Equal(t, map[string]int{"memberships.add": 1}, made, "nothing has to be read back")
}

// Whoever was put there by somebody else while we waited stays somebody else's.
func TestApplyClaimsNothingAfterARateLimit(t *testing.T) {
	t.Parallel()
	o, in := planned(t, access.Add)
	o.Inject(cloud.Fault{Operations: []string{"memberships.add"}, Kind: cloud.FaultStatus, Count: 1,
		Params: cloud.FaultParams{Status: 429}})
	_, err := activitytest.Call[apply.ChangeResult](o, o.Acts.Apply.Apply, in)
	require.Error(t, err)
	o.ByHand(http.MethodPost, "builders", "jo")
	require.Equal(t, access.Already, activitytest.Must[apply.ChangeResult](o, o.Acts.Apply.Apply, in).State)
	require.False(t, o.Holding(in.Person).Owned)
}

func TestApplyStopsOnARefusedKey(t *testing.T) {
	t.Parallel()
	o, in := planned(t, access.Add)
	o.Inject(cloud.Fault{Operations: []string{"memberships.add"}, Kind: cloud.FaultExpireKey})
	_, err := activitytest.Call[apply.ChangeResult](o, o.Acts.Apply.Apply, in)
	app := activitytest.ApplicationError(t, err)
	require.Equal(t, session.ErrKeyRefused, app.Type())
	require.True(t, app.NonRetryable())
	require.NotContains(t, app.Message(), o.Key)
	require.Equal(t, access.Planned, o.Line(in).State)
}

func TestApplyRefusesAReadOnlyKey(t *testing.T) {
	t.Parallel()
	o, in := planned(t, access.Add)
	o.Configure(func(s *cloud.Settings) { s.Keys = map[string]cloud.KeyState{o.Key: cloud.KeyReadOnly} })
	result := activitytest.Must[apply.ChangeResult](o, o.Acts.Apply.Apply, in)
	require.Equal(t, access.Refused, result.State)
	require.True(t, result.Closed)
}

func TestApplyNeverWritesHeldLines(t *testing.T) {
	t.Parallel()
	o := activitytest.New(t)
	o.Admit("")
	run, _ := o.SweepAndJudge()
	_, err := activitytest.Call[apply.ChangeResult](o, o.Acts.Apply.Apply,
		apply.ChangeInput{RunInput: run, Person: o.AccountID("carol"), Target: activitytest.Builders})
	require.True(t, activitytest.ApplicationError(t, err).NonRetryable())
	require.Zero(t, o.Sim.Stats().Writes)
}

// A removal may wait for minutes while the API is out of order. Whoever is in the source again by then keeps the
// target.
func TestApplyReadsAgainBeforeALateRemoval(t *testing.T) {
	t.Parallel()
	for name, back := range map[string]bool{"still gone": false, "back": true} {
		t.Run(name, func(t *testing.T) {
			o, in := planned(t, access.Remove)
			o.Advance(time.Since(o.Now) + time.Minute) // the test's activities are scheduled by the real clock
			if back {
				o.Join("eng", "carol")
			}
			result := activitytest.Must[apply.ChangeResult](o, o.Acts.Apply.Apply, in)
			require.Equal(t, back, result.State == access.Superseded, result)
			require.Equal(t, !back, result.State == access.Done, result)
			require.Equal(t, back, o.Holding(in.Person) != nil)
		})
	}
}
