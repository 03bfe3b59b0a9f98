package cloud

import "slices"

// Reads may have to show the past: during the lag between a write and its appearance, or by a fault that serves an old
// copy. So every change is kept in a journal, and a view undoes those after its time. A view of the present costs
// nothing extra.

// membershipChange is one entry in the journals of the group and of the user it concerns.
type membershipChange struct {
	at    instant
	group *group
	user  *user
	added bool
}

// directChange is one entry in the journal of a person's direct roles.
type directChange struct {
	at    instant
	grant roleGrant
	given bool
}

// timeline is a boolean with its history.
type timeline struct {
	now  bool
	past []flip
}

type flip struct {
	at  instant
	was bool
}

func (t *timeline) set(at instant, value bool) {
	if t.now != value {
		t.past = append(t.past, flip{at, t.now})
		t.now = value
	}
}

func (t *timeline) at(until instant) bool {
	value := t.now
	for i := len(t.past) - 1; i >= 0 && t.past[i].at > until; i-- {
		value = t.past[i].was
	}
	return value
}

// view is the directory as one read sees it.
type view struct {
	until   instant           // changes after this are not seen
	roles   instant           // the same for direct roles
	records instant           // the same for SCIM records
	stale   func(*group) bool // groups that are shown even older; nil for none
	older   instant           // how old
}

func (v view) of(g *group) instant {
	if v.stale != nil && v.stale(g) {
		return v.older
	}
	return v.until
}

func (v view) shows(g *group) bool {
	until := v.of(g)
	return g.created <= until && (g.deleted == 0 || g.deleted > until)
}

// members returns the group's members in the order of their IDs. The caller must not change or keep the slice.
func (v view) members(g *group) []*user {
	until, members, copied := v.of(g), g.members, false
	for i := len(g.journal) - 1; i >= 0 && g.journal[i].at > until; i-- {
		if !copied {
			members, copied = slices.Clone(members), true
		}
		if entry := g.journal[i]; entry.added {
			members = without(members, entry.user)
		} else {
			members = with(members, entry.user)
		}
	}
	return members
}

func (v view) count(g *group) int {
	until, n := v.of(g), len(g.members)
	for i := len(g.journal) - 1; i >= 0 && g.journal[i].at > until; i-- {
		if g.journal[i].added {
			n--
		} else {
			n++
		}
	}
	return n
}

// groupsOf returns the groups in which the view shows the user as a member. The caller must not change or keep the
// slice.
func (v view) groupsOf(u *user) []*group {
	groups, copied := u.groups, false
	oldest := v.until
	if v.stale != nil {
		oldest = min(oldest, v.older)
	}
	for i := len(u.journal) - 1; i >= 0 && u.journal[i].at > oldest; i-- {
		entry := u.journal[i]
		if entry.at <= v.of(entry.group) {
			continue
		}
		if !copied {
			groups, copied = slices.Clone(groups), true
		}
		if at := slices.Index(groups, entry.group); entry.added && at >= 0 {
			groups = slices.Delete(groups, at, at+1)
		} else if !entry.added && at < 0 {
			groups = append(groups, entry.group)
		}
	}
	return groups
}

// directOf returns the user's direct app roles in the view. The caller must not change or keep the slice.
func (v view) directOf(u *user) []roleGrant {
	direct, copied := u.direct, false
	for i := len(u.given) - 1; i >= 0 && u.given[i].at > v.roles; i-- {
		if !copied {
			direct, copied = slices.Clone(direct), true
		}
		if entry := u.given[i]; entry.given {
			direct = slices.DeleteFunc(direct, func(g roleGrant) bool { return g == entry.grant })
		} else {
			direct = append(direct, entry.grant)
		}
	}
	return direct
}

// with and without change a slice of users that is ordered by ID.
func with(users []*user, u *user) []*user {
	at, found := slices.BinarySearchFunc(users, u.id, byUserID)
	if found {
		return users
	}
	return slices.Insert(users, at, u)
}

func without(users []*user, u *user) []*user {
	at, found := slices.BinarySearchFunc(users, u.id, byUserID)
	if !found {
		return users
	}
	return slices.Delete(users, at, at+1)
}
