package ledger_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/ledger"
)

const (
	benchPeople  = 100_000
	benchGroups  = 500
	benchMembers = 1000 // of each group
)

// largeSource is a source of 100,000 people, each of whom is in five of 500 groups.
func largeSource() shown {
	var s shown
	for n := range benchPeople {
		s.people = append(s.people, identity(n))
	}
	for n := range benchGroups {
		g := ledger.SourceGroup{Key: fmt.Sprintf("g-%05d", n), Name: fmt.Sprint("group ", n), Digest: fmt.Sprint(n)}
		for i := range benchMembers {
			g.Members = append(g.Members, key((n*benchMembers+i)%benchPeople))
		}
		s.groups = append(s.groups, g)
	}
	return s
}

// BenchmarkSourceFirstRead stores everybody and all groups in pages, as they come.
func BenchmarkSourceFirstRead(b *testing.B) {
	all := largeSource()
	onEach(b, func(b *testing.B, l *ledger.Ledger) {
		for n := 0; b.Loop(); n++ {
			org := fmt.Sprint("org-", n)
			number, err := l.BeginSourceRead(b.Context(), org, corp, noon)
			require.NoError(b, err)
			for at := 0; at < benchPeople; at += 1000 {
				_, err := l.SaveIdentities(b.Context(), org, corp, number, all.people[at:at+1000], noon)
				require.NoError(b, err)
			}
			for at := 0; at < benchGroups; at += 10 {
				_, err := l.SaveSourceGroups(b.Context(), org, corp, number, all.groups[at:at+10], noon)
				require.NoError(b, err)
			}
			require.NoError(b, l.EndSourceRead(b.Context(), org, corp, number, ledger.End{People: benchPeople}, noon))
		}
	})
}

// BenchmarkSourceQuietRead reads the same again, when nothing has changed.
func BenchmarkSourceQuietRead(b *testing.B) {
	all := largeSource()
	onEach(b, func(b *testing.B, l *ledger.Ledger) {
		read(b, l, org, all, "", noon)
		for n := 1; b.Loop(); n++ {
			_, touched := read(b, l, org, all, "", minutes(n))
			require.Equal(b, ledger.Touched{}, touched)
			_, err := l.ConcludeMissing(b.Context(), org, corp, minutes(n))
			require.NoError(b, err)
		}
	})
}

// BenchmarkSourceQuestions asks what every run asks: 100 accounts, all groups, and a page of a provision.
func BenchmarkSourceQuestions(b *testing.B) {
	all := largeSource()
	onEach(b, func(b *testing.B, l *ledger.Ledger) {
		read(b, l, org, all, "", noon)
		var bindings []ledger.Binding
		var accounts []string
		for n := range benchPeople / 10 {
			bindings, accounts = append(bindings, bound(n)), append(accounts, person(n).ID)
		}
		require.NoError(b, l.BindAccounts(b.Context(), org, bindings, noon))
		b.Run("accounts", func(b *testing.B) {
			for n := 0; b.Loop(); n++ {
				of, err := l.IdentitiesOf(b.Context(), org, accounts[n%90*100:][:100])
				require.NoError(b, err)
				require.Len(b, of, 100)
			}
		})
		b.Run("groups", func(b *testing.B) {
			for b.Loop() {
				groups, err := l.SourceGroupsOf(b.Context(), org)
				require.NoError(b, err)
				require.Len(b, groups, benchGroups)
			}
		})
		b.Run("page", func(b *testing.B) {
			q := ledger.IdentityQuery{Provision: "staff", Directory: directory, Sources: []string{corp}}
			for b.Loop() {
				page, err := l.IdentityPage(b.Context(), org, q)
				require.NoError(b, err)
				if q.After = (ledger.Ref{}); len(page.Identities) > 0 {
					q.After = page.Identities[len(page.Identities)-1].Ref()
				}
			}
		})
	})
}
