package workflows_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	sdkpb "go.temporal.io/api/sdk/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/workflows"
)

const (
	admin  = access.OrgAdmin
	holder = "eve@acme.example"
)

// lending runs one TemporaryGrant in time-skipping time, history after history, and plays what is around it: the ledger, the
// organization's loop, which alone gives and takes, and the notifier.
type lending struct {
	t       *testing.T
	env     *testsuite.TestWorkflowEnvironment // of the history that runs now
	input   messages.TemporaryGrantInput
	replies func(n int, in messages.AttendSignal) reply // what the loop does about its nth question; it serves it at once when nil
	refuses map[string]error                            // activities that fail, by name
	readErr func() error                                // how the next read of the ledger fails; not when nil
	behind  time.Duration                               // of the ledger's clock

	mu        sync.Mutex // activities run beside the workflow
	agenda    []*deed
	book      []access.Grant
	hashes    map[string]string // of approval codes, by approver
	holds     bool
	moves     []move
	asks      []asking
	told      []news
	rings     []time.Time // when the timers ring that were started
	decided   []activities.DecideGrantInput
	revoked   []activities.RevokeGrantInput
	shown     temporal.SearchAttributes
	expires   int
	histories int
}

// deed is what happens at an instant, whichever history runs by then.
type deed struct {
	at   time.Time
	do   func()
	done bool
}

// news is a notice that was sent.
type news struct {
	at   time.Duration
	what string // "<kind> <grant>"
	why  string
}

func newLending(t *testing.T, leases ...access.Grant) *lending {
	t.Helper()
	return &lending{
		t: t, book: leases, refuses: map[string]error{}, hashes: map[string]string{},
		input: messages.TemporaryGrantInput{Org: org, Target: admin, Key: holder},
	}
}

// lease is a grant that was granted, from a while after the beginning on.
func lease(id string, from, lasts time.Duration) access.Grant {
	return access.Grant{
		ID: id, Person: "p-eve", Email: holder, Key: holder, Target: admin, State: access.GrantGranted, By: "bo@acme.example",
		Reason: "INC-1", Requested: begin, Duration: access.Duration(lasts), From: begin.Add(from), Until: begin.Add(from + lasts),
	}
}

// waiting is a grant that waits for an approval.
func waiting(id string, lasts, decide time.Duration) access.Grant {
	g := lease(id, 0, lasts)
	g.State, g.From, g.Until = access.GrantWaiting, time.Time{}, time.Time{}
	g.Needs, g.Approvers, g.Decide = 1, []string{"carol@acme.example", "dan@acme.example"}, begin.Add(decide)
	return g
}

// live runs the workflow until it has ended.
func (l *lending) live() (state messages.GrantState, err error) {
	l.t.Helper()
	in, start := l.input, begin
	for {
		l.histories++
		l.open(start)
		l.env.ExecuteWorkflow(messages.TemporaryGrant, in)
		require.True(l.t, l.env.IsWorkflowCompleted())
		start = l.env.Now()
		var again *workflow.ContinueAsNewError
		switch err = l.env.GetWorkflowError(); {
		case err == nil:
			return state, l.env.GetWorkflowResult(&state)
		case !workflow.IsContinueAsNewError(err):
			return state, err
		}
		require.ErrorAs(l.t, err, &again)
		in = messages.TemporaryGrantInput{}
		require.NoError(l.t, converter.GetDefaultDataConverter().FromPayloads(again.Input, &in))
		require.NotNil(l.t, in.State)
	}
}

// ends is live for a workflow that ends well.
func (l *lending) ends() messages.GrantState {
	l.t.Helper()
	state, err := l.live()
	require.NoError(l.t, err)
	require.False(l.t, l.holds, "access is left when the workflow is over")
	return state
}

