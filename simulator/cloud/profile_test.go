package cloud_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/simulator/cloud"
)

// user returns a person as in users/search.
func (s *sim) user(name string, expand ...string) reply {
	s.t.Helper()
	body := map[string]any{"accountIds": []string{s.account(name)}}
	if expand != nil {
		body["expand"] = expand
	}
	r := s.must("D/users/search", body)
	require.Len(s.t, r.at("data"), 1)
	return reply{json: r.at("data", 0)}
}

func (s *sim) lastActive(name string) reply {
	s.t.Helper()
	r := s.get("V1/directory/users/" + s.account(name) + "/last-active-dates")
	require.Equal(s.t, 200, r.status, r.text)
	return r
}

func TestProfilesAreChangedByHand(t *testing.T) {
	s := start(t)
	fresh := s.user("bo")
	require.Equal(t, true, fresh.at("emailVerified"))
	for _, member := range []string{"jobTitle", "department", "organization", "location"} {
		require.Nil(t, fresh.at(member), member)
	}

	s.must("/_sim/people/bo", map[string]any{"name": "Bo Berg", "title": "Analyst", "department": "Data",
		"organization": "Talent", "location": "New York", "emailVerified": false, "mfaEnabled": true})
	changed := map[string]any{"name": "Bo Berg", "nickname": "bo", "jobTitle": "Analyst", "department": "Data",
		"organization": "Talent", "location": "New York", "emailVerified": false, "mfaEnabled": true}
	shown := func() map[string]any {
		out, one := map[string]any{}, reply{json: s.get("D/users/" + s.account("bo")).at("data")}
		for member := range changed {
			if searched := s.user("bo").at(member); searched != nil {
				require.Equal(t, searched, one.at(member), "both reads show the same %s", member)
				out[member] = searched
			}
		}
		return out
	}
	require.Equal(t, changed, shown())
	require.Equal(t, map[string]any{"job_title": "Analyst", "department": "Data", "organization": "Talent",
		"location": "New York"},
		s.get("/users/"+s.account("bo")+"/manage/profile").at("account", "extended_profile"))
	require.Equal(t, []string{s.account("bo")},
		s.must("D/users/search", map[string]any{"searchTerm": "berg"}).each("accountId"))

	s.must("/_sim/people/bo", map[string]any{"title": ""})
	delete(changed, "jobTitle")
	require.Equal(t, changed, shown(), "what is not named stays, and an empty text empties")
	require.Empty(t, s.get("V1/events-stream").actions(), "no event is known for any of it")
	require.Empty(t, s.c.History())

	with := func(enabled bool) []string {
		return s.must("D/users/search",
			map[string]any{"mfaEnabled": enabled, "accountIds": []string{s.account("bo")}}).each("accountId")
	}
	require.NotEmpty(t, with(true))
	for range 2 {
		s.must("/_sim/people/bo", map[string]any{"mfaEnabled": false})
	}
	require.Empty(t, with(true))
	require.NotEmpty(t, with(false))
	feed := s.get("V1/events-stream")
	require.Equal(t, []string{"twosv_disabled_for_user"}, feed.actions(), "once: the second time it was off already")
	require.Equal(t, "carol@example.com", feed.at("data", 0, "attributes", "actor", "email"))
	require.Equal(t, s.account("bo"), feed.at("data", 0, "attributes", "context", 0, "id"))
	require.Contains(t, s.get("V1/event-actions").each("id"), "twosv_disabled_for_user")
}

func TestChangesOfAPersonAreRefusedWhole(t *testing.T) {
	s := startWith(t, cloud.Options{},
		cloud.OrgFile{People: []string{"ana", "eve@outside.example"}, Admins: []string{"ana"}})
	before := s.user("eve@outside.example").json
	for _, body := range []map[string]any{
		{"title": "Boss", "orgAdmin": true, "name": " "}, {"title": "Boss", "orgAdmin": true, "mfaEnabled": true},
		{"title": "Boss", "orgAdmin": true, "jobTitle": "Boss"}, {"title": 7},
	} {
		r := s.post("/_sim/people/eve@outside.example", body)
		require.Equal(t, 400, r.status, body)
		require.Contains(t, r.word("error"), "eve@outside.example")
	}
	require.Equal(t, before, s.user("eve@outside.example").json)
	require.Len(t, s.c.State().OrgAdmins, 1)
	s.must("/_sim/people/eve@outside.example", map[string]any{"mfaEnabled": false})
	require.Equal(t, false, s.user("eve@outside.example").at("mfaEnabled"))
	require.Empty(t, s.get("V1/events-stream").actions(), "it never was on")
}

