package cloud_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/simulator/cloud"
)

// provider is an identity provider with a SCIM directory of its own.
type provider struct {
	*sim
	id, key string
}

// connect makes one more SCIM directory.
func (s *sim) connect(name string) provider {
	s.t.Helper()
	r := s.must("/_sim/scim", map[string]any{"name": name})
	other := *s
	other.key = r.word("key")
	return provider{&other, r.word("id"), other.key}
}

func (p provider) path(tail string) string { return "/scim/directory/" + p.id + tail }

func TestSCIMDirectoriesHaveKeysAndIDsOfTheirOwn(t *testing.T) {
	s := start(t)
	okta := s.connect("okta")
	require.NotEqual(t, s.info.SCIMDirectoryID, okta.id)
	bo := okta.must(okta.path("/Users"), map[string]any{"userName": "bo@example.com"})
	require.Equal(t, s.account("bo"), bo.account(), "the account of the address, which another directory has linked, too")
	require.NotEqual(t, s.scimUser("bo"), bo.word("id"))
	require.EqualValues(t, 1, okta.get(okta.path("/Users")).at("totalResults"))
	require.EqualValues(t, 4, s.get("S/Users").at("totalResults"))

	require.Equal(t, 403, okta.get("/scim/directory/"+s.info.SCIMDirectoryID+"/Users").status, "the key of another")
	require.Equal(t, 404, okta.get(okta.path("/Users/"+s.scimUser("bo"))).status)
	require.Equal(t, 404, s.get("S/Users/"+bo.word("id")).status)
	require.Equal(t, 400, okta.post(okta.path("/Groups"), map[string]any{"displayName": "ops",
		"members": member(s.scimUser("bo"))}).status, "a record of another directory")
	require.Equal(t, 409, okta.post(okta.path("/Groups"), map[string]any{"displayName": "sales"}).status,
		"names are the organization's")
	group := okta.must(okta.path("/Groups"), map[string]any{"displayName": "ops", "members": member(bo.word("id"))})
	require.Equal(t, bo.word("id"), group.at("members", 0, "value"))
	require.Equal(t, "ops", okta.get(okta.path("/Users/"+bo.word("id"))).at("groups", 0, "display"))
	require.Equal(t, "engineering", s.record("bo").at("groups", 0, "display"))
	require.Len(t, s.record("bo").at("groups"), 1)
	require.Contains(t, bo.word("meta", "location"), okta.id)

	require.Equal(t, 204, s.delete("S/Users/"+s.scimUser("bo")).status)
	require.Equal(t, []string{s.account("bo")}, s.group("ops").Members, "the other directory's groups stay")
	require.Equal(t, "externalDirectory.scim",
		s.get("/users/"+s.account("bo")+"/manage").at("lifecycle.enablement", "reason", "key"), "and its record locks")
}

// A deleted SCIM directory leaves accounts and local groups behind; one that is made anew has another id, and links the
// same accounts again.
func TestSCIMDirectoryIsDeletedAndMadeAnew(t *testing.T) {
	s := start(t)
	accounts := map[string]string{}
	for _, name := range []string{"ana", "bo", "carol", "dan"} {
		accounts[name] = s.account(name)
	}
	s.patch(s.scimUser("dan"), set("active", false))
	require.Equal(t, 200, s.delete("/_sim/scim/"+s.info.SCIMDirectoryID).status)
	require.Equal(t, 401, s.get("S/Users").status, "its key is nobody's")
	require.Empty(t, s.c.Info().SCIMDirectoryID)
	require.False(t, s.group("engineering").Synced)
	require.Len(t, s.group("engineering").Members, 2)
	require.True(t, s.person(accounts["dan"]).Inactive, "accounts keep their state")
	require.Equal(t, 204, s.post("/users/"+accounts["dan"]+"/manage/lifecycle/enable", nil).status, "and nobody locks them")

	okta := s.connect("okta")
	require.Equal(t, okta.id, s.c.Info().SCIMDirectoryID)
	require.NotEqual(t, s.info.SCIMDirectoryID, okta.id)
	require.EqualValues(t, 0, okta.get(okta.path("/Users")).at("totalResults"))
	s.settings(map[string]any{"groupConflicts": cloud.ConflictsRefused})
	require.Equal(t, 409, okta.post(okta.path("/Groups"), map[string]any{"displayName": "engineering"}).status,
		"the group that became local has the name")
	for name, account := range accounts {
		r := okta.must(okta.path("/Users"), map[string]any{"userName": name + "@example.com"})
		require.Equal(t, account, r.account())
	}
	require.Equal(t, 400, s.delete("/_sim/scim/none").status)
	require.Equal(t, 400, s.post("/_sim/scim", map[string]any{"name": "Okta"}).status, "the name is taken")
}

