package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Binding links an identity to an account or, in a provision, to a record in the provision's directory.
type Binding struct {
	Provision string // "": the identity is an account
	Source    string
	Key       string
	Account   string    // account id; of a record: that it was linked to when it was last seen, "" for none
	Record    string    // record id; "" without a provision
	Address   string    // by which the account was found; "": otherwise
	By        string    // who decided it
	Since     time.Time // set by the ledger
	// Unexplained: the chain does not explain it; nothing may be concluded from it.
	Unexplained bool
}

// Ref returns the name of the identity.
func (b Binding) Ref() Ref { return Ref{b.Source, b.Key} }

// bound returns what the identity is bound to.
func (b Binding) bound() string {
	if b.Provision == "" {
		return b.Account
	}
	return b.Record
}

func (b Binding) key() []any { return []any{b.Provision, b.Source, b.Key} }

func bindingKey(provision string, r Ref) []string { return []string{provision, r.Source, r.Key} }

// ErrBound is the error for an identity that is bound to something else already, or for an account or record that
// another identity of the source is bound to. It is a *BoundError.
var ErrBound = errors.New("it is bound already")

// BoundError lists the bindings that are in conflict with others.
type BoundError struct{ Conflicts []BindingConflict }

// BindingConflict is a binding and the one that it conflicts with.
type BindingConflict struct {
	Wanted Binding
	Other  Binding // with Unexplained set where the chain knows another than there is, or than there is not
}

func (e *BoundError) Error() string {
	c := e.Conflicts[0]
	text := fmt.Sprintf("%s cannot be bound to %s: %s is bound to %s", c.Wanted.Ref(), c.Wanted.bound(), c.Other.Ref(),
		cmp.Or(c.Other.bound(), "something that no longer exists"))
	if c.Other.Unexplained {
		text += ", and the chain does not explain that"
	}
	if more := len(e.Conflicts) - 1; more > 0 {
		text += fmt.Sprintf("; and %d more like it", more)
	}
	return text
}

// Is makes a BoundError an ErrBound.
func (e *BoundError) Is(target error) bool { return target == ErrBound }

const selectBinding = `SELECT provision, source, key, bound, account, address, by_whom, since FROM bindings`

func scanBinding(row scanner) (b Binding, err error) {
	var bound string
	var since int64
	err = row.Scan(&b.Provision, &b.Source, &b.Key, &bound, &b.Account, &b.Address, &b.By, &since)
	b.Since = fromInstant(since)
	if b.Provision != "" {
		b.Record = bound
	} else {
		b.Account = bound // what counts, whatever somebody wrote beside it
	}
	return b, err
}

// BindAccounts links identities to accounts: an identity to one account, and an account to one identity of each
// source. Those that are bound so already stay as they are. Either all are bound, or none: ErrBound names each that
// another stands against. ErrNotFound: the source never showed an identity.
func (l *Ledger) BindAccounts(ctx context.Context, org string, bindings []Binding, now time.Time) error {
	return l.bind(ctx, org, "", bindings, now)
}

// BindRecords is BindAccounts for records of a provision's directory. A record that is bound so already gets the
// account.
func (l *Ledger) BindRecords(ctx context.Context, org, provision string, bindings []Binding, now time.Time) error {
	if provision == "" {
		return fmt.Errorf("ledger: bind records (organization %s): a record is bound in a provision: name it", org)
	}
	return l.bind(ctx, org, provision, bindings, now)
}

func (l *Ledger) bind(ctx context.Context, org, provision string, bindings []Binding, now time.Time) error {
	bindings = slices.Clone(bindings)
	for n := range bindings {
		bindings[n].Provision, bindings[n].Key = provision, clean(bindings[n].Key)
		if b := bindings[n]; b.bound() == "" || b.Key == "" {
			return fmt.Errorf("ledger: bind identities (organization %s): %q is bound to %q: both must have a name", org,
				b.Ref(), b.bound())
		}
	}
	return l.write(ctx, org, fmt.Sprintf("bind %d identities", len(bindings)), func(w *write) error {
		var conflicts []BindingConflict
		var fresh []Binding
		for _, some := range chunks(bindings) {
			against, pass, err := w.sortBindings(ctx, provision, some, fresh)
			if err != nil {
				return err
			}
			conflicts, fresh = append(conflicts, against...), append(fresh, pass...)
		}
		if len(conflicts) > 0 {
			return &BoundError{conflicts}
		}
		return w.saveBindings(ctx, fresh, orNow(now))
	})
}

