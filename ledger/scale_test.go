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
		questions := map[string]databaseQuery{
			"holdings of a person": {func() (string,
				error) {
				return l.ExplainHoldingsAt(t.Context(), org, one[0], "", noon)
			}, []string{"holdings_pkey", "holdings_1"}},
			"holding of a target": {func() (string,
				error) {
				return l.ExplainHoldingsAt(t.Context(), org, one[0], group("g7"), noon)
			},
				[]string{"holdings_pkey", "holdings_1"}},
			"holders of a target": {func() (string,
				error) {
				return l.ExplainHoldingsAt(t.Context(), org, "", group("g7"), noon)
			}, []string{"holdings_by_target"}},
			"foreign": {func() (string, error) {
				return l.ExplainForeign(t.Context(), org, "", ledger.Key{Person: one[0], Target: group("g7")})
			}, []string{"holdings_foreign"}},
			"foreign in a target": {func() (string,
				error) {
				return l.ExplainForeign(t.Context(), org, group("g7"), ledger.Key{})
			}, []string{"holdings_foreign"}},
			"standing": {func() (string, error) { return l.ExplainOpenHoldings(t.Context(), org, many) },
				[]string{"holdings_open"}},
			"recent": {func() (string,
				error) {
				return l.ExplainRecentWrites(t.Context(), org, many, noon)
			}, []string{"lines_written"}},
			"supersede": {func() (string,
				error) {
				return l.ExplainSupersede(t.Context(), org, "r2", many, noon)
			}, []string{"lines_planned"}},
			"history of a person": {func() (string, error) { return l.ExplainHistory(t.Context(), org, one[0], "") },
				[]string{"entries_by_person"}},
			"history of a target": {func() (string,
				error) {
				return l.ExplainHistory(t.Context(), org, "", group("g7"))
			}, []string{"entries_by_target"}},
			"lines": {func() (string, error) {
				return l.ExplainLines(t.Context(), org, "r1",
					ledger.Filter{After: ledger.Key{Action: access.Remove, Person: one[0], Target: group("g7")}})
			}, []string{"lines_in_order"}},
			"a person's lines": {func() (string, error) {
				return l.ExplainLines(t.Context(), org, "r1", ledger.Filter{Person: one[0]})
			}, []string{"lines_pkey", "lines_1", "sqlite_autoindex_lines_1"}},
			"lines to hash": {func() (string, error) {
				return l.ExplainHashOrder(t.Context(), org, "r1", ledger.Key{Person: one[0], Target: group("g7")})
			},
				[]string{"lines_pkey", "lines_1"}},
		}
		maps.Copy(questions, aboutGrants(t, l))
		maps.Copy(questions, aboutReviews(t, l, "q-7"))
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
	maps.Copy(questions, aboutReviews(t, l, spring))
	for name, q := range questions {
		q.requireIndex(t, name)
	}
}

// databaseQuery is one that the ledger puts to its database.
type databaseQuery struct {
	plan  func() (string, error)
	index []string // any of these answers well
}

func (q databaseQuery) requireIndex(t *testing.T, name string) string {
	t.Helper()
	plan, err := q.plan()
	require.NoError(t, err, name)
	require.NotContains(t, plan, "Seq Scan", name)
	require.NotRegexp(t, `SCAN (holdings|lines|entries|grants|reviews|review_\w+|rulings|i|t)\b`, plan, name)
	found := false
	for _, index := range q.index {
		found = found || strings.Contains(plan, index)
	}
	require.True(t, found, "%s should use one of %v:\n%s", name, q.index, plan)
	return plan
}

