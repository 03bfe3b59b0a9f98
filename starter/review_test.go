package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/messages"
)

// inUTC shows instants in UTC, wherever the test runs.
func inUTC(t *testing.T) {
	was := time.Local
	time.Local = time.UTC
	t.Cleanup(func() { time.Local = was })
}

var quarterly = reviewRef{"acme", "quarterly:2026-03-02"}

// listed returns a review of the quarterly campaign.
func listed(date string, state access.ReviewState) messages.ListedReview {
	return messages.ListedReview{Review: access.Review{
		ID: "quarterly:" + date, Campaign: "quarterly", State: state, Opened: noon, Stage: 1, Stages: 2,
		Due: noon.AddDate(0, 0, 14), Items: 40,
	}}
}

func TestReviewHelp(t *testing.T) {
	noTemporal(t)
	for _, args := range [][]string{{"review"}, {"review", "--help"}} {
		out, err := runProgram(args...)
		require.NoError(t, err)
		for _, want := range []string{
			"An access review asks people", "REVIEW is that name, or just the campaign's", "CASTELLAN_CODE",
			"\nLook:\n", "\nDecide, as a reviewer:\n",
			"\nDecide in a spreadsheet:\n", "\nRun a review:\n", "starter review decide quarterly keep 1 4 7-12",
		} {
			require.Contains(t, out, want)
		}
		require.NotContains(t, out, "Additional Commands", "every command is in a group")
	}
	_, err := runProgram("review", "shwo")
	require.ErrorContains(t, err, `review has no command "shwo"; did you mean show?`)
	_, err = runProgram("review", "nonsense")
	require.ErrorContains(t, err, "starter review --help lists them")
}

func TestOpenReviewFindsByNameOrCampaign(t *testing.T) {
	for name, c := range map[string]struct {
		said    string
		reviews []messages.ListedReview
		want    string
		err     string
		asks    bool
	}{
		"as a whole":      {said: "quarterly:2026-03-02", want: "quarterly:2026-03-02"},
		"a schedule's":    {said: "quarterly-2026-03-02T09:00:00Z", want: "quarterly-2026-03-02T09:00:00Z"},
		"by its workflow": {said: "access-review:acme:quarterly:2026-03-02", want: "quarterly:2026-03-02"},
		"by its campaign": {said: "quarterly", asks: true, want: "quarterly:2026-03-02",
			reviews: []messages.ListedReview{listed("2026-04-01", access.ReviewCancelled),
				listed("2026-03-02", access.ReviewOpen), listed("2026-01-01", access.ReviewDone)}},
		"one that is closing": {said: "quarterly", asks: true, want: "quarterly:2026-03-02",
			reviews: []messages.ListedReview{listed("2026-03-02", access.ReviewClosing)}},
		"two are open": {said: "quarterly", asks: true,
			err: "several open reviews, name one: quarterly:2026-04-01, quarterly:2026-03-02",
			reviews: []messages.ListedReview{listed("2026-04-01", access.ReviewOpening),
				listed("2026-03-02", access.ReviewOpen)}},
		"none is open": {said: "quarterly", asks: true,
			err: "no open review; the last is quarterly:2026-03-02 (done): give its full name",
			reviews: []messages.ListedReview{listed("2026-03-02", access.ReviewDone),
				listed("2026-01-01", access.ReviewDone)}},
		"there never was one": {said: "quartely", asks: true,
			err: `organization acme had no review of a campaign named "quartely"; starter review list names them all`},
		"a campaign with dashes": {said: "admins-quarterly", asks: true, want: "quarterly:2026-03-02",
			reviews: []messages.ListedReview{listed("2026-03-02", access.ReviewOpen)}},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fakeTemporal{answer: func(messages.ReportInput) (messages.ReportAnswer, error) {
				return messages.ReportAnswer{Reviews: c.reviews}, nil
			}}
			s, _, _ := f.session()
			r, err := s.openReview(t.Context(), "", c.said)
			if c.asks {
				require.Equal(t, []messages.ReportInput{{Org: "acme", Kind: messages.ReportReviews, Campaign: c.said}},
					f.asked)
			} else {
				require.Empty(t, f.asked, "nobody has to be asked")
			}
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, reviewRef{"acme", c.want}, r)
			require.Equal(t, "access-review:acme:"+c.want, r.workflow())
		})
	}
}

