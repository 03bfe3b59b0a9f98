package session

import (
	"context"
	"slices"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/messages"
)

// Array bounds of users/search, from the vendor's OpenAPI file.
const (
	MostAccountIDs = 10
	MostEmails     = 100
	PageSize       = 100
)

// ExpandPeople is what is always asked of people.
var ExpandPeople = []string{"groups", "platformRoles"}

// Expand is what is asked of people: when they used apps only where a rule looks at it.
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
	if len(p.Email) > messages.MostName { // no address is as long, and no message takes it: the account id names them
		p.Email = ""
	}
	if u.ClaimStatus == "managed" { // of other accounts the API answers false, and does not know
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

// People leaves out whoever the answer shows without a list of groups: that is no evidence of being in none.
func People(users []organization.User) []access.Person {
	out := make([]access.Person, 0, len(users))
	for _, u := range users {
		if u.GroupIDs != nil {
			out = append(out, person(u))
		}
	}
	return out
}

// ReadPeople reads the people named by account id or e-mail address with their groups and platform roles. More than ten
// are asked for by e-mail address, a hundred to a call, since account ids go only ten to a call; whoever that does not
// find is asked for by id. People whom the directory does not show are missing from the answer.
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
		for _, id := range ids {
			if known[id] != "" {
				emails = append(emails, known[id])
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

// Search walks all pages of a search.
func (s *Session) Search(ctx context.Context, q organization.UserQuery) ([]access.Person, error) {
	var found []access.Person
	err := s.EachPerson(ctx, "read people of organization "+s.Org, q, func(page []organization.User) (bool, error) {
		found = append(found, People(page)...)
		return true, nil
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

// IsEmail tells an address from an account id.
func IsEmail(s string) bool {
	for _, r := range s {
		if r == '@' {
			return true
		}
	}
	return false
}

// Chunks cuts a list into pieces of a size at most.
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

// EachOnce is every one of these once, in their order.
func EachOnce(all []string) []string {
	seen := map[string]bool{}
	return slices.DeleteFunc(all, func(s string) bool {
		was := seen[s]
		seen[s] = true
		return was
	})
}

// IDsOf returns the account ids of people.
func IDsOf(ps []access.Person) []string {
	ids := make([]string, len(ps))
	for i, p := range ps {
		ids[i] = p.ID
	}
	return ids
}
