package reconcile_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/sources"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// followed is a simulated organization with a source whose groups a test writes, by key: name and members.
type followed struct {
	*activitytest.SimulatedOrg
	groups map[string]sourceGroup
}

type sourceGroup struct {
	name    string
	members []string
}

// newFollowed starts an organization whose people are all in the source hr, by their names, with local groups.
func newFollowed(t *testing.T, entries string, local ...cloud.OrgGroup) *followed {
	t.Helper()
	people := []string{"boss", "ana", "bo", "carol", "dan"}
	o := &followed{activitytest.NewOf(t, cloud.OrgFile{Domains: []string{"acme.example"}, People: people,
		Admins: []string{"boss"}, Local: local}), map[string]sourceGroup{}}
	o.admit(entries)
	return o
}

func (o *followed) admit(entries string) { o.T.Helper(); o.admitWith("auto", entries) }

func (o *followed) admitWith(adopt, entries string) {
	o.T.Helper()
	admitted := activitytest.Must[reconcile.AdmitResult](o.SimulatedOrg, o.Acts.Reconcile.Admit, o.AdmitIn(fmt.Sprintf(`
version: 1
organization: {name: acme, id: %s, key: "env:KEY"}
sources: [{name: hr, kind: file, folder: /exports, key: number, groupsFile: groups.csv, link: any}]
guard: {adopt: %s}
groups:
%s
`, o.Sim.Info().OrgID, adopt, entries)))
	o.Policy = admitted.Policy
}

// read stores what two complete reads of the source show.
func (o *followed) read() {
	o.T.Helper()
	ctx := o.T.Context()
	for range 2 {
		now := o.Clock()
		number, err := o.Ledger.BeginSourceRead(ctx, activitytest.Org, "hr", now)
		require.NoError(o.T, err)
		_, known, err := o.Ledger.SourceDigests(ctx, activitytest.Org, "hr")
		require.NoError(o.T, err)
		var rows []ledger.Identity
		for _, p := range o.Sim.State().People {
			if address, is := p.Email, strings.Contains(p.Email, "@"); is {
				rows = append(rows, ledger.Identity{Source: "hr", Key: strings.Split(address, "@")[0], Address: address,
					Digest: address})
			}
		}
		_, err = o.Ledger.SaveIdentities(ctx, activitytest.Org, "hr", number, rows, now)
		require.NoError(o.T, err)
		var groups []ledger.SourceGroup
		for _, key := range slices.Sorted(maps.Keys(o.groups)) {
			g := o.groups[key]
			groups = append(groups, ledger.SourceGroup{Source: "hr", Key: key, Name: "hr:" + g.name, Members: g.members,
				Digest: fmt.Sprint(g)})
			delete(known, key)
		}
		if len(groups) > 0 {
			_, err = o.Ledger.SaveSourceGroups(ctx, activitytest.Org, "hr", number, groups, now)
			require.NoError(o.T, err)
		}
		require.NoError(o.T, o.Ledger.EndSourceRead(ctx, activitytest.Org, "hr", number, ledger.End{As: "x",
			People: len(rows), MissingGroups: slices.Sorted(maps.Keys(known))}, now))
		o.Advance(time.Minute)
		_, err = o.Ledger.ConcludeMissing(ctx, activitytest.Org, "hr", now.Add(-30*time.Second))
		require.NoError(o.T, err)
	}
}

// verify is a full verification that writes what it may; it returns what became of the changes, and the verdict.
func (o *followed) verify() (map[string]access.ChangeState, reconcile.JudgeResult) {
	o.T.Helper()
	run, verdict := o.SweepAndJudge()
	written := activitytest.States(o.Write(run))
	o.Finish(run, messages.ScopeFull)
	o.Advance(time.Minute)
	return written, verdict
}

// conflict returns the only conflict.
func (o *followed) conflict() messages.GroupConflict {
	o.T.Helper()
	answer := o.Ask(messages.ReportInput{Org: activitytest.Org, Kind: messages.ReportConflicts})
	require.Len(o.T, answer.Conflicts, 1)
	return answer.Conflicts[0]
}

