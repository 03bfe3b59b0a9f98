package reconcile

import (
	"context"
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/policy"
)

// ExamineInput asks for a few people, or the people of a few groups.
type ExamineInput struct {
	session.RunInput
	Trigger string         `json:"trigger"`
	By      string         `json:"by,omitempty"`
	Scope   messages.Scope `json:"scope"`
	Fresh   bool           `json:"fresh,omitempty"` // read the outline again: groups were created, deleted, or changed their role
	DryRun  bool           `json:"dryRun,omitempty"`
	First   string         `json:"first,omitempty"` // at a second look: the run of the first look
	More    []string       `json:"more,omitempty"`  // further runs of the first look, if several second looks are one
	// After are runs whose people are decided again, because of these runs' changes; Since is when the first of them
	// began.
	After []string  `json:"after,omitempty"`
	Since time.Time `json:"since,omitzero"`
	Full  string    `json:"full,omitempty"` // the last full verification, whose findings are repeated where only it can tell
}

// decidedWhenWritten are the scopes of runs whose lines are decided again when they are written, whatever others say.
var decidedWhenWritten = []string{messages.ScopeGrants, messages.ScopeProvision, messages.ScopeRestore}

// Examine decides the people of a partial scope and judges the plan, all in one activity, so that an event without
// consequences costs no workflow of its own. Older runs' unwritten lines of these people are superseded. A repeat
// replaces.
//
// Calls: people/100 by e-mail address or people/10 by account ID; for groups (members of the sources and of their
// targets)/100; one per ten groups for their counts.
func (a *Activities) Examine(ctx context.Context, in ExamineInput) (JudgeResult, error) {
	defer session.AutoHeartbeat(ctx)()
	s, err := a.task(a.env.Open(ctx, in.Org, in.Policy))
	if err != nil {
		return JudgeResult{}, err
	}
	bound, outline, err := s.outlineFor(ctx, in)
	if err != nil {
		return JudgeResult{}, err
	}
	if len(in.After) > 0 {
		changed, err := s.changedBy(ctx, bound, in.After)
		if err != nil {
			return JudgeResult{}, err
		}
		in.Scope.People = session.EachOnce(append(in.Scope.People, changed...))
	}
	ids, err := s.examinePeople(ctx, bound, in)
	if err != nil {
		return JudgeResult{}, err
	}
	more, err := s.examineGroups(ctx, bound, in)
	if err != nil {
		return JudgeResult{}, err
	}
	ids = append(ids, more...)
	if !in.Preview {
		if err := s.Ledger.Supersede(ctx, in.Org, in.Run, ids, s.Now(), decidedWhenWritten...); err != nil {
			return JudgeResult{}, err
		}
	}
	result, err := s.judge(ctx, bound, outline, JudgeInput{
		RunInput: in.RunInput, Trigger: in.Trigger, By: in.By, Scope: in.Scope.Kind, DryRun: in.DryRun,
		Started: s.Now(), Since: in.Since,
	}, &partial{people: ids, full: in.Full,
		deferRemovals: func(r *JudgeResult) error { return s.deferRemovals(ctx, bound, in, r) }})
	if err != nil {
		return JudgeResult{}, err
	}
	if in.First == "" && !in.Preview { // one of the two searches may just lag
		result.Settling = session.EachOnce(append(result.Settling, s.doubts...))
	}
	if !in.Preview {
		if result.ToCreate, err = s.needsFull(ctx, bound, in.Fresh, outline.Coming); err != nil {
			return JudgeResult{}, err
		}
	}
	if err := s.examineEnded(ctx, bound, in, ids, &result); err != nil {
		return JudgeResult{}, err
	}
	if !in.Preview {
		result.Regiven = s.outOfBand
	}
	result.Counts.People = len(ids)
	result.Counts.Calls = s.CallsMade()
	return result, nil
}

// needsFull reports whether a full verification has something to do that a partial run cannot: to create groups, also
// those whose group appeared in a source, or to compare groups with those of a source.
func (s *task) needsFull(ctx context.Context, b *policy.Bound, fresh, coming bool) (bool, error) {
	appeared := slices.ContainsFunc(b.Create, func(name string) bool {
		_, _, follows := b.Following(name)
		return follows
	})
	if len(b.Create) > 0 && (fresh || appeared && !coming) {
		return true, nil
	}
	return s.uncompared(ctx, b)
}

