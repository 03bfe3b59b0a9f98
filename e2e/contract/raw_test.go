package contract_test

import (
	"net/http"
	"net/url"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/atlassian/organization"
)

type object = map[string]any

// driveOtherSCIM asks for what the provisioning client has no method for.
func driveOtherSCIM(c *contractTest) {
	ctx, base := c.t.Context(), c.inSCIM()
	ana := c.user("ana")
	group := c.raw(ctx, 201, http.MethodPost, base+"/Groups",
		object{"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:Group"}, "displayName": "whole"})
	path := base + "/Groups/" + group["id"].(string)
	c.raw(ctx, 200, http.MethodPut, path, object{"displayName": "whole", "members": []object{{"value": ana.ID}}})
	c.raw(ctx, 400, http.MethodPut, path, object{"displayName": "whole", "members": []object{{"value": "nobody"}}})
	for _, what := range []string{
		"/ServiceProviderConfig", "/ResourceTypes", "/ResourceTypes/User", "/ResourceTypes/Group", "/Schemas",
		"/Schemas/urn:ietf:params:scim:schemas:core:2.0:User", "/Schemas/urn:ietf:params:scim:schemas:core:2.0:Group",
		"/Schemas/urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
	} {
		c.raw(ctx, 200, http.MethodGet, base+what, nil)
	}
	c.raw(ctx, 200, http.MethodGet, base+"/Users?attributes=userName", nil)
	c.raw(deliberate(ctx), 400, http.MethodGet, base+"/Users?filter="+url.QueryEscape(`title co "x"`), nil)
}

// driveOtherOrganization asks for what the organization client has no method for.
func driveOtherOrganization(c *contractTest) {
	ctx, directory := c.t.Context(), c.inDirectory()
	ana, group := c.user("ana"), c.group("apps")
	workspaces, err := c.org.Workspaces(ctx, "")
	require.NoError(c.t, err)
	app := workspaces.Items[0].ID

	for _, list := range []string{
		"/groups?limit=2&includeUsers=true", "/groups/count", "/groups/count?searchTerm=jira", "/groups/stats",
		"/users?limit=1&accountIds=" + ana.AtlassianAccountID, "/users/count", "/users/stats",
	} {
		c.raw(ctx, 200, http.MethodGet, directory+list, nil)
	}

	role := object{"resourceId": app, "roleId": "atlassian/user"}
	c.raw(ctx, 200, http.MethodPost, directory+"/groups/"+group+"/role-assignments/assign", role)
	require.NoError(c.t, c.org.AddMember(ctx, c.info.DirectoryID, group, ana.AtlassianAccountID))
	_, err = c.org.SearchUsers(ctx, c.info.DirectoryID,
		organization.UserQuery{RoleIDs: []string{"atlassian/user"}, Expand: []string{organization.ExpandProductAccess}})
	require.NoError(c.t, err)
	c.raw(ctx, 204, http.MethodPost, directory+"/groups/"+group+"/role-assignments/revoke", role)

	v1 := c.inOrg("v1")
	c.raw(ctx, 200, http.MethodGet, v1+"/users", nil)
	c.raw(ctx, 200, http.MethodGet, v1+"/policies", nil)
	domains := c.raw(ctx, 200, http.MethodGet, v1+"/domains", nil)
	for _, d := range domains["data"].([]any) {
		c.raw(ctx, 200, http.MethodGet, v1+"/domains/"+d.(object)["id"].(string), nil)
	}
	events := c.raw(ctx, 200, http.MethodGet, v1+"/events?limit=2", nil)
	c.raw(ctx, 200, http.MethodGet, v1+"/events?action=user_created", nil)
	c.raw(ctx, 200, http.MethodGet, v1+"/events/"+events["data"].([]any)[0].(object)["id"].(string), nil)
	c.raw(ctx, 200, http.MethodPost, c.inOrg("v2")+"/workspaces", object{
		"limit": 1, "sort": []object{{"field": "attributes.type", "order": "asc"}},
		"query": object{"and": []object{
			{"field": object{"name": "attributes.typeKey", "values": []string{workspaces.Items[0].Key}}},
			{"searchWorkspaces": "acme"}}},
	})

	c.raw(ctx, 204, http.MethodDelete, directory+"/groups/"+group, nil)
}
