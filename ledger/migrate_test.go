package ledger_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
	"github.com/stretchr/testify/require"
)

func TestALedgerWithoutGrantsIsBroughtUpToDate(t *testing.T) {
	t.Parallel()
	test := func(t *testing.T, url string) {
		before, err := ledger.OpenAt(t.Context(), url, 2)
		require.NoError(t, err)
		at := noon.UnixMicro()
		for _, row := range []string{
			`INSERT INTO lines (org, run, person, target, rank, action, group_id, email, state, reasons, sources, loses, held_by, answer, at, attempts)
				VALUES ('acme', 'r1', 'id-00001', 'group:ops', 2, 'remove', 'gid-ops', '', 'done', '[{"kind":"mapping","name":"eng"}]', '', '', '', '200', ?, 1)`,
			`INSERT INTO holdings (org, person, target, since, until, group_id, owned, reasons, run)
				VALUES ('acme', 'id-00001', 'group:dev', ?, 0, 'gid-dev', 1, '[{"kind":"mapping","name":"eng"}]', 'r1')`,
		} {
			_, err := before.Exec(t.Context(), row, at)
			require.NoError(t, err)
		}
		_, err = before.Exec(t.Context(), `SELECT id FROM grants`)
		require.Error(t, err, "version 2 knows no grants")
		all := appended(t, before, 3)
		_, err = before.Append(t.Context(),
			ledger.Entry{Org: org, At: noon, Kind: ledger.EntryChange, Run: "r1", Person: "id-00001",
				Target: group("ops"),
				Body:   []byte(`{"action":"remove","state":"done","groupId":"gid-ops"}`)})
		require.NoError(t, err)
		require.NoError(t, before.Close())

		for range 2 { // the second time there is nothing to do
			l := open(t, url)
			got, err := l.Entries(t.Context(), org, 0, 3)
			require.NoError(t, err)
			require.Equal(t, all, got)
			removals, err := l.RemovalsSince(t.Context(), org, noon)
			require.NoError(t, err)
			require.Equal(t, map[access.Entitlement]int{group("ops"): 1}, removals,
				"no removal of that time was a lapse")
			hours, err := l.Hours(t.Context(), org, noon, noon.Add(time.Hour))
			require.NoError(t, err)
			require.Empty(t, hours)
			_, _, err = l.RequestGrant(t.Context(), org, lease("g1"))
			require.NoError(t, err)
			states, err := l.States(t.Context(), org, []string{"id-00001"}, noon)
			require.NoError(t, err)
			require.Len(t, states["id-00001"].Grants, 1)
			require.Len(t, states["id-00001"].Holdings, 1)
			sound(t, l)
		}
		back, err := ledger.OpenAt(t.Context(), url, 2)
		require.NoError(t, err)
		kept, err := back.Exec(t.Context(), `UPDATE lines SET at = at WHERE run = 'r1' AND state = 'done'`)
		require.NoError(t, err)
		require.Equal(t, 1, kept, "the way back keeps the rest")
		require.NoError(t, back.Close())
	}
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, filepath.Join(t.TempDir(), "castellan.db"))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, postgresURL(t))
	})
}

