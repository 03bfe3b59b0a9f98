package evidence

import (
	"bufio"
	"fmt"
	"io"

	"github.com/castellan-io/castellan/access"
)

// Writer writes a pack, line by line and in constant memory: the items, then the events, then Close. After an error
// nothing more is written, and all calls give that error.
//
// It sees to the form alone: order, numbers, sizes. What is too long is cut, with its length and hash in its place, so
// that no single text keeps a pack from being made. Whether the contents agree with each other only Verify says, so
// verify a pack before its head is put on record.
type Writer struct {
	out    *bufio.Writer
	seal   Seal // of what is written so far
	counts Counts
	err    error
}

// Seal is what to keep of a pack elsewhere, so that it can be told from any other.
type Seal struct {
	Lines int    `json:"lines"`
	Head  string `json:"head"` // hash of the last line: sha256:…
}

// NewWriter begins a pack. Of the review, the head and lines of its evidence are left out; the policy, where none is
// given, is the review's. The same head, items and events make the same pack to the byte.
func NewWriter(w io.Writer, head Head) (*Writer, error) {
	head.Review.Head, head.Review.Lines = "", 0
	if head.Policy == "" {
		head.Policy = head.Review.Policy
	}
	p := &Writer{out: bufio.NewWriter(w), counts: newCounts()}
	if err := head.check(); err != nil {
		return nil, &ContentError{fmt.Errorf("evidence: begin the pack of review %q: %w", head.Review.ID, err)}
	}
	if write(p, kindReview, opening{Format: format, Head: head}, fitOpening); p.err != nil {
		return nil, p.err
	}
	return p, nil
}

// Item adds an item. Items come in the order of their numbers, from 1, and before all events.
func (p *Writer) Item(i access.Item) error {
	switch {
	case p.err != nil:
	case p.counts.Events > 0:
		p.err = &ContentError{fmt.Errorf("evidence: write item %d: items come before the events", i.N)}
	case i.N != p.counts.Items+1:
		p.err = &ContentError{fmt.Errorf("evidence: write item %d: the next is item %d", i.N, p.counts.Items+1)}
	default:
		p.counts.add(i)
		write(p, kindItem, i, fitItem)
	}
	return p.err
}

// Event adds an entry of the review's log. Events come in the order of their numbers, from 1.
func (p *Writer) Event(e access.ReviewEvent) error {
	switch {
	case p.err != nil:
	case e.Seq != p.counts.Events+1:
		p.err = &ContentError{fmt.Errorf("evidence: write event %d: the next is event %d", e.Seq, p.counts.Events+1)}
	default:
		p.counts.Events++
		write(p, kindEvent, e, fitEvent)
	}
	return p.err
}

// Close writes the last line, with the counts of all before it. It does not close what the pack was written to.
func (p *Writer) Close() (Seal, error) {
	write(p, kindEnd, p.counts, func(c Counts, _ int) Counts { return c })
	if p.err != nil {
		return Seal{}, p.err
	}
	if p.err = p.out.Flush(); p.err != nil {
		return Seal{}, fmt.Errorf("evidence: write the end: %w", p.err)
	}
	p.err = fmt.Errorf("evidence: the pack is closed")
	return p.seal, nil
}

func write[T any](p *Writer, kind string, value T, fit fitting[T]) {
	if p.err != nil {
		return
	}
	var line []byte
	var hash string
	for degree := range degrees {
		body, err := bodyOf(fit(value, degree))
		if err != nil {
			p.err = &ContentError{fmt.Errorf("evidence: write line %d (%s): %w", p.seal.Lines+1, kind, err)}
			return
		}
		if line, hash = frame(p.seal.Lines+1, kind, body, p.seal.Head); len(line) <= MaxLine {
			break
		}
	}
	if len(line) > MaxLine {
		p.err = &ContentError{fmt.Errorf("evidence: write line %d (%s): it has %s bytes; at most %s are read back",
			p.seal.Lines+1, kind, grouped(len(line)), grouped(MaxLine))}
		return
	}
	if _, err := p.out.Write(line); err != nil {
		p.err = fmt.Errorf("evidence: write line %d (%s): %w", p.seal.Lines+1, kind, err)
		return
	}
	p.seal.Lines++
	p.seal.Head = hash
}

// ContentError is what is wrong with the contents of a pack, so that it cannot be made, however often that is tried.
type ContentError struct{ error }

// Unwrap is what is wrong.
func (e *ContentError) Unwrap() error { return e.error }
