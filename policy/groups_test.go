package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
)

func corp(key string) string { return access.SourceGroupID("corp", key) }

// outlineOfCorp is an organization with no group but those of the source corp.
func outlineOfCorp() (o access.Outline) {
	for key, name := range map[string]string{"1": "corp:eng-web", "2": "corp:Eng-Ops", "3": "corp:eng-contractors",
		"4": "corp:Dev users"} {
		o.Groups = append(o.Groups,
			access.Group{ID: corp(key), Name: name, Source: "corp", Synced: true, Users: 3})
	}
	return o
}

const groupSources = "sources: [{name: corp, kind: ldap, url: 'ldaps://dc1', base: 'DC=acme'}]\n"

// bindGroups binds a policy with entries of groups to an organization whose own groups have the names own: "synced" and
// "locked" begin the names of those that cannot be changed.
func bindGroups(t *testing.T, groups string, links []policy.GroupLink,
	own ...string) (*policy.Bound, []access.Finding) {
	o := outlineOfCorp()
	for _, name := range own {
		o.Groups = append(o.Groups, access.Group{ID: "at " + name, Name: name, Users: 1,
			Synced: strings.HasPrefix(name, "synced"), Modifiable: !strings.HasPrefix(name, "locked")})
	}
	return policy.BindSince(parse(t, "version: 1\norganization: {name: acme, id: a1, key: 'env:A'}\n"+groupSources+"groups:\n"+
		groups+"\nignore: ['*']"), o, policy.Last{Groups: links})
}

func TestGroupsFollowThoseOfSources(t *testing.T) {
	tests := map[string]struct {
		groups   string
		own      []string
		links    []policy.GroupLink
		gives    map[string][]string // by key of the source group
		create   []string
		pairs    []string
		findings []string
	}{
		"made where they are missing": {
			groups: `- {name: g, from: ["corp:eng-*"], except: ["corp:*contractors"], create: true}`,
			gives:  map[string][]string{"1": nil, "3": nil}, create: []string{"Eng-Ops", "eng-web"}},
		"only if the entry says so": {
			groups:   `- {name: g, from: ["corp:eng-web"]}`,
			findings: []string{"group-missing eng-web"}},
		"one that is there is compared first": {
			groups: `- {name: g, from: ["corp:eng-web"]}`, own: []string{"Eng-WEB"},
			gives: map[string][]string{"1": nil}, pairs: []string{"corp:eng-web=Eng-WEB g fit"}},
		"and follows once it is linked": {
			groups: `- {name: g, from: ["corp:eng-web"]}`, own: []string{"Eng-WEB"},
			links: []policy.GroupLink{{corp("1"), "corp:eng-web", "at Eng-WEB"}},
			gives: map[string][]string{"1": {"group:Eng-WEB"}, "2": nil}, pairs: []string{"corp:eng-web=Eng-WEB g linked fit"}},
		"by another name": {
			groups: `- {name: g, from: ["corp:Dev users"], to: Software_dev}`, own: []string{"Software_dev", "Dev users"},
			pairs: []string{"corp:Dev users=Software_dev g fit"}},
		"by another name with a star": {
			groups: `- {name: g, from: ["corp:eng-w*"], to: "team-*", create: true}`,
			create: []string{"team-eb"}},
		"the group's id counts, whatever it is called at Atlassian": {
			groups: `- {name: g, from: ["corp:eng-web"]}`, own: []string{"renamed", "eng-web"},
			links: []policy.GroupLink{{corp("1"), "corp:eng-web", "at renamed"}},
			gives: map[string][]string{"1": {"group:renamed"}}, pairs: []string{"corp:eng-web=renamed g linked fit"}},
		"renamed in the source": {
			groups: `- {name: g, from: ["corp:web"]}`, own: []string{"web"},
			links: []policy.GroupLink{{corp("1"), "corp:web", "at web"}},
			gives: map[string][]string{"1": {"group:web"}}, pairs: []string{"corp:eng-web=web g linked fit"},
			findings: []string{"group-renamed corp:eng-web"}},
		"renamed in the source, and in the policy": {
			groups: `- {name: g, from: ["corp:eng-web"], to: web}`, own: []string{"web"},
			links: []policy.GroupLink{{corp("1"), "corp:web", "at web"}},
			gives: map[string][]string{"1": {"group:web"}}, pairs: []string{"corp:eng-web=web g linked fit"}},
		"a name taken by a group that is no longer there": {
			groups: `- {name: g, from: ["corp:eng-web"]}`, own: []string{"eng-web"},
			links: []policy.GroupLink{{corp("gone"), "corp:eng-web", "at eng-web"}},
			gives: map[string][]string{"1": nil}, pairs: []string{"corp:eng-web=eng-web g fit"}},
		"a name taken by another": {
			groups: `- {name: g, from: ["corp:eng-web"]}
- {name: h, from: ["corp:Dev users"], to: eng-web}`, own: []string{"eng-web"},
			links: []policy.GroupLink{{corp("4"), "corp:Dev users", "at eng-web"}},
			gives: map[string][]string{"4": {"group:eng-web"}, "1": nil}, pairs: []string{"corp:Dev users=eng-web h linked fit"},
			findings: []string{"group-taken corp:eng-web"}},
		"a name taken by another that no entry is about any more": {
			groups: `- {name: g, from: ["corp:eng-web"]}`, own: []string{"eng-web"},
			links: []policy.GroupLink{{corp("4"), "corp:Dev users", "at eng-web"}},
			gives: map[string][]string{"4": nil, "1": nil}, pairs: []string{"corp:eng-web=eng-web g fit"}},
		"two for one new name": {
			groups: `- {name: g, from: ["corp:eng-web"], create: true}
- {name: h, from: ["corp:Dev users"], to: ENG-web, create: true}`,
			create: []string{"ENG-web"}, findings: []string{"group-taken corp:eng-web"}},
		"synced, or locked": {
			groups: `- {name: g, from: ["corp:eng-*"], to: "synced *"}
- {name: h, from: ["corp:Dev users"], to: locked}`, own: []string{"synced web", "locked"},
			pairs: []string{"corp:Dev users=locked h", "corp:eng-web=synced web g"},
			findings: []string{"group-missing synced Ops", "group-missing synced contractors", "group-unfit locked",
				"group-unfit synced web"}},
		"synced by the provision": {
			groups: `- {name: g, from: ["corp:eng-web"], as: synced, provision: corp, to: synced web}
- {name: h, from: ["corp:Dev users"], as: synced, provision: corp}
provision: [{name: corp, from: [corp], directory: {id: d1, key: 'env:B'}}]`,
			own: []string{"synced web", "dev users"}, pairs: []string{"corp:Dev users=dev users h"}},
		"equal names without an entry are compared only": {
			groups: `- {name: g, from: ["corp:eng-ops"], create: true}`, own: []string{"dev users"},
			create: []string{"Eng-Ops"}, pairs: []string{"corp:Dev users=dev users"}},
		"nothing matches": {
			groups:   `- {name: g, from: ["corp:sales-*"]}`,
			findings: []string{"source-unmatched corp:sales-*"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b, findings := bindGroups(t, tt.groups, tt.links, tt.own...)
			require.Equal(t, tt.findings, keys(findings))
			for key, want := range tt.gives {
				require.Equal(t, want, gives(b, corp(key)), key)
			}
			require.Equal(t, tt.create, b.Create)
			var pairs []string
			for _, p := range b.Pairs() {
				text := fmt.Sprintf("%s=%s %s", p.SourceName, p.GroupName, p.Entry)
				for word, is := range map[string]bool{" linked": p.Linked, " fit": p.Fit} {
					if is && word == " linked" {
						text += word
					}
				}
				if p.Fit {
					text += " fit"
				}
				pairs = append(pairs, strings.TrimSpace(text))
			}
			require.Equal(t, tt.pairs, pairs)
		})
	}
}

