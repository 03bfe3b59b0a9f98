package provision

import (
	"fmt"
	"net"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/castellan-io/castellan/policy/internal/strictyaml"
)

// emailOf is by which address the people of a kind are linked, unless the policy says it.
var emailOf = map[Kind]string{
	LDAP: "mail", File: "email", SCIM: "emails[0].value", Okta: "email", Entra: "first(mail, userPrincipalName)",
	Google: "primaryEmail", Keycloak: "email", Feed: "email", SCIMPush: "first(emails[0].value, userName)",
}

// required lists what a source of a kind must say, besides its name and kind.
var required = map[Kind][]string{
	LDAP: {"url", "base"}, SCIM: {"url", "secret"}, Okta: {"url", "secret"}, Entra: {"tenant", "clientId"},
	SCIMPush: {"secret"},
	Google:   {"secret", "subject"}, Keycloak: {"url", "realm", "clientId", "secret"},
}

// owners lists the settings that only some kinds have, in the order in which they are told.
var owners = []struct {
	key   string
	kinds []Kind
}{
	{"key", []Kind{LDAP, File, Feed}},
	{"url", pulled()},
	{"every", pulled()},
	{"stale", pulled()},
	{"people.base", []Kind{LDAP}},
	{"people.filter", []Kind{LDAP, SCIM, Entra, Google}},
	{"people.attributes", []Kind{LDAP, Entra}},
	{"groups.base", []Kind{LDAP}},
	{"groups.filter", []Kind{LDAP, SCIM}},
	{"groups.names", []Kind{LDAP, Okta, Entra, Google, Keycloak}},
	{"groups.nested", []Kind{LDAP, SCIM, Entra, Google, Keycloak}},
	{"groups.skip", []Kind{LDAP, SCIM}},
	{"groups.name", []Kind{LDAP}},
	{"groups.members", []Kind{LDAP}},
	{"groups.attribute", []Kind{Feed}},
	{"enabled", []Kind{LDAP, File}},
	{"enabled.attribute", []Kind{LDAP}},
	{"enabled.bits", []Kind{LDAP}},
	{"enabled.column", []Kind{File}},
	{"base", []Kind{LDAP}},
	{"bind", []Kind{LDAP}},
	{"startTLS", []Kind{LDAP}},
	{"plaintext", []Kind{LDAP}},
	{"activeDirectory", []Kind{LDAP}},
	{"elsewhere", []Kind{LDAP}},
	{"pageSize", []Kind{LDAP, SCIM}},
	{"folder", []Kind{File}},
	{"peopleFile", []Kind{File}},
	{"groupsFile", []Kind{File}},
	{"lists", []Kind{File}},
	{"separator", []Kind{File}},
	{"maxAge", []Kind{File}},
	{"user", []Kind{File, SCIM}},
	{"clientId", []Kind{Okta, Entra, Keycloak}},
	{"keyId", []Kind{Okta}},
	{"events", []Kind{Okta}},
	{"tenant", []Kind{Entra}},
	{"certificate", []Kind{Entra, Feed}},
	{"loginUrl", []Kind{Entra, Google}},
	{"subject", []Kind{Google}},
	{"customer", []Kind{Google}},
	{"realm", []Kind{Keycloak}},
	{"clientRealm", []Kind{Keycloak}},
	{"valid", []Kind{Feed}},
	{"quiet", []Kind{Feed, SCIMPush}},
	{"issuer", []Kind{Feed}},
	{"audience", []Kind{Feed}},
	{"recipient", []Kind{Feed}},
}

// pulled lists the kinds that are read.
func pulled() []Kind { return slices.DeleteFunc(Kinds(), Kind.Pushed) }

// checker finds what is wrong between the settings of one source, each of which is right in itself.
type checker struct {
	*strictyaml.Reader
	Source
	path string
}

func checkSource(r *strictyaml.Reader, s Source, path string) {
	c := checker{r, s, path}
	if c.foreign() {
		return
	}
	for _, key := range required[s.Kind] {
		if !c.given(key) {
			c.Fail(c.At(path), path, "%s is missing; a source of kind %s needs it", key, s.Kind)
		}
	}
	c.times()
	switch s.Kind {
	case LDAP:
		c.ldap()
	case File:
		c.file()
	case Feed:
		c.feed()
	case SCIMPush:
	default:
		c.service()
	}
}

// given reports whether the file has the setting.
func (c checker) given(key string) bool { return c.At(c.path+"."+key) != nil }

func (c checker) refuse(key, format string, args ...any) { c.FailAt(c.path+"."+key, format, args...) }

