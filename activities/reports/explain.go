package reports

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/apply"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/plan"
	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/policy/cases"
)

// Explain decides one person now, as any run would, and returns all that leads to the decision. Nothing is written.
// Assumptions apply to the person alone.
//
// Calls: one for the person; for what a floor may forbid, holders/100 of each protected target concerned; one if a rule
// depends on when apps were used; a few if an addition depends on the person's absence from a group.
func (a *Activities) Explain(ctx context.Context, in messages.ReportInput) (messages.ReportAnswer, error) {
	defer session.AutoHeartbeat(ctx)()
	answer := messages.ReportAnswer{Org: in.Org, Kind: in.Kind}
	version, err := a.env.Ledger.Policy(ctx, in.Org, "")
	if err != nil {
		return answer, session.NonRetryable(session.ErrUnknown,
			fmt.Errorf("organization %s has no policy in force; start it with `starter apply FILE`: %w", in.Org, err))
	}
	s, err := a.task(a.env.Open(ctx, in.Org, version.Hash))
	if err != nil {
		return answer, err
	}
	outline, known, err := s.LatestOutline(ctx)
	if err != nil {
		return answer, err
	}
	if !known {
		return answer, session.NonRetryable(session.ErrUnknown,
			fmt.Errorf("organization %s was not verified under its policy yet; ask again after the first full verification", in.Org))
	}
	enforced, _ := policy.BindSince(s.Policy, outline.Outline, outline.Last)
	if outline.Acting, err = s.ConsentedRules(ctx, enforced); err != nil {
		return answer, err
	}
	e := explanation{task: s, bound: s.Bound(outline), at: s.Now()}
	ref, is, err := e.identityNamed(ctx, in.Person)
	if err != nil {
		return answer, err
	}
	if is && ref.Account == "" {
		answer.Explain, err = e.explainIdentity(ctx, ref)
		answer.Message = identityInWords(answer.Explain)
		return answer, err
	}
	read, err := s.ReadNamed(ctx, cmp.Or(ref.Account, in.Person))
	if err != nil {
		return answer, err
	}
	e.person = read[0]
	if err := e.suppose(in.If); err != nil {
		return answer, session.NonRetryable(session.ErrInvalid, err)
	}
	if answer.Explain, err = e.explain(ctx); err != nil {
		return answer, err
	}
	answer.Message = e.inWords(answer.Explain)
	return fitted(answer)
}

// explanation is one person's decision being told.
type explanation struct {
	*task
	bound    *policy.Bound
	person   access.Person
	at       time.Time
	supposed []string
	state    plan.State
	known    policy.Known
}

func (e *explanation) suppose(all []string) error {
	for _, text := range all {
		what, err := cases.ReadWhatIf(text)
		if err == nil {
			e.person, e.at, err = what.Apply(e.bound, e.person, e.at)
		}
		if err != nil {
			return err
		}
	}
	e.supposed = all
	return nil
}

func (e *explanation) explain(ctx context.Context) (*messages.Explanation, error) {
	states, err := e.Ledger.States(ctx, e.Org, []string{e.person.ID}, e.at.Add(-session.RecentWrites))
	if err != nil {
		return nil, err
	}
	people := []access.Person{e.person}
	if err := e.LearnUse(ctx, e.bound, people, states); err != nil {
		return nil, err
	}
	e.person, e.state = people[0], session.PlanState(states[e.person.ID])
	e.known = policy.Known{Grants: access.InForce(e.state.Grants, e.at), Marks: e.state.Marks,
		Rulings: e.state.Rulings, Held: e.state.Holdings,
		Now: e.at, All: true}
	said := e.bound.Resolve(e.person, e.known)
	x := &messages.Explanation{Person: e.person, At: e.at, Supposed: e.supposed}
	for _, f := range e.bound.Facts(e.person, e.known).List(e.at) {
		x.Facts = append(x.Facts, messages.Fact(f))
	}
	e.statements(x, said)
	e.targets(x, said)
	if err := e.sources(ctx, x); err != nil {
		return nil, err
	}
	return x, e.changes(ctx, x)
}

