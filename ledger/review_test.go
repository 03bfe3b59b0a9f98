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

const (
	spring             = "quarterly:2026-05-04"
	keep, remove       = access.VerdictKeep, access.VerdictRemove
	decided, commented = access.EventDecided, access.EventCommented
	delegated          = access.EventDelegated
	reopened           = access.EventReopened
)

// minutes is an instant so long after noon.
func minutes(n int) time.Time { return noon.Add(time.Duration(n) * time.Minute) }

// campaign is a review of two stages that begins at noon.
func campaign(id string) access.Review {
	return access.Review{ID: id, Campaign: "quarterly", Policy: "sha256:p", Run: "run of " + id, By: bo, Owner: dan,
		Opened: noon, Stages: 2}
}

// asks is the question whether a person should go on holding a group; the lower n, the riskier.
func asks(n int, name string) access.Item {
	p := person(n)
	return access.Item{Person: p.ID, Email: p.Email, Name: p.Name, Target: group(name), GroupID: "gid-" + name,
		Reasons: mapping(name), Risk: 100 - n%100}
}

// taken begins a review and takes the items, one page for each hundred.
func taken(t testing.TB, l *ledger.Ledger, r access.Review, items ...access.Item) access.Review {
	t.Helper()
	stored, err := l.BeginReview(t.Context(), org, r)
	require.NoError(t, err)
	for page := 0; len(items) > 0; page++ {
		n := min(len(items), 100)
		require.NoError(t, l.SaveItems(t.Context(), org, r.ID, fmt.Sprint(page), items[:n],
			ledger.Notes{{Kind: "people"}: n}))
		items = items[n:]
	}
	_, err = l.NumberItems(t.Context(), org, r.ID)
	require.NoError(t, err)
	return stored
}

// task asks a reviewer about an item.
func task(n int, reviewer string) access.Task {
	return access.Task{N: n, Reviewer: reviewer, Role: access.TaskReviewer, Since: minutes(1)}
}

// tasksFor asks reviewers about items.
func tasksFor(asked map[string][]int) (tasks []access.Task) {
	for reviewer, numbers := range asked {
		for _, n := range numbers {
			tasks = append(tasks, task(n, reviewer))
		}
	}
	return tasks
}

// inStage lets a stage begin with all items that somebody is asked about.
func inStage(t testing.TB, l *ledger.Ledger, id string, stage int, asked map[string][]int) {
	t.Helper()
	var numbers []int
	seen := map[int]bool{}
	for _, some := range asked {
		for _, n := range some {
			if !seen[n] {
				numbers = append(numbers, n)
			}
			seen[n] = true
		}
	}
	require.NoError(t, l.BeginStage(t.Context(), org, id, stage, noon.AddDate(0, 0, 7*stage), numbers, tasksFor(asked),
		minutes(1)))
}

// underReview is a review in its first stage: of so many people, each in the group ops, numbered as the people are.
func underReview(t testing.TB, l *ledger.Ledger, id string, people int, asked map[string][]int) {
	t.Helper()
	var items []access.Item
	for n := range people {
		items = append(items, asks(n+1, "ops"))
	}
	taken(t, l, campaign(id), items...)
	inStage(t, l, id, 1, asked)
}

// item is an item as it is stored.
func item(t testing.TB, l *ledger.Ledger, id string, n int) access.Item {
	t.Helper()
	some, err := l.Items(t.Context(), org, id, ledger.ItemFilter{Numbers: []int{n}})
	require.NoError(t, err)
	require.Len(t, some, 1)
	return some[0]
}

// numbers are the numbers of items that a filter chooses.
func numbers(t testing.TB, l *ledger.Ledger, id string, f ledger.ItemFilter) []int {
	t.Helper()
	some, err := l.Items(t.Context(), org, id, f)
	require.NoError(t, err)
	var all []int
	for _, i := range some {
		all = append(all, i.N)
	}
	return all
}

// storedReview returns a review as it is stored.
func storedReview(t testing.TB, l *ledger.Ledger, id string) access.Review {
	t.Helper()
	r, err := l.Review(t.Context(), org, id)
	require.NoError(t, err)
	return r
}

