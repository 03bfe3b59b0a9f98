package google_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/simulator/idp"
	"github.com/castellan-io/castellan/source"
	"github.com/castellan-io/castellan/source/google"
)

var private = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func give(value string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return value, nil }
}

func serviceAccount(t *testing.T) string {
	t.Helper()
	file, err := json.Marshal(map[string]string{"type": "service_account", "client_email": idp.DefaultClientID,
		"token_uri": "https://evil.example/token", "private_key": string(pem.EncodeToMemory(&pem.Block{
			Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(private())}))})
	require.NoError(t, err)
	return string(file)
}

func newDirectory() *idp.Directory { return idp.New(idp.Options{Key: &private().PublicKey}) }

func open(t *testing.T, d *idp.Directory, adjust func(*google.Options)) *google.Reader {
	t.Helper()
	server := httptest.NewServer(d.Google())
	t.Cleanup(server.Close)
	options := google.Options{URL: server.URL, TokenURL: server.URL + "/token", Subject: "admin@acme.example",
		Key:   give(serviceAccount(t)),
		Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }}
	if adjust != nil {
		adjust(&options)
	}
	reader, err := google.New(options)
	require.NoError(t, err)
	return reader
}

func ignore(source.Page) error { return nil }

func TestNewChecksItsOptions(t *testing.T) {
	key := give("k")
	for name, o := range map[string]google.Options{
		"no key":      {Subject: "a@b"},
		"no subject":  {Key: key},
		"plain":       {Key: key, Subject: "a@b", URL: "http://admin.example"},
		"plain token": {Key: key, Subject: "a@b", TokenURL: "http://token.example"},
		"page":        {Key: key, Subject: "a@b", PageSize: 501},
		"group":       {Key: key, Subject: "a@b", Groups: []string{""}},
	} {
		_, err := google.New(o)
		require.ErrorIs(t, err, source.ErrInvalid, name)
	}
	_, err := google.New(google.Options{Key: key, Subject: "a@b"})
	require.NoError(t, err)
}

func TestReaderRefusesOtherKeysWithoutRepeatingThem(t *testing.T) {
	for _, key := range []string{"s3cret", `{"type":"authorized_user","client_email":"a","private_key":"s3cret"}`,
		`{"type":"service_account","client_email":"a","private_key":"s3cret"}`} {
		_, err := open(t, newDirectory(), func(o *google.Options) { o.Key = give(key) }).Lookup(t.Context(), "a")
		require.ErrorIs(t, err, source.ErrInvalid)
		require.NotContains(t, err.Error(), "s3cret")
	}
}

func TestReaderTakesAttributes(t *testing.T) {
	d := newDirectory()
	d.Break(idp.Fault{Path: "/users/", Body: `{"id":"a","kind":"k","etag":"e","primaryEmail":"a@x","suspended":false,
		"archived":true,"lastLoginTime":"t","password":"p","recoveryPhone":"1","customSchemas":{"S":{"f":"v","n":null}},
		"emails":[{"address":"b@x"},{"address":"a@x","primary":true}]}`})
	got, err := open(t, d, nil).Lookup(t.Context(), "a")
	require.NoError(t, err)
	require.False(t, *got.Enabled, "archived")
	require.Equal(t, map[string]any{"primaryEmail": "a@x", "suspended": false, "archived": true,
		"customSchemas": map[string]any{"S": map[string]any{"f": "v"}},
		"emails":        []any{map[string]any{"address": "b@x"}, map[string]any{"address": "a@x", "primary": true}}},
		got.Attributes)
}

func TestReaderAsksForTheRightToSeeWhoIsSuspended(t *testing.T) {
	d := newDirectory()
	d.Break(idp.Fault{Path: "/users", Body: `{"kind":"admin#directory#users","users":[{"id":"a"}]}`})
	_, err := open(t, d, nil).Read(t.Context(), ignore)
	require.ErrorIs(t, err, source.ErrForbidden)
}

// TestLookupBelieves412OnlyOfTheDeleted: Google answers it for accounts that are being made as well.
func TestLookupBelieves412OnlyOfTheDeleted(t *testing.T) {
	d := newDirectory()
	d.Generate(3)
	d.Delete("00000000-0000-4000-8000-000000000002")
	d.Break(idp.Fault{Path: "000000000001", Status: 412,
		Body: `{"error":{"message":"User creation is not complete.","errors":[{"reason":"conditionNotMet"}]}}`})
	_, err := open(t, d, nil).Lookup(t.Context(), "00000000-0000-4000-8000-000000000001")
	require.ErrorIs(t, err, source.ErrUnavailable)
	require.NotErrorIs(t, err, source.ErrGone)
	_, err = open(t, d, nil).Lookup(t.Context(), "00000000-0000-4000-8000-000000000002")
	require.ErrorIs(t, err, source.ErrGone)
	require.ErrorContains(t, err, "deleted at")
}

func TestReaderTakes403ForARateLimitWhereItIsOne(t *testing.T) {
	d := newDirectory()
	d.Generate(3)
	for _, reason := range []string{"rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded"} {
		body := `{"error":{"message":"slow","errors":[{"reason":"` + reason + `"}]}}`
		d.Break(idp.Fault{Path: "/users", Times: 2, Status: 403, Body: body})
		_, err := open(t, d, nil).Read(t.Context(), ignore)
		require.NoError(t, err)
		d.Mend()
		d.Break(idp.Fault{Path: "/users", Status: 403, Body: body})
		_, err = open(t, d, nil).Read(t.Context(), ignore)
		require.ErrorIs(t, err, source.ErrRateLimited)
		d.Mend()
	}
}

func TestReaderMembers(t *testing.T) {
	list := func(members string) string { return `{"kind":"admin#directory#members","members":[` + members + `]}` }
	tests := map[string]struct {
		body string
		kind error
		want []string
	}{
		"people": {list(`{"id":"b","type":"USER"},{"id":"a","type":"USER"}`), nil, []string{"a", "b"}},
		"others": {list(`{"id":"g","type":"GROUP"},{"email":"x@y","type":"EXTERNAL"},{"id":"a","type":"USER"}`), nil,
			[]string{"a"}},
		"everybody":   {list(`{"id":"C0","type":"CUSTOMER"}`), source.ErrIncomplete, nil},
		"unknown":     {list(`{"id":"r","type":"ROBOT"}`), source.ErrMalformed, nil},
		"no key":      {list(`{"type":"USER"}`), source.ErrMalformed, nil},
		"twice":       {list(`{"id":"a","type":"USER"},{"id":"a","type":"USER"}`), source.ErrIncomplete, nil},
		"none shown":  {`{"kind":"admin#directory#members"}`, source.ErrIncomplete, nil},
		"other kinds": {`{"kind":"admin#directory#users"}`, source.ErrMalformed, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			d := newDirectory()
			d.Generate(3, 2)
			d.Break(idp.Fault{Path: "/members", Body: test.body})
			var got []string
			_, err := open(t, d, nil).Read(t.Context(), func(p source.Page) error {
				for _, g := range p.Groups {
					got = g.Members
				}
				return nil
			})
			require.ErrorIs(t, err, test.kind)
			require.Equal(t, test.want, got)
		})
	}
}
