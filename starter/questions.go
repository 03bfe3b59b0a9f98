package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	enumspb "go.temporal.io/api/enums/v1"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/messages"
)

func reasons(rs []access.Reason) string { return access.ReasonsInWords(rs) }

func (s *session) status() *cobra.Command {
	return &cobra.Command{
		Use: "status [ORG]", Short: "Show an organization's state, its last run, and what waits for a decision",
		Args: argCount(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			org, err := s.resolveOrg(cmd.Context(), args...)
			if err != nil {
				return err
			}
			defer s.explainWait(messages.OrgSyncID(org))()
			if err := s.checkLoopRuns(cmd.Context(), org); err != nil {
				return err
			}
			value, err := s.client.QueryWorkflow(cmd.Context(), messages.OrgSyncID(org), "", messages.Status)
			if err != nil {
				return err
			}
			var state messages.OrgSyncState
			if err := value.Get(&state); err != nil {
				return err
			}
			return s.show(state, func(w io.Writer) { printStatus(w, state) })
		},
	}
}

// checkLoopRuns returns an error if the organization's loop has ended: what a query of it answers may be out of date.
func (s *session) checkLoopRuns(ctx context.Context, org string) error {
	loop, err := s.client.DescribeWorkflowExecution(ctx, messages.OrgSyncID(org), "")
	if err != nil {
		return nil //nolint:nilerr // the query that follows reports what is wrong
	}
	var how, why string
	switch loop.GetWorkflowExecutionInfo().GetStatus() {
	case enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED:
		how = "terminated"
	case enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED:
		how = "cancelled"
	case enumspb.WORKFLOW_EXECUTION_STATUS_FAILED, enumspb.WORKFLOW_EXECUTION_STATUS_TIMED_OUT:
		how = "ended by a failure"
		if err := s.client.GetWorkflow(ctx, messages.OrgSyncID(org), "").Get(ctx, nil); err != nil {
			why = " (" + errorText(err) + ")"
		}
	default:
		return nil
	}
	return fmt.Errorf("the loop %s was %s%s: nothing is watched or written in %s until you apply its policy again (`starter apply FILE`); what it knew is in the ledger",
		messages.OrgSyncID(org), how, why, org)
}

func printStatus(w io.Writer, s messages.OrgSyncState) {
	display.Fprintf(w, "%s is %s\n", s.Org, s.State)
	if p := s.Problem; p != nil {
		display.Fprintf(w, "  problem since %s: %s: %s\n", localTime(p.Since), p.Kind, p.Message)
		switch {
		case !p.Retry.IsZero():
			display.Fprintf(w, "  next attempt: %s\n", localTime(p.Retry))
		case s.Policy == "":
			display.Fprintln(w, "  no policy is in force: correct it and apply it again")
		default:
			display.Fprintln(w, "  nothing is done until its policy is applied again")
		}
	}
	if s.Feed.Problem != "" {
		display.Fprintf(w, "  the event feed cannot be watched: %s\n", s.Feed.Problem)
	}
	if s.Stuck != "" {
		display.Fprintf(w, "  the workflow cannot renew its history: %s\n", s.Stuck)
	}
	if p := s.Paused; p != nil {
		display.Fprintf(w, "  paused by %s: %s\n", p.By, p.Reason)
	}
	for _, h := range []*messages.Hold{s.Hold, s.IdentityHold} {
		if h != nil {
			printHold(w, s.Org, *h)
		}
	}
	if r := s.Running; r != nil {
		display.Fprintf(w, "  running: %s (%s) %s since %s\n", r.Run, r.Trigger, r.State, localTime(r.Started))
	}
	if r := s.LastRun; r != nil {
		display.Fprintf(w, "  last run: %s\n", runLine(*r))
	}
	if r := s.LastFull; r != nil && (s.LastRun == nil || s.LastRun.Run != r.Run) {
		display.Fprintf(w, "  last full verification: %s\n", runLine(*r))
	}
	display.Fprintf(w, "  next full verification: %s; watching: %s, every %s\n  policy: %s\n", localTime(s.NextFull),
		cmp.Or(s.Feed.Mode, "not yet"), s.Settings.Feed, s.Policy)
	printSources(w, s)
	printProvisions(w, s)
	for _, f := range s.Findings {
		display.Fprintf(w, "  noticed: %s\n", f)
	}
	if s.LastFull != nil && s.Reported > len(s.Findings) {
		display.Fprintf(w, "  and %d more kinds: %s\n", s.Reported-len(s.Findings),
			display.Starter("plan", s.Org).With("--run", s.LastFull.Run))
	}
	for _, r := range s.Refused {
		var who string
		if r.By != "" {
			who = ", sent by " + r.By + ","
		}
		display.Fprintf(w, "  signal %s%s at %s was not accepted: %s\n", r.Name, who, localTime(r.At), r.Why)
	}
}

