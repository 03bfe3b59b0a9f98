package provision

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/policy/attribute"
	"github.com/castellan-io/castellan/policy/window"
)

func TestReadAppliesDefaults(t *testing.T) {
	f := mustRead(t, staff)
	require.Equal(t, Source{Name: "corp", Kind: LDAP, URL: "ldaps://dc1", Base: "DC=acme", Email: "mail",
		Every: DefaultEvery, Stale: DefaultStale, Link: LinkVerified}, f.Sources[0])
	require.Equal(t, Provision{
		Name: "staff", From: []string{"corp"}, Directory: Directory{ID: "d1", Key: "env:SCIM", Mode: Write},
		Match: []Means{ByExternalID, ByEmail},
		Attributes: map[Attribute]string{UserName: "mail", Email: "mail", DisplayName: "first(displayName, cn)",
			GivenName: "givenName", FamilyName: "sn", Title: "title", Department: "department",
			PreferredLanguage: "preferredLanguage"},
		External: External{Link: Ask, Update: Never},
		Leavers:  Leavers{Disabled: Deactivate, Gone: Deactivate, OutOfScope: HoldLeave},
	}, f.Provision[0])
	slow := mustRead(t, strings.Replace(ldap, "kind: ldap", "kind: ldap, every: 5h", 1))
	require.Equal(t, window.Duration(10*time.Hour), slow.Sources[0].Stale)
}

// TestReadAsksForWhatAKindNeeds: the least of each kind is read, and without any of it the file is refused.
func TestReadAsksForWhatAKindNeeds(t *testing.T) {
	least := map[Kind][]string{
		LDAP:     {`url: "ldaps://dc1"`, `base: "DC=acme"`},
		File:     {"folder: /srv/hr", "key: number"},
		SCIM:     {`url: "https://scim"`, `secret: "env:S"`},
		Okta:     {`url: "https://acme.okta.com"`, `secret: "env:S"`},
		Entra:    {"tenant: acme.example", "clientId: c1", `secret: "env:S"`},
		Google:   {`secret: "env:S"`, "subject: admin@acme.example"},
		Keycloak: {`url: "https://sso"`, "realm: acme", "clientId: c1", `secret: "env:S"`},
		Feed:     {`secret: "env:S"`},
		SCIMPush: {`secret: "env:S"`},
	}
	require.Len(t, least, len(Kinds()))
	for kind, settings := range least {
		source := func(settings []string) string {
			return fmt.Sprintf("sources: [{name: s, kind: %s, %s}]", kind, strings.Join(settings, ", "))
		}
		f := mustRead(t, source(settings))
		require.NotEmpty(t, f.Sources[0].Email, kind)
		for i, setting := range settings {
			key, _, _ := strings.Cut(setting, ":")
			without := append(append([]string{"link: any"}, settings[:i]...), settings[i+1:]...)
			_, err := read(t, source(without))
			require.ErrorContains(t, err, key, "%s without %s", kind, key)
		}
	}
}

// TestReadRefusesSettingsOfOtherKinds tries every setting with every kind.
func TestReadRefusesSettingsOfOtherKinds(t *testing.T) {
	values := map[string]string{"people.attributes": "[a]", "groups.names": "[a]", "groups.nested": "true",
		"groups.skip": "true", "groups.members": "[a]", "enabled": "{no: [a]}", "enabled.bits": "1", "startTLS": "true",
		"plaintext": "true", "activeDirectory": "true", "elsewhere": "[a]", "pageSize": "1", "folder": "/a",
		"peopleFile": "a.csv", "groupsFile": "a.csv", "lists": "{a: ;}", "separator": `";"`, "maxAge": "1d", "events": "true",
		"certificate": "env:A", "subject": "a@b.example", "every": "1m", "stale": "1h", "valid": "1d", "quiet": "1d"}
	for _, o := range owners {
		value, given := values[o.key]
		if !given {
			value = "a"
		}
		setting := o.key + ": " + value
		if section, key, nested := strings.Cut(o.key, "."); nested {
			setting = fmt.Sprintf("%s: {%s: %s}", section, key, value)
		}
		for _, kind := range Kinds() {
			_, err := read(t, fmt.Sprintf("sources: [{name: s, kind: %s, %s}]", kind, setting))
			refusal := fmt.Sprintf("sources[0].%s: a source of kind %s has no such setting; it belongs to %s. Take it away",
				o.key, kind, named(o.kinds))
			if strings.Contains(" "+named(o.kinds)+",", " "+string(kind)+",") {
				require.False(t, err != nil && strings.Contains(err.Error(), refusal), "%s: %s", kind, o.key)
			} else {
				require.ErrorContains(t, err, refusal)
			}
		}
	}
}

