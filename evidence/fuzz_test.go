package evidence_test

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/evidence"
)

// FuzzVerify: no file makes Verify panic, and what it accepts can be shown.
func FuzzVerify(f *testing.F) {
	pack := packOf(f, duel())
	f.Add(pack)
	f.Add(small(f))
	f.Add([]byte{})
	f.Add([]byte("\n\n\n"))
	f.Add([]byte(`{"seq":1,"kind":"review","body":{},"prev":"","hash":""}` + "\n"))
	f.Add([]byte(strings.Repeat("[", 100_000) + "\n"))
	f.Add(pack[:len(pack)/2])
	f.Add(append(bytes.Clone(pack), pack...))
	f.Fuzz(func(t *testing.T, file []byte) { shown(t, file) })
}

// FuzzForgery: as FuzzVerify, past the hashes: each line of the input is a kind, a space and a body, and the hashes are
// made to fit.
func FuzzForgery(f *testing.F) {
	for _, pack := range [][]byte{packOf(f, duel()), small(f)} {
		var seed []string
		for _, text := range bytes.Split(bytes.TrimSuffix(pack, []byte("\n")), []byte("\n")) {
			var l struct {
				Kind string
				Body json.RawMessage
			}
			require.NoError(f, json.Unmarshal(text, &l))
			seed = append(seed, l.Kind+" "+string(l.Body))
		}
		f.Add(strings.Join(seed, "\n"))
	}
	f.Fuzz(func(t *testing.T, text string) {
		var kinds, bodies []string
		for _, l := range strings.Split(text, "\n") {
			kind, body, _ := strings.Cut(l, " ")
			kinds, bodies = append(kinds, kind), append(bodies, body)
		}
		shown(t, chained(kinds, bodies))
	})
}

func shown(t *testing.T, file []byte) {
	_, err := evidence.Verify(bytes.NewReader(file))
	if err != nil {
		require.True(t, numbered.MatchString(err.Error()), err)
		return
	}
	require.NoError(t, evidence.CSV(bytes.NewReader(file), io.Discard))
	read(t, file)
}
