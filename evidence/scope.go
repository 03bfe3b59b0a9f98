package evidence

import (
	"cmp"
	"maps"
	"slices"

	"github.com/castellan-io/castellan/access"
)

// reach is how far the review went into one target.
type reach struct {
	Name                       string
	Holders                    string // when the review opened
	Items, Kept, Removed, Else int    // Removed with what was gone before
}

// mostReaches is how many targets are shown.
const mostReaches = 100

// reaches are the targets, those with the most items first.
func reaches(r access.Review, items []access.Item) (shown []reach, more int) {
	by := make(map[access.Entitlement]*reach)
	for target, n := range r.Holders {
		by[target] = &reach{Name: string(target), Holders: grouped(n)}
	}
	for _, i := range items {
		if by[i.Target] == nil {
			by[i.Target] = &reach{Name: string(i.Target), Holders: unknown}
		}
		target := by[i.Target]
		target.Items++
		switch i.Outcome {
		case access.OutcomeKept:
			target.Kept++
		case access.OutcomeRemoved, access.OutcomeGone:
			target.Removed++
		default:
			target.Else++
		}
	}
	all := slices.SortedFunc(maps.Values(by), func(a, b *reach) int {
		return cmp.Or(cmp.Compare(b.Items, a.Items), cmp.Compare(a.Name, b.Name))
	})
	if len(all) > mostReaches {
		more = len(all) - mostReaches
		all = all[:mostReaches]
	}
	for _, target := range all {
		shown = append(shown, *target)
	}
	return shown, more
}
