package activities_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// The tests named TestFieldA8, TestFieldE1 and so on each show one sentence of what administrators of Atlassian Cloud ask for,
// against the simulator: what was asked for stands in the comment.

// company is an organization as it grows: staff synced from an identity provider, partners who were invited, somebody who signed
// up, somebody of a domain that nobody knows.
var company = cloud.OrgFile{
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
		{Name: "builders"}, {Name: "finance-space"}, {Name: "partner-wiki", Members: []string{"paul@partner.example"}}, {Name: "internal-wiki", Members: []string{"pia@partner.example"}},
	},
	Profiles: map[string]cloud.OrgProfile{"dan": {Title: "Engineer", Department: "IT"}, "fay": {Title: "Controller", Department: "Finance"}},
}

// consenting lets all rules act at once, and everything through the guard.
const consenting = `guard: {adopt: auto, rules: auto, run: {removals: 1000, share: 100%}, target: {removals: 1000, share: 100%}, lastAccess: {people: 1000}, window: {removals: 1000, share: 100%}, source: {share: 100%}}
`

// companyText is the company's policy: one mapping, and more.
func (w *world) companyText(more string) string {
	return fmt.Sprintf("version: 1\norganization: {name: acme, id: %s, key: \"env:KEY\"}\nmappings:\n  - {name: builders, from: [staff], to: [\"group:builders\"]}\nignore: [\"*\"]\n%s", w.sim.Info().OrgID, more)
}

// companyWith is the company under a policy with these rules, in step.
func companyWith(t *testing.T, more string) *world {
	t.Helper()
	w := newWorldOf(t, company)
	w.take(consenting + more)
	w.verify()
	return w
}

func (w *world) take(more string) activities.AdmitResult {
	w.t.Helper()
	result := must[activities.AdmitResult](w, w.acts.Admit, w.admitIn(w.companyText(more)))
	w.policy = result.Policy
	return result
}

// verify does a whole verification, with all that keeps removals from being made on bad evidence, and says what was written.
func (w *world) verify() []string {
	w.t.Helper()
	done, _ := w.verifyAll()
	return done
}

func (w *world) verifyAll() ([]string, activities.JudgeResult) {
	w.t.Helper()
	run, judged := w.planned()
	w.pass(10 * time.Second)
	must[activities.ConfirmResult](w, w.acts.Confirm, activities.ConfirmInput{RunInput: run, Actions: []access.Action{access.Remove}})
	var done []string
	for label, result := range w.write(run) {
		if result.State == access.Done {
			done = append(done, label)
		}
	}
	w.finish(run, messages.ScopeFull)
	w.pass(time.Minute)
	slices.Sort(done)
	return done, judged
}

// ruleTime tells whom rules name, and says whose time has come.
func (w *world) ruleTime(since time.Time) activities.RuleTimeResult {
	w.t.Helper()
	return must[activities.RuleTimeResult](w, w.acts.RuleTime, activities.RuleTimeInput{Org: org, Policy: w.policy, Since: since})
}

// suspended are the names of who is suspended, sorted; gone of who is not in the directory.
func (w *world) suspended() string {
	return w.those(func(p cloud.StatePerson) bool { return p.Suspended })
}
func (w *world) gone() string { return w.those(func(p cloud.StatePerson) bool { return p.Absent }) }

func (w *world) those(are func(cloud.StatePerson) bool) string {
	var names []string
	for _, p := range w.sim.State().People {
		if are(p) {
			names = append(names, p.Name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

func (w *world) used(app string, at time.Time, names ...string) {
	w.t.Helper()
	body := map[string]any{"people": names, "app": app, "site": "acme"}
	if !at.IsZero() {
		body["at"] = at.Format(time.RFC3339)
	}
	w.send(http.MethodPost, "/_sim/activity", body)
}

// findings are those of the last full run, by rule and subject.
func (w *world) findings() map[string]string {
	w.t.Helper()
	runs, err := w.ledger.Runs(w.t.Context(), org, 1, "")
	require.NoError(w.t, err)
	all := map[string]string{}
	for _, f := range runs[0].Findings {
		all[f.Rule+" "+f.Subject] = f.Detail
	}
	return all
}

func rulesOf(all ...string) string { return "rules:\n  - " + strings.Join(all, "\n  - ") + "\n" }

// observed are the lines that rules which observe would make, by label.
func (w *world) observed(run string) []string {
	w.t.Helper()
	lines, err := w.ledger.Lines(w.t.Context(), org, run, ledger.Filter{States: []access.ChangeState{access.Observed}})
	require.NoError(w.t, err)
	var labels []string
	for _, c := range lines {
		labels = append(labels, c.Label())
	}
	slices.Sort(labels)
	return labels
}
