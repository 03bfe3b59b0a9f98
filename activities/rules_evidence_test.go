package activities_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// Inactive people lose an app by their last use of it: the expanded search tells of most, the scarce call of the others, and
// whoever is unknown keeps all. Apps and those whom the rule excepts are never touched.
func TestInactivePeopleLoseTheApp(t *testing.T) {
	t.Parallel()
	w := newWorldOf(t, company)
	w.configure(func(s *cloud.Settings) { s.ActivityGaps = 1 })
	long := w.clock().Add(-100 * day)
	w.take(consenting + rulesOf(`{name: jira for staff, mode: enforce, when: 'managed && !inactive("90d", "jira")', give: ["default:jira/acme/user"]}`,
		`{name: idle, owner: ana@acme.example, mode: enforce, when: 'inactive("90d", "jira") && email != "kim@acme.example"', deny: ["default:jira/acme/user"], after: 1d}`))
	w.byHand("POST", "jira-users-acme", "dan", "fay", "kim", "gus")
	w.used("jira-software", long, "dan", "kim")
	w.used("jira-software", w.clock().Add(-3*day), "fay")
	w.used("jira-software", time.Time{}, "gus", "ana", "bo", "carol")
	calls := w.calls(func() { w.verify() })
	require.Equal(t, 4, calls["last-active.get"], "of those alone whose answer hangs on it")
	require.Equal(t, 4, w.calls(func() { w.verify() })["last-active.get"], "three more were given it, and gus, of whom it said nothing, is asked about again; the others' answers are kept for some hours")
	require.Equal(t, 3, w.calls(func() { w.verify() })["last-active.get"], "of those three it said nothing either; that gus never used it is known by now")
	require.Contains(t, w.members("jira-users-acme"), "ana bo carol", "whoever was just given it and never used it is not idle")
	w.pass(day)
	done := w.verify()
	require.Contains(t, done, "remove dan@acme.example from group:jira-users-acme")
	require.NotContains(t, done, "remove fay@acme.example from group:jira-users-acme")
	require.NotContains(t, done, "remove kim@acme.example from group:jira-users-acme")
	w.used("jira-software", w.clock(), "dan")
	w.pass(day)
	w.verify()
	require.Contains(t, w.members("jira-users-acme"), "dan", "who comes back has it again")
}

// Where the scarce call is refused for its limit, nobody is taken to be inactive.
func TestActivityThatIsNotKnownTakesNothing(t *testing.T) {
	t.Parallel()
	w := newWorldOf(t, company)
	w.configure(func(s *cloud.Settings) { s.ActivityGaps = 1; s.Limits, s.RatePerMinute["last-active.get"] = true, 2 })
	w.take(consenting + rulesOf(`{name: idle, owner: ana@acme.example, mode: enforce, when: 'inactive("90d", "jira")', suspend: true, after: 1d}`))
	w.byHand("POST", "jira-users-acme", "dan", "fay", "kim", "gus")
	for _, name := range []string{"dan", "fay", "kim", "gus"} {
		w.used("jira-software", w.clock().Add(-100*day), name)
	}
	w.verify()
	require.Contains(t, w.findings()["rule-unknown idle"], "it cannot be answered for")
	w.pass(day)
	w.verify()
	require.Len(t, w.suspended(), len("dan fay"), "two calls a minute tell of two")
	w.inject(cloud.Fault{Operations: []string{"last-active.get"}, Kind: "status"})
	w.pass(2 * day)
	w.leave("staff", "bo")
	require.Contains(t, w.verify(), "remove bo@acme.example from group:builders", "mappings do not wait for it")
}

// Nobody can be locked out by suspension either: not the last admin, not whoever always stays, not the owner of the key.
func TestSuspensionRespectsFloors(t *testing.T) {
	t.Parallel()
	w := newWorldOf(t, company)
	text := w.companyText(consenting + rulesOf(`{name: all, owner: carol@acme.example, mode: enforce, when: managed, suspend: true}`))
	result := must[activities.AdmitResult](w, w.acts.Admit, w.admitIn(text))
	w.policy = result.Policy
	run, _ := w.planned()
	w.pass(10 * time.Second)
	must[activities.ConfirmResult](w, w.acts.Confirm, activities.ConfirmInput{RunInput: run, Actions: []access.Action{access.Remove}})
	results := w.write(run)
	require.Len(t, w.suspended(), len("bo carol dan fay gus kim"))
	refused := 0
	for label, r := range results {
		if r.State == access.Refused {
			refused++
			require.Contains(t, r.Answer, "0 active holders would remain and the policy wants at least 1", label)
		}
	}
	require.Equal(t, 1, refused, "one admin stays, though no line of the policy names the role")
}

