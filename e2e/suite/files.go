package identities_test

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

// files are what an HR system exports.
type files struct {
	t            *testing.T
	name, folder string
	staff        map[string]employee // by key
	groups       map[string][]string // keys of employees, by name
}

// employee is a row of people.csv.
type employee struct {
	email, name, department string
	disabled                bool
}

func newFiles(t *testing.T, name, folder string) *files {
	t.Helper()
	require.NoError(t, os.MkdirAll(folder, 0o700))
	return &files{t: t, name: name, folder: folder, staff: map[string]employee{}, groups: map[string][]string{}}
}

// export writes the files as they are now, as the HR system does at night.
func (f *files) export() {
	f.t.Helper()
	var people, groups strings.Builder
	people.WriteString("number,email,name,department,status\n")
	for _, key := range slices.Sorted(maps.Keys(f.staff)) {
		e, status := f.staff[key], "active"
		if e.disabled {
			status = "left"
		}
		fmt.Fprintf(&people, "%s,%s,%s,%s,%s\n", key, e.email, e.name, e.department, status)
	}
	groups.WriteString("group,key\n")
	for _, name := range slices.Sorted(maps.Keys(f.groups)) {
		fmt.Fprintf(&groups, "%s,\n", name)
		for _, key := range f.groups[name] {
			fmt.Fprintf(&groups, "%s,%s\n", name, key)
		}
	}
	f.write("people.csv", people.String())
	f.write("groups.csv", groups.String())
	_, err := file.WriteManifest(f.folder, time.Now(), "people.csv", "groups.csv")
	require.NoError(f.t, err)
}

func (f *files) write(name, text string) {
	f.t.Helper()
	require.NoError(f.t, os.WriteFile(filepath.Join(f.folder, name), []byte(text), 0o600))
}

// change changes employees in the next export.
func (f *files) change(how func(*employee), keys ...string) {
	f.t.Helper()
	for _, key := range keys {
		e, known := f.staff[key]
		require.True(f.t, known, key)
		how(&e)
		f.staff[key] = e
	}
}

func leaves(e *employee)  { e.disabled = true }
func returns(e *employee) { e.disabled = false }

func moveTo(department string) func(*employee) {
	return func(e *employee) { e.department = department }
}

// source is the policy's entry for the files.
func (f *files) source() map[string]any {
	return map[string]any{
		"name": f.name, "kind": "file", "folder": f.folder, "groupsFile": "groups.csv", "key": "number",
		"enabled": map[string]any{"column": "status", "no": []string{"left"}}, "every": "5s", "stale": "1h",
	}
}