func TestAdministratorsAreMadeAndPeopleSuspendedByHand(t *testing.T) {
	s := start(t)
	for _, change := range []map[string]any{{"orgAdmin": true}, {"suspended": true}, {"suspended": false},
		{"orgAdmin": false}} {
		s.must("/_sim/people/dan", change)
		s.must("/_sim/people/dan", change) // no change
	}
	feed := s.get("V1/events-stream")
	require.Equal(t, []string{"user_granted_role", "user_access_suspended", "user_access_restored",
		"user_revoked_role"}, feed.actions())
	for i := range 4 {
		require.Equal(t, "carol@example.com", feed.at("data", i, "attributes", "actor", "email"),
			"an admin, and not the key's owner")
		require.Nil(t, feed.at("data", i, "attributes", "actor", "auth"), "by hand, with no key")
		require.Equal(t, s.account("dan"), feed.at("data", i, "attributes", "context", 0, "id"))
	}
	require.Equal(t, "atlassian/org-admin", feed.at("data", 0, "attributes", "context", 1, "id"))
	for _, change := range s.c.History() {
		require.Equal(t, "carol@example.com", change.By)
		require.Empty(t, change.Key)
	}

	s.must("/_sim/people/dan", map[string]any{"orgAdmin": true, "suspended": true})
	shown := s.user("dan", "platformRoles")
	require.Equal(t, []any{"atlassian/org-admin"}, shown.at("platformRoles"))
	require.Equal(t, "suspended", shown.at("membershipStatus"))
}

func TestProvisioningWritesTheOrganizationToo(t *testing.T) {
	s := start(t)
	s.must("/_sim/people/bo", map[string]any{"organization": "Talent", "location": "New York"})
	user := "S/Users/" + s.scimUser("bo")
	require.Equal(t, "Talent", s.get(user).at("organization"), "a seeded record follows its account")
	patch := func(path, value string) {
		t.Helper()
		r := s.call("PATCH", user, map[string]any{
			"operations": []any{map[string]any{"op": "replace", "path": path, "value": value}}})
		require.Equal(t, 200, r.status, r.text)
	}
	patch("title", "Analyst")
	require.Equal(t, "Talent", s.user("bo").at("organization"))
	patch("organization", "Acme")
	require.Equal(t, "Acme", s.user("bo").at("organization"))
	patch("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:organization", "Acme Labs")
	require.Equal(t, "Acme Labs", s.user("bo").at("organization"))
	require.Equal(t, "New York", s.user("bo").at("location"), "provisioning knows no location")
}

func TestTwoStepVerificationIsKnownOfManagedAccountsOnly(t *testing.T) {
	s := start(t)
	bo := s.account("bo")
	s.must("/_sim/people/bo", map[string]any{"mfaEnabled": true})
	require.Equal(t, true, s.get("D/users/"+bo).at("data", "mfaEnabled"))
	s.must("/_sim/people/bo", map[string]any{"email": "bo@outside.example"})
	require.Equal(t, "unmanaged", s.get("D/users/"+bo).at("data", "claimStatus"))
	require.Equal(t, false, s.get("D/users/"+bo).at("data", "mfaEnabled"))
}

