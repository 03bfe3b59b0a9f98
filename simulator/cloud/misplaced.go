package cloud

import (
	"net/url"
	"strings"
)

// Accounts and the records of SCIM directories have ids of different forms, and each API takes one kind alone. A call
// that carries one of the other kind, wherever it stands, is refused or finds nothing; it is counted as well, since who
// asks may take that for an answer.

// misplaced reports whether a call carries the id of an account where only records are known, or the reverse.
func (c *Cloud) misplaced(in *call) bool {
	known := func(id string) bool {
		for _, d := range c.scims {
			if d.byID[id] != nil {
				return true
			}
		}
		return false
	}
	if in.op.scim() {
		known = func(id string) bool { return c.userByID[id] != nil }
	}
	query, _ := url.QueryUnescape(in.URL.RawQuery) // what cannot be read names nobody
	for _, text := range []string{in.URL.Path, query, string(in.body)} {
		for id := range strings.FieldsFuncSeq(text, func(r rune) bool { return !inID(r) }) {
			if known(id) {
				return true
			}
		}
	}
	return false
}

// inID reports whether a character may stand in an id of an account or a record.
func inID(r rune) bool {
	return r == ':' || r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}
