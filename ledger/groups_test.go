package ledger_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
)

var (
	devLink = ledger.GroupLink{Source: corp, Key: "k-dev", Name: "corp:dev", GroupID: "gid-dev", By: "carol"}
	opsLink = ledger.GroupLink{Source: corp, Key: "k-ops", Name: "corp:ops", GroupID: "gid-ops"}
)

func linksOf(t *testing.T, l *ledger.Ledger) (all []string) {
	t.Helper()
	links, err := l.GroupLinks(t.Context(), org)
	require.NoError(t, err)
	for _, g := range links {
		all = append(all, g.Key+" "+g.GroupID+" "+g.By)
	}
	return all
}

func TestLinkGroups(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		ctx := t.Context()
		require.NoError(t, l.LinkGroups(ctx, org, []ledger.GroupLink{devLink, opsLink}, nil, noon))
		require.NoError(t, l.LinkGroups(ctx, org, []ledger.GroupLink{devLink}, nil, minutes(1)), "again")
		require.Equal(t, []string{"k-dev gid-dev carol", "k-ops gid-ops "}, linksOf(t, l))

		other := devLink
		other.Key, other.By = "k-new", "dan"
		both := []ledger.GroupLink{{Source: corp, Key: "k-x", Name: "corp:x", GroupID: "gid-x"}, other}
		require.ErrorIs(t, l.LinkGroups(ctx, org, both, nil, minutes(1)), ledger.ErrGroupTaken)
		require.Len(t, linksOf(t, l), 2, "either all or none")
		require.NoError(t, l.LinkGroups(ctx, org, both, []ledger.Ref{devLink.Ref()}, minutes(2)))
		require.Equal(t, []string{"k-new gid-dev dan", "k-ops gid-ops ", "k-x gid-x "}, linksOf(t, l))

		sound(t, l)

		_, err := l.Exec(ctx, `UPDATE group_links SET group_id = 'gid-admins' WHERE key = 'k-ops'`)
		require.NoError(t, err)
		require.Equal(t, []string{"k-new gid-dev dan", "k-x gid-x "}, linksOf(t, l), "nobody is given anything by a forged link")
		require.NoError(t, l.LinkGroups(ctx, org, []ledger.GroupLink{{Source: corp, Key: "k-y", Name: "corp:y",
			GroupID: "gid-admins"}}, nil, minutes(3)), "nor does one take a group")
		require.NoError(t, l.LinkGroups(ctx, org, []ledger.GroupLink{opsLink}, nil, minutes(4)))
		require.Equal(t, []string{"k-new gid-dev dan", "k-ops gid-ops ", "k-x gid-x ", "k-y gid-admins "}, linksOf(t, l))
	})
}

// differing is a run in whose pages bo is missing from dev, and dan and finn are extra in it.
func differing(t *testing.T, l *ledger.Ledger, run string, extra ...string) ledger.GroupConflict {
	t.Helper()
	ctx := t.Context()
	require.NoError(t, l.BeginRun(ctx, ledger.Run{Org: org, ID: run, Scope: "full", Started: noon}))
	of := func(person string, missing bool) ledger.GroupDifference {
		return ledger.GroupDifference{Source: corp, Key: "k-dev", GroupID: "gid-dev", Person: person, Missing: missing}
	}
	for range 2 { // a page done twice replaces itself
		require.NoError(t, l.SavePage(ctx, org, run, ledger.Page{Key: "0", Differences: []ledger.GroupDifference{
			of("bo", true)}}, noon))
		page := ledger.Page{Key: "1", Differences: []ledger.GroupDifference{}}
		for _, p := range extra {
			page.Differences = append(page.Differences, of(p, false))
		}
		require.NoError(t, l.SavePage(ctx, org, run, page, noon))
	}
	found, err := l.Differences(ctx, org, run, func(string) []string { return []string{"jira/acme"} })
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Equal(t, []int{1, len(extra)}, []int{found[0].Missing, found[0].Extra})
	found[0].SourceName, found[0].GroupName, found[0].Entry, found[0].Kind, found[0].Fit = "corp:dev", "dev", "teams",
		"local", true
	kept, err := l.KeepConflicts(ctx, org, run, found, nil, noon)
	require.NoError(t, err)
	require.NoError(t, l.EndRun(ctx, ledger.Run{Org: org, ID: run, State: "done", Ended: noon}))
	return kept[0]
}

