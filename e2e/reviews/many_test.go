package reviews_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// crowd returns an organization in which so many people sit in two groups by hand, and so many managers are asked about
// them.
func crowd(people, managers int) cloud.OrgFile {
	file := cloud.OrgFile{Domains: []string{"acme.example"}, People: []string{"ana", "bo"},
		Admins: []string{"ana", "bo"},
		Groups: []cloud.OrgGroup{{Name: "managers"}, {Name: "staff"}},
		Local:  []cloud.OrgGroup{{Name: "builders"}, {Name: "vault"}, {Name: "wiki"}}}
	for i := range managers {
		name := fmt.Sprintf("m%03d", i)
		file.People = append(file.People, name)
		file.Groups[0].Members = append(file.Groups[0].Members, name)
	}
	for i := range people {
		name := fmt.Sprintf("p%04d", i)
		file.People = append(file.People, name)
		file.Groups[1].Members = append(file.Groups[1].Members, name)
		file.Local[1].Members = append(file.Local[1].Members, name)
		file.Local[2].Members = append(file.Local[2].Members, name)
	}
	return file
}

const crowded = `
reviews:
  - name: crowd
    owner: bo@acme.example
    codes: false
    most: 1000
    scope: {targets: ["group:vault", "group:wiki"]}
    stages: [{reviewers: ["group:managers"], length: 12h, escalate: 0s}]
    silence: keep
    patience: 1h
`

// words numbers what reviewers say.
var words atomic.Int64

// decide returns the update of one reviewer, tried again while the run takes no more updates: always the same one,
// until the run says that it did not take it.
func (o *testOrg) decide(review, by string, items []int, v access.Verdict) (answer messages.ReviewAnswer, err error) {
	word, tries := words.Add(1), 0
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		id := fmt.Sprintf("%d-%d", word, tries)
		handle, err := o.Temporal.Client.UpdateWorkflow(o.t.Context(), client.UpdateWorkflowOptions{
			UpdateID: id, WorkflowID: messages.ReviewID(org, review), UpdateName: messages.DecideItems,
			WaitForStage: client.WorkflowUpdateStageCompleted,
			Args:         []any{messages.DecideInput{By: by, Items: items, Verdict: v}},
		})
		if err == nil {
			err = handle.Get(o.t.Context(), &answer)
		}
		var full *serviceerror.ResourceExhausted
		var late *client.WorkflowUpdateServiceTimeoutOrCanceledError
		var app *temporal.ApplicationError
		renewing := errors.As(err, &app) && app.Type() == messages.Renewing
		if !renewing && !errors.As(err, &full) && !errors.As(err, &late) {
			return answer, err
		}
		if renewing {
			tries++
		}
		select {
		case <-o.t.Context().Done():
			return answer, o.t.Context().Err()
		case <-time.After(wait + rand.N(wait)):
		}
	}
}

// given returns the items that each reviewer is asked about.
func (o *testOrg) given(review string, reviewers int) map[string][]int {
	o.t.Helper()
	given := map[string][]int{}
	for i := range reviewers {
		who := fmt.Sprintf("m%03d@acme.example", i)
		in := messages.ReportInput{Org: org, Kind: messages.ReportReview, ID: review, By: who, Limit: 500}
		answer, err := o.Ask(o.t.Context(), in)
		require.NoError(o.t, err)
		for _, item := range answer.Items {
			given[who] = append(given[who], item.N)
		}
	}
	return given
}

// mostAtOnce is how many reviewers speak in the same instant.
const mostAtOnce = 50

// atOnce does something for each reviewer, fifty at the same time.
func atOnce(t *testing.T, given map[string][]int, do func(who string, items []int) error) time.Duration {
	t.Helper()
	begun := time.Now()
	var all sync.WaitGroup
	var mu sync.Mutex
	var failed []error
	turns := make(chan struct{}, mostAtOnce)
	for who, items := range given {
		all.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			if err := do(who, items); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed = append(failed, fmt.Errorf("%s: %w", who, err))
			}
		})
	}
	all.Wait()
	require.Empty(t, failed)
	return time.Since(begun)
}

