package evidence

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/castellan-io/castellan/access"
)

// Checked is what Verify found a pack to be.
type Checked struct {
	Org       string        `json:"org"`
	Review    access.Review `json:"review"`
	Made      time.Time     `json:"made"`
	Castellan string        `json:"castellan,omitempty"` // the version that made it
	Seal
	Counts
}

// Verify checks a pack without anything but the pack: that each line is in its one form and follows the one before,
// that the first is the review and the last the end with nothing after it, that nothing is missing between them, and
// that what the lines say agrees. The error names the line and says what does not fit.
//
// A nil error means that the file is whole and does not contradict itself. It does not mean that Castellan made it: for
// that, hold Checked.Head against the head that the ledger's chain has and that was sent to the campaign's owner. The
// package comment has more on what a pack proves.
//
// The file is read once, a line at a time. What is kept of it is who said what of which item, so memory grows with the
// decisions, and never beyond the file's own size by much.
func Verify(r io.Reader) (Checked, error) { return read(r, visitor{}) }

// visitor is told what a pack holds, in its order, while it is being checked: only when read returns without an error
// is any of it worth something.
type visitor struct {
	head  func(Head)
	item  func(access.Item)
	event func(access.ReviewEvent)
}

func read(r io.Reader, see visitor) (Checked, error) {
	lines := newChain(r)
	c := contents{counts: newCounts()}
	for !c.ended {
		kind, body, err := lines.next()
		if errors.Is(err, io.EOF) {
			return Checked{}, fmt.Errorf("evidence: line %d: it is missing: the file ends without its last line, of kind end", lines.seq+1)
		}
		if err == nil {
			if err = c.line(kind, body, see); err != nil {
				err = fmt.Errorf("line %d: %w", lines.seq, err)
			}
		}
		if err == nil && c.ended {
			err = c.agree()
		}
		if err != nil {
			return Checked{}, fmt.Errorf("evidence: %w", err)
		}
	}
	seal := Seal{Lines: lines.seq, Head: lines.head}
	if _, _, err := lines.next(); !errors.Is(err, io.EOF) {
		return Checked{}, fmt.Errorf("evidence: line %d: it comes after the end: somebody added it", seal.Lines+1)
	}
	return Checked{Org: c.head.Org, Review: c.head.Review, Made: c.head.Made, Castellan: c.head.Castellan, Seal: seal,
		Counts: c.counts}, nil
}