func (o *followed) decide(accept bool, hash string) (group string, err error) {
	return activitytest.Call[string](o.SimulatedOrg, o.Acts.Sources.DecideConflict, sources.DecideConflictInput{
		Org: activitytest.Org, Accept: accept, ConflictInput: messages.ConflictInput{Conflict: hash, By: "boss", Note: "CHG-1"}})
}

func TestAMissingGroupIsMadeAndFilled(t *testing.T) {
	t.Parallel()
	o := newFollowed(t, `- {name: teams, from: ["hr:team-*"], create: true}`)
	o.groups["g1"] = sourceGroup{"team-web", []string{"ana", "bo"}}
	o.read()
	written, verdict := o.verify()
	require.Nil(t, verdict.Hold)
	require.Equal(t, map[string]access.ChangeState{"add ana@acme.example to group:team-web": access.Done,
		"add bo@acme.example to group:team-web": access.Done}, written)
	require.Equal(t, "ana bo", o.Members("team-web"))

	// A change of the source is a change of the group, and nothing else is.
	o.groups["g1"] = sourceGroup{"team-web", []string{"bo", "carol"}}
	o.read()
	written, _ = o.verify()
	require.Equal(t, map[string]access.ChangeState{"add carol@acme.example to group:team-web": access.Done,
		"remove ana@acme.example from group:team-web": access.Done}, written)
	written, _ = o.verify()
	require.Empty(t, written)

	// A new name of the source's group changes nothing but is told; who leaves meanwhile is not kept by it.
	o.groups["g1"] = sourceGroup{"team-internet", []string{"bo", "dan"}}
	o.read()
	written, verdict = o.verify()
	require.Equal(t, map[string]access.ChangeState{"add dan@acme.example to group:team-web": access.Done,
		"remove carol@acme.example from group:team-web": access.Done}, written)
	require.Contains(t, strings.Join(verdict.Findings, "\n"), "group-renamed hr:team-internet")
	require.Nil(t, verdict.Hold)

	// A search that leaves the group out has no other made in its place.
	o.Inject(cloud.Fault{Operations: []string{"groups.search"}, Kind: cloud.FaultEmptyPage, Count: 1})
	written, verdict = o.verify()
	require.Empty(t, written)
	require.Contains(t, strings.Join(verdict.Findings, "\n"), "group-renamed hr:team-internet")
	require.False(t, slices.ContainsFunc(o.Sim.State().Groups,
		func(g cloud.StateGroup) bool { return g.Name == "team-internet" }))
}

func TestAGroupThatIsGoneFromTheSourceIsHeldByName(t *testing.T) {
	t.Parallel()
	o := newFollowed(t, `- {name: teams, from: ["hr:team-*"], create: true}`)
	o.groups["g1"] = sourceGroup{"team-web", []string{"ana"}}
	o.groups["g2"] = sourceGroup{"team-ops", []string{"bo", "carol", "dan"}}
	o.read()
	o.verify()
	delete(o.groups, "g1")
	o.read()
	written, verdict := o.verify()
	require.Empty(t, written)
	require.NotNil(t, verdict.Hold)
	require.Equal(t, 1, verdict.Hold.Removals)
	require.Contains(t, strings.Join(verdict.Hold.Rules, "\n"), "group-delete")
	require.Contains(t, strings.Join(verdict.Hold.Rules, "\n"),
		"hr:team-web is no longer in its source: all 1 people whom it put into team-web")
	require.Equal(t, "ana", o.Members("team-web"))

	// Made anew under another key with other people, it takes a decision.
	o.groups["g3"] = sourceGroup{"team-web", []string{"bo"}}
	o.read()
	_, verdict = o.verify()
	require.Equal(t, "ana", o.Members("team-web"))
	require.Contains(t, strings.Join(verdict.Findings, "\n"), "group-conflict team-web")
	group, err := o.decide(true, o.conflict().Conflict)
	require.NoError(t, err)
	require.Equal(t, "team-web", group)
	o.verify()
	require.Equal(t, "bo", o.Members("team-web"))
}

