package ldap

import (
	"fmt"
	"testing"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/source"
)

// chain is five groups, each in the one before, the last of which holds the first again.
func chain() []fakeEntry {
	entries := people(6)
	for level := range 5 {
		inner := fmt.Sprintf("CN=level%d,OU=groups, DC=acme", (level+1)%5)
		entries = append(entries, groupOf(fmt.Sprintf("level%d", level), level, entries[level].dn, inner))
	}
	return entries
}

func TestGroupsNested(t *testing.T) {
	fake := newFake(t, chain()...)
	options := fake.options(false)
	s := readAll(t, options)
	require.Equal(t, []string{uuidOf(0)}, s.groups["level0"].Members, "direct members")

	options.Groups.Nested = true
	s = readAll(t, options)
	require.Len(t, s.groups, 5)
	for level := range 5 {
		require.Len(t, s.groups[fmt.Sprintf("level%d", level)].Members, 5, "all are in a cycle")
	}
	options.Groups.Filter = "(cn=level3)"
	s = readAll(t, options)
	require.Len(t, s.groups, 1, "the others are not in scope")
	require.Len(t, s.groups["level3"].Members, 5, "but their members are in it")
}

// TestGroupsNestedCycles: groups that contain each other are named, if groups in groups are followed.
func TestGroupsNestedCycles(t *testing.T) {
	for name, c := range map[string]struct {
		groups map[string][]string // the groups in each
		filter string
		want   [][]string
	}{
		"of one": {groups: map[string][]string{"a": {"a"}}, want: [][]string{{"a"}}},
		"of two": {groups: map[string][]string{"a": {"b"}, "b": {"a"}}, want: [][]string{{"a", "b"}}},
		"of three": {groups: map[string][]string{"a": {"c"}, "b": {"a"}, "c": {"b"}},
			want: [][]string{{"a", "c", "b"}}},
		"two": {groups: map[string][]string{"a": {"b"}, "b": {"a", "x"}, "x": {"y"}, "y": {"x"}},
			want: [][]string{{"a", "b"}, {"x", "y"}}},
		"a diamond": {groups: map[string][]string{"a": {"b", "c"}, "b": {"d"}, "c": {"d"}, "d": {}}},
		"out of scope": {groups: map[string][]string{"a": {"b"}, "b": {"c"}, "c": {"b"}}, filter: "(cn=a)",
			want: [][]string{{"b", "c"}}},
	} {
		t.Run(name, func(t *testing.T) {
			entries := people(1)
			for g, inner := range c.groups {
				members := []string{person(0).dn}
				for _, name := range inner {
					members = append(members, "CN="+name+",OU=groups, DC=acme")
				}
				entries = append(entries, groupOf(g, int(g[0]), members...))
			}
			options := newFake(t, entries...).options(false)
			if c.filter != "" {
				options.Groups.Filter = c.filter
			}
			require.Empty(t, readAll(t, options).proof.Cycles, "nothing is followed")
			options.Groups.Nested = true
			require.Equal(t, c.want, readAll(t, options).proof.Cycles)
		})
	}
}

func TestGroupsNestedTooDeep(t *testing.T) {
	for _, filter := range []string{"(objectClass=groupOfNames)", "(cn=g0)"} {
		entries := people(1)
		for level := range maxDepth + 3 {
			entries = append(entries, groupOf(fmt.Sprintf("g%d", level), level,
				fmt.Sprintf("cn=g%d,ou=groups,dc=acme", level+1)))
		}
		fake := newFake(t, entries...)
		options := fake.options(false)
		options.Groups.Nested, options.Groups.Filter = true, filter
		_, err := read(t, options)
		require.ErrorIs(t, err, source.ErrInvalid)
		require.ErrorContains(t, err, "64 deep")
	}
}

// TestGroupsMembersOutOfScope: nobody drops out of a group by being out of the scope of people.
func TestGroupsMembersOutOfScope(t *testing.T) {
	moved := person(9)
	moved.dn = "uid=p9,ou=leavers,dc=acme"
	printer := fakeEntry{dn: "cn=printer,dc=acme", attributes: map[string][]string{"objectClass": {"device"}}}
	fake := newFake(t, append(people(3), moved, printer, groupOf("inner", 2, moved.dn),
		groupOf("dev", 1, person(1).dn, moved.dn, printer.dn, "uid=deleted,dc=acme", "cn=inner,ou=groups,dc=acme"))...)
	options := fake.options(false)
	options.People.Base, options.Groups.Filter = "ou=people,dc=acme", "(cn=dev)"
	s := readAll(t, options)
	require.Len(t, s.people, 3)
	require.Equal(t, []string{uuidOf(1), uuidOf(9)}, s.groups["dev"].Members)
}

