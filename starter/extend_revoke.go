package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/messages"
)

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