func TestLastWithEvidence(t *testing.T) {
	open, skipped, done, older := listed("2026-04-01", access.ReviewOpen), listed("2026-03-15", access.ReviewSkipped),
		listed("2026-03-02", access.ReviewDone), listed("2026-01-01", access.ReviewDone)
	done.Head, older.Head = "sha256:d", "sha256:o"
	id, err := lastWithEvidence([]messages.ListedReview{open, skipped, done, older}, "acme", "quarterly")
	require.NoError(t, err)
	require.Equal(t, done.ID, id)
	_, err = lastWithEvidence([]messages.ListedReview{open, skipped}, "acme", "quarterly")
	require.ErrorContains(t, err, "no review of campaign quarterly has evidence yet: it is made when one is over; the last is quarterly:2026-04-01 (open)")
	_, err = lastWithEvidence(nil, "acme", "quarterly")
	require.ErrorContains(t, err, "organization acme had no review")
}

func TestPrintReviews(t *testing.T) {
	done := listed("2026-01-01", access.ReviewDone)
	done.Decided, done.Outcomes = 40,
		map[access.Outcome]int{access.OutcomeKept: 30, access.OutcomeLate: 2, access.OutcomeSource: 1}
	open := listed("2026-03-02", access.ReviewOpen)
	open.Decided = 12
	inUTC(t)
	text := printed(t, func(w io.Writer) {
		printReviews(w, messages.ReportAnswer{Next: done.ID, Reviews: []messages.ListedReview{open, done}})
	})
	require.Equal(t, `REVIEW                STATE               OPENED                   DUE                      DECIDED  EXCEPTIONS
quarterly:2026-03-02  open, stage 1 of 2  2026-03-02 12:00:00 UTC  2026-03-16 12:00:00 UTC  12/40    0
quarterly:2026-01-01  done                2026-03-02 12:00:00 UTC                           40/40    3

more: --after quarterly:2026-01-01
`, text)
	require.Equal(t, "no reviews\n", printed(t, func(w io.Writer) { printReviews(w, messages.ReportAnswer{}) }))
}

func TestReviewList(t *testing.T) {
	f := &fakeTemporal{answer: func(messages.ReportInput) (messages.ReportAnswer, error) {
		return messages.ReportAnswer{Reviews: []messages.ListedReview{listed("2026-03-02", access.ReviewOpen)}}, nil
	}}
	s, out, _ := f.session()
	require.NoError(t, f.run(t, s, "", "list", "acme", "--campaign", "quarterly", "--limit", "3", "--after",
		"quarterly:2026-04-01"))
	require.Contains(t, out.String(), "quarterly:2026-03-02")
	require.Equal(t, []messages.ReportInput{{Org: "acme", Kind: messages.ReportReviews, Campaign: "quarterly", Limit: 3,
		After: "quarterly:2026-04-01"}}, f.asked)
}

func TestReviewStart(t *testing.T) {
	f := &fakeTemporal{status: messages.ReviewStatus{Review: access.Review{ID: quarterly.id}}}
	s, out, _ := f.session()
	require.NoError(t, f.run(t, s, "", "start", "quarterly", "--date", "2026-03-02"))
	require.Equal(t, "review quarterly:2026-03-02 of acme is started\n"+
		"  open:    workflow access-review:acme:quarterly:2026-03-02 in the Temporal Web UI\n"+
		"  follow:  starter review show quarterly:2026-03-02 --org acme\n"+
		"  all:     temporal workflow list --query 'CastellanCampaign=\"quarterly\"'\n", out.String())
	require.Len(t, f.started, 1)
	is := f.started[0]
	require.Equal(t, "access-review:acme:quarterly:2026-03-02", is.ID)
	require.Equal(t, messages.QueueWorkflows, is.TaskQueue)
	require.Equal(t, messages.TaskTimeout, is.WorkflowTaskTimeout)
	require.Equal(t, enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE, is.WorkflowIDReusePolicy)
	require.True(t, is.WorkflowExecutionErrorWhenAlreadyStarted)
	require.Equal(t, temporal.NewSearchAttributes(messages.AttributeOrg.ValueSet("acme"),
		messages.AttributeCampaign.ValueSet("quarterly")), is.TypedSearchAttributes)
	require.NotEmpty(t, is.StaticSummary)

	require.ErrorContains(t, f.run(t, s, "", "start", "quarterly", "--date", "tomorrow"),
		`--date "tomorrow": write a day`)
}

func TestReviewStartReportsAnUnknownCampaign(t *testing.T) {
	f := &fakeTemporal{start: temporal.NewApplicationError("organization acme has no campaign quartely", "Refused")}
	s, out, _ := f.session()
	err := f.run(t, s, "", "start", "quartely", "--date", "2026-03-02")
	require.Equal(t, "organization acme has no campaign quartely", errorText(err))
	require.Empty(t, out)
}

// alreadyStarted refuses to start workflows that, it says, are already running.
type alreadyStarted struct{ *fakeTemporal }

