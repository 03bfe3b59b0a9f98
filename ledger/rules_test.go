package ledger_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
)

func TestMarksStandUntilTheyEnd(t *testing.T) {
	both(t, func(t *testing.T, l *ledger.Ledger) {
		ctx := t.Context()
		mark := func(n int, after time.Duration) access.RuleMatch {
			return access.RuleMatch{Person: person(n).ID, Rule: "r#1", Since: noon.Add(after)}
		}
		beginRun(t, l, "run-1")
		page := ledger.Page{Key: "0", Mark: []access.RuleMatch{mark(1, 0), mark(2, time.Hour), mark(3, 2*time.Hour)}}
		require.NoError(t, l.SavePage(ctx, org, "run-1", page, noon))
		require.NoError(t, l.SavePage(ctx, org, "run-1",
			ledger.Page{Key: "1", Mark: []access.RuleMatch{mark(1, 9*time.Hour)}}, noon), "what stands keeps its time")
		states, err := l.States(ctx, org, []string{person(1).ID}, noon)
		require.NoError(t, err)
		require.Equal(t, []access.RuleMatch{mark(1, 0)}, states[person(1).ID].Marks)

		some, err := l.Unnotified(ctx, org, "r#1", noon.Add(time.Hour), 0)
		require.NoError(t, err)
		require.Equal(t, []access.RuleMatch{mark(1, 0), mark(2, time.Hour)}, some)
		next, err := l.NextMatch(ctx, org, "r#1", false, noon)
		require.NoError(t, err)
		require.Equal(t, noon.Add(time.Hour), next)
		people, err := l.MatchesBetween(ctx, org, "r#1", false, noon, noon.Add(time.Hour), 0)
		require.NoError(t, err)
		require.Equal(t, []string{person(2).ID}, people, "after the one, up to the other")

		require.NoError(t, l.RecordNotified(ctx, org, "r#1", []string{person(1).ID}, noon.Add(3*time.Hour)))
		require.NoError(t, l.RecordNotified(ctx, org, "r#1", []string{person(1).ID}, noon.Add(4*time.Hour)),
			"who was told was told then")
		some, err = l.Unnotified(ctx, org, "r#1", noon.Add(time.Hour), 0)
		require.NoError(t, err)
		require.Len(t, some, 1)
		next, err = l.NextMatch(ctx, org, "r#1", true, time.Time{})
		require.NoError(t, err)
		require.Equal(t, noon.Add(3*time.Hour), next)
		next, err = l.NextMatch(ctx, org, "r#1", true, next)
		require.NoError(t, err)
		require.Zero(t, next)

		require.NoError(t, l.SavePage(ctx, org, "run-1", ledger.Page{Key: "2", Unmark: []access.RuleMatch{mark(1, 0)}},
			noon))
		require.NoError(t, l.SavePage(ctx, org, "run-1",
			ledger.Page{Key: "3", Observe: true, Mark: []access.RuleMatch{mark(1, 0)},
				Unmark: []access.RuleMatch{mark(2, 0)}},
			noon), "a preview marks nobody")
		people, err = l.MatchesBetween(ctx, org, "r#1", false, noon.Add(-time.Hour), noon.Add(9*time.Hour), 0)
		require.NoError(t, err)
		require.Equal(t, []string{person(2).ID, person(3).ID}, people)
	})
}

// beginRun begins a run.
func beginRun(t *testing.T, l *ledger.Ledger, run string) {
	t.Helper()
	require.NoError(t, l.BeginRun(t.Context(),
		ledger.Run{Org: org, ID: run, Trigger: "test", Scope: "full", Started: noon}))
}

// written plans one change in a run of its own and ends it.
func written(t *testing.T, l *ledger.Ledger, run string, c access.Change, at time.Time, state access.ChangeState) {
	t.Helper()
	beginRun(t, l, run)
	c.State = access.Planned
	require.NoError(t, l.SavePage(t.Context(), org, run,
		ledger.Page{Key: "0", People: []access.Person{{ID: c.Person}}, Changes: []access.Change{c}}, at))
	_, err := l.BeginChange(t.Context(), org, run, c.Person, c.Target, at)
	require.NoError(t, err)
	c.State, c.At = state, at
	require.NoError(t, l.EndChange(t.Context(), org, run, c))
}

