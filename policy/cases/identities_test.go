package cases_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/policy/cases"
)

// sourced is tabled with identity sources and a rule on what they say.
func sourced(condition string) string {
	return strings.Replace(tabled, "mappings:", `sources:
- {name: corp, kind: ldap, url: "ldaps://dc1.acme.example", base: "DC=acme,DC=example"}
- {name: hr, kind: file, folder: /srv/hr, key: number}
mappings:`, 1) + "- {name: fact, when: '" + condition + "', notify: [o@acme.example]}\n"
}

func TestCaseIdentities(t *testing.T) {
	const known = `identities: {corp: {enabled: true, attributes: {department: R&D, grade: 6, vip: true, teams: [a, b], name: {givenName: Ana}, size: 1.5}}}`
	for name, tt := range map[string]struct{ person, condition, want string }{
		"text":             {known, `attribute("corp", "department") == "R&D"`, "holds"},
		"number":           {known, `attribute("corp", "grade") > 5 && attribute("corp", "size") == 1.5`, "holds"},
		"truth":            {known, `attribute("corp", "vip") == true`, "holds"},
		"list":             {known, `"b" in attribute("corp", "teams")`, "holds"},
		"object":           {known, `attribute("corp", "name").givenName == "Ana"`, "holds"},
		"another text":     {known, `attribute("corp", "department") == "IT"`, "no"},
		"not said":         {known, `attribute("corp", "title") == "Lead"`, "unknown"},
		"identified":       {known, `identified("corp")`, "holds"},
		"nobody there":     {known, `identified("hr")`, "no"},
		"nobody anywhere":  {`identities: {}`, `identified("corp") || identified("hr")`, "no"},
		"not known":        {"", `identified("corp")`, "unknown"},
		"not known of one": {`identities: {corp: unknown}`, `identified("corp")`, "unknown"},
		"but of another":   {`identities: {corp: unknown}`, `!identified("hr")`, "holds"},
		"disabled":         {`identities: {corp: {enabled: false}}`, `identified("corp")`, "no"},
		"does not say":     {`identities: {hr: {}}`, `identified("hr")`, "holds"},
		"out of scope":     {`identities: {corp: {outOfScope: true}}`, `identified("corp")`, "no"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Empty(t, try(t, sourced(tt.condition), tt.person, `expect: {rules: {fact: `+tt.want+`}}`).Wrong)
		})
	}
	require.Equal(t, []string{`no source is called "crop"; did you mean corp?`},
		try(t, sourced("managed"), `identities: {crop: {enabled: true}}`, `expect: {rules: {fact: unknown}}`).Wrong)
	require.Equal(t, []string{`expected rule fact to say holds; it says no, since attribute("corp", "department") == "IT" is false`},
		try(t, sourced(`attribute("corp", "department") == "IT" && managed`), known+", managed: true", `expect: {rules: {fact: holds}}`).Wrong)
}

func TestCaseIdentitiesRefuse(t *testing.T) {
	for person, want := range map[string]string{
		"identities: [corp]":                                "person.identities: a list does not belong here",
		"identities: {corp: known}":                         `person.identities.corp: "known" is unknown; write one of unknown`,
		"identities: {corp: {department: IT}}":              "person.identities.corp.department: unknown key; the keys here are attributes, enabled, outOfScope",
		"identities: {corp: {enabled: perhaps}}":            `"perhaps" does not fit; write true or false`,
		"identities: {corp: {}, Corp: {}}":                  "the name stands twice",
		"identities: {corp: {attributes: {a: }}}":           "identities.corp.attributes.a: there is no value",
		"identities: {corp: {attributes: {a: 2026-01-01}}}": "write it in quotes",
		"identities: {corp: {attributes: {a: &x b}}}":       "anchors are not allowed",
		"identities: {corp: {attributes: {a: [&x b]}}}":     "anchors are not allowed",
		"identities: {corp: {attributes: {a: []}}}":         "the list is empty",
	} {
		_, err := cases.Read("c.yaml", []byte(caseHead+"- name: a\n  expect: {holds: []}\n  person: {"+person+"}\n"))
		require.ErrorContains(t, err, want, person)
	}
}
