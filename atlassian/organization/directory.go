package organization

import (
	"context"
	"net/http"

	"github.com/castellan-io/castellan/atlassian/internal/wire"
)

// Org is an organization.
type Org struct{ ID, Name string }

type orgItem struct {
	ID         string
	Attributes struct{ Name string }
}

func (i orgItem) org() (Org, error) {
	if i.ID == "" {
		return Org{}, errNoID
	}
	return Org{ID: i.ID, Name: i.Attributes.Name}, nil
}

// Orgs lists the organizations that the key belongs to. The size of a page is the API's own choice.
func (c *Client) Orgs(ctx context.Context, cursor string) (Page[Org], error) {
	return list(ctx, c, wire.Request{
		Operation: "list organizations", Method: http.MethodGet, Path: "/v1/orgs", Query: pageQuery(cursor, 0),
	}, cursor, orgItem.org)
}

// Org reads the organization itself.
func (c *Client) Org(ctx context.Context) (Org, error) {
	return get(ctx, c, "read organization", wire.Path("v1", "orgs", c.org), orgItem.org)
}

// Directory is a directory of users and groups. An organization with centralized user management has exactly one; one
// on the original experience may have several.
type Directory struct{ ID, Name string }

type directoryItem struct{ DirectoryID, Name string }

func (i directoryItem) directory() (Directory, error) {
	if i.DirectoryID == "" {
		return Directory{}, errNoID
	}
	return Directory{ID: i.DirectoryID, Name: i.Name}, nil
}

// Directories lists the directories, a hundred to a page.
func (c *Client) Directories(ctx context.Context, cursor string) (Page[Directory], error) {
	return list(ctx, c, wire.Request{
		Operation: "list directories", Method: http.MethodGet, Path: wire.Path("v2", "orgs", c.org, "directories"),
		Query: pageQuery(cursor, MaxPage),
	}, cursor, directoryItem.directory)
}

// Domain is an e-mail domain of the organization.
type Domain struct {
	ID          string
	Name        string
	ClaimType   string // http or dns
	ClaimStatus string // verified, unverified, deleted, superseded or missing_token
}

// Verified reports whether the organization has verified the domain.
func (d Domain) Verified() bool { return d.ClaimStatus == "verified" }

type domainItem struct {
	ID         string
	Attributes struct {
		Name  string
		Claim struct{ Type, Status string }
	}
}

func (i domainItem) domain() (Domain, error) {
	if i.ID == "" {
		return Domain{}, errNoID
	}
	a := i.Attributes
	return Domain{ID: i.ID, Name: a.Name, ClaimType: a.Claim.Type, ClaimStatus: a.Claim.Status}, nil
}

// Domains lists the organization's domains. The size of a page is the API's own choice.
func (c *Client) Domains(ctx context.Context, cursor string) (Page[Domain], error) {
	return list(ctx, c, wire.Request{
		Operation: "list domains", Method: http.MethodGet, Path: wire.Path("v1", "orgs", c.org, "domains"),
		Query: pageQuery(cursor, 0),
	}, cursor, domainItem.domain)
}
