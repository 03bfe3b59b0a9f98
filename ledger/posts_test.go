package ledger_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/castellan-io/castellan/ledger"
)

var roomy = ledger.PostLimits{People: 1000, Groups: 100, Valid: 24 * time.Hour}

// post is what corp says of somebody at a time: the person of identity(n), and these groups.
func post(n int, at time.Time, groups ...string) ledger.Post {
	p := ledger.Post{Identity: identity(n), At: at}
	for _, g := range groups {
		p.Groups = append(p.Groups, ledger.SourceGroupRef{Source: corp, Key: g, Name: corp + ":" + g})
	}
	return p
}

func accept(t tester, l *ledger.Ledger, at time.Time, posts ...ledger.Post) []ledger.PostOutcome {
	t.Helper()
	outcomes, err := l.AcceptPosts(t.Context(), org, corp, roomy, posts, at)
	require.NoError(t, err)
	return outcomes
}

func groupsOf(i ledger.BoundIdentity) (names []string) {
	for _, g := range i.Groups {
		names = append(names, g.Name)
	}
	return names
}

// touchedSince returns whom changes after one concern, and the number of the last.
func touchedSince(t *testing.T, l *ledger.Ledger, after int64) (unbound []ledger.Ref, last int64) {
	t.Helper()
	touched, last, err := l.Touched(t.Context(), org, corp, after)
	require.NoError(t, err)
	return touched.Unbound, last
}

// TestAcceptPostsWhoseIDCameBefore: an id that comes with something else is another message.
func TestAcceptPostsWhoseIDCameBefore(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		first, later, older := post(1, minutes(1), "dev"), post(1, minutes(2), "ops"), post(1, noon, "dev", "ops")
		first.Message, later.Message, older.Message = "hook", "hook", "hook"
		require.Equal(t, []ledger.PostOutcome{ledger.PostApplied, ledger.PostKnown, ledger.PostStale,
			ledger.PostApplied, ledger.PostStale}, accept(t, l, minutes(3), first, first, older, later, first))
		require.Equal(t, []string{"corp:ops"}, groupsOf(look(t, l, 1)))
	})
}

func TestAcceptPosts(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		require.Equal(t, []ledger.PostOutcome{ledger.PostApplied, ledger.PostApplied},
			accept(t, l, noon, post(1, noon, "dev", "ops"), post(2, noon, "dev")))
		found := look(t, l, 1)
		require.Equal(t, []string{"corp:dev", "corp:ops"}, groupsOf(found))
		require.Equal(t, noon, found.Stated)
		who, last := touchedSince(t, l, 0)
		require.Equal(t, refs(1, 2), who)

		require.Equal(t, []ledger.PostOutcome{ledger.PostKnown}, accept(t, l, minutes(1), post(1, noon, "ops", "dev")))
		require.Equal(t, []ledger.PostOutcome{ledger.PostStale}, accept(t, l, minutes(1), post(1, noon)))
		require.Equal(t, []ledger.PostOutcome{ledger.PostStale}, accept(t, l, minutes(1), post(1, minutes(-1), "root")))
		require.Equal(t, found, look(t, l, 1), "what is not newer changes nothing")
		require.Equal(t, []ledger.PostOutcome{ledger.PostApplied}, accept(t, l, minutes(2), post(1, minutes(2), "dev", "ops")))
		who, last = touchedSince(t, l, last)
		require.Empty(t, who, "the same at a later time concerns nobody")
		require.Equal(t, minutes(2), look(t, l, 1).Stated)

		accept(t, l, minutes(3), post(1, minutes(3)))
		require.Empty(t, look(t, l, 1).Groups)
		who, _ = touchedSince(t, l, last)
		require.Equal(t, refs(1), who)
		require.Equal(t, []string{"corp:dev"}, groupsOf(look(t, l, 2)), "of others it says nothing")
		groups, err := l.SourceGroupsOf(t.Context(), org)
		require.NoError(t, err)
		require.Len(t, groups, 2)
		require.Equal(t, "corp:ops", groups[1].Name)
		require.Zero(t, groups[1].Members, "a group whose last member left is there still")
		s, err := l.Source(t.Context(), org, corp)
		require.NoError(t, err)
		require.Equal(t, []int{2, 2, 1}, []int{s.People, s.Groups, s.Memberships})
		require.Equal(t, minutes(3), s.Posted)
		sound(t, l)
	})
}

// TestAcceptPostsAfterSilence: the same statement concerns its person again once the former one had ceased to count.
func TestAcceptPostsAfterSilence(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		accept(t, l, noon, post(1, noon, "dev"))
		_, last := touchedSince(t, l, 0)
		later := noon.Add(roomy.Valid)
		accept(t, l, later, post(1, later, "dev"))
		who, _ := touchedSince(t, l, last)
		require.Equal(t, refs(1), who)
	})
}

