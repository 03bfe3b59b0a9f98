package activities_test

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/report"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// govern looks at the organization as a whole.
func (w *world) govern() report.Report {
	w.t.Helper()
	begin := must[activities.GovernStart](w, w.acts.GovernBegin, org)
	id := w.clock().Format("20060102-150405.000")
	for block, cursor := 0, ""; block == 0 || cursor != ""; block++ {
		cursor = must[activities.SweepResult](w, w.acts.Govern, activities.GovernInput{Org: org, Policy: begin.Policy, Report: id, Cursor: cursor, Block: block, Pages: 1}).Next
	}
	must[messages.Governance](w, w.acts.GovernEnd, activities.GovernEndInput{Org: org, Policy: begin.Policy, Report: id, Started: w.clock(), Scheduled: true})
	w.pass(time.Minute)
	r, err := report.Read(bytes.NewReader(w.document(id, "json")))
	require.NoError(w.t, err)
	return r
}

// document is a kept report in one of its forms.
func (w *world) document(id, format string) []byte {
	w.t.Helper()
	answer := must[messages.ReportAnswer](w, w.acts.Answer, messages.ReportInput{Org: org, Kind: messages.ReportFindings, ID: id, Format: format})
	unpacked, err := gzip.NewReader(bytes.NewReader(answer.Report.Document))
	require.NoError(w.t, err)
	whole, err := io.ReadAll(unpacked)
	require.NoError(w.t, err)
	return whole
}

// found are the rows of a section, each as one text.
func found(t *testing.T, r report.Report, key string) []string {
	t.Helper()
	i := slices.IndexFunc(r.Sections, func(s report.Section) bool { return s.Key == key })
	require.GreaterOrEqual(t, i, 0, key)
	require.Empty(t, r.Sections[i].Incomplete)
	var rows []string
	for _, row := range r.Sections[i].Rows {
		rows = append(rows, strings.TrimSpace(strings.Join(row, " | ")))
	}
	return rows
}

func section(t *testing.T, r report.Report, key string) report.Section {
	t.Helper()
	i := slices.IndexFunc(r.Sections, func(s report.Section) bool { return s.Key == key })
	require.GreaterOrEqual(t, i, 0, key)
	return r.Sections[i]
}

// A8: people placed by invitation, by an admin or by themselves are told apart from those placed by the product.
func TestFieldA8(t *testing.T) {
	t.Parallel()
	w := companyWith(t, "")
	w.byHand("POST", "builders", "sam@mail.example")
	w.verify()
	require.False(t, w.held("sam@mail.example", "group:builders").Owned)
	require.True(t, w.held("dan", "group:builders").Owned)
	require.Equal(t, []string{"sam@mail.example | group:builders | 2026-03-02"}, found(t, w.govern(), "foreign-memberships"))
}

// A10: group names carrying a site suffix, and the customer group of Jira Service Management, are handled.
func TestFieldA10(t *testing.T) {
	t.Parallel()
	w := newWorldOf(t, company)
	w.send("POST", "/_sim/seed", map[string]any{"org": company, "apps": []string{"jira-software", "jira-servicedesk", "confluence"}})
	text := strings.Replace(w.companyText(consenting), `to: ["group:builders"]`, `to: ["group:builders", "default:jira/acme/user", "default:jsm/acme/customer"]`, 1)
	result := must[activities.AdmitResult](w, w.acts.Admit, w.admitIn(text))
	w.policy = result.Policy
	w.verify()
	var customers string
	for _, g := range w.sim.State().Groups {
		for _, r := range g.Roles {
			if r.Role == "atlassian/customer" && r.Default {
				customers = g.Name
			}
		}
	}
	require.NotEmpty(t, customers)
	require.Contains(t, w.members("jira-users-acme"), "dan")
	require.Contains(t, w.members(customers), "dan")
}

// A13: no one without membership in a mapped source gains a target through the product.
func TestFieldA13(t *testing.T) {
	t.Parallel()
	w := companyWith(t, "")
	random := rand.New(rand.NewPCG(1, 13))
	names := company.People[:7]
	for range 12 {
		name := names[random.IntN(len(names))]
		if random.IntN(2) == 0 {
			w.leave("staff", name)
		} else {
			w.join("staff", name)
		}
		for _, label := range w.verify() {
			if who, added := strings.CutPrefix(label, "add "); added {
				who, _, _ = strings.Cut(who, "@")
				require.Contains(t, w.members("staff"), who)
			}
		}
		require.Equal(t, w.members("staff"), w.members("builders"))
	}
}

