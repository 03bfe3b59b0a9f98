package access_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
)

func TestWhoCanReceive(t *testing.T) {
	for name, c := range map[string]struct {
		person access.Person
		want   bool
	}{
		"active": {access.Person{AccountType: "atlassian", AccountStatus: "active",
			MembershipStatus: "active"}, true},
		"the read did not say": {access.Person{}, true},
		"an app": {access.Person{AccountType: "app", AccountStatus: "active", MembershipStatus: "active"},
			false},
		"a customer":           {access.Person{AccountType: "customer"}, false},
		"deactivated":          {access.Person{AccountStatus: "inactive"}, false},
		"closed":               {access.Person{AccountStatus: "closed", MembershipStatus: "active"}, false},
		"suspended":            {access.Person{AccountStatus: "active", MembershipStatus: "suspended"}, false},
		"not in the directory": {access.Person{MembershipStatus: "no_membership"}, false},
	} {
		require.Equal(t, c.want, c.person.CanReceive(), name)
	}
}

func TestPeopleGoByTheirAddress(t *testing.T) {
	p := access.Person{ID: "712020:x", Email: "ana@acme.example", GroupIDs: []string{"g"},
		PlatformRoles: []string{access.RoleOrgAdmin}}
	require.Equal(t, "ana@acme.example", p.Label())
	require.Equal(t, "712020:x", access.Person{ID: "712020:x"}.Label())
	require.True(t, p.InGroup("g"))
	require.False(t, p.InGroup("G"))
	require.True(t, p.HasRole(access.RoleOrgAdmin))
	require.False(t, p.HasRole("atlassian/site-admin"))
}

func TestChangesAreLabelled(t *testing.T) {
	for want, c := range map[string]access.Change{
		"add ana@acme.example to group:jira": {Person: "x", Email: "ana@acme.example", Target: "group:jira",
			Action: access.Add},
		"remove x from role:org-admin": {Person: "x", Target: access.OrgAdmin, Action: access.Remove},
		"adopt ana@acme.example in group:helpers": {Person: "x", Email: "ana@acme.example", Target: "group:helpers",
			Action: access.Adopt},
	} {
		require.Equal(t, want, c.Label())
	}
}

func TestReasonsAreSaid(t *testing.T) {
	for want, r := range map[string]access.Reason{
		"mapping eng": {Kind: access.ReasonMapping, Name: "eng"},
		"mapping eng (source group eng-all)": {Kind: access.ReasonMapping, Name: "eng",
			Source: "eng-all"},
		"rule staff (default:jira-software/acme/user)": {Kind: access.ReasonRule, Name: "staff",
			Via: "default:jira-software/acme/user"},
		"mapping eng (source group eng-all, default:jira/acme/user)": {Kind: access.ReasonMapping, Name: "eng",
			Source: "eng-all", Via: "default:jira/acme/user"},
	} {
		require.Equal(t, want, r.String())
	}
}

func TestWhichStatesAreOpen(t *testing.T) {
	for _, s := range []access.ChangeState{access.Planned, access.Held, access.Sent} {
		require.True(t, s.Open(), s)
	}
	for _, s := range []access.ChangeState{access.Rejected, access.Done, access.Already, access.Shortage,
		access.Refused, access.Superseded, access.Failed, access.Recorded} {
		require.False(t, s.Open(), s)
	}
}

func TestFindingsAreSummarized(t *testing.T) {
	var many []access.Finding
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"} {
		many = append(many, access.Finding{Rule: "uncovered-group", Subject: name, Detail: "no mapping takes from it"})
	}
	all := append([]access.Finding{{Rule: "key-expires", Subject: "key", Detail: "in 5 days"}}, many...)
	require.Equal(t, []string{
		"key-expires key: in 5 days",
		"uncovered-group (10) a, b, c, d, e, f, g, h and 2 more: no mapping takes from it",
	}, access.Summarize(all, 20))
	require.Equal(t, []string{"key-expires key: in 5 days"}, access.Summarize(all, 1))
	require.Empty(t, access.Summarize(nil, 20))
	require.Equal(t, "key-expires key: in 5 days", all[0].String())
}
