package ledger_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/review"
)

// eventful is a ledger in which something of everything happened.
func eventful(t testing.TB, l *ledger.Ledger) {
	t.Helper()
	ctx := t.Context()
	_, err := l.SavePolicy(ctx, ledger.PolicyVersion{Org: org, Hash: "p1", Body: []byte("{}"), OrgID: "org-1",
		By: "ana", At: noon})
	require.NoError(t, err)
	require.NoError(t, l.KeepPolicy(ctx,
		ledger.PolicyVersion{Org: org, Hash: "p2", Body: []byte("{}"), OrgID: "org-1", At: noon}))
	require.NoError(t, l.Adopt(ctx, org, "r1", "ana", noon))
	add := change(person(1), access.Add, "dev")
	plan(t, l, "r1", add)
	require.NoError(t, l.EndChange(ctx, org, "r1", answer(add, access.Done, "", noon)))
	require.NoError(t, l.SavePage(ctx, org, "r1",
		ledger.Page{Key: "2", Open: []access.Holding{{Person: "id-00009", Target: group("dev"), From: noon}}}, noon))
	require.NoError(t, l.OpenHold(ctx, ledger.Hold{Org: org, Plan: "plan-1", Run: "r1", Removals: 3, Opened: noon}))
	_, err = l.DecideHold(ctx, org, "plan-1", ledger.Approve, "carol", "", noon)
	require.NoError(t, err)
	require.NoError(t, l.ReleaseRules(ctx, org, "r1", map[string]string{"rule#1": "rule"}, "ana", "", noon))
	policy := ledger.PolicyVersion{Org: org, Hash: "p1", OrgID: "org-1", At: noon, Names: []ledger.PolicyName{
		{Name: "boss@acme.example", Account: "id-00001"}, {Name: "id-00002", Account: "id-00002"},
		{Name: "gone@acme.example"},
	}}
	_, err = l.SavePolicy(ctx, policy)
	require.NoError(t, err)
	require.NoError(t, l.KeepPolicyNames(ctx, org,
		[]ledger.PolicyName{{Name: "trial@acme.example", Account: "id-00001", Trial: true}}, noon))
	policy.Names = policy.Names[:2]
	_, err = l.SavePolicy(ctx, policy)
	require.NoError(t, err)
	g := lease("g1")
	g.State = access.GrantGranted
	request(t, l, g)
	request(t, l, asked("g2"))
	underReview(t, l, spring, 4, map[string][]int{idCarol: {1, 2, 3, 4}})
	tell(t, l, spring, word(idCarol, remove, 1, 2))
	i := item(t, l, spring, 1)
	i.Outcome = access.OutcomeOpen
	require.NoError(t, l.Settle(ctx, org, spring,
		[]review.Resolution{{Item: i, NewRuling: &access.Ruling{Review: spring, Person: i.Person, Target: i.Target,
			Verdict: remove}}}, minutes(90)))
	require.NoError(t, l.SaveReviewLink(ctx, org,
		ledger.ReviewLink{ID: "k", Review: spring, Reviewer: idCarol, Expires: minutes(90)}))
	require.NoError(t, l.NameReviewers(ctx, org, spring, map[string]string{carol: idCarol}))
	require.NoError(t, l.SaveSourceCounts(ctx, org, "r1", map[string]ledger.Count{"src-1": {Name: "eng", Users: 90}},
		nil, noon))
	page := ledger.Page{Key: "3", Mark: []access.RuleMatch{{Person: person(1).ID, Rule: "r#1", Since: noon}}}
	require.NoError(t, l.SavePage(ctx, org, "r1", page, noon))
	suspended := access.Change{Person: "id-00007", Target: access.Directory, Action: access.Remove,
		Reasons: []access.Reason{{Kind: access.ReasonRule, Name: "rule"}}}
	plan(t, l, "r3", suspended)
	require.NoError(t, l.EndChange(ctx, org, "r3", answer(suspended, access.Done, "", noon)))
	held := change(person(8), access.Remove, "dev")
	held.State = access.Held
	plan(t, l, "r4", held)
	require.NoError(t, l.OpenHold(ctx, ledger.Hold{Org: org, Plan: "plan-4", Run: "r4", Removals: 1, Opened: noon}))
	_, err = l.DecideHold(ctx, org, "plan-4", ledger.Reject, "carol", "", noon)
	require.NoError(t, err)
	sound(t, l)
}

