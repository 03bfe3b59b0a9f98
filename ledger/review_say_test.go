package ledger_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/review"
	"github.com/stretchr/testify/require"
)

const eve = "eve@acme.example"

func about(numbers ...int) (lines []ledger.ItemMessage) {
	for _, n := range numbers {
		lines = append(lines, ledger.ItemMessage{N: n})
	}
	return lines
}

// word is a decision ten minutes after noon.
func word(by string, v access.Verdict, numbers ...int) ledger.ReviewMessage {
	return ledger.ReviewMessage{Kind: decided, By: by, Via: "page", Verdict: v, Lines: about(numbers...),
		Pass: ledger.Pass{Trusted: true}, At: minutes(10)}
}

func again(by string, numbers ...int) ledger.ReviewMessage {
	w := word(by, "", numbers...)
	w.Kind = reopened
	return w
}

func remark(by, text string, numbers ...int) ledger.ReviewMessage {
	w := word(by, "", numbers...)
	w.Kind, w.Comment = commented, text
	return w
}

func handOn(by, to string, numbers ...int) ledger.ReviewMessage {
	w := word(by, "", numbers...)
	w.Kind, w.To = delegated, to
	return w
}

// after is the word so many minutes after noon.
func after(n int, w ledger.ReviewMessage) ledger.ReviewMessage {
	w.At = minutes(n)
	return w
}

// every is the word on all items that fit.
func every(w ledger.ReviewMessage, f ledger.MessageFilter) ledger.ReviewMessage {
	w.Lines, w.All = nil, &f
	return w
}

// tell says words and requires that none is refused.
func tell(t testing.TB, l *ledger.Ledger, id string, words ...ledger.ReviewMessage) []ledger.MessageResult {
	t.Helper()
	said := hear(t, l, id, words...)
	for i := range said {
		require.NoError(t, said[i].Err)
		require.Empty(t, said[i].Refused)
	}
	return said
}

func hear(t testing.TB, l *ledger.Ledger, id string, words ...ledger.ReviewMessage) []ledger.MessageResult {
	t.Helper()
	said, err := l.RecordMessages(t.Context(), org, id, words)
	require.NoError(t, err)
	require.Len(t, said, len(words))
	return said
}

// heard is what came of one word, in short: applied, repeated, refused, left.
func heard(t testing.TB, l *ledger.Ledger, id string, w ledger.ReviewMessage) string {
	t.Helper()
	said := hear(t, l, id, w)[0]
	if said.Err != nil {
		require.Equal(t, ledger.MessageResult{Err: said.Err}, said)
		return "refused"
	}
	var refused []int
	for _, r := range said.Refused {
		refused = append(refused, r.N)
	}
	return fmt.Sprintf("%v %v %v %d", said.Applied, said.Repeated, refused, said.Left)
}

// verdicts are what was said of an item, in short.
func verdicts(t testing.TB, l *ledger.Ledger, id string, n int) string {
	t.Helper()
	i := item(t, l, id, n)
	text := string(i.Verdict) + ":"
	for _, s := range i.Said {
		text += fmt.Sprintf(" %d %s %s", s.Stage, s.By[:len(s.By)-len("@acme.example")], s.Verdict)
	}
	return text
}

// entriesOf is how long the chain and the log are: what a repeat must leave alone.
func entriesOf(t testing.TB, l *ledger.Ledger, id string) [2]int64 {
	t.Helper()
	seq, _, err := l.Head(t.Context(), org)
	require.NoError(t, err)
	return [2]int64{seq, int64(len(logged(t, l, id)))}
}

