package reviews

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/links"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/notify"
)

// The notices of a review, and who gets them.
const (
	NoticeReviewAsked     = "review-asked"     // reviewers with items that they were not notified of yet
	NoticeReviewReminder  = "review-reminder"  // reviewers who have something left to decide
	NoticeReviewHeld      = "review-held"      // the owner, and the watchers: the guard holds removals
	NoticeReviewSkipped   = "review-skipped"   // the owner: there was nothing to review
	NoticeReviewDone      = "review-done"      // the owner: the outcome, and the head of the evidence
	NoticeReviewCancelled = "review-cancelled" // the owner
	NoticeReviewTrouble   = "review-trouble"   // the owner, and the watchers: it cannot continue just now
)

// linkStays is how long a link is valid after the end of its stage, in case the stage is extended.
const linkStays = 7 * 24 * time.Hour

// ReviewPages is where reviewers' pages are; nil: nowhere.
type ReviewPages struct {
	Signer *links.Signer
	Base   *url.URL // at which reviewers reach it
}

// ReviewTellInput names a notice about a review.
type ReviewTellInput struct {
	ReviewInput
	Kind     string `json:"kind"`
	Stage    int    `json:"stage,omitempty"`
	When     string `json:"when,omitempty"`     // of reminders: tells one from another
	Reviewer string `json:"reviewer,omitempty"` // only this one
	Why      string `json:"why,omitempty"`
}

// ReviewTellResult is whom a notice reached.
type ReviewTellResult struct {
	Told   int    `json:"told"`
	Untold string `json:"untold,omitempty"` // why some were not reached
}

// ReviewTell sends a notice about a review to all whom it concerns, each with their own link and code if there are any.
// A repeat continues with those who were not reached. One bad address does not affect the others.
func (a *Activities) ReviewTell(ctx context.Context, in ReviewTellInput) (ReviewTellResult, error) {
	r, _, err := a.campaignOf(ctx, in.ReviewInput)
	if err != nil {
		return ReviewTellResult{}, err
	}
	var reached tellBeat
	if activity.HasHeartbeatDetails(ctx) {
		_ = activity.GetHeartbeatDetails(ctx, &reached) // of another version: then everybody gets it again
	}
	t := reviewNotifier{Activities: a, in: in, review: r}
	stop := session.AutoHeartbeat(ctx, reached)
	to, err := t.addressees(ctx)
	stop()
	if err != nil {
		return ReviewTellResult{}, err
	}
	activity.RecordHeartbeat(ctx, reached)
	var told ReviewTellResult
	var failed []string
	for _, one := range to {
		if one.key() <= reached.Last {
			continue
		}
		select {
		case <-activity.GetWorkerStopChannel(ctx):
			return told, session.Interrupted()
		default:
		}
		switch err := t.tell(ctx, one); {
		case err == nil:
			told.Told++
		case errors.Is(err, notify.ErrPermanent):
			failed = append(failed, session.ErrorText(err))
		default:
			return told, fmt.Errorf("tell %s of review %s: %w", cmp.Or(one.email, "whoever watches"), in.Review, err)
		}
		reached.Last = one.key()
		activity.RecordHeartbeat(ctx, reached)
	}
	if len(failed) > 0 {
		told.Untold = strings.Join(failed[:min(len(failed), mostNames)], "; ") + more(len(failed)-mostNames)
	}
	return told, nil
}

// tellBeat is whom a notice has reached last, in the order of their keys.
type tellBeat struct {
	Last string `json:"last"`
}

// reviewNotifier sends notices about one review.
type reviewNotifier struct {
	*Activities
	in     ReviewTellInput
	review access.Review
}

// addressee is one person; the zero value means the watchers.
type addressee struct {
	account, email string
	items, left    int
	role           access.TaskRole
}

// key orders addressees, whoever a repeat leaves out. The watchers come first.
func (to addressee) key() string { return "to " + to.account + " " + to.email }

