package apply

import (
	"context"
	"slices"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/plan"
	"github.com/castellan-io/castellan/policy"
)

// Contradiction is why a removal is not made if another search contradicts it.
const Contradiction = "another search disagrees: it still shows the person in a source group, or not as a rule requires"

// mostAsked is how many groups a person is searched for in before they lose something by a rule.
const mostAsked = 100

// CrossCheckRemovals checks removals against other searches. A removal is planned from a person's own list of groups;
// now the group search is asked for the person's groups, and then the user search for the members of the very groups
// that gave the access, or that rules use. It returns the lines that either contradicts.
//
// Calls: two for ten people, and two for each person whom that does not clear or who loses something by a rule; one
// more if the search shows no groups, or if there are more than ten groups to search.
func (s *Session) CrossCheckRemovals(ctx context.Context, b *policy.Bound, lines []access.Change) ([]access.Change,
	error) {
	var mapped, ruled []access.Change
	for _, c := range lines {
		if i, known := b.Target(c.Target); known && b.Targets[i].Ruled ||
			access.HasKind(c.Reasons, access.ReasonReview) {
			ruled = append(ruled, c)
		} else {
			mapped = append(mapped, c)
		}
	}
	against, err := s.againstMapped(ctx, b, mapped)
	if err != nil {
		return nil, err
	}
	more, err := s.againstRuled(ctx, b, ruled)
	return append(against, more...), err
}

// againstRuled decides lines again that rules or a review affect, on the groups that the group search shows.
func (s *Session) againstRuled(ctx context.Context, b *policy.Bound, lines []access.Change) ([]access.Change, error) {
	var against []access.Change
	for _, some := range session.Chunks(PeopleOf(lines), session.MostEmails) {
		read, err := s.ReadPeople(ctx, some)
		if err != nil {
			return nil, err
		}
		states, err := s.Ledger.States(ctx, s.Org, some, s.Now().Add(-session.RecentWrites))
		if err != nil {
			return nil, err
		}
		if err := s.LearnUse(ctx, b, read, states); err != nil {
			return nil, err
		}
		asked := map[ledger.Key]bool{}
		for _, p := range read {
			if p.GroupIDs, err = s.SearchedGroupsOf(ctx, p); err != nil {
				return nil, err
			}
			if p.GroupIDs == nil || slices.ContainsFunc(p.GroupIDs, func(id string) bool { return !b.Shown(id) }) {
				continue // the lines' outline lacks a group, so what it gives is unknown
			}
			if among, err := s.AmongMembers(ctx, []string{p.ID}, unseen(b, p, lines)); err != nil {
				return nil, err
			} else if among {
				continue
			}
			uses := false // an app that the person's own list lacks
			if slices.ContainsFunc(lines, func(c access.Change) bool { return c.Person == p.ID && asksApps(b, c) }) {
				if uses, err = s.AmongUsers(ctx, []string{p.ID}, b.HiddenApps(p)); err != nil {
					return nil, err
				}
			}
			for _, c := range plan.Decide(b, p, session.PlanState(states[p.ID]), "", s.Now()).Changes {
				asked[session.KeyOf(c)] = !uses || !asksApps(b, c)
			}
		}
		for _, c := range lines {
			if slices.Contains(some, c.Person) && !asked[session.KeyOf(c)] {
				against = append(against, c)
			}
		}
	}
	return against, nil
}

// asksApps reports whether rules that use apps affect the target of a line.
func asksApps(b *policy.Bound, c access.Change) bool {
	i, known := b.Target(c.Target)
	return known && b.NeedsApps(i)
}

// unseen returns the groups that give what the person loses, or that rules about it use, and in which they are not
// shown.
func unseen(b *policy.Bound, p access.Person, lines []access.Change) []string {
	var gave, asked []string
	for _, c := range lines {
		if i, known := b.Target(c.Target); known && c.Person == p.ID {
			gave, asked = append(gave, endedSources(b, c)...), append(asked, b.Targets[i].Evidence...)
		}
	}
	groups := slices.DeleteFunc(session.EachOnce(append(gave, asked...)),
		func(id string) bool { return slices.Contains(p.GroupIDs, id) })
	return groups[:min(len(groups), mostAsked)]
}

// endedSources returns the IDs of the source groups that gave what a line removes.
func endedSources(b *policy.Bound, c access.Change) []string {
	i, known := b.Target(c.Target)
	if !known {
		return nil
	}
	var ids []string
	for _, id := range b.Targets[i].Sources {
		if slices.ContainsFunc(c.Reasons,
			func(r access.Reason) bool { return r.Source != "" && r.Source == b.SourceName(id) }) {
			ids = append(ids, id)
		}
	}
	return ids
}

// againstMapped returns the lines of people whom the group search shows in a source group of what they would lose.
func (s *Session) againstMapped(ctx context.Context, b *policy.Bound, lines []access.Change) ([]access.Change, error) {
	lose := map[string][]access.Change{}
	for _, c := range lines {
		lose[c.Person] = append(lose[c.Person], c)
	}
	var against []access.Change
	for _, some := range session.Chunks(PeopleOf(lines), session.MostAccountIDs) {
		clear, err := s.inNoSource(ctx, b, some, lose)
		if err != nil {
			return nil, err
		}
		if clear {
			continue
		}
		for _, p := range some {
			if clear, err = s.inNoSource(ctx, b, []string{p}, lose); err != nil {
				return nil, err
			}
			if !clear {
				against = append(against, lose[p]...)
			}
		}
	}
	return against, nil
}

// inNoSource searches all groups of these people together, and for them among the members of the groups that gave what
// they would lose, and reports whether they are in none of its sources. A search that shows no groups at all proves
// nothing; nor does one that shows a source group which the outline lacks.
func (s *Session) inNoSource(ctx context.Context, b *policy.Bound, people []string,
	lose map[string][]access.Change) (bool, error) {
	groups, err := s.ReadGroups(ctx, organization.GroupQuery{AccountIDs: people, Limit: session.PageSize})
	if err != nil {
		return false, err
	}
	if len(groups) == 0 {
		if any, err := s.ShowsGroups(ctx); err != nil || !any {
			return false, err
		}
	}
	for _, g := range groups {
		if g.Synced && b.SourceName(g.ID) == "" {
			return false, nil // the lines' outline lacks this group, so what it gives is unknown
		}
	}
	var gave []string
	for _, p := range people {
		for _, c := range lose[p] {
			i, known := b.Target(c.Target)
			if !known {
				return false, nil
			}
			gave = append(gave, endedSources(b, c)...)
			gave = append(gave, sourceGroups(b.Targets[i].Sources)...)
			for _, g := range groups {
				if slices.Contains(b.Targets[i].Sources, g.ID) {
					return false, nil
				}
			}
		}
	}
	among, err := s.AmongMembers(ctx, people, session.EachOnce(gave))
	return !among, err
}

// sourceGroups returns the ids of groups that identity sources have: no search of Atlassian's shows these.
func sourceGroups(ids []string) []string {
	return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !access.IsSourceGroup(id) })
}

// PeopleOf returns the people of lines that are ordered by person, each once.
func PeopleOf(lines []access.Change) []string {
	var ids []string
	for _, c := range lines {
		if n := len(ids); n == 0 || ids[n-1] != c.Person {
			ids = append(ids, c.Person)
		}
	}
	return ids
}