// A15: a tightly locked-down layout, several targets with different rights for one large organization, can be expressed.
func TestFieldA15(t *testing.T) {
	t.Parallel()
	w := companyWith(t, rulesOf(
		`{name: jira, mode: enforce, when: 'managed && !in("idp-contractors")', give: ["default:jira/acme/user"]}`,
		`{name: wiki, mode: enforce, when: in("staff"), give: ["default:confluence/acme/user"]}`,
		`{name: finance, mode: enforce, when: 'in("idp-finance") && department == "Finance"', give: ["group:finance-space"]}`,
		`{name: outside, owner: ana@acme.example, mode: enforce, when: external, deny: ["default:jira/acme/user", "default:confluence/acme/user", "group:finance-space", "group:internal-wiki", "group:builders"]}`,
	))
	require.Equal(t, "ana bo carol dan fay", w.members("jira-users-acme"))
	require.Equal(t, "ana bo carol dan fay gus kim", w.members("confluence-users-acme"))
	require.Equal(t, "fay", w.members("finance-space"))
	require.Empty(t, w.members("internal-wiki"))
	require.Equal(t, "paul@partner.example", w.members("partner-wiki"))
}

// E3: temporary elevation into a protected group can be asked for, given and ended by itself.
func TestFieldE3(t *testing.T) {
	t.Parallel()
	w := lending(t, lendable)
	g := w.grant("carol", access.OrgAdmin, time.Hour)
	w.right(g)
	require.Equal(t, "ana bo carol", w.admins())
	w.until(g)
	w.right(g)
	require.Equal(t, "ana bo", w.admins())
}

// E4: default product-access groups follow SCIM groups in both directions.
func TestFieldE4(t *testing.T) {
	t.Parallel()
	w := newWorldOf(t, company)
	result := must[activities.AdmitResult](w, w.acts.Admit, w.admitIn(strings.Replace(w.companyText(consenting), "group:builders", "default:confluence/acme/user", 1)))
	w.policy = result.Policy
	w.verify()
	require.Equal(t, w.members("staff"), w.members("confluence-users-acme"))
	w.leave("staff", "dan")
	w.verify()
	require.NotContains(t, w.members("confluence-users-acme"), "dan")
	w.join("staff", "dan")
	w.verify()
	require.Contains(t, w.members("confluence-users-acme"), "dan")
}

// E8: external collaborators are audited at regular intervals: who they are, who answers for them, until when.
func TestFieldE8(t *testing.T) {
	t.Parallel()
	w := companyWith(t, "grants:\n  - {name: guests, targets: [directory], duration: {max: 180d}, reason: false}\n")
	w.right(w.grant("paul@partner.example", access.Directory, 90*day))
	rows := found(t, w.govern(), "external-people")
	require.Len(t, rows, 4)
	require.True(t, slices.ContainsFunc(rows, func(r string) bool {
		return strings.HasPrefix(r, "paul@partner.example | partner.example | invited, in no source group | bo@example.com | 2026-05-31")
	}), rows)
	require.True(t, slices.ContainsFunc(rows, func(r string) bool {
		return strings.HasPrefix(r, "eve@evil.example | evil.example | invited, in no source group | nobody | never")
	}), rows)
}

// E15, E16: regular compliance checks run and report findings, and keep a history.
func TestFieldE15E16(t *testing.T) {
	t.Parallel()
	w := companyWith(t, "governance: {schedule: \"0 6 * * 1\", notify: [sec@acme.example]}\n")
	first := w.govern()
	require.Equal(t, report.Unknown, section(t, first, "external-people").New, "there is nothing to compare with")
	w.send("POST", "/_sim/people/eve@evil.example", map[string]any{"remove": true})
	w.byHand("POST", "builders", "sam@mail.example")
	w.verify()
	second := w.govern()
	require.Equal(t, 1, section(t, second, "external-people").Gone)
	require.Equal(t, 1, section(t, second, "foreign-memberships").New)
	require.Len(t, second.Past, 1)
	require.Equal(t, 4, second.Past[0].Counts["external-people"])
	require.Len(t, w.govern().Past, 2)
	require.Len(t, w.notifier.notices, 3)
	require.Equal(t, "sec@acme.example", w.notifier.notices[1].To)
	require.Contains(t, w.notifier.notices[1].Text, "Memberships that nothing explains: 1 (1 new, 0 gone)")
}

