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
	beat, over := resumed(ctx, in.Cursor)
	if over {
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

// resumed is where an earlier attempt at a block of pages came to; over says that its last page was done and only the answer
// was lost.
func resumed(ctx context.Context, cursor string) (beat sweepBeat, over bool) {
	if !activity.HasHeartbeatDetails(ctx) || activity.GetHeartbeatDetails(ctx, &beat) != nil {
		beat = sweepBeat{Cursor: cursor}
	}
	return beat, beat.Page > 0 && beat.Cursor == ""
}

type fetched struct {
	organization.Page[organization.User]
	err error
}

func (s *session) fetch(ctx context.Context, cursor string) <-chan fetched {
	out := make(chan fetched, 1)
	q := organization.UserQuery{Cursor: cursor, Limit: pageSize, Expand: s.expand()}
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
	if err := s.learnUse(ctx, b, ps, states); err != nil {
		return err
	}
	fresh, err := s.fresh(ctx, b)
	if err != nil {
		return err
	}
	page := ledger.Page{Key: key, People: ps, Observe: in.Preview}
	if count {
		page.Seen, page.Notes = map[string]int{}, map[string]int{}
	}
	for _, p := range ps {
		known := stateOf(states[p.ID])
		known.Fresh = fresh
		d := plan.Decide(b, p, known, in.Run, now)
		enter(&page, p, d)
		if b.Observes() {
			known.Would = true
			page.Changes = append(page.Changes, plan.Observed(d, plan.Decide(b, p, known, in.Run, now))...)
		}
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
		note(page.Notes, b, p, known, d)
	}
	return s.ledger.SavePage(ctx, s.org, in.Run, page, now)
}

// stateOf is what the ledger knows of a person, as a decision takes it.
func stateOf(known ledger.PersonState) plan.State {
	return plan.State{
		Holdings: known.Holdings, Recent: known.Recent, Rejected: known.Rejected, Grants: known.Grants, Marks: known.Marks,
		Rulings: known.Rulings, Suspension: known.Suspension,
	}
}

// enter puts a person's decision on a page.
func enter(page *ledger.Page, p access.Person, d plan.Decision) {
	page.Changes = append(page.Changes, d.Changes...)
	page.Open = append(page.Open, d.Open...)
	page.Close = append(page.Close, d.Close...)
	page.Lift = append(page.Lift, d.Lift...)
	page.Foreign += d.Foreign
	page.Suppressed += d.Suppressed
	page.Mark = append(page.Mark, d.Mark...)
	for _, rule := range d.Unmark {
		page.Unmark = append(page.Unmark, access.Mark{Person: p.ID, Rule: rule})
	}
	if d.Unsuspend {
		page.Unsuspend = append(page.Unsuspend, p.ID)
	}
}
