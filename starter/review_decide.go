package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/messages"
)

func (s *session) reviewDecide() *cobra.Command {
	var who reviewerFlags
	var target, comment string
	var recommended bool
	var all messages.ItemFilter
	c := &cobra.Command{
		Use:   "decide REVIEW keep|remove [ITEM…] | decide REVIEW --recommended",
		Short: "Keep or remove what you are asked about",
		Long: "Records that items should be kept or removed: the numbered ones, or all of yours that match the flags. --recommended\n" +
			"decides your undecided items as recommended, and leaves those without a recommendation. Your earlier decisions on\n" +
			"these items are replaced. The exit status is 1 if items were refused; the others are decided all the same.",
		Example: `  starter review decide quarterly keep 1 4 7-12
  starter review decide quarterly remove --target group:jira-admins --undecided --comment 'one admin is enough'
  starter review decide quarterly --recommended`,
		Args: argCount(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if all.Target, err = optionalTarget(target); err != nil {
				return err
			}
			inputs, err := decideInputs(args[1:], all, recommended, comment)
			if err != nil {
				return err
			}
			acting, err := s.actAsReviewer(cmd, who, args[0])
			if err != nil {
				return err
			}
			var sum messages.ReviewAnswer
			for _, input := range inputs {
				input.By = acting.by
				answer, err := sendWithProof(cmd.Context(), acting, messages.DecideItems, input)
				if err != nil {
					return partialError(sum, err)
				}
				sum = mergeAnswers(sum, answer)
			}
			return s.showReviewAnswer(sum)
		},
	}
	who.flags(c)
	c.Flags().StringVar(&all.Person, "person", "", "all of your items that this person holds: e-mail address or account id")
	c.Flags().StringVar(&target, "target", "", "all of your items of this target")
	c.Flags().BoolVar(&recommended, "recommended", false, "all of your undecided items, as recommended")
	c.Flags().BoolVar(&all.Undecided, "undecided", false, "only items that you have not decided; alone: all of them")
	c.Flags().StringVar(&comment, "comment", "", "why; it is kept in the evidence")
	return c
}

func optionalTarget(written string) (access.Entitlement, error) {
	if written == "" {
		return "", nil
	}
	return access.ParseEntitlement(written)
}

// decideInputs returns the updates to send for a decide command.
func decideInputs(args []string, all messages.ItemFilter, recommended bool, comment string) ([]messages.DecideInput,
	error) {
	if err := checkComment(comment); err != nil {
		return nil, err
	}
	if recommended {
		if len(args) > 0 {
			return nil, errors.New("--recommended decides all undecided items as recommended: leave out the verdict and the items")
		}
		all.Undecided = true
		keep, remove := all, all
		keep.Recommend, remove.Recommend = access.VerdictKeep, access.VerdictRemove
		return []messages.DecideInput{
			{Verdict: access.VerdictKeep, Comment: comment, All: &keep},
			{Verdict: access.VerdictRemove, Comment: comment, All: &remove},
		}, nil
	}
	if len(args) == 0 {
		return nil, errors.New("give keep or remove after the review, or --recommended")
	}
	verdict, ok := verdictOf(args[0])
	if !ok {
		return nil, fmt.Errorf("%q is not a verdict: give keep or remove", args[0])
	}
	items, err := parseItems(args[1:])
	switch {
	case err != nil:
		return nil, err
	case len(items) > 0 && all != messages.ItemFilter{}:
		return nil, errors.New("name the items by number or by flags, not both")
	case len(items) == 0 && all == messages.ItemFilter{}:
		return nil, errors.New("name the items: by number, --person, --target, or --undecided for all that you have not decided")
	case len(items) == 0:
		return []messages.DecideInput{{Verdict: verdict, Comment: comment, All: &all}}, nil
	}
	var inputs []messages.DecideInput
	for some := range slices.Chunk(items, messages.MostItems) {
		inputs = append(inputs, messages.DecideInput{Verdict: verdict, Comment: comment, Items: some})
	}
	return inputs, nil
}

// verdictOf parses a verdict, in upper or lower case.
func verdictOf(written string) (v access.Verdict, ok bool) {
	v = access.Verdict(strings.ToLower(strings.TrimSpace(written)))
	return v, v == access.VerdictKeep || v == access.VerdictRemove
}

func checkComment(comment string) error {
	if n := len([]rune(comment)); n > messages.MostComment {
		return fmt.Errorf("the comment has %d characters; at most %d are allowed", n, messages.MostComment)
	}
	return nil
}

// maxItems is how many items ranges may comprise.
const maxItems = 100_000

// parseItems parses items as they are typed: 3, 7-12, or 3,4.
func parseItems(written []string) (items []int, err error) {
	for _, word := range strings.FieldsFunc(strings.Join(written, ","),
		func(r rune) bool { return r == ',' || r == ' ' }) {
		first, last, isRange := strings.Cut(word, "-")
		if !isRange {
			last = first
		}
		from, err1 := strconv.Atoi(first)
		to, err2 := strconv.Atoi(last)
		switch {
		case err1 != nil || err2 != nil || from < 1 || to < from:
			return nil, fmt.Errorf("%q is not an item: give a number such as 3, or a range such as 7-12", word)
		case to-from+len(items) >= maxItems:
			return nil, fmt.Errorf("%q: too many items", word)
		}
		for n := from; n <= to; n++ {
			items = append(items, n)
		}
	}
	slices.Sort(items)
	return slices.Compact(items), nil
}