// sortBindings returns the bindings that others stand against, those of this call before them included, and those that
// are to be stored.
func (w *write) sortBindings(ctx context.Context, provision string, wanted,
	before []Binding) (against []BindingConflict, fresh []Binding, err error) {
	stored, err := w.storedBindings(ctx, provision, wanted)
	if err != nil {
		return nil, nil, err
	}
	ofIdentity, of := map[Ref]Binding{}, map[Ref]Binding{} // of: by source and what is bound
	note := func(b Binding) { ofIdentity[b.Ref()], of[Ref{b.Source, b.bound()}] = b, b }
	for _, b := range slices.Concat(stored, before) {
		note(b)
	}
	for _, b := range wanted {
		other, is := ofIdentity[b.Ref()]
		if taken, by := of[Ref{b.Source, b.bound()}]; by && taken.Ref() != b.Ref() {
			other, is = taken, true
		}
		switch {
		case !is:
			note(b)
			fresh = append(fresh, b)
		case other.Unexplained || other.Ref() != b.Ref() || other.bound() != b.bound():
			against = append(against, BindingConflict{b, other})
		case other.Account != b.Account:
			note(b)
			fresh = append(fresh, b)
		}
	}
	return against, fresh, nil
}

// storedBindings returns the bindings of some identities, and of what they are to be bound to. One that the chain knows
// and that is not there is among them, Unexplained.
func (w *write) storedBindings(ctx context.Context, provision string, wanted []Binding) ([]Binding, error) {
	refs, bound := make([]Ref, len(wanted)), make([]string, len(wanted))
	for n, b := range wanted {
		refs[n], bound[n] = b.Ref(), b.bound()
	}
	if err := w.requireIdentities(ctx, refs); err != nil {
		return nil, err
	}
	stored, err := w.boundTo(ctx, w.org, provision, bound)
	if err != nil {
		return nil, err
	}
	own, err := w.bindingsOf(ctx, w.org, provision, refs)
	if err != nil {
		return nil, err
	}
	stored = append(stored, own...)
	place := map[Ref][]int{}
	var keys [][]any
	for n, b := range stored {
		place[b.Ref()], keys = append(place[b.Ref()], n), append(keys, b.key())
	}
	for _, b := range wanted {
		keys = append(keys, b.key())
	}
	doubted, err := w.doubts(ctx, tableBindings, keys)
	for _, key := range doubted {
		r := Ref{key[1], key[2]}
		if place[r] == nil {
			stored = append(stored, Binding{Provision: provision, Source: r.Source, Key: r.Key})
			place[r] = []int{len(stored) - 1}
		}
		for _, n := range place[r] {
			stored[n].Unexplained = true
		}
	}
	return stored, err
}

// requireIdentities returns ErrNotFound unless all of them were shown at some time.
func (w *write) requireIdentities(ctx context.Context, refs []Ref) error {
	where, args := amongRefs("org, source, key", w.org, refs)
	there := map[Ref]bool{}
	if err := w.each(ctx, func(row scanner) error {
		var r Ref
		err := row.Scan(&r.Source, &r.Key)
		there[r] = true
		return err
	}, `SELECT source, key FROM identities WHERE `+where, args...); err != nil {
		return err
	}
	for _, r := range refs {
		if !there[r] {
			return fmt.Errorf("identity %s: %w", r, ErrNotFound)
		}
	}
	return nil
}

// boundTo returns the bindings to some accounts or records.
func (d database) boundTo(ctx context.Context, org, provision string, bound []string) ([]Binding, error) {
	where, args := among("org, provision", "bound", bound, org, provision)
	return collect(ctx, d, scanBinding, selectBinding+` WHERE `+where, args...)
}

// bindingsOf returns the bindings of some identities.
func (d database) bindingsOf(ctx context.Context, org, provision string, refs []Ref) ([]Binding, error) {
	rows := make([][]any, len(refs))
	for n, r := range refs {
		rows[n] = []any{org, provision, r.Source, r.Key}
	}
	where, args := amongRows("org, provision, source, key", rows)
	return collect(ctx, d, scanBinding, selectBinding+` WHERE `+where, args...)
}

// saveBindings stores bindings, and puts them into the chain.
func (w *write) saveBindings(ctx context.Context, bindings []Binding, now time.Time) error {
	var keys, rows [][]any
	var entries []Entry
	for _, b := range bindings {
		keys = append(keys, b.key())
		rows = append(rows, []any{w.org, b.Provision, b.Source, b.Key, b.bound(), b.Account, b.Address, instant(now),
			b.By})
		entries = append(entries, b.entry("", now))
	}
	if err := w.touch(ctx, tableBindings, keys...); err != nil {
		return err
	}
	if err := w.execRows(ctx, `INSERT INTO bindings (org, provision, source, key, bound, account, address, since,
		by_whom) VALUES`, marks(9), `ON CONFLICT (org, provision, source, key) DO UPDATE SET bound = excluded.bound,
		account = excluded.account, address = excluded.address, since = excluded.since, by_whom = excluded.by_whom`,
		rows); err != nil {
		return err
	}
	return w.append(ctx, entries...)
}

// entry returns the chain's entry about a binding, or about one that ended, without addresses.
func (b Binding) entry(was string, at time.Time) Entry {
	said := map[string]any{"source": b.Source, "key": keyPart(b.Key), "by": b.By}
	if b.Provision != "" {
		said["provision"] = b.Provision
	}
	if b.Record != "" {
		said["record"] = b.Record
	}
	if was != "" {
		said["was"] = was
	}
	return Entry{At: at, Kind: EntryIdentityBound, Person: b.Account, Body: body(said)}
}

