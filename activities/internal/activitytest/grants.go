package activitytest

import (
	"context"
	"encoding/json"
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
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/activities/apply"
	"github.com/castellan-io/castellan/activities/grants"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// fakeTemporal notes which workflows are woken and what they are answered.
type fakeTemporal struct {
	Status  func() messages.GrantState // what a workflow shows; nil: nobody runs
	mu      sync.Mutex
	Woken   []string
	Answers []messages.GrantReconciledSignal
	Asked   []messages.LookAtSignal
	Gone    bool   // no workflow runs
	Refuses error  // no workflow can be started or woken
	Deaf    string // the workflow that cannot be told anything
}

// QueryWorkflow answers as a workflow does that shows whatever was just recorded.
func (f *fakeTemporal) QueryWorkflow(context.Context, string, string, string, ...any) (converter.EncodedValue, error) {
	if f.Status == nil {
		return nil, serviceerror.NewNotFound("nobody runs here")
	}
	payloads, err := converter.GetDefaultDataConverter().ToPayloads(f.Status())
	return client.NewValue(payloads), err
}

func (f *fakeTemporal) SignalWithStartWorkflow(_ context.Context, id, signal string, _ any,
	options client.StartWorkflowOptions, _ any, args ...any) (client.WorkflowRun, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	in, ok := args[0].(messages.TemporaryGrantInput)
	if !ok || signal != messages.Look || options.ID != id || id != messages.GrantID(in.Org, in.Target, in.Key) {
		return nil, fmt.Errorf("%s is woken by %s with %v", id, signal, args)
	}
	if err := messages.CheckID(id); err != nil {
		return nil, err
	}
	if f.Refuses != nil {
		return nil, f.Refuses
	}
	f.Woken = append(f.Woken, id)
	return nil, nil
}

func (f *fakeTemporal) SignalWorkflow(_ context.Context, id, _, signal string, arg any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := messages.CheckID(id); err != nil || id == "" {
		return serviceerror.NewInvalidArgument("WorkflowId is not set on request, or cannot travel")
	}
	if id == f.Deaf {
		return fmt.Errorf("the connection is lost")
	}
	if f.Gone {
		return serviceerror.NewNotFound("it was terminated")
	}
	if ask, ok := arg.(messages.LookAtSignal); ok && signal == messages.LookAt {
		f.Asked = append(f.Asked, ask)
		return nil
	}
	answer, ok := arg.(messages.GrantReconciledSignal)
	if !ok || signal != messages.GrantReconciled {
		return fmt.Errorf("signal %s with %T", signal, arg)
	}
	f.Answers = append(f.Answers, answer)
	return nil
}

// fakeNotifier keeps what people are told.
type fakeNotifier struct {
	mu        sync.Mutex
	Privately bool
	Fails     int // how many notices are lost
	Notices   []messages.Notice
}

func (f *fakeNotifier) Private() bool { return f.Privately }

func (f *fakeNotifier) Notify(_ context.Context, n messages.Notice) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.Fails > 0 {
		f.Fails--
		return fmt.Errorf("the mail server is away")
	}
	f.Notices = append(f.Notices, n)
	return nil
}

const (
	Other = access.Entitlement("group:other")
	Jira  = access.Entitlement("role:jira-software/acme/admin")
)

// Lendable lets everything be granted to everybody, at once or for tomorrow.
const Lendable = `
grants:
  - name: all
    targets: ["group:other", "group:builders", "default:jira/acme/admin", "role:org-admin", "role:jira/acme/admin", directory]
    duration: {default: 1h, max: 24h}
    ahead: 48h
    extend: {max: 48h, times: 3}
    reason: false
`

// WithGrants is a world in step under a policy with these grants, whose groups were read.
func WithGrants(t *testing.T, grants string) *SimulatedOrg {
	t.Helper()
	w := InStep(t)
	w.Admit(OpenGuard + "\n" + grants)
	w.Outline(w.NewRun())
	return w
}

