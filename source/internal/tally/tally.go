// Package tally checks, counts and passes on what a read of an identity provider shows: everybody once, within source's
// bounds. What does not fit is an error of the whole read.
package tally

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"github.com/castellan-io/castellan/source"
)

// Tally is one read. It is for one goroutine at a time.
type Tally struct {
	name   string
	show   func(source.Page) error
	people map[string]struct{}
	groups map[string]struct{}
	proof  source.Proof
}

// New begins a read. Name begins every error; show gets the pages.
func New(name string, show func(source.Page) error) *Tally {
	return &Tally{name: name, show: show, people: map[string]struct{}{}, groups: map[string]struct{}{}}
}

// Seen reports whether a person was shown before.
func (t *Tally) Seen(key string) bool {
	_, seen := t.people[key]
	return seen
}

// People shows a page of people.
func (t *Tally) People(people []source.Identity) error {
	for _, p := range people {
		if err := CheckIdentity(t.name, p); err != nil {
			return err
		}
		if t.Seen(p.Key) {
			return t.shownTwice("a person", p.Key)
		}
		if len(t.people) >= source.MaxPeople {
			return t.fail(source.ErrMalformed, "more than %d people: narrow the scope", source.MaxPeople)
		}
		t.people[p.Key] = struct{}{}
	}
	if len(people) == 0 {
		return nil
	}
	return t.show(source.Page{People: people})
}

// Group shows a group. It sorts the members, who must be there once each.
func (t *Tally) Group(g source.Group) error {
	switch {
	case !validKey(g.Key):
		return t.fail(source.ErrMalformed, "a group has no key, or one of more than %d bytes", source.MaxKey)
	case g.Name == "" || len(g.Name) > source.MaxName || !utf8.ValidString(g.Name):
		return t.fail(source.ErrMalformed, "group %q has no name, or one of more than %d bytes", g.Key, source.MaxName)
	case len(t.groups) >= source.MaxGroups:
		return t.fail(source.ErrMalformed, "more than %d groups: narrow their names", source.MaxGroups)
	}
	if _, seen := t.groups[g.Key]; seen {
		return t.shownTwice("a group", g.Key)
	}
	if g.Members == nil {
		g.Members = []string{}
	}
	slices.Sort(g.Members)
	for i, key := range g.Members {
		if !validKey(key) {
			return t.fail(source.ErrMalformed, "a member of group %q has no key, or one of more than %d bytes", g.Key,
				source.MaxKey)
		}
		if i > 0 && g.Members[i-1] == key {
			return t.shownTwice(fmt.Sprintf("a member of group %q", g.Key), key)
		}
	}
	t.groups[g.Key] = struct{}{}
	t.proof.Memberships += len(g.Members)
	return t.show(source.Page{Groups: []source.Group{g}})
}

func (t *Tally) shownTwice(what, key string) error {
	return t.fail(source.ErrIncomplete, "%s was shown twice, %q: pages overlap, so that others may be missing. Read again; "+
		"if it happens every time, the provider's paging is broken", what, key)
}

func (t *Tally) fail(kind error, format string, args ...any) error {
	return fmt.Errorf("%s: %w: %s", t.name, kind, fmt.Sprintf(format, args...))
}

// Count is how many people were shown.
func (t *Tally) Count() int { return len(t.people) }

// Proof ends the read. Declared is how many people the provider said there are; nil: it did not say.
func (t *Tally) Proof(declared *int, as string) (source.Proof, error) {
	t.proof.People, t.proof.Groups, t.proof.Declared, t.proof.As = len(t.people), len(t.groups), declared, as
	if declared != nil && *declared != len(t.people) {
		return source.Proof{}, t.fail(source.ErrIncomplete, "it showed %d people and says that there are %d. People may have "+
			"come or gone meanwhile: read again", len(t.people), *declared)
	}
	return t.proof, nil
}

func validKey(key string) bool {
	return key != "" && len(key) <= source.MaxKey && utf8.ValidString(key)
}

// CheckIdentity holds a person to the bounds.
func CheckIdentity(name string, p source.Identity) error {
	if !validKey(p.Key) {
		return fmt.Errorf("%s: %w: a person has no key, or one of more than %d bytes", name, source.ErrMalformed,
			source.MaxKey)
	}
	whole := 0
	for attribute, value := range p.Attributes {
		n, err := size(value)
		if err != nil {
			return fmt.Errorf("%s: %w: attribute %q of %q is not JSON", name, source.ErrMalformed, attribute, p.Key)
		}
		if n > source.MaxAttribute {
			return fmt.Errorf("%s: %w: attribute %q of %q has more than %d bytes: leave it out of what is read", name,
				source.ErrMalformed, attribute, p.Key, source.MaxAttribute)
		}
		whole += n + len(attribute) + 4
	}
	if whole > source.MaxIdentity {
		return fmt.Errorf("%s: %w: %q has attributes of more than %d bytes together: read fewer", name,
			source.ErrMalformed, p.Key, source.MaxIdentity)
	}
	return nil
}

// size is how long a value is as JSON. Of what cannot exceed the bound, no JSON is made.
func size(value any) (int, error) {
	switch v := value.(type) {
	case string:
		if len(v) < source.MaxAttribute/6 && utf8.ValidString(v) { // escaped, a byte takes six at most
			return len(v) + 2, nil
		}
	case bool, float64:
		return 8, nil
	}
	encoded, err := json.Marshal(value)
	return len(encoded), err
}

// Digest of the parts: for Proof.As.
func Digest(parts ...string) string {
	h := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(h, "%d:%s,", len(part), part)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// Person leaves out of a provider's attributes what is null.
func Person(key string, enabled *bool, attributes map[string]any) source.Identity {
	for name, value := range attributes {
		if value == nil {
			delete(attributes, name)
		}
	}
	return source.Identity{Key: key, Enabled: enabled, Attributes: attributes}
}

// AskedFor checks that a look-up was answered with the person that was asked for: some providers find people by names
// as well.
func AskedFor(name, asked string, got source.Identity) (source.Identity, error) {
	if err := CheckIdentity(name, got); err != nil {
		return source.Identity{}, err
	}
	if got.Key != asked {
		return source.Identity{}, fmt.Errorf("%s: %w: it was asked for %q and answered with %q: look people up by their "+
			"immutable key", name, source.ErrMalformed, asked, got.Key)
	}
	return got, nil
}