func TestALedgerWithoutReviewsIsBroughtUpToDate(t *testing.T) {
	t.Parallel()
	test := func(t *testing.T, url string) {
		before, err := ledger.OpenAt(t.Context(), url, 4)
		require.NoError(t, err)
		line := change(person(1), access.Remove, "ops")
		line.State = access.Held
		_, err = before.Exec(t.Context(), `INSERT INTO lines (org, run, person, target, rank, action, group_id, email, state, reasons, sources, loses, held_by, answer, at, lapse, attempts)
			VALUES ('acme', 'r1', ?, ?, 2, 'remove', ?, '', 'held', '', '', '', '', '', ?, 0, 0)`, line.Person, string(line.Target), line.GroupID, noon.UnixMicro())
		require.NoError(t, err)
		_, err = before.Exec(t.Context(), `SELECT id FROM reviews`)
		require.Error(t, err, "version 4 knows no reviews")
		require.NoError(t, before.Close())
		for range 2 {
			l := open(t, url)
			found, err := l.Removals(t.Context(), org, []ledger.Key{{Person: line.Person, Target: line.Target}}, noon)
			require.NoError(t, err)
			require.Len(t, found, 1, "what was held before is found")
			taken(t, l, campaign(spring), asks(1, "ops"))
			inStage(t, l, spring, 1, map[string][]int{carol: {1}})
			tell(t, l, spring, word(carol, remove, 1))
			require.Equal(t, "remove: 1 carol remove", verdicts(t, l, spring, 1))
			sound(t, l)
		}
		back, err := ledger.OpenAt(t.Context(), url, 4)
		require.NoError(t, err)
		kept, err := back.Exec(t.Context(), `UPDATE lines SET at = at WHERE run = 'r1' AND state = 'held'`)
		require.NoError(t, err)
		require.Equal(t, 1, kept, "the way back keeps the rest")
		entries := entries(t, back, 0)
		require.Len(t, entries, 2)
		require.NoError(t, back.Close())
	}
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, filepath.Join(t.TempDir(), "castellan.db"))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, postgresURL(t))
	})
}

// Names with letters beyond ASCII, and domains in punycode, are found in all their forms, in ledgers from before too.
func TestALedgerOfNamesInLowerCaseIsBroughtUpToDate(t *testing.T) {
	t.Parallel()
	test := func(t *testing.T, url string) {
		before, err := ledger.OpenAt(t.Context(), url, 12)
		require.NoError(t, err)
		at := noon.UnixMicro()
		for id, email := range map[string]string{"id-1": "ana@xn--bcher-kva.example",
			"id-2": "andre\u0301@acme.example", "id-3": "bo@acme.example"} {
			_, err := before.Exec(t.Context(), `INSERT INTO people (org, id, email, email_key, name, account_type, account_status, membership_status, claim_status, management_source, at)
				VALUES ('acme', ?, ?, ?, '', '', 'active', 'active', '', '', ?)`, id, email, email, at)
			require.NoError(t, err)
		}
		for _, address := range []string{"old@xn--bcher-kva.example", "old@b\u00fccher.example"} {
			_, err = before.Exec(t.Context(),
				`INSERT INTO former_addresses (org, address, person, until) VALUES ('acme', ?, 'id-3', ?)`, address, at)
			require.NoError(t, err)
		}
		require.NoError(t, before.Close())
		for range 2 {
			l := open(t, url)
			for address, id := range map[string]string{
				"ana@b\u00fccher.example": "id-1", "Ana@XN--BCHER-KVA.example": "id-1",
				"andr\u00e9@acme.example": "id-2", "andre\u0301@acme.example": "id-2", "bo@acme.example": "id-3",
			} {
				p, err := l.FindPerson(t.Context(), org, address)
				require.NoError(t, err, address)
				require.Equal(t, id, p.ID, address)
			}
			_, former, err := l.Addressed(t.Context(), org, "old@b\u00fccher.example")
			require.NoError(t, err)
			require.Len(t, former, 1)
		}
	}
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, filepath.Join(t.TempDir(), "castellan.db"))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, postgresURL(t))
	})
}

