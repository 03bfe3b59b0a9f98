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

	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/atlassian/scim"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// The keys of a world's organization beside the good one.
const (
	readOnlyKey = "key-readonly"
	otherOrgKey = "key-of-another-organization"
	unknownKey  = "key-that-nobody-made"
)

// world is a simulated organization, the product's clients of it, and the checker that stands between.
type world struct {
	t    *testing.T
	sim  *cloud.Cloud
	info cloud.Info
	url  string
	http *http.Client
	org  organization.Writer
	scim *scim.Client
}

func newWorld(t *testing.T, check *checker, adjust func(*cloud.Settings)) *world {
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
	w := &world{t: t, sim: sim, info: sim.Info(), url: server.URL, http: &http.Client{Transport: check}}
	w.org = w.organization(w.info.OrgID, cloud.DefaultKey)
	w.scim = w.scimClient(cloud.DefaultSCIMKey)
	return w
}

func (w *world) organization(org, key string) organization.Writer {
	client, err := organization.New(organization.Options{BaseURL: w.url + "/admin", OrgID: org, Key: always(key),
		HTTP: w.http})
	require.NoError(w.t, err)
	return organization.NewWriter(client)
}

func (w *world) scimClient(key string) *scim.Client {
	client, err := scim.New(scim.Options{BaseURL: w.url + w.inSCIM(), Key: always(key), HTTP: w.http})
	require.NoError(w.t, err)
	return client
}

func always(key string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return key, nil }
}

func (w *world) inOrg(version string) string { return "/admin/" + version + "/orgs/" + w.info.OrgID }
func (w *world) inDirectory() string         { return w.inOrg("v2") + "/directories/" + w.info.DirectoryID }
func (w *world) inSCIM() string              { return "/scim/directory/" + w.info.SCIMDirectoryID }

// app is the ARI of Jira on the site, resource that of any app.
func (w *world) app() string { return w.resource("jira-software") }

func (w *world) resource(app string) string {
	w.t.Helper()
	for _, r := range w.sim.State().Resources {
		if r.App == app {
			return r.Resource
		}
	}
	require.FailNow(w.t, "no such app", app)
	return ""
}

// raw sends what the clients have no method for, and returns the answer's body.
func (w *world) raw(ctx context.Context, want int, method, path string, body any) map[string]any {
	w.t.Helper()
	var sent io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		require.NoError(w.t, err)
		sent = bytes.NewReader(encoded)
	}
	r, err := http.NewRequestWithContext(ctx, method, w.url+path, sent)
	require.NoError(w.t, err)
	key, media := cloud.DefaultKey, "application/json"
	if len(path) > 5 && path[:5] == "/scim" {
		key, media = cloud.DefaultSCIMKey, "application/scim+json"
	}
	r.Header.Set("Authorization", "Bearer "+key)
	if body != nil {
		r.Header.Set("Content-Type", media)
	}
	response, err := w.http.Do(r)
	require.NoError(w.t, err)
	defer response.Body.Close()
	received, err := io.ReadAll(response.Body)
	require.NoError(w.t, err)
	require.Equal(w.t, want, response.StatusCode, "%s %s: %s", method, path, received)
	var answer map[string]any
	_ = json.Unmarshal(received, &answer) // an answer without a JSON object is nil
	return answer
}

// user provisions somebody, and returns the SCIM user and the Atlassian account.
func (w *world) user(name string) scim.User {
	w.t.Helper()
	u, err := w.scim.CreateUser(w.t.Context(), scim.User{
		UserName: name + "@acme.example", Email: name + "@acme.example", DisplayName: name, GivenName: name,
		FamilyName: "Example",
		ExternalID: "idp-" + name, Title: "Engineer", Department: "R&D", Organization: "Acme",
		Timezone: "Europe/Vienna", Active: true,
	})
	require.NoError(w.t, err)
	require.NotEmpty(w.t, u.AtlassianAccountID)
	return u
}

// group makes a local group and returns its id.
func (w *world) group(name string) string {
	w.t.Helper()
	require.NoError(w.t, w.org.CreateGroup(w.t.Context(), w.info.DirectoryID, name, "made by the contract test"))
	return w.groupNamed(name)
}

// groupNamed finds a group that is sure to come.
func (w *world) groupNamed(name string) string {
	w.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for time.Now().Before(deadline) {
		page, err := w.org.SearchGroups(w.t.Context(), w.info.DirectoryID,
			organization.GroupQuery{Names: []string{name}})
		require.NoError(w.t, err)
		if len(page.Items) == 1 {
			return page.Items[0].ID
		}
	}
	require.FailNow(w.t, "no such group", name)
	return ""
}
