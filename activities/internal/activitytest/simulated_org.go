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

// NewWithLedger is a simulated organization whose ledger holds what another one came to.
func NewWithLedger(t *testing.T, file cloud.OrgFile, book []byte) *SimulatedOrg {
	t.Helper()
	o := &SimulatedOrg{T: t, Key: cloud.DefaultKey, Now: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC),
		Temporal: &fakeTemporal{}, Notifier: &fakeNotifier{}}
	o.Sim = cloud.New(cloud.Options{Now: o.Clock})
	require.NoError(t, o.Sim.SeedOrg(file))
	served := httptest.NewServer(o.Sim.Handler())
	t.Cleanup(served.Close)
	o.URL = served.URL
	o.File = filepath.Join(t.TempDir(), "ledger.db")
	require.NoError(t, os.WriteFile(o.File, book, 0o600))
	var err error
	o.Ledger, err = ledger.Open(t.Context(), "file:"+o.File)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, o.Ledger.Close()) })
	o.Restart()
	return o
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
func (o *SimulatedOrg) Restart() {
	o.Acts = activities.New(activities.Options{Options: o.Options(), Schedules: o.Schedules})
}

// Options are what the activities are built with.
func (o *SimulatedOrg) Options() session.Options {
	return session.Options{
		Ledger: o.Ledger, AtlassianURL: o.URL + "/admin", Now: o.Clock,
		Secret: func(string, string) (string, error) { return o.Key, nil }, Temporal: o.Temporal, Notifier: o.Notifier,
	}
}

// Clock is the time that it is for everybody.
func (o *SimulatedOrg) Clock() time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.Now
}

// Advance moves the clock on.
func (o *SimulatedOrg) Advance(d time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.Now = o.Now.Add(d)
}

// Call runs one activity as a worker would.
func Call[R any](o *SimulatedOrg, run, in any) (R, error) {
	o.T.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.NewTextHandler(io.Discard, nil))))
	env := suite.NewTestActivityEnvironment()
	env.SetTestTimeout(30 * time.Second)
	o.Acts.Register(env)
	if o.Beat != nil {
		env.SetHeartbeatDetails(o.Beat)
		o.Beat = nil
	}
	o.Beats = nil
	env.SetOnActivityHeartbeatListener(func(_ *activity.Info, details converter.EncodedValues) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.Beats = append(o.Beats, func(into any) error { return details.Get(into) })
	})
	var result R
	value, err := env.ExecuteActivity(run, in)
	if err == nil {
		require.NoError(o.T, value.Get(&result))
	}
	return result, err
}

