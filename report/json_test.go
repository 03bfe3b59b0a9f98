package report_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/report"
)

func TestJSONReadsBack(t *testing.T) {
	for name, r := range map[string]report.Report{"sample": sample(t, 5), "hostile": hostile()} {
		var out bytes.Buffer
		require.NoError(t, r.JSON(&out), name)
		written := out.String()
		back, err := report.Read(&out)
		require.NoError(t, err, name)
		var again bytes.Buffer
		require.NoError(t, back.JSON(&again), name)
		require.Equal(t, written, again.String(), name)
		require.True(t, r.At.Equal(back.At))
		require.Equal(t, r.Facts, back.Facts, name)
		for i, s := range r.Sections {
			if s.Rows == nil {
				s.Rows = [][]string{}
			}
			require.Equal(t, s, back.Sections[i], name)
		}
	}
}

func TestJSONIsStable(t *testing.T) {
	before, now := with("a"), with("b <c>")
	before.Sections[0].Incomplete = "refused"
	now.Title, now.Facts = "Access", []report.Fact{{Name: "People", Value: "2"}}
	now.Compare(&before)
	var out bytes.Buffer
	require.NoError(t, now.JSON(&out))
	require.Equal(t, `{
  "version": 1,
  "title": "Access",
  "org": "acme",
  "id": "r",
  "at": "2026-03-09T05:00:00Z",
  "policy": "",
  "facts": [
    {
      "name": "People",
      "value": "2"
    }
  ],
  "sections": [
    {
      "key": "k",
      "title": "",
      "about": "",
      "severity": "look",
      "columns": [
        "Person",
        "Seen"
      ],
      "rows": [
        [
          "b \u003cc\u003e",
          "0"
        ]
      ],
      "count": 1,
      "new": -1,
      "gone": -1
    }
  ],
  "past": [
    {
      "id": "r",
      "at": "2026-03-09T05:00:00Z",
      "counts": {}
    }
  ]
}
`, out.String())
}

func TestJSONHasNoNull(t *testing.T) {
	r := report.Report{Sections: []report.Section{{Key: "a", Severity: report.Know}}, Past: []report.Past{{}}}
	for _, r := range []report.Report{{}, r} {
		var out bytes.Buffer
		require.NoError(t, r.JSON(&out))
		require.NotContains(t, out.String(), "null")
	}
	require.Nil(t, r.Sections[0].Rows, "the report itself is left as it was")
	require.Nil(t, r.Past[0].Counts)
}

func TestReadRefuses(t *testing.T) {
	for text, want := range map[string]string{
		``:                              "not a report",
		`[]`:                            "not a report",
		`{"title": "x"}`:                "it has no version",
		`{"version": 2, "title": 5}`:    "it is of version 2; this program reads version 1",
		`{"version": 0}`:                "it is of version 0",
		`{"version": 1, "title": 5}`:    "not a report",
		`{"version": 1} {"version": 1}`: "not a report",
		`{"version": 1, "sections": [{"key": "a", "severity": "act", "columns": ["x"], "rows": [["1", "2"]], "count": 1}]}`: `section "a", row 1`,
	} {
		_, err := report.Read(strings.NewReader(text))
		require.ErrorContains(t, err, want, text)
	}
}

func TestReadIgnoresUnknownFields(t *testing.T) {
	r, err := report.Read(strings.NewReader(`{"version": 1, "title": "x", "mood": "good"}`))
	require.NoError(t, err)
	require.Equal(t, report.Report{Title: "x"}, r)
}