// TestReviewWithFiftyReviewersAtOnce has fifty reviewers decide at the same time, each item by an update of its own: a
// run takes ten updates at once and 2,000 in all. No decision is lost, and none doubled.
func TestReviewWithFiftyReviewersAtOnce(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	const people, managers = 100, 50
	o := start(t, crowd(people, managers), crowded)
	id := o.review("crowd")
	given := o.given(id, managers)
	require.Len(t, given, managers)
	var said atomic.Int64
	took := atOnce(t, given, func(who string, items []int) error {
		for _, item := range items {
			verdict := access.VerdictKeep
			if item%12 == 0 { // few enough for the guard
				verdict = access.VerdictRemove
			}
			answer, err := o.decide(id, who, []int{item}, verdict)
			if err != nil {
				return err
			}
			if answer.Applied != 1 {
				return fmt.Errorf("item %d: %+v", item, answer)
			}
			said.Add(1)
		}
		return nil
	})
	require.Equal(t, int64(2*people), said.Load())
	t.Logf("%d decisions of %d reviewers, one to an update: %.0f a second (%s)", said.Load(), managers,
		float64(said.Load())/took.Seconds(), took.Round(time.Millisecond))
	o.tallied(id, given)
	done := o.over(id)
	require.Equal(t, access.ReviewDone, done.Review.State)
	o.measured(id)
}

// tallied says that every item was decided by whom it was given to, once.
func (o *testOrg) tallied(review string, given map[string][]int) {
	o.t.Helper()
	by := map[int]string{}
	for who, items := range given {
		for _, n := range items {
			by[n] = who
		}
	}
	all := o.items(review)
	require.Len(o.t, all, len(by))
	for _, i := range all {
		require.Len(o.t, i.Said, 1, "item %d", i.N)
		require.Equal(o.t, by[i.N], i.Said[0].Email, "item %d", i.N)
		require.Equal(o.t, 1, i.Version, "item %d was said once", i.N)
	}
}

