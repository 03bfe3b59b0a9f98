package review

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/castellan-io/castellan/access"
)

// Why a decision on a grant is refused. With ErrTooLate, the grant ends as expired; with the others, it does not
// change.
var (
	ErrTooLate          = errors.New("the time to decide is over")
	ErrNotApprover      = errors.New("only the approvers that the request names may decide")
	ErrSelf             = errors.New("nobody may decide on a grant for themselves, or on one that they requested")
	ErrRequesterUnknown = errors.New("it is not known which account requested it, so it might be the approver's: have it requested again")
	ErrInRow            = errors.New("grants one after the other would be held for longer than the policy allows; approve it after a break, or deny it")
)

// CooldownError reports that a grant would begin too soon after another of the person's, or end too soon before one.
type CooldownError struct {
	Rest  access.Duration // required between two grants
	Other access.Grant
}

func (e *CooldownError) Error() string {
	return fmt.Sprintf("there must be %s between two grants, and grant %s is in force from %s to %s",
		e.Rest, e.Other.ID, e.Other.From.Format(time.RFC3339), e.Other.Until.Format(time.RFC3339))
}

// Expired reports whether a grant's approval deadline has passed.
func Expired(g access.Grant, at time.Time) bool {
	return g.State == access.GrantWaiting && !g.ApprovalDeadline.IsZero() && !at.Before(g.ApprovalDeadline)
}

// HasDecided reports whether an approver has already made this decision.
func HasDecided(g access.Grant, by string, approve bool) bool {
	if !approve {
		return g.State == access.GrantDenied && g.ClosedBy == by
	}
	return slices.ContainsFunc(g.Approvals, func(a access.Approval) bool { return a.By == by })
}

// MayDecide returns why somebody may not decide on a waiting grant, or nil. People are compared by account id only. An
// old request may name its requester by an address that nobody has any more: then nobody may approve it.
func MayDecide(g access.Grant, by string, approve, requesterKnown bool) error {
	switch {
	case by == "" || by == g.Person || by == g.By:
		return ErrSelf
	case !slices.Contains(g.Approvers, by) || access.IsAddress(by):
		return ErrNotApprover
	case approve && !requesterKnown:
		return ErrRequesterUnknown
	}
	return nil
}

// Deny denies a waiting grant.
func Deny(g access.Grant, by, why string) access.Grant {
	g.State, g.ClosedBy, g.ClosedWhy = access.GrantDenied, by, why
	return g
}

// Approve adds an approval to a grant, and begins it if that was the last one needed. Approvals recorded by address,
// rather than account id, do not count.
func Approve(g access.Grant, a access.Approval) access.Grant {
	g.Approvals = append(slices.Clone(g.Approvals), a)
	by := map[string]bool{}
	for _, a := range g.Approvals {
		if !access.IsAddress(a.By) {
			by[a.By] = true
		}
	}
	if len(by) >= g.Needs {
		return Begin(g, a.At)
	}
	return g
}

// Begin grants it, from at or its later start on.
func Begin(g access.Grant, at time.Time) access.Grant {
	g.State, g.From = access.GrantGranted, at
	if g.Start.After(at) {
		g.From = g.Start
	}
	g.Until = g.From.Add(g.Duration.Std())
	return g
}

// LookBack returns how long before a grant's beginning a grant may have ended that still matters to Limit.
func LookBack(g access.Grant) time.Duration {
	reach := g.Rest.Std()
	if g.MostInRow > 0 {
		reach = max(reach, access.ConsecutiveReach(g.MostInRow))
	}
	return reach
}

// Limit shortens a grant that begins, if others of the target approved meanwhile adjoin it and together exceed
// MostInRow. It returns an error if nothing is left of it, or if it violates the rest before or after another.
func Limit(g access.Grant, others []access.Grant) (access.Grant, error) {
	if g.MostInRow > 0 {
		room := access.ConsecutiveRoom(g.From, g.MostInRow, others).Truncate(time.Second)
		if room < time.Second {
			return g, fmt.Errorf("%w: %s at most", ErrInRow, g.MostInRow)
		}
		if room < g.Duration.Std() {
			g.Duration, g.Until = access.Duration(room), g.From.Add(room)
			g.Limit = fmt.Sprintf("no more is left of %s in a row", g.MostInRow)
		}
	}
	for _, other := range others {
		if g.Rest > 0 && other.WithinCooldown(g.From, g.Until, g.Rest.Std()) {
			return g, &CooldownError{g.Rest, other}
		}
	}
	return g, nil
}
