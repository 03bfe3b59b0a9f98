// Package desk is what stands behind reviewers' pages: who may enter, what they are shown, and the record of what they
// decide.
package desk

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/reviews"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/links"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/reviewpage"
)

// Desk serves reviewers' pages from the ledger. What is decided there is kept when it is answered; the review's
// workflow is woken to look, not to listen.
type Desk struct {
	env     *session.Env
	reviews reviews.Records
	waking  wakes // of reviews, by what is decided
}

// New builds the desk.
func New(env *session.Env, records reviews.Records) *Desk { return &Desk{env: env, reviews: records} }

// Admit says whether a link opens anything now.
func (d *Desk) Admit(ctx context.Context, link links.Link) error {
	_, err := d.enter(ctx, link)
	return err
}

// enter is whom a link lets in: the account that it was sent to, whatever its reviewer was called then.
func (d *Desk) enter(ctx context.Context, link links.Link) (access.Person, error) {
	k, err := d.env.Ledger.ReviewLink(ctx, link.Org, link.ID)
	if errors.Is(err, ledger.ErrNotFound) ||
		err == nil && (!k.Revoked.IsZero() || k.Review != link.Review || !d.env.Now().Before(k.Expires)) {
		return access.Person{}, reviewpage.ErrNoEntry
	}
	if err != nil {
		return access.Person{}, err
	}
	if k.Reviewer != link.Reviewer { // one from before reviewers were accounts says an address
		if accounts, err := d.env.Ledger.ReviewNames(ctx, link.Org, link.Review); err != nil ||
			accounts[access.FoldAddress(link.Reviewer)] != k.Reviewer {
			return access.Person{}, cmp.Or(err, reviewpage.ErrNoEntry)
		}
	}
	r, err := d.env.Ledger.Review(ctx, link.Org, link.Review)
	if errors.Is(err, ledger.ErrNotFound) || err == nil && r.State.Final() {
		return access.Person{}, reviewpage.ErrNoEntry
	}
	if err != nil {
		return access.Person{}, err
	}
	known, err := d.env.Ledger.KnownEmails(ctx, link.Org, []string{k.Reviewer})
	return access.Person{ID: k.Reviewer, Email: known[k.Reviewer]}, err
}

// Sheet is a page of the items that a reviewer is asked about.
func (d *Desk) Sheet(ctx context.Context, link links.Link, q reviewpage.Query) (reviewpage.Sheet, error) {
	var sheet reviewpage.Sheet
	who, err := d.enter(ctx, link)
	if err != nil {
		return sheet, err
	}
	r, campaign, err := d.reviews.Campaign(ctx, reviews.ReviewInput{Org: link.Org, Review: link.Review})
	if err != nil {
		return sheet, err
	}
	sheet = reviewpage.Sheet{Review: r, Org: link.Org, Reviewer: who.Label(), About: campaign.Description,
		Open: r.State == access.ReviewOpen}
	if !sheet.Open {
		sheet.Closed = "deciding is over; what was decided is being carried out"
	}
	if err := d.env.Ledger.SeenReview(ctx, link.Org, link.Review, who, "page", d.env.Now(),
		reviews.SeenEvery); err != nil {
		return sheet, err
	}
	items, err := d.env.Ledger.Items(ctx, link.Org, link.Review, ledger.ItemFilter{
		Reviewer: []string{who.ID}, Stage: r.Stage, Undecided: q.Undecided, After: q.After, Limit: q.Limit + 1,
	})
	if err != nil {
		return sheet, err
	}
	if len(items) > q.Limit {
		items = items[:q.Limit]
		sheet.Next = items[q.Limit-1].N
	}
	accounts, err := d.env.Ledger.ReviewNames(ctx, link.Org, link.Review)
	if err != nil {
		return sheet, err
	}
	if owner := accounts[access.FoldAddress(r.Owner)]; owner != "" {
		label, err := d.reviews.Labels(ctx, link.Org, []string{owner})
		if err != nil {
			return sheet, err
		}
		sheet.Review.Owner = label(owner)
	}
	mine := func(s access.Said) bool { return s.By == who.ID || accounts[s.By] == who.ID }
	for _, i := range items {
		sheet.Items = append(sheet.Items, rowOf(i, r.Stage, mine))
	}
	sheet.Total, sheet.Decided, err = d.env.Ledger.TasksOf(ctx, link.Org, link.Review, r.Stage, who.ID)
	return sheet, err
}

func rowOf(i access.Item, stage int, mine func(access.Said) bool) reviewpage.Row {
	row := reviewpage.Row{Item: i}
	for _, s := range i.Said {
		if s.Stage == stage && mine(s) {
			row.Mine, row.MyComment = s.Verdict, s.Comment
		} else {
			row.Others = append(row.Others, s)
		}
	}
	return row
}

// Decide records what a reviewer decides on their page.
func (d *Desk) Decide(ctx context.Context, link links.Link, in messages.DecideInput) (messages.ReviewAnswer, error) {
	return d.record(ctx, link, reviews.ReviewWord{Decide: &in})
}

// Delegate hands items on.
func (d *Desk) Delegate(ctx context.Context, link links.Link, in messages.DelegateInput) (messages.ReviewAnswer,
	error) {
	return d.record(ctx, link, reviews.ReviewWord{Delegate: &in})
}

// Comment adds a word to an item.
func (d *Desk) Comment(ctx context.Context, link links.Link, in messages.CommentInput) (messages.ReviewAnswer, error) {
	return d.record(ctx, link, reviews.ReviewWord{Comment: &in})
}

// Reopen takes back what the reviewer said.
func (d *Desk) Reopen(ctx context.Context, link links.Link, in messages.ReopenInput) (messages.ReviewAnswer, error) {
	return d.record(ctx, link, reviews.ReviewWord{Reopen: &in})
}

// record records a word of somebody who has shown a good link.
func (d *Desk) record(ctx context.Context, link links.Link, w reviews.ReviewWord) (messages.ReviewAnswer, error) {
	who, err := d.enter(ctx, link)
	if err != nil {
		return messages.ReviewAnswer{}, err
	}
	r, err := d.env.Ledger.Review(ctx, link.Org, link.Review)
	if err != nil {
		return messages.ReviewAnswer{}, err
	}
	w.Via, w.At = "page", d.env.Now()
	heard, err := d.reviews.Record(ctx, link.Org, r, w, who)
	if err != nil {
		return messages.ReviewAnswer{}, err
	}
	if heard.Refused != "" {
		return messages.ReviewAnswer{}, reviewpage.Refused{Why: heard.Refused}
	}
	if heard.Answer.Applied > 0 {
		d.waking.soon(link.Org+"\n"+link.Review, func() { d.wake(link) })
	}
	return heard.Answer, nil
}

// wake has the review's workflow look at what was decided. Where it does not run, or cannot be reached, its clock does
// that later.
func (d *Desk) wake(link links.Link) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_ = d.env.Temporal.SignalWorkflow(ctx, messages.ReviewID(link.Org, link.Review), "", messages.Look, nil)
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