func TestReadRefusesWhatASourceCannotBe(t *testing.T) {
	entry := func(kind, settings string) string {
		return "sources:\n- {name: s, kind: " + kind + ", " + settings + "}\n"
	}
	dc := func(settings string) string { return entry("ldap", `base: "DC=a", `+settings) }
	hr := func(settings string) string { return entry("file", "key: number, "+settings) }
	scim := func(settings string) string { return entry("scim", `secret: "env:S", `+settings) }
	for text, problem := range map[string]string{
		"sources: []":                                           "acme.yaml:1:10: sources: ",
		"sources: [{name: Corp, kind: ldap}]":                   `sources[0].name: "Corp" does not fit; use 1 to 40 of the characters a-z, 0-9 and -`,
		"sources: [{name: 'a:b', kind: ldap}]":                  `"a:b" does not fit`,
		"sources: [{name: a}]":                                  "sources[0]: kind is missing; add it",
		"sources: [{name: a, kind: ad}]":                        `"ad" is unknown; write one of ldap, file, scim, okta, entra, google, keycloak, feed, scim-push`,
		"sources: [{name: a, kind: ldap, host: x}]":             "sources[0].host: unknown key",
		ldap + "- {name: corp, kind: file, folder: /a, key: k}": "acme.yaml:4:10: sources[1].name: the name \"corp\" is taken by sources[0]; give each its own",

		entry("feed", "secret: 'env:S', issuer: a"):                                   "sources[0].issuer: this is about assertions, which need certificate",
		entry("feed", "certificate: 'env:S', issuer: a"):                              "audience is missing; assertions must have exactly this audience",
		entry("feed", "link: any"):                                                    "write secret, by which posts are signed, or certificate",
		entry("feed", "secret: 'env:S', valid: 1m"):                                   "sources[0].valid",
		entry("feed", "certificate: 'env:S', issuer: a, audience: b, recipient: acs"): "sources[0].recipient: this is no address",

		dc("url: 'https://dc'"):                                                       "sources[0].url: this is not the address of an LDAP server; write ldaps://host",
		dc("url: 'ldaps://dc/x'"):                                                     "this is not the address of an LDAP server",
		dc("url: 'ldaps://a:b@dc'"):                                                   "this is not the address of an LDAP server",
		dc("url: 'ldap://dc'"):                                                        "ldap:// would send the password in the clear; write ldaps://, or startTLS: true",
		dc("url: 'ldaps://dc', startTLS: true"):                                       "ldaps has TLS already",
		dc("url: 'ldap://dc', startTLS: true, plaintext: true"):                       "sources[0].plaintext: with startTLS nothing goes in the clear",
		dc("url: 'ldaps://dc', bind: x"):                                              "bind, the account to read as, and secret, its password, go together",
		dc("url: 'ldaps://dc', secret: 'env:A'"):                                      "go together; write both or neither",
		dc("url: 'ldaps://dc', secret: hunter2"):                                      "sources[0].secret: this is not a reference to a secret",
		dc("url: 'ldaps://dc', people: {filter: cn=a}"):                               `"cn=a" is not a filter of LDAP`,
		dc("url: 'ldaps://dc', groups: {base: staff}"):                                `sources[0].groups.base: "staff" is not a DN`,
		dc("url: 'ldaps://dc', groups: {skip: true, nested: true}"):                   "no group is read",
		dc("url: 'ldaps://dc', groups: {names: [a**]}"):                               "** means the same as *",
		dc("url: 'ldaps://dc', enabled: {no: [a]}"):                                   "sources[0].enabled: attribute is missing",
		dc("url: 'ldaps://dc', enabled: {attribute: a}"):                              "write either bits or no",
		dc("url: 'ldaps://dc', enabled: {attribute: a, bits: 2, no: [a]}"):            "write either bits or no",
		dc("url: 'ldaps://dc', enabled: {attribute: a, bits: 2, yes: [a]}"):           "with bits, every other number means enabled",
		dc("url: 'ldaps://dc', enabled: {attribute: a, no: [a], yes: [A]}"):           `"a" stands under yes as well`,
		dc("url: 'ldaps://dc', every: 4s"):                                            "write a duration from 5s to 1d",
		dc("url: 'ldaps://dc', every: 25h"):                                           "write a duration from 5s to 1d",
		dc("url: 'ldaps://dc', every: 5m, stale: 9m"):                                 "sources[0].stale: one read that is late would make the source stale; write 10m or more",
		dc("url: 'ldaps://dc', stale: 31d"):                                           "write a duration from 10s to 30d",
		dc("url: 'ldaps://dc', link: all"):                                            `"all" is unknown; write one of verified, any`,
		dc("url: 'ldaps://dc', email: 'mail +'"):                                      "sources[0].email: ",
		dc("url: 'ldaps://dc', people: {scope: title}, email: 1"):                     "YAML reads this as int",
		dc("url: 'ldaps://dc', people: {scope: '\"x\"'}"):                             "sources[0].people.scope: the scope is string; write what is true or false",
		dc("url: 'ldaps://dc', people: {scope: '" + strings.Repeat("a", 1001) + "'}"): "the text has 1001 bytes; at most 1000 are allowed",
		dc("url: 'ldaps://dc', bind: ' '"):                                            "the text is empty; write one, or take the key away",
		dc("url: 'ldaps://dc', pageSize: 1001"):                                       "write a number from 1 to 1000",

		entry("file", "folder: /a"):                                  "sources[0]: key is missing; name the column",
		hr("every: 1m"):                                              "write either folder or url",
		hr("folder: /a, url: 'https://a'"):                           "write either folder or url",
		hr("folder: a"):                                              `"a" is not the absolute path of a folder`,
		hr("folder: /a/../b"):                                        "is not the absolute path of a folder",
		hr("folder: /a, secret: 'env:A'"):                            "files in a folder are read without one",
		hr("url: 'https://a', user: b"):                              "secret is missing, the password of this user",
		hr("url: 'http://a'"):                                        "this is not an address that can be read safely",
		hr("folder: /a, peopleFile: b/c.csv"):                        `"b/c.csv" is not the name of a file beside the manifest`,
		hr("folder: /a, peopleFile: manifest.json"):                  "is not the name of a file beside the manifest",
		hr("folder: /a, peopleFile: c.xlsx"):                         "write one that ends in .csv, .tsv, .txt or .json",
		hr("folder: /a, peopleFile: c.json"):                         "sources[0].key: this is about CSV, and c.json says keys, groups and who is enabled itself",
		hr("folder: /a, groupsFile: c.json"):                         "groups beside a CSV file of people are in CSV too",
		hr("folder: /a, peopleFile: c.csv, groupsFile: c.csv"):       "people and groups are in two files",
		hr("folder: /a, separator: '|'"):                             `"|" does not separate cells`,
		hr("folder: /a, lists: {a: ''}"):                             `sources[0].lists.a: "" does not separate values`,
		hr("folder: /a, enabled: {no: [x]}"):                         "column is missing",
		hr("folder: /a, enabled: {column: x}"):                       "write no, the values that mean disabled",
		hr("folder: /a, enabled: {column: x, yes: [a], no: [b, A]}"): `"A" stands under yes as well`,
		hr("folder: /a, maxAge: 366d"):                               "write a duration from 0s to 365d",

		scim("url: 'https://a', user: 'b:c'"):                                               "the name of a user has no colon",
		scim("url: 'https://u:p@a'"):                                                        "no credentials in it",
		scim("url: 'https://a', groups: {skip: true, filter: x}"):                           "no group is read",
		entry("okta", "url: 'https://a', secret: 'env:S', keyId: k"):                        "sources[0].keyId: clientId is missing",
		entry("entra", "tenant: common, clientId: c, secret: 'env:S'"):                      `"common" is no tenant of yours`,
		entry("entra", "tenant: t, clientId: c, secret: 'env:S', certificate: 'env:C'"):     "write either secret or certificate",
		entry("entra", "tenant: t, clientId: c, secret: 'env:S', loginUrl: 'http://login'"): "sources[0].loginUrl: this is not an address",
		entry("google", "subject: admin, secret: 'env:S'"):                                  `"admin" is not an e-mail address`,
		"sources:\n" + strings.Repeat("- {name: a, kind: google}\n", 21):                    "at most 20",
	} {
		expectProblem(t, text, problem)
	}
}

