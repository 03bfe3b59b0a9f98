package ledger_test

import (
	"testing"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/review"
	"github.com/stretchr/testify/require"
)

// outcome settles an item as it is stored.
func outcome(t testing.TB, l *ledger.Ledger, id string, n int, o access.Outcome) review.Resolution {
	t.Helper()
	i := item(t, l, id, n)
	i.Outcome = o
	return review.Resolution{Item: i}
}

// ruled lets a ruling of the settlement's verdict come into force.
func ruled(s review.Resolution, until time.Time) review.Resolution {
	s.NewRuling = &access.Ruling{Person: s.Item.Person, Target: s.Item.Target, Verdict: s.Item.Verdict, At: minutes(20),
		Until: until}
	return s
}

func settle(t testing.TB, l *ledger.Ledger, id string, at time.Time, all ...review.Resolution) {
	t.Helper()
	require.NoError(t, l.Settle(t.Context(), org, id, all, at))
}

// closed ends the deciding of a review.
func closed(t testing.TB, l *ledger.Ledger, id string) {
	t.Helper()
	_, err := l.ChangeReview(t.Context(), org, id,
		func(r *access.Review) bool { r.State = access.ReviewClosing; return true })
	require.NoError(t, err)
}

// rulingsOf are the rulings that bear on a person, as a decision on them sees them.
func rulingsOf(t testing.TB, l *ledger.Ledger, n int) []access.Ruling {
	t.Helper()
	states, err := l.States(t.Context(), org, []string{person(n).ID, "nobody"}, noon)
	require.NoError(t, err)
	return states[person(n).ID].Rulings
}

func lastOf(t testing.TB, l *ledger.Ledger, campaign string, n int) (ledger.LastDecision, bool) {
	t.Helper()
	all, err := l.LastDecisions(t.Context(), org, campaign, []string{"nobody", person(n).ID})
	require.NoError(t, err)
	last, known := all[ledger.Key{Person: person(n).ID, Target: group("ops")}]
	return last, known
}

