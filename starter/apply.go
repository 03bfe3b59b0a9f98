package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/castellan-io/castellan/config"
	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/textfile"
)

func (s *session) apply() *cobra.Command {
	var file policyFile
	return &cobra.Command{
		Use: "apply FILE", Short: "Put a policy into force: start its organization's workflow, or update it",
		Long: "Checks the policy file, registers the search attributes, starts the organization's workflow if it is not running, and\n" +
			"puts the policy into force. Applying the same file again changes nothing.",
		Args: func(c *cobra.Command, args []string) (err error) { // checked before connecting to Temporal
			if err := argCount(1, 1)(c, args); err != nil {
				return err
			}
			file, err = readPolicyFile(args[0])
			return err
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			p := file.policy
			if err := s.register(cmd.Context()); err != nil {
				return err
			}
			answer, err := s.applyPolicy(cmd.Context(), p.Organization.Name, file.source)
			if err != nil {
				return err
			}
			return s.show(answer, func(w io.Writer) {
				display.Fprintf(w, "policy %s is in force for %s: %d mappings, %d targets\n", answer.Policy,
					p.Organization.Name, answer.Mappings, answer.Targets)
				for _, f := range answer.Findings {
					display.Fprintf(w, "  %s\n", f)
				}
				display.Fprintf(w, "%s\nwatch it: %s\n", answer.Next, display.Starter("status", p.Organization.Name))
			})
		},
	}
}

type policyFile struct {
	policy *policy.Policy
	source json.RawMessage
}

func readPolicyFile(file string) (policyFile, error) {
	p, source, err := readPolicy(file)
	return policyFile{p, source}, err
}

// readPolicy checks the file before it is sent, so that errors have the file's name, line and column.
func readPolicy(file string) (*policy.Policy, json.RawMessage, error) {
	data, err := readFile(file, "a policy file, such as acme.yaml")
	if err != nil {
		return nil, nil, err
	}
	if data, err = textfile.Decode(data); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", file, err)
	}
	p, err := policy.Parse(file, data)
	if err != nil {
		return nil, nil, fmt.Errorf("the policy is not accepted:\n%w", err)
	}
	source, err := json.Marshal(string(data))
	return p, source, err
}

// readFile reads a command's input file; what describes the file that it expects.
func readFile(file, what string) ([]byte, error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: give the path of %s", err, what)
	}
	return data, err
}

func (s *session) applyPolicy(ctx context.Context, org string, source json.RawMessage) (messages.PolicyAnswer, error) {
	defer s.explainWait(messages.OrgSyncID(org))()
	var answer messages.PolicyAnswer
	start := s.client.NewWithStartWorkflowOperation(client.StartWorkflowOptions{
		ID: messages.OrgSyncID(org), TaskQueue: messages.QueueWorkflows,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		WorkflowTaskTimeout:      messages.TaskTimeout,
		Priority:                 temporal.Priority{PriorityKey: messages.PriorityOfSync},
		StaticSummary:            "keeps access in organization " + org + " as its policy says",
	}, messages.OrgSync, messages.OrgSyncInput{By: s.by, EndIfRefused: true})
	handle, err := s.client.UpdateWithStartWorkflow(ctx, client.UpdateWithStartWorkflowOptions{
		StartWorkflowOperation: start,
		UpdateOptions: client.UpdateWorkflowOptions{
			UpdateName: messages.ApplyPolicy, Args: []any{messages.PolicyInput{Policy: source, By: s.by}},
			WaitForStage: client.WorkflowUpdateStageCompleted,
		},
	})
	if err != nil {
		return answer, err
	}
	err = handle.Get(ctx, &answer)
	return answer, err
}

// registerWithin is how long a new namespace may take until it accepts search attributes.
const registerWithin = 20 * time.Second

// register registers the search attributes, once. A caller without the permission (Temporal Cloud) gets a note and no
// error: the attributes may have been registered by hand.
func (s *session) register(ctx context.Context) error {
	if s.registered {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, registerWithin)
	defer cancel()
	err := config.AwaitSearchAttributes(ctx, s.client, s.namespace, messages.Attributes(), func(err error) bool {
		return !errors.Is(err, config.ErrMayNotRegister)
	})
	if errors.Is(err, config.ErrMayNotRegister) {
		display.Fprintln(s.notes, err.Error())
		err = nil
	}
	s.registered = err == nil
	return err
}
