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

// formatters render a pack in other formats.
var formatters = map[string]func(io.Reader, io.Writer) error{"csv": evidence.CSV, "html": evidence.HTML}

// evidenceAnswer is what review evidence prints with --json.
type evidenceAnswer struct {
	Files []string `json:"files"`
	evidence.VerifiedPack
}

func (s *session) reviewEvidence() *cobra.Command {
	var org, out string
	var formats []string
	c := &cobra.Command{
		Use: "evidence REVIEW", Short: "Fetch the evidence of a finished review, and check it",
		Long: "Fetches the pack (PREFIX.jsonl: everything that was asked, said and done), checks it, compares it with the head that the ledger\n" +
			"names, and writes a table and a page beside it that are made of it alone (PREFIX.csv, PREFIX.html).",
		Args: argCount(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, f := range formats {
				if formatters[f] == nil && f != "jsonl" {
					return fmt.Errorf("--format %q: the formats are jsonl (which is always written), csv and html", f)
				}
			}
			r, err := s.findReview(cmd.Context(), org, args[0], lastWithEvidence)
			if err != nil {
				return err
			}
			answer, err := s.fetchEvidence(cmd.Context(), r, filePrefix(out, r), formats)
			if err != nil {
				return err
			}
			return s.show(answer, func(w io.Writer) { printEvidence(w, answer) })
		},
	}
	orgFlag(c, &org)
	c.Flags().StringVar(&out, "out", "",
		"the folder to write to, or what the files' names begin with; the review's name when left out")
	c.Flags().StringSliceVar(&formats, "format", []string{"csv", "html"},
		"what is made of the pack: csv, html; jsonl alone for neither")
	return c
}

var unsafeInFileNames = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// filePrefix returns what the names of a review's evidence files begin with.
func filePrefix(out string, r reviewRef) string {
	name := unsafeInFileNames.ReplaceAllString(r.id, "-")
	if info, err := os.Stat(out); strings.HasSuffix(out, string(filepath.Separator)) || err == nil && info.IsDir() {
		return filepath.Join(out, name)
	}
	if out == "" {
		return name
	}
	return strings.TrimSuffix(out, ".jsonl")
}

// fetchEvidence fetches the pack and verifies it. A pack that fails keeps the suffix .unverified.jsonl, so that nobody
// takes it for evidence.
func (s *session) fetchEvidence(ctx context.Context, r reviewRef, prefix string, formats []string) (
	answer evidenceAnswer, err error) {
	if err := os.MkdirAll(filepath.Dir(prefix), 0o700); err != nil {
		return answer, err
	}
	file := prefix + ".jsonl"
	var seal messages.Evidence
	fetch := func(w io.Writer) error {
		seal, err = s.download(ctx, r, w)
		return err
	}
	unchecked := prefix + ".unverified.jsonl"
	if err := writeAtomically(unchecked, fetch); err != nil {
		return answer, err
	}
	if answer.VerifiedPack, err = verifyPack(unchecked, r, seal); err != nil {
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
		if err := writeAtomically(made, func(w io.Writer) error {
			pack, err := os.Open(file)
			if err != nil {
				return err
			}
			defer pack.Close()
			return formatters[format](pack, w)
		}); err != nil {
			return answer, err
		}
		answer.Files = append(answer.Files, made)
	}
	return answer, nil
}

func (s *session) download(ctx context.Context, r reviewRef, w io.Writer) (seal messages.Evidence, err error) {
	in := messages.ReportInput{Org: r.org, Kind: messages.ReportEvidence, ID: r.id}
	for {
		answer, err := s.ask(ctx, in)
		if err != nil {
			return seal, err
		}
		if answer.Evidence == nil {
			return seal, fmt.Errorf("%s has no evidence: %s", r, answer.Message)
		}
		seal = *answer.Evidence
		piece, err := gzip.NewReader(bytes.NewReader(seal.Document))
		if err == nil {
			_, err = io.Copy(w, piece) //nolint:gosec // from the organization's own worker
		}
		if err != nil {
			return seal, fmt.Errorf("the evidence of %s arrived incomplete; try again: %w", r, err)
		}
		if in.After = answer.Next; in.After == "" {
			seal.Document = nil
			return seal, nil
		}
	}
}

// verifyPack checks a pack on its own, and against the seal in the ledger.
func verifyPack(path string, r reviewRef, seal messages.Evidence) (evidence.VerifiedPack, error) {
	checked, err := verifyFile(path)
	switch {
	case err != nil:
		return checked, err
	case checked.Org != r.org || checked.Review.ID != r.id:
		return checked, fmt.Errorf("it is the evidence of review %s of %s", checked.Review.ID, checked.Org)
	case checked.Head != seal.Head || checked.Lines != seal.Lines:
		return checked, fmt.Errorf("it is consistent, but it is not the pack that was made: it has %d lines and the head %s; the ledger has %d and %s",
			checked.Lines, checked.Head, seal.Lines, seal.Head)
	}
	return checked, nil
}

