package reports_test

import (
	"bytes"
	"encoding/csv"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/apply"
	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/report"
	"github.com/castellan-io/castellan/simulator/cloud"
)

func section(t *testing.T, r report.Report, key string) report.Section {
	t.Helper()
	i := slices.IndexFunc(r.Sections, func(s report.Section) bool { return s.Key == key })
	require.GreaterOrEqual(t, i, 0, key)
	return r.Sections[i]
}

// A8: people placed by invitation, by an admin or by themselves are told apart from those placed by the product.
func TestFieldA8(t *testing.T) {
	t.Parallel()
	o := activitytest.CompanyWith(t, "")
	o.ByHand("POST", "builders", "sam@mail.example")
	o.Verify()
	require.False(t, o.Held("sam@mail.example", "group:builders").Owned)
	require.True(t, o.Held("dan", "group:builders").Owned)
	require.Equal(t, []string{"sam@mail.example | group:builders | 2026-03-02"},
		activitytest.Found(t, o.Govern(), "foreign-memberships"))
}

// A10: group names carrying a site suffix, and the customer group of Jira Service Management, are handled.
func TestFieldA10(t *testing.T) {
	t.Parallel()
	o := activitytest.NewOf(t, activitytest.Company)
	o.Send("POST", "/_sim/seed", map[string]any{"org": activitytest.Company,
		"apps": []string{"jira-software", "jira-servicedesk", "confluence"}})
	text := strings.Replace(o.CompanyText(activitytest.Consenting), `to: ["group:builders"]`,
		`to: ["group:builders", "default:jira/acme/user", "default:jsm/acme/customer"]`, 1)
	result := activitytest.Must[reconcile.AdmitResult](o, o.Acts.Reconcile.Admit, o.AdmitIn(text))
	o.Policy = result.Policy
	o.Verify()
	var customers string
	for _, g := range o.Sim.State().Groups {
		for _, r := range g.Roles {
			if r.Role == "atlassian/customer" && r.Default {
				customers = g.Name
			}
		}
	}
	require.NotEmpty(t, customers)
	require.Contains(t, o.Members("jira-users-acme"), "dan")
	require.Contains(t, o.Members(customers), "dan")
}

// A13: no one without membership in a mapped source gains a target through the product.
func TestFieldA13(t *testing.T) {
	t.Parallel()
	o := activitytest.CompanyWith(t, "")
	random := rand.New(rand.NewPCG(1, 13))
	names := activitytest.Company.People[:7]
	for range 12 {
		name := names[random.IntN(len(names))]
		if random.IntN(2) == 0 {
			o.Leave("staff", name)
		} else {
			o.Join("staff", name)
		}
		for _, label := range o.Verify() {
			if who, added := strings.CutPrefix(label, "add "); added {
				who, _, _ = strings.Cut(who, "@")
				require.Contains(t, o.Members("staff"), who)
			}
		}
		require.Equal(t, o.Members("staff"), o.Members("builders"))
	}
}

// A15: a tightly locked-down layout, several targets with different rights for one large organization, can be
// expressed.
func TestFieldA15(t *testing.T) {
	t.Parallel()
	o := activitytest.CompanyWith(t, activitytest.RulesOf(
		`{name: jira, mode: enforce, when: 'managed && !in("idp-contractors")', give: ["default:jira/acme/user"]}`,
		`{name: wiki, mode: enforce, when: in("staff"), give: ["default:confluence/acme/user"]}`,
		`{name: finance, mode: enforce, when: 'in("idp-finance") && department == "Finance"', give: ["group:finance-space"]}`,
		`{name: outside, owner: ana@acme.example, mode: enforce, when: external, deny: ["default:jira/acme/user", "default:confluence/acme/user", "group:finance-space", "group:internal-wiki", "group:builders"]}`,
	))
	require.Equal(t, "ana bo carol dan fay", o.Members("jira-users-acme"))
	require.Equal(t, "ana bo carol dan fay gus kim", o.Members("confluence-users-acme"))
	require.Equal(t, "fay", o.Members("finance-space"))
	require.Empty(t, o.Members("internal-wiki"))
	require.Equal(t, "paul@partner.example", o.Members("partner-wiki"))
}

// E3: temporary elevation into a protected group can be asked for, given and ended by itself.
func TestFieldE3(t *testing.T) {
	t.Parallel()
	o := activitytest.WithGrants(t, activitytest.Lendable)
	g := o.Grant("carol", access.OrgAdmin, time.Hour)
	o.AttendAll(g)
	require.Equal(t, "ana bo carol", o.Admins())
	o.AdvanceToEnd(g)
	o.AttendAll(g)
	require.Equal(t, "ana bo", o.Admins())
}

