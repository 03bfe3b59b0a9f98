package identities_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
	"github.com/castellan-io/castellan/source/file"
)

const (
	org      = suite.Org
	patience = suite.Patience
)

// testOrg is an organization without SCIM, and the files that an HR system exports.
type testOrg struct {
	*stack.Stack
	t      *testing.T
	folder string
	staff  map[string]employee // by key
	groups map[string][]string // keys of employees, by name
}

// employee is a row of people.csv.
type employee struct {
	email, department string
	disabled          bool
}

// start starts an organization whose people are also in the files, as employees with the keys e-<name>.
func start(t *testing.T, of cloud.OrgFile) *testOrg {
	t.Helper()
	o := &testOrg{Stack: suite.Start(t, "--org", suite.OrgFile(t, of)), t: t, staff: map[string]employee{},
		groups: map[string][]string{}}
	o.folder = stack.SourceFolder(o.Dir)
	for _, p := range o.state().People {
		o.staff["e-"+p.Name] = employee{email: p.Email, department: "Works"}
	}
	o.export()
	return o
}

// export writes the files as they are now, as the HR system does at night.
func (o *testOrg) export() {
	o.t.Helper()
	var people, groups strings.Builder
	people.WriteString("number,email,department,status\n")
	for _, key := range slices.Sorted(maps.Keys(o.staff)) {
		e, status := o.staff[key], "active"
		if e.disabled {
			status = "left"
		}
		fmt.Fprintf(&people, "%s,%s,%s,%s\n", key, e.email, e.department, status)
	}
	groups.WriteString("group,key\n")
	for _, name := range slices.Sorted(maps.Keys(o.groups)) {
		fmt.Fprintf(&groups, "%s,\n", name)
		for _, key := range o.groups[name] {
			fmt.Fprintf(&groups, "%s,%s\n", name, key)
		}
	}
	o.write("people.csv", people.String())
	o.write("groups.csv", groups.String())
	_, err := file.WriteManifest(o.folder, time.Now(), "people.csv", "groups.csv")
	require.NoError(o.t, err)
}

func (o *testOrg) write(name, text string) {
	o.t.Helper()
	require.NoError(o.t, os.WriteFile(filepath.Join(o.folder, name), []byte(text), 0o600))
}

// source is the policy's entry for the files.
func (o *testOrg) source() map[string]any {
	return map[string]any{
		"name": "hr", "kind": "file", "folder": o.folder, "groupsFile": "groups.csv", "key": "number",
		"enabled": map[string]any{"column": "status", "no": []string{"left"}}, "every": "5s", "stale": "1h",
	}
}

// policy is a policy with mappings, and whatever else it is to have.
func (o *testOrg) policy(mappings []map[string]any, more map[string]any) string {
	o.t.Helper()
	object := map[string]any{
		"version":      1,
		"organization": map[string]any{"name": org, "id": o.Simulator.OrgID, "key": "env:" + stack.KeyVariable},
		"sources":      []any{o.source()},
		"mappings":     mappings,
		"guard":        map[string]any{"settle": "0s"},
		"sync":         map[string]any{"feed": "5s", "every": "1h", "inFlight": 8},
	}
	maps.Copy(object, more)
	text, err := json.MarshalIndent(object, "", "  ")
	require.NoError(o.t, err)
	return string(text)
}

// settled applies a policy and consents to its first plan.
func (o *testOrg) settled(policy string) messages.OrgSyncState {
	o.t.Helper()
	_, err := o.Apply(o.t.Context(), org, policy)
	require.NoError(o.t, err)
	state, err := o.Adopt(o.t.Context(), org, patience)
	require.NoError(o.t, err)
	return state
}

func (o *testOrg) until(want func(messages.OrgSyncState) bool) messages.OrgSyncState {
	o.t.Helper()
	state, err := o.Until(o.t.Context(), org, patience, want)
	require.NoError(o.t, err)
	return state
}

// state returns the truth at Atlassian.
func (o *testOrg) state() cloud.State {
	o.t.Helper()
	state, err := o.Simulator.State(o.t.Context())
	require.NoError(o.t, err)
	return state
}

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
	require.NoError(o.t, stack.Eventually(o.t.Context(), patience, func() error {
		if is := o.members(group); !slices.Equal(is, names) {
			return fmt.Errorf("%s has %v, not %v", group, is, names)
		}
		return nil
	}))
}
