package activities

import (
	"context"
	"fmt"
	"slices"

	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/plan"
	"github.com/castellan-io/castellan/policy"
)

// mostRechecks is how many groups that disagree are read again. More than that is not some change on the way but an
// incomplete read, and all of them are suspect.
const mostRechecks = 50

// evidence is what the reads of a run prove about its source groups.
type evidence struct {
	now      map[string]int // members as the directory counts them
	seen     map[string]int // members seen; nil when the run did not sweep
	people   int
	suspects []plan.Suspect
}

// evidence compares what was counted with what was seen. A source group that disagrees, and that a removal stands on, is
// read again by itself, and its people are decided anew; if it still disagrees, it is suspect.
func (s *session) evidence(ctx context.Context, b *policy.Bound, o access.Outline, in RunInput, swept bool) (evidence, error) {
	e := evidence{now: map[string]int{}}
	for _, g := range o.Groups {
		if g.Synced {
			e.now[g.ID] = g.Users
		}
	}
	if swept {
		seen, counts, err := s.ledger.Seen(ctx, s.org, in.Run)
		if err != nil {
			return e, err
		}
		e.seen, e.people = seen, counts.People
		for id := range e.now {
			if _, any := e.seen[id]; !any {
				e.seen[id] = 0
			}
		}
		if err := s.recheck(ctx, b, in, &e); err != nil {
			return e, err
		}
	}
	before, err := s.sourceCounts(ctx)
	if err != nil {
		return e, err
	}
	e.suspects = plan.Suspects(s.policy, b, before, e.now, e.seen)
	return e, nil
}

func (s *session) sourceCounts(ctx context.Context) (map[string]plan.Count, error) {
	known, err := s.ledger.SourceCounts(ctx, s.org)
	if err != nil {
		return nil, err
	}
	before := make(map[string]plan.Count, len(known))
	for id, c := range known {
		before[id] = plan.Count{Name: c.Name, Users: c.Users}
	}
	return before, nil
}

func (s *session) recheck(ctx context.Context, b *policy.Bound, in RunInput, e *evidence) error {
	stats, err := s.ledger.LineStats(ctx, s.org, in.Run)
	if err != nil {
		return err
	}
	matter := map[string]bool{}
	for _, l := range stats {
		if l.Action != access.Remove {
			continue
		}
		if t, ok := b.Target(l.Target); ok {
			for _, source := range b.Targets[t].Sources {
				if n, counted := e.now[source]; counted && n >= 0 && n != e.seen[source] {
					matter[source] = true
				}
			}
		}
	}
	groups := sorted(matter)
	if len(groups) > mostRechecks {
		return nil
	}
	for _, id := range groups {
		n, err := s.recheckGroup(ctx, b, in, id)
		if err != nil {
			return err
		}
		e.seen[id] = n
		activity.RecordHeartbeat(ctx, id)
	}
	for _, some := range chunks(groups, mostGroupIDs) {
		read, err := s.readGroups(ctx, organization.GroupQuery{GroupIDs: some, Limit: pageSize, Expand: []string{"counts.users"}})
		if err != nil {
			return err
		}
		for _, g := range read {
			e.now[g.ID] = g.Users
		}
	}
	return nil
}

// recheckGroup reads one group's members and decides them anew. A member counts as one even where the answer leaves the
// group out of the member's own list.
func (s *session) recheckGroup(ctx context.Context, b *policy.Bound, in RunInput, id string) (int, error) {
	members := 0
	q := organization.UserQuery{GroupIDs: []string{id}, Limit: pageSize, Expand: expandPeople}
	for n := 0; ; n++ {
		page, err := s.api.SearchUsers(ctx, s.directory, q)
		if err != nil {
			return 0, explain("read the members of group "+id+" of organization "+s.org, err)
		}
		found := people(page.Items)
		for i := range found {
			if !slices.Contains(found[i].GroupIDs, id) {
				found[i].GroupIDs = append(found[i].GroupIDs, id)
			}
		}
		members += len(found)
		if err := s.decide(ctx, b, in, fmt.Sprintf("recheck-%s-%04d", id, n), found, false); err != nil {
			return 0, err
		}
		if page.Next == "" {
			return members, nil
		}
		q.Cursor = page.Next
	}
}

// findings puts the suspects into words.
func (e evidence) findings() []access.Finding {
	var out []access.Finding
	for _, s := range e.suspects {
		out = append(out, access.Finding{Rule: "source-suspect", Subject: s.Name, Detail: "source group " + s.Name + ": " + s.Why + "; removals that stand on it wait"})
	}
	return out
}
