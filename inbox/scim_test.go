package inbox_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/ledger"
)

// resource is an answer of SCIM.
type resource map[string]any

func (r resource) text(name string) string { text, _ := r[name].(string); return text }

func (r resource) list(name string) []any { all, _ := r[name].([]any); return all }

// first is the first resource of a list.
func (r resource) first(t *testing.T) resource {
	t.Helper()
	require.NotEmpty(t, r.list("Resources"))
	return r.list("Resources")[0].(map[string]any)
}

// scim makes a request as an identity provider with the token does, and requires the status of the answer.
func (p *posting) scim(status int, method, path, body string) resource {
	p.t.Helper()
	r := httptest.NewRequestWithContext(p.t.Context(), method, "/scim/acme/okta/v2"+path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/scim+json")
	return p.answer(r, status)
}

func (p *posting) answer(r *http.Request, status int) (got resource) {
	p.t.Helper()
	w := httptest.NewRecorder()
	p.handler.ServeHTTP(w, r)
	require.Equal(p.t, status, w.Code, "%s %s: %s", r.Method, r.URL, w.Body)
	if w.Body.Len() > 0 {
		require.Equal(p.t, "application/scim+json", w.Header().Get("Content-Type"))
		require.NoError(p.t, json.Unmarshal(w.Body.Bytes(), &got), w.Body.String())
	}
	return got
}

func filtered(filter string) string { return "?filter=" + url.QueryEscape(filter) }

// sound requires that the chain explains the ledger.
func (p *posting) sound() {
	p.t.Helper()
	rows, err := p.store.VerifyRows(p.t.Context(), "acme", func(int64) {})
	require.NoError(p.t, err)
	require.Empty(p.t, rows.First)
}

// user is what Okta posts of a user.
func oktaUser(name string) string {
	return fmt.Sprintf(`{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": %q,
		"name": {"givenName": "Ana", "familyName": "Lima"}, "emails": [{"primary": true, "value": %[1]q, "type": "work"}],
		"displayName": "Ana Lima", "locale": "en-US", "externalId": "00u-%[1]s", "groups": [], "password": "1mz050nq", "active": true}`, name)
}

// TestSCIMAnswersOktasSpecification plays the requests of Okta's specification test for SCIM 2.0 in its order, and
// those by which Okta changes what it pushed: users by PUT, whether they are active by PATCH, groups by PATCH.
func TestSCIMAnswersOktasSpecification(t *testing.T) {
	t.Parallel()
	p := start(t)
	p.scim(http.StatusCreated, http.MethodPost, "/Users", oktaUser("first@acme.example"))

	list := p.scim(http.StatusOK, http.MethodGet, "/Users?count=1&startIndex=1", "") // there are users
	require.Equal(t, []any{"urn:ietf:params:scim:api:messages:2.0:ListResponse"}, list["schemas"])
	for _, number := range []string{"itemsPerPage", "startIndex", "totalResults"} {
		require.EqualValues(t, 1, list[number], number)
	}
	first := list.first(t)
	got := p.scim(http.StatusOK, http.MethodGet, "/Users/"+first.text("id"), "") // by its id
	require.Equal(t, first.text("id"), got.text("id"))
	require.Equal(t, "Lima", resource(got["name"].(map[string]any)).text("familyName"))
	require.NotEmpty(t, got["emails"])
	require.NotEmpty(t, got.text("userName"))
	require.Equal(t, true, got["active"])

	random := "random.user@acme.example"
	none := p.scim(http.StatusOK, http.MethodGet, "/Users"+filtered(`userName eq "abcdefgh@atko.com"`), "")
	require.EqualValues(t, 0, none["totalResults"])
	require.NotNil(t, none["schemas"])
	p.scim(http.StatusNotFound, http.MethodGet, "/Users/010101001010101011001010101011", "")
	none = p.scim(http.StatusOK, http.MethodGet, "/Users"+filtered(fmt.Sprintf(`userName eq %q`, random)), "")
	require.EqualValues(t, 0, none["totalResults"])

	made := p.scim(http.StatusCreated, http.MethodPost, "/Users", oktaUser(random))
	require.Equal(t, true, made["active"])
	require.Equal(t, random, made.text("userName"))
	require.Contains(t, made["schemas"], "urn:ietf:params:scim:schemas:core:2.0:User")
	require.Nil(t, made["password"])
	id := made.text("id")
	require.Equal(t, random, p.scim(http.StatusOK, http.MethodGet, "/Users/"+id, "").text("userName"))
	twice := p.scim(http.StatusConflict, http.MethodPost, "/Users", oktaUser(random))
	require.Equal(t, "uniqueness", twice.text("scimType"))
	require.Equal(t, "409", twice.text("status"))
	require.Equal(t, []any{"urn:ietf:params:scim:api:messages:2.0:Error"}, twice["schemas"])
	upper := p.scim(http.StatusOK, http.MethodGet, "/Users"+filtered(fmt.Sprintf(`userName eq %q`, strings.ToUpper(random))), "")
	require.EqualValues(t, 1, upper["totalResults"], "names are the same in capitals")
	require.NotNil(t, p.scim(http.StatusOK, http.MethodGet, "/Groups", "")["Resources"])
	unknown := p.scim(http.StatusNotFound, http.MethodGet, "/Users/919191", "")
	require.NotEmpty(t, unknown.text("detail"))

	replaced := strings.Replace(oktaUser(random), "Lima", "Silva", 1)
	got = p.scim(http.StatusOK, http.MethodPut, "/Users/"+id, replaced)
	require.Equal(t, "Silva", resource(got["name"].(map[string]any)).text("familyName"))
	group := p.scim(http.StatusCreated, http.MethodPost, "/Groups",
		fmt.Sprintf(`{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "eng", "members": [{"value": %q, "display": %q}]}`, id, random)).text("id")
	require.Equal(t, []string{"okta:eng"}, p.groups("okta", id))
	p.scim(http.StatusOK, http.MethodPatch, "/Groups/"+group, fmt.Sprintf(`{"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
		"Operations": [{"op": "replace", "value": {"id": %q, "displayName": "engineers"}}]}`, group))
	require.Equal(t, []string{"okta:engineers"}, p.groups("okta", id))
	p.scim(http.StatusOK, http.MethodPatch, "/Groups/"+group, fmt.Sprintf(`{"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
		"Operations": [{"op": "remove", "path": "members[value eq \"%s\"]"}, {"op": "add", "path": "members", "value": [{"value": %q}]}]}`,
		id, first.text("id")))
	require.Empty(t, p.groups("okta", id))
	require.Equal(t, []string{"okta:engineers"}, p.groups("okta", first.text("id")))
	got = p.scim(http.StatusOK, http.MethodPatch, "/Users/"+id, `{"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
		"Operations": [{"op": "replace", "value": {"active": false}}]}`)
	require.Equal(t, false, got["active"])
	require.False(t, *p.look("okta", id).Enabled)
	p.scim(http.StatusNoContent, http.MethodDelete, "/Groups/"+group, "")
	require.Empty(t, p.groups("okta", first.text("id")))
	p.sound()
}

// TestSCIMAnswersEntrasRequests plays the requests that Microsoft documents for Entra ID's provisioning, in their
// order.
func TestSCIMAnswersEntrasRequests(t *testing.T) {
	t.Parallel()
	p := start(t)
	for _, path := range []string{"/ServiceProviderConfig", "/ResourceTypes", "/Schemas"} {
		require.NotEmpty(t, p.scim(http.StatusOK, http.MethodGet, path, ""))
	}
	patched := func(status int, path string, operations string) resource {
		t.Helper()
		return p.scim(status, http.MethodPatch, path,
			`{"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [`+operations+`]}`)
	}
	made := p.scim(http.StatusCreated, http.MethodPost, "/Users", `{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User",
		"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"], "externalId": "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef",
		"userName": "Test_User_ab6490ee", "active": true, "emails": [{"primary": true, "type": "work", "value": "Test_User@testuser.com"}],
		"meta": {"resourceType": "User"}, "name": {"formatted": "givenName familyName", "familyName": "familyName", "givenName": "givenName"},
		"roles": []}`)
	id := made.text("id")
	require.Equal(t, "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef", made.text("externalId"))
	require.Equal(t, "User", resource(made["meta"].(map[string]any)).text("resourceType"))
	require.Contains(t, resource(made["meta"].(map[string]any)).text("location"), "/scim/acme/okta/v2/Users/"+id)
	require.Equal(t, id, p.scim(http.StatusOK, http.MethodGet, "/Users/"+id, "").text("id"))
	for filter, n := range map[string]int{`userName eq "Test_User_ab6490ee"`: 1, `userName eq "non-existent user"`: 0,
		`externalId eq "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef"`: 1} {
		require.EqualValues(t, n, p.scim(http.StatusOK, http.MethodGet, "/Users"+filtered(filter), "")["totalResults"], filter)
	}
	got := patched(http.StatusOK, "/Users/"+id, `{"op": "Replace", "path": "emails[type eq \"work\"].value", "value": "updated@acme.example"},
		{"op": "Replace", "path": "name.familyName", "value": "updatedFamilyName"}`)
	require.Equal(t, "updated@acme.example", resource(got.list("emails")[0].(map[string]any)).text("value"))
	require.Equal(t, "updated@acme.example", p.look("okta", id).Address)
	got = patched(http.StatusOK, "/Users/"+id, `{"op": "Replace", "path": "userName", "value": "5b50642d@contoso.com"}`)
	require.Equal(t, "5b50642d@contoso.com", got.text("userName"))
	got = patched(http.StatusOK, "/Users/"+id, `{"op": "Add", "path": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department",
		"value": "Legal"}, {"op": "Add", "path": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager", "value": "`+id+`"},
		{"op": "Add", "value": {"displayName": "Ana", "name.givenName": "Ana", "active": "True"}},
		{"op": "Add", "path": "phoneNumbers[type eq \"mobile\"].value", "value": "123"}`)
	require.Equal(t, "Ana", resource(got["name"].(map[string]any)).text("givenName"))
	extension := resource(got["urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"].(map[string]any))
	require.Equal(t, "Legal", extension.text("department"))

	group := p.scim(http.StatusCreated, http.MethodPost, "/Groups", `{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group",
		"http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"], "externalId": "8aa1a0c0-c4c3-4bc0-b4a5-2ef676900159",
		"displayName": "displayName", "meta": {"resourceType": "Group"}}`).text("id")
	p.scim(http.StatusOK, http.MethodGet, "/Groups/"+group+"?excludedAttributes=members", "")
	list := p.scim(http.StatusOK, http.MethodGet, "/Groups?excludedAttributes=members&filter="+url.QueryEscape(`displayName eq "displayName"`), "")
	require.Equal(t, group, list.first(t).text("id"))
	patched(http.StatusOK, "/Groups/"+group, `{"op": "Replace", "path": "displayName", "value": "updatedDisplayName"}`)
	got = patched(http.StatusOK, "/Groups/"+group, `{"op": "Add", "path": "members", "value": [{"$ref": null, "value": "`+id+`"}]}`)
	require.Len(t, got.list("members"), 1)
	require.Equal(t, []string{"okta:updatedDisplayName"}, p.groups("okta", id))
	got = p.scim(http.StatusOK, http.MethodGet, "/Groups/"+group+"?excludedAttributes=members", "")
	require.Nil(t, got["members"])
	patched(http.StatusOK, "/Groups/"+group, `{"op": "Remove", "path": "members", "value": [{"$ref": null, "value": "`+id+`"}]}`)
	require.Empty(t, p.groups("okta", id))

	got = patched(http.StatusOK, "/Users/"+id, `{"op": "Replace", "path": "active", "value": "False"}`)
	require.Equal(t, false, got["active"])
	require.False(t, *p.look("okta", id).Enabled)
	p.scim(http.StatusNoContent, http.MethodDelete, "/Users/"+id, "")
	p.scim(http.StatusNotFound, http.MethodGet, "/Users/"+id, "")
	require.Equal(t, ledger.StateGone, p.look("okta", id).State)
	require.NotZero(t, p.look("okta", id).Stated, "the chain explains that")
	p.scim(http.StatusNoContent, http.MethodDelete, "/Groups/"+group, "")
	p.scim(http.StatusNotFound, http.MethodDelete, "/Groups/"+group, "")
	p.sound()
}

func TestSCIMRefuses(t *testing.T) {
	t.Parallel()
	p := start(t)
	ask := func(path, authorization string, status int) {
		t.Helper()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
		r.Header.Set("Authorization", authorization)
		require.Equal(t, fmt.Sprint(status), p.answer(r, status).text("status"))
	}
	ask("/scim/acme/okta/v2/Users", "", http.StatusUnauthorized)
	ask("/scim/acme/okta/v2/Users", "Bearer x", http.StatusUnauthorized)
	ask("/scim/acme/okta/v2/Users", token, http.StatusUnauthorized)
	ask("/scim/globex/okta/v2/Users", "Bearer "+token, http.StatusUnauthorized)
	ask("/scim/acme/posts/v2/Users", "Bearer "+secret, http.StatusUnauthorized)
	p.set("env:SCIM", "next-0123456789-0123456789-0123456789\n"+token)
	p.scim(http.StatusOK, http.MethodGet, "/Users", "")
	p.scim(http.StatusBadRequest, http.MethodPost, "/Users", "hunter2")
	p.scim(http.StatusBadRequest, http.MethodPost, "/Users", "[]")
	p.scim(http.StatusBadRequest, http.MethodPost, "/Users", `{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"]}`)
	p.scim(http.StatusBadRequest, http.MethodGet, "/Users"+filtered(`emails co "a"`), "")
	p.scim(http.StatusRequestEntityTooLarge, http.MethodPost, "/Users", strings.Repeat(" ", 1<<20+1))
	refused := p.scim(http.StatusBadRequest, http.MethodPost, "/Groups", `{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "a",
		"members": [{"value": "nobody"}]}`)
	require.Contains(t, refused.text("detail"), `member "nobody" is no user of the source`, "not that there is no such group")
	require.EqualValues(t, 0, p.scim(http.StatusOK, http.MethodGet, "/Groups", "")["totalResults"], "nothing is half done")
	p.scim(http.StatusNotFound, http.MethodPatch, "/Users/nobody", `{"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
		"Operations": [{"op": "replace", "path": "active", "value": false}]}`)
}

// TestSCIMFindsNamesWithQuotes: what an identity provider pushed, it finds again, whatever is in the name.
func TestSCIMFindsNamesWithQuotes(t *testing.T) {
	t.Parallel()
	p := start(t)
	for _, name := range []string{`it's "quoted"`, `back\slash`, `C:\new`, "管理者"} {
		text, err := json.Marshal(name)
		require.NoError(t, err)
		p.scim(http.StatusCreated, http.MethodPost, "/Groups",
			`{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": `+string(text)+`}`)
		found := p.scim(http.StatusOK, http.MethodGet, "/Groups"+filtered("displayName eq "+string(text)), "")
		require.EqualValues(t, 1, found["totalResults"], name)
		require.Equal(t, name, found.first(t).text("displayName"))
	}
}

// TestSCIMSilenceDisablesNobody: a user who is replaced without saying whether they are active stays as they are.
func TestSCIMSilenceDisablesNobody(t *testing.T) {
	t.Parallel()
	p := start(t)
	id := p.scim(http.StatusCreated, http.MethodPost, "/Users", oktaUser("ana@acme.example")).text("id")
	silent := strings.Replace(oktaUser("ana@acme.example"), `, "active": true`, "", 1)
	require.Equal(t, true, p.scim(http.StatusOK, http.MethodPut, "/Users/"+id, silent)["active"])
	p.scim(http.StatusOK, http.MethodPut, "/Users/"+id, strings.Replace(oktaUser("ana@acme.example"), "true}", "false}", 1))
	require.False(t, *p.look("okta", id).Enabled)
	require.Equal(t, false, p.scim(http.StatusOK, http.MethodPut, "/Users/"+id, silent)["active"])
}
