// Package attribute is what a policy makes of what an identity provider says of a person, in CEL: the text to
// provision as one attribute, or whether the person is in scope. It is pure.
package attribute

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/ext"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy/condition"
)

// MaxValue is how many bytes the text of one attribute may have.
const MaxValue = 1024

// ErrUnknown is the answer of an expression that needs what the source did not say. It is never "no" and never an
// empty text.
var ErrUnknown = errors.New("the source does not say it")

// Expression is an expression over a person's attributes. It is immutable and safe for concurrent use.
//
// Attributes are known by the source's own names, in any case; attributes["name"] is one whose name is no identifier.
// Beside them there are groups (names), enabled, key, source and attributes, which win over attributes of these names.
// first(a, b, …) is the first that is known and not empty.
type Expression struct {
	text    string
	program cel.Program
}

// String is the expression as the policy writes it.
func (e *Expression) String() string { return e.text }

// CompileValue reads an expression that gives a text.
func CompileValue(text string) (*Expression, error) { return compile(text, cel.StringType) }

// CompileScope reads an expression that is true of whoever is in scope.
func CompileScope(text string) (*Expression, error) { return compile(text, cel.BoolType) }

func compile(text string, wanted *cel.Type) (*Expression, error) {
	if strings.TrimSpace(text) == "" {
		return nil, &condition.Error{Message: "the expression is empty"}
	}
	env := environment()
	parsed, issues := env.Parse(text)
	if issues.Err() == nil {
		env = withAttributes(env, parsed)
		parsed, issues = env.Check(parsed)
	}
	if found := issues.Errors(); len(found) > 0 {
		return nil, &condition.Error{Offset: condition.Offset(text, found[0].Location), Message: found[0].Message}
	}
	given := parsed.OutputType()
	switch {
	case given.IsExactType(wanted), given.IsExactType(cel.DynType):
	case wanted == cel.StringType && (given.Kind() == types.ListKind || given.IsExactType(cel.IntType) ||
		given.IsExactType(cel.BoolType)):
	case wanted == cel.BoolType:
		return nil, &condition.Error{Message: fmt.Sprintf("the scope is %s; write what is true or false", given)}
	default:
		return nil, &condition.Error{Message: fmt.Sprintf("the expression is %s; write one that gives a text", given)}
	}
	program, err := env.Program(parsed, condition.EvaluationBounds(parsed)...)
	if err != nil {
		return nil, &condition.Error{Message: err.Error()}
	}
	return &Expression{text: text, program: program}, nil
}

// environment is the language, without the names of attributes.
var environment = sync.OnceValue(func() *cel.Env {
	env, err := cel.NewEnv(append(condition.Bounds(), firstFunction(), ext.Strings(),
		cel.Variable("groups", cel.ListType(cel.StringType)), cel.Variable("enabled", cel.BoolType),
		cel.Variable("key", cel.StringType), cel.Variable("source", cel.StringType),
		cel.Variable("attributes", cel.MapType(cel.StringType, cel.DynType)))...)
	if err != nil {
		panic("attribute: the language is fixed and always builds: " + err.Error())
	}
	return env
})

// withAttributes declares every other name that the expression uses as an attribute: what a source has is not known
// before it is read.
func withAttributes(env *cel.Env, parsed *cel.Ast) *cel.Env {
	var declared []cel.EnvOption
	seen := map[string]bool{}
	own := map[string]bool{} // the variables of comprehensions
	root := parsed.NativeRep().Expr()
	ast.PreOrderVisit(root, ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() == ast.ComprehensionKind {
			c := e.AsComprehension()
			own[c.IterVar()], own[c.IterVar2()], own[c.AccuVar()] = true, true, true
		}
	}))
	ast.PreOrderVisit(root, ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.IdentKind || seen[e.AsIdent()] || own[e.AsIdent()] || builtIn[e.AsIdent()] {
			return
		}
		seen[e.AsIdent()] = true
		declared = append(declared, cel.Variable(e.AsIdent(), cel.DynType))
	}))
	extended, err := env.Extend(declared...)
	if err != nil {
		return env // the check then says what is wrong
	}
	return extended
}

var builtIn = map[string]bool{"groups": true, "enabled": true, "key": true, "source": true, "attributes": true}

// maxFirst is how many alternatives first may have.
const maxFirst = 8

// firstFunction declares first with one to maxFirst arguments, which may be unknown.
func firstFunction() cel.EnvOption {
	var overloads []cel.FunctionOpt
	for n := 1; n <= maxFirst; n++ {
		overloads = append(overloads, cel.Overload("first_of_"+strconv.Itoa(n), slices.Repeat([]*cel.Type{cel.DynType}, n),
			cel.DynType, cel.OverloadIsNonStrict(), cel.FunctionBinding(first)))
	}
	return cel.Function("first", overloads...)
}

