package activities_test

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

// id is the account of somebody named in the organization file.
func (w *world) id(name string) string { w.t.Helper(); return w.person(name).AccountID }

func (w *world) person(name string) cloud.StatePerson {
	w.t.Helper()
	state := w.sim.State()
	i := slices.IndexFunc(state.People, func(p cloud.StatePerson) bool { return p.Name == name })
	require.GreaterOrEqual(w.t, i, 0, "nobody is called %s", name)
	return state.People[i]
}

func (w *world) group(name string) cloud.StateGroup {
	w.t.Helper()
	state := w.sim.State()
	i := slices.IndexFunc(state.Groups, func(g cloud.StateGroup) bool { return g.Name == name })
	require.GreaterOrEqual(w.t, i, 0, "no group is called %s", name)
	return state.Groups[i]
}

// members are the names of a group's members, sorted.
func (w *world) members(group string) string {
	w.t.Helper()
	state := w.sim.State()
	var names []string
	for _, id := range w.group(group).Members {
		i := slices.IndexFunc(state.People, func(p cloud.StatePerson) bool { return p.AccountID == id })
		names = append(names, state.People[i].Name)
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// join and leave change a source group as its identity provider does.
func (w *world) join(source string, names ...string)  { w.t.Helper(); w.scim("add", source, names) }
func (w *world) leave(source string, names ...string) { w.t.Helper(); w.scim("remove", source, names) }

func (w *world) scim(op, source string, names []string) {
	w.t.Helper()
	var members []map[string]string
	for _, name := range names {
		members = append(members, map[string]string{"value": w.person(name).SCIMUserID})
	}
	w.send(http.MethodPatch, "/scim/directory/"+w.sim.Info().SCIMDirectoryID+"/Groups/"+w.group(source).SCIMGroupID, map[string]any{
		"schemas":    []string{"urn:ietf:params:scim:api:messages:2.0:PatchOp"},
		"Operations": []any{map[string]any{"op": op, "path": "members", "value": members}},
	})
}

// byHand changes a local group as an administrator would.
func (w *world) byHand(method, group string, names ...string) {
	w.t.Helper()
	var ids []string
	for _, name := range names {
		ids = append(ids, w.id(name))
	}
	w.send(method, "/_sim/groups/"+group+"/members", map[string]any{"people": ids})
}

func (w *world) send(method, path string, body any) {
	w.t.Helper()
	data, err := json.Marshal(body)
	require.NoError(w.t, err)
	request, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, strings.NewReader(string(data)))
	require.NoError(w.t, err)
	request.Header.Set("Authorization", "Bearer "+cloud.DefaultSCIMKey)
	request.Header.Set("Content-Type", "application/scim+json")
	answer, err := http.DefaultClient.Do(request)
	require.NoError(w.t, err)
	defer func() { _ = answer.Body.Close() }()
	said, err := io.ReadAll(answer.Body)
	require.NoError(w.t, err)
	require.Less(w.t, answer.StatusCode, 300, "%s", said)
}

func (w *world) inject(f cloud.Fault) {
	w.t.Helper()
	_, err := w.sim.Inject(f)
	require.NoError(w.t, err)
}

func (w *world) configure(change func(*cloud.Settings)) {
	w.t.Helper()
	require.NoError(w.t, w.sim.Configure(func(s *cloud.Settings) error { change(s); return nil }))
}

// calls are the API calls that do makes, by operation.
func (w *world) calls(do func()) map[string]int {
	before := w.sim.Stats().Operations
	do()
	made := map[string]int{}
	for name, n := range w.sim.Stats().Operations {
		if n > before[name] {
			made[name] = n - before[name]
		}
	}
	return made
}

// lines are a run's plan by label.
func (w *world) lines(run string) map[string]access.Change {
	w.t.Helper()
	all, err := w.ledger.Lines(w.t.Context(), org, run, ledger.Filter{})
	require.NoError(w.t, err)
	by := map[string]access.Change{}
	for _, c := range all {
		by[c.Label()] = c
	}
	return by
}
