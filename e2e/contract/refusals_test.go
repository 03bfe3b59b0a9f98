package contract_test

import (
	"context"
	"net/http"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/atlassian/scim"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// calls returns all operations of the organization client, with the account and the group given.
func (c *contractTest) calls(client organization.Writer, group, account string) map[string]func(context.Context) error {
	directory := c.info.DirectoryID
	return map[string]func(context.Context) error{
		"orgs":        func(ctx context.Context) error { _, err := client.Orgs(ctx, ""); return err },
		"org":         func(ctx context.Context) error { _, err := client.Org(ctx); return err },
		"directories": func(ctx context.Context) error { _, err := client.Directories(ctx, ""); return err },
		"domains":     func(ctx context.Context) error { _, err := client.Domains(ctx, ""); return err },
		"workspaces":  func(ctx context.Context) error { _, err := client.Workspaces(ctx, ""); return err },
		"search groups": func(ctx context.Context) error {
			_, err := client.SearchGroups(ctx, directory, organization.GroupQuery{})
			return err
		},
		"search users": func(ctx context.Context) error {
			_, err := client.SearchUsers(ctx, directory, organization.UserQuery{})
			return err
		},
		"group": func(ctx context.Context) error { _, err := client.Group(ctx, directory, group); return err },
		"role assignments": func(ctx context.Context) error {
			_, err := client.GroupRoleAssignments(ctx, directory, group, "")
			return err
		},
		"events": func(ctx context.Context) error {
			_,
				err := client.Events(ctx, organization.EventQuery{})
			return err
		},
		"event actions": func(ctx context.Context) error { _, err := client.EventActions(ctx); return err },
		"create group":  func(ctx context.Context) error { return client.CreateGroup(ctx, directory, "refused", "") },
		"add member":    func(ctx context.Context) error { return client.AddMember(ctx, directory, group, account) },
		"assign role to group": func(ctx context.Context) error {
			return client.AssignGroupRole(ctx, directory, group, "atlassian/user", "ari:cloud:jira-software::site/1")
		},
		"remove member": func(ctx context.Context) error { return client.RemoveMember(ctx, directory, group, account) },
		"assign role": func(ctx context.Context) error {
			return client.AssignOrgRole(ctx, account,
				organization.RoleOrgAdmin)
		},
		"revoke role": func(ctx context.Context) error {
			return client.RevokeOrgRole(ctx, account,
				organization.RoleOrgAdmin)
		},
		"assign app role": func(ctx context.Context) error {
			return client.AssignRole(ctx, account, "atlassian/admin", c.app())
		},
		"revoke app role": func(ctx context.Context) error {
			return client.RevokeRole(ctx, account, "atlassian/admin", c.app())
		},
		"user": func(ctx context.Context) error { _, err := client.User(ctx, directory, account); return err },
		"user roles": func(ctx context.Context) error {
			_, err := client.UserRoleAssignments(ctx, directory, account, organization.RoleFilter{}, "")
			return err
		},
		"last active": func(ctx context.Context) error { _, err := client.LastActive(ctx, account, ""); return err },
		"suspend":     func(ctx context.Context) error { return client.SuspendUser(ctx, directory, account) },
		"restore":     func(ctx context.Context) error { return client.RestoreUser(ctx, directory, account) },
		"remove user": func(ctx context.Context) error { return client.RemoveUser(ctx, directory, account) },
		"invite": func(ctx context.Context) error {
			_, err := client.Invite(ctx, organization.Invitation{Email: "refused@acme.example"})
			return err
		},
	}
}

var writes = map[string]bool{
	"create group": true, "add member": true, "remove member": true, "assign role": true, "revoke role": true,
	"assign app role": true, "assign role to group": true,
	"revoke app role": true, "suspend": true, "restore": true, "remove user": true, "invite": true,
}

// driveRefusals meets every kind of refusal: its shape is checked, and that the client knows it for what it is.
func driveRefusals(t *testing.T, check *checker) {
	t.Run("keys", func(t *testing.T) {
		c := newContractTest(t, check, nil)
		group, ana := c.group("some"), c.user("ana").AtlassianAccountID
		require.Len(t, c.calls(c.org, group, ana), reflect.TypeFor[organization.Writer]().NumMethod(),
			"a call of the client is left out")
		for name, call := range c.calls(c.organization(c.info.OrgID, unknownKey), group, ana) {
			require.ErrorIs(t, call(t.Context()), organization.ErrUnauthorized, name)
		}
		for name, call := range c.calls(c.organization(c.info.OrgID, readOnlyKey), group, ana) {
			if writes[name] {
				require.ErrorIs(t, call(t.Context()), organization.ErrForbidden, name)
			}
		}
		other := c.organization(c.info.OrgID, otherOrgKey)
		calls := c.calls(other, group, ana)
		// the reads for which the vendor describes a 403
		for _, name := range []string{"domains", "workspaces", "search groups", "search users", "user", "last active"} {
			require.ErrorIs(t, calls[name](t.Context()), organization.ErrForbidden, name)
		}
		_, err := c.scimClient(unknownKey).Users(t.Context(), scim.UserQuery{})
		require.ErrorIs(t, err, scim.ErrUnauthorized)
	})
	t.Run("no Guard", func(t *testing.T) {
		c := newContractTest(t, check, func(s *cloud.Settings) { s.Guard = false })
		_, err := c.org.Events(t.Context(), organization.EventQuery{})
		require.ErrorIs(t, err, organization.ErrForbidden)
	})
	t.Run("absent things", func(t *testing.T) {
		c := newContractTest(t, check, nil)
		calls := c.calls(c.org, "6b1d5b2c-0000-4000-8000-000000000000", "712020:6b1d5b2c-0000-4000-8000-000000000000")
		for _, name := range []string{"group", "role assignments", "add member", "remove member", "assign role",
			"revoke role",
			"assign app role", "revoke app role", "user", "user roles", "last active", "suspend", "restore",
			"remove user"} {
			require.ErrorIs(t, calls[name](t.Context()), organization.ErrNotFound, name)
		}
		_, err := c.organization("6b1d5b2c-0000-4000-8000-000000000000", cloud.DefaultKey).Org(t.Context())
		require.ErrorIs(t, err, organization.ErrNotFound)
		_, err = c.scim.Group(t.Context(), "nothing")
		require.ErrorIs(t, err, scim.ErrNotFound)
	})
	t.Run("bad requests", func(t *testing.T) {
		c := newContractTest(t, check, nil)
		ctx, directory := deliberate(t.Context()), c.inDirectory()
		_, err := c.org.SearchUsers(ctx, c.info.DirectoryID, organization.UserQuery{Cursor: "not-one-of-yours"})
		require.ErrorIs(t, err, organization.ErrInvalid)
		_, err = c.org.Orgs(ctx, "not-one-of-yours")
		require.ErrorIs(t, err, organization.ErrInvalid)
		_, err = c.org.Events(ctx, organization.EventQuery{Cursor: "not-one-of-yours"})
		require.ErrorIs(t, err, organization.ErrInvalid)
		_, err = c.org.Workspaces(ctx, "not-one-of-yours")
		require.ErrorIs(t, err, organization.ErrInvalid)
		eleven := []string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"}
		c.raw(ctx, 400, http.MethodPost, directory+"/users/search", object{"accountIds": eleven})
		c.raw(ctx, 400, http.MethodPost, directory+"/groups/search", object{"groupIds": eleven})
		c.raw(ctx, 400, http.MethodPost, directory+"/groups/search",
			object{"groupNames": []string{"a"}, "searchTerm": "a"})
		c.raw(ctx, 400, http.MethodPost, directory+"/users/search", object{"limit": 101})
		c.raw(ctx, 400, http.MethodPost, directory+"/groups", object{"name": ""})
		c.raw(ctx, 400, http.MethodPost, c.inOrg("v1")+"/users/x/role-assignments/assign",
			object{"role": "atlassian/king"})
		c.raw(ctx, 400, http.MethodPost, c.inOrg("v2")+"/users/invite", object{"emails": []string{}})
		ana := c.user("ana").AtlassianAccountID
		require.ErrorIs(t, c.org.AssignRole(ctx, ana, "atlassian/admin", "ari:cloud:nothing::site/1"),
			organization.ErrInvalid)
		_, err = c.org.UserRoleAssignments(ctx, c.info.DirectoryID, ana, organization.RoleFilter{}, "not-one-of-yours")
		require.ErrorIs(t, err, organization.ErrInvalid)
		_, err = c.org.LastActive(ctx, ana, "not-one-of-yours")
		require.ErrorIs(t, err, organization.ErrInvalid)
		_, err = c.org.Invite(ctx, organization.Invitation{Email: "eve@acme.example", Groups: []string{"nothing"}})
		require.ErrorIs(t, err, organization.ErrNotFound)
	})
	t.Run("licences", func(t *testing.T) {
		c := newContractTest(t, check, func(s *cloud.Settings) { s.Licences = map[string]int{"jira/acme": 1} })
		users := c.groupNamed("jira-users-acme")
		require.NoError(t, c.org.AddMember(t.Context(), c.info.DirectoryID, users, c.user("ana").AtlassianAccountID))
		bo := c.user("bo").AtlassianAccountID
		require.ErrorIs(t, c.org.AddMember(t.Context(), c.info.DirectoryID, users, bo), organization.ErrLicenceLimit)
		require.ErrorIs(t, c.org.AssignRole(t.Context(), bo, "atlassian/user", c.app()), organization.ErrLicenceLimit)
		eve := organization.Invitation{Email: "eve@acme.example",
			Rules:  []organization.InviteRule{{Resource: c.app(), Role: "atlassian/user"}},
			Groups: []string{c.group("some")}}
		invited, err := c.org.Invite(t.Context(), eve)
		require.NoError(t, err)
		require.NotEmpty(t, invited.AccountID)
		require.Len(t, invited.Failed, 1)
		require.Equal(t, c.app(), invited.Failed[0].Resource)
		for _, status := range []int{402, 409} {
			c.strike(cloud.Fault{Kind: cloud.FaultStatus, Params: cloud.FaultParams{Status: status}})
			_, err := c.org.Invite(t.Context(), eve)
			require.ErrorIs(t, err, organization.ErrLicenceLimit)
		}
		c.sim.ClearFaults("")
		suspended := c.user("carol").AtlassianAccountID
		require.NoError(t, c.org.AssignRole(t.Context(), suspended, "atlassian/user", c.resource("confluence")))
		require.NoError(t, c.org.SuspendUser(t.Context(), c.info.DirectoryID, suspended))
		require.NoError(t, c.sim.Configure(
			func(s *cloud.Settings) error { s.Licences["confluence/acme"] = 0; return nil }))
		require.ErrorIs(t, c.org.RestoreUser(t.Context(), c.info.DirectoryID, suspended), organization.ErrLicenceLimit)
	})
	t.Run("limits and outages", func(t *testing.T) {
		c := newContractTest(t, check, nil)
		group, ana := c.group("some"), c.user("ana").AtlassianAccountID
		for name, call := range c.calls(c.org, group, ana) {
			c.strike(cloud.Fault{Kind: cloud.FaultStatus, Params: cloud.FaultParams{Status: 429, RetryAfter: "7"}})
			if name != "workspaces" { // the vendor describes no 429 for it
				err := call(t.Context())
				require.ErrorIs(t, err, organization.ErrRateLimited, name)
				var failure *organization.Error
				require.ErrorAs(t, err, &failure)
				require.Equal(t, 7.0, failure.RetryAfter.Seconds())
			}
			c.strike(cloud.Fault{Kind: cloud.FaultStatus, Params: cloud.FaultParams{Status: 500}})
			if writes[name] {
				require.ErrorIs(t, call(t.Context()), organization.ErrOutcomeUnknown, name)
			} else {
				require.ErrorIs(t, call(t.Context()), organization.ErrUnavailable, name)
			}
		}
		c.strike(cloud.Fault{Kind: cloud.FaultStatus, Params: cloud.FaultParams{Status: 503}})
		_, err := c.scim.Users(t.Context(), scim.UserQuery{})
		require.ErrorIs(t, err, scim.ErrUnavailable)
	})
}

// strike arms one fault in place of all others.
func (c *contractTest) strike(f cloud.Fault) {
	c.t.Helper()
	c.sim.ClearFaults("")
	_, err := c.sim.Inject(f)
	require.NoError(c.t, err)
}
