package reconcile_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/messages"
)

// C4: a change of role alone can revoke certain access.
func TestFieldC4(t *testing.T) {
	t.Parallel()
	o := activitytest.CompanyWith(t,
		activitytest.RulesOf(`{name: engineers, mode: enforce, when: 'title == "Engineer"', give: ["group:finance-space"]}`))
	require.Equal(t, "dan", o.Members("finance-space"))
	o.ChangePerson("dan", map[string]any{"title": "Manager"})
	require.Equal(t, []string{"remove dan@acme.example from group:finance-space"}, o.Verify())
	require.Empty(t, o.Suspended(), "nothing else is taken")
}

// C13: people get only what their mapped groups give (least privilege).
func TestFieldC13(t *testing.T) {
	t.Parallel()
	o := activitytest.CompanyWith(t,
		activitytest.RulesOf(`{name: finance, mode: enforce, when: in("idp-finance"), give: ["group:finance-space"]}`))
	require.Equal(t, "fay", o.Members("finance-space"))
	require.Equal(t, "ana bo carol dan fay gus kim", o.Members("builders"))
	require.Equal(t, "pia@partner.example", o.Members("internal-wiki"), "what no line names is never touched")
}

// E1, E2: people are added to protected groups and roles by rule from IdP group membership, and removed when they leave
// the authorised groups. The floor stands.
func TestFieldE1E2(t *testing.T) {
	t.Parallel()
	o := activitytest.CompanyWith(t,
		"protected:\n  - {target: role:org-admin, minimum: 1, always: [ana@acme.example]}\n"+activitytest.RulesOf(
			`{name: admins, mode: enforce, when: in("idp-admins") && !external, give: [role:org-admin, "group:jira-admins-acme"], removals: all}`))
	require.Equal(t, "ana bo carol", o.Admins())
	require.Contains(t, o.Members("jira-admins-acme"), "carol")
	o.Advance(time.Minute)
	o.Leave("idp-admins", "carol", "bo")
	o.Verify()
	require.Equal(t, "ana", o.Admins())
	require.NotContains(t, o.Members("jira-admins-acme"), "carol")
	o.Leave("idp-admins", "ana")
	require.Empty(t, o.Verify()[1:], "of what ana holds only the unprotected group goes")
	require.Equal(t, "ana", o.Admins(), "whoever always stays, stays")
}

// E5, E6, E7: people with addresses outside the company's domains are found, different rules apply to different
// domains, and whoever does not meet them is suspended or restricted.
func TestFieldE5E6E7(t *testing.T) {
	t.Parallel()
	o := activitytest.CompanyWith(t, activitytest.RulesOf(
		`{name: partners, owner: ana@acme.example, mode: enforce, when: 'domain == "partner.example"', deny: ["group:internal-wiki"]}`,
		`{name: unknown, owner: ana@acme.example, mode: enforce, when: 'external && !(domain in ["partner.example", "mail.example"])', suspend: true}`,
	))
	require.Equal(t, "paul@partner.example", o.Members("partner-wiki"), "what they may hold they keep")
	require.Empty(t, o.Members("internal-wiki"), "who put pia there does not matter")
	require.Equal(t, "eve@evil.example", o.Suspended())
	require.Empty(t, o.Verify(), "once is enough")
}

// E9: contractors, self-registered and manually invited people are each recognised.
func TestFieldE9(t *testing.T) {
	t.Parallel()
	o := activitytest.CompanyWith(t, activitytest.RulesOf(
		`{name: contractors, owner: ana@acme.example, when: in("idp-contractors"), deny: ["group:builders"]}`,
		`{name: invited, owner: ana@acme.example, when: 'managementSource == "invited" && size(sources) == 0 && domain == "partner.example"', suspend: true}`,
		`{name: signed up, owner: ana@acme.example, when: 'size(sources) == 0 && domain == "mail.example"', remove: true}`,
	))
	o.Verify()
	require.Equal(t, []string{
		"remove gus@acme.example from group:builders", "remove kim@acme.example from group:builders",
		"remove sam@mail.example from the organization", "suspend paul@partner.example", "suspend pia@partner.example",
	}, o.Observed("run-002"))
}

