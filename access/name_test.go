package access_test

import (
	"strings"
	"testing"

	"github.com/castellan-io/castellan/access"
	"github.com/stretchr/testify/require"
)

func TestReadName(t *testing.T) {
	t.Parallel()
	for typed, want := range map[string]string{
		"ana@acme.example": "ana@acme.example", " ana@acme.example\n": "ana@acme.example",
		"o'brien+x@acme.example": "o'brien+x@acme.example",
		"712020:0f3c-11":         "712020:0f3c-11", "5b10a2844c20165700ede21g": "5b10a2844c20165700ede21g",
		"bücher@müller.example": "bücher@müller.example",
	} {
		got, err := access.ReadName(typed)
		require.NoError(t, err, typed)
		require.Equal(t, want, got)
	}
	for _, typed := range []string{
		"", " ", "Ana <ana@acme.example>", "ana@acme.example, bo@acme.example", "ana@acme.example bo@acme.example",
		"ana@@acme.example",
		"a@b@c.example", "ana@acme.example\u200b", "\u202eana@acme.example", "help desk", "ana@", "@acme.example",
		"$(x)", "a`b`@acme.example",
		strings.Repeat("a", 129), "ana@acme.example;bo",
	} {
		_, err := access.ReadName(typed)
		require.Error(t, err, typed)
	}
}

func TestFoldAddress(t *testing.T) {
	t.Parallel()
	require.Equal(t, "ana.kim@acme.example", access.FoldAddress("Ana.KIM@Acme.Example"))
	require.NotEqual(t, access.FoldAddress("kim@acme.example"), access.FoldAddress("\u212Aim@acme.example"),
		"the Kelvin sign is no k")
	require.NotEqual(t, access.FoldAddress("carol@acme.example"), access.FoldAddress("c\u0430rol@acme.example"),
		"a Cyrillic letter")
}
