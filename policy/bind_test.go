package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
)

const jiraSite, wikiSite = "ari:cloud:jira-software::site/1", "ari:cloud:confluence::site/1"

// outline returns an organization with three source groups and a handful of Atlassian's own.
func outline() access.Outline {
	source := func(id, name string) access.Group { return access.Group{ID: id, Name: name, Synced: true, Users: 10} }
	local := func(id, name string) access.Group {
		return access.Group{ID: id, Name: name, Modifiable: true, Users: 20}
	}
	return access.Outline{
		Groups: []access.Group{
			source("s1", "eng-web"), source("s2", "Eng-Data"), source("s3", "eng-contractors"), source("s4", "sales"),
			local("j1", "jira-users-acme"), local("j2", "jira-users-extra"), local("c1", "Confluence-Users-acme"),
			local("w1", "web-Members"), local("loc", "local people"), {ID: "lock", Name: "locked", Users: 1},
		},
		Roles: []access.RoleAssignment{
			{GroupID: "j1", Resource: jiraSite, Role: "atlassian/user", Default: true},
			{GroupID: "j2", Resource: jiraSite, Role: "atlassian/user", Default: true},
			{GroupID: "j2", Resource: wikiSite, Role: "atlassian/user"},
			{GroupID: "c1", Resource: wikiSite, Role: "atlassian/user", Default: true},
			{GroupID: "lock", Resource: wikiSite, Role: "atlassian/admin", Default: true},
		},
		Sites: []access.Site{
			{App: "jira-software", Site: "acme", Resource: jiraSite},
			{App: "confluence", Site: "acme", Resource: wikiSite},
		},
	}
}

// bind binds mappings written in YAML, and what follows them, to the outline.
func bind(t testing.TB, mappings string) (*policy.Bound, []access.Finding) {
	return since(t, mappings, policy.Last{})
}

func since(t testing.TB, mappings string, last policy.Last) (*policy.Bound, []access.Finding) {
	return policy.BindSince(parse(t, "version: 1\norganization: {name: acme, id: a1, key: 'env:A'}\nmappings:\n"+
		mappings), outline(), last)
}

func keys(findings []access.Finding) []string {
	var out []string
	for _, f := range findings {
		key := f.Rule + " " + f.Subject
		if f.Blocks {
			key += " !"
		}
		out = append(out, key)
	}
	return out
}

func entitlements(b *policy.Bound) []string {
	var out []string
	for _, t := range b.Targets {
		out = append(out, string(t.Entitlement))
	}
	return out
}

func TestBindJoinsTargets(t *testing.T) {
	b, findings := bind(t, `
- {name: eng, from: [eng-*], except: ["*-contractors"], to: ["default:jira/acme/user", "group:CONFLUENCE-users-acme"]}
- {name: sales, from: [Sales], to: ["group:jira-users-acme"], removals: owned}
- {name: careful, from: [sales], to: ["group:jira-users-extra", "role:org-admin"], removals: never}
protected:
- {target: "default:jira/acme/user", minimum: 3, always: [ana@acme.example]}
- {target: "group:JIRA-users-acme", minimum: 2, always: [bo@acme.example]}
ignore: [eng-contractors]
`)
	require.Equal(t, []string{"removals-differ group:jira-users-extra"}, keys(findings))
	require.Equal(t, []string{"group:Confluence-Users-acme", "group:jira-users-acme", "group:jira-users-extra",
		"role:org-admin"}, entitlements(b))
	require.Equal(t, policy.Target{
		Entitlement: "group:jira-users-acme", GroupID: "j1",
		Names:    []access.Entitlement{"default:jira-software/acme/user", "group:jira-users-acme"},
		Removals: policy.RemoveOwned, Apps: []string{"jira-software/acme"}, Members: 20,
		Sources: []string{"s1", "s2", "s4"},
		Protected: &policy.Protected{Target: "group:jira-users-acme", Minimum: 3,
			Always: []string{"ana@acme.example", "bo@acme.example"}},
	}, b.Targets[1])
	require.Equal(t, policy.RemoveNever, b.Targets[2].Removals, "the most careful mode of several names wins")
	require.Equal(t, []string{"confluence/acme", "jira-software/acme"}, b.Targets[2].Apps)
	turned, _ := bind(t, "- {name: a, from: [sales], to: ['group:jira-users-acme'], removals: never}\n- {name: b, from: [sales], to: ['default:jira/acme/user'], removals: all}\n")
	require.Equal(t, policy.RemoveNever, turned.Targets[0].Removals, "in whatever order they stand")
	require.Equal(t, policy.RemoveAll, turned.Targets[1].Removals)
	require.Equal(t, 3, b.Targets[2].Protected.Minimum)
	require.Equal(t, -1, b.Targets[3].Members)
	require.Equal(t, 1, b.Targets[3].Protected.Minimum,
		"the organization keeps an admin even when the policy does not say so")
	require.Empty(t, b.Owner)
	require.True(t, b.Source("s1"))
	require.False(t, b.Source("s3"))
	require.Equal(t, map[access.Entitlement][]string{"default:jira-software/acme/user": {"jira-users-acme",
		"jira-users-extra"}}, b.Defaults())

	for name, want := range map[access.Entitlement]int{
		"group:confluence-users-ACME": 0, "default:jira/ACME/user": 1, "default:jira-software/acme/user": 1,
		"role:org-admin": 3,
	} {
		got, found := b.Target(name)
		require.True(t, found, name)
		require.Equal(t, want, got, name)
	}
	require.Equal(t, []int{1, 2}, b.AllTargets("default:jira/acme/user"))
	_, found := b.Target("group:sales")
	require.False(t, found)
	_, found = b.Target("nonsense")
	require.False(t, found)
}

