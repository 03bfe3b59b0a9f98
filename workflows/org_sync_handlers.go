package workflows

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/workflows/internal/act"
	"github.com/castellan-io/castellan/workflows/internal/kit"
)

// listen registers the handlers of all messages to an organization's loop.
func (s *orgSync) listen(ctx workflow.Context) error {
	if err := kit.AnswerQuery(ctx, messages.Status, "state, last run, what is held and how to release it",
		func() messages.OrgSyncState {
			now := s.OrgSyncState
			now.State, now.Findings = s.state(), s.allNoticed()
			return answerable(display.Answer(now)) // display.Answer may enlarge it
		}); err != nil {
		return err
	}
	h := kit.NewMessageHandlers(kit.Options{Org: s.Org, Refused: s.recordRefusal})
	s.handlers, s.history = h, kit.NewRenewal(h, kit.Limits{Events: renewAt})
	err := kit.FirstError(
		kit.Handle(ctx, h, messages.ApplyPolicy, "put a policy into force", checkPolicyInput, s.applyPolicy),
		kit.Handle(ctx, h, messages.ApprovePlan, "release the held plan with this hash", s.checkDecision,
			s.approvePlan),
		kit.Handle(ctx, h, messages.RejectPlan, "reject the held plan with this hash", s.checkDecision, s.rejectPlan),
		kit.Handle(ctx, h, messages.SyncNow, "verify everybody, or one person, now", s.checkSyncNow, s.syncNow),
		kit.Handle(ctx, h, messages.Pause, "stop all writes but those of grants and undos, until resume", checkPause, s.pause),
		kit.Handle(ctx, h, messages.Resume, "resume after a pause", s.checkResume, s.resume),
		kit.Handle(ctx, h, messages.Undo, "undo a run's changes, and pause", s.checkUndo, s.undo),
		kit.Handle(ctx, h, messages.Grant, "grant a person a target for a limited time", s.checkGrant, s.grant),
		kit.Handle(ctx, h, messages.Revoke, "end a person's grants of a target", s.checkRevoke, s.revoke),
		kit.Handle(ctx, h, messages.Approve, "approve a request for a grant, by its id", checkDecisionOnGrant,
			s.approve),
		kit.Handle(ctx, h, messages.Deny, "deny a request for a grant, by its id", checkDecisionOnGrant, s.deny),
		kit.Handle(ctx, h, messages.Extend, "extend an active grant, by its request's id", s.checkExtend, s.extend),
		s.listenToSources(ctx, h),
	)
	if err != nil {
		return err
	}
	if workflow.GetVersion(ctx, "signals-with-the-start", workflow.DefaultVersion, 1) > workflow.DefaultVersion {
		h.ListensTo(messages.ReconcileGrant, messages.WritesPaused, messages.RunProgress, messages.ForceContinueAsNew,
			messages.LookAt, messages.LinkWave, messages.RestoreGroup)
	}
	if workflow.GetVersion(ctx, "words-kept-for-the-next-history", workflow.DefaultVersion,
		1) > workflow.DefaultVersion {
		h.Keep(&s.Kept)
		h.ServeQueue(ctx)
	}
	s.renewal.watchful = workflow.GetVersion(ctx, "watches-until-it-is-renewed", workflow.DefaultVersion,
		1) > workflow.DefaultVersion
	if s.renewal.watchful {
		s.history.Bytes = renewSize
	}
	bySize := workflow.GetVersion(ctx, "renews-by-size", workflow.DefaultVersion, 2)
	s.renewal.bySize, s.renewal.jobs = bySize > workflow.DefaultVersion, bySize > 1
	s.namesExecutions = namesExecutions(ctx)
	s.approvedFirst = approvedFirst(ctx)
	h.Serve(ctx)
	s.receiveFromRuns(ctx)
	kit.ReceiveEach(ctx, h, messages.ReconcileGrant, s.checkQueueGrant, s.queueGrant)
	kit.ReceiveEach(ctx, h, messages.LookAt, checkLookAt, s.lookAt)
	kit.ReceiveEach(ctx, h, messages.LinkWave, s.checkLinkWave, s.linkWave)
	kit.ReceiveEach(ctx, h, messages.RestoreGroup, s.checkRestoreGroup, s.restoreGroup)
	kit.ReceiveSignal(ctx, h, messages.ForceContinueAsNew, func() { s.history.Force(); s.wake = true })
	return nil
}

// recordRefusal keeps a refused signal, for the status.
func (s *orgSync) recordRefusal(one messages.RefusedMessage) {
	s.Refused, s.wake = kit.KeepRefused(s.Refused, one), true
}