func TestADecisionIsKept(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		underReview(t, l, spring, 4, map[string][]int{carol: {1, 2, 3}, dan: {4}})
		w := word(carol, remove, 2)
		w.Comment, w.Via = "left the \x00team", "update"
		require.Equal(t, "[2] [] [] 2", heard(t, l, spring, w))
		i := item(t, l, spring, 2)
		require.Equal(t, []access.ItemDecision{{Stage: 1, By: carol, Verdict: remove, Comment: "left the team",
			At: minutes(10)}}, i.Said)
		require.Equal(t, []any{remove, 1, 1}, []any{i.Verdict, i.Version, i.Stage})
		event := access.ReviewEvent{
			Seq: 3, At: minutes(10), Kind: "decided", By: carol, Via: "update", Item: 2, Stage: 1, Verdict: remove,
			Bulk: 1, Text: "left the team",
		}
		require.Equal(t, event, logged(t, l, spring)[2])
		entries := entries(t, l, 0)
		require.Len(t, entries, 2)
		require.Equal(t, []any{"review-decided", "id-00002", group("ops"), minutes(10)},
			[]any{entries[1].Kind, entries[1].Person, entries[1].Target, entries[1].At})
		require.JSONEq(t, `{"by": "carol@acme.example", "item": 2, "review": "quarterly:2026-05-04", "stage": 1, "text": "left the team", "verdict": "remove"}`,
			string(entries[1].Body))

		was := entriesOf(t, l, spring)
		require.Equal(t, "[] [2] [] 2", heard(t, l, spring, w), "a repeat")
		require.Equal(t, "[] [2] [] 2", heard(t, l, spring, after(50, word(carol, remove, 2))),
			"the same again, without a comment")
		require.Equal(t, was, entriesOf(t, l, spring))
		require.Equal(t, i, item(t, l, spring, 2))

		require.Equal(t, "[2] [] [] 2", heard(t, l, spring, after(60, word(carol, keep, 2))), "on second thoughts")
		i = item(t, l, spring, 2)
		require.Equal(t, []access.ItemDecision{{Stage: 1, By: carol, Verdict: keep, At: minutes(60)}}, i.Said)
		require.Equal(t, []any{keep, 2}, []any{i.Verdict, i.Version})
		was = entriesOf(t, l, spring)
		require.Equal(t, "[] [2] [] 2", heard(t, l, spring, w), "the first word again, late, does not undo the second")
		require.Equal(t, was, entriesOf(t, l, spring))
		require.Equal(t, keep, item(t, l, spring, 2).Verdict)

		commented := after(70, word(carol, keep, 2))
		commented.Comment = "still needed"
		require.Equal(t, "[2] [] [] 2", heard(t, l, spring, commented), "a reason to add")
		require.Equal(t, "still needed", item(t, l, spring, 2).Said[0].Comment)
		require.Equal(t, 3, item(t, l, spring, 2).Version)
		_, err := l.RecordMessages(t.Context(), org, "none", []ledger.ReviewMessage{w})
		require.ErrorIs(t, err, ledger.ErrNotFound)
		sound(t, l)
	})
}

