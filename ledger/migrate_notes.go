package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/pressly/goose/v3"
)

// notes is the twenty-second migration. What pages count stood in texts: a kind and what it is about, with line breaks
// between, or, in rows of reports that are being made, a name and a number. Runs, reviews and reports that are under
// way go on with what they counted.
func notes(dialect goose.Dialect) *goose.Migration {
	open := func(tx *sql.Tx) database { return database{querier: tx, postgres: dialect == goose.DialectPostgres} }
	return goose.NewGoMigration(22,
		&goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			d := open(tx)
			if _, err := d.exec(ctx, `ALTER TABLE report_rows ADD COLUMN counts TEXT NOT NULL DEFAULT ''`); err != nil {
				return err
			}
			for _, old := range []formerNotes{
				{"pages", "notes", "notes", []string{"org", "run", "page"}, `notes LIKE '{%'`, fromNoteKeys},
				{"review_pages", "notes", "notes", []string{"org", "review", "page"}, `notes LIKE '{%'`, fromNoteKeys},
				{"report_rows", "cells", "counts", []string{"org", "report", "section", "identity"}, `section = ''`,
					fromCountCells},
			} {
				if err := old.bring(ctx, d); err != nil {
					return err
				}
			}
			_, err := d.exec(ctx, `UPDATE review_pages SET notes = '' WHERE notes = 'null'`)
			return err
		}},
		&goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			_, err := open(tx).exec(ctx, `ALTER TABLE report_rows DROP COLUMN counts`)
			return err
		}})
}

// formerNotes is a column that held notes as texts.
type formerNotes struct {
	table, from, to string
	key             []string
	where           string
	read            func(stored string) (Notes, error)
}

func (f formerNotes) bring(ctx context.Context, d database) error {
	type row struct {
		key    []any
		stored string
	}
	all, err := collect(ctx, d, func(s scanner) (r row, err error) {
		key, into := make([]string, len(f.key)), make([]any, len(f.key), len(f.key)+1)
		for i := range key {
			into[i] = &key[i]
		}
		err = s.Scan(append(into, &r.stored)...)
		for _, part := range key {
			r.key = append(r.key, part)
		}
		return r, err
	}, `SELECT `+strings.Join(f.key, ", ")+`, `+f.from+` FROM `+f.table+` WHERE `+f.where)
	if err != nil {
		return err
	}
	for _, r := range all {
		notes, err := f.read(r.stored)
		if err != nil {
			return err
		}
		if _, err := d.exec(ctx, `UPDATE `+f.table+` SET `+f.to+` = ? WHERE `+strings.Join(f.key, " = ? AND ")+` = ?`,
			append([]any{notes.stored()}, r.key...)...); err != nil {
			return err
		}
	}
	return nil
}

// formerKinds are the kinds of notes that reviews wrote otherwise.
var formerKinds = map[string]string{"g": "members", "p": "peers", "h": "holders", "u": "unread"}

func fromNoteKeys(stored string) (Notes, error) {
	var keys map[string]int
	err := json.Unmarshal([]byte(stored), &keys)
	notes := Notes{}
	for key, n := range keys {
		parts := strings.SplitN(key, "\n", 1+len(Note{}.About))
		kind := parts[0]
		if now, was := formerKinds[kind]; was {
			kind = now
		}
		notes[noteOf(kind, parts[1:])] += n
	}
	return notes, err
}

func fromCountCells(stored string) (Notes, error) {
	cells, err := fromList[string](stored)
	notes := Notes{}
	for _, cell := range cells {
		at := strings.LastIndexByte(cell, '=')
		n, err := strconv.Atoi(cell[at+1:])
		if err != nil || at < 0 {
			continue // no version wrote it
		}
		note := noteOf(cell[:at], nil)
		for _, kind := range []string{"domain", "holders of"} {
			if about, is := strings.CutPrefix(cell[:at], kind+" "); is {
				note = noteOf(strings.TrimSuffix(kind, " of"), []string{about})
			}
		}
		notes[note] += n
	}
	return notes, err
}
