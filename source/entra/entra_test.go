package entra_test

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/simulator/idp"
	"github.com/castellan-io/castellan/source"
	"github.com/castellan-io/castellan/source/entra"
)

func give(value string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return value, nil }
}

func open(t *testing.T, d *idp.Directory, adjust func(*entra.Options)) *entra.Reader {
	t.Helper()
	server := httptest.NewServer(d.Graph())
	t.Cleanup(server.Close)
	options := entra.Options{Tenant: "acme.example", ClientID: idp.DefaultClientID,
		Secret: give(idp.DefaultClientSecret), URL: server.URL, LoginURL: server.URL}
	if adjust != nil {
		adjust(&options)
	}
	reader, err := entra.New(options)
	require.NoError(t, err)
	return reader
}

func ignore(source.Page) error { return nil }

func TestNewChecksItsOptions(t *testing.T) {
	secret := give("s")
	for name, o := range map[string]entra.Options{
		"no tenant":   {ClientID: "c", Secret: secret},
		"any tenant":  {Tenant: "Common", ClientID: "c", Secret: secret},
		"no client":   {Tenant: "t", Secret: secret},
		"no secret":   {Tenant: "t", ClientID: "c"},
		"two secrets": {Tenant: "t", ClientID: "c", Secret: secret, Certificate: secret},
		"plain":       {Tenant: "t", ClientID: "c", Secret: secret, URL: "http://graph.example"},
		"plain login": {Tenant: "t", ClientID: "c", Secret: secret, LoginURL: "http://login.example"},
		"page":        {Tenant: "t", ClientID: "c", Secret: secret, PageSize: 1000},
		"password":    {Tenant: "t", ClientID: "c", Secret: secret, Attributes: []string{"passwordProfile"}},
		"two names":   {Tenant: "t", ClientID: "c", Secret: secret, Attributes: []string{"mail,id"}},
		"group":       {Tenant: "t", ClientID: "c", Secret: secret, Groups: []string{""}},
	} {
		_, err := entra.New(o)
		require.ErrorIs(t, err, source.ErrInvalid, name)
	}
	_, err := entra.New(entra.Options{Tenant: "t", ClientID: "c", Secret: secret})
	require.NoError(t, err)
}

func TestReaderTakesAttributes(t *testing.T) {
	d := idp.New(idp.Options{})
	d.Break(idp.Fault{Path: "/v1.0/users/a", Body: `{"@odata.context":"c","id":"a","accountEnabled":false,"mail":null,
		"proxyAddresses":["smtp:b@x","SMTP:a@x"],"onPremisesExtensionAttributes":{"extensionAttribute1":null}}`})
	got, err := open(t, d, nil).Lookup(t.Context(), "a")
	require.NoError(t, err)
	require.False(t, *got.Enabled)
	require.Equal(t, map[string]any{"proxyAddresses": []any{"SMTP:a@x", "smtp:b@x"},
		"onPremisesExtensionAttributes": map[string]any{}}, got.Attributes)
}

func TestReaderAsksForTheRightToSeeWhoIsEnabled(t *testing.T) {
	d := idp.New(idp.Options{})
	d.Break(idp.Fault{Path: "/v1.0/users", Body: `{"@odata.count":1,"value":[{"id":"a","accountEnabled":null}]}`})
	_, err := open(t, d, nil).Read(t.Context(), ignore)
	require.ErrorIs(t, err, source.ErrForbidden)
	require.ErrorContains(t, err, "User.Read.All")
}

func TestReaderDoesNotBelieveAnswersWithoutACount(t *testing.T) {
	d := idp.New(idp.Options{})
	for name, body := range map[string]string{"no count": `{"value":[]}`, "no list": `{"@odata.count":0}`,
		"null list": `{"@odata.count":0,"value":null}`} {
		d.Break(idp.Fault{Path: "/v1.0/users", Body: body})
		_, err := open(t, d, nil).Read(t.Context(), ignore)
		require.ErrorIs(t, err, source.ErrMalformed, name)
		d.Mend()
	}
}

