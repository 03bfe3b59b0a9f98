package organization_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/atlassian/organization"
)

// exchange is what the client sent, and the response to it.
type exchange struct {
	status int
	answer string

	method, path, query string
	body                map[string]any
	calls               int
}

// client returns a client that gets x's response to every call; x keeps the last request.
func (x *exchange) client(t *testing.T) organization.Writer {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x.calls++
		x.method, x.path, x.query, x.body = r.Method, r.URL.EscapedPath(), r.URL.RawQuery, nil
		if sent, _ := io.ReadAll(r.Body); len(sent) > 0 {
			_ = json.Unmarshal(sent, &x.body)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(max(x.status, 200))
		_, _ = io.WriteString(w, x.answer)
	}))
	t.Cleanup(server.Close)
	client, err := organization.New(organization.Options{BaseURL: server.URL + "/admin/", OrgID: "org-1",
		Key: func(context.Context) (string, error) { return "k", nil }})
	require.NoError(t, err)
	return organization.NewWriter(client)
}

func TestNewNeedsAnOrganization(t *testing.T) {
	for _, org := range []string{"", "a/b", ".."} {
		_, err := organization.New(organization.Options{OrgID: org,
			Key: func(context.Context) (string, error) { return "k", nil }})
		require.ErrorContains(t, err, "organization's id")
	}
	_, err := organization.New(organization.Options{OrgID: "org-1"})
	require.ErrorContains(t, err, "no API key")
}

func TestV1ListsLinkWithURLs(t *testing.T) {
	x := &exchange{answer: `{"data":[{"id":"org-1","type":"orgs","attributes":{"name":"Acme"},"relationships":{},"links":{"self":"https://api.atlassian.com/admin/v1/orgs/org-1"}}],
		"links":{"self":"https://api.atlassian.com/admin/v1/orgs","next":"https://api.atlassian.com/admin/v1/orgs?cursor=Qh8E1Qp%2FxI7Q.."}}`}
	page, err := x.client(t).Orgs(t.Context(), "first")
	require.NoError(t, err)
	require.Equal(t, []organization.Org{{ID: "org-1", Name: "Acme"}}, page.Items)
	require.Equal(t, "Qh8E1Qp/xI7Q..", page.Next)
	require.Equal(t, "/admin/v1/orgs", x.path)
	require.Equal(t, "cursor=first", x.query)
}

func TestOrgAndDirectoriesAndDomains(t *testing.T) {
	x := &exchange{answer: `{"data":{"id":"org-1","attributes":{"name":"Acme"}}}`}
	client := x.client(t)
	org, err := client.Org(t.Context())
	require.NoError(t, err)
	require.Equal(t, organization.Org{ID: "org-1", Name: "Acme"}, org)

	x.answer = `{"data":[{"directoryId":"d1","name":"Primary Directory","icon":"https://x"}],"links":{"self":"ObSb","next":null}}`
	directories, err := client.Directories(t.Context(), "")
	require.NoError(t, err)
	require.Equal(t, organization.Page[organization.Directory]{
		Items: []organization.Directory{{ID: "d1", Name: "Primary Directory"}}}, directories)
	require.Equal(t, "limit=100", x.query)

	x.answer = `{"data":[{"id":"1","type":"domains","attributes":{"name":"acme.example","claim":{"type":"dns","status":"verified"}},"links":{"self":"x"}}],"links":{}}`
	domains, err := client.Domains(t.Context(), "")
	require.NoError(t, err)
	require.Equal(t, []organization.Domain{{ID: "1", Name: "acme.example", ClaimType: "dns", ClaimStatus: "verified"}},
		domains.Items)
	require.True(t, domains.Items[0].Verified())
}

const groupPage = `{"data":[
	{"id":"g1","name":"jira-administrators","description":"Admins","directoryId":"d1","externalSynced":true,"managedBy":"external",
	 "managementAccess":{"deletable":false,"modifiable":false,"readable":true},"counts":{"resources":3,"users":10},"links":{"self":"c"}},
	{"id":"ari:cloud:identity::group/g2","name":"bare"},
	{"id":"g3","name":"empty","counts":{"users":0},"managedBy":"admins"}],
	"links":{"self":"ObSb","prev":null,"next":"kloHX1ZQVasDAkx_P48NYQ"}}`

