package policy_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
)

const salesMapping = "- {name: m, from: [sales], to: ['group:jira-users-acme'], removals: all}\n"

// granting returns a grants section with one entry for some targets.
func granting(targets string) string {
	return "grants:\n- {name: g, targets: [" + targets + "], duration: {max: 1h}}\nignore: ['*']\n"
}

func lease(id string, target access.Entitlement) access.Grant {
	return access.Grant{ID: id, Person: "ana", Target: target, State: access.GrantGranted}
}

func because(id string, via access.Entitlement) access.Reason {
	return access.Reason{Kind: access.ReasonGrant, Name: id, Via: via}
}

func TestBindWhatIsGrantedIsManaged(t *testing.T) {
	b, findings := bind(t, salesMapping+
		granting("'role:org-admin', 'role:jira/Acme/Admin', directory, 'group:JIRA-users-acme', 'group:Local People', 'default:confluence/acme/user'"))
	require.Empty(t, findings)
	require.Equal(t, []string{
		"directory", "group:Confluence-Users-acme", "group:jira-users-acme", "group:local people",
		"role:jira-software/acme/admin", "role:org-admin",
	}, entitlements(b))
	require.Equal(t, policy.Target{
		Entitlement: "role:jira-software/acme/admin", Resource: jiraSite, Role: "atlassian/admin",
		Names:   []access.Entitlement{"role:jira-software/acme/admin"},
		Granted: true, Lost: policy.LostRemove, HandTaken: policy.HandTakenEnd, Removals: policy.RemoveOwned,
		Members: -1,
	}, b.Targets[4])
	for i, target := range b.Targets {
		mapped := target.Entitlement == "group:jira-users-acme"
		require.Equal(t, !mapped, target.Granted, target.Entitlement)
		require.Equal(t, mapped, target.Removals == policy.RemoveAll, "grants leave a mapping's mode as it is: %s",
			target.Entitlement)
		require.Equal(t, target.GroupID == "", i == 0 || i > 3)
	}
	require.Equal(t, 1, b.Targets[5].Protected.Minimum, "the organization keeps an admin")
	require.Equal(t, []int{1}, b.AllTargets("default:confluence/acme/user"))
	require.Equal(t, []int{4}, b.AllTargets("role:jira/ACME/admin"))
}

func TestBindOneGroupOfTwoNamesIsLostCarefully(t *testing.T) {
	for first, second := range map[policy.LostMode]policy.LostMode{policy.LostHold: policy.LostRemove,
		policy.LostReport: policy.LostHold, policy.LostRemove: policy.LostReport} {
		b, _ := bind(t, salesMapping+"grants:\n- {name: g, targets: ['group:jira-users-acme'], duration: {max: 1h}, lost: "+string(first)+
			"}\n- {name: h, targets: ['default:jira/acme/user'], duration: {max: 1h}, lost: "+string(second)+"}\n")
		want := first
		if first == policy.LostRemove {
			want = second
		}
		require.Equal(t, want, b.Targets[0].Lost)
		require.Equal(t, second, b.Targets[1].Lost)
	}
	b, _ := bind(t, salesMapping)
	require.Empty(t, b.Targets[0].Lost)
}

func TestBindReportsEndsThatDifferByTwoNamesOfOneTarget(t *testing.T) {
	for says, want := range map[[2]string][]string{
		{"lost: hold", "lost: report"}: {"lost-differs group:jira-users-acme"},
		{"lost: remove", "handTaken: restore"}: {
			"hand-taken-differs group:jira-users-acme"},
		{"lost: hold, handTaken: restore", "lost: hold, handTaken: restore"}: nil,
		{"lost: hold, handTaken: restore",
			"reason: true"}: {"hand-taken-differs group:jira-users-acme", "lost-differs group:jira-users-acme"},
	} {
		b, findings := bind(t, salesMapping+
			"grants:\n- {name: g, targets: ['group:jira-users-acme'], duration: {max: 1h}, "+says[0]+
			"}\n- {name: h, targets: ['default:jira/acme/user'], duration: {max: 1h}, "+says[1]+"}\nignore: ['*']\n")
		require.Equal(t, want, keys(findings), says)
		if len(want) > 0 && says[1] != "lost: report" {
			require.Equal(t, policy.HandTakenEnd, b.Targets[0].HandTaken, "the more careful")
		}
	}
}