func aboutGrants(t *testing.T, l *ledger.Ledger) map[string]databaseQuery {
	const one = "id-00042"
	grants := func(f ledger.GrantFilter) func() (string, error) {
		return func() (string, error) { return l.ExplainGrants(t.Context(), org, f) }
	}
	return map[string]databaseQuery{
		"grants":             {grants(ledger.GrantFilter{After: "g-00042"}), []string{"grants_by_time"}},
		"unsettled grants":   {grants(ledger.GrantFilter{Unsettled: true}), []string{"grants_unsettled"}},
		"grants of a person": {grants(ledger.GrantFilter{Person: one, After: "g-00042"}), []string{"grants_by_person"}},
		"earlier grants": {func() (string, error) {
			return l.ExplainEarlier(t.Context(), org, one, group("g2"))
		}, []string{"grants_by_person"}},
		"held grants": {func() (string, error) {
			return l.ExplainHeld(t.Context(), org, one, noon)
		}, []string{"grants_held"}},
		"awaited grants": {func() (string, error) {
			return l.ExplainAwaited(t.Context(), org, one)
		}, []string{"grants_standing", "grants_ending"}}, // PostgreSQL takes either: both hold open grants alone
		"grants of a workflow": {func() (string, error) {
			return l.ExplainGrantsOf(t.Context(), org, one, group("g7"))
		}, []string{"grants_of_workflow"}},
		"grants for a decision": {func() (string, error) {
			return l.ExplainStandingGrants(t.Context(), org, []string{one, "id-00001"})
		}, []string{"grants_standing"}},
		"lapsed grants": {func() (string, error) {
			return l.ExplainLapsed(t.Context(), org, noon.Add(time.Hour))
		}, []string{"grants_ending"}},
		"hours": {func() (string, error) {
			return l.ExplainHours(t.Context(), org, noon, noon.Add(time.Hour))
		}, []string{"holdings_by_grant"}},
	}
}

// TestAYoungReviewFindsItsItems asks right after a review was opened: the first of all, or beside others of which the
// databases have counted nothing yet.
func TestAYoungReviewFindsItsItems(t *testing.T) {
	t.Parallel()
	for name, others := range map[string]int{"first": 0, "beside others": 20_000} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			both(t, func(t *testing.T, l *ledger.Ledger) {
				if others > 0 {
					for _, statement := range reviewRows(l, others) {
						_, err := l.Exec(t.Context(), statement)
						require.NoError(t, err)
					}
				}
				items, asked := make([]access.Item, 2000), map[string][]int{}
				for n := range items {
					items[n] = asks(n+1, "ops")
					by := fmt.Sprintf("reviewer.%03d@acme.example", n%50)
					asked[by] = append(asked[by], n+1)
				}
				taken(t, l, campaign(spring), items...)
				inStage(t, l, spring, 1, asked)
				questions := aboutReviews(t, l, spring)
				for _, name := range []string{
					"items by number", "items of a reviewer", "items of a reviewer by tasks", "items of a person",
					"items for a stage", "tasks of a word",
					"tasks of a word on all", "tasks of a reviewer", "tasks left", "tasks left, by item", "said before",
					"said in comments",
				} {
					plan := questions[name].requireIndex(t, name)
					require.NotContains(t, plan, "Join Filter", "%s: all items are walked for each task", name)
					require.NotContains(t, plan, "Filter: ((reviewer)", "%s: all tasks are walked", name)
				}
			})
		})
	}
}

