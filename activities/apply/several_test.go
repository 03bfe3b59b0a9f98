package apply_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/activities/apply"
	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/simulator/cloud"
)

func severalOf(run session.RunInput, lines ...apply.Line) apply.ChangesInput {
	in := apply.ChangesInput{RunInput: run}
	for _, line := range lines {
		in.Lines = append(in.Lines, apply.LineRef{Person: line.Person, Target: line.Target})
	}
	return in
}

// What was made before a failure is told, so that nothing is lost of it.
func TestApplySeveralEndsWithTheFirstThatFails(t *testing.T) {
	t.Parallel()
	o, in := planned(t, access.Add)
	jo := apply.Line{Person: in.Person, Target: in.Target}
	nobody := apply.Line{Person: "nobody", Target: in.Target}
	write := func(lines ...apply.Line) []apply.ChangeResult {
		return activitytest.Must[[]apply.ChangeResult](o, o.Acts.Apply.ApplySeveral, severalOf(in.RunInput, lines...))
	}
	require.Equal(t, []apply.ChangeResult{{State: access.Done, Answer: "accepted"}}, write(jo, nobody, jo))
	require.True(t, o.Holding(in.Person).Owned)
	require.Empty(t, write(nobody, jo))
}

// joining is a simulated organization in which two people are to be added to builders.
func joining(t *testing.T) (*activitytest.SimulatedOrg, apply.ChangesInput) {
	t.Helper()
	o := activitytest.NewInStep(t)
	o.Join("eng", "jo")
	o.Join("eng", "lea")
	run := o.NewRun()
	o.Sweep(run)
	require.Equal(t, 2, o.Judge(run).Open)
	var lines []apply.Line
	for _, who := range []string{"jo", "lea"} {
		lines = append(lines, apply.Line{Person: o.AccountID(who), Target: activitytest.Builders})
	}
	return o, severalOf(run, lines...)
}

// stateOf returns the state of the n-th line.
func stateOf(o *activitytest.SimulatedOrg, in apply.ChangesInput, n int) access.ChangeState {
	line := in.Lines[n]
	return o.Line(apply.ChangeInput{RunInput: in.RunInput, Person: line.Person, Target: line.Target}).State
}

func TestApplySeveralWritesEachOnce(t *testing.T) {
	t.Parallel()
	o, in := joining(t)
	done := apply.ChangeResult{State: access.Done, Answer: "accepted"}
	made := o.Calls(func() {
		require.Equal(t, []apply.ChangeResult{done, done},
			activitytest.Must[[]apply.ChangeResult](o, o.Acts.Apply.ApplySeveral, in))
	})
	require.Equal(t, map[string]int{"memberships.add": 2}, made)
	for _, line := range in.Lines {
		require.True(t, o.Holding(line.Person).Owned)
	}
	made = o.Calls(func() {
		require.Equal(t, []apply.ChangeResult{done, done},
			activitytest.Must[[]apply.ChangeResult](o, o.Acts.Apply.ApplySeveral, in))
	})
	require.Empty(t, made, "a repeat finds the answers in the ledger")
}

// The second line is begun as the first is answered: whatever happens then, it is known whether it may be written.
func TestApplySeveralKnowsWhetherTheNextWasWritten(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		hurt  func(o *activitytest.SimulatedOrg) session.Options
		made  int
		next  access.ChangeState
		reads bool // what is begun is read back before it is written
	}{
		"the key is gone before its turn": {func(o *activitytest.SimulatedOrg) session.Options {
			opened, options := 0, o.Options()
			options.Secret = func(string, string) (string, error) {
				if opened++; opened > 1 {
					return "", errors.New("the key is gone")
				}
				return o.Key, nil
			}
			return options
		}, 1, access.Planned, false},
		"no answer": {func(o *activitytest.SimulatedOrg) session.Options {
			o.Inject(cloud.Fault{Operations: []string{"memberships.add"}, Kind: cloud.FaultTimeoutAfter, After: 1, Count: 1})
			return o.Options()
		}, 1, access.Sent, true},
		"it took long": {func(o *activitytest.SimulatedOrg) session.Options {
			options := o.Options()
			options.Now = func() time.Time {
				o.Advance(time.Second)
				return o.Clock()
			}
			return options
		}, 1, access.Planned, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, in := joining(t)
			o.Acts = activities.New(activities.Options{Options: c.hurt(o)})
			require.Len(t, activitytest.Must[[]apply.ChangeResult](o, o.Acts.Apply.ApplySeveral, in), c.made)
			require.Equal(t, c.next, stateOf(o, in, 1))
			o.Restart()
			made := o.Calls(func() {
				require.Equal(t, access.Done, activitytest.Must[apply.ChangeResult](o, o.Acts.Apply.Apply,
					apply.ChangeInput{RunInput: in.RunInput, Person: in.Lines[1].Person,
						Target: in.Lines[1].Target}).State)
			})
			require.Equal(t, c.reads, made["users.search"] > 0, "%v", made)
		})
	}
}

// TestApplySeveralPassesOverAClosedTarget: a line of a target that takes nothing more is not begun, and the line behind
// it is the one that is made.
func TestApplySeveralPassesOverAClosedTarget(t *testing.T) {
	t.Parallel()
	o := activitytest.NewOf(t, activitytest.People)
	o.Configure(func(s *cloud.Settings) { s.Licences = map[string]int{"jira/acme": 0} })
	o.Policy = activitytest.Must[reconcile.AdmitResult](o, o.Acts.Reconcile.Admit, o.AdmitIn(`
version: 1
organization: {name: acme, id: `+o.Sim.Info().OrgID+`, key: "env:KEY"}
mappings:
  - {name: jira, from: [eng], to: ["default:jira/acme/user"]}
  - {name: builders, from: [eng], to: ["group:builders"]}
ignore: [support, unused]
guard: {adopt: auto}
`)).Policy
	run, _ := o.SweepAndJudge()
	next := activitytest.Must[apply.NextResult](o, o.Acts.Apply.Next,
		apply.NextInput{RunInput: run, Actions: []access.Action{access.Add}, Limit: 100})
	of := func(builders bool) (lines []apply.Line) {
		for _, line := range next.Lines {
			if (line.Target == activitytest.Builders) == builders {
				lines = append(lines, line)
			}
		}
		return lines
	}
	jira, builders := of(false), of(true)
	in := severalOf(run, jira[0], builders[0], jira[1], builders[1])
	results := activitytest.Must[[]apply.ChangeResult](o, o.Acts.Apply.ApplySeveral, in)
	require.Equal(t, []access.ChangeState{access.Shortage, access.Done, "", access.Done},
		[]access.ChangeState{results[0].State, results[1].State, results[2].State, results[3].State})
	require.Equal(t, access.Planned, stateOf(o, in, 2))
	require.Equal(t, access.Done, stateOf(o, in, 3))
}

// TestApplySeveralTakesBackWhatItBegan: an organization that is retired between two changes has the second as if nobody
// had tried it.
func TestApplySeveralTakesBackWhatItBegan(t *testing.T) {
	t.Parallel()
	o, in := joining(t)
	options := o.Options()
	options.Secret = func(string, string) (string, error) { // the first write asks for it
		_, err := o.Ledger.Retire(t.Context(), activitytest.Org, "ana", o.Clock())
		return o.Key, err
	}
	o.Acts = activities.New(activities.Options{Options: options})
	require.Len(t, activitytest.Must[[]apply.ChangeResult](o, o.Acts.Apply.ApplySeveral, in), 1)
	require.Equal(t, access.Planned, stateOf(o, in, 1))
}
