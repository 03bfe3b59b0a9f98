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

// testOrg is one organization with everything that keeps it.
type testOrg struct {
	*stack.Stack
	t *testing.T
}

// start starts a test organization in a namespace of its own, with a policy in force and its first plan approved.
func start(t *testing.T, policy string, flags ...string) *testOrg {
	t.Helper()
	return startWith(t, staff, policy, flags...)
}

func startWith(t *testing.T, people cloud.OrgFile, policy string, flags ...string) *testOrg {
	t.Helper()
	o := &testOrg{Stack: suite.Start(t, append([]string{"--org", suite.OrgFile(t, people)}, flags...)...), t: t}
	o.apply(policy)
	_, err := o.Adopt(t.Context(), org, patience)
	require.NoError(t, err)
	return o
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

func (o *testOrg) apply(grants string) messages.PolicyAnswer {
	o.t.Helper()
	answer, err := o.Apply(o.t.Context(), org, fmt.Sprintf(`
version: 1
organization: {name: acme, id: %s, key: "env:%s"}
mappings:
  - {name: builders, from: [eng], to: ["group:builders"]}
guard: {settle: 2s}
sync: {feed: 5s}
%s
`, o.Simulator.OrgID, stack.KeyVariable, grants))
	require.NoError(o.t, err)
	return answer
}

// email returns the address of somebody named in staff.
func (o *testOrg) email(name string) string { o.t.Helper(); return o.person(name).Email }

func (o *testOrg) person(name string) cloud.StatePerson {
	o.t.Helper()
	state, err := o.Simulator.State(o.t.Context())
	require.NoError(o.t, err)
	i := slices.IndexFunc(state.People, func(p cloud.StatePerson) bool { return p.Name == name })
	require.GreaterOrEqual(o.t, i, 0, "nobody is called %s", name)
	return state.People[i]
}

// ask asks for a grant of somebody in staff.
func (o *testOrg) ask(name string, target access.Entitlement, d time.Duration,
	change ...func(*messages.GrantInput)) (messages.GrantAnswer, error) {
	o.t.Helper()
	in := messages.GrantInput{Person: o.email(name), Target: target, Duration: messages.Duration(d), Reason: "test",
		RequestedBy: o.email(name)}
	for _, c := range change {
		c(&in)
	}
	return o.Grant(o.t.Context(), org, in)
}

// until waits until a grant's workflow is as wanted.
func (o *testOrg) until(workflow string, want func(messages.GrantState) bool) (state messages.GrantState) {
	o.t.Helper()
	require.NoError(o.t, stack.Eventually(o.t.Context(), patience, func() (err error) {
		if state, err = o.GrantStatus(o.t.Context(), workflow); err != nil {
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
func (o *testOrg) over(workflow string) {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(o.t.Context(), patience)
	defer cancel()
	var state messages.GrantState
	require.NoError(o.t, o.Temporal.Client.GetWorkflow(ctx, workflow, "").Get(ctx, &state))
	require.Equal(o.t, messages.GrantOver, state.State)
}

func (o *testOrg) eventually(ok func() bool) {
	o.t.Helper()
	require.NoError(o.t, stack.Eventually(o.t.Context(), patience, func() error {
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
func (o *testOrg) held(name, what string) (spans [][2]time.Time) {
	o.t.Helper()
	history, err := o.Simulator.History(o.t.Context())
	require.NoError(o.t, err)
	account := o.person(name).AccountID
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
