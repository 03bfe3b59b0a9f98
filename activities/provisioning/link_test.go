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
	next := b.next(number, size).Identities
	approved := true
	lines := activitytest.Must[apply.NextResult](b.SimulatedOrg, b.Acts.Apply.Next, apply.NextInput{
		RunInput: b.in.RunInput.RunInput, Actions: []access.Action{access.Add}, Approved: &approved, Limit: 100,
		Identities: next, Batch: b.in.Batch})
	require.Len(b.T, lines.Lines, len(next), "the wave's lines alone are written")
	for _, l := range lines.Lines {
		result := activitytest.Must[apply.ChangeResult](b.SimulatedOrg, b.Acts.Apply.Apply,
			apply.ChangeInput{RunInput: b.in.RunInput.RunInput, Person: l.Person, Target: l.Target})
		require.Equal(b.T, access.Done, result.State, result.Answer)
	}
	return b.check(next)
}

func (b *batchOfLinks) next(number, size int) provisioning.NextWaveResult {
	b.T.Helper()
	return activitytest.Must[provisioning.NextWaveResult](b.SimulatedOrg, b.Acts.Provisioning.NextWave,
		provisioning.NextWaveInput{LinkRunInput: b.in, Wave: number, Size: size, Since: b.at})
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
	require.Equal(t, "new@acme.example", answer.Links[3].Address)

	before := map[string]string{"ana": o.AccountID("ana"), "bo": o.AccountID("bo")}
	b.approve()
	seen := b.wave(1, 1)
	require.Empty(t, seen.Surprise)
	require.Zero(t, seen.Open+seen.Unseen)
	require.Equal(t, "linked", b.outcomes()["hr:e1"])
	require.Equal(t, "pending", b.outcomes()["hr:e2"], "the next wave's")
	require.Empty(t, b.wave(2, 10).Surprise)
	require.Empty(t, b.next(3, 10).Identities, "that was everybody")
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

// TestLinksStopAtASurprise: what is not as the preview shows it stops the batch, before a wave is written or after it;
// what was not written is not written.
func TestLinksStopAtASurprise(t *testing.T) {
	t.Parallel()
	changes := map[string]struct {
		of   func(*provisioned)
		says string
	}{
		"a group is gone": {func(o *provisioned) { o.ByHand(http.MethodDelete, "builders", "ana") }, "builders is gone"},
		"a role is new":   {func(o *provisioned) { o.makeAdmin("ana") }, "is new"},
		"the account is deactivated": {func(o *provisioned) {
			o.ChangePerson("ana", map[string]any{"inactive": true})
		}, "is inactive"},
	}
	for name, change := range changes {
		for when, before := range map[string]bool{"before a wave": true, "after it": false} {
			t.Run(name+" "+when, func(t *testing.T) {
				t.Parallel()
				o := start(t, "")
				o.staff["e1"] = identity{address: "ana@acme.example", more: map[string]any{"name": "ana"}}
				o.staff["e2"] = identity{address: "bo@acme.example"}
				o.ByHand(http.MethodPost, "builders", "ana")
				o.read()
				b := o.batch("ana@acme.example", "bo@acme.example")
				b.approve()
				var surprise []string
				if before {
					change.of(o)
					next := b.next(1, 1)
					require.Empty(t, next.Identities)
					surprise = next.Surprise
					require.Equal(t, next, b.next(1, 1), "an answer may be lost")
				} else {
					require.Empty(t, b.wave(1, 1).Surprise)
					b.forget("e1")
					change.of(o)
					surprise = b.check([]string{"hr:e1"}).Surprise
					require.Equal(t, surprise, b.check([]string{"hr:e1"}).Surprise, "an answer may be lost")
				}
				require.Len(t, surprise, 1)
				require.Contains(t, surprise[0], change.says)
				b.end(messages.LinkStopped)
				require.Equal(t, map[string]string{"hr:e1": "surprise", "hr:e2": "left-out"}, b.outcomes())
				next := activitytest.Must[apply.NextResult](o.SimulatedOrg, o.Acts.Apply.Next, apply.NextInput{
					RunInput: b.in.RunInput.RunInput, Actions: []access.Action{access.Add}, Limit: 100})
				require.Empty(t, next.Lines)
			})
		}
	}
}

// forget has somebody of the batch compared once more.
func (b *batchOfLinks) forget(key string) {
	b.T.Helper()
	links, err := b.Ledger.LinksOf(b.T.Context(), "acme", "pilot", []ledger.Ref{{Source: "hr", Key: key}})
	require.NoError(b.T, err)
	links[0].Outcome = messages.LinkPending
	require.NoError(b.T, b.Ledger.SaveLinks(b.T.Context(), "acme", "pilot", b.in.Run, links))
}

// TestLinksHoldNothingOfAnotherPolicy: an approved batch writes nothing under a policy that came into force after its
// preview, such as a dry run; and nothing of a wave that it has not begun.
func TestLinksHoldNothingOfAnotherPolicy(t *testing.T) {
	t.Parallel()
	o := start(t, "")
	o.staff["e1"] = identity{address: "ana@acme.example"}
	o.read()
	b := o.batch("ana@acme.example")
	b.approve()
	approved := true
	next := activitytest.Must[apply.NextResult](o.SimulatedOrg, o.Acts.Apply.Next, apply.NextInput{
		RunInput: b.in.RunInput.RunInput, Actions: []access.Action{access.Add}, Approved: &approved, Limit: 100,
		Identities: []string{"hr:e1"}, Batch: "pilot"})
	require.Empty(t, next.Lines, "the wave was not begun")

	of := b.in.RunInput.RunInput
	o.admit("dryRun: true")
	o.VerifyEverybody()
	require.Contains(t, b.next(1, 10).Surprise[0], "another policy")
	of.Policy = o.Policy
	result := activitytest.Must[apply.ChangeResult](o.SimulatedOrg, o.Acts.Apply.Apply,
		apply.ChangeInput{RunInput: of, Person: o.AccountID("ana"), Target: access.RecordTarget("staff")})
	require.Equal(t, access.Superseded, result.State, result.Answer)
}

// TestLinksLeaveDeactivatedAccounts: nobody is activated in passing.
func TestLinksLeaveDeactivatedAccounts(t *testing.T) {
	t.Parallel()
	o := start(t, "")
	o.ChangePerson("ana", map[string]any{"inactive": true})
	o.staff["e1"] = identity{address: "ana@acme.example"}
	o.read()
	o.VerifyEverybody()
	b := o.batch("ana@acme.example")
	require.Nil(t, b.hold)
	require.Equal(t, map[string]string{"hr:e1": "not-linked"}, b.outcomes())
	_, verdict := o.run()
	require.Zero(t, verdict.Open)
	require.Contains(t, activitytest.Joined(verdict.Hold.Rules), "account-inactive")
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
