package ledger_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/ledger"
)

// recordedGroups plays verifications of everybody: which groups there are, and who is in them.
type recordedGroups struct {
	*testing.T
	*ledger.Ledger
	at    time.Time
	limit float64 // the share of members that may go at once
}

// verify reads everybody: people by name, each with the ids of their groups.
func (r *recordedGroups) verify(after time.Duration, there []string, people map[string][]string) {
	r.Helper()
	r.at = r.at.Add(after)
	r.search(there...)
	r.sweep(there, people)
	require.NoError(r, r.SealGroups(r.Context(), org, r.at, r.doubts, func() {}))
}

func (r *recordedGroups) search(there ...string) {
	r.Helper()
	var seen []ledger.GroupSeen
	for _, id := range there {
		seen = append(seen, ledger.GroupSeen{ID: id, Name: "Group " + id, Synced: true, RolesRead: true,
			Roles: []ledger.GroupRole{{Resource: "ari:jira", Role: "atlassian/user", Default: true}}})
	}
	require.NoError(r, r.SaveGroups(r.Context(), org, "run", seen, r.at))
	require.NoError(r, r.RefreshedGroups(r.Context(), org, "run", r.at))
}

func (r *recordedGroups) sweep(there []string, people map[string][]string) {
	r.Helper()
	known := map[string]bool{}
	for _, id := range there {
		known[id] = true
	}
	var page []ledger.PersonGroups
	for person, groups := range people {
		page = append(page, ledger.PersonGroups{Account: person, Groups: groups})
	}
	require.NoError(r, r.SaveMembers(r.Context(), org, page, known, r.at))
}

func (r *recordedGroups) doubts(c ledger.GroupChange) bool {
	return float64(c.Had-c.Kept) > r.limit*float64(c.Had)
}

func (r *recordedGroups) record(id string) ledger.GroupRecord {
	r.Helper()
	g, err := r.GroupRecord(r.Context(), org, id)
	require.NoError(r, err)
	return g
}

// members are those who count, in one text.
func (r *recordedGroups) members(id string) string {
	r.Helper()
	g := r.record(id)
	require.False(r, g.Unexplained, "the chain explains it")
	found, err := r.GroupMembers(r.Context(), org, g, "", 0)
	require.NoError(r, err)
	n, err := r.CountGroupMembers(r.Context(), org, g)
	require.NoError(r, err)
	require.Len(r, found, n)
	var names []string
	for _, m := range found {
		names = append(names, m.Account)
	}
	return strings.Join(names, " ")
}

func (r *recordedGroups) chain() int64 {
	r.Helper()
	seq, _, err := r.Head(r.Context(), org)
	require.NoError(r, err)
	return int64(seq)
}

func startRecording(t *testing.T, l *ledger.Ledger) *recordedGroups {
	return &recordedGroups{T: t, Ledger: l, at: noon, limit: 0.5}
}

// all says that some people are in some groups.
func all(people string, groups ...string) map[string][]string {
	in := map[string][]string{}
	for _, name := range strings.Fields(people) {
		in[name] = groups
	}
	return in
}

func TestGroupRecordsFollow(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		r := startRecording(t, l)
		r.verify(0, []string{"g1", "g2"}, all("ana bo carol", "g2", "g1", "elsewhere"))
		require.Equal(t, "ana bo carol", r.members("g1"))
		g := r.record("g1")
		require.Equal(t, []ledger.GroupRole{{Resource: "ari:jira", Role: "atlassian/user", Default: true}}, g.Roles)
		require.Equal(t, 3, g.Users)
		require.True(t, g.Synced)

		before := r.chain()
		r.verify(time.Hour, []string{"g1", "g2"}, all("ana bo carol", "g1", "g2"))
		require.Equal(t, before, r.chain(), "what is shown again writes nothing")
		require.Equal(t, r.at, r.record("g1").Refreshed)

		now := all("ana bo dan", "g1", "g2")
		now["carol"] = []string{"g2"}
		r.verify(time.Hour, []string{"g1", "g2"}, now)
		require.Equal(t, "ana bo dan", r.members("g1"))
		require.Equal(t, "ana bo carol dan", r.members("g2"))
		require.Zero(t, r.record("g1").Doubted)
		require.Greater(t, r.chain(), before)
		require.Empty(t, unexplained(t, l))

		found, err := l.GroupRecords(t.Context(), org, ledger.GroupQuery{Name: "GROUP G2"})
		require.NoError(t, err)
		require.Len(t, found, 1)
	})
}

