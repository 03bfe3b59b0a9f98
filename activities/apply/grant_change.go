package apply

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/plan"
	"github.com/castellan-io/castellan/policy"
)

// grantChange is a grant's change at the moment of writing: what is read for it, and recorded.
type grantChange struct {
	*Session
	plan.GrantRecheck
	run    string
	target policy.Target // zero if the policy no longer has it
}

// grantPatience limits the calls of one attempt: others wait behind a call that hangs.
const grantPatience = 10 * time.Second

// applyGrant makes one change of a grant. The read comes before the line is marked as being written: so if a marked
// line was not held when its write began and is held now, we made it.
func (s *Session) applyGrant(ctx context.Context, in ChangeInput) (ChangeResult, error) {
	line, err := s.lineOf(ctx, in)
	if err != nil {
		return ChangeResult{}, err
	}
	if !line.State.Open() {
		return ChangeResult{State: line.State, Answer: line.Answer}, nil
	}
	calls, cancel := context.WithTimeout(ctx, grantPatience)
	defer cancel()
	answer, err := s.recheck(calls, in.Run, &line)
	if err != nil {
		return ChangeResult{}, session.WrapAPIError("check before writing: "+line.Label(), err)
	}
	if answer != nil {
		return *answer, nil
	}
	if _, err := s.Ledger.BeginChange(ctx, in.Org, in.Run, line.Person, in.Target, s.Now()); err != nil {
		return ChangeResult{}, err
	}
	id, err := s.write(calls, in.Run, line)
	if id != "" && id != line.Person { // somebody was invited, and has an account ID now
		if err := s.Ledger.RecordArrival(ctx, s.Org, line.Person, id, s.Now()); err != nil {
			return ChangeResult{}, err
		}
		line.Person = id
	}
	return s.settle(ctx, in.Run, line, err)
}

// recheck decides a grant's line again from what is read at this moment. A result ends the line without a write; nil
// means that it is to be written.
//
// Calls: one read: of the person or, to remove something from a protected target, of its holders.
func (s *Session) recheck(ctx context.Context, run string, line *access.Change) (*ChangeResult, error) {
	b, err := s.BoundOf(ctx, run)
	if err != nil {
		return nil, err
	}
	states, err := s.Ledger.States(ctx, s.Org, []string{line.Person}, s.Now())
	if err != nil {
		return nil, err
	}
	state := states[line.Person]
	l := grantChange{Session: s, run: run, GrantRecheck: plan.GrantRecheck{Bound: b, Line: *line, At: s.Now(),
		Grants: access.InForce(state.Grants, s.Now()), Marks: state.Marks, Rulings: state.Rulings}}
	l.target, _, _ = l.Target()
	for _, h := range state.Holdings {
		if h.Target == line.Target {
			l.Held = h
		}
	}
	if line.Action == access.Remove {
		return l.recheckRemove(ctx)
	}
	if err := s.doubt(ctx, run, line); err != nil {
		return nil, err
	}
	l.Line = *line
	return l.recheckAdd(ctx, line)
}

// recheckAdd ends an add whose grant is over, whose person is no longer eligible, or who holds the target already.
func (l *grantChange) recheckAdd(ctx context.Context, line *access.Change) (*ChangeResult, error) {
	grant, answer := l.GrantInForce()
	if answer != nil {
		return l.answer(ctx, answer)
	}
	if err := l.read(ctx); err != nil {
		return nil, err
	}
	if id := l.Person.ID; id != "" && id != line.Person && l.Line.Target == access.Directory {
		if err := l.Ledger.RecordArrival(ctx, l.Org, line.Person, id, l.Now()); err != nil {
			return nil, err
		}
		line.Person, l.Line.Person = id, id
	}
	answer = l.Add(grant, func() string {
		if err := l.eligible(ctx, grant.Target); err != nil {
			return cmp.Or(session.ErrorText(err), "it is not known whether the person is eligible")
		}
		return ""
	})
	if answer != nil || l.Person.ID == "" {
		return l.answer(ctx, answer)
	}
	doubted, err := l.hangsOnDoubt(ctx, grant.Target)
	switch {
	case err != nil:
		return nil, err
	case doubted:
		return l.answer(ctx, l.Refuse(access.Refused, DoubtfulAbsence))
	}
	return l.takenBefore(ctx)
}

// answer ends the line without a write, if there is an answer. An addition that an earlier attempt may have written
// stays open instead, for the end of its grant to remove.
func (l *grantChange) answer(ctx context.Context, a *plan.Skip) (*ChangeResult, error) {
	if a == nil {
		return nil, nil
	}
	if a.Unknown {
		return nil, session.NonRetryable(session.ErrOutcomeUnknown,
			fmt.Errorf("%s; whether an earlier attempt gave it is not known", a.Words))
	}
	result, err := l.end(ctx, l.run, l.Line, a.State, a.Words)
	return &result, err
}

