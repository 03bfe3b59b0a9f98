package identities_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

const (
	org      = suite.Org
	patience = suite.Patience
)

// testOrg is an organization, and the files that an HR system exports of its people.
type testOrg struct {
	*stack.Stack
	*suite.Files
	t *testing.T
}

// start starts an organization whose people are also in the files, as employees with the keys e-<name>.
func start(t *testing.T, of cloud.OrgFile) *testOrg {
	t.Helper()
	o := &testOrg{Stack: suite.Start(t, "--org", suite.OrgFile(t, of)), t: t}
	o.Files = suite.NewFiles(t, "hr", stack.SourceFolder(o.Dir))
	for _, p := range o.state().People {
		o.Staff["e-"+p.Name] = suite.Employee{Email: p.Email, Name: p.Name, Department: "Works"}
	}
	o.Export()
	return o
}

// policy is a policy with mappings, and whatever else it is to have.
func (o *testOrg) policy(mappings []map[string]any, more map[string]any) string {
	o.t.Helper()
	object := map[string]any{
		"version":      1,
		"organization": map[string]any{"name": org, "id": o.Simulator.OrgID, "key": "env:" + stack.KeyVariable},
		"sources":      []any{o.Source()},
		"guard":        map[string]any{"settle": "0s"},
		"sync":         map[string]any{"feed": "5s", "every": "1h", "inFlight": 8},
	}
	if len(mappings) > 0 {
		object["mappings"] = mappings
	}
	maps.Copy(object, more)
	text, err := json.MarshalIndent(object, "", "  ")
	require.NoError(o.t, err)
	return string(text)
}

// settled applies a policy and consents to its first plan.
func (o *testOrg) settled(policy string) messages.OrgSyncState {
	o.t.Helper()
	return suite.Settle(o.t, o.Stack, policy)
}

func (o *testOrg) until(want func(messages.OrgSyncState) bool) messages.OrgSyncState {
	o.t.Helper()
	return suite.Until(o.t, o.Stack, want)
}

func (o *testOrg) eventually(try func() error) { o.t.Helper(); suite.Eventually(o.t, try) }

// state returns the truth at Atlassian.
func (o *testOrg) state() cloud.State { o.t.Helper(); return suite.State(o.t, o.Stack) }

func (o *testOrg) stats() cloud.Stats { o.t.Helper(); return suite.Stats(o.t, o.Stack) }

// members are the names of a group's members at Atlassian.
func (o *testOrg) members(group string) []string {
	o.t.Helper()
	state := o.state()
	names := []string{}
	for _, id := range stack.Members(state, group) {
		i := slices.IndexFunc(state.People, func(p cloud.StatePerson) bool { return p.AccountID == id })
		names = append(names, state.People[i].Name)
	}
	slices.Sort(names)
	return names
}

// become waits until a group has exactly these members.
func (o *testOrg) become(group string, names ...string) {
	o.t.Helper()
	slices.Sort(names)
	o.eventually(func() error {
		if is := o.members(group); !slices.Equal(is, names) {
			return fmt.Errorf("%s has %v, not %v", group, is, names)
		}
		return nil
	})
}
