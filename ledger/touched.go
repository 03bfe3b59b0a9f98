package ledger

import (
	"context"
	"slices"
	"time"
)

// MostTouched is how many people a Touched lists.
const MostTouched = 2000

// Touched is whom changes of a source concern: whose identity is new, or changed in its address, attributes, groups, or
// in whether it is enabled, in scope or there at all.
type Touched struct {
	Accounts []string // the accounts that these identities are, sorted
	Unbound  []Ref    // the identities that are no account's, sorted
	More     bool     // there are too many to list them: everybody may be concerned
}

// Add adds others, each once.
func (t *Touched) Add(others Touched) {
	t.Accounts = slices.Compact(slices.Sorted(slices.Values(slices.Concat(t.Accounts, others.Accounts))))
	t.Unbound = slices.SortedFunc(slices.Values(slices.Concat(t.Unbound, others.Unbound)), CompareRefs)
	t.Unbound = slices.Compact(t.Unbound)
	if t.More = t.More || others.More || len(t.Accounts)+len(t.Unbound) > MostTouched; t.More {
		t.Accounts, t.Unbound = nil, nil
	}
}

// Touched returns whom the changes of a source after one concern, and the number of the last change: give it the next
// time. What SaveIdentities and the others returned may be lost with a worker; this is not.
func (l *Ledger) Touched(ctx context.Context, org, name string, after int64) (t Touched, last int64, err error) {
	s, err := l.reads.replica(ctx, org, replicaSource, name)
	if after > s.Change {
		after = 0 // the replica was made anew
	}
	if err == nil {
		t, err = l.reads.touched(ctx, `i.org = ? AND i.source = ? AND i.change > ? AND i.change > 0`, org, name, after)
	}
	return t, s.Change, reading(err, "whom changes of source "+name+" concern", org)
}

func (d database) touched(ctx context.Context, where string, args ...any) (t Touched, err error) {
	err = d.each(ctx, func(row scanner) error {
		var r Ref
		var account string
		err := row.Scan(&r.Source, &r.Key, &account)
		if account != "" {
			t.Accounts = append(t.Accounts, account)
		} else {
			t.Unbound = append(t.Unbound, r)
		}
		return err
	}, `SELECT i.source, i.key, `+accountOf+` FROM identities i WHERE `+where+` LIMIT ?`,
		append(args, MostTouched+1)...)
	if err != nil {
		return Touched{}, err
	}
	var sorted Touched
	sorted.Add(t)
	return sorted, nil
}

// touchPeople gives a change of a source the next number, notes whom it concerns (marked: that is so in their rows
// already), and returns them. Keys of nobody in the replica concern nobody.
func (w *write) touchPeople(ctx context.Context, s Source, keys []string, marked bool, now time.Time) (t Touched,
	err error) {
	if len(keys) == 0 {
		return t, nil
	}
	if _, err := w.exec(ctx, `INSERT INTO replicas (org, kind, name, change, changed) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (org, kind, name) DO UPDATE SET change = excluded.change, changed = excluded.changed`,
		w.org, replicaSource, s.Name, s.Change+1, instant(now)); err != nil {
		return t, err
	}
	for _, some := range chunks(keys) {
		if !marked {
			where, args := among("org, source", "key", some, w.org, s.Name)
			if _, err := w.exec(ctx, `UPDATE identities SET change = ? WHERE `+where,
				append([]any{s.Change + 1}, args...)...); err != nil {
				return t, err
			}
		}
		if t.More {
			continue
		}
		where, args := among("i.org, i.source", "i.key", some, w.org, s.Name)
		found, err := w.database.touched(ctx, where, args...)
		if err != nil {
			return t, err
		}
		t.Add(found)
	}
	return t, nil
}