// longestSettle limits how long an attempt waits for the second look.
const longestSettle = 20 * time.Second

// takenBefore ends the earlier grants whose access somebody removed by hand before this one gives the same: what is
// given now belongs to this one alone, and ends with it. An extension of what was removed by hand ends with it. As
// everywhere, that needs several reads, some time after a first one.
//
// Calls: none, unless according to the ledger earlier grants alone gave it a minute ago or more; then those of over.
func (l *grantChange) takenBefore(ctx context.Context) (*ChangeResult, error) {
	if !l.MayBeRemovedByHand() {
		return nil, nil
	}
	earlier := access.MissingHolding{Holding: l.Held}
	for _, g := range l.Grants {
		before, err := l.renewed(ctx, g)
		if err != nil {
			return nil, err
		}
		if plan.HeldByGrant(l.Held, g.ID, before) {
			earlier.Grants = append(earlier.Grants, g.ID)
		}
	}
	if len(earlier.Grants) == 0 {
		return nil, nil
	}
	if wait := min(l.Policy.Guard.Settle.Std(), longestSettle) - l.Now().Sub(l.Line.At); wait > 0 {
		return nil, session.Benign(wait,
			fmt.Errorf("%s: the directory does not show what grant %s gave: it is looked at once more before more is given", l.Line.Label(), earlier.Grants[0]))
	}
	e := EndedMemberships{Session: l.Session, Binding: l.Bound, Run: l.run}
	if _, err := e.Close(ctx, []access.MissingHolding{earlier}); err != nil || e.Result.Grants == 0 {
		return nil, err
	}
	for _, r := range l.Line.Reasons { // an extension of what was removed ended with it
		g, err := l.Ledger.Grant(ctx, l.Org, r.Name)
		if err != nil && !errors.Is(err, ledger.ErrNotFound) {
			return nil, err
		}
		if err == nil && g.InForce(l.Now()) {
			return nil, nil
		}
	}
	return l.answer(ctx, l.Refuse(access.Superseded, "its grant is over"))
}

// renewed returns the grant, and those that it extends.
func (l *grantChange) renewed(ctx context.Context, g access.Grant) ([]access.Grant, error) {
	all := []access.Grant{g}
	for g.Renews != "" && len(all) <= session.MostRenewals {
		former, err := l.Ledger.Grant(ctx, l.Org, g.Renews)
		if errors.Is(err, ledger.ErrNotFound) {
			break
		}
		if err != nil {
			return nil, err
		}
		all, g = append(all, former), former
	}
	return all, nil
}

// eligible checks the person against the policy's conditions again: time may have passed since the request.
func (l *grantChange) eligible(ctx context.Context, target access.Entitlement) error {
	terms := l.Policy.BoundTo(l.Bound)
	if !terms.Conditional(target) {
		return nil
	}
	f, err := l.FactsOf(ctx, l.Person)
	if err != nil {
		return err
	}
	return terms.Eligible(target, f, l.Now())
}

// hangsOnDoubt reports whether the person may receive the target only because a read shows them outside a group that a
// rule denies it for, or that a condition excludes, while another search does not confirm that.
func (l *grantChange) hangsOnDoubt(ctx context.Context, target access.Entitlement) (bool, error) {
	eligible, hangs, err := l.EligibleByAbsence(ctx, l.Policy.BoundTo(l.Bound), l.Person, target)
	if err != nil {
		return false, err
	}
	one, hangs := l.Absence(eligible, hangs)
	if !hangs {
		return false, nil
	}
	doubted, err := l.Doubted(ctx, l.Bound, []plan.Absence{one})
	return doubted[one.Person.ID], err
}

// recheckRemove ends a removal for which there is a reason to keep the access, or which a floor forbids. What the read
// does not show is removed all the same: the read may lag, and removing it again does no harm.
func (l *grantChange) recheckRemove(ctx context.Context) (*ChangeResult, error) {
	_, _, known := l.Target()
	var holders []access.Person
	var err error
	if l.target.Protected != nil {
		if holders, err = l.holders(ctx); err != nil {
			return nil, err
		}
	}
	// only grants give the others
	if l.Person.ID == "" && (l.target.GroupID != "" || l.Line.Target == access.OrgAdmin) {
		if err := l.read(ctx); err != nil {
			return nil, err
		}
	}
	if known {
		if err := l.ResolveDoubtful(ctx, l.Bound, l.Person); err != nil {
			return nil, err
		}
	}
	r := l.Remove(holders, l.Policy.Organization.KeyOwner)
	if err := l.note(ctx, r); err != nil {
		return nil, err
	}
	return l.answer(ctx, r.Answer)
}

