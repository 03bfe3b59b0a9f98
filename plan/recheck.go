package plan

import (
	"slices"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
)

// GrantRecheck is a change of a grant at the moment of writing, with what was read of its person and what the ledger
// has.
type GrantRecheck struct {
	Bound   *policy.Bound
	Line    access.Change
	Person  access.Person // as read; without an ID if the directory has nobody
	Grants  []access.Grant
	Marks   []access.RuleMatch
	Rulings []access.Ruling
	Held    access.Holding // the recorded holding
	At      time.Time
}

// OldEnough is how old a recorded membership must be for its absence from a read to count: reads lag writes, those of
// roles by up to half a minute.
const OldEnough = time.Minute

// Skip ends a line without a write.
type Skip struct {
	State access.ChangeState
	Words string
	// Unknown means that an earlier attempt may have written the line: it stays open, to be removed when its grant
	// ends.
	Unknown bool
}

// Target returns the line's bound target; false if the policy does not name it any more, or the organization does not
// have it.
func (m GrantRecheck) Target() (target policy.Target, index int, known bool) {
	if index, known = m.Bound.Target(m.Line.Target); known {
		target = m.Bound.Targets[index]
	}
	return target, index, known
}

// Want returns what the policy wants of the line's target for a person. With listsCut, it treats their lists as
// truncated.
func (m GrantRecheck) Want(p access.Person, listsCut bool) policy.Want {
	_, index, known := m.Target()
	for _, want := range m.Bound.Resolve(p, policy.Known{Grants: access.InForce(m.Grants, m.At), Marks: m.Marks,
		Rulings: m.Rulings, Now: m.At, ListsCut: listsCut}).Wants {
		if known && want.Target == index {
			return want
		}
	}
	return policy.Want{}
}

// holds reports whether the read shows that the person holds the target.
func (m GrantRecheck) holds() bool {
	_, index, known := m.Target()
	if !known {
		return false
	}
	held, sure := m.Bound.Holds(m.Person, index)
	return held && sure
}

// Refuse ends an addition without a write.
func (m GrantRecheck) Refuse(state access.ChangeState, words string) *Skip {
	return &Skip{State: state, Words: words, Unknown: m.Line.State == access.Sent}
}

// GrantInForce returns the grant in force that the line is for, or an answer if there is none or its target is not
// known. It needs no read.
func (m GrantRecheck) GrantInForce() (access.Grant, *Skip) {
	for _, g := range access.InForce(m.Grants, m.At) {
		if !slices.ContainsFunc(m.Line.Reasons,
			func(r access.Reason) bool { return r.Kind == access.ReasonGrant && r.Name == g.ID }) {
			continue
		}
		if _, _, known := m.Target(); !known {
			return g, m.Refuse(access.Refused,
				"the policy no longer names it, or the organization does not show it")
		}
		return g, nil
	}
	return access.Grant{}, m.Refuse(access.Superseded, "its grant is over")
}

// Add returns the answer to an addition whose person is not eligible any more, or already holds the target. nil means
// that it is to be written, unless it depends on an absence, or somebody removed by hand what earlier grants gave.
// unfit returns which of the policy's conditions the person does not meet; "" for none.
func (m GrantRecheck) Add(grant access.Grant, unfit func() string) *Skip {
	presence := m.Line.Target == access.Directory
	switch {
	case m.Person.ID == "" && presence:
		return nil // to be invited
	case m.Person.ID == "":
		return m.Refuse(access.Refused, "the directory does not show the person")
	case !presence && !m.Person.CanReceive():
		return m.Refuse(access.Refused, "the person's account or membership is not active")
	}
	if why := unfit(); why != "" {
		return m.Refuse(access.Refused, why)
	}
	if said := m.Want(m.Person, false); len(said.Denied) > 0 {
		return m.Refuse(access.Refused, said.Denied[0].String()+" denies it")
	}
	if !m.holds() {
		return nil
	}
	if m.Line.State == access.Sent {
		return &Skip{State: access.Done, Words: "done by an earlier attempt, found on reading back"}
	}
	for _, r := range m.Held.Reasons {
		if r.Kind == access.ReasonGrant && m.Held.Owned && r.Name != grant.ID {
			return &Skip{State: access.Already, Words: "held already, by grant " + r.Name +
				": it is taken back when the last of the person's grants of it is over"}
		}
	}
	return &Skip{State: access.Already,
		Words: "held already: what was there before the grant stays when it is over"}
}

