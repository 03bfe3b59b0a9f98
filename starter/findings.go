package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/messages"
)

func (s *session) findings() *cobra.Command {
	var now bool
	var id, format, out string
	c := &cobra.Command{
		Use: "findings [ORG]", Short: "Show the governance report: broad access, admins, external people, inactive people, …",
		Long: "Shows the newest governance report; with --now, makes one first, which reads everybody and changes nothing.\n" +
			"The policy's governance section schedules it. --format json, csv or html prints the whole report.",
		Args: argCount(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if out != "" && format == "" {
				return errors.New("choose a format: --format json, csv or html")
			}
			org, err := s.resolveOrg(cmd.Context(), args...)
			if err != nil {
				return err
			}
			in := messages.ReportInput{Org: org, Kind: messages.ReportFindings, ID: id}
			if now {
				in.Kind = messages.ReportGovernance
			}
			answer, err := s.ask(cmd.Context(), in)
			if err != nil {
				return err
			}
			if format == "" {
				return s.show(answer, func(w io.Writer) { printFindings(w, *answer.Report) })
			}
			in = messages.ReportInput{Org: org, Kind: messages.ReportFindings, ID: answer.Report.ID, Format: format}
			var packed bytes.Buffer
			for more := true; more; more = in.After != "" {
				piece, err := s.ask(cmd.Context(), in)
				if err != nil {
					return err
				}
				packed.Write(piece.Report.Document)
				in.After = piece.Next
			}
			return s.writeDocument(&packed, out)
		},
	}
	c.Flags().BoolVar(&now, "now", false, "make a report first")
	c.Flags().StringVar(&id, "id", "", "an earlier report")
	c.Flags().StringVar(&format, "format", "", "the whole report: json, csv or html")
	c.Flags().StringVar(&out, "out", "", "the file to write; standard output when left out")
	return c
}

// writeDocument writes a document to a file, or to standard output.
func (s *session) writeDocument(packed io.Reader, out string) error {
	document, err := gzip.NewReader(packed)
	if err != nil {
		return fmt.Errorf("the report arrived incomplete; try again: %w", err)
	}
	whole, err := io.ReadAll(document)
	if err != nil {
		return fmt.Errorf("the report arrived incomplete; try again: %w", err)
	}
	if out == "" {
		_, err = s.out.Write(whole)
		return err
	}
	if err := os.WriteFile(out, whole, 0o600); err != nil {
		return err
	}
	display.Fprintf(s.out, "%s: %d bytes\n", out, len(whole))
	return nil
}

func printFindings(w io.Writer, g messages.Governance) {
	display.Fprintf(w, "governance report %s of %s\n\n", g.ID, localTime(g.At))
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\tCOUNT\tNEW\tGONE\tWHAT")
	number := func(n int) string {
		if n < 0 {
			return "?"
		}
		return strconv.Itoa(n)
	}
	for _, f := range g.Sections {
		count := strconv.Itoa(f.Count)
		if f.Incomplete != "" {
			count = "not known: " + f.Incomplete
		}
		display.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", f.Severity, count, number(f.New), number(f.Gone), f.Title)
	}
	_ = table.Flush()
	display.Fprintf(w, "\nthe whole report: --format html --out findings.html (or csv, json)\n")
}