// E4: default product-access groups follow SCIM groups in both directions.
func TestFieldE4(t *testing.T) {
	t.Parallel()
	o := activitytest.NewOf(t, activitytest.Company)
	result := activitytest.Must[reconcile.AdmitResult](o, o.Acts.Reconcile.Admit,
		o.AdmitIn(strings.Replace(o.CompanyText(activitytest.Consenting), "group:builders",
			"default:confluence/acme/user", 1)))
	o.Policy = result.Policy
	o.Verify()
	require.Equal(t, o.Members("staff"), o.Members("confluence-users-acme"))
	o.Leave("staff", "dan")
	o.Verify()
	require.NotContains(t, o.Members("confluence-users-acme"), "dan")
	o.Join("staff", "dan")
	o.Verify()
	require.Contains(t, o.Members("confluence-users-acme"), "dan")
}

// E8: external collaborators are audited at regular intervals: who they are, who answers for them, until when.
func TestFieldE8(t *testing.T) {
	t.Parallel()
	o := activitytest.CompanyWith(t,
		"grants:\n  - {name: guests, targets: [directory], duration: {max: 180d}, reason: false}\n")
	o.AttendAll(o.Grant("paul@partner.example", access.Directory, 90*activitytest.Day))
	rows := activitytest.Found(t, o.Govern(), "external-people")
	require.Len(t, rows, 4)
	require.True(t, slices.ContainsFunc(rows, func(r string) bool {
		return strings.HasPrefix(r, "paul@partner.example | partner.example | invited, in no source group | bo@acme.example | 2026-05-31")
	}), rows)
	require.True(t, slices.ContainsFunc(rows, func(r string) bool {
		return strings.HasPrefix(r, "eve@evil.example | evil.example | invited, in no source group | nobody | never")
	}), rows)
}

// E15, E16: regular compliance checks run and report findings, and keep a history.
func TestFieldE15E16(t *testing.T) {
	t.Parallel()
	o := activitytest.CompanyWith(t, "governance: {schedule: \"0 6 * * 1\", notify: [sec@acme.example]}\n")
	first := o.Govern()
	require.Equal(t, report.Unknown, section(t, first, "external-people").New, "there is nothing to compare with")
	o.Send("POST", "/_sim/people/eve@evil.example", map[string]any{"remove": true})
	o.ByHand("POST", "builders", "sam@mail.example")
	o.Verify()
	second := o.Govern()
	require.Equal(t, 1, section(t, second, "external-people").Gone)
	require.Equal(t, 1, section(t, second, "foreign-memberships").New)
	require.Len(t, second.Past, 1)
	require.Equal(t, 4, second.Past[0].Counts["external-people"])
	require.Len(t, o.Govern().Past, 2)
	require.Len(t, o.Notifier.Notices, 3)
	require.Equal(t, "sec@acme.example", o.Notifier.Notices[1].To)
	require.Contains(t, o.Notifier.Notices[1].Text, "Memberships that nothing explains: 1 (1 new, 0 gone)")
}

// E20: over-broad permissions are pointed out.
func TestFieldE20(t *testing.T) {
	t.Parallel()
	file := activitytest.Company
	file.Local = append(slices.Clone(file.Local), cloud.OrgGroup{Name: "everything", Roles: []cloud.OrgRole{
		{App: "jira-software", Site: "acme", Role: "user"}, {App: "confluence", Site: "acme", Role: "user"}}})
	o := activitytest.NewOf(t, file)
	o.AdmitRules(activitytest.Consenting +
		"protected:\n  - {target: role:org-admin, maximum: 2}\n  - {target: \"group:builders\"}\n" +
		activitytest.RulesOf(
			`{name: admins, mode: enforce, when: in("idp-admins"), give: [role:org-admin]}`,
			`{name: all, mode: enforce, when: in("idp-finance"), give: ["group:everything"]}`))
	o.Verify()
	o.Verify()
	require.Contains(t, o.Findings()["too-many-holders role:org-admin"], "3 people hold it; the policy allows at most 2")
	r := o.Govern()
	rows := activitytest.Found(t, r, "broad-access")
	require.Contains(t, rows, "group:everything | opens several apps at once | confluence/acme, jira-software/acme")
	require.Contains(t, rows, "group:builders holders | is protected, and held by most people | 7 of 11")
	require.True(t, slices.ContainsFunc(rows, func(r string) bool {
		return strings.HasPrefix(r, "ana@acme.example | holds 2 protected targets at once")
	}), rows)
	require.Len(t, activitytest.Found(t, r, "protected-targets"), 10)
}

