package scim_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/atlassian/scim"
)

// exchange is what the client sent, and the response to it.
type exchange struct {
	status int
	answer string

	method, path string
	query        url.Values
	body         map[string]any
	calls        int
}

func (x *exchange) client(t *testing.T) scim.Writer {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x.calls++
		x.method, x.path, x.query, x.body = r.Method, r.URL.EscapedPath(), r.URL.Query(), nil
		if sent, _ := io.ReadAll(r.Body); len(sent) > 0 {
			_ = json.Unmarshal(sent, &x.body)
		}
		w.Header().Set("Content-Type", "application/scim+json")
		w.WriteHeader(max(x.status, 200))
		_, _ = io.WriteString(w, x.answer)
	}))
	t.Cleanup(server.Close)
	client, err := scim.New(scim.Options{BaseURL: server.URL + "/scim/directory/d1",
		Key: func(context.Context) (string, error) { return "k", nil }})
	require.NoError(t, err)
	return scim.NewWriter(client)
}

const user = `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"id":"u1","externalId":"x1","userName":"ana@acme.example",
	"name":{"formatted":"Ana A","familyName":"A","givenName":"Ana"},"displayName":"Ana A","title":"Engineer",
	"nickName":"Annie","preferredLanguage":"de-AT","timezone":"Europe/Vienna",
	"phoneNumbers":[{"value":"+43 1","type":"mobile","primary":true},{"value":"+43 2","type":"work"}],
	"emails":[{"value":"other@acme.example","type":"home","primary":false},{"value":"ana@acme.example","type":"work","primary":true}],
	"groups":[{"type":"Group","value":"g1","display":"eng","$ref":"https://x"}],
	"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"organization":"Acme","department":"R&D"},
	"urn:scim:schemas:extension:atlassian-external:1.0":{"atlassianAccountId":"557058:ana"},
	"active":true,"meta":{"resourceType":"User","lastModified":"2026-11-30T12:00:00.250Z"}}`

var ana = scim.User{
	ID: "u1", AtlassianAccountID: "557058:ana", ExternalID: "x1", UserName: "ana@acme.example",
	Email: "ana@acme.example", DisplayName: "Ana A",
	GivenName: "Ana", FamilyName: "A", NickName: "Annie", Title: "Engineer", Department: "R&D", Organization: "Acme",
	Timezone: "Europe/Vienna", PreferredLanguage: "de-AT", PhoneNumber: "+43 2", Active: true,
	GroupIDs: []string{"g1"}, Modified: time.Date(2026, 11, 30, 12, 0, 0, 250e6, time.UTC),
}

func TestUsers(t *testing.T) {
	x := &exchange{answer: `{"schemas":["urn:ietf:params:scim:api:messages:2.0:ListResponse"],"totalResults":3,"startIndex":2,"itemsPerPage":1,"Resources":[` + user + `]}`}
	client := x.client(t)
	page, err := client.Users(t.Context(), scim.UserQuery{UserName: `a"na\@acme.example`, Start: 2, Count: 1})
	require.NoError(t, err)
	require.Equal(t, scim.Page[scim.User]{Items: []scim.User{ana}, Total: 3, Next: 3}, page)
	require.Equal(t, "/scim/directory/d1/Users", x.path)
	require.Equal(t, url.Values{"filter": {`userName eq "a\"na\\@acme.example"`}, "startIndex": {"2"}, "count": {"1"}},
		x.query)

	x.answer = `{"totalResults":0,"startIndex":1,"itemsPerPage":0}`
	page, err = client.Users(t.Context(), scim.UserQuery{ExternalID: "x1"})
	require.NoError(t, err)
	require.Equal(t, scim.Page[scim.User]{}, page)
	require.Equal(t, `externalId eq "x1"`, x.query.Get("filter"))
	require.Equal(t, "100", x.query.Get("count"))
}

func TestUserWrites(t *testing.T) {
	x := &exchange{answer: user}
	client := x.client(t)

	x.status = 201
	created, err := client.CreateUser(t.Context(),
		scim.User{UserName: "ana@acme.example", Email: "ana@acme.example", GivenName: "Ana", NickName: "Annie",
			Department: "R&D", Timezone: "Europe/Vienna", PreferredLanguage: "de-AT", PhoneNumber: "+43 2",
			Active: true, ID: "ignored", Modified: time.Now()})
	require.NoError(t, err)
	require.Equal(t, ana, created)
	require.Equal(t, map[string]any{
		"schemas": []any{"urn:ietf:params:scim:schemas:core:2.0:User"}, "userName": "ana@acme.example", "active": true,
		"name": map[string]any{"givenName": "Ana"}, "nickName": "Annie", "department": "R&D",
		"timezone": "Europe/Vienna", "preferredLanguage": "de-AT",
		"emails":       []any{map[string]any{"value": "ana@acme.example", "type": "work", "primary": true}},
		"phoneNumbers": []any{map[string]any{"value": "+43 2", "type": "work", "primary": true}},
	}, x.body)

	x.status = 200
	_, err = client.SetActive(t.Context(), "u1", false)
	require.NoError(t, err)
	require.Equal(t, "PATCH /scim/directory/d1/Users/u1", x.method+" "+x.path)
	require.Equal(t, map[string]any{
		"schemas":    []any{"urn:ietf:params:scim:api:messages:2.0:PatchOp"},
		"Operations": []any{map[string]any{"op": "replace", "path": "active", "value": false}},
	}, x.body)

	got, err := client.User(t.Context(), "u1")
	require.NoError(t, err)
	require.Equal(t, ana, got)

	x.status, x.answer = 204, ""
	require.NoError(t, client.DeleteUser(t.Context(), "u1"))
	require.Equal(t, "DELETE /scim/directory/d1/Users/u1", x.method+" "+x.path)
}

