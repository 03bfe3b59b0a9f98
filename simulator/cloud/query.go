package cloud

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// page sizes of the v2 API
const (
	defaultLimit     = 20
	defaultUserLimit = 50 // of users/search
	maxLimit         = 100
)

// bounds checks an array of a request: if present, it must have 1 to most items.
func bounds(name string, values []string, most int, unique bool) error {
	if values == nil {
		return nil
	}
	if len(values) < 1 || len(values) > most {
		return fmt.Errorf("%s holds %d items: 1 to %d are allowed", name, len(values), most)
	}
	if unique {
		sorted := slices.Sorted(slices.Values(values))
		if len(slices.Compact(sorted)) != len(values) {
			return fmt.Errorf("%s holds an item twice", name)
		}
	}
	return nil
}

func oneOf(name string, values []string, allowed ...string) error {
	for _, value := range values {
		if !slices.Contains(allowed, value) {
			return fmt.Errorf("%s: %q is not one of %s", name, value, strings.Join(allowed, ", "))
		}
	}
	return nil
}

func limits(limit *int, most int) error {
	if limit != nil && (*limit < 1 || *limit > most) {
		return fmt.Errorf("limit is %d: 1 to %d are allowed", *limit, most)
	}
	return nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// sortBy is the sort order in a request body.
type sortBy struct {
	Field     string `json:"field"`
	Direction string `json:"direction"`
}

func checkSort(sort []sortBy, field string) error {
	if sort == nil {
		return nil
	}
	if len(sort) != 1 {
		return fmt.Errorf("sortBy holds %d items: exactly 1 is allowed", len(sort))
	}
	return firstError(oneOf("sortBy.field", []string{sort[0].Field}, field),
		oneOf("sortBy.direction", []string{sort[0].Direction}, "asc", "desc"))
}

func descending(sort []sortBy) bool { return len(sort) == 1 && sort[0].Direction == "desc" }

// list returns an array from the URL, written as repeated parameters or joined by commas.
func (r *call) list(name string) []string {
	values, given := r.URL.Query()[name]
	if !given {
		return nil
	}
	out := []string{}
	for _, value := range values {
		out = append(out, strings.Split(value, ",")...)
	}
	return out
}

// number returns an integer from the URL; nil if it is missing.
func (r *call) number(name string) (*int, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return nil, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return nil, fmt.Errorf("%s is %q: write a number", name, text)
	}
	return &n, nil
}

// resume returns the query of a v2 list: that of the cursor, or the one just asked. With a cursor, every other
// parameter of the request is ignored.
func resume[Q any](r *call, given string, asked Q) (query Q, after string, bad *answer) {
	if given == "" {
		return asked, "", nil
	}
	cur, valid := parseCursor(r.op.name, given)
	if !valid || json.Unmarshal(cur.Query, &query) != nil {
		out := badRequest("ADMIN-400-1", "The cursor is not valid.")
		return query, "", &out
	}
	return query, cur.After, nil
}

// pageOf returns a v2 page whose links are cursors with the query.
func (c *Cloud) pageOf(r *call, query any, after, next string, items []any) *page {
	text, err := json.Marshal(query)
	if err != nil {
		panic(err) // queries are plain data that came from JSON
	}
	p := &page{items: items, self: cursor{Operation: r.op.name, Query: text, After: after}.String()}
	if next != "" {
		p.next = cursor{Operation: r.op.name, Query: text, After: next}.String()
	}
	p.render = func(items []any, next string) any {
		links := map[string]any{"self": p.self}
		if next != "" {
			links["next"] = c.cursorLink(r, next)
		}
		return map[string]any{"data": items, "links": links}
	}
	return p
}

// cut returns how many items a page may have.
func (c *Cloud) cut(limit *int, otherwise int) int {
	n := otherwise
	if limit != nil {
		n = *limit
	}
	if c.settings.MaxPage > 0 {
		n = min(n, c.settings.MaxPage)
	}
	return n
}
