package organization

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/castellan-io/castellan/atlassian/internal/wire"
)

// RoleOrgAdmin is the organization-admin role.
const RoleOrgAdmin = "atlassian/org-admin"

// appRoles are the roles that the vendor's file lists for a person on a resource, without the organization's own.
var appRoles = []string{
	"atlassian/user", "atlassian/user-access-admin", "atlassian/admin", "atlassian/guest", "atlassian/contributor",
	"atlassian/customer", "atlassian/basic", "atlassian/stakeholder", "atlassian/site-admin",
}

// AssignOrgRole gives an account a role on the whole organization; the vendor knows only RoleOrgAdmin. It takes effect
// within 30 seconds: until then a read may show the old state.
func (w Writer) AssignOrgRole(ctx context.Context, accountID, role string) error {
	return w.orgRole(ctx, "assign organization role", accountID, role, "assign")
}

// RevokeOrgRole revokes a role on the whole organization, with the delay of AssignOrgRole.
func (w Writer) RevokeOrgRole(ctx context.Context, accountID, role string) error {
	return w.orgRole(ctx, "revoke organization role", accountID, role, "revoke")
}

func (w Writer) orgRole(ctx context.Context, operation, accountID, role, verb string) error {
	if role != RoleOrgAdmin {
		return wire.Invalid(pkg, operation, "%q is not a role on the organization; the only one is %s", role,
			RoleOrgAdmin)
	}
	path, err := path(operation, "v1", "orgs", w.org, "users", accountPart(accountID), "role-assignments", verb)
	if err != nil {
		return err
	}
	body := struct {
		Role string `json:"role"`
	}{role}
	return w.wire.Do(ctx, wire.Request{Operation: operation, Method: http.MethodPost, Path: path, Body: body,
		Write: true})
}

// AssignRole gives an account a role on a resource, directly and not through a group: role is for example
// atlassian/admin, resource the ARI of an app on a site, as Workspaces lists it. For RoleOrgAdmin use AssignOrgRole.
//
// The vendor documents neither how soon reads show it, nor the response if the account already has the role, nor
// whether it becomes a membership in the role's default group, as it does in the web interface. So read back with
// UserRoleAssignments, waiting as long as after AssignOrgRole. ErrNotFound means that the account is not in the
// organization, ErrLicenceLimit (409, ADMIN-UAM-409-3) that the app has no free licence, ErrInvalid also that the
// resource does not know the role (ADMIN-UAM-400-3).
func (w Writer) AssignRole(ctx context.Context, accountID, role, resource string) error {
	return w.appRole(ctx, "assign role", accountID, role, resource, "assign")
}

// RevokeRole revokes a role on a resource, with the delay of AssignRole. The account keeps what a group gives it.
func (w Writer) RevokeRole(ctx context.Context, accountID, role, resource string) error {
	return w.appRole(ctx, "revoke role", accountID, role, resource, "revoke")
}

func (w Writer) appRole(ctx context.Context, operation, accountID, role, resource, verb string) error {
	switch {
	case role == RoleOrgAdmin:
		return wire.Invalid(pkg, operation, "%s is a role on the whole organization, which has calls of its own", role)
	case !slices.Contains(appRoles, role):
		return wire.Invalid(pkg, operation, "%q is not a role on an app; write one of %s", role,
			strings.Join(appRoles, ", "))
	case !strings.HasPrefix(resource, "ari:"):
		return wire.Invalid(pkg, operation, "%q is not the ARI of a resource", resource)
	}
	path, err := path(operation, "v1", "orgs", w.org, "users", accountPart(accountID), "roles", verb)
	if err != nil {
		return err
	}
	body := struct {
		Role     string `json:"role"`
		Resource string `json:"resource"`
	}{role, resource}
	return w.wire.Do(ctx, wire.Request{Operation: operation, Method: http.MethodPost, Path: path, Body: body,
		Write: true})
}
