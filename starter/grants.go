package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/messages"
)

func (s *session) grants() *cobra.Command {
	var hours bool
	var target, since string
	var in messages.ReportInput
	c := &cobra.Command{
		Use: "grants [ORG]", Short: "List temporary grants, or the hours of privilege held by them",
		Long: "Lists requests for grants with their state, the newest first. With --hours: how long people actually held what they\n" +
			"were granted, per month, person and target, with a total.",
		Args: func(c *cobra.Command, args []string) error {
			for _, name := range []string{"person", "target", "open", "after"} {
				if hours && c.Flags().Changed(name) {
					return usageError(c, "--hours sums up what everybody held: leave --%s out", name)
				}
			}
			return argCount(0, 1)(c, args)
		},
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			in.Kind = messages.ReportGrants
			if hours {
				in.Kind = messages.ReportHours
			}
			if in.Since, err = parseTime("--since", since); err != nil {
				return err
			}
			if target != "" {
				if in.Target, err = access.ParseEntitlement(target); err != nil {
					return err
				}
			}
			if in.Org, err = s.resolveOrg(cmd.Context(), args...); err != nil {
				return err
			}
			most := in.Limit
			if hours {
				most = 0
			}
			answer, err := s.askAll(cmd.Context(), in, most)
			if err != nil {
				return err
			}
			return s.show(answer, func(w io.Writer) {
				if hours {
					printHours(w, answer)
				} else {
					printGrants(w, answer, time.Now())
				}
			})
		},
	}
	c.Flags().StringVar(&in.Person, "person", "", "only this person's: e-mail address or account id")
	c.Flags().StringVar(&target, "target", "", "only of this target")
	c.Flags().BoolVar(&in.Open, "open", false, "only those that have not ended")
	c.Flags().IntVar(&in.Limit, "limit", 50, "the most grants to list; 0: all of them")
	c.Flags().StringVar(&in.After, "after", "", "continue a list: the value of next in the previous answer")
	c.Flags().BoolVar(&hours, "hours", false, "add up the hours of privilege instead")
	c.Flags().StringVar(&since, "since", "",
		"with --hours: from this day or instant on, for example 2026-01-01; twelve months otherwise")
	return c
}

func printGrants(w io.Writer, answer messages.ReportAnswer, now time.Time) {
	if len(answer.Grants) == 0 {
		display.Fprintln(w, "no grants")
		return
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "REQUEST\tPERSON\tTARGET\tSTATE\tFROM\tUNTIL\tASKED BY\tAPPROVED BY\tREASON")
	for _, g := range answer.Grants {
		from, until := "", ""
		if !g.From.IsZero() {
			from, until = localTime(g.From), localTime(g.Until)
		}
		display.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n",
			g.ID, granteeLabel(g), g.Target, grantState(g, now), from, until, g.Label(g.By), approvedBy(g), reasonOf(g))
	}
	_ = table.Flush()
	if answer.Next != "" {
		display.Fprintf(w, "\nmore: --after %s\n", display.Safe(display.Quote(answer.Next)))
	}
}

// grantState describes a grant's state.
func grantState(g access.Grant, now time.Time) string {
	switch g.State {
	case access.GrantWaiting:
		return fmt.Sprintf("waits for approval (%d of %d) until %s", len(g.Approvals), g.Needs,
			localTime(g.ApprovalDeadline))
	case access.GrantDenied:
		return "denied by " + g.Label(g.ClosedBy)
	case access.GrantExpired:
		return "nobody decided in time"
	}
	switch {
	case now.Before(g.From):
		return "not begun"
	case now.Before(g.Until) && g.ProvisionedAt.IsZero():
		return "being given"
	case now.Before(g.Until):
		return "active"
	case g.RevokedAt.IsZero():
		return "being revoked"
	case g.RemovedByHand:
		return "ended early: its access was removed manually"
	case g.ClosedBy != "" && g.From.Equal(g.Until):
		return "withdrawn by " + g.Label(g.ClosedBy)
	case g.ClosedBy != "":
		return "ended early by " + g.Label(g.ClosedBy)
	}
	return "over"
}

func approvedBy(g access.Grant) string {
	var names []string
	for _, a := range g.Approvals {
		names = append(names, g.Label(a.By))
	}
	if g.Urgent {
		names = append(names, "nobody: break-glass")
	}
	return strings.Join(names, ", ")
}

// reasonOf returns a grant's ticket and reason on one line.
func reasonOf(g access.Grant) string {
	return strings.Join(strings.Fields(g.Ticket+" "+g.Reason), " ")
}

func printHours(w io.Writer, answer messages.ReportAnswer) {
	if len(answer.Hours) > 0 {
		table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "MONTH\tPERSON\tTARGET\tHELD\tGRANTS")
		for _, p := range answer.Hours {
			display.Fprintf(table, "%s\t%s\t%s\t%s\t%d\n", p.Month, p.Person, p.Target, p.Held.Std().Round(time.Second),
				p.Grants)
		}
		_ = table.Flush()
		display.Fprintln(w, "")
	}
	display.Fprintln(w, answer.Message)
}