// TestGroupRecordsOfLostGroups: whatever people show after a group is gone, its record stays.
func TestGroupRecordsOfLostGroups(t *testing.T) {
	t.Parallel()
	people := "ana bo carol dan"
	for name, c := range map[string]struct {
		before func(r *recordedGroups)
		want   string
	}{
		"deleted": {func(*recordedGroups) {}, people},
		"emptied before": {func(r *recordedGroups) {
			r.verify(time.Hour, []string{"g1"}, all(people))
			require.NotZero(r, r.record("g1").Doubted)
			require.Equal(r, people, r.members("g1"))
			r.verify(time.Hour, []string{"g1"}, all(people))
		}, people},
		"emptied, but for one who came anew": {func(r *recordedGroups) {
			now := all(people)
			now["eve"] = []string{"g1"}
			r.verify(time.Hour, []string{"g1"}, now)
		}, people + " eve"},
		"emptied slowly, within the limit": {func(r *recordedGroups) {
			now := all(people, "g1")
			now["dan"] = nil
			r.verify(time.Hour, []string{"g1"}, now)
		}, "ana bo carol"},
		"emptied by a read that was cut off": {func(r *recordedGroups) {
			r.at = r.at.Add(time.Hour)
			r.search("g1")
			r.sweep([]string{"g1"}, all(people))
		}, people},
		"emptied, and filled again": {func(r *recordedGroups) {
			r.verify(time.Hour, []string{"g1"}, all(people))
			r.verify(time.Hour, []string{"g1"}, all(people, "g1"))
			require.Zero(r, r.record("g1").Doubted)
		}, people},
		"emptied long ago": {func(r *recordedGroups) {
			r.verify(time.Hour, []string{"g1"}, all(people))
			r.verify(ledger.GroupMembersKept+time.Hour, []string{"g1"}, all(people))
			require.Zero(r, r.record("g1").Doubted)
			r.verify(time.Hour, []string{"g1"}, all(people))
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			both(t, func(t *testing.T, l *ledger.Ledger) {
				r := startRecording(t, l)
				r.verify(0, []string{"g1"}, all(people, "g1"))
				r.verify(time.Hour, []string{"g1"}, all(people, "g1"))
				c.before(r)
				require.NoError(t, l.LoseGroup(t.Context(), org, "g1", r.at.Add(time.Minute)))
				r.verify(time.Hour, []string{"g2"}, all(people, "g2"))
				r.verify(ledger.GroupMembersKept+time.Hour, []string{"g2"}, all(people))
				require.Equal(t, c.want, r.members("g1"))
				g := r.record("g1")
				require.NotZero(t, g.Lost)
				require.Empty(t, unexplained(t, l))

				require.NoError(t, l.SettleGroup(t.Context(), org, "g1", ledger.GroupRestored, "carol", r.at))
				require.Equal(t, ledger.GroupRestored, r.record("g1").Outcome)
				r.verify(400*24*time.Hour, []string{"g2"}, all(people))
				_, err := l.GroupRecord(t.Context(), org, "g1")
				require.ErrorIs(t, err, ledger.ErrNotFound, "it is forgotten after a year")
				require.Empty(t, unexplained(t, l))
			})
		})
	}
}

// TestGroupRecordsForged: nothing is restored from what Castellan did not write, and such members are learned anew.
func TestGroupRecordsForged(t *testing.T) {
	t.Parallel()
	for name, statement := range map[string]string{
		"a member more":  `INSERT INTO group_members (org, group_id, account, since, gone) SELECT org, group_id, 'evil', since, 0 FROM group_members WHERE account = 'ana'`,
		"a member less":  `DELETE FROM group_members WHERE account = 'ana'`,
		"a member ended": `UPDATE group_members SET gone = since WHERE account = 'ana'`,
		"other roles":    `UPDATE group_records SET roles = '[{"resource":"ari:jira","role":"atlassian/admin"}]'`,
		"lost":           `UPDATE group_records SET lost = 5`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			both(t, func(t *testing.T, l *ledger.Ledger) {
				r := startRecording(t, l)
				r.verify(0, []string{"g1"}, all("ana bo carol", "g1"))
				_, err := l.Exec(t.Context(), statement)
				require.NoError(t, err)
				require.True(t, r.record("g1").Unexplained)
				if !strings.Contains(statement, "group_members") {
					return
				}
				now := all("ana bo carol dan", "g1")
				r.verify(time.Hour, []string{"g1"}, now)
				r.verify(time.Hour, []string{"g1"}, now)
				require.Equal(t, "ana bo carol dan", r.members("g1"))
			})
		})
	}
}

