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

// WithGrants is a simulated organization in step under a policy with these grants, whose groups were read.
func WithGrants(t *testing.T, grants string) *SimulatedOrg {
	t.Helper()
	o := NewInStep(t)
	o.Admit(OpenGuard + "\n" + grants)
	o.Outline(o.NewRun())
	return o
}

// RequestOf is a request with an id of its own.
func (o *SimulatedOrg) RequestOf(person string, target access.Entitlement, d time.Duration) grants.RequestGrantInput {
	o.Asked++
	return grants.RequestGrantInput{Org: Org, GrantInput: messages.GrantInput{
		Person: person, Target: target, Duration: access.Duration(d), Reason: "on call", RequestedBy: o.somebody(),
		RequestID: fmt.Sprintf("g%03d", o.Asked),
	}}
}

// somebody is who asks where a test does not say: bo, or whoever the organization has.
func (o *SimulatedOrg) somebody() string {
	people := o.Sim.State().People
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
func (o *SimulatedOrg) Grant(person string, target access.Entitlement, d time.Duration) access.Grant {
	o.T.Helper()
	if !strings.Contains(person, "@") {
		person += "@example.com"
	}
	return Must[messages.GrantAnswer](o, o.Acts.Grants.RequestGrant, o.RequestOf(person, target, d)).Grants[0]
}

// StoredGrant is a grant as the ledger has it now.
func (o *SimulatedOrg) StoredGrant(g access.Grant) access.Grant {
	o.T.Helper()
	now, err := o.Ledger.Grant(o.T.Context(), Org, g.ID)
	require.NoError(o.T, err)
	return now
}

// SignalOf returns what the grant's workflow asks the organization's loop.
func (o *SimulatedOrg) SignalOf(g access.Grant) messages.ReconcileGrantSignal {
	g = o.StoredGrant(g)
	return messages.ReconcileGrantSignal{
		Workflow: messages.GrantID(Org, g.Target, g.Key), Person: g.Person, Email: g.Email, Target: g.Target, Turn: 1,
	}
}

// CallInOwnEnv runs an activity in an environment of its own, so that several may run at once.
func (o *SimulatedOrg) CallInOwnEnv(run func(*activities.Activities) any, in any) (converter.EncodedValue, error) {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.NewTextHandler(io.Discard, nil))))
	env := suite.NewTestActivityEnvironment()
	env.SetTestTimeout(30 * time.Second)
	o.Acts.Register(env)
	return env.ExecuteActivity(run(o.Acts), in)
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
func (o *SimulatedOrg) Attend(grants ...access.Grant) (*Round, []messages.GrantReconciledSignal) {
	o.T.Helper()
	r := o.PlanRound(grants...)
	o.WriteRound(r, 3)
	return r, o.AnswerRound(r)
}

// AttendAll attends to grants for which all has to go well.
func (o *SimulatedOrg) AttendAll(grants ...access.Grant) *Round {
	o.T.Helper()
	r, answers := o.Attend(grants...)
	for _, a := range answers {
		require.True(o.T, a.Right, "%+v; %v; %v", a, r.Results, r.Failed)
	}
	return r
}

// PlanRound plans a round.
func (o *SimulatedOrg) PlanRound(grants ...access.Grant) *Round {
	o.T.Helper()
	r := &Round{Results: map[string]apply.ChangeResult{}, Failed: map[string]error{}}
	r.RunInput = o.NewRun()
	for _, g := range grants {
		r.Asks = append(r.Asks, o.SignalOf(g))
	}
	r.Plan = Must[reconcile.AttendResult](o, o.Acts.Reconcile.Attend, r.AttendInput)
	return r
}

// LinesOf are the lines of a round that wait to be written, in the order of the reconcile workflow.
func (o *SimulatedOrg) LinesOf(r *Round) (lines []apply.Line) {
	o.T.Helper()
	if r.Plan.Open == 0 {
		return nil
	}
	for _, action := range []access.Action{access.Remove, access.Add} {
		next := Must[apply.NextResult](o, o.Acts.Apply.Next,
			apply.NextInput{RunInput: r.RunInput, Actions: []access.Action{action}, Limit: 1000})
		require.False(o.T, next.More)
		lines = append(lines, next.Lines...)
	}
	return lines
}

// WriteRound writes the lines of a round, each in so many attempts at most, some seconds apart.
func (o *SimulatedOrg) WriteRound(r *Round, tries int) {
	o.T.Helper()
	for _, line := range o.LinesOf(r) {
		for range tries {
			if o.Attempt(r, line) {
				break
			}
			o.Advance(5 * time.Second)
		}
	}
}

