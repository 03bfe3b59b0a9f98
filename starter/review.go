package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/messages"
)

// Command groups in the help of review.
const (
	reviewLook   = "look"
	reviewDecide = "decide"
	reviewSheet  = "sheet"
	reviewRun    = "run"
)

func (s *session) review() *cobra.Command {
	c := &cobra.Command{
		Use: "review", Short: "Access reviews: start one, see its progress, decide, get its evidence",
		Long: `An access review asks people who should keep which access. The policy's reviews define who is asked about what, and
when. Each run of a campaign is a review of its own, named after the campaign and its date, for example
quarterly:2026-11-22.

REVIEW is that name, or just the campaign's while exactly one of its reviews is open (for evidence: the last one that is
over). ITEM is an item's number as show and export print it; 7-12 is a range. Reviewers identify themselves with --by or
CASTELLAN_BY and, if the review requires it, with the code that they were sent: in CASTELLAN_CODE, in a file
(--code-file FILE), or on standard input (--code-file -). The code itself is not sent anywhere.`,
		Example: `  starter review show quarterly --mine --undecided          what am I asked about?
  starter review decide quarterly keep 1 4 7-12             it should stay
  starter review decide quarterly remove --person ana@acme.example --comment 'left the team'
  starter review export quarterly --mine --out mine.csv     or all of it in a spreadsheet,
  starter review import mine.csv                            and back`,
		Args:                       subcommandRequired,
		RunE:                       func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		DisableFlagsInUseLine:      true,
		SuggestionsMinimumDistance: 2,
	}
	c.AddGroup(
		&cobra.Group{ID: reviewLook, Title: "Look:"},
		&cobra.Group{ID: reviewDecide, Title: "Decide, as a reviewer:"},
		&cobra.Group{ID: reviewSheet, Title: "Decide in a spreadsheet:"},
		&cobra.Group{ID: reviewRun, Title: "Run a review:"},
	)
	for group, commands := range map[string][]*cobra.Command{
		reviewLook:   {s.reviewList(), s.reviewShow(), s.reviewEvidence()},
		reviewDecide: {s.reviewDecide(), s.reviewDelegate(), s.reviewComment(), s.reviewReopen()},
		reviewSheet:  {s.reviewExport(), s.reviewImport()},
		reviewRun: {s.reviewStart(), s.reviewRemind(), s.reviewExtend(), s.reviewClose(), s.reviewCancel(),
			s.reviewRevokeLinks()},
	} {
		for _, command := range commands {
			command.GroupID = group
			c.AddCommand(command)
		}
	}
	return c
}

// reviewRef identifies a review.
type reviewRef struct {
	org, id string
}

func (r reviewRef) workflow() string { return messages.ReviewID(r.org, r.id) }

func (r reviewRef) String() string { return "review " + r.id + " of " + r.org }

// command returns a review command to print.
func (r reviewRef) command(name string) display.Command {
	return display.Starter("review "+name, r.id).With("--org", r.org)
}

func orgFlag(c *cobra.Command, org *string) {
	c.Flags().StringVar(org, "org", "", "the organization, when there are several")
}

// openReview finds a review by its full name, or by its campaign's if the campaign has exactly one open review.
func (s *session) openReview(ctx context.Context, org, name string) (reviewRef, error) {
	return s.findReview(ctx, org, name, onlyOpen)
}

// findReview finds a review by its full name, or lets choose pick one of a campaign's reviews (newest first).
func (s *session) findReview(ctx context.Context, org, name string,
	choose func(reviews []messages.ListedReview, org, campaign string) (string, error)) (reviewRef, error) {
	org, err := s.resolveOrg(ctx, org)
	if err != nil {
		return reviewRef{}, err
	}
	if id, ok := messages.ReviewOf(org, name); ok {
		return reviewRef{org, id}, nil
	}
	if strings.Contains(name, ":") { // a review's full name: campaign:date
		return reviewRef{org, name}, nil
	}
	answer, err := s.askAll(ctx, messages.ReportInput{Org: org, Kind: messages.ReportReviews, Campaign: name}, 0)
	if err != nil {
		return reviewRef{}, err
	}
	id, err := choose(answer.Reviews, org, name)
	return reviewRef{org, id}, err
}

