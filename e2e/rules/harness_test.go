package rules_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/atlassian/scim"
	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

const (
	org      = suite.Org
	loop     = "org-sync:" + org
	patience = suite.Patience
)

// company is an organization as it grows: staff synced from an identity provider, and partners who were invited. Ana
// and bo are its admins.
var company = cloud.OrgFile{
	People:  []string{"ana", "bo", "carol", "dan", "eve", "finn", "gil", "paul@partner.example", "pia@partner.example"},
	Invited: []string{"paul@partner.example", "pia@partner.example"},
	Admins:  []string{"ana", "bo"},
	Groups: []cloud.OrgGroup{
		{Name: "staff", Members: []string{"ana", "bo", "carol", "dan", "eve", "finn", "gil"}},
		{Name: "contractors", Members: []string{"gil"}},
	},
	Local: []cloud.OrgGroup{
		{Name: "builders"}, {Name: "lab"}, {Name: "vault"},
		{Name: "internal-wiki", Members: []string{"pia@partner.example"}},
		{Name: "partner-wiki", Members: []string{"paul@partner.example"}},
	},
	Profiles: map[string]cloud.OrgProfile{"dan": {Title: "Engineer", Department: "IT"},
		"finn": {Title: "Controller", Department: "Finance"}},
}

// consenting lets the first plan and the rules act without being asked.
const consenting = "guard: {adopt: auto, rules: auto, settle: 0s}\n"

// testOrg is one organization with everything that keeps it.
type testOrg struct {
	*stack.Stack
	t   *testing.T
	idp scim.Writer
}

// start starts a test organization in a namespace of its own on the shared server.
func start(t *testing.T, file cloud.OrgFile) *testOrg {
	t.Helper()
	s := suite.Start(t, "--org", suite.OrgFile(t, file))
	idp, err := s.Simulator.SCIM()
	require.NoError(t, err)
	return &testOrg{Stack: s, t: t, idp: idp}
}

// policyText returns a policy with one mapping, and more.
func (o *testOrg) policyText(more string) string {
	return fmt.Sprintf(`version: 1
organization: {name: acme, id: %s, key: "env:%s"}
mappings:
  - {name: builders, from: [staff], to: ["group:builders"]}
ignore: ["*"]
sync: {feed: 5s, every: 24h}
%s`, o.Simulator.OrgID, stack.KeyVariable, more)
}

func rulesOf(all ...string) string { return "rules:\n  - " + strings.Join(all, "\n  - ") + "\n" }

// file writes a policy and returns its path.
func (o *testOrg) file(text string) string {
	o.t.Helper()
	path := filepath.Join(o.t.TempDir(), "acme.yaml")
	require.NoError(o.t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// apply takes a policy into force as ops do, with one command, and returns what it printed.
func (o *testOrg) apply(more string) string {
	o.t.Helper()
	return o.starter("apply", o.file(o.policyText(more)))
}

// settled applies a policy and waits until there is nothing left to do under it.
func (o *testOrg) settled(more string) messages.OrgSyncState {
	o.t.Helper()
	before := o.last()
	o.apply(more)
	return o.until(func(s messages.OrgSyncState) bool { return stack.Idle(s) && s.LastFull.Run > before })
}

// last returns the id of the last full verification.
func (o *testOrg) last() string {
	o.t.Helper()
	state, err := o.Status(o.t.Context(), org)
	if err != nil || state.LastFull == nil {
		return ""
	}
	return state.LastFull.Run
}

// starter types an ops command that must work.
func (o *testOrg) starter(args ...string) string {
	o.t.Helper()
	out, err := o.Starter(o.t.Context(), args...)
	require.NoError(o.t, err)
	return out
}

// fails types an ops command that must not work, and returns what it printed.
func (o *testOrg) fails(args ...string) string {
	o.t.Helper()
	out, err := o.Starter(o.t.Context(), args...)
	require.Equal(o.t, 1, exitOf(err), out)
	return out
}

// exitOf returns the exit status behind an error of running a command.
func exitOf(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	return -1
}

// answered types an ops command with --json and reads its answer.
func answered[T any](o *testOrg, args ...string) (answer T) {
	o.t.Helper()
	out := o.starter(append(args, "--json")...)
	require.NoError(o.t, json.Unmarshal([]byte(out), &answer))
	return answer
}

// cli types a command of the plain Temporal CLI that must work.
func (o *testOrg) cli(args ...string) string {
	o.t.Helper()
	out, err := o.CLI(o.t.Context(), args...)
	require.NoError(o.t, err)
	return out
}

func (o *testOrg) until(want func(messages.OrgSyncState) bool) messages.OrgSyncState {
	o.t.Helper()
	state, err := o.Until(o.t.Context(), org, patience, want)
	require.NoError(o.t, err)
	return state
}

// eventually tries until it works.
func (o *testOrg) eventually(try func() error) {
	o.t.Helper()
	require.NoError(o.t, stack.Eventually(o.t.Context(), patience, try))
}

// finding returns the finding of a rule about a subject in the status, or "".
func finding(s messages.OrgSyncState, rule, subject string) string {
	for _, f := range s.Findings {
		if strings.HasPrefix(f, rule+" "+subject) {
			return f
		}
	}
	return ""
}

func (o *testOrg) state() cloud.State {
	o.t.Helper()
	state, err := o.Simulator.State(o.t.Context())
	require.NoError(o.t, err)
	return state
}

func (o *testOrg) person(name string) cloud.StatePerson {
	o.t.Helper()
	state := o.state()
	i := slices.IndexFunc(state.People, func(p cloud.StatePerson) bool { return p.Name == name })
	require.GreaterOrEqual(o.t, i, 0, "nobody is called %s", name)
	return state.People[i]
}

// members returns the names of who is in a group, sorted.
func (o *testOrg) members(group string) string {
	o.t.Helper()
	state := o.state()
	var names []string
	for _, id := range stack.Members(state, group) {
		i := slices.IndexFunc(state.People, func(p cloud.StatePerson) bool { return p.AccountID == id })
		names = append(names, state.People[i].Name)
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// changed returns the changes of people since there were so many, in words and sorted.
func (o *testOrg) changed(since int) []string {
	o.t.Helper()
	var words []string
	for _, c := range o.history()[since:] {
		words = append(words, fmt.Sprintf("%s %s %t", c.Email, c.What, c.Holds))
	}
	slices.Sort(words)
	return words
}

func (o *testOrg) history() []cloud.Change {
	o.t.Helper()
	all, err := o.Simulator.History(o.t.Context())
	require.NoError(o.t, err)
	return all
}

// losses returns the instants at which somebody lost something, as it really was.
func (o *testOrg) losses(name, what string) (at []time.Time) {
	o.t.Helper()
	account := o.person(name).AccountID
	for _, c := range o.history() {
		if c.Account == account && c.What == what && !c.Holds {
			at = append(at, c.At)
		}
	}
	return at
}

// leave takes somebody out of a source group as its identity provider does.
func (o *testOrg) leave(source, name string) {
	o.t.Helper()
	state := o.state()
	i := slices.IndexFunc(state.Groups, func(g cloud.StateGroup) bool { return g.Name == source })
	require.GreaterOrEqual(o.t, i, 0, "no group is called %s", source)
	_, err := o.idp.RemoveMembers(o.t.Context(), state.Groups[i].SCIMGroupID, o.person(name).SCIMUserID)
	require.NoError(o.t, err)
}
