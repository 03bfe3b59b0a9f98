package rules_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"html/template"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/activities/reports"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/report"
)

const (
	scheduleID = "report:" + org + ":governance:schedule"
	keepers    = "protected:\n  - {target: \"group:vault\", minimum: 1}\n"
)

// section is one section of a governance report's summary.
func section(t *testing.T, g *messages.Governance, key string) messages.SectionSummary {
	t.Helper()
	i := slices.IndexFunc(g.Sections, func(s messages.SectionSummary) bool { return s.Key == key })
	require.GreaterOrEqual(t, i, 0, "%s: %+v", key, g.Sections)
	return g.Sections[i]
}

func TestFindingsAreReportedOnDemandAndOnSchedule(t *testing.T) {
	t.Parallel()
	file := company
	file.Foreign = map[string][]string{"vault": {"gil", "dan"}}
	o := start(t, file)
	mail := o.told()
	plain := consenting + keepers +
		rulesOf(`{name: keepers, mode: enforce, when: department == "Finance", give: ["group:vault"]}`)
	require.Contains(t, o.fails("findings", org, "--now"), `no organization "acme" is known here`)
	o.settled(plain)
	require.Contains(t, o.fails("findings", org), "no such governance report; `starter findings --now acme` makes one")

	t.Log("a report, now")
	out := o.starter("findings", org, "--now")
	require.Regexp(t, `look +3 +\? +\? +Who holds protected targets, and why`, out)
	require.Regexp(t, `look +2 +\? +\? +External people`, out)
	require.Equal(t, out, o.starter("findings", org), "it is kept")

	t.Log("its forms are whole")
	html := o.document("html")
	require.True(t, strings.HasSuffix(strings.TrimSpace(html), "</html>"), html[max(0, len(html)-200):])
	r, err := report.Read(strings.NewReader(o.document("json")))
	require.NoError(t, err)
	rows, err := csv.NewReader(strings.NewReader(o.document("csv"))).ReadAll()
	require.NoError(t, err)
	require.Greater(t, len(rows), 5)
	require.NotEmpty(t, r.Sections)
	for _, s := range r.Sections {
		require.Contains(t, html, template.HTMLEscapeString(s.Title))
		for range s.Rows {
			require.True(t, slices.ContainsFunc(rows,
				func(row []string) bool { return slices.Contains(row, s.Key) || slices.Contains(row, s.Title) }), s.Key)
		}
	}
	require.Contains(t, html, "paul@partner.example")
	require.Contains(t, o.fails("findings", org, "--out", "x.html"), "--format json, csv or html")
	require.Contains(t, o.fails("findings", org, "--id", "20260101-000000.000"), "no such governance report")
	require.Contains(t, o.fails("findings", org, "--format", "pdf"), "the formats are")

	t.Log("another, with what is new and what is gone")
	require.NoError(t, o.Simulator.Invite(t.Context(), "vault", "carol@example.com"))
	require.NoError(t, o.Simulator.Expel(t.Context(), "vault", "gil@example.com"))
	out = o.starter("findings", org, "--now")
	require.Regexp(t, `look +3 +1 +1 +Who holds protected targets, and why`, out)
	require.Regexp(t, `act +3 +1 +1 +Inactive admins`, out)
	require.Regexp(t, `look +2 +0 +0 +External people`, out)
	first := answered[messages.ReportAnswer](o, "findings", org, "--id", r.ID).Report
	require.Equal(t, 3, section(t, first, "protected-targets").Count)

	t.Log("on a schedule, which the policy makes and takes away")
	o.settled("governance: {schedule: \"30 6 * * 1\", zone: Europe/Berlin, notify: [sec@example.com]}\n" + plain)
	o.eventually(func() error {
		if out := o.cli("schedule", "list"); !strings.Contains(out, scheduleID) {
			return fmt.Errorf("the schedule is not listed:\n%s", out)
		}
		return nil
	})
	described := o.cli("schedule", "describe", "--schedule-id", scheduleID, "--output", "json")
	require.Contains(t, described, "Europe/Berlin")
	require.Contains(t, described, `"report:acme:governance:scheduled"`)
	o.cli("schedule", "trigger", "--schedule-id", scheduleID)
	o.eventually(func() error {
		if n := len(mail.of(reports.NoticeGovernance, "sec@example.com")); n != 1 {
			return fmt.Errorf("%d notices came", n)
		}
		return nil
	})
	notice := mail.of(reports.NoticeGovernance, "sec@example.com")[0]
	require.Contains(t, notice.Text, "Who holds protected targets, and why: 3")
	newest := answered[messages.ReportAnswer](o, "findings", org).Report
	require.Greater(t, newest.ID, r.ID)
	require.Contains(t, notice.ID, newest.ID)
	require.Contains(t, o.cli("workflow", "list", "--query",
		`WorkflowType="Report" AND CastellanOrg="acme" AND WorkflowId STARTS_WITH "report:acme:governance:scheduled"`),
		"report:acme:governance:scheduled")

	o.settled(plain)
	_, err = o.CLI(t.Context(), "schedule", "describe", "--schedule-id", scheduleID)
	require.ErrorContains(t, err, "not found")
}

// document writes the newest report to a file and returns what stands there.
func (o *testOrg) document(format string) string {
	o.t.Helper()
	path := filepath.Join(o.t.TempDir(), "findings."+format)
	out := o.starter("findings", org, "--format", format, "--out", path)
	data, err := os.ReadFile(path)
	require.NoError(o.t, err)
	require.Contains(o.t, out, fmt.Sprintf("%d bytes", len(data)))
	if format == "json" {
		require.True(o.t, json.Valid(data))
	}
	return string(data)
}
