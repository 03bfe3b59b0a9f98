package activitytest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/apply"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// The tests named TestFieldA8, TestFieldE1 and so on each show one sentence of what administrators of Atlassian Cloud
// ask for, against the simulator: what was asked for stands in the comment.

// Company is an organization as it grows: staff synced from an identity provider, partners who were invited, somebody
// who signed up, somebody of a domain that nobody knows.
var Company = cloud.OrgFile{
	Domains: []string{"acme.example"},
	People: []string{
		"ana", "bo", "carol", "dan", "fay", "gus", "kim",
		"paul@partner.example", "pia@partner.example", "eve@evil.example", "sam@mail.example",
	},
	Invited: []string{"paul@partner.example", "pia@partner.example", "eve@evil.example", "sam@mail.example"},
	Admins:  []string{"ana", "bo"},
	Groups: []cloud.OrgGroup{
		{Name: "staff", Members: []string{"ana", "bo", "carol", "dan", "fay", "gus", "kim"}},
		{Name: "idp-admins", Members: []string{"ana", "bo", "carol"}},
		{Name: "idp-contractors", Members: []string{"gus", "kim"}},
		{Name: "idp-finance", Members: []string{"fay"}},
	},
	Local: []cloud.OrgGroup{
		{Name: "builders"}, {Name: "finance-space"}, {Name: "partner-wiki", Members: []string{"paul@partner.example"}},
		{Name: "internal-wiki", Members: []string{"pia@partner.example"}},
	},
	Profiles: map[string]cloud.OrgProfile{"dan": {Title: "Engineer", Department: "IT"},
		"fay": {Title: "Controller", Department: "Finance"}},
}

// Consenting lets all rules act at once, and everything through the guard.
const Consenting = `guard: {adopt: auto, rules: auto, run: {removals: 1000, share: 100%}, target: {removals: 1000, share: 100%}, lastAccess: {people: 1000}, window: {removals: 1000, share: 100%}, source: {share: 100%}}
`

// CompanyText is the company's policy: one mapping, and more.
func (o *SimulatedOrg) CompanyText(more string) string {
	return fmt.Sprintf("version: 1\norganization: {name: acme, id: %s, key: \"env:KEY\"}\nmappings:\n  - {name: builders, from: [staff], to: [\"group:builders\"]}\nignore: [\"*\"]\n%s", o.Sim.Info().OrgID, more)
}

// CompanyWith is the company under a policy with these rules, in step.
func CompanyWith(t *testing.T, more string) *SimulatedOrg {
	t.Helper()
	o := NewOf(t, Company)
	o.AdmitRules(Consenting + more)
	o.Verify()
	return o
}

func (o *SimulatedOrg) AdmitRules(more string) reconcile.AdmitResult {
	o.T.Helper()
	result := Must[reconcile.AdmitResult](o, o.Acts.Reconcile.Admit, o.AdmitIn(o.CompanyText(more)))
	o.Policy = result.Policy
	return result
}

// Verify does a whole verification, with all that keeps removals from being made on bad evidence, and says what was
// written.
func (o *SimulatedOrg) Verify() []string {
	o.T.Helper()
	done, _ := o.VerifyAll()
	return done
}

func (o *SimulatedOrg) VerifyAll() ([]string, reconcile.JudgeResult) {
	o.T.Helper()
	run, judged := o.SweepAndJudge()
	o.Advance(10 * time.Second)
	Must[reconcile.ConfirmResult](o, o.Acts.Reconcile.Confirm,
		apply.ConfirmInput{RunInput: run, Actions: []access.Action{access.Remove}})
	var done []string
	for label, result := range o.Write(run) {
		if result.State == access.Done {
			done = append(done, label)
		}
	}
	o.Finish(run, messages.ScopeFull)
	o.Advance(time.Minute)
	slices.Sort(done)
	return done, judged
}

// RuleTime tells whom rules name, and says whose time has come.
func (o *SimulatedOrg) RuleTime(since time.Time) reconcile.RuleTimeResult {
	o.T.Helper()
	return Must[reconcile.RuleTimeResult](o, o.Acts.Reconcile.RuleTime,
		reconcile.RuleTimeInput{Org: Org, Policy: o.Policy, Since: since})
}

// Suspended are the names of who is suspended, sorted; gone of who is not in the directory.
func (o *SimulatedOrg) Suspended() string {
	return o.those(func(p cloud.StatePerson) bool { return p.Suspended })
}

func (o *SimulatedOrg) Removed() string {
	return o.those(func(p cloud.StatePerson) bool { return p.Absent })
}

func (o *SimulatedOrg) those(are func(cloud.StatePerson) bool) string {
	var names []string
	for _, p := range o.Sim.State().People {
		if are(p) {
			names = append(names, p.Name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

func (o *SimulatedOrg) Used(app string, at time.Time, names ...string) {
	o.T.Helper()
	body := map[string]any{"people": names, "app": app, "site": "acme"}
	if !at.IsZero() {
		body["at"] = at.Format(time.RFC3339)
	}
	o.Send(http.MethodPost, "/_sim/activity", body)
}

// Findings are those of the last full run, by rule and subject.
func (o *SimulatedOrg) Findings() map[string]string {
	o.T.Helper()
	runs, err := o.Ledger.Runs(o.T.Context(), Org, 1, "")
	require.NoError(o.T, err)
	all := map[string]string{}
	for _, f := range runs[0].Findings {
		all[f.Rule+" "+f.Subject] = f.Detail
	}
	return all
}

// RulesOf is the part of a policy that has these rules.
func RulesOf(all ...string) string { return "rules:\n  - " + strings.Join(all, "\n  - ") + "\n" }

// Observed are the lines that rules which observe would make, by label.
func (o *SimulatedOrg) Observed(run string) []string {
	o.T.Helper()
	lines, err := o.Ledger.Lines(o.T.Context(), Org, run, ledger.Filter{States: []access.ChangeState{access.Observed}})
	require.NoError(o.T, err)
	var labels []string
	for _, c := range lines {
		labels = append(labels, c.Label())
	}
	slices.Sort(labels)
	return labels
}

// Day is a day.
const Day = 24 * time.Hour
