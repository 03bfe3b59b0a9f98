package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// members are account IDs by group.
type members map[string]map[string]bool

// expected works out from the policy file and the simulator's state who should be in which target group: a second,
// simpler interpretation of the policy than the product's own.
func expected(p *policy.Policy, truth cloud.State) members {
	active := map[string]bool{}
	for _, person := range truth.People {
		active[person.AccountID] = !person.App && !person.Inactive && !person.Absent && !person.Suspended
	}
	want := members{}
	for _, m := range p.Mappings {
		for _, g := range truth.Groups {
			from := slices.IndexFunc(m.From, func(glob string) bool { return matches(glob, g.Name) })
			if !g.Synced || from < 0 || slices.ContainsFunc(m.Except,
				func(glob string) bool { return matches(glob, g.Name) }) {
				continue
			}
			for _, to := range m.To {
				for _, target := range behind(to, strings.TrimPrefix(g.Name, strings.TrimSuffix(m.From[from], "*")),
					truth) {
					if want[target] == nil {
						want[target] = map[string]bool{}
					}
					for _, id := range g.Members {
						if active[id] {
							want[target][id] = true
						}
					}
				}
			}
		}
	}
	return want
}

func matches(glob, name string) bool {
	ok, _ := path.Match(strings.ToLower(glob), strings.ToLower(name))
	return ok
}

// behind returns the groups that a target stands for; star is what the * of the source matched.
func behind(to access.Entitlement, star string, truth cloud.State) (names []string) {
	if group := to.Group(); group != "" {
		return []string{strings.Replace(group, "*", star, 1)}
	}
	app, site, role, _ := to.AppSiteRole()
	for _, d := range truth.Defaults {
		if d.App == app && d.Site == site && d.Role == "atlassian/"+role {
			names = append(names, d.Group)
		}
	}
	return names
}

// missing returns an error if somebody lacks a target that they should hold.
func (d *demo) missing(truth cloud.State) error {
	has := memberships(truth)
	for target, people := range expected(d.policy, truth) {
		for id := range people {
			if !has[target][id] {
				return fmt.Errorf("%s is not in %s yet", email(truth, id), target)
			}
		}
	}
	return nil
}

// wronglyLost returns an error if somebody lost a membership that the policy gives, or forbids to remove.
func (d *demo) wronglyLost(before, after cloud.State) error {
	want, has := expected(d.policy, after), memberships(after)
	strict := map[string]bool{}
	for _, m := range d.policy.Mappings {
		for _, to := range m.To {
			for _, target := range behind(to, "", after) {
				strict[target] = m.Removals == policy.RemoveAll
			}
		}
	}
	for target, people := range memberships(before) {
		for id := range people {
			if !has[target][id] && (!strict[target] || want[target][id]) {
				return fmt.Errorf("%s was taken out of %s, which the policy does not allow", email(after, id), target)
			}
		}
	}
	return nil
}

// same returns an error if any membership changed outside the source groups.
func same(before, after cloud.State) error {
	was, is := memberships(before), memberships(after)
	for target, people := range was {
		for id := range people {
			if !is[target][id] {
				return fmt.Errorf("%s is no longer in %s", email(before, id), target)
			}
		}
	}
	for target, people := range is {
		if was[target] == nil {
			return fmt.Errorf("the group %s has come", target)
		}
		for id := range people {
			if !was[target][id] {
				return fmt.Errorf("%s has come into %s", email(after, id), target)
			}
		}
	}
	return nil
}

// absent returns an error if somebody is in a group that the identity provider does not own.
func absent(truth cloud.State, address string) error {
	for group, people := range memberships(truth) {
		for id := range people {
			if email(truth, id) == address {
				return fmt.Errorf("%s is still in %s", address, group)
			}
		}
	}
	return nil
}

// memberships returns the members of the groups that no identity provider owns.
func memberships(truth cloud.State) members {
	all := members{}
	for _, g := range truth.Groups {
		if !g.Synced {
			all[g.Name] = map[string]bool{}
			for _, id := range g.Members {
				all[g.Name][id] = true
			}
		}
	}
	return all
}

func email(truth cloud.State, id string) string {
	for _, p := range truth.People {
		if p.AccountID == id {
			return p.Email
		}
	}
	return id
}

// summary shows what the first run did, by target and in numbers, and checks it.
func (d *demo) summary(ctx context.Context, before cloud.State) error {
	after, err := d.Simulator.State(ctx)
	if err != nil {
		return err
	}
	if err := errors.Join(d.missing(after), d.wronglyLost(before, after)); err != nil {
		return err
	}
	was, is := memberships(before), memberships(after)
	d.out.say("\n  Checked against the simulator's own truth: everybody has what the policy gives, nobody lost what it does not take.\n")
	table := tabwriter.NewWriter(d.out.w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "target\tmembers before\tadded\tremoved\tmembers now\t")
	for _, target := range slices.Sorted(maps.Keys(expected(d.policy, after))) {
		added, removed := less(is[target], was[target]), less(was[target], is[target])
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t\n", target, len(was[target]), added, removed, len(is[target]))
	}
	_ = table.Flush()
	runs, err := d.Ask(ctx, messages.ReportInput{Org: org, Kind: messages.ReportRuns})
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(runs.Runs, func(r messages.RunSummary) bool { return r.Run == d.first }) {
		return fmt.Errorf("the ledger has no run %s", d.first)
	}
	var changes, calls int
	for _, r := range runs.Runs {
		changes, calls = changes+r.Counts.Done, calls+r.Counts.Calls
	}
	last := runs.Runs[0].Counts // the newest comes first
	d.out.say("\n  %d runs over %s people made %s changes with %s calls to Atlassian. %d memberships are foreign: nothing in the policy explains\n  them; Castellan did not make them and leaves them alone.",
		len(runs.Runs), thousands(last.People), thousands(changes), thousands(calls), last.Foreign)
	state, err := d.Status(ctx, org)
	if err != nil {
		return err
	}
	d.out.say("\n  Noticed:")
	for _, f := range state.Findings {
		d.out.say("    %s", f)
	}
	return nil
}

// less returns how many are in a and not in b.
func less(a, b map[string]bool) (n int) {
	for id := range a {
		if !b[id] {
			n++
		}
	}
	return n
}
