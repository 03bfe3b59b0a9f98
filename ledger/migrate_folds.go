package ledger

import (
	"context"
	"database/sql"
	"slices"
	"strings"

	"github.com/pressly/goose/v3"

	"github.com/castellan-io/castellan/access"
)

// folded is a column of names in the form in which they are compared.
type folded struct {
	table, column string
	row           []string // the columns that identify a row
	fold          func(string) string
}

// foldedColumns are those that were only in lower case until migration 13.
var foldedColumns = []folded{
	{"people", "email_key", []string{"org", "id"}, access.FoldAddress},
	{"former_addresses", "address", []string{"org", "person", "address"}, access.FoldAddress},
	{"grants", "target_key", []string{"org", "id"}, access.Fold},
}

// folds is the thirteenth migration: since then, names with letters beyond ASCII, and domains in punycode, are stored
// in the form in which they are compared. The down migration leaves them: searches in lower case find all other names
// as before.
func folds(dialect goose.Dialect) *goose.Migration {
	return goose.NewGoMigration(13,
		&goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			d := database{querier: tx, postgres: dialect == goose.DialectPostgres}
			for _, f := range foldedColumns {
				if err := f.bring(ctx, d); err != nil {
					return err
				}
			}
			return nil
		}},
		&goose.GoFunc{RunTx: func(context.Context, *sql.Tx) error { return nil }})
}

// bring updates the column.
func (f folded) bring(ctx context.Context, d database) error {
	stale, err := f.stale(ctx, d)
	if err != nil {
		return err
	}
	where := ` WHERE ` + strings.Join(f.row, " = ? AND ") + " = ?"
	for _, row := range stale {
		// a part of the key: the row may exist in the other form already
		if last := len(f.row) - 1; f.row[last] == f.column {
			there := append(slices.Clone(row.key[:last]), row.form)
			n, err := first(ctx, d, func(r scanner) (n int, err error) { return n, r.Scan(&n) },
				`SELECT COUNT(*) FROM `+f.table+where, there...)
			if err != nil {
				return err
			}
			if n > 0 {
				if _, err := d.exec(ctx, `DELETE FROM `+f.table+where, row.key...); err != nil {
					return err
				}
				continue
			}
		}
		if _, err := d.exec(ctx, `UPDATE `+f.table+` SET `+f.column+` = ?`+where,
			append([]any{row.form}, row.key...)...); err != nil {
			return err
		}
	}
	return nil
}

type staleRow struct {
	key  []any
	form string
}

// stale reads the rows whose name has another form now. Names of ASCII letters alone have one only because of punycode.
func (f folded) stale(ctx context.Context, d database) (stale []staleRow, err error) {
	query := `SELECT ` + strings.Join(f.row, ", ") + `, ` + f.column + ` FROM ` + f.table + `
		WHERE ` + f.column + ` LIKE '%xn--%' OR octet_length(` + f.column + `) <> length(` + f.column + `)`
	err = d.each(ctx, func(row scanner) error {
		values := make([]string, len(f.row)+1)
		into := make([]any, len(values))
		for i := range values {
			into[i] = &values[i]
		}
		if err := row.Scan(into...); err != nil {
			return err
		}
		name := values[len(f.row)]
		form := f.fold(name)
		if form == name {
			return nil
		}
		one := staleRow{form: form}
		for _, v := range values[:len(f.row)] {
			one.key = append(one.key, v)
		}
		stale = append(stale, one)
		return nil
	}, query)
	return stale, err
}