func checkPolicyInput(in messages.PolicyInput) error {
	if len(in.Policy) == 0 {
		return kit.Refuse("policy is missing: send {\"policy\": {…}, \"by\": %q}", messages.You)
	}
	return nil
}

func (s *orgSync) applyPolicy(ctx workflow.Context, in messages.PolicyInput) (messages.PolicyAnswer, error) {
	if err := workflow.Await(ctx, func() bool { return !s.applyingPolicy }); err != nil {
		return messages.PolicyAnswer{}, err
	}
	s.applyingPolicy = true
	defer func() { s.applyingPolicy, s.wake = false, true }()
	result, err := act.Admit(ctx, reconcile.AdmitInput{Org: s.Org, Policy: in.Policy, By: in.By})
	if err != nil {
		if s.Policy == "" && !temporal.IsCanceledError(err) {
			s.refuseFirst(ctx, in, err)
		}
		return messages.PolicyAnswer{}, err
	}
	s.refusal = nil
	answer := messages.PolicyAnswer{
		Policy: result.Policy, Changed: result.Changed, Mappings: result.Mappings, Targets: result.Targets,
		Findings: result.Findings,
		Next:     "the policy was in force already; nothing changes",
	}
	fresh := result.Policy != s.Policy
	if fresh || result.Rebound { // until the next verification
		s.Findings, s.Reported, s.Circles = result.Findings, max(result.Reported, len(result.Findings)), nil
	}
	if result.Settings.Scheduled || s.Settings.Scheduled {
		if err := act.KeepSchedules(ctx, reconcile.KeepSchedulesInput{Org: s.Org, Policy: result.Policy}); err != nil {
			answer.Findings = append(answer.Findings,
				"schedule: the governance report is not scheduled as the policy says: "+kit.MessageOf(err)+
					"; apply the policy again")
		}
	}
	s.First, s.Policy, s.Settings, s.Adopted = nil, result.Policy, result.Settings, result.Adopted
	if fresh {
		answer.Next = "a full verification starts now"
		if !result.Adopted {
			answer.Next += "; its plan is held until you approve it, since it is the first"
		}
		if s.Paused != nil {
			answer.Next = "a full verification starts after resume: the organization is paused by " + s.Paused.By
		}
		s.Hold, s.IdentityHold, s.Problem = nil, nil, nil
		s.keepProvisions()
		s.dueEveryProvision("a policy was applied")
		s.Rules, s.ruleWake = messages.RuleClock{Asked: s.Rules.Asked}, true
		s.requestFull("a policy was applied", in.By)
		s.stopRuns(ctx, "a new policy is in force")
		s.Hold, s.IdentityHold = nil, nil // the stopped run may have set it meanwhile
	} else if s.retired() {
		answer.Next = "the organization is taken up again: a full verification starts now"
		s.Problem, s.ruleWake = nil, true
		s.requestFull("the organization was taken up again", in.By)
	} else if result.Rebound {
		answer.Next = "the policy was in force already; names in it that led to nobody have an account now, so a full verification starts"
		s.requestFull("names in the policy have an account now", in.By)
	}
	s.restartWatch()
	s.keepSources()
	s.restartSourceWatches()
	return answer, nil
}

// refuseFirst records why a policy was refused while none is in force, for the status, and for the workflow's end if it
// was started for this policy.
func (s *orgSync) refuseFirst(ctx workflow.Context, in messages.PolicyInput, err error) {
	if s.First == nil {
		s.Problem = &messages.Problem{Kind: kit.KindOf(err), Message: kit.MessageOf(err), Since: workflow.Now(ctx),
			Tries: 1}
	}
	isFirst := s.First == nil || bytes.Equal(s.First.Policy, in.Policy)
	if isFirst && (s.endIfRefused || kit.KindOf(err) == session.ErrMisnamed) {
		s.refusal = kit.PlainError(err)
	}
}

func (s *orgSync) checkDecision(in messages.DecisionInput) error {
	switch {
	case in.By == "":
		return kit.Refuse("by is missing: say who decides")
	case !strings.HasPrefix(in.Plan, "sha256:"):
		return kit.Refuse("plan is missing: give the hash of the held plan, sha256:…, as the status shows it")
	case s.IdentityHold != nil && s.IdentityHold.Plan == in.Plan:
	case s.Hold == nil && s.IdentityHold != nil:
		return kit.Refuse("plan %s is not open; the plan that is held now is %s, of provision %s. Look at it before you decide",
			in.Plan, s.IdentityHold.Plan, s.IdentityHold.Provision)
	case s.Hold == nil:
		return kit.Refuse("plan %s is not open: nothing is held", in.Plan)
	case s.Hold.Plan != in.Plan:
		return kit.Refuse("plan %s is not open; the plan that is held now is %s (%d adds, %d removals). Look at it before you decide", in.Plan, s.Hold.Plan, s.Hold.Adds, s.Hold.Removals)
	}
	return nil
}

