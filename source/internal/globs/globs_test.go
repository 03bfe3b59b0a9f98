package globs_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/source"
	"github.com/castellan-io/castellan/source/internal/globs"
)

func TestGlobsMatch(t *testing.T) {
	names, err := globs.Compile([]string{"atl-*", "B?t (x)", "caf\u00e9"})
	require.NoError(t, err)
	for name, want := range map[string]bool{"atl-": true, "ATL-dev\nx": true, "xatl-": false, "bat (x)": true,
		"bt (x)": false, "cafe\u0301": true, "": false} {
		require.Equal(t, want, names.Match(name), name)
	}
	every, err := globs.Compile(nil)
	require.NoError(t, err)
	require.True(t, every.Match("x"))
	_, err = globs.Compile([]string{""})
	require.ErrorIs(t, err, source.ErrInvalid)
}
