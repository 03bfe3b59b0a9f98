package ledger

import (
	"context"
	"slices"
)

// ProvisionedState is the state of a person of a provision, as last decided. Of a record without an identity, Source is
// empty and Key is its id.
type ProvisionedState struct {
	Source  string
	Key     string
	State   string
	Detail  string
	Account string // account id
	Record  string // record id
}

// SetPersonStates stores the states of a page of people, in place of what they were. The run is whatever names the pass
// over everybody that they come from: see EndPersonStates.
func (l *Ledger) SetPersonStates(ctx context.Context, org, provision, run string, states []ProvisionedState) error {
	return l.write(ctx, org, "save the states of people of provision "+provision, func(w *write) error {
		var rows [][]any
		saved := map[Ref]bool{}
		for _, s := range slices.Backward(states) { // of the same one twice, the last counts
			r := Ref{clean(s.Source), clean(s.Key)}
			if !saved[r] {
				saved[r] = true
				rows = append(rows, []any{org, provision, r.Source, r.Key, run, s.State, s.Detail, s.Account, s.Record})
			}
		}
		return w.execRows(ctx, `INSERT INTO person_states (org, provision, source, key, run, state, detail, account,
			record) VALUES`, marks(9), `ON CONFLICT (org, provision, source, key) DO UPDATE SET run = excluded.run,
			state = excluded.state, detail = excluded.detail, account = excluded.account, record = excluded.record`,
			rows)
	})
}

// EndPersonStates ends a pass over everybody: whoever it did not meet has no state any more.
func (l *Ledger) EndPersonStates(ctx context.Context, org, provision, run string) error {
	return l.write(ctx, org, "end the states of people of provision "+provision, func(w *write) error {
		_, err := w.exec(ctx, `DELETE FROM person_states WHERE org = ? AND provision = ? AND run <> ?`, org, provision,
			run)
		return err
	})
}

// PersonStates returns at most limit people (1,000 for 0) of a provision in a state ("": in any), by source and key.
// after is the last one of the page before.
func (l *Ledger) PersonStates(ctx context.Context, org, provision, state string, after Ref,
	limit int) ([]ProvisionedState, error) {
	query, args := `SELECT source, key, state, detail, account, record FROM person_states WHERE org = ? AND provision = ?`,
		[]any{org, provision}
	if state != "" {
		query, args = query+` AND state = ?`, append(args, state)
	}
	all, err := collect(ctx, l.reads, func(row scanner) (s ProvisionedState, err error) {
		return s, row.Scan(&s.Source, &s.Key, &s.State, &s.Detail, &s.Account, &s.Record)
	}, query+` AND (source, key) > (?, ?) ORDER BY source, key LIMIT ?`, append(args, after.Source, after.Key,
		atMost(limit))...)
	return all, reading(err, "the states of people of provision "+provision, org)
}

// PersonStateCounts returns how many people of a provision there are, by state.
func (l *Ledger) PersonStateCounts(ctx context.Context, org, provision string) (map[string]int, error) {
	counts, err := l.counts(ctx, `SELECT state, COUNT(*) FROM person_states WHERE org = ? AND provision = ?
		GROUP BY state`, org, provision)
	return counts, reading(err, "the states of people of provision "+provision, org)
}
