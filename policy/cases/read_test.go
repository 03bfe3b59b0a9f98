package cases_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/policy/cases"
	"github.com/castellan-io/castellan/policy/internal/strictyaml"
)

const caseHead = "version: 1\nnow: '2026-12-01T09:00:00Z'\ncases:\n"

func TestCasesRefuse(t *testing.T) {
	of := func(person string) string {
		return caseHead + "- name: a\n  expect: {holds: []}\n  person: {" + person + "}\n"
	}
	expecting := func(expect string) string {
		return caseHead + "- name: a\n  person: {}\n  expect: {" +
			expect + "}\n"
	}
	for name, tt := range map[string]struct{ text, want string }{
		"nothing": {"", "c.yaml: the file is empty"},
		"no keys": {"{}",
			"c.yaml:1:1: version is missing; add it\nc.yaml:1:1: now is missing; add it\nc.yaml:1:1: cases is missing; add it"},
		"unknown key": {caseHead + "- {name: a, person: {}, expects: {}}\n",
			"c.yaml:4:3: cases[0]: expect is missing; add it\nc.yaml:4:25: cases[0].expects: unknown key; the keys here are as, at, expect, name, person"},
		"another version": {strings.Replace(caseHead, "1", "2", 1) +
			"- {name: a, person: {}, expect: {holds: []}}", "c.yaml:1:10: version: 2 is out of bounds"},
		"now": {strings.Replace(caseHead, "2026-12-01T09:00:00Z", "today", 1) +
			"- {name: a, person: {}, expect: {holds: []}}", `c.yaml:2:6: now: "today" is not an instant`},
		"at": {caseHead + "- {name: a, at: soon, person: {}, expect: {holds: []}}",
			`c.yaml:4:17: cases[0].at: "soon" is not an instant`},
		"as": {caseHead + "- {name: a, as: observe, person: {}, expect: {holds: []}}",
			`c.yaml:4:17: cases[0].as: "observe" is unknown; write one of enforced, now`},
		"domain": {"domains: ['@acme']\n" + caseHead + "- {name: a, person: {}, expect: {holds: []}}",
			`c.yaml:1:11: domains[0]: "@acme" is not an e-mail domain`},
		"no cases": {caseHead + "  []\n", "c.yaml:4:3: cases: the list is empty"},
		"name twice": {caseHead +
			"- {name: a, person: {}, expect: {holds: []}}\n- {name: A, person: {}, expect: {holds: []}}",
			`c.yaml:5:10: cases[1].name: the name "A" is taken by cases[0]`},
		"anchor": {of("groups: &g [a]"),
			"c.yaml:6:20: cases[0].person.groups: anchors are not allowed"},
		"e-mail": {of("email: ana"),
			`c.yaml:6:19: cases[0].person.email: "ana" is not an e-mail address`},
		"unknown fact": {of("colour: red"),
			"c.yaml:6:12: cases[0].person.colour: unknown key; the keys here are accountStatus,"},
		"managed": {of("managed: perhaps"),
			`c.yaml:6:21: cases[0].person.managed: "perhaps" does not fit; write true or false`},
		"account status": {of("accountStatus: gone"),
			`person.accountStatus: "gone" is unknown; write one of active, inactive, closed`},
		"membership status":    {of("membershipStatus: gone"), "write one of active, suspended, no_membership"},
		"source of management": {of("managementSource: gone"), "write one of invited, synced"},
		"group glob": {of("groups: ['eng-*']"),
			`c.yaml:6:21: cases[0].person.groups[0]: "eng-*": a person is in groups of whole names`},
		"group twice": {of("groups: [a, A]"), `"A" stands already in cases[0].person.groups[0]`},
		"synced and local": {of("groups: [a], local: [A]"),
			`c.yaml:6:32: cases[0].person.local: "A" stands in groups too`},
		"added": {of("added: 3d"),
			`c.yaml:6:19: cases[0].person.added: "3d" is not an instant; write for example 2026-12-01T09:00:00Z, or 91d ago`},
		"added later": {of("added: '2026-12-02T09:00:00Z'"),
			"c.yaml:6:19: cases[0].person.added: 2026-12-02T09:00:00Z lies after 2026-12-01T09:00:00Z"},
		"app without a site": {of("apps: {jira: never}"),
			`c.yaml:6:19: cases[0].person.apps.jira: "jira" is no app on a site; write for example jira/acme`},
		"app twice": {of("apps: {jira/acme: never, jira-software/acme: never}"),
			"jira-software/acme stands here already under another name"},
		"app key twice": {of("apps: {jira/acme: never, JIRA/acme: never}"), "the name stands twice"},
		"use": {of("apps: {jira/acme: 91d}"),
			`c.yaml:6:30: cases[0].person.apps.jira/acme: "91d" does not say when the app was last used`},
		"use is no text": {of("apps: {jira/acme: [1]}"), "a list does not belong here; write a text"},
		"apps is a list": {of("apps: [jira/acme]"),
			"c.yaml:6:18: cases[0].person.apps: a list does not belong here; write names, each with its value"},
		"grant": {of("grants: [everything]"),
			`c.yaml:6:21: cases[0].person.grants[0]: "everything" is not an entitlement`},
		"grant by nobody": {of("grants: {directory: ana}"),
			`c.yaml:6:32: cases[0].person.grants.directory: "ana" names nobody`},
		"grant of nothing": {of("grants: {dir: ana@acme.example}"),
			`c.yaml:6:21: cases[0].person.grants.dir: "dir" is not an entitlement`},
		"holding": {of("holding: {r: long}"),
			`c.yaml:6:25: cases[0].person.holding.r: "long" does not say since when; write a duration such as 8d`},
		"told first": {of("holding: {r: 3d}, told: {R: 4d}"),
			`c.yaml:6:36: cases[0].person.told: "r" was told before it held`},
		"suspended and active": {of("suspendedByCastellan: true, membershipStatus: active"),
			"c.yaml:6:58: cases[0].person.membershipStatus: whom Castellan suspended is suspended"},
		"nothing expected": {expecting(""),
			"c.yaml:6:11: cases[0].expect: nothing is expected, so the case cannot fail; write holds, gives, denies"},
		"unknown expectation": {expecting("hold: []"),
			"c.yaml:6:12: cases[0].expect.hold: unknown key; the keys here are denies, gives, holds, presence, rules, unknown"},
		"empty list": {expecting("gives: []"), "c.yaml:6:19: cases[0].expect.gives: the list is empty"},
		"no list": {expecting("holds: x"),
			`c.yaml:6:19: cases[0].expect.holds: "x" does not fit; write a list`},
		"no target": {expecting("holds: [x]"),
			`c.yaml:6:20: cases[0].expect.holds[0]: "x" is not an entitlement`},
		"star": {expecting("denies: ['group:a-*']"), "a case names its targets in full"},
		"presence": {expecting("presence: gone"),
			`c.yaml:6:22: cases[0].expect.presence: "gone" is unknown; write one of suspended, removed, restored, untouched`},
		"verdict": {expecting("rules: {r: yes}"),
			`c.yaml:6:23: cases[0].expect.rules.r: "yes" is unknown; write one of no, closed, unknown, waits, grace, holds`},
		"no verdicts": {expecting("rules: {}"), "c.yaml:6:19: cases[0].expect.rules: no rule is named"},
		"rule by number": {expecting("rules: {1: no}"),
			"cases[0].expect.rules.1: YAML reads this as int; write it in quotes"},
		"verdict by alias": {expecting("rules: {r: &a no}"), "anchors are not allowed"},
		"key by anchor":    {expecting("rules: {&a r: no}"), "anchors are not allowed"},
		"list of too many names": {expecting("rules: {" + strings.Join(numbers(501, "r%d: no"), ", ") + "}"),
			"there are 501 entries; at most 500 are allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := cases.Read("c.yaml", []byte(tt.text))
			var problems policy.Errors
			require.ErrorAs(t, err, &problems)
			require.ErrorContains(t, err, tt.want)
		})
	}
}