// outlineFor returns the run's outline: the last one with the touched groups' counts read again, or a new one.
func (s *task) outlineFor(ctx context.Context, in ExamineInput) (*policy.Bound, session.RunOutline, error) {
	outline, known, err := s.LatestOutline(ctx)
	if err != nil {
		return nil, outline, err
	}
	fresh := !known || in.Fresh
	switch {
	case fresh:
		if outline.Last, err = s.LastGood(ctx); err == nil {
			outline.Outline, err = s.ReadOutline(ctx, outline.Last)
		}
	case len(in.Scope.Groups)+len(in.Scope.Recount) > 0:
		outline.Groups, err = s.recount(ctx, outline.Groups, slices.Concat(in.Scope.Groups, in.Scope.Recount))
	}
	if err == nil && !fresh {
		outline.Groups, err = s.WithSourceGroups(ctx, outline.Groups)
	}
	if err == nil {
		enforced, _ := policy.BindSince(s.Policy, outline.Outline, outline.Last)
		outline.Acting, err = s.ConsentedRules(ctx, enforced)
	}
	if err == nil {
		var adopted bool
		adopted, err = s.Adopted(ctx)
		outline.Coming = !adopted || in.Preview || s.Policy.DryRun
	}
	if err == nil && fresh && !in.Preview {
		err = s.KeepOutline(ctx, in.RunInput, outline) // the basis of the next partial runs
	}
	if err != nil {
		return nil, outline, err
	}
	return s.Bind(in.Run, outline), outline, nil
}

// recount reads the named groups' counts again. A group that is no longer shown is dropped.
func (s *task) recount(ctx context.Context, groups []access.Group, ids []string) ([]access.Group, error) {
	asked := map[string]bool{}
	fresh := map[string]access.Group{}
	for _, some := range session.Chunks(ids, session.MostGroupIDs) {
		read, err := s.ReadGroups(ctx,
			organization.GroupQuery{GroupIDs: some, Limit: session.PageSize, Expand: []string{"counts.users"}})
		if err != nil {
			return nil, err
		}
		for _, id := range some {
			asked[id] = true
		}
		for _, g := range read {
			fresh[g.ID] = g
		}
	}
	var out []access.Group
	for _, g := range groups {
		if now, still := fresh[g.ID]; still {
			g = now
			delete(fresh, g.ID)
		} else if asked[g.ID] {
			continue
		}
		out = append(out, g)
	}
	for _, id := range session.SortedKeys(fresh) {
		out = append(out, fresh[id])
	}
	return out, nil
}

func (s *task) examinePeople(ctx context.Context, b *policy.Bound, in ExamineInput) ([]string, error) {
	if len(in.Scope.People) == 0 {
		return nil, nil
	}
	var found []access.Person
	var err error
	if in.Scope.Kind == messages.ScopePeople && len(in.Scope.People) == 1 && len(in.Scope.Groups) == 0 && in.By != "" {
		found, err = s.ReadNamed(ctx, in.Scope.People[0]) // as somebody typed it
	} else {
		found, err = s.ReadPeople(ctx, in.Scope.People)
	}
	if err != nil {
		return nil, err
	}
	var ids []string
	for i, some := range session.Chunks(found, session.PageSize) {
		page := ledger.Page{Key: fmt.Sprintf("people-%04d", i), People: some, Shown: session.IDsOf(some)}
		if err := s.decide(ctx, b, in.RunInput, page, false); err != nil {
			return nil, err
		}
		for _, p := range some {
			ids = append(ids, p.ID)
		}
		activity.RecordHeartbeat(ctx, len(ids))
	}
	return ids, nil
}

// examineGroups decides everybody who is in one of the groups or holds a target that one of them gives: whoever was
// removed from a source group is no longer among its members, but still holds the target.
func (s *task) examineGroups(ctx context.Context, b *policy.Bound, in ExamineInput) ([]string, error) {
	groups := map[string]bool{}
	for _, id := range in.Scope.Groups {
		groups[id] = true
		for _, t := range b.Targets {
			if t.GroupID != "" && slices.Contains(t.DecidingGroups(), id) {
				groups[t.GroupID] = true
			}
		}
	}
	seen := map[string]bool{}
	var ids []string
	n := 0
	for _, some := range session.Chunks(session.SortedKeys(groups), session.MostGroupIDs) {
		q := organization.UserQuery{GroupIDs: some, Limit: session.PageSize, Expand: s.Expand()}
		err := s.EachPerson(ctx, "read the members of groups of organization "+in.Org, q,
			func(users []organization.User) (bool, error) {
				people, err := s.People(ctx, users)
				if err != nil {
					return false, err
				}
				var fresh []access.Person
				for _, p := range people {
					if !seen[p.ID] {
						seen[p.ID] = true
						ids = append(ids, p.ID)
						fresh = append(fresh, p)
					}
				}
				page := ledger.Page{Key: fmt.Sprintf("groups-%04d", n), People: fresh, Shown: session.IDsOf(fresh)}
				n++
				return true, s.decide(ctx, b, in.RunInput, page, false)
			})
		if err != nil {
			return nil, err
		}
	}
	return ids, nil
}
