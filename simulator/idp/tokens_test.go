package idp_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/simulator/idp"
)

func sign(t *testing.T, key *rsa.PrivateKey, claims map[string]any) string {
	t.Helper()
	encoded, err := json.Marshal(claims)
	require.NoError(t, err)
	signed := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256"}`)) + "." +
		base64.RawURLEncoding.EncodeToString(encoded)
	digest := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
	require.NoError(t, err)
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// TestTokensNeedAGoodAssertion spoils one thing at a time, so that no client is believed who does it wrong.
func TestTokensNeedAGoodAssertion(t *testing.T) {
	right, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	server := httptest.NewServer(idp.New(idp.Options{Key: &right.PublicKey}).Okta())
	defer server.Close()
	endpoint := server.URL + "/oauth2/v1/token"
	soon := float64(time.Now().Add(time.Minute).Unix())
	tests := map[string]struct {
		spoil  func(claims map[string]any, form url.Values)
		key    *rsa.PrivateKey
		status int
	}{
		"nothing":  {func(map[string]any, url.Values) {}, right, 200},
		"key":      {func(map[string]any, url.Values) {}, other, 401},
		"audience": {func(c map[string]any, _ url.Values) { c["aud"] = server.URL }, right, 401},
		"expired":  {func(c map[string]any, _ url.Values) { c["exp"] = float64(1) }, right, 401},
		"too long": {func(c map[string]any, _ url.Values) { c["exp"] = soon + 7200 }, right, 401},
		"subject":  {func(c map[string]any, _ url.Values) { c["sub"] = "another" }, right, 401},
		"client":   {func(c map[string]any, _ url.Values) { c["iss"], c["sub"] = "another", "another" }, right, 401},
		"type":     {func(_ map[string]any, f url.Values) { f.Del("client_assertion_type") }, right, 400},
		"grant":    {func(_ map[string]any, f url.Values) { f.Set("grant_type", "password") }, right, 400},
	}
	for name, test := range tests {
		claims := map[string]any{"iss": idp.DefaultClientID, "sub": idp.DefaultClientID, "aud": endpoint, "exp": soon}
		form := url.Values{"grant_type": {"client_credentials"},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}}
		test.spoil(claims, form)
		form.Set("client_assertion", sign(t, test.key, claims))
		response, err := http.PostForm(endpoint, form)
		require.NoError(t, err)
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, test.status, response.StatusCode, "%s: %s", name, body)
		require.Equal(t, test.status == 200, strings.Contains(string(body), "access_token"), name)
	}
}

func TestDialectsNeedAToken(t *testing.T) {
	d := idp.New(idp.Options{})
	d.Generate(3)
	for path, dialect := range map[string]http.Handler{"/api/v1/users": d.Okta(), "/v1.0/users": d.Graph(),
		"/admin/directory/v1/users": d.Google(), "/admin/realms/acme/users": d.Keycloak("acme")} {
		for _, authorization := range []string{"", "Bearer x", "Bearer " + idp.DefaultToken, "SSWS x"} {
			request := httptest.NewRequest(http.MethodGet, path, nil)
			request.Header.Set("Authorization", authorization)
			answer := httptest.NewRecorder()
			dialect.ServeHTTP(answer, request)
			require.Equal(t, http.StatusUnauthorized, answer.Code, path)
			require.NotContains(t, answer.Body.String(), "person00000")
		}
	}
}
