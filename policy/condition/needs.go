package condition

import (
	"maps"
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
)

// Needs are what a condition asks for beyond what every read shows.
type Needs struct {
	Groups    []string       // named in in() and inAny()
	spans     []string       // given to helpers as they are
	Apps      []string       // named in inactive(), lastActive() and neverUsed()
	Granted   []string       // named in granted()
	AnyGroup  bool           // it looks at the whole list, or at names that it computes
	Activity  bool           // when apps were used
	Outside   bool           // which domains are the organization's own
	Grants    bool           // which grants are in force
	Roles     bool           // which platform roles the person has
	Sources   map[string]int // named in identified() and attribute(): characters of the text before the first mention
	Comprises bool           // it goes through lists: only such conditions can be costly
	patterns  map[string]int // its regular expressions, with their steps
	Steps     int            // of all of them together
}

// And returns what two conditions ask for.
func (n Needs) And(o Needs) Needs {
	return Needs{
		Groups: slices.Concat(n.Groups, o.Groups), spans: slices.Concat(n.spans, o.spans),
		Apps:    slices.Concat(n.Apps, o.Apps),
		Granted: slices.Concat(n.Granted, o.Granted), Grants: n.Grants || o.Grants, Roles: n.Roles || o.Roles,
		AnyGroup: n.AnyGroup || o.AnyGroup, Activity: n.Activity || o.Activity, Outside: n.Outside ||
			o.Outside, Comprises: n.Comprises || o.Comprises, Sources: joined(n.Sources, o.Sources),
	}
}

func joined(a, b map[string]int) map[string]int {
	if a = maps.Clone(a); a == nil {
		return b
	}
	maps.Copy(a, b)
	return a
}

// costly reports whether one evaluation may take many steps, which are then counted: what a source says may be long.
func (n Needs) costly() bool { return n.Comprises || len(n.Sources) > 0 }

// needsOf reads a checked condition.
func needsOf(checked *cel.Ast, condition string) Needs {
	var n Needs
	ast.PreOrderVisit(checked.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() {
		case ast.ComprehensionKind:
			n.Comprises = true
		case ast.IdentKind:
			n.variable(e.AsIdent())
		case ast.CallKind:
			n.pattern(e)
			n.call(e.AsCall())
			n.source(e.AsCall(), func(id int64) int {
				return Offset(condition, checked.NativeRep().SourceInfo().GetStartLocation(id))
			})
		}
	}))
	return n
}

func (n *Needs) variable(name string) {
	switch name {
	case "groups", "sources":
		n.AnyGroup = true
	case "apps":
		n.Activity = true
	case "external":
		n.Outside = true
	case "roles":
		n.Roles = true
	case "sponsor":
		n.Grants = true
	}
}

func (n *Needs) call(call ast.CallExpr) {
	args := call.Args()
	switch name := call.FunctionName(); name {
	case inStandIn, "inAny":
		n.groups(args)
	case "granted":
		n.Grants = true
		if target, is := text(args[0]); is {
			n.Granted = append(n.Granted, target)
		}
	case "lastActive", "neverUsed":
		n.Activity = true
		n.app(args[0])
	case "inactive", "addedWithin":
		n.Activity = n.Activity || name == "inactive"
		if len(args) > 1 {
			n.app(args[1])
		}
		if written, is := text(args[0]); is {
			n.spans = append(n.spans, written)
		}
	}
}

// source notes the identity source that a call asks for.
func (n *Needs) source(call ast.CallExpr, placeOf func(id int64) int) {
	if name := call.FunctionName(); name != "identified" && name != "attribute" {
		return
	}
	name, _ := text(call.Args()[0])
	if n.Sources == nil {
		n.Sources = map[string]int{}
	}
	at := placeOf(call.Args()[0].ID())
	if before, again := n.Sources[name]; !again || at < before {
		n.Sources[name] = at
	}
}

// pattern notes the regular expression of a call, if it has one that is written out.
func (n *Needs) pattern(call ast.Expr) {
	pattern, is := patternOf(call)
	if !is {
		return
	}
	written, is := text(pattern)
	if !is {
		return
	}
	if n.patterns == nil {
		n.patterns = map[string]int{}
	}
	size, _ := PatternSize(written)
	n.patterns[written] = size
	n.Steps += size
}

// groups notes the groups that are named in arguments, or in the list that is one of them.
func (n *Needs) groups(args []ast.Expr) {
	for _, arg := range args {
		if arg.Kind() == ast.ListKind {
			args = arg.AsList().Elements()
		}
	}
	for _, arg := range args {
		if arg.Kind() != ast.LiteralKind {
			n.AnyGroup = true
		} else if name, is := arg.AsLiteral().(types.String); is && !slices.Contains(n.Groups, string(name)) {
			n.Groups = append(n.Groups, string(name))
		}
	}
}

func (n *Needs) app(arg ast.Expr) {
	if name, is := text(arg); is && !slices.Contains(n.Apps, name) {
		n.Apps = append(n.Apps, name)
	}
}
