package cloud_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/simulator/cloud"
)

const (
	atlassian  = "urn:scim:schemas:extension:atlassian-external:1.0"
	enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
)

// set is a PATCH that replaces one attribute.
func set(path string, value any) map[string]any {
	return patch(map[string]any{"op": "replace", "path": path, "value": value})
}

// record returns somebody's record as the first SCIM directory shows it.
func (s *sim) record(name string) reply {
	s.t.Helper()
	r := s.get("S/Users/" + s.scimUser(name))
	require.Equal(s.t, 200, r.status, r.text)
	return r
}

// account of a record, "" if it is not linked.
func (r reply) account() string { return r.word(atlassian, "atlassianAccountId") }

func (s *sim) person(account string) cloud.StatePerson {
	s.t.Helper()
	for _, p := range s.c.State().People {
		if p.AccountID == account {
			return p
		}
	}
	require.Fail(s.t, "no such account", account)
	return cloud.StatePerson{}
}

func (s *sim) patch(id string, body any) reply {
	s.t.Helper()
	r := s.call("PATCH", "S/Users/"+id, body)
	require.Equal(s.t, 200, r.status, r.text)
	return r
}

func TestSCIMUserPatch(t *testing.T) {
	s := start(t)
	id, bo := s.scimUser("bo"), s.account("bo")
	r := s.patch(id, patch(
		map[string]any{"op": "replace", "path": "displayName", "value": "Bo Berg"},
		map[string]any{"op": "add", "path": `phoneNumbers[type eq "work"].value`, "value": "+43 1"},
		map[string]any{"op": "add", "path": `phoneNumbers[type eq "mobile"].value`, "value": "+43 2"},
		map[string]any{"op": "replace", "path": enterprise + ":department", "value": "Data"},
		map[string]any{"op": "add", "path": "timezone", "value": "Europe/Vienna"},
		map[string]any{"op": "add", "path": "preferredLanguage", "value": "de-AT"},
		map[string]any{"op": "replace", "path": `emails[type eq "work"].value`, "value": "bo.berg@example.com"},
		map[string]any{"op": "replace", "path": "userName", "value": "bo.berg@example.com"},
	))
	require.Equal(t, "Data", r.at("department"), "one attribute, in the extension as beside it")
	require.Equal(t, "Data", r.at(enterprise, "department"))
	require.Equal(t, []any{map[string]any{"value": "+43 1", "type": "work", "primary": true},
		map[string]any{"value": "+43 2", "type": "mobile"}}, r.at("phoneNumbers"))
	require.Equal(t, bo, r.account())
	profile := s.get("/users/" + bo + "/manage/profile").at("account").(map[string]any)
	for field, want := range map[string]any{"name": "Bo Berg", "email": "bo.berg@example.com",
		"zoneinfo": "Europe/Vienna", "locale": "de-AT", "nickname": "bo"} {
		require.Equal(t, want, profile[field], field)
	}
	require.Equal(t, "Data", s.get("D/users/"+bo).at("data", "department"))

	r = s.patch(id, patch(map[string]any{"op": "remove", "path": enterprise + ":department"},
		map[string]any{"op": "remove", "path": `phoneNumbers[type eq "work"].value`}))
	require.Nil(t, r.at("department"))
	require.Nil(t, s.get("D/users/"+bo).at("data", "department"))
	require.Len(t, r.at("phoneNumbers"), 1, "and the other number stays")
	require.Equal(t, "Europe/Vienna", r.at("timezone"), "what is not named stays")

	before := s.record("bo.berg@example.com").json
	for want, bad := range map[string]map[string]any{
		"noTarget":     set(`phoneNumbers[type eq "fax"].value`, "+43 3"),
		"invalidPath":  set(`addresses[type eq "work"].country`, "AT"),
		"invalidValue": set("userName", " "),
		"uniqueness":   set("userName", "dan@example.com"),
	} {
		r := s.call("PATCH", "S/Users/"+id, bad)
		require.GreaterOrEqual(t, r.status, 400, want)
		require.Equal(t, want, r.at("scimType"))
		require.Equal(t, before, s.record("bo.berg@example.com").json, "%s: nothing is done", want)
	}
}

