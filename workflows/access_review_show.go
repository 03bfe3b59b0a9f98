package workflows

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/messages"
)

// reviewShown is what the workflow list shows of a review.
type reviewShown struct {
	state string
	until time.Time
}

// status returns the answer of the query status.
func (r *accessReview) status(ctx workflow.Context) messages.ReviewStatus {
	s := messages.ReviewStatus{Review: r.Review, Phase: r.Phase, Progress: r.Status, Untold: r.Untold,
		Refused: r.Refused}
	s.Problem = cmp.Or(r.Problem, r.Attend, r.AtOnce, r.countProblem())
	s.NextAt, s.Next = r.nextDue(workflow.Now(ctx))
	return s
}

// until returns the end that the workflow list shows: of the stage, or of waiting for removals.
func (r *accessReview) until() time.Time {
	switch r.Phase {
	case messages.ReviewDeciding:
		return r.Stage.Due
	case messages.ReviewCarrying, messages.ReviewHeld:
		return r.Carried.Until
	}
	return r.Review.Ended
}

// show updates the Web UI: search attributes when something changed, current details always.
func (r *accessReview) show(ctx workflow.Context) {
	workflow.SetCurrentDetails(ctx, r.details(ctx))
	is := reviewShown{state: r.Phase, until: r.until()}
	if is == r.shown {
		return
	}
	r.shown = is
	updates := []temporal.SearchAttributeUpdate{
		messages.AttributeOrg.ValueSet(r.in.Org), messages.AttributeState.ValueSet(is.state),
		messages.AttributeCampaign.ValueSet(messages.Keyword(r.in.Campaign)),
	}
	if !is.until.IsZero() {
		updates = append(updates, messages.AttributeUntil.ValueSet(is.until))
	}
	if err := workflow.UpsertTypedSearchAttributes(ctx, updates...); err != nil {
		r.log.Warn("the state is not shown in the workflow list", "error", err)
	}
}

// mostShown is how many reviewers the details list.
const mostShown = 25

// details returns the current details for the Web UI, in Markdown.
func (r *accessReview) details(ctx workflow.Context) string {
	var page display.Page
	id := workflow.GetInfo(ctx).WorkflowExecution.ID
	command := func(name string, more ...[2]string) {
		page.Command(display.Update(id, name, append(display.Input{{"by", messages.You}}, more...)))
	}
	page.Line("## Access review %s of %s: %s\n", r.in.Campaign, r.in.Org, r.Phase)
	if r.Problem != nil {
		page.Line("**It cannot go on since %s, tried %d times:** %s\n\nNext attempt at %s.\n", instant(r.Problem.Since),
			r.Problem.Tries, r.Problem.Message, instant(r.Problem.Retry))
	}
	r.describeSideProblems(&page)
	if due, why := r.nextDue(workflow.Now(ctx)); !due.IsZero() {
		page.Line("Next: %s at %s.\n", why, instant(due))
	}
	r.describePhase(&page, command)
	if r.makingEvidence() {
		page.Line("Everything is carried out; the evidence is being made. To end the review even if it cannot be made:")
		command(messages.CloseReview, [2]string{"reason", ""})
	}
	r.describeOutcomes(&page)
	for _, found := range r.Review.Findings {
		page.Line("- %s", found)
	}
	if r.Review.Head != "" {
		page.Line("\nEvidence: %d lines, head %s. To fetch and check it:", r.Review.Lines, display.Code(r.Review.Head))
		page.Command(display.Starter("review evidence", r.id.Review).With("--org", r.in.Org).With("--out", "evidence"))
		page.Command(display.Starter("verify-evidence", "evidence.jsonl"))
	}
	if r.Untold != "" {
		page.Line("\n**Some notices could not be sent:** %s\n", r.Untold)
	}
	describeRefused(&page, r.Refused)
	return clipDetails(page.String())
}

