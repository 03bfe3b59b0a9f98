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
func (l *lending) until(instant time.Duration, r reply) {
	l.replies = func(int, messages.ReconcileGrantSignal) reply {
		if l.since() < instant {
			return r
		}
		return reply{}
	}
}

// gaps are the waits between the questions that were asked in a span, in seconds.
func (l *lending) gaps(from, to time.Duration) (all []time.Duration) {
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

func TestALoopThatIsSilentIsAskedAgain(t *testing.T) {
	l := newLending(t, lease("g1", 0, time.Hour))
	l.until(5*time.Minute, reply{silent: true})
	l.ends()
	require.Equal(t, []move{given(5 * time.Minute), taken(time.Hour)}, l.moves)
	for _, gap := range l.gaps(0, 5*time.Minute) {
		require.Equal(t, time.Minute, gap)
	}
	require.Equal(t, 1, l.asks[0].turn)
	require.Equal(t, 2, l.asks[1].turn, "each question has a number of its own")
}

// However often it is refused, it is tried again, at a bounded distance, across histories, for days.
func TestARefusalIsTriedAgain(t *testing.T) {
	for name, test := range map[string]struct {
		refusal       reply
		from, lasting time.Duration // of the refusals
		longest       time.Duration
	}{
		"to give":              {reply{why: "no licence left"}, 0, 72 * time.Hour, 5 * time.Minute},
		"to take":              {reply{why: "a floor forbids it"}, time.Hour, 24 * time.Hour, time.Minute},
		"to give, by accident": {reply{why: "503", soon: true}, 0, 3 * time.Hour, 15 * time.Second},
		"to take, by accident": {reply{why: "503", soon: true}, time.Hour, 3 * time.Hour, 15 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			over := test.from + test.lasting
			l := newLending(t, lease("g1", 0, time.Hour))
			if test.from == 0 {
				l = newLending(t, lease("g1", 0, 100*time.Hour))
			}
			l.replies = func(int, messages.ReconcileGrantSignal) reply {
				if at := l.since(); at >= test.from && at < over {
					return test.refusal
				}
				return reply{}
			}
			for i := range 5 {
				l.at(test.from+time.Duration(i+1)*test.lasting/6, func() {
					state := l.status()
					require.Equal(t, messages.GrantBlocked, state.State)
					require.Equal(t, begin.Add(test.from), state.Blocked.Since.Truncate(time.Second),
						"a fresh history forgets since when")
					require.Greater(t, state.Blocked.Tries, 3)
					contains(t, l.page(), "**Not right since", test.refusal.why, "Next attempt at")
					l.env.SetCurrentHistoryLength(1001)
				})
			}
			l.ends()
			gaps := l.gaps(test.from, over)
			require.Equal(t, 2*time.Second, gaps[0], "the first attempt follows soon")
			require.Equal(t, test.longest, longest(t, gaps))
			require.Equal(t, test.longest, lastOf(gaps))
			require.Equal(t, 6, l.histories)
			right := slices.IndexFunc(l.moves, func(m move) bool { return m.given == (test.from == 0) })
			require.LessOrEqual(t, l.moves[right].at-over, test.longest)
		})
	}
}

