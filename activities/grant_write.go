package activities

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/plan"
	"github.com/castellan-io/castellan/policy"
)

// lending is a grant's change at the moment of writing: all that one read shows, held against the ledger.
type lending struct {
	*session
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

// lendPatience is how long the calls of one attempt may take: others wait for their turn behind a call that hangs.
const lendPatience = 10 * time.Second

// lend makes one change of a grant. The read comes before the line is marked as being written: so a line that is marked was
// not held when its write began, and what is held then is of our making.
func (s *session) lend(ctx context.Context, in ChangeInput) (ChangeResult, error) {
	name, err := s.nameNow(ctx, in.Person, in.Target)
	if err != nil {
		return ChangeResult{}, err
	}
	line, err := s.ledger.Line(ctx, in.Org, in.Run, name, in.Target)
	if err != nil {
		return ChangeResult{}, err
	}
	if !line.State.Open() {
		return ChangeResult{State: line.State, Answer: line.Answer}, nil
	}
	calls, cancel := context.WithTimeout(ctx, lendPatience)
	defer cancel()
	answer, err := s.stands(calls, in.Run, &line)
	if err != nil {
		return ChangeResult{}, explain("check before writing: "+line.Label(), err)
	}
	if answer != nil {
		return *answer, nil
	}
	if _, err := s.ledger.BeginChange(ctx, in.Org, in.Run, line.Person, in.Target, s.now()); err != nil {
		return ChangeResult{}, err
	}
	id, err := s.write(calls, in.Run, line)
	if id != "" && id != line.Person { // somebody was invited, and has an account id now
		if err := s.ledger.Arrived(ctx, s.org, line.Person, id, s.now()); err != nil {
			return ChangeResult{}, err
		}
		line.Person = id
	}
	return s.settle(ctx, in.Run, line, err)
}

// stands decides a grant's line anew from what is read at this moment. An answer ends the line without a write; none says
// that it is to be written.
//
// Calls: one read, whichever way it is: of the person, or, where something is taken from a protected target, of those who
// hold it.
func (s *session) stands(ctx context.Context, run string, line *access.Change) (*ChangeResult, error) {
	l := lending{session: s, run: run, line: *line, index: -1}
	var err error
	if l.bound, err = s.boundOf(ctx, run); err != nil {
		return nil, err
	}
	if i, known := l.bound.Target(line.Target); known {
		l.index, l.target = i, l.bound.Targets[i]
	}
	states, err := s.ledger.States(ctx, s.org, []string{line.Person}, s.now())
	if err != nil {
		return nil, err
	}
	for _, g := range states[line.Person].Grants {
		if g.InForce(s.now()) {
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
		return l.taking(ctx)
	}
	if err := s.doubt(ctx, run, line); err != nil {
		return nil, err
	}
	l.line = *line
	return l.giving(ctx, line)
}

// giving answers an add whose grant is over, whose person is not fit for it any more, or who holds the target already.
func (l *lending) giving(ctx context.Context, line *access.Change) (*ChangeResult, error) {
	i := slices.IndexFunc(l.grants, func(g access.Grant) bool {
		return slices.ContainsFunc(line.Reasons, func(r access.Reason) bool { return r.Kind == access.ReasonGrant && r.Name == g.ID })
	})
	if i < 0 {
		return l.no(ctx, access.Superseded, "its grant is over")
	}
	if l.index < 0 {
		return l.no(ctx, access.Refused, "the policy does not name it any more, or the organization does not show it")
	}
	if err := l.read(ctx); err != nil {
		return nil, err
	}
	presence := l.line.Target == access.Directory
	switch {
	case l.person.ID == "" && !presence:
		return l.no(ctx, access.Refused, "the directory does not show the person")
	case l.person.ID == "":
		return nil, nil // to be invited
	case presence && l.person.ID != line.Person:
		if err := l.ledger.Arrived(ctx, l.org, line.Person, l.person.ID, l.now()); err != nil {
			return nil, err
		}
		line.Person, l.line.Person = l.person.ID, l.person.ID
	}
	if !presence && !l.person.CanReceive() {
		return l.no(ctx, access.Refused, "the person's account or membership is not active")
	}
	if err := l.eligible(ctx, l.grants[i].Target); err != nil {
		return l.no(ctx, access.Refused, err.Error())
	}
	if said := l.said(); len(said.Denied) > 0 {
		return l.no(ctx, access.Refused, said.Denied[0].String()+" denies it")
	}
	if held, known := l.bound.Holds(l.person, l.index); !known || !held {
		return nil, nil
	}
	if l.line.State == access.Sent {
		return l.answer(ctx, access.Done, "done by an earlier attempt, found on reading back")
	}
	return l.answer(ctx, access.Already, "held already: what was there before the grant stays when it is over")
}

// no ends an add without a write. One that an earlier attempt may have written stays open instead, for the end of its grant to
// take back.
func (l *lending) no(ctx context.Context, state access.ChangeState, words string) (*ChangeResult, error) {
	if l.line.State == access.Sent {
		return nil, stop(ErrOutcomeUnknown, fmt.Errorf("%s; whether an earlier attempt gave it is not known", words))
	}
	return l.answer(ctx, state, words)
}

// eligible holds the person against the policy's conditions once more: time may have passed since the request.
func (l *lending) eligible(ctx context.Context, target access.Entitlement) error {
	if !l.policy.Conditional(target) {
		return nil
	}
	f, err := l.factsOf(ctx, l.person)
	if err != nil {
		return err
	}
	return l.policy.Eligible(target, f, l.now())
}

// taking answers a removal for which a reason stands, or which a floor forbids. What the read does not show is removed all
// the same: the read may lag, and removing what is not there does no harm.
func (l *lending) taking(ctx context.Context) (*ChangeResult, error) {
	protected := l.index >= 0 && l.target.Protected != nil
	var holders []access.Person
	var err error
	if protected {
		if holders, err = l.holders(ctx); err != nil {
			return nil, err
		}
	}
	if l.person.ID == "" && (l.target.GroupID != "" || l.line.Target == access.OrgAdmin) { // nothing but a grant gives the others
		if err := l.read(ctx); err != nil {
			return nil, err
		}
	}
	if l.index >= 0 {
		if err := l.resolve(ctx, l.bound, l.person); err != nil {
			return nil, err
		}
		if reasons := l.said().Standing(l.held.Reasons); len(reasons) > 0 {
			return l.keep(ctx, reasons)
		}
	}
	if !protected {
		return nil, nil
	}
	subject := l.person
	if subject.ID == "" {
		subject = access.Person{ID: l.line.Person, Email: l.line.Email}
	}
	if no := plan.Floor(l.target, holders, subject, l.policy.Organization.KeyOwner); no != nil {
		return l.answer(ctx, access.Refused, no.Error())
	}
	return nil, nil
}

// said is what the policy says of the target for the person as read.
func (l *lending) said() policy.Want {
	for _, want := range l.bound.Resolve(l.person, policy.Known{Grants: l.grants, Marks: l.marks, Rulings: l.rulings, Now: l.now()}).Wants {
		if want.Target == l.index {
			return want
		}
	}
	return policy.Want{}
}

// keep ends a removal for which a reason stands, and notes that reason.
func (l *lending) keep(ctx context.Context, reasons []access.Reason) (*ChangeResult, error) {
	h, err := l.ledger.Holding(ctx, l.org, l.line.Person, l.line.Target)
	if err == nil {
		h.Reasons, h.Run, h.From = reasons, l.run, l.now()
		err = l.ledger.SavePage(ctx, l.org, l.run, ledger.Page{Key: "keep " + l.line.Person, Open: []access.Holding{h}}, l.now())
	}
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return nil, err
	}
	return l.answer(ctx, access.Superseded, "stays: "+reasons[0].String()+" gives it")
}

func (l *lending) answer(ctx context.Context, state access.ChangeState, words string) (*ChangeResult, error) {
	result, err := l.end(ctx, l.run, l.line, state, words)
	return &result, err
}

// read reads the person, with what the target needs.
func (l *lending) read(ctx context.Context) error {
	if app := l.target.Resource; app != "" && !l.policy.Conditional(l.line.Target) {
		p, err := l.appRoles(ctx, access.Person{ID: l.line.Person, Email: l.line.Email}, l.target)
		l.person = p
		return err
	}
	q := organization.UserQuery{Limit: 1, Expand: l.expand(), AccountIDs: []string{l.line.Person}}
	if isEmail(l.line.Person) {
		q.AccountIDs, q.Emails = nil, []string{l.line.Person}
	}
	found, err := l.search(ctx, q)
	if err != nil || len(found) == 0 {
		return err
	}
	l.person = found[0]
	if l.target.Resource != "" {
		l.person, err = l.appRoles(ctx, found[0], l.target)
	}
	return err
}

// appRoles adds the target's role to a person who was given it directly. An API that does not say how a role was given is
// taken to say directly: what was there before a grant is then never taken.
func (s *session) appRoles(ctx context.Context, p access.Person, target policy.Target) (access.Person, error) {
	p.AppRoles = []access.Entitlement{}
	page, err := s.api.UserRoleAssignments(ctx, s.directory, p.ID, organization.RoleFilter{ResourceIDs: []string{target.Resource}, RoleIDs: []string{target.Role}}, "")
	if errors.Is(err, organization.ErrNotFound) {
		return access.Person{}, nil
	}
	if err != nil {
		return p, explain("read the roles of "+p.Label(), err)
	}
	for _, r := range page.Items {
		if r.MembershipStatus != "" {
			p.MembershipStatus = r.MembershipStatus
		}
		direct := r.Methods == nil || slices.Contains(r.Methods[target.Role], organization.MethodDirect)
		if r.ResourceID == target.Resource && slices.Contains(r.Roles, target.Role) && direct {
			p.AppRoles = append(p.AppRoles, target.Entitlement)
		}
	}
	return p, nil
}

// holders reads who holds a protected target, until the person is found among enough others.
func (l *lending) holders(ctx context.Context) ([]access.Person, error) {
	q := organization.UserQuery{Limit: pageSize, Expand: l.expand(), GroupIDs: []string{l.target.GroupID}}
	if l.target.GroupID == "" {
		q.GroupIDs, q.RoleIDs = nil, []string{access.RoleOrgAdmin}
	}
	gone, err := l.ledger.RemovedSince(ctx, l.org, l.line.Target, l.now().Add(-lagOfRemovals))
	if err != nil {
		return nil, err
	}
	var holders []access.Person
	active := 0
	for {
		page, err := l.api.SearchUsers(ctx, l.directory, q)
		if err != nil {
			return nil, explain("read who holds "+string(l.line.Target), err)
		}
		for _, p := range people(page.Items) {
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
		if page.Next == "" || l.person.ID != "" && active >= l.target.Protected.Minimum {
			return holders, nil
		}
		q.Cursor = page.Next
	}
}

// present invites or restores somebody, and returns the account id.
func (s *session) present(ctx context.Context, c access.Change) (string, error) {
	if !isEmail(c.Person) {
		return c.Person, s.api.RestoreUser(ctx, s.directory, c.Person)
	}
	invited, err := s.api.Invite(ctx, organization.Invitation{Email: c.Person})
	if err != nil {
		return "", err
	}
	if invited.AccountID == "" {
		return "", fmt.Errorf("%w: the invitation of %s was answered without an account", organization.ErrOutcomeUnknown, c.Person)
	}
	return invited.AccountID, nil
}

// absent suspends or removes somebody, as the policy says.
func (s *session) absent(ctx context.Context, c access.Change) error {
	if s.policy.EndMode(access.Directory) == policy.EndRemove {
		return s.api.RemoveUser(ctx, s.directory, c.Person)
	}
	return s.api.SuspendUser(ctx, s.directory, c.Person)
}

// nameNow is the account id of somebody whom a line named by e-mail address before an earlier attempt brought them in.
func (s *session) nameNow(ctx context.Context, name string, target access.Entitlement) (string, error) {
	if !isEmail(name) {
		return name, nil
	}
	earlier, err := s.ledger.Earlier(ctx, s.org, "", name, target, 1)
	if err != nil || len(earlier) == 0 || strings.EqualFold(earlier[0].Person, name) {
		return name, err
	}
	return earlier[0].Person, nil
}

// appRole gives or takes an app role without a group.
func (s *session) appRole(ctx context.Context, run string, c access.Change) error {
	b, err := s.boundOf(ctx, run)
	if err != nil {
		return err
	}
	i, known := b.Target(c.Target)
	if !known {
		return fmt.Errorf("%w: the organization shows no such app on such a site", organization.ErrInvalid)
	}
	t := b.Targets[i]
	if c.Action == access.Add {
		return s.api.AssignRole(ctx, c.Person, t.Role, t.Resource)
	}
	return s.api.RevokeRole(ctx, c.Person, t.Role, t.Resource)
}
