package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"strings"

	"github.com/pressly/goose/v3"

	"github.com/castellan-io/castellan/access"
)

// accountTables are the tables of migration 6. An address in former_addresses is in lower case; a name in policy_names
// too, and its account is empty as long as it leads to nobody.
var accountTables = []string{
	`CREATE TABLE former_addresses (
		org     keytext NOT NULL,
		address keytext NOT NULL,
		person  keytext NOT NULL,
		until   BIGINT  NOT NULL,
		PRIMARY KEY (org, address, person)
	)`,
	`CREATE TABLE policy_names (
		org     keytext  NOT NULL,
		name    keytext  NOT NULL,
		account keytext  NOT NULL,
		email   TEXT     NOT NULL,
		since   BIGINT   NOT NULL,
		trial   SMALLINT NOT NULL,
		gone    SMALLINT NOT NULL,
		PRIMARY KEY (org, name)
	)`,
	`ALTER TABLE grants ADD COLUMN former_key keytext NOT NULL DEFAULT ''`,
	`CREATE INDEX grants_moving ON grants (org, former_key, target_key) WHERE former_key <> ''`,
}

// accounts is the sixth migration: since then a person is an account ID. Addresses in grants become the accounts that
// alone have them; one that nobody has, or several, stays as it was written and belongs to nobody.
func accounts(dialect goose.Dialect) *goose.Migration {
	return goose.NewGoMigration(6,
		&goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			if err := execEach(ctx, tx, accountTables); err != nil {
				return err
			}
			return moveGrants(ctx, database{querier: tx, postgres: dialect == goose.DialectPostgres})
		}},
		&goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			return execEach(ctx, tx, []string{
				`DROP INDEX grants_moving`, `ALTER TABLE grants DROP COLUMN former_key`, `DROP TABLE policy_names`,
				`DROP TABLE former_addresses`,
			})
		}})
}

func execEach(ctx context.Context, tx *sql.Tx, statements []string) error {
	for _, statement := range statements {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// owners are the accounts that alone have an address, by organization and address in lower case.
type owners map[[2]string]string

func (o owners) of(org, name string) string {
	if id := o[[2]string{org, strings.ToLower(name)}]; id != "" {
		return id
	}
	return name
}

func readOwners(ctx context.Context, d database) (owners, error) {
	all := owners{}
	return all, d.each(ctx, func(row scanner) error {
		var org, address, id string
		err := row.Scan(&org, &address, &id)
		key := [2]string{org, address}
		if _, several := all[key]; several {
			id = ""
		}
		all[key] = id
		return err
	}, `SELECT org, email_key, id FROM people WHERE email_key <> ''`)
}

// moveGrants replaces addresses by accounts in all grants and in the codes of their approvers.
func moveGrants(ctx context.Context, d database) error {
	owner, err := readOwners(ctx, d)
	if err != nil {
		return err
	}
	type row struct {
		org, id, person, email, key, body string
		settled                           int
	}
	rows, err := collect(ctx, d, func(s scanner) (r row, err error) {
		return r, s.Scan(&r.org, &r.id, &r.person, &r.email, &r.key, &r.body, &r.settled)
	}, `SELECT org, id, person, email, person_key, body, settled FROM grants`)
	if err != nil {
		return err
	}
	for _, r := range rows {
		var g access.Grant
		if err := json.Unmarshal([]byte(r.body), &g); err != nil {
			return err
		}
		of := func(name string) string {
			if name != "" && !access.IsAddress(r.person) && strings.EqualFold(name, r.email) {
				return r.person // whoever has that address by now
			}
			return owner.of(r.org, name)
		}
		g.By, g.ClosedBy = of(g.By), of(g.ClosedBy)
		for i := range g.Approvers {
			g.Approvers[i] = of(g.Approvers[i])
		}
		for i := range g.Approvals {
			g.Approvals[i].By = of(g.Approvals[i].By)
		}
		former := ""
		if r.key != r.person && r.settled == 0 {
			former = r.key
		}
		if _, err := d.exec(ctx, `UPDATE grants SET body = ?, person_key = ?, former_key = ? WHERE org = ? AND id = ?`,
			text(g), r.person, former, r.org, r.id); err != nil {
			return err
		}
	}
	return moveCodes(ctx, d, owner)
}

func moveCodes(ctx context.Context, d database, owner owners) error {
	codes, err := collect(ctx, d, func(s scanner) (r [2]string, err error) { return r, s.Scan(&r[0], &r[1]) },
		`SELECT DISTINCT org, approver FROM grant_codes`)
	if err != nil {
		return err
	}
	for _, r := range codes {
		if _, err := d.exec(ctx, `UPDATE grant_codes SET approver = ? WHERE org = ? AND approver = ?`,
			owner.of(r[0], r[1]), r[0], r[1]); err != nil {
			return err
		}
	}
	return nil
}
