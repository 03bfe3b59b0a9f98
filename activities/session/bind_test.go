package session

import (
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/ledger"
)

// TestBindFree: what others stand against is left out, the rest is bound together, and another error ends it.
func TestBindFree(t *testing.T) {
	t.Parallel()
	wanted := []ledger.Binding{{Source: "hr", Key: "a", Record: "1"}, {Source: "hr", Key: "b", Record: "2"},
		{Source: "hr", Key: "c", Record: "3"}}
	var tries [][]string
	bind := func(some []ledger.Binding) error {
		var keys []string
		for _, b := range some {
			keys = append(keys, b.Key)
		}
		tries = append(tries, keys)
		if i := slices.Index(keys, "b"); i >= 0 {
			return &ledger.BoundError{Conflicts: []ledger.BindingConflict{{Wanted: some[i]}}}
		}
		return nil
	}
	require.NoError(t, bindFree(slices.Clone(wanted), bind))
	require.Equal(t, [][]string{{"a", "b", "c"}, {"a", "c"}}, tries)
	require.NoError(t, bindFree(nil, nil), "nothing to bind")

	down := errors.New("down")
	require.ErrorIs(t, bindFree(wanted, func([]ledger.Binding) error { return down }), down)
	foreign := &ledger.BoundError{Conflicts: []ledger.BindingConflict{{Wanted: ledger.Binding{Key: "z"}}}}
	require.ErrorIs(t, bindFree(wanted, func([]ledger.Binding) error { return foreign }), ledger.ErrBound,
		"a conflict of none of them is not tried for ever")
}
