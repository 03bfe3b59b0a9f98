package workflows_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/messages"
)

// until plays a loop that does something else until an instant.
func (l *grantTest) until(instant time.Duration, r loopReply) {
	l.replies = func(int, messages.ReconcileGrantSignal) loopReply {
		if l.since() < instant {
			return r
		}
		return loopReply{}
	}
}

// gaps returns the waits between the questions that were asked in a span, in seconds.
func (l *grantTest) gaps(from, to time.Duration) (all []time.Duration) {
	for i := 1; i < len(l.asks); i++ {
		if l.asks[i-1].at >= from && l.asks[i].at <= to {
			all = append(all, (l.asks[i].at - l.asks[i-1].at).Round(time.Second))
		}
	}
	return all
}

func longest(t *testing.T, gaps []time.Duration) time.Duration {
	t.Helper()
	require.NotEmpty(t, gaps)
	longest := gaps[0]
	for _, d := range gaps {
		longest = max(longest, d)
	}
	return longest
}

func TestTemporaryGrantLoopThatIsSilentIsAskedAgain(t *testing.T) {
	l := newGrantTest(t, grantFrom("g1", 0, time.Hour))
	l.until(5*time.Minute, loopReply{silent: true})
	l.mustEnd()
	require.Equal(t, []writtenChange{given(5 * time.Minute), taken(time.Hour)}, l.moves)
	for _, gap := range l.gaps(0, 5*time.Minute) {
		require.Equal(t, time.Minute, gap)
	}
	require.Equal(t, 1, l.asks[0].turn)
	require.Equal(t, 2, l.asks[1].turn, "each question has a number of its own")
}

// However often it is refused, it is tried again, at a bounded distance, across histories, for days.
func TestTemporaryGrantRefusalIsTriedAgain(t *testing.T) {
	for name, test := range map[string]struct {
		refusal       loopReply
		from, lasting time.Duration // of the refusals
		longest       time.Duration
	}{
		"to give":              {loopReply{why: "no licence left"}, 0, 72 * time.Hour, 5 * time.Minute},
		"to take":              {loopReply{why: "a floor forbids it"}, time.Hour, 24 * time.Hour, time.Minute},
		"to give, by accident": {loopReply{why: "503", soon: true}, 0, 3 * time.Hour, 15 * time.Second},
		"to take, by accident": {loopReply{why: "503", soon: true}, time.Hour, 3 * time.Hour, 15 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			over := test.from + test.lasting
			l := newGrantTest(t, grantFrom("g1", 0, time.Hour))
			if test.from == 0 {
				l = newGrantTest(t, grantFrom("g1", 0, 100*time.Hour))
			}
			l.replies = func(int, messages.ReconcileGrantSignal) loopReply {
				if at := l.since(); at >= test.from && at < over {
					return test.refusal
				}
				return loopReply{}
			}
			for i := range 5 {
				l.at(test.from+time.Duration(i+1)*test.lasting/6, func() {
					state := l.status()
					require.Equal(t, messages.GrantBlocked, state.State)
					require.Equal(t, begin.Add(test.from), state.Blocked.Since.Truncate(time.Second),
						"a fresh history forgets since when")
					require.Greater(t, state.Blocked.Tries, 3)
					contains(t, l.page(), "**Blocked since", test.refusal.why, "Next attempt at")
					l.env.SetCurrentHistoryLength(1001)
				})
			}
			l.mustEnd()
			gaps := l.gaps(test.from, over)
			require.Equal(t, 2*time.Second, gaps[0], "the first attempt follows soon")
			require.Equal(t, test.longest, longest(t, gaps))
			require.Equal(t, test.longest, lastOf(gaps))
			require.Equal(t, 6, l.histories)
			right := slices.IndexFunc(l.moves, func(m writtenChange) bool { return m.given == (test.from == 0) })
			require.LessOrEqual(t, l.moves[right].at-over, test.longest)
		})
	}
}