func TestWordsThatDoNotCount(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		_, err := l.BeginReview(t.Context(), org, campaign(spring))
		require.NoError(t, err)
		require.ErrorIs(t, hear(t, l, spring, word(carol, keep, 1))[0].Err, review.ErrOver, "it has not begun")
		underReview(t, l, spring, 4, map[string][]int{carol: {1, 2, 3}, dan: {4}})
		was := entriesOf(t, l, spring)
		for name, c := range map[string]struct {
			w    ledger.ReviewMessage
			err  error
			want string
			why  string
		}{
			"somebody else's item": {word(carol, keep, 4), nil, "[] [] [4] 3",
				"not one of the items that you are asked about"},
			"no such item": {word(carol, keep, 99), nil, "[] [] [99] 3",
				"not one of the items that you are asked about"},
			"a stranger": {word(eve, keep, 1), review.ErrNotReviewer, "refused", ""},
			"nobody":     {word("", keep, 1), review.ErrNotReviewer, "refused", ""},
			"nothing":    {word(carol, keep), nil, "[] [] [] 3", ""},
			"not alike": {func() ledger.ReviewMessage {
				w := word(carol, "", 1)
				w.Lines = []ledger.ItemMessage{{N: 1, Verdict: keep}, {N: 1, Verdict: remove}}
				return w
			}(), nil, "[] [] [1] 3", "more than once"},
		} {
			said := hear(t, l, spring, c.w)[0]
			require.ErrorIs(t, said.Err, c.err, name)
			require.Equal(t, c.want, heard(t, l, spring, c.w), name)
			if c.why != "" {
				require.Contains(t, said.Refused[0].Why, c.why, name)
			}
		}
		require.Equal(t, was, entriesOf(t, l, spring), "nothing of it stands anywhere")
		require.Zero(t, count(t, l, spring).Decided)

		good, version := word(carol, keep, 1), 0
		good.Lines[0].Version = &version
		require.Equal(t, "[1] [] [] 2", heard(t, l, spring, good))
		require.Equal(t, "[] [1] [] 2", heard(t, l, spring, good), "a repeat is not stale by its own doing")
		other := after(20, word(carol, remove, 1))
		other.Lines[0].Version = &version
		require.Equal(t, "[] [] [1] 2", heard(t, l, spring, other))

		r, err := l.ChangeReview(t.Context(), org, spring,
			func(r *access.Review) bool { r.State = access.ReviewClosing; return true })
		require.NoError(t, err)
		require.Equal(t, access.ReviewClosing, r.State)
		require.Equal(t, "refused", heard(t, l, spring, after(30, word(carol, remove, 1))))
		require.ErrorIs(t, hear(t, l, spring, after(30, word(carol, keep, 2)))[0].Err, review.ErrOver)
		require.Equal(t, "[] [1] [] 2", heard(t, l, spring, good),
			"what was recorded in time is answered so, however late its repeat comes")
		both := good
		both.Lines = append(about(3), good.Lines...)
		require.Equal(t, "[] [1] [3] 2", heard(t, l, spring, both))
		require.Equal(t, "keep: 1 carol keep", verdicts(t, l, spring, 1))
	})
}

func TestOneBadWordHarmsNoOther(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		underReview(t, l, spring, 4, map[string][]int{carol: {1, 2, 3}, dan: {3, 4}})
		noPass := word(dan, remove, 4)
		noPass.Pass = ledger.Pass{CodeHash: "guess"}
		mixed := word(dan, keep, 3, 1, 99)
		words := []ledger.ReviewMessage{word(carol, keep, 1), word(eve, remove, 1), noPass, mixed, word(carol, "no", 2),
			word(carol, remove, 3)}
		for times := range 2 {
			said := hear(t, l, spring, words...)
			applied := [][]int{{1}, nil, nil, {3}, nil, {3}}
			for i, s := range said {
				if times > 0 {
					require.Equal(t, applied[i], s.Repeated, "word %d", i)
				} else {
					require.Equal(t, applied[i], s.Applied, "word %d", i)
				}
			}
			require.ErrorIs(t, said[1].Err, review.ErrNotReviewer)
			require.ErrorIs(t, said[2].Err, ledger.ErrCode)
			require.Equal(t, []int{1, 99}, []int{said[3].Refused[0].N, said[3].Refused[1].N})
			require.Equal(t, []int{1, 1, 1, 1}, []int{said[0].Left, said[3].Left, said[4].Left, said[5].Left},
				"once all is said")
			require.Len(t, logged(t, l, spring), 5)
		}
		require.Equal(t, "remove: 1 carol remove 1 dan keep", verdicts(t, l, spring, 3))
		sound(t, l)
	})
}

