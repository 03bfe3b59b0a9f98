package provisioning_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/activities/apply"
	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/provisioning"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// provisioned is a simulated organization with a source whose replica a test writes, and a provision of its people.
type provisioned struct {
	*activitytest.SimulatedOrg
	staff  map[string]identity // by key
	groups map[string][]string // keys of members, by the key and name of the group, as "g1 eng"
}

// identity is somebody of the source.
type identity struct {
	address  string
	more     map[string]any // further attributes
	disabled bool
}

// people have accounts by a login, and no record in the SCIM directory.
var people = cloud.OrgFile{
	Domains: []string{"acme.example"}, People: []string{"boss", "ana", "bo", "carol"}, Admins: []string{"boss"},
	Invited: []string{"ana", "bo", "carol"},
	Local:   []cloud.OrgGroup{{Name: "builders"}},
}

func start(t *testing.T, more string) *provisioned {
	t.Helper()
	return startOf(t, people, more)
}

func startOf(t *testing.T, file cloud.OrgFile, more string) *provisioned {
	t.Helper()
	o := &provisioned{SimulatedOrg: activitytest.NewOf(t, file), staff: map[string]identity{},
		groups: map[string][]string{}}
	options := o.Options()
	options.Secret = func(_, ref string) (string, error) {
		if ref == "env:SCIM" {
			return cloud.DefaultSCIMKey, nil
		}
		return o.Key, nil
	}
	o.Acts = activities.New(activities.Options{Options: options})
	o.admit(more)
	o.VerifyEverybody()
	return o
}

// admit puts a policy in force: the usual one, with more sections, and with texts replaced by others.
func (o *provisioned) admit(more string, replace ...string) {
	o.T.Helper()
	guard := "guard: {adopt: auto}"
	if strings.Contains(more, "guard:") {
		guard = ""
	}
	policy := fmt.Sprintf(`
version: 1
organization: {name: acme, id: %s, key: "env:KEY"}
sources:
  - {name: hr, kind: file, folder: /exports, key: number, enabled: {column: status, no: [left]}, groupsFile: groups.csv}
provision:
  - name: staff
    from: [hr]
    directory: {id: %q, key: "env:SCIM"}
    attributes: {userName: email, emails: email, displayName: name, title: title}
mappings: [{name: builders, from: ["hr:builders"], to: ["group:builders"]}]
%s
%s
`, o.Sim.Info().OrgID, o.Sim.Info().SCIMDirectoryID, guard, more)
	policy = strings.NewReplacer(replace...).Replace(policy)
	admitted := activitytest.Must[reconcile.AdmitResult](o.SimulatedOrg, o.Acts.Reconcile.Admit, o.AdmitIn(policy))
	o.Policy = admitted.Policy
}

// read stores what a complete read of the source shows.
func (o *provisioned) read() {
	o.T.Helper()
	ctx, now := o.T.Context(), o.Clock()
	number, err := o.Ledger.BeginSourceRead(ctx, activitytest.Org, "hr", now)
	require.NoError(o.T, err)
	known, knownGroups, err := o.Ledger.SourceDigests(ctx, activitytest.Org, "hr")
	require.NoError(o.T, err)
	var rows []ledger.Identity
	for _, key := range slices.Sorted(maps.Keys(o.staff)) {
		one := o.staff[key]
		attributes := map[string]any{"email": one.address, "name": key}
		maps.Copy(attributes, one.more)
		text, err := json.Marshal(attributes)
		require.NoError(o.T, err)
		enabled := !one.disabled
		rows = append(rows, ledger.Identity{Source: "hr", Key: key, Address: one.address, Enabled: &enabled,
			Attributes: text, Digest: fmt.Sprint(one)})
		delete(known, key)
	}
	_, err = o.Ledger.SaveIdentities(ctx, activitytest.Org, "hr", number, rows, now)
	require.NoError(o.T, err)
	var groups []ledger.SourceGroup
	for _, named := range slices.Sorted(maps.Keys(o.groups)) {
		key, name, _ := strings.Cut(named, " ")
		groups = append(groups, ledger.SourceGroup{Source: "hr", Key: key, Name: "hr:" + name, Members: o.groups[named],
			Digest: fmt.Sprint(name, o.groups[named])})
		delete(knownGroups, key)
	}
	_, err = o.Ledger.SaveSourceGroups(ctx, activitytest.Org, "hr", number, groups, now)
	require.NoError(o.T, err)
	require.NoError(o.T, o.Ledger.EndSourceRead(ctx, activitytest.Org, "hr", number, ledger.End{As: "x",
		People: len(o.staff), Groups: len(groups), MissingPeople: slices.Sorted(maps.Keys(known)),
		MissingGroups: slices.Sorted(maps.Keys(knownGroups))}, now))
	_, err = o.Ledger.ConcludeMissing(ctx, activitytest.Org, "hr", now)
	require.NoError(o.T, err)
	o.Advance(time.Minute)
}

