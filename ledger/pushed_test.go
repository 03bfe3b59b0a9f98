package ledger_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/castellan-io/castellan/ledger"
)

// everlasting are the limits of a source that pushes: what it says counts for ever.
var everlasting = ledger.PostLimits{People: 1000, Groups: 100}

// push changes what corp pushed to an organization.
func push(t tester, l *ledger.Ledger, org string, at time.Time, do func(ctx context.Context, p *ledger.Push) error) {
	t.Helper()
	require.NoError(t, l.Push(t.Context(), org, corp, everlasting, do, at))
}

func pushedUser(n int) ledger.Resource {
	return ledger.Resource{Kind: ledger.ResourceUser, ID: key(n), Name: fmt.Sprint("user", n), External: fmt.Sprint("x", n),
		Body: json.RawMessage(`{}`)}
}

func pushedGroup(name string) ledger.Resource {
	return ledger.Resource{Kind: ledger.ResourceGroup, ID: "g-" + name, Name: name, Body: json.RawMessage(`{}`)}
}

func saveUsers(t tester, l *ledger.Ledger, org string, at time.Time, numbers ...int) {
	t.Helper()
	push(t, l, org, at, func(ctx context.Context, p *ledger.Push) error {
		for _, n := range numbers {
			if err := p.SaveUser(ctx, pushedUser(n), identity(n)); err != nil {
				return err
			}
		}
		return nil
	})
}

func saveGroup(t tester, l *ledger.Ledger, org, name string, at time.Time, members ...int) {
	t.Helper()
	push(t, l, org, at, func(ctx context.Context, p *ledger.Push) error {
		return p.SaveGroup(ctx, pushedGroup(name), name, keys(members...))
	})
}

func deleteUser(t tester, l *ledger.Ledger, org string, at time.Time, n int) {
	t.Helper()
	push(t, l, org, at, func(ctx context.Context, p *ledger.Push) error { return p.DeleteUser(ctx, key(n)) })
}

// TestPush: what is pushed states everybody whom it concerns, in the order in which it comes, whatever the clocks say.
func TestPush(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		saveUsers(t, l, org, minutes(10), 1, 2)
		saveGroup(t, l, org, "dev", minutes(10), 1, 2)
		require.Equal(t, []string{"corp:dev"}, groupsOf(look(t, l, 1)))
		_, last := touchedSince(t, l, 0)
		saveGroup(t, l, org, "dev", minutes(5), 2) // by a worker whose clock is late
		require.Empty(t, look(t, l, 1).Groups)
		who, last := touchedSince(t, l, last)
		require.Equal(t, refs(1), who, "nothing changes for others")
		push(t, l, org, minutes(11), func(ctx context.Context, p *ledger.Push) error {
			return p.SaveGroup(ctx, pushedGroup("dev"), "ops", keys(2))
		})
		require.Equal(t, []string{"corp:ops"}, groupsOf(look(t, l, 2)), "it was renamed")
		who, _ = touchedSince(t, l, last)
		require.Equal(t, refs(2), who)

		page, total, err := l.Resources(t.Context(), org, corp,
			ledger.ResourceQuery{Kind: ledger.ResourceUser, Skip: 1, Limit: 1})
		require.NoError(t, err)
		require.Equal(t, 2, total)
		require.Equal(t, key(2), page[0].ID)
		for _, q := range []ledger.ResourceQuery{{Name: "user1"}, {External: "x1"}, {ID: key(1), Name: "user1"}} {
			q.Kind, q.Limit = ledger.ResourceUser, 10
			page, _, err := l.Resources(t.Context(), org, corp, q)
			require.NoError(t, err)
			require.Len(t, page, 1)
			require.Equal(t, minutes(10), page[0].Created)
		}
		deleteUser(t, l, org, minutes(12), 2)
		require.Equal(t, ledger.StateGone, look(t, l, 2).State)
		require.Equal(t, minutes(12), look(t, l, 2).Stated)
		members, err := l.MembersPushed(t.Context(), org, corp, "g-dev")
		require.NoError(t, err)
		require.Empty(t, members)
		sound(t, l)
	})
}

