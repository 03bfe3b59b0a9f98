package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/messages"
)

func (s *session) reviewShow() *cobra.Command {
	var org, target string
	var mine bool
	in := messages.ReportInput{Kind: messages.ReportReview}
	c := &cobra.Command{
		Use: "show REVIEW", Short: "Show a review's progress and its items, the riskiest first",
		Long: "Shows the review's phase, who has most left to decide, and its items with what a reviewer needs to know about each, as\n" +
			"of when the review opened. --mine shows what you are asked about.",
		Args: argCount(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := s.itemsQuery(cmd, &in, org, args[0], target, mine)
			if err != nil {
				return err
			}
			answer, err := s.askAll(cmd.Context(), in, in.Limit)
			if err != nil {
				return err
			}
			return s.show(answer, func(w io.Writer) { printReview(w, r, answer, in) })
		},
	}
	orgFlag(c, &org)
	c.Flags().BoolVar(&mine, "mine", false, "only items that you (--by) are asked about in this stage")
	c.Flags().BoolVar(&in.Open, "undecided", false, "only undecided items; with --mine, those that you have not decided")
	c.Flags().StringVar(&in.Person, "person", "", "only what this person holds: e-mail address or account id")
	c.Flags().StringVar(&target, "target", "", "only this target")
	c.Flags().StringSliceVar(&in.States, "outcome", nil, "only items with these outcomes, for example held or refused")
	c.Flags().IntVar(&in.Limit, "limit", 50, "the most items to list; 0: all of them")
	c.Flags().StringVar(&in.After, "after", "", "continue a list: the value of next in the previous answer")
	return c
}

// itemsQuery completes the query for a review's items from the flags.
func (s *session) itemsQuery(cmd *cobra.Command, in *messages.ReportInput, org, name, target string,
	mine bool) (r reviewRef, err error) {
	if err := checkOutcomes(in.States); err != nil {
		return r, err
	}
	if target != "" {
		if in.Target, err = access.ParseEntitlement(target); err != nil {
			return r, err
		}
	}
	if mine {
		if in.By, err = s.actingPerson(); err != nil {
			return r, err
		}
	}
	if r, err = s.openReview(cmd.Context(), org, name); err != nil {
		return r, err
	}
	in.Org, in.ID = r.org, r.id
	return r, nil
}

const maxReviewersShown = 10

func printReview(w io.Writer, r reviewRef, answer messages.ReportAnswer, in messages.ReportInput) {
	if answer.Review == nil {
		display.Fprintln(w, answer.Message)
		return
	}
	printHeader(w, r, *answer.Review)
	if len(answer.Items) == 0 {
		display.Fprintln(w, "\nno items match")
		return
	}
	for _, i := range answer.Items {
		printItem(w, i)
	}
	if answer.Next != "" {
		display.Fprintf(w, "\nmore: --after %s\n", display.Safe(display.Quote(answer.Next)))
	}
	if in.By != "" && answer.Review.Review.State == access.ReviewOpen {
		display.Fprintf(w, "\ndecide: %s keep ITEM… (or remove ITEM…, or --recommended)\n",
			r.command("decide").With("--by", in.By))
	}
}

func printHeader(w io.Writer, r reviewRef, status messages.ReviewStatus) {
	is, p := status.Review, status.Progress
	display.Fprintf(w, "%s: %s\n", r, reviewState(is))
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) {
		display.Fprintf(table, "  "+name+"\t"+format+"\n", args...)
	}
	line("opened", "%s, %s", localTime(is.Opened), display.Count(is.Items, "item", "items"))
	if is.State == access.ReviewOpen {
		line("due", "%s", localTime(is.Due))
		line("decided", "%d of %d in this stage", p.Decided, p.Asked)
	}
	line("verdicts", "%d keep, %d remove, %d none", p.Keep, p.Remove, max(0, p.Items-p.Keep-p.Remove))
	if len(p.Outcomes) > 0 {
		line("outcomes", "%s", outcomeCounts(p.Outcomes))
	}
	if p.Plan != "" {
		line("held", "the guard holds plan %s: %s", p.Plan, display.Starter("plan --held", r.org))
	}
	if is.ClosedBy != "" || is.ClosedWhy != "" {
		line("closed", "%s, %s", localTime(is.Closed),
			strings.Join(slices.DeleteFunc([]string{is.ClosedBy, is.ClosedWhy}, func(s string) bool { return s == "" }),
				": "))
	}
	if is.Head != "" {
		line("evidence", "%d lines, head %s: %s", is.Lines, is.Head, r.command("evidence"))
	}
	for _, f := range is.Findings {
		line("noticed", "%s", f)
	}
	_ = table.Flush()
	if is.State == access.ReviewOpen {
		printRemaining(w, p.Reviewers)
	}
}