// foreign refuses settings of other kinds.
func (c checker) foreign() (found bool) {
	for _, o := range owners {
		if c.given(o.key) && !slices.Contains(o.kinds, c.Kind) {
			found = true
			c.refuse(o.key, "a source of kind %s has no such setting; it belongs to %s. Take it away", c.Kind, named(o.kinds))
		}
	}
	return found
}

func named(kinds []Kind) string {
	var names []string
	for _, kind := range kinds {
		names = append(names, string(kind))
	}
	return strings.Join(names, ", ")
}

func (c checker) times() {
	if !c.Kind.Pushed() && c.Stale < 2*c.Every {
		c.refuse("stale", "one read that is late would make the source stale; write %s or more, which is twice every", 2*c.Every)
	}
}

func (c checker) ldap() {
	c.ldapURL()
	if c.given("bind") != c.given("secret") {
		c.Fail(c.At(c.path), c.path, "bind, the account to read as, and secret, its password, go together; write both or neither")
	}
	for key, filter := range map[string]string{"people.filter": c.People.Filter, "groups.filter": c.Groups.Filter} {
		if filter != "" && !(strings.HasPrefix(filter, "(") && strings.HasSuffix(filter, ")")) {
			c.refuse(key, "%q is not a filter of LDAP; write it in parentheses, for example (objectClass=person)",
				strictyaml.Shown(filter))
		}
	}
	for key, dn := range map[string]string{"base": c.Base, "people.base": c.People.Base, "groups.base": c.Groups.Base} {
		if dn != "" && !strings.Contains(dn, "=") {
			c.refuse(key, "%q is not a DN; write one such as OU=Staff,DC=acme,DC=example", strictyaml.Shown(dn))
		}
	}
	c.skipped()
	if e := c.Source.Enabled; e != nil {
		switch {
		case e.Attribute == "":
			c.refuse("enabled", "attribute is missing; name the one that tells whether an account is enabled")
		case (e.Bits > 0) == (len(e.No) > 0):
			c.refuse("enabled", "write either bits or no, which mean that an account is disabled")
		case e.Bits > 0 && len(e.Yes) > 0:
			c.refuse("enabled.yes", "with bits, every other number means enabled; take it away")
		}
		c.contradiction()
	}
}

// ldapURL refuses addresses that are no LDAP server's, and a password in the clear.
func (c checker) ldapURL() {
	if c.URL == "" {
		return
	}
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Scheme != "ldaps" && u.Scheme != "ldap" || !isHostOnly(u):
		c.refuse("url", "this is not the address of an LDAP server; write ldaps://host or ldap://host, perhaps with a port")
	case u.Scheme == "ldaps" && (c.StartTLS || c.Plaintext):
		c.refuse("url", "ldaps has TLS already; take startTLS and plaintext away")
	case c.StartTLS && c.Plaintext:
		c.refuse("plaintext", "with startTLS nothing goes in the clear; keep one")
	case u.Scheme == "ldap" && !c.StartTLS && !c.Plaintext && !isLoopback(u.Hostname()):
		c.refuse("url", "ldap:// would send the password in the clear; write ldaps://, or startTLS: true")
	}
}

// skipped refuses to choose among groups of which none is read.
func (c checker) skipped() {
	if g := c.Groups; g.Skip && (g.Base != "" || g.Filter != "" || len(g.Names) > 0 || g.Nested || g.Name != "" ||
		len(g.Members) > 0) {
		c.refuse("groups.skip", "no group is read, so that nothing else can be said of groups; keep skip or the others")
	}
}

// contradiction refuses a value that means enabled as well as disabled.
func (c checker) contradiction() {
	for _, no := range c.Source.Enabled.No {
		if slices.ContainsFunc(c.Source.Enabled.Yes, func(yes string) bool { return strings.EqualFold(yes, no) }) {
			c.refuse("enabled.no", "%q stands under yes as well; keep one", strictyaml.Shown(no))
		}
	}
}

