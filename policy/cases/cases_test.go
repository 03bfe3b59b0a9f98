package cases_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/policy/cases"
)

// tabled is the policy that the tables of these tests are put to.
const tabled = `
version: 1
organization: {name: acme, id: a1, key: "env:A", domains: [own.example]}
mappings:
- {name: sales, from: [sales], to: ["default:jira/acme/user"]}
- {name: teams, from: ["team-*"], except: [team-secret], to: ["group:space-*"]}
- {name: partners, from: [partner-a], to: ["group:partner-wiki"]}
grants:
- {name: guests, targets: [directory, "group:admins"], duration: {max: 4h}}
rules:
- {name: outside, mode: enforce, owner: o@acme.example, when: 'external && !in("trusted")', deny: ["default:jira/acme/user"]}
- {name: It, when: department == "IT" && title.startsWith("Admin"), give: ["group:admins"]}
- {name: idle, mode: enforce, owner: o@acme.example, when: 'inactive("90d", "jira")', suspend: true, after: 7d, grace: 14d}
- {name: back, mode: enforce, when: '!inactive("90d", "jira")', restore: true}
- {name: shift, mode: enforce, when: in("shift"), give: ["group:night"], during: {zone: UTC, weekly: ["Mon-Fri 18:00-22:00"]}}
- {name: no guests, mode: enforce, owner: o@acme.example, when: sponsor == "gone@acme.example", remove: true}
- {name: many, mode: enforce, when: 'added < timestamp("2020-01-01T00:00:00Z") && mfa', give: ["group:old"]}
`

// try puts one case to a policy.
func try(t testing.TB, text, person, expect string) cases.Result {
	t.Helper()
	c, err := cases.Read("cases.yaml", fmt.Appendf(nil, `
version: 1
now: "2026-12-01T09:00:00Z"
domains: [acme.example]
cases:
- name: one
  person: {%s}
  %s
`, person, expect))
	require.NoError(t, err)
	results := cases.Try(parse(t, text), c)
	require.Len(t, results, 1)
	require.Equal(t, "one", results[0].Name)
	require.Equal(t, 6, results[0].Line)
	require.Equal(t, len(results[0].Wrong) == 0, results[0].OK)
	return results[0]
}

