package file

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/castellan-io/castellan/source"
	"github.com/castellan-io/castellan/source/internal/reading"
)

const (
	maxHeader = 64 << 10
	maxRow    = 1 << 20 // bytes of a row of CSV; one that is longer lacks a quotation mark
)

// maxItem bounds the bytes of a person or group of JSON. Tests set less.
var maxItem = 64 << 20

// portions is a text that is read in portions of bounded size, since one without end would have to be held.
type portions struct {
	from io.Reader
	left int
}

var errPortion = errors.New("a person or group is larger than what is read at once")

func (p *portions) Read(b []byte) (int, error) {
	if p.left <= 0 {
		return 0, errPortion
	}
	n, err := p.from.Read(b[:min(len(b), p.left)])
	p.left -= n
	return n, err
}

// table reads CSV row by row.
type table struct {
	file    string
	text    *portions
	at      int64 // bytes before the row that is read
	csv     *csv.Reader
	columns []string
	before  int // lines above the header
}

// newTable reads the header.
func newTable(file string, text io.Reader, separator rune) (*table, error) {
	t := &table{file: file, text: &portions{text, maxRow}}
	buffered := bufio.NewReaderSize(t.text, maxHeader)
	head, err := buffered.Peek(maxHeader)
	if err != nil && err != io.EOF {
		return nil, t.broken(err)
	}
	if len(head) >= 6 && strings.EqualFold(string(head[:4]), "sep=") && head[5] == '\n' { // for spreadsheets
		separator, t.before = rune(head[4]), 1
		_, _ = buffered.Discard(6)
		head = head[6:]
	}
	if separator == 0 {
		if separator, err = detect(head); err != nil {
			return nil, malformed(file, "line %d: %w", t.before+1, err)
		}
	}
	t.csv = csv.NewReader(buffered)
	t.csv.Comma, t.csv.ReuseRecord, t.csv.FieldsPerRecord = separator, true, -1
	header, err := t.csv.Read()
	if err == io.EOF {
		return nil, malformed(file, "line 1: there is no header")
	}
	if err != nil {
		return nil, t.broken(err)
	}
	for i, name := range header {
		name = strings.TrimSpace(name)
		switch {
		case name != "" && slices.Contains(t.columns, name):
			return nil, malformed(file, "line %d: two columns are called %.100q", t.before+1, name)
		case len(name) > 255 || strings.ContainsFunc(name, unicode.IsControl):
			return nil, malformed(file, "line %d: the name of column %d is not one short line of text", t.before+1, i+1)
		}
		t.columns = append(t.columns, strings.Clone(name))
	}
	return t, nil
}

// detect finds what separates the header's cells: what is most often in it, outside of quotes.
func detect(head []byte) (rune, error) {
	counts := map[rune]int{}
	quoted := false
	for _, b := range head {
		if b == '\n' && !quoted {
			break
		}
		if b == '"' {
			quoted = !quoted
		}
		if !quoted && (b == ',' || b == ';' || b == '\t') {
			counts[rune(b)]++
		}
	}
	best := ','
	for _, candidate := range []rune{';', '\t'} {
		if counts[candidate] > counts[best] {
			best = candidate
		}
	}
	for candidate, count := range counts {
		if candidate != best && count == counts[best] {
			return 0, fmt.Errorf("the header has %q as often as %q: configure which of them separates cells", candidate,
				best)
		}
	}
	return best, nil
}

// column returns where a configured column is.
func (t *table) column(name, what string) (int, error) {
	if i := slices.Index(t.columns, name); i >= 0 {
		return i, nil
	}
	return 0, fmt.Errorf("file: %w: %s has no column %.100q, which is configured as %s; it has %.500q",
		source.ErrInvalid, t.file, name, what, t.columns)
}

// next returns the cells of the next row without white space around, and its line; io.EOF at the end. The cells are
// overwritten by the next call, and keep the whole row in memory.
func (t *table) next() ([]string, int, error) {
	t.text.left, t.at = maxRow, t.csv.InputOffset()
	row, err := t.csv.Read()
	if err == io.EOF {
		return nil, 0, io.EOF
	}
	if err != nil {
		return nil, 0, t.broken(err)
	}
	line, _ := t.csv.FieldPos(0)
	line += t.before
	if len(row) != len(t.columns) {
		return nil, 0, malformed(t.file, "line %d: it has %d cells, and the header has %d columns", line, len(row),
			len(t.columns))
	}
	for i := range row {
		row[i] = strings.TrimSpace(row[i])
		if t.columns[i] == "" && row[i] != "" {
			return nil, 0, malformed(t.file, "line %d: column %d has a value and no name in the header", line, i+1)
		}
	}
	return row, line, nil
}

func (t *table) broken(err error) error {
	if errors.Is(err, errPortion) {
		return malformed(t.file, "after byte %d: a row is longer than %d bytes: see whether a quotation mark is missing",
			t.at, maxRow)
	}
	var parse *csv.ParseError
	if errors.As(err, &parse) {
		return malformed(t.file, "line %d, byte %d: %w (a cell with a quotation mark is quoted, and the mark doubled)",
			parse.Line+t.before, parse.Column, parse.Err)
	}
	return unreadable(t.file, err)
}

// unreadable is for errors of what is below the text: its encoding, the disk, the caller.
func unreadable(file string, err error) error {
	switch {
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("file: %s: given up by the caller: %w", file, err)
	case errors.Is(err, source.ErrMalformed):
		return fmt.Errorf("file: %s, %w", file, err)
	case errors.Is(err, errReading):
		return fmt.Errorf("file: %w: %s: %w", source.ErrUnavailable, file, err)
	}
	return malformed(file, "%w", err)
}

