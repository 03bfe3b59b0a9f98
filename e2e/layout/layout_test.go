// Package layout_test holds the project's folders to the table in docs/architecture.md: imports point up it, never
// down.
package layout_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	root   = "../.."
	module = "github.com/castellan-io/castellan"

	harness = "activitytest" // a package for tests alone
)

// mayImport lists, for each folder with rules, the project's folders that it may import besides itself.
var mayImport = map[string][]string{
	"access":     {},
	"display":    {},
	"messages":   {"access"},
	"textfile":   {},
	"policy":     {"access", "textfile"},
	"plan":       {"access", "policy"},
	"identity":   {"access", "policy"},
	"source":     {"textfile"},
	"review":     {"access"},
	"atlassian":  {},
	"ledger":     {"access", "review"},
	"notify":     {"access", "display", "messages"},
	"links":      {},
	"evidence":   {"access", "display"},
	"reviewpage": {"access", "display", "messages", "links"},
	"report":     {"display"},
	"activities": {"access", "display", "messages", "textfile", "policy", "plan", "identity", "source", "review", "atlassian",
		"ledger", "notify", "links", "evidence", "report"},
	"reviewpage/backend": {"access", "messages", "ledger", "links", "activities", "reviewpage"},
	"inbox":              {"ledger", "notify", "policy", "source", "activities"},
	"workflows":          {"access", "display", "messages", "activities"},
	"config":             {"display"},
	"worker": {"access", "display", "messages", "textfile", "policy", "plan", "review", "atlassian", "ledger",
		"notify", "links", "evidence", "reviewpage", "report", "activities", "reviewpage/backend", "inbox", "workflows", "config"},
	"starter":   {"access", "display", "messages", "textfile", "policy", "evidence", "config"},
	"simulator": {},
	"deploy":    {},
	"examples":  {"access", "policy"},
}

// whole lists the folders that see the product from outside and may import any of it.
var whole = []string{"e2e", "demo"}

// alsoInTests lists what a folder's own tests may import in addition. Every folder's tests may use the simulator.
var alsoInTests = map[string][]string{
	"simulator":  {"atlassian"},
	"workflows":  {"policy", "plan", "ledger"},
	"activities": {"reviewpage", "reviewpage/backend"},
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
			target := placeOf(path)
			ok := target == folder || slices.Contains(allowed, target)
			if file.test {
				ok = ok || target == "simulator" || slices.Contains(alsoInTests[folder], target)
			}
			require.True(t, ok, "%s imports %s: %s may import %v of the project's folders", file.position(spec.Pos()),
				path, folder, allowed)
		}
	}
}

// TestLayoutTableAgreesWithItself: whoever may be imported stands in the table, and the table has no cycle, so that
// "up" means something. The simulator is no product code's to import.
func TestLayoutTableAgreesWithItself(t *testing.T) {
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

// foldersWithRooms lists the folders whose rooms stand in tables of docs/architecture.md.
var foldersWithRooms = []string{"activities", "workflows", "policy", "source"}

// TestRoomsImportNoSiblings: what the rooms of a folder may import of each other stands in docs/architecture.md, and
// every room stands there.
func TestRoomsImportNoSiblings(t *testing.T) {
	may := roomsOfTheTables(t)
	seen := map[string]bool{}
	for _, file := range sources(t) {
		room := path.Dir(file.path)
		if !slices.Contains(foldersWithRooms, file.folder()) || file.test {
			continue
		}
		seen[room] = true
		allowed, placed := may[room]
		require.True(t, placed, "%s: the room %s has no row in the table of rooms in docs/architecture.md",
			file.path, room)
		for _, spec := range file.tree.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			require.NoError(t, err)
			target, ours := strings.CutPrefix(imported, module+"/")
			if !ours || !strings.HasPrefix(target, file.folder()+"/") {
				continue
			}
			require.Contains(t, allowed, target, "%s: docs/architecture.md says what %s may import of its siblings",
				file.position(spec.Pos()), room)
		}
	}
	require.Equal(t, slices.Sorted(maps.Keys(may)), slices.Sorted(maps.Keys(seen)),
		"the table of rooms, and the rooms that there are")
}

// roomsOfTheTables reads the tables of rooms: which siblings each may import. The first row of each is the folder
// itself.
func roomsOfTheTables(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs/architecture.md"))
	require.NoError(t, err)
	tables := strings.Split(string(text),
		"| room | what lives there | may import of its siblings |\n|---|---|---|\n")[1:]
	require.Len(t, tables, len(foldersWithRooms), "docs/architecture.md has a table for each folder with rooms")
	quoted := regexp.MustCompile("`([a-z/]+)`")
	may := map[string][]string{}
	for i, table := range tables {
		table, _, _ = strings.Cut(table, "\n\n")
		for _, row := range strings.Split(table, "\n") {
			cells := strings.Split(strings.Trim(row, "|"), "|")
			require.Len(t, cells, 3, row)
			room := quoted.FindStringSubmatch(cells[0])
			require.NotNil(t, room, row)
			may[room[1]] = []string{}
			for _, sibling := range quoted.FindAllStringSubmatch(cells[2], -1) {
				may[room[1]] = append(may[room[1]], path.Join(foldersWithRooms[i], sibling[1]))
			}
		}
	}
	return may
}

