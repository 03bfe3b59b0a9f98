package activities

import (
	"context"

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
	suspects []plan.Suspect
	doubtful bool // counts and members disagree: the read was incomplete, or people moved while it lasted
}

// evidence compares what was counted with what was seen. A source group that disagrees, and that a removal stands on, is
// read again by itself; if it still disagrees, it is suspect.
func (s *session) evidence(ctx context.Context, b *policy.Bound, o access.Outline, in RunInput, swept bool) (evidence, error) {
	e := evidence{now: map[string]int{}}
	for _, g := range o.Groups {
		if g.Synced {
			e.now[g.ID] = g.Users
		}
	}
	if swept {
		seen, _, err := s.ledger.Seen(ctx, s.org, in.Run)
		if err != nil {
			return e, err
		}
		e.seen = seen
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
	for _, one := range e.suspects {
		if n, counted := e.now[one.GroupID]; counted && e.seen != nil && n >= 0 && n != e.seen[one.GroupID] {
			e.doubtful = true
		}
	}
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
			for _, source := range b.Targets[t].Grounds() {
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
		n, err := s.recheckGroup(ctx, id)
		if err != nil {
			return err
		}
		e.seen[id] = n
		if err := s.ledger.ReplaceSeen(ctx, s.org, in.Run, id, n); err != nil {
			return err
		}
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

// recheckGroup counts one group's members by the group itself. Only members whose own list names the group count: where
// lists lack it, the sweep decided on lists that cannot be trusted. Nobody is decided anew on what is read here; whoever
// moved while the sweep lasted is read again before anything is taken.
func (s *session) recheckGroup(ctx context.Context, id string) (int, error) {
	members := 0
	q := organization.UserQuery{GroupIDs: []string{id}, Limit: pageSize, Expand: expandPeople}
	for {
		page, err := s.api.SearchUsers(ctx, s.directory, q)
		if err != nil {
			return 0, explain("read the members of group "+id+" of organization "+s.org, err)
		}
		for _, p := range people(page.Items) {
			if p.InGroup(id) {
				members++
			}
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
