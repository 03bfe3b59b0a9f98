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

func TestRequestGrantRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(o *activitytest.SimulatedOrg, in *grants.RequestGrantInput)
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
			[]string{"1ns is not a valid duration", "ask for at least 1s"}},
		"another ticket": {func(_ *activitytest.SimulatedOrg,
			in *grants.RequestGrantInput) {
			in.Ticket = "INC-4711 and more"
		},
			[]string{"INC-4711 and more", "entry admins requires one like INC-[0-9]+"}},
		"no ticket": {func(_ *activitytest.SimulatedOrg, in *grants.RequestGrantInput) { in.Ticket = "" },
			[]string{"one like INC-[0-9]+"}},
		"no reason": {func(_ *activitytest.SimulatedOrg, in *grants.RequestGrantInput) { in.Reason = " " },
			[]string{"entry admins requires a reason; give one"}},
		"an app": {func(o *activitytest.SimulatedOrg, in *grants.RequestGrantInput) {
			o.Send(http.MethodPost, "/scim/directory/"+o.Sim.Info().SCIMDirectoryID+"/Users", map[string]any{
				"schemas":  []string{"urn:ietf:params:scim:schemas:core:2.0:User"},
				"userName": "bot@connect.atlassian.com", "active": true,
				"emails": []any{map[string]any{"value": "bot@connect.atlassian.com", "type": "work", "primary": true}},
				"name":   map[string]any{"formatted": "bot"}, "displayName": "bot",
			})
			in.Person = "bot@connect.atlassian.com"
		}, []string{"an app's account", "name a person"}},
		"suspended": {func(o *activitytest.SimulatedOrg, in *grants.RequestGrantInput) {
			o.ChangePerson("kim", map[string]any{"suspended": true})
		},
			[]string{"kim@example.com", "suspended", "restore it"}},
		"in the past": {func(o *activitytest.SimulatedOrg, in *grants.RequestGrantInput) {
			in.Start = o.Clock().Add(-2 * time.Minute)
		},
			[]string{"is in the past; leave it out"}},
		"too far ahead": {func(o *activitytest.SimulatedOrg, in *grants.RequestGrantInput) {
			in.Start = o.Clock().Add(25 * time.Hour)
		},
			[]string{"is too far ahead", "ask for one until 2026-03-03T"}},
		"ahead, where nobody may": {func(o *activitytest.SimulatedOrg, in *grants.RequestGrantInput) {
			in.Target, in.Start = activitytest.Other, o.Clock().Add(time.Hour)
		}, []string{"entry tools does not allow a later start"}},
		"not grantable": {func(_ *activitytest.SimulatedOrg,
			in *grants.RequestGrantInput) {
			in.Target = activitytest.Builders
		},
			[]string{"group:builders for kim@example.com", "no entry of the policy's grants names this target"}},
		"no target": {func(_ *activitytest.SimulatedOrg, in *grants.RequestGrantInput) { in.Target = "admins" },
			[]string{`"admins" is not an entitlement`, "write group:<name>"}},
		"a group that is gone": {func(o *activitytest.SimulatedOrg, in *grants.RequestGrantInput) {
			o.Send(http.MethodDelete, "/_sim/groups/other", nil)
			o.Outline(o.NewRun())
			in.Target = activitytest.Other
		}, []string{"group:other cannot be granted now: there is no such group"}},
		"codes that nobody could be sent": {func(_ *activitytest.SimulatedOrg,
			in *grants.RequestGrantInput) {
			in.Target = activitytest.Helpers
		},
			[]string{"approval codes", "CASTELLAN_NOTIFY_SMTP"}},
		"no break-glass": {func(_ *activitytest.SimulatedOrg, in *grants.RequestGrantInput) { in.BreakGlass = true },
			[]string{"entry admins lists the people who may use break-glass"}},
		"another organization": {func(_ *activitytest.SimulatedOrg,
			in *grants.RequestGrantInput) {
			in.Org = "nowhere"
		},
			[]string{"organization nowhere has no policy in force"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := activitytest.WithGrants(t, activitytest.Judged)
			in := o.AdminRequest()
			c.change(o, &in)
			o.RequireRefused(func() error {
				_, err := activitytest.Call[messages.GrantAnswer](o, o.Acts.Grants.RequestGrant, in)
				return err
			}, c.words...)
		})
	}
}

