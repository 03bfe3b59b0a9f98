package activities

import (
	"context"
	"fmt"
	"slices"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/policy"
)

// mostCorroborated is how many people may lose something in a partial run. When there are more, everybody is looked at
// instead: a sweep proves its reads by the groups' counts, at a hundredth of the calls.
const mostCorroborated = 50

// corroborate asks the other side before a partial run removes anybody. Their own lists of groups said twice that they
// are in no source group; now the group search is asked which groups they are in. A line that it contradicts is
// superseded. It reports too many when a full verification has to take over.
//
// Calls: one for ten people, and one for each of them whom that does not clear.
func (s *session) corroborate(ctx context.Context, b *policy.Bound, run string) (superseded int, tooMany bool, err error) {
	lines, err := s.ledger.Lines(ctx, s.org, run, ledger.Filter{
		States: []access.ChangeState{access.Planned}, Actions: []access.Action{access.Remove}, Limit: linesAtOnce,
	})
	if err != nil || len(lines) == 0 {
		return 0, false, err
	}
	byPerson := map[string][]access.Change{}
	for _, c := range lines {
		byPerson[c.Person] = append(byPerson[c.Person], c)
	}
	people := sorted(byPerson)
	if len(people) > mostCorroborated || len(lines) == linesAtOnce {
		return len(lines), true, s.supersede(ctx, run, lines, "too many people for a partial run: everybody is looked at instead")
	}
	for _, some := range chunks(people, mostAccountIDs) {
		clear, err := s.inNoSource(ctx, b, some, byPerson)
		if err != nil {
			return superseded, false, err
		}
		if clear {
			continue
		}
		for _, p := range some {
			if clear, err = s.inNoSource(ctx, b, []string{p}, byPerson); err != nil {
				return superseded, false, err
			}
			if clear {
				continue
			}
			if err := s.supersede(ctx, run, byPerson[p], "the group search still shows the person in a source group"); err != nil {
				return superseded, false, err
			}
			superseded += len(byPerson[p])
		}
	}
	return superseded, false, nil
}

// inNoSource asks for all groups of these people together and says that none is a source of what they would lose.
func (s *session) inNoSource(ctx context.Context, b *policy.Bound, people []string, lose map[string][]access.Change) (bool, error) {
	groups, err := s.readGroups(ctx, organization.GroupQuery{AccountIDs: people, Limit: pageSize})
	if err != nil {
		return false, err
	}
	for _, p := range people {
		for _, c := range lose[p] {
			i, known := b.Target(c.Target)
			if !known {
				return false, stop(ErrPolicy, fmt.Errorf("%s: the target is not in the policy any more", c.Label()))
			}
			for _, g := range groups {
				if slices.Contains(b.Targets[i].Sources, g.ID) {
					return false, nil
				}
			}
		}
	}
	return true, nil
}

func (s *session) supersede(ctx context.Context, run string, lines []access.Change, why string) error {
	ended := slices.Clone(lines)
	for i := range ended {
		ended[i].State, ended[i].Answer, ended[i].At = access.Superseded, why, s.now()
	}
	return s.ledger.RecordLines(ctx, s.org, run, ended)
}