// note records the holding after a removal that is not made.
func (l *grantChange) note(ctx context.Context, r plan.Removal) error {
	if r.Ended != nil {
		page := ledger.Page{Key: "given since " + l.Line.Person, Ended: []access.Holding{*r.Ended}}
		return l.Ledger.SavePage(ctx, l.Org, l.run, page, l.Now())
	}
	if len(r.Keep) == 0 {
		return nil
	}
	h, err := l.Ledger.Holding(ctx, l.Org, l.Line.Person, l.Line.Target)
	if errors.Is(err, ledger.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	h.Reasons, h.Run, h.From = r.Keep, l.run, l.Now()
	return l.Ledger.SavePage(ctx, l.Org, l.run, ledger.Page{Key: "keep " + l.Line.Person, Open: []access.Holding{h}},
		l.Now())
}

// read reads the person, with what the target needs.
func (l *grantChange) read(ctx context.Context) error {
	if app := l.target.Resource; app != "" && !l.Policy.BoundTo(l.Bound).Conditional(l.Line.Target) {
		p, err := l.AppRoles(ctx, access.Person{ID: l.Line.Person, Email: l.Line.Email}, l.target)
		l.Person = p
		return err
	}
	q := organization.UserQuery{Limit: 1, Expand: l.Expand(), AccountIDs: []string{l.Line.Person}}
	if session.IsEmail(l.Line.Person) {
		q.AccountIDs, q.Emails = nil, access.AddressForms(l.Line.Person)
	}
	found, err := l.Search(ctx, q)
	if err != nil || len(found) == 0 {
		return err
	}
	l.Person = found[0]
	if l.target.Resource != "" {
		l.Person, err = l.AppRoles(ctx, found[0], l.target)
	}
	return err
}

// holders reads the holders of a protected target, until the person is found among enough others.
func (l *grantChange) holders(ctx context.Context) ([]access.Person, error) {
	q := organization.UserQuery{Limit: session.PageSize, Expand: l.Expand(), GroupIDs: []string{l.target.GroupID}}
	if l.target.GroupID == "" {
		q.GroupIDs, q.RoleIDs = nil, []string{access.RoleOrgAdmin}
	}
	gone, err := l.Ledger.RemovedSince(ctx, l.Org, l.Line.Target, l.Now().Add(-lagOfRemovals))
	if err != nil {
		return nil, err
	}
	var holders []access.Person
	active := 0
	err = l.EachPerson(ctx, "read who holds "+string(l.Line.Target), q, func(page []organization.User) (bool, error) {
		people, err := l.People(ctx, page)
		if err != nil {
			return false, err
		}
		for _, p := range people {
			switch {
			case p.ID == l.Line.Person:
				l.Person = p
			case !gone[p.ID]:
				holders = append(holders, p)
				if p.CanReceive() {
					active++
				}
			}
		}
		return l.Person.ID == "" || active < l.target.Protected.Minimum, nil
	})
	return holders, err
}

// present invites or restores somebody, and returns the account ID.
func (s *Session) present(ctx context.Context, c access.Change) (string, error) {
	if !session.IsEmail(c.Person) {
		return c.Person, s.writer().RestoreUser(ctx, s.Directory, c.Person)
	}
	invited, err := s.writer().Invite(ctx, organization.Invitation{Email: c.Person})
	if err != nil {
		return "", err
	}
	if invited.AccountID == "" {
		return "", fmt.Errorf("%w: the invitation of %s was answered without an account",
			organization.ErrOutcomeUnknown, c.Person)
	}
	return invited.AccountID, nil
}

// absent suspends or removes somebody, as the policy says.
func (s *Session) absent(ctx context.Context, c access.Change) error {
	if s.Policy.EndMode(access.Directory) == policy.EndRemove {
		return s.writer().RemoveUser(ctx, s.Directory, c.Person)
	}
	return s.writer().SuspendUser(ctx, s.Directory, c.Person)
}

// lineOf returns the line to write; if its person was named by address before an earlier attempt invited them, the line
// of their account.
func (s *Session) lineOf(ctx context.Context, in ChangeInput) (access.Change, error) {
	line, err := s.Ledger.Line(ctx, in.Org, in.Run, in.Person, in.Target)
	if !errors.Is(err, ledger.ErrNotFound) || !access.IsAddress(in.Person) {
		return line, err
	}
	account, missing := s.Ledger.ArrivedAs(ctx, s.Org, in.Person, in.Target)
	if missing != nil || account == "" {
		return line, cmp.Or(missing, err)
	}
	return s.Ledger.Line(ctx, in.Org, in.Run, account, in.Target)
}

// appRole gives or removes an app role without a group.
func (s *Session) appRole(ctx context.Context, run string, c access.Change) error {
	b, err := s.BoundOf(ctx, run)
	if err != nil {
		return err
	}
	i, known := b.Target(c.Target)
	if !known {
		return fmt.Errorf("%w: the organization shows no such app on such a site", organization.ErrInvalid)
	}
	t := b.Targets[i]
	if c.Action == access.Add {
		return s.writer().AssignRole(ctx, c.Person, t.Role, t.Resource)
	}
	return s.writer().RevokeRole(ctx, c.Person, t.Role, t.Resource)
}
