package session

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/identity"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/policy/provision"
)

// identityOf is what is known of somebody in a source. Of a source that proves nothing about who is missing, nobody is
// known to be gone; of one that was not read for long, nobody is known to be disabled.
func (p *Provisioner) identityOf(one ledger.BoundIdentity) (identity.Identity, error) {
	presence, attributes, err := p.presence(one)
	if err != nil {
		return identity.Identity{}, err
	}
	i := identity.Identity{Ref: identity.Ref{Source: one.Source, Key: one.Key}, Presence: presence, Since: one.Since,
		Groups: groupNames(one), Attributes: attributes}
	for _, g := range one.Groups {
		i.GroupKeys = append(i.GroupKeys, g.Key)
	}
	for _, d := range p.Doubted {
		left := i.Presence == identity.Gone || i.Presence == identity.OutOfScope
		if d.Name == one.Source && (left || d.Stale && i.Presence == identity.Disabled) {
			i.Presence = identity.Unknown
		}
	}
	return i, nil
}

// Candidate is somebody of a provision, and all that decides about them.
type Candidate struct {
	identity.Person
	Lead identity.Ref // the identity of the page by which they are met: once, whatever other identities they have

	linked map[identity.Ref]identity.AccountID // the accounts that the identities are
}

// Candidates reads a page of the identities of a provision and joins them to people; with refs, only those identities.
// next is the last identity of the page; zero at the end.
func (p *Provisioner) Candidates(ctx context.Context, after ledger.Ref, refs []ledger.Ref) (people []Candidate,
	next ledger.Ref, err error) {
	page, err := p.Ledger.IdentityPage(ctx, p.Org, ledger.IdentityQuery{Provision: p.Spec.Name,
		Directory: p.Spec.Directory.ID, Sources: p.Spec.From, After: after, Only: refs})
	if err != nil || len(page.Identities) == 0 {
		return nil, ledger.Ref{}, err
	}
	j := &joiner{Provisioner: p, page: page, all: slices.Concat(page.Identities, page.Related),
		records: map[string]string{}, wanted: map[string][]ledger.Ref{},
		folded: map[string]string{}}
	for _, b := range page.Bindings {
		if !b.Unexplained {
			j.records[b.Ref().String()] = b.Record
		}
	}
	if err := j.readWanted(ctx); err != nil {
		return nil, ledger.Ref{}, err
	}
	if err := j.readAccounts(ctx); err != nil {
		return nil, ledger.Ref{}, err
	}
	j.build()
	for _, one := range page.Identities {
		candidate, lead, err := j.join(one)
		if err != nil {
			return nil, ledger.Ref{}, err
		}
		if lead || len(refs) > 0 {
			people = append(people, candidate)
		}
	}
	if len(refs) == 0 {
		next = page.Identities[len(page.Identities)-1].Ref()
	}
	return people, next, nil
}

// joiner joins the identities of a page to people.
type joiner struct {
	*Provisioner
	page     ledger.IdentityPage
	all      []ledger.BoundIdentity
	records  map[string]string       // record ids, by identity
	wanted   map[string][]ledger.Ref // whose record should have an address, other than the one that links them
	accounts []access.Person

	folded map[string]string // addresses, as they compare

	// Where things stand by what they are looked up by, so that a page of people costs no square of it.
	identitiesBy, recordsBy, bindingsBy, accountsBy index
}

// index is where things stand in a list, by what they are looked up by.
type index map[string][]int

// What things are looked up by, before the value.
const (
	byAccount  = "account "
	byAddress  = "address "
	byExternal = "external "
	byRecord   = "record "
	byRef      = "identity "
)

func (x index) add(at int, by, value string) {
	if value != "" {
		x[by+value] = append(x[by+value], at)
	}
}

// pick returns the things that stand under any of the keys, each once and in the order of the list.
func pick[T any](all []T, by index, keys []string) []T {
	var at []int
	for _, key := range keys {
		at = append(at, by[key]...)
	}
	slices.Sort(at)
	var found []T
	for _, n := range slices.Compact(at) {
		found = append(found, all[n])
	}
	return found
}

func keysOf(set map[string]bool, by string) []string {
	var keys []string
	for value, in := range set {
		if in {
			keys = append(keys, by+value)
		}
	}
	return keys
}

