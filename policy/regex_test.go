package policy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/policy/condition"
)

// costliest are conditions that are just accepted, made to cost as much as they can.
func costliest() map[string]string {
	long := `name.matches("(.{0,9}){0,22}z")`
	return map[string]string{
		"one large expression":       `name.matches("(.{0,30}){0,15}z$")`,
		"many alternatives":          `name.matches("(` + strings.Repeat("a+|", 300) + `a)+z$")`,
		"many expressions":           strings.TrimSuffix(strings.Repeat(`name.matches("(a*){18}z$") || `, 12), " || "),
		"classes":                    `name.matches("([a-z]{0,20}){0,20}\\d$")`,
		"over the groups":            `groups.exists(g, g.matches("(.{0,30}){0,15}z$"))`,
		"over the groups and groups": `groups.all(g, groups.all(h, (g + h).matches("(.{0,9}){0,9}$")))`,
		"beside another":             long + " || " + long,
	}
}

// hostilePerson has long names in many groups.
func hostilePerson() condition.Facts {
	var o access.Outline
	who := access.Person{ID: "x", Email: "a@acme.example", Name: strings.Repeat("a", 1000), ClaimStatus: "managed"}
	for i := range 2000 {
		id := fmt.Sprint("g", i)
		o.Groups = append(o.Groups, access.Group{ID: id, Name: fmt.Sprintf("%s-%04d", strings.Repeat("a", 250), i)})
		who.GroupIDs = append(who.GroupIDs, id)
	}
	p, err := policy.Parse("acme.yaml", []byte(minimal))
	if err != nil {
		panic(err)
	}
	b, _ := policy.Bind(p, o)
	return b.Facts(who, policy.Known{Now: noon})
}

// The worst that is accepted is bounded, in compiling and in being asked; the numbers are printed for
// docs/benchmarks.md. That the bound holds is a matter of steps; time is told, and only much more than that fails.
func TestConditionRegexCostIsBounded(t *testing.T) {
	who := hostilePerson()
	for name, text := range costliest() {
		began := time.Now()
		c, err := condition.Compile(text)
		if err != nil {
			t.Errorf("%s is not accepted, so it is not the worst: %v", name, err)
			continue
		}
		compiled := time.Since(began)
		began = time.Now()
		_, err = c.Holds(who, noon)
		t.Logf("%-28s compiled in %s, asked of one person in %s (%v)", name, compiled.Round(10*time.Microsecond),
			time.Since(began).Round(10*time.Microsecond), err != nil)
	}
}

// BenchmarkRegex is one person asked the costliest condition that is accepted.
func BenchmarkRegex(b *testing.B) {
	who := hostilePerson()
	for name, text := range costliest() {
		c, err := condition.Compile(text)
		require.NoError(b, err)
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				_, _ = c.Holds(who, noon)
			}
		})
	}
}

func TestCompileConditionRefusesRegularExpressionsThatCostTooMuch(t *testing.T) {
	for name, c := range map[string]struct{ text, why string }{
		"repetitions": {`name.matches("(.{1,30}){1,33}")`, "at most 1000 are allowed"},
		"nested": {`name.matches("((a{9}){9}){10}b*")` + ` || name.matches("(.{9}){99}")`,
			"at most 1000 are allowed"},
		"many of them": {strings.TrimSuffix(strings.Repeat(`name.matches("(a*){20}z$") || `, 60), " || "),
			"at most 1000 are allowed"},
		"thousands":         {`name.matches("` + strings.Repeat("a{1000}", 500) + `")`, "at most 1000 are allowed"},
		"as a function":     {`matches(name, "(.{1,30}){1,33}")`, "at most 1000 are allowed"},
		"a computed one":    {`name.matches(department)`, "is computed"},
		"put together":      {`name.matches("a" + "b")`, "is computed"},
		"one of a list":     {`["^a", "^b"].exists(p, name.matches(p))`, "is computed"},
		"one that is wrong": {`name.matches("(")`, "invalid matches argument"},
	} {
		_, err := condition.Compile(c.text)
		require.ErrorContains(t, err, c.why, name)
	}
}

// A text that is longer than expressions are matched with gives no answer, rather than a slow one.
func TestConditionRegexTakesNoEndlessText(t *testing.T) {
	c, err := condition.Compile(`name.matches("^a+$")`)
	require.NoError(t, err)
	b, _ := policy.Bind(parse(t, minimal), outline())
	holds, err := c.Holds(b.Facts(access.Person{Name: strings.Repeat("a", 1024)}, policy.Known{}), noon)
	require.NoError(t, err)
	require.True(t, holds)
	_, err = c.Holds(b.Facts(access.Person{Name: strings.Repeat("a", 1025)}, policy.Known{}), noon)
	require.ErrorContains(t, err, "are matched with at most 1024")
}

// Going through many groups stops at the bound, whatever the expression costs.
func TestConditionRegexOverListsStopsAtItsBound(t *testing.T) {
	c, err := condition.Compile(costliest()["over the groups"])
	require.NoError(t, err)
	_, err = c.Holds(hostilePerson(), noon)
	require.ErrorContains(t, err, "limit exceeded")

	c, err = condition.Compile(`groups.exists(g, g.matches("^it-(ops|dev)$"))`)
	require.NoError(t, err)
	b, _ := policy.Bind(parse(t, minimal), outline())
	_, err = c.Holds(b.Facts(access.Person{GroupIDs: []string{"s1", "s2", "j1"}}, policy.Known{}), noon)
	require.NoError(t, err, "an ordinary one does not")
}

func TestParseFileOfManyRegularExpressionsIsRefused(t *testing.T) {
	text := minimal + "rules:\n"
	for i := range 60 {
		text += fmt.Sprintf("- {name: r%d, give: ['group:x'], when: 'name.matches(\"(a{30}){15}%d\")'}\n", i, i)
	}
	_, err := policy.Parse("acme.yaml", []byte(text))
	require.ErrorContains(t, err, "the regular expressions of the file take")
}
