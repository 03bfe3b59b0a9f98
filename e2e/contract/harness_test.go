package contract_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/atlassian/account"
	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/atlassian/scim"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// The keys of an organization beside the good one.
const (
	readOnlyKey = "key-readonly"
	otherOrgKey = "key-of-another-organization"
	unknownKey  = "key-that-nobody-made"
)

// contractTest is a simulated organization, the product's clients of it, and the checker that stands between.
type contractTest struct {
	t    *testing.T
	sim  *cloud.Cloud
	info cloud.Info
	url  string
	http *http.Client
	org  organization.Writer
	scim scim.Writer
	acct account.Writer
}

func newContractTest(t *testing.T, check *checker, adjust func(*cloud.Settings)) *contractTest {
	t.Helper()
	settings := cloud.DefaultSettings()
	settings.Keys = map[string]cloud.KeyState{readOnlyKey: cloud.KeyReadOnly, otherOrgKey: cloud.KeyOtherOrg}
	if adjust != nil {
		adjust(&settings)
	}
	sim := cloud.New(cloud.Options{Seed: 1, Settings: &settings})
	require.NoError(t, sim.SeedOrg(cloud.OrgFile{Domains: []string{"acme.example"}, People: []string{"root"},
		Admins: []string{"root"}}))
	server := httptest.NewServer(sim.Handler())
	t.Cleanup(server.Close)
	c := &contractTest{t: t, sim: sim, info: sim.Info(), url: server.URL, http: &http.Client{Transport: check}}
	c.org = c.organization(c.info.OrgID, cloud.DefaultKey)
	c.scim = c.scimClient(cloud.DefaultSCIMKey)
	c.acct = c.accountClient(cloud.DefaultKey)
	return c
}

func (c *contractTest) organization(org, key string) organization.Writer {
	client, err := organization.New(organization.Options{BaseURL: c.url + "/admin", OrgID: org, Key: always(key),
		HTTP: c.http})
	require.NoError(c.t, err)
	return organization.NewWriter(client)
}

func (c *contractTest) scimClient(key string) scim.Writer {
	client, err := scim.New(scim.Options{BaseURL: c.url + c.inSCIM(), Key: always(key), HTTP: c.http})
	require.NoError(c.t, err)
	return scim.NewWriter(client)
}

func (c *contractTest) accountClient(key string) account.Writer {
	client, err := account.New(account.Options{BaseURL: c.url, Key: always(key), HTTP: c.http})
	require.NoError(c.t, err)
	return account.NewWriter(client)
}

func always(key string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return key, nil }
}

func (c *contractTest) inOrg(version string) string {
	return "/admin/" + version + "/orgs/" + c.info.OrgID
}
func (c *contractTest) inDirectory() string {
	return c.inOrg("v2") + "/directories/" + c.info.DirectoryID
}
func (c *contractTest) inSCIM() string { return "/scim/directory/" + c.info.SCIMDirectoryID }

// app returns the ARI of Jira on the site, resource that of any app.
func (c *contractTest) app() string { return c.resource("jira-software") }

func (c *contractTest) resource(app string) string {
	c.t.Helper()
	for _, r := range c.sim.State().Resources {
		if r.App == app {
			return r.Resource
		}
	}
	require.FailNow(c.t, "no such app", app)
	return ""
}

// raw sends what the clients have no method for, and returns the answer's body.
func (c *contractTest) raw(ctx context.Context, want int, method, path string, body any) map[string]any {
	c.t.Helper()
	var sent io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		require.NoError(c.t, err)
		sent = bytes.NewReader(encoded)
	}
	r, err := http.NewRequestWithContext(ctx, method, c.url+path, sent)
	require.NoError(c.t, err)
	key, media := cloud.DefaultKey, "application/json"
	if len(path) > 5 && path[:5] == "/scim" {
		key, media = cloud.DefaultSCIMKey, "application/scim+json"
	}
	r.Header.Set("Authorization", "Bearer "+key)
	if body != nil {
		r.Header.Set("Content-Type", media)
	}
	response, err := c.http.Do(r)
	require.NoError(c.t, err)
	defer response.Body.Close()
	received, err := io.ReadAll(response.Body)
	require.NoError(c.t, err)
	require.Equal(c.t, want, response.StatusCode, "%s %s: %s", method, path, received)
	var answer map[string]any
	_ = json.Unmarshal(received, &answer) // an answer without a JSON object is nil
	return answer
}

// user provisions somebody, and returns the SCIM user and the Atlassian account.
func (c *contractTest) user(name string) scim.User {
	c.t.Helper()
	u, err := c.scim.CreateUser(c.t.Context(), scim.User{
		UserName: name + "@acme.example", Email: name + "@acme.example", DisplayName: name, GivenName: name,
		FamilyName: "Example",
		ExternalID: "idp-" + name, Title: "Engineer", Department: "R&D", Organization: "Acme", NickName: name,
		Timezone: "Europe/Vienna", PreferredLanguage: "de-AT", PhoneNumber: "+43 1 000000", Active: true,
	})
	require.NoError(c.t, err)
	require.NotEmpty(c.t, u.AtlassianAccountID)
	return u
}

// group makes a local group and returns its id.
func (c *contractTest) group(name string) string {
	c.t.Helper()
	require.NoError(c.t, c.org.CreateGroup(c.t.Context(), c.info.DirectoryID, name, "made by the contract test"))
	return c.groupNamed(name)
}

// groupNamed finds a group that is sure to come.
func (c *contractTest) groupNamed(name string) string {
	c.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for time.Now().Before(deadline) {
		page, err := c.org.SearchGroups(c.t.Context(), c.info.DirectoryID,
			organization.GroupQuery{Names: []string{name}})
		require.NoError(c.t, err)
		if len(page.Items) == 1 {
			return page.Items[0].ID
		}
	}
	require.FailNow(c.t, "no such group", name)
	return ""
}