// Reviewers of a review under way from before they were accounts become accounts where it is certain who they are.
func TestMigrateMakesReviewersAccounts(t *testing.T) {
	t.Parallel()
	test := func(t *testing.T, url string) {
		before, err := ledger.OpenAt(t.Context(), url, 5)
		require.NoError(t, err)
		at := noon.UnixMicro()
		exec := func(query string, args ...any) {
			t.Helper()
			_, err := before.Exec(t.Context(), query, args...)
			require.NoError(t, err)
		}
		for _, p := range [][2]string{{"ID-carol", "Carol@acme.example"}, {"ID-dan", "dan@acme.example"},
			{"ID-eve-1", "eve@acme.example"}, {"ID-eve-2", "eve@acme.example"}} {
			exec(`INSERT INTO people (org, id, email, email_key, name, account_type, account_status, membership_status, claim_status, management_source, at)
				VALUES ('acme', ?, ?, LOWER(?), '', '', '', '', '', '', ?)`, p[0], p[1], p[1], at)
		}
		for id, state := range map[string]string{spring: "open", "autumn": "done"} {
			exec(`INSERT INTO reviews (org, id, campaign, state, stage, opened, events, ranked, body) VALUES ('acme', ?, 'quarterly', ?, 1, ?, 3, 2, '{"stages":1}')`, id, state, at)
			for n := 1; n <= 4; n++ {
				said, spoke, verdict := "", 0, ""
				if n == 1 {
					said, spoke, verdict = `[{"stage":1,"by":"carol@acme.example","verdict":"remove","at":"2026-01-05T12:00:00Z"}]`, 1, "remove"
				}
				exec(`INSERT INTO review_items (org, review, person, target, page, n, risk, stage, spoke, version, verdict, outcome, facts, said, result)
					VALUES ('acme', ?, ?, 'group:ops', '1', ?, 0, 1, ?, 0, ?, '', '{}', ?, '')`, id, person(n).ID, n, spoke, verdict, said)
			}
			for _, task := range []struct {
				reviewer, verdict string
				n                 int
			}{{carol, "remove", 1}, {carol, "", 2}, {"ID-carol", "", 2}, {carol, "remove", 3}, {"ID-carol", "", 3},
				{dan, "", 1}, {eve, "", 4}} {
				exec(`INSERT INTO review_tasks (org, review, stage, reviewer, n, role, since, verdict) VALUES ('acme', ?, 1, ?, ?, 'reviewer', ?, ?)`,
					id, task.reviewer, task.n, at, task.verdict)
			}
			for seq, e := range [][3]string{{"decided", carol, ""}, {"reminded", "", carol}, {"reminded", "", eve}} {
				exec(`INSERT INTO review_events (org, review, seq, at, kind, by_whom, via, n, stage, verdict, bulk, to_whom, body)
					VALUES ('acme', ?, ?, ?, ?, ?, 'page', 1, 1, 'remove', 0, ?, '')`, id, seq+1, at, e[0], e[1], e[2])
			}
			exec(`INSERT INTO review_codes (org, review, reviewer, hash, at, used) VALUES ('acme', ?, ?, ?, ?, 0)`, id,
				carol, hashOf("c"), at)
			exec(`INSERT INTO review_links (org, id, review, reviewer, at, expires, revoked) VALUES ('acme', ?, ?, ?, ?, ?, 0)`, "link "+id, id, carol, at, at)
		}
		appended(t, before, 1)
		require.NoError(t, before.Close())

		for range 2 { // the second time there is nothing to do
			l := open(t, url)
			tasks := func(review string) []string {
				var all []string
				for n := range 4 {
					for _, who := range []string{carol, "ID-carol", dan, "ID-dan", eve, "ID-eve-1", "ID-eve-2"} {
						items, err := l.Items(t.Context(), org, review,
							ledger.ItemFilter{Reviewer: []string{who}, Stage: 1})
						require.NoError(t, err)
						for _, i := range items {
							if i.N == n+1 {
								all = append(all, fmt.Sprint(i.N, " ", who))
							}
						}
					}
				}
				return all
			}
			require.Equal(t, []string{"1 ID-carol", "1 ID-dan", "2 ID-carol", "3 ID-carol", "4 " + eve}, tasks(spring),
				"who eve is cannot be told")
			require.Len(t, tasks("autumn"), 7, "what is over stays as it was")
			link, err := l.ReviewLink(t.Context(), org, "link "+spring)
			require.NoError(t, err)
			require.Equal(t, "ID-carol", link.Reviewer)
			told, err := l.NotifiedReviewers(t.Context(), org, spring, 1)
			require.NoError(t, err)
			require.Equal(t, map[string]bool{"ID-carol": true, eve: true}, told)
			require.NoError(t, l.Close())
		}
		l := open(t, url)
		coded := word("ID-carol", keep, 1)
		coded.Pass = ledger.Pass{CodeHash: hashOf("c")}
		require.Equal(t, "[1] [] [] 2", heard(t, l, spring, coded), "she goes on, and her code is good")
		require.Len(t, item(t, l, spring, 1).Said, 1, "it is her word that she changed")
		require.Equal(t, keep, item(t, l, spring, 1).Verdict)
		require.Equal(t, "[] [] [2 3] 0", heard(t, l, spring, word("ID-dan", keep, 2, 3)))
		require.Equal(t, "refused", heard(t, l, spring, word("ID-eve-1", keep, 4)))
	}
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, filepath.Join(t.TempDir(), "castellan.db"))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, postgresURL(t))
	})
}

