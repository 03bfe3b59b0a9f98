package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
)

// SaveItems records the items of one page of people, and what the page counted, in place of what the page recorded
// before. An item that two pages show belongs to the later. Items have no number until all are there; a late repeat of
// a page after that changes nothing.
func (l *Ledger) SaveItems(ctx context.Context, org, review, page string, items []access.Item,
	notes Notes) error {
	return l.write(ctx, org, "take items of review "+review, func(w *write) error {
		r, err := w.review(ctx, review)
		if err != nil || r.State != access.ReviewOpening {
			return err
		}
		if ranked, err := w.ranked(ctx, review); err != nil || ranked == itemsNumbered {
			return err
		}
		repeat, err := w.exists(ctx, `SELECT 1 FROM review_pages WHERE org = ? AND review = ? AND page = ?`, org,
			review, page)
		if err != nil {
			return err
		}
		if repeat {
			if _, err := w.exec(ctx, `DELETE FROM review_items WHERE org = ? AND review = ? AND page = ?`, org, review,
				page); err != nil {
				return err
			}
		}
		var rows [][]any
		for _, i := range unique(items) {
			rows = append(rows, []any{org, review, i.Person, string(i.Target), page, 0, i.Risk, 0, 0, 0, "", "",
				text(factsOf(i)), "", ""})
		}
		if err := w.execRows(ctx, `INSERT INTO review_items (org, review, person, target, page, n, risk, stage, spoke, version, verdict, outcome, facts, said, result) VALUES`,
			marks(15), `ON CONFLICT (org, review, person, target) DO UPDATE SET page = excluded.page, risk = excluded.risk, facts = excluded.facts`, rows); err != nil {
			return err
		}
		_, err = w.exec(ctx, `INSERT INTO review_pages (org, review, page, notes) VALUES (?, ?, ?, ?)
			ON CONFLICT (org, review, page) DO UPDATE SET notes = excluded.notes`, org, review, page, notes.stored())
		return err
	})
}

// How far the items of a review are prepared, in the column ranked.
const (
	itemsRanked   = 1
	itemsNumbered = 2
)

func (w *write) ranked(ctx context.Context, review string) (int, error) {
	return first(ctx, w.database, func(row scanner) (n int, err error) { return n, row.Scan(&n) },
		`SELECT ranked FROM reviews WHERE org = ? AND id = ?`, w.org, review)
}

func (w *write) setRanked(ctx context.Context, review string, ranked int) error {
	_, err := w.exec(ctx, `UPDATE reviews SET ranked = ? WHERE org = ? AND id = ?`, ranked, w.org, review)
	return err
}

// countItems updates PostgreSQL's statistics before the first item is looked up by itself, and returns how far they are
// prepared.
func (w *write) countItems(ctx context.Context, review string) (ranked int, err error) {
	if ranked, err = w.ranked(ctx, review); err != nil || ranked >= itemsRanked {
		return ranked, err
	}
	return itemsRanked, errors.Join(w.analyze(ctx, countedOfItems), w.setRanked(ctx, review, itemsRanked))
}

// analyze updates PostgreSQL's statistics of tables. Until then, which it does by itself after a minute, or not for one
// review after many, it considers all indexes that begin with the review equally good, and scans the whole review for
// each row.
func (w *write) analyze(ctx context.Context, tables string) error {
	if !w.postgres {
		return nil
	}
	_, err := w.exec(ctx, `ANALYZE `+tables)
	return err
}

// unique drops duplicates: the same row twice in one statement would be an error on PostgreSQL.
func unique(items []access.Item) []access.Item {
	seen := map[Key]bool{}
	var all []access.Item
	for _, i := range items {
		key := Key{Person: i.Person, Target: i.Target}
		if !seen[key] {
			all = append(all, i)
		}
		seen[key] = true
	}
	return all
}

