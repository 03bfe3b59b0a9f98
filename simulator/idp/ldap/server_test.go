package ldap_test

import (
	"testing"

	wire "github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/simulator/idp/ldap"
)

// bound is a directory of two people and a group, and a connection to it.
func bound(t *testing.T) (*ldap.Server, *wire.Conn) {
	t.Helper()
	s, err := ldap.Listen(ldap.Options{BindDN: "cn=reader,dc=acme", Password: "secret"})
	require.NoError(t, err)
	t.Cleanup(s.Close)
	for _, name := range []string{"ana", "bo"} {
		require.NoError(t, s.Add("uid="+name+",ou=people,dc=acme", map[string][]string{
			"objectClass": {"inetOrgPerson"}, "uid": {name}, "entryUUID": {"key of " + name},
		}))
	}
	require.NoError(t, s.Add("cn=lab,ou=groups,dc=acme", map[string][]string{
		"objectClass": {"groupOfNames"}, "cn": {"lab"}, "member": {"uid=ana,ou=people,dc=acme"},
	}))
	c, err := wire.DialURL("ldap://" + s.Address())
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.Bind("cn=reader,dc=acme", "secret"))
	return s, c
}

func search(t *testing.T, c *wire.Conn, base string, scope int, filter string, names ...string) []*wire.Entry {
	t.Helper()
	found, err := c.SearchWithPaging(
		wire.NewSearchRequest(base, scope, wire.NeverDerefAliases, 0, 0, false, filter, names, nil), 1)
	require.NoError(t, err)
	return found.Entries
}

func TestServerBind(t *testing.T) {
	t.Parallel()
	_, c := bound(t)
	who, err := c.WhoAmI(nil)
	require.NoError(t, err)
	require.Equal(t, "dn:cn=reader,dc=acme", who.AuthzID)
	require.True(t, wire.IsErrorWithCode(c.Bind("cn=reader,dc=acme", "guess"), wire.LDAPResultInvalidCredentials))
	_, err = c.Search(wire.NewSearchRequest("dc=acme", wire.ScopeWholeSubtree, 0, 0, 0, false, "(uid=ana)", nil, nil))
	require.True(t, wire.IsErrorWithCode(err, wire.LDAPResultInsufficientAccessRights))
}

func TestServerSearch(t *testing.T) {
	t.Parallel()
	_, c := bound(t)
	for filter, want := range map[string][]string{
		"(objectClass=*)":                         {"uid=ana,ou=people,dc=acme", "uid=bo,ou=people,dc=acme", "cn=lab,ou=groups,dc=acme"},
		"(objectClass=INETORGPERSON)":             {"uid=ana,ou=people,dc=acme", "uid=bo,ou=people,dc=acme"},
		"(&(objectClass=*)(entryUUID=key of bo))": {"uid=bo,ou=people,dc=acme"},
		"(|(uid=ana)(cn=lab))":                    {"uid=ana,ou=people,dc=acme", "cn=lab,ou=groups,dc=acme"},
		"(&(uid=*)(!(uid=ana)))":                  {"uid=bo,ou=people,dc=acme"},
		"(uid>=a)":                                nil,
	} {
		var found []string
		for _, e := range search(t, c, "dc=acme", wire.ScopeWholeSubtree, filter) {
			found = append(found, e.DN)
		}
		require.Equal(t, want, found, filter)
	}
	require.Len(t, search(t, c, "OU=groups,DC=acme", wire.ScopeWholeSubtree, "(objectClass=*)"), 1)
	require.Len(t, search(t, c, "uid=bo,ou=people,dc=acme", wire.ScopeBaseObject, "(objectClass=*)"), 1)
	_, err := c.Search(wire.NewSearchRequest("uid=none,dc=acme", wire.ScopeBaseObject, 0, 0, 0, false, "(uid=*)", nil, nil))
	require.True(t, wire.IsErrorWithCode(err, wire.LDAPResultNoSuchObject))
}

// TestServerSet: what changed is shown to the next search; operational attributes only to who asks for them.
func TestServerSet(t *testing.T) {
	t.Parallel()
	s, c := bound(t)
	const bo = "uid=bo,ou=people,dc=acme"
	require.NoError(t, s.Set(bo, "Title", "Head of lab"))
	require.Error(t, s.Set("uid=none,dc=acme", "title", "x"))
	require.Error(t, s.Add("UID=BO,ou=people,dc=acme", nil))
	entry := search(t, c, bo, wire.ScopeBaseObject, "(objectClass=*)", "*")[0]
	require.Equal(t, "Head of lab", entry.GetEqualFoldAttributeValue("title"))
	require.Empty(t, entry.GetEqualFoldAttributeValue("entryUUID"))
	entry = search(t, c, bo, wire.ScopeBaseObject, "(objectClass=*)", "entryUUID")[0]
	require.Equal(t, "key of bo", entry.GetEqualFoldAttributeValue("entryUUID"))
	require.Empty(t, entry.GetEqualFoldAttributeValue("title"))
	require.NoError(t, s.Set(bo, "title"))
	require.Empty(t, search(t, c, bo, wire.ScopeBaseObject, "(title=*)"))
}

// TestServerRanges: what has more values than are given at once is shown empty, beside its first range; the others
// follow by name, up to one that ends in a star.
func TestServerRanges(t *testing.T) {
	t.Parallel()
	s, err := ldap.Listen(ldap.Options{BindDN: "cn=reader,dc=acme", Password: "secret", MaxValues: 2})
	require.NoError(t, err)
	t.Cleanup(s.Close)
	const lab = "cn=lab,dc=acme"
	require.NoError(t, s.Add(lab, map[string][]string{"objectClass": {"group"}, "member": {"a", "b", "c", "d", "e"}}))
	c, err := wire.DialURL("ldap://" + s.Address())
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.Bind("cn=reader,dc=acme", "secret"))
	shown := func(names ...string) map[string][]string {
		all := map[string][]string{}
		for _, a := range search(t, c, lab, wire.ScopeBaseObject, "(objectClass=*)", names...)[0].Attributes {
			all[a.Name] = a.Values
		}
		return all
	}
	require.Equal(t, map[string][]string{"member": {}, "member;range=0-1": {"a", "b"}}, shown("member"))
	require.Equal(t, map[string][]string{"member;range=2-3": {"c", "d"}}, shown("member;range=2-*"))
	require.Equal(t, map[string][]string{"member;range=4-*": {"e"}}, shown("member;range=4-*"))
	require.Empty(t, shown("member;range=5-*"))
	require.NoError(t, s.Set(lab, "member", "a", "b"))
	require.Equal(t, map[string][]string{"member": {"a", "b"}}, shown("member"))
}

// TestServerRemove: an entry that was removed is not found, the others are, and its name is free again.
func TestServerRemove(t *testing.T) {
	t.Parallel()
	s, c := bound(t)
	require.NoError(t, s.Remove("UID=ana,ou=people,dc=acme"))
	require.Error(t, s.Remove("uid=ana,ou=people,dc=acme"))
	found := search(t, c, "dc=acme", wire.ScopeWholeSubtree, "(objectClass=*)")
	require.Len(t, found, 2)
	require.NoError(t, s.Add("uid=ana,ou=people,dc=acme", map[string][]string{"uid": {"ana"}}))
	require.Len(t, search(t, c, "dc=acme", wire.ScopeWholeSubtree, "(uid=ana)"), 1)
}