// unexplained are the rows that the chain does not explain.
func unexplained(t testing.TB, l *ledger.Ledger) []string {
	t.Helper()
	check, err := l.VerifyRows(t.Context(), org, func(int64) {})
	require.NoError(t, err)
	require.Len(t, check.First, int(check.Unexplained))
	var all []string
	for _, u := range check.First {
		all = append(all, u.String())
	}
	return all
}

func TestVerifyRowsNamesWhatWasWrittenPastTheLedger(t *testing.T) {
	t.Parallel()
	copied := func(table, columns, values, where string) string {
		return fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM %s WHERE %s", table, columns, values, table, where)
	}
	const grantColumns = "org, id, person, email, email_key, target, target_key, person_key, state, settled, requested, since, until, taken, body, entry"
	const rejectionColumns = "org, person, target, action, group_id, email, reasons, sources, loses, held_by, answer, at, entry"
	const taskColumns = "org, review, stage, reviewer, n, role, since, verdict, entry"
	cases := []struct{ name, statement, row, why string }{
		{"a grant made up", copied("grants", grantColumns, strings.Replace(grantColumns, "id,", "'g9',", 1),
			"id = 'g1'"), "grants g9", "does not speak of it"},
		{"likewise, of no entry", copied("grants", grantColumns,
			strings.Replace(strings.Replace(grantColumns, "id,", "'g9',", 1), ", entry", ", 0", 1), "id = 'g1'"),
			"grants g9", "no entry"},
		{"a grant prolonged", `UPDATE grants SET until = until + 1 WHERE id = 'g1'`, "grants g1", "it is not as entry"},
		{"a request approved", `UPDATE grants SET state = 'granted' WHERE id = 'g2'`, "grants g2",
			"it is not as entry"},
		{"another's approvers", `UPDATE grants SET body = REPLACE(body, 'approver', 'evil') || ' ' WHERE id = 'g2'`,
			"grants g2", "it is not as entry"},
		{"a grant forgotten", `DELETE FROM grants WHERE id = 'g1'`, "grants g1", "it is not there"},
		{"owned", `UPDATE holdings SET owned = 1 WHERE person = 'id-00009'`, "holdings id-00009 group:dev",
			"it is not as entry"},
		{"disowned", `DELETE FROM holdings WHERE person = 'id-00001'`, "holdings id-00001 group:dev",
			"it is not there"},
		{"a grant's holding left out of the hours", `UPDATE holdings SET granted = 1 WHERE person = 'id-00001'`,
			"holdings id-00001 group:dev", "it is not as entry"},
		{"a hold approved by another", `UPDATE holds SET by_whom = 'evil' WHERE number = 1`, "holds 1",
			"it is not as entry"},
		{"a rule released", `UPDATE rules SET released = 1`, "rules rule#1", "it is not as entry"},
		{"a verdict turned", `UPDATE review_items SET verdict = 'keep', said = REPLACE(said, 'remove', 'keep') WHERE n = 1`, "review_items " + spring, "it is not as entry"},
		{"a word turned", `UPDATE review_events SET verdict = 'keep' WHERE verdict = 'remove' AND n = 2`,
			"review_events " + spring, "it is not as entry"},
		{"a word unsaid", `DELETE FROM review_events WHERE n = 2`, "review_events " + spring, "it is not there"},
		{"an item dropped", `DELETE FROM review_items WHERE n = 3`, "review_items " + spring, "it is not there"},
		{"a review closed", `UPDATE reviews SET state = 'done'`, "reviews " + spring, "it is not as entry"},
		{"a ruling made up", `INSERT INTO rulings (org, person, target, review, verdict, at, until, entry) SELECT org, 'id-00009', target, review, verdict, at, until, entry FROM rulings`, "rulings id-00009", "does not speak of it"},
		{"a ruling lifted", `DELETE FROM rulings`, "rulings id-", "it is not there"},
		{"another policy in force", `UPDATE organizations SET policy = 'p2'`, "organizations ", "it is not as entry"},
		{"adopted", `UPDATE organizations SET adopted_at = 5`, "organizations ", "it is not as entry"},
		{"a name bound to another", `UPDATE policy_names SET account = 'evil' WHERE name LIKE 'boss%'`,
			"policy_names boss@acme.example", "it is not as entry"},
		{"likewise, an account", `UPDATE policy_names SET account = 'evil' WHERE name = 'id-00002'`,
			"policy_names id-00002", "it is not as entry"},
		{"a name made up", `INSERT INTO policy_names (org, name, account, email, since, trial, gone, entry) SELECT org, 'new@acme.example', account, email, since, trial, gone, entry FROM policy_names WHERE name LIKE 'boss%'`, "policy_names new@acme.example", "does not speak of it"},
		{"a line made up", copied("lines",
			"org, run, person, target, rank, action, group_id, email, state, reasons, sources, loses, held_by, answer, at, attempts",
			"org, run, 'id-00009', target, rank, action, group_id, email, state, reasons, sources, loses, held_by, answer, at, attempts", "state = 'done' AND run = 'r1'"), "lines r1 id-00009 group:dev", "no entry of the chain says so"},
		{"likewise, of an address", `UPDATE lines SET person = 'x@acme.example', target = 'role:org-admin' WHERE state = 'done' AND run = 'r1'`, "lines r1 x@acme.example role:org-admin", "no entry of the chain says so"},
		{"a mark set back", `UPDATE marks SET since = 5`, "marks id-00001 r#1", "it is not as entry"},
		{"a mark wiped", `DELETE FROM marks`, "marks id-00001 r#1", "it is not there"},
		{"a rejection made up", copied("rejections", rejectionColumns,
			strings.Replace(rejectionColumns, "person,", "'id-00009',", 1), "1 = 1"), "rejections id-00009 group:dev",
			"does not speak of it"},
		{"a rejection forgotten", `DELETE FROM rejections`, "rejections id-00008 group:dev", "it is not there"},
		{"a count made small", `UPDATE source_counts SET users = 1`, "source_counts src-1", "it is not as entry"},
		{"a task given", copied("review_tasks", taskColumns, strings.Replace(taskColumns, "reviewer,", "'evil',", 1),
			"n = 1"), "review_tasks " + spring + " 1 evil 1", "does not speak of it"},
		{"an answer of a task turned", `UPDATE review_tasks SET verdict = 'keep' WHERE n = 1`, "review_tasks " + spring,
			"it is not as entry"},
		{"a name in a review bound to another", `UPDATE review_names SET account = 'evil'`,
			"review_names " + spring + " " + carol, "it is not as entry"},
		{"a name in a review forgotten", `DELETE FROM review_names`, "review_names " + spring + " #",
			"it is not there"},
		{"a name of the policy forgotten", `DELETE FROM policy_names WHERE name LIKE 'boss%'`, "policy_names #",
			"it is not there"},
		{"a link of another", `UPDATE review_links SET reviewer = 'evil'`, "review_links k", "it is not as entry"},
		{"a suspension ended", `DELETE FROM suspensions`, "suspensions id-00007", "it is not there"},
		{"a suspension made up", `INSERT INTO suspensions (org, person, since, run, reasons) VALUES ('acme', 'id-00009', 5, 'r1', '')`, "suspensions id-00009", "no entry of the chain speaks of it"},
		{"of an entry to come", `UPDATE holds SET entry = 10000 WHERE number = 1`, "holds 1", "does not speak of it"},
	}
	both(t, func(t *testing.T, l *ledger.Ledger) {
		eventful(t, l)
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				table, _, _ := strings.Cut(c.row, " ")
				restore := saveRows(t, l, table, "1 = 1")
				n, err := l.Exec(t.Context(), c.statement)
				require.NoError(t, err)
				require.Equal(t, 1, n)
				found := unexplained(t, l)
				require.Len(t, found, 1)
				require.Contains(t, found[0], c.row)
				require.Contains(t, found[0], c.why)
				restore()
			})
		}
		sound(t, l)
	})
}

