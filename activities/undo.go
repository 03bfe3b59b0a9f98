package activities

import (
	"context"
	"errors"
	"fmt"

	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/plan"
)

// PlanUndo writes the inverse of a run's done changes as the plan of a new run.
func (a *Activities) PlanUndo(ctx context.Context, in UndoInput) (int, error) {
	run, err := a.ledger.Run(ctx, in.Org, in.Of)
	if err != nil {
		return 0, stop(ErrUnknown, fmt.Errorf("organization %s has no run %q to undo: %w", in.Org, in.Of, err))
	}
	s, err := a.open(ctx, in.Org, in.Policy)
	if err != nil {
		return 0, err
	}
	o, ok, err := s.latestOutline(ctx)
	if err != nil {
		return 0, err
	}
	if !ok {
		if o.Outline, err = s.readOutline(ctx, o.Last); err != nil {
			return 0, err
		}
	}
	if err := s.ledger.BeginRun(ctx, ledger.Run{
		Org: in.Org, ID: in.Run, Trigger: "undo of " + in.Of, Scope: messages.ScopeUndo, Policy: in.Policy, By: in.By,
		State: messages.RunReading, Started: s.now(),
	}); err != nil {
		return 0, err
	}
	if err := s.keepOutline(ctx, in.RunInput, o); err != nil {
		return 0, err
	}
	n, page := 0, 0
	filter := ledger.Filter{States: []access.ChangeState{access.Done}, Limit: linesAtOnce}
	for {
		lines, err := s.ledger.Lines(ctx, in.Org, run.ID, filter)
		if err != nil {
			return n, err
		}
		var inverse []access.Change
		for _, c := range lines {
			if back, ok := plan.Inverse(c, run.ID); ok {
				inverse = append(inverse, back)
			}
		}
		if err := s.ledger.SavePage(ctx, in.Org, in.Run, ledger.Page{Key: fmt.Sprintf("undo-%04d", page), Changes: inverse}, s.now()); err != nil {
			return n, err
		}
		n += len(inverse)
		page++
		activity.RecordHeartbeat(ctx, n)
		if len(lines) < linesAtOnce {
			return n, nil
		}
		filter.After = keyOf(lines[len(lines)-1])
	}
}

// FindRun looks a run up.
func (a *Activities) FindRun(ctx context.Context, in RunInput) (messages.RunSummary, error) {
	defer beating(ctx)()
	run, err := a.ledger.Run(ctx, in.Org, in.Run)
	if errors.Is(err, ledger.ErrNotFound) {
		return messages.RunSummary{}, stop(ErrUnknown, fmt.Errorf("organization %s has no run %q; starter runs lists them", in.Org, in.Run))
	}
	return runMessage(run), err
}

// UndoInput asks for the inverse of the run Of.
type UndoInput struct {
	RunInput
	Of string `json:"of"`
	By string `json:"by,omitempty"`
}
