package provisioning_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/apply"
	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/provisioning"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
)

// batchOfLinks is a batch being played: what the workflow Link does, step by step.
type batchOfLinks struct {
	*provisioned
	in   provisioning.LinkRunInput
	hold *messages.Hold
	at   time.Time
}

// batch begins a batch, up to its hold.
func (o *provisioned) batch(people ...string) *batchOfLinks {
	o.T.Helper()
	b := &batchOfLinks{provisioned: o, at: o.Clock()}
	b.in = provisioning.LinkRunInput{Batch: "pilot",
		RunInput: provisioning.RunInput{RunInput: o.NewRun(), Provision: "staff"}}
	picked := activitytest.Must[provisioning.PickLinksResult](o.SimulatedOrg, o.Acts.Provisioning.PickLinks,
		provisioning.PickLinksInput{LinkRunInput: b.in, People: people, Most: 100, By: "bo", Started: o.Clock()})
	require.Equal(o.T, o.Policy, picked.Policy)
	o.preview(b.in)
	b.hold = activitytest.Must[provisioning.JudgeLinksResult](o.SimulatedOrg, o.Acts.Provisioning.JudgeLinks,
		provisioning.JudgeLinksInput{LinkRunInput: b.in}).Hold
	return b
}

func (o *provisioned) preview(in provisioning.LinkRunInput) {
	activitytest.Must[provisioning.PreviewLinksResult](o.SimulatedOrg, o.Acts.Provisioning.PreviewLinks,
		provisioning.PreviewLinksInput{LinkRunInput: in})
}

func (b *batchOfLinks) approve() {
	b.T.Helper()
	activitytest.Must[reconcile.DecideResult](b.SimulatedOrg, b.Acts.Reconcile.Decide, reconcile.DecideInput{
		Org: "acme", Decision: ledger.Approve, Batch: "pilot",
		DecisionInput: messages.DecisionInput{Plan: b.hold.Plan, By: "bo"}})
}

// wave writes the next wave as the organization's loop does, and compares it.
func (b *batchOfLinks) wave(number, size int) provisioning.CheckWaveResult {
	b.T.Helper()
	next := activitytest.Must[[]string](b.SimulatedOrg, b.Acts.Provisioning.NextWave,
		provisioning.NextWaveInput{LinkRunInput: b.in, Wave: number, Size: size})
	approved := true
	lines := activitytest.Must[apply.NextResult](b.SimulatedOrg, b.Acts.Apply.Next, apply.NextInput{
		RunInput: b.in.RunInput.RunInput, Actions: []access.Action{access.Add}, Approved: &approved, Limit: 100,
		Identities: next})
	require.Len(b.T, lines.Lines, len(next), "the wave's lines alone are written")
	for _, l := range lines.Lines {
		result := activitytest.Must[apply.ChangeResult](b.SimulatedOrg, b.Acts.Apply.Apply,
			apply.ChangeInput{RunInput: b.in.RunInput.RunInput, Person: l.Person, Target: l.Target})
		require.Equal(b.T, access.Done, result.State, result.Answer)
	}
	return b.check(next)
}

func (b *batchOfLinks) check(identities []string) provisioning.CheckWaveResult {
	b.T.Helper()
	return activitytest.Must[provisioning.CheckWaveResult](b.SimulatedOrg, b.Acts.Provisioning.CheckWave,
		provisioning.CheckWaveInput{LinkRunInput: b.in, Identities: identities, Since: b.at, Last: true})
}

func (b *batchOfLinks) end(state string) {
	b.T.Helper()
	activitytest.Must[provisioning.EndLinksResult](b.SimulatedOrg, b.Acts.Provisioning.EndLinks,
		provisioning.EndLinksInput{LinkRunInput: b.in, State: state})
}

// makeAdmin makes somebody an administrator of the organization, by hand.
func (o *provisioned) makeAdmin(name string) {
	o.T.Helper()
	id := o.Sim.Info().OrgID
	o.Admin(http.MethodPost, "/admin/v1/orgs/"+id+"/users/"+o.AccountID(name)+"/roles/assign",
		`{"role":"atlassian/org-admin","resource":"ari:cloud:platform::org/`+id+`"}`)
}

// outcomes are what became of the people, by key.
func (b *batchOfLinks) outcomes() map[string]string {
	b.T.Helper()
	all := map[string]string{}
	for _, k := range b.Ask(messages.ReportInput{Org: "acme", Kind: messages.ReportLinks, ID: "pilot"}).Links {
		all[k.Identity] = k.Outcome
	}
	return all
}

