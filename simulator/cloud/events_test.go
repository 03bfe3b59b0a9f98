package cloud_test

import (
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func (r reply) actions() (out []string) {
	items, _ := r.at("data").([]any)
	for i := range items {
		out = append(out, r.word("data", i, "attributes", "action"))
	}
	return out
}

func TestStreamGoesOnFromItsLastCursor(t *testing.T) {
	s := start(t)
	empty := s.get("V1/events-stream")
	require.Equal(t, 200, empty.status)
	require.Empty(t, empty.at("data"))
	resume := "V1/events-stream?cursor=" + escape(empty.word("meta", "next"))
	require.Empty(t, s.get(resume).at("data"), "the last cursor may be asked again")

	require.Equal(t, 204, s.add("reviewers", "ana").status)
	require.Equal(t, 204, s.remove("reviewers", "dan").status)
	r := s.get(resume)
	require.Equal(t, []string{"user_added_to_group", "user_removed_from_group"}, r.actions())
	require.Equal(t, "ana@example.com", r.at("data", 0, "attributes", "actor", "email"), "the key's owner did it")
	require.Equal(t, "users", r.at("data", 0, "attributes", "context", 0, "type"))
	require.Equal(t, s.account("ana"), r.at("data", 0, "attributes", "context", 0, "id"))
	require.Equal(t, "groups", r.at("data", 0, "attributes", "context", 1, "type"))
	require.Equal(t, s.group("reviewers").ID, r.at("data", 0, "attributes", "context", 1, "id"))
	require.NotEmpty(t, r.word("data", 0, "attributes", "processedAt"))

	require.Equal(t, r.word("data", 1, "id"), s.get("V1/events/"+r.word("data", 1, "id")).word("data", "id"))
	require.Equal(t, "404 ADMIN-404-4", codes(s.get("V1/events/00000009-nope")))
	following, err := url.Parse(r.word("links", "next"))
	require.NoError(t, err)
	require.Equal(t, r.word("meta", "next"), following.Query().Get("cursor"), "v1 links are URLs")
	require.Equal(t, 200, s.get(r.word("links", "next")).status)
}

func TestStreamPagesInBothOrders(t *testing.T) {
	s := start(t)
	s.must("/_sim/noise", map[string]int{"count": 25})
	read := func(query string, rounds int) (ids []string, cursor string) {
		path := "V1/events-stream?" + query
		for range rounds {
			r := s.get(path)
			ids = append(ids, r.each("id")...)
			cursor = r.word("meta", "next")
			path = "V1/events-stream?cursor=" + escape(cursor)
		}
		return ids, cursor
	}
	up, _ := read("limit=10", 4)
	down, cursor := read("limit=10&sortOrder=desc", 3)
	require.Len(t, up, 25)
	require.Len(t, down, 25)
	require.Equal(t, up[0], down[24])

	require.Equal(t, 204, s.add("reviewers", "ana").status)
	require.Equal(t, 204, s.add("reviewers", "bo").status)
	r := s.get("V1/events-stream?cursor=" + escape(cursor))
	require.Len(t, r.at("data"), 2, "polling downwards yields what is new")
	require.Greater(t, r.word("data", 0, "id"), r.word("data", 1, "id"), "and keeps the order")
}

func TestEventsShowAfterTheirLag(t *testing.T) {
	s := start(t)
	s.settings(map[string]any{"eventLag": "5s"})
	require.Equal(t, 204, s.add("reviewers", "ana").status)
	cursor := s.get("V1/events-stream").word("meta", "next")
	require.Empty(t, s.get("V1/events-stream?cursor="+escape(cursor)).at("data"))
	s.c.Advance(5 * time.Second)
	require.Len(t, s.get("V1/events-stream?cursor="+escape(cursor)).at("data"), 1)
}

func TestEventFilters(t *testing.T) {
	s := start(t)
	require.Equal(t, 204, s.add("reviewers", "ana").status)
	s.c.Advance(time.Hour)
	require.Equal(t, 204, s.remove("reviewers", "ana").status)
	require.Equal(t, []string{"user_removed_from_group", "user_added_to_group"}, s.get("V1/events").actions(),
		"newest first")
	require.Equal(t, []string{"user_added_to_group"}, s.get("V1/events?action=user_added_to_group").actions())
	later := strconv.FormatInt(time.Date(2026, 9, 1, 12, 30, 0, 0, time.UTC).UnixMilli(), 10)
	require.Equal(t, []string{"user_removed_from_group"}, s.get("V1/events?from="+later).actions())
	require.Equal(t, []string{"user_added_to_group"}, s.get("V1/events-stream?to="+later).actions())
	require.Equal(t, "400 ADMIN-400-3", codes(s.get("V1/events?from=yesterday")))
	require.Equal(t, "400 ADMIN-400-3", codes(s.get("V1/events?from=9&to=8")))
	require.Equal(t, "400 ADMIN-400-1", codes(s.get("V1/events?cursor=abc")))
	require.Equal(t, "400 ADMIN-400-19", codes(s.get("V1/events?limit=501")))
	require.Equal(t, "400 ADMIN-400-21", codes(s.get("V1/events?q=two+words")))
}

func TestWithoutGuardThereIsNoAuditLog(t *testing.T) {
	s := start(t)
	s.settings(map[string]any{"guard": false})
	for _, path := range []string{"V1/events", "V1/events-stream", "V1/event-actions"} {
		require.Equal(t, 403, s.get(path).status, path)
	}
	require.Equal(t, 200, s.get("V1/domains").status)
}

func TestEventActionsNameEveryEvent(t *testing.T) {
	s := start(t)
	s.settings(map[string]any{"noise": 2})
	s.must("D/groups", map[string]string{"name": "team"})
	s.must("D/groups/"+s.group("team").ID+"/role-assignments/assign",
		map[string]string{"resourceId": s.resource("confluence"), "roleId": "atlassian/user"})
	s.must("/_sim/defaults", map[string]any{"app": "confluence", "site": "acme", "role": "user", "group": "team"})
	s.must("/_sim/people/dan", map[string]any{"suspended": true, "inactive": true, "orgAdmin": true})
	s.must("/_sim/people/dan", map[string]any{"remove": true})
	s.must("O/users/invite", map[string]any{"emails": []string{"eve@elsewhere.example"}})
	known := map[string]bool{}
	for _, id := range s.get("V1/event-actions").each("id") {
		known[id] = true
	}
	seen := s.get("V1/events-stream?limit=500").actions()
	require.Greater(t, len(seen), 20)
	for _, action := range seen {
		require.True(t, known[action], action)
	}
}
