package reconcile

import (
	"context"

	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/apply"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/ledger"
)

// ConfirmResult counts the lines that are still asked for.
type ConfirmResult struct {
	// Through is the key of the last line that was checked, if there may be more.
	Through    string `json:"through,omitempty"`
	Standing   int    `json:"standing"`
	Superseded int    `json:"superseded"`
	Calls      int    `json:"calls"`
}

// Confirm reads the people of released lines again, just before they are written, and supersedes every line that the
// new decision no longer asks for, or whose person cannot be read. So a removal is written only if two reads, some time
// apart, agree. A repeat reads again; superseded lines stay so.
//
// Removals also need the group search's confirmation (see CrossCheckRemovals).
//
// Calls: people/100, and for removals people/10; with Fresh, those of an outline.
func (a *Activities) Confirm(ctx context.Context, in apply.ConfirmInput) (ConfirmResult, error) {
	var result ConfirmResult
	s, err := a.task(a.env.Open(ctx, in.Org, in.Policy))
	if err != nil {
		return result, err
	}
	b, err := s.ConfirmedBy(ctx, in)
	if err != nil {
		return result, err
	}
	filter := ledger.Filter{States: []access.ChangeState{access.Planned}, Actions: in.Actions, Waited: &in.Fresh,
		Limit: session.LinesAtOnce}
	if in.Limit > 0 {
		filter.Limit = min(in.Limit, session.LinesAtOnce)
	}
	if filter.After, err = session.ReadKey(in.After); err != nil {
		return result, session.NonRetryable(session.ErrUnknown, err)
	}
	for {
		lines, err := s.Ledger.Lines(ctx, in.Org, in.Run, filter)
		if err != nil {
			return result, err
		}
		gone, err := s.Unconfirmed(ctx, b, in.Run, lines)
		if err != nil {
			return result, err
		}
		if len(gone) > 0 {
			if err := s.Ledger.RecordLines(ctx, in.Org, in.Run, gone); err != nil {
				return result, err
			}
		}
		result.Superseded += len(gone)
		result.Standing += len(lines) - len(gone)
		result.Calls = s.CallsMade()
		activity.RecordHeartbeat(ctx, result)
		if len(lines) < filter.Limit {
			return result, nil
		}
		if in.Limit > 0 {
			result.Through = session.WriteKey(lines[len(lines)-1])
			return result, nil
		}
		filter.After = session.KeyOf(lines[len(lines)-1])
	}
}
