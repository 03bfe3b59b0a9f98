package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/messages"
)

// speaker is a reviewer who says something to a review.
type speaker struct {
	*session
	review   aReview
	by       string
	codeHash string // of the reviewer's code; "" without one
}

// reviewer are the flags of commands by which reviewers say something.
type reviewer struct {
	org      string
	codeFile string
}

func (f *reviewer) flags(c *cobra.Command) {
	orgFlag(c, &f.org)
	c.Flags().StringVar(&f.codeFile, "code-file", "",
		"the file with the code that you were sent; - is standard input (CASTELLAN_CODE otherwise)")
}

// speaker is who acts, with the code that proves it where the review asks for one.
func (s *session) speaker(cmd *cobra.Command, f reviewer, name string) (speaker, error) {
	by, err := s.who()
	if err != nil {
		return speaker{}, err
	}
	r, err := s.theReview(cmd.Context(), f.org, name)
	if err != nil {
		return speaker{}, err
	}
	code, err := s.reviewCode(cmd.Context(), cmd.InOrStdin(), f.codeFile, r)
	return speaker{session: s, review: r, by: by, codeHash: messages.CodeHash(code)}, err
}

// reviewCode is the reviewer's code, "" where the review asks for none. It is never taken from the command line: what
// stands there stands in the list of processes and in the shell's history as well.
func (s *session) reviewCode(ctx context.Context, in io.Reader, file string, r aReview) (string, error) {
	switch given := s.code.Reveal(); {
	case file == "-":
		return firstLine(in, "standard input")
	case file != "":
		opened, err := os.Open(file)
		if err != nil {
			return "", fmt.Errorf("read the code: %w", err)
		}
		defer opened.Close()
		return firstLine(opened, file)
	case given != "":
		return given, nil
	}
	status, err := s.reviewStatus(ctx, r)
	if err != nil || !status.Review.Codes {
		return "", err
	}
	if !terminal(in) {
		return "", fmt.Errorf("%s asks reviewers for the code that they were sent: set CASTELLAN_CODE, or name a file with --code-file (- is standard input)", r)
	}
	display.Fprintf(s.notes, "the code that you were sent for %s: ", r)
	return firstLine(in, "standard input")
}

// firstLine is the first line, without the white space around it.
func firstLine(in io.Reader, name string) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(in, 1024)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the code from %s: %w", name, err)
	}
	if line = strings.TrimSpace(strings.TrimPrefix(line, byteOrderMark)); line == "" {
		return "", fmt.Errorf("no code came from %s; it is the one that you were sent", name)
	}
	return line, nil
}

// reviewStatus asks a review's workflow how far it is.
func (s *session) reviewStatus(ctx context.Context, r aReview) (status messages.ReviewStatus, err error) {
	defer s.hint(r.workflow())()
	value, err := s.client.QueryWorkflow(ctx, r.workflow(), "", messages.Status)
	var missing *serviceerror.NotFound
	if errors.As(err, &missing) {
		return status, s.notRunning(ctx, r)
	}
	if err != nil {
		return status, err
	}
	return status, value.Get(&status)
}

// say has a review record what a reviewer says, and proves that it is theirs.
func say[B messages.WithPass](ctx context.Context, s speaker, name string, body B) (answer messages.ReviewAnswer,
	err error) {
	body, err = sealed(s.codeHash, s.review.workflow(), name, uuid.NewString(), body)
	if err != nil {
		return answer, err
	}
	return answer, s.tell(ctx, s.review, name, passOf(&body).Nonce, body, &answer)
}

// sealed is a body with its proof; without a code, it has none. It is proven in the form in which it arrives.
func sealed[B messages.WithPass](codeHash, workflow, name, nonce string, body B) (sealed B, err error) {
	*passOf(&body) = messages.Pass{Nonce: nonce}
	text, err := json.Marshal(body)
	if err != nil {
		return body, err
	}
	if err := json.Unmarshal(text, &sealed); err != nil {
		return body, err
	}
	if codeHash != "" {
		passOf(&sealed).Proof = messages.Proof(codeHash, workflow, name, sealed)
	}
	return sealed, nil
}

