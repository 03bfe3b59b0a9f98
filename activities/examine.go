package activities

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/policy"
)

// ExamineInput asks for a few people, or the people of a few groups.
type ExamineInput struct {
	RunInput
	Trigger string         `json:"trigger"`
	By      string         `json:"by,omitempty"`
	Scope   messages.Scope `json:"scope"`
	Fresh   bool           `json:"fresh,omitempty"` // read the outline again: groups came, went or changed their role
	DryRun  bool           `json:"dryRun,omitempty"`
	First   string         `json:"first,omitempty"` // at a second look: the run that looked first
	More    []string       `json:"more,omitempty"`  // and others that did, where several second looks are one
}

// Examine decides the people of a partial scope and judges the plan, all in one step, so that a quiet event costs no
// workflow of its own. Lines of these people that older runs have not written yet are superseded. A repeat replaces.
//
// Calls: people/100 by e-mail address or people/10 by account id; for groups (members of the sources and of their
// targets)/100; one per ten groups for their counts.
func (a *Activities) Examine(ctx context.Context, in ExamineInput) (JudgeResult, error) {
	defer beating(ctx)()
	s, err := a.open(ctx, in.Org, in.Policy)
	if err != nil {
		return JudgeResult{}, err
	}
	bound, outline, err := s.outlineFor(ctx, in)
	if err != nil {
		return JudgeResult{}, err
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
		if err := s.ledger.Supersede(ctx, in.Org, in.Run, ids, messages.ScopeGrants, s.now()); err != nil {
			return JudgeResult{}, err
		}
	}
	result, err := s.judge(ctx, bound, outline, JudgeInput{
		RunInput: in.RunInput, Trigger: in.Trigger, By: in.By, Scope: in.Scope.Kind, DryRun: in.DryRun, Started: s.now(),
	}, &partial{people: ids, temper: func(r *JudgeResult) error { return s.temper(ctx, bound, in, r) }})
	if err != nil {
		return JudgeResult{}, err
	}
	result.ToCreate = len(bound.Create) > 0 && in.Fresh && !in.Preview
	if !in.Preview {
		result.Regiven = s.again
	}
	result.Counts.People = len(ids)
	result.Counts.Calls = s.made()
	return result, nil
}

// outlineFor gives the run an outline: the last one with the touched groups' counts read again, or a fresh one.
func (s *session) outlineFor(ctx context.Context, in ExamineInput) (*policy.Bound, runOutline, error) {
	outline, known, err := s.latestOutline(ctx)
	if err != nil {
		return nil, outline, err
	}
	fresh := !known || in.Fresh
	switch {
	case fresh:
		if outline.Last, err = s.lastGood(ctx); err == nil {
			outline.Outline, err = s.readOutline(ctx, outline.Last)
		}
	case len(in.Scope.Groups)+len(in.Scope.Recount) > 0:
		outline.Groups, err = s.recount(ctx, outline.Groups, slices.Concat(in.Scope.Groups, in.Scope.Recount))
	}
	if err == nil {
		enforced, _ := policy.BindSince(s.policy, outline.Outline, outline.Last)
		outline.Acting, err = s.consented(ctx, enforced)
	}
	if err == nil && fresh && !in.Preview {
		err = s.keepOutline(ctx, in.RunInput, outline) // what the next partial runs stand on
	}
	if err != nil {
		return nil, outline, err
	}
	return s.bind(in.Run, outline), outline, nil
}

// recount reads the named groups' counts again. A group that is not shown any more is taken out.
func (s *session) recount(ctx context.Context, groups []access.Group, ids []string) ([]access.Group, error) {
	asked := map[string]bool{}
	fresh := map[string]access.Group{}
	for _, some := range chunks(ids, mostGroupIDs) {
		read, err := s.readGroups(ctx, organization.GroupQuery{GroupIDs: some, Limit: pageSize, Expand: []string{"counts.users"}})
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
	for _, id := range sorted(fresh) {
		out = append(out, fresh[id])
	}
	return out, nil
}

func (s *session) examinePeople(ctx context.Context, b *policy.Bound, in ExamineInput) ([]string, error) {
	if len(in.Scope.People) == 0 {
		return nil, nil
	}
	found, err := s.readPeople(ctx, in.Scope.People)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 && in.Scope.Kind == messages.ScopePeople && len(in.Scope.Groups) == 0 && in.By != "" {
		return nil, stop(ErrUnknown, fmt.Errorf("organization %s shows nobody named %s; check the e-mail address or account id", in.Org, strings.Join(in.Scope.People, ", ")))
	}
	var ids []string
	for i, some := range chunks(found, pageSize) {
		if err := s.decide(ctx, b, in.RunInput, fmt.Sprintf("people-%04d", i), some, false); err != nil {
			return nil, err
		}
		for _, p := range some {
			ids = append(ids, p.ID)
		}
		activity.RecordHeartbeat(ctx, len(ids))
	}
	return ids, nil
}

// examineGroups decides everybody who is in one of the groups or holds a target that one of them gives: who was taken
// out of a source group is not among its members any more, but still holds the target.
func (s *session) examineGroups(ctx context.Context, b *policy.Bound, in ExamineInput) ([]string, error) {
	groups := map[string]bool{}
	for _, id := range in.Scope.Groups {
		groups[id] = true
		for _, t := range b.Targets {
			if t.GroupID != "" && slices.Contains(t.Grounds(), id) {
				groups[t.GroupID] = true
			}
		}
	}
	seen := map[string]bool{}
	var ids []string
	n := 0
	for _, some := range chunks(sorted(groups), mostGroupIDs) {
		q := organization.UserQuery{GroupIDs: some, Limit: pageSize, Expand: s.expand()}
		for {
			page, err := s.api.SearchUsers(ctx, s.directory, q)
			if err != nil {
				return nil, explain("read the members of groups of organization "+in.Org, err)
			}
			var fresh []access.Person
			for _, p := range people(page.Items) {
				if !seen[p.ID] {
					seen[p.ID] = true
					ids = append(ids, p.ID)
					fresh = append(fresh, p)
				}
			}
			if err := s.decide(ctx, b, in.RunInput, fmt.Sprintf("groups-%04d", n), fresh, false); err != nil {
				return nil, err
			}
			activity.RecordHeartbeat(ctx, len(ids))
			n++
			if page.Next == "" {
				break
			}
			q.Cursor = page.Next
		}
	}
	return ids, nil
}
