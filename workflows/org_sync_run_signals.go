package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/workflows/internal/act"
	"github.com/castellan-io/castellan/workflows/internal/kit"
)

// receiveFromRuns receives the signals of the organization's own runs.
func (s *orgSync) receiveFromRuns(ctx workflow.Context) {
	kit.ReceiveEach(ctx, s.handlers, messages.WritesPaused, func(in messages.WritesPausedSignal) error {
		return kit.FirstError(checkRunID(in.Run), s.checkSender(ctx, in.Run, in.Execution), s.checkTurn(in.Turn))
	}, func(_ workflow.Context, in messages.WritesPausedSignal) {
		for _, r := range []*childRun{s.urgent, s.full} {
			if r != nil && r.run == in.Run {
				r.turn = max(r.turn, in.Turn)
			}
		}
		if s.Running != nil && s.Running.Run == in.Run {
			s.Running.State, s.wake = messages.RunWaiting, true
		}
	})
	kit.ReceiveEach(ctx, s.handlers, messages.RunProgress, func(in messages.ProgressSignal) error {
		return kit.FirstError(checkProgress(in), s.checkSender(ctx, in.Run.Run, in.Execution))
	}, s.recordProgress)
}

// checkSender refuses a signal that is not from the run that it names, while that run is active. A signal about a run
// that is over changes nothing.
func (s *orgSync) checkSender(ctx workflow.Context, run, execution string) error {
	for _, r := range s.underWay() {
		if r == nil || r.run != run {
			continue
		}
		var is workflow.Execution
		if begun := r.future.GetChildWorkflowExecution(); !s.namesExecutions ||
			begun.IsReady() && begun.Get(ctx, &is) == nil && is.RunID == execution {
			return nil
		}
		return kit.Refuse("run %s did not send this: its signals name its execution", kit.Bounded(run))
	}
	return nil
}

// checkTurn refuses the answer to a gate signal that was never sent.
func (s *orgSync) checkTurn(turn int) error {
	if s.namesExecutions && turn > s.gateTurn {
		return kit.Refuse("turn is %d: the gate has not been turned so often", turn)
	}
	return nil
}

func checkRunID(run string) error {
	if run == "" || len(run) > messages.MostName {
		return kit.Refuse("%q is not a run: only Castellan sends this signal", kit.Bounded(run))
	}
	return nil
}

func checkProgress(in messages.ProgressSignal) error {
	switch in.Run.State {
	case messages.RunReading, messages.RunApplying, messages.RunWaiting, messages.RunVerifying, messages.RunDone,
		messages.RunStopped:
		return checkRunID(in.Run.Run)
	}
	return kit.Refuse("%q is not a state of a run: only Castellan sends this signal",
		kit.Bounded(in.Run.State))
}

// recordProgress records a run's progress. Anybody who may signal could send it, so holds and consent are read from the
// ledger.
func (s *orgSync) recordProgress(ctx workflow.Context, in messages.ProgressSignal) {
	if l := s.grants; l != nil && l.run == in.Run.Run && in.Run.State == messages.RunVerifying {
		s.grantsWritten(ctx, l)
	}
	if f := s.urgent; f != nil && f.run == in.Run.Run && in.Run.State == messages.RunVerifying {
		if s.Running != nil && s.Running.Run == f.run {
			s.Running.State = messages.RunVerifying
		}
		s.urgentWritten(ctx, f)
	}
	b := s.full
	if b == nil || b.run != in.Run.Run {
		return
	}
	if workflow.GetVersion(ctx, "hold-from-ledger", workflow.DefaultVersion, 1) == workflow.DefaultVersion {
		s.takeHoldFromSignal(in)
		in.Run.Hold = nil
		s.Running, s.wake = &in.Run, true
		return
	}
	if in.Judged && !b.dry {
		s.lookUpHold(ctx, b)
	}
	if s.Running != nil && s.Running.Run == b.run {
		now := *s.Running
		now.State, now.Counts = in.Run.State, in.Run.Counts
		s.Running = &now
	}
	s.wake = true
}

// takeHoldFromSignal is for old histories, which did not look up the hold.
func (s *orgSync) takeHoldFromSignal(in messages.ProgressSignal) {
	// a run of a few people was judged since
	older := in.Run.Hold != nil && s.Hold != nil && in.Run.Hold.Opened.Before(s.Hold.Opened)
	if in.Judged && !in.Run.DryRun {
		if !older {
			s.Hold = in.Run.Hold
		}
		s.Adopted = s.Adopted || in.Run.Adopted
	}
}

// lookUpHold reads from the ledger what is held, and whether the first plan was approved, once the guard has decided.
// If something changes meanwhile, such as by a decision, it is read again.
func (s *orgSync) lookUpHold(ctx workflow.Context, b *childRun) {
	b.verdicts++
	if b.lookingUp {
		return
	}
	b.lookingUp = true
	end := s.handlers.Begin()
	workflow.GoNamed(ctx, "look up the hold", func(ctx workflow.Context) {
		defer func() { b.lookingUp, s.wake = false, true; end() }()
		for policy := s.Policy; ; {
			before, records, judged := s.Hold, s.IdentityHold, b.verdicts
			found, err := act.Standing(ctx, s.Org, b.run)
			switch {
			case err != nil:
				s.log.Warn("what is held could not be looked up; the next verification does", "run", b.run,
					"error", err)
				return
			case s.Policy != policy:
				return
			case s.Hold == before && s.IdentityHold == records && b.verdicts == judged:
				s.Hold, s.Adopted = found.Hold, s.Adopted || found.Adopted
				s.IdentityHold = found.Identity
				if s.Running != nil && s.Running.Run == b.run {
					now := *s.Running
					now.Findings, now.Reported = found.Findings, found.Reported
					s.Running = &now
				}
				return
			}
		}
	})
}