// describePhase describes the review's progress, and the commands that are possible now.
func (r *accessReview) describePhase(page *display.Page, command func(name string, more ...[2]string)) {
	you := [2]string{"by", messages.You}
	s := r.Status
	switch {
	case r.cancelling():
		page.Line("It is being cancelled: %s.\n", r.Cancel.Reason)
	case r.Phase == messages.ReviewTaking:
		page.Line("Collecting items: %d people read so far.\n", r.People)
	case r.Phase == messages.ReviewDeciding && r.Review.Stage == 0:
		page.Line("Assigning %d items to reviewers.\n", r.Review.Items)
	case r.Phase == messages.ReviewDeciding:
		page.Line("**%d of %d items decided** in stage %d of %d (%d to keep, %d to remove so far), until %s.\n",
			s.Decided, s.Asked, r.Review.Stage, r.Review.Stages, s.Keep, s.Remove, instant(r.Stage.Due))
		r.describeReviewers(page)
		page.Line("To extend the stage, to end deciding now, to send a reviewer a new link, or to cancel the review:")
		command(messages.Extend, [2]string{"duration", "72h"}, [2]string{"reason", ""})
		command(messages.CloseReview, [2]string{"reason", ""})
		command(messages.Remind, [2]string{"reviewer", "who@example.com"})
		command(messages.CancelReview, [2]string{"reason", ""})
	case r.Phase == messages.ReviewCarrying, r.Phase == messages.ReviewHeld:
		page.Line("Deciding is over. %d removals are being carried out, %d are held by the guard; what is not done by %s is given up and reported as late.\n", r.Carried.Open, r.Carried.Held, instant(r.Carried.Until))
		if r.Carried.Plan != "" {
			page.Line("**The guard holds plan %s.** Look at it (%s), then decide:", display.Code(r.Carried.Plan),
				display.Starter("plan --held", r.in.Org))
			page.Command(display.Update(messages.OrgSyncID(r.in.Org), messages.ApprovePlan,
				display.Input{{"plan", r.Carried.Plan}, you, {"note", ""}}))
		} else if r.Carried.Tries > 6 {
			page.Line("If this takes long: is the organization paused? %s\n", display.Starter("status", r.in.Org))
		}
		page.Line("To wait no longer:")
		command(messages.CloseReview, [2]string{"reason", ""})
	}
}

// describeSideProblems describes failures that do not stop the review.
func (r *accessReview) describeSideProblems(page *display.Page) {
	say := func(what string, p *messages.Problem) {
		if p != nil {
			page.Line("**%s since %s, tried %d times; nothing else waits for it:** %s\n", what, instant(p.Since),
				p.Tries, p.Message)
		}
	}
	say("Reminders and fallbacks cannot be handled", r.Attend)
	say("Removals cannot be carried out", r.AtOnce)
	say("Decisions cannot be counted", r.countProblem())
}

// countProblem returns why decisions cannot be counted, as long as that matters.
func (r *accessReview) countProblem() *messages.Problem {
	if r.Phase != messages.ReviewDeciding {
		return nil
	}
	return r.Count
}

// describeReviewers lists the reviewers with most left to decide.
func (r *accessReview) describeReviewers(page *display.Page) {
	if len(r.Status.Reviewers) == 0 {
		return
	}
	page.Line("| reviewer | decided | of | |\n|---|---|---|---|")
	for _, one := range r.Status.Reviewers[:min(len(r.Status.Reviewers), mostShown)] {
		role := ""
		if one.Role != access.TaskReviewer {
			role = string(one.Role)
		}
		if one.Gone {
			role = strings.TrimSpace(role + " gone")
		}
		page.Line("| %s | %d | %d | %s |", one.Who(), one.Decided, one.Items, role)
	}
	if n := len(r.Status.Reviewers) - mostShown; n > 0 {
		page.Line("\n… and %d more, who have fewer items left; the status query lists all of them.", n)
	}
	page.Line("")
}

// describeOutcomes counts items by outcome, exceptions first.
func (r *accessReview) describeOutcomes(page *display.Page) {
	all := workflow.DeterministicKeys(r.Status.Outcomes)
	if len(all) == 0 {
		return
	}
	slices.SortStableFunc(all, func(a, b access.Outcome) int {
		switch {
		case a.Exception() == b.Exception():
			return 0
		case a.Exception():
			return -1
		}
		return 1
	})
	page.Line("| outcome | items | |\n|---|---|---|")
	for _, o := range all {
		look := ""
		if o.Exception() {
			look = "needs attention"
		}
		page.Line("| %s | %d | %s |", o, r.Status.Outcomes[o], look)
	}
	page.Line("")
}
