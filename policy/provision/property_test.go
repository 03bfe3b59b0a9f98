package provision

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/castellan-io/castellan/policy/window"
)

// TestReadRoundTrips: what is read, written as JSON and read again is the same, and so is its JSON.
func TestReadRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first, err := read(t, encode(t, drawFile(t)))
		require.NoError(t, err)
		text := encode(t, first)
		again := mustRead(t, text)
		require.Equal(t, first, again)
		require.Equal(t, text, encode(t, again))
	})
}

// drawFile makes sources of every kind with any settings that go together, and provisions from them.
func drawFile(t *rapid.T) (f file) {
	for i, kind := range rapid.SliceOfN(rapid.SampledFrom(Kinds()), 1, 6).Draw(t, "kinds") {
		f.Sources = append(f.Sources, drawSource(t, fmt.Sprintf("s%d", i), kind))
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "provisions") {
		f.Provision = append(f.Provision, drawProvision(t, fmt.Sprintf("p%d", i), f.Sources))
	}
	return f
}

func drawSource(t *rapid.T, name string, kind Kind) Source {
	texts := rapid.StringMatching(`[ a-zä"\\:#,*'{]{0,6}x`)
	some := func(label string) []string {
		return rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z]{1,6}`), 1, 3, rapid.ID).Draw(t, label)
	}
	flag := rapid.Bool()
	s := Source{Name: name, Kind: kind, Secret: "env:S", Link: LinkAny,
		Every: window.Duration(rapid.IntRange(5, 3600).Draw(t, "every")) * window.Duration(time.Second)}
	s.Stale = 2*s.Every + window.Duration(rapid.IntRange(0, 3600).Draw(t, "stale"))*window.Duration(time.Second)
	s.Email = rapid.SampledFrom([]string{"mail", `attributes["e mail"]`, `first(a, "b\"c")`}).Draw(t, "email")
	s.People.Scope = rapid.SampledFrom([]string{"", "enabled", `"a" in groups && title != "x"`}).Draw(t, "scope")
	switch kind {
	case LDAP:
		s.URL, s.Base, s.Bind, s.StartTLS = "ldap://dc1", "DC=acme", texts.Draw(t, "bind"), true
		s.ActiveDirectory = flag.Draw(t, "ad")
		s.PageSize = rapid.IntRange(0, 1000).Draw(t, "page")
		if s.Groups.Skip = flag.Draw(t, "skip"); !s.Groups.Skip {
			s.Groups = Groups{Names: some("names"), Nested: flag.Draw(t, "nested"), Filter: "(cn=a)"}
		}
		s.Enabled = &Enabled{Attribute: "state", Bits: rapid.IntRange(1, 1<<30).Draw(t, "bits")}
	case File:
		s.Secret, s.Folder, s.Key = "", "/srv/"+name, texts.Draw(t, "key")
		s.Lists = map[string]string{texts.Draw(t, "column"): ";", "b": " | "}
		s.Separator = rapid.SampledFrom([]string{"", ",", ";", "\t"}).Draw(t, "separator")
		s.MaxAge = window.Duration(rapid.IntRange(0, 365).Draw(t, "days")) * window.Duration(window.Day)
	case SCIM:
		s.URL, s.User, s.People.Filter = "https://scim", "reader", texts.Draw(t, "filter")
	case Okta:
		s.URL, s.ClientID, s.KeyID, s.Events = "https://okta", texts.Draw(t, "client"), "k1", flag.Draw(t, "events")
	case Entra:
		s.Tenant, s.ClientID, s.People.Attributes = "acme.example", "c1", some("attributes")
		s.Secret, s.Certificate = "", "file:/c"
	case Google:
		s.Subject, s.Customer, s.LoginURL = "admin@acme.example", "C1", "http://localhost:1/token"
	case Keycloak:
		s.URL, s.Realm, s.ClientID, s.ClientRealm = "https://sso", texts.Draw(t, "realm"), "c1", "master"
	case SCIMPush:
		s.Every, s.Stale, s.Quiet = 0, 0, window.Duration(window.Day)
	case Feed:
		s.Every, s.Stale, s.Quiet = 0, 0, window.Duration(window.Day)
		s.Valid = window.Duration(rapid.IntRange(1, 99).Draw(t, "valid")) * window.Duration(window.Day)
		s.Certificate, s.Issuer, s.Audience, s.Recipient = "file:/c", texts.Draw(t, "issuer"), "a", "https://acs/?a=b"
		s.Key, s.Groups.Attribute = texts.Draw(t, "key"), "roles"
	}
	return s
}

func drawProvision(t *rapid.T, name string, sources []Source) Provision {
	leave := rapid.SampledFrom([]Leave{Deactivate, HoldLeave, ReportOnly})
	consent := rapid.SampledFrom([]Consent{Never, Ask, Auto})
	p := Provision{
		Name:      name,
		Directory: Directory{ID: name, Key: "env:K", Mode: rapid.SampledFrom([]Mode{Write, Observe}).Draw(t, "mode")},
		Match:     []Means{rapid.SampledFrom([]Means{ByExternalID, ByEmail}).Draw(t, "match")},
		External:  External{consent.Draw(t, "link"), consent.Draw(t, "update")},
		Leavers:   Leavers{leave.Draw(t, "disabled"), leave.Draw(t, "gone"), leave.Draw(t, "out"), 0},
	}
	for _, s := range sources[:rapid.IntRange(1, len(sources)).Draw(t, "from")] {
		p.From = append(p.From, s.Name)
	}
	if rapid.Bool().Draw(t, "with attributes") {
		p.Attributes = map[Attribute]string{Email: "mail", Title: `"a: b" + title`}
	}
	if rapid.Bool().Draw(t, "expires") {
		p.Directory.KeyExpires = window.Date{Time: time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC)}
	}
	return p
}