func TestResolveIsTheUnionOfReasons(t *testing.T) {
	b, _ := bind(t, `
- {name: eng, from: [eng-*], except: [eng-contractors], to: ["default:jira/acme/user", "group:*-members"]}
- {name: all, from: ["*"], to: ["group:jira-users-acme"], adopt: true}
`)
	ana := access.Person{ID: "ana", GroupIDs: []string{"s2", "s1", "j2", "s1"}}
	eng, all := func(source string, via access.Entitlement) access.Reason {
		return access.Reason{Kind: access.ReasonMapping, Name: "eng", Source: source, Via: via}
	}, func(source string) access.Reason {
		return access.Reason{Kind: access.ReasonMapping, Name: "all", Source: source}
	}
	const via = "default:jira-software/acme/user"
	require.Equal(t, []policy.Want{
		{Target: 0, Adopt: true, Reasons: []access.Reason{all("Eng-Data"), all("eng-web"), eng("Eng-Data", via),
			eng("eng-web", via)}},
		{Target: 1, Reasons: []access.Reason{eng("Eng-Data", via), eng("eng-web", via)}},
		{Target: 2, Reasons: []access.Reason{eng("eng-web", "group:*-members")}},
	}, b.Resolve(ana, policy.Known{}).Wants)
	require.Equal(t, []int{1}, b.TargetsHeld(ana))

	app := ana
	app.AccountType = "app"
	require.Empty(t, b.Resolve(app, policy.Known{}).Wants)
	require.Empty(t, b.Resolve(access.Person{ID: "none", GroupIDs: []string{"j1"}}, policy.Known{}).Wants)
	contractor := b.Resolve(access.Person{ID: "con", GroupIDs: []string{"s3"}}, policy.Known{}).Wants
	require.Equal(t, []policy.Want{{Target: 0, Adopt: true, Reasons: []access.Reason{all("eng-contractors")}}},
		contractor)
}

func TestHeldKnowsTheAdminRole(t *testing.T) {
	b, _ := bind(t, `- {name: admins, from: [sales], to: ["role:org-admin", "group:jira-users-acme"]}`)
	require.Equal(t, []int{0, 1}, b.TargetsHeld(access.Person{GroupIDs: []string{"j1", "j1", "x"},
		PlatformRoles: []string{access.RoleOrgAdmin}}))
	b, _ = bind(t, `- {name: jira, from: [sales], to: ["group:jira-users-acme"]}`)
	require.Equal(t, []int{0}, b.TargetsHeld(access.Person{GroupIDs: []string{"j1"},
		PlatformRoles: []string{access.RoleOrgAdmin}}))
}