// TestWhatWasApprovedIsNotHeldAgain: a look at a few people that comes between an approval and its writes leaves these
// to the approved run, unless it finds that they are no longer called for.
func TestWhatWasApprovedIsNotHeldAgain(t *testing.T) {
	t.Parallel()
	o := newFollowed(t, `- {name: teams, from: ["hr:team-*"], create: true}`)
	o.groups["g1"] = sourceGroup{"team-web", []string{"ana", "bo"}}
	o.groups["g2"] = sourceGroup{"team-ops", []string{"carol"}}
	o.read()
	o.verify()
	gone := o.groups["g1"]
	delete(o.groups, "g1")
	o.read()
	run, verdict := o.SweepAndJudge()
	o.Finish(run, messages.ScopeFull)
	o.DecideHold(ledger.Approve, verdict.Hold)
	again := o.LookTwice("ana@acme.example")
	require.Nil(t, again.Hold, "nobody is asked twice")
	require.Equal(t, map[string]access.ChangeState{"remove ana@acme.example from group:team-web": access.Done,
		"remove bo@acme.example from group:team-web": access.Done}, activitytest.States(o.WriteSome(run, true)))

	o.groups["g1"] = gone
	o.read()
	o.verify()
	require.Equal(t, "ana bo", o.Members("team-web"))
	delete(o.groups, "g1")
	o.read()
	run, verdict = o.SweepAndJudge()
	o.Finish(run, messages.ScopeFull)
	o.DecideHold(ledger.Approve, verdict.Hold)
	o.groups["g1"] = gone
	o.read()
	require.Nil(t, o.LookTwice("ana@acme.example", "bo@acme.example").Hold)
	require.Empty(t, o.WriteSome(run, true))
	require.Equal(t, "ana bo", o.Members("team-web"))
}

// TestWhomAPersonKeptIsAConflictOfTheNextGroup: the rejection keeps the people of a group that is gone, and does not
// speak for another group that is made later.
func TestWhomAPersonKeptIsAConflictOfTheNextGroup(t *testing.T) {
	t.Parallel()
	o := newFollowed(t, `- {name: teams, from: ["hr:team-*"], create: true}`)
	o.groups["g1"] = sourceGroup{"team-web", []string{"ana", "bo"}}
	o.groups["g2"] = sourceGroup{"team-ops", []string{"carol"}}
	o.read()
	o.verify()
	delete(o.groups, "g1")
	o.read()
	_, verdict := o.verify()
	require.NotNil(t, verdict.Hold)
	o.DecideHold(ledger.Reject, verdict.Hold)
	written, verdict := o.verify()
	require.Empty(t, written)
	require.Nil(t, verdict.Hold)

	o.groups["g3"] = sourceGroup{"team-web", []string{"ana"}}
	o.read()
	_, verdict = o.verify()
	require.Contains(t, strings.Join(verdict.Findings, "\n"), "group-conflict team-web")
	require.Equal(t, "ana bo", o.Members("team-web"))
	require.Equal(t, []int{0, 1}, []int{o.conflict().Missing, o.conflict().Extra})
	_, err := o.decide(true, o.conflict().Conflict)
	require.NoError(t, err)
	o.verify()
	require.Equal(t, "ana", o.Members("team-web"))
	_, verdict = o.verify()
	require.Nil(t, verdict.Hold)
	require.Empty(t, o.Ask(messages.ReportInput{Org: activitytest.Org, Kind: messages.ReportConflicts}).Conflicts)
}

func TestAGroupWithTheSameMembersFollowsWithoutAWrite(t *testing.T) {
	t.Parallel()
	o := newFollowed(t, `- {name: teams, from: ["hr:team-*"]}`, cloud.OrgGroup{Name: "Team-Web", Members: []string{"ana", "bo"}})
	o.groups["g1"] = sourceGroup{"team-web", []string{"ana", "bo"}}
	o.read()
	written, verdict := o.verify()
	require.Empty(t, written)
	require.NotContains(t, strings.Join(verdict.Findings, "\n"), "group-conflict")
	_, verdict = o.verify()
	require.Equal(t, 2, verdict.Counts.Adopts)
	o.groups["g1"] = sourceGroup{"team-web", []string{"ana"}}
	o.read()
	written, _ = o.verify()
	require.Equal(t, map[string]access.ChangeState{"remove bo@acme.example from group:Team-Web": access.Done}, written)
}