// statements lists what each mapping, rule, grant and review says.
func (e *explanation) statements(x *messages.Explanation, said policy.Resolution) {
	gives := map[string][]string{}
	for _, want := range said.Wants {
		for _, r := range want.Reasons {
			if r.Kind == access.ReasonMapping {
				gives[r.Name] = append(gives[r.Name], e.chain(r, e.bound.Targets[want.Target].Entitlement))
			}
		}
	}
	mapped := func(name string) {
		verdict := messages.Statement{Name: name, Verdict: "no", Why: "the person is in none of its source groups"}
		if given := gives[name]; len(given) > 0 {
			verdict.Verdict, verdict.Why = "gives", strings.Join(given, ", ")
		}
		x.Mappings = append(x.Mappings, verdict)
	}
	for _, m := range e.Policy.Mappings {
		mapped(m.Name)
	}
	for _, g := range e.Policy.Groups {
		mapped(g.Name)
	}
	for _, r := range said.Rules {
		saying := messages.Statement{Name: r.Name, Verdict: string(r.Verdict), Why: r.Why, Until: r.Due}
		if enforced := e.Policy.Rules[r.Rule].Mode == policy.RuleEnforce; !enforced {
			saying.Verdict += " (observes)"
		} else if !r.Acting {
			saying.Verdict += " (waits for consent)"
		}
		if saying.Why == "" {
			saying.Why = e.Policy.Rules[r.Rule].When
		}
		x.Rules = append(x.Rules, saying)
	}
	for _, g := range e.state.Grants {
		saying := messages.Statement{Name: g.ID, Verdict: "over", Why: fmt.Sprintf("%s: %s", g.Target, g.Reason)}
		switch {
		case g.InForce(e.at):
			saying.Verdict, saying.Until = "in force", g.Until
		case e.at.Before(g.From):
			saying.Verdict, saying.Until = "to come", g.From
		}
		x.Grants = append(x.Grants, saying)
	}
	for _, r := range e.state.Rulings {
		saying := messages.Statement{Name: r.Review, Verdict: string(r.Verdict), Why: string(r.Target), Until: r.Until}
		if !r.InForce(e.at) {
			saying.Verdict = "over"
		}
		x.Reviews = append(x.Reviews, saying)
	}
}

// chain says how a source group leads to a target: by which identity source, mapping and name of the policy.
func (e *explanation) chain(r access.Reason, target access.Entitlement) string {
	steps := []string{"synced group " + r.Source}
	if source := e.Policy.SourceOf(r.Source); source != "" {
		_, group, _ := strings.Cut(r.Source, ":")
		steps = []string{"source " + source, "group " + group}
	}
	steps = append(steps, r.Name)
	if r.Via != "" {
		steps = append(steps, string(r.Via))
	}
	return strings.Join(append(steps, string(target)), " → ")
}

// targets compares what the person should hold with what they hold.
func (e *explanation) targets(x *messages.Explanation, said policy.Resolution) {
	wants := map[int]policy.Want{}
	for _, want := range said.Wants {
		wants[want.Target] = want
	}
	for i, t := range e.bound.Targets {
		want, spoken := wants[i]
		held, known := e.bound.Holds(e.person, i)
		if !spoken && (!held || t.Entitlement.Presence()) {
			x.Others++
			continue
		}
		one := messages.ExplainedTarget{
			Target: t.Entitlement, Held: "no", Reasons: want.Reasons, Denied: want.Denied,
			Unsure: slices.Concat(want.Unsure, want.Barred),
		}
		switch {
		case !known:
			one.Held = "unknown"
		case held:
			one.Held = "yes"
		}
		for _, h := range e.state.Holdings {
			if h.Target == t.Entitlement {
				one.Owned, one.Since = h.Owned, h.From
			}
		}
		x.Targets = append(x.Targets, one)
	}
}