func TestAReviewerTakesAWordBack(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		underReview(t, l, spring, 3, map[string][]int{carol: {1, 2}, dan: {1}})
		tell(t, l, spring, word(carol, keep, 1, 2), word(dan, keep, 1))
		back := after(20, again(carol, 1, 2))
		back.Comment = "wrong list"
		require.Equal(t, "[1 2] [] [] 1", heard(t, l, spring, back), "somebody else has spoken of the first")
		require.Equal(t, "keep: 1 dan keep", verdicts(t, l, spring, 1))
		require.Equal(t, ":", verdicts(t, l, spring, 2))
		require.Equal(t, 2, item(t, l, spring, 2).Version)
		require.Equal(t, []int{1, 2}, numbers(t, l, spring,
			ledger.ItemFilter{Reviewer: []string{carol}, Stage: 1, Undecided: true}))
		all := logged(t, l, spring)
		require.Equal(t, access.ReviewEvent{Seq: 6, At: minutes(20), Kind: "reopened", By: carol, Via: "page", Item: 1,
			Stage: 1, Bulk: 2, Text: "wrong list"}, all[5])
		entries, err := l.History(t.Context(), org, "id-00002", "", 0)
		require.NoError(t, err)
		require.Equal(t, []string{"review-reopened", "review-decided"}, []string{entries[0].Kind, entries[1].Kind})

		tell(t, l, spring, after(30, word(carol, remove, 1, 2)))
		was := entriesOf(t, l, spring)
		require.Equal(t, "[] [1 2] [] 0", heard(t, l, spring, back), "a late repeat takes nothing else back")
		require.Equal(t, was, entriesOf(t, l, spring))
		require.Equal(t, "remove: 1 carol remove", verdicts(t, l, spring, 2))

		words := []ledger.ReviewMessage{after(40, again(carol, 2)), after(40, word(carol, keep, 2)),
			after(40, again(carol, 2)), after(40, word(carol, keep, 2))}
		for _, s := range tell(t, l, spring, words...) {
			require.Equal(t, []int{2}, s.Applied, "four words of one instant are four")
		}
		require.Equal(t, "keep: 1 carol keep", verdicts(t, l, spring, 2))
		was = entriesOf(t, l, spring)
		for _, s := range hear(t, l, spring, words...) {
			require.Equal(t, []int{2}, s.Repeated)
		}
		require.Equal(t, was, entriesOf(t, l, spring))
		sound(t, l)
	})
}

func TestWhatIsCarriedOutStays(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		underReview(t, l, spring, 3, map[string][]int{carol: {1, 2, 3}, dan: {1, 2, 3}})
		tell(t, l, spring, word(carol, remove, 1, 2, 3))
		require.NoError(t, l.Settle(t.Context(), org, spring, []review.Resolution{
			outcome(t, l, spring, 1, access.OutcomeOpen), outcome(t, l, spring, 2, access.OutcomeRemoved),
		}, minutes(15)))
		said := hear(t, l, spring, after(20, word(carol, keep, 1, 2, 3)), after(20, again(carol, 1, 2)))
		require.Equal(t, []int{3}, said[0].Applied)
		require.Equal(t, []ledger.RefusedItem{{N: 1, Why: "it is being carried out already"},
			{N: 2, Why: "it is being carried out already"}}, said[0].Refused)
		require.Equal(t, said[0].Refused, said[1].Refused)
		require.Equal(t, "[1 2] [] [] 0", heard(t, l, spring, after(21, word(dan, keep, 1, 2))),
			"what changes nothing may be said")
		require.Equal(t, "remove: 1 carol remove 1 dan keep", verdicts(t, l, spring, 1))
		require.Equal(t, access.OutcomeRemoved, item(t, l, spring, 2).Outcome)
	})
}

