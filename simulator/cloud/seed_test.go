package cloud_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/castellan-io/castellan/simulator/cloud"
	"github.com/stretchr/testify/require"
)

func TestSeedOrgFile(t *testing.T) {
	s := startWith(t, cloud.Options{Sites: []string{"acme", "beta"}}, cloud.OrgFile{
		Domains: []string{"corp.example"},
		People:  []string{"ana", "bo", "eve@partner.example"}, Admins: []string{"ana"},
		Groups: []cloud.OrgGroup{{Name: "eng", Members: []string{"ana", "eve@partner.example"}}},
		Local: []cloud.OrgGroup{{Name: "readers", Members: []string{"bo"},
			Roles: []cloud.OrgRole{{App: "confluence", Site: "beta", Role: "user", Default: true}}}},
		Foreign: map[string][]string{"jira-users-beta": {"bo"}},
	})
	require.Equal(t, "ana@corp.example", s.info.KeyOwner)
	state := s.c.State()
	require.Equal(t, []string{s.account("ana@corp.example")}, state.OrgAdmins)
	require.Equal(t, state.OrgAdmins, s.group("org-admins").Members)
	require.True(t, s.group("eng").Synced)
	require.Len(t, s.group("eng").Members, 2)
	require.Equal(t, []string{s.account("bo@corp.example")}, s.group("jira-users-beta").Members)
	require.Len(t, state.Defaults, 9, "two roles of two apps on two sites, and the readers")
	require.Equal(t, "unmanaged", s.get("D/users/"+s.account("eve@partner.example")).at("data", "claimStatus"))
	require.Empty(t, s.get("V1/events-stream").at("data"), "what was seeded did not happen now")
}

func TestSeedRefusesWhatCannotBe(t *testing.T) {
	for name, file := range map[string]cloud.OrgFile{
		"twice":          {People: []string{"a", "a"}},
		"unknown member": {People: []string{"a"}, Groups: []cloud.OrgGroup{{Name: "g", Members: []string{"b"}}}},
		"unknown admin":  {Admins: []string{"b"}},
		"group twice":    {Groups: []cloud.OrgGroup{{Name: "g"}, {Name: "G"}}},
		"default's name": {Groups: []cloud.OrgGroup{{Name: "jira-users-acme"}}},
		"unknown app": {Local: []cloud.OrgGroup{
			{Name: "g", Roles: []cloud.OrgRole{{App: "trello", Site: "acme", Role: "user"}}}}},
		"unknown role": {Local: []cloud.OrgGroup{
			{Name: "g", Roles: []cloud.OrgRole{{App: "jira", Site: "acme", Role: "boss"}}}}},
		"foreign synced": {People: []string{"a"}, Groups: []cloud.OrgGroup{{Name: "g"}},
			Foreign: map[string][]string{"g": {"a"}}},
		"invited synced": {People: []string{"a"}, Invited: []string{"a"},
			Groups: []cloud.OrgGroup{{Name: "g", Members: []string{"a"}}}},
	} {
		s := start(t)
		before := s.c.State()
		require.Error(t, s.c.SeedOrg(file), name)
		require.Equal(t, before, s.c.State(), "%s: the organization stays as it was", name)
	}
}

func TestIDsFollowFromTheSeed(t *testing.T) {
	state := func(seed int64) cloud.State {
		s := startWith(t, cloud.Options{Seed: seed}, smallOrg)
		s.must("D/groups", map[string]string{"name": "late"})
		return s.c.State()
	}
	require.Equal(t, state(1), state(1))
	require.NotEqual(t, state(1).OrgID, state(2).OrgID)
}