func TestGroupsThatAreGoneFromTheSourceStayManaged(t *testing.T) {
	b, _ := bindGroups(t, `- {name: g, from: ["corp:web"]}`, []policy.GroupLink{{corp("gone"), "corp:web", "at web"}}, "web")
	require.Len(t, b.GoneGroups(), 1)
	require.Equal(t, "corp:web", b.GoneGroups()[0].Name)
	require.EqualValues(t, "group:web", b.Targets[b.GoneGroups()[0].Target].Entitlement)
	require.Equal(t, []int{b.GoneGroups()[0].Target}, b.FedBySource("corp"))
	require.Equal(t, []int{b.GoneGroups()[0].Target}, b.TargetsFedBy("corp:web"))
	b, _ = bindGroups(t, `- {name: g, from: ["corp:eng-*"]}`, []policy.GroupLink{{corp("gone"), "corp:web", "at web"}}, "web")
	require.Empty(t, b.GoneGroups(), "the policy no longer names it")
	require.Empty(t, b.Targets)
}

func TestGroupsToComeAreFilledInPlansThatAreShown(t *testing.T) {
	o := outlineOfCorp()
	p := parse(t, "version: 1\norganization: {name: acme, id: a1, key: 'env:A'}\n"+groupSources+
		"groups: [{name: g, from: ['corp:eng-web'], create: true}]\nignore: ['*']")
	b, _ := policy.BindWithPlannedGroups(p, o, policy.Last{})
	require.Equal(t, []string{"group:eng-web"}, gives(b, corp("1")))
	require.True(t, b.Targets[0].Coming)
	id, name, is := b.Following("Eng-Web")
	require.True(t, is)
	require.Equal(t, []string{corp("1"), "corp:eng-web"}, []string{id, name})
}

