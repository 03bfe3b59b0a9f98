package grants_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/activities/grants"
	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

func TestWhatIsNotGranted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(w *activitytest.SimulatedOrg, in *grants.RequestGrantInput)
		words  []string
	}{
		"nobody of this name": {func(_ *activitytest.SimulatedOrg,
			in *grants.RequestGrantInput) {
			in.Person = "nobody@example.com"
		},
			[]string{"role:org-admin for nobody@example.com", "the directory shows nobody of this name: correct it"}},
		"no such account": {func(_ *activitytest.SimulatedOrg,
			in *grants.RequestGrantInput) {
			in.Person = "712020:none"
		},
			[]string{"712020:none", "the directory shows nobody of this name"}},
		"not eligible": {func(_ *activitytest.SimulatedOrg,
			in *grants.RequestGrantInput) {
			in.Person = "jo@example.com"
		},
			[]string{"jo@example.com", "entry admins", `in("eng")`}},
		"too long": {func(_ *activitytest.SimulatedOrg, in *grants.RequestGrantInput) {
			in.Duration = access.Duration(5 * time.Hour)
		},
			[]string{"5h is too long", "ask for at most 4h"}},
		"too short": {func(_ *activitytest.SimulatedOrg, in *grants.RequestGrantInput) { in.Duration = 1 },
			[]string{"1ns is no duration", "ask for at least 1s"}},
		"another ticket": {func(_ *activitytest.SimulatedOrg,
			in *grants.RequestGrantInput) {
			in.Ticket = "INC-4711 and more"
		},
			[]string{"INC-4711 and more", "entry admins asks for one like INC-[0-9]+"}},
		"no ticket": {func(_ *activitytest.SimulatedOrg, in *grants.RequestGrantInput) { in.Ticket = "" },
			[]string{"one like INC-[0-9]+"}},
		"no reason": {func(_ *activitytest.SimulatedOrg, in *grants.RequestGrantInput) { in.Reason = " " },
			[]string{"entry admins asks for a reason; give one"}},
		"an app": {func(w *activitytest.SimulatedOrg, in *grants.RequestGrantInput) {
			w.Send(http.MethodPost, "/scim/directory/"+w.Sim.Info().SCIMDirectoryID+"/Users", map[string]any{
				"schemas":  []string{"urn:ietf:params:scim:schemas:core:2.0:User"},
				"userName": "bot@connect.atlassian.com", "active": true,
				"emails": []any{map[string]any{"value": "bot@connect.atlassian.com", "type": "work", "primary": true}},
				"name":   map[string]any{"formatted": "bot"}, "displayName": "bot",
			})
			in.Person = "bot@connect.atlassian.com"
		}, []string{"an app's account", "name a person"}},
		"suspended": {func(w *activitytest.SimulatedOrg, in *grants.RequestGrantInput) {
			w.Set("kim", map[string]any{"suspended": true})
		},
			[]string{"kim@example.com", "suspended", "restore it"}},
		"in the past": {func(w *activitytest.SimulatedOrg, in *grants.RequestGrantInput) {
			in.Start = w.Clock().Add(-2 * time.Minute)
		},
			[]string{"is in the past; leave it out"}},
		"too far ahead": {func(w *activitytest.SimulatedOrg, in *grants.RequestGrantInput) {
			in.Start = w.Clock().Add(25 * time.Hour)
		},
			[]string{"is too far ahead", "ask for one until 2026-03-03T"}},
		"ahead, where nobody may": {func(w *activitytest.SimulatedOrg, in *grants.RequestGrantInput) {
			in.Target, in.Start = activitytest.Other, w.Clock().Add(time.Hour)
		}, []string{"entry tools lets nobody ask ahead"}},
		"not grantable": {func(_ *activitytest.SimulatedOrg,
			in *grants.RequestGrantInput) {
			in.Target = activitytest.Builders
		},
			[]string{"group:builders for kim@example.com", "no entry of the policy's grants names this target"}},
		"no target": {func(_ *activitytest.SimulatedOrg, in *grants.RequestGrantInput) { in.Target = "admins" },
			[]string{`"admins" is not an entitlement`, "write group:<name>"}},
		"a group that is gone": {func(w *activitytest.SimulatedOrg, in *grants.RequestGrantInput) {
			w.Send(http.MethodDelete, "/_sim/groups/other", nil)
			w.Outline(w.NewRun())
			in.Target = activitytest.Other
		}, []string{"group:other cannot be granted now: there is no such group"}},
		"codes that nobody could be sent": {func(_ *activitytest.SimulatedOrg,
			in *grants.RequestGrantInput) {
			in.Target = activitytest.Helpers
		},
			[]string{"approval codes", "CASTELLAN_NOTIFY_SMTP"}},
		"no break-glass": {func(_ *activitytest.SimulatedOrg, in *grants.RequestGrantInput) { in.BreakGlass = true },
			[]string{"entry admins lists the people who may take it without approval"}},
		"another organization": {func(_ *activitytest.SimulatedOrg,
			in *grants.RequestGrantInput) {
			in.Org = "nowhere"
		},
			[]string{"organization nowhere has no policy in force"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := activitytest.WithGrants(t, activitytest.Judged)
			in := w.AdminRequest()
			c.change(w, &in)
			w.Refuses(func() error {
				_, err := activitytest.Call[messages.GrantAnswer](w, w.Acts.Grants.RequestGrant, in)
				return err
			}, c.words...)
		})
	}
}

