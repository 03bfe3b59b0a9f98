package ledger

import (
	"context"
	"time"

	"github.com/castellan-io/castellan/access"
)

// StoredReport is a report as it was made.
type StoredReport struct {
	Kind, ID string
	At       time.Time
	Body     []byte
}

// SaveReport stores a report, in place of one with the same kind and ID, and deletes all of its kind but the newest.
func (l *Ledger) SaveReport(ctx context.Context, org string, r StoredReport, newest int) error {
	return l.write(ctx, org, "save report "+r.ID, func(w *write) error {
		if _, err := w.exec(ctx, `INSERT INTO reports (org, kind, id, at, body) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (org, kind, id) DO UPDATE SET at = excluded.at, body = excluded.body`,
			org, r.Kind, r.ID, instant(orNow(r.At)), string(r.Body)); err != nil {
			return err
		}
		_, err := w.exec(ctx, `DELETE FROM reports WHERE org = ? AND kind = ? AND id NOT IN (
			SELECT id FROM reports WHERE org = ? AND kind = ? ORDER BY at DESC, id DESC LIMIT ?)`, org, r.Kind, org, r.Kind, newest)
		return err
	})
}

// ReportRow is one row of a report that is being made.
type ReportRow struct {
	Section, Identity string
	Cells             []string
	Counts            Notes // what a page counted, for the report as a whole
}

// SaveReportRows stores rows of a report that is being made; a row of the same section and identity is replaced.
func (l *Ledger) SaveReportRows(ctx context.Context, org, report string, rows []ReportRow) error {
	return l.write(ctx, org, "save what report "+report+" found", func(w *write) error {
		var all [][]any
		known := map[[2]string]int{}
		for _, r := range rows {
			row := []any{org, report, r.Section, r.Identity, list(r.Cells), r.Counts.stored()}
			if i, twice := known[[2]string{r.Section, r.Identity}]; twice {
				all[i] = row
				continue
			}
			known[[2]string{r.Section, r.Identity}] = len(all)
			all = append(all, row)
		}
		return w.execRows(ctx, `INSERT INTO report_rows (org, report, section, identity, cells, counts) VALUES`, marks(6),
			`ON CONFLICT (org, report, section, identity) DO UPDATE SET cells = excluded.cells, counts = excluded.counts`,
			all)
	})
}

// ReportRows returns at most limit rows of one section, by identity, and their total number.
func (l *Ledger) ReportRows(ctx context.Context, org, report, section string, limit int) (rows [][]string, count int,
	err error) {
	count, err = first(ctx, l.reads, func(row scanner) (n int, err error) { return n, row.Scan(&n) },
		`SELECT COUNT(*) FROM report_rows WHERE org = ? AND report = ? AND section = ?`, org, report, section)
	if err != nil {
		return nil, 0, reading(err, "report "+report, org)
	}
	rows, err = collect(ctx, l.reads, func(row scanner) ([]string, error) {
		var stored string
		if err := row.Scan(&stored); err != nil {
			return nil, err
		}
		return fromList[string](stored)
	}, `SELECT cells FROM report_rows WHERE org = ? AND report = ? AND section = ? ORDER BY identity LIMIT ?`, org,
		report, section, limit)
	return rows, count, reading(err, "report "+report, org)
}

// ReportCounts returns what the rows of a report that is being made counted, summed up.
func (l *Ledger) ReportCounts(ctx context.Context, org, report string) (Notes, error) {
	counts := Notes{}
	err := l.reads.each(ctx, func(row scanner) error {
		var stored string
		if err := row.Scan(&stored); err != nil {
			return err
		}
		return counts.addStored(stored)
	}, `SELECT counts FROM report_rows WHERE org = ? AND report = ? AND counts <> ''`, org, report)
	return counts, reading(err, "what was counted for report "+report, org)
}

// DropReportRows deletes the rows of a finished report, and of older ones that were never finished.
func (l *Ledger) DropReportRows(ctx context.Context, org, report string) error {
	return l.write(ctx, org, "forget the rows of report "+report, func(w *write) error {
		_, err := w.exec(ctx, `DELETE FROM report_rows WHERE org = ? AND report <= ?`, org, report)
		return err
	})
}

// ReportBefore returns the newest report of a kind that was made before the one with this id, or ErrNotFound.
func (l *Ledger) ReportBefore(ctx context.Context, org, kind, id string) (StoredReport, error) {
	r, err := first(ctx, l.reads, scanReport,
		`SELECT kind, id, at, body FROM reports WHERE org = ? AND kind = ? AND id < ? ORDER BY id DESC LIMIT 1`,
		org, kind, id)
	return r, reading(err, "the report before "+id, org)
}

func scanReport(row scanner) (r StoredReport, err error) {
	var at int64
	err = row.Scan(&r.Kind, &r.ID, &at, &r.Body)
	r.At = fromInstant(at)
	return r, err
}

// Written counts the changes done since an instant by action, and the people who lost their last access to an app, by
// app.
func (l *Ledger) Written(ctx context.Context, org string, since time.Time) (done map[access.Action]int,
	freed map[string]int, err error) {
	done, freed = map[access.Action]int{}, map[string]int{}
	err = l.reads.each(ctx, func(row scanner) error {
		var action access.Action
		var loses string
		var n int
		if err := row.Scan(&action, &loses, &n); err != nil {
			return err
		}
		done[action] += n
		if action != access.Remove {
			return nil
		}
		apps, err := fromList[string](loses)
		for _, app := range apps {
			freed[app] += n
		}
		return err
	}, `SELECT l.action, l.loses, COUNT(*) FROM runs r JOIN lines l ON l.org = r.org AND l.run = r.id AND l.state = 'done'
		WHERE r.org = ? AND r.started >= ? GROUP BY l.action, l.loses`, org, instant(since))
	return done, freed, reading(err, "what was written", org)
}

// Report returns a report, or the newest of its kind for id "", or ErrNotFound.
func (l *Ledger) Report(ctx context.Context, org, kind, id string) (StoredReport, error) {
	query, args := `SELECT kind, id, at, body FROM reports WHERE org = ? AND kind = ?`, []any{org, kind}
	if id != "" {
		query += ` AND id = ?`
		args = append(args, id)
	}
	r, err := first(ctx, l.reads, scanReport, query+` ORDER BY at DESC, id DESC LIMIT 1`, args...)
	return r, reading(err, "report "+id, org)
}