func TestBindFindingsOfGrants(t *testing.T) {
	const never = "- {name: m, from: [sales], to: ['group:jira-users-acme'], removals: never}\n"
	tests := map[string]struct {
		mapping, targets string
		managed          []string
		findings         []string
	}{
		"missing": {salesMapping, "'group:new'", []string{"group:jira-users-acme"},
			[]string{"target-missing group:new !"}},
		"synced": {salesMapping, "'group:eng-web'", []string{"group:jira-users-acme"},
			[]string{"target-synced group:eng-web !"}},
		"locked": {salesMapping, "'group:locked'", []string{"group:jira-users-acme"},
			[]string{"target-locked group:locked !"}},
		"no such site": {salesMapping, "'role:jira/other/admin'", []string{"group:jira-users-acme"},
			[]string{"site-unknown role:jira-software/other/admin !"}},
		"no such app": {salesMapping, "'default:jsm/acme/admin'", []string{"group:jira-users-acme"},
			[]string{"site-unknown default:jira-servicedesk/acme/admin !"}},
		"no default": {salesMapping, "'default:jira/acme/admin'", []string{"group:jira-users-acme"},
			[]string{"default-missing default:jira-software/acme/admin !"}},
		"additive": {never, "'group:jira-users-acme'", []string{"group:jira-users-acme"},
			[]string{"grant-additive group:jira-users-acme !"}},
		"additive alias": {never, "'default:jira/acme/user'",
			[]string{"group:jira-users-acme", "group:jira-users-extra"},
			[]string{"grant-additive group:jira-users-acme !"}},
		"to be made": {"- {name: m, from: [sales], to: ['group:new'], create: true}\n", "'group:NEW'", nil, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b, findings := bind(t, tt.mapping+granting(tt.targets))
			require.Equal(t, tt.managed, entitlements(b))
			require.Equal(t, tt.findings, keys(findings))
		})
	}
	_, findings := bind(t, salesMapping+
		"grants:\n- {name: g, targets: [directory], duration: {max: 1h}, approval: {groups: ['Local people', nobody]}}\nignore: ['*']\n")
	require.Equal(t, []string{"approvers-missing group:nobody"}, keys(findings))
}

func TestFormerDefaultsOfGrantsStay(t *testing.T) {
	b, _ := since(t, salesMapping+granting("'default:confluence/acme/user'"),
		policy.Last{Defaults: map[access.Entitlement][]string{"default:confluence/acme/user": {"local people"}}})
	i, managed := b.Target("group:local people")
	require.True(t, managed, "what a grant gave while the group was default is still taken back")
	require.Equal(t, policy.RemoveOwned, b.Targets[i].Removals)
}

func TestFormerGrantsStayUntilTheyAreOver(t *testing.T) {
	last := policy.Last{Granted: []access.Entitlement{
		"group:Local People", "role:jira-software/acme/admin", "group:jira-users-acme", "default:confluence/acme/user",
		"group:local people", "group:deleted",
	}}
	b, findings := since(t, salesMapping+strings.Replace(granting("'default:confluence/acme/user'"), "1h}",
		"1h}, lost: hold", 1), last)
	require.Empty(t, findings, "what is gone needs no taking back")
	require.Equal(t, []string{"group:Confluence-Users-acme", "group:jira-users-acme", "group:local people",
		"role:jira-software/acme/admin"}, entitlements(b))
	for i, want := range []policy.Target{
		{Granted: true, Lost: policy.LostHold, Removals: policy.RemoveOwned}, {Removals: policy.RemoveAll},
		{Granted: true, Lost: policy.LostRemove, Removals: policy.RemoveOwned},
		{Granted: true, Lost: policy.LostRemove, Removals: policy.RemoveOwned},
	} {
		got := b.Targets[i]
		require.Equal(t, want, policy.Target{Granted: got.Granted, Lost: got.Lost, Removals: got.Removals},
			got.Entitlement)
	}
}

