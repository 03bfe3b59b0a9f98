package file_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/source"
	"github.com/castellan-io/castellan/source/file"
)

// TestReadHoldsNothingWithoutEnd: what is read may come from whoever can write to the server, and a quotation mark that
// is missing makes one cell of the rest of the file.
func TestReadHoldsNothingWithoutEnd(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "people.csv", "employeeId,mail\n1,a\n2,\"b\n"+strings.Repeat("3,c\n", 1<<19))
	declare(t, dir, map[string]int{"people.csv": 2})
	_, err := read(t, file.Options{Root: dir, Key: "employeeId"})
	require.ErrorIs(t, err, source.ErrMalformed)
	require.ErrorContains(t, err, "after byte 20: a row is longer than 1048576 bytes: see whether a quotation mark is missing")

	write(t, dir, "people.csv", "employeeId,mail\n1,a\n")
	write(t, dir, "groups.csv", "group,key\n\"g"+strings.Repeat("x", 2<<20))
	declare(t, dir, map[string]int{"people.csv": 1, "groups.csv": 1})
	_, err = read(t, file.Options{Root: dir, Key: "employeeId", Groups: "groups.csv"})
	require.ErrorIs(t, err, source.ErrMalformed)
	require.ErrorContains(t, err, "a row is longer")

	t.Cleanup(file.SetMaxItem(1 << 20))
	long := strings.Repeat("x", 2<<20)
	write(t, dir, "people.json", `{"people":[{"key":"1"},{"key":"2","attributes":{"a":"`+long+`"}}],"groups":[]}`)
	declare(t, dir, map[string]int{"people.json": 2})
	_, err = read(t, file.Options{Root: dir, People: "people.json"})
	require.ErrorIs(t, err, source.ErrMalformed)
	require.ErrorContains(t, err, "larger than what is read at once")
}

func TestReadHoldsABoundedNumberOfGroups(t *testing.T) {
	dir := t.TempDir()
	var groups strings.Builder
	groups.WriteString("group,key\n")
	for i := range source.MaxGroups + 1 {
		fmt.Fprintf(&groups, "%d,\n", i)
	}
	write(t, dir, "people.csv", "employeeId,mail\n1,a\n")
	write(t, dir, "groups.csv", groups.String())
	declare(t, dir, map[string]int{"people.csv": 1, "groups.csv": source.MaxGroups + 1})
	_, err := read(t, file.Options{Root: dir, Key: "employeeId", Groups: "groups.csv"})
	require.ErrorIs(t, err, source.ErrMalformed)
	require.ErrorContains(t, err, "it has more than 250000 groups")
}
