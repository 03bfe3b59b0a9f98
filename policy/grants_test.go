package policy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
)

func TestGrantsHaveDefaults(t *testing.T) {
	p := parse(t, minimal+grants+"  approval: {by: [bo@acme.example]}\n  extend: {max: 8h}\n- {name: short, targets: [directory], duration: {max: 5s}}\n")
	require.Equal(t, []policy.Grantable{
		{
			Name: "org admin", Targets: []access.Entitlement{access.OrgAdmin}, Reason: true, Lost: policy.LostRemove,
			End: policy.EndSuspend, HandTaken: policy.HandTakenEnd,
			Duration: policy.GrantDuration{Default: policy.Duration(time.Hour), Max: policy.Duration(4 * time.Hour)},
			Approval: &policy.Approval{Count: 1, By: []string{"bo@acme.example"}, Wait: policy.Duration(8 * time.Hour)},
			Extend:   &policy.Extension{Max: policy.Duration(8 * time.Hour), Times: 1},
		},
		{
			Name: "short", Targets: []access.Entitlement{access.Directory}, Reason: true, Lost: policy.LostRemove,
			End: policy.EndSuspend, HandTaken: policy.HandTakenEnd,
			Duration: policy.GrantDuration{Default: policy.Duration(5 * time.Second),
				Max: policy.Duration(5 * time.Second)},
		},
	}, p.Grants)
	require.Equal(t, []access.Entitlement{access.Directory, "group:jira-users-acme", access.OrgAdmin}, p.Entitlements())
}

func TestParseRefusesGrants(t *testing.T) {
	const max = "duration: {max: 4h}"
	with := func(key string) string { return grants + "  " + key + "\n" }
	target := func(to string) string { return strings.Replace(grants, "role:org-admin", to, 1) }
	another := func(entry string) string { return grants + "- " + entry + "\n" }
	tests := map[string]struct {
		grants string
		want   string
	}{
		"empty": {"\ngrants: []\n", "acme.yaml:9:9: grants: the list is empty"},
		"no duration": {strings.Replace(grants, "  "+max+"\n", "", 1),
			"acme.yaml:10:3: grants[0]: duration is missing"},
		"no maximum": {strings.Replace(grants, "max: 4h", "default: 4h", 1),
			"acme.yaml:12:13: grants[0].duration: max is missing"},
		"no time at all": {strings.Replace(grants, "4h", "0s", 1),
			"acme.yaml:12:19: grants[0].duration.max: 0s is out of bounds; write a duration from 1s to 365d"},
		"too long": {strings.Replace(grants, "4h", "366d", 1),
			"acme.yaml:12:19: grants[0].duration.max: 366d is out of bounds"},
		"default over maximum": {strings.Replace(grants, "max: 4h", "default: 5h, max: 4h", 1),
			"acme.yaml:12:23: grants[0].duration.default: 5h is longer than max, 4h"},
		"unknown key": {with("approvers: [a]"),
			"acme.yaml:13:3: grants[0].approvers: unknown key; the keys here are ahead, approval, breakGlass"},
		"star": {target("group:*-admins"),
			`acme.yaml:11:13: grants[0].targets[0]: "group:*-admins": what is granted is named in full`},
		"the group of admins": {target("group:Org-Admins"),
			`acme.yaml:11:13: grants[0].targets[0]: membership of "group:Org-Admins" no longer makes anybody an administrator; write role:org-admin`},
		"no such target": {target("admin"),
			`acme.yaml:11:13: grants[0].targets[0]: "admin" is not an entitlement`},
		"target twice": {target("'default:jira/acme/user', 'default:jira-software/Acme/user'"),
			`acme.yaml:11:39: grants[0].targets[1]: "default:jira-software/acme/user" stands already`},
		"name twice": {another("{name: Org admin, targets: [directory], duration: {max: 1h}}"),
			`acme.yaml:13:10: grants[1].name: the name "Org admin" is taken by grants[0]`},
		"lost differs": {another(
			"{name: b, targets: [directory, role:org-admin], duration: {max: 1h}, lost: hold}"),
			`acme.yaml:13:34: grants[1].targets[1]: "role:org-admin" has lost: hold here and lost: remove in grants[0]`},
		"end differs": {another("{name: b, targets: [role:org-admin], duration: {max: 1h}, end: remove}"),
			`acme.yaml:13:23: grants[1].targets[0]: "role:org-admin" has end: remove here and end: suspend in grants[0]`},
		"handTaken differs": {another(
			"{name: b, targets: [role:org-admin], duration: {max: 1h}, handTaken: restore}"),
			`acme.yaml:13:23: grants[1].targets[0]: "role:org-admin" has handTaken: restore here and handTaken: end in grants[0]`},
		"nobody approves": {with("approval: {count: 2}"),
			"acme.yaml:13:13: grants[0].approval: nobody could approve; add by (people) or groups"},
		"no approval needed": {with("approval: {count: 0, by: [bo@acme.example]}"),
			"acme.yaml:13:21: grants[0].approval.count: 0 is out of bounds"},
		"too few approve": {with("approval: {count: 2, by: [bo@acme.example]}"),
			"acme.yaml:13:13: grants[0].approval: count is 2, and by lists only 1"},
		"approver is nobody": {with("approval: {by: [bo]}"),
			`acme.yaml:13:19: grants[0].approval.by[0]: "bo" names nobody`},
		"approvers by glob": {with("approval: {groups: ['it-*']}"),
			`acme.yaml:13:23: grants[0].approval.groups[0]: "it-*": the group is named in full`},
		"extend without end": {with("extend: {times: 2}"), "acme.yaml:13:11: grants[0].extend: max is missing"},
		"extend for nothing": {with("extend: {max: 0s}"),
			"acme.yaml:13:17: grants[0].extend.max: 0s is out of bounds"},
		"nobody breaks glass": {with("approval: {by: [bo@acme.example]}\n  breakGlass: {people: [], max: 1h}"),
			"acme.yaml:14:24: grants[0].breakGlass.people: the list is empty"},
		"no glass to break": {with("breakGlass: {people: [bo@acme.example], max: 1h}"),
			"acme.yaml:13:15: grants[0].breakGlass: no approval is needed"},
		"broken ticket": {with("ticket: 'INC-('"),
			`acme.yaml:13:11: grants[0].ticket: "INC-(" is not a regular expression of Go`},
		"empty ticket": {with("ticket: ''"), "acme.yaml:13:11: grants[0].ticket: the pattern has 0 characters"},
		"unknown mode": {with("lost: keep"),
			`acme.yaml:13:9: grants[0].lost: "keep" is unknown; write one of remove, hold, report`},
		"broken condition": {with("eligible: managed &&"), "acme.yaml:13:23: grants[0].eligible: Syntax error"},
		"unknown fact": {with("eligible: managed && colour"),
			"acme.yaml:13:24: grants[0].eligible: undeclared reference to 'colour'; the facts are"},
		"in quotes": {with(`eligible: "in(\"a\") && colour"`),
			"acme.yaml:13:27: grants[0].eligible: undeclared reference"},
		"in single quotes": {with(`eligible: 'in(''a'') && colour'`),
			"acme.yaml:13:27: grants[0].eligible: undeclared reference"},
		"in a block": {with("eligible: |\n    managed\n    && colour"),
			"acme.yaml:15:8: grants[0].eligible: undeclared reference"},
		"in a folded block": {with("eligible: >-\n    managed\n    && colour"),
			"acme.yaml:15:8: grants[0].eligible: undeclared reference"},
		"over two lines": {with("eligible: managed\n    && colour"),
			"acme.yaml:14:8: grants[0].eligible: undeclared reference"},
		"no condition": {with("eligible: name"),
			"acme.yaml:13:13: grants[0].eligible: the condition is string"},
		"long condition": {with("eligible: " + strings.Repeat("managed||", 450) + "managed"),
			"acme.yaml:13:13: grants[0].eligible: the condition has 4057 characters"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p, err := policy.Parse("acme.yaml", []byte(minimal+tt.grants))
			require.Nil(t, p)
			var problems policy.Errors
			require.ErrorAs(t, err, &problems)
			require.True(t, strings.HasPrefix(problems[0].Error(), tt.want), "got %v", err)
		})
	}
}

