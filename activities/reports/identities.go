package reports

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/identity"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/policy/provision"
)

// identities lists the people of the policy's identity sources: those of each provision with their states, and then
// those of the sources that nothing provisions with their accounts.
func (a *Activities) identities(ctx context.Context, in messages.ReportInput, answer *messages.ReportAnswer) error {
	s, err := a.env.OpenInForce(ctx, in.Org)
	if err != nil {
		return err
	}
	after, err := session.ReadKey(in.After)
	if err != nil {
		return session.NonRetryable(session.ErrUnknown, err)
	}
	l := &peopleList{Session: s, in: in, answer: answer}
	parts, err := l.parts()
	if err != nil {
		return err
	}
	if in.After == "" {
		if err := l.count(ctx, parts); err != nil {
			return err
		}
	}
	answer.Message = "people of identity sources" + countsInWords(answer.States)
	from := slices.IndexFunc(parts, func(p peoplePart) bool { return in.After == "" || p.name() == string(after.Target) })
	if from < 0 {
		return session.NonRetryable(session.ErrUnknown, fmt.Errorf("after %q is not what an earlier answer said", in.After))
	}
	ref := ledger.ReadRef(after.Person)
	for _, p := range parts[from:] {
		if err := l.list(ctx, p, ref); err != nil || answer.Next != "" {
			return err
		}
		ref = ledger.Ref{}
	}
	return nil
}

func countsInWords(counts []messages.PeopleCount) string {
	text := ""
	for _, c := range counts {
		text += fmt.Sprintf("; %s: %d %s", c.Of, c.Count, c.State)
	}
	return text
}

// peoplePart is a provision, or a source that nothing provisions.
type peoplePart struct {
	provision *provision.Provision
	source    string
}

func (p peoplePart) name() string {
	if p.provision != nil {
		return "provision " + p.provision.Name
	}
	return "source " + p.source
}

// peopleList is a page of people being listed.
type peopleList struct {
	*session.Session
	in     messages.ReportInput
	answer *messages.ReportAnswer
	last   string // the part and the name of the last row
}

// parts returns what is asked for, in the policy's order.
func (l *peopleList) parts() (parts []peoplePart, err error) {
	provisioned := map[string]bool{}
	for i := range l.Policy.Provision {
		p := &l.Policy.Provision[i]
		for _, source := range p.From {
			provisioned[source] = true
		}
		if (l.in.Provision == "" || l.in.Provision == p.Name) &&
			(l.in.Source == "" || slices.Contains(p.From, l.in.Source)) {
			parts = append(parts, peoplePart{provision: p})
		}
	}
	for _, s := range l.Policy.Sources {
		if l.in.Provision == "" && !provisioned[s.Name] && (l.in.Source == "" || l.in.Source == s.Name) {
			parts = append(parts, peoplePart{source: s.Name})
		}
	}
	if len(parts) == 0 {
		err = session.NonRetryable(session.ErrUnknown, fmt.Errorf(
			"the policy of organization %s has no such identity source or provision: see its sources and provision", l.Org))
	}
	return parts, err
}

// count counts all people of the parts by their states.
func (l *peopleList) count(ctx context.Context, parts []peoplePart) error {
	for _, p := range parts {
		var counts map[string]int
		var err error
		if p.provision != nil {
			counts, err = l.Ledger.PersonStateCounts(ctx, l.Org, p.provision.Name)
		} else {
			var linked, unlinked int
			linked, unlinked, err = l.Ledger.LinkedCount(ctx, l.Org, p.source)
			counts = map[string]int{messages.PersonLinked: linked, messages.PersonNoAccount: unlinked}
		}
		if err != nil {
			return err
		}
		for _, state := range session.SortedKeys(counts) {
			one := messages.PeopleCount{Of: p.name(), State: state, Count: counts[state]}
			l.answer.States = append(l.answer.States, one)
		}
	}
	return nil
}

// list adds the people of a part that fit the page.
func (l *peopleList) list(ctx context.Context, p peoplePart, after ledger.Ref) error {
	rows := l.provisioned
	if p.provision == nil {
		rows = l.unprovisioned
	}
	found, err := rows(ctx, p, after, l.in.Limit-len(l.answer.People)+1) // one more tells whether there are more
	if err != nil {
		return err
	}
	if err := l.addStated(ctx, found); err != nil {
		return err
	}
	for _, one := range found {
		if len(l.answer.People) == l.in.Limit {
			l.answer.Next = l.last
			return nil
		}
		l.answer.People = append(l.answer.People, one)
		name := cmp.Or(one.Identity, ledger.Ref{Key: one.Record}.String())
		l.last = session.WriteKey(access.Change{Person: name, Target: access.Entitlement(p.name())})
	}
	return nil
}

// addStated adds when sources that post stated what they know of people.
func (l *peopleList) addStated(ctx context.Context, people []messages.PersonState) error {
	var refs []ledger.Ref
	for _, p := range people {
		ref := ledger.ReadRef(p.Identity)
		if spec := l.Policy.Source(ref.Source); spec != nil && spec.Kind.Pushed() {
			refs = append(refs, ref)
		}
	}
	found, err := l.Ledger.Identities(ctx, l.Org, refs)
	at := map[string]time.Time{}
	for _, one := range found {
		at[one.Ref().String()] = one.Stated
	}
	for i := range people {
		people[i].Stated = at[people[i].Identity]
	}
	return err
}

