package idp

import (
	"net/http"
	"slices"
	"strconv"
	"time"
)

// Google answers as the Directory API of the Admin SDK does (/admin/directory/v1), and as Google's token endpoint
// (/token).
func (d *Directory) Google() http.Handler {
	mux := http.NewServeMux()
	denied := googleError(http.StatusUnauthorized, "authError", "Invalid Credentials")
	get := func(pattern string, say func(call) answer) {
		mux.HandleFunc("GET /admin/directory/v1"+pattern, d.serve(denied, say))
	}
	get("/users", d.googleUsers)
	get("/users/{id}", d.googleUser)
	get("/groups", d.googleGroups)
	get("/groups/{id}/members", d.googleMembers)
	mux.HandleFunc("POST /token", d.token)
	return mux
}

func googleError(status int, reason, text string) answer {
	return answer{status: status, body: map[string]any{"error": map[string]any{"code": status, "message": text,
		"errors": []any{map[string]any{"domain": "global", "reason": reason, "message": text}}}}}
}

func googlePerson(p *Person, full bool) map[string]any {
	body := map[string]any{"kind": "admin#directory#user", "id": p.ID, "etag": `"` + strconv.Itoa(p.seq) + `"`,
		"primaryEmail": p.Email, "name": map[string]any{"givenName": p.First, "familyName": p.Last,
			"fullName": p.First + " " + p.Last},
		"suspended": !p.enabled(), "archived": false, "customerId": "C0sim", "orgUnitPath": "/",
		"isAdmin": false, "isMailboxSetup": true, "lastLoginTime": "1970-01-01T00:00:00.000Z",
		"creationTime":  "2020-01-01T00:00:00.000Z",
		"emails":        []any{map[string]any{"address": p.Email, "primary": true}},
		"organizations": []any{map[string]any{"title": p.Title, "department": p.Department, "primary": true}}}
	if !p.enabled() {
		body["suspensionReason"] = "ADMIN"
	}
	if !p.deleted.IsZero() {
		body["deletionTime"] = p.deleted.UTC().Format(time.RFC3339)
	}
	if full {
		body["customSchemas"] = map[string]any{"Staff": map[string]any{"costCenter": "42"}}
	}
	return body
}

// googlePage answers with a page of a list, and no list where it is empty.
func googlePage[T any](c call, kind, list string, all []T, seq func(T) int, most int, show func(T) any) answer {
	items, next := page(c, all, seq, c.query("pageToken"), c.number("maxResults", min(most, 200), most))
	body := map[string]any{"kind": kind, "etag": `"list"`}
	var values []any
	for _, item := range items {
		values = append(values, show(item))
	}
	if len(values) > 0 {
		body[list] = values
	}
	if next != "" {
		body["nextPageToken"] = next
	}
	return answer{body: body}
}

func (d *Directory) googleUsers(c call) answer {
	if c.query("customer") == "" && c.query("domain") == "" {
		return googleError(http.StatusBadRequest, "badRequest", "Bad Request")
	}
	people := d.there()
	if c.query("showDeleted") == "true" {
		people = slices.DeleteFunc(slices.Clone(d.people), func(p *Person) bool { return p.deleted.IsZero() })
	}
	full := c.query("projection") == "full"
	return googlePage(c, "admin#directory#users", "users", people, personSeq, 500,
		func(p *Person) any { return googlePerson(p, full) })
}

func (d *Directory) googleUser(c call) answer {
	p := d.find(c.PathValue("id"))
	switch {
	case p == nil:
		return googleError(http.StatusNotFound, "notFound", "Resource Not Found: userKey")
	case !p.deleted.IsZero():
		return googleError(http.StatusPreconditionFailed, "conditionNotMet", "User creation is not complete.")
	}
	return answer{body: googlePerson(p, c.query("projection") == "full")}
}

func (d *Directory) googleGroups(c call) answer {
	return googlePage(c, "admin#directory#groups", "groups", d.groups, groupSeq, 200, func(g *Group) any {
		return map[string]any{"kind": "admin#directory#group", "id": g.ID, "etag": `"group"`, "email": g.Email,
			"name": g.Name, "directMembersCount": strconv.Itoa(len(g.People)), "adminCreated": true}
	})
}

// member is a person or a group in a group.
type member struct {
	seq  int
	body map[string]any
}

func (d *Directory) googleMembers(c call) answer {
	g := d.group[c.PathValue("id")]
	if g == nil {
		return googleError(http.StatusNotFound, "notFound", "Resource Not Found: groupKey")
	}
	var members []member
	derived := c.query("includeDerivedMembership") == "true"
	for _, p := range d.members(g, derived) {
		members = append(members, member{p.seq, map[string]any{"kind": "admin#directory#member", "id": p.ID,
			"email": p.Email, "role": "MEMBER", "type": "USER", "status": "ACTIVE"}})
	}
	for _, child := range g.Groups {
		members = append(members, member{d.group[child].seq, map[string]any{"kind": "admin#directory#member",
			"id":    child,
			"email": d.group[child].Email, "role": "MEMBER", "type": "GROUP", "status": "ACTIVE"}})
	}
	slices.SortFunc(members, func(a, b member) int { return a.seq - b.seq })
	return googlePage(c, "admin#directory#members", "members", members, func(m member) int { return m.seq }, 200,
		func(m member) any { return m.body })
}
