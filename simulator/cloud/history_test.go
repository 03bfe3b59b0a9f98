package cloud_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/simulator/cloud"
)

// line is a change without its person.
type line struct {
	after   time.Duration // since the beginning of the test
	what    string
	holds   bool
	by, key string
}

func TestHistoryTellsWhoHeldWhatFromWhen(t *testing.T) {
	s := start(t)
	began := time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
	require.Empty(t, s.c.History(), "seeding is not in it")
	eve := s.must("O/users/invite",
		map[string]any{"emails": []string{"eve@elsewhere.example"},
			"additionalGroups": []string{s.group("reviewers").ID}}).word("data", 0, "id")
	s.c.Advance(time.Minute)
	orgRole, appRole := map[string]string{"role": "atlassian/org-admin"},
		map[string]string{"role": "atlassian/admin", "resource": s.resource("jira-software")}
	for range 2 { // a write without effect is no change
		require.Equal(t, 204, s.post("V1/users/"+eve+"/role-assignments/assign", orgRole).status)
		require.Equal(t, 204, s.post("V1/users/"+eve+"/roles/assign", appRole).status)
		require.Equal(t, 204, s.post("D/users/"+eve+"/suspend", nil).status)
	}
	s.c.Advance(time.Minute)
	s.must("/_sim/people/eve@elsewhere.example", map[string]any{"suspended": false, "orgAdmin": false})
	s.c.Advance(time.Minute)
	require.Equal(t, 204, s.delete("D/users/"+eve).status)

	const by, key, reviewers, admin = "ana@example.com", "organization API key", "group:reviewers",
		"role:jira-software/acme/admin"
	want := []line{
		{0, cloud.WhatPresence, true, by, key}, {0, cloud.WhatDirectory, true, by, key}, {0, reviewers, true, by, key},
		{time.Minute, cloud.WhatOrgAdmin, true, by, key}, {time.Minute, admin, true, by, key},
		{time.Minute, cloud.WhatDirectory, false, by, key},
		{2 * time.Minute, cloud.WhatDirectory, true, "carol@example.com", ""},
		{2 * time.Minute, cloud.WhatOrgAdmin, false, "carol@example.com", ""},
		{3 * time.Minute, reviewers, false, by, key}, {3 * time.Minute, admin, false, by, key},
		{3 * time.Minute, cloud.WhatDirectory, false, by, key}, {3 * time.Minute, cloud.WhatPresence, false, by, key},
	}
	var got []line
	for _, c := range s.c.History() {
		require.Equal(t, eve, c.Account)
		require.Equal(t, "eve@elsewhere.example", c.Email)
		got = append(got, line{c.At.Sub(began), c.What, c.Holds, c.By, c.Key})
	}
	require.Equal(t, want, got)
	require.Len(t, s.get("/_sim/history").json, len(want))

	changed := map[bool]int{}
	for _, w := range s.c.Stats().WritesByMembership {
		changed[w.Changed]++
	}
	require.Equal(t, map[bool]int{true: 6, false: 3}, changed, "the writes tell those that changed nothing")
}

// TestHistoryTellsDeactivations by a record, even those that were taken back.
func TestHistoryTellsDeactivations(t *testing.T) {
	s := start(t)
	record := s.scimUser("bo")
	for _, active := range []bool{false, true, true} { // a write without effect is no change
		s.patch(record, set("active", active))
	}
	var got []line
	for _, c := range s.c.History() {
		require.Equal(t, s.account("bo"), c.Account)
		got = append(got, line{what: c.What, holds: c.Holds, by: c.By, key: c.Key})
	}
	require.Equal(t, []line{{what: cloud.WhatActive, by: "SCIM"}, {what: cloud.WhatActive, holds: true, by: "SCIM"}}, got)
}