// Ids of records and of accounts have no form in common: whoever takes one for the other is told.
func TestSCIMIDsAreNoAccountIDs(t *testing.T) {
	s := start(t)
	record, account := s.scimUser("bo"), s.account("bo")
	require.Regexp(t, `^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`, record)
	require.NotRegexp(t, `^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`, account)
	require.Equal(t, 404, s.get("S/Users/"+account).status)
	require.Equal(t, 404, s.get("D/users/"+record).status)
	require.Equal(t, 404, s.get("/users/"+record+"/manage").status)
	group := s.group("sales")
	add := func(member string) int {
		return s.call("PATCH", "S/Groups/"+group.SCIMGroupID, patch(map[string]any{"op": "add", "path": "members",
			"value": []any{map[string]string{"value": member}}})).status
	}
	require.Equal(t, 400, add(account))
	require.Equal(t, 200, add(record))
	require.Equal(t, "404 ADMIN-404-8", codes(s.post("D/groups/"+s.group("reviewers").ID+"/memberships",
		map[string]string{"accountId": record})))
	require.Equal(t, 404, s.get("S/Groups/"+group.ID).status)
	require.Equal(t, account, s.record("bo").account(), "a record shows both")
}

// Somebody who logged in before being provisioned keeps everything that belongs to the account.
func TestSCIMLinksTheAccountOfALogin(t *testing.T) {
	s := start(t)
	eve := s.must("/_sim/login", map[string]any{"email": "eve@example.com", "app": "jira", "site": "acme"}).word("accountId")
	s.must("/_sim/groups/reviewers/members", map[string]any{"people": []string{"eve"}})
	s.must("/_sim/people/eve", map[string]any{"orgAdmin": true, "title": "Boss"})
	s.must("/_sim/people/eve/content", map[string]any{"marks": []string{"PAGE-1", "ISSUE-7"}})
	before := s.person(eve)
	require.Empty(t, before.SCIMUserID)
	require.Equal(t, []string{"PAGE-1", "ISSUE-7"}, before.Content)
	require.Contains(t, s.membersOf("jira-users-acme"), eve)
	groups := s.user("eve", "groups").at("groups")

	r := s.must("S/Users", map[string]any{"userName": "eve@example.com", "displayName": "Eve"})
	require.Equal(t, eve, r.account())
	after := s.person(eve)
	require.Equal(t, r.word("id"), after.SCIMUserID)
	require.Equal(t, groups, s.user("eve", "groups").at("groups"))
	require.Equal(t, before.Content, after.Content)
	require.True(t, after.OrgAdmin)
	require.Equal(t, "Eve", after.Name, "attributes are the provider's from now on")
	require.Equal(t, "synced", s.user("eve").at("managementSource"))
	require.Equal(t, 409, s.post("S/Users", map[string]any{"userName": "eve@example.com"}).status)
	require.Equal(t, 409, s.post("S/Users", map[string]any{"userName": "other", "emails": []any{
		map[string]any{"value": "eve@example.com", "primary": true}}}).status, "one record for an account")
}

func TestSCIMLinksAManagedAccountOutsideTheDirectory(t *testing.T) {
	s := startWith(t, cloud.Options{}, cloud.OrgFile{People: []string{"ana", "eve"}, Admins: []string{"ana"},
		Outside: []string{"eve"}})
	eve := s.account("eve")
	require.Empty(t, s.must("D/users/search", map[string]any{"emails": []string{"eve@example.com"}}).at("data"))
	require.EqualValues(t, 2, s.get("V1/users").at("meta", "total"), "the list of managed accounts has it")
	require.Equal(t, 200, s.get("/users/"+eve+"/manage").status)
	require.Equal(t, eve, s.must("S/Users", map[string]any{"userName": "eve@example.com"}).account())
	require.Equal(t, "active", s.user("eve").at("membershipStatus"))
	require.Error(t, s.c.SeedOrg(cloud.OrgFile{People: []string{"x@elsewhere.example"},
		Outside: []string{"x@elsewhere.example"}}), "the organization does not manage it")
}

