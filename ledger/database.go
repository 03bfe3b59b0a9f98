package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// database runs statements that are written once for SQLite and PostgreSQL, with ? for each argument.
type database struct {
	querier
	postgres bool
}

// querier has what a pool and a transaction have in common.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// exec runs a statement and returns how many rows it changed.
func (d database) exec(ctx context.Context, query string, args ...any) (int, error) {
	result, err := d.ExecContext(ctx, d.rebind(query), storable(args)...)
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(n), err
}

// execRows runs "head (?,…),(?,…) tail" over all rows, some at a time. Row is the row's placeholders, for example
// "?, ?, CAST(? AS BIGINT)".
func (w *write) execRows(ctx context.Context, head, row, tail string, rows [][]any) error {
	size := w.rowsPerStatement()
	statement := func(n int) string {
		return head + strings.TrimSuffix(strings.Repeat(" ("+row+"),", n), ",") + " " + tail
	}
	if len(rows) >= 2*size && !w.postgres { // the PostgreSQL driver caches statements by itself
		prepared, err := w.tx.PrepareContext(ctx, statement(size))
		if err != nil {
			return err
		}
		for len(rows) >= size {
			if _, err := prepared.ExecContext(ctx, storable(slices.Concat(rows[:size]...))...); err != nil {
				return errors.Join(err, prepared.Close())
			}
			rows = rows[size:]
		}
		if err := prepared.Close(); err != nil {
			return err
		}
	}
	for len(rows) > 0 {
		n := min(len(rows), size)
		if _, err := w.exec(ctx, statement(n), slices.Concat(rows[:n]...)...); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// rowsPerStatement balances the cost of a statement: on SQLite that of parsing, which grows with its rows, on
// PostgreSQL a round trip.
func (d database) rowsPerStatement() int {
	if d.postgres {
		return 100
	}
	return 10
}

// errStop ends a loop over rows early.
var errStop = errors.New("stop")

// scanner is one row of an answer.
type scanner interface{ Scan(dest ...any) error }

// collect reads all rows of a query.
func collect[T any](ctx context.Context, d database, scan func(scanner) (T, error), query string,
	args ...any) ([]T, error) {
	var all []T
	err := d.each(ctx, func(row scanner) error {
		one, err := scan(row)
		all = append(all, one)
		return err
	}, query, args...)
	return all, err
}

// first reads the first row of a query, or returns ErrNotFound.
func first[T any](ctx context.Context, d database, scan func(scanner) (T, error), query string,
	args ...any) (T, error) {
	all, err := collect(ctx, d, scan, query, args...)
	if err == nil && len(all) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		var none T
		return none, err
	}
	return all[0], nil
}

// each calls do for every row of a query.
func (d database) each(ctx context.Context, do func(scanner) error, query string, args ...any) error {
	rows, err := d.QueryContext(ctx, d.rebind(query), storable(args)...)
	if err != nil {
		return err
	}
	for rows.Next() {
		if err := do(rows); err != nil {
			_ = rows.Close()
			return err
		}
	}
	return errors.Join(rows.Err(), rows.Close())
}

// rebind replaces each ? by $1, $2, … if the database needs it. No statement of this package has a ? in a text.
func (d database) rebind(query string) string {
	if !d.postgres {
		return query
	}
	var out strings.Builder
	out.Grow(len(query) + len(query)/8)
	n := 0
	for {
		before, after, found := strings.Cut(query, "?")
		out.WriteString(before)
		if !found {
			return out.String()
		}
		n++
		out.WriteByte('$')
		out.WriteString(strconv.Itoa(n))
		query = after
	}
}

// marks returns "?, ?, ?" for a list of n arguments.
func marks(n int) string { return strings.TrimSuffix(strings.Repeat("?, ", n), ", ") }

// in returns "column IN (?, …)" and its arguments; with an empty list it matches no row.
func in[T ~string](column string, values []T) (string, []any) {
	if len(values) == 0 {
		return "1 = 0", nil
	}
	args := make([]any, len(values))
	for i, v := range values {
		args[i] = string(v)
	}
	return column + " IN (" + marks(len(values)) + ")", args
}

// among returns "(keys, column) IN (VALUES (?, ?), …)" and its arguments, for a column that follows the keys in an
// index. Not "keys = ? AND column IN (…)": without statistics, as in a new ledger, PostgreSQL then scans everything
// under the keys.
func among(keys, column string, values []string, key ...any) (string, []any) {
	if len(values) == 0 {
		return "1 = 0", nil
	}
	rows := make([][]any, len(values))
	for i, v := range values {
		rows[i] = append(slices.Clone(key), v)
	}
	return amongRows(keys+", "+column, rows)
}

// amongRows is among for rows that have no columns in common.
func amongRows(columns string, rows [][]any) (string, []any) {
	if len(rows) == 0 {
		return "1 = 0", nil
	}
	row := ", (" + marks(len(rows[0])) + ")"
	return "(" + columns + ") IN (VALUES " + strings.Repeat(row, len(rows))[2:] + ")", slices.Concat(rows...)
}

// chunks splits a list into pieces that fit into one statement.
func chunks[T any](all []T) [][]T {
	var out [][]T
	for len(all) > 0 {
		n := min(len(all), 500)
		out = append(out, all[:n])
		all = all[n:]
	}
	return out
}

// storable cleans texts that PostgreSQL would refuse: some come unchecked from outside.
func storable(args []any) []any {
	for i, arg := range args {
		if s, isText := arg.(string); isText {
			args[i] = clean(s)
		}
	}
	return args
}

func clean(s string) string {
	if strings.IndexByte(s, 0) < 0 && utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "\uFFFD")
}

// instant returns a time as it is stored: microseconds since 1970, 0 for none.
func instant(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromInstant(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

func orNow(t time.Time) time.Time {
	if t.IsZero() {
		return time.Now().UTC()
	}
	return t
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// list returns a slice as it is stored: JSON, or nothing.
func list[T any](values []T) string {
	if len(values) == 0 {
		return ""
	}
	return text(values)
}

func fromList[T any](stored string) ([]T, error) {
	if stored == "" {
		return nil, nil
	}
	var values []T
	if err := json.Unmarshal([]byte(stored), &values); err != nil {
		return nil, fmt.Errorf("read the stored list %.40q: %w", stored, err)
	}
	return values, nil
}

// text returns a value of this package as JSON, without escaping <, > and &.
func text(value any) string {
	var out strings.Builder
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		// cannot happen: only plain structs and maps come here
		panic(fmt.Sprintf("ledger: %T has no JSON form: %v", value, err))
	}
	return strings.TrimSuffix(out.String(), "\n")
}

// reading adds to an error what could not be read; nil stays nil.
func reading(err error, what, org string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("ledger: read %s (organization %s): %w", what, org, err)
}

// atMost returns a caller's limit, or 1,000.
func atMost(limit int) int {
	if limit <= 0 {
		return 1000
	}
	return limit
}
