package ledger

import (
	"context"
	"fmt"
)

// Check is the result of VerifyChain for one block of a chain.
type Check struct {
	From   int64   `json:"from"` // first entry checked
	To     int64   `json:"to"`   // last entry checked; From - 1 when there was none
	Head   string  `json:"head"` // hash of To
	Broken *Broken `json:"broken,omitempty"`
	More   bool    `json:"more"` // continue at To + 1
}

// Broken is the first place where a chain does not verify.
type Broken struct {
	Seq int64  `json:"seq"`
	Why string `json:"why"`
}

// VerifyChain checks at most limit entries (1,000 for 0) from the one numbered from (1 or less: the beginning): that
// none is missing, that each has the hash of the one before it and its own, and, at the end, that the chain ends where
// the organization's head says. Call it again with To + 1 while More is set. An error means that the check could not be
// made; a chain that does not verify is Broken and no error.
func (l *Ledger) VerifyChain(ctx context.Context, org string, from int64, limit int) (Check, error) {
	check, err := l.verify(ctx, org, max(from, 1), atMost(limit))
	return check, reading(err, "the chain to check it", org)
}

func (l *Ledger) verify(ctx context.Context, org string, from int64, limit int) (Check, error) {
	check := Check{From: from, To: from - 1}
	// The head is read first: entries appended meanwhile come after it, and belong to the next block.
	last, hash, err := head(ctx, l.reads, org)
	if err != nil {
		return check, err
	}
	broken := func(seq int64, why string, args ...any) error {
		check.Broken, check.More = &Broken{Seq: seq, Why: fmt.Sprintf(why, args...)}, false
		return errStop
	}
	err = l.reads.each(ctx, func(row scanner) error {
		e, err := scanEntry(row)
		switch {
		case err != nil:
			return err
		case e.Seq == from-1: // read only for its hash
			check.Head = e.Hash
			return nil
		case check.To-from+1 == int64(limit):
			check.More = true
			return errStop
		case check.Head == "" && from > 1:
			return broken(from-1, "entry %d is missing: it should come before entry %d", from-1, e.Seq)
		case e.Seq != check.To+1:
			return broken(check.To+1, "entry %d is missing: %d follows entry %d", check.To+1, e.Seq, check.To)
		case e.Prev != check.Head:
			return broken(e.Seq, "entry %d says that %q came before it, but entry %d has the hash %q", e.Seq, e.Prev,
				e.Seq-1, check.Head)
		case e.Sum() != e.Hash:
			return broken(e.Seq, "entry %d was changed: it hashes to %s and carries %s", e.Seq, e.Sum(), e.Hash)
		}
		check.To, check.Head = e.Seq, e.Hash
		if e.Seq == last && e.Hash != hash {
			return broken(e.Seq, "the head says that entry %d has the hash %s, but it carries %s", e.Seq, hash, e.Hash)
		}
		return nil
	}, selectEntry+` WHERE org = ? AND seq >= ? ORDER BY seq LIMIT ?`, org, from-1, limit+2)
	if err != nil && err != errStop {
		return check, err
	}
	if check.Broken == nil && !check.More {
		err = l.verifyEnd(ctx, org, last, &check)
	} else {
		err = nil
	}
	return check, err
}

// verifyEnd compares the end of the entries with the head, which was last when the block was begun.
func (l *Ledger) verifyEnd(ctx context.Context, org string, last int64, check *Check) error {
	if check.To < last {
		check.Broken = &Broken{Seq: check.To + 1,
			Why: fmt.Sprintf("the chain should go on to entry %d, but nothing follows entry %d", last, check.To)}
		return nil
	}
	if check.To == 0 {
		known, err := first(ctx, l.reads, func(row scanner) (n int, err error) { return n, row.Scan(&n) },
			`SELECT COUNT(*) FROM organizations WHERE org = ?`, org)
		if known > 0 {
			check.Broken = &Broken{Seq: 1,
				Why: "the organization is known to the ledger, and its chain has no entry: it was emptied"}
		}
		return err
	}
	if check.To == last {
		return nil
	}
	now, hash, err := head(ctx, l.reads, org)
	if err != nil {
		return err
	}
	if check.To > now || check.To == now && check.Head != hash {
		check.Broken = &Broken{Seq: check.To,
			Why: fmt.Sprintf("entry %d is not the ledger's: the head says that the chain ends with entry %d (%s)",
				check.To, now, hash)}
	}
	return nil
}

// HashOf returns the hash of one entry of a chain, or ErrNotFound.
func (l *Ledger) HashOf(ctx context.Context, org string, seq int64) (string, error) {
	hash, err := first(ctx, l.reads, func(row scanner) (s string, err error) { return s, row.Scan(&s) },
		`SELECT hash FROM entries WHERE org = ? AND seq = ?`, org, seq)
	return hash, reading(err, fmt.Sprintf("entry %d of the chain", seq), org)
}
