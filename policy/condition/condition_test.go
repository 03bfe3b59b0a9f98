package condition_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy/condition"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// ana returns a person with all facts known.
func ana() condition.Facts {
	return condition.Facts{
		Person: access.Person{
			ID: "557058:ana", Email: "Ana@Acme.example", Name: "Ana Lee", AccountType: "atlassian",
			AccountStatus:    "active",
			MembershipStatus: "active", ClaimStatus: "managed", ManagementSource: "synced", JobTitle: "SRE",
			Department:    "IT",
			PlatformRoles: []string{access.RoleOrgAdmin}, Added: noon.Add(-14 * 24 * time.Hour),
		},
		Groups: []string{"IT-Ops", "eng (all)"},
	}
}

func TestConditionsAnswer(t *testing.T) {
	for text, want := range map[string]bool{
		`in("it-ops")`:                                    true,
		`in('IT-OPS') && !in("sales")`:                    true,
		`!in ( "sales" )`:                                 true,
		"in // why\n (\"sales\")":                         false,
		`in("sales") || (in("it-ops"))`:                   true,
		`managed ? in("it-ops") : in("sales")`:            true,
		`[in("sales"), in("it-ops")][1]`:                  true,
		`"IT-Ops" in groups`:                              true,
		`"it-ops" in groups`:                              false,
		`"IT-Ops" in (groups)`:                            true,
		`name in (["Ana Lee"])`:                           true,
		`("a") in(["a"])`:                                 true,
		`1 in([1])`:                                       true,
		`{"a": 1}.a in([1])`:                              true,
		`"in(" == 'in('`:                                  true,
		`"\"in(" == r'"in('`:                              true,
		`"""in(" in("""  != '''x' in(''' && in("it-ops")`: true,
		"// in(\nin(\"it-ops\")":                          true,
		`inAny(["sales", "ENG (all)"])`:                   true,
		`inAny([])`:                                       false,
		`email == "ana@acme.example" && domain.endsWith(".example")`:                              true,
		`accountStatus == "active" && membershipStatus == "active" && accountType == "atlassian"`: true,
		`claimStatus == "managed" && managed && managementSource == "synced"`:                     true,
		`title == "SRE" && department == "IT" && "atlassian/org-admin" in roles`:                  true,
		`addedWithin("14d")`:                                   true,
		`addedWithin("13d12h")`:                                false,
		`addedWithin("14" + "d")`:                              true,
		`now - added >= duration("336h")`:                      true,
		`["a.example", "acme.example"].exists(d, d == domain)`: true,
		`groups.exists(groups, groups == "x" || in("it-ops"))`: true,
		`name.matches("^Ana")`:                                 true,
	} {
		c, err := condition.Compile(text)
		require.NoError(t, err, text)
		got, err := c.Holds(ana(), noon)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
		require.Equal(t, text, c.String())
		agrees(t, c, ana())
	}
}

func TestConditionsRefuse(t *testing.T) {
	tests := map[string]struct {
		text   string
		offset int
		want   string
	}{
		"empty":           {" ", 0, "the condition is empty"},
		"no answer":       {`"yes"`, 0, "the condition is string; write one that is true or false"},
		"maybe no answer": {`dyn(true)`, 0, "the condition is dyn"},
		"unknown fact": {`managed && colour == "red"`, 11,
			"undeclared reference to 'colour'; the facts are accountStatus, accountType, added,"},
		"second line":       {"managed &&\n  colour == \"red\"", 13, "undeclared reference"},
		"after in":          {`in("ä") && colour`, 11, "undeclared reference"},
		"wrong type":        {`managed && in(3)`, 13, "found no matching overload for 'in' applied to '(int)'"},
		"operator":          {`"a" in("b")`, 4, "found no matching overload for '@in'"},
		"not our stand-in":  {`managed && _i("a")`, 11, "undeclared reference to '_i'"},
		"method":            {`"a".in("b")`, 4, "Syntax error"},
		"no such span":      {`addedWithin("soon")`, 12, `"soon" does not fit: write a duration`},
		"broken expression": {`name.matches("(")`, 13, "invalid matches argument"},
		"never closed":      {`managed && in("x`, 14, "Syntax error"},
		"deep":              {strings.Repeat("(", 400) + "true" + strings.Repeat(")", 400), 0, "recursion"},
		"long":              {strings.Repeat("x", 4001), 0, "the condition has 4001 characters"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := condition.Compile(tt.text)
			var wrong *condition.Error
			require.ErrorAs(t, err, &wrong)
			require.Contains(t, wrong.Message, tt.want)
			require.Equal(t, tt.offset, wrong.Offset, err)
		})
	}
}