// build builds the indexes.
func (j *joiner) build() {
	j.identitiesBy, j.recordsBy, j.bindingsBy, j.accountsBy = index{}, index{}, index{}, index{}
	for at, one := range j.all {
		j.identitiesBy.add(at, byRef, one.Ref().String())
		j.identitiesBy.add(at, byAccount, one.Account)
		j.identitiesBy.add(at, byRecord, j.records[one.Ref().String()])
		j.identitiesBy.add(at, byAddress, j.fold(one.Address))
	}
	for at, r := range j.page.Records {
		j.recordsBy.add(at, byRecord, r.ID)
		j.recordsBy.add(at, byExternal, r.External)
		j.recordsBy.add(at, byAccount, r.Account)
		j.recordsBy.add(at, byAddress, j.fold(r.Address))
	}
	for at, b := range j.page.Bindings {
		j.bindingsBy.add(at, byRef, b.Ref().String())
		j.bindingsBy.add(at, byRecord, b.Record)
	}
	for at, a := range j.accounts {
		j.accountsBy.add(at, byAccount, a.ID)
		j.accountsBy.add(at, byAddress, j.fold(a.Email))
	}
}

// near returns the identities that have the account, the record or the address of one, itself among them.
func (j *joiner) near(one ledger.BoundIdentity) []ledger.BoundIdentity {
	return pick(j.all, j.identitiesBy, []string{byRef + one.Ref().String(), byAccount + one.Account,
		byRecord + j.records[one.Ref().String()], byAddress + j.fold(one.Address)})
}

// bindingsOf returns the bindings of identities.
func (j *joiner) bindingsOf(own []ledger.BoundIdentity) []ledger.Binding {
	var keys []string
	for _, i := range own {
		keys = append(keys, byRef+i.Ref().String())
	}
	return pick(j.page.Bindings, j.bindingsBy, keys)
}

// recordKeys returns what the records that may be a person's are looked up by.
func (j *joiner) recordKeys(own []ledger.BoundIdentity, bindings []ledger.Binding, addresses,
	accounts map[string]bool) []string {
	keys := append(keysOf(addresses, byAddress), keysOf(accounts, byAccount)...)
	for _, i := range own {
		keys = append(keys, byExternal+i.Key)
	}
	for _, b := range bindings {
		keys = append(keys, byRecord+b.Record)
	}
	return keys
}

func (j *joiner) fold(address string) string {
	folded, known := j.folded[address]
	if !known {
		folded = access.FoldAddress(address)
		j.folded[address] = folded
	}
	return folded
}

// readWanted adds the records that have an address which somebody's record should have, where the policy provisions
// another address than the one that links.
func (j *joiner) readWanted(ctx context.Context) error {
	var addresses []string
	for _, one := range j.all {
		known, err := j.identityOf(one)
		if err != nil {
			return err
		}
		for _, address := range j.Decide.Addresses(identity.Person{Identities: []identity.Identity{known}}) {
			if j.fold(address) != j.fold(one.Address) {
				addresses = append(addresses, address)
				j.wanted[j.fold(address)] = append(j.wanted[j.fold(address)], one.Ref())
			}
		}
	}
	if len(addresses) == 0 {
		return nil
	}
	found, err := j.Ledger.FindRecords(ctx, j.Org, j.Spec.Directory.ID, ledger.RecordQuery{Addresses: addresses})
	for _, r := range found {
		if !slices.ContainsFunc(j.page.Records, func(known ledger.Record) bool { return known.ID == r.ID }) {
			j.page.Records = append(j.page.Records, r)
		}
	}
	return err
}

func (j *joiner) readAccounts(ctx context.Context) (err error) {
	var addresses, ids []string
	for _, one := range j.all {
		addresses, ids = append(addresses, one.Address), append(ids, one.Account)
	}
	for _, r := range j.page.Records {
		addresses, ids = append(addresses, r.Address), append(ids, r.Account)
	}
	empty := func(s string) bool { return s == "" }
	j.accounts, err = j.Ledger.PeopleAt(ctx, j.Org, EachOnce(slices.DeleteFunc(addresses, empty)),
		EachOnce(slices.DeleteFunc(ids, empty)))
	return err
}

// same reports whether two identities are the same person's: by what they are bound to, or, in two sources, by their
// address.
func (j *joiner) same(a, b ledger.BoundIdentity) bool {
	ra, rb := j.records[a.Ref().String()], j.records[b.Ref().String()]
	switch {
	case a.Ref() == b.Ref():
		return true
	case ra != "" && ra == rb, a.Account != "" && a.Account == b.Account:
		return true
	case ra != "" && rb != "", a.Account != "" && b.Account != "", a.Source == b.Source:
		return false
	}
	return a.Address != "" && j.fold(a.Address) == j.fold(b.Address)
}