// The alarm is given at the third failure, and then every hour while it lasts; also across histories.
func TestTemporaryGrantAlarm(t *testing.T) {
	l := newGrantTest(t, grantFrom("g1", 0, time.Hour))
	l.replies = func(int, messages.ReconcileGrantSignal) loopReply {
		if at := l.since(); at >= time.Hour && at < 5*time.Hour+30*time.Minute {
			return loopReply{why: "a floor forbids it"}
		}
		return loopReply{}
	}
	for at := time.Hour + 10*time.Minute; at < 6*time.Hour; at += 20 * time.Minute {
		l.signalAt(at, messages.ForceContinueAsNew, nil)
	}
	l.mustEnd()
	alarms := l.notices("grant-blocked g1")
	require.Len(t, alarms, 5)
	require.Equal(t, time.Hour+6*time.Second, alarms[0], "after the attempts at 0, 2 and 6 seconds")
	for i, at := range alarms[1:] {
		require.GreaterOrEqual(t, at, time.Hour+time.Duration(i+1)*time.Hour)
		require.LessOrEqual(t, at, time.Hour+time.Duration(i+1)*time.Hour+time.Minute)
	}
	for _, n := range l.told {
		if n.what == "grant-blocked g1" {
			require.Equal(t, "a floor forbids it", n.why)
		}
	}
	require.Greater(t, l.histories, 10)
}

// What stands wrong for two attempts is no alarm.
func TestTemporaryGrantShortFailureIsNoAlarm(t *testing.T) {
	l := newGrantTest(t, grantFrom("g1", 0, time.Hour))
	l.replies = func(n int, _ messages.ReconcileGrantSignal) loopReply {
		if n <= 2 {
			return loopReply{why: "503", soon: true}
		}
		return loopReply{}
	}
	l.mustEnd()
	require.Empty(t, l.notices("grant-blocked"))
	require.Equal(t, 6*time.Second, l.moves[0].at.Truncate(time.Second))
}

func TestTemporaryGrantLoopThatDoesNotRun(t *testing.T) {
	l := newGrantTest(t, grantFrom("g1", 0, time.Hour))
	l.until(40*time.Minute, loopReply{lost: true})
	l.at(30*time.Minute, func() {
		state := l.status()
		require.Equal(t, messages.GrantBlocked, state.State)
		contains(t, state.Blocked.Why, messages.OrgSyncID(org), "is not running", "starter apply")
	})
	l.mustEnd()
	require.LessOrEqual(t, longest(t, l.gaps(0, 40*time.Minute)), 15*time.Second)
	require.LessOrEqual(t, l.moves[0].at, 40*time.Minute+15*time.Second)
	require.Equal(t, taken(time.Hour), l.moves[1])
}

// The end does not wait until a refused beginning is tried again.
func TestTemporaryGrantEndOfALeaseThatWasNeverGiven(t *testing.T) {
	l := newGrantTest(t, grantFrom("g1", 0, time.Hour))
	l.replies = func(int, messages.ReconcileGrantSignal) loopReply {
		if l.since() < time.Hour {
			return loopReply{why: "no licence left"}
		}
		return loopReply{}
	}
	l.mustEnd()
	require.Empty(t, l.moves)
	require.Equal(t, time.Hour, lastOf(times(l.asks)), "the attempt after the end comes with the end")
	require.Empty(t, l.notices("grant-given"))
	require.Empty(t, l.notices("grant-ended"), "who never held it is not told that it is over")
}

// A lease that begins while the end of another is refused is given at once.
func TestTemporaryGrantLeaseBeginsWhileAnEndIsRefused(t *testing.T) {
	l := newGrantTest(t, grantFrom("g1", 0, time.Hour))
	l.replies = func(int, messages.ReconcileGrantSignal) loopReply {
		if at := l.since(); at >= time.Hour && at < 2*time.Hour {
			return loopReply{why: "a floor forbids it"}
		}
		return loopReply{}
	}
	l.at(2*time.Hour, func() { l.addGrant(grantFrom("g2", 2*time.Hour, time.Hour)) })
	l.mustEnd()
	require.Equal(t, []writtenChange{given(0), taken(3 * time.Hour)}, l.moves)
	require.Equal(t, 2*time.Hour, times(l.asks)[len(l.asks)-2])
}