// holdOf returns where the open hold of a plan is kept.
func (s *orgSync) holdOf(plan string) **messages.Hold {
	if s.IdentityHold != nil && s.IdentityHold.Plan == plan {
		return &s.IdentityHold
	}
	return &s.Hold
}

// decider refuses a decision by an address that the directory does not know. If the directory cannot be read, any
// address but the placeholder of printed commands is accepted, so that an outage prevents no decision. again repeats an
// earlier check whose result may have changed meanwhile.
func (s *orgSync) decider(ctx workflow.Context, by string, again func() error) error {
	if !access.IsAddress(by) || workflow.GetVersion(ctx, "deciders-are-known", workflow.DefaultVersion,
		1) == workflow.DefaultVersion {
		return nil
	}
	if err := decider(ctx, s.log, s.Org, by); err != nil {
		return err
	}
	return again()
}

// decider refuses a decision by an address that the directory does not know.
func decider(ctx workflow.Context, log log.Logger, org, by string) error {
	if !access.IsAddress(by) {
		return nil
	}
	err := act.CheckDecider(ctx, org, by)
	switch kind := kit.KindOf(err); {
	case err == nil:
		return nil
	case temporal.IsCanceledError(err):
		return err
	case kind == session.ErrUnknown, kind == session.ErrRefused:
		return kit.Refuse("%s", kit.MessageOf(err))
	case by == messages.You:
		return kit.Refuse("by is %s, which stands for you in printed commands: put your own e-mail address or account id there", by)
	}
	log.Warn("who decides could not be looked up: they are taken by their word", "error", err)
	return nil
}

func (s *orgSync) approvePlan(ctx workflow.Context, in messages.DecisionInput) (messages.Answer, error) {
	if err := s.decider(ctx, in.By, func() error { return s.checkDecision(in) }); err != nil {
		return messages.Answer{}, err
	}
	hold := s.holdOf(in.Plan)
	if s.Paused != nil && !(*hold).Undo {
		return messages.Answer{}, kit.Refuse("the organization is paused by %s; resume it first, then approve",
			s.Paused.By)
	}
	result, err := act.Decide(ctx, reconcile.DecideInput{Org: s.Org, Decision: "approve", DecisionInput: in})
	if err != nil {
		return messages.Answer{}, err
	}
	if *hold != nil && (*hold).Plan == in.Plan { // unless somebody else decided at the same time
		*hold = nil
		if known := s.provisionStatus(result.Hold.Provision); known != nil && known.Problem != nil {
			known.Problem.Retry = workflow.Now(ctx) // somebody waits for it
		}
		if result.Hold.Provision == "" {
			s.Problem = nil
		}
		s.Pending.Jobs = append(s.Pending.Jobs, messages.Job{
			Scope: messages.Scope{Kind: messages.ScopeHold, Run: result.Hold.Run, Plan: in.Plan,
				Undo: result.Hold.Undo, Provision: result.Hold.Provision},
			By: in.By, Note: strings.TrimSuffix("approved by "+in.By+": "+kit.Bounded(in.Note), ": "),
		})
		if result.Adoption {
			s.Adopted = true
			s.requestFull("the first plan was approved: look again at what happened meanwhile", "")
		}
		if result.Hold.Provision == "" {
			s.stopFull(ctx, "a held plan was approved")
		}
	}
	s.wake = true
	if result.Hold.Provision != "" {
		s.dueAfterDecision(result.Hold.Provision)
		return messages.Answer{Message: fmt.Sprintf("released: %d additions, %d updates and %d removals, of records and memberships. Each is decided again before it is written; changes that are no longer called for are left out",
			result.Hold.Adds, result.Hold.Updates, result.Hold.Removals)}, nil
	}
	message := fmt.Sprintf("released: %d adds, %d removals", result.Hold.Adds, result.Hold.Removals)
	if !result.Hold.Undo {
		message += ". Each is read again before it is written; changes that are no longer called for are left out"
	}
	return messages.Answer{Message: message}, nil
}

