package sync_test

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/simulator/cloud"
)

// What should be is calculated here from the truth and the mappings alone, without any of the product's own packages.

// due returns who should be in each target group because of the mappings: account ids by group name.
func due(t *testing.T, state cloud.State, mappings []mapping) map[string]map[string]bool {
	t.Helper()
	wanted := map[string]map[string]bool{}
	for _, m := range mappings {
		for _, to := range m.To {
			for _, target := range liveGroups(t, state, to) {
				if wanted[target] == nil {
					wanted[target] = map[string]bool{}
				}
			}
		}
		for _, g := range state.Groups {
			if !g.Synced || !matchesAny(m.From, g.Name) || matchesAny(m.Except, g.Name) {
				continue
			}
			for _, to := range m.To {
				for _, target := range liveGroups(t, state, to) {
					for _, account := range g.Members {
						wanted[target][account] = true
					}
				}
			}
		}
	}
	return wanted
}

func matchesAny(globs []string, name string) bool {
	for _, glob := range globs {
		hit, err := path.Match(glob, name)
		if err != nil {
			panic(err) // only if a test writes a wrong glob
		}
		if hit {
			return true
		}
	}
	return false
}

// liveGroups returns the groups that a target of a policy means now.
func liveGroups(t *testing.T, state cloud.State, target string) []string {
	t.Helper()
	if name, isGroup := strings.CutPrefix(target, "group:"); isGroup {
		return []string{name}
	}
	parts := strings.Split(strings.TrimPrefix(target, "default:"), "/")
	require.Len(t, parts, 3, "target %s", target)
	owners := map[string]string{"jira": "jira-software", "jsm": "jira-servicedesk"}
	app := parts[0]
	if owner, known := owners[app]; known {
		app = owner
	}
	var names []string
	for _, d := range state.Defaults {
		if d.App == app && d.Site == parts[1] && d.Role == "atlassian/"+parts[2] {
			names = append(names, d.Group)
		}
	}
	require.NotEmpty(t, names, "no group is default for %s", target)
	return names
}

// foreignMembers are memberships that a test made by invitation: keys of people by group name.
type foreignMembers map[string][]string

// inStep reports whether every target has exactly the members that the mappings want, and the strangers.
func inStep(t *testing.T, state cloud.State, mappings []mapping, invited foreignMembers) error {
	t.Helper()
	var problems []error
	wanted := due(t, state, mappings)
	for _, target := range slices.Sorted(maps.Keys(wanted)) {
		should := maps.Clone(wanted[target])
		for _, key := range invited[target] {
			should[person(t, state, key).AccountID] = true
		}
		is := map[string]bool{}
		for _, account := range group(t, state, target).Members {
			is[account] = true
		}
		lacks, extra := missingFrom(should, is), missingFrom(is, should)
		if len(lacks)+len(extra) > 0 {
			problems = append(problems, fmt.Errorf("%s has %d members instead of %d: it lacks %v and has %v too many",
				target, len(is), len(should), firstFew(lacks), firstFew(extra)))
		}
	}
	return errors.Join(problems...)
}

func missingFrom(these, those map[string]bool) (missing []string) {
	for _, account := range slices.Sorted(maps.Keys(these)) {
		if !those[account] {
			missing = append(missing, account)
		}
	}
	return missing
}

func firstFew(list []string) []string { return list[:min(len(list), 5)] }

// requireInStep checks the truth at Atlassian against the mappings.
func (o *testOrg) requireInStep(mappings []mapping, invited foreignMembers) {
	o.t.Helper()
	require.NoError(o.t, inStep(o.t, o.state(), mappings, invited))
}

// wrongful lists the removals of people who should be in the target: the sources must not have changed since.
func wrongful(t *testing.T, state cloud.State, mappings []mapping, writes []cloud.MembershipWrite) (found []string) {
	t.Helper()
	wanted := due(t, state, mappings)
	for _, w := range writes {
		if w.Operation == "memberships.remove" && w.Changed && wanted[w.Group][w.Account] {
			found = append(found, w.Account+" from "+w.Group)
		}
	}
	return found
}

// repeated lists the writes that were made again although the first was answered with success and nothing undid it.
func repeated(writes []cloud.MembershipWrite) (found []string) {
	type key struct{ group, account string }
	known := map[key]string{}
	for _, w := range writes {
		if w.Operation != "memberships.add" && w.Operation != "memberships.remove" {
			continue
		}
		k := key{w.Group, w.Account}
		if known[k] == w.Operation {
			found = append(found, fmt.Sprintf("%s %s in %s (%s)", w.Operation, w.Account, w.Group, w.Status))
		}
		if w.Status == "204" {
			known[k] = w.Operation
		} else if known[k] != w.Operation {
			delete(known, k)
		}
	}
	return found
}

// requireClean checks what was written since the statistics were reset.
func (o *testOrg) requireClean(mappings []mapping) {
	o.t.Helper()
	writes := o.stats().WritesByMembership
	require.Empty(o.t, wrongful(o.t, o.state(), mappings, writes), "people lost what a source still gives them")
	require.Empty(o.t, repeated(writes), "writes were repeated that were known to be done")
}
