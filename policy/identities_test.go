package policy_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
)

const asking = `
version: 1
organization: {name: acme, id: a1, key: 'env:A'}
sources:
- {name: corp, kind: ldap, url: "ldaps://dc1.acme.example", base: "DC=acme,DC=example"}
- {name: hr, kind: file, folder: /srv/hr, key: number}
mappings:
- {name: m, from: [sales], to: ["group:jira-users-acme"]}
grants:
- name: research
  targets: ["group:jira-users-extra"]
  eligible: identified("hr") && attribute("hr", "grade") >= 5
  duration: {max: 4h}
rules:
- name: research
  mode: enforce
  when: 'attribute("corp", "department") == "R&D"'
  give: ["group:jira-users-extra"]
- name: leavers
  mode: enforce
  owner: o@acme.example
  when: '!identified("corp")'
  suspend: true
reviews:
- name: research
  owner: o@acme.example
  scope: {people: 'attribute("corp", "department") == "R&D"'}
  stages: [{reviewers: [owner]}]
`

func TestParseRefusesConditionsOnUndeclaredSources(t *testing.T) {
	for name, tt := range map[string]struct{ was, is, want string }{
		"in a rule": {`'attribute("corp", "dep`, `'attribute("crop", "dep`,
			`acme.yaml:16:20: rules[0].when: no source is called "crop"; did you mean corp?`},
		"in eligible": {`identified("hr") && attribute("hr"`, `identified("hr") && attribute("payroll"`,
			`acme.yaml:11:43: grants[0].eligible: no source is called "payroll"; write one of corp, hr`},
		"in a review": {`{people: 'attribute("corp"`, `{people: 'attribute("Corp"`,
			`acme.yaml:26:30: reviews[0].scope.people: no source is called "Corp"; did you mean corp?`},
		"twice in one": {`'!identified("corp")'`, `'!identified("a") && !identified("b")'`,
			"acme.yaml:21:22: rules[1].when: no source is called \"a\"; write one of corp, hr\n" +
				`acme.yaml:21:42: rules[1].when: no source is called "b"; write one of corp, hr`},
	} {
		_, err := policy.Parse("acme.yaml", []byte(strings.TrimPrefix(strings.Replace(asking, tt.was, tt.is, 1), "\n")))
		require.EqualError(t, err, tt.want, name)
	}
	_, err := policy.Parse("acme.yaml", []byte(minimal+
		"rules:\n- {name: r, when: identified(\"corp\"), notify: [o@acme.example]}\n"))
	require.ErrorContains(t, err, "the file declares no sources")
	require.Equal(t, []string{"corp", "hr"}, parse(t, asking).SourcesNeeded())
}

// TestResolveAsksIdentitySources: what sources say decides in rules, in eligibility and in what a review asks about.
// Without their word nothing is given or taken.
func TestResolveAsksIdentitySources(t *testing.T) {
	p := parse(t, asking)
	bound, findings := policy.Bind(p, outline())
	for _, f := range findings {
		require.False(t, f.Blocks, f.Detail)
	}
	stale := errors.New("source corp was last read completely two days ago")
	known := bound.WithSources(func(string) error { return nil })
	doubtful := bound.WithSources(func(source string) error {
		if source == "corp" {
			return stale
		}
		return nil
	})
	yes, no := true, false
	is := func(all ...access.Identity) access.Person {
		return access.Person{ID: "ana", Email: "ana@acme.example", GroupIDs: []string{}, Identities: append([]access.Identity{}, all...)}
	}
	corp := access.Identity{Source: "corp", Key: "1", Enabled: &yes, Attributes: map[string]any{"department": "R&D"}}
	left := corp
	left.Enabled = &no
	hr := access.Identity{Source: "hr", Key: "7", Attributes: map[string]any{"grade": 6.0}}
	for name, c := range map[string]struct {
		bound    *policy.Bound
		person   access.Person
		research policy.Verdict
		leavers  policy.Verdict
		eligible string // why not; empty: they are
		reviewed string // the same
	}{
		"researcher":     {known, is(corp, hr), "holds", "no", "", ""},
		"disabled":       {known, is(left), "holds", "holds", "only for people", ""},
		"somebody else":  {known, is(hr), "unknown", "holds", "", "does not know the person"},
		"not known who":  {known, access.Person{ID: "ana", GroupIDs: []string{}}, "unknown", "unknown", "not known who", "not known who"},
		"stale":          {doubtful, is(corp, hr), "unknown", "unknown", "", stale.Error()},
		"nobody says so": {bound, is(corp, hr), "unknown", "unknown", "not asked for", "not asked for"},
	} {
		t.Run(name, func(t *testing.T) {
			answers := c.bound.Resolve(c.person, policy.Known{Now: noon, All: true}).Rules
			require.Equal(t, c.research, answers[0].Verdict)
			require.Equal(t, c.leavers, answers[1].Verdict)
			facts := c.bound.Facts(c.person, policy.Known{Now: noon})
			err := p.Eligible("group:jira-users-extra", facts, noon)
			asks, notAsked := p.Reviews[0].Covers(facts, noon)
			if c.eligible == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.eligible)
			}
			if c.reviewed == "" {
				require.NoError(t, notAsked)
				require.True(t, asks)
			} else {
				require.ErrorContains(t, notAsked, c.reviewed)
			}
			require.Zero(t, c.bound.NextChange(c.person, policy.Known{Now: noon}), "time alone changes nothing")
		})
	}
}
