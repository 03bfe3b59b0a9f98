package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/temporal"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/config"
	"github.com/castellan-io/castellan/messages"
)

// decoded returns a body as the worker decodes it.
func decoded[B any](t *testing.T, sent any) (body B) {
	t.Helper()
	require.NoError(t, copied(sent, &body))
	return body
}

func TestWithProofIsValidAfterDecoding(t *testing.T) {
	hash := messages.CodeHash("abcd-efgh")
	version := 3
	decide := messages.DecideInput{By: "bo@acme.example",
		Lines: []messages.DecideLine{{Item: 1, Verdict: access.VerdictKeep, Comment: "a <b> & \xff",
			Version: &version}}}
	sent, err := withProof(hash, quarterly.workflow(), messages.DecideItems, "n1", decide)
	require.NoError(t, err)
	got := decoded[messages.DecideInput](t, sent)
	require.Equal(t, messages.Proof(hash, quarterly.workflow(), messages.DecideItems, got), got.Proof,
		"also of a comment that is no text")
	require.Equal(t, "n1", got.Nonce)
	require.Empty(t, got.Code, "the code goes nowhere")
	require.NotEqual(t, messages.Proof(hash, quarterly.workflow()+"x", messages.DecideItems, got), got.Proof)
	other, err := withProof(hash, quarterly.workflow(), messages.DecideItems, "n2", decide)
	require.NoError(t, err)
	require.NotEqual(t, got.Proof, other.Proof, "two proofs of the same words differ")

	delegate, err := withProof(hash, quarterly.workflow(), messages.DelegateItems, "n",
		messages.DelegateInput{By: "bo@acme.example", To: "cy@acme.example"})
	require.NoError(t, err)
	require.Equal(t, messages.Proof(hash, quarterly.workflow(), messages.DelegateItems,
		decoded[messages.DelegateInput](t, delegate)), delegate.Proof)
	comment, err := withProof(hash, quarterly.workflow(), messages.CommentItem, "n",
		messages.CommentInput{Item: 1, Comment: "c"})
	require.NoError(t, err)
	require.Equal(t, messages.Proof(hash, quarterly.workflow(), messages.CommentItem,
		decoded[messages.CommentInput](t, comment)), comment.Proof)
	reopen, err := withProof(hash, quarterly.workflow(), messages.ReopenItems, "n", messages.ReopenInput{Items: []int{1}})
	require.NoError(t, err)
	require.Equal(t, messages.Proof(hash, quarterly.workflow(), messages.ReopenItems,
		decoded[messages.ReopenInput](t, reopen)), reopen.Proof)

	bare, err := withProof("", quarterly.workflow(), messages.DecideItems, "n", decide)
	require.NoError(t, err)
	require.Empty(t, bare.Proof)
	require.Equal(t, "n", bare.Nonce)
}

func TestReviewDecideSendsAProofNotTheCode(t *testing.T) {
	file := filepath.Join(t.TempDir(), "code")
	require.NoError(t, os.WriteFile(file, []byte("ABCD-EFGH\n"), 0o600))
	for name, c := range map[string]struct {
		env, typed string
		args       []string
		codes      bool
		bare       bool
		err        string
	}{
		"from the environment": {env: "abcd efgh"},
		"from a file":          {args: []string{"--code-file", file}, env: "another"},
		"from standard input":  {args: []string{"--code-file", "-"}, typed: "ABCDEFGH"},
		"nothing comes":        {args: []string{"--code-file", "-"}, err: "no code came from standard input"},
		"no such file":         {args: []string{"--code-file", file + "x"}, err: "read the code: open"},
		"none is wanted":       {bare: true},
		"one is wanted": {codes: true,
			err: "requires the code that you were sent: set CASTELLAN_CODE"},
		"not what stands in a pipe": {codes: true, typed: "ABCDEFGH", err: "--code-file"},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fakeTemporal{
				status: messages.ReviewStatus{Review: access.Review{ID: quarterly.id, Codes: c.codes}},
				update: func(int, string, any) (any, error) {
					return messages.ReviewAnswer{Message: "1 item decided", Applied: 1}, nil
				},
			}
			s, out, notes := f.session()
			if c.env != "" {
				s.code = config.NewSecret(c.env)
			}
			err := f.run(t, s, c.typed, append([]string{"decide", quarterly.id, "keep", "1"}, c.args...)...)
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
				require.Empty(t, f.heard)
				return
			}
			require.NoError(t, err)
			require.Len(t, f.heard, 1)
			body := f.heard[0].Args[0].(messages.DecideInput)
			want := ""
			if !c.bare {
				want = messages.Proof(messages.CodeHash("ABCDEFGH"), quarterly.workflow(), messages.DecideItems, body)
			}
			require.Equal(t, want, body.Proof)
			sent, err := json.Marshal(body)
			require.NoError(t, err)
			for _, seen := range []string{string(sent), out.String(), notes.String()} {
				require.NotContains(t, strings.ToLower(strings.NewReplacer("-", "", " ", "").Replace(seen)), "abcdefgh")
			}
		})
	}
}

