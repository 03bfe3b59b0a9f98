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
func TestRulesTakeTheAppFromInactivePeople(t *testing.T) {
	t.Parallel()
	o := activitytest.NewOf(t, activitytest.Company)
	o.Configure(func(s *cloud.Settings) { s.ActivityGaps = 1 })
	long := o.Clock().Add(-100 * activitytest.Day)
	o.AdmitRules(activitytest.Consenting +
		activitytest.RulesOf(`{name: jira for staff, mode: enforce, when: 'managed && !inactive("90d", "jira")', give: ["default:jira/acme/user"]}`,
			`{name: idle, owner: ana@acme.example, mode: enforce, when: 'inactive("90d", "jira") && email != "kim@acme.example"', deny: ["default:jira/acme/user"], after: 1d}`))
	o.ByHand("POST", "jira-users-acme", "dan", "fay", "kim", "gus")
	o.Used("jira-software", long, "dan", "kim")
	o.Used("jira-software", o.Clock().Add(-3*activitytest.Day), "fay")
	o.Used("jira-software", time.Time{}, "gus", "ana", "bo", "carol")
	calls := o.Calls(func() { o.Verify() })
	require.Equal(t, 4, calls["last-active.get"], "of those alone whose answer hangs on it")
	require.Equal(t, 4, o.Calls(func() { o.Verify() })["last-active.get"],
		"three more were given it, and gus, of whom it said nothing, is asked about again; the others' answers are kept for some hours")
	require.Equal(t, 3, o.Calls(func() { o.Verify() })["last-active.get"],
		"of those three it said nothing either; that gus never used it is known by now")
	require.Contains(t, o.Members("jira-users-acme"), "ana bo carol",
		"whoever was just given it and never used it is not idle")
	o.Advance(activitytest.Day)
	done := o.Verify()
	require.Contains(t, done, "remove dan@acme.example from group:jira-users-acme")
	require.NotContains(t, done, "remove fay@acme.example from group:jira-users-acme")
	require.NotContains(t, done, "remove kim@acme.example from group:jira-users-acme")
	o.Used("jira-software", o.Clock(), "dan")
	o.Advance(activitytest.Day)
	o.Verify()
	require.Contains(t, o.Members("jira-users-acme"), "dan", "who comes back has it again")
}

// Where the scarce call is refused for its limit, nobody is taken to be inactive.
func TestRulesTakeNothingWhileActivityIsUnknown(t *testing.T) {
	t.Parallel()
	o := activitytest.NewOf(t, activitytest.Company)
	o.Configure(func(s *cloud.Settings) { s.ActivityGaps = 1; s.Limits, s.RatePerMinute["last-active.get"] = true, 2 })
	o.AdmitRules(activitytest.Consenting +
		activitytest.RulesOf(`{name: idle, owner: ana@acme.example, mode: enforce, when: 'inactive("90d", "jira")', suspend: true, after: 1d}`))
	o.ByHand("POST", "jira-users-acme", "dan", "fay", "kim", "gus")
	for _, name := range []string{"dan", "fay", "kim", "gus"} {
		o.Used("jira-software", o.Clock().Add(-100*activitytest.Day), name)
	}
	o.Verify()
	require.Contains(t, o.Findings()["rule-unknown idle"], "it cannot be evaluated for")
	o.Advance(activitytest.Day)
	o.Verify()
	require.Len(t, o.Suspended(), len("dan fay"), "two calls a minute tell of two")
	o.Inject(cloud.Fault{Operations: []string{"last-active.get"}, Kind: "status"})
	o.Advance(2 * activitytest.Day)
	o.Leave("staff", "bo")
	require.Contains(t, o.Verify(), "remove bo@acme.example from group:builders", "mappings do not wait for it")
}

