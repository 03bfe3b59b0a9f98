package terms_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/policy/condition"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

const minimal = `
version: 1
organization: {name: acme, id: 0a1b2c3d, key: "env:CASTELLAN_KEY_ACME"}
mappings:
  - name: engineering
    from: [eng-all]
    to: ["group:jira-users-acme"]
`

func parse(t testing.TB, text string) *policy.Policy {
	p, err := policy.Parse("acme.yaml", []byte(text))
	require.NoError(t, err)
	return p
}

// ana returns a person with all facts known.
func ana() condition.Facts {
	return condition.Facts{
		Person: access.Person{
			ID: "557058:ana", Email: "Ana@Acme.example", Name: "Ana Lee", AccountType: "atlassian",
			AccountStatus: "active", MembershipStatus: "active", ClaimStatus: "managed", ManagementSource: "synced",
			JobTitle: "SRE", Department: "IT", PlatformRoles: []string{access.RoleOrgAdmin},
			Added: noon.Add(-14 * 24 * time.Hour),
		},
		Groups: []string{"IT-Ops", "eng (all)"},
	}
}

// outline has two groups that are default for one role.
func outline() access.Outline {
	const site = "ari:cloud:jira-software::site/1"
	return access.Outline{
		Groups: []access.Group{
			{ID: "j1", Name: "jira-users-acme", Modifiable: true}, {ID: "j2", Name: "jira-users-extra", Modifiable: true},
			{ID: "w1", Name: "web-Members", Modifiable: true},
		},
		Roles: []access.RoleAssignment{
			{GroupID: "j1", Resource: site, Role: "atlassian/user", Default: true},
			{GroupID: "j2", Resource: site, Role: "atlassian/user", Default: true},
		},
		Sites: []access.Site{{App: "jira-software", Site: "acme", Resource: site}},
	}
}
