package terms

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/policy/condition"
	"github.com/castellan-io/castellan/policy/internal/form"
	"github.com/castellan-io/castellan/policy/internal/strictyaml"
)

// The rules of a refusal.
const (
	RefusedNotGrantable  = "not-grantable"  // no entry names the target
	RefusedUnknownPerson = "unknown-person" // the directory does not show the person
	RefusedApp           = "app-account"    // apps are never touched
	RefusedInactive      = "not-active"     // the person's account or membership is not active
	RefusedNotEligible   = "not-eligible"   // a condition does not hold, or cannot be answered
	RefusedReason        = "reason"         // none was given
	RefusedTicket        = "ticket"         // none was given, or it does not fit
	RefusedNotExtendable = "not-extendable" // the grant cannot be extended, or not any more
	RefusedStart         = "start"          // in the past, or too far ahead
	RefusedDuration      = "duration"       // not a length of time
	RefusedTooLong       = "too-long"       // longer than some entry allows
	RefusedCooldown      = "cooldown"       // too soon after, or before, another grant
	RefusedBreakGlass    = "break-glass"    // not everybody concerned is listed
	RefusedApprovers     = "approvers"      // too few people could approve
	RefusedKeyExpires    = "key-expires"    // nobody could take the access back
	RefusedNames         = "name-unknown"   // likewise, while a name that protects the target leads to nobody
)

// slack is how far in the past a start may lie: a request takes its time to arrive.
const slack = time.Minute

// Refusal is why a request is not granted, nor put to any approver.
type Refusal struct {
	Rule    string // stable key, one of Refused…
	Message string // what was asked for whom, and what to do
}

func (r *Refusal) Error() string { return r.Message }

// Request is what somebody asks for, with all that is known about it.
type Request struct {
	Person condition.Facts // who is to hold the target
	// the directory does not show the person: only directory can be granted, by e-mail address
	Unknown   bool
	Target    access.Entitlement // as access.ParseEntitlement returns it
	Duration  time.Duration      // 0: the default
	Start     time.Time          // zero: at once
	Reason    string
	Ticket    string
	By        string // who asks: account id
	Urgent    bool   // break-glass
	Renews    *access.Grant
	Earlier   []access.Grant             // the person's other grants of this target, open or ended
	Approvers map[string][]access.Person // members of the groups that policy.Policy.ApproverGroups names, by that name
	People    map[string]access.Person   // those of policy.Policy.ApproversNamed, as read, by account id
	Now       time.Time
}

// Judge judges a request by all entries that name its target: in every dimension the strictest holds. The grant that it
// returns is granted, or waits for approvals; its ID is for the caller to fill in. The error is a *Refusal. A request
// may be judged again and again: the answer depends on nothing but the policy and the request.
func Judge(p *policy.Policy, r Request) (access.Grant, error) {
	j := judge{policy: p, terms: newTerms(p.GrantEntries(r.Target)), request: r}
	for _, step := range []func() error{
		j.checkTarget, j.checkPerson, j.checkEligible, j.checkReasonAndTicket, j.checkRenewal, j.checkBreakGlass,
		j.checkStart, j.checkDuration, j.checkCooldown, j.checkApproval, j.checkKeyLife, j.checkNames,
	} {
		if err := step(); err != nil {
			return access.Grant{}, err
		}
	}
	return j.grant, nil
}

// judge fills in a grant step by step.
type judge struct {
	policy  *policy.Policy
	terms   terms
	request Request
	grant   access.Grant
	first   access.Grant // of an extension: the grant that the chain began with
	start   time.Time    // when it would begin, were it granted now
}

func (j *judge) refuse(rule, format string, args ...any) error {
	return &Refusal{rule, fmt.Sprintf("%s for %s: ", j.request.Target, j.request.Person.Label()) +
		fmt.Sprintf(format, args...)}
}

func (j *judge) checkTarget() error {
	written, named := j.policy.Grantable(j.request.Target)
	if !named {
		return j.refuse(RefusedNotGrantable,
			"no entry of the policy's grants names this target; request another, or add it to the policy")
	}
	r := &j.request
	j.grant = access.Grant{
		Person: r.Person.ID, Email: r.Person.Email, Target: written, Entries: j.terms.names(),
		Reason: r.Reason, Ticket: r.Ticket, By: r.By, Requested: r.Now, Start: r.Start,
		Remind: access.Duration(j.terms.remind),
	}
	return nil
}