func (s *session) reviewDelegate() *cobra.Command {
	var who reviewerFlags
	var in messages.DelegateInput
	c := &cobra.Command{
		Use: "delegate REVIEW --to WHO [ITEM…]", Short: "Delegate items to someone else, who is notified",
		Long: "Delegates items that you have not decided to someone else: the numbered ones, or all of them.",
		Args: argCount(1, -1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if in.Items, err = parseItems(args[1:]); err != nil {
				return err
			}
			if err := checkComment(in.Comment); err != nil {
				return err
			}
			acting, err := s.actAsReviewer(cmd, who, args[0])
			if err != nil {
				return err
			}
			in.By = acting.by
			answer, err := sendWithProof(cmd.Context(), acting, messages.DelegateItems, in)
			if err != nil {
				return err
			}
			return s.showReviewAnswer(answer)
		},
	}
	who.flags(c)
	c.Flags().StringVar(&in.To, "to", "", "who decides instead: e-mail address or account id")
	c.Flags().StringVar(&in.Comment, "comment", "", "why; it is kept in the evidence")
	_ = c.MarkFlagRequired("to")
	return c
}

func (s *session) reviewComment() *cobra.Command {
	var who reviewerFlags
	c := &cobra.Command{
		Use: "comment REVIEW ITEM TEXT", Short: "Comment on an item without deciding it",
		Args: argCount(3, 3),
		RunE: func(cmd *cobra.Command, args []string) error {
			items, err := parseItems(args[1:2])
			if err != nil {
				return err
			}
			if len(items) != 1 {
				return fmt.Errorf("%q: a comment is about one item", args[1])
			}
			if err := checkComment(args[2]); err != nil {
				return err
			}
			acting, err := s.actAsReviewer(cmd, who, args[0])
			if err != nil {
				return err
			}
			answer, err := sendWithProof(cmd.Context(), acting, messages.CommentItem,
				messages.CommentInput{By: acting.by, Item: items[0], Comment: args[2]})
			if err != nil {
				return err
			}
			return s.showReviewAnswer(answer)
		},
	}
	who.flags(c)
	return c
}

func (s *session) reviewReopen() *cobra.Command {
	var who reviewerFlags
	var in messages.ReopenInput
	c := &cobra.Command{
		Use: "reopen REVIEW ITEM…", Short: "Withdraw your decisions while the stage lasts",
		Args: argCount(2, -1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if in.Items, err = parseItems(args[1:]); err != nil {
				return err
			}
			if err := checkComment(in.Comment); err != nil {
				return err
			}
			acting, err := s.actAsReviewer(cmd, who, args[0])
			if err != nil {
				return err
			}
			in.By = acting.by
			answer, err := sendWithProof(cmd.Context(), acting, messages.ReopenItems, in)
			if err != nil {
				return err
			}
			return s.showReviewAnswer(answer)
		},
	}
	who.flags(c)
	c.Flags().StringVar(&in.Comment, "comment", "", "why; it is kept in the evidence")
	return c
}

// mergeAnswers merges the answers to two updates of one command.
func mergeAnswers(a, b messages.ReviewAnswer) messages.ReviewAnswer {
	if a.Message != "" && b.Message != "" {
		a.Message += "\n"
	}
	return messages.ReviewAnswer{
		Message: a.Message + b.Message, Applied: a.Applied + b.Applied, Repeated: a.Repeated + b.Repeated,
		Refused: append(a.Refused, b.Refused...), Declined: a.Declined + b.Declined, Left: b.Left,
	}
}

// partialError adds to an error what was recorded before it.
func partialError(done messages.ReviewAnswer, err error) error {
	if done.Applied == 0 {
		return err
	}
	return fmt.Errorf("after %s: %s", display.Count(done.Applied, "item was changed", "items were changed"), errorText(err))
}

// showReviewAnswer shows the answer, and returns an error, for the exit status, if items were refused.
func (s *session) showReviewAnswer(answer messages.ReviewAnswer) error {
	if err := s.show(answer, func(w io.Writer) { printReviewAnswer(w, answer) }); err != nil || answer.Declined == 0 {
		return err
	}
	return fmt.Errorf("%s; all others were recorded",
		display.Count(answer.Declined, "item was refused", "items were refused"))
}

func printReviewAnswer(w io.Writer, answer messages.ReviewAnswer) {
	display.Fprintln(w, answer.Message)
	for _, refused := range answer.Refused {
		display.Fprintf(w, "  item %d: %s\n", refused.Item, refused.Why)
	}
	if more := answer.Declined - len(answer.Refused); more > 0 {
		display.Fprintf(w, "  and %d more\n", more)
	}
}
