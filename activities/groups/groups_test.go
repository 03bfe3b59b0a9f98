package groups_test

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
	"github.com/castellan-io/castellan/activities/apply"
	"github.com/castellan-io/castellan/activities/groups"
	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// recorded is a simulated organization whose groups are on record.
type recorded struct {
	*activitytest.SimulatedOrg
}

// start is an organization whose synced group unused opens Jira, after a first verification.
func start(t *testing.T, more string) *recorded {
	t.Helper()
	o := &recorded{activitytest.New(t)}
	o.Acts = activities.New(activities.Options{Options: o.Options()})
	o.open("eng")
	o.Admit(activitytest.AutoAdopt + "\n" + more)
	o.VerifyEverybody()
	return o
}

// open has a group give a role on Jira, as an administrator does.
func (o *recorded) open(group string) {
	o.T.Helper()
	o.Admin(http.MethodPost, "/admin/v2/orgs/"+o.Sim.Info().OrgID+"/directories/"+o.Sim.Info().DirectoryID+"/groups/"+
		o.Group(group).ID+"/role-assignments/assign",
		fmt.Sprintf(`{"resourceId":%q,"roleId":"atlassian/user"}`, o.jira()))
}

func (o *recorded) jira() string {
	o.T.Helper()
	for _, r := range o.Sim.State().Resources {
		if r.App == "jira-software" {
			return r.Resource
		}
	}
	require.Fail(o.T, "there is no Jira")
	return ""
}

func (o *recorded) record(id string) messages.RecordedGroup {
	o.T.Helper()
	return o.Ask(messages.ReportInput{Org: "acme", Kind: messages.ReportGroups, ID: id}).Groups[0]
}

