package cloud_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestFaultsOnPages(t *testing.T) {
	search := map[string]any{"limit": 20, "expand": []string{"groups"}}
	for _, c := range []struct {
		kind   string
		params map[string]any
		check  func(t *testing.T, good, bad reply)
	}{
		{"emptyPage", nil, func(t *testing.T, good, bad reply) {
			require.Empty(t, bad.at("data"))
			require.Equal(t, good.at("links", "next"), bad.at("links", "next"))
		}},
		{"emptyPage", map[string]any{"next": "drop"},
			func(t *testing.T, _, bad reply) { require.Nil(t, bad.at("links", "next")) }},
		{"truncatedPage", map[string]any{"share": 0.01}, func(t *testing.T, good, bad reply) {
			require.Less(t, len(bad.each("accountId")), len(good.each("accountId")))
			require.Equal(t, good.at("links", "next"), bad.at("links", "next"))
		}},
		{"truncatedGroups", nil, func(t *testing.T, good, bad reply) {
			require.Equal(t, good.each("accountId"), bad.each("accountId"))
			require.Less(t, strings.Count(bad.text, "identity::group"), strings.Count(good.text, "identity::group"))
		}},
		{"repeatedCursor", nil, func(t *testing.T, good, bad reply) {
			require.Equal(t, good.at("links", "self"), bad.at("links", "next"))
		}},
		{"html", nil, func(t *testing.T, _, bad reply) {
			require.Equal(t, 502, bad.status)
			require.Contains(t, bad.header.Get("Content-Type"), "text/html")
			require.Nil(t, bad.json)
		}},
		{"garbage", nil, func(t *testing.T, _, bad reply) {
			require.Equal(t, 200, bad.status)
			require.NotEmpty(t, bad.text)
			require.Nil(t, bad.json)
		}},
	} {
		t.Run(fmt.Sprint(c.kind, c.params), func(t *testing.T) {
			s := generated(t, 9, 100, 12, 500)
			good := s.must("D/users/search", search)
			s.fault(map[string]any{"operations": []string{"users.*"}, "kind": c.kind, "count": 1, "seed": 4,
				"params": c.params})
			c.check(t, good, s.post("D/users/search", search))
			require.Equal(t, good.text, s.must("D/users/search", search).text, "count: once only")
		})
	}
}

func TestFaultStatuses(t *testing.T) {
	s := start(t)
	for status, code := range map[int]string{400: "ADMIN-400-19", 403: "ADMIN-403-3", 404: "ADMIN-404-1",
		429: "ADMIN-429-1", 500: "ADMIN-500-1", 503: "ADMIN-503-1"} {
		s.fault(map[string]any{"operations": []string{"groups.search"}, "kind": "status", "count": 1,
			"params": map[string]any{"status": status, "retryAfter": "7"}})
		r := s.post("D/groups/search", "{}")
		require.Equal(t, fmt.Sprint(status, " ", code), codes(r))
		require.Equal(t, "7", r.header.Get("Retry-After"))
	}
	s.fault(map[string]any{"operations": []string{"workspaces"}, "kind": "status", "count": 1,
		"params": map[string]any{"status": 500}})
	require.Equal(t, "ADMIN-500-1", s.post("O/workspaces", "{}").at("code"), "workspaces answers a bare error")
}

func TestFaultsAroundAWrite(t *testing.T) {
	s := start(t)
	s.fault(map[string]any{"operations": []string{"memberships.add"}, "kind": "timeoutBefore", "count": 1})
	path, body := "D/groups/"+s.group("reviewers").ID+"/memberships", map[string]string{"accountId": s.account("ana")}
	_, err := s.try("POST", path, body)
	require.Error(t, err)
	require.Len(t, s.group("reviewers").Members, 1, "nothing was done")

	s.fault(map[string]any{"operations": []string{"memberships.add"}, "kind": "timeoutAfter", "count": 1})
	_, err = s.try("POST", path, body)
	require.Error(t, err)
	require.Len(t, s.group("reviewers").Members, 2, "it was done all the same")
	writes := s.c.Stats().WritesByMembership
	require.Len(t, writes, 1)
	require.Equal(t, "dropped", writes[0].Status)
	require.True(t, writes[0].Changed)

	s.fault(map[string]any{"operations": []string{"memberships.remove"}, "kind": "status", "count": 1,
		"params": map[string]any{"status": 500, "done": true}})
	require.Equal(t, 500, s.remove("reviewers", "ana").status)
	require.Len(t, s.group("reviewers").Members, 1)
}