func TestVerifyRowsFindsAnOlderRowPutBack(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		eventful(t, l)
		const columns = "person, email, email_key, target, target_key, person_key, state, settled, requested, since, until, taken, body, entry"
		_, err := l.Exec(t.Context(), `CREATE TABLE kept AS SELECT id, `+columns+` FROM grants WHERE id = 'g1'`)
		require.NoError(t, err)
		_, err = l.EndGrant(t.Context(), org, "g1", "carol", "", minutes(5))
		require.NoError(t, err)
		sound(t, l)
		_, err = l.Exec(t.Context(), `UPDATE grants SET (`+columns+`) = (SELECT `+columns+` FROM kept) WHERE id = 'g1'`)
		require.NoError(t, err)
		_, err = l.Exec(t.Context(), `DROP TABLE kept`)
		require.NoError(t, err)
		require.Contains(t, unexplained(t, l)[0], "it is as an older entry said")
		unproven, err := l.UnprovenGrants(t.Context(), org, []access.Grant{stored(t, l, "g1")})
		require.NoError(t, err)
		require.True(t, unproven["g1"])
	})
}

func TestWritingOverAForgedRowDoesNotExplainIt(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		eventful(t, l)
		_, err := l.Exec(t.Context(), `UPDATE grants SET until = until + 1000000000 WHERE id = 'g1'`)
		require.NoError(t, err)
		require.NoError(t, l.MarkGrantProvisioned(t.Context(), org, []string{"g1"}, minutes(1)))
		require.Contains(t, unexplained(t, l)[0], "no entry explained how it was before entry")
		unproven, err := l.UnprovenGrants(t.Context(), org, []access.Grant{stored(t, l, "g1")})
		require.NoError(t, err)
		require.True(t, unproven["g1"])
	})
}