// changes lists what would be done, with the verdicts of the guard and the floors.
func (e *explanation) changes(ctx context.Context, x *messages.Explanation) error {
	x.Changes = plan.Decide(e.bound, e.person, e.state, "explain", e.at).Changes
	whole := e.state
	whole.Rejected = nil
	for _, c := range plan.Decide(e.bound, e.person, whole, "explain", e.at).Changes {
		if !slices.ContainsFunc(x.Changes,
			func(o access.Change) bool { return o.Target == c.Target && o.Action == c.Action }) {
			x.Rejected = append(x.Rejected, c)
		}
	}
	if err := e.doubts(ctx, x.Changes); err != nil {
		return err
	}
	stats := plan.NewStats(e.bound)
	org, err := e.Ledger.Organization(ctx, e.Org)
	if err != nil {
		return err
	}
	stats.Adopted = !org.AdoptedAt.IsZero()
	stats.Add(x.Changes)
	verdicts := plan.Judge(e.Policy, e.bound, stats)
	for _, v := range verdicts {
		x.Guard = append(x.Guard, v.Rule+": "+v.Detail)
	}
	for i := range x.Changes {
		c := &x.Changes[i]
		c.HeldBy = plan.HeldBy(verdicts, e.bound, *c)
		if c.Action != access.Remove || len(e.supposed) > 0 {
			continue
		}
		refusal, err := e.refusal(ctx, *c)
		if err != nil {
			return err
		}
		if refusal != nil {
			c.Answer = refusal.Error()
		}
	}
	hold, err := e.Ledger.CurrentHold(ctx, e.Org)
	if err == nil {
		lines, err := e.Ledger.Lines(ctx, e.Org, hold.Run,
			ledger.Filter{States: []access.ChangeState{access.Held}, Person: e.person.ID, Limit: 100})
		if err != nil {
			return err
		}
		for _, c := range lines {
			x.Guard = append(x.Guard, fmt.Sprintf("held now, by %s: %s (%s)", strings.Join(c.HeldBy, ", "), c.Label(),
				display.Starter("plan --held", e.Org)))
		}
	}
	return nil
}

// doubts marks additions that depend on an absence that another search does not confirm: no run makes them.
func (e *explanation) doubts(ctx context.Context, changes []access.Change) error {
	if len(e.supposed) > 0 {
		return nil
	}
	one, hangs := plan.DependsOnAbsence(e.bound, e.person, e.state, changes, e.at)
	if !hangs {
		return nil
	}
	doubted, err := e.Doubted(ctx, e.bound, []plan.Absence{one})
	if err != nil || !doubted[one.Person.ID] {
		return err
	}
	for i := range changes {
		if plan.ContainsChange(one.Lines, changes[i]) {
			changes[i].Answer = apply.DoubtfulAbsence
		}
	}
	return nil
}

// refusal returns a floor's refusal of a removal.
func (e *explanation) refusal(ctx context.Context, c access.Change) (refusal, err error) {
	if c.Target.Presence() {
		return e.FloorsOfPresence(ctx, e.bound, c)
	}
	i, known := e.bound.Target(c.Target)
	if !known || e.bound.Targets[i].Protected == nil {
		return nil, nil
	}
	return e.FloorOf(ctx, e.bound.Targets[i], e.person)
}

func (e *explanation) inWords(x *messages.Explanation) string {
	if x == nil {
		return ""
	}
	if len(x.Changes) == 0 {
		return e.person.Label() + ": nothing would be done"
	}
	var words []string
	for _, c := range x.Changes {
		word := c.Label()
		switch {
		case c.Answer != "":
			word += " (" + c.Answer + ")"
		case len(c.HeldBy) > 0:
			word += " (the guard would hold it: " + strings.Join(c.HeldBy, ", ") + ")"
		}
		words = append(words, word)
	}
	return e.person.Label() + ": " + strings.Join(words, "; ")
}
