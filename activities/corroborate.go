package activities

import (
	"context"
	"errors"
	"slices"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/plan"
	"github.com/castellan-io/castellan/policy"
)

// mostCorroborated is how many people may lose something in a partial run. When there are more, everybody is looked at
// instead: a sweep also proves its reads by the groups' counts.
const mostCorroborated = 50

// Words of lines that a partial run does not write yet.
const (
	mustSettle = "must stay true for a while: its person is looked at again"
	tooMany    = "too many people for a partial run: everybody is looked at instead"
)

// temper takes out of a partial plan the removals that may not be written yet. At the first look none may: their people
// settle and are looked at again. At the second look only those that the first look asked for too, and that the group
// search does not contradict.
func (s *session) temper(ctx context.Context, b *policy.Bound, in ExamineInput, result *JudgeResult) error {
	lines, err := s.ledger.Lines(ctx, s.org, in.Run, ledger.Filter{
		States: []access.ChangeState{access.Planned}, Actions: []access.Action{access.Remove}, Limit: 10 * linesAtOnce,
	})
	if err != nil || len(lines) == 0 {
		return err
	}
	second, first, err := s.twice(ctx, append([]string{in.First}, in.More...), lines)
	if err != nil {
		return err
	}
	if len(peopleOf(second)) > mostCorroborated {
		result.TooMany = true
		result.without(len(second))
		if err := s.supersede(ctx, in.Run, second, tooMany); err != nil {
			return err
		}
		second = nil
	}
	result.Settling = peopleOf(first)
	result.without(len(first))
	if err := s.supersede(ctx, in.Run, first, mustSettle); err != nil {
		return err
	}
	against, err := s.contradicted(ctx, b, second)
	if err != nil {
		return err
	}
	result.without(len(against))
	return s.supersede(ctx, in.Run, against, contradiction)
}

// without takes removals out of the plan's counts.
func (r *JudgeResult) without(removals int) {
	r.Open -= removals
	r.Counts.Removals -= removals
}

// twice tells the lines that an earlier run asked for too from those seen for the first time.
func (s *session) twice(ctx context.Context, earlier []string, lines []access.Change) (second, first []access.Change, err error) {
	for _, c := range lines {
		asked, err := s.askedBefore(ctx, earlier, c)
		switch {
		case err != nil:
			return nil, nil, err
		case asked:
			second = append(second, c)
		default:
			first = append(first, c)
		}
	}
	return second, first, nil
}

// askedBefore says that one of the earlier runs asked for the removal and let it settle.
func (s *session) askedBefore(ctx context.Context, earlier []string, c access.Change) (bool, error) {
	for _, run := range earlier {
		was, err := s.ledger.Line(ctx, s.org, run, c.Person, c.Target)
		if errors.Is(err, ledger.ErrNotFound) {
			continue
		}
		if err != nil || was.Action == access.Remove && was.Answer == mustSettle {
			return err == nil, err
		}
	}
	return false, nil
}

const contradiction = "another search still shows the person in a source group, or not as a rule has it"

// mostAsked is how many groups a person is looked for in before they lose something by a rule.
const mostAsked = 100

