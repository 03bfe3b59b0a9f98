package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/messages"
)

func (s *session) grant() *cobra.Command {
	var org, start string
	var wait bool
	var in messages.GrantInput
	c := &cobra.Command{
		Use: "grant PERSON TARGET", Short: "Request a temporary grant: access is removed when its time is over",
		Long: "Requests a grant within the limits of the policy's grants section. PERSON is an e-mail address or account id, TARGET\n" +
			"for example role:org-admin or group:jira-admins-acme. If the policy requires approval, the approvers are notified, and\n" +
			"the request waits for them.",
		Args: argCount(2, 2),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if in.RequestedBy, err = s.actingPerson(); err != nil {
				return err
			}
			if in.Start, err = parseTime("--start", start); err != nil {
				return err
			}
			if in.Target, err = access.ParseEntitlement(args[1]); err != nil {
				return err
			}
			in.Person = args[0]
			if org, err = s.resolveOrg(cmd.Context(), org); err != nil {
				return err
			}
			var answer messages.GrantAnswer
			if err := s.update(cmd.Context(), org, messages.Grant, in, &answer); err != nil {
				return err
			}
			if wait {
				if answer, err = s.awaitProvisioned(cmd.Context(), answer); err != nil {
					return err
				}
			}
			return s.show(answer, func(w io.Writer) { printAnswer(w, answer) })
		},
	}
	c.Flags().StringVar(&org, "org", "", "the organization, when there are several")
	durationFlag(c, &in.Duration, "how long, for example 2h30m or 1d; the policy's default otherwise")
	c.Flags().StringVar(&in.Reason, "reason", "", "why, for the approvers and the ledger")
	c.Flags().StringVar(&in.Ticket, "ticket", "", "the change or incident, where the policy asks for one")
	c.Flags().StringVar(&start, "start", "", "when it begins, for example 2026-03-01T09:00:00Z; at once otherwise")
	c.Flags().StringVar(&in.RequestID, "id", "", "the request's id: the same id again changes nothing")
	c.Flags().BoolVar(&in.BreakGlass, "break-glass", false,
		"at once, without approval, to be reviewed afterwards; where the policy lets you")
	c.Flags().BoolVar(&wait, "wait", false, "wait until the access is confirmed, or the grant waits for approval or its start")
	return c
}

// durationValue is the value of a duration flag in the syntax of policies, such as 1d or 2h30m.
type durationValue messages.Duration

func durationFlag(c *cobra.Command, d *messages.Duration, usage string) {
	c.Flags().Var((*durationValue)(d), "for", usage)
}

func (s *durationValue) String() string {
	if *s == 0 {
		return ""
	}
	return messages.Duration(*s).String()
}

func (s *durationValue) Type() string { return "duration" }

func (s *durationValue) Set(written string) error {
	d, err := access.ParseDuration(written)
	*s = durationValue(d)
	return err
}

// How long grant --wait waits, and how often it polls.
const (
	grantTimeout      = 3 * time.Minute
	grantPollInterval = 500 * time.Millisecond
)

// awaitProvisioned waits until the access is confirmed, or nothing is left to wait for.
func (s *session) awaitProvisioned(ctx context.Context, answer messages.GrantAnswer) (messages.GrantAnswer, error) {
	if len(answer.Grants) == 0 {
		return answer, nil
	}
	ctx, cancel := context.WithTimeout(ctx, grantTimeout)
	defer cancel()
	tick := time.NewTicker(grantPollInterval)
	defer tick.Stop()
	asked := answer.Grants[0]
	for {
		state, err := s.grantStatus(ctx, answer.Workflow)
		if err != nil {
			return answer, err
		}
		if i := slices.IndexFunc(state.Grants, func(g access.Grant) bool { return g.ID == asked.ID }); i >= 0 {
			g := state.Grants[i]
			switch {
			case !g.ProvisionedAt.IsZero():
				answer.Grants[0] = g
				answer.Message = fmt.Sprintf("given: %s holds %s until %s", granteeLabel(g), g.Target, localTime(g.Until))
				return answer, nil
			case g.State != access.GrantGranted, !g.Start.IsZero() && time.Now().Before(g.From):
				answer.Grants[0] = g
				return answer, nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return answer, notProvisioned(asked, state)
		}
	}
}

// notProvisioned returns the error of a grant that was not provisioned in time.
func notProvisioned(g access.Grant, state messages.GrantState) error {
	why := "no obstacle is known"
	if state.Blocked != nil {
		why = state.Blocked.Why
	}
	return fmt.Errorf("request %s: %s does not hold %s yet: %s. Castellan keeps trying; check with %s",
		g.ID, granteeLabel(g), g.Target, why, display.Starter("grants").With("--person", granteeLabel(g)))
}

func (s *session) grantStatus(ctx context.Context, workflow string) (state messages.GrantState, err error) {
	value, err := s.client.QueryWorkflow(ctx, workflow, "", messages.Status)
	if err != nil {
		return state, err
	}
	return state, value.Get(&state)
}

// printAnswer prints the result of a request, and the commands that may follow.
func printAnswer(w io.Writer, answer messages.GrantAnswer) {
	display.Fprintln(w, answer.Message)
	for _, g := range answer.Grants {
		switch g.State {
		case access.GrantWaiting:
			display.Fprintf(w, "  approve it, as one of them:  %s\n",
				display.Starter("approve", g.ID).With("--by", messages.You))
		case access.GrantGranted:
			display.Fprintf(w, "  end it early:  %s\n",
				display.Starter("revoke").With("--request", g.ID).With("--reason", "done"))
		}
	}
	if answer.Workflow != "" {
		display.Fprintf(w, "  its workflow:  %s\n", answer.Workflow)
	}
}

func granteeLabel(g access.Grant) string {
	if g.Email != "" {
		return g.Email
	}
	return g.Person
}