func TestItemsAreHandedOn(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		underReview(t, l, spring, 4, map[string][]int{carol: {1, 2, 3, 4}, dan: {3}})
		tell(t, l, spring, word(carol, keep, 1))
		on := handOn(carol, dan, 1, 2, 3)
		on.Comment = "his team"
		said := hear(t, l, spring, on)[0]
		require.Equal(t, []int{2, 3}, said.Applied)
		require.Equal(t, []ledger.RefusedItem{{N: 1, Why: "you decided it already; reopen it first"}}, said.Refused)
		require.Equal(t, 1, said.Left)
		require.Equal(t, []int{1, 4}, numbers(t, l, spring, ledger.ItemFilter{Reviewer: []string{carol}, Stage: 1}))
		require.Equal(t, []int{2, 3}, numbers(t, l, spring, ledger.ItemFilter{Reviewer: []string{dan}, Stage: 1}))
		all := logged(t, l, spring)
		require.Equal(t, access.ReviewEvent{Seq: 4, At: minutes(10), Kind: "delegated", By: carol, Via: "page", Item: 2,
			Stage: 1, Bulk: 2, To: dan, Text: "his team"}, all[3])
		require.Len(t, all, 5)
		tasks, err := l.OpenTasks(t.Context(), org, spring, 1, dan)
		require.NoError(t, err)
		require.Equal(t, []access.Task{{N: 2, Reviewer: dan, Role: access.TaskDelegate, Since: minutes(10)},
			task(3, dan)}, tasks, "what he was asked anyway he is asked as before")

		require.Equal(t, "[] [2 3] [1] 1", heard(t, l, spring, on), "a repeat")
		require.Equal(t, "[2] [] [] 1", heard(t, l, spring, after(20, handOn(dan, carol, 2))), "and back")
		require.Equal(t, "[] [2 3] [1] 2", heard(t, l, spring, on), "a late repeat hands nothing on")
		require.Equal(t, "[2] [] [] 1", heard(t, l, spring, after(30, handOn(carol, dan, 2))))
		require.Len(t, logged(t, l, spring), 7)

		require.Equal(t, "[4] [] [] 0",
			heard(t, l, spring, every(after(40, handOn(carol, eve)), ledger.MessageFilter{Undecided: true})))
		require.Equal(t, "[] [4] [] 0",
			heard(t, l, spring, every(after(40, handOn(carol, eve)), ledger.MessageFilter{Undecided: true})))
		tell(t, l, spring, every(after(50, handOn(dan, eve)), ledger.MessageFilter{}))
		require.Equal(t, "[] [2 3] [] 0", heard(t, l, spring, every(after(50, handOn(dan, eve)), ledger.MessageFilter{})),
			"he has nothing left to be asked")
		require.Equal(t, "refused", heard(t, l, spring, after(51, word(dan, keep, 3))))
		require.Equal(t, "[2 3 4] [] [] 0", heard(t, l, spring, after(52, word(eve, remove, 2, 3, 4))))
		require.Equal(t, 4, count(t, l, spring).Decided)
		sound(t, l)
	})
}

func TestRemarks(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		underReview(t, l, spring, 3, map[string][]int{carol: {1, 2}, dan: {1}})
		require.Equal(t, "[1] [] [] 2", heard(t, l, spring, remark(carol, "who is that?", 1)))
		require.Equal(t, "[] [1] [] 2", heard(t, l, spring, after(11, remark(carol, "who is that?", 1))),
			"a repeat, whenever")
		require.Equal(t, "[2] [1] [3] 2", heard(t, l, spring, after(12, remark(carol, "who is that?", 1, 2, 3))))
		require.Equal(t, "[1] [] [] 1", heard(t, l, spring, remark(dan, "who is that?", 1)), "another asks the same")
		require.Equal(t, "[1] [] [] 2", heard(t, l, spring, remark(carol, "ah", 1)))
		own := remark(carol, "", 2)
		own.Lines[0].Comment = "on this alone"
		tell(t, l, spring, own)
		require.Equal(t, ":", verdicts(t, l, spring, 1))
		require.Zero(t, item(t, l, spring, 1).Version)
		all := logged(t, l, spring)
		require.Len(t, all, 7)
		require.Equal(t, access.ReviewEvent{Seq: 3, At: minutes(10), Kind: "commented", By: carol, Via: "page", Item: 1,
			Stage: 1, Text: "who is that?"}, all[2])
		require.Equal(t, "on this alone", all[6].Text)
		inStage(t, l, spring, 2, map[string][]int{carol: {1}})
		require.Equal(t, "[1] [] [] 1", heard(t, l, spring, after(20, remark(carol, "ah", 1))), "another stage")
		require.Equal(t, []string{"review-opened"}, kinds(t, l))
	})
}

