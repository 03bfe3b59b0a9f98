package campaign

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// operate decides what is held, gives groups what those open that they replace, and accepts groups at Atlassian, as
// somebody would who knows everybody.
func (w *syncedOrg) operate(ctx context.Context) error {
	s, err := w.Status(ctx, org)
	if err != nil {
		return err
	}
	w.acceptSuspects(ctx, s)
	if err := w.look(ctx, 0); err != nil {
		return err
	}
	if err := w.giveRoles(ctx); err != nil {
		return err
	}
	if err := w.acceptGroups(ctx); err != nil {
		return err
	}
	if w.waits = ""; s.IdentityHold == nil {
		return nil
	}
	return w.decideHold(ctx, *s.IdentityHold)
}

// giveRoles gives a group that replaces another one every role that it lacks.
func (w *syncedOrg) giveRoles(ctx context.Context) error {
	state, err := w.Simulator.State(ctx)
	if err != nil {
		return err
	}
	roles := map[string][]cloud.StateRole{}
	for _, g := range state.Groups {
		roles[g.SCIMGroupID] = g.Roles
	}
	there := w.sorted()
	for _, next := range there {
		for _, former := range there {
			follows := func(t *team) bool { return t.there() && t.name == next.Name && former.teams[t.key] }
			if former == next || next.Conflict || !w.any(next, follows) {
				continue
			}
			for _, r := range roles[former.ID] {
				if slices.Contains(roles[next.ID], r) {
					continue
				}
				if err := w.Simulator.GroupRole(ctx, next.Name, r.App, r.Site, r.Role); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// acceptGroups accepts groups that Atlassian holds back because of groups of its own: whoever is in one of those and
// not in the team leaves it by that.
func (w *syncedOrg) acceptGroups(ctx context.Context) error {
	for _, l := range w.sorted() {
		if !l.Conflict || !w.any(l, func(t *team) bool { return t.there() && t.name == l.Name }) {
			continue
		}
		members, err := w.Simulator.MembersOf(ctx, l.Name)
		if err != nil {
			return err
		}
		for _, account := range members {
			l.leaving[account] = true
		}
		l.people.set(l.Created, true, members...)
		if err := w.Simulator.AcceptGroup(ctx, l.Name); err != nil {
			return err
		}
		w.accepted++
		if err := w.look(ctx, 0); err != nil {
			return err
		}
		clear(l.leaving)
	}
	return nil
}

// decideHold approves a held plan if all of it is true, or rejects one that only deletes groups whose teams are gone.
func (w *syncedOrg) decideHold(ctx context.Context, hold messages.Hold) error {
	answer, err := w.Ask(ctx, messages.ReportInput{Org: org, Kind: messages.ReportPlan, Lane: "identity", Limit: 2000,
		States: []string{string(access.Held)}})
	if err != nil || answer.Plan == nil || answer.Plan.Run.Run != hold.Run {
		return err
	}
	lines := answer.Plan.Lines
	for _, line := range lines {
		if why := w.untrue(line); why != "" {
			w.waits = line.Label() + ": " + why
			return nil
		}
	}
	var deleted []*life
	for _, line := range lines {
		if l := w.deletes(line); l != nil {
			deleted = append(deleted, l)
		}
	}
	if w.random.IntN(3) == 0 && w.rejectable(lines) {
		if w.Decide(ctx, org, messages.RejectPlan, hold.Plan) == nil { // it may just have been replaced
			w.rejections++
			for _, l := range deleted {
				l.kept, w.closed[l.Name] = true, true
			}
		}
		return nil
	}
	undo := w.note(lines)
	if err := w.Decide(ctx, org, messages.ApprovePlan, hold.Plan); err != nil { // likewise
		undo()
		return nil
	}
	w.approvals++
	return nil
}

// deletes returns the group that a line deletes, or that somebody leaves by its deletion; nil: it deletes none.
func (w *syncedOrg) deletes(line access.Change) *life {
	switch {
	case access.LeavesWithGroup(line):
		return w.lives[line.Edits[0].From]
	case line.Target.Kind() == access.KindSCIMGroupExists && line.Action == access.Remove:
		return w.lives[line.GroupID]
	}
	return nil
}

// rejectable reports whether a plan only deletes groups whose teams are gone, and whose names no team has.
func (w *syncedOrg) rejectable(lines []access.Change) bool {
	return !slices.ContainsFunc(lines, func(line access.Change) bool {
		l := w.deletes(line)
		return l == nil || !w.over(l) || w.named(l.Name)
	})
}

// over reports whether all teams are gone that a group may follow.
func (w *syncedOrg) over(l *life) bool { return !w.any(l, (*team).there) }

// note takes note of what a plan is to do, before it is approved, and returns how to forget that.
func (w *syncedOrg) note(lines []access.Change) (undo func()) {
	var undone []func()
	for _, line := range lines {
		l, account := w.deletes(line), line.Person
		_, name := access.SCIMGroupOf(line.Target)
		switch {
		case access.LeavesWithGroup(line):
			l.with[account] = true
		case l != nil:
			before := *l
			undone = append(undone, func() { l.approved, l.replaced = before.approved, before.replaced })
			l.approved, l.replaced = true, !w.over(l)
		case line.Action == access.Adopt:
			taken, key := w.lives[line.GroupID], teamKey(line)
			undone = append(undone, func() { delete(taken.teams, key) })
			taken.teams[key] = true
		case line.Action == access.Remove && line.Target.Kind() == access.KindSCIMGroup:
			for _, one := range w.sorted() {
				if one.Name == name {
					undone = append(undone, func() { delete(one.leaving, account) })
					one.leaving[account] = true
				}
			}
		}
	}
	return func() {
		for _, one := range undone {
			one()
		}
	}
}

// teamKey returns the key of the team that a line of a group is about.
func teamKey(line access.Change) string {
	id := line.Sources[len(line.Sources)-1]
	return id[strings.LastIndex(id, ":")+1:]
}

// untrue says why a held line is not what the identity provider says; "" if it is.
func (w *syncedOrg) untrue(line access.Change) string {
	if access.RecordOf(line.Target) != "" {
		return w.untrueOfRecord(line)
	}
	if removal := line.Action == access.Remove; removal && (access.LeavesWithGroup(line) ||
		line.Target.Kind() == access.KindSCIMGroupExists) {
		return w.untrueDeletion(w.deletes(line))
	}
	t := w.teams[teamKey(line)]
	_, name := access.SCIMGroupOf(line.Target)
	in := t != nil && t.there() && t.people.now()[line.Person] && w.enabled.now()[line.Person]
	switch {
	case line.Action == access.Remove && (in || t == nil || !t.there()):
		return "they are in the team, or it is gone"
	case line.Action == access.Remove:
	case t == nil || !t.there() || t.name != name:
		return "no team has this key and name"
	case line.Action == access.Adopt:
		if l := w.lives[line.GroupID]; l == nil || !l.teams[t.key] && !w.over(l) {
			return "the group is another team's"
		}
	case line.Target.Kind() == access.KindSCIMGroup && !in:
		return "they are not in the team"
	}
	return ""
}

// untrueDeletion says why a group is not to be deleted: its team is there, and has its name.
func (w *syncedOrg) untrueDeletion(l *life) string {
	if l == nil {
		return "there is no such group"
	}
	for key := range l.teams {
		if t := w.teams[key]; t.there() && (t.name == l.Name || !strings.HasPrefix(t.name, teamPrefix)) {
			return fmt.Sprintf("%s (%s) is there", t.name, t.key)
		}
	}
	return ""
}

// untrueOfRecord says why a line of somebody's record is wrong.
func (w *syncedOrg) untrueOfRecord(line access.Change) string {
	for account, key := range w.keys {
		if line.Person == account || slices.Contains(line.Sources, corp+":"+key) {
			if is := w.enabled.now()[account]; is == (line.Action == access.Remove) {
				return fmt.Sprintf("they are enabled: %v", is)
			}
			return ""
		}
	}
	return "nobody has that record"
}
