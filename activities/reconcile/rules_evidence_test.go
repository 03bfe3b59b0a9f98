package reconcile_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/apply"
	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// Inactive people lose an app by their last use of it: the expanded search tells of most, the scarce call of the
// others, and whoever is unknown keeps all. Apps and those whom the rule excepts are never touched.
func TestInactivePeopleLoseTheApp(t *testing.T) {
	t.Parallel()
	w := activitytest.NewOf(t, activitytest.Company)
	w.Configure(func(s *cloud.Settings) { s.ActivityGaps = 1 })
	long := w.Clock().Add(-100 * activitytest.Day)
	w.Take(activitytest.Consenting +
		activitytest.RulesOf(`{name: jira for staff, mode: enforce, when: 'managed && !inactive("90d", "jira")', give: ["default:jira/acme/user"]}`,
			`{name: idle, owner: ana@acme.example, mode: enforce, when: 'inactive("90d", "jira") && email != "kim@acme.example"', deny: ["default:jira/acme/user"], after: 1d}`))
	w.ByHand("POST", "jira-users-acme", "dan", "fay", "kim", "gus")
	w.Used("jira-software", long, "dan", "kim")
	w.Used("jira-software", w.Clock().Add(-3*activitytest.Day), "fay")
	w.Used("jira-software", time.Time{}, "gus", "ana", "bo", "carol")
	calls := w.Calls(func() { w.Verify() })
	require.Equal(t, 4, calls["last-active.get"], "of those alone whose answer hangs on it")
	require.Equal(t, 4, w.Calls(func() { w.Verify() })["last-active.get"],
		"three more were given it, and gus, of whom it said nothing, is asked about again; the others' answers are kept for some hours")
	require.Equal(t, 3, w.Calls(func() { w.Verify() })["last-active.get"],
		"of those three it said nothing either; that gus never used it is known by now")
	require.Contains(t, w.Members("jira-users-acme"), "ana bo carol",
		"whoever was just given it and never used it is not idle")
	w.Pass(activitytest.Day)
	done := w.Verify()
	require.Contains(t, done, "remove dan@acme.example from group:jira-users-acme")
	require.NotContains(t, done, "remove fay@acme.example from group:jira-users-acme")
	require.NotContains(t, done, "remove kim@acme.example from group:jira-users-acme")
	w.Used("jira-software", w.Clock(), "dan")
	w.Pass(activitytest.Day)
	w.Verify()
	require.Contains(t, w.Members("jira-users-acme"), "dan", "who comes back has it again")
}

// Where the scarce call is refused for its limit, nobody is taken to be inactive.
func TestActivityThatIsNotKnownTakesNothing(t *testing.T) {
	t.Parallel()
	w := activitytest.NewOf(t, activitytest.Company)
	w.Configure(func(s *cloud.Settings) { s.ActivityGaps = 1; s.Limits, s.RatePerMinute["last-active.get"] = true, 2 })
	w.Take(activitytest.Consenting +
		activitytest.RulesOf(`{name: idle, owner: ana@acme.example, mode: enforce, when: 'inactive("90d", "jira")', suspend: true, after: 1d}`))
	w.ByHand("POST", "jira-users-acme", "dan", "fay", "kim", "gus")
	for _, name := range []string{"dan", "fay", "kim", "gus"} {
		w.Used("jira-software", w.Clock().Add(-100*activitytest.Day), name)
	}
	w.Verify()
	require.Contains(t, w.Findings()["rule-unknown idle"], "it cannot be answered for")
	w.Pass(activitytest.Day)
	w.Verify()
	require.Len(t, w.Suspended(), len("dan fay"), "two calls a minute tell of two")
	w.Inject(cloud.Fault{Operations: []string{"last-active.get"}, Kind: "status"})
	w.Pass(2 * activitytest.Day)
	w.Leave("staff", "bo")
	require.Contains(t, w.Verify(), "remove bo@acme.example from group:builders", "mappings do not wait for it")
}

