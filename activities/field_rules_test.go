package activities_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/messages"
)

const day = 24 * time.Hour

// C4: a change of role alone can revoke certain access.
func TestFieldC4(t *testing.T) {
	t.Parallel()
	w := companyWith(t, rulesOf(`{name: engineers, mode: enforce, when: 'title == "Engineer"', give: ["group:finance-space"]}`))
	require.Equal(t, "dan", w.members("finance-space"))
	w.set("dan", map[string]any{"title": "Manager"})
	require.Equal(t, []string{"remove dan@acme.example from group:finance-space"}, w.verify())
	require.Empty(t, w.suspended(), "nothing else is taken")
}

// C13: people get only what their mapped groups give (least privilege).
func TestFieldC13(t *testing.T) {
	t.Parallel()
	w := companyWith(t, rulesOf(`{name: finance, mode: enforce, when: in("idp-finance"), give: ["group:finance-space"]}`))
	require.Equal(t, "fay", w.members("finance-space"))
	require.Equal(t, "ana bo carol dan fay gus kim", w.members("builders"))
	require.Equal(t, "pia@partner.example", w.members("internal-wiki"), "what no line names is never touched")
}

// E1, E2: people are added to protected groups and roles by rule from IdP group membership, and removed when they leave the
// authorised groups. The floor stands.
func TestFieldE1E2(t *testing.T) {
	t.Parallel()
	w := companyWith(t, "protected:\n  - {target: role:org-admin, minimum: 1, always: [ana@acme.example]}\n"+rulesOf(
		`{name: admins, mode: enforce, when: in("idp-admins") && !external, give: [role:org-admin, "group:jira-admins-acme"], removals: all}`))
	require.Equal(t, "ana bo carol", w.admins())
	require.Contains(t, w.members("jira-admins-acme"), "carol")
	w.pass(time.Minute)
	w.leave("idp-admins", "carol", "bo")
	w.verify()
	require.Equal(t, "ana", w.admins())
	require.NotContains(t, w.members("jira-admins-acme"), "carol")
	w.leave("idp-admins", "ana")
	require.Empty(t, w.verify()[1:], "of what ana holds only the unprotected group goes")
	require.Equal(t, "ana", w.admins(), "whoever always stays, stays")
}

// E5, E6, E7: people with addresses outside the company's domains are found, different rules apply to different domains, and
// whoever does not meet them is suspended or restricted.
func TestFieldE5E6E7(t *testing.T) {
	t.Parallel()
	w := companyWith(t, rulesOf(
		`{name: partners, owner: ana@acme.example, mode: enforce, when: 'domain == "partner.example"', deny: ["group:internal-wiki"]}`,
		`{name: unknown, owner: ana@acme.example, mode: enforce, when: 'external && !(domain in ["partner.example", "mail.example"])', suspend: true}`,
	))
	require.Equal(t, "paul@partner.example", w.members("partner-wiki"), "what they may hold they keep")
	require.Empty(t, w.members("internal-wiki"), "who put pia there does not matter")
	require.Equal(t, "eve@evil.example", w.suspended())
	require.Empty(t, w.verify(), "once is enough")
}

// E9: contractors, self-registered and manually invited people are each recognised.
func TestFieldE9(t *testing.T) {
	t.Parallel()
	w := companyWith(t, rulesOf(
		`{name: contractors, owner: ana@acme.example, when: in("idp-contractors"), deny: ["group:builders"]}`,
		`{name: invited, owner: ana@acme.example, when: 'managementSource == "invited" && size(sources) == 0 && domain == "partner.example"', suspend: true}`,
		`{name: signed up, owner: ana@acme.example, when: 'size(sources) == 0 && domain == "mail.example"', remove: true}`,
	))
	w.verify()
	require.Equal(t, []string{
		"remove gus@acme.example from group:builders", "remove kim@acme.example from group:builders",
		"remove sam@mail.example from the organization", "suspend paul@partner.example", "suspend pia@partner.example",
	}, w.observed("run-002"))
}

