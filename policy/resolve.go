package policy

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy/condition"
	"github.com/castellan-io/castellan/policy/provision"
)

// Known is what Resolve needs to know about a person besides the read.
type Known struct {
	Grants []access.Grant     // the person's own, in force
	Marks  []access.RuleMatch // how long which rules' conditions have held
	Held   []access.Holding   // what the ledger says: since when the person has had which access
	// Rulings are verdicts of reviews that affect the person. Those not in force are ignored.
	Rulings []access.Ruling
	Now     time.Time
	// Fresh are keys of enforced rules whose changes nobody has approved: they are evaluated as if their grace period
	// were over, so that the approval covers all that they will do.
	Fresh map[string]bool
	Would bool // treat observing rules as enforced
	All   bool // answer of every rule, also of those that say no
	// ListsCut treats the person's lists of groups and roles as truncated: what is in them is known, what is missing is
	// not.
	ListsCut bool
}

// Resolution is what a person should hold, and what the rules said.
type Resolution struct {
	Wants []Want
	// those that do not say no, and those out of force that began to hold before, in the order of the file; all, if
	// that was asked
	Rules []RuleAnswer
}

// Want is what the policy wants of one target for one person.
type Want struct {
	Target  int             // index in Bound.Targets
	Reasons []access.Reason // to hold it
	Denied  []access.Reason // not to hold it, whatever the reasons: rules and reviews
	Unsure  []access.Reason // rules and mappings that may give it: not decidable now
	Barred  []access.Reason // rules that may deny it: not decidable now
	Adopt   bool            // one of the reasons makes a membership owned that exists already
}

// MayBeMapped reports whether a mapping may give the target: it is not known whether the person is in its group.
func (w Want) MayBeMapped() bool { return access.HasKind(w.Unsure, access.ReasonMapping) }

// ReasonsToHold returns the reasons to hold the target, none when a rule or a review denies it. A rule or mapping that
// cannot be answered now still stands for what it is known to have given: it is among the last reasons.
func (w Want) ReasonsToHold(last []access.Reason) []access.Reason {
	if len(w.Denied) > 0 {
		return nil
	}
	reasons := w.Reasons
	for _, r := range w.Unsure {
		if slices.Contains(last, r) {
			reasons = append(slices.Clone(reasons), r)
		}
	}
	if len(reasons) > len(w.Reasons) {
		slices.SortFunc(reasons, compareReasons)
	}
	return reasons
}

// ReasonsToAdd returns the reasons to add somebody to the target: those to hold it, without reviews, whose verdict to
// keep is no reason to add.
func (w Want) ReasonsToAdd(last []access.Reason) []access.Reason {
	var reasons []access.Reason
	for _, r := range w.ReasonsToHold(last) {
		if r.Kind != access.ReasonReview {
			reasons = append(reasons, r)
		}
	}
	return reasons
}

// statement is what one mapping, grant, rule or review says of one target.
type statement struct {
	target int
	effect effect
	reason access.Reason
	adopt  bool
}

type effect int

const (
	effectGive effect = iota
	effectDeny
	effectMayGive
	effectMayDeny
)

// Resolve answers the one question: which targets should this person hold now, and why? The reasons are the union over
// the person's source groups, the grants in force, the rules, and what reviews let them keep; a target that any rule or
// review denies is not to be held. The order is fixed: by target, then by reason. Apps want nothing, and no rule speaks
// of them. The work is proportional to the groups, grants and rulings of the person and to the rules.
func (b *Bound) Resolve(p access.Person, k Known) Resolution {
	if p.IsApp() {
		return Resolution{}
	}
	var all []statement
	for _, g := range k.Grants {
		for _, gift := range b.GrantGives(g) {
			all = append(all, statement{target: gift.Target, effect: effectGive, reason: gift.Reason})
		}
	}
	all = append(all, b.rulingStatements(k)...)
	for _, id := range p.GroupIDs {
		all = append(all, b.statements[id]...)
	}
	for _, id := range p.UnsureGroups {
		for _, one := range b.statements[id] {
			one.effect, one.adopt = effectMayGive, false
			all = append(all, one)
		}
	}
	all = append(all, b.unsureStatements(p, k)...)
	answers := b.answers(p, k)
	for _, a := range answers {
		all = append(all, b.ruleStatements(a, k.Would)...)
	}
	return Resolution{Wants: b.wants(all), Rules: answers}
}

