package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/messages"
)

// exportAnswer is what review export prints with --json.
type exportAnswer struct {
	File   string `json:"file"`
	Review string `json:"review"`
	Items  int    `json:"items"`
}

func (s *session) reviewExport() *cobra.Command {
	var org, out string
	var mine, semicolons bool
	c := &cobra.Command{
		Use: "export REVIEW", Short: "Write items as a CSV file, to fill in with a spreadsheet",
		Long: "Writes one line per item. Fill in the columns verdict (keep or remove; empty leaves the item as it is) and comment,\n" +
			"leave review, item and version as they are, save as \"CSV UTF-8\" and pass the file to starter review import. The\n" +
			"decisions that you have already made are filled in.",
		Args: argCount(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in := messages.ReportInput{Kind: messages.ReportReview, Limit: messages.MostItems}
			r, err := s.itemsQuery(cmd, &in, org, args[0], "", mine)
			if err != nil {
				return err
			}
			by := s.reviewerID(cmd.Context(), r.org)
			separator := ','
			if semicolons {
				separator = ';'
			}
			if out == "" {
				_, err := s.writeSheet(cmd.Context(), s.out, in, r, separator, by)
				return err
			}
			answer := exportAnswer{File: out, Review: r.id}
			if err := writeAtomically(out, func(w io.Writer) error {
				answer.Items, err = s.writeSheet(cmd.Context(), w, in, r, separator, by)
				return err
			}); err != nil {
				return err
			}
			return s.show(answer, func(w io.Writer) {
				display.Fprintf(w, "%s: %s of %s\nfill in verdict and comment, then: %s\n", out,
					display.Count(answer.Items, "item", "items"), r, display.Starter("review import", out))
			})
		},
	}
	orgFlag(c, &org)
	c.Flags().BoolVar(&mine, "mine", false, "only items that you (--by) are asked about in this stage")
	c.Flags().StringVar(&out, "out", "", "the file to write; standard output when left out")
	c.Flags().BoolVar(&semicolons, "semicolons", false,
		"separate cells by semicolons, as Excel expects where the comma is the decimal separator")
	return c
}

// writeSheet writes all items, page by page.
func (s *session) writeSheet(ctx context.Context, w io.Writer, in messages.ReportInput, r reviewRef, separator rune,
	by string) (items int, err error) {
	stage := 0
	sheet, err := newSheetWriter(w, r, separator,
		func(one access.ItemDecision) bool { return one.Stage == stage && by != "" && one.By == by })
	if err != nil {
		return 0, err
	}
	for {
		answer, err := s.ask(ctx, in)
		if err != nil {
			return items, err
		}
		if answer.Review != nil {
			stage = answer.Review.Review.Stage
		}
		for _, i := range answer.Items {
			if err := sheet.item(i); err != nil {
				return items, err
			}
		}
		items += len(answer.Items)
		if in.After = answer.Next; in.After == "" {
			return items, sheet.close()
		}
	}
}

// reviewerID returns the account id of the person who acts, "" if nobody is named or known by that name.
func (s *session) reviewerID(ctx context.Context, org string) string {
	if !personForm.MatchString(s.givenBy) {
		return ""
	}
	answer, err := s.ask(ctx, messages.ReportInput{Org: org, Kind: messages.ReportWhy, Person: s.givenBy})
	if err != nil || answer.Why == nil {
		return ""
	}
	return answer.Why.Person.ID
}

// writeAtomically writes a temporary file in the same folder, and renames it to path once it is complete.
func writeAtomically(path string, write func(io.Writer) error) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = file.Close()
			_ = os.Remove(file.Name())
		}
	}()
	if err := write(file); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}

// importAnswer is what review import prints with --json.
type importAnswer struct {
	File        string        `json:"file"`
	Review      string        `json:"review"`
	Lines       int           `json:"lines"`             // lines with a verdict
	Applied     int           `json:"applied"`           // lines that changed something
	Repeated    int           `json:"before"`            // lines that had been recorded before
	Empty       int           `json:"empty"`             // lines without a verdict
	CommentOnly int           `json:"talking,omitempty"` // of those, with a comment
	Refused     []refusedLine `json:"refused,omitempty"`
	Unconfirmed int           `json:"unsent,omitempty"` // lines possibly not recorded, because of an error
	Left        *int          `json:"left,omitempty"`   // items that the reviewer has not decided
}

func (s *session) reviewImport() *cobra.Command {
	var who reviewerFlags
	c := &cobra.Command{
		Use: "import FILE.csv [REVIEW]", Short: "Record the decisions of a filled-in CSV file",
		Long: "Reads a file of starter review export back. Columns are recognized by their names, in any order; commas, semicolons\n" +
			"and tabs all separate. Lines without a verdict change nothing. A line is refused if it cannot be read, belongs to\n" +
			"another review, if its item was decided or commented on since the export, or if you are not asked about it; all others\n" +
			"are applied, and the exit status is 1 then. Importing the same file again changes nothing.",
		Args: argCount(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			filled, err := openSheet(args[0])
			if err != nil {
				return err
			}
			if who.org == "" {
				who.org = filled.org
			}
			review := filled.review
			if len(args) == 2 {
				review = args[1]
			}
			if len(filled.lines) == 0 { // nothing to send
				answer, err := sendSheet(&filled, reviewRef{id: review}, nil)
				return errors.Join(err, s.showImported(args[0], answer))
			}
			if review == "" {
				return fmt.Errorf("%s: no line with a verdict names its review: give it after the file", args[0])
			}
			acting, err := s.actAsReviewer(cmd, who, review)
			if err != nil {
				return err
			}
			answer, err := sendSheet(&filled, acting.review,
				func(lines []messages.DecideLine) (messages.ReviewAnswer, error) {
					return sendWithProof(cmd.Context(), acting, messages.DecideItems,
						messages.DecideInput{By: acting.by, Lines: lines})
				})
			if shown := s.showImported(args[0], answer); err == nil {
				err = shown
			}
			return err
		},
	}
	who.flags(c)
	return c
}

