// Package backend serves reviewers' pages from the ledger: who may enter, what they are shown, and what they decide.
package backend

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

// Backend implements [reviewpage.Backend]. A decision is in the ledger before it is answered; the review's workflow is
// only told to look there.
type Backend struct {
	env     *session.Env
	reviews reviews.Records
	wakes   throttle
}

// New returns a backend.
func New(env *session.Env, records reviews.Records) *Backend {
	return &Backend{env: env, reviews: records}
}

// Admit checks that a link is valid now.
func (d *Backend) Admit(ctx context.Context, link links.Link) error {
	_, err := d.reviewer(ctx, link)
	return err
}

// reviewer returns whom a link admits: the account that it was sent to, whatever the reviewer was called then.
func (d *Backend) reviewer(ctx context.Context, link links.Link) (access.Person, error) {
	k, err := d.env.Ledger.ReviewLink(ctx, link.Org, link.ID)
	if errors.Is(err, ledger.ErrNotFound) ||
		err == nil && (!k.Revoked.IsZero() || k.Review != link.Review || !d.env.Now().Before(k.Expires)) {
		return access.Person{}, reviewpage.ErrLinkInvalid
	}
	if err != nil {
		return access.Person{}, err
	}
	if k.Reviewer != link.Reviewer { // an old link, with an address
		if accounts, err := d.env.Ledger.ReviewNames(ctx, link.Org, link.Review); err != nil ||
			accounts[access.FoldAddress(link.Reviewer)] != k.Reviewer {
			return access.Person{}, cmp.Or(err, reviewpage.ErrLinkInvalid)
		}
	}
	r, err := d.env.Ledger.Review(ctx, link.Org, link.Review)
	if errors.Is(err, ledger.ErrNotFound) || err == nil && r.State.Final() {
		return access.Person{}, reviewpage.ErrLinkInvalid
	}
	if err != nil {
		return access.Person{}, err
	}
	known, err := d.env.Ledger.KnownEmails(ctx, link.Org, []string{k.Reviewer})
	return access.Person{ID: k.Reviewer, Email: known[k.Reviewer]}, err
}

// Sheet returns a page of the reviewer's items.
func (d *Backend) Sheet(ctx context.Context, link links.Link, q reviewpage.Query) (reviewpage.Sheet, error) {
	var sheet reviewpage.Sheet
	who, err := d.reviewer(ctx, link)
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
	mine := func(s access.ItemDecision) bool { return s.By == who.ID || accounts[s.By] == who.ID }
	for _, i := range items {
		sheet.Items = append(sheet.Items, newRow(i, r.Stage, mine))
	}
	sheet.Total, sheet.Decided, err = d.env.Ledger.TasksOf(ctx, link.Org, link.Review, r.Stage, who.ID)
	return sheet, err
}

func newRow(i access.Item, stage int, mine func(access.ItemDecision) bool) reviewpage.Row {
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

// Decide records decisions.
func (d *Backend) Decide(ctx context.Context, link links.Link, in messages.DecideInput) (messages.ReviewAnswer, error) {
	return d.record(ctx, link, reviews.ReviewMessage{Decide: &in})
}

// Delegate delegates items.
func (d *Backend) Delegate(ctx context.Context, link links.Link, in messages.DelegateInput) (messages.ReviewAnswer,
	error) {
	return d.record(ctx, link, reviews.ReviewMessage{Delegate: &in})
}

// Comment comments on an item.
func (d *Backend) Comment(ctx context.Context, link links.Link, in messages.CommentInput) (messages.ReviewAnswer,
	error) {
	return d.record(ctx, link, reviews.ReviewMessage{Comment: &in})
}

// Reopen withdraws decisions.
func (d *Backend) Reopen(ctx context.Context, link links.Link, in messages.ReopenInput) (messages.ReviewAnswer, error) {
	return d.record(ctx, link, reviews.ReviewMessage{Reopen: &in})
}

func (d *Backend) record(ctx context.Context, link links.Link, w reviews.ReviewMessage) (messages.ReviewAnswer, error) {
	who, err := d.reviewer(ctx, link)
	if err != nil {
		return messages.ReviewAnswer{}, err
	}
	r, err := d.env.Ledger.Review(ctx, link.Org, link.Review)
	if err != nil {
		return messages.ReviewAnswer{}, err
	}
	w.Via, w.At = "page", d.env.Now()
	recorded, err := d.reviews.Record(ctx, link.Org, r, w, who)
	if err != nil {
		return messages.ReviewAnswer{}, err
	}
	if recorded.Refused != "" {
		return messages.ReviewAnswer{}, reviewpage.RefusedError{Why: recorded.Refused}
	}
	if recorded.Answer.Applied > 0 {
		d.wakes.run(link.Org+"\n"+link.Review, func() { d.wake(link) })
	}
	return recorded.Answer, nil
}

// wake signals the review's workflow to look at what was decided. If that fails, its timer does the same later.
func (d *Backend) wake(link links.Link) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_ = d.env.Temporal.SignalWorkflow(ctx, messages.ReviewID(link.Org, link.Review), "", messages.Look, nil)
}

// wakeInterval is the shortest time between two wakes of a review: a history is limited to 10,000 signals.
const wakeInterval = 2 * time.Second

// throttle limits how often something is done per key.
type throttle struct {
	mu   sync.Mutex
	due  []string
	last map[string]time.Time
}

// run calls do once, at the end of the current interval of the key.
func (w *throttle) run(key string, do func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if slices.Contains(w.due, key) {
		return
	}
	if w.last == nil || len(w.last) > 1000 {
		w.last = map[string]time.Time{}
	}
	w.due = append(w.due, key)
	time.AfterFunc(max(0, wakeInterval-time.Since(w.last[key])), func() {
		w.mu.Lock()
		w.last[key] = time.Now()
		w.due = slices.DeleteFunc(w.due, func(k string) bool { return k == key })
		w.mu.Unlock()
		do()
	})
}
