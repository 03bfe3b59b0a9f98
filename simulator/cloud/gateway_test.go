package cloud_test

import (
	"sync"
	"testing"
	"time"

	"github.com/castellan-io/castellan/simulator/cloud"
	"github.com/stretchr/testify/require"
)

func TestKeys(t *testing.T) {
	s := start(t)
	s.settings(map[string]any{"keys": map[string]string{"old": "expired", "weak": "readonly", "other": "otherOrg",
		"scoped": "scoped"}})
	group := map[string]string{"name": "x"}
	for _, c := range []struct {
		key                  string
		v1, v2, write, space int
	}{
		{"nonsense", 401, 401, 401, 401}, {"old", 401, 401, 401, 401}, {"other", 403, 403, 403, 403},
		{"weak", 200, 200, 403, 200}, {"scoped", 200, 403, 403, 200},
	} {
		s.key = c.key
		require.Equal(t, c.v1, s.get("V1/domains").status, c.key)
		require.Equal(t, c.v2, s.post("D/groups/search", "{}").status, c.key)
		require.Equal(t, c.write, s.post("D/groups", group).status, c.key)
		require.Equal(t, c.space, s.post("O/workspaces", "{}").status, c.key)
	}
}

func TestErrorShapes(t *testing.T) {
	s := start(t)
	s.key = "nonsense"
	require.EqualValues(t, 401, s.get("V1/domains").at("code"), "v1: the gateway's shape with a number")
	require.Equal(t, "401 ADMIN-401-2", codes(s.post("D/groups/search", "{}")), "v2: the envelope")
	require.EqualValues(t, 401, s.post("O/workspaces", "{}").at("code"))
	s.settings(map[string]any{"keys": map[string]string{"nonsense": "otherOrg"}})
	require.Equal(t, "403 ADMIN-403-3", codes(s.post("D/groups/search", "{}")))
	domains := s.get("V1/domains")
	require.Equal(t, "Forbidden", domains.at("error"), "domains: Spring's shape")
	require.EqualValues(t, 403, domains.at("status"))
	require.Equal(t, "ADMIN-403-3", s.post("O/workspaces", "{}").at("code"), "workspaces: no envelope")
	s.key = cloud.DefaultKey
	require.Equal(t, "404 ADMIN-404-2", codes(s.get("/admin/v1/orgs/elsewhere")))
	require.Equal(t, "404 ADMIN-404-1", codes(s.post("V1/groups/search", "{}")), "the v1 group calls are gone")
	require.Equal(t, "404 ADMIN-404-10", codes(s.get("D/groups/none")))
	require.Equal(t, "404 ADMIN-404-8", codes(s.get("D/users/none")))
}

func TestRateLimits(t *testing.T) {
	s := start(t)
	require.NotEmpty(t, s.get("V1/domains").header.Get("X-RateLimit-Remaining"), "the headers are always there")
	s.settings(map[string]any{"limits": true})
	for i := range 50 {
		r := s.get("V1/events-stream")
		require.Equal(t, 200, r.status)
		require.Equal(t, "50", r.header.Get("X-RateLimit-Limit"))
		if i == 49 {
			require.Equal(t, "0", r.header.Get("X-RateLimit-Remaining"))
		}
	}
	r := s.get("V1/events-stream")
	require.Equal(t, 429, r.status)
	require.EqualValues(t, 429, r.at("code"))
	require.Equal(t, "60", r.header.Get("Retry-After"))
	reset, err := time.Parse(time.RFC3339, r.header.Get("X-RateLimit-Reset"))
	require.NoError(t, err)
	require.Equal(t, time.Date(2026, 9, 1, 12, 1, 0, 0, time.UTC), reset)
	require.Equal(t, 200, s.get("V1/domains").status, "each operation has its own window")

	s.settings(map[string]any{"retryAfter": "none", "ratePerMinute": map[string]int{"groups.search": 1}})
	require.Equal(t, 200, s.post("D/groups/search", "{}").status)
	v2 := s.post("D/groups/search", "{}")
	require.Equal(t, "429 ADMIN-429-1", codes(v2))
	require.Empty(t, v2.header.Get("Retry-After"))
	s.c.Advance(time.Minute)
	require.Equal(t, 200, s.post("D/groups/search", "{}").status)
}

