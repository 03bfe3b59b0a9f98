package policy

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/castellan-io/castellan/access"
)

// NamedPerson is a person whom the policy names.
type NamedPerson struct {
	Name  string  // as written: an e-mail address or an account id
	Where string  // the key it stands under, with its index
	Use   NameUse // what for
}

// NameUse is what the policy names somebody for.
type NameUse string

// The uses.
const (
	NameKeyOwner   NameUse = "key-owner"
	NameAlways     NameUse = "always"
	NameApprover   NameUse = "approver"
	NameBreakGlass NameUse = "break-glass"
	NameRuleOwner  NameUse = "rule-owner"
	NameReviewer   NameUse = "reviewer" // owners and fallbacks too
	NameNotified   NameUse = "notified" // may be the address of nobody, for example a mailing list
)

// Account is what a name in the policy stands for.
type Account struct {
	access.Person        // as last seen; without an ID, the name leads to nobody
	Then          string // the address that the account had when the policy was taken into force
	Gone          bool   // the directory does not show the account any more
	// the account that goes by the written address now, where it is another one, or none is meant
	Other       string
	Unexplained bool // the ledger's chain does not explain for whom it stood, so that it leads to nobody
	// when it was found out whom the name leads to, or, of one that leads to nobody, that Other has the address
	Since time.Time
}

// Accounts are what the names in a policy stand for, by FoldName of the name as written. A name that is not there leads
// to nobody.
type Accounts map[string]Account

// Of returns what a written name stands for.
func (a Accounts) Of(written string) Account { return a[access.FoldName(written)] }

// id returns the account id behind a written name; the name as it is where there is none. No account id has an @, so an
// address that leads to nobody is nobody's.
func (a Accounts) id(written string) string { return cmp.Or(a.Of(written).ID, written) }

func (a Accounts) ids(written []string) []string {
	if written == nil {
		return nil
	}
	all := make([]string, 0, len(written))
	for _, name := range written {
		if id := a.id(name); !slices.Contains(all, id) {
			all = append(all, id)
		}
	}
	return all
}

// Names lists the people whom the policy names, as written, in the order of the file.
func (p *Policy) Names() []NamedPerson {
	var all []NamedPerson
	if p.written != nil {
		p = p.written
	}
	p.eachName(func(name *string, use NameUse, where string) { all = append(all, NamedPerson{*name, where, use}) })
	return all
}

// eachName visits every place where a person may be named and is.
func (p *Policy) eachName(visit func(name *string, use NameUse, where string)) {
	one := func(name *string, use NameUse, where string) {
		if *name != "" {
			visit(name, use, where)
		}
	}
	list := func(names []string, use NameUse, where string) {
		for i := range names {
			one(&names[i], use, fmt.Sprintf("%s[%d]", where, i))
		}
	}
	one(&p.Organization.KeyOwner, NameKeyOwner, "organization.keyOwner")
	for i := range p.Protected {
		list(p.Protected[i].Always, NameAlways, fmt.Sprintf("protected[%d].always", i))
	}
	for i := range p.Grants {
		where := fmt.Sprintf("grants[%d]", i)
		if a := p.Grants[i].Approval; a != nil {
			list(a.By, NameApprover, where+".approval.by")
		}
		if b := p.Grants[i].BreakGlass; b != nil {
			list(b.People, NameBreakGlass, where+".breakGlass.people")
		}
	}
	for i := range p.Rules {
		where := fmt.Sprintf("rules[%d]", i)
		one(&p.Rules[i].Owner, NameRuleOwner, where+".owner")
		for j := range p.Rules[i].Notify {
			if access.IsAddress(p.Rules[i].Notify[j]) {
				one(&p.Rules[i].Notify[j], NameNotified, fmt.Sprintf("%s.notify[%d]", where, j))
			}
		}
	}
	for i := range p.Reviews {
		r, where := &p.Reviews[i], fmt.Sprintf("reviews[%d]", i)
		one(&r.Owner, NameReviewer, where+".owner")
		for j := range r.Owners {
			list(r.Owners[j].By, NameReviewer, fmt.Sprintf("%s.owners[%d].by", where, j))
		}
		for j := range r.Stages {
			reviewers(r.Stages[j].Reviewers, fmt.Sprintf("%s.stages[%d].reviewers", where, j), one)
			reviewers(r.Stages[j].Fallback, fmt.Sprintf("%s.stages[%d].fallback", where, j), one)
		}
	}
	if p.Governance != nil {
		list(p.Governance.Notify, NameNotified, "governance.notify")
	}
}

// reviewers visits the names among a stage's reviewers: not its words and groups.
func reviewers(all []string, where string, visit func(*string, NameUse, string)) {
	for i := range all {
		if _, group := ReviewerGroup(all[i]); group ||
			slices.Contains([]string{ReviewerPerson, ReviewerSponsor, ReviewerOwner}, all[i]) {
			continue
		}
		visit(&all[i], NameReviewer, fmt.Sprintf("%s[%d]", where, i))
	}
}

