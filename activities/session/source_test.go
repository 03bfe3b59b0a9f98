package session

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/policy/provision"
	"github.com/castellan-io/castellan/simulator/idp"
	"github.com/castellan-io/castellan/source"
	"github.com/castellan-io/castellan/source/file"
)

// described is a source of each kind, with what it must have.
func described(kind provision.Kind) provision.Source {
	s := provision.Source{Name: "corp", Kind: kind, URL: "https://idp.acme.example/x", Secret: "file:/secrets/corp"}
	switch kind {
	case provision.LDAP:
		s.URL, s.Base, s.Bind = "ldaps://dc1.acme.example", "DC=acme,DC=example", "cn=reader"
	case provision.File:
		s.Key = "number"
	case provision.Okta:
		s.URL = "https://acme.okta.com"
	case provision.Entra:
		s.URL, s.Tenant, s.ClientID = "", "acme.example", "app"
	case provision.Google:
		s.URL, s.Subject = "", "admin@acme.example"
	case provision.Keycloak:
		s.Realm, s.ClientID = "acme", "castellan"
	}
	return s
}

func newOpener(s provision.Source) *sourceOpener {
	return &sourceOpener{NewEnv(Options{SourceFolders: map[string][]string{"acme": {"/srv/a", "/srv/b"}}}), "acme", s}
}

// settings is all that a reader would be told, as text.
func (o *sourceOpener) settings(t *testing.T) string {
	var options any
	switch o.Kind {
	case provision.LDAP:
		options = o.ldap()
	case provision.File:
		all, err := o.file()
		require.NoError(t, err)
		options = all
	case provision.SCIM:
		options = o.scim()
	case provision.Okta:
		options = o.okta()
	case provision.Entra:
		options = o.entra()
	case provision.Google:
		options = o.google()
	case provision.Keycloak:
		options = o.keycloak()
	}
	return fmt.Sprintf("%+v", options)
}

// TestOpenSourceHonoursEverySetting: each field of a source's description changes what the reader of some kind is told,
// unless it is not the reader's.
func TestOpenSourceHonoursEverySetting(t *testing.T) {
	notTheReaders := []string{"Name", "Kind", "Email", "Every", "Stale", "Link", "People.Scope", "Secret", // see below
		"Valid", "Quiet", "Issuer", "Audience", "Recipient", "Groups.Attribute"} // the inbox's
	var check func(path string, field func(*provision.Source) reflect.Value)
	check = func(path string, field func(*provision.Source) reflect.Value) {
		if slices.Contains(notTheReaders, path) {
			return
		}
		var sample provision.Source
		if kind := field(&sample).Type(); kind.Kind() == reflect.Struct {
			for i := range kind.NumField() {
				check(strings.TrimPrefix(path+"."+kind.Field(i).Name, "."),
					func(s *provision.Source) reflect.Value { return field(s).Field(i) })
			}
			return
		}
		honoured := []provision.Kind{}
		for _, kind := range readKinds() {
			for _, change := range changesOf(field(&sample).Type()) {
				without, with := described(kind), described(kind)
				field(&with).Set(change)
				if newOpener(with).settings(t) != newOpener(without).settings(t) {
					honoured = append(honoured, kind)
				}
			}
		}
		require.NotEmpty(t, honoured, "nobody is told %s", path)
	}
	check("", func(s *provision.Source) reflect.Value { return reflect.ValueOf(s).Elem() })
	enabled := described(provision.LDAP)
	enabled.Enabled = &provision.Enabled{Attribute: "a", Bits: 2, No: []string{"n"}, Yes: []string{"y"}}
	require.Contains(t, newOpener(enabled).settings(t), "Enabled:{Attribute:a Bits:2 Disabled:[n] Enabled:[y]}")
	enabled = described(provision.File)
	enabled.Enabled = &provision.Enabled{Column: "c", No: []string{"n"}, Yes: []string{"y"}}
	require.Contains(t, newOpener(enabled).settings(t), "Enabled:{Column:c Disabled:[n] Enabled:[y]}")
}

// readKinds are the kinds of sources that are read.
func readKinds() []provision.Kind { return slices.DeleteFunc(provision.Kinds(), provision.Kind.Pushed) }

func changesOf(kind reflect.Type) []reflect.Value {
	for _, value := range []any{"/srv/b/x", true, 7, []string{"x"}, policy.Duration(time.Hour),
		map[string]string{"x": ";"}, &provision.Enabled{Attribute: "x", Column: "x", No: []string{"y"}}} {
		if is := reflect.TypeOf(value); is == kind {
			return []reflect.Value{reflect.ValueOf(value)}
		}
	}
	panic("a setting of a new type: " + kind.String())
}