func verifyFile(path string) (evidence.VerifiedPack, error) {
	pack, err := os.Open(path)
	if err != nil {
		return evidence.VerifiedPack{}, err
	}
	defer pack.Close()
	return evidence.Verify(pack)
}

func printEvidence(w io.Writer, a evidenceAnswer) {
	display.Fprintf(w, "%s: %s\nchecked: it is consistent, and has the head that the ledger recorded\n", a.Files[0],
		packSummary(a.VerifiedPack))
	if made := a.Files[1:]; len(made) > 0 {
		display.Fprintf(w, "derived from it: %s\n", strings.Join(made, ", "))
	}
	display.Fprintf(w, "head: %s\npass the files on together with the head; %s checks them anywhere\n", a.Head,
		display.Starter("verify-evidence", a.Files[0]))
}

func packSummary(c evidence.VerifiedPack) string {
	return fmt.Sprintf("review %s of %s, %s, %s, %s, %s", c.Review.ID, c.Org, c.Review.State,
		display.Count(c.Items, "item", "items"), display.Count(c.Events, "entry of its log", "entries of its log"),
		display.Count(c.Lines, "line", "lines"))
}

// verifyAnswer is what verify-evidence prints with --json.
type verifyAnswer struct {
	File     string `json:"file"`
	Compared bool   `json:"compared"` // with --head
	evidence.VerifiedPack
}

func (s *session) verifyEvidence() *cobra.Command {
	var head string
	c := &cobra.Command{
		Use: "verify-evidence FILE", Short: "Check a review's evidence without Temporal or the ledger",
		Long: "Checks the pack (….jsonl) on its own: that every line has its canonical form and follows the one before, that nothing\n" +
			"is missing, and that the lines agree with each other. Only its head proves that it is the pack that Castellan made:\n" +
			"compare it with the one in the notice to the campaign's owner, or in the ledger's chain. The exit status is 1 if the\n" +
			"check fails.",
		Args: argCount(1, 1),
		// instead of the root's, which connect to Temporal
		PersistentPreRun:  func(c *cobra.Command, _ []string) { s.out = c.OutOrStdout() },
		PersistentPostRun: func(*cobra.Command, []string) {},
		RunE: func(_ *cobra.Command, args []string) error {
			answer, err := verifyEvidenceFile(args[0], head)
			if err != nil {
				return err
			}
			return s.show(answer, func(w io.Writer) { printVerified(w, answer) })
		},
	}
	c.Flags().StringVar(&head, "head", "", "the head to expect, sha256:…")
	return c
}

var headPattern = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// verifyEvidenceFile checks a pack and, unless head is empty, compares its head.
func verifyEvidenceFile(file, head string) (verifyAnswer, error) {
	if head = strings.ToLower(strings.TrimSpace(head)); head != "" {
		if !strings.HasPrefix(head, "sha256:") {
			head = "sha256:" + head
		}
		if !headPattern.MatchString(head) {
			return verifyAnswer{}, fmt.Errorf("--head: give all of it, sha256: and 64 hexadecimal digits")
		}
	}
	checked, err := verifyFile(file)
	var unread *fs.PathError
	switch {
	case errors.As(err, &unread):
		return verifyAnswer{}, err
	case err != nil:
		return verifyAnswer{}, fmt.Errorf("%s failed the check: %w", file, err)
	case head != "" && checked.Head != head:
		return verifyAnswer{}, fmt.Errorf("%s is consistent, but it is not the pack with that head: its head is %s",
			file, checked.Head)
	}
	if rows := checked.Review.Unexplained; len(rows) > 0 {
		return verifyAnswer{}, fmt.Errorf("%s is consistent, but states that the ledger's chain did not explain what it was made from:\n  %s", file, strings.Join(rows, "\n  "))
	}
	return verifyAnswer{File: file, Compared: head != "", VerifiedPack: checked}, nil
}

func printVerified(w io.Writer, p verifyAnswer) {
	display.Fprintf(w, "%s: %s, made at %s\n", p.File, packSummary(p.VerifiedPack), localTime(p.Made))
	display.Fprintln(w, "checked: every line is canonical and follows the one before, nothing is missing, and verdicts and outcomes match the log")
	display.Fprintf(w, "head: %s\n", p.Head)
	if p.Compared {
		display.Fprintln(w, "It is consistent and has the given head: if that head is Castellan's, this is the pack that Castellan made.")
		return
	}
	display.Fprintln(w, "It is consistent. Only the head proves that it is the pack that was made: compare it (--head) with the one in the notice to\n"+
		"the campaign's owner, or in the ledger's chain (entry review-ended; starter verify-ledger says whether the chain is intact).")
}