func TestResolveUnitesMappingsAndGrants(t *testing.T) {
	b, _ := bind(t, salesMapping+granting(
		"'group:JIRA-users-acme', 'default:jira/acme/user', 'role:org-admin', directory"))
	seller := access.Person{ID: "ana", GroupIDs: []string{"s4"}}
	mapping := access.Reason{Kind: access.ReasonMapping, Name: "m", Source: "sales"}
	const byDefault = "default:jira-software/acme/user"
	leases := []access.Grant{
		lease("g2", "group:JIRA-users-acme"), lease("g1", byDefault), lease("g3", access.OrgAdmin),
		lease("g2", "group:JIRA-users-acme"),
		lease("g4", access.Directory), lease("g5", "group:not in the policy"),
	}
	want := []policy.Want{
		{Target: 0, Reasons: []access.Reason{because("g4", "")}},
		{Target: 1, Reasons: []access.Reason{because("g1", byDefault), because("g2", ""), mapping}},
		{Target: 2, Reasons: []access.Reason{because("g1", byDefault)}},
		{Target: 3, Reasons: []access.Reason{because("g3", "")}},
	}
	require.Equal(t, []string{"directory", "group:jira-users-acme", "group:jira-users-extra", "role:org-admin"},
		entitlements(b))
	require.Equal(t, want, b.Resolve(seller, policy.Known{Grants: leases}).Wants)
	for i, j := 0, len(leases)-1; i < j; i, j = i+1, j-1 {
		leases[i], leases[j] = leases[j], leases[i]
	}
	require.Equal(t, want, b.Resolve(seller, policy.Known{Grants: leases}).Wants,
		"the order of the leases does not matter")
	require.Equal(t, []policy.Want{{Target: 1, Reasons: []access.Reason{mapping}}},
		b.Resolve(seller, policy.Known{}).Wants, "the mapping's own stays when the leases end")
	require.Empty(t, b.Resolve(access.Person{ID: "app", AccountType: "app"}, policy.Known{Grants: leases}).Wants)
}

func TestHoldsSaysWhatTheReadShowed(t *testing.T) {
	b, _ := bind(t, salesMapping+granting("'role:org-admin', 'role:jira/acme/admin', directory"))
	target := func(e access.Entitlement) int {
		i, managed := b.Target(e)
		require.True(t, managed, e)
		return i
	}
	full := access.Person{
		GroupIDs: []string{"j1"}, PlatformRoles: []string{access.RoleOrgAdmin}, MembershipStatus: "active",
		AppRoles: []access.Entitlement{"role:jira/ACME/admin"},
	}
	suspended := access.Person{MembershipStatus: "suspended",
		AppRoles: []access.Entitlement{"role:confluence/acme/admin"}}
	for e, unread := range map[access.Entitlement]bool{"group:jira-users-acme": true, access.OrgAdmin: true,
		access.Directory: false, "role:jira/acme/admin": false} {
		held, known := b.Holds(full, target(e))
		require.True(t, held && known, e)
		held, known = b.Holds(suspended, target(e))
		require.True(t, !held && known, e)
		held, known = b.Holds(access.Person{}, target(e))
		require.False(t, held, e)
		require.Equal(t, unread, known, e)
	}
	require.Equal(t, []int{target("group:jira-users-acme"), target(access.OrgAdmin)}, b.TargetsHeld(full),
		"a sweep says nothing of presence and of app roles")
	b, _ = bind(t, salesMapping+granting("directory, 'role:jira/acme/admin'"))
	require.Equal(t, []int{1}, b.TargetsHeld(full), "no other role is taken for the admin's")
}

func TestEligibleIsReportedWhereItAsksForWhatIsNotThere(t *testing.T) {
	entry := func(condition string) string {
		return salesMapping + "grants:\n- {name: g, targets: ['role:org-admin'], duration: {max: 1h}, eligible: '" +
			condition + "'}\nignore: ['*']\n"
	}
	for condition, want := range map[string]map[string]string{
		`in("sales") && !in("Local People") && managed`: {},
		`in("saless") || inAny(["sales", "no-such"])`: {"saless": "eligible-group-unknown",
			"no-such": "eligible-group-unknown"},
		`!in("no-such")`: {"no-such": "eligible-group-unknown"},
		`inactive("90d", "jira") && neverUsed("trello")`: {"trello": "eligible-app-unknown"},
	} {
		b, findings := bind(t, entry(condition))
		require.NotNil(t, b)
		got := map[string]string{}
		for _, f := range findings {
			require.False(t, f.Blocks)
			require.Contains(t, f.Detail, "entry g of grants")
			got[f.Subject] = f.Rule
		}
		require.Equal(t, want, got, condition)
	}
}
