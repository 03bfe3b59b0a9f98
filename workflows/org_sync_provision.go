package workflows

import (
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities/provisioning"
	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/workflows/internal/act"
	"github.com/castellan-io/castellan/workflows/internal/kit"
)

// mostIdentities is how many identities are provisioned one by one; if more changed, everybody is looked at.
const mostIdentities = 200

// provisionsOf returns the provisions that take people from a source.
func (s *orgSync) provisionsOf(source string) (names []string) {
	for _, p := range s.Settings.Provisions {
		if slices.Contains(p.From, source) {
			names = append(names, p.Name)
		}
	}
	return names
}

// dueProvision has a provision look at identities, or, without any, at everybody.
func (s *orgSync) dueProvision(name, why string, identities ...string) {
	s.wake = true
	i := slices.IndexFunc(s.Pending.Provisions, func(p messages.PendingProvision) bool {
		return p.Name == name && p.Approved == nil && p.NotBefore.IsZero()
	})
	if i < 0 {
		s.Pending.Provisions = append(s.Pending.Provisions, messages.PendingProvision{Name: name, Why: why,
			Identities: identities})
		i = len(s.Pending.Provisions) - 1
	} else if p := &s.Pending.Provisions[i]; len(identities) == 0 || len(p.Identities) == 0 {
		p.Identities = nil
	} else {
		p.Identities = merge(p.Identities, identities)
	}
	if p := &s.Pending.Provisions[i]; len(p.Identities) > mostIdentities {
		p.Identities = nil
	}
}

// dueEveryProvision has every provision look at everybody.
func (s *orgSync) dueEveryProvision(why string) {
	for _, p := range s.Settings.Provisions {
		s.dueProvision(p.Name, why)
	}
}

// dueAfterDecision has the provisions look at everybody once a plan of one was decided: what else is to be held, of it
// and of others, waited for that.
func (s *orgSync) dueAfterDecision(decided string) {
	for _, p := range s.Settings.Provisions {
		if p.Name != decided || s.approvedFirst {
			s.dueProvision(p.Name, "a decision on the held plan of provision "+decided)
		}
	}
}

// provisionDue reports whether a provision may run now: when nothing else runs in the background, and all accounts were
// seen once.
func (s *orgSync) provisionDue(ctx workflow.Context) bool {
	return s.mayStartFull() && s.Policy != "" && s.Paused == nil && !s.applyingPolicy && s.LastFull != nil &&
		!s.waitsForRenewal(ctx) && !s.sourcesUnread() && s.nextProvision(ctx) >= 0
}

// nextProvision returns the first provision that is due, or -1. One that had a problem waits for its next attempt. What
// was approved goes first: a look at everybody before that would ask for the same once more.
func (s *orgSync) nextProvision(ctx workflow.Context) int {
	due := func(p messages.PendingProvision) bool {
		known := s.provisionStatus(p.Name)
		return !workflow.Now(ctx).Before(p.NotBefore) &&
			(known == nil || kit.RetryDue(known.Problem, workflow.Now(ctx)))
	}
	if !s.approvedFirst {
		return slices.IndexFunc(s.Pending.Provisions, due)
	}
	approved := func(p messages.PendingProvision) bool { return p.Approved != nil && due(p) }
	if i := slices.IndexFunc(s.Pending.Provisions, approved); i >= 0 {
		return i
	}
	return slices.IndexFunc(s.Pending.Provisions, func(p messages.PendingProvision) bool {
		return due(p) && !slices.ContainsFunc(s.Pending.Jobs,
			func(job messages.Job) bool { return job.Scope.Provision == p.Name })
	})
}

// startProvision starts the run of a provision that is due.
func (s *orgSync) startProvision(ctx workflow.Context) {
	i := s.nextProvision(ctx)
	p := s.Pending.Provisions[i]
	s.Pending.Provisions = slices.Delete(slices.Clone(s.Pending.Provisions), i, i+1)
	in := s.newRun(ctx)
	in.Trigger = p.Why
	if p.Approved != nil {
		in.Scope, in.Run, in.By = *p.Approved, p.Approved.Run, p.By
		s.runInBackground(ctx, in, &messages.Job{Scope: in.Scope, By: p.By, Note: p.Why})
		return
	}
	in.Scope = messages.Scope{Kind: messages.ScopeProvision, Provision: p.Name, Identities: p.Identities}
	s.runInBackground(ctx, in, nil)
}

// keepApproved keeps what a failed run left of an approved plan: it is tried again when the provision is.
func (s *orgSync) keepApproved(job messages.Job) {
	s.Pending.Provisions = append(s.Pending.Provisions, messages.PendingProvision{Name: job.Scope.Provision,
		Why: job.Note, Approved: &job.Scope, By: job.By})
}

// approvedFirst reports whether, in this history, what was approved of a provision goes ahead of all else.
func approvedFirst(ctx workflow.Context) bool {
	return workflow.GetVersion(ctx, "approved-records-first", workflow.DefaultVersion, 1) > workflow.DefaultVersion
}

func (s *orgSync) provisionStatus(name string) *messages.ProvisionStatus {
	i := slices.IndexFunc(s.Provisions, func(p messages.ProvisionStatus) bool { return p.Name == name })
	if i < 0 {
		return nil
	}
	return &s.Provisions[i]
}

