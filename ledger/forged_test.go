package ledger_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/review"
)

// putBack keeps the rows of a table that a condition chooses, lets something happen, and then puts them back as they
// were, each with all that Castellan itself had written of it.
func putBack(t testing.TB, l *ledger.Ledger, table, condition string, happen func()) {
	t.Helper()
	restore := saveRows(t, l, table, condition)
	happen()
	sound(t, l)
	restore()
}

// saveRows copies the rows of a table that a condition chooses; restore puts them in place of those that it chooses
// then.
func saveRows(t testing.TB, l *ledger.Ledger, table, condition string) (restore func()) {
	t.Helper()
	exec := func(statement string) {
		t.Helper()
		_, err := l.Exec(t.Context(), statement)
		require.NoError(t, err)
	}
	exec(`CREATE TABLE kept AS SELECT * FROM ` + table + ` WHERE ` + condition)
	return func() {
		t.Helper()
		exec(`DELETE FROM ` + table + ` WHERE ` + condition)
		exec(`INSERT INTO ` + table + ` SELECT * FROM kept`)
		exec(`DROP TABLE kept`)
	}
}

// state is what is known of a person when they are decided.
func state(t testing.TB, l *ledger.Ledger, person string) ledger.PersonState {
	t.Helper()
	states, err := l.States(t.Context(), org, []string{person}, noon)
	require.NoError(t, err)
	return states[person]
}