// The loop may answer late, twice, or to what was asked before; only the answer to the last question counts.
func TestTemporaryGrantAnswersThatComeLateOrTwice(t *testing.T) {
	t.Run("late", func(t *testing.T) {
		l := newGrantTest(t, grantFrom("g1", 0, time.Hour))
		l.replies = func(n int, _ messages.ReconcileGrantSignal) loopReply {
			if n == 1 {
				return loopReply{after: 90 * time.Second}
			}
			return loopReply{after: 45 * time.Second, why: "503", soon: true}
		}
		l.at(2*time.Minute, func() { l.replies = nil })
		l.mustEnd()
		require.Equal(t, []writtenChange{given(90 * time.Second), taken(time.Hour)}, l.moves)
	})
	t.Run("twice", func(t *testing.T) {
		l := newGrantTest(t, grantFrom("g1", 0, time.Hour))
		l.replies = func(int, messages.ReconcileGrantSignal) loopReply { return loopReply{twice: time.Second} }
		state := l.mustEnd()
		require.Len(t, l.asks, 2)
		require.Len(t, l.told, 2)
		require.Nil(t, state.Blocked)
	})
	t.Run("of an older turn", func(t *testing.T) {
		l := newGrantTest(t, grantFrom("g1", 0, time.Hour))
		l.until(3*time.Minute, loopReply{silent: true})
		l.signalAt(90*time.Second, messages.GrantReconciled, messages.GrantReconciledSignal{Turn: 1, Right: true})
		l.signalAt(100*time.Second, messages.GrantReconciled, messages.GrantReconciledSignal{Turn: 1, Why: "503"})
		l.signalAt(110*time.Second, messages.GrantReconciled, messages.GrantReconciledSignal{Turn: 9, Right: true})
		l.at(115*time.Second, func() {
			state := l.status()
			require.Equal(t, 2, state.Asked.Turn, "an answer to an older question ended the wait for the newer one")
			require.Nil(t, state.Blocked)
		})
		l.mustEnd()
		require.Equal(t, []time.Duration{0, time.Minute, 2 * time.Minute, 3 * time.Minute, time.Hour}, times(l.asks))
	})
}

func times(asks []loopRequest) (all []time.Duration) {
	for _, a := range asks {
		all = append(all, a.at.Round(time.Second))
	}
	return all
}

// Each notice is sent once, and a history that ends forgets none.
func TestTemporaryGrantNoticesComeOnceAcrossHistories(t *testing.T) {
	one := grantFrom("g1", 0, 2*time.Hour)
	one.Remind = access.Duration(30 * time.Minute)
	l := newGrantTest(t, one, waiting("g2", time.Hour, 24*time.Hour))
	for at := time.Minute; at < 26*time.Hour; at += 10 * time.Minute {
		l.signalAt(at, messages.ForceContinueAsNew, nil)
		l.signalAt(at+time.Minute, messages.Look, nil)
	}
	l.updateAt(20*time.Hour, messages.Approve, messages.ApprovalInput{By: "carol@acme.example"})
	l.mustEnd()
	require.Greater(t, l.histories, 100)
	seen := map[string]int{}
	for _, n := range l.told {
		seen[n.what]++
	}
	require.Equal(t, map[string]int{
		"grant-requested g2": 1, "grant-given g1": 1, "grant-reminder g1": 1, "grant-ended g1": 1,
		"grant-granted g2": 1, "grant-given g2": 1, "grant-ended g2": 1,
	}, seen)
}

// A notifier that does not work keeps nobody's access, and nobody from it.
func TestTemporaryGrantNotifierThatFails(t *testing.T) {
	l := newGrantTest(t, grantFrom("g1", 0, time.Hour))
	l.refuses["Tell"] = errors.New("the mail server does not answer")
	l.at(30*time.Minute, func() {
		contains(t, l.status().Untold, "grant-given", "mail server")
		contains(t, l.page(), "**A notice could not be sent:**")
	})
	l.mustEnd()
	require.Equal(t, []writtenChange{given(0), taken(time.Hour)}, l.moves)
	require.Equal(t, []time.Duration{0}, l.notices("grant-given g1")[:1])
}