// E10, E11: "in X and not in Y" works, and chains of conditions combine.
func TestFieldE10E11(t *testing.T) {
	t.Parallel()
	o := activitytest.CompanyWith(t, activitytest.RulesOf(
		`{name: inner, mode: enforce, when: in("staff") && !in("idp-contractors") && (in("idp-admins") || department == "IT" && title.startsWith("Eng")), give: ["group:finance-space"]}`))
	require.Equal(t, "ana bo carol dan", o.Members("finance-space"))
	o.Join("idp-contractors", "dan")
	o.Verify()
	require.Equal(t, "ana bo carol", o.Members("finance-space"))
}

// E12: actions can depend on time: start later, end at a time, repeat.
func TestFieldE12(t *testing.T) {
	t.Parallel()
	o := activitytest.CompanyWith(t, activitytest.RulesOf( // the clock begins on Monday, 2 March 2026, 9:00
		`{name: later, mode: enforce, when: 'email == "dan@acme.example"', give: ["group:finance-space"], during: {from: "2026-03-03T00:00:00Z", until: "2026-03-05T00:00:00Z"}}`,
		`{name: nights, mode: enforce, when: 'email == "fay@acme.example"', give: ["group:finance-space"], during: {zone: Europe/Berlin, weekly: ["Mon-Fri 22:00-06:00"]}}`,
	))
	require.Empty(t, o.Members("finance-space"))
	asked := o.Clock()
	for _, step := range []struct {
		at   time.Time
		want string
	}{
		{time.Date(2026, 3, 2, 21, 0, 0, 0, time.UTC), "fay"}, // 22:00 in Berlin
		{time.Date(2026, 3, 3, 0, 0, 0, 0, time.UTC), "dan fay"},
		{time.Date(2026, 3, 3, 5, 0, 0, 0, time.UTC), "dan"},
		{time.Date(2026, 3, 3, 21, 0, 0, 0, time.UTC), "dan fay"},
		{time.Date(2026, 3, 4, 5, 0, 0, 0, time.UTC), "dan"},
		{time.Date(2026, 3, 4, 21, 0, 0, 0, time.UTC), "dan fay"},
		{time.Date(2026, 3, 5, 0, 0, 0, 0, time.UTC), "fay"},
	} {
		next := o.RuleTime(asked)
		require.True(t, step.at.Equal(next.Next), "the next edge is known beforehand: %s", next.Next)
		asked = o.Clock()
		o.Advance(step.at.Sub(o.Clock()))
		require.True(t, o.RuleTime(asked).Full, "everybody is looked at when it comes")
		asked = o.Clock()
		o.Verify()
		require.Equal(t, step.want, o.Members("finance-space"), step.at)
	}
}

// E13, E22: temporary access ends by itself, also that of somebody who is there for a while only.
func TestFieldE13(t *testing.T) {
	t.Parallel()
	o := activitytest.WithGrants(t, activitytest.Lendable)
	g := o.Grant("new@partner.example", access.Directory, 2*time.Hour)
	o.AttendAll(g)
	require.Empty(t, o.Suspended()+o.Removed())
	o.AdvanceToEnd(g)
	o.AttendAll(g)
	require.Equal(t, "new", o.Suspended())
}

// E14: permission reviews and clean-ups run on a schedule.
func TestFieldE14(t *testing.T) {
	t.Parallel()
	o := activitytest.CompanyWith(t, "governance: {schedule: \"0 6 1 * *\"}\n"+activitytest.RulesOf(
		`{name: monthly, owner: ana@acme.example, mode: enforce, when: external && !granted("directory"), deny: ["group:internal-wiki"], during: {cron: "0 2 1 * *", for: 1h}}`))
	require.Equal(t, "pia@partner.example", o.Members("internal-wiki"), "it is not the first of the month")
	first := time.Date(2026, 4, 1, 2, 0, 0, 0, time.UTC)
	asked := o.Clock()
	require.Equal(t, first, o.RuleTime(asked).Next)
	o.Advance(first.Sub(o.Clock()))
	require.True(t, o.RuleTime(asked).Full)
	require.Equal(t, []string{"remove pia@partner.example from group:internal-wiki"}, o.Verify())
	require.Len(t, activitytest.Found(t, o.Govern(), "external-people"), 4, "and the report tells who is left")
}

