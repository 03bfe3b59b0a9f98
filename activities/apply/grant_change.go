package apply

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/plan"
	"github.com/castellan-io/castellan/policy"
)

// grantChange is a grant's change at the moment of writing: all that one read shows, held against the ledger.
type grantChange struct {
	*Session
	run    string
	bound  *policy.Bound
	target policy.Target
	index  int // of the target; -1 when the policy does not know it any more
	line   access.Change
	grants []access.Grant // of the person, in force
	marks  []access.Mark  // of the person

	rulings []access.Ruling // likewise
	held    access.Holding  // what the books say of the person and the target
	person  access.Person   // as read; without an ID when the directory does not show anybody
}

// grantPatience is how long the calls of one attempt may take: others wait for their turn behind a call that hangs.
const grantPatience = 10 * time.Second

// applyGrant makes one change of a grant. The read comes before the line is marked as being written: so a line that is
// marked was not held when its write began, and what is held then is of our making.
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
	if id != "" && id != line.Person { // somebody was invited, and has an account id now
		if err := s.Ledger.Arrived(ctx, s.Org, line.Person, id, s.Now()); err != nil {
			return ChangeResult{}, err
		}
		line.Person = id
	}
	return s.settle(ctx, in.Run, line, err)
}

// recheck decides a grant's line anew from what is read at this moment. An answer ends the line without a write; none
// says that it is to be written.
//
// Calls: one read, whichever way it is: of the person, or, where something is taken from a protected target, of those
// who hold it.
func (s *Session) recheck(ctx context.Context, run string, line *access.Change) (*ChangeResult, error) {
	l := grantChange{Session: s, run: run, line: *line, index: -1}
	var err error
	if l.bound, err = s.BoundOf(ctx, run); err != nil {
		return nil, err
	}
	if i, known := l.bound.Target(line.Target); known {
		l.index, l.target = i, l.bound.Targets[i]
	}
	states, err := s.Ledger.States(ctx, s.Org, []string{line.Person}, s.Now())
	if err != nil {
		return nil, err
	}
	for _, g := range states[line.Person].Grants {
		if g.InForce(s.Now()) {
			l.grants = append(l.grants, g)
		}
	}
	l.marks, l.rulings = states[line.Person].Marks, states[line.Person].Rulings
	for _, h := range states[line.Person].Holdings {
		if h.Target == line.Target {
			l.held = h
		}
	}
	if line.Action == access.Remove {
		return l.recheckRemove(ctx)
	}
	if err := s.doubt(ctx, run, line); err != nil {
		return nil, err
	}
	l.line = *line
	return l.recheckAdd(ctx, line)
}

// recheckAdd answers an add whose grant is over, whose person is not fit for it any more, or who holds the target
// already.
func (l *grantChange) recheckAdd(ctx context.Context, line *access.Change) (*ChangeResult, error) {
	i := slices.IndexFunc(l.grants, func(g access.Grant) bool {
		return slices.ContainsFunc(line.Reasons,
			func(r access.Reason) bool { return r.Kind == access.ReasonGrant && r.Name == g.ID })
	})
	if i < 0 {
		return l.refuseAdd(ctx, access.Superseded, "its grant is over")
	}
	if l.index < 0 {
		return l.refuseAdd(ctx, access.Refused,
			"the policy does not name it any more, or the organization does not show it")
	}
	if err := l.read(ctx); err != nil {
		return nil, err
	}
	presence := l.line.Target == access.Directory
	switch {
	case l.person.ID == "" && !presence:
		return l.refuseAdd(ctx, access.Refused, "the directory does not show the person")
	case l.person.ID == "":
		return nil, nil // to be invited
	case presence && l.person.ID != line.Person:
		if err := l.Ledger.Arrived(ctx, l.Org, line.Person, l.person.ID, l.Now()); err != nil {
			return nil, err
		}
		line.Person, l.line.Person = l.person.ID, l.person.ID
	}
	if !presence && !l.person.CanReceive() {
		return l.refuseAdd(ctx, access.Refused, "the person's account or membership is not active")
	}
	if err := l.eligible(ctx, l.grants[i].Target); err != nil {
		return l.refuseAdd(ctx, access.Refused, session.ErrorText(err))
	}
	if said := l.said(); len(said.Denied) > 0 {
		return l.refuseAdd(ctx, access.Refused, said.Denied[0].String()+" denies it")
	}
	if held, known := l.bound.Holds(l.person, l.index); !known || !held {
		doubted, err := l.hangsOnDoubt(ctx, l.grants[i].Target)
		switch {
		case err != nil:
			return nil, err
		case doubted:
			return l.refuseAdd(ctx, access.Refused, DoubtfulAbsence)
		}
		return l.takenBefore(ctx)
	}
	if l.line.State == access.Sent {
		return l.answer(ctx, access.Done, "done by an earlier attempt, found on reading back")
	}
	for _, r := range l.held.Reasons {
		if r.Kind == access.ReasonGrant && l.held.Owned && r.Name != l.grants[i].ID {
			return l.answer(ctx, access.Already,
				"held already, by grant "+r.Name+
					": it is taken back when the last of the person's grants of it is over")
		}
	}
	return l.answer(ctx, access.Already, "held already: what was there before the grant stays when it is over")
}

