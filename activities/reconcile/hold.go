package reconcile

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/apply"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/plan"
	"github.com/castellan-io/castellan/policy"
)

// settleHold updates the organization's one open hold for the run: a full run replaces it, a partial run replaces the
// lines of the people it looked at and keeps the others.
//
// A first plan that was rejected is not held again while plan and policy are the same; task.rejected is then the
// decision.
func (s *task) settleHold(ctx context.Context, in JudgeInput, verdicts []plan.Verdict, full bool,
	touched []string) (*messages.Hold, error) {
	if in.DryRun || in.Preview || s.Policy.DryRun {
		return nil, nil
	}
	open, err := s.Ledger.CurrentHold(ctx, s.Org)
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return nil, err
	}
	isOpen := err == nil
	tookOver := false
	if full && isOpen && open.Run > in.Run {
		if tookOver, err = s.takeOverHeld(ctx, open.Run, in.Run); err != nil {
			return nil, err
		}
	}
	hold, err := s.describeHold(ctx, in.Run)
	if err != nil {
		return nil, err
	}
	hold.Rules = holdRules(verdicts)
	if tookOver {
		hold.Rules = mergeRules(open.Rules, hold.Rules)
	}
	if !full && isOpen && open.Run != in.Run {
		var changed bool
		if hold, changed, err = s.joinHold(ctx, open, hold, touched); err != nil || !changed {
			return session.HoldMessage(open), err
		}
	}
	if hold.People == 0 {
		if isOpen && (full || open.Run != in.Run) {
			return nil, s.Ledger.CloseHold(ctx, s.Org, "nothing is held any more")
		}
		return nil, nil
	}
	if full {
		if s.rejected, err = s.firstPlanRejected(ctx, in.Policy, hold); err != nil {
			return nil, err
		}
		if s.rejected != nil {
			return nil, s.Ledger.CloseHold(ctx, s.Org, "this first plan was rejected before")
		}
	}
	if isOpen && open.Plan != hold.Plan {
		if hold.Changed, err = s.whatChanged(ctx, open, hold); err != nil {
			return nil, err
		}
	} else if isOpen {
		hold.Opened, hold.Changed = open.Opened, open.Changed
	}
	m := session.HoldMessage(hold)
	m.Undo = in.Scope == messages.ScopeUndo
	return m, s.Ledger.OpenHold(ctx, hold)
}

// joinHold adds what the open hold has of others to what a partial run holds of the people it looked at; false: it
// holds nothing, and the open hold has nothing of them.
func (s *task) joinHold(ctx context.Context, open, hold ledger.Hold, touched []string) (ledger.Hold, bool, error) {
	touchesHold, err := s.anyHeld(ctx, open.Run, touched)
	if err != nil || hold.People == 0 && !touchesHold {
		return hold, false, err
	}
	if _, err := s.Ledger.CopyHeld(ctx, s.Org, open.Run, hold.Run, touched); err != nil {
		return hold, false, err
	}
	joined, err := s.describeHold(ctx, hold.Run)
	joined.Rules = mergeRules(open.Rules, hold.Rules)
	return joined, true, err
}

// takeOverHeld holds what a later look at a few people holds, whose lines in this run that look superseded: a full run
// goes on meanwhile, and replaces the hold as a whole. It reports whether there are any.
func (s *task) takeOverHeld(ctx context.Context, from, run string) (bool, error) {
	var taken []access.Change
	err := s.EachLine(ctx, run, []access.ChangeState{access.Superseded}, func(c access.Change) error {
		is, err := s.Ledger.Line(ctx, s.Org, from, c.Person, c.Target)
		if errors.Is(err, ledger.ErrNotFound) {
			return nil
		}
		if err == nil && is.State == access.Held && is.Action == c.Action && is.GroupID == c.GroupID {
			taken = append(taken, is)
		}
		return err
	})
	if err != nil || len(taken) == 0 {
		return false, err
	}
	return true, s.Ledger.UpdateLines(ctx, s.Org, run, taken)
}

// stayHeld keeps held, in the plan of a few people, what already waits for a decision: a hold is one decision on all
// its lines, and is not taken apart person by person. The ends of grants need no decision.
func (s *task) stayHeld(ctx context.Context, run string) error {
	open, err := s.Ledger.CurrentHold(ctx, s.Org)
	if errors.Is(err, ledger.ErrNotFound) || err == nil && open.Run == run {
		return nil
	}
	if err != nil {
		return err
	}
	var waiting []access.Change
	err = s.EachLine(ctx, run, []access.ChangeState{access.Planned}, func(c access.Change) error {
		was, err := s.Ledger.Line(ctx, s.Org, open.Run, c.Person, c.Target)
		if errors.Is(err, ledger.ErrNotFound) {
			return nil
		}
		if err == nil && was.State == access.Held && was.Action == c.Action && was.GroupID == c.GroupID && !c.Lapse() {
			c.State, c.HeldBy = access.Held, was.HeldBy
			waiting = append(waiting, c)
		}
		return err
	})
	if err != nil || len(waiting) == 0 {
		return err
	}
	return s.Ledger.UpdateLines(ctx, s.Org, run, waiting)
}

