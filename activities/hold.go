package activities

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/plan"
	"github.com/castellan-io/castellan/policy"
)

// settleHold brings the organization's one open hold in line with the run: a full run replaces it, a partial run
// replaces the lines of the people it looked at and takes the others over.
func (s *session) settleHold(ctx context.Context, in JudgeInput, verdicts []plan.Verdict, full bool, touched []string) (*messages.Hold, error) {
	if in.DryRun || in.Preview || s.policy.DryRun {
		return nil, nil
	}
	open, err := s.ledger.CurrentHold(ctx, s.org)
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return nil, err
	}
	isOpen := err == nil
	hold, err := s.describeHold(ctx, in.Run)
	if err != nil {
		return nil, err
	}
	hold.Rules = holdRules(verdicts)
	if !full && isOpen && open.Run != in.Run {
		touchesHold, err := s.anyHeld(ctx, open.Run, touched)
		if err != nil {
			return nil, err
		}
		if hold.People == 0 && !touchesHold {
			return holdMessage(open), nil
		}
		if _, err := s.ledger.CopyHeld(ctx, s.org, open.Run, in.Run, touched); err != nil {
			return nil, err
		}
		rules := mergeRules(open.Rules, hold.Rules)
		if hold, err = s.describeHold(ctx, in.Run); err != nil {
			return nil, err
		}
		hold.Rules = rules
	}
	if hold.People == 0 {
		if isOpen && (full || open.Run != in.Run) {
			return nil, s.ledger.CloseHold(ctx, s.org, "nothing is held any more")
		}
		return nil, nil
	}
	if isOpen && open.Plan != hold.Plan {
		if hold.Changed, err = s.whatChanged(ctx, open, hold); err != nil {
			return nil, err
		}
	} else if isOpen {
		hold.Opened, hold.Changed = open.Opened, open.Changed
	}
	m := holdMessage(hold)
	m.Undo = in.Scope == messages.ScopeUndo
	return m, s.ledger.OpenHold(ctx, hold)
}

// emptyFirstPlan deals with a first plan without a line: there is nothing to consent to, unless groups are to be created,
// whose members only show once they are there.
func (s *session) emptyFirstPlan(ctx context.Context, b *policy.Bound, run string) (adopted bool, hold *messages.Hold, err error) {
	if len(b.Create) == 0 {
		return true, nil, s.ledger.Adopt(ctx, s.org, run, "nobody: the first plan was empty", s.now())
	}
	sum := sha256.Sum256([]byte(strings.Join(b.Create, "\n")))
	open := ledger.Hold{
		Org: s.org, Run: run, Plan: "sha256:" + hex.EncodeToString(sum[:]), Opened: s.now(),
		Rules: []ledger.HoldRule{{Rule: plan.RuleAdopt, Detail: fmt.Sprintf("the first run needs consent: it would create the groups %s and fill them as the policy says (guard.adopt is ask)", strings.Join(b.Create, ", "))}},
	}
	return false, holdMessage(open), s.ledger.OpenHold(ctx, open)
}

func (s *session) anyHeld(ctx context.Context, run string, people []string) (bool, error) {
	for _, p := range people {
		lines, err := s.ledger.Lines(ctx, s.org, run, ledger.Filter{States: held, Person: p, Limit: 1})
		if err != nil || len(lines) > 0 {
			return len(lines) > 0, err
		}
	}
	return false, nil
}

