package scim

import (
	"context"
	"net/http"
	"strings"

	"github.com/castellan-io/castellan/atlassian/internal/wire"
)

// Group is a group of the SCIM directory. Its name cannot be changed.
type Group struct {
	ID          string // the directory's own id; given by the API
	ExternalID  string // the identity provider's id
	DisplayName string
	MemberIDs   []string // SCIM ids of users, not Atlassian account ids
}

// wireGroup is a group as the API writes and reads it.
type wireGroup struct {
	Schemas     []string        `json:"schemas,omitempty"`
	ID          string          `json:"id,omitempty"`
	ExternalID  string          `json:"externalId,omitempty"`
	DisplayName string          `json:"displayName"`
	Members     []wireReference `json:"members,omitempty"`
}

func (w wireGroup) group() (Group, error) {
	if w.ID == "" {
		return Group{}, errNoID
	}
	g := Group{ID: w.ID, ExternalID: w.ExternalID, DisplayName: w.DisplayName}
	for _, m := range w.Members {
		g.MemberIDs = append(g.MemberIDs, m.Value)
	}
	return g, nil
}

// GroupQuery finds groups.
type GroupQuery struct {
	DisplayName string // exact; "" for all
	Start       int    // index of the first group, counted from 1; 0 means 1
	Count       int    // groups on a page; 0 means MaxPage
}

// Groups lists groups with their members, one page.
func (c *Client) Groups(ctx context.Context, q GroupQuery) (Page[Group], error) {
	var filter string
	if q.DisplayName != "" {
		filter = equals("displayName", q.DisplayName)
	}
	return list(ctx, c, "list SCIM groups", "/Groups", filter, q.Start, q.Count, wireGroup.group)
}

// Group reads one group with its members.
func (c *Client) Group(ctx context.Context, id string) (Group, error) {
	const operation = "read SCIM group"
	path, err := resourcePath(operation, "Groups", id)
	if err != nil {
		return Group{}, err
	}
	return exchange(ctx, c, wire.Request{Operation: operation, Method: http.MethodGet, Path: path}, wireGroup.group)
}

// CreateGroup creates a group; ErrNameTaken if there is one of that name. Beware: for the name of a default or built-in
// group the API reports success, and the group never appears in the organization.
func (w Writer) CreateGroup(ctx context.Context, g Group) (Group, error) {
	const operation = "create SCIM group"
	if strings.TrimSpace(g.DisplayName) == "" {
		return Group{}, wire.Invalid(pkg, operation, "a group needs a display name")
	}
	body := wireGroup{Schemas: []string{schemaGroup}, ExternalID: g.ExternalID, DisplayName: g.DisplayName,
		Members: members(g.MemberIDs)}
	return exchange(ctx, w.Client, wire.Request{
		Operation: operation, Method: http.MethodPost, Path: "/Groups", Body: body, Write: true, Conflict: ErrNameTaken,
	}, wireGroup.group)
}

// AddMembers adds users to a group, unless they are members already. It returns the group after that.
func (w Writer) AddMembers(ctx context.Context, groupID string, userIDs ...string) (Group, error) {
	return w.patchMembers(ctx, "add SCIM members", "add", groupID, userIDs)
}

// RemoveMembers removes users from a group. It returns the group after that.
func (w Writer) RemoveMembers(ctx context.Context, groupID string, userIDs ...string) (Group, error) {
	return w.patchMembers(ctx, "remove SCIM members", "remove", groupID, userIDs)
}

// ReplaceMembers makes exactly these users the group's members; none empties it. It returns the group after that.
func (w Writer) ReplaceMembers(ctx context.Context, groupID string, userIDs ...string) (Group, error) {
	return w.patchMembers(ctx, "replace SCIM members", "replace", groupID, userIDs)
}

func (w Writer) patchMembers(ctx context.Context, operation, op, groupID string, userIDs []string) (Group, error) {
	path, err := resourcePath(operation, "Groups", groupID)
	if err != nil {
		return Group{}, err
	}
	// By RFC 7644 §3.5.2.2, a remove without values would remove every member.
	if len(userIDs) == 0 && op != "replace" {
		return Group{}, wire.Invalid(pkg, operation, "no users are named")
	}
	for _, id := range userIDs {
		if !wire.Segment(id) {
			return Group{}, wire.Invalid(pkg, operation, "%q cannot be a user's SCIM id", id)
		}
	}
	return exchange(ctx, w.Client, wire.Request{
		Operation: operation, Method: http.MethodPatch, Path: path, Write: true,
		Body: patchOf(patchOperation{Op: op, Path: "members", Value: members(userIDs)}),
	}, wireGroup.group)
}

// DeleteGroup deletes a group here and in the organization: its members lose what only it gave them.
func (w Writer) DeleteGroup(ctx context.Context, id string) error {
	const operation = "delete SCIM group"
	path, err := resourcePath(operation, "Groups", id)
	if err != nil {
		return err
	}
	return w.wire.Do(ctx, wire.Request{Operation: operation, Method: http.MethodDelete, Path: path, Write: true})
}

// members never returns nil: replacing all members by none needs an empty array.
func members(ids []string) []wireReference {
	all := make([]wireReference, len(ids))
	for i, id := range ids {
		all[i].Value = id
	}
	return all
}