// E10, E11: "in X and not in Y" works, and chains of conditions combine.
func TestFieldE10E11(t *testing.T) {
	t.Parallel()
	w := companyWith(t, rulesOf(
		`{name: inner, mode: enforce, when: in("staff") && !in("idp-contractors") && (in("idp-admins") || department == "IT" && title.startsWith("Eng")), give: ["group:finance-space"]}`))
	require.Equal(t, "ana bo carol dan", w.members("finance-space"))
	w.join("idp-contractors", "dan")
	w.verify()
	require.Equal(t, "ana bo carol", w.members("finance-space"))
}

// E12: actions can depend on time: start later, end at a time, repeat.
func TestFieldE12(t *testing.T) {
	t.Parallel()
	w := companyWith(t, rulesOf( // the clock begins on Monday, 2 March 2026, 9:00
		`{name: later, mode: enforce, when: 'email == "dan@acme.example"', give: ["group:finance-space"], during: {from: "2026-03-03T00:00:00Z", until: "2026-03-05T00:00:00Z"}}`,
		`{name: nights, mode: enforce, when: 'email == "fay@acme.example"', give: ["group:finance-space"], during: {zone: Europe/Berlin, weekly: ["Mon-Fri 22:00-06:00"]}}`,
	))
	require.Empty(t, w.members("finance-space"))
	asked := w.clock()
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
		next := w.ruleTime(asked)
		require.True(t, step.at.Equal(next.Next), "the next edge is known beforehand: %s", next.Next)
		asked = w.clock()
		w.pass(step.at.Sub(w.clock()))
		require.True(t, w.ruleTime(asked).Full, "everybody is looked at when it comes")
		asked = w.clock()
		w.verify()
		require.Equal(t, step.want, w.members("finance-space"), step.at)
	}
}

// E13, E22: temporary access ends by itself, also that of somebody who is there for a while only.
func TestFieldE13(t *testing.T) {
	t.Parallel()
	w := lending(t, lendable)
	g := w.grant("new@partner.example", access.Directory, 2*time.Hour)
	w.right(g)
	require.Empty(t, w.suspended()+w.gone())
	w.until(g)
	w.right(g)
	require.Equal(t, "new", w.suspended())
}

// E14: permission reviews and clean-ups run on a schedule.
func TestFieldE14(t *testing.T) {
	t.Parallel()
	w := companyWith(t, "governance: {schedule: \"0 6 1 * *\"}\n"+rulesOf(
		`{name: monthly, owner: ana@acme.example, mode: enforce, when: external && !granted("directory"), deny: ["group:internal-wiki"], during: {cron: "0 2 1 * *", for: 1h}}`))
	require.Equal(t, "pia@partner.example", w.members("internal-wiki"), "it is not the first of the month")
	first := time.Date(2026, 4, 1, 2, 0, 0, 0, time.UTC)
	asked := w.clock()
	require.Equal(t, first, w.ruleTime(asked).Next)
	w.pass(first.Sub(w.clock()))
	require.True(t, w.ruleTime(asked).Full)
	require.Equal(t, []string{"remove pia@partner.example from group:internal-wiki"}, w.verify())
	require.Len(t, found(t, w.govern(), "external-people"), 4, "and the report tells who is left")
}

