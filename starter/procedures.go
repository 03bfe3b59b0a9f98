package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/messages"
)

func (s *session) link() *cobra.Command {
	var org string
	var in messages.LinkInput
	c := &cobra.Command{
		Use: "link BATCH [PERSON…]", Short: "Link people's existing accounts to records in a SCIM directory, in waves",
		Long: "Makes a preview of who would be linked, what is kept and what is overwritten, and waits for it. Nothing is written\n" +
			"before you approve exactly that preview. A PERSON is an e-mail address, an account id, or SOURCE:KEY; without any, the\n" +
			"batch is everybody who has an account but no record. You may start the same BATCH again: people who are linked already\n" +
			"are left as they are.\n" +
			"For example: starter link pilot ana@acme.example bo@acme.example --provision staff",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError(c, "name the batch, for example pilot")
			}
			if err := messages.CheckBatch(args[0]); err != nil {
				return usageError(c, "%v", err)
			}
			if in.Provision == "" {
				return usageError(c, "name the provision of the policy with --provision")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if in.By, err = s.actingPerson(); err != nil {
				return err
			}
			if org, err = s.resolveOrg(cmd.Context(), org); err != nil {
				return err
			}
			in.People = args[1:]
			state, err := s.startLink(cmd.Context(), org, args[0], in)
			if err != nil {
				return err
			}
			return s.show(state, func(w io.Writer) { printLink(w, state) })
		},
	}
	orgFlag(c, &org)
	c.Flags().StringVar(&in.Provision, "provision", "", "the provision of the policy whose directory gets the records")
	c.Flags().IntVar(&in.Most, "most", 0, "the most people, if none is named; default 500")
	c.Flags().IntVar(&in.Wave, "wave", 0, "people linked at a time; default 50")
	c.Flags().StringVar(&in.Note, "note", "", "why, for the ledger")
	return c
}

// startLink starts a batch and waits for its preview, or for whatever else becomes of it, for a while.
func (s *session) startLink(ctx context.Context, org, batch string, in messages.LinkInput) (messages.LinkState, error) {
	var state messages.LinkState
	if err := s.register(ctx); err != nil {
		return state, err
	}
	id := messages.LinkID(org, batch)
	run, err := s.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: id, TaskQueue: messages.QueueWorkflows, WorkflowTaskTimeout: messages.TaskTimeout,
		WorkflowIDReusePolicy:                    enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		WorkflowExecutionErrorWhenAlreadyStarted: true,
		TypedSearchAttributes:                    temporal.NewSearchAttributes(messages.AttributeOrg.ValueSet(org)),
		StaticSummary:                            display.Summary(org + ": link batch " + batch),
	}, messages.Link, in)
	var running *serviceerror.WorkflowExecutionAlreadyStarted
	if errors.As(err, &running) {
		return state, fmt.Errorf("batch %s of %s is already running: see workflow %s, or %s. It can be started again once it has ended",
			batch, org, id, display.Starter("links", org, batch))
	}
	if err != nil {
		return state, err
	}
	return awaitPreview(ctx, s, run, func(now messages.LinkState) bool {
		return now.State != messages.LinkReading && now.Hold != nil
	})
}

// awaitPreview waits until the preview of a workflow stands or the workflow is over, and returns its state.
func awaitPreview[S any](ctx context.Context, s *session, run client.WorkflowRun, stands func(S) bool) (state S,
	err error) {
	defer s.explainWait(run.GetID())()
	over := make(chan error, 1)
	go func() {
		var last S
		err := run.Get(ctx, &last)
		if err == nil {
			state = last
		}
		over <- err
	}()
	tick := time.NewTicker(startPollInterval)
	defer tick.Stop()
	for {
		select {
		case err := <-over:
			return state, err
		case <-ctx.Done():
			var none S
			return none, ctx.Err()
		case <-tick.C:
		}
		var now S
		value, err := s.client.QueryWorkflow(ctx, run.GetID(), run.GetRunID(), messages.Status)
		if err == nil && value.Get(&now) == nil && stands(now) {
			return now, nil
		}
	}
}

