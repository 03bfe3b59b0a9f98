package plan

import (
	"slices"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
)

// BelievesMembers reports whether reads of a group may be believed that no longer show all its members: had is how many
// it had at the last read that was, kept how many of these it still shows, met how many members it shows in all, and
// counted how many the directory counts (-1: unknown). Unlike for source groups, the limit holds for groups of any
// size: to doubt costs nothing but former members that a restore offers to add again.
func BelievesMembers(limit policy.SourceLimit, had, kept, met, counted int) bool {
	lost := had - kept
	return !limit.Share.Exceeded(lost, had) && (lost <= 0 || counted <= met)
}

// Readmission is somebody who was in a lost group, before they are added to the restored one.
type Readmission struct {
	Bound  *policy.Bound // to an outline that has the group
	Group  string        // its name
	Person access.Person // as read; without an ID if the directory has nobody
	Known  policy.Known
}

// Refuse returns why the person is not to be added; "" if nothing speaks against it. A restore gives back what was
// there, and nothing that a rule or a review denies by now.
func (r Readmission) Refuse() string {
	switch {
	case r.Person.ID == "":
		return "they are no longer in the organization"
	case r.Person.IsApp():
		return "it is an app: it is added by whoever installs it"
	case r.Person.AccountStatus != "" && r.Person.AccountStatus != "active":
		return "their account is " + r.Person.AccountStatus
	case r.Person.MembershipStatus == "suspended":
		return "they are suspended"
	case !r.Person.CanReceive():
		return "their membership of the directory is " + r.Person.MembershipStatus
	}
	if slices.ContainsFunc(r.Known.Rulings, func(ruling access.Ruling) bool {
		return ruling.Verdict == access.VerdictRemove && ruling.InForce(r.Known.Now) &&
			access.SameName(ruling.Target.Group(), r.Group)
	}) {
		return "a review decided that they are not to be in it"
	}
	target, managed := r.Bound.Target(access.GroupEntitlement(r.Group))
	if !managed {
		return ""
	}
	for _, want := range r.Bound.Resolve(r.Person, r.Known).Wants {
		switch {
		case want.Target != target:
		case len(want.Denied) > 0:
			return want.Denied[0].String() + " denies it"
		case len(want.Barred) > 0:
			return "whether " + want.Barred[0].String() + " denies it is not known now"
		}
	}
	return ""
}

// AtMost returns the maximum of holders that the policy has for a group; 0: none.
func (r Readmission) AtMost() int {
	i, managed := r.Bound.Target(access.GroupEntitlement(r.Group))
	if !managed || r.Bound.Targets[i].Protected == nil {
		return 0
	}
	return r.Bound.Targets[i].Protected.Maximum
}

// KnownOf returns what a decision about a person takes from the ledger.
func KnownOf(state State, now time.Time) policy.Known {
	return policy.Known{Grants: access.InForce(state.Grants, now), Held: state.Holdings, Marks: state.Marks,
		Rulings: state.Rulings, Now: now}
}
