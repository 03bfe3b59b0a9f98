package cloud

import (
	"net/http"
	"slices"
)

func (c *Cloud) disableAccount(r *call) answer { return c.changeLifecycle(r, true) }

func (c *Cloud) enableAccount(r *call) answer { return c.changeLifecycle(r, false) }

// changeLifecycle activates or deactivates an account that no SCIM directory has a record of: as long as one has, it
// alone may, by the record's active.
func (c *Cloud) changeLifecycle(r *call, inactive bool) answer {
	u, bad := c.managedAccount(r)
	switch {
	case bad != nil:
		return *bad
	case u.synced():
		return forbidden("forbidden.action", u.owned())
	case u.deleting:
		return u.ineligible("account.deletion", "The account is about to be deleted: cancel that first.")
	}
	r.wrote(c.now(), "", "account", u.id, c.setInactive(u, inactive, c.caller()))
	return noContent()
}

// ineligible refuses a change of the lifecycle. The vendor lists no codes: they are the simulator's own.
func (u *user) ineligible(code, message string) answer {
	return answer{status: http.StatusConflict, problem: &problem{code: "conflict.lifecycleErrors",
		context: map[string]any{"accountId": u.id, "message": message,
			"errorCodes": []any{map[string]any{"code": code, "message": message}}}}}
}

// deleteAccount begins the grace period of 14 days, in which the account is deactivated. Its end is not simulated.
func (c *Cloud) deleteAccount(r *call) answer {
	u, bad := c.managedAccount(r)
	switch {
	case bad != nil:
		return *bad
	case u.deleting:
		return u.ineligible("account.deletion", "The account is about to be deleted already.")
	}
	u.deleting = true
	r.wrote(c.now(), "", "account", u.id, true)
	c.setInactive(u, true, c.caller())
	return ok(map[string]any{"message": "The account will be deleted in 14 days."})
}

// cancelDeletion restores and activates an account.
func (c *Cloud) cancelDeletion(r *call) answer {
	u, bad := c.managedAccount(r)
	if bad != nil {
		return *bad
	}
	r.wrote(c.now(), "", "account", u.id, u.deleting)
	if u.deleting {
		u.deleting = false
		c.setInactive(u, false, c.caller())
	}
	return ok(map[string]any{"message": "The deletion was cancelled."})
}

// apiToken is an API token of an account. Whether the account is active does not matter to its being listed.
type apiToken struct {
	ID         string `json:"id"`
	Label      string `json:"label"`
	CreatedAt  string `json:"createdAt"`
	LastAccess string `json:"lastAccess,omitempty"`
	Expiry     string `json:"expiry,omitempty"`
}

func (c *Cloud) listTokens(r *call) answer {
	u, bad := c.managedAccount(r)
	if bad != nil {
		return *bad
	}
	return ok(append([]apiToken{}, u.tokens...))
}

func (c *Cloud) deleteToken(r *call) answer {
	u, bad := c.managedAccount(r)
	if bad != nil {
		return *bad
	}
	at := slices.IndexFunc(u.tokens, func(t apiToken) bool { return t.ID == r.PathValue("tokenId") })
	if at < 0 {
		return refuse(http.StatusNotFound, "notFound", "The token was not found.")
	}
	u.tokens = slices.Delete(u.tokens, at, at+1)
	r.wrote(c.now(), "", "token", u.id, true)
	return noContent()
}