// Attempt is one attempt at a line; it says whether there is an answer.
func (o *SimulatedOrg) Attempt(r *Round, line apply.Line) bool {
	result, err := Call[apply.ChangeResult](o, o.Acts.Apply.Apply, apply.ChangeInput{
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

// AnswerRound reads the writes of a round back and tells the grants.
func (o *SimulatedOrg) AnswerRound(r *Round) []messages.GrantReconciledSignal {
	o.T.Helper()
	if r.Plan.Open > 0 {
		o.Advance(5 * time.Second)
		Must[reconcile.VerifyResult](o, o.Acts.Reconcile.Verify, r.RunInput)
		o.Finish(r.RunInput, messages.ScopeGrants)
	}
	before := len(o.Temporal.Answers)
	require.Equal(o.T, len(r.Asks), Must[int](o, o.Acts.Reconcile.Attended, r.AttendInput))
	return slices.Clone(o.Temporal.Answers[before:])
}

// AdvanceToEnd moves the clock to the end of a grant.
func (o *SimulatedOrg) AdvanceToEnd(g access.Grant) { o.Advance(o.StoredGrant(g).Until.Sub(o.Clock())) }

// Admins are the names of the organization's administrators, sorted.
func (o *SimulatedOrg) Admins() string {
	var names []string
	for _, p := range o.Sim.State().People {
		if p.OrgAdmin {
			names = append(names, p.Name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// ChangePerson changes somebody as an administrator would in the web interface.
func (o *SimulatedOrg) ChangePerson(name string, change map[string]any) {
	o.T.Helper()
	o.Send(http.MethodPost, "/_sim/people/"+o.Person(name).Email, change)
}

// Held is what the ledger knows of somebody's membership; nil: nothing.
func (o *SimulatedOrg) Held(name string, target access.Entitlement) *access.Holding {
	o.T.Helper()
	h, err := o.Ledger.Holding(o.T.Context(), Org, o.AccountID(name), target)
	if err != nil {
		require.ErrorIs(o.T, err, ledger.ErrNotFound)
		return nil
	}
	return &h
}

// RequestsOf are the requests that a report lists for a word.
func (o *SimulatedOrg) RequestsOf(typed string) (ids []string) {
	o.T.Helper()
	answer := Must[messages.ReportAnswer](o, o.Acts.Reports.Answer,
		messages.ReportInput{Org: Org, Kind: messages.ReportGrants, Person: typed, Limit: 100})
	for _, g := range answer.Grants {
		ids = append(ids, g.ID)
	}
	return ids
}

func (o *SimulatedOrg) Revoke(typed string, target access.Entitlement) (messages.GrantAnswer, error) {
	return Call[messages.GrantAnswer](o, o.Acts.Grants.RevokeGrant,
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

func (o *SimulatedOrg) Admitted(text string) []string {
	o.T.Helper()
	return Must[reconcile.AdmitResult](o, o.Acts.Reconcile.Admit, o.AdmitIn(text)).Findings
}

// AccountsOfNames is all accounts for which names stand in the policy in force, as a session takes them.
func (o *SimulatedOrg) AccountsOfNames() (all []string) {
	o.T.Helper()
	o.Outline(o.NewRun())
	rows, err := o.Ledger.PolicyNames(o.T.Context(), Org)
	require.NoError(o.T, err)
	for _, r := range rows {
		all = append(all, r.Account)
	}
	return all
}

// Burn has a code burnt that was typed, and others sent.
func (o *SimulatedOrg) Burn(code string) []session.BurntCode {
	o.T.Helper()
	burnt := Must[[]session.BurntCode](o, o.Acts.Grants.BurnCodes,
		grants.BurnCodesInput{Org: Org, Hashes: []string{messages.CodeHash(code)}})
	for _, one := range burnt {
		_, err := o.CallInOwnEnv(func(a *activities.Activities) any { return a.Grants.ResendCode }, one)
		require.NoError(o.T, err)
	}
	return burnt
}

// CallUntilDone runs an activity as a workflow does: until an attempt works.
func (o *SimulatedOrg) CallUntilDone(run, in any) error {
	o.T.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.NewTextHandler(io.Discard, nil))))
	env := suite.NewTestWorkflowEnvironment()
	env.SetTestTimeout(30 * time.Second)
	o.Acts.Register(env)
	env.RegisterWorkflowWithOptions(func(ctx workflow.Context) error {
		again := workflow.WithActivityOptions(ctx,
			workflow.ActivityOptions{StartToCloseTimeout: time.Minute,
				RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 5}})
		return workflow.ExecuteActivity(again, run, in).Get(ctx, nil)
	}, workflow.RegisterOptions{Name: "retried"})
	env.ExecuteWorkflow("retried")
	return env.GetWorkflowError()
}

func (o *SimulatedOrg) Decide(in grants.DecideGrantInput) messages.GrantAnswer {
	o.T.Helper()
	return Must[messages.GrantAnswer](o, o.Acts.Grants.DecideGrant, in)
}

func (o *SimulatedOrg) End(id string) {
	Must[messages.GrantAnswer](o, o.Acts.Grants.RevokeGrant,
		grants.RevokeGrantInput{Org: Org,
			RevokeInput: messages.RevokeInput{Request: id, RequestedBy: "bo@example.com"}})
}

// Tell sends a notice of a grant.
func (o *SimulatedOrg) Tell(g access.Grant, kind string) {
	o.T.Helper()
	_, err := o.CallInOwnEnv(func(a *activities.Activities) any { return a.Grants.Tell }, grants.TellInput{
		Org: Org, Workflow: messages.GrantID(Org, g.Target, g.Key), Kind: kind, Grant: g.ID,
	})
	require.NoError(o.T, err)
}

// RequireNoCode says that no code stands in a value, in an error or anywhere in the ledger.
func (o *SimulatedOrg) RequireNoCode(value any, codes map[string]string) {
	o.T.Helper()
	entries, err := o.Ledger.History(o.T.Context(), Org, "", Helpers, 1000)
	require.NoError(o.T, err)
	text, err := json.Marshal([]any{value, o.AllGrants(), entries})
	require.NoError(o.T, err)
	said := string(text) + fmt.Sprint(o.Temporal.Woken)
	for _, code := range codes {
		require.NotContains(o.T, said, code)
		require.NotContains(o.T, said, strings.ReplaceAll(code, "-", ""))
	}
}

// Holds says whether somebody really holds a target.
func (o *SimulatedOrg) Holds(name string, target access.Entitlement) bool {
	o.T.Helper()
	p := o.Person(name)
	switch {
	case target == access.OrgAdmin:
		return p.OrgAdmin
	case target == access.Directory:
		return !p.Absent && !p.Suspended
	case target.Kind() == access.KindDefault:
		return slices.Contains(o.Group("jira-admins-acme").Members, p.AccountID)
	case target.Kind() == access.KindRole:
		return slices.ContainsFunc(p.Roles,
			func(r cloud.StateRole) bool { return r.App == "jira-software" && r.Role == "atlassian/admin" })
	}
	return slices.Contains(o.Group(target.Group()).Members, p.AccountID)
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
func (o *SimulatedOrg) AdminRequest() grants.RequestGrantInput {
	in := o.RequestOf("kim@example.com", access.OrgAdmin, time.Hour)
	in.Ticket = "INC-4711"
	return in
}

// AllGrants are all grants that the ledger knows.
func (o *SimulatedOrg) AllGrants() []access.Grant {
	o.T.Helper()
	found, err := o.Ledger.Grants(o.T.Context(), Org, ledger.GrantFilter{})
	require.NoError(o.T, err)
	return found
}

// RequireRefused says that an error is a refusal that names all of these, and that nothing has become of it.
func (o *SimulatedOrg) RequireRefused(do func() error, words ...string) {
	o.T.Helper()
	grants, woken, writes := o.AllGrants(), len(o.Temporal.Woken), o.Sim.Stats().Writes
	app := ApplicationError(o.T, do())
	require.Equal(o.T, session.ErrRefused, app.Type(), "%v", app)
	require.True(o.T, app.NonRetryable())
	for _, word := range words {
		require.Contains(o.T, app.Message(), word)
	}
	require.NotContains(o.T, app.Message(), o.Key)
	require.Equal(o.T, grants, o.AllGrants())
	require.Len(o.T, o.Temporal.Woken, woken)
	require.Equal(o.T, writes, o.Sim.Stats().Writes)
}

// RevokeRole takes the Jira admin role from somebody as an administrator would.
func (o *SimulatedOrg) RevokeRole(name string) {
	o.T.Helper()
	o.Admin(http.MethodPost, "/admin/v1/orgs/"+o.Sim.Info().OrgID+"/users/"+o.AccountID(name)+"/roles/revoke",
		`{"role":"atlassian/admin","resource":"`+o.Person(name).Roles[0].Resource+`"}`)
}

func (o *SimulatedOrg) hasRole(name string) bool {
	o.T.Helper()
	return len(o.Person(name).Roles) > 0
}

// Has says whether ivo holds the target in the organization.
func (o *SimulatedOrg) Has(target access.Entitlement) bool {
	o.T.Helper()
	switch target {
	case access.OrgAdmin:
		return strings.Contains(o.Admins(), "ivo")
	case access.Directory:
		return !o.Person("ivo").Suspended
	case Jira:
		return o.hasRole("ivo")
	}
	return strings.Contains(o.Members("builders"), "ivo")
}