func TestBindFindings(t *testing.T) {
	const rest = "ignore: ['*']"
	tests := map[string]struct {
		mappings string
		targets  []string
		create   []string
		findings []string
		detail   string
	}{
		"from matches nothing": {`- {name: m, from: [sales, nobody, "x-*"], to: ["group:jira-users-acme"]}`,
			[]string{"group:jira-users-acme"}, nil, []string{"source-unmatched nobody", "source-unmatched x-*"},
			"mapping m"},
		"everything excepted": {`- {name: m, from: [sales], except: ["s*"], to: ["group:jira-users-acme"]}`,
			[]string{"group:jira-users-acme"}, nil, []string{"source-unmatched sales"}, "except removes every group"},
		"a local group is no source": {`- {name: m, from: [Local People], to: ["group:jira-users-acme"]}`,
			[]string{"group:jira-users-acme"}, nil, []string{"source-is-local Local People"},
			"no identity provider owns it"},
		"target missing": {`- {name: m, from: [sales], to: ["group:new", "group:jira-users-acme"]}`,
			[]string{"group:jira-users-acme"}, nil, []string{"target-missing group:new !"}, "create: true"},
		"target to create": {`- {name: m, from: ["eng-*"], to: ["group:*-members", "group:NEW"], create: true}`,
			[]string{"group:web-Members"}, []string{"Data-members", "NEW", "contractors-members"}, nil, ""},
		"target synced": {`- {name: m, from: [sales], to: ["group:ENG-web"]}`,
			nil, nil, []string{"target-synced group:eng-web !"}, "identity provider owns"},
		"target locked": {`- {name: m, from: [sales], to: ["default:confluence/acme/admin", "group:locked"]}`,
			nil, nil, []string{"target-locked group:locked !"}, "does not allow changes"},
		"unknown site": {`- {name: m, from: [sales], to: ["default:jira/other/user"]}`,
			nil, nil, []string{"site-unknown default:jira-software/other/user !"},
			"it has confluence/acme, jira-software/acme"},
		"no default": {`- {name: m, from: [sales], to: ["default:jira/acme/admin"]}`,
			nil, nil, []string{"default-missing default:jira-software/acme/admin !"}, "no group is default"},
		"protected but unmanaged": {"- {name: m, from: [sales], to: ['group:jira-users-acme']}\nprotected: [{target: 'group:locked'}, {target: 'role:org-admin'}, {target: 'default:no/such/site'}]",
			[]string{"group:jira-users-acme"}, nil, nil, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b, findings := bind(t, tt.mappings+"\n"+rest)
			require.Equal(t, tt.targets, entitlements(b))
			require.Equal(t, tt.create, b.Create)
			require.Equal(t, tt.findings, keys(findings))
			if tt.detail != "" {
				require.Contains(t, findings[0].Detail, tt.detail)
			}
		})
	}
}

func TestBindReportsUncoveredGroupsWithinBounds(t *testing.T) {
	_, findings := bind(t, "- {name: m, from: ['eng-*'], except: [eng-contractors], to: ['group:jira-users-acme']}\n")
	require.Equal(t, []string{"uncovered-group eng-contractors", "uncovered-group sales"}, keys(findings))
	o := outline()
	for i := range 250 {
		o.Groups = append(o.Groups, access.Group{ID: fmt.Sprint("x", i), Name: fmt.Sprintf("x-%03d", i), Synced: true})
	}
	_, findings = policy.Bind(parse(t, minimal), o)
	uncovered := 0
	for _, f := range findings {
		if f.Rule == "uncovered-group" {
			uncovered++
		}
	}
	require.Equal(t, 101, uncovered)
	require.Contains(t, keys(findings), "uncovered-group 154 more")
}

func TestBindRefusesTwoGroupsOfOneName(t *testing.T) {
	o := outline()
	o.Groups = append(o.Groups, access.Group{ID: "again", Name: "JIRA-users-acme", Modifiable: true})
	b, findings := policy.Bind(parse(t,
		"version: 1\norganization: {name: acme, id: a1, key: 'env:A'}\nmappings: [{name: m, from: ['*'], to: ['group:jira-users-acme', 'default:jira/acme/user']}]\n"), o)
	require.Equal(t, []string{"group:jira-users-extra"}, entitlements(b))
	require.Equal(t, []string{"target-ambiguous group:jira-users-acme !"}, keys(findings[:1]))
}