// An older row that was honest once is not acted on, and what Castellan writes over it does not make it whole.
func TestAnOlderRowPutBackIsNotActedOn(t *testing.T) {
	t.Parallel()
	ana := person(1).ID
	idle := access.Change{Person: ana, Target: access.Directory, Action: access.Remove,
		Reasons: []access.Reason{{Kind: access.ReasonRule, Name: "idle"}}}
	policy := func(l *ledger.Ledger, hash, boss string) error {
		_, err := l.SavePolicy(t.Context(),
			ledger.PolicyVersion{Org: org, Hash: hash, Body: []byte("{}"), OrgID: "org-1", At: noon,
				Names: []ledger.PolicyName{{Name: "boss@acme.example", Account: boss}}})
		return err
	}
	for _, c := range []struct {
		table, condition string
		before, happen   func(t *testing.T, l *ledger.Ledger)
		acted            func(t *testing.T, l *ledger.Ledger)
	}{
		{"grants", "id = 'g1'",
			func(t *testing.T, l *ledger.Ledger) {
				g := lease("g1")
				g.State = access.GrantGranted
				request(t, l, g)
			},
			func(t *testing.T, l *ledger.Ledger) {
				_, err := l.EndGrant(t.Context(), org, "g1", "carol", "", minutes(5))
				require.NoError(t, err)
			},
			func(t *testing.T, l *ledger.Ledger) {
				require.Equal(t, []string{"g1"}, state(t, l, ana).Unproven)
				require.NoError(t, l.MarkGrantProvisioned(t.Context(), org, []string{"g1"}, minutes(6)))
				require.Equal(t, []string{"g1"}, state(t, l, ana).Unproven, "written over, it is no better")
				_, _, err := l.RequestGrant(t.Context(), org, lease("g1"))
				require.ErrorIs(t, err, ledger.ErrUnexplained)
				require.ErrorContains(t, err, "grants g1")
			}},
		{"grants", "id = 'g2'",
			func(t *testing.T, l *ledger.Ledger) {
				g := asked("g2")
				g.Needs = 2
				request(t, l, g)
			},
			func(t *testing.T, l *ledger.Ledger) {
				_, _, err := l.DecideGrant(t.Context(), org, "g2", ledger.Decision{By: idCarol, At: minutes(1)})
				require.NoError(t, err)
			},
			func(t *testing.T, l *ledger.Ledger) {
				_, _, err := l.DecideGrant(t.Context(), org, "g2",
					ledger.Decision{By: idDan, Approve: true, At: minutes(2)})
				require.ErrorIs(t, err, ledger.ErrUnexplained, "it was denied")
			}},
		{"rulings", "person = '" + ana + "'",
			func(t *testing.T, l *ledger.Ledger) {
				underReview(t, l, spring, 1, map[string][]int{idCarol: {1}})
				tell(t, l, spring, word(idCarol, remove, 1))
				i := item(t, l, spring, 1)
				i.Outcome = access.OutcomeOpen
				require.NoError(t, l.Settle(t.Context(), org, spring, []review.Resolution{{Item: i,
					NewRuling: &access.Ruling{Review: spring, Person: i.Person, Target: i.Target, Verdict: remove}}},
					minutes(9)))
				require.Len(t, state(t, l, ana).Rulings, 1)
			},
			func(t *testing.T, l *ledger.Ledger) { require.NoError(t, l.FreeRulings(t.Context(), org, spring)) },
			func(t *testing.T, l *ledger.Ledger) { require.Empty(t, state(t, l, ana).Rulings) }},
		{"suspensions", "person = '" + ana + "'",
			func(t *testing.T, l *ledger.Ledger) {
				written(t, l, "run-1", idle, noon, access.Done)
				require.NotNil(t, state(t, l, ana).Suspension)
			},
			func(t *testing.T, l *ledger.Ledger) { // somebody restored the person by hand
				require.NoError(t, l.SavePage(t.Context(), org, "run-1",
					ledger.Page{Key: "9", Unsuspend: []string{ana}}, minutes(1)))
			},
			func(t *testing.T, l *ledger.Ledger) { require.Nil(t, state(t, l, ana).Suspension) }},
		{"rejections", "person = 'id-00002'",
			func(t *testing.T, l *ledger.Ledger) {
				hold, _ := stopped(t, l, "r1", "share", noon)
				_, err := l.DecideHold(t.Context(), org, hold.Plan, ledger.Reject, "carol", "", noon)
				require.NoError(t, err)
				require.Len(t, state(t, l, "id-00002").Rejected, 1)
			},
			func(t *testing.T, l *ledger.Ledger) {
				require.NoError(t, l.SavePage(t.Context(), org, "r2",
					ledger.Page{Key: "0", Lift: state(t, l, "id-00002").Rejected}, noon))
			},
			func(t *testing.T, l *ledger.Ledger) { require.Empty(t, state(t, l, "id-00002").Rejected) }},
		{"marks", "person = '" + ana + "'",
			func(t *testing.T, l *ledger.Ledger) {
				require.NoError(t, l.SavePage(t.Context(), org, "r1",
					ledger.Page{Key: "0", Mark: []access.RuleMatch{{Person: ana, Rule: "r#1", Since: noon}}}, noon))
				require.Len(t, state(t, l, ana).Marks, 1)
			},
			func(t *testing.T, l *ledger.Ledger) {
				mark := access.RuleMatch{Person: ana, Rule: "r#1", Since: minutes(90)}
				require.NoError(t, l.SavePage(t.Context(), org, "r2",
					ledger.Page{Key: "0", Unmark: []access.RuleMatch{mark}}, noon))
				require.NoError(t, l.SavePage(t.Context(), org, "r2", ledger.Page{Key: "1", Mark: []access.RuleMatch{mark}},
					noon))
			},
			func(t *testing.T, l *ledger.Ledger) { require.Empty(t, state(t, l, ana).Marks) }},
		{"rules", "rule = 'a#1'",
			func(t *testing.T, l *ledger.Ledger) {
				require.NoError(t, l.SaveSeen(t.Context(), org,
					[]ledger.RuleState{{Key: "a#1", Name: "a", Seen: "sha256:x"}}))
			},
			func(t *testing.T, l *ledger.Ledger) {
				require.NoError(t, l.SaveSeen(t.Context(), org,
					[]ledger.RuleState{{Key: "a#1", Name: "a", Seen: "sha256:y"}}))
			},
			func(t *testing.T, l *ledger.Ledger) {
				known, err := l.Rules(t.Context(), org)
				require.NoError(t, err)
				require.Empty(t, known)
			}},
		{"organizations", "org = 'acme'",
			func(t *testing.T, l *ledger.Ledger) {
				require.NoError(t, policy(l, "p1", ana))
				require.NoError(t, l.Adopt(t.Context(), org, "r1", "ana", noon))
			},
			func(t *testing.T, l *ledger.Ledger) { require.NoError(t, policy(l, "p2", ana)) },
			func(t *testing.T, l *ledger.Ledger) {
				o, err := l.Organization(t.Context(), org)
				require.NoError(t, err)
				require.True(t, o.Unexplained)
				require.Zero(t, o.AdoptedAt, "nobody consented to the policy that stands there now")
				require.ErrorIs(t, l.Adopt(t.Context(), org, "r1", "ana", noon), ledger.ErrUnexplained)
			}},
		{"served", "id = 'org-1'",
			func(t *testing.T, l *ledger.Ledger) { require.NoError(t, policy(l, "p1", ana)) },
			func(t *testing.T, l *ledger.Ledger) {
				_, err := l.Retire(t.Context(), org, "ana", noon)
				require.NoError(t, err)
			},
			func(t *testing.T, l *ledger.Ledger) {
				_, err := l.ServedAs(t.Context(), "org-1")
				require.ErrorIs(t, err, ledger.ErrNotFound, "it was retired")
			}},
		{"policy_names", "org = 'acme'",
			func(t *testing.T, l *ledger.Ledger) { require.NoError(t, policy(l, "p1", ana)) },
			func(t *testing.T, l *ledger.Ledger) { require.NoError(t, policy(l, "p2", idCarol)) },
			func(t *testing.T, l *ledger.Ledger) {
				names, err := l.PolicyNames(t.Context(), org)
				require.NoError(t, err)
				require.True(t, names[0].Unexplained)
				require.Empty(t, names[0].Account)
			}},
		{"holds", "number = 1",
			func(t *testing.T, l *ledger.Ledger) { stopped(t, l, "r1", "share", noon) },
			func(t *testing.T, l *ledger.Ledger) {
				require.NoError(t, l.OpenHold(t.Context(),
					ledger.Hold{Org: org, Plan: "plan-r1", Run: "r2", Removals: 1, Opened: noon}))
			},
			func(t *testing.T, l *ledger.Ledger) {
				_, err := l.DecideHold(t.Context(), org, "plan-r1", ledger.Approve, "carol", "", noon)
				require.ErrorIs(t, err, ledger.ErrUnexplained)
				require.ErrorContains(t, err, "holds 1")
			}},
		{"source_counts", "group_id = 'g'",
			func(t *testing.T, l *ledger.Ledger) {
				require.NoError(t, l.SaveSourceCounts(t.Context(), org, "r1",
					map[string]ledger.Count{"g": {Name: "src", Users: 2}}, nil, noon))
			},
			func(t *testing.T, l *ledger.Ledger) {
				require.NoError(t, l.SaveSourceCounts(t.Context(), org, "r2",
					map[string]ledger.Count{"g": {Name: "src", Users: 200}}, nil, noon))
			},
			func(t *testing.T, l *ledger.Ledger) {
				counts, err := l.SourceCounts(t.Context(), org)
				require.NoError(t, err)
				require.True(t, counts["g"].Unexplained)
			}},
		{"review_items", "n = 1",
			func(t *testing.T, l *ledger.Ledger) {
				underReview(t, l, spring, 2, map[string][]int{idCarol: {1, 2}, idDan: {1, 2}})
				tell(t, l, spring, word(idCarol, keep, 1))
			},
			func(t *testing.T, l *ledger.Ledger) { tell(t, l, spring, word(idCarol, remove, 1)) },
			func(t *testing.T, l *ledger.Ledger) {
				found, err := l.UnexplainedItems(t.Context(), org, spring,
					[]access.Item{item(t, l, spring, 1), item(t, l, spring, 2)})
				require.NoError(t, err)
				require.Equal(t, map[int]bool{1: true}, found)
				said := hear(t, l, spring, word(idDan, keep, 1, 2))[0]
				require.Equal(t, []int{2}, said.Applied)
				require.Equal(t, []ledger.RefusedItem{{N: 1, Why: ledger.ErrUnexplained.Error()}}, said.Refused)
			}},
		{"review_tasks", "n = 1 AND reviewer = '" + idDan + "'",
			func(t *testing.T, l *ledger.Ledger) {
				underReview(t, l, spring, 2, map[string][]int{idCarol: {1, 2}, idDan: {1, 2}})
			},
			func(t *testing.T, l *ledger.Ledger) {
				_, err := l.GiveTasks(t.Context(), org, spring, 1, nil, []string{idDan})
				require.NoError(t, err)
			},
			func(t *testing.T, l *ledger.Ledger) {
				require.ErrorIs(t, hear(t, l, spring, word(idDan, keep, 1))[0].Err, review.ErrNotReviewer)
			}},
		{"review_links", "id = 'k'",
			func(t *testing.T, l *ledger.Ledger) {
				underReview(t, l, spring, 1, map[string][]int{idCarol: {1}})
				require.NoError(t, l.SaveReviewLink(t.Context(), org,
					ledger.ReviewLink{ID: "k", Review: spring, Reviewer: idCarol, Expires: minutes(90)}))
			},
			func(t *testing.T, l *ledger.Ledger) {
				_, err := l.RevokeReviewLinks(t.Context(), org, spring, "", minutes(1))
				require.NoError(t, err)
			},
			func(t *testing.T, l *ledger.Ledger) {
				_, err := l.ReviewLink(t.Context(), org, "k")
				require.ErrorIs(t, err, ledger.ErrNotFound)
			}},
	} {
		t.Run(c.table, func(t *testing.T) {
			t.Parallel()
			both(t, func(t *testing.T, l *ledger.Ledger) {
				c.before(t, l)
				putBack(t, l, c.table, c.condition, func() { c.happen(t, l) })
				found := unexplained(t, l)
				require.NotEmpty(t, found)
				for _, one := range found {
					require.True(t, strings.HasPrefix(one, c.table+" "), one)
				}
				c.acted(t, l)
				require.NotEmpty(t, unexplained(t, l), "what is done afterwards does not make it whole")
			})
		})
	}
}

