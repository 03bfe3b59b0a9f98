package reconcile

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/plan"
	"github.com/castellan-io/castellan/policy"
)

// judgeRules handles the rules of a full run. What rules in observe mode would do is reported under its hash; what
// newly enforced rules ask for waits for approval, unless the policy already contains just that hash.
func (s *task) judgeRules(ctx context.Context, b *policy.Bound, in JudgeInput, acting []string, notes ledger.Notes,
	stats *plan.Stats, dry bool) ([]access.Finding, error) {
	if len(s.Policy.Rules) == 0 {
		return nil, nil
	}
	known, err := s.Ledger.Rules(ctx, s.Org)
	if err != nil {
		return nil, err
	}
	plans, err := s.rulePlans(ctx, in.Run)
	if err != nil {
		return nil, err
	}
	var findings []access.Finding
	var seen []ledger.RuleState
	released := map[string]string{}
	for i := range s.Policy.Rules {
		r := &s.Policy.Rules[i]
		if !r.Acts() {
			if r.Mode == policy.RuleObserve {
				findings = append(findings, access.Finding{Rule: "rule-observed", Subject: r.Name,
					Detail: "if enforced, it would send notices about " + session.CountPeople(notes.Of(noteHolds, r.Name))})
			}
			continue
		}
		asks, key := plans[r.Name], r.Key()
		switch {
		case r.Mode == policy.RuleObserve:
			seen = append(seen, ledger.RuleState{Key: key, Name: r.Name, Seen: asks.hash(), Lines: asks.lines,
				SeenAt: s.Now(), Run: in.Run})
			detail := fmt.Sprintf("it holds for %s", session.CountPeople(notes.Of(noteHolds, r.Name)))
			if waits := notes.Of(noteWaits, r.Name); waits > 0 {
				detail += fmt.Sprintf(", and for %s more not for long enough yet", session.CountPeople(waits))
			}
			detail += fmt.Sprintf(". Enforced, it would make %s: `starter plan --state observed --run %s`. To have just that done, write mode: enforce and shown: %s", ofChanges(asks.lines), in.Run, asks.hash())
			findings = append(findings, access.Finding{Rule: "rule-observed", Subject: r.Name, Detail: detail})
		case !slices.Contains(acting, key) || !known[key].Released.IsZero():
		case s.Policy.Guard.Rules == policy.AdoptAuto || r.Shown == asks.hash():
			released[key] = r.Name
		case asks.lines > 0:
			stats.Fresh = append(stats.Fresh, plan.FreshRule{
				Name: r.Name, Key: key, Lines: asks.lines, Plan: asks.hash(), Agreed: r.Shown, Seen: known[key].Seen,
				Grace: r.Grace.String(),
			})
		}
	}
	if dry || !stats.Adopted { // approving the first plan approves its rules
		return findings, nil
	}
	if len(seen) > 0 {
		if err := s.Ledger.SaveSeen(ctx, s.Org, seen); err != nil {
			return nil, err
		}
	}
	if len(released) == 0 {
		return findings, nil
	}
	return findings, s.Ledger.ReleaseRules(ctx, s.Org, in.Run, released, "",
		"the policy consents (guard.rules, or rules.shown)", s.Now())
}

func ofChanges(n int) string { return session.CountOf(n, "change", "changes") }

// rulePlan is what one rule asks for in a run.
type rulePlan struct {
	hasher *plan.Hasher
	lines  int
}

func (a *rulePlan) hash() string {
	if a == nil || a.hasher == nil {
		return plan.NewHasher().Sum()
	}
	return a.hasher.Sum()
}

// rulePlans hashes what each rule asks for, enforced or observed: the lines that only rules ask for. So the hash stays
// the same when an observed rule is enforced.
func (s *task) rulePlans(ctx context.Context, run string) (map[string]*rulePlan, error) {
	plans := map[string]*rulePlan{}
	for i := range s.Policy.Rules {
		plans[s.Policy.Rules[i].Name] = &rulePlan{hasher: plan.NewHasher()}
	}
	states := []access.ChangeState{access.Planned, access.Held, access.Sent, access.Recorded, access.Observed}
	err := s.EachLine(ctx, run, states, func(c access.Change) error {
		if !access.OnlyRules(c.Reasons) {
			return nil
		}
		for _, r := range c.Reasons {
			if p := plans[r.Name]; p != nil {
				p.lines++
				if err := p.hasher.Add(c); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return plans, err
}

const (
	givenBack = 2   // removals within the guard's window after which somebody else counts as giving the access back
	mostFlaps = 100 // changes checked one by one
)

// flaps finds changes that are made and reversed again and again, and reports by which sides.
func (s *task) flaps(ctx context.Context, in session.RunInput, stats *plan.Stats) ([]access.Finding, error) {
	days := time.Duration(s.Policy.Guard.Window.Days) * 24 * time.Hour
	least := givenBack
	if most := s.Policy.Guard.Flapping; most > 0 {
		least = min(least, most)
	}
	found, err := s.Ledger.Flaps(ctx, s.Org, in.Run, s.Now().Add(-days), least, mostFlaps)
	if err != nil {
		return nil, err
	}
	var findings []access.Finding
	for _, f := range found {
		if s.timed(f.Reasons) {
			continue // it comes and goes by the clock
		}
		last, err := s.lastReasons(ctx, f.Person, f.Target)
		if err != nil {
			return nil, err
		}
		now := string(f.Action) + ", by " + session.ReasonsInWords(f.Reasons)
		if f.Action == access.Remove && f.Adds == 0 {
			findings = append(findings, access.Finding{Rule: "given-back", Subject: string(f.Target),
				Detail: fmt.Sprintf(
					"%s was removed %d times within %d days, by %s, and it is given back each time: by your identity provider, an invitation setting or an admin. Stop that there, or change what removes it here",
					labelOf(f.Change), f.Removals, s.Policy.Guard.Window.Days, session.ReasonsInWords(f.Reasons))})
		}
		if most := s.Policy.Guard.Flapping; most == 0 || f.Adds+f.Removals < most {
			continue
		}
		stats.Flaps = append(stats.Flaps,
			plan.Flap{Person: f.Person, Label: labelOf(f.Change), Target: f.Target, Times: f.Adds + f.Removals,
				Last: last, Now: now})
	}
	return findings, nil
}

// timed reports whether the reasons are rules that are in force only at some times.
func (s *task) timed(reasons []access.Reason) bool {
	return access.OnlyRules(reasons) && !slices.ContainsFunc(reasons, func(r access.Reason) bool {
		return !slices.ContainsFunc(s.Policy.Rules,
			func(x policy.Rule) bool { return x.Name == r.Name && x.During != nil })
	})
}

// lastReasons returns why the last change of a person in a target was made.
func (s *task) lastReasons(ctx context.Context, person string, target access.Entitlement) (string, error) {
	last, err := s.Ledger.LastWrite(ctx, s.Org, person, target)
	if err != nil {
		return "", err
	}
	return string(last.Action) + ", by " + session.ReasonsInWords(last.Reasons), nil
}

func labelOf(c access.Change) string {
	if c.Email != "" {
		return c.Email
	}
	return c.Person
}