func numbers(n int, format string) []string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf(format, i))
	}
	return all
}

func TestCasesAreBounded(t *testing.T) {
	_, err := cases.Read("c.yaml", bytes.Repeat([]byte(" "), policy.MaxFile+1))
	require.ErrorContains(t, err, "c.yaml: the file has 1048577 bytes; a table of cases has at most 1048576")

	_, err = cases.Read("c.yaml",
		[]byte(caseHead+strings.Join(numbers(5001, "- {name: n%d, person: {}, expect: {holds: []}}\n"), "")))
	require.ErrorContains(t, err, "c.yaml:4:1: cases: the list has 5001 entries; at most 5000 are allowed")

	_, err = cases.Read("c.yaml",
		[]byte(caseHead+strings.Join(numbers(300, "- {name: n%d, person: {managed: x}, expect: {holds: []}}\n"), "")))
	var problems policy.Errors
	require.ErrorAs(t, err, &problems)
	require.Len(t, problems, strictyaml.MaxProblems+1)
	require.ErrorContains(t, err, "100 more problems are not shown")

	c, err := cases.Read("c.yaml",
		[]byte(caseHead+strings.Join(numbers(5000, "- {name: n%d, person: {}, expect: {gives: ['group:x']}}\n"), "")))
	require.NoError(t, err)
	began := time.Now()
	require.Len(t, cases.Try(parse(t, tabled), c), 5000)
	require.Less(t, time.Since(began), 20*time.Second)
}