// Alerts are told once, and again when they come back.
func TestAdminsByHandAreToldOnce(t *testing.T) {
	t.Parallel()
	o := activitytest.CompanyWith(t,
		"protected:\n  - {target: role:org-admin, maximum: 3}\n"+
			activitytest.RulesOf(`{name: admins, mode: enforce, when: in("idp-admins"), give: [role:org-admin]}`))
	o.Verify()
	require.Empty(t, o.Notifier.Notices)
	o.ChangePerson("dan", map[string]any{"orgAdmin": true})
	o.Notifier.Fails = 1
	o.Verify()
	require.Empty(t, o.Notifier.Notices)
	o.Verify()
	o.Verify()
	require.Len(t, o.Notifier.Notices, 1)
	require.Contains(t, o.Notifier.Notices[0].Text,
		"admin-by-hand role:org-admin: 1 people hold it although nothing in the policy gives it to them")
	require.Contains(t, o.Notifier.Notices[0].Text,
		"too-many-holders role:org-admin: 4 people hold it; the policy allows at most 3")
	o.ChangePerson("dan", map[string]any{"orgAdmin": false})
	o.Verify()
	o.ChangePerson("dan", map[string]any{"orgAdmin": true})
	o.Verify()
	require.Len(t, o.Notifier.Notices, 2)
}

// E17: it works beside an existing SCIM set-up and does not fight it.
func TestFieldE17(t *testing.T) {
	t.Parallel()
	o := activitytest.CompanyWith(t,
		activitytest.RulesOf(`{name: contractors, owner: ana@acme.example, mode: enforce, when: in("idp-contractors"), deny: ["group:builders"]}`))
	before := o.Members("staff") + o.Members("idp-contractors")
	require.Equal(t, "ana bo carol dan fay", o.Members("builders"))
	o.ByHand("POST", "builders", "gus") // as an identity provider's other integration would
	o.Verify()
	o.ByHand("POST", "builders", "gus")
	o.Verify()
	o.ByHand("POST", "builders", "gus")
	o.Verify()
	require.Contains(t, o.Findings()["given-back group:builders"],
		"gus@acme.example was removed 2 times within 7 days, by rule contractors, and it is given back each time")
	require.Equal(t, before, o.Members("staff")+o.Members("idp-contractors"), "source groups are never written")
	o.ByHand("POST", "builders", "gus")
	o.Verify()
	o.ByHand("POST", "builders", "gus")
	_, judged := o.VerifyAll()
	require.NotNil(t, judged.Hold, "what flaps is held")
	require.Contains(t, judged.Hold.Rules[0],
		"flapping: gus@acme.example in group:builders was changed 4 times within 7 days")
	require.Contains(t, o.Members("builders"), "gus")
}

// E18: someone gone from the identity provider and still active at Atlassian is found: a second control of offboarding.
func TestFieldE18(t *testing.T) {
	t.Parallel()
	o := activitytest.CompanyWith(t,
		activitytest.RulesOf(`{name: left, owner: ana@acme.example, mode: enforce, when: managed && size(sources) == 0 && !granted("directory"), suspend: true, after: 1d, grace: 1d}`))
	o.Leave("staff", "dan")
	o.Verify()
	o.Advance(activitytest.Day)
	o.Verify()
	told := o.RuleTime(time.Time{})
	require.Equal(t, 1, told.Told)
	require.Len(t, o.Notifier.Notices, 2)
	require.Contains(t, o.Notifier.Notices[0].Text, "dan@acme.example")
	require.Equal(t, "ana@acme.example", o.Notifier.Notices[0].To)
	require.Equal(t, "dan@acme.example", o.Notifier.Notices[1].To)
	require.Contains(t, o.Notifier.Notices[1].Text, "suspension on")
	require.Empty(t, o.Suspended())
	o.Advance(activitytest.Day)
	require.Equal(t, []string{o.AccountID("dan")}, o.RuleTime(told.At).People, "who is due is looked at")
	require.Equal(t, []string{"suspend dan@acme.example"}, o.Verify())
}

// E21: access is managed by department or role.
func TestFieldE21(t *testing.T) {
	t.Parallel()
	o := activitytest.CompanyWith(t,
		activitytest.RulesOf(`{name: finance, mode: enforce, when: department == "Finance" && managed, give: ["group:finance-space", "group:partner-wiki"]}`))
	require.Equal(t, "fay", o.Members("finance-space"))
	require.Equal(t, "fay paul@partner.example", o.Members("partner-wiki"))
	o.ChangePerson("fay", map[string]any{"department": "Legal"})
	o.ChangePerson("dan", map[string]any{"department": "Finance"})
	o.Verify()
	require.Equal(t, "dan", o.Members("finance-space"))
	require.Equal(t, "dan paul@partner.example", o.Members("partner-wiki"), "whom somebody else put there stays")
}