// measured tells what a review cost in Temporal: histories, events, bytes, activities.
func (o *testOrg) measured(review string) (runs int, events, bytes, activities int64) {
	o.t.Helper()
	list, err := o.Temporal.Client.ListWorkflow(o.t.Context(),
		&workflowservice.ListWorkflowExecutionsRequest{Query: fmt.Sprintf("WorkflowId = %q",
			messages.ReviewID(org, review))})
	require.NoError(o.t, err)
	var longest, largest int64
	for _, e := range list.GetExecutions() {
		is, err := o.Temporal.Client.DescribeWorkflowExecution(o.t.Context(), e.GetExecution().GetWorkflowId(),
			e.GetExecution().GetRunId())
		require.NoError(o.t, err)
		info := is.GetWorkflowExecutionInfo()
		runs++
		events, bytes = events+info.GetHistoryLength(), bytes+info.GetHistorySizeBytes()
		longest, largest = max(longest, info.GetHistoryLength()), max(largest, info.GetHistorySizeBytes())
		history := o.Temporal.Client.GetWorkflowHistory(o.t.Context(), e.GetExecution().GetWorkflowId(),
			e.GetExecution().GetRunId(), false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		for history.HasNext() {
			event, err := history.Next()
			require.NoError(o.t, err)
			if event.GetEventType() == enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED {
				activities++
			}
		}
	}
	o.t.Logf("%d histories, %d events (%d at most), %d KB (%d at most), %d activities; the worker's memory at most %d MB",
		runs, events, longest, bytes>>10, largest>>10, activities, o.Worker.PeakMemory()>>20)
	require.Less(o.t, longest, int64(20_000), "far below the server's bound of 50,000 events")
	require.Less(o.t, largest, int64(20<<20), "and of 50 MB")
	return runs, events, bytes, activities
}

// TestReviewDecisionsSurviveAKilledWorker kills the worker, more than once, while decisions stream in.
func TestReviewDecisionsSurviveAKilledWorker(t *testing.T) {
	t.Parallel()
	const people, managers = 40, 12
	o := start(t, crowd(people, managers), crowded)
	id := o.review("crowd")
	given := o.given(id, managers)
	var said atomic.Int64
	killed := make(chan struct{})
	go func() {
		defer close(killed)
		for _, after := range []int64{15, 35, 55} {
			for said.Load() < after && o.t.Context().Err() == nil {
				<-time.After(5 * time.Millisecond)
			}
			o.Worker.Kill()
			o.work()
		}
	}()
	atOnce(t, given, func(who string, items []int) error {
		for _, item := range items {
			answer, err := o.decide(id, who, []int{item}, access.VerdictKeep)
			if err != nil {
				return err
			}
			if answer.Applied+answer.Repeated != 1 {
				return fmt.Errorf("item %d: %+v", item, answer)
			}
			said.Add(1)
			again, err := o.decide(id, who, []int{item}, access.VerdictKeep) // the same twice changes nothing
			if err != nil && !strings.Contains(err.Error(), "deciding is over") {
				return err
			}
			if err == nil && again.Applied != 0 {
				return fmt.Errorf("item %d was decided twice: %+v", item, again)
			}
		}
		return nil
	})
	<-killed
	o.tallied(id, given)
	require.Equal(t, access.ReviewDone, o.over(id).Review.State)
	_, checked := o.evidence(id)
	require.Equal(t, 2*people, checked.Counts.Items)
}

// TestReviewOfManyItems measures a campaign of the size that CASTELLAN_REVIEW says: items and reviewers, as 10000x300.
func TestReviewOfManyItems(t *testing.T) {
	var items, managers int
	if n, _ := fmt.Sscanf(os.Getenv("CASTELLAN_REVIEW"), "%dx%d", &items, &managers); n != 2 {
		t.Skip("skipped: CASTELLAN_REVIEW does not say how large a review to measure (10000x300)")
	}
	o := start(t, crowd(items/2, managers), crowded)
	measured := func(what string, do func()) {
		begin := time.Now()
		do()
		t.Logf("%s: %s", what, time.Since(begin).Round(10*time.Millisecond))
	}
	idle := o.Worker.PeakMemory()
	var id string
	measured(fmt.Sprintf("%d items taken, ranked and given to %d reviewers, who are told", items, managers), func() {
		id = o.review("crowd")
		o.asked(fmt.Sprintf("m%03d@acme.example", managers-1))
	})
	var given map[string][]int
	measured(fmt.Sprintf("%d reviewers look at their items", managers), func() { given = o.given(id, managers) })
	took := atOnce(t, given, func(who string, items []int) error {
		for len(items) > 0 {
			some := items[:min(len(items), 5)]
			items = items[len(some):]
			if _, err := o.decide(id, who, some, access.VerdictKeep); err != nil {
				return err
			}
		}
		return nil
	})
	t.Logf("%d decisions, five to an update, by %d reviewers, fifty at once: %.0f a second (%s)", items, managers,
		float64(items)/took.Seconds(), took.Round(time.Millisecond))
	measured("carried out, evidence made", func() { require.Equal(t, access.ReviewDone, o.over(id).Review.State) })
	o.tallied(id, given)
	t.Logf("the worker's memory at most: %d MB before, %d MB after", idle>>20, o.Worker.PeakMemory()>>20)
	o.measured(id)
	measured("starter review evidence: fetched, checked, written as CSV and page", func() {
		_, err := o.Starter(t.Context(), "review", "evidence", id, "--out", t.TempDir()+"/evidence")
		require.NoError(t, err)
	})
}