// join gathers what is known of the person of an identity; lead is false if another identity of theirs comes first.
func (j *joiner) join(one ledger.BoundIdentity) (c Candidate, lead bool, err error) {
	c.Lead, lead = identity.Ref{Source: one.Source, Key: one.Key}, true
	c.linked = map[identity.Ref]identity.AccountID{}
	var own []ledger.BoundIdentity
	for _, other := range j.near(one) {
		if !j.same(one, other) {
			continue
		}
		own = append(own, other)
		if other.Source+"\x00"+other.Key < one.Source+"\x00"+one.Key {
			lead = false
		}
	}
	slices.SortStableFunc(own, func(a, b ledger.BoundIdentity) int {
		return slices.Index(j.Spec.From, a.Source) - slices.Index(j.Spec.From, b.Source)
	})
	addresses := map[string]bool{}
	for _, i := range own {
		known, err := j.identityOf(i)
		if err != nil {
			return c, false, err
		}
		c.Identities = append(c.Identities, known)
		c.Unexplained = c.Unexplained || i.Unexplained
		c.linked[known.Ref] = identity.AccountID(i.Account)
		if i.Address != "" {
			addresses[j.fold(i.Address)] = true
		}
		for address, refs := range j.wanted {
			if slices.Contains(refs, i.Ref()) {
				addresses[address] = true
			}
		}
	}
	if err := j.addTaken(&c, own, addresses); err != nil {
		return c, false, err
	}
	j.addRecords(&c, own, addresses)
	return c, lead, nil
}

// addTaken notes whether another enabled identity has the person's address.
func (j *joiner) addTaken(c *Candidate, own []ledger.BoundIdentity, addresses map[string]bool) error {
	for _, other := range pick(j.all, j.identitiesBy, keysOf(addresses, byAddress)) {
		if !addresses[j.fold(other.Address)] || slices.ContainsFunc(own,
			func(i ledger.BoundIdentity) bool { return i.Ref() == other.Ref() }) {
			continue
		}
		known, err := j.identityOf(other)
		if err != nil {
			return err
		}
		c.Taken = c.Taken || known.Presence == identity.Enabled
	}
	return nil
}

// addRecords adds the records that may be the person's, their bindings, and the accounts that matter.
func (j *joiner) addRecords(c *Candidate, own []ledger.BoundIdentity, addresses map[string]bool) {
	mine := func(r identity.Ref) bool {
		return slices.ContainsFunc(c.Identities, func(i identity.Identity) bool { return i.Ref == r })
	}
	accounts := map[string]bool{}
	for _, i := range own {
		accounts[i.Account] = i.Account != ""
	}
	bindings := j.bindingsOf(own)
	for _, r := range pick(j.page.Records, j.recordsBy, j.recordKeys(own, bindings, addresses, accounts)) {
		bound := slices.ContainsFunc(bindings, func(b ledger.Binding) bool {
			return b.Record == r.ID && mine(identity.Ref{Source: b.Source, Key: b.Key})
		})
		external := r.External != "" && slices.ContainsFunc(c.Identities,
			func(i identity.Identity) bool { return i.Key == r.External })
		if bound || external || addresses[j.fold(r.Address)] || r.Account != "" && accounts[r.Account] {
			c.Records = append(c.Records, recordOf(r))
			accounts[r.Account] = r.Account != ""
		}
	}
	for _, r := range c.Records {
		bindings = append(bindings, pick(j.page.Bindings, j.bindingsBy, []string{byRecord + string(r.ID)})...)
	}
	for _, b := range bindings {
		ref := identity.Ref{Source: b.Source, Key: b.Key}
		about := mine(ref) || slices.ContainsFunc(c.Records,
			func(r identity.Record) bool { return string(r.ID) == b.Record })
		c.Unexplained = c.Unexplained || about && b.Unexplained
		if about && !b.Unexplained {
			c.Bindings = append(c.Bindings, identity.Binding{Ref: ref, Record: identity.RecordID(b.Record),
				Account: identity.AccountID(b.Account)})
		}
	}
	keys := append(keysOf(accounts, byAccount), keysOf(addresses, byAddress)...)
	for _, a := range pick(j.accounts, j.accountsBy, keys) {
		if accounts[a.ID] || addresses[j.fold(a.Email)] {
			c.Accounts = append(c.Accounts, accountOf(a))
		}
	}
}

