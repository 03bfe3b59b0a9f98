package session

import (
	"context"
	"fmt"

	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/atlassian/organization"
)

// bounds limit the length of a list: a longer one cannot be right.
type bounds struct{ pages, items int }

// The limits of the lists. A directory has at most some hundred thousand people and groups; a search for one person has
// one result.
var (
	boundNamed   = bounds{20, 1000}        // people named by account ID or address: at most a hundred at a time
	boundMembers = bounds{2_100, 200_000}  // members of groups, holders of a role
	boundGroups  = bounds{2_100, 200_000}  // groups
	boundSites   = bounds{200, 10_000}     // sites and apps
	boundDomains = bounds{200, 10_000}     // domains
	BoundRoles   = bounds{200, 10_000}     // roles of one group
	boundUse     = bounds{50, 2_000}       // apps that one person used
	boundSweep   = bounds{20_000, 2 << 20} // everybody, over all blocks
)

// BoundEvents is how many pages of events one poll reads; the next poll reads the rest.
const BoundEvents = 200

// EveryPage is the one loop over the pages of a list. take reports whether it wants more. A list that is longer than
// possible, or repeats a cursor, would never end: that is an error, and nothing is decided on it.
func EveryPage[T any](
	ctx context.Context, what string, most bounds, ask func(cursor string) (organization.Page[T], error),
	take func([]T) (more bool, err error),
) error {
	cursor, seen, items := "", map[string]bool{}, 0
	for {
		page, err := ask(cursor)
		if err != nil {
			return err
		}
		if activity.IsActivity(ctx) { // reviewers' pages call it too
			activity.RecordHeartbeat(ctx)
		}
		if items += len(page.Items); items > most.items || len(seen) >= most.pages || seen[page.Next] {
			return endless(what, len(seen)+1, items)
		}
		more, err := take(page.Items)
		if err != nil || !more || page.Next == "" {
			return err
		}
		cursor = page.Next
		seen[cursor] = true
	}
}

// endless returns the error for a list without end.
func endless(what string, pages, items int) error {
	return NonRetryable(ErrEvidence,
		fmt.Errorf("%s: the list goes on after %d pages with %d entries, or in a circle: that cannot be right, and nothing is decided on it", what, pages, items))
}

// checkSweepEnds returns an error if a sweep over everybody has read more blocks than a directory can have.
func checkSweepEnds(what string, block, pages, page int) error {
	if done := block*pages + page; done >= boundSweep.pages {
		return endless(what, done, done*PageSize)
	}
	return nil
}

// EachPerson visits all results of a search of people.
func (s *Session) EachPerson(ctx context.Context, what string, q organization.UserQuery,
	take func([]organization.User) (bool, error)) error {
	most := boundMembers
	if len(q.AccountIDs)+len(q.Emails) > 0 {
		most = boundNamed
	}
	return EveryPage(ctx, what, most, func(cursor string) (organization.Page[organization.User], error) {
		q.Cursor = cursor
		page, err := s.API.SearchUsers(ctx, s.Directory, q)
		return page, WrapAPIError(what, err)
	}, take)
}
