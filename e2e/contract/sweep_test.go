package contract_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// driveSweep reads a whole generated organization as a verification does, with either form of cursor and of group id:
// what the people's groups add up to must be what the groups count.
func driveSweep(t *testing.T, check *checker) {
	for name, urls := range map[string]bool{"bare cursors": false, "cursors in URLs": true} {
		t.Run(name, func(t *testing.T) {
			c := newContractTest(t, check, func(s *cloud.Settings) {
				s.URLCursors, s.PlainGroupIDs, s.AppAccounts = urls, urls, true
			})
			require.NoError(t, c.sim.SeedGenerated(cloud.Generator{People: 350, Groups: 40,
				Memberships: 1500, Seed: 7}))

			seen, apps, members := map[string]bool{}, 0, map[string]int{}
			for cursor, more := "", true; more; more = cursor != "" {
				page, err := c.org.SearchUsers(t.Context(), c.info.DirectoryID, organization.UserQuery{
					Cursor: cursor, Expand: []string{organization.ExpandGroups, organization.ExpandPlatformRoles,
						organization.ExpandProductAccess},
				})
				require.NoError(t, err)
				for _, u := range page.Items {
					require.False(t, seen[u.AccountID], "%s came twice", u.AccountID)
					seen[u.AccountID] = true
					if u.AccountType != "atlassian" {
						apps++
					}
					for _, g := range u.GroupIDs {
						members[g]++
					}
				}
				cursor = page.Next
			}
			require.GreaterOrEqual(t, len(seen), 350)
			require.NotZero(t, apps, "app accounts stand in default groups on live organizations")

			groups := 0
			for cursor, more := "", true; more; more = cursor != "" {
				page, err := c.org.SearchGroups(t.Context(), c.info.DirectoryID,
					organization.GroupQuery{Cursor: cursor, Limit: 20, Expand: []string{organization.ExpandUserCount}})
				require.NoError(t, err)
				for _, g := range page.Items {
					groups++
					require.Equal(t, g.Users, members[g.ID], g.Name)
				}
				cursor = page.Next
			}
			require.Greater(t, groups, 40)
		})
	}
}
