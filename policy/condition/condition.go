// Package condition is a question about a person that is true or false, in CEL: compiling it within bounds, the facts
// and helpers that it may ask for, its answer, and when time alone may change that. It is pure.
package condition

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/types"
)

// The bounds of a condition.
const (
	MaxCondition = 4000      // characters of its text
	maxNesting   = 50        // of parentheses, lists and calls within each other
	maxNodes     = 10_000    // of its syntax tree
	maxCost      = 20_000    // of one evaluation, in CEL's units: about one for each step
	maxMemory    = 1_000_000 // of one evaluation, in CEL's units: about one for each byte
)

// Condition is a question about a person that is true or false, written in the Common Expression Language (cel.dev)
// over the facts and helpers that docs/policy.md lists. It is immutable and safe for concurrent use.
type Condition struct {
	Text    string
	Needs   Needs
	quicks  []quick
	program cel.Program
	clock   ticks
	traced  cel.Program // where time matters: the program that keeps what each part came to
}

// Error is what is wrong with the text of a condition, and where.
type Error struct {
	Offset  int // characters of the text before the place
	Message string
}

func (e *Error) Error() string { return e.Message }

// Compile reads and type-checks a condition of at most MaxCondition characters. The error is a *ConditionError.
func Compile(text string) (*Condition, error) {
	if strings.TrimSpace(text) == "" {
		return nil, &Error{0, "the condition is empty; write one, for example in(\"it-ops\") && managed"}
	}
	if n := utf8.RuneCountInString(text); n > MaxCondition {
		return nil, &Error{0, fmt.Sprintf("the condition has %d characters; at most %d are allowed", n, MaxCondition)}
	}
	standard, err := standIn(text)
	if err != nil {
		return nil, err
	}
	env := environment()
	checked, issues := compileFolded(env, standard)
	if found := issues.Errors(); len(found) > 0 {
		return nil, &Error{Offset(text, found[0].Location), inWords(found[0].Message)}
	}
	if given := checked.OutputType(); !given.IsExactType(cel.BoolType) {
		return nil, &Error{0, fmt.Sprintf("the condition is %s; write one that is true or false", given)}
	}
	needs := needsOf(checked, text)
	limits := []cel.ProgramOption{compiledOnce}
	// anything else takes at most a step for each of its parts, and counting them costs more than that
	if needs.costly() {
		limits = evaluationBounds(needs)
	}
	program, err := env.Program(checked, limits...)
	if err != nil {
		return nil, &Error{0, "not a condition: " + inWords(err.Error())}
	}
	c := &Condition{Text: text, Needs: needs, quicks: quicks(checked), program: program, clock: ticksOf(checked)}
	if len(c.clock.ticking)+len(c.clock.unforeseen) > 0 {
		c.traced, err = env.Program(checked, append(limits, cel.EvalOptions(cel.OptTrackState))...)
		if err != nil {
			return nil, &Error{0, "not a condition: " + inWords(err.Error())}
		}
	}
	return c, nil
}

// compileFolded reads a text and type-checks it, with its own texts as the facts are written.
func compileFolded(env *cel.Env, text string) (*cel.Ast, *cel.Issues) {
	parsed, issues := env.Parse(text)
	if issues.Err() != nil {
		return nil, issues
	}
	foldTexts(parsed)
	return env.Check(parsed)
}

// Holds answers the condition for a person at an instant. The error says why there is no answer: a fact that it needs
// is not known, or it is too costly.
func (c *Condition) Holds(f Facts, now time.Time) (bool, error) {
	holds, err := c.Answer(f.Ask(now, Constants{}))
	if err != nil {
		return false, fmt.Errorf("the condition %q cannot be answered for %s: %w", c, f.Label(), err)
	}
	return holds, nil
}

// Answer asks the condition of facts that were readied.
func (c *Condition) Answer(s *Subject) (bool, error) {
	for _, q := range c.quicks {
		if q.no(s) {
			return false, nil
		}
	}
	return c.evaluate(s)
}

func (c *Condition) evaluate(s *Subject) (bool, error) {
	value, _, err := c.program.Eval(s)
	if err != nil {
		return false, unanswered{err}
	}
	return value == types.True, nil
}

// unanswered is why a condition has no answer, in the words of who wrote it.
type unanswered struct{ cause error }

func (u unanswered) Error() string { return inWords(u.cause.Error()) }
func (u unanswered) Unwrap() error { return u.cause }

// String returns the text.
func (c *Condition) String() string { return c.Text }

// Bounds bound what an expression in CEL may be: its length, nesting and size, and that of its regular expressions.
func Bounds() []cel.EnvOption {
	return []cel.EnvOption{
		cel.ParserRecursionLimit(maxNesting), cel.ParserExpressionSizeLimit(MaxCondition),
		cel.ExpressionNodeLimit(maxNodes),
		cel.ASTValidators(regexBounds{}),
	}
}

// EvaluationBounds bound what one evaluation of an expression may cost.
func EvaluationBounds(checked *cel.Ast) []cel.ProgramOption {
	return evaluationBounds(needsOf(checked, ""))
}

func evaluationBounds(needs Needs) []cel.ProgramOption {
	return []cel.ProgramOption{compiledOnce, cel.CostLimit(maxCost), cel.MemoryLimit(maxMemory),
		cel.CostTracking(matchCost{needs.patterns})}
}

// environment is the language of conditions.
var environment = sync.OnceValue(func() *cel.Env {
	options := append(Bounds(), helperFunctions()...)
	for _, f := range factTypes {
		options = append(options, cel.Variable(f.name, f.kind))
	}
	env, err := cel.NewEnv(options...)
	if err != nil {
		panic("policy: the language of conditions is fixed and always builds: " + err.Error())
	}
	return env
})

var (
	container = regexp.MustCompile(` \(in container '[^']*'\)`)
	standsIn  = regexp.MustCompile(`\b` + inStandIn + `\b`)
)

// inWords returns a message of the CEL library as the author of a condition should read it.
func inWords(message string) string {
	message = strings.ReplaceAll(standsIn.ReplaceAllString(container.ReplaceAllString(message, ""), "in"), "\n", " ")
	if strings.HasPrefix(message, "undeclared reference") {
		return message + "; the facts are " + factNames() + ", the helpers " + helperNames
	}
	return message
}

// Offset counts the characters of a text before a place in it.
func Offset(text string, place common.Location) int {
	line, column := place.Line(), place.Column() // from 1, from 0
	at := 0
	for _, r := range text {
		if line <= 1 {
			break
		}
		if r == '\n' {
			line--
		}
		at++
	}
	return min(at+max(column, 0), utf8.RuneCountInString(text))
}
