package sync_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// shop is a small organization: engineers and operators overlap in Jira, operators and sellers in Confluence.
var shop = []mapping{
	{Name: "engineering", From: []string{"eng-*"}, Except: []string{"eng-alumni"},
		To: []string{"default:jira/acme/user"}},
	{Name: "operations", From: []string{"ops"}, To: []string{"default:jira/acme/user", "default:confluence/acme/user"}},
	{Name: "sales", From: []string{"sales"}, To: []string{"default:confluence/acme/user"}},
}

const (
	jira       = "jira-users-acme"
	confluence = "confluence-users-acme"
)

// shopFile returns the shop with most people in place: they are adopted rather than added.
func shopFile() cloud.OrgFile {
	return mostlyFilled(emptyShop(), shop, map[string]string{
		"default:jira/acme/user": jira, "default:confluence/acme/user": confluence,
	})
}

func emptyShop() cloud.OrgFile {
	people := crowd(60)
	return cloud.OrgFile{
		People: append(people, "boss"), Admins: []string{"boss"},
		Groups: []cloud.OrgGroup{
			{Name: "eng-core", Members: people[:20]},
			{Name: "eng-web", Members: people[15:30]},
			{Name: "eng-alumni", Members: people[55:]},
			{Name: "ops", Members: people[25:40]},
			{Name: "sales", Members: append(people[35:50:50], people[:5]...)},
		},
	}
}

// atlassianFault is one way in which Atlassian fails.
type atlassianFault struct {
	name     string
	faults   []cloud.Fault
	settings map[string]any // switched on with the faults
	mended   map[string]any // settings that undo them
	says     string         // what the status says while it lasts
	later    bool           // it cannot be noticed: what it hides is done once it is over
}

func onPeople(kind string, params cloud.FaultParams) []cloud.Fault {
	return []cloud.Fault{{Operations: []string{"users.search"}, Kind: kind, Params: params, Seed: 5}}
}

func onGroups(kind string, params cloud.FaultParams) []cloud.Fault {
	return []cloud.Fault{{Operations: []string{"groups.search"}, Kind: kind, Params: params, Seed: 3}}
}

func twice(faults []cloud.Fault) []cloud.Fault {
	for i := range faults {
		faults[i].Count = 2
	}
	return faults
}

// onWrites strikes the first additions and the first removals.
func onWrites(kind string, params cloud.FaultParams) []cloud.Fault {
	return twice([]cloud.Fault{
		{Operations: []string{"memberships.add"}, Kind: kind, Params: params},
		{Operations: []string{"memberships.remove"}, Kind: kind, Params: params},
	})
}

func TestReadsThatLie(t *testing.T) {
	t.Parallel()
	survive(t, []atlassianFault{
		{name: "empty pages, more promised", faults: onPeople(cloud.FaultEmptyPage, cloud.FaultParams{Next: "keep"}),
			says: "source-suspect"},
		{name: "one empty page", faults: []cloud.Fault{{Operations: []string{"users.search"},
			Kind: cloud.FaultEmptyPage, After: 1, Count: 1}}, later: true},
		{name: "an empty page, nothing more", faults: onPeople(cloud.FaultEmptyPage, cloud.FaultParams{Next: "drop"}),
			says: "source-suspect"},
		{name: "people missing", faults: onPeople(cloud.FaultTruncatedPage, cloud.FaultParams{Next: "keep"}),
			says: "source-suspect"},
		{name: "people missing, nothing more",
			faults: onPeople(cloud.FaultTruncatedPage, cloud.FaultParams{Next: "drop", Share: 0.2}),
			says:   "source-suspect"},
		{name: "groups of people missing", faults: onPeople(cloud.FaultTruncatedGroups, cloud.FaultParams{}),
			later: true},
		{name: "no groups", faults: onGroups(cloud.FaultEmptyPage, cloud.FaultParams{Next: "drop"}),
			says: "source-unmatched"},
		{name: "some groups missing", faults: onGroups(cloud.FaultTruncatedPage, cloud.FaultParams{}),
			says: "source-unmatched"},
		{name: "counts disagree", faults: onGroups(cloud.FaultCountsDisagree, cloud.FaultParams{}),
			says: "source-suspect"},
	})
}

