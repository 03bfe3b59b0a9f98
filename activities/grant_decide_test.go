package activities_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/messages"
)

// decision is what somebody says to a grant.
func decision(g access.Grant, by string, approve bool) activities.DecideGrantInput {
	return activities.DecideGrantInput{Org: org, Target: g.Target, Key: g.Key, Approve: approve, ApprovalInput: messages.ApprovalInput{By: by}}
}

func (w *world) decide(in activities.DecideGrantInput) messages.GrantAnswer {
	w.t.Helper()
	return must[messages.GrantAnswer](w, w.acts.DecideGrant, in)
}

// waiting is a world in which kim waits for two approvals.
func waiting(t *testing.T) (*world, access.Grant) {
	t.Helper()
	w := lending(t, judged)
	g := must[messages.GrantAnswer](w, w.acts.RequestGrant, w.adminRequest()).Grants[0]
	require.Equal(t, access.GrantWaiting, g.State)
	return w, g
}

func TestAsManyApproveAsThePolicyWants(t *testing.T) {
	t.Parallel()
	w, g := waiting(t)
	answer := w.decide(decision(g, "carol@example.com", true))
	require.Equal(t, access.GrantWaiting, answer.Grants[0].State)
	require.Equal(t, access.GrantWaiting, w.decide(decision(g, "carol@example.com", true)).Grants[0].State, "the same person twice is one")
	require.Equal(t, access.GrantWaiting, w.decide(decision(g, w.id("carol"), true)).Grants[0].State, "by whichever name")
	require.Zero(t, w.begin(g).plan.Open, "nothing is given before")

	w.pass(10 * time.Minute)
	granted := w.decide(decision(g, "Dan@example.com", true)).Grants[0]
	require.Equal(t, access.GrantGranted, granted.State)
	require.Len(t, granted.Approvals, 2)
	require.Equal(t, w.clock(), granted.From)
	require.Equal(t, w.clock().Add(time.Hour), granted.Until)
	require.Equal(t, granted, w.decide(approvalOf(granted, "dan@example.com")).Grants[0], "a repeat changes nothing")
	w.right(g)
	require.Equal(t, "ana bo kim", w.admins())
}

// approvalOf names the request, as it has to be once none waits.
func approvalOf(g access.Grant, by string) activities.DecideGrantInput {
	in := decision(g, by, true)
	in.Request = g.ID
	return in
}

func TestApprovalsAtOnceDecideOnce(t *testing.T) {
	t.Parallel()
	w, g := waiting(t)
	w.decide(decision(g, "ana@example.com", true))
	errs := make(chan error)
	for _, by := range []string{"carol@example.com", "dan@example.com", "carol@example.com", "dan@example.com"} {
		go func() {
			_, err := w.direct(func(a *activities.Activities) any { return a.DecideGrant }, approvalOf(g, by))
			errs <- err
		}()
	}
	refused := 0
	for range 4 {
		if err := <-errs; err != nil {
			require.Equal(t, activities.ErrRefused, application(t, err).Type())
			refused++
		}
	}
	require.Equal(t, 2, refused, "of carol and dan one was late, twice")
	after := w.stored(g)
	require.Equal(t, access.GrantGranted, after.State)
	require.Len(t, after.Approvals, 2)
}

func TestOneDenialIsEnough(t *testing.T) {
	t.Parallel()
	w, g := waiting(t)
	w.decide(decision(g, "carol@example.com", true))
	no := decision(g, "dan@example.com", false)
	no.Note = "not today"
	denied := w.decide(no).Grants[0]
	require.Equal(t, access.GrantDenied, denied.State)
	require.Equal(t, "not today", denied.ClosedWhy)
	w.refuses(func() error {
		_, err := call[messages.GrantAnswer](w, w.acts.DecideGrant, approvalOf(g, "ana@example.com"))
		return err
	}, "denied")
}