// addressees returns whom the notice concerns, in an order that a repeat can reproduce. Reviewers get links and codes:
// at the address that the directory shows for their account now.
func (t *reviewNotifier) addressees(ctx context.Context) ([]addressee, error) {
	switch t.in.Kind {
	case NoticeReviewHeld, NoticeReviewTrouble:
		owner, err := t.owner(ctx)
		return []addressee{{}, owner}, err
	case NoticeReviewAsked, NoticeReviewReminder:
	default:
		owner, err := t.owner(ctx)
		return []addressee{owner}, err
	}
	c, err := t.env.Ledger.CountReview(ctx, t.in.Org, t.in.Review)
	if err != nil {
		return nil, err
	}
	told := map[string]bool{}
	if t.in.Kind == NoticeReviewAsked && t.in.Reviewer == "" {
		if told, err = t.env.Ledger.NotifiedReviewers(ctx, t.in.Org, t.in.Review, t.review.Stage); err != nil {
			return nil, err
		}
	}
	only := ""
	if t.in.Reviewer != "" {
		who, err := t.env.LookUpAccount(ctx, t.in.Org, t.in.Reviewer)
		if err != nil {
			return nil, err
		}
		only = who.ID
	}
	var ids []string
	var to []addressee
	for _, one := range c.Reviewers {
		if one.Left == 0 && only == "" || told[one.Reviewer] || only != "" && one.Reviewer != only {
			continue
		}
		to = append(to, addressee{account: one.Reviewer, items: one.Items, left: one.Left, role: one.Role})
		ids = append(ids, one.Reviewer)
	}
	if only != "" && len(to) == 0 {
		return nil, session.Refusedf("%s is not asked about anything in this stage of the review", t.in.Reviewer)
	}
	if len(to) == 0 {
		return nil, nil
	}
	r, err := t.openCampaign(ctx, t.in.ReviewInput)
	if err != nil {
		return nil, err
	}
	people, err := r.readAccounts(ctx, ids)
	if err != nil {
		return nil, err
	}
	for i := range to {
		if p := people[to[i].account]; p.CanReceive() {
			to[i].email = strings.ToLower(p.Email)
		}
	}
	to = slices.DeleteFunc(to, func(one addressee) bool { return one.email == "" })
	slices.SortFunc(to, func(a, b addressee) int { return strings.Compare(a.key(), b.key()) })
	return to, nil
}

// owner returns the campaign's owner at the account's present address. If the directory cannot be read it is the last
// known one; if the name has no account, it is the address itself: owners get no links.
func (t *reviewNotifier) owner(ctx context.Context) (addressee, error) {
	owner := addressee{email: t.review.Owner}
	known, err := t.env.Ledger.ReviewNames(ctx, t.in.Org, t.in.Review)
	if err != nil {
		return owner, err
	}
	if owner.account = known[access.FoldAddress(t.review.Owner)]; !access.IsAddress(t.review.Owner) {
		owner.account, owner.email = t.review.Owner, ""
	}
	if owner.account == "" {
		return owner, nil
	}
	if r, err := t.openCampaign(ctx, t.in.ReviewInput); err == nil {
		if people, err := r.readAccounts(ctx, []string{owner.account}); err == nil {
			owner.email = cmp.Or(strings.ToLower(people[owner.account].Email), owner.email)
			return owner, nil
		}
	}
	emails, err := t.env.Ledger.KnownEmails(ctx, t.in.Org, []string{owner.account})
	owner.email = cmp.Or(strings.ToLower(emails[owner.account]), owner.email)
	return owner, err
}

