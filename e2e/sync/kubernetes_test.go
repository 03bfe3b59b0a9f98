package sync_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// kubernetes returns a large open-source organization; the folder CASTELLAN_ORGS has its org file. Most people are in
// place already.
func kubernetes(t *testing.T) (org cloud.OrgFile) {
	t.Helper()
	folder := os.Getenv("CASTELLAN_ORGS")
	if folder == "" {
		t.Skip("CASTELLAN_ORGS is not set: it names the folder with the org file kubernetes.json")
	}
	text, err := os.ReadFile(filepath.Join(folder, "kubernetes.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &org))
	return mostlyFilled(org, openSource, map[string]string{
		"default:jira/acme/user": "jira-users-acme", "default:jira/beta/user": "jira-users-beta",
		"default:confluence/acme/user": "confluence-users-acme", "default:confluence/beta/user": "confluence-users-beta",
		"default:jsm/acme/user": "jira-servicemanagement-users-acme",
		"default:jsm/beta/user": "jira-servicemanagement-users-beta",
	})
}

// openSource maps every group of that organization, many to many.
var openSource = []mapping{
	{Name: "everybody reads the wiki", From: []string{"all-*"}, Except: []string{"*-incubator"},
		To: []string{"default:confluence/acme/user"}},
	{Name: "the core", From: []string{"kubernetes-*", "k8s*"}, Except: []string{"kubernetes-sigs-*", "*-bots"},
		To: []string{"default:jira/acme/user", "default:confluence/acme/user"}},
	{Name: "sub-projects", From: []string{"kubernetes-sigs-*"},
		Except: []string{"*-bots", "kubernetes-sigs-cluster-api*"}, To: []string{"default:jira/beta/user"}},
	{Name: "cluster api", From: []string{"kubernetes-sigs-cluster-api*"},
		To: []string{"default:jira/beta/user", "default:confluence/beta/user", "default:jsm/acme/user"}},
	{Name: "administrators", From: []string{"*-admins"},
		To: []string{"default:jsm/acme/user", "default:jira/acme/user"}},
	{Name: "maintainers", From: []string{"*-maintainers*"}, Except: []string{"kubernetes-sigs-*"},
		To: []string{"default:confluence/beta/user"}},
	{Name: "reviewers", From: []string{"*-reviewers*", "*-approvers*"},
		To: []string{"default:confluence/beta/user", "default:jira/acme/user"}},
	{Name: "special interest groups", From: []string{"sig-*"}, To: []string{"default:jira/acme/user"}},
	{Name: "releases", From: []string{"*release*"}, To: []string{"default:jsm/acme/user", "default:jsm/beta/user"}},
	{Name: "working groups", From: []string{"wg-*", "*-wg*"}, To: []string{"default:confluence/acme/user"}},
	{Name: "bots", From: []string{"*-bots", "bots"}, To: []string{"default:jsm/beta/user"}},
	{Name: "all the rest", From: []string{"*"}, To: []string{"default:confluence/beta/user"}, Except: []string{
		"all-kubernetes*", "all-etcd-io", "kubernetes-*", "k8s*", "*-admins", "*-maintainers*", "*-reviewers*",
		"*-approvers*", "sig-*", "*release*", "wg-*", "*-wg*", "*bots"}},
	{Name: "a leftover", From: []string{"all-*-incubator"}, To: []string{"default:confluence/beta/user"}},
}

func TestKubernetesOrganization(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	file := kubernetes(t)
	o := start(t, "--org", suite.OrgFile(t, file), "--sites", "acme,beta", "--apps", "jira,confluence,jsm")
	p := policyFile{mappings: openSource, guard: wide,
		more: map[string]any{"sync": map[string]any{"feed": "5s", "every": "1h", "inFlight": 32}}}.adopting()

	state := o.settled(p)
	o.requireInStep(openSource, nil)
	require.Equal(t, len(file.People), state.LastFull.Counts.People)
	require.Empty(t, state.Findings, "every group is covered")
	o.requireClean(openSource)

	t.Log("in step, another full verification writes nothing")
	o.resetStats()
	state = o.syncNow()
	require.Zero(t, o.stats().Writes)
	require.Equal(t, messages.RunDone, state.LastFull.State)
	require.Zero(t, state.LastFull.Counts.Adds+state.LastFull.Counts.Removals)

	before := o.state()
	wanted := due(t, before, openSource)
	newcomer, guest, leaver, stayer := rolesToPlay(t, file, before, wanted)
	const into = "kubernetes-sigs-cluster-api-admins"

	t.Logf("%s joins a source group: a member of every target that it gives", newcomer)
	o.join(into, newcomer)
	o.eventually(func() error { return inStep(t, o.state(), openSource, nil) })
	for _, target := range []string{"jira-users-beta", "confluence-users-beta", "jira-servicemanagement-users-acme",
		"jira-users-acme"} {
		require.True(t, o.in(target, newcomer), target)
	}

	t.Logf("%s leaves every source group: out of every target", leaver)
	for _, g := range file.Groups {
		if slices.Contains(g.Members, leaver) {
			o.leave(g.Name, leaver)
		}
	}
	o.eventually(func() error { return inStep(t, o.state(), openSource, nil) })
	for target := range wanted {
		require.False(t, o.in(target, leaver), target)
	}

	t.Logf("%s leaves one of two source groups: keeps the target; who was invited stays, and is reported", stayer.key)
	o.leave(stayer.from, stayer.key)
	o.invite("jira-users-beta", guest)
	state = o.syncNow()
	require.True(t, o.in(stayer.target, stayer.key))
	o.requireInStep(openSource, foreignMembers{"jira-users-beta": {guest}})
	require.Equal(t, 1, state.LastFull.Counts.Foreign)
	answer, err := o.Ask(t.Context(),
		messages.ReportInput{Org: org, Kind: messages.ReportForeign, Target: "default:jira/beta/user"})
	require.NoError(t, err)
	require.Len(t, answer.Foreign, 1)
	require.Equal(t, person(t, before, guest).AccountID, answer.Foreign[0].Person)
	require.Equal(t, access.Entitlement("group:jira-users-beta"), answer.Foreign[0].Target)
	o.requireClean(openSource)
}

// retainedMember is somebody with a target by two source groups.
type retainedMember struct{ key, from, target string }

// rolesToPlay finds two people who hold nothing but the wiki, one who holds some more by few groups, and one who has a
// target by two groups of one mapping.
func rolesToPlay(t *testing.T, file cloud.OrgFile, state cloud.State, wanted map[string]map[string]bool) (newcomer,
	guest, leaver string, stayer retainedMember) {
	t.Helper()
	in, sigs := map[string]int{}, map[string][]string{}
	for _, g := range file.Groups {
		for _, key := range g.Members {
			in[key]++
			if matchesAny([]string{"sig-*"}, g.Name) {
				sigs[key] = append(sigs[key], g.Name)
			}
		}
	}
	for _, key := range file.People {
		holds, account := 0, person(t, state, key).AccountID
		for _, members := range wanted {
			if members[account] {
				holds++
			}
		}
		switch {
		case newcomer == "" && holds == 1:
			newcomer = key
		case guest == "" && holds == 1:
			guest = key
		case leaver == "" && holds > 1 && in[key] <= 5:
			leaver = key
		case stayer.key == "" && len(sigs[key]) > 1:
			stayer = retainedMember{key, sigs[key][0], "jira-users-acme"}
		}
	}
	require.NotEmpty(t, newcomer)
	require.NotEmpty(t, guest)
	require.NotEmpty(t, leaver)
	require.NotEmpty(t, stayer.key)
	return newcomer, guest, leaver, stayer
}
