package workflows_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	sdkpb "go.temporal.io/api/sdk/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/messages"
)

// historyRunner runs one workflow in time-skipping time, history after history. What is to happen at an instant happens
// whichever history runs by then.
type historyRunner struct {
	t   *testing.T
	env *testsuite.TestWorkflowEnvironment // of the history that runs now

	mu        sync.Mutex // activities run beside the workflow
	agenda    []*scheduledStep
	histories int
	carried   []string // what each history gave to the next one
}

// scheduledStep is what happens at an instant.
type scheduledStep struct {
	at   time.Time
	do   func()
	done bool
	test bool // the test wants it; not what is played
}

// runHistories runs the workflow until it has ended; open makes the environment of each history.
func (p *historyRunner) runHistories(flow string, in any, open func(start time.Time)) error {
	p.t.Helper()
	start := begin
	for {
		p.histories++
		open(start)
		p.env.ExecuteWorkflow(flow, in)
		require.True(p.t, p.env.IsWorkflowCompleted())
		start = p.env.Now()
		var again *workflow.ContinueAsNewError
		err := p.env.GetWorkflowError()
		if !errors.As(err, &again) {
			return err
		}
		require.Equal(p.t, flow, again.WorkflowType.Name)
		payload := again.Input.GetPayloads()[0]
		require.Contains(p.t, string(payload.GetData()), `"state":{`)
		p.carried = append(p.carried, string(payload.GetData()))
		in = converter.NewRawValue(payload)
	}
}

// newHistory makes the environment of a history, in which nothing is registered yet.
func (p *historyRunner) newHistory(workflowID string, start time.Time) *testsuite.TestWorkflowEnvironment {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(quiet)
	env := suite.NewTestWorkflowEnvironment()
	patient(env)
	env.SetStartTime(start)
	env.SetStartWorkflowOptions(client.StartWorkflowOptions{ID: workflowID, TaskQueue: messages.QueueWorkflows})
	return env
}

// runs makes an environment that of the history that runs now.
func (p *historyRunner) runs(env *testsuite.TestWorkflowEnvironment) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.env = env
	for _, d := range p.agenda {
		if !d.done {
			p.enter(d)
		}
	}
}

// at has something done a while after the beginning.
func (p *historyRunner) at(after time.Duration, do func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plan(begin.Add(after), do).test = true
}

func (p *historyRunner) plan(at time.Time, do func()) *scheduledStep {
	d := &scheduledStep{at: at, do: do}
	p.agenda = append(p.agenda, d)
	if p.env != nil {
		p.enter(d)
	}
	return d
}

// allDone says that everything happened that the test wanted.
func (p *historyRunner) allDone() {
	p.t.Helper()
	for _, d := range p.agenda {
		require.True(p.t, d.done || !d.test, "the workflow ended before what the test wants to happen after %s",
			d.at.Sub(begin))
	}
}

func (p *historyRunner) enter(d *scheduledStep) {
	p.env.RegisterDelayedCallback(func() {
		if !d.done {
			d.done = true
			d.do()
		}
	}, max(0, d.at.Sub(p.env.Now())))
}

// since returns how long after the beginning it is, in tenths of a second.
func (p *historyRunner) since() time.Duration {
	return p.env.Now().Sub(begin).Truncate(100 * time.Millisecond)
}

// updateAt sends an update after a while and returns where its answer will stand.
func (p *historyRunner) updateAt(after time.Duration, name string, body any) *answer {
	a := &answer{}
	p.at(after, func() { p.env.UpdateWorkflow(name, "", a, body) })
	return a
}

func (p *historyRunner) signalAt(after time.Duration, name string, body any) {
	p.at(after, func() { p.env.SignalWorkflow(name, body) })
}

func (p *historyRunner) cancelAt(after time.Duration) { p.at(after, func() { p.env.CancelWorkflow() }) }

// page returns the Markdown that the Web UI shows now.
func (p *historyRunner) page() string {
	p.t.Helper()
	value, err := p.env.QueryWorkflow("__temporal_workflow_metadata")
	require.NoError(p.t, err)
	var metadata sdkpb.WorkflowMetadata
	require.NoError(p.t, value.Get(&metadata))
	return metadata.GetCurrentDetails()
}

// queried returns the answer of the status query.
func queried[S any](p *historyRunner) (state S) {
	p.t.Helper()
	value, err := p.env.QueryWorkflow(messages.Status)
	require.NoError(p.t, err)
	require.NoError(p.t, value.Get(&state))
	return state
}