func TestOutcomesAreRecorded(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		underReview(t, l, spring, 4, map[string][]int{carol: {1, 2}, dan: {1, 2}})
		tell(t, l, spring, word(carol, remove, 1), word(dan, keep, 1), after(12, word(dan, remove, 1)),
			after(13, word(carol, keep, 2)))
		closed(t, l, spring)
		begin := ruled(outcome(t, l, spring, 1, access.OutcomeOpen), time.Time{})
		silent := outcome(t, l, spring, 3, access.OutcomeKept)
		silent.Item.Verdict, silent.Item.Silent, silent.Item.Until = keep, true, minutes(90)
		undecided := outcome(t, l, spring, 4, access.OutcomeUndecided)
		undecided.Item.Why = "nobody decided"
		for range 2 {
			settle(t, l, spring, minutes(20).Add(99), begin, outcome(t, l, spring, 2, access.OutcomeKept),
				silent, undecided)
		}
		held := outcome(t, l, spring, 1, access.OutcomeHeld)
		held.Item.Plan, held.Item.Run, held.Item.Why = "sha256:plan", "r7", "the guard holds it"
		settle(t, l, spring, minutes(25), held)
		i := item(t, l, spring, 1)
		require.Equal(t, []any{access.OutcomeHeld, "sha256:plan", "r7", "the guard holds it"},
			[]any{i.Outcome, i.Plan, i.Run, i.Why})
		require.Zero(t, i.Settled, "it is not over")
		done := outcome(t, l, spring, 1, access.OutcomeRemoved)
		done.Item.Plan, done.Item.Run, done.Item.Why, done.EndRuling = "", "r8", "204 No Content", true
		settle(t, l, spring, minutes(30), done)

		i = item(t, l, spring, 1)
		require.Equal(t, []any{remove, access.OutcomeRemoved, "", "r8", "204 No Content", minutes(30)},
			[]any{i.Verdict, i.Outcome, i.Plan, i.Run, i.Why, i.Settled})
		require.Len(t, i.Said, 2, "what was said stays")
		i = item(t, l, spring, 3)
		require.Equal(t, []any{keep, true, access.OutcomeKept, minutes(90), minutes(20)},
			[]any{i.Verdict, i.Silent, i.Outcome, i.Until, i.Settled})
		require.Equal(t, access.OutcomeUndecided, item(t, l, spring, 4).Outcome)
		require.Equal(t, map[access.Outcome]int{access.OutcomeKept: 2, access.OutcomeRemoved: 1,
			access.OutcomeUndecided: 1}, count(t, l, spring).Outcomes)

		was := entriesOf(t, l, spring)
		late := outcome(t, l, spring, 2, access.OutcomeRefused)
		for _, s := range []review.Resolution{done, begin, silent, undecided, late} {
			settle(t, l, spring, minutes(40), s)
		}
		require.Equal(t, was, entriesOf(t, l, spring), "a final outcome stays, and is told once")
		require.Equal(t, access.OutcomeKept, item(t, l, spring, 2).Outcome)
		require.Equal(t, minutes(30), item(t, l, spring, 1).Settled)
		require.Empty(t, rulingsOf(t, l, 1), "a late repeat brings no ruling back: it would deny the target for ever")
		entries, err := l.History(t.Context(), org, person(1).ID, "", 1)
		require.NoError(t, err)
		require.Equal(t, []any{"review-outcome", "r8", group("ops"), minutes(30)},
			[]any{entries[0].Kind, entries[0].Run, entries[0].Target, entries[0].At})
		require.JSONEq(t, `{"review": "quarterly:2026-05-04", "item": 1, "verdict": "remove", "outcome": "removed", "silent": false, "why": "204 No Content", "run": "r8"}`,
			string(entries[0].Body))

		require.ErrorIs(t, l.Settle(t.Context(), org, spring, []review.Resolution{{Item: asks(77, "ops")}}, noon),
			ledger.ErrNotFound)
		require.ErrorIs(t, l.Settle(t.Context(), org, "none", nil, noon), ledger.ErrNotFound)
		sound(t, l)
	})
}

