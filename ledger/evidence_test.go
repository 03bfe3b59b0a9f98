package ledger_test

import (
	"testing"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
	"github.com/stretchr/testify/require"
)

func TestSourceCountsKeepTheLastGoodOnes(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		empty, err := l.SourceCounts(t.Context(), org)
		require.NoError(t, err)
		require.Empty(t, empty)
		later := noon.Add(time.Hour)
		require.NoError(t, l.SaveSourceCounts(t.Context(), org, "r1", map[string]ledger.Count{
			"a": {Name: "eng", Users: 10}, "b": {Name: "ops", Users: 5}, "c": {Name: "old", Users: 1},
		}, nil, noon))
		for range 2 {
			require.NoError(t, l.SaveSourceCounts(t.Context(), org, "r2",
				map[string]ledger.Count{"a": {Name: "eng-all", Users: 0}}, []string{"c", "d"}, later))
		}
		counts, err := l.SourceCounts(t.Context(), org)
		require.NoError(t, err)
		require.Equal(t, map[string]ledger.Count{
			"a": {Name: "eng-all", Users: 0, At: later, Run: "r2"}, "b": {Name: "ops", Users: 5, At: noon, Run: "r1"},
		}, counts)
	})
}

func TestKnownDefaults(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		jira, wiki := access.Entitlement("default:jira-software/acme/user"),
			access.Entitlement("default:confluence/acme/user")
		require.NoError(t, l.SaveKnownDefaults(t.Context(), org,
			map[access.Entitlement][]string{jira: {"g1"}, wiki: {"g2", "g3"}}))
		require.NoError(t, l.SaveKnownDefaults(t.Context(), org, map[access.Entitlement][]string{jira: nil}))
		known, err := l.KnownDefaults(t.Context(), org)
		require.NoError(t, err)
		require.Equal(t, map[access.Entitlement][]string{jira: nil, wiki: {"g2", "g3"}}, known)
	})
}