func (t *reviewNotifier) tell(ctx context.Context, to addressee) error {
	n := messages.Notice{
		ID: strings.Join([]string{t.in.Review, t.in.Kind, fmt.Sprint(t.in.Stage), t.in.When,
			cmp.Or(to.account, to.email)}, " "), Kind: t.in.Kind, Org: t.in.Org, At: t.env.Now(),
		To: to.email, Workflow: messages.ReviewID(t.in.Org, t.in.Review), Review: t.in.Review,
	}
	asked := t.in.Kind == NoticeReviewAsked || t.in.Kind == NoticeReviewReminder
	if asked {
		if err := t.ask(ctx, &n, to); err != nil {
			return err
		}
	} else if err := t.report(ctx, &n); err != nil {
		return err
	}
	if err := t.env.Notifier.Notify(ctx, n); err != nil {
		return err
	}
	if !asked {
		return nil
	}
	return t.env.Ledger.NoteReview(ctx, t.in.Org, t.in.Review, access.ReviewEvent{
		At: t.env.Now(), Kind: access.EventReminded, To: to.account, ToEmail: to.email, Stage: t.review.Stage,
		Text: strings.TrimSpace(t.in.Kind + " " + t.in.When),
	})
}

// ask writes to a reviewer, with their code and the link to their page.
func (t *reviewNotifier) ask(ctx context.Context, n *messages.Notice, to addressee) error {
	n.Subject = fmt.Sprintf("Please review: %s of %s", ofItems(to.left), t.review.Campaign)
	why := map[access.TaskRole]string{
		access.TaskFallback: "\nYou are asked because the first reviewer has left, did not answer, or is the person under review.",
		access.TaskOwner:    "\nYou are asked as the owner of this review, because no one else has decided.",
		access.TaskDelegate: "\nAnother reviewer delegated this to you.",
	}[to.role]
	n.Text = fmt.Sprintf("Who should keep which access in organization %s? You are asked about %s; %d left. Please decide by %s.%s", t.in.Org, ofItems(to.items), to.left, session.Timestamp(t.review.Due), why)
	if t.in.Kind == NoticeReviewReminder {
		n.Subject = "Reminder: " + n.Subject
	}
	n.Command = display.Starter("review show", t.in.Review).With("--org", t.in.Org).With("--by", to.email).String()
	if !t.env.Notifier.Private() {
		return nil
	}
	if t.pages != nil {
		link := links.Link{ID: links.NewID(), Org: t.in.Org, Review: t.in.Review, Reviewer: to.account,
			Expires: t.review.Due.Add(linkStays)}
		if err := t.env.Ledger.SaveReviewLink(ctx, t.in.Org,
			ledger.ReviewLink{ID: link.ID, Review: link.Review, Reviewer: link.Reviewer, At: t.env.Now(),
				Expires: link.Expires}); err != nil {
			return err
		}
		n.Link = t.pages.Base.JoinPath("r", t.pages.Signer.Token(link)).String()
		n.Command = "" // most reviewers only need the page
	}
	if t.review.Codes {
		code := session.NewCode()
		if err := t.env.Ledger.SaveReviewCode(ctx, t.in.Org, t.in.Review, to.account, messages.CodeHash(code),
			t.env.Now()); err != nil {
			return err
		}
		n.Code = code
		if n.Link == "" {
			n.Command = "CASTELLAN_CODE=CODE " + n.Command
			n.Text += "\nPut your code in place of CODE. The command proves that you know it, and never sends it."
		} else {
			n.Text += "\nYou need the code only if you decide by commands rather than on the page."
		}
	}
	return nil
}