// E20: over-broad permissions are pointed out.
func TestFieldE20(t *testing.T) {
	t.Parallel()
	file := company
	file.Local = append(slices.Clone(file.Local), cloud.OrgGroup{Name: "everything", Roles: []cloud.OrgRole{
		{App: "jira-software", Site: "acme", Role: "user"}, {App: "confluence", Site: "acme", Role: "user"}}})
	w := newWorldOf(t, file)
	w.take(consenting + "protected:\n  - {target: role:org-admin, maximum: 2}\n  - {target: \"group:builders\"}\n" + rulesOf(
		`{name: admins, mode: enforce, when: in("idp-admins"), give: [role:org-admin]}`,
		`{name: all, mode: enforce, when: in("idp-finance"), give: ["group:everything"]}`))
	w.verify()
	w.verify()
	require.Contains(t, w.findings()["too-many-holders role:org-admin"], "3 people hold it; the policy wants at most 2")
	r := w.govern()
	rows := found(t, r, "broad-access")
	require.Contains(t, rows, "group:everything | opens several apps at once | confluence/acme, jira-software/acme")
	require.Contains(t, rows, "group:builders holders | is protected, and held by most people | 7 of 11")
	require.True(t, slices.ContainsFunc(rows, func(r string) bool {
		return strings.HasPrefix(r, "ana@acme.example | holds 2 protected targets at once")
	}), rows)
	require.Len(t, found(t, r, "protected-targets"), 10)
}

// E25: the number of admins needed does not grow with the number of people: what one policy says holds for everybody.
func TestFieldE25(t *testing.T) {
	t.Parallel()
	w := companyWith(t, rulesOf(`{name: finance, mode: enforce, when: department == "Finance", give: ["group:finance-space"]}`))
	for _, name := range []string{"dan", "gus", "kim", "carol"} {
		w.set(name, map[string]any{"department": "Finance"})
	}
	require.Len(t, w.verify(), 4, "four people, and nobody did anything")
	require.Equal(t, "carol dan fay gus kim", w.members("finance-space"))
}

// E26: everything needed for an audit of excessive privilege can be exported.
func TestFieldE26(t *testing.T) {
	t.Parallel()
	w := companyWith(t, "protected:\n  - {target: role:org-admin}\n"+rulesOf(`{name: admins, mode: enforce, when: in("idp-admins"), give: [role:org-admin]}`))
	w.set("dan", map[string]any{"orgAdmin": true})
	w.verify()
	r := w.govern()
	require.Contains(t, strings.Join(found(t, r, "admins-by-hand"), "\n"), "dan@acme.example | role:org-admin")
	require.Contains(t, strings.Join(found(t, r, "protected-targets"), "\n"), "role:org-admin | carol@acme.example | 2026-03-02 | rule admins")
	rows, err := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(w.document(r.ID, "csv"), []byte("\ufeff")))).ReadAll()
	require.NoError(t, err)
	require.Greater(t, len(rows), 10)
	page := string(w.document("", "html"))
	require.Contains(t, page, "Admins made around the policy")
	require.Contains(t, page, "dan@acme.example")
	check := w.ask(messages.ReportInput{Org: org, Kind: messages.ReportLedger})
	require.True(t, check.Ledger.Whole, "and what was done stands in a chain")
}

// The sections about accounts and domains.
func TestGovernanceFindsAccountsAndDomains(t *testing.T) {
	t.Parallel()
	file := company
	file.People = append(slices.Clone(file.People), "jit")
	file.Invited = append(slices.Clone(file.Invited), "jit")
	w := newWorldOf(t, file)
	w.take(consenting)
	w.used("jira-software", w.clock().Add(-200*day), "jit")
	w.byHand("POST", "jira-users-acme", "jit")
	w.verify()
	r := w.govern()
	require.Contains(t, strings.Join(found(t, r, "unlinked-accounts"), "\n"), "jit@acme.example | invited | 0")
	require.Contains(t, strings.Join(found(t, r, "in-no-source-group"), "\n"), "jit@acme.example")
	require.Contains(t, strings.Join(found(t, r, "inactive-people"), "\n"), "jit@acme.example | jira-software/acme (2025-08-14)")
	require.Contains(t, found(t, r, "domains"), "partner.example | not the organization's | 2")
	w.inject(cloud.Fault{Operations: []string{"domains.list"}, Kind: "status", Params: cloud.FaultParams{Status: 403}})
	require.Contains(t, section(t, w.govern(), "domains").Incomplete, "the domains could not be read")
}

