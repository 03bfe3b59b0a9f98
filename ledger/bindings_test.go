package ledger_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
)

// bound is the binding of identity(n) to person(n).
func bound(n int) ledger.Binding {
	return ledger.Binding{Source: corp, Key: key(n), Account: person(n).ID, Address: person(n).Email, By: "carol"}
}

// to is the binding, but to another's account.
func to(b ledger.Binding, n int) ledger.Binding {
	b.Account = person(n).ID
	return b
}

func record(b ledger.Binding, id string) ledger.Binding {
	b.Record, b.Address = id, ""
	return b
}

func TestBindAccounts(t *testing.T) {
	t.Parallel()
	elsewhere := bound(1)
	elsewhere.Source = "hr"
	nobody := bound(9)
	for name, c := range map[string]struct {
		bindings []ledger.Binding
		others   []ledger.Ref // what stands against them
		err      error
	}{
		"fresh":                       {bindings: []ledger.Binding{bound(3), bound(4)}},
		"so already":                  {bindings: []ledger.Binding{bound(1), bound(3)}},
		"one account, two sources":    {bindings: []ledger.Binding{elsewhere}},
		"bound to another account":    {[]ledger.Binding{bound(3), to(bound(1), 5)}, refs(1), ledger.ErrBound},
		"the account is another's":    {[]ledger.Binding{to(bound(3), 1)}, refs(1), ledger.ErrBound},
		"two of them to one account":  {[]ledger.Binding{bound(3), to(bound(4), 3)}, refs(3), ledger.ErrBound},
		"one of them to two accounts": {[]ledger.Binding{bound(3), to(bound(3), 4)}, refs(3), ledger.ErrBound},
		"several": {[]ledger.Binding{to(bound(3), 1), bound(4), to(bound(2), 6)}, refs(1, 2),
			ledger.ErrBound},
		"nobody": {[]ledger.Binding{bound(3), nobody}, nil, ledger.ErrNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			both(t, func(t *testing.T, l *ledger.Ledger) {
				ctx := t.Context()
				read(t, l, org, shown{people: identities(1, 2, 3, 4)}, "", noon)
				_, err := l.SaveIdentities(ctx, org, "hr", 0, identities(1), noon)
				require.NoError(t, err)
				require.NoError(t, l.BindAccounts(ctx, org, []ledger.Binding{bound(1), bound(2)}, noon))
				before, _, err := l.Head(ctx, org)
				require.NoError(t, err)
				err = l.BindAccounts(ctx, org, c.bindings, minutes(1))
				if c.err != nil {
					require.ErrorIs(t, err, c.err)
					var conflict *ledger.BoundError
					if len(c.others) > 0 {
						require.ErrorAs(t, err, &conflict)
						var others []ledger.Ref
						for _, o := range conflict.Conflicts {
							others = append(others, o.Other.Ref())
							require.False(t, o.Other.Unexplained)
							require.NotEmpty(t, o.Other.Account)
						}
						require.Equal(t, c.others, others)
					}
					require.Empty(t, entries(t, l, before), "all or none")
					return
				}
				require.NoError(t, err)
				for _, b := range c.bindings {
					of, err := l.IdentitiesOf(ctx, org, []string{b.Account})
					require.NoError(t, err)
					var found []ledger.Ref
					for _, i := range of[b.Account] {
						require.Equal(t, b.Account, i.Account)
						found = append(found, i.Ref())
					}
					require.Contains(t, found, b.Ref())
					at, err := l.UnboundAt(ctx, org, []string{b.Address})
					require.NoError(t, err)
					for _, i := range at[access.FoldAddress(b.Address)] {
						require.NotEqual(t, b.Ref(), i.Ref())
					}
				}
				after, _, err := l.Head(ctx, org)
				require.NoError(t, err)
				require.NoError(t, l.BindAccounts(ctx, org, c.bindings, minutes(2)), "a repeat")
				again, _, err := l.Head(ctx, org)
				require.NoError(t, err)
				require.Equal(t, after, again)
				sound(t, l)
			})
		})
	}
}

