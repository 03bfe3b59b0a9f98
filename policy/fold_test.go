package policy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/policy/condition"
)

// The same names, composed and decomposed.
const (
	composedName, decomposedName = "B\u00fcro-Admins", "Bu\u0308ro-Admins"
	lettersDomain, codeDomain    = "b\u00fccher.example", "xn--bcher-kva.example"
)

func TestBindMeetsNamesComposedOrNot(t *testing.T) {
	for _, names := range [][2]string{{composedName, decomposedName}, {decomposedName, composedName}} {
		live, written := names[0], names[1]
		o := outline()
		o.Groups = append(o.Groups, access.Group{ID: "s9", Name: "src-" + live, Synced: true, Users: 5},
			access.Group{ID: "t9", Name: live, Modifiable: true, Users: 5})
		for _, mapping := range []string{
			"- {name: m, from: ['src-" + written + "'], to: ['group:" + written + "']}",
			"- {name: m, from: ['src-*'], to: ['group:*']}",
			"- {name: m, from: ['src-B?ro*'], to: ['group:" + written + "']}",
		} {
			p := parse(t, "version: 1\norganization: {name: acme, id: a1, key: 'env:A'}\nmappings:\n"+mapping+
				"\nprotected: [{target: 'group:"+written+"', minimum: 2}]\n")
			b, findings := policy.Bind(p, o)
			require.NotContains(t, keys(findings), "source-missing src-"+written)
			require.Len(t, b.Targets, 1, mapping)
			require.Equal(t, access.GroupEntitlement(live), b.Targets[0].Entitlement,
				"the live name is what is written and shown")
			require.Empty(t, b.Create)
			require.Equal(t, 2, b.Targets[0].Protected.Minimum)
		}
	}
}

func TestParseRefusesOneNameInTwoCompositions(t *testing.T) {
	_, err := policy.Parse("p", []byte("version: 1\norganization: {name: acme, id: a1, key: 'env:A'}\nmappings:\n"+
		"- {name: "+composedName+", from: [a], to: ['group:x']}\n- {name: "+decomposedName+
		", from: [b], to: ['group:y']}\n"))
	require.ErrorContains(t, err, "taken by mappings[0]")
}

func TestConditionMeetsTextsComposedOrNotAndDomainsInBothForms(t *testing.T) {
	f := ana()
	f.Department, f.Groups = decomposedName, []string{decomposedName}
	for _, email := range []string{"Ana@" + lettersDomain, "ana@" + codeDomain, "ana@bu\u0308cher.example"} {
		f.Email = email
		for _, text := range []string{
			`in("` + composedName + `")`, `in("` + decomposedName + `")`, `inAny(["` + composedName + `"])`,
			`department == "` + composedName + `"`, `department == "` + decomposedName + `"`,
			`"` + composedName + `" in groups`,
			`department.matches("^` + decomposedName + `$")`,
			`domain == "` + lettersDomain + `"`, `domain == "` + codeDomain + `"`, `email == "ana@` + codeDomain + `"`,
			`email.endsWith("@` + codeDomain + `")`, `email.matches("@xn--bcher-kva\\.example$")`,
		} {
			c, err := condition.Compile(text)
			require.NoError(t, err, text)
			require.Equal(t, text, c.String(), "it is shown as it is written")
			holds, err := c.Holds(f, noon)
			require.NoError(t, err, text)
			require.True(t, holds, "%s for %s", text, email)
		}
	}
}

func TestConditionLeavesNamesOfGroupsAsTheyAre(t *testing.T) {
	f := ana()
	for _, group := range []string{"site-xn--bcher-kva", "xn--bcher-kva", "team.xn--bcher-kva.example",
		"a@xn--bcher-kva.example"} {
		f.Groups = []string{group}
		for _, text := range []string{`in("` + group + `")`, `in('` + group + `')`, `inAny(["other", "` + group + `"])`,
			`"` + group + `" in groups`} {
			c, err := condition.Compile(text)
			require.NoError(t, err, text)
			holds, err := c.Holds(f, noon)
			require.NoError(t, err, text)
			require.True(t, holds, text)
		}
	}
	f.Groups = []string{"site-xn--bcher-kva"}
	c, err := condition.Compile(`groups.exists(g, g == "site-xn--bcher-kva")`)
	require.NoError(t, err)
	holds, err := c.Holds(f, noon)
	require.NoError(t, err)
	require.True(t, holds)
}

func TestFactsTakeOwnDomainsInBothForms(t *testing.T) {
	for _, own := range []string{lettersDomain, codeDomain, "BU\u0308CHER.example", "XN--BCHER-KVA.example"} {
		for _, email := range []string{"ana@" + lettersDomain, "ana@" + codeDomain} {
			p := parse(t, "version: 1\norganization: {name: acme, id: a1, key: 'env:A', domains: ['"+own+"']}\n"+
				"mappings: [{name: m, from: [eng-web], to: ['group:web-members']}]\n")
			b, _ := policy.Bind(p, outline())
			external := b.Facts(access.Person{ID: "p1", Email: email, ClaimStatus: "unmanaged"},
				policy.Known{}).External
			require.NotNil(t, external)
			require.False(t, *external, "%s is of %s", email, own)
		}
	}
}