func TestDecisionsThatDoNotCount(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(w *world, in *activities.DecideGrantInput)
		words  string
	}{
		"by the person":       {func(_ *world, in *activities.DecideGrantInput) { in.By = "kim@example.com" }, "for themselves"},
		"by the person's id":  {func(w *world, in *activities.DecideGrantInput) { in.By = w.id("kim") }, "for themselves"},
		"by who asked":        {func(_ *world, in *activities.DecideGrantInput) { in.By = "bo@example.com" }, "they asked for"},
		"by somebody else":    {func(_ *world, in *activities.DecideGrantInput) { in.By = "eve@example.com" }, "only the approvers"},
		"of another workflow": {func(_ *world, in *activities.DecideGrantInput) { in.Key, in.Request = "eve@example.com", "g001" }, "request g001 is not one of this workflow"},
		"of an unknown one":   {func(_ *world, in *activities.DecideGrantInput) { in.Request = "g999" }, "request g999 is not one of this workflow"},
		"while nothing waits": {func(_ *world, in *activities.DecideGrantInput) { in.Target = other }, "no request waits"},
		"while several wait": {func(w *world, in *activities.DecideGrantInput) {
			must[messages.GrantAnswer](w, w.acts.RequestGrant, w.adminRequest())
		}, "name one as request: g001, g002"},
		"after it was revoked": {func(w *world, in *activities.DecideGrantInput) { w.end("g001"); in.Request = "g001" }, "ended"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, g := waiting(t)
			in := decision(g, "carol@example.com", true)
			c.change(w, &in)
			w.refuses(func() error { _, err := call[messages.GrantAnswer](w, w.acts.DecideGrant, in); return err }, c.words)
		})
	}
}

func (w *world) end(id string) {
	must[messages.GrantAnswer](w, w.acts.RevokeGrant, activities.RevokeGrantInput{Org: org, RevokeInput: messages.RevokeInput{Request: id, RequestedBy: "bo@example.com"}})
}

func TestNobodyApprovesWhatTheyAskedFor(t *testing.T) {
	t.Parallel()
	w := lending(t, judged)
	for _, by := range []string{"carol@example.com", "CAROL@example.com", w.id("carol")} {
		in := w.adminRequest()
		in.RequestedBy = by
		g := must[messages.GrantAnswer](w, w.acts.RequestGrant, in).Grants[0]
		require.Equal(t, []string{"ana@example.com", "dan@example.com"}, g.Approvers, by)
		w.refuses(func() error {
			_, err := call[messages.GrantAnswer](w, w.acts.DecideGrant, approvalOf(g, "carol@example.com"))
			return err
		}, "they asked for")
	}
}

func TestWhoDecidesTooLateDecidesNothing(t *testing.T) {
	t.Parallel()
	w, g := waiting(t)
	w.pass(time.Hour)
	_, err := call[messages.GrantAnswer](w, w.acts.DecideGrant, decision(g, "carol@example.com", true))
	app := application(t, err)
	require.Equal(t, activities.ErrRefused, app.Type())
	require.Contains(t, app.Message(), "the time to decide is over")
	require.Equal(t, access.GrantExpired, w.stored(g).State)

	w, g = waiting(t)
	in := activities.GrantInput{Org: org, ID: g.ID}
	w.pass(59 * time.Minute)
	require.Equal(t, access.GrantWaiting, must[access.Grant](w, w.acts.ExpireGrant, in).State, "a timer that rings early closes nothing")
	w.pass(time.Minute)
	require.Equal(t, access.GrantExpired, must[access.Grant](w, w.acts.ExpireGrant, in).State)
	require.Equal(t, access.GrantExpired, must[access.Grant](w, w.acts.ExpireGrant, in).State)
}

// coded is a world in which kim waits for carol or dan, who were sent their codes.
func coded(t *testing.T) (*world, access.Grant, map[string]string) {
	t.Helper()
	w := lending(t, judged)
	w.notifier.private = true
	g := must[messages.GrantAnswer](w, w.acts.RequestGrant, w.requestOf("kim@example.com", helpers, time.Hour)).Grants[0]
	w.tell(g, activities.NoticeRequested)
	codes := map[string]string{}
	for _, n := range w.notifier.notices {
		require.Empty(t, codes[n.To], "one notice each")
		codes[n.To] = n.Code
	}
	return w, g, codes
}

// tell sends a notice of a grant.
func (w *world) tell(g access.Grant, kind string) {
	w.t.Helper()
	_, err := w.direct(func(a *activities.Activities) any { return a.Tell }, activities.TellInput{
		Org: org, Workflow: messages.GrantID(org, g.Target, g.Key), Kind: kind, Grant: g.ID,
	})
	require.NoError(w.t, err)
}

