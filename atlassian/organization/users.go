package organization

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/castellan-io/castellan/atlassian/internal/wire"
)

// User is an account as the directory shows it.
type User struct {
	AccountID        string // opaque
	AccountType      string // atlassian; the API may return others
	AccountStatus    string // active, inactive or closed
	MembershipStatus string // active, suspended (in all directories) or no_membership
	Status           string // both in one: active, suspended, not_invited, deactivated or for_deletion
	ClaimStatus      string // managed or unmanaged
	ManagementSource string // invited, synced or empty
	Name             string
	Email            string
	JobTitle         string
	Department       string
	Organization     string // of the user's profile, for example a department's or an employer's name
	Location         string // of the user's profile
	EmailVerified    *bool  // nil if unknown
	// two-step verification, which the API knows for managed accounts; nil if unknown
	MFAEnabled    *bool
	AddedToOrg    time.Time // zero if unknown
	PlatformRoles []string  // with ExpandPlatformRoles; nil if the response has none
	GroupIDs      []string  // with ExpandGroups, without their ARIs; nil if the response has none
	// with ExpandProductAccess; empty if there is no app, nil if the response does not tell
	ProductAccess []ProductAccess
}

// ProductAccess is when a user last used an app. The API is up to a day behind.
type ProductAccess struct {
	ResourceID string // ARI
	Key        string // the app's key
	// zero if unknown: in a search, never and unknown look alike; Client.LastActive tells them apart
	LastActive time.Time
}

type userItem struct {
	AccountID, AccountType, AccountStatus, MembershipStatus, Status, ClaimStatus, ManagementSource,
	Name, Email, JobTitle, Department, Organization, Location, AddedToOrg string
	EmailVerified, MFAEnabled *bool
	PlatformRoles             []string
	Groups                    []struct{ ID string }
	ProductAccess             []struct{ ID, Key, LastActiveTimestamp string }
}

// interned keeps one copy of each ID on a page: a hundred people share most of their groups.
type interned map[string]string

func (in interned) bare(s string) string {
	if kept, seen := in[s]; seen {
		return kept
	}
	bare := BareID(s)
	in[s] = bare
	return bare
}

func (in interned) user(i userItem) (User, error) {
	if i.AccountID == "" {
		return User{}, errors.New("a user has no account id")
	}
	u := User{
		AccountID: i.AccountID, AccountType: i.AccountType, AccountStatus: i.AccountStatus,
		MembershipStatus: i.MembershipStatus,
		Status:           i.Status, ClaimStatus: i.ClaimStatus, ManagementSource: i.ManagementSource, Name: i.Name,
		Email:    i.Email,
		JobTitle: i.JobTitle, Department: i.Department, Organization: i.Organization, Location: i.Location,
		EmailVerified: i.EmailVerified, MFAEnabled: i.MFAEnabled, AddedToOrg: instant(i.AddedToOrg),
		PlatformRoles: i.PlatformRoles,
	}
	if i.Groups != nil {
		u.GroupIDs = make([]string, len(i.Groups))
	}
	for n, g := range i.Groups {
		if g.ID == "" {
			return User{}, errors.New("a group of a user has no id")
		}
		u.GroupIDs[n] = in.bare(g.ID)
	}
	if i.ProductAccess != nil {
		u.ProductAccess = make([]ProductAccess, len(i.ProductAccess))
	}
	for n, p := range i.ProductAccess {
		u.ProductAccess[n] = ProductAccess{ResourceID: p.ID, Key: p.Key, LastActive: instant(p.LastActiveTimestamp)}
	}
	return u, nil
}

