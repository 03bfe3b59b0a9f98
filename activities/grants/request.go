package grants

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/apply"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/plan"
	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/policy/condition"
	"github.com/castellan-io/castellan/policy/terms"
)

// RequestGrantInput asks for a grant.
type RequestGrantInput struct {
	Org string `json:"org"`
	messages.GrantInput
}

// RequestGrant judges a request by the policy in force, stores it, and wakes its workflow. A repeat with the same
// request ID changes nothing.
//
// Calls: two at most for the person and the requester, one for ten people who may approve, and one per group whose
// members may.
func (a *Activities) RequestGrant(ctx context.Context, in RequestGrantInput) (messages.GrantAnswer, error) {
	defer session.AutoHeartbeat(ctx)()
	target, err := access.ParseEntitlement(string(in.Target))
	if err != nil {
		return messages.GrantAnswer{}, session.NonRetryable(session.ErrRefused, err)
	}
	s, err := a.openCurrent(ctx, in.Org)
	if err != nil {
		return messages.GrantAnswer{}, err
	}
	who, err := s.Accounts(ctx, in.Person, in.RequestedBy)
	if err != nil {
		return messages.GrantAnswer{}, err
	}
	if answer, known, err := s.repeated(ctx, in.RequestID, target, in.Person, who[0]); known || err != nil {
		return answer, err
	}
	facts, unknown, err := s.factsOfNamed(ctx, in.Person, who[0])
	if err != nil {
		return messages.GrantAnswer{}, err
	}
	by, err := s.asker(ctx, in.RequestedBy, who[1])
	if err != nil {
		return messages.GrantAnswer{}, err
	}
	return s.request(ctx, in.RequestID, terms.Request{
		Person: facts, Unknown: unknown, Target: target, Duration: in.Duration.Std(), Start: in.Start,
		Reason: in.Reason,
		Ticket: in.Ticket, By: by, Urgent: in.BreakGlass,
	})
}

// ExtendGrantInput asks for a grant that continues another.
type ExtendGrantInput struct {
	Org    string             `json:"org"`
	Target access.Entitlement `json:"target"`
	Key    string             `json:"key"` // of the calling workflow; empty: the request tells
	messages.ExtendInput
}

// ExtendGrant is RequestGrant for extending a grant that is in force.
func (a *Activities) ExtendGrant(ctx context.Context, in ExtendGrantInput) (messages.GrantAnswer, error) {
	defer session.AutoHeartbeat(ctx)()
	s, err := a.openCurrent(ctx, in.Org)
	if err != nil {
		return messages.GrantAnswer{}, err
	}
	old, err := s.prolongable(ctx, in)
	if err != nil {
		return messages.GrantAnswer{}, err
	}
	who, err := s.Accounts(ctx, old.Person, in.RequestedBy)
	if err != nil {
		return messages.GrantAnswer{}, err
	}
	if answer, known, err := s.repeated(ctx, in.RequestID, old.Target, old.Person, who[0]); known || err != nil {
		return answer, err
	}
	facts, unknown, err := s.factsOfNamed(ctx, old.Person, who[0])
	if err != nil {
		return messages.GrantAnswer{}, err
	}
	by, err := s.asker(ctx, in.RequestedBy, who[1])
	if err != nil {
		return messages.GrantAnswer{}, err
	}
	return s.request(ctx, in.RequestID, terms.Request{
		Person: facts, Unknown: unknown, Target: old.Target, Duration: in.Duration.Std(), Reason: in.Reason,
		Ticket: in.Ticket,
		By:     by, Renews: &old,
	})
}

// prolongable returns the grant to extend: the one named, or the one that ends last.
func (s *task) prolongable(ctx context.Context, in ExtendGrantInput) (access.Grant, error) {
	if in.Key == "" { // the request tells whose, and of which target
		g, err := s.Ledger.Grant(ctx, in.Org, in.Request)
		if errors.Is(err, ledger.ErrNotFound) {
			return g, session.Refusedf("organization %s knows no request %q", in.Org, display.Shorten(in.Request, 120))
		}
		if err != nil {
			return g, err
		}
		in.Key, in.Target = g.Key, g.Target
	}
	open, err := s.GrantsUnder(ctx, in.Org, in.Key, in.Target)
	if err != nil {
		return access.Grant{}, err
	}
	var last access.Grant
	for _, g := range open {
		if g.State == access.GrantGranted && g.ID != in.RequestID &&
			(in.Request == g.ID || in.Request == "" && !g.Until.Before(last.Until)) {
			last = g
		}
	}
	if last.ID == "" {
		return last, session.Refusedf("%s has no grant of %s that could be extended; request a new one",
			s.AccountLabel(ctx, in.Org, in.Key), in.Target)
	}
	return last, nil
}

