package organization

import (
	"context"
	"net/http"

	"github.com/castellan-io/castellan/atlassian/internal/wire"
)

// RoleOrgAdmin is the organization-admin role.
const RoleOrgAdmin = "atlassian/org-admin"

// AddMember puts an account into a group. The directory must be the account's own, never "-".
//
// ErrAlreadyMember means that it is done. The vendor documents one 409 for two things: where the answer does not tell
// which, the error is ErrConflict and only reading back does. ErrForbidden is the answer for a synced group.
func (c *Client) AddMember(ctx context.Context, directory, groupID, accountID string) error {
	const operation = "add member"
	if !wire.Segment(accountID) {
		return wire.Invalid(pkg, operation, "%q cannot be the account's id", accountID)
	}
	path, err := c.directoryPath(operation, directory, true, "groups", groupPart(groupID), "memberships")
	if err != nil {
		return err
	}
	body := struct {
		AccountID string `json:"accountId"`
	}{accountID}
	return c.wire.Do(ctx, wire.Request{Operation: operation, Method: http.MethodPost, Path: path, Body: body, Write: true})
}

// RemoveMember takes an account out of a group. ErrNotFound means that the organization, the directory, the group or
// the membership is not there: whoever only wants the person out may take it for done.
func (c *Client) RemoveMember(ctx context.Context, directory, groupID, accountID string) error {
	const operation = "remove member"
	path, err := c.directoryPath(operation, directory, true, "groups", groupPart(groupID), "memberships", accountPart(accountID))
	if err != nil {
		return err
	}
	return c.wire.Do(ctx, wire.Request{Operation: operation, Method: http.MethodDelete, Path: path, Write: true})
}

// AssignOrgRole gives an account a role on the whole organization; the vendor knows only RoleOrgAdmin. It settles within
// 30 seconds: until then a read may show the old state.
func (c *Client) AssignOrgRole(ctx context.Context, accountID, role string) error {
	return c.orgRole(ctx, "assign organization role", accountID, role, "assign")
}

// RevokeOrgRole takes a role on the whole organization away, on the same terms as AssignOrgRole.
func (c *Client) RevokeOrgRole(ctx context.Context, accountID, role string) error {
	return c.orgRole(ctx, "revoke organization role", accountID, role, "revoke")
}

func (c *Client) orgRole(ctx context.Context, operation, accountID, role, verb string) error {
	if role != RoleOrgAdmin {
		return wire.Invalid(pkg, operation, "%q is not a role on the organization; the only one is %s", role, RoleOrgAdmin)
	}
	path, err := path(operation, "v1", "orgs", c.org, "users", accountPart(accountID), "role-assignments", verb)
	if err != nil {
		return err
	}
	body := struct {
		Role string `json:"role"`
	}{role}
	return c.wire.Do(ctx, wire.Request{Operation: operation, Method: http.MethodPost, Path: path, Body: body, Write: true})
}

func accountPart(accountID string) id { return id{"account's id", accountID} }
