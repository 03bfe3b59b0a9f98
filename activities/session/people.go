package session

import (
	"cmp"
	"context"
	"slices"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/messages"
)

// Limits of the lists in users/search, from the vendor's OpenAPI file.
const (
	MostAccountIDs = 10
	MostEmails     = 100
	PageSize       = 100
)

// ExpandPeople are the expansions of every read of people.
var ExpandPeople = []string{"groups", "platformRoles"}

// Expand returns the expansions: when apps were used only if a rule asks for it.
func (s *Session) Expand() []string {
	if s.Policy.NeedsActivity() {
		return append(slices.Clone(ExpandPeople), organization.ExpandProductAccess)
	}
	return ExpandPeople
}

func person(u organization.User) access.Person {
	p := access.Person{
		ID: u.AccountID, Email: u.Email, Name: u.Name, AccountType: u.AccountType, AccountStatus: u.AccountStatus,
		MembershipStatus: u.MembershipStatus, ClaimStatus: u.ClaimStatus, ManagementSource: u.ManagementSource,
		GroupIDs: u.GroupIDs, PlatformRoles: u.PlatformRoles, JobTitle: u.JobTitle, Department: u.Department,
		Organization: u.Organization, Location: u.Location, Added: u.AddedToOrg,
		EmailVerified: u.EmailVerified,
	}
	if len(p.Email) > messages.MostName { // longer than any address and than messages accept
		p.Email = ""
	}
	if u.ClaimStatus == "managed" { // for other accounts the API returns false without knowing
		p.MFA = u.MFAEnabled
	}
	if u.ProductAccess != nil {
		p.Activity = make([]access.Activity, len(u.ProductAccess))
	}
	for i, use := range u.ProductAccess {
		p.Activity[i] = access.Activity{Resource: use.ResourceID, Last: use.LastActive}
	}
	return p
}

// ReadPeople reads the people named by account ID or e-mail address with their groups and platform roles. More than ten
// are searched by e-mail address, a hundred per call, since account IDs go only ten per call; those not found are then
// searched by ID. The addresses are those that they had last, or that their records in a SCIM directory have. People
// whom the directory does not show are missing in the result.
func (s *Session) ReadPeople(ctx context.Context, names []string) ([]access.Person, error) {
	var ids, emails []string
	for _, name := range names {
		if IsEmail(name) {
			emails = append(emails, access.AddressForms(name)...)
		} else {
			ids = append(ids, name)
		}
	}
	var found []access.Person
	if len(ids) > MostAccountIDs {
		known, err := s.Ledger.KnownEmails(ctx, s.Org, ids)
		if err != nil {
			return nil, err
		}
		provisioned, err := s.Ledger.RecordAddresses(ctx, s.Org, ids)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			if address := cmp.Or(known[id], provisioned[id]); address != "" {
				emails = append(emails, address)
			}
		}
	}
	for _, some := range Chunks(emails, MostEmails) {
		read, err := s.Search(ctx, organization.UserQuery{Emails: some, Limit: PageSize, Expand: s.Expand()})
		if err != nil {
			return nil, err
		}
		found = append(found, read...)
	}
	seen := map[string]bool{}
	for _, p := range found {
		seen[p.ID] = true
	}
	var rest []string
	for _, id := range ids {
		if !seen[id] {
			rest = append(rest, id)
		}
	}
	for _, some := range Chunks(rest, MostAccountIDs) {
		read, err := s.Search(ctx, organization.UserQuery{AccountIDs: some, Limit: PageSize, Expand: s.Expand()})
		if err != nil {
			return nil, err
		}
		found = append(found, read...)
	}
	return unique(found), nil
}

// Search returns all results of a search.
func (s *Session) Search(ctx context.Context, q organization.UserQuery) ([]access.Person, error) {
	var found []access.Person
	err := s.EachPerson(ctx, "read people of organization "+s.Org, q, func(page []organization.User) (bool, error) {
		people, err := s.People(ctx, page)
		found = append(found, people...)
		return true, err
	})
	return found, err
}

func unique(ps []access.Person) []access.Person {
	seen := map[string]bool{}
	out := ps[:0]
	for _, p := range ps {
		if !seen[p.ID] {
			seen[p.ID] = true
			out = append(out, p)
		}
	}
	return out
}

// IsEmail reports whether a name is an address and not an account ID.
func IsEmail(s string) bool {
	for _, r := range s {
		if r == '@' {
			return true
		}
	}
	return false
}

// Chunks splits a list into pieces of at most a size.
func Chunks[T any](all []T, size int) [][]T {
	var out [][]T
	for len(all) > size {
		out, all = append(out, all[:size]), all[size:]
	}
	if len(all) > 0 {
		out = append(out, all)
	}
	return out
}

// EachOnce returns the strings in order, each once.
func EachOnce(all []string) []string {
	seen := map[string]bool{}
	return slices.DeleteFunc(all, func(s string) bool {
		was := seen[s]
		seen[s] = true
		return was
	})
}

// IDsOf returns the account IDs of people.
func IDsOf(ps []access.Person) []string {
	ids := make([]string, len(ps))
	for i, p := range ps {
		ids[i] = p.ID
	}
	return ids
}
