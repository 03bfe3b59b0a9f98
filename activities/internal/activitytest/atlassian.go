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

// Id is the account of somebody named in the organization file.
func (w *SimulatedOrg) Id(name string) string { w.T.Helper(); return w.Person(name).AccountID }

func (w *SimulatedOrg) Person(name string) cloud.StatePerson {
	w.T.Helper()
	state := w.Sim.State()
	i := slices.IndexFunc(state.People, func(p cloud.StatePerson) bool { return p.Name == name })
	require.GreaterOrEqual(w.T, i, 0, "nobody is called %s", name)
	return state.People[i]
}

func (w *SimulatedOrg) Group(name string) cloud.StateGroup {
	w.T.Helper()
	state := w.Sim.State()
	i := slices.IndexFunc(state.Groups, func(g cloud.StateGroup) bool { return g.Name == name })
	require.GreaterOrEqual(w.T, i, 0, "no group is called %s", name)
	return state.Groups[i]
}

// Members are the names of a group's members, sorted.
func (w *SimulatedOrg) Members(group string) string {
	w.T.Helper()
	state := w.Sim.State()
	var names []string
	for _, id := range w.Group(group).Members {
		i := slices.IndexFunc(state.People, func(p cloud.StatePerson) bool { return p.AccountID == id })
		names = append(names, state.People[i].Name)
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// Join and leave change a source group as its identity provider does.
func (w *SimulatedOrg) Join(source string, names ...string) {
	w.T.Helper()
	w.scim("add", source, names)
}

func (w *SimulatedOrg) Leave(source string, names ...string) {
	w.T.Helper()
	w.scim("remove", source, names)
}

func (w *SimulatedOrg) scim(op, source string, names []string) {
	w.T.Helper()
	var members []map[string]string
	for _, name := range names {
		members = append(members, map[string]string{"value": w.Person(name).SCIMUserID})
	}
	w.Send(http.MethodPatch, "/scim/directory/"+w.Sim.Info().SCIMDirectoryID+"/Groups/"+w.Group(source).SCIMGroupID,
		map[string]any{
			"schemas":    []string{"urn:ietf:params:scim:api:messages:2.0:PatchOp"},
			"Operations": []any{map[string]any{"op": op, "path": "members", "value": members}},
		})
}

// ByHand changes a local group as an administrator would.
func (w *SimulatedOrg) ByHand(method, group string, names ...string) {
	w.T.Helper()
	var ids []string
	for _, name := range names {
		ids = append(ids, w.Id(name))
	}
	w.Send(method, "/_sim/groups/"+group+"/members", map[string]any{"people": ids})
}

func (w *SimulatedOrg) Send(method, path string, body any) {
	w.T.Helper()
	data, err := json.Marshal(body)
	require.NoError(w.T, err)
	request, err := http.NewRequestWithContext(w.T.Context(), method, w.URL+path, strings.NewReader(string(data)))
	require.NoError(w.T, err)
	request.Header.Set("Authorization", "Bearer "+cloud.DefaultSCIMKey)
	request.Header.Set("Content-Type", "application/scim+json")
	answer, err := http.DefaultClient.Do(request)
	require.NoError(w.T, err)
	defer func() { _ = answer.Body.Close() }()
	said, err := io.ReadAll(answer.Body)
	require.NoError(w.T, err)
	require.Less(w.T, answer.StatusCode, 300, "%s", said)
}

func (w *SimulatedOrg) Inject(f cloud.Fault) {
	w.T.Helper()
	_, err := w.Sim.Inject(f)
	require.NoError(w.T, err)
}

func (w *SimulatedOrg) Configure(change func(*cloud.Settings)) {
	w.T.Helper()
	require.NoError(w.T, w.Sim.Configure(func(s *cloud.Settings) error { change(s); return nil }))
}

// Calls are the API calls that do makes, by operation.
func (w *SimulatedOrg) Calls(do func()) map[string]int {
	before := w.Sim.Stats().Operations
	do()
	made := map[string]int{}
	for name, n := range w.Sim.Stats().Operations {
		if n > before[name] {
			made[name] = n - before[name]
		}
	}
	return made
}

// Lines are a run's plan by label.
func (w *SimulatedOrg) Lines(run string) map[string]access.Change {
	w.T.Helper()
	all, err := w.Ledger.Lines(w.T.Context(), Org, run, ledger.Filter{})
	require.NoError(w.T, err)
	by := map[string]access.Change{}
	for _, c := range all {
		by[c.Label()] = c
	}
	return by
}

// Invite brings somebody back into the organization, as an administrator would.
func (w *SimulatedOrg) Invite(name string) {
	w.T.Helper()
	w.Admin(http.MethodPost, "/admin/v2/orgs/"+w.Sim.Info().OrgID+"/users/invite",
		`{"emails":["`+name+`@example.com"]}`)
}

// Admin calls the organization API as an administrator's script would.
func (w *SimulatedOrg) Admin(method, path, body string) {
	w.T.Helper()
	request, err := http.NewRequestWithContext(w.T.Context(), method, w.URL+path, strings.NewReader(body))
	require.NoError(w.T, err)
	request.Header.Set("Authorization", "Bearer "+cloud.DefaultKey)
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	require.NoError(w.T, err)
	require.NoError(w.T, answer.Body.Close())
	require.Less(w.T, answer.StatusCode, 300)
}

// Called is the name of an account.
func (w *SimulatedOrg) Called(id string) string {
	w.T.Helper()
	for _, p := range w.Sim.State().People {
		if p.AccountID == id {
			name, _, _ := strings.Cut(p.Name, "@")
			return name
		}
	}
	return "nobody: " + id
}

// DeleteSource deletes a source group as its identity provider does.
func (w *SimulatedOrg) DeleteSource(name string) {
	w.T.Helper()
	w.Send(http.MethodDelete, "/scim/directory/"+w.Sim.Info().SCIMDirectoryID+"/Groups/"+w.Group(name).SCIMGroupID, nil)
}

// CreateSource makes a source group with members as its identity provider does.
func (w *SimulatedOrg) CreateSource(name string, members ...string) {
	w.T.Helper()
	var values []map[string]string
	for _, m := range members {
		values = append(values, map[string]string{"value": w.Person(m).SCIMUserID})
	}
	w.Send(http.MethodPost, "/scim/directory/"+w.Sim.Info().SCIMDirectoryID+"/Groups", map[string]any{
		"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:Group"}, "displayName": name, "members": values,
	})
}

// Deleted is the id of a group that was deleted, as the ledger knows it.
func (w *SimulatedOrg) Deleted(name string) string {
	w.T.Helper()
	counts, err := w.Ledger.SourceCounts(w.T.Context(), Org)
	require.NoError(w.T, err)
	for id, c := range counts {
		if c.Name == name {
			return id
		}
	}
	return ""
}

// Rename gives somebody another address, as their identity provider does.
func (w *SimulatedOrg) Rename(name, address string) {
	w.T.Helper()
	w.Send(http.MethodPost, "/_sim/people/"+w.Person(name).Email, map[string]any{"email": address})
}