// What can be found out or decided anew is, and then is whole again.
func TestWhatWasForgedIsDecidedAnew(t *testing.T) {
	t.Parallel()
	ana := person(1).ID
	for name, c := range map[string]struct {
		forge string
		anew  func(t *testing.T, l *ledger.Ledger)
	}{
		"another policy in force": {`UPDATE organizations SET policy = 'p2'`, func(t *testing.T, l *ledger.Ledger) {
			changed, err := l.SavePolicy(t.Context(),
				ledger.PolicyVersion{Org: org, Hash: "p2", OrgID: "org-1", At: noon})
			require.NoError(t, err)
			require.True(t, changed)
			o, err := l.Organization(t.Context(), org)
			require.NoError(t, err)
			require.Zero(t, o.AdoptedAt, "consent is asked for again")
			require.NoError(t, l.Adopt(t.Context(), org, "r9", "ana", noon))
			o, err = l.Organization(t.Context(), org)
			require.NoError(t, err)
			require.Equal(t, noon, o.AdoptedAt)
		}},
		"a rule released": {`UPDATE rules SET released = 1`, func(t *testing.T, l *ledger.Ledger) {
			require.NoError(t, l.SaveSeen(t.Context(), org, []ledger.RuleState{{Key: "rule#1", Name: "rule"}}))
			known, err := l.Rules(t.Context(), org)
			require.NoError(t, err)
			require.Zero(t, known["rule#1"].Released)
		}},
		"a mark set back": {`UPDATE marks SET since = 5`, func(t *testing.T, l *ledger.Ledger) {
			require.Empty(t, state(t, l, ana).Marks)
			mark := access.RuleMatch{Person: ana, Rule: "r#1", Since: minutes(7)}
			require.NoError(t, l.SavePage(t.Context(), org, "r9", ledger.Page{Key: "0", Mark: []access.RuleMatch{mark}},
				noon))
			require.Equal(t, []access.RuleMatch{mark}, state(t, l, ana).Marks)
		}},
		"a count made small": {`UPDATE source_counts SET users = 1`, func(t *testing.T, l *ledger.Ledger) {
			require.NoError(t, l.SaveSourceCounts(t.Context(), org, "r9",
				map[string]ledger.Count{"src-1": {Name: "eng", Users: 90}}, nil, noon))
			counts, err := l.SourceCounts(t.Context(), org)
			require.NoError(t, err)
			require.False(t, counts["src-1"].Unexplained)
		}},
		"a suspension of another run": {`UPDATE suspensions SET run = 'x'`, func(t *testing.T, l *ledger.Ledger) {
			require.Nil(t, state(t, l, "id-00007").Suspension)
			require.NoError(t, l.SavePage(t.Context(), org, "r9",
				ledger.Page{Key: "0", Unsuspend: []string{"id-00007"}}, noon))
		}},
		"a ruling turned": {`UPDATE rulings SET verdict = 'keep'`, func(t *testing.T, l *ledger.Ledger) {
			i := item(t, l, spring, 1)
			require.NoError(t, l.Settle(t.Context(), org, spring, []review.Resolution{{Item: i,
				NewRuling: &access.Ruling{Review: spring, Person: i.Person, Target: i.Target, Verdict: remove}}},
				minutes(95)))
			require.Equal(t, remove, state(t, l, i.Person).Rulings[0].Verdict)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			both(t, func(t *testing.T, l *ledger.Ledger) {
				eventful(t, l)
				n, err := l.Exec(t.Context(), c.forge)
				require.NoError(t, err)
				require.Equal(t, 1, n)
				require.Len(t, unexplained(t, l), 1)
				c.anew(t, l)
				sound(t, l)
			})
		})
	}
}

