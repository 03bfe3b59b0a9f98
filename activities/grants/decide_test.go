package grants_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/activities/grants"
	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
)

// decision is what somebody says to a grant.
func decision(g access.Grant, by string, approve bool) grants.DecideGrantInput {
	return grants.DecideGrantInput{Org: activitytest.Org, Target: g.Target, Key: g.Key, Approve: approve,
		ApprovalInput: messages.ApprovalInput{By: by}}
}

// waiting is a simulated organization in which kim waits for two approvals.
func waiting(t *testing.T) (*activitytest.SimulatedOrg, access.Grant) {
	t.Helper()
	o := activitytest.WithGrants(t, activitytest.Judged)
	g := activitytest.Must[messages.GrantAnswer](o, o.Acts.Grants.RequestGrant, o.AdminRequest()).Grants[0]
	require.Equal(t, access.GrantWaiting, g.State)
	return o, g
}

func TestDecideGrantNeedsAsManyApprovalsAsThePolicySays(t *testing.T) {
	t.Parallel()
	o, g := waiting(t)
	answer := o.Decide(decision(g, "carol@example.com", true))
	require.Equal(t, access.GrantWaiting, answer.Grants[0].State)
	require.Equal(t, access.GrantWaiting, o.Decide(decision(g, "carol@example.com", true)).Grants[0].State,
		"the same person twice is one")
	require.Equal(t, access.GrantWaiting, o.Decide(decision(g, o.AccountID("carol"), true)).Grants[0].State,
		"by whichever name")
	require.Zero(t, o.PlanRound(g).Plan.Open, "nothing is given before")

	o.Advance(10 * time.Minute)
	granted := o.Decide(decision(g, "Dan@example.com", true)).Grants[0]
	require.Equal(t, access.GrantGranted, granted.State)
	require.Len(t, granted.Approvals, 2)
	require.Equal(t, o.Clock(), granted.From)
	require.Equal(t, o.Clock().Add(time.Hour), granted.Until)
	require.Equal(t, granted, o.Decide(approvalOf(granted, "dan@example.com")).Grants[0], "a repeat changes nothing")
	o.AttendAll(g)
	require.Equal(t, "ana bo kim", o.Admins())
}

// approvalOf names the request, as it has to be once none waits.
func approvalOf(g access.Grant, by string) grants.DecideGrantInput {
	in := decision(g, by, true)
	in.Request = g.ID
	return in
}

func TestDecideGrantConcurrentApprovalsDecideOnce(t *testing.T) {
	t.Parallel()
	o, g := waiting(t)
	o.Decide(decision(g, "ana@example.com", true))
	errs := make(chan error)
	for _, by := range []string{"carol@example.com", "dan@example.com", "carol@example.com", "dan@example.com"} {
		go func() {
			_, err := o.CallInOwnEnv(func(a *activities.Activities) any { return a.Grants.DecideGrant },
				approvalOf(g, by))
			errs <- err
		}()
	}
	refused := 0
	for range 4 {
		if err := <-errs; err != nil {
			require.Equal(t, session.ErrRefused, activitytest.ApplicationError(t, err).Type())
			refused++
		}
	}
	require.Equal(t, 2, refused, "of carol and dan one was late, twice")
	after := o.StoredGrant(g)
	require.Equal(t, access.GrantGranted, after.State)
	require.Len(t, after.Approvals, 2)
}

func TestDecideGrantOneDenialIsEnough(t *testing.T) {
	t.Parallel()
	o, g := waiting(t)
	o.Decide(decision(g, "carol@example.com", true))
	no := decision(g, "dan@example.com", false)
	no.Note = "not today"
	denied := o.Decide(no).Grants[0]
	require.Equal(t, access.GrantDenied, denied.State)
	require.Equal(t, "not today", denied.ClosedWhy)
	o.RequireRefused(func() error {
		_, err := activitytest.Call[messages.GrantAnswer](o, o.Acts.Grants.DecideGrant,
			approvalOf(g, "ana@example.com"))
		return err
	}, "denied")
}