func recordOf(r ledger.Record) identity.Record {
	values := identity.Values{}
	for name, value := range r.Values {
		values[provision.Attribute(name)] = value
	}
	return identity.Record{ID: identity.RecordID(r.ID), Account: identity.AccountID(r.Account), External: r.External,
		Active: r.Active, Values: values, Modified: r.Modified}
}

func accountOf(p access.Person) identity.Account {
	a := identity.Account{ID: identity.AccountID(p.ID), Address: p.Email}
	if p.ClaimStatus != "" {
		managed := p.ClaimStatus == "managed"
		a.Managed = &managed
	}
	if p.AccountStatus != "" {
		active := p.AccountStatus == "active"
		a.Active = &active
	}
	return a
}

// Line is the change that a decision asks for; ok is false if it asks for none now.
func (p *Provisioner) Line(c Candidate, d identity.Decision) (line access.Change, ok bool) {
	if d.Action == identity.Keep || d.Due.After(p.Now()) {
		return line, false
	}
	line = access.Change{Target: access.RecordTarget(p.Spec.Name), State: access.Planned,
		Sources: []string{c.Lead.String()}, Reasons: []access.Reason{{Kind: access.ReasonIdentity, Name: p.Spec.Name,
			Source: d.Identity.String()}}}
	line.Person, line.Email = c.name(d)
	for _, e := range d.Edits {
		line.Edits = append(line.Edits, access.Edit{Attribute: string(e.Attribute), From: e.From, To: e.To})
	}
	switch d.Action {
	case identity.Create:
		line.Action = access.Add
	case identity.Disable:
		line.Action = access.Remove
		line.Edits = append(line.Edits, access.Edit{Attribute: activeAttribute, From: "true", To: "false"})
	case identity.Reactivate:
		line.Action = access.Update
		line.Edits = append(line.Edits, access.Edit{Attribute: activeAttribute, From: "false", To: "true"})
	default:
		line.Action = access.Update
	}
	if d.Former != nil {
		line.Edits = append(line.Edits, access.Edit{Attribute: IdentityAttribute, From: d.Former.String(),
			To: c.Lead.String()})
	}
	for _, h := range d.Holds {
		line.HeldBy = append(line.HeldBy, string(h))
	}
	slices.Sort(line.HeldBy)
	return line, true
}

// name returns how the lines of a plan name the person: by the account, or an identity until there is one, and by the
// address of their record.
func (c Candidate) name(d identity.Decision) (person, email string) {
	if person = string(d.Account); person == "" {
		person = c.Lead.String()
	}
	for _, e := range d.Edits {
		if e.Attribute == provision.Email && e.From == "" {
			email = e.To
		}
	}
	for _, r := range c.Records {
		if r.ID == d.Record {
			email = r.Address()
		}
	}
	return person, email
}

// activeAttribute is the attribute by which a record is active or not. The policy never sets it by itself.
const activeAttribute = "active"

// Reactivates reports whether a change makes a record active again.
func Reactivates(c access.Change) bool {
	return slices.ContainsFunc(c.Edits, func(e access.Edit) bool { return e.Attribute == activeAttribute && e.To == "true" })
}

// IdentityAttribute stands in a plan for whose record it is, where that changes. It is no attribute of the record:
// nothing of it is written to Atlassian.
const IdentityAttribute = "identity"

// errNoCandidate is the error for somebody who is in no source of the provision any more.
var errNoCandidate = errors.New("the identity is in none of the provision's sources")

// Candidate returns one person of a provision, by an identity of theirs.
func (p *Provisioner) Candidate(ctx context.Context, ref ledger.Ref) (Candidate, error) {
	found, _, err := p.Candidates(ctx, ledger.Ref{}, []ledger.Ref{ref})
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("%s: %w", ref, errNoCandidate)
	}
	if err != nil {
		return Candidate{}, err
	}
	return found[0], nil
}

// bound reports whether an identity is bound to a record and its account already.
func (c Candidate) bound(i identity.Ref, record identity.RecordID, account string) bool {
	return string(c.linked[i]) == account && slices.Contains(c.Bindings,
		identity.Binding{Ref: i, Record: record, Account: identity.AccountID(account)})
}

// Match is a person and the record that is theirs.
type Match struct {
	Person Candidate
	Record identity.RecordID
}

