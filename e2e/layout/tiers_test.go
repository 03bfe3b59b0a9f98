package layout_test

import (
	"go/ast"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestWhatIsSkippedForShortRunsInCheck: make test runs with -short. What is skipped or shortened by that in end-to-end
// tests runs in full by test-shipped, and beside the code by test-large, both of which make check runs.
func TestWhatIsSkippedForShortRunsInCheck(t *testing.T) {
	shipped := strings.Fields(makeVariable(t, "SHIPPED"))
	require.NotEmpty(t, shipped)
	for _, target := range []string{"test-shipped", "test-large"} {
		require.NotContains(t, recipe(t, target), "-short", target)
		require.Regexp(t, `(?m)^\s*step `+target+`$`, read(t, "scripts/check"))
	}
	long, short := 0, 0
	for _, file := range sources(t) {
		folder := path.Dir(file.path)
		for _, declared := range file.tree.Decls {
			f, is := declared.(*ast.FuncDecl)
			if !is || folder == "e2e/suite" {
				continue
			}
			within := source{path: file.path, set: file.set, tree: &ast.File{Imports: file.tree.Imports,
				Decls: []ast.Decl{f}, Name: file.tree.Name}}
			skips, asks := uses(within, []string{"suite.Long"}, false), uses(within, []string{"testing.Short"}, false)
			long, short = long+len(skips), short+len(asks)
			switch {
			case len(skips)+len(asks) == 0:
			case strings.HasPrefix(folder, "e2e/"):
				require.Contains(t, shipped, "./"+folder, "%s: test-shipped does not run it", file.position(f.Pos()))
				require.False(t, strings.HasPrefix(f.Name.Name, "TestCampaign"), "%s: test-shipped skips campaigns",
					file.position(f.Pos()))
			default:
				require.Empty(t, skips, "it is for end-to-end tests")
				require.Regexp(t, `^Test`, f.Name.Name,
					"%s: test-large finds what asks for -short in tests themselves", file.position(f.Pos()))
			}
		}
	}
	require.NotZero(t, long, "end-to-end tests are left to make check in another way now")
	require.NotZero(t, short, "tests beside the code are, too")
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	require.NoError(t, err)
	return string(text)
}

// makeVariable returns what the Makefile says that a variable is.
func makeVariable(t *testing.T, name string) string {
	t.Helper()
	found := regexp.MustCompile(`(?m)^` + name + ` \??= (.*)$`).FindStringSubmatch(read(t, "Makefile"))
	require.NotNil(t, found, "the Makefile has no variable %s", name)
	return found[1]
}

// recipe returns the lines that the Makefile runs for a target.
func recipe(t *testing.T, target string) string {
	t.Helper()
	found := regexp.MustCompile(`(?m)^` + target + `:.*\n((?:\t.*\n)+)`).FindStringSubmatch(read(t, "Makefile"))
	require.NotNil(t, found, "the Makefile has no target %s", target)
	return found[1]
}
