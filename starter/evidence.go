package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/evidence"
	"github.com/castellan-io/castellan/messages"
)

// The forms of evidence that are made of a pack, with what makes them.
var forms = map[string]func(io.Reader, io.Writer) error{"csv": evidence.CSV, "html": evidence.HTML}

// fetched is the answer of review evidence as JSON.
type fetched struct {
	Files []string `json:"files"`
	evidence.Checked
}

func (s *session) reviewEvidence() *cobra.Command {
	var org, out string
	var formats []string
	c := &cobra.Command{
		Use: "evidence REVIEW", Short: "Fetch the evidence of a finished review, and check it",
		Long: "Fetches the pack (PREFIX.jsonl: everything that was asked, said and done), checks it, compares it with the head that the ledger\n" +
			"names, and writes a table and a page beside it that are made of it alone (PREFIX.csv, PREFIX.html).",
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, f := range formats {
				if forms[f] == nil && f != "jsonl" {
					return fmt.Errorf("--format %q: the formats are jsonl (which is always written), csv and html", f)
				}
			}
			r, err := s.chosen(cmd.Context(), org, args[0], lastOf)
			if err != nil {
				return err
			}
			answer, err := s.fetchEvidence(cmd.Context(), r, prefixOf(out, r), formats)
			if err != nil {
				return err
			}
			return s.show(answer, func(w io.Writer) { printFetched(w, answer) })
		},
	}
	orgFlag(c, &org)
	c.Flags().StringVar(&out, "out", "",
		"the folder to write to, or what the files' names begin with; the review's name when left out")
	c.Flags().StringSliceVar(&formats, "format", []string{"csv", "html"},
		"what is made of the pack: csv, html; jsonl alone for neither")
	return c
}

var notInFiles = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// prefixOf is what the files of a review's evidence begin with.
func prefixOf(out string, r aReview) string {
	name := notInFiles.ReplaceAllString(r.id, "-")
	if info, err := os.Stat(out); strings.HasSuffix(out, string(filepath.Separator)) || err == nil && info.IsDir() {
		return filepath.Join(out, name)
	}
	if out == "" {
		return name
	}
	return strings.TrimSuffix(out, ".jsonl")
}

// fetchEvidence fetches the pack and checks it. What does not hold gets another name: nobody is to take it for
// evidence.
func (s *session) fetchEvidence(ctx context.Context, r aReview, prefix string, formats []string) (answer fetched,
	err error) {
	if err := os.MkdirAll(filepath.Dir(prefix), 0o700); err != nil {
		return answer, err
	}
	file := prefix + ".jsonl"
	var named messages.Evidence
	fetch := func(w io.Writer) error {
		named, err = s.download(ctx, r, w)
		return err
	}
	unchecked := prefix + ".unverified.jsonl"
	if err := replaced(unchecked, fetch); err != nil {
		return answer, err
	}
	if answer.Checked, err = checkedPack(unchecked, r, named); err != nil {
		return answer, fmt.Errorf("the evidence of %s failed its check; what was received is in %s: %w", r, unchecked, err)
	}
	if err := os.Rename(unchecked, file); err != nil {
		return answer, err
	}
	answer.Files = []string{file}
	for _, format := range []string{"csv", "html"} {
		if !slices.Contains(formats, format) {
			continue
		}
		made := prefix + "." + format
		if err := replaced(made, func(w io.Writer) error {
			pack, err := os.Open(file)
			if err != nil {
				return err
			}
			defer pack.Close()
			return forms[format](pack, w)
		}); err != nil {
			return answer, err
		}
		answer.Files = append(answer.Files, made)
	}
	return answer, nil
}

// download fetches a pack piece by piece.
func (s *session) download(ctx context.Context, r aReview, w io.Writer) (named messages.Evidence, err error) {
	in := messages.ReportInput{Org: r.org, Kind: messages.ReportEvidence, ID: r.id}
	for {
		answer, err := s.ask(ctx, in)
		if err != nil {
			return named, err
		}
		if answer.Evidence == nil {
			return named, fmt.Errorf("%s has no evidence: %s", r, answer.Message)
		}
		named = *answer.Evidence
		piece, err := gzip.NewReader(bytes.NewReader(named.Document))
		if err == nil {
			_, err = io.Copy(w, piece) //nolint:gosec // it comes from the organization's own worker
		}
		if err != nil {
			return named, fmt.Errorf("the evidence of %s arrived incomplete; try again: %w", r, err)
		}
		if in.After = answer.Next; in.After == "" {
			named.Document = nil
			return named, nil
		}
	}
}