// unsureStatements returns what mappings may give by the groups of sources of which it is not known what they would say
// of the person. They are about what the person holds, or is known to have held: nothing is given by them.
func (b *Bound) unsureStatements(p access.Person, k Known) (all []statement) {
	if len(p.UnsureSources) == 0 {
		return nil
	}
	last := map[int][]access.Reason{}
	for _, t := range b.TargetsHeld(p) {
		last[t] = nil
	}
	for _, h := range k.Held {
		for _, t := range b.AllTargets(h.Target) {
			last[t] = append(last[t], h.Reasons...)
		}
	}
	for _, source := range p.UnsureSources {
		of := sourcePrefix(source)
		for _, m := range b.mappedBy(source) {
			reasons, held := last[m.target]
			if !held {
				continue
			}
			all = append(all, m)
			for _, r := range reasons {
				if r.Kind == access.ReasonMapping && r.Name == m.reason.Name && of(r.Source) {
					all = append(all, statement{target: m.target, effect: effectMayGive, reason: r})
				}
			}
		}
	}
	return all
}

// GrantedTarget is a target that a grant gives, and the reason that the grant is to hold it.
type GrantedTarget struct {
	Target int // index in Bound.Targets
	Reason access.Reason
}

// GrantGives returns what a grant gives while it is in force: every target that goes by its name.
func (b *Bound) GrantGives(g access.Grant) []GrantedTarget {
	var gifts []GrantedTarget
	for _, s := range b.statementsFor(effectGive, g.Target, g.GrantReason()) {
		gifts = append(gifts, GrantedTarget{s.target, s.reason})
	}
	return gifts
}

// statementsFor says one thing of every target that goes by a name.
func (b *Bound) statementsFor(what effect, of access.Entitlement, reason access.Reason) []statement {
	var all []statement
	for _, t := range b.AllTargets(of) {
		v := statement{target: t, effect: what, reason: reason}
		if fold(of) != fold(b.Targets[t].Entitlement) {
			v.reason.Via = of
		}
		all = append(all, v)
	}
	return all
}

// rulingStatements returns what reviews say: a removal denies, a keep gives. It never adopts: who decided to keep what
// somebody else gave did not make it Castellan's.
func (b *Bound) rulingStatements(k Known) []statement {
	var all []statement
	for _, r := range k.Rulings {
		switch {
		case !r.InForce(k.Now):
		case r.Verdict == access.VerdictRemove:
			all = append(all, b.statementsFor(effectDeny, r.Target, r.RulingReason())...)
		case r.Verdict == access.VerdictKeep:
			all = append(all, b.statementsFor(effectGive, r.Target, r.RulingReason())...)
		}
	}
	return all
}

// wants groups statements by target.
func (b *Bound) wants(all []statement) []Want {
	if len(all) == 0 {
		return nil
	}
	slices.SortFunc(all, func(a, b statement) int {
		return cmp.Or(cmp.Compare(a.target, b.target), cmp.Compare(a.effect, b.effect),
			compareReasons(a.reason, b.reason))
	})
	all = slices.Compact(all) // the read may name a group twice
	wants := make([]Want, 0, min(len(all), len(b.Targets)))
	reasons := make([]access.Reason, len(all))
	for i := 0; i < len(all); {
		v := all[i]
		start := i
		if n := len(wants); n == 0 || wants[n-1].Target != v.target {
			wants = append(wants, Want{Target: v.target})
		}
		w := &wants[len(wants)-1]
		for ; i < len(all) && all[i].target == v.target && all[i].effect == v.effect; i++ {
			reasons[i] = all[i].reason
			w.Adopt = w.Adopt || all[i].adopt
		}
		some := reasons[start:i:i]
		switch v.effect {
		case effectGive:
			w.Reasons = some
		case effectDeny:
			w.Denied = some
		case effectMayGive:
			w.Unsure = some
		case effectMayDeny:
			w.Barred = some
		}
	}
	return wants
}