func TestALedgerThatDoesNotKnowWhoWasSeenIsBroughtUpToDate(t *testing.T) {
	t.Parallel()
	test := func(t *testing.T, url string) {
		before, err := ledger.OpenAt(t.Context(), url, 5)
		require.NoError(t, err)
		for _, row := range []string{
			`INSERT INTO people (org, id, email, email_key, name, account_type, account_status, membership_status, claim_status, management_source, at)
				VALUES ('acme', 'id-00001', 'a@x.example', 'a@x.example', 'A', '', '', '', '', '', ?)`,
			`INSERT INTO holdings (org, person, target, since, until, group_id, owned, reasons, run)
				VALUES ('acme', 'id-00001', 'group:dev', ?, 0, 'gid-dev', 1, '[{"kind":"mapping","name":"eng"}]', 'r1')`,
			`INSERT INTO source_counts (org, group_id, name, users, at, run) VALUES ('acme', 'gid-eng', 'eng', 9, ?, 'r1')`,
		} {
			_, err := before.Exec(t.Context(), row, noon.UnixMicro())
			require.NoError(t, err)
		}
		require.NoError(t, before.Close())
		l := open(t, url)
		counts, err := l.SourceCounts(t.Context(), org)
		require.NoError(t, err)
		require.Zero(t, counts["gid-eng"].Suspect)
		missing, err := l.Missing(t.Context(), org, noon, 0)
		require.NoError(t, err)
		require.Equal(t, []string{"id-00001"}, missing, "no read has shown them since")
	}
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, filepath.Join(t.TempDir(), "castellan.db"))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, postgresURL(t))
	})
}

// What was read from texts until version 18 stands in columns of its own, and what the chain says of the rows is as
// true as before.
func TestMigrateMakesColumnsOfWhatStoodInTexts(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		eventful(t, l)
		ops, wiki, dev := change(person(2), access.Add, "ops"), change(person(2), access.Remove, "wiki"),
			change(person(3), access.Add, "dev")
		dev.Reasons = byGrants("g1")
		plan(t, l, "r9", ops, wiki, dev)
		later := answer(wiki, access.Superseded, "must stay true for a while: its person is looked at again", noon)
		later.Settling = true
		require.NoError(t, l.RecordLines(t.Context(), org, "r9",
			[]access.Change{answer(ops, access.Done, "204", noon), later, answer(dev, access.Done, "200", noon)}))
		require.NoError(t, l.Verified(t.Context(), org, "r9", []access.Change{ops}))
		again := dev
		again.Target = group("ops") // so that there is a line about what nothing gave before
		plan(t, l, "r10", again)
		asks := func() (lines []access.Change, hours []ledger.Privilege, granted int) {
			lines, err := l.Lines(t.Context(), org, "r9", ledger.Filter{})
			require.NoError(t, err)
			hours, err = l.Hours(t.Context(), org, noon, noon.Add(time.Hour))
			require.NoError(t, err)
			granted, err = l.Exec(t.Context(), `UPDATE lines SET granted = granted WHERE granted = 1`)
			require.NoError(t, err)
			return lines, hours, granted
		}
		lines, hours, granted := asks()
		require.Len(t, hours, 1)
		require.Equal(t, 2, granted)

		require.NoError(t, l.DownTo(t.Context(), 18))
		stood, err := l.Exec(t.Context(),
			`UPDATE lines SET at = at WHERE answer = '204; verified by reading back' AND run = 'r9'`)
		require.NoError(t, err)
		require.Equal(t, 1, stood, "as it stood until then")
		require.NoError(t, l.Up(t.Context()))

		lines2, hours2, granted2 := asks()
		require.Equal(t, lines, lines2)
		require.Equal(t, hours, hours2)
		require.Equal(t, granted, granted2)
		sound(t, l)
	})
}

