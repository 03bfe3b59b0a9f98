package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
)

// hostile returns the policy that costs most of those that are accepted.
func hostile() string {
	var text strings.Builder
	text.WriteString("version: 1\norganization: {name: acme, id: a1, key: 'env:A'}\nmappings:\n- {name: m, from: ['*'], to: ['group:jira-users-acme']}\nrules:\n")
	rule := func(name, when string) {
		fmt.Fprintf(&text, "- {name: %s, mode: enforce, owner: o@acme.example, when: '%s', deny: ['group:jira-users-acme']}\n", name, when)
	}
	for i := range 100 { // going through lists within lists, up to the limit
		rule(fmt.Sprint("loop ", i), strings.Repeat("groups.all(g, ", 8)+fmt.Sprintf("size(g) < %d", 1000+i)+
			strings.Repeat(")", 8))
	}
	for i := range 300 { // expressions that take a backtracking engine for ever, on a text that grows
		rule(fmt.Sprint("match ", i), fmt.Sprintf(`(name + name + name).matches("(a|aa)+(a|aa)+%d$")`, i))
	}
	return text.String()
}

// A policy whose conditions cost much is bounded: each condition stops, and says so.
func TestParseHostilePolicyIsBounded(t *testing.T) {
	p, err := policy.Parse("acme.yaml", []byte(hostile()))
	require.NoError(t, err)
	b, _ := policy.Bind(p, outline())
	who := person("a@acme.example", "s1", "s2", "s3", "s4", "j1", "j2", "c1", "w1", "loc", "lock")
	who.Name = strings.Repeat("a", 250)
	r := b.Resolve(who, policy.Known{Now: noon, All: true})
	require.Len(t, r.Rules, 400)
	for _, a := range r.Rules[:100] {
		require.Equal(t, policy.VerdictUnknown, a.Verdict)
		require.Contains(t, a.Why, "limit exceeded")
	}
	require.Equal(t, policy.VerdictNo, r.Rules[399].Verdict)
}

// What would cost more is refused.
func TestParsePolicyThatCostsTooMuchIsRefused(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"loops": {strings.Replace(hostile(), "rules:\n",
			"rules:\n- {name: one more, when: 'roles.exists(r, r == \"x\")', give: ['group:x']}\n", 1),
			"more than 100 conditions of the file go through lists"},
		"rules": {minimal + "rules:\n" + strings.Repeat("- {name: x, when: managed, give: ['group:x']}\n", 1001),
			"the list has 1001 entries; at most 1000 are allowed"},
		"deep": {minimal + "rules: " + strings.Repeat("[", 5000) + strings.Repeat("]", 5000),
			"a list does not belong here"},
		"length": {minimal + "rules:\n- {name: x, give: ['group:x'], when: '" + strings.Repeat("(", 60) + "true" +
			strings.Repeat(")", 60) + "'}\n", "recursion"},
		"size": {minimal + "#" + strings.Repeat("x", policy.MaxFile), "a policy file has at most"},
	} {
		_, err := policy.Parse("acme.yaml", []byte(tt.text))
		require.ErrorContains(t, err, tt.want, name)
	}
}

// BenchmarkHostile is one person decided by the costliest policy.
func BenchmarkHostile(b *testing.B) {
	p, err := policy.Parse("acme.yaml", []byte(hostile()))
	require.NoError(b, err)
	bound, _ := policy.Bind(p, outline())
	who := access.Person{ID: "x", Email: "a@acme.example", Name: strings.Repeat("a", 250), ClaimStatus: "managed"}
	for i := range 300 {
		who.GroupIDs = append(who.GroupIDs, []string{"s1", "s2", "s3", "s4"}[i%4])
	}
	for b.Loop() {
		_ = bound.Resolve(who, policy.Known{Now: noon})
	}
}
