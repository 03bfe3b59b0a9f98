package ledger

import (
	"context"
	"database/sql"
	"strings"

	"github.com/pressly/goose/v3"

	"github.com/castellan-io/castellan/access"
)

// held is the twenty-third migration. For which reasons a decided item was held stood in one text: whose it is, then of
// each reason its kind, name and source, with line breaks between.
func held(dialect goose.Dialect) *goose.Migration {
	open := func(tx *sql.Tx) database { return database{querier: tx, postgres: dialect == goose.DialectPostgres} }
	return goose.NewGoMigration(23,
		&goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			d := open(tx)
			if err := d.all(ctx, `ALTER TABLE review_last ADD COLUMN owned SMALLINT NOT NULL DEFAULT 0`,
				`ALTER TABLE review_last ADD COLUMN reasons TEXT NOT NULL DEFAULT ''`); err != nil {
				return err
			}
			type item struct{ org, campaign, person, target, held string }
			items, err := collect(ctx, d, func(row scanner) (i item, err error) {
				return i, row.Scan(&i.org, &i.campaign, &i.person, &i.target, &i.held)
			}, `SELECT org, campaign, person, target, held FROM review_last`)
			if err != nil {
				return err
			}
			for _, i := range items { // each by its key: there may be as many texts as rows
				owned, reasons := readHeld(i.held)
				if _, err := d.exec(ctx, `UPDATE review_last SET owned = ?, reasons = ? WHERE org = ? AND campaign = ?
					AND person = ? AND target = ?`, flag(owned), list(reasons), i.org, i.campaign, i.person, i.target); err != nil {
					return err
				}
			}
			return d.all(ctx, `ALTER TABLE review_last DROP COLUMN held`)
		}},
		&goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			return open(tx).all(ctx, `ALTER TABLE review_last DROP COLUMN owned`,
				`ALTER TABLE review_last DROP COLUMN reasons`,
				`ALTER TABLE review_last ADD COLUMN held TEXT NOT NULL DEFAULT ''`)
		}})
}

// all executes statements one after the other.
func (d database) all(ctx context.Context, statements ...string) error {
	for _, s := range statements {
		if _, err := d.exec(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

func readHeld(text string) (owned bool, reasons []access.Reason) {
	whose, rest, _ := strings.Cut(text, "\n")
	for rest != "" {
		var r access.Reason
		var kind string
		kind, rest, _ = strings.Cut(rest, "\n")
		r.Kind = access.ReasonKind(kind)
		r.Name, rest, _ = strings.Cut(rest, "\n")
		r.Source, rest, _ = strings.Cut(rest, "\n")
		rest = strings.TrimPrefix(rest, "\n")
		reasons = append(reasons, r)
	}
	return whose == "owned", reasons
}
