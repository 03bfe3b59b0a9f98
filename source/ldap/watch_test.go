package ldap

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/source"
)

func TestChanges(t *testing.T) {
	computer, deleted := adPerson(14), adPerson(15)
	computer.attributes["objectClass"] = []string{"user", "computer"}
	deleted.deleted = true
	group := adGroup("dev", 1)
	group.attributes["uSNChanged"] = []string{"13"}
	fake := newFake(t, adPerson(11), adPerson(12), computer, deleted, group)
	fake.name, fake.usn = "CN=DC1", 11
	s, err := New(fake.options(true))
	require.NoError(t, err)
	watcher := s.(source.Watcher)

	changes, cursor, err := watcher.Changes(t.Context(), "")
	require.NoError(t, err)
	require.Empty(t, changes, "it begins with now")
	fake.usn = 15
	changes, cursor, err = watcher.Changes(t.Context(), cursor)
	require.NoError(t, err)
	require.Equal(t, source.Changes{
		People: []string{"00000000-0000-0000-0000-00000000000c", "00000000-0000-0000-0000-00000000000f"},
		Groups: []string{"00000000-0000-0000-0000-0000000dbba1"},
	}, changes)
	changes, cursor, err = watcher.Changes(t.Context(), cursor)
	require.NoError(t, err)
	require.Empty(t, changes)

	everything := source.Changes{All: true}
	for _, strange := range []string{"?", "15", "15 CN=DC2", "16 CN=DC1"} {
		changes, next, err := watcher.Changes(t.Context(), strange)
		require.NoError(t, err)
		require.Equal(t, everything, changes, strange)
		require.Equal(t, cursor, next)
	}
	fake.limit = 1
	_, _, err = watcher.Changes(t.Context(), "1 CN=DC1")
	require.ErrorIs(t, err, source.ErrIncomplete)
	fake.limit, fake.name = 0, ""
	_, _, err = watcher.Changes(t.Context(), cursor)
	require.ErrorIs(t, err, source.ErrMalformed)
}

func TestChangesOfMany(t *testing.T) {
	fake := newFake(t)
	for number := range maxChanges + 1 {
		fake.entries = append(fake.entries, adPerson(number+1))
	}
	fake.name, fake.usn = "CN=DC1", len(fake.entries)
	options := fake.options(true)
	options.PageSize = maxPage
	s, err := New(options)
	require.NoError(t, err)
	changes, next, err := s.(source.Watcher).Changes(t.Context(), "0 CN=DC1")
	require.NoError(t, err)
	require.Equal(t, source.Changes{All: true}, changes)
	require.Equal(t, strconv.Itoa(fake.usn)+" CN=DC1", next)
}

func TestChangesAreNotToldByOthers(t *testing.T) {
	s, err := New(newFake(t).options(false))
	require.NoError(t, err)
	require.NotImplements(t, (*source.Watcher)(nil), s)
}
