package ledger

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
)

// replayed is the chain's last entry about each row of an organization. It is computed from the chain alone, and kept
// in memory: an older row that somebody restores, together with the number of its entry, is not the last.
type replayed struct {
	turn chan struct{} // readers replay a chain one after the other

	mu   sync.Mutex
	seq  int64 // of the last entry that was replayed
	hash string
	last map[rowKey]rowSum
}

type (
	rowKey [16]byte // hash of a row's table and key
	rowSum [24]byte // hash of a row; zero for one that is not there, or not recorded
)

// doubtedSum is no row's: the entry says that the row was written over an unexplained one.
var doubtedSum = rowSum{0: 0xff, 23: 0xff}

func keyOf(t *recordedTable, key []string) (k rowKey) {
	copy(k[:], hashed(t.name, entryKey(key)))
	return k
}

// sumOf returns the hash of a row as in entries.
func sumOf(hash string) (s rowSum) {
	switch {
	case hash == "" || hash == rowGone:
	case strings.HasPrefix(hash, rowDoubted):
		s = doubtedSum
	default:
		raw, err := base64.RawURLEncoding.DecodeString(hash)
		if copy(s[:], raw); err != nil || s == (rowSum{}) {
			s = doubtedSum
		}
	}
	return s
}

// ErrChainCut is the error for a chain that has lost its end since the worker read it: nothing is acted on, and nothing
// written, until that is resolved.
var ErrChainCut = errors.New("the ledger's chain has lost entries since this worker read them. " +
	"Where a backup was put back on purpose, restart the worker; else look at what starter verify-ledger says")

// replayAtOnce is how many entries one statement reads. The largest have some 70 KB.
const replayAtOnce = 200

// of returns the chain's last hash of a row.
func (r *replayed) of(t *recordedTable, key []string) rowSum {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last[keyOf(t, key)]
}

// catchUp replays the entries that were added since, up to one.
func (r *replayed) catchUp(ctx context.Context, d database, org string, until int64) error {
	for {
		r.mu.Lock()
		seq, hash := r.seq, r.hash
		r.mu.Unlock()
		some, err := collect(ctx, d, scanEntry,
			selectEntry+` WHERE org = ? AND seq >= ? AND seq <= ? ORDER BY seq LIMIT ?`,
			org, seq, until, replayAtOnce)
		if err != nil {
			return err
		}
		if seq > 0 {
			if len(some) == 0 || some[0].Seq != seq || some[0].Hash != hash {
				return fmt.Errorf("%w: there was an entry %d with the hash %s", ErrChainCut, seq, hash)
			}
			some = some[1:]
		}
		if len(some) == 0 {
			return nil
		}
		r.mu.Lock()
		if r.seq == seq { // or another goroutine did it before
			for _, e := range some {
				r.add(e)
			}
		}
		r.mu.Unlock()
	}
}

// add replays an entry. If the chain is broken, nothing before it counts: nobody knows what is missing.
func (r *replayed) add(e Entry) {
	sound := e.Seq == r.seq+1 && e.Prev == r.hash && e.Sum() == e.Hash
	if !sound || r.last == nil {
		r.last = map[rowKey]rowSum{}
	}
	r.seq, r.hash = e.Seq, e.Hash
	if !sound || e.Kind != EntryRows {
		return
	}
	said, _, err := rowsOf(string(e.Body))
	if err != nil {
		return // which only a broken entry is
	}
	for _, s := range said {
		r.set(keyOf(s.table, s.key), sumOf(s.hash))
	}
}

func (r *replayed) set(key rowKey, sum rowSum) {
	if sum == (rowSum{}) {
		delete(r.last, key)
	} else {
		r.last[key] = sum
	}
}

// replay replays an organization's chain up to now.
func (l *Ledger) replay(ctx context.Context, org string) (*replayed, error) {
	r := l.replayOf(org)
	if seq, hash, err := head(ctx, l.reads, org); err != nil || r.at(seq, hash) {
		return r, err
	}
	select {
	case r.turn <- struct{}{}:
	case <-ctx.Done():
		return r, ctx.Err()
	}
	defer func() { <-r.turn }()
	return r, r.catchUp(ctx, l.reads, org, math.MaxInt64)
}

func (l *Ledger) replayOf(org string) *replayed {
	r, _ := l.replays.LoadOrStore(org, &replayed{turn: make(chan struct{}, 1)})
	return r.(*replayed)
}

// explainedRows returns which rows, by key, are as in the chain's last entry. A missing row has no result.
func (l *Ledger) explainedRows(ctx context.Context, org string, t *recordedTable, keys [][]string) (map[string]bool,
	error) {
	explained := map[string]bool{}
	for some := range slices.Chunk(keys, rowsAtOnce) {
		if err := l.explainSome(ctx, org, t, some, explained); err != nil {
			return nil, err
		}
	}
	return explained, nil
}

// explainSome reads an unexplained row a second time: somebody may just have been writing it.
func (l *Ledger) explainSome(ctx context.Context, org string, t *recordedTable, keys [][]string,
	explained map[string]bool) error {
	type pair struct{ is, last rowSum }
	before := map[string]pair{}
	for len(keys) > 0 {
		for _, key := range keys {
			delete(explained, strings.Join(key, "\x00"))
		}
		rows, err := t.read(ctx, l.reads, org, keys)
		if err != nil {
			return err
		}
		r, err := l.replay(ctx, org)
		if err != nil {
			return err
		}
		keys = nil
		for id, row := range rows {
			p := pair{sumOf(row.hash), r.of(t, row.key)}
			explained[id] = p.is == p.last
			if met, again := before[id]; !explained[id] && (!again || met != p) {
				before[id], keys = p, append(keys, row.key)
			}
		}
	}
	return nil
}

// catchUp replays what was added to the chain before the transaction.
func (w *write) catchUp(ctx context.Context) error {
	if w.replayed.at(w.began.seq, w.began.head) {
		return nil
	}
	if err := w.replayed.catchUp(ctx, w.database, w.org, w.began.seq); err != nil {
		return err
	}
	if !w.replayed.at(w.began.seq, w.began.head) {
		return fmt.Errorf("%w: it does not end with entry %d (%s), as its head says", ErrChainCut, w.began.seq,
			w.began.head)
	}
	return nil
}

func (r *replayed) at(seq int64, hash string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seq == seq && r.hash == hash
}

// last returns the chain's last hash of a row, including the transaction's additions.
func (w *write) last(t *recordedTable, key []string) rowSum {
	if sum, said := w.said[keyOf(t, key)]; said {
		return sum
	}
	return w.replayed.of(t, key)
}

// keep adds what a committed transaction added, so that it need not be read.
func (r *replayed) keep(w *write) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seq != w.began.seq || r.hash != w.began.head {
		return
	}
	if r.last == nil {
		r.last = map[rowKey]rowSum{}
	}
	for key, sum := range w.said {
		r.set(key, sum)
	}
	r.seq, r.hash = w.seq, w.head
}