func TestDecideGrantDecisionsThatDoNotCount(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(o *activitytest.SimulatedOrg, in *grants.DecideGrantInput)
		words  string
	}{
		"by the person": {func(_ *activitytest.SimulatedOrg,
			in *grants.DecideGrantInput) {
			in.By = "kim@example.com"
		}, "for themselves"},
		"by the person's id": {func(o *activitytest.SimulatedOrg, in *grants.DecideGrantInput) { in.By = o.AccountID("kim") },
			"for themselves"},
		"by who asked": {func(_ *activitytest.SimulatedOrg,
			in *grants.DecideGrantInput) {
			in.By = "bo@example.com"
		}, "that they requested"},
		"by somebody else": {func(_ *activitytest.SimulatedOrg,
			in *grants.DecideGrantInput) {
			in.By = "eve@example.com"
		}, "only the approvers"},
		"of another workflow": {func(_ *activitytest.SimulatedOrg, in *grants.DecideGrantInput) {
			in.Key, in.Request = "eve@example.com", "g001"
		}, "request g001 is not one of this workflow"},
		"of an unknown one": {func(_ *activitytest.SimulatedOrg, in *grants.DecideGrantInput) { in.Request = "g999" },
			"request g999 is not one of this workflow"},
		"while nothing waits": {func(_ *activitytest.SimulatedOrg,
			in *grants.DecideGrantInput) {
			in.Target = activitytest.Other
		}, "no request waits"},
		"while several wait": {func(o *activitytest.SimulatedOrg, in *grants.DecideGrantInput) {
			activitytest.Must[messages.GrantAnswer](o, o.Acts.Grants.RequestGrant, o.AdminRequest())
		}, "name one as request: g001, g002"},
		"after it was revoked": {func(o *activitytest.SimulatedOrg,
			in *grants.DecideGrantInput) {
			o.End("g001")
			in.Request = "g001"
		}, "ended"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, g := waiting(t)
			in := decision(g, "carol@example.com", true)
			c.change(o, &in)
			o.RequireRefused(func() error {
				_, err := activitytest.Call[messages.GrantAnswer](o, o.Acts.Grants.DecideGrant, in)
				return err
			}, c.words)
		})
	}
}

func TestDecideGrantRefusesTheRequester(t *testing.T) {
	t.Parallel()
	o := activitytest.WithGrants(t, activitytest.Judged)
	for _, by := range []string{"carol@example.com", "CAROL@example.com", o.AccountID("carol")} {
		in := o.AdminRequest()
		in.RequestedBy = by
		g := activitytest.Must[messages.GrantAnswer](o, o.Acts.Grants.RequestGrant, in).Grants[0]
		require.ElementsMatch(t, []string{o.AccountID("ana"), o.AccountID("dan")}, g.Approvers, by)
		o.RequireRefused(func() error {
			_, err := activitytest.Call[messages.GrantAnswer](o, o.Acts.Grants.DecideGrant,
				approvalOf(g, "carol@example.com"))
			return err
		}, "that they requested")
	}
}

func TestDecideGrantAfterTheDeadline(t *testing.T) {
	t.Parallel()
	o, g := waiting(t)
	o.Advance(time.Hour)
	_, err := activitytest.Call[messages.GrantAnswer](o, o.Acts.Grants.DecideGrant,
		decision(g, "carol@example.com", true))
	app := activitytest.ApplicationError(t, err)
	require.Equal(t, session.ErrRefused, app.Type())
	require.Contains(t, app.Message(), "the time to decide is over")
	require.Equal(t, access.GrantExpired, o.StoredGrant(g).State)

	o, g = waiting(t)
	in := grants.GrantInput{Org: activitytest.Org, ID: g.ID}
	o.Advance(59 * time.Minute)
	require.Equal(t, access.GrantWaiting, activitytest.Must[access.Grant](o, o.Acts.Grants.ExpireGrant, in).State,
		"a timer that rings early closes nothing")
	o.Advance(time.Minute)
	require.Equal(t, access.GrantExpired, activitytest.Must[access.Grant](o, o.Acts.Grants.ExpireGrant, in).State)
	require.Equal(t, access.GrantExpired, activitytest.Must[access.Grant](o, o.Acts.Grants.ExpireGrant, in).State)
}

// coded is a simulated organization in which kim waits for carol or dan, who were sent their codes.
func coded(t *testing.T) (*activitytest.SimulatedOrg, access.Grant, map[string]string) {
	t.Helper()
	o := activitytest.WithGrants(t, activitytest.Judged)
	o.Notifier.Privately = true
	g := activitytest.Must[messages.GrantAnswer](o, o.Acts.Grants.RequestGrant,
		o.RequestOf("kim@example.com", activitytest.Helpers, time.Hour)).Grants[0]
	o.Tell(g, grants.NoticeRequested)
	codes := map[string]string{}
	for _, n := range o.Notifier.Notices {
		require.Empty(t, codes[n.To], "one notice each")
		codes[n.To] = n.Code
	}
	return o, g, codes
}

