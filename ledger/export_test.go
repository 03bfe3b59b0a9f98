package ledger

import (
	"context"
	"database/sql"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/review"
	"github.com/pressly/goose/v3"
)

// Exec runs a statement past the ledger's own rules, as someone with the database password could.
func (l *Ledger) Exec(ctx context.Context, query string, args ...any) (int, error) {
	return l.writes.exec(ctx, query, args...)
}

// Empty deletes all rows and forgets all chains, so that the ledger is as a new one.
func (l *Ledger) Empty(ctx context.Context) error {
	l.replays.Clear()
	list := `SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'goose_db_version'`
	empty := `DELETE FROM `
	if l.Postgres() {
		list = `SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tablename <> 'goose_db_version'`
		empty = `TRUNCATE `
	}
	name := func(row scanner) (name string, err error) { return name, row.Scan(&name) }
	tables, err := collect(ctx, l.writes, name, list)
	if err != nil {
		return err
	}
	var filled []string
	for i, table := range tables {
		tables[i] = `SELECT '` + table + `' WHERE EXISTS (SELECT 1 FROM ` + table + `)`
	}
	if filled, err = collect(ctx, l.writes, name, strings.Join(tables, ` UNION ALL `)); err != nil {
		return err
	}
	for _, table := range filled {
		if _, err := l.writes.exec(ctx, empty+table); err != nil {
			return err
		}
	}
	return nil
}

// Postgres says which database the ledger is in.
func (l *Ledger) Postgres() bool { return l.writes.postgres }

// OpenAt opens the ledger and takes its tables back to an older version.
func OpenAt(ctx context.Context, url string, version int64) (*Ledger, error) {
	l, err := Open(ctx, url)
	if err != nil {
		return nil, err
	}
	return l, l.DownTo(ctx, version)
}

// DownTo takes the tables back to an older version.
func (l *Ledger) DownTo(ctx context.Context, version int64) error {
	provider, err := l.migrator()
	if err != nil {
		return err
	}
	_, err = provider.DownTo(ctx, version)
	return err
}

// Up brings the tables up to date again.
func (l *Ledger) Up(ctx context.Context) error {
	provider, err := l.migrator()
	if err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return err
}

func (l *Ledger) migrator() (*goose.Provider, error) {
	dialect := goose.DialectSQLite3
	if l.Postgres() {
		dialect = goose.DialectPostgres
	}
	return migrator(l.writes.querier.(*sql.DB), dialect)
}

// explain is the database's plan for a query, one step a line.
func (l *Ledger) explain(ctx context.Context, query string, args []any) (string, error) {
	prefix := "EXPLAIN QUERY PLAN "
	if l.reads.postgres {
		prefix = "EXPLAIN "
	}
	steps, err := collect(ctx, l.reads, func(row scanner) (step string, err error) {
		if l.reads.postgres {
			return step, row.Scan(&step)
		}
		var id, parent, unused int
		return step, row.Scan(&id, &parent, &unused, &step)
	}, prefix+query, args...)
	return strings.Join(steps, "\n"), err
}

func (l *Ledger) ExplainHoldingsAt(ctx context.Context, org, person string, target access.Entitlement,
	at time.Time) (string, error) {
	query, args := holdingsAtQuery(org, person, target, at)
	return l.explain(ctx, query, args)
}

func (l *Ledger) ExplainHistory(ctx context.Context, org, person string, target access.Entitlement) (string, error) {
	query, args := historyQuery(org, person, target, 100)
	return l.explain(ctx, query, args)
}

func (l *Ledger) ExplainForeign(ctx context.Context, org string, target access.Entitlement, after Key) (string, error) {
	query, args := foreignQuery(org, target, 100, after)
	return l.explain(ctx, query, args)
}

func (l *Ledger) ExplainOpenHoldings(ctx context.Context, org string, people []string) (string, error) {
	query, args := openHoldings(org, people)
	return l.explain(ctx, query, args)
}

func (l *Ledger) ExplainRecentWrites(ctx context.Context, org string, people []string,
	since time.Time) (string, error) {
	query, args := recentWrites(org, people, since)
	return l.explain(ctx, query, args)
}

func (l *Ledger) ExplainLines(ctx context.Context, org, run string, f Filter) (string, error) {
	query, args := linesQuery(org, run, f)
	return l.explain(ctx, query, args)
}

func (l *Ledger) ExplainSupersede(ctx context.Context, org, run string, people []string, at time.Time) (string, error) {
	query, args := supersedeQuery(org, run, people, at, []string{"grants"})
	return l.explain(ctx, query, args)
}

func (l *Ledger) ExplainHashOrder(ctx context.Context, org, run string, after Key) (string, error) {
	query, args := hashOrderQuery(org, run, []access.ChangeState{access.Planned}, after, 100)
	return l.explain(ctx, query, args)
}

func (l *Ledger) ExplainGrants(ctx context.Context, org string, f GrantFilter) (string, error) {
	query, args := grantsQuery(org, f)
	return l.explain(ctx, query, args)
}