// Alerts are told once, and again when they come back.
func TestAdminsByHandAreToldOnce(t *testing.T) {
	t.Parallel()
	w := companyWith(t, "protected:\n  - {target: role:org-admin, maximum: 3}\n"+rulesOf(`{name: admins, mode: enforce, when: in("idp-admins"), give: [role:org-admin]}`))
	w.verify()
	require.Empty(t, w.notifier.notices)
	w.set("dan", map[string]any{"orgAdmin": true})
	w.notifier.fails = 1
	w.verify()
	require.Empty(t, w.notifier.notices)
	w.verify()
	w.verify()
	require.Len(t, w.notifier.notices, 1)
	require.Contains(t, w.notifier.notices[0].Text, "admin-by-hand role:org-admin: 1 people hold it whom nothing in the policy gives it")
	require.Contains(t, w.notifier.notices[0].Text, "too-many-holders role:org-admin: 4 people hold it; the policy wants at most 3")
	w.set("dan", map[string]any{"orgAdmin": false})
	w.verify()
	w.set("dan", map[string]any{"orgAdmin": true})
	w.verify()
	require.Len(t, w.notifier.notices, 2)
}

// E17: it works beside an existing SCIM set-up and does not fight it.
func TestFieldE17(t *testing.T) {
	t.Parallel()
	w := companyWith(t, rulesOf(`{name: contractors, owner: ana@acme.example, mode: enforce, when: in("idp-contractors"), deny: ["group:builders"]}`))
	before := w.members("staff") + w.members("idp-contractors")
	require.Equal(t, "ana bo carol dan fay", w.members("builders"))
	w.byHand("POST", "builders", "gus") // as an identity provider's other integration would
	w.verify()
	w.byHand("POST", "builders", "gus")
	w.verify()
	w.byHand("POST", "builders", "gus")
	w.verify()
	require.Contains(t, w.findings()["given-back group:builders"], "gus@acme.example was removed 2 times within 7 days, by rule contractors, and somebody else gives it back each time")
	require.Equal(t, before, w.members("staff")+w.members("idp-contractors"), "source groups are never written")
	w.byHand("POST", "builders", "gus")
	w.verify()
	w.byHand("POST", "builders", "gus")
	_, judged := w.verifyAll()
	require.NotNil(t, judged.Hold, "what flaps is held")
	require.Contains(t, judged.Hold.Rules[0], "flapping: gus@acme.example in group:builders was changed 4 times within 7 days")
	require.Contains(t, w.members("builders"), "gus")
}

// E18: someone gone from the identity provider and still active at Atlassian is found: a second control of offboarding.
func TestFieldE18(t *testing.T) {
	t.Parallel()
	w := companyWith(t, rulesOf(`{name: left, owner: ana@acme.example, mode: enforce, when: managed && size(sources) == 0 && !granted("directory"), suspend: true, after: 1d, grace: 1d}`))
	w.leave("staff", "dan")
	w.verify()
	w.pass(day)
	w.verify()
	told := w.ruleTime(time.Time{})
	require.Equal(t, 1, told.Told)
	require.Len(t, w.notifier.notices, 2)
	require.Contains(t, w.notifier.notices[0].Text, "dan@acme.example")
	require.Equal(t, "ana@acme.example", w.notifier.notices[0].To)
	require.Equal(t, "dan@acme.example", w.notifier.notices[1].To)
	require.Contains(t, w.notifier.notices[1].Text, "suspension on")
	require.Empty(t, w.suspended())
	w.pass(day)
	require.Equal(t, []string{w.id("dan")}, w.ruleTime(told.At).People, "who is due is looked at")
	require.Equal(t, []string{"suspend dan@acme.example"}, w.verify())
}

// E21: access is managed by department or role.
func TestFieldE21(t *testing.T) {
	t.Parallel()
	w := companyWith(t, rulesOf(`{name: finance, mode: enforce, when: department == "Finance" && managed, give: ["group:finance-space", "group:partner-wiki"]}`))
	require.Equal(t, "fay", w.members("finance-space"))
	require.Equal(t, "fay paul@partner.example", w.members("partner-wiki"))
	w.set("fay", map[string]any{"department": "Legal"})
	w.set("dan", map[string]any{"department": "Finance"})
	w.verify()
	require.Equal(t, "dan", w.members("finance-space"))
	require.Equal(t, "dan paul@partner.example", w.members("partner-wiki"), "whom somebody else put there stays")
}

