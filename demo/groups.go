package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
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

// restore has the identity provider delete a group, and makes it again from its record.
func (d *demo) restore(ctx context.Context) error {
	before, lost, err := d.deleteGroup(ctx)
	if err != nil {
		return err
	}
	if err := d.send(ctx, messages.OrgSyncID(org), messages.SyncNow, fmt.Sprintf(`{"by":"%s"}`, ops)); err != nil {
		return err
	}
	if err := d.out.step("until its loss is reported", func() (string, error) {
		return "", stack.Eventually(ctx, patience, func() error { return d.reported(ctx, lost) })
	}); err != nil {
		return err
	}
	if err := d.ops(ctx, "groups", org, "--lost"); err != nil {
		return err
	}
	d.out.command("starter", "restore", org, lost, "--by", ops)
	out, err := d.Starter(ctx, "--json", "restore", org, lost, "--by", ops)
	if err != nil {
		return err
	}
	var preview messages.RestoreState
	if err := json.Unmarshal([]byte(out), &preview); err != nil {
		return err
	}
	if preview.Hold == nil {
		return fmt.Errorf("the restore of %s waits for no approval: %s", lost, out)
	}
	d.out.say("  its preview: %d members, and nothing is written yet", preview.Lost.Members)
	if err := d.send(ctx, preview.Workflow, messages.ApprovePlan,
		fmt.Sprintf(`{"plan":"%s","by":"%s","note":"deleted by mistake"}`, preview.Hold.Plan, ops)); err != nil {
		return err
	}
	if err := d.out.step("until the group is there again, with everybody in it", func() (string, error) {
		return "", stack.Eventually(ctx, patience, func() error { return d.restored(ctx, lost, before) })
	}); err != nil {
		return err
	}
	d.out.say("  Checked in Atlassian: the same %d people are in it.", len(before))
	return nil
}

// reported returns an error unless the loss of a group is among the findings. A verification that still saw the group,
// which Atlassian shows a while after its deletion, is followed by another.
func (d *demo) reported(ctx context.Context, lost string) error {
	s, err := d.until(ctx, stack.Idle)
	if err != nil || finds(s, "group-lost "+lost) {
		return err
	}
	if _, err := d.CLI(ctx, "workflow", "update", "execute", "--workflow-id", messages.OrgSyncID(org), "--name",
		messages.SyncNow, "--input", fmt.Sprintf(`{"by":"%s"}`, ops)); err != nil {
		return err
	}
	return fmt.Errorf("group-lost %s is not among the findings", lost)
}

// deleteGroup has the identity provider delete a group that the policy does not use. It returns who was in it.
func (d *demo) deleteGroup(ctx context.Context) (members []string, name string, err error) {
	state, err := d.Simulator.State(ctx)
	if err != nil {
		return nil, "", err
	}
	i := slices.IndexFunc(state.Groups, func(g cloud.StateGroup) bool {
		return strings.HasPrefix(g.Name, "mkt-") && len(stack.Members(state, g.Name)) >= 5
	})
	if i < 0 {
		return nil, "", errors.New("marketing has no group of five people")
	}
	name = state.Groups[i].Name
	members = stack.Members(state, name)
	d.out.act(fmt.Sprintf("The identity provider deletes the group %s, and with it Atlassian's. Castellan has a record of it.",
		name))
	idp, err := d.Simulator.SCIM()
	if err != nil {
		return nil, "", err
	}
	group, err := sourceGroup(ctx, idp, name)
	if err != nil {
		return nil, "", err
	}
	return members, name, idp.DeleteGroup(ctx, group.ID)
}

// restored returns an error unless a group has exactly these members.
func (d *demo) restored(ctx context.Context, name string, members []string) error {
	now, err := d.Simulator.MembersOf(ctx, name)
	if err != nil {
		return err
	}
	slices.Sort(now)
	if want := slices.Sorted(slices.Values(members)); !slices.Equal(now, want) {
		return fmt.Errorf("%s has %d members, and had %d", name, len(now), len(want))
	}
	return nil
}
