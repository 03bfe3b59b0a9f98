package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/api/serviceerror"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/messages"
)

func (s *session) approve() *cobra.Command {
	return s.decision(messages.Approve, "Approve a request for a grant")
}

func (s *session) deny() *cobra.Command {
	return s.decision(messages.Deny, "Deny a request for a grant")
}

// decision is approve or deny: they differ in nothing but their name.
func (s *session) decision(name, short string) *cobra.Command {
	var org string
	var in messages.ApprovalInput
	c := &cobra.Command{
		Use: name + " REQUEST", Short: short,
		Long: short + ", as one of the approvers that it names. Where the policy demands codes, give the one\n" +
			"that you were sent: you are asked for it on a terminal, and --code - reads it from standard input.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if in.By, err = s.who(); err != nil {
				return err
			}
			if org, err = s.theOrg(cmd.Context(), named(org)); err != nil {
				return err
			}
			g, err := s.request(cmd.Context(), org, args[0])
			if err != nil {
				return err
			}
			in.Request = g.ID
			if in.Code, err = code(cmd.InOrStdin(), in.Code, g); err != nil {
				return err
			}
			var answer messages.GrantAnswer
			if err := s.tellGrant(cmd.Context(), org, g, name, in, &answer); err != nil {
				return err
			}
			return s.show(answer, func(w io.Writer) { printAnswer(w, answer) })
		},
	}
	c.Flags().StringVar(&org, "org", "", "the organization, when there are several")
	c.Flags().StringVar(&in.Code, "code", "", "the code that you were sent; - reads it from standard input")
	c.Flags().StringVar(&in.Note, "note", "", "why, for the ledger")
	return c
}

// code is the approval code: the one given, one line of standard input for "-", or what a person on a terminal types.
func code(in io.Reader, given string, g access.Grant) (string, error) {
	switch {
	case given == "" && (!g.Codes || g.State != access.GrantWaiting):
		return "", nil
	case given != "-" && given != "":
		return given, nil
	case given == "" && !terminal(in):
		return "", fmt.Errorf("request %s wants the code that you were sent: pass --code - and write it to standard input", g.ID)
	case given == "":
		fmt.Fprintf(os.Stderr, "the code that you were sent for request %s: ", g.ID)
	}
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the code from standard input: %w", err)
	}
	if line = strings.TrimSpace(line); line == "" {
		return "", errors.New("no code came from standard input; it is the one that you were sent")
	}
	return line, nil
}

func terminal(in io.Reader) bool {
	file, ok := in.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// request looks a request up in the ledger.
func (s *session) request(ctx context.Context, org, id string) (access.Grant, error) {
	answer, err := s.ask(ctx, messages.ReportInput{Org: org, Kind: messages.ReportGrants, Grant: id})
	if err != nil {
		return access.Grant{}, err
	}
	if len(answer.Grants) != 1 {
		return access.Grant{}, fmt.Errorf("organization %s knows %d requests %q", org, len(answer.Grants), id)
	}
	return answer.Grants[0], nil
}

// tellGrant sends an update to a grant's own workflow. Where that has ended, the ledger knows how.
func (s *session) tellGrant(ctx context.Context, org string, g access.Grant, name string, body, answer any) error {
	err := s.updateOn(ctx, messages.GrantID(org, g.Target, g.Key), name, body, answer)
	var gone *serviceerror.NotFound
	if !errors.As(err, &gone) {
		return err
	}
	if now, err := s.request(ctx, org, g.ID); err == nil {
		g = now
	}
	return over(g, name)
}

// over says why nothing can be said to a grant any more.
func over(g access.Grant, name string) error {
	state := grantState(g, time.Now())
	if !g.Settled() {
		return fmt.Errorf("%s request %s (%s of %s, %s): its workflow was lost; the same request again starts it anew: starter grant %s %s --id %s --by %s",
			name, g.ID, label(g), g.Target, state, label(g), g.Target, g.ID, g.By)
	}
	return fmt.Errorf("%s request %s (%s of %s): it is over: %s. Ask for a new one with starter grant",
		name, g.ID, label(g), g.Target, state)
}
