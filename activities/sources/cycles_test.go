package sources_test

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/sources"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// directory is a service that speaks SCIM. It has one person, who is in the group a.
type directory struct {
	mu     sync.Mutex
	groups map[string][]string // the groups in each
}

func (d *directory) set(groups map[string][]string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.groups = groups
}

func (d *directory) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	resources := []any{}
	switch {
	case strings.HasSuffix(r.URL.Path, "/Users"):
		resources = append(resources, map[string]any{"id": "ana", "userName": "ana", "active": true,
			"emails": []any{map[string]any{"value": "ana@acme.example"}}})
	case strings.HasSuffix(r.URL.Path, "/Groups"):
		for id, inner := range d.groups {
			members := []any{}
			if id == "a" {
				members = append(members, map[string]any{"value": "ana", "type": "User"})
			}
			for _, g := range inner {
				members = append(members, map[string]any{"value": g, "type": "Group"})
			}
			resources = append(resources, map[string]any{"id": id, "displayName": "team-" + id, "members": members})
		}
	default:
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/scim+json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"schemas":      []string{"urn:ietf:params:scim:api:messages:2.0:ListResponse"},
		"totalResults": len(resources), "startIndex": 1, "itemsPerPage": len(resources), "Resources": resources})
}

// TestCyclesOfGroupsAreFindings: groups that contain each other are named for as long as the source shows them so.
func TestCyclesOfGroupsAreFindings(t *testing.T) {
	t.Parallel()
	people := &directory{}
	server := httptest.NewTLSServer(people)
	t.Cleanup(server.Close)
	o := activitytest.NewOf(t, cloud.OrgFile{Domains: []string{"acme.example"}, People: []string{"boss", "ana"},
		Admins: []string{"boss"}, Local: []cloud.OrgGroup{{Name: "builders"}}})
	options := o.Options()
	options.SourceSecret = func(string, string, ...string) (string, error) { return "secret", nil }
	options.SourceCAs = x509.NewCertPool()
	options.SourceCAs.AddCert(server.Certificate())
	o.Acts = activities.New(activities.Options{Options: options})
	o.Policy = activitytest.Must[reconcile.AdmitResult](o, o.Acts.Reconcile.Admit, o.AdmitIn(fmt.Sprintf(`
version: 1
organization: {name: acme, id: %s, key: "env:KEY"}
sources: [{name: hr, kind: scim, url: %q, secret: "env:HR", groups: {nested: true}}]
mappings: [{name: builders, from: ["hr:team-b"], to: ["group:builders"]}]
guard: {adopt: auto}
`, o.Sim.Info().OrgID, server.URL))).Policy

	var told int64
	found := func(groups map[string][]string) string {
		t.Helper()
		people.set(groups)
		o.Advance(time.Minute)
		result := activitytest.Must[sources.WatchResult](o, o.Acts.Sources.WatchSource,
			sources.WatchInput{Org: activitytest.Org, Policy: o.Policy, Source: "hr", Once: true, After: told})
		require.Empty(t, result.Source.Problem)
		told = result.Source.Change
		o.VerifyAll()
		return o.Findings()["group-cycle source hr"]
	}
	require.Empty(t, found(map[string][]string{"a": nil, "b": {"a"}}))
	require.Equal(t, "team-a → team-b → team-a: each has the members of all; "+
		"take one out of the other in the directory", found(map[string][]string{"a": {"b"}, "b": {"a"}}))
	require.Equal(t, "team-b → team-b: the group is in itself; take it out in the directory",
		found(map[string][]string{"a": nil, "b": {"a", "b"}}))
	require.Empty(t, found(map[string][]string{"a": nil, "b": {"a"}}))
}
