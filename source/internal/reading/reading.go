// Package reading checks what a read of a source shows, whatever the kind of source: that everybody and every group
// appears once, with a key, within the bounds of package source. It hands them on in pages and counts them for the
// proof.
package reading

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/castellan-io/castellan/source"
)

// pageSize is how many people and members of groups a page holds at least before it is handed on.
const pageSize = 500

// Reading is one read of a source. It is not safe for use by several goroutines.
type Reading struct {
	page   func(source.Page) error
	held   source.Page
	size   int // of what is held
	people map[string]struct{}
	groups map[string]struct{}
	proof  source.Proof
}

// New begins a read that shows its pages to page.
func New(page func(source.Page) error) *Reading {
	return &Reading{page: page, people: map[string]struct{}{}, groups: map[string]struct{}{}}
}

// Person takes one person. The error is ErrMalformed, or one of page.
func (r *Reading) Person(p source.Identity) error {
	if err := Person(p); err != nil {
		return err
	}
	if _, twice := r.people[p.Key]; twice {
		return fmt.Errorf("%w: two people have the key %.100q", source.ErrMalformed, p.Key)
	}
	if len(r.people) == source.MaxPeople {
		return fmt.Errorf("%w: it has more than %d people", source.ErrMalformed, source.MaxPeople)
	}
	r.people[p.Key] = struct{}{}
	r.held.People = append(r.held.People, p)
	return r.grow(1)
}

// Seen reports whether the read has shown a person with this key.
func (r *Reading) Seen(key string) bool {
	_, seen := r.people[key]
	return seen
}

// People returns how many people were taken.
func (r *Reading) People() int { return len(r.people) }

// Group takes one group with all its members, and sorts them. A member that is named twice counts once.
func (r *Reading) Group(g source.Group) error {
	if err := Key(g.Key); err != nil {
		return fmt.Errorf("%w (of a group)", err)
	}
	if len(g.Name) > source.MaxName || !utf8.ValidString(g.Name) {
		return fmt.Errorf("%w: the name of the group %.100q has more than %d bytes or is not text", source.ErrMalformed,
			g.Key, source.MaxName)
	}
	if _, twice := r.groups[g.Key]; twice {
		return fmt.Errorf("%w: two groups have the key %.100q", source.ErrMalformed, g.Key)
	}
	if len(r.groups) == source.MaxGroups {
		return fmt.Errorf("%w: it has more than %d groups", source.ErrMalformed, source.MaxGroups)
	}
	r.groups[g.Key] = struct{}{}
	if g.Members == nil {
		g.Members = []string{}
	}
	slices.Sort(g.Members)
	g.Members = slices.Compact(g.Members)
	for _, member := range g.Members {
		if err := Key(member); err != nil {
			return fmt.Errorf("%w (of a member of the group %.100q)", err, g.Key)
		}
	}
	if r.proof.Memberships += len(g.Members); r.proof.Memberships > source.MaxMemberships {
		return fmt.Errorf("%w: its groups have more than %d members together: narrow the groups", source.ErrMalformed,
			source.MaxMemberships)
	}
	r.held.Groups = append(r.held.Groups, g)
	return r.grow(1 + len(g.Members))
}

func (r *Reading) grow(by int) error {
	if r.size += by; r.size < pageSize {
		return nil
	}
	return r.flush()
}

func (r *Reading) flush() error {
	if r.size == 0 {
		return nil
	}
	page := r.held
	r.held, r.size = source.Page{}, 0
	return r.page(page)
}

// Finish hands on what is left and returns the proof, with the counts and what the caller knows beyond them: as, and,
// where the source has them, state and the number of people that it declared. A declared number that differs is
// ErrIncomplete.
func (r *Reading) Finish(as, state string, declared *int) (source.Proof, error) {
	if declared != nil && *declared != len(r.people) {
		return source.Proof{}, fmt.Errorf("%w: it declared %d people and showed %d", source.ErrIncomplete, *declared,
			len(r.people))
	}
	if err := r.flush(); err != nil {
		return source.Proof{}, err
	}
	r.proof.People, r.proof.Groups = len(r.people), len(r.groups)
	r.proof.As, r.proof.State, r.proof.Declared = as, state, declared
	return r.proof, nil
}

// Person checks one person by the bounds of package source; the error is ErrMalformed.
func Person(p source.Identity) error {
	if err := Key(p.Key); err != nil {
		return fmt.Errorf("%w (of a person)", err)
	}
	sum := 0
	for name, value := range p.Attributes {
		encoded, err := json.Marshal(value)
		if err != nil {
			return fmt.Errorf("%w: the attribute %.100q of %.100q cannot be kept: %w", source.ErrMalformed, name, p.Key,
				err)
		}
		if len(encoded) > source.MaxAttribute {
			return fmt.Errorf("%w: the attribute %.100q of %.100q has %d bytes; at most %d are taken: leave it out",
				source.ErrMalformed, name, p.Key, len(encoded), source.MaxAttribute)
		}
		sum += len(name) + len(encoded) + len(`"":,`)
	}
	if sum > source.MaxIdentity {
		return fmt.Errorf("%w: the attributes of %.100q have %d bytes; at most %d are taken: leave some out",
			source.ErrMalformed, p.Key, sum, source.MaxIdentity)
	}
	return nil
}

// Key checks the key of a person or group; the error is ErrMalformed.
func Key(key string) error {
	switch {
	case strings.TrimSpace(key) == "":
		return fmt.Errorf("%w: a key is empty", source.ErrMalformed)
	case len(key) > source.MaxKey:
		return fmt.Errorf("%w: a key has %d bytes; at most %d are taken: %.100q…", source.ErrMalformed, len(key),
			source.MaxKey, key)
	case !utf8.ValidString(key) || strings.ContainsFunc(key, unicode.IsControl):
		return fmt.Errorf("%w: the key %.100q is not one line of text", source.ErrMalformed, key)
	}
	return nil
}

// As is a digest of what identifies a read: the place, who reads and what is in scope. It must not be given a secret.
func As(parts ...string) string {
	hash := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(hash, "%d:%s,", len(part), part) // so that no two lists of parts are one
	}
	return hex.EncodeToString(hash.Sum(nil)[:16])
}
