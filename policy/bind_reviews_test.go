package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/policy/cases"
)

// reviewing binds a policy of one mapping and what follows it, with campaigns r0, r1, … of the given keys and one
// stage.
func reviewing(t testing.TB, more string, campaigns ...string) (*policy.Policy, *policy.Bound, []access.Finding) {
	text := "version: 1\norganization: {name: acme, id: a1, key: 'env:A'}\nmappings:\n" + salesMapping + more +
		"ignore: ['*']\nreviews:\n"
	for i, keys := range campaigns {
		if !strings.Contains(keys, "stages:") {
			keys += ", stages: [{reviewers: [owner]}]"
		}
		text += fmt.Sprintf("- {name: r%d, owner: c@acme.example, %s}\n", i, strings.TrimPrefix(keys, ", "))
	}
	p := parse(t, text)
	b, findings := policy.Bind(p, outline())
	return p, b, findings
}

func TestBindWhatIsReviewedIsManaged(t *testing.T) {
	p, b, findings := reviewing(t, "rules:\n- {name: web, when: managed, give: ['group:web-Members']}\n",
		"scope: {targets: ['group:*users*', 'group:Local People', 'group:WEB-*', role:org-admin, 'role:jira/acme/admin', directory]}",
		"description: everything",
		"scope: {targets: ['default:confluence/acme/user', 'group:jira-users-????']}")
	require.Empty(t, findings)
	require.Equal(t, []string{
		"directory", "group:Confluence-Users-acme", "group:jira-users-acme", "group:jira-users-extra",
		"group:local people", "group:web-Members",
		"role:jira-software/acme/admin", "role:org-admin",
	}, entitlements(b))
	for i, target := range b.Targets {
		switch target.Entitlement {
		case "group:jira-users-acme":
			require.False(t, target.Reviewed, "a mapping gives it")
			require.Equal(t, policy.RemoveAll, target.Removals, "reviews leave a mapping's mode as it is")
		case "group:web-Members":
			require.False(t, target.Reviewed, "a rule gives it")
			require.Equal(t, policy.RemoveOwned, target.Mode(true), "reviews leave a rule's mode as it is")
		default:
			require.True(t, target.Reviewed, target.Entitlement)
			require.Equal(t, policy.RemoveNever, target.Removals)
			require.Equal(t, policy.RemoveNever, target.Mode(true))
			require.False(t, target.Ruled || target.Granted, i)
		}
	}
	require.Equal(t, []access.Entitlement{"default:confluence/acme/user", "group:Confluence-Users-acme"},
		b.Targets[1].Names, "by default role and by glob")
	require.Equal(t, 1, b.Targets[7].Protected.Minimum, "the organization keeps an admin")
	require.Equal(t, []int{0, 1, 2, 3, 4, 5, 6, 7}, b.ReviewTargets(&p.Reviews[0]))
	require.Equal(t, []int{1, 2, 3, 4, 5, 6, 7}, b.ReviewTargets(&p.Reviews[1]), "everything but presence")
	require.Equal(t, []int{1, 2}, b.ReviewTargets(&p.Reviews[2]))
}

// A review of what grants give, or of a default that has moved, changes nothing of how it is managed.
func TestReviewsComeLast(t *testing.T) {
	campaign := "reviews:\n- {name: a, owner: c@acme.example, scope: {targets: ['group:local people', 'default:jira/acme/user']}, stages: [{reviewers: [owner]}]}\n"
	last := policy.Last{
		Granted:  []access.Entitlement{"group:local people"},
		Defaults: map[access.Entitlement][]string{"default:jira-software/acme/user": {"web-Members"}},
	}
	b, _ := since(t, "- {name: m, from: [sales], to: ['group:Confluence-Users-acme']}\n"+campaign, last)
	require.Equal(t, []string{"group:Confluence-Users-acme", "group:jira-users-acme", "group:jira-users-extra",
		"group:local people"}, entitlements(b),
		"a default that only reviews name leaves no old groups behind: nothing would be taken from them")
	require.True(t, b.Targets[3].Granted)
	require.Equal(t, policy.RemoveOwned, b.Targets[3].Removals)
	require.False(t, b.Targets[3].Reviewed)

	b, _ = since(t, "- {name: m, from: [sales], to: ['default:jira/acme/user']}\n"+strings.Replace(campaign,
		"group:local people", "group:web-Members", 1), last)
	require.Equal(t, "group:web-Members", string(b.Targets[3].Entitlement))
	require.False(t, b.Targets[3].Reviewed, "it was default when a mapping gave that")
	require.Equal(t, policy.RemoveOwned, b.Targets[3].Removals)
}