// RequestOf is a request with an id of its own.
func (w *SimulatedOrg) RequestOf(person string, target access.Entitlement, d time.Duration) grants.RequestGrantInput {
	w.Asked++
	return grants.RequestGrantInput{Org: Org, GrantInput: messages.GrantInput{
		Person: person, Target: target, Duration: access.Duration(d), Reason: "on call", RequestedBy: w.somebody(),
		RequestID: fmt.Sprintf("g%03d", w.Asked),
	}}
}

// somebody is who asks where a test does not say: bo, or whoever the organization has.
func (w *SimulatedOrg) somebody() string {
	people := w.Sim.State().People
	for _, p := range people {
		if p.Email == "bo@example.com" {
			return p.Email
		}
	}
	for _, p := range people {
		if p.Name == "bo" {
			return p.Email
		}
	}
	return people[0].Email
}

// Grant asks for a grant to somebody named in the organization file, which has to be stored.
func (w *SimulatedOrg) Grant(person string, target access.Entitlement, d time.Duration) access.Grant {
	w.T.Helper()
	if !strings.Contains(person, "@") {
		person += "@example.com"
	}
	return Must[messages.GrantAnswer](w, w.Acts.Grants.RequestGrant, w.RequestOf(person, target, d)).Grants[0]
}

// Stored is a grant as the ledger has it now.
func (w *SimulatedOrg) Stored(g access.Grant) access.Grant {
	w.T.Helper()
	now, err := w.Ledger.Grant(w.T.Context(), Org, g.ID)
	require.NoError(w.T, err)
	return now
}

// ask is what the grant's workflow asks the organization's loop.
func (w *SimulatedOrg) AskOf(g access.Grant) messages.ReconcileGrantSignal {
	g = w.Stored(g)
	return messages.ReconcileGrantSignal{
		Workflow: messages.GrantID(Org, g.Target, g.Key), Person: g.Person, Email: g.Email, Target: g.Target, Turn: 1,
	}
}

// Direct runs an activity in an environment of its own, so that several may run at once.
func (w *SimulatedOrg) Direct(run func(*activities.Activities) any, in any) (converter.EncodedValue, error) {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.NewTextHandler(io.Discard, nil))))
	env := suite.NewTestActivityEnvironment()
	env.SetTestTimeout(30 * time.Second)
	w.Acts.Register(env)
	return env.ExecuteActivity(run(w.Acts), in)
}

// Round is one run of grants.
type Round struct {
	reconcile.AttendInput
	Plan    reconcile.AttendResult
	Results map[string]apply.ChangeResult // by label; without those whose last attempt failed
	Failed  map[string]error
}

// Attend has the grants given or taken back, as the organization's loop does, and returns what came of the lines and
// how the workflows were answered, in order.
func (w *SimulatedOrg) Attend(grants ...access.Grant) (*Round, []messages.GrantReconciledSignal) {
	w.T.Helper()
	r := w.Begin(grants...)
	w.Lend(r, 3)
	return r, w.Answer(r)
}

// Right attends to grants for which all has to go well.
func (w *SimulatedOrg) Right(grants ...access.Grant) *Round {
	w.T.Helper()
	r, answers := w.Attend(grants...)
	for _, a := range answers {
		require.True(w.T, a.Right, "%+v; %v; %v", a, r.Results, r.Failed)
	}
	return r
}

// Begin plans a round.
func (w *SimulatedOrg) Begin(grants ...access.Grant) *Round {
	w.T.Helper()
	r := &Round{Results: map[string]apply.ChangeResult{}, Failed: map[string]error{}}
	r.RunInput = w.NewRun()
	for _, g := range grants {
		r.Asks = append(r.Asks, w.AskOf(g))
	}
	r.Plan = Must[reconcile.AttendResult](w, w.Acts.Reconcile.Attend, r.AttendInput)
	return r
}