// Any update of a record whose account the organization does not manage unlinks it, even one that changes nothing.
func TestSCIMUpdatesUnlinkUnmanagedAccounts(t *testing.T) {
	for name, update := range map[string]map[string]any{
		"title": set("title", "Guest"), "nothing": set("displayName", "Max"), "active": set("active", false),
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			r := s.must("S/Users", map[string]any{"userName": "max@partner.example", "displayName": "Max"})
			id, guest := r.word("id"), r.account()
			s.must("S/Groups", map[string]any{"displayName": "partners", "members": member(id)})
			s.must("/_sim/groups/reviewers/members", map[string]any{"people": []string{guest}})
			require.Empty(t, s.patch(id, update).account())
			require.Empty(t, s.group("partners").Members)
			require.Contains(t, s.group("reviewers").Members, guest, "local groups are nobody's else")
			require.Equal(t, "invited", s.user("max@partner.example").at("managementSource"))
			require.Equal(t, "active", s.user("max@partner.example").at("accountStatus"), "an unmanaged account is not deactivated")
			require.Nil(t, s.user("max@partner.example").at("jobTitle"))
			require.Empty(t, s.patch(id, set("title", "Guest")).account(), "it is not linked again")
			require.Equal(t, 200, s.call("PATCH", "S/Groups/"+s.group("partners").SCIMGroupID,
				patch(map[string]any{"op": "add", "path": "members", "value": member(id)})).status)
			require.Empty(t, s.group("partners").Members, "a record without an account is nobody's membership")

			require.Equal(t, 204, s.delete("S/Users/"+id).status)
			again := s.must("S/Users", map[string]any{"userName": "max@partner.example"})
			require.Equal(t, guest, again.account())
			require.Empty(t, s.group("partners").Members, "groups do not come back by themselves")
		})
	}
}

// An existing account that nobody here manages is linked, and stays what its owner made it.
func TestSCIMLeavesAttributesOfUnmanagedAccounts(t *testing.T) {
	s := start(t)
	guest := s.must("/_sim/login", map[string]any{"email": "max@partner.example", "name": "Max Own"}).word("accountId")
	r := s.must("S/Users", map[string]any{"userName": "max@partner.example", "displayName": "Maximilian", "active": false})
	require.Equal(t, guest, r.account())
	require.Equal(t, "Max Own", s.person(guest).Name)
	require.False(t, s.person(guest).Inactive)
}

// The record of a managed account that gets an address at a domain that is not claimed keeps it, and loses the account.
func TestSCIMAddressAtAnUnclaimedDomainUnlinks(t *testing.T) {
	s := start(t)
	id, bo := s.scimUser("bo"), s.account("bo")
	r := s.patch(id, set(`emails[type eq "work"].value`, "bo@other.example"))
	require.Equal(t, "bo@other.example", r.at("emails", 0, "value"))
	require.Empty(t, r.account())
	require.Equal(t, "bo@example.com", s.person(bo).Email, "the account keeps its own")
	require.Equal(t, "managed", s.user("bo").at("claimStatus"))
	require.NotContains(t, s.group("engineering").Members, bo)
	require.Equal(t, true, s.get("/users/"+bo+"/manage").at("lifecycle.enablement", "allowed"), "nothing locks it")

	s.must("/_sim/domains", map[string]any{"name": "third.example"})
	carol := s.scimUser("carol")
	require.Equal(t, s.account("carol"), s.patch(carol, set(`emails[type eq "work"].value`, "carol@third.example")).account(),
		"a claimed domain is as good as another")
	require.Equal(t, 409, s.call("PATCH", "S/Users/"+carol, set(`emails[type eq "work"].value`, "dan@example.com")).status)
}

