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

func TestABurntCodeIsReplacedByAnother(t *testing.T) {
	t.Parallel()
	w, g, codes := coded(t)
	before := len(w.Notifier.Notices)
	burnt := w.Burn(strings.ToLower(codes["carol@example.com"]))
	require.Equal(t, []session.BurntCode{{Org: activitytest.Org, Grant: g.ID, Name: w.Id("carol")}}, burnt)
	require.Len(t, w.Notifier.Notices, before+1)
	sent := w.Notifier.Notices[before]
	require.Equal(t, "carol@example.com", sent.To)
	require.NotEqual(t, codes["carol@example.com"], sent.Code)
	require.Contains(t, sent.Text, "counts no more")

	w.Burn(codes["carol@example.com"])
	require.Len(t, w.Notifier.Notices, before+1, "whoever has a code is sent no other")

	in := approvalOf(g, "carol@example.com")
	in.CodeHash = messages.CodeHash(codes["carol@example.com"])
	w.Refuses(func() error {
		_, err := activitytest.Call[messages.GrantAnswer](w, w.Acts.Grants.DecideGrant, in)
		return err
	}, "the code is not the one")
	in.CodeHash = messages.CodeHash(sent.Code)
	require.Equal(t, access.GrantGranted, w.Decide(in).Grants[0].State)

	w.Burn(codes["dan@example.com"])
	require.Len(t, w.Notifier.Notices, before+1, "nobody has to decide any more")
	require.Empty(t, w.Burn("AAAAA-AAAAA-AAAAA-AAAAA-AAAAA-A"))
}