// factsOf returns the part of an item that never changes once it has its number.
func factsOf(i access.Item) access.Item {
	i.N, i.Stage, i.Version, i.Said, i.Verdict, i.Outcome, i.Risk = 0, 0, 0, nil, "", "", 0
	i.Person, i.Target = "", ""
	setResult(&i, result{})
	i.Since = cut(i.Since)
	i.Uses = slices.Clone(i.Uses)
	for n := range i.Uses {
		i.Uses[n].Last = cut(i.Uses[n].Last)
	}
	if i.Before != nil {
		before := *i.Before
		before.At = cut(before.At)
		i.Before = &before
	}
	return i
}

// result is the part of an item that becomes known at the end.
type result struct {
	Silent  bool      `json:"silent,omitempty"`
	Why     string    `json:"why,omitempty"`
	Plan    string    `json:"plan,omitempty"`
	Run     string    `json:"run,omitempty"`
	Until   time.Time `json:"until,omitzero"`
	Settled time.Time `json:"settled,omitzero"`
}

func resultOf(i access.Item) result {
	return result{Silent: i.Silent, Why: i.Why, Plan: i.Plan, Run: i.Run, Until: cut(i.Until), Settled: cut(i.Settled)}
}

func setResult(i *access.Item, r result) {
	i.Silent, i.Why, i.Plan, i.Run, i.Until, i.Settled = r.Silent, r.Why, r.Plan, r.Run, r.Until, r.Settled
}

// ReviewNotes returns what a review's pages counted, summed up. It is kept until the first stage begins.
func (l *Ledger) ReviewNotes(ctx context.Context, org, review string) (Notes, error) {
	notes := Notes{}
	err := l.reads.each(ctx, func(row scanner) error {
		var stored string
		if err := row.Scan(&stored); err != nil {
			return err
		}
		return notes.addStored(stored)
	}, `SELECT notes FROM review_pages WHERE org = ? AND review = ?`, org, review)
	return notes, reading(err, "what was counted for review "+review, org)
}

// RankItems records the facts and the risk of items that were collected before. Those with numbers stay as they are.
func (l *Ledger) RankItems(ctx context.Context, org, review string, items []access.Item) error {
	return l.write(ctx, org, "rank items of review "+review, func(w *write) error {
		ranked, err := w.countItems(ctx, review)
		if err != nil || ranked == itemsNumbered {
			return err
		}
		var rows [][]any
		for _, i := range unique(items) {
			rows = append(rows, []any{org, review, i.Person, string(i.Target), i.Risk, text(factsOf(i))})
		}
		return w.execRows(ctx, `UPDATE review_items SET risk = v.column5, facts = v.column6 FROM (VALUES`,
			`?, ?, ?, ?, CAST(? AS BIGINT), ?`, `) AS v WHERE `+wholeItem, rows)
	})
}

// countedOfItems are the columns of items that PostgreSQL's plans depend on.
const countedOfItems = `review_items (org, review, person, target, n, outcome, stage, spoke, verdict)`

// wholeItem joins items to a list of values that begins with their key; see wholeKey.
const wholeItem = `org = v.column1 AND review = v.column2 AND person = v.column3 AND target = v.column4`

// NumberItems gives the items of a review their numbers, the riskiest first, unless they have them. It returns how many
// there are.
func (l *Ledger) NumberItems(ctx context.Context, org, review string) (count int, err error) {
	err = l.write(ctx, org, "number the items of review "+review, func(w *write) error {
		ranked, err := w.ranked(ctx, review)
		if err != nil {
			return err
		}
		if ranked < itemsNumbered {
			if err := w.analyze(ctx, countedOfItems); err != nil {
				return err
			}
			if err := w.touchWhere(ctx, tableItems, `review = ?`, review); err != nil {
				return err
			}
			query, args := numberQuery(org, review)
			if _, err := w.exec(ctx, query, args...); err != nil {
				return err
			}
			if err := w.setRanked(ctx, review, itemsNumbered); err != nil {
				return err
			}
		}
		count, err = first(ctx, w.database, func(row scanner) (n int, err error) { return n, row.Scan(&n) },
			`SELECT COUNT(*) FROM review_items WHERE org = ? AND review = ?`, org, review)
		return err
	})
	return count, err
}