func TestFormerSourcesKeepTheirStarredTargets(t *testing.T) {
	const mapping = `- {name: m, from: ["gone-*", "eng-*"], to: ["group:*-users-acme"], create: true}`
	b, _ := bind(t, mapping)
	_, managed := b.Target("group:jira-users-acme")
	require.False(t, managed)
	created := b.Create
	b, _ = since(t, mapping, policy.Last{Sources: []string{"Gone-Jira", "gone-missing"}})
	i, managed := b.Target("group:jira-users-acme")
	require.True(t, managed)
	require.Empty(t, b.Targets[i].Sources)
	require.Equal(t, created, b.Create, "nothing is created for a group that is gone")
	require.Equal(t, []int{i}, b.TargetsFedBy("gone-JIRA"))
	require.Empty(t, b.TargetsFedBy("sales"))
}

func TestFormerDefaultsStayUntilTheirPeopleAreReleased(t *testing.T) {
	const mapping = `- {name: m, from: [sales], to: ["default:confluence/acme/user"], removals: all}`
	last := policy.Last{Defaults: map[access.Entitlement][]string{
		"default:confluence/acme/user":    {"Jira-users-extra", "confluence-users-acme", "locked", "deleted"},
		"default:jira-software/acme/user": {"jira-users-acme"}, // not in the policy any more
	}}
	b, _ := since(t, mapping, last)
	require.Equal(t, []string{"group:Confluence-Users-acme", "group:jira-users-extra"}, entitlements(b))
	require.Equal(t, policy.RemoveAll, b.Targets[0].Removals)
	require.Equal(t, policy.RemoveOwned, b.Targets[1].Removals, "others may have made the group their own")
	require.Empty(t, b.Targets[1].Sources)
	require.Equal(t, []int{0}, b.AllTargets("default:confluence/acme/user"), "it no longer stands for the old group")
	b, _ = since(t, strings.Replace(mapping, "all", "never", 1), last)
	require.Equal(t, policy.RemoveNever, b.Targets[1].Removals)
	b, findings := since(t, `- {name: m, from: [sales], to: ["default:jira/acme/admin"]}`,
		policy.Last{Defaults: map[access.Entitlement][]string{
			"default:jira-software/acme/admin": {"jira-users-extra"}}})
	require.Empty(t, b.Targets, "a default without a group may be a bad read")
	require.Contains(t, keys(findings), "default-missing default:jira-software/acme/admin !")
}

func TestBindKeepsTheModeOfRulesOnFormerDefaults(t *testing.T) {
	b, _ := since(t, "- {name: m, from: [sales], to: ['group:web-members']}\nrules:\n"+
		"- {name: r, mode: enforce, when: managed, give: ['default:confluence/acme/user'], removals: never}\n",
		policy.Last{Defaults: map[access.Entitlement][]string{"default:confluence/acme/user": {"jira-users-extra"}}})
	i, found := b.Target("group:jira-users-extra")
	require.True(t, found)
	require.Equal(t, policy.RemoveNever, b.Targets[i].Removals)
}

func TestBindFindsFloorsByTheNamesOfDefaults(t *testing.T) {
	b, findings := bind(t, `
- {name: m, from: [sales], to: ["group:confluence-users-acme"]}
protected:
- {target: "default:confluence/acme/user", minimum: 9, always: [ana@acme.example]}
- {target: "group:confluence-users-acme", maximum: 4}
ignore: ["*"]
`)
	require.Equal(t, []int{0}, b.AllTargets("default:confluence/acme/user"),
		"what only a floor names by its role is known by that name too")
	require.Equal(t, 9, b.Targets[0].Protected.Minimum)
	require.Equal(t, []string{"protected-contradicts group:Confluence-Users-acme"}, keys(findings))
}