// E25: the number of admins needed does not grow with the number of people: what one policy says holds for everybody.
func TestFieldE25(t *testing.T) {
	t.Parallel()
	o := activitytest.CompanyWith(t,
		activitytest.RulesOf(`{name: finance, mode: enforce, when: department == "Finance", give: ["group:finance-space"]}`))
	for _, name := range []string{"dan", "gus", "kim", "carol"} {
		o.ChangePerson(name, map[string]any{"department": "Finance"})
	}
	require.Len(t, o.Verify(), 4, "four people, and nobody did anything")
	require.Equal(t, "carol dan fay gus kim", o.Members("finance-space"))
}

// E26: everything needed for an audit of excessive privilege can be exported.
func TestFieldE26(t *testing.T) {
	t.Parallel()
	o := activitytest.CompanyWith(t,
		"protected:\n  - {target: role:org-admin}\n"+
			activitytest.RulesOf(`{name: admins, mode: enforce, when: in("idp-admins"), give: [role:org-admin]}`))
	o.ChangePerson("dan", map[string]any{"orgAdmin": true})
	o.Verify()
	r := o.Govern()
	require.Contains(t, strings.Join(activitytest.Found(t, r, "admins-by-hand"), "\n"),
		"dan@acme.example | role:org-admin")
	require.Contains(t, strings.Join(activitytest.Found(t, r, "protected-targets"), "\n"),
		"role:org-admin | carol@acme.example | 2026-03-02 | rule admins")
	rows, err := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(o.Document(r.ID, "csv"), []byte("\ufeff")))).ReadAll()
	require.NoError(t, err)
	require.Greater(t, len(rows), 10)
	page := string(o.Document("", "html"))
	require.Contains(t, page, "Admins added outside the policy")
	require.Contains(t, page, "dan@acme.example")
	check := o.Ask(messages.ReportInput{Org: activitytest.Org, Kind: messages.ReportLedger})
	require.True(t, check.Ledger.Whole, "and what was done stands in a chain")
}

// The sections about accounts and domains.
func TestGovernanceFindsAccountsAndDomains(t *testing.T) {
	t.Parallel()
	file := activitytest.Company
	file.People = append(slices.Clone(file.People), "jit")
	file.Invited = append(slices.Clone(file.Invited), "jit")
	o := activitytest.NewOf(t, file)
	o.AdmitRules(activitytest.Consenting)
	o.Used("jira-software", o.Clock().Add(-200*activitytest.Day), "jit")
	o.ByHand("POST", "jira-users-acme", "jit")
	o.Verify()
	r := o.Govern()
	require.Contains(t, strings.Join(activitytest.Found(t, r, "unlinked-accounts"), "\n"),
		"jit@acme.example | invited | 0")
	require.Contains(t, strings.Join(activitytest.Found(t, r, "in-no-source-group"), "\n"), "jit@acme.example")
	require.Contains(t, strings.Join(activitytest.Found(t, r, "inactive-people"), "\n"),
		"jit@acme.example | jira-software/acme (2025-08-14)")
	require.Contains(t, activitytest.Found(t, r, "domains"), "partner.example | not the organization's | 2")
	o.Inject(cloud.Fault{Operations: []string{"domains.list"}, Kind: "status", Params: cloud.FaultParams{Status: 403}})
	require.Contains(t, section(t, o.Govern(), "domains").Incomplete, "the domains could not be read")
}