// stayApproved leaves to an earlier run what somebody approved there and it has not written yet, where the guard holds
// the same again in the plan of a few people: nobody is asked twice, and the earlier run reads everybody anew before it
// writes. What else was approved of these people is decided anew by this run.
func (s *task) stayApproved(ctx context.Context, run string, people []string) error {
	approved, err := s.Ledger.Approved(ctx, s.Org, run, people, decidedWhenWritten...)
	if err != nil || len(approved) == 0 {
		return err
	}
	over := map[string][]access.Change{}
	for _, line := range approved {
		again, err := s.Ledger.Line(ctx, s.Org, run, line.Person, line.Target)
		if err != nil && !errors.Is(err, ledger.ErrNotFound) {
			return err
		}
		if err == nil && again.State == access.Held && again.Action == line.Action && again.GroupID == line.GroupID {
			again.State, again.Answer = access.Superseded, "approved already: run "+line.Run+" writes it"
			over[run] = append(over[run], again)
			continue
		}
		line.State, line.Answer = access.Superseded, "decided anew by a later run"
		over[line.Run] = append(over[line.Run], line.Change)
	}
	for _, of := range session.SortedKeys(over) {
		if err := s.Ledger.UpdateLines(ctx, s.Org, of, over[of]); err != nil {
			return err
		}
	}
	return nil
}

// emptyFirstPlan handles a first plan without a line: there is nothing to approve, unless groups are to be created,
// whose members show only once they exist.
func (s *task) emptyFirstPlan(ctx context.Context, b *policy.Bound, in session.RunInput) (adopted bool,
	hold *messages.Hold, err error) {
	if len(b.Create) == 0 {
		return true, nil, s.Ledger.Adopt(ctx, s.Org, in.Run, "nobody: the first plan was empty", s.Now())
	}
	sum := sha256.Sum256([]byte(strings.Join(b.Create, "\n")))
	open := ledger.Hold{
		Org: s.Org, Run: in.Run, Plan: "sha256:" + hex.EncodeToString(sum[:]), Opened: s.Now(),
		Rules: []ledger.HoldRule{{Rule: plan.RuleAdopt,
			Detail: fmt.Sprintf("the first run needs consent: it would create the groups %s and fill them as the policy says (guard.adopt is ask)", strings.Join(b.Create, ", "))}},
	}
	if s.rejected, err = s.firstPlanRejected(ctx, in.Policy, open); err != nil || s.rejected != nil {
		return false, nil, err
	}
	return false, session.HoldMessage(open), s.Ledger.OpenHold(ctx, open)
}

// mostDecisions is how many former holds are searched for the decision on a first plan.
const mostDecisions = 200

// firstPlanRejected returns the decision by which a first plan was rejected, if neither its lines nor the policy have
// changed since. Nobody is asked the same question twice.
func (s *task) firstPlanRejected(ctx context.Context, policy string, hold ledger.Hold) (*ledger.Hold, error) {
	first := func(h ledger.Hold) bool {
		return slices.ContainsFunc(h.Rules, func(r ledger.HoldRule) bool { return r.Rule == plan.RuleAdopt })
	}
	if !first(hold) {
		return nil, nil
	}
	before, err := s.Ledger.Holds(ctx, s.Org, mostDecisions)
	if err != nil {
		return nil, err
	}
	for _, h := range before {
		if h.Decision != ledger.Reject || h.Plan != hold.Plan || h.Run == hold.Run || !first(h) {
			continue
		}
		run, err := s.Ledger.Run(ctx, s.Org, h.Run)
		if err != nil && !errors.Is(err, ledger.ErrNotFound) {
			return nil, err
		}
		if err == nil && run.Policy == policy {
			return &h, nil
		}
	}
	return nil, nil
}

func (s *task) anyHeld(ctx context.Context, run string, people []string) (bool, error) {
	for _, p := range people {
		lines, err := s.Ledger.Lines(ctx, s.Org, run, ledger.Filter{States: held, Person: p, Limit: 1})
		if err != nil || len(lines) > 0 {
			return len(lines) > 0, err
		}
	}
	return false, nil
}