func (alreadyStarted) ExecuteWorkflow(context.Context, client.StartWorkflowOptions, any,
	...any) (client.WorkflowRun, error) {
	return nil, serviceerror.NewWorkflowExecutionAlreadyStarted("it runs", "", "")
}

func TestReviewStartRefusesASecondReviewOfTheDay(t *testing.T) {
	f := &fakeTemporal{}
	s, _, _ := f.session()
	s.client = alreadyStarted{f}
	_, err := s.startReview(t.Context(), quarterly, "quarterly")
	require.ErrorContains(t, err, "already exists: see starter review show quarterly:2026-03-02 --org acme")
	require.ErrorContains(t, err, "--date")
}

func TestReviewStartWaitsOnlyAWhileForAWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeTemporal{} // its status never says that it has begun
		s, out, notes := f.session()
		began := time.Now()
		require.NoError(t, f.run(t, s, "", "start", "quarterly", "--date", "2026-03-02"))
		require.Equal(t, startTimeout, time.Since(began))
		require.Contains(t, out.String(), "no worker has begun it yet: is one running?")
		require.Contains(t, notes.String(), "waiting for an answer")
	})
}

func TestReviewOpsCommands(t *testing.T) {
	for args, want := range map[string]struct {
		update string
		body   any
	}{
		"extend R 3d --reason holidays": {messages.Extend,
			messages.ExtendReviewInput{By: "bo@acme.example", Duration: messages.Duration(72 * time.Hour),
				Reason: "holidays"}},
		"extend R 1d12h": {messages.Extend,
			messages.ExtendReviewInput{By: "bo@acme.example", Duration: messages.Duration(36 * time.Hour)}},
		"close R --reason enough": {messages.CloseReview,
			messages.EndReviewInput{By: "bo@acme.example", Reason: "enough"}},
		"cancel R": {messages.CancelReview, messages.EndReviewInput{By: "bo@acme.example"}},
		"remind R --reviewer cy@b.c": {messages.Remind,
			messages.RemindInput{By: "bo@acme.example", Reviewer: "cy@b.c"}},
		"revoke-links R --reason lost": {messages.RevokeLinks,
			messages.RevokeLinksInput{By: "bo@acme.example", Reason: "lost"}},
	} {
		t.Run(args, func(t *testing.T) {
			f := &fakeTemporal{update: func(int, string, any) (any, error) {
				return messages.Answer{Message: "so it is"},
					nil
			}}
			s, out, _ := f.session()
			require.NoError(t, f.run(t, s, "", strings.Fields(strings.Replace(args, "R", quarterly.id, 1))...))
			require.Len(t, f.heard, 1)
			require.Equal(t, quarterly.workflow(), f.heard[0].WorkflowID)
			require.Equal(t, want.update, f.heard[0].UpdateName)
			require.Equal(t, want.body, f.heard[0].Args[0])
			require.Equal(t, "review quarterly:2026-03-02 of acme: so it is\n", out.String())
		})
	}
	f := &fakeTemporal{}
	s, _, _ := f.session()
	for _, span := range []string{"soon", "0h", "3"} {
		require.ErrorContains(t, f.run(t, s, "", "extend", quarterly.id, span), "give how much longer")
	}
	require.Empty(t, f.heard)
}

func TestUpdateReviewOfAFinishedReview(t *testing.T) {
	over := listed("2026-03-02", access.ReviewDone)
	over.Ended = noon
	for name, c := range map[string]struct {
		answer messages.ReportAnswer
		err    error
		want   string
	}{
		"over": {answer: messages.ReportAnswer{Review: &messages.ReviewStatus{Review: over.Review}},
			want: "review quarterly:2026-03-02 of acme is done since " + localTime(noon) +
				": it accepts nothing more. Its evidence: starter review evidence quarterly:2026-03-02 --org acme"},
		"lost": {answer: messages.ReportAnswer{
			Review: &messages.ReviewStatus{Review: listed("2026-03-02", access.ReviewOpen).Review}},
			want: "is not over, but its workflow is not running"},
		"unknown": {err: errors.New("organization acme has no review of that name"),
			want: "organization acme has no review of that name"},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fakeTemporal{
				gone:   true,
				answer: func(messages.ReportInput) (messages.ReportAnswer, error) { return c.answer, c.err },
				update: func(int, string, any) (any, error) {
					return nil,
						serviceerror.NewNotFound("already completed")
				},
			}
			s, _, _ := f.session()
			require.ErrorContains(t, f.run(t, s, "", "close", quarterly.id), c.want)
			require.Len(t, f.heard, 1, "nobody tries again")
			require.ErrorContains(t, f.run(t, s, "", "decide", quarterly.id, "keep", "1"), c.want)
			require.Len(t, f.heard, 1, "the status says it already")
		})
	}
}
