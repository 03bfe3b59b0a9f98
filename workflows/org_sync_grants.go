package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/messages"
)

// mostAttended is how many people one run of grants puts right.
const mostAttended = 100

func (s *orgSync) checkGrant(in messages.GrantInput) error {
	switch {
	case in.Person == "":
		return refuse("person is missing: say who is to hold the target, by e-mail address or account id")
	case in.Target == "":
		return refuse("target is missing: for example role:org-admin or group:jira-admins-acme")
	case in.RequestedBy == "":
		return refuse("requestedBy is missing: say who asks, by e-mail address or account id")
	case len(in.RequestID) > 100:
		return refuse("requestID has %d bytes; at most 100 are allowed", len(in.RequestID))
	case in.Duration < 0:
		return refuse("duration is %s: it ends before it starts", in.Duration)
	}
	return s.checkGrants()
}

// checkGrants says why nothing can be granted now.
func (s *orgSync) checkGrants() error {
	switch {
	case s.Policy == "":
		return refuse("no policy is in force; apply one first")
	case !s.Adopted:
		return refuse("the first plan was not approved yet; nothing is written before that")
	case s.Settings.DryRun:
		return refuse("the policy says dryRun: nothing is written, so nothing can be granted")
	}
	return nil
}

// grant has a request judged and recorded. The grant's own workflow sees to the rest.
func (s *orgSync) grant(ctx workflow.Context, in messages.GrantInput) (messages.GrantAnswer, error) {
	in.Reason, in.Ticket = bounded(in.Reason), bounded(in.Ticket)
	if in.RequestID == "" {
		in.RequestID = "g" + s.newID(ctx)
	}
	return requestGrant(ctx, activities.RequestGrantInput{Org: s.Org, GrantInput: in})
}

func (s *orgSync) checkRevoke(in messages.RevokeInput) error {
	switch {
	case in.Person == "" && in.Request == "":
		return refuse("person is missing: say whose grants end, by e-mail address or account id")
	case in.Target == "" && in.Request == "":
		return refuse("target is missing: say what is to be taken back")
	case in.RequestedBy == "":
		return refuse("requestedBy is missing: say who ends it, by e-mail address or account id")
	}
	return nil
}

func (s *orgSync) revoke(ctx workflow.Context, in messages.RevokeInput) (messages.GrantAnswer, error) {
	in.Reason = bounded(in.Reason)
	return revokeGrant(ctx, activities.RevokeGrantInput{Org: s.Org, RevokeInput: in})
}

// asked queues what a grant asks for; a later question of the same grant takes the place of an earlier one.
func (s *orgSync) asked(_ workflow.Context, in messages.AttendSignal) {
	s.wake = true
	for i := range s.Pending.Grants {
		if s.Pending.Grants[i].Workflow == in.Workflow {
			s.Pending.Grants[i] = in
			return
		}
	}
	s.Pending.Grants = append(s.Pending.Grants, in)
}

// attendGrants serves grants for the life of the run, beside whatever else the loop does: also while paused, and whatever
// else is wrong.
func (s *orgSync) attendGrants(ctx workflow.Context) {
	workflow.GoNamed(ctx, "grants", func(ctx workflow.Context) {
		mayAttend := func() bool {
			return len(s.Pending.Grants) > 0 && s.Policy != "" && s.stopping == 0 && !s.closing() && !s.renewable(ctx)
		}
		for workflow.Await(ctx, mayAttend) == nil {
			s.attending = true
			s.attend(ctx)
			s.attending, s.wake = false, true
		}
	})
}

// nextAsks takes the questions of the next run: roles, which take half a minute to be seen, or all that is seen sooner.
func (s *orgSync) nextAsks() (asks []messages.AttendSignal) {
	slow := s.Pending.Grants[0].Target.Kind() == access.KindRole
	var rest []messages.AttendSignal
	for _, one := range s.Pending.Grants {
		if len(asks) < mostAttended && (one.Target.Kind() == access.KindRole) == slow {
			asks = append(asks, one)
		} else {
			rest = append(rest, one)
		}
	}
	s.Pending.Grants = rest
	return asks
}

// attend has what began given and what ended taken back, in one run for all that wait. It returns when that is written; the
// run reads it back and tells the grants by itself, whatever becomes of this history.
func (s *orgSync) attend(ctx workflow.Context) {
	asks := s.nextAsks()
	in := s.newRun(ctx)
	in.Trigger, in.Scope = "grants", messages.Scope{Kind: messages.ScopeGrants}
	for _, one := range asks[:min(len(asks), 20)] {
		in.Scope.People = append(in.Scope.People, orNone(one.Email, one.Person))
	}
	what := scopeInWords(in.Scope)
	batch := activities.AttendInput{RunInput: activities.RunInput{Org: s.Org, Run: in.Run, Policy: in.Policy}, Asks: asks}
	plan, err := attend(ctx, batch)
	if err != nil || plan.Open == 0 {
		s.tellGrants(ctx, batch, err)
		return
	}
	s.aside(ctx, "grants go first", s.front, s.bulk)
	in.Progress = &messages.Progress{Phase: phaseRemove, Since: workflow.Now(ctx), Settled: true, Run: messages.RunSummary{
		Run: in.Run, Trigger: in.Trigger, Scope: in.Scope.Kind, Started: workflow.Now(ctx), State: messages.RunApplying, Plan: plan.Plan, Counts: plan.Counts,
	}}
	in.Asks = asks
	run := s.reconcile(ctx, in, what)
	s.lending = run
	s.show(ctx)
	workflow.GoNamed(ctx, "run "+in.Run, func(ctx workflow.Context) {
		var end messages.RunSummary
		if err := run.future.Get(ctx, &end); err == nil {
			s.LastRun = &end
		}
		run.over = true
		s.lent(ctx, run)
	})
	_ = workflow.Await(ctx, func() bool { return s.lending != run })
}

// lent lets the others go on, once a run of grants has nothing left to write.
func (s *orgSync) lent(ctx workflow.Context, run *running) {
	if s.lending == run {
		s.lending = nil
		s.openGate(ctx)
	}
	s.wake = true
}

// tellGrants answers those for whom there is nothing to write. Where even that fails they ask again by themselves.
func (s *orgSync) tellGrants(ctx workflow.Context, batch activities.AttendInput, failed error) {
	if failed != nil {
		batch.Failed = messageOf(failed)
	}
	s.tails++ // the history does not end before they were told
	workflow.GoNamed(ctx, "tell grants", func(ctx workflow.Context) {
		defer func() { s.tails--; s.wake = true }()
		if _, err := attended(ctx, batch); err != nil {
			s.log.Warn("grants were not told what was done; they ask again", "run", batch.Run, "error", err)
		}
	})
}

// mostNoticed is how many of the things noticed last are shown.
const mostNoticed = 10

// tellRegiven tells at once what somebody gave by hand after a grant of it was over.
func (s *orgSync) tellRegiven(ctx workflow.Context, again []activities.Regiven) {
	for _, one := range again {
		s.Noticed = append(s.Noticed, instant(workflow.Now(ctx))+" "+bounded(one.Text))
		s.Noticed = s.Noticed[max(0, len(s.Noticed)-mostNoticed):]
		s.tails++
		workflow.GoNamed(ctx, "tell", func(ctx workflow.Context) {
			defer func() { s.tails--; s.wake = true }()
			if err := tell(ctx, activities.TellInput{Org: s.Org, Workflow: one.Workflow, Kind: activities.NoticeForeign, Grant: one.Grant}); err != nil {
				s.log.Warn("nobody was told of what was given by hand", "grant", one.Grant, "error", err)
			}
		})
	}
}