func TestExplainTellsTheWholeDecision(t *testing.T) {
	t.Parallel()
	o := activitytest.CompanyWith(t, "protected:\n  - {target: role:org-admin}\n"+activitytest.RulesOf(
		`{name: finance, mode: enforce, when: 'department == "Finance" && mfa', give: ["group:finance-space"]}`,
		`{name: outside, owner: ana@acme.example, mode: enforce, when: external, deny: ["group:builders"]}`,
		`{name: idea, owner: ana@acme.example, when: in("idp-contractors"), suspend: true}`))
	explain := func(person string, suppose ...string) *messages.Explanation {
		return activitytest.Must[messages.ReportAnswer](o, o.Acts.Reports.Explain,
			messages.ReportInput{Org: activitytest.Org, Kind: messages.ReportExplain, Person: person,
				If: suppose}).Explain
	}
	x := explain("gus@acme.example")
	require.Equal(t, []messages.Statement{{Name: "builders", Verdict: "gives",
		Why: "synced group staff → builders → group:builders"}}, x.Mappings)
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
	require.NotContains(t, o.Members("finance-space"), "dan", "nothing is written")
	_, err := activitytest.Call[messages.ReportAnswer](o, o.Acts.Reports.Explain,
		messages.ReportInput{Org: activitytest.Org, Kind: messages.ReportExplain, Person: "nobody@acme.example"})
	require.Contains(t, activitytest.ApplicationError(t, err).Message(), "shows nobody named nobody@acme.example")
	_, err = activitytest.Call[messages.ReportAnswer](o, o.Acts.Reports.Explain,
		messages.ReportInput{Org: activitytest.Org, Kind: messages.ReportExplain, Person: "dan@acme.example",
			If: []string{"groups+=nothing"}})
	require.Error(t, err)
}

// A rule with release holds on once it holds: what it takes is not given back by the very fact that it was taken.
func TestRuleAppliesUntilItsRelease(t *testing.T) {
	t.Parallel()
	o := activitytest.NewOf(t, activitytest.Company)
	text := strings.Replace(o.CompanyText(activitytest.Consenting+
		"grants:\n  - {name: jira, targets: [\"default:jira/acme/user\"], duration: {max: 1d}, reason: false}\n"+
		activitytest.RulesOf(
			`{name: idle, owner: ana@acme.example, mode: enforce, when: 'inactive("90d", "jira")', deny: ["default:jira/acme/user"], after: 1d, release: 'granted("default:jira/acme/user")'}`)),
		`to: ["group:builders"]`, `to: ["default:jira/acme/user"]`, 1)
	o.Policy = activitytest.Must[reconcile.AdmitResult](o, o.Acts.Reconcile.Admit, o.AdmitIn(text)).Policy
	o.ByHand("POST", "jira-users-acme", "dan")
	for _, name := range activitytest.Company.People[:7] {
		o.Used("jira-software", o.Clock(), name)
	}
	o.Used("jira-software", o.Clock().Add(-100*activitytest.Day), "dan")
	o.Verify()
	o.Advance(activitytest.Day)
	require.Equal(t, []string{"remove dan@acme.example from group:jira-users-acme"}, o.Verify())
	o.Advance(activitytest.Day)
	require.Empty(t, o.Verify(), "the mapping does not give it back, though nobody is inactive in what they cannot use")
	o.AttendAll(o.Grant("dan@acme.example", "default:jira/acme/user", time.Hour))
	require.Contains(t, o.Members("jira-users-acme"), "dan")
	o.Verify()
	o.Advance(2 * time.Hour)
	o.Used("jira-software", o.Clock(), "dan")
	require.Empty(t, o.Verify())
	require.Contains(t, o.Members("jira-users-acme"), "dan", "the mapping gives it again")
}

// A rule with a time of grace is consented to by what it will do, and then tells before it does.
func TestConsentComesBeforeGrace(t *testing.T) {
	t.Parallel()
	o := activitytest.NewOf(t, activitytest.Company)
	o.AdmitRules("guard: {adopt: auto}\n" +
		activitytest.RulesOf(`{name: unknown, owner: ana@acme.example, mode: enforce, when: 'domain == "evil.example"', suspend: true, grace: 2d}`))
	run, judged := o.SweepAndJudge()
	require.Equal(t, 1, judged.Hold.Removals)
	require.Zero(t, o.RuleTime(time.Time{}).Told, "nobody has consented")
	activitytest.Must[reconcile.DecideResult](o, o.Acts.Reconcile.Decide,
		reconcile.DecideInput{Org: activitytest.Org, Decision: "approve",
			DecisionInput: messages.DecisionInput{Plan: judged.Hold.Plan, By: "bo"}})
	o.Advance(10 * time.Second)
	activitytest.Must[reconcile.ConfirmResult](o, o.Acts.Reconcile.Confirm,
		apply.ConfirmInput{RunInput: run, Actions: []access.Action{access.Remove}, Fresh: true})
	o.Write(run)
	o.Finish(run, messages.ScopeFull)
	require.Empty(t, o.Suspended(), "the time of grace has not begun")
	told := o.RuleTime(time.Time{})
	require.Equal(t, 1, told.Told)
	o.Advance(2*activitytest.Day + time.Minute)
	o.Verify()
	require.Equal(t, "eve@evil.example", o.Suspended())
}
