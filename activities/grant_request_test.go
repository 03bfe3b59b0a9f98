package activities_test

import (
	"net/http"
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

const helpers = access.Entitlement("group:helpers")

// judged lets three kinds of targets be granted: with two approvals, with nobody's, and with a code.
const judged = `
grants:
  - name: admins
    targets: [role:org-admin]
    eligible: in("eng")
    duration: {default: 1h, max: 4h}
    approval: {count: 2, by: [ana@example.com, carol@example.com, dan@example.com], wait: 1h}
    ticket: INC-[0-9]+
    ahead: 24h
    extend: {max: 6h, times: 2}
  - name: tools
    targets: ["group:other"]
    duration: {max: 4h}
    extend: {max: 6h, times: 1}
  - name: coded
    targets: ["group:helpers"]
    duration: {max: 4h}
    approval: {count: 1, by: [carol@example.com, dan@example.com], codes: true}
`

// adminRequest is a request that is in order.
func (w *world) adminRequest() activities.RequestGrantInput {
	in := w.requestOf("kim@example.com", access.OrgAdmin, time.Hour)
	in.Ticket = "INC-4711"
	return in
}

// all are all grants that the ledger knows.
func (w *world) all() []access.Grant {
	w.t.Helper()
	found, err := w.ledger.Grants(w.t.Context(), org, ledger.GrantFilter{})
	require.NoError(w.t, err)
	return found
}

// refuses says that an error is a refusal that names all of these, and that nothing has become of it.
func (w *world) refuses(do func() error, words ...string) {
	w.t.Helper()
	grants, woken, writes := w.all(), len(w.temporal.woken), w.sim.Stats().Writes
	app := application(w.t, do())
	require.Equal(w.t, activities.ErrRefused, app.Type(), "%v", app)
	require.True(w.t, app.NonRetryable())
	for _, word := range words {
		require.Contains(w.t, app.Message(), word)
	}
	require.NotContains(w.t, app.Message(), w.key)
	require.Equal(w.t, grants, w.all())
	require.Len(w.t, w.temporal.woken, woken)
	require.Equal(w.t, writes, w.sim.Stats().Writes)
}

func TestWhatIsNotGranted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(w *world, in *activities.RequestGrantInput)
		words  []string
	}{
		"nobody of this name": {func(_ *world, in *activities.RequestGrantInput) { in.Person = "nobody@example.com" },
			[]string{"role:org-admin for nobody@example.com", "the directory shows nobody of this name; correct it"}},
		"no such account": {func(_ *world, in *activities.RequestGrantInput) { in.Person = "712020:none" },
			[]string{"712020:none", "the directory shows nobody of this name"}},
		"not eligible": {func(_ *world, in *activities.RequestGrantInput) { in.Person = "jo@example.com" },
			[]string{"jo@example.com", "entry admins", `in("eng")`}},
		"too long": {func(_ *world, in *activities.RequestGrantInput) { in.Duration = access.Duration(5 * time.Hour) },
			[]string{"5h is too long", "ask for at most 4h"}},
		"too short": {func(_ *world, in *activities.RequestGrantInput) { in.Duration = 1 },
			[]string{"1ns is no duration", "ask for at least 1s"}},
		"another ticket": {func(_ *world, in *activities.RequestGrantInput) { in.Ticket = "INC-4711 and more" },
			[]string{"INC-4711 and more", "entry admins asks for one like INC-[0-9]+"}},
		"no ticket": {func(_ *world, in *activities.RequestGrantInput) { in.Ticket = "" }, []string{"one like INC-[0-9]+"}},
		"no reason": {func(_ *world, in *activities.RequestGrantInput) { in.Reason = " " },
			[]string{"entry admins asks for a reason; give one"}},
		"an app": {func(w *world, in *activities.RequestGrantInput) {
			w.send(http.MethodPost, "/scim/directory/"+w.sim.Info().SCIMDirectoryID+"/Users", map[string]any{
				"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:User"}, "userName": "bot@connect.atlassian.com", "active": true,
				"emails": []any{map[string]any{"value": "bot@connect.atlassian.com", "type": "work", "primary": true}}, "name": map[string]any{"formatted": "bot"}, "displayName": "bot",
			})
			in.Person = "bot@connect.atlassian.com"
		}, []string{"an app's account", "name a person"}},
		"suspended": {func(w *world, in *activities.RequestGrantInput) { w.set("kim", map[string]any{"suspended": true}) },
			[]string{"kim@example.com", "suspended", "restore it"}},
		"in the past": {func(w *world, in *activities.RequestGrantInput) { in.Start = w.clock().Add(-2 * time.Minute) },
			[]string{"is in the past; leave it out"}},
		"too far ahead": {func(w *world, in *activities.RequestGrantInput) { in.Start = w.clock().Add(25 * time.Hour) },
			[]string{"is too far ahead", "ask for one until 2026-03-03T"}},
		"ahead, where nobody may": {func(w *world, in *activities.RequestGrantInput) {
			in.Target, in.Start = other, w.clock().Add(time.Hour)
		}, []string{"entry tools lets nobody ask ahead"}},
		"not grantable": {func(_ *world, in *activities.RequestGrantInput) { in.Target = builders },
			[]string{"group:builders for kim@example.com", "no entry of the policy's grants names this target"}},
		"no target": {func(_ *world, in *activities.RequestGrantInput) { in.Target = "admins" },
			[]string{`"admins" is not an entitlement`, "write group:<name>"}},
		"a group that is gone": {func(w *world, in *activities.RequestGrantInput) {
			w.send(http.MethodDelete, "/_sim/groups/other", nil)
			w.outline(w.newRun())
			in.Target = other
		}, []string{"group:other cannot be granted now: there is no such group"}},
		"codes that nobody could be sent": {func(_ *world, in *activities.RequestGrantInput) { in.Target = helpers },
			[]string{"approval codes", "CASTELLAN_NOTIFY_SMTP"}},
		"no break-glass": {func(_ *world, in *activities.RequestGrantInput) { in.BreakGlass = true },
			[]string{"entry admins lists the people who may take it without approval"}},
		"another organization": {func(_ *world, in *activities.RequestGrantInput) { in.Org = "nowhere" },
			[]string{"organization nowhere has no policy in force"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := lending(t, judged)
			in := w.adminRequest()
			c.change(w, &in)
			w.refuses(func() error { _, err := call[messages.GrantAnswer](w, w.acts.RequestGrant, in); return err }, c.words...)
		})
	}
}