// logged is a review's log.
func logged(t testing.TB, l *ledger.Ledger, id string) []access.ReviewEvent {
	t.Helper()
	all, err := l.ReviewEvents(t.Context(), org, id, 0, 0)
	require.NoError(t, err)
	return all
}

// count is how far a review is.
func count(t testing.TB, l *ledger.Ledger, id string) ledger.ReviewCount {
	t.Helper()
	c, err := l.CountReview(t.Context(), org, id)
	require.NoError(t, err)
	return c
}

func TestAReviewComesBackWhole(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		east := time.FixedZone("east", 3600)
		given := campaign(spring)
		given.State, given.Stage, given.Codes = access.ReviewDone, 7, true // the ledger's to say
		given.Opened = noon.Add(1500 * time.Nanosecond).In(east)
		want := campaign(spring)
		want.State, want.Codes, want.Opened = access.ReviewOpening, true, noon.Add(time.Microsecond)
		for range 2 {
			stored, err := l.BeginReview(t.Context(), org, given)
			require.NoError(t, err)
			require.Equal(t, want, stored)
			require.Equal(t, want, storedReview(t, l, spring))
			given.Opened = minutes(9) // a repeat finds what is there
		}
		given.Run = "another workflow"
		_, err := l.BeginReview(t.Context(), org, given)
		require.ErrorIs(t, err, ledger.ErrConflict)
		require.ErrorContains(t, err, spring)

		full := want
		full.State, full.Stage, full.Due = access.ReviewClosing, 2, minutes(10)
		full.Closed, full.ClosedBy, full.ClosedWhy, full.Items, full.Skipped = minutes(5), dan, "enough", 3, 4
		full.Findings, full.Holders = []string{"somebody is gone"}, map[access.Entitlement]int{group("ops"): 5}
		changed, err := l.ChangeReview(t.Context(), org, spring, func(r *access.Review) bool {
			*r = full
			r.Due = r.Due.Add(99).In(east)
			return true
		})
		require.NoError(t, err)
		require.Equal(t, full, changed, "what is returned is what is stored")
		require.Equal(t, full, storedReview(t, l, spring))

		_, err = l.Review(t.Context(), "other", spring)
		require.ErrorIs(t, err, ledger.ErrNotFound)
		_, err = l.ChangeReview(t.Context(), org, "none", func(*access.Review) bool { return true })
		require.ErrorIs(t, err, ledger.ErrNotFound)
		require.Equal(t, []string{"review-opened"}, kinds(t, l))
		sound(t, l)
	})
}

func TestAReviewIsChangedOnce(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		taken(t, l, campaign(spring), asks(1, "ops"))
		inStage(t, l, spring, 1, map[string][]int{carol: {1}})
		for range 2 {
			r, err := l.ChangeReview(t.Context(), org, spring, func(r *access.Review) bool {
				if !noon.AddDate(0, 1, 0).After(r.Due) {
					return false
				}
				r.Due = noon.AddDate(0, 1, 0)
				return true
			}, access.ReviewEvent{At: minutes(3), Kind: access.EventExtended, By: dan, Text: "holidays"})
			require.NoError(t, err)
			require.Equal(t, noon.AddDate(0, 1, 0), r.Due)
		}
		all := logged(t, l, spring)
		require.Equal(t, []string{"opened", "stage", "extended"}, []string{all[0].Kind, all[1].Kind, all[2].Kind})
		require.Equal(t, access.ReviewEvent{Seq: 3, At: minutes(3), Kind: "extended", By: dan, Text: "holidays"},
			all[2])
		require.Equal(t, []string{"review-opened", "review-extended"}, kinds(t, l))
		sound(t, l)
	})
}