func TestCases(t *testing.T) {
	const (
		partner = `email: p@partner.example, groups: [partner-a, sales]`
		own     = `email: a@OWN.example, groups: [Sales]`
		idle    = `email: a@acme.example, added: 400d ago, apps: {jira/acme: 91d ago}, `
	)
	for name, tt := range map[string]struct {
		person, expect string
		wrong          string // "": as expected
	}{
		"holds": {partner, `expect: {holds: ["group:Partner-Wiki"]}`, ""},
		"holds too little": {partner, `expect: {holds: ["group:partner-wiki", "default:jira/acme/user"]}`,
			"expected default:jira/acme/user to be held; mapping sales (source group sales, default:jira-software/acme/user) gives it; rule outside denies it"},
		"holds too much": {own, `expect: {holds: []}`,
			"expected default:jira-software/acme/user not to be held; mapping sales (source group sales, default:jira-software/acme/user) gives it; rule outside, which denies it, says no, since external is false"},
		"holds nothing": {`email: a@own.example`, `expect: {holds: []}`, ""},
		"holds by a star": {`email: a@own.example, groups: [team-web, team-secret]`,
			`expect: {holds: ["group:space-web"]}`, ""},
		"holds by a case's own star": {`email: a@own.example`, `expect: {gives: ["group:space-web"]}`,
			"expected group:space-web to be held; the policy gives and denies no such target"},
		"holds what nothing gives": {`email: a@own.example`, `expect: {holds: ["group:partner-wikis"]}`,
			`the policy gives and denies no such target; there is "group:partner-wiki"`},
		"a local group feeds nothing": {`email: a@own.example, local: [sales]`, `expect: {holds: []}`, ""},
		"a target is not a source": {`email: a@own.example, groups: [night, "group nobody names"]`,
			`expect: {holds: []}`, ""},
		"gives": {own, `expect: {gives: ["default:jira/acme/user"]}`, ""},
		"gives not": {partner, `expect: {gives: ["group:partner-wiki", "group:night"]}`,
			`expected group:night to be held; nothing gives it; rule shift, which gives it, says closed, since it is not in force at 2026-12-01T09:00:00Z; it is from 2026-12-01T18:00:00Z on`},
		"gives in its window": {partner + `, local: [shift]`,
			"at: '2026-12-01T20:00:00Z'\n  expect: {gives: ['group:night'], rules: {shift: holds}}", ""},
		"denies": {partner, `expect: {denies: ["default:jira/acme/user"]}`, ""},
		"denies not": {partner + `, local: [trusted]`,
			`expect: {denies: ["default:jira-software/acme/user"]}`,
			`rule outside, which denies it, says no, since !in("trusted") is false`},
		"observed counts as enforced": {`department: IT, title: Admin II`,
			`expect: {holds: ["group:admins"], rules: {it: holds}}`, ""},
		"observed as it is now": {`department: IT, title: Admin II`,
			"as: now\n  expect: {holds: ['group:admins']}", "nothing gives it; rule It gives it, but it only observes"},
		"observed and nothing held": {`department: IT, title: Admin II`,
			"as: now\n  expect: {holds: [], rules: {It: holds}}", ""},
		"which part is false": {`department: IT, title: Clerk`, `expect: {rules: {It: holds}}`,
			`expected rule It to say holds; it says no, since title.startsWith("Admin") is false (title is "Clerk")`},
		"that parts are unknown": {`added: "2021-01-01T00:00:00Z"`, `expect: {rules: {many: holds}}`,
			`it says no, since added < timestamp("2020-01-01T00:00:00Z") is false (added is 2021-01-01T00:00:00Z)`},
		"unknown": {`groups: [sales]`,
			`expect: {unknown: ["default:jira/acme/user", directory], holds: [], rules: {outside: unknown, idle: unknown}}`, ""},
		"unknown is not denied": {`groups: [sales]`, `expect: {denies: ["default:jira/acme/user"]}`,
			"rule outside, which denies it, says unknown, since it is not known whether the person is external"},
		"unknown is not held": {`groups: [sales]`, `expect: {gives: ["default:jira/acme/user"]}`,
			"rule outside, which denies it, says unknown"},
		"known after all": {own, `expect: {unknown: ["default:jira/acme/user"]}`,
			"expected default:jira/acme/user to stay as it is, since a rule cannot be answered"},
		"waits": {idle + `holding: {idle: 6d}`,
			`expect: {presence: untouched, rules: {Idle: waits}}`, ""},
		"waits still": {idle + `holding: {idle: 6d}`, `expect: {presence: suspended}`,
			"expected presence suspended, came untouched; rule idle, which denies it, says waits, since it holds only since 2026-11-25T09:00:00Z, and waits until 2026-12-02T09:00:00Z"},
		"held just now": {idle, `expect: {rules: {idle: waits}}`, ""},
		"grace untold": {idle + `holding: {idle: 30d}`, `expect: {rules: {idle: holds}}`,
			"it says grace, since nobody was told of it yet"},
		"grace": {idle + `holding: {idle: 30d}, told: {idle: 13d}`,
			`expect: {rules: {idle: holds}}`,
			"it says grace, since its grace period ends only at 2026-12-02T09:00:00Z"},
		"grace over": {idle + `holding: {idle: "2026-10-01T09:00:00Z"}, told: {idle: 14d}`,
			`expect: {presence: suspended, rules: {idle: holds}}`, ""},
		"told is held": {idle + `told: {idle: 14d ago}`, `expect: {presence: suspended}`, ""},
		"marks of no rule": {idle + `holding: {idel: 14d}`, `expect: {presence: untouched}`,
			`the policy has no rule "idel"; there is "idle"`},
		"never used, just added": {`added: 3d ago, apps: {jira/acme: never}`, `expect: {rules: {idle: no}}`, ""},
		"use not known": {`apps: {jira/acme: unknown}`,
			`expect: {rules: {idle: unknown, back: unknown}}`, ""},
		"no app at all": {`apps: {}`, `expect: {rules: {idle: no}}`, ""},
		"restored": {`apps: {jira/acme: 3d ago}, suspendedByCastellan: true`,
			`expect: {presence: restored, gives: [directory]}`, ""},
		"not restored": {`apps: {jira/acme: 3d ago}, membershipStatus: suspended`,
			`expect: {presence: restored}`,
			"expected presence restored, came untouched; rule idle, which denies it, says no, since inactive(\"90d\", \"jira\") is false; rule back gives it"},
		"not restored, closed": {`apps: {jira/acme: 3d ago}, accountStatus: closed, suspendedByCastellan: true`,
			`expect: {presence: untouched}`, ""},
		"not restored, unknown": {`suspendedByCastellan: true`, `expect: {presence: untouched}`, ""},
		"restored by a grant": {`apps: {}, membershipStatus: suspended, grants: [directory]`,
			`expect: {presence: restored, holds: []}`, ""},
		"removed": {`email: g@x.example, grants: {directory: Gone@acme.example}`,
			`expect: {presence: removed, denies: [organization]}`, ""},
		"not removed": {`email: g@x.example, apps: {}, grants: {directory: bo@acme.example}`,
			`expect: {presence: removed}`,
			`expected presence removed, came untouched; grant of the case gives it; rule idle, which denies it, says no, since inactive("90d", "jira") is false; rule back gives it; rule no guests, which denies it, says no, since sponsor == "gone@acme.example" is false (sponsor is "bo@acme.example")`},
		"a grant": {`grants: ["group:admins"]`, `expect: {gives: ["group:admins"]}`, ""},
		"a grant of a grant's target": {`grants: ["group:admins"]`, `expect: {denies: ["group:admins"]}`,
			"grant of the case gives it; rule It, which gives it, says no"},
		"rules": {own, `expect: {rules: {OUTSIDE: no, it: no, shift: closed}}`, ""},
		"no such rule": {own, `expect: {rules: {outsider: no}}`,
			`the policy has no rule "outsider"; there is "outside"`},
		"an app": {`accountType: app, groups: [sales]`,
			`expect: {holds: [], presence: untouched}`, ""},
		"an app is asked for": {`email: x@connect.atlassian.com`, `expect: {rules: {outside: holds}}`,
			"expected rule outside to say holds; no rule speaks of apps"},
		"an app holds nothing": {`accountType: app, groups: [sales]`,
			`expect: {gives: ["default:jira/acme/user"]}`, "the policy never touches apps"},
		"external without any address": {`managed: true`, `expect: {rules: {outside: no}}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := try(t, tabled, tt.person, tt.expect)
			if tt.wrong == "" {
				require.Empty(t, r.Wrong)
				return
			}
			require.Contains(t, strings.Join(r.Wrong, "\n"), tt.wrong)
			require.Len(t, r.Wrong, 1)
		})
	}
}

// Every fact of a case reaches the conditions, and what is left out is not known.
func TestCaseFacts(t *testing.T) {
	const all = `email: Ana@acme.example, name: Ana, title: Dev, department: IT, organization: Acme, location: Berlin, accountStatus: inactive,
    membershipStatus: suspended, managementSource: synced, emailVerified: true, mfa: false, orgAdmin: true, managed: true, added: "2026-01-01T00:00:00+01:00",
    groups: [asked, plain], local: [mine], apps: {Jira/Acme: 3d ago, confluence/acme: never}, grants: ["role:jira/acme/admin", directory], suspendedByCastellan: true`
	for condition, want := range map[string]string{
		`email == "ana@acme.example" && name == "Ana" && title == "Dev" && department == "IT" && organization == "Acme" && location == "Berlin"`: "holds",
		`accountStatus == "inactive" && membershipStatus == "suspended" && managementSource == "synced" && accountType == "atlassian"`:           "holds",
		`emailVerified && !mfa && managed && claimStatus == "managed" && "atlassian/org-admin" in roles && !external`:                            "holds",
		`added == timestamp("2025-12-31T23:00:00Z") && now == timestamp("2026-12-01T09:00:00Z")`:                                                 "holds",
		`in("asked") && in("plain") && in("mine") && size(groups) == 3 && sources.exists(g, g == "plain") && !("mine" in sources)`:               "holds",
		`granted("role:jira/acme/admin") && granted("directory") && sponsor == ""`:                                                               "holds",
		`apps == ["jira-software", "confluence"] && neverUsed("confluence") && lastActive("jira") == now - duration("72h")`:                      "holds",
	} {
		text := tabled + "- {name: fact, when: '" + condition + "', notify: [o@acme.example]}\n"
		require.Empty(t, try(t, text, all, `expect: {rules: {fact: `+want+`}}`).Wrong)
	}
	for _, condition := range []string{"email == ''''", "emailVerified", "mfa", "managed", "added < now", "external",
		`"jira" in apps`} {
		text := tabled + "- {name: fact, when: '" + condition + "', notify: [o@acme.example]}\n"
		require.Empty(t, try(t, text, "", `expect: {rules: {fact: unknown}}`).Wrong, condition)
	}
	sources := tabled + "- {name: fact, when: 'size(sources) == 1', notify: [o@acme.example]}\n"
	require.Empty(t, try(t, sources, "groups: [any, night]", `expect: {rules: {fact: holds}}`).Wrong,
		"a target is local even where rules ask for all groups")
}

// A rule with a release holds on once it holds.
func TestCaseRelease(t *testing.T) {
	text := tabled + "- {name: hold on, mode: enforce, owner: o@acme.example, when: 'inactive(\"90d\", \"jira/else\")', release: 'in(\"let go\")', give: ['group:held']}\n"
	const used = "email: a@acme.example, apps: {jira/else: 1d ago}, holding: {Hold on: 3d}"
	require.Empty(t, try(t, text, used, `expect: {gives: ["group:held"]}`).Wrong)
	require.Empty(t, try(t, text, strings.ReplaceAll(used, ", holding: {Hold on: 3d}", ""),
		`expect: {holds: [], rules: {hold on: no}}`).Wrong)
	require.Equal(t, []string{"expected rule hold on to say holds; it says no, since its condition is false, and its release is true"},
		try(t, text, used+", groups: [let go]", `expect: {rules: {hold on: holds}}`).Wrong)
}

// What keeps the policy from managing a target is said.
func TestCaseTargetsThatCannotBeManaged(t *testing.T) {
	text := strings.Replace(tabled, `to: ["group:space-*"]`, `to: ["group:team-*", "group:team-*-x"]`, 1)
	r := try(t, text, `email: a@own.example, groups: [team-x]`, `expect: {gives: ["group:team-x"]}`)
	require.Len(t, r.Wrong, 1)
	require.Contains(t, r.Wrong[0], "cannot manage")

	r = try(t, text, `email: a@own.example, groups: ["default of jira-software/acme/user", sales]`,
		`expect: {holds: ["default:jira/acme/user"]}`)
	require.Empty(t, r.Wrong, "a made-up name gives way")
}

func TestCasesShareOneWorld(t *testing.T) {
	c, err := cases.Read("cases.yaml", []byte(`{version: 1, now: "2026-12-01T09:00:00Z", cases: [
  {name: synced, person: {email: a@own.example, groups: [sales]}, expect: {gives: ["default:jira/acme/user"]}},
  {name: local, person: {email: a@own.example, local: [Sales]}, expect: {holds: []}},
  {name: later, person: {added: 30d ago}, at: "2027-01-01T00:00:00Z", expect: {holds: [], rules: {many: no}}}]}`))
	require.NoError(t, err)
	for _, r := range cases.Try(parse(t, tabled), c) {
		require.Empty(t, r.Wrong, r.Name)
	}
}

func TestCasesOfTheExamples(t *testing.T) {
	tables, err := filepath.Glob(filepath.Join("..", "..", "examples", "cases", "*.yaml"))
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(tables), 4)
	for _, table := range tables {
		t.Run(filepath.Base(table), func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("..", "..", "examples", filepath.Base(table)))
			require.NoError(t, err)
			p, err := policy.Parse(filepath.Base(table), text)
			require.NoError(t, err)
			text, err = os.ReadFile(table)
			require.NoError(t, err)
			c, err := cases.Read(table, text)
			require.NoError(t, err)
			require.GreaterOrEqual(t, len(c.Cases), 9)
			for _, r := range cases.Try(p, c) {
				require.Empty(t, r.Wrong, r.Name)
			}
		})
	}
}

func TestCasesKnowGroupsOfSources(t *testing.T) {
	const text = `
version: 1
organization: {name: acme, id: a1, key: "env:A"}
sources: [{name: corp, kind: ldap, url: "ldaps://dc1", base: "DC=acme"}]
mappings:
- {name: devs, from: ["corp:dev *"], to: ["default:jira/acme/user"]}
- {name: all, from: ["*"], to: ["group:everybody"]}
rules: [{name: ops, mode: enforce, when: 'in("corp:ops")', give: ["group:night"]}]
`
	for group, expect := range map[string]string{
		`"corp:Dev users"`: `expect: {holds: ["default:jira/acme/user"]}`,
		`"CORP:ops"`:       `expect: {holds: ["group:night"]}`,
		`dev users`:        `expect: {holds: ["group:everybody"]}`,
	} {
		result := try(t, text, "email: a@acme.example, groups: ["+group+"]", expect)
		require.True(t, result.OK, "%s: %v", group, result.Wrong)
	}
}
