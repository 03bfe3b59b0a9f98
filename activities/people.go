package activities

import (
	"context"
	"slices"

	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/atlassian/organization"
)

// Array bounds of users/search, from the vendor's OpenAPI file.
const (
	mostAccountIDs = 10
	mostEmails     = 100
	pageSize       = 100
)

var expandPeople = []string{"groups", "platformRoles"}

// expand is what is asked of people: when they used apps only where a rule looks at it.
func (s *session) expand() []string {
	if s.policy.NeedsActivity() {
		return append(slices.Clone(expandPeople), organization.ExpandProductAccess)
	}
	return expandPeople
}

func person(u organization.User) access.Person {
	p := access.Person{
		ID: u.AccountID, Email: u.Email, Name: u.Name, AccountType: u.AccountType, AccountStatus: u.AccountStatus,
		MembershipStatus: u.MembershipStatus, ClaimStatus: u.ClaimStatus, ManagementSource: u.ManagementSource,
		GroupIDs: u.GroupIDs, PlatformRoles: u.PlatformRoles, JobTitle: u.JobTitle, Department: u.Department, Organization: u.Organization, Location: u.Location, Added: u.AddedToOrg,
		EmailVerified: u.EmailVerified,
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

// people leaves out whoever the answer shows without a list of groups: that is no evidence of being in none.
func people(users []organization.User) []access.Person {
	out := make([]access.Person, 0, len(users))
	for _, u := range users {
		if u.GroupIDs != nil {
			out = append(out, person(u))
		}
	}
	return out
}

// readPeople reads the people named by account id or e-mail address with their groups and platform roles. More than ten
// are asked for by e-mail address, a hundred to a call, since account ids go only ten to a call; whoever that does not
// find is asked for by id. People whom the directory does not show are missing from the answer.
func (s *session) readPeople(ctx context.Context, names []string) ([]access.Person, error) {
	var ids, emails []string
	for _, name := range names {
		if isEmail(name) {
			emails = append(emails, name)
		} else {
			ids = append(ids, name)
		}
	}
	var found []access.Person
	if len(ids) > mostAccountIDs {
		known, err := s.ledger.KnownEmails(ctx, s.org, ids)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			if known[id] != "" {
				emails = append(emails, known[id])
			}
		}
	}
	for _, some := range chunks(emails, mostEmails) {
		read, err := s.search(ctx, organization.UserQuery{Emails: some, Limit: pageSize, Expand: s.expand()})
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
	for _, some := range chunks(rest, mostAccountIDs) {
		read, err := s.search(ctx, organization.UserQuery{AccountIDs: some, Limit: pageSize, Expand: s.expand()})
		if err != nil {
			return nil, err
		}
		found = append(found, read...)
	}
	return unique(found), nil
}

// search walks all pages of a search.
func (s *session) search(ctx context.Context, q organization.UserQuery) ([]access.Person, error) {
	var found []access.Person
	for {
		page, err := s.api.SearchUsers(ctx, s.directory, q)
		if err != nil {
			return nil, explain("read people of organization "+s.org, err)
		}
		activity.RecordHeartbeat(ctx)
		found = append(found, people(page.Items)...)
		if page.Next == "" {
			return found, nil
		}
		q.Cursor = page.Next
	}
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

func isEmail(s string) bool {
	for _, r := range s {
		if r == '@' {
			return true
		}
	}
	return false
}

func chunks[T any](all []T, size int) [][]T {
	var out [][]T
	for len(all) > size {
		out, all = append(out, all[:size]), all[size:]
	}
	if len(all) > 0 {
		out = append(out, all)
	}
	return out
}
