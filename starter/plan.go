package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

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
		Long:  "With a policy file: reads the organization as it is now and shows what that policy would change; nothing is written.\nWith --held: the lines that wait for a decision. With --run: the lines of an earlier run and what became of each.",
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
				return usageError(c, "plan takes a policy file, and there is none named %s. For a running organization, `%s` shows what waits for a decision, and `%s` its runs",
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
			records, err := s.heldRecords(cmd.Context(), in, answer, limit)
			if err != nil {
				return err
			}
			return s.showPlan(answer, records, timed)
		},
	}
	c.Flags().BoolVar(&held, "held", false, "the lines that wait for a decision")
	c.Flags().StringVar(&run, "run", "", "the lines of this run")
	c.Flags().StringSliceVar(&states, "state", nil,
		"only lines in these states, for example observed: what rules that observe would do")
	c.Flags().IntVar(&limit, "limit", 0, "the most lines to list; all of them when left out")
	c.Flags().StringVar(&after, "after", "", "continue a list: the value of next in the previous answer")
	return c
}

// showPlan shows the lines of access, those of records that are held beside them, and the next times of a policy.
func (s *session) showPlan(answer, records messages.ReportAnswer, timed []policy.TimetableEntry) error {
	return s.show(struct {
		messages.ReportAnswer
		Records *messages.PlanPage      `json:"records,omitempty"`
		Times   []policy.TimetableEntry `json:"times,omitempty"`
	}{answer, records.Plan, timed}, func(w io.Writer) {
		printPlan(w, answer)
		if records.Plan != nil {
			display.Fprintln(w, "")
			printPlan(w, records)
		}
		printTimetable(w, timed)
	})
}

// heldRecords returns the lines of records that are held beside those of access, which the first page of answer has.
func (s *session) heldRecords(ctx context.Context, in messages.ReportInput, answer messages.ReportAnswer,
	limit int) (records messages.ReportAnswer, err error) {
	if in.Kind != messages.ReportPlan || in.Run != "" || in.After != "" || answer.Plan == nil ||
		aboutRecords(answer.Plan) {
		return records, nil
	}
	in.Lane = messages.LaneIdentity
	return s.askAll(ctx, in, limit)
}

func printPlan(w io.Writer, answer messages.ReportAnswer) {
	if answer.Plan == nil {
		display.Fprintln(w, answer.Message)
		return
	}
	r, c := answer.Plan.Run, answer.Plan.Run.Counts
	if plan := answer.Plan.Held; plan != "" {
		display.Fprintf(w, "run %s (%s, %s) holds the plan %s\n", r.Run, r.Scope, r.Trigger, plan)
	} else {
		display.Fprintf(w, "run %s (%s, %s), %s\n", r.Run, r.Scope, r.Trigger, r.Plan)
	}
	if aboutRecords(answer.Plan) {
		records, groups := apart(answer.Plan.Lines)
		what := "%d people decided: %d records to create, %d to update, %d to deactivate; the guard holds %d of these changes\n\n"
		if len(groups) > 0 {
			what = "%d people decided: %d records, groups and memberships to make, %d records to update, %d of all to end; the guard holds %d of these changes\n\n"
		}
		display.Fprintf(w, what, c.People, c.Adds+c.Adopts, c.Updates, c.Removals, c.Held)
		if len(records) > 0 || len(groups) == 0 {
			printRecordLines(w, records)
		}
		if len(records) > 0 && len(groups) > 0 {
			display.Fprintln(w, "")
		}
		if len(groups) > 0 {
			printGroupLines(w, groups)
		}
	} else {
		display.Fprintf(w, "%d people read: %d adds, %d removals, %d adoptions; the guard holds %d of these changes\n\n", c.People,
			c.Adds, c.Removals, c.Adopts, c.Held)
		printLines(w, answer.Plan.Lines)
	}
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

func printLines(w io.Writer, lines []access.Change) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ACTION\tPERSON\tTARGET\tSTATE\tHELD BY\tWHY\tANSWER")
	for _, l := range lines {
		display.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", l.Verb(), cmp.Or(l.Email, l.Person), l.Target, l.State,
			strings.Join(l.HeldBy, ","), reasons(l.Reasons), l.Outcome())
	}
	_ = table.Flush()
}

// printRecordLines prints a row for each value that the lines write.
func printRecordLines(w io.Writer, lines []access.Change) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ACTION\tPERSON\tIDENTITY\tCHANGE\tSTATE\tHELD BY\tANSWER")
	for _, l := range lines {
		for _, e := range l.Edits {
			display.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", recordVerb(l), cmp.Or(l.Email, l.Person),
				strings.Join(l.Sources, ","), e, l.State, strings.Join(l.HeldBy, ","), l.Outcome())
		}
	}
	_ = table.Flush()
}

// apart sorts the lines of a provision into those of records and those of groups in its directory.
func apart(lines []access.Change) (records, groups []access.Change) {
	for _, l := range lines {
		if group, _ := access.SCIMGroupOf(l.Target); group != "" {
			groups = append(groups, l)
		} else {
			records = append(records, l)
		}
	}
	return records, groups
}

// printGroupLines prints the lines of groups in a SCIM directory, with what their people would lose.
func printGroupLines(w io.Writer, lines []access.Change) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ACTION\tGROUP\tPERSON\tOF\tLOSES\tSTATE\tHELD BY\tANSWER")
	for _, l := range lines {
		_, group := access.SCIMGroupOf(l.Target)
		person := cmp.Or(l.Email, l.Person)
		if l.Target.Kind() == access.KindSCIMGroupExists {
			person = "-"
		}
		display.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", l.Verb(), group, person, reasons(l.Reasons),
			strings.Join(l.Loses, ","), l.State, strings.Join(l.HeldBy, ","), l.Outcome())
	}
	_ = table.Flush()
}

// aboutRecords reports whether the lines are of records in a SCIM directory.
func aboutRecords(page *messages.PlanPage) bool {
	return page.Run.Scope == messages.ScopeProvision ||
		slices.ContainsFunc(page.Lines, func(l access.Change) bool { return access.ProvisionOf(l.Target) != "" })
}

// recordVerb is what a line does to a record, in a word.
func recordVerb(l access.Change) string {
	switch l.Action {
	case access.Add:
		return "create"
	case access.Remove:
		return "deactivate"
	}
	return l.Verb()
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