// Nobody can be locked out by suspension either: not the last admin, not whoever always stays, not the owner of the
// key.
func TestSuspensionRespectsFloors(t *testing.T) {
	t.Parallel()
	w := activitytest.NewOf(t, activitytest.Company)
	text := w.CompanyText(activitytest.Consenting +
		activitytest.RulesOf(`{name: all, owner: carol@acme.example, mode: enforce, when: managed, suspend: true}`))
	result := activitytest.Must[reconcile.AdmitResult](w, w.Acts.Reconcile.Admit, w.AdmitIn(text))
	w.Policy = result.Policy
	run, _ := w.Planned()
	w.Pass(10 * time.Second)
	activitytest.Must[reconcile.ConfirmResult](w, w.Acts.Reconcile.Confirm,
		apply.ConfirmInput{RunInput: run, Actions: []access.Action{access.Remove}})
	results := w.Write(run)
	require.Len(t, w.Suspended(), len("bo carol dan fay gus kim"))
	refused := 0
	for label, r := range results {
		if r.State == access.Refused {
			refused++
			require.Contains(t, r.Answer, "0 active holders would remain and the policy wants at least 1", label)
		}
	}
	require.Equal(t, 1, refused, "one admin stays, though no line of the policy names the role")
}

// Where the directory does not show the person, or not all of their groups, at the moment of writing, no floor is
// passed over.
func TestFloorsOfWhomTheDirectoryHides(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]string{
		"emptyPage":       "the directory does not show this person with their groups just now",
		"truncatedGroups": "active holders would remain",
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := activitytest.CompanyWith(t, "")
			w.Take(activitytest.Consenting + "protected: [{target: \"group:builders\", minimum: 50}]\n" +
				activitytest.RulesOf(`{name: all, owner: carol@acme.example, mode: enforce, when: managed, suspend: true}`))
			run, _ := w.Planned()
			w.Pass(10 * time.Second)
			activitytest.Must[reconcile.ConfirmResult](w, w.Acts.Reconcile.Confirm,
				apply.ConfirmInput{RunInput: run, Actions: []access.Action{access.Remove}})
			w.Inject(cloud.Fault{Operations: []string{"users.search"}, Kind: kind})
			for label, r := range w.Write(run) {
				require.Equal(t, access.Refused, r.State, label)
				require.Contains(t, r.Answer, want, label)
			}
			require.Empty(t, w.Suspended())
		})
	}
}

// A rule takes nothing on the word of one list of groups: the group search is asked too.
func TestRulesNeedTheGroupSearchToo(t *testing.T) {
	t.Parallel()
	w := activitytest.CompanyWith(t,
		activitytest.RulesOf(`{name: not staff, owner: ana@acme.example, mode: enforce, when: managed && !in("staff"), suspend: true}`))
	require.Empty(t, w.Suspended())
	w.Inject(cloud.Fault{Operations: []string{"users.search"}, Kind: "truncatedGroups"})
	w.Verify()
	w.Verify()
	require.Empty(t, w.Suspended(), "everybody's list is cut short")
	w.Sim.ClearFaults("")
	w.Leave("staff", "dan")
	w.Verify()
	require.Equal(t, "dan", w.Suspended())
}