// TestReadShowsWhereAnExpressionIsWrong: the place of the mistake, not the beginning of the text.
func TestReadShowsWhereAnExpressionIsWrong(t *testing.T) {
	expectProblem(t, "sources:\n- name: s\n  kind: google\n  people:\n    scope: enabled && (title\n", "acme.yaml:5:29: sources[0].people.scope: ")
	expectProblem(t, strings.Replace(staff, "directory:", "attributes: {emails: 'nothing(mail)'}, directory:", 1),
		"provision[0].attributes.emails: ")
}

func TestReadRefusesWhatAProvisionCannotBe(t *testing.T) {
	entry := func(settings string) string {
		return hr + "provision:\n- {name: p, from: [corp], directory: {id: d1, key: 'env:K'}, " + settings + "}\n"
	}
	for text, problem := range map[string]string{
		hr + "provision: [{from: [corp], directory: {id: d1, key: 'env:K'}}]":               "provision[0]: name is missing",
		hr + "provision: [{name: p, directory: {id: d1, key: 'env:K'}}]":                    "provision[0]: from is missing",
		hr + "provision: [{name: p, from: [corp]}]":                                         "provision[0]: directory is missing",
		hr + "provision: [{name: p, from: [corp], directory: {id: d1}}]":                    "provision[0].directory: key is missing",
		hr + "provision: [{name: p, from: [corp], directory: {key: 'env:K'}}]":              "provision[0].directory: id is missing",
		hr + "provision: [{name: p, from: [corp], directory: {id: d1, key: hunter2}}]":      "this is not a reference to a secret",
		hr + "provision: [{name: p, from: [crop], directory: {id: d1, key: 'env:K'}}]":      "provision[0].from[0]: no source is called \"crop\"; did you mean corp?",
		hr + "provision: [{name: p, from: [other], directory: {id: d1, key: 'env:K'}}]":     "no source is called \"other\"; write one of corp, hr",
		"provision: [{name: p, from: [corp], directory: {id: d1, key: 'env:K'}}]":           "the file declares no sources, and so none called \"corp\"",
		hr + "provision: [{name: p, from: [corp, corp], directory: {id: d, key: 'env:K'}}]": "\"corp\" stands already in provision[0].from[0]",
		staff + "- {name: staff, from: [hr], directory: {id: d2, key: 'env:K'}}":            "provision[1].name: the name \"staff\" is taken by provision[0]",
		staff + "- {name: other, from: [hr], directory: {id: d1, key: 'env:K'}}":            "provision[1].directory.id: provision[0] writes to this directory already",
		entry("match: [key]"):                                     `"key" is unknown; write one of externalId, email`,
		entry("match: [binding]"):                                 `"binding" is unknown`,
		entry("attributes: {titel: title, emails: mail}"):         `provision[0].attributes.titel: "titel" is no attribute that is provisioned; did you mean title? There are userName`,
		entry("attributes: {active: enabled, emails: mail}"):      `"active" is no attribute that is provisioned; write one of userName`,
		entry("attributes: {title: title}"):                       "provision[0].attributes: nobody would have an address; add emails or userName",
		entry("attributes: {emails: 'mail.'}"):                    "provision[0].attributes.emails: ",
		entry("attributes: {emails: mail, title: '{}'}"):          "write one that gives a text",
		entry("attributes: {emails: mail, title: ''}"):            "the text is empty",
		entry("external: {link: sometimes}"):                      `"sometimes" is unknown; write one of never, ask, auto`,
		entry("leavers: {gone: delete}"):                          `"delete" is unknown; write one of deactivate, hold, report`,
		entry("leavers: {after: 400d}"):                           "write a duration from 0s to 365d",
		entry("groups: []"):                                       "provision[0].groups: unknown key",
		hr + "provision:\n" + strings.Repeat("- {name: a}\n", 21): "at most 20",
	} {
		expectProblem(t, text, problem)
	}
}

