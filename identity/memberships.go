package identity

import "slices"

// Membership is that somebody joins or leaves a group of a SCIM directory, or is in it for a reason.
type Membership struct {
	*GroupDecision
	Holds []Hold
}

// Memberships are what becomes of one person's memberships in the groups of a directory.
type Memberships struct {
	Joins, Leaves []Membership
	Stays         []Membership // of which somebody else has put the person there, for a reason of the source's
	Doubted       []Membership // would leave, if the source proved anything
}

// Memberships decides which groups of the directory a person joins and leaves, given what was decided about their
// record. in are the groups that the record is in; own reports whether Castellan put it into a group, or found a reason
// for its being there.
//
// What is not known changes nothing: a source that does not tell whether somebody is in its scope neither gives nor
// takes. Whoever has left their source leaves its groups when their record is deactivated, with its holds.
func (p Provision) Memberships(person Person, d Decision, in []GroupID, own func(group string) bool,
	groups *GroupSet) (m Memberships) {
	if d.Presence == Unknown || d.State == Duplicate || d.Former != nil || !d.Due.IsZero() {
		return m
	}
	wanted, unsure := p.sourceGroups(person, d)
	for _, g := range groups.about(wanted, in) {
		isIn := g.Group != "" && slices.Contains(in, g.Group)
		switch {
		case unsure[g.Source]:
		case wanted[g.Ref] && isIn && g.Joins && !own(g.Name):
			m.Stays = append(m.Stays, Membership{GroupDecision: g, Holds: g.begun()})
		case wanted[g.Ref] && !isIn && g.Joins && p.joins(person, d):
			m.Joins = append(m.Joins, Membership{g, append(g.begun(), d.joinHolds()...)})
		case !wanted[g.Ref] && isIn && g.Leaves && !p.staysKept(person, d):
			leave := Membership{g, append(g.begun(), d.leaveHolds()...)}
			if !own(g.Name) {
				leave.Holds = append(leave.Holds, HoldStrayMember)
			}
			if g.Doubted {
				m.Doubted = append(m.Doubted, leave)
			} else {
				m.Leaves = append(m.Leaves, leave)
			}
		}
	}
	return m
}

// about returns the groups that follow some of the sources, or have some ids, in the order of All.
func (s *GroupSet) about(wanted map[Ref]bool, in []GroupID) (some []*GroupDecision) {
	var at []int
	for ref := range wanted {
		at = append(at, s.bySource[ref]...)
	}
	for _, id := range in {
		if n, known := s.byGroup[id]; known {
			at = append(at, n)
		}
	}
	slices.Sort(at)
	for _, n := range slices.Compact(at) {
		some = append(some, &s.All[n])
	}
	return some
}

// begun returns what holds changes of members of a group that does not follow its source yet.
func (d *GroupDecision) begun() []Hold {
	if d.Action == CreateGroup || d.Action == TakeGroup {
		return slices.Clone(d.Holds)
	}
	return nil
}

// sourceGroups returns the source groups that the person is in and that count, and the sources of which it is not known
// whether the person's groups count.
func (p Provision) sourceGroups(person Person, d Decision) (wanted map[Ref]bool, unsure map[string]bool) {
	wanted, unsure = map[Ref]bool{}, map[string]bool{}
	for _, i := range person.Identities {
		switch {
		case i.Presence == Unknown || i.Presence == "":
			unsure[i.Source] = true
		case i.Presence == Enabled && d.Presence == Enabled:
			for _, key := range i.GroupKeys {
				wanted[Ref{i.Source, key}] = true
			}
		}
	}
	return wanted, unsure
}

// joins reports whether the person has, or gets, a record that may join groups: without an account, that serves nobody.
func (p Provision) joins(person Person, d Decision) bool {
	if d.Action == Create || d.Action == Reactivate {
		return true
	}
	record := byID(person.Records, d.Record)
	return record != nil && record.Active && record.Account != ""
}

// joinHolds are the holds of the record's creation or reactivation, which come first.
func (d Decision) joinHolds() []Hold {
	if d.Action == Create || d.Action == Reactivate {
		return d.Holds
	}
	return nil
}

func (d Decision) leaveHolds() []Hold {
	if d.Action == Disable {
		return d.Holds
	}
	return nil
}

// staysKept reports whether the person left, and the policy protects them.
func (p Provision) staysKept(person Person, d Decision) bool {
	record := byID(person.Records, d.Record)
	return d.Presence != Enabled && record != nil && p.Kept != nil && p.Kept(record.Account, record.Address())
}
