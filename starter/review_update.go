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

// reviewerSession is a reviewer's session with one review.
type reviewerSession struct {
	*session
	review   reviewRef
	by       string
	codeHash string // hash of the reviewer's code; "" without one
}

// reviewerFlags are the flags of the commands of reviewers.
type reviewerFlags struct {
	org      string
	codeFile string
}

func (f *reviewerFlags) flags(c *cobra.Command) {
	orgFlag(c, &f.org)
	c.Flags().StringVar(&f.codeFile, "code-file", "",
		"the file with the code that you were sent; - is standard input (CASTELLAN_CODE otherwise)")
}

// actAsReviewer returns the session of the person who acts, with their code if the review asks for one.
func (s *session) actAsReviewer(cmd *cobra.Command, f reviewerFlags, name string) (reviewerSession, error) {
	by, err := s.actingPerson()
	if err != nil {
		return reviewerSession{}, err
	}
	r, err := s.openReview(cmd.Context(), f.org, name)
	if err != nil {
		return reviewerSession{}, err
	}
	code, err := s.reviewCode(cmd.Context(), cmd.InOrStdin(), f.codeFile, r)
	return reviewerSession{session: s, review: r, by: by, codeHash: messages.CodeHash(code)}, err
}

// reviewCode returns the reviewer's code, "" if the review asks for none. It is never an argument: those show in the
// list of processes and in the shell's history.
func (s *session) reviewCode(ctx context.Context, in io.Reader, file string, r reviewRef) (string, error) {
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
	if !isTerminal(in) {
		return "", fmt.Errorf("%s requires the code that you were sent: set CASTELLAN_CODE, or name a file with --code-file (- is standard input)", r)
	}
	display.Fprintf(s.notes, "the code that you were sent for %s: ", r)
	return firstLine(in, "standard input")
}

// firstLine reads a code: the first line, without white space around it.
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

func (s *session) reviewStatus(ctx context.Context, r reviewRef) (status messages.ReviewStatus, err error) {
	defer s.explainWait(r.workflow())()
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

// sendWithProof sends an update with the proof that it is the reviewer's.
func sendWithProof[B messages.WithCredential](ctx context.Context, s reviewerSession, name string, body B) (
	answer messages.ReviewAnswer, err error) {
	body, err = withProof(s.codeHash, s.review.workflow(), name, uuid.NewString(), body)
	if err != nil {
		return answer, err
	}
	return answer, s.updateWithRetry(ctx, s.review, name, passOf(&body).Nonce, body, &answer)
}

// withProof returns the body with its proof, or with a nonce only if there is no code. The proof is of the body as the
// worker will decode it, hence the round trip through JSON.
func withProof[B messages.WithCredential](codeHash, workflow, name, nonce string, body B) (proven B, err error) {
	*passOf(&body) = messages.Credential{Nonce: nonce}
	text, err := json.Marshal(body)
	if err != nil {
		return body, err
	}
	if err := json.Unmarshal(text, &proven); err != nil {
		return body, err
	}
	if codeHash != "" {
		passOf(&proven).Proof = messages.Proof(codeHash, workflow, name, proven)
	}
	return proven, nil
}

func passOf[B messages.WithCredential](body *B) *messages.Credential {
	switch b := any(body).(type) {
	case *messages.DecideInput:
		return &b.Credential
	case *messages.DelegateInput:
		return &b.Credential
	case *messages.CommentInput:
		return &b.Credential
	case *messages.ReopenInput:
		return &b.Credential
	case *messages.ApprovalInput:
		return &b.Credential
	}
	panic("a body without a credential") // unreachable: WithCredential lists all types
}

// How long an update is retried, and the backoff in between.
const (
	updateTimeout = time.Minute
	minBackoff    = 500 * time.Millisecond
	maxBackoff    = 8 * time.Second
)

// typeUpdateCutOff is the type of Temporal's error for an update whose handler was running at a continue-as-new.
const typeUpdateCutOff = "AcceptedUpdateCompletedWorkflow"

// updateWithRetry sends an update to a review, and retries for up to updateTimeout: Temporal admits ten updates at
// once, and a review accepts none while it continues as new. If no answer came, the retry has the same update id, and
// so is the same update; after an answer it has another id, with the same body.
func (s *session) updateWithRetry(ctx context.Context, r reviewRef, name, nonce string, body, answer any) error {
	until := time.Now().Add(updateTimeout)
	answered := 0
	for wait, noted := minBackoff, false; ; wait = min(2*wait, maxBackoff) {
		err := s.updateWithID(ctx, r.workflow(), name, fmt.Sprintf("%s-%d", nonce, answered), body, answer)
		if err == nil {
			return nil
		}
		retry, isAnswer := s.retryable(ctx, r, err)
		if !retry {
			return s.explainError(ctx, r, err)
		}
		if isAnswer {
			answered++
		}
		pause := wait/2 + rand.N(wait/2+1)
		if time.Now().Add(pause).After(until) {
			return fmt.Errorf("%s did not answer within %s: %s. Before you try again, see what it recorded: %s", r,
				updateTimeout, errorText(err), r.command("show"))
		}
		if !noted {
			display.Fprintf(s.notes, "%s cannot accept this now; retrying for up to a minute\n", r)
			noted = true
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// retryable reports whether an update may succeed if sent again, and whether the error is the workflow's answer to it.
func (s *session) retryable(ctx context.Context, r reviewRef, err error) (retry, isAnswer bool) {
	var app *temporal.ApplicationError
	var busy *serviceerror.ResourceExhausted
	var unavailable *serviceerror.Unavailable
	var notReady *serviceerror.WorkflowNotReady
	var lost *client.WorkflowUpdateServiceTimeoutOrCanceledError
	var missing *serviceerror.NotFound
	switch {
	case errors.As(err, &app):
		retry = app.Type() == messages.Renewing || app.Type() == typeUpdateCutOff
		return retry, retry
	case ctx.Err() != nil:
		return false, false
	case errors.As(err, &busy), errors.As(err, &unavailable), errors.As(err, &notReady), errors.As(err, &lost):
		return true, false
	case errors.As(err, &missing): // the run that had it ended: is there a newer one?
		return s.reviewIsRunning(ctx, r), false
	}
	return false, false
}

func (s *session) reviewIsRunning(ctx context.Context, r reviewRef) bool {
	description, err := s.client.DescribeWorkflowExecution(ctx, r.workflow(), "")
	return err == nil &&
		description.GetWorkflowExecutionInfo().GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING
}

// explainError returns a better error for a review whose workflow is not found.
func (s *session) explainError(ctx context.Context, r reviewRef, err error) error {
	var missing *serviceerror.NotFound
	if errors.As(err, &missing) {
		return s.notRunning(ctx, r)
	}
	return err
}

// notRunning returns an error that tells from the ledger why a review's workflow is not running.
func (s *session) notRunning(ctx context.Context, r reviewRef) error {
	answer, err := s.ask(ctx, messages.ReportInput{Org: r.org, Kind: messages.ReportReview, ID: r.id, Limit: 1})
	if err != nil {
		return err
	}
	if answer.Review == nil || !answer.Review.Review.State.Final() {
		return fmt.Errorf("%s is not over, but its workflow is not running: it was terminated, or Temporal lost it. The decisions stay in the ledger, but will not be carried out", r)
	}
	ended := answer.Review.Review
	return fmt.Errorf("%s is %s since %s: it accepts nothing more. Its evidence: %s", r, ended.State,
		localTime(ended.Ended), r.command("evidence"))
}