func TestConditionsCompareDomainsInAnyCase(t *testing.T) {
	f := condition.Facts{Person: access.Person{ID: "a", Email: "ana@" + lettersDomain, Department: "R.D"}}
	for _, text := range []string{
		`domain == "B\u00dccher.Example"`, `domain in ["x.example", "B\u00fccher.EXAMPLE"]`,
		`email == "Ana@B\u00fccher.example"`,
		`email.endsWith("@B\u00fccher.Example")`, `department == "R.D"`,
	} {
		text = strings.NewReplacer(`\u00dc`, "\u00dc", `\u00fc`, "\u00fc").Replace(text)
		c, err := condition.Compile(text)
		require.NoError(t, err, text)
		holds, err := c.Holds(f, time.Now())
		require.NoError(t, err, text)
		require.True(t, holds, text)
	}
}

// Whatever side of a comparison a domain or an address stands on, and however it is compared, it is met in any case and
// form.
func TestConditionMeetsDomainsOnEitherSide(t *testing.T) {
	const capital, code, decomposed = "B\u00dcCHER.Example", "XN--BCHER-KVA.Example", "Bu\u0308cher.example"
	f := condition.Facts{Person: access.Person{ID: "a", Email: "Ana@" + lettersDomain, Department: "R.D",
		Organization: codeDomain}, Groups: []string{"Team.Example"}}
	for _, domain := range []string{capital, code, decomposed, lettersDomain} {
		for _, text := range []string{
			`domain == "` + domain + `"`, `"` + domain + `" == domain`, `!("` + domain + `" != domain)`,
			`(("` + domain + `")) == (domain)`,
			`'` + domain + `' == domain`, `"""` + domain + `""" == domain`, `r"` + domain + `" == domain`,
			`domain in ["x.example", "` + domain + `"]`, `["x.example", "` + domain + `"].exists(d, d == domain)`,
			`["x.example", "` + domain + `"].exists(d, domain == d)`,
			`["` + domain + `"].exists(d, email.endsWith("@" + d))`,
			`"ANA@` + domain + `" == email`, `email in ["ANA@` + domain + `"]`, `("ANA@" + "` + domain + `") == email`,
			`domain == (managed ? "x.example" : "` + domain + `")`, `"ANA@` + domain + `".endsWith(domain)`,
			`"ANA@` + domain + `".contains(domain)`,
			`email.contains("@` + domain + `")`, `email.startsWith("ANA@")`,
			`[domain].exists(d, "` + domain + `" == d)`,
		} {
			requireHolds(t, f, text)
		}
		pattern := strings.ReplaceAll(domain, ".", `\\.`)
		for _, text := range []string{
			`domain.matches("^` + pattern + `$")`, `email.matches("^A[N-Z]A@` + pattern + `$")`,
			`email.matches("^\\S+@(?:X|` + pattern + `)$")`,
			`matches(domain, "` + pattern + `")`, `email.matches("^\\pL+@(?i)` + pattern + `$")`,
			`email.matches(r"^(?P<Who>[^@]+)@\Q` + domain + `\E$")`,
		} {
			requireHolds(t, f, text)
		}
	}
	for _, text := range []string{
		`department == "R.D"`, `"R.D" == department`, `department.matches("^R\\.D$")`, `!department.matches("^r\\.d$")`,
		`organization == "` + codeDomain + `"`,
		`in("Team.Example")`, `"Team.Example" in groups`, `groups.exists(g, g == "Team.Example")`,
		`["Team.Example"].exists(g, g in groups)`,
		`!email.matches("^\\D*[0-9]")`,
	} {
		requireHolds(t, f, text)
	}
}

// The Kelvin sign is nobody's K, on neither side.
func TestConditionTakesNoLetterForOneThatLooksLikeIt(t *testing.T) {
	f := condition.Facts{Person: access.Person{ID: "a", Email: "Kim@acme.example"}}
	for _, text := range []string{`"\u212aim@acme.example" != email`, `!email.matches("^\u212aim@")`,
		`!email.matches("^[\u212a]im@")`} {
		requireHolds(t, f, text)
	}
}

func requireHolds(t *testing.T, f condition.Facts, text string) {
	t.Helper()
	f.ClaimStatus = "unmanaged"
	c, err := condition.Compile(text)
	require.NoError(t, err, text)
	holds, err := c.Holds(f, noon)
	require.NoError(t, err, text)
	require.True(t, holds, text)
}