// Rebind binds an identity to an account, or in a provision to a record, whatever it is bound to, because somebody
// decided so; bound to nothing it is free again. Another identity of the source that has the account or record loses
// it. What the chain does not explain of these is dropped. It returns the bindings that ended, and does nothing when
// the identity is bound so already. ErrNotFound: the source never showed the identity.
func (l *Ledger) Rebind(ctx context.Context, org string, b Binding, now time.Time) (ended []Binding, err error) {
	now = orNow(now)
	err = l.write(ctx, org, "bind "+b.Ref().String()+" anew", func(w *write) error {
		if err := w.requireIdentities(ctx, []Ref{b.Ref()}); err != nil {
			return err
		}
		ended, err = w.endedBy(ctx, b)
		if err != nil {
			return err
		}
		if err := w.unbind(ctx, ended, b.By, now); err != nil {
			return err
		}
		if err := w.forget(ctx, tableBindings, b.key()); err != nil || b.bound() == "" {
			return err
		}
		own, err := w.bindingsOf(ctx, org, b.Provision, []Ref{b.Ref()})
		if err != nil || len(own) == 1 { // it is bound so already
			return err
		}
		return w.saveBindings(ctx, []Binding{b}, now)
	})
	return ended, err
}

// endedBy returns the bindings that end if an identity is bound anew: its own, and that of whoever has the account or
// record. One that the chain explains and that is as it should be does not.
func (w *write) endedBy(ctx context.Context, b Binding) ([]Binding, error) {
	ended, err := w.boundTo(ctx, w.org, b.Provision, []string{b.bound()})
	if err != nil {
		return nil, err
	}
	ended = slices.DeleteFunc(ended, func(o Binding) bool { return o.Source != b.Source || o.Key == b.Key })
	own, err := w.bindingsOf(ctx, w.org, b.Provision, []Ref{b.Ref()})
	if err != nil {
		return nil, err
	}
	doubted, err := w.doubts(ctx, tableBindings, [][]any{b.key()})
	if len(own) == 1 && own[0].bound() == b.bound() && own[0].Account == b.Account && len(doubted) == 0 {
		return ended, err
	}
	return append(ended, own...), err
}

// unbind deletes bindings, and puts that into the chain.
func (w *write) unbind(ctx context.Context, bindings []Binding, by string, now time.Time) error {
	for _, b := range bindings {
		if err := w.forget(ctx, tableBindings, b.key()); err != nil {
			return err
		}
		if _, err := w.exec(ctx, `DELETE FROM bindings WHERE org = ? AND provision = ? AND source = ? AND key = ?`,
			w.org, b.Provision, b.Source, b.Key); err != nil {
			return err
		}
		freed := Binding{Provision: b.Provision, Source: b.Source, Key: b.Key, By: by}.entry(b.bound(), now)
		freed.Person = b.Account
		if err := w.append(ctx, freed); err != nil {
			return err
		}
	}
	return nil
}

// unexplainedBindings returns which bindings, by key, are not as the chain's last entry says: they may be others, or
// not there any more.
func (l *Ledger) unexplainedBindings(ctx context.Context, org string, keys [][]string) (map[string]bool, error) {
	explained, err := l.explainedRows(ctx, org, tableBindings, keys)
	if err != nil {
		return nil, err
	}
	said := l.replayOf(org)
	unexplained := map[string]bool{}
	for _, key := range keys {
		id := strings.Join(key, "\x00")
		is, there := explained[id]
		if there && !is || !there && said.of(tableBindings, key) != (rowSum{}) {
			unexplained[id] = true
		}
	}
	return unexplained, nil
}

// Bindings returns the bindings of identities in a provision ("": to accounts), by identity.
func (l *Ledger) Bindings(ctx context.Context, org, provision string, refs []Ref) (map[Ref]Binding, error) {
	all := map[Ref]Binding{}
	for _, some := range chunks(refs) {
		found, err := l.reads.bindingsOf(ctx, org, provision, some)
		if err == nil {
			err = l.explainBindings(ctx, org, found)
		}
		if err != nil {
			return nil, reading(err, "what identities are bound to", org)
		}
		for _, b := range found {
			all[b.Ref()] = b
		}
	}
	return all, nil
}

// explainBindings notes which bindings the chain does not explain.
func (l *Ledger) explainBindings(ctx context.Context, org string, all []Binding) error {
	keys := make([][]string, len(all))
	for n, b := range all {
		keys[n] = bindingKey(b.Provision, b.Ref())
	}
	unexplained, err := l.unexplainedBindings(ctx, org, keys)
	for n := range all {
		all[n].Unexplained = unexplained[strings.Join(keys[n], "\x00")]
	}
	return err
}
