package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/messages"
)

func (s *session) plan() *cobra.Command {
	var held bool
	var run, after string
	var states []string
	var limit int
	c := &cobra.Command{
		Use: "plan FILE | plan --held [ORG] | plan --run RUN [ORG]", Short: "Show what a policy would do, what is held, or what a run did",
		Long: "With a policy file: reads the living organization and shows what that policy would change; nothing is written.\nWith --held: the lines that wait for a decision. With --run: the lines of an earlier run and what came of each.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in := messages.ReportInput{Kind: messages.ReportPlan, Run: run, States: states, Limit: limit, After: after}
			var err error
			if held || run != "" {
				in.Org, err = s.theOrg(cmd.Context(), args)
			} else if len(args) == 0 {
				return fmt.Errorf("name a policy file, or --held, or --run RUN")
			} else {
				in.Kind = messages.ReportPreview
				p, source, readErr := readPolicy(args[0])
				if readErr != nil {
					return readErr
				}
				in.Org, in.Policy = p.Organization.Name, source
			}
			if err != nil {
				return err
			}
			answer, err := s.ask(cmd.Context(), in)
			if err != nil {
				return err
			}
			return s.show(answer, func(w io.Writer) { printPlan(w, answer) })
		},
	}
	c.Flags().BoolVar(&held, "held", false, "the lines that wait for a decision")
	c.Flags().StringVar(&run, "run", "", "the lines of this run")
	c.Flags().StringSliceVar(&states, "state", nil, "only lines in these states, for example observed: what rules that observe would do")
	c.Flags().IntVar(&limit, "limit", 200, "lines at most, up to 2000")
	c.Flags().StringVar(&after, "after", "", "the page after this one: next of the last answer")
	return c
}

