package layout_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What a replay would answer differently, beyond what workflowcheck sees.
var nondeterministic = []string{
	"os.Getenv", "os.LookupEnv", "os.Environ", "os.ReadFile",
	"time.Now", "time.Since", "time.Until", "time.Sleep", "time.After", "time.AfterFunc", "time.NewTimer",
	"time.NewTicker", "time.Tick",
	"rand.Int", "rand.IntN", "rand.Float64", "rand.Shuffle",
}

func TestWorkflowsAreDeterministic(t *testing.T) {
	seen := 0
	for _, file := range sources(t) {
		if file.folder() != "workflows" || file.test {
			continue
		}
		seen++
		require.Empty(t, uses(file, nondeterministic, true),
			"workflow code takes time, settings and goroutines from the workflow package")
	}
	require.NotZero(t, seen, "no workflow code was found")
}

func TestTestsNeitherSleepNorGoOnAfterAFailure(t *testing.T) {
	for _, file := range sources(t) {
		if !file.test {
			continue
		}
		require.Empty(t, uses(file, []string{"time.Sleep"}, false),
			"poll with a deadline (require.Eventually) or use the test environment's clock")
		for _, spec := range file.tree.Imports {
			require.NotEqual(t, `"github.com/stretchr/testify/assert"`, spec.Path.Value, "%s: use require",
				file.position(spec.Pos()))
		}
	}
}

// TestUses shows that the check above finds what it looks for, through renamed imports too.
func TestUses(t *testing.T) {
	const code = `package p
import (
	clock "time"
	"os"
)
var now = clock.Now
func f() { go f(); _ = os.Getenv("X"); _ = clock.Second }
`
	set := token.NewFileSet()
	tree, err := parser.ParseFile(set, "p.go", code, parser.SkipObjectResolution)
	require.NoError(t, err)
	file := source{path: "p.go", set: set, tree: tree}
	require.ElementsMatch(t, []string{"p.go:6: time.Now", "p.go:7: os.Getenv", "p.go:7: go statement"},
		uses(file, nondeterministic, true))
	require.Equal(t, []string{"p.go:6: time.Now"}, uses(file, []string{"time.Now"}, false))
}

// uses lists where the file mentions one of the qualified names, or starts a goroutine.
func uses(file source, names []string, goroutines bool) []string {
	packages := make(map[string]string) // the name in this file → the last part of the import path
	for _, spec := range file.tree.Imports {
		path, _ := strconv.Unquote(spec.Path.Value)
		path = strings.TrimSuffix(path, "/v2") // math/rand/v2
		last := path[strings.LastIndex(path, "/")+1:]
		local := last
		if spec.Name != nil {
			local = spec.Name.Name
		}
		packages[local] = last
	}
	forbidden := make(map[string]bool, len(names))
	for _, name := range names {
		forbidden[name] = true
	}
	var found []string
	ast.Inspect(file.tree, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.GoStmt:
			if goroutines {
				found = append(found, file.position(node.Pos())+": go statement")
			}
		case *ast.SelectorExpr:
			if pkg, ok := node.X.(*ast.Ident); ok && packages[pkg.Name] != "" {
				if name := packages[pkg.Name] + "." + node.Sel.Name; forbidden[name] {
					found = append(found, file.position(node.Pos())+": "+name)
				}
			}
		}
		return true
	})
	return found
}
