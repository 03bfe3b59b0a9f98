package display_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestNothingIsPrintedRoundThisPackage reads the product's source: only this package builds commands, and all output
// goes through it.
func TestNothingIsPrintedRoundThisPackage(t *testing.T) {
	printers := map[string][]string{ // folders, and what fmt may print in them
		"starter":   {`fmt.Fprintln(table, "`}, // the heads of tables
		"workflows": nil,
		"demo": {`fmt.Fprintf(s.w, `, `fmt.Fprintln(table, "`, `fmt.Fprintf(table, "%s\t%d`,
			`fmt.Fprintln(s.w, "failed")`, `fmt.Fprintf(os.Stderr, "\n\ndemo: `, `fmt.Println("\nstopped`},
	}
	commands := []string{"temporal workflow", "temporal schedule"}
	seen := 0
	require.NoError(t, filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		folder := strings.Split(filepath.ToSlash(strings.TrimPrefix(path, "../")), "/")[0]
		switch {
		case entry.IsDir() && slices.Contains([]string{"bin", "dist", "tools", "simulator", "e2e", "display", ".git"},
			folder):
			return filepath.SkipDir
		case entry.IsDir(), filepath.Ext(path) != ".go", strings.HasSuffix(path, "_test.go"):
			return nil
		}
		seen++
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch is := n.(type) {
			case *ast.BasicLit:
				text, err := strconv.Unquote(is.Value)
				if is.Kind != token.STRING || err != nil {
					return true
				}
				for _, command := range commands {
					require.NotContains(t, text, command, "%s: build it with display", set.Position(is.Pos()))
				}
			case *ast.CallExpr:
				allowed, watched := printers[folder]
				call := source(t, set, path, is)
				if watched && (strings.HasPrefix(call, "fmt.Fprint") || strings.HasPrefix(call, "fmt.Print")) {
					require.True(t, slices.ContainsFunc(allowed,
						func(ok string) bool { return strings.HasPrefix(call, ok) }), "%s: %s: print it with display",
						set.Position(is.Pos()), call)
				}
				if watched && strings.HasPrefix(call, "workflow.SetCurrentDetails(") {
					require.Regexp(t, `display\.|details\(|page\.String\(\)|describeFindings`, call,
						"%s: make it with display.Page", set.Position(is.Pos()))
				}
			case *ast.KeyValueExpr:
				if key, ok := is.Key.(*ast.Ident); ok && slices.Contains([]string{"StaticSummary", "StaticDetails"},
					key.Name) {
					if _, plain := is.Value.(*ast.BasicLit); !plain {
						value := source(t, set, path, is.Value)
						require.True(t, strings.HasPrefix(value, "display.") ||
							strings.HasPrefix(value, `"keeps access in organization "`),
							"%s: make it with display.Summary", set.Position(is.Pos()))
					}
				}
			}
			return true
		})
		return nil
	}))
	require.Greater(t, seen, 200)
}

var texts = map[string][]byte{}

// source returns the source of a node.
func source(t *testing.T, set *token.FileSet, path string, n ast.Node) string {
	t.Helper()
	text, known := texts[path]
	if !known {
		var err error
		text, err = os.ReadFile(path)
		require.NoError(t, err)
		texts[path] = text
	}
	from, to := set.Position(n.Pos()).Offset, set.Position(n.End()).Offset
	return string(text[from:to])
}
