package contract_test

import (
	"net/http"
	"net/url"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/atlassian/organization"
)

type object = map[string]any

// driveOtherSCIM asks for what the provisioning client has no method for.
func driveOtherSCIM(w *world) {
	ctx, base := w.t.Context(), w.inSCIM()
	ana := w.user("ana")
	group := w.raw(ctx, 201, http.MethodPost, base+"/Groups",
		object{"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:Group"}, "displayName": "whole"})
	path := base + "/Groups/" + group["id"].(string)
	w.raw(ctx, 200, http.MethodPut, path, object{"displayName": "whole", "members": []object{{"value": ana.ID}}})
	w.raw(ctx, 400, http.MethodPut, path, object{"displayName": "whole", "members": []object{{"value": "nobody"}}})
	for _, what := range []string{
		"/ServiceProviderConfig", "/ResourceTypes", "/ResourceTypes/User", "/ResourceTypes/Group", "/Schemas",
		"/Schemas/urn:ietf:params:scim:schemas:core:2.0:User", "/Schemas/urn:ietf:params:scim:schemas:core:2.0:Group",
		"/Schemas/urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
	} {
		w.raw(ctx, 200, http.MethodGet, base+what, nil)
	}
	w.raw(ctx, 200, http.MethodGet, base+"/Users?attributes=userName", nil)
	w.raw(deliberate(ctx), 400, http.MethodGet, base+"/Users?filter="+url.QueryEscape(`title co "x"`), nil)
}

// driveOtherOrganization asks for what the organization client has no method for.
func driveOtherOrganization(w *world) {
	ctx, directory := w.t.Context(), w.inDirectory()
	ana, group := w.user("ana"), w.group("apps")
	workspaces, err := w.org.Workspaces(ctx, "")
	require.NoError(w.t, err)
	app := workspaces.Items[0].ID

	for _, list := range []string{
		"/groups?limit=2&includeUsers=true", "/groups/count", "/groups/count?searchTerm=jira", "/groups/stats",
		"/users?limit=1&accountIds=" + ana.AtlassianAccountID, "/users/count", "/users/stats",
	} {
		w.raw(ctx, 200, http.MethodGet, directory+list, nil)
	}

	role := object{"resourceId": app, "roleId": "atlassian/user"}
	w.raw(ctx, 200, http.MethodPost, directory+"/groups/"+group+"/role-assignments/assign", role)
	require.NoError(w.t, w.org.AddMember(ctx, w.info.DirectoryID, group, ana.AtlassianAccountID))
	_, err = w.org.SearchUsers(ctx, w.info.DirectoryID,
		organization.UserQuery{RoleIDs: []string{"atlassian/user"}, Expand: []string{organization.ExpandProductAccess}})
	require.NoError(w.t, err)
	w.raw(ctx, 204, http.MethodPost, directory+"/groups/"+group+"/role-assignments/revoke", role)

	v1 := w.inOrg("v1")
	w.raw(ctx, 200, http.MethodGet, v1+"/users", nil)
	w.raw(ctx, 200, http.MethodGet, v1+"/policies", nil)
	domains := w.raw(ctx, 200, http.MethodGet, v1+"/domains", nil)
	for _, d := range domains["data"].([]any) {
		w.raw(ctx, 200, http.MethodGet, v1+"/domains/"+d.(object)["id"].(string), nil)
	}
	events := w.raw(ctx, 200, http.MethodGet, v1+"/events?limit=2", nil)
	w.raw(ctx, 200, http.MethodGet, v1+"/events?action=user_created", nil)
	w.raw(ctx, 200, http.MethodGet, v1+"/events/"+events["data"].([]any)[0].(object)["id"].(string), nil)
	w.raw(ctx, 200, http.MethodPost, w.inOrg("v2")+"/workspaces", object{
		"limit": 1, "sort": []object{{"field": "attributes.type", "order": "asc"}},
		"query": object{"and": []object{
			{"field": object{"name": "attributes.typeKey", "values": []string{workspaces.Items[0].Key}}},
			{"searchWorkspaces": "acme"}}},
	})

	w.raw(ctx, 204, http.MethodDelete, directory+"/groups/"+group, nil)
}

// driveAccounts asks the user management API about managed accounts: one that was invited, one that an identity
// provider owns.
func driveAccounts(w *world) {
	ctx := w.t.Context()
	invited, err := w.org.Invite(ctx, organization.Invitation{Email: "eve@acme.example"})
	require.NoError(w.t, err)
	eve := "/users/" + invited.AccountID + "/manage"
	ana := "/users/" + w.user("ana").AtlassianAccountID + "/manage"
	for _, account := range []string{eve, ana} {
		w.raw(ctx, 200, http.MethodGet, account, nil)
		w.raw(ctx, 200, http.MethodGet, account+"/profile", nil)
	}
	w.raw(ctx, 204, http.MethodPost, eve+"/lifecycle/disable", object{"message": "left"})
	w.raw(ctx, 204, http.MethodPost, eve+"/lifecycle/enable", nil)
	w.raw(ctx, 403, http.MethodPost, ana+"/lifecycle/disable", object{"message": "left"})
	w.raw(ctx, 404, http.MethodGet, "/users/nobody/manage", nil)
}