func instant(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

// The expansions of a user. Without ExpandPlatformRoles every admin looks like a plain user.
const (
	ExpandPlatformRoles     = "platformRoles"
	ExpandGroups            = "groups"
	ExpandProductAccess     = "productAccess"
	ExpandUserResourceCount = "counts.resources"
)

// UserQuery filters users. A nil filter does not filter; every filter narrows the others. For the next page, use the
// same query and its cursor. To find the members of a group, put its ID into GroupIDs.
type UserQuery struct {
	Cursor           string
	Limit            int      // users on a page, 1 to 100; 0 means 100
	AccountIDs       []string // at most 10
	GroupIDs         []string // at most 10
	Emails           []string // at most 100 full addresses; not with SearchTerm
	EmailDomains     []string // at most 10
	SearchTerm       string   // name or e-mail; not with Emails
	DirectoryIDs     []string // at most 10
	ResourceIDs      []string // at most 20 ARIs
	RoleIDs          []string // at most 10, for example atlassian/org-admin
	Status           []string // at most 4
	AccountStatus    []string // at most 3
	MembershipStatus []string // at most 3
	ClaimStatus      string   // managed or unmanaged; "" for both
	MFAEnabled       *bool    // managed accounts with, or without, two-step verification; nil for all
	Expand           []string // ExpandPlatformRoles, ExpandGroups, ExpandProductAccess, ExpandUserResourceCount
}

type userSearch struct {
	Cursor           string   `json:"cursor,omitempty"`
	Limit            int      `json:"limit,omitempty"`
	AccountIDs       []string `json:"accountIds,omitempty"`
	GroupIDs         []string `json:"groupIds,omitempty"`
	Emails           []string `json:"emails,omitempty"`
	EmailDomains     []string `json:"emailDomains,omitempty"`
	SearchTerm       string   `json:"searchTerm,omitempty"`
	DirectoryIDs     []string `json:"directoryIds,omitempty"`
	ResourceIDs      []string `json:"resourceIds,omitempty"`
	RoleIDs          []string `json:"roleIds,omitempty"`
	Status           []string `json:"status,omitempty"`
	AccountStatus    []string `json:"accountStatus,omitempty"`
	MembershipStatus []string `json:"membershipStatus,omitempty"`
	ClaimStatus      string   `json:"claimStatus,omitempty"`
	MFAEnabled       *bool    `json:"mfaEnabled,omitempty"`
	Expand           []string `json:"expand,omitempty"`
}

func (q UserQuery) search(operation string) (userSearch, error) {
	c := checks{operation: operation}
	s := userSearch{
		Cursor: q.Cursor, Limit: c.limit(q.Limit, MaxPage, MaxPage), SearchTerm: q.SearchTerm,
		ClaimStatus: q.ClaimStatus, MFAEnabled: q.MFAEnabled,
		AccountIDs: c.values("AccountIDs", q.AccountIDs, 10), GroupIDs: c.groups("GroupIDs", q.GroupIDs, 10),
		Emails: c.values("Emails", q.Emails, 100), EmailDomains: c.values("EmailDomains", q.EmailDomains, 10),
		DirectoryIDs: c.values("DirectoryIDs", q.DirectoryIDs, 10),
		ResourceIDs:  c.values("ResourceIDs", q.ResourceIDs, 20),
		RoleIDs:      c.values("RoleIDs", q.RoleIDs, 10), Status: c.values("Status", q.Status, 4),
		AccountStatus:    c.values("AccountStatus", q.AccountStatus, 3),
		MembershipStatus: c.values("MembershipStatus", q.MembershipStatus, 3),
		Expand:           c.values("Expand", q.Expand, 4),
	}
	if q.Emails != nil && q.SearchTerm != "" {
		c.refuse("Emails does not go with SearchTerm")
	}
	return s, c.err
}

// SearchUsers finds users of a directory, or of all of them: with ExpandGroups and ExpandPlatformRoles, one page has
// all that a hundred people hold.
func (c *Client) SearchUsers(ctx context.Context, directory string, q UserQuery) (Page[User], error) {
	const operation = "search users"
	body, err := q.search(operation)
	if err != nil {
		return Page[User]{}, err
	}
	path, err := c.directoryPath(operation, directory, false, "users", "search")
	if err != nil {
		return Page[User]{}, err
	}
	return list(ctx, c, wire.Request{Operation: operation, Method: http.MethodPost, Path: path, Body: body}, q.Cursor,
		interned{}.user)
}

// User reads one user of a directory, or of all of them: without groups, and perhaps without platform roles.
// ErrNotFound means that the directory does not show the account, or not yet.
func (c *Client) User(ctx context.Context, directory, accountID string) (User, error) {
	const operation = "read user"
	path, err := c.directoryPath(operation, directory, false, "users", accountPart(accountID))
	if err != nil {
		return User{}, err
	}
	return get(ctx, c, operation, path, interned{}.user)
}
