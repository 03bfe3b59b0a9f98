package activities

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/links"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/reviewpage"
)

// Desk serves reviewers' pages from the ledger. What is decided there is kept when it is answered; the review's workflow is woken to
// look, not to listen.
func (a *Activities) Desk() reviewpage.Desk { return desk{a} }

type desk struct{ *Activities }

// seenEvery is how often it is noted that a reviewer looks at their page: the time to a decision is measured from there.
const seenEvery = 10 * time.Minute

// Admit says whether a link opens anything now.
func (d desk) Admit(ctx context.Context, link links.Link) error {
	k, err := d.ledger.ReviewLink(ctx, link.Org, link.ID)
	if errors.Is(err, ledger.ErrNotFound) || err == nil && (!k.Revoked.IsZero() || k.Review != link.Review || k.Reviewer != link.Reviewer || !d.now().Before(k.Expires)) {
		return reviewpage.ErrNoEntry
	}
	if err != nil {
		return err
	}
	r, err := d.ledger.Review(ctx, link.Org, link.Review)
	if errors.Is(err, ledger.ErrNotFound) || err == nil && r.State.Final() {
		return reviewpage.ErrNoEntry
	}
	return err
}

// Sheet is a page of the items that a reviewer is asked about.
func (d desk) Sheet(ctx context.Context, link links.Link, q reviewpage.Query) (reviewpage.Sheet, error) {
	var sheet reviewpage.Sheet
	if err := d.Admit(ctx, link); err != nil {
		return sheet, err
	}
	r, campaign, err := d.campaignOf(ctx, ReviewInput{Org: link.Org, Review: link.Review})
	if err != nil {
		return sheet, err
	}
	sheet = reviewpage.Sheet{Review: r, Org: link.Org, Reviewer: link.Reviewer, About: campaign.Description, Open: r.State == access.ReviewOpen}
	if !sheet.Open {
		sheet.Closed = "deciding is over; what was decided is being carried out"
	}
	if err := d.ledger.SeenReview(ctx, link.Org, link.Review, link.Reviewer, "page", d.now(), seenEvery); err != nil {
		return sheet, err
	}
	items, err := d.ledger.Items(ctx, link.Org, link.Review, ledger.ItemFilter{
		Reviewer: []string{link.Reviewer}, Stage: r.Stage, Undecided: q.Undecided, After: q.After, Limit: q.Limit + 1,
	})
	if err != nil {
		return sheet, err
	}
	if len(items) > q.Limit {
		items = items[:q.Limit]
		sheet.Next = items[q.Limit-1].N
	}
	for _, i := range items {
		sheet.Items = append(sheet.Items, rowOf(i, r.Stage, link.Reviewer))
	}
	sheet.Total, sheet.Decided, err = d.ledger.TasksOf(ctx, link.Org, link.Review, r.Stage, link.Reviewer)
	return sheet, err
}

func rowOf(i access.Item, stage int, reviewer string) reviewpage.Row {
	row := reviewpage.Row{Item: i}
	for _, s := range i.Said {
		if s.Stage == stage && s.By == reviewer {
			row.Mine, row.MyComment = s.Verdict, s.Comment
		} else {
			row.Others = append(row.Others, s)
		}
	}
	return row
}

// Decide records what a reviewer decides on their page.
func (d desk) Decide(ctx context.Context, link links.Link, in messages.DecideInput) (messages.ReviewAnswer, error) {
	in.By = link.Reviewer
	return d.hear(ctx, link, ReviewWord{Decide: &in})
}

// Delegate hands items on.
func (d desk) Delegate(ctx context.Context, link links.Link, in messages.DelegateInput) (messages.ReviewAnswer, error) {
	in.By = link.Reviewer
	return d.hear(ctx, link, ReviewWord{Delegate: &in})
}

// Comment adds a word to an item.
func (d desk) Comment(ctx context.Context, link links.Link, in messages.CommentInput) (messages.ReviewAnswer, error) {
	in.By = link.Reviewer
	return d.hear(ctx, link, ReviewWord{Comment: &in})
}

// Reopen takes back what the reviewer said.
func (d desk) Reopen(ctx context.Context, link links.Link, in messages.ReopenInput) (messages.ReviewAnswer, error) {
	in.By = link.Reviewer
	return d.hear(ctx, link, ReviewWord{Reopen: &in})
}

// hear records a word of somebody who has shown a good link.
func (d desk) hear(ctx context.Context, link links.Link, w ReviewWord) (messages.ReviewAnswer, error) {
	if err := d.Admit(ctx, link); err != nil {
		return messages.ReviewAnswer{}, err
	}
	r, err := d.ledger.Review(ctx, link.Org, link.Review)
	if err != nil {
		return messages.ReviewAnswer{}, err
	}
	w.Via, w.At, w.trusted = "page", d.now(), true
	all, err := d.Activities.hear(ctx, link.Org, r, []ReviewWord{w})
	if err != nil {
		return messages.ReviewAnswer{}, err
	}
	heard := all[0]
	if heard.Refused != "" {
		return messages.ReviewAnswer{}, reviewpage.Refused{Why: heard.Refused}
	}
	if heard.Answer.Applied > 0 {
		d.waking.soon(link.Org+"\n"+link.Review, func() { d.wake(link) })
	}
	return heard.Answer, nil
}

// wake has the review's workflow look at what was decided. Where it does not run, or cannot be reached, its clock does that later.
func (d desk) wake(link links.Link) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_ = d.temporal.SignalWorkflow(ctx, messages.ReviewID(link.Org, link.Review), "", messages.Look, nil)
}

// wakeEvery is how often a review is woken at the most: its history takes 10,000 signals.
const wakeEvery = 2 * time.Second

// wakes gathers what would wake a workflow again and again.
type wakes struct {
	mu   sync.Mutex
	due  []string
	last map[string]time.Time
}

// soon calls do, but not more often than every two seconds for one key: then once at the end of them.
func (w *wakes) soon(key string, do func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if slices.Contains(w.due, key) {
		return
	}
	if w.last == nil || len(w.last) > 1000 {
		w.last = map[string]time.Time{}
	}
	w.due = append(w.due, key)
	time.AfterFunc(max(0, wakeEvery-time.Since(w.last[key])), func() {
		w.mu.Lock()
		w.last[key] = time.Now()
		w.due = slices.DeleteFunc(w.due, func(k string) bool { return k == key })
		w.mu.Unlock()
		do()
	})
}