// TestGroupsThatNobodyProvesToBeTheSame: a group that opens an app is not given to whoever comes into an empty group of
// the source just because of its name.
func TestGroupsThatNobodyProvesToBeTheSame(t *testing.T) {
	t.Parallel()
	o := newFollowed(t, `- {name: teams, from: ["hr:team-*"]}`, cloud.OrgGroup{Name: "team-none"},
		cloud.OrgGroup{Name: "team-jira", Roles: []cloud.OrgRole{{App: "jira", Site: "acme", Role: "user"}}})
	o.groups["g1"], o.groups["g2"] = sourceGroup{"team-jira", nil}, sourceGroup{"team-none", nil}
	o.groups["g3"] = sourceGroup{"staff", []string{"bo"}}
	o.read()
	for range 2 {
		_, verdict := o.verify()
		require.Contains(t, strings.Join(verdict.Findings, "\n"), "group-conflict team-jira: that its members are those of")
		require.NotContains(t, strings.Join(verdict.Findings, "\n"), "group-conflict team-none", "it opens nothing")
	}
	c := o.conflict()
	require.Equal(t, []int{0, 0}, []int{c.Missing, c.Extra})
	answer := o.Ask(messages.ReportInput{Org: activitytest.Org, Kind: messages.ReportConflicts, ID: "team-jira"})
	require.Equal(t, []messages.ConflictPerson{}, answer.Conflicted)
	o.groups["g2"] = sourceGroup{"team-none", []string{"bo"}}
	o.read()
	written, _ := o.verify()
	require.Equal(t, map[string]access.ChangeState{"add bo@acme.example to group:team-none": access.Done}, written)

	_, err := o.decide(true, c.Conflict)
	require.NoError(t, err)
	o.groups["g1"] = sourceGroup{"team-jira", []string{"ana"}}
	o.read()
	written, _ = o.verify()
	require.Equal(t, map[string]access.ChangeState{"add ana@acme.example to group:team-jira": access.Done}, written)
}

