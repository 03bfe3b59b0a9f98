package reports_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/provisioning"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// sourcedOrg is an organization with the identity source hr, whose replica shows these addresses by key, and more of
// the policy.
func sourcedOrg(t *testing.T, more string, people map[string]string) *activitytest.SimulatedOrg {
	t.Helper()
	o := activitytest.NewOf(t, cloud.OrgFile{
		Domains: []string{"acme.example"}, People: []string{"boss", "ana", "bo"}, Admins: []string{"boss"},
		Invited: []string{"ana", "bo"}, Local: []cloud.OrgGroup{{Name: "builders"}},
	})
	options := o.Options()
	options.Secret = func(_, ref string) (string, error) {
		if ref == "env:SCIM" {
			return cloud.DefaultSCIMKey, nil
		}
		return o.Key, nil
	}
	o.Acts = activities.New(activities.Options{Options: options})
	policy := fmt.Sprintf(`
version: 1
organization: {name: acme, id: %s, key: "env:KEY"}
sources: [{name: hr, kind: file, folder: /exports, key: number, groupsFile: groups.csv}]
mappings: [{name: builders, from: ["hr:crew"], to: ["group:builders"]}]
guard: {adopt: auto}
%s
`, o.Sim.Info().OrgID, strings.ReplaceAll(more, "DIRECTORY", o.Sim.Info().SCIMDirectoryID))
	o.Policy = activitytest.Must[reconcile.AdmitResult](o, o.Acts.Reconcile.Admit, o.AdmitIn(policy)).Policy
	ctx, now := t.Context(), o.Clock()
	number, err := o.Ledger.BeginSourceRead(ctx, activitytest.Org, "hr", now)
	require.NoError(t, err)
	var rows []ledger.Identity
	yes := true
	for key, address := range people {
		text, err := json.Marshal(map[string]any{"email": address, "title": "Lead " + key})
		require.NoError(t, err)
		rows = append(rows, ledger.Identity{Source: "hr", Key: key, Address: address, Enabled: &yes,
			Attributes: text, Digest: key})
	}
	_, err = o.Ledger.SaveIdentities(ctx, activitytest.Org, "hr", number, rows, now)
	require.NoError(t, err)
	_, err = o.Ledger.SaveSourceGroups(ctx, activitytest.Org, "hr", number, []ledger.SourceGroup{
		{Source: "hr", Key: "g1", Name: "hr:crew", Members: []string{"1"}, Digest: "g1"},
		{Source: "hr", Key: "g2", Name: "hr:lunch", Members: []string{"1"}, Digest: "g2"}}, now)
	require.NoError(t, err)
	require.NoError(t, o.Ledger.EndSourceRead(ctx, activitytest.Org, "hr", number, ledger.End{As: "x",
		People: len(people)}, now))
	o.VerifyEverybody()
	return o
}

const staff = `
provision:
  - name: staff
    from: [hr]
    directory: {id: "DIRECTORY", key: "env:SCIM"}
    attributes: {userName: email, emails: email, title: title}
`

// provisionOnce reads and decides the provision staff; nothing is written.
func provisionOnce(o *activitytest.SimulatedOrg) {
	in := provisioning.RunInput{RunInput: o.NewRun(), Provision: "staff"}
	activitytest.Must[provisioning.ReadResult](o, o.Acts.Provisioning.ReadRecords,
		provisioning.ReadInput{RunInput: in, Started: o.Clock()})
	activitytest.Must[provisioning.DecideResult](o, o.Acts.Provisioning.DecideRecords,
		provisioning.DecideInput{RunInput: in})
	activitytest.Must[provisioning.JudgeResult](o, o.Acts.Provisioning.JudgeRecords,
		provisioning.JudgeInput{RunInput: in})
}

// listed asks for all pages of n people, and returns their identities with states.
func listed(o *activitytest.SimulatedOrg, n int, in messages.ReportInput) (all []string) {
	in.Org, in.Kind, in.Limit = activitytest.Org, messages.ReportIdentities, n
	for _, page := range o.Pages(in) {
		require.LessOrEqual(o.T, len(page.People), n)
		for _, p := range page.People {
			all = append(all, p.Identity+" "+p.State)
		}
	}
	return all
}