func TestWorkspaceCursorStandsAlone(t *testing.T) {
	s := startWith(t, cloud.Options{Sites: []string{"acme", "beta"}, Apps: []string{"jira", "confluence"}}, smallOrg)
	s.settings(map[string]any{"licences": map[string]int{"jira/acme": 10}})
	r := s.must("O/workspaces", map[string]any{"limit": 3})
	require.EqualValues(t, 4, r.at("meta", "total"))
	require.Equal(t, "https://acme.atlassian.net", r.at("data", 0, "attributes", "hostUrl"))
	require.EqualValues(t, 10, r.at("data", 0, "attributes", "capacity"))
	require.EqualValues(t, 1, r.at("data", 0, "attributes", "usage"))
	next := r.word("links", "next")
	both := s.post("O/workspaces", map[string]any{"cursor": next, "limit": 3})
	require.Equal(t, 400, both.status)
	require.Equal(t, "ADMIN-400-4", both.at("code"))
	last := s.must("O/workspaces", map[string]any{"cursor": next})
	require.Len(t, last.at("data"), 1)
	require.Nil(t, last.at("links", "next"))
	wiki := s.must("O/workspaces", map[string]any{"query": map[string]any{"and": []any{
		map[string]any{"field": map[string]any{"name": "attributes.type", "values": []string{"confluence"}}},
		map[string]any{"searchWorkspaces": "beta"}}}})
	require.Equal(t, []string{s.c.State().Resources[3].Resource}, wiki.each("id"))
}

func TestOrganizationDirectoriesDomainsAndAccounts(t *testing.T) {
	s := start(t)
	require.Equal(t, s.info.OrgID, s.get("/admin/v1/orgs").at("data", 0, "id"))
	require.Equal(t, []string{s.info.DirectoryID}, s.get("O/directories").each("directoryId"))
	require.Empty(t, s.get("O/directories?accountId=nobody").at("data"))
	domain := s.get("V1/domains")
	require.Equal(t, "example.com", domain.at("data", 0, "attributes", "name"))
	require.Equal(t, "example.com", s.get("V1/domains/"+domain.word("data", 0, "id")).at("data", "attributes", "name"))
	require.Equal(t, "404 ADMIN-404-3", codes(s.get("V1/domains/none")))
	require.EqualValues(t, 4, s.get("V1/users").at("meta", "total"))

	account := "/users/" + s.account("bo") + "/manage"
	require.Equal(t, "externalDirectory.scim", s.get(account).at("lifecycle.enablement", "reason", "key"))
	require.Equal(t, "bo@example.com", s.get(account+"/profile").at("account", "email"))
	refused := s.post(account+"/lifecycle/disable", nil)
	require.Equal(t, 403, refused.status)
	require.Equal(t, "forbidden.action", refused.at("key"))
	require.Equal(t, "externalDirectory.scim", refused.at("context", "reason", "key"))
	absent := s.get("/users/nobody/manage")
	require.Equal(t, 404, absent.status)
	require.Nil(t, absent.at("context"))
}

func TestConcurrentCallersSeeAConsistentOrganization(t *testing.T) {
	s := start(t)
	s.settings(map[string]any{"noise": 1})
	group, people := s.group("reviewers").ID,
		[]string{s.account("ana"), s.account("bo"), s.account("carol"), s.account("dan")}
	var wait sync.WaitGroup
	for _, person := range people {
		wait.Go(func() {
			for range 20 {
				_, _ = s.try("POST", "D/groups/"+group+"/memberships", map[string]string{"accountId": person})
				_, _ = s.try("DELETE", "D/groups/"+group+"/memberships/"+person, nil)
				_, _ = s.try("POST", "D/users/search", map[string]any{"expand": []string{"groups"}})
				_, _ = s.try("GET", "V1/events-stream", nil)
				s.c.State()
				s.c.Stats()
			}
		})
	}
	wait.Wait()
	require.Empty(t, s.group("reviewers").Members)
	stats := s.c.Stats()
	require.Equal(t, 80, stats.Operations["memberships.add"])
	require.Len(t, stats.WritesByMembership, 160)
	require.Equal(t, 320, stats.Calls)
	require.GreaterOrEqual(t, stats.PeakInFlight, 1)
}
