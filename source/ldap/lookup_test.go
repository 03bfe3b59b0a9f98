package ldap

import (
	"sync/atomic"
	"testing"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/source"
)

func TestLookup(t *testing.T) {
	fake := newFake(t, people(3)...)
	options := fake.options(false)
	options.People.Base, options.People.Filter = "ou=elsewhere,dc=acme", "(uid=none)"
	r, err := New(options)
	require.NoError(t, err)
	found, err := r.Lookup(t.Context(), uuidOf(2))
	require.NoError(t, err, "outside of the scope")
	require.Equal(t, "p2", found.Attributes["uid"])

	_, err = r.Lookup(t.Context(), uuidOf(77))
	require.ErrorIs(t, err, source.ErrGone)
	_, err = r.Lookup(t.Context(), "*")
	require.ErrorIs(t, err, source.ErrGone, "a star is escaped")
	_, err = r.Lookup(t.Context(), "")
	require.ErrorIs(t, err, source.ErrInvalid)
}

// TestOutside: only the server's own word that somebody is elsewhere, or does not match the filter, says so.
func TestOutside(t *testing.T) {
	tests := map[string]struct {
		base, filter, key string
		outside           bool
	}{
		"read":            {"", "", uuidOf(2), false},
		"elsewhere":       {"ou=elsewhere,dc=acme", "", uuidOf(2), true},
		"another filter":  {"", "(uid=p1)", uuidOf(2), true},
		"the same filter": {"", "(uid=p2)", uuidOf(2), false},
		"nobody":          {"ou=elsewhere,dc=acme", "(uid=p1)", uuidOf(77), false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			options := newFake(t, people(3)...).options(false)
			options.People.Base, options.People.Filter = tt.base, tt.filter
			r, err := New(options)
			require.NoError(t, err)
			outside, err := r.(source.Limited).Outside(t.Context(), tt.key)
			require.NoError(t, err)
			require.Equal(t, tt.outside, outside)
		})
	}
	t.Run("down", func(t *testing.T) {
		fake := newFake(t, people(3)...)
		fake.search = func(_ int, q *fakeSearch) bool { q.done(ldap.LDAPResultBusy, ""); return true }
		options := fake.options(false)
		options.People.Base = "ou=elsewhere,dc=acme"
		r, err := New(options)
		require.NoError(t, err)
		outside, err := r.(source.Limited).Outside(t.Context(), uuidOf(2))
		require.Error(t, err)
		require.False(t, outside)
	})
}

// TestLookupInDoubtIsNotGone: only a complete search that finds nobody says that somebody is gone.
func TestLookupInDoubtIsNotGone(t *testing.T) {
	tests := map[string]func(q *fakeSearch){
		"no such base": func(q *fakeSearch) { q.done(ldap.LDAPResultNoSuchObject, "") },
		"a size limit": func(q *fakeSearch) { q.done(ldap.LDAPResultSizeLimitExceeded, "") },
		"busy":         func(q *fakeSearch) { q.done(ldap.LDAPResultBusy, "") },
		"no right":     func(q *fakeSearch) { q.done(ldap.LDAPResultInsufficientAccessRights, "") },
		"a hang-up":    func(q *fakeSearch) { _ = q.conn.Close() },
		"elsewhere": func(q *fakeSearch) {
			q.reference("ldap://child.acme/DC=child,DC=acme")
			q.done(ldap.LDAPResultSuccess, "")
		},
		"somebody else": func(q *fakeSearch) {
			q.entry(person(5))
			q.done(ldap.LDAPResultSuccess, "")
		},
		"two": func(q *fakeSearch) {
			q.entry(person(7))
			q.entry(person(7))
			q.done(ldap.LDAPResultSuccess, "")
		},
	}
	for name, answer := range tests {
		t.Run(name, func(t *testing.T) {
			fake := newFake(t)
			fake.search = func(_ int, q *fakeSearch) bool { answer(q); return true }
			r, err := New(fake.options(false))
			require.NoError(t, err)
			_, err = r.Lookup(t.Context(), uuidOf(7))
			require.Error(t, err)
			require.NotErrorIs(t, err, source.ErrGone)
		})
	}
}

func TestLookupByGUID(t *testing.T) {
	deleted := adPerson(2)
	deleted.deleted = true
	deleted.attributes["isDeleted"] = []string{"TRUE"}
	fake := newFake(t, adPerson(1), deleted)
	r, err := New(fake.options(true))
	require.NoError(t, err)

	found, err := r.Lookup(t.Context(), "00000000-0000-0000-0000-000000000001")
	require.NoError(t, err)
	require.Equal(t, "p1@acme.example", found.Attributes["mail"])
	_, err = r.Lookup(t.Context(), "00000000-0000-0000-0000-000000000002")
	require.ErrorIs(t, err, source.ErrGone)
	require.ErrorContains(t, err, "it was deleted")
	_, err = r.Lookup(t.Context(), "00000000-0000-0000-0000-000000000003")
	require.ErrorIs(t, err, source.ErrGone)
	require.NotContains(t, err.Error(), "it was deleted")
	_, err = r.Lookup(t.Context(), "p1")
	require.ErrorIs(t, err, source.ErrInvalid)

	var calls atomic.Int64
	fake.search = func(_ int, q *fakeSearch) bool {
		if calls.Add(1) == 2 {
			_ = q.conn.Close()
			return true
		}
		return false
	}
	_, err = r.Lookup(t.Context(), "00000000-0000-0000-0000-000000000003")
	require.ErrorIs(t, err, source.ErrUnavailable, "a broken connection says nothing")
	require.NotErrorIs(t, err, source.ErrGone)
}
