package evidence

import (
	"cmp"
	"maps"
	"slices"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/display"
)

// targetSummary counts one target's items.
type targetSummary struct {
	Name                        string
	Holders                     string // when the review opened
	Items, Kept, Removed, Other int    // Removed with what was gone before
}

const maxTargets = 100

// targetSummaries returns the targets with the most items, and how many others there are.
func targetSummaries(r access.Review, items []access.Item) (shown []targetSummary, more int) {
	by := make(map[access.Entitlement]*targetSummary)
	for target, n := range r.Holders {
		by[target] = &targetSummary{Name: string(target), Holders: display.Number(n)}
	}
	for _, i := range items {
		if by[i.Target] == nil {
			by[i.Target] = &targetSummary{Name: string(i.Target), Holders: unknown}
		}
		target := by[i.Target]
		target.Items++
		switch i.Outcome {
		case access.OutcomeKept:
			target.Kept++
		case access.OutcomeRemoved, access.OutcomeGone:
			target.Removed++
		default:
			target.Other++
		}
	}
	all := slices.SortedFunc(maps.Values(by), func(a, b *targetSummary) int {
		return cmp.Or(cmp.Compare(b.Items, a.Items), cmp.Compare(a.Name, b.Name))
	})
	if len(all) > maxTargets {
		more = len(all) - maxTargets
		all = all[:maxTargets]
	}
	for _, target := range all {
		shown = append(shown, *target)
	}
	return shown, more
}