func TestEveryApproverHasACodeOfTheirOwn(t *testing.T) {
	t.Parallel()
	w, g, codes := coded(t)
	require.Len(t, codes, 2)
	require.NotEqual(t, codes["carol@example.com"], codes["dan@example.com"])
	for _, n := range w.notifier.notices {
		require.Len(t, strings.ReplaceAll(n.Code, "-", ""), 26)
		require.NotContains(t, n.Text+n.Subject+n.Command+n.ID, n.Code, "the code stands in its own place only")
		require.Contains(t, n.Command, `"code":"CODE"`)
	}
	approve := func(by, code string) activities.DecideGrantInput {
		in := approvalOf(g, by)
		in.CodeHash = messages.CodeHash(code)
		return in
	}
	for name, in := range map[string]activities.DecideGrantInput{
		"no code":         approvalOf(g, "carol@example.com"),
		"a wrong code":    approve("carol@example.com", "AAAAA-AAAAA-AAAAA-AAAAA-AAAAA-A"),
		"another's code":  approve("carol@example.com", codes["dan@example.com"]),
		"the hash itself": approve("carol@example.com", messages.CodeHash(codes["carol@example.com"])),
	} {
		t.Log(name)
		w.refuses(func() error { _, err := call[messages.GrantAnswer](w, w.acts.DecideGrant, in); return err }, "the code is not the one")
	}
	answer := w.decide(approve("carol@example.com", strings.ToLower(strings.ReplaceAll(codes["carol@example.com"], "-", " "))))
	require.Equal(t, access.GrantGranted, answer.Grants[0].State)
	w.saysNoCode(answer, codes)
}

func TestACodeIsUsedOnce(t *testing.T) {
	t.Parallel()
	w := lending(t, strings.Replace(judged, "count: 1", "count: 2", 1))
	w.notifier.private = true
	g := must[messages.GrantAnswer](w, w.acts.RequestGrant, w.requestOf("kim@example.com", helpers, time.Hour)).Grants[0]
	w.tell(g, activities.NoticeRequested)
	w.tell(g, activities.NoticeRequested) // again: each has two codes
	require.Len(t, w.notifier.notices, 4)
	first, second := w.notifier.notices[0], w.notifier.notices[2]
	require.Equal(t, first.To, second.To)
	require.Equal(t, first.ID, second.ID, "a receiver may know the repeat")

	in := approvalOf(g, first.To)
	in.CodeHash = messages.CodeHash(second.Code)
	require.Equal(t, access.GrantWaiting, w.decide(in).Grants[0].State)

	next := must[messages.GrantAnswer](w, w.acts.RequestGrant, w.requestOf("kim@example.com", helpers, time.Hour)).Grants[0]
	for _, used := range []string{first.Code, second.Code} { // nor do they count for another request
		in := approvalOf(next, first.To)
		in.CodeHash = messages.CodeHash(used)
		w.refuses(func() error { _, err := call[messages.GrantAnswer](w, w.acts.DecideGrant, in); return err }, "the code is not the one")
	}
}

// saysNoCode says that no code stands in a value, in an error or anywhere in the ledger.
func (w *world) saysNoCode(value any, codes map[string]string) {
	w.t.Helper()
	entries, err := w.ledger.History(w.t.Context(), org, "", helpers, 1000)
	require.NoError(w.t, err)
	text, err := json.Marshal([]any{value, w.all(), entries})
	require.NoError(w.t, err)
	said := string(text) + fmt.Sprint(w.temporal.woken)
	for _, code := range codes {
		require.NotContains(w.t, said, code)
		require.NotContains(w.t, said, strings.ReplaceAll(code, "-", ""))
	}
}

func TestANoticeThatCannotBeSentSaysNoCode(t *testing.T) {
	t.Parallel()
	w := lending(t, judged)
	w.notifier.private, w.notifier.fails = true, 1
	g := must[messages.GrantAnswer](w, w.acts.RequestGrant, w.requestOf("kim@example.com", helpers, time.Hour)).Grants[0]
	_, err := w.direct(func(a *activities.Activities) any { return a.Tell }, activities.TellInput{Org: org, Workflow: "w", Kind: activities.NoticeRequested, Grant: g.ID})
	require.ErrorContains(t, err, "carol@example.com")
	require.NotRegexp(t, `[A-Z2-7]{5}-[A-Z2-7]{5}`, err.Error())
}