// describeHold hashes and counts a run's held lines without keeping them.
func (s *session) describeHold(ctx context.Context, run string) (ledger.Hold, error) {
	hold := ledger.Hold{Org: s.org, Run: run, Opened: s.now()}
	hash, last := plan.NewHasher(), ""
	err := s.eachLine(ctx, run, held, func(c access.Change) error {
		switch c.Action {
		case access.Add:
			hold.Adds++
		case access.Remove:
			hold.Removals++
		case access.Adopt:
			hold.Adopts++
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

// mostCompared bounds the lines that are compared one by one to say how a hold changed.
const mostCompared = 20_000

func (s *session) whatChanged(ctx context.Context, before, now ledger.Hold) (string, error) {
	if before.Adds+before.Removals+before.Adopts > mostCompared || now.Adds+now.Removals+now.Adopts > mostCompared {
		return "replaces " + before.Plan, nil
	}
	lines := func(run string) (all []access.Change, err error) {
		err = s.eachLine(ctx, run, held, func(c access.Change) error {
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

func holdMessage(h ledger.Hold) *messages.Hold {
	m := &messages.Hold{
		Plan: h.Plan, Run: h.Run, Adds: h.Adds, Removals: h.Removals, Adopts: h.Adopts, People: h.People,
		Changed: h.Changed, Opened: h.Opened,
	}
	for i, r := range h.Rules {
		if i == 10 {
			m.Rules = append(m.Rules, fmt.Sprintf("and %d more", len(h.Rules)-i))
			break
		}
		m.Rules = append(m.Rules, r.Rule+": "+r.Detail)
	}
	return m
}

// DecideInput is a person's decision on a held plan.
type DecideInput struct {
	Org      string `json:"org"`
	Decision string `json:"decision"` // approve or reject
	messages.DecisionInput
}

// DecideResult says what the decision was about.
type DecideResult struct {
	Hold     messages.Hold `json:"hold"`
	Adoption bool          `json:"adoption"` // it was the consent to the first run
}

// Decide records the decision on exactly the plan with that hash. Approved lines are released, rejected ones are
// remembered so that they are not raised again while they stay the same. A repeat of the same decision changes nothing.
func (a *Activities) Decide(ctx context.Context, in DecideInput) (DecideResult, error) {
	defer beating(ctx)()
	hold, err := a.ledger.DecideHold(ctx, in.Org, in.Plan, in.Decision, in.By, in.Note, a.now())
	if err != nil {
		if errors.Is(err, ledger.ErrNotFound) || errors.Is(err, ledger.ErrNotOpen) {
			return DecideResult{}, stop(ErrNotOpen, err)
		}
		return DecideResult{}, err
	}
	result := DecideResult{Hold: *holdMessage(hold)}
	run, err := a.ledger.Run(ctx, in.Org, hold.Run)
	if err != nil {
		return DecideResult{}, err
	}
	result.Hold.Undo = run.Scope == messages.ScopeUndo
	for _, r := range hold.Rules {
		result.Adoption = result.Adoption || r.Rule == plan.RuleAdopt
	}
	if in.Decision == ledger.Approve && result.Adoption {
		err = a.ledger.Adopt(ctx, in.Org, hold.Run, in.By, a.now())
	}
	if in.Decision == ledger.Approve && err == nil {
		err = a.acceptSources(ctx, in.Org, hold)
	}
	if in.Decision == ledger.Approve && err == nil {
		err = a.acceptRules(ctx, run, hold, in)
	}
	return result, err
}

// acceptRules takes the approval of a plan for the consent to the rules that were enforced in it for the first time.
func (a *Activities) acceptRules(ctx context.Context, run ledger.Run, hold ledger.Hold, in DecideInput) error {
	if !slices.ContainsFunc(hold.Rules, func(r ledger.HoldRule) bool { return r.Rule == plan.RuleAdopt || r.Rule == plan.RuleRuleNew }) {
		return nil
	}
	s, err := a.open(ctx, in.Org, run.Policy)
	if err != nil {
		return err
	}
	o, err := s.outlineOf(ctx, hold.Run)
	if err != nil {
		return err
	}
	rules := map[string]string{}
	for i := range s.policy.Rules {
		if r := &s.policy.Rules[i]; slices.Contains(o.Acting, r.Key()) {
			rules[r.Key()] = r.Name
		}
	}
	return a.ledger.ReleaseRules(ctx, in.Org, hold.Run, rules, in.By, "the plan "+hold.Plan+" was approved", a.now())
}

// acceptSources takes the counts that the approved plan stood on as good: what was suspect was looked at by a person.
func (a *Activities) acceptSources(ctx context.Context, org string, hold ledger.Hold) error {
	run, err := a.ledger.Run(ctx, org, hold.Run)
	if err != nil {
		return err
	}
	s, err := a.open(ctx, org, run.Policy)
	if err != nil {
		return err
	}
	b, err := s.boundOf(ctx, hold.Run)
	if err != nil {
		return err
	}
	if err := s.saveSources(ctx, hold.Run, nil); err != nil {
		return err
	}
	if slices.ContainsFunc(hold.Rules, func(r ledger.HoldRule) bool { return r.Rule == plan.RuleDefaultMoved }) {
		return s.ledger.SaveKnownDefaults(ctx, org, b.Defaults())
	}
	return nil
}

// saveSources makes the run's counts of source groups the last good ones, but for the groups named.
func (s *session) saveSources(ctx context.Context, run string, except map[string]bool) error {
	o, err := s.outlineOf(ctx, run)
	if err != nil {
		return err
	}
	known, err := s.ledger.SourceCounts(ctx, s.org)
	if err != nil {
		return err
	}
	now := map[string]ledger.Count{}
	for _, g := range o.Groups {
		if g.Synced && g.Users >= 0 && !except[g.ID] {
			now[g.ID] = ledger.Count{Name: g.Name, Users: g.Users, At: s.now(), Run: run}
		}
	}
	var gone []string
	for _, id := range sorted(known) {
		if _, still := now[id]; !still && !except[id] {
			gone = append(gone, id)
		}
	}
	return s.ledger.SaveSourceCounts(ctx, s.org, run, now, gone, s.now())
}

func ledgerCounts(c messages.Counts) ledger.Counts {
	return ledger.Counts{
		People: c.People, Calls: c.Calls, Adds: c.Adds, Removals: c.Removals, Adopts: c.Adopts, Held: c.Held,
		Suppressed: c.Suppressed, Foreign: c.Foreign, Done: c.Done, Already: c.Already, Shortage: c.Shortage,
		Refused: c.Refused, Superseded: c.Superseded, Failed: c.Failed, Verified: c.Verified, Unverified: c.Unverified,
	}
}