// run is a run over everybody: read, decided and judged.
func (o *provisioned) run(identities ...string) (provisioning.RunInput, provisioning.JudgeResult) {
	o.T.Helper()
	in := provisioning.RunInput{RunInput: o.NewRun(), Provision: "staff"}
	activitytest.Must[provisioning.ReadResult](o.SimulatedOrg, o.Acts.Provisioning.ReadRecords,
		provisioning.ReadInput{RunInput: in, Started: o.Clock(), Identities: identities})
	activitytest.Must[provisioning.DecideResult](o.SimulatedOrg, o.Acts.Provisioning.DecideRecords,
		provisioning.DecideInput{RunInput: in, Identities: identities})
	return in, activitytest.Must[provisioning.JudgeResult](o.SimulatedOrg, o.Acts.Provisioning.JudgeRecords,
		provisioning.JudgeInput{RunInput: in, Partial: len(identities) > 0})
}

// write makes the released changes of a run, and ends it.
func (o *provisioned) write(in provisioning.RunInput, approved bool) map[string]apply.ChangeResult {
	o.T.Helper()
	results := map[string]apply.ChangeResult{}
	for _, action := range []access.Action{access.Remove, access.Add, access.Update} {
		for after, more := "", true; more; {
			next := activitytest.Must[apply.NextResult](o.SimulatedOrg, o.Acts.Apply.Next, apply.NextInput{
				RunInput: in.RunInput, Actions: []access.Action{action}, Approved: &approved, Limit: 100,
				Target: access.RecordTarget("staff"), After: after})
			for _, l := range next.Lines {
				results[l.Label] = activitytest.Must[apply.ChangeResult](o.SimulatedOrg, o.Acts.Apply.Apply,
					apply.ChangeInput{RunInput: in.RunInput, Person: l.Person, Target: l.Target})
			}
			after, more = next.After, next.More
		}
	}
	o.writeGroups(in, approved)
	o.Finish(in.RunInput, messages.ScopeProvision)
	o.Advance(time.Minute)
	return results
}

// writeGroups makes the released changes of groups of a run.
func (o *provisioned) writeGroups(in provisioning.RunInput, approved bool) map[access.ChangeState]int {
	o.T.Helper()
	states := map[access.ChangeState]int{}
	for _, phase := range []string{"join", "leave", "delete"} {
		for _, w := range activitytest.Must[[]apply.GroupWork](o.SimulatedOrg, o.Acts.Apply.NextGroups,
			apply.NextGroupsInput{RunInput: in.RunInput, Approved: &approved}) {
			if phase == "join" && !w.Joins || phase == "leave" && (!w.Leaves || w.Delete) || phase == "delete" && !w.Delete {
				continue
			}
			next := apply.GroupChangeInput{RunInput: in.RunInput, Provision: w.Provision, Group: w.Group,
				Action: access.Add, Delete: phase == "delete", Approved: &approved}
			if phase != "join" {
				next.Action = access.Remove
			}
			for more := true; more; {
				result := activitytest.Must[apply.GroupChangeResult](o.SimulatedOrg, o.Acts.Apply.ApplyGroup, next)
				for state, n := range result.States {
					states[state] += n
				}
				next.After, next.Limit, more = result.After, result.Limit, result.More
			}
		}
	}
	return states
}

// inStep provisions until nothing is to do.
func (o *provisioned) inStep() {
	o.T.Helper()
	o.read()
	in, _ := o.run()
	o.write(in, false)
	_, verdict := o.run()
	require.Zero(o.T, verdict.Open)
	require.Nil(o.T, verdict.Hold)
}

// record is the one of an address in the SCIM directory.
func (o *provisioned) record(address string) cloud.StatePerson {
	o.T.Helper()
	for _, p := range o.Sim.State().People {
		if p.Email == address && p.SCIMUserID != "" {
			return p
		}
	}
	o.T.Fatalf("there is no record of %s", address)
	return cloud.StatePerson{}
}

func (o *provisioned) states() map[string]string {
	o.T.Helper()
	found, err := o.Ledger.PersonStates(o.T.Context(), activitytest.Org, "staff", "", ledger.Ref{}, 0)
	require.NoError(o.T, err)
	states := map[string]string{}
	for _, s := range found {
		states[s.Key] = s.State
	}
	return states
}

// patch changes one attribute of a record, as another identity provider does.
func (o *provisioned) patch(address, attribute, value string) {
	o.T.Helper()
	o.Send(http.MethodPatch, "/scim/directory/"+o.Sim.Info().SCIMDirectoryID+"/Users/"+o.record(address).SCIMUserID,
		map[string]any{
			"schemas":    []string{"urn:ietf:params:scim:api:messages:2.0:PatchOp"},
			"Operations": []any{map[string]any{"op": "replace", "path": attribute, "value": value}},
		})
}