func TestReadsOfOldCopies(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	old := cloud.Duration(time.Hour)
	surviveFrom(t, emptyShop(), wideShop(), []atlassianFault{
		{name: "of some groups", faults: onPeople(cloud.FaultStaleRead, cloud.FaultParams{Age: old, Share: 0.5}),
			later: true},
		{name: "of all groups", faults: onPeople(cloud.FaultStaleRead, cloud.FaultParams{Age: old}), later: true},
	})
}

func TestReadsThatFail(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	survive(t, []atlassianFault{
		{name: "a cursor repeats", faults: twice(onPeople(cloud.FaultRepeatedCursor, cloud.FaultParams{}))},
		{name: "429 with Retry-After",
			faults: twice(onPeople(cloud.FaultStatus, cloud.FaultParams{Status: 429, RetryAfter: "1"}))},
		{name: "500", faults: twice(onPeople(cloud.FaultStatus, cloud.FaultParams{Status: 500}))},
		{name: "503 with Retry-After",
			faults: twice(onPeople(cloud.FaultStatus, cloud.FaultParams{Status: 503, RetryAfter: "1"}))},
		{name: "a gateway's page", faults: twice(onPeople(cloud.FaultHTML, cloud.FaultParams{}))},
		{name: "broken JSON", faults: twice(onPeople(cloud.FaultGarbage, cloud.FaultParams{}))},
		{name: "broken JSON about groups", faults: twice(onGroups(cloud.FaultGarbage, cloud.FaultParams{}))},
		{name: "Atlassian is down", faults: onPeople(cloud.FaultStatus, cloud.FaultParams{Status: 503}),
			says: "Unavailable"},
		{
			name: "the key expires on the way",
			faults: []cloud.Fault{{Operations: []string{"users.search"}, Kind: cloud.FaultExpireKey, After: 1,
				Count: 1}},
			mended: map[string]any{"keys": map[string]string{stack.OrgKey: "valid"}}, says: "KeyRefused",
		},
	})
}

// TestTooManyCalls stands alone, for it waits until the rate limit's next minute, as the answer's headers ask.
func TestTooManyCalls(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	survive(t, []atlassianFault{
		{name: "429 without Retry-After",
			faults: []cloud.Fault{{Operations: []string{"users.search"}, Kind: cloud.FaultStatus,
				Params: cloud.FaultParams{Status: 429}, Count: 1}}},
	})
}

func TestWritesThatFail(t *testing.T) {
	t.Parallel()
	survive(t, []atlassianFault{
		{name: "429 with Retry-After",
			faults: onWrites(cloud.FaultStatus, cloud.FaultParams{Status: 429, RetryAfter: "1"})},
		{name: "500", faults: onWrites(cloud.FaultStatus, cloud.FaultParams{Status: 500})},
		{name: "503 although done", faults: onWrites(cloud.FaultStatus, cloud.FaultParams{Status: 503, Done: true})},
		{name: "a gateway's page although done", faults: onWrites(cloud.FaultHTML, cloud.FaultParams{Done: true})},
		{name: "broken answers", faults: onWrites(cloud.FaultGarbage, cloud.FaultParams{})},
		{name: "lost answers", faults: onWrites(cloud.FaultTimeoutAfter, cloud.FaultParams{})},
		{name: "lost requests", faults: onWrites(cloud.FaultTimeoutBefore, cloud.FaultParams{})},
		{
			name: "no licences left", settings: map[string]any{"licences": map[string]int{"jira/acme": 0,
				"confluence/acme": 0}},
			mended: map[string]any{"licences": map[string]int{"jira/acme": -1, "confluence/acme": -1}}, says: "licence",
		},
	})
}

// survive has the sources change while Atlassian fails, in one way after the other: nobody may lose what a source still
// gives, nothing known to be done may be written again, and once the trouble is over everything is in step. The guard's
// limits are wide, so that it is the evidence that protects. A short run tries every fifth way.
func survive(t *testing.T, troubles []atlassianFault) {
	t.Helper()
	surviveFrom(t, shopFile(), wideShop().adopting(), troubles)
}

func wideShop() policyFile {
	return policyFile{mappings: shop, guard: wide, more: map[string]any{"ignore": []string{"eng-alumni"}}}
}

