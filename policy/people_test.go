package policy_test

import (
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy/condition"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// ana returns a person with all facts known.
func ana() condition.Facts {
	return condition.Facts{
		Person: access.Person{
			ID: "557058:ana", Email: "Ana@Acme.example", Name: "Ana Lee", AccountType: "atlassian",
			AccountStatus:    "active",
			MembershipStatus: "active", ClaimStatus: "managed", ManagementSource: "synced", JobTitle: "SRE",
			Department:    "IT",
			PlatformRoles: []string{access.RoleOrgAdmin}, Added: noon.Add(-14 * 24 * time.Hour),
		},
		Groups: []string{"IT-Ops", "eng (all)"},
	}
}
