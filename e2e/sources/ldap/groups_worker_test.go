package ldap_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	client "github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// groupsOrg is an organization whose groups follow those of a slapd that are called team-….
type groupsOrg struct {
	*stack.Stack
	t     *testing.T
	slapd *slapd
}

// groupDN is where a group is in the directory.
func groupDN(name string) string { return "cn=" + name + ",ou=groups,dc=acme" }

// memberDNs are DNs of people and, with their type, of groups: "p1", "cn=team-a".
func memberDNs(members []string) (all []string) {
	for _, name := range members {
		if strings.HasPrefix(name, "cn=") {
			all = append(all, name+",ou=groups,dc=acme")
		} else {
			all = append(all, "uid="+name+",ou=people,dc=acme")
		}
	}
	return all
}

// startGroups starts the organization with p0 to p9 and the groups given, and consents to its first plan.
func startGroups(t *testing.T, groups map[string][]string) *groupsOrg {
	t.Helper()
	var ldif strings.Builder
	entry := func(dn string, lines ...string) {
		fmt.Fprintf(&ldif, "dn: %s\n%s\n\n", dn, strings.Join(lines, "\n"))
	}
	entry("dc=acme", "objectClass: dcObject", "objectClass: organization", "o: Acme")
	entry("ou=people,dc=acme", "objectClass: organizationalUnit")
	entry("ou=groups,dc=acme", "objectClass: organizationalUnit")
	entry("cn=reader,dc=acme", "objectClass: organizationalRole", "objectClass: simpleSecurityObject",
		"userPassword: secret")
	file := cloud.OrgFile{Domains: []string{mailDomain}, People: []string{"boss"}, Admins: []string{"boss"}}
	for n := range 10 {
		file.People = append(file.People, fmt.Sprintf("p%d", n))
		entry(fmt.Sprintf("uid=p%d,ou=people,dc=acme", n), "objectClass: inetOrgPerson",
			fmt.Sprintf("cn: Person %d", n), "sn: Person", "mail: "+mailOf(n))
	}
	for name, members := range groups {
		entry(groupDN(name), "objectClass: groupOfNames", "member: "+strings.Join(memberDNs(members), "\nmember: "))
	}
	o := &groupsOrg{t: t, slapd: startSlapd(t, ldif.String())}
	o.Stack = suite.StartWith(t, append(stack.SourceSecret(o.slapd.secure, "secret"),
		"CASTELLAN_SOURCE_CA="+filepath.Join(o.slapd.dir, "cert")), "--org", suite.OrgFile(t, file))
	policy, err := json.Marshal(map[string]any{
		"version":      1,
		"organization": map[string]any{"name": suite.Org, "id": o.Simulator.OrgID, "key": "env:" + stack.KeyVariable},
		"sources": []any{map[string]any{"name": "corp", "kind": "ldap", "url": "ldaps://" + o.slapd.secure,
			"base": "dc=acme", "bind": "cn=reader,dc=acme", "secret": "env:" + stack.SourceVariable, "every": "5s",
			"people": map[string]any{"base": "ou=people,dc=acme"}, "groups": map[string]any{"nested": true}}},
		"groups": []any{map[string]any{"name": "teams", "from": []string{"corp:team-*"}, "create": true}},
		"guard":  map[string]any{"settle": "0s"},
		"sync":   map[string]any{"feed": "5s", "every": "1h"},
	})
	require.NoError(t, err)
	suite.Settle(t, o.Stack, string(policy))
	return o
}

// changes adds a member to a group of the directory, or takes one out.
func (o *groupsOrg) changes(group string, joins, leaves []string) {
	o.t.Helper()
	request := client.NewModifyRequest(groupDN(group), nil)
	if len(joins) > 0 {
		request.Add("member", memberDNs(joins))
	}
	if len(leaves) > 0 {
		request.Delete("member", memberDNs(leaves))
	}
	require.NoError(o.t, o.slapd.admin(o.t).Modify(request))
}

func (o *groupsOrg) deletes(group string) {
	o.t.Helper()
	require.NoError(o.t, o.slapd.admin(o.t).Del(client.NewDelRequest(groupDN(group), nil)))
}

// members are the names of a group's members at Atlassian, and whether there is such a group.
func (o *groupsOrg) members(group string) (names []string, there bool) {
	o.t.Helper()
	state := suite.State(o.t, o.Stack)
	there = slices.ContainsFunc(state.Groups, func(g cloud.StateGroup) bool { return g.Name == group && !g.Synced })
	for _, id := range stack.Members(state, group) {
		i := slices.IndexFunc(state.People, func(p cloud.StatePerson) bool { return p.AccountID == id })
		names = append(names, state.People[i].Name)
	}
	slices.Sort(names)
	return names, there
}

