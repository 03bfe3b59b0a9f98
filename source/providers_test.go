package source_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/simulator/idp"
	"github.com/castellan-io/castellan/source"
	"github.com/castellan-io/castellan/source/entra"
	"github.com/castellan-io/castellan/source/google"
	"github.com/castellan-io/castellan/source/keycloak"
	"github.com/castellan-io/castellan/source/okta"
)

// key is made once, because that takes a while.
var key = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// keyPEM is the key with a certificate.
var keyPEM = sync.OnceValue(func() string {
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key().PublicKey, key())
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})) +
		string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key())}))
})

func give(value string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return value, nil }
}

// settings are what the tests change about a reader.
type settings struct {
	groups   []string
	nested   bool
	pageSize int
	wrongKey bool
	http     *http.Client
}

// provider is one kind of source, with the fake that it reads.
type provider struct {
	name     string
	handler  func(*idp.Directory) http.Handler
	open     func(t *testing.T, url string, s settings) source.Source
	token    string // of paths, as are those below
	users    string
	groups   string
	members  string
	declares bool // says how many people there are
	nests    bool
	people   int // on the largest page
	links    bool
}

func noSleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

func secretOf(s settings, right string) func(context.Context) (string, error) {
	if s.wrongKey {
		return give("wrong-secret")
	}
	return give(right)
}

func serviceAccount() string {
	file, err := json.Marshal(map[string]string{"type": "service_account", "client_email": idp.DefaultClientID,
		"private_key_id": "k1", "private_key": keyPEM(), "token_uri": "https://evil.example/token"})
	if err != nil {
		panic(err)
	}
	return string(file)
}

var providers = []provider{
	{name: "okta", handler: (*idp.Directory).Okta, users: "/api/v1/users", groups: "/api/v1/groups", members: "/users",
		people: 200, links: true,
		open: func(t *testing.T, url string, s settings) source.Source {
			r, err := okta.New(okta.Options{URL: url, Token: secretOf(s, idp.DefaultToken), Groups: s.groups,
				PageSize: s.pageSize, Events: true, Sleep: noSleep, HTTP: s.http})
			require.NoError(t, err)
			return r
		}},
	{name: "okta by a service app", handler: (*idp.Directory).Okta, token: "/oauth2/v1/token", users: "/api/v1/users",
		groups: "/api/v1/groups", members: "/users", people: 200, links: true,
		open: func(t *testing.T, url string, s settings) source.Source {
			r, err := okta.New(okta.Options{URL: url, ClientID: idp.DefaultClientID, KeyID: "k1",
				Key: secretOf(s, keyPEM()), Groups: s.groups, PageSize: s.pageSize, Sleep: noSleep, HTTP: s.http})
			require.NoError(t, err)
			return r
		}},
	{name: "entra", handler: (*idp.Directory).Graph, token: "/acme.example/oauth2/v2.0/token", users: "/v1.0/users",
		groups: "/v1.0/groups", members: "embers/microsoft.graph.user", declares: true, nests: true, people: 999,
		links: true,
		open: func(t *testing.T, url string, s settings) source.Source {
			r, err := entra.New(entra.Options{Tenant: "acme.example", ClientID: idp.DefaultClientID, URL: url,
				LoginURL: url,
				Secret:   secretOf(s, idp.DefaultClientSecret), Groups: s.groups, Nested: s.nested,
				PageSize: s.pageSize, Sleep: noSleep, HTTP: s.http})
			require.NoError(t, err)
			return r
		}},
	{name: "entra by a certificate", handler: (*idp.Directory).Graph, token: "/acme.example/oauth2/v2.0/token",
		users: "/v1.0/users", groups: "/v1.0/groups", members: "embers/microsoft.graph.user", declares: true,
		nests:  true,
		people: 999, links: true,
		open: func(t *testing.T, url string, s settings) source.Source {
			r, err := entra.New(entra.Options{Tenant: "acme.example", ClientID: idp.DefaultClientID, URL: url,
				LoginURL:    url,
				Certificate: secretOf(s, keyPEM()), Groups: s.groups, Nested: s.nested, PageSize: s.pageSize,
				Sleep: noSleep, HTTP: s.http})
			require.NoError(t, err)
			return r
		}},
	{name: "google", handler: (*idp.Directory).Google, token: "/token", users: "/admin/directory/v1/users",
		groups: "/admin/directory/v1/groups", members: "/members", nests: true, people: 500,
		open: func(t *testing.T, url string, s settings) source.Source {
			r, err := google.New(google.Options{Key: secretOf(s, serviceAccount()), Subject: "admin@acme.example",
				URL:      url,
				TokenURL: url + "/token", Groups: s.groups, Nested: s.nested, PageSize: s.pageSize, Sleep: noSleep,
				HTTP: s.http})
			require.NoError(t, err)
			return r
		}},
	{name: "keycloak", handler: func(d *idp.Directory) http.Handler { return d.Keycloak("acme") },
		token: "/realms/acme/protocol/openid-connect/token", users: "/admin/realms/acme/users",
		groups: "/admin/realms/acme/groups", members: "/members", declares: true, nests: true, people: 1000,
		open: func(t *testing.T, url string, s settings) source.Source {
			r, err := keycloak.New(keycloak.Options{URL: url, Realm: "acme", ClientID: idp.DefaultClientID,
				Secret: secretOf(s, idp.DefaultClientSecret), Groups: s.groups, Nested: s.nested, PageSize: s.pageSize,
				Sleep: noSleep, HTTP: s.http})
			require.NoError(t, err)
			return r
		}},
}