// printRemaining prints the reviewers who have most left to decide.
func printRemaining(w io.Writer, reviewers []messages.ReviewerProgress) {
	all := slices.DeleteFunc(slices.Clone(reviewers),
		func(one messages.ReviewerProgress) bool { return one.Decided == one.Items })
	if len(all) == 0 {
		return
	}
	display.Fprintln(w, "\nwho has most left:")
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, one := range all[:min(len(all), maxReviewersShown)] {
		var more string
		if one.Role != access.TaskReviewer {
			more = ", as " + string(one.Role)
		}
		if one.Gone {
			more += ", gone"
		}
		display.Fprintf(table, "  %s\t%d of %d decided%s\n", one.Who(), one.Decided, one.Items, more)
	}
	_ = table.Flush()
	if n := len(all) - maxReviewersShown; n > 0 {
		display.Fprintf(w, "  and %d more\n", n)
	}
}

// outcomeCounts counts items by outcome, exceptions first.
func outcomeCounts(numbers map[access.Outcome]int) string {
	var words []string
	for _, exception := range []bool{true, false} {
		for _, o := range outcomes {
			if n := numbers[o]; n > 0 && o.Exception() == exception {
				words = append(words, fmt.Sprintf("%d %s", n, o))
			}
		}
	}
	return strings.Join(words, ", ")
}

func printItem(w io.Writer, i access.Item) {
	display.Fprintf(w, "\n%d  risk %d  %s%s  %s\n", i.N, i.Risk, personOf(i), personDetails(i), i.Target)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name, text string) {
		if text != "" {
			display.Fprintf(table, "   %s\t%s\n", name, text)
		}
	}
	line("why held", whyHeld(i))
	line("since", heldSince(i)+", made by "+madeBy(i))
	line("last use", lastUse(i))
	line("peers", peersOf(i))
	line("risks", strings.Join(i.Risks, ", "))
	line("before", previousDecision(i))
	line("recommended", recommended(i))
	line("decided", decisionText(i))
	line("outcome", outcomeText(i))
	_ = table.Flush()
}

// personDetails returns a person's name and whatever is unusual about them, in parentheses.
func personDetails(i access.Item) display.Safe {
	var words []string
	if i.Name != "" {
		words = append(words, i.Name)
	}
	if i.External != nil && *i.External {
		words = append(words, "external")
	}
	if i.Sponsor != "" {
		words = append(words, "sponsor "+cmp.Or(i.SponsorEmail, i.Sponsor))
	}
	if i.Status != "" && i.Status != "active" {
		words = append(words, i.Status)
	}
	if len(words) == 0 {
		return ""
	}
	return display.Safe(" (" + display.Terminal(strings.Join(words, ", ")) + ")")
}

func recommended(i access.Item) string {
	switch {
	case i.Recommend == "":
		return "nothing"
	case i.Because == "":
		return string(i.Recommend)
	}
	return string(i.Recommend) + ": " + i.Because
}

func decisionText(i access.Item) string {
	switch {
	case i.Verdict == "" && len(i.Said) == 0:
		return "by nobody yet"
	case i.Silent:
		return string(i.Verdict) + " by nobody: the rule for silence"
	case len(i.Said) > 1:
		return string(i.Verdict) + " (" + decisionsText(i, nil) + ")"
	}
	return decisionsText(i, nil)
}

func outcomeText(i access.Item) string {
	if i.Outcome == "" {
		return ""
	}
	text := string(i.Outcome)
	if i.Why != "" {
		text += ": " + i.Why
	}
	if !i.Until.IsZero() {
		text += ", until " + localTime(i.Until)
	}
	return text
}