func TestRulingsComeIntoForceAndEnd(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		underReview(t, l, spring, 4, map[string][]int{carol: {1, 2, 3, 4}})
		tell(t, l, spring, word(carol, remove, 1, 2, 4), word(carol, keep, 3))
		closed(t, l, spring)
		open := ruled(outcome(t, l, spring, 1, access.OutcomeOpen), time.Time{})
		kept := ruled(outcome(t, l, spring, 3, access.OutcomeKept), minutes(900))
		for range 2 {
			settle(t, l, spring, minutes(20), open, kept,
				ruled(outcome(t, l, spring, 2, access.OutcomeOpen), minutes(500)))
		}
		want := access.Ruling{Review: spring, Person: person(1).ID, Target: group("ops"), Verdict: remove,
			At: minutes(20)}
		require.Equal(t, []access.Ruling{want}, rulingsOf(t, l, 1))
		require.True(t, want.InForce(minutes(9999)))
		sooner := open
		sooner.NewRuling = &access.Ruling{Person: open.Item.Person, Target: open.Item.Target, Verdict: remove,
			At: minutes(33), Until: minutes(44)}
		settle(t, l, spring, minutes(33), sooner)
		want.Until = minutes(44)
		require.Equal(t, []access.Ruling{want}, rulingsOf(t, l, 1), "it began when it began")
		want = access.Ruling{Review: spring, Person: person(3).ID, Target: group("ops"), Verdict: keep, At: minutes(20),
			Until: minutes(900)}
		require.Equal(t, []access.Ruling{want}, rulingsOf(t, l, 3))
		all, err := l.Rulings(t.Context(), org, spring)
		require.NoError(t, err)
		require.Equal(t, []string{person(1).ID, person(2).ID, person(3).ID},
			[]string{all[0].Person, all[1].Person, all[2].Person})

		free := outcome(t, l, spring, 1, access.OutcomeGone)
		free.EndRuling = true
		for range 2 {
			settle(t, l, spring, minutes(50), free)
		}
		require.Empty(t, rulingsOf(t, l, 1))

		denied := outcome(t, l, spring, 2, access.OutcomeDenied)
		denied.Item.Until = minutes(500)
		settle(t, l, spring, minutes(50), denied)
		require.Len(t, rulingsOf(t, l, 2), 1, "denied until its date, though it is settled")
		was := entriesOf(t, l, spring)
		settle(t, l, spring, minutes(51), denied)
		require.Equal(t, was, entriesOf(t, l, spring), "the same denial is told once")
		require.Equal(t, minutes(50), item(t, l, spring, 2).Settled)
		denied = ruled(denied, minutes(600))
		denied.Item.Until = minutes(600)
		settle(t, l, spring, minutes(52), denied)
		require.Equal(t, minutes(600), rulingsOf(t, l, 2)[0].Until, "longer")
		require.Equal(t, []time.Time{minutes(600), minutes(50)},
			[]time.Time{item(t, l, spring, 2).Until, item(t, l, spring, 2).Settled})
		settle(t, l, spring, minutes(53), outcome(t, l, spring, 2, access.OutcomeRemoved))
		require.Equal(t, access.OutcomeDenied, item(t, l, spring, 2).Outcome)

		settle(t, l, spring, minutes(60), ruled(outcome(t, l, spring, 4, access.OutcomeOpen), time.Time{}))
		for range 2 {
			require.NoError(t, l.FreeRulings(t.Context(), org, spring))
			require.Empty(t, rulingsOf(t, l, 3))
		}
		again := ruled(outcome(t, l, spring, 4, access.OutcomeOpen), time.Time{})
		settle(t, l, spring, minutes(61), again) // somebody was still carrying it out
		require.Len(t, rulingsOf(t, l, 4), 1)
		settle(t, l, spring, minutes(62), outcome(t, l, spring, 4, access.OutcomeDropped))
		settle(t, l, spring, minutes(63), again)
		require.Empty(t, rulingsOf(t, l, 4), "what is dropped denies nothing")
		sound(t, l)
	})
}

func TestASettlementOfAnOlderVerdictIsLeftOut(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		underReview(t, l, spring, 2, map[string][]int{carol: {1, 2}})
		tell(t, l, spring, word(carol, remove, 1, 2))
		stale := ruled(outcome(t, l, spring, 1, access.OutcomeOpen), time.Time{})
		good := ruled(outcome(t, l, spring, 2, access.OutcomeOpen), time.Time{})
		tell(t, l, spring, after(20, word(carol, keep, 1)))
		settle(t, l, spring, minutes(21), stale, good)
		require.Equal(t, "keep: 1 carol keep", verdicts(t, l, spring, 1))
		require.Empty(t, item(t, l, spring, 1).Outcome)
		require.Empty(t, rulingsOf(t, l, 1))
		require.Equal(t, access.OutcomeOpen, item(t, l, spring, 2).Outcome)
		require.Len(t, rulingsOf(t, l, 2), 1)
		tell(t, l, spring, after(22, again(carol, 1)))
		settle(t, l, spring, minutes(23), stale)
		require.Equal(t, ":", verdicts(t, l, spring, 1))
		require.Equal(t, 1, count(t, l, spring).Outcomes[access.OutcomeOpen])
	})
}