// Nobody can be locked out by suspension either: not the last admin, not whoever always stays, not the owner of the
// key.
func TestRulesSuspendWithinFloors(t *testing.T) {
	t.Parallel()
	o := activitytest.NewOf(t, activitytest.Company)
	text := o.CompanyText(activitytest.Consenting +
		activitytest.RulesOf(`{name: all, owner: carol@acme.example, mode: enforce, when: managed, suspend: true}`))
	result := activitytest.Must[reconcile.AdmitResult](o, o.Acts.Reconcile.Admit, o.AdmitIn(text))
	o.Policy = result.Policy
	run, _ := o.SweepAndJudge()
	o.Advance(10 * time.Second)
	activitytest.Must[reconcile.ConfirmResult](o, o.Acts.Reconcile.Confirm,
		apply.ConfirmInput{RunInput: run, Actions: []access.Action{access.Remove}})
	results := o.Write(run)
	require.Len(t, o.Suspended(), len("bo carol dan fay gus kim"))
	refused := 0
	for label, r := range results {
		if r.State == access.Refused {
			refused++
			require.Contains(t, r.Answer, "0 active holders would remain and the policy requires at least 1", label)
		}
	}
	require.Equal(t, 1, refused, "one admin stays, though no line of the policy names the role")
}

// Where the directory does not show the person, or not all of their groups, at the moment of writing, no floor is
// passed over.
func TestFloorsOfPeopleWhomTheDirectoryHides(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]string{
		"emptyPage":       "the directory does not show this person with their groups just now",
		"truncatedGroups": "active holders would remain",
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			o := activitytest.CompanyWith(t, "")
			o.AdmitRules(activitytest.Consenting + "protected: [{target: \"group:builders\", minimum: 50}]\n" +
				activitytest.RulesOf(`{name: all, owner: carol@acme.example, mode: enforce, when: managed, suspend: true}`))
			run, _ := o.SweepAndJudge()
			o.Advance(10 * time.Second)
			activitytest.Must[reconcile.ConfirmResult](o, o.Acts.Reconcile.Confirm,
				apply.ConfirmInput{RunInput: run, Actions: []access.Action{access.Remove}})
			o.Inject(cloud.Fault{Operations: []string{"users.search"}, Kind: kind})
			for label, r := range o.Write(run) {
				require.Equal(t, access.Refused, r.State, label)
				require.Contains(t, r.Answer, want, label)
			}
			require.Empty(t, o.Suspended())
		})
	}
}

// A rule takes nothing on the word of one list of groups: the group search is asked too.
func TestRulesNeedTheGroupSearchToo(t *testing.T) {
	t.Parallel()
	o := activitytest.CompanyWith(t,
		activitytest.RulesOf(`{name: not staff, owner: ana@acme.example, mode: enforce, when: managed && !in("staff"), suspend: true}`))
	require.Empty(t, o.Suspended())
	o.Inject(cloud.Fault{Operations: []string{"users.search"}, Kind: "truncatedGroups"})
	o.Verify()
	o.Verify()
	require.Empty(t, o.Suspended(), "everybody's list is cut short")
	o.Sim.ClearFaults("")
	o.Leave("staff", "dan")
	o.Verify()
	require.Equal(t, "dan", o.Suspended())
}

// Nor on a read of the groups that lacks one of theirs: what it gives, or what a rule says of it, cannot be told.
func TestRulesNeedEveryGroupShown(t *testing.T) {
	t.Parallel()
	o := activitytest.NewOf(t, activitytest.Company)
	text := o.CompanyText(activitytest.Consenting +
		activitytest.RulesOf(`{name: no guests, owner: ana@acme.example, mode: enforce, when: title == "Guest", deny: ["group:builders"]}`))
	o.Policy = activitytest.Must[reconcile.AdmitResult](o, o.Acts.Reconcile.Admit,
		o.AdmitIn(strings.Replace(text, "[staff]", `["staff*"]`, 1))).Policy
	o.Verify()
	o.Leave("staff", "dan", "fay")
	run, _ := o.SweepAndJudge()
	o.Send(http.MethodPost, "/_sim/groups", map[string]any{"name": "staff-abroad", "members": []string{o.AccountID("dan")}})
	o.Advance(10 * time.Second)
	activitytest.Must[reconcile.ConfirmResult](o, o.Acts.Reconcile.Confirm,
		apply.ConfirmInput{RunInput: run, Actions: []access.Action{access.Remove}})
	require.Equal(t, map[string]access.ChangeState{"remove fay@acme.example from group:builders": access.Done},
		activitytest.States(o.Write(run)))
}