func TestAcceptPostsWithinLimits(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		limits := ledger.PostLimits{People: 2, Groups: 2, Valid: time.Hour}
		try := func(posts ...ledger.Post) error {
			_, err := l.AcceptPosts(t.Context(), org, corp, limits, posts, noon)
			return err
		}
		require.NoError(t, try(post(1, noon, "a"), post(2, noon, "b")))
		require.ErrorIs(t, try(post(3, noon)), ledger.ErrFull)
		require.ErrorIs(t, try(post(1, minutes(1), "a", "c")), ledger.ErrFull)
		require.NoError(t, try(post(1, minutes(1), "a", "b")))
		require.Equal(t, []string{"corp:a", "corp:b"}, groupsOf(look(t, l, 1)))
		sound(t, l)
	})
}

// TestPostsAreInTheChain: whatever somebody writes past the ledger about a person, nothing is stated of them any more,
// until the source says it anew.
func TestPostsAreInTheChain(t *testing.T) {
	t.Parallel()
	for name, forge := range map[string]string{
		"another group":    `INSERT INTO source_members (org, source, group_key, member) VALUES ('acme', 'corp', 'ops', 'k-00001')`,
		"a renamed group":  `UPDATE source_groups SET name = 'corp:root' WHERE key = 'dev'`,
		"enabled again":    `UPDATE identities SET enabled = 0 WHERE key = 'k-00001'`,
		"another address":  `UPDATE identities SET address = 'eve@acme.example' WHERE key = 'k-00001'`,
		"another time":     `UPDATE posted SET at = at + 1 WHERE key = 'k-00001'`,
		"another digest":   `UPDATE posted SET digest = 'x' WHERE key = 'k-00001'`,
		"nothing about it": `DELETE FROM posted WHERE key = 'k-00001'`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			both(t, func(t *testing.T, l *ledger.Ledger) {
				accept(t, l, noon, post(1, noon, "dev"), post(2, noon, "ops"))
				n, err := l.UnexplainedPosts(t.Context(), org, corp)
				require.NoError(t, err)
				require.Zero(t, n)
				changed, err := l.Exec(t.Context(), forge)
				require.NoError(t, err)
				require.Equal(t, 1, changed)
				require.Zero(t, look(t, l, 1).Stated)
				n, err = l.UnexplainedPosts(t.Context(), org, corp)
				require.NoError(t, err)
				require.Equal(t, 1, n)
				outcomes := accept(t, l, minutes(1), post(1, minutes(1), "dev"))
				require.Equal(t, []ledger.PostOutcome{ledger.PostApplied}, outcomes)
				require.Equal(t, minutes(1), look(t, l, 1).Stated)
				require.Equal(t, []string{"corp:dev"}, groupsOf(look(t, l, 1)))
			})
		})
	}
}

// TestPruneSourcesForgetsPosts: a source that is taken up again begins with nothing.
func TestPruneSourcesForgetsPosts(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		accept(t, l, noon, post(1, noon, "dev"))
		for left := 1; left > 0; {
			var err error
			left, err = l.PruneSources(t.Context(), org, []string{"other"}, 0)
			require.NoError(t, err)
		}
		sound(t, l)
		require.Equal(t, []ledger.PostOutcome{ledger.PostApplied}, accept(t, l, noon, post(1, noon, "dev")))
		sound(t, l)
	})
}

func TestRefusePosts(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		require.NoError(t, l.RefusePosts(t.Context(), org, corp, 2, "too-large", noon))
		require.NoError(t, l.RefusePosts(t.Context(), org, corp, 1, "timestamp", minutes(1)))
		s, err := l.Source(t.Context(), org, corp)
		require.NoError(t, err)
		require.Equal(t, 3, s.Refused)
		require.Equal(t, "timestamp", s.RefusedCode)
		require.Equal(t, minutes(1), s.RefusedAt)
		require.Zero(t, s.Posted)
	})
}

// TestPostsInAnyOrder: however often and in whatever order posts arrive, each person is as their latest one says.
func TestPostsInAnyOrder(t *testing.T) {
	t.Parallel()
	l := onSQLite.get(t)
	names := []string{"a", "b", "c"}
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		org := fmt.Sprintf("org-%d", run)
		var posts []ledger.Post
		latest := map[int]ledger.Post{}
		for i := range rapid.IntRange(1, 12).Draw(t, "posts") {
			n := rapid.IntRange(1, 3).Draw(t, "person")
			p := post(n, minutes(i), rapid.SliceOfDistinct(rapid.SampledFrom(names), rapid.ID).Draw(t, "groups")...)
			posts, latest[n] = append(posts, p), p
		}
		replayed := rapid.SliceOf(rapid.SampledFrom(posts)).Draw(t, "replayed")
		for _, p := range rapid.Permutation(append(replayed, posts...)).Draw(t, "order") {
			_, err := l.AcceptPosts(t.Context(), org, corp, roomy, []ledger.Post{p}, minutes(60))
			require.NoError(t, err)
		}
		for n, p := range latest {
			found, err := l.Identities(t.Context(), org, refs(n))
			require.NoError(t, err)
			require.Equal(t, p.At, found[0].Stated)
			require.ElementsMatch(t, p.Groups, found[0].Groups)
		}
	})
}
