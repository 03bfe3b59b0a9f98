package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/messages"
)

const (
	pilots   = "pilots" // a group of the directory, and one at Atlassian
	pilotsDN = "cn=" + pilots + ",ou=groups," + base

	followers = `
groups: # the group at Atlassian is to have the same members
  - {name: pilots, from: ["corp:pilots"]}
`
)

// reject has a group of the directory meet one at Atlassian that has its name and other people. Nothing is written, and
// ops decide that it stays as it is.
func (d *demo) reject(ctx context.Context) error {
	d.out.act("The directory has a group pilots, and so has Atlassian: with other people in it.")
	err := d.corp.Add(pilotsDN, map[string][]string{"objectClass": {"groupOfNames"}, "cn": {pilots},
		"entryUUID": {uuid.NewString()}, member: {dn(guest), dn(resident)}})
	if err != nil {
		return err
	}
	if err := d.Simulator.LocalGroup(ctx, pilots); err != nil {
		return err
	}
	if err := d.Simulator.Invite(ctx, pilots, d.hired); err != nil {
		return err
	}
	d.out.say("  The policy is to have the one follow the other:\n")
	d.out.output(strings.TrimLeft(followers, "\n"), mostLines)
	applied := filepath.Join(d.folder, "with-ldap.yaml")
	text, err := os.ReadFile(applied)
	if err == nil {
		err = os.WriteFile(applied, append(text, followers...), 0o600)
	}
	if err != nil {
		return err
	}
	before, err := d.Simulator.MembersOf(ctx, pilots)
	if err != nil {
		return err
	}
	if err := d.ops(ctx, "apply", applied); err != nil {
		return err
	}
	if err := d.out.step("until the difference is reported", func() (string, error) {
		_, err := d.until(ctx, func(s messages.OrgSyncState) bool {
			return stack.Idle(s) && finds(s, "group-conflict "+pilots)
		})
		return "", err
	}); err != nil {
		return err
	}
	if err := d.ops(ctx, "conflicts", org, pilots); err != nil {
		return err
	}
	answer, err := d.Ask(ctx, messages.ReportInput{Org: org, Kind: messages.ReportConflicts, ID: pilots})
	if err != nil {
		return err
	}
	if err := d.send(ctx, messages.OrgSyncID(org), messages.RejectConflict,
		fmt.Sprintf(`{"conflict":"%s","by":"%s","note":"another team, by chance of the same name"}`,
			answer.Conflicts[0].Conflict, ops)); err != nil {
		return err
	}
	after, err := d.Simulator.MembersOf(ctx, pilots)
	if err == nil && !slices.Equal(before, after) {
		err = fmt.Errorf("group %s was to stay as it is: it had %v, and has %v", pilots, before, after)
	}
	return err
}

// finds reports whether the findings have one of a rule about a subject.
func finds(s messages.OrgSyncState, rule string) bool {
	return slices.ContainsFunc(s.Findings, func(f string) bool { return strings.HasPrefix(f, rule) })
}

// send sends an update to a workflow with the Temporal CLI.
func (d *demo) send(ctx context.Context, workflow, name, input string) error {
	args := []string{"workflow", "update", "execute", "--workflow-id", workflow, "--name", name, "--output", "json",
		"--input", input}
	d.out.command(append([]string{"temporal"}, args...)...)
	out, err := d.CLI(ctx, args...)
	if err != nil {
		return err
	}
	d.out.output(out, mostLines)
	return nil
}