func TestMigrateTellsTheKindOfAProblemFromItsMessage(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		problems := map[string][2]string{
			"r1": {"", ""},
			"r2": {"KeyRefused", "read the people: 401: make a new key"},
			"r3": {"Timeout", "an activity took too long; is a worker running? activity StartToClose timeout"},
			"r4": {"", "the disk: is full"}, // what no version wrote
		}
		for id, problem := range problems {
			run := begun(id, noon)
			require.NoError(t, l.BeginRun(t.Context(), run))
			run.ProblemKind, run.Problem, run.Ended = problem[0], problem[1], noon.Add(time.Minute)
			require.NoError(t, l.EndRun(t.Context(), run))
		}
		require.NoError(t, l.DownTo(t.Context(), 20))
		stood, err := l.Exec(t.Context(),
			`UPDATE runs SET plan = plan WHERE problem = 'KeyRefused: read the people: 401: make a new key'`)
		require.NoError(t, err)
		require.Equal(t, 1, stood, "as it stood until then")
		require.NoError(t, l.Up(t.Context()))
		for id, problem := range problems {
			run, err := l.Run(t.Context(), org, id)
			require.NoError(t, err)
			require.Equal(t, problem, [2]string{run.ProblemKind, run.Problem}, id)
		}
		sound(t, l)
	})
}

// What pages counted in texts until version 21 goes on to count in runs, reviews and reports that are under way.
func TestMigrateKeepsWhatPagesCounted(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		beginRun(t, l, "r1")
		_, err := l.BeginReview(t.Context(), org, campaign(spring))
		require.NoError(t, err)
		require.NoError(t, l.DownTo(t.Context(), 21))
		for _, row := range []string{
			`INSERT INTO pages (org, run, page, seen, notes, unseen, counts) VALUES ('acme', 'r1', '1', '', '', '', '{}'),
				('acme', 'r1', '2', '', '{"people":3,"fight\ngroup:ops\nmapping eng\nno interns":1,"holder\ngroup:ops":2}', '', '{}')`,
			`INSERT INTO review_pages (org, review, page, notes) VALUES ('acme', '` + spring + `', '1', 'null'),
				('acme', '` + spring + `', '2', '{"g\neng":3,"p\neng\ngroup:ops":2,"h\ngroup:ops":2,"u\ngroup:dev":1,"skipped":4}')`,
			`INSERT INTO report_rows (org, report, section, identity, cells) VALUES
				('acme', 'g1', '', '2', '["domain b=c.example=2","holders of group:ops=1","people=3","use unknown=1"]'),
				('acme', 'g1', 'domains', 'x', '["people=3"]')`,
		} {
			_, err := l.Exec(t.Context(), row)
			require.NoError(t, err)
		}
		require.NoError(t, l.Up(t.Context()))

		page := ledger.Page{Key: "3", Notes: ledger.Notes{}}
		page.Notes.Add("fight", "group:ops", "mapping eng", "no interns")
		require.NoError(t, l.SavePage(t.Context(), org, "r1", page, noon))
		notes, err := l.Notes(t.Context(), org, "r1")
		require.NoError(t, err)
		require.Equal(t, ledger.Notes{{Kind: "people"}: 3, {Kind: "holder", About: [3]string{"group:ops"}}: 2,
			{Kind: "fight", About: [3]string{"group:ops", "mapping eng", "no interns"}}: 2}, notes)

		require.NoError(t, l.SaveItems(t.Context(), org, spring, "3", nil,
			ledger.Notes{{Kind: "members", About: [3]string{"eng"}}: 1}))
		notes, err = l.ReviewNotes(t.Context(), org, spring)
		require.NoError(t, err)
		require.Equal(t, ledger.Notes{{Kind: "skipped"}: 4, {Kind: "members", About: [3]string{"eng"}}: 4,
			{Kind: "peers", About: [3]string{"eng", "group:ops"}}: 2, {Kind: "holders", About: [3]string{"group:ops"}}: 2,
			{Kind: "unread", About: [3]string{"group:dev"}}: 1}, notes)

		require.NoError(t, l.SaveReportRows(t.Context(), org, "g1",
			[]ledger.ReportRow{{Identity: "3", Counts: ledger.Notes{{Kind: "people"}: 2}}}))
		notes, err = l.ReportCounts(t.Context(), org, "g1")
		require.NoError(t, err)
		require.Equal(t, ledger.Notes{{Kind: "people"}: 5, {Kind: "use unknown"}: 1,
			{Kind: "domain", About: [3]string{"b=c.example"}}: 2, {Kind: "holders", About: [3]string{"group:ops"}}: 1}, notes)
	})
}

