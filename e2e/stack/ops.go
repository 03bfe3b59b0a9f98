package stack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/castellan-io/castellan/messages"
)

// Stack is everything at once: a Temporal server, a simulated organization and a worker.
type Stack struct {
	Dir, Bin  string
	LedgerURL string
	Temporal  *Temporal
	Simulator *Simulator
	Worker    *Worker
	Env       []string // more of each worker's environment, as NAME=value
	shared    bool     // the server is somebody else's
}

// Start starts all three, with the simulator's flags given. Programs are built into bin if that is empty.
func Start(ctx context.Context, dir, bin string, ui bool, flags ...string) (*Stack, error) {
	if bin == "" {
		bin = dir
		if err := Build(ctx, dir, "worker", "starter", "simulator"); err != nil {
			return nil, err
		}
	}
	temporal, err := StartTemporal(ctx, dir, 0, ui)
	if err != nil {
		return nil, err
	}
	return (&Stack{Dir: dir, Bin: bin, Temporal: temporal}).start(ctx, flags)
}

// StartOn is Start on a server that runs already and that Stop leaves running; see Temporal.In. Its workers have more
// environment.
func StartOn(ctx context.Context, temporal *Temporal, dir, bin string, env []string, flags ...string) (*Stack,
	error) {
	return (&Stack{Dir: dir, Bin: bin, Temporal: temporal, Env: env, shared: true}).start(ctx, flags)
}

func (s *Stack) start(ctx context.Context, flags []string) (_ *Stack, err error) {
	if s.Simulator, err = StartSimulator(ctx, s.Bin, s.Dir, flags...); err != nil {
		s.Stop()
		return nil, err
	}
	if err := s.StartWorker(); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

// StartWorker starts a worker, for example after one was killed.
func (s *Stack) StartWorker(env ...string) (err error) {
	s.Worker, err = StartWorker(s.Bin, s.Dir, s.LedgerURL, s.Temporal.Address, s.Simulator.URL,
		slices.Concat(s.Temporal.Env(), s.Env, env)...)
	return err
}

// Stop ends all processes.
func (s *Stack) Stop() {
	if s.Worker != nil {
		s.Worker.Stop(5 * time.Second)
	}
	if s.Simulator != nil {
		s.Simulator.Stop(5 * time.Second)
	}
	if s.Temporal != nil {
		if s.Temporal.Client != nil {
			s.Temporal.Client.Close()
		}
		if !s.shared {
			s.Temporal.Stop(5 * time.Second)
		}
	}
}

// Starter runs the ops command and returns what it printed on standard output, and with an error all that it printed.
func (s *Stack) Starter(ctx context.Context, args ...string) (string, error) {
	return s.command(ctx, filepath.Join(s.Bin, "starter"), args...)
}

// CLI runs the plain Temporal CLI and returns what it printed, as Starter does. It runs it again while the server has
// no time for the workflow, as people do.
func (s *Stack) CLI(ctx context.Context, args ...string) (out string, err error) {
	_ = Eventually(ctx, time.Minute, func() error {
		if out, err = s.command(ctx, s.Temporal.CLI, args...); strings.Contains(out, "Workflow is busy") {
			return err
		}
		return nil
	})
	return out, err
}

func (s *Stack) command(ctx context.Context, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(cmd.Environ(), s.Temporal.Env()...)
	var out, notes bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &notes
	if err := cmd.Run(); err != nil {
		_, _ = notes.WriteTo(&out)
		return out.String(), fmt.Errorf("%s %v: %w\n%s", filepath.Base(program), args, err, &out)
	}
	return out.String(), nil
}

// Apply starts the organization with a policy (YAML), or takes the policy into force.
func (s *Stack) Apply(ctx context.Context, org, policy string) (answer messages.PolicyAnswer, err error) {
	body, err := json.Marshal(policy)
	if err != nil {
		return answer, err
	}
	in := messages.PolicyInput{Policy: body, By: "test"}
	_, err = s.Temporal.Client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: messages.OrgSyncID(org), TaskQueue: messages.QueueWorkflows, WorkflowTaskTimeout: messages.TaskTimeout,
		Priority: temporal.Priority{PriorityKey: messages.PriorityOfSync},
	}, messages.OrgSync, messages.OrgSyncInput{})
	if err != nil {
		return answer, err
	}
	return answer, s.Update(ctx, org, messages.ApplyPolicy, in, &answer)
}

