package main

import (
	"fmt"
	"io"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/policy"
)

// updateReview sends an update to a review's workflow, and shows its answer.
func (s *session) updateReview(cmd *cobra.Command, org, name, update string, body any) error {
	r, err := s.openReview(cmd.Context(), org, name)
	if err != nil {
		return err
	}
	var answer messages.Answer
	if err := s.updateWithRetry(cmd.Context(), r, update, uuid.NewString(), body, &answer); err != nil {
		return err
	}
	return s.show(answer, func(w io.Writer) { display.Fprintf(w, "%s: %s\n", r, answer.Message) })
}

func (s *session) reviewExtend() *cobra.Command {
	var org string
	var in messages.ExtendReviewInput
	c := &cobra.Command{
		Use: "extend REVIEW DURATION", Short: "Postpone the end of the current stage, for example by 3d or 12h",
		Args: argCount(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			var span policy.Duration // accepts days
			if err := span.UnmarshalText([]byte(args[1])); err != nil || span == 0 {
				return fmt.Errorf("%q: give how much longer, for example 12h or 3d", args[1])
			}
			in.By, in.Duration = s.by, messages.Duration(span)
			return s.updateReview(cmd, org, args[0], messages.Extend, in)
		},
	}
	orgFlag(c, &org)
	c.Flags().StringVar(&in.Reason, "reason", "", "why, for the evidence")
	return c
}

func (s *session) reviewClose() *cobra.Command {
	return s.reviewEndCommand("close", messages.CloseReview, "End deciding now, and carry out what was decided",
		"Ends deciding: the campaign's rule for silence decides what nobody decided, and removals are carried out. Once deciding\n"+
			"is over, close ends the wait for removals that are not done yet; they are reported as late.")
}

func (s *session) reviewCancel() *cobra.Command {
	return s.reviewEndCommand("cancel", messages.CancelReview, "Stop a review for good: nothing more is carried out",
		"Stops a review for good. Its decisions are not carried out; what was already written stays. Its evidence is made all\n"+
			"the same.")
}

// reviewEndCommand builds close and cancel.
func (s *session) reviewEndCommand(name, update, short, long string) *cobra.Command {
	var org string
	var in messages.EndReviewInput
	c := &cobra.Command{
		Use: name + " REVIEW", Short: short, Long: long, Args: argCount(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.By = s.by
			return s.updateReview(cmd, org, args[0], update, in)
		},
	}
	orgFlag(c, &org)
	c.Flags().StringVar(&in.Reason, "reason", "", "why, for the evidence")
	return c
}

func (s *session) reviewRemind() *cobra.Command {
	var org string
	var in messages.RemindInput
	c := &cobra.Command{
		Use: "remind REVIEW", Short: "Remind reviewers who have items left, with a new link and code",
		Args: argCount(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.By = s.by
			return s.updateReview(cmd, org, args[0], messages.Remind, in)
		},
	}
	orgFlag(c, &org)
	c.Flags().StringVar(&in.Reviewer, "reviewer", "", "only this one: e-mail address or account id")
	return c
}

func (s *session) reviewRevokeLinks() *cobra.Command {
	var org string
	var in messages.RevokeLinksInput
	c := &cobra.Command{
		Use: "revoke-links REVIEW", Short: "Invalidate the links and codes sent so far",
		Long: "Invalidates the links and codes sent so far, for example because a mail went astray. remind sends new ones.",
		Args: argCount(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.By = s.by
			return s.updateReview(cmd, org, args[0], messages.RevokeLinks, in)
		},
	}
	orgFlag(c, &org)
	c.Flags().StringVar(&in.Reviewer, "reviewer", "", "only this one's: e-mail address or account id")
	c.Flags().StringVar(&in.Reason, "reason", "", "why, for the evidence")
	return c
}
