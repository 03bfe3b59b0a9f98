package okta_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/simulator/idp"
	"github.com/castellan-io/castellan/source"
	"github.com/castellan-io/castellan/source/okta"
)

func give(value string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return value, nil }
}

func open(t *testing.T, d *idp.Directory, adjust func(*okta.Options)) source.Source {
	t.Helper()
	server := httptest.NewServer(d.Okta())
	t.Cleanup(server.Close)
	options := okta.Options{URL: server.URL, Token: give(idp.DefaultToken), PageSize: 5,
		Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }}
	if adjust != nil {
		adjust(&options)
	}
	reader, err := okta.New(options)
	require.NoError(t, err)
	return reader
}

func people(t *testing.T, s source.Source) map[string]source.Identity {
	t.Helper()
	all := map[string]source.Identity{}
	_, err := s.Read(t.Context(), func(p source.Page) error {
		for _, person := range p.People {
			all[person.Key] = person
		}
		return nil
	})
	require.NoError(t, err)
	return all
}

func TestNewChecksItsOptions(t *testing.T) {
	secret := give("s")
	for name, o := range map[string]okta.Options{
		"no secret":     {URL: "https://acme.okta.com"},
		"two secrets":   {URL: "https://acme.okta.com", Token: secret, Key: secret, ClientID: "c"},
		"no client":     {URL: "https://acme.okta.com", Key: secret},
		"client, token": {URL: "https://acme.okta.com", Token: secret, ClientID: "c"},
		"plain":         {URL: "http://acme.okta.com", Token: secret},
		"plain, app":    {URL: "http://acme.okta.com", Key: secret, ClientID: "c"},
		"page":          {URL: "https://acme.okta.com", Token: secret, PageSize: 201},
		"in flight":     {URL: "https://acme.okta.com", Token: secret, InFlight: 17},
		"group":         {URL: "https://acme.okta.com", Token: secret, Groups: []string{""}},
	} {
		_, err := okta.New(o)
		require.ErrorIs(t, err, source.ErrInvalid, name)
	}
}

func TestReaderMapsStatuses(t *testing.T) {
	d := idp.New(idp.Options{})
	want := map[string]any{"active": true, "provisioned": true, "recovery": true, "password_expired": true,
		"locked_out": true, "staged": false, "suspended": false, "deprovisioned": false, "frozen": nil}
	for status := range want {
		d.AddPerson(idp.Person{ID: status, Login: status + "@acme.example", First: "A", Status: status})
	}
	all := people(t, open(t, d, nil))
	for status, enabled := range want {
		if enabled == nil {
			require.Nil(t, all[status].Enabled, "what is not known is not said")
			continue
		}
		require.Equal(t, enabled, *all[status].Enabled, status)
		require.Equal(t, strings.ToUpper(status), all[status].Attributes["status"])
	}
	require.Equal(t, "active@acme.example", all["active"].Attributes["login"])
	require.NotContains(t, all["active"].Attributes, "secondEmail", "a null is no value")
	require.NotContains(t, all["active"].Attributes, "credentials")
	require.NotContains(t, all["active"].Attributes, "lastUpdated")

	d.AddPerson(idp.Person{ID: "none", Login: "none@acme.example", Status: " "})
	d.Break(idp.Fault{Path: "/users", After: 1, Body: `[{"id":"none","profile":{"status":"x"}}]`})
	_, err := open(t, d, nil).Read(t.Context(), func(source.Page) error { return nil })
	require.ErrorIs(t, err, source.ErrMalformed)
}

func TestReaderKeepsAProfilesOwnStatus(t *testing.T) {
	d := idp.New(idp.Options{})
	d.Break(idp.Fault{Body: `{"id":"a","status":"ACTIVE","profile":{"status":"on leave","size":1.5}}`})
	got, err := open(t, d, nil).Lookup(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, map[string]any{"status": "ACTIVE", "profile.status": "on leave", "size": 1.5}, got.Attributes)
}

// TestReaderSeesWhoLeavesAndReturnsMeanwhile: nobody falls between the list of who is there and the list of who is not.
func TestReaderSeesWhoLeavesAndReturnsMeanwhile(t *testing.T) {
	hour := time.Now().Add(-time.Hour)
	made := false
	d := idp.New(idp.Options{Now: func() time.Time {
		if made {
			return time.Now()
		}
		return hour
	}})
	d.Generate(12)
	returner, leaver := "00000000-0000-4000-8000-000000000000", "00000000-0000-4000-8000-000000000011"
	d.SetStatus(returner, idp.Deprovisioned)
	made = true
	d.Break(idp.Fault{Path: "/api/v1/users", After: 2, Times: 1, Do: func() {
		d.SetStatus(leaver, idp.Deprovisioned) // on a page to come
		d.SetStatus(returner, idp.Active)      // on a page that is past
	}})
	all := people(t, open(t, d, nil))
	require.Len(t, all, 12)
	require.False(t, *all[leaver].Enabled)
	require.True(t, *all[returner].Enabled)
}

func TestReaderNoticesThatAProxyDropsLinks(t *testing.T) {
	d := idp.New(idp.Options{})
	d.Generate(12)
	dialect := d.Okta()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		dialect.ServeHTTP(withoutLinks{w}, r)
	}))
	defer server.Close()
	_, err := open(t, d, func(o *okta.Options) { o.URL = server.URL }).
		Read(t.Context(), func(source.Page) error { return nil })
	require.ErrorIs(t, err, source.ErrIncomplete)
	require.ErrorContains(t, err, "header Link")
}

type withoutLinks struct{ http.ResponseWriter }

func (w withoutLinks) Write(body []byte) (int, error) {
	w.Header().Del("Link")
	return w.ResponseWriter.Write(body)
}

func TestReaderNoticesPagesThatOverlap(t *testing.T) {
	d := idp.New(idp.Options{})
	d.Generate(3)
	same := `[{"id":"a","status":"ACTIVE"},{"id":"b","status":"ACTIVE"},{"id":"a","status":"ACTIVE"}]`
	d.Break(idp.Fault{Path: "/api/v1/users", After: 1, Body: same})
	_, err := open(t, d, nil).Read(t.Context(), func(source.Page) error { return nil })
	require.ErrorIs(t, err, source.ErrIncomplete)
	require.ErrorContains(t, err, "shown twice")
}

func TestChangesReadsEverythingAfterTooLong(t *testing.T) {
	d := idp.New(idp.Options{})
	d.Generate(2)
	w, is := open(t, d, func(o *okta.Options) { o.Events = true }).(source.Watcher)
	require.True(t, is)
	changes, next, err := w.Changes(t.Context(), "2020-01-01T00:00:00Z")
	require.NoError(t, err)
	require.Equal(t, source.Changes{All: true}, changes)
	require.NotEmpty(t, next)
	_, watches := open(t, d, nil).(source.Watcher)
	require.False(t, watches, "the system log needs a right of its own")
}