// Rows that were deleted past the ledger do not become whole by being written again.
func TestADeletedRowIsNotWrittenAnew(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		eventful(t, l)
		_, err := l.Exec(t.Context(), `DELETE FROM grants WHERE id = 'g1'`)
		require.NoError(t, err)
		_, _, err = l.RequestGrant(t.Context(), org, lease("g1"))
		require.ErrorIs(t, err, ledger.ErrUnexplained)
		require.Contains(t, unexplained(t, l)[0], "grants g1: entry")
	})
}

// Where the chain was cut or broken, nothing is taken from it.
func TestAChainThatIsNotWholeExplainsNothing(t *testing.T) {
	t.Parallel()
	test := func(t *testing.T, url string) {
		l := open(t, url)
		eventful(t, l)
		ana := person(1).ID
		require.Empty(t, state(t, l, ana).Unproven)
		seq, _, err := l.Head(t.Context(), org)
		require.NoError(t, err)
		_, err = l.Exec(t.Context(), `DELETE FROM entries WHERE seq = ?`, seq-1)
		require.NoError(t, err)
		fresh := open(t, url)
		require.Equal(t, []string{"g1"}, state(t, fresh, ana).Unproven,
			"an entry is missing: it may have ended the grant")
		_, _, err = fresh.DecideGrant(t.Context(), org, "g2",
			ledger.Decision{By: idCarol, Approve: true, At: minutes(1)})
		require.ErrorIs(t, err, ledger.ErrUnexplained)

		_, err = l.Exec(t.Context(), `DELETE FROM entries WHERE seq > ?`, seq-5)
		require.NoError(t, err)
		_, err = l.Exec(t.Context(), `UPDATE heads SET seq = ?, hash = (SELECT hash FROM entries ORDER BY seq DESC LIMIT 1)`, seq-5)
		require.NoError(t, err)
		_, err = l.States(t.Context(), org, []string{ana}, noon)
		require.ErrorIs(t, err, ledger.ErrChainCut, "it was cut while the worker ran")
		require.ErrorIs(t, l.Adopt(t.Context(), org, "r1", "ana", noon), ledger.ErrChainCut)
		_, err = l.Organization(t.Context(), org)
		require.ErrorIs(t, err, ledger.ErrChainCut, "which is not to say that its policy was forged")
	}
	t.Run("sqlite", func(t *testing.T) { t.Parallel(); test(t, filepath.Join(t.TempDir(), "castellan.db")) })
	t.Run("postgres", func(t *testing.T) { t.Parallel(); test(t, postgresURL(t)) })
}

