package condition

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy/window"
)

// Bounds of looking ahead.
const (
	// everybody is looked at once a week at least (sync.every), which finds what comes later
	horizon   = 30 * window.Day
	mostSteps = 100 // instants that are tried for one at which the answer differs
	// when a condition is asked again that uses the time in a way that cannot be looked ahead
	askAgain = time.Hour
)

// NextChange is [Bound.NextChange] of one condition. The facts may name grants that are not in force yet, or not any
// more.
func (c *Condition) NextChange(f Facts, now time.Time) time.Time {
	return c.NextChangeOf(f.Ask(now, Constants{}), f.Granted, now)
}

// Timed reports whether the answer may change by time alone.
func (c *Condition) Timed() bool { return c.traced != nil || c.Needs.Grants }

// NextChangeOf is NextChange for somebody whose facts were asked for already.
func (c *Condition) NextChangeOf(s *Subject, grants []access.Grant, now time.Time) time.Time {
	if !c.Timed() {
		return time.Time{}
	}
	was, next, sure := c.lookAhead(s, grants, now)
	for range mostSteps {
		switch {
		case next.IsZero() || next.Sub(now) > horizon:
			return time.Time{}
		case !sure:
			return next
		}
		var is outcome
		at := next
		if is, next, sure = c.lookAhead(s, grants, at); is != was {
			return at
		}
	}
	return next
}

// outcome is what came of asking a condition.
type outcome struct{ holds, unknown bool }

// lookAhead asks the condition at an instant, and returns one after it until which every part of the condition that was
// asked stays as it is, and so the outcome; zero: for ever. It is sure, unless a part uses the time in a way that
// cannot be looked ahead.
func (c *Condition) lookAhead(s *Subject, grants []access.Grant, at time.Time) (is outcome, next time.Time, sure bool) {
	s.now, s.Granted = at, nil
	for _, g := range grants {
		if g.InForce(at) {
			s.Granted = append(s.Granted, g)
		}
		for _, turn := range []time.Time{g.From, g.Until} {
			if c.Needs.Grants && turn.After(at) {
				next = window.Earlier(next, turn)
			}
		}
	}
	if slices.ContainsFunc(c.quicks, func(q quick) bool { return q.no(s) }) {
		return is, next, true
	}
	if c.traced == nil {
		holds, err := c.evaluate(s)
		return outcome{holds, err != nil}, next, true
	}
	value, details, err := c.traced.Eval(s)
	is = outcome{value == types.True, err != nil}
	valueOf := func(id int64) ref.Val {
		if details == nil || details.State() == nil {
			return nil
		}
		v, _ := details.State().Value(id)
		return v
	}
	for _, changes := range c.clock.ticking {
		next = window.Earlier(next, changes(s, valueOf))
	}
	if sure = !slices.ContainsFunc(c.clock.unforeseen, func(id int64) bool { return valueOf(id) != nil }); !sure {
		next = window.Earlier(next, at.Add(askAgain))
	}
	return is, next, sure
}

// ticking is a part of a condition that changes by time alone. It returns an instant after s.now until which the part
// stays as it is; zero: for ever. valueOf is what another part came to when it was asked at s.now; nil: it was not.
type ticking func(s *Subject, valueOf func(id int64) ref.Val) time.Time

// ticks are what changes in a condition by time alone.
type ticks struct {
	ticking    []ticking
	unforeseen []int64 // parts of which it is not known when they change
}

// ticksOf finds them in a checked condition.
func ticksOf(checked *cel.Ast) ticks {
	r := tickReader{ast: checked.NativeRep()}
	r.read(ast.NavigateAST(r.ast), nil)
	return r.ticks
}

type tickReader struct {
	ast *ast.AST
	ticks
}

// read finds the parts of an expression that change. Of an expression within one that goes through lists, the values
// are not known where it speaks of the list's elements, by one of these names.
func (r *tickReader) read(e ast.NavigableExpr, elements []string) {
	if !tells(e) {
		return
	}
	switch e.Kind() {
	case ast.IdentKind:
		r.unforeseen = append(r.unforeseen, e.ID())
		return
	case ast.ComprehensionKind:
		c := e.AsComprehension()
		elements = append(slices.Clone(elements), c.IterVar(), c.IterVar2(), c.AccuVar())
	case ast.CallKind:
		parts := r.call(e.AsCall())
		if parts == nil {
			break
		}
		if mentions(e, elements) {
			r.unforeseen = append(r.unforeseen, e.ID())
			return
		}
		r.ticking = append(r.ticking, parts...)
		return
	}
	for _, child := range e.Children() {
		r.read(child, elements)
	}
}

// call returns how a call changes; nil where that hangs on its arguments.
func (r *tickReader) call(call ast.CallExpr) []ticking {
	args := call.Args()
	switch name := call.FunctionName(); name {
	case operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals,
		operators.Equals, operators.NotEquals:
		return r.comparison(args[0], args[1])
	case "addedWithin":
		return []ticking{addedWithinTicks(args[0].ID())}
	case "inactive":
		app := int64(0)
		if len(args) > 1 {
			app = args[1].ID()
		}
		return []ticking{inactiveTicks(args[0].ID(), app)}
	default:
		if unit, is := fieldUnits[name]; is && call.IsMemberFunction() {
			return r.field(call, unit)
		}
	}
	return nil
}