func numberQuery(org, review string) (string, []any) {
	return `UPDATE review_items SET n = ranked.n FROM (
		SELECT person, target, ROW_NUMBER() OVER (ORDER BY risk DESC, person, target) AS n FROM review_items
		WHERE org = ? AND review = ?) AS ranked
		WHERE review_items.org = ? AND review_items.review = ?
		AND review_items.person = ranked.person AND review_items.target = ranked.target`, []any{org, review, org, review}
}

// ItemFilter selects items of a review. The zero ItemFilter selects the first 1,000.
type ItemFilter struct {
	Numbers   []int
	Reviewer  []string           // account IDs, any of which is asked in the stage Stage; none: whoever is asked
	Stage     int                // of Reviewer
	Undecided bool               // with Reviewer: only those they have not decided; otherwise: those nobody has
	Outcomes  []access.Outcome   // none: any
	Target    access.Entitlement // "": any
	Person    string             // account id; "": anyone
	Unranked  bool               // items without a number, by person and target
	AfterKey  Key                // with Unranked: the last one before
	After     int                // number of the last one before
	Limit     int                // 0: 1,000
}

// Items returns items of a review by number. With Numbers and a Limit of 0, it returns all of them.
func (l *Ledger) Items(ctx context.Context, org, review string, f ItemFilter) ([]access.Item, error) {
	all, err := items(ctx, l.reads, org, review, f)
	return all, reading(err, "items of review "+review, org)
}

func items(ctx context.Context, d database, org, review string, f ItemFilter) ([]access.Item, error) {
	if len(f.Numbers) == 0 {
		return someItems(ctx, d, org, review, f)
	}
	var all []access.Item
	most := f.Limit
	for _, some := range chunks(slices.Compact(slices.Sorted(slices.Values(f.Numbers)))) {
		f.Numbers = some
		part, err := someItems(ctx, d, org, review, f)
		if err != nil {
			return nil, err
		}
		if all = append(all, part...); most > 0 && len(all) >= most {
			return all[:most], nil
		}
	}
	return all, nil
}

func someItems(ctx context.Context, d database, org, review string, f ItemFilter) ([]access.Item, error) {
	query, args := itemsQuery(org, review, f)
	return collect(ctx, d, scanItem, query, args...)
}

func itemsQuery(org, review string, f ItemFilter) (string, []any) {
	query, args := selectItem+` WHERE i.org = ? AND i.review = ?`, []any{org, review}
	and := func(condition string, values ...any) {
		query += ` AND ` + condition
		args = append(args, values...)
	}
	if len(f.Numbers) > 0 {
		var numbers []any
		for _, n := range f.Numbers {
			numbers = append(numbers, n)
		}
		and(`i.n IN (`+marks(len(numbers))+`)`, numbers...)
	} else if f.After > 0 && len(f.Reviewer) == 0 {
		and(`i.n > ?`, f.After)
	}
	if len(f.Reviewer) > 0 {
		who, values := in("t.reviewer", f.Reviewer)
		silent := ""
		if f.Undecided {
			silent = ` AND t.verdict = ''`
		}
		and(`i.n IN (SELECT t.n FROM review_tasks t WHERE t.org = ? AND t.review = ? AND t.stage = ? AND t.n > ? AND `+
			who+silent+`)`,
			append([]any{org, review, f.Stage, f.After}, values...)...)
	} else if f.Undecided {
		and(`i.verdict = ''`)
	}
	if len(f.Outcomes) > 0 {
		where, values := in("i.outcome", f.Outcomes)
		and(where, values...)
	}
	if f.Target != "" {
		and(`i.target = ?`, string(f.Target))
	}
	if f.Person != "" {
		and(`i.person = ?`, f.Person)
	}
	order := `i.n`
	if f.Person != "" || len(f.Outcomes) > 1 && !slices.Contains(f.Outcomes, "") {
		order = `i.n + 0` // these are few: without it SQLite scans all items in their order to find them
	}
	if f.Unranked {
		and(`i.n = 0 AND (i.person, i.target) > (?, ?)`, f.AfterKey.Person, string(f.AfterKey.Target))
		order = `i.person, i.target`
	}
	return query + ` ORDER BY ` + order + ` LIMIT ?`, append(args, atMost(f.Limit))
}

