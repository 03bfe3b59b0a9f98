package organization

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/castellan-io/castellan/atlassian/internal/wire"
)

// How a user came to hold a role.
const (
	MethodDirect   = "direct"       // it was given to the user
	MethodGroup    = "group_direct" // a group of the user's gives it
	MethodInferred = "inferred"     // it follows from something else that the user holds
)

// UserRoles is the roles that a user holds on one resource.
type UserRoles struct {
	ResourceID       string // ARI
	ResourceOwner    string // the app's key, for example jira-software
	DirectoryID      string // "" for roles above the apps, such as RoleOrgAdmin
	MembershipStatus string // of the user in that directory: active, suspended or no_membership; "" without one
	Roles            []string
	Methods          map[string][]string // by role, the Method… constants; nil if the API does not tell
}

// userRolesItem has the roles twice: the plain list is deprecated, and the one with methods is from August 2026.
type userRolesItem struct {
	ResourceID, ResourceOwner, DirectoryID, UserDirectoryStatus string
	Roles                                                       []string
	RoleAssignments                                             []struct {
		Role                  string
		RoleAssignmentMethods []string
	}
}

func (i userRolesItem) roles() (UserRoles, error) {
	if i.ResourceID == "" {
		return UserRoles{}, errors.New("a role assignment names no resource")
	}
	r := UserRoles{
		ResourceID: i.ResourceID, ResourceOwner: i.ResourceOwner, DirectoryID: i.DirectoryID,
		MembershipStatus: i.UserDirectoryStatus, Roles: i.Roles,
	}
	if i.RoleAssignments != nil {
		r.Methods = make(map[string][]string, len(i.RoleAssignments))
	}
	for _, a := range i.RoleAssignments {
		if a.Role == "" {
			return UserRoles{}, errors.New("a role assignment names no role")
		}
		if !slices.Contains(r.Roles, a.Role) {
			r.Roles = append(r.Roles, a.Role)
		}
		r.Methods[a.Role] = append(r.Methods[a.Role], a.RoleAssignmentMethods...)
	}
	return r, nil
}

// RoleFilter narrows a user's role assignments. A nil filter does not filter.
type RoleFilter struct {
	ResourceIDs []string // at most 20 ARIs
	RoleIDs     []string // at most 10, for example atlassian/admin
}

// UserRoleAssignments lists the roles that a user holds, however acquired, a hundred resources to a page. For the next
// page, use the same filter and its cursor. A role changed a moment ago may not show yet.
func (c *Client) UserRoleAssignments(
	ctx context.Context, directory, accountID string, f RoleFilter, cursor string,
) (Page[UserRoles], error) {
	const operation = "list user role assignments"
	check := checks{operation: operation}
	query := pageQuery(cursor, MaxPage)
	query["resourceIds"] = check.values("ResourceIDs", f.ResourceIDs, 20)
	query["roleIds"] = check.values("RoleIDs", f.RoleIDs, 10)
	if check.err != nil {
		return Page[UserRoles]{}, check.err
	}
	path, err := c.directoryPath(operation, directory, false, "users", accountPart(accountID), "role-assignments")
	if err != nil {
		return Page[UserRoles]{}, err
	}
	return list(ctx, c, wire.Request{
		Operation: operation, Method: http.MethodGet, Path: path, Query: query,
	}, cursor, userRolesItem.roles)
}
