package evidence_test

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/evidence"
)

func table(t *testing.T, m sampleParts) (rows []map[string]string, text string) {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, evidence.CSV(bytes.NewReader(packOf(t, m)), &out))
	text = out.String()
	lines, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(text, "\ufeff"))).ReadAll()
	require.NoError(t, err)
	for _, line := range lines[1:] {
		row := make(map[string]string)
		for n, cell := range line {
			row[lines[0][n]] = cell
		}
		rows = append(rows, row)
	}
	return rows, text
}

func TestCSVHasARowPerItem(t *testing.T) {
	m := duel()
	first := &m.items[0]
	first.Reasons = []access.Reason{{Kind: access.ReasonMapping, Name: "eng", Source: "eng-all"},
		{Kind: access.ReasonGrant, Name: "g-1"}}
	first.Person, first.Email, first.Name, first.Target, first.Since, first.Owned = "712020:1", "ana@acme.example",
		"Ana, the first", "role:org-admin", monday.AddDate(-1, 0, 0), true
	first.Uses = []access.Use{{App: "jira-software/acme", Last: monday}, {App: "confluence/acme", Never: true},
		{App: "loom/acme"}}
	first.Peers, first.Recommend, first.Because, first.Risk = &access.Peers{Group: "eng", Of: 1200, Hold: 3},
		access.VerdictRemove, "rarely used", 96
	first.Why, first.Plan, first.Run, first.Until, first.Settled = "done", "sha256:p", "r-1", monday.AddDate(0, 1, 0),
		monday.AddDate(0, 0, 14)
	first.Opens = []string{"jira-software/acme", "confluence/acme"}
	rows, text := table(t, m)
	require.Len(t, rows, 3)
	require.True(t, strings.HasPrefix(text,
		"\ufeffitem,person,e-mail,name,external,target,opens,reasons,since,owned,uses,peers,recommendation,because,risk,decided,silent,by,comments,decided at,outcome,why,plan,run,until,settled\n"))
	require.Equal(t, map[string]string{
		"item": "1", "person": "712020:1", "e-mail": "ana@acme.example", "name": "Ana, the first", "external": "no",
		"target": "role:org-admin",
		"opens":  "jira-software/acme; confluence/acme", "reasons": "mapping eng (source group eng-all); grant g-1",
		"since": "2025-03-02", "owned": "yes",
		"uses": "jira-software/acme 2026-03-02; confluence/acme never; loom/acme unknown", "peers": "3 of 1,200 in eng",
		"recommendation": "remove", "because": "rarely used", "risk": "96", "decided": "remove", "silent": "no",
		"by": "ana; bo", "comments": "ana: still needed",
		"decided at": "2026-03-02T08:10:00Z; 2026-03-02T08:20:00Z", "outcome": "removed", "why": "done",
		"plan": "sha256:p", "run": "r-1",
		"until": "2026-04-02T08:00:00Z", "settled": "2026-03-16T08:00:00Z",
	}, rows[0])
}

func TestCSVMarksUnknownValues(t *testing.T) {
	m := duel()
	third := &m.items[2]
	*third = access.Item{N: 3, Person: third.Person, Target: third.Target, Stage: 1, Silent: true,
		Outcome: access.OutcomeUndecided}
	rows, _ := table(t, m)
	for column, want := range map[string]string{
		"external": "unknown", "since": "unknown", "uses": "unknown", "peers": "none", "reasons": "none", "owned": "no",
		"decided": "", "silent": "yes", "by": "", "until": "", "settled": "", "outcome": "undecided",
	} {
		require.Equal(t, want, rows[2][column], column)
	}
}

func TestCSVEscapesFormulas(t *testing.T) {
	for value, want := range map[string]string{
		`=HYPERLINK("https://evil.example")`: `'=HYPERLINK("https://evil.example")`,
		"+1":                                 "'+1",
		"-1":                                 "'-1",
		"@SUM(A1)":                           "'@SUM(A1)",
		"\tx":                                "'\tx",
		"\rx":                                "'⟨U+000D⟩x",
		" =1":                                "' =1",
		"\u200b=1":                           "'⟨U+200B⟩=1",
		`"=1`:                                `'"=1`,
		"＝1":                                 "'＝1",
		"a;=1":                               "a;'=1",
		"a\n=1":                              "a\n'=1",
		"a\t@x":                              "a\t'@x",
		"ana@acme.example":                   "ana@acme.example",
		"a=b+c-d":                            "a=b+c-d",
	} {
		m := duel()
		i := &m.items[0]
		i.Person, i.Email, i.Name, i.Target, i.Because, i.Why, i.Plan, i.Run = value, value, value,
			access.Entitlement(value), value, value, value, value
		i.Opens = []string{value, value}
		i.Said[0].By, i.Said[0].Comment, m.events[1].By, m.events[1].Text = value, value, value, value
		rows, _ := table(t, m)
		for _, column := range []string{"person", "e-mail", "name", "target", "because", "why", "plan", "run"} {
			require.Equal(t, want, rows[0][column], column)
		}
		for _, row := range rows {
			for column, cell := range row {
				require.NotRegexp(t, `(?m)(^|;)[\s"]*[=+@-]`, cell, column)
			}
		}
	}
}

func TestCSVAndHTMLWriteNothingOfABadPack(t *testing.T) {
	pack := small(t)
	for _, bad := range [][]byte{pack[:len(pack)-1], append(bytes.Clone(pack), '\n')} {
		var out bytes.Buffer
		require.Error(t, evidence.CSV(bytes.NewReader(bad), &out))
		require.Error(t, evidence.HTML(bytes.NewReader(bad), &out))
		require.Zero(t, out.Len())
	}
}
