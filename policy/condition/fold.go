package condition

import (
	"regexp"
	"regexp/syntax"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"

	"github.com/castellan-io/castellan/access"
)

// A condition compares with facts whose letters are composed, and whose addresses and domains are in lower case and in
// letters, not in punycode. So its texts are put into the same form, whatever side of a comparison they stand on.

// textKind is what a text of a condition is compared with.
type textKind int

const (
	textUnknown textKind = iota // it cannot be told: what is a domain or an address from end to end is taken for one
	textItself                  // a name of a group, or another fact: it means itself
	textPattern                 // an address or a domain, as a regular expression
	textAddress                 // an address or a domain
)

// addressFacts are the facts that are an address or a domain.
var addressFacts = map[string]bool{"domain": true, "email": true, "sponsor": true}

var (
	ofMail   = regexp.MustCompile(`^(?:[^@\s]*@)?(?:\\*\.)?(?:[\pL\pN-]+\\*\.)*[\pL\pN-]+\$?$`)
	punycode = regexp.MustCompile(`(?i)\bxn--[a-z0-9-]+`)
)

// foldTexts puts the texts of a condition into the form of the facts that they are compared with.
func foldTexts(parsed *cel.Ast) {
	f := folder{map[int64]textKind{}}
	root := parsed.NativeRep().Expr()
	f.visit(nil, root)
	factory := ast.NewExprFactory()
	ast.PreOrderVisit(root, ast.NewExprVisitor(func(e ast.Expr) {
		if written, is := text(e); is {
			e.SetKindCase(factory.NewLiteral(e.ID(), types.String(f.kinds[e.ID()].fold(written))))
		}
	}))
}

// fold returns a text in the form of what it is compared with.
func (k textKind) fold(text string) string {
	switch {
	case k == textAddress: // whose folding takes care of letters that composing would turn into others
		if text = access.FoldAddress(text); !strings.Contains(text, "@") {
			text = access.FoldDomain(text)
		}
		return punycode.ReplaceAllStringFunc(text, access.FoldDomain)
	case k == textPattern:
		return foldPattern(text)
	}
	text = access.Compose(text)
	if k == textUnknown && strings.ContainsAny(text, "@.") && ofMail.MatchString(text) {
		return punycode.ReplaceAllStringFunc(text, access.FoldDomain)
	}
	return text
}

// foldPattern puts the letters of a regular expression in lower case, but those that are its own, such as \S; no letter
// comes to stand for another that looks like it.
func foldPattern(pattern string) string {
	var out strings.Builder
	for rest := pattern; rest != ""; {
		own := len(regexOwn.FindString(rest))
		next := strings.IndexAny(rest[own:], `\(`)
		if next < 0 {
			next = len(rest[own:])
		} else if own == 0 && next == 0 { // a parenthesis
			next = 1
		}
		out.WriteString(rest[:own])
		for i, part := range strings.Split(rest[own:own+next], "@") { // no part is a whole domain
			out.WriteString(strings.Repeat("@", min(i, 1)) + punycode.ReplaceAllStringFunc(access.FoldAddress(part),
				access.FoldDomain))
		}
		rest = rest[own+next:]
	}
	if _, err := syntax.Parse(out.String(), syntax.Perl); err != nil {
		return access.Compose(pattern) // a range from an upper to a lower letter, for example: it means what it says
	}
	return out.String()
}

// regexOwn is what letters are part of a regular expression's own signs: an escape, or what a group begins with.
var regexOwn = regexp.MustCompile(`^(?:\\[pP](?:[A-Z]|\{[^}]*\})|\\x\{[^}]*\}|\\.|\(\?P?<[^>]*>|\(\?[a-zA-Z-]*[:)])`)

// folder finds what the texts of a condition are compared with.
type folder struct {
	kinds map[int64]textKind // of the texts that were marked
}

// variable is one of exists and the like, within those around it.
type variable struct {
	name    string
	through ast.Expr // the list that it goes through
	kind    textKind // of what is compared with it
	marked  textKind // what the texts of the list are marked as
	outer   *variable
}

