package activities

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/policy"
)

// mostEarlier is how many of a person's former grants of a target are looked at.
const mostEarlier = 100

// RequestGrantInput asks for a grant.
type RequestGrantInput struct {
	Org string `json:"org"`
	messages.GrantInput
}

// RequestGrant judges a request by the policy in force, stores it, and wakes its workflow. A repeat with the same request id
// changes nothing.
//
// Calls: one for the person, and one per group whose members may approve.
func (a *Activities) RequestGrant(ctx context.Context, in RequestGrantInput) (messages.GrantAnswer, error) {
	defer beating(ctx)()
	target, err := access.ParseEntitlement(string(in.Target))
	if err != nil {
		return messages.GrantAnswer{}, stop(ErrRefused, err)
	}
	s, err := a.openCurrent(ctx, in.Org)
	if err != nil {
		return messages.GrantAnswer{}, err
	}
	if answer, known, err := s.repeated(ctx, in.RequestID, target, in.Person); known || err != nil {
		return answer, err
	}
	facts, unknown, err := s.facts(ctx, in.Person)
	if err != nil {
		return messages.GrantAnswer{}, err
	}
	return s.request(ctx, in.RequestID, policy.GrantRequest{
		Person: facts, Unknown: unknown, Target: target, Duration: in.Duration.Std(), Start: in.Start, Reason: in.Reason,
		Ticket: in.Ticket, By: in.RequestedBy, Urgent: in.BreakGlass,
	})
}

// ExtendGrantInput asks for a grant that continues another.
type ExtendGrantInput struct {
	Org    string             `json:"org"`
	Target access.Entitlement `json:"target"`
	Key    string             `json:"key"`
	messages.ExtendInput
}

// ExtendGrant is RequestGrant for what prolongs a grant that runs.
func (a *Activities) ExtendGrant(ctx context.Context, in ExtendGrantInput) (messages.GrantAnswer, error) {
	defer beating(ctx)()
	s, err := a.openCurrent(ctx, in.Org)
	if err != nil {
		return messages.GrantAnswer{}, err
	}
	old, err := s.prolongable(ctx, in)
	if err != nil {
		return messages.GrantAnswer{}, err
	}
	if answer, known, err := s.repeated(ctx, in.RequestID, old.Target, old.Person); known || err != nil {
		return answer, err
	}
	facts, unknown, err := s.facts(ctx, old.Person)
	if err != nil {
		return messages.GrantAnswer{}, err
	}
	return s.request(ctx, in.RequestID, policy.GrantRequest{
		Person: facts, Unknown: unknown, Target: old.Target, Duration: in.Duration.Std(), Reason: in.Reason, Ticket: in.Ticket,
		By: in.RequestedBy, Renews: &old,
	})
}

// prolongable is the grant that an extension is about: the one named, or the one that ends last.
func (s *session) prolongable(ctx context.Context, in ExtendGrantInput) (access.Grant, error) {
	open, err := s.ledger.GrantsOf(ctx, in.Org, in.Key, in.Target)
	if err != nil {
		return access.Grant{}, err
	}
	var last access.Grant
	for _, g := range open {
		if g.State == access.GrantGranted && g.ID != in.RequestID && (in.Request == g.ID || in.Request == "" && !g.Until.Before(last.Until)) {
			last = g
		}
	}
	if last.ID == "" {
		return last, refused("%s holds %s by no grant that could be prolonged; ask for a new one", in.Key, in.Target)
	}
	return last, nil
}

// openCurrent is open under the policy in force, for what is to be granted.
func (a *Activities) openCurrent(ctx context.Context, org string) (*session, error) {
	known, err := a.ledger.Organization(ctx, org)
	if errors.Is(err, ledger.ErrNotFound) {
		return nil, refused("organization %s has no policy in force", org)
	}
	if err != nil {
		return nil, err
	}
	if known.AdoptedAt.IsZero() {
		return nil, refused("the first plan of organization %s was not approved yet; nothing is written before that", org)
	}
	s, err := a.open(ctx, org, known.Policy)
	if err == nil && s.policy.DryRun {
		return nil, refused("the policy of organization %s says dryRun: nothing is written, so nothing can be granted", org)
	}
	return s, err
}

// repeated answers a request whose id is known already.
func (s *session) repeated(ctx context.Context, id string, target access.Entitlement, person string) (messages.GrantAnswer, bool, error) {
	g, err := s.ledger.Grant(ctx, s.org, id)
	if errors.Is(err, ledger.ErrNotFound) {
		return messages.GrantAnswer{}, false, nil
	}
	if err != nil {
		return messages.GrantAnswer{}, false, err
	}
	if !strings.EqualFold(string(g.Target), string(target)) || !strings.EqualFold(g.Person, person) && !strings.EqualFold(g.Email, person) {
		return messages.GrantAnswer{}, true, refused("the request id %s is taken: it asks for %s for %s; give another", id, g.Target, personOf(g))
	}
	answer := granted(s.org, g)
	answer.Message = "asked for already: " + answer.Message
	return answer, true, s.poke(ctx, s.org, g.Target, g.Key)
}

