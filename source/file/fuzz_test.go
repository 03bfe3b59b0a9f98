package file_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/source/file"
)

func FuzzReadCSV(f *testing.F) {
	for _, seed := range []string{peopleCSV, "sep=;\nemployeeId;b\n1;2\n", "employeeId\n1\n",
		"\ufeffemployeeId\tb\r\n\"a\"\t\r"} {
		f.Add(seed)
	}
	dir := f.TempDir()
	o := file.Options{Root: dir, Key: "employeeId"}
	f.Fuzz(func(t *testing.T, text string) { fuzz(t, dir, "people.csv", text, o) })
}

func FuzzReadJSON(f *testing.F) {
	f.Add(peopleJSON)
	f.Add(`{"groups":[],"people":[{"key":0}]}`)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) { fuzz(t, dir, "people.json", text, jsonOptions(dir)) })
}

// fuzz requires that a file is refused, or shows as many people as its manifest says.
func fuzz(t *testing.T, dir, name, text string, o file.Options) {
	write(t, dir, name, text)
	m, err := file.WriteManifest(dir, written, name)
	if err != nil {
		return
	}
	got, err := read(t, o)
	if err == nil {
		require.Equal(t, m.Files[name].Rows, got.proof.People)
		require.Len(t, got.people, got.proof.People)
	}
}