func (l *Ledger) ExplainGrantsOf(ctx context.Context, org, key string, target access.Entitlement) (string, error) {
	query, args := grantsOfQuery(org, key, target)
	return l.explain(ctx, query, args)
}

func (l *Ledger) ExplainEarlier(ctx context.Context, org, person string, target access.Entitlement) (string, error) {
	query, args := earlierQuery(org, person, target, 100)
	return l.explain(ctx, query, args)
}

func (l *Ledger) ExplainHeld(ctx context.Context, org, person string, after time.Time) (string, error) {
	query, args := heldQuery(org, person, after)
	return l.explain(ctx, query, args)
}

func (l *Ledger) ExplainAwaited(ctx context.Context, org, person string) (string, error) {
	query, args := awaitedQuery(org, person)
	return l.explain(ctx, query, args)
}

func (l *Ledger) ExplainLapsed(ctx context.Context, org string, before time.Time) (string, error) {
	query, args := lapsedQuery(org, before, 100)
	return l.explain(ctx, query, args)
}

func (l *Ledger) ExplainStandingGrants(ctx context.Context, org string, people []string) (string, error) {
	query, args := standingGrants(org, people)
	return l.explain(ctx, query, args)
}

func (l *Ledger) ExplainHours(ctx context.Context, org string, from, to time.Time) (string, error) {
	query, args := hoursQuery(org, from, to)
	return l.explain(ctx, query, args)
}

func (l *Ledger) ExplainItems(ctx context.Context, org, review string, f ItemFilter) (string, error) {
	query, args := itemsQuery(org, review, f)
	return l.explain(ctx, query, args)
}

func (l *Ledger) ExplainOpenTasks(ctx context.Context, org, review string, stage int, reviewer string) (string, error) {
	query, args := openTasksQuery(org, review, stage, reviewer)
	return l.explain(ctx, query, args)
}

func (l *Ledger) ExplainTasksOf(ctx context.Context, org, id string, stage int, reviewer string,
	numbers []int) (string, error) {
	query, args := tasksQuery(org, id, stage, review.Names{reviewer: true, "id-" + reviewer: true}, numbers)
	return l.explain(ctx, query, args)
}

func (l *Ledger) ExplainLeft(ctx context.Context, org, id string, stage int, reviewer string) (string, error) {
	query, args := leftQuery(org, id, stage, review.Names{reviewer: true, "id-" + reviewer: true})
	return l.explain(ctx, query, args)
}

func (l *Ledger) ExplainSaid(ctx context.Context, org, id string, word ReviewMessage) (string, error) {
	query, args := messageEventsQuery(org, id, 1, 1000, word, review.Names{word.By: true, "id-" + word.By: true})
	return l.explain(ctx, query, args)
}

func (l *Ledger) ExplainStage(ctx context.Context, org, review string, stage int, numbers []int) (string, error) {
	query, args := stageQuery(org, review, stage, numbers)
	return l.explain(ctx, query, args)
}

func (l *Ledger) ExplainCounts(ctx context.Context, org, review string, stage int) (items, tasks string, err error) {
	if items, err = l.explain(ctx, countItems, []any{org, review}); err != nil {
		return "", "", err
	}
	tasks, err = l.explain(ctx, countTasks, []any{org, review, stage})
	return items, tasks, err
}

func (l *Ledger) ExplainRulings(ctx context.Context, org string, people []string) (string, error) {
	query, args := rulingsQuery(org, people)
	return l.explain(ctx, query, args)
}

func (l *Ledger) ExplainRemovals(ctx context.Context, org string, people []string, since time.Time) (written,
	stopped string, err error) {
	query, args := removalsQuery(removalQueries[0], org, people, since)
	if written, err = l.explain(ctx, query, args); err != nil {
		return "", "", err
	}
	query, args = removalsQuery(removalQueries[1], org, people, since)
	stopped, err = l.explain(ctx, query, args)
	return written, stopped, err
}

func (l *Ledger) ExplainLastDecisions(ctx context.Context, org, campaign string, people []string) (string, error) {
	query, args := lastQuery(org, campaign, people)
	return l.explain(ctx, query, args)
}

// Plans returns the database's plans for all queries of a call that reads.
func (l *Ledger) Plans(ctx context.Context, ask func(l *Ledger) error) (string, error) {
	p := &planned{querier: l.reads.querier, l: l}
	err := ask(&Ledger{reads: database{querier: p, postgres: l.Postgres()}, writes: l.writes, version: l.version})
	return strings.Join(p.plans, "\n"), err
}

// planned asks for the plan of each query before it runs it.
type planned struct {
	querier
	l     *Ledger
	plans []string
}

func (p *planned) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	plan, err := p.l.explain(ctx, query, args)
	if err != nil {
		return nil, err
	}
	p.plans = append(p.plans, query, plan)
	return p.querier.QueryContext(ctx, query, args...)
}