func TestCodesEveryApproverHasTheirOwn(t *testing.T) {
	t.Parallel()
	o, g, codes := coded(t)
	require.Len(t, codes, 2)
	require.NotEqual(t, codes["carol@example.com"], codes["dan@example.com"])
	for _, n := range o.Notifier.Notices {
		require.Len(t, strings.ReplaceAll(n.Code, "-", ""), 26)
		require.NotContains(t, n.Text+n.Subject+n.Command+n.ID, n.Code, "the code stands in its own place only")
		require.Contains(t, n.Command, `"code":"CODE"`)
	}
	approve := func(by, code string) grants.DecideGrantInput {
		in := approvalOf(g, by)
		in.CodeHash = messages.CodeHash(code)
		return in
	}
	for name, in := range map[string]grants.DecideGrantInput{
		"no code":         approvalOf(g, "carol@example.com"),
		"a wrong code":    approve("carol@example.com", "AAAAA-AAAAA-AAAAA-AAAAA-AAAAA-A"),
		"another's code":  approve("carol@example.com", codes["dan@example.com"]),
		"the hash itself": approve("carol@example.com", messages.CodeHash(codes["carol@example.com"])),
	} {
		t.Log(name)
		why := "the code is not the one"
		if in.CodeHash == "" {
			why = "requires its approvers' codes"
		}
		o.RequireRefused(func() error {
			_, err := activitytest.Call[messages.GrantAnswer](o, o.Acts.Grants.DecideGrant, in)
			return err
		}, why)
	}
	answer := o.Decide(approve("carol@example.com",
		strings.ToLower(strings.ReplaceAll(codes["carol@example.com"], "-", " "))))
	require.Equal(t, access.GrantGranted, answer.Grants[0].State)
	o.RequireNoCode(answer, codes)
}

func TestCodesAreUsedOnce(t *testing.T) {
	t.Parallel()
	o := activitytest.WithGrants(t, strings.Replace(activitytest.Judged, "count: 1", "count: 2", 1))
	o.Notifier.Privately = true
	g := activitytest.Must[messages.GrantAnswer](o, o.Acts.Grants.RequestGrant,
		o.RequestOf("kim@example.com", activitytest.Helpers, time.Hour)).Grants[0]
	o.Tell(g, grants.NoticeRequested)
	o.Tell(g, grants.NoticeRequested) // again: each has two codes
	require.Len(t, o.Notifier.Notices, 4)
	first, second := o.Notifier.Notices[0], o.Notifier.Notices[2]
	require.Equal(t, first.To, second.To)
	require.Equal(t, first.ID, second.ID, "a receiver may know the repeat")

	in := approvalOf(g, first.To)
	in.CodeHash = messages.CodeHash(second.Code)
	require.Equal(t, access.GrantWaiting, o.Decide(in).Grants[0].State)

	next := activitytest.Must[messages.GrantAnswer](o, o.Acts.Grants.RequestGrant,
		o.RequestOf("kim@example.com", activitytest.Helpers, time.Hour)).Grants[0]
	for _, used := range []string{first.Code, second.Code} { // nor do they count for another request
		in := approvalOf(next, first.To)
		in.CodeHash = messages.CodeHash(used)
		o.RequireRefused(func() error {
			_, err := activitytest.Call[messages.GrantAnswer](o, o.Acts.Grants.DecideGrant, in)
			return err
		}, "the code is not the one")
	}
}

func TestCodesAreNotShownByANoticeThatCannotBeSent(t *testing.T) {
	t.Parallel()
	o := activitytest.WithGrants(t, activitytest.Judged)
	o.Notifier.Privately, o.Notifier.Fails = true, 1
	g := activitytest.Must[messages.GrantAnswer](o, o.Acts.Grants.RequestGrant,
		o.RequestOf("kim@example.com", activitytest.Helpers, time.Hour)).Grants[0]
	_, err := o.CallInOwnEnv(func(a *activities.Activities) any { return a.Grants.Tell },
		grants.TellInput{Org: activitytest.Org, Workflow: "w", Kind: grants.NoticeRequested, Grant: g.ID})
	require.ErrorContains(t, err, "carol@example.com")
	require.NotRegexp(t, `[A-Z2-7]{5}-[A-Z2-7]{5}`, err.Error())
}