func (s *orgSync) rejectPlan(ctx workflow.Context, in messages.DecisionInput) (messages.Answer, error) {
	if err := s.decider(ctx, in.By, func() error { return s.checkDecision(in) }); err != nil {
		return messages.Answer{}, err
	}
	result, err := act.Decide(ctx, reconcile.DecideInput{Org: s.Org, Decision: "reject", DecisionInput: in})
	if err != nil {
		return messages.Answer{}, err
	}
	if hold := s.holdOf(in.Plan); *hold != nil && (*hold).Provision != "" {
		s.dueAfterDecision((*hold).Provision)
		*hold, s.wake = nil, true
		return messages.Answer{Message: fmt.Sprintf(
			"rejected: the %d changes of records are not made, and not raised again while they stay the same",
			result.Hold.Adds+result.Hold.Updates+result.Hold.Removals)}, nil
	}
	s.Hold, s.wake = nil, true
	if result.Adoption {
		s.Paused = &messages.PauseInput{By: in.By,
			Reason: "the first plan was rejected: apply a corrected policy, then resume"}
		return messages.Answer{Message: "rejected. The organization is paused: apply a corrected policy, then resume"},
			nil
	}
	return messages.Answer{Message: fmt.Sprintf(
		"rejected: the %d changes are not made, and not raised again while they stay the same",
		result.Hold.Adds+result.Hold.Removals)}, nil
}

func (s *orgSync) checkSyncNow(messages.SyncNowInput) error {
	switch {
	case s.Policy == "":
		return kit.Refuse("no policy is in force; apply one first")
	case s.Paused != nil:
		return kit.Refuse("the organization is paused by %s (%s); resume it first", s.Paused.By, s.Paused.Reason)
	case len(s.Pending.Jobs) >= mostJobs:
		return kit.Refuse("%d jobs wait already; try again when they are done", len(s.Pending.Jobs))
	}
	return nil
}

// syncNow waits for one person's sync; a full verification is only started.
func (s *orgSync) syncNow(ctx workflow.Context, in messages.SyncNowInput) (messages.Answer, error) {
	if s.Problem != nil && !s.waitsForPolicy() {
		s.Problem.Retry = workflow.Now(ctx)
	}
	if in.Person == "" && in.DryRun {
		s.Pending.Jobs = append(s.Pending.Jobs,
			messages.Job{Scope: messages.Scope{Kind: messages.ScopeFull}, By: in.By, Note: "asked for, dry run",
				Dry: true})
		s.wake = true
		return messages.Answer{Message: "a dry run starts as soon as nothing else is running; starter runs shows it"},
			nil
	}
	if in.Person == "" {
		s.readFailing(ctx)
		s.requestFull("asked for", in.By)
		return messages.Answer{Message: "a full verification starts as soon as nothing else is running"}, nil
	}
	by := in.By
	if by == "" {
		by = "sync-now"
	}
	result, err := s.outcomeOf(ctx, s.job(messages.Job{
		Scope: messages.Scope{Kind: messages.ScopePeople, People: []string{in.Person}}, By: by, Note: "asked for",
		Dry: in.DryRun,
	}))
	if err != nil {
		return messages.Answer{}, err
	}
	return messages.Answer{Message: summarizeRun(result), Run: &result}, nil
}

// outcomeOf waits for a job's end.
func (s *orgSync) outcomeOf(ctx workflow.Context, key int) (messages.RunSummary, error) {
	var result outcome
	if err := workflow.Await(ctx, func() (ok bool) { result, ok = s.outcomes[key]; return ok }); err != nil {
		return messages.RunSummary{}, err
	}
	delete(s.outcomes, key)
	return result.run, result.err
}

func (s *orgSync) job(j messages.Job) int {
	s.keys++
	j.Key = s.keys
	s.Pending.Jobs = append(s.Pending.Jobs, j)
	s.wake = true
	return j.Key
}

func checkPause(in messages.PauseInput) error {
	if in.By == "" {
		return kit.Refuse("by is missing: say who pauses, so that others know whom to ask")
	}
	return nil
}

func (s *orgSync) pause(ctx workflow.Context, in messages.PauseInput) (messages.Answer, error) {
	if in.By == messages.You { // anybody else may pause at once
		if err := s.decider(ctx, in.By, func() error { return nil }); err != nil {
			return messages.Answer{}, err
		}
	}
	in.By, in.Reason = kit.Bounded(in.By), kit.Bounded(in.Reason)
	s.Paused, s.wake = &in, true
	// Nobody has to wait for one person's sync until the pause ends.
	for i := s.nextPeopleJob(); i >= 0; i = s.nextPeopleJob() {
		s.outcomes[s.takeJob(i).Key] = outcome{
			err: kit.Refuse("the organization was paused by %s before this was decided; try again after resume",
				in.By)}
	}
	s.closeGates(ctx, "paused by "+in.By)
	return messages.Answer{Message: "paused: once the writes in flight are done, nothing is written except for grants and undos. Resume with the update " + messages.Resume}, nil
}

