package scim

import (
	"context"
	"net/http"

	"github.com/castellan-io/castellan/atlassian/internal/wire"
)

// User is a user of the SCIM directory.
type User struct {
	ID                 string // the directory's own id; given by the API
	AtlassianAccountID string // the linked Atlassian account; "" while there is none; given by the API
	ExternalID         string // the identity provider's id
	UserName           string // unique in the directory; usually the e-mail address
	Email              string // the primary address
	DisplayName        string
	GivenName          string
	FamilyName         string
	Title              string
	Department         string
	Organization       string
	Timezone           string // for example Europe/Vienna
	Active             bool
	GroupIDs           []string // groups that the user is a member of; given by the API
}

// wireUser is a user as the API writes and reads it.
type wireUser struct {
	Schemas      []string        `json:"schemas,omitempty"`
	ID           string          `json:"id,omitempty"`
	ExternalID   string          `json:"externalId,omitempty"`
	UserName     string          `json:"userName,omitempty"`
	DisplayName  string          `json:"displayName,omitempty"`
	Name         *wireName       `json:"name,omitempty"`
	Title        string          `json:"title,omitempty"`
	Department   string          `json:"department,omitempty"`
	Organization string          `json:"organization,omitempty"`
	Timezone     string          `json:"timezone,omitempty"`
	Emails       []wireEmail     `json:"emails,omitempty"`
	Active       *bool           `json:"active,omitempty"`
	Groups       []wireReference `json:"groups,omitempty"`
	Enterprise   *wireEnterprise `json:"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User,omitempty"`
	Atlassian    *wireAtlassian  `json:"urn:scim:schemas:extension:atlassian-external:1.0,omitempty"`
}

type wireName struct {
	GivenName  string `json:"givenName,omitempty"`
	FamilyName string `json:"familyName,omitempty"`
}

type wireEmail struct {
	Value   string `json:"value"`
	Type    string `json:"type,omitempty"`
	Primary bool   `json:"primary"`
}

type wireReference struct {
	Type    string `json:"type,omitempty"`
	Value   string `json:"value"`
	Display string `json:"display,omitempty"`
}

type wireEnterprise struct {
	Organization string `json:"organization,omitempty"`
	Department   string `json:"department,omitempty"`
}

type wireAtlassian struct {
	AtlassianAccountID string `json:"atlassianAccountId,omitempty"`
}

// wire leaves out the enterprise extension: the vendor's file calls it read-only, and has department and organization
// among the user's own attributes.
func (u User) wire() wireUser {
	w := wireUser{
		Schemas: []string{schemaUser}, ExternalID: u.ExternalID, UserName: u.UserName, DisplayName: u.DisplayName,
		Title: u.Title, Department: u.Department, Organization: u.Organization, Timezone: u.Timezone, Active: &u.Active,
	}
	if u.GivenName != "" || u.FamilyName != "" {
		w.Name = &wireName{GivenName: u.GivenName, FamilyName: u.FamilyName}
	}
	if u.Email != "" {
		w.Emails = []wireEmail{{Value: u.Email, Type: "work", Primary: true}}
	}
	return w
}

func (w wireUser) user() (User, error) {
	if w.ID == "" {
		return User{}, errNoID
	}
	u := User{
		ID: w.ID, ExternalID: w.ExternalID, UserName: w.UserName, DisplayName: w.DisplayName, Title: w.Title,
		Department: w.Department, Organization: w.Organization, Timezone: w.Timezone,
		Active: w.Active != nil && *w.Active,
	}
	if w.Name != nil {
		u.GivenName, u.FamilyName = w.Name.GivenName, w.Name.FamilyName
	}
	for _, e := range w.Emails {
		if u.Email == "" || e.Primary {
			u.Email = e.Value
		}
	}
	if w.Enterprise != nil {
		u.Department, u.Organization = either(u.Department, w.Enterprise.Department),
			either(u.Organization, w.Enterprise.Organization)
	}
	if w.Atlassian != nil {
		u.AtlassianAccountID = w.Atlassian.AtlassianAccountID
	}
	for _, g := range w.Groups {
		u.GroupIDs = append(u.GroupIDs, g.Value)
	}
	return u, nil
}

func either(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// UserQuery finds users. At most one of the names may be set: the API filters by one attribute at a time.
type UserQuery struct {
	UserName   string // exact
	ExternalID string // exact
	Start      int    // index of the first user, counted from 1; 0 means 1
	Count      int    // users on a page; 0 leaves it to the API
}

// Users lists users, one page.
func (c *Client) Users(ctx context.Context, q UserQuery) (Page[User], error) {
	const operation = "list SCIM users"
	var filter string
	switch {
	case q.UserName != "" && q.ExternalID != "":
		return Page[User]{}, wire.Invalid(pkg, operation, "UserName does not go with ExternalID")
	case q.UserName != "":
		filter = equals("userName", q.UserName)
	case q.ExternalID != "":
		filter = equals("externalId", q.ExternalID)
	}
	return list(ctx, c, operation, "/Users", filter, q.Start, q.Count, wireUser.user)
}

// User reads one user.
func (c *Client) User(ctx context.Context, id string) (User, error) {
	const operation = "read SCIM user"
	path, err := resourcePath(operation, "Users", id)
	if err != nil {
		return User{}, err
	}
	return exchange(ctx, c, wire.Request{Operation: operation, Method: http.MethodGet, Path: path}, wireUser.user)
}

// CreateUser creates a user, and links it to the Atlassian account of its e-mail address. ErrNameTaken if the directory
// has one of that user name.
func (c *Client) CreateUser(ctx context.Context, u User) (User, error) {
	const operation = "create SCIM user"
	if u.UserName == "" || u.Email == "" {
		return User{}, wire.Invalid(pkg, operation, "a user needs a user name and an e-mail address")
	}
	return exchange(ctx, c, wire.Request{
		Operation: operation, Method: http.MethodPost, Path: "/Users", Body: u.wire(), Write: true,
		Conflict: ErrNameTaken,
	}, wireUser.user)
}

// ReplaceUser sets all attributes of the user with u.ID; what u leaves empty is cleared.
func (c *Client) ReplaceUser(ctx context.Context, u User) (User, error) {
	const operation = "replace SCIM user"
	if u.UserName == "" || u.Email == "" {
		return User{}, wire.Invalid(pkg, operation, "a user needs a user name and an e-mail address")
	}
	path, err := resourcePath(operation, "Users", u.ID)
	if err != nil {
		return User{}, err
	}
	return exchange(ctx, c, wire.Request{Operation: operation, Method: http.MethodPut, Path: path, Body: u.wire(),
		Write: true}, wireUser.user)
}

// SetActive activates or deactivates a user.
func (c *Client) SetActive(ctx context.Context, id string, active bool) (User, error) {
	const operation = "set SCIM user active"
	path, err := resourcePath(operation, "Users", id)
	if err != nil {
		return User{}, err
	}
	return exchange(ctx, c, wire.Request{
		Operation: operation, Method: http.MethodPatch, Path: path, Body: patchOf("replace", "active", active),
		Write: true,
	}, wireUser.user)
}

// DeleteUser deletes a user's record for good, and deactivates the account if the organization manages it. The same
// person provisioned again gets a new ID.
func (c *Client) DeleteUser(ctx context.Context, id string) error {
	const operation = "delete SCIM user"
	path, err := resourcePath(operation, "Users", id)
	if err != nil {
		return err
	}
	return c.wire.Do(ctx, wire.Request{Operation: operation, Method: http.MethodDelete, Path: path, Write: true})
}