// What is being written by others meanwhile is not taken for forged.
func TestRowsAreExplainedWhileOthersWriteThem(t *testing.T) {
	t.Parallel()
	test := func(t *testing.T, url string) {
		writer, reader := open(t, url), open(t, url)
		names := func(n int) []ledger.PolicyName {
			return []ledger.PolicyName{{Name: "a@acme.example", Account: fmt.Sprint("id-", n)},
				{Name: "b@acme.example", Account: fmt.Sprint("id-", n)}}
		}
		require.NoError(t, writer.KeepPolicyNames(t.Context(), org, names(0), noon))
		var writing sync.WaitGroup
		writing.Go(func() {
			for n := range 100 {
				require.NoError(t, writer.KeepPolicyNames(t.Context(), org, names(n), noon))
			}
		})
		done := make(chan struct{})
		go func() { writing.Wait(); close(done) }()
		for over := false; !over; {
			select {
			case <-done:
				over = true
			default:
			}
			for _, l := range []*ledger.Ledger{writer, reader} {
				all, err := l.PolicyNames(t.Context(), org)
				require.NoError(t, err)
				for _, n := range all {
					require.False(t, n.Unexplained)
				}
			}
		}
		sound(t, reader)
	}
	t.Run("sqlite", func(t *testing.T) { t.Parallel(); test(t, filepath.Join(t.TempDir(), "castellan.db")) })
	t.Run("postgres", func(t *testing.T) { t.Parallel(); test(t, postgresURL(t)) })
}