func aboutReviews(t *testing.T, l *ledger.Ledger, review string) map[string]databaseQuery {
	const by = "reviewer.007@acme.example"
	many := []string{"id-00001", "id-00002", "id-00042", "id-09999"}
	items := func(f ledger.ItemFilter) func() (string, error) {
		return func() (string, error) { return l.ExplainItems(t.Context(), org, review, f) }
	}
	said := func(kind string) func() (string, error) {
		return func() (string, error) {
			return l.ExplainSaid(t.Context(), org, review, ledger.ReviewMessage{Kind: kind, By: by, At: noon})
		}
	}
	mine := items(ledger.ItemFilter{Reviewer: []string{by, "id-7"}, Stage: 1, After: 10, Limit: 50})
	byNumber, byReviewer := []string{"review_items_by_number"}, []string{"review_tasks_pkey", "review_tasks_1"}
	return map[string]databaseQuery{
		"items by number":              {items(ledger.ItemFilter{Numbers: []int{7, 8, 9}}), byNumber},
		"items page by page":           {items(ledger.ItemFilter{After: 500, Limit: 500}), byNumber},
		"items of a reviewer":          {mine, byNumber},
		"items of a reviewer by tasks": {mine, byReviewer},
		"items of a person": {items(ledger.ItemFilter{Person: "id-00042"}),
			[]string{"review_items_pkey", "review_items_1"}},
		"items that are open": {
			items(ledger.ItemFilter{Outcomes: []access.Outcome{access.OutcomeOpen}, After: 7}),
			[]string{"review_items_by_outcome"}},
		"items under way": {items(ledger.ItemFilter{Outcomes: []access.Outcome{access.OutcomeOpen, access.OutcomeHeld},
			Limit: 500}),
			[]string{"review_items_by_outcome"}},
		"items not settled": {items(ledger.ItemFilter{Outcomes: []access.Outcome{"", access.OutcomeOpen}, After: 7,
			Limit: 500}),
			[]string{"review_items_by_outcome", "review_items_by_number"}},
		"items for a stage": {func() (string, error) {
			return l.ExplainStage(t.Context(), org, review, 2, []int{1, 2, 3})
		}, byNumber},
		"tasks of a reviewer": {func() (string, error) { return l.ExplainOpenTasks(t.Context(), org, review, 1, by) },
			byReviewer},
		"tasks that are open": {func() (string, error) { return l.ExplainOpenTasks(t.Context(), org, review, 1, "") },
			[]string{"review_tasks_pkey", "review_tasks_1"}},
		"tasks of a word": {func() (string,
			error) {
			return l.ExplainTasksOf(t.Context(), org, review, 1, by, []int{7})
		},
			byReviewer},
		"tasks of a word on all": {func() (string,
			error) {
			return l.ExplainTasksOf(t.Context(), org, review, 1, by, nil)
		}, byReviewer},
		"tasks left": {func() (string, error) { return l.ExplainLeft(t.Context(), org, review, 1, by) },
			byReviewer},
		"tasks left, by item": {func() (string, error) { return l.ExplainLeft(t.Context(), org, review, 1, by) },
			byNumber},
		"said before":      {said(decided), []string{"review_events_by_person"}},
		"said in comments": {said(commented), []string{"review_events_by_person"}},
		"count of items": {func() (string, error) {
			plan, _, err := l.ExplainCounts(t.Context(), org, review, 1)
			return plan, err
		}, []string{"review_items_"}},
		"count of tasks": {func() (string, error) {
			_, plan, err := l.ExplainCounts(t.Context(), org, review, 1)
			return plan, err
		}, byReviewer},
		"rulings of people": {func() (string, error) { return l.ExplainRulings(t.Context(), org, many) },
			[]string{"rulings_pkey", "rulings_1"}},
		"removals written": {func() (string, error) {
			plan, _, err := l.ExplainRemovals(t.Context(), org, many, noon)
			return plan, err
		}, []string{"lines_written"}},
		"removals stopped": {func() (string, error) {
			_, plan, err := l.ExplainRemovals(t.Context(), org, many, noon)
			return plan, err
		}, []string{"lines_stopped"}},
		"last decisions": {func() (string,
			error) {
			return l.ExplainLastDecisions(t.Context(), org, "quarterly", many)
		},
			[]string{"review_last_pkey", "review_last_1"}},
	}
}

// paddedID is the account id of the person n / 100 in a statement about numbers.
func paddedID(l *ledger.Ledger) string {
	if l.Postgres() {
		return `'id-' || lpad((n / 100)::text, 5, '0')`
	}
	return `printf('id-%05d', n / 100)`
}