func TestAPolicyThatGrantsWhatCannotBeGivenIsRefused(t *testing.T) {
	t.Parallel()
	for target, words := range map[string]string{"group:unused": "an identity provider owns the group",
		"group:nowhere": "there is no such group"} {
		o := activitytest.NewInStep(t)
		_, err := activitytest.Call[reconcile.AdmitResult](o, o.Acts.Reconcile.Admit,
			o.AdmitIn(o.PolicyText(activitytest.OpenGuard+strings.Replace(activitytest.Judged, "group:other", target, 1))))
		app := activitytest.ApplicationError(t, err)
		require.Equal(t, session.ErrPolicy, app.Type())
		require.Contains(t, app.Message(), target+": "+words)
	}
}

func TestRequestGrantBeforeTheFirstPlanIsApproved(t *testing.T) {
	t.Parallel()
	o := activitytest.New(t)
	o.Admit(activitytest.Judged)
	o.SweepAndJudge()
	in := o.RequestOf("kim@example.com", activitytest.Other, time.Hour)
	o.RequireRefused(func() error {
		_, err := activitytest.Call[messages.GrantAnswer](o, o.Acts.Grants.RequestGrant, in)
		return err
	}, "organization acme", "not approved yet")
}

func TestRequestGrantIsIdempotent(t *testing.T) {
	t.Parallel()
	o := activitytest.WithGrants(t, activitytest.Judged)
	in := o.AdminRequest()
	first := activitytest.Must[messages.GrantAnswer](o, o.Acts.Grants.RequestGrant, in)
	require.Equal(t, access.GrantWaiting, first.Grants[0].State)
	require.ElementsMatch(t, []string{o.AccountID("ana"), o.AccountID("carol"), o.AccountID("dan")}, first.Grants[0].Approvers)
	require.ElementsMatch(t, []string{"ana@example.com", "carol@example.com", "dan@example.com"},
		first.Grants[0].Labels(first.Grants[0].Approvers))
	require.Equal(t, "grant:acme:role:org-admin:"+o.AccountID("kim"), first.Workflow)

	o.Advance(time.Minute)
	for name, change := range map[string]func(*grants.RequestGrantInput){
		"the same":       func(*grants.RequestGrantInput) {},
		"by account id":  func(in *grants.RequestGrantInput) { in.Person = o.AccountID("kim") },
		"another length": func(in *grants.RequestGrantInput) { in.Duration = access.Duration(2 * time.Hour) },
	} {
		again := in
		change(&again)
		answer := activitytest.Must[messages.GrantAnswer](o, o.Acts.Grants.RequestGrant, again)
		require.Equal(t, first.Grants, answer.Grants, name)
		require.Equal(t, first.Workflow, answer.Workflow, name)
		require.Len(t, o.AllGrants(), 1, name)
	}
	require.Len(t, o.Temporal.Woken, 5, "a repeat wakes the workflow: it may be the first that gets so far")

	for name, change := range map[string]func(*grants.RequestGrantInput){
		"person": func(in *grants.RequestGrantInput) { in.Person = "eve@example.com" },
		"target": func(in *grants.RequestGrantInput) { in.Target = activitytest.Other },
	} {
		taken := in
		change(&taken)
		t.Log(name)
		o.RequireRefused(func() error {
			_, err := activitytest.Call[messages.GrantAnswer](o, o.Acts.Grants.RequestGrant, taken)
			return err
		},
			"the request id "+in.RequestID+" is taken", "give another")
	}
}

func TestRequestGrantManyAtOnceAreOne(t *testing.T) {
	t.Parallel()
	o := activitytest.WithGrants(t, activitytest.Judged)
	in := o.RequestOf("kim@example.com", activitytest.Other, time.Hour)
	errs := make(chan error)
	for range 4 {
		go func() {
			_, err := o.CallInOwnEnv(func(a *activities.Activities) any { return a.Grants.RequestGrant }, in)
			errs <- err
		}()
	}
	for range 4 {
		require.NoError(t, <-errs)
	}
	require.Len(t, o.AllGrants(), 1)
}

func TestRequestGrantOutageRefusesNothing(t *testing.T) {
	t.Parallel()
	o := activitytest.WithGrants(t, activitytest.Judged)
	o.Inject(cloud.Fault{Operations: []string{"users.search"}, Kind: cloud.FaultStatus, Count: 1,
		Params: cloud.FaultParams{Status: 503}})
	in := o.AdminRequest()
	_, err := activitytest.Call[messages.GrantAnswer](o, o.Acts.Grants.RequestGrant, in)
	require.False(t, activitytest.ApplicationError(t, err).NonRetryable())
	require.Empty(t, o.AllGrants())
	activitytest.Must[messages.GrantAnswer](o, o.Acts.Grants.RequestGrant, in)
}

