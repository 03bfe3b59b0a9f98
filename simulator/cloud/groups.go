package cloud

import (
	"net/http"
	"slices"
	"strings"
)

// groupJSON is a group as the v2 API shows it.
type groupJSON struct {
	ID               string           `json:"id"`
	Name             string           `json:"name"`
	Description      string           `json:"description"`
	DirectoryID      string           `json:"directoryId"`
	ExternalSynced   bool             `json:"externalSynced"`
	ManagedBy        string           `json:"managedBy"`
	ManagementAccess managementAccess `json:"managementAccess"`
	Counts           *groupCounts     `json:"counts,omitempty"`
}

type managementAccess struct {
	Deletable  bool `json:"deletable"`
	Modifiable bool `json:"modifiable"`
	Readable   bool `json:"readable"`
}

type groupCounts struct {
	Resources *int `json:"resources,omitempty"`
	Users     *int `json:"users,omitempty"`
}

func (c *Cloud) groupJSON(g *group, v view, resources, users bool) *groupJSON {
	out := &groupJSON{ID: g.id, Name: g.name, Description: g.description, DirectoryID: c.info.DirectoryID,
		ExternalSynced: g.synced, ManagedBy: "admins",
		ManagementAccess: managementAccess{Deletable: g.protection() == "", Modifiable: !g.synced, Readable: true}}
	if g.synced {
		out.ManagedBy = "external"
	}
	if resources && !c.settings.NoCounts || users {
		out.Counts = &groupCounts{}
	}
	if resources && !c.settings.NoCounts {
		n := len(g.resources())
		out.Counts.Resources = &n
	}
	if users {
		n := v.count(g)
		out.Counts.Users = &n
	}
	return out
}

// resources returns the apps on which the group gives any role, each once.
func (g *group) resources() (out []*resource) {
	for _, grant := range g.grants {
		if !slices.Contains(out, grant.resource) {
			out = append(out, grant.resource)
		}
	}
	return out
}

// protection returns the error code for a deletion, or "".
func (g *group) protection() string {
	switch {
	case g.synced:
		return "ADMIN-403-5"
	case slices.ContainsFunc(g.grants, func(grant roleGrant) bool { return grant.byDefault }):
		return "ADMIN-403-6"
	case g.key == orgAdminsGroup, slices.ContainsFunc(g.grants,
		func(grant roleGrant) bool { return grant.role == "atlassian/admin" }):
		return "ADMIN-403-7"
	}
	return ""
}

func (c *Cloud) searchGroups(r *call) answer {
	var asked groupQuery
	if !r.decode(&asked) {
		return badRequest("ADMIN-400-24", "The body is not the JSON that this operation reads.")
	}
	if asked.Cursor == "" {
		if err := asked.check(); err != nil {
			return badRequest("ADMIN-400-19", err.Error())
		}
	}
	return c.groupPage(r, asked.Cursor, asked)
}

// listGroups is the older form of groups/search, deprecated until 2027-06-30.
func (c *Cloud) listGroups(r *call) answer {
	asked, err := r.groupQuery()
	given := r.URL.Query().Get("cursor")
	if err != nil && given == "" {
		return badRequest("ADMIN-400-19", err.Error())
	}
	if counts := r.URL.RawQuery; strings.Contains(counts, "includeUsers") {
		asked.Expand = append(asked.Expand, "counts.users")
	}
	if counts := r.URL.RawQuery; strings.Contains(counts, "includeResources") {
		asked.Expand = append(asked.Expand, "counts.resources")
	}
	return c.groupPage(r, given, asked)
}

// groupQuery reads the filters of the GET operations from the URL.
func (r *call) groupQuery() (groupQuery, error) {
	limit, err := r.number("limit")
	q := groupQuery{Limit: limit, AccountIDs: r.list("accountIds"), DirectoryIDs: r.list("directoryIds"),
		GroupIDs: r.list("groupIds"),
		RoleIDs:  r.list("roleIds"), ResourceIDs: r.list("resourceIds"), ResourceOwners: r.list("resourceOwners"),
		SearchTerm: r.URL.Query().Get("searchTerm")}
	return q, firstError(err, q.check())
}

func (c *Cloud) groupPage(r *call, given string, asked groupQuery) answer {
	q, after, bad := resume(r, given, asked)
	if bad != nil {
		return *bad
	}
	groups, next := c.findGroups(&q, r.view, after, c.cut(q.Limit, defaultLimit))
	items := make([]any, 0, len(groups))
	for _, g := range groups {
		items = append(items, c.groupJSON(g, r.view, slices.Contains(q.Expand, "counts.resources"),
			slices.Contains(q.Expand, "counts.users")))
	}
	return answer{status: http.StatusOK, page: c.pageOf(r, q, after, next, items)}
}

func (c *Cloud) countGroups(r *call) answer {
	q, err := r.groupQuery()
	if err != nil {
		return badRequest("ADMIN-400-19", err.Error())
	}
	found, _ := c.findGroups(&q, r.view, "", len(c.groups)+1)
	return ok(map[string]any{"count": len(found)})
}

func (c *Cloud) groupStats(r *call) answer {
	all, synced := 0, 0
	for _, g := range c.groups {
		if r.view.shows(g) {
			all++
			if g.synced {
				synced++
			}
		}
	}
	return ok(map[string]any{"totals": map[string]any{"all": all, "managed": synced, "synced": synced},
		"types": []any{map[string]any{"type": "GROUP", "count": all}}})
}

func (c *Cloud) getGroup(r *call) answer {
	g := c.groupByID[strings.TrimPrefix(r.PathValue("groupId"), groupARI)]
	if g == nil || !r.view.shows(g) {
		return groupNotFound(r)
	}
	p := &page{items: []any{c.groupJSON(g, r.view, true, true)}}
	p.render = func(items []any, _ string) any { return map[string]any{"data": firstOf(items)} }
	return answer{status: http.StatusOK, page: p}
}

// firstOf returns the one item, or an empty object if a fault removed it.
func firstOf(items []any) any {
	if len(items) == 0 {
		return map[string]any{}
	}
	return items[0]
}

func groupNotFound(r *call) answer {
	return refuse(http.StatusNotFound, "ADMIN-404-10", "Group "+r.PathValue("groupId")+" was not found.")
}

// postGroup responds 201 with no body: the ID of the new group has to be searched for.
func (c *Cloud) postGroup(r *call) answer {
	var body struct{ Name, Description string }
	if !r.decode(&body) || strings.TrimSpace(body.Name) == "" {
		return badRequest("ADMIN-400-24", "The body needs a name.")
	}
	if c.byName[strings.ToLower(body.Name)] != nil {
		return refuse(http.StatusConflict, "ADMIN-409-28", "A group with this name already exists.")
	}
	c.createGroup(body.Name, body.Description, false, c.caller())
	return answer{status: http.StatusCreated}
}

func (c *Cloud) dropGroup(r *call) answer {
	g := c.group(r.PathValue("groupId"))
	if g == nil {
		return groupNotFound(r)
	}
	if code := g.protection(); code != "" {
		return refuse(http.StatusForbidden, code, protectionText[code])
	}
	c.deleteGroup(g, c.caller())
	return noContent()
}

var protectionText = map[string]string{
	"ADMIN-403-5": "You are not allowed to manage this group: it is synced from an identity provider.",
	"ADMIN-403-6": "A group with a default role cannot be deleted.",
	"ADMIN-403-7": "A group that grants admin access to an app or the organization cannot be deleted.",
}