// Bind binds a person's identities to a record, as BindEach does.
func (p *Provisioner) Bind(ctx context.Context, of Candidate, record identity.RecordID) error {
	return p.BindEach(ctx, []Match{{of, record}})
}

// BindEach binds people's identities to their records, and to the accounts that these are linked to: from then on only
// ids count. Identities that others stand against stay as they are, and so does a binding to a record that has lost its
// account or has another one: as long as somebody is to look at that, what it was must be known.
func (p *Provisioner) BindEach(ctx context.Context, all []Match) error {
	ids := make([]string, len(all))
	for n, m := range all {
		ids[n] = string(m.Record)
	}
	found, err := p.Ledger.FindRecords(ctx, p.Org, p.Spec.Directory.ID, ledger.RecordQuery{IDs: ids})
	if err != nil {
		return err
	}
	records := map[identity.RecordID]ledger.Record{}
	for _, r := range found {
		records[identity.RecordID(r.ID)] = r
	}
	var ofRecords, ofAccounts []ledger.Binding
	for _, m := range all {
		record, there := records[m.Record]
		if !there {
			continue
		}
		for _, b := range p.bindings(m.Person, record) {
			ofRecords = append(ofRecords, b)
			if b.Record = ""; b.Account != "" {
				ofAccounts = append(ofAccounts, b)
			}
		}
	}
	if err := bindFree(ofRecords, func(some []ledger.Binding) error {
		return p.Ledger.BindRecords(ctx, p.Org, p.Spec.Name, some, p.Now())
	}); err != nil {
		return err
	}
	return bindFree(ofAccounts, func(some []ledger.Binding) error {
		return p.Ledger.BindAccounts(ctx, p.Org, some, p.Now())
	})
}

// bindings are those that a person's identities are to have to a record, and have not.
func (p *Provisioner) bindings(of Candidate, record ledger.Record) (all []ledger.Binding) {
	for _, i := range of.Identities {
		if i.Presence != identity.Enabled && i.Presence != identity.Disabled ||
			of.bound(i.Ref, identity.RecordID(record.ID), record.Account) {
			continue
		}
		if slices.ContainsFunc(of.Bindings, func(was identity.Binding) bool {
			return was.Ref == i.Ref && string(was.Record) == record.ID && was.Account != "" &&
				string(was.Account) != record.Account
		}) {
			continue
		}
		all = append(all, ledger.Binding{Source: i.Source, Key: i.Key, Record: record.ID, Account: record.Account,
			Address: record.Address, By: "provision " + p.Spec.Name})
	}
	return all
}

// bindFree binds in one transaction all bindings that no other stands against.
func bindFree(all []ledger.Binding, bind func([]ledger.Binding) error) error {
	for len(all) > 0 {
		err := bind(all)
		var bound *ledger.BoundError
		if !errors.As(err, &bound) {
			return err
		}
		free := slices.DeleteFunc(slices.Clone(all), func(b ledger.Binding) bool {
			return slices.ContainsFunc(bound.Conflicts, func(c ledger.BindingConflict) bool {
				return c.Wanted.Ref() == b.Ref() && c.Wanted.Record == b.Record && c.Wanted.Account == b.Account
			})
		})
		if len(free) == len(all) {
			return err
		}
		all = free
	}
	return nil
}

// Rebind is Bind for a record that somebody decided to be this person's: whoever it was bound to loses it, and the
// account with it.
func (p *Provisioner) Rebind(ctx context.Context, of Candidate, record identity.RecordID) error {
	found, err := p.Ledger.FindRecords(ctx, p.Org, p.Spec.Directory.ID,
		ledger.RecordQuery{IDs: []string{string(record)}})
	if err != nil || len(found) == 0 {
		return err
	}
	for _, i := range of.Identities {
		if i.Presence != identity.Enabled {
			continue
		}
		b := ledger.Binding{Provision: p.Spec.Name, Source: i.Source, Key: i.Key, Record: string(record),
			Account: found[0].Account, Address: found[0].Address, By: "provision " + p.Spec.Name}
		if _, err := p.Ledger.Rebind(ctx, p.Org, b, p.Now()); err != nil {
			return err
		}
		if b.Account == "" {
			continue
		}
		b.Provision, b.Record = "", ""
		if _, err := p.Ledger.Rebind(ctx, p.Org, b, p.Now()); err != nil {
			return err
		}
	}
	return nil
}
