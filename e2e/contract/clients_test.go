package contract_test

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/atlassian/scim"
)

// driveSCIM runs the provisioning client through every operation that it has.
func driveSCIM(c *contractTest) {
	t, ctx, client := c.t, c.t.Context(), c.scim
	ana, bo := c.user("ana"), c.user("bo")

	page, err := client.Users(ctx, scim.UserQuery{Count: 1})
	require.NoError(t, err)
	require.Len(t, page.Items, 1)
	require.Equal(t, 2, page.Next)
	page, err = client.Users(ctx, scim.UserQuery{Start: page.Next})
	require.NoError(t, err)
	require.Zero(t, page.Next)
	for _, q := range []scim.UserQuery{{UserName: ana.UserName}, {ExternalID: ana.ExternalID}} {
		page, err := client.Users(ctx, q)
		require.NoError(t, err)
		require.Equal(t, ana.ID, page.Items[0].ID)
	}
	_, err = client.CreateUser(ctx, scim.User{UserName: ana.UserName, Email: ana.Email})
	require.ErrorIs(t, err, scim.ErrNameTaken)

	want := ana
	want.Title, want.Department, want.NickName, want.PhoneNumber = "Principal", "Labs", "", "+43 1 111111"
	changed, err := client.PatchUser(ctx, ana.ID, []scim.Edit{
		{Attribute: scim.Title, From: ana.Title, To: want.Title},
		{Attribute: scim.Department, From: ana.Department, To: want.Department},
		{Attribute: scim.NickName, From: ana.NickName},
		{Attribute: scim.PhoneNumber, From: ana.PhoneNumber, To: want.PhoneNumber},
	})
	require.NoError(t, err)
	require.False(t, changed.Modified.IsZero())
	want.Modified = changed.Modified
	require.Equal(t, want, changed)
	idle, err := client.SetActive(ctx, bo.ID, false)
	require.NoError(t, err)
	require.False(t, idle.Active)
	_, err = client.SetActive(ctx, bo.ID, true)
	require.NoError(t, err)

	group, err := client.CreateGroup(ctx, scim.Group{DisplayName: "engineering", MemberIDs: []string{ana.ID}})
	require.NoError(t, err)
	require.Equal(t, []string{ana.ID}, group.MemberIDs)
	_, err = client.CreateGroup(ctx, scim.Group{DisplayName: "engineering"})
	require.ErrorIs(t, err, scim.ErrNameTaken)
	group, err = client.AddMembers(ctx, group.ID, bo.ID)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{ana.ID, bo.ID}, group.MemberIDs)
	group, err = client.RemoveMembers(ctx, group.ID, ana.ID)
	require.NoError(t, err)
	require.Equal(t, []string{bo.ID}, group.MemberIDs)
	group, err = client.ReplaceMembers(ctx, group.ID)
	require.NoError(t, err)
	require.Empty(t, group.MemberIDs)
	_, err = client.ReplaceMembers(ctx, group.ID, ana.ID, bo.ID)
	require.NoError(t, err)
	group, err = client.Group(ctx, group.ID)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{ana.ID, bo.ID}, group.MemberIDs)
	found, err := client.Groups(ctx, scim.GroupQuery{DisplayName: "engineering"})
	require.NoError(t, err)
	require.Equal(t, group.ID, found.Items[0].ID)
	_, err = client.Groups(ctx, scim.GroupQuery{Count: 10})
	require.NoError(t, err)

	got, err := client.User(ctx, ana.ID)
	require.NoError(t, err)
	require.Equal(t, []string{group.ID}, got.GroupIDs)
	require.NoError(t, client.DeleteUser(ctx, bo.ID))
	_, err = client.User(ctx, bo.ID)
	require.ErrorIs(t, err, scim.ErrNotFound)
	require.NoError(t, client.DeleteGroup(ctx, group.ID))
	require.ErrorIs(t, client.DeleteGroup(ctx, group.ID), scim.ErrNotFound)
}

// driveOrganization runs the organization client through every operation that it has.
func driveOrganization(c *contractTest) {
	t, ctx, client, directory := c.t, c.t.Context(), c.org, c.info.DirectoryID
	ana, bo := c.user("ana"), c.user("bo")
	synced, err := c.scim.CreateGroup(ctx, scim.Group{DisplayName: "engineering", MemberIDs: []string{ana.ID}})
	require.NoError(t, err)

	orgs, err := client.Orgs(ctx, "")
	require.NoError(t, err)
	require.Equal(t, c.info.OrgID, orgs.Items[0].ID)
	_, err = client.Org(ctx)
	require.NoError(t, err)
	directories, err := client.Directories(ctx, "")
	require.NoError(t, err)
	require.Equal(t, directory, directories.Items[0].ID)
	_, err = client.Domains(ctx, "")
	require.NoError(t, err)
	workspaces, err := client.Workspaces(ctx, "")
	require.NoError(t, err)
	require.Equal(t, "acme", workspaces.Items[0].Site())

	driveMembership(c, c.group("local-group"), synced.DisplayName, ana.AtlassianAccountID, bo.AtlassianAccountID)

	require.NoError(t, client.AssignOrgRole(ctx, ana.AtlassianAccountID, organization.RoleOrgAdmin))
	admins, err := client.SearchUsers(ctx, organization.AllDirectories, organization.UserQuery{
		RoleIDs: []string{organization.RoleOrgAdmin},
		Expand: []string{organization.ExpandPlatformRoles, organization.ExpandGroups, organization.ExpandProductAccess,
			organization.ExpandUserResourceCount},
	})
	require.NoError(t, err)
	require.Len(t, admins.Items, 2)
	require.Contains(t, admins.Items[0].PlatformRoles, organization.RoleOrgAdmin)
	require.NoError(t, client.RevokeOrgRole(ctx, ana.AtlassianAccountID, organization.RoleOrgAdmin))

	withMFA := true
	for _, q := range []organization.UserQuery{
		{Emails: []string{ana.Email}}, {AccountIDs: []string{ana.AtlassianAccountID}}, {SearchTerm: "ana"},
		{EmailDomains: []string{"acme.example"}},
		{DirectoryIDs: []string{directory}, ResourceIDs: []string{workspaces.Items[0].ID}},
		{MFAEnabled: &withMFA, ClaimStatus: "managed"},
		{Status: []string{"active"}, AccountStatus: []string{"active"},
			MembershipStatus: []string{"active", "suspended"}},
	} {
		_, err := client.SearchUsers(ctx, directory, q)
		require.NoError(t, err)
	}
	drivePeople(c, ana.AtlassianAccountID)
	driveProfiles(c, ana.AtlassianAccountID)
	driveEvents(c)
}

