package ledger_test

import (
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
	"github.com/stretchr/testify/require"
)

// TestQuestionsFindTheirIndex asks the databases how they would answer over a million holdings.
func TestQuestionsFindTheirIndex(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("makes a million rows: skipped by -short")
	}
	both(t, func(t *testing.T, l *ledger.Ledger) {
		fill(t, l)
		one, many := []string{"id-00042"}, []string{"id-00001", "id-00002", "id-00042", "id-09999"}
		questions := map[string]question{
			"holdings of a person": {func() (string, error) { return l.ExplainHoldingsAt(t.Context(), org, one[0], "", noon) }, []string{"holdings_pkey", "holdings_1"}},
			"holding of a target": {func() (string, error) { return l.ExplainHoldingsAt(t.Context(), org, one[0], group("g7"), noon) },
				[]string{"holdings_pkey", "holdings_1"}},
			"holders of a target": {func() (string, error) { return l.ExplainHoldingsAt(t.Context(), org, "", group("g7"), noon) }, []string{"holdings_by_target"}},
			"foreign": {func() (string, error) {
				return l.ExplainForeign(t.Context(), org, "", ledger.Key{Person: one[0], Target: group("g7")})
			}, []string{"holdings_foreign"}},
			"foreign in a target": {func() (string, error) { return l.ExplainForeign(t.Context(), org, group("g7"), ledger.Key{}) }, []string{"holdings_foreign"}},
			"standing":            {func() (string, error) { return l.ExplainOpenHoldings(t.Context(), org, many) }, []string{"holdings_open"}},
			"recent":              {func() (string, error) { return l.ExplainRecentWrites(t.Context(), org, many, noon) }, []string{"lines_written"}},
			"supersede":           {func() (string, error) { return l.ExplainSupersede(t.Context(), org, "r2", many, noon) }, []string{"lines_planned"}},
			"history of a person": {func() (string, error) { return l.ExplainHistory(t.Context(), org, one[0], "") }, []string{"entries_by_person"}},
			"history of a target": {func() (string, error) { return l.ExplainHistory(t.Context(), org, "", group("g7")) }, []string{"entries_by_target"}},
			"lines": {func() (string, error) {
				return l.ExplainLines(t.Context(), org, "r1", ledger.Filter{After: ledger.Key{Action: access.Remove, Person: one[0], Target: group("g7")}})
			}, []string{"lines_in_order"}},
			"lines to hash": {func() (string, error) {
				return l.ExplainHashOrder(t.Context(), org, "r1", ledger.Key{Person: one[0], Target: group("g7")})
			},
				[]string{"lines_pkey", "lines_1"}},
		}
		maps.Copy(questions, aboutGrants(t, l))
		for name, q := range questions {
			plan := q.requireIndex(t, name)
			if strings.HasPrefix(name, "lines") {
				require.NotContains(t, plan, "TEMP B-TREE", "a page of lines may not sort the whole plan")
				require.NotContains(t, plan, "Sort", "a page of lines may not sort the whole plan")
			}
		}
		all, err := l.HoldingsAt(t.Context(), org, one[0], "", noon.Add(50*time.Second))
		require.NoError(t, err)
		require.Len(t, all, 10)
	})
}

// TestAYoungLedgerFindsItsGrants asks SQLite before anything was counted: it never is, unless someone runs ANALYZE.
func TestAYoungLedgerFindsItsGrants(t *testing.T) {
	t.Parallel()
	l := open(t, filepath.Join(t.TempDir(), "castellan.db"))
	questions := aboutGrants(t, l)
	questions["names of a person"] = question{func() (string, error) {
		return l.ExplainNames(t.Context(), org, carol, "id-carol")
	}, []string{"people_by_email"}}
	for name, q := range questions {
		q.requireIndex(t, name)
	}
}

// question is one that the ledger puts to its database.
type question struct {
	plan  func() (string, error)
	index []string // any of these answers well
}

func (q question) requireIndex(t *testing.T, name string) string {
	t.Helper()
	plan, err := q.plan()
	require.NoError(t, err, name)
	require.NotContains(t, plan, "Seq Scan", name)
	require.NotRegexp(t, `SCAN (holdings|lines|entries|grants)`, plan, name)
	found := false
	for _, index := range q.index {
		found = found || strings.Contains(plan, index)
	}
	require.True(t, found, "%s should use one of %v:\n%s", name, q.index, plan)
	return plan
}

