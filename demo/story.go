package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/castellan-io/castellan/atlassian/scim"
	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/messages"
)

const (
	org      = "acme"
	file     = "examples/demo.yaml"
	ops      = "lucas.klein@acme.example"
	patience = 3 * time.Minute // for anything that takes seconds

	mostLines = 20 // of one command's output

	joins   = "eng-web"  // the source group that somebody joins
	emptied = "eng-core" // the source group that is emptied
)

// story plays the acts and checks each against the simulator's state.
func (d *demo) story(ctx context.Context) error {
	d.out.say("\nWhat follows you can type yourself in another terminal, in this folder, after:\n\n  %s", d.shell)
	acts := []func(context.Context) error{d.takeOver, d.join, d.leave, d.emptyOut, d.lend, d.review}
	if d.corp != nil {
		acts = append(acts, d.follow, d.reject, d.restore)
	}
	for _, act := range append(acts, d.verifyLedger) {
		if err := act(ctx); err != nil {
			return err
		}
	}
	return nil
}

// takeOver applies the policy, shows the first plan, consents to it, and waits until it is done.
func (d *demo) takeOver(ctx context.Context) error {
	d.out.act("A policy is applied. Castellan reads everybody and changes nothing: its first plan waits for consent.")
	before, err := d.Simulator.State(ctx)
	if err != nil {
		return err
	}
	if err := d.ops(ctx, "apply", file); err != nil {
		return err
	}
	var held messages.OrgSyncState
	if err := d.out.step("waiting for the plan", func() (string, error) {
		held, err = d.until(ctx, func(s messages.OrgSyncState) bool {
			return s.State == messages.StateHeld &&
				s.Running == nil
		})
		return "", err
	}); err != nil {
		return err
	}
	if now, err := d.Simulator.State(ctx); err != nil {
		return err
	} else if err := same(before, now); err != nil {
		return fmt.Errorf("the first plan waits for consent, and yet %w", err)
	}
	if err := d.ops(ctx, "status", org); err != nil {
		return err
	}
	if err := d.ops(ctx, "plan", "--held", "--limit", "6", org); err != nil {
		return err
	}
	d.out.say("  Consent names exactly this plan. It is given with the plain Temporal CLI:\n")
	if err := d.decide(ctx, messages.ApprovePlan, held.Hold.Plan, "the first run"); err != nil {
		return err
	}
	d.first = held.Hold.Run
	if err := d.watchApplying(ctx, held.Hold); err != nil {
		return err
	}
	if err := d.out.step("looking at everybody once more, and filling the groups that the policy asks to create",
		func() (string, error) {
			_, err := d.until(ctx, stack.Idle)
			return "", err
		}); err != nil {
		return err
	}
	return d.summary(ctx, before)
}

// watchApplying shows the run's progress as the run reports it.
func (d *demo) watchApplying(ctx context.Context, h *messages.Hold) error {
	started, total, most := time.Now(), h.Adds+h.Adopts+h.Removals, 0
	var sum messages.RunSummary
	err := stack.Eventually(ctx, patience, func() error {
		if err := d.alive(); err != nil {
			return err
		}
		value, err := d.Temporal.Client.QueryWorkflow(ctx, messages.ReconcileID(org, h.Run)+":approved", "",
			messages.Status)
		if err != nil {
			return err
		}
		if err := value.Get(&sum); err != nil {
			return err
		}
		c := sum.Counts
		ended := c.Done + c.Already + c.Shortage + c.Refused + c.Superseded + c.Failed
		if sum.Ended.IsZero() {
			if sum.State == messages.RunApplying {
				most = max(most, ended)
				d.out.progress(most, total, "changes")
			}
			return fmt.Errorf("run %s is still %s: %d of %d changes", sum.Run, sum.State, ended, total)
		}
		return nil
	})
	if err != nil {
		return err
	}
	spent := time.Since(started)
	d.out.progressed("%d of %d changes made in %s, reading back included; each is an activity of its own; %d writes seen", sum.Counts.Done, total, took(spent), sum.Counts.Verified)
	if sum.Problem != nil || sum.Counts.Failed+sum.Counts.Refused+sum.Counts.Unverified > 0 {
		return fmt.Errorf("the run %s: %+v, problem %+v", sum.State, sum.Counts, sum.Problem)
	}
	return nil
}

// join hires somebody: the identity provider creates the person and adds them to one source group.
func (d *demo) join(ctx context.Context) error {
	d.hired = "robin.osei@acme.example"
	d.out.act(fmt.Sprintf("The identity provider sends a new hire: %s, a member of %s.", d.hired, joins))
	idp, err := d.Simulator.SCIM()
	if err != nil {
		return err
	}
	hired, err := idp.CreateUser(ctx,
		scim.User{UserName: d.hired, Email: d.hired, GivenName: "Robin", FamilyName: "Osei", DisplayName: "Robin Osei",
			Active: true})
	if err != nil {
		return err
	}
	group, err := sourceGroup(ctx, idp, joins)
	if err != nil {
		return err
	}
	if _, err := idp.AddMembers(ctx, group.ID, hired.ID); err != nil {
		return err
	}
	if err := d.out.step("from then until Atlassian has Robin in every product the policy gives",
		func() (string, error) {
			return "", stack.Eventually(ctx, patience, func() error {
				now, err := d.Simulator.State(ctx)
				if err != nil {
					return err
				}
				return d.missing(now)
			})
		}); err != nil {
		return err
	}
	if _, err := d.until(ctx, stack.Idle); err != nil {
		return err
	}
	d.joined = time.Now()
	return d.ops(ctx, "why", org, d.hired)
}