// each runs a test for each provider, with a directory of its own.
func each(t *testing.T, test func(t *testing.T, p provider, d *idp.Directory, url string)) {
	for _, p := range providers {
		t.Run(p.name, func(t *testing.T) {
			d := idp.New(idp.Options{Key: &key().PublicKey})
			server := httptest.NewServer(p.handler(d))
			t.Cleanup(server.Close)
			test(t, p, d, server.URL)
		})
	}
}

// seen is what a read showed.
type seen struct {
	people map[string]source.Identity
	groups map[string]source.Group // by name
	proof  source.Proof
}

func read(ctx context.Context, s source.Source) (seen, error) {
	all := seen{people: map[string]source.Identity{}, groups: map[string]source.Group{}}
	proof, err := s.Read(ctx, func(p source.Page) error {
		for _, person := range p.People {
			if _, twice := all.people[person.Key]; twice {
				return fmt.Errorf("%s was shown twice", person.Key)
			}
			all.people[person.Key] = person
		}
		for _, g := range p.Groups {
			all.groups[strings.TrimSuffix(g.Name, "@acme.example")] = g
		}
		return nil
	})
	all.proof = proof
	if err != nil && !reflect.ValueOf(proof).IsZero() {
		return all, errors.New("an error, and a proof with it")
	}
	return all, err
}

func TestProvidersShowEverybody(t *testing.T) {
	each(t, func(t *testing.T, p provider, d *idp.Directory, url string) {
		d.Generate(25, 0, 1, 12)
		d.SetStatus("00000000-0000-4000-8000-000000000003", idp.Suspended)
		d.SetStatus("00000000-0000-4000-8000-000000000004", idp.Deprovisioned)
		d.SetStatus("00000000-0000-4000-8000-000000000005", idp.Locked)
		d.Delete("00000000-0000-4000-8000-000000000006")
		d.AddGroup(idp.Group{ID: "other", Name: "other", Email: "other@acme.example"})
		for _, size := range []int{0, 5, 7} {
			got, err := read(t.Context(), p.open(t, url, settings{groups: []string{"ATL-*"}, pageSize: size}))
			require.NoError(t, err)
			require.Len(t, got.people, 24)
			require.NotContains(t, got.people, "00000000-0000-4000-8000-000000000006")
			for i, enabled := range []bool{true, true, true, false, false, true} {
				person := got.people[fmt.Sprintf("00000000-0000-4000-8000-%012d", i)]
				require.NotNil(t, person.Enabled)
				require.Equal(t, enabled, *person.Enabled, i)
			}
			require.Equal(t, []string{"atl-group-0", "atl-group-1", "atl-group-2"},
				slices.Sorted(maps.Keys(got.groups)))
			require.Empty(t, got.groups["atl-group-0"].Members)
			require.Equal(t, []string{"00000000-0000-4000-8000-000000000001"}, got.groups["atl-group-1"].Members)
			members := got.groups["atl-group-2"].Members
			require.Len(t, members, 11)
			require.True(t, slices.IsSorted(members))
			require.Equal(t, p.declares, got.proof.Declared != nil)
			require.NotEmpty(t, got.proof.As)
			require.Equal(t, []int{24, 3, 12}, []int{got.proof.People, got.proof.Groups, got.proof.Memberships})
		}
	})
}