// intoRows is a statement that makes a row of each number from 0.
func intoRows(l *ledger.Ledger, statement, values string, count int) string {
	numbers := fmt.Sprintf(`WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < %d) `,
		count-1)
	if l.Postgres() {
		return numbers + statement + " " + values
	}
	return statement + " " + numbers + values
}

// reviewRows makes so many items, tasks, events, rulings and last decisions, of ten reviews, and of 100 reviewers each.
func reviewRows(l *ledger.Ledger, count int) []string {
	us, per := noon.UnixMicro(), count/10
	by := fmt.Sprintf(`'reviewer.0' || (10 + n %% %d %% 90) || '@acme.example'`, per)
	into := func(statement, values string) string { return intoRows(l, statement, values+` FROM numbers`, count) }
	return []string{
		into(`INSERT INTO review_items (org, review, person, target, page, n, risk, stage, spoke, version, verdict, outcome, facts, said, result)`,
			fmt.Sprintf(`SELECT 'acme', 'q-' || (n / %d), %s, 'group:g' || n, '1', n %% %d + 1, 50, 1, 0, 0, '', CASE WHEN n %% 50 = 0 THEN 'open' ELSE 'kept' END, '{}', '', ''`,
				per, paddedID(l), per)),
		into(`INSERT INTO review_tasks (org, review, stage, reviewer, n, role, since, verdict)`,
			fmt.Sprintf(`SELECT 'acme', 'q-' || (n / %d), 1, %s, n %% %d + 1, 'reviewer', %d, ''`, per, by, per, us)),
		into(`INSERT INTO review_events (org, review, seq, at, kind, by_whom, via, n, stage, verdict, bulk, to_whom, body)`,
			fmt.Sprintf(`SELECT 'acme', 'q-' || (n / %d), n %% %d + 1, %d + n, 'decided', %s, 'page', n %% %d + 1, 1, 'keep', 1, '', ''`, per, per, us, by, per)),
		into(`INSERT INTO rulings (org, person, target, review, verdict, at, until)`,
			fmt.Sprintf(`SELECT 'acme', %s, 'group:g' || n, 'q-' || (n / %d), 'keep', %d, 0`, paddedID(l), per, us)),
		into(`INSERT INTO review_last (org, campaign, person, target, review, verdict, by_whom, at)`,
			fmt.Sprintf(`SELECT 'acme', 'quarterly', %s, 'group:g' || n, 'q-7', 'keep', '', %d`, paddedID(l), us)),
	}
}

// fill makes a million holdings of 10,000 people in 10 targets, ten spans each and the last of them standing, a hundred
// thousand plan lines and entries, and as many grants, of which 5,000 are not settled, and items of reviews.
func fill(t *testing.T, l *ledger.Ledger) {
	t.Helper()
	padded, us := paddedID(l), noon.UnixMicro()
	into := func(statement, values, from string, count int) string {
		return intoRows(l, statement, values+from, count)
	}
	for _, statement := range append(reviewRows(l, 100_000), []string{
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
			fmt.Sprintf(`SELECT 'acme', n + 1, %d + n, 'change', 'r1', %s, 'group:g' || (n %% 10), '{}', '', ''`, us,
				padded), ` FROM numbers`, 100_000),
		into(`INSERT INTO grants (org, id, person, email, email_key, target, target_key, person_key, state, settled, requested, since, until, taken, body)`,
			fmt.Sprintf(`SELECT 'acme', 'g-' || n, %s, '', %s || '@acme.example', 'group:g' || (n %% 10), 'group:g' || (n %% 10), %s, 'ended', CASE WHEN n %% 20 = 0 THEN 0 ELSE 1 END,
				%d + n, %d + n, %d + n, 0, '{}'`, padded, padded, padded, us, us, us), ` FROM numbers`, 100_000),
		`ANALYZE`,
	}...) {
		_, err := l.Exec(t.Context(), statement)
		require.NoError(t, err)
	}
}
