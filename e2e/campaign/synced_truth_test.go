package campaign

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/castellan-io/castellan/simulator/cloud"
)

// bySCIM is who makes the changes of the directory: nobody but Castellan has its key.
const bySCIM = "SCIM"

// look checks what became of every group of the directory since the last look.
func (w *syncedOrg) look(ctx context.Context, seed uint64) error {
	w.seed = max(w.seed, seed)
	changes, err := w.Simulator.History(ctx)
	if err != nil {
		return err
	}
	directory, err := w.Simulator.Directory(ctx)
	if err != nil {
		return err
	}
	if s, err := w.Status(ctx, org); err == nil && len(s.Sources) == 1 {
		w.reads = append(w.reads, s.Sources[0].Read)
	}
	w.lookAtRecords(directory.Records)
	ended := w.lookAtGroups(directory.Ever)
	for _, c := range changes[w.seen:] {
		switch name, isGroup := strings.CutPrefix(c.What, "group:"); {
		case c.What == cloud.WhatActive && !c.Holds:
			w.deactivations++
			if !w.enabled.lately(c.Account, false, c.At, time.Time{}) {
				w.wrongful = append(w.wrongful, w.failure("%s was deactivated at %s", w.who(c.Account), stamp(c.At)))
			}
		case isGroup && c.By == bySCIM:
			w.judge(name, c)
		}
	}
	w.seen = len(changes)
	for _, l := range ended {
		w.judgeDeletion(l)
	}
	return nil
}

// lookAtRecords sees that nobody has two records.
func (w *syncedOrg) lookAtRecords(records []cloud.SCIMRecord) {
	of := map[string]string{}
	for _, r := range records {
		if other, twice := of[r.Email]; twice {
			w.doubled = append(w.doubled, w.failure("%s has the records %s and %s", r.Email, other, r.ID))
		}
		of[r.Email] = r.ID
	}
}

// lookAtGroups takes note of groups that were made, and returns those that were deleted.
func (w *syncedOrg) lookAtGroups(ever []cloud.SCIMGroup) (ended []*life) {
	there := map[string]bool{}
	for _, g := range ever {
		l := w.lives[g.ID]
		if l == nil {
			l = &life{SCIMGroup: g, teams: map[string]bool{g.ExternalID: true}, with: map[string]bool{},
				leaving: map[string]bool{}}
			w.lives[g.ID] = l
			if w.teams[g.ExternalID] == nil {
				w.doubled = append(w.doubled, w.failure("group %s was made for no team, %q", g.Name, g.ExternalID))
			}
			l.Deleted = time.Time{} // as of the last look
		}
		if l.Conflict = g.Conflict; l.there() && !g.Deleted.IsZero() {
			ended = append(ended, l)
		}
		if l.Deleted = g.Deleted; !l.there() {
			continue
		}
		if name := strings.ToLower(g.Name); there[name] {
			w.doubled = append(w.doubled, w.failure("there are two groups %s", name))
		} else {
			there[name] = true
		}
	}
	return ended
}

// at returns the group that had a name at an instant.
func (w *syncedOrg) at(name string, at time.Time) *life {
	for _, l := range w.lives {
		if strings.EqualFold(l.Name, name) && !l.Created.After(at) && (l.there() || !l.Deleted.Before(at)) {
			return l
		}
	}
	return nil
}

// judge holds one change of a group against what the identity provider said of the team that the group was made for,
// and against what people decided.
func (w *syncedOrg) judge(name string, c cloud.Change) {
	l := w.at(name, c.At)
	if l == nil {
		w.strangers = append(w.strangers, w.failure("%s in %s is %v since %s, and there was no such group",
			w.who(c.Account), name, c.Holds, stamp(c.At)))
		return
	}
	l.people.set(c.At, c.Holds, c.Account)
	if c.Holds {
		w.additions++
		if !w.given(l, c.Account, c.At) {
			w.strangers = append(w.strangers, w.failure("%s was added to %s at %s, which follows %s",
				w.who(c.Account), l.Name, stamp(c.At), w.describe(l, c.Account)))
		}
		return
	}
	w.removals++
	withGroup := !l.there() && l.Deleted.Sub(c.At) < time.Second
	switch {
	case l.leaving[c.Account], withGroup && l.with[c.Account]:
		w.decided++
		delete(l.leaving, c.Account)
	case w.enabled.lately(c.Account, false, c.At, time.Time{}):
	case !w.any(l, func(t *team) bool { return t.lacked(c.Account, c.At) }):
		w.wrongful = append(w.wrongful, w.failure("%s was removed from %s at %s, which follows %s; it is deleted: %v",
			w.who(c.Account), l.Name, stamp(c.At), w.describe(l, c.Account), withGroup))
	}
}

// given reports whether somebody was in the team of a group, and active, as the source may have said until an instant.
func (w *syncedOrg) given(l *life, account string, at time.Time) bool {
	from := w.believed(at)
	return w.enabled.within(account, true, from, at, time.Time{}) && w.any(l, func(t *team) bool {
		return t.people.within(account, true, from, at, t.gone)
	})
}

// believed returns since when what the source said may count at an instant: until two complete reads say otherwise, or
// within reach.
func (w *syncedOrg) believed(at time.Time) time.Time {
	last, before := time.Time{}, time.Time{}
	for _, read := range w.reads {
		if read.Before(at) && read.After(last) {
			last, before = read, last
		}
	}
	if before.Before(at.Add(-reach)) {
		return before
	}
	return at.Add(-reach)
}

// any reports whether something is so of a team that a group may follow.
func (w *syncedOrg) any(l *life, is func(*team) bool) bool {
	for key := range l.teams {
		if t := w.teams[key]; t != nil && is(t) {
			return true
		}
	}
	return false
}

// judgeDeletion holds the deletion of a group against what people approved. Whoever was in a group that another one
// replaces must be in that.
func (w *syncedOrg) judgeDeletion(l *life) {
	switch {
	case !l.approved:
		w.deleted = append(w.deleted, w.failure("group %s of %s was deleted at %s", l.Name, w.describe(l, ""),
			stamp(l.Deleted)))
		return
	case !l.replaced:
		w.gone++
		return
	}
	w.replaced++
	for key := range l.teams {
		t := w.teams[key]
		for account := range t.people.now() {
			stays := t.there() && !t.lacked(account, l.Deleted) &&
				!w.enabled.lately(account, false, l.Deleted, time.Time{})
			was := l.people.lately(account, true, l.Deleted, time.Time{})
			if stays && was && !w.hasOther(l, key, account) {
				w.gaps = append(w.gaps, w.failure("%s was in no group of %s when %s was deleted at %s",
					w.who(account), t.name, l.Name, stamp(l.Deleted)))
			}
		}
	}
}

// hasOther reports whether somebody was in another group of a team when one was deleted.
func (w *syncedOrg) hasOther(deleted *life, key, account string) bool {
	for _, l := range w.lives {
		if l != deleted && l.teams[key] && (l.there() || l.Deleted.After(deleted.Deleted)) &&
			l.people.lately(account, true, deleted.Deleted, time.Time{}) {
			return true
		}
	}
	return false
}

// describe tells of the teams that a group may follow, and since when somebody was in them or not.
func (w *syncedOrg) describe(l *life, account string) string {
	var all []string
	for key := range l.teams {
		if t := w.teams[key]; t != nil {
			all = append(all, t.describe(account))
		}
	}
	slices.Sort(all)
	return strings.Join(all, "; ")
}
