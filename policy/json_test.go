package policy_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/castellan-io/castellan/policy"
)

func TestHashKnowsOnlyContent(t *testing.T) {
	same := []string{
		minimal,
		"# a comment\n" + minimal,
		minimal + "dryRun: false\nguard: {adopt: ask, run: {removals: 100, share: 10.0%}, settle: 5000ms}\nsync: {every: 360m}\n",
		`{"mappings":[{"to":["group:jira-users-acme"],"from":["eng-all"],"name":"engineering"}],
		  "organization":{"key":"env:CASTELLAN_KEY_ACME","id":"0a1b2c3d","name":"acme"},"version":1}`,
	}
	want := parse(t, minimal).Hash()
	require.Regexp(t, "^sha256:[0-9a-f]{64}$", want)
	for _, text := range same {
		require.Equal(t, want, parse(t, text).Hash())
	}
	for _, text := range []string{
		edit("eng-all", "eng-some"), minimal + "dryRun: true\n", minimal + "guard: {run: {removals: 101}}\n",
		minimal + "    adopt: true\n",
	} {
		require.NotEqual(t, want, parse(t, text).Hash(), text)
	}
}

func TestJSONIsAPolicyFile(t *testing.T) {
	for _, text := range []string{minimal, string(full(t)), minimal + reviews, minimal + sources,
		edit("engineering", `"a <b> & \"c\" ü 🎈"`), withoutMappings + sources} {
		p := parse(t, text)
		again := parse(t, string(p.JSON()))
		require.Equal(t, p.Plain(), again.Plain())
		require.Equal(t, p.JSON(), again.JSON())
		var decoded policy.Policy
		require.NoError(t, json.Unmarshal(p.JSON(), &decoded))
		require.Equal(t, p.Plain(), decoded)
	}
}

func TestValuesSurviveTheirText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		share := policy.Share(rapid.IntRange(0, 10_000).Draw(t, "share"))
		var s policy.Share
		require.NoError(t, s.UnmarshalText([]byte(share.String())), share)
		require.Equal(t, share, s)
		length := policy.Duration(time.Duration(rapid.Int64Range(0, 1e7).Draw(t, "ms")) * time.Millisecond)
		var d policy.Duration
		require.NoError(t, d.UnmarshalText([]byte(length.String())), length)
		require.Equal(t, length, d)
	})
	for text, want := range map[string]time.Duration{"0s": 0, "90m": 90 * time.Minute, "7d": 168 * time.Hour,
		"1d12h": 36 * time.Hour} {
		var d policy.Duration
		require.NoError(t, d.UnmarshalText([]byte(text)))
		require.Equal(t, want, d.Std())
	}
	for d, want := range map[time.Duration]string{0: "0s", 6 * time.Hour: "6h", 150 * time.Minute: "2h30m",
		90 * time.Second: "1m30s", 48 * time.Hour: "2d"} {
		require.Equal(t, want, policy.Duration(d).String())
	}
}

func TestShareIsExact(t *testing.T) {
	require.False(t, (20*policy.Percent).Exceeded(2, 10))
	require.True(t, (20*policy.Percent).Exceeded(3, 10))
	require.True(t, policy.Share(0).Exceeded(1, 1_000_000))
	require.False(t, (100*policy.Percent).Exceeded(10, 10))
	require.True(t, (10*policy.Percent).Exceeded(1, 0))
}

// The schema, the Go types and the defaults must say the same.
func TestSchemaAgrees(t *testing.T) {
	var root map[string]any
	require.NoError(t, json.Unmarshal(policy.Schema(), &root))
	var defaults map[string]any
	require.NoError(t, json.Unmarshal(
		parse(t, minimal+grants+"  approval: {groups: [it-leads]}\n  extend: {max: 4h}\n"+reviews+sources).JSON(), &defaults))
	agree(t, root, root, reflect.TypeFor[policy.Policy](), defaults, "policy")
}

func agree(t *testing.T, root, schema map[string]any, goType reflect.Type, defaults any, path string) {
	if ref, is := schema["$ref"].(string); is {
		def, found := root["$defs"].(map[string]any)[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
		require.True(t, found, "%s: %s", path, ref)
		agree(t, root, def, goType, defaults, path)
	}
	if want, given := schema["default"]; given && defaults != nil {
		require.Equal(t, defaults, want, path)
	}
	if items, is := schema["items"].(map[string]any); is {
		require.Equal(t, reflect.Slice, goType.Kind(), path)
		var first any
		if list, is := defaults.([]any); is {
			first = list[0]
		}
		agree(t, root, items, goType.Elem(), first, path+"[]")
	}
	if goType.Kind() == reflect.Pointer {
		goType = goType.Elem()
	}
	properties, is := schema["properties"].(map[string]any)
	if !is {
		return
	}
	require.Equal(t, false, schema["additionalProperties"], path)
	values, _ := defaults.(map[string]any)
	known := map[string]bool{}
	for i := range goType.NumField() {
		if !goType.Field(i).IsExported() {
			continue
		}
		key, _, _ := strings.Cut(goType.Field(i).Tag.Get("json"), ",")
		known[key] = true
		property, found := properties[key].(map[string]any)
		require.True(t, found, "%s.%s is not in the schema", path, key)
		agree(t, root, property, goType.Field(i).Type, values[key], path+"."+key)
	}
	for key := range properties {
		require.True(t, known[key], "%s.%s is in the schema only", path, key)
	}
}
