package contract_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/simulator/idp"
	"github.com/castellan-io/castellan/source"
	"github.com/castellan-io/castellan/source/entra"
	"github.com/castellan-io/castellan/source/google"
	"github.com/castellan-io/castellan/source/okta"
)

// providerDeviations are those of the identity providers. One that is no longer needed fails the test.
var providerDeviations = []*deviation{
	{operation: `okta GET `, side: "answer", text: `^status is not supported$`,
		why: "the file leaves out 401, which the vendor's pages on errors describe for every operation"},
	{operation: `google GET `, side: "answer", text: `^status is not supported$`,
		why: "discovery files describe no errors"},
}

const person = "00000000-0000-4000-8000-000000000001"

// TestProviderContract needs the folder idp below CASTELLAN_SPECS. Keycloak's vendor gives no description that could be
// had, so that its reader and its fake are checked against each other alone.
func TestProviderContract(t *testing.T) {
	folder := os.Getenv("CASTELLAN_SPECS")
	if folder == "" {
		t.Skip("CASTELLAN_SPECS is not set: say make contract SPECS=<folder of the vendor's OpenAPI files>")
	}
	folder = filepath.Join(folder, "idp")
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	key := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(private)}))

	described := newChecker([]*document{
		{name: "okta", spec: loadOkta(t, filepath.Join(folder, "okta-management.2024-06-1.cut.json"))},
		{name: "google", spec: loadDiscovery(t, filepath.Join(folder, "google-directory.20261104.cut.json"))},
	})
	graph := newGraphChecker(t, filepath.Join(folder, "microsoft-graph-v1.0.cut.csdl"))
	openAPI := &http.Client{Transport: dataOnly{described}}
	always := func(secret string) func(context.Context) (string, error) {
		return func(context.Context) (string, error) { return secret, nil }
	}
	t.Run("okta", func(t *testing.T) {
		driveProvider(t, (*idp.Directory).Okta, &private.PublicKey, func(url, secret string) (source.Source, error) {
			return okta.New(okta.Options{URL: url, Token: always(secret), HTTP: openAPI, Events: true, PageSize: 10})
		})
	})
	t.Run("okta, service app", func(t *testing.T) {
		driveProvider(t, (*idp.Directory).Okta, &private.PublicKey, func(url, _ string) (source.Source, error) {
			return okta.New(okta.Options{URL: url, ClientID: idp.DefaultClientID, Key: always(key), HTTP: openAPI})
		})
	})
	t.Run("google", func(t *testing.T) {
		file, err := json.Marshal(map[string]string{"type": "service_account", "client_email": idp.DefaultClientID,
			"private_key": key})
		require.NoError(t, err)
		for _, nested := range []bool{false, true} {
			driveProvider(t, (*idp.Directory).Google, &private.PublicKey, func(url, _ string) (source.Source, error) {
				return google.New(google.Options{URL: url, TokenURL: url + "/token", Subject: "admin@acme.example",
					Key: always(string(file)), HTTP: openAPI, Nested: nested, PageSize: 10})
			})
		}
	})
	t.Run("entra", func(t *testing.T) {
		for _, nested := range []bool{false, true} {
			driveProvider(t, (*idp.Directory).Graph, &private.PublicKey, func(url, _ string) (source.Source, error) {
				return entra.New(entra.Options{Tenant: "acme.example", ClientID: idp.DefaultClientID, URL: url,
					LoginURL: url, Secret: always(idp.DefaultClientSecret), HTTP: &http.Client{Transport: graph},
					Nested: nested, PageSize: 10})
			})
		}
	})

	open := unjustified(providerDeviations, slices.Concat(described.violations, graph.violations))
	for _, d := range providerDeviations {
		if !t.Failed() {
			require.NotZero(t, d.used, "this deviation is not needed any more: %s, %s, %s", d.operation, d.side, d.text)
		}
	}
	fmt.Printf("contract of identity providers: %d operations covered, %d requests and %d answers checked, %d "+
		"violations\n",
		len(described.covered)+len(graph.covered), described.requests+graph.requests, described.answers+graph.answers,
		len(open))
	for _, line := range slices.Sorted(maps.Keys(open)) {
		t.Errorf("%s (%d times)", line, open[line])
	}
	t.Log("covered:\n  " + strings.Join(append(slices.Sorted(maps.Keys(described.covered)),
		slices.Sorted(maps.Keys(graph.covered))...), "\n  "))
	t.Log("Keycloak: no description of its vendor's is among the files; nothing was checked")
}

// loadOkta reads Okta's file, of which the cut has no security schemes.
func loadOkta(t *testing.T, file string) *openapi3.T {
	t.Helper()
	spec, err := openapi3.NewLoader().LoadFromFile(file)
	require.NoError(t, err)
	for _, item := range spec.Paths.Map() {
		for _, operation := range item.Operations() {
			operation.Security = nil
		}
	}
	return spec
}

// dataOnly lets the token endpoints pass, which the files leave out: RFC 6749 describes them.
type dataOnly struct{ check *checker }

func (d dataOnly) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/token") {
		return http.DefaultTransport.RoundTrip(r)
	}
	return d.check.RoundTrip(r)
}

// driveProvider makes a reader do whatever it can, with people in every state, and with every refusal.
func driveProvider(t *testing.T, dialect func(*idp.Directory) http.Handler, key *rsa.PublicKey,
	open func(url, secret string) (source.Source, error)) {
	t.Helper()
	d := idp.New(idp.Options{Key: key})
	d.Generate(25, 3, 12)
	for i, status := range []string{idp.Locked, idp.Staged, idp.Suspended, idp.Deprovisioned} {
		d.SetStatus(fmt.Sprintf("00000000-0000-4000-8000-%012d", i+2), status)
	}
	d.AddGroup(idp.Group{ID: "00000000-0000-4000-9000-000000000099", Name: "all", Email: "all@acme.example",
		Groups: []string{"00000000-0000-4000-9000-000000000000"}})
	server := httptest.NewServer(dialect(d))
	defer server.Close()
	reader, err := open(server.URL, idp.DefaultToken)
	require.NoError(t, err)
	read := func() error {
		_, err := reader.Read(t.Context(), func(source.Page) error { return nil })
		return err
	}
	require.NoError(t, read())
	watcher, watches := reader.(source.Watcher)
	cursor := ""
	if watches {
		_, cursor, err = watcher.Changes(t.Context(), "")
		require.NoError(t, err)
	}
	_, err = reader.Lookup(t.Context(), person)
	require.NoError(t, err)
	d.SetMembers("00000000-0000-4000-9000-000000000000", person)
	d.Delete(person)
	_, err = reader.Lookup(t.Context(), person)
	require.ErrorIs(t, err, source.ErrGone)
	d.Purge(person)
	_, err = reader.Lookup(t.Context(), person)
	require.ErrorIs(t, err, source.ErrGone)
	if watches {
		changes, _, err := watcher.Changes(t.Context(), cursor)
		require.NoError(t, err)
		require.Contains(t, changes.People, person)
	}
	d.Break(idp.Fault{Path: "sers", Do: d.Revoke, Times: 1, Delay: time.Millisecond})
	require.NoError(t, read(), "a new token")
	wrong, err := open(server.URL, "wrong")
	require.NoError(t, err)
	d.Revoke()
	_, _ = wrong.Lookup(t.Context(), person)
}