func TestProvidersTellWhoReadsWhat(t *testing.T) {
	each(t, func(t *testing.T, p provider, d *idp.Directory, url string) {
		d.Generate(5, 1)
		first, err := read(t.Context(), p.open(t, url, settings{}))
		require.NoError(t, err)
		again, err := read(t.Context(), p.open(t, url, settings{pageSize: 2}))
		require.NoError(t, err)
		require.Equal(t, first, again)
		narrow, err := read(t.Context(), p.open(t, url, settings{groups: []string{"x"}}))
		require.NoError(t, err)
		require.NotEqual(t, first.proof.As, narrow.proof.As)
	})
}

func TestProvidersFollowGroupsInGroups(t *testing.T) {
	each(t, func(t *testing.T, p provider, d *idp.Directory, url string) {
		if !p.nests {
			t.Skip("it has no groups in groups")
		}
		d.Generate(5)
		id := func(i int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", i) }
		for i, g := range []idp.Group{{Name: "top", Groups: []string{"g1", "g2"}}, {Name: "middle",
			Groups: []string{"g3"}},
			{Name: "empty"}, {Name: "low", People: []string{id(3), id(1)}}} {
			g.ID, g.Email = fmt.Sprintf("g%d", i), g.Name+"@acme.example"
			if i < 2 {
				g.People = []string{id(i), id(1)}
			}
			d.AddGroup(g)
		}
		names := map[string]string{"top": "top", "middle": "middle", "low": "low"}
		if p.name == "keycloak" {
			names = map[string]string{"top": "top", "middle": "top/middle", "low": "top/middle/low"}
		}
		direct, err := read(t.Context(), p.open(t, url, settings{}))
		require.NoError(t, err)
		require.Len(t, direct.groups, 4)
		require.Equal(t, []string{id(0), id(1)}, direct.groups[names["top"]].Members)
		require.Equal(t, []string{id(1)}, direct.groups[names["middle"]].Members)

		globs := []string{"top", names["middle"]}
		if p.name == "google" {
			globs = []string{"top@acme.example", "middle@*"}
		}
		nested, err := read(t.Context(), p.open(t, url, settings{nested: true, groups: globs}))
		require.NoError(t, err)
		require.Len(t, nested.groups, 2)
		require.Equal(t, []string{id(0), id(1), id(3)}, nested.groups[names["top"]].Members)
		require.Equal(t, []string{id(1), id(3)}, nested.groups[names["middle"]].Members)
		require.NotEqual(t, direct.proof.As, nested.proof.As)
	})
}

func TestProvidersLookUpOnePerson(t *testing.T) {
	each(t, func(t *testing.T, p provider, d *idp.Directory, url string) {
		d.Generate(3)
		s := p.open(t, url, settings{})
		all, err := read(t.Context(), s)
		require.NoError(t, err)
		one := "00000000-0000-4000-8000-000000000001"
		got, err := s.Lookup(t.Context(), one)
		require.NoError(t, err)
		require.Equal(t, all.people[one], got)

		_, err = s.Lookup(t.Context(), "person000001@acme.example")
		require.Error(t, err)
		if p.name != "keycloak" { // the others find people by their names too
			require.NotErrorIs(t, err, source.ErrGone)
		}
		for _, bad := range []string{"", ".", "..", strings.Repeat("x", 256)} {
			_, err = s.Lookup(t.Context(), bad)
			require.ErrorIs(t, err, source.ErrInvalid)
		}
		_, err = s.Lookup(t.Context(), "never/there?")
		require.ErrorIs(t, err, source.ErrGone)
		d.Delete(one)
		_, err = s.Lookup(t.Context(), one)
		require.ErrorIs(t, err, source.ErrGone)
		d.Purge(one)
		_, err = s.Lookup(t.Context(), one)
		require.ErrorIs(t, err, source.ErrGone)
	})
}

// TestProvidersNeverCallAnybodyGoneOnBadEvidence: whatever goes wrong with a look-up, it is not known.
func TestProvidersNeverCallAnybodyGoneOnBadEvidence(t *testing.T) {
	faults := map[string]idp.Fault{
		"web page":        {Status: 404, Header: map[string]string{"Content-Type": "text/html"}, Body: "<html>"},
		"another's 404":   {Status: 404, Body: "404 page not found"},
		"another's words": {Status: 404, Body: `{"error":"Realm not found.","errorCode":"E0000022"}`},
		"empty 404":       {Status: 404},
		"410":             {Status: 410, Body: `{}`},
		"500":             {Status: 500, Body: `{}`},
		"empty object":    {Status: 200, Body: `{}`},
		"null":            {Status: 200, Body: `null`},
		"cut":             {Cut: true},
	}
	each(t, func(t *testing.T, p provider, d *idp.Directory, url string) {
		d.Generate(3)
		for name, fault := range faults {
			fault.Path, fault.Times = "/00000000-0000-4000-8000-000000000001", 1
			d.Break(fault)
			_, err := p.open(t, url, settings{}).Lookup(t.Context(), "00000000-0000-4000-8000-000000000001")
			require.Error(t, err, name)
			require.NotErrorIs(t, err, source.ErrGone, name)
			d.Mend()
		}
	})
}

// TestProvidersReadAllOrFail breaks one call of a read at a time.
func TestProvidersReadAllOrFail(t *testing.T) {
	html := map[string]string{"Content-Type": "text/html"}
	faults := map[string]struct {
		fault idp.Fault
		kinds []error
	}{
		"401": {idp.Fault{Status: 401, Body: `{}`}, []error{source.ErrUnauthorized}},
		"403": {idp.Fault{Status: 403, Body: `{}`}, []error{source.ErrForbidden}},
		"404": {idp.Fault{Status: 404, Body: `{}`}, []error{source.ErrInvalid, source.ErrMalformed}},
		"429": {idp.Fault{Status: 429, Header: map[string]string{"Retry-After": "1"}},
			[]error{source.ErrRateLimited}},
		"500":        {idp.Fault{Status: 500, Body: `{}`}, []error{source.ErrUnavailable}},
		"503":        {idp.Fault{Status: 503}, []error{source.ErrUnavailable}},
		"204":        {idp.Fault{Status: 204}, []error{source.ErrMalformed}},
		"cut":        {idp.Fault{Cut: true}, []error{source.ErrUnavailable}},
		"half":       {idp.Fault{Status: 200, Body: `[{"id":"a"`}, []error{source.ErrMalformed}},
		"web page":   {idp.Fault{Status: 200, Header: html, Body: "<html>"}, []error{source.ErrMalformed}},
		"other JSON": {idp.Fault{Status: 200, Body: `{"error":"x"}`}, []error{source.ErrMalformed}},
		"repeat":     {idp.Fault{Repeat: true}, []error{source.ErrMalformed, source.ErrIncomplete}},
	}
	each(t, func(t *testing.T, p provider, d *idp.Directory, url string) {
		d.Generate(12, 3, 12)
		s := p.open(t, url, settings{pageSize: 5})
		for name, test := range faults {
			for place, after := range map[string]int{p.users: 1, p.groups: 0, p.members: 1} {
				fault := test.fault
				fault.Path, fault.After = place, after
				if name == "repeat" && place != p.users {
					continue // small lists have one page
				}
				d.Break(fault)
				_, err := read(t.Context(), s)
				require.Error(t, err, "%s %s", name, place)
				require.True(t, slices.ContainsFunc(test.kinds, func(kind error) bool { return errors.Is(err, kind) }),
					"%s %s: %v", name, place, err)
				d.Mend()
			}
		}
		_, err := read(t.Context(), p.open(t, url, settings{pageSize: 5}))
		require.NoError(t, err)
	})
}

// TestProvidersReadAllOrFailAtEachCall spoils each call of a read in turn, the token's included: what comes of it is an
// error, or everybody.
func TestProvidersReadAllOrFailAtEachCall(t *testing.T) {
	faults := map[string]idp.Fault{"500": {Status: 500}, "cut": {Cut: true}, "null": {Body: `null`},
		"empty": {Body: `{}`}, "list of nothing": {Body: `[{}]`}, "text": {Body: `"ok"`}}
	each(t, func(t *testing.T, p provider, d *idp.Directory, url string) {
		d.Generate(7, 2, 3)
		open := func() source.Source { return p.open(t, url, settings{pageSize: 3, groups: []string{"atl-*"}}) }
		want, err := read(t.Context(), open())
		require.NoError(t, err)
		calls := len(d.Calls())
		for name, fault := range faults {
			for call := range calls {
				fault.After, fault.Times = call, 1
				d.Break(fault)
				got, err := read(t.Context(), open())
				d.Mend()
				if err == nil {
					require.Equal(t, want, got, "%s, call %d", name, call)
				}
			}
		}
	})
}

func TestProvidersGoOnAfterAPause(t *testing.T) {
	each(t, func(t *testing.T, p provider, d *idp.Directory, url string) {
		d.Generate(25, 3)
		d.Break(idp.Fault{Path: p.users, After: 1, Times: 2, Status: 429})
		got, err := read(t.Context(), p.open(t, url, settings{pageSize: 5}))
		require.NoError(t, err)
		require.Len(t, got.people, 25)
	})
}

func TestProvidersSendSecretsToTheirOwnHostOnly(t *testing.T) {
	each(t, func(t *testing.T, p provider, d *idp.Directory, url string) {
		if !p.links {
			t.Skip("its answers hold no links")
		}
		d.Generate(25, 3)
		asked := 0
		other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
		defer other.Close()
		d.Break(idp.Fault{Path: p.users, Host: strings.TrimPrefix(other.URL, "http://")})
		_, err := read(t.Context(), p.open(t, url, settings{pageSize: 5}))
		require.ErrorIs(t, err, source.ErrMalformed)
		require.ErrorContains(t, err, "another host")
		d.Mend()
		d.Break(idp.Fault{Status: 307, Header: map[string]string{"Location": other.URL + "/"}})
		_, err = read(t.Context(), p.open(t, url, settings{}))
		require.ErrorIs(t, err, source.ErrMalformed)
		require.Zero(t, asked)
	})
}

func TestProvidersRefuseAWrongSecretWithoutRepeatingIt(t *testing.T) {
	each(t, func(t *testing.T, p provider, d *idp.Directory, url string) {
		d.Generate(2)
		_, err := read(t.Context(), p.open(t, url, settings{wrongKey: true}))
		require.Error(t, err)
		require.True(t, errors.Is(err, source.ErrUnauthorized) || errors.Is(err, source.ErrInvalid), err)
		require.NotContains(t, err.Error(), "wrong-secret")
		if p.token == "" {
			return
		}
		d.Break(idp.Fault{Path: p.token, Status: 400, Body: `{"error":"invalid_scope","error_description":"no"}`})
		_, err = read(t.Context(), p.open(t, url, settings{}))
		require.ErrorIs(t, err, source.ErrForbidden)
	})
}

func TestProvidersAskForATokenAgain(t *testing.T) {
	each(t, func(t *testing.T, p provider, d *idp.Directory, url string) {
		if p.token == "" {
			t.Skip("its token is not given out")
		}
		d.Generate(25)
		d.Break(idp.Fault{Path: p.users, After: 2, Times: 1, Do: d.Revoke})
		got, err := read(t.Context(), p.open(t, url, settings{pageSize: 5}))
		require.NoError(t, err)
		require.Len(t, got.people, 25)
	})
}

func TestProvidersStopWithTheirCaller(t *testing.T) {
	each(t, func(t *testing.T, p provider, d *idp.Directory, url string) {
		d.Generate(25, 3, 3)
		for _, place := range []string{p.users, p.members} {
			ctx, cancel := context.WithCancel(t.Context())
			d.Break(idp.Fault{Path: place, Do: cancel, Delay: 3 * time.Second})
			_, err := read(ctx, p.open(t, url, settings{pageSize: 5}))
			require.ErrorIs(t, err, context.Canceled)
			d.Mend()
		}
		full := errors.New("full")
		proof, err := p.open(t, url, settings{}).Read(t.Context(), func(source.Page) error { return full })
		require.ErrorIs(t, err, full)
		require.Zero(t, proof)
	})
}

func TestProvidersNoticeThatSomebodyIsLeftOut(t *testing.T) {
	each(t, func(t *testing.T, p provider, d *idp.Directory, url string) {
		if !p.declares {
			t.Skip("it does not say how many people there are")
		}
		d.Generate(25)
		d.Break(idp.Fault{Path: p.users, After: 1, Times: 1, Short: true})
		_, err := read(t.Context(), p.open(t, url, settings{pageSize: 5}))
		if p.name == "keycloak" { // lists them again
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, source.ErrIncomplete)
		}
		d.Mend()
		d.Break(idp.Fault{Path: p.users, Short: true})
		_, err = read(t.Context(), p.open(t, url, settings{pageSize: 5}))
		require.ErrorIs(t, err, source.ErrIncomplete)
	})
}

