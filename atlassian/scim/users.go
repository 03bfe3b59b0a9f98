package scim

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"github.com/castellan-io/castellan/atlassian/internal/wire"
)

// User is a user of the SCIM directory.
type User struct {
	ID                 string // the directory's own id; given by the API
	AtlassianAccountID string // the linked Atlassian account; "" while there is none; given by the API
	ExternalID         string // the identity provider's id; the vendor's file calls it read-only once it is written
	UserName           string // unique in the directory; usually the e-mail address
	Email              string // the primary address
	DisplayName        string
	GivenName          string
	FamilyName         string
	NickName           string
	Title              string
	Department         string
	Organization       string
	Timezone           string // for example Europe/Vienna
	PreferredLanguage  string // for example en-US
	PhoneNumber        string // the one at work
	Active             bool
	GroupIDs           []string  // groups that the user is a member of; given by the API
	Modified           time.Time // when anybody last wrote the record; zero if the API does not say; given by the API
}

// wireUser is a user as the API writes and reads it.
type wireUser struct {
	Schemas           []string        `json:"schemas,omitempty"`
	ID                string          `json:"id,omitempty"`
	ExternalID        string          `json:"externalId,omitempty"`
	UserName          string          `json:"userName,omitempty"`
	DisplayName       string          `json:"displayName,omitempty"`
	Name              *wireName       `json:"name,omitempty"`
	NickName          string          `json:"nickName,omitempty"`
	Title             string          `json:"title,omitempty"`
	Department        string          `json:"department,omitempty"`
	Organization      string          `json:"organization,omitempty"`
	Timezone          string          `json:"timezone,omitempty"`
	PreferredLanguage string          `json:"preferredLanguage,omitempty"`
	Emails            []wireValue     `json:"emails,omitempty"`
	PhoneNumbers      []wireValue     `json:"phoneNumbers,omitempty"`
	Active            *bool           `json:"active,omitempty"`
	Groups            []wireReference `json:"groups,omitempty"`
	Enterprise        *wireEnterprise `json:"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User,omitempty"`
	Atlassian         *wireAtlassian  `json:"urn:scim:schemas:extension:atlassian-external:1.0,omitempty"`
	Meta              *wireMeta       `json:"meta,omitempty"`
}

type wireName struct {
	GivenName  string `json:"givenName,omitempty"`
	FamilyName string `json:"familyName,omitempty"`
}

// wireValue is an e-mail address or a phone number.
type wireValue struct {
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

type wireMeta struct {
	LastModified string `json:"lastModified,omitempty"`
}

// work is the type of the addresses and phone numbers that this client writes.
const work = "work"

// wire leaves out the enterprise extension: the vendor's file calls it read-only, and has department and organization
// among the user's own attributes.
func (u User) wire() wireUser {
	w := wireUser{
		Schemas: []string{schemaUser}, ExternalID: u.ExternalID, UserName: u.UserName, DisplayName: u.DisplayName,
		NickName: u.NickName, Title: u.Title, Department: u.Department, Organization: u.Organization,
		Timezone: u.Timezone, PreferredLanguage: u.PreferredLanguage, Active: &u.Active,
	}
	if u.GivenName != "" || u.FamilyName != "" {
		w.Name = &wireName{GivenName: u.GivenName, FamilyName: u.FamilyName}
	}
	if u.Email != "" {
		w.Emails = []wireValue{{Value: u.Email, Type: work, Primary: true}}
	}
	if u.PhoneNumber != "" {
		w.PhoneNumbers = []wireValue{{Value: u.PhoneNumber, Type: work, Primary: true}}
	}
	return w
}

func (w wireUser) user() (User, error) {
	if w.ID == "" {
		return User{}, errNoID
	}
	u := User{
		ID: w.ID, ExternalID: w.ExternalID, UserName: w.UserName, DisplayName: w.DisplayName, NickName: w.NickName,
		Title: w.Title, Department: w.Department, Organization: w.Organization, Timezone: w.Timezone,
		PreferredLanguage: w.PreferredLanguage, Active: w.Active != nil && *w.Active,
	}
	if w.Name != nil {
		u.GivenName, u.FamilyName = w.Name.GivenName, w.Name.FamilyName
	}
	for _, e := range w.Emails {
		if u.Email == "" || e.Primary {
			u.Email = e.Value
		}
	}
	for _, p := range w.PhoneNumbers {
		if p.Type == work {
			u.PhoneNumber = p.Value
		}
	}
	if w.Enterprise != nil { // where a PATCH writes them
		u.Department = cmp.Or(w.Enterprise.Department, u.Department)
		u.Organization = cmp.Or(w.Enterprise.Organization, u.Organization)
	}
	if w.Atlassian != nil {
		u.AtlassianAccountID = w.Atlassian.AtlassianAccountID
	}
	for _, g := range w.Groups {
		u.GroupIDs = append(u.GroupIDs, g.Value)
	}
	if w.Meta != nil {
		u.Modified, _ = time.Parse(time.RFC3339Nano, w.Meta.LastModified) // zero if it is no time
	}
	return u, nil
}

// UserQuery finds users. At most one of the names may be set: the API filters by one attribute at a time.
type UserQuery struct {
	UserName   string // exact
	ExternalID string // exact
	Start      int    // index of the first user, counted from 1; 0 means 1
	Count      int    // users on a page; 0 means MaxPage
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

// CreateUser creates a user, and links it to the Atlassian account of its e-mail address if there is one:
// AtlassianAccountID says which. Otherwise an account is made. ErrNameTaken if the directory has one of that user name.
func (w Writer) CreateUser(ctx context.Context, u User) (User, error) {
	const operation = "create SCIM user"
	if u.UserName == "" || u.Email == "" {
		return User{}, wire.Invalid(pkg, operation, "a user needs a user name and an e-mail address")
	}
	return exchange(ctx, w.Client, wire.Request{
		Operation: operation, Method: http.MethodPost, Path: "/Users", Body: u.wire(), Write: true,
		Conflict: ErrNameTaken,
	}, wireUser.user)
}

// DeleteUser deletes a user's record for good, and deactivates the account if the organization manages it. The same
// person provisioned again gets a new ID.
func (w Writer) DeleteUser(ctx context.Context, id string) error {
	const operation = "delete SCIM user"
	path, err := resourcePath(operation, "Users", id)
	if err != nil {
		return err
	}
	return w.wire.Do(ctx, wire.Request{Operation: operation, Method: http.MethodDelete, Path: path, Write: true})
}