func TestSearchGroups(t *testing.T) {
	x := &exchange{answer: groupPage}
	page, err := x.client(t).SearchGroups(t.Context(), organization.AllDirectories, organization.GroupQuery{
		Cursor: "c0", Names: []string{"a", "b", "a"}, Expand: []string{organization.ExpandUserCount}, SortByName: true,
	})
	require.NoError(t, err)
	require.Equal(t, "kloHX1ZQVasDAkx_P48NYQ", page.Next)
	require.Equal(t, []organization.Group{
		{ID: "g1", Name: "jira-administrators", Description: "Admins", DirectoryID: "d1", ExternalSynced: true,
			ManagedBy: "external", Users: 10, Resources: 3},
		{ID: "g2", Name: "bare", Modifiable: true, Deletable: true, Users: -1, Resources: -1},
		{ID: "g3", Name: "empty", ManagedBy: "admins", Modifiable: true, Deletable: true, Users: 0, Resources: -1},
	}, page.Items)
	require.False(t, page.Items[0].Writable())
	require.True(t, page.Items[1].Writable(), "what the API does not say is taken for allowed")
	require.Equal(t, http.MethodPost, x.method)
	require.Equal(t, "/admin/v2/orgs/org-1/directories/-/groups/search", x.path)
	require.Equal(t, map[string]any{
		"cursor": "c0", "limit": 100.0, "groupNames": []any{"a", "b"}, "expand": []any{"counts.users"},
		"sortBy": []any{map[string]any{"field": "name", "direction": "asc"}},
	}, x.body)
}

func TestGroupAndItsRoles(t *testing.T) {
	x := &exchange{answer: `{"data":{"id":"g1","name":"jira-users"}}`}
	client := x.client(t)
	group, err := client.Group(t.Context(), "d1", "ari:cloud:identity::group/g1")
	require.NoError(t, err)
	require.Equal(t, "jira-users", group.Name)
	require.Equal(t, -1, group.Users)
	require.Equal(t, "/admin/v2/orgs/org-1/directories/d1/groups/g1", x.path)

	x.answer = `{"data":[{"resourceId":"ari:cloud:jira-core::site/1","resourceOwner":"jira-core","roles":["atlassian/user"],"defaultRole":"atlassian/user"},
		{"resourceId":"ari:cloud:confluence::site/1","resourceOwner":"confluence","roles":["atlassian/admin"],"defaultRole":null}],"links":{}}`
	roles, err := client.GroupRoleAssignments(t.Context(), "d1", "g1", "a/b+c")
	require.NoError(t, err)
	require.Equal(t, []organization.RoleAssignment{
		{ResourceID: "ari:cloud:jira-core::site/1", ResourceOwner: "jira-core", Roles: []string{"atlassian/user"},
			DefaultRole: "atlassian/user"},
		{ResourceID: "ari:cloud:confluence::site/1", ResourceOwner: "confluence", Roles: []string{"atlassian/admin"}},
	}, roles.Items)
	require.Equal(t, "cursor=a%2Fb%2Bc&limit=100", x.query)
}

