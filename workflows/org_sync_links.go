package workflows

import (
	"fmt"
	"slices"

	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/workflows/internal/kit"
)

func (s *orgSync) checkLinkWave(in messages.LinkWaveSignal) error {
	if in.Batch == "" || in.Run == "" || in.Plan == "" || len(in.Identities) == 0 {
		return kit.Refuse("%s is sent by a link batch to the organization's loop, not by people: batch, run, plan or identities is missing",
			messages.LinkWave)
	}
	return messages.CheckSizes(in)
}

// linkWave has lines of an approved batch written, unless they wait or are being written already. What is not approved
// in the ledger is not written, whoever signals.
func (s *orgSync) linkWave(ctx workflow.Context, in messages.LinkWaveSignal) {
	scope := messages.Scope{Kind: messages.ScopeHold, Run: in.Run, Plan: in.Plan, Provision: in.Provision,
		Identities: in.Identities, Batch: in.Batch}
	same := func(o messages.Scope) bool {
		return o.Batch == in.Batch && o.Run == in.Run && slices.Equal(o.Identities, in.Identities)
	}
	switch {
	case !slices.ContainsFunc(s.Settings.Provisions,
		func(p messages.ProvisionSetting) bool { return p.Name == in.Provision }):
		s.answerBatch(ctx, scope) // another policy is in force: the batch finds its lines as they are
	case s.full != nil && same(s.full.wave),
		slices.ContainsFunc(s.Pending.Jobs, func(j messages.Job) bool { return same(j.Scope) }),
		slices.ContainsFunc(s.Pending.Provisions,
			func(p messages.PendingProvision) bool { return p.Approved != nil && same(*p.Approved) }):
	default:
		s.Pending.Provisions = append(s.Pending.Provisions, messages.PendingProvision{Name: in.Provision,
			Why:      fmt.Sprintf("link batch %s, wave %d, approved by %s", kit.Bounded(in.Batch), in.Wave, in.By),
			Approved: &scope, By: in.By})
		s.wake = true
	}
}

// answerBatch tells a batch of links that a run of its lines is over.
func (s *orgSync) answerBatch(ctx workflow.Context, of messages.Scope) {
	if of.Batch != "" {
		workflow.SignalExternalWorkflow(ctx, messages.LinkID(s.Org, of.Batch), "", messages.Look, nil)
	}
}
