package cloud

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// workspaceNode is one node of a workspace query; exactly one member is set.
type workspaceNode struct {
	And   []workspaceNode `json:"and"`
	Nor   []workspaceNode `json:"nor"`
	Field *struct {
		Name   string   `json:"name"`
		Values []string `json:"values"`
	} `json:"field"`
	Search   *string  `json:"searchWorkspaces"`
	Features []string `json:"features"`
	Policies []string `json:"policies"`
}

type workspaceQuery struct {
	Cursor string         `json:"cursor,omitempty"`
	Limit  *int           `json:"limit,omitempty"`
	Query  *workspaceNode `json:"query,omitempty"`
	Sort   []struct {
		Field string `json:"field"`
		Order string `json:"order"`
	} `json:"sort,omitempty"`
}

// searchWorkspaces lists the apps on sites. Its cursor is sent in the body, alone.
func (c *Cloud) searchWorkspaces(r *call) answer {
	var raw map[string]json.RawMessage
	var q workspaceQuery
	if !r.decode(&raw) || !r.decode(&q) {
		return badRequest("ADMIN-400-4", "The body is not the JSON that this operation reads.")
	}
	start := 0
	if q.Cursor != "" {
		cur, valid := parseCursor(r.op.name, q.Cursor)
		if len(raw) > 1 {
			return badRequest("ADMIN-400-4", "When a cursor is provided, no other properties may be present.")
		}
		q = workspaceQuery{}
		if !valid || json.Unmarshal(cur.Query, &q) != nil {
			return badRequest("ADMIN-400-4", "The cursor is not valid.")
		}
		start = cur.Position
	}
	if err := limits(q.Limit, 1000); err != nil {
		return badRequest("ADMIN-400-4", err.Error())
	}
	found := slices.DeleteFunc(slices.Clone(c.resources),
		func(app *resource) bool { return q.Query != nil && !q.Query.matches(app) })
	for _, by := range q.Sort {
		slices.SortStableFunc(found, func(a, b *resource) int {
			order := strings.Compare(a.attribute(by.Field), b.attribute(by.Field))
			if by.Order == "desc" {
				return -order
			}
			return order
		})
	}
	start = min(start, len(found))
	size := c.cutWorkspaces(q.Limit)
	end := min(len(found), start+size)
	text, err := json.Marshal(q)
	if err != nil {
		panic(err) // came from JSON
	}
	p := &page{items: []any{}, self: cursor{Operation: r.op.name, Query: text, Position: start}.String()}
	for _, app := range found[start:end] {
		p.items = append(p.items, c.workspaceJSON(r, app))
	}
	if end < len(found) {
		p.next = cursor{Operation: r.op.name, Query: text, Position: end}.String()
	}
	p.render = func(items []any, next string) any {
		links := map[string]any{"self": p.self}
		if next != "" {
			links["next"] = next
		}
		return map[string]any{"data": items, "links": links,
			"meta": map[string]any{"pageSize": size, "startIndex": start, "endIndex": max(start, end-1),
				"total": len(found)}}
	}
	return answer{status: http.StatusOK, page: p}
}

func (c *Cloud) cutWorkspaces(limit *int) int {
	if limit != nil {
		return *limit
	}
	return defaultLimit
}

func (n *workspaceNode) matches(app *resource) bool {
	for i := range n.And {
		if !n.And[i].matches(app) {
			return false
		}
	}
	for i := range n.Nor {
		if n.Nor[i].matches(app) {
			return false
		}
	}
	if n.Field != nil && !slices.ContainsFunc(n.Field.Values,
		func(value string) bool { return strings.EqualFold(value, app.attribute(n.Field.Name)) }) {
		return false
	}
	if n.Search != nil && !strings.Contains(strings.ToLower(app.title+" "+app.site), strings.ToLower(*n.Search)) {
		return false
	}
	return len(n.Features) == 0 && len(n.Policies) == 0 // no app here has features or policies
}

// attribute returns a field by its name in queries. The vendor's own example asks attributes.type for "confluence",
// which is the key and not the title, so both names of the type compare with the key.
func (r *resource) attribute(name string) string {
	switch name {
	case "id":
		return r.ari
	case "attributes.name":
		return r.site
	case "attributes.hostUrl":
		return "https://" + r.site + ".atlassian.net"
	case "attributes.type", "attributes.typeKey", "type":
		return r.owner
	}
	return ""
}

func (c *Cloud) workspaceJSON(r *call, app *resource) any {
	capacity := any(nil)
	if limit, limited := c.licences(app); limited {
		capacity = limit
	}
	return map[string]any{"id": app.ari, "type": "workspace", "relationships": map[string]any{},
		"attributes": map[string]any{"name": app.site, "typeKey": app.owner, "type": app.title,
			"hostUrl": "https://" + app.site + ".atlassian.net",
			"status":  "online", "statusDetails": []string{}, "realm": "global", "regions": []string{},
			"labels": []string{}, "sandbox": map[string]any{"type": "NONE"},
			"capacity": capacity, "usage": app.taken, "owner": nil, "createdAt": timestamp(c.born), "createdBy": nil,
			"updatedAt": nil,
			"avatars":   map[string]any{}, "icons": map[string]any{}},
		"links": map[string]any{"self": r.base() + "/v2/orgs/" + c.info.OrgID + "/workspaces/" + app.ari}}
}
