package cloud

import "net/http"

// operations are all calls of the vendor's APIs, under their names in statistics and faults.
var operations = []operation{
	// Organization API v1.
	{name: "orgs.list", pattern: "GET /admin/v1/orgs", scope: "read:orgs:admin", codes: orgCodes,
		handle: (*Cloud).listOrgs},
	{name: "orgs.get", pattern: "GET /admin/v1/orgs/{orgId}", scope: "read:orgs:admin", codes: orgCodes,
		handle: (*Cloud).getOrg},
	{name: "users.managed", pattern: "GET /admin/v1/orgs/{orgId}/users", scope: "read:accounts:admin", codes: orgCodes,
		handle: (*Cloud).listManaged},
	{name: "domains.list", pattern: "GET /admin/v1/orgs/{orgId}/domains", scope: "read:domains:admin",
		style: styleDomains, codes: orgCodes, handle: (*Cloud).listDomains},
	{name: "domains.get", pattern: "GET /admin/v1/orgs/{orgId}/domains/{domainId}", scope: "read:domains:admin",
		style: styleDomains, codes: domainCodes, handle: (*Cloud).getDomain},
	{name: "policies.list", pattern: "GET /admin/v1/orgs/{orgId}/policies", handle: (*Cloud).listPolicies},
	{name: "events.list", pattern: "GET /admin/v1/orgs/{orgId}/events", scope: "read:events:admin", guard: true,
		handle: (*Cloud).listEvents},
	{name: "events.stream", pattern: "GET /admin/v1/orgs/{orgId}/events-stream", scope: "read:events:admin",
		guard: true, handle: (*Cloud).streamEvents},
	{name: "events.get", pattern: "GET /admin/v1/orgs/{orgId}/events/{eventId}", scope: "read:events:admin",
		guard: true, codes: eventCodes, handle: (*Cloud).getEvent},
	{name: "event-actions.list", pattern: "GET /admin/v1/orgs/{orgId}/event-actions", scope: "read:events:admin",
		guard: true, codes: orgCodes, handle: (*Cloud).listEventActions},
	{name: "last-active.get", pattern: "GET /admin/v1/orgs/{orgId}/directory/users/{accountId}/last-active-dates",
		codes: activeCodes, handle: (*Cloud).getLastActive},
	{name: "org-roles.assign", pattern: "POST /admin/v1/orgs/{orgId}/users/{userId}/role-assignments/assign",
		write: true, codes: roleCodes, handle: (*Cloud).assignOrgRole},
	{name: "org-roles.revoke", pattern: "POST /admin/v1/orgs/{orgId}/users/{userId}/role-assignments/revoke",
		write: true, codes: roleCodes, handle: (*Cloud).revokeOrgRole},
	{name: "roles.assign", pattern: "POST /admin/v1/orgs/{orgId}/users/{userId}/roles/assign", write: true,
		codes: roleCodes, handle: (*Cloud).assignRole},
	{name: "roles.revoke", pattern: "POST /admin/v1/orgs/{orgId}/users/{userId}/roles/revoke", write: true,
		codes: roleCodes, handle: (*Cloud).revokeRole},

	// Organization API v2.
	{name: "directories.list", pattern: "GET /admin/v2/orgs/{orgId}/directories", scope: "read:directories:admin",
		style: styleV2, handle: (*Cloud).listDirectories},
	{name: "groups.search", pattern: "POST " + inDirectory + "/groups/search", style: styleV2,
		handle: (*Cloud).searchGroups},
	{name: "groups.list", pattern: "GET " + inDirectory + "/groups", scope: "read:groups:admin", style: styleV2,
		handle: (*Cloud).listGroups},
	{name: "groups.count", pattern: "GET " + inDirectory + "/groups/count", style: styleV2,
		handle: (*Cloud).countGroups},
	{name: "groups.stats", pattern: "GET " + inDirectory + "/groups/stats", style: styleV2,
		handle: (*Cloud).groupStats},
	{name: "groups.get", pattern: "GET " + inDirectory + "/groups/{groupId}", style: styleV2,
		handle: (*Cloud).getGroup},
	{name: "groups.create", pattern: "POST " + inDirectory + "/groups", style: styleV2, write: true,
		handle: (*Cloud).postGroup},
	{name: "groups.delete", pattern: "DELETE " + inDirectory + "/groups/{groupId}", style: styleV2, write: true,
		handle: (*Cloud).dropGroup},
	{name: "memberships.add", pattern: "POST " + inDirectory + "/groups/{groupId}/memberships", style: styleV2,
		write: true, handle: (*Cloud).postMembership},
	{name: "memberships.remove", pattern: "DELETE " + inDirectory + "/groups/{groupId}/memberships/{accountId}",
		style: styleV2, write: true, handle: (*Cloud).dropMembership},
	{name: "role-assignments.list", pattern: "GET " + inDirectory + "/groups/{groupId}/role-assignments",
		scope: "read:groups:admin", style: styleV2, handle: (*Cloud).listGroupRoles},
	{name: "role-assignments.assign", pattern: "POST " + inDirectory + "/groups/{groupId}/role-assignments/assign",
		style: styleV2, write: true, handle: (*Cloud).assignGroupRole},
	{name: "role-assignments.revoke", pattern: "POST " + inDirectory + "/groups/{groupId}/role-assignments/revoke",
		style: styleV2, write: true, handle: (*Cloud).revokeGroupRole},
	{name: "users.search", pattern: "POST " + inDirectory + "/users/search", style: styleV2,
		handle: (*Cloud).searchUsers},
	{name: "users.list", pattern: "GET " + inDirectory + "/users", scope: "read:directories:admin", style: styleV2,
		handle: (*Cloud).listUsers},
	{name: "users.count", pattern: "GET " + inDirectory + "/users/count", style: styleV2, handle: (*Cloud).countUsers},
	{name: "users.stats", pattern: "GET " + inDirectory + "/users/stats", scope: "read:directories:admin",
		style: styleV2, handle: (*Cloud).userStats},
	{name: "users.get", pattern: "GET " + inDirectory + "/users/{accountId}", style: styleV2, handle: (*Cloud).getUser},
	{name: "users.role-assignments", pattern: "GET " + inDirectory + "/users/{accountId}/role-assignments",
		scope: "read:directories:admin", style: styleV2, handle: (*Cloud).listUserRoles},
	{name: "users.suspend", pattern: "POST " + inDirectory + "/users/{accountId}/suspend", style: styleV2, write: true,
		handle: (*Cloud).suspendUser},
	{name: "users.restore", pattern: "POST " + inDirectory + "/users/{accountId}/restore", style: styleV2, write: true,
		handle: (*Cloud).restoreUser},
	{name: "users.remove", pattern: "DELETE " + inDirectory + "/users/{accountId}", style: styleV2, write: true,
		handle: (*Cloud).dropUser},
	{name: "users.invite", pattern: "POST /admin/v2/orgs/{orgId}/users/invite", style: styleV2, write: true,
		codes: inviteCodes, handle: (*Cloud).inviteUsers},
	{name: "workspaces", pattern: "POST /admin/v2/orgs/{orgId}/workspaces", scope: "read:workspaces:admin",
		style: styleBare, codes: spaceCodes, handle: (*Cloud).searchWorkspaces},

	// User management API.
	{name: "account.get", pattern: "GET /users/{accountId}/manage", style: styleAccount, codes: accountCodes,
		handle: (*Cloud).getAccount},
	{name: "account.profile", pattern: "GET /users/{accountId}/manage/profile", style: styleAccount,
		codes: accountCodes, handle: (*Cloud).getProfile},
	{name: "account.update", pattern: "PATCH /users/{accountId}/manage/profile", style: styleAccount, write: true,
		codes: accountCodes, handle: (*Cloud).patchAccount},
	{name: "account.email", pattern: "PUT /users/{accountId}/manage/email", style: styleAccount, write: true,
		codes: accountCodes, handle: (*Cloud).putEmail},
	{name: "account.disable", pattern: "POST /users/{accountId}/manage/lifecycle/disable", style: styleAccount,
		write: true, codes: accountCodes, handle: (*Cloud).disableAccount},
	{name: "account.enable", pattern: "POST /users/{accountId}/manage/lifecycle/enable", style: styleAccount,
		write: true, codes: accountCodes, handle: (*Cloud).enableAccount},
	{name: "account.delete", pattern: "POST /users/{accountId}/manage/lifecycle/delete", style: styleAccount,
		write: true, codes: accountCodes, handle: (*Cloud).deleteAccount},
	{name: "account.cancel-delete", pattern: "POST /users/{accountId}/manage/lifecycle/cancel-delete",
		style: styleAccount, write: true, codes: accountCodes, handle: (*Cloud).cancelDeletion},
	{name: "account.tokens.list", pattern: "GET /users/{accountId}/manage/api-tokens", style: styleAccount,
		codes: accountCodes, handle: (*Cloud).listTokens},
	{name: "account.tokens.delete", pattern: "DELETE /users/{accountId}/manage/api-tokens/{tokenId}",
		style: styleAccount, write: true, codes: accountCodes, handle: (*Cloud).deleteToken},

	// User provisioning API (SCIM).
	{name: "scim.users.list", pattern: "GET " + inSCIM + "/Users", style: styleSCIM, handle: (*Cloud).listSCIMUsers},
	{name: "scim.users.create", pattern: "POST " + inSCIM + "/Users", style: styleSCIM, write: true,
		handle: (*Cloud).createSCIMUser},
	{name: "scim.users.get", pattern: "GET " + inSCIM + "/Users/{id}", style: styleSCIM, handle: (*Cloud).getSCIMUser},
	{name: "scim.users.replace", pattern: "PUT " + inSCIM + "/Users/{id}", style: styleSCIM, write: true,
		handle: (*Cloud).replaceSCIMUser},
	{name: "scim.users.patch", pattern: "PATCH " + inSCIM + "/Users/{id}", style: styleSCIM, write: true,
		handle: (*Cloud).patchSCIMUser},
	{name: "scim.users.delete", pattern: "DELETE " + inSCIM + "/Users/{id}", style: styleSCIM, write: true,
		handle: (*Cloud).deleteSCIMUser},
	{name: "scim.groups.list", pattern: "GET " + inSCIM + "/Groups", style: styleSCIM, handle: (*Cloud).listSCIMGroups},
	{name: "scim.groups.create", pattern: "POST " + inSCIM + "/Groups", style: styleSCIM, write: true,
		handle: (*Cloud).createSCIMGroup},
	{name: "scim.groups.get", pattern: "GET " + inSCIM + "/Groups/{id}", style: styleSCIM,
		handle: (*Cloud).getSCIMGroup},
	{name: "scim.groups.replace", pattern: "PUT " + inSCIM + "/Groups/{id}", style: stylePUT, write: true,
		handle: (*Cloud).replaceSCIMGroup},
	{name: "scim.groups.patch", pattern: "PATCH " + inSCIM + "/Groups/{id}", style: styleSCIM, write: true,
		handle: (*Cloud).patchSCIMGroup},
	{name: "scim.groups.delete", pattern: "DELETE " + inSCIM + "/Groups/{id}", style: styleSCIM, write: true,
		handle: (*Cloud).deleteSCIMGroup},
	{name: "scim.config", pattern: "GET " + inSCIM + "/ServiceProviderConfig", style: styleSCIM,
		handle: (*Cloud).getSCIMConfig},
	{name: "scim.types", pattern: "GET " + inSCIM + "/ResourceTypes", style: styleSCIM, handle: (*Cloud).listSCIMTypes},
	{name: "scim.types", pattern: "GET " + inSCIM + "/ResourceTypes/{id}", style: styleSCIM,
		handle: (*Cloud).getSCIMType},
	{name: "scim.schemas", pattern: "GET " + inSCIM + "/Schemas", style: styleSCIM, handle: (*Cloud).listSCIMSchemas},
	{name: "scim.schemas", pattern: "GET " + inSCIM + "/Schemas/{id}", style: styleSCIM,
		handle: (*Cloud).getSCIMSchema},
}

const (
	inDirectory = "/admin/v2/orgs/{orgId}/directories/{directoryId}"
	inSCIM      = "/scim/directory/{directoryId}"
)

func (c *Cloud) routes() *http.ServeMux {
	mux := http.NewServeMux()
	for i := range operations {
		op := &operations[i]
		mux.HandleFunc(op.pattern, func(w http.ResponseWriter, r *http.Request) { c.serve(op, w, r) })
	}
	// What the vendor has removed, such as the v1 group calls, is missing.
	gone := &operation{name: "unknown", style: styleV2, handle: func(_ *Cloud, r *call) answer {
		return refuse(http.StatusNotFound, "ADMIN-404-1", "There is no operation "+r.Method+" "+r.URL.Path+".")
	}}
	mux.HandleFunc("/admin/", func(w http.ResponseWriter, r *http.Request) { c.serve(gone, w, r) })
	c.controlRoutes(mux)
	return mux
}
