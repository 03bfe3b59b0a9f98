package ledger_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
	"github.com/stretchr/testify/require"
)

func begun(id string, at time.Time) ledger.Run {
	return ledger.Run{Org: org, ID: id, Trigger: "schedule", Scope: "full", Policy: "a", By: "clock", State: "reading",
		Started: at}
}

func TestRunFromBeginningToEnd(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		run := begun("r1", noon)
		run.DryRun = true
		require.ErrorIs(t, l.EndRun(t.Context(), run), ledger.ErrNotFound)
		require.NoError(t, l.BeginRun(t.Context(), run))
		require.NoError(t, l.BeginRun(t.Context(), begun("r1", noon.Add(time.Hour))), "a repeat changes nothing")
		stored, err := l.Run(t.Context(), org, "r1")
		require.NoError(t, err)
		require.Equal(t, run, stored)

		run.State, run.Plan, run.Ended, run.ProblemKind = "done", "sha256:1", noon.Add(time.Minute), "KeyRefused"
		run.Problem = "none <worth> a word \x00\xff"
		run.Counts = ledger.Counts{People: 7, Adds: 3, Unverified: 1}
		run.Findings = []access.Finding{{Rule: "uncovered-group", Subject: "eng", Detail: "no mapping names it",
			Blocks: true}}
		require.NoError(t, l.EndRun(t.Context(), run))
		require.NoError(t, l.EndRun(t.Context(), run))
		stored, err = l.Run(t.Context(), org, "r1")
		require.NoError(t, err)
		run.Problem = "none <worth> a word \uFFFD"
		require.Equal(t, run, stored)
		require.Equal(t, []string{"run-begun", "run-ended"}, kinds(t, l))
		entries := entries(t, l, 1)
		require.JSONEq(t, `{"state":"done","plan":"sha256:1","problem":"none <worth> a word �","problemKind":"KeyRefused","counts":{"people":7,"adds":3,"unverified":1}}`, string(entries[0].Body))

		run.State = "applied"
		require.NoError(t, l.EndRun(t.Context(), run), "another outcome replaces the first")
		require.Equal(t, []string{"run-begun", "run-ended", "run-ended"}, kinds(t, l))
		_, err = l.Run(t.Context(), org, "r2")
		require.ErrorIs(t, err, ledger.ErrNotFound)
		sound(t, l)
	})
}

func TestPreviewsLeaveNoEntry(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		run := begun("p1", noon)
		run.Preview = true
		require.NoError(t, l.BeginRun(t.Context(), run))
		run.State = "done"
		require.NoError(t, l.EndRun(t.Context(), run))
		require.Empty(t, kinds(t, l))
	})
}

func TestRunsComeNewestFirstInPages(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		for i := range 7 { // two of each instant
			require.NoError(t, l.BeginRun(t.Context(),
				begun(fmt.Sprintf("r%d", i), noon.Add(time.Duration(i/2)*time.Second))))
		}
		var got []string
		for before := ""; ; {
			page, err := l.Runs(t.Context(), org, 3, before)
			require.NoError(t, err)
			if len(page) == 0 {
				break
			}
			for _, r := range page {
				got = append(got, r.ID)
			}
			before = page[len(page)-1].ID
		}
		require.Equal(t, []string{"r6", "r5", "r4", "r3", "r2", "r1", "r0"}, got)
	})
}

func TestOnlyTwentyOutlinesStay(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		_, _, _, err := l.LatestOutline(t.Context(), org, "a")
		require.ErrorIs(t, err, ledger.ErrNotFound)
		for i := range 25 {
			id := fmt.Sprintf("r%02d", i)
			policy := "a"
			if i == 10 {
				policy = "b"
			}
			for range 2 {
				require.NoError(t, l.SaveOutline(t.Context(), org, id, policy, []byte(`{"n":"`+id+`"}`),
					noon.Add(time.Duration(i)*time.Second)))
			}
		}
		_, err = l.Outline(t.Context(), org, "r04")
		require.ErrorIs(t, err, ledger.ErrNotFound)
		body, err := l.Outline(t.Context(), org, "r05")
		require.NoError(t, err)
		require.JSONEq(t, `{"n":"r05"}`, string(body))
		run, body, at, err := l.LatestOutline(t.Context(), org, "a")
		require.NoError(t, err)
		require.Equal(t, "r24", run)
		require.JSONEq(t, `{"n":"r24"}`, string(body))
		require.Equal(t, noon.Add(24*time.Second), at)
		run, _, _, err = l.LatestOutline(t.Context(), org, "b")
		require.NoError(t, err)
		require.Equal(t, "r10", run)
	})
}

func TestPruneTakesOnlyWhatWasShown(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		for _, id := range []string{"old", "young"} {
			at := noon
			if id == "young" {
				at = noon.Add(time.Hour)
			}
			require.NoError(t, l.BeginRun(t.Context(), begun(id, at)))
			shown := change(person(1), access.Add, "shown")
			shown.State = access.Recorded
			held := change(person(1), access.Add, "held")
			held.State = access.Held
			plan(t, l, id, shown, change(person(1), access.Add, "planned"), held)
			run := begun(id, at)
			run.Ended = at
			require.NoError(t, l.EndRun(t.Context(), run))
		}
		n, err := l.Prune(t.Context(), org, noon.Add(time.Minute), 10)
		require.NoError(t, err)
		require.Equal(t, 1, n)
		lines, err := l.Lines(t.Context(), org, "old", ledger.Filter{})
		require.NoError(t, err)
		require.Len(t, lines, 2)
		lines, err = l.Lines(t.Context(), org, "young", ledger.Filter{})
		require.NoError(t, err)
		require.Len(t, lines, 3)
	})
}