func TestReviewsAreListedNewestFirst(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		for n, id := range []string{"a", "b", "c", "d"} {
			r := campaign(id)
			if r.Opened = minutes(n); id == "d" {
				r.Opened = minutes(2) // with c: then by id
			}
			if id == "b" {
				r.Campaign = "admins"
			}
			taken(t, l, r)
		}
		list := func(campaign, after string, limit int) (ids []string) {
			all, err := l.Reviews(t.Context(), org, campaign, after, limit)
			require.NoError(t, err)
			for _, r := range all {
				ids = append(ids, r.ID)
			}
			return ids
		}
		require.Equal(t, []string{"d", "c", "b", "a"}, list("", "", 0))
		require.Equal(t, []string{"d", "c"}, list("", "", 2))
		require.Equal(t, []string{"b", "a"}, list("", "c", 2))
		require.Equal(t, []string{"a"}, list("quarterly", "c", 0))
		require.Empty(t, list("quarterly", "a", 0))
	})
}

func TestItemsComeBackWhole(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		external, east := true, time.FixedZone("east", 3600)
		given := asks(1, "ops")
		given.Status, given.External, given.Sponsor, given.Sources = "active", &external, bo, []string{"eng", "all <b>"}
		given.Opens, given.Owned, given.Since = []string{"jira-software/acme"}, true, noon.Add(99).In(east)
		given.Uses = []access.Use{{App: "jira-software/acme", Last: minutes(1).Add(99).In(east)},
			{App: "confluence/acme", Never: true}}
		given.Peers = &access.Peers{Group: "eng", Of: 7, Hold: 2}
		given.Recommend, given.Because, given.Risks = remove, "it was never used", []string{"external"}
		given.Before = &access.PastDecision{Review: "winter", Verdict: keep, By: carol, At: minutes(2).In(east)}
		want := given
		want.N, want.Since = 1, noon
		want.Uses = []access.Use{{App: "jira-software/acme", Last: minutes(1)}, {App: "confluence/acme", Never: true}}
		want.Before = &access.PastDecision{Review: "winter", Verdict: keep, By: carol, At: minutes(2)}

		other := asks(2, "dev")
		other.Name, other.Email = "Zo\x00e \xff", ""
		dirty := given // what is to become of it is not the page's to say
		dirty.N, dirty.Stage, dirty.Version, dirty.Verdict, dirty.Outcome, dirty.Why = 9, 9, 9, keep,
			access.OutcomeKept, "no"
		dirty.Said = []access.ItemDecision{{Stage: 1, By: carol}}
		taken(t, l, campaign(spring), dirty, other, given)
		require.Equal(t, want, item(t, l, spring, 1))
		require.Equal(t, person(2).ID, item(t, l, spring, 2).Person)
		require.Equal(t, minutes(1).Add(99).In(east), given.Uses[0].Last, "the caller's own stay as they are")
		require.Equal(t, minutes(2).In(east), given.Before.At)

		var briefs []ledger.ItemBrief
		require.NoError(t, l.ItemBriefs(t.Context(), org, spring,
			func(b ledger.ItemBrief) error { briefs = append(briefs, b); return nil }))
		require.Equal(t, []ledger.ItemBrief{
			{N: 1, Person: "id-00001", Email: "person.00001@acme.example", Sponsor: bo, Target: group("ops")},
			{N: 2, Person: "id-00002", Target: group("dev")},
		}, briefs)
		stop := fmt.Errorf("enough")
		require.ErrorIs(t, l.ItemBriefs(t.Context(), org, spring, func(ledger.ItemBrief) error { return stop }), stop)
	})
}

