package reconcile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/apply"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/plan"
	"github.com/castellan-io/castellan/policy"
)

// mostFollowed is how many people of earlier runs one partial run decides again; if there are more, everybody is looked
// at.
const mostFollowed = messages.MostFollowed

// followed counts the people for whom a run changed facts that the policy uses: they are decided again. Whoever had
// several such changes may be counted for each.
func (a *Activities) followed(ctx context.Context, in FinishInput, sum messages.RunSummary,
	stats []ledger.LineStat) (int, error) {
	if in.Preview || sum.DryRun || sum.State != messages.RunDone || in.Scope == messages.ScopeUndo ||
		sum.Counts.Done == 0 {
		return 0, nil
	}
	s, err := a.task(a.env.Open(ctx, in.Org, in.Policy))
	if err != nil {
		return 0, err
	}
	if in.Scope == messages.ScopeProvision || sum.Provision != "" {
		return s.followedRecords(ctx, in.Run)
	}
	b, err := s.BoundOf(ctx, in.Run)
	if errors.Is(err, ledger.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n := 0
	for _, l := range stats {
		if l.State == access.Done && b.NeedsFollowUp(l.Action, l.Target, l.GroupID) {
			n += l.N
		}
	}
	return n, nil
}

// followedRecords is followed for a run of records, which has no outline of its own.
func (s *task) followedRecords(ctx context.Context, run string) (int, error) {
	outline, known, err := s.LatestOutline(ctx)
	if err != nil || !known {
		return 0, err
	}
	people, err := s.changedBy(ctx, s.Bind(run, outline), []string{run})
	return len(people), err
}

// changedBy returns the people for whom these runs changed facts that the policy uses, each once.
func (s *task) changedBy(ctx context.Context, b *policy.Bound, runs []string) ([]string, error) {
	people := map[string]bool{}
	for _, run := range runs {
		filter := ledger.Filter{States: []access.ChangeState{access.Done}, Limit: session.LinesAtOnce}
		for {
			lines, err := s.Ledger.Lines(ctx, s.Org, run, filter)
			if err != nil {
				return nil, err
			}
			for _, c := range lines {
				if follows(b, c) {
					people[c.Person] = true
				}
			}
			if len(lines) < session.LinesAtOnce || len(people) > mostFollowed {
				break
			}
			filter.After = session.KeyOf(lines[len(lines)-1])
		}
	}
	return session.SortedKeys(people), nil
}

// follows reports whether a change may alter what the policy gives its person. Whoever has become active again may hold
// what mappings give; who has no account yet is decided when they arrive.
func follows(b *policy.Bound, c access.Change) bool {
	switch {
	case access.ProvisionOf(c.Target) == "":
		return b.NeedsFollowUp(c.Action, c.Target, c.GroupID)
	case access.RecordOf(c.Target) == "": // events tell of members of synced groups
		return false
	case c.Action == access.Add, slices.Contains(c.Sources, c.Person): // named by their identity
		return false
	}
	return session.Reactivates(c) || b.FollowsFacts()
}

// turnsOfCircle is how often a change of one person and target may be reversed before that counts as a circle:
// something that was given and removed is not given again.
const turnsOfCircle = 2

const circular = "not written: rules change it back and forth, each because of what the others did; see the finding rules-circle"

// circles takes out of a plan what has been written back and forth since an instant, while people were decided again
// because of earlier runs' changes. It reports the rules that cause it.
func (s *task) circles(ctx context.Context, run string, since time.Time) ([]access.Finding, error) {
	if since.IsZero() {
		return nil, nil
	}
	var lines []access.Change
	if err := s.EachLine(ctx, run, []access.ChangeState{access.Planned}, func(c access.Change) error {
		if c.Action != access.Adopt {
			lines = append(lines, c)
		}
		return nil
	}); err != nil {
		return nil, err
	}
	var ended []access.Change
	names, people := map[access.Entitlement]map[string]bool{}, map[access.Entitlement]int{}
	for _, some := range session.Chunks(lines, session.LinesAtOnce) {
		states, err := s.Ledger.States(ctx, s.Org, apply.PeopleOf(some), since)
		if err != nil {
			return nil, err
		}
		for _, c := range some {
			written := states[c.Person].Recent
			if plan.Reversals(written, c) < turnsOfCircle {
				continue
			}
			ended = append(ended, c)
			people[c.Target]++
			if names[c.Target] == nil {
				names[c.Target] = map[string]bool{}
			}
			for _, o := range append(slices.Clone(written), c) {
				for _, r := range o.Reasons {
					names[c.Target][r.String()] = true
				}
			}
		}
	}
	var found []access.Finding
	for _, target := range slices.Sorted(maps.Keys(names)) {
		found = append(found, access.Finding{Rule: "rules-circle", Subject: string(target), Detail: fmt.Sprintf(
			"it is given to %s and taken from them again and again, each time because of the change before; it stays as it is until the next verification. Decide which of the rules is right: %s",
			session.CountPeople(people[target]), strings.Join(session.SortedKeys(names[target]), ", "))})
	}
	return found, s.supersede(ctx, run, ended, circular)
}
