package idp

import (
	"net/http"
	"strings"
)

// Keycloak answers as Keycloak's admin REST API does for one realm (/admin/realms/{realm}), and as its token endpoint.
func (d *Directory) Keycloak(realm string) http.Handler {
	mux := http.NewServeMux()
	denied := answer{status: http.StatusUnauthorized, body: map[string]any{"error": "HTTP 401 Unauthorized"}}
	get := func(pattern string, say func(call) answer) {
		mux.HandleFunc("GET /admin/realms/"+realm+pattern, d.serve(denied, say))
	}
	get("/users", d.keycloakUsers)
	get("/users/count", func(call) answer { return answer{body: len(d.there())} })
	get("/users/{id}", d.keycloakUser)
	get("/groups", d.keycloakGroups)
	get("/groups/{id}/children", d.keycloakChildren)
	get("/groups/{id}/members", d.keycloakMembers)
	mux.HandleFunc("POST /realms/"+realm+"/protocol/openid-connect/token", d.token)
	return mux
}

func keycloakError(text string) answer {
	return answer{status: http.StatusNotFound, body: map[string]any{"error": text}}
}

func keycloakPerson(p *Person, brief bool) map[string]any {
	body := map[string]any{"id": p.ID, "username": p.Login, "email": p.Email, "emailVerified": true,
		"firstName": p.First, "lastName": p.Last, "enabled": p.enabled(), "createdTimestamp": 1577836800000,
		"totp": false}
	if !brief {
		body["attributes"] = map[string][]string{"title": {p.Title}, "department": {p.Department}}
		body["notBefore"], body["requiredActions"] = 0, []string{}
		body["access"] = map[string]bool{"view": true}
	}
	return body
}

// window cuts what first and max ask for.
func window[T any](c call, all []T) []T {
	first := min(c.number("first", 0, len(all)), len(all))
	if c.fault.Repeat {
		first = 0
	}
	items := all[first:min(first+c.number("max", 100, len(all)), len(all))]
	if c.fault.Short && len(items) > 0 {
		items = items[:len(items)-1]
	}
	return items
}

func keycloakPeople(c call, people []*Person) answer {
	body := []any{}
	for _, p := range window(c, people) {
		body = append(body, keycloakPerson(p, c.query("briefRepresentation") == "true"))
	}
	return answer{body: body}
}

func (d *Directory) keycloakUsers(c call) answer { return keycloakPeople(c, d.there()) }

func (d *Directory) keycloakUser(c call) answer {
	p := d.byID[c.PathValue("id")]
	if p == nil || !p.deleted.IsZero() {
		return keycloakError("User not found")
	}
	return answer{body: keycloakPerson(p, false)}
}

func (d *Directory) keycloakGroups(c call) answer {
	child := map[string]bool{}
	for _, g := range d.groups {
		for _, id := range g.Groups {
			child[id] = true
		}
	}
	var top []*Group
	for _, g := range d.groups {
		if !child[g.ID] {
			top = append(top, g)
		}
	}
	return d.keycloakTree(c, top)
}

func (d *Directory) keycloakChildren(c call) answer {
	g := d.group[c.PathValue("id")]
	if g == nil {
		return keycloakError("Could not find group by id")
	}
	var children []*Group
	for _, id := range g.Groups {
		children = append(children, d.group[id])
	}
	return d.keycloakTree(c, children)
}

func (d *Directory) keycloakTree(c call, groups []*Group) answer {
	body := []any{}
	for _, g := range window(c, groups) {
		body = append(body, map[string]any{"id": g.ID, "name": g.Name, "path": d.path(g), "subGroups": []any{},
			"subGroupCount": len(g.Groups)})
	}
	return answer{body: body}
}

// path is where a group stands in the tree.
func (d *Directory) path(g *Group) string {
	name := "/" + strings.ReplaceAll(g.Name, "/", "~/")
	for _, parent := range d.groups {
		for _, id := range parent.Groups {
			if id == g.ID {
				return d.path(parent) + name
			}
		}
	}
	return name
}

func (d *Directory) keycloakMembers(c call) answer {
	g := d.group[c.PathValue("id")]
	if g == nil {
		return keycloakError("Could not find group by id")
	}
	return keycloakPeople(c, d.members(g, false))
}
