// Command starter is the ops command: it applies policies, shows plans and answers questions. It speaks to Temporal and
// to nothing else, so it needs neither the Atlassian key nor the ledger, and whatever it does can be done with the
// plain Temporal CLI as well.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"os/user"
	"regexp"
	"syscall"

	"github.com/spf13/cobra"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/castellan-io/castellan/config"
	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/messages"
)

var version = "unknown" // set when it is built

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		display.Fprintln(os.Stderr, "starter: "+unwrapped(err))
		os.Exit(1)
	}
}

func command() *cobra.Command {
	root := &cobra.Command{
		Use: "starter", Short: "Apply policies, inspect plans, request temporary grants, run access reviews, ask why", Version: version,
		Long: "Applies Castellan's policies, shows its plans, requests temporary grants, runs access reviews, and answers questions.\n" +
			"\n" +
			"It connects to Temporal with Temporal's own settings (TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, …), and to nothing else.\n" +
			"CASTELLAN_BY says who acts; CASTELLAN_CODE is the code that you were sent as a reviewer, if the review asks for one.",
		Args: aCommandOfIts, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		DisableFlagsInUseLine: true, SuggestionsMinimumDistance: 2, SilenceUsage: true, SilenceErrors: true,
	}
	root.SetFlagErrorFunc(flagError)
	s := &session{}
	root.PersistentFlags().BoolVar(&s.json, "json", false, "print the answer as JSON")
	root.PersistentFlags().StringVar(&s.said, "by", "",
		"who acts, for the ledger: your e-mail address or account id (CASTELLAN_BY, or your user name, otherwise)")
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if cmd.HasSubCommands() {
			return nil // it shows its help
		}
		return s.dial(cmd.Context())
	}
	root.PersistentPostRun = func(*cobra.Command, []string) {
		if s.client != nil {
			s.client.Close()
		}
	}
	s.out, s.notes = root.OutOrStdout(), root.ErrOrStderr()
	root.AddCommand(s.apply(), s.plan(), s.status(), s.why(), s.runs(), s.undo(), s.verifyLedger(), s.explain(),
		s.findings())
	root.AddCommand(s.rules())
	root.AddCommand(s.grant(), s.approve(), s.deny(), s.extend(), s.revoke(), s.grants())
	root.AddCommand(s.review(), s.verifyEvidence())
	return root
}

// dial reaches Temporal by Temporal's own settings (TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, …).
func (s *session) dial(ctx context.Context) error {
	settings, err := config.Load[config.Starter]()
	if err != nil {
		return err
	}
	s.said, s.code = cmp.Or(s.said, settings.By), settings.Code
	s.by = cmp.Or(s.said, whoami())
	options, err := config.TemporalOptions(config.NewLogger(os.Stderr, settings.LogLevel, settings.LogFormat))
	if err != nil {
		return err
	}
	address := options.HostPort
	if address == "" {
		address = client.DefaultHostPort
	}
	if s.client, err = client.DialContext(ctx, options); err != nil {
		return fmt.Errorf("reach Temporal at %s: is its server running, and is TEMPORAL_ADDRESS right? %w",
			address, err)
	}
	s.namespace = options.Namespace
	if s.namespace == "" {
		s.namespace = client.DefaultNamespace
	}
	return nil
}

// theOrg is the organization named, or the only one there is.
func (s *session) theOrg(ctx context.Context, named []string) (string, error) {
	if len(named) > 0 {
		return named[0], nil
	}
	list, err := s.client.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
		Query: "WorkflowType = '" + messages.OrgSync + "' AND ExecutionStatus = 'Running'", PageSize: 100,
	})
	if err != nil {
		return "", fmt.Errorf("list the organizations: %w", err)
	}
	var orgs []string
	for _, e := range list.GetExecutions() {
		if org, ok := messages.OrgOf(e.GetExecution().GetWorkflowId()); ok {
			orgs = append(orgs, org)
		}
	}
	if len(orgs) > 1 {
		orgs = s.inForce(ctx, orgs)
	}
	switch len(orgs) {
	case 0:
		return "", errors.New("no organization is running; start one with `starter apply FILE`")
	case 1:
		return orgs[0], nil
	}
	return "", fmt.Errorf("there are several organizations, name one: %v", orgs)
}

// inForce are the organizations that a policy is in force for, and those that cannot be asked; all of them when there
// is none. A first policy that was refused leaves a workflow that waits for another, and is no reason to have to name
// the others.
func (s *session) inForce(ctx context.Context, orgs []string) []string {
	var some []string
	for _, org := range orgs {
		var state messages.OrgSyncState
		value, err := s.client.QueryWorkflow(ctx, messages.OrgSyncID(org), "", messages.Status)
		if err == nil {
			err = value.Get(&state)
		}
		if err != nil || state.Policy != "" && state.State != messages.StateRetired {
			some = append(some, org)
		}
	}
	if len(some) == 0 {
		return orgs
	}
	return some
}

// named is the organization that a flag names, if it does.
func named(org string) []string {
	if org == "" {
		return nil
	}
	return []string{org}
}

var whoForm = regexp.MustCompile(`^([^@\s]+@[^@\s]+|[A-Za-z0-9:-]{8,128})$`)

// who is the person who acts, as policies and approvers name people: a user name of this machine is nobody there.
func (s *session) who() (string, error) {
	if whoForm.MatchString(s.said) {
		return s.said, nil
	}
	return "", fmt.Errorf("say who acts by e-mail address or Atlassian account id, which %q is not: "+
		"pass --by %s, or set CASTELLAN_BY", s.by, messages.You)
}

func whoami() string {
	u, err := user.Current()
	if err != nil {
		return "starter"
	}
	return u.Username
}

// unwrapped takes Temporal's wrapping off an error.
func unwrapped(err error) string {
	var missing *serviceerror.NotFound
	if errors.As(err, &missing) {
		return "there is no such workflow: is the organization's name right, and was `starter apply FILE` run? (" +
			missing.Message + ")"
	}
	var app *temporal.ApplicationError
	if errors.As(err, &app) {
		return app.Message()
	}
	var late *serviceerror.DeadlineExceeded
	if errors.As(err, &late) {
		return "no answer came in time: try again. Answers come from a worker, and take some seconds after it or Temporal has started (" + late.Message + ")"
	}
	return err.Error()
}