// Switching a rule to enforce applies exactly what was last shown, through a plan hash.
func TestRuleIsShownBeforeItActs(t *testing.T) {
	t.Parallel()
	o := activitytest.NewOf(t, activitytest.Company)
	asking := "guard: {adopt: auto, run: {share: 100%}, target: {share: 100%, minimum: 100}, window: {share: 100%}}\n"
	policyWith := func(mode string) {
		o.AdmitRules(asking + activitytest.RulesOf(
			"{name: outside, owner: ana@acme.example, when: external, deny: [\"group:internal-wiki\", \"group:partner-wiki\"], "+mode+"}"))
	}
	policyWith("mode: observe")
	run, judged := o.SweepAndJudge()
	require.Nil(t, judged.Hold)
	require.Equal(t, []string{"remove paul@partner.example from group:partner-wiki",
		"remove pia@partner.example from group:internal-wiki"}, o.Observed(run.Run))
	o.Write(run)
	o.Finish(run, messages.ScopeFull)
	require.Equal(t, "paul@partner.example", o.Members("partner-wiki"), "a rule that observes changes nothing")
	known, err := o.Ledger.Rules(t.Context(), activitytest.Org)
	require.NoError(t, err)
	require.Len(t, known, 1)
	var shown string
	for _, r := range known {
		shown = r.Seen
		require.Equal(t, 2, r.Lines)
	}
	require.Contains(t, o.Findings()["rule-observed outside"],
		"it holds for 4 people. Enforced, it would make 2 changes: `starter plan --state observed --run run-001`. To have just that done, write mode: enforce and shown: "+shown)

	policyWith("mode: enforce")
	_, judged = o.SweepAndJudge()
	require.NotNil(t, judged.Hold)
	require.Equal(t, 2, judged.Hold.Removals)
	require.Contains(t, judged.Hold.Rules[0], "rule-new: rule outside is enforced for the first time; its changes: 2, "+
		shown+", which is exactly what it was last shown to do")
	look := o.Examine(o.NewRun(), "", o.AccountID("pia@partner.example"))
	require.Zero(t, look.Open, "until somebody consents, no event makes it act")

	o.ByHand("POST", "partner-wiki", "eve@evil.example")
	policyWith("mode: enforce, shown: '" + shown + "'")
	_, judged = o.SweepAndJudge()
	require.Contains(t, judged.Hold.Rules[0], "which is not what the policy agreed to (shown: "+shown)
	o.ByHand("DELETE", "partner-wiki", "eve@evil.example")
	done, judged := o.VerifyAll()
	require.Nil(t, judged.Hold, "it is again just what was shown")
	require.Equal(t, []string{"remove paul@partner.example from group:partner-wiki",
		"remove pia@partner.example from group:internal-wiki"}, done)
	o.ByHand("POST", "internal-wiki", "pia@partner.example")
	_, judged = o.VerifyAll()
	require.Nil(t, judged.Hold, "once consented to, it acts")
	require.Empty(t, o.Members("internal-wiki"))
}

func TestRuleHoldIsItsConsent(t *testing.T) {
	t.Parallel()
	o := activitytest.NewOf(t, activitytest.Company)
	o.AdmitRules("guard: {adopt: auto}\n" +
		activitytest.RulesOf(`{name: outside, owner: ana@acme.example, mode: enforce, when: external, suspend: true}`))
	run, judged := o.SweepAndJudge()
	require.Equal(t, 4, judged.Hold.Removals)
	activitytest.Must[reconcile.DecideResult](o, o.Acts.Reconcile.Decide,
		reconcile.DecideInput{Org: activitytest.Org, Decision: "reject",
			DecisionInput: messages.DecisionInput{Plan: judged.Hold.Plan, By: "bo"}})
	o.Write(run)
	o.Finish(run, messages.ScopeFull)
	o.Advance(time.Hour)
	_, judged = o.SweepAndJudge()
	require.Nil(t, judged.Hold, "what was rejected is not raised again")
	o.Join("staff", "dan")
	require.Empty(t, o.Suspended())
	known, err := o.Ledger.Rules(t.Context(), activitytest.Org)
	require.NoError(t, err)
	for _, r := range known {
		require.True(t, r.Released.IsZero(), "a rejection is no consent")
	}
}