// checkedPack checks a pack against itself, and against what the ledger says of it.
func checkedPack(path string, r aReview, named messages.Evidence) (evidence.Checked, error) {
	checked, err := verified(path)
	switch {
	case err != nil:
		return checked, err
	case checked.Org != r.org || checked.Review.ID != r.id:
		return checked, fmt.Errorf("it is the evidence of review %s of %s", checked.Review.ID, checked.Org)
	case checked.Head != named.Head || checked.Lines != named.Lines:
		return checked, fmt.Errorf("it is consistent, but it is not the pack that was made: it has %d lines and the head %s; the ledger has %d and %s",
			checked.Lines, checked.Head, named.Lines, named.Head)
	}
	return checked, nil
}

func verified(path string) (evidence.Checked, error) {
	pack, err := os.Open(path)
	if err != nil {
		return evidence.Checked{}, err
	}
	defer pack.Close()
	return evidence.Verify(pack)
}

func printFetched(w io.Writer, a fetched) {
	display.Fprintf(w, "%s: %s\nchecked: it is consistent, and has the head that the ledger recorded\n", a.Files[0],
		packWords(a.Checked))
	if made := a.Files[1:]; len(made) > 0 {
		display.Fprintf(w, "derived from it: %s\n", strings.Join(made, ", "))
	}
	display.Fprintf(w, "head: %s\npass the files on together with the head; %s checks them anywhere\n", a.Head,
		display.Starter("verify-evidence", a.Files[0]))
}

// packWords says what a pack holds.
func packWords(c evidence.Checked) string {
	return fmt.Sprintf("review %s of %s, %s, %s, %s, %s", c.Review.ID, c.Org, c.Review.State,
		counted(c.Items, "item", "items"), counted(c.Events, "entry of its log", "entries of its log"),
		counted(c.Lines, "line", "lines"))
}

// proven is the answer of verify-evidence as JSON.
type proven struct {
	File     string `json:"file"`
	Compared bool   `json:"compared"` // with the head given
	evidence.Checked
}

func (s *session) verifyEvidence() *cobra.Command {
	var head string
	c := &cobra.Command{
		Use: "verify-evidence FILE", Short: "Check a review's evidence without Temporal or the ledger",
		Long: "Checks the pack (….jsonl) on its own: that every line has its canonical form and follows the one before, that nothing\n" +
			"is missing, and that the lines agree with each other. Only its head proves that it is the pack that Castellan made:\n" +
			"compare it with the one in the notice to the campaign's owner, or in the ledger's chain. The exit status is 1 if the\n" +
			"check fails.",
		Args: takes(1, 1),
		// in place of the root's, which reach Temporal
		PersistentPreRun:  func(c *cobra.Command, _ []string) { s.out = c.OutOrStdout() },
		PersistentPostRun: func(*cobra.Command, []string) {},
		RunE: func(_ *cobra.Command, args []string) error {
			answer, err := proof(args[0], head)
			if err != nil {
				return err
			}
			return s.show(answer, func(w io.Writer) { printProven(w, answer) })
		},
	}
	c.Flags().StringVar(&head, "head", "", "the head to expect, sha256:…")
	return c
}

var headForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// proof checks a pack, and its head if there is one to compare it with.
func proof(file, head string) (proven, error) {
	if head = strings.ToLower(strings.TrimSpace(head)); head != "" {
		if !strings.HasPrefix(head, "sha256:") {
			head = "sha256:" + head
		}
		if !headForm.MatchString(head) {
			return proven{}, fmt.Errorf("--head: give all of it, sha256: and 64 hexadecimal digits")
		}
	}
	checked, err := verified(file)
	var unread *fs.PathError
	switch {
	case errors.As(err, &unread):
		return proven{}, err
	case err != nil:
		return proven{}, fmt.Errorf("%s failed the check: %w", file, err)
	case head != "" && checked.Head != head:
		return proven{}, fmt.Errorf("%s is consistent, but it is not the pack with that head: its head is %s",
			file, checked.Head)
	}
	if rows := checked.Review.Unexplained; len(rows) > 0 {
		return proven{}, fmt.Errorf("%s is consistent, but states that the ledger's chain did not explain what it was made from:\n  %s", file, strings.Join(rows, "\n  "))
	}
	return proven{File: file, Compared: head != "", Checked: checked}, nil
}

func printProven(w io.Writer, p proven) {
	display.Fprintf(w, "%s: %s, made at %s\n", p.File, packWords(p.Checked), when(p.Made))
	display.Fprintln(w, "checked: every line is canonical and follows the one before, nothing is missing, and verdicts and outcomes match the log")
	display.Fprintf(w, "head: %s\n", p.Head)
	if p.Compared {
		display.Fprintln(w, "It is consistent and has the given head: if that head is Castellan's, this is the pack that Castellan made.")
		return
	}
	display.Fprintln(w, "It is consistent. Only the head proves that it is the pack that was made: compare it (--head) with the one in the notice to\n"+
		"the campaign's owner, or in the ledger's chain (entry review-ended; starter verify-ledger says whether the chain is intact).")
}