func TestBindFindingsOfReviews(t *testing.T) {
	tests := map[string]struct {
		more, campaign string
		findings       []string
	}{
		"a name of nothing": {"", "scope: {targets: ['group:new']}", []string{"review-target-unknown group:new"}},
		"a group to be made": {"- {name: n, from: [sales], to: ['group:TO come'], create: true}\n",
			"scope: {targets: ['group:to come']}, owners: [{targets: ['group:To come'], by: [c@acme.example]}]", nil},
		"a glob of nothing": {"", "scope: {targets: ['group:new-*', 'group:w*']}",
			[]string{"review-target-unknown group:new-*"}},
		"a glob of synced groups": {"", "scope: {targets: ['group:eng-*']}",
			[]string{"review-target-unknown group:eng-*"}},
		"a glob of some": {"", "scope: {targets: ['group:*e*']}", nil},
		"a glob of locked groups": {"", "scope: {targets: ['group:lock*']}",
			[]string{"review-target-unknown group:lock*"}},
		"synced": {"", "scope: {targets: ['group:eng-web']}",
			[]string{"target-synced group:eng-web !"}},
		"locked": {"", "scope: {targets: ['group:locked']}", []string{"target-locked group:locked !"}},
		"no such site": {"", "scope: {targets: ['role:jira/other/admin']}",
			[]string{"site-unknown role:jira-software/other/admin !"}},
		"no default": {"", "scope: {targets: ['default:jira/acme/admin']}",
			[]string{"default-missing default:jira-software/acme/admin !"}},
		"owners of nothing": {"", "scope: {targets: ['group:w*']}, owners: [{targets: ['group:web-?embers', 'group:jira-users-acme', 'default:jira/acme/user', 'group:c*'], by: [c@acme.example]}]",
			[]string{"review-target-unknown default:jira-software/acme/user", "review-target-unknown group:c*",
				"review-target-unknown group:jira-users-acme"}},
		"owners without a scope": {"",
			"owners: [{targets: ['default:jira/acme/user', 'group:jira-*'], by: [c@acme.example]}]", nil},
		"silence of nothing": {"", "silenceOf: [{targets: [directory, 'group:JIRA-users-acme'], do: hold}]",
			[]string{"review-target-unknown directory"}},
		"reviewers that are not": {"",
			"stages: [{reviewers: ['group:Sales'], fallback: ['group:leads']}, {reviewers: ['group:Local People', 'group:nobody']}]", []string{"review-group-unknown leads", "review-group-unknown nobody"}},
		"people of a group": {"", `scope: {people: 'in("sales") || inAny(["web-members", "nobody"])'}`,
			[]string{"review-group-unknown nobody"}},
		"protected like all targets": {"protected: [{target: 'default:confluence/acme/user', minimum: 7}]\n",
			"scope: {targets: ['group:conf*']}", nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, b, findings := reviewing(t, tt.more, tt.campaign)
			require.Equal(t, tt.findings, keys(findings))
			if strings.HasPrefix(name, "protected") {
				require.Equal(t, 7, b.Targets[0].Protected.Minimum)
			}
		})
	}
}

// Of two groups of one name, one may be an identity provider's: a glob that meets them refuses no policy.
func TestBindGlobLeavesOutGroupsOfOneName(t *testing.T) {
	p, _, _ := reviewing(t, "", "scope: {targets: ['group:local*']}")
	o := outline()
	o.Groups = append(o.Groups, access.Group{ID: "s9", Name: "Local People", Synced: true},
		access.Group{ID: "l9", Name: "local heroes", Modifiable: true})
	b, findings := policy.Bind(p, o)
	require.Equal(t, []string{"target-ambiguous group:local people"}, keys(findings))
	require.Equal(t, []string{"group:jira-users-acme", "group:local heroes"}, entitlements(b))
}