// Must runs an activity that has to go well.
func Must[R any](o *SimulatedOrg, run, in any) R {
	o.T.Helper()
	result, err := Call[R](o, run, in)
	require.NoError(o.T, err)
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

// PolicyText is a policy file; a guard that lets everything through unless the test says otherwise.
func (o *SimulatedOrg) PolicyText(more string) string {
	return fmt.Sprintf(`
version: 1
organization: {name: acme, id: %s, key: "env:KEY"}
mappings:
  - {name: builders, from: [eng], to: ["group:builders"]}
  - {name: helpers, from: [support], to: ["group:helpers"], adopt: true}
ignore: [unused]
%s
`, o.Sim.Info().OrgID, more)
}

const (
	AutoAdopt = "guard: {adopt: auto}"
	OpenGuard = `guard: {adopt: auto, run: {removals: 1000, share: 100%}, target: {removals: 1000, share: 100%}, lastAccess: {people: 1000}, window: {removals: 1000, share: 100%}, source: {share: 100%}}`
)

// AdmitIn asks for a policy to come into force.
func (o *SimulatedOrg) AdmitIn(text string) reconcile.AdmitInput {
	body, err := json.Marshal(text)
	require.NoError(o.T, err)
	return reconcile.AdmitInput{Org: Org, Policy: body, By: "ana"}
}

// Admit takes a policy into force.
func (o *SimulatedOrg) Admit(more string) reconcile.AdmitResult {
	o.T.Helper()
	result := Must[reconcile.AdmitResult](o, o.Acts.Reconcile.Admit, o.AdmitIn(o.PolicyText(more)))
	o.Policy = result.Policy
	return result
}

// NewRun names a run.
func (o *SimulatedOrg) NewRun() session.RunInput {
	o.runs++
	return session.RunInput{Org: Org, Run: fmt.Sprintf("run-%03d", o.runs), Policy: o.Policy}
}

// Sweep reads the outline and everybody.
func (o *SimulatedOrg) Sweep(run session.RunInput) int {
	o.T.Helper()
	o.Outline(run)
	seen := 0
	for block, cursor := 0, ""; block == 0 || cursor != ""; block++ {
		swept := Must[session.SweepResult](o, o.Acts.Reconcile.Sweep,
			reconcile.SweepInput{RunInput: run, Block: block, Cursor: cursor, Pages: 20})
		seen += swept.People
		cursor = swept.Next
	}
	return seen
}

// Outline reads the outline for a run.
func (o *SimulatedOrg) Outline(run session.RunInput) reconcile.OutlineResult {
	o.T.Helper()
	return Must[reconcile.OutlineResult](o, o.Acts.Reconcile.Outline,
		reconcile.OutlineInput{RunInput: run, Trigger: "on schedule", Started: o.Clock()})
}

// Judge judges the plan of a run.
func (o *SimulatedOrg) Judge(run session.RunInput) reconcile.JudgeResult {
	o.T.Helper()
	return Must[reconcile.JudgeResult](o, o.Acts.Reconcile.Judge, reconcile.JudgeInput{
		RunInput: run, Trigger: "on schedule", Scope: messages.ScopeFull, Started: o.Clock(),
	})
}

// SweepAndJudge reads everybody in a run of its own and judges its plan.
func (o *SimulatedOrg) SweepAndJudge() (session.RunInput, reconcile.JudgeResult) {
	o.T.Helper()
	run := o.NewRun()
	o.Sweep(run)
	return run, o.Judge(run)
}

// Write makes all released changes of a run and says what came of each, by its label.
func (o *SimulatedOrg) Write(run session.RunInput) map[string]apply.ChangeResult {
	o.T.Helper()
	results := o.WriteSome(run, false)
	maps.Copy(results, o.WriteSome(run, true))
	return results
}

// WriteSome writes what nothing held, or what a decision released.
func (o *SimulatedOrg) WriteSome(run session.RunInput, approved bool) map[string]apply.ChangeResult {
	o.T.Helper()
	results := map[string]apply.ChangeResult{}
	for _, action := range []access.Action{access.Adopt, access.Add, access.Remove} {
		if action == access.Adopt {
			Must[int](o, o.Acts.Reconcile.Set,
				reconcile.SetInput{RunInput: run, Action: access.Adopt, State: access.Done, Answer: "recorded"})
			continue
		}
		for after, more := "", true; more; {
			next := Must[apply.NextResult](o, o.Acts.Apply.Next,
				apply.NextInput{RunInput: run, Actions: []access.Action{action}, Approved: &approved, After: after,
					Limit: 25})
			for _, l := range next.Lines {
				results[l.Label] = Must[apply.ChangeResult](o, o.Acts.Apply.Apply,
					apply.ChangeInput{RunInput: run, Person: l.Person, Target: l.Target})
			}
			after, more = next.After, next.More
		}
	}
	return results
}

// Finish ends a run.
func (o *SimulatedOrg) Finish(run session.RunInput, scope string) messages.RunSummary {
	o.T.Helper()
	return Must[messages.RunSummary](o, o.Acts.Reconcile.Finish,
		reconcile.FinishInput{RunInput: run, Scope: scope, Summary: messages.RunSummary{
			Run: run.Run, Scope: scope, Trigger: "on schedule", State: messages.RunDone, Started: o.Clock(),
		}})
}

// VerifyEverybody does a whole verification.
func (o *SimulatedOrg) VerifyEverybody() (session.RunInput, messages.RunSummary) {
	o.T.Helper()
	run, _ := o.SweepAndJudge()
	o.Write(run)
	sum := o.Finish(run, messages.ScopeFull)
	o.Advance(time.Minute) // so that what was written is no longer recent
	return run, sum
}

// NewInStep is a simulated organization whose policy is in force and carried out by run-001, a minute ago.
func NewInStep(t *testing.T) *SimulatedOrg {
	t.Helper()
	inStepBook.Lock()
	defer inStepBook.Unlock()
	if inStepBook.data == nil {
		o := New(t)
		o.Admit(OpenGuard)
		_, sum := o.VerifyEverybody()
		require.Equal(t, 9, sum.Counts.Done, "six builders, two helpers and one adopted: %+v", sum.Counts)
		require.NoError(t, o.Ledger.Close())
		var err error
		inStepBook.data, err = os.ReadFile(o.File)
		require.NoError(t, err)
	}
	carriedOut := People
	carriedOut.Local = []cloud.OrgGroup{{Name: "builders", Members: People.Groups[0].Members},
		{Name: "helpers", Members: []string{"finn", "gil", "hana", "lea"}}, {Name: "other"}}
	carriedOut.Foreign = map[string][]string{"other": {"jo"}}
	o := NewWithLedger(t, carriedOut, inStepBook.data)
	known, err := o.Ledger.Organization(t.Context(), Org)
	require.NoError(t, err)
	o.Policy, o.runs = known.Policy, 1
	o.Advance(time.Minute)
	return o
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

// PeopleInEng is an organization of n people, all of them in eng.
func PeopleInEng(n int) cloud.OrgFile {
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

// AdmitAs is the organization's policy, for an organization of another name.
func (o *SimulatedOrg) AdmitAs(name string) reconcile.AdmitInput {
	in := o.AdmitIn(strings.Replace(o.PolicyText(AutoAdopt), "name: acme", "name: "+name, 1))
	in.Org = name
	return in
}

// Version is the organization's policy as the ledger keeps it, for an organization of another name.
func (o *SimulatedOrg) Version(name string) ledger.PolicyVersion {
	p, err := policy.Parse("policy", []byte(strings.Replace(o.PolicyText(AutoAdopt), "name: acme", "name: "+name, 1)))
	require.NoError(o.T, err)
	return ledger.PolicyVersion{Org: name, Hash: p.Hash(), Body: p.JSON(), OrgID: p.Organization.ID, At: o.Clock()}
}

// Forge writes to the ledger's database past the ledger, as its administrators could.
func (o *SimulatedOrg) Forge(statement string, args ...any) {
	o.T.Helper()
	db, err := sql.Open("sqlite", o.File)
	require.NoError(o.T, err)
	defer func() { require.NoError(o.T, db.Close()) }()
	result, err := db.ExecContext(o.T.Context(), statement, args...)
	require.NoError(o.T, err)
	n, err := result.RowsAffected()
	require.NoError(o.T, err)
	require.NotZero(o.T, n)
}
