package workflows

import (
	"fmt"
	"strings"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/messages"
)

// listen registers everything that ops can say to an organization's loop.
func (s *orgSync) listen(ctx workflow.Context) error {
	status := func() (messages.OrgSyncState, error) {
		now := s.OrgSyncState
		now.State = s.state()
		return now, nil
	}
	if err := workflow.SetQueryHandlerWithOptions(ctx, messages.Status, status, workflow.QueryHandlerOptions{
		Description: "state, last run, what is held and how to release it",
	}); err != nil {
		return err
	}
	w := &s.words
	w.handle, w.busyOf = map[string]func(workflow.Context, converter.RawValue) error{}, map[string]int{}
	w.refused = s.refusedWord
	err := firstError(
		listen(ctx, w, messages.ApplyPolicy, "take a policy into force", checkPolicyInput, s.applyPolicy),
		listen(ctx, w, messages.ApprovePlan, "release the held plan with this hash", s.checkDecision, s.approvePlan),
		listen(ctx, w, messages.RejectPlan, "reject the held plan with this hash", s.checkDecision, s.rejectPlan),
		listen(ctx, w, messages.SyncNow, "verify everybody, or one person, now", s.checkSyncNow, s.syncNow),
		listen(ctx, w, messages.Pause, "write nothing until resume", checkPause, s.pause),
		listen(ctx, w, messages.Resume, "go on after pause", s.checkResume, s.resume),
		listen(ctx, w, messages.Undo, "take back what a run changed, and pause", s.checkUndo, s.undo),
		listen(ctx, w, messages.Grant, "have a person hold a target for a while", s.checkGrant, s.grant),
		listen(ctx, w, messages.Revoke, "end what a person holds of a target by grants", s.checkRevoke, s.revoke),
	)
	if err != nil {
		return err
	}
	if workflow.GetVersion(ctx, "signals-with-the-start", workflow.DefaultVersion, 1) > workflow.DefaultVersion {
		w.heard = append([]string{messages.Attend, messages.Aside, messages.HowFar, messages.ForceContinueAsNew, messages.LookAt}, w.names...)
	}
	if workflow.GetVersion(ctx, "words-kept-for-the-next-history", workflow.DefaultVersion, 1) > workflow.DefaultVersion {
		w.queue = newQueue(&s.Kept)
		w.serveQueue(ctx)
	}
	w.serve(ctx)
	s.hearRuns(ctx)
	hear(ctx, messages.Attend, s.asked)
	hear(ctx, messages.LookAt, s.lookAt)
	called(ctx, messages.ForceContinueAsNew, func() { s.force, s.wake = true, true })
	return nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// refusedWord keeps a signal that was not accepted for the status.
func (s *orgSync) refusedWord(ctx workflow.Context, name string, err error) {
	s.Refused = append(s.Refused, messages.RefusedWord{At: workflow.Now(ctx), Name: name, Why: bounded(messageOf(err))})
	s.Refused = s.Refused[max(0, len(s.Refused)-mostRefused):]
	s.wake = true
}

func checkPolicyInput(in messages.PolicyInput) error {
	if len(in.Policy) == 0 {
		return refuse("policy is missing: send {\"policy\": {…}, \"by\": \"you@example.com\"}")
	}
	return nil
}

func (s *orgSync) applyPolicy(ctx workflow.Context, in messages.PolicyInput) (messages.PolicyAnswer, error) {
	if err := workflow.Await(ctx, func() bool { return !s.admitting }); err != nil {
		return messages.PolicyAnswer{}, err
	}
	s.admitting = true
	defer func() { s.admitting, s.wake = false, true }()
	result, err := admit(ctx, activities.AdmitInput{Org: s.Org, Policy: in.Policy, By: in.By})
	if err != nil {
		return messages.PolicyAnswer{}, err
	}
	answer := messages.PolicyAnswer{
		Policy: result.Policy, Changed: result.Changed, Mappings: result.Mappings, Targets: result.Targets, Findings: result.Findings,
		Next: "the policy was in force already; nothing changes",
	}
	fresh := result.Policy != s.Policy
	if result.Settings.Scheduled || s.Settings.Scheduled {
		if err := keepSchedules(ctx, activities.KeepSchedulesInput{Org: s.Org, Policy: result.Policy}); err != nil {
			answer.Findings = append(answer.Findings, "schedule: the governance report is not scheduled as the policy says: "+messageOf(err)+"; apply the policy again")
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
		s.Hold, s.Problem = nil, nil
		s.Rules, s.ruleWake = messages.RuleClock{Asked: s.Rules.Asked}, true
		s.requestFull("a policy was applied", in.By)
		s.stopRuns(ctx, "a new policy is in force")
		s.Hold = nil // the run that was stopped may have been judged meanwhile
	}
	s.rewatch()
	return answer, nil
}

func (s *orgSync) checkDecision(in messages.DecisionInput) error {
	switch {
	case in.By == "":
		return refuse("by is missing: say who decides")
	case !strings.HasPrefix(in.Plan, "sha256:"):
		return refuse("plan is missing: give the hash of the held plan, sha256:…, as the status shows it")
	case s.Hold == nil:
		return refuse("plan %s is not open: nothing is held", in.Plan)
	case s.Hold.Plan != in.Plan:
		return refuse("plan %s is not open; the plan that is held now is %s (%d adds, %d removals). Look at it before you decide", in.Plan, s.Hold.Plan, s.Hold.Adds, s.Hold.Removals)
	}
	return nil
}

func (s *orgSync) approvePlan(ctx workflow.Context, in messages.DecisionInput) (messages.Answer, error) {
	if s.Paused != nil && !s.Hold.Undo {
		return messages.Answer{}, refuse("the organization is paused by %s; resume it first, then approve", s.Paused.By)
	}
	result, err := decide(ctx, activities.DecideInput{Org: s.Org, Decision: "approve", DecisionInput: in})
	if err != nil {
		return messages.Answer{}, err
	}
	if s.Hold != nil && s.Hold.Plan == in.Plan { // not when somebody else said the same in the same instant
		s.Hold, s.Problem = nil, nil
		s.Pending.Jobs = append(s.Pending.Jobs, messages.Job{
			Scope: messages.Scope{Kind: messages.ScopeHold, Run: result.Hold.Run, Plan: in.Plan, Undo: result.Hold.Undo},
			By:    in.By, Note: strings.TrimSuffix("approved by "+in.By+": "+bounded(in.Note), ": "),
		})
		if result.Adoption {
			s.Adopted = true
			s.requestFull("the first plan was approved: look again at what happened meanwhile", "")
		}
		s.stopFull(ctx, "a held plan was approved")
	}
	s.wake = true
	message := fmt.Sprintf("released: %d adds, %d removals", result.Hold.Adds, result.Hold.Removals)
	if !result.Hold.Undo {
		message += ". Each is read again before it is written; what the world no longer asks for is left out"
	}
	return messages.Answer{Message: message}, nil
}

func (s *orgSync) rejectPlan(ctx workflow.Context, in messages.DecisionInput) (messages.Answer, error) {
	result, err := decide(ctx, activities.DecideInput{Org: s.Org, Decision: "reject", DecisionInput: in})
	if err != nil {
		return messages.Answer{}, err
	}
	s.Hold, s.wake = nil, true
	if result.Adoption {
		s.Paused = &messages.PauseInput{By: in.By, Reason: "the first plan was rejected: apply a corrected policy, then resume"}
		return messages.Answer{Message: "rejected. The organization is paused: apply a corrected policy, then resume"}, nil
	}
	return messages.Answer{Message: fmt.Sprintf("rejected: the %d changes are not made, and not raised again while they stay the same", result.Hold.Adds+result.Hold.Removals)}, nil
}

func (s *orgSync) checkSyncNow(messages.SyncNowInput) error {
	switch {
	case s.Policy == "":
		return refuse("no policy is in force; apply one first")
	case s.Paused != nil:
		return refuse("the organization is paused by %s (%s); resume it first", s.Paused.By, s.Paused.Reason)
	}
	return nil
}

// syncNow waits for one person's sync; a full verification is only started.
func (s *orgSync) syncNow(ctx workflow.Context, in messages.SyncNowInput) (messages.Answer, error) {
	if s.Problem != nil {
		s.Problem.Retry = workflow.Now(ctx)
	}
	if in.Person == "" && in.DryRun {
		s.Pending.Jobs = append(s.Pending.Jobs, messages.Job{Scope: messages.Scope{Kind: messages.ScopeFull}, By: in.By, Note: "asked for, dry run", Dry: true})
		s.wake = true
		return messages.Answer{Message: "a dry run starts as soon as nothing else is running; starter runs shows it"}, nil
	}
	if in.Person == "" {
		s.requestFull("asked for", in.By)
		return messages.Answer{Message: "a full verification starts as soon as nothing else is running"}, nil
	}
	by := in.By
	if by == "" {
		by = "sync-now"
	}
	result, err := s.outcomeOf(ctx, s.job(messages.Job{
		Scope: messages.Scope{Kind: messages.ScopePeople, People: []string{in.Person}}, By: by, Note: "asked for", Dry: in.DryRun,
	}))
	if err != nil {
		return messages.Answer{}, err
	}
	return messages.Answer{Message: inWords(result), Run: &result}, nil
}

// outcomeOf waits for a job's end.
func (s *orgSync) outcomeOf(ctx workflow.Context, key int) (messages.RunSummary, error) {
	var result outcome
	if err := workflow.Await(ctx, func() (ok bool) { result, ok = s.done[key]; return ok }); err != nil {
		return messages.RunSummary{}, err
	}
	delete(s.done, key)
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
		return refuse("by is missing: say who pauses, so that others know whom to ask")
	}
	return nil
}

func (s *orgSync) pause(ctx workflow.Context, in messages.PauseInput) (messages.Answer, error) {
	in.By, in.Reason = bounded(in.By), bounded(in.Reason)
	s.Paused, s.wake = &in, true
	for i := s.askedFor(); i >= 0; i = s.askedFor() { // who waits for one person's sync is not left waiting for days
		s.done[s.takeJob(i).Key] = outcome{err: refuse("the organization was paused by %s before this was looked at; ask again after resume", in.By)}
	}
	s.closeGates(ctx, "paused by "+in.By)
	return messages.Answer{Message: "paused: nothing more is written, after the few writes in flight, but what grants give and take. Resume with the update " + messages.Resume}, nil
}

func (s *orgSync) checkResume(in messages.ResumeInput) error {
	switch {
	case in.By == "":
		return refuse("by is missing: say who resumes")
	case s.Paused == nil:
		return refuse("the organization is not paused")
	}
	return nil
}

func (s *orgSync) resume(ctx workflow.Context, _ messages.ResumeInput) (messages.Answer, error) {
	s.Paused, s.wake = nil, true
	if s.bulk != nil || s.front != nil {
		s.openGate(ctx)
		return messages.Answer{Message: "resumed: what was under way goes on; what is still to be written is read again first"}, nil
	}
	s.requestFull("resumed", "")
	return messages.Answer{Message: "resumed: a full verification starts now"}, nil
}

func (s *orgSync) checkUndo(in messages.UndoInput) error {
	switch {
	case in.By == "":
		return refuse("by is missing: say who takes the run back")
	case in.Run == "":
		return refuse("run is missing: give the id of the run to take back; `starter runs` lists them")
	case s.Policy == "":
		return refuse("no policy is in force")
	case s.front != nil && s.front.run == in.Run:
		return refuse("run %s is not over yet; try again in a moment", in.Run)
	}
	return nil
}

// undo pauses the organization, since its policy would make the same changes again, and takes the run back.
func (s *orgSync) undo(ctx workflow.Context, in messages.UndoInput) (messages.Answer, error) {
	if _, err := findRun(ctx, s.Org, in.Run); err != nil {
		return messages.Answer{}, err
	}
	s.Paused = &messages.PauseInput{By: bounded(in.By), Reason: "run " + in.Run + " was taken back: apply a corrected policy, then resume"}
	key := s.job(messages.Job{
		Scope: messages.Scope{Kind: messages.ScopeUndo, Run: in.Run}, By: in.By, Note: strings.TrimSpace("undo of " + in.Run + " " + bounded(in.Reason)),
	})
	if s.Problem != nil {
		s.Problem.Retry = workflow.Now(ctx)
	}
	s.stopRuns(ctx, "a run is taken back")
	result, err := s.outcomeOf(ctx, key)
	if err != nil {
		return messages.Answer{}, err
	}
	if result.Problem != nil {
		return messages.Answer{}, refuse("the organization is paused, but run %s could not be taken back: %s", in.Run, result.Problem.Message)
	}
	message := inWords(result) + ". The organization is paused, for its policy would make the same changes again"
	if s.Hold != nil && s.Hold.Undo {
		message += "; what the guard holds of it can be approved while it is paused"
	}
	return messages.Answer{Message: message, Run: &result}, nil
}

// bounded bounds what people write, since it is carried and shown.
func bounded(s string) string {
	if len(s) <= mostWords {
		return s
	}
	return strings.ToValidUTF8(s[:mostWords], "") + "…"
}

// lookAt has people looked at of whom a review has decided something. They are looked at ahead of bulk work; when they are many,
// everybody is, so that the guard judges all that the review takes as one plan.
func (s *orgSync) lookAt(_ workflow.Context, in messages.LookAtSignal) {
	if in.Everybody {
		s.requestFull("review "+bounded(in.Review)+" decided on many people", "")
		return
	}
	s.touch(in.People)
	s.wake = true
}
