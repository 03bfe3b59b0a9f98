package identity

import (
	"slices"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy/provision"
)

// Binding is an identity's record, as the ledger has it.
type Binding struct {
	Ref
	Record  RecordID
	Account AccountID // the account that the record was linked to when it was last read; empty: none
}

// Match is the record that was found for a person, and how it was found.
type Match struct {
	Record *Record
	Means  provision.Means
	// Others are further records that match as well: nothing is written until one of them is gone or bound.
	Others []RecordID
	// Former is the identity that the record is bound to, if it is not one of the person's: a known address appeared
	// under a new key, which is treated as a new person until someone decides otherwise.
	Former *Ref
	// Missing is the record that the person was bound to, if it no longer exists.
	Missing RecordID
}

// match finds the record of a person among the candidates. bindings are those of the person's identities and of the
// candidates.
func (p Provision) match(identities []Identity, wanted Values, candidates []Record, bindings []Binding) Match {
	var m Match
	var bound []*Record
	for _, b := range bindings {
		if !slices.ContainsFunc(identities, func(i Identity) bool { return i.Ref == b.Ref }) {
			continue
		}
		if r := byID(candidates, b.Record); r == nil {
			m.Missing = b.Record
		} else if !slices.Contains(bound, r) {
			bound = append(bound, r)
		}
	}
	if len(bound) > 0 {
		return m.one(bound, provision.ByBinding)
	}
	for _, means := range p.Match {
		found := p.by(means, identities, wanted, candidates)
		if len(found) == 0 {
			continue
		}
		m = m.one(found, means)
		for _, b := range bindings {
			if b.Record == m.Record.ID {
				former := b.Ref
				m.Former = &former
			}
		}
		return m
	}
	return m
}

// one takes the first of the records that were found, and notes the others.
func (m Match) one(found []*Record, means provision.Means) Match {
	m.Record, m.Means = found[0], means
	for _, other := range found[1:] {
		m.Others = append(m.Others, other.ID)
	}
	return m
}

func (p Provision) by(means provision.Means, identities []Identity, wanted Values,
	candidates []Record) (found []*Record) {
	for i := range candidates {
		r := &candidates[i]
		switch means {
		case provision.ByExternalID:
			if r.External != "" && slices.ContainsFunc(identities, func(i Identity) bool { return i.Key == r.External }) {
				found = append(found, r)
			}
		case provision.ByEmail:
			if address := wanted[provision.Email]; address != "" && access.SameAddress(r.Address(), address) {
				found = append(found, r)
			}
		}
	}
	return found
}

func byID(records []Record, id RecordID) *Record {
	for i := range records {
		if records[i].ID == id {
			return &records[i]
		}
	}
	return nil
}