func TestMembersOfPairsAreCompared(t *testing.T) {
	const entry = `- {name: g, from: ["corp:eng-web"]}`
	linked := []policy.GroupLink{{corp("1"), "corp:eng-web", "at eng-web"}}
	tests := map[string]struct {
		links       []policy.GroupLink
		person      access.Person
		unexplained []access.Entitlement
		leaving     []access.Entitlement
		want        []policy.PairMember
	}{
		"in both": {person: access.Person{GroupIDs: []string{corp("1"), "at eng-web"}},
			want: []policy.PairMember{{0, policy.PairCommon}}},
		"in neither": {person: access.Person{GroupIDs: []string{corp("2")}}},
		"missing":    {person: access.Person{GroupIDs: []string{corp("1")}}, want: []policy.PairMember{{0, policy.PairMissing}}},
		"extra":      {person: access.Person{GroupIDs: []string{"at eng-web"}}, want: []policy.PairMember{{0, policy.PairExtra}}},
		"an app":     {person: access.Person{AccountType: "app", GroupIDs: []string{"at eng-web"}}},
		"unsure": {person: access.Person{GroupIDs: []string{"at eng-web"}, UnsureGroups: []string{corp("1")}},
			want: []policy.PairMember{{0, policy.PairUnsure}}},
		"cannot join": {person: access.Person{GroupIDs: []string{corp("1")}, MembershipStatus: "suspended"}},
		"linked: its plan adds whoever is missing": {links: linked, person: access.Person{GroupIDs: []string{corp("1")}}},
		"linked: explained otherwise, or its plan removes them": {links: linked,
			person: access.Person{GroupIDs: []string{"at eng-web"}}, leaving: []access.Entitlement{"group:eng-web"}},
		"not linked, and its plan removes them": {person: access.Person{GroupIDs: []string{"at eng-web"}},
			links:   []policy.GroupLink{{corp("gone"), "corp:eng-web", "at eng-web"}},
			leaving: []access.Entitlement{"group:eng-web"}, want: []policy.PairMember{{0, policy.PairExtra}}},
		"not linked, and explained otherwise": {person: access.Person{GroupIDs: []string{"at eng-web"}},
			links: []policy.GroupLink{{corp("gone"), "corp:eng-web", "at eng-web"}}},
		"linked: somebody else's": {links: linked, person: access.Person{GroupIDs: []string{"at eng-web"}},
			unexplained: []access.Entitlement{"group:eng-web"}, want: []policy.PairMember{{0, policy.PairExtra}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b, _ := bindGroups(t, entry, tt.links, "eng-web")
			require.Equal(t, tt.want, b.Compare(tt.person, tt.unexplained, tt.leaving))
		})
	}
}

func TestParseRefusesGroups(t *testing.T) {
	for groups, problem := range map[string]string{
		`[{name: g, from: [eng-*]}]`:                                 `groups[0].from[0]: "eng-*" does not begin with the name of a source`,
		`[{name: g, from: ["crop:x"]}]`:                              "did you mean corp?",
		`[{name: g, from: ["corp:x", "corp:y"], to: z}]`:             "several groups of the source would become the one group",
		`[{name: g, from: ["corp:x?"], to: z}]`:                      "several groups of the source would become the one group",
		`[{name: g, from: ["corp:*x*"], to: "z*"}]`:                  "its * has nothing to stand for",
		`[{name: g, from: ["corp:x"], to: "z**"}]`:                   "is not the name of a group",
		`[{name: g, from: ["corp:x"], as: synced}]`:                  "needs a SCIM directory",
		`[{name: g, from: ["corp:x"], provision: p}]`:                "a local group is in no SCIM directory",
		`[{name: g, from: ["corp:x"]}, {name: G, from: ["corp:y"]}]`: `the name "G" is taken by groups[0]`,
		`[{name: g, from: ["corp:x"], except: [y]}]`:                 "groups[0].except[0]",
		`[{name: g, from: ["corp:x"], as: remote}]`:                  "local",
	} {
		_, err := policy.Parse("acme.yaml", []byte("version: 1\norganization: {name: acme, id: a1, key: 'env:A'}\n"+groupSources+
			"groups: "+groups))
		require.ErrorContains(t, err, problem, groups)
	}
	p := parse(t, "version: 1\norganization: {name: acme, id: a1, key: 'env:A'}\n"+groupSources+
		"provision: [{name: staff, from: [corp], directory: {id: d1, key: 'env:S'}}]\ngroups: [{name: g, from: ['CORP:x'], as: synced}]")
	require.Equal(t, "staff", p.Groups[0].Provision)
}