func TestSearchUsers(t *testing.T) {
	x := &exchange{answer: `{"data":[
		{"accountId":"712020:ana","accountType":"atlassian","accountStatus":"active","status":"active","membershipStatus":"active","claimStatus":"managed",
		 "managementSource":"synced","name":"Ana","nickname":"an","email":"ana@acme.example","emailVerified":true,"addedToOrg":"2024-01-01T00:00:00.000Z","jobTitle":"Engineer",
		 "department":"R&D","platformRoles":["atlassian/org-admin"],"counts":{"resources":2},
		 "productAccess":[{"id":"ari:cloud:confluence::site/1","key":"confluence","lastActiveTimestamp":"2025-11-06T23:07:29.936941226Z"}],
		 "groups":[{"id":"ari:cloud:identity::group/g1","name":"one","description":null},{"id":"g2","name":null}],"links":{"self":"x"}},
		{"accountId":"557058:bo","managementSource":null,"groups":[]},
		{"accountId":"c"}],"links":{"self":"s"}}`}
	page, err := x.client(t).SearchUsers(t.Context(), "d1", organization.UserQuery{
		GroupIDs: []string{"ari:cloud:identity::group/g1"}, Limit: 50,
		Expand: []string{organization.ExpandGroups, organization.ExpandPlatformRoles},
	})
	require.NoError(t, err)
	require.Empty(t, page.Next)
	require.Len(t, page.Items, 3)
	ana := page.Items[0]
	require.Equal(t, "712020:ana", ana.AccountID)
	require.Equal(t, "ana@acme.example", ana.Email)
	require.Equal(t, "synced", ana.ManagementSource)
	require.Equal(t, []string{"g1", "g2"}, ana.GroupIDs)
	require.Equal(t, []string{organization.RoleOrgAdmin}, ana.PlatformRoles)
	require.Equal(t, 2024, ana.AddedToOrg.Year())
	require.Equal(t, "confluence", ana.ProductAccess[0].Key)
	require.Equal(t, 2025, ana.ProductAccess[0].LastActive.Year())
	require.NotNil(t, page.Items[1].GroupIDs, "in no group")
	require.Nil(t, page.Items[2].GroupIDs, "the answer does not say")
	require.Equal(t, map[string]any{"limit": 50.0, "groupIds": []any{"g1"}, "expand": []any{"groups", "platformRoles"}},
		x.body)
}

func TestItemsWithoutTheirIDsAreNotTrusted(t *testing.T) {
	x := &exchange{}
	client := x.client(t)
	for _, answer := range []string{`{"data":[{}]}`, `{"data":[null]}`,
		`{"data":[{"accountId":"a","groups":[{"name":"x"}]}]}`, `{"data":null}`, `{"data":{}}`, `{"links":{}}`} {
		x.answer = answer
		page, err := client.SearchUsers(t.Context(), "-", organization.UserQuery{})
		require.ErrorIs(t, err, organization.ErrMalformed, answer)
		require.Empty(t, page)
	}
	x.answer = `{"data":[{"id":"g"}]}`
	_, err := client.SearchGroups(t.Context(), "-", organization.GroupQuery{})
	require.ErrorIs(t, err, organization.ErrMalformed)
}

func TestARepeatedCursorIsMalformed(t *testing.T) {
	x := &exchange{answer: `{"data":[{"accountId":"a"}],"links":{"next":"same"}}`}
	client := x.client(t)
	_, err := client.SearchUsers(t.Context(), "-", organization.UserQuery{Cursor: "same"})
	require.ErrorIs(t, err, organization.ErrMalformed)
	require.ErrorContains(t, err, "repeated cursor")
	_, err = client.SearchUsers(t.Context(), "-", organization.UserQuery{Cursor: "another"})
	require.NoError(t, err)
}

func TestWorkspaces(t *testing.T) {
	x := &exchange{answer: `{"data":[
		{"id":"ari:cloud:jira-software::site/1","type":"workspace","attributes":{"name":"Acme Jira","typeKey":"jira-software","type":"Jira","hostUrl":"https://Acme.atlassian.net","status":"online","capacity":100,"usage":null}},
		{"id":"ari:cloud:confluence::site/1","type":"confluence","attributes":{"hostUrl":null,"type":"Confluence"}}],
		"links":{"next":"https://api.atlassian.com/admin/v2/orgs/org-1/workspaces?cursor=bmV4dA%3D%3D"},"meta":{"pageSize":20,"total":42}}`}
	client := x.client(t)
	page, err := client.Workspaces(t.Context(), "")
	require.NoError(t, err)
	require.Equal(t, "bmV4dA==", page.Next)
	require.Equal(t, organization.Workspace{
		ID: "ari:cloud:jira-software::site/1", Key: "jira-software", Type: "Jira", Name: "Acme Jira",
		HostURL: "https://Acme.atlassian.net",
		Status:  "online", Capacity: 100, Usage: -1,
	}, page.Items[0])
	require.Equal(t, "acme", page.Items[0].Site())
	require.Equal(t, "confluence", page.Items[1].Key)
	require.Empty(t, page.Items[1].Site())
	require.Equal(t, map[string]any{"limit": 250.0}, x.body)

	_, err = client.Workspaces(t.Context(), "c1")
	require.NoError(t, err)
	require.Equal(t, map[string]any{"cursor": "c1"}, x.body, "nothing may stand beside a cursor")
}