func TestAGrantIsAReasonOnlyWhenTheChainSaysSo(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		eventful(t, l)
		g := stored(t, l, "g1")
		at := g.From.Add(time.Second)
		inForce := func() (ids []string) {
			states, err := l.States(t.Context(), org, []string{g.Person}, noon)
			require.NoError(t, err)
			for _, one := range states[g.Person].Grants {
				if one.InForce(at) {
					ids = append(ids, one.ID)
				}
			}
			return ids
		}
		require.Equal(t, []string{"g1"}, inForce())
		_, err := l.Exec(t.Context(), `UPDATE grants SET state = 'granted', since = ?, until = ? WHERE id = 'g2'`,
			g.From.UnixMicro(), at.AddDate(10, 0, 0).UnixMicro())
		require.NoError(t, err)
		require.Equal(t, []string{"g1"}, inForce(), "nobody granted the other")
		_, err = l.Exec(t.Context(), `UPDATE grants SET until = ? WHERE id = 'g1'`, at.AddDate(10, 0, 0).UnixMicro())
		require.NoError(t, err)
		require.Empty(t, inForce())
	})
}

func TestDecideGrantRefusesARequestThatNobodyMade(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		eventful(t, l)
		before := stored(t, l, "g2")
		_, err := l.Exec(t.Context(), `UPDATE grants SET person = 'id-00666' WHERE id = 'g2'`)
		require.NoError(t, err)
		_, _, err = l.DecideGrant(t.Context(), org, "g2",
			ledger.Decision{By: before.Approvers[0], Approve: true, At: minutes(1)})
		require.ErrorIs(t, err, ledger.ErrUnexplained)
		require.Equal(t, access.GrantWaiting, stored(t, l, "g2").State)
	})
}

func TestVerifyChainOfAKnownOrganization(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		eventful(t, l)
		for _, statement := range []string{`DELETE FROM entries`, `UPDATE heads SET seq = 0, hash = ''`} {
			_, err := l.Exec(t.Context(), statement)
			require.NoError(t, err)
		}
		check, err := l.VerifyChain(t.Context(), org, 0, 0)
		require.NoError(t, err)
		require.NotNil(t, check.Broken, "an emptied chain")
		require.NotEmpty(t, unexplained(t, l))
		require.ErrorIs(t, l.Adopt(t.Context(), org, "r1", "ana", noon), ledger.ErrChainCut, "nor may a new one begin")
		require.ErrorIs(t, l.OpenHold(t.Context(), ledger.Hold{Org: org, Plan: "plan-2", Run: "r2", Opened: noon}),
			ledger.ErrChainCut)
	})
}

func TestVerifyChainCutAndItsHeadMovedBack(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		eventful(t, l)
		seq, _, err := l.Head(t.Context(), org)
		require.NoError(t, err)
		for _, statement := range []string{`DELETE FROM entries WHERE seq > ?`,
			`UPDATE heads SET seq = ?, hash = (SELECT hash FROM entries ORDER BY seq DESC LIMIT 1)`} {
			_, err := l.Exec(t.Context(), statement, seq-2)
			require.NoError(t, err)
		}
		check, err := l.VerifyChain(t.Context(), org, 0, 0)
		require.NoError(t, err)
		require.Nil(t, check.Broken, "the chain alone does not show it")
		require.NotEmpty(t, unexplained(t, l), "the rows do")
	})
}

