package activities_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
)

// fakeTemporal notes which workflows are woken and what they are answered.
type fakeTemporal struct {
	mu      sync.Mutex
	woken   []string
	answers []messages.AttendedSignal
	gone    bool // no workflow runs
}

func (f *fakeTemporal) SignalWithStartWorkflow(_ context.Context, id, signal string, _ any, options client.StartWorkflowOptions, _ any, args ...any) (client.WorkflowRun, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	in, ok := args[0].(messages.TemporaryGrantInput)
	if !ok || signal != messages.Look || options.ID != id || id != messages.GrantID(in.Org, in.Target, in.Key) {
		return nil, fmt.Errorf("%s is woken by %s with %v", id, signal, args)
	}
	f.woken = append(f.woken, id)
	return nil, nil
}

func (f *fakeTemporal) SignalWorkflow(_ context.Context, _, _, signal string, arg any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.gone {
		return serviceerror.NewNotFound("it was terminated")
	}
	answer, ok := arg.(messages.AttendedSignal)
	if !ok || signal != messages.Attended {
		return fmt.Errorf("signal %s with %T", signal, arg)
	}
	f.answers = append(f.answers, answer)
	return nil
}

// fakeNotifier keeps what people are told.
type fakeNotifier struct {
	mu      sync.Mutex
	private bool
	fails   int // how many notices are lost
	notices []messages.Notice
}

func (f *fakeNotifier) Private() bool { return f.private }

func (f *fakeNotifier) Notify(_ context.Context, n messages.Notice) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fails > 0 {
		f.fails--
		return fmt.Errorf("the mail server is away")
	}
	f.notices = append(f.notices, n)
	return nil
}

const (
	other = access.Entitlement("group:other")
	jira  = access.Entitlement("role:jira-software/acme/admin")
)

// lendable lets everything be granted to everybody, at once or for tomorrow.
const lendable = `
grants:
  - name: all
    targets: ["group:other", "group:builders", "default:jira/acme/admin", "role:org-admin", "role:jira/acme/admin", directory]
    duration: {default: 1h, max: 24h}
    ahead: 48h
    extend: {max: 48h, times: 3}
    reason: false
`

// lending is a world in step under a policy with these grants, whose groups were read.
func lending(t *testing.T, grants string) *world {
	t.Helper()
	w := inStep(t)
	w.admit(open + "\n" + grants)
	w.outline(w.newRun())
	return w
}

// requestOf is a request with an id of its own.
func (w *world) requestOf(person string, target access.Entitlement, d time.Duration) activities.RequestGrantInput {
	w.asked++
	return activities.RequestGrantInput{Org: org, GrantInput: messages.GrantInput{
		Person: person, Target: target, Duration: access.Duration(d), Reason: "on call", RequestedBy: "bo@example.com",
		RequestID: fmt.Sprintf("g%03d", w.asked),
	}}
}

// grant asks for a grant to somebody named in the organization file, which has to be stored.
func (w *world) grant(person string, target access.Entitlement, d time.Duration) access.Grant {
	w.t.Helper()
	if !strings.Contains(person, "@") {
		person += "@example.com"
	}
	return must[messages.GrantAnswer](w, w.acts.RequestGrant, w.requestOf(person, target, d)).Grants[0]
}

// stored is a grant as the ledger has it now.
func (w *world) stored(g access.Grant) access.Grant {
	w.t.Helper()
	now, err := w.ledger.Grant(w.t.Context(), org, g.ID)
	require.NoError(w.t, err)
	return now
}

// ask is what the grant's workflow asks the organization's loop.
func (w *world) askOf(g access.Grant) messages.AttendSignal {
	g = w.stored(g)
	return messages.AttendSignal{
		Workflow: messages.GrantID(org, g.Target, g.Key), Person: g.Person, Email: g.Email, Target: g.Target, Turn: 1,
	}
}

// direct runs an activity in an environment of its own, so that several may run at once.
func (w *world) direct(run func(*activities.Activities) any, in any) (converter.EncodedValue, error) {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.NewTextHandler(io.Discard, nil))))
	env := suite.NewTestActivityEnvironment()
	env.SetTestTimeout(30 * time.Second)
	env.RegisterActivityWithOptions(w.acts, activity.RegisterOptions{SkipInvalidStructFunctions: true})
	return env.ExecuteActivity(run(w.acts), in)
}

