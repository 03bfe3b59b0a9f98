package form

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestPatternMatches(t *testing.T) {
	tests := []struct {
		pattern, name string
		match         bool
		capture       string
	}{
		{"eng-all", "eng-all", true, ""},
		{"eng-all", "ENG-All", true, ""},
		{"eng-all", "eng-all2", false, ""},
		{"eng-*", "Eng-Platform", true, "Platform"},
		{"eng-*", "eng-", true, ""},
		{"eng-*", "eng", false, ""},
		{"*-members", "Ölprüfung-MEMBERS", true, "Ölprüfung"},
		{"a?-*x", "ab-yyx", true, "yy"},
		{"*", "anything at all", true, "anything at all"},
		{"*a*b*", "xxaxxbxx", true, ""},
		{"*a*b*", "xxbxxaxx", false, ""},
		{"???", "ab", false, ""},
		{"[ab]", "a", false, ""},
		{"[ab]", "[AB]", true, ""},
		{"x*y", "xy", true, ""},
		{"x*x", "x", false, ""},
	}
	for _, tt := range tests {
		p, err := Compile(tt.pattern)
		require.NoError(t, err)
		require.Equal(t, tt.match, p.Match(Fold(tt.name)), "%s on %s", tt.pattern, tt.name)
		if tt.match && strings.Count(tt.pattern, "*") == 1 {
			require.Equal(t, tt.capture, p.Capture(tt.name), "%s on %s", tt.pattern, tt.name)
		}
	}
}

func TestPatternMatchesLikeARegularExpression(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[abA?]?(\*?[abA?]){0,6}\*?`).Draw(t, "pattern")
		name := rapid.StringMatching(`[abAB]{0,12}`).Draw(t, "name")
		p, err := Compile(text)
		if text == "" {
			require.Error(t, err)
			return
		}
		require.NoError(t, err)
		quoted := strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(text))
		want := regexp.MustCompile("(?i)^" + quoted + "$").MatchString(name)
		require.Equal(t, want, p.Match(Fold(name)))
	})
}
