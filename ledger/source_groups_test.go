package ledger_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/ledger"
)

func TestSaveSourceGroups(t *testing.T) {
	t.Parallel()
	everybody := identities(1, 2, 3, 4)
	for name, c := range map[string]struct {
		then    ledger.SourceGroup
		now     []string // members right afterwards
		later   []string // once what is missing was concluded
		touched []ledger.Ref
	}{
		"the same":   {sourceGroup("dev", 1, 2, 3), keys(1, 2, 3), keys(1, 2, 3), nil},
		"one more":   {sourceGroup("dev", 1, 2, 3, 4), keys(1, 2, 3, 4), keys(1, 2, 3, 4), refs(4)},
		"one less":   {sourceGroup("dev", 1, 3), keys(1, 2, 3), keys(1, 3), nil},
		"others":     {sourceGroup("dev", 4), keys(1, 2, 3, 4), keys(4), refs(4)},
		"nobody":     {sourceGroup("dev"), keys(1, 2, 3), nil, nil},
		"told twice": {sourceGroup("dev", 1, 4, 4, 2, 3, 1), keys(1, 2, 3, 4), keys(1, 2, 3, 4), refs(4)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			both(t, func(t *testing.T, l *ledger.Ledger) {
				ops := sourceGroup("ops", 1)
				read(t, l, org, shown{everybody, []ledger.SourceGroup{sourceGroup("dev", 1, 2, 3), ops}}, "", noon)
				after := shown{everybody, []ledger.SourceGroup{c.then, ops}}
				_, touched := read(t, l, org, after, "", minutes(1))
				require.Equal(t, c.touched, touched.Unbound)
				conclude := func(minute int) {
					_, err := l.ConcludeMissing(t.Context(), org, corp, minutes(minute))
					require.NoError(t, err)
				}
				conclude(60)
				require.Equal(t, c.now, membersOf(t, l, "dev"), "one read alone")
				read(t, l, org, after, "", minutes(2))
				conclude(0)
				require.Equal(t, c.now, membersOf(t, l, "dev"), "not for long enough")
				conclude(1)
				require.Equal(t, c.later, membersOf(t, l, "dev"))
				require.Equal(t, keys(1), membersOf(t, l, "ops"))
				counts, err := l.SourceGroupsOf(t.Context(), org)
				require.NoError(t, err)
				count := func(g ledger.SourceGroup, members int) ledger.SourceGroupCount {
					return ledger.SourceGroupCount{SourceGroupRef: ledger.SourceGroupRef{Source: corp, Key: g.Key,
						Name: g.Name}, Members: members, Digest: g.Digest}
				}
				require.Equal(t, []ledger.SourceGroupCount{count(c.then, len(c.later)), count(ops, 1)}, counts)
				sound(t, l)
			})
		})
	}
}

// TestConcludeMissingCountsFromTheFirst: a mark stays with the first read that did not show somebody, and goes with any
// read that does, even one that breaks later.
func TestConcludeMissingCountsFromTheFirst(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		ctx := t.Context()
		pair, one := shown{identities(1, 2), []ledger.SourceGroup{sourceGroup("dev", 1, 2)}},
			shown{identities(1, 2), []ledger.SourceGroup{sourceGroup("dev", 1)}}
		conclude := func(minute int) []string {
			t.Helper()
			_, err := l.ConcludeMissing(ctx, org, corp, minutes(minute))
			require.NoError(t, err)
			return membersOf(t, l, "dev")
		}
		broken := func(s shown, minute int) {
			n, err := l.BeginSourceRead(ctx, org, corp, minutes(minute))
			require.NoError(t, err)
			_, err = l.SaveSourceGroups(ctx, org, corp, n, s.groups, minutes(minute))
			require.NoError(t, err)
		}
		all := keys(1, 2)
		read(t, l, org, pair, "", minutes(-9))
		broken(one, -8)
		read(t, l, org, one, "", minutes(-7))
		read(t, l, org, one, "", minutes(-6))
		require.Equal(t, all[:1], conclude(-7), "what a broken read has shown already is saved again")
		read(t, l, org, pair, "", noon)
		broken(one, 1)
		require.Equal(t, all, conclude(60))
		read(t, l, org, one, "", minutes(2))
		require.Equal(t, all, conclude(60), "only one read was complete")
		broken(pair, 3)
		read(t, l, org, one, "", minutes(4))
		require.Equal(t, all, conclude(60), "the one that broke has shown them")
		read(t, l, org, one, "", minutes(5))
		read(t, l, org, one, "", minutes(6))
		require.Equal(t, all, conclude(3))
		require.Equal(t, all[:1], conclude(4))
		read(t, l, org, pair, "", minutes(7))
		require.Equal(t, all, conclude(60))
	})
}

