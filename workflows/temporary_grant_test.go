package workflows_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/messages"
)

// given and taken are moves, a while after the beginning.
func given(at time.Duration) writtenChange { return writtenChange{true, at} }
func taken(at time.Duration) writtenChange { return writtenChange{false, at} }

func TestTemporaryGrantIsGivenAndTakenOnTime(t *testing.T) {
	l := newGrantTest(t, grantFrom("g1", 0, 2*time.Hour))
	l.replies = func(int, messages.ReconcileGrantSignal) loopReply {
		return loopReply{after: time.Second, verify: 2 * time.Second}
	}
	l.at(2*time.Second, func() { require.Equal(t, messages.GrantGiving, l.status().State) })
	l.at(time.Hour, func() {
		require.Equal(t, messages.GrantActive, l.status().State)
		contains(t, l.page(), holder, string(admin), "until 2026-03-02 11:00", "INC-1", "--name revoke")
	})
	l.at(2*time.Hour+2*time.Second, func() { require.Equal(t, messages.GrantTaking, l.status().State) })
	state := l.mustEnd()
	require.Equal(t, []writtenChange{given(time.Second), taken(2*time.Hour + time.Second)}, l.moves)
	require.Len(t, l.asks, 2, "it asks once for each")
	require.Equal(t, messages.GrantOver, state.State)
	require.Equal(t, begin.Add(2*time.Hour+3*time.Second), state.Grants[0].RevokedAt.Truncate(time.Second))
	require.Nil(t, state.Blocked)
}

// The end is arranged before the beginning.
func TestTemporaryGrantEndTimerRunsBeforeAccessIsAskedFor(t *testing.T) {
	for name, one := range map[string]access.Grant{
		"at once": grantFrom("g1", 0, time.Hour), "later": grantFrom("g1", 3*24*time.Hour, time.Hour),
	} {
		t.Run(name, func(t *testing.T) {
			l := newGrantTest(t, one)
			l.mustEnd()
			require.True(t, l.asks[0].armed, "nobody would wake for the end if this were its last task")
		})
	}
}

// Overlapping leases are a union: the loop is asked at each begin and end, and takes after the last.
func TestTemporaryGrantOverlappingLeases(t *testing.T) {
	l := newGrantTest(t, grantFrom("g1", 0, 2*time.Hour))
	l.at(time.Hour, func() { l.addGrant(grantFrom("g2", time.Hour, 3*time.Hour)) })
	l.at(90*time.Minute, func() { l.addGrant(grantFrom("g3", 90*time.Minute, 10*time.Minute)) })
	l.at(2*time.Hour+time.Minute, func() {
		require.Equal(t, messages.GrantActive, l.status().State)
		require.False(t, l.grant("g1").RevokedAt.IsZero(), "the first is settled while the second lasts")
	})
	state := l.mustEnd()
	require.Equal(t, []writtenChange{given(0), taken(4 * time.Hour)}, l.moves)
	require.Len(t, state.Grants, 3)
	require.Len(t, l.notices("grant-given"), 3)
	require.Len(t, l.notices("grant-ended"), 3)
}

func TestTemporaryGrantLeasesWithAGapAreGivenTwice(t *testing.T) {
	l := newGrantTest(t, grantFrom("g1", 0, time.Hour), grantFrom("g2", 2*time.Hour, time.Hour))
	l.at(90*time.Minute, func() { require.Equal(t, messages.GrantScheduled, l.status().State) })
	l.mustEnd()
	require.Equal(t, []writtenChange{given(0), taken(time.Hour), given(2 * time.Hour), taken(3 * time.Hour)}, l.moves)
}

func TestTemporaryGrantLeasesThatTouchAreNotTakenBetween(t *testing.T) {
	l := newGrantTest(t, grantFrom("g1", 0, time.Hour), grantFrom("g2", time.Hour, time.Hour))
	l.mustEnd()
	require.Equal(t, []writtenChange{given(0), taken(2 * time.Hour)}, l.moves)
}