func TestOpenSourceOpensEveryKind(t *testing.T) {
	for _, kind := range readKinds() {
		p := &policy.Policy{Sources: []provision.Source{described(kind)}}
		s := Session{Env: NewEnv(Options{}), Org: "acme", Policy: p}
		opened, err := s.OpenSource("corp")
		require.NoError(t, err, kind)
		again, err := s.OpenSource("corp")
		require.NoError(t, err)
		require.Same(t, opened, again, "it keeps its tokens")
		other := Session{Env: s.Env, Org: "globex", Policy: s.Policy}
		another, err := other.OpenSource("corp")
		require.NoError(t, err)
		require.NotSame(t, opened, another, "which are an organization's own")
		_, err = s.OpenSource("Corp")
		require.ErrorContains(t, err, `has no identity source "Corp"`)
	}
	s := Session{Env: NewEnv(Options{}), Org: "acme", Policy: &policy.Policy{Sources: []provision.Source{{Name: "x", Kind: "y"}}}}
	_, err := s.OpenSource("x")
	var app *temporal.ApplicationError
	require.ErrorAs(t, err, &app)
	require.Equal(t, ErrInvalid, app.Type())
	require.True(t, app.NonRetryable())
}

// TestOpenSourceBindsSecretsToHosts: for each kind, the hosts that the worker is asked about.
func TestOpenSourceBindsSecretsToHosts(t *testing.T) {
	change := func(kind provision.Kind, with func(*provision.Source)) provision.Source {
		s := described(kind)
		with(&s)
		return s
	}
	for name, c := range map[string]struct {
		described provision.Source
		hosts     []string
	}{
		"ldaps":       {described(provision.LDAP), []string{"dc1.acme.example:636"}},
		"ldap":        {change(provision.LDAP, func(s *provision.Source) { s.URL, s.StartTLS = "ldap://DC1", true }), []string{"DC1:389"}},
		"global":      {change(provision.LDAP, func(s *provision.Source) { s.URL = "ldaps://[::1]:3269" }), []string{"[::1]:3269"}},
		"file":        {described(provision.File), []string{"idp.acme.example:443"}},
		"scim":        {described(provision.SCIM), []string{"idp.acme.example:443"}},
		"local":       {change(provision.SCIM, func(s *provision.Source) { s.URL = "http://localhost" }), []string{"localhost:80"}},
		"okta token":  {described(provision.Okta), []string{"acme.okta.com:443"}},
		"okta key":    {change(provision.Okta, func(s *provision.Source) { s.ClientID = "x" }), []string{"acme.okta.com:443"}},
		"entra":       {described(provision.Entra), []string{"graph.microsoft.com:443", "login.microsoftonline.com:443"}},
		"certificate": {change(provision.Entra, func(s *provision.Source) { s.Certificate, s.Secret = s.Secret, "" }), []string{"graph.microsoft.com:443", "login.microsoftonline.com:443"}},
		"entra elsewhere": {change(provision.Entra, func(s *provision.Source) {
			s.URL, s.LoginURL = "https://graph.microsoft.us", "https://login.microsoftonline.us:8443"
		}), []string{"graph.microsoft.us:443", "login.microsoftonline.us:8443"}},
		"google": {described(provision.Google), []string{"admin.googleapis.com:443", "oauth2.googleapis.com:443"}},
		"google elsewhere": {change(provision.Google, func(s *provision.Source) { s.URL = "https://evil.example" }),
			[]string{"evil.example:443", "oauth2.googleapis.com:443"}},
		"keycloak": {described(provision.Keycloak), []string{"idp.acme.example:443"}},
	} {
		t.Run(name, func(t *testing.T) {
			var asked []string
			env := NewEnv(Options{SourceSecret: func(org, ref string, hosts ...string) (string, error) {
				require.Equal(t, "acme", org)
				require.Equal(t, "file:/secrets/corp", ref)
				asked = hosts
				return "", errors.New("nobody may have it")
			}})
			opened, err := (&sourceOpener{env, "acme", c.described}).open()
			require.NoError(t, err)
			require.Empty(t, asked, "a secret is read when it is sent")
			if c.described.Kind == provision.LDAP { // connects first
				o := sourceOpener{env, "acme", c.described}
				_, err = o.ldap().Password(t.Context())
			} else {
				_, err = opened.Read(t.Context(), func(source.Page) error { return nil })
			}
			require.ErrorIs(t, err, source.ErrInvalid)
			require.ErrorContains(t, err, "nobody may have it")
			require.Equal(t, c.hosts, asked)
		})
	}
	anonymous := described(provision.LDAP)
	anonymous.Bind, anonymous.Secret = "", ""
	_, err := newOpener(anonymous).open()
	require.NoError(t, err)
	opened, err := newOpener(described(provision.SCIM)).open()
	require.NoError(t, err)
	_, err = opened.Read(t.Context(), func(source.Page) error { return nil })
	require.ErrorContains(t, err, "this worker has no secrets for sources")
}

var privateKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// TestOpenSourceReadsOverTLS reads fakes of providers whose certificate only the worker's settings trust, with the
// secrets that these have for the hosts asked about.
func TestOpenSourceReadsOverTLS(t *testing.T) {
	key := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(privateKey())})
	account, err := json.Marshal(map[string]string{"type": "service_account", "client_email": idp.DefaultClientID,
		"private_key_id": "k1", "private_key": string(key)})
	require.NoError(t, err)
	for kind, c := range map[provision.Kind]struct {
		handler func(*idp.Directory) http.Handler
		secret  string
		with    func(*provision.Source, string)
	}{
		provision.Okta: {(*idp.Directory).Okta, idp.DefaultToken, func(*provision.Source, string) {}},
		provision.Entra: {(*idp.Directory).Graph, idp.DefaultClientSecret, func(s *provision.Source, url string) {
			s.ClientID, s.LoginURL = idp.DefaultClientID, url
		}},
		provision.Google: {(*idp.Directory).Google, string(account), func(s *provision.Source, url string) {
			s.LoginURL = url + "/token"
		}},
	} {
		t.Run(string(kind), func(t *testing.T) {
			people := idp.New(idp.Options{Key: &privateKey().PublicKey})
			people.Generate(3, 2)
			server := httptest.NewTLSServer(c.handler(people))
			defer server.Close()
			trusted := x509.NewCertPool()
			trusted.AddCert(server.Certificate())
			host := strings.TrimPrefix(server.URL, "https://")
			s := described(kind)
			s.URL = server.URL
			c.with(&s, server.URL)
			secret := func(_, _ string, hosts ...string) (string, error) {
				for _, asked := range hosts {
					if asked != host {
						return "", errors.New("not to " + asked)
					}
				}
				return c.secret, nil
			}
			read := func(cas *x509.CertPool) (source.Proof, error) {
				o := &sourceOpener{NewEnv(Options{SourceSecret: secret, SourceCAs: cas}), "acme", s}
				opened, err := o.open()
				require.NoError(t, err)
				return opened.Read(t.Context(), func(source.Page) error { return nil })
			}
			proof, err := read(trusted)
			require.NoError(t, err)
			require.Equal(t, 3, proof.People)
			_, err = read(nil)
			require.ErrorContains(t, err, "certificate")
		})
	}
}

func TestOpenSourceReadsAllowedFoldersOnly(t *testing.T) {
	dir := t.TempDir()
	export := filepath.Join(dir, "hr", "today")
	require.NoError(t, os.MkdirAll(export, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(export, "people.csv"), []byte("number,email\n7,ana@acme.example\n"), 0o600))
	_, err := file.WriteManifest(export, time.Now())
	require.NoError(t, err)
	env := NewEnv(Options{SourceFolders: map[string][]string{"acme": {"/srv", filepath.Join(dir, "hr")}, "globex": {"/srv"}}})
	read := func(org, folder string) error {
		s := provision.Source{Name: "corp", Kind: provision.File, Folder: folder, Key: "number"}
		opened, err := (&sourceOpener{env, org, s}).open()
		if err == nil {
			_, err = opened.Read(t.Context(), func(source.Page) error { return nil })
		}
		return err
	}
	require.NoError(t, read("acme", export))
	for org, folders := range map[string][]string{"globex": {export}, "other": {export},
		"acme": {dir, dir + "/hr/../hr2", dir + "/hr2", "/", "/srvice"}} {
		for _, folder := range folders {
			err := read(org, folder)
			require.ErrorIs(t, err, source.ErrInvalid)
			require.ErrorContains(t, err, "CASTELLAN_SOURCE_FOLDERS, after a comma if there is more: "+org+"="+folder)
		}
	}
	require.NoError(t, os.Symlink(dir, filepath.Join(dir, "hr", "out")))
	require.Error(t, read("acme", filepath.Join(dir, "hr", "out", "hr", "today")))
}

