package reconcile

import (
	"context"
	"fmt"
	"slices"

	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/plan"
	"github.com/castellan-io/castellan/policy"
)

// mostRechecks is how many groups that disagree are read again. More than that is not a change during the read but an
// incomplete read, and all of them are suspect.
const mostRechecks = 50

// evidence is what the reads of a run prove about its source groups.
type evidence struct {
	now      map[string]int // members according to the directory's count
	seen     map[string]int // members seen; nil if the run did not sweep
	suspects []plan.Suspect
	// recreated are groups that were deleted and created again, and count as the same.
	recreated []plan.RecreatedGroup
	// unjudged are names of groups that are suspect or recreated and that no full verification has judged yet:
	// everybody whom they gave something has to be looked at together.
	unjudged []string
	doubtful bool // counts and members disagree: the read was incomplete, or people moved during it
}

// evidence compares the counts with the members seen. A source group that disagrees, and that a removal depends on, is
// read again by itself; if it still disagrees, it is suspect.
func (s *task) evidence(ctx context.Context, b *policy.Bound, o access.Outline, in session.RunInput,
	swept bool) (evidence, error) {
	e := evidence{now: map[string]int{}}
	for _, g := range o.Groups {
		if g.Synced {
			e.now[g.ID] = g.Users
		}
	}
	if swept {
		seen, _, err := s.Ledger.Seen(ctx, s.Org, in.Run)
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
	losing, err := s.losing(ctx, in.Run, before, e.now)
	if err != nil {
		return e, err
	}
	e.suspects, e.recreated = plan.Suspects(s.Policy, b, before, e.now, e.seen, losing)
	for _, one := range e.recreated {
		e.unjudged = append(e.unjudged, one.Name)
	}
	for _, one := range e.suspects {
		if known, met := before[one.GroupID]; met && !known.Judged {
			e.unjudged = append(e.unjudged, one.Name)
		}
		met, swept := plan.MembersSeen(b, e.seen, one.GroupID)
		n, counted := e.now[one.GroupID]
		if counted && swept && n >= 0 && n != met && !access.IsSourceGroup(one.GroupID) {
			e.doubtful = true
		}
	}
	return e, nil
}

func (s *task) sourceCounts(ctx context.Context) (map[string]plan.Count, error) {
	known, err := s.Ledger.SourceCounts(ctx, s.Org)
	if err != nil {
		return nil, err
	}
	before := make(map[string]plan.Count, len(known))
	for id, c := range known {
		before[id] = plan.Count{Name: c.Name, Users: c.Users, Judged: !c.Suspect.IsZero(), Unexplained: c.Unexplained}
	}
	return before, nil
}

// losing counts, by the names of source groups that are gone, the people who would lose by the run what these gave
// them.
func (s *task) losing(ctx context.Context, run string, before map[string]plan.Count,
	now map[string]int) (map[string]int, error) {
	people := map[string]map[string]bool{}
	for id, was := range before {
		if _, there := now[id]; !there {
			people[was.Name] = map[string]bool{}
		}
	}
	if len(people) == 0 {
		return nil, nil
	}
	filter := ledger.Filter{Actions: []access.Action{access.Remove}, Limit: session.LinesAtOnce}
	for {
		lines, err := s.Ledger.Lines(ctx, s.Org, run, filter)
		if err != nil {
			return nil, err
		}
		for _, c := range lines {
			for name, lose := range people {
				if slices.ContainsFunc(c.Reasons,
					func(r access.Reason) bool { return r.Source != "" && access.SameName(r.Source, name) }) {
					lose[c.Person] = true
				}
			}
		}
		if len(lines) < session.LinesAtOnce {
			break
		}
		filter.After = session.KeyOf(lines[len(lines)-1])
		activity.RecordHeartbeat(ctx, run)
	}
	losing := make(map[string]int, len(people))
	for name, lose := range people {
		losing[name] = len(lose)
	}
	return losing, nil
}

func (s *task) recheck(ctx context.Context, b *policy.Bound, in session.RunInput, e *evidence) error {
	stats, err := s.Ledger.LineStats(ctx, s.Org, in.Run)
	if err != nil {
		return err
	}
	matter := map[string]bool{}
	for _, l := range stats {
		if l.Action != access.Remove {
			continue
		}
		if t, ok := b.Target(l.Target); ok {
			for _, source := range b.Targets[t].DecidingGroups() {
				n, counted := e.now[source]
				if counted && n >= 0 && n != e.seen[source] && !access.IsSourceGroup(source) {
					matter[source] = true
				}
			}
		}
	}
	groups := session.SortedKeys(matter)
	if len(groups) > mostRechecks {
		return nil
	}
	for _, id := range groups {
		n, err := s.recheckGroup(ctx, id)
		if err != nil {
			return err
		}
		e.seen[id] = n
		if err := s.Ledger.ReplaceSeen(ctx, s.Org, in.Run, id, n); err != nil {
			return err
		}
		activity.RecordHeartbeat(ctx, id)
	}
	for _, some := range session.Chunks(groups, session.MostGroupIDs) {
		read, err := s.ReadGroups(ctx,
			organization.GroupQuery{GroupIDs: some, Limit: session.PageSize, Expand: []string{"counts.users"}})
		if err != nil {
			return err
		}
		for _, g := range read {
			e.now[g.ID] = g.Users
		}
	}
	return nil
}

// recheckGroup counts one group's members by the group itself. Only members whose own list contains the group count: if
// lists lack it, the sweep decided on unreliable lists. Nobody is decided again on what is read here; whoever moved
// during the sweep is read again before anything is removed.
func (s *task) recheckGroup(ctx context.Context, id string) (int, error) {
	members := 0
	q := organization.UserQuery{GroupIDs: []string{id}, Limit: session.PageSize, Expand: session.ExpandPeople}
	err := s.EachPerson(ctx, "read the members of group "+id+" of organization "+s.Org, q,
		func(page []organization.User) (bool, error) {
			people, err := s.People(ctx, page)
			for _, p := range people {
				if p.InGroup(id) {
					members++
				}
			}
			return true, err
		})
	return members, err
}

// findings describes the suspects.
func (e evidence) findings() []access.Finding {
	var out []access.Finding
	for _, s := range e.suspects {
		out = append(out, access.Finding{Rule: "source-suspect", Subject: s.Name,
			Detail: "source group " + s.Name + ": " + s.Why + "; removals based on it wait"})
	}
	for _, r := range e.recreated {
		out = append(out, access.Finding{Rule: "source-recreated", Subject: r.Name, Detail: fmt.Sprintf(
			"source group %s was deleted and created again with another id; it has %d members, and had %d: it is treated as the same group", r.Name, r.Users, r.Had)})
	}
	return out
}
