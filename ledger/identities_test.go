package ledger_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
)

// look returns one identity of corp.
func look(t testing.TB, l *ledger.Ledger, n int) ledger.BoundIdentity {
	t.Helper()
	found, err := l.Identities(t.Context(), org, []ledger.Ref{{Source: corp, Key: key(n)}})
	require.NoError(t, err)
	require.Len(t, found, 1)
	return found[0]
}

func refs(numbers ...int) (all []ledger.Ref) {
	for _, n := range numbers {
		all = append(all, ledger.Ref{Source: corp, Key: key(n)})
	}
	return all
}

func TestSaveIdentities(t *testing.T) {
	t.Parallel()
	no := false
	for name, c := range map[string]struct {
		change  func(i *ledger.Identity)
		since   time.Time
		touched bool
	}{
		"the same":          {func(*ledger.Identity) {}, noon, false},
		"another address":   {func(i *ledger.Identity) { i.Address, i.Digest = "Ö@acme.example", "d2" }, noon, true},
		"other attributes":  {func(i *ledger.Identity) { i.Attributes, i.Digest = nil, "d2" }, noon, true},
		"disabled":          {func(i *ledger.Identity) { i.Enabled, i.Digest = &no, "d2" }, minutes(5), true},
		"not said":          {func(i *ledger.Identity) { i.Enabled, i.Digest = nil, "d2" }, minutes(5), true},
		"texts not in UTF8": {func(i *ledger.Identity) { i.Address, i.Digest = "a\x00b@acme.example", "d2" }, noon, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			both(t, func(t *testing.T, l *ledger.Ledger) {
				touched, err := l.SaveIdentities(t.Context(), org, corp, 0, identities(1), noon)
				require.NoError(t, err)
				require.Equal(t, ledger.Touched{Unbound: refs(1)}, touched)
				i := identity(1)
				c.change(&i)
				touched, err = l.SaveIdentities(t.Context(), org, corp, 0, []ledger.Identity{i, i}, minutes(5))
				require.NoError(t, err)
				require.Equal(t, c.touched, touched.Unbound != nil)
				i.Source, i.State, i.Since = corp, ledger.StatePresent, c.since
				if name == "texts not in UTF8" {
					i.Address = "ab@acme.example"
				}
				require.Equal(t, ledger.BoundIdentity{Identity: i}, look(t, l, 1))
				at, err := l.UnboundAt(t.Context(), org, []string{i.Address, "", "nobody@acme.example"})
				require.NoError(t, err)
				require.Equal(t, map[string][]ledger.Identity{access.FoldAddress(i.Address): {i}}, at)
			})
		})
	}
}

// TestTouchedIsKept: whom the Save functions told of, and a worker forgot, is told of again.
func TestTouchedIsKept(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		ctx := t.Context()
		after := int64(0)
		touched := func() ledger.Touched {
			t.Helper()
			all, last, err := l.Touched(ctx, org, corp, after)
			require.NoError(t, err)
			after = last
			return all
		}
		require.Equal(t, ledger.Touched{}, touched())
		dev := []ledger.SourceGroup{sourceGroup("dev", 1, 2)}
		read(t, l, org, shown{identities(1, 2, 3), dev}, "", noon)
		require.NoError(t, l.BindAccounts(ctx, org, []ledger.Binding{bound(1)}, noon))
		require.Equal(t, ledger.Touched{Accounts: []string{person(1).ID}, Unbound: refs(2, 3)}, touched())
		_, direct := read(t, l, org, shown{identities(1, 2, 3), dev}, "", minutes(1))
		require.Equal(t, ledger.Touched{}, direct)
		require.Equal(t, ledger.Touched{}, touched())

		_, direct = read(t, l, org, shown{identities(1, 2, 3), []ledger.SourceGroup{sourceGroup("dev", 2, 3, 77)}}, "",
			minutes(2))
		require.Equal(t, ledger.Touched{Unbound: refs(3)}, direct, "who is missing is still there; who is not in the replica concerns nobody")
		require.Equal(t, direct, touched())
		renamed := sourceGroup("dev", 2, 3, 77)
		renamed.Name, renamed.Digest = "devs", "renamed"
		_, direct = read(t, l, org, shown{identities(1, 2, 3), []ledger.SourceGroup{renamed}}, "", minutes(3))
		require.Equal(t, ledger.Touched{Accounts: []string{person(1).ID}, Unbound: refs(2, 3)}, direct)
		require.Equal(t, direct, touched())
		direct, err := l.ConcludeMissing(ctx, org, corp, minutes(2))
		require.NoError(t, err)
		require.Equal(t, ledger.Touched{Accounts: []string{person(1).ID}}, direct)
		require.Equal(t, direct, touched())
		require.Equal(t, ledger.Touched{}, touched())

		after = 1000
		require.Equal(t, ledger.Touched{Accounts: []string{person(1).ID}, Unbound: refs(2, 3)}, touched(),
			"a number of a replica that was removed")
	})
}