// describeHold hashes and counts a run's held lines without storing them.
func (s *task) describeHold(ctx context.Context, run string) (ledger.Hold, error) {
	hold := ledger.Hold{Org: s.Org, Run: run, Opened: s.Now()}
	hash, last := plan.NewHasher(), ""
	err := s.EachLine(ctx, run, held, func(c access.Change) error {
		switch c.Action {
		case access.Add:
			hold.Adds++
		case access.Remove:
			hold.Removals++
		case access.Adopt:
			hold.Adopts++
		case access.Update:
			hold.Updates++
		}
		if c.Person != last {
			hold.People++
			last = c.Person
		}
		return hash.Add(c)
	})
	hold.Plan = hash.Sum()
	return hold, err
}

var held = []access.ChangeState{access.Held}

// mostCompared limits how many lines are compared one by one to describe how a hold changed.
const mostCompared = 20_000

func (s *task) whatChanged(ctx context.Context, before, now ledger.Hold) (string, error) {
	if before.Adds+before.Removals+before.Adopts > mostCompared || now.Adds+now.Removals+now.Adopts > mostCompared {
		return "replaces " + before.Plan, nil
	}
	lines := func(run string) (all []access.Change, err error) {
		err = s.EachLine(ctx, run, held, func(c access.Change) error {
			all = append(all, access.Change{Person: c.Person, Target: c.Target, GroupID: c.GroupID, Action: c.Action})
			return nil
		})
		return all, err
	}
	was, err := lines(before.Run)
	if err != nil {
		return "", err
	}
	is, err := lines(now.Run)
	if err != nil {
		return "", err
	}
	gone, added := plan.Compare(was, is)
	return fmt.Sprintf("replaces %s: %d lines are no longer asked for, %d are new", before.Plan, gone, added), nil
}

func holdRules(verdicts []plan.Verdict) []ledger.HoldRule {
	rules := make([]ledger.HoldRule, len(verdicts))
	for i, v := range verdicts {
		rules[i] = ledger.HoldRule{Rule: v.Rule, Scope: scopeOf(v.Scope), Detail: v.Detail}
	}
	return rules
}

func scopeOf(s plan.Scope) string {
	var parts []string
	for _, t := range s.Targets {
		parts = append(parts, string(t))
	}
	if s.Source != "" {
		parts = append(parts, "source "+s.Source)
	}
	if s.App != "" {
		parts = append(parts, s.App)
	}
	return strings.Join(parts, ", ")
}

func mergeRules(before, now []ledger.HoldRule) []ledger.HoldRule {
	merged := slices.Clone(now)
	for _, b := range before {
		if !slices.ContainsFunc(now, func(n ledger.HoldRule) bool { return n.Rule == b.Rule && n.Scope == b.Scope }) {
			merged = append(merged, b)
		}
	}
	return merged
}

// DecideInput is a person's decision on a held plan.
type DecideInput struct {
	Org      string `json:"org"`
	Decision string `json:"decision"` // approve or reject
	// Batch is that of links whose plan it is; "": it is a plan of the organization's loop.
	Batch string `json:"batch,omitempty"`
	// Restore is the id of the lost group whose restore the plan is.
	Restore string `json:"restore,omitempty"`
	messages.DecisionInput
}

// DecideResult is what the decision was about.
type DecideResult struct {
	Hold     messages.Hold `json:"hold"`
	Adoption bool          `json:"adoption"` // it approved the first plan
}

// sameLines refuses to approve a plan whose lines no longer have its hash: only what was looked at is released.
func (a *Activities) sameLines(ctx context.Context, in DecideInput) error {
	lane, err := a.laneOf(ctx, in)
	if err != nil {
		return err
	}
	open, err := a.env.Ledger.CurrentHoldIn(ctx, in.Org, lane)
	if errors.Is(err, ledger.ErrNotFound) ||
		err == nil && (in.Decision != ledger.Approve || open.Plan != in.Plan || open.People == 0) {
		return nil
	}
	if err != nil {
		return err
	}
	s := &task{Activities: a, Session: &apply.Session{Session: &session.Session{Env: a.env, Org: in.Org}}}
	now, err := s.describeHold(ctx, open.Run)
	if err != nil || now.Plan == open.Plan {
		return err
	}
	return session.NonRetryable(session.ErrEvidence,
		fmt.Errorf("the held lines of run %s hash to %s now, and not to the plan %s: they were written past Castellan; reject the plan, or let the next full verification make it anew", open.Run, now.Plan, open.Plan))
}

// StandingInput asks for an organization's approvals in the ledger, and for a run in progress.
type StandingInput struct {
	Org string `json:"org"`
	Run string `json:"run"`
}