// WithAccounts returns the policy with the account id in place of every name of a person that leads to one. It goes by
// the hash of the policy as written. What then still has an @ leads to nobody, and is compared with nothing.
func (p *Policy) WithAccounts(a Accounts) *Policy {
	if p.written != nil {
		p = p.written
	}
	named := *p
	named.written = p
	named.Organization.KeyOwner = a.keep(p.Organization.KeyOwner)
	named.Protected = slices.Clone(p.Protected)
	for i := range named.Protected {
		named.Protected[i].Always = a.ids(p.Protected[i].Always)
	}
	named.Grants = slices.Clone(p.Grants)
	for i := range named.Grants {
		if old := p.Grants[i].Approval; old != nil {
			approval := *old
			approval.By = a.ids(old.By)
			named.Grants[i].Approval = &approval
		}
		if old := p.Grants[i].BreakGlass; old != nil {
			breakGlass := *old
			breakGlass.People = a.ids(old.People)
			named.Grants[i].BreakGlass = &breakGlass
		}
	}
	named.Rules = slices.Clone(p.Rules)
	for i := range named.Rules {
		named.Rules[i].Owner = a.keep(p.Rules[i].Owner)
		named.Rules[i].Notify = a.ids(p.Rules[i].Notify)
	}
	named.Reviews = slices.Clone(p.Reviews)
	for i := range named.Reviews {
		named.Reviews[i] = p.Reviews[i].withAccounts(a)
	}
	if p.Governance != nil {
		governance := *p.Governance
		governance.Notify = a.ids(governance.Notify)
		named.Governance = &governance
	}
	return &named
}

func (r Review) withAccounts(a Accounts) Review {
	r.Owner = a.keep(r.Owner)
	r.Owners = slices.Clone(r.Owners)
	for i := range r.Owners {
		r.Owners[i].By = a.ids(r.Owners[i].By)
	}
	r.Stages = slices.Clone(r.Stages)
	for i := range r.Stages {
		r.Stages[i].Reviewers, r.Stages[i].Fallback = a.ids(r.Stages[i].Reviewers), a.ids(r.Stages[i].Fallback)
	}
	return r
}

func (a Accounts) keep(written string) string {
	if written == "" {
		return ""
	}
	return a.id(written)
}

// UnresolvedNames lists the names that must lead to an account before anything is taken from the target: of people who
// always stay, and of the owner of Castellan's own key. Until then they may be whoever is to lose it.
func (t Target) UnresolvedNames(keyOwner string) []string {
	if t.Protected == nil {
		return nil
	}
	var all []string
	for _, name := range append([]string{keyOwner}, t.Protected.Always...) {
		if access.IsAddress(name) {
			all = append(all, name)
		}
	}
	return all
}

// NameFindings returns which of the names lead to nobody, to somebody who is not active, or to somebody who is called
// something else by now.
func (p *Policy) NameFindings(a Accounts) []access.Finding {
	var all []access.Finding
	seen := map[[3]string]bool{}
	for _, n := range p.Names() {
		is := a.Of(n.Name)
		f, wrong := n.finding(is, a.address(is))
		if key := [3]string{f.Rule, string(n.Use), access.FoldName(n.Name)}; wrong && !seen[key] {
			seen[key] = true
			all = append(all, f)
		}
	}
	return all
}

// until returns what a name that leads to nobody holds up.
func (n NamedPerson) until() string {
	if n.Use == NameAlways || n.Use == NameKeyOwner {
		return "; until then nobody is removed from what it protects"
	}
	return ""
}

// address returns how to write somebody in a policy: by today's address, or by the account id where the policy means
// another account by that address.
func (a Accounts) address(is Account) string {
	if other := a.Of(is.Email); is.Email == "" || other.ID != "" && other.ID != is.ID {
		return is.ID
	}
	return is.Email
}

// finding returns what is wrong with one name, which stands for an account that is to be written so.
func (n NamedPerson) finding(is Account, so string) (f access.Finding, wrong bool) {
	say := func(rule, format string, args ...any) (access.Finding, bool) {
		return access.Finding{Rule: rule, Subject: n.Name, Detail: fmt.Sprintf(format, args...) + " (" + n.Where + ")"},
			true
	}
	rule := "name-unknown"
	switch n.Use {
	case NameApprover:
		rule = "approver-unknown"
	case NameRuleOwner:
		rule = "rule-owner-unknown"
	}
	switch {
	case is.Unexplained:
		return say("name-unexplained",
			"the ledger's chain does not explain which account it stands for, so it stands for none: that row was not written by Castellan. Run starter verify-ledger, then apply the policy again, which looks names up anew")
	case is.ID == "" && n.Use == NameNotified: // may well be a list
		return f, false
	case is.ID == "" && is.Other != "":
		return say(rule, "it matched no account when the policy came into force, so it stands for none; account %s has had this address since %s or shortly before: apply the policy again if you mean that account, or correct the name%s",
			is.Other, is.Since.UTC().Format(time.RFC3339), n.until())
	case is.ID == "" && (n.Use == NameAlways || n.Use == NameKeyOwner):
		return say(rule, "it matches no account in the directory: correct it, or write the account id%s", n.until())
	case is.ID == "":
		return say(rule, "it matches no account in the directory, so it stands for none: correct it, or write the account id")
	case is.Gone && n.Use != NameNotified:
		return say(rule, "account %s is no longer in the directory: name someone else", is.ID)
	case !is.CanReceive() && (n.Use == NameApprover || n.Use == NameRuleOwner || n.Use == NameBreakGlass):
		return say(rule, "account %s is not active, so it does not count here: name someone else, or activate it",
			is.ID)
	case !access.IsAddress(n.Name):
		return f, false
	case is.Other != "":
		return say("name-changed", "this address now belongs to account %s; the policy still means %s, account %s, which had it when the policy came into force: write %s to mean that account, or the account id %s to mean the new one",
			is.Other, cmp.Or(is.Email, "no address"), is.ID, so, is.Other)
	case is.Email != "" && access.FoldAddress(is.Email) != access.FoldName(n.Name) && so == is.ID:
		return say("name-changed", "has the address %s now, by which the policy means another account: write the account id %s",
			is.Email, is.ID)
	case is.Email != "" && access.FoldAddress(is.Email) != access.FoldName(n.Name):
		return say("name-changed", "has the address %s now: write that, or the account id %s", is.Email, is.ID)
	}
	return f, false
}
