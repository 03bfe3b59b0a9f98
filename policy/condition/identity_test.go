package condition_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy/condition"
)

// sourced is ana as the sources corp and hr know her; contractors does not, and of lab nobody knows whether it does.
func sourced() condition.Facts {
	yes := true
	f := ana()
	f.Identities = []access.Identity{
		{Source: "corp", Key: "6f96", Enabled: &yes, Attributes: map[string]any{
			"Department": "R&D", "cn": "Ana Ude\u0308", "employeeNumber": 17.0, "vip": true, "mail": "Ana@xn--bcher-kva.example",
			"proxyAddresses": []any{"smtp:a@acme.example", "smtp:ana@acme.example"}, "none": nil, "TITLE": "lead", "Title": "Lead",
			"name": map[string]any{"givenName": "Ana"}, "hired": "2020-01-01T00:00:00Z",
		}},
		{Source: "hr", Key: "7"},
		{Source: "lab"},
	}
	f.SourcesKnown = func(source string) error {
		if source == "old" {
			return errors.New("source old was last read completely at noon")
		}
		return nil
	}
	return f
}

// changed returns sourced facts after a change.
func changed(change func(*condition.Facts)) condition.Facts {
	f := sourced()
	change(&f)
	return f
}

func TestConditionsAskIdentitySources(t *testing.T) {
	no := false
	outOfScope := changed(func(f *condition.Facts) { f.Identities[0].OutOfScope = true })
	unknownScope := changed(func(f *condition.Facts) { f.Identities[0].ScopeUnknown = true })
	unsure := changed(func(f *condition.Facts) { f.Unsure = []string{"corp:Eng"} })
	disabled := changed(func(f *condition.Facts) { f.Identities[0].Enabled = &no })
	notAsked := changed(func(f *condition.Facts) { f.SourcesKnown = nil })
	unbound := changed(func(f *condition.Facts) { f.Identities = nil })
	nobody := changed(func(f *condition.Facts) { f.Identities = []access.Identity{} })
	for name, c := range map[string]struct {
		text  string
		facts condition.Facts
		want  any // or what the error says
	}{
		"text":                       {`attribute("corp", "Department") == "R&D"`, sourced(), true},
		"another text":               {`attribute("corp", "Department") == "r&d"`, sourced(), false},
		"name in another case":       {`attribute("corp", "department") == "R&D"`, sourced(), true},
		"own case first":             {`attribute("corp", "Title") == "Lead"`, sourced(), true},
		"always the same other case": {`attribute("corp", "title") == "lead"`, sourced(), true},
		"letters composed":           {`attribute("corp", "cn") == "Ana Ud` + "\u00eb" + `"`, sourced(), true},
		"letters to be composed":     {`attribute("corp", "cn").contains("Ude` + "\u0308" + `")`, sourced(), true},
		"domain as it is":            {`attribute("corp", "mail") == "Ana@xn--bcher-kva.example"`, sourced(), true},
		"number":                     {`attribute("corp", "employeeNumber") == 17`, sourced(), true},
		"compared number":            {`attribute("corp", "employeeNumber") > 16`, sourced(), true},
		"truth":                      {`attribute("corp", "vip") == true && attribute("corp", "vip")`, sourced(), true},
		"list":                       {`"smtp:a@acme.example" in attribute("corp", "proxyAddresses")`, sourced(), true},
		"in a list":                  {`attribute("corp", "proxyAddresses").exists(a, a == "smtp:ana@acme.example")`, sourced(), true},
		"object":                     {`attribute("corp", "name").givenName == "Ana"`, sourced(), true},
		"pattern":                    {`attribute("corp", "Department").matches("^R.D$")`, sourced(), true},
		"one of":                     {`attribute("corp", "Department") in ["IT", "R&D"]`, sourced(), true},
		"beside what is unknown":     {`attribute("hr", "x") == "y" || managed`, sourced(), true},
		"no such attribute":          {`attribute("corp", "title2") == ""`, sourced(), `does not say the person's "title2"`},
		"null":                       {`attribute("corp", "none") == ""`, sourced(), "does not say"},
		"no such field":              {`attribute("corp", "name").x == ""`, sourced(), "no such key"},
		"not a truth":                {`attribute("corp", "cn") && managed`, sourced(), "no such overload"},
		"known without attributes":   {`attribute("hr", "cn") == "Ana"`, sourced(), "does not say"},
		"nobody there":               {`attribute("contractors", "cn") == "Ana"`, sourced(), "does not know the person"},
		"nobody there, asked first":  {`identified("contractors") && attribute("contractors", "cn") == "Ana"`, sourced(), false},
		"who is not known":           {`attribute("lab", "cn") == "Ana"`, sourced(), "not known who the person is in source lab"},
		"out of scope":               {`attribute("corp", "cn") == "x"`, outOfScope, false},
		"stale":                      {`attribute("old", "cn") == "x"`, sourced(), "last read completely at noon"},
		"not asked":                  {`attribute("corp", "cn") == "x"`, notAsked, "not asked for"},
		"unbound":                    {`attribute("corp", "cn") == "x"`, unbound, "not known who the person is"},
		"identified":                 {`identified("corp") && identified("hr") && !identified("contractors")`, sourced(), true},
		"another name":               {`identified("Corp")`, sourced(), false},
		"identified nowhere":         {`identified("corp") || identified("lab")`, nobody, false},
		"disabled":                   {`identified("corp")`, disabled, false},
		"identified out of scope":    {`identified("corp")`, outOfScope, false},
		"identified, scope unknown":  {`identified("corp")`, unknownScope, "whether the person is in the scope of source corp"},
		"attribute, scope unknown":   {`attribute("corp", "vip") == true`, unknownScope, true},
		"in an unsure group":         {`in("corp:eng")`, unsure, "groups"},
		"not in an unsure group":     {`!in("corp:eng")`, unsure, "groups"},
		"not in another group":       {`in("corp:ops")`, unsure, false},
		"list with an unsure group":  {`"x" in groups`, unsure, "groups"},
		"identified, not known":      {`identified("lab")`, sourced(), "not known who"},
		"identified, stale":          {`!identified("old")`, sourced(), "last read completely at noon"},
		"identified, not asked":      {`identified("corp")`, notAsked, "not asked for"},
		"identified, unbound":        {`!identified("corp")`, unbound, "not known who"},
		"as if lists were cut":       {`identified("corp")`, sourced().ListsCut(), true},
	} {
		t.Run(name, func(t *testing.T) {
			compiled, err := condition.Compile(c.text)
			require.NoError(t, err)
			for range 5 { // maps have no order
				got, err := compiled.Holds(c.facts, noon)
				if words, is := c.want.(string); is {
					require.ErrorContains(t, err, words)
					continue
				}
				require.NoError(t, err)
				require.Equal(t, c.want, got)
			}
		})
	}
}