// StandingResult is the open hold, if there is one, and whether the first plan was approved.
type StandingResult struct {
	Hold    *messages.Hold `json:"hold,omitempty"`
	Adopted bool           `json:"adopted,omitempty"`
	// Identity is the open hold of records of SCIM directories.
	Identity *messages.Hold `json:"identity,omitempty"`
	// Findings are the run's findings, 20 lines at most; Reported is their number.
	Findings []string `json:"findings,omitempty"`
	Reported int      `json:"reported,omitempty"`
}

// Standing reads the organization's open hold, its adoption, and the run's findings from the ledger.
func (a *Activities) Standing(ctx context.Context, in StandingInput) (StandingResult, error) {
	defer session.AutoHeartbeat(ctx)()
	org, err := a.env.Ledger.Organization(ctx, in.Org)
	if err != nil {
		return StandingResult{}, err
	}
	result := StandingResult{Adopted: !org.AdoptedAt.IsZero()}
	if noticed, err := a.env.Ledger.Run(ctx, in.Org, in.Run); err == nil {
		result.Findings, result.Reported = access.Summarize(noticed.Findings, 20),
			len(access.Summarize(noticed.Findings, len(noticed.Findings)))
	} else if !errors.Is(err, ledger.ErrNotFound) {
		return StandingResult{}, err
	}
	of, err := a.env.Ledger.CurrentHoldIn(ctx, in.Org, ledger.LaneIdentity)
	if err == nil {
		result.Identity = session.HoldMessage(of)
		result.Identity.Provision, err = a.provisionOf(ctx, in.Org, of.Run)
	}
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return StandingResult{}, err
	}
	hold, err := a.env.Ledger.CurrentHold(ctx, in.Org)
	if errors.Is(err, ledger.ErrNotFound) {
		return result, nil
	}
	if err != nil {
		return StandingResult{}, err
	}
	run, err := a.env.Ledger.Run(ctx, in.Org, hold.Run)
	if err != nil {
		return StandingResult{}, err
	}
	result.Hold = session.HoldMessage(hold)
	result.Hold.Undo = run.Scope == messages.ScopeUndo
	return result, nil
}

// Decide records the decision on exactly the plan with that hash. Approved lines are released, rejected ones are
// remembered so that they are not proposed again while they stay the same. A repeat of the same decision changes
// nothing.
func (a *Activities) Decide(ctx context.Context, in DecideInput) (DecideResult, error) {
	defer session.AutoHeartbeat(ctx)()
	if err := a.sameLines(ctx, in); err != nil {
		return DecideResult{}, err
	}
	lane, err := a.laneOf(ctx, in)
	if err != nil {
		return DecideResult{}, err
	}
	hold, err := a.env.Ledger.DecideHoldIn(ctx, in.Org, lane, in.Plan, in.Decision, in.By, in.Note, a.env.Now())
	if err != nil {
		if errors.Is(err, ledger.ErrNotFound) || errors.Is(err, ledger.ErrNotOpen) ||
			errors.Is(err, ledger.ErrUnexplained) {
			return DecideResult{}, session.NonRetryable(session.ErrNotOpen, err)
		}
		return DecideResult{}, err
	}
	result := DecideResult{Hold: *session.HoldMessage(hold)}
	if lane != ledger.LaneAccess {
		if result.Hold.Provision, err = a.provisionOf(ctx, in.Org, hold.Run); err != nil {
			return result, err
		}
		asked := slices.ContainsFunc(hold.Rules, func(r ledger.HoldRule) bool { return r.Rule == plan.RuleAdopt })
		if in.Decision == ledger.Approve && asked {
			err = a.env.Ledger.AdoptProvision(ctx, in.Org, result.Hold.Provision, hold.Run, in.By, a.env.Now())
		}
		return result, err
	}
	run, err := a.env.Ledger.Run(ctx, in.Org, hold.Run)
	if err != nil {
		return DecideResult{}, err
	}
	result.Hold.Undo = run.Scope == messages.ScopeUndo
	for _, r := range hold.Rules {
		result.Adoption = result.Adoption || r.Rule == plan.RuleAdopt
	}
	if in.Decision == ledger.Approve && result.Adoption {
		err = a.env.Ledger.Adopt(ctx, in.Org, hold.Run, in.By, a.env.Now())
	}
	if in.Decision == ledger.Approve && err == nil {
		err = a.acceptSources(ctx, in.Org, hold)
	}
	if in.Decision == ledger.Approve && err == nil {
		err = a.acceptRules(ctx, run, hold, in)
	}
	if errors.Is(err, ledger.ErrUnexplained) {
		err = session.NonRetryable(session.ErrNotOpen,
			fmt.Errorf("%w; apply the policy again, and what is to be consented to is asked anew", err))
	}
	return result, err
}