func TestManyItemsInOneWord(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		var items []access.Item
		for n := 1; n <= 8; n++ {
			i := asks(n, []string{"dev", "ops"}[n%2])
			i.Recommend = []access.Verdict{keep, remove, ""}[n%3]
			items = append(items, i)
		}
		taken(t, l, campaign(spring), items...)
		inStage(t, l, spring, 1, map[string][]int{carol: {1, 2, 3, 4, 5, 6}, dan: {7, 8}})
		tell(t, l, spring, word(carol, remove, 1))
		all := func(v access.Verdict, at int, f ledger.MessageFilter) string {
			t.Helper()
			return heard(t, l, spring, after(at, every(word(carol, v), f)))
		}
		require.Equal(t, "[4] [] [] 4", all(remove, 20, ledger.MessageFilter{Recommend: remove, Undecided: true}),
			"the first is decided")
		require.Equal(t, "[] [4] [] 4", all(remove, 20, ledger.MessageFilter{Recommend: remove, Undecided: true}),
			"a repeat says so, though nothing fits any more")
		require.Equal(t, "[] [] [] 4", all(remove, 21, ledger.MessageFilter{Recommend: remove, Undecided: true}))
		require.Equal(t, "[] [1 4] [] 4", all(remove, 22, ledger.MessageFilter{Recommend: remove}))
		require.Equal(t, "[2] [] [] 3", all(keep, 23, ledger.MessageFilter{Person: person(2).ID}))
		require.Equal(t, "[] [2] [] 3", all(keep, 24, ledger.MessageFilter{Person: "id-00002"}))
		require.Equal(t, "[3 5] [] [] 1", all(keep, 25, ledger.MessageFilter{Target: "GROUP:ops", Undecided: true}))
		require.Equal(t, "[] [] [] 1", all(keep, 26, ledger.MessageFilter{Target: group("none")}))
		events := logged(t, l, spring)
		require.Equal(t, []int{2, 2}, []int{events[len(events)-1].Bulk, events[len(events)-2].Bulk},
			"how many one click decided")
		require.Equal(t, "[1 4 6] [2 3 5] [] 0", all(keep, 30, ledger.MessageFilter{}))
		require.Equal(t, 6, count(t, l, spring).Verdicts[keep], "the others are dan's")

		mixed := after(40, word(carol, remove, 1, 2, 3))
		mixed.Comment = "all of them"
		mixed.Lines[1].Verdict, mixed.Lines[1].Comment = keep, "but this"
		tell(t, l, spring, mixed)
		require.Equal(t, []access.ItemDecision{{Stage: 1, By: carol, Verdict: keep, Comment: "but this", At: minutes(40)}},
			item(t, l, spring, 2).Said, "a line's own word counts")
		require.Equal(t, []access.ItemDecision{{Stage: 1, By: carol, Verdict: remove, Comment: "all of them", At: minutes(40)}},
			item(t, l, spring, 3).Said)
		sound(t, l)
	})
}

func TestTwoWordsOfOneInstantAreTwo(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		taken(t, l, campaign(spring), asks(1, "ops"), asks(2, "dev"), asks(3, "ops"))
		inStage(t, l, spring, 1, map[string][]int{carol: {1, 2, 3}})
		for _, c := range [][2]string{{"group:ops", "[1 3] [] [] 1"}, {"group:dev", "[2] [] [] 0"}} {
			require.Equal(t, c[1], heard(t, l, spring,
				every(word(carol, keep), ledger.MessageFilter{Target: access.Entitlement(c[0])})))
		}
		require.Equal(t, "[1] [] [] 0", heard(t, l, spring, word(carol, remove, 1)))
	})
}

