package reading

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/source"
)

func TestReadingTakesABoundedNumberOfMemberships(t *testing.T) {
	r := New(func(source.Page) error { return nil })
	r.proof.Memberships = source.MaxMemberships - 1
	require.NoError(t, r.Group(source.Group{Key: "g", Members: []string{"a"}}))
	require.ErrorIs(t, r.Group(source.Group{Key: "h", Members: []string{"a"}}), source.ErrMalformed)
}
