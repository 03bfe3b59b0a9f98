package activities_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

const org = "acme"

// world is a simulated Atlassian organization, a ledger and the activities between them, on one clock that stands still
// until a test moves it.
type world struct {
	t      *testing.T
	sim    *cloud.Cloud
	url    string
	file   string // the ledger's
	ledger *ledger.Ledger
	acts   *activities.Activities
	key    string
	policy string // hash of the one in force

	mu  sync.Mutex
	now time.Time

	beat  any               // heartbeat of an earlier attempt
	beats []func(any) error // heartbeats of the last call
	runs  int

	temporal *fakeTemporal
	notifier *fakeNotifier
	asked    int // for grants
}

// people are twelve, in two source groups; finn and gil were put among the helpers by hand.
var people = cloud.OrgFile{
	People: []string{"ana", "bo", "carol", "dan", "eve", "finn", "gil", "hana", "ivo", "jo", "kim", "lea"},
	Admins: []string{"ana", "bo"},
	Groups: []cloud.OrgGroup{
		{Name: "eng", Members: []string{"ana", "bo", "carol", "dan", "eve", "kim"}},
		{Name: "support", Members: []string{"finn", "hana", "lea"}},
		{Name: "unused", Members: []string{"jo"}},
	},
	Local:   []cloud.OrgGroup{{Name: "builders"}, {Name: "helpers"}, {Name: "other"}},
	Foreign: map[string][]string{"helpers": {"finn", "gil"}, "other": {"jo"}},
}

func newWorld(t *testing.T) *world { t.Helper(); return newWorldOf(t, people) }

func newWorldOf(t *testing.T, file cloud.OrgFile) *world {
	t.Helper()
	return worldOn(t, file, emptyLedger(t))
}

// worldOn is a world whose ledger holds what another one came to.
func worldOn(t *testing.T, file cloud.OrgFile, book []byte) *world {
	t.Helper()
	w := &world{t: t, key: cloud.DefaultKey, now: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC), temporal: &fakeTemporal{}, notifier: &fakeNotifier{}}
	w.sim = cloud.New(cloud.Options{Now: w.clock})
	require.NoError(t, w.sim.SeedOrg(file))
	served := httptest.NewServer(w.sim.Handler())
	t.Cleanup(served.Close)
	w.url = served.URL
	w.file = filepath.Join(t.TempDir(), "ledger.db")
	require.NoError(t, os.WriteFile(w.file, book, 0o600))
	var err error
	w.ledger, err = ledger.Open(t.Context(), "file:"+w.file)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.ledger.Close()) })
	w.restart()
	return w
}

// Making a ledger and bringing an organization in step take most of a test's time, so each is done once and copied.
var emptyBook, inStepBook struct {
	sync.Mutex
	data []byte
}

func emptyLedger(t *testing.T) []byte {
	t.Helper()
	emptyBook.Lock()
	defer emptyBook.Unlock()
	if emptyBook.data == nil {
		file := filepath.Join(t.TempDir(), "empty.db")
		l, err := ledger.Open(t.Context(), "file:"+file)
		require.NoError(t, err)
		require.NoError(t, l.Close())
		emptyBook.data, err = os.ReadFile(file)
		require.NoError(t, err)
	}
	return emptyBook.data
}

// restart forgets all that the activities hold in memory, as another worker would.
func (w *world) restart() {
	w.acts = activities.New(activities.Options{
		Ledger: w.ledger, AtlassianURL: w.url + "/admin", Now: w.clock,
		Secret: func(string) (string, error) { return w.key, nil }, Temporal: w.temporal, Notifier: w.notifier,
	})
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// call runs one activity as a worker would.
func call[R any](w *world, run, in any) (R, error) {
	w.t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.NewTextHandler(io.Discard, nil))))
	env := suite.NewTestActivityEnvironment()
	env.SetTestTimeout(30 * time.Second)
	env.RegisterActivityWithOptions(w.acts, activity.RegisterOptions{SkipInvalidStructFunctions: true})
	if w.beat != nil {
		env.SetHeartbeatDetails(w.beat)
		w.beat = nil
	}
	w.beats = nil
	env.SetOnActivityHeartbeatListener(func(_ *activity.Info, details converter.EncodedValues) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.beats = append(w.beats, func(into any) error { return details.Get(into) })
	})
	var result R
	value, err := env.ExecuteActivity(run, in)
	if err == nil {
		require.NoError(w.t, value.Get(&result))
	}
	return result, err
}

// must runs an activity that has to go well.
func must[R any](w *world, run, in any) R {
	w.t.Helper()
	result, err := call[R](w, run, in)
	require.NoError(w.t, err)
	return result
}

// application is the error that the workflow gets.
func application(t *testing.T, err error) *temporal.ApplicationError {
	t.Helper()
	var app *temporal.ApplicationError
	require.ErrorAs(t, err, &app, "%v", err)
	return app
}

// text is a policy file; a guard that lets everything through unless the test says otherwise.
func (w *world) text(more string) string {
	return fmt.Sprintf(`
version: 1
organization: {name: acme, id: %s, key: "env:KEY"}
mappings:
  - {name: builders, from: [eng], to: ["group:builders"]}
  - {name: helpers, from: [support], to: ["group:helpers"], adopt: true}
ignore: [unused]
%s
`, w.sim.Info().OrgID, more)
}