func TestGroupsMembersInDoubt(t *testing.T) {
	tests := map[string]struct {
		answer func(q *fakeSearch)
		kind   error
	}{
		"hidden":   {func(q *fakeSearch) { q.done(ldap.LDAPResultSuccess, "") }, source.ErrForbidden},
		"no right": {func(q *fakeSearch) { q.done(ldap.LDAPResultInsufficientAccessRights, "") }, source.ErrForbidden},
		"referral": {func(q *fakeSearch) { q.done(ldap.LDAPResultReferral, "") }, source.ErrIncomplete},
		"reference": {func(q *fakeSearch) {
			q.reference("ldap://other/dc=acme")
			q.done(ldap.LDAPResultSuccess, "")
		}, source.ErrIncomplete},
		"busy": {func(q *fakeSearch) { q.done(ldap.LDAPResultBusy, "") }, source.ErrUnavailable},
		"no key": {func(q *fakeSearch) {
			q.entry(fakeEntry{dn: q.base, attributes: map[string][]string{"objectClass": {"person"}}})
			q.done(ldap.LDAPResultSuccess, "")
		}, source.ErrForbidden},
		"a hang-up": {func(q *fakeSearch) { _ = q.conn.Close() }, source.ErrUnavailable},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			fake := newFake(t, append(people(3), groupOf("dev", 1, person(1).dn, "uid=other,dc=elsewhere"))...)
			fake.search = func(_ int, q *fakeSearch) bool {
				if q.scope == ldap.ScopeBaseObject {
					test.answer(q)
				}
				return q.scope == ldap.ScopeBaseObject
			}
			options := fake.options(false)
			_, err := read(t, options)
			require.ErrorIs(t, err, test.kind)

			options.Elsewhere = []string{"dc=elsewhere"}
			require.Equal(t, []string{uuidOf(1)}, readAll(t, options).groups["dev"].Members)
		})
	}
}

// TestGroupsMembersWhoLookAlike: DNs that differ in case alone may be of two entries. The server tells them apart.
func TestGroupsMembersWhoLookAlike(t *testing.T) {
	upper, lower := person(1), person(2)
	upper.dn, lower.dn = "exact=A,dc=acme", "exact=a,dc=acme"
	fake := newFake(t, upper, lower, groupOf("dev", 1, upper.dn), groupOf("ops", 2, lower.dn))
	fake.search = func(_ int, q *fakeSearch) bool {
		if q.scope != ldap.ScopeBaseObject {
			return false
		}
		q.entry(map[string]fakeEntry{upper.dn: upper, lower.dn: lower}[q.base])
		q.done(ldap.LDAPResultSuccess, "")
		return true
	}
	s := readAll(t, fake.options(false))
	require.Equal(t, []string{uuidOf(1)}, s.groups["dev"].Members)
	require.Equal(t, []string{uuidOf(2)}, s.groups["ops"].Members)
}

// TestGroupsPrimary: Active Directory does not list those whose primary group it is.
func TestGroupsPrimary(t *testing.T) {
	users := adGroup("Domain Users", 5)
	users.attributes["primaryGroupToken"] = []string{"513"}
	outside := adPerson(4)
	outside.dn = "CN=P4,OU=Leavers,DC=acme"
	fake := newFake(t, adPerson(1), adPerson(2), outside, users, adGroup("staff", 6, users.dn))
	for _, base := range []string{"DC=acme", "ou=staff,DC=acme"} {
		options := fake.options(true)
		options.People.Base, options.Groups.Nested = base, true
		s := readAll(t, options)
		require.Len(t, s.groups["Domain Users"].Members, 3, base)
		require.Len(t, s.groups["staff"].Members, 3, base)
	}
}

func TestGroupsThatAreMalformed(t *testing.T) {
	tests := map[string]struct {
		attribute string
		values    []string
		kind      error
	}{
		"no key":       {"entryUUID", nil, source.ErrForbidden},
		"another's":    {"entryUUID", []string{uuidOf(900002)}, source.ErrMalformed},
		"no name":      {"cn", nil, source.ErrForbidden},
		"binary name":  {"cn", []string{"\xff"}, source.ErrMalformed},
		"strange part": {"member;range=5-2", []string{"uid=p1"}, source.ErrMalformed},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			bad := groupOf("dev", 1)
			bad.attributes[test.attribute] = test.values
			fake := newFake(t, person(9), bad, groupOf("ops", 2))
			fake.search = func(_ int, q *fakeSearch) bool {
				for _, entry := range fake.find(q) {
					q.entry(entry)
				}
				q.done(ldap.LDAPResultSuccess, "", &ldap.ControlPaging{})
				return true
			}
			_, err := read(t, fake.options(false))
			require.ErrorIs(t, err, test.kind)
		})
	}
}

func TestGroupsByName(t *testing.T) {
	fake := newFake(t, append(people(3), groupOf("atl-dev", 1, "cn=ops,ou=groups,dc=acme"),
		groupOf("ops", 2, person(2).dn), groupOf("Café", 3))...)
	options := fake.options(false)
	options.Groups.Names, options.Groups.Nested = []string{"ATL-*", "caf?"}, true
	s := readAll(t, options)
	require.Len(t, s.groups, 2)
	require.Equal(t, []string{uuidOf(2)}, s.groups["atl-dev"].Members, "through a group of another name")

	options.Groups.Names = []string{""}
	_, err := New(options)
	require.ErrorIs(t, err, source.ErrInvalid)
}

func TestGroupFilter(t *testing.T) {
	r := &Reader{o: Options{Groups: Groups{Filter: "(objectClass=group)", Name: "cn"}}}
	require.Equal(t, "(objectClass=group)", r.groupFilter())
	r.o.Groups.Names = []string{"atl-*", "a?*b", "caf\u00e9)", `a\b`}
	require.Equal(t, `(&(objectClass=group)(|(cn=atl-*)(cn=a*b)(cn=caf*\29)(cn=a\5cb)))`, r.groupFilter())
	_, err := ldap.CompileFilter(r.groupFilter())
	require.NoError(t, err)
}

func TestGroupsSkipped(t *testing.T) {
	fake := newFake(t, append(people(3), groupOf("dev", 1))...)
	options := fake.options(false)
	options.Groups.Skip = true
	require.Empty(t, readAll(t, options).groups)
	require.Equal(t, 1, fake.count())
}
