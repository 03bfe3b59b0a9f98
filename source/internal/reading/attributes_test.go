package reading_test

import (
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/source/internal/reading"
)

func TestAttributesAreDecoded(t *testing.T) {
	var got struct{ A, B, C reading.Attributes }
	require.NoError(t, json.Unmarshal([]byte(`{"A":{"n":9007199254740992,"f":-1.5e3,"z":null,"b":true,
		"l":[null,{"x":null,"y":[1]}]},"B":null}`), &got))
	require.Equal(t, reading.Attributes{"n": float64(1 << 53), "f": -1500.0, "b": true,
		"l": []any{map[string]any{"y": []any{1.0}}}}, got.A)
	require.Nil(t, got.B)
	require.Nil(t, got.C)
	for _, text := range []string{`{"A":{"n":9007199254740994}}`, `{"A":{"n":-9007199254740994}}`, `{"A":{"n":1e999}}`,
		`{"A":[]}`, `{"A":{"x":1,"x":2}}`} {
		require.Error(t, json.Unmarshal([]byte(text), &got), text)
	}
}