// TestGroupRecordsRefreshed: one group is read by itself, before it is deleted.
func TestGroupRecordsRefreshed(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		r := startRecording(t, l)
		r.verify(0, []string{"g1", "g2"}, all("ana bo carol", "g1", "g2"))
		r.at = r.at.Add(time.Minute)
		refresh := func(accounts ...string) {
			require.NoError(t, l.SaveGroupMembers(t.Context(), org, "g1", accounts, r.at))
			require.NoError(t, l.SealGroup(t.Context(), org, "g1", r.at, r.doubts))
		}
		refresh("ana", "bo", "dan")
		require.Equal(t, "ana bo dan", r.members("g1"))
		r.verify(time.Hour, []string{"g1", "g2"}, all("ana bo carol", "g1", "g2"))
		require.Equal(t, "ana bo carol dan", r.members("g1"), "the next page is compared with the rows")
		r.at = r.at.Add(time.Minute)
		refresh()
		require.Equal(t, "ana bo carol dan", r.members("g1"), "a read that shows nobody is not believed")
	})
}

func TestGroupRecordsUseIndexes(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		r := startRecording(t, l)
		people := map[string][]string{}
		for n := range 200 {
			people[fmt.Sprintf("p%03d", n)] = []string{"g1", "g2"}
		}
		r.verify(0, []string{"g1", "g2"}, people)
		plans, err := l.Plans(t.Context(), func(l *ledger.Ledger) error {
			ctx := context.WithoutCancel(t.Context())
			g, err := l.GroupRecord(ctx, org, "g1")
			require.NoError(t, err)
			_, err = l.GroupMembers(ctx, org, g, "p050", 10)
			require.NoError(t, err)
			return l.SaveMembers(ctx, org, []ledger.PersonGroups{{Account: "p001", Groups: []string{"g1", "g2"}}},
				map[string]bool{"g1": true, "g2": true}, r.at)
		})
		require.NoError(t, err)
		require.NotRegexp(t, `SCAN group_|Seq Scan on group_(members|people)`, plans)
	})
}

// BenchmarkGroupRecords is what records cost a verification of 10,000 people in 20 of 200 groups each, when nothing
// changed since the one before, by page.
func BenchmarkGroupRecords(b *testing.B) {
	l, err := ledger.Open(b.Context(), b.TempDir()+"/ledger.db")
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, l.Close()) })
	there, ids := map[string]bool{}, []string{}
	for n := range 200 {
		ids = append(ids, fmt.Sprintf("group-%03d", n))
		there[ids[n]] = true
	}
	var pages [][]ledger.PersonGroups
	for n := range 10_000 {
		if n%100 == 0 {
			pages = append(pages, nil)
		}
		p := ledger.PersonGroups{Account: fmt.Sprintf("557058:%08d-person", n)}
		for i := range 20 {
			p.Groups = append(p.Groups, ids[(n*7+i*9)%len(ids)])
		}
		slices.Sort(p.Groups)
		pages[n/100] = append(pages[n/100], p)
	}
	verify := func(at time.Time) {
		for _, page := range pages {
			require.NoError(b, l.SaveMembers(b.Context(), org, page, there, at))
		}
		require.NoError(b, l.SealGroups(b.Context(), org, at, func(ledger.GroupChange) bool { return false },
			func() {}))
	}
	var seen []ledger.GroupSeen
	for _, id := range ids {
		seen = append(seen, ledger.GroupSeen{ID: id, Name: id, Synced: true})
	}
	require.NoError(b, l.SaveGroups(b.Context(), org, "run", seen, noon))
	first := time.Now()
	verify(noon)
	took := time.Since(first).Seconds()
	for n := 0; b.Loop(); n++ {
		verify(noon.Add(time.Duration(n+1) * time.Hour))
	}
	b.ReportMetric(took, "s/first")
}
