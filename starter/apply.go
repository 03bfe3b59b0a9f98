package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/castellan-io/castellan/config"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/policy"
)

func (s *session) apply() *cobra.Command {
	return &cobra.Command{
		Use: "apply FILE", Short: "Take a policy into force: start its organization, or update it",
		Long: "Checks the policy file, registers the search attributes, starts the organization's workflow if it does not run\nyet, and takes the policy into force there. Applying the same file again changes nothing.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, source, err := readPolicy(args[0])
			if err != nil {
				return err
			}
			if err := s.register(cmd.Context()); err != nil {
				return err
			}
			answer, err := s.applyPolicy(cmd.Context(), p.Organization.Name, source)
			if err != nil {
				return err
			}
			return s.show(answer, func(w io.Writer) {
				fmt.Fprintf(w, "policy %s is in force for %s: %d mappings, %d targets\n", answer.Policy, p.Organization.Name, answer.Mappings, answer.Targets)
				for _, f := range answer.Findings {
					fmt.Fprintf(w, "  %s\n", f)
				}
				fmt.Fprintf(w, "%s\nwatch it: starter status %s\n", answer.Next, p.Organization.Name)
			})
		},
	}
}

// readPolicy checks the file here already, so that mistakes come back with the file's name, line and column.
func readPolicy(file string) (*policy.Policy, json.RawMessage, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, err
	}
	p, err := policy.Parse(file, data)
	if err != nil {
		return nil, nil, fmt.Errorf("the policy is not accepted:\n%w", err)
	}
	source, err := json.Marshal(string(data))
	return p, source, err
}

func (s *session) applyPolicy(ctx context.Context, org string, source json.RawMessage) (messages.PolicyAnswer, error) {
	defer s.hint()()
	var answer messages.PolicyAnswer
	start := s.client.NewWithStartWorkflowOperation(client.StartWorkflowOptions{
		ID: messages.OrgSyncID(org), TaskQueue: messages.QueueWorkflows,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		WorkflowTaskTimeout:      messages.TaskTimeout,
		Priority:                 temporal.Priority{PriorityKey: messages.PriorityOfSync},
		StaticSummary:            "keeps access in organization " + org + " as its policy says",
	}, messages.OrgSync, messages.OrgSyncInput{By: s.by})
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

// register makes the search attributes known, once. Where the caller may not (Temporal Cloud), that is said and not fatal: they
// may have been registered by hand.
func (s *session) register(ctx context.Context) error {
	if s.registered {
		return nil
	}
	err := config.RegisterSearchAttributes(ctx, s.client, s.namespace, messages.Attributes())
	if errors.Is(err, config.ErrMayNotRegister) {
		fmt.Fprintln(s.notes, err)
		err = nil
	}
	s.registered = err == nil
	return err
}
