package access_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
)

type decoded struct {
	By    string          `json:"by"`
	For   access.Duration `json:"for,omitempty"`
	At    time.Time       `json:"at,omitzero"`
	Items []int           `json:"items,omitempty"`
	Raw   json.RawMessage `json:"raw,omitempty"`
	In    *decoded        `json:"in,omitempty"`
	decodedToo
}

type decodedToo struct {
	Code string `json:"code,omitempty"`
}

func TestDecodeTakesWhatIsDocumented(t *testing.T) {
	var is decoded
	require.NoError(t, access.Decode(
		[]byte(` {"by":"ana","for":"2h","at":"2026-03-02T09:00:00Z","items":[1,2],"raw":{"a":[1]},"in":{"by":"bo"},"code":"x"} `), &is))
	require.Equal(t, decoded{
		By: "ana", For: access.Duration(2 * time.Hour), At: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC),
		Items: []int{1, 2}, Raw: json.RawMessage(`{"a":[1]}`),
		In: &decoded{By: "bo"}, decodedToo: decodedToo{"x"},
	}, is)
}

func TestDecodeRefuses(t *testing.T) {
	for text, want := range map[string]string{
		`{"by":"finn","BY":"carol"}`:              `unknown field "BY"; did you mean "by"? The fields are by, for, at, items, raw, in, code`,
		`{"By":"carol"}`:                          `unknown field "By"`,
		`{"ſor":"x"}`:                             `unknown field "ſor"`,
		`{"by":"finn","by":"carol"}`:              `the key "by" stands there twice`,
		`{"by":"finn","\u0062y":"carol"}`:         `the key "by" stands there twice`,
		`{"in":{"by":"finn","by":"carol"}}`:       `"in.by" stands there twice`,
		`{"in":{"by":"finn","Code":"carol"}}`:     `unknown field "in.Code"; did you mean "code"?`,
		`{"raw":{"a":{"b":1,"b":2}}}`:             `"raw.a.b" stands there twice`,
		`{"whom":"x"}`:                            `unknown field "whom". The fields are by, for, at`,
		`{"decodedToo":{"code":"x"}}`:             `unknown field "decodedToo"`,
		`{"by":1}`:                                `"by": a number does not fit`,
		`{"items":["1"]}`:                         `"items.0": a string does not fit`,
		`{"for":3}`:                               `a duration is written as text`,
		`{"for":"soon"}`:                          `is not a duration`,
		`{"at":"yesterday"}`:                      `"at"`,
		`{"by":"a"}{"by":"b"}`:                    `invalid character`,
		`{"by":"a"`:                               `unexpected EOF`,
		``:                                        `unexpected EOF`,
		"{\"by\":\"\xff\"}":                       `UTF-8`,
		`{"` + strings.Repeat("k", 5000) + `":1}`: `…`,
		strings.Repeat(`[`, 100_000):              ``,
		`"text"`:                                  `a string does not fit`,
	} {
		var is decoded
		err := access.Decode([]byte(text), &is)
		require.Error(t, err, text)
		require.ErrorContains(t, err, want)
		require.Less(t, len(err.Error()), 400)
	}
}
