package main

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/messages"
)

// threePages answers with three pages of two lines each.
func threePages(in messages.ReportInput) (messages.ReportAnswer, error) {
	n := 0
	if in.After != "" {
		_, _ = fmt.Sscan(in.After, &n)
	}
	page := messages.ReportAnswer{Plan: &messages.PlanPage{Run: messages.RunSummary{Run: "preview-1"}}}
	for i := n; i < n+2; i++ {
		page.Plan.Lines = append(page.Plan.Lines, access.Change{Person: fmt.Sprint(i)})
	}
	if n < 4 {
		page.Next = fmt.Sprint(n + 2)
	}
	return page, nil
}

func TestAskAllFetchesEveryPage(t *testing.T) {
	f := &fakeTemporal{answer: threePages}
	s, _, _ := f.session()
	answer, err := s.askAll(t.Context(),
		messages.ReportInput{Org: "acme", Kind: messages.ReportPreview, Policy: []byte(`{}`)}, 0)
	require.NoError(t, err)
	require.Len(t, answer.Plan.Lines, 6)
	require.Empty(t, answer.Next)
	require.Equal(t, messages.ReportPlan, f.asked[1].Kind, "a preview is made once and read on")
	require.Equal(t, "preview-1", f.asked[1].Run)
	require.Empty(t, f.asked[1].Policy)
}

func TestAskAllStopsAtItsLimit(t *testing.T) {
	f := &fakeTemporal{answer: threePages}
	s, _, _ := f.session()
	answer, err := s.askAll(t.Context(), messages.ReportInput{Org: "acme", Kind: messages.ReportPlan}, 4)
	require.NoError(t, err)
	require.Len(t, answer.Plan.Lines, 4)
	require.Equal(t, "4", answer.Next)
	require.Equal(t, 2, f.asked[1].Limit)
}