// leave removes the new hire from the source group: a removal is checked twice before it is written.
func (d *demo) leave(ctx context.Context) error {
	d.out.act(fmt.Sprintf("Robin leaves %s. A removal must stay true for %s (guard.settle) and is read a second time before it is written.", joins, d.policy.Guard.Settle))
	idp, err := d.Simulator.SCIM()
	if err != nil {
		return err
	}
	group, err := sourceGroup(ctx, idp, joins)
	if err != nil {
		return err
	}
	found, err := idp.Users(ctx, scim.UserQuery{UserName: d.hired})
	if err != nil {
		return err
	}
	if len(found.Items) != 1 {
		return fmt.Errorf("the identity provider has %d people named %s", len(found.Items), d.hired)
	}
	if _, err := idp.RemoveMembers(ctx, group.ID, found.Items[0].ID); err != nil {
		return err
	}
	if err := d.out.step("from then until Robin is out of every product", func() (string, error) {
		return "", stack.Eventually(ctx, patience, func() error {
			now, err := d.Simulator.State(ctx)
			if err != nil {
				return err
			}
			return absent(now, d.hired)
		})
	}); err != nil {
		return err
	}
	if _, err := d.until(ctx, stack.Idle); err != nil {
		return err
	}
	d.out.say("\n  The ledger still knows why it was so a moment ago:\n")
	if err := d.ops(ctx, "why", "--at", d.joined.UTC().Format("2006-01-02T15:04:05.000Z"), org, d.hired,
		"default:jira/acme/user"); err != nil {
		return err
	}
	then, err := d.Ask(ctx, messages.ReportInput{Org: org, Kind: messages.ReportWhy, Person: d.hired, At: d.joined})
	if err != nil {
		return err
	}
	if then.Why == nil || len(then.Why.Holdings) != 2 {
		return fmt.Errorf("the ledger does not know what %s held at %s: %s", d.hired, d.joined, then.Message)
	}
	return nil
}

// emptyOut empties a source group, as a bug or a slip at the identity provider would.
func (d *demo) emptyOut(ctx context.Context) error {
	before, err := d.Simulator.State(ctx)
	if err != nil {
		return err
	}
	idp, err := d.Simulator.SCIM()
	if err != nil {
		return err
	}
	group, err := sourceGroup(ctx, idp, emptied)
	if err != nil {
		return err
	}
	d.out.act(fmt.Sprintf("A slip at the identity provider: all %d people are taken out of %s.",
		len(group.MemberIDs), emptied))
	if _, err := idp.ReplaceMembers(ctx, group.ID); err != nil {
		return err
	}
	var held messages.OrgSyncState
	if err := d.out.step("from then until the guard holds what would follow", func() (string, error) {
		held, err = d.until(ctx, func(s messages.OrgSyncState) bool {
			return s.State == messages.StateHeld && len(s.Pending.People)+len(s.Pending.Groups) == 0
		})
		return "", err
	}); err != nil {
		return err
	}
	if err := d.ops(ctx, "status", org); err != nil {
		return err
	}
	if err := d.ops(ctx, "plan", "--held", "--limit", "6", org); err != nil {
		return err
	}
	d.out.say("  Somebody looks, sees the slip, and says no:\n")
	if err := d.decide(ctx, messages.RejectPlan, held.Hold.Plan, "the group was emptied by mistake"); err != nil {
		return err
	}
	if _, err := d.until(ctx, stack.Idle); err != nil {
		return err
	}
	after, err := d.Simulator.State(ctx)
	if err != nil {
		return err
	}
	if err := same(before, after); err != nil {
		return fmt.Errorf("the plan was rejected, and yet %w", err)
	}
	d.out.say("  Checked in Atlassian: nobody lost anything. The same removals are not proposed again.")
	return nil
}

func (d *demo) verifyLedger(ctx context.Context) error {
	d.out.act("Everything above stands in a hash-chained ledger.")
	if err := d.ops(ctx, "runs", org); err != nil {
		return err
	}
	if err := d.ops(ctx, "verify-ledger", org); err != nil {
		return err
	}
	answer, err := d.Ask(ctx, messages.ReportInput{Org: org, Kind: messages.ReportLedger})
	if err != nil {
		return err
	}
	if answer.Ledger == nil || !answer.Ledger.Whole || answer.Ledger.Entries == 0 {
		return fmt.Errorf("the ledger is not intact: %s", answer.Message)
	}
	return nil
}

