package condition

import (
	"regexp"
	"regexp/syntax"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"
)

// The bounds of regular expressions, which RE2 matches in time that grows with the size of the expression, repetitions
// written out, times the length of the text.
const (
	// steps of all expressions of one condition: letters, classes and alternatives, repetitions written out
	MaxRegex     = 1000
	MaxRegexFile = 20_000 // of all conditions of a file
	maxSubject   = 1024   // bytes of the text that one is matched with
	stepsPerCost = 40     // of matching, for one unit of CEL's cost
)

// regexBounds is the check of a condition's regular expressions: each is written out, so that it is compiled once, and
// is not too large.
type regexBounds struct{}

func (regexBounds) Name() string { return "castellan.regex_bounds" }

func (regexBounds) Validate(_ *cel.Env, _ cel.ValidatorConfig, checked *ast.AST, issues *cel.Issues) {
	total := 0
	ast.PreOrderVisit(checked.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		pattern, is := patternOf(e)
		if !is {
			return
		}
		written, is := text(pattern)
		if !is {
			issues.ReportErrorAtID(pattern.ID(),
				"the regular expression of matches() is computed; write it out as a text")
			return
		}
		size, err := PatternSize(written)
		if err != nil {
			issues.ReportErrorAtID(pattern.ID(), "invalid matches argument: %s", err)
			return
		}
		if total += size; total > MaxRegex {
			issues.ReportErrorAtID(pattern.ID(),
				"the regular expressions of the condition take %d steps, repetitions written out; at most %d are allowed. "+
					"Shorten them, or use startsWith, endsWith, contains and in", total, MaxRegex)
		}
	}))
}

// patternOf returns the regular expression of a call of matches.
func patternOf(e ast.Expr) (ast.Expr, bool) {
	if e.Kind() != ast.CallKind || e.AsCall().FunctionName() != overloads.Matches {
		return nil, false
	}
	call := e.AsCall()
	args := call.Args()
	if len(args) == 0 {
		return nil, false
	}
	return args[len(args)-1], true
}

// PatternSize is about how many steps a regular expression has, before it is compiled: that itself would take as long.
func PatternSize(pattern string) (int, error) {
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return 0, err
	}
	return stepsOf(parsed), nil
}

// stepsOf counts; it stops counting far beyond what is allowed.
func stepsOf(re *syntax.Regexp) int {
	const enough = 1 << 20
	steps := 1
	switch re.Op {
	case syntax.OpLiteral:
		steps = len(re.Rune)
	case syntax.OpCharClass:
		steps = 1 + len(re.Rune)/16
	}
	for _, sub := range re.Sub {
		steps = min(steps+stepsOf(sub), enough)
	}
	if re.Op == syntax.OpRepeat {
		times := re.Max
		if times < 0 {
			times = re.Min + 1
		}
		steps = min(steps*max(times, 1), enough)
	}
	return steps
}

// compiledOnce matches with an expression that is compiled with the condition, and gives no answer for a text that is
// too long.
var compiledOnce = cel.OptimizeRegex(&interpreter.RegexOptimization{
	Function: overloads.Matches, RegexIndex: 1,
	Factory: func(call interpreter.InterpretableCall, pattern string) (interpreter.InterpretableCall, error) {
		compiled, err := regexp.Compile(pattern)
		if err != nil {
			return nil, err
		}
		return interpreter.NewCall(call.ID(), call.Function(), call.OverloadID(), call.Args(),
			func(values ...ref.Val) ref.Val {
				subject, is := values[0].(types.String)
				switch {
				case !is:
					return types.MaybeNoSuchOverloadErr(values[0])
				case len(subject) > maxSubject:
					return types.NewErr("the text has %d characters; regular expressions are matched with at most %d",
						utf8.RuneCountInString(string(subject)), maxSubject)
				}
				return types.Bool(compiled.MatchString(string(subject)))
			}), nil
	},
})

// matchCost counts what matching costs where a condition goes through lists.
type matchCost struct{ sizes map[string]int }

// CallCost returns the cost of one call; nil: as CEL counts it.
func (m matchCost) CallCost(function, _ string, args []ref.Val, _ ref.Val) *uint64 {
	if function != overloads.Matches || len(args) != 2 {
		return nil
	}
	subject, _ := args[0].(types.String)
	pattern, _ := args[1].(types.String)
	cost := uint64(1 + m.sizes[string(pattern)]*min(len(subject), maxSubject)/stepsPerCost)
	return &cost
}
