package cloud

import (
	"net/http"
	"slices"
	"strings"
)

func (c *Cloud) scimUserJSON(r *call, u *scimUser) any {
	p := u.current()
	out := jsonMembers(p)
	out["id"] = u.id
	out["schemas"] = []string{scimUserSchema, scimEnterpriseSchema, scimAtlassianSchema}
	out[scimEnterpriseSchema] = scimEnterprise{Organization: p.Organization, Department: p.Department}
	extension := map[string]any{}
	groups := []any{}
	if u.account != nil {
		extension["atlassianAccountId"] = u.account.id
		for _, g := range u.account.groups {
			if g.scim != nil {
				groups = append(groups, map[string]any{"type": "direct", "value": g.scim.id, "display": g.name})
			}
		}
	}
	out[scimAtlassianSchema], out["groups"] = extension, groups
	out["meta"] = c.scimMeta(r, "User", u.id, u.created, u.modified)
	if keep := r.URL.Query().Get("attributes"); keep != "" {
		wanted := append(strings.Split(keep, ","), "id", "schemas", "meta")
		for name := range out {
			if !slices.ContainsFunc(wanted, func(w string) bool { return strings.EqualFold(w, name) }) {
				delete(out, name)
			}
		}
	}
	for _, name := range strings.Split(r.URL.Query().Get("excludedAttributes"), ",") {
		if name != "id" && name != "schemas" {
			delete(out, name)
		}
	}
	return out
}

func (c *Cloud) listSCIMUsers(r *call) answer {
	values := r.URL.Query()
	if values.Get("attributes") != "" && values.Get("excludedAttributes") != "" {
		return scimError(http.StatusBadRequest, "invalidSyntax",
			"attributes and excludedAttributes exclude each other.")
	}
	users := c.scim.users
	if text := values.Get("filter"); text != "" {
		attribute, value, err := scimFilter(text, "userName", "externalId")
		if err != nil {
			return scimError(http.StatusBadRequest, "invalidFilter", err.Error())
		}
		users = nil
		if u := c.scim.byUserName[strings.ToLower(value)]; attribute == "userName" && u != nil {
			users = []*scimUser{u}
		}
		if attribute == "externalId" {
			for _, u := range c.scim.users {
				if u.profile != nil && u.profile.ExternalID == value {
					users = append(users, u)
				}
			}
		}
	}
	return scimList(r, len(users), func(i int) any { return c.scimUserJSON(r, users[i]) })
}

func (c *Cloud) getSCIMUser(r *call) answer {
	u := c.scim.byID[r.PathValue("id")]
	if u == nil {
		return scimNotFound(r.PathValue("id"))
	}
	return ok(c.scimUserJSON(r, u))
}

// createSCIMUser links an account that already has the address, or creates a new one. Addresses outside the claimed
// domains are accepted, as they are since 2024: such people can be added to groups, and their accounts stay unmanaged.
func (c *Cloud) createSCIMUser(r *call) answer {
	var p scimProfile
	if !r.decode(&p) || strings.TrimSpace(p.UserName) == "" {
		return scimError(http.StatusBadRequest, "invalidValue", "userName is required.")
	}
	p = p.joined()
	email := strings.ToLower(p.email())
	if !strings.Contains(email, "@") {
		return scimError(http.StatusBadRequest, "invalidValue", "A valid e-mail address is required.")
	}
	account := c.byEmail[email]
	if c.scim.byUserName[strings.ToLower(p.UserName)] != nil || account != nil && account.scim != nil {
		return scimError(http.StatusConflict, "uniqueness", "Resource [USER]: with userName already exists.")
	}
	if len(c.scim.users) >= scimUserLimit {
		return scimError(http.StatusBadRequest, "tooMany", "The directory holds as many users as it may.")
	}
	now := c.now()
	u := &scimUser{id: c.freshID("scim-user"), userName: p.UserName, profile: &p, created: now, modified: now}
	if account == nil {
		account = &user{id: c.newAccountID(email), name: p.fullName(), nickname: orElse(p.NickName, p.fullName()),
			email: email}
		c.createUser(account, scimActor, "user_created")
	} else if !account.member.now {
		c.enter(account, scimActor, "user_created")
	}
	u.account, account.scim, account.synced = account, u, true
	c.scim.addUser(u)
	c.applyProfile(u, p)
	return answer{status: http.StatusCreated, body: c.scimUserJSON(r, u)}
}

