package organization

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/castellan-io/castellan/atlassian/internal/wire"
)

// Group is a group of a directory.
type Group struct {
	ID             string // without the ARI around it
	Name           string
	Description    string
	DirectoryID    string
	ExternalSynced bool   // an identity provider's sync created it
	ManagedBy      string // external, admins, team-members or open; may be empty
	Modifiable     bool   // the key may change its members; true if the API does not tell
	Deletable      bool   // the key may delete it; true if the API does not tell
	Users          int    // number of members; -1 when not expanded
	Resources      int    // number of resources on which it has a role; -1 when not expanded
}

// Writable reports whether this API can change the group's memberships: no identity provider owns it.
func (g Group) Writable() bool {
	return g.Modifiable && !g.ExternalSynced && g.ManagedBy != "external"
}

type groupItem struct {
	ID, Name, Description, DirectoryID string
	ExternalSynced                     bool
	ManagedBy                          string
	ManagementAccess                   struct{ Modifiable, Deletable *bool }
	Counts                             struct{ Users, Resources *int }
}

func (i groupItem) group() (Group, error) {
	if i.ID == "" {
		return Group{}, errNoID
	}
	if i.Name == "" {
		return Group{}, errors.New("a group has no name")
	}
	return Group{
		ID: BareID(i.ID), Name: i.Name, Description: i.Description, DirectoryID: i.DirectoryID,
		ExternalSynced: i.ExternalSynced, ManagedBy: i.ManagedBy,
		Modifiable: orTrue(i.ManagementAccess.Modifiable), Deletable: orTrue(i.ManagementAccess.Deletable),
		Users: orUnknown(i.Counts.Users), Resources: orUnknown(i.Counts.Resources),
	}, nil
}

func orTrue(b *bool) bool { return b == nil || *b }

func orUnknown(n *int) int {
	if n == nil || *n < 0 {
		return -1
	}
	return *n
}

// The expansions of a group.
const (
	ExpandUserCount     = "counts.users"
	ExpandResourceCount = "counts.resources"
)

// GroupQuery filters groups. A nil filter does not filter; every filter narrows the others. For the next page, use the
// same query and its cursor.
type GroupQuery struct {
	Cursor         string
	Limit          int      // groups on a page, 1 to 100; 0 means 100
	GroupIDs       []string // at most 10; not with Names
	Names          []string // at most 100 full names, compared without regard to case; not with GroupIDs or SearchTerm
	SearchTerm     string   // free text on the name; not with Names
	AccountIDs     []string // at most 10: groups that these accounts are members of
	DirectoryIDs   []string // at most 10
	ResourceIDs    []string // at most 20 ARIs
	ResourceOwners []string // at most 10 app keys, for example jira-software
	RoleIDs        []string // at most 10, for example atlassian/user
	Expand         []string // ExpandUserCount, ExpandResourceCount
	SortByName     bool
}

type groupSearch struct {
	Cursor         string      `json:"cursor,omitempty"`
	Limit          int         `json:"limit,omitempty"`
	GroupIDs       []string    `json:"groupIds,omitempty"`
	GroupNames     []string    `json:"groupNames,omitempty"`
	SearchTerm     string      `json:"searchTerm,omitempty"`
	AccountIDs     []string    `json:"accountIds,omitempty"`
	DirectoryIDs   []string    `json:"directoryIds,omitempty"`
	ResourceIDs    []string    `json:"resourceIds,omitempty"`
	ResourceOwners []string    `json:"resourceOwners,omitempty"`
	RoleIDs        []string    `json:"roleIds,omitempty"`
	Expand         []string    `json:"expand,omitempty"`
	SortBy         []sortField `json:"sortBy,omitempty"`
}

type sortField struct {
	Field     string `json:"field"`
	Direction string `json:"direction"`
}

func (q GroupQuery) search(operation string) (groupSearch, error) {
	c := checks{operation: operation}
	s := groupSearch{
		Cursor: q.Cursor, Limit: c.limit(q.Limit, MaxPage, MaxPage), SearchTerm: q.SearchTerm,
		GroupIDs: c.groups("GroupIDs", q.GroupIDs, 10), GroupNames: c.values("Names", q.Names, 100),
		AccountIDs:     c.values("AccountIDs", q.AccountIDs, 10),
		DirectoryIDs:   c.values("DirectoryIDs", q.DirectoryIDs, 10),
		ResourceIDs:    c.values("ResourceIDs", q.ResourceIDs, 20),
		ResourceOwners: c.values("ResourceOwners", q.ResourceOwners, 10),
		RoleIDs:        c.values("RoleIDs", q.RoleIDs, 10), Expand: c.values("Expand", q.Expand, 2),
	}
	if q.Names != nil && (q.GroupIDs != nil || q.SearchTerm != "") {
		c.refuse("Names goes neither with GroupIDs nor with SearchTerm")
	}
	if q.SortByName {
		s.SortBy = []sortField{{Field: "name", Direction: "asc"}}
	}
	return s, c.err
}