func TestMoreItemsThanOneStatementTakes(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		mine := make([]int, 600)
		for n := range mine {
			mine[n] = n + 1
		}
		underReview(t, l, spring, len(mine), map[string][]int{carol: mine})
		said := tell(t, l, spring, word(carol, keep, mine[:550]...))
		require.Equal(t, mine[:550], said[0].Applied)
		require.Equal(t, 50, said[0].Left)
		said = tell(t, l, spring, after(20, every(word(carol, remove), ledger.MessageFilter{})))
		require.Len(t, said[0].Applied, 600)
		said = tell(t, l, spring, after(30, every(again(carol), ledger.MessageFilter{})))
		require.Len(t, said[0].Applied, 600)
		require.Equal(t, 600, said[0].Left)
		said = tell(t, l, spring, after(40, handOn(carol, dan, mine...)))
		require.Len(t, said[0].Applied, 600)
		c := count(t, l, spring)
		require.Equal(t, map[access.Verdict]int{"": 600}, c.Verdicts)
		require.Equal(t, []ledger.ReviewerCount{{Reviewer: dan, Role: access.TaskDelegate, Items: 600, Left: 600}},
			c.Reviewers)
		require.Equal(t, mine, numbers(t, l, spring, ledger.ItemFilter{Numbers: append([]int{2000}, mine...)}))
		require.Equal(t, mine[50:553], numbers(t, l, spring, ledger.ItemFilter{Numbers: mine[50:], Limit: 503}))
		check, err := l.VerifyChain(t.Context(), org, 0, 10_000)
		require.NoError(t, err)
		require.Nil(t, check.Broken)
		require.Len(t, entries(t, l, 0), 1+550+600+600)
	})
}

// Whoever spoke under an address, in a review from before reviewers were accounts, goes on under their account.
func TestSayKnowsWhatAReviewerWentByBefore(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		underReview(t, l, spring, 6, map[string][]int{carol: {1, 2}, "ID-carol": {3, 4, 5}, dan: {6}})
		require.Equal(t, "[1] [] [] 1", heard(t, l, spring, word(carol, keep, 1)))
		require.Equal(t, "[] [] [6] 3", heard(t, l, spring, word("ID-carol", keep, 6)), "not hers")
		require.NoError(t, l.NameReviewers(t.Context(), org, spring,
			map[string]string{carol: "ID-carol", "Bo@ACME.example": "ID-bo"}))
		require.NoError(t, l.NameReviewers(t.Context(), org, spring, map[string]string{carol: "ID-thief"}),
			"a name keeps its account")
		require.NoError(t, l.NameReviewers(t.Context(), org, "autumn", map[string]string{dan: "ID-carol"}),
			"of another review")
		accounts, err := l.ReviewNames(t.Context(), org, spring)
		require.NoError(t, err)
		require.Equal(t, map[string]string{carol: "ID-carol", "bo@acme.example": "ID-bo"}, accounts)

		said := after(11, word("ID-carol", remove, 1, 3))
		said.ByEmail = "carol.lee@acme.example"
		require.Equal(t, "[1 3] [] [] 3", heard(t, l, spring, said))
		require.Equal(t, []access.ItemDecision{{Stage: 1, By: carol, Email: "carol.lee@acme.example", Verdict: remove,
			At: minutes(11)}}, item(t, l, spring, 1).Said, "she is one")
		require.Equal(t, []access.ItemDecision{{Stage: 1, By: "ID-carol", Email: "carol.lee@acme.example", Verdict: remove,
			At: minutes(11)}}, item(t, l, spring, 3).Said)
		events := logged(t, l, spring)
		require.Equal(t, []string{carol, carol, "ID-carol"}, []string{events[2].By, events[3].By, events[4].By},
			"the log agrees with the items")
		require.Equal(t, "carol.lee@acme.example", events[4].ByEmail)
		require.Equal(t, "[1] [] [] 4", heard(t, l, spring, after(12, again("ID-carol", 1))))
		require.Equal(t, "[] [2] [] 4", heard(t, l, spring, after(13, handOn("ID-carol", "ID-carol", 2))), "to oneself")
		require.Equal(t, "refused", heard(t, l, spring, after(14, word("ID-thief", keep, 1))))
		require.NoError(t, l.SaveReviewCode(t.Context(), org, spring, carol, hashOf("c"), noon))
		coded := after(30, word("ID-carol", remove, 2))
		coded.Pass = ledger.Pass{CodeHash: hashOf("c")}
		require.Equal(t, "[2] [] [] 3", heard(t, l, spring, coded), "her code is hers")
		sound(t, l)
	})
}

