package session

import (
	"context"
	"fmt"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/plan"
)

// MostCorroborated is how many people may lose something in a partial run. If there are more, everybody is looked at
// instead: a full sweep also checks its reads against the groups' counts.
const MostCorroborated = 50

// RecentWrites is how long our own write counts more than a read: reads lag writes by seconds.
const RecentWrites = 30 * time.Second

// SweepResult is where a block ended.
type SweepResult struct {
	Next   string `json:"next,omitempty"` // cursor of the next block; empty after the last page
	People int    `json:"people"`
	Calls  int    `json:"calls"`
}

// SweepBlock is a block of pages of everybody.
type SweepBlock struct {
	Cursor string
	Block  int      // numbers the blocks
	Pages  int      // in the block
	Expand []string // the expansions
}

// sweepHeartbeat is the progress of an attempt at a block of pages.
type sweepHeartbeat struct {
	Page   int
	Cursor string
	People int
}

// Sweep reads a block of pages of everybody and passes each to take, with a key that is the page's own. It fetches the
// next page meanwhile; memory is two pages. A retry resumes at the last page that a heartbeat recorded, so taking a
// page twice must be safe.
//
// Calls: people/100.
func (s *Session) Sweep(ctx context.Context, in SweepBlock, take func(key string, users []organization.User) error) (
	SweepResult, error) {
	var beat sweepHeartbeat
	if !activity.HasHeartbeatDetails(ctx) || activity.GetHeartbeatDetails(ctx, &beat) != nil {
		beat = sweepHeartbeat{Cursor: in.Cursor}
	}
	if beat.Page > 0 && beat.Cursor == "" { // the last page was done, and only the result was lost
		return SweepResult{People: beat.People}, nil
	}
	what := "read people of organization " + s.Org
	next := s.fetch(ctx, beat.Cursor, in.Expand)
	for beat.Page < in.Pages {
		page := <-next
		if err := checkSweepEnds(what, in.Block, in.Pages, beat.Page); err != nil {
			return SweepResult{}, err
		}
		if page.err != nil {
			return SweepResult{}, WrapAPIError(what, page.err)
		}
		if page.Next != "" && beat.Page+1 < in.Pages {
			next = s.fetch(ctx, page.Next, in.Expand)
		}
		if err := take(fmt.Sprintf("%04d-%04d", in.Block, beat.Page), page.Items); err != nil {
			return SweepResult{}, err
		}
		beat = sweepHeartbeat{Page: beat.Page + 1, Cursor: page.Next, People: beat.People + len(page.Items)}
		activity.RecordHeartbeat(ctx, beat)
		if page.Next == "" {
			break
		}
	}
	return SweepResult{Next: beat.Cursor, People: beat.People, Calls: s.CallsMade()}, nil
}

type fetched struct {
	organization.Page[organization.User]
	err error
}

func (s *Session) fetch(ctx context.Context, cursor string, expand []string) <-chan fetched {
	out := make(chan fetched, 1)
	q := organization.UserQuery{Cursor: cursor, Limit: PageSize, Expand: expand}
	go func() {
		page, err := s.API.SearchUsers(ctx, s.Directory, q)
		out <- fetched{page, err}
	}()
	return out
}

// ExpandGoverned returns the expansions if the use of apps matters.
func ExpandGoverned() []string {
	return append([]string{organization.ExpandProductAccess}, ExpandPeople...)
}

// PlanState returns the ledger's state of a person as input to a decision.
func PlanState(known ledger.PersonState) plan.State {
	return plan.State{
		Holdings: known.Holdings, Recent: known.Recent, Rejected: known.Rejected, Grants: known.Grants,
		Marks:   known.Marks,
		Rulings: known.Rulings, Suspension: known.Suspension, Accepted: known.Accepted,
	}
}
