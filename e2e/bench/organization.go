package main

import (
	"context"
	"fmt"
	"os"
	"path"
	"strings"
	"time"

	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

const org = "bench"

// bench is a running organization in step with its policy.
type bench struct {
	*stack.Stack
	size    size
	latency time.Duration
}

// gives says which source groups give which targets: ten targets, as on two sites with three apps.
var gives = []struct {
	from []string
	to   []string
}{
	{[]string{"eng-*", "ops-*"}, []string{"jira/acme", "confluence/acme"}},
	{[]string{"sales-*", "fin-*"}, []string{"jira/beta", "confluence/beta"}},
	{[]string{"support-*"}, []string{"jsm/acme"}},
	{[]string{"sig-*"}, []string{"jsm/beta"}},
	{[]string{"data-*"}, []string{"bench-1"}},
	{[]string{"hr-*"}, []string{"bench-2"}},
	{[]string{"legal-*"}, []string{"bench-3"}},
	{[]string{"mkt-*"}, []string{"bench-4"}},
}

// groupOf returns the simulated group behind a target.
func groupOf(target string) string {
	app, site, isDefault := strings.Cut(target, "/")
	if !isDefault {
		return target
	}
	return strings.Replace(app, "jsm", "jira-servicemanagement", 1) + "-users-" + site
}

func policy(orgID string, feed time.Duration) string {
	var b strings.Builder
	fmt.Fprintf(&b, "version: 1\norganization: {name: %s, id: %s, key: \"env:%s\"}\n", org, orgID, stack.KeyVariable)
	fmt.Fprintf(&b, "guard:\n  adopt: auto\n  run: {removals: 100000, share: 100%%}\n  target: {removals: 100000, share: 100%%}\n  lastAccess: {people: 100000}\n  window: {removals: 100000, share: 100%%}\n  source: {share: 100%%}\n  flapping: 0\n")
	fmt.Fprintf(&b, "sync: {every: 24h, feed: %s}\nignore: [\"*\"]\nmappings:\n", feed)
	for i, g := range gives {
		fmt.Fprintf(&b, "  - name: m%d\n    from: [\"%s\"]\n    adopt: true\n    to:\n", i,
			strings.Join(g.from, `", "`))
		for _, to := range g.to {
			if strings.Contains(to, "/") {
				fmt.Fprintf(&b, "      - \"default:%s/user\"\n", to)
			} else {
				fmt.Fprintf(&b, "      - \"group:%s\"\n", to)
			}
		}
	}
	return b.String()
}

// setUp starts everything and brings the simulated memberships in step behind Castellan's back, so that what is
// measured is a verification and not a first fill.
func setUp(ctx context.Context, dir, bin string, s size, latency time.Duration) (*bench, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	say("%s: starting", s)
	st, err := stack.Start(ctx, dir, bin, false, "--people", fmt.Sprint(s.people), "--groups", fmt.Sprint(s.groups),
		"--memberships", fmt.Sprint(s.memberships), "--sites", "acme,beta", "--seed", "7")
	if err != nil {
		return nil, err
	}
	b := &bench{Stack: st, size: s, latency: latency}
	if err := b.fill(ctx); err != nil {
		b.Stop()
		return nil, err
	}
	return b, nil
}

func (b *bench) fill(ctx context.Context) error {
	idp, err := b.Simulator.SCIM()
	if err != nil {
		return err
	}
	if _, err := idp.CreateGroup(ctx, scimGroup("data-bench")); err != nil {
		return err
	}
	for _, name := range []string{"bench-1", "bench-2", "bench-3", "bench-4"} {
		if err := b.Simulator.LocalGroup(ctx, name); err != nil {
			return err
		}
	}
	state, err := b.Simulator.State(ctx)
	if err != nil {
		return err
	}
	for _, g := range gives {
		for _, to := range g.to {
			if err := b.Simulator.Invite(ctx, groupOf(to), members(state, g.from)...); err != nil {
				return err
			}
		}
	}
	return b.Simulator.Set(ctx, map[string]any{"latency": b.latency.String()})
}

// members returns all members of the source groups that the globs name.
func members(state cloud.State, globs []string) []string {
	seen := map[string]bool{}
	var all []string
	for _, g := range state.Groups {
		for _, glob := range globs {
			if ok, _ := path.Match(glob, g.Name); !ok || !g.Synced {
				continue
			}
			for _, m := range g.Members {
				if !seen[m] {
					seen[m] = true
					all = append(all, m)
				}
			}
		}
	}
	return all
}

// settled waits until nothing runs and nothing is due.
func (b *bench) settled(ctx context.Context) (messages.OrgSyncState, error) {
	return b.Until(ctx, org, 15*time.Minute, func(s messages.OrgSyncState) bool { return stack.Idle(s) })
}

func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
}