// first is the first value that is known and not empty; an empty text if at least one is known; else the first error.
func first(values ...ref.Val) ref.Val {
	var unknown, empty ref.Val
	for _, v := range values {
		if list, is := v.(traits.Lister); is {
			if list.Size() == types.IntZero {
				v = types.String("")
			} else {
				v = list.Get(types.IntZero)
			}
		}
		switch {
		case types.IsUnknownOrError(v):
			unknown = orElse(unknown, v)
		case v == types.NullValue || v.Equal(types.String("")) == types.True:
			empty = types.String("")
		default:
			return v
		}
	}
	return orElse(empty, unknown)
}

// orElse returns a, if there is one, else b. cmp.Or would compare values, of which lists cannot be compared.
func orElse(a, b ref.Val) ref.Val {
	if a != nil {
		return a
	}
	return b
}

// Subject is a person in a source, as expressions ask for them.
type Subject struct {
	Source     string
	Key        string
	Enabled    *bool
	Groups     []string
	Attributes map[string]any

	folded map[string]any
}

// ResolveName is what a name stands for. A name that the source does not have is unknown.
func (s *Subject) ResolveName(name string) (any, bool) {
	switch name {
	case "groups":
		return s.Groups, true
	case "key":
		return s.Key, true
	case "source":
		return s.Source, true
	case "attributes":
		return s.Attributes, true
	case "enabled":
		if s.Enabled == nil {
			return types.WrapErr(unknown("enabled")), true
		}
		return *s.Enabled, true
	}
	if value, is := s.Attributes[name]; is && value != nil {
		return value, true
	}
	if s.folded == nil {
		s.folded = make(map[string]any, len(s.Attributes))
		for attribute, value := range s.Attributes {
			s.folded[access.Fold(attribute)] = value
		}
	}
	if value := s.folded[access.Fold(name)]; value != nil {
		return value, true
	}
	return types.WrapErr(unknown(name)), true
}

// Parent returns nil: there is nothing behind the attributes.
func (s *Subject) Parent() cel.Activation { return nil }

func unknown(name string) error { return fmt.Errorf("%w: %s", ErrUnknown, name) }

// Holds answers whether the person is in scope.
func (e *Expression) Holds(s *Subject) (bool, error) {
	value, err := e.evaluate(s)
	if err != nil {
		return false, err
	}
	is, ok := value.(types.Bool)
	if !ok {
		return false, fmt.Errorf("%q gives %s, which is neither true nor false", e.text, value.Type().TypeName())
	}
	return bool(is), nil
}

// Value is the text that the expression gives, composed and without the white space around it. An error that is
// ErrUnknown means that the attribute is left as it is.
func (e *Expression) Value(s *Subject) (string, error) {
	value, err := e.evaluate(s)
	if err != nil {
		return "", err
	}
	if list, is := value.(traits.Lister); is {
		switch list.Size() {
		case types.IntZero:
			return "", fmt.Errorf("%w: %q gives an empty list", ErrUnknown, e.text)
		case types.IntOne:
			value = list.Get(types.IntZero)
		default:
			return "", fmt.Errorf("%q gives %v values; write which one, for example first(%s)", e.text, list.Size(), e.text)
		}
	}
	var text string
	switch v := value.(type) {
	case types.String:
		text = string(v)
	case types.Bool, types.Int, types.Uint:
		text = fmt.Sprint(v.Value())
	case types.Double:
		text = strconv.FormatFloat(float64(v), 'f', -1, 64)
	case types.Null:
		return "", fmt.Errorf("%w: %q gives null", ErrUnknown, e.text)
	default:
		return "", fmt.Errorf("%q gives %s, not a text", e.text, value.Type().TypeName())
	}
	text = access.Compose(strings.TrimSpace(text))
	switch {
	case len(text) > MaxValue:
		return "", fmt.Errorf("%q gives %d bytes; at most %d are provisioned", e.text, len(text), MaxValue)
	case !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return "", fmt.Errorf("%q gives a text with characters that no attribute has, such as a line break", e.text)
	}
	return text, nil
}

func (e *Expression) evaluate(s *Subject) (ref.Val, error) {
	value, _, err := e.program.Eval(s)
	switch {
	case errors.Is(err, ErrUnknown):
		return nil, err
	case err != nil && (strings.HasPrefix(err.Error(), "no such key") ||
		strings.HasPrefix(err.Error(), "no such attribute")):
		return nil, fmt.Errorf("%w: %w", ErrUnknown, err)
	case err != nil:
		return nil, fmt.Errorf("%q cannot be answered: %w", e.text, err)
	}
	return value, nil
}
