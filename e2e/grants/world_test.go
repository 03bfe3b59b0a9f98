package grants_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

const (
	org      = suite.Org
	patience = suite.Patience
)

// world is one organization with everything that keeps it.
type world struct {
	*stack.Stack
	t *testing.T
}

// start starts a world in a namespace of its own, with a policy in force and its first plan approved.
func start(t *testing.T, policy string, flags ...string) *world {
	t.Helper()
	return startWith(t, staff, policy, flags...)
}

func startWith(t *testing.T, people cloud.OrgFile, policy string, flags ...string) *world {
	t.Helper()
	w := &world{Stack: suite.Start(t, append([]string{"--org", suite.OrgFile(t, people)}, flags...)...), t: t}
	w.apply(policy)
	_, err := w.Adopt(t.Context(), org, patience)
	require.NoError(t, err)
	return w
}

// staff are the people of all these tests. Ana and bo are admins already.
var staff = cloud.OrgFile{
	People: []string{"ana", "bo", "carol", "dan", "eve", "finn", "gil", "hana"},
	Admins: []string{"ana", "bo"},
	Groups: []cloud.OrgGroup{{Name: "ops", Members: []string{"carol", "dan", "eve"}},
		{Name: "eng", Members: []string{"carol", "finn"}}},
	Local:   []cloud.OrgGroup{{Name: "site-admins"}, {Name: "builders"}, {Name: "vault"}},
	Foreign: map[string][]string{"site-admins": {"hana"}},
}

func (w *world) apply(grants string) messages.PolicyAnswer {
	w.t.Helper()
	answer, err := w.Apply(w.t.Context(), org, fmt.Sprintf(`
version: 1
organization: {name: acme, id: %s, key: "env:%s"}
mappings:
  - {name: builders, from: [eng], to: ["group:builders"]}
guard: {settle: 2s}
sync: {feed: 5s}
%s
`, w.Simulator.OrgID, stack.KeyVariable, grants))
	require.NoError(w.t, err)
	return answer
}

// email is the address of somebody named in staff.
func (w *world) email(name string) string { w.t.Helper(); return w.person(name).Email }

func (w *world) person(name string) cloud.StatePerson {
	w.t.Helper()
	state, err := w.Simulator.State(w.t.Context())
	require.NoError(w.t, err)
	i := slices.IndexFunc(state.People, func(p cloud.StatePerson) bool { return p.Name == name })
	require.GreaterOrEqual(w.t, i, 0, "nobody is called %s", name)
	return state.People[i]
}

// ask asks for a grant of somebody in staff.
func (w *world) ask(name string, target access.Entitlement, d time.Duration,
	change ...func(*messages.GrantInput)) (messages.GrantAnswer, error) {
	w.t.Helper()
	in := messages.GrantInput{Person: w.email(name), Target: target, Duration: messages.Duration(d), Reason: "test",
		RequestedBy: w.email(name)}
	for _, c := range change {
		c(&in)
	}
	return w.Grant(w.t.Context(), org, in)
}

// until waits until a grant's workflow is as wanted.
func (w *world) until(workflow string, want func(messages.GrantState) bool) (state messages.GrantState) {
	w.t.Helper()
	require.NoError(w.t, stack.Eventually(w.t.Context(), patience, func() (err error) {
		if state, err = w.GrantStatus(w.t.Context(), workflow); err != nil {
			return err
		}
		if !want(state) {
			seen, _ := json.Marshal(state)
			return fmt.Errorf("the grant is %s", seen)
		}
		return nil
	}))
	return state
}

// over waits until a grant's workflow has ended.
func (w *world) over(workflow string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	var state messages.GrantState
	require.NoError(w.t, w.Temporal.Client.GetWorkflow(ctx, workflow, "").Get(ctx, &state))
	require.Equal(w.t, messages.GrantOver, state.State)
}

func (w *world) eventually(ok func() bool) {
	w.t.Helper()
	require.NoError(w.t, stack.Eventually(w.t.Context(), patience, func() error {
		if !ok() {
			return errors.New("not yet")
		}
		return nil
	}))
}

func is(state string) func(messages.GrantState) bool {
	return func(s messages.GrantState) bool { return s.State == state }
}

// held is since when and until when somebody held something, as it really was: pairs of instants, the last one zero
// while it is held.
func (w *world) held(name, what string) (spans [][2]time.Time) {
	w.t.Helper()
	history, err := w.Simulator.History(w.t.Context())
	require.NoError(w.t, err)
	account := w.person(name).AccountID
	for _, c := range history {
		if c.Account != account || c.What != what {
			continue
		}
		if c.Holds {
			spans = append(spans, [2]time.Time{c.At})
		} else if n := len(spans); n > 0 {
			spans[n-1][1] = c.At
		}
	}
	return spans
}
