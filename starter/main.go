// Command starter is the operators' command line: it applies policies, shows plans and answers questions. It connects
// to Temporal only, so it needs neither the Atlassian key nor the ledger, and the Temporal CLI can send all that it
// sends, but for proofs of codes.
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

var version = "unknown" // set by the linker

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		display.Fprintln(os.Stderr, "starter: "+errorText(err))
		os.Exit(1)
	}
}

func command() *cobra.Command {
	root := &cobra.Command{
		Use: "starter", Short: "Apply policies, inspect plans, request temporary grants, run access reviews, ask why", Version: version,
		Long: "Applies Castellan's policies, shows its plans, requests temporary grants, runs access reviews, and answers questions.\n" +
			"\n" +
			"It connects to Temporal with Temporal's own settings (TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, …), and to nothing else.\n" +
			"CASTELLAN_BY says who you are; CASTELLAN_CODE is the code that you were sent as a reviewer, if the review requires one.",
		Args: subcommandRequired, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		DisableFlagsInUseLine: true, SuggestionsMinimumDistance: 2, SilenceUsage: true, SilenceErrors: true,
	}
	root.SetFlagErrorFunc(flagError)
	s := &session{}
	root.PersistentFlags().BoolVar(&s.json, "json", false, "print the answer as JSON")
	root.PersistentFlags().StringVar(&s.givenBy, "by", "",
		"who you are, for the ledger: your e-mail address or account id (CASTELLAN_BY, or your user name, otherwise)")
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if cmd.HasSubCommands() {
			return nil // only shows its help
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
	root.AddCommand(s.rules(), s.identities(), s.link(), s.links(), s.conflicts(), s.groups(), s.restore())
	root.AddCommand(s.grant(), s.approve(), s.deny(), s.extend(), s.revoke(), s.grants())
	root.AddCommand(s.review(), s.verifyEvidence())
	return root
}

// dial connects to Temporal with Temporal's own settings (TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, …).
func (s *session) dial(ctx context.Context) error {
	settings, err := config.Load[config.Starter]()
	if err != nil {
		return err
	}
	s.givenBy, s.code = cmp.Or(s.givenBy, settings.By), settings.Code
	s.by = cmp.Or(s.givenBy, localUser())
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

// resolveOrg returns the first name given, or the only organization there is.
func (s *session) resolveOrg(ctx context.Context, given ...string) (string, error) {
	if org := cmp.Or(given...); org != "" {
		return org, nil
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
		orgs = s.withPolicyInForce(ctx, orgs)
	}
	switch len(orgs) {
	case 0:
		return "", errors.New("no organization is running; start one with `starter apply FILE`")
	case 1:
		return orgs[0], nil
	}
	return "", fmt.Errorf("there are several organizations, name one: %v", orgs)
}

// withPolicyInForce returns the organizations that have a policy in force or cannot be queried, or all if there are
// none. A first policy that was refused leaves a workflow waiting for another; nobody should have to name the
// organization because of it.
func (s *session) withPolicyInForce(ctx context.Context, orgs []string) []string {
	var inForce []string
	for _, org := range orgs {
		var state messages.OrgSyncState
		value, err := s.client.QueryWorkflow(ctx, messages.OrgSyncID(org), "", messages.Status)
		if err == nil {
			err = value.Get(&state)
		}
		if err != nil || state.Policy != "" && state.State != messages.StateRetired {
			inForce = append(inForce, org)
		}
	}
	if len(inForce) == 0 {
		return orgs
	}
	return inForce
}

var personForm = regexp.MustCompile(`^([^@\s]+@[^@\s]+|[A-Za-z0-9:-]{8,128})$`)

// actingPerson returns the person who acts by e-mail address or account id; policies do not know this machine's users.
func (s *session) actingPerson() (string, error) {
	if personForm.MatchString(s.givenBy) {
		return s.givenBy, nil
	}
	return "", fmt.Errorf("say who acts by e-mail address or Atlassian account id, which %q is not: "+
		"pass --by %s, or set CASTELLAN_BY", s.by, messages.You)
}

func localUser() string {
	u, err := user.Current()
	if err != nil {
		return "starter"
	}
	return u.Username
}

// errorText returns an error's text without Temporal's wrapping.
func errorText(err error) string {
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
