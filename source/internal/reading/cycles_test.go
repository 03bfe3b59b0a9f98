package reading_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/source"
	"github.com/castellan-io/castellan/source/internal/reading"
)

// cycles are those of groups, of which inner lists the groups in each.
func cycles(t *testing.T, name func(int32) string, inner [][]int32) [][]string {
	t.Helper()
	r := reading.New(func(source.Page) error { return nil })
	r.Nested(len(inner), name, func(g int32) []int32 { return inner[g] })
	proof, err := r.Finish("as", "", nil)
	require.NoError(t, err)
	return proof.Cycles
}

func letter(g int32) string { return string(rune('a' + g)) }

func TestNestedNamesCycles(t *testing.T) {
	for name, c := range map[string]struct {
		inner [][]int32
		want  [][]string
	}{
		"no group":                  {},
		"none":                      {inner: [][]int32{{1}, {2}, {}}},
		"a diamond":                 {inner: [][]int32{{1, 2}, {3}, {3}, {}}},
		"twice the same group":      {inner: [][]int32{{1, 1}, {}}},
		"of one":                    {[][]int32{{}, {1, 0}}, [][]string{{"b"}}},
		"of two":                    {[][]int32{{1}, {0}}, [][]string{{"a", "b"}}},
		"of three":                  {[][]int32{{2}, {0}, {1}}, [][]string{{"a", "c", "b"}}},
		"two, and one above both":   {[][]int32{{1}, {0}, {0, 3}, {4}, {3}}, [][]string{{"a", "b"}, {"d", "e"}}},
		"two, one in the other":     {[][]int32{{1}, {0, 2}, {3}, {2}}, [][]string{{"a", "b"}, {"c", "d"}}},
		"of two, and of one in it":  {[][]int32{{1}, {1, 0}}, [][]string{{"a", "b"}, {"b"}}},
		"the shorter way round":     {[][]int32{{1}, {2, 3}, {3}, {0}}, [][]string{{"a", "b", "d"}}},
		"the first by name, of two": {[][]int32{{2, 1}, {3}, {3}, {0}}, [][]string{{"a", "b", "d"}}},
	} {
		require.Equal(t, c.want, cycles(t, letter, c.inner), name)
	}
}

func TestNestedNamesABoundedNumber(t *testing.T) {
	var pairs, ring [][]int32
	for g := range int32(2 * (source.MaxCycles + 5)) {
		pairs = append(pairs, []int32{g ^ 1})
		ring = append(ring, []int32{(g + 1) % (2 * (source.MaxCycles + 5))})
	}
	number := func(g int32) string { return fmt.Sprintf("%02d", g) }
	found := cycles(t, number, pairs)
	require.Len(t, found, source.MaxCycles)
	require.Equal(t, []string{"00", "01"}, found[0])
	require.Equal(t, [][]string{{"00", "01", "02", "03", "04", "05", "06", "07", "08", "09", "40 more"}},
		cycles(t, number, ring))

	long := func(int32) string { return strings.Repeat("ä", 90) }
	require.Equal(t, [][]string{{strings.Repeat("ä", 50) + "…"}}, cycles(t, long, [][]int32{{0}}))
	odd := func(int32) string { return "x" + strings.Repeat("ä", 90) }
	require.Equal(t, [][]string{{"x" + strings.Repeat("ä", 49) + "…"}}, cycles(t, odd, [][]int32{{0}}))
	broken := func(int32) string { return "a\xffb" }
	require.Equal(t, [][]string{{"a\uFFFDb"}}, cycles(t, broken, [][]int32{{0}}))
}

// TestNestedTakesDeepDirectories: neither the depth of groups in groups nor their number costs more than they are.
func TestNestedTakesDeepDirectories(t *testing.T) {
	deep := make([][]int32, source.MaxGroups)
	for g := range deep[1:] {
		deep[g] = []int32{int32(g + 1)}
	}
	require.Empty(t, cycles(t, func(g int32) string { return fmt.Sprint(g) }, deep))
}