func printLink(w io.Writer, s messages.LinkState) {
	display.Fprintf(w, "batch %s of %s, provision %s: %s\n", s.Batch, s.Org, s.Provision, s.State)
	for _, c := range s.Counts {
		display.Fprintf(w, "  %d %s\n", c.Count, c.State)
	}
	display.Fprintf(w, "  %d managed accounts have no record\n", s.Gap)
	if len(s.Counts) == 0 {
		display.Fprintln(w, "  nobody of the provision's sources has an account without a record")
		return
	}
	for _, one := range s.Surprise {
		display.Fprintf(w, "  stopped: %s\n", one)
	}
	if s.ReadOnly != "" {
		display.Fprintf(w, "  a preview only: nothing is linked, since %s\n", s.ReadOnly)
	}
	display.Fprintf(w, "  the people, what is kept and what is overwritten: %s\n", display.Starter("links", s.Org, s.Batch))
	if s.Hold != nil {
		for _, rule := range s.Hold.Rules {
			display.Fprintf(w, "  %s\n", rule)
		}
		display.Fprintf(w, "to approve exactly this preview: %s\n", display.Update(s.Workflow, messages.ApprovePlan,
			display.Input{{"plan", s.Hold.Plan}, {"by", messages.You}}))
	}
}

func (s *session) links() *cobra.Command {
	in := messages.ReportInput{Kind: messages.ReportLinks}
	var format string
	c := &cobra.Command{
		Use: "links [ORG] BATCH", Short: "List the people of a link batch, with what is kept, what is overwritten, and the outcome",
		Long: "Lists the people of a batch, one per line, with the wave and the outcome: pending, linked, already-linked, not-linked (with\n" +
			"the reason), left-out, or surprise. For example: links pilot --state surprise",
		Args: func(c *cobra.Command, args []string) error {
			return errors.Join(csvOrNothing(c, format), argCount(1, 2)(c, args))
		},
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			in.ID = args[len(args)-1]
			if in.Org, err = s.resolveOrg(cmd.Context(), args[:len(args)-1]...); err != nil {
				return err
			}
			answer, err := s.askAll(cmd.Context(), in, in.Limit)
			if err != nil {
				return err
			}
			if format == "csv" {
				return writeCSV(s.out, linkRows(answer.Links))
			}
			return s.show(answer, func(w io.Writer) { printLinks(w, answer) })
		},
	}
	c.Flags().StringVar(&in.State, "state", "", "only people with this outcome, for example surprise")
	c.Flags().IntVar(&in.Limit, "limit", 200, "the most people to list; 0: all of them")
	c.Flags().StringVar(&in.After, "after", "", "continue a list: the value of next in the previous answer")
	c.Flags().StringVar(&format, "format", "", "csv: a table for spreadsheets, without the counts")
	return c
}

// linkRows are a batch's people as a table with its head.
func linkRows(links []messages.LinkPerson) [][]string {
	rows := [][]string{{
		"identity", "address", "account", "record", "wave", "outcome", "kept", "overwritten", "locked afterwards", "detail",
	}}
	for _, k := range links {
		wave := ""
		if k.Wave > 0 {
			wave = strconv.Itoa(k.Wave)
		}
		rows = append(rows, []string{
			k.Identity, k.Address, k.Account, k.Record, wave, k.Outcome,
			strings.Join(slices.Concat(k.Before.Names, k.Before.Roles), ", "), strings.Join(k.Before.Overwrites, ", "),
			strings.Join(k.Before.Locks, ", "), k.Detail,
		})
	}
	return rows
}

func printLinks(w io.Writer, answer messages.ReportAnswer) {
	for _, c := range answer.States {
		display.Fprintf(w, "%s: %d %s\n", c.Of, c.Count, c.State)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	display.Fprintln(table, "")
	for i, row := range linkRows(answer.Links) {
		for j := range row {
			if row[j] = display.Terminal(row[j]); i == 0 {
				row[j] = strings.ToUpper(row[j])
			}
		}
		display.Fprintf(table, "%s\n", display.Safe(strings.Join(row, "\t")))
	}
	_ = table.Flush()
	if answer.Next != "" {
		display.Fprintf(w, "\nmore: --after %s\n", display.Safe(display.Quote(answer.Next)))
	}
}

func (s *session) restore() *cobra.Command {
	var in messages.RestoreInput
	c := &cobra.Command{
		Use: "restore [ORG] GROUP", Short: "Make a lost group again from its record, with its app roles and members",
		Long: "Makes a preview of what would be restored of a group that was deleted at Atlassian, and waits for it. Nothing is written\n" +
			"before you approve exactly that preview. GROUP is the id that the group had, or its name: see groups --lost. The group\n" +
			"is made as a local one. Restored again, it gets only what it lacks. To have a loss reported no more, reject the preview.\n" +
			"The record does not have " + messages.NotInRecords + ".\n" +
			"For example: starter restore acme jira-users",
		Args: func(c *cobra.Command, args []string) error { return argCount(1, 2)(c, args) },
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if in.By, err = s.actingPerson(); err != nil {
				return err
			}
			org, err := s.resolveOrg(cmd.Context(), args[:len(args)-1]...)
			if err != nil {
				return err
			}
			record, err := s.ask(cmd.Context(), messages.ReportInput{Org: org, Kind: messages.ReportGroups,
				ID: args[len(args)-1], Limit: 1})
			if err != nil {
				return err
			}
			state, err := s.startRestore(cmd.Context(), org, record.Groups[0], in)
			if err != nil {
				return err
			}
			return s.show(state, func(w io.Writer) { printRestore(w, state) })
		},
	}
	c.Flags().StringVar(&in.Name, "name", "", "the name of the group that is made; default: the name that the lost one had")
	c.Flags().StringVar(&in.Note, "note", "", "why, for the ledger")
	return c
}

