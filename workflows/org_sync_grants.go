package workflows

import (
	"cmp"
	"strings"

	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/grants"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/workflows/internal/act"
	"github.com/castellan-io/castellan/workflows/internal/kit"
)

// mostGrantsAtOnce is how many grants one run handles.
const mostGrantsAtOnce = 100

func (s *orgSync) checkGrant(in messages.GrantInput) error {
	switch {
	case in.Person == "":
		return kit.Refuse("person is missing: say who gets the target, by e-mail address or account id")
	case in.Target == "":
		return kit.Refuse("target is missing: for example role:org-admin or group:jira-admins-acme")
	case in.RequestedBy == "":
		return kit.Refuse("requestedBy is missing: say who requests it, by e-mail address or account id")
	case in.Duration < 0:
		return kit.Refuse("duration is %s: it ends before it starts", in.Duration)
	}
	return kit.FirstError(checkNewID(in.RequestID), s.checkGrants())
}

// checkNewID refuses the id of a request that is made, unless it is left out.
func checkNewID(id string) error {
	if id == "" {
		return nil
	}
	if err := messages.CheckRequestID(id); err != nil {
		return kit.Refuse("%v", err)
	}
	return nil
}

// checkGrants returns an error if nothing can be granted now.
func (s *orgSync) checkGrants() error {
	switch {
	case s.Policy == "":
		return kit.Refuse("no policy is in force; apply one first")
	case !s.Adopted:
		return kit.Refuse("the first plan was not approved yet; nothing is written before that")
	case s.Settings.DryRun:
		return kit.Refuse("the policy says dryRun: nothing is written, so nothing can be granted")
	}
	return nil
}

// grant has a request judged and recorded. The grant's own workflow does the rest.
func (s *orgSync) grant(ctx workflow.Context, in messages.GrantInput) (messages.GrantAnswer, error) {
	in.Reason, in.Ticket = kit.Bounded(in.Reason), kit.Bounded(in.Ticket)
	if in.RequestID == "" {
		in.RequestID = "g" + s.newID(ctx)
	}
	return act.RequestGrant(ctx, grants.RequestGrantInput{Org: s.Org, GrantInput: in})
}

// checkNamed refuses input without a request id, since the loop has all requests.
func checkNamed(request string) error {
	if request == "" {
		return kit.Refuse("request is missing: give the id of the request, as the notice, its workflow and starter grants show it")
	}
	return nil
}

func checkDecisionOnGrant(in messages.ApprovalInput) error {
	return kit.FirstError(checkNamed(in.Request), checkApproval(in))
}

// approve records an approval of a request, identified by its id alone.
func (s *orgSync) approve(ctx workflow.Context, in messages.ApprovalInput) (messages.GrantAnswer, error) {
	return recordDecision(ctx, grants.DecideGrantInput{Org: s.Org, Approve: true}, in)
}

// deny records a denial of a request.
func (s *orgSync) deny(ctx workflow.Context, in messages.ApprovalInput) (messages.GrantAnswer, error) {
	return recordDecision(ctx, grants.DecideGrantInput{Org: s.Org}, in)
}

func (s *orgSync) checkExtend(in messages.ExtendInput) error {
	return kit.FirstError(checkNamed(in.Request), checkExtend(in), s.checkGrants())
}

// extend requests a grant that continues another.
func (s *orgSync) extend(ctx workflow.Context, in messages.ExtendInput) (messages.GrantAnswer, error) {
	in.Reason, in.Ticket = kit.Bounded(in.Reason), kit.Bounded(in.Ticket)
	if in.RequestID == "" {
		in.RequestID = "g" + s.newID(ctx)
	}
	return act.ExtendGrant(ctx, grants.ExtendGrantInput{Org: s.Org, ExtendInput: in})
}