func TestDomainsMove(t *testing.T) {
	s := start(t)
	guest := s.must("/_sim/login", map[string]any{"email": "max@other.example"}).word("accountId")
	require.Equal(t, 403, s.get("/users/"+guest+"/manage").status)
	shown := func() map[string]any {
		out := map[string]any{}
		list := s.get("V1/domains")
		for i := range list.at("data").([]any) {
			out[list.word("data", i, "attributes", "name")] = list.at("data", i, "attributes", "claim", "status")
		}
		return out
	}
	for _, status := range []string{"unverified", "verified", "superseded", "missing_token", "deleted"} {
		s.must("/_sim/domains", map[string]any{"name": "Other.example", "status": status})
		require.Equal(t, map[string]any{"example.com": "verified", "other.example": status}, shown())
		managed := status == "verified"
		require.Equal(t, managed, s.person(guest).Managed)
		require.Equal(t, managed, s.get("/users/"+guest+"/manage").status == 200)
	}
	require.Equal(t, []string{"example.com"}, s.c.State().Domains)
	require.Equal(t, 200, s.delete("/_sim/domains/example.com").status)
	require.NotContains(t, shown(), "example.com")
	require.Equal(t, s.account("bo@example.com"), s.record("bo@example.com").account(), "records stay linked")
	require.Empty(t, s.patch(s.scimUser("bo@example.com"), set("title", "x")).account(), "until somebody writes them")
	require.Equal(t, 400, s.post("/_sim/domains", map[string]any{"name": "x.example", "status": "mine"}).status)
	require.Equal(t, 400, s.delete("/_sim/domains/none.example").status)
}

// Deactivating takes no membership, so that reactivating revives them all (complaint of many); who may do either is the
// directory's as long as it has the record.
func TestSCIMDeactivation(t *testing.T) {
	s := start(t)
	id, bo := s.scimUser("bo"), s.account("bo")
	manage := "/users/" + bo + "/manage"
	seats := func() (n int) {
		for _, r := range s.c.State().Resources {
			n += r.Seats
		}
		return n
	}
	taken := seats()
	require.NotZero(t, taken)
	s.patch(id, set("active", false))
	require.Equal(t, "inactive", s.get(manage+"/profile").at("account", "account_status"))
	require.Equal(t, taken-1, seats())
	require.Contains(t, s.group("engineering").Members, bo)
	require.Contains(t, s.group("jira-users-acme").Members, bo)
	for _, verb := range []string{"enable", "disable"} {
		refused := s.post(manage+"/lifecycle/"+verb, nil)
		require.Equal(t, 403, refused.status)
		require.Equal(t, "externalDirectory.scim", refused.at("context", "reason", "key"))
	}
	s.patch(id, set("active", true))
	require.Equal(t, "active", s.user("bo").at("status"))
	require.Equal(t, taken, seats())

	require.Equal(t, 204, s.delete("S/Users/"+id).status)
	require.True(t, s.person(bo).Inactive)
	require.NotContains(t, s.group("engineering").Members, bo)
	require.Equal(t, 204, s.post(manage+"/lifecycle/enable", nil).status, "nobody's record locks it any more")
	require.False(t, s.person(bo).Inactive)
}

func TestSCIMReactivationWithoutAccess(t *testing.T) {
	s := start(t)
	s.settings(map[string]any{"stuckReactivations": true})
	id, bo := s.scimUser("bo"), s.account("bo")
	apps := func() int { return len(s.user("bo", "productAccess").at("productAccess").([]any)) }
	require.Equal(t, 1, apps())
	s.patch(id, set("active", false))
	s.patch(id, set("active", true))
	require.True(t, s.person(bo).Stuck)
	require.Equal(t, "active", s.user("bo").at("membershipStatus"))
	require.Contains(t, s.membersOf("jira-users-acme"), bo, "the group has them")
	require.Zero(t, apps(), "and gives nothing")
	require.Empty(t, s.get("D/users/"+bo+"/role-assignments").at("data"))

	require.Equal(t, 204, s.remove("jira-users-acme", "bo").status)
	require.Equal(t, 204, s.add("reviewers", "bo").status)
	require.Zero(t, apps(), "a group without roles opens nothing")
	require.Equal(t, 204, s.add("jira-users-acme", "bo").status)
	require.Equal(t, 1, apps())
	require.False(t, s.person(bo).Stuck)
}

