package policy

import (
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
)

// needs are what a condition asks for beyond what every read shows.
type needs struct {
	groups    []string // named in in() and inAny()
	spans     []string // given to helpers as they are
	apps      []string // named in inactive(), lastActive() and neverUsed()
	anyGroup  bool     // it looks at the whole list, or at names that it computes
	activity  bool     // when apps were used
	outside   bool     // which domains are the organization's own
	comprises bool     // it goes through lists: only such conditions can be costly
}

func (n *needs) app(arg ast.Expr) {
	if name, is := text(arg); is && !slices.Contains(n.apps, name) {
		n.apps = append(n.apps, name)
	}
}

// and is what two conditions ask for.
func (n needs) and(o needs) needs {
	return needs{
		groups: slices.Concat(n.groups, o.groups), spans: slices.Concat(n.spans, o.spans), apps: slices.Concat(n.apps, o.apps),
		anyGroup: n.anyGroup || o.anyGroup, activity: n.activity || o.activity, outside: n.outside || o.outside, comprises: n.comprises || o.comprises,
	}
}

// needsOf reads a checked condition.
func needsOf(checked *cel.Ast) needs {
	var n needs
	literals := func(args []ast.Expr) {
		for _, arg := range args {
			if arg.Kind() == ast.ListKind {
				args = arg.AsList().Elements()
			}
		}
		for _, arg := range args {
			if arg.Kind() != ast.LiteralKind {
				n.anyGroup = true
			} else if name, is := arg.AsLiteral().(types.String); is && !slices.Contains(n.groups, string(name)) {
				n.groups = append(n.groups, string(name))
			}
		}
	}
	ast.PreOrderVisit(checked.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() {
		case ast.ComprehensionKind:
			n.comprises = true
		case ast.IdentKind:
			switch e.AsIdent() {
			case "groups", "sources":
				n.anyGroup = true
			case "apps":
				n.activity = true
			case "external":
				n.outside = true
			}
		case ast.CallKind:
			call := e.AsCall()
			switch name := call.FunctionName(); name {
			case inStandIn, "inAny":
				literals(call.Args())
			case "lastActive", "neverUsed":
				n.activity = true
				n.app(call.Args()[0])
			case "inactive", "addedWithin":
				n.activity = n.activity || name == "inactive"
				if len(call.Args()) > 1 {
					n.app(call.Args()[1])
				}
				if written, is := text(call.Args()[0]); is {
					n.spans = append(n.spans, written)
				}
			}
		}
	}))
	return n
}