func TestSourceErrorsAreExplained(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		kind  string
		stops bool
	}{
		"unauthorized":  {source.ErrUnauthorized, ErrKeyRefused, true},
		"forbidden":     {source.ErrForbidden, ErrForbidden, true},
		"invalid":       {source.ErrInvalid, ErrInvalid, true},
		"rate limited":  {source.ErrRateLimited, ErrRateLimited, false},
		"unavailable":   {source.ErrUnavailable, ErrUnavailable, false},
		"incomplete":    {source.ErrIncomplete, ErrEvidence, false},
		"malformed":     {source.ErrMalformed, ErrEvidence, false},
		"another":       {errors.New("disk full"), ErrUnavailable, false},
		"took too long": {fmt.Errorf("given up by the caller: %w", context.DeadlineExceeded), ErrUnavailable, false},
	} {
		t.Run(name, func(t *testing.T) {
			err := WrapSourceError("read corp", fmt.Errorf("page 3: %w", c.err))
			var app *temporal.ApplicationError
			require.ErrorAs(t, err, &app)
			require.Equal(t, c.kind, app.Type())
			require.Equal(t, c.stops, app.NonRetryable())
			require.Contains(t, app.Message(), "read corp: page 3: ")
			require.Equal(t, err, WrapSourceError("again", err), "once")
		})
	}
	require.NoError(t, WrapSourceError("read corp", nil))
	cancelled := fmt.Errorf("ldap: %w", context.Canceled)
	require.Equal(t, cancelled, WrapSourceError("read corp", cancelled), "a cancelled activity is no failure")
	var app *temporal.ApplicationError
	require.ErrorAs(t, WrapSourceError("x", asks(time.Minute)), &app)
	require.Equal(t, time.Minute, app.NextRetryDelay())
	require.ErrorAs(t, WrapSourceError("x", source.ErrRateLimited), &app)
	require.Equal(t, sourcePause, app.NextRetryDelay())
}

// asks is an error of a provider that asks for a pause.
type asks time.Duration

func (a asks) Error() string        { return "slower" }
func (a asks) Unwrap() error        { return source.ErrRateLimited }
func (a asks) Pause() time.Duration { return time.Duration(a) }

// TestBoundTrustsSourcesThatAreNotDoubted: conditions ask a source once it was read completely, for as long as
// that is lately enough.
func TestBoundTrustsSourcesThatAreNotDoubted(t *testing.T) {
	store, err := ledger.Open(t.Context(), "file:"+filepath.Join(t.TempDir(), "ledger.db"))
	require.NoError(t, err)
	defer func() { _ = store.Close() }()
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	p, err := policy.Parse("acme.yaml", []byte(`
version: 1
organization: {name: acme, id: a1, key: "env:A"}
sources: [{name: corp, kind: file, folder: /srv/hr, key: number, stale: 1h}]
mappings: [{name: m, from: [sales], to: ["group:jira"]}]
rules: [{name: r, when: identified("corp"), notify: [o@acme.example]}]
`))
	require.NoError(t, err)
	ana := []access.Person{{ID: "ana", GroupIDs: []string{}}}
	answer := func(at time.Time) policy.RuleAnswer {
		s := Session{Env: NewEnv(Options{Ledger: store, Now: func() time.Time { return at }}), Org: "acme", Policy: p}
		require.NoError(t, s.askSources(t.Context()))
		require.NoError(t, s.AddIdentities(t.Context(), ana))
		known := policy.Known{Now: at, All: true}
		return s.Bound(RunOutline{}).Resolve(ana[0], known).Rules[0]
	}
	read := func(suspect string) {
		number, err := store.BeginSourceRead(t.Context(), "acme", "corp", now)
		require.NoError(t, err)
		require.NoError(t, store.EndSourceRead(t.Context(), "acme", "corp", number, ledger.End{Suspect: suspect}, now))
	}
	require.Contains(t, answer(now).Why, "never read completely")
	read("")
	require.Equal(t, policy.VerdictNo, answer(now.Add(time.Hour)).Verdict, "nobody there is this person")
	require.Contains(t, answer(now.Add(2*time.Hour)).Why, "more than 1h ago")
	read("it lost half of its people")
	require.Contains(t, answer(now).Why, "it lost half of its people")
}
