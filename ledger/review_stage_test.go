package ledger_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/review"
	"github.com/stretchr/testify/require"
)

func TestAStageBeginsOnce(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		underReview(t, l, spring, 4, nil)
		open := func(stage int, reviewer string) (all []string) {
			t.Helper()
			tasks, err := l.OpenTasks(t.Context(), org, spring, stage, reviewer)
			require.NoError(t, err)
			for _, one := range tasks {
				all = append(all, fmt.Sprint(one.N, " ", one.Reviewer))
			}
			return all
		}
		require.Equal(t, 1, storedReview(t, l, spring).Stage)
		require.NoError(t, l.BeginStage(t.Context(), org, spring, 2, minutes(90), []int{1, 2, 3},
			[]access.Task{task(1, carol), task(1, carol), task(2, "ID-Dan"), task(3, carol)}, minutes(4)))
		for range 2 { // it has begun
			inStage(t, l, spring, 2, map[string][]int{bo: {4}})
			inStage(t, l, spring, 1, map[string][]int{bo: {4}})
		}
		r := storedReview(t, l, spring)
		require.Equal(t, []any{access.ReviewOpen, 2, minutes(90)}, []any{r.State, r.Stage, r.Due})
		require.Equal(t, []string{"1 carol@acme.example", "2 ID-Dan", "3 carol@acme.example"}, open(2, ""))
		require.Equal(t, []string{"1 carol@acme.example", "3 carol@acme.example"}, open(2, carol))
		require.Empty(t, open(1, ""))
		require.Equal(t, []int{2, 2, 2, 0},
			[]int{item(t, l, spring, 1).Stage, item(t, l, spring, 2).Stage, item(t, l, spring, 3).Stage,
				item(t, l, spring, 4).Stage})
		tasks, err := l.OpenTasks(t.Context(), org, spring, 2, "ID-Dan")
		require.NoError(t, err)
		require.Equal(t, []access.Task{task(2, "ID-Dan")}, tasks, "a task comes back whole")

		for _, state := range []access.ReviewState{access.ReviewClosing, access.ReviewDone} {
			_, err := l.ChangeReview(t.Context(), org, spring,
				func(r *access.Review) bool { r.State = state; return true })
			require.NoError(t, err)
			inStage(t, l, spring, 3, map[string][]int{bo: {4}})
			require.Equal(t, state, storedReview(t, l, spring).State, "deciding is over")
			require.Equal(t, 2, storedReview(t, l, spring).Stage)
		}
		all := logged(t, l, spring)
		require.Equal(t, access.ReviewEvent{Seq: 3, At: minutes(4), Kind: "stage", Stage: 2,
			Text: "3 items, until " + minutes(90).Format(time.RFC3339)}, all[2])
		require.Len(t, all, 3)
		require.ErrorIs(t, l.BeginStage(t.Context(), org, "none", 1, noon, nil, nil, noon), ledger.ErrNotFound)
	})
}

func TestOthersAreAsked(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		underReview(t, l, spring, 4, map[string][]int{carol: {1, 2}, "gone@acme.example": {2, 3, 4}})
		tell(t, l, spring, word("gone@acme.example", keep, 4))
		asked := access.ReviewEvent{At: minutes(9), Kind: access.EventFallback, Stage: 1, Text: "somebody is gone"}
		give := func(stage int, drop []string, tasks ...access.Task) bool {
			t.Helper()
			changed, err := l.GiveTasks(t.Context(), org, spring, stage, tasks, drop, asked)
			require.NoError(t, err)
			return changed
		}
		before := len(logged(t, l, spring))
		require.False(t, give(1, nil, task(1, carol), task(2, carol)), "she is asked already")
		require.False(t, give(1, []string{"nobody@acme.example"}))
		require.Len(t, logged(t, l, spring), before)
		require.True(t, give(1, []string{"gone@acme.example"}, task(3, dan)))
		require.False(t, give(1, []string{"gone@acme.example"}, task(3, dan)), "a repeat")
		all := logged(t, l, spring)
		require.Len(t, all, before+1)
		require.Equal(t, "somebody is gone", all[before].Text)
		left := func() (all []string) {
			for _, r := range count(t, l, spring).Reviewers {
				all = append(all, fmt.Sprintf("%s %d %d", r.Reviewer, r.Items, r.Left))
			}
			return all
		}
		require.Equal(t, []string{"carol@acme.example 2 2", "dan@acme.example 1 1", "gone@acme.example 1 0"}, left(),
			"what somebody has spoken of stays theirs")

		require.False(t, give(2, nil, task(1, dan)), "this stage has not begun")
		inStage(t, l, spring, 2, map[string][]int{carol: {1}})
		require.False(t, give(1, nil, task(1, dan)), "this one is over")
		_, err := l.ChangeReview(t.Context(), org, spring,
			func(r *access.Review) bool { r.State = access.ReviewClosing; return true })
		require.NoError(t, err)
		require.False(t, give(2, []string{carol}, task(1, dan)), "and so is deciding")
		require.Equal(t, []string{"carol@acme.example 1 1"}, left())
		_, err = l.GiveTasks(t.Context(), org, "none", 1, nil, nil)
		require.ErrorIs(t, err, ledger.ErrNotFound)
	})
}