func (s *orgSync) checkResume(in messages.ResumeInput) error {
	switch {
	case in.By == "":
		return kit.Refuse("by is missing: say who resumes")
	case s.Paused == nil:
		return kit.Refuse("the organization is not paused")
	}
	return nil
}

func (s *orgSync) resume(ctx workflow.Context, in messages.ResumeInput) (messages.Answer, error) {
	was := s.Paused
	if err := s.decider(ctx, in.By, func() error {
		if s.Paused != nil && s.Paused != was {
			return kit.Refuse("the organization was paused again in the meantime, by %s", s.Paused.By)
		}
		return s.checkResume(in)
	}); err != nil {
		return messages.Answer{}, err
	}
	s.Paused, s.wake = nil, true
	if s.full != nil || s.urgent != nil {
		s.openGate(ctx)
		return messages.Answer{Message: "resumed: the run under way continues; what is still to be written is read again first"}, nil
	}
	s.requestFull("resumed", "")
	message := "resumed: a full verification starts now"
	if s.Hold != nil && s.Hold.Undo {
		message += fmt.Sprintf(". It replaces the plan %s, which was to take a run back and waited for a decision: what the policy in force asks for stands; to take the run back, correct the policy, or undo it again", s.Hold.Plan)
	}
	return messages.Answer{Message: message}, nil
}

func (s *orgSync) checkUndo(in messages.UndoInput) error {
	switch {
	case in.By == "":
		return kit.Refuse("by is missing: say who undoes the run")
	case in.Run == "":
		return kit.Refuse("run is missing: give the id of the run to undo; `starter runs` lists them")
	case s.Policy == "":
		return kit.Refuse("no policy is in force")
	case s.urgent != nil && s.urgent.run == in.Run:
		return kit.Refuse("run %s is not over yet; try again in a moment", in.Run)
	}
	return nil
}

// undo pauses the organization, since its policy would make the same changes again, and undoes the run.
func (s *orgSync) undo(ctx workflow.Context, in messages.UndoInput) (messages.Answer, error) {
	if err := s.decider(ctx, in.By, func() error { return s.checkUndo(in) }); err != nil {
		return messages.Answer{}, err
	}
	if _, err := act.FindRun(ctx, s.Org, in.Run); err != nil {
		return messages.Answer{}, err
	}
	s.Paused = &messages.PauseInput{By: kit.Bounded(in.By),
		Reason: "run " + in.Run + " was taken back: apply a corrected policy, then resume"}
	key := s.job(messages.Job{
		Scope: messages.Scope{Kind: messages.ScopeUndo, Run: in.Run}, By: in.By,
		Note: strings.TrimSpace("undo of " + in.Run + " " + kit.Bounded(in.Reason)),
	})
	if s.Problem != nil && !s.waitsForPolicy() {
		s.Problem.Retry = workflow.Now(ctx)
	}
	s.stopRuns(ctx, "a run is taken back")
	result, err := s.outcomeOf(ctx, key)
	if err != nil {
		return messages.Answer{}, err
	}
	if result.Problem != nil {
		return messages.Answer{}, kit.Refuse("the organization is paused, but run %s could not be undone: %s",
			in.Run, result.Problem.Message)
	}
	message := summarizeRun(result)
	if result.State == messages.RunStopped {
		message += "; the rest follows when " + messages.OrgSyncID(s.Org) + " continues as new"
	}
	message += ". The organization is paused, for its policy would make the same changes again"
	if s.Hold != nil && s.Hold.Undo {
		message += "; what the guard holds of it can be approved while it is paused"
	}
	return messages.Answer{Message: message, Run: &result}, nil
}

func checkLookAt(in messages.LookAtSignal) error {
	if in.Review == "" || slices.Contains(in.People, "") {
		return kit.Refuse("%s is sent by a review, not by people: review is missing, or one of people is empty", messages.LookAt)
	}
	if err := messages.CheckSizes(in); err != nil {
		return kit.Refuse("%v", err)
	}
	return nil
}

// lookAt schedules the reconciliation of people about whom a review has decided, before bulk work. If they are many,
// everybody is verified, so that the guard judges all removals of the review as one plan.
func (s *orgSync) lookAt(_ workflow.Context, in messages.LookAtSignal) {
	s.ruleWake = s.ruleWake || in.Clock
	if in.Everybody {
		s.requestFull("review "+kit.Bounded(in.Review)+" decided on many people", "")
		return
	}
	s.touch(in.People)
	s.wake = true
}