// round is one run of grants.
type round struct {
	activities.AttendInput
	plan    activities.AttendResult
	results map[string]activities.ChangeResult // by label; without those whose last attempt failed
	failed  map[string]error
}

// attend has the grants given or taken back, as the organization's loop does, and returns what came of the lines and how
// the workflows were answered, in order.
func (w *world) attend(grants ...access.Grant) (*round, []messages.AttendedSignal) {
	w.t.Helper()
	r := w.begin(grants...)
	w.lend(r, 3)
	return r, w.answer(r)
}

// right attends to grants for which all has to go well.
func (w *world) right(grants ...access.Grant) *round {
	w.t.Helper()
	r, answers := w.attend(grants...)
	for _, a := range answers {
		require.True(w.t, a.Right, "%+v; %v; %v", a, r.results, r.failed)
	}
	return r
}

// begin plans a round.
func (w *world) begin(grants ...access.Grant) *round {
	w.t.Helper()
	r := &round{results: map[string]activities.ChangeResult{}, failed: map[string]error{}}
	r.RunInput = w.newRun()
	for _, g := range grants {
		r.Asks = append(r.Asks, w.askOf(g))
	}
	r.plan = must[activities.AttendResult](w, w.acts.Attend, r.AttendInput)
	return r
}

// linesOf are the lines of a round that wait to be written, in the order of the reconcile workflow.
func (w *world) linesOf(r *round) (lines []activities.Line) {
	w.t.Helper()
	if r.plan.Open == 0 {
		return nil
	}
	for _, action := range []access.Action{access.Remove, access.Add} {
		next := must[activities.NextResult](w, w.acts.Next, activities.NextInput{RunInput: r.RunInput, Actions: []access.Action{action}, Limit: 1000})
		require.False(w.t, next.More)
		lines = append(lines, next.Lines...)
	}
	return lines
}

// lend writes the lines of a round, each in so many attempts at most, some seconds apart.
func (w *world) lend(r *round, tries int) {
	w.t.Helper()
	for _, line := range w.linesOf(r) {
		for range tries {
			if w.attempt(r, line) {
				break
			}
			w.pass(5 * time.Second)
		}
	}
}

// attempt is one attempt at a line; it says whether there is an answer.
func (w *world) attempt(r *round, line activities.Line) bool {
	result, err := call[activities.ChangeResult](w, w.acts.Apply, activities.ChangeInput{
		RunInput: r.RunInput, Person: line.Person, Target: line.Target, Now: true,
	})
	if err != nil {
		r.failed[line.Label] = err
		return false
	}
	delete(r.failed, line.Label)
	r.results[line.Label] = result
	return true
}

// answer reads the writes of a round back and tells the grants.
func (w *world) answer(r *round) []messages.AttendedSignal {
	w.t.Helper()
	if r.plan.Open > 0 {
		w.pass(5 * time.Second)
		must[activities.VerifyResult](w, w.acts.Verify, r.RunInput)
		w.finish(r.RunInput, messages.ScopeGrants)
	}
	before := len(w.temporal.answers)
	require.Equal(w.t, len(r.Asks), must[int](w, w.acts.Attended, r.AttendInput))
	return slices.Clone(w.temporal.answers[before:])
}

// until moves the clock to the end of a grant.
func (w *world) until(g access.Grant) { w.pass(w.stored(g).Until.Sub(w.clock())) }

// admins are the names of the organization's administrators, sorted.
func (w *world) admins() string {
	var names []string
	for _, p := range w.sim.State().People {
		if p.OrgAdmin {
			names = append(names, p.Name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// set changes somebody as an administrator would in the web interface.
func (w *world) set(name string, change map[string]any) {
	w.t.Helper()
	w.send(http.MethodPost, "/_sim/people/"+w.person(name).Email, change)
}

// held is what the ledger knows of somebody's membership; nil: nothing.
func (w *world) held(name string, target access.Entitlement) *access.Holding {
	w.t.Helper()
	h, err := w.ledger.Holding(w.t.Context(), org, w.id(name), target)
	if err != nil {
		require.ErrorIs(w.t, err, ledger.ErrNotFound)
		return nil
	}
	return &h
}