// LinesOf are the lines of a round that wait to be written, in the order of the reconcile workflow.
func (w *SimulatedOrg) LinesOf(r *Round) (lines []apply.Line) {
	w.T.Helper()
	if r.Plan.Open == 0 {
		return nil
	}
	for _, action := range []access.Action{access.Remove, access.Add} {
		next := Must[apply.NextResult](w, w.Acts.Apply.Next,
			apply.NextInput{RunInput: r.RunInput, Actions: []access.Action{action}, Limit: 1000})
		require.False(w.T, next.More)
		lines = append(lines, next.Lines...)
	}
	return lines
}

// Lend writes the lines of a round, each in so many attempts at most, some seconds apart.
func (w *SimulatedOrg) Lend(r *Round, tries int) {
	w.T.Helper()
	for _, line := range w.LinesOf(r) {
		for range tries {
			if w.Attempt(r, line) {
				break
			}
			w.Pass(5 * time.Second)
		}
	}
}

// Attempt is one attempt at a line; it says whether there is an answer.
func (w *SimulatedOrg) Attempt(r *Round, line apply.Line) bool {
	result, err := Call[apply.ChangeResult](w, w.Acts.Apply.Apply, apply.ChangeInput{
		RunInput: r.RunInput, Person: line.Person, Target: line.Target, Now: true,
	})
	if err != nil {
		r.Failed[line.Label] = err
		return false
	}
	delete(r.Failed, line.Label)
	r.Results[line.Label] = result
	return true
}

// Answer reads the writes of a round back and tells the grants.
func (w *SimulatedOrg) Answer(r *Round) []messages.GrantReconciledSignal {
	w.T.Helper()
	if r.Plan.Open > 0 {
		w.Pass(5 * time.Second)
		Must[reconcile.VerifyResult](w, w.Acts.Reconcile.Verify, r.RunInput)
		w.Finish(r.RunInput, messages.ScopeGrants)
	}
	before := len(w.Temporal.Answers)
	require.Equal(w.T, len(r.Asks), Must[int](w, w.Acts.Reconcile.Attended, r.AttendInput))
	return slices.Clone(w.Temporal.Answers[before:])
}

// Until moves the clock to the end of a grant.
func (w *SimulatedOrg) Until(g access.Grant) { w.Pass(w.Stored(g).Until.Sub(w.Clock())) }

