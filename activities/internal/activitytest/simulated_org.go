// Package activitytest is the simulated organization on which the rooms of the activities are tested: Atlassian, a
// ledger, and all activities between them.
package activitytest

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
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
	"github.com/castellan-io/castellan/activities/apply"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// Org is the short name of the simulated organization.
const Org = "acme"

// SimulatedOrg is a simulated Atlassian organization, a ledger and the activities between them, on one clock that
// stands still until a test moves it.
type SimulatedOrg struct {
	T      *testing.T
	Sim    *cloud.Cloud
	URL    string
	File   string // the ledger's
	Ledger *ledger.Ledger
	Acts   *activities.Activities
	Key    string
	Policy string // hash of the one in force

	mu  sync.Mutex
	Now time.Time

	Beat  any               // heartbeat of an earlier attempt
	Beats []func(any) error // heartbeats of the last call
	runs  int

	Temporal  *fakeTemporal
	Schedules reconcile.Schedules // nil: none are kept
	Notifier  *fakeNotifier
	Asked     int // for grants
}

// People are twelve, in two source groups; finn and gil were put among the helpers by hand.
var People = cloud.OrgFile{
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

// New is the organization of People, with an empty ledger.
func New(t *testing.T) *SimulatedOrg { t.Helper(); return NewOf(t, People) }

// NewOf is an organization of other people.
func NewOf(t *testing.T, file cloud.OrgFile) *SimulatedOrg {
	t.Helper()
	return NewWithLedger(t, file, emptyLedger(t))
}

// NewWithLedger is a world whose ledger holds what another one came to.
func NewWithLedger(t *testing.T, file cloud.OrgFile, book []byte) *SimulatedOrg {
	t.Helper()
	w := &SimulatedOrg{T: t, Key: cloud.DefaultKey, Now: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC),
		Temporal: &fakeTemporal{}, Notifier: &fakeNotifier{}}
	w.Sim = cloud.New(cloud.Options{Now: w.Clock})
	require.NoError(t, w.Sim.SeedOrg(file))
	served := httptest.NewServer(w.Sim.Handler())
	t.Cleanup(served.Close)
	w.URL = served.URL
	w.File = filepath.Join(t.TempDir(), "ledger.db")
	require.NoError(t, os.WriteFile(w.File, book, 0o600))
	var err error
	w.Ledger, err = ledger.Open(t.Context(), "file:"+w.File)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.Ledger.Close()) })
	w.Restart()
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

// Restart forgets all that the activities hold in memory, as another worker would.
func (w *SimulatedOrg) Restart() {
	w.Acts = activities.New(activities.Options{Options: w.Options(), Schedules: w.Schedules})
}

// Options are what the activities are built with.
func (w *SimulatedOrg) Options() session.Options {
	return session.Options{
		Ledger: w.Ledger, AtlassianURL: w.URL + "/admin", Now: w.Clock,
		Secret: func(string, string) (string, error) { return w.Key, nil }, Temporal: w.Temporal, Notifier: w.Notifier,
	}
}

// Clock is the time that it is for everybody.
func (w *SimulatedOrg) Clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.Now
}

// Pass moves the clock on.
func (w *SimulatedOrg) Pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Now = w.Now.Add(d)
}

// Call runs one activity as a worker would.
func Call[R any](w *SimulatedOrg, run, in any) (R, error) {
	w.T.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.NewTextHandler(io.Discard, nil))))
	env := suite.NewTestActivityEnvironment()
	env.SetTestTimeout(30 * time.Second)
	w.Acts.Register(env)
	if w.Beat != nil {
		env.SetHeartbeatDetails(w.Beat)
		w.Beat = nil
	}
	w.Beats = nil
	env.SetOnActivityHeartbeatListener(func(_ *activity.Info, details converter.EncodedValues) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.Beats = append(w.Beats, func(into any) error { return details.Get(into) })
	})
	var result R
	value, err := env.ExecuteActivity(run, in)
	if err == nil {
		require.NoError(w.T, value.Get(&result))
	}
	return result, err
}

// Must runs an activity that has to go well.
func Must[R any](w *SimulatedOrg, run, in any) R {
	w.T.Helper()
	result, err := Call[R](w, run, in)
	require.NoError(w.T, err)
	return result
}

// ApplicationError is the error that the workflow gets.
func ApplicationError(t *testing.T, err error) *temporal.ApplicationError {
	t.Helper()
	var app *temporal.ApplicationError
	require.ErrorAs(t, err, &app, "%v", err)
	require.NotContains(t, app.Message(), "(type:", "kinds are for programs, and stand beside the reason")
	return app
}