func TestTheNextReviewKnowsHowTheLastEnded(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		underReview(t, l, spring, 4, map[string][]int{carol: {1, 2, 3, 4}, dan: {1, 2, 3, 4}})
		tell(t, l, spring, word(dan, remove, 1), after(11, word(carol, keep, 1)), after(12, word(carol, keep, 2)),
			after(13, word(dan, keep, 2)))
		closed(t, l, spring)
		silent := outcome(t, l, spring, 3, access.OutcomeKept)
		silent.Item.Verdict, silent.Item.Silent = keep, true
		bare := outcome(t, l, spring, 2, access.OutcomeKept)
		bare.Item.Said, bare.Item.Reasons = nil, nil // whoever settles need not know them
		dropped := outcome(t, l, spring, 4, access.OutcomeDropped)
		dropped.Item.Verdict = keep
		settle(t, l, spring, minutes(20), outcome(t, l, spring, 1, access.OutcomeRemoved), ruled(bare, minutes(900)),
			silent, dropped)
		last, known := lastOf(t, l, "quarterly", 1)
		require.True(t, known)
		was := asks(1, "ops")
		require.Equal(t, ledger.LastDecision{PastDecision: access.PastDecision{Review: spring, Verdict: remove, By: dan,
			At: minutes(20)}, Owned: was.Owned, Reasons: was.Reasons}, last,
			"whose word counted, not who spoke last")
		last, _ = lastOf(t, l, "quarterly", 2)
		require.Equal(t, []any{keep, dan, was.Owned, was.Reasons},
			[]any{last.Verdict, last.By, last.Owned, last.Reasons}, "who said it last")
		last, _ = lastOf(t, l, "quarterly", 3)
		require.Equal(t, []any{keep, ""}, []any{last.Verdict, last.By}, "nobody: silence did")
		_, known = lastOf(t, l, "quarterly", 4)
		require.False(t, known, "what was cancelled is no decision")
		_, known = lastOf(t, l, "admins", 1)
		require.False(t, known)

		later := campaign("quarterly:2026-08-03")
		later.Opened = noon.AddDate(0, 3, 0)
		taken(t, l, later, asks(1, "ops"), asks(2, "ops"))
		other := campaign("admins:2026-08-03")
		other.Campaign, other.Opened = "admins", noon.AddDate(0, 3, 0)
		taken(t, l, other, asks(2, "ops"))
		for _, id := range []string{later.ID, other.ID} {
			inStage(t, l, id, 1, map[string][]int{carol: {1, 2}})
			tell(t, l, id, word(carol, keep, 1))
			closed(t, l, id)
		}
		settle(t, l, other.ID, minutes(30), ruled(outcome(t, l, other.ID, 1, access.OutcomeKept), minutes(990)))
		require.Len(t, rulingsOf(t, l, 2), 2, "a keep of each campaign")
		silent = outcome(t, l, later.ID, 2, access.OutcomeKept)
		silent.Item.Verdict, silent.Item.Silent = keep, true
		settle(t, l, later.ID, minutes(40), silent)
		all := rulingsOf(t, l, 2)
		require.Len(t, all, 1, "the keep of the older review of the campaign goes")
		require.Equal(t, other.ID, all[0].Review)
		last, _ = lastOf(t, l, "quarterly", 2)
		require.Equal(t, []any{later.ID, ""}, []any{last.Review, last.By})

		settle(t, l, later.ID, minutes(41), ruled(outcome(t, l, later.ID, 1, access.OutcomeKept), minutes(990)))
		older := campaign("quarterly:2026-02-02")
		older.Opened = noon.AddDate(0, -3, 0)
		taken(t, l, older, asks(1, "ops"))
		inStage(t, l, older.ID, 1, map[string][]int{dan: {1}})
		tell(t, l, older.ID, word(dan, remove, 1))
		closed(t, l, older.ID)
		settle(t, l, older.ID, minutes(50), outcome(t, l, older.ID, 1, access.OutcomeRefused))
		last, _ = lastOf(t, l, "quarterly", 1)
		require.Equal(t, later.ID, last.Review, "an older review that ends late takes nothing from the later one")
		require.Len(t, rulingsOf(t, l, 1), 1)
		sound(t, l)
	})
}