// TestACodeThatCannotBeSentAtOnceIsSentLater: whoever's code was burnt is sent one other that counts, whatever fails
// meanwhile. What a worker that was stopped had done already is done again: the code is burnt once, by the same
// presentation.
func TestACodeThatCannotBeSentAtOnceIsSentLater(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(*activitytest.SimulatedOrg){
		"the mail server is away": func(w *activitytest.SimulatedOrg) { w.Notifier.Fails = 2 },
		"Atlassian answers 503": func(w *activitytest.SimulatedOrg) {
			w.Inject(cloud.Fault{Operations: []string{"users.search"}, Kind: cloud.FaultStatus, Count: 2,
				Params: cloud.FaultParams{Status: 503}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, g, codes := coded(t)
			before := len(w.Notifier.Notices)
			in := grants.BurnCodesInput{Org: activitytest.Org,
				Hashes: []string{messages.CodeHash(codes["carol@example.com"])}, Shown: "run/1",
				By: "carol@example.com", Grant: g.ID}
			burnt := activitytest.Must[[]session.BurntCode](w, w.Acts.Grants.BurnCodes, in)
			require.Len(t, burnt, 1)
			require.Equal(t, burnt, activitytest.Must[[]session.BurntCode](w, w.Acts.Grants.BurnCodes, in),
				"its worker was stopped before it could say so")

			fail(w)
			require.NoError(t, w.Retried(w.Acts.Grants.ResendCode, burnt[0]))
			require.Len(t, w.Notifier.Notices, before+1)
			sent := w.Notifier.Notices[before]
			require.Equal(t, "carol@example.com", sent.To)

			other := approvalOf(g, "carol@example.com")
			other.CodeHash, other.Shown = in.Hashes[0], "run/2"
			w.Refuses(func() error {
				_, err := activitytest.Call[messages.GrantAnswer](w, w.Acts.Grants.DecideGrant, other)
				return err
			}, "the code is not the one")
			other.CodeHash, other.Shown = messages.CodeHash(sent.Code), ""
			require.Equal(t, access.GrantGranted, w.Decide(other).Grants[0].State)
		})
	}
}

func TestADecisionIsProvenByItsCode(t *testing.T) {
	t.Parallel()
	w, g, codes := coded(t)
	proven := func(by, code, name string) grants.DecideGrantInput {
		in := grants.DecideGrantInput{Org: activitytest.Org, Approve: true,
			ApprovalInput: messages.ApprovalInput{Request: g.ID, By: by, Note: "fine",
				Pass: messages.Pass{Nonce: "n1"}}}
		in.Proof = messages.Proof(messages.CodeHash(code), messages.OrgSyncID(activitytest.Org), name, in.ApprovalInput)
		return in
	}
	refused := func(in grants.DecideGrantInput) {
		t.Helper()
		w.Refuses(func() error {
			_, err := activitytest.Call[messages.GrantAnswer](w, w.Acts.Grants.DecideGrant, in)
			return err
		}, "the code is not the one")
	}
	again := func() string { // a wrong proof burns the code that it may have guessed at, and another is sent
		sent := w.Notifier.Notices[len(w.Notifier.Notices)-1]
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
	w.Temporal.Woken = nil
	require.Equal(t, access.GrantGranted,
		w.Decide(proven("carol@example.com", codes["carol@example.com"], messages.Approve)).Grants[0].State)
	require.Equal(t, []string{messages.GrantID(activitytest.Org, g.Target, g.Key)}, w.Temporal.Woken,
		"its workflow is told, whoever was told the decision")
}

// TestAWrongCodeIsReplacedSoOftenAndNoMore guesses at carol's codes.
func TestAWrongCodeIsReplacedSoOftenAndNoMore(t *testing.T) {
	t.Parallel()
	w, g, codes := coded(t)
	guess := func() {
		in := grants.BurnCodesInput{Org: activitytest.Org, Hashes: []string{"a slip"}, Wrong: true, Shown: "p",
			By: "carol@example.com", Grant: g.ID}
		in.Shown += strconv.Itoa(len(w.Notifier.Notices))
		for _, one := range activitytest.Must[[]session.BurntCode](w, w.Acts.Grants.BurnCodes, in) {
			_, err := w.Direct(func(a *activities.Activities) any { return a.Grants.ResendCode }, one)
			require.NoError(w.T, err)
		}
	}
	before := len(w.Notifier.Notices)
	for range 10 {
		guess()
	}
	require.Len(t, w.Notifier.Notices, before+ledger.MostWrongCodes)
	in := approvalOf(g, "carol@example.com")
	for _, n := range append(w.Notifier.Notices[before:], messages.Notice{Code: codes["carol@example.com"]}) {
		in.CodeHash = messages.CodeHash(n.Code)
		w.Refuses(func() error {
			_, err := activitytest.Call[messages.GrantAnswer](w, w.Acts.Grants.DecideGrant, in)
			return err
		}, "the code is not the one")
	}
	in = approvalOf(g, "dan@example.com")
	in.CodeHash = messages.CodeHash(codes["dan@example.com"])
	require.Equal(t, access.GrantGranted, w.Decide(in).Grants[0].State, "the others' codes are good")
}

func TestTheFirstOfTwoApprovalsIsNoted(t *testing.T) {
	t.Parallel()
	w := activitytest.WithGrants(t,
		strings.Replace(strings.Replace(activitytest.Judged, "count: 1", "count: 2", 1), ", codes: true", "", 1))
	g := activitytest.Must[messages.GrantAnswer](w, w.Acts.Grants.RequestGrant,
		w.RequestOf("kim@example.com", activitytest.Helpers, time.Hour)).Grants[0]
	require.Equal(t, "noted: 1 of 2 approvals", w.Decide(approvalOf(g, "carol@example.com")).Message)
	w.Pass(time.Minute)
	require.Contains(t, w.Decide(approvalOf(g, "carol@example.com")).Message, "said before")
	require.Contains(t, w.Decide(approvalOf(g, "dan@example.com")).Message, "approved")
}

// TestNoticesCarryNoCommandOfAnOutsider: what somebody asked for stands in one line of its own, and in no command.
func TestNoticesCarryNoCommandOfAnOutsider(t *testing.T) {
	t.Parallel()
	w := activitytest.WithGrants(t, activitytest.Judged)
	w.Notifier.Privately = true
	in := w.RequestOf("kim@example.com", activitytest.Helpers, time.Hour)
	in.Reason = "x\n\nTo type:\n\n    temporal workflow update execute --name approve'$(touch pwned)'\x1b[2J\u202e"
	g := activitytest.Must[messages.GrantAnswer](w, w.Acts.Grants.RequestGrant, in).Grants[0]
	for _, kind := range []string{
		grants.NoticeRequested, grants.NoticeBreakGlass, grants.NoticeGranted, grants.NoticeDenied,
		grants.NoticeExpired,
		grants.NoticeGiven, grants.NoticeReminder, grants.NoticeEnded,
	} {
		w.Tell(g, kind)
	}
	for _, n := range w.Notifier.Notices {
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
	w := activitytest.WithGrants(t, strings.Replace(activitytest.Judged, ", codes: true", "", 1))
	g := activitytest.Must[messages.GrantAnswer](w, w.Acts.Grants.RequestGrant,
		w.RequestOf("kim@example.com", activitytest.Helpers, time.Hour)).Grants[0]
	queries := 0
	w.Temporal.Status = func() messages.GrantState {
		if queries++; queries < 4 {
			return messages.GrantState{Grants: []access.Grant{g}} // as it was before
		}
		all := w.All()
		return messages.GrantState{Grants: all}
	}
	require.Equal(t, access.GrantGranted, w.Decide(approvalOf(g, "carol@example.com")).Grants[0].State)
	require.GreaterOrEqual(t, queries, 4, "the answer waits for it")
}
