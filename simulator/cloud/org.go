package cloud

import (
	"net/http"
	"slices"
	"strings"
)

// cursorLink returns a v2 cursor for links: bare, or as a URL depending on the settings.
func (c *Cloud) cursorLink(r *call, next string) string {
	if !c.settings.URLCursors {
		return next
	}
	return withCursor(r, next)
}

// withCursor returns the URL of the call with a cursor, as in v1 links.
func withCursor(r *call, cursor string) string {
	scheme, _, _ := strings.Cut(r.base(), "://")
	link := *r.URL
	link.Scheme, link.Host = scheme, r.Host
	values := link.Query()
	values.Set("cursor", cursor)
	link.RawQuery = values.Encode()
	return link.String()
}

func (c *Cloud) orgJSON(r *call) map[string]any {
	self := r.base() + "/v1/orgs/" + c.info.OrgID
	related := func(what string) any { return map[string]any{"links": map[string]any{"related": self + "/" + what}} }
	return map[string]any{"id": c.info.OrgID, "type": "orgs", "attributes": map[string]any{"name": c.options.OrgName},
		"relationships": map[string]any{"domains": related("domains"), "users": related("users")},
		"links":         map[string]any{"self": self}}
}

func (c *Cloud) listOrgs(r *call) answer {
	return c.v1Page(r, 1, 20, func(int) any { return c.orgJSON(r) }, nil)
}

func (c *Cloud) getOrg(r *call) answer { return ok(map[string]any{"data": c.orgJSON(r)}) }

// v1Page returns a page of a v1 list, which is numbered and has links as URLs. The page size of these lists is fixed.
func (c *Cloud) v1Page(r *call, total, size int, item func(int) any, meta map[string]any) answer {
	start := 0
	if given := r.URL.Query().Get("cursor"); given != "" {
		cur, valid := parseCursor(r.op.name, given)
		if !valid {
			return badRequest("ADMIN-400-1", "The cursor is not valid.")
		}
		start = min(cur.Position, total)
	}
	end := min(total, start+size)
	p := &page{items: []any{}, self: cursor{Operation: r.op.name, Position: start}.String()}
	for i := start; i < end; i++ {
		p.items = append(p.items, item(i))
	}
	if end < total {
		p.next = cursor{Operation: r.op.name, Position: end}.String()
	}
	p.render = func(items []any, next string) any {
		links := map[string]any{"self": withCursor(r, p.self)}
		if next != "" {
			links["next"] = withCursor(r, next)
		}
		out := map[string]any{"data": items, "links": links}
		if meta != nil {
			out["meta"] = meta
		}
		return out
	}
	return answer{status: http.StatusOK, page: p}
}

// listManaged lists the accounts whose domain the organization has claimed.
func (c *Cloud) listManaged(r *call) answer {
	var managed []*user
	for _, u := range c.users {
		if u.managed {
			managed = append(managed, u)
		}
	}
	item := func(i int) any {
		u := managed[i]
		access := []any{}
		for _, app := range r.view.appsOf(u) {
			if at, ever := c.lastActive(u, app); ever && slices.Contains(productKeys, app.activity) {
				access = append(access, map[string]any{"key": app.activity, "name": app.title,
					"url": "https://" + app.site + ".atlassian.net", "last_active": timestamp(at)})
			}
		}
		return map[string]any{"account_id": u.id, "account_type": "atlassian", "account_status": u.accountStatus(),
			"name": u.name, "picture": picture, "email": u.email,
			"access_billable": len(u.seats) > 0, "product_access": access,
			"links": map[string]any{"self": "https://api.atlassian.com/users/" + u.id + "/manage/profile"}}
	}
	return c.v1Page(r, len(managed), 100, item, map[string]any{"total": len(managed)})
}

// productKeys are the apps in activity data.
var productKeys = []string{"jira-software", "jira-service-desk", "jira-core", "jira-ops", "stride", "hipchat",
	"confluence", "bitbucket", "trello", "opsgenie", "statuspage"}