// asOfVersion1 makes a chain what a Castellan would have written that recorded fewer tables, and the tables what they
// were then.
func asOfVersion1(t *testing.T, l *ledger.Ledger) {
	t.Helper()
	later := []string{"marks", "suspensions", "rejections", "source_counts", "review_tasks", "review_names",
		"review_links", "removal_events"}
	all, err := l.Entries(t.Context(), org, 0, 100_000)
	require.NoError(t, err)
	prev := ""
	for _, e := range all {
		if e.Kind == ledger.EntryRows {
			var stored struct {
				Rows [][]string `json:"rows"`
			}
			require.NoError(t, json.Unmarshal(e.Body, &stored))
			stored.Rows = slices.DeleteFunc(stored.Rows,
				func(row []string) bool { return slices.Contains(later, row[0]) })
			e.Body, err = json.Marshal(stored)
			require.NoError(t, err)
		}
		e.Prev = prev
		prev = e.Sum()
		_, err := l.Exec(t.Context(), `UPDATE entries SET body = ?, prev = ?, hash = ? WHERE org = ? AND seq = ?`,
			string(e.Body), e.Prev, prev, org, e.Seq)
		require.NoError(t, err)
	}
	_, err = l.Exec(t.Context(), `UPDATE heads SET hash = ?`, prev)
	require.NoError(t, err)
}

// When more tables are recorded, what is in them is from before, once; what is forged in the others stays so.
func TestMoreTablesAreRecordedOnce(t *testing.T) {
	t.Parallel()
	test := func(t *testing.T, url string) {
		l, err := ledger.Open(t.Context(), url)
		require.NoError(t, err)
		eventful(t, l)
		require.NoError(t, l.Close())
		before, err := ledger.OpenAt(t.Context(), url, 15)
		require.NoError(t, err)
		asOfVersion1(t, before)
		for _, statement := range []string{
			`INSERT INTO grants (org, id, person, email, email_key, target, target_key, person_key, state, settled, requested, since, until, taken, body, entry)
				SELECT org, 'g9', person, email, email_key, target, target_key, person_key, state, settled, requested, since, until, taken, body, 0 FROM grants WHERE id = 'g1'`,
			`UPDATE rules SET released = 1, entry = 0`,
			`INSERT INTO suspensions (org, person, since, run, reasons) VALUES ('acme', 'id-00009', 5, 'r1', '')`,
		} {
			_, err := before.Exec(t.Context(), statement)
			require.NoError(t, err)
		}
		require.NoError(t, before.Close())
		for range 2 {
			l, err := ledger.Open(t.Context(), url)
			require.NoError(t, err)
			found := unexplained(t, l)
			require.Len(t, found, 3)
			require.Contains(t, found[0], "grants g9")
			require.Contains(t, found[1], "rules rule#1")
			require.Contains(t, found[2], "suspensions id-00009", "the chain says that nobody suspended them")
			require.NotNil(t, state(t, l, "id-00007").Suspension)
			require.Len(t, state(t, l, person(1).ID).Marks, 1)
			_, err = l.ReviewLink(t.Context(), org, "k")
			require.NoError(t, err)
			tell(t, l, spring, word(idCarol, keep, 3))
			require.NoError(t, l.Close())
		}
		l, err = ledger.Open(t.Context(), url)
		require.NoError(t, err)
		_, err = l.Exec(t.Context(), `INSERT INTO marks (org, person, rule, since, told, entry) VALUES ('acme', 'id-00009', 'r#1', 5, 0, 0)`)
		require.NoError(t, err)
		require.NoError(t, l.Close())
		require.Len(t, unexplained(t, open(t, url)), 4, "nothing is from before twice")
	}
	t.Run("sqlite", func(t *testing.T) { t.Parallel(); test(t, filepath.Join(t.TempDir(), "castellan.db")) })
	t.Run("postgres", func(t *testing.T) { t.Parallel(); test(t, postgresURL(t)) })
}