func TestBindAccountsPutsNoAddressIntoTheChain(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		i := identity(1)
		i.Key = i.Address // as a file's may be
		_, err := l.SaveIdentities(t.Context(), org, corp, 0, []ledger.Identity{i}, noon)
		require.NoError(t, err)
		b := bound(1)
		b.Key = i.Address
		require.NoError(t, l.BindAccounts(t.Context(), org, []ledger.Binding{b}, noon))
		all, err := l.Entries(t.Context(), org, 0, 0)
		require.NoError(t, err)
		require.Len(t, all, 2)
		for _, e := range all {
			require.NotContains(t, string(e.Body), "@")
		}
		require.Equal(t, []string{ledger.EntryIdentityBound, person(1).ID}, []string{all[0].Kind, all[0].Person})
		sound(t, l)
		of, err := l.IdentitiesOf(t.Context(), org, []string{person(1).ID})
		require.NoError(t, err)
		require.False(t, of[person(1).ID][0].Unexplained)
	})
}

func TestRebind(t *testing.T) {
	t.Parallel()
	free := to(bound(1), 1)
	free.Account = ""
	for name, c := range map[string]struct {
		binding ledger.Binding
		ended   []ledger.Ref
		then    map[int][]ledger.Ref // whose the accounts of people are
	}{
		"to a free account":    {to(bound(1), 5), refs(1), map[int][]ledger.Ref{1: nil, 2: refs(2), 5: refs(1)}},
		"to another's":         {to(bound(1), 2), refs(2, 1), map[int][]ledger.Ref{1: nil, 2: refs(1)}},
		"by a new key":         {to(bound(3), 1), refs(1), map[int][]ledger.Ref{1: refs(3), 2: refs(2)}},
		"to nothing":           {free, refs(1), map[int][]ledger.Ref{1: nil, 2: refs(2)}},
		"as it is":             {bound(1), nil, map[int][]ledger.Ref{1: refs(1), 2: refs(2)}},
		"what was never bound": {bound(3), nil, map[int][]ledger.Ref{2: refs(2), 3: refs(3)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			both(t, func(t *testing.T, l *ledger.Ledger) {
				ctx := t.Context()
				read(t, l, org, shown{people: identities(1, 2, 3)}, "", noon)
				require.NoError(t, l.BindAccounts(ctx, org, []ledger.Binding{bound(1), bound(2)}, noon))
				ended, err := l.Rebind(ctx, org, c.binding, minutes(1))
				require.NoError(t, err)
				var were []ledger.Ref
				for _, b := range ended {
					were = append(were, b.Ref())
				}
				require.Equal(t, c.ended, were)
				for n, want := range c.then {
					account := person(n).ID
					of, err := l.IdentitiesOf(ctx, org, []string{account})
					require.NoError(t, err)
					var is []ledger.Ref
					for _, i := range of[account] {
						is = append(is, i.Ref())
					}
					require.Equal(t, want, is, account)
				}
				head, _, err := l.Head(ctx, org)
				require.NoError(t, err)
				ended, err = l.Rebind(ctx, org, c.binding, minutes(2))
				require.NoError(t, err)
				require.Empty(t, ended)
				again, _, err := l.Head(ctx, org)
				require.NoError(t, err)
				require.Equal(t, head, again, "a repeat")
				sound(t, l)
			})
		})
	}
	both(t, func(t *testing.T, l *ledger.Ledger) {
		_, err := l.Rebind(t.Context(), org, bound(1), noon)
		require.ErrorIs(t, err, ledger.ErrNotFound)
	})
}

