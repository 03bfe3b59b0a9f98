package workflows

import (
	"slices"

	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/workflows/internal/kit"
)

func (s *orgSync) checkRestoreGroup(in messages.RestoreGroupSignal) error {
	switch {
	case in.Group == "" || in.Run == "" || in.Plan == "":
		return kit.Refuse("%s is sent by the restore of a group to the organization's loop, not by people: group, run or plan is missing",
			messages.RestoreGroup)
	case len(s.Pending.Jobs) >= mostJobs:
		return kit.Refuse("%d jobs wait already; the restore asks again", len(s.Pending.Jobs))
	}
	return messages.CheckSizes(in)
}

// restoreGroup has the lines of an approved restore written, unless they wait or are being written already. What is not
// approved in the ledger is not written, whoever signals.
func (s *orgSync) restoreGroup(_ workflow.Context, in messages.RestoreGroupSignal) {
	same := func(o messages.Scope) bool { return o.Restore == in.Group && o.Run == in.Run }
	if s.full != nil && same(s.full.wave) ||
		slices.ContainsFunc(s.Pending.Jobs, func(j messages.Job) bool { return same(j.Scope) }) {
		return
	}
	s.Pending.Jobs = append(s.Pending.Jobs, messages.Job{
		Scope: messages.Scope{Kind: messages.ScopeHold, Run: in.Run, Plan: in.Plan, Restore: in.Group}, By: in.By,
		Note: "restore of group " + kit.Bounded(in.Group) + ", approved by " + kit.Bounded(in.By)})
	s.wake = true
}

// answerRestore tells the restore of a group that a run of its lines is over.
func (s *orgSync) answerRestore(ctx workflow.Context, of messages.Scope) {
	if of.Restore != "" {
		workflow.SignalExternalWorkflow(ctx, messages.RestoreID(s.Org, of.Restore), "", messages.Look, nil)
	}
}
