package ledger_test

import (
	"fmt"
	"testing"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
	"github.com/stretchr/testify/require"
)

const (
	benchItems     = 10_000
	benchReviewers = 300
)

// reviewer is who is asked about an item in benchmarks.
func reviewer(n int) string { return fmt.Sprintf("reviewer.%03d@acme.example", n%benchReviewers) }

// itemsOf is the n-th page of 100 items.
func itemsOf(n int) []access.Item {
	items := make([]access.Item, 100)
	for i := range items {
		items[i] = asks(n*100+i, "ops")
		items[i].Opens, items[i].Sources = []string{"jira-software/acme"}, []string{"eng-all", "staff"}
	}
	return items
}

func allTasks() (items []int, tasks []access.Task) {
	for n := 1; n <= benchItems; n++ {
		items = append(items, n)
		tasks = append(tasks, task(n, reviewer(n)))
	}
	return items, tasks
}

// BenchmarkOpeningOfAReview measures what it takes until 10,000 items are given out, each step for itself.
func BenchmarkOpeningOfAReview(b *testing.B) {
	onEach(b, func(b *testing.B, l *ledger.Ledger) {
		save := func(b *testing.B, id string) {
			_, err := l.BeginReview(b.Context(), org, campaign(id))
			require.NoError(b, err)
			for page := range benchItems / 100 {
				require.NoError(b, l.SaveItems(b.Context(), org, id, fmt.Sprint(page), itemsOf(page),
					ledger.Notes{{Kind: "people"}: 100}))
			}
		}
		rank := func(b *testing.B, id string) {
			filter := ledger.ItemFilter{Unranked: true, Limit: 500}
			for {
				some, err := l.Items(b.Context(), org, id, filter)
				require.NoError(b, err)
				if len(some) == 0 {
					return
				}
				require.NoError(b, l.RankItems(b.Context(), org, id, some))
				filter.AfterKey = ledger.Key{Person: some[len(some)-1].Person, Target: some[len(some)-1].Target}
			}
		}
		number := func(b *testing.B, id string) {
			n, err := l.NumberItems(b.Context(), org, id)
			require.NoError(b, err)
			require.Equal(b, benchItems, n)
		}
		items, tasks := allTasks()
		stage := func(b *testing.B, id string) {
			require.NoError(b, l.BeginStage(b.Context(), org, id, 1, noon.AddDate(0, 0, 7), items, tasks, noon))
		}
		steps := []struct {
			name string
			do   func(b *testing.B, id string)
		}{{"SaveItems", save}, {"RankItems", rank}, {"NumberItems", number}, {"BeginStage", stage}}
		for n, step := range steps {
			b.Run(step.name, func(b *testing.B) {
				for times := 0; b.Loop(); times++ {
					b.StopTimer()
					id := fmt.Sprint(step.name, b.N, times)
					for _, before := range steps[:n] {
						before.do(b, id)
					}
					b.StartTimer()
					step.do(b, id)
				}
				b.ReportMetric(benchItems*float64(b.N)/b.Elapsed().Seconds(), "items/s")
			})
		}
	})
}

// BenchmarkDecisions measures how fast 300 reviewers can decide on 10,000 items, and how fast it is counted how far
// they are.
func BenchmarkDecisions(b *testing.B) {
	onEach(b, func(b *testing.B, l *ledger.Ledger) {
		_, err := l.BeginReview(b.Context(), org, campaign(spring))
		require.NoError(b, err)
		for page := range benchItems / 100 {
			require.NoError(b, l.SaveItems(b.Context(), org, spring, fmt.Sprint(page), itemsOf(page), nil))
		}
		_, err = l.NumberItems(b.Context(), org, spring)
		require.NoError(b, err)
		items, tasks := allTasks()
		for _, n := range items { // one is asked about everything
			tasks = append(tasks, task(n, dan))
		}
		require.NoError(b, l.BeginStage(b.Context(), org, spring, 1, noon.AddDate(0, 0, 7), items, tasks, noon))
		next, at := 0, noon
		word := func(by string, numbers ...int) ledger.ReviewMessage {
			at = at.Add(1000)
			verdict := []access.Verdict{keep, remove}[next/benchItems%2] // minds change, or it would be a repeat
			w := ledger.ReviewMessage{Kind: decided, By: by, Via: "page", Verdict: verdict,
				Pass: ledger.Pass{Trusted: true}, At: at}
			for _, n := range numbers {
				w.Lines = append(w.Lines, ledger.ItemMessage{N: n})
			}
			return w
		}
		tell := func(b *testing.B, words ...ledger.ReviewMessage) {
			said, err := l.RecordMessages(b.Context(), org, spring, words)
			require.NoError(b, err)
			for i := range said {
				require.NoError(b, said[i].Err)
				require.Len(b, said[i].Applied, len(words[i].Lines))
			}
		}
		for _, batch := range []int{1, 10, 50} {
			b.Run(fmt.Sprint("Say", batch), func(b *testing.B) {
				for b.Loop() {
					words := make([]ledger.ReviewMessage, batch)
					for i := range words {
						n := next%benchItems + 1
						words[i] = word(reviewer(n), n)
						next++
					}
					tell(b, words...)
				}
				b.ReportMetric(float64(batch*b.N)/b.Elapsed().Seconds(), "decisions/s")
			})
		}
		b.Run("SayOfOneWith10000", func(b *testing.B) {
			for b.Loop() {
				next++
				tell(b, word(dan, next%benchItems+1))
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "decisions/s")
		})
		b.Run("SayBulk500", func(b *testing.B) {
			for b.Loop() {
				next = (next/500 + 1) * 500
				from := next % benchItems
				w := word(dan, items[from:from+500]...)
				said, err := l.RecordMessages(b.Context(), org, spring, []ledger.ReviewMessage{w})
				require.NoError(b, err)
				require.Equal(b, 500, len(said[0].Applied)+len(said[0].Repeated))
			}
			b.ReportMetric(float64(500*b.N)/b.Elapsed().Seconds(), "decisions/s")
		})
		for _, c := range []struct {
			name string
			do   func() error
		}{
			{"CountReview", func() error { _, err := l.CountReview(b.Context(), org, spring); return err }},
			{"OpenTasks", func() error { _, err := l.OpenTasks(b.Context(), org, spring, 1, ""); return err }},
			{"ItemsOfReviewer", func() error {
				_, err := l.Items(b.Context(), org, spring,
					ledger.ItemFilter{Reviewer: []string{reviewer(7)}, Stage: 1, Limit: 50})
				return err
			}},
			{"Items500", func() error {
				_, err := l.Items(b.Context(), org, spring, ledger.ItemFilter{After: 5000, Limit: 500})
				return err
			}},
		} {
			b.Run(c.name, func(b *testing.B) {
				for b.Loop() {
					require.NoError(b, c.do())
				}
			})
		}
	})
}