// find returns the variable of a name; nil: it is a fact.
func (v *variable) find(name string) *variable {
	for v != nil && v.name != name {
		v = v.outer
	}
	return v
}

func (f folder) visit(within *variable, all ...ast.Expr) {
	for _, e := range all {
		switch e.Kind() {
		case ast.CallKind:
			operands := operandsOf(e)
			f.compare(within, e.AsCall().FunctionName(), operands)
			f.visit(within, operands...)
		case ast.ListKind:
			f.visit(within, e.AsList().Elements()...)
		case ast.SelectKind:
			f.visit(within, e.AsSelect().Operand())
		case ast.ComprehensionKind:
			c := e.AsComprehension()
			f.visit(within, c.IterRange(), c.AccuInit())
			v := &variable{name: c.IterVar(), through: c.IterRange(), kind: f.kindOf(within, c.IterRange()),
				outer: within}
			f.visit(v, c.LoopCondition(), c.LoopStep(), c.Result())
		}
	}
}

// operandsOf returns what a call is made on and its arguments.
func operandsOf(e ast.Expr) []ast.Expr {
	call := e.AsCall()
	if call.IsMemberFunction() {
		return append([]ast.Expr{call.Target()}, call.Args()...)
	}
	return call.Args()
}

// compare marks the texts among what a function compares.
func (f folder) compare(within *variable, function string, operands []ast.Expr) {
	kind := textUnknown
	switch function {
	case operators.Equals, operators.NotEquals, operators.In, overloads.StartsWith, overloads.EndsWith,
		overloads.Contains, overloads.Matches:
		for _, e := range operands {
			kind = max(kind, f.kindOf(within, e))
		}
		if kind == textAddress && function == overloads.Matches {
			f.mark(within, textPattern, operands[len(operands)-1])
			return
		}
	case inStandIn, "inAny", "granted", "inactive", "addedWithin", "lastActive", "neverUsed", "identified", "attribute":
		kind = textItself
	}
	if kind != textUnknown {
		f.mark(within, kind, operands...)
	}
}

// kindOf returns what a text is that is compared with an expression.
func (f folder) kindOf(within *variable, e ast.Expr) textKind {
	kind := textUnknown
	switch e.Kind() {
	case ast.IdentKind:
		name := e.AsIdent()
		switch v := within.find(name); {
		case v != nil:
			return v.kind
		case addressFacts[name]:
			return textAddress
		}
		return textItself
	case ast.ListKind:
		for _, one := range e.AsList().Elements() {
			kind = max(kind, f.kindOf(within, one))
		}
	case ast.SelectKind:
		return f.kindOf(within, e.AsSelect().Operand())
	case ast.CallKind:
		switch call := e.AsCall(); {
		case call.FunctionName() == "attribute":
			return textItself
		case call.FunctionName() == operators.Index:
			return f.kindOf(within, call.Args()[0])
		case joins(e):
			for _, one := range call.Args() {
				kind = max(kind, f.kindOf(within, one))
			}
		}
	}
	return kind
}

// mark notes of the texts that expressions are made of what they are compared with.
func (f folder) mark(within *variable, kind textKind, all ...ast.Expr) {
	for _, e := range all {
		switch e.Kind() {
		case ast.LiteralKind:
			f.kinds[e.ID()] = max(f.kinds[e.ID()], kind)
		case ast.IdentKind:
			if v := within.find(e.AsIdent()); v != nil && v.marked < kind {
				v.marked = kind
				f.mark(v.outer, kind, v.through)
			}
		case ast.ListKind:
			f.mark(within, kind, e.AsList().Elements()...)
		case ast.CallKind:
			if joins(e) {
				f.mark(within, kind, e.AsCall().Args()...)
			}
		}
	}
}

// joins reports whether a call makes a text of its arguments, or takes one of them.
func joins(e ast.Expr) bool {
	name := e.AsCall().FunctionName()
	return name == operators.Add || name == operators.Conditional
}
