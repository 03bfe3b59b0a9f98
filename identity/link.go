package identity

import (
	"fmt"
	"slices"
	"strings"

	"github.com/castellan-io/castellan/access"
)

// Candidate is an identity that is not linked to an account yet, with the address by which it may be linked.
type Candidate struct {
	Ref
	Address string
}

// Link links an identity to an account. It was found by the address, and stays whatever becomes of the address.
type Link struct {
	Ref
	Account AccountID
	Address string
}

// LinkByAddress decides to which accounts identities are linked, once and by their addresses. people are those who have
// one of the addresses, with the identities that they are linked to. may reports whether a person's address is proof
// enough for a source.
//
// No account is linked to two identities of one source, and no identity to two accounts: where several have an address,
// a finding says so and a person decides.
func LinkByAddress(candidates []Candidate, people []access.Person, may func(source string, p access.Person) bool) (
	links []Link, findings []access.Finding) {
	type place struct{ source, address string }
	at := map[place][]Candidate{}
	var order []place
	for _, c := range candidates {
		p := place{c.Source, access.FoldAddress(c.Address)}
		if at[p] == nil {
			order = append(order, p)
		}
		at[p] = append(at[p], c)
	}
	for _, p := range order {
		var having []access.Person
		for _, one := range people {
			if access.FoldAddress(one.Email) == p.address && !one.IsApp() {
				having = append(having, one)
			}
		}
		if len(having) == 0 {
			continue
		}
		one, person := at[p][0], having[0]
		bound := slices.IndexFunc(person.Identities, func(i access.Identity) bool { return i.Source == p.source })
		switch {
		case len(at[p]) > 1 || len(having) > 1:
			findings = append(findings, access.Finding{Rule: "link-ambiguous", Subject: one.Address, Detail: fmt.Sprintf(
				"%s and %s have the address: none is linked; correct the address in the source, or link by account id",
				keysOf(at[p]), accountsOf(having))})
		case bound >= 0:
			findings = append(findings, access.Finding{Rule: "link-taken", Subject: one.Address, Detail: fmt.Sprintf(
				"%s has the address of account %s, which is already linked to %s: a new key with a known address is a new person until someone decides otherwise",
				one.Ref, person.ID, Ref{p.source, person.Identities[bound].Key})})
		case !may(p.source, person):
			findings = append(findings, access.Finding{Rule: "link-unverified", Subject: one.Address, Detail: fmt.Sprintf(
				"%s has the address of account %s, but the organization has not verified its domain: list it in organization.domains, or write link: any for source %s",
				one.Ref, person.ID, p.source)})
		default:
			links = append(links, Link{one.Ref, AccountID(person.ID), person.Email})
		}
	}
	return links, findings
}

func keysOf(candidates []Candidate) string {
	var all []string
	for _, c := range candidates {
		all = append(all, c.String())
	}
	return strings.Join(all, ", ")
}

func accountsOf(people []access.Person) string {
	var all []string
	for _, p := range people {
		all = append(all, "account "+p.ID)
	}
	return strings.Join(all, ", ")
}