func TestRemovals(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		line := func(n int, name string, action access.Action, state access.ChangeState, minute int) access.Change {
			c := change(person(n), action, name)
			c.State, c.At = state, minutes(minute)
			return c
		}
		begin := func(run string, minute int) {
			require.NoError(t, l.BeginRun(t.Context(),
				ledger.Run{Org: org, ID: run, Trigger: "test", Scope: "full", Started: minutes(minute)}))
		}
		begin("r2", 2)
		plan(t, l, "r2", line(1, "ops", access.Remove, access.Refused, 5), line(1, "dev", access.Add, access.Done, 5),
			line(2, "ops", access.Remove, access.Held, 6),
			line(3, "ops", access.Remove, access.Planned, 5), line(4, "ops", access.Remove, access.Done, 5),
			line(5, "ops", access.Remove, access.Superseded, 5))
		begin("r1", 3) // later, whatever it is called
		plan(t, l, "r1", line(1, "ops", access.Remove, access.Sent, 7), line(2, "ops", access.Remove, access.Held, 6),
			line(2, "dev", access.Remove, access.Already, 6))
		begin("r0", 1)
		plan(t, l, "r0", line(1, "ops", access.Remove, access.Done, 1), line(2, "ops", access.Remove, access.Held, 6))

		key := func(n int, name string) ledger.Key { return ledger.Key{Person: person(n).ID, Target: group(name)} }
		keys := []ledger.Key{key(1, "ops"), key(1, "dev"), key(2, "ops"), key(2, "ops"), key(3, "ops"), key(4, "ops"),
			key(5, "ops"), key(9, "ops")}
		found, err := l.Removals(t.Context(), org, keys, minutes(5))
		require.NoError(t, err)
		got := map[ledger.Key]string{}
		for k, line := range found {
			require.Equal(t, k, ledger.Key{Person: line.Person, Target: line.Target})
			got[k] = line.Run + " " + string(line.State)
		}
		require.Equal(t, map[ledger.Key]string{key(1, "ops"): "r1 sent", key(2, "ops"): "r1 held",
			key(4, "ops"): "r2 done"}, got,
			"the last; of lines of one instant, that of the last run: a held line is carried from run to run")
		want := line(4, "ops", access.Remove, access.Done, 5)
		require.Equal(t, want, found[key(4, "ops")].Change, "a line comes back whole")
		found, err = l.Removals(t.Context(), org, keys, minutes(8))
		require.NoError(t, err)
		require.Empty(t, found)
		found, err = l.Removals(t.Context(), org, nil, noon)
		require.NoError(t, err)
		require.Empty(t, found)
	})
}

func TestRulingsEndAtTheirInstants(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		underReview(t, l, spring, 4, map[string][]int{carol: {1, 2, 3, 4}})
		tell(t, l, spring, word(carol, keep, 1), word(carol, keep, 2), word(carol, keep, 3), word(carol, keep, 4))
		closed(t, l, spring)
		for n, until := range map[int]time.Time{1: minutes(30), 2: minutes(40), 3: minutes(40), 4: {}} {
			i := item(t, l, spring, n)
			i.Outcome = access.OutcomeKept
			settle(t, l, spring, minutes(21), ruled(review.Resolution{Item: i}, until))
		}
		ended := func(after, to time.Time, limit int) []string {
			t.Helper()
			people, err := l.RulingsEnded(t.Context(), org, after, to, limit)
			require.NoError(t, err)
			return people
		}
		next := func(after time.Time) time.Time {
			t.Helper()
			at, err := l.NextRulingEnd(t.Context(), org, after)
			require.NoError(t, err)
			return at
		}
		require.Equal(t, minutes(30), next(time.Time{}))
		require.Equal(t, minutes(40), next(minutes(30)))
		require.Zero(t, next(minutes(40)))
		require.Empty(t, ended(time.Time{}, minutes(29), 9))
		require.Equal(t, []string{person(1).ID}, ended(minutes(29), minutes(30), 9), "at its instant it is over")
		require.Equal(t, []string{person(2).ID, person(3).ID}, ended(minutes(30), minutes(90), 9))
		require.Len(t, ended(time.Time{}, minutes(90), 2), 2)
		require.Empty(t, ended(minutes(40), minutes(90), 9))
	})
}