// BenchmarkBind is the largest policy that Parse lets through, on 10,000 groups.
func BenchmarkBind(bench *testing.B) {
	var text strings.Builder
	text.WriteString("version: 1\norganization: {name: acme, id: a1, key: 'env:A'}\nmappings:\n")
	for i := range policy.MaxMappings {
		fmt.Fprintf(&text, "- {name: m%d, from: ['*a%d*', 'b%d*', 'c%d'], except: ['*x*y*'], to: ['group:t%d', 'group:u%d']}\n", i, i, i, i, i, i)
	}
	p := parse(bench, text.String())
	var o access.Outline
	for i := range 10_000 {
		o.Groups = append(o.Groups, access.Group{ID: fmt.Sprint(i), Name: fmt.Sprintf("%c%d", 'a'+rune(i%20), i),
			Synced: i%2 == 0, Modifiable: i%2 == 1})
	}
	for bench.Loop() {
		policy.Bind(p, o)
	}
}

func TestBindDoesNotDependOnTheOrderOfTheRead(t *testing.T) {
	const mappings = "- {name: a, from: ['*'], to: ['default:jira/acme/user', 'group:web-members']}\n- {name: b, from: [sales], to: ['group:jira-users-acme']}\n"
	p := parse(t, "version: 1\norganization: {name: acme, id: a1, key: 'env:A'}\nmappings:\n"+mappings)
	o := outline()
	b, findings := policy.Bind(p, o)
	for i, j := 0, len(o.Groups)-1; i < j; i, j = i+1, j-1 {
		o.Groups[i], o.Groups[j] = o.Groups[j], o.Groups[i]
	}
	o.Roles[0], o.Roles[1] = o.Roles[1], o.Roles[0]
	turned, again := policy.Bind(p, o)
	require.Equal(t, b.Targets, turned.Targets)
	require.Equal(t, findings, again)
	person := access.Person{ID: "p", GroupIDs: strings.Fields("s1 s2 s3 s4")}
	reversed := access.Person{ID: "p", GroupIDs: strings.Fields("s4 s3 s2 s1")}
	require.Equal(t, b.Resolve(person, policy.Known{}).Wants, turned.Resolve(reversed, policy.Known{}).Wants)
}

func TestBindReportsTheOneSourceGroupWhoseStarMakesNoTarget(t *testing.T) {
	o := outline()
	add := func(id, name string, synced, modifiable bool) {
		o.Groups = append(o.Groups, access.Group{ID: id, Name: name, Synced: synced, Modifiable: modifiable})
	}
	long := "eng-" + strings.Repeat("ü", 252) // with what the target adds it is too long
	for i, name := range []string{"eng-a ", "eng- ", long, "eng-synced", "eng-locked", "eng-twice"} {
		add(fmt.Sprint("s", i), name, true, false)
	}
	add("t1", "team-synced", true, false)
	add("t2", "team-locked", false, false)
	add("t3", "team-twice", false, true)
	add("t4", "Team-Twice", false, true)
	bound := func(mapping string) (*policy.Bound, []string) {
		b, findings := policy.Bind(parse(t, strings.Replace(minimal, "mappings:", "ignore: ['*']\nmappings:", 1)+
			mapping), o)
		return b, keys(findings)
	}

	b, findings := bound("  - {name: m, from: ['eng-*'], to: ['group:team-*'], create: true}\n")
	require.Contains(t, b.Create, "team-web", "the rest is made")
	require.NotContains(t, b.Create, "team-a ")
	require.ElementsMatch(t, []string{
		"source-unmatched eng-all",
		"target-name group:team-a ", "target-name group:team- ", "target-name group:team-" + strings.Repeat("ü", 252),
		"target-synced group:team-synced", "target-locked group:team-locked", "target-ambiguous group:team-twice",
	}, findings)

	_, findings = bound("  - {name: m, from: ['eng-*'], to: ['group:team-*', 'group:team-locked'], create: true}\n")
	require.Contains(t, findings, "target-locked group:team-locked !",
		"what the policy itself names is for the policy to correct")

	_, findings = bound("  - {name: m, from: ['eng-s*'], to: ['group:team-s*']}\n")
	require.Contains(t, findings, "target-synced group:team-synced !",
		"a star that serves nobody is a mistake of the policy")
}