// laneOf returns the lane in which a plan is held, or was: that of identities, or else that of access.
func (a *Activities) laneOf(ctx context.Context, in DecideInput) (ledger.Lane, error) {
	if in.Batch != "" {
		return ledger.LaneOfBatch(in.Batch), nil
	}
	if in.Restore != "" {
		return ledger.LaneOfRestore(in.Restore), nil
	}
	decided, err := a.env.Ledger.HoldsIn(ctx, in.Org, ledger.LaneIdentity, mostDecisions)
	if err == nil && slices.ContainsFunc(decided, func(h ledger.Hold) bool { return h.Plan == in.Plan }) {
		return ledger.LaneIdentity, nil
	}
	return ledger.LaneAccess, err
}

// provisionOf returns the provision that a run over records is of.
func (a *Activities) provisionOf(ctx context.Context, org, run string) (string, error) {
	lines, err := a.env.Ledger.Lines(ctx, org, run, ledger.Filter{Limit: 1})
	if err != nil || len(lines) == 0 {
		return "", err
	}
	return access.ProvisionOf(lines[0].Target), nil
}

// acceptRules records the approval of a plan as the approval of the rules that were newly enforced in it.
func (a *Activities) acceptRules(ctx context.Context, run ledger.Run, hold ledger.Hold, in DecideInput) error {
	if !slices.ContainsFunc(hold.Rules,
		func(r ledger.HoldRule) bool { return r.Rule == plan.RuleAdopt || r.Rule == plan.RuleRuleNew }) {
		return nil
	}
	s, err := a.task(a.env.Open(ctx, in.Org, run.Policy))
	if err != nil {
		return err
	}
	o, err := s.OutlineOf(ctx, hold.Run)
	if err != nil {
		return err
	}
	rules := map[string]string{}
	for i := range s.Policy.Rules {
		if r := &s.Policy.Rules[i]; slices.Contains(o.Acting, r.Key()) {
			rules[r.Key()] = r.Name
		}
	}
	return a.env.Ledger.ReleaseRules(ctx, in.Org, hold.Run, rules, in.By, "the plan "+hold.Plan+" was approved",
		a.env.Now())
}

// acceptSources records the counts of the approved plan as good: a person has looked at what was suspect.
func (a *Activities) acceptSources(ctx context.Context, org string, hold ledger.Hold) error {
	run, err := a.env.Ledger.Run(ctx, org, hold.Run)
	if err != nil {
		return err
	}
	s, err := a.task(a.env.Open(ctx, org, run.Policy))
	if err != nil {
		return err
	}
	b, err := s.BoundOf(ctx, hold.Run)
	if err != nil {
		return err
	}
	if err := s.saveSources(ctx, hold.Run, nil); err != nil {
		return err
	}
	if slices.ContainsFunc(hold.Rules, func(r ledger.HoldRule) bool { return r.Rule == plan.RuleDefaultMoved }) {
		return s.Ledger.SaveKnownDefaults(ctx, org, b.Defaults())
	}
	return nil
}

// saveSources records the run's counts of source groups as the last good ones, except for the groups named.
func (s *task) saveSources(ctx context.Context, run string, except map[string]bool) error {
	o, err := s.OutlineOf(ctx, run)
	if err != nil {
		return err
	}
	known, err := s.Ledger.SourceCounts(ctx, s.Org)
	if err != nil {
		return err
	}
	now := map[string]ledger.Count{}
	for _, g := range o.Groups {
		if g.Synced && g.Users >= 0 && !except[g.ID] {
			now[g.ID] = ledger.Count{Name: g.Name, Users: g.Users, At: s.Now(), Run: run}
		}
	}
	var gone []string
	for _, id := range session.SortedKeys(known) {
		if _, still := now[id]; !still && !except[id] {
			gone = append(gone, id)
		}
	}
	return s.Ledger.SaveSourceCounts(ctx, s.Org, run, now, gone, s.Now())
}

func ledgerCounts(c messages.Counts) ledger.Counts {
	return ledger.Counts{
		People: c.People, Calls: c.Calls, Adds: c.Adds, Removals: c.Removals, Adopts: c.Adopts, Held: c.Held,
		Suppressed: c.Suppressed, Foreign: c.Foreign, Done: c.Done, Already: c.Already, Shortage: c.Shortage,
		Refused: c.Refused, Superseded: c.Superseded, Failed: c.Failed, Verified: c.Verified, Unverified: c.Unverified,
	}
}
