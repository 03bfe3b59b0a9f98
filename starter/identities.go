package main

import (
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/messages"
)

func (s *session) identities() *cobra.Command {
	in := messages.ReportInput{Kind: messages.ReportIdentities}
	var format string
	c := &cobra.Command{
		Use: "identities [ORG]", Short: "List the people of identity sources with their accounts, records and states",
		Long: "Counts the people of each provision by their states, then lists them, one per line, as the provision's last run found\n" +
			"them. People of sources that no provision uses are linked, or have no account, with the reason.\n" +
			"For example: --state email-drift, --state 'no account', --source corp --limit 0 --format csv",
		Args: func(c *cobra.Command, args []string) error {
			return errors.Join(csvOrNothing(c, format), argCount(0, 1)(c, args))
		},
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if in.Org, err = s.resolveOrg(cmd.Context(), args...); err != nil {
				return err
			}
			answer, err := s.askAll(cmd.Context(), in, in.Limit)
			if err != nil {
				return err
			}
			if format == "csv" {
				return writePeople(s.out, answer.People)
			}
			return s.show(answer, func(w io.Writer) { printPeople(w, answer) })
		},
	}
	c.Flags().StringVar(&in.Provision, "provision", "", "only people of this provision")
	c.Flags().StringVar(&in.Source, "source", "", "only people of this identity source")
	c.Flags().StringVar(&in.State, "state", "", "only people in this state, for example unlinked")
	c.Flags().IntVar(&in.Limit, "limit", 200, "the most people to list; 0: all of them")
	c.Flags().StringVar(&in.After, "after", "", "continue a list: the value of next in the previous answer")
	c.Flags().StringVar(&format, "format", "", "csv: a table for spreadsheets, without the counts")
	return c
}

func printPeople(w io.Writer, answer messages.ReportAnswer) {
	for _, c := range answer.States {
		display.Fprintf(w, "%s: %d %s\n", c.Of, c.Count, c.State)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\nIDENTITY\tADDRESS\tSTATE\tACCOUNT\tRECORD\tPROVISION\tDETAIL")
	for _, p := range answer.People {
		detail := p.Detail
		if !p.Stated.IsZero() {
			detail = strings.TrimPrefix(detail+"; stated at "+localTime(p.Stated), "; ")
		}
		display.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", cmp.Or(p.Identity, "no identity"), p.Address,
			p.State, p.Account, p.Record, p.Provision, detail)
	}
	_ = table.Flush()
	if answer.Next != "" {
		display.Fprintf(w, "\nmore: --after %s\n", display.Safe(display.Quote(answer.Next)))
	}
}

// writePeople writes people as CSV lines, without the counts.
func writePeople(w io.Writer, people []messages.PersonState) error {
	rows := [][]string{{"identity", "address", "state", "account", "record", "provision", "detail", "stated"}}
	for _, p := range people {
		stated := ""
		if !p.Stated.IsZero() {
			stated = p.Stated.UTC().Format(time.RFC3339)
		}
		rows = append(rows,
			[]string{p.Identity, p.Address, p.State, p.Account, p.Record, p.Provision, p.Detail, stated})
	}
	return writeCSV(w, rows)
}

// writeCSV writes rows for spreadsheets: no cell is evaluated as a formula.
func writeCSV(w io.Writer, rows [][]string) error {
	for _, row := range rows {
		for i := range row {
			row[i] = display.Cell(row[i])
		}
	}
	return csv.NewWriter(w).WriteAll(rows)
}

// csvOrNothing refuses other formats.
func csvOrNothing(c *cobra.Command, format string) error {
	if format != "" && format != "csv" {
		return usageError(c, "--format is csv, or left out, not %q", format)
	}
	return nil
}

// printIdentities prints what a person is in identity sources.
func printIdentities(w io.Writer, all []messages.ExplainedIdentity) {
	for _, i := range all {
		section(w, "identity "+i.Identity, func(t io.Writer) {
			display.Fprintf(t, "  in the source\t%s since %s\n", i.State, localTime(i.Since))
			if !i.Stated.IsZero() {
				display.Fprintf(t, "  stated\tat %s\n", localTime(i.Stated))
			}
			if i.Lapsed {
				display.Fprintf(t, "  counts\tno: it is longer ago than sources.valid, or the ledger's chain does not explain it; given access stays, nothing new is given\n")
			}
			display.Fprintf(t, "  address\t%s\n", i.Address)
			if i.Account == "" {
				display.Fprintf(t, "  account\tnone\n")
			} else {
				display.Fprintf(t, "  account\t%s, since %s, by %s\n", i.Account, localTime(i.Linked), i.LinkedBy)
			}
			printFacts(t, i.Attributes)
			for _, g := range i.Groups {
				if len(g.Gives) > 0 {
					display.Fprintf(t, "  group %s\tgives %s\n", g.Group, joined(g.Gives))
				}
				if g.Waits != "" {
					display.Fprintf(t, "  group %s\twaits: group %s differs from it, see starter conflicts\n", g.Group, g.Waits)
				}
			}
			if i.Others > 0 {
				display.Fprintf(t, "  %d other groups\tgive nothing\n", i.Others)
			}
		})
	}
}

func joined[T ~string](all []T) string {
	words := make([]string, len(all))
	for i, one := range all {
		words[i] = string(one)
	}
	return strings.Join(words, ", ")
}