// Nor on a read of the groups that lacks one of theirs: what it gives, or what a rule says of it, cannot be told.
func TestRulesNeedEveryGroupShown(t *testing.T) {
	t.Parallel()
	w := activitytest.NewOf(t, activitytest.Company)
	text := w.CompanyText(activitytest.Consenting +
		activitytest.RulesOf(`{name: no guests, owner: ana@acme.example, mode: enforce, when: title == "Guest", deny: ["group:builders"]}`))
	w.Policy = activitytest.Must[reconcile.AdmitResult](w, w.Acts.Reconcile.Admit,
		w.AdmitIn(strings.Replace(text, "[staff]", `["staff*"]`, 1))).Policy
	w.Verify()
	w.Leave("staff", "dan", "fay")
	run, _ := w.Planned()
	w.Send(http.MethodPost, "/_sim/groups", map[string]any{"name": "staff-abroad", "members": []string{w.Id("dan")}})
	w.Pass(10 * time.Second)
	activitytest.Must[reconcile.ConfirmResult](w, w.Acts.Reconcile.Confirm,
		apply.ConfirmInput{RunInput: run, Actions: []access.Action{access.Remove}})
	require.Equal(t, map[string]access.ChangeState{"remove fay@acme.example from group:builders": access.Done},
		activitytest.States(w.Write(run)))
}

// The domains of the organization are evidence like any other.
func TestDomainsThatVanishMakeNobodyExternal(t *testing.T) {
	t.Parallel()
	w := activitytest.CompanyWith(t,
		activitytest.RulesOf(`{name: outside, owner: ana@acme.example, mode: enforce, when: 'external && !(domain in ["partner.example", "mail.example", "evil.example"])', suspend: true}`))
	w.Inject(cloud.Fault{Operations: []string{"domains.list"}, Kind: "emptyPage"})
	w.Verify()
	require.Empty(t, w.Suspended())
}

// Only whom Castellan suspended is restored.
func TestRulesRestoreWhomTheySuspended(t *testing.T) {
	t.Parallel()
	w := activitytest.CompanyWith(t, activitytest.RulesOf(
		`{name: idlers, owner: ana@acme.example, mode: enforce, when: 'title == "Idler"', suspend: true}`,
		`{name: back, mode: enforce, when: managed && title != "Idler", restore: true}`))
	w.Set("dan", map[string]any{"title": "Idler"})
	w.Set("fay", map[string]any{"suspended": true})
	require.Equal(t, []string{"suspend dan@acme.example"}, w.Verify())
	all, err := w.Ledger.Suspensions(t.Context(), activitytest.Org)
	require.NoError(t, err)
	require.Len(t, all, 1)
	require.True(t, w.Ask(messages.ReportInput{Kind: messages.ReportLedger}).Ledger.Whole)
	w.Forge(`INSERT INTO suspensions (org, person, since, run, reasons) SELECT org, ?, since, run, reasons FROM suspensions`, w.Id("fay"))
	require.Contains(t, w.Ask(messages.ReportInput{Kind: messages.ReportLedger}).Message,
		"suspensions "+w.Id("fay")+": no entry of the chain speaks of it")
	w.Set("dan", map[string]any{"title": "Engineer"})
	require.Equal(t, []string{"restore dan@acme.example"}, w.Verify())
	w.Forge(`DELETE FROM suspensions`)
	require.Equal(t, "fay", w.Suspended(), "somebody else's suspension is somebody else's")
	all, err = w.Ledger.Suspensions(t.Context(), activitytest.Org)
	require.NoError(t, err)
	require.Empty(t, all)
	require.Empty(t, w.Verify())
}

// Whom a rule removes is gone, with all that they held.
func TestRulesRemovePeople(t *testing.T) {
	t.Parallel()
	w := activitytest.CompanyWith(t,
		activitytest.RulesOf(`{name: gone, owner: ana@acme.example, mode: enforce, when: 'domain == "partner.example"', remove: true}`))
	require.Equal(t, "paul@partner.example pia@partner.example", w.Gone())
	require.Empty(t, w.Members("partner-wiki"))
	require.Empty(t, w.Verify())
}