func TestSCIMReadsMayLag(t *testing.T) {
	s := start(t)
	s.settings(map[string]any{"scimLag": "10s"})
	id := s.scimUser("bo")
	s.patch(id, set("title", "first"))
	s.c.Advance(10 * time.Second)
	require.Equal(t, "second", s.patch(id, set("title", "second")).at("title"), "a write answers with the truth")
	s.patch(id, set("userName", "bo2@example.com"))
	require.Equal(t, "first", s.get("S/Users/"+id).at("title"))
	find := func(name string) any {
		return s.get("S/Users?filter=" + escape(`userName eq "`+name+`"`)).at("totalResults")
	}
	require.EqualValues(t, 1, find("bo@example.com"))
	require.EqualValues(t, 0, find("bo2@example.com"))

	created := s.must("S/Users", map[string]any{"userName": "eve@example.com"}).word("id")
	require.Equal(t, 404, s.get("S/Users/"+created).status)
	require.EqualValues(t, 4, s.get("S/Users").at("totalResults"))
	require.Equal(t, 409, s.post("S/Users", map[string]any{"userName": "eve@example.com"}).status,
		"what cannot be found is there")
	require.Equal(t, 204, s.delete("S/Users/"+id).status)
	require.Equal(t, "first", s.get("S/Users/"+id).at("title"))
	s.c.Advance(10 * time.Second)
	require.Equal(t, 404, s.get("S/Users/"+id).status)
	require.EqualValues(t, 4, s.get("S/Users").at("totalResults"))
	require.EqualValues(t, 1, find("eve@example.com"))
}

// Somebody changes their own address: the record keeps the provider's, and the next write of it restores that.
func TestSCIMRecordAndAccountDrift(t *testing.T) {
	s := start(t)
	id, bo := s.scimUser("bo"), s.account("bo")
	s.must("/_sim/people/bo", map[string]any{"email": "bobby@example.com"})
	r := s.get("S/Users/" + id)
	require.Equal(t, bo, r.account())
	require.Equal(t, "bo@example.com", r.at("emails", 0, "value"))
	require.Equal(t, "bobby@example.com", s.person(bo).Email)
	s.patch(id, set("title", "Clerk"))
	require.Equal(t, "bo@example.com", s.person(bo).Email)
}

func TestSCIMUnlinkedRecordKeepsItsAttributes(t *testing.T) {
	s := startWith(t, cloud.Options{}, cloud.OrgFile{People: []string{"ana", "max@partner.example"}, Admins: []string{"ana"}})
	s.settings(map[string]any{"scimLag": "1m"})
	id := s.scimUser("max@partner.example")
	r := s.patch(id, set("title", "Guest"))
	require.Empty(t, r.account())
	require.Equal(t, "max@partner.example", r.at("displayName"))
	require.Equal(t, "Guest", r.at("title"))
	lagging := s.get("S/Users/" + id)
	require.NotEmpty(t, lagging.account())
	require.Nil(t, lagging.at("title"))
}

func TestSCIMExternalIDsMayBeReadOnly(t *testing.T) {
	s := start(t)
	body := map[string]any{"userName": "eve@example.com", "externalId": "x1"}
	require.Equal(t, "x1", s.must("S/Users", body).at("externalId"))
	require.EqualValues(t, 1, s.get("S/Users?filter="+escape(`externalId eq "x1"`)).at("totalResults"))
	s.settings(map[string]any{"noExternalIds": true})
	body["userName"] = "max@example.com"
	require.Nil(t, s.must("S/Users", body).at("externalId"))
}