// openCurrent opens a task under the policy in force, to grant something.
func (a *Activities) openCurrent(ctx context.Context, org string) (*task, error) {
	known, err := a.env.Ledger.Organization(ctx, org)
	if errors.Is(err, ledger.ErrNotFound) {
		return nil, session.Refusedf("organization %s has no policy in force", org)
	}
	if err != nil {
		return nil, err
	}
	if known.AdoptedAt.IsZero() {
		return nil, session.Refusedf("the first plan of organization %s was not approved yet; nothing is written before that", org)
	}
	s, err := a.task(a.env.Open(ctx, org, known.Policy))
	if err == nil && s.Policy.DryRun {
		return nil, session.Refusedf("the policy of organization %s says dryRun: nothing is written, so nothing can be granted", org)
	}
	return s, err
}

// repeated answers a request whose ID is already stored.
func (s *task) repeated(ctx context.Context, id string, target access.Entitlement, typed string,
	who session.AccountLookup) (messages.GrantAnswer, bool, error) {
	g, err := s.Ledger.Grant(ctx, s.Org, id)
	if errors.Is(err, ledger.ErrNotFound) {
		return messages.GrantAnswer{}, false, nil
	}
	if err != nil {
		return messages.GrantAnswer{}, false, err
	}
	invited := access.IsAddress(g.Person) && access.SameAddress(g.Person, strings.TrimSpace(typed))
	if !g.Target.Same(target) || g.Person != who.Person.ID && !invited {
		return messages.GrantAnswer{}, true,
			session.Refusedf("the request id %s is taken: it is a request for %s for %s; give another id", id, g.Target,
				session.PersonOf(g))
	}
	all, err := s.WithNames(ctx, s.Org, g)
	if err != nil {
		return messages.GrantAnswer{}, true, err
	}
	answer := granted(s.Org, all[0])
	answer.Message = "already requested: " + answer.Message
	return answer, true, s.show(ctx, s.Org, g)
}

// asker returns the account ID of the requester: somebody active whom the directory knows.
func (s *task) asker(ctx context.Context, typed string, who session.AccountLookup) (string, error) {
	switch {
	case who.Err != nil:
		return "", session.Refusedf("requestedBy: %w", who.Err)
	case !who.Person.CanReceive():
		return "", session.Refusedf("requestedBy: %s is not active in organization %s; let an active person request it",
			typed, s.Org)
	}
	return who.Person.ID, s.Ledger.KeepPeople(ctx, s.Org, []access.Person{who.Person}, s.Now())
}

// factsOfNamed returns the facts of somebody whose name was looked up. unknown: the directory shows nobody of that
// name.
func (s *task) factsOfNamed(ctx context.Context, typed string, who session.AccountLookup) (f condition.Facts,
	unknown bool, err error) {
	name, bad := access.ReadName(typed)
	switch {
	case bad != nil:
		return f, false, session.Refusedf("person: %w", bad)
	case session.IsNotFound(who.Err) && access.IsAddress(name):
		return condition.Facts{Person: access.Person{Email: name}}, true, nil
	case session.IsNotFound(who.Err):
		return condition.Facts{Person: access.Person{ID: name}}, true, nil
	case who.Err != nil:
		return f, false, who.Err
	case who.Person.GroupIDs == nil:
		return f, false, session.RetryAfter(session.ErrEvidence, 0,
			fmt.Errorf("the directory shows %s without their groups at the moment, so it is not known what they may hold; trying again", who.Person.Label()))
	}
	f, err = s.FactsOf(ctx, who.Person)
	return f, false, err
}

// request judges and stores a request.
func (s *task) request(ctx context.Context, id string, r terms.Request) (messages.GrantAnswer, error) {
	var err error
	r.Now = s.Now()
	p, err := s.policyAsBound(ctx)
	if err != nil {
		return messages.GrantAnswer{}, err
	}
	if r.Earlier, err = s.earlier(ctx, p, r); err != nil {
		return messages.GrantAnswer{}, err
	}
	if r.Approvers, err = s.Approvers(ctx, p.ApproverGroups(r.Target)); err != nil {
		return messages.GrantAnswer{}, err
	}
	if r.People, err = s.approversNamed(ctx, p.ApproversNamed(r.Target)); err != nil {
		return messages.GrantAnswer{}, err
	}
	g, err := terms.Judge(p, r)
	var no *terms.Refusal
	if errors.As(err, &no) {
		return messages.GrantAnswer{}, session.NonRetryable(session.ErrRefused, no)
	}
	if err != nil {
		return messages.GrantAnswer{}, err
	}
	if err := s.bindable(ctx, g.Target); err != nil {
		return messages.GrantAnswer{}, err
	}
	if err := s.eligibleForSure(ctx, p, r.Person.Person, g.Target); err != nil {
		return messages.GrantAnswer{}, err
	}
	if g.Codes && !s.Notifier.Private() {
		return messages.GrantAnswer{},
			session.Refusedf("the policy demands approval codes, but no channel is configured that sends one to its approver alone: set CASTELLAN_NOTIFY_SMTP, or CASTELLAN_NOTIFY_WEBHOOK_URL with a secret")
	}
	g.ID = id
	// First start the workflow that ends it: nothing is stored that no workflow would remove.
	g.Key = g.Person
	if err := s.WakeGrantWorkflow(ctx, s.Org, g, nil); err != nil {
		return messages.GrantAnswer{}, err
	}
	stored, _, err := s.Ledger.RequestGrant(ctx, s.Org, g)
	if errors.Is(err, ledger.ErrConflict) || errors.Is(err, ledger.ErrUnexplained) {
		return messages.GrantAnswer{}, session.NonRetryable(session.ErrRefused, err)
	}
	if err != nil {
		return messages.GrantAnswer{}, err
	}
	all, err := s.WithNames(ctx, s.Org, stored)
	if err != nil {
		return messages.GrantAnswer{}, err
	}
	return granted(s.Org, all[0]), s.show(ctx, s.Org, stored)
}

