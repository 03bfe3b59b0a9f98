package workflows_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/grants"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
)

// Signals that say nothing new change nothing, in whatever order and number they come.
func TestTemporaryGrantSignalsThatRepeatChangeNothing(t *testing.T) {
	l := newGrantTest(t, grantFrom("g1", 0, 2*time.Hour), grantFrom("g2", time.Hour, 2*time.Hour))
	for i := range 30 {
		at := time.Duration(i) * 7 * time.Minute
		l.signalAt(at, messages.Look, nil)
		l.signalAt(at, messages.Look, nil)
		l.signalAt(at, messages.GrantReconciled,
			messages.GrantReconciledSignal{Turn: i%5 - 1, Right: i%2 == 0, Why: "an old answer"})
	}
	state := l.mustEnd()
	require.Equal(t, []writtenChange{given(0), taken(3 * time.Hour)}, l.moves)
	require.Equal(t, []time.Duration{0, time.Hour, 2 * time.Hour, 3 * time.Hour}, times(l.asks))
	require.Len(t, l.told, 4)
	require.Nil(t, state.Blocked)
}

// The signal that started the workflow comes with its first task.
func TestTemporaryGrantSignalsThatComeWithTheStart(t *testing.T) {
	l := newGrantTest(t, waiting("g1", time.Hour, 24*time.Hour))
	l.signalAt(0, messages.Look, nil)
	l.signalAt(0, messages.GrantReconciled, messages.GrantReconciledSignal{Turn: 3, Right: true})
	l.signalAt(0, messages.Approve, typed(`{"by":"carol@acme.example"}`))
	state := l.mustEnd()
	require.Equal(t, []writtenChange{given(0), taken(time.Hour)}, l.moves)
	require.Empty(t, state.Refused)
}

// A signal with bad input is shown, and nothing comes of it.
func TestTemporaryGrantBadSignals(t *testing.T) {
	for name, test := range map[string]struct {
		signal, body, why string
	}{
		"nobody approves":   {messages.Approve, `{"request":"g1"}`, "by is missing"},
		"nobody denies":     {messages.Deny, `{}`, "by is missing"},
		"an unknown field":  {messages.Approve, `{"by":"carol@acme.example","plan":"x"}`, "plan"},
		"no JSON object":    {messages.Approve, `"carol"`, "input is not valid"},
		"no approver":       {messages.Approve, `{"by":"eve@acme.example"}`, "only the approvers"},
		"no time":           {messages.Extend, `{"requestedBy":"eve@acme.example"}`, "duration is missing"},
		"a time of no kind": {messages.Extend, `{"requestedBy":"eve@acme.example","duration":"soon"}`, "soon"},
		"nobody extends":    {messages.Extend, `{"duration":"1h"}`, "requestedBy is missing"},
		"nothing to extend": {messages.Extend, `{"duration":"1h","requestedBy":"eve@acme.example"}`,
			"that could be extended"},
		"nobody ends it": {messages.Revoke, `{"reason":"done"}`, "requestedBy is missing"},
		"another target": {messages.Revoke, `{"target":"group:x","requestedBy":"bo@acme.example"}`,
			"this workflow is about"},
		"an unknown signal": {"aprove", `{"by":"carol@acme.example"}`,
			"there is no such signal; the signals are approve, deny, extend, revoke"},
		"a signal of OrgSync": {messages.Grant, `{}`, "there is no such signal"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newGrantTest(t, waiting("g1", time.Hour, 24*time.Hour))
			l.signalAt(time.Hour, test.signal, typed(test.body))
			l.at(2*time.Hour, func() {
				state := l.status()
				require.Equal(t, messages.GrantWaiting, state.State)
				require.Len(t, state.Refused, 1)
				require.Equal(t, test.signal, state.Refused[0].Name)
				contains(t, state.Refused[0].Why, test.why)
				contains(t, l.page(), "### Signals that were not accepted", test.signal)
			})
			state := l.mustEnd()
			require.Equal(t, access.GrantExpired, state.Grants[0].State)
			require.Empty(t, l.revoked)
		})
	}
}

// What is refused as an update leaves no trace.
func TestTemporaryGrantBadUpdatesAreRejected(t *testing.T) {
	l := newGrantTest(t, grantFrom("g1", 0, time.Hour))
	nobody := l.updateAt(time.Minute, messages.Approve, messages.ApprovalInput{})
	forever := l.updateAt(time.Minute, messages.Extend, messages.ExtendInput{RequestedBy: "eve@acme.example"})
	elsewhere := l.updateAt(time.Minute, messages.Revoke,
		messages.RevokeInput{Target: "group:x", RequestedBy: "bo@acme.example"})
	state := l.mustEnd()
	require.ErrorContains(t, nobody.rejected, "by is missing")
	require.ErrorContains(t, forever.rejected, "duration is missing")
	require.ErrorContains(t, elsewhere.rejected, "this workflow is about role:org-admin")
	require.Empty(t, state.Refused)
	require.Equal(t, []writtenChange{given(0), taken(time.Hour)}, l.moves)
}

