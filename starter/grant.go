package main

import (
	"context"
	"errors"
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

func (s *session) extend() *cobra.Command {
	var org string
	var in messages.ExtendInput
	c := &cobra.Command{
		Use: "extend REQUEST | extend PERSON TARGET", Short: "Extend an active grant",
		Long: "Requests a grant that begins when the current one ends, within the policy's limits: for the given request, or for the\n" +
			"grant of TARGET that PERSON holds the longest.",
		Args: argCount(1, 2),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if in.RequestedBy, err = s.actingPerson(); err != nil {
				return err
			}
			if org, err = s.resolveOrg(cmd.Context(), org); err != nil {
				return err
			}
			if in.Request = args[0]; len(args) == 2 {
				g, err := s.longestGrant(cmd.Context(), org, args[0], args[1])
				if err != nil {
					return err
				}
				in.Request = g.ID
			}
			var answer messages.GrantAnswer
			if err := s.update(cmd.Context(), org, messages.Extend, in, &answer); err != nil {
				return err
			}
			return s.show(answer, func(w io.Writer) { printAnswer(w, answer) })
		},
	}
	c.Flags().StringVar(&org, "org", "", "the organization, when there are several")
	durationFlag(c, &in.Duration, "how much longer, for example 1h or 1d")
	c.Flags().StringVar(&in.Reason, "reason", "", "why, for the approvers and the ledger")
	c.Flags().StringVar(&in.Ticket, "ticket", "", "the change or incident, where the policy asks for one")
	c.Flags().StringVar(&in.RequestID, "id", "", "the extension's id: the same id again changes nothing")
	return c
}

// longestGrant returns the active grant of the target that ends last.
func (s *session) longestGrant(ctx context.Context, org, person, written string) (access.Grant, error) {
	target, err := access.ParseEntitlement(written)
	if err != nil {
		return access.Grant{}, err
	}
	answer, err := s.askAll(ctx, messages.ReportInput{Org: org, Kind: messages.ReportGrants, Person: person,
		Target: target, Open: true}, 0)
	if err != nil {
		return access.Grant{}, err
	}
	var last access.Grant
	for _, g := range answer.Grants {
		if g.State == access.GrantGranted && !g.Until.Before(last.Until) {
			last = g
		}
	}
	if last.ID == "" {
		return access.Grant{}, fmt.Errorf(
			"%s has no active grant of %s in organization %s; request one with starter grant", person, target, org)
	}
	return last, nil
}

func (s *session) revoke() *cobra.Command {
	var org string
	var in messages.RevokeInput
	c := &cobra.Command{
		Use: "revoke PERSON TARGET | revoke --request REQUEST", Short: "End grants now",
		Long: "Ends all grants of TARGET to PERSON, or the given request, including those that still wait for approval. The access\n" +
			"that they gave is removed at once, unless something else gives it too.",
		Args: argCount(0, 2),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if in.RequestedBy, err = s.actingPerson(); err != nil {
				return err
			}
			switch {
			case in.Request != "" && len(args) == 0:
			case in.Request == "" && len(args) == 2:
				in.Person = args[0]
				if in.Target, err = access.ParseEntitlement(args[1]); err != nil {
					return err
				}
			default:
				return errors.New("name either PERSON and TARGET, or --request REQUEST")
			}
			if org, err = s.resolveOrg(cmd.Context(), org); err != nil {
				return err
			}
			var answer messages.GrantAnswer
			if err := s.update(cmd.Context(), org, messages.Revoke, in, &answer); err != nil {
				return err
			}
			return s.show(answer, func(w io.Writer) { printAnswer(w, answer) })
		},
	}
	c.Flags().StringVar(&org, "org", "", "the organization, when there are several")
	c.Flags().StringVar(&in.Request, "request", "", "only this request")
	c.Flags().StringVar(&in.Reason, "reason", "", "why, for the ledger")
	return c
}
