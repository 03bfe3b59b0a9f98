package review_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/review"
)

// may returns who may be asked about an item.
func may(n int, reviewers, fallback, owner []string) review.Candidates {
	list := func(names []string) func() []string { return func() []string { return names } }
	return review.Candidates{N: n, Reviewers: list(reviewers), Fallback: list(fallback), Owner: list(owner)}
}

func TestAssign(t *testing.T) {
	carol, dan, bo := []string{"carol"}, []string{"dan"}, []string{"bo"}
	for name, c := range map[string]struct {
		all              bool
		load             map[string]int
		may              review.Candidates
		want             string // who is asked, and as what
		crowded          bool
		nobody, fellBack int
	}{
		"a reviewer":            {may: may(1, carol, dan, bo), want: "carol reviewer "},
		"the one with fewest":   {may: may(1, []string{"carol", "eve"}, dan, bo), load: map[string]int{"carol": 1}, want: "eve reviewer "},
		"each of them":          {all: true, may: may(1, []string{"carol", "eve"}, dan, bo), want: "carol reviewer eve reviewer "},
		"nobody is there":       {may: may(1, nil, dan, bo), want: "dan fallback ", fellBack: 1},
		"nobody of all":         {all: true, may: may(1, nil, dan, bo), want: "dan fallback ", fellBack: 1},
		"full":                  {may: may(1, carol, dan, bo), load: map[string]int{"carol": 2}, want: "dan fallback "},
		"the fallback too":      {may: may(1, carol, dan, bo), load: map[string]int{"carol": 2, "dan": 2}, want: "carol reviewer ", crowded: true},
		"a full fallback":       {may: may(1, nil, dan, bo), load: map[string]int{"dan": 2}, want: "dan fallback ", crowded: true, fellBack: 1},
		"the owner":             {may: may(1, nil, nil, bo), want: "bo owner ", fellBack: 1},
		"nobody in the world":   {may: may(1, nil, nil, nil), fellBack: 1, nobody: 1},
		"no fallback, and full": {may: may(1, carol, nil, bo), load: map[string]int{"carol": 2}, want: "carol reviewer ", crowded: true},
	} {
		t.Run(name, func(t *testing.T) {
			a := review.Assignment{All: c.all, Most: 2, Load: map[string]int{}, At: noon}
			for who, n := range c.load {
				a.Load[who] = n
			}
			a.Assign(c.may)
			require.Equal(t, c.want, tasks(a))
			require.Equal(t, []any{c.crowded, c.nobody, c.fellBack}, []any{a.Crowded, a.Nobody, a.FellBack})
		})
	}
}

func tasks(a review.Assignment) (all string) {
	for _, task := range a.Tasks {
		all += fmt.Sprintf("%s %s ", task.Reviewer, task.Role)
	}
	return all
}

func TestReassign(t *testing.T) {
	carol, dan, bo := []string{"carol"}, []string{"dan"}, []string{"bo"}
	for name, c := range map[string]struct {
		may              review.Candidates
		asked            []string
		silent, escalate bool
		want             string
	}{
		"who is asked is there":   {may: may(1, carol, dan, bo), asked: carol},
		"nobody is there":         {may: may(1, carol, dan, bo), want: "dan fallback "},
		"nor is a fallback":       {may: may(1, carol, nil, bo), want: "bo owner "},
		"silent":                  {may: may(1, carol, dan, bo), asked: carol, silent: true, want: "dan fallback "},
		"the fallback is asked":   {may: may(1, carol, dan, bo), asked: []string{"carol", "dan"}, silent: true},
		"about to end":            {may: may(1, carol, dan, bo), asked: carol, escalate: true, want: "bo owner "},
		"about to end, all gone":  {may: may(1, carol, dan, bo), escalate: true, want: "dan fallback bo owner "},
		"nobody to escalate to":   {may: may(1, carol, dan, nil), asked: carol, escalate: true},
		"silent, and no fallback": {may: may(1, carol, nil, bo), asked: carol, silent: true},
	} {
		a := review.Assignment{Most: 2, Load: map[string]int{}, At: noon}
		require.Equal(t, c.want != "", a.Reassign(c.may, c.asked, c.silent, c.escalate), name)
		require.Equal(t, c.want, tasks(a), name)
	}
}

// TestAssignSpreadsItems: nobody is asked about more than the campaign's most while a reviewer of the item, or its
// fallback, has room, and every item has somebody as long as there is anybody.
func TestAssignSpreadsItems(t *testing.T) {
	people := []string{"a", "b", "c"}
	rapid.Check(t, func(r *rapid.T) {
		a := review.Assignment{Most: rapid.IntRange(1, 4).Draw(r, "most"), Load: map[string]int{}}
		for n := range rapid.IntRange(0, 20).Draw(r, "items") {
			some := rapid.SliceOfDistinct(rapid.SampledFrom(people), rapid.ID[string])
			reviewers, fallback := some.Draw(r, "reviewers"), some.Draw(r, "fallback")
			room := func(names []string) bool {
				for _, name := range names {
					if a.Load[name] < a.Most {
						return true
					}
				}
				return false
			}
			free, before := room(reviewers) || room(fallback), len(a.Tasks)
			a.Assign(may(n, reviewers, fallback, []string{"owner"}))
			require.Len(r, a.Tasks, before+1)
			got := a.Tasks[before]
			if got.Role != access.TaskOwner && free {
				require.LessOrEqual(r, a.Load[got.Reviewer], a.Most)
			}
			require.Equal(r, len(reviewers)+len(fallback) == 0, got.Role == access.TaskOwner)
		}
		require.Zero(r, a.Nobody)
	})
}
