package workflows

import (
	"fmt"
	"slices"

	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities/provisioning"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/workflows/internal/act"
	"github.com/castellan-io/castellan/workflows/internal/kit"
)

func (s *orgSync) checkProvisionNow(in messages.ProvisionNowInput) error {
	known := slices.ContainsFunc(s.Settings.Provisions,
		func(p messages.ProvisionSetting) bool { return p.Name == in.Provision })
	switch {
	case in.By == "":
		return kit.Refuse("by is missing: say who requests it")
	case in.By == messages.You:
		return kit.Refuse("by is %s, which stands for you in printed commands: put your own e-mail address or account id there",
			messages.You)
	case len(s.Settings.Provisions) == 0:
		return kit.Refuse("the policy in force has no provision")
	case in.Provision != "" && !known:
		return kit.Refuse("the policy in force has no provision %s", kit.Bounded(in.Provision))
	case in.Provision == "" && len(in.People) > 0 && len(s.Settings.Provisions) > 1:
		return kit.Refuse("provision is missing: say which one the people belong to")
	case s.Paused != nil:
		return kit.Refuse("the organization is paused by %s (%s); resume it first", s.Paused.By, s.Paused.Reason)
	case len(in.People) > mostIdentities:
		return kit.Refuse("people has %d elements; at most %d are accepted: leave people out for everybody",
			len(in.People), mostIdentities)
	}
	return nil
}

// provisionNow has provisions look at everybody, or at some people, as soon as nothing else runs.
func (s *orgSync) provisionNow(ctx workflow.Context, in messages.ProvisionNowInput) (messages.Answer, error) {
	var identities []string
	if len(in.People) > 0 {
		if in.Provision == "" {
			in.Provision = s.Settings.Provisions[0].Name
		}
		found, err := act.FindIdentities(ctx, provisioning.FindIdentitiesInput{Org: s.Org, Provision: in.Provision,
			People: in.People})
		if err != nil {
			return messages.Answer{}, err
		}
		identities = found
	}
	for _, p := range s.Settings.Provisions {
		if in.Provision != "" && p.Name != in.Provision {
			continue
		}
		if known := s.provisionStatus(p.Name); known != nil && known.Problem != nil {
			known.Problem.Retry = workflow.Now(ctx) // somebody waits for it
		}
		s.dueProvision(p.Name, "asked for by "+kit.Bounded(in.By), identities...)
	}
	return messages.Answer{Message: "a run over these records starts as soon as nothing else is running; starter runs shows it"},
		nil
}

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
