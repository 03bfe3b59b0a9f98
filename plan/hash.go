package plan

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"slices"
	"strconv"
	"strings"

	"github.com/castellan-io/castellan/access"
)

// Hasher computes a plan's hash from its lines in the byte order of (person, target), in constant memory. Action,
// person, target, group and the values of a record's attributes count, and nothing else.
type Hasher struct {
	sum            hash.Hash
	person, target string
	lines          int
}

// NewHasher begins a plan.
func NewHasher() *Hasher {
	h := &Hasher{sum: sha256.New()}
	h.sum.Write([]byte("castellan plan 1\n"))
	return h
}

// Add adds the next line. It refuses lines that are out of order or repeated, which would change the hash.
func (h *Hasher) Add(c access.Change) error {
	person, target := c.Person, string(c.Target)
	if h.lines > 0 && cmp.Or(strings.Compare(h.person, person), strings.Compare(h.target, target)) >= 0 {
		return fmt.Errorf("hashing a plan: line %d (%s) is out of order or stands twice; read the lines in the byte order of person and target", h.lines+1, c.Label())
	}
	h.person, h.target = person, target
	h.lines++
	h.write(c)
	return nil
}

// write quotes every part, so that no two different lines look alike.
func (h *Hasher) write(c access.Change) {
	var line []byte
	for _, part := range []string{string(c.Action), c.Person, string(c.Target), c.GroupID} {
		line = append(strconv.AppendQuote(line, part), '|')
	}
	for _, e := range c.Edits {
		for _, part := range []string{e.Attribute, e.From, e.To} {
			line = append(strconv.AppendQuote(line, part), '|')
		}
	}
	h.sum.Write(append(line, '\n'))
}

// Sum returns "sha256:" and the hash so far in hex.
func (h *Hasher) Sum() string { return "sha256:" + hex.EncodeToString(h.sum.Sum(nil)) }

// Compare returns how many lines of a plan are gone and how many were added.
func Compare(old, new []access.Change) (gone, added int) {
	old, new = ordered(old), ordered(new)
	for len(old) > 0 && len(new) > 0 {
		switch order := byLine(old[0], new[0]); {
		case order < 0:
			gone, old = gone+1, old[1:]
		case order > 0:
			added, new = added+1, new[1:]
		default:
			old, new = old[1:], new[1:]
		}
	}
	return gone + len(old), added + len(new)
}

func ordered(changes []access.Change) []access.Change {
	return slices.SortedFunc(slices.Values(changes), byLine)
}

func byLine(a, b access.Change) int {
	return cmp.Or(
		strings.Compare(a.Person, b.Person), strings.Compare(string(a.Target), string(b.Target)),
		strings.Compare(string(a.Action), string(b.Action)), strings.Compare(a.GroupID, b.GroupID))
}