func TestSCIMKeys(t *testing.T) {
	s := start(t)
	okta := s.connect("okta")
	read := func(key string) int {
		okta.sim.key = key
		return okta.get(okta.path("/Users")).status
	}
	keys := "/_sim/scim/okta/keys"
	require.Equal(t, 200, read(okta.key))
	s.must(keys, map[string]any{"key": okta.key, "state": "expired"})
	require.Equal(t, 401, read(okta.key))
	s.must(keys, map[string]any{"key": okta.key, "state": "valid"})
	require.Equal(t, 200, read(okta.key))
	next := s.must(keys, map[string]any{}).word("key")
	require.Equal(t, 401, read(okta.key), "a new key replaces the old one")
	require.Equal(t, 200, read(next))
	s.fault(map[string]any{"kind": "expireKey", "operations": []string{"scim.*"}, "count": 1})
	require.Equal(t, 401, read(next))
	require.Equal(t, 401, read(next))
	require.Equal(t, 200, s.get("S/Users").status, "another directory's key is as good as ever")
	for _, bad := range []map[string]any{{"key": "nobody's", "state": "expired"}, {"key": next, "state": "lost"}, {"key": next}} {
		require.Equal(t, 400, s.post(keys, bad).status, bad)
	}
}

// A subscription that lapses stops provisioning and the audit log; what was provisioned stays, and stays locked.
func TestGuardLapses(t *testing.T) {
	s := start(t)
	bo := s.account("bo")
	s.settings(map[string]any{"guardLapsed": true})
	refused := s.get("S/Users")
	require.Equal(t, 403, refused.status)
	require.NotEmpty(t, refused.word("error"))
	require.Equal(t, 403, s.call("PATCH", "S/Users/"+s.scimUser("bo"), set("active", false)).status,
		"nobody can be deactivated there")
	require.Equal(t, 403, s.get("V1/events-stream").status)
	require.Equal(t, 403, s.post("/users/"+bo+"/manage/lifecycle/disable", nil).status, "nor here")
	require.Equal(t, "verified", s.get("V1/domains").at("data", 0, "attributes", "claim", "status"))
	require.Equal(t, "managed", s.user("bo").at("claimStatus"))
	require.True(t, s.group("engineering").Synced)

	require.Equal(t, 200, s.delete("/_sim/scim/"+s.info.SCIMDirectoryID).status, "in the end the directory is removed")
	require.Equal(t, 204, s.post("/users/"+bo+"/manage/lifecycle/disable", nil).status)
	s.settings(map[string]any{"guardLapsed": false, "groupConflicts": cloud.ConflictsRefused})
	okta := s.connect("okta")
	require.Equal(t, 409, okta.post(okta.path("/Groups"), map[string]any{"displayName": "engineering"}).status,
		"after a new subscription the names are taken")
}

// Another identity provider writes the same records, at once or later; its writes are no calls of ours.
func TestAnotherWriterOfSCIM(t *testing.T) {
	s := start(t)
	id := s.scimUser("bo")
	before := s.record("bo").word("meta", "lastModified")
	s.must("/_sim/stats/reset", nil)
	s.fault(map[string]any{"kind": "status", "operations": []string{"scim.users.patch"}})
	s.c.Advance(time.Second)
	write := "/_sim/scim/" + s.info.SCIMDirectoryID + "/write"
	r := s.must(write, map[string]any{"method": "PATCH", "person": "bo", "body": set("nickName", "Bobby")})
	require.EqualValues(t, 200, r.at("status"))
	require.Equal(t, "Bobby", r.at("body", "nickName"))
	require.Zero(t, s.c.Stats().Writes)
	require.Equal(t, "Bobby", s.record("bo").at("nickName"))
	require.Greater(t, s.record("bo").word("meta", "lastModified"), before)

	s.must(write, map[string]any{"method": "PATCH", "path": "/Users/" + id, "body": set("title", "Later"), "after": "1m"})
	s.must(write, map[string]any{"method": "POST", "path": "/Users", "body": map[string]any{"userName": "eve@example.com"},
		"after": "30s"})
	s.must(write, map[string]any{"method": "DELETE", "person": "nobody", "after": "40s"})
	s.c.Advance(29 * time.Second)
	require.Nil(t, s.record("bo").at("title"))
	require.EqualValues(t, 4, s.get("S/Users").at("totalResults"))
	s.c.Advance(time.Second)
	require.EqualValues(t, 5, s.get("S/Users").at("totalResults"))
	s.c.Advance(30 * time.Second)
	require.Equal(t, "Later", s.record("bo").at("title"))
	require.Equal(t, "Bobby", s.record("bo").at("nickName"), "each writes what it names")

	shown := s.c.SCIMDirectories()[0]
	require.Equal(t, 5, shown.Count)
	for _, record := range shown.Records {
		if record.ID == id {
			require.Equal(t, s.account("bo"), record.AccountID)
			require.Equal(t, 2, record.Writes)
		}
	}
	for _, bad := range []map[string]any{
		{"method": "PATCH", "person": "nobody", "body": set("title", "x")}, {"method": "GET", "path": "/Users"},
		{"method": "PATCH", "path": "/Users/none", "body": set("title", "x")},
	} {
		require.Equal(t, 400, s.post(write, bad).status, bad)
	}
}

