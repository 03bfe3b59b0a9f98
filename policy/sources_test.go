package policy_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
)

// withSources is the outline with groups of the source corp.
func withSources() access.Outline {
	o := outline()
	for key, name := range map[string]string{"1": "corp:eng-web", "2": "corp:Eng-Ops", "3": "corp:eng-contractors",
		"4": "corp:Dev users"} {
		o.Groups = append(o.Groups,
			access.Group{ID: access.SourceGroupID("corp", key), Name: name, Source: "corp", Synced: true, Users: 3})
	}
	return o
}

func bindSources(t *testing.T, mappings string, o access.Outline) (*policy.Bound, []access.Finding) {
	return policy.Bind(parse(t, "version: 1\norganization: {name: acme, id: a1, key: 'env:A'}\n"+sources+"mappings:\n"+
		mappings), o)
}

// gives lists the targets that the members of a group get for some reason.
func gives(b *policy.Bound, group string) (all []string) {
	for _, want := range b.Resolve(access.Person{ID: "1", GroupIDs: []string{group}}, policy.Known{}).Wants {
		if len(want.Reasons) > 0 {
			all = append(all, string(b.Targets[want.Target].Entitlement))
		}
	}
	return all
}

func TestBindTakesGroupsOfASourceByItsNameOnly(t *testing.T) {
	corp := func(key string) string { return access.SourceGroupID("corp", key) }
	tests := map[string]struct {
		mappings string
		gives    map[string][]string // by group id
		findings []string
	}{
		"by name, in any case": {`- {name: m, from: ["CORP:dev Users"], to: ["group:jira-users-acme"]}`,
			map[string][]string{corp("4"): {"group:jira-users-acme"}, "s1": nil, corp("1"): nil}, nil},
		"a star of the source is not one of Atlassian's groups": {
			`- {name: m, from: ["corp:eng-*"], except: ["corp:*contractors"], to: ["group:jira-users-acme"]}`,
			map[string][]string{corp("1"): {"group:jira-users-acme"}, corp("2"): {"group:jira-users-acme"}, corp("3"): nil,
				corp("4"): nil, "s1": nil}, nil},
		"a star of Atlassian's groups never swallows a source": {
			`- {name: m, from: ["*", "c*", "*eng-*"], to: ["group:jira-users-acme"]}`,
			map[string][]string{corp("1"): nil, corp("4"): nil, "s1": {"group:jira-users-acme"}}, []string{"source-unmatched c*"}},
		"nor takes one out": {
			`- {name: m, from: ["corp:*"], except: ["*"], to: ["group:jira-users-acme"]}`,
			map[string][]string{corp("1"): {"group:jira-users-acme"}, "s1": nil}, nil},
		"the star stands for what follows the source's name": {
			`- {name: m, from: ["corp:eng-*"], except: ["corp:eng-?ontractors"], to: ["group:*-members"], create: true}`,
			map[string][]string{corp("1"): {"group:web-Members"}}, nil},
		"one that is not there": {
			`- {name: m, from: ["corp:nobody", "crop:eng-*", "other:x"], to: ["group:jira-users-acme"]}`, nil,
			[]string{"source-unmatched corp:nobody", "source-unmatched crop:eng-*", "source-unmatched other:x"}},
		"a group of a source is no target": {
			`- {name: m, from: [sales], to: ["group:corp:Dev users", "group:CORP:new"], create: true}`, nil,
			[]string{"target-synced group:CORP:new !", "target-synced group:corp:Dev users !"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b, findings := bindSources(t, tt.mappings+"\nignore: [eng-*, sales]", withSources())
			require.Equal(t, tt.findings, keys(findings))
			for group, want := range tt.gives {
				require.Equal(t, want, gives(b, group), group)
			}
		})
	}
}

func TestBindAnswersForGroupsOfSourcesByTheirNames(t *testing.T) {
	b, _ := bindSources(t, `- {name: m, from: ["corp:eng-*", "*"], to: ["group:*-users-acme"]}`, withSources())
	require.Equal(t, []access.Entitlement{"group:Jira-users-acme"}, b.TargetsGivenBy("Corp:eng-Jira"))
	require.Empty(t, b.TargetsGivenBy("corp:sales"))
	require.Equal(t, []access.Entitlement{"group:other:x-users-acme"}, b.TargetsGivenBy("other:x"), "no source of the policy")
	require.True(t, b.UsesSourceGroup("corp:eng-gone"))
	require.False(t, b.UsesSourceGroup("corp:gone"))
	require.False(t, b.Source(access.SourceGroupID("corp", "1")), "the policy manages no target that it gives")
	require.Equal(t, "corp:eng-web", b.SourceName(access.SourceGroupID("corp", "1")))
	p := parse(t, minimal+sources)
	require.Equal(t, "corp", p.SourceOf("corp:x*"))
	require.Empty(t, p.SourceOf("other:x"))
	require.Empty(t, p.SourceOf("corp"))
}