// JSON is YAML, so a table may be made by a program.
func TestCasesInJSON(t *testing.T) {
	c, err := cases.Read("c.json",
		[]byte(`{"cases": [{"name": "a", "person": {"added": "1d ago"}, "expect": {"rules": {"r": "no"}}}], "now": "2026-12-01T09:00:00Z", "version": 1}`))
	require.NoError(t, err, "the order of keys does not matter")
	require.Equal(t, noon.Year(), 2026)
	require.Equal(t, c.Now.Add(-24*time.Hour), c.Cases[0].Person.Added)
	require.Equal(t, []cases.RuleVerdict{{Rule: "r", Verdict: policy.VerdictNo}}, c.Cases[0].Expect.Rules)
	require.Equal(t, cases.ModeEnforced, c.Cases[0].As)
	require.Nil(t, c.Cases[0].Apps)
	require.Nil(t, c.Cases[0].Expect.Holds)
}

func TestCasesReadInstantsWithoutQuotes(t *testing.T) {
	c, err := cases.Read("c.yaml", []byte(strings.ReplaceAll(caseHead, "'", "")+
		"- {name: a, person: {added: 2026-01-01T00:00:00Z, apps: {jira/acme: 2026-01-01T00:00:00Z}, holding: {r: 2026-01-01T00:00:00Z}}, expect: {holds: []}}"))
	require.NoError(t, err)
	require.Equal(t, []time.Time{newYear, newYear, newYear},
		[]time.Time{c.Cases[0].Person.Added, c.Cases[0].Apps[0].Last, c.Cases[0].Holding["r"]})
}

// FuzzCases: whatever is written either is refused with places, or can be put to a policy, twice with one answer.
func FuzzCases(f *testing.F) {
	f.Add([]byte(caseHead + `- {name: a, at: "2026-12-03T20:00:00Z", as: now, person: {email: a@b.c, groups: [sales, team-x], local: [y], managed: true, mfa: false,
    added: 3d ago, apps: {jira/acme: 4d ago, c/d: never, e/f: unknown}, grants: {directory: a@b.c}, holding: {idle: 3d}, told: {idle: 2d}},
    expect: {holds: ["default:jira/acme/user"], gives: ["group:x"], denies: [organization], unknown: ["role:org-admin"], presence: removed, rules: {It: no}}}`))
	f.Add([]byte(caseHead + "- {name: a, person: {grants: [directory, 'role:a/b/c'], apps: {}}, expect: {holds: []}}"))
	f.Add([]byte("cases: [{person: {apps: {a: &a 1}, grants: {1: 2}}, expect: {rules: [*a]}}]"))
	p, err := policy.Parse("tabled", []byte(tabled))
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := cases.Read("fuzz", data)
		if err != nil {
			var problems policy.Errors
			require.ErrorAs(t, err, &problems)
			require.NotEmpty(t, problems)
			return
		}
		first := cases.Try(p, c)
		require.Len(t, first, len(c.Cases))
		require.Equal(t, first, cases.Try(p, c))
	})
}
