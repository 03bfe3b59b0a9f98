package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	enumspb "go.temporal.io/api/enums/v1"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/policy"
)

func (s *session) plan() *cobra.Command {
	var held bool
	var run, after string
	var file policyFile
	var states []string
	var limit int
	c := &cobra.Command{
		Use:   "plan FILE | plan --held [ORG] | plan --run RUN [ORG]",
		Short: "Show what a policy would do, what is held, or what a run did",
		Long:  "With a policy file: reads the organization as it is now and shows what that policy would change; nothing is written.\nWith --held: the lines that wait for a decision. With --run: the lines of an earlier run and what came of each.",
		Args: func(c *cobra.Command, args []string) (err error) { // checked before connecting to Temporal
			switch {
			case len(args) > 1:
				return usageError(c, "name one policy file, or one organization, not %d", len(args))
			case held || run != "":
				return nil
			case len(args) == 0:
				return usageError(c, "name a policy file, or --held, or --run RUN")
			}
			file, err = readPolicyFile(args[0])
			if errors.Is(err, fs.ErrNotExist) && !strings.ContainsAny(args[0], "./") {
				return usageError(c, "plan takes a policy file, and there is none named %s. Of an organization that runs, `%s` shows what waits for a decision, and `%s` its runs",
					args[0], display.Starter("plan --held", args[0]), display.Starter("runs", args[0]))
			}
			return err
		},
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			var timed []policy.TimetableEntry
			in := messages.ReportInput{Kind: messages.ReportPlan, Run: run, States: states, After: after}
			if held || run != "" {
				in.Org, err = s.resolveOrg(cmd.Context(), args...)
			} else {
				in.Kind, in.Org, in.Policy = messages.ReportPreview, file.policy.Organization.Name, file.source
				timed = file.policy.Timetable(time.Now(), maxTimesShown)
			}
			if err != nil {
				return err
			}
			answer, err := s.askAll(cmd.Context(), in, limit)
			if err != nil {
				return err
			}
			return s.show(struct {
				messages.ReportAnswer
				Times []policy.TimetableEntry `json:"times,omitempty"`
			}{answer, timed}, func(w io.Writer) {
				printPlan(w, answer)
				printTimetable(w, timed)
			})
		},
	}
	c.Flags().BoolVar(&held, "held", false, "the lines that wait for a decision")
	c.Flags().StringVar(&run, "run", "", "the lines of this run")
	c.Flags().StringSliceVar(&states, "state", nil,
		"only lines in these states, for example observed: what rules that observe would do")
	c.Flags().IntVar(&limit, "limit", 0, "lines at most; all of them when left out")
	c.Flags().StringVar(&after, "after", "", "the page after this one: next of the last answer")
	return c
}

func printPlan(w io.Writer, answer messages.ReportAnswer) {
	if answer.Plan == nil {
		display.Fprintln(w, answer.Message)
		return
	}
	r, c := answer.Plan.Run, answer.Plan.Run.Counts
	display.Fprintf(w, "run %s (%s, %s), %s\n%d people read: %d adds, %d removals, %d adoptions; %d of them the guard holds\n\n",
		r.Run, r.Scope, r.Trigger, r.Plan, c.People, c.Adds, c.Removals, c.Adopts, c.Held)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ACTION\tPERSON\tTARGET\tSTATE\tHELD BY\tWHY\tANSWER")
	for _, l := range answer.Plan.Lines {
		display.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", l.Verb(), cmp.Or(l.Email, l.Person), l.Target, l.State,
			strings.Join(l.HeldBy, ","), reasons(l.Reasons), l.Outcome())
	}
	_ = table.Flush()
	if answer.Next != "" {
		display.Fprintf(w, "\nmore: --after %s\n", display.Safe(display.Quote(answer.Next)))
	}
	if len(answer.Plan.Noticed) > 0 {
		display.Fprintln(w, "\nnoticed:")
		for _, f := range answer.Plan.Noticed {
			display.Fprintf(w, "  %s\n", f)
		}
	}
}

// maxTimesShown is how many future times of a schedule are shown.
const maxTimesShown = 4

// printTimetable prints the next times of the policy's schedules, each in the schedule's own time zone.
func printTimetable(w io.Writer, all []policy.TimetableEntry) {
	if len(all) == 0 {
		return
	}
	display.Fprintln(w, "\nnext times:")
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "WHAT\tZONE\tNEXT")
	for _, t := range all {
		zone, err := time.LoadLocation(t.Zone)
		if err != nil {
			zone = time.UTC
		}
		var when []string
		for _, at := range t.When {
			when = append(when, at.In(zone).Format("Mon 2006-01-02 15:04 -07:00"))
		}
		if len(when) == 0 {
			when = []string{"never again"}
		}
		display.Fprintf(table, "%s\t%s\t%s\n", t.What, t.Zone, strings.Join(when, ", "))
	}
	_ = table.Flush()
}

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
	if s.Hold != nil {
		printHold(w, s.Org, *s.Hold)
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
	display.Fprintf(w, "  held since %s: %d adds, %d removals for %d people\n    plan %s\n", localTime(h.Opened),
		h.Adds+h.Adopts, h.Removals, h.People, h.Plan)
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
				fmt.Fprintln(table, "RUN\tSCOPE\tWHY\tSTATE\tPEOPLE\tADDS\tREMOVALS\tDONE\tHELD\tPROBLEM")
				for _, r := range answer.Runs {
					problem := ""
					if r.Problem != nil {
						problem = r.Problem.Kind
					}
					display.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%s\n", r.Run, r.Scope, r.Trigger,
						r.State, r.Counts.People, r.Counts.Adds, r.Counts.Removals, r.Counts.Done,
						r.Counts.Held, problem)
				}
				_ = table.Flush()
			})
		},
	}
	c.Flags().IntVar(&limit, "limit", 20, "runs at most")
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
