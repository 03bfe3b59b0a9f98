package file_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/source"
	"github.com/castellan-io/castellan/source/file"
)

func TestLookup(t *testing.T) {
	dir := export(t, map[string]string{"people.csv": peopleCSV, "groups.csv": groupsCSV})
	r, err := file.New(options(dir))
	require.NoError(t, err)
	got, err := r.Lookup(t.Context(), "1002")
	require.NoError(t, err)
	require.Equal(t, "bo@acme.example", got.Attributes["mail"])
	_, err = r.Lookup(t.Context(), "1004")
	require.ErrorIs(t, err, source.ErrGone)

	write(t, dir, "people.csv", peopleCSV[:60])
	_, err = r.Lookup(t.Context(), "1004")
	require.ErrorIs(t, err, source.ErrIncomplete)
	require.NotErrorIs(t, err, source.ErrGone)
}

func TestChanges(t *testing.T) {
	dir := export(t, map[string]string{"people.csv": peopleCSV, "groups.csv": groupsCSV})
	r, err := file.New(options(dir))
	require.NoError(t, err)
	changes, cursor, err := r.Changes(t.Context(), "")
	require.NoError(t, err)
	require.Zero(t, changes)
	changes, same, err := r.Changes(t.Context(), cursor)
	require.NoError(t, err)
	require.Zero(t, changes)
	require.Equal(t, cursor, same)
	proof, err := r.Read(t.Context(), func(source.Page) error { return nil })
	require.NoError(t, err)
	require.Equal(t, cursor, proof.State)

	_, err = file.WriteManifest(dir, written.Add(time.Hour))
	require.NoError(t, err)
	changes, next, err := r.Changes(t.Context(), cursor)
	require.NoError(t, err)
	require.Equal(t, source.Changes{All: true}, changes)
	require.NotEqual(t, cursor, next)
}