// policyAsBound returns the policy by which requests are judged: its grants' targets are those bound now.
func (s *task) policyAsBound(ctx context.Context) (*policy.Policy, error) {
	outline, known, err := s.LatestOutline(ctx)
	if err != nil || !known {
		return s.Policy, err
	}
	return s.Policy.BoundTo(s.Bound(outline)), nil
}

// earlier returns the person's other grants of the target that the limits count, under whatever name, and those that an
// extension continues.
func (s *task) earlier(ctx context.Context, p *policy.Policy, r terms.Request) ([]access.Grant, error) {
	start := r.Now
	if r.Renews != nil {
		start = r.Renews.Until
	} else if r.Start.After(start) {
		start = r.Start
	}
	person := cmp.Or(r.Person.ID, strings.ToLower(r.Person.Email))
	all, err := s.Ledger.GrantsNear(ctx, s.Org, person, start.Add(-terms.LookBack(p, r.Target)))
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(g access.Grant) bool { return !p.SameTarget(g.Target, r.Target) })
	if r.Renews == nil {
		return all, nil
	}
	known := map[string]bool{}
	for _, g := range all {
		known[g.ID] = true
	}
	id := r.Renews.Renews
	for n := 0; id != "" && n < session.MostRenewals; n++ {
		g, err := s.Ledger.Grant(ctx, s.Org, id)
		if errors.Is(err, ledger.ErrNotFound) {
			break
		}
		if err != nil {
			return nil, err
		}
		if !known[id] {
			known[id], all = true, append(all, g)
		}
		id = g.Renews
	}
	return all, nil
}

// bindable returns an error if the organization does not show the target, or if the key may not change it.
func (s *task) bindable(ctx context.Context, target access.Entitlement) error {
	outline, known, err := s.LatestOutline(ctx)
	if err != nil || !known {
		return err
	}
	b, findings := policy.BindSince(s.Policy, outline.Outline, outline.Last)
	if len(b.AllTargets(target)) > 0 {
		return nil
	}
	why := "the organization does not show it"
	for _, f := range findings {
		if access.SameName(f.Subject, string(target)) {
			why = f.Detail
		}
	}
	return session.Refusedf("%s cannot be granted now: %s", target, why)
}

// approversNamed reads the people who may approve by name, by account ID.
func (s *task) approversNamed(ctx context.Context, ids []string) (map[string]access.Person, error) {
	read, err := s.ByName(ctx, ids, nil)
	if err != nil {
		return nil, err
	}
	people := map[string]access.Person{}
	for _, p := range read {
		people[p.ID] = p
	}
	return people, s.Ledger.KeepPeople(ctx, s.Org, read, s.Now())
}

// granted returns the answer to a request that was stored.
func granted(org string, g access.Grant) messages.GrantAnswer {
	answer := messages.GrantAnswer{Grants: []access.Grant{g}, Workflow: messages.GrantID(org, g.Target, g.Key)}
	switch {
	case g.State == access.GrantWaiting:
		answer.Message = fmt.Sprintf("request %s waits until %s for approval (%d needed) by %s, who are notified", g.ID,
			session.Timestamp(g.ApprovalDeadline), g.Needs, strings.Join(g.Labels(g.Approvers), ", "))
	case g.State == access.GrantGranted:
		answer.Message = fmt.Sprintf("granted: %s holds %s from %s to %s", session.PersonOf(g), g.Target,
			session.Timestamp(g.From), session.Timestamp(g.Until))
	default:
		answer.Message = fmt.Sprintf("request %s is %s", g.ID, g.State)
	}
	if g.Limit != "" {
		answer.Message += " (" + g.Limit + ")"
	}
	return answer
}

// eligibleForSure refuses a request that is allowed only because a read shows the person outside a group that a
// condition excludes, while another search does not confirm that.
func (s *task) eligibleForSure(ctx context.Context, by *policy.Policy, p access.Person,
	target access.Entitlement) error {
	one, hangs, err := s.EligibleByAbsence(ctx, by, p, target)
	if err != nil || !hangs {
		return err
	}
	outline, _, err := s.LatestOutline(ctx)
	if err != nil {
		return err
	}
	doubted, err := s.Doubted(ctx, s.Bound(outline), []plan.Absence{one})
	if err == nil && doubted[p.ID] {
		return session.Refusedf("%s for %s: %s", target, p.Label(), apply.DoubtfulAbsence)
	}
	return err
}