func (s *orgSync) checkRevoke(in messages.RevokeInput) error {
	switch {
	case in.Person == "" && in.Request == "":
		return kit.Refuse("person is missing: say whose grants end, by e-mail address or account id")
	case in.Target == "" && in.Request == "":
		return kit.Refuse("target is missing: say what is to be revoked")
	case in.RequestedBy == "":
		return kit.Refuse("requestedBy is missing: say who ends it, by e-mail address or account id")
	}
	return nil
}

func (s *orgSync) revoke(ctx workflow.Context, in messages.RevokeInput) (messages.GrantAnswer, error) {
	in.Reason = kit.Bounded(in.Reason)
	answer, err := act.RevokeGrant(ctx, grants.RevokeGrantInput{Org: s.Org, RevokeInput: in})
	if answer.Unreached { // nobody else would ask for it
		for _, g := range answer.Grants {
			s.queueGrant(ctx, messages.ReconcileGrantSignal{
				Workflow: messages.GrantID(s.Org, g.Target, g.Key), Key: g.Key, Person: g.Person, Email: g.Email,
				Target: g.Target,
			})
		}
	}
	return answer, err
}

// mostQueuedGrants is how many grants may wait for a run. Those refused ask again in a minute.
const mostQueuedGrants = 5000

// checkQueueGrant refuses signals that are not from a grant of this organization.
func (s *orgSync) checkQueueGrant(in messages.ReconcileGrantSignal) error {
	switch {
	case !strings.HasPrefix(in.Workflow, messages.GrantIDPrefix(s.Org)) || messages.CheckID(in.Workflow) != nil:
		return kit.Refuse("workflow %q is not a grant of organization %s: %s is sent by a grant's workflow, not by people",
			kit.Bounded(in.Workflow), s.Org, messages.ReconcileGrant)
	case in.Person == "" || in.Target == "":
		return kit.Refuse("person and target are missing: %s is sent by a grant's workflow, not by people",
			messages.ReconcileGrant)
	case len(s.Pending.Grants) >= mostQueuedGrants:
		return kit.Refuse("%d people wait for a run of grants already; %s is sent again automatically", len(s.Pending.Grants),
			in.Workflow)
	}
	if err := messages.CheckSizes(in); err != nil {
		return kit.Refuse("%v", err)
	}
	return nil
}

// queueGrant queues a grant's signal; a later signal of the same grant replaces an earlier one.
func (s *orgSync) queueGrant(_ workflow.Context, in messages.ReconcileGrantSignal) {
	s.wake = true
	for i := range s.Pending.Grants {
		if s.Pending.Grants[i].Workflow == in.Workflow {
			s.Pending.Grants[i] = in
			return
		}
	}
	s.Pending.Grants = append(s.Pending.Grants, in)
}

// serveGrants runs grants as long as the workflow runs, concurrently with all else, also while paused or in trouble.
func (s *orgSync) serveGrants(ctx workflow.Context) {
	workflow.GoNamed(ctx, "grants", func(ctx workflow.Context) {
		mayRun := func() bool {
			return len(s.Pending.Grants) > 0 && s.Policy != "" && s.mayStartGrants() && !s.handlers.Holds() &&
				!s.renewable(ctx)
		}
		for workflow.Await(ctx, mayRun) == nil {
			s.runningGrants = true
			s.reconcileGrants(ctx)
			s.runningGrants, s.wake = false, true
		}
	})
}

// nextGrants removes the signals of the next run from the queue: either roles, which take half a minute to become
// visible, or all else.
func (s *orgSync) nextGrants() (asks []messages.ReconcileGrantSignal) {
	slow := s.Pending.Grants[0].Target.Kind() == access.KindRole
	var rest []messages.ReconcileGrantSignal
	for _, one := range s.Pending.Grants {
		if len(asks) < mostGrantsAtOnce && (one.Target.Kind() == access.KindRole) == slow {
			asks = append(asks, one)
		} else {
			rest = append(rest, one)
		}
	}
	s.Pending.Grants = rest
	return asks
}