func TestConditionsNeverGuess(t *testing.T) {
	unknown := ana()
	unknown.Added = time.Time{}
	for text, want := range map[string]string{
		`addedWithin("14d")`:             "it is not known when the person was added",
		`now - added < duration("1h")`:   "it is not known when the person was added",
		`!addedWithin("14d") && managed`: "it is not known when the person was added",
		`addedWithin(title)`:             "write a duration",
		`[title][3] == "x"`:              "index out of bounds",
		strings.Repeat("[1,2,3,4,5,6,7,8,9].all(x, ", 8) + "true" + strings.Repeat(")", 8): "limit exceeded",
	} {
		c, err := condition.Compile(text)
		require.NoError(t, err, text)
		holds, err := c.Holds(unknown, noon)
		require.ErrorContains(t, err, want, text)
		require.ErrorContains(t, err, "Ana@Acme.example")
		require.False(t, holds)
	}
	c, err := condition.Compile(`managed || addedWithin("14d")`)
	require.NoError(t, err)
	holds, err := c.Holds(unknown, noon)
	require.NoError(t, err, "what does not matter need not be known")
	require.True(t, holds)
}

func TestConditionsAreSafeForConcurrentUse(t *testing.T) {
	c, err := condition.Compile(`in("it-ops") && addedWithin("20d")`)
	require.NoError(t, err)
	other := ana()
	other.Groups = nil
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			facts, want := ana(), true
			if i%2 == 0 {
				facts, want = other, false
			}
			holds, err := c.Holds(facts, noon)
			if err != nil || holds != want {
				t.Errorf("%d: %v, %v", i, holds, err)
			}
		})
	}
	all.Wait()
}

// agrees: where a part of a condition is enough to say no, so does the whole.
func agrees(t *testing.T, c *condition.Condition, f condition.Facts) {
	holds, quick, err := c.Whole(f, noon)
	if quick && (err == nil || !strings.Contains(err.Error(), "limit exceeded")) {
		require.NoError(t, err, c)
		require.False(t, holds, c)
	}
}

// Parts of conditions that say no are found, in whatever order they stand, and only outermost ones.
func TestConditionsSayNoQuickly(t *testing.T) {
	unknown := ana()
	unknown.ClaimStatus, unknown.Email = "", ""
	for text, want := range map[string]bool{
		`in("sales") && now > added`:                               true,
		`now > added && (title == "x" && managed)`:                 true,
		`inAny(["sales", "x"]) && size(name) > 1`:                  true,
		`"IT" != department && size(name) > 1`:                     true,
		`!managed && size(name) > 1`:                               true,
		`in("sales") || managed`:                                   false,
		`!(in("it-ops") && size(name) > 1)`:                        false,
		`in("it-ops") && size(name) > 1`:                           false,
		`in("sa" + "les") && size(name) > 1`:                       false,
		`groups.exists(managed, managed == "x") && size(name) > 1`: false,
	} {
		c, err := condition.Compile(text)
		require.NoError(t, err, text)
		_, quick, err := c.Whole(ana(), noon)
		require.NoError(t, err)
		require.Equal(t, want, quick, text)
		agrees(t, c, ana())
	}
	for _, text := range []string{`managed && size(name) > 1`, `!managed && size(name) > 1`,
		`domain == "x" && size(name) > 1`} {
		c, err := condition.Compile(text)
		require.NoError(t, err)
		_, quick, err := c.Whole(unknown, noon)
		require.False(t, quick, "what is not known says nothing")
		require.Error(t, err)
	}
}

// FuzzCondition: whatever is written either is refused with a place in the text, or gives an answer within its bounds.
func FuzzCondition(f *testing.F) {
	for _, text := range []string{
		`in("it-ops") && !inAny(["a", 'b'])`, `"x" in groups || in ("y") // in(`, `r'\' == "\"" ? in("a") : managed`,
		`'''in(''' in(["a"])`,
		`addedWithin("14d")`, `groups.map(g, g + g).exists(g, g.matches("a+"))`, "`in`(1)",
		`now > timestamp("2020-01-01T00:00:00Z")`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := condition.Compile(text)
		if err != nil {
			var wrong *condition.Error
			require.ErrorAs(t, err, &wrong)
			require.NotEmpty(t, wrong.Message)
			require.LessOrEqual(t, wrong.Offset, len([]rune(text)))
			return
		}
		agrees(t, c, ana())
		first, err := c.Holds(ana(), noon)
		again, errAgain := c.Holds(ana(), noon)
		require.Equal(t, first, again)
		require.Equal(t, err == nil, errAgain == nil)
		require.False(t, err != nil && first)
	})
}
