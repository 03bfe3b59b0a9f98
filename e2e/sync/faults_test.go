package sync_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// shop is a small organization: engineers and operators overlap in Jira, operators and sellers in Confluence.
var shop = []mapping{
	{Name: "engineering", From: []string{"eng-*"}, Except: []string{"eng-alumni"}, To: []string{"default:jira/acme/user"}},
	{Name: "operations", From: []string{"ops"}, To: []string{"default:jira/acme/user", "default:confluence/acme/user"}},
	{Name: "sales", From: []string{"sales"}, To: []string{"default:confluence/acme/user"}},
}

const (
	jira       = "jira-users-acme"
	confluence = "confluence-users-acme"
)

func shopFile() cloud.OrgFile {
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

// trouble is one way in which Atlassian fails.
type trouble struct {
	name     string
	faults   []cloud.Fault
	settings map[string]any // switched on with the faults
	mended   map[string]any // settings that undo them
	says     string         // what the status says while it lasts
	later    bool           // it cannot be noticed: what it hides is done once it is over
}

func onPeople(kind string, params cloud.FaultParams) []cloud.Fault {
	return []cloud.Fault{{Operations: []string{"users.search"}, Kind: kind, Params: params, Seed: 7}}
}

func twice(faults []cloud.Fault) []cloud.Fault {
	for i := range faults {
		faults[i].Count = 2
	}
	return faults
}

func onWrites(kind string, count int, params cloud.FaultParams) []cloud.Fault {
	return []cloud.Fault{
		{Operations: []string{"memberships.add"}, Kind: kind, Count: count, Params: params},
		{Operations: []string{"memberships.remove"}, Kind: kind, Count: count, Params: params},
	}
}

var troubles = []trouble{
	{name: "empty pages, more promised", faults: onPeople(cloud.FaultEmptyPage, cloud.FaultParams{Next: "keep"}), says: "suspect"},
	{name: "an empty page, nothing more", faults: onPeople(cloud.FaultEmptyPage, cloud.FaultParams{Next: "drop"}), says: "suspect"},
	{name: "people missing", faults: onPeople(cloud.FaultTruncatedPage, cloud.FaultParams{Next: "keep"}), says: "suspect"},
	{name: "the read ends early", faults: onPeople(cloud.FaultTruncatedPage, cloud.FaultParams{Next: "drop", Share: 0.2}), says: "suspect"},
	{name: "groups of people missing", faults: onPeople(cloud.FaultTruncatedGroups, cloud.FaultParams{}), says: "suspect"},
	{name: "a list of groups is empty", faults: []cloud.Fault{{Operations: []string{"groups.search"}, Kind: cloud.FaultEmptyPage, Params: cloud.FaultParams{Next: "drop"}}}, says: "source-unmatched"},
	{name: "some groups missing", faults: []cloud.Fault{{Operations: []string{"groups.search"}, Kind: cloud.FaultTruncatedPage, Seed: 3}}, says: "source-unmatched"},
	{name: "counts disagree", faults: []cloud.Fault{{Operations: []string{"groups.search"}, Kind: cloud.FaultCountsDisagree}}, says: "suspect"},
	{name: "old memberships of some groups", faults: onPeople(cloud.FaultStaleRead, cloud.FaultParams{Age: cloud.Duration(time.Hour), Share: 0.5}), later: true},
	{name: "old memberships of all groups", faults: onPeople(cloud.FaultStaleRead, cloud.FaultParams{Age: cloud.Duration(time.Hour)}), later: true},
	{name: "a cursor repeats", faults: twice(onPeople(cloud.FaultRepeatedCursor, cloud.FaultParams{}))},
	{name: "429 on reads, with Retry-After", faults: twice(onPeople(cloud.FaultStatus, cloud.FaultParams{Status: 429, RetryAfter: "1"}))},
	{name: "500 on reads", faults: twice(onPeople(cloud.FaultStatus, cloud.FaultParams{Status: 500}))},
	{name: "503 on reads", faults: twice(onPeople(cloud.FaultStatus, cloud.FaultParams{Status: 503, RetryAfter: "1"}))},
	{name: "a gateway's page", faults: twice(onPeople(cloud.FaultHTML, cloud.FaultParams{}))},
	{name: "broken JSON", faults: twice(onPeople(cloud.FaultGarbage, cloud.FaultParams{}))},
	{name: "429 on writes, with Retry-After", faults: onWrites(cloud.FaultStatus, 2, cloud.FaultParams{Status: 429, RetryAfter: "1"})},
	{name: "500 on writes", faults: onWrites(cloud.FaultStatus, 2, cloud.FaultParams{Status: 500})},
	{name: "503 on writes that were done", faults: onWrites(cloud.FaultStatus, 2, cloud.FaultParams{Status: 503, Done: true})},
	{name: "a gateway's page on writes that were done", faults: onWrites(cloud.FaultHTML, 1, cloud.FaultParams{Done: true})},
	{name: "broken answers to writes", faults: onWrites(cloud.FaultGarbage, 2, cloud.FaultParams{})},
	{name: "lost answers to writes", faults: onWrites(cloud.FaultTimeoutAfter, 2, cloud.FaultParams{})},
	{name: "lost writes", faults: onWrites(cloud.FaultTimeoutBefore, 2, cloud.FaultParams{})},
	{
		name: "no licences left", settings: map[string]any{"licences": map[string]int{"jira/acme": 0, "confluence/acme": 0}},
		mended: map[string]any{"licences": map[string]int{"jira/acme": -1, "confluence/acme": -1}}, says: "licence",
	},
	{
		name: "the key expires on the way", faults: []cloud.Fault{{Operations: []string{"users.search"}, Kind: cloud.FaultExpireKey, After: 1, Count: 1}},
		mended: map[string]any{"keys": map[string]string{"sim-org-key": "valid"}}, says: "make a new one",
	},
}

func TestTrouble(t *testing.T) {
	t.Parallel()
	w := start(t, "--org", orgFile(t, shopFile()))
	w.set(map[string]any{"maxPage": 20})
	w.settled(policyFile{mappings: shop, guard: wide, more: map[string]any{"ignore": []string{"eng-alumni"}}})
	w.requireInStep(shop, nil)
	for _, trouble := range troubles {
		if only := os.Getenv("ONLY"); only != "" && !strings.Contains(trouble.name, only) {
			continue
		}
		ok := t.Run(trouble.name, func(t *testing.T) {
			began := time.Now()
			w := &world{Stack: w.Stack, t: t, idp: w.idp}
			w.resetStats()
			for _, f := range trouble.faults {
				require.NoError(t, w.Simulator.Fault(t.Context(), f))
			}
			if trouble.settings != nil {
				w.set(trouble.settings)
			}
			w.turnOver()
			state := w.syncWritten()
			t.Logf("%s: state %s problem %v feed %v findings %v last %+v", time.Since(began), state.State, state.Problem, state.Feed.Problem, state.Findings, state.LastRun)
			w.requireClean(shop)
			faults, err := w.Simulator.Faults(t.Context())
			require.NoError(t, err)
			for _, f := range faults {
				require.Positive(t, f.Struck, "the fault on %v never struck", f.Operations)
			}
			require.Contains(t, words(state), trouble.says)
			if trouble.says == "" && !trouble.later {
				w.requireInStep(shop, nil) // Castellan got through it
			}

			require.NoError(t, w.Simulator.ClearFaults(t.Context()))
			if trouble.mended != nil {
				w.set(trouble.mended)
			}
			state = w.syncNow()
			t.Logf("%s: state %s problem %v last %+v", time.Since(began), state.State, state.Problem, state.LastRun)
			w.requireInStep(shop, nil)
			w.requireClean(shop)
			require.Nil(t, state.Problem)
			require.Empty(t, state.Findings)
		})
		if !ok {
			return // the next one would begin in disorder
		}
	}
}

// turnOver changes the sources: one person leaves, one comes, one moves between groups that both give Jira, and one who
// is in two groups leaves one of them.
func (w *world) turnOver() {
	w.t.Helper()
	state := w.state()
	sources := map[string][]string{}
	for _, p := range state.People {
		for _, g := range state.Groups {
			if g.Synced && slices.Contains(g.Members, p.AccountID) {
				sources[p.Name] = append(sources[p.Name], g.Name)
			}
		}
	}
	find := func(what string, want func([]string) bool) string {
		for _, p := range state.People {
			if p.SCIMUserID != "" && p.Name != "boss" && want(sources[p.Name]) {
				sources[p.Name] = []string{"taken"}
				return p.Name
			}
		}
		require.Fail(w.t, "nobody fits: "+what)
		return ""
	}
	leaver := find("only in eng-core", func(in []string) bool { return slices.Equal(in, []string{"eng-core"}) })
	mover := find("only in eng-core", func(in []string) bool { return slices.Equal(in, []string{"eng-core"}) })
	stayer := find("in both", func(in []string) bool { return slices.Contains(in, "eng-web") && len(in) == 2 })
	seller := find("only in sales", func(in []string) bool { return slices.Equal(in, []string{"sales"}) })
	newcomers := []string{
		find("in nothing", func(in []string) bool { return len(in) == 0 }),
		find("in nothing", func(in []string) bool { return len(in) == 0 }),
	}
	w.leave("eng-core", leaver)
	w.leave("sales", seller)
	w.leave("eng-core", mover)
	w.join("eng-web", mover)
	w.leave("eng-web", stayer)
	w.join("eng-core", newcomers...)
	w.join("sales", newcomers[0])
}

// words is all that the status says about trouble.
func words(s messages.OrgSyncState) string {
	all := slices.Clone(s.Findings)
	if s.Problem != nil {
		all = append(all, s.Problem.Kind+": "+s.Problem.Message)
	}
	for _, run := range []*messages.RunSummary{s.Running, s.LastFull} {
		if run != nil {
			all = append(all, run.Findings...)
			if run.Counts.Shortage > 0 {
				all = append(all, fmt.Sprintf("%d short of licences", run.Counts.Shortage))
			}
		}
	}
	return strings.Join(all, "\n")
}
