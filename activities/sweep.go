package activities

import (
	"context"
	"fmt"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/plan"
	"github.com/castellan-io/castellan/policy"
)

// recentWrites is how far back a write of our own is believed over what a read shows: reads lag writes by seconds.
const recentWrites = 30 * time.Second

// SweepInput asks for one block of pages of everybody.
type SweepInput struct {
	RunInput
	Cursor string `json:"cursor,omitempty"`
	Block  int    `json:"block"` // numbers the blocks of a run
	Pages  int    `json:"pages"` // pages in a block
}

// SweepResult is where a block ended.
type SweepResult struct {
	Next   string `json:"next,omitempty"` // cursor of the next block; empty after the last page
	People int    `json:"people"`
	Calls  int    `json:"calls"`
}

type sweepBeat struct {
	Page   int
	Cursor string
	People int
}

// Sweep reads a block of pages of people, decides each page and puts the plan's lines into the ledger. The next page is
// fetched while one is decided; memory is two pages. A repeat resumes at the last page that a heartbeat named, and pages
// done twice replace themselves.
func (a *Activities) Sweep(ctx context.Context, in SweepInput) (SweepResult, error) {
	s, err := a.open(ctx, in.Org, in.Policy)
	if err != nil {
		return SweepResult{}, err
	}
	bound, err := s.boundOf(ctx, in.Run)
	if err != nil {
		return SweepResult{}, err
	}
	beat := sweepBeat{Cursor: in.Cursor}
	if activity.HasHeartbeatDetails(ctx) {
		if err := activity.GetHeartbeatDetails(ctx, &beat); err != nil {
			beat = sweepBeat{Cursor: in.Cursor}
		}
	}
	if beat.Page > 0 && beat.Cursor == "" { // the last page was done, only the answer was lost
		return SweepResult{People: beat.People}, nil
	}
	next := s.fetch(ctx, beat.Cursor)
	for beat.Page < in.Pages {
		page := <-next
		if page.err != nil {
			return SweepResult{}, explain("read people of organization "+in.Org, page.err)
		}
		if page.Next != "" && beat.Page+1 < in.Pages {
			next = s.fetch(ctx, page.Next)
		}
		key := fmt.Sprintf("%04d-%04d", in.Block, beat.Page)
		if err := s.decide(ctx, bound, in.RunInput, key, people(page.Items), true); err != nil {
			return SweepResult{}, err
		}
		beat = sweepBeat{Page: beat.Page + 1, Cursor: page.Next, People: beat.People + len(page.Items)}
		activity.RecordHeartbeat(ctx, beat)
		if page.Next == "" {
			break
		}
	}
	return SweepResult{Next: beat.Cursor, People: beat.People, Calls: s.made()}, nil
}

type fetched struct {
	organization.Page[organization.User]
	err error
}

func (s *session) fetch(ctx context.Context, cursor string) <-chan fetched {
	out := make(chan fetched, 1)
	q := organization.UserQuery{Cursor: cursor, Limit: pageSize, Expand: expandPeople}
	go func() {
		page, err := s.api.SearchUsers(ctx, s.directory, q)
		out <- fetched{page, err}
	}()
	return out
}

// decide decides one page of people and records it. With count, the source groups seen are added to the run's evidence.
func (s *session) decide(ctx context.Context, b *policy.Bound, in RunInput, key string, ps []access.Person, count bool) error {
	ids := make([]string, len(ps))
	for i, p := range ps {
		ids[i] = p.ID
	}
	if !in.Preview {
		if err := s.resolve(ctx, b, ps...); err != nil {
			return err
		}
	}
	now := s.now()
	states, err := s.ledger.States(ctx, s.org, ids, now.Add(-recentWrites))
	if err != nil {
		return err
	}
	page := ledger.Page{Key: key, People: ps, Observe: in.Preview}
	if count {
		page.Seen = map[string]int{}
	}
	for _, p := range ps {
		known := states[p.ID]
		d := plan.Decide(b, p, plan.State{Holdings: known.Holdings, Recent: known.Recent, Rejected: known.Rejected, Grants: known.Grants}, in.Run, now)
		page.Changes = append(page.Changes, d.Changes...)
		page.Open = append(page.Open, d.Open...)
		page.Close = append(page.Close, d.Close...)
		page.Lift = append(page.Lift, d.Lift...)
		page.Foreign += d.Foreign
		page.Suppressed += d.Suppressed
		if !count {
			some, err := s.regiven(ctx, b, p, d.Open)
			if err != nil {
				return err
			}
			s.again = append(s.again, some...)
			continue
		}
		for _, g := range p.GroupIDs {
			if b.Source(g) {
				page.Seen[g]++
			}
		}
	}
	return s.ledger.SavePage(ctx, s.org, in.Run, page, now)
}