func TestExplainTellsTheWholeDecision(t *testing.T) {
	t.Parallel()
	w := companyWith(t, "protected:\n  - {target: role:org-admin}\n"+rulesOf(
		`{name: finance, mode: enforce, when: 'department == "Finance" && mfa', give: ["group:finance-space"]}`,
		`{name: outside, owner: ana@acme.example, mode: enforce, when: external, deny: ["group:builders"]}`,
		`{name: idea, owner: ana@acme.example, when: in("idp-contractors"), suspend: true}`))
	explain := func(person string, suppose ...string) *messages.Explanation {
		return must[messages.ReportAnswer](w, w.acts.Explain, messages.ReportInput{Org: org, Kind: messages.ReportExplain, Person: person, If: suppose}).Explain
	}
	x := explain("gus@acme.example")
	require.Equal(t, []messages.Saying{{Name: "builders", Verdict: "gives", Why: "group:builders through source group staff"}}, x.Mappings)
	require.Equal(t, "holds (observes)", x.Rules[2].Verdict)
	require.Equal(t, "no", x.Rules[0].Verdict)
	require.Empty(t, x.Changes)
	i := slices.IndexFunc(x.Facts, func(f messages.Fact) bool { return f.Name == "sources" })
	require.Equal(t, "idp-contractors, staff", x.Facts[i].Value)

	x = explain("gus@acme.example", "groups-=staff")
	require.Equal(t, "remove gus@acme.example from group:builders", x.Changes[0].Label())
	x = explain("fay@acme.example", "department=Finance", "mfa=unknown")
	require.Equal(t, "unknown", x.Rules[0].Verdict)
	x = explain("dan@acme.example", "department=Finance", "mfa=true")
	require.Equal(t, "add dan@acme.example to group:finance-space", x.Changes[0].Label())
	require.NotContains(t, w.members("finance-space"), "dan", "nothing is written")
	_, err := call[messages.ReportAnswer](w, w.acts.Explain, messages.ReportInput{Org: org, Kind: messages.ReportExplain, Person: "nobody@acme.example"})
	require.Contains(t, application(t, err).Message(), "shows nobody named nobody@acme.example")
	_, err = call[messages.ReportAnswer](w, w.acts.Explain, messages.ReportInput{Org: org, Kind: messages.ReportExplain, Person: "dan@acme.example", If: []string{"groups+=nothing"}})
	require.Error(t, err)
}

// A rule with release holds on once it holds: what it takes is not given back by the very fact that it was taken.
func TestARuleHoldsOnUntilItsRelease(t *testing.T) {
	t.Parallel()
	w := newWorldOf(t, company)
	text := strings.Replace(w.companyText(consenting+"grants:\n  - {name: jira, targets: [\"default:jira/acme/user\"], duration: {max: 1d}, reason: false}\n"+rulesOf(
		`{name: idle, owner: ana@acme.example, mode: enforce, when: 'inactive("90d", "jira")', deny: ["default:jira/acme/user"], after: 1d, release: 'granted("default:jira/acme/user")'}`)),
		`to: ["group:builders"]`, `to: ["default:jira/acme/user"]`, 1)
	w.policy = must[activities.AdmitResult](w, w.acts.Admit, w.admitIn(text)).Policy
	w.byHand("POST", "jira-users-acme", "dan")
	for _, name := range company.People[:7] {
		w.used("jira-software", w.clock(), name)
	}
	w.used("jira-software", w.clock().Add(-100*day), "dan")
	w.verify()
	w.pass(day)
	require.Equal(t, []string{"remove dan@acme.example from group:jira-users-acme"}, w.verify())
	w.pass(day)
	require.Empty(t, w.verify(), "the mapping does not give it back, though nobody is inactive in what they cannot use")
	w.right(w.grant("dan@acme.example", "default:jira/acme/user", time.Hour))
	require.Contains(t, w.members("jira-users-acme"), "dan")
	w.verify()
	w.pass(2 * time.Hour)
	w.used("jira-software", w.clock(), "dan")
	require.Empty(t, w.verify())
	require.Contains(t, w.members("jira-users-acme"), "dan", "the mapping gives it again")
}

// A rule with a time of grace is consented to by what it will do, and then tells before it does.
func TestConsentComesBeforeGrace(t *testing.T) {
	t.Parallel()
	w := newWorldOf(t, company)
	w.take("guard: {adopt: auto}\n" + rulesOf(`{name: unknown, owner: ana@acme.example, mode: enforce, when: 'domain == "evil.example"', suspend: true, grace: 2d}`))
	run, judged := w.planned()
	require.Equal(t, 1, judged.Hold.Removals)
	require.Zero(t, w.ruleTime(time.Time{}).Told, "nobody has consented")
	must[activities.DecideResult](w, w.acts.Decide, activities.DecideInput{Org: org, Decision: "approve", DecisionInput: messages.DecisionInput{Plan: judged.Hold.Plan, By: "bo"}})
	w.pass(10 * time.Second)
	must[activities.ConfirmResult](w, w.acts.Confirm, activities.ConfirmInput{RunInput: run, Actions: []access.Action{access.Remove}, Fresh: true})
	w.write(run)
	w.finish(run, messages.ScopeFull)
	require.Empty(t, w.suspended(), "the time of grace has not begun")
	told := w.ruleTime(time.Time{})
	require.Equal(t, 1, told.Told)
	w.pass(2*day + time.Minute)
	w.verify()
	require.Equal(t, "eve@evil.example", w.suspended())
}