func TestHowFarAReviewIs(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		var items []access.Item
		for n := 1; n <= 6; n++ {
			items = append(items, asks(n, "ops"))
		}
		taken(t, l, campaign(spring), items...)
		c := count(t, l, spring)
		require.Equal(t, []int{6, 0, 0}, []int{c.Items, c.Asked, c.Decided}, "nobody is asked yet")
		require.Empty(t, c.Reviewers)

		inStage(t, l, spring, 1, map[string][]int{carol: {1, 2, 3, 4}, dan: {3, 4, 5}})
		_, err := l.GiveTasks(t.Context(), org, spring, 1, []access.Task{
			{N: 1, Reviewer: bo, Role: access.TaskOwner}, {N: 2, Reviewer: bo, Role: access.TaskFallback},
			{N: 5, Reviewer: carol, Role: access.TaskOwner},
			{N: 6, Reviewer: "eve@acme.example", Role: access.TaskOwner},
			{N: 5, Reviewer: "eve@acme.example", Role: access.TaskDelegate},
		}, nil)
		require.NoError(t, err)
		tell(t, l, spring, word(carol, keep, 1, 3), word(dan, remove, 3, 5), word(carol, remove, 2))
		tell(t, l, spring, after(30, again(carol, 2)))
		require.NoError(t, l.Settle(t.Context(), org, spring,
			[]review.Resolution{outcome(t, l, spring, 5, access.OutcomeOpen)}, minutes(40)))
		c = count(t, l, spring)
		require.Equal(t, ledger.ReviewCount{
			Items: 6, Asked: 5, Decided: 3, Removals: 1,
			Verdicts: map[access.Verdict]int{"": 3, keep: 1, remove: 2},
			Outcomes: map[access.Outcome]int{access.OutcomeOpen: 1},
			Reviewers: []ledger.ReviewerCount{
				{Reviewer: bo, Role: access.TaskFallback, Items: 2, Spoken: 0, Left: 1},
				{Reviewer: carol, Role: access.TaskReviewer, Items: 5, Spoken: 2, Left: 2},
				{Reviewer: dan, Role: access.TaskReviewer, Items: 3, Spoken: 2, Left: 1},
				{Reviewer: "eve@acme.example", Role: access.TaskDelegate, Items: 2, Spoken: 0, Left: 1},
			},
		}, c)
		all, spoken, err := l.TasksOf(t.Context(), org, spring, 1, carol)
		require.NoError(t, err)
		require.Equal(t, []int{5, 2}, []int{all, spoken})
		_, err = l.CountReview(t.Context(), org, "none")
		require.ErrorIs(t, err, ledger.ErrNotFound)

		inStage(t, l, spring, 2, map[string][]int{bo: {1, 3}})
		c = count(t, l, spring)
		require.Equal(t, []int{6, 2, 0}, []int{c.Items, c.Asked, c.Decided},
			"what was said in the first stage is not said in the second")
		require.Equal(t, map[access.Verdict]int{"": 3, keep: 1, remove: 2}, c.Verdicts)
		require.Equal(t, []ledger.ReviewerCount{{Reviewer: bo, Role: access.TaskReviewer, Items: 2, Left: 2}},
			c.Reviewers)
	})
}

func TestALookIsNotedOnceInAWhile(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		underReview(t, l, spring, 1, map[string][]int{carol: {1}})
		underReview(t, l, "autumn", 1, map[string][]int{carol: {1}})
		seen := func(by string, minute int) {
			t.Helper()
			require.NoError(t, l.SeenReview(t.Context(), org, spring, access.Person{ID: by}, "page", minutes(minute),
				10*time.Minute))
		}
		for _, minute := range []int{0, 0, 5, 10, 11, 12, 30} {
			seen(carol, minute)
		}
		seen(dan, 6)
		require.NoError(t, l.SeenReview(t.Context(), org, "autumn", access.Person{ID: carol}, "page", minutes(1),
			10*time.Minute), "another review is another")
		var got []string
		for _, e := range logged(t, l, spring)[2:] {
			got = append(got, fmt.Sprint(e.Kind, " ", e.By, " ", e.Via, " ", e.At.Sub(noon)))
		}
		require.Equal(t, []string{"seen carol@acme.example page 0s", "seen carol@acme.example page 11m0s",
			"seen carol@acme.example page 30m0s", "seen dan@acme.example page 6m0s"}, got)
		require.Len(t, logged(t, l, "autumn"), 3)
		require.ErrorIs(t, l.SeenReview(t.Context(), org, "none", access.Person{ID: carol}, "page", noon, time.Minute),
			ledger.ErrNotFound)
	})
}

func TestANoteIsMadeOnce(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		underReview(t, l, spring, 1, map[string][]int{carol: {1}})
		told := access.ReviewEvent{At: minutes(2).Add(99), Kind: access.EventReminded, To: carol, Stage: 1,
			Text: "start"}
		other := told
		other.To = dan
		for range 2 {
			require.NoError(t, l.NoteReview(t.Context(), org, spring, told, other))
		}
		require.NoError(t, l.NoteReview(t.Context(), org, spring,
			access.ReviewEvent{Kind: access.EventReminded, To: bo, Stage: 2}))
		all := logged(t, l, spring)
		require.Len(t, all, 5)
		for n, e := range all {
			require.Equal(t, n+1, e.Seq)
		}
		told.Seq, told.At = 3, minutes(2)
		require.Equal(t, told, all[2])
		names, err := l.NotifiedReviewers(t.Context(), org, spring, 1)
		require.NoError(t, err)
		require.Equal(t, map[string]bool{carol: true, dan: true}, names)
		page, err := l.ReviewEvents(t.Context(), org, spring, 2, 2)
		require.NoError(t, err)
		require.Equal(t, all[2:4], page)
		require.Equal(t, []string{"review-opened"}, kinds(t, l), "reminders are not the chain's")
		require.ErrorIs(t, l.NoteReview(t.Context(), org, "none", told), ledger.ErrNotFound)
	})
}