// lastWithEvidence returns the campaign's newest review that has evidence.
func lastWithEvidence(reviews []messages.ListedReview, org, campaign string) (string, error) {
	for _, r := range reviews {
		if r.Head != "" {
			return r.ID, nil
		}
	}
	if len(reviews) > 0 {
		return "", fmt.Errorf("no review of campaign %s has evidence yet: it is made when one is over; the last is %s (%s)", campaign, reviews[0].ID, reviews[0].State)
	}
	return "", noReviews(org, campaign)
}

func noReviews(org, campaign string) error {
	return fmt.Errorf("organization %s had no review of a campaign named %q; starter review list names them all",
		org, campaign)
}

// onlyOpen returns the campaign's only open review.
func onlyOpen(reviews []messages.ListedReview, org, campaign string) (string, error) {
	var open []string
	for _, r := range reviews {
		if !r.State.Final() {
			open = append(open, r.ID)
		}
	}
	switch {
	case len(open) == 1:
		return open[0], nil
	case len(open) > 1:
		return "", fmt.Errorf("campaign %s has several open reviews, name one: %s", campaign, strings.Join(open, ", "))
	case len(reviews) > 0:
		return "", fmt.Errorf("campaign %s has no open review; the last is %s (%s): give its full name", campaign,
			reviews[0].ID, reviews[0].State)
	}
	return "", noReviews(org, campaign)
}

// startAnswer is what review start prints with --json.
type startAnswer struct {
	Org      string `json:"org"`
	Review   string `json:"review"`
	Workflow string `json:"workflow"`
	Run      string `json:"run"`
	Begun    bool   `json:"begun"` // a worker has begun it
}

func (s *session) reviewStart() *cobra.Command {
	var org, date string
	c := &cobra.Command{
		Use: "start CAMPAIGN", Short: "Start a campaign of the policy's reviews manually",
		Long: "Starts the campaign now: its items are collected, then its reviewers are asked. A campaign has one review per date.",
		Args: argCount(1, 1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if date == "" {
				date = time.Now().Format(time.DateOnly)
			}
			if _, err := time.Parse(time.DateOnly, date); err != nil {
				return fmt.Errorf("--date %q: write a day as 2026-11-22", date)
			}
			if org, err = s.resolveOrg(cmd.Context(), org); err != nil {
				return err
			}
			answer, err := s.startReview(cmd.Context(), reviewRef{org, args[0] + ":" + date}, args[0])
			if err != nil {
				return err
			}
			return s.show(answer, func(w io.Writer) { printStarted(w, answer, args[0]) })
		},
	}
	orgFlag(c, &org)
	c.Flags().StringVar(&date, "date", "",
		"the day that the review is named after, for example 2026-11-22; today when left out")
	return c
}

func (s *session) startReview(ctx context.Context, r reviewRef, campaign string) (startAnswer, error) {
	if err := s.register(ctx); err != nil {
		return startAnswer{}, err
	}
	run, err := s.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: r.workflow(), TaskQueue: messages.QueueWorkflows, WorkflowTaskTimeout: messages.TaskTimeout,
		WorkflowIDReusePolicy:                    enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		WorkflowExecutionErrorWhenAlreadyStarted: true,
		TypedSearchAttributes: temporal.NewSearchAttributes(messages.AttributeOrg.ValueSet(r.org),
			messages.AttributeCampaign.ValueSet(messages.Keyword(campaign))),
		StaticSummary: display.Summary(r.org + ": access review " + campaign),
	}, messages.AccessReview, messages.AccessReviewInput{Org: r.org, Campaign: campaign, By: s.by})
	var before *serviceerror.WorkflowExecutionAlreadyStarted
	if errors.As(err, &before) {
		return startAnswer{}, fmt.Errorf("%s already exists: see %s. To start another one, give another day with --date", r, r.command("show"))
	}
	if err != nil {
		return startAnswer{}, err
	}
	answer := startAnswer{Org: r.org, Review: r.id, Workflow: r.workflow(), Run: run.GetRunID()}
	answer.Begun, err = s.awaitStart(ctx, run)
	return answer, err
}

// How long start waits for a worker to begin a review, and how often it polls.
const (
	startTimeout      = 15 * time.Second
	startPollInterval = 250 * time.Millisecond
)