func TestConcludeMissingGroups(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		ctx := t.Context()
		dev, ops := sourceGroup("dev", 1, 2), sourceGroup("ops", 1, 3)
		with := shown{identities(1, 2, 3), []ledger.SourceGroup{dev, ops}}
		without := shown{identities(1, 2, 3), []ledger.SourceGroup{ops}}
		read(t, l, org, with, "", noon)
		require.NoError(t, l.BindAccounts(ctx, org, []ledger.Binding{bound(1)}, noon))
		read(t, l, org, without, "", minutes(1))
		read(t, l, org, with, "", minutes(2))
		read(t, l, org, without, "", minutes(3))
		touched, err := l.ConcludeMissing(ctx, org, corp, minutes(60))
		require.NoError(t, err)
		require.Equal(t, ledger.Touched{}, touched)
		require.Equal(t, keys(1, 2), membersOf(t, l, "dev"))
		read(t, l, org, without, "suspect", minutes(4))
		touched, err = l.ConcludeMissing(ctx, org, corp, minutes(60))
		require.NoError(t, err)
		require.Equal(t, ledger.Touched{}, touched, "nothing is concluded of a suspect source")
		read(t, l, org, without, "", minutes(5))
		touched, err = l.ConcludeMissing(ctx, org, corp, minutes(3))
		require.NoError(t, err)
		require.Equal(t, ledger.Touched{Accounts: []string{person(1).ID}, Unbound: refs(2)}, touched)
		require.Empty(t, membersOf(t, l, "dev"))
		require.Equal(t, keys(1, 3), membersOf(t, l, "ops"))
		counts, err := l.SourceGroupsOf(ctx, org)
		require.NoError(t, err)
		require.Len(t, counts, 1)
		require.Equal(t, []any{"ops", 2}, []any{counts[0].Name, counts[0].Members})
		_, touched = read(t, l, org, with, "", minutes(6))
		require.Equal(t, ledger.Touched{Accounts: []string{person(1).ID}, Unbound: refs(2)}, touched)
		require.Equal(t, keys(1, 2), membersOf(t, l, "dev"))
	})
}

// TestSaveSourceGroupsOfManyMembers: a page of a group takes as many statements as there are changes.
func TestSaveSourceGroupsOfManyMembers(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		all := ledger.SourceGroup{Key: "all", Name: "all", Digest: "1"}
		for n := range 2500 {
			all.Members = append(all.Members, fmt.Sprintf("m-%05d", n))
		}
		read(t, l, org, shown{groups: []ledger.SourceGroup{all}}, "", noon)
		half := all
		half.Members, half.Digest = append([]string{"m-new"}, all.Members[:1250]...), "2"
		read(t, l, org, shown{groups: []ledger.SourceGroup{half}}, "", minutes(1))
		read(t, l, org, shown{groups: []ledger.SourceGroup{half}}, "", minutes(2))
		members := func() int {
			counts, err := l.SourceGroupsOf(t.Context(), org)
			require.NoError(t, err)
			return counts[0].Members
		}
		require.Equal(t, 2501, members())
		_, err := l.ConcludeMissing(t.Context(), org, corp, minutes(1))
		require.NoError(t, err)
		require.Equal(t, 1251, members())
	})
}
