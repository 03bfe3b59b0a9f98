package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/simulator/cloud"
)

const perGroup = 250 // members of each group that is followed

// follow measures groups of an LDAP directory that become local groups, with so many memberships in all: the first
// time, and with nothing to change.
func follow(ctx context.Context, dir, bin string, memberships int, latency time.Duration) (rows []row, err error) {
	groups, people := memberships/perGroup, max(memberships/5, perGroup)
	say("%d groups with %d memberships of %d people: starting", groups, memberships, people)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	file := cloud.OrgFile{Domains: []string{"acme.example"}, People: []string{"boss"}, Admins: []string{"boss"}}
	for n := range people {
		file.People = append(file.People, keyOf(n))
	}
	text, err := json.Marshal(file)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "org.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return nil, err
	}
	p := &provisioning{people: people}
	if p.ldap, err = startLDAP(ctx, dir, people); err != nil {
		return nil, err
	}
	defer p.ldap.stop()
	for g := range groups {
		var members []string
		for m := range perGroup {
			members = append(members, ldapDN(keyOf((g*perGroup+m)%people)))
		}
		if err := p.ldap.addGroup(fmt.Sprintf("team-%04d", g), members); err != nil {
			return nil, err
		}
	}
	started, err := stack.Start(ctx, dir, bin, false, "--org", path)
	if err != nil {
		return nil, err
	}
	defer started.Stop()
	p.bench = &bench{Stack: started, latency: latency}
	p.Worker.Stop(5 * time.Second)
	if err := p.StartWorker(ldapSecret+"="+ldapPassword,
		"CASTELLAN_SECRET_HOSTS="+org+"=env:"+ldapSecret+"@"+p.ldap.address()); err != nil {
		return nil, err
	}
	if err := p.Simulator.Set(ctx, map[string]any{"latency": latency.String()}); err != nil {
		return nil, err
	}
	if _, err := p.Apply(ctx, org, p.policy(time.Hour, false)); err != nil {
		return nil, err
	}
	if _, err := p.settled(ctx); err != nil {
		return nil, err
	}
	at := fmt.Sprintf("%d groups, %d memberships, %d people, %s", groups, memberships, people, p.ldap.name())
	for _, name := range []string{"the first time", "with nothing to change"} {
		say("local groups %s", name)
		c, err := p.costs(ctx, func() error {
			every := time.Hour
			if name != "the first time" {
				every = 2 * time.Hour // another policy, so that everybody is verified
			}
			if _, err := p.Apply(ctx, org, p.policy(every, false)+
				"groups: [{name: teams, from: [\"corp:team-*\"], create: true}]\n"); err != nil {
				return err
			}
			_, err := p.settled(ctx)
			return err
		})
		if err != nil {
			return rows, err
		}
		best := time.Duration(c.Writes) * latency / flight
		bar := "0 writes"
		if name == "the first time" {
			bar = fmt.Sprintf("≤ %d writes and creations, ≤ 600 other calls, ≤ 1.3 × (writes × latency ÷ %d)", memberships+groups,
				flight)
		}
		got := fmt.Sprintf("%d writes, %d other calls, %s", c.Writes, c.Calls-c.Writes, c.took.Round(100*time.Millisecond))
		if best > 0 {
			got += fmt.Sprintf(" (%.2f ×), %s of the worker's processor time", float64(c.took)/float64(best),
				c.worker.Round(time.Second))
		}
		rows = append(rows, row{"groups of a source as local groups, " + name, at, bar, got})
	}
	return append(rows, row{"worker memory (peak RSS) after that", at, "", fmt.Sprintf("%d MB", p.Worker.PeakMemory()>>20)}), nil
}