// Admins are the names of the organization's administrators, sorted.
func (w *SimulatedOrg) Admins() string {
	var names []string
	for _, p := range w.Sim.State().People {
		if p.OrgAdmin {
			names = append(names, p.Name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// Set changes somebody as an administrator would in the web interface.
func (w *SimulatedOrg) Set(name string, change map[string]any) {
	w.T.Helper()
	w.Send(http.MethodPost, "/_sim/people/"+w.Person(name).Email, change)
}

// Held is what the ledger knows of somebody's membership; nil: nothing.
func (w *SimulatedOrg) Held(name string, target access.Entitlement) *access.Holding {
	w.T.Helper()
	h, err := w.Ledger.Holding(w.T.Context(), Org, w.Id(name), target)
	if err != nil {
		require.ErrorIs(w.T, err, ledger.ErrNotFound)
		return nil
	}
	return &h
}

// Of are the requests that a report lists for a word.
func (w *SimulatedOrg) Of(typed string) (ids []string) {
	w.T.Helper()
	answer := Must[messages.ReportAnswer](w, w.Acts.Reports.Answer,
		messages.ReportInput{Org: Org, Kind: messages.ReportGrants, Person: typed, Limit: 100})
	for _, g := range answer.Grants {
		ids = append(ids, g.ID)
	}
	return ids
}

func (w *SimulatedOrg) Revoke(typed string, target access.Entitlement) (messages.GrantAnswer, error) {
	return Call[messages.GrantAnswer](w, w.Acts.Grants.RevokeGrant,
		grants.RevokeGrantInput{Org: Org, RevokeInput: messages.RevokeInput{
			Person: typed, Target: target, RequestedBy: "bo@example.com", Reason: "done",
		}})
}

const Guarded = `
protected:
  - {target: role:org-admin, minimum: 1, always: [ana@example.com]}
  - {target: "group:builders", minimum: 1, always: [glas@example.com]}
rules:
  - {name: look, owner: dan@example.com, when: external, notify: [owner]}
`

func (w *SimulatedOrg) Admitted(text string) []string {
	w.T.Helper()
	return Must[reconcile.AdmitResult](w, w.Acts.Reconcile.Admit, w.AdmitIn(text)).Findings
}

// NamesLeadTo is all accounts for which names stand in the policy in force, as a session takes them.
func (w *SimulatedOrg) NamesLeadTo() (all []string) {
	w.T.Helper()
	w.Outline(w.NewRun())
	rows, err := w.Ledger.PolicyNames(w.T.Context(), Org)
	require.NoError(w.T, err)
	for _, r := range rows {
		all = append(all, r.Account)
	}
	return all
}

// Burn has a code burnt that was typed, and others sent.
func (w *SimulatedOrg) Burn(code string) []session.BurntCode {
	w.T.Helper()
	burnt := Must[[]session.BurntCode](w, w.Acts.Grants.BurnCodes,
		grants.BurnCodesInput{Org: Org, Hashes: []string{messages.CodeHash(code)}})
	for _, one := range burnt {
		_, err := w.Direct(func(a *activities.Activities) any { return a.Grants.ResendCode }, one)
		require.NoError(w.T, err)
	}
	return burnt
}

// Retried runs an activity as a workflow does: until an attempt works.
func (w *SimulatedOrg) Retried(run, in any) error {
	w.T.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.NewTextHandler(io.Discard, nil))))
	env := suite.NewTestWorkflowEnvironment()
	env.SetTestTimeout(30 * time.Second)
	w.Acts.Register(env)
	env.RegisterWorkflowWithOptions(func(ctx workflow.Context) error {
		again := workflow.WithActivityOptions(ctx,
			workflow.ActivityOptions{StartToCloseTimeout: time.Minute,
				RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 5}})
		return workflow.ExecuteActivity(again, run, in).Get(ctx, nil)
	}, workflow.RegisterOptions{Name: "retried"})
	env.ExecuteWorkflow("retried")
	return env.GetWorkflowError()
}

func (w *SimulatedOrg) Decide(in grants.DecideGrantInput) messages.GrantAnswer {
	w.T.Helper()
	return Must[messages.GrantAnswer](w, w.Acts.Grants.DecideGrant, in)
}

func (w *SimulatedOrg) End(id string) {
	Must[messages.GrantAnswer](w, w.Acts.Grants.RevokeGrant,
		grants.RevokeGrantInput{Org: Org,
			RevokeInput: messages.RevokeInput{Request: id, RequestedBy: "bo@example.com"}})
}

// Tell sends a notice of a grant.
func (w *SimulatedOrg) Tell(g access.Grant, kind string) {
	w.T.Helper()
	_, err := w.Direct(func(a *activities.Activities) any { return a.Grants.Tell }, grants.TellInput{
		Org: Org, Workflow: messages.GrantID(Org, g.Target, g.Key), Kind: kind, Grant: g.ID,
	})
	require.NoError(w.T, err)
}

// SaysNoCode says that no code stands in a value, in an error or anywhere in the ledger.
func (w *SimulatedOrg) SaysNoCode(value any, codes map[string]string) {
	w.T.Helper()
	entries, err := w.Ledger.History(w.T.Context(), Org, "", Helpers, 1000)
	require.NoError(w.T, err)
	text, err := json.Marshal([]any{value, w.All(), entries})
	require.NoError(w.T, err)
	said := string(text) + fmt.Sprint(w.Temporal.Woken)
	for _, code := range codes {
		require.NotContains(w.T, said, code)
		require.NotContains(w.T, said, strings.ReplaceAll(code, "-", ""))
	}
}