const selectItem = `SELECT i.n, i.person, i.target, i.risk, i.stage, i.version, i.verdict, i.outcome, i.facts, i.said, i.result FROM review_items i`

func scanItem(row scanner) (access.Item, error) {
	var is, i access.Item
	var facts, said, stored string
	if err := row.Scan(&is.N, &is.Person, &is.Target, &is.Risk, &is.Stage, &is.Version, &is.Verdict, &is.Outcome,
		&facts, &said, &stored); err != nil {
		return i, err
	}
	if err := json.Unmarshal([]byte(facts), &i); err != nil {
		return i, err
	}
	i.N, i.Person, i.Target, i.Risk, i.Stage, i.Version, i.Verdict, i.Outcome = is.N, is.Person, is.Target, is.Risk,
		is.Stage, is.Version, is.Verdict, is.Outcome
	var err error
	if i.Said, err = fromList[access.ItemDecision](said); err != nil || stored == "" {
		return i, err
	}
	var r result
	err = json.Unmarshal([]byte(stored), &r)
	setResult(&i, r)
	return i, err
}

// ItemBrief is what assigning an item needs.
type ItemBrief struct {
	N       int
	Person  string
	Email   string
	Sponsor string
	Target  access.Entitlement
	Stage   int            // the last that it reached
	Spoke   int            // the last stage in which somebody decided it
	Verdict access.Verdict // what that comes to
}

// ItemBriefs calls do with every item of a review, by number.
func (l *Ledger) ItemBriefs(ctx context.Context, org, review string, do func(ItemBrief) error) error {
	err := l.reads.each(ctx, func(row scanner) error {
		var b ItemBrief
		var facts string
		if err := row.Scan(&b.N, &b.Person, &b.Target, &b.Stage, &b.Spoke, &b.Verdict, &facts); err != nil {
			return err
		}
		var known struct{ Email, Sponsor string }
		if err := json.Unmarshal([]byte(facts), &known); err != nil {
			return err
		}
		b.Email, b.Sponsor = strings.ToLower(known.Email), known.Sponsor
		return do(b)
	}, `SELECT n, person, target, stage, spoke, verdict, facts FROM review_items WHERE org = ? AND review = ? ORDER BY n`, org, review)
	return reading(err, "the items of review "+review, org)
}

// LastDecisions returns how items of these people ended in earlier reviews of a campaign, and for which reasons they
// were held.
func (l *Ledger) LastDecisions(ctx context.Context, org, campaign string, people []string) (map[Key]LastDecision,
	error) {
	last := map[Key]LastDecision{}
	for _, some := range chunks(people) {
		query, args := lastQuery(org, campaign, some)
		err := l.reads.each(ctx, func(row scanner) error {
			var key Key
			var d LastDecision
			var at int64
			var reasons string
			err := row.Scan(&key.Person, &key.Target, &d.Review, &d.Verdict, &d.By, &d.ByEmail, &at, &d.Owned, &reasons)
			if err != nil {
				return err
			}
			d.At = fromInstant(at)
			d.Reasons, err = fromList[access.Reason](reasons)
			last[key] = d
			return err
		}, query, args...)
		if err != nil {
			return nil, reading(err, "what was decided before", org)
		}
	}
	return last, nil
}

func lastQuery(org, campaign string, people []string) (string, []any) {
	where, args := among("org, campaign", "person", people, org, campaign)
	return `SELECT person, target, review, verdict, by_whom, by_email, at, owned, reasons FROM review_last WHERE ` + where, args
}

// LastDecision is how an item ended, whether it was Castellan's own then, and for which reasons it was held.
type LastDecision struct {
	access.PastDecision
	Owned   bool
	Reasons []access.Reason
}