func TestGrantsWhatCanBeGranted(t *testing.T) {
	p := parse(t, minimal+`
grants:
- {name: a, targets: ["group:Wiki Admins", "default:jira/acme/admin"], duration: {max: 1h}, approval: {groups: [Leads, it]}, lost: report}
- {name: b, targets: ["group:wiki admins", directory], duration: {max: 1h}, approval: {groups: [leads], by: [bo@acme.example]}, lost: report, end: suspend}
- {name: c, targets: ["role:org-admin"], duration: {max: 1h}, end: remove, handTaken: restore}
`)
	require.Equal(t, []access.Entitlement{"default:jira-software/acme/admin", "directory", "group:Wiki Admins",
		"role:org-admin"}, p.GrantTargets())
	for target, want := range map[access.Entitlement]bool{
		"group:WIKI ADMINS": true, "default:Jira/ACME/admin": true, "default:jira-software/acme/admin": true,
		"directory":      true,
		"role:org-admin": true, "role:jira/acme/admin": false, "group:jira-users-acme": false, "nonsense": false,
	} {
		_, ok := p.Grantable(target)
		require.Equal(t, want, ok, target)
	}
	require.Equal(t, []string{"it", "Leads"}, p.ApproverGroups("group:wiki admins"))
	require.Empty(t, p.ApproverGroups("role:org-admin"))
	require.Equal(t, policy.LostReport, p.LostMode("default:jira/acme/admin"))
	require.Equal(t, policy.LostRemove, p.LostMode("group:unknown"))
	require.Equal(t, policy.EndRemove, p.EndMode("role:org-admin"))
	require.Equal(t, policy.EndSuspend, p.EndMode("group:unknown"))
	require.Equal(t, policy.HandTakenRestore, p.HandTakenMode("role:org-admin"))
	require.Equal(t, policy.HandTakenEnd, p.HandTakenMode("directory"))
	require.NotContains(t, string(parse(t, minimal+granting("directory")).JSON()), "handTaken",
		"older policies keep their hash")
}

func TestEligibleIsAskedAgain(t *testing.T) {
	p := parse(t, minimal+"\ngrants:\n- {name: a, targets: [directory, 'group:x'], duration: {max: 1h}}\n- {name: b, targets: [directory], duration: {max: 1h}, eligible: addedWithin(\"14d\")}\n")
	require.True(t, p.Conditional(access.Directory))
	require.False(t, p.Conditional("group:x"))
	require.False(t, p.Conditional("group:unknown"))
	require.NoError(t, p.Eligible(access.Directory, ana(), noon))
	require.NoError(t, p.Eligible("group:X", ana(), noon.Add(time.Second)))
	require.EqualError(t, p.Eligible(access.Directory, ana(), noon.Add(time.Second)),
		`entry b is only for people of whom this is true: addedWithin("14d")`)
}