// The alarm is given at the third failure, and then every hour while it lasts; also across histories.
func TestTheAlarm(t *testing.T) {
	l := newLending(t, lease("g1", 0, time.Hour))
	l.replies = func(int, messages.ReconcileGrantSignal) reply {
		if at := l.since(); at >= time.Hour && at < 5*time.Hour+30*time.Minute {
			return reply{why: "a floor forbids it"}
		}
		return reply{}
	}
	for at := time.Hour + 10*time.Minute; at < 6*time.Hour; at += 20 * time.Minute {
		l.signalAt(at, messages.ForceContinueAsNew, nil)
	}
	l.ends()
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
func TestAShortFailureIsNoAlarm(t *testing.T) {
	l := newLending(t, lease("g1", 0, time.Hour))
	l.replies = func(n int, _ messages.ReconcileGrantSignal) reply {
		if n <= 2 {
			return reply{why: "503", soon: true}
		}
		return reply{}
	}
	l.ends()
	require.Empty(t, l.notices("grant-blocked"))
	require.Equal(t, 6*time.Second, l.moves[0].at.Truncate(time.Second))
}

func TestALoopThatDoesNotRun(t *testing.T) {
	l := newLending(t, lease("g1", 0, time.Hour))
	l.until(40*time.Minute, reply{lost: true})
	l.at(30*time.Minute, func() {
		state := l.status()
		require.Equal(t, messages.GrantBlocked, state.State)
		contains(t, state.Blocked.Why, messages.OrgSyncID(org), "does not run", "starter apply")
	})
	l.ends()
	require.LessOrEqual(t, longest(t, l.gaps(0, 40*time.Minute)), 15*time.Second)
	require.LessOrEqual(t, l.moves[0].at, 40*time.Minute+15*time.Second)
	require.Equal(t, taken(time.Hour), l.moves[1])
}

// The end does not wait until a refused beginning is tried again.
func TestTheEndOfALeaseThatWasNeverGiven(t *testing.T) {
	l := newLending(t, lease("g1", 0, time.Hour))
	l.replies = func(int, messages.ReconcileGrantSignal) reply {
		if l.since() < time.Hour {
			return reply{why: "no licence left"}
		}
		return reply{}
	}
	l.ends()
	require.Empty(t, l.moves)
	require.Equal(t, time.Hour, lastOf(times(l.asks)), "the attempt after the end comes with the end")
	require.Empty(t, l.notices("grant-given"))
	require.Empty(t, l.notices("grant-ended"), "who never held it is not told that it is over")
}

// A lease that begins while the end of another is refused is given at once.
func TestALeaseBeginsWhileAnEndIsRefused(t *testing.T) {
	l := newLending(t, lease("g1", 0, time.Hour))
	l.replies = func(int, messages.ReconcileGrantSignal) reply {
		if at := l.since(); at >= time.Hour && at < 2*time.Hour {
			return reply{why: "a floor forbids it"}
		}
		return reply{}
	}
	l.at(2*time.Hour, func() { l.lend(lease("g2", 2*time.Hour, time.Hour)) })
	l.ends()
	require.Equal(t, []move{given(0), taken(3 * time.Hour)}, l.moves)
	require.Equal(t, 2*time.Hour, times(l.asks)[len(l.asks)-2])
}

// The loop may answer late, twice, or to what was asked before; only the answer to the last question counts.
func TestAnswersThatComeLateOrTwice(t *testing.T) {
	t.Run("late", func(t *testing.T) {
		l := newLending(t, lease("g1", 0, time.Hour))
		l.replies = func(n int, _ messages.ReconcileGrantSignal) reply {
			if n == 1 {
				return reply{after: 90 * time.Second}
			}
			return reply{after: 45 * time.Second, why: "503", soon: true}
		}
		l.at(2*time.Minute, func() { l.replies = nil })
		l.ends()
		require.Equal(t, []move{given(90 * time.Second), taken(time.Hour)}, l.moves)
	})
	t.Run("twice", func(t *testing.T) {
		l := newLending(t, lease("g1", 0, time.Hour))
		l.replies = func(int, messages.ReconcileGrantSignal) reply { return reply{twice: time.Second} }
		state := l.ends()
		require.Len(t, l.asks, 2)
		require.Len(t, l.told, 2)
		require.Nil(t, state.Blocked)
	})
	t.Run("of an older turn", func(t *testing.T) {
		l := newLending(t, lease("g1", 0, time.Hour))
		l.until(3*time.Minute, reply{silent: true})
		l.signalAt(90*time.Second, messages.GrantReconciled, messages.GrantReconciledSignal{Turn: 1, Right: true})
		l.signalAt(100*time.Second, messages.GrantReconciled, messages.GrantReconciledSignal{Turn: 1, Why: "503"})
		l.signalAt(110*time.Second, messages.GrantReconciled, messages.GrantReconciledSignal{Turn: 9, Right: true})
		l.at(115*time.Second, func() {
			state := l.status()
			require.Equal(t, 2, state.Asked.Turn, "an answer to an older question ended the wait for the newer one")
			require.Nil(t, state.Blocked)
		})
		l.ends()
		require.Equal(t, []time.Duration{0, time.Minute, 2 * time.Minute, 3 * time.Minute, time.Hour}, times(l.asks))
	})
}

func times(asks []asking) (all []time.Duration) {
	for _, a := range asks {
		all = append(all, a.at.Round(time.Second))
	}
	return all
}

// Each notice is sent once, and a history that ends forgets none.
func TestNoticesComeOnceAcrossHistories(t *testing.T) {
	one := lease("g1", 0, 2*time.Hour)
	one.Remind = access.Duration(30 * time.Minute)
	l := newLending(t, one, waiting("g2", time.Hour, 24*time.Hour))
	for at := time.Minute; at < 26*time.Hour; at += 10 * time.Minute {
		l.signalAt(at, messages.ForceContinueAsNew, nil)
		l.signalAt(at+time.Minute, messages.Look, nil)
	}
	l.updateAt(20*time.Hour, messages.Approve, messages.ApprovalInput{By: "carol@acme.example"})
	l.ends()
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
func TestANotifierThatFails(t *testing.T) {
	l := newLending(t, lease("g1", 0, time.Hour))
	l.refuses["Tell"] = errors.New("the mail server does not answer")
	l.at(30*time.Minute, func() {
		contains(t, l.status().Untold, "grant-given", "mail server")
		contains(t, l.page(), "**A notice could not be sent:**")
	})
	l.ends()
	require.Equal(t, []move{given(0), taken(time.Hour)}, l.moves)
	require.Equal(t, []time.Duration{0}, l.notices("grant-given g1")[:1])
}

// Another lease's time comes while a notice is tried again and again.
func TestANotifierThatHangsKeepsNobodyWaiting(t *testing.T) {
	l := newLending(t, lease("g1", 0, time.Minute))
	l.refuses["Tell"] = temporal.NewApplicationErrorWithOptions("busy", "Busy",
		temporal.ApplicationErrorOptions{NextRetryDelay: time.Hour})
	l.ends()
	require.Equal(t, []move{given(0), taken(time.Minute)}, l.moves)
}

// Workflow and ledger may run on machines whose clocks differ: no storm of questions may follow from it.
func TestClocksThatDiffer(t *testing.T) {
	t.Run("at the end", func(t *testing.T) {
		l := newLending(t, lease("g1", 0, time.Hour))
		l.at(time.Minute, func() { l.behind = 30 * time.Second })
		l.replies = func(int, messages.ReconcileGrantSignal) reply { return reply{after: 100 * time.Millisecond} }
		l.ends()
		require.Equal(t, given(100*time.Millisecond), l.moves[0])
		require.LessOrEqual(t, l.moves[1].at, time.Hour+45*time.Second)
		require.Less(t, len(l.asks), 20, "the loop is asked without end until the clocks agree")
	})
	t.Run("at the beginning", func(t *testing.T) {
		l := newLending(t, lease("g1", time.Minute, time.Hour))
		l.behind = 30 * time.Second
		l.replies = func(int, messages.ReconcileGrantSignal) reply { return reply{after: 100 * time.Millisecond} }
		l.at(10*time.Minute, func() { l.behind = 0 })
		l.ends()
		require.LessOrEqual(t, l.moves[0].at, time.Minute+45*time.Second)
		require.Less(t, len(l.asks), 20, "the loop is asked without end until the clocks agree")
	})
	t.Run("at the decision", func(t *testing.T) {
		l := newLending(t, waiting("g1", time.Hour, time.Hour))
		l.behind = 30 * time.Second
		l.ends()
		require.Less(t, l.expires, 20, "the ledger is asked without end until the clocks agree")
	})
}

// A ledger that cannot be read for long is a problem that the grant shows; the grant goes on, and what it knows of ends
// in time.
func TestTemporaryGrantShowsThatTheLedgerCannotBeRead(t *testing.T) {
	for name, failure := range map[string]error{"for now": errors.New("a row that cannot be read"),
		"for good": fatal("Unknown", "no such column")} {
		t.Run(name, func(t *testing.T) {
			l := newLending(t, lease("g1", 0, 3*time.Hour))
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
			state := l.ends()
			require.Equal(t, messages.GrantOver, state.State)
			require.Equal(t, []move{given(0), taken(3 * time.Hour)}, l.moves)
		})
	}
}

// A grant whose first read fails does not take the ledger for empty, and end.
func TestTemporaryGrantOutlivesALedgerThatCannotBeReadAtFirst(t *testing.T) {
	l := newLending(t, lease("g1", 0, 3*time.Hour))
	l.readErr = func() error {
		if l.since() < 2*time.Hour {
			return fatal("Unknown", "no such column")
		}
		return nil
	}
	l.ends()
	require.Len(t, l.moves, 2)
	require.Equal(t, taken(3*time.Hour), l.moves[1])
}
