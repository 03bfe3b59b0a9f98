package idp

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Graph answers as Microsoft Graph does (/v1.0), and as Entra ID's token endpoint (/{tenant}/oauth2/v2.0/token).
func (d *Directory) Graph() http.Handler {
	mux := http.NewServeMux()
	denied := graphError(http.StatusUnauthorized, "InvalidAuthenticationToken", "Access token is empty.")
	get := func(pattern string, say func(call) answer) { mux.HandleFunc("GET /v1.0"+pattern, d.serve(denied, say)) }
	get("/users", d.graphUsers)
	get("/users/delta", func(c call) answer { return d.graphDelta(c, false) })
	get("/users/{id}", d.graphUser)
	get("/directory/deletedItems/{id}", d.graphDeleted)
	get("/groups", d.graphGroups)
	get("/groups/delta", func(c call) answer { return d.graphDelta(c, true) })
	for _, cast := range []string{"", "/microsoft.graph.user"} {
		get("/groups/{id}/members"+cast, func(c call) answer { return d.graphMembers(c, false) })
		get("/groups/{id}/transitiveMembers"+cast, func(c call) answer { return d.graphMembers(c, true) })
	}
	mux.HandleFunc("POST /{tenant}/oauth2/v2.0/token", d.token)
	return mux
}

func graphError(status int, code, text string) answer {
	return answer{status: status, body: map[string]any{"error": map[string]any{"code": code, "message": text,
		"innerError": map[string]any{"request-id": "00000000-0000-4000-a000-000000000000"}}}}
}

func graphPerson(p *Person) map[string]any {
	return map[string]any{"id": p.ID, "accountEnabled": p.enabled(), "userPrincipalName": p.Login, "mail": p.Email,
		"displayName": p.First + " " + p.Last, "givenName": p.First, "surname": p.Last, "jobTitle": p.Title,
		"department": p.Department, "userType": "Member", "mobilePhone": nil, "businessPhones": []string{},
		"proxyAddresses": []string{"SMTP:" + p.Email}, "employeeId": nil, "officeLocation": nil, "companyName": nil,
		"preferredLanguage": nil, "otherMails": []string{}, "employeeType": nil, "country": nil, "city": nil,
		"mailNickname": strings.Split(p.Login, "@")[0], "onPremisesImmutableId": nil, "onPremisesSamAccountName": nil,
		"usageLocation": nil, "employeeHireDate": nil, "employeeLeaveDateTime": nil}
}

// selected leaves what $select names, or else what Graph shows by default.
func selected(c call, all map[string]any) map[string]any {
	names := c.query("$select")
	if names == "" {
		names = "businessPhones,displayName,givenName,jobTitle,mail,mobilePhone,officeLocation," +
			"preferredLanguage,surname,userPrincipalName,id"
	}
	chosen := map[string]any{}
	for _, name := range strings.Split(names, ",") {
		if value, is := all[name]; is {
			chosen[name] = value
		}
	}
	return chosen
}

// graphPage answers with a page, the link to the next one, and, on the first page, the count if it was asked for.
func graphPage[T any](c call, all []T, seq func(T) int, show func(T) map[string]any) answer {
	count := c.query("$count") == "true"
	if count && c.Header.Get("ConsistencyLevel") != "eventual" {
		return graphError(http.StatusBadRequest, "Request_BadRequest", "$count is not currently supported.")
	}
	items, next := page(c, all, seq, c.query("$skiptoken"), c.number("$top", 100, 999))
	values := []any{}
	for _, item := range items {
		values = append(values, show(item))
	}
	body := map[string]any{"@odata.context": "https://graph.microsoft.com/v1.0/$metadata", "value": values}
	if next != "" {
		body["@odata.nextLink"] = c.here(map[string]string{"$skiptoken": next})
	}
	if count && c.query("$skiptoken") == "" {
		body["@odata.count"] = len(all)
	}
	return answer{body: body}
}

func (d *Directory) graphUsers(c call) answer {
	people := d.there()
	if filter := c.query("$filter"); filter == "department eq 'Sales'" {
		people = slices.DeleteFunc(people, func(p *Person) bool { return p.Department != "Sales" })
	} else if filter != "" {
		return graphError(http.StatusBadRequest, "Request_UnsupportedQuery", "Unsupported Query.")
	}
	return graphPage(c, people, personSeq, func(p *Person) map[string]any { return selected(c, graphPerson(p)) })
}

func graphNotFound(id string) answer {
	return graphError(http.StatusNotFound, "Request_ResourceNotFound",
		"Resource '"+id+"' does not exist or one of its queried reference-property objects are not present.")
}

func (d *Directory) graphUser(c call) answer {
	p := d.find(c.PathValue("id"))
	if p == nil || !p.deleted.IsZero() {
		return graphNotFound(c.PathValue("id"))
	}
	return answer{body: selected(c, graphPerson(p))}
}

func (d *Directory) graphDeleted(c call) answer {
	p := d.byID[c.PathValue("id")]
	if p == nil || p.deleted.IsZero() {
		return graphNotFound(c.PathValue("id"))
	}
	return answer{body: map[string]any{"@odata.type": "#microsoft.graph.user", "id": p.ID,
		"deletedDateTime": p.deleted.UTC().Format(time.RFC3339)}}
}

func (d *Directory) graphGroups(c call) answer {
	return graphPage(c, d.groups, groupSeq, func(g *Group) map[string]any {
		return selected(c, map[string]any{"id": g.ID, "displayName": g.Name, "mail": g.Email, "securityEnabled": true})
	})
}

func (d *Directory) graphMembers(c call, nested bool) answer {
	g := d.group[c.PathValue("id")]
	if g == nil {
		return graphNotFound(c.PathValue("id"))
	}
	return graphPage(c, d.members(g, nested), personSeq, func(p *Person) map[string]any {
		return selected(c, graphPerson(p))
	})
}

// graphDelta shows what changed since a token. Groups' deltas say nothing of deleted people.
func (d *Directory) graphDelta(c call, groups bool) answer {
	token := c.query("$deltatoken") + c.query("$skiptoken")
	body := map[string]any{"@odata.context": "https://graph.microsoft.com/v1.0/$metadata", "value": []any{}}
	link := func(name string, n int) string {
		return strings.Split(c.here(nil), "?")[0] + "?%24" + name + "=" + strconv.Itoa(n)
	}
	if token == "latest" {
		body["@odata.deltaLink"] = link("deltatoken", len(d.changes))
		return answer{body: body}
	}
	since, err := strconv.Atoi(token)
	if err != nil || since > len(d.changes) {
		return graphError(http.StatusGone, "syncStateNotFound",
			"The sync state generation is not found; a full sync is needed.")
	}
	values := []any{}
	end := min(since+100, len(d.changes))
	for _, happened := range d.changes[since:end] {
		if happened.group != groups {
			continue
		}
		value := map[string]any{"id": happened.id}
		if happened.deleted {
			value["@removed"] = map[string]any{"reason": "changed"}
		}
		values = append(values, value)
	}
	body["value"] = values
	body["@odata.deltaLink"] = link("deltatoken", end)
	if end < len(d.changes) {
		delete(body, "@odata.deltaLink")
		body["@odata.nextLink"] = link("skiptoken", end)
	}
	return answer{body: body, header: http.Header{"Request-Id": {fmt.Sprint(end)}}}
}