func aboutGrants(t *testing.T, l *ledger.Ledger) map[string]question {
	const one, address = "id-00042", "person.00042@acme.example"
	grants := func(f ledger.GrantFilter) func() (string, error) {
		return func() (string, error) { return l.ExplainGrants(t.Context(), org, f) }
	}
	return map[string]question{
		"grants":             {grants(ledger.GrantFilter{After: "g-00042"}), []string{"grants_by_time"}},
		"unsettled grants":   {grants(ledger.GrantFilter{Unsettled: true}), []string{"grants_unsettled"}},
		"grants of a person": {grants(ledger.GrantFilter{Person: one, After: "g-00042"}), []string{"grants_by_person"}},
		"earlier grants": {func() (string, error) {
			return l.ExplainEarlier(t.Context(), org, one, address, group("g2"))
		}, []string{"grants_by_person"}},
		"grants of a workflow": {func() (string, error) {
			return l.ExplainGrantsOf(t.Context(), org, one, group("g7"))
		}, []string{"grants_of_workflow"}},
		"grants for a decision": {func() (string, error) {
			return l.ExplainStandingGrants(t.Context(), org, []string{one, "id-00001"})
		}, []string{"grants_standing"}},
		"grants near a new one": {func() (string, error) {
			return l.ExplainNear(t.Context(), org, access.Grant{Person: one, Email: address, Target: group("g2")})
		}, []string{"grants_by_person", "grants_standing"}},
		"lapsed grants": {func() (string, error) {
			return l.ExplainLapsed(t.Context(), org, noon.Add(time.Hour))
		}, []string{"grants_ending"}},
		"hours": {func() (string, error) {
			return l.ExplainHours(t.Context(), org, noon, noon.Add(time.Hour))
		}, []string{"holdings_by_grant"}},
	}
}

// fill makes a million holdings of 10,000 people in 10 targets, ten spans each and the last of them standing, a hundred
// thousand plan lines and entries, and as many grants, of which 5,000 are not settled.
func fill(t *testing.T, l *ledger.Ledger) {
	t.Helper()
	padded := `printf('id-%05d', n / 100)`
	if l.Postgres() {
		padded = `'id-' || lpad((n / 100)::text, 5, '0')`
	}
	us := noon.UnixMicro()
	numbers := func(count int) string {
		return fmt.Sprintf(`WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < %d) `, count-1)
	}
	into := func(statement, values, from string, count int) string {
		if l.Postgres() {
			return numbers(count) + statement + " " + values + from
		}
		return statement + " " + numbers(count) + values + from
	}
	for _, statement := range []string{
		into(`INSERT INTO holdings (org, person, target, since, until, group_id, owned, reasons, run)`,
			fmt.Sprintf(`SELECT 'acme', %s, 'group:g' || (n %% 10), %d + n %% 100 * 1000000,
				CASE WHEN n %% 100 >= 90 THEN 0 ELSE %d + n %% 100 * 1000000 + 10000000 END, '', n / 100 %% 2, '', 'r1'`, padded, us, us), ` FROM numbers`, 1_000_000),
		into(`INSERT INTO lines (org, run, person, target, rank, action, group_id, email, state, reasons, sources, loses, held_by, answer, at, attempts)`,
			fmt.Sprintf(`SELECT 'acme', 'r1', %s, 'group:g' || (n %% 100), n %% 3, 'add', '', '', CASE WHEN n %% 10 = 0 THEN 'done' ELSE 'planned' END,
				'', '', '', '', '', %d + n, 0`, padded, us), ` FROM numbers`, 100_000),
		into(`INSERT INTO runs (org, id, started_by, scope, policy, by_whom, dry_run, preview, state, plan, started, ended, problem, counts, findings)`,
			fmt.Sprintf(`SELECT 'acme', 'r' || n, 'events', CASE WHEN n %% 10 = 0 THEN 'grants' ELSE 'people' END, '', '', 0, 0, 'done', '', %d + n, %d + n, '', '{}', ''`, us, us),
			` FROM numbers`, 10_000),
		into(`INSERT INTO entries (org, seq, at, kind, run, person, target, body, prev, hash)`,
			fmt.Sprintf(`SELECT 'acme', n + 1, %d + n, 'change', 'r1', %s, 'group:g' || (n %% 10), '{}', '', ''`, us, padded), ` FROM numbers`, 100_000),
		into(`INSERT INTO grants (org, id, person, email, email_key, target, target_key, person_key, state, settled, requested, since, until, taken, body)`,
			fmt.Sprintf(`SELECT 'acme', 'g-' || n, %s, '', %s || '@acme.example', 'group:g' || (n %% 10), 'group:g' || (n %% 10), %s, 'ended', CASE WHEN n %% 20 = 0 THEN 0 ELSE 1 END,
				%d + n, %d + n, %d + n, 0, '{}'`, padded, padded, padded, us, us, us), ` FROM numbers`, 100_000),
		`ANALYZE`,
	} {
		_, err := l.Exec(t.Context(), statement)
		require.NoError(t, err)
	}
}