// ops runs the ops command, showing the command and its output.
func (d *demo) ops(ctx context.Context, args ...string) error {
	d.out.command(append([]string{"starter"}, args...)...)
	out, err := d.Starter(ctx, args...)
	if err != nil {
		return err
	}
	d.out.output(out, mostLines)
	return nil
}

// decide answers a held plan with the Temporal CLI.
func (d *demo) decide(ctx context.Context, decision, plan, note string) error {
	args := []string{
		"workflow", "update", "execute", "--workflow-id", messages.OrgSyncID(org), "--name", decision,
		"--output", "json", "--input", fmt.Sprintf(`{"plan":"%s","by":"%s","note":"%s"}`, plan, ops, note),
	}
	d.out.command(append([]string{"temporal"}, args...)...)
	out, err := d.CLI(ctx, args...)
	if err != nil {
		return err
	}
	d.out.output(out, mostLines)
	return nil
}

// until waits for the organization's status, as long as everything runs.
func (d *demo) until(ctx context.Context, want func(messages.OrgSyncState) bool) (messages.OrgSyncState, error) {
	state, err := d.Until(ctx, org, patience, func(s messages.OrgSyncState) bool {
		return want(s) || s.Problem != nil || d.alive() != nil
	})
	if gone := d.alive(); gone != nil {
		return state, gone
	}
	if err == nil && state.Problem != nil && !want(state) {
		err = fmt.Errorf("the organization's loop has a problem: %s: %s", state.Problem.Kind, state.Problem.Message)
	}
	return state, err
}

func sourceGroup(ctx context.Context, idp scim.Writer, name string) (scim.Group, error) {
	page, err := idp.Groups(ctx, scim.GroupQuery{DisplayName: name})
	if err != nil {
		return scim.Group{}, err
	}
	if len(page.Items) != 1 {
		return scim.Group{}, fmt.Errorf("the identity provider has %d groups named %s", len(page.Items), name)
	}
	return page.Items[0], nil
}

// stay prints what to open and what to type, and waits for Ctrl-C.
func (d *demo) stay(ctx context.Context) error {
	d.out.chapter("It stays up. Ctrl-C ends everything.")
	if err := d.invite(ctx); err != nil {
		return err
	}
	if d.page != "" {
		d.out.say("Start another review (above), and open the link of Wei's mail, which is shown here:\n")
	}
	d.mail.Watch(func(n messages.Notice) { d.out.say("  mail to %s: %s %s", n.To, n.Subject, n.Link) })
	gone := make(chan error, 3)
	for _, p := range d.processes() {
		go func() { <-p.Done(); gone <- d.alive() }()
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-gone:
		return err
	}
}

// invite prints what to open and what to type.
func (d *demo) invite(ctx context.Context) error {
	d.out.say("Open   %s/namespaces/default/workflows/%s", d.Temporal.UI,
		strings.ReplaceAll(messages.OrgSyncID(org), ":", "%3A"))
	lease, err := d.grantWorkflow(ctx)
	if err != nil {
		return err
	}
	d.out.say("       %s/namespaces/default/workflows/%s", d.Temporal.UI, strings.ReplaceAll(lease, ":", "%3A"))
	d.out.say("       %s/namespaces/default/workflows/%s", d.Temporal.UI,
		strings.ReplaceAll(messages.ReviewID(org, reviewID), ":", "%3A"))
	if d.metrics != "" {
		d.out.say("       %s/metrics and %s/healthz: the worker", d.metrics, d.metrics)
	}
	d.out.say("Type   %s\n", d.shell)
	loop := messages.OrgSyncID(org)
	for _, line := range []display.Command{
		display.Starter("status"),
		display.Starter("plan").With("--run", d.first),
		display.Starter("why", org, d.hired),
		display.List("CastellanOrg", org),
		display.Query(loop, messages.Status),
		display.Update(loop, messages.SyncNow, display.Input{{"person", d.hired}}),
		display.Signal(loop, messages.Pause, display.Input{{"by", "you"}, {"reason", "a look around"}}),
		display.Signal(loop, messages.Resume, display.Input{{"by", "you"}}),
		display.Starter("grant", borrower, "role:org-admin").With("--for", "10m").With("--reason",
			"once more").With("--id", "femi-2").With("--by", borrower),
		display.Update(loop, messages.Approve, display.Input{{"request", "femi-2"}, {"by", approver}}),
		display.Starter("grants"),
		display.List("CastellanTarget", "role:org-admin", "CastellanState", "active"),
		display.Starter("revoke").With("--request", "femi-2").With("--reason", "done").With("--by", borrower),
		display.Starter("review start", campaign).With("--date",
			time.Now().UTC().AddDate(0, 0, 1).Format(time.DateOnly)).With("--by", ops),
		display.List("CastellanCampaign", campaign, "CastellanState", "deciding"),
		display.Starter("undo", d.first).With("--reason", "the demo is over"),
	} {
		d.out.say("       %s", line)
	}
	d.out.say("\nPut somebody into a default group by hand, as an admin would, and see who calls it foreign:\n")
	d.out.say("       curl -d '{\"people\":[\"wei.shah\"]}' %s/_sim/groups/jira-users-%s/members\n", d.control, org)
	return nil
}