// SearchGroups finds groups of a directory, or of all of them. A new group may take a second or two to be found.
func (c *Client) SearchGroups(ctx context.Context, directory string, q GroupQuery) (Page[Group], error) {
	const operation = "search groups"
	body, err := q.search(operation)
	if err != nil {
		return Page[Group]{}, err
	}
	path, err := c.directoryPath(operation, directory, false, "groups", "search")
	if err != nil {
		return Page[Group]{}, err
	}
	return list(ctx, c, wire.Request{Operation: operation, Method: http.MethodPost, Path: path, Body: body}, q.Cursor,
		groupItem.group)
}

// Group reads one group.
func (c *Client) Group(ctx context.Context, directory, groupID string) (Group, error) {
	const operation = "read group"
	path, err := c.directoryPath(operation, directory, false, "groups", groupPart(groupID))
	if err != nil {
		return Group{}, err
	}
	return get(ctx, c, operation, path, groupItem.group)
}

// CreateGroup creates a group; ErrNameTaken if there is one of that name. The API does not return the new group's ID:
// find it with SearchGroups and Names, perhaps only after a second or two.
func (w Writer) CreateGroup(ctx context.Context, directory, name, description string) error {
	const operation = "create group"
	if strings.TrimSpace(name) == "" {
		return wire.Invalid(pkg, operation, "a group needs a name")
	}
	path, err := w.directoryPath(operation, directory, true, "groups")
	if err != nil {
		return err
	}
	body := struct {
		Name        string `json:"name"`
		Description string `json:"description,omitempty"`
	}{name, description}
	return w.wire.Do(ctx, wire.Request{Operation: operation, Method: http.MethodPost, Path: path, Body: body,
		Write: true, Conflict: ErrNameTaken})
}

// RoleAssignment is the roles that a group gives on one resource.
type RoleAssignment struct {
	ResourceID    string   // ARI, for example ari:cloud:jira-software::site/<cloud id>
	ResourceOwner string   // the app's key, for example jira-software
	Roles         []string // for example atlassian/user
	DefaultRole   string   // the role that the group is a default group for; "" when it is none
}

type assignmentItem struct {
	ResourceID, ResourceOwner string
	Roles                     []string
	DefaultRole               string
}

func (i assignmentItem) assignment() (RoleAssignment, error) {
	if i.ResourceID == "" {
		return RoleAssignment{}, errors.New("a role assignment names no resource")
	}
	return RoleAssignment(i), nil
}

// GroupRoleAssignments lists the roles that a group gives, a hundred resources to a page.
func (c *Client) GroupRoleAssignments(ctx context.Context, directory, groupID, cursor string) (Page[RoleAssignment],
	error) {
	const operation = "list group role assignments"
	path, err := c.directoryPath(operation, directory, false, "groups", groupPart(groupID), "role-assignments")
	if err != nil {
		return Page[RoleAssignment]{}, err
	}
	return list(ctx, c, wire.Request{
		Operation: operation, Method: http.MethodGet, Path: path, Query: pageQuery(cursor, MaxPage),
	}, cursor, assignmentItem.assignment)
}

// AssignGroupRole gives a role on a resource to the members of a group: role is for example atlassian/user, resource
// the ARI of an app on a site. Reads show it with a delay. The API cannot make the group a default group.
//
// ErrLicenceLimit (409) means that the app has too few free licences for the members, ErrNotFound that the group or the
// resource does not exist. The vendor does not document the answer for a role that the group already gives: where the
// error is ErrConflict, read back with GroupRoleAssignments.
func (w Writer) AssignGroupRole(ctx context.Context, directory, groupID, role, resource string) error {
	const operation = "assign role to group"
	switch {
	case role == "":
		return wire.Invalid(pkg, operation, "no role is named")
	case !strings.HasPrefix(resource, "ari:"):
		return wire.Invalid(pkg, operation, "%q is not the ARI of a resource", resource)
	}
	path, err := w.directoryPath(operation, directory, true, "groups", groupPart(groupID), "role-assignments", "assign")
	if err != nil {
		return err
	}
	body := struct {
		ResourceID string `json:"resourceId"`
		RoleID     string `json:"roleId"`
	}{resource, role}
	return w.wire.Do(ctx, wire.Request{Operation: operation, Method: http.MethodPost, Path: path, Body: body,
		Write: true})
}

func groupPart(groupID string) id { return id{"group's id", BareID(groupID)} }