// Text is a policy file; a guard that lets everything through unless the test says otherwise.
func (w *SimulatedOrg) Text(more string) string {
	return fmt.Sprintf(`
version: 1
organization: {name: acme, id: %s, key: "env:KEY"}
mappings:
  - {name: builders, from: [eng], to: ["group:builders"]}
  - {name: helpers, from: [support], to: ["group:helpers"], adopt: true}
ignore: [unused]
%s
`, w.Sim.Info().OrgID, more)
}

const (
	AutoAdopt = "guard: {adopt: auto}"
	OpenGuard = `guard: {adopt: auto, run: {removals: 1000, share: 100%}, target: {removals: 1000, share: 100%}, lastAccess: {people: 1000}, window: {removals: 1000, share: 100%}, source: {share: 100%}}`
)

// AdmitIn asks for a policy to come into force.
func (w *SimulatedOrg) AdmitIn(text string) reconcile.AdmitInput {
	body, err := json.Marshal(text)
	require.NoError(w.T, err)
	return reconcile.AdmitInput{Org: Org, Policy: body, By: "ana"}
}

// Admit takes a policy into force.
func (w *SimulatedOrg) Admit(more string) reconcile.AdmitResult {
	w.T.Helper()
	result := Must[reconcile.AdmitResult](w, w.Acts.Reconcile.Admit, w.AdmitIn(w.Text(more)))
	w.Policy = result.Policy
	return result
}

// NewRun names a run.
func (w *SimulatedOrg) NewRun() session.RunInput {
	w.runs++
	return session.RunInput{Org: Org, Run: fmt.Sprintf("run-%03d", w.runs), Policy: w.Policy}
}

// Sweep reads the outline and everybody.
func (w *SimulatedOrg) Sweep(run session.RunInput) int {
	w.T.Helper()
	w.Outline(run)
	seen := 0
	for block, cursor := 0, ""; block == 0 || cursor != ""; block++ {
		swept := Must[session.SweepResult](w, w.Acts.Reconcile.Sweep,
			reconcile.SweepInput{RunInput: run, Block: block, Cursor: cursor, Pages: 20})
		seen += swept.People
		cursor = swept.Next
	}
	return seen
}

// Outline reads the outline for a run.
func (w *SimulatedOrg) Outline(run session.RunInput) reconcile.OutlineResult {
	w.T.Helper()
	return Must[reconcile.OutlineResult](w, w.Acts.Reconcile.Outline,
		reconcile.OutlineInput{RunInput: run, Trigger: "on schedule", Started: w.Clock()})
}

// Judge judges the plan of a run.
func (w *SimulatedOrg) Judge(run session.RunInput) reconcile.JudgeResult {
	w.T.Helper()
	return Must[reconcile.JudgeResult](w, w.Acts.Reconcile.Judge, reconcile.JudgeInput{
		RunInput: run, Trigger: "on schedule", Scope: messages.ScopeFull, Started: w.Clock(),
	})
}

// Planned reads everybody in a run of its own and judges its plan.
func (w *SimulatedOrg) Planned() (session.RunInput, reconcile.JudgeResult) {
	w.T.Helper()
	run := w.NewRun()
	w.Sweep(run)
	return run, w.Judge(run)
}

// Write makes all released changes of a run and says what came of each, by its label.
func (w *SimulatedOrg) Write(run session.RunInput) map[string]apply.ChangeResult {
	w.T.Helper()
	results := w.WriteSome(run, false)
	maps.Copy(results, w.WriteSome(run, true))
	return results
}

// WriteSome writes what nothing held, or what a decision released.
func (w *SimulatedOrg) WriteSome(run session.RunInput, approved bool) map[string]apply.ChangeResult {
	w.T.Helper()
	results := map[string]apply.ChangeResult{}
	for _, action := range []access.Action{access.Adopt, access.Add, access.Remove} {
		if action == access.Adopt {
			Must[int](w, w.Acts.Reconcile.Set,
				reconcile.SetInput{RunInput: run, Action: access.Adopt, State: access.Done, Answer: "recorded"})
			continue
		}
		for after, more := "", true; more; {
			next := Must[apply.NextResult](w, w.Acts.Apply.Next,
				apply.NextInput{RunInput: run, Actions: []access.Action{action}, Approved: &approved, After: after,
					Limit: 25})
			for _, l := range next.Lines {
				results[l.Label] = Must[apply.ChangeResult](w, w.Acts.Apply.Apply,
					apply.ChangeInput{RunInput: run, Person: l.Person, Target: l.Target})
			}
			after, more = next.After, next.More
		}
	}
	return results
}