// Update sends an update to the organization's loop and waits for the answer.
func (s *Stack) Update(ctx context.Context, org, name string, in, out any) error {
	return s.UpdateOn(ctx, messages.OrgSyncID(org), name, in, out)
}

// UpdateOn sends an update to a workflow and waits for the answer.
func (s *Stack) UpdateOn(ctx context.Context, workflow, name string, in, out any) error {
	handle, err := s.Temporal.Client.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: workflow, UpdateName: name, Args: []any{in}, WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err != nil {
		return err
	}
	return handle.Get(ctx, out)
}

// Status asks the organization's loop how it is.
func (s *Stack) Status(ctx context.Context, org string) (state messages.OrgSyncState, err error) {
	return state, s.query(ctx, messages.OrgSyncID(org), &state)
}

// query asks a workflow for its status, again if the answer takes too long.
func (s *Stack) query(ctx context.Context, workflow string, state any) error {
	for tries := 0; ; tries++ {
		value, err := s.Temporal.Client.QueryWorkflow(ctx, workflow, "", messages.Status)
		if late := new(serviceerror.DeadlineExceeded); errors.As(err, &late) && ctx.Err() == nil && tries < 5 {
			continue
		}
		if err != nil {
			return err
		}
		return value.Get(state)
	}
}

// Until waits for the organization's status to be as wanted and returns it; the error shows the last one seen.
func (s *Stack) Until(ctx context.Context, org string, within time.Duration,
	want func(messages.OrgSyncState) bool) (state messages.OrgSyncState, err error) {
	err = Eventually(ctx, within, func() error {
		var err error
		if state, err = s.Status(ctx, org); err != nil {
			return err
		}
		if !want(state) {
			seen, _ := json.Marshal(state)
			return fmt.Errorf("the status is %s", seen)
		}
		return nil
	})
	return state, err
}

// Grant asks for a grant.
func (s *Stack) Grant(ctx context.Context, org string, in messages.GrantInput) (answer messages.GrantAnswer,
	err error) {
	return answer, s.Update(ctx, org, messages.Grant, in, &answer)
}

// GrantStatus asks a grant's workflow how it is.
func (s *Stack) GrantStatus(ctx context.Context, workflow string) (state messages.GrantState, err error) {
	return state, s.query(ctx, workflow, &state)
}

// Idle reports whether nothing runs and nothing is due.
func Idle(s messages.OrgSyncState) bool {
	p := s.Pending
	return s.State == messages.StateOK && s.Running == nil && p.Full == "" &&
		len(p.People)+len(p.Groups)+len(p.Settling)+len(p.Jobs)+len(p.Follow) == 0 && !p.Fresh && s.LastFull != nil
}

// Adopt consents to the first plan and waits until everything is in step.
func (s *Stack) Adopt(ctx context.Context, org string, within time.Duration) (messages.OrgSyncState, error) {
	held, err := s.Until(ctx, org, within,
		func(s messages.OrgSyncState) bool { return s.Hold != nil || s.Adopted && Idle(s) })
	if err != nil || held.Hold == nil {
		return held, err
	}
	if err := s.Decide(ctx, org, messages.ApprovePlan, held.Hold.Plan); err != nil {
		return held, err
	}
	return s.Until(ctx, org, within, func(s messages.OrgSyncState) bool { return s.Adopted && Idle(s) })
}

// Decide approves or rejects a held plan.
func (s *Stack) Decide(ctx context.Context, org, decision, plan string) error {
	var answer messages.Answer
	return s.Update(ctx, org, decision, messages.DecisionInput{Plan: plan, By: "test"}, &answer)
}

// Ask answers a question by a Report workflow.
func (s *Stack) Ask(ctx context.Context, in messages.ReportInput) (answer messages.ReportAnswer, err error) {
	run, err := s.Temporal.Client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: messages.ReportID(in.Org, in.Kind, uuid.NewString()), TaskQueue: messages.QueueWorkflows,
	}, messages.Report, in)
	if err != nil {
		return answer, err
	}
	return answer, run.Get(ctx, &answer)
}