func TestReaderDoesNotTakeHiddenMembersForNone(t *testing.T) {
	d := idp.New(idp.Options{})
	d.Generate(2)
	d.Break(idp.Fault{Path: "/v1.0/groups", Times: 1,
		Body: `{"@odata.count":1,"value":[{"id":"g","displayName":"G","visibility":"HiddenMembership"}]}`})
	d.Break(idp.Fault{Path: "/members/", Body: `{"@odata.count":0,"value":[]}`})
	_, err := open(t, d, nil).Read(t.Context(), ignore)
	require.ErrorIs(t, err, source.ErrForbidden)
	require.ErrorContains(t, err, "Member.Read.Hidden")
}

func TestReaderCountsMembers(t *testing.T) {
	d := idp.New(idp.Options{})
	d.Generate(3, 3)
	d.Break(idp.Fault{Path: "/members/", Short: true})
	_, err := open(t, d, nil).Read(t.Context(), ignore)
	require.ErrorIs(t, err, source.ErrIncomplete)
}

func TestReaderPassesTheFilterOn(t *testing.T) {
	d := idp.New(idp.Options{})
	d.Generate(3)
	d.AddPerson(idp.Person{ID: "s", Login: "s@acme.example", Department: "Sales"})
	whole, err := open(t, d, nil).Read(t.Context(), ignore)
	require.NoError(t, err)
	proof, err := open(t, d, func(o *entra.Options) { o.Filter = "department eq 'Sales'" }).Read(t.Context(), ignore)
	require.NoError(t, err)
	require.Equal(t, 1, proof.People)
	require.NotEqual(t, whole.As, proof.As)
}

// TestLookupNeedsTwoAnswers: a user who is not found, while the deleted ones cannot be looked at, is not known.
func TestLookupNeedsTwoAnswers(t *testing.T) {
	d := idp.New(idp.Options{})
	d.Generate(2)
	d.Break(idp.Fault{Path: "/deletedItems/", Status: 403, Body: `{"error":{"code":"Forbidden","message":"no"}}`})
	_, err := open(t, d, nil).Lookup(t.Context(), "nobody")
	require.ErrorIs(t, err, source.ErrForbidden)
	require.NotErrorIs(t, err, source.ErrGone)
}

func TestReaderNeedsTheCertificateBesideItsKey(t *testing.T) {
	d := idp.New(idp.Options{})
	_, err := open(t, d, func(o *entra.Options) { o.Secret, o.Certificate = nil, give("no key") }).
		Lookup(t.Context(), "a")
	require.ErrorIs(t, err, source.ErrInvalid)
	require.NotContains(t, err.Error(), "no key")
}

func TestChangesBeginsAgainWhenGraphHasForgotten(t *testing.T) {
	d := idp.New(idp.Options{})
	d.Generate(2, 1)
	r := open(t, d, nil)
	_, cursor, err := r.Changes(t.Context(), "")
	require.NoError(t, err)
	var links map[string]string
	require.NoError(t, json.Unmarshal([]byte(cursor), &links))
	d.Break(idp.Fault{Path: "/delta", Times: 1, Status: 410, Body: `{"error":{"code":"syncStateNotFound"}}`})
	changes, next, err := r.Changes(t.Context(), cursor)
	require.NoError(t, err)
	require.Equal(t, source.Changes{All: true}, changes)
	d.SetStatus("00000000-0000-4000-8000-000000000001", idp.Suspended)
	changes, _, err = r.Changes(t.Context(), next)
	require.NoError(t, err)
	require.Equal(t, source.Changes{People: []string{"00000000-0000-4000-8000-000000000001"}}, changes)

	links["users"] = "https://evil.example/v1.0/users/delta"
	bent, err := json.Marshal(links)
	require.NoError(t, err)
	_, _, err = r.Changes(t.Context(), string(bent))
	require.ErrorIs(t, err, source.ErrMalformed, "a cursor leads to no other host")
}

func TestReaderCountsGroups(t *testing.T) {
	d := idp.New(idp.Options{})
	d.Generate(3, 1, 1)
	d.Break(idp.Fault{Path: "/v1.0/groups", Times: 1, Short: true})
	_, err := open(t, d, nil).Read(t.Context(), ignore)
	require.ErrorIs(t, err, source.ErrIncomplete)
	require.ErrorContains(t, err, "list groups: ")
}