const (
	auto = "guard: {adopt: auto}"
	open = `guard: {adopt: auto, run: {removals: 1000, share: 100%}, target: {removals: 1000, share: 100%}, lastAccess: {people: 1000}, window: {removals: 1000, share: 100%}, source: {share: 100%}}`
)

func (w *world) admitIn(text string) activities.AdmitInput {
	body, err := json.Marshal(text)
	require.NoError(w.t, err)
	return activities.AdmitInput{Org: org, Policy: body, By: "ana"}
}

// admit takes a policy into force.
func (w *world) admit(more string) activities.AdmitResult {
	w.t.Helper()
	result := must[activities.AdmitResult](w, w.acts.Admit, w.admitIn(w.text(more)))
	w.policy = result.Policy
	return result
}

// newRun names a run.
func (w *world) newRun() activities.RunInput {
	w.runs++
	return activities.RunInput{Org: org, Run: fmt.Sprintf("run-%03d", w.runs), Policy: w.policy}
}

// sweep reads the outline and everybody.
func (w *world) sweep(run activities.RunInput) int {
	w.t.Helper()
	w.outline(run)
	seen := 0
	for block, cursor := 0, ""; block == 0 || cursor != ""; block++ {
		swept := must[activities.SweepResult](w, w.acts.Sweep, activities.SweepInput{RunInput: run, Block: block, Cursor: cursor, Pages: 20})
		seen += swept.People
		cursor = swept.Next
	}
	return seen
}

func (w *world) outline(run activities.RunInput) activities.OutlineResult {
	w.t.Helper()
	return must[activities.OutlineResult](w, w.acts.Outline, activities.OutlineInput{RunInput: run, Trigger: "on schedule", Started: w.clock()})
}

func (w *world) judge(run activities.RunInput) activities.JudgeResult {
	w.t.Helper()
	return must[activities.JudgeResult](w, w.acts.Judge, activities.JudgeInput{
		RunInput: run, Trigger: "on schedule", Scope: messages.ScopeFull, Started: w.clock(),
	})
}

// planned reads everybody in a run of its own and judges its plan.
func (w *world) planned() (activities.RunInput, activities.JudgeResult) {
	w.t.Helper()
	run := w.newRun()
	w.sweep(run)
	return run, w.judge(run)
}

// write makes all released changes of a run and says what came of each, by its label.
func (w *world) write(run activities.RunInput) map[string]activities.ChangeResult {
	w.t.Helper()
	results := map[string]activities.ChangeResult{}
	for _, action := range []access.Action{access.Adopt, access.Add, access.Remove} {
		if action == access.Adopt {
			must[int](w, w.acts.Set, activities.SetInput{RunInput: run, Action: access.Adopt, State: access.Done, Answer: "recorded"})
			continue
		}
		for after, more := "", true; more; {
			next := must[activities.NextResult](w, w.acts.Next, activities.NextInput{RunInput: run, Actions: []access.Action{action}, After: after, Limit: 25})
			for _, l := range next.Lines {
				results[l.Label] = must[activities.ChangeResult](w, w.acts.Apply, activities.ChangeInput{RunInput: run, Person: l.Person, Target: l.Target})
			}
			after, more = next.After, next.More
		}
	}
	return results
}

func (w *world) finish(run activities.RunInput, scope string) messages.RunSummary {
	w.t.Helper()
	return must[messages.RunSummary](w, w.acts.Finish, activities.FinishInput{RunInput: run, Scope: scope, Summary: messages.RunSummary{
		Run: run.Run, Scope: scope, Trigger: "on schedule", State: messages.RunDone, Started: w.clock(),
	}})
}

// full does a whole verification.
func (w *world) full() (activities.RunInput, messages.RunSummary) {
	w.t.Helper()
	run, _ := w.planned()
	w.write(run)
	sum := w.finish(run, messages.ScopeFull)
	w.pass(time.Minute) // so that what was written is no longer recent
	return run, sum
}

// inStep is a world whose policy is in force and carried out by run-001, a minute ago.
func inStep(t *testing.T) *world {
	t.Helper()
	inStepBook.Lock()
	defer inStepBook.Unlock()
	if inStepBook.data == nil {
		w := newWorld(t)
		w.admit(open)
		_, sum := w.full()
		require.Equal(t, 9, sum.Counts.Done, "six builders, two helpers and one adopted: %+v", sum.Counts)
		require.NoError(t, w.ledger.Close())
		var err error
		inStepBook.data, err = os.ReadFile(w.file)
		require.NoError(t, err)
	}
	carriedOut := people
	carriedOut.Local = []cloud.OrgGroup{{Name: "builders", Members: people.Groups[0].Members}, {Name: "helpers", Members: []string{"finn", "gil", "hana", "lea"}}, {Name: "other"}}
	carriedOut.Foreign = map[string][]string{"other": {"jo"}}
	w := worldOn(t, carriedOut, inStepBook.data)
	known, err := w.ledger.Organization(t.Context(), org)
	require.NoError(t, err)
	w.policy, w.runs = known.Policy, 1
	w.pass(time.Minute)
	return w
}
