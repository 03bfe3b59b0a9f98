package workflows_test

import (
	"slices"
	"time"

	"go.temporal.io/sdk/temporal"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/messages"
)

// loopReply is what the loop does about a question.
type loopReply struct {
	lost   bool          // there is no loop: the question does not arrive
	silent bool          // it never answers
	after  time.Duration // until it writes
	verify time.Duration // until it has read that back, and answers
	why    string        // it does not write, for this reason
	soon   bool          // and that is no refusal
	twice  time.Duration // after which it answers again
	mute   bool          // it writes, and never answers
}

// writtenChange is what the loop gave or took.
type writtenChange struct {
	given bool
	at    time.Duration // since the beginning
}

// loopRequest is what the loop was asked.
type loopRequest struct {
	at    time.Duration
	turn  int
	armed bool // a timer rings when the next lease that is in force ends
}

// playLoop returns the organization's loop, as it is asked.
func (l *grantTest) playLoop(_, _, _, _ string, arg any) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	in, now := arg.(messages.ReconcileGrantSignal), l.env.Now()
	asked := loopRequest{at: now.Sub(begin), turn: in.Turn}
	for _, g := range l.book {
		asked.armed = asked.armed || g.InForce(now) && slices.ContainsFunc(l.rings, g.Until.Equal)
	}
	l.asks = append(l.asks, asked)
	var r loopReply
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
func (l *grantTest) answer(at time.Time, r loopReply, of func() messages.GrantReconciledSignal) {
	at = at.Add(time.Millisecond)
	l.plan(at, func() { l.env.SignalWorkflow(messages.GrantReconciled, of()) })
	if r.twice > 0 {
		l.plan(at.Add(r.twice), func() { l.env.SignalWorkflow(messages.GrantReconciled, of()) })
	}
}

// inForce reports whether a lease is in force by the ledger's clock.
func (l *grantTest) inForce() bool {
	return slices.ContainsFunc(l.book, func(g access.Grant) bool { return g.InForce(l.now()) })
}

// write brings the person in line with the leases, as the loop's run does.
func (l *grantTest) write() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := l.inForce(); now != l.holds {
		l.holds = now
		l.moves = append(l.moves, writtenChange{now, l.env.Now().Sub(begin)})
	}
}

// outcome returns what the read after the write shows; the ledger notes it.
func (l *grantTest) outcome(turn int) messages.GrantReconciledSignal {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.inForce() != l.holds {
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
