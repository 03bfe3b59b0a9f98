package messages_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/messages"
)

func TestGrantIDStaysForPlainNames(t *testing.T) {
	for _, c := range []struct {
		target access.Entitlement
		key    string
	}{
		{"role:org-admin", "ana@acme.example"},
		{"role:org-admin", "557058:8c9e-11"},
		{"default:jira-software/acme/user", "o'brien+x@acme.example"},
		{"group:jira admins (emea) & friends", "ana@acme.example"},
		{"group:" + access.Entitlement(strings.Repeat("x", 200)), "557058:8c9e-11"},
		{"directory", "new@acme.example"},
	} {
		id := messages.FormerGrantIDPrefix("acme", c.target) + c.key
		require.Equal(t, id, messages.GrantID("acme", c.target, c.key))
		require.Equal(t, []string{id, id}, messages.FormerGrantIDs("acme", c.target, c.key))
	}
}

// hostileNames are names that Atlassian allows and an HTTP/2 header or an ID does not.
var hostileNames = []string{
	"Büro-Admins", "Bu\u0308ro-Admins", "管理者", "🔥🚒", "عربي", "a\u202eb", "name ", " name", "a:b", "a%3Ab", "100%",
	"100%25", "\"quoted\"", "it's", "a/b/c", `a\b`,
	"tab\there", "line\nend", "nul\x00", strings.Repeat("ü", 255), strings.Repeat("🔥", 255),
	strings.Repeat("🔥", 254) + "x", strings.Repeat("a", 255),
	strings.Repeat("%", 255), strings.Repeat(":", 255), "B%C3%BCro-Admins",
}

func TestGrantIDTakesEveryName(t *testing.T) {
	ids := map[string]string{}
	for _, name := range hostileNames {
		for _, key := range []string{"557058:8c9e", "müller@büro.example", "8c9e", name + "@a.example"} {
			id := messages.GrantID("acme", access.GroupEntitlement(name), key)
			require.NoError(t, messages.CheckID(id))
			require.LessOrEqual(t, len(id), 255, "what Temporal's tables on PostgreSQL take")
			require.LessOrEqual(t, len(messages.Keyword("group:"+name)), 255)
			what := fmt.Sprintf("%q of %q", name, key)
			require.Empty(t, ids[id], "%s has the ID of %s", what, ids[id])
			ids[id] = what
		}
	}
}

func TestGrantIDIsOneForEachTargetAndKey(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SampledFrom(append(hostileNames, ":", "%", "~", "3A", "a", strings.Repeat("z", 380)))
		pair := func() (access.Entitlement, string) {
			name := strings.Join(rapid.SliceOfN(parts, 1, 3).Draw(t, "name"), "")
			return access.GroupEntitlement(name), strings.Join(rapid.SliceOfN(parts, 1, 3).Draw(t, "key"), "")
		}
		target, key := pair()
		other, otherKey := pair()
		same := target == other && key == otherKey
		require.Equal(t, same, messages.GrantID("acme", target, key) == messages.GrantID("acme", other, otherKey))
		require.NoError(t, messages.CheckID(messages.GrantID("acme", target, key)))
		require.LessOrEqual(t, len(messages.GrantID("acme", target, key)), 255)
	})
}

func TestCheckID(t *testing.T) {
	require.NoError(t, messages.CheckID("org-sync:acme"))
	require.ErrorContains(t, messages.CheckID("org-sync:büro"), "not plain ASCII")
	require.ErrorContains(t, messages.CheckID("org-sync:a\nb"), "not plain ASCII")
	require.ErrorContains(t, messages.CheckID("org-sync:"+strings.Repeat("a", 1000)), "at most 1000")
}

func TestKeywordIsBounded(t *testing.T) {
	require.Equal(t, "group:Büro", messages.Keyword("group:Büro"))
	a, b := messages.Keyword(strings.Repeat("ü", 300)), messages.Keyword(strings.Repeat("ü", 301))
	require.NotEqual(t, a, b, "cut values stay apart")
	require.Len(t, a, 255)
	require.True(t, strings.HasPrefix(a, "üüü"))
}