// provisioned returns people of a provision, as its last run found them.
func (l *peopleList) provisioned(ctx context.Context, p peoplePart, after ledger.Ref,
	most int) ([]messages.PersonState, error) {
	if after.Source < l.in.Source {
		after = ledger.Ref{Source: l.in.Source}
	}
	states, err := l.Ledger.PersonStates(ctx, l.Org, p.provision.Name, l.in.State, after, most)
	if err != nil {
		return nil, err
	}
	var refs []ledger.Ref
	var records []string
	for _, s := range states {
		if s.Source != "" {
			refs = append(refs, ledger.Ref{Source: s.Source, Key: s.Key})
		} else {
			records = append(records, s.Record)
		}
	}
	addresses, err := l.addresses(ctx, p.provision.Directory.ID, refs, records)
	if err != nil {
		return nil, err
	}
	var people []messages.PersonState
	for _, s := range states {
		if l.in.Source != "" && s.Source != l.in.Source {
			break // they come by source
		}
		one := messages.PersonState{Provision: p.provision.Name, State: s.State, Account: s.Account, Record: s.Record,
			Detail: s.Detail}
		if s.Source != "" {
			one.Identity = ledger.Ref{Source: s.Source, Key: s.Key}.String()
		}
		one.Address = addresses[cmp.Or(one.Identity, s.Record)]
		people = append(people, one)
	}
	return people, nil
}

// addresses returns the addresses of identities by their names, and of records by their ids.
func (l *peopleList) addresses(ctx context.Context, directory string, refs []ledger.Ref,
	records []string) (map[string]string, error) {
	found, err := l.Ledger.Identities(ctx, l.Org, refs)
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for _, one := range found {
		all[one.Ref().String()] = one.Address
	}
	of, err := l.Ledger.FindRecords(ctx, l.Org, directory, ledger.RecordQuery{IDs: records})
	for _, r := range of {
		all[r.ID] = r.Address
	}
	return all, err
}

// unprovisioned returns people of a source that nothing provisions, with their accounts, or why they have none.
func (l *peopleList) unprovisioned(ctx context.Context, p peoplePart, after ledger.Ref,
	most int) ([]messages.PersonState, error) {
	var linked *bool
	switch is := l.in.State == messages.PersonLinked; l.in.State {
	case "":
	case messages.PersonLinked, messages.PersonNoAccount:
		linked = &is
	default:
		return nil, nil // a state that only provisions have
	}
	found, err := l.Ledger.SourceIdentities(ctx, l.Org, p.source, linked, after.Key, most)
	if err != nil {
		return nil, err
	}
	why, err := l.whyUnlinked(ctx, p.source, found)
	if err != nil {
		return nil, err
	}
	var people []messages.PersonState
	for _, i := range found {
		one := messages.PersonState{Identity: i.Ref().String(), Address: i.Address, Account: i.Account,
			State: messages.PersonLinked}
		if i.Account == "" {
			one.State, one.Detail = messages.PersonNoAccount, why(i)
		}
		people = append(people, one)
	}
	return people, nil
}

// whyUnlinked returns what tells why an identity of a source is no account, from what the ledger knows.
func (l *peopleList) whyUnlinked(ctx context.Context, source string,
	found []ledger.Identity) (func(ledger.Identity) string, error) {
	var addresses []string
	for _, i := range found {
		if i.Account == "" && i.Address != "" {
			addresses = append(addresses, i.Address)
		}
	}
	b, _, err := l.Watched(ctx)
	if err != nil || b == nil {
		return func(ledger.Identity) string { return "people are linked once the organization was verified" }, err
	}
	people, err := l.Ledger.PeopleAt(ctx, l.Org, addresses, nil)
	if err == nil {
		err = l.AddIdentities(ctx, people)
	}
	if err != nil {
		return nil, err
	}
	unbound, err := l.Ledger.UnboundAt(ctx, l.Org, addresses)
	if err != nil {
		return nil, err
	}
	var candidates []identity.Candidate
	for _, address := range session.SortedKeys(unbound) {
		for _, i := range unbound[address] {
			if i.Source == source {
				candidates = append(candidates, identity.Candidate{Ref: identity.Ref{Source: source, Key: i.Key},
					Address: i.Address})
			}
		}
	}
	_, findings := identity.LinkByAddress(candidates, people, l.MayLink(b))
	because := map[string]string{}
	for _, p := range people {
		because[access.FoldAddress(p.Email)] = "it is linked when the source is read next, or the organization verified"
	}
	for _, f := range findings {
		because[access.FoldAddress(f.Subject)] = f.Rule + ": " + f.Detail
	}
	return func(i ledger.Identity) string {
		switch {
		case i.Unexplained:
			return "the ledger's chain does not explain what it was linked to"
		case i.State == ledger.StateGone:
			return "it is gone from the source"
		case i.Address == "":
			return "the source says no address"
		}
		return cmp.Or(because[access.FoldAddress(i.Address)], "no account has its address")
	}, nil
}