// Where the directory does not show the person, or not all of their groups, at the moment of writing, no floor is passed over.
func TestFloorsOfWhomTheDirectoryHides(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]string{
		"emptyPage":       "the directory does not show this person with their groups just now",
		"truncatedGroups": "active holders would remain",
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := companyWith(t, "")
			w.take(consenting + "protected: [{target: \"group:builders\", minimum: 50}]\n" +
				rulesOf(`{name: all, owner: carol@acme.example, mode: enforce, when: managed, suspend: true}`))
			run, _ := w.planned()
			w.pass(10 * time.Second)
			must[activities.ConfirmResult](w, w.acts.Confirm, activities.ConfirmInput{RunInput: run, Actions: []access.Action{access.Remove}})
			w.inject(cloud.Fault{Operations: []string{"users.search"}, Kind: kind})
			for label, r := range w.write(run) {
				require.Equal(t, access.Refused, r.State, label)
				require.Contains(t, r.Answer, want, label)
			}
			require.Empty(t, w.suspended())
		})
	}
}

// A rule takes nothing on the word of one list of groups: the group search is asked too.
func TestRulesNeedTheGroupSearchToo(t *testing.T) {
	t.Parallel()
	w := companyWith(t, rulesOf(`{name: not staff, owner: ana@acme.example, mode: enforce, when: managed && !in("staff"), suspend: true}`))
	require.Empty(t, w.suspended())
	w.inject(cloud.Fault{Operations: []string{"users.search"}, Kind: "truncatedGroups"})
	w.verify()
	w.verify()
	require.Empty(t, w.suspended(), "everybody's list is cut short")
	w.sim.ClearFaults("")
	w.leave("staff", "dan")
	w.verify()
	require.Equal(t, "dan", w.suspended())
}

// Nor on a read of the groups that lacks one of theirs: what it gives, or what a rule says of it, cannot be told.
func TestRulesNeedEveryGroupShown(t *testing.T) {
	t.Parallel()
	w := newWorldOf(t, company)
	text := w.companyText(consenting + rulesOf(`{name: no guests, owner: ana@acme.example, mode: enforce, when: title == "Guest", deny: ["group:builders"]}`))
	w.policy = must[activities.AdmitResult](w, w.acts.Admit, w.admitIn(strings.Replace(text, "[staff]", `["staff*"]`, 1))).Policy
	w.verify()
	w.leave("staff", "dan", "fay")
	run, _ := w.planned()
	w.send(http.MethodPost, "/_sim/groups", map[string]any{"name": "staff-abroad", "members": []string{w.id("dan")}})
	w.pass(10 * time.Second)
	must[activities.ConfirmResult](w, w.acts.Confirm, activities.ConfirmInput{RunInput: run, Actions: []access.Action{access.Remove}})
	require.Equal(t, map[string]access.ChangeState{"remove fay@acme.example from group:builders": access.Done}, states(w.write(run)))
}

// The domains of the organization are evidence like any other.
func TestDomainsThatVanishMakeNobodyExternal(t *testing.T) {
	t.Parallel()
	w := companyWith(t, rulesOf(`{name: outside, owner: ana@acme.example, mode: enforce, when: 'external && !(domain in ["partner.example", "mail.example", "evil.example"])', suspend: true}`))
	w.inject(cloud.Fault{Operations: []string{"domains.list"}, Kind: "emptyPage"})
	w.verify()
	require.Empty(t, w.suspended())
}

// Only whom Castellan suspended is restored.
func TestRulesRestoreWhomTheySuspended(t *testing.T) {
	t.Parallel()
	w := companyWith(t, rulesOf(
		`{name: idlers, owner: ana@acme.example, mode: enforce, when: 'title == "Idler"', suspend: true}`,
		`{name: back, mode: enforce, when: managed && title != "Idler", restore: true}`))
	w.set("dan", map[string]any{"title": "Idler"})
	w.set("fay", map[string]any{"suspended": true})
	require.Equal(t, []string{"suspend dan@acme.example"}, w.verify())
	all, err := w.ledger.Suspensions(t.Context(), org)
	require.NoError(t, err)
	require.Len(t, all, 1)
	w.set("dan", map[string]any{"title": "Engineer"})
	require.Equal(t, []string{"restore dan@acme.example"}, w.verify())
	require.Equal(t, "fay", w.suspended(), "somebody else's suspension is somebody else's")
	all, err = w.ledger.Suspensions(t.Context(), org)
	require.NoError(t, err)
	require.Empty(t, all)
	require.Empty(t, w.verify())
}

