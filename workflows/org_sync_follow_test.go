package workflows_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/messages"
)

// changing has runs change what the policy looks at, as often as due says, which counts the runs from 0.
func (l *loop) changing(due func(n int) int) {
	l.run = func(_ workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
		sum := ended(in)
		sum.Started, sum.Round, sum.Since = begin, in.Round, in.Since
		if p := in.Progress; p != nil {
			sum.Round, sum.Since = p.Run.Round, p.Run.Since
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		sum.Due = due(len(l.runs) - 1)
		return sum, nil
	}
	l.examine = func(reconcile.ExamineInput) (reconcile.JudgeResult, error) {
		return reconcile.JudgeResult{Open: 1, Counts: messages.Counts{People: 1, Adds: 1}}, nil
	}
}

func TestOrgSyncDecidesAgainWhomARunChanged(t *testing.T) {
	l := newLoop(t)
	l.changing(func(n int) int { return max(0, 2-n) })
	l.start(time.Hour)
	require.Equal(t, []string{messages.ScopeFull, messages.ScopePeople, messages.ScopePeople}, l.scopes(),
		"until nothing changes")
	require.Len(t, l.examines, 2)
	for i, in := range l.examines {
		require.Equal(t, []string{l.runs[i].Run}, in.After)
		require.Equal(t, begin, in.Since.UTC(), "since the first of them began")
		require.Equal(t, i+1, l.runs[i+1].Progress.Run.Round)
	}
	require.Empty(t, l.status().Pending.Follow)
	require.Empty(t, l.status().Findings)
}

func TestOrgSyncFollowsRunsWithinBounds(t *testing.T) {
	l := newLoop(t)
	l.changing(func(int) int { return 1 })
	l.start(time.Hour)
	require.Len(t, l.examines, 8, "a circle is not run for ever")
	require.Contains(t, fmt.Sprint(l.status().Findings), "rules-circle")
	require.Equal(t, messages.StateOK, l.status().State)
}

func TestOrgSyncLooksAtEverybodyWhereRunsChangedMany(t *testing.T) {
	l := newLoop(t)
	l.changing(func(n int) int { return []int{messages.MostFollowed + 1, 1, 0}[min(n, 2)] })
	l.start(time.Hour)
	require.Equal(t, []string{messages.ScopeFull, messages.ScopeFull, messages.ScopePeople}, l.scopes())
	require.Contains(t, l.runs[1].Trigger, "changed what rules or mappings look at")
	require.Equal(t, 1, l.runs[1].Round)
	require.Equal(t, begin, l.runs[1].Since.UTC())
	require.Equal(t, 2, l.runs[2].Progress.Run.Round)
}

func TestOrgSyncShowsACircleOfRules(t *testing.T) {
	l := newLoop(t)
	l.events = []watchEvent{touched(time.Minute, "c1", "x")}
	l.examine = func(reconcile.ExamineInput) (reconcile.JudgeResult, error) {
		return reconcile.JudgeResult{Counts: messages.Counts{People: 1},
			Circles: []string{"rules-circle group:x: rule one, rule two"}}, nil
	}
	l.start(time.Hour)
	require.Equal(t, []string{"rules-circle group:x: rule one, rule two"}, l.status().Findings)
}

func TestOrgSyncLooksAtWhomGrantsConcernWhereRulesAskForThem(t *testing.T) {
	for _, look := range []bool{true, false} {
		d := newGrantsLoop(t)
		d.look = look
		d.askAt(time.Minute, "ana", 1)
		d.start(time.Hour)
		require.Equal(t, look, len(d.examines) > 0)
	}
}
