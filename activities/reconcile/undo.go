package reconcile

import (
	"context"
	"errors"
	"fmt"

	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/plan"
)

// PlanUndo stores the inverse of a run's changes as the plan of a new run: of those that were written according to the
// ledger's chain.
func (a *Activities) PlanUndo(ctx context.Context, in UndoInput) (int, error) {
	run, err := a.env.Ledger.Run(ctx, in.Org, in.Of)
	if err != nil {
		return 0, session.NonRetryable(session.ErrUnknown,
			fmt.Errorf("organization %s has no run %q to undo: %w", in.Org, in.Of, err))
	}
	if err := undoable(run); err != nil {
		return 0, err
	}
	s, err := a.task(a.env.Open(ctx, in.Org, in.Policy))
	if err != nil {
		return 0, err
	}
	o, ok, err := s.LatestOutline(ctx)
	if err != nil {
		return 0, err
	}
	if !ok {
		if o.Outline, err = s.ReadOutline(ctx, o.Last); err != nil {
			return 0, err
		}
	}
	if err := s.Ledger.BeginRun(ctx, ledger.Run{
		Org: in.Org, ID: in.Run, Trigger: "undo of " + in.Of, Scope: messages.ScopeUndo, Policy: in.Policy, By: in.By,
		State: messages.RunReading, Started: s.Now(),
	}); err != nil {
		return 0, err
	}
	if err := s.KeepOutline(ctx, in.RunInput, o); err != nil {
		return 0, err
	}
	n, page := 0, 0
	filter := ledger.Filter{States: []access.ChangeState{access.Done}, Limit: session.LinesAtOnce}
	for {
		lines, err := s.Ledger.Lines(ctx, in.Org, run.ID, filter)
		if err != nil {
			return n, err
		}
		inverse, err := s.inverseOf(ctx, run.ID, lines)
		if err != nil {
			return n, err
		}
		if err := s.Ledger.SavePage(ctx, in.Org, in.Run,
			ledger.Page{Key: fmt.Sprintf("undo-%04d", page), Changes: inverse}, s.Now()); err != nil {
			return n, err
		}
		n += len(inverse)
		page++
		activity.RecordHeartbeat(ctx, n)
		if len(lines) < session.LinesAtOnce {
			return n, nil
		}
		filter.After = session.KeyOf(lines[len(lines)-1])
	}
}

// inverseOf returns the changes that undo a run's lines, of those that the chain proves the run to have made.
func (s *task) inverseOf(ctx context.Context, run string, lines []access.Change) ([]access.Change, error) {
	written, err := s.Ledger.ProvenLines(ctx, s.Org, run, lines)
	if err != nil {
		return nil, err
	}
	var inverse []access.Change
	for _, c := range lines {
		if back, ok := plan.Inverse(c, run); ok && written[session.KeyOf(c)] {
			inverse = append(inverse, back)
		}
	}
	return inverse, nil
}

// undoable refuses to undo a run over records: whoever looks at them next decides by the sources, so that what was
// undone would be done again.
func undoable(run ledger.Run) error {
	if run.Scope != messages.ScopeProvision {
		return nil
	}
	return session.NonRetryable(session.ErrRefused, fmt.Errorf("run %s wrote records of a SCIM directory, which follow the identity sources, so it is not taken back: pause the organization, correct the source or the policy's provision, and resume; the next run then sets what they say. starter plan --run %s shows what each change replaced",
		run.ID, run.ID))
}

// FindRun returns the summary of a run that is to be undone, if it can be.
func (a *Activities) FindRun(ctx context.Context, in session.RunInput) (messages.RunSummary, error) {
	defer session.AutoHeartbeat(ctx)()
	run, err := a.env.Ledger.Run(ctx, in.Org, in.Run)
	if errors.Is(err, ledger.ErrNotFound) {
		return messages.RunSummary{}, session.NonRetryable(session.ErrUnknown,
			fmt.Errorf("organization %s has no run %q; starter runs lists them", in.Org, in.Run))
	}
	if err == nil {
		err = undoable(run)
	}
	return session.RunMessage(run), err
}

// UndoInput asks for the inverse of the run Of.
type UndoInput struct {
	session.RunInput
	Of string `json:"of"`
	By string `json:"by,omitempty"`
}