func TestSeededProfiles(t *testing.T) {
	var file cloud.OrgFile
	require.NoError(t, json.Unmarshal([]byte(`{"people":["ana","bo","eve@outside.example"],"admins":["ana"],
		"suspended":["bo"],
		"foreign":{"jira-users-acme":["bo"],"jira-users-beta":["bo"],"confluence-users-acme":["bo"],"confluence-users-beta":["bo"]},
		"profiles":{
			"bo":{"title":"Analyst","department":"Data","organization":"Talent","location":"New York","emailVerified":false,"mfaEnabled":true,
				"lastActive":{"jira/acme":"never","jira-software":"2026-01-31T10:00:00Z","confluence":"never","confluence/beta":"2026-02-01T12:00:00+02:00"}},
			"eve@outside.example":{"mfaEnabled":false}}}`), &file))
	s := startWith(t, cloud.Options{Sites: []string{"acme", "beta"}}, file)
	bo := s.user("bo")
	for member, want := range map[string]any{"jobTitle": "Analyst", "department": "Data", "organization": "Talent",
		"location": "New York", "emailVerified": false, "mfaEnabled": true,
		"membershipStatus": "suspended", "status": "suspended"} {
		require.Equal(t, want, bo.at(member), member)
	}
	require.Equal(t, []string{s.account("bo")}, s.c.State().Suspended)
	for _, r := range s.c.State().Resources {
		require.Zero(t, r.Seats, "%s of %s: who starts suspended takes no licence", r.App, r.Site)
	}
	dates := map[string]any{}
	active := s.lastActive("bo")
	for i := range active.at("data", "product_access").([]any) {
		dates[active.word("data", "product_access", i, "id")] = active.at("data", "product_access", i,
			"last_active_timestamp")
	}
	want := map[string]any{}
	for _, r := range s.c.State().Resources {
		switch r.App + "/" + r.Site {
		case "jira-software/beta":
			want[r.Resource] = "2026-01-31T10:00:00.000Z"
		case "confluence/beta":
			want[r.Resource] = "2026-02-01T10:00:00.000Z"
		}
	}
	require.Equal(t, want, dates, "what is said of one site goes before what is said of all")
	require.Equal(t, true, s.user("ana").at("emailVerified"))
	require.Empty(t, s.get("V1/events-stream").actions())
	require.Empty(t, s.c.History())
}

func TestSeedNamesTheProfileThatCannotBe(t *testing.T) {
	yes := true
	for want, file := range map[string]cloud.OrgFile{
		`profiles: "b" is not one`: {Profiles: map[string]cloud.OrgProfile{"a": {}, "b": {}}},
		`profiles: "x@out.example": mfaEnabled is known of managed accounts only`: {
			Profiles: map[string]cloud.OrgProfile{"x@out.example": {MFAEnabled: &yes}}},
		`profiles: "a": lastActive: there is no app "trello" on any site`: {
			Profiles: map[string]cloud.OrgProfile{"a": {LastActive: map[string]string{"trello": "never"}}}},
		`profiles: "a": lastActive: there is no app "jira" on a site "beta"`: {
			Profiles: map[string]cloud.OrgProfile{"a": {LastActive: map[string]string{"jira/beta": "never"}}}},
		`profiles: "a": lastActive: "jira": "" is no time`: {
			Profiles: map[string]cloud.OrgProfile{"a": {LastActive: map[string]string{"jira": ""}}}},
		`profiles: "a": lastActive: "jira": "2026-01-31" is no time`: {
			Profiles: map[string]cloud.OrgProfile{"a": {LastActive: map[string]string{"jira": "2026-01-31"}}}},
		`profiles: "a": lastActive: "jira": "1969-01-31T10:00:00Z" is not after`: {
			Profiles: map[string]cloud.OrgProfile{
				"a": {LastActive: map[string]string{"jira": "1969-01-31T10:00:00Z"}}}},
		`suspended: "b" is not one`:                               {Suspended: []string{"b"}},
		`suspended: "a" is not one of the people, or there twice`: {Suspended: []string{"a", "a"}},
	} {
		s := start(t)
		before := s.c.State()
		file.People = []string{"a", "x@out.example"}
		require.ErrorContains(t, s.c.SeedOrg(file), want)
		require.Equal(t, before, s.c.State(), "%s: the organization stays as it was", want)
	}
}

func TestActivityIsSetToATimeOrToNever(t *testing.T) {
	s := start(t)
	set := func(at any) reply {
		return s.post("/_sim/activity",
			map[string]any{"people": []string{"bo"}, "app": "jira", "site": "acme", "at": at})
	}
	known := func() any { return s.lastActive("bo").at("data", "product_access", 0, "last_active_timestamp") }
	for _, never := range []any{"never", time.Time{}, nil} {
		require.Equal(t, 200, set("2026-01-31T10:00:00Z").status)
		require.Equal(t, "2026-01-31T10:00:00.000Z", known())
		require.Equal(t, 200, set(never).status, never)
		require.Nil(t, known(), never)
	}
	require.Equal(t, 200, set("2026-01-31T10:00:00Z").status)
	for _, bad := range []string{"yesterday", "2026-01-31", "Never", "1970-01-01T00:00:00Z"} {
		r := set(bad)
		require.Equal(t, 400, r.status, bad)
		require.Contains(t, r.word("error"), bad)
	}
	require.Equal(t, "2026-01-31T10:00:00.000Z", known(), "what is refused changes nothing")
}