// refuseAdd ends an add without a write. One that an earlier attempt may have written stays open instead, for the end
// of its grant to take back.
func (l *grantChange) refuseAdd(ctx context.Context, state access.ChangeState, words string) (*ChangeResult, error) {
	if l.line.State == access.Sent {
		return nil, session.NonRetryable(session.ErrOutcomeUnknown,
			fmt.Errorf("%s; whether an earlier attempt gave it is not known", words))
	}
	return l.answer(ctx, state, words)
}

// longestSettle is how long an attempt waits for the second look at most.
const longestSettle = 20 * time.Second

// takenBefore ends the earlier grants whose access somebody took by hand before this one gives the same: what is given
// now is this one's alone, and goes with it. An extension of what was taken by hand ends with it. As everywhere, that
// needs several reads, some time after a first one.
//
// Calls: none, unless the books say that earlier grants alone gave it a minute ago or more; then as many as over makes.
func (l *grantChange) takenBefore(ctx context.Context) (*ChangeResult, error) {
	if l.line.State == access.Sent || l.target.HandTaken != policy.HandTakenEnd || !access.OnlyGrants(l.held.Reasons) ||
		l.Now().Sub(l.held.From) < OldEnough {
		return nil, nil
	}
	for _, r := range l.said().Reasons {
		if r.Kind == access.ReasonMapping || r.Kind == access.ReasonRule && l.line.Target != access.Directory {
			return nil, nil // that gives it back in any case
		}
	}
	earlier := access.Unseen{Holding: l.held}
	for _, g := range l.grants {
		gave, err := l.gave(ctx, g)
		if err != nil {
			return nil, err
		}
		if gave {
			earlier.Grants = append(earlier.Grants, g.ID)
		}
	}
	if len(earlier.Grants) == 0 {
		return nil, nil
	}
	if wait := min(l.Policy.Guard.Settle.Std(), longestSettle) - l.Now().Sub(l.line.At); wait > 0 {
		return nil, session.Benign(wait,
			fmt.Errorf("%s: the directory does not show what grant %s gave: it is looked at once more before more is given", l.line.Label(), earlier.Grants[0]))
	}
	e := EndedMemberships{Session: l.Session, Binding: l.bound, Run: l.run}
	if _, err := e.Close(ctx, []access.Unseen{earlier}); err != nil || e.Result.Grants == 0 {
		return nil, err
	}
	for _, r := range l.line.Reasons { // an extension of what was taken ended with it
		g, err := l.Ledger.Grant(ctx, l.Org, r.Name)
		if err != nil && !errors.Is(err, ledger.ErrNotFound) {
			return nil, err
		}
		if err == nil && g.InForce(l.Now()) {
			return nil, nil
		}
	}
	return l.refuseAdd(ctx, access.Superseded, "its grant is over")
}

