package rest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/source"
	"github.com/castellan-io/castellan/source/internal/rest"
)

func TestCheckSizes(t *testing.T) {
	page, flight := 0, 0
	require.NoError(t, rest.CheckSizes("idp", &page, 200, &flight))
	require.Equal(t, []int{200, 4}, []int{page, flight})
	for _, bad := range [][2]int{{201, 1}, {-1, 1}, {1, 17}, {1, -1}} {
		require.ErrorIs(t, rest.CheckSizes("idp", &bad[0], 200, &bad[1]), source.ErrInvalid)
	}
}

func TestSortTexts(t *testing.T) {
	all := map[string]any{"b": []any{"y", "x"}, "c": map[string]any{"e": []any{"b", "a"}}, "f": []any{"b", 1.0, "a"}}
	rest.SortTexts(all)
	require.Equal(t, map[string]any{"b": []any{"x", "y"}, "c": map[string]any{"e": []any{"a", "b"}},
		"f": []any{"b", 1.0, "a"}}, all)
}

func TestUnique(t *testing.T) {
	var keys rest.Unique
	require.NoError(t, keys.Add("a"))
	require.NoError(t, keys.Add("b"))
	require.ErrorIs(t, keys.Add("a"), source.ErrIncomplete)
	require.Equal(t, []string{"a", "b"}, keys.Keys)
}