func TestDecisionsInOneInstantAreAllKept(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		const reviewers, each = 20, 8
		asked := map[string][]int{}
		for n := range reviewers * each {
			by := fmt.Sprintf("reviewer.%02d@acme.example", n%reviewers)
			asked[by] = append(asked[by], n+1, (n+1)%(reviewers*each)+1) // each item has two
		}
		underReview(t, l, spring, reviewers*each, asked)
		var wait sync.WaitGroup
		for r := range reviewers {
			by := fmt.Sprintf("reviewer.%02d@acme.example", r)
			wait.Go(func() {
				for k := range each {
					said, err := l.RecordMessages(t.Context(), org, spring,
						[]ledger.ReviewMessage{word(by, []access.Verdict{keep, remove}[r%2], asked[by][2*k])})
					if err != nil || said[0].Err != nil || len(said[0].Applied) != 1 {
						t.Error(by, err, said)
					}
				}
			})
		}
		wait.Wait()
		c := count(t, l, spring)
		require.Equal(t, map[access.Verdict]int{keep: reviewers * each / 2, remove: reviewers * each / 2}, c.Verdicts)
		require.Equal(t, reviewers*each, c.Decided)
		require.Len(t, c.Reviewers, reviewers)
		for _, one := range c.Reviewers {
			require.Equal(t, []int{2 * each, each, 0}, []int{one.Items, one.Spoken, one.Left})
		}
		seen := map[int]bool{}
		after := 0
		for {
			events, err := l.ReviewEvents(t.Context(), org, spring, after, 0)
			require.NoError(t, err)
			if len(events) == 0 {
				break
			}
			for _, e := range events {
				after++
				require.Equal(t, after, e.Seq, "the log leaves nothing out")
				seen[e.Item] = true
			}
		}
		require.Equal(t, 2+reviewers*each, after)
		require.Len(t, seen, 1+reviewers*each)
		sound(t, l)
	})
}

// proves is a pass that shows knowledge of a code for some words.
func proves(code, words string) ledger.Pass {
	return ledger.Pass{Proof: proof(hashOf(code), words),
		Proves: func(hash string) bool { return proof(hash, words) == proof(hashOf(code), words) }}
}

func TestNobodySaysTheSameTwiceInOneInstant(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		underReview(t, l, spring, 1, map[string][]int{carol: {1}})
		require.NoError(t, l.SaveReviewCode(t.Context(), org, spring, carol, hashOf("c"), noon))
		applied := make(chan int, 16)
		var wait sync.WaitGroup
		for n := range cap(applied) {
			wait.Go(func() {
				w := word(carol, remove, 1)
				w.At = noon.Add(time.Duration(n) * time.Second)
				w.Pass = ledger.Pass{CodeHash: hashOf("c")}
				said, err := l.RecordMessages(t.Context(), org, spring, []ledger.ReviewMessage{w})
				if err != nil || said[0].Err != nil {
					t.Error(err, said)
				}
				applied <- len(said[0].Applied)
			})
		}
		wait.Wait()
		close(applied)
		times := 0
		for n := range applied {
			times += n
		}
		require.Equal(t, 1, times)
		require.Equal(t, 1, item(t, l, spring, 1).Version)
	})
}