func printPlan(w io.Writer, answer messages.ReportAnswer) {
	if answer.Plan == nil {
		fmt.Fprintln(w, answer.Message)
		return
	}
	r, c := answer.Plan.Run, answer.Plan.Run.Counts
	fmt.Fprintf(w, "run %s (%s, %s), %s\n%d people read: %d adds, %d removals, %d adoptions; %d of them the guard holds\n\n",
		r.Run, r.Scope, r.Trigger, r.Plan, c.People, c.Adds, c.Removals, c.Adopts, c.Held)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ACTION\tPERSON\tTARGET\tSTATE\tHELD BY\tWHY\tANSWER")
	for _, l := range answer.Plan.Lines {
		who := l.Email
		if who == "" {
			who = l.Person
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", l.Verb(), who, l.Target, l.State, strings.Join(l.HeldBy, ","), reasons(l.Reasons), l.Answer)
	}
	_ = table.Flush()
	if answer.Next != "" {
		fmt.Fprintf(w, "\nmore: --after '%s'\n", answer.Next)
	}
	if len(answer.Plan.Findings) > 0 {
		fmt.Fprintln(w, "\nnoticed:")
		for _, f := range access.Summarize(answer.Plan.Findings, 100) {
			fmt.Fprintf(w, "  %s\n", f)
		}
	}
}

func reasons(rs []access.Reason) string {
	var words []string
	for _, r := range rs {
		words = append(words, r.String())
	}
	return strings.Join(words, "; ")
}

func (s *session) status() *cobra.Command {
	return &cobra.Command{
		Use: "status [ORG]", Short: "Show an organization's state, its last run, and what waits for whom",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			org, err := s.theOrg(cmd.Context(), args)
			if err != nil {
				return err
			}
			defer s.hint()()
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

func printStatus(w io.Writer, s messages.OrgSyncState) {
	fmt.Fprintf(w, "%s is %s\n", s.Org, s.State)
	if p := s.Problem; p != nil {
		fmt.Fprintf(w, "  problem since %s: %s: %s\n  next attempt: %s\n", when(p.Since), p.Kind, p.Message, when(p.Retry))
	}
	if s.Feed.Problem != "" {
		fmt.Fprintf(w, "  the event feed cannot be watched: %s\n", s.Feed.Problem)
	}
	if p := s.Paused; p != nil {
		fmt.Fprintf(w, "  paused by %s: %s\n", p.By, p.Reason)
	}
	if h := s.Hold; h != nil {
		fmt.Fprintf(w, "  held since %s: %d adds, %d removals for %d people\n    plan %s\n", when(h.Opened), h.Adds+h.Adopts, h.Removals, h.People, h.Plan)
		for _, r := range h.Rules {
			fmt.Fprintf(w, "    %s\n", r)
		}
		if h.Changed != "" {
			fmt.Fprintf(w, "    this plan %s\n", h.Changed)
		}
		fmt.Fprintf(w, "    every line: starter plan --held %s\n", s.Org)
		for _, name := range []string{messages.ApprovePlan, messages.RejectPlan} {
			fmt.Fprintf(w, "    temporal workflow update execute --workflow-id %s --name %s --input '{\"plan\":\"%s\",\"by\":\"you@example.com\"}'\n", messages.OrgSyncID(s.Org), name, h.Plan)
		}
	}
	if r := s.Running; r != nil {
		fmt.Fprintf(w, "  running: %s (%s) %s since %s\n", r.Run, r.Trigger, r.State, when(r.Started))
	}
	if r := s.LastRun; r != nil {
		fmt.Fprintf(w, "  last run: %s\n", runLine(*r))
	}
	if r := s.LastFull; r != nil && (s.LastRun == nil || s.LastRun.Run != r.Run) {
		fmt.Fprintf(w, "  last full verification: %s\n", runLine(*r))
	}
	watching := s.Feed.Mode
	if watching == "" {
		watching = "not yet"
	}
	fmt.Fprintf(w, "  next full verification: %s; watching: %s, every %s\n  policy: %s\n", when(s.NextFull), watching, s.Settings.Feed, s.Policy)
	for _, f := range s.Findings {
		fmt.Fprintf(w, "  noticed: %s\n", f)
	}
	for _, r := range s.Refused {
		fmt.Fprintf(w, "  signal %s at %s was not accepted: %s\n", r.Name, when(r.At), r.Why)
	}
}

func runLine(r messages.RunSummary) string {
	c := r.Counts
	line := fmt.Sprintf("%s (%s, %s) %s: %d people read, %d done, %d already so, %d held", r.Run, r.Scope, r.Trigger, r.State, c.People, c.Done, c.Already, c.Held)
	for _, part := range []struct {
		n    int
		what string
	}{{c.Shortage, "short of licences"}, {c.Refused, "refused"}, {c.Failed, "not done"}, {c.Suppressed, "rejected earlier"}, {c.Foreign, "foreign"}, {c.Unverified, "not seen when read back"}} {
		if part.n > 0 {
			line += fmt.Sprintf(", %d %s", part.n, part.what)
		}
	}
	return line
}

func when(t time.Time) string {
	if t.IsZero() {
		return "not set"
	}
	return t.Local().Format("2006-01-02 15:04:05 MST")
}

// instant reads what a flag says: an instant, or a day in UTC; zero when it says nothing.
func instant(flag, written string) (t time.Time, err error) {
	if written == "" {
		return t, nil
	}
	for _, form := range []string{time.RFC3339, time.DateOnly} {
		if t, err = time.Parse(form, written); err == nil {
			return t, nil
		}
	}
	return t, fmt.Errorf("%s %q: write an instant as 2026-03-01T09:00:00Z, or a day as 2026-03-01", flag, written)
}

func (s *session) why() *cobra.Command {
	var at string
	c := &cobra.Command{
		Use: "why ORG PERSON [TARGET]", Short: "Say why a person holds what they hold, now or at any past instant",
		Args: cobra.RangeArgs(2, 3),
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
			if in.At, err = instant("--at", at); err != nil {
				return err
			}
			answer, err := s.ask(cmd.Context(), in)
			if err != nil {
				return err
			}
			return s.show(answer, func(w io.Writer) {
				fmt.Fprintln(w, answer.Message)
				if answer.Why == nil {
					return
				}
				for _, e := range answer.Why.History {
					fmt.Fprintf(w, "  %s  #%d %s\n", when(e.At), e.Seq, entryLine(e))
				}
			})
		},
	}
	c.Flags().StringVar(&at, "at", "", "this instant instead of now, for example 2026-03-01T09:00:00Z")
	return c
}

// entryLine is an entry of the ledger in one line.
func entryLine(e messages.LedgerEntry) string {
	var change access.Change
	if e.Kind != "change" || json.Unmarshal(e.Body, &change) != nil {
		return fmt.Sprintf("%s %s run %s %s", e.Kind, e.Target, e.Run, e.Body)
	}
	return fmt.Sprintf("%s %s: %s (%s), because of %s; run %s", change.Action, e.Target, change.State, change.Answer, reasons(change.Reasons), e.Run)
}

func (s *session) runs() *cobra.Command {
	var limit int
	c := &cobra.Command{
		Use: "runs [ORG]", Short: "List the last runs", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			org, err := s.theOrg(cmd.Context(), args)
			if err != nil {
				return err
			}
			answer, err := s.ask(cmd.Context(), messages.ReportInput{Org: org, Kind: messages.ReportRuns, Limit: limit})
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
					fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%s\n", r.Run, r.Scope, r.Trigger, r.State, r.Counts.People, r.Counts.Adds, r.Counts.Removals, r.Counts.Done, r.Counts.Held, problem)
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
		Use: "undo RUN", Short: "Take back what a run changed, and pause the organization",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := s.theOrg(cmd.Context(), named(org))
			if err != nil {
				return err
			}
			var answer messages.Answer
			if err := s.update(cmd.Context(), name, messages.Undo, messages.UndoInput{Run: args[0], By: s.by, Reason: reason}, &answer); err != nil {
				return err
			}
			return s.show(answer, func(w io.Writer) { fmt.Fprintln(w, answer.Message) })
		},
	}
	c.Flags().StringVar(&org, "org", "", "the organization, when there are several")
	c.Flags().StringVar(&reason, "reason", "", "why, for the ledger")
	return c
}

func (s *session) verifyLedger() *cobra.Command {
	return &cobra.Command{
		Use: "verify-ledger [ORG]", Short: "Recompute the ledger's hash chain", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			org, err := s.theOrg(cmd.Context(), args)
			if err != nil {
				return err
			}
			answer, err := s.ask(cmd.Context(), messages.ReportInput{Org: org, Kind: messages.ReportLedger})
			if err != nil {
				return err
			}
			if err := s.show(answer, func(w io.Writer) { fmt.Fprintln(w, answer.Message) }); err != nil {
				return err
			}
			if answer.Ledger != nil && !answer.Ledger.Whole {
				return fmt.Errorf("the ledger is not whole")
			}
			return nil
		},
	}
}