// recordProvision records the end of a run of a provision. Its problem is its own: the organization goes on, and the
// provision is tried again.
func (s *orgSync) recordProvision(ctx workflow.Context, sum messages.RunSummary) {
	name := sum.Provision
	known := s.provisionStatus(name)
	if known == nil {
		s.Provisions = append(s.Provisions, messages.ProvisionStatus{Name: name})
		known = &s.Provisions[len(s.Provisions)-1]
	}
	known.Run = sum.Run
	switch {
	case sum.Problem != nil:
		known.Problem = kit.RecordFailure(workflow.Now(ctx), known.Problem, *sum.Problem, loopBackoff)
		s.dueProvision(name, "retried after a problem")
	case sum.State == messages.RunStopped:
		s.dueProvision(name, "repeated because it was stopped")
	default:
		known.Problem, known.Done, known.States, known.Gap = nil, workflow.Now(ctx), sum.States, sum.Gap
		known.Findings, known.Reported, known.Groups = sum.Findings, sum.Reported, sum.Groups
	}
}

// retryUnfinished has a provision look at everybody again soon, if its run left changes: those that could not be made,
// and those that were decided otherwise at the moment of writing. Nothing else may ask for them until the next full
// verification.
func (s *orgSync) retryUnfinished(ctx workflow.Context, scope messages.Scope, sum messages.RunSummary) {
	known := s.provisionStatus(scope.Provision)
	if sum.Problem != nil || sum.State == messages.RunStopped || known == nil || scope.Batch != "" {
		return // what is left of a wave is the batch's to ask for
	}
	if sum.Counts.Failed+sum.Counts.Superseded == 0 {
		if len(scope.Identities) == 0 {
			known.Unfinished = nil
		}
		return
	}
	if workflow.GetVersion(ctx, "provisions-finish", workflow.DefaultVersion, 1) == workflow.DefaultVersion {
		return
	}
	known.Unfinished = kit.RecordFailure(workflow.Now(ctx), known.Unfinished, messages.Problem{Kind: "Unfinished",
		Message: fmt.Sprintf("%d changes could not be made, and %d are decided again, since what was read just before the write asked for something else",
			sum.Counts.Failed, sum.Counts.Superseded)}, loopBackoff)
	again := messages.PendingProvision{Name: known.Name, Why: "again, since changes were left",
		NotBefore: known.Unfinished.Retry}
	s.Pending.Provisions = append(slices.DeleteFunc(s.Pending.Provisions,
		func(p messages.PendingProvision) bool { return p.Name == known.Name && !p.NotBefore.IsZero() }), again)
}

// keepProvisions drops what is known of provisions that the policy does not have any more.
func (s *orgSync) keepProvisions() {
	gone := func(name string) bool {
		return !slices.ContainsFunc(s.Settings.Provisions,
			func(p messages.ProvisionSetting) bool { return p.Name == name })
	}
	s.Provisions = slices.DeleteFunc(s.Provisions, func(p messages.ProvisionStatus) bool { return gone(p.Name) })
	s.Pending.Provisions = slices.DeleteFunc(s.Pending.Provisions,
		func(p messages.PendingProvision) bool { return gone(p.Name) })
}

// provisionRetry returns when a provision is tried again that had a problem, or left changes, and its name; zero: none
// waits for that.
func (s *orgSync) provisionRetry() (first time.Time, name string) {
	if !s.mayStartFull() || s.applyingPolicy || s.LastFull == nil || s.sourcesUnread() {
		return first, ""
	}
	for _, p := range s.Pending.Provisions {
		due := p.NotBefore
		if known := s.provisionStatus(p.Name); known != nil && known.Problem != nil && known.Problem.Retry.After(due) {
			due = known.Problem.Retry
		}
		if !due.IsZero() && (first.IsZero() || due.Before(first)) {
			first, name = due, p.Name
		}
	}
	return first, name
}

// describeProvisions describes the provisions: how many people are in which state, and what is wrong.
func (s *orgSync) describeProvisions(page *display.Page) {
	if len(s.Settings.Provisions) == 0 {
		return
	}
	page.Line("### Provisioning\n")
	for _, p := range s.Settings.Provisions {
		known := s.provisionStatus(p.Name)
		if known == nil {
			page.Line("- %s: not run yet; it starts after the first full verification", p.Name)
			continue
		}
		page.Line("- %s: %s, at %s; %d managed accounts without a record", p.Name, describeStates(known.States),
			instant(known.Done), known.Gap)
		if known.Problem != nil {
			page.Line("  - **%s** since %s, tried %d times, next at %s: %s", known.Problem.Kind,
				instant(known.Problem.Since), known.Problem.Tries, instant(known.Problem.Retry), known.Problem.Message)
		}
		if u := known.Unfinished; u != nil {
			page.Line("  - **%s** since %s, next at %s: %s", u.Kind, instant(u.Since), instant(u.Retry), u.Message)
		}
		if g := known.Groups; g != nil {
			page.Line("  - %d groups follow groups of sources, with %d memberships", g.Groups, g.Memberships)
		}
		for _, f := range known.Findings {
			page.Line("  - %s", f)
		}
	}
	page.Line("\nThe people and their states: %s\n", display.Starter("identities", s.Org))
}

// describeStates lists how many people are in which state.
func describeStates(states []messages.StateCount) string {
	text := ""
	for _, one := range states {
		if text != "" {
			text += ", "
		}
		text += fmt.Sprintf("%d %s", one.Count, one.State)
	}
	if text == "" {
		return "nobody"
	}
	return text
}

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