func compareReasons(a, b access.Reason) int {
	return cmp.Or(strings.Compare(string(a.Kind), string(b.Kind)), strings.Compare(a.Name, b.Name),
		strings.Compare(a.Source, b.Source), strings.Compare(string(a.Via), string(b.Via)))
}

// answers evaluates the rules.
func (b *Bound) answers(p access.Person, k Known) []RuleAnswer {
	if len(b.rules) == 0 {
		return nil
	}
	asked := b.Ask(p, k)
	var answers []RuleAnswer
	for i := range b.rules {
		r := &b.rules[i]
		if a := r.answer(asked, k); k.All ||
			a.Verdict != VerdictNo && (a.Verdict != VerdictClosed || !a.Since.IsZero()) {
			a.Rule = i
			answers = append(answers, a)
		}
	}
	return answers
}

// answer evaluates one rule. While it is out of force, its marks stay as they are.
func (r *boundRule) answer(asked *condition.Subject, k Known) RuleAnswer {
	a := RuleAnswer{Name: r.Name, Key: r.key, Verdict: VerdictHolds, Acting: r.acts}
	var told time.Time
	if i := slices.IndexFunc(k.Marks, func(m access.RuleMatch) bool { return m.Rule == r.key }); i >= 0 {
		a.Since, told = k.Marks[i].Since, k.Marks[i].Told
	}
	if !r.window.Open(k.Now) {
		a.Verdict = VerdictClosed
		return a
	}
	supposed := !r.acts && k.Would || k.Fresh[r.key] // then what it comes to in the end is what matters
	ripe := !a.Since.IsZero() && !k.Now.Before(a.Since.Add(r.After.Std()))
	over := r.Grace == 0 || supposed || !told.IsZero() && !k.Now.Before(told.Add(r.Grace.Std()))
	holds, err := r.ask(asked, ripe)
	switch {
	case err != nil:
		a.Verdict, a.Why = VerdictUnknown, err.Error()
		a.AsksUse = errors.Is(err, condition.ErrUnknownUse)
		a.tooEarly = !(ripe || r.After == 0) || !over
		return a
	case !holds:
		a.Verdict, a.Since = VerdictNo, time.Time{}
		return a
	case a.Since.IsZero():
		a.Since = k.Now
		ripe = r.After == 0
	}
	if !ripe {
		a.Verdict, a.Due = VerdictWaits, a.Since.Add(r.After.Std())
		return a
	}
	a.Tell = told.IsZero() && r.acts && (len(r.Notify) > 0 || r.Grace > 0)
	if !over {
		a.Verdict = VerdictGrace
		if !told.IsZero() {
			a.Due = told.Add(r.Grace.Std())
		}
	}
	return a
}

// ask evaluates the rule's condition. With a release, it does not hold while that is true, and otherwise continues to
// hold once it did.
func (r *boundRule) ask(asked *condition.Subject, held bool) (holds bool, err error) {
	if r.release != nil {
		if released, err := r.release.Answer(asked); err != nil || released {
			return false, err
		}
		if held {
			return true, nil
		}
	}
	return r.condition.Answer(asked)
}

// ruleStatements returns what a rule's answer says of its targets.
func (b *Bound) ruleStatements(a RuleAnswer, would bool) []statement {
	r := &b.rules[a.Rule]
	if !r.acts && !would {
		return nil
	}
	give, deny := effectGive, effectDeny
	switch a.Verdict {
	case VerdictUnknown:
		give, deny = effectMayGive, effectMayDeny
	case VerdictHolds, VerdictGrace:
	default:
		return nil
	}
	reason := access.Reason{Kind: access.ReasonRule, Name: r.Name}
	var all []statement
	for _, t := range r.give {
		v := statement{target: t, effect: give, reason: reason}
		if slices.Contains(r.contradictory, t) {
			v.effect = effectMayGive
		}
		all = append(all, v)
	}
	if a.Verdict != VerdictGrace && !a.tooEarly {
		for _, t := range r.deny {
			v := statement{target: t, effect: deny, reason: reason}
			if slices.Contains(r.contradictory, t) {
				v.effect = effectMayDeny
			}
			all = append(all, v)
		}
	}
	return all
}

