// Package layout_test holds the project's folders to the table in docs/architecture.md: imports point up it, never down.
package layout_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	root   = "../.."
	module = "github.com/castellan-io/castellan"
)

// mayImport lists, for each folder with rules, the project's folders that it may import besides itself.
var mayImport = map[string][]string{
	"access":     {},
	"messages":   {"access"},
	"policy":     {"access"},
	"plan":       {"access", "policy"},
	"atlassian":  {},
	"ledger":     {"access"},
	"notify":     {"access", "messages"},
	"links":      {},
	"evidence":   {"access"},
	"reviewpage": {"access", "messages", "links"},
	"report":     {},
	"activities": {"access", "messages", "policy", "plan", "atlassian", "ledger", "notify", "links", "evidence", "reviewpage", "report"},
	"workflows":  {"access", "messages", "activities"},
	"config":     {},
	"worker":     {"access", "messages", "policy", "plan", "atlassian", "ledger", "notify", "links", "evidence", "reviewpage", "report", "activities", "workflows", "config"},
	"starter":    {"access", "messages", "policy", "evidence", "config"},
	"simulator":  {},
	"deploy":     {},
	"examples":   {"access", "policy"},
}

// whole lists the folders that see the product from outside and may import any of it.
var whole = []string{"e2e", "demo"}

// alsoInTests lists what a folder's own tests may import in addition. Every folder's tests may use the simulator.
var alsoInTests = map[string][]string{
	"simulator": {"atlassian"},
	"workflows": {"policy", "plan", "ledger"},
}

func TestImportsPointUpTheTable(t *testing.T) {
	for _, file := range sources(t) {
		folder := file.folder()
		if slices.Contains(whole, folder) {
			continue
		}
		allowed, ruled := mayImport[folder]
		require.True(t, ruled, "%s: the folder %s has no row in the layout table: add one here and in docs/architecture.md", file.path, folder)
		for _, spec := range file.tree.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			require.NoError(t, err)
			path, ours := strings.CutPrefix(imported, module+"/")
			if !ours {
				continue
			}
			target, _, _ := strings.Cut(path, "/")
			ok := target == folder || slices.Contains(allowed, target)
			if file.test {
				ok = ok || target == "simulator" || slices.Contains(alsoInTests[folder], target)
			}
			require.True(t, ok, "%s imports %s: %s may import %v of the project's folders", file.position(spec.Pos()), path, folder, allowed)
		}
	}
}

// TestTheTableAgreesWithItself: whoever may be imported stands in the table, and the table has no cycle, so that "up" means
// something. The simulator is no product code's to import.
func TestTheTableAgreesWithItself(t *testing.T) {
	placed := make(map[string]bool)
	for len(placed) < len(mayImport) {
		before := len(placed)
		for _, folder := range slices.Sorted(maps.Keys(mayImport)) {
			if !slices.ContainsFunc(mayImport[folder], func(target string) bool { return !placed[target] }) {
				placed[folder] = true
			}
		}
		require.Greater(t, len(placed), before, "a cycle, or a folder without a row")
	}
	for folder, allowed := range mayImport {
		require.NotContains(t, allowed, "simulator", folder)
	}
}

type source struct {
	path string // relative to the repository's root
	test bool
	set  *token.FileSet
	tree *ast.File
}

func (s source) folder() string {
	folder, _, nested := strings.Cut(s.path, "/")
	if !nested {
		return "."
	}
	return folder
}

func (s source) position(at token.Pos) string {
	return s.path + ":" + strconv.Itoa(s.set.Position(at).Line)
}

// sources parses every Go file of the product's module.
func sources(t *testing.T) []source {
	t.Helper()
	var found []source
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			// tools is a module of its own; the others hold no source of ours.
			if name != "." && strings.HasPrefix(name, ".") || slices.Contains([]string{"bin", "dist", "tools"}, name) || entry.Name() == "testdata" {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) != ".go" {
			return nil
		}
		set := token.NewFileSet()
		tree, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		found = append(found, source{path: filepath.ToSlash(name), test: strings.HasSuffix(name, "_test.go"), set: set, tree: tree})
		return nil
	})
	require.NoError(t, err)
	require.NotEmpty(t, found)
	return found
}
