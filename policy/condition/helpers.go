package condition

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy/window"
)

// helperFunctions declares what conditions may call beside CEL's own.
func helperFunctions() []cel.EnvOption {
	late := func(name, id string, result *cel.Type, args ...*cel.Type) cel.FunctionOpt {
		return cel.Overload(id, args, result, cel.LateFunctionBinding())
	}
	text := cel.StringType
	return []cel.EnvOption{
		cel.Function(inStandIn, late(inStandIn, "in_group", cel.BoolType, text)),
		cel.Function("inAny", late("inAny", "in_any_group", cel.BoolType, cel.ListType(text))),
		cel.Function("addedWithin", late("addedWithin", "added_within", cel.BoolType, text)),
		cel.Function("inactive", late("inactive", "inactive_anywhere", cel.BoolType, text),
			late("inactive", "inactive_in", cel.BoolType, text, text)),
		cel.Function("lastActive", late("lastActive", "last_active", cel.TimestampType, text)),
		cel.Function("neverUsed", late("neverUsed", "never_used", cel.BoolType, text)),
		cel.Function("granted", late("granted", "granted_target", cel.BoolType, text)),
		cel.Function("identified", late("identified", "identified_in", cel.BoolType, text)),
		cel.Function("attribute", late("attribute", "attribute_in", cel.DynType, text, text)),
		cel.Macros(
			cel.GlobalMacro("addedWithin", 1, checkSpan), cel.GlobalMacro("inactive", 1, checkSpan),
			cel.GlobalMacro("inactive", 2, checkSpan),
			cel.GlobalMacro("granted", 1, checkTarget),
			cel.GlobalMacro("identified", 1, checkSource), cel.GlobalMacro("attribute", 2, checkSource),
		),
	}
}

const helperNames = `in("group"), inAny([…]), addedWithin("14d"), inactive("90d"), inactive("90d", "confluence"), lastActive("confluence"), neverUsed("confluence"), granted("directory"), identified("source") and attribute("source", "name")`

// helpers ask a person's facts.
var helpers = map[string]func(s *Subject, args []ref.Val) ref.Val{
	inStandIn:     func(s *Subject, args []ref.Val) ref.Val { return answer(s.in(said(args[0]))) },
	"inAny":       func(s *Subject, args []ref.Val) ref.Val { return answer(s.inAny(args[0])) },
	"addedWithin": func(s *Subject, args []ref.Val) ref.Val { return answer(s.addedWithin(said(args[0]))) },
	"inactive": func(s *Subject, args []ref.Val) ref.Val {
		app := ""
		if len(args) > 1 {
			app = said(args[1])
		}
		return answer(s.inactive(said(args[0]), app))
	},
	"lastActive": func(s *Subject, args []ref.Val) ref.Val {
		at, err := s.lastActive(said(args[0]))
		if err != nil {
			return types.WrapErr(err)
		}
		return types.Timestamp{Time: at}
	},
	"neverUsed":  func(s *Subject, args []ref.Val) ref.Val { return answer(s.neverUsed(said(args[0]))) },
	"granted":    func(s *Subject, args []ref.Val) ref.Val { return types.Bool(s.granted(said(args[0]))) },
	"identified": func(s *Subject, args []ref.Val) ref.Val { return answer(s.identified(said(args[0]))) },
	"attribute":  func(s *Subject, args []ref.Val) ref.Val { return s.attribute(said(args[0]), said(args[1])) },
}

// said returns a text that a helper is called with, which the types of the helpers see to.
func said(v ref.Val) string { return string(v.(types.String)) }

// ResolveFunction returns a helper that asks this person's facts.
func (s *Subject) ResolveFunction(name string) (cel.LateBoundFunction, bool) {
	helper, is := helpers[name]
	if !is {
		return nil, false
	}
	return func(_ string, args ...ref.Val) ref.Val { return helper(s, args) }, true
}

func answer(is bool, err error) ref.Val {
	if err != nil {
		return types.WrapErr(err)
	}
	return types.Bool(is)
}

// inAny is in any of several groups; that somebody is in none needs an answer for each.
func (s *Subject) inAny(list ref.Val) (bool, error) {
	var unknown error
	for names := list.(traits.Lister).Iterator(); names.HasNext() == types.True; {
		is, err := s.in(string(names.Next().(types.String)))
		if is {
			return true, nil
		}
		if err != nil {
			unknown = err
		}
	}
	return false, unknown
}

func (s *Subject) addedWithin(text string) (bool, error) {
	span, err := s.span(text)
	if err != nil {
		return false, err
	}
	if s.Added.IsZero() {
		return false, errUnknownAdded
	}
	return !s.now.After(s.Added.Add(span)), nil
}

func (s *Subject) span(text string) (time.Duration, error) {
	if span, readied := s.spans[text]; readied {
		return span, nil
	}
	return spanOf(text)
}

func spanOf(text string) (time.Duration, error) {
	var d window.Duration
	err := d.UnmarshalText([]byte(text))
	return d.Std(), err
}