// TestBatchesOfLinks: a preview says who is linked and what is kept; waves link that many at a time; the batch again
// says who is linked already, and writes nothing.
func TestBatchesOfLinks(t *testing.T) {
	t.Parallel()
	o := start(t, "guard: {adopt: ask}")
	o.staff["e1"] = identity{address: "ana@acme.example", more: map[string]any{"title": "Lead"}}
	o.staff["e2"] = identity{address: "bo@acme.example"}
	o.staff["e3"] = identity{address: "carol@acme.example", disabled: true}
	o.staff["e4"] = identity{address: "new@acme.example"}
	o.ByHand(http.MethodPost, "builders", "ana")
	o.makeAdmin("bo")
	o.read()
	b := o.batch("ana@acme.example", o.AccountID("bo"), "hr:e3", "hr:e4")
	require.Equal(t, map[string]string{"hr:e1": "pending", "hr:e2": "pending", "hr:e3": "not-linked",
		"hr:e4": "not-linked"}, b.outcomes())
	require.Equal(t, 2, b.hold.Adds)
	require.Contains(t, b.hold.Rules[0], "2 people")
	answer := o.Ask(messages.ReportInput{Org: "acme", Kind: messages.ReportLinks, ID: "pilot"})
	ana := answer.Links[0]
	require.Equal(t, []string{"builders"}, ana.Before.Names)
	require.Contains(t, ana.Before.Overwrites[0], "displayName: ")
	require.Contains(t, ana.Before.Locks, "email")
	require.Equal(t, []string{access.RoleOrgAdmin}, answer.Links[1].Before.Roles)
	require.Contains(t, answer.Links[2].Detail, "disabled")
	require.Contains(t, answer.Links[3].Detail, "no account")

	before := map[string]string{"ana": o.AccountID("ana"), "bo": o.AccountID("bo")}
	b.approve()
	seen := b.wave(1, 1)
	require.Empty(t, seen.Surprise)
	require.Zero(t, seen.Open+seen.Unseen)
	require.Equal(t, "linked", b.outcomes()["hr:e1"])
	require.Equal(t, "pending", b.outcomes()["hr:e2"], "the next wave's")
	require.Empty(t, b.wave(2, 10).Surprise)
	require.Empty(t, activitytest.Must[[]string](o.SimulatedOrg, o.Acts.Provisioning.NextWave,
		provisioning.NextWaveInput{LinkRunInput: b.in, Wave: 3, Size: 10}), "that was everybody")
	b.end(messages.LinkDone)
	for name, account := range before {
		require.Equal(t, account, o.record(name+"@acme.example").AccountID)
	}

	o.Advance(time.Minute)
	var again *batchOfLinks
	made := o.Calls(func() { again = o.batch("ana@acme.example", "bo@acme.example") })
	require.Nil(t, again.hold)
	require.Equal(t, map[string]string{"hr:e1": "already-linked", "hr:e2": "already-linked"}, again.outcomes())
	require.Zero(t, made["scim.users.create"]+made["scim.users.patch"], "%v", made)
}

// TestLinksStopAtASurprise: what is not as the preview shows it is told, and what was not written is not written.
func TestLinksStopAtASurprise(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]struct {
		of   func(*provisioned)
		says string
	}{
		"a group is gone": {func(o *provisioned) { o.ByHand(http.MethodDelete, "builders", "ana") }, "builders is gone"},
		"a role is new": {func(o *provisioned) {
			o.makeAdmin("ana")
		}, "is new"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := start(t, "")
			o.staff["e1"] = identity{address: "ana@acme.example"}
			o.staff["e2"] = identity{address: "bo@acme.example"}
			o.ByHand(http.MethodPost, "builders", "ana")
			o.read()
			b := o.batch("ana@acme.example", "bo@acme.example")
			b.approve()
			change.of(o)
			seen := b.wave(1, 1)
			require.Len(t, seen.Surprise, 1)
			require.Contains(t, seen.Surprise[0], change.says)
			b.end(messages.LinkStopped)
			require.Equal(t, map[string]string{"hr:e1": "surprise", "hr:e2": "left-out"}, b.outcomes())
			next := activitytest.Must[apply.NextResult](o.SimulatedOrg, o.Acts.Apply.Next, apply.NextInput{
				RunInput: b.in.RunInput.RunInput, Actions: []access.Action{access.Add}, Limit: 100})
			require.Empty(t, next.Lines)
		})
	}
}

// TestLinksOfNobody: names that lead to nobody are refused together; and a batch that is rejected rejects nobody for
// good.
func TestLinksOfNobody(t *testing.T) {
	t.Parallel()
	o := start(t, "")
	o.staff["e1"] = identity{address: "ana@acme.example"}
	o.read()
	in := provisioning.LinkRunInput{Batch: "pilot",
		RunInput: provisioning.RunInput{RunInput: o.NewRun(), Provision: "staff"}}
	_, err := activitytest.Call[provisioning.PickLinksResult](o.SimulatedOrg, o.Acts.Provisioning.PickLinks,
		provisioning.PickLinksInput{LinkRunInput: in, People: []string{"ana@acme.example", "nobody@acme.example",
			"hr:e9"}, Most: 10, By: "bo", Started: o.Clock()})
	require.ErrorContains(t, err, "2 of 3 people")
	require.ErrorContains(t, err, "hr:e9")

	b := o.batch()
	require.Nil(t, b.hold, "nobody was found to be jit-only yet: no run has decided anybody")
	o.run()
	b = o.batch()
	require.Equal(t, 1, b.hold.People)
	activitytest.Must[reconcile.DecideResult](o.SimulatedOrg, o.Acts.Reconcile.Decide, reconcile.DecideInput{
		Org: "acme", Decision: ledger.Reject, Batch: "pilot",
		DecisionInput: messages.DecisionInput{Plan: b.hold.Plan, By: "bo"}})
	b.end(messages.LinkRejected)
	_, verdict := o.run()
	require.Equal(t, 1, verdict.Open, "the provision itself still links them")
}