// Holds says whether somebody really holds a target.
func (w *SimulatedOrg) Holds(name string, target access.Entitlement) bool {
	w.T.Helper()
	p := w.Person(name)
	switch {
	case target == access.OrgAdmin:
		return p.OrgAdmin
	case target == access.Directory:
		return !p.Absent && !p.Suspended
	case target.Kind() == access.KindDefault:
		return slices.Contains(w.Group("jira-admins-acme").Members, p.AccountID)
	case target.Kind() == access.KindRole:
		return slices.ContainsFunc(p.Roles,
			func(r cloud.StateRole) bool { return r.App == "jira-software" && r.Role == "atlassian/admin" })
	}
	return slices.Contains(w.Group(target.Group()).Members, p.AccountID)
}

// Judged lets three kinds of targets be granted: with two approvals, with nobody's, and with a code.
const Judged = `
grants:
  - name: admins
    targets: [role:org-admin]
    eligible: in("eng")
    duration: {default: 1h, max: 4h}
    approval: {count: 2, by: [ana@example.com, carol@example.com, dan@example.com], wait: 1h}
    ticket: INC-[0-9]+
    ahead: 24h
    extend: {max: 6h, times: 2}
  - name: tools
    targets: ["group:other"]
    duration: {max: 4h}
    extend: {max: 6h, times: 1}
  - name: coded
    targets: ["group:helpers"]
    duration: {max: 4h}
    approval: {count: 1, by: [carol@example.com, dan@example.com], codes: true}
`

// AdminRequest is a request that is in order.
func (w *SimulatedOrg) AdminRequest() grants.RequestGrantInput {
	in := w.RequestOf("kim@example.com", access.OrgAdmin, time.Hour)
	in.Ticket = "INC-4711"
	return in
}

// All are all grants that the ledger knows.
func (w *SimulatedOrg) All() []access.Grant {
	w.T.Helper()
	found, err := w.Ledger.Grants(w.T.Context(), Org, ledger.GrantFilter{})
	require.NoError(w.T, err)
	return found
}

// Refuses says that an error is a refusal that names all of these, and that nothing has become of it.
func (w *SimulatedOrg) Refuses(do func() error, words ...string) {
	w.T.Helper()
	grants, woken, writes := w.All(), len(w.Temporal.Woken), w.Sim.Stats().Writes
	app := ApplicationError(w.T, do())
	require.Equal(w.T, session.ErrRefused, app.Type(), "%v", app)
	require.True(w.T, app.NonRetryable())
	for _, word := range words {
		require.Contains(w.T, app.Message(), word)
	}
	require.NotContains(w.T, app.Message(), w.Key)
	require.Equal(w.T, grants, w.All())
	require.Len(w.T, w.Temporal.Woken, woken)
	require.Equal(w.T, writes, w.Sim.Stats().Writes)
}

// RevokeRole takes the Jira admin role from somebody as an administrator would.
func (w *SimulatedOrg) RevokeRole(name string) {
	w.T.Helper()
	w.Admin(http.MethodPost, "/admin/v1/orgs/"+w.Sim.Info().OrgID+"/users/"+w.Id(name)+"/roles/revoke",
		`{"role":"atlassian/admin","resource":"`+w.Person(name).Roles[0].Resource+`"}`)
}

func (w *SimulatedOrg) hasRole(name string) bool {
	w.T.Helper()
	return len(w.Person(name).Roles) > 0
}

// Has says whether ivo holds the target in the organization.
func (w *SimulatedOrg) Has(target access.Entitlement) bool {
	w.T.Helper()
	switch target {
	case access.OrgAdmin:
		return strings.Contains(w.Admins(), "ivo")
	case access.Directory:
		return !w.Person("ivo").Suspended
	case Jira:
		return w.hasRole("ivo")
	}
	return strings.Contains(w.Members("builders"), "ivo")
}