func TestItemsAreNumberedByRisk(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		_, err := l.BeginReview(t.Context(), org, campaign(spring))
		require.NoError(t, err)
		save := func(page string, notes ledger.Notes, items ...access.Item) {
			t.Helper()
			require.NoError(t, l.SaveItems(t.Context(), org, spring, page, items, notes))
		}
		names := func(f ledger.ItemFilter) (all []string) {
			t.Helper()
			some, err := l.Items(t.Context(), org, spring, f)
			require.NoError(t, err)
			for _, i := range some {
				all = append(all, fmt.Sprint(i.N, " ", i.Person[4:], " ", i.Target))
			}
			return all
		}
		gone, moved := asks(8, "ops"), asks(9, "ops")
		save("1", ledger.Notes{{Kind: "people"}: 3, {Kind: "holders"}: 1}, asks(3, "ops"), gone, moved)
		save("2", ledger.Notes{{Kind: "people"}: 2}, asks(1, "ops"), asks(1, "Zoo"), moved)
		save("3", nil)
		save("1", ledger.Notes{{Kind: "people"}: 2}, asks(3, "ops"), asks(2, "ops")) // the repeat shows other people
		notes, err := l.ReviewNotes(t.Context(), org, spring)
		require.NoError(t, err)
		require.Equal(t, ledger.Notes{{Kind: "people"}: 4}, notes, "a repeat of a page replaces what it counted")
		require.Equal(t, []string{"0 0001 group:Zoo", "0 0001 group:ops", "0 0002 group:ops"},
			names(ledger.ItemFilter{Unranked: true, Limit: 3}))
		require.Equal(t, []string{"0 0003 group:ops", "0 0009 group:ops"},
			names(ledger.ItemFilter{Unranked: true, AfterKey: ledger.Key{Person: "id-00002", Target: group("ops")}}),
			"who is on another page stays")

		risky, unknown := asks(3, "ops"), asks(77, "ops")
		risky.Risk, risky.Because = 100, "ranked"
		for range 2 {
			require.NoError(t, l.RankItems(t.Context(), org, spring, []access.Item{risky, unknown}))
		}
		want := []string{"1 0003 group:ops", "2 0001 group:Zoo", "3 0001 group:ops", "4 0002 group:ops",
			"5 0009 group:ops"}
		for range 2 {
			n, err := l.NumberItems(t.Context(), org, spring)
			require.NoError(t, err)
			require.Equal(t, 5, n)
			require.Equal(t, want, names(ledger.ItemFilter{}), "the riskiest first, then by person and target")
		}
		require.Equal(t, "ranked", item(t, l, spring, 1).Because)
		require.Empty(t, names(ledger.ItemFilter{Unranked: true}))

		late := asks(1, "ops")
		late.Name = "somebody else"
		save("2", ledger.Notes{{Kind: "people"}: 50}, late, asks(50, "ops"))
		require.NoError(t, l.RankItems(t.Context(), org, spring, []access.Item{late}))
		require.Equal(t, want, names(ledger.ItemFilter{}), "a late page changes nothing")
		require.Equal(t, "Person 1", item(t, l, spring, 3).Name)
		notes, err = l.ReviewNotes(t.Context(), org, spring)
		require.NoError(t, err)
		require.Equal(t, ledger.Notes{{Kind: "people"}: 4}, notes, "whoever numbers them again needs what was counted")
		inStage(t, l, spring, 1, map[string][]int{carol: {1}})
		notes, err = l.ReviewNotes(t.Context(), org, spring)
		require.NoError(t, err)
		require.Empty(t, notes)

		err = l.SaveItems(t.Context(), org, "none", "1", nil, nil)
		require.ErrorIs(t, err, ledger.ErrNotFound)
	})
}

func TestNothingToReview(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		_, err := l.BeginReview(t.Context(), org, campaign(spring))
		require.NoError(t, err)
		require.NoError(t, l.SaveItems(t.Context(), org, spring, "1", nil, ledger.Notes{{Kind: "skipped"}: 3}))
		n, err := l.NumberItems(t.Context(), org, spring)
		require.NoError(t, err)
		require.Zero(t, n)
		require.NoError(t, l.SaveItems(t.Context(), org, spring, "1", []access.Item{asks(1, "ops")}, nil))
		require.Empty(t, numbers(t, l, spring, ledger.ItemFilter{}), "the page came late")
		for range 2 {
			r, err := l.EndReview(t.Context(), org, spring, access.ReviewSkipped, "", 0, minutes(2))
			require.NoError(t, err)
			require.Equal(t, access.ReviewSkipped, r.State)
			require.Equal(t, minutes(2), r.Ended)
		}
		notes, err := l.ReviewNotes(t.Context(), org, spring)
		require.NoError(t, err)
		require.Empty(t, notes)
		all := logged(t, l, spring)
		require.Len(t, all, 2)
		require.Equal(t, "skipped", all[1].Text)
	})
}