// RecordsMatch reports whether the ledger keeps since when the rule of the answer holds.
func (b *Bound) RecordsMatch(a RuleAnswer) bool {
	r := &b.rules[a.Rule]
	return (r.After > 0 || r.Grace > 0 || len(r.Notify) > 0 || r.release != nil) && !a.Since.IsZero()
}

// Facts returns what the rules' conditions ask of a person.
func (b *Bound) Facts(p access.Person, k Known) condition.Facts {
	f := condition.Facts{
		Person: p, Granted: k.Grants, External: b.domains.external(p), SourcesKnown: b.sourcesKnown, Alike: b.Overlap,
		There: func(folded string) bool { return b.there[folded] },
	}
	f.Groups, f.Strange = make([]string, 0, len(p.GroupIDs)), p.GroupIDs == nil
	for _, id := range p.GroupIDs {
		name, known := b.names[id]
		if !known {
			f.Strange = true
			continue
		}
		if b.hidden[id] {
			continue
		}
		f.Groups = append(f.Groups, name)
		if b.synced[id] != "" {
			f.Sources = append(f.Sources, name)
		}
	}
	for _, id := range p.UnsureGroups {
		f.Unsure = append(f.Unsure, b.names[id])
	}
	f.UnsureOf = p.UnsureSources
	if k.ListsCut {
		f = f.ListsCut()
	}
	if p.Activity != nil {
		// its group is not shown, so what it opens is not known
		doubtful := slices.ContainsFunc(k.Held, func(h access.Holding) bool {
			return h.Owned && h.GroupID != "" && b.names[h.GroupID] == ""
		})
		f.Apps = make([]condition.AppUse, 0, len(p.Activity))
		for _, a := range p.Activity {
			s, shown := b.sites[a.Resource]
			if !shown {
				s.App = access.AppOf(a.Resource)
			}
			a.Never = a.Never && !doubtful // since when they could have used it is not known
			f.Apps = append(f.Apps, condition.AppUse{App: s.App, Site: s.Site, Since: b.since(s, k.Held), Activity: a})
		}
	}
	return f
}

// Ask returns what the rules' conditions are asked about: the person, as they are known at k.Now.
func (b *Bound) Ask(p access.Person, k Known) *condition.Subject {
	return b.Facts(p, k).Ask(k.Now, b.constants)
}

// since returns when Castellan gave somebody an app: the first of what it gave that they hold now and that opens it.
func (b *Bound) since(s access.Site, held []access.Holding) (since time.Time) {
	for _, h := range held {
		if h.Owned && (since.IsZero() || h.From.Before(since)) &&
			(slices.Contains(b.opens[h.GroupID], s.App+"/"+s.Site) || gaveFor(h, s)) {
			since = h.From
		}
	}
	return since
}

// gaveFor reports whether Castellan gave somebody a group for the sake of an app: it opened the app then, whatever is
// read of it now.
func gaveFor(h access.Holding, s access.Site) bool {
	return slices.ContainsFunc(h.Reasons, func(r access.Reason) bool {
		via, _ := access.ParseEntitlement(string(r.Via))
		app, site, _, ok := via.AppSiteRole()
		return ok && app == s.App && site == s.Site
	})
}

// NeedsActivity reports whether some rule asks when apps were used. Rules are asked of everybody in every sweep;
// conditions of grants and reviews are not, and do not make sweeps read more.
func (p *Policy) NeedsActivity() bool {
	asks := func(text string) bool {
		c := p.conditions[text]
		return c != nil && c.Needs.Activity
	}
	return slices.ContainsFunc(p.Rules, func(r Rule) bool { return asks(r.When) || asks(r.Release) })
}

// NeedsDomains reports whether some condition, of whatever section, asks who is from outside.
func (p *Policy) NeedsDomains() bool {
	for _, c := range p.conditions {
		if c.Needs.Outside {
			return true
		}
	}
	for i := range p.Sources {
		if p.Sources[i].Link != provision.LinkAny {
			return true
		}
	}
	return false
}
