package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRunbookHasASectionForEverythingThatOpsSee holds the headings of each chapter to what the code knows, in both
// directions.
func TestRunbookHasASectionForEverythingThatOpsSee(t *testing.T) {
	text, code := string(read(t, "docs/runbook.md")), known(t)
	for title, want := range map[string]names{
		"Organization states": code.organization, "Problems": code.problems, "Holds": code.guard,
		"Findings": code.findings,
		"Grants":   code.grants, "Reviews": code.reviews, "Notices": code.notices, "Refusals": code.refusals,
	} {
		require.Greater(t, len(want), 5, "%s: the test does not find them in the code any more", title)
		require.ElementsMatch(t, want.all(), matches(chapter(t, text, title), "(?m)^###+ `([^`]+)`$"), title)
	}
	runs, changes, _ := strings.Cut(chapter(t, text, "Runs and changes"), "starter plan --run")
	_, items, _ := strings.Cut(chapter(t, text, "Reviews"), "Outcomes of items")
	row := "(?m)^\\| `([^`]+)` \\|"
	require.ElementsMatch(t, code.runs.all(), matches(runs, row), "states of runs")
	require.ElementsMatch(t, code.changes.all(), matches(changes, row), "states of changes")
	require.ElementsMatch(t, code.outcomes.all(), matches(items, row), "outcomes of items")
}

// TestRunbookMarksAlertsAndRefusals: a section says whether its finding is told at once, and whether it refuses a
// policy.
func TestRunbookMarksAlertsAndRefusals(t *testing.T) {
	code, findings := known(t), chapter(t, string(read(t, "docs/runbook.md")), "Findings")
	require.Greater(t, len(code.alerts), 5)
	require.Greater(t, len(code.blocks), 5)
	for name := range code.findings {
		_, section, found := strings.Cut(findings, "### `"+name+"`\n")
		require.True(t, found, name)
		section, _, _ = strings.Cut(section, "\n### ")
		require.Equal(t, code.alerts[name], strings.Contains(section, "**Alert.**"), "%s: is it told at once?", name)
		require.Equal(t, code.blocks[name], strings.Contains(section, "**Refuses apply.**"),
			"%s: does it refuse a policy?", name)
	}
}

func matches(text, pattern string) (all []string) {
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	return all
}

type names map[string]bool

func (n names) all() []string { return slices.Sorted(maps.Keys(n)) }

// shownNames is every name that the product's code shows to ops.
type shownNames struct {
	organization, problems, guard, findings, grants, reviews, notices, refusals names
	runs, changes, outcomes, alerts, blocks                                     names
}

// known reads the vocabulary from the source: from constants by the comment over them, their type or their name, and
// findings from where they are made.
func known(t *testing.T) shownNames {
	t.Helper()
	v := shownNames{
		names{}, names{"Timeout": true, "Error": true}, names{}, names{}, names{}, names{}, names{}, names{},
		names{}, names{}, names{}, names{}, names{},
	}
	for _, folder := range []string{"access", "messages", "policy", "plan", "identity", "activities", "workflows"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
			if err == nil {
				ast.Inspect(file, func(n ast.Node) bool { v.take(folder, n); return true })
			}
			return err
		})
		require.NoError(t, err)
	}
	return v
}

func (v shownNames) take(folder string, n ast.Node) {
	switch n := n.(type) {
	case *ast.GenDecl:
		if n.Tok == token.CONST {
			for _, spec := range n.Specs {
				v.constants(folder, n.Doc.Text(), spec.(*ast.ValueSpec))
			}
		} else if n.Tok == token.VAR {
			for _, spec := range n.Specs {
				if s := spec.(*ast.ValueSpec); s.Names[0].Name == "alerts" {
					ast.Inspect(s, func(n ast.Node) bool { v.alerts.add(n); return true })
				}
			}
		}
	case *ast.CallExpr: // find("rule", subject, blocks, …), say("rule", …), differ("rule", …)
		if name := called(n); folder != "plan" && (name == "find" || name == "say" || name == "differ") &&
			len(n.Args) > 1 && v.findings.add(n.Args[0]) && name == "find" {
			if blocks, constant := n.Args[2].(*ast.Ident); constant && blocks.Name == "true" {
				v.blocks.add(n.Args[0])
			}
		}
	case *ast.CompositeLit: // Finding{Rule: "rule", Blocks: true}
		rule, blocks := ast.Expr(nil), false
		for _, e := range n.Elts {
			if pair, keyed := e.(*ast.KeyValueExpr); keyed {
				switch key, _ := pair.Key.(*ast.Ident); {
				case key == nil:
				case key.Name == "Rule":
					rule = pair.Value
				case key.Name == "Blocks":
					blocks = true
				}
			}
		}
		if rule != nil && v.findings.add(rule) && blocks {
			v.blocks.add(rule)
		}
	case *ast.AssignStmt: // rule = "…"
		if to, named := n.Lhs[0].(*ast.Ident); named && to.Name == "rule" && folder != "plan" {
			v.findings.add(n.Rhs[0])
		}
	}
}

// constants sorts one constant by what names it.
func (v shownNames) constants(folder, doc string, s *ast.ValueSpec) {
	if len(s.Values) == 0 {
		return
	}
	kind, _ := s.Type.(*ast.Ident)
	name, has := s.Names[0].Name, func(prefix string) bool { return strings.HasPrefix(s.Names[0].Name, prefix) }
	var into names
	switch {
	case kind != nil && kind.Name == "ChangeState":
		into = v.changes
	case kind != nil && kind.Name == "Outcome":
		into = v.outcomes
	case folder == "identity" && kind != nil && kind.Name == "Hold":
		into = v.guard
	case folder == "identity" && kind != nil && kind.Name == "Finding":
		into = v.findings
	case kind != nil:
		return
	case folder == "messages" && strings.HasPrefix(doc, "The states of an organization"):
		into = v.organization
	case folder == "messages" && strings.HasPrefix(doc, "The states of a grant"):
		into = v.grants
	case folder == "messages" && strings.HasPrefix(doc, "The phases of a review"):
		into = v.reviews
	case folder == "messages" && strings.HasPrefix(doc, "The states of a run"):
		into = v.runs
	case folder == "plan" && has("Rule"):
		into = v.guard
	case folder == "policy" && has("Refused"):
		into = v.refusals
	case folder == "activities" && has("Notice"):
		into = v.notices
	case folder == "activities" && has("Err"), folder == "messages" && name == "Renewing":
		into = v.problems
	case folder == "activities" && name == "NameFound":
		into = v.findings
	default:
		return
	}
	into.add(s.Values[0])
}

// add takes a literal in, and reports whether there was one: the text that a name has, and no sentence.
func (n names) add(node ast.Node) bool {
	literal, is := node.(*ast.BasicLit)
	if !is || literal.Kind != token.STRING {
		return false
	}
	text, err := strconv.Unquote(literal.Value)
	if err != nil || !regexp.MustCompile(`^([A-Z][A-Za-z]+|[a-z]+([ -][a-z]+)*)$`).MatchString(text) {
		return false
	}
	n[text] = true
	return true
}

func called(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}