// report writes to the campaign's owner.
func (t *reviewNotifier) report(ctx context.Context, n *messages.Notice) error {
	what := fmt.Sprintf("review %s of organization %s", t.review.ID, t.in.Org)
	c, err := t.env.Ledger.CountReview(ctx, t.in.Org, t.in.Review)
	if err != nil {
		return err
	}
	switch t.in.Kind {
	case NoticeReviewSkipped:
		n.Subject = "Nothing to review: " + t.review.Campaign
		n.Text = fmt.Sprintf("There was nothing to review in %s. It was skipped.", what)
		if t.review.Skipped > 0 {
			n.Text += fmt.Sprintf(" %s did not change since the last decision.", ofItems(t.review.Skipped))
		}
	case NoticeReviewHeld:
		n.ID += " " + t.in.Why
		n.Subject = "Held: removals of review " + t.review.Campaign
		n.Text = fmt.Sprintf("The guard holds removals that %s decided. Look at the plan, then approve or reject it; nothing else releases it:\n%s", what, display.Terminal(t.in.Why))
		n.Command = display.Starter("plan --held", t.in.Org).String()
	case NoticeReviewTrouble:
		n.Subject = "Stuck: review " + t.review.Campaign
		n.Text = fmt.Sprintf("%s cannot continue at the moment, and is retried:\n%s", what, display.Terminal(t.in.Why))
	case NoticeReviewCancelled:
		n.Subject = "Cancelled: review " + t.review.Campaign
		n.Text = display.Sprintf("%s was cancelled by %s: %s", what, t.review.ClosedBy, t.review.ClosedWhy)
	case NoticeReviewDone:
		n.Subject = fmt.Sprintf("Done: review %s, %s", t.review.Campaign, ofItems(c.Items))
		n.Text = fmt.Sprintf("%s is over.\n%s\nHead of its evidence: %s\nKeep it: it proves that the evidence was not changed later.", what, outcomesInWords(c.Outcomes), t.review.Head)
		n.Command = display.Starter("review evidence", t.review.ID).With("--org", t.in.Org).With("--out",
			"evidence").String()
	}
	return nil
}

// outcomesInWords lists the outcomes of the items, the exceptions last.
func outcomesInWords(outcomes map[access.Outcome]int) string {
	var lines []string
	for _, o := range []struct {
		is    access.Outcome
		words string
	}{
		{access.OutcomeKept, "kept"}, {access.OutcomeRemoved, "removed and read back"},
		{access.OutcomeGone, "gone before anything was written"},
		{access.OutcomeDropped, "not carried out, because it was cancelled"},
		{access.OutcomeDenied, "removed, and denied until a date: what gives it must change"},
		{access.OutcomeSource, "not removed: what gives it must change"},
		{access.OutcomeUndecided, "undecided: a person has to decide"},
		{access.OutcomeSpared, "spared: the rule for silence would have removed the last holders"},
		{access.OutcomeRejected, "not removed: the held plan was rejected"},
		{access.OutcomeRefused, "refused by a floor or by Atlassian"}, {access.OutcomeLate, "not carried out in time"},
	} {
		if n := outcomes[o.is]; n > 0 {
			lines = append(lines, fmt.Sprintf("%d %s", n, o.words))
		}
	}
	return strings.Join(lines, "\n")
}

// SendsCodes returns the function that sends a reviewer another code.
func (a *Activities) SendsCodes() func(context.Context, session.BurntCode) error {
	return a.resendReviewCode
}

// resendReviewCode reminds a reviewer who has undecided items, with another code.
func (a *Activities) resendReviewCode(ctx context.Context, code session.BurntCode) error {
	r, err := a.env.Ledger.Review(ctx, code.Org, code.Review)
	if errors.Is(err, ledger.ErrNotFound) || err == nil && r.State != access.ReviewOpen {
		return nil
	}
	if err != nil {
		return err
	}
	c, err := a.env.Ledger.CountReview(ctx, code.Org, code.Review)
	if err != nil || !slices.ContainsFunc(c.Reviewers,
		func(is ledger.ReviewerCount) bool { return is.Reviewer == code.Name && is.Left > 0 }) {
		return err
	}
	_, err = a.ReviewTell(ctx, ReviewTellInput{
		ReviewInput: ReviewInput{Org: code.Org, Review: code.Review}, Kind: NoticeReviewReminder, Stage: r.Stage,
		When: a.env.Now().UTC().Format(time.RFC3339Nano), Reviewer: code.Name,
	})
	return err
}
