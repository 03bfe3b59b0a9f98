package report_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/report"
)

// TestSample writes a page to look at: CASTELLAN_REPORT_SAMPLE=/tmp/report.html go test -run TestSample ./report
func TestSample(t *testing.T) {
	page, text := read(t, sample(t, 8))
	for _, words := range []string{
		"4 sections to act on, and 4 to look at.", "1 section could not be read",
		"This report holds 40 of 1,312 rows; 1,272 are left out.", "24 more rows", "Rows 11 to 34 of 34",
		"1 new, 2 gone", "not read", "Nothing found.", "Changes are since the report of 2 March 2026, 05:00 UTC.",
	} {
		requireContains(t, page.words, words)
	}
	if path := os.Getenv("CASTELLAN_REPORT_SAMPLE"); path != "" {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
}

var monday = time.Date(2026, 3, 9, 5, 0, 0, 0, time.UTC)

// sample returns a plausible report with so many before it.
func sample(t testing.TB, past int) report.Report {
	t.Helper()
	first := sampleAt(past)
	first.Compare(nil)
	for i := past - 1; i >= 0; i-- {
		next := sampleAt(i)
		next.Compare(&first)
		first = next
	}
	return first
}

// sampleAt returns the sample of some weeks ago.
func sampleAt(ago int) report.Report {
	at := monday.AddDate(0, 0, -7*ago)
	return report.Report{
		Title: "Access review", Org: "Acme Robotics", ID: at.Format("report-2006-01-02"), At: at,
		Policy: "sha256:5f1d7a84c64f21c9b1d0a3e07c2e9a33",
		Facts: []report.Fact{
			{Name: "People", Value: "10,000"}, {Name: "Groups", Value: "214"},
			{Name: "Targets of the policy", Value: "61"},
			{Name: "Memberships", Value: "48,310"}, {Name: "Calls to Atlassian", Value: "120"},
			{Name: "Took", Value: "3 min 12 s"},
		},
		Sections: []report.Section{
			section("org-admins", "Organization admins",
				"People who can change everything in the organization. Keep this list as short as you can, and know each by name.", report.Act,
				[]string{"Person", "Since", "Why"},
				people(ago, 3+ago%2, "2024-11-03", "made by somebody else; nothing in the policy explains it")),
			section("left-with-access", "People who left and still hold access",
				"Their account is deactivated and their memberships stand. Remove them, or a reactivated account has everything back.", report.Act,
				[]string{"Person", "Account", "Targets", "Last active"},
				people(40+ago, 5+ago/3, "deactivated", "12", "2025-12-19")),
			section("contractors-without-end", "Contractors whose access has no end",
				"People from other domains with lasting access. Give each a grant with an end, or make the exception part of the policy.", report.Act,
				[]string{"Person", "Domain", "Group", "Since", "Days"},
				people(60+ago, 34+ago, "partner.example", "jira-servicedesk-customers-external-partners-emea",
					"2025-02-11", "391")),
			section("uncovered-groups", "Groups that nothing in the policy covers",
				"They give access to a product, and no rule says who belongs into them. Cover them by a mapping, or exclude them by name.", report.Look,
				[]string{"Group", "Gives", "Members", "Managed by"}, groups(ago, 9+ago/2)),
			section("never-signed-in", "Paid seats never used",
				"Each costs a licence. Ask the person's lead, then take the seat away; a grant can give it back within minutes.", report.Look,
				[]string{"Person", "Product", "Seat since", "Days unused"},
				people(200+3*ago, 40, "Confluence", "2025-06-30", "252")),
			section("foreign", "Access made past the policy",
				"Somebody added these by hand. Adopt what is right into the policy; Castellan leaves the rest alone until you do.", report.Look,
				[]string{"Person", "Target", "Seen first", "Made by"},
				people(90+ago, 7+ago, "group:jira-software-users", "2026-03-04",
					"unknown: the audit log goes back 180 days")),
			section("expired-grants", "Grants that ended and were not taken back",
				"The product refused the removal. See the reason, and remove them by hand if it stays.", report.Act,
				[]string{"Grant", "Person", "Target", "Ended", "Reason"}, [][]string{}),
			section("separation", "Duties that one person should not hold together",
				"Two entitlements that the policy keeps apart. Decide which of the two the person keeps.", report.Act,
				[]string{"Person", "First", "Second"},
				people(120, 2, "group:payments-approvers", "group:payments-preparers")),
			incomplete(section("tokens", "API tokens without an end",
				"Tokens of managed accounts that never expire. Ask their owners to replace them.", report.Act,
				[]string{"Owner", "Token"}, nil)),
			section("empty-groups", "Groups with nobody in them",
				"Nothing is lost by deleting them. Some are kept for a purpose: ask first.", report.Know,
				[]string{"Group", "Gives", "Members", "Managed by"}, groups(20, 6)),
			section("oddly-named", "Names that deserve a second look",
				"Characters that cannot be seen, or names that look like another's.", report.Look,
				[]string{"Name", "Account"}, [][]string{
					{"ana\u202Egro.emca@", "712020:4a1c"}, {"<script>alert(1)</script>", "712020:77e0"},
					{"=HYPERLINK(\"https://evil.example\")", "712020:0b9d"}, {"מרים כהן", "712020:9c2f"},
					{strings.Repeat("averylongnamewithoutanyspace", 6), "712020:18aa"},
				}),
			section("policy-errors", "Rules that blocked",
				"A rule could not be read as it stands; what it concerns was left alone.", report.Act,
				[]string{"Rule", "What is wrong"}, [][]string{}),
		},
	}
}

func section(key, title, about string, severity report.Severity, columns []string, rows [][]string) report.Section {
	s := report.Section{Key: key, Title: title, About: about, Severity: severity, Columns: columns, Rows: rows,
		Count: len(rows)}
	if key == "never-signed-in" {
		s.Count = 1312
	}
	return s
}

func incomplete(s report.Section) report.Section {
	s.Incomplete = "the key may not read tokens (HTTP 403). Give it the scope read:tokens:admin, and run the report again."
	return s
}

var (
	givenNames = []string{"ana", "bo", "chidi", "dalia", "emeka", "fatima", "greta", "hiro", "ines", "jonas",
		"kavya", "luis"}
	familyNames = []string{"almeida", "berg", "castro", "dietrich", "eze", "fontaine", "gupta", "haraldsen", "ito",
		"jansen", "kowalski"}
)

// people returns rows of so many people, a different range of them for each begin.
func people(begin, n int, details ...string) [][]string {
	rows := make([][]string, n)
	for i := range rows {
		k := begin + i
		name := fmt.Sprintf("%s.%s@acme.example", givenNames[k%len(givenNames)], familyNames[k%len(familyNames)])
		rows[i] = append([]string{name}, details...)
	}
	return rows
}

func groups(begin, n int) [][]string {
	rows := make([][]string, n)
	for i := range rows {
		k := begin + i
		rows[i] = []string{fmt.Sprintf("site-%s-%02d", []string{"engineering", "finance", "legal", "support"}[k%4], k),
			[]string{"Jira", "Confluence", "Jira Service Management"}[k%3], fmt.Sprint(k * 37 % 1900), "nobody"}
	}
	return rows
}
