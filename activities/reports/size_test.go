package reports_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
)

// manyReasons are the reasons of somebody whom 160 source groups give one thing.
func manyReasons(of string) (all []access.Reason) {
	for i := range 160 {
		all = append(all, access.Reason{Kind: access.ReasonMapping, Name: "everybody",
			Source: fmt.Sprintf("%s-%s-%03d", of, strings.Repeat("x", 150), i)})
	}
	return all
}

// A plan whose rows are large comes in pages that can be sent, and whole.
func TestAnswerPlanIsPagedByItsSize(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	ctx := t.Context()
	require.NoError(t, o.Ledger.BeginRun(ctx,
		ledger.Run{Org: activitytest.Org, ID: "large", Trigger: "test", Scope: messages.ScopeFull, Policy: o.Policy,
			Started: o.Clock()}))
	page := ledger.Page{Key: "all"}
	for i := range 100 {
		id := fmt.Sprintf("p%03d", i)
		page.Changes = append(page.Changes, access.Change{
			Person: id, Email: id + "@example.com", Target: "group:other", GroupID: "g", Action: access.Add,
			Reasons: manyReasons(id), State: access.Planned,
		})
	}
	require.NoError(t, o.Ledger.SavePage(ctx, activitytest.Org, "large", page, o.Clock()))
	seen := map[string]bool{}
	answers := o.Pages(messages.ReportInput{Org: activitytest.Org, Kind: messages.ReportPlan, Run: "large",
		Limit: 2000})
	for _, a := range answers {
		for _, line := range a.Plan.Lines {
			require.False(t, seen[line.Person], "twice: %s", line.Person)
			seen[line.Person] = true
		}
	}
	require.Len(t, seen, 100)
	require.Greater(t, len(answers), 2)
}

// What a person holds comes in pages, and whole.
func TestAnswerWhyIsPagedByItsSize(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("megabytes of reasons; the plan's pages are tried: make test-large")
	}
	o := activitytest.NewInStep(t)
	var holdings []access.Holding
	for i := range 100 {
		name := fmt.Sprintf("group:many-%03d", i)
		holdings = append(holdings, access.Holding{
			Person: o.AccountID("kim"), Target: access.Entitlement(name), GroupID: name, Owned: true,
			Reasons: manyReasons(name), Run: "r", From: o.Clock(),
		})
	}
	require.NoError(t, o.Ledger.SavePage(t.Context(), activitytest.Org, "r", ledger.Page{Key: "many", Open: holdings},
		o.Clock()))
	seen := 0
	answers := o.Pages(messages.ReportInput{Org: activitytest.Org, Kind: messages.ReportWhy, Person: "kim@example.com"})
	for i, a := range answers {
		seen += len(a.Why.Holdings)
		require.True(t, i == 0 || len(a.Why.History) == 0, "the history comes once")
	}
	require.GreaterOrEqual(t, seen, 100)
	require.Greater(t, len(answers), 1)
}

// What cannot be sent even as one row is an error that says what to do, not an answer that never comes.
func TestAnswerRefusesARowThatCannotBeSent(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	reasons := manyReasons("x")
	for range 6 {
		reasons = append(reasons, reasons...)
	}
	require.NoError(t, o.Ledger.SavePage(t.Context(), activitytest.Org, "r",
		ledger.Page{Key: "huge", Open: []access.Holding{{
			Person: o.AccountID("kim"), Target: "group:huge", GroupID: "huge", Owned: true, Reasons: reasons, Run: "r",
			From: o.Clock(),
		}}}, o.Clock()))
	_, err := activitytest.Call[messages.ReportAnswer](o, o.Acts.Reports.Answer,
		messages.ReportInput{Org: activitytest.Org, Kind: messages.ReportWhy, Person: "kim@example.com",
			Target: "group:huge"})
	app := activitytest.ApplicationError(t, err)
	require.True(t, app.NonRetryable())
	require.Contains(t, app.Message(), "at most 1024 KB can be sent")
}
