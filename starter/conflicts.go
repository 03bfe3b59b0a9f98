package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/policy/provision"
)

func (s *session) conflicts() *cobra.Command {
	in := messages.ReportInput{Kind: messages.ReportConflicts}
	var format string
	c := &cobra.Command{
		Use:   "conflicts [ORG] [GROUP]",
		Short: "List groups that differ from those of an identity source, or the people in whom one differs",
		Long: "Lists the groups at Atlassian that differ from groups of identity sources of the same name, or of the name that the\n" +
			"policy's groups give them, as of the last full verification; with GROUP, the people who are in one of the two only,\n" +
			"and the commands to accept or reject exactly this difference. For example: conflicts acme \"Dev users\"",
		Args: func(c *cobra.Command, args []string) error {
			return errors.Join(csvOrNothing(c, format), argCount(0, 2)(c, args))
		},
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if in.Org, err = s.resolveOrg(cmd.Context(), args[:min(len(args), 1)]...); err != nil {
				return err
			}
			if len(args) == 2 {
				in.ID = args[1]
			}
			answer, err := s.askAll(cmd.Context(), in, in.Limit)
			if err != nil {
				return err
			}
			if format == "csv" {
				return writeCSV(s.out, conflictRows(answer))
			}
			return s.show(answer, func(w io.Writer) { printConflicts(w, answer) })
		},
	}
	c.Flags().IntVar(&in.Limit, "limit", 200, "the most groups or people to list; 0: all of them")
	c.Flags().StringVar(&in.After, "after", "", "continue a list: the value of next in the previous answer")
	c.Flags().StringVar(&format, "format", "", "csv: a table for spreadsheets, without the commands")
	return c
}

// conflictRows are the groups, or the people of one of them, as a table with its head.
func conflictRows(answer messages.ReportAnswer) [][]string {
	if answer.Conflicted != nil {
		rows := [][]string{{"account", "address", "in", "not in"}}
		c := answer.Conflicts[0]
		for _, p := range answer.Conflicted {
			in, out := c.Group, c.Source
			if p.Missing {
				in, out = out, in
			}
			if p.Lost {
				in, out = "", c.Group+", which they were in until it was accepted"
			}
			rows = append(rows, []string{p.Account, p.Email, in, out})
		}
		return rows
	}
	rows := [][]string{{"group", "source group", "groups entry", "missing", "extra", "opens", "decision"}}
	for _, c := range answer.Conflicts {
		rows = append(rows, []string{c.Group, c.Source, c.Entry, fmt.Sprint(c.Missing), fmt.Sprint(c.Extra),
			strings.Join(c.Opens, ", "), conflictDecision(c)})
	}
	return rows
}

// conflictDecision says what was decided, in a word or two.
func conflictDecision(c messages.GroupConflict) string {
	switch {
	case c.Decision != "":
		return c.Decision + " by " + c.By
	case c.Entry == "":
		return "none needed: the policy does not have it follow"
	case acceptedOtherwise(c):
		return "accepted in admin.atlassian.com, and otherwise than was shown"
	case c.As == string(provision.Synced):
		return "accept it in admin.atlassian.com"
	case !c.Fit:
		return "cannot follow: see group-unfit"
	}
	return "open"
}

// acceptedOtherwise reports whether a synced group was accepted at Atlassian, and is otherwise than was shown before.
func acceptedOtherwise(c messages.GroupConflict) bool {
	return c.Follows && c.As == string(provision.Synced)
}

func printConflicts(w io.Writer, answer messages.ReportAnswer) {
	if answer.Conflicted == nil {
		display.Fprintln(w, answer.Message)
	} else {
		printConflict(w, answer.Org, answer.Conflicts[0])
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	display.Fprintln(table, "")
	for i, row := range conflictRows(answer) {
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

// printConflict prints a difference between two groups, and how to decide about it.
func printConflict(w io.Writer, org string, c messages.GroupConflict) {
	display.Fprintf(w, "group %s and %s of the source: %s\n", c.Group, c.Source, conflictDecision(c))
	if acceptedOtherwise(c) {
		display.Fprintf(w, "  %d people are not in it who were to be, or who lost it without having been shown\n", c.Missing)
		display.Fprintf(w, "  %d people are in it who were not to be\n", c.Extra)
	} else {
		display.Fprintf(w, "  %d people of the source's group are not in the group at Atlassian\n", c.Missing)
		display.Fprintf(w, "  %d people are in the group at Atlassian alone\n", c.Extra)
	}
	if c.Missing+c.Extra == 0 {
		display.Fprintln(w, "  that the members are the same is not known: only the name says that it is the same group")
	}
	if len(c.Opens) > 0 {
		display.Fprintf(w, "  membership opens %s\n", strings.Join(c.Opens, ", "))
	}
	if c.Note != "" {
		display.Fprintf(w, "  note: %s\n", c.Note)
	}
	synced := c.As == string(provision.Synced)
	if c.Entry == "" || !c.Fit && !synced || c.Decision == "accepted" {
		return
	}
	input := display.Input{{"conflict", c.Conflict}, {"by", messages.You}, {"note", ""}}
	if !synced {
		display.Fprintf(w, "to have the group follow the source, and so add and remove exactly these people:\n  %s\n",
			display.Update(messages.OrgSyncID(org), messages.AcceptConflict, input))
	}
	if c.Decision == "" {
		display.Fprintf(w, "to leave the group as it is:\n  %s\n",
			display.Update(messages.OrgSyncID(org), messages.RejectConflict, input))
	}
}