// inactive reports whether the person used none of the apps they have access to, or the one named, within the span.
// Whoever never used an app counts from when they were given it, as far as that is known, or else from when they were
// added to the organization. Nobody is inactive in an app that they cannot use.
func (s *Subject) inactive(text, app string) (bool, error) {
	span, err := s.span(text)
	if err != nil {
		return false, err
	}
	uses, err := s.uses(app)
	if err != nil {
		return false, err
	}
	since, sinceAdded, unknown := s.now.Add(-span), len(uses) == 0, false
	for _, u := range uses {
		switch {
		case u.Last.After(since):
			return false, nil
		case !u.Known():
			unknown = true
		case u.Never && u.Since.IsZero():
			sinceAdded = true
		case u.Never && u.Since.After(since):
			return false, nil
		}
	}
	switch {
	case unknown:
		return false, ErrUnknownUse
	case !s.showsAll(app, uses):
		return false, errFewApps
	case app != "" && len(uses) == 0:
		return false, nil
	case sinceAdded:
		if s.Added.IsZero() {
			return false, errUnknownAdded
		}
		return !s.Added.After(since), nil
	}
	return true, nil
}

// uses returns the person's uses of an app (confluence) or of one on a site (confluence/acme), or of all.
func (s *Subject) uses(app string) ([]AppUse, error) {
	if s.Apps == nil {
		return nil, ErrUnknownUse
	}
	if app == "" {
		return s.Apps, nil
	}
	key, site, _ := strings.Cut(app, "/")
	var uses []AppUse
	for _, u := range s.Apps {
		switch {
		case u.App != access.AppKey(key):
		case site != "" && u.Site == "":
			return nil, errUnknownSite
		case site == "" || strings.EqualFold(u.Site, site):
			uses = append(uses, u)
		}
	}
	return uses, nil
}

// showsAll reports whether no use of the app can be missing among those that are shown.
func (s *Subject) showsAll(app string, uses []AppUse) bool {
	_, site, _ := strings.Cut(app, "/")
	return !s.fewApps || site != "" && len(uses) > 0
}

func (s *Subject) lastActive(app string) (at time.Time, err error) {
	uses, err := s.uses(app)
	if err != nil {
		return at, err
	}
	for _, u := range uses {
		if !u.Known() {
			return at, ErrUnknownUse
		}
		if u.Last.After(at) {
			at = u.Last
		}
	}
	switch {
	case !s.showsAll(app, uses):
		return at, errFewApps
	case len(uses) == 0:
		return at, fmt.Errorf("the person has no access to %s, so there is no last time", app)
	case at.IsZero():
		return at, fmt.Errorf("the person never used %s, so there is no last time; ask neverUsed first", app)
	}
	return at, nil
}

// neverUsed reports whether the person has access to the app and never used it.
func (s *Subject) neverUsed(app string) (bool, error) {
	uses, err := s.uses(app)
	if err != nil {
		return false, err
	}
	for _, u := range uses {
		if !u.Known() {
			return false, ErrUnknownUse
		}
		if !u.Never {
			return false, nil
		}
	}
	if !s.showsAll(app, uses) {
		return false, errFewApps
	}
	return len(uses) > 0, nil
}

func (s *Subject) granted(target string) bool {
	key := Canonical(access.Entitlement(target))
	return slices.ContainsFunc(s.Granted, func(g access.Grant) bool {
		return Canonical(g.Target) == key || s.Alike != nil && s.Alike(g.Target, access.Entitlement(target))
	})
}

// checkSpan refuses a duration that is written out and wrong already when the policy is read. It expands nothing.
func checkSpan(helper cel.MacroExprFactory, _ ast.Expr, args []ast.Expr) (ast.Expr, *cel.Error) {
	return checkLiteral(helper, args[0], func(text string) error { _, err := spanOf(text); return err })
}

// checkTarget does the same for an entitlement.
func checkTarget(helper cel.MacroExprFactory, _ ast.Expr, args []ast.Expr) (ast.Expr, *cel.Error) {
	return checkLiteral(helper, args[0],
		func(text string) error { _, err := access.ParseEntitlement(text); return err })
}

func checkLiteral(helper cel.MacroExprFactory, arg ast.Expr, check func(string) error) (ast.Expr, *cel.Error) {
	if arg.Kind() != ast.LiteralKind {
		return nil, nil
	}
	if text, is := arg.AsLiteral().(types.String); is {
		if err := check(string(text)); err != nil {
			return nil, helper.NewError(arg.ID(), fmt.Sprintf("%q does not fit: %s", string(text), err))
		}
	}
	return nil, nil
}

// Canonical returns the form in which all writings of one entitlement are equal: jira/Acme/user and
// jira-software/acme/user.
func Canonical(e access.Entitlement) string {
	if full, err := access.ParseEntitlement(string(e)); err == nil {
		return access.Fold(string(full))
	}
	return access.Fold(string(e))
}