func TestTemporaryGrantOnlyTheLastRefusalsAreKept(t *testing.T) {
	l := newGrantTest(t, grantFrom("g1", 0, time.Hour))
	for i := range 25 {
		l.signalAt(time.Duration(i+1)*time.Minute, fmt.Sprintf("word-%02d", i), typed(`{}`))
	}
	state := l.mustEnd()
	require.Len(t, state.Refused, 10)
	require.Equal(t, "word-24", lastOf(state.Refused).Name)
}

// cancelled runs the workflow until it has ended, which it must do as cancelled.
func (l *grantTest) cancelled() {
	l.t.Helper()
	_, err := l.runToEnd()
	var cancelled *temporal.CanceledError
	require.ErrorAs(l.t, err, &cancelled)
	require.False(l.t, l.holds, "access is left when the workflow is over")
	for _, g := range l.book {
		require.True(l.t, g.Settled(), "lease %s is %s", g.ID, g.State)
	}
}

// A cancelled grant ends early, and is taken back before the workflow ends.
func TestTemporaryGrantCancelledGrant(t *testing.T) {
	l := newGrantTest(t, grantFrom("g1", 0, 10*time.Hour), grantFrom("g2", 0, 20*time.Hour),
		grantFrom("g3", 30*time.Hour, time.Hour),
		waiting("g4", time.Hour, 40*time.Hour))
	l.replies = func(int, messages.ReconcileGrantSignal) loopReply {
		return loopReply{after: 3 * time.Second, verify: 5 * time.Second}
	}
	l.cancelAt(time.Hour)
	l.cancelled()
	require.Equal(t, []writtenChange{given(3 * time.Second), taken(time.Hour + 3*time.Second)}, l.moves)
	require.Equal(t, time.Hour+8*time.Second, l.since())
	require.Equal(t, []grants.RevokeGrantInput{{Org: org, Key: holder, RevokeInput: messages.RevokeInput{
		Target: admin, RequestedBy: "Temporal", Reason: "the grant's workflow was cancelled",
	}}}, l.revoked)
	require.Equal(t, []time.Duration{time.Hour + 8*time.Second}, l.notices("grant-ended g1"))
}

// It goes on trying, however long that takes, and listens to answers and words meanwhile.
func TestTemporaryGrantCancelledGrantThatCannotBeTaken(t *testing.T) {
	l := newGrantTest(t, grantFrom("g1", 0, 10*time.Hour))
	l.replies = func(int, messages.ReconcileGrantSignal) loopReply {
		switch at := l.since(); {
		case at < time.Hour:
			return loopReply{}
		case at < 2*time.Hour:
			return loopReply{silent: true}
		case at < 3*time.Hour:
			return loopReply{lost: true}
		case at < 10*time.Hour:
			return loopReply{why: "a floor forbids it"}
		}
		return loopReply{}
	}
	l.cancelAt(time.Hour)
	l.at(9*time.Hour, func() { require.Equal(t, messages.GrantBlocked, l.status().State) })
	l.cancelled()
	require.LessOrEqual(t, longest(t, l.gaps(time.Hour, 10*time.Hour)), time.Minute)
	require.LessOrEqual(t, lastOf(l.moves).at, 10*time.Hour+time.Minute)
	require.NotEmpty(t, l.notices("grant-blocked g1"))
}

// A grant that is cancelled before anything was given, or while it is, leaves nothing.
func TestTemporaryGrantCancelledAtItsBeginning(t *testing.T) {
	for _, after := range []time.Duration{0, time.Millisecond, 2 * time.Second, 4 * time.Second, 6 * time.Second} {
		t.Run(after.String(), func(t *testing.T) {
			l := newGrantTest(t, grantFrom("g1", 0, time.Hour))
			l.replies = func(int, messages.ReconcileGrantSignal) loopReply {
				return loopReply{after: 3 * time.Second, verify: 2 * time.Second}
			}
			l.cancelAt(after)
			l.cancelled()
			require.Less(t, l.since(), time.Minute)
		})
	}
}

// What people say to a cancelled grant does not keep it from ending.
func TestTemporaryGrantMessagesToACancelledGrant(t *testing.T) {
	l := newGrantTest(t, grantFrom("g1", 0, 10*time.Hour))
	l.until(90*time.Minute, loopReply{silent: true})
	l.cancelAt(time.Hour)
	for i := range 4 {
		l.signalAt(time.Hour+time.Duration(i+1)*time.Minute, messages.Revoke,
			typed(`{"requestedBy":"bo@acme.example"}`))
	}
	l.signalAt(70*time.Minute, "revok", typed(`{}`))
	l.at(20*time.Hour, func() { require.Fail(t, "the workflow does not end") })
	l.cancelled()
	require.Less(t, l.since(), 2*time.Hour)
}

// A revocation of everything that Temporal's cancellation asks for may fail: the leases end by time, and are taken
// then.
func TestTemporaryGrantCancelledGrantWhoseLedgerRefuses(t *testing.T) {
	l := newGrantTest(t, grantFrom("g1", 0, 2*time.Hour))
	l.refuses["RevokeGrant"] = fatal(session.ErrInvalid, "the database is read-only")
	l.cancelAt(time.Hour)
	l.cancelled()
	require.Equal(t, []writtenChange{given(0), taken(2 * time.Hour)}, l.moves)
}