func TestAConflictIsDecidedOnce(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T) *followed {
		o := newFollowed(t, `- {name: teams, from: ["hr:team-*"]}`, cloud.OrgGroup{Name: "team-web", Members: []string{"ana", "dan"}})
		o.groups["g1"] = sourceGroup{"team-web", []string{"ana", "bo"}}
		o.read()
		written, verdict := o.verify()
		require.Empty(t, written)
		require.Contains(t, strings.Join(verdict.Findings, "\n"), "group-conflict team-web")
		c := o.conflict()
		require.Equal(t, []int{1, 1}, []int{c.Missing, c.Extra})
		people := o.Ask(messages.ReportInput{Org: activitytest.Org, Kind: messages.ReportConflicts, ID: "TEAM-web"}).Conflicted
		require.Equal(t, []messages.ConflictPerson{
			{Account: o.AccountID("dan"), Email: "dan@acme.example"},
			{Account: o.AccountID("bo"), Email: "bo@acme.example", Missing: true}}, people)
		return o
	}
	t.Run("accepted: exactly what was shown is written", func(t *testing.T) {
		t.Parallel()
		o := start(t)
		shown := o.conflict().Conflict
		_, err := o.decide(true, shown)
		require.NoError(t, err)
		_, err = o.decide(true, shown)
		require.NoError(t, err, "a repeat changes nothing")
		_, err = o.decide(false, shown)
		require.ErrorContains(t, err, "boss has accepted it", "a run may be writing it already")
		o.ByHand(http.MethodPost, "team-web", "carol") // after the decision
		o.Restart()
		written, verdict := o.verify()
		require.Equal(t, map[string]access.ChangeState{"add bo@acme.example to group:team-web": access.Done,
			"remove dan@acme.example from group:team-web": access.Done}, written)
		require.Equal(t, "ana bo carol", o.Members("team-web"))
		require.Contains(t, strings.Join(verdict.Findings, "\n"), "group-conflict team-web", "carol was not decided about")
		require.Equal(t, 1, o.conflict().Extra)
		require.True(t, o.conflict().Follows)
		_, err = o.decide(true, shown)
		require.Error(t, err, "it is another difference now")
		_, err = o.decide(true, o.conflict().Conflict)
		require.NoError(t, err)
		o.verify()
		require.Equal(t, "ana bo", o.Members("team-web"))
		require.Empty(t, o.Ask(messages.ReportInput{Org: activitytest.Org, Kind: messages.ReportConflicts}).Conflicts)

		// The acceptance is used up: somebody who adds dan again is not overruled without a new decision.
		o.ByHand(http.MethodPost, "team-web", "dan")
		o.verify()
		require.Equal(t, "ana bo dan", o.Members("team-web"))
	})
	t.Run("rejected: quiet until the difference changes", func(t *testing.T) {
		t.Parallel()
		o := start(t)
		_, err := o.decide(false, o.conflict().Conflict)
		require.NoError(t, err)
		o.Restart()
		for range 2 {
			written, verdict := o.verify()
			require.Empty(t, written)
			require.NotContains(t, strings.Join(verdict.Findings, "\n"), "group-conflict")
			c := o.conflict()
			require.Equal(t, []string{ledger.DecisionRejected, "boss", "CHG-1"}, []string{c.Decision, c.By, c.Note})
		}
		o.ByHand(http.MethodPost, "team-web", "carol")
		_, verdict := o.verify()
		require.Contains(t, strings.Join(verdict.Findings, "\n"), "group-conflict team-web")
		require.Empty(t, o.conflict().Decision)
		o.ByHand(http.MethodDelete, "team-web", "carol")
		_, verdict = o.verify()
		require.Contains(t, strings.Join(verdict.Findings, "\n"), "group-conflict team-web", "it was another one meanwhile")
	})
	t.Run("forged decisions count for nothing", func(t *testing.T) {
		t.Parallel()
		o := start(t)
		o.Forge(`UPDATE group_conflicts SET decision = 'accepted'`)
		o.Forge(`INSERT INTO group_links (org, source, key, name, group_id, since, by_whom) VALUES ('acme', 'hr', 'g1', 'hr:team-web', ?, 0, '')`,
			o.Group("team-web").ID)
		o.Forge(`INSERT INTO group_accepted (org, person, group_id, hash, since) VALUES ('acme', ?, ?, 'x', 0)`, o.AccountID("dan"),
			o.Group("team-web").ID)
		written, _ := o.verify()
		require.Empty(t, written)
		require.Equal(t, "ana dan", o.Members("team-web"))
		require.Empty(t, o.conflict().Decision)
	})
}

func TestAConflictNobodyAskedAboutIsNotAccepted(t *testing.T) {
	t.Parallel()
	o := newFollowed(t, `- {name: teams, from: ["hr:other-*"]}`, cloud.OrgGroup{Name: "team-web", Members: []string{"ana"}})
	o.groups["g1"] = sourceGroup{"team-web", []string{"bo"}}
	o.groups["g2"] = sourceGroup{"other-x", nil}
	o.read()
	_, verdict := o.verify()
	require.NotContains(t, strings.Join(verdict.Findings, "\n"), "group-conflict", "the policy does not have it follow")
	c := o.conflict()
	_, err := o.decide(true, c.Conflict)
	require.ErrorContains(t, err, "add an entry to groups first")
	_, err = o.decide(true, "sha256:no")
	require.ErrorContains(t, err, "no difference between groups has the hash")
}

// A group that appears in the source, and is there at Atlassian, is compared without waiting for the next verification.
func TestExamineHasGroupsThatAppearedCompared(t *testing.T) {
	t.Parallel()
	o := newFollowed(t, `- {name: teams, from: ["hr:team-*"]}`, cloud.OrgGroup{Name: "team-web", Members: []string{"dan"}})
	o.read()
	o.verify()
	require.False(t, o.Examine(o.NewRun(), "", o.AccountID("ana")).ToCreate)
	o.groups["g1"] = sourceGroup{"team-web", []string{"ana"}}
	o.read()
	require.True(t, o.Examine(o.NewRun(), "", o.AccountID("ana")).ToCreate)
	o.verify()
	require.False(t, o.Examine(o.NewRun(), "", o.AccountID("ana")).ToCreate, "it is a conflict now, which waits for a person")
}
