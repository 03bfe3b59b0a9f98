package policy_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/encoding/unicode"

	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/policy/cases"
)

// A file means the same however the program that wrote it has saved it.
func TestParseAndReadCasesTakeWhatEditorsSave(t *testing.T) {
	const text = `version: 1
organization: {name: acme, id: a1, key: "env:A"}
mappings:
  - name: büro
    description: |
      two
      lines
    from: [büro]
    to: ["group:büro"]
`
	const table = "version: 1\nnow: \"2027-03-10T09:00:00Z\"\ncases:\n  - name: büro\n    person: {email: a@b.example, groups: [büro]}\n    expect: {gives: [\"group:büro\"]}\n"
	want := parse(t, text).Hash()
	save := func(text, end string, encode func(string) string) []byte {
		return []byte(encode(strings.ReplaceAll(text, "\n", end)))
	}
	wide := func(order unicode.Endianness) func(string) string {
		return func(s string) string {
			out, err := unicode.UTF16(order, unicode.UseBOM).NewEncoder().String(s)
			require.NoError(t, err)
			return out
		}
	}
	_, wrong := cases.Read("cases", []byte(table))
	require.NoError(t, wrong)
	for _, end := range []string{"\n", "\r\n", "\r"} {
		for name, encode := range map[string]func(string) string{
			"UTF-8": func(s string) string { return s }, "marked": func(s string) string { return "\ufeff" + s },
			"UTF-16LE": wide(unicode.LittleEndian), "UTF-16BE": wide(unicode.BigEndian),
		} {
			p, err := policy.Parse("p", save(text, end, encode))
			require.NoError(t, err, "%s %q", name, end)
			require.Equal(t, want, p.Hash(), "%s %q", name, end)
			_, err = cases.Read("cases", save(table, end, encode))
			require.Equal(t, wrong, err, "%s %q", name, end)
			_, err = policy.Parse("p", save(strings.Replace(text, "from:", "form:", 1), end, encode))
			require.ErrorContains(t, err, "p:8:5: mappings[0].form", "%s %q", name, end)
		}
	}
}