// comparison returns how it changes what is the sooner, or longer, of two: when what lies between them comes to
// nothing.
func (r *tickReader) comparison(left, right ast.Expr) []ticking {
	if a, is := r.counter(left); is && !tells(right) {
		return []ticking{a.passes(right.ID())}
	}
	if a, is := r.counter(right); is && !tells(left) {
		return []ticking{a.passes(left.ID())}
	}
	a, knownA := r.pace(left)
	b, knownB := r.pace(right)
	if !knownA || !knownB {
		return nil
	}
	l, m, pace := left.ID(), right.ID(), a-b
	return []ticking{func(s *Subject, valueOf func(int64) ref.Val) time.Time {
		apart, known := between(valueOf(l), valueOf(m))
		if !known {
			return time.Time{}
		}
		return comesToNothing(s.now, apart, pace)
	}}
}

// pace returns how many seconds an instant or a span moves on in one second; not known, where it is made in another way
// than by adding and subtracting.
func (r *tickReader) pace(e ast.Expr) (pace int, known bool) {
	if kind := r.ast.GetType(e.ID()).Kind(); kind != types.TimestampKind && kind != types.DurationKind {
		return 0, false
	}
	switch {
	case !tells(e):
		return 0, true
	case e.Kind() == ast.IdentKind:
		return 1, true
	case e.Kind() != ast.CallKind:
		return 0, false
	}
	call := e.AsCall()
	if name := call.FunctionName(); name != operators.Add && name != operators.Subtract {
		return 0, false
	}
	a, knownA := r.pace(call.Args()[0])
	b, knownB := r.pace(call.Args()[1])
	if call.FunctionName() == operators.Subtract {
		b = -b
	}
	return a + b, knownA && knownB
}

// counter is a number that counts how many units of time a span has, or have passed since 1970.
type counter struct {
	of   int64 // the expression that is counted
	unit time.Duration
	pace int
}

func (r *tickReader) counter(e ast.Expr) (c counter, is bool) {
	if e.Kind() != ast.CallKind {
		return c, false
	}
	call := e.AsCall()
	unit, counts := countUnits[call.FunctionName()]
	counted, kind := call.Target(), types.DurationKind
	switch {
	case counts && call.IsMemberFunction() && len(call.Args()) == 0:
	case call.FunctionName() == overloads.TypeConvertInt && len(call.Args()) == 1:
		counted, kind, unit = call.Args()[0], types.TimestampKind, time.Second
	default:
		return c, false
	}
	if r.ast.GetType(counted.ID()).Kind() != kind {
		return c, false
	}
	c.of, c.unit = counted.ID(), unit
	c.pace, is = r.pace(counted)
	return c, is && c.pace != 0
}

// passes returns when the counter comes to a number, or leaves it.
func (c counter) passes(number int64) ticking {
	return func(s *Subject, valueOf func(int64) ref.Val) (next time.Time) {
		counted, known := between(valueOf(c.of), types.Timestamp{Time: time.Unix(0, 0)})
		if span, is := valueOf(c.of).(types.Duration); is {
			counted, known = span.Duration, true
		}
		n, is := valueOf(number).(types.Int)
		most := int64(math.MaxInt64/c.unit) - 2
		if !known || !is || int64(n) > most || int64(n) < -most {
			return next
		}
		// numbers are rounded towards zero, or downwards
		for _, edge := range []int64{int64(n) - 1, int64(n), int64(n) + 1} {
			next = window.Earlier(next, comesToNothing(s.now, minus(counted, time.Duration(edge)*c.unit), c.pace))
		}
		return next
	}
}

// The units of what is counted, and of the fields of a calendar.
var (
	countUnits = map[string]time.Duration{
		overloads.TimeGetHours: time.Hour, overloads.TimeGetMinutes: time.Minute, overloads.TimeGetSeconds: time.Second,
		overloads.TimeGetMilliseconds: time.Millisecond,
	}
	fieldUnits = map[string]time.Duration{
		overloads.TimeGetFullYear: window.Day, overloads.TimeGetMonth: window.Day,
		overloads.TimeGetDayOfYear:  window.Day,
		overloads.TimeGetDayOfMonth: window.Day, overloads.TimeGetDate: window.Day,
		overloads.TimeGetDayOfWeek: window.Day,
		overloads.TimeGetHours:     time.Hour, overloads.TimeGetMinutes: time.Minute,
	}
)

