package condition

import (
	"errors"
	"fmt"
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/castellan-io/castellan/access"
)

// What identity sources say of a person is not known before they were read, and only of people who are bound to
// somebody there. A source's own silence about an attribute is no answer either.

var (
	errUnknownSource   = errors.New("what identity sources say was not asked for")
	errUnknownIdentity = errors.New("it is not known who the person is in identity sources")
)

// identity returns who the person is in a source; nil: nobody. The error says why that is not known.
func (s *Subject) identity(source string) (*access.Identity, error) {
	if s.SourcesKnown == nil {
		return nil, errUnknownSource
	}
	if err := s.SourcesKnown(source); err != nil {
		return nil, err
	}
	if s.Identities == nil {
		return nil, errUnknownIdentity
	}
	if slices.Contains(s.UnsureOf, source) {
		return nil, notStated(source)
	}
	for i := range s.Identities {
		is := &s.Identities[i]
		switch {
		case is.Source != source:
		case is.Key == "":
			return nil, fmt.Errorf("it is not known who the person is in source %s", source)
		default:
			return is, nil
		}
	}
	return nil, nil
}

// identified reports whether the person is somebody in a source, in its scope and not disabled there.
func (s *Subject) identified(source string) (bool, error) {
	is, err := s.identity(source)
	if err != nil || is == nil {
		return false, err
	}
	switch disabled := is.Enabled != nil && !*is.Enabled; {
	case is.OutOfScope || disabled:
		return false, nil
	case is.ScopeUnknown:
		return false, fmt.Errorf("it is not known whether the person is in the scope of source %s (sources.people.scope)",
			source)
	}
	return true, nil
}

// attribute returns what a source says of the person.
func (s *Subject) attribute(source, name string) ref.Val {
	is, err := s.identity(source)
	if err != nil {
		return types.WrapErr(err)
	}
	if is == nil {
		return types.WrapErr(fmt.Errorf("source %s does not know the person; ask identified(%q) first", source, source))
	}
	value := is.Attribute(name)
	if value == nil {
		return types.WrapErr(fmt.Errorf("source %s does not say the person's %q", source, name))
	}
	return types.DefaultTypeAdapter.NativeToValue(composedValue(value))
}

// composedValue returns a value as from JSON with the letters of its texts composed, as the texts of conditions are.
func composedValue(value any) any {
	switch value := value.(type) {
	case string:
		return access.Compose(value)
	case []any:
		all := make([]any, len(value))
		for i, one := range value {
			all[i] = composedValue(one)
		}
		return all
	case map[string]any:
		all := make(map[string]any, len(value))
		for name, one := range value {
			all[name] = composedValue(one)
		}
		return all
	}
	return value
}

// checkSource refuses a source whose name is computed: which sources a condition asks for is known when it is read.
func checkSource(helper cel.MacroExprFactory, _ ast.Expr, args []ast.Expr) (ast.Expr, *cel.Error) {
	if name, is := text(args[0]); is && name != "" {
		return nil, nil
	}
	return nil, helper.NewError(args[0].ID(), "write the name of the source here, as the policy's sources give it")
}
