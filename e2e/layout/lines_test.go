package layout_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

const (
	mostColumns = 120
	tabColumns  = 4
)

// TestLinesFit: what is inside string literals does not count, so that a message stays in one piece and can be
// searched for.
func TestLinesFit(t *testing.T) {
	var found []string
	for _, file := range sources(t) {
		text, err := os.ReadFile(filepath.Join(root, file.path))
		require.NoError(t, err)
		found = append(found, tooLong(file, string(text))...)
	}
	require.Empty(t, found, "more than %d columns", mostColumns)
}

// TestTooLong shows that the check above finds what it looks for.
func TestTooLong(t *testing.T) {
	comment := "// " + strings.Repeat("ü", mostColumns-3)
	code := "package p\n" + comment + "\nvar a = `" + strings.Repeat("x", mostColumns) + "`\n" + comment + "+\n" +
		"func f() {\n\t\t\t_ = `two\nlines` + \"\" // " + strings.Repeat("x", mostColumns-len(` +  // `)) + "+\n}\n"
	set := token.NewFileSet()
	tree, err := parser.ParseFile(set, "p.go", code, parser.SkipObjectResolution)
	require.NoError(t, err)
	require.Equal(t, []string{"p.go:4", "p.go:7"}, tooLong(source{path: "p.go", set: set, tree: tree}, code))
}

// tooLong lists the lines that have too many columns outside of string literals.
func tooLong(file source, text string) []string {
	code := []byte(text)
	ast.Inspect(file.tree, func(n ast.Node) bool {
		if literal, is := n.(*ast.BasicLit); is && literal.Kind == token.STRING {
			start := file.set.Position(literal.Pos()).Offset
			for i := range literal.Value {
				if code[start+i] != '\n' {
					code[start+i] = 0
				}
			}
		}
		return true
	})
	var found []string
	at := file.set.File(file.tree.FileStart)
	for i, line := range strings.Split(string(code), "\n") {
		line = strings.ReplaceAll(strings.ReplaceAll(line, "\x00", ""), "\t", strings.Repeat(" ", tabColumns))
		if utf8.RuneCountInString(line) > mostColumns {
			found = append(found, file.position(at.LineStart(i+1)))
		}
	}
	return found
}
