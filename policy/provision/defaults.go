package provision

import (
	"maps"
	"slices"
	"strings"
)

// ofSCIM are those of SCIM, whichever side begins.
var ofSCIM = map[Attribute]string{DisplayName: "first(displayName, name.formatted)", GivenName: "name.givenName",
	FamilyName: "name.familyName", Title: "title", PreferredLanguage: "preferredLanguage",
	Department: `attributes["urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"].department`}

// defaultsOf are the attributes that Atlassian's own connector provisions from Entra ID, by the names that they have in
// each kind of source. The addresses are the source's Email expression. Phone numbers are left out: the account never
// shows them.
var defaultsOf = map[Kind]map[Attribute]string{
	LDAP: {DisplayName: "first(displayName, cn)", GivenName: "givenName", FamilyName: "sn", Title: "title",
		Department: "department", PreferredLanguage: "preferredLanguage"},
	File: {DisplayName: "displayName", GivenName: "givenName", FamilyName: "familyName", Title: "title",
		Department: "department", PreferredLanguage: "preferredLanguage"},
	SCIM: ofSCIM, SCIMPush: ofSCIM,
	Okta: {DisplayName: `first(displayName, firstName + " " + lastName)`, GivenName: "firstName",
		FamilyName: "lastName", Title: "title", Department: "department", PreferredLanguage: "preferredLanguage"},
	Entra: {DisplayName: "displayName", GivenName: "givenName", FamilyName: "surname", Title: "jobTitle",
		Department: "department", PreferredLanguage: "preferredLanguage"},
	Google: {DisplayName: "name.fullName", GivenName: "name.givenName", FamilyName: "name.familyName",
		Title: "organizations[0].title", Department: "organizations[0].department"},
	Feed: {DisplayName: "displayName", GivenName: "givenName", FamilyName: "familyName", Title: "title",
		Department: "department", PreferredLanguage: "preferredLanguage"},
	Keycloak: {DisplayName: `firstName + " " + lastName`, GivenName: "firstName", FamilyName: "lastName"},
}

// DefaultAttributes returns what is provisioned of a source's people unless the policy says it.
func DefaultAttributes(s Source) map[Attribute]string {
	all := maps.Clone(defaultsOf[s.Kind])
	if all == nil {
		all = map[Attribute]string{}
	}
	all[UserName], all[Email] = s.Email, s.Email
	return all
}

// defaultAttributes joins what several sources have: where they call it differently, the first that is known.
func defaultAttributes(sources []Source, from []string) map[Attribute]string {
	choices := map[Attribute][]string{}
	for _, name := range from {
		s, found := Find(sources, name)
		if !found {
			continue // Check says so
		}
		for attribute, expression := range DefaultAttributes(*s) {
			if !slices.Contains(choices[attribute], expression) {
				choices[attribute] = append(choices[attribute], expression)
			}
		}
	}
	all := map[Attribute]string{}
	for attribute, expressions := range choices {
		if all[attribute] = expressions[0]; len(expressions) > 1 {
			all[attribute] = "first(" + strings.Join(expressions, ", ") + ")"
		}
	}
	return all
}
