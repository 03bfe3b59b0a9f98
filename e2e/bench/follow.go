package main

import (
	"context"
	"fmt"
	"time"
)

const perGroup = 250 // members of each group that is followed

// follow measures groups of an LDAP directory that become local groups, with so many memberships in all: the first
// time, and with nothing to change.
func follow(ctx context.Context, dir, bin string, memberships int, latency time.Duration) (rows []row, err error) {
	p, err := setUpFollowing(ctx, dir, bin, memberships, latency)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	if _, err := p.Apply(ctx, org, p.policy(time.Hour, false)); err != nil {
		return nil, err
	}
	if _, err := p.settled(ctx); err != nil {
		return nil, err
	}
	groups := memberships / perGroup
	at := fmt.Sprintf("%d groups, %d memberships, %d people, %s", groups, memberships, p.people, p.ldap.name())
	first, err := p.followed(ctx, time.Hour)
	if err != nil {
		return nil, err
	}
	again, err := p.followed(ctx, 2*time.Hour) // another policy, so that everybody is verified
	if err != nil {
		return nil, err
	}
	best := time.Duration(first.Writes) * latency / flight
	return []row{
		{"groups of a source as local groups, the first time", at,
			fmt.Sprintf("%d memberships, %d groups; ≤ 600 other calls; ≤ 1.3 × (writes × %s ÷ %d)", memberships,
				groups, latency, flight),
			fmt.Sprintf("%d memberships, %d groups, %d other calls; %s (%.2f ×), %s of the worker's processor time",
				first.of("memberships.add"), first.of("groups.create"), first.Calls-first.Writes,
				first.took.Round(100*time.Millisecond), float64(first.took)/float64(best),
				first.worker.Round(time.Second))},
		{"— with nothing to change", at, "0 writes", fmt.Sprintf("%d writes, %d other calls, %s", again.Writes,
			again.Calls-again.Writes, again.took.Round(100*time.Millisecond))},
		{"worker memory (peak RSS) after that", at, "", fmt.Sprintf("%d MB", p.Worker.PeakMemory()>>20)},
	}, nil
}

// followed measures what it takes until all groups follow.
func (p *provisioning) followed(ctx context.Context, every time.Duration) (cost, error) {
	say("groups of the directory as local groups")
	return p.costs(ctx, func() error {
		if _, err := p.Apply(ctx, org, p.policy(every, false)+
			"groups: [{name: teams, from: [\"corp:team-*\"], create: true}]\n"); err != nil {
			return err
		}
		_, err := p.settled(ctx)
		return err
	})
}

// setUpFollowing starts an organization whose people are in a directory with groups of so many memberships in all.
func setUpFollowing(ctx context.Context, dir, bin string, memberships int,
	latency time.Duration) (*provisioning, error) {
	people := max(memberships/5, perGroup)
	p, err := setUpProvisioning(ctx, dir, bin, people, true, latency)
	if err != nil {
		return nil, err
	}
	for g := range memberships / perGroup {
		var members []string
		for m := range perGroup {
			members = append(members, ldapDN(keyOf((g*perGroup+m)%people)))
		}
		if err := p.ldap.addGroup(fmt.Sprintf("team-%04d", g), members); err != nil {
			p.stop()
			return nil, err
		}
	}
	return p, nil
}