func TestTemporaryGrantEarlyEnd(t *testing.T) {
	done := messages.RevokeInput{Reason: "done", RequestedBy: "bo@acme.example"}
	t.Run("of all", func(t *testing.T) {
		l := newGrantTest(t, grantFrom("g1", 0, 2*time.Hour), grantFrom("g2", 0, 3*time.Hour),
			grantFrom("g3", 5*time.Hour, time.Hour))
		ended := l.updateAt(time.Hour, messages.Revoke, done)
		state := l.mustEnd()
		require.NoError(t, ended.err)
		require.Equal(t, []writtenChange{given(0), taken(time.Hour)}, l.moves)
		require.Equal(t, "bo@acme.example", state.Grants[0].ClosedBy)
		require.Equal(t, time.Hour, l.since(), "nothing is waited for that was ended before it began")
	})
	t.Run("of one", func(t *testing.T) {
		l := newGrantTest(t, grantFrom("g1", 0, 2*time.Hour), grantFrom("g2", 0, 3*time.Hour))
		one := done
		one.Request = "g2"
		l.signalAt(time.Hour, messages.Revoke, one)
		l.mustEnd()
		require.Equal(t, []writtenChange{given(0), taken(2 * time.Hour)}, l.moves)
	})
	t.Run("elsewhere", func(t *testing.T) { // by OrgSync: the ledger's activity says look
		l := newGrantTest(t, grantFrom("g1", 0, 2*time.Hour))
		l.at(time.Hour, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.end(&l.book[0], "bo", "done")
			l.env.SignalWorkflow(messages.Look, nil)
		})
		l.mustEnd()
		require.Equal(t, []writtenChange{given(0), taken(time.Hour)}, l.moves)
	})
	t.Run("by hand", func(t *testing.T) {
		l := newGrantTest(t, grantFrom("g1", 0, 2*time.Hour))
		l.at(time.Hour, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.end(&l.book[0], "", "taken by hand")
			l.book[0].RemovedByHand = true
			l.env.SignalWorkflow(messages.Look, nil)
		})
		l.mustEnd()
		require.Equal(t, []time.Duration{time.Hour}, l.notices("grant-hand-taken g1"), "at once")
		require.Empty(t, l.notices("grant-ended"))
	})
	t.Run("while it is given", func(t *testing.T) {
		l := newGrantTest(t, grantFrom("g1", 0, 2*time.Hour))
		l.replies = func(int, messages.ReconcileGrantSignal) loopReply {
			return loopReply{after: 10 * time.Second, verify: 10 * time.Second}
		}
		l.updateAt(15*time.Second, messages.Revoke, done)
		l.mustEnd()
		require.Equal(t, []writtenChange{given(10 * time.Second), taken(25 * time.Second)}, l.moves,
			"the end is asked for though the beginning is not answered")
	})
}

func TestTemporaryGrantThatIsApproved(t *testing.T) {
	l := newGrantTest(t, waiting("g1", time.Hour, 24*time.Hour))
	l.book[0].Needs = 2
	l.at(time.Hour, func() {
		require.Equal(t, messages.GrantWaiting, l.status().State)
		require.Empty(t, l.asks, "nothing is asked for before it is approved")
		contains(t, l.page(), "2 of 2 approvals", "carol@acme.example", "--name approve", "--name deny")
	})
	first := l.updateAt(2*time.Hour, messages.Approve, messages.ApprovalInput{By: "carol@acme.example", Note: "CHG-1"})
	again := l.updateAt(3*time.Hour, messages.Approve, messages.ApprovalInput{By: "carol@acme.example"})
	l.at(3*time.Hour+time.Minute, func() {
		contains(t, l.page(), "1 of 2 approvals",
			"approved by carol@acme.example")
	})
	l.signalAt(5*time.Hour, messages.Approve, messages.ApprovalInput{By: "dan@acme.example"})
	l.mustEnd()
	contains(t, first.message(t), "approved")
	contains(t, again.message(t), "nothing changes")
	require.Equal(t, []writtenChange{given(5 * time.Hour), taken(6 * time.Hour)}, l.moves)
	require.Equal(t, []time.Duration{0}, l.notices("grant-requested g1"))
	require.Equal(t, []time.Duration{5 * time.Hour}, l.notices("grant-granted g1"))
}

// The code goes no further than its hash.
func TestTemporaryGrantApprovalByCode(t *testing.T) {
	l := newGrantTest(t, waiting("g1", time.Hour, 24*time.Hour))
	l.book[0].Codes = true
	l.hashes["carol@acme.example"] = messages.CodeHash("ABCDE-FGHIJ")
	wrong := l.updateAt(time.Hour, messages.Approve,
		messages.ApprovalInput{By: "carol@acme.example", Credential: messages.Credential{Code: "WRONG-CODES"}})
	right := l.updateAt(2*time.Hour, messages.Approve,
		messages.ApprovalInput{By: "carol@acme.example", Credential: messages.Credential{Code: "abcde fghij"}})
	l.at(2*time.Hour+time.Second, func() { require.NotContains(t, l.page(), "FGHIJ") })
	l.mustEnd()
	require.ErrorContains(t, wrong.err, "the code is not the one")
	require.NoError(t, right.err)
	require.Equal(t, []string{messages.CodeHash("WRONGCODES"), messages.CodeHash("ABCDEFGHIJ")}, l.codes.burnt,
		"what was typed counts no more")
	for _, in := range l.decided {
		require.Empty(t, in.Code, "the code stands in the history")
		require.Len(t, in.CodeHash, 64)
	}
}