func TestMigrateTakesTheReasonsOfDecidedItemsApart(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		eng := access.Reason{Kind: access.ReasonMapping, Name: "m", Source: "eng"}
		want := map[string]ledger.LastDecision{
			"owned\nmapping\nm\neng\n\nrule\nr\n\n\ngrant\ng1\n": {Owned: true,
				Reasons: []access.Reason{eng, {Kind: access.ReasonRule, Name: "r"}, {Kind: access.ReasonGrant, Name: "g1"}}},
			"owned\nmapping\nm\neng": {Owned: true, Reasons: []access.Reason{eng}},
			"owned\n":                {Owned: true},
			"foreign\n":              {},
		}
		require.NoError(t, l.DownTo(t.Context(), 22))
		for held := range want {
			_, err := l.Exec(t.Context(), `INSERT INTO review_last
				(org, campaign, person, target, review, verdict, by_whom, at, held, by_email)
				VALUES ('acme', 'quarterly', 'id-00001', ?, ?, 'keep', 'dan', ?, ?, '')`, held, spring, noon.UnixMicro(), held)
			require.NoError(t, err)
		}
		require.NoError(t, l.Up(t.Context()))
		got, err := l.LastDecisions(t.Context(), org, "quarterly", []string{"id-00001"})
		require.NoError(t, err)
		require.Len(t, got, len(want))
		for held, was := range want {
			was.PastDecision = access.PastDecision{Review: spring, Verdict: keep, By: "dan", At: noon}
			require.Equal(t, was, got[ledger.Key{Person: "id-00001", Target: access.Entitlement(held)}], "%q", held)
		}
	})
}

// TestMigrateGivesHoldsALane: what an older Castellan recorded is explained as before, and its hold stays open.
func TestMigrateGivesHoldsALane(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		eventful(t, l)
		hold, _ := stopped(t, l, "r9", "share", noon)
		require.NoError(t, l.DownTo(t.Context(), 23))
		_, err := l.Exec(t.Context(), `UPDATE holds SET decision = '' WHERE plan = 'plan-1'`)
		require.Error(t, err, "one open hold in all")
		require.NoError(t, l.Up(t.Context()))
		open, err := l.CurrentHold(t.Context(), org)
		require.NoError(t, err)
		require.Equal(t, hold, open)
		sound(t, l)
		require.Len(t, state(t, l, person(8).ID).Rejected, 1)
	})
}
