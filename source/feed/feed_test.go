package feed_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/source"
	"github.com/castellan-io/castellan/source/feed"
)

var noon = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

// refused requires that an error is a refusal with a code.
func refused(t *testing.T, err error, code feed.Code, of string) {
	t.Helper()
	var r *feed.Refusal
	require.ErrorAs(t, err, &r, of)
	require.Equal(t, code, r.Code, "%s: %s", of, r.Why)
	require.NotEmpty(t, r.Why)
}

func TestReadPost(t *testing.T) {
	got, err := feed.ReadPost([]byte(`{"person": {"key": "e-1", "email": "ana@acme.example", "enabled": false, "level": 3, "none": null,
		"sites": ["x", "y"]}, "groups": ["ops", " dev ", "ops"], "at": "2026-12-01T13:00:00+01:00", "id": "m1"}`))
	require.NoError(t, err)
	no := false
	require.Equal(t, feed.Statement{Groups: []string{"dev", "ops"}, At: noon, ID: "m1", Person: source.Identity{Key: "e-1",
		Enabled: &no, Attributes: map[string]any{"email": "ana@acme.example", "level": 3.0, "sites": []any{"x", "y"}}}}, got)
	got, err = feed.ReadPost([]byte(`{"person": {"key": "e-1"}, "groups": [], "at": "2026-12-01T12:00:00Z"}`))
	require.NoError(t, err)
	require.Empty(t, got.Groups)
	require.Nil(t, got.Person.Enabled)
}

func TestReadPostRefuses(t *testing.T) {
	const at = `, "at": "2026-12-01T12:00:00Z"`
	long := func(n int) string { return strings.Repeat("x", n) }
	many, _ := json.Marshal(slices.Collect(func(yield func(string) bool) {
		for i := range feed.MaxGroups + 1 {
			if !yield(fmt.Sprint(i)) {
				return
			}
		}
	}))
	for body, code := range map[string]feed.Code{
		``:   feed.Malformed,
		`[]`: feed.Malformed,
		`{"person": {"key": "a"}, "groups": []` + at + `, "more": 1}`:                          feed.Malformed,
		`{"person": {"key": "a", "key": "b"}, "groups": []` + at + `}`:                         feed.Malformed,
		`{"person": {"key": "a", "n": 9007199254740994}, "groups": []` + at + `}`:              feed.Malformed,
		`{"person": {"key": "a"}, "groups": [], "at": "yesterday"}`:                            feed.Malformed,
		`{"person": {"key": "a"}, "groups": []` + at + `, "id": "` + long(feed.MaxID+1) + `"}`: feed.Malformed,
		`{"groups": []` + at + `}`:                                                                   feed.BadPerson,
		`{"person": {}, "groups": []` + at + `}`:                                                     feed.BadPerson,
		`{"person": {"key": " "}, "groups": []` + at + `}`:                                           feed.BadPerson,
		`{"person": {"key": 7}, "groups": []` + at + `}`:                                             feed.BadPerson,
		`{"person": {"key": "a", "enabled": "false"}, "groups": []` + at + `}`:                       feed.BadPerson,
		`{"person": {"key": "` + long(source.MaxKey+1) + `"}, "groups": []` + at + `}`:               feed.BadPerson,
		`{"person": {"key": "a", "b": "` + long(source.MaxAttribute) + `"}, "groups": []` + at + `}`: feed.BadPerson,
		`{"person": {"key": "a"}` + at + `}`:                                                         feed.BadGroups,
		`{"person": {"key": "a"}, "groups": null` + at + `}`:                                         feed.BadGroups,
		`{"person": {"key": "a"}, "groups": [" "]` + at + `}`:                                        feed.BadGroups,
		`{"person": {"key": "a"}, "groups": ["a\nb"]` + at + `}`:                                     feed.BadGroups,
		`{"person": {"key": "a"}, "groups": ["` + long(source.MaxName+1) + `"]` + at + `}`:           feed.BadGroups,
		`{"person": {"key": "a"}, "groups": ` + string(many) + at + `}`:                              feed.BadGroups,
		`{"person": {"key": "a"}, "groups": []}`:                                                     feed.BadTime,
	} {
		_, err := feed.ReadPost([]byte(body))
		refused(t, err, code, body[:min(len(body), 100)])
		require.NotContains(t, err.Error(), "xxxx", "a refusal repeats nothing")
	}
}

func FuzzReadPost(f *testing.F) {
	f.Add([]byte(`{"person": {"key": "e-1", "email": "ana@acme.example"}, "groups": ["a"], "at": "2026-12-01T12:00:00Z"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		s, err := feed.ReadPost(body)
		if err == nil && (s.Person.Key == "" || s.At.IsZero() || len(s.Groups) > feed.MaxGroups) {
			t.Fatalf("%q: %+v", body, s)
		}
	})
}