func TestExtendGrantContinuesAGrant(t *testing.T) {
	t.Parallel()
	o := activitytest.WithGrants(t, activitytest.Judged)
	g := o.Grant("kim", activitytest.Other, time.Hour)
	o.AttendAll(g)
	o.Advance(50 * time.Minute)
	in := grants.ExtendGrantInput{Org: activitytest.Org, Target: activitytest.Other, Key: g.Key,
		ExtendInput: messages.ExtendInput{
			Duration: access.Duration(2 * time.Hour), Reason: "not done", RequestedBy: "kim@example.com",
			RequestID: "more",
		}}
	more := activitytest.Must[messages.GrantAnswer](o, o.Acts.Grants.ExtendGrant, in).Grants[0]
	require.Equal(t, g.ID, more.Renews)
	require.Equal(t, g.Until, more.From)
	require.Equal(t, g.Until.Add(2*time.Hour), more.Until)
	require.Equal(t, g.Key, more.Key)
	require.Equal(t, []access.Grant{more},
		activitytest.Must[messages.GrantAnswer](o, o.Acts.Grants.ExtendGrant, in).Grants, "a repeat changes nothing")
	require.Len(t, o.AllGrants(), 2)

	in.RequestID = "evenmore"
	o.RequireRefused(func() error {
		_, err := activitytest.Call[messages.GrantAnswer](o, o.Acts.Grants.ExtendGrant, in)
		return err
	}, "the most that entry tools allows")

	o.AdvanceToEnd(g)
	made := o.Calls(func() { o.AttendAll(g) })
	require.Zero(t, made["memberships.remove"])
	require.True(t, o.Holds("kim", activitytest.Other))
	o.AdvanceToEnd(more)
	o.AttendAll(more)
	require.False(t, o.Holds("kim", activitytest.Other))
	in.Request = ""
	o.RequireRefused(func() error {
		_, err := activitytest.Call[messages.GrantAnswer](o, o.Acts.Grants.ExtendGrant, in)
		return err
	}, "kim@example.com", "request a new one")
}

func TestRequestGrantInADryRun(t *testing.T) {
	t.Parallel()
	o := activitytest.WithGrants(t, activitytest.Lendable+"\ndryRun: true")
	_, err := activitytest.Call[messages.GrantAnswer](o, o.Acts.Grants.RequestGrant,
		grants.RequestGrantInput{Org: activitytest.Org, GrantInput: messages.GrantInput{
			Person: "kim@example.com", Target: activitytest.Other, RequestedBy: "kim@example.com", Reason: "test",
			RequestID: "dry",
		}})
	require.Equal(t, session.ErrRefused, activitytest.ApplicationError(t, err).Type())
	require.ErrorContains(t, err, "dryRun")
}

func TestRequestGrantStoresNothingWhoseClockCannotBeStarted(t *testing.T) {
	t.Parallel()
	o := activitytest.WithGrants(t, activitytest.Lendable)
	o.Temporal.Refuses = fmt.Errorf("the workflow cannot be started")
	_, err := activitytest.Call[messages.GrantAnswer](o, o.Acts.Grants.RequestGrant,
		o.RequestOf("kim@example.com", activitytest.Other, time.Hour))
	require.ErrorContains(t, err, "the workflow cannot be started")
	require.Empty(t, o.AllGrants(), "what nothing takes back is not granted")

	o.Temporal.Refuses = nil
	o.Grant("kim", activitytest.Other, time.Hour)
	require.Len(t, o.AllGrants(), 1)
}

func TestRevokeGrantEndsWhatHasNoClock(t *testing.T) {
	t.Parallel()
	o := activitytest.WithGrants(t, activitytest.Lendable)
	g := o.Grant("kim", activitytest.Other, time.Hour)
	o.AttendAll(g)
	o.Temporal.Refuses = fmt.Errorf("the workflow cannot be woken")
	answer := activitytest.Must[messages.GrantAnswer](o, o.Acts.Grants.RevokeGrant, grants.RevokeGrantInput{
		Org: activitytest.Org, RevokeInput: messages.RevokeInput{Person: "kim@example.com", Target: activitytest.Other,
			RequestedBy: "carol@example.com"},
	})
	require.True(t, answer.Unreached, "the loop sees to it")
	require.Equal(t, access.GrantEnded, o.StoredGrant(g).State)
	o.AttendAll(g)
	require.False(t, o.Holds("kim", activitytest.Other))
}