func passOf[B messages.WithPass](body *B) *messages.Pass {
	switch b := any(body).(type) {
	case *messages.DecideInput:
		return &b.Pass
	case *messages.DelegateInput:
		return &b.Pass
	case *messages.CommentInput:
		return &b.Pass
	case *messages.ReopenInput:
		return &b.Pass
	case *messages.ApprovalInput:
		return &b.Pass
	}
	panic("a body without a pass") // WithPass names them all
}

// How long a command goes on trying to be heard, and how long it waits in between.
const (
	mostPatience = time.Minute
	firstWait    = 500 * time.Millisecond
	longestWait  = 8 * time.Second
)

// cutOff is the type of error with which Temporal answers an update that was being handled when a fresh history began.
const cutOff = "AcceptedUpdateCompletedWorkflow"

// tell sends an update to a review, and tries again for a while where it cannot be heard just now: a review hears ten
// at once, and nothing while it starts a fresh history. A repeat whose answer was lost finds the same update by its id;
// one that was answered is another update, of the same body.
func (s *session) tell(ctx context.Context, r aReview, name, nonce string, body, answer any) error {
	until := time.Now().Add(mostPatience)
	answered := 0
	for wait, told := firstWait, false; ; wait = min(2*wait, longestWait) {
		err := s.updateAs(ctx, r.workflow(), name, fmt.Sprintf("%s-%d", nonce, answered), body, answer)
		if err == nil {
			return nil
		}
		again, isAnswer := s.unheard(ctx, r, err)
		if !again {
			return s.explained(ctx, r, err)
		}
		if isAnswer {
			answered++
		}
		pause := wait/2 + rand.N(wait/2+1)
		if time.Now().Add(pause).After(until) {
			return fmt.Errorf("%s did not answer within %s: %s. Before you try again, see what it recorded: %s", r,
				mostPatience, unwrapped(err), r.command("show"))
		}
		if !told {
			display.Fprintf(s.notes, "%s cannot be told just now; trying again, for a minute at the most\n", r)
			told = true
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// unheard says whether an update may be heard when it is sent again, and whether the error is the workflow's answer to
// it.
func (s *session) unheard(ctx context.Context, r aReview, err error) (again, isAnswer bool) {
	var app *temporal.ApplicationError
	var busy *serviceerror.ResourceExhausted
	var unavailable *serviceerror.Unavailable
	var notReady *serviceerror.WorkflowNotReady
	var lost *client.WorkflowUpdateServiceTimeoutOrCanceledError
	var missing *serviceerror.NotFound
	switch {
	case errors.As(err, &app):
		again = app.Type() == messages.Renewing || app.Type() == cutOff
		return again, again
	case ctx.Err() != nil:
		return false, false
	case errors.As(err, &busy), errors.As(err, &unavailable), errors.As(err, &notReady), errors.As(err, &lost):
		return true, false
	case errors.As(err, &missing): // the history that had it ended: is there another one?
		return s.reviewRuns(ctx, r), false
	}
	return false, false
}

// reviewRuns says that a review's workflow runs.
func (s *session) reviewRuns(ctx context.Context, r aReview) bool {
	is, err := s.client.DescribeWorkflowExecution(ctx, r.workflow(), "")
	return err == nil && is.GetWorkflowExecutionInfo().GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING
}

// explained says what became of a review that hears nothing any more.
func (s *session) explained(ctx context.Context, r aReview, err error) error {
	var missing *serviceerror.NotFound
	if errors.As(err, &missing) {
		return s.notRunning(ctx, r)
	}
	return err
}

// notRunning says why a review's workflow does not run, as the ledger knows it.
func (s *session) notRunning(ctx context.Context, r aReview) error {
	answer, err := s.ask(ctx, messages.ReportInput{Org: r.org, Kind: messages.ReportReview, ID: r.id, Limit: 1})
	if err != nil {
		return err
	}
	if answer.Review == nil || !answer.Review.Review.State.Final() {
		return fmt.Errorf("%s is not over, but its workflow is not running: somebody terminated it, or Temporal lost it. The decisions stay in the ledger, but nothing will come of them", r)
	}
	is := answer.Review.Review
	return fmt.Errorf("%s is %s since %s: it accepts nothing more. Its evidence: %s", r, is.State,
		when(is.Ended), r.command("evidence"))
}