func printHold(w io.Writer, org string, h messages.Hold) {
	if h.Provision != "" {
		display.Fprintf(w, "  held since %s: provision %s, %d additions, %d updates and %d removals\n    plan %s\n",
			localTime(h.Opened), h.Provision, h.Adds, h.Updates, h.Removals, h.Plan)
	} else {
		display.Fprintf(w, "  held since %s: %d adds, %d removals for %d people\n    plan %s\n", localTime(h.Opened),
			h.Adds+h.Adopts, h.Removals, h.People, h.Plan)
	}
	for _, r := range h.Rules {
		display.Fprintf(w, "    %s\n", r)
	}
	if h.Changed != "" {
		display.Fprintf(w, "    this plan %s\n", h.Changed)
	}
	display.Fprintf(w, "    every line: %s\n", display.Starter("plan --held", org))
	for _, name := range []string{messages.ApprovePlan, messages.RejectPlan} {
		display.Fprintf(w, "    %s\n",
			display.Update(messages.OrgSyncID(org), name, display.Input{{"plan", h.Plan}, {"by", messages.You}}))
	}
}

func runLine(r messages.RunSummary) string {
	c := r.Counts
	line := fmt.Sprintf("%s (%s, %s) %s: %d people read, %d done, %d already so, %d held", r.Run, r.Scope, r.Trigger,
		r.State, c.People, c.Done, c.Already, c.Held)
	for _, part := range []struct {
		n    int
		what string
	}{{c.Shortage, "short of licences"}, {c.Refused, "refused"}, {c.Failed, "not done"},
		{c.Suppressed, "rejected earlier"}, {c.Foreign, "foreign"}, {c.Unverified, "not seen when read back"}} {
		if part.n > 0 {
			line += fmt.Sprintf(", %d %s", part.n, part.what)
		}
	}
	return line
}

func localTime(t time.Time) string {
	if t.IsZero() {
		return "not set"
	}
	return t.Local().Format("2006-01-02 15:04:05 MST")
}

// parseTime parses a flag's value: an instant, or a day in UTC; zero if it is empty.
func parseTime(flag, written string) (t time.Time, err error) {
	if written == "" {
		return t, nil
	}
	for _, form := range []string{time.RFC3339, time.DateOnly} {
		if t, err = time.Parse(form, written); err == nil {
			return t, nil
		}
	}
	return t, fmt.Errorf("%s %q: write a time as 2026-03-01T09:00:00Z, or a day as 2026-03-01", flag, written)
}

func (s *session) why() *cobra.Command {
	var at string
	c := &cobra.Command{
		Use: "why ORG PERSON [TARGET]", Short: "Explain why a person holds what they hold, now or at any time in the past",
		Args: argCount(2, 3),
		RunE: func(cmd *cobra.Command, args []string) error {
			in := messages.ReportInput{Org: args[0], Kind: messages.ReportWhy, Person: args[1]}
			if len(args) == 3 {
				target, err := access.ParseEntitlement(args[2])
				if err != nil {
					return err
				}
				in.Target = target
			}
			var err error
			if in.At, err = parseTime("--at", at); err != nil {
				return err
			}
			answer, err := s.askAll(cmd.Context(), in, 0)
			if err != nil {
				return err
			}
			return s.show(answer, func(w io.Writer) {
				display.Fprintln(w, answer.Message)
				if answer.Why == nil {
					return
				}
				for _, e := range answer.Why.History {
					display.Fprintf(w, "  %s  #%d %s\n", localTime(e.At), e.Seq, entryLine(e))
				}
			})
		},
	}
	c.Flags().StringVar(&at, "at", "", "this instant instead of now, for example 2026-03-01T09:00:00Z")
	return c
}