func TestAPolicyThatGrantsWhatCannotBeGivenIsRefused(t *testing.T) {
	t.Parallel()
	for target, words := range map[string]string{"group:unused": "an identity provider owns the group",
		"group:nowhere": "there is no such group"} {
		w := activitytest.InStep(t)
		_, err := activitytest.Call[reconcile.AdmitResult](w, w.Acts.Reconcile.Admit,
			w.AdmitIn(w.Text(activitytest.OpenGuard+strings.Replace(activitytest.Judged, "group:other", target, 1))))
		app := activitytest.ApplicationError(t, err)
		require.Equal(t, session.ErrPolicy, app.Type())
		require.Contains(t, app.Message(), target+": "+words)
	}
}

func TestNothingIsGrantedBeforeTheFirstPlanIsApproved(t *testing.T) {
	t.Parallel()
	w := activitytest.New(t)
	w.Admit(activitytest.Judged)
	w.Planned()
	in := w.RequestOf("kim@example.com", activitytest.Other, time.Hour)
	w.Refuses(func() error {
		_, err := activitytest.Call[messages.GrantAnswer](w, w.Acts.Grants.RequestGrant, in)
		return err
	}, "organization acme", "not approved yet")
}

func TestARequestIsMadeOnce(t *testing.T) {
	t.Parallel()
	w := activitytest.WithGrants(t, activitytest.Judged)
	in := w.AdminRequest()
	first := activitytest.Must[messages.GrantAnswer](w, w.Acts.Grants.RequestGrant, in)
	require.Equal(t, access.GrantWaiting, first.Grants[0].State)
	require.ElementsMatch(t, []string{w.Id("ana"), w.Id("carol"), w.Id("dan")}, first.Grants[0].Approvers)
	require.ElementsMatch(t, []string{"ana@example.com", "carol@example.com", "dan@example.com"},
		first.Grants[0].Labels(first.Grants[0].Approvers))
	require.Equal(t, "grant:acme:role:org-admin:"+w.Id("kim"), first.Workflow)

	w.Pass(time.Minute)
	for name, change := range map[string]func(*grants.RequestGrantInput){
		"the same":       func(*grants.RequestGrantInput) {},
		"by account id":  func(in *grants.RequestGrantInput) { in.Person = w.Id("kim") },
		"another length": func(in *grants.RequestGrantInput) { in.Duration = access.Duration(2 * time.Hour) },
	} {
		again := in
		change(&again)
		answer := activitytest.Must[messages.GrantAnswer](w, w.Acts.Grants.RequestGrant, again)
		require.Equal(t, first.Grants, answer.Grants, name)
		require.Equal(t, first.Workflow, answer.Workflow, name)
		require.Len(t, w.All(), 1, name)
	}
	require.Len(t, w.Temporal.Woken, 5, "a repeat wakes the workflow: it may be the first that gets so far")

	for name, change := range map[string]func(*grants.RequestGrantInput){
		"person": func(in *grants.RequestGrantInput) { in.Person = "eve@example.com" },
		"target": func(in *grants.RequestGrantInput) { in.Target = activitytest.Other },
	} {
		taken := in
		change(&taken)
		t.Log(name)
		w.Refuses(func() error {
			_, err := activitytest.Call[messages.GrantAnswer](w, w.Acts.Grants.RequestGrant, taken)
			return err
		},
			"the request id "+in.RequestID+" is taken", "give another")
	}
}

func TestManyRequestsAtOnceAreOne(t *testing.T) {
	t.Parallel()
	w := activitytest.WithGrants(t, activitytest.Judged)
	in := w.RequestOf("kim@example.com", activitytest.Other, time.Hour)
	errs := make(chan error)
	for range 4 {
		go func() {
			_, err := w.Direct(func(a *activities.Activities) any { return a.Grants.RequestGrant }, in)
			errs <- err
		}()
	}
	for range 4 {
		require.NoError(t, <-errs)
	}
	require.Len(t, w.All(), 1)
}