func TestGeneratedOrganization(t *testing.T) {
	s := generated(t, 7, 2000, 150, 9000)
	state := s.c.State()
	people, outside, bots := 0, 0, 0
	for _, p := range state.People {
		switch {
		case p.App:
			bots++
		case strings.HasSuffix(p.Email, "@acme.example"):
			people++
		default:
			outside++
		}
	}
	require.Equal(t, 2000, people+outside)
	require.InDelta(t, 0.08, float64(outside)/2000, 0.03)
	require.Equal(t, 6, bots)
	groups, memberships, largest, single := 0, 0, 0, 0
	for _, g := range state.Groups {
		if g.Synced {
			groups++
			memberships += len(g.Members)
			largest = max(largest, len(g.Members))
			if len(g.Members) < 40 {
				single++
			}
		} else if strings.HasPrefix(g.Name, "jira-users") {
			require.Greater(t, len(g.Members), 2, "app accounts and foreign members")
		}
	}
	require.Equal(t, 150, groups)
	require.Equal(t, 9000, memberships)
	require.Greater(t, largest, 500, "a heavy tail")
	require.Greater(t, single, 75)
	require.GreaterOrEqual(t, len(state.OrgAdmins), 3)
	require.NotEmpty(t, state.KeyOwner)
	require.Equal(t, state.Groups, generated(t, 7, 2000, 150, 9000).c.State().Groups)
	require.Len(t, s.walk("D/users/search", map[string]any{"limit": 100}, "accountId"), 2006)
}

func TestGeneratorSaysWhatCannotBe(t *testing.T) {
	for _, g := range []cloud.Generator{{People: 0}, {People: 200_000}, {People: 10, Groups: 5000, Memberships: 5000},
		{People: 10, Groups: 2, Memberships: 21}, {People: 10, Groups: 2, Memberships: 1}} {
		require.Error(t, cloud.New(cloud.Options{}).SeedGenerated(g), "%+v", g)
	}
}

func TestControlSeedsAndActsAsAdministrator(t *testing.T) {
	s := start(t)
	s.must("/_sim/groups/reviewers/members", map[string]any{"people": []string{"ana", "bo@example.com"}})
	members := s.get("/_sim/groups/reviewers/members")
	require.Len(t, members.at("members"), 3)
	require.EqualValues(t, 1, s.call("DELETE", "/_sim/groups/reviewers/members",
		map[string]any{"people": []string{"dan"}}).at("changed"))
	require.Equal(t, 400, s.post("/_sim/groups/engineering/members", map[string]any{"people": []string{"dan"}}).status,
		"synced")
	require.Equal(t, 400, s.post("/_sim/groups/reviewers/members", map[string]any{"people": []string{"nobody"}}).status)
	feed := s.get("V1/events-stream")
	require.Len(t, feed.at("data"), 3)
	require.Equal(t, "carol@example.com", feed.at("data", 0, "attributes", "actor", "email"),
		"somebody else than the key's owner")

	s.must("/_sim/stats/reset", nil)
	require.Zero(t, s.c.Stats().Calls)
	s.must("/_sim/seed", map[string]any{"generate": map[string]int{"people": 30, "groups": 3, "memberships": 40},
		"sites": []string{"beta"}, "apps": []string{"jira"}})
	require.Len(t, s.c.State().Resources, 1)
	org, err := json.Marshal(smallOrg)
	require.NoError(t, err)
	s.must("/_sim/seed", map[string]any{"org": json.RawMessage(org), "sites": []string{"acme"}})
	require.Len(t, s.c.State().People, 4)
	require.Equal(t, 400, s.post("/_sim/seed", "{}").status)
	require.Equal(t, 400, s.post("/_sim/settings", map[string]any{"lag": "soon"}).status)
	require.Equal(t, 400, s.post("/_sim/settings", map[string]any{"maxPage": 1000}).status)
	require.NotEqual(t, s.get("/_sim/clock").at("now"),
		s.must("/_sim/clock", map[string]string{"advance": "1h"}).at("now"))
}

func TestDisconnectingTheIdentityProviderLeavesLocalGroups(t *testing.T) {
	s := start(t)
	s.must("/_sim/scim/disconnect", nil)
	require.False(t, s.group("engineering").Synced)
	require.Len(t, s.group("engineering").Members, 2, "the members stay")
	require.Equal(t, 204, s.add("engineering", "carol").status, "and the organization API may change them now")
	require.EqualValues(t, 0, s.get("S/Users").at("totalResults"))
	require.Equal(t, "invited", s.get("D/users/"+s.account("ana")).at("data", "managementSource"))
	require.Equal(t, 204, s.delete("D/users/"+s.account("dan")).status)
}
