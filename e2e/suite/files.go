package suite

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/source/file"
)

// Files are what an HR system exports into a folder, as an identity source.
type Files struct {
	Folder string
	Staff  map[string]Employee // by key
	Groups map[string][]string // keys of employees, by name

	t    *testing.T
	name string
}

// Employee is a row of people.csv.
type Employee struct {
	Email, Name, Department string
	Disabled                bool
}

// NewFiles makes the folder of a source.
func NewFiles(t *testing.T, name, folder string) *Files {
	t.Helper()
	require.NoError(t, os.MkdirAll(folder, 0o700))
	return &Files{Folder: folder, Staff: map[string]Employee{}, Groups: map[string][]string{}, t: t, name: name}
}

// Export writes the files as they are now, as the HR system does at night.
func (f *Files) Export() {
	f.t.Helper()
	var people, groups strings.Builder
	people.WriteString("number,email,name,department,status\n")
	for _, key := range slices.Sorted(maps.Keys(f.Staff)) {
		e, status := f.Staff[key], "active"
		if e.Disabled {
			status = "left"
		}
		fmt.Fprintf(&people, "%s,%s,%s,%s,%s\n", key, e.Email, e.Name, e.Department, status)
	}
	groups.WriteString("group,key\n")
	for _, name := range slices.Sorted(maps.Keys(f.Groups)) {
		fmt.Fprintf(&groups, "%s,\n", name)
		for _, key := range f.Groups[name] {
			fmt.Fprintf(&groups, "%s,%s\n", name, key)
		}
	}
	f.Write("people.csv", people.String())
	f.Write("groups.csv", groups.String())
	_, err := file.WriteManifest(f.Folder, time.Now(), "people.csv", "groups.csv")
	require.NoError(f.t, err)
}

// Write writes a file of the folder.
func (f *Files) Write(name, text string) {
	f.t.Helper()
	require.NoError(f.t, os.WriteFile(filepath.Join(f.Folder, name), []byte(text), 0o600))
}

// Change changes employees in the next export.
func (f *Files) Change(how func(*Employee), keys ...string) {
	f.t.Helper()
	for _, key := range keys {
		e, known := f.Staff[key]
		require.True(f.t, known, key)
		how(&e)
		f.Staff[key] = e
	}
}

// Source is the policy's entry for the files.
func (f *Files) Source() map[string]any {
	return map[string]any{
		"name": f.name, "kind": "file", "folder": f.Folder, "groupsFile": "groups.csv", "key": "number",
		"enabled": map[string]any{"column": "status", "no": []string{"left"}}, "every": "5s", "stale": "1h",
	}
}
