package contract_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// driveProfiles reads all that the organization knows of one person and of what they use, with either form of cursor.
func driveProfiles(c *contractTest, ana string) {
	t, ctx, client, directory := c.t, c.t.Context(), c.org, c.info.DirectoryID
	jira, confluence := c.app(), c.resource("confluence")
	at := time.Date(2026, 1, 31, 10, 0, 0, 0, time.UTC)
	require.NoError(t, client.AssignRole(ctx, ana, "atlassian/user", jira))
	require.NoError(t, client.AssignRole(ctx, ana, "atlassian/user", confluence))
	c.control("/people/"+ana, object{"title": "Analyst", "organization": "Talent", "location": "New York",
		"emailVerified": false, "mfaEnabled": true})
	c.control("/activity", object{"people": []string{ana}, "app": "jira", "site": "acme", "at": at})
	c.control("/activity", object{"people": []string{ana}, "app": "confluence", "site": "acme",
		"at": at.Add(time.Hour)})
	used := map[string]time.Time{jira: at, confluence: at.Add(time.Hour)}

	search := func(expand ...string) organization.User {
		t.Helper()
		page, err := client.SearchUsers(ctx, directory,
			organization.UserQuery{AccountIDs: []string{ana}, Expand: expand})
		require.NoError(t, err)
		require.Len(t, page.Items, 1)
		return page.Items[0]
	}
	plain := search()
	require.Nil(t, plain.ProductAccess, "not asked for is not the same as none")
	single, err := client.User(ctx, directory, ana)
	require.NoError(t, err)
	for _, u := range []organization.User{plain, single} {
		require.Equal(t, []string{"Analyst", "Talent", "New York"}, []string{u.JobTitle, u.Organization, u.Location})
		require.NotNil(t, u.EmailVerified)
		require.False(t, *u.EmailVerified)
		require.NotNil(t, u.MFAEnabled)
		require.True(t, *u.MFAEnabled)
	}

	dates := func(apps []organization.ProductAccess) map[string]time.Time {
		found := map[string]time.Time{}
		for _, p := range apps {
			found[p.ResourceID] = p.LastActive
		}
		return found
	}
	require.Equal(t, used, dates(search(organization.ExpandProductAccess).ProductAccess))
	require.NoError(t, c.sim.Configure(func(s *cloud.Settings) error { s.ActivityGaps = 1; return nil }))
	require.Equal(t, map[string]time.Time{jira: {}, confluence: {}},
		dates(search(organization.ExpandProductAccess).ProductAccess))

	for _, urls := range []bool{false, true} {
		require.NoError(t, c.sim.Configure(func(s *cloud.Settings) error {
			s.MaxPage, s.URLCursors = 1,
				urls
			return nil
		}))
		var apps []organization.ProductAccess
		pages := 0
		for cursor, more := "", true; more; more = cursor != "" {
			page, err := client.LastActive(ctx, ana, cursor)
			require.NoError(t, err)
			require.Equal(t, single.AddedToOrg, page.AddedToOrg)
			apps = append(apps, page.Apps...)
			cursor = page.Next
			pages++
		}
		require.Equal(t, used, dates(apps), "this call knows what the search left out")
		require.Equal(t, 2, pages)
	}
	require.NoError(t, c.sim.Configure(func(s *cloud.Settings) error {
		s.MaxPage, s.URLCursors, s.ActivityGaps = 0,
			false, 0
		return nil
	}))

	c.control("/activity", object{"people": []string{ana}, "app": "jira", "site": "acme", "at": "never"})
	page, err := client.LastActive(ctx, ana, "")
	require.NoError(t, err)
	require.Equal(t, map[string]time.Time{confluence: at.Add(time.Hour)}, dates(page.Apps))
	for _, app := range []string{jira, confluence} {
		require.NoError(t, client.RevokeRole(ctx, ana, "atlassian/user", app))
	}
	page, err = client.LastActive(ctx, ana, "")
	require.NoError(t, err)
	require.Empty(t, page.Apps)
	none := search(organization.ExpandProductAccess).ProductAccess
	require.NotNil(t, none)
	require.Empty(t, none)
}

// control changes the simulator itself, past the checker: the vendor has no such calls.
func (c *contractTest) control(path string, body object) {
	c.t.Helper()
	sent, err := json.Marshal(body)
	require.NoError(c.t, err)
	r, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.url+"/_sim"+path, bytes.NewReader(sent))
	require.NoError(c.t, err)
	response, err := http.DefaultClient.Do(r)
	require.NoError(c.t, err)
	require.NoError(c.t, response.Body.Close())
	require.Equal(c.t, http.StatusOK, response.StatusCode, "%s %s", path, sent)
}