func TestNothingIsTakenForACancelledReview(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		_, err := l.BeginReview(t.Context(), org, campaign(spring))
		require.NoError(t, err)
		require.NoError(t, l.SaveItems(t.Context(), org, spring, "1", []access.Item{asks(1, "ops")}, nil))
		closed(t, l, spring)
		require.NoError(t, l.SaveItems(t.Context(), org, spring, "2", []access.Item{asks(2, "ops")}, nil))
		some, err := l.Items(t.Context(), org, spring, ledger.ItemFilter{Outcomes: []access.Outcome{""}})
		require.NoError(t, err)
		require.Len(t, some, 1)
		settle(t, l, spring, minutes(2),
			review.Resolution{Item: func() access.Item { i := some[0]; i.Outcome = access.OutcomeDropped; return i }()})
		require.Equal(t, map[access.Outcome]int{access.OutcomeDropped: 1}, count(t, l, spring).Outcomes,
			"items without a number too")
	})
}

func TestItemsAreChosen(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		var items []access.Item
		for n := 1; n <= 9; n++ {
			items = append(items, asks(n, []string{"dev", "ops"}[n%2]))
		}
		taken(t, l, campaign(spring), items...)
		inStage(t, l, spring, 1, map[string][]int{carol: {1, 2, 3, 4, 5, 6}, dan: {5, 6, 7}})
		tell(t, l, spring, word(carol, keep, 2), word(dan, remove, 6))
		require.NoError(t, l.Settle(t.Context(), org, spring,
			[]review.Resolution{outcome(t, l, spring, 6, access.OutcomeOpen)}, minutes(20)))
		for name, c := range map[string]struct {
			f    ledger.ItemFilter
			want []int
		}{
			"all":          {ledger.ItemFilter{}, []int{1, 2, 3, 4, 5, 6, 7, 8, 9}},
			"a page":       {ledger.ItemFilter{After: 3, Limit: 2}, []int{4, 5}},
			"some":         {ledger.ItemFilter{Numbers: []int{7, 3, 99, 3}}, []int{3, 7}},
			"some of them": {ledger.ItemFilter{Numbers: []int{7, 3, 5}, Limit: 2}, []int{3, 5}},
			"of a reviewer": {ledger.ItemFilter{Reviewer: []string{carol, "id-carol"}, Stage: 1},
				[]int{1, 2, 3, 4, 5, 6}},
			"of two": {ledger.ItemFilter{Reviewer: []string{carol, dan}, Stage: 1},
				[]int{1, 2, 3, 4, 5, 6, 7}},
			"a reviewer's page": {ledger.ItemFilter{Reviewer: []string{carol}, Stage: 1, After: 2, Limit: 2},
				[]int{3, 4}},
			"of another stage": {ledger.ItemFilter{Reviewer: []string{carol}, Stage: 2}, nil},
			"left to a reviewer": {ledger.ItemFilter{Reviewer: []string{carol}, Stage: 1, Undecided: true},
				[]int{1, 3, 4, 5, 6}},
			"left to everybody": {ledger.ItemFilter{Undecided: true}, []int{1, 3, 4, 5, 7, 8, 9}},
			"by target":         {ledger.ItemFilter{Target: group("dev"), After: 2}, []int{4, 6, 8}},
			"by person":         {ledger.ItemFilter{Person: "id-00005"}, []int{5}},
			"by outcome": {ledger.ItemFilter{Outcomes: []access.Outcome{access.OutcomeOpen,
				access.OutcomeHeld}}, []int{6}},
			"without an outcome": {ledger.ItemFilter{Outcomes: []access.Outcome{""}, After: 4, Limit: 3},
				[]int{5, 7, 8}},
			"of somebody unheard of": {ledger.ItemFilter{Reviewer: []string{"eve@acme.example"}, Stage: 1}, nil},
		} {
			require.Equal(t, c.want, numbers(t, l, spring, c.f), name)
		}
	})
}