// TestALedgerFromBeforeIsRecordedOnce: what is there when a ledger begins to record rows is from before, and nothing
// that comes later is.
func TestALedgerFromBeforeIsRecordedOnce(t *testing.T) {
	t.Parallel()
	test := func(t *testing.T, url string) {
		before, err := ledger.OpenAt(t.Context(), url, 10)
		require.NoError(t, err)
		at := noon.UnixMicro()
		for _, statement := range []string{
			`INSERT INTO organizations (org, org_id, directory, policy, policy_at, adopted_at) VALUES ('acme', 'Org-1', '', 'p1', 5, 6)`,
			`INSERT INTO policies (org, hash, body, source, org_id, directory, by_whom, at) VALUES ('acme', 'p1', '', '', '', '', '', 5)`,
			fmt.Sprintf(`INSERT INTO organizations (org, org_id, directory, policy, policy_at, adopted_at) VALUES ('later', 'org-1', '', 'p1', %d, 8)`, at+5),
			`INSERT INTO holdings (org, person, target, since, until, group_id, owned, reasons, run) VALUES ('acme', 'id-00001', 'group:ops', 5, 0, 'g', 1, '', 'r1')`,
			fmt.Sprintf(`INSERT INTO grants (org, id, person, email, email_key, target, target_key, person_key, state, settled, requested, since, until, taken, body)
				VALUES ('acme', 'g1', 'id-00001', '', '', 'group:ops', 'group:ops', 'id-00001', 'granted', 0, %d, %[1]d, %d, 0, '{"by":"ana","duration":"1h"}')`, at, at+3600_000_000),
			fmt.Sprintf(`INSERT INTO grants (org, id, person, email, email_key, target, target_key, person_key, state, settled, requested, since, until, taken, body)
				VALUES ('acme', 'g2', 'id-00001', '', '', 'group:ops', 'group:ops', 'id-00001', 'granted', 0, %d, %[1]d, %d, 0, '{"by":"eve","duration":"1h"}')`, at, at+3600_000_000),
		} {
			_, err := before.Exec(t.Context(), statement)
			require.NoError(t, err)
		}
		_, err = before.Append(t.Context(),
			ledger.Entry{Org: org, At: noon, Kind: ledger.EntryGrantGranted, Person: "id-00001", Target: group("ops"),
				Body: []byte(`{"grant":"g1"}`)})
		require.NoError(t, err)
		require.NoError(t, before.Close())

		for range 2 {
			l := open(t, url)
			sound(t, l)
			check, err := l.VerifyRows(t.Context(), org, func(int64) {})
			require.NoError(t, err)
			require.EqualValues(t, []int64{5, 5}, []int64{check.Rows, check.Before},
				"the organization, the id that it serves, the holding, both grants")
			unproven, err := l.UnprovenGrants(t.Context(), org, []access.Grant{stored(t, l, "g1"), stored(t, l, "g2")})
			require.NoError(t, err)
			require.Equal(t, map[string]bool{"g2": true}, unproven, "that one was granted by nobody")
			served, err := l.ServedAs(t.Context(), "org-1")
			require.NoError(t, err)
			require.Equal(t, org, served, "who came first")
			require.NoError(t, l.Close())
		}

		l := open(t, url)
		_, err = l.Exec(t.Context(), `INSERT INTO holdings (org, person, target, since, until, group_id, owned, reasons, run, entry)
			VALUES ('acme', 'id-00009', 'group:ops', 5, 0, 'g', 1, '', 'r1', 0)`)
		require.NoError(t, err)
		_, err = l.Exec(t.Context(), `UPDATE organizations SET entry = 0`)
		require.NoError(t, err)
		require.NoError(t, l.Close())
		require.Len(t, unexplained(t, open(t, url)), 2, "nothing is from before twice")
	}
	t.Run("sqlite", func(t *testing.T) { t.Parallel(); test(t, filepath.Join(t.TempDir(), "castellan.db")) })
	t.Run("postgres", func(t *testing.T) { t.Parallel(); test(t, postgresURL(t)) })
}

func TestARulingIsAReasonOnlyWhenTheChainSaysSo(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		eventful(t, l)
		rulings := func(person string) int {
			states, err := l.States(t.Context(), org, []string{person}, noon)
			require.NoError(t, err)
			return len(states[person].Rulings)
		}
		honest := item(t, l, spring, 1).Person
		require.Equal(t, 1, rulings(honest))
		_, err := l.Exec(t.Context(), `INSERT INTO rulings (org, person, target, review, verdict, at, until, entry) SELECT org, 'id-00009', target, review, verdict, at, until, entry FROM rulings`)
		require.NoError(t, err)
		require.Zero(t, rulings("id-00009"))
		require.Equal(t, 1, rulings(honest))
	})
}