func TestPatchUser(t *testing.T) {
	const enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:"
	x := &exchange{answer: user}
	changed, err := x.client(t).PatchUser(t.Context(), "u1", []scim.Edit{
		{scim.UserName, "old@acme.example", "ana@acme.example"}, {scim.Email, "old@acme.example", "ana@acme.example"},
		{scim.DisplayName, "", "Ana A"}, {scim.GivenName, "An", "Ana"}, {scim.FamilyName, "B", "A"},
		{scim.NickName, "Annie", ""}, {scim.Title, "Clerk", "Engineer"}, {scim.Department, "", "R&D"},
		{scim.Organization, "Acme", ""}, {scim.Timezone, "", "Europe/Vienna"},
		{scim.PreferredLanguage, "en", "de-AT"}, {scim.PhoneNumber, "", "+43 2"}, {scim.Active, "false", "true"},
	})
	require.NoError(t, err)
	require.Equal(t, ana, changed, "the user is returned as the API shows it")
	require.Equal(t, 1, x.calls)
	require.Equal(t, "PATCH /scim/directory/d1/Users/u1", x.method+" "+x.path)
	op := func(op, path string, value any) map[string]any {
		if value == nil {
			return map[string]any{"op": op, "path": path}
		}
		return map[string]any{"op": op, "path": path, "value": value}
	}
	require.Equal(t, map[string]any{
		"schemas": []any{"urn:ietf:params:scim:api:messages:2.0:PatchOp"},
		"Operations": []any{
			op("replace", "userName", "ana@acme.example"),
			op("replace", `emails[type eq "work"].value`, "ana@acme.example"),
			op("add", "displayName", "Ana A"), op("replace", "name.givenName", "Ana"),
			op("replace", "name.familyName", "A"), op("remove", "nickName", nil), op("replace", "title", "Engineer"),
			op("add", enterprise+"department", "R&D"), op("remove", enterprise+"organization", nil),
			op("add", "timezone", "Europe/Vienna"), op("replace", "preferredLanguage", "de-AT"),
			op("add", `phoneNumbers[type eq "work"].value`, "+43 2"), op("replace", "active", true),
		},
	}, x.body)
}

const group = `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"id":"g1","externalId":"e1","displayName":"eng",
	"members":[{"type":"User","value":"u1","display":"ana@acme.example","$ref":"https://x"}],"meta":{"resourceType":"Group"}}`

var eng = scim.Group{ID: "g1", ExternalID: "e1", DisplayName: "eng", MemberIDs: []string{"u1"}}

func TestGroups(t *testing.T) {
	x := &exchange{answer: `{"totalResults":1,"startIndex":1,"itemsPerPage":1,"Resources":[` + group + `]}`}
	client := x.client(t)
	page, err := client.Groups(t.Context(), scim.GroupQuery{DisplayName: "eng"})
	require.NoError(t, err)
	require.Equal(t, scim.Page[scim.Group]{Items: []scim.Group{eng}, Total: 1}, page)
	require.Equal(t, `displayName eq "eng"`, x.query.Get("filter"))

	x.answer = group
	got, err := client.Group(t.Context(), "g1")
	require.NoError(t, err)
	require.Equal(t, eng, got)

	created, err := client.CreateGroup(t.Context(), scim.Group{DisplayName: "eng", MemberIDs: []string{"u1"}})
	require.NoError(t, err)
	require.Equal(t, eng, created)
	require.Equal(t, map[string]any{
		"schemas": []any{"urn:ietf:params:scim:schemas:core:2.0:Group"}, "displayName": "eng",
		"members": []any{map[string]any{"value": "u1"}},
	}, x.body)

	for op, do := range map[string]func(context.Context, string, ...string) (scim.Group, error){
		"add": client.AddMembers, "remove": client.RemoveMembers, "replace": client.ReplaceMembers,
	} {
		got, err := do(t.Context(), "g1", "u1", "u2")
		require.NoError(t, err)
		require.Equal(t, eng, got)
		require.Equal(t, "PATCH /scim/directory/d1/Groups/g1", x.method+" "+x.path)
		require.Equal(t, []any{map[string]any{"op": op, "path": "members",
			"value": []any{map[string]any{"value": "u1"}, map[string]any{"value": "u2"}}}}, x.body["Operations"])
	}
	_, err = client.ReplaceMembers(t.Context(), "g1")
	require.NoError(t, err)
	require.Equal(t, []any{map[string]any{"op": "replace", "path": "members", "value": []any{}}}, x.body["Operations"])

	x.status, x.answer = 204, ""
	require.NoError(t, client.DeleteGroup(t.Context(), "g1"))
}