func (j *judge) checkPerson() error {
	person, presence := &j.request.Person, j.grant.Target == access.Directory
	switch {
	case person.IsApp():
		return j.refuse(RefusedApp, "this is an app's account, which Castellan never changes; name a person")
	case j.request.Unknown && !presence:
		return j.refuse(RefusedUnknownPerson,
			"the directory shows nobody of this name: correct it, or invite them first with a grant of the target %s",
			access.Directory)
	case j.request.Unknown && !form.IsEmail(person.Email):
		return j.refuse(RefusedUnknownPerson, "people who are not in the directory are invited by e-mail address; give one")
	case person.AccountStatus != "" && person.AccountStatus != "active":
		return j.refuse(RefusedInactive, "the account is %s; activate it first", person.AccountStatus)
	case person.MembershipStatus != "" && person.MembershipStatus != "active" && !presence:
		return j.refuse(RefusedInactive,
			"their membership of the organization is %s: restore it, or first give them access with a grant of the target %s", person.MembershipStatus, access.Directory)
	}
	if j.request.Unknown {
		j.grant.Person = strings.ToLower(person.Email)
	}
	return nil
}

func (j *judge) checkEligible() error {
	if err := j.policy.Eligible(j.request.Target, j.request.Person, j.request.Now); err != nil {
		return j.refuse(RefusedNotEligible, "%s", err)
	}
	return nil
}

// checkReasonAndTicket judges what was written beside the request.
func (j *judge) checkReasonAndTicket() error {
	for _, entry := range j.terms.entries {
		if entry.Reason && strings.TrimSpace(j.request.Reason) == "" {
			return j.refuse(RefusedReason, "entry %s requires a reason; give one", entry.Name)
		}
		if !entry.AcceptsTicket(j.request.Ticket) {
			return j.refuse(RefusedTicket, "the ticket %q does not match; entry %s requires one like %s",
				strictyaml.Shown(j.request.Ticket), entry.Name, entry.Ticket)
		}
	}
	return nil
}

// checkBreakGlass judges whether the approvals may be gone round. Where none are needed, there is nothing to break.
func (j *judge) checkBreakGlass() error {
	if !j.request.Urgent {
		return nil
	}
	if j.request.Renews != nil {
		return j.refuse(RefusedBreakGlass, "break-glass cannot extend a grant; leave break-glass out")
	}
	for _, entry := range j.terms.approvals {
		listed := func(id string) bool {
			return entry.BreakGlass != nil && id != "" && slices.Contains(entry.BreakGlass.People, id)
		}
		if !listed(j.request.Person.ID) || !listed(j.request.By) {
			return j.refuse(RefusedBreakGlass,
				"entry %s lists the people who may use break-glass, and both the requester and the person must be among them; request it with approval", entry.Name)
		}
		j.grant.Urgent = true
	}
	return nil
}

// checkKeyLife judges whether the key to the organization lives long enough to take the access back.
func (j *judge) checkKeyLife() error {
	last := j.start
	if j.grant.ApprovalDeadline.After(last) {
		last = j.grant.ApprovalDeadline
	}
	last = last.Add(j.grant.Duration.Std())
	if stop := j.policy.Organization.KeyExpires; !stop.IsZero() && last.After(stop.Time) {
		return j.refuse(RefusedKeyExpires,
			"it could last until %s, but the organization's key stops working on %s, so it could not be revoked; make a new key first, or ask for less",
			instant(last), stop)
	}
	return nil
}

// checkNames judges whether the access can be taken back: nothing is taken from a protected target while the policy
// names somebody there who may be anybody.
func (j *judge) checkNames() error {
	for i, entry := range j.policy.Protected {
		if !j.policy.SameTarget(entry.Target, j.request.Target) {
			continue
		}
		t := policy.Target{Protected: &entry}
		if unsettled := t.UnresolvedNames(j.policy.Organization.KeyOwner); len(unsettled) > 0 {
			return j.refuse(RefusedNames, "the directory shows nobody named %s, whom the policy protects (protected[%d], or organization.keyOwner), so it could not be revoked; correct the name first", unsettled[0], i)
		}
	}
	return nil
}

func instant(t time.Time) string { return t.UTC().Format(time.RFC3339) }