func TestTemporaryGrantThatIsDenied(t *testing.T) {
	l := newGrantTest(t, waiting("g1", time.Hour, 24*time.Hour))
	l.updateAt(time.Hour, messages.Deny, messages.ApprovalInput{By: "dan@acme.example", Note: "not now"})
	state := l.mustEnd()
	require.Equal(t, access.GrantDenied, state.Grants[0].State)
	require.Empty(t, l.asks)
	require.Equal(t, []time.Duration{time.Hour}, l.notices("grant-denied g1"))
	require.Equal(t, time.Hour, l.since())
}

func TestTemporaryGrantThatNobodyDecides(t *testing.T) {
	l := newGrantTest(t, waiting("g1", time.Hour, 24*time.Hour))
	state := l.mustEnd()
	require.Equal(t, access.GrantExpired, state.Grants[0].State)
	require.Empty(t, l.asks)
	require.Equal(t, []time.Duration{24 * time.Hour}, l.notices("grant-expired g1"))
}

// A request that expires takes nothing of what another lease gives.
func TestTemporaryGrantRequestBesideALease(t *testing.T) {
	l := newGrantTest(t, grantFrom("g1", 0, 48*time.Hour), waiting("g2", time.Hour, 24*time.Hour))
	l.at(time.Hour, func() { require.Equal(t, messages.GrantActive, l.status().State) })
	l.mustEnd()
	require.Equal(t, []writtenChange{given(0), taken(48 * time.Hour)}, l.moves)
}

func TestTemporaryGrantExtension(t *testing.T) {
	l := newGrantTest(t, grantFrom("g1", 0, time.Hour))
	body := messages.ExtendInput{Duration: messages.Duration(time.Hour), RequestedBy: "eve@acme.example",
		RequestID: "x1"}
	l.updateAt(50*time.Minute, messages.Extend, body)
	repeated := l.updateAt(55*time.Minute, messages.Extend, body)
	l.at(90*time.Minute, func() { contains(t, l.page(), "continues `g1`") })
	state := l.mustEnd()
	contains(t, repeated.message(t), "asked for already")
	require.Equal(t, []writtenChange{given(0), taken(2 * time.Hour)}, l.moves)
	require.Equal(t, "g1", state.Grants[1].Renews)
}

func TestTemporaryGrantThatStartsLater(t *testing.T) {
	l := newGrantTest(t, grantFrom("g1", 72*time.Hour, time.Hour))
	l.at(71*time.Hour, func() {
		require.Equal(t, messages.GrantScheduled, l.status().State)
		require.Empty(t, l.asks)
	})
	l.mustEnd()
	require.Equal(t, []writtenChange{given(72 * time.Hour), taken(73 * time.Hour)}, l.moves)
}

func TestTemporaryGrantReminder(t *testing.T) {
	one := grantFrom("g1", 0, 2*time.Hour)
	one.Remind = access.Duration(15 * time.Minute)
	l := newGrantTest(t, one)
	l.mustEnd()
	require.Equal(t, []time.Duration{105 * time.Minute}, l.notices("grant-reminder g1"))
	require.Equal(t, []time.Duration{0}, l.notices("grant-given g1"))
	require.Equal(t, []time.Duration{2 * time.Hour}, l.notices("grant-ended g1"))
}

func TestTemporaryGrantBreakGlassGrantIsToldAtOnce(t *testing.T) {
	one := grantFrom("g1", 0, time.Hour)
	one.Urgent = true
	l := newGrantTest(t, one)
	l.mustEnd()
	require.Equal(t, []time.Duration{0}, l.notices("grant-break-glass g1"))
}

// The workflow list shows who, what, how it stands, and until when.
func TestTemporaryGrantSearchAttributes(t *testing.T) {
	l := newGrantTest(t, grantFrom("g1", 0, time.Hour))
	is := func(state string, until time.Duration) {
		t.Helper()
		for key, want := range map[temporal.SearchAttributeKeyKeyword]string{
			messages.AttributeOrg: org, messages.AttributeTarget: string(admin), messages.AttributePerson: holder,
			messages.AttributeState: state,
		} {
			have, ok := l.shown.GetKeyword(key)
			require.True(t, ok, key.GetName())
			require.Equal(t, want, have)
		}
		have, _ := l.shown.GetTime(messages.AttributeUntil)
		require.Equal(t, begin.Add(until), have.UTC())
	}
	l.at(30*time.Minute, func() { is(messages.GrantActive, time.Hour) })
	l.at(40*time.Minute, func() { l.addGrant(grantFrom("g2", 40*time.Minute, time.Hour)) })
	l.at(41*time.Minute, func() { is(messages.GrantActive, 100*time.Minute) })
	l.mustEnd()
	is(messages.GrantOver, 100*time.Minute)
}