func TestBindSaysWhichSourceHasNotShownAGroup(t *testing.T) {
	_, findings := bindSources(t, `- {name: m, from: ["corp:nobody", "crop:eng-*", "Team: x"], to: ["group:jira-users-acme"]}
ignore: ["*"]`, withSources())
	require.Contains(t, findings[0].Detail, "no synced group has this name")
	require.NotContains(t, findings[0].Detail, "corp")
	require.Contains(t, findings[1].Detail, "no group of the source corp has this name")
	require.Contains(t, findings[2].Detail, "the policy declares no source crop; did you mean corp?")
}

// TestBindTellsGroupsOfSourcesFromAtlassians: whoever may make groups at Atlassian cannot pass one off as a source's.
func TestBindTellsGroupsOfSourcesFromAtlassians(t *testing.T) {
	o := withSources()
	o.Groups = append(o.Groups, access.Group{ID: "fake", Name: "corp:eng-web", Synced: true, Users: 1},
		access.Group{ID: "local", Name: "Corp:Admins", Modifiable: true, Users: 1},
		access.Group{ID: access.SourceGroupID("old", "1"), Name: "old:eng-web", Source: "old", Synced: true})
	b, findings := bindSources(t, `- {name: m, from: ["corp:*", "*"], to: ["group:jira-users-acme"]}
rules:
- {name: admins, mode: enforce, when: 'in("corp:admins")', give: [role:org-admin]}
- {name: web, mode: enforce, when: 'in("corp:eng-web")', give: ["group:jira-users-extra"]}
reviews:
- {name: all, owner: cy@acme.example, scope: {targets: ["group:*"]}, stages: [{reviewers: [owner]}]}
`, o)
	require.Contains(t, keys(findings), "group-shadows-source corp:eng-web")
	require.Contains(t, keys(findings), "group-shadows-source Corp:Admins")
	require.Contains(t, keys(findings), "rule-group-unread corp:admins")
	for _, f := range findings {
		require.False(t, f.Blocks, "%s", f)
	}
	for _, fake := range []string{"fake", "local", access.SourceGroupID("old", "1")} {
		require.Empty(t, gives(b, fake), fake)
	}
	require.Equal(t, []string{"group:jira-users-acme", "group:jira-users-extra"}, gives(b, access.SourceGroupID("corp", "1")))
	require.Equal(t, []string{access.SourceGroupID("corp", "1")}, b.GroupsNamed([]string{"Corp:ENG-web"}))
}

func TestBindFindsGroupsOfSourcesInConditions(t *testing.T) {
	rule := func(condition string) []access.Finding {
		_, findings := bindSources(t, "- {name: m, from: [sales], to: ['group:jira-users-acme']}\nignore: ['*']\n"+
			"rules: [{name: r, when: '"+condition+"', give: ['group:jira-users-extra']}]\n"+
			"grants: [{name: g, targets: ['group:web-members'], duration: {max: 1h}, eligible: '"+condition+"', approval: {groups: ['corp:Dev users', 'corp:gone']}}]\n",
			withSources())
		return findings
	}
	require.Equal(t, []string{"approvers-missing group:corp:gone"}, keys(rule(`in("corp:dev users")`)))
	require.Equal(t, []string{"approvers-missing group:corp:gone", "eligible-group-unknown corp:new",
		"rule-group-unread corp:new"}, keys(rule(`in("corp:new")`)), "a source is read only once the policy is in force")
	undeclared := rule(`in("crop:Dev users")`)
	require.Equal(t, []string{"approvers-missing group:corp:gone", "eligible-group-unknown crop:Dev users",
		"rule-group-unknown crop:Dev users !"}, keys(undeclared))
	require.Contains(t, undeclared[2].Detail, "the policy declares no source crop; did you mean corp?")
}

func TestBindCountsGroupsOfSourcesAsEvidence(t *testing.T) {
	b, _ := bindSources(t, `- {name: m, from: ["corp:Dev users"], to: ["group:jira-users-acme"]}
rules: [{name: r, mode: enforce, when: 'in("corp:eng-web")', deny: ["group:jira-users-acme"], owner: cy@acme.example}]
`, withSources())
	require.Equal(t, []string{access.SourceGroupID("corp", "4")}, b.Targets[0].Sources)
	require.Equal(t, []string{access.SourceGroupID("corp", "1")}, b.Targets[0].Evidence)
}

func TestBindFindsGroupsOfSourcesAmongReviewers(t *testing.T) {
	_, findings := bindSources(t, `- {name: m, from: [sales], to: ["group:jira-users-acme"]}
reviews:
- name: all
  owner: cy@acme.example
  stages: [{reviewers: ["group:corp:Dev users", "group:corp:gone"], fallback: ["group:CORP:eng-web"]}]
  delegates: ["group:corp:eng-ops", "group:crop:x"]
ignore: ["*"]
`, withSources())
	require.Equal(t, []string{"review-group-unknown corp:gone", "review-group-unknown crop:x"}, keys(findings))
	require.Contains(t, findings[0].Detail, "the source corp has not shown it")
	require.Contains(t, findings[1].Detail, "the policy declares no source crop; did you mean corp?")
}
