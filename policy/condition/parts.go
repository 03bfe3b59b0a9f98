package condition

import (
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
)

// Part is an operand of the outermost && of a condition.
type Part struct {
	Text      string
	Condition *Condition
	Facts     []string // that it asks for
}

// Parts takes a condition apart. What cannot be written out again is left out.
func Parts(c *Condition) []Part {
	standard, err := standIn(c.Text)
	if err != nil {
		return nil
	}
	checked, issues := environment().Compile(standard)
	if issues.Err() != nil {
		return nil
	}
	var parts []Part
	var take func(e ast.Expr)
	take = func(e ast.Expr) {
		if e.Kind() == ast.CallKind && e.AsCall().FunctionName() == operators.LogicalAnd {
			for _, arg := range e.AsCall().Args() {
				take(arg)
			}
			return
		}
		text, err := cel.ExprToString(e, checked.NativeRep().SourceInfo())
		if err != nil {
			return
		}
		text = standsIn.ReplaceAllString(text, "in")
		condition, err := Compile(text)
		if err != nil {
			return
		}
		p := Part{Text: text, Condition: condition}
		ast.PreOrderVisit(e, ast.NewExprVisitor(func(e ast.Expr) {
			if e.Kind() != ast.IdentKind || slices.Contains(p.Facts, e.AsIdent()) {
				return
			}
			for _, f := range factTypes {
				if f.name == e.AsIdent() {
					p.Facts = append(p.Facts, f.name)
				}
			}
		}))
		parts = append(parts, p)
	}
	take(checked.NativeRep().Expr())
	return parts
}
