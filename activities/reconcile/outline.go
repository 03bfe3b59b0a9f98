package reconcile

import (
	"context"
	"slices"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/groups"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/policy"
)

// OutlineInput begins a full run.
type OutlineInput struct {
	session.RunInput
	Trigger string    `json:"trigger"`
	By      string    `json:"by,omitempty"`
	DryRun  bool      `json:"dryRun,omitempty"`
	Started time.Time `json:"started"`
}

func (in OutlineInput) record() ledger.Run {
	return ledger.Run{
		Org: in.Org, ID: in.Run, Trigger: in.Trigger, Scope: messages.ScopeFull, Policy: in.Policy, By: in.By,
		DryRun: in.DryRun, Preview: in.Preview, State: messages.RunReading, Started: in.Started,
	}
}

// OutlineResult is what an outline showed.
type OutlineResult struct {
	Groups  int `json:"groups"`
	Targets int `json:"targets"`
	Calls   int `json:"calls"`
}

// Outline reads the organization's groups, sites and default roles, and binds the policy to them. It creates the groups
// that the policy wants created, unless it is a preview. A repeat reads again and replaces.
//
// Calls: one for a hundred people whom the policy names, groups/100, one or two for sites, one for domains if a rule
// asks who is external, one per group that gives a role named by the policy, one per target group that opens an app,
// one per group that follows one of a source and is not found, and those of [groups.Keep].
func (a *Activities) Outline(ctx context.Context, in OutlineInput) (OutlineResult, error) {
	s, err := a.task(a.env.Open(ctx, in.Org, in.Policy))
	if err != nil {
		return OutlineResult{}, err
	}
	if !in.Preview {
		if _, _, err := s.FollowNames(ctx); err != nil {
			return OutlineResult{}, err
		}
	}
	last, err := s.LastGood(ctx)
	if err != nil {
		return OutlineResult{}, err
	}
	if err := s.Ledger.BeginRun(ctx, in.record()); err != nil { // its outline is kept while it runs
		return OutlineResult{}, err
	}
	outline, err := s.ReadOutline(ctx, last)
	if err != nil {
		return OutlineResult{}, err
	}
	bound, _ := policy.BindSince(s.Policy, outline, last)
	adopted, err := s.Adopted(ctx)
	if err != nil {
		return OutlineResult{}, err
	}
	coming := !adopted || in.Preview || s.Policy.DryRun
	if coming {
		bound, _ = policy.BindWithPlannedGroups(s.Policy, outline, last)
	} else if len(bound.Create) > 0 {
		if outline, err = s.CreateGroups(ctx, in.Run, outline, bound.Create); err != nil {
			return OutlineResult{}, err
		}
		if err := s.linkCreated(ctx, bound, outline); err != nil {
			return OutlineResult{}, err
		}
		if last, err = s.LastGood(ctx); err != nil {
			return OutlineResult{}, err
		}
		bound, _ = policy.BindSince(s.Policy, outline, last)
	}
	if err := s.KeepOutline(ctx, in.RunInput,
		session.RunOutline{Outline: outline, Last: last, Acting: bound.EnforcedRuleKeys(),
			Coming: coming}); err != nil {
		return OutlineResult{}, err
	}
	s.KeepBound(in.Run, bound)
	if !in.Preview {
		if err := groups.Keep(ctx, s.Session.Session, in.Run, outline); err != nil {
			return OutlineResult{}, err
		}
		s.renewSchedules(ctx, in.Policy)
	}
	return OutlineResult{
		Groups: len(outline.Groups), Targets: len(bound.Targets), Calls: s.CallsMade(),
	}, nil
}

// linkCreated has groups that were just created follow those of sources, unless somebody is in one already: then
// somebody else made it meanwhile, and the two are compared first.
func (s *task) linkCreated(ctx context.Context, b *policy.Bound, o access.Outline) error {
	var links []ledger.GroupLink
	for _, created := range b.Create {
		id, name, follows := b.Following(created)
		i := slices.IndexFunc(o.Groups, func(g access.Group) bool {
			return g.Source == "" && access.SameName(g.Name, created) && g.Users == 0
		})
		if follows && i >= 0 {
			source, key := access.SourceGroupRef(id)
			links = append(links, ledger.GroupLink{Source: source, Key: key, Name: name, GroupID: o.Groups[i].ID})
		}
	}
	return s.Ledger.LinkGroups(ctx, s.Org, links, nil, s.Now())
}
