package provisioning

import (
	"context"
	"fmt"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/identity"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/plan"
)

// JudgeLinksInput asks what waits for approval.
type JudgeLinksInput struct {
	LinkRunInput
	Observe bool `json:"observe,omitempty"` // nothing can be written: nothing waits
}

// JudgeLinksResult is what waits for approval.
type JudgeLinksResult struct {
	Hold   *messages.Hold        `json:"hold,omitempty"` // nil: nobody is to be linked
	Counts []messages.StateCount `json:"counts"`
}

// JudgeLinks opens the hold on the batch's plan. A repeat finds it open.
func (a *Activities) JudgeLinks(ctx context.Context, in JudgeLinksInput) (JudgeLinksResult, error) {
	defer session.AutoHeartbeat(ctx)()
	hold := ledger.Hold{Org: in.Org, Lane: ledger.LaneOfBatch(in.Batch), Run: in.Run, Opened: a.env.Now()}
	hash, rules := plan.NewHasher(), map[string]int{}
	lines := &session.Session{Env: a.env, Org: in.Org}
	if err := lines.EachLine(ctx, in.Run, []access.ChangeState{access.Held}, func(c access.Change) error {
		hold.Adds++
		hold.People++
		for _, rule := range c.HeldBy {
			rules[rule]++
		}
		return hash.Add(c)
	}); err != nil {
		return JudgeLinksResult{}, err
	}
	counts, err := a.linkCounts(ctx, in.LinkRunInput)
	result := JudgeLinksResult{Counts: counts}
	if err != nil || hold.People == 0 || in.Observe {
		return result, err
	}
	hold.Plan = hash.Sum()
	if err := a.env.Ledger.UpdateRun(ctx, ledger.Run{Org: in.Org, ID: in.Run, State: messages.RunApplying,
		Plan: hold.Plan, Counts: ledger.Counts{People: hold.People, Adds: hold.Adds, Held: hold.Adds}}); err != nil {
		return result, err
	}
	for _, rule := range session.SortedKeys(rules) {
		hold.Rules = append(hold.Rules, ledger.HoldRule{Rule: rule, Scope: "provision " + in.Provision,
			Detail: fmt.Sprintf("%d people: %s", rules[rule], identity.Hold(rule).Explain())})
	}
	result.Hold = holdOf(hold, in.Provision)
	return result, a.env.Ledger.OpenHold(ctx, hold)
}

func (a *Activities) linkCounts(ctx context.Context, in LinkRunInput) (counts []messages.StateCount, err error) {
	found, err := a.env.Ledger.LinkCounts(ctx, in.Org, in.Batch)
	return session.StateCounts(found), err
}

// EndLinksInput ends a batch.
type EndLinksInput struct {
	LinkRunInput
	State string `json:"state"` // of the batch
	// LinesOnly: what was not written is not written any more; what became of the rest is found out before the end.
	LinesOnly bool `json:"linesOnly,omitempty"`
}

// EndLinksResult is how a batch ended.
type EndLinksResult struct {
	Counts []messages.StateCount `json:"counts"`
}

// EndLinks closes a batch: its hold, the lines that were not written, its people whom nothing was tried for, and its
// run. A repeat finds it closed.
func (a *Activities) EndLinks(ctx context.Context, in EndLinksInput) (EndLinksResult, error) {
	defer session.AutoHeartbeat(ctx)()
	l := a.env.Ledger
	if err := l.CloseHoldIn(ctx, in.Org, ledger.LaneOfBatch(in.Batch), "the batch has ended: "+in.State); err != nil {
		return EndLinksResult{}, err
	}
	why := "the link batch ended before: " + in.State
	s := &session.Session{Env: a.env, Org: in.Org}
	if err := s.EndLines(ctx, in.Run, why); err != nil {
		return EndLinksResult{}, err
	}
	if in.LinesOnly {
		return EndLinksResult{}, nil
	}
	for more := true; more; {
		pending, err := l.Links(ctx, in.Org, in.Batch, messages.LinkPending, ledger.Ref{}, session.LinesAtOnce)
		if err != nil {
			return EndLinksResult{}, err
		}
		for i := range pending {
			pending[i].Outcome, pending[i].Detail = messages.LinkLeft, why
		}
		if err := l.SaveLinks(ctx, in.Org, in.Batch, in.Run, pending); err != nil {
			return EndLinksResult{}, err
		}
		more = len(pending) == session.LinesAtOnce
	}
	if err := s.EndRunOnce(ctx, in.Run, in.State == messages.LinkDone); err != nil {
		return EndLinksResult{}, err
	}
	counts, err := a.linkCounts(ctx, in.LinkRunInput)
	return EndLinksResult{counts}, err
}
