package evidence

import (
	"cmp"
	"maps"
	"slices"

	"github.com/castellan-io/castellan/access"
)

// outcomeShare is an outcome's share of all items.
type outcomeShare struct {
	outcomeText
	Class     string // CSS class
	N         int
	Percent   string
	X, Width  string // in the bar
	Exception bool
}

func outcomeShares(c Counts) []outcomeShare {
	var all []outcomeShare
	before := 0
	for _, o := range outcomeOrder {
		n := c.Outcomes[orNone(string(o))]
		if n == 0 {
			continue
		}
		all = append(all, outcomeShare{
			outcomeText: outcomeTexts[o], Class: orNone(string(o)), N: n, Percent: percent(n, c.Items),
			X: cssPercent(float64(before) / float64(c.Items)), Width: cssPercent(float64(n) / float64(c.Items)),
			Exception: o.Exception(),
		})
		before += n
	}
	return all
}

// reviewerTotals counts one reviewer's decisions: the last on each item in each stage.
type reviewerTotals struct {
	Reviewer string // "": nobody
	// Undecided is of nobody only: the log does not tell who was asked.
	Kept, Removed, Undecided                          int
	KeptWidth, RemovedX, RemovedWidth, UndecidedWidth string // of the parts of the bar
}

// maxReviewers is how many reviewers are shown; more bars would be of no use.
const maxReviewers = 40

// totalsByReviewer returns the reviewers, those with most decisions first, and last the items that nobody decided.
func totalsByReviewer(items []access.Item, events []access.ReviewEvent) (shown []reviewerTotals, more int) {
	by := make(map[string]*reviewerTotals)
	totals := func(reviewer string) *reviewerTotals {
		if by[reviewer] == nil {
			by[reviewer] = &reviewerTotals{}
		}
		return by[reviewer]
	}
	names := map[string]string{}
	nobody := reviewerTotals{}
	for _, i := range items {
		if len(i.Said) == 0 {
			nobody.Undecided++
		}
		for _, s := range i.Said {
			names[s.By] = cmp.Or(s.Email, names[s.By])
			if s.Verdict == access.VerdictKeep {
				totals(s.By).Kept++
			} else {
				totals(s.By).Removed++
			}
		}
	}
	for _, e := range events {
		if e.To != "" {
			totals(e.To)
			names[e.To] = cmp.Or(e.ToEmail, names[e.To])
		}
		if e.Kind == access.EventSeen && e.By != "" {
			totals(e.By)
		}
		names[e.By] = cmp.Or(e.ByEmail, names[e.By])
	}
	for reviewer, v := range by {
		v.Reviewer = cmp.Or(names[reviewer], reviewer)
	}
	all := slices.SortedFunc(maps.Values(by), func(a, b *reviewerTotals) int {
		return cmp.Or(cmp.Compare(b.Kept+b.Removed, a.Kept+a.Removed), cmp.Compare(a.Reviewer, b.Reviewer))
	})
	if len(all) > maxReviewers {
		more = len(all) - maxReviewers
		all = all[:maxReviewers]
	}
	for _, v := range all {
		shown = append(shown, *v)
	}
	if nobody.Undecided > 0 {
		shown = append(shown, nobody)
	}
	most := 1
	for _, v := range shown {
		most = max(most, v.Kept+v.Removed+v.Undecided)
	}
	for n := range shown {
		shown[n].setBar(most)
	}
	return shown, more
}

func (v *reviewerTotals) setBar(most int) {
	v.KeptWidth = cssPercent(float64(v.Kept) / float64(most))
	v.RemovedX = v.KeptWidth
	v.RemovedWidth = cssPercent(float64(v.Removed) / float64(most))
	v.UndecidedWidth = cssPercent(float64(v.Undecided) / float64(most))
}
