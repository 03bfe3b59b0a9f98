package grants_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/activities/grants"
	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

func TestBurnCodesReplacesACode(t *testing.T) {
	t.Parallel()
	o, g, codes := coded(t)
	before := len(o.Notifier.Notices)
	burnt := o.Burn(strings.ToLower(codes["carol@example.com"]))
	require.Equal(t, []session.BurntCode{{Org: activitytest.Org, Grant: g.ID, Name: o.AccountID("carol")}}, burnt)
	require.Len(t, o.Notifier.Notices, before+1)
	sent := o.Notifier.Notices[before]
	require.Equal(t, "carol@example.com", sent.To)
	require.NotEqual(t, codes["carol@example.com"], sent.Code)
	require.Contains(t, sent.Text, "no longer valid")

	o.Burn(codes["carol@example.com"])
	require.Len(t, o.Notifier.Notices, before+1, "whoever has a code is sent no other")

	in := approvalOf(g, "carol@example.com")
	in.CodeHash = messages.CodeHash(codes["carol@example.com"])
	o.RequireRefused(func() error {
		_, err := activitytest.Call[messages.GrantAnswer](o, o.Acts.Grants.DecideGrant, in)
		return err
	}, "the code is not the one")
	in.CodeHash = messages.CodeHash(sent.Code)
	require.Equal(t, access.GrantGranted, o.Decide(in).Grants[0].State)

	o.Burn(codes["dan@example.com"])
	require.Len(t, o.Notifier.Notices, before+1, "nobody has to decide any more")
	require.Empty(t, o.Burn("AAAAA-AAAAA-AAAAA-AAAAA-AAAAA-A"))
}