// Another lease's time comes while a notice is tried again and again.
func TestTemporaryGrantNotifierThatHangsKeepsNobodyWaiting(t *testing.T) {
	l := newGrantTest(t, grantFrom("g1", 0, time.Minute))
	l.refuses["Tell"] = temporal.NewApplicationErrorWithOptions("busy", "Busy",
		temporal.ApplicationErrorOptions{NextRetryDelay: time.Hour})
	l.mustEnd()
	require.Equal(t, []writtenChange{given(0), taken(time.Minute)}, l.moves)
}

// Workflow and ledger may run on machines whose clocks differ: no storm of questions may follow from it.
func TestTemporaryGrantClocksThatDiffer(t *testing.T) {
	t.Run("at the end", func(t *testing.T) {
		l := newGrantTest(t, grantFrom("g1", 0, time.Hour))
		l.at(time.Minute, func() { l.behind = 30 * time.Second })
		l.replies = func(int, messages.ReconcileGrantSignal) loopReply {
			return loopReply{after: 100 * time.Millisecond}
		}
		l.mustEnd()
		require.Equal(t, given(100*time.Millisecond), l.moves[0])
		require.LessOrEqual(t, l.moves[1].at, time.Hour+45*time.Second)
		require.Less(t, len(l.asks), 20, "the loop is asked without end until the clocks agree")
	})
	t.Run("at the beginning", func(t *testing.T) {
		l := newGrantTest(t, grantFrom("g1", time.Minute, time.Hour))
		l.behind = 30 * time.Second
		l.replies = func(int, messages.ReconcileGrantSignal) loopReply {
			return loopReply{after: 100 * time.Millisecond}
		}
		l.at(10*time.Minute, func() { l.behind = 0 })
		l.mustEnd()
		require.LessOrEqual(t, l.moves[0].at, time.Minute+45*time.Second)
		require.Less(t, len(l.asks), 20, "the loop is asked without end until the clocks agree")
	})
	t.Run("at the decision", func(t *testing.T) {
		l := newGrantTest(t, waiting("g1", time.Hour, time.Hour))
		l.behind = 30 * time.Second
		l.mustEnd()
		require.Less(t, l.expires, 20, "the ledger is asked without end until the clocks agree")
	})
}

// A ledger that cannot be read for long is a problem that the grant shows; the grant goes on, and what it knows of ends
// in time.
func TestTemporaryGrantShowsThatTheLedgerCannotBeRead(t *testing.T) {
	for name, failure := range map[string]error{"for now": errors.New("a row that cannot be read"),
		"for good": fatal("Unknown", "no such column")} {
		t.Run(name, func(t *testing.T) {
			l := newGrantTest(t, grantFrom("g1", 0, 3*time.Hour))
			l.readErr = func() error {
				if at := l.since(); at >= time.Hour && at < 2*time.Hour {
					return failure
				}
				return nil
			}
			l.at(time.Hour, func() { l.env.SignalWorkflow(messages.Look, nil) })
			l.at(time.Hour+30*time.Minute, func() {
				state := l.status()
				require.Equal(t, messages.GrantBlocked, state.State)
				require.Contains(t, state.Blocked.Why, "cannot be read from the ledger")
			})
			l.at(2*time.Hour+10*time.Minute, func() {
				state := l.status()
				require.Equal(t, messages.GrantActive, state.State)
				require.Nil(t, state.Blocked)
			})
			state := l.mustEnd()
			require.Equal(t, messages.GrantOver, state.State)
			require.Equal(t, []writtenChange{given(0), taken(3 * time.Hour)}, l.moves)
		})
	}
}

// A grant whose first read fails does not take the ledger for empty, and end.
func TestTemporaryGrantOutlivesALedgerThatCannotBeReadAtFirst(t *testing.T) {
	l := newGrantTest(t, grantFrom("g1", 0, 3*time.Hour))
	l.readErr = func() error {
		if l.since() < 2*time.Hour {
			return fatal("Unknown", "no such column")
		}
		return nil
	}
	l.mustEnd()
	require.Len(t, l.moves, 2)
	require.Equal(t, taken(3*time.Hour), l.moves[1])
}
