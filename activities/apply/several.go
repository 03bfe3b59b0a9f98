package apply

import (
	"context"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
)

// ChangesInput names several lines of a run's plan.
type ChangesInput struct {
	session.RunInput
	Lines []LineRef `json:"lines"`
	Fresh bool      `json:"fresh,omitempty"` // as in ChangeInput
}

// LineRef names a line of a plan.
type LineRef struct {
	Person string             `json:"person"`
	Target access.Entitlement `json:"target"`
}

// severalLast is how long an activity goes on to another change: a pause waits for those that are begun.
const severalLast = 2 * time.Second

// ApplySeveral makes several changes, one after another, as Apply does each. It returns what became of those that were
// made, and ends with the first that fails, or after two seconds: its results are then fewer than the lines. A line
// whose target takes nothing more is passed over, with no state.
func (a *Activities) ApplySeveral(ctx context.Context, in ChangesInput) (results []ChangeResult, err error) {
	defer session.AutoHeartbeat(ctx)()
	closed := map[access.Entitlement]bool{}
	order := several{until: a.env.Now().Add(severalLast)}
	defer func() { order.cancel(ctx, a.env, in.RunInput) }()
	for i, line := range in.Lines {
		switch {
		case i > 0 && order.begun == nil && a.env.Now().After(order.until):
			return results, nil
		case closed[line.Target]:
			results = append(results, ChangeResult{})
			continue
		}
		if order.next = nil; i+1 < len(in.Lines) && !closed[in.Lines[i+1].Target] {
			order.next = &in.Lines[i+1]
		}
		result, err := a.applyOf(ctx, &order, ChangeInput{RunInput: in.RunInput, Person: line.Person,
			Target: line.Target, Fresh: in.Fresh})
		if err != nil {
			activity.GetLogger(ctx).Info("a change of several failed; the rest is done one by one", "error", err)
			return results, nil //nolint:nilerr // Apply is asked for the line again, and tells what is wrong
		}
		closed[line.Target] = result.Closed
		results = append(results, result)
	}
	return results, nil
}

func (a *Activities) applyOf(ctx context.Context, order *several, in ChangeInput) (ChangeResult, error) {
	s, err := a.open(ctx, in.Org, in.Policy)
	if err != nil {
		return ChangeResult{}, err
	}
	s.several = order
	return s.apply(ctx, in)
}

// several is the order of an activity that makes several changes. The next one is begun in the transaction that records
// that the one before was made, since each transaction waits for the disk.
type several struct {
	until time.Time      // when none is begun any more
	next  *LineRef       // nil: there is none
	begun *access.Change // the next one as it was before; nil: it was not begun
}

// takeBegun returns the line as it was before, if it was begun already.
func (s *Session) takeBegun(in ChangeInput) (before access.Change, begun bool) {
	if s.several == nil || s.several.begun == nil || s.several.begun.Person != in.Person ||
		s.several.begun.Target != in.Target {
		return before, false
	}
	before, s.several.begun = *s.several.begun, nil
	return before, true
}

// endAndBegin records the answer to a change and begins the next one, if that one was made and there is time.
func (s *Session) endAndBegin(ctx context.Context, org, run string, line access.Change) error {
	next := s.several.next
	made := line.State == access.Done || line.State == access.Already
	if next == nil || !made || s.Now().After(s.several.until) {
		return s.Ledger.EndChange(ctx, org, run, line)
	}
	may := func(c access.Change) bool { return s.ofOtherKind(c.Target) == nil && !onlyGrants(c) }
	before, err := s.Ledger.EndAndBegin(ctx, org, run, line, next.Person, next.Target, s.Now(), may)
	if err == nil && before != nil && may(*before) {
		s.several.begun = before
	}
	return err
}

// cancel takes back that a change was begun which is not made any more.
func (o *several) cancel(ctx context.Context, env *session.Env, in session.RunInput) {
	if o.begun == nil || o.begun.State != access.Planned {
		return
	}
	keep, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := env.Ledger.CancelChange(keep, in.Org, in.Run, o.begun.Person, o.begun.Target); err != nil {
		activity.GetLogger(ctx).Warn("a change stays begun, so its next attempt reads first", "error", err)
	}
}