func TestSuspensionsAreThoseOfRules(t *testing.T) {
	both(t, func(t *testing.T, l *ledger.Ledger) {
		rule := []access.Reason{{Kind: access.ReasonRule, Name: "idle"}}
		suspend := func(n int, reasons []access.Reason) access.Change {
			return access.Change{Person: person(n).ID, Target: access.Directory, Action: access.Remove,
				Reasons: reasons}
		}
		written(t, l, "run-1", suspend(1, rule), noon, access.Done)
		written(t, l, "run-2", suspend(2, []access.Reason{{Kind: access.ReasonGrant, Name: "g"}}), noon, access.Done)
		written(t, l, "run-3", suspend(3, rule), noon, access.Already)
		written(t, l, "run-4", suspend(4, rule), noon, access.Done)
		all, err := l.Suspensions(t.Context(), org)
		require.NoError(t, err)
		require.Len(t, all, 2, "not the end of a grant, nor who was suspended already")
		require.Equal(t, access.Suspension{Person: person(1).ID, Since: noon, Run: "run-1", Reasons: rule}, all[0])

		back := suspend(1, rule)
		back.Action = access.Add
		written(t, l, "run-5", back, noon.Add(time.Hour), access.Done)
		_, err = l.Holding(t.Context(), org, person(1).ID, access.Directory)
		require.ErrorIs(t, err, ledger.ErrNotFound, "being there again is on nobody's books")
		beginRun(t, l, "run-6")
		require.NoError(t, l.SavePage(t.Context(), org, "run-6",
			ledger.Page{Key: "0", Unsuspend: []string{person(4).ID}}, noon))
		all, err = l.Suspensions(t.Context(), org)
		require.NoError(t, err)
		require.Empty(t, all)
	})
}

func TestRulesAreReleasedOnce(t *testing.T) {
	both(t, func(t *testing.T, l *ledger.Ledger) {
		ctx := t.Context()
		seen := ledger.RuleState{Key: "a#1", Name: "a", Seen: "sha256:x", Lines: 3, SeenAt: noon, Run: "run-1"}
		require.NoError(t, l.SaveSeen(ctx, org, []ledger.RuleState{seen}))
		require.NoError(t, l.ReleaseRules(ctx, org, "run-2", map[string]string{"a#1": "a", "b#1": "b"}, "ana",
			"approved", noon))
		require.NoError(t, l.ReleaseRules(ctx, org, "run-3", map[string]string{"a#1": "a"}, "bo", "approved",
			noon.Add(time.Hour)))
		known, err := l.Rules(ctx, org)
		require.NoError(t, err)
		seen.Released, seen.By = noon, "ana"
		require.Equal(t, seen, known["a#1"], "who consented first stands")
		require.Equal(t, noon, known["b#1"].Released)
		sound(t, l)
		require.Len(t, entries(t, l, 0), 2, "each consent stands in the chain, once")
	})
}

func TestFlapsAreCounted(t *testing.T) {
	both(t, func(t *testing.T, l *ledger.Ledger) {
		change := func(n int, action access.Action, kind access.ReasonKind) access.Change {
			return access.Change{Person: person(n).ID, Target: group("a"), GroupID: "a", Action: action,
				Reasons: []access.Reason{{Kind: kind, Name: "x"}}}
		}
		for i, action := range []access.Action{access.Add, access.Remove, access.Add, access.Remove} {
			at := noon.Add(time.Duration(i) * time.Hour)
			written(t, l, "m"+string(rune('0'+i)), change(1, action, access.ReasonMapping), at, access.Done)
			written(t, l, "g"+string(rune('0'+i)), change(2, action, access.ReasonGrant), at, access.Done)
		}
		written(t, l, "once", change(3, access.Remove, access.ReasonRule), noon, access.Done)
		beginRun(t, l, "now")
		planned := []access.Change{change(1, access.Add, access.ReasonMapping),
			change(2, access.Add, access.ReasonGrant), change(3, access.Remove, access.ReasonRule)}
		for i := range planned {
			planned[i].State = access.Planned
		}
		require.NoError(t, l.SavePage(t.Context(), org, "now",
			ledger.Page{Key: "0", People: []access.Person{person(1), person(2), person(3)}, Changes: planned}, noon))
		found, err := l.Flaps(t.Context(), org, "now", noon, 2, 0)
		require.NoError(t, err)
		require.Len(t, found, 1, "grants may come and go, and once is no flapping")
		require.Equal(t, person(1).ID, found[0].Person)
		require.Equal(t, []int{2, 2}, []int{found[0].Adds, found[0].Removals})
		found, err = l.Flaps(t.Context(), org, "now", noon.Add(2*time.Hour), 3, 0)
		require.NoError(t, err)
		require.Empty(t, found, "what is long ago does not count")
		last, err := l.LastWrite(t.Context(), org, person(1).ID, group("a"))
		require.NoError(t, err)
		require.Equal(t, access.Remove, last.Action)
	})
}