// awaitStart waits until a worker has begun the review, so that an unknown campaign is reported at once.
func (s *session) awaitStart(ctx context.Context, run client.WorkflowRun) (bool, error) {
	defer s.explainWait(run.GetID())()
	wait, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	failed := make(chan error, 1)
	go func() { failed <- run.Get(wait, nil) }()
	tick := time.NewTicker(startPollInterval)
	defer tick.Stop()
	for {
		value, err := s.client.QueryWorkflow(wait, run.GetID(), run.GetRunID(), messages.Status)
		var status messages.ReviewStatus
		if err == nil && value.Get(&status) == nil && status.Review.ID != "" {
			return true, nil
		}
		select {
		case err := <-failed:
			if wait.Err() != nil {
				return false, ctx.Err()
			}
			return err == nil, err
		case <-wait.Done():
			return false, ctx.Err()
		case <-tick.C:
		}
	}
}

func printStarted(w io.Writer, a startAnswer, campaign string) {
	r := reviewRef{a.Org, a.Review}
	display.Fprintf(w, "%s is started\n", r)
	if !a.Begun {
		display.Fprintln(w, "  no worker has begun it yet: is one running?")
	}
	display.Fprintf(w, "  open:    workflow %s in the Temporal Web UI\n", a.Workflow)
	display.Fprintf(w, "  follow:  %s\n", r.command("show"))
	display.Fprintf(w, "  all:     %s\n", display.List(messages.AttributeCampaign.GetName(), campaign))
}

func (s *session) reviewList() *cobra.Command {
	in := messages.ReportInput{Kind: messages.ReportReviews}
	c := &cobra.Command{
		Use: "list [ORG]", Short: "List reviews, the newest first", Args: argCount(0, 1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if in.Org, err = s.resolveOrg(cmd.Context(), args...); err != nil {
				return err
			}
			answer, err := s.askAll(cmd.Context(), in, in.Limit)
			if err != nil {
				return err
			}
			return s.show(answer, func(w io.Writer) { printReviews(w, answer) })
		},
	}
	c.Flags().StringVar(&in.Campaign, "campaign", "", "only of this campaign")
	c.Flags().IntVar(&in.Limit, "limit", 20, "the most reviews to list; 0: all of them")
	c.Flags().StringVar(&in.After, "after", "", "continue a list: the value of next in the previous answer")
	return c
}

func printReviews(w io.Writer, answer messages.ReportAnswer) {
	if len(answer.Reviews) == 0 {
		display.Fprintln(w, "no reviews")
		return
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "REVIEW\tSTATE\tOPENED\tDUE\tDECIDED\tEXCEPTIONS")
	for _, r := range answer.Reviews {
		due := ""
		if r.State == access.ReviewOpen {
			due = localTime(r.Due)
		}
		exceptions := 0
		for o, n := range r.Outcomes {
			if o.Exception() {
				exceptions += n
			}
		}
		display.Fprintf(table, "%s\t%s\t%s\t%s\t%d/%d\t%d\n", r.ID, reviewState(r.Review), localTime(r.Opened), due,
			r.Decided, r.Items, exceptions)
	}
	_ = table.Flush()
	if answer.Next != "" {
		display.Fprintf(w, "\nmore: --after %s\n", display.Safe(display.Quote(answer.Next)))
	}
}

// reviewState describes a review's state.
func reviewState(r access.Review) string {
	if r.State == access.ReviewOpen && r.Stages > 1 {
		return fmt.Sprintf("open, stage %d of %d", r.Stage, r.Stages)
	}
	return string(r.State)
}

var outcomes = []access.Outcome{
	access.OutcomeOpen, access.OutcomeHeld, access.OutcomeKept, access.OutcomeRemoved, access.OutcomeGone,
	access.OutcomeSource, access.OutcomeDenied,
	access.OutcomeUndecided, access.OutcomeSpared, access.OutcomeRejected, access.OutcomeRefused, access.OutcomeLate,
	access.OutcomeDropped,
}

func checkOutcomes(named []string) error {
	for _, name := range named {
		if !slices.Contains(outcomes, access.Outcome(name)) {
			return fmt.Errorf("--outcome %q: the outcomes are %v", name, outcomes)
		}
	}
	return nil
}