// The domains of the organization are evidence like any other.
func TestRulesMakeNobodyExternalWhenDomainsVanish(t *testing.T) {
	t.Parallel()
	o := activitytest.CompanyWith(t,
		activitytest.RulesOf(`{name: outside, owner: ana@acme.example, mode: enforce, when: 'external && !(domain in ["partner.example", "mail.example", "evil.example"])', suspend: true}`))
	o.Inject(cloud.Fault{Operations: []string{"domains.list"}, Kind: "emptyPage"})
	o.Verify()
	require.Empty(t, o.Suspended())
}

// Only whom Castellan suspended is restored.
func TestRulesRestoreWhomTheySuspended(t *testing.T) {
	t.Parallel()
	o := activitytest.CompanyWith(t, activitytest.RulesOf(
		`{name: idlers, owner: ana@acme.example, mode: enforce, when: 'title == "Idler"', suspend: true}`,
		`{name: back, mode: enforce, when: managed && title != "Idler", restore: true}`))
	o.ChangePerson("dan", map[string]any{"title": "Idler"})
	o.ChangePerson("fay", map[string]any{"suspended": true})
	require.Equal(t, []string{"suspend dan@acme.example"}, o.Verify())
	all, err := o.Ledger.Suspensions(t.Context(), activitytest.Org)
	require.NoError(t, err)
	require.Len(t, all, 1)
	require.True(t, o.Ask(messages.ReportInput{Kind: messages.ReportLedger}).Ledger.Whole)
	o.Forge(`INSERT INTO suspensions (org, person, since, run, reasons) SELECT org, ?, since, run, reasons FROM suspensions`, o.AccountID("fay"))
	require.Contains(t, o.Ask(messages.ReportInput{Kind: messages.ReportLedger}).Message,
		"suspensions "+o.AccountID("fay")+": no entry of the chain speaks of it")
	o.ChangePerson("dan", map[string]any{"title": "Engineer"})
	require.Equal(t, []string{"restore dan@acme.example"}, o.Verify())
	o.Forge(`DELETE FROM suspensions`)
	require.Equal(t, "fay", o.Suspended(), "somebody else's suspension is somebody else's")
	all, err = o.Ledger.Suspensions(t.Context(), activitytest.Org)
	require.NoError(t, err)
	require.Empty(t, all)
	require.Empty(t, o.Verify())
}

// Whom a rule removes is gone, with all that they held.
func TestRulesRemovePeople(t *testing.T) {
	t.Parallel()
	o := activitytest.CompanyWith(t,
		activitytest.RulesOf(`{name: gone, owner: ana@acme.example, mode: enforce, when: 'domain == "partner.example"', remove: true}`))
	require.Equal(t, "paul@partner.example pia@partner.example", o.Removed())
	require.Empty(t, o.Members("partner-wiki"))
	require.Empty(t, o.Verify())
}