func entryLine(e messages.LedgerEntry) string {
	var change access.Change
	if e.Kind != "change" || json.Unmarshal(e.Body, &change) != nil {
		return fmt.Sprintf("%s %s run %s %s", e.Kind, e.Target, e.Run, e.Body)
	}
	return fmt.Sprintf("%s %s: %s (%s), because of %s; run %s", change.Action, e.Target, change.State, change.Answer,
		reasons(change.Reasons), e.Run)
}

func (s *session) runs() *cobra.Command {
	var limit int
	c := &cobra.Command{
		Use: "runs [ORG]", Short: "List the last runs", Args: argCount(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			org, err := s.resolveOrg(cmd.Context(), args...)
			if err != nil {
				return err
			}
			answer, err := s.askAll(cmd.Context(), messages.ReportInput{Org: org, Kind: messages.ReportRuns}, limit)
			if err != nil {
				return err
			}
			return s.show(answer, func(w io.Writer) {
				table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
				fmt.Fprintln(table, "RUN\tSCOPE\tWHY\tSTATE\tPEOPLE\tADDS\tUPDATES\tREMOVALS\tDONE\tHELD\tPROBLEM")
				for _, r := range answer.Runs {
					problem := ""
					if r.Problem != nil {
						problem = r.Problem.Kind
					}
					c := r.Counts
					display.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%s\n", r.Run, r.Scope, r.Trigger,
						r.State, c.People, c.Adds, c.Updates, c.Removals, c.Done, c.Held, problem)
				}
				_ = table.Flush()
			})
		},
	}
	c.Flags().IntVar(&limit, "limit", 20, "the most runs to list")
	return c
}

func (s *session) undo() *cobra.Command {
	var org, reason string
	c := &cobra.Command{
		Use: "undo RUN", Short: "Undo a run's changes, and pause the organization",
		Args: argCount(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := s.resolveOrg(cmd.Context(), org)
			if err != nil {
				return err
			}
			var answer messages.Answer
			if err := s.update(cmd.Context(), name, messages.Undo,
				messages.UndoInput{Run: args[0], By: s.by, Reason: reason}, &answer); err != nil {
				return err
			}
			return s.show(answer, func(w io.Writer) { display.Fprintln(w, answer.Message) })
		},
	}
	c.Flags().StringVar(&org, "org", "", "the organization, when there are several")
	c.Flags().StringVar(&reason, "reason", "", "why, for the ledger")
	return c
}

func (s *session) verifyLedger() *cobra.Command {
	var head string
	c := &cobra.Command{
		Use: "verify-ledger [ORG]", Short: "Recompute the ledger's hash chain, and check the ledger's rows against it",
		Args: argCount(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			org, err := s.resolveOrg(cmd.Context(), args...)
			if err != nil {
				return err
			}
			answer, err := s.ask(cmd.Context(), messages.ReportInput{Org: org, Kind: messages.ReportLedger, Head: head})
			if err != nil {
				return err
			}
			if err := s.show(answer, func(w io.Writer) { display.Fprintln(w, answer.Message) }); err != nil {
				return err
			}
			if answer.Ledger != nil && !answer.Ledger.Whole {
				return fmt.Errorf("the ledger is not intact")
			}
			return nil
		},
	}
	c.Flags().StringVar(&head, "head", "",
		"an entry's number and hash that were kept elsewhere, N:HASH: the chain must still have it")
	return c
}