func surviveFrom(t *testing.T, file cloud.OrgFile, p policyFile, troubles []atlassianFault) {
	t.Helper()
	o := start(t, "--org", suite.OrgFile(t, file))
	o.set(map[string]any{"maxPage": 20})
	o.settled(p)
	o.requireInStep(shop, nil)
	for i, trouble := range troubles {
		if testing.Short() && i%5 != 0 {
			continue
		}
		calm := t.Run(trouble.name, func(t *testing.T) {
			o := &testOrg{Stack: o.Stack, t: t, idp: o.idp}
			o.resetStats()
			for _, f := range trouble.faults {
				require.NoError(t, o.Simulator.Fault(t.Context(), f))
			}
			if trouble.settings != nil {
				o.set(trouble.settings)
			}
			o.turnOver()
			var state messages.OrgSyncState
			o.eventually(func() error { // a read lies at random: the run that is seen may have been lucky
				if state = o.syncWritten(); !strings.Contains(words(state), trouble.says) {
					return fmt.Errorf("nothing says %q: %s", trouble.says, words(state))
				}
				return nil
			})
			if trouble.says == "" && !trouble.later {
				o.eventually(func() error { return inStep(t, o.state(), shop, nil) }) // Castellan gets through it
			}
			o.requireCleanAfter(trouble)
			o.requireStruck()

			require.NoError(t, o.Simulator.ClearFaults(t.Context()))
			if trouble.mended != nil {
				o.set(trouble.mended)
			}
			state = o.syncNow()
			o.requireInStep(shop, nil)
			o.requireCleanAfter(trouble)
			require.Nil(t, state.Problem)
			require.Empty(t, state.Findings)
			o.eventually(func() error { // the feed is watched again, too
				if state := o.status(); state.State != messages.StateOK {
					return fmt.Errorf("the organization is in state %s: %s", state.State, state.Feed.Problem)
				}
				return nil
			})
		})
		if !calm {
			return // the next one would begin in disorder
		}
	}
}

// requireCleanAfter is requireClean, but where reads hid memberships it is right to write them again.
func (o *testOrg) requireCleanAfter(trouble atlassianFault) {
	o.t.Helper()
	if !trouble.later {
		o.requireClean(shop)
		return
	}
	require.Empty(o.t, wrongful(o.t, o.state(), shop, o.stats().WritesByMembership),
		"people lost what a source still gives them")
}

// requireStruck checks that the faults did something.
func (o *testOrg) requireStruck() {
	o.t.Helper()
	faults, err := o.Simulator.Faults(o.t.Context())
	require.NoError(o.t, err)
	for _, f := range faults {
		require.Positive(o.t, f.Struck, "the fault on %v never struck", f.Operations)
	}
}

// turnOver changes the sources: some leave, some come, one moves between groups that both give Jira, and one who is in
// two such groups leaves one of them. Every group is as large afterwards as before, so that counts alone tell nothing.
func (o *testOrg) turnOver() {
	o.t.Helper()
	state := o.state()
	sources := map[string]string{}
	for _, p := range state.People {
		for _, g := range state.Groups {
			if g.Synced && slices.Contains(g.Members, p.AccountID) {
				sources[p.Name] += " " + g.Name
			}
		}
	}
	find := func(in string) string {
		for _, p := range state.People {
			if p.SCIMUserID != "" && p.Name != "boss" && sources[p.Name] == in {
				sources[p.Name] = "taken"
				return p.Name
			}
		}
		require.Fail(o.t, "nobody is in just these: "+in)
		return ""
	}
	engineer, designer, seller := find(" eng-core"), find(" eng-web"), find(" sales")
	mover, stayer := find(" eng-core"), find(" eng-core eng-web")
	both, newEngineer, newSeller := find(""), find(""), find("")
	o.leave("eng-core", engineer, mover)
	o.leave("eng-web", designer, stayer)
	o.leave("sales", seller)
	o.join("eng-web", mover, both)
	o.join("eng-core", newEngineer, both)
	o.join("sales", newSeller)
}

// words returns all that the status says about trouble.
func words(s messages.OrgSyncState) string {
	all := slices.Clone(s.Findings)
	if s.Problem != nil {
		all = append(all, s.Problem.Kind+": "+s.Problem.Message)
	}
	for _, run := range []*messages.RunSummary{s.Running, s.LastRun, s.LastFull} {
		if run != nil {
			all = append(all, run.Findings...)
			if run.Counts.Shortage > 0 {
				all = append(all, fmt.Sprintf("%d short of licences", run.Counts.Shortage))
			}
			if run.Counts.Refused > 0 {
				all = append(all, fmt.Sprintf("%d refused", run.Counts.Refused))
			}
		}
	}
	return strings.Join(all, "\n")
}
