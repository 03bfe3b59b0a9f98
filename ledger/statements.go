package ledger

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"

	lru "github.com/hashicorp/golang-lru/v2"
)

// openKeeping opens a pool of SQLite connections that keep the statements they have parsed: parsing one takes longer
// than running it. The driver of PostgreSQL does so by itself.
func openKeeping(url string) (*sql.DB, error) {
	plain, err := sql.Open("sqlite", url)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(keepingConnector{plain.Driver(), url}), plain.Close()
}

type keepingConnector struct {
	driver driver.Driver
	url    string
}

func (c keepingConnector) Driver() driver.Driver { return c.driver }

// statementsKept is how many statements a connection keeps, and statementLength up to which length: longer ones are
// lists, which hardly come twice.
const (
	statementsKept  = 200
	statementLength = 4096
)

func (c keepingConnector) Connect(context.Context) (driver.Conn, error) {
	opened, err := c.driver.Open(c.url)
	if err != nil {
		return nil, err
	}
	conn, ok := opened.(sqliteConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("ledger: the SQLite driver's connection is a %T", opened), opened.Close())
	}
	kept, err := lru.New[string, driver.Stmt](statementsKept)
	return &keepingConn{conn, kept}, err
}

// sqliteConn is what database/sql uses of a connection of the SQLite driver.
type sqliteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

// keepingConn is one connection with its parsed statements. A statement that runs is not among them, so one of the same
// text that begins meanwhile is parsed anew.
type keepingConn struct {
	sqliteConn
	kept *lru.Cache[string, driver.Stmt]
}

func (c *keepingConn) Close() error {
	for _, s := range c.kept.Values() {
		_ = s.Close()
	}
	return c.sqliteConn.Close()
}

func (c *keepingConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if !keepable(query) {
		return c.sqliteConn.ExecContext(ctx, query, args)
	}
	s, err := c.take(ctx, query)
	if err != nil {
		return nil, err
	}
	result, err := s.(driver.StmtExecContext).ExecContext(ctx, args)
	return result, c.putBack(query, s, err)
}

func (c *keepingConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if !keepable(query) {
		return c.sqliteConn.QueryContext(ctx, query, args)
	}
	s, err := c.take(ctx, query)
	if err != nil {
		return nil, err
	}
	rows, err := s.(driver.StmtQueryContext).QueryContext(ctx, args)
	if err != nil {
		return nil, c.putBack(query, s, err)
	}
	return &keptRows{rows, func(err error) error { return c.putBack(query, s, err) }}, nil
}

// keepable reports whether a statement is one that reads or writes rows, and short. Others, as those of migrations,
// may do their work while they are parsed.
func keepable(query string) bool {
	verb, _, _ := strings.Cut(strings.TrimSpace(query), " ")
	switch verb {
	case "SELECT", "INSERT", "UPDATE", "DELETE", "WITH":
		return len(query) <= statementLength
	}
	return false
}

func (c *keepingConn) take(ctx context.Context, query string) (driver.Stmt, error) {
	s, found := c.kept.Peek(query)
	if !found {
		return c.PrepareContext(ctx, query)
	}
	c.kept.Remove(query)
	return s, nil
}

// putBack keeps a statement that has run well, and returns the error of the others.
func (c *keepingConn) putBack(query string, s driver.Stmt, err error) error {
	if err != nil || c.kept.Contains(query) {
		_ = s.Close()
		return err
	}
	if c.kept.Len() == statementsKept {
		_, oldest, _ := c.kept.RemoveOldest()
		_ = oldest.Close()
	}
	c.kept.Add(query, s)
	return nil
}

type keptRows struct {
	driver.Rows
	done func(error) error
}

func (r *keptRows) Close() error { return r.done(r.Rows.Close()) }