func TestErrors(t *testing.T) {
	tests := map[string]struct {
		status int
		answer string
		kind   error
		says   string
	}{
		"gateway": {401, `{"error":"Missing authorization header","traceId":"t1"}`, scim.ErrUnauthorized,
			"Missing authorization header"},
		"forbidden": {403, `{"error":"not yours","traceId":"t1"}`, scim.ErrForbidden, "not yours"},
		"missing":   {404, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"404","detail":"no such user"}`, scim.ErrNotFound, "no such user"},
		"taken":     {409, `{"schemas":[],"status":"409","scimType":"uniqueness","detail":"Resource [GROUP]: with displayName already exists."}`, scim.ErrNameTaken, "uniqueness"},
		"bad filter": {400, `{"status":"400","scimType":"invalidFilter","detail":"unsupported"}`, scim.ErrInvalid,
			"invalidFilter"},
		"server":      {503, `{"status":"503","detail":"try again"}`, scim.ErrOutcomeUnknown, "try again"},
		"no resource": {201, `{}`, scim.ErrOutcomeUnknown, "no id"},
		"limit":       {429, ``, scim.ErrRateLimited, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			x := &exchange{status: test.status, answer: test.answer}
			_, err := x.client(t).CreateGroup(t.Context(), scim.Group{DisplayName: "eng"})
			require.ErrorIs(t, err, test.kind)
			require.ErrorContains(t, err, test.says)
			var failure *scim.Error
			require.ErrorAs(t, err, &failure)
			require.Equal(t, test.status, failure.Status)
		})
	}
}

func TestShortListsAreNotTrusted(t *testing.T) {
	x := &exchange{}
	client := x.client(t)
	for name, answer := range map[string]string{
		"no total":            `{"Resources":[]}`,
		"empty before end":    `{"totalResults":5,"startIndex":1,"Resources":[]}`,
		"starts elsewhere":    `{"totalResults":5,"startIndex":3,"Resources":[` + group + `]}`,
		"breaks off":          `{"totalResults":1,"startIndex":1,"Resources":[` + group,
		"resource without id": `{"totalResults":1,"startIndex":1,"Resources":[{}]}`,
	} {
		x.answer = answer
		page, err := client.Groups(t.Context(), scim.GroupQuery{})
		require.ErrorIs(t, err, scim.ErrMalformed, name)
		require.Empty(t, page, name)
	}
}

func TestProgrammingErrorsAreNotSent(t *testing.T) {
	x := &exchange{answer: group}
	client := x.client(t)
	edit := func(edits ...scim.Edit) func() error {
		return func() error { _, err := client.PatchUser(t.Context(), "u1", edits); return err }
	}
	fails := map[string]func() error{
		"two filters": func() error {
			_, err := client.Users(t.Context(), scim.UserQuery{UserName: "a", ExternalID: "b"})
			return err
		},
		"negative start": func() error { _, err := client.Users(t.Context(), scim.UserQuery{Start: -1}); return err },
		"no user name":   func() error { _, err := client.CreateUser(t.Context(), scim.User{Email: "a"}); return err },
		"no id":          func() error { _, err := client.User(t.Context(), ""); return err },
		"path":           func() error { return client.DeleteUser(t.Context(), "../Groups/g1") },
		"no group name":  func() error { _, err := client.CreateGroup(t.Context(), scim.Group{}); return err },
		"remove nobody":  func() error { _, err := client.RemoveMembers(t.Context(), "g1"); return err },
		"add nobody":     func() error { _, err := client.AddMembers(t.Context(), "g1"); return err },
		"no edits":       func() error { _, err := client.PatchUser(t.Context(), "u1", nil); return err },
		"unknown edit":   edit(scim.Edit{Attribute: "x509Certificates", To: "x"}),
		"no address":     edit(scim.Edit{Attribute: scim.Email, From: "a"}),
		"no name":        edit(scim.Edit{Attribute: scim.UserName, From: "a"}),
		"neither":        edit(scim.Edit{Attribute: scim.Active, To: "perhaps"}),
		"twice":          edit(scim.Edit{Attribute: scim.Title, To: "a"}, scim.Edit{Attribute: scim.Title, To: "b"}),
		"empty member":   func() error { _, err := client.ReplaceMembers(t.Context(), "g1", ""); return err },
	}
	for name, do := range fails {
		require.ErrorIs(t, do(), scim.ErrInvalid, name)
	}
	require.Zero(t, x.calls)
}