func TestTouchedListsNoMoreThanSome(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		var all []ledger.Identity
		for n := range ledger.MostTouched {
			all = append(all, identity(n))
		}
		touched, err := l.SaveIdentities(t.Context(), org, corp, 0, all, noon)
		require.NoError(t, err)
		require.Len(t, touched.Unbound, ledger.MostTouched)
		require.False(t, touched.More)
		more, err := l.SaveIdentities(t.Context(), org, corp, 0, identities(ledger.MostTouched), noon)
		require.NoError(t, err)
		touched.Add(more)
		require.Equal(t, ledger.Touched{More: true}, touched)
		touched, _, err = l.Touched(t.Context(), org, corp, 0)
		require.NoError(t, err)
		require.Equal(t, ledger.Touched{More: true}, touched)
	})
}

// TestIdentitiesOfMissingPeople follows somebody whom reads do not show any more.
func TestIdentitiesOfMissingPeople(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		ctx := t.Context()
		dev := []ledger.SourceGroup{sourceGroup("dev", 1, 2)}
		missing := func(before time.Time) (keys []string) {
			t.Helper()
			for after := ""; ; {
				found, err := l.MissingIdentities(ctx, org, corp, before, after, 1)
				require.NoError(t, err)
				if len(found) == 0 {
					return keys
				}
				after = found[0].Key
				keys = append(keys, after)
			}
		}
		set := func(n int, state string) ledger.Touched {
			t.Helper()
			touched, err := l.SetIdentityState(ctx, org, corp, key(n), state, minutes(30))
			require.NoError(t, err)
			return touched
		}
		read(t, l, org, shown{identities(1, 2, 3), dev}, "", noon)
		require.NoError(t, l.BindAccounts(ctx, org, []ledger.Binding{bound(1)}, noon))
		read(t, l, org, shown{identities(3), dev}, "", minutes(1))
		require.Equal(t, []any{ledger.StateMissing, minutes(1)}, []any{look(t, l, 1).State, look(t, l, 1).Since})
		require.Empty(t, missing(minutes(60)), "one read alone")
		require.Empty(t, set(1, ledger.StateGone), "nor does a look-up count with it")
		read(t, l, org, shown{identities(3), dev}, "", minutes(2))
		require.Empty(t, missing(minutes(1).Add(-1)), "not for long enough")
		require.Equal(t, []string{key(1), key(2)}, missing(minutes(1)))
		require.Equal(t, []string{key(1), key(2)}, membersOf(t, l, "dev"), "until somebody has looked")

		require.Equal(t, ledger.Touched{Accounts: []string{person(1).ID}}, set(1, ledger.StateGone))
		require.Empty(t, set(1, ledger.StateGone), "a repeat")
		require.Empty(t, set(3, ledger.StateGone), "the last read showed them")
		require.Empty(t, set(9, ledger.StateGone), "nobody")
		require.Equal(t, []string{key(2)}, missing(minutes(1)))
		require.Equal(t, []string{key(2)}, membersOf(t, l, "dev"))
		counts, err := l.SourceGroupsOf(ctx, org)
		require.NoError(t, err)
		require.Equal(t, 1, counts[0].Members)
		members, err := l.MembersOf(ctx, org, corp, "g-dev")
		require.NoError(t, err)
		require.Empty(t, members)
		require.Equal(t, []any{ledger.StateGone, minutes(30), person(1).ID},
			[]any{look(t, l, 1).State, look(t, l, 1).Since, look(t, l, 1).Account})
		require.Equal(t, ledger.Touched{Unbound: refs(2)}, set(2, ledger.StateOutOfScope))
		states, err := l.IdentityCounts(ctx, org)
		require.NoError(t, err)
		require.Equal(t, []ledger.IdentityCount{{Source: corp, State: "gone", Count: 1},
			{Source: corp, State: "outOfScope", Count: 1}, {Source: corp, State: "present", Count: 1}}, states)

		_, touched := read(t, l, org, shown{identities(1, 2, 3), dev}, "", minutes(31))
		require.Equal(t, ledger.Touched{Accounts: []string{person(1).ID}, Unbound: refs(2)}, touched)
		require.Equal(t, ledger.StatePresent, look(t, l, 1).State)
		require.Equal(t, []string{key(1), key(2)}, membersOf(t, l, "dev"), "the source still says so")

		read(t, l, org, shown{identities(2, 3), dev}, "", minutes(32))
		_, touched = read(t, l, org, shown{identities(1, 2, 3), dev}, "", minutes(33))
		require.Empty(t, touched, "who was missing for a while was there")
		read(t, l, org, shown{identities(2, 3), dev}, "", minutes(34))
		read(t, l, org, shown{identities(2, 3), dev}, "", minutes(35))
		require.Empty(t, set(1, ledger.StatePresent), "the look-up says so")
		require.Equal(t, ledger.StatePresent, look(t, l, 1).State)
		require.Empty(t, missing(minutes(60)))
		read(t, l, org, shown{identities(2, 3), dev}, "", minutes(36))
		require.Empty(t, missing(minutes(60)), "it counts from anew")
		_, err = l.SetIdentityState(ctx, org, corp, key(1), ledger.StateMissing, noon)
		require.ErrorContains(t, err, "no look-up says")
		sound(t, l)
	})
}

