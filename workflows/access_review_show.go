package workflows

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/messages"
)

// reviewShown is what the workflow list shows of a review.
type reviewShown struct {
	state string
	until time.Time
}

// status is the answer of the query status.
func (r *accessReview) status(ctx workflow.Context) messages.ReviewStatus {
	s := messages.ReviewStatus{Review: r.Review, Phase: r.Phase, Progress: r.Status, Untold: r.Untold, Refused: r.Refused}
	s.Problem = cmp.Or(r.Problem, r.Attend, r.AtOnce)
	s.NextAt, s.Next = r.nextDue(workflow.Now(ctx))
	return s
}

// until is the end that the workflow list shows: of the stage, or of the waiting for removals.
func (r *accessReview) until() time.Time {
	switch r.Phase {
	case messages.ReviewDeciding:
		return r.Stage.Due
	case messages.ReviewCarrying, messages.ReviewHeld:
		return r.Carried.Until
	}
	return r.Review.Ended
}

// show keeps the Web UI true: search attributes when something changed, current details always.
func (r *accessReview) show(ctx workflow.Context) {
	workflow.SetCurrentDetails(ctx, r.details(ctx))
	is := reviewShown{state: r.Phase, until: r.until()}
	if is == r.shown {
		return
	}
	r.shown = is
	updates := []temporal.SearchAttributeUpdate{
		messages.AttributeOrg.ValueSet(r.in.Org), messages.AttributeState.ValueSet(is.state), messages.AttributeCampaign.ValueSet(r.in.Campaign),
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

// details is the page that ops see in the Web UI, in Markdown.
func (r *accessReview) details(ctx workflow.Context) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	id := workflow.GetInfo(ctx).WorkflowExecution.ID
	command := func(name, input string) {
		line("\n    temporal workflow update execute \\\n      --workflow-id '%s' \\\n      --name %s \\\n      --input '%s'\n", id, name, input)
	}
	line("## Access review %s of %s: %s\n", r.in.Campaign, r.in.Org, r.Phase)
	if r.Problem != nil {
		line("**It cannot go on since %s, tried %d times:** %s\n\nNext attempt at %s.\n", instant(r.Problem.Since), r.Problem.Tries, oneLine(r.Problem.Message), instant(r.Problem.Retry))
	}
	r.besides(line)
	if due, why := r.nextDue(workflow.Now(ctx)); !due.IsZero() {
		line("Next: %s at %s.\n", oneLine(why), instant(due))
	}
	s := r.Status
	switch {
	case r.ending():
		line("It is being cancelled: %s.\n", oneLine(r.Cancel.Reason))
	case r.Phase == messages.ReviewTaking:
		line("Taking items: %d people looked at so far.\n", r.People)
	case r.Phase == messages.ReviewDeciding && r.Review.Stage == 0:
		line("Giving out %d items.\n", r.Review.Items)
	case r.Phase == messages.ReviewDeciding:
		line("**%d of %d items decided** in stage %d of %d (%d to keep, %d to remove so far), until %s.\n", s.Decided, s.Asked, r.Review.Stage, r.Review.Stages, s.Keep, s.Remove, instant(r.Stage.Due))
		r.reviewers(line)
		line("To let the stage end later, to end it now, to send somebody a fresh link, or to stop it all:")
		command(messages.Extend, `{"by":"you@example.com","duration":"72h","reason":""}`)
		command(messages.CloseReview, `{"by":"you@example.com","reason":""}`)
		command(messages.Remind, `{"by":"you@example.com","reviewer":"who@example.com"}`)
		command(messages.CancelReview, `{"by":"you@example.com","reason":""}`)
	case r.Phase == messages.ReviewCarrying, r.Phase == messages.ReviewHeld:
		line("Deciding is over. %d removals are being carried out, %d are held by the guard; what is not done by %s is given up and reported.\n", r.Carried.Open, r.Carried.Held, instant(r.Carried.Until))
		if r.Carried.Plan != "" {
			line("**The guard holds plan `%s`.** Look at it (`starter plan --held %s`), then decide:", r.Carried.Plan, r.in.Org)
			line("\n    temporal workflow update execute \\\n      --workflow-id '%s' \\\n      --name %s \\\n      --input '{\"plan\":\"%s\",\"by\":\"you@example.com\",\"note\":\"\"}'\n", messages.OrgSyncID(r.in.Org), messages.ApprovePlan, r.Carried.Plan)
		} else if r.Carried.Tries > 6 {
			line("If this takes long: is the organization paused? `starter status %s`\n", r.in.Org)
		}
		line("To wait no longer:")
		command(messages.CloseReview, `{"by":"you@example.com","reason":""}`)
	}
	r.outcomes(line)
	for _, found := range r.Review.Findings {
		line("- %s", oneLine(found))
	}
	if r.Review.Head != "" {
		line("\nEvidence: %d lines, head `%s`. To fetch and check it:\n\n    starter review evidence '%s' \\\n      --org %s --out evidence\n    starter verify-evidence evidence.jsonl\n", r.Review.Lines, r.Review.Head, r.id.Review, r.in.Org)
	}
	if r.Untold != "" {
		line("\n**Not everybody could be told:** %s\n", oneLine(r.Untold))
	}
	if len(r.Refused) > 0 {
		line("\n### Signals that were not accepted\n")
		for _, w := range r.Refused {
			line("- %s %s: %s", instant(w.At), w.Name, oneLine(w.Why))
		}
	}
	return clipDetails(b.String())
}

// besides tells what does not work, though the review goes on.
func (r *accessReview) besides(line func(string, ...any)) {
	say := func(what string, p *messages.Problem) {
		if p != nil {
			line("**%s since %s, tried %d times; nothing else waits for it:** %s\n", what, instant(p.Since), p.Tries, oneLine(p.Message))
		}
	}
	say("Reviewers cannot be looked after", r.Attend)
	say("Removals cannot be carried out", r.AtOnce)
}

// reviewers lists who has most left.
func (r *accessReview) reviewers(line func(string, ...any)) {
	if len(r.Status.Reviewers) == 0 {
		return
	}
	line("| reviewer | decided | of | |\n|---|---|---|---|")
	for _, one := range r.Status.Reviewers[:min(len(r.Status.Reviewers), mostShown)] {
		role := ""
		if one.Role != access.TaskReviewer {
			role = string(one.Role)
		}
		if one.Gone {
			role = strings.TrimSpace(role + " gone")
		}
		line("| %s | %d | %d | %s |", one.Reviewer, one.Decided, one.Items, role)
	}
	if n := len(r.Status.Reviewers) - mostShown; n > 0 {
		line("\n… and %d more, who have less left; the status query has them all.", n)
	}
	line("")
}

// outcomes lists what became of items, exceptions first.
func (r *accessReview) outcomes(line func(string, ...any)) {
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
	line("| outcome | items | |\n|---|---|---|")
	for _, o := range all {
		look := ""
		if o.Exception() {
			look = "somebody has to look"
		}
		line("| %s | %d | %s |", o, r.Status.Outcomes[o], look)
	}
	line("")
}