// gave reports whether the grant, or one that it extends, is on the books as a reason for what is held.
func (l *grantChange) gave(ctx context.Context, g access.Grant) (bool, error) {
	for n := 0; ; n++ {
		is := func(r access.Reason) bool { return r.Kind == access.ReasonGrant && r.Name == g.ID }
		if slices.ContainsFunc(l.held.Reasons, is) {
			return true, nil
		}
		if g.Renews == "" || n == session.MostRenewals {
			return false, nil
		}
		former, err := l.Ledger.Grant(ctx, l.Org, g.Renews)
		if errors.Is(err, ledger.ErrNotFound) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		g = former
	}
}

// eligible holds the person against the policy's conditions once more: time may have passed since the request.
func (l *grantChange) eligible(ctx context.Context, target access.Entitlement) error {
	terms := l.Policy.Within(l.bound)
	if !terms.Conditional(target) {
		return nil
	}
	f, err := l.FactsOf(ctx, l.person)
	if err != nil {
		return err
	}
	return terms.Eligible(target, f, l.Now())
}

// hangsOnDoubt reports whether the person may receive the target only because a read shows them in no group that a rule
// denies it for, or that a condition excepts, and another search does not say the same.
func (l *grantChange) hangsOnDoubt(ctx context.Context, target access.Entitlement) (bool, error) {
	sure := l.saidOf(l.person, true)
	one, hangs, err := l.EligibleByAbsence(ctx, l.Policy.Within(l.bound), l.person, target)
	if err != nil || !hangs && len(sure.Barred)+len(sure.Denied) == 0 {
		return false, err
	}
	eligible := one.stands
	one.groups, one.roles = session.EachOnce(append(one.groups, l.bound.AskedFor(l.index)...)), one.roles ||
		l.bound.AsksRoles()
	one.apps = l.bound.AsksApps(l.index)
	one.stands = func(p access.Person) bool {
		said := l.saidOf(p, false)
		return (eligible == nil || eligible(p)) && len(said.Denied)+len(said.Barred) == 0
	}
	doubted, err := l.Doubted(ctx, l.bound, []Absence{one})
	return doubted[one.Person.ID], err
}

// recheckRemove answers a removal for which a reason stands, or which a floor forbids. What the read does not show is
// removed all the same: the read may lag, and removing what is not there does no harm.
func (l *grantChange) recheckRemove(ctx context.Context) (*ChangeResult, error) {
	protected := l.index >= 0 && l.target.Protected != nil
	var holders []access.Person
	var err error
	if protected {
		if holders, err = l.holders(ctx); err != nil {
			return nil, err
		}
	}
	// nothing but a grant gives the others
	if l.person.ID == "" && (l.target.GroupID != "" || l.line.Target == access.OrgAdmin) {
		if err := l.read(ctx); err != nil {
			return nil, err
		}
	}
	if l.index >= 0 {
		if err := l.ResolveDoubtful(ctx, l.bound, l.person); err != nil {
			return nil, err
		}
		if reasons := l.said().ReasonsToHold(l.held.Reasons); len(reasons) > 0 {
			return l.keep(ctx, reasons)
		}
	}
	if given, err := l.givenSince(ctx); given || err != nil {
		if err != nil {
			return nil, err
		}
		return l.answer(ctx, access.Superseded, "stays: somebody else took it and gave it again")
	}
	if !protected {
		return nil, nil
	}
	subject := l.person
	if subject.ID == "" {
		subject = access.Person{ID: l.line.Person, Email: l.line.Email}
	}
	if no := plan.Floor(l.target, holders, subject, l.Policy.Organization.KeyOwner); no != nil {
		return l.answer(ctx, access.Refused, no.Error())
	}
	return nil, nil
}