// TestSaveMissing: somebody whom reads do not show, and a look-up shows, stays missing and is known as shown. Nobody
// else is changed.
func TestSaveMissing(t *testing.T) {
	t.Parallel()
	no := false
	both(t, func(t *testing.T, l *ledger.Ledger) {
		read(t, l, org, shown{people: identities(1, 2)}, "", noon)
		read(t, l, org, shown{people: identities(1)}, "", minutes(1))
		save := func(n int, change func(i *ledger.Identity)) ledger.Touched {
			t.Helper()
			i := identity(n)
			change(&i)
			touched, err := l.SaveMissing(t.Context(), org, corp, i, minutes(5))
			require.NoError(t, err)
			return touched
		}
		disable := func(i *ledger.Identity) { i.Enabled, i.Digest = &no, "d2" }
		require.Empty(t, save(1, disable), "the read showed them")
		require.Equal(t, identity(1).Enabled, look(t, l, 1).Enabled)
		require.Empty(t, save(3, disable), "nobody")
		require.Empty(t, save(2, func(*ledger.Identity) {}), "nothing new")
		move := func(i *ledger.Identity) { i.Address, i.Digest = "ann@acme.example", "d3" }
		require.Equal(t, ledger.Touched{Unbound: refs(2)}, save(2, move))
		require.Equal(t, []any{"ann@acme.example", ledger.StateMissing, minutes(1)},
			[]any{look(t, l, 2).Address, look(t, l, 2).State, look(t, l, 2).Since})
		require.Equal(t, ledger.Touched{Unbound: refs(2)}, save(2, disable))
		require.Equal(t, []any{&no, ledger.StateMissing, minutes(5)},
			[]any{look(t, l, 2).Enabled, look(t, l, 2).State, look(t, l, 2).Since})
	})
}

func TestSetIdentityStateConcludesNothingOfASuspectSource(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		read(t, l, org, shown{people: identities(1, 2)}, "", noon)
		read(t, l, org, shown{people: identities(1)}, "", minutes(1))
		n, _ := read(t, l, org, shown{people: identities(1)}, "other credentials", minutes(2))
		for _, want := range []string{ledger.StateMissing, ledger.StateGone} {
			_, err := l.SetIdentityState(t.Context(), org, corp, key(2), ledger.StateGone, minutes(3))
			require.NoError(t, err)
			require.Equal(t, want, look(t, l, 2).State)
			require.NoError(t, l.AcceptSource(t.Context(), org, corp, n, "carol", "", minutes(3)))
		}
	})
}