// writers are what lets the clients of Atlassian's APIs write: mere clients read.
var writers = []string{
	"organization.NewWriter", "organization.Writer", "account.NewWriter", "account.Writer", "scim.NewWriter", "scim.Writer",
}

// TestOnlyApplyWritesToAtlassian: what lets a client write is named in one room alone.
func TestOnlyApplyWritesToAtlassian(t *testing.T) {
	writes := 0
	for _, file := range sources(t) {
		folder := file.folder()
		if file.test || slices.Contains(whole, folder) || folder == "atlassian" {
			continue
		}
		found := uses(file, writers, false)
		if path.Dir(file.path) == "activities/apply" {
			writes += len(found)
			continue
		}
		require.Empty(t, found, "only activities/apply writes to Atlassian")
	}
	require.NotZero(t, writes, "the writer has another name now")
}

// TestOnlyActCallsActivities: how an activity is called is said once.
func TestOnlyActCallsActivities(t *testing.T) {
	calls := 0
	for _, file := range sources(t) {
		if file.folder() != "workflows" || file.test {
			continue
		}
		found := uses(file, []string{"workflow.ExecuteActivity", "workflow.WithActivityOptions"}, false)
		if path.Dir(file.path) == "workflows/internal/act" {
			calls += len(found)
			continue
		}
		require.Empty(t, found, "give workflows/internal/act a function for it")
	}
	require.NotZero(t, calls, "activities are called in another way now")
}

// mostFiles is how many files a package has at one level before it is split into rooms.
const mostFiles = 25

// TestPackagesAreSmall: the ledger's transaction holds it together, and the five workflows read as five specifications.
func TestPackagesAreSmall(t *testing.T) {
	files := map[string]int{}
	for _, file := range sources(t) {
		if _, product := mayImport[file.folder()]; product && !file.test && file.folder() != "simulator" &&
			!slices.Contains([]string{"ledger", "workflows"}, path.Dir(file.path)) {
			files[path.Dir(file.path)]++
		}
	}
	for _, folder := range slices.Sorted(maps.Keys(files)) {
		require.LessOrEqual(t, files[folder], mostFiles, folder)
	}
}

// mostLines is how many lines a function has before it is split by steps that have names of their own.
const mostLines = 60

// TestFunctionsAreShort: a function can be read without scrolling. Tables are as long as what they list.
func TestFunctionsAreShort(t *testing.T) {
	for _, file := range sources(t) {
		if file.test {
			continue
		}
		for _, declared := range file.tree.Decls {
			if f, is := declared.(*ast.FuncDecl); is && f.Body != nil && !file.isTable(f.Body) {
				require.LessOrEqual(t, file.lines(f), mostLines, "%s: %s", file.position(f.Pos()), f.Name.Name)
			}
		}
	}
}

func (s source) lines(n ast.Node) int {
	return s.set.Position(n.End()).Line - s.set.Position(n.Pos()).Line + 1
}

// isTable reports whether a function does nothing but return a literal without functions in it, or switch between cases
// of one line.
func (s source) isTable(body *ast.BlockStmt) bool {
	if len(body.List) != 1 {
		return false
	}
	switch only := body.List[0].(type) {
	case *ast.ReturnStmt:
		if len(only.Results) != 1 {
			return false
		}
		_, literal := only.Results[0].(*ast.CompositeLit)
		ast.Inspect(only, func(n ast.Node) bool {
			_, function := n.(*ast.FuncLit)
			literal = literal && !function
			return literal
		})
		return literal
	case *ast.SwitchStmt:
		return !slices.ContainsFunc(only.Body.List, func(c ast.Stmt) bool { return s.lines(c) > 2 })
	}
	return false
}

type source struct {
	path string // relative to the repository's root
	test bool
	set  *token.FileSet
	tree *ast.File
}

func (s source) folder() string {
	if !strings.Contains(s.path, "/") {
		return "."
	}
	return placeOf(path.Dir(s.path))
}

// placeOf returns the folder whose row is that of a package: its own where it has one, otherwise the first of its path.
func placeOf(pkg string) string {
	if _, own := mayImport[pkg]; own {
		return pkg
	}
	first, _, _ := strings.Cut(pkg, "/")
	return first
}

func (s source) position(at token.Pos) string {
	return s.path + ":" + strconv.Itoa(s.set.Position(at).Line)
}

// sources returns every Go file of the product's module.
func sources(t *testing.T) []source {
	t.Helper()
	found, err := parsed()
	require.NoError(t, err)
	require.NotEmpty(t, found)
	return found
}

// parsed parses them, once for all tests, which only read what it returns.
var parsed = sync.OnceValues(func() (found []source, err error) {
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			// tools is a module of its own; the others hold no source of ours.
			if name != "." && strings.HasPrefix(name, ".") || slices.Contains([]string{"bin", "dist", "tools"}, name) ||
				entry.Name() == "testdata" {
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
		found = append(found, source{path: filepath.ToSlash(name), test: strings.HasSuffix(name, "_test.go") ||
			filepath.Base(filepath.Dir(name)) == harness, set: set, tree: tree})
		return nil
	})
	return found, err
})
