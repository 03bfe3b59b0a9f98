package workflows_test

import (
	"slices"
	"time"

	"go.temporal.io/sdk/temporal"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/messages"
)

// reply is what the loop does about a question.
type reply struct {
	lost   bool          // there is no loop: the question does not arrive
	silent bool          // it never answers
	after  time.Duration // until it writes
	verify time.Duration // until it has read that back, and answers
	why    string        // it does not write, for this reason
	soon   bool          // and that is no refusal
	twice  time.Duration // after which it answers again
	mute   bool          // it writes, and never answers
}

// move is what the loop gave or took.
type move struct {
	given bool
	at    time.Duration // since the beginning
}

// asking is what the loop was asked.
type asking struct {
	at    time.Duration
	turn  int
	armed bool // a timer rings when the next lease that is in force ends
}

// playLoop is the organization's loop, as it is asked.
func (l *lending) playLoop(_, _, _, _ string, arg any) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	in, now := arg.(messages.ReconcileGrantSignal), l.env.Now()
	asked := asking{at: now.Sub(begin), turn: in.Turn}
	for _, g := range l.book {
		asked.armed = asked.armed || g.InForce(now) && slices.ContainsFunc(l.rings, g.Until.Equal)
	}
	l.asks = append(l.asks, asked)
	var r reply
	if l.replies != nil {
		r = l.replies(len(l.asks), in)
	}
	switch {
	case r.lost:
		return temporal.NewNonRetryableApplicationError("workflow execution not found", "NotFound", nil)
	case r.silent:
	case r.why != "":
		l.answer(now.Add(r.after), r, func() messages.GrantReconciledSignal {
			return messages.GrantReconciledSignal{Turn: in.Turn, Why: r.why, Soon: r.soon}
		})
	default:
		l.plan(now.Add(r.after), l.write)
		if r.mute {
			break
		}
		l.answer(now.Add(r.after+r.verify), r, func() messages.GrantReconciledSignal { return l.outcome(in.Turn) })
	}
	return nil
}

// answer comes a moment after the question at the earliest: a signal that comes while a history ends is lost here,
// where a server would have the end done again.
func (l *lending) answer(at time.Time, r reply, of func() messages.GrantReconciledSignal) {
	at = at.Add(time.Millisecond)
	l.plan(at, func() { l.env.SignalWorkflow(messages.GrantReconciled, of()) })
	if r.twice > 0 {
		l.plan(at.Add(r.twice), func() { l.env.SignalWorkflow(messages.GrantReconciled, of()) })
	}
}

// lent says that a lease is in force by the ledger's clock.
func (l *lending) lent() bool {
	return slices.ContainsFunc(l.book, func(g access.Grant) bool { return g.InForce(l.now()) })
}

// write brings the person in line with the leases, as the loop's run does.
func (l *lending) write() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := l.lent(); now != l.holds {
		l.holds = now
		l.moves = append(l.moves, move{now, l.env.Now().Sub(begin)})
	}
}

// outcome is what the read after the write shows; the ledger notes it.
func (l *lending) outcome(turn int) messages.GrantReconciledSignal {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lent() != l.holds {
		return messages.GrantReconciledSignal{Turn: turn, Why: "it became due meanwhile", Soon: true}
	}
	for i := range l.book {
		switch g, now := &l.book[i], l.now(); {
		case g.State == access.GrantGranted && g.InForce(now) && g.ProvisionedAt.IsZero():
			g.ProvisionedAt = now
		case g.State.Open() && g.State != access.GrantWaiting && !now.Before(g.Until), g.State == access.GrantEnded &&
			g.RevokedAt.IsZero():
			g.State, g.RevokedAt = access.GrantEnded, now
		}
	}
	return messages.GrantReconciledSignal{Turn: turn, Right: true}
}
