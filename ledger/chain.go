package ledger

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/castellan-io/castellan/access"
)

// The kinds of entry that the ledger writes itself. Append takes any other kind as well.
const (
	EntryPolicy      = "policy"       // a policy became the current one
	EntryAdopted     = "adopted"      // the first plan was approved
	EntryRetired     = "retired"      // the organization's ID was freed
	EntryRunBegun    = "run-begun"    // a run that may write, or a dry run; previews are not recorded
	EntryRunEnded    = "run-ended"    // with its plan's hash and its counts
	EntryHoldOpened  = "hold-opened"  // a guard stopped changes
	EntryHoldDecided = "hold-decided" // a hold was approved, rejected, replaced or closed
	EntryChange      = "change"       // the final answer to one change, with its reasons
	EntryRule        = "rule"         // the changes of a rule were approved
	EntryPolicyNames = "policy-names" // the accounts of the people whom the policy names
	// EntryHoldingEnded: reads proved that a holding is over, without a change of Castellan's.
	EntryHoldingEnded = "holding-ended"

	// EntryProvisionAdopted: the first plan of a provision was approved
	EntryProvisionAdopted = "provision-adopted"

	EntryIdentityBound  = "identity-bound"   // which account, or which record of a directory, an identity is from now on
	EntryGroupBound     = "scim-group-bound" // which group of a SCIM directory follows one of a source from now on
	EntrySourceAccepted = "source-accepted"  // what a suspect read of a source showed was accepted

	EntryGroupLinked   = "group-linked"   // a group at Atlassian follows one of a source from now on, or no longer
	EntryGroupConflict = "group-conflict" // a difference between the two was accepted or rejected

	EntryRows = "rows" // how rows of the ledger are after this transaction; see recorded.go

	EntryGrantRequested = "grant-requested"
	EntryGrantApproved  = "grant-approved" // one approver's consent
	EntryGrantGranted   = "grant-granted"  // from then on it is a reason, once it begins
	EntryGrantDenied    = "grant-denied"
	EntryGrantExpired   = "grant-expired" // nobody decided in time
	EntryGrantEnded     = "grant-ended"   // by time, early, or withdrawn before it was granted
	EntryGrantGiven     = "grant-given"   // access was seen to be given
	EntryGrantTaken     = "grant-taken"   // nothing is left of it to remove
	EntryGrantArrived   = "grant-arrived" // the account id behind an e-mail address became known

	EntryReviewOpened    = "review-opened"
	EntryReviewDecided   = "review-decided"  // one reviewer's verdict on one item
	EntryReviewReopened  = "review-reopened" // taken back
	EntryReviewExtended  = "review-extended"
	EntryReviewClosed    = "review-closed"  // deciding ended
	EntryReviewOutcome   = "review-outcome" // the outcome of one item
	EntryReviewCancelled = "review-cancelled"
	EntryReviewEnded     = "review-ended" // with the head of its evidence
)

// Entry is one link of an organization's hash chain. The package comment says how its hash is made.
type Entry struct {
	Org    string             `json:"org"`
	Seq    int64              `json:"seq"` // 1, 2, 3 … within the organization
	At     time.Time          `json:"at"`  // to the microsecond
	Kind   string             `json:"kind"`
	Run    string             `json:"run,omitempty"`
	Person string             `json:"person,omitempty"` // account id
	Target access.Entitlement `json:"target,omitempty"`
	Body   json.RawMessage    `json:"body"`
	Prev   string             `json:"prev"`
	Hash   string             `json:"hash"`
}

// Sum returns the hash that the entry should have, from all its other fields.
func (e Entry) Sum() string {
	sum := sha256.New()
	for _, field := range []string{
		e.Prev, e.Org, strconv.FormatInt(e.Seq, 10), strconv.FormatInt(instant(e.At), 10),
		e.Kind, e.Run, e.Person, string(e.Target), string(e.Body),
	} {
		_, _ = io.WriteString(sum, strconv.Itoa(len(field))+":"+field+"\n")
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil))
}