func TestAPolicyThatGrantsWhatCannotBeGivenIsRefused(t *testing.T) {
	t.Parallel()
	for target, words := range map[string]string{"group:unused": "an identity provider owns the group", "group:nowhere": "there is no such group"} {
		w := inStep(t)
		_, err := call[activities.AdmitResult](w, w.acts.Admit, w.admitIn(w.text(open+strings.Replace(judged, "group:other", target, 1))))
		app := application(t, err)
		require.Equal(t, activities.ErrPolicy, app.Type())
		require.Contains(t, app.Message(), target+": "+words)
	}
}

func TestNothingIsGrantedBeforeTheFirstPlanIsApproved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.admit(judged)
	w.planned()
	in := w.requestOf("kim@example.com", other, time.Hour)
	w.refuses(func() error { _, err := call[messages.GrantAnswer](w, w.acts.RequestGrant, in); return err }, "organization acme", "not approved yet")
}

func TestARequestIsMadeOnce(t *testing.T) {
	t.Parallel()
	w := lending(t, judged)
	in := w.adminRequest()
	first := must[messages.GrantAnswer](w, w.acts.RequestGrant, in)
	require.Equal(t, access.GrantWaiting, first.Grants[0].State)
	require.Equal(t, []string{"ana@example.com", "carol@example.com", "dan@example.com"}, first.Grants[0].Approvers)
	require.Equal(t, "grant:acme:role:org-admin:kim@example.com", first.Workflow)

	w.pass(time.Minute)
	for name, change := range map[string]func(*activities.RequestGrantInput){
		"the same":       func(*activities.RequestGrantInput) {},
		"by account id":  func(in *activities.RequestGrantInput) { in.Person = w.id("kim") },
		"another length": func(in *activities.RequestGrantInput) { in.Duration = access.Duration(2 * time.Hour) },
	} {
		again := in
		change(&again)
		answer := must[messages.GrantAnswer](w, w.acts.RequestGrant, again)
		require.Equal(t, first.Grants, answer.Grants, name)
		require.Equal(t, first.Workflow, answer.Workflow, name)
		require.Len(t, w.all(), 1, name)
	}
	require.Len(t, w.temporal.woken, 4, "a repeat wakes the workflow: it may be the first that gets so far")

	for name, change := range map[string]func(*activities.RequestGrantInput){
		"person": func(in *activities.RequestGrantInput) { in.Person = "eve@example.com" },
		"target": func(in *activities.RequestGrantInput) { in.Target = other },
	} {
		taken := in
		change(&taken)
		t.Log(name)
		w.refuses(func() error { _, err := call[messages.GrantAnswer](w, w.acts.RequestGrant, taken); return err },
			"the request id "+in.RequestID+" is taken", "give another")
	}
}

