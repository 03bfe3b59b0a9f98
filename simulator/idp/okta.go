package idp

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Okta answers as the Okta Management API does: /api/v1 and /oauth2/v1/token.
func (d *Directory) Okta() http.Handler {
	mux := http.NewServeMux()
	denied := oktaError(http.StatusUnauthorized, "E0000011", "Invalid token provided")
	get := func(pattern string, say func(call) answer) { mux.HandleFunc("GET "+pattern, d.serve(denied, say)) }
	get("/api/v1/users", d.oktaUsers)
	get("/api/v1/users/{id}", d.oktaUser)
	get("/api/v1/groups", d.oktaGroups)
	get("/api/v1/groups/{id}/users", d.oktaMembers)
	get("/api/v1/logs", d.oktaLogs)
	mux.HandleFunc("POST /oauth2/v1/token", d.token)
	return mux
}

func oktaError(status int, code, text string) answer {
	return answer{status: status, body: map[string]any{"errorCode": code, "errorSummary": text, "errorLink": code,
		"errorId": "oae-sim", "errorCauses": []any{}}}
}

func oktaTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func oktaPerson(p *Person) map[string]any {
	return map[string]any{
		"id": p.ID, "status": strings.ToUpper(p.Status), "created": "2020-01-01T00:00:00.000Z",
		"lastUpdated": oktaTime(p.changed), "lastLogin": nil,
		"profile": map[string]any{"login": p.Login, "email": p.Email, "firstName": p.First, "lastName": p.Last,
			"displayName": p.First + " " + p.Last, "title": p.Title, "department": p.Department, "secondEmail": nil},
		"credentials": map[string]any{"password": map[string]any{},
			"provider": map[string]any{"type": "OKTA", "name": "OKTA"}},
		"_links": map[string]any{"self": map[string]any{"href": "https://acme.okta.example/api/v1/users/" + p.ID}},
	}
}

var (
	byStatus  = regexp.MustCompile(`^status eq "([A-Z_]+)"$`)
	byUpdated = regexp.MustCompile(`^lastUpdated gt "([^"]+)"$`)
)

func (d *Directory) oktaUsers(c call) answer {
	keep := func(p *Person) bool { return p.Status != Deprovisioned }
	if filter := c.query("filter"); filter != "" {
		status, updated := byStatus.FindStringSubmatch(filter), byUpdated.FindStringSubmatch(filter)
		switch {
		case status != nil:
			keep = func(p *Person) bool { return strings.ToUpper(p.Status) == status[1] }
		case updated != nil:
			since, err := time.Parse(time.RFC3339, updated[1])
			if err != nil {
				return oktaError(http.StatusBadRequest, "E0000053", "Invalid filter")
			}
			keep = func(p *Person) bool { return p.changed.After(since) && p.Status != Deprovisioned }
		default:
			return oktaError(http.StatusBadRequest, "E0000031", "Invalid search criteria.")
		}
	}
	people := slices.DeleteFunc(d.there(), func(p *Person) bool { return !keep(p) })
	return oktaPage(c, people, personSeq, 200, func(p *Person) any { return oktaPerson(p) })
}

// oktaPage answers with a page and the link to the next one.
func oktaPage[T any](c call, all []T, seq func(T) int, most int, show func(T) any) answer {
	items, next := page(c, all, seq, c.query("after"), c.number("limit", most, most))
	body := []any{}
	for _, item := range items {
		body = append(body, show(item))
	}
	header := http.Header{}
	header.Add("Link", fmt.Sprintf(`<%s>; rel="self"`, c.here(nil)))
	if next != "" {
		header.Add("Link", fmt.Sprintf(`<%s>; rel="next"`, c.here(map[string]string{"after": next})))
	}
	return answer{header: header, body: body}
}

func (d *Directory) oktaUser(c call) answer {
	p := d.find(c.PathValue("id"))
	if c.PathValue("id") == "me" { // the owner of the token
		return answer{body: oktaPerson(&Person{ID: "00u-owner", Login: "admin@acme.example",
			Email: "admin@acme.example",
			First: "Ad", Last: "Min", Status: Active})}
	}
	if p == nil || !p.deleted.IsZero() {
		return oktaError(http.StatusNotFound, "E0000007", "Not found: Resource not found: "+c.PathValue("id")+" (User)")
	}
	return answer{body: oktaPerson(p)}
}

func (d *Directory) oktaGroups(c call) answer {
	return oktaPage(c, d.groups, groupSeq, 10000, func(g *Group) any {
		return map[string]any{"id": g.ID, "type": "OKTA_GROUP", "created": "2020-01-01T00:00:00.000Z",
			"lastUpdated": "2020-01-01T00:00:00.000Z", "lastMembershipUpdated": "2020-01-01T00:00:00.000Z",
			"objectClass": []string{"okta:user_group"}, "profile": map[string]any{"name": g.Name,
				"description": "about " + g.Name}}
	})
}

func (d *Directory) oktaMembers(c call) answer {
	g := d.group[c.PathValue("id")]
	if g == nil {
		return oktaError(http.StatusNotFound, "E0000007",
			"Not found: Resource not found: "+c.PathValue("id")+" (UserGroup)")
	}
	return oktaPage(c, d.members(g, false), personSeq, 1000, func(p *Person) any { return oktaPerson(p) })
}

func (d *Directory) oktaLogs(c call) answer {
	since, err := time.Parse(time.RFC3339, c.query("since"))
	if err != nil {
		return oktaError(http.StatusBadRequest, "E0000001", "Api validation failed: since")
	}
	type numbered struct {
		change
		seq int
	}
	var events []numbered
	for i, happened := range d.changes {
		if !happened.at.Before(since) {
			events = append(events, numbered{happened, i + 1})
		}
	}
	return oktaPage(c, events, func(e numbered) int { return e.seq }, 1000, func(e numbered) any {
		kind, event := "User", "user.account.update_profile"
		if e.group {
			kind, event = "UserGroup", "group.profile.update"
		}
		return map[string]any{"uuid": fmt.Sprintf("event-%d", e.seq), "published": oktaTime(e.at), "eventType": event,
			"severity": "INFO", "version": "0", "target": []any{map[string]any{"id": e.id, "type": kind}}}
	})
}