// Append adds an entry of the caller's to the chain, for example a grant's beginning, and returns it with Seq, Prev and
// Hash. Body must be JSON, or nil. An entry with the same At, Kind, Run, Person, Target and Body that is there already
// is returned as it is; so give a fixed At when the call may be repeated (a zero At means now).
func (l *Ledger) Append(ctx context.Context, e Entry) (Entry, error) {
	e.At = orNow(e.At)
	var compact bytes.Buffer
	if len(e.Body) == 0 {
		e.Body = json.RawMessage("{}")
	}
	if err := json.Compact(&compact, e.Body); err != nil {
		return Entry{}, fmt.Errorf("ledger: append a %s entry to the chain of %s: the body is not JSON: %w", e.Kind,
			e.Org, err)
	}
	e.Body = compact.Bytes()
	e.clean()
	err := l.write(ctx, e.Org, "append a "+e.Kind+" entry to the chain", func(w *write) error {
		found, err := first(ctx, w.database, scanEntry, selectEntry+` WHERE org = ? AND at = ? AND kind = ? AND run = ?
			AND person = ? AND target = ? AND body = ?`, e.Org, instant(e.At), e.Kind, e.Run, e.Person, string(e.Target), string(e.Body))
		if !errors.Is(err, ErrNotFound) {
			e = found
			return err
		}
		entries := []Entry{e}
		err = w.append(ctx, entries...)
		e = entries[0]
		return err
	})
	if err != nil {
		return Entry{}, err
	}
	return e, nil
}

// append links the entries to the chain in their order and fills in their Org, Seq, Prev and Hash.
func (w *write) append(ctx context.Context, entries ...Entry) error {
	if len(entries) == 0 {
		return nil
	}
	rows := make([][]any, len(entries))
	for i := range entries {
		e := &entries[i]
		w.seq++
		e.Org, e.Seq, e.Prev = w.org, w.seq, w.head
		e.clean()
		w.head = e.Sum()
		e.Hash, w.at = w.head, e.At
		rows[i] = []any{e.Org, e.Seq, instant(e.At), e.Kind, e.Run, e.Person, string(e.Target), string(e.Body),
			e.Prev, e.Hash}
	}
	if err := w.execRows(ctx, `INSERT INTO entries (org, seq, at, kind, run, person, target, body, prev, hash) VALUES`,
		marks(10), ``, rows); err != nil {
		return err
	}
	_, err := w.exec(ctx, `UPDATE heads SET seq = ?, hash = ? WHERE org = ?`, w.seq, w.head, w.org)
	return err
}

// clean makes the fields what the database will store, so that the hash is of exactly that.
func (e *Entry) clean() {
	e.At = fromInstant(instant(e.At))
	e.Org, e.Kind, e.Run, e.Person = clean(e.Org), clean(e.Kind), clean(e.Run), clean(e.Person)
	e.Target = access.Entitlement(clean(string(e.Target)))
	e.Body = json.RawMessage(clean(string(e.Body)))
}

// body returns an entry's body; the keys of a map are in alphabetical order.
func body(value any) json.RawMessage { return json.RawMessage(text(value)) }

const selectEntry = `SELECT org, seq, at, kind, run, person, target, body, prev, hash FROM entries`

func scanEntry(row scanner) (e Entry, err error) {
	var at int64
	var stored string
	err = row.Scan(&e.Org, &e.Seq, &at, &e.Kind, &e.Run, &e.Person, &e.Target, &stored, &e.Prev, &e.Hash)
	e.At, e.Body = fromInstant(at), json.RawMessage(stored)
	return e, err
}

// Entries returns at most limit entries (1,000 for 0) after the one numbered after, in order.
func (l *Ledger) Entries(ctx context.Context, org string, after int64, limit int) ([]Entry, error) {
	all, err := collect(ctx, l.reads, scanEntry, selectEntry+` WHERE org = ? AND seq > ? ORDER BY seq LIMIT ?`, org,
		after, atMost(limit))
	return all, reading(err, "the chain", org)
}

// Head returns the number and hash of the chain's last entry; 0 and "" when there is none yet. Kept elsewhere, it later
// proves that nothing before it was rewritten.
func (l *Ledger) Head(ctx context.Context, org string) (seq int64, hash string, err error) {
	seq, hash, err = head(ctx, l.reads, org)
	return seq, hash, reading(err, "the chain's head", org)
}

func head(ctx context.Context, d database, org string) (seq int64, hash string, err error) {
	err = d.each(ctx, func(row scanner) error { return row.Scan(&seq, &hash) },
		`SELECT seq, hash FROM heads WHERE org = ?`, org)
	return seq, hash, err
}