// Whom a rule removes is gone, with all that they held.
func TestRulesRemovePeople(t *testing.T) {
	t.Parallel()
	w := companyWith(t, rulesOf(`{name: gone, owner: ana@acme.example, mode: enforce, when: 'domain == "partner.example"', remove: true}`))
	require.Equal(t, "paul@partner.example pia@partner.example", w.gone())
	require.Empty(t, w.members("partner-wiki"))
	require.Empty(t, w.verify())
}

func TestAPolicyIsRefusedForItsRules(t *testing.T) {
	t.Parallel()
	w := newWorldOf(t, company)
	for name, tt := range map[string]struct{ text, want string }{
		"group":      {rulesOf(`{name: r, when: in("nobody"), give: ["group:builders"]}`), "rule-group-unknown nobody: rule r asks for a group that is not there"},
		"target":     {rulesOf(`{name: r, when: managed, give: ["group:staff"]}`), "target-synced group:staff"},
		"missing":    {rulesOf(`{name: r, when: managed, give: ["group:nothing"]}`), "target-missing group:nothing"},
		"site":       {rulesOf(`{name: r, when: managed, give: ["default:jira/beta/user"]}`), "site-unknown default:jira-software/beta/user"},
		"owner":      {rulesOf(`{name: r, owner: nobody@acme.example, when: managed, suspend: true}`), "rule-owner-unknown r: its owner nobody@acme.example is nobody active"},
		"floor":      {"protected:\n  - {target: role:org-admin, always: [ana@acme.example]}\n" + rulesOf(`{name: r, owner: bo@acme.example, when: 'email.startsWith("a")', deny: [role:org-admin]}`), "rule-against-floor r: it would take role:org-admin from ana@acme.example, who always stays in role:org-admin (protected[0].always)"},
		"suspension": {"protected:\n  - {target: role:org-admin, always: [ana@acme.example]}\n" + rulesOf(`{name: r, owner: bo@acme.example, when: managed, suspend: true}`), "it would take directory from ana@acme.example"},
		"condition":  {rulesOf(`{name: r, when: manages, give: ["group:builders"]}`), "rules[0].when: undeclared reference to 'manages'"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := call[activities.AdmitResult](w, w.acts.Admit, w.admitIn(w.companyText(tt.text)))
			require.Contains(t, application(t, err).Message(), tt.want)
		})
	}
	known, err := w.ledger.Organizations(t.Context())
	require.NoError(t, err)
	require.Empty(t, known, "nothing of them came into force")
}

// Grace begins when the notice went out, never before.
func TestNobodyLosesAnythingUntold(t *testing.T) {
	t.Parallel()
	w := companyWith(t, rulesOf(`{name: outside, owner: ana@acme.example, mode: enforce, when: 'domain == "evil.example"', suspend: true, grace: 2d}`))
	w.notifier.fails = 1
	asked := w.ruleTime(time.Time{})
	require.Zero(t, asked.Told)
	require.Contains(t, asked.Untold, "the mail server is away")
	w.pass(3 * day)
	require.Empty(t, w.verify(), "nobody was told")
	told := w.ruleTime(asked.At)
	require.Equal(t, 1, told.Told)
	require.Empty(t, w.verify())
	w.pass(2 * day)
	require.Equal(t, []string{w.id("eve@evil.example")}, w.ruleTime(told.At).People)
	require.Equal(t, []string{"suspend eve@evil.example"}, w.verify())
	require.Zero(t, w.ruleTime(w.clock()).Told, "once is enough")
}

// A partial look makes a rule act too, once its time has come: twice looked at, as ever.
func TestWhoIsDueIsLookedAtTwice(t *testing.T) {
	t.Parallel()
	w := companyWith(t, rulesOf(`{name: outside, owner: ana@acme.example, mode: enforce, when: 'domain == "evil.example"', suspend: true, after: 1d}`))
	w.pass(day)
	eve := w.id("eve@evil.example")
	first := w.newRun()
	look := w.examine(first, "", eve)
	require.Equal(t, []string{eve}, look.Settling)
	w.pass(10 * time.Second)
	second := w.newRun()
	require.Equal(t, 1, w.examine(second, first.Run, eve).Open)
	require.Equal(t, map[string]access.ChangeState{"suspend eve@evil.example": access.Done}, states(w.write(second)))
	w.finish(second, messages.ScopePeople)
}