// reconcileGrants gives what began and removes what ended, in one run for all waiting grants. It returns when that is
// written; the run reads back and answers the grants itself, even if this history ends.
func (s *orgSync) reconcileGrants(ctx workflow.Context) {
	asks := s.nextGrants()
	in := s.newRun(ctx)
	in.Trigger, in.Scope = "grants", messages.Scope{Kind: messages.ScopeGrants}
	for _, one := range asks[:min(len(asks), 20)] {
		in.Scope.People = append(in.Scope.People, cmp.Or(one.Email, one.Person))
	}
	what := act.DescribeScope(in.Scope)
	batch := reconcile.AttendInput{RunInput: session.RunInput{Org: s.Org, Run: in.Run, Policy: in.Policy}, Asks: asks}
	plan, err := act.Attend(ctx, batch)
	if plan.Look {
		for _, one := range asks {
			s.touch([]string{one.Person})
		}
	}
	if err != nil || plan.Open == 0 {
		s.answerGrants(ctx, batch, err)
		return
	}
	s.pauseWrites(ctx, "grants go first", s.urgent, s.full)
	in.Progress = &messages.Progress{Phase: phaseRemove, Since: workflow.Now(ctx), Settled: true,
		Run: messages.RunSummary{
			Run: in.Run, Trigger: in.Trigger, Scope: in.Scope.Kind, Started: workflow.Now(ctx),
			State: messages.RunApplying,
			Plan:  plan.Plan, Counts: plan.Counts,
		}}
	in.Asks = asks
	run := s.reconcile(ctx, in, what)
	s.grants = run
	s.show(ctx)
	workflow.GoNamed(ctx, "run "+in.Run, func(ctx workflow.Context) {
		var end messages.RunSummary
		if err := run.future.Get(ctx, &end); err == nil {
			s.LastRun = &end
			s.followChanges(end)
		}
		run.over = true
		s.grantsWritten(ctx, run)
	})
	_ = workflow.Await(ctx, func() bool { return s.grants != run })
}

// grantsWritten lets other runs continue, once a run of grants has nothing left to write.
func (s *orgSync) grantsWritten(ctx workflow.Context, run *childRun) {
	if s.grants == run {
		s.grants = nil
		s.openGate(ctx)
	}
	s.wake = true
}

// answerGrants answers grants for which there is nothing to write. If that fails, they ask again.
func (s *orgSync) answerGrants(ctx workflow.Context, batch reconcile.AttendInput, failed error) {
	if failed != nil {
		batch.Failed = kit.MessageOf(failed)
	}
	s.verifying++ // the history must not end before that
	workflow.GoNamed(ctx, "tell grants", func(ctx workflow.Context) {
		defer func() { s.verifying--; s.wake = true }()
		if _, err := act.Attended(ctx, batch); err != nil {
			s.log.Warn("grants were not told what was done; they ask again", "run", batch.Run, "error", err)
		}
	})
}

// mostNoticed is how many of the latest notices are shown.
const mostNoticed = 10

// tellOutOfBand sends notices about what somebody did by hand that a grant also gives or gave.
func (s *orgSync) tellOutOfBand(ctx workflow.Context, again []session.OutOfBandGrant) {
	for _, one := range again {
		s.Noticed = append(s.Noticed, instant(workflow.Now(ctx))+" "+kit.Bounded(one.Text))
		s.Noticed = s.Noticed[max(0, len(s.Noticed)-mostNoticed):]
		if one.Told {
			continue
		}
		s.verifying++
		workflow.GoNamed(ctx, "tell", func(ctx workflow.Context) {
			defer func() { s.verifying--; s.wake = true }()
			if err := act.Tell(ctx, grants.TellInput{Org: s.Org, Workflow: one.Workflow,
				Kind: cmp.Or(one.Kind, grants.NoticeForeign), Grant: one.Grant}); err != nil {
				s.log.Warn("nobody was told of what was given by hand", "grant", one.Grant, "error", err)
			}
		})
	}
}
