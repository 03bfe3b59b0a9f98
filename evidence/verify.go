package evidence

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/castellan-io/castellan/access"
)

// VerifiedPack describes a pack that passed Verify.
type VerifiedPack struct {
	Org       string        `json:"org"`
	Review    access.Review `json:"review"`
	Made      time.Time     `json:"made"`
	Castellan string        `json:"castellan,omitempty"` // the version that made it
	Seal
	Counts
}

// Verify checks a pack on its own: that each line is canonical and follows the one before, that the first is the review
// and the last the end, that nothing is missing in between, and that the lines agree with each other. The error names
// the line and what is wrong with it.
//
// A nil error means that the file is complete and consistent. It does not mean that Castellan made it: for that,
// compare Checked.Head with the head in the ledger's chain or in the notice to the campaign's owner. The package
// comment has more on what a pack proves.
//
// The file is read once, line by line. Only the decisions are kept in memory.
func Verify(r io.Reader) (VerifiedPack, error) { return read(r, visitor{}) }

// visitor is called with a pack's contents while they are being checked. They are valid only if read then returns no
// error.
type visitor struct {
	head  func(Head)
	item  func(access.Item)
	event func(access.ReviewEvent)
}

func read(r io.Reader, see visitor) (VerifiedPack, error) {
	lines := newLineReader(r)
	c := checker{counts: newCounts()}
	for !c.ended {
		kind, body, err := lines.next()
		if errors.Is(err, io.EOF) {
			return VerifiedPack{}, fmt.Errorf("evidence: line %d: it is missing: the file ends without its last line, of kind end", lines.seq+1)
		}
		if err == nil {
			if err = c.line(kind, body, see); err != nil {
				err = fmt.Errorf("line %d: %w", lines.seq, err)
			}
		}
		if err == nil && c.ended {
			err = c.crossCheck()
		}
		if err != nil {
			return VerifiedPack{}, fmt.Errorf("evidence: %w", err)
		}
	}
	seal := Seal{Lines: lines.seq, Head: lines.head}
	if _, _, err := lines.next(); !errors.Is(err, io.EOF) {
		return VerifiedPack{}, fmt.Errorf("evidence: line %d: it comes after the end: somebody added it", seal.Lines+1)
	}
	return VerifiedPack{Org: c.head.Org, Review: c.head.Review, Made: c.head.Made, Castellan: c.head.Castellan,
		Seal: seal, Counts: c.counts}, nil
}