func TestTemporaryGrantUnderAnotherWorkflowIDIsRefused(t *testing.T) {
	l := newGrantTest(t)
	l.openHistory(begin)
	l.env.SetStartWorkflowOptions(client.StartWorkflowOptions{ID: "grant:acme:mine",
		TaskQueue: messages.QueueWorkflows})
	l.env.ExecuteWorkflow(messages.TemporaryGrant, l.input)
	err := l.env.GetWorkflowError()
	require.False(t, workflow.IsContinueAsNewError(err))
	require.ErrorContains(t, err, messages.GrantID(org, admin, holder))
	require.Empty(t, l.asks)
}

func TestTemporaryGrantWaitsForTheRequestItWasStartedFor(t *testing.T) {
	l := newGrantTest(t)
	l.at(20*time.Second, func() { l.addGrant(grantFrom("g1", 0, time.Hour)) })
	require.Equal(t, messages.GrantOver, l.mustEnd().State)
	require.Len(t, l.moves, 2, "what is stored after the start is given, and taken back")
}

func TestTemporaryGrantSeesARequestThatDidNotWakeIt(t *testing.T) {
	l := newGrantTest(t)
	l.at(20*time.Second, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.book = append(l.book, grantFrom("g1", 0, time.Hour))
	})
	require.Equal(t, messages.GrantOver, l.mustEnd().State)
	require.Len(t, l.moves, 2)
}

func TestTemporaryGrantEndsWithoutARequest(t *testing.T) {
	l := newGrantTest(t)
	l.mustEnd()
	require.Empty(t, l.moves)
}

// TestTemporaryGrantReasonForgesNothingOnAGrantsPage: what somebody typed is no heading, no command and no link there.
func TestTemporaryGrantReasonForgesNothingOnAGrantsPage(t *testing.T) {
	g := waiting("g1", time.Hour, 24*time.Hour)
	g.Reason = "x\n\n### Request `g9`: approved\n\n    temporal workflow update execute \\\n      --name approve\n\n[look](https://evil.example) <b>`code`</b>\x1b[31m"
	l := newGrantTest(t, g)
	l.at(time.Minute, func() {
		page := l.page()
		headings, commands := 0, 0
		for _, line := range strings.Split(page, "\n") {
			if strings.HasPrefix(line, "### ") {
				headings++
			}
			if strings.HasPrefix(line, "    temporal ") {
				commands++
			}
		}
		require.Equal(t, 1, headings, page)
		require.Equal(t, 2, commands, "approve and deny")
		contains(t, page, "--workflow-id org-sync:"+org+" ", `--input '{"request":"g1","by":"you@example.com"`,
			"`[look](https://evil.example)`", "⟨U+001B⟩")
		require.NotContains(t, page, "\x1b")
		require.NotContains(t, page, " <b>", "it is escaped")
	})
	l.cancelAt(2 * time.Minute)
	_, _ = l.runToEnd()
}

// TestTemporaryGrantAnswersShowWhatCannotBeSeen: who asks with Temporal's CLI reads what others typed, and
// no more than that.
func TestTemporaryGrantAnswersShowWhatCannotBeSeen(t *testing.T) {
	const typed = "x\n## Approved\x1b[2J\u009b31m\u202e"
	const shown = "x ## Approved⟨U+001B⟩[2J⟨U+009B⟩31m⟨U+202E⟩"
	g := waiting("g1", time.Hour, 24*time.Hour)
	g.Reason = typed
	l := newGrantTest(t, g)
	approved := &answer{}
	l.at(time.Minute, func() { l.env.SignalWorkflow(typed, map[string]string{"by": typed}) })
	l.at(2*time.Minute, func() {
		status := l.status()
		require.Equal(t, shown, status.Grants[0].Reason)
		require.Equal(t, shown, status.Refused[0].Name)
		require.Contains(t, status.Refused[0].By, "⟨U+202E⟩")
		require.Equal(t, typed, l.grant("g1").Reason, "the ledger keeps what was said")
		l.env.UpdateWorkflow(messages.Approve, "", approved, map[string]string{"by": "carol@acme.example"})
	})
	state := l.mustEnd()
	require.Contains(t, approved.message(t), shown)
	require.Equal(t, shown, state.Grants[0].Reason)
}

func TestTemporaryGrantRefusesInOneVisibleLine(t *testing.T) {
	l := newGrantTest(t, waiting("g1", time.Hour, 24*time.Hour))
	said := &answer{}
	l.at(time.Minute, func() {
		l.env.UpdateWorkflow(messages.Revoke, "", said,
			map[string]string{"requestedBy": "bo@acme.example", "target": "group:x\n\x1b[2J\u202e"})
	})
	l.cancelAt(2 * time.Minute)
	_, _ = l.runToEnd()
	require.ErrorContains(t, said.rejected, "not group:x ⟨U+001B⟩[2J⟨U+202E⟩")
}