func TestIdentitiesOfASourceAlone(t *testing.T) {
	t.Parallel()
	o := sourcedOrg(t, "", map[string]string{"1": "ana@acme.example", "2": "bo@acme.example", "3": "bo@acme.example",
		"4": "nobody@acme.example", "5": ""})
	answer := o.Ask(messages.ReportInput{Kind: messages.ReportIdentities})
	require.Equal(t, []messages.PeopleCount{{Of: "source hr", State: "linked", Count: 1},
		{Of: "source hr", State: "no account", Count: 4}}, answer.States)
	require.Equal(t, o.AccountID("ana"), answer.People[0].Account)
	for i, want := range []string{"", "link-ambiguous: ", "link-ambiguous: ", "no account has its address",
		"the source says no address"} {
		require.Contains(t, answer.People[i].Detail, want)
		require.Equal(t, want == "", answer.People[i].Detail == "")
	}
	all := []string{"hr:1 linked", "hr:2 no account", "hr:3 no account", "hr:4 no account", "hr:5 no account"}
	for n := 1; n < 7; n++ {
		require.Equal(t, all, listed(o, n, messages.ReportInput{}))
		require.Equal(t, all[1:], listed(o, n, messages.ReportInput{State: "no account"}))
		require.Equal(t, all[:1], listed(o, n, messages.ReportInput{State: "linked", Source: "hr"}))
		require.Empty(t, listed(o, n, messages.ReportInput{State: "orphaned"}))
	}
	for _, in := range []messages.ReportInput{{Source: "payroll"}, {Provision: "staff"}, {After: `{"target":"source x"}`}} {
		in.Org, in.Kind = activitytest.Org, messages.ReportIdentities
		_, err := activitytest.Call[messages.ReportAnswer](o, o.Acts.Reports.Answer, in)
		require.ErrorContains(t, err, session.ErrUnknown)
	}
}

func TestIdentitiesOfAProvision(t *testing.T) {
	t.Parallel()
	o := sourcedOrg(t, staff, map[string]string{"1": "ana@acme.example", "2": "new@acme.example"})
	provisionOnce(o)
	answer := o.Ask(messages.ReportInput{Kind: messages.ReportIdentities})
	require.Equal(t, []messages.PeopleCount{{Of: "provision staff", State: "absent", Count: 1},
		{Of: "provision staff", State: "jit-only", Count: 1}}, answer.States)
	require.Equal(t, messages.PersonState{Identity: "hr:1", Provision: "staff", Address: "ana@acme.example",
		State: "jit-only", Account: o.AccountID("ana")}, answer.People[0])
	for n := 1; n < 4; n++ {
		require.Equal(t, []string{"hr:1 jit-only", "hr:2 absent"}, listed(o, n, messages.ReportInput{Provision: "staff"}))
		require.Equal(t, []string{"hr:2 absent"}, listed(o, n, messages.ReportInput{State: "absent", Source: "hr"}))
	}
}

func TestExplainTellsWhatSourcesSay(t *testing.T) {
	t.Parallel()
	o := sourcedOrg(t, staff, map[string]string{"1": "ana@acme.example", "2": "new@acme.example"})
	explain := func(person string) *messages.Explanation {
		return activitytest.Must[messages.ReportAnswer](o, o.Acts.Reports.Explain, messages.ReportInput{
			Org: activitytest.Org, Kind: messages.ReportExplain, Person: person}).Explain
	}
	for _, name := range []string{"ana@acme.example", "hr:1"} {
		x := explain(name)
		require.Equal(t, o.AccountID("ana"), x.Person.ID)
		require.NotEmpty(t, x.Facts)
		require.Len(t, x.Identities, 1)
		i := x.Identities[0]
		require.Equal(t, "hr:1 present "+o.AccountID("ana"), i.Identity+" "+i.State+" "+i.Account)
		require.Equal(t, "address ana@acme.example", i.LinkedBy)
		require.False(t, i.Linked.IsZero())
		require.Equal(t, []messages.ExplainedGroup{{Group: "hr:crew", Gives: []access.Entitlement{"group:builders"}}},
			i.Groups)
		require.Equal(t, 1, i.Others)
		require.Contains(t, i.Attributes, messages.Fact{Name: "title = title", Value: "Lead 1"})
		require.Len(t, x.Records, 1)
		require.Equal(t, "jit-only create", x.Records[0].State+" "+x.Records[0].Action)
		require.Contains(t, x.Records[0].Edits, access.Edit{Attribute: "title", To: "Lead 1"})
	}
	x := explain("hr:2")
	require.Equal(t, "hr:2", x.Person.ID)
	require.Empty(t, x.Facts)
	require.Empty(t, x.Identities[0].Account)
	require.Equal(t, "absent create", x.Records[0].State+" "+x.Records[0].Action)
}