func TestTheExpandedReadMayLeaveDatesOut(t *testing.T) {
	s := generated(t, 5, 60, 3, 60)
	access := func() (dated, undated map[string]bool) {
		dated, undated = map[string]bool{}, map[string]bool{}
		r := s.must("D/users/search", map[string]any{"limit": 100, "expand": []string{"productAccess"}})
		for u := range r.at("data").([]any) {
			for p := range r.at("data", u, "productAccess").([]any) {
				entry := r.word("data", u, "accountId") + " " + r.word("data", u, "productAccess", p, "id")
				if r.at("data", u, "productAccess", p, "lastActiveTimestamp") != nil {
					dated[entry] = true
				} else {
					undated[entry] = true
				}
			}
		}
		return dated, undated
	}
	limited := func() map[string]bool {
		out := map[string]bool{}
		for _, p := range s.c.State().People {
			r := s.get("V1/directory/users/" + p.AccountID + "/last-active-dates")
			for i := range r.at("data", "product_access").([]any) {
				out[p.AccountID+" "+r.word("data", "product_access", i, "id")] = true
			}
		}
		return out
	}
	truth := limited()
	dated, never := access()
	require.Equal(t, truth, dated, "by default both reads know the same")
	require.Greater(t, len(dated), 10)

	s.settings(map[string]any{"activityGaps": 0.5})
	some, undated := access()
	require.Subset(t, dated, some)
	require.InDelta(t, 0.5, float64(len(some))/float64(len(dated)), 0.3)
	perApp := map[string]int{}
	for entry := range some {
		_, app, _ := strings.Cut(entry, " ")
		perApp[app]++
	}
	for app, n := range perApp {
		missing := 0
		for entry := range dated {
			if strings.HasSuffix(entry, " "+app) && !some[entry] {
				missing++
			}
		}
		require.NotZero(t, missing, "%s has %d dates: the share is of people's entries, not of apps", app, n)
	}
	require.Len(t, undated, len(dated)+len(never)-len(some), "the entry itself stays")
	again, _ := access()
	require.Equal(t, some, again, "always the same ones")
	s.settings(map[string]any{"activityGaps": 1})
	none, _ := access()
	require.Empty(t, none)
	require.Equal(t, truth, limited(), "the limited call knows all the same")
	for _, share := range []float64{-0.1, 1.1} {
		require.Equal(t, 400, s.post("/_sim/settings", map[string]any{"activityGaps": share}).status)
	}
}

func TestLastActiveDatesHavePages(t *testing.T) {
	s := start(t)
	for _, app := range []string{"jira", "confluence"} {
		s.must("/_sim/groups/"+app+"-users-acme/members", map[string]any{"people": []string{"bo"}})
		s.must("/_sim/activity", map[string]any{"people": []string{"bo"}, "app": app, "site": "acme",
			"at": "2026-01-31T10:00:00Z"})
	}
	require.Len(t, s.lastActive("bo").at("data", "product_access"), 2)
	require.Nil(t, s.lastActive("bo").at("links", "next"))

	s.settings(map[string]any{"maxPage": 1})
	first := s.lastActive("bo")
	require.Len(t, first.at("data", "product_access"), 1)
	path := "V1/directory/users/" + s.account("bo") + "/last-active-dates?cursor="
	second := s.get(path + escape(first.word("links", "next")))
	require.Len(t, second.at("data", "product_access"), 1)
	require.NotEqual(t, first.at("data", "product_access", 0, "id"), second.at("data", "product_access", 0, "id"))
	require.Nil(t, second.at("links", "next"))
	require.NotEmpty(t, second.word("data", "added_to_org"))
	require.Equal(t, "400 ADMIN-400-4", codes(s.get(path+"not-one-of-yours")))
}