func (c *Cloud) replaceSCIMUser(r *call) answer {
	u := c.scim.byID[r.PathValue("id")]
	var p scimProfile
	switch {
	case u == nil:
		return scimNotFound(r.PathValue("id"))
	case !r.decode(&p) || strings.TrimSpace(p.UserName) == "":
		return scimError(http.StatusBadRequest, "invalidValue", "userName is required.")
	}
	return c.changeSCIMUser(r, u, p.joined())
}

func (c *Cloud) patchSCIMUser(r *call) answer {
	u := c.scim.byID[r.PathValue("id")]
	if u == nil {
		return scimNotFound(r.PathValue("id"))
	}
	operations, bad := r.patchOperations()
	if bad != nil {
		return *bad
	}
	p, refused := patchProfile(u.current(), operations)
	if refused != nil {
		return scimError(http.StatusBadRequest, refused.scimType, refused.detail)
	}
	return c.changeSCIMUser(r, u, p)
}

func (c *Cloud) changeSCIMUser(r *call, u *scimUser, p scimProfile) answer {
	if other := c.scim.byUserName[strings.ToLower(p.UserName)]; other != nil && other != u {
		return scimError(http.StatusConflict, "uniqueness", "Resource [USER]: with userName already exists.")
	}
	if a := u.account; a != nil && !strings.EqualFold(a.email, p.email()) {
		if other := c.byEmail[strings.ToLower(p.email())]; other != nil && other != a {
			return scimError(http.StatusConflict, "uniqueness", "Resource [USER]: with emails already exists.")
		}
	}
	delete(c.scim.byUserName, strings.ToLower(u.userName))
	u.userName, u.profile, u.modified = p.UserName, &p, c.now()
	c.scim.byUserName[strings.ToLower(u.userName)] = u
	c.applyProfile(u, p)
	return ok(c.scimUserJSON(r, u))
}

// applyProfile copies a profile to the account. An external account that gets another address loses its link
// (ACCESS-1396).
func (c *Cloud) applyProfile(u *scimUser, p scimProfile) {
	u.inactive = p.Active != nil && !*p.Active
	a := u.account
	if a == nil {
		return
	}
	if !strings.EqualFold(a.email, p.email()) {
		if !a.managed {
			c.unlink(u)
			return
		}
		c.setEmail(a, strings.ToLower(p.email()))
	}
	a.name, a.title, a.department, a.organization = p.fullName(), p.Title, p.Department, p.Organization
	a.nickname = orElse(a.nickname, a.name) // the public name stays the person's own (ACCESS-1843)
	if a.managed {
		c.setInactive(a, u.inactive, scimActor)
	}
}

func (c *Cloud) unlink(u *scimUser) {
	for _, g := range slices.Clone(u.account.groups) {
		if g.synced {
			c.removeMember(g, u.account, scimActor)
		}
	}
	u.account.scim, u.account.synced = nil, false
	u.account = nil
}

// deleteSCIMUser unlinks the account, deactivates it if managed, and forgets the record for ever.
func (c *Cloud) deleteSCIMUser(r *call) answer {
	u := c.scim.byID[r.PathValue("id")]
	if u == nil {
		return scimNotFound(r.PathValue("id"))
	}
	if a := u.account; a != nil {
		c.unlink(u)
		if a.managed {
			c.setInactive(a, true, scimActor)
		}
	}
	delete(c.scim.byID, u.id)
	delete(c.scim.byUserName, strings.ToLower(u.userName))
	c.scim.users = slices.DeleteFunc(c.scim.users, func(other *scimUser) bool { return other == u })
	return noContent()
}
