package reading_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/source"
	"github.com/castellan-io/castellan/source/internal/reading"
)

func TestReadingHandsOnPagesAndCounts(t *testing.T) {
	var people, groups, pages int
	r := reading.New(func(p source.Page) error {
		pages++
		people += len(p.People)
		groups += len(p.Groups)
		return nil
	})
	for i := range 1201 {
		require.NoError(t, r.Person(source.Identity{Key: fmt.Sprint(i)}))
	}
	require.True(t, r.Seen("7"))
	require.False(t, r.Seen("x"))
	require.NoError(t, r.Group(source.Group{Key: "g", Name: "G", Members: []string{"2", "1", "2"}}))
	require.NoError(t, r.Group(source.Group{Key: "empty"}))
	declared := 1201
	proof, err := r.Finish("as", "state", &declared)
	require.NoError(t, err)
	require.Equal(t, source.Proof{People: 1201, Groups: 2, Memberships: 2, Declared: &declared, As: "as",
		State: "state"}, proof)
	require.Equal(t, []int{1201, 2, 3}, []int{people, groups, pages})
}

func TestReadingSortsMembers(t *testing.T) {
	var got []source.Group
	r := reading.New(func(p source.Page) error { got = append(got, p.Groups...); return nil })
	require.NoError(t, r.Group(source.Group{Key: "g", Members: []string{"b", "a", "b"}}))
	require.NoError(t, r.Group(source.Group{Key: "h"}))
	_, err := r.Finish("", "", nil)
	require.NoError(t, err)
	require.Equal(t, []source.Group{{Key: "g", Members: []string{"a", "b"}}, {Key: "h", Members: []string{}}}, got)
}

func TestReadingRefuses(t *testing.T) {
	long := strings.Repeat("x", source.MaxAttribute)
	many := map[string]any{}
	for i := range 5 {
		many[fmt.Sprint(i)] = long[:source.MaxAttribute-100]
	}
	for name, p := range map[string]source.Identity{
		"no key":                {},
		"blank key":             {Key: " "},
		"long key":              {Key: strings.Repeat("k", source.MaxKey+1)},
		"key of two lines":      {Key: "a\nb"},
		"key that is no text":   {Key: "a\xff"},
		"long attribute":        {Key: "k", Attributes: map[string]any{"a": long}},
		"many attributes":       {Key: "k", Attributes: many},
		"attribute of no value": {Key: "k", Attributes: map[string]any{"a": make(chan int)}},
	} {
		r := reading.New(func(source.Page) error { return nil })
		require.ErrorIs(t, r.Person(p), source.ErrMalformed, name)
	}
	for name, g := range map[string]source.Group{
		"no key":       {},
		"long name":    {Key: "g", Name: strings.Repeat("n", source.MaxName+1)},
		"blank member": {Key: "g", Members: []string{"a", ""}},
	} {
		r := reading.New(func(source.Page) error { return nil })
		require.ErrorIs(t, r.Group(g), source.ErrMalformed, name)
	}
	r := reading.New(func(source.Page) error { return nil })
	require.NoError(t, r.Person(source.Identity{Key: "a"}))
	require.ErrorIs(t, r.Person(source.Identity{Key: "a"}), source.ErrMalformed)
	require.NoError(t, r.Group(source.Group{Key: "a"}))
	require.ErrorIs(t, r.Group(source.Group{Key: "a"}), source.ErrMalformed)
	declared := 2
	_, err := r.Finish("", "", &declared)
	require.ErrorIs(t, err, source.ErrIncomplete)
}

func TestReadingReturnsThePagesError(t *testing.T) {
	full := errors.New("full")
	r := reading.New(func(source.Page) error { return full })
	require.NoError(t, r.Person(source.Identity{Key: "a"}))
	proof, err := r.Finish("as", "", nil)
	require.ErrorIs(t, err, full)
	require.Zero(t, proof)
}

func TestAsTellsPartsApart(t *testing.T) {
	require.NotEqual(t, reading.As("ab", "c"), reading.As("a", "bc"))
	require.Equal(t, reading.As("a", "b"), reading.As("a", "b"))
}