// Switching a rule to enforce applies exactly what was last shown, through a plan hash.
func TestARuleIsShownBeforeItActs(t *testing.T) {
	t.Parallel()
	w := newWorldOf(t, company)
	asking := "guard: {adopt: auto, run: {share: 100%}, target: {share: 100%, minimum: 100}, window: {share: 100%}}\n"
	policyWith := func(mode string) {
		w.take(asking + rulesOf("{name: outside, owner: ana@acme.example, when: external, deny: [\"group:internal-wiki\", \"group:partner-wiki\"], "+mode+"}"))
	}
	policyWith("mode: observe")
	run, judged := w.planned()
	require.Nil(t, judged.Hold)
	require.Equal(t, []string{"remove paul@partner.example from group:partner-wiki", "remove pia@partner.example from group:internal-wiki"}, w.observed(run.Run))
	w.write(run)
	w.finish(run, messages.ScopeFull)
	require.Equal(t, "paul@partner.example", w.members("partner-wiki"), "a rule that observes changes nothing")
	known, err := w.ledger.Rules(t.Context(), org)
	require.NoError(t, err)
	require.Len(t, known, 1)
	var shown string
	for _, r := range known {
		shown = r.Seen
		require.Equal(t, 2, r.Lines)
	}
	require.Contains(t, w.findings()["rule-observed outside"], "it holds for 4 people. Enforced, it would make 2 changes: `starter plan --state observed --run run-001`. To have just that done, write mode: enforce and shown: "+shown)

	policyWith("mode: enforce")
	_, judged = w.planned()
	require.NotNil(t, judged.Hold)
	require.Equal(t, 2, judged.Hold.Removals)
	require.Contains(t, judged.Hold.Rules[0], "rule-new: rule outside is enforced for the first time; its changes: 2, "+shown+", just what it was last shown to do")
	look := w.examine(w.newRun(), "", w.id("pia@partner.example"))
	require.Zero(t, look.Open, "until somebody consents, no event makes it act")

	w.byHand("POST", "partner-wiki", "eve@evil.example")
	policyWith("mode: enforce, shown: '" + shown + "'")
	_, judged = w.planned()
	require.Contains(t, judged.Hold.Rules[0], "which is not what the policy agreed to (shown: "+shown)
	w.byHand("DELETE", "partner-wiki", "eve@evil.example")
	done, judged := w.verifyAll()
	require.Nil(t, judged.Hold, "it is again just what was shown")
	require.Equal(t, []string{"remove paul@partner.example from group:partner-wiki", "remove pia@partner.example from group:internal-wiki"}, done)
	w.byHand("POST", "internal-wiki", "pia@partner.example")
	_, judged = w.verifyAll()
	require.Nil(t, judged.Hold, "once consented to, it acts")
	require.Empty(t, w.members("internal-wiki"))
}

func TestAHoldOfARuleIsItsConsent(t *testing.T) {
	t.Parallel()
	w := newWorldOf(t, company)
	w.take("guard: {adopt: auto}\n" + rulesOf(`{name: outside, owner: ana@acme.example, mode: enforce, when: external, suspend: true}`))
	run, judged := w.planned()
	require.Equal(t, 4, judged.Hold.Removals)
	must[activities.DecideResult](w, w.acts.Decide, activities.DecideInput{Org: org, Decision: "reject", DecisionInput: messages.DecisionInput{Plan: judged.Hold.Plan, By: "bo"}})
	w.write(run)
	w.finish(run, messages.ScopeFull)
	w.pass(time.Hour)
	_, judged = w.planned()
	require.Nil(t, judged.Hold, "what was rejected is not raised again")
	w.join("staff", "dan")
	require.Empty(t, w.suspended())
	known, err := w.ledger.Rules(t.Context(), org)
	require.NoError(t, err)
	for _, r := range known {
		require.True(t, r.Released.IsZero(), "a rejection is no consent")
	}
}