// busy returns Temporal's error for too many updates at once.
func busy() error {
	return serviceerror.NewResourceExhausted(enumspb.RESOURCE_EXHAUSTED_CAUSE_CONCURRENT_LIMIT,
		"10 updates are in flight")
}

func applicationError(message, kind string) error {
	return &workflowError{temporal.NewApplicationError(message, kind)}
}

func TestUpdateWithRetryRetries(t *testing.T) {
	done := messages.ReviewAnswer{Message: "1 item decided", Applied: 1}
	for name, c := range map[string]struct {
		errs []error
		ids  []int // how often it was answered before, by attempt
	}{
		"at once":             {ids: []int{0}},
		"too much at once":    {errs: []error{busy(), busy()}, ids: []int{0, 0, 0}},
		"the answer was lost": {errs: []error{serviceerror.NewUnavailable("aborted")}, ids: []int{0, 0}},
		"a fresh history": {errs: []error{applicationError("later", "Renewing"),
			applicationError("ended", "AcceptedUpdateCompletedWorkflow"), busy()}, ids: []int{0, 1, 2, 2}},
		"its history ended": {errs: []error{serviceerror.NewNotFound("aborted by closing workflow")},
			ids: []int{0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fakeTemporal{update: func(n int, _ string, _ any) (any, error) {
					if n < len(c.errs) {
						return nil, c.errs[n]
					}
					return done, nil
				}}
				s, _, notes := f.session()
				answer, err := sendWithProof(t.Context(),
					reviewerSession{session: s, review: quarterly, by: "bo@acme.example", codeHash: "h"}, messages.DecideItems,
					messages.DecideInput{Items: []int{1}})
				require.NoError(t, err)
				require.Equal(t, done, answer)
				require.Len(t, f.heard, len(c.ids))
				first := f.heard[0].Args[0].(messages.DecideInput)
				require.NotEmpty(t, first.Nonce)
				for n, id := range c.ids {
					require.Equal(t, first, f.heard[n].Args[0], "the same body, nonce and proof")
					require.Equal(t, first.Nonce+"-"+string(rune('0'+id)), f.heard[n].UpdateID)
				}
				require.Equal(t, min(1, len(c.errs)), strings.Count(notes.String(), "cannot accept this now"),
					"it is said once: %s", notes)
			})
		})
	}
}

func TestUpdateWithRetryGivesUpAfterAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeTemporal{update: func(int, string, any) (any, error) { return nil, busy() }}
		s, _, notes := f.session()
		began := time.Now()
		err := s.updateWithRetry(t.Context(), quarterly, messages.CloseReview, "n", messages.EndReviewInput{}, nil)
		require.ErrorContains(t, err, "review quarterly:2026-03-02 of acme did not answer within 1m0s: 10 updates are in flight. Before you try again, see what it recorded: starter review show quarterly:2026-03-02")
		require.LessOrEqual(t, time.Since(began), updateTimeout)
		require.Greater(t, time.Since(began), updateTimeout-maxBackoff)
		require.Greater(t, len(f.heard), 8)
		require.Equal(t, 1, strings.Count(notes.String(), "retrying"))
	})
}

func TestUpdateWithRetryDoesNotRetryARefusal(t *testing.T) {
	f := &fakeTemporal{update: func(int, string, any) (any, error) {
		return nil,
			applicationError("deciding is over", "Refused")
	}}
	s, _, notes := f.session()
	err := s.updateWithRetry(t.Context(), quarterly, messages.DecideItems, "n", messages.DecideInput{}, nil)
	require.Equal(t, "deciding is over", errorText(err))
	require.Len(t, f.heard, 1)
	require.Empty(t, notes.String())
}

func TestUpdateWithRetryStopsWhenCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		f := &fakeTemporal{update: func(int, string, any) (any, error) {
			time.AfterFunc(time.Millisecond, cancel)
			return nil, busy()
		}}
		s, _, _ := f.session()
		require.ErrorIs(t, s.updateWithRetry(ctx, quarterly, messages.CloseReview, "n", messages.EndReviewInput{}, nil),
			context.Canceled)
		require.Len(t, f.heard, 1)
	})
}