// contradicted asks the other sides before anybody is removed. A person's own list of groups spoke for it; now the group search
// is asked which groups they are in, and then the user search whether they are among the members of the very groups that gave
// it, or that rules ask for. It returns the lines that either contradicts.
//
// Calls: two for ten people, and two for each of them whom that does not clear or who loses something by a rule; one more where
// the search shows no group, or where there are more than ten groups to look in.
func (s *session) contradicted(ctx context.Context, b *policy.Bound, lines []access.Change) ([]access.Change, error) {
	var mapped, ruled []access.Change
	for _, c := range lines {
		if i, known := b.Target(c.Target); known && b.Targets[i].Ruled || access.HasKind(c.Reasons, access.ReasonReview) {
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

// againstRuled decides anew, on the groups that the group search shows, what rules have a say in, or a review.
func (s *session) againstRuled(ctx context.Context, b *policy.Bound, lines []access.Change) ([]access.Change, error) {
	var against []access.Change
	for _, some := range chunks(peopleOf(lines), mostEmails) {
		read, err := s.readPeople(ctx, some)
		if err != nil {
			return nil, err
		}
		states, err := s.ledger.States(ctx, s.org, some, s.now().Add(-recentWrites))
		if err != nil {
			return nil, err
		}
		if err := s.learnUse(ctx, b, read, states); err != nil {
			return nil, err
		}
		asked := map[ledger.Key]bool{}
		for _, p := range read {
			if p.GroupIDs, err = s.searchedGroups(ctx, p.ID); err != nil {
				return nil, err
			}
			if p.GroupIDs == nil || slices.ContainsFunc(p.GroupIDs, func(id string) bool { return !b.Shown(id) }) {
				continue // what the lines were planned on lacks a group, and cannot tell what it gives
			}
			if among, err := s.amongMembers(ctx, []string{p.ID}, unseen(b, p, lines)); err != nil {
				return nil, err
			} else if among {
				continue
			}
			for _, c := range plan.Decide(b, p, stateOf(states[p.ID]), "", s.now()).Changes {
				asked[keyOf(c)] = true
			}
		}
		for _, c := range lines {
			if slices.Contains(some, c.Person) && !asked[keyOf(c)] {
				against = append(against, c)
			}
		}
	}
	return against, nil
}

// unseen are the groups that speak for what the person loses, or that rules about it ask for, and in which they are not shown.
func unseen(b *policy.Bound, p access.Person, lines []access.Change) []string {
	var gave, asked []string
	for _, c := range lines {
		if i, known := b.Target(c.Target); known && c.Person == p.ID {
			gave, asked = append(gave, endedSources(b, c)...), append(asked, b.Targets[i].Evidence...)
		}
	}
	groups := slices.DeleteFunc(each(append(gave, asked...)), func(id string) bool { return slices.Contains(p.GroupIDs, id) })
	return groups[:min(len(groups), mostAsked)]
}

// endedSources are the ids of the source groups that gave what a line takes.
func endedSources(b *policy.Bound, c access.Change) []string {
	i, known := b.Target(c.Target)
	if !known {
		return nil
	}
	var ids []string
	for _, id := range b.Targets[i].Sources {
		if slices.ContainsFunc(c.Reasons, func(r access.Reason) bool { return r.Source != "" && r.Source == b.SourceName(id) }) {
			ids = append(ids, id)
		}
	}
	return ids
}

// amongMembers says that one of these people, ten at most, is a member of one of the groups.
func (s *session) amongMembers(ctx context.Context, people, groups []string) (bool, error) {
	for _, some := range chunks(groups, mostGroupIDs) {
		found, err := s.search(ctx, organization.UserQuery{AccountIDs: people, GroupIDs: some, Limit: pageSize, Expand: expandPeople})
		if err != nil || len(found) > 0 {
			return len(found) > 0, err
		}
	}
	return false, nil
}

// searchedGroups are a person's groups as the group search shows them; nil when it shows no group of anybody, which says
// nothing.
func (s *session) searchedGroups(ctx context.Context, person string) ([]string, error) {
	groups, err := s.readGroups(ctx, organization.GroupQuery{AccountIDs: []string{person}, Limit: pageSize})
	if err != nil {
		return nil, err
	}
	if len(groups) == 0 {
		if any, err := s.showsGroups(ctx); err != nil || !any {
			return nil, err
		}
	}
	ids := make([]string, len(groups))
	for i, g := range groups {
		ids[i] = g.ID
	}
	return ids, nil
}

// showsGroups says that the group search shows some group.
func (s *session) showsGroups(ctx context.Context) (bool, error) {
	any, err := s.api.SearchGroups(ctx, s.directory, organization.GroupQuery{Limit: 1})
	if err != nil {
		return false, explain("read a group of organization "+s.org, err)
	}
	return len(any.Items) > 0, nil
}

// againstMapped are the lines of people whom the group search shows in a source group of what they would lose.
func (s *session) againstMapped(ctx context.Context, b *policy.Bound, lines []access.Change) ([]access.Change, error) {
	lose := map[string][]access.Change{}
	for _, c := range lines {
		lose[c.Person] = append(lose[c.Person], c)
	}
	var against []access.Change
	for _, some := range chunks(peopleOf(lines), mostAccountIDs) {
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

// inNoSource asks for all groups of these people together, and for them among the members of those that gave what they would
// lose, and says that they are in none of its sources. A search that shows no group at all, whomever it is asked about, says nothing; nor does one that shows a source group which the
// outline lacks.
func (s *session) inNoSource(ctx context.Context, b *policy.Bound, people []string, lose map[string][]access.Change) (bool, error) {
	groups, err := s.readGroups(ctx, organization.GroupQuery{AccountIDs: people, Limit: pageSize})
	if err != nil {
		return false, err
	}
	if len(groups) == 0 {
		if any, err := s.showsGroups(ctx); err != nil || !any {
			return false, err
		}
	}
	for _, g := range groups {
		if g.Synced && b.SourceName(g.ID) == "" {
			return false, nil // what the lines were planned on lacks this group, and cannot tell what it gives
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
			for _, g := range groups {
				if slices.Contains(b.Targets[i].Sources, g.ID) {
					return false, nil
				}
			}
		}
	}
	among, err := s.amongMembers(ctx, people, each(gave))
	return !among, err
}

func (s *session) supersede(ctx context.Context, run string, lines []access.Change, why string) error {
	if len(lines) == 0 {
		return nil
	}
	ended := slices.Clone(lines)
	for i := range ended {
		ended[i].State, ended[i].Answer, ended[i].At = access.Superseded, why, s.now()
	}
	return s.ledger.RecordLines(ctx, s.org, run, ended)
}

// peopleOf are the people of lines that are ordered by person, each once.
func peopleOf(lines []access.Change) []string {
	var ids []string
	for _, c := range lines {
		if n := len(ids); n == 0 || ids[n-1] != c.Person {
			ids = append(ids, c.Person)
		}
	}
	return ids
}

// each is every one of these once, in their order.
func each(all []string) []string {
	seen := map[string]bool{}
	return slices.DeleteFunc(all, func(s string) bool {
		was := seen[s]
		seen[s] = true
		return was
	})
}
