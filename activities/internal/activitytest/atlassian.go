package activitytest

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// AccountID is the account of somebody named in the organization file.
func (o *SimulatedOrg) AccountID(name string) string { o.T.Helper(); return o.Person(name).AccountID }

func (o *SimulatedOrg) Person(name string) cloud.StatePerson {
	o.T.Helper()
	state := o.Sim.State()
	i := slices.IndexFunc(state.People, func(p cloud.StatePerson) bool { return p.Name == name })
	require.GreaterOrEqual(o.T, i, 0, "nobody is called %s", name)
	return state.People[i]
}

func (o *SimulatedOrg) Group(name string) cloud.StateGroup {
	o.T.Helper()
	state := o.Sim.State()
	i := slices.IndexFunc(state.Groups, func(g cloud.StateGroup) bool { return g.Name == name })
	require.GreaterOrEqual(o.T, i, 0, "no group is called %s", name)
	return state.Groups[i]
}

// Members are the names of a group's members, sorted.
func (o *SimulatedOrg) Members(group string) string {
	o.T.Helper()
	state := o.Sim.State()
	var names []string
	for _, id := range o.Group(group).Members {
		i := slices.IndexFunc(state.People, func(p cloud.StatePerson) bool { return p.AccountID == id })
		names = append(names, state.People[i].Name)
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// Join and leave change a source group as its identity provider does.
func (o *SimulatedOrg) Join(source string, names ...string) {
	o.T.Helper()
	o.scim("add", source, names)
}

func (o *SimulatedOrg) Leave(source string, names ...string) {
	o.T.Helper()
	o.scim("remove", source, names)
}

func (o *SimulatedOrg) scim(op, source string, names []string) {
	o.T.Helper()
	var members []map[string]string
	for _, name := range names {
		members = append(members, map[string]string{"value": o.Person(name).SCIMUserID})
	}
	o.Send(http.MethodPatch, "/scim/directory/"+o.Sim.Info().SCIMDirectoryID+"/Groups/"+o.Group(source).SCIMGroupID,
		map[string]any{
			"schemas":    []string{"urn:ietf:params:scim:api:messages:2.0:PatchOp"},
			"Operations": []any{map[string]any{"op": op, "path": "members", "value": members}},
		})
}

// ByHand changes a local group as an administrator would.
func (o *SimulatedOrg) ByHand(method, group string, names ...string) {
	o.T.Helper()
	var ids []string
	for _, name := range names {
		ids = append(ids, o.AccountID(name))
	}
	o.Send(method, "/_sim/groups/"+group+"/members", map[string]any{"people": ids})
}

func (o *SimulatedOrg) Send(method, path string, body any) {
	o.T.Helper()
	data, err := json.Marshal(body)
	require.NoError(o.T, err)
	request, err := http.NewRequestWithContext(o.T.Context(), method, o.URL+path, strings.NewReader(string(data)))
	require.NoError(o.T, err)
	request.Header.Set("Authorization", "Bearer "+cloud.DefaultSCIMKey)
	request.Header.Set("Content-Type", "application/scim+json")
	answer, err := http.DefaultClient.Do(request)
	require.NoError(o.T, err)
	defer func() { _ = answer.Body.Close() }()
	said, err := io.ReadAll(answer.Body)
	require.NoError(o.T, err)
	require.Less(o.T, answer.StatusCode, 300, "%s", said)
}

func (o *SimulatedOrg) Inject(f cloud.Fault) {
	o.T.Helper()
	_, err := o.Sim.Inject(f)
	require.NoError(o.T, err)
}

func (o *SimulatedOrg) Configure(change func(*cloud.Settings)) {
	o.T.Helper()
	require.NoError(o.T, o.Sim.Configure(func(s *cloud.Settings) error { change(s); return nil }))
}

// Calls are the API calls that do makes, by operation.
func (o *SimulatedOrg) Calls(do func()) map[string]int {
	before := o.Sim.Stats().Operations
	do()
	made := map[string]int{}
	for name, n := range o.Sim.Stats().Operations {
		if n > before[name] {
			made[name] = n - before[name]
		}
	}
	return made
}

// Lines are a run's plan by label.
func (o *SimulatedOrg) Lines(run string) map[string]access.Change {
	o.T.Helper()
	all, err := o.Ledger.Lines(o.T.Context(), Org, run, ledger.Filter{})
	require.NoError(o.T, err)
	by := map[string]access.Change{}
	for _, c := range all {
		by[c.Label()] = c
	}
	return by
}

// Invite brings somebody back into the organization, as an administrator would.
func (o *SimulatedOrg) Invite(name string) {
	o.T.Helper()
	o.Admin(http.MethodPost, "/admin/v2/orgs/"+o.Sim.Info().OrgID+"/users/invite",
		`{"emails":["`+name+`@example.com"]}`)
}

// Admin calls the organization API as an administrator's script would.
func (o *SimulatedOrg) Admin(method, path, body string) {
	o.T.Helper()
	request, err := http.NewRequestWithContext(o.T.Context(), method, o.URL+path, strings.NewReader(body))
	require.NoError(o.T, err)
	request.Header.Set("Authorization", "Bearer "+cloud.DefaultKey)
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	require.NoError(o.T, err)
	require.NoError(o.T, answer.Body.Close())
	require.Less(o.T, answer.StatusCode, 300)
}

// NameOf is the name of an account.
func (o *SimulatedOrg) NameOf(id string) string {
	o.T.Helper()
	for _, p := range o.Sim.State().People {
		if p.AccountID == id {
			name, _, _ := strings.Cut(p.Name, "@")
			return name
		}
	}
	return "nobody: " + id
}

// DeleteSource deletes a source group as its identity provider does.
func (o *SimulatedOrg) DeleteSource(name string) {
	o.T.Helper()
	o.Send(http.MethodDelete, "/scim/directory/"+o.Sim.Info().SCIMDirectoryID+"/Groups/"+o.Group(name).SCIMGroupID, nil)
}

// CreateSource makes a source group with members as its identity provider does.
func (o *SimulatedOrg) CreateSource(name string, members ...string) {
	o.T.Helper()
	var values []map[string]string
	for _, m := range members {
		values = append(values, map[string]string{"value": o.Person(m).SCIMUserID})
	}
	o.Send(http.MethodPost, "/scim/directory/"+o.Sim.Info().SCIMDirectoryID+"/Groups", map[string]any{
		"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:Group"}, "displayName": name, "members": values,
	})
}

// DeletedGroup is the id of a group that was deleted, as the ledger knows it.
func (o *SimulatedOrg) DeletedGroup(name string) string {
	o.T.Helper()
	counts, err := o.Ledger.SourceCounts(o.T.Context(), Org)
	require.NoError(o.T, err)
	for id, c := range counts {
		if c.Name == name {
			return id
		}
	}
	return ""
}

// Rename gives somebody another address, as their identity provider does.
func (o *SimulatedOrg) Rename(name, address string) {
	o.T.Helper()
	o.Send(http.MethodPost, "/_sim/people/"+o.Person(name).Email, map[string]any{"email": address})
}
