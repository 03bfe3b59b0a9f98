package evidence

import (
	"bufio"
	"fmt"
	"io"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/display"
)

// Writer writes a pack, line by line and in constant memory: the items, then the events, then Close. After an error
// nothing more is written, and all calls return that error.
//
// It checks order, numbers and sizes only. Long texts are cut, with their length and hash added, so that none prevents
// a pack from being made. Only Verify checks whether the contents agree with each other: verify a pack before you
// record its head.
type Writer struct {
	out    *bufio.Writer
	seal   Seal // of the lines written so far
	counts Counts
	err    error
}

// Seal identifies a pack.
type Seal struct {
	Lines int    `json:"lines"`
	Head  string `json:"head"` // hash of the last line: sha256:…
}

// NewWriter begins a pack. The seal in the review is left out; the policy defaults to the review's. The same head,
// items and events make the same pack, to the byte.
func NewWriter(w io.Writer, head Head) (*Writer, error) {
	head.Review.Head, head.Review.Lines = "", 0
	if head.Policy == "" {
		head.Policy = head.Review.Policy
	}
	p := &Writer{out: bufio.NewWriter(w), counts: newCounts()}
	if err := head.check(); err != nil {
		return nil, &ContentError{fmt.Errorf("evidence: begin the pack of review %q: %w", head.Review.ID, err)}
	}
	if write(p, kindReview, opening{Format: format, Head: head}, shortenOpening); p.err != nil {
		return nil, p.err
	}
	return p, nil
}

// Item adds an item. Items come in order from 1, before all events.
func (p *Writer) Item(i access.Item) error {
	switch {
	case p.err != nil:
	case p.counts.Events > 0:
		p.err = &ContentError{fmt.Errorf("evidence: write item %d: items come before the events", i.N)}
	case i.N != p.counts.Items+1:
		p.err = &ContentError{fmt.Errorf("evidence: write item %d: the next is item %d", i.N, p.counts.Items+1)}
	default:
		p.counts.add(i)
		write(p, kindItem, i, shortenItem)
	}
	return p.err
}

// Event adds an entry of the review's log. Events come in order from 1.
func (p *Writer) Event(e access.ReviewEvent) error {
	switch {
	case p.err != nil:
	case e.Seq != p.counts.Events+1:
		p.err = &ContentError{fmt.Errorf("evidence: write event %d: the next is event %d", e.Seq, p.counts.Events+1)}
	default:
		p.counts.Events++
		write(p, kindEvent, e, shortenEvent)
	}
	return p.err
}

// Close writes the last line, with the counts. It does not close the underlying writer.
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

func write[T any](p *Writer, kind string, value T, shorten shortener[T]) {
	if p.err != nil {
		return
	}
	var line []byte
	var hash string
	for degree := range maxDegrees {
		body, err := encodeBody(shorten(value, degree))
		if err != nil {
			p.err = &ContentError{fmt.Errorf("evidence: write line %d (%s): %w", p.seal.Lines+1, kind, err)}
			return
		}
		if line, hash = encodeLine(p.seal.Lines+1, kind, body, p.seal.Head); len(line) <= MaxLine {
			break
		}
	}
	if len(line) > MaxLine {
		p.err = &ContentError{fmt.Errorf("evidence: write line %d (%s): it has %s bytes; at most %s are read back",
			p.seal.Lines+1, kind, display.Number(len(line)), display.Number(MaxLine))}
		return
	}
	if _, err := p.out.Write(line); err != nil {
		p.err = fmt.Errorf("evidence: write line %d (%s): %w", p.seal.Lines+1, kind, err)
		return
	}
	p.seal.Lines++
	p.seal.Head = hash
}

// ContentError reports contents that no pack can be made of, so that a retry is useless.
type ContentError struct{ error }

// Unwrap returns the underlying error.
func (e *ContentError) Unwrap() error { return e.error }