func TestBindWhoOwnsATargetAndWhatSilenceMeans(t *testing.T) {
	p, b, findings := reviewing(t, "", `scope: {targets: ['group:*', 'default:confluence/acme/user', role:org-admin, 'role:jira/acme/admin']},
  owners: [{targets: ['group:JIRA-*'], by: [a@acme.example, b@acme.example]}, {targets: ['default:jira/acme/user', role:org-admin], by: [B@acme.example, d@acme.example]}, {targets: ['default:confluence/acme/user'], by: [e@acme.example]}],
  silence: keep, silenceOf: [{targets: ['group:?ira-users-extra', 'role:jira/acme/admin'], do: recommendation}, {targets: ['default:jira/acme/user'], do: hold}, {targets: ['default:confluence/acme/user'], do: keep}, {targets: ['group:*'], do: remove}]`)
	require.Empty(t, findings)
	r := &p.Reviews[0]
	for target, want := range map[access.Entitlement]struct {
		owners  []string
		silence policy.Silence
	}{
		"group:jira-users-acme": {[]string{"a@acme.example", "b@acme.example", "d@acme.example"},
			policy.SilenceHold},
		"group:jira-users-extra": {[]string{"a@acme.example", "b@acme.example", "d@acme.example"},
			policy.SilenceRecommend},
		"group:confluence-users-acme":   {[]string{"e@acme.example"}, policy.SilenceKeep},
		"role:jira-software/acme/admin": {[]string{"c@acme.example"}, policy.SilenceRecommend},
		access.OrgAdmin:                 {[]string{"B@acme.example", "d@acme.example"}, policy.SilenceKeep},
		"group:web-members":             {[]string{"c@acme.example"}, policy.SilenceRemove},
	} {
		i, managed := b.Target(target)
		require.True(t, managed, target)
		require.Equal(t, want.owners, r.OwnersOf(b, i), target)
		require.Equal(t, want.silence, r.SilenceFor(b, i), target)
	}
	require.Len(t, b.AllTargets("default:jira/acme/user"), 2,
		"a default role that only owners name is a name for what is managed")
	require.NotContains(t, b.Defaults(), access.Entitlement("default:jira-software/acme/user"),
		"and nothing hangs on what stands behind it")
}

// What a campaign names in full an outline has to know the roles of.
func TestEntitlementsNameWhatIsReviewed(t *testing.T) {
	p, _, _ := reviewing(t, "", "scope: {targets: ['group:*', 'default:jira/acme/user']}, owners: [{targets: ['default:confluence/acme/user', 'group:j?'], by: [c@acme.example]}], silenceOf: [{targets: [role:org-admin], do: hold}]")
	require.Equal(t, []access.Entitlement{"default:confluence/acme/user", "default:jira-software/acme/user",
		"group:jira-users-acme", access.OrgAdmin}, p.Entitlements())
}

// Cases are tried in a simulated organization in which what campaigns name is there: nothing gives it, and nothing is
// wrong with it.
func TestCasesKnowWhatIsReviewed(t *testing.T) {
	p, _, _ := reviewing(t, "", "scope: {targets: ['group:team', 'default:jira/acme/user', 'group:any-*']}")
	c, err := cases.Read("cases.yaml", []byte(`{version: 1, now: "2026-12-01T09:00:00Z", cases: [
  {name: held, person: {email: a@own.example, groups: [sales, team]}, expect: {holds: ["group:jira-users-acme"]}},
  {name: given, person: {email: a@own.example}, expect: {gives: ["default:jira/acme/user", "group:team"]}}]}`))
	require.NoError(t, err)
	results := cases.Try(p, c)
	require.Empty(t, results[0].Wrong)
	require.Equal(t, []string{"expected default:jira/acme/user to be held; nothing gives it",
		"expected group:team to be held; nothing gives it"}, results[1].Wrong)
}

func TestBindSilenceOfOneTargetByTwoNamesIsTheMoreCareful(t *testing.T) {
	p, b, _ := reviewing(t, "", `scope: {targets: ['default:jira/acme/user']}, silence: remove,
  silenceOf: [{targets: ['default:jira/acme/user'], do: remove}, {targets: ['group:jira-users-acme'], do: hold}, {targets: ['group:*'], do: keep}]`)
	for target, want := range map[access.Entitlement]policy.Silence{"group:jira-users-acme": policy.SilenceHold,
		"group:jira-users-extra": policy.SilenceRemove} {
		i, _ := b.Target(target)
		require.Equal(t, want, p.Reviews[0].SilenceFor(b, i), target)
	}
}