func TestAdmitRefusesAPolicyForItsRules(t *testing.T) {
	t.Parallel()
	o := activitytest.NewOf(t, activitytest.Company)
	for name, tt := range map[string]struct{ text, want string }{
		"group": {activitytest.RulesOf(`{name: r, when: in("nobody"), give: ["group:builders"]}`),
			"rule-group-unknown nobody: rule r asks about a group that does not exist"},
		"target": {activitytest.RulesOf(`{name: r, when: managed, give: ["group:staff"]}`),
			"target-synced group:staff"},
		"missing": {activitytest.RulesOf(`{name: r, when: managed, give: ["group:nothing"]}`),
			"target-missing group:nothing"},
		"site": {activitytest.RulesOf(`{name: r, when: managed, give: ["default:jira/beta/user"]}`),
			"site-unknown default:jira-software/beta/user"},
		"owner": {activitytest.RulesOf(`{name: r, owner: nobody@acme.example, when: managed, suspend: true}`),
			"rule-owner-unknown r: its owner nobody@acme.example is not an active person"},
		"floor": {"protected:\n  - {target: role:org-admin, always: [ana@acme.example]}\n" +
			activitytest.RulesOf(`{name: r, owner: bo@acme.example, when: 'email.startsWith("a")', deny: [role:org-admin]}`), "rule-against-floor r: it would take role:org-admin from ana@acme.example, who always stays in role:org-admin (protected[0].always)"},
		"suspension": {"protected:\n  - {target: role:org-admin, always: [ana@acme.example]}\n" +
			activitytest.RulesOf(`{name: r, owner: bo@acme.example, when: managed, suspend: true}`),
			"it would take directory from ana@acme.example"},
		"condition": {activitytest.RulesOf(`{name: r, when: manages, give: ["group:builders"]}`),
			"rules[0].when: undeclared reference to 'manages'"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := activitytest.Call[reconcile.AdmitResult](o, o.Acts.Reconcile.Admit,
				o.AdmitIn(o.CompanyText(tt.text)))
			require.Contains(t, activitytest.ApplicationError(t, err).Message(), tt.want)
		})
	}
	known, err := o.Ledger.Organizations(t.Context())
	require.NoError(t, err)
	require.Empty(t, known, "nothing of them came into force")
}

// Grace begins when the notice went out, never before.
func TestRulesTakeNothingBeforeTheNotice(t *testing.T) {
	t.Parallel()
	o := activitytest.CompanyWith(t,
		activitytest.RulesOf(`{name: outside, owner: ana@acme.example, mode: enforce, when: 'domain == "evil.example"', suspend: true, grace: 2d}`))
	o.Notifier.Fails = 1
	asked := o.RuleTime(time.Time{})
	require.Zero(t, asked.Told)
	require.Contains(t, asked.Untold, "the mail server is away")
	o.Advance(3 * activitytest.Day)
	require.Empty(t, o.Verify(), "nobody was told")
	told := o.RuleTime(asked.At)
	require.Equal(t, 1, told.Told)
	require.Empty(t, o.Verify())
	o.Advance(2 * activitytest.Day)
	require.Equal(t, []string{o.AccountID("eve@evil.example")}, o.RuleTime(told.At).People)
	require.Equal(t, []string{"suspend eve@evil.example"}, o.Verify())
	require.Zero(t, o.RuleTime(o.Clock()).Told, "once is enough")
}

// A partial look makes a rule act too, once its time has come: twice looked at, as ever.
func TestRulesLookTwiceAtPeopleWhoAreDue(t *testing.T) {
	t.Parallel()
	o := activitytest.CompanyWith(t,
		activitytest.RulesOf(`{name: outside, owner: ana@acme.example, mode: enforce, when: 'domain == "evil.example"', suspend: true, after: 1d}`))
	o.Advance(activitytest.Day)
	eve := o.AccountID("eve@evil.example")
	first := o.NewRun()
	look := o.Examine(first, "", eve)
	require.Equal(t, []string{eve}, look.Settling)
	o.Advance(10 * time.Second)
	second := o.NewRun()
	require.Equal(t, 1, o.Examine(second, first.Run, eve).Open)
	require.Equal(t, map[string]access.ChangeState{"suspend eve@evil.example": access.Done},
		activitytest.States(o.Write(second)))
	o.Finish(second, messages.ScopePeople)
}