// facts reads a person. unknown says that the directory does not show anybody of that name.
func (s *session) facts(ctx context.Context, name string) (policy.Facts, bool, error) {
	q := organization.UserQuery{Limit: 1, Expand: expandPeople}
	if isEmail(name) {
		q.Emails = []string{name}
	} else {
		q.AccountIDs = []string{name}
	}
	found, err := s.search(ctx, q)
	if err != nil {
		return policy.Facts{}, false, err
	}
	if len(found) == 0 {
		f := policy.Facts{Person: access.Person{ID: name}}
		if isEmail(name) {
			f.Person = access.Person{Email: name}
		}
		return f, true, nil
	}
	f, err := s.factsOf(ctx, found[0])
	return f, false, err
}

// factsOf adds the names of the person's groups, as far as the last outline knows them.
func (s *session) factsOf(ctx context.Context, p access.Person) (policy.Facts, error) {
	outline, known, err := s.latestOutline(ctx)
	if err != nil {
		return policy.Facts{}, err
	}
	if !known {
		return policy.Facts{}, again(ErrUnavailable, 0, fmt.Errorf("organization %s was not verified under this policy yet; trying again", s.org))
	}
	states, err := s.ledger.States(ctx, s.org, []string{p.ID}, s.now())
	if err != nil {
		return policy.Facts{}, err
	}
	return s.bound(outline).Facts(p, policy.Known{Grants: s.inForce(states[p.ID].Grants), Held: states[p.ID].Holdings, Now: s.now()}), nil
}

// request judges and stores.
func (s *session) request(ctx context.Context, id string, r policy.GrantRequest) (messages.GrantAnswer, error) {
	var err error
	r.Now = s.now()
	if p, err := s.ledger.FindPerson(ctx, s.org, r.By); err == nil {
		r.By = p.Label() // by one name only: nobody approves what they asked for under another
	}
	if r.Earlier, err = s.ledger.Earlier(ctx, s.org, r.Person.ID, r.Person.Email, r.Target, mostEarlier); err != nil {
		return messages.GrantAnswer{}, err
	}
	if r.Approvers, err = s.approvers(ctx, s.policy.ApproverGroups(r.Target)); err != nil {
		return messages.GrantAnswer{}, err
	}
	g, err := s.policy.Grant(r)
	var no *policy.Refusal
	if errors.As(err, &no) {
		return messages.GrantAnswer{}, stop(ErrRefused, no)
	}
	if err != nil {
		return messages.GrantAnswer{}, err
	}
	if err := s.bindable(ctx, g.Target); err != nil {
		return messages.GrantAnswer{}, err
	}
	if g.Codes && !s.notifier.Private() {
		return messages.GrantAnswer{}, refused("the policy demands approval codes, and no way to send one to its approver alone is set up: set CASTELLAN_NOTIFY_SMTP, or CASTELLAN_NOTIFY_WEBHOOK_URL with a secret")
	}
	g.ID = id
	stored, _, err := s.ledger.RequestGrant(ctx, s.org, g)
	if errors.Is(err, ledger.ErrConflict) {
		return messages.GrantAnswer{}, stop(ErrRefused, err)
	}
	if err != nil {
		return messages.GrantAnswer{}, err
	}
	return granted(s.org, stored), s.poke(ctx, s.org, stored.Target, stored.Key)
}

// bindable refuses a target that the organization does not show, or that the key may not change.
func (s *session) bindable(ctx context.Context, target access.Entitlement) error {
	outline, known, err := s.latestOutline(ctx)
	if err != nil || !known {
		return err
	}
	b, findings := policy.BindSince(s.policy, outline.Outline, outline.Last)
	if len(b.All(target)) > 0 {
		return nil
	}
	why := "the organization does not show it"
	for _, f := range findings {
		if strings.EqualFold(f.Subject, string(target)) {
			why = f.Detail
		}
	}
	return refused("%s cannot be granted now: %s", target, why)
}

// approvers reads who is in the groups whose members may approve.
func (s *session) approvers(ctx context.Context, groups []string) (map[string][]access.Person, error) {
	if len(groups) == 0 {
		return nil, nil
	}
	outline, _, err := s.latestOutline(ctx)
	if err != nil {
		return nil, err
	}
	members := map[string][]access.Person{}
	for _, name := range groups {
		i := slices.IndexFunc(outline.Groups, func(g access.Group) bool { return strings.EqualFold(g.Name, name) })
		if i < 0 {
			continue
		}
		if members[name], err = s.search(ctx, organization.UserQuery{GroupIDs: []string{outline.Groups[i].ID}, Limit: pageSize, Expand: expandPeople}); err != nil {
			return nil, err
		}
	}
	return members, nil
}

// granted is the answer to a request that was stored.
func granted(org string, g access.Grant) messages.GrantAnswer {
	answer := messages.GrantAnswer{Grants: []access.Grant{g}, Workflow: messages.GrantID(org, g.Target, g.Key)}
	switch {
	case g.State == access.GrantWaiting:
		answer.Message = fmt.Sprintf("request %s waits until %s for approval (%d needed) by %s; they are told", g.ID, clock(g.Decide), g.Needs, strings.Join(g.Approvers, ", "))
	case g.State == access.GrantGranted:
		answer.Message = fmt.Sprintf("granted: %s holds %s from %s to %s", personOf(g), g.Target, clock(g.From), clock(g.Until))
	default:
		answer.Message = fmt.Sprintf("request %s is %s", g.ID, g.State)
	}
	if g.Limit != "" {
		answer.Message += " (" + g.Limit + ")"
	}
	return answer
}
