package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

const (
	borrower = "femi.berg@acme.example" // a member of ops-backend, whom the policy makes eligible
	approver = "wei.shah@acme.example"
	request  = "femi-1"
	lent     = time.Minute
)

// lend makes somebody an organization admin for a minute: requested, approved, given, and removed by itself.
func (d *demo) lend(ctx context.Context) error {
	d.out.act("Femi Berg of operations needs to be an organization admin, for one minute.")
	if err := d.ops(ctx, "grant", borrower, string(access.OrgAdmin), "--for", "1m", "--reason",
		"renew the SSO certificate", "--id", request, "--by", borrower); err != nil {
		return err
	}
	if _, err := d.untilGrant(ctx, messages.GrantWaiting); err != nil {
		return err
	}
	if err := d.ops(ctx, "grants", "--open", org); err != nil {
		return err
	}
	if admin, err := d.isAdmin(ctx); err != nil {
		return err
	} else if admin {
		return fmt.Errorf("nobody approved it yet, and %s is an organization admin", borrower)
	}
	d.out.say("  Wei gets a notice (here it stands in the worker's log) and consents:\n")
	if err := d.ops(ctx, "approve", request, "--by", approver); err != nil {
		return err
	}
	if err := d.out.step("from then until Femi is an organization admin in Atlassian",
		func() (string, error) { return "", d.untilAdmin(ctx, true) }); err != nil {
		return err
	}
	if err := d.out.step("reading it back: a role takes Atlassian up to half a minute to show", func() (string, error) {
		_, err := d.untilGrant(ctx, messages.GrantActive)
		return "", err
	}); err != nil {
		return err
	}
	if err := d.ops(ctx, "grants", "--open", org); err != nil {
		return err
	}
	if err := d.out.step("waiting for its end", func() (string, error) {
		if err := d.untilAdmin(ctx, false); err != nil {
			return "", err
		}
		late, err := d.late(ctx)
		return fmt.Sprintf("taken back %s after it", took(late)), err
	}); err != nil {
		return err
	}
	if err := d.out.step("reading that back, too", func() (string, error) {
		over, err := d.untilGrant(ctx, messages.GrantOver)
		if err == nil && (len(over.Grants) != 1 || over.Grants[0].RevokedAt.IsZero()) {
			err = fmt.Errorf("the grant is over, and nobody saw its access taken back: %+v", over.Grants)
		}
		return "", err
	}); err != nil {
		return err
	}
	return d.ops(ctx, "grants", "--hours", org)
}

func (d *demo) isAdmin(ctx context.Context) (bool, error) {
	p, err := d.borrower(ctx)
	return p.OrgAdmin, err
}

func (d *demo) borrower(ctx context.Context) (cloud.StatePerson, error) {
	truth, err := d.Simulator.State(ctx)
	if err != nil {
		return cloud.StatePerson{}, err
	}
	i := slices.IndexFunc(truth.People, func(p cloud.StatePerson) bool { return p.Email == borrower })
	if i < 0 {
		return cloud.StatePerson{}, fmt.Errorf("the simulated organization has nobody called %s", borrower)
	}
	return truth.People[i], nil
}

// grantWorkflow returns the ID of the workflow for the borrower's grants of the role.
func (d *demo) grantWorkflow(ctx context.Context) (string, error) {
	p, err := d.borrower(ctx)
	return messages.GrantID(org, access.OrgAdmin, p.AccountID), err
}

func (d *demo) untilAdmin(ctx context.Context, want bool) error {
	return stack.Eventually(ctx, patience, func() error {
		admin, err := d.isAdmin(ctx)
		if err == nil && admin != want {
			err = fmt.Errorf("%s is an admin: %t", borrower, admin)
		}
		return err
	})
}

func (d *demo) untilGrant(ctx context.Context, want string) (state messages.GrantState, err error) {
	return state, stack.Eventually(ctx, patience, func() error {
		id, err := d.grantWorkflow(ctx)
		if err == nil {
			state, err = d.GrantStatus(ctx, id)
		}
		if err == nil && state.State != want {
			err = fmt.Errorf("the grant is %s, not %s: %+v", state.State, want, state.Blocked)
		}
		return err
	})
}

// late returns how long after the grant's end its access was gone.
func (d *demo) late(ctx context.Context) (time.Duration, error) {
	answer, err := d.Ask(ctx, messages.ReportInput{Org: org, Kind: messages.ReportGrants, Grant: request})
	if err != nil {
		return 0, err
	}
	changes, err := d.Simulator.History(ctx)
	if err != nil {
		return 0, err
	}
	for _, c := range slices.Backward(changes) {
		if c.What != cloud.WhatOrgAdmin || !strings.EqualFold(c.Email, borrower) {
			continue
		}
		g := answer.Grants[0]
		if c.Holds || c.At.Before(g.From.Add(lent)) {
			return 0, fmt.Errorf("%s lost the role at %s, before the end of %+v", borrower, c.At, g)
		}
		return c.At.Sub(g.Until), nil
	}
	return 0, fmt.Errorf("the simulator does not know when %s lost the role", borrower)
}