// field returns when a field of the calendar, or the count of a span's hours or minutes, becomes another.
func (r *tickReader) field(call ast.CallExpr, unit time.Duration) []ticking {
	target, zone := call.Target(), int64(0)
	pace, known := r.pace(target)
	if len(call.Args()) == 1 {
		zone = call.Args()[0].ID()
	}
	if !known || pace != 1 || zone != 0 && tells(call.Args()[0]) {
		return nil
	}
	id := target.ID()
	return []ticking{func(s *Subject, valueOf func(int64) ref.Val) time.Time {
		switch v := valueOf(id).(type) {
		case types.Timestamp:
			place, known := time.UTC, true
			if zone != 0 {
				place, known = zoneOf(valueOf(zone))
			}
			if !known {
				return time.Time{} // nor does the condition have an answer
			}
			return s.now.Add(nextField(v.In(place), unit).Sub(v.Time))
		case types.Duration:
			if rest := (v.Duration%unit + unit) % unit; rest != 0 {
				return s.now.Add(unit - rest)
			}
			return s.now.Add(1)
		}
		return time.Time{}
	}}
}

// nextField returns when the clock of the place next shows another hour, minute or day, or is put forward or back.
func nextField(local time.Time, unit time.Duration) time.Time {
	within := time.Duration(local.Second())*time.Second + time.Duration(local.Nanosecond())
	next := local.Add(time.Minute - within)
	switch unit {
	case time.Hour:
		next = local.Add(time.Hour - time.Duration(local.Minute())*time.Minute - within)
	case window.Day:
		next = time.Date(local.Year(), local.Month(), local.Day()+1, 0, 0, 0, 0, local.Location())
	}
	if _, moved := local.ZoneBounds(); moved.After(local) && (moved.Before(next) || !next.After(local)) {
		return moved
	}
	return next
}

// zoneOf returns the zone that a condition names as CEL does: by its IANA name, or by how far it is ahead of UTC.
func zoneOf(name ref.Val) (*time.Location, bool) {
	text, is := name.(types.String)
	if !is {
		return nil, false
	}
	if hours, minutes, ahead := strings.Cut(string(text), ":"); ahead {
		h, noHours := strconv.Atoi(hours)
		m, noMinutes := strconv.Atoi(minutes)
		if strings.HasPrefix(hours, "-") {
			m = -m
		}
		return time.FixedZone("", (h*60+m)*60), noHours == nil && noMinutes == nil
	}
	zone, err := time.LoadLocation(string(text))
	return zone, err == nil
}

func addedWithinTicks(span int64) ticking {
	return func(s *Subject, valueOf func(int64) ref.Val) time.Time {
		length, known := s.spanIn(valueOf(span))
		if !known || s.Added.IsZero() {
			return time.Time{}
		}
		return comesToNothing(s.now, s.now.Sub(s.Added.Add(length)), 1)
	}
}

func inactiveTicks(span, app int64) ticking {
	return func(s *Subject, valueOf func(int64) ref.Val) (next time.Time) {
		length, known := s.spanIn(valueOf(span))
		name, _ := valueOf(app).(types.String)
		uses, err := s.uses(string(name))
		if !known || err != nil {
			return next
		}
		since := []time.Time{s.Added}
		for _, u := range uses {
			since = append(since, u.Last, u.Since)
		}
		for _, at := range since {
			if !at.IsZero() {
				next = window.Earlier(next, comesToNothing(s.now, s.now.Sub(at.Add(length)), 1))
			}
		}
		return next
	}
}

// spanIn returns the duration that a helper was given.
func (s *Subject) spanIn(v ref.Val) (time.Duration, bool) {
	text, is := v.(types.String)
	if !is {
		return 0, false
	}
	span, err := s.span(string(text))
	return span, err == nil
}

// comesToNothing returns when what lies between two comes to nothing, moving on at a pace, or right after that; zero:
// it does not.
func comesToNothing(now time.Time, apart time.Duration, pace int) time.Time {
	switch {
	case pace == 0:
		return time.Time{}
	case apart == 0:
		return now.Add(1)
	case apart > 0 == (pace > 0):
		return time.Time{}
	}
	return now.Add(max(-apart/time.Duration(pace), 1))
}

// between returns what lies between two instants or two spans.
func between(a, b ref.Val) (time.Duration, bool) {
	switch a := a.(type) {
	case types.Timestamp:
		if b, is := b.(types.Timestamp); is {
			return a.Sub(b.Time), true
		}
	case types.Duration:
		if b, is := b.(types.Duration); is {
			return minus(a.Duration, b.Duration), true
		}
	}
	return 0, false
}

// minus subtracts, and stops at the largest that there is.
func minus(a, b time.Duration) time.Duration {
	switch d := a - b; {
	case b > 0 && d > a:
		return math.MinInt64 + 1
	case b < 0 && d < a:
		return math.MaxInt64
	default:
		return d
	}
}

// tells reports whether an expression changes by time alone, or has a part that does.
func tells(e ast.Expr) bool {
	found := false
	ast.PreOrderVisit(e, ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() {
		case ast.IdentKind:
			found = found || e.AsIdent() == "now"
		case ast.CallKind:
			name := e.AsCall().FunctionName()
			found = found || name == "addedWithin" || name == "inactive"
		}
	}))
	return found
}

// mentions reports whether an expression speaks of one of these names.
func mentions(e ast.Expr, names []string) bool {
	found := false
	ast.PreOrderVisit(e, ast.NewExprVisitor(func(e ast.Expr) {
		found = found || e.Kind() == ast.IdentKind && slices.Contains(names, e.AsIdent())
	}))
	return found
}