func (c *Cloud) getLastActive(r *call) answer {
	u := c.userByID[r.PathValue("accountId")]
	if u == nil {
		return userNotFound(r.PathValue("accountId"))
	}
	given := r.URL.Query().Get("cursor")
	cur, valid := parseCursor(r.op.name, given)
	if given != "" && !valid {
		return badRequest("ADMIN-400-4", "The cursor is not valid.")
	}
	access := []any{}
	for _, app := range r.view.appsOf(u) {
		if at, ever := c.lastActive(u, app); ever && slices.Contains(productKeys, app.activity) {
			access = append(access, map[string]any{"id": app.ari, "key": app.activity,
				"last_active": timestamp(at)[:10], "last_active_timestamp": timestamp(at)})
		}
	}
	start := min(cur.Position, len(access))
	end := min(start+c.cut(nil, maxLimit), len(access))
	p := &page{items: access[start:end], self: cursor{Operation: r.op.name, Position: start}.String()}
	if end < len(access) {
		p.next = cursor{Operation: r.op.name, Position: end}.String()
	}
	p.render = func(items []any, next string) any {
		added, links := timestamp(u.added), map[string]any{}
		if next != "" {
			links["next"] = c.cursorLink(r, next)
		}
		return map[string]any{"data": map[string]any{"product_access": items, "added_to_org": added[:10],
			"added_to_org_timestamp": added}, "links": links}
	}
	return answer{status: http.StatusOK, page: p}
}

func (c *Cloud) domainJSON(r *call, i int) map[string]any {
	id := c.stableID("domain", c.domains[i].name)
	return map[string]any{"id": id, "type": "domains",
		"attributes": map[string]any{"name": c.domains[i].name,
			"claim": map[string]any{"type": "dns", "status": c.domains[i].status}},
		"links": map[string]any{"self": r.base() + "/v1/orgs/" + c.info.OrgID + "/domains/" + id}}
}

func (c *Cloud) listDomains(r *call) answer {
	return c.v1Page(r, len(c.domains), 20, func(i int) any { return c.domainJSON(r, i) }, nil)
}

func (c *Cloud) getDomain(r *call) answer {
	for i, domain := range c.domains {
		if c.stableID("domain", domain.name) == r.PathValue("domainId") {
			return ok(map[string]any{"data": c.domainJSON(r, i)})
		}
	}
	return refuse(http.StatusNotFound, "ADMIN-404-3", "Domain "+r.PathValue("domainId")+" was not found.")
}

func (c *Cloud) listPolicies(r *call) answer {
	return c.v1Page(r, 0, 20, nil, map[string]any{"page_size": 20})
}

func (c *Cloud) listDirectories(r *call) answer {
	limit, err := r.number("limit")
	values := r.URL.Query()
	ids := r.list("directoryIds")
	given := values.Get("cursor")
	if err := firstError(err, limits(limit, maxLimit), bounds("directoryIds", ids, 10, false)); err != nil &&
		given == "" {
		return badRequest("ADMIN-400-19", err.Error())
	}
	if given != "" { // a centralized organization has one directory, so there is no second page
		return badRequest("ADMIN-400-1", "The cursor is not valid.")
	}
	const name = "Primary Directory"
	items := []any{}
	u := c.userByID[values.Get("accountId")]
	if (ids == nil || slices.Contains(ids, c.info.DirectoryID)) &&
		strings.Contains(strings.ToLower(name), strings.ToLower(values.Get("searchTerm"))) &&
		(values.Get("accountId") == "" || u != nil && u.member.at(r.view.until)) {
		items = append(items, map[string]any{"directoryId": c.info.DirectoryID, "name": name,
			"icon": "https://" + c.options.Sites[0] + ".atlassian.net/icon.png"})
	}
	return answer{status: http.StatusOK, page: c.pageOf(r, map[string]any{}, "", "", items)}
}