func TestAnOutageRefusesNothing(t *testing.T) {
	t.Parallel()
	w := activitytest.WithGrants(t, activitytest.Judged)
	w.Inject(cloud.Fault{Operations: []string{"users.search"}, Kind: cloud.FaultStatus, Count: 1,
		Params: cloud.FaultParams{Status: 503}})
	in := w.AdminRequest()
	_, err := activitytest.Call[messages.GrantAnswer](w, w.Acts.Grants.RequestGrant, in)
	require.False(t, activitytest.ApplicationError(t, err).NonRetryable())
	require.Empty(t, w.All())
	activitytest.Must[messages.GrantAnswer](w, w.Acts.Grants.RequestGrant, in)
}

func TestAnExtensionContinuesAGrant(t *testing.T) {
	t.Parallel()
	w := activitytest.WithGrants(t, activitytest.Judged)
	g := w.Grant("kim", activitytest.Other, time.Hour)
	w.Right(g)
	w.Pass(50 * time.Minute)
	in := grants.ExtendGrantInput{Org: activitytest.Org, Target: activitytest.Other, Key: g.Key,
		ExtendInput: messages.ExtendInput{
			Duration: access.Duration(2 * time.Hour), Reason: "not done", RequestedBy: "kim@example.com",
			RequestID: "more",
		}}
	more := activitytest.Must[messages.GrantAnswer](w, w.Acts.Grants.ExtendGrant, in).Grants[0]
	require.Equal(t, g.ID, more.Renews)
	require.Equal(t, g.Until, more.From)
	require.Equal(t, g.Until.Add(2*time.Hour), more.Until)
	require.Equal(t, g.Key, more.Key)
	require.Equal(t, []access.Grant{more},
		activitytest.Must[messages.GrantAnswer](w, w.Acts.Grants.ExtendGrant, in).Grants, "a repeat changes nothing")
	require.Len(t, w.All(), 2)

	in.RequestID = "evenmore"
	w.Refuses(func() error {
		_, err := activitytest.Call[messages.GrantAnswer](w, w.Acts.Grants.ExtendGrant, in)
		return err
	}, "the most that entry tools allows")

	w.Until(g)
	made := w.Calls(func() { w.Right(g) })
	require.Zero(t, made["memberships.remove"])
	require.True(t, w.Holds("kim", activitytest.Other))
	w.Until(more)
	w.Right(more)
	require.False(t, w.Holds("kim", activitytest.Other))
	in.Request = ""
	w.Refuses(func() error {
		_, err := activitytest.Call[messages.GrantAnswer](w, w.Acts.Grants.ExtendGrant, in)
		return err
	}, "kim@example.com", "ask for a new one")
}

func TestNothingIsGrantedInADryRun(t *testing.T) {
	t.Parallel()
	w := activitytest.WithGrants(t, activitytest.Lendable+"\ndryRun: true")
	_, err := activitytest.Call[messages.GrantAnswer](w, w.Acts.Grants.RequestGrant,
		grants.RequestGrantInput{Org: activitytest.Org, GrantInput: messages.GrantInput{
			Person: "kim@example.com", Target: activitytest.Other, RequestedBy: "kim@example.com", Reason: "test",
			RequestID: "dry",
		}})
	require.Equal(t, session.ErrRefused, activitytest.ApplicationError(t, err).Type())
	require.ErrorContains(t, err, "dryRun")
}

func TestRequestGrantStoresNothingWhoseClockCannotBeStarted(t *testing.T) {
	t.Parallel()
	w := activitytest.WithGrants(t, activitytest.Lendable)
	w.Temporal.Refuses = fmt.Errorf("the workflow cannot be started")
	_, err := activitytest.Call[messages.GrantAnswer](w, w.Acts.Grants.RequestGrant,
		w.RequestOf("kim@example.com", activitytest.Other, time.Hour))
	require.ErrorContains(t, err, "the workflow cannot be started")
	require.Empty(t, w.All(), "what nothing takes back is not granted")

	w.Temporal.Refuses = nil
	w.Grant("kim", activitytest.Other, time.Hour)
	require.Len(t, w.All(), 1)
}

func TestRevokeGrantEndsWhatHasNoClock(t *testing.T) {
	t.Parallel()
	w := activitytest.WithGrants(t, activitytest.Lendable)
	g := w.Grant("kim", activitytest.Other, time.Hour)
	w.Right(g)
	w.Temporal.Refuses = fmt.Errorf("the workflow cannot be woken")
	answer := activitytest.Must[messages.GrantAnswer](w, w.Acts.Grants.RevokeGrant, grants.RevokeGrantInput{
		Org: activitytest.Org, RevokeInput: messages.RevokeInput{Person: "kim@example.com", Target: activitytest.Other,
			RequestedBy: "carol@example.com"},
	})
	require.True(t, answer.Unreached, "the loop sees to it")
	require.Equal(t, access.GrantEnded, w.Stored(g).State)
	w.Right(g)
	require.False(t, w.Holds("kim", activitytest.Other))
}