// open makes the environment of a history.
func (l *lending) open(start time.Time) {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(quiet)
	env := suite.NewTestWorkflowEnvironment()
	patient(env)
	env.SetStartTime(start)
	env.SetStartWorkflowOptions(client.StartWorkflowOptions{ID: messages.GrantID(org, admin, holder), TaskQueue: messages.QueueWorkflows})
	env.RegisterWorkflowWithOptions(workflows.TemporaryGrant, workflow.RegisterOptions{Name: messages.TemporaryGrant})
	for name, play := range map[string]any{
		"ReadGrants": l.playRead, "ExpireGrant": l.playExpire, "DecideGrant": l.playDecide, "RevokeGrant": l.playRevoke,
		"ExtendGrant": l.playExtend, "Tell": l.playTell,
	} {
		env.RegisterActivityWithOptions(play, activity.RegisterOptions{Name: name})
	}
	env.OnSignalExternalWorkflow(mock.Anything, messages.OrgSyncID(org), "", messages.Attend, mock.Anything).Return(l.playLoop).Maybe()
	env.OnUpsertTypedSearchAttributes(mock.MatchedBy(func(is temporal.SearchAttributes) bool {
		l.shown = is
		return true
	})).Return(nil).Maybe()
	env.SetOnTimerScheduledListener(func(_ string, d time.Duration) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.rings = append(l.rings, env.Now().Add(d))
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.env = env
	for _, d := range l.agenda {
		if !d.done {
			l.enter(d)
		}
	}
}

// at has something done a while after the beginning.
func (l *lending) at(after time.Duration, do func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.plan(begin.Add(after), do)
}

func (l *lending) plan(at time.Time, do func()) {
	d := &deed{at: at, do: do}
	l.agenda = append(l.agenda, d)
	if l.env != nil {
		l.enter(d)
	}
}

func (l *lending) enter(d *deed) {
	l.env.RegisterDelayedCallback(func() {
		if !d.done {
			d.done = true
			d.do()
		}
	}, max(0, d.at.Sub(l.env.Now())))
}

// since is how long after the beginning it is, in tenths of a second.
func (l *lending) since() time.Duration {
	return l.env.Now().Sub(begin).Truncate(100 * time.Millisecond)
}

// now is the ledger's clock.
func (l *lending) now() time.Time { return l.env.Now().Add(-l.behind) }

// lend puts another lease into the ledger and says so, as a granted request does.
func (l *lending) lend(g access.Grant) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.book = append(l.book, g)
	l.env.SignalWorkflow(messages.Look, nil)
}

// grant is one lease as the ledger has it.
func (l *lending) grant(id string) access.Grant {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.book[l.index(id)]
}

func (l *lending) index(id string) int {
	return slices.IndexFunc(l.book, func(g access.Grant) bool { return g.ID == id })
}

// status is the answer of the status query.
func (l *lending) status() (state messages.GrantState) {
	l.t.Helper()
	value, err := l.env.QueryWorkflow(messages.Status)
	require.NoError(l.t, err)
	require.NoError(l.t, value.Get(&state))
	return state
}

// page is the Markdown that the Web UI shows now.
func (l *lending) page() string {
	l.t.Helper()
	value, err := l.env.QueryWorkflow("__temporal_workflow_metadata")
	require.NoError(l.t, err)
	var metadata sdkpb.WorkflowMetadata
	require.NoError(l.t, value.Get(&metadata))
	return metadata.GetCurrentDetails()
}

// updateAt sends an update after a while and returns where its answer will stand.
func (l *lending) updateAt(after time.Duration, name string, body any) *answer {
	a := &answer{}
	l.at(after, func() { l.env.UpdateWorkflow(name, "", a, body) })
	return a
}

func (l *lending) signalAt(after time.Duration, name string, body any) {
	l.at(after, func() { l.env.SignalWorkflow(name, body) })
}

// notices are the notices of a kind, or of a kind and a grant, and when they were sent.
func (l *lending) notices(what string) (at []time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range l.told {
		if strings.HasPrefix(n.what+" ", what+" ") {
			at = append(at, n.at)
		}
	}
	return at
}

func (l *lending) playTell(_ context.Context, in activities.TellInput) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = append(l.told, news{l.since(), in.Kind + " " + in.Grant, in.Why})
	return l.refuses["Tell"]
}
