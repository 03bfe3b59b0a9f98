package cloud_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// invited returns the user management path of an account without a record.
func (s *sim) invited(email string) string {
	s.t.Helper()
	return "/users/" + s.must("/_sim/login", map[string]any{"email": email, "app": "jira", "site": "acme"}).word("accountId") + "/manage"
}

func TestAccountPermissions(t *testing.T) {
	s := start(t)
	eve, bo := s.invited("eve@example.com"), "/users/"+s.account("bo")+"/manage"
	for _, name := range []string{"email.set", "lifecycle.enablement"} {
		require.Equal(t, true, s.get(eve).at(name, "allowed"), name)
		require.Equal(t, false, s.get(bo).at(name, "allowed"), name)
	}
	require.Equal(t, "externalDirectory.scim", s.get(bo).at("profile.write", "extended_profile.job_title", "reason", "key"))
	require.Equal(t, true, s.get(bo).at("profile.write", "nickname", "allowed"), "the public name is the person's")
	some := s.get(bo + "?privileges=email.set,profile.read").json.(map[string]any)
	require.Len(t, some, 2)
	require.Contains(t, some, "profile.read")
	max := s.invited("max@partner.example")
	for _, path := range []string{max, max + "/profile", max + "/api-tokens"} {
		require.Equal(t, "forbidden", s.get(path).at("key"), "%s: nobody here manages it", path)
	}
}

func TestAccountKeys(t *testing.T) {
	s := start(t)
	path := "/users/" + s.account("bo") + "/manage"
	s.settings(map[string]any{"keys": map[string]string{"other": "otherOrg", "scoped": "scoped", "old": "expired"}})
	as := func(key string) reply {
		s.key = key
		return s.get(path)
	}
	require.Equal(t, "forbidden", as("other").at("key"))
	require.Equal(t, "unauthorized", as("old").at("key"))
	scoped := as("scoped")
	require.Equal(t, 403, scoped.status)
	require.Nil(t, scoped.at("key"), "it says nothing of the account")
	require.Contains(t, scoped.text, "manage:org")
}

func TestAccountProfileIsChanged(t *testing.T) {
	s := start(t)
	eve, bo := s.invited("eve@example.com"), "/users/"+s.account("bo")+"/manage"
	r := s.call("PATCH", eve+"/profile", map[string]any{"name": "Eve", "zoneinfo": "Europe/Vienna",
		"extended_profile": map[string]any{"job_title": "Analyst"}})
	require.Equal(t, 200, r.status, r.text)
	require.Equal(t, "Eve", r.at("account", "name"))
	require.Equal(t, "Analyst", s.get(eve+"/profile").at("account", "extended_profile", "job_title"))
	require.Equal(t, "Europe/Vienna", r.at("account", "zoneinfo"))

	refused := s.call("PATCH", bo+"/profile", map[string]any{"nickname": "Bobby", "name": "Bo",
		"extended_profile": map[string]any{"location": "Vienna"}})
	require.Equal(t, 403, refused.status)
	require.Equal(t, "forbidden.fieldMutation", refused.at("key"))
	require.Equal(t, map[string]any{"name": map[string]any{"allowed": false,
		"reason": map[string]any{"key": "externalDirectory.scim"}}}, refused.at("context"))
	require.Equal(t, "bo", s.get(bo+"/profile").at("account", "nickname"), "all or nothing")
	require.Equal(t, 200, s.call("PATCH", bo+"/profile", map[string]any{"nickname": "Bobby"}).status)

	long := s.call("PATCH", eve+"/profile", map[string]any{"nickname": strings.Repeat("ü", 31)})
	require.Equal(t, 400, long.status)
	require.Equal(t, "maxLength", long.at("context", "fieldViolations", 0, "violations", 0, "key"))
	for _, bad := range []any{`{"name":`, map[string]any{"email": "x@example.com"}, map[string]any{"name": 7}} {
		require.Equal(t, "bodyParseFailure", s.call("PATCH", eve+"/profile", bad).at("key"))
	}
}

func TestAccountAddressIsChanged(t *testing.T) {
	s := start(t)
	eve := s.invited("eve@example.com")
	put := func(path, address string) reply {
		return s.call("PUT", path+"/email", map[string]string{"email": address})
	}
	require.Equal(t, 204, put(eve, "Eva@example.com").status)
	require.Equal(t, "eva@example.com", s.get(eve+"/profile").at("account", "email"))
	unclaimed := put(eve, "eva@other.example")
	require.Equal(t, "forbidden.unclaimedDomain", unclaimed.at("key"))
	require.Equal(t, "other.example", unclaimed.at("context", "domain"))
	require.Equal(t, "unique", put(eve, "bo@example.com").at("context", "fieldViolations", 0, "violations", 0, "key"))
	require.Equal(t, 400, put(eve, "eva").status)
	require.Equal(t, "forbidden.action", put("/users/"+s.account("bo")+"/manage", "bo2@example.com").at("key"))
}

func TestAccountLifecycle(t *testing.T) {
	s := start(t)
	eve := s.invited("eve@example.com")
	status := func() any { return s.user("eve").at("status") }
	require.Equal(t, 204, s.post(eve+"/lifecycle/disable", map[string]string{"message": "left"}).status)
	require.Equal(t, "deactivated", status())
	require.Contains(t, s.group("jira-users-acme").Members, s.account("eve"))
	require.Equal(t, 204, s.post(eve+"/lifecycle/enable", nil).status)
	require.Equal(t, "active", status())

	require.NotEmpty(t, s.must(eve+"/lifecycle/delete", nil).word("message"))
	require.Equal(t, "for_deletion", status())
	require.Equal(t, "inactive", s.get(eve+"/profile").at("account", "account_status"))
	for _, verb := range []string{"enable", "disable", "delete"} {
		r := s.post(eve+"/lifecycle/"+verb, nil)
		require.Equal(t, 409, r.status, verb)
		require.Equal(t, "conflict.lifecycleErrors", r.at("key"))
		require.NotEmpty(t, r.at("context", "errorCodes", 0, "code"))
	}
	require.Equal(t, 200, s.post(eve+"/lifecycle/cancel-delete", nil).status)
	require.Equal(t, "active", status())
	require.Equal(t, 200, s.post(eve+"/lifecycle/cancel-delete", nil).status, "nothing is to cancel")
}

func TestAccountTokens(t *testing.T) {
	s := start(t)
	tokens := "/users/" + s.account("bo") + "/manage/api-tokens"
	require.Equal(t, "[]", strings.TrimSpace(s.get(tokens).text))
	ci := s.must("/_sim/people/bo/tokens", map[string]any{"label": "CI", "lastAccess": "2026-08-01T10:00:00Z"}).word("id")
	s.must("/_sim/people/bo/tokens", map[string]any{"label": "laptop"})
	list := s.get(tokens)
	require.Len(t, list.json, 2)
	require.Equal(t, "CI", list.at(0, "label"))
	require.Equal(t, "2026-08-01T10:00:00Z", list.at(0, "lastAccess"))
	require.Nil(t, list.at(1, "lastAccess"))
	require.NotEmpty(t, list.at(1, "expiry"))
	require.Equal(t, 204, s.delete(tokens+"/"+ci).status)
	require.Equal(t, "notFound", s.delete(tokens+"/"+ci).at("key"))
	require.Len(t, s.get(tokens).json, 1)
}