// printRecords prints what provisions make of a person, and what the next run would write.
func printRecords(w io.Writer, all []messages.ExplainedRecord) {
	for _, r := range all {
		section(w, "record of provision "+r.Provision, func(t io.Writer) {
			display.Fprintf(t, "  state\t%s\n", r.State)
			if r.Record != "" {
				display.Fprintf(t, "  record\t%s, found by %s\n", r.Record, r.Found)
				display.Fprintf(t, "  account\t%s\n", cmp.Or(r.Account, "none"))
			}
			if !r.Bound.IsZero() {
				display.Fprintf(t, "  bound\tsince %s, by %s\n", localTime(r.Bound), r.BoundBy)
			}
			display.Fprintf(t, "  the next run\t%s\n", r.Action)
			if !r.Due.IsZero() {
				display.Fprintf(t, "  not before\t%s\n", localTime(r.Due))
			}
			for _, e := range r.Edits {
				what := "writes"
				if e.From != "" {
					what = "overwrites"
				}
				display.Fprintf(t, "  %s\t%s\n", what, e)
			}
			if len(r.HeldBy) > 0 {
				display.Fprintf(t, "  the guard would hold it\t%s\n", strings.Join(r.HeldBy, ", "))
			}
			for _, g := range r.Groups {
				held := ""
				if len(g.HeldBy) > 0 {
					held = "; the guard would hold it: " + strings.Join(g.HeldBy, ", ")
				}
				display.Fprintf(t, "  group %s\t%s; of %s, by %s%s\n", g.Group, g.Standing, g.Source,
					cmp.Or(g.Entry, "no entry any more"), held)
			}
			for _, n := range r.Notes {
				display.Fprintf(t, "  noticed\t%s\n", n)
			}
		})
	}
}

// printSources prints how the identity sources of the policy stand.
func printSources(w io.Writer, s messages.OrgSyncState) {
	for _, one := range s.Settings.Sources {
		i := slices.IndexFunc(s.Sources, func(known messages.SourceStatus) bool { return known.Name == one.Name })
		if i < 0 {
			display.Fprintf(w, "  source %s: being read for the first time\n", one.Name)
			continue
		}
		known := s.Sources[i]
		switch {
		case known.Posts:
			printPosts(w, known)
		case known.Read.IsZero():
			display.Fprintf(w, "  source %s: never read completely\n", one.Name)
		default:
			display.Fprintf(w, "  source %s: %d people, %d groups, read completely at %s\n", one.Name, known.People,
				known.Groups, localTime(known.Read))
		}
		if known.Problem != "" {
			display.Fprintf(w, "    cannot be read since %s; until it can, nobody counts as gone: %s\n", localTime(known.Failing),
				known.Problem)
		}
		if known.Suspect != "" {
			display.Fprintf(w, "    suspect: %s. Nothing that is missing counts as gone until you accept it:\n    %s\n", known.Suspect,
				display.Update(messages.OrgSyncID(s.Org), messages.AcceptSource,
					display.Input{{"source", one.Name}, {"lacks", known.Lacks}, {"by", messages.You}, {"note", ""}}))
		}
		if known.Missing > 0 {
			display.Fprintf(w, "    %d missing from the last read; each is looked up again before it counts as gone\n",
				known.Missing)
		}
	}
}

// printPosts prints how a source that posts stands.
func printPosts(w io.Writer, known messages.SourceStatus) {
	if known.Posted.IsZero() {
		display.Fprintf(w, "  source %s: nothing was posted yet\n", known.Name)
	} else {
		display.Fprintf(w, "  source %s: %d people, %d groups, last posted at %s\n", known.Name, known.People, known.Groups,
			localTime(known.Posted))
	}
	if known.Quiet {
		display.Fprintf(w, "    quiet: nothing was posted for longer than the policy expects (sources.quiet); nobody loses anything by that\n")
	}
	if known.Refused > 0 {
		display.Fprintf(w, "    %d posts were refused, the last at %s: %s\n", known.Refused, localTime(known.RefusedAt),
			known.RefusedFor)
	}
}

// printProvisions prints how the provisions of the policy stand.
func printProvisions(w io.Writer, s messages.OrgSyncState) {
	for _, one := range s.Settings.Provisions {
		i := slices.IndexFunc(s.Provisions, func(known messages.ProvisionStatus) bool { return known.Name == one.Name })
		if i < 0 {
			display.Fprintf(w, "  provision %s: not run yet; it starts after the first full verification\n", one.Name)
			continue
		}
		known := s.Provisions[i]
		display.Fprintf(w, "  provision %s: %s, at %s; %d managed accounts without a record\n", one.Name,
			stateCounts(known.States), localTime(known.Done), known.Gap)
		if p := known.Problem; p != nil {
			display.Fprintf(w, "    problem since %s: %s: %s; next attempt: %s\n", localTime(p.Since), p.Kind, p.Message,
				localTime(p.Retry))
		}
		if g := known.Groups; g != nil {
			display.Fprintf(w, "    groups: %d, with %d memberships\n", g.Groups, g.Memberships)
		}
		for _, f := range known.Findings {
			display.Fprintf(w, "    noticed: %s\n", f)
		}
	}
	if len(s.Settings.Sources) > 0 {
		display.Fprintf(w, "  the people and their states: %s\n", display.Starter("identities", s.Org))
	}
}

// stateCounts lists how many people are in which state.
func stateCounts(states []messages.StateCount) string {
	var words []string
	for _, one := range states {
		words = append(words, strconv.Itoa(one.Count)+" "+one.State)
	}
	return cmp.Or(strings.Join(words, ", "), "nobody")
}