// givenSince reports whether somebody else took what is to be taken, as the event feed says, and the read shows it all
// the same: then it is theirs who gave it since. The holding ends.
func (l *grantChange) givenSince(ctx context.Context) (bool, error) {
	if l.held.Taken == nil || !l.held.Owned || l.index < 0 {
		return false, nil
	}
	if held, known := l.bound.Holds(l.person, l.index); !held || !known {
		return false, nil
	}
	over := l.held
	over.Until = l.held.Taken.At
	page := ledger.Page{Key: "given since " + l.line.Person, Ended: []access.Holding{over}}
	return true, l.Ledger.SavePage(ctx, l.Org, l.run, page, l.Now())
}

// said is what the policy says of the target for the person as read.
func (l *grantChange) said() policy.Want { return l.saidOf(l.person, false) }

func (l *grantChange) saidOf(p access.Person, listsCut bool) policy.Want {
	for _, want := range l.bound.Resolve(p,
		policy.Known{Grants: l.grants, Marks: l.marks, Rulings: l.rulings, Now: l.Now(), ListsCut: listsCut}).Wants {
		if want.Target == l.index {
			return want
		}
	}
	return policy.Want{}
}

// keep ends a removal for which a reason stands, and notes that reason.
func (l *grantChange) keep(ctx context.Context, reasons []access.Reason) (*ChangeResult, error) {
	h, err := l.Ledger.Holding(ctx, l.Org, l.line.Person, l.line.Target)
	if err == nil {
		h.Reasons, h.Run, h.From = reasons, l.run, l.Now()
		err = l.Ledger.SavePage(ctx, l.Org, l.run, ledger.Page{Key: "keep " + l.line.Person, Open: []access.Holding{h}},
			l.Now())
	}
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return nil, err
	}
	return l.answer(ctx, access.Superseded, "stays: "+reasons[0].String()+" gives it")
}

func (l *grantChange) answer(ctx context.Context, state access.ChangeState, words string) (*ChangeResult, error) {
	result, err := l.end(ctx, l.run, l.line, state, words)
	return &result, err
}

// read reads the person, with what the target needs.
func (l *grantChange) read(ctx context.Context) error {
	if app := l.target.Resource; app != "" && !l.Policy.Within(l.bound).Conditional(l.line.Target) {
		p, err := l.AppRoles(ctx, access.Person{ID: l.line.Person, Email: l.line.Email}, l.target)
		l.person = p
		return err
	}
	q := organization.UserQuery{Limit: 1, Expand: l.Expand(), AccountIDs: []string{l.line.Person}}
	if session.IsEmail(l.line.Person) {
		q.AccountIDs, q.Emails = nil, access.AddressForms(l.line.Person)
	}
	found, err := l.Search(ctx, q)
	if err != nil || len(found) == 0 {
		return err
	}
	l.person = found[0]
	if l.target.Resource != "" {
		l.person, err = l.AppRoles(ctx, found[0], l.target)
	}
	return err
}

// holders reads who holds a protected target, until the person is found among enough others.
func (l *grantChange) holders(ctx context.Context) ([]access.Person, error) {
	q := organization.UserQuery{Limit: session.PageSize, Expand: l.Expand(), GroupIDs: []string{l.target.GroupID}}
	if l.target.GroupID == "" {
		q.GroupIDs, q.RoleIDs = nil, []string{access.RoleOrgAdmin}
	}
	gone, err := l.Ledger.RemovedSince(ctx, l.Org, l.line.Target, l.Now().Add(-lagOfRemovals))
	if err != nil {
		return nil, err
	}
	var holders []access.Person
	active := 0
	err = l.EachPerson(ctx, "read who holds "+string(l.line.Target), q, func(page []organization.User) (bool, error) {
		for _, p := range session.People(page) {
			switch {
			case p.ID == l.line.Person:
				l.person = p
			case !gone[p.ID]:
				holders = append(holders, p)
				if p.CanReceive() {
					active++
				}
			}
		}
		return l.person.ID == "" || active < l.target.Protected.Minimum, nil
	})
	return holders, err
}

// present invites or restores somebody, and returns the account id.
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

// lineOf is the line to write; of somebody whom it named by address before an earlier attempt brought them in, the line
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

// appRole gives or takes an app role without a group.
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