// MayBeRemovedByHand reports whether somebody may have removed by hand what only earlier grants gave: it was recorded
// long enough ago, nothing else gives it, and the policy ends such grants.
func (m GrantRecheck) MayBeRemovedByHand() bool {
	target, _, known := m.Target()
	if !known || m.Line.State == access.Sent || target.HandTaken != policy.HandTakenEnd ||
		!access.OnlyGrants(m.Held.Reasons) || m.At.Sub(m.Held.From) < OldEnough {
		return false
	}
	return !slices.ContainsFunc(m.Want(m.Person, false).Reasons, func(r access.Reason) bool {
		return r.Kind == access.ReasonMapping || r.Kind == access.ReasonRule && m.Line.Target != access.Directory
	})
}

// Removal is the result of Remove. Without an answer, the removal is to be written.
type Removal struct {
	Answer *Skip
	Keep   []access.Reason // the holding's other reasons
	Ended  *access.Holding // ended when somebody else removed it, and later added it again
}

// Remove returns the answer to a removal if the holding has another reason, or a floor forbids it. What the read does
// not show is removed nevertheless: the read may lag, and removing nothing does no harm. holders are those of a
// protected target, owner is the owner of Castellan's key.
func (m GrantRecheck) Remove(holders []access.Person, owner string) Removal {
	target, _, known := m.Target()
	if !known {
		return Removal{}
	}
	if reasons := m.Want(m.Person, false).ReasonsToHold(m.Held.Reasons); len(reasons) > 0 {
		return Removal{Keep: reasons,
			Answer: &Skip{State: access.Superseded, Words: "stays: " + reasons[0].String() + " gives it"}}
	}
	if m.Held.Taken != nil && m.Held.Owned && m.holds() {
		over := m.Held
		over.Until = m.Held.Taken.At
		return Removal{Ended: &over,
			Answer: &Skip{State: access.Superseded, Words: "stays: someone else removed it and gave it again"}}
	}
	subject := m.Person
	if subject.ID == "" {
		subject = access.Person{ID: m.Line.Person, Email: m.Line.Email}
	}
	if no := Floor(target, holders, subject, owner); no != nil {
		return Removal{Answer: &Skip{State: access.Refused, Words: no.Error()}}
	}
	return Removal{}
}

// DependsOnGrants reports whether a line may become moot (see WhyMoot): a removal of what somebody may hold by a grant,
// or an addition of what grants alone give.
func DependsOnGrants(p *policy.Policy, c access.Change) bool {
	return len(p.Grants) > 0 && !access.HasKind(c.Reasons, access.ReasonUndo) &&
		(c.Action != access.Add || access.OnlyGrants(c.Reasons))
}

// WhyMoot returns why a line is moot because a grant began or ended after it was planned: a removal of what a grant
// now gives, or an addition of what only ended grants gave; "" if it is not.
func WhyMoot(b *policy.Bound, p *policy.Policy, c access.Change, grants []access.Grant, rulings []access.Ruling,
	at time.Time) string {
	target, known := b.Target(c.Target)
	if known {
		if giving := GrantsGiving(b, grants, target, at); len(giving) > 0 {
			if c.Action == access.Remove && !denied(b, p, c, target, rulings, at) {
				return "grant " + giving[0].ID + " gives it now"
			}
			return ""
		}
	}
	if c.Action == access.Add {
		return "the grant that gave it is over"
	}
	return ""
}

// denied reports whether a rule or a review denies what a line removes, which overrides grants.
func denied(b *policy.Bound, p *policy.Policy, c access.Change, target int, rulings []access.Ruling,
	at time.Time) bool {
	means := func(e access.Entitlement) bool { return slices.Contains(b.AllTargets(e), target) }
	if slices.ContainsFunc(rulings, func(r access.Ruling) bool {
		return r.Verdict == access.VerdictRemove && r.InForce(at) && means(r.Target)
	}) {
		return true
	}
	return slices.ContainsFunc(p.Rules, func(r policy.Rule) bool {
		said := slices.ContainsFunc(c.Reasons,
			func(reason access.Reason) bool { return reason.Kind == access.ReasonRule && reason.Name == r.Name })
		return said && (c.Target.Presence() && (r.Suspend || r.Remove) || slices.ContainsFunc(r.Deny, means))
	})
}