// showImported shows the result, and returns an error, for the exit status, if lines were refused.
func (s *session) showImported(file string, answer importAnswer) error {
	answer.File = file
	if err := s.show(answer, func(w io.Writer) { printImported(w, answer) }); err != nil {
		return err
	}
	n := len(answer.Refused)
	switch refused := display.Count(n, "line was refused", "lines were refused"); {
	case n == 0:
		return nil
	case answer.Applied+answer.Repeated == 0:
		return fmt.Errorf("%s; nothing was applied", refused)
	default:
		return fmt.Errorf("%s; all others are applied", refused)
	}
}

func openSheet(path string) (sheet, error) {
	file, err := os.Open(path)
	if err != nil {
		return sheet{}, err
	}
	defer file.Close()
	filled, err := readSheet(file)
	if err == nil && len(filled.lines)+len(filled.refused) == 0 {
		err = fmt.Errorf("no line has a verdict (%s without one): write keep or remove into the column %s, and save the file as \"CSV UTF-8\"",
			display.Count(filled.empty, "line", "lines"), columnVerdict)
	}
	if err != nil {
		return sheet{}, fmt.Errorf("%s: %w", path, err)
	}
	return filled, nil
}

// maxCommentBytes is how many bytes of comments one update may have.
const maxCommentBytes = 256 << 10

// batches divides lines into updates.
func batches(lines []sheetLine) (all [][]sheetLine) {
	first, size := 0, 0
	for n, line := range lines {
		if n-first == messages.MostItems || size+len(line.Comment) > maxCommentBytes {
			all, first, size = append(all, lines[first:n]), n, 0
		}
		size += len(line.Comment)
	}
	if first < len(lines) {
		all = append(all, lines[first:])
	}
	return all
}

// sendLines sends one update.
type sendLines func([]messages.DecideLine) (messages.ReviewAnswer, error)

// sendSheet sends a sheet's lines to a review. An answer names only some of the items that it refused, so the others
// are sent again, which repeats no decision, until every refused line is known. An error tells how far it got.
func sendSheet(filled *sheet, r reviewRef, send sendLines) (sum importAnswer, err error) {
	lines := filled.linesFor(r)
	sum = importAnswer{Review: r.id, Lines: len(lines) + len(filled.refused), Empty: filled.empty,
		CommentOnly: filled.commentOnly, Refused: filled.refused}
	for n, batch := range batches(lines) {
		if err = sum.sendBatch(batch, send); err != nil && n > 0 {
			err = fmt.Errorf("stopped at line %d: %s\nthe lines before it were applied; importing the same file again continues from there", batch[0].line, errorText(err))
		}
		if err != nil {
			break
		}
	}
	sum.Unconfirmed = sum.Lines - len(sum.Refused) - sum.Applied - sum.Repeated
	slices.SortFunc(sum.Refused, func(a, b refusedLine) int { return a.Line - b.Line })
	return sum, err
}

func (a *importAnswer) sendBatch(batch []sheetLine, send sendLines) error {
	applied := 0
	for more := true; more && len(batch) > 0; {
		decisions := make([]messages.DecideLine, len(batch))
		for n := range batch {
			decisions[n] = batch[n].DecideLine
		}
		answer, err := send(decisions)
		if err != nil {
			return err
		}
		why := map[int]string{}
		for _, refused := range answer.Refused {
			why[refused.Item] = refused.Why
		}
		var rest []sheetLine
		for _, line := range batch {
			if text, refused := why[line.Item]; refused {
				a.Refused = append(a.Refused, refusedLine{line.line, line.Item, text})
			} else {
				rest = append(rest, line)
			}
		}
		more = answer.Declined > len(answer.Refused) && len(rest) < len(batch)
		applied, a.Applied, a.Left, batch = applied+answer.Applied, a.Applied+answer.Applied, &answer.Left, rest
	}
	a.Repeated += len(batch) - applied
	return nil
}

func printImported(w io.Writer, a importAnswer) {
	for _, r := range a.Refused {
		item := ""
		if r.Item > 0 {
			item = fmt.Sprintf("item %d: ", r.Item)
		}
		display.Fprintf(w, "line %d: %s%s\n", r.Line, display.Safe(item), r.Why)
	}
	display.Fprintf(w, "%s", a.File)
	if a.Review != "" {
		display.Fprintf(w, ", review %s", a.Review)
	}
	display.Fprintf(w, ": %s with a verdict: %d applied, %d recorded before, %d refused; %d without a verdict\n",
		display.Count(a.Lines, "line", "lines"), a.Applied, a.Repeated, len(a.Refused), a.Empty)
	if a.CommentOnly > 0 {
		display.Fprintf(w, "%s a comment but no verdict, and was ignored: use starter review comment\n",
			display.Count(a.CommentOnly, "line has", "lines have"))
	}
	if a.Unconfirmed > 0 {
		display.Fprintf(w, "%s not have been recorded\n", display.Count(a.Unconfirmed, "line may", "lines may"))
	}
	if a.Left != nil {
		display.Fprintf(w, "%s left to decide\n", display.Count(*a.Left, "item", "items"))
	}
}