func TestAPolicyIsRefusedForItsRules(t *testing.T) {
	t.Parallel()
	w := activitytest.NewOf(t, activitytest.Company)
	for name, tt := range map[string]struct{ text, want string }{
		"group": {activitytest.RulesOf(`{name: r, when: in("nobody"), give: ["group:builders"]}`),
			"rule-group-unknown nobody: rule r asks for a group that is not there"},
		"target": {activitytest.RulesOf(`{name: r, when: managed, give: ["group:staff"]}`),
			"target-synced group:staff"},
		"missing": {activitytest.RulesOf(`{name: r, when: managed, give: ["group:nothing"]}`),
			"target-missing group:nothing"},
		"site": {activitytest.RulesOf(`{name: r, when: managed, give: ["default:jira/beta/user"]}`),
			"site-unknown default:jira-software/beta/user"},
		"owner": {activitytest.RulesOf(`{name: r, owner: nobody@acme.example, when: managed, suspend: true}`),
			"rule-owner-unknown r: its owner nobody@acme.example is nobody active"},
		"floor": {"protected:\n  - {target: role:org-admin, always: [ana@acme.example]}\n" +
			activitytest.RulesOf(`{name: r, owner: bo@acme.example, when: 'email.startsWith("a")', deny: [role:org-admin]}`), "rule-against-floor r: it would take role:org-admin from ana@acme.example, who always stays in role:org-admin (protected[0].always)"},
		"suspension": {"protected:\n  - {target: role:org-admin, always: [ana@acme.example]}\n" +
			activitytest.RulesOf(`{name: r, owner: bo@acme.example, when: managed, suspend: true}`),
			"it would take directory from ana@acme.example"},
		"condition": {activitytest.RulesOf(`{name: r, when: manages, give: ["group:builders"]}`),
			"rules[0].when: undeclared reference to 'manages'"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := activitytest.Call[reconcile.AdmitResult](w, w.Acts.Reconcile.Admit,
				w.AdmitIn(w.CompanyText(tt.text)))
			require.Contains(t, activitytest.ApplicationError(t, err).Message(), tt.want)
		})
	}
	known, err := w.Ledger.Organizations(t.Context())
	require.NoError(t, err)
	require.Empty(t, known, "nothing of them came into force")
}

// Grace begins when the notice went out, never before.
func TestNobodyLosesAnythingUntold(t *testing.T) {
	t.Parallel()
	w := activitytest.CompanyWith(t,
		activitytest.RulesOf(`{name: outside, owner: ana@acme.example, mode: enforce, when: 'domain == "evil.example"', suspend: true, grace: 2d}`))
	w.Notifier.Fails = 1
	asked := w.RuleTime(time.Time{})
	require.Zero(t, asked.Told)
	require.Contains(t, asked.Untold, "the mail server is away")
	w.Pass(3 * activitytest.Day)
	require.Empty(t, w.Verify(), "nobody was told")
	told := w.RuleTime(asked.At)
	require.Equal(t, 1, told.Told)
	require.Empty(t, w.Verify())
	w.Pass(2 * activitytest.Day)
	require.Equal(t, []string{w.Id("eve@evil.example")}, w.RuleTime(told.At).People)
	require.Equal(t, []string{"suspend eve@evil.example"}, w.Verify())
	require.Zero(t, w.RuleTime(w.Clock()).Told, "once is enough")
}

// A partial look makes a rule act too, once its time has come: twice looked at, as ever.
func TestWhoIsDueIsLookedAtTwice(t *testing.T) {
	t.Parallel()
	w := activitytest.CompanyWith(t,
		activitytest.RulesOf(`{name: outside, owner: ana@acme.example, mode: enforce, when: 'domain == "evil.example"', suspend: true, after: 1d}`))
	w.Pass(activitytest.Day)
	eve := w.Id("eve@evil.example")
	first := w.NewRun()
	look := w.Examine(first, "", eve)
	require.Equal(t, []string{eve}, look.Settling)
	w.Pass(10 * time.Second)
	second := w.NewRun()
	require.Equal(t, 1, w.Examine(second, first.Run, eve).Open)
	require.Equal(t, map[string]access.ChangeState{"suspend eve@evil.example": access.Done},
		activitytest.States(w.Write(second)))
	w.Finish(second, messages.ScopePeople)
}
