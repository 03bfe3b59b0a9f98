package cloud

import (
	"net/http"
	"slices"
	"strings"
)

// scimUserJSON shows a record; record is what it contains, now or for a read that lags.
func (c *Cloud) scimUserJSON(r *call, u *scimUser, record *scimRecord) any {
	p := record.current()
	out := jsonMembers(p)
	out["id"] = u.id
	out["schemas"] = []string{scimUserSchema, scimEnterpriseSchema, scimAtlassianSchema}
	out[scimEnterpriseSchema] = scimEnterprise{Organization: p.Organization, Department: p.Department}
	extension := map[string]any{}
	groups := []any{}
	if record.account != nil {
		extension["atlassianAccountId"] = record.account.id
		for _, g := range record.account.groups {
			if g.scim != nil && g.scim.dir == u.dir {
				groups = append(groups, map[string]any{"type": "direct", "value": g.scim.id, "display": g.name})
			}
		}
	}
	out[scimAtlassianSchema], out["groups"] = extension, groups
	out["meta"] = c.scimMeta(r, "User", u.id, u.created, record.modified)
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
	users := r.scim.visible(r.view.records, c.now())
	if text := values.Get("filter"); text != "" {
		attribute, value, err := scimFilter(text, "userName", "externalId")
		if err != nil {
			return scimError(http.StatusBadRequest, "invalidFilter", err.Error())
		}
		users = c.filterUsers(r, users, attribute, value)
	}
	return c.scimList(r, len(users), func(i int) any {
		return c.scimUserJSON(r, users[i], users[i].at(r.view.records))
	})
}

func (c *Cloud) filterUsers(r *call, users []*scimUser, attribute, value string) (found []*scimUser) {
	if attribute == "userName" && c.settings.SCIMLag == 0 {
		users = nil
		if u := r.scim.byUserName[strings.ToLower(value)]; u != nil {
			users = []*scimUser{u}
		}
	}
	for _, u := range users {
		record := u.at(r.view.records)
		if attribute == "userName" && strings.EqualFold(record.userName, value) ||
			attribute == "externalId" && record.profile != nil && record.profile.ExternalID == value {
			found = append(found, u)
		}
	}
	return found
}

func (c *Cloud) getSCIMUser(r *call) answer {
	id := r.PathValue("id")
	u := r.scim.byID[id]
	if at := slices.IndexFunc(r.scim.gone, func(old *scimUser) bool { return old.id == id }); at >= 0 {
		u = r.scim.gone[at]
	}
	if u == nil || u.at(r.view.records) == nil {
		return scimNotFound(id)
	}
	return ok(c.scimUserJSON(r, u, u.at(r.view.records)))
}

// createSCIMUser links an account that already has the address, managed or not, or creates a new one. Addresses outside
// the claimed domains are accepted, as they are since 2024: such people can be added to groups, and their accounts stay
// unmanaged.
func (c *Cloud) createSCIMUser(r *call) answer {
	var p scimProfile
	if !r.decode(&p) || strings.TrimSpace(p.UserName) == "" {
		return scimError(http.StatusBadRequest, "invalidValue", "userName is required.")
	}
	p = p.joined()
	if c.settings.NoExternalIDs {
		p.ExternalID = ""
	}
	email := strings.ToLower(p.email())
	if !strings.Contains(email, "@") {
		return scimError(http.StatusBadRequest, "invalidValue", "A valid e-mail address is required.")
	}
	d, account := r.scim, c.byEmail[email]
	if d.byUserName[strings.ToLower(p.UserName)] != nil || account != nil && account.recordIn(d) != nil {
		return scimError(http.StatusConflict, "uniqueness", "Resource [USER]: with userName already exists.")
	}
	if len(d.users) >= scimUserLimit {
		return scimError(http.StatusBadRequest, "tooMany", "The directory holds as many users as it may.")
	}
	now := c.now()
	u := &scimUser{id: c.freshID("scim-user"), created: now,
		scimRecord: scimRecord{userName: p.UserName, profile: &p, modified: now}}
	made := account == nil
	switch {
	case made:
		account = &user{id: c.newAccountID(email), name: p.fullName(), nickname: orElse(p.NickName, p.fullName()),
			email: email}
		c.createUser(account, scimActor, "user_created")
	case !account.member.now:
		c.enter(account, scimActor, "user_created")
	}
	u.link(account)
	d.addUser(u)
	u.inactive = p.Active != nil && !*p.Active
	if made || account.managed { // nobody writes the attributes of an account that has no owner here
		c.overwrite(account, p, u.inactive)
	}
	return answer{status: http.StatusCreated, body: c.scimUserJSON(r, u, &u.scimRecord)}
}

func (c *Cloud) replaceSCIMUser(r *call) answer {
	u := r.scim.byID[r.PathValue("id")]
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
	u := r.scim.byID[r.PathValue("id")]
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
	p = r.spoil.keeps(p, u.current())
	if other := u.dir.byUserName[strings.ToLower(p.UserName)]; other != nil && other != u {
		return scimError(http.StatusConflict, "uniqueness", "Resource [USER]: with userName already exists.")
	}
	if a := u.account; a != nil && !strings.EqualFold(a.email, p.email()) {
		if other := c.byEmail[strings.ToLower(p.email())]; other != nil && other != a {
			return scimError(http.StatusConflict, "uniqueness", "Resource [USER]: with emails already exists.")
		}
	}
	next := scimRecord{userName: p.UserName, account: u.account, profile: &p, modified: c.now(),
		inactive: p.Active != nil && !*p.Active}
	if r.spoil.has(FaultUnstored) {
		return ok(c.scimUserJSON(r, u, &next))
	}
	u.keep(next.modified)
	delete(u.dir.byUserName, strings.ToLower(u.userName))
	u.scimRecord = next
	u.writes++
	u.dir.byUserName[strings.ToLower(u.userName)] = u
	c.follow(u, p)
	return ok(c.scimUserJSON(r, u, &u.scimRecord))
}

// follow does to the account what was done to its record. Any change unlinks an account that the organization does not
// manage: it cannot write its attributes, and does not even if none has changed (ACCESS-1003, ACCESS-1396). So does an
// address at a domain that is not claimed: the record has it, the account keeps its own (ACCESS-1379).
func (c *Cloud) follow(u *scimUser, p scimProfile) {
	a := u.account
	if a == nil {
		return
	}
	if !a.managed || !strings.EqualFold(a.email, p.email()) && !c.claims(p.email()) {
		c.unlink(u)
		return
	}
	c.overwrite(a, p, u.inactive)
}

// overwrite copies a profile to the account.
func (c *Cloud) overwrite(a *user, p scimProfile, inactive bool) {
	if !strings.EqualFold(a.email, p.email()) {
		c.setEmail(a, strings.ToLower(p.email()))
	}
	a.name, a.title, a.department, a.organization = p.fullName(), p.Title, p.Department, p.Organization
	a.timezone, a.locale = p.Timezone, p.PreferredLanguage
	a.nickname = orElse(a.nickname, a.name) // the public name stays the person's own (ACCESS-1843)
	if a.managed {
		c.setInactive(a, inactive, scimActor)
	}
}

// deleteSCIMUser unlinks the account, deactivates it if managed, and forgets the record for ever.
func (c *Cloud) deleteSCIMUser(r *call) answer {
	u := r.scim.byID[r.PathValue("id")]
	if u == nil {
		return scimNotFound(r.PathValue("id"))
	}
	a := u.account
	c.forget(u)
	if a != nil && a.managed {
		c.setInactive(a, true, scimActor)
	}
	return noContent()
}
