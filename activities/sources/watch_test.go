package sources_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/sources"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
	"github.com/castellan-io/castellan/source/file"
)

// followed is a simulated organization that follows the files of an HR system.
type followed struct {
	*activitytest.SimulatedOrg
	folder string
	staff  map[string]string   // status by number; the address is <number>@acme.example
	groups map[string][]string // numbers by name
	sites  map[string]string   // by number; empty: the files do not say
	scope  string              // of the source
	told   int64               // the last change that read returned
}

func start(t *testing.T) *followed {
	t.Helper()
	return startIn(t, "true")
}

// startIn is start with a scope.
func startIn(t *testing.T, scope string) *followed {
	t.Helper()
	file := cloud.OrgFile{Domains: []string{"acme.example"}, People: []string{"boss"}, Admins: []string{"boss"},
		Local: []cloud.OrgGroup{{Name: "builders"}, {Name: "lent"}}}
	f := &followed{folder: t.TempDir(), staff: map[string]string{}, groups: map[string][]string{},
		sites: map[string]string{}, scope: scope}
	for n := range 20 {
		key := fmt.Sprintf("p%02d", n)
		file.People = append(file.People, key)
		f.staff[key] = "active"
	}
	f.groups["eng"] = []string{"p00", "p01", "p02", "p03"}
	f.SimulatedOrg = activitytest.NewOf(t, file)
	f.follow(f.folder)
	return f
}

// follow has the organization follow the files in a folder.
func (f *followed) follow(folder string) {
	f.T.Helper()
	f.folder = folder
	options := f.Options()
	options.SourceFolders = map[string][]string{activitytest.Org: {f.folder}}
	f.Acts = activities.New(activities.Options{Options: options})
	f.Policy = activitytest.Must[reconcile.AdmitResult](f.SimulatedOrg, f.Acts.Reconcile.Admit, f.AdmitIn(fmt.Sprintf(`
version: 1
organization: {name: acme, id: %s, key: "env:KEY"}
sources:
  - {name: hr, kind: file, folder: %q, groupsFile: groups.csv, key: number, enabled: {column: status, no: [left]},
     people: {scope: %q}}
mappings: [{name: builders, from: ["hr:eng"], to: ["group:builders"]}]
grants:
  - {name: lend, targets: ["group:lent"], duration: {default: 1h, max: 2h}, reason: false,
     approval: {groups: ["hr:eng"]}}
guard: {adopt: auto}
`, f.Sim.Info().OrgID, f.folder, f.scope))).Policy
	f.export()
}

// export writes the files.
func (f *followed) export() {
	f.T.Helper()
	var people, groups strings.Builder
	people.WriteString("number,email,status,site\n")
	for _, key := range slices.Sorted(maps.Keys(f.staff)) {
		fmt.Fprintf(&people, "%s,%[1]s@acme.example,%s,%s\n", key, f.staff[key], f.sites[key])
	}
	groups.WriteString("group,key\n")
	for _, name := range slices.Sorted(maps.Keys(f.groups)) {
		fmt.Fprintf(&groups, "%s,\n", name)
		for _, key := range f.groups[name] {
			fmt.Fprintf(&groups, "%s,%s\n", name, key)
		}
	}
	require.NoError(f.T, os.WriteFile(filepath.Join(f.folder, "people.csv"), []byte(people.String()), 0o600))
	require.NoError(f.T, os.WriteFile(filepath.Join(f.folder, "groups.csv"), []byte(groups.String()), 0o600))
	_, err := file.WriteManifest(f.folder, f.Clock(), "people.csv", "groups.csv")
	require.NoError(f.T, err)
}

// read reads the files once.
func (f *followed) read() sources.WatchResult {
	f.T.Helper()
	f.Advance(time.Minute)
	result := activitytest.Must[sources.WatchResult](f.SimulatedOrg, f.Acts.Sources.WatchSource,
		sources.WatchInput{Org: activitytest.Org, Policy: f.Policy, Source: "hr", Once: true, After: f.told})
	f.told = result.Source.Change
	return result
}

// builders are the names of those who are in the group at Atlassian.
func (f *followed) builders() []string {
	f.T.Helper()
	names := []string{}
	state := f.Sim.State()
	for _, g := range state.Groups {
		if g.Name != "builders" {
			continue
		}
		for _, id := range g.Members {
			i := slices.IndexFunc(state.People, func(p cloud.StatePerson) bool { return p.AccountID == id })
			names = append(names, state.People[i].Name)
		}
	}
	slices.Sort(names)
	return names
}