func TestSCIMFaults(t *testing.T) {
	s := start(t)
	id := s.scimUser("bo")
	once := func(kind string, operations string, params map[string]any) {
		s.delete("/_sim/faults")
		s.fault(map[string]any{"kind": kind, "operations": []string{operations}, "count": 1, "params": params})
	}
	title := func() any { return s.record("bo").at("title") }

	once("timeoutAfter", "scim.users.patch", nil)
	_, err := s.try("PATCH", "S/Users/"+id, set("title", "a"))
	require.Error(t, err, "the answer is lost")
	require.Equal(t, "a", title(), "and the write is done")

	once("unstored", "scim.users.*", nil)
	require.Equal(t, "b", s.patch(id, set("title", "b")).at("title"), "it answers as if it were")
	require.Equal(t, "a", title())
	once("unstored", "scim.users.replace", nil)
	require.Equal(t, 200, s.call("PUT", "S/Users/"+id, map[string]any{"userName": "bo@example.com"}).status)
	require.Equal(t, "a", title())
	once("unstored", "scim.groups.replace", nil)
	group := s.group("sales")
	r := s.call("PUT", "S/Groups/"+group.SCIMGroupID, map[string]any{"displayName": "sales"})
	require.Equal(t, 200, r.status)
	require.Empty(t, r.at("members"))
	require.Equal(t, group.Members, s.group("sales").Members)

	once("keptAttributes", "scim.users.patch", map[string]any{"attributes": []string{"title", "active"}})
	r = s.patch(id, patch(map[string]any{"op": "replace", "path": "title", "value": "c"},
		map[string]any{"op": "replace", "path": "nickName", "value": "Bobby"},
		map[string]any{"op": "replace", "path": "active", "value": false}))
	require.Equal(t, "a", r.at("title"))
	require.Equal(t, true, r.at("active"))
	require.Equal(t, "Bobby", r.at("nickName"))
	require.Equal(t, "a", title())
	require.Equal(t, 400, s.post("/_sim/faults", map[string]any{"kind": "keptAttributes"}).status)

	once("status", "scim.users.list", map[string]any{"status": 429, "retryAfter": "7"})
	limited := s.get("S/Users")
	require.Equal(t, 429, limited.status)
	require.Equal(t, "7", limited.header.Get("Retry-After"))
	once("truncatedPage", "scim.users.list", nil)
	short := s.get("S/Users")
	require.EqualValues(t, 4, short.at("totalResults"))
	require.Less(t, len(short.at("Resources").([]any)), 4)
}

func TestSCIMPagesMayBeShort(t *testing.T) {
	s := start(t)
	s.settings(map[string]any{"scimPage": 3})
	r := s.get("S/Users?count=100")
	require.EqualValues(t, 4, r.at("totalResults"))
	require.EqualValues(t, 3, r.at("itemsPerPage"))
	require.Len(t, s.get("S/Users?startIndex=4&count=100").at("Resources"), 1)
	require.Equal(t, 400, s.post("/_sim/settings", map[string]any{"scimPage": 101}).status)
}

func TestSCIMRateLimit(t *testing.T) {
	s := start(t)
	s.settings(map[string]any{"limits": true, "ratePerMinute": map[string]int{"scim": 2}})
	require.Equal(t, 200, s.get("S/Users").status)
	require.Equal(t, 200, s.get("S/Groups").status)
	refused := s.get("S/Users")
	require.Equal(t, 429, refused.status)
	require.Equal(t, "60", refused.header.Get("Retry-After"))
	require.Empty(t, refused.header.Get("X-RateLimit-Limit"), "no such header is known of SCIM")
	s.c.Advance(time.Minute)
	require.Equal(t, 200, s.get("S/Users").status)
}

func TestSCIMConcurrentWriters(t *testing.T) {
	s := start(t)
	s.settings(map[string]any{"scimLag": "1ms"})
	okta := s.connect("okta")
	id := s.scimUser("bo")
	var wait sync.WaitGroup
	for n := range 4 {
		wait.Go(func() {
			for i := range 8 {
				name := fmt.Sprintf("p%d-%d@example.com", n, i)
				_, _ = s.try("POST", "S/Users", map[string]any{"userName": name})
				_, _ = okta.try("POST", okta.path("/Users"), map[string]any{"userName": name})
				_, _ = s.try("PATCH", "S/Users/"+id, set("title", name))
				_, _ = s.try("GET", "S/Users", nil)
				_, _ = s.try("POST", "/_sim/scim/okta/write", map[string]any{"method": "PATCH", "person": name,
					"body": set("title", name), "after": "1ms"})
				s.c.Advance(time.Millisecond)
				s.c.State()
				s.c.SCIMDirectories()
			}
		})
	}
	wait.Wait()
	s.c.Advance(time.Second)
	shown := s.c.SCIMDirectories()
	require.Equal(t, 36, shown[0].Count)
	require.Equal(t, 32, shown[1].Count)
	linked := map[string]int{}
	for _, d := range shown {
		for _, record := range d.Records {
			linked[record.AccountID]++
		}
	}
	require.Len(t, linked, 36, "the records of an address are linked to one account")
}