// startRestore starts a restore and waits for its preview, or for whatever else becomes of it, for a while.
func (s *session) startRestore(ctx context.Context, org string, g messages.RecordedGroup,
	in messages.RestoreInput) (messages.RestoreState, error) {
	var state messages.RestoreState
	if err := s.register(ctx); err != nil {
		return state, err
	}
	id := messages.RestoreID(org, g.ID)
	run, err := s.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: id, TaskQueue: messages.QueueWorkflows, WorkflowTaskTimeout: messages.TaskTimeout,
		WorkflowIDReusePolicy:                    enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		WorkflowExecutionErrorWhenAlreadyStarted: true,
		TypedSearchAttributes:                    temporal.NewSearchAttributes(messages.AttributeOrg.ValueSet(org)),
		StaticSummary:                            display.Summary(org + ": restore of group " + g.Name),
	}, messages.GroupRestore, in)
	var running *serviceerror.WorkflowExecutionAlreadyStarted
	if errors.As(err, &running) {
		return state, fmt.Errorf("the restore of group %s of %s is already running: see workflow %s. It can be started again once it has ended",
			display.Terminal(g.Name), org, id)
	}
	if err != nil {
		return state, err
	}
	return awaitPreview(ctx, s, run, func(now messages.RestoreState) bool {
		return now.State != messages.RestoreReading && now.Hold != nil
	})
}

func printRestore(w io.Writer, s messages.RestoreState) {
	display.Fprintf(w, "restore of group %s of %s: %s\n", s.Lost.Name, s.Org, s.State)
	display.Fprintf(w, "  by its record of %s: %d members; app roles: %s\n", localTime(s.Lost.Refreshed), s.Lost.Members,
		cmp.Or(joined(s.Lost.Roles), "none"))
	switch {
	case s.Lost.Exists:
		display.Fprintf(w, "  a group of that name exists: it gets only what it lacks, and nothing is removed\n")
	case s.Lost.Was != "":
		display.Fprintf(w, "  it is made under another name than it had: %s\n", s.Lost.Was)
	}
	for _, c := range s.Counts {
		display.Fprintf(w, "  %d %s\n", c.Count, c.State)
	}
	for _, one := range s.Differs {
		display.Fprintf(w, "  differs: %s\n", one)
	}
	if s.ReadOnly != "" {
		display.Fprintf(w, "  a preview only: nothing is restored, since %s\n", s.ReadOnly)
	}
	for _, one := range s.ByHand {
		display.Fprintf(w, "  by hand: %s\n", one)
	}
	display.Fprintf(w, "  everybody, and why some are left out: %s\n", display.Starter("plan", s.Org, "--run", s.Run))
	switch {
	case s.Hold != nil:
		display.Fprintf(w, "to approve exactly this preview: %s\n", display.Update(s.Workflow, messages.ApprovePlan,
			display.Input{{"plan", s.Hold.Plan}, {"by", messages.You}}))
		display.Fprintf(w, "to have the loss reported no more: %s\n", display.Update(s.Workflow, messages.RejectPlan,
			display.Input{{"plan", s.Hold.Plan}, {"by", messages.You}}))
	case s.State == messages.RestoreDone && s.ReadOnly == "" && s.Plan == "":
		display.Fprintln(w, "the group has it all already: nothing is written")
	}
}

