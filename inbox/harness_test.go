package inbox_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/inbox"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/notify"
	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/simulator/idp"
)

const (
	token     = "scim-0123456789-0123456789-0123456789"
	secret    = "0123456789-0123456789-0123456789-A"
	recipient = "https://castellan.acme.example/feeds/acme/login"
	audience  = "https://castellan.acme.example"
	issuer    = "https://idp.acme.example"
)

// posting is an inbox for the organization acme, with a source for posts, login for assertions and corp, which is read.
type posting struct {
	t       *testing.T
	store   *ledger.Ledger
	handler http.Handler
	saml    *idp.SAML

	mu      sync.Mutex
	now     time.Time
	secrets map[string]string
}

func start(t *testing.T) *posting {
	t.Helper()
	p := &posting{t: t, now: time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)}
	var err error
	p.store, err = ledger.Open(t.Context(), "file:"+filepath.Join(t.TempDir(), "castellan.db"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = p.store.Close() })
	p.saml, err = idp.NewSAML(issuer, p.now)
	require.NoError(t, err)
	p.secrets = map[string]string{"env:FEED": secret, "env:IDP": p.saml.Certificate, "env:SCIM": token}
	p.apply(`
version: 1
organization: {name: acme, id: 0a1b2c3d-0000-4000-8000-000000000001, key: "env:KEY"}
sources:
  - {name: posts, kind: feed, secret: "env:FEED", valid: 30d}
  - {name: login, kind: feed, certificate: "env:IDP", issuer: "` + issuer + `", audience: "` + audience + `", recipient: "` + recipient + `"}
  - {name: okta, kind: scim-push, secret: "env:SCIM"}
  - {name: corp, kind: file, folder: /srv/hr, key: number}
mappings: [{name: builders, from: ["posts:eng"], to: ["group:builders"]}]
`)
	env := session.NewEnv(session.Options{Ledger: p.store, Now: p.clock})
	p.handler = inbox.New(inbox.Options{Env: env, Log: zap.NewNop(), Secret: func(org, ref string) (string, error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.secrets[ref] == "" || org != "acme" {
			return "", fmt.Errorf("there is no %s for %s", ref, org)
		}
		return p.secrets[ref], nil
	}})
	return p
}

func (p *posting) apply(text string) {
	p.t.Helper()
	parsed, err := policy.Parse("acme.yaml", []byte(text))
	require.NoError(p.t, err)
	_, err = p.store.SavePolicy(p.t.Context(), ledger.PolicyVersion{Org: "acme", Hash: parsed.Hash(), Body: parsed.JSON(),
		OrgID: parsed.Organization.ID})
	require.NoError(p.t, err)
}

func (p *posting) clock() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}

func (p *posting) advance(by time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = p.now.Add(by)
}

func (p *posting) set(ref, value string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.secrets[ref] = value
}

// reply is an answer.
type reply struct {
	Status               int
	State, Code, Message string
	header               http.Header
}

func (p *posting) send(r *http.Request) reply {
	p.t.Helper()
	w := httptest.NewRecorder()
	p.handler.ServeHTTP(w, r)
	var got reply
	require.Equal(p.t, "application/json", w.Header().Get("Content-Type"), w.Body.String())
	require.NoError(p.t, json.Unmarshal(w.Body.Bytes(), &got), w.Body.String())
	got.Status, got.header = w.Code, w.Header()
	return got
}

// signed is a post to a path, signed now by a secret.
func (p *posting) signed(path, by string, body []byte) *http.Request {
	r := httptest.NewRequestWithContext(p.t.Context(), http.MethodPost, path, bytes.NewReader(body))
	at := strconv.FormatInt(p.clock().Unix(), 10)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(notify.HeaderTimestamp, at)
	r.Header.Set(notify.HeaderSignature, notify.Sign(by, at, body))
	return r
}

// says is the body of a post about somebody, of a time before now.
func (p *posting) says(key string, ago time.Duration, groups ...string) []byte {
	if groups == nil {
		groups = []string{}
	}
	body, err := json.Marshal(map[string]any{"person": map[string]any{"key": key, "email": key + "@acme.example"},
		"groups": groups, "at": p.clock().Add(-ago)})
	require.NoError(p.t, err)
	return body
}

func (p *posting) post(body []byte) reply {
	p.t.Helper()
	return p.send(p.signed("/feeds/acme/posts", secret, body))
}

// look returns what the ledger has of somebody.
func (p *posting) look(source, key string) ledger.BoundIdentity {
	p.t.Helper()
	found, err := p.store.Identities(p.t.Context(), "acme", []ledger.Ref{{Source: source, Key: key}})
	require.NoError(p.t, err)
	require.Len(p.t, found, 1)
	return found[0]
}

func (p *posting) groups(source, key string) []string {
	p.t.Helper()
	names := []string{}
	for _, g := range p.look(source, key).Groups {
		names = append(names, g.Name)
	}
	return names
}