func (c checker) file() {
	c.place()
	if c.GroupsFile != "" && c.GroupsFile == c.PeopleFile {
		c.refuse("groupsFile", "people and groups are in two files; name another one")
	}
	if isJSON(c.PeopleFile) {
		for _, key := range []string{"key", "groupsFile", "enabled", "lists", "separator"} {
			if c.given(key) {
				c.refuse(key, "this is about CSV, and %s says keys, groups and who is enabled itself; take it away", c.PeopleFile)
			}
		}
		return
	}
	if c.Key == "" {
		c.Fail(c.At(c.path), c.path, "key is missing; name the column that identifies a person for ever, such as an employee's number")
	}
	if isJSON(c.GroupsFile) {
		c.refuse("groupsFile", "groups beside a CSV file of people are in CSV too")
	}
	if e := c.Source.Enabled; e != nil {
		switch {
		case e.Column == "":
			c.refuse("enabled", "column is missing; name the one that tells whether somebody is enabled")
		case len(e.Yes)+len(e.No) == 0:
			c.refuse("enabled", "write no, the values that mean disabled, or yes, those that mean enabled")
		}
		c.contradiction()
	}
}

// ofAssertions are the settings of a feed that are about signed assertions alone.
var ofAssertions = []string{"issuer", "audience", "recipient", "key", "groups.attribute"}

// feed refuses a feed whose posts nobody can check, and assertions of which it is not said for whom they must be.
func (c checker) feed() {
	if !c.given("secret") && !c.given("certificate") {
		c.Fail(c.At(c.path), c.path, "write secret, by which posts are signed, or certificate, by which the identity provider signs assertions, or both")
	}
	for _, key := range ofAssertions {
		switch needed := key == "issuer" || key == "audience" || key == "recipient"; {
		case !c.given("certificate") && c.given(key):
			c.refuse(key, "this is about assertions, which need certificate; write it, or take this away")
		case c.given("certificate") && needed && !c.given(key):
			c.Fail(c.At(c.path), c.path, "%s is missing; assertions must have exactly this %[1]s, as the identity provider shows it for the application", key)
		}
	}
	if u, err := url.Parse(c.Recipient); err != nil || c.Recipient != "" && (u.Host == "" || u.String() != c.Recipient) {
		c.refuse("recipient", "this is no address; write it as the identity provider shows it, as the Assertion Consumer Service or Reply URL")
	}
}

// place refuses files that are nowhere, or in two places, and credentials that nobody is sent.
func (c checker) place() {
	switch {
	case (c.Folder == "") == (c.URL == ""):
		c.Fail(c.At(c.path), c.path, "write either folder or url, where the files are")
	case c.Folder != "" && c.given("secret"):
		c.refuse("secret", "files in a folder are read without one; take it away")
	case c.User != "" && !c.given("secret"):
		c.refuse("user", "secret is missing, the password of this user")
	default:
		c.https("url", c.URL)
	}
}

// service checks what is read by https.
func (c checker) service() {
	c.https("url", c.URL)
	c.https("loginUrl", c.LoginURL)
	c.skipped()
	switch c.Kind {
	case SCIM:
		if strings.Contains(c.User, ":") {
			c.refuse("user", "the name of a user has no colon")
		}
	case Okta:
		if c.KeyID != "" && c.ClientID == "" {
			c.refuse("keyId", "clientId is missing; without a client, secret is an API token, which needs no keyId")
		}
	case Entra:
		if c.given("secret") == c.given("certificate") {
			c.Fail(c.At(c.path), c.path, "write either secret or certificate, by which the app registration signs in")
		}
		if slices.Contains([]string{"common", "organizations", "consumers"}, strings.ToLower(c.Tenant)) {
			c.refuse("tenant", "%q is no tenant of yours; write its id or domain", c.Tenant)
		}
	}
}

// https refuses addresses that are not https. Plain http is for this machine only.
func (c checker) https(key, text string) {
	if text == "" {
		return
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
		u.Scheme != "https" && !(u.Scheme == "http" && isLoopback(u.Hostname())) {
		c.refuse(key, "this is not an address that can be read safely; write https://host, with its path if it has one, and no credentials in it")
	}
}

func isHostOnly(u *url.URL) bool {
	return u.Hostname() != "" && u.User == nil && strings.Trim(u.Path, "/") == "" && u.RawQuery == "" && u.Fragment == ""
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func isJSON(name string) bool { return strings.EqualFold(path.Ext(name), ".json") }

// checkFileName refuses what is no file beside the manifest.
func checkFileName(s string) error {
	extension := strings.ToLower(path.Ext(s))
	switch {
	case path.Base(s) != s || len(s) > 255 || strings.Contains(s, `\`) || s == "manifest.json":
		return fmt.Errorf("%q is not the name of a file beside the manifest", strictyaml.Shown(s))
	case !slices.Contains([]string{".csv", ".tsv", ".txt", ".json"}, extension):
		return fmt.Errorf("%q is of no kind that is read; write one that ends in .csv, .tsv, .txt or .json",
			strictyaml.Shown(s))
	}
	return nil
}