func TestBindRecords(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		ctx := t.Context()
		read(t, l, org, shown{people: identities(1, 2)}, "", noon)
		_, err := l.SaveIdentities(ctx, org, "hr", 0, identities(1), noon)
		require.NoError(t, err)
		unlinked := record(to(bound(1), 1), "r1")
		unlinked.Account = ""
		hr := record(bound(1), "r1")
		hr.Source = "hr"
		bind := func(bindings ...ledger.Binding) error { return l.BindRecords(ctx, org, "staff", bindings, noon) }
		require.NoError(t, bind(unlinked, hr), "one record, two sources")
		require.NoError(t, l.BindRecords(ctx, org, "guests", []ledger.Binding{record(bound(1), "r9")}, noon))
		linked := record(bound(1), "r1")
		require.NoError(t, l.BindRecords(ctx, org, "staff", []ledger.Binding{linked}, minutes(1)))
		found, err := l.Bindings(ctx, org, "staff", refs(1, 2))
		require.NoError(t, err)
		linked.Provision, linked.Since = "staff", minutes(1)
		require.Equal(t, map[ledger.Ref]ledger.Binding{linked.Ref(): linked}, found)
		require.ErrorIs(t, bind(record(bound(2), "r1")), ledger.ErrBound)
		require.ErrorIs(t, bind(record(bound(1), "r2")), ledger.ErrBound)
		require.ErrorContains(t, l.BindRecords(ctx, org, "", []ledger.Binding{record(bound(2), "r2")}, noon), "name it")
		require.ErrorContains(t, bind(bound(2)), "must have a name")
		other := record(bound(1), "r2")
		other.Provision = "staff"
		ended, err := l.Rebind(ctx, org, other, minutes(2))
		require.NoError(t, err)
		require.Len(t, ended, 1)
		require.Equal(t, "r1", ended[0].Record)
		sound(t, l)
		require.Empty(t, look(t, l, 1).Account, "a record is no account")
	})
}

// TestBindingsChangedPastTheLedger: nobody is who a forged row says, and what says so automatically does not write over
// it; a person's decision does.
func TestBindingsChangedPastTheLedger(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ forge, why string }{
		"another account": {`UPDATE bindings SET bound = 'evil', account = 'evil' WHERE key = 'k-00001'`, "it is not as entry"},
		"forgotten":       {`DELETE FROM bindings WHERE key = 'k-00001'`, "it is not there"},
		"made up": {`INSERT INTO bindings (org, provision, source, key, bound, account, address, since, by_whom, entry)
			SELECT org, provision, source, 'k-00002', 'id-00002', 'id-00002', address, since, by_whom, entry FROM bindings`,
			"does not speak of it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			both(t, func(t *testing.T, l *ledger.Ledger) {
				ctx := t.Context()
				read(t, l, org, shown{identities(1, 2), []ledger.SourceGroup{sourceGroup("dev", 1, 2)}}, "", noon)
				require.NoError(t, l.BindAccounts(ctx, org, []ledger.Binding{bound(1)}, noon))
				n, err := l.Exec(ctx, c.forge)
				require.NoError(t, err)
				require.Equal(t, 1, n)
				require.Contains(t, unexplained(t, l)[0], c.why)
				b, forged := bound(1), 1
				if name == "made up" {
					b, forged = bound(2), 2
				}
				i := look(t, l, forged)
				require.True(t, i.Unexplained)
				require.Empty(t, i.Account)
				of, err := l.IdentitiesOf(ctx, org, []string{"evil", "id-00002"})
				require.NoError(t, err)
				for _, all := range of {
					require.True(t, all[0].Unexplained)
					require.Empty(t, all[0].Account)
				}
				members, err := l.MembersOf(ctx, org, corp, "g-dev")
				require.NoError(t, err)
				require.NotContains(t, members, "evil")
				require.NotContains(t, members, "id-00002")
				at, err := l.UnboundAt(ctx, org, []string{b.Address})
				require.NoError(t, err)
				require.Empty(t, at)
				err = l.BindAccounts(ctx, org, []ledger.Binding{b}, minutes(1))
				require.ErrorIs(t, err, ledger.ErrBound)
				require.ErrorContains(t, err, "the chain does not explain")

				_, err = l.Rebind(ctx, org, b, minutes(2))
				require.NoError(t, err)
				sound(t, l)
				require.Equal(t, b.Account, look(t, l, forged).Account)
			})
		})
	}
}

func TestAnOlderBindingPutBackIsNotActedOn(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		read(t, l, org, shown{people: identities(1)}, "", noon)
		require.NoError(t, l.BindAccounts(t.Context(), org, []ledger.Binding{bound(1)}, noon))
		putBack(t, l, "bindings", "key = 'k-00001'", func() {
			_, err := l.Rebind(t.Context(), org, to(bound(1), 2), minutes(1))
			require.NoError(t, err)
		})
		require.True(t, look(t, l, 1).Unexplained)
		require.Contains(t, unexplained(t, l)[0], "it is as an older entry said")
	})
}