func driveMembership(c *contractTest, groupID, synced, ana, bo string) {
	t, ctx, client, directory := c.t, c.t.Context(), c.org, c.info.DirectoryID
	require.ErrorIs(t, client.CreateGroup(ctx, directory, "local-group", ""), organization.ErrNameTaken)
	for _, account := range []string{ana, bo} {
		require.NoError(t, client.AddMember(ctx, directory, groupID, account))
		require.ErrorIs(t, client.AddMember(ctx, directory, groupID, account), organization.ErrAlreadyMember)
	}
	require.ErrorIs(t, client.AddMember(ctx, directory, c.groupNamed(synced), bo), organization.ErrForbidden)
	const user = "atlassian/user"
	jira := c.app()
	require.NoError(t, client.AssignGroupRole(ctx, directory, groupID, user, jira))
	require.NoError(t, client.AssignGroupRole(ctx, directory, groupID, user, jira), "it gives the role already")
	roles, err := client.GroupRoleAssignments(ctx, directory, groupID, "")
	require.NoError(t, err)
	require.Equal(t, []string{user}, roles.Items[0].Roles)
	require.ErrorIs(t, client.AssignGroupRole(ctx, directory, "no-such-group", user, jira), organization.ErrNotFound)

	first, err := client.SearchUsers(ctx, directory,
		organization.UserQuery{GroupIDs: []string{groupID}, Limit: 1, Expand: []string{organization.ExpandGroups}})
	require.NoError(t, err)
	second, err := client.SearchUsers(ctx, directory,
		organization.UserQuery{GroupIDs: []string{groupID}, Limit: 1, Expand: []string{organization.ExpandGroups},
			Cursor: first.Next})
	require.NoError(t, err)
	require.ElementsMatch(t, []string{ana, bo}, []string{first.Items[0].AccountID, second.Items[0].AccountID})
	require.Contains(t, second.Items[0].GroupIDs, groupID)
	require.Empty(t, second.Next)

	_, err = client.Group(ctx, directory, groupID)
	require.NoError(t, err)
	counted, err := client.SearchGroups(ctx, directory, organization.GroupQuery{
		GroupIDs: []string{groupID}, Expand: []string{organization.ExpandUserCount, organization.ExpandResourceCount},
	})
	require.NoError(t, err)
	require.Equal(t, 2, counted.Items[0].Users)
	var names []string
	for cursor, more := "", true; more; more = cursor != "" {
		page, err := client.SearchGroups(ctx, organization.AllDirectories,
			organization.GroupQuery{Limit: 2, SortByName: true, Cursor: cursor})
		require.NoError(t, err)
		for _, g := range page.Items {
			names = append(names, g.Name)
			_, err := client.GroupRoleAssignments(ctx, directory, g.ID, "")
			require.NoError(t, err)
		}
		cursor = page.Next
	}
	require.Subset(t, names, []string{"local-group", synced, "org-admins"})
	for _, q := range []organization.GroupQuery{
		{SearchTerm: "local"}, {AccountIDs: []string{ana}, DirectoryIDs: []string{directory}},
		{ResourceOwners: []string{"jira-software"}, RoleIDs: []string{"atlassian/user"}},
	} {
		_, err := client.SearchGroups(ctx, directory, q)
		require.NoError(t, err)
	}

	require.NoError(t, client.RemoveMember(ctx, directory, groupID, ana))
	require.ErrorIs(t, client.RemoveMember(ctx, directory, groupID, ana), organization.ErrNotFound)
}

func driveEvents(c *contractTest) {
	t, ctx, client := c.t, c.t.Context(), c.org
	actions, err := client.EventActions(ctx)
	require.NoError(t, err)
	require.NotEmpty(t, actions)
	for _, q := range []organization.EventQuery{{},
		{Limit: 2, From: time.Now().Add(-time.Hour), To: time.Now().Add(time.Hour), Descending: true}} {
		page, err := client.Events(ctx, q)
		require.NoError(t, err)
		require.NotEmpty(t, page.Events)
		require.NotEmpty(t, page.Next)
		_, err = client.Events(ctx, organization.EventQuery{Cursor: page.Next, Limit: q.Limit})
		require.NoError(t, err)
	}
}
