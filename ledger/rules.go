package ledger

import (
	"context"
	"maps"
	"slices"
	"time"
)

// RuleState is the ledger's record of a rule of the policy.
type RuleState struct {
	Key      string    `json:"key"`
	Name     string    `json:"name"`
	Seen     string    `json:"seen,omitempty"` // hash of what it was last shown to do in observe mode
	Lines    int       `json:"lines"`
	SeenAt   time.Time `json:"seenAt,omitzero"`
	Run      string    `json:"run,omitempty"`     // the run that showed it
	Released time.Time `json:"released,omitzero"` // when its changes were approved
	By       string    `json:"by,omitempty"`
}

// Rules returns the records of rules, by key, as far as the chain explains them.
func (l *Ledger) Rules(ctx context.Context, org string) (map[string]RuleState, error) {
	all := map[string]RuleState{}
	err := l.reads.each(ctx, func(row scanner) error {
		var r RuleState
		var seenAt, released int64
		err := row.Scan(&r.Key, &r.Name, &r.Seen, &r.Lines, &seenAt, &r.Run, &released, &r.By)
		r.SeenAt, r.Released = fromInstant(seenAt), fromInstant(released)
		all[r.Key] = r
		return err
	}, `SELECT rule, name, seen, lines, seen_at, seen_run, released, by_whom FROM rules WHERE org = ?`, org)
	if err != nil {
		return nil, reading(err, "what is known of rules", org)
	}
	var keys [][]string
	for key := range all {
		keys = append(keys, []string{key})
	}
	explained, err := l.explainedRows(ctx, org, tableRules, keys)
	maps.DeleteFunc(all, func(key string, _ RuleState) bool { return !explained[key] })
	return all, reading(err, "what the chain says of rules", org)
}

// SaveSeen stores what a rule in observe mode was shown to do.
func (l *Ledger) SaveSeen(ctx context.Context, org string, seen []RuleState) error {
	return l.write(ctx, org, "save what rules were shown to do", func(w *write) error {
		for _, r := range seen {
			if err := w.forget(ctx, tableRules, []any{r.Key}); err != nil {
				return err
			}
			if _, err := w.exec(ctx, `INSERT INTO rules (org, rule, name, seen, lines, seen_at, seen_run, released, by_whom)
				VALUES (?, ?, ?, ?, ?, ?, ?, 0, '') ON CONFLICT (org, rule) DO UPDATE SET name = excluded.name, seen = excluded.seen,
				lines = excluded.lines, seen_at = excluded.seen_at, seen_run = excluded.seen_run`,
				org, r.Key, r.Name, r.Seen, r.Lines, instant(orNow(r.SeenAt)), r.Run); err != nil {
				return err
			}
		}
		return nil
	})
}

// ReleaseRules records the approval of rules' changes: by whom, and why. The first approval stays.
func (l *Ledger) ReleaseRules(ctx context.Context, org, run string, rules map[string]string, by, why string,
	at time.Time) error {
	at = orNow(at)
	return l.write(ctx, org, "release rules", func(w *write) error {
		for _, key := range slices.Sorted(maps.Keys(rules)) {
			if err := w.forget(ctx, tableRules, []any{key}); err != nil {
				return err
			}
			n, err := w.exec(ctx, `INSERT INTO rules (org, rule, name, seen, lines, seen_at, seen_run, released, by_whom)
				VALUES (?, ?, ?, '', 0, 0, '', ?, ?) ON CONFLICT (org, rule) DO UPDATE SET released = excluded.released,
				by_whom = excluded.by_whom, name = excluded.name WHERE rules.released = 0`, org, key, rules[key], instant(at), by)
			if err != nil {
				return err
			}
			if n == 0 {
				continue
			}
			if err := w.append(ctx, Entry{At: at, Kind: EntryRule, Run: run, Body: body(map[string]any{
				"rule": rules[key], "key": key, "by": by, "why": why,
			})}); err != nil {
				return err
			}
		}
		return nil
	})
}

// SaveDomains stores the organization's verified domains as the last good run saw them.
func (l *Ledger) SaveDomains(ctx context.Context, org string, domains []string) error {
	return l.write(ctx, org, "save the organization's domains", func(w *write) error {
		_, err := w.exec(ctx, `UPDATE organizations SET domains = ? WHERE org = ?`, list(domains), org)
		return err
	})
}

// Domains returns them.
func (l *Ledger) Domains(ctx context.Context, org string) ([]string, error) {
	stored, err := collect(ctx, l.reads, func(row scanner) (s string, err error) { return s, row.Scan(&s) },
		`SELECT domains FROM organizations WHERE org = ?`, org)
	if err != nil || len(stored) == 0 {
		return nil, reading(err, "the organization's domains", org)
	}
	domains, err := fromList[string](stored[0])
	return domains, reading(err, "the organization's domains", org)
}
