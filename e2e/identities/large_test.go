package identities_test

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
	"github.com/castellan-io/castellan/simulator/idp/ldap"
)

const (
	atOnce = 1500 // values of an attribute that Active Directory gives at once
	reader = "CN=reader,DC=acme"
	team   = "CN=engineers,OU=Groups,DC=acme"
)

// startDirectory serves a directory like Active Directory, of people p0, p1 and so on, and a group of most of them.
func startDirectory(t *testing.T, people, members int) *ldap.Server {
	t.Helper()
	d, err := ldap.Listen(ldap.Options{BindDN: reader, Password: "secret", MaxValues: atOnce})
	require.NoError(t, err)
	t.Cleanup(d.Close)
	require.NoError(t, d.Add("", map[string][]string{"objectClass": {"top"}}))
	var dns []string
	for n := range people {
		dns = append(dns, memberDN(n))
		require.NoError(t, d.Add(memberDN(n), map[string][]string{"objectClass": {"user"}, "objectCategory": {"person"},
			"objectGUID": {guid(n)}, "userAccountControl": {"512"}, "mail": {fmt.Sprintf("p%d@example.com", n)}}))
	}
	require.NoError(t, d.Add(team, map[string][]string{"objectClass": {"group"}, "objectCategory": {"group"},
		"objectGUID": {guid(people)}, "cn": {"engineers"}, "member": dns[:members]}))
	return d
}

func memberDN(n int) string { return fmt.Sprintf("CN=P%d,OU=Staff,DC=acme", n) }

func guid(n int) string { return string(binary.BigEndian.AppendUint64(make([]byte, 8), uint64(n))) }

// TestLDAPMemberAfterARangeJoins: a group grows beyond what Active Directory gives of it at once. Whoever is new in it
// gets what it gives, and nobody else loses that.
func TestLDAPMemberAfterARangeJoins(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	file := cloud.OrgFile{People: []string{"boss"}, Admins: []string{"boss"}, Local: []cloud.OrgGroup{{Name: tools}}}
	for n := range atOnce + 1 {
		file.People = append(file.People, fmt.Sprintf("p%d", n))
	}
	file.Foreign = map[string][]string{tools: file.People[1 : atOnce+1]}
	directory := startDirectory(t, atOnce+1, atOnce)
	o := &testOrg{t: t, Stack: suite.StartWith(t, stack.SourceSecret(directory.Address(), "secret"),
		"--org", suite.OrgFile(t, file))}
	o.Files = suite.NewFiles(t, "hr", stack.SourceFolder(o.Dir))
	o.settled(o.policy([]map[string]any{{"name": "engineers", "from": []string{"corp:engineers"},
		"to": []string{"group:" + tools}, "removals": "all"}}, map[string]any{"sources": []any{map[string]any{"name": "corp", "kind": "ldap",
		"url": "ldap://" + directory.Address(), "base": "DC=acme", "bind": reader, "secret": "env:" + stack.SourceVariable,
		"activeDirectory": true, "every": "5s"}}}))
	before := o.membersOf(tools)
	require.Len(t, before, atOnce)
	require.NoError(t, o.Simulator.ResetStats(t.Context()))

	require.NoError(t, directory.Set(team, "member", append(directory.Values(team, "member"), memberDN(atOnce))...))
	o.eventually(func() error {
		if n := len(o.membersOf(tools)); n != atOnce+1 {
			return fmt.Errorf("%s has %d members", tools, n)
		}
		return nil
	})
	require.Subset(t, o.membersOf(tools), before)

	// What two reads agree on is taken: that, and nothing else.
	require.NoError(t, directory.Set(team, "member", directory.Values(team, "member")[1:]...))
	state := o.state()
	leaver := suite.Person(t, state, "p0").AccountID
	o.eventually(func() error {
		if slices.Contains(o.membersOf(tools), leaver) {
			return fmt.Errorf("%s is still in %s", leaver, tools)
		}
		return nil
	})
	require.Len(t, o.membersOf(tools), atOnce)
	stats := o.stats()
	require.Equal(t, 1, stats.Operations["memberships.add"])
	require.Equal(t, 1, stats.Operations["memberships.remove"])
	require.Nil(t, o.until(func(s messages.OrgSyncState) bool { return stack.Idle(s) }).Hold)
}

// membersOf are the account ids of a group's members at Atlassian.
func (o *testOrg) membersOf(group string) []string {
	o.t.Helper()
	ids, err := o.Simulator.MembersOf(o.t.Context(), group)
	require.NoError(o.t, err)
	return ids
}