func (s *session) groups() *cobra.Command {
	in := messages.ReportInput{Kind: messages.ReportGroups}
	var format string
	c := &cobra.Command{
		Use: "groups [ORG] [GROUP]", Short: "List the records of groups, by which lost ones can be restored, or who is in one",
		Long: "Lists what each full verification records of the groups: both ids, number of members, app roles, for which it is a default\n" +
			"group, and whether it is lost. With a GROUP, an id or a name, its members by the record. With one argument, that is the\n" +
			"organization. The record does not have " + messages.NotInRecords + ".\n" +
			"For example: groups acme --lost, groups acme jira-users --limit 0 --format csv",
		Args: func(c *cobra.Command, args []string) error {
			return errors.Join(csvOrNothing(c, format), argCount(0, 2)(c, args))
		},
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if len(args) == 2 {
				in.ID = args[1]
			}
			if in.Org, err = s.resolveOrg(cmd.Context(), args[:min(len(args), 1)]...); err != nil {
				return err
			}
			answer, err := s.askAll(cmd.Context(), in, in.Limit)
			if err != nil {
				return err
			}
			rows := groupRows(answer.Groups)
			if in.ID != "" {
				rows = memberRows(answer.Members)
			}
			if format == "csv" {
				return writeCSV(s.out, rows)
			}
			return s.show(answer, func(w io.Writer) { printGroups(w, in, answer, rows) })
		},
	}
	c.Flags().BoolVar(&in.Lost, "lost", false, "only groups that are lost")
	c.Flags().IntVar(&in.Limit, "limit", 200, "the most rows to list; 0: all of them")
	c.Flags().StringVar(&in.After, "after", "", "continue a list: the value of next in the previous answer")
	c.Flags().StringVar(&format, "format", "", "csv: a table for spreadsheets")
	return c
}

// groupRows are records of groups as a table with its head.
func groupRows(groups []messages.RecordedGroup) [][]string {
	rows := [][]string{{"name", "kind", "id", "scim id", "members", "app roles", "default group for", "refreshed", "lost"}}
	for _, g := range groups {
		kind, lost := "local", ""
		if g.Synced {
			kind = "synced"
		}
		if !g.Lost.IsZero() {
			lost = localTime(g.Lost)
			if g.Outcome != "" {
				lost += ", " + g.Outcome + " by " + g.By
			}
		}
		roles := strings.Join(g.Roles, ", ")
		if g.RolesRead.IsZero() {
			roles = "not read yet"
		}
		rows = append(rows, []string{g.Name, kind, g.ID, g.SCIM, strconv.Itoa(g.Members), roles,
			strings.Join(g.Defaults, ", "), localTime(g.Refreshed), lost})
	}
	return rows
}

// memberRows are the members of a group as a table with its head.
func memberRows(members []messages.RecordedMember) [][]string {
	rows := [][]string{{"account", "address", "since", "not shown since"}}
	for _, m := range members {
		gone := ""
		if !m.Gone.IsZero() {
			gone = localTime(m.Gone)
		}
		rows = append(rows, []string{m.Account, m.Address, m.Since.UTC().Format(time.RFC3339), gone})
	}
	return rows
}

func printGroups(w io.Writer, in messages.ReportInput, answer messages.ReportAnswer, rows [][]string) {
	if in.ID != "" && len(answer.Groups) > 0 {
		for _, row := range groupRows(answer.Groups)[1:] {
			display.Fprintf(w, "%s\n", strings.Join(row, "  "))
		}
		if answer.Groups[0].Unexplained {
			display.Fprintf(w, "the ledger's chain does not explain this record: it cannot be restored; see %s\n",
				display.Starter("verify-ledger", in.Org))
		}
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i, row := range rows {
		for j := range row {
			if row[j] = display.Terminal(row[j]); i == 0 {
				row[j] = strings.ToUpper(row[j])
			}
		}
		display.Fprintf(table, "%s\n", display.Safe(strings.Join(row, "\t")))
	}
	_ = table.Flush()
	for _, g := range answer.Groups {
		if !g.Lost.IsZero() && g.Outcome == "" && in.Lost {
			display.Fprintf(w, "to preview the restore of %s: %s\n", g.Name, display.Starter("restore", in.Org, g.ID))
		}
	}
	if in.Lost {
		display.Fprintf(w, "no record has %s\n", messages.NotInRecords)
	}
	if answer.Next != "" {
		display.Fprintf(w, "\nmore: --after %s\n", display.Safe(display.Quote(answer.Next)))
	}
}