// Finish ends a run.
func (w *SimulatedOrg) Finish(run session.RunInput, scope string) messages.RunSummary {
	w.T.Helper()
	return Must[messages.RunSummary](w, w.Acts.Reconcile.Finish,
		reconcile.FinishInput{RunInput: run, Scope: scope, Summary: messages.RunSummary{
			Run: run.Run, Scope: scope, Trigger: "on schedule", State: messages.RunDone, Started: w.Clock(),
		}})
}

// Full does a whole verification.
func (w *SimulatedOrg) Full() (session.RunInput, messages.RunSummary) {
	w.T.Helper()
	run, _ := w.Planned()
	w.Write(run)
	sum := w.Finish(run, messages.ScopeFull)
	w.Pass(time.Minute) // so that what was written is no longer recent
	return run, sum
}

// InStep is a world whose policy is in force and carried out by run-001, a minute ago.
func InStep(t *testing.T) *SimulatedOrg {
	t.Helper()
	inStepBook.Lock()
	defer inStepBook.Unlock()
	if inStepBook.data == nil {
		w := New(t)
		w.Admit(OpenGuard)
		_, sum := w.Full()
		require.Equal(t, 9, sum.Counts.Done, "six builders, two helpers and one adopted: %+v", sum.Counts)
		require.NoError(t, w.Ledger.Close())
		var err error
		inStepBook.data, err = os.ReadFile(w.File)
		require.NoError(t, err)
	}
	carriedOut := People
	carriedOut.Local = []cloud.OrgGroup{{Name: "builders", Members: People.Groups[0].Members},
		{Name: "helpers", Members: []string{"finn", "gil", "hana", "lea"}}, {Name: "other"}}
	carriedOut.Foreign = map[string][]string{"other": {"jo"}}
	w := NewWithLedger(t, carriedOut, inStepBook.data)
	known, err := w.Ledger.Organization(t.Context(), Org)
	require.NoError(t, err)
	w.Policy, w.runs = known.Policy, 1
	w.Pass(time.Minute)
	return w
}

// Joined are lines as one text.
func Joined(lines []string) (all string) {
	for _, l := range lines {
		all += l + "\n"
	}
	return all
}

// Builders is a target that a mapping gives.
const Builders = access.Entitlement("group:builders")

// Named is a scope of people.
func Named(names ...string) messages.Scope {
	return messages.Scope{Kind: messages.ScopePeople, People: names}
}

// Helpers is a target that a mapping gives and others were put into by hand.
const Helpers = access.Entitlement("group:helpers")

// Crowded is an organization of n people, all of them in eng.
func Crowded(n int) cloud.OrgFile {
	file := cloud.OrgFile{Local: []cloud.OrgGroup{{Name: "builders"}, {Name: "helpers"}}}
	for i := range n {
		file.People = append(file.People, fmt.Sprintf("p%04d", i))
	}
	file.Admins = file.People[:1]
	file.Groups = []cloud.OrgGroup{{Name: "eng", Members: file.People}, {Name: "support", Members: file.People[:2]},
		{Name: "unused"}}
	return file
}

// States are what became of changes.
func States(results map[string]apply.ChangeResult) map[string]access.ChangeState {
	by := map[string]access.ChangeState{}
	for label, r := range results {
		by[label] = r.State
	}
	return by
}

// As is the world's policy, for an organization of another name.
func (w *SimulatedOrg) As(name string) reconcile.AdmitInput {
	in := w.AdmitIn(strings.Replace(w.Text(AutoAdopt), "name: acme", "name: "+name, 1))
	in.Org = name
	return in
}

// Version is the world's policy as the ledger keeps it, for an organization of another name.
func (w *SimulatedOrg) Version(name string) ledger.PolicyVersion {
	p, err := policy.Parse("policy", []byte(strings.Replace(w.Text(AutoAdopt), "name: acme", "name: "+name, 1)))
	require.NoError(w.T, err)
	return ledger.PolicyVersion{Org: name, Hash: p.Hash(), Body: p.JSON(), OrgID: p.Organization.ID, At: w.Clock()}
}

// Forge writes to the ledger's database past the ledger, as its administrators could.
func (w *SimulatedOrg) Forge(statement string, args ...any) {
	w.T.Helper()
	db, err := sql.Open("sqlite", w.File)
	require.NoError(w.T, err)
	defer func() { require.NoError(w.T, db.Close()) }()
	result, err := db.ExecContext(w.T.Context(), statement, args...)
	require.NoError(w.T, err)
	n, err := result.RowsAffected()
	require.NoError(w.T, err)
	require.NotZero(w.T, n)
}