// TestPushedGroupIsDeleted: a group that the source deletes is none of its groups any more, and its name is free.
func TestPushedGroupIsDeleted(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		has := func(want ...string) {
			t.Helper()
			groups, err := l.SourceGroupsOf(t.Context(), org)
			require.NoError(t, err)
			var is []string
			for _, g := range groups {
				is = append(is, g.Key)
			}
			require.Equal(t, want, is)
			s, err := l.Source(t.Context(), org, corp)
			require.NoError(t, err)
			require.Equal(t, len(want), s.Groups)
		}
		saveUsers(t, l, org, noon, 1)
		saveGroup(t, l, org, "dev", noon, 1)
		saveGroup(t, l, org, "empty", noon)
		has("g-dev", "g-empty")
		for _, name := range []string{"dev", "empty"} {
			push(t, l, org, minutes(1), func(ctx context.Context, p *ledger.Push) error {
				return p.DeleteGroup(ctx, "g-"+name)
			})
		}
		has()
		require.Empty(t, look(t, l, 1).Groups)
		push(t, l, org, minutes(2), func(ctx context.Context, p *ledger.Push) error {
			r := pushedGroup("dev")
			r.ID = "g-other"
			return p.SaveGroup(ctx, r, "dev", keys(1))
		})
		has("g-other")
		require.Equal(t, []string{"corp:dev"}, groupsOf(look(t, l, 1)))
		sound(t, l)
	})
}

func TestPushRefuses(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		saveUsers(t, l, org, noon, 1)
		try := func(do func(ctx context.Context, p *ledger.Push) error) error {
			return l.Push(t.Context(), org, corp, everlasting, do, minutes(1))
		}
		require.ErrorIs(t, try(func(ctx context.Context, p *ledger.Push) error {
			r := pushedUser(2)
			r.Name = "user1"
			return p.SaveUser(ctx, r, identity(2))
		}), ledger.ErrTaken)
		require.ErrorIs(t, try(func(ctx context.Context, p *ledger.Push) error {
			return p.SaveGroup(ctx, pushedGroup("dev"), "dev", keys(1, 2))
		}), ledger.ErrNotFound, "a member whom nobody pushed")
		require.Empty(t, look(t, l, 1).Groups, "nothing is half done")
		require.ErrorIs(t, try(func(ctx context.Context, p *ledger.Push) error { return p.DeleteUser(ctx, key(2)) }),
			ledger.ErrNotFound)
		_, err := l.Exec(t.Context(), `UPDATE pushed SET body = '{"forged": true}'`)
		require.NoError(t, err)
		require.ErrorIs(t, try(func(ctx context.Context, p *ledger.Push) error {
			return p.SaveUser(ctx, pushedUser(1), identity(1))
		}), ledger.ErrUnexplained)
	})
}

// TestPushesStateWhatWasPushed: after any changes of users and groups, each person is in exactly the groups that have
// them as a member.
func TestPushesStateWhatWasPushed(t *testing.T) {
	t.Parallel()
	l := onSQLite.get(t)
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		org := fmt.Sprintf("org-%d", run)
		saveUsers(t, l, org, noon, 1, 2, 3)
		there := map[int]bool{1: true, 2: true, 3: true}
		in := map[string][]int{}
		for range rapid.IntRange(1, 10).Draw(t, "changes") {
			name := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "group")
			at := minutes(rapid.IntRange(0, 9).Draw(t, "clock"))
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				n := rapid.IntRange(1, 3).Draw(t, "user")
				saveUsers(t, l, org, at, n)
				there[n] = true
			case 1:
				n := rapid.IntRange(1, 3).Draw(t, "leaver")
				if there[n] {
					deleteUser(t, l, org, at, n)
				}
				delete(there, n)
				for group := range in {
					in[group] = slices.DeleteFunc(in[group], func(m int) bool { return m == n })
				}
			default:
				all := slices.Sorted(maps.Keys(there))
				in[name] = nil
				if len(all) > 0 {
					in[name] = rapid.SliceOfDistinct(rapid.SampledFrom(all), rapid.ID).Draw(t, "members")
				}
				saveGroup(t, l, org, name, at, in[name]...)
			}
		}
		for n := 1; n <= 3; n++ {
			found, err := l.Identities(t.Context(), org, refs(n))
			require.NoError(t, err)
			var want []string
			for _, group := range slices.Sorted(maps.Keys(in)) {
				if slices.Contains(in[group], n) {
					want = append(want, "corp:"+group)
				}
			}
			require.Equal(t, want, groupsOf(found[0]))
			require.NotZero(t, found[0].Stated)
			require.Equal(t, there[n], found[0].State == ledger.StatePresent)
		}
	})
}