// become waits until a group is there and has exactly these members.
func (o *groupsOrg) become(group string, names ...string) {
	o.t.Helper()
	suite.Eventually(o.t, func() error {
		if is, there := o.members(group); !there || !slices.Equal(is, names) {
			return fmt.Errorf("%s has %v (there: %v), not %v", group, is, there, names)
		}
		return nil
	})
}

// verified has everybody verified, and waits for it.
func (o *groupsOrg) verified() messages.OrgSyncState {
	o.t.Helper()
	before := suite.Until(o.t, o.Stack, func(s messages.OrgSyncState) bool {
		return s.LastFull != nil && s.Running == nil
	}).LastFull.Run
	var answer messages.Answer
	require.NoError(o.t, o.Update(o.t.Context(), suite.Org, messages.SyncNow, messages.SyncNowInput{By: "test"},
		&answer))
	return suite.Until(o.t, o.Stack, func(s messages.OrgSyncState) bool {
		return s.LastFull.Run > before && s.Running == nil
	})
}

// finding has everybody verified until a finding of this beginning is there, and returns it.
func (o *groupsOrg) finding(begins string) (text string) {
	o.t.Helper()
	suite.Eventually(o.t, func() error {
		all := o.verified().Findings
		i := slices.IndexFunc(all, func(f string) bool { return strings.HasPrefix(f, begins) })
		if i < 0 {
			return fmt.Errorf("no finding begins with %q: %v", begins, all)
		}
		text = all[i]
		return nil
	})
	return text
}

// changed lists the changes of a group's members that took effect so far, as "+p1" and "-p1".
func (o *groupsOrg) changed(group string) (all []string) {
	o.t.Helper()
	history, err := o.Simulator.History(o.t.Context())
	require.NoError(o.t, err)
	for _, c := range history {
		name, _, _ := strings.Cut(c.Email, "@")
		switch {
		case c.What != "group:"+group:
		case c.Holds:
			all = append(all, "+"+name)
		default:
			all = append(all, "-"+name)
		}
	}
	return all
}

// held waits until the removal of so many members of a group is held by the group's name, and returns the hold.
func (o *groupsOrg) held(group string, removals int) *messages.Hold {
	o.t.Helper()
	hold := suite.Until(o.t, o.Stack, func(s messages.OrgSyncState) bool {
		return s.Hold != nil && s.Hold.Removals == removals
	}).Hold
	require.Len(o.t, hold.Rules, 1)
	require.Contains(o.t, hold.Rules[0], "group-delete")
	require.Contains(o.t, hold.Rules[0], "corp:"+group)
	return hold
}

// TestGroupsFollowSlapd: groups of the directory become groups at Atlassian; who joins or leaves one joins or leaves
// the other. A group that is renamed in the directory goes on being followed under its former name, and one that is
// deleted keeps its members until somebody approves that they leave.
func TestGroupsFollowSlapd(t *testing.T) {
	t.Parallel()
	o := startGroups(t, map[string][]string{"team-eng": {"p0", "p1", "p2"}, "team-ops": {"p3", "p4"}, "staff": {"p5"}})
	o.become("team-eng", "p0", "p1", "p2")
	o.become("team-ops", "p3", "p4")
	_, there := o.members("staff")
	require.False(t, there, "no entry names it")

	o.changes("team-eng", []string{"p9"}, []string{"p0"})
	o.become("team-eng", "p1", "p2", "p9")
	was := o.changed("team-eng")
	require.ElementsMatch(t, []string{"+p0", "+p1", "+p2", "+p9", "-p0"}, was)

	rename := client.NewModifyDNRequest(groupDN("team-eng"), "cn=team-engineers", true, "")
	require.NoError(t, o.slapd.admin(t).ModifyDN(rename))
	renamed := o.finding("group-renamed corp:team-engineers")
	require.Contains(t, renamed, "still team-eng and still follows it")
	require.Equal(t, was, o.changed("team-eng"), "nobody was removed or added for the new name")
	_, there = o.members("team-engineers")
	require.False(t, there, "no second group was made")
	o.changes("team-engineers", []string{"p8"}, []string{"p1"})
	o.become("team-eng", "p2", "p8", "p9")
	_, there = o.members("team-engineers")
	require.False(t, there)

	o.deletes("team-ops")
	o.held("team-ops", 2)
	out, err := o.Starter(t.Context(), "plan", "--held", suite.Org)
	require.NoError(t, err, out)
	for _, n := range []int{3, 4} {
		require.Regexp(t, `remove +`+mailOf(n)+` +group:team-ops +held +group-delete`, out)
	}
	o.changes("team-engineers", []string{"p7"}, nil) // what is not held goes on
	o.become("team-eng", "p2", "p7", "p8", "p9")
	hold := o.held("team-ops", 2)
	o.become("team-ops", "p3", "p4")
	require.ElementsMatch(t, []string{"+p3", "+p4"}, o.changed("team-ops"))
	require.NoError(t, o.Decide(t.Context(), suite.Org, messages.ApprovePlan, hold.Plan))
	o.become("team-ops")
	require.ElementsMatch(t, []string{"+p3", "+p4", "-p3", "-p4"}, o.changed("team-ops"))
	require.Nil(t, suite.Until(t, o.Stack, stack.Idle).Hold)
}