// members are the names of those who are in a group by its record.
func (o *recorded) members(id string) string {
	o.T.Helper()
	var names []string
	for _, m := range o.Ask(messages.ReportInput{Org: "acme", Kind: messages.ReportGroups, ID: id}).Members {
		names = append(names, o.NameOf(m.Account))
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// restoreOf is a restore being played: what the workflow GroupRestore does, step by step.
type restoreOf struct {
	*recorded
	in     groups.RestoreRunInput
	lost   messages.RestoreOf
	begun  groups.BeginRestoreResult
	hold   *messages.Hold
	counts []messages.StateCount
	at     time.Time
}

// restore previews the restore of a group, up to its hold.
func (o *recorded) restore(id, name string) *restoreOf {
	o.T.Helper()
	r := &restoreOf{recorded: o, at: o.Clock(), in: groups.RestoreRunInput{RunInput: o.NewRun(), Group: id}}
	r.begun = activitytest.Must[groups.BeginRestoreResult](o.SimulatedOrg, o.Acts.Groups.BeginRestore,
		groups.BeginRestoreInput{RestoreRunInput: r.in, Name: name, By: "bo", Started: r.at})
	r.lost = r.begun.Lost
	for after, more := "", true; more; {
		piece := activitytest.Must[groups.PreviewRestoreResult](o.SimulatedOrg, o.Acts.Groups.PreviewRestore,
			groups.PreviewRestoreInput{RestoreRunInput: r.in, Lost: r.lost, After: after})
		after, more = piece.Next, piece.Next != ""
	}
	judged := activitytest.Must[groups.JudgeRestoreResult](o.SimulatedOrg, o.Acts.Groups.JudgeRestore,
		groups.JudgeRestoreInput{RestoreRunInput: r.in, Lost: r.lost, Observe: r.begun.ReadOnly != ""})
	r.hold, r.counts = judged.Hold, judged.Counts
	return r
}

func (r *restoreOf) approve() {
	r.T.Helper()
	activitytest.Must[reconcile.DecideResult](r.SimulatedOrg, r.Acts.Reconcile.Decide, reconcile.DecideInput{
		Org: "acme", Decision: ledger.Approve, Restore: r.in.Group,
		DecisionInput: messages.DecisionInput{Plan: r.hold.Plan, By: "bo"}})
}

// write writes the group's own lines, then the members, as a run does.
func (r *restoreOf) write() map[string]apply.ChangeResult {
	r.T.Helper()
	approved := true
	results := map[string]apply.ChangeResult{}
	for _, person := range []string{r.in.Group, ""} {
		next := activitytest.Must[apply.NextResult](r.SimulatedOrg, r.Acts.Apply.Next, apply.NextInput{
			RunInput: r.in.RunInput, Actions: []access.Action{access.Add}, Approved: &approved, Limit: 100,
			Person: person})
		for _, l := range next.Lines {
			in := apply.ChangeInput{RunInput: r.in.RunInput, Person: l.Person, Target: l.Target}
			results[l.Label] = activitytest.Must[apply.ChangeResult](r.SimulatedOrg, r.Acts.Apply.Apply, in)
			again := activitytest.Must[apply.ChangeResult](r.SimulatedOrg, r.Acts.Apply.Apply, in)
			require.Equal(r.T, results[l.Label].State, again.State, "a repeat finds it done")
		}
	}
	return results
}

func (r *restoreOf) check() groups.CheckRestoreResult {
	r.T.Helper()
	return activitytest.Must[groups.CheckRestoreResult](r.SimulatedOrg, r.Acts.Groups.CheckRestore,
		groups.CheckRestoreInput{RestoreRunInput: r.in, Lost: r.lost, Since: r.at, Last: true})
}

func (r *restoreOf) end(state string) {
	r.T.Helper()
	activitytest.Must[groups.EndRestoreResult](r.SimulatedOrg, r.Acts.Groups.EndRestore,
		groups.EndRestoreInput{RestoreRunInput: r.in, State: state, By: "bo"})
}

// count is how many members have an outcome.
func count(all []messages.StateCount, outcome string) int {
	for _, c := range all {
		if c.State == outcome {
			return c.Count
		}
	}
	return 0
}

func lostFindings(findings []string) (lost []string) {
	for _, f := range findings {
		if strings.HasPrefix(f, "group-lost") {
			lost = append(lost, f)
		}
	}
	return lost
}

// TestRestoreLostGroup: an identity provider deletes a group that opens Jira; the next verification says so; the
// restored group is like it, and restored again it needs nothing.
func TestRestoreLostGroup(t *testing.T) {
	t.Parallel()
	o := start(t, "")
	was := o.Group("eng")
	o.DeleteSource("eng")
	_, verdict := o.SweepAndJudge()
	lost := lostFindings(verdict.Findings)
	require.Len(t, lost, 1)
	require.Contains(t, lost[0], "6 members")
	require.Contains(t, lost[0], "user of jira-software/")
	require.Contains(t, lost[0], was.ID)
	require.Contains(t, lost[0], messages.NotInRecords)
	g := o.record(was.ID)
	require.True(t, g.Synced)
	require.NotZero(t, g.Lost)
	require.Equal(t, "ana bo carol dan eve kim", o.members("eng"))

	r := o.restore(was.ID, "")
	require.Equal(t, 6, r.lost.Members)
	require.Equal(t, 6, count(r.counts, messages.RestorePending))
	require.Equal(t, 8, r.hold.Adds, "the group, a role, six members")
	r.approve()
	for label, result := range r.write() {
		require.Equal(t, access.Done, result.State, "%s: %s", label, result.Answer)
	}
	seen := r.check()
	require.Zero(t, seen.Open+seen.Unseen+seen.Differing, seen.Differs)
	require.Equal(t, 6, count(seen.Counts, messages.RestoreAdded))
	r.end(messages.RestoreDone)
	now := o.Group("eng")
	require.False(t, now.Synced)
	require.ElementsMatch(t, was.Members, now.Members)
	require.Equal(t, was.Roles, now.Roles)

	_, verdict = o.SweepAndJudge()
	require.Empty(t, lostFindings(verdict.Findings))
	var again *restoreOf
	calls := o.Calls(func() { again = o.restore(was.ID, "") })
	require.Nil(t, again.hold, "it is all there already")
	require.Equal(t, 6, count(again.counts, messages.RestoreAlready))
	for call := range calls {
		require.NotRegexp(t, `\.(assign|create|add)$`, call)
	}
	require.Empty(t, o.unexplained())
}

// unexplained is what verify-ledger complains of.
func (o *recorded) unexplained() []ledger.Unexplained {
	o.T.Helper()
	check, err := o.Ledger.VerifyRows(o.T.Context(), "acme", func(int64) {})
	require.NoError(o.T, err)
	return check.First
}

// TestRestoreLeavesOut: whom the directory does not have or would not take, and what is denied by now, is left out, at
// the preview or at the moment of writing.
func TestRestoreLeavesOut(t *testing.T) {
	t.Parallel()
	o := start(t, "")
	id := o.Group("eng").ID
	o.DeleteSource("eng")
	o.SweepAndJudge()
	o.ChangePerson("carol", map[string]any{"inactive": true})
	directory := "/admin/v2/orgs/" + o.Sim.Info().OrgID + "/directories/" + o.Sim.Info().DirectoryID + "/users/"
	o.Admin(http.MethodPost, directory+o.AccountID("dan")+"/suspend", "")
	o.Admin(http.MethodDelete, directory+o.AccountID("kim"), "")
	r := o.restore(id, "")
	require.Equal(t, 3, count(r.counts, messages.RestoreLeftOut))
	lines := o.answers(r)
	require.Contains(t, lines["carol"], "inactive")
	require.Contains(t, lines["dan"], "suspended")
	require.Contains(t, lines["kim"], "no longer in the organization")
	r.approve()
	o.Admin(http.MethodPost, directory+o.AccountID("eve")+"/suspend", "")
	r.write()
	require.Equal(t, []string{"ana", "bo"}, o.names("eng"))
	seen := r.check()
	require.Equal(t, 1, seen.Differing)
	require.Contains(t, seen.Differs[0], "eve")
	require.Contains(t, seen.Differs[0], "suspended")
}

func (o *recorded) answers(r *restoreOf) map[string]string {
	o.T.Helper()
	all := map[string]string{}
	lines, err := o.Ledger.Lines(o.T.Context(), "acme", r.in.Run, ledger.Filter{})
	require.NoError(o.T, err)
	for _, l := range lines {
		if name, _, known := strings.Cut(l.Email, "@"); known {
			all[name] = l.Answer
		}
	}
	return all
}

func (o *recorded) names(group string) []string {
	o.T.Helper()
	names := strings.Fields(o.Members(group))
	slices.Sort(names)
	return names
}

// TestRestoreDenied: what a rule denies is not given back, nor more than the policy has for a protected group.
func TestRestoreDenied(t *testing.T) {
	t.Parallel()
	o := start(t, "")
	o.Send(http.MethodPost, "/_sim/groups", map[string]any{"name": "club"})
	o.ByHand(http.MethodPost, "club", "ana", "bo", "carol", "dan", "eve")
	id := o.Group("club").ID
	o.Admit(activitytest.AutoAdopt + `
rules:
  - {name: no-bo, owner: ana@example.com, mode: observe, when: 'email == "bo@example.com"', deny: ["group:club"]}
protected:
  - {target: "group:club", maximum: 3, minimum: 1}
`)
	o.VerifyEverybody()
	o.Send(http.MethodDelete, "/_sim/groups/club", nil)
	o.SweepAndJudge()
	require.Equal(t, "ana bo carol dan eve", o.members(id))
	require.Empty(t, o.answers(o.restore(id, ""))["bo"], "a rule that observes denies nothing")
	text := o.PolicyText(activitytest.AutoAdopt + `
rules:
  - {name: no-bo, owner: ana@example.com, mode: enforce, when: 'email == "bo@example.com"', deny: ["group:club"]}
protected:
  - {target: "group:club", maximum: 3, minimum: 1}
`)
	o.Send(http.MethodPost, "/_sim/groups", map[string]any{"name": "club"})
	o.Policy = activitytest.Must[reconcile.AdmitResult](o.SimulatedOrg, o.Acts.Reconcile.Admit, o.AdmitIn(text)).Policy
	o.VerifyEverybody()
	r := o.restore(id, "")
	require.Contains(t, o.answers(r)["bo"], "rule no-bo denies it")
	r.approve()
	full := 0
	for label, result := range r.write() {
		if result.State == access.Refused {
			require.Contains(t, result.Answer, "protected.maximum", label)
			full++
		}
	}
	require.Equal(t, 1, full)
	require.Len(t, o.names("club"), 3)
	require.Equal(t, 1, r.check().Differing)
}

// TestRestoreRefuses: a synced group of the name, a group that is there, an unknown one.
func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	o := start(t, "")
	id := o.Group("eng").ID
	o.DeleteSource("eng")
	o.SweepAndJudge()
	o.CreateSource("eng", "ana")
	refused := func(group, name string) string {
		_, err := activitytest.Call[groups.BeginRestoreResult](o.SimulatedOrg, o.Acts.Groups.BeginRestore,
			groups.BeginRestoreInput{RestoreRunInput: groups.RestoreRunInput{RunInput: o.NewRun(), Group: group},
				Name: name, By: "bo", Started: o.Clock()})
		require.Error(t, err)
		return err.Error()
	}
	require.Contains(t, refused(id, ""), "an identity provider owns group eng")
	require.Contains(t, refused("eng", ""), "a restore is named by the group's id")
	for _, name := range []string{"a\nb", " eng", strings.Repeat("x", 256)} {
		require.Contains(t, refused(id, name), "cannot be the name of a group")
	}
	require.Contains(t, refused("nothing", ""), "there is no record")
	require.Contains(t, refused(o.Group("support").ID, ""), "an identity provider owns group support")

	r := o.restore(id, "eng again")
	require.Equal(t, "eng", r.lost.Was)
	r.approve()
	r.write()
	require.Zero(t, r.check().Differing)
	require.Equal(t, []string{"ana", "bo", "carol", "dan", "eve", "kim"}, o.names("eng again"))
}

// TestRestoreAdds: a local group of the name, which somebody has made meanwhile, gets only what it lacks.
func TestRestoreAdds(t *testing.T) {
	t.Parallel()
	o := start(t, "")
	id := o.Group("eng").ID
	o.DeleteSource("eng")
	o.SweepAndJudge()
	o.Send(http.MethodPost, "/_sim/groups", map[string]any{"name": "ENG"})
	o.ByHand(http.MethodPost, "ENG", "ana", "jo")
	r := o.restore(id, "")
	require.True(t, r.lost.Exists)
	require.Equal(t, 1, count(r.counts, messages.RestoreAlready))
	require.Equal(t, 6, r.hold.Adds, "a role and five members")
	r.approve()
	r.write()
	seen := r.check()
	require.Zero(t, seen.Differing, seen.Differs)
	require.Equal(t, []string{"ana", "bo", "carol", "dan", "eve", "jo", "kim"}, o.names("ENG"))
}

// TestRestoreOfAnEmptiedGroup: a local group that somebody emptied is filled again by its record.
func TestRestoreOfAnEmptiedGroup(t *testing.T) {
	t.Parallel()
	o := start(t, "")
	o.Send(http.MethodPost, "/_sim/groups", map[string]any{"name": "club"})
	o.ByHand(http.MethodPost, "club", "ana", "bo", "carol")
	o.VerifyEverybody()
	o.ByHand(http.MethodDelete, "club", "ana", "bo", "carol")
	o.VerifyEverybody()
	r := o.restore(o.Group("club").ID, "")
	require.True(t, r.lost.Exists)
	require.Empty(t, r.begun.ByHand, "it is the group that everything names")
	require.Equal(t, 3, r.hold.Adds)
	r.approve()
	r.write()
	require.Zero(t, r.check().Differing)
	require.Equal(t, []string{"ana", "bo", "carol"}, o.names("club"))
	o.VerifyEverybody()
	require.Zero(t, o.record(o.Group("club").ID).Doubted)
}

// TestRestoreShortage: an app without licences takes no more people; the difference names each of them.
func TestRestoreShortage(t *testing.T) {
	t.Parallel()
	o := start(t, "")
	id := o.Group("eng").ID
	o.DeleteSource("eng")
	o.SweepAndJudge()
	licences := map[string]int{}
	for _, r := range o.Sim.State().Resources {
		licences[r.App+"/"+r.Site] = r.Seats + 2
	}
	o.Configure(func(s *cloud.Settings) { s.Licences = licences })
	r := o.restore(id, "")
	r.approve()
	short := 0
	for _, result := range r.write() {
		if result.State == access.Shortage {
			require.True(t, result.Closed)
			short++
		}
	}
	require.Equal(t, 4, short)
	require.Equal(t, 4, r.check().Differing)
}

// TestRestoreUnderAnotherPolicy: nothing is written under a policy that the preview did not see.
func TestRestoreUnderAnotherPolicy(t *testing.T) {
	t.Parallel()
	o := start(t, "")
	id := o.Group("eng").ID
	o.DeleteSource("eng")
	o.SweepAndJudge()
	r := o.restore(id, "")
	r.approve()
	o.Admit(activitytest.OpenGuard)
	for label, result := range r.write() {
		require.Equal(t, access.Superseded, result.State, label)
	}
	require.Contains(t, r.check().Differs[0], "another policy")
}

// TestRestoreIsDismissed: a rejected preview ends the finding, and leaves the record.
func TestRestoreIsDismissed(t *testing.T) {
	t.Parallel()
	o := start(t, "")
	id := o.Group("eng").ID
	o.DeleteSource("eng")
	o.SweepAndJudge()
	r := o.restore(id, "")
	activitytest.Must[reconcile.DecideResult](o.SimulatedOrg, o.Acts.Reconcile.Decide, reconcile.DecideInput{
		Org: "acme", Decision: ledger.Reject, Restore: id,
		DecisionInput: messages.DecisionInput{Plan: r.hold.Plan, By: "bo"}})
	r.end(messages.RestoreRejected)
	_, verdict := o.SweepAndJudge()
	require.Empty(t, lostFindings(verdict.Findings))
	require.Equal(t, ledger.GroupDismissed, o.record(id).Outcome)
	require.NotNil(t, o.restore(id, "").hold, "it can be restored nevertheless")
}

// TestRecordsSurvive: emptied first, or not shown by a search that was cut short.
func TestRecordsSurvive(t *testing.T) {
	t.Parallel()
	o := start(t, "")
	id := o.Group("eng").ID
	o.Leave("eng", "ana", "bo", "carol", "dan", "eve", "kim")
	o.VerifyEverybody()
	require.NotZero(t, o.record(id).Doubted)
	o.DeleteSource("eng")
	_, verdict := o.SweepAndJudge()
	require.Contains(t, lostFindings(verdict.Findings)[0], "6 members")
	require.Equal(t, "ana bo carol dan eve kim", o.members(id))
}

// TestRecordsNeedProof: a group that a search leaves out is lost only if there is none of its id.
func TestRecordsNeedProof(t *testing.T) {
	t.Parallel()
	o := start(t, "")
	id := o.Group("eng").ID
	o.Inject(cloud.Fault{Operations: []string{"groups.get"}, Kind: cloud.FaultStatus})
	o.DeleteSource("eng")
	o.SweepAndJudge()
	require.Zero(t, o.record(id).Lost)
	o.Sim.ClearFaults("")
	o.SweepAndJudge()
	require.NotZero(t, o.record(id).Lost)
}

// TestRefresh: the record of one group is read before it is deleted.
func TestRefresh(t *testing.T) {
	t.Parallel()
	o := start(t, "")
	id := o.Group("eng").ID
	o.Join("eng", "lea")
	o.open("support")
	run := o.NewRun()
	s, err := o.Acts.Env.Open(t.Context(), "acme", o.Policy)
	require.NoError(t, err)
	require.NoError(t, groups.Refresh(t.Context(), s, run.Run, id))
	require.Equal(t, "ana bo carol dan eve kim lea", o.members(id))
	require.NoError(t, groups.Refresh(t.Context(), s, run.Run, o.Group("support").ID))
	require.Len(t, o.record(o.Group("support").ID).Roles, 1)
	o.DeleteSource("eng")
	require.Error(t, groups.Refresh(t.Context(), s, run.Run, id))
	require.Equal(t, "ana bo carol dan eve kim lea", o.members(id))
	require.Empty(t, o.unexplained())
}

// TestRecordsAreCheap: roles are read once a day, and not of groups that give none.
func TestRecordsAreCheap(t *testing.T) {
	t.Parallel()
	o := start(t, "")
	verify := func() int {
		return o.Calls(func() { o.VerifyEverybody() })["role-assignments.list"]
	}
	before := verify()
	o.open("support")
	require.Equal(t, before+1, verify(), "the group search shows a change")
	require.Equal(t, before, verify())
	require.Equal(t, []string{"user of jira-software/acme"}, o.record("support").Roles)
	o.Advance(25 * time.Hour)
	open := 0
	for _, g := range o.Sim.State().Groups {
		if len(g.Roles) > 0 {
			open++
		}
	}
	require.Equal(t, open, verify(), "once a day")
	require.Equal(t, before, verify())
}

// TestRecordsHaveDefaultMarks: of a default group, the preview says what no API can restore.
func TestRecordsHaveDefaultMarks(t *testing.T) {
	t.Parallel()
	o := start(t, "")
	var was cloud.StateGroup
	for _, g := range o.Sim.State().Groups {
		if len(g.Roles) == 1 && g.Roles[0].Default && g.Roles[0].App == "jira-software" {
			was = g
		}
	}
	require.NotEmpty(t, was.ID)
	require.Equal(t, []string{"user of jira-software/acme"}, o.record(was.ID).Defaults)
	o.Send(http.MethodDelete, "/_sim/groups/"+was.Name, nil)
	o.SweepAndJudge()
	r := o.restore(was.ID, "")
	require.Contains(t, r.begun.ByHand[0], "a default group for user of jira-software/acme")
	require.Contains(t, r.begun.ByHand[1], messages.NotInRecords)
	r.approve()
	r.write()
	require.Zero(t, r.check().Differing)
	require.False(t, o.Group(was.Name).Roles[0].Default)
}

// TestRecordsHaveBothIDs: of a synced group, that of a SCIM directory of the policy, which is asked once a day.
func TestRecordsHaveBothIDs(t *testing.T) {
	t.Parallel()
	o := &recorded{activitytest.New(t)}
	options := o.Options()
	options.Secret = func(_, ref string) (string, error) {
		if ref == "env:SCIM" {
			return cloud.DefaultSCIMKey, nil
		}
		return o.Key, nil
	}
	o.Acts = activities.New(activities.Options{Options: options})
	o.Admit(activitytest.AutoAdopt + fmt.Sprintf(`
sources:
  - {name: hr, kind: file, folder: /exports, key: number, enabled: {column: status, no: [left]}, groupsFile: groups.csv}
provision:
  - {name: staff, from: [hr], directory: {id: %q, key: "env:SCIM"}, attributes: {userName: email}}
`, o.Sim.Info().SCIMDirectoryID))
	asked := func() int { return o.Calls(func() { o.SweepAndJudge() })["scim.groups.list"] }
	require.Equal(t, 1, asked())
	for _, name := range []string{"eng", "support"} {
		g := o.record(o.Group(name).ID)
		require.Equal(t, o.Group(name).SCIMGroupID, g.SCIM)
		require.Equal(t, o.Sim.Info().SCIMDirectoryID, g.Directory)
	}
	require.Zero(t, asked())
	require.Empty(t, o.record(o.Group("builders").ID).SCIM)
	o.CreateSource("new")
	require.Equal(t, 1, asked())
	require.Equal(t, o.Group("new").SCIMGroupID, o.record(o.Group("new").ID).SCIM)
}