// TestWatchSourceFirst: the first read has everybody looked at, who is then linked by their address and given what
// their groups give.
func TestWatchSourceFirst(t *testing.T) {
	t.Parallel()
	f := start(t)
	result := f.read()
	require.Empty(t, result.Source.Problem)
	require.Equal(t, 20, result.Source.People)
	require.Contains(t, result.Full, "first time")
	f.VerifyEverybody()
	require.Equal(t, []string{"p00", "p01", "p02", "p03"}, f.builders())
	require.Empty(t, f.read().People)
}

// TestWatchSourceTouches: who joins or leaves a group is looked at; leaving counts after a second complete read.
func TestWatchSourceTouches(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.read()
	f.VerifyEverybody()
	f.groups["eng"] = []string{"p00", "p01", "p02", "p04"}
	f.export()
	result := f.read()
	require.Equal(t, []string{f.account("p04")}, result.People)
	f.VerifyEverybody()
	require.Equal(t, []string{"p00", "p01", "p02", "p03", "p04"}, f.builders())
	require.Equal(t, []string{f.account("p03")}, f.read().People)
	f.VerifyEverybody()
	require.Equal(t, []string{"p00", "p01", "p02", "p04"}, f.builders())
}

// TestWatchSourceHints: a source that can tell what changed is read as soon as it does, long before its next read is
// due.
func TestWatchSourceHints(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.read()
	f.VerifyEverybody()
	read := make(chan sources.WatchResult, 1)
	go func() {
		result, err := activitytest.Call[sources.WatchResult](f.SimulatedOrg, f.Acts.Sources.WatchSource,
			sources.WatchInput{Org: activitytest.Org, Policy: f.Policy, Source: "hr", After: f.told})
		if err == nil {
			read <- result
		}
		close(read)
	}()
	for n := 4; ; n++ { // the first hint is what the source is compared with
		f.groups["eng"] = append(f.groups["eng"], fmt.Sprintf("p%02d", n%20))
		f.export()
		select {
		case result, ok := <-read:
			require.True(t, ok, "the watch failed")
			require.NotEmpty(t, result.People)
			return
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// TestWatchSourceDisabled: who is disabled loses what the source gave after one read and a look-up.
func TestWatchSourceDisabled(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.read()
	f.VerifyEverybody()
	f.staff["p01"] = "left"
	f.export()
	require.Equal(t, []string{f.account("p01")}, f.read().People)
	f.VerifyEverybody()
	require.Equal(t, []string{"p00", "p02", "p03"}, f.builders())
}

// TestWatchSourceBroken: a file that is not what its manifest says proves nothing.
func TestWatchSourceBroken(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.read()
	f.VerifyEverybody()
	require.NoError(t, os.WriteFile(filepath.Join(f.folder, "people.csv"), []byte("number,email,status\n"), 0o600))
	result := f.read()
	require.NotEmpty(t, result.Source.Problem)
	require.Empty(t, result.People)
	f.read()
	f.VerifyEverybody()
	require.Len(t, f.builders(), 4)
}

// TestWatchSourceSuspect: a read that lacks too many concludes nothing until somebody accepts it.
func TestWatchSourceSuspect(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.read()
	f.VerifyEverybody()
	f.staff = map[string]string{"p00": "active", "p04": "active"}
	f.groups["eng"] = []string{"p00", "p04"}
	f.export()
	require.Contains(t, f.read().Source.Suspect, "from 20 to 2 people")
	require.Contains(t, f.read().Source.Suspect, "from 20 to 2 people")
	f.VerifyEverybody()
	require.Equal(t, []string{"p00", "p01", "p02", "p03", "p04"}, f.builders())

	seen := f.read().Source.Lacks
	require.NotEmpty(t, seen)
	delete(f.staff, "p04")
	f.export()
	lacks := f.read().Source.Lacks
	require.NotEqual(t, seen, lacks)
	accept := sources.AcceptInput{Org: activitytest.Org}
	accept.Source, accept.By, accept.Lacks = "hr", "bo", seen
	_, err := activitytest.Call[bool](f.SimulatedOrg, f.Acts.Sources.AcceptSource, accept)
	require.ErrorContains(t, err, "no longer "+seen+", but "+lacks)
	require.Equal(t, lacks, f.read().Source.Lacks, "nothing else is missing, and it is still suspect")
	accept.Lacks = lacks
	require.True(t, activitytest.Must[bool](f.SimulatedOrg, f.Acts.Sources.AcceptSource, accept))
	f.read()
	require.Empty(t, f.read().Source.Suspect)
	gone, err := f.Ledger.IdentityCounts(t.Context(), activitytest.Org)
	require.NoError(t, err)
	require.Contains(t, gone, ledger.IdentityCount{Source: "hr", State: ledger.StateGone, Count: 19})
}

// account is the id of somebody's account.
func (f *followed) account(name string) string {
	f.T.Helper()
	for _, p := range f.Sim.State().People {
		if p.Name == name {
			return p.AccountID
		}
	}
	return ""
}

// TestVerifyWhereTheScopeIsUnknown: who may be outside the source's scope keeps what its groups gave, and is given
// nothing more; who is outside loses it.
func TestVerifyWhereTheScopeIsUnknown(t *testing.T) {
	t.Parallel()
	f := startIn(t, `site != "away"`)
	for key := range f.staff {
		f.sites[key] = "here"
	}
	f.sites["p01"] = ""
	f.export()
	f.read()
	f.VerifyEverybody()
	require.Equal(t, []string{"p00", "p02", "p03"}, f.builders())
	f.sites["p00"], f.sites["p02"] = "", "away"
	f.export()
	require.ElementsMatch(t, []string{f.account("p00"), f.account("p02")}, f.read().People)
	f.VerifyEverybody()
	require.Equal(t, []string{"p00", "p03"}, f.builders())
	f.sites["p00"], f.sites["p01"] = "away", "here"
	f.export()
	f.read()
	f.VerifyEverybody()
	require.Equal(t, []string{"p01", "p03"}, f.builders())
}

// TestAdmitForgetsFormerSources: what was read of a source that the policy no longer has is deleted; who its people are
// is not.
func TestAdmitForgetsFormerSources(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.read()
	f.VerifyEverybody()
	known := func() (sources, people int) {
		all, err := f.Ledger.Sources(t.Context(), activitytest.Org)
		require.NoError(t, err)
		counts, err := f.Ledger.IdentityCounts(t.Context(), activitytest.Org)
		require.NoError(t, err)
		for _, c := range counts {
			people += c.Count
		}
		return len(all), people
	}
	f.follow(f.folder)
	sources, people := known()
	require.Equal(t, []int{1, 20}, []int{sources, people}, "the policy has it still")
	activitytest.Must[reconcile.AdmitResult](f.SimulatedOrg, f.Acts.Reconcile.Admit, f.AdmitIn(fmt.Sprintf(`
version: 1
organization: {name: acme, id: %s, key: "env:KEY"}
mappings: [{name: other, from: [nobody], to: ["group:builders"]}]
`, f.Sim.Info().OrgID)))
	sources, people = known()
	require.Equal(t, []int{0, 0}, []int{sources, people})
	f.follow(f.folder)
	f.told = 0
	require.Contains(t, f.read().Full, "first time")
	bound, err := f.Ledger.IdentitiesOf(t.Context(), activitytest.Org, []string{f.account("p00")})
	require.NoError(t, err)
	require.Len(t, bound, 1)
}

// TestApproversFromASource: who may approve as a member of a source's group is told by the replica: those whom the
// source knows as enabled and in its scope, as long as it is read.
func TestApproversFromASource(t *testing.T) {
	t.Parallel()
	f := startIn(t, `site == "here"`)
	for key := range f.staff {
		f.sites[key] = "here"
	}
	f.sites["p01"], f.staff["p02"] = "away", "left"
	f.export()
	f.read()
	f.VerifyEverybody()
	ask := func(person string) (messages.GrantAnswer, error) {
		return activitytest.Call[messages.GrantAnswer](f.SimulatedOrg, f.Acts.Grants.RequestGrant,
			f.RequestOf(person+"@acme.example", "group:lent", time.Hour))
	}
	answer, err := ask("p10")
	require.NoError(t, err)
	require.ElementsMatch(t, []string{f.account("p00"), f.account("p03")}, answer.Grants[0].Approvers)
	f.Advance(3 * time.Hour)
	_, err = ask("p11")
	require.ErrorContains(t, err, "too few people could approve", "nobody decides by what a source said long ago")
}
