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
	var who reviewer
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
		Args: takes(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if all.Target, err = optionalTarget(target); err != nil {
				return err
			}
			words, err := decisions(args[1:], all, recommended, comment)
			if err != nil {
				return err
			}
			speaks, err := s.speaker(cmd, who, args[0])
			if err != nil {
				return err
			}
			var sum messages.ReviewAnswer
			for _, word := range words {
				word.By = speaks.by
				answer, err := say(cmd.Context(), speaks, messages.DecideItems, word)
				if err != nil {
					return afterSome(sum, err)
				}
				sum = together(sum, answer)
			}
			return s.showSaid(sum)
		},
	}
	who.flags(c)
	c.Flags().StringVar(&all.Person, "person", "", "all of mine that this person holds: e-mail address or account id")
	c.Flags().StringVar(&target, "target", "", "all of mine of this target")
	c.Flags().BoolVar(&recommended, "recommended", false, "all of mine that are undecided, as recommended")
	c.Flags().BoolVar(&all.Undecided, "undecided", false, "only what I have not decided; alone: all of it")
	c.Flags().StringVar(&comment, "comment", "", "why; it stands in the evidence")
	return c
}

func optionalTarget(written string) (access.Entitlement, error) {
	if written == "" {
		return "", nil
	}
	return access.ParseEntitlement(written)
}

// decisions are the updates that a command to decide comes to.
func decisions(args []string, all messages.ItemFilter, recommended bool, comment string) ([]messages.DecideInput,
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
	items, err := numbers(args[1:])
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
	var words []messages.DecideInput
	for some := range slices.Chunk(items, messages.MostItems) {
		words = append(words, messages.DecideInput{Verdict: verdict, Comment: comment, Items: some})
	}
	return words, nil
}

// verdictOf reads a verdict in any case.
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

// mostNumbers bounds what a range may stand for.
const mostNumbers = 100_000

// numbers are items as they are typed: 3, 7-12, or 3,4.
func numbers(written []string) (items []int, err error) {
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
		case to-from+len(items) >= mostNumbers:
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
	var who reviewer
	var in messages.DelegateInput
	c := &cobra.Command{
		Use: "delegate REVIEW --to WHO [ITEM…]", Short: "Delegate items to somebody else, who is told",
		Long: "Delegates items that you have not decided to somebody else: the numbered ones, or all of them.",
		Args: takes(1, -1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if in.Items, err = numbers(args[1:]); err != nil {
				return err
			}
			if err := checkComment(in.Comment); err != nil {
				return err
			}
			speaks, err := s.speaker(cmd, who, args[0])
			if err != nil {
				return err
			}
			in.By = speaks.by
			answer, err := say(cmd.Context(), speaks, messages.DelegateItems, in)
			if err != nil {
				return err
			}
			return s.showSaid(answer)
		},
	}
	who.flags(c)
	c.Flags().StringVar(&in.To, "to", "", "who decides instead: e-mail address or account id")
	c.Flags().StringVar(&in.Comment, "comment", "", "why; it stands in the evidence")
	_ = c.MarkFlagRequired("to")
	return c
}

func (s *session) reviewComment() *cobra.Command {
	var who reviewer
	c := &cobra.Command{
		Use: "comment REVIEW ITEM TEXT", Short: "Comment on an item without deciding it",
		Args: takes(3, 3),
		RunE: func(cmd *cobra.Command, args []string) error {
			items, err := numbers(args[1:2])
			if err != nil {
				return err
			}
			if len(items) != 1 {
				return fmt.Errorf("%q: a comment is about one item", args[1])
			}
			if err := checkComment(args[2]); err != nil {
				return err
			}
			speaks, err := s.speaker(cmd, who, args[0])
			if err != nil {
				return err
			}
			answer, err := say(cmd.Context(), speaks, messages.CommentItem,
				messages.CommentInput{By: speaks.by, Item: items[0], Comment: args[2]})
			if err != nil {
				return err
			}
			return s.showSaid(answer)
		},
	}
	who.flags(c)
	return c
}

func (s *session) reviewReopen() *cobra.Command {
	var who reviewer
	var in messages.ReopenInput
	c := &cobra.Command{
		Use: "reopen REVIEW ITEM…", Short: "Withdraw your decisions while the stage lasts",
		Args: takes(2, -1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if in.Items, err = numbers(args[1:]); err != nil {
				return err
			}
			if err := checkComment(in.Comment); err != nil {
				return err
			}
			speaks, err := s.speaker(cmd, who, args[0])
			if err != nil {
				return err
			}
			in.By = speaks.by
			answer, err := say(cmd.Context(), speaks, messages.ReopenItems, in)
			if err != nil {
				return err
			}
			return s.showSaid(answer)
		},
	}
	who.flags(c)
	c.Flags().StringVar(&in.Comment, "comment", "", "why; it stands in the evidence")
	return c
}

// together is what came of two updates of one command.
func together(a, b messages.ReviewAnswer) messages.ReviewAnswer {
	if a.Message != "" && b.Message != "" {
		a.Message += "\n"
	}
	return messages.ReviewAnswer{
		Message: a.Message + b.Message, Applied: a.Applied + b.Applied, Repeated: a.Repeated + b.Repeated,
		Refused: append(a.Refused, b.Refused...), Declined: a.Declined + b.Declined, Left: b.Left,
	}
}

// afterSome is an error of a command of which some was done before.
func afterSome(done messages.ReviewAnswer, err error) error {
	if done.Applied == 0 {
		return err
	}
	return fmt.Errorf("after %s: %s", counted(done.Applied, "item was changed", "items were changed"), unwrapped(err))
}

// showSaid shows what came of what a reviewer said; the error is for the exit status.
func (s *session) showSaid(answer messages.ReviewAnswer) error {
	if err := s.show(answer, func(w io.Writer) { printSaid(w, answer) }); err != nil || answer.Declined == 0 {
		return err
	}
	return fmt.Errorf("%s; all others were recorded",
		counted(answer.Declined, "item was refused", "items were refused"))
}

func printSaid(w io.Writer, answer messages.ReviewAnswer) {
	display.Fprintln(w, answer.Message)
	for _, refused := range answer.Refused {
		display.Fprintf(w, "  item %d: %s\n", refused.Item, refused.Why)
	}
	if more := answer.Declined - len(answer.Refused); more > 0 {
		display.Fprintf(w, "  and %d more\n", more)
	}
}