// TestCodesThatCannotBeSentAtOnceAreSentLater: whoever's code was burnt is sent one other that counts, whatever fails
// meanwhile. What a worker that was stopped had done already is done again: the code is burnt once, by the same
// presentation.
func TestCodesThatCannotBeSentAtOnceAreSentLater(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(*activitytest.SimulatedOrg){
		"the mail server is away": func(o *activitytest.SimulatedOrg) { o.Notifier.Fails = 2 },
		"Atlassian answers 503": func(o *activitytest.SimulatedOrg) {
			o.Inject(cloud.Fault{Operations: []string{"users.search"}, Kind: cloud.FaultStatus, Count: 2,
				Params: cloud.FaultParams{Status: 503}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			o, g, codes := coded(t)
			before := len(o.Notifier.Notices)
			in := grants.BurnCodesInput{Org: activitytest.Org,
				Hashes: []string{messages.CodeHash(codes["carol@example.com"])}, Shown: "run/1",
				By: "carol@example.com", Grant: g.ID}
			burnt := activitytest.Must[[]session.BurntCode](o, o.Acts.Grants.BurnCodes, in)
			require.Len(t, burnt, 1)
			require.Equal(t, burnt, activitytest.Must[[]session.BurntCode](o, o.Acts.Grants.BurnCodes, in),
				"its worker was stopped before it could say so")

			fail(o)
			require.NoError(t, o.CallUntilDone(o.Acts.Grants.ResendCode, burnt[0]))
			require.Len(t, o.Notifier.Notices, before+1)
			sent := o.Notifier.Notices[before]
			require.Equal(t, "carol@example.com", sent.To)

			other := approvalOf(g, "carol@example.com")
			other.CodeHash, other.Shown = in.Hashes[0], "run/2"
			o.RequireRefused(func() error {
				_, err := activitytest.Call[messages.GrantAnswer](o, o.Acts.Grants.DecideGrant, other)
				return err
			}, "the code is not the one")
			other.CodeHash, other.Shown = messages.CodeHash(sent.Code), ""
			require.Equal(t, access.GrantGranted, o.Decide(other).Grants[0].State)
		})
	}
}

func TestCodesProveADecision(t *testing.T) {
	t.Parallel()
	o, g, codes := coded(t)
	proven := func(by, code, name string) grants.DecideGrantInput {
		in := grants.DecideGrantInput{Org: activitytest.Org, Approve: true,
			ApprovalInput: messages.ApprovalInput{Request: g.ID, By: by, Note: "fine",
				Credential: messages.Credential{Nonce: "n1"}}}
		in.Proof = messages.Proof(messages.CodeHash(code), messages.OrgSyncID(activitytest.Org), name, in.ApprovalInput)
		return in
	}
	refused := func(in grants.DecideGrantInput) {
		t.Helper()
		o.RequireRefused(func() error {
			_, err := activitytest.Call[messages.GrantAnswer](o, o.Acts.Grants.DecideGrant, in)
			return err
		}, "the code is not the one")
	}
	again := func() string { // a wrong proof burns the code that it may have guessed at, and another is sent
		sent := o.Notifier.Notices[len(o.Notifier.Notices)-1]
		require.Equal(t, "carol@example.com", sent.To)
		return sent.Code
	}
	refused(proven("carol@example.com", codes["dan@example.com"], messages.Approve))
	refused(proven("carol@example.com", codes["carol@example.com"], messages.Approve))
	refused(proven("carol@example.com", again(), messages.Deny))
	changed := proven("carol@example.com", again(), messages.Approve)
	changed.Note = "not what was proven"
	refused(changed)
	codes["carol@example.com"] = again()
	o.Temporal.Woken = nil
	require.Equal(t, access.GrantGranted,
		o.Decide(proven("carol@example.com", codes["carol@example.com"], messages.Approve)).Grants[0].State)
	require.Equal(t, []string{messages.GrantID(activitytest.Org, g.Target, g.Key)}, o.Temporal.Woken,
		"its workflow is told, whoever was told the decision")
}

// TestCodesAreReplacedALimitedNumberOfTimes guesses at carol's codes.
func TestCodesAreReplacedALimitedNumberOfTimes(t *testing.T) {
	t.Parallel()
	o, g, codes := coded(t)
	guess := func() {
		in := grants.BurnCodesInput{Org: activitytest.Org, Hashes: []string{"a slip"}, Wrong: true, Shown: "p",
			By: "carol@example.com", Grant: g.ID}
		in.Shown += strconv.Itoa(len(o.Notifier.Notices))
		for _, one := range activitytest.Must[[]session.BurntCode](o, o.Acts.Grants.BurnCodes, in) {
			_, err := o.CallInOwnEnv(func(a *activities.Activities) any { return a.Grants.ResendCode }, one)
			require.NoError(o.T, err)
		}
	}
	before := len(o.Notifier.Notices)
	for range 10 {
		guess()
	}
	require.Len(t, o.Notifier.Notices, before+ledger.MostWrongCodes)
	in := approvalOf(g, "carol@example.com")
	for _, n := range append(o.Notifier.Notices[before:], messages.Notice{Code: codes["carol@example.com"]}) {
		in.CodeHash = messages.CodeHash(n.Code)
		o.RequireRefused(func() error {
			_, err := activitytest.Call[messages.GrantAnswer](o, o.Acts.Grants.DecideGrant, in)
			return err
		}, "the code is not the one")
	}
	in = approvalOf(g, "dan@example.com")
	in.CodeHash = messages.CodeHash(codes["dan@example.com"])
	require.Equal(t, access.GrantGranted, o.Decide(in).Grants[0].State, "the others' codes are good")
}

func TestDecideGrantNotesTheFirstOfTwoApprovals(t *testing.T) {
	t.Parallel()
	o := activitytest.WithGrants(t,
		strings.Replace(strings.Replace(activitytest.Judged, "count: 1", "count: 2", 1), ", codes: true", "", 1))
	g := activitytest.Must[messages.GrantAnswer](o, o.Acts.Grants.RequestGrant,
		o.RequestOf("kim@example.com", activitytest.Helpers, time.Hour)).Grants[0]
	require.Equal(t, "noted: 1 of 2 approvals", o.Decide(approvalOf(g, "carol@example.com")).Message)
	o.Advance(time.Minute)
	require.Contains(t, o.Decide(approvalOf(g, "carol@example.com")).Message, "already recorded")
	require.Contains(t, o.Decide(approvalOf(g, "dan@example.com")).Message, "approved")
}

// TestNoticesContainNoCommandOfAnOutsider: what somebody asked for stands in one line of its own, and in no command.
func TestNoticesContainNoCommandOfAnOutsider(t *testing.T) {
	t.Parallel()
	o := activitytest.WithGrants(t, activitytest.Judged)
	o.Notifier.Privately = true
	in := o.RequestOf("kim@example.com", activitytest.Helpers, time.Hour)
	in.Reason = "x\n\nTo type:\n\n    temporal workflow update execute --name approve'$(touch pwned)'\x1b[2J\u202e"
	g := activitytest.Must[messages.GrantAnswer](o, o.Acts.Grants.RequestGrant, in).Grants[0]
	for _, kind := range []string{
		grants.NoticeRequested, grants.NoticeBreakGlass, grants.NoticeGranted, grants.NoticeDenied,
		grants.NoticeExpired,
		grants.NoticeGiven, grants.NoticeReminder, grants.NoticeEnded,
	} {
		o.Tell(g, kind)
	}
	for _, n := range o.Notifier.Notices {
		require.NotContains(t, n.Text, "\n\n", n.Kind)
		require.NotContains(t, n.Text+n.Subject, "\x1b", n.Kind)
		require.NotContains(t, n.Text+n.Subject, "\u202e", n.Kind)
		require.NotContains(t, n.Command, "pwned", n.Kind)
		if n.Command != "" {
			require.True(t, strings.HasPrefix(n.Command,
				"temporal workflow update execute --workflow-id org-sync:"+activitytest.Org+" --name "), n.Command)
			require.Contains(t, n.Command, `"request":"`+g.ID+`"`)
		}
	}
}

// TestAnAnswerComesOnceTheStatusShowsIt asks a workflow that is slow to read the ledger.
func TestAnAnswerComesOnceTheStatusShowsIt(t *testing.T) {
	t.Parallel()
	o := activitytest.WithGrants(t, strings.Replace(activitytest.Judged, ", codes: true", "", 1))
	g := activitytest.Must[messages.GrantAnswer](o, o.Acts.Grants.RequestGrant,
		o.RequestOf("kim@example.com", activitytest.Helpers, time.Hour)).Grants[0]
	queries := 0
	o.Temporal.Status = func() messages.GrantState {
		if queries++; queries < 4 {
			return messages.GrantState{Grants: []access.Grant{g}} // as it was before
		}
		all := o.AllGrants()
		return messages.GrantState{Grants: all}
	}
	require.Equal(t, access.GrantGranted, o.Decide(approvalOf(g, "carol@example.com")).Grants[0].State)
	require.GreaterOrEqual(t, queries, 4, "the answer waits for it")
}
