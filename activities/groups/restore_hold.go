package groups

import (
	"context"
	"fmt"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/plan"
)

// JudgeRestoreInput asks what of a restore waits for approval.
type JudgeRestoreInput struct {
	RestoreRunInput
	Lost    messages.RestoreOf `json:"lost"`
	Observe bool               `json:"observe,omitempty"` // nothing can be written: nothing waits
}

// JudgeRestoreResult is what waits for approval.
type JudgeRestoreResult struct {
	Hold   *messages.Hold        `json:"hold,omitempty"` // nil: nothing is to be written
	Counts []messages.StateCount `json:"counts"`
}

// JudgeRestore opens the hold on a restore's plan: every restore waits for approval. A repeat finds it open.
func (a *Activities) JudgeRestore(ctx context.Context, in JudgeRestoreInput) (JudgeRestoreResult, error) {
	defer session.AutoHeartbeat(ctx)()
	hold := ledger.Hold{Org: in.Org, Lane: ledger.LaneOfRestore(in.Group), Run: in.Run, Opened: a.env.Now()}
	hash, roles, makes := plan.NewHasher(), 0, false
	s := &session.Session{Env: a.env, Org: in.Org}
	if err := s.EachLine(ctx, in.Run, []access.ChangeState{access.Held}, func(c access.Change) error {
		hold.Adds++
		switch {
		case c.Target.Kind() == access.KindGroupRole:
			roles++
		case c.Person == in.Group:
			makes = true
		default:
			hold.People++
		}
		return hash.Add(c)
	}); err != nil {
		return JudgeRestoreResult{}, err
	}
	counts, err := a.counts(ctx, in.RestoreRunInput, nil)
	result := JudgeRestoreResult{Counts: counts}
	if err != nil || hold.Adds == 0 || in.Observe {
		return result, err
	}
	hold.Plan = hash.Sum()
	if err := a.env.Ledger.UpdateRun(ctx, ledger.Run{Org: in.Org, ID: in.Run, State: messages.RunApplying,
		Plan:   hold.Plan,
		Counts: ledger.Counts{People: in.Lost.Members, Adds: hold.Adds, Held: hold.Adds}}); err != nil {
		return result, err
	}
	makesWords := "the group is there"
	if makes {
		makesWords = "a local group is made"
	}
	hold.Rules = []ledger.HoldRule{{Rule: plan.RuleGroupRestore, Scope: "group " + in.Lost.Name, Detail: fmt.Sprintf(
		"%s, it gets %d app roles and %d of %d members; a restore is always held, and cannot bring back %s", makesWords,
		roles, hold.People, in.Lost.Members, messages.NotInRecords)}}
	result.Hold = session.HoldMessage(hold)
	return result, a.env.Ledger.OpenHold(ctx, hold)
}

// outcomes of lines about members by their states; verified ones and those not seen yet differ by what a read shows.
var outcomes = map[access.ChangeState]string{
	access.Held: messages.RestorePending, access.Planned: messages.RestorePending, access.Sent: messages.RestorePending,
	access.Recorded: messages.RestoreLeftOut, access.Already: messages.RestoreAlready,
	access.Done: messages.RestoreUnseen,
}

func outcomeOf(c access.Change) string {
	if c.State == access.Done && c.Verified {
		return messages.RestoreAdded
	}
	if outcome, known := outcomes[c.State]; known {
		return outcome
	}
	return messages.RestoreNotAdded
}

// counts counts a restore's members by outcome, and passes each line on.
func (a *Activities) counts(ctx context.Context, in RestoreRunInput,
	each func(access.Change) error) (counts []messages.StateCount, err error) {
	found := map[string]int{}
	s := &session.Session{Env: a.env, Org: in.Org}
	err = s.EachLine(ctx, in.Run, nil, func(c access.Change) error {
		if c.Person != in.Group {
			found[outcomeOf(c)]++
		}
		if each == nil {
			return nil
		}
		return each(c)
	})
	return session.StateCounts(found), err
}

// EndRestoreInput ends a restore.
type EndRestoreInput struct {
	RestoreRunInput
	State string `json:"state"` // of the restore
	By    string `json:"by,omitempty"`
	// LinesOnly: what was not written is not written any more; what became of the rest is found out before the end.
	LinesOnly bool `json:"linesOnly,omitempty"`
}

// EndRestoreResult is how a restore ended.
type EndRestoreResult struct {
	Counts []messages.StateCount `json:"counts"`
}

// EndRestore closes a restore: its hold, the lines that were not written, and its run. A loss that was restored, or
// whose restore somebody rejected, is not reported any more. A repeat finds it closed.
func (a *Activities) EndRestore(ctx context.Context, in EndRestoreInput) (EndRestoreResult, error) {
	defer session.AutoHeartbeat(ctx)()
	l := a.env.Ledger
	if err := l.CloseHoldIn(ctx, in.Org, ledger.LaneOfRestore(in.Group), "the restore has ended: "+in.State); err != nil {
		return EndRestoreResult{}, err
	}
	s := &session.Session{Env: a.env, Org: in.Org}
	if err := s.EndLines(ctx, in.Run, "the restore ended before: "+in.State); err != nil || in.LinesOnly {
		return EndRestoreResult{}, err
	}
	outcome := map[string]string{messages.RestoreDone: ledger.GroupRestored,
		messages.RestoreRejected: ledger.GroupDismissed}[in.State]
	if outcome != "" {
		if err := l.SettleGroup(ctx, in.Org, in.Group, outcome, in.By, a.env.Now()); err != nil {
			return EndRestoreResult{}, err
		}
	}
	if err := s.EndRunOnce(ctx, in.Run, in.State == messages.RestoreDone); err != nil {
		return EndRestoreResult{}, err
	}
	counts, err := a.counts(ctx, in.RestoreRunInput, nil)
	return EndRestoreResult{counts}, err
}
