package reading_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/source"
	"github.com/castellan-io/castellan/source/internal/reading"
)

func TestAskedFor(t *testing.T) {
	p, err := reading.AskedFor("a", source.Identity{Key: "a"})
	require.NoError(t, err)
	require.Equal(t, "a", p.Key)
	_, err = reading.AskedFor("ana@acme.example", source.Identity{Key: "a"})
	require.ErrorIs(t, err, source.ErrMalformed)
	_, err = reading.AskedFor("", source.Identity{})
	require.ErrorIs(t, err, source.ErrMalformed)
}
