package condition

import (
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/castellan-io/castellan/access"
)

// quick is a part of a condition that must be true for the whole to be: whatever stands beside it, if it is false, so
// is the condition. Most rules say no to most people by such a part, and asking it takes a hundredth of asking them in
// full.
type quick struct {
	groups  []constant // the person is in one of these
	fact    string     // or this fact is so
	is      ref.Val
	negated bool // or is not
}

// constant is a text of a condition, readied.
type constant struct{ text, folded string }

// quicks finds such parts: operands of the outermost && that ask for groups by name or compare one fact with one value.
func quicks(checked *cel.Ast) []quick {
	var found []quick
	var look func(e ast.Expr)
	look = func(e ast.Expr) {
		if e.Kind() == ast.CallKind && e.AsCall().FunctionName() == operators.LogicalAnd {
			for _, arg := range e.AsCall().Args() {
				look(arg)
			}
			return
		}
		if q, is := quickOf(e); is {
			found = append(found, q)
		}
	}
	look(checked.NativeRep().Expr())
	return found
}

func quickOf(e ast.Expr) (quick, bool) {
	if e.Kind() == ast.IdentKind {
		return quick{fact: e.AsIdent(), is: types.True}, true
	}
	if e.Kind() != ast.CallKind {
		return quick{}, false
	}
	call := e.AsCall()
	args := call.Args()
	switch call.FunctionName() {
	case operators.LogicalNot:
		return quick{fact: args[0].AsIdent(), is: types.True, negated: true}, args[0].Kind() == ast.IdentKind
	case operators.Equals, operators.NotEquals:
		left, right := args[0], args[1]
		if right.Kind() == ast.IdentKind {
			left, right = right, left
		}
		if left.Kind() != ast.IdentKind || right.Kind() != ast.LiteralKind {
			return quick{}, false
		}
		return quick{fact: left.AsIdent(), is: right.AsLiteral(), negated: call.FunctionName() == operators.NotEquals},
			true
	case "inAny":
		if args[0].Kind() != ast.ListKind {
			return quick{}, false
		}
		args = args[0].AsList().Elements()
	case inStandIn:
	default:
		return quick{}, false
	}
	var q quick
	for _, arg := range args {
		name, is := text(arg)
		if !is {
			return quick{}, false
		}
		q.groups = append(q.groups, constant{name, access.Fold(name)})
	}
	return q, true
}

func text(e ast.Expr) (string, bool) {
	if e.Kind() != ast.LiteralKind {
		return "", false
	}
	s, is := e.AsLiteral().(types.String)
	return string(s), is
}

// no reports whether the part is known to be false.
func (q quick) no(s *Subject) bool {
	if q.fact == "" {
		for _, g := range q.groups {
			if in, err := s.inFolded(g.text, g.folded); in || err != nil {
				return false
			}
		}
		return true
	}
	value, _ := s.ResolveName(q.fact)
	fact, is := value.(ref.Val)
	if !is || types.IsUnknownOrError(fact) {
		return false
	}
	return (fact.Equal(q.is) == types.True) == q.negated
}

// Constants are the texts of a condition that helpers are called with, readied once: reading them anew for each person
// would take most of the time.
type Constants struct {
	groups map[string]string        // folded
	spans  map[string]time.Duration // parsed
}

// ConstantsOf gathers the texts of conditions.
func ConstantsOf(all []*Condition) Constants {
	c := Constants{groups: map[string]string{}, spans: map[string]time.Duration{}}
	for _, condition := range all {
		for _, name := range condition.Needs.Groups {
			c.groups[strings.Clone(name)] = access.Fold(name)
		}
		for _, written := range condition.Needs.spans {
			if span, err := spanOf(written); err == nil {
				c.spans[written] = span
			}
		}
	}
	return c
}