func TestConflictsAreDecidedByTheirHash(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		ctx := t.Context()
		first := differing(t, l, "r1", "dan", "finn")
		_, err := l.RejectConflict(ctx, org, first.Hash, "carol", "CHG-1", minutes(1))
		require.NoError(t, err)
		same := differing(t, l, "r2", "dan", "finn")
		require.Equal(t, []string{first.Hash, ledger.DecisionRejected, "carol", "CHG-1"},
			[]string{same.Hash, same.Decision, same.By, same.Note}, "it is remembered")
		require.Equal(t, first.At, same.At)
		other := differing(t, l, "r3", "dan")
		require.NotEqual(t, first.Hash, other.Hash)
		require.Empty(t, other.Decision, "it is raised again")
		_, err = l.AcceptConflict(ctx, org, first.Hash, nil, "carol", "", minutes(2))
		require.ErrorIs(t, err, ledger.ErrNotFound)
		again := differing(t, l, "r4", "dan", "finn")
		require.Empty(t, again.Decision, "and so is the first, since there was another between")

		_, err = l.AcceptConflict(ctx, org, again.Hash, nil, "carol", "", minutes(3))
		require.NoError(t, err)
		_, err = l.AcceptConflict(ctx, org, again.Hash, nil, "carol", "", minutes(4))
		require.NoError(t, err, "a repeat changes nothing")
		require.Equal(t, []string{"k-dev gid-dev carol"}, linksOf(t, l))
		accepted := func() (people []string) {
			states, err := l.States(ctx, org, []string{"bo", "dan", "finn"}, noon)
			require.NoError(t, err)
			for _, p := range []string{"bo", "dan", "finn"} {
				for _, a := range states[p].Accepted {
					require.Equal(t, access.AcceptedMembership{GroupID: "gid-dev", Conflict: again.Hash}, a)
					people = append(people, p)
				}
			}
			return people
		}
		require.Equal(t, []string{"dan", "finn"}, accepted())

		// What was accepted stays as long as somebody holds it, or no run has looked since.
		require.NoError(t, l.EndAccepted(ctx, org, minutes(2)))
		require.Equal(t, []string{"dan", "finn"}, accepted())
		require.NoError(t, l.BeginRun(ctx, ledger.Run{Org: org, ID: "r5", Scope: "full", Started: minutes(5)}))
		require.NoError(t, l.SavePage(ctx, org, "r5", ledger.Page{Key: "0", People: []access.Person{{ID: "dan"}},
			Open: []access.Holding{{Person: "dan", Target: "group:dev", GroupID: "gid-dev", Run: "r5", From: minutes(5)}}}, minutes(5)))
		require.NoError(t, l.EndAccepted(ctx, org, minutes(5)))
		require.Equal(t, []string{"dan"}, accepted())
		_, err = l.Exec(ctx, `INSERT INTO group_accepted (org, person, group_id, hash, since) VALUES (?, 'bo', 'gid-dev', 'x', 0)`, org)
		require.NoError(t, err)
		require.Equal(t, []string{"dan"}, accepted(), "a forged row counts for nothing")
	})
}

func TestConflictWhosePeopleWereForgedIsNotAccepted(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		ctx := t.Context()
		c := differing(t, l, "r1", "dan")
		_, err := l.Exec(ctx, `INSERT INTO group_differences (org, run, page, source, key, group_id, person, missing)
			VALUES (?, 'r1', '1', ?, 'k-dev', 'gid-dev', 'eve', 0)`, org, corp)
		require.NoError(t, err)
		_, err = l.AcceptConflict(ctx, org, c.Hash, nil, "carol", "", minutes(1))
		require.ErrorIs(t, err, ledger.ErrNotOpen)
		require.Empty(t, linksOf(t, l))
		people, err := l.DifferencesOf(ctx, org, c, ledger.GroupDifference{}, 2)
		require.NoError(t, err)
		require.Len(t, people, 2)
	})
}
