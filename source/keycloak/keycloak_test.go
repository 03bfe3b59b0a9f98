package keycloak_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/simulator/idp"
	"github.com/castellan-io/castellan/source"
	"github.com/castellan-io/castellan/source/keycloak"
)

func give(value string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return value, nil }
}

func open(t *testing.T, d *idp.Directory, adjust func(*keycloak.Options)) *keycloak.Reader {
	t.Helper()
	server := httptest.NewServer(d.Keycloak("acme"))
	t.Cleanup(server.Close)
	options := keycloak.Options{URL: server.URL, Realm: "acme", ClientID: idp.DefaultClientID,
		Secret: give(idp.DefaultClientSecret), PageSize: 5}
	if adjust != nil {
		adjust(&options)
	}
	reader, err := keycloak.New(options)
	require.NoError(t, err)
	return reader
}

func person(i int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", i) }

func ignore(source.Page) error { return nil }

func TestNewChecksItsOptions(t *testing.T) {
	secret := give("s")
	for name, o := range map[string]keycloak.Options{
		"no URL":    {Realm: "r", ClientID: "c", Secret: secret},
		"no realm":  {URL: "https://sso.example", ClientID: "c", Secret: secret},
		"no client": {URL: "https://sso.example", Realm: "r", Secret: secret},
		"no secret": {URL: "https://sso.example", Realm: "r", ClientID: "c"},
		"plain":     {URL: "http://sso.example", Realm: "r", ClientID: "c", Secret: secret},
		"page":      {URL: "https://sso.example", Realm: "r", ClientID: "c", Secret: secret, PageSize: 1},
		"group":     {URL: "https://sso.example", Realm: "r", ClientID: "c", Secret: secret, Groups: []string{""}},
	} {
		_, err := keycloak.New(o)
		require.ErrorIs(t, err, source.ErrInvalid, name)
	}
	_, err := keycloak.New(keycloak.Options{URL: "http://keycloak:8080", Realm: "r", ClientID: "c", Secret: secret,
		PlainHTTP: true})
	require.NoError(t, err)
}

func TestReaderTakesAttributes(t *testing.T) {
	d := idp.New(idp.Options{})
	d.Break(idp.Fault{Path: "/users/", Body: `{"id":"a","enabled":true,"username":"ana","emailVerified":false,
		"totp":true,"attributes":{"one":["1"],"many":["b","a"],"none":[],"email":["old@x"]}}`})
	got, err := open(t, d, nil).Lookup(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, map[string]any{"username": "ana", "emailVerified": false, "one": "1", "many": []any{"a", "b"},
		"none": []any{}, "attributes.email": "old@x"}, got.Attributes)

	d.Mend()
	d.Break(idp.Fault{Path: "/users/", Body: `{"id":"a","username":"ana"}`})
	_, err = open(t, d, nil).Lookup(t.Context(), "a")
	require.ErrorIs(t, err, source.ErrMalformed, "it does not say whether she is enabled")
}

// TestReaderListsAgainWhenOffsetsShift: everybody who was there all the time is shown once.
func TestReaderListsAgainWhenOffsetsShift(t *testing.T) {
	added := func(d *idp.Directory) { d.AddPerson(idp.Person{ID: "new", Login: "new@acme.example"}) }
	gone := func(d *idp.Directory) { d.Delete(person(0)) }
	both := func(d *idp.Directory) { gone(d); added(d) }
	for name, test := range map[string]struct {
		change func(*idp.Directory)
		kind   error
		people int
	}{
		"somebody comes":               {added, nil, 13},
		"somebody goes":                {gone, source.ErrIncomplete, 0}, // was shown already
		"one comes and one goes":       {both, source.ErrIncomplete, 0},
		"nobody, but a page is halved": {nil, nil, 12},
	} {
		t.Run(name, func(t *testing.T) {
			d := idp.New(idp.Options{})
			d.Generate(12)
			fault := idp.Fault{Path: "/users", After: 1, Times: 1}
			if fault.Short = test.change == nil; !fault.Short {
				fault.Do = func() { test.change(d) }
			}
			d.Break(fault)
			seen := map[string]int{}
			proof, err := open(t, d, nil).Read(t.Context(), func(p source.Page) error {
				for _, one := range p.People {
					seen[one.Key]++
				}
				return nil
			})
			require.ErrorIs(t, err, test.kind)
			if test.kind == nil {
				require.Equal(t, test.people, proof.People)
				require.Equal(t, test.people, *proof.Declared)
				require.Len(t, seen, test.people)
			}
		})
	}
}

func TestReaderReadsGroupsOfOlderVersions(t *testing.T) {
	d := idp.New(idp.Options{})
	d.Generate(3)
	d.AddGroup(idp.Group{ID: "in", Name: "in", People: []string{person(1)}})
	d.AddGroup(idp.Group{ID: "out", Name: "out"})
	d.Break(idp.Fault{Path: "/groups", Times: 1, Body: `[{"id":"out","name":"out","path":"/out","subGroups":[
		{"id":"in","name":"in","path":"/out/in","subGroups":[]}]}]`})
	var names []string
	_, err := open(t, d, nil).Read(t.Context(), func(p source.Page) error {
		for _, g := range p.Groups {
			names = append(names, g.Name+fmt.Sprint(g.Members))
		}
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, []string{"out[]", "out/in[" + person(1) + "]"}, names)
}

func TestReaderCountsGroupsBelowAGroup(t *testing.T) {
	d := idp.New(idp.Options{})
	d.Generate(3)
	d.AddGroup(idp.Group{ID: "top", Name: "top", Groups: []string{"a", "b"}})
	d.AddGroup(idp.Group{ID: "a", Name: "a"})
	d.AddGroup(idp.Group{ID: "b", Name: "b"})
	_, err := open(t, d, nil).Read(t.Context(), ignore)
	require.NoError(t, err)
	d.Break(idp.Fault{Path: "/children", Short: true})
	_, err = open(t, d, nil).Read(t.Context(), ignore)
	require.ErrorIs(t, err, source.ErrIncomplete)
	d.Mend()
	d.Break(idp.Fault{Path: "/children", Body: `[{"id":"x","path":"/elsewhere/x"},{"id":"y","path":"/top/y"}]`})
	_, err = open(t, d, nil).Read(t.Context(), ignore)
	require.ErrorIs(t, err, source.ErrMalformed)
}