func TestStaleReadsCanBeHalfStale(t *testing.T) {
	s := start(t)
	for i := range 20 {
		s.must("/_sim/groups", map[string]any{"name": fmt.Sprint("team-", i)})
	}
	s.c.Advance(time.Hour)
	for i := range 20 {
		require.Equal(t, 204, s.add(fmt.Sprint("team-", i), "ana").status)
	}
	seen := func() (n int) {
		r := s.must("D/users/search", map[string]any{"accountIds": []string{s.account("ana")},
			"expand": []string{"groups"}})
		return strings.Count(r.text, "team-")
	}
	require.Equal(t, 20, seen())
	s.fault(map[string]any{"operations": []string{"users.search"}, "kind": "staleRead", "count": 1,
		"params": map[string]any{"age": "1m"}})
	require.Equal(t, 0, seen())
	s.fault(map[string]any{"operations": []string{"users.search"}, "kind": "staleRead", "count": 1, "seed": 1,
		"params": map[string]any{"age": "1m", "share": 0.5}})
	half := seen()
	require.Greater(t, half, 0)
	require.Less(t, half, 20)
	require.Equal(t, 20, seen())
}

func TestCountsDisagree(t *testing.T) {
	s := start(t)
	s.fault(map[string]any{"operations": []string{"groups.*"}, "kind": "countsDisagree",
		"params": map[string]any{"off": 3}})
	r := s.must("D/groups/search",
		map[string]any{"groupNames": []string{"engineering"}, "expand": []string{"counts.users"}})
	require.EqualValues(t, 5, r.at("data", 0, "counts", "users"))
	require.EqualValues(t, 5, s.get("D/groups/"+s.group("engineering").ID).at("data", "counts", "users"))
}

func TestFaultsPassAndRepeatByTheirSeed(t *testing.T) {
	struck := func() (out []int) {
		s := start(t)
		s.fault(map[string]any{"id": "f", "operations": []string{"orgs.get"}, "kind": "status", "probability": 0.4,
			"after": 3, "count": 5, "seed": 42})
		for i := range 40 {
			if s.get("/admin/v1/orgs/"+s.info.OrgID).status == 500 {
				out = append(out, i)
			}
		}
		require.Equal(t, 5, s.c.Faults()[0].Struck)
		return out
	}
	first := struck()
	require.Len(t, first, 5)
	require.GreaterOrEqual(t, first[0], 3)
	require.Equal(t, first, struck())
}

func TestFaultsCanBeClearedAndAreChecked(t *testing.T) {
	s := start(t)
	s.fault(map[string]any{"id": "f", "kind": "status"})
	require.Equal(t, 500, s.get("V1/domains").status)
	require.Equal(t, 200, s.delete("/_sim/faults/f").status)
	require.Equal(t, 200, s.get("V1/domains").status)
	require.Equal(t, 400, s.delete("/_sim/faults/f").status)
	for name, bad := range map[string]map[string]any{
		"kind": {"kind": "magic"}, "status": {"kind": "status", "params": map[string]any{"status": 200}},
		"probability": {"kind": "html", "probability": 2},
		"pattern":     {"kind": "html", "operations": []string{"["}},
		"next":        {"kind": "emptyPage", "params": map[string]any{"next": "maybe"}},
		"field":       {"kind": "html", "colour": 1},
	} {
		require.Equal(t, 400, s.post("/_sim/faults", bad).status, name)
	}
}

func TestExpiredKey(t *testing.T) {
	s := start(t)
	s.fault(map[string]any{"operations": []string{"groups.search"}, "kind": "expireKey", "count": 1})
	require.Equal(t, "401 ADMIN-401-2", codes(s.post("D/groups/search", "{}")))
	require.Equal(t, 401, s.get("V1/domains").status, "it stays expired")
	s.settings(map[string]any{"keys": map[string]string{s.key: "valid"}})
	require.Equal(t, 200, s.get("V1/domains").status)
}