// TestDefaultAttributes: of each kind, and of several together, they are expressions that give texts.
func TestDefaultAttributes(t *testing.T) {
	require.Len(t, defaultsOf, len(Kinds()))
	var all []Source
	var names []string
	for _, kind := range Kinds() {
		all = append(all, Source{Name: string(kind), Kind: kind, Email: emailOf[kind]})
		names = append(names, string(kind))
	}
	for _, from := range append([][]string{names}, []string{"ldap"}, []string{"file", "entra"}) {
		for name, text := range defaultAttributes(all, from) {
			_, err := attribute.CompileValue(text)
			require.NoError(t, err, "%s: %s", name, text)
		}
	}
	require.Equal(t, "first(email, first(mail, userPrincipalName))", defaultAttributes(all, []string{"file", "entra"})[Email])
	require.Equal(t, "department", defaultAttributes(all, []string{"ldap", "file"})[Department])
}

// TestDefaultAttributesGiveTexts: what each kind of source shows becomes what the record should have.
func TestDefaultAttributesGiveTexts(t *testing.T) {
	want := map[Attribute]string{UserName: "ana@acme.example", Email: "ana@acme.example", DisplayName: "Ana Lima",
		GivenName: "Ana", FamilyName: "Lima", Title: "Lead", Department: "Legal"}
	shown := map[Kind]map[string]any{
		LDAP: {"mail": "ana@acme.example", "cn": "Ana Lima", "givenName": "Ana", "sn": "Lima", "title": "Lead", "department": "Legal"},
		File: {"email": "ana@acme.example", "displayName": "Ana Lima", "givenName": "Ana", "familyName": "Lima", "title": "Lead",
			"department": "Legal"},
		Feed: {"email": "ana@acme.example", "displayName": "Ana Lima", "givenName": "Ana", "familyName": "Lima", "title": "Lead",
			"department": "Legal"},
		SCIM: {"userName": "ana", "emails": []any{map[string]any{"value": "ana@acme.example", "primary": true},
			map[string]any{"value": "a@home.example"}},
			"name": map[string]any{"formatted": "Ana Lima", "givenName": "Ana", "familyName": "Lima"}, "title": "Lead",
			"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": map[string]any{"department": "Legal"}},
		SCIMPush: {"userName": "ana", "emails": []any{map[string]any{"value": "ana@acme.example", "primary": true},
			map[string]any{"value": "a@home.example"}},
			"name": map[string]any{"formatted": "Ana Lima", "givenName": "Ana", "familyName": "Lima"}, "title": "Lead",
			"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": map[string]any{"department": "Legal"}},
		Okta: {"login": "ana", "email": "ana@acme.example", "firstName": "Ana", "lastName": "Lima", "title": "Lead", "department": "Legal"},
		Entra: {"userPrincipalName": "ana@acme.example", "displayName": "Ana Lima", "givenName": "Ana", "surname": "Lima",
			"jobTitle": "Lead", "department": "Legal"},
		Google: {"primaryEmail": "ana@acme.example",
			"name":          map[string]any{"fullName": "Ana Lima", "givenName": "Ana", "familyName": "Lima"},
			"organizations": []any{map[string]any{"title": "Lead", "department": "Legal"}}},
		Keycloak: {"username": "ana", "email": "ana@acme.example", "firstName": "Ana", "lastName": "Lima"},
	}
	for _, kind := range Kinds() {
		s := Source{Name: "s", Kind: kind, Email: emailOf[kind]}
		for name, text := range DefaultAttributes(s) {
			expression, err := attribute.CompileValue(text)
			require.NoError(t, err)
			value, err := expression.Value(&attribute.Subject{Attributes: shown[kind]})
			if name == PreferredLanguage {
				require.ErrorIs(t, err, attribute.ErrUnknown, kind)
				continue
			}
			require.NoError(t, err, "%s of %s", name, kind)
			require.Equal(t, want[name], value, "%s of %s", name, kind)
		}
	}
}

// TestReadRefusesToTryTooManyNames: what many sources call differently has to be written.
func TestReadRefusesToTryTooManyNames(t *testing.T) {
	text, names := "sources:\n", []string{}
	for i := range 9 {
		text += fmt.Sprintf("- {name: s%d, kind: file, folder: /a, key: k, email: mail%d}\n", i, i)
		names = append(names, fmt.Sprintf("s%d", i))
	}
	text += "provision:\n- {name: p, from: [" + strings.Join(names, ", ") + "], directory: {id: d, key: 'env:K'}"
	expectProblem(t, text+"}\n", "provision[0]: the sources say userName in too many ways to try all of them; write attributes")
	mustRead(t, text+", attributes: {emails: mail}}\n")
}