func TestConditionsNameTheirSources(t *testing.T) {
	c, err := condition.Compile("managed &&\n identified(\"corp\") && attribute(\"hr\", \"x\") == attribute('corp', name)")
	require.NoError(t, err)
	require.Equal(t, map[string]int{"corp": 23, "hr": 44}, c.Needs.Sources)
	require.Equal(t, map[string]int{"corp": 23, "hr": 44, "lab": 11},
		condition.Needs{}.And(c.Needs).And(condition.Needs{Sources: map[string]int{"lab": 11}}).Sources)
	for text, says := range map[string]string{
		`identified(name)`:                 "write the name of the source",
		`attribute("co" + "rp", "x") == 1`: "write the name of the source",
		`identified("")`:                   "write the name of the source",
		`identified(1)`:                    "write the name of the source",
		`attribute("corp") == 1`:           "no matching overload",
		`attribute("corp", 1) == 1`:        "no matching overload",
		`attribute("corp", "x")`:           "the condition is dyn",
		`identifed("corp")`:                `identified("source")`,
	} {
		_, err := condition.Compile(text)
		require.ErrorContains(t, err, says, text)
	}
}

func TestConditionsOnIdentitiesDoNotDependOnTime(t *testing.T) {
	for text, want := range map[string]time.Duration{
		`identified("corp") && attribute("corp", "Department") == "R&D"`: 0,
		`identified("old")`:                                                           0,
		`identified("corp") && addedWithin("15d")`:                                    24*time.Hour + 1,
		`timestamp(attribute("corp", "hired")) < now - duration("55608h")`:            36*time.Hour + 1,
		`identified("contractors") && timestamp(attribute("contractors", "x")) < now`: 0,
	} {
		c, err := condition.Compile(text)
		require.NoError(t, err)
		next := c.NextChange(sourced(), noon)
		if want == 0 {
			require.Zero(t, next, text)
			continue
		}
		require.Equal(t, noon.Add(want), next, text)
	}
}

// TestConditionsOnIdentitiesAreBounded: what a source says may be long, and a condition may use it often.
func TestConditionsOnIdentitiesAreBounded(t *testing.T) {
	long := changed(func(f *condition.Facts) {
		f.Identities[0].Attributes["notes"] = strings.Repeat("a", 16000)
		f.Identities[0].Attributes["list"] = []any{}
		for range 1000 {
			f.Identities[0].Attributes["list"] = append(f.Identities[0].Attributes["list"].([]any), "b")
		}
	})
	for _, text := range []string{
		strings.Repeat(`attribute("corp", "notes") + `, 40) + `"" == "x"`,
		strings.Repeat(`attribute("corp", "notes").contains("ab") || `, 80) + `false`,
		`attribute("corp", "list").exists(a, attribute("corp", "list").exists(b, a != b))`,
	} {
		c, err := condition.Compile(text)
		require.NoError(t, err)
		_, err = c.Holds(long, noon)
		require.ErrorContains(t, err, "limit", text[:60])
	}
}

// TestConditionsOnIdentitiesNeverGuess: whatever is taken away from what is known, an answer stays or becomes none.
func TestConditionsOnIdentitiesNeverGuess(t *testing.T) {
	texts := []string{`identified("corp")`, `!identified("hr")`, `attribute("corp", "Department") == "R&D"`,
		`identified("corp") && attribute("corp", "cn") != "x"`, `identified("contractors") || identified("corp")`}
	rapid.Check(t, func(r *rapid.T) {
		c, err := condition.Compile(rapid.SampledFrom(texts).Draw(r, "text"))
		require.NoError(r, err)
		want, err := c.Holds(sourced(), noon)
		require.NoError(r, err)
		less := sourced()
		switch rapid.IntRange(0, 3).Draw(r, "what") {
		case 0:
			less.SourcesKnown = nil
		case 1:
			less.Identities = nil
		case 2:
			less.Identities[rapid.IntRange(0, 2).Draw(r, "of")].Key = ""
		case 3:
			clear(less.Identities[0].Attributes)
		}
		got, err := c.Holds(less, noon)
		if err == nil {
			require.Equal(r, want, got)
		}
	})
}

func TestListShowsWhoSomebodyIsInSources(t *testing.T) {
	listed := map[string]condition.FactValue{}
	for _, f := range sourced().List(noon) {
		listed[f.Name] = f
	}
	require.Equal(t, "true", listed[`identified("corp")`].Value)
	require.Contains(t, listed[`identified("lab")`].Unknown, "not known who the person is")
	for name, f := range listed {
		require.NotContains(t, f.Value, "R&D", "%s: what a source says is shown only by the conditions that ask", name)
	}
}
