package tally_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/source"
	"github.com/castellan-io/castellan/source/internal/tally"
)

func keep(pages *[]source.Page) func(source.Page) error {
	return func(p source.Page) error { *pages = append(*pages, p); return nil }
}

func TestTallyCountsAndPassesOn(t *testing.T) {
	var pages []source.Page
	read := tally.New("idp", keep(&pages))
	require.NoError(t, read.People([]source.Identity{{Key: "a"}, {Key: "b"}}))
	require.NoError(t, read.People(nil))
	require.NoError(t, read.Group(source.Group{Key: "g", Name: "G", Members: []string{"b", "x", "a"}}))
	require.NoError(t, read.Group(source.Group{Key: "h", Name: "G"}))
	require.True(t, read.Seen("a"))
	two := 2
	proof, err := read.Proof(&two, "as")
	require.NoError(t, err)
	require.Equal(t, source.Proof{People: 2, Groups: 2, Memberships: 3, Declared: &two, As: "as"}, proof)
	require.Len(t, pages, 3)
	require.Equal(t, []string{"a", "b", "x"}, pages[1].Groups[0].Members)
	require.Equal(t, []string{}, pages[2].Groups[0].Members)

	three := 3
	proof, err = read.Proof(&three, "as")
	require.ErrorIs(t, err, source.ErrIncomplete)
	require.Zero(t, proof)
}

func TestTallyRefuses(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	attributes := func(n int) map[string]any {
		all := map[string]any{}
		for i := range n {
			all[string(rune('a'+i))] = long(source.MaxAttribute - 2)
		}
		return all
	}
	tests := map[string]struct {
		people []source.Identity
		group  source.Group
		kind   error
	}{
		"no key":          {people: []source.Identity{{}}, kind: source.ErrMalformed},
		"long key":        {people: []source.Identity{{Key: long(256)}}, kind: source.ErrMalformed},
		"no UTF-8":        {people: []source.Identity{{Key: "\xff"}}, kind: source.ErrMalformed},
		"twice":           {people: []source.Identity{{Key: "a"}, {Key: "a"}}, kind: source.ErrIncomplete},
		"large attribute": {people: []source.Identity{{Key: "a", Attributes: map[string]any{"x": long(source.MaxAttribute)}}}, kind: source.ErrMalformed},
		"escaped":         {people: []source.Identity{{Key: "a", Attributes: map[string]any{"x": strings.Repeat("\x01", source.MaxAttribute/5)}}}, kind: source.ErrMalformed},
		"large person":    {people: []source.Identity{{Key: "a", Attributes: attributes(5)}}, kind: source.ErrMalformed},
		"no JSON":         {people: []source.Identity{{Key: "a", Attributes: map[string]any{"x": make(chan int)}}}, kind: source.ErrMalformed},
		"group's key":     {group: source.Group{Name: "G"}, kind: source.ErrMalformed},
		"group's name":    {group: source.Group{Key: "g"}, kind: source.ErrMalformed},
		"group twice":     {group: source.Group{Key: "there", Name: "G"}, kind: source.ErrIncomplete},
		"member":          {group: source.Group{Key: "g", Name: "G", Members: []string{""}}, kind: source.ErrMalformed},
		"member twice":    {group: source.Group{Key: "g", Name: "G", Members: []string{"a", "b", "a"}}, kind: source.ErrIncomplete},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var pages []source.Page
			read := tally.New("idp", keep(&pages))
			require.NoError(t, read.Group(source.Group{Key: "there", Name: "there"}))
			var err error
			if test.people != nil {
				err = read.People(test.people)
			} else {
				err = read.Group(test.group)
			}
			require.ErrorIs(t, err, test.kind)
			require.Len(t, pages, 1)
		})
	}
	largest := source.Identity{Key: "a", Attributes: attributes(3)}
	require.NoError(t, tally.CheckIdentity("idp", largest))
}

func TestTallyReturnsTheErrorOfShow(t *testing.T) {
	full := errors.New("full")
	read := tally.New("idp", func(source.Page) error { return full })
	require.Equal(t, full, read.People([]source.Identity{{Key: "a"}}))
	require.Equal(t, full, read.Group(source.Group{Key: "g", Name: "G"}))
}

func TestAskedFor(t *testing.T) {
	_, err := tally.AskedFor("idp", "a", source.Identity{Key: "a"})
	require.NoError(t, err)
	_, err = tally.AskedFor("idp", "ana@acme.example", source.Identity{Key: "a"})
	require.ErrorIs(t, err, source.ErrMalformed)
}

func TestDigestTellsPartsApart(t *testing.T) {
	require.NotEqual(t, tally.Digest("a", "bc"), tally.Digest("ab", "c"))
	require.NotEqual(t, tally.Digest("a"), tally.Digest("a", ""))
	require.Equal(t, tally.Digest("a", "b"), tally.Digest("a", "b"))
}

func TestNamesMatch(t *testing.T) {
	names, err := tally.CompileNames([]string{"atl-*", "B?t (x)", "caf\u00e9"})
	require.NoError(t, err)
	for name, want := range map[string]bool{"atl-": true, "ATL-dev\nx": true, "xatl-": false, "bat (x)": true,
		"bt (x)": false, "cafe\u0301": true, "": false} {
		require.Equal(t, want, names.Match(name), name)
	}
	every, err := tally.CompileNames(nil)
	require.NoError(t, err)
	require.True(t, every.Match("x"))
	_, err = tally.CompileNames([]string{""})
	require.ErrorIs(t, err, source.ErrInvalid)
}