func TestProvidersTakeNobodyForAFault(t *testing.T) {
	each(t, func(t *testing.T, p provider, _ *idp.Directory, url string) {
		_, err := read(t.Context(), p.open(t, url, settings{}))
		require.ErrorIs(t, err, source.ErrIncomplete)
		require.ErrorContains(t, err, "nobody at all")
	})
}

func TestProvidersNoticeThatAGroupGoesMeanwhile(t *testing.T) {
	each(t, func(t *testing.T, p provider, d *idp.Directory, url string) {
		d.Generate(5, 1, 1, 1)
		gone := sync.OnceFunc(func() {
			for i := range 3 {
				d.DeleteGroup(fmt.Sprintf("00000000-0000-4000-9000-%012d", i))
			}
		})
		d.Break(idp.Fault{Path: p.members, Do: gone})
		if p.members == "/users" { // as the path of everybody
			d.Mend()
			d.Break(idp.Fault{Path: "4000-9000", Do: gone})
		}
		_, err := read(t.Context(), p.open(t, url, settings{}))
		require.ErrorIs(t, err, source.ErrIncomplete)
	})
}

// TestProvidersChanges: those that watch name who and what changed, once each.
func TestProvidersChanges(t *testing.T) {
	each(t, func(t *testing.T, p provider, d *idp.Directory, url string) {
		s, watches := p.open(t, url, settings{}).(source.Watcher)
		if !watches {
			t.Skip("it does not watch")
		}
		d.Generate(150, 1)
		changes, cursor, err := s.Changes(t.Context(), "")
		require.NoError(t, err)
		require.Zero(t, changes)
		d.SetStatus("00000000-0000-4000-8000-000000000007", idp.Suspended)
		d.SetStatus("00000000-0000-4000-8000-000000000007", idp.Active)
		d.SetMembers("00000000-0000-4000-9000-000000000000", "00000000-0000-4000-8000-000000000003")
		changes, next, err := s.Changes(t.Context(), cursor)
		require.NoError(t, err)
		require.False(t, changes.All)
		require.Contains(t, changes.People, "00000000-0000-4000-8000-000000000007")
		require.Contains(t, changes.Groups, "00000000-0000-4000-9000-000000000000")
		people := slices.Clone(changes.People)
		slices.Sort(people)
		require.Len(t, slices.Compact(people), len(changes.People))
		require.NotEmpty(t, next)
		_, _, err = s.Changes(t.Context(), "rubbish")
		require.ErrorIs(t, err, source.ErrInvalid)
	})
}