// TestGroupsFollowSlapdMadeAgain: a group is deleted and another one of the same name is made, with other people. It is
// not taken for the same: nobody is removed or added, until a person has seen in whom the two differ.
func TestGroupsFollowSlapdMadeAgain(t *testing.T) {
	t.Parallel()
	o := startGroups(t, map[string][]string{"team-web": {"p0", "p1"}, "team-eng": {"p2"}})
	o.become("team-web", "p0", "p1")
	o.become("team-eng", "p2")
	o.deletes("team-web")
	add(t, o.slapd.admin(t), groupDN("team-web"), map[string][]string{"objectClass": {"groupOfNames"},
		"member": memberDNs([]string{"p1", "p9"})})

	found := o.finding("group-conflict team-web")
	require.Contains(t, found, "1 people of the source's group are not in it, and 1 are in it alone")
	o.changes("team-eng", []string{"p3"}, nil) // the other groups go on
	o.become("team-eng", "p2", "p3")
	o.held("team-web", 2) // since the former group is gone
	o.verified()
	o.become("team-web", "p0", "p1")
	require.ElementsMatch(t, []string{"+p0", "+p1"}, o.changed("team-web"))

	out, err := o.Starter(t.Context(), "--json", "conflicts", suite.Org, "team-web")
	require.NoError(t, err, out)
	var answer messages.ReportAnswer
	require.NoError(t, json.Unmarshal([]byte(out), &answer))
	require.Len(t, answer.Conflicts, 1)
	differ := map[string]bool{}
	for _, p := range answer.Conflicted {
		differ[p.Email] = p.Missing
	}
	require.Equal(t, map[string]bool{mailOf(9): true, mailOf(0): false}, differ)
	var accepted messages.Answer
	require.NoError(t, o.Update(t.Context(), suite.Org, messages.AcceptConflict,
		messages.ConflictInput{Conflict: answer.Conflicts[0].Conflict, By: "boss@" + mailDomain}, &accepted))
	o.become("team-web", "p1", "p9")
	require.ElementsMatch(t, []string{"+p0", "+p1", "+p9", "-p0"}, o.changed("team-web"), "p1 was in it all the time")
	o.changes("team-web", []string{"p4"}, []string{"p1"})
	o.become("team-web", "p4", "p9")
	state := suite.Until(t, o.Stack, stack.Idle)
	require.Nil(t, state.Hold, "nothing is left of the former group")
	require.NotContains(t, strings.Join(state.Findings, "\n"), "group-conflict")
}

// TestGroupsFollowSlapdInACycle: of two groups that are in each other, each has the people of both, and so do the
// groups that follow them.
func TestGroupsFollowSlapdInACycle(t *testing.T) {
	t.Parallel()
	o := startGroups(t, map[string][]string{"team-a": {"p0", "p1", "cn=team-b"}, "team-b": {"p2", "cn=team-a"},
		"team-top": {"cn=team-a", "p3"}})
	o.become("team-a", "p0", "p1", "p2")
	o.become("team-b", "p0", "p1", "p2")
	o.become("team-top", "p0", "p1", "p2", "p3")
	o.changes("team-b", []string{"p4"}, []string{"p2"})
	for _, group := range []string{"team-a", "team-b"} {
		o.become(group, "p0", "p1", "p4")
	}
	o.become("team-top", "p0", "p1", "p3", "p4")
	o.changes("team-b", nil, []string{"cn=team-a"}) // the cycle ends
	o.become("team-b", "p4")
	o.become("team-a", "p0", "p1", "p4")
	require.Equal(t, messages.SourceOK, sourceState(suite.Until(t, o.Stack, stack.Idle)))
}