func TestUseAndNotesAreKept(t *testing.T) {
	both(t, func(t *testing.T, l *ledger.Ledger) {
		ctx := t.Context()
		used := map[string]ledger.Use{"a": {Apps: []access.Activity{{Resource: "x", Last: noon}}}, "b": {Silent: true}}
		require.NoError(t, l.SaveUse(ctx, org, used, noon))
		known, err := l.Use(ctx, org, []string{"a", "b", "c"}, noon)
		require.NoError(t, err)
		require.Equal(t, used, known, "who used nothing is told from who is not known")
		known, err = l.Use(ctx, org, []string{"a"}, noon.Add(time.Second))
		require.NoError(t, err)
		require.Empty(t, known)

		beginRun(t, l, "run-1")
		for _, key := range []string{"0", "1", "1"} {
			require.NoError(t, l.SavePage(ctx, org, "run-1",
				ledger.Page{Key: key, Notes: ledger.Notes{
					{Kind: "n"}: 2, {Kind: "k", About: [3]string{key + "\n1", "", "x"}}: 1}}, noon))
		}
		notes, err := l.Notes(ctx, org, "run-1")
		require.NoError(t, err)
		require.Equal(t, ledger.Notes{{Kind: "n"}: 4, {Kind: "k", About: [3]string{"0\n1", "", "x"}}: 1,
			{Kind: "k", About: [3]string{"1\n1", "", "x"}}: 1}, notes, "a page that is done twice counts once")

		_, err = l.SavePolicy(ctx, ledger.PolicyVersion{Org: org, Hash: "h", At: noon})
		require.NoError(t, err)
		require.NoError(t, l.SaveDomains(ctx, org, []string{"a.example", "b.example"}))
		domains, err := l.Domains(ctx, org)
		require.NoError(t, err)
		require.Equal(t, []string{"a.example", "b.example"}, domains)
		domains, err = l.Domains(ctx, "nobody")
		require.NoError(t, err)
		require.Empty(t, domains)
	})
}

func TestReportsAreKept(t *testing.T) {
	both(t, func(t *testing.T, l *ledger.Ledger) {
		ctx := t.Context()
		for i, id := range []string{"r1", "r2", "r3", "r3"} {
			require.NoError(t, l.SaveReport(ctx, org,
				ledger.StoredReport{Kind: "k", ID: id, At: noon.Add(time.Duration(i) * time.Hour), Body: []byte(id)},
				2))
		}
		_, err := l.Report(ctx, org, "k", "r1")
		require.ErrorIs(t, err, ledger.ErrNotFound, "only the newest are kept")
		newest, err := l.Report(ctx, org, "k", "")
		require.NoError(t, err)
		require.Equal(t, "r3", newest.ID)
		before, err := l.ReportBefore(ctx, org, "k", "r3")
		require.NoError(t, err)
		require.Equal(t, "r2", string(before.Body))

		row := func(identity, cell string) ledger.ReportRow {
			return ledger.ReportRow{Section: "s", Identity: identity, Cells: []string{identity, cell}}
		}
		require.NoError(t, l.SaveReportRows(ctx, org, "r4",
			[]ledger.ReportRow{row("b", "1"), row("a", "1"), row("b", "2")}))
		require.NoError(t, l.SaveReportRows(ctx, org, "r4", []ledger.ReportRow{row("a", "3")}))
		rows, count, err := l.ReportRows(ctx, org, "r4", "s", 1)
		require.NoError(t, err)
		require.Equal(t, 2, count)
		require.Equal(t, [][]string{{"a", "3"}}, rows)
		require.NoError(t, l.DropReportRows(ctx, org, "r4"))
		_, count, err = l.ReportRows(ctx, org, "r4", "s", 1)
		require.NoError(t, err)
		require.Zero(t, count)

		gone := access.Change{Person: "p", Target: group("a"), Action: access.Remove, Loses: []string{"jira/acme"},
			Reasons: mapping("m")}
		written(t, l, "run-1", gone, noon, access.Done)
		done, freed, err := l.Written(ctx, org, noon)
		require.NoError(t, err)
		require.Equal(t, 1, done[access.Remove])
		require.Equal(t, map[string]int{"jira/acme": 1}, freed)
	})
}
