package cloud

import "net/http"

// The user management API reaches managed accounts only.

func (c *Cloud) managedAccount(r *call) (*user, *answer) {
	u := c.userByID[r.PathValue("accountId")]
	var bad answer
	switch {
	case u == nil:
		bad = refuse(http.StatusNotFound, "accountNotFound", "The account was not found.")
	case !u.managed:
		bad = refuse(http.StatusForbidden, "forbidden", "The account is not managed by the organization.")
	default:
		return u, nil
	}
	return nil, &bad
}

// ownedBySCIM is the context of a refusal because the identity provider owns the account.
func ownedBySCIM() map[string]any {
	return map[string]any{"allowed": false, "reason": map[string]any{"key": "externalDirectory.scim"}}
}

func (c *Cloud) getAccount(r *call) answer {
	u, bad := c.managedAccount(r)
	if bad != nil {
		return *bad
	}
	allowed := map[string]any{"allowed": true}
	owned := allowed
	if u.scim != nil {
		owned = ownedBySCIM()
	}
	profile := map[string]any{"name": owned, "nickname": allowed, "zoneinfo": allowed, "locale": allowed,
		"extended_profile.job_title": owned, "extended_profile.department": owned,
		"extended_profile.organization": owned, "extended_profile.location": owned}
	return ok(map[string]any{"email.set": owned, "lifecycle.enablement": owned, "lifecycle.delete": allowed,
		"apiToken.read": allowed, "apiToken.delete": allowed,
		"profile.read": allowed, "profile.write": profile, "profile": profile})
}

func (c *Cloud) getProfile(r *call) answer {
	u, bad := c.managedAccount(r)
	if bad != nil {
		return *bad
	}
	return ok(map[string]any{"account": map[string]any{"account_id": u.id, "account_type": "atlassian",
		"account_status": u.accountStatus(), "name": u.name,
		"nickname": u.nickname, "email": u.email, "picture": picture, "locale": "en-US", "zoneinfo": "UTC",
		"characteristics": map[string]any{"not_mentionable": false},
		"extended_profile": map[string]any{"job_title": u.title, "department": u.department,
			"organization": u.organization, "location": u.location}}})
}

func (c *Cloud) disableAccount(r *call) answer { return c.changeLifecycle(r, true) }

func (c *Cloud) enableAccount(r *call) answer { return c.changeLifecycle(r, false) }

func (c *Cloud) changeLifecycle(r *call, inactive bool) answer {
	u, bad := c.managedAccount(r)
	if bad != nil {
		return *bad
	}
	if u.scim != nil {
		return answer{status: http.StatusForbidden, problem: &problem{code: "forbidden.action", context: ownedBySCIM()}}
	}
	r.wrote(c.now(), "", "account", u.id, c.setInactive(u, inactive, c.caller()))
	return noContent()
}