// shortened is what spreadsheets make of long numbers: several then look the same.
var shortened = regexp.MustCompile(`^[0-9]+([.,][0-9]+)?[eE]\+[0-9]+$`)

func (r *Reader) readPeople(o *opened, read *reading.Reading) error {
	t, err := newTable(o.name, o.text, r.options.Separator)
	if err != nil {
		return err
	}
	p := people{options: &r.options, table: t, lines: map[string]int{}}
	if err = p.columns(); err != nil {
		return err
	}
	for {
		row, line, err := t.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		o.rows++
		person, err := p.person(row, line)
		if err != nil {
			return err
		}
		if err = take(read.Person(person), o.name, line); err != nil {
			return err
		}
	}
}

// take says where in the file what was refused is. Errors of the page's taker stay as they are.
func take(err error, file string, line int) error {
	if errors.Is(err, source.ErrMalformed) {
		return fmt.Errorf("file: %s, line %d: %w", file, line, err)
	}
	return err
}

type people struct {
	options      *Options
	table        *table
	key, enabled int
	lines        map[string]int // by key
}

func (p *people) columns() (err error) {
	if p.key, err = p.table.column(p.options.Key, "the key"); err != nil {
		return err
	}
	p.enabled = -1
	if name := p.options.Enabled.Column; name != "" {
		if p.enabled, err = p.table.column(name, "whether somebody is enabled"); err != nil {
			return err
		}
	}
	for name := range p.options.Lists {
		if _, err = p.table.column(name, "a list"); err != nil {
			return err
		}
	}
	return nil
}

func (p *people) person(row []string, line int) (source.Identity, error) {
	key := strings.Clone(row[p.key])
	first, twice := p.lines[key]
	switch {
	case key == "":
		return p.refuse(line, p.options.Key, "the key is empty")
	case shortened.MatchString(key):
		return p.refuse(line, p.options.Key,
			"the key %q is a number that a spreadsheet has shortened: format the column as text, and export again", key)
	case twice:
		return p.refuse(line, p.options.Key, "the key %.100q is that of line %d as well", key, first)
	}
	p.lines[key] = line
	person := source.Identity{Key: key, Attributes: make(map[string]any, len(row))}
	for i, cell := range row {
		if cell == "" {
			continue
		}
		name := p.table.columns[i]
		separator, list := p.options.Lists[name]
		if !list {
			person.Attributes[name] = cell
			continue
		}
		values := []any{}
		for value := range strings.SplitSeq(cell, separator) {
			if value = strings.TrimSpace(value); value != "" {
				values = append(values, value)
			}
		}
		if len(values) > 0 {
			person.Attributes[name] = values
		}
	}
	if p.enabled < 0 || row[p.enabled] == "" {
		return person, nil
	}
	enabled, known := p.options.Enabled.means(row[p.enabled])
	if !known {
		return p.refuse(line, p.options.Enabled.Column, "it is not configured whether %.100q means enabled or disabled",
			row[p.enabled])
	}
	person.Enabled = &enabled
	return person, nil
}

func (p *people) refuse(line int, column, format string, args ...any) (source.Identity, error) {
	return source.Identity{}, malformed(p.table.file, "line %d, column %q: %w", line, column,
		fmt.Errorf(format, args...))
}

func (e Enabled) means(cell string) (enabled, known bool) {
	switch {
	case contains(e.Disabled, cell):
		return false, true
	case contains(e.Enabled, cell):
		return true, true
	}
	return true, len(e.Enabled) == 0
}

// readGroups holds all memberships: the rows of a group may be anywhere.
func readGroups(o *opened, separator rune, read *reading.Reading) error {
	t, err := newTable(o.name, o.text, separator)
	if err != nil {
		return err
	}
	group, err := t.column("group", "a group's key")
	if err != nil {
		return err
	}
	member, err := t.column("key", "a member's key")
	if err != nil {
		return err
	}
	name := slices.Index(t.columns, "name")
	groups, order := map[string]*source.Group{}, []*source.Group{}
	known := map[string]string{} // members' keys, so that each is held once
	for {
		row, line, err := t.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		o.rows++
		if row[group] == "" {
			return malformed(o.name, "line %d, column %q: the group's key is empty", line, "group")
		}
		g := groups[row[group]]
		if g == nil && len(order) == source.MaxGroups || o.rows > source.MaxMemberships+source.MaxGroups {
			return malformed(o.name, "it has more than %d groups or %d members", source.MaxGroups, source.MaxMemberships)
		}
		if g == nil {
			g = &source.Group{Key: strings.Clone(row[group])}
			groups[g.Key], order = g, append(order, g)
		}
		if name >= 0 && row[name] != "" && row[name] != g.Name {
			if g.Name != "" {
				return malformed(o.name, "line %d: the group %.100q is called %.100q, and %.100q above", line, g.Key,
					row[name], g.Name)
			}
			g.Name = strings.Clone(row[name])
		}
		if key := row[member]; key != "" {
			if _, seen := known[key]; !seen {
				known[strings.Clone(key)] = strings.Clone(key)
			}
			g.Members = append(g.Members, known[key])
		}
	}
	for _, g := range order {
		if g.Name == "" {
			g.Name = g.Key
		}
		if err := read.Group(*g); err != nil {
			return fmt.Errorf("file: %s: %w", o.name, err)
		}
	}
	return nil
}