func TestManyRequestsAtOnceAreOne(t *testing.T) {
	t.Parallel()
	w := lending(t, judged)
	in := w.requestOf("kim@example.com", other, time.Hour)
	errs := make(chan error)
	for range 4 {
		go func() {
			_, err := w.direct(func(a *activities.Activities) any { return a.RequestGrant }, in)
			errs <- err
		}()
	}
	for range 4 {
		require.NoError(t, <-errs)
	}
	require.Len(t, w.all(), 1)
}

func TestAnOutageRefusesNothing(t *testing.T) {
	t.Parallel()
	w := lending(t, judged)
	w.inject(cloud.Fault{Operations: []string{"users.search"}, Kind: cloud.FaultStatus, Count: 1, Params: cloud.FaultParams{Status: 503}})
	in := w.adminRequest()
	_, err := call[messages.GrantAnswer](w, w.acts.RequestGrant, in)
	require.False(t, application(t, err).NonRetryable())
	require.Empty(t, w.all())
	must[messages.GrantAnswer](w, w.acts.RequestGrant, in)
}

func TestAnExtensionContinuesAGrant(t *testing.T) {
	t.Parallel()
	w := lending(t, judged)
	g := w.grant("kim", other, time.Hour)
	w.right(g)
	w.pass(50 * time.Minute)
	in := activities.ExtendGrantInput{Org: org, Target: other, Key: g.Key, ExtendInput: messages.ExtendInput{
		Duration: access.Duration(2 * time.Hour), Reason: "not done", RequestedBy: "kim@example.com", RequestID: "more",
	}}
	more := must[messages.GrantAnswer](w, w.acts.ExtendGrant, in).Grants[0]
	require.Equal(t, g.ID, more.Renews)
	require.Equal(t, g.Until, more.From)
	require.Equal(t, g.Until.Add(2*time.Hour), more.Until)
	require.Equal(t, g.Key, more.Key)
	require.Equal(t, []access.Grant{more}, must[messages.GrantAnswer](w, w.acts.ExtendGrant, in).Grants, "a repeat changes nothing")
	require.Len(t, w.all(), 2)

	in.RequestID = "evenmore"
	w.refuses(func() error { _, err := call[messages.GrantAnswer](w, w.acts.ExtendGrant, in); return err }, "the most that entry tools allows")

	w.until(g)
	made := w.calls(func() { w.right(g) })
	require.Zero(t, made["memberships.remove"])
	require.True(t, w.holds("kim", other))
	w.until(more)
	w.right(more)
	require.False(t, w.holds("kim", other))
	in.Request = ""
	w.refuses(func() error { _, err := call[messages.GrantAnswer](w, w.acts.ExtendGrant, in); return err }, "kim@example.com", "ask for a new one")
}

func TestNothingIsGrantedInADryRun(t *testing.T) {
	t.Parallel()
	w := lending(t, lendable+"\ndryRun: true")
	_, err := call[messages.GrantAnswer](w, w.acts.RequestGrant, activities.RequestGrantInput{Org: org, GrantInput: messages.GrantInput{
		Person: "kim@example.com", Target: other, RequestedBy: "kim@example.com", Reason: "test", RequestID: "dry",
	}})
	require.Equal(t, activities.ErrRefused, application(t, err).Type())
	require.ErrorContains(t, err, "dryRun")
}
