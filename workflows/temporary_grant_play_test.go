package workflows_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/grants"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/workflows"
)

const (
	admin  = access.OrgAdmin
	holder = "eve@acme.example"
)

// grantTest runs one TemporaryGrant in time-skipping time, history after history, and plays what is around it: the
// ledger, the organization's loop, which alone gives and takes, and the notifier.
type grantTest struct {
	historyRunner
	input messages.TemporaryGrantInput
	// what the loop does about its nth question; it serves it at once when nil
	replies func(n int, in messages.ReconcileGrantSignal) loopReply
	refuses map[string]error // activities that fail, by name
	readErr func() error     // how the next read of the ledger fails; not when nil
	behind  time.Duration    // of the ledger's clock

	book    []access.Grant
	hashes  map[string]string // of approval codes, by approver
	codes   fakeCodes
	holds   bool
	moves   []writtenChange
	asks    []loopRequest
	told    []sentNotice
	rings   []time.Time // when the timers ring that were started
	decided []grants.DecideGrantInput
	revoked []grants.RevokeGrantInput
	shown   temporal.SearchAttributes
	expires int

	handOver func(context.Context, grants.HandOverInput) error
}

// sentNotice is a notice that was sent.
type sentNotice struct {
	at   time.Duration
	what string // "<kind> <grant>"
	why  string
}

func newGrantTest(t *testing.T, leases ...access.Grant) *grantTest {
	t.Helper()
	return &grantTest{
		historyRunner: historyRunner{t: t}, book: leases, refuses: map[string]error{}, hashes: map[string]string{},
		input: messages.TemporaryGrantInput{Org: org, Target: admin, Key: holder},
	}
}

// grantFrom returns a grant that was granted, from a while after the beginning on.
func grantFrom(id string, from, lasts time.Duration) access.Grant {
	return access.Grant{
		ID: id, Person: "p-eve", Email: holder, Key: holder, Target: admin, State: access.GrantGranted,
		By:     "bo@acme.example",
		Reason: "INC-1", Requested: begin, Duration: access.Duration(lasts), From: begin.Add(from),
		Until: begin.Add(from + lasts),
	}
}

// waiting returns a grant that waits for an approval.
func waiting(id string, lasts, decide time.Duration) access.Grant {
	g := grantFrom(id, 0, lasts)
	g.State, g.From, g.Until = access.GrantWaiting, time.Time{}, time.Time{}
	g.Needs, g.Approvers, g.ApprovalDeadline = 1, []string{"carol@acme.example", "dan@acme.example"}, begin.Add(decide)
	return g
}

// runToEnd runs the workflow until it has ended.
func (l *grantTest) runToEnd() (state messages.GrantState, err error) {
	l.t.Helper()
	if err = l.historyRunner.runHistories(messages.TemporaryGrant, l.input, l.openHistory); err == nil {
		err = l.env.GetWorkflowResult(&state)
	}
	return state, err
}

// mustEnd is live for a workflow that ends well.
func (l *grantTest) mustEnd() messages.GrantState {
	l.t.Helper()
	state, err := l.runToEnd()
	require.NoError(l.t, err)
	require.False(l.t, l.holds, "access is left when the workflow is over")
	return state
}

// openHistory makes the environment of a history.
func (l *grantTest) openHistory(start time.Time) {
	env := l.newHistory(messages.GrantID(org, admin, l.input.Key), start)
	env.RegisterWorkflowWithOptions(workflows.TemporaryGrant, workflow.RegisterOptions{Name: messages.TemporaryGrant})
	l.codes.register(env)
	for name, play := range map[string]any{
		"ReadGrants": l.playRead, "ExpireGrant": l.playExpire, "DecideGrant": l.playDecide, "RevokeGrant": l.playRevoke,
		"ExtendGrant": l.playExtend, "Tell": l.playTell,
		"HandOver": func(ctx context.Context, in grants.HandOverInput) error { return l.handOver(ctx, in) },
	} {
		env.RegisterActivityWithOptions(play, activity.RegisterOptions{Name: name})
	}
	env.OnSignalExternalWorkflow(mock.Anything, messages.OrgSyncID(org), "", messages.ReconcileGrant,
		mock.Anything).Return(l.playLoop).Maybe()
	env.OnUpsertTypedSearchAttributes(mock.MatchedBy(func(is temporal.SearchAttributes) bool {
		l.shown = is
		return true
	})).Return(nil).Maybe()
	env.SetOnTimerScheduledListener(func(_ string, d time.Duration) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.rings = append(l.rings, env.Now().Add(d))
	})
	l.runs(env)
}

// now returns the ledger's clock.
func (l *grantTest) now() time.Time { return l.env.Now().Add(-l.behind) }

// addGrant puts another lease into the ledger and says so, as a granted request does.
func (l *grantTest) addGrant(g access.Grant) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.book = append(l.book, g)
	l.env.SignalWorkflow(messages.Look, nil)
}

// grant is one lease as the ledger has it.
func (l *grantTest) grant(id string) access.Grant {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.book[l.index(id)]
}

func (l *grantTest) index(id string) int {
	return slices.IndexFunc(l.book, func(g access.Grant) bool { return g.ID == id })
}

// status returns the answer of the status query.
func (l *grantTest) status() messages.GrantState {
	l.t.Helper()
	return queried[messages.GrantState](&l.historyRunner)
}

// notices returns the notices of a kind, or of a kind and a grant, and when they were sent.
func (l *grantTest) notices(what string) (at []time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range l.told {
		if strings.HasPrefix(n.what+" ", what+" ") {
			at = append(at, n.at)
		}
	}
	return at
}

func (l *grantTest) playTell(_ context.Context, in grants.TellInput) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = append(l.told, sentNotice{l.since(), in.Kind + " " + in.Grant, in.Why})
	return l.refuses["Tell"]
}
