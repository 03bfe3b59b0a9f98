package reviewpage

import (
	"context"
	"errors"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/links"
	"github.com/castellan-io/castellan/messages"
)

// Backend is what the page needs from Castellan. All calls act as the link's reviewer.
//
// An error that is neither [ErrLinkInvalid] nor a [RefusedError] means that Castellan could not answer. It is then
// unknown whether the input was recorded, so repeated calls must be harmless.
type Backend interface {
	// Admit checks that the link is valid now: issued, not revoked, its review open for this reviewer. Any refusal is
	// ErrLinkInvalid.
	Admit(ctx context.Context, link links.Link) error
	// Sheet returns what the reviewer is shown.
	Sheet(ctx context.Context, link links.Link, q Query) (Sheet, error)

	Decide(ctx context.Context, link links.Link, in messages.DecideInput) (messages.ReviewAnswer, error)
	Delegate(ctx context.Context, link links.Link, in messages.DelegateInput) (messages.ReviewAnswer, error)
	Comment(ctx context.Context, link links.Link, in messages.CommentInput) (messages.ReviewAnswer, error)
	Reopen(ctx context.Context, link links.Link, in messages.ReopenInput) (messages.ReviewAnswer, error)
}

// ErrLinkInvalid is the backend's error for an invalid link, whatever the reason.
var ErrLinkInvalid = errors.New("the link opens nothing")

// RefusedError is the backend's error for input that it does not accept, for the reviewer to read.
type RefusedError struct{ Why string }

func (r RefusedError) Error() string { return r.Why }

// Query asks for one page of the reviewer's items, by number.
type Query struct {
	Undecided bool // only items that the reviewer has not decided in this stage
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
	Decided       int    // of them, decided by the reviewer
	Next          int    // After of the next page; 0: none
	Open          bool   // deciding is possible now
	Closed        string // why not
}

// Row is one item, with the decisions of the reviewer and of others.
type Row struct {
	access.Item
	Mine      access.Verdict
	MyComment string
	Others    []access.ItemDecision
}
