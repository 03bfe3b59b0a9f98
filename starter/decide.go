package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/messages"
)

func (s *session) approve() *cobra.Command {
	return s.approvalCommand(messages.Approve, "Approve a request for a grant")
}

func (s *session) deny() *cobra.Command {
	return s.approvalCommand(messages.Deny, "Deny a request for a grant")
}

// approvalCommand builds approve and deny.
func (s *session) approvalCommand(name, short string) *cobra.Command {
	var org, typed string
	var in messages.ApprovalInput
	c := &cobra.Command{
		Use: name + " REQUEST", Short: short,
		Long: short + ", as one of the approvers that it names. If the policy requires codes, give the one that\n" +
			"you were sent: in CASTELLAN_CODE, on standard input (--code -), or at the prompt on a terminal. The code itself is not\n" +
			"sent anywhere: only a proof that you know it, for this decision alone.",
		Args: argCount(1, 1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if in.By, err = s.actingPerson(); err != nil {
				return err
			}
			if org, err = s.resolveOrg(cmd.Context(), org); err != nil {
				return err
			}
			g, err := s.findRequest(cmd.Context(), org, args[0])
			if err != nil {
				return err
			}
			in.Request = g.ID
			given, err := approvalCode(cmd.InOrStdin(), cmp.Or(typed, s.code.Reveal()), g)
			if err != nil {
				return err
			}
			body, err := withProof(messages.CodeHash(given), messages.OrgSyncID(org), name, uuid.NewString(), in)
			if err != nil {
				return err
			}
			var answer messages.GrantAnswer
			if err := s.update(cmd.Context(), org, name, body, &answer); err != nil {
				return err
			}
			return s.show(answer, func(w io.Writer) { printAnswer(w, answer) })
		},
	}
	c.Flags().StringVar(&org, "org", "", "the organization, when there are several")
	c.Flags().StringVar(&typed, "code", "",
		"the code that you were sent; - reads it from standard input (CASTELLAN_CODE otherwise)")
	c.Flags().StringVar(&in.Note, "note", "", "why, for the ledger")
	return c
}

// approvalCode returns the code given, the first line of standard input for "-", or what is typed at a prompt.
func approvalCode(in io.Reader, given string, g access.Grant) (string, error) {
	switch {
	case given == "" && (!g.Codes || g.State != access.GrantWaiting):
		return "", nil
	case given != "-" && given != "":
		return given, nil
	case given == "" && !isTerminal(in):
		return "", fmt.Errorf("request %s requires the code that you were sent: pass --code - and write it to standard input", g.ID)
	case given == "":
		display.Fprintf(os.Stderr, "the code that you were sent for request %s: ", g.ID)
	}
	return firstLine(in, "standard input")
}

func isTerminal(in io.Reader) bool {
	file, ok := in.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func (s *session) findRequest(ctx context.Context, org, id string) (access.Grant, error) {
	answer, err := s.ask(ctx, messages.ReportInput{Org: org, Kind: messages.ReportGrants, Grant: id})
	if err != nil {
		return access.Grant{}, err
	}
	if len(answer.Grants) != 1 {
		return access.Grant{}, fmt.Errorf("organization %s has %d requests with the id %q", org, len(answer.Grants), id)
	}
	return answer.Grants[0], nil
}
