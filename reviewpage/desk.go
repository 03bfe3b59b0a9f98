package reviewpage

import (
	"context"
	"errors"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/links"
	"github.com/castellan-io/castellan/messages"
)

// Desk is what the page asks of Castellan. What it takes is always said by the link's own reviewer.
//
// An error that is neither [ErrNoEntry] nor a [Refused] means that Castellan could not answer: whether what was said
// was taken is then not known, so saying the same twice must do no harm.
type Desk interface {
	// Admit says whether the link opens anything now: it was issued, is not revoked, and its review is open for this
	// reviewer. Any refusal is ErrNoEntry.
	Admit(ctx context.Context, link links.Link) error
	// Sheet is what the reviewer is shown.
	Sheet(ctx context.Context, link links.Link, q Query) (Sheet, error)

	Decide(ctx context.Context, link links.Link, in messages.DecideInput) (messages.ReviewAnswer, error)
	Delegate(ctx context.Context, link links.Link, in messages.DelegateInput) (messages.ReviewAnswer, error)
	Comment(ctx context.Context, link links.Link, in messages.CommentInput) (messages.ReviewAnswer, error)
	Reopen(ctx context.Context, link links.Link, in messages.ReopenInput) (messages.ReviewAnswer, error)
}

// ErrNoEntry is the desk's answer to a link that opens nothing, whatever the reason.
var ErrNoEntry = errors.New("the link opens nothing")

// Refused is the desk's answer to what it understood and did not take; the reviewer reads why.
type Refused struct{ Why string }

// Error is why.
func (r Refused) Error() string { return r.Why }

// Query asks for one page of the reviewer's items, by number.
type Query struct {
	Undecided bool // only items of which the reviewer has said nothing in this stage
	After     int  // only items with a greater number
	Limit     int
}

// Sheet is a reviewer's list of items.
type Sheet struct {
	Review        access.Review
	Org, Reviewer string
	About         string // the campaign's description
	Items         []Row  // by number
	Total         int    // the reviewer's items in this stage
	Decided       int    // of them, those of which the reviewer has said something
	Next          int    // After of the next page; 0: there is none
	Open          bool   // deciding is possible now; otherwise the page only shows
	Closed        string // why it is not
}

// Row is one item, with what the reviewer and others have said of it.
type Row struct {
	access.Item
	Mine      access.Verdict
	MyComment string
	Others    []access.Said
}
