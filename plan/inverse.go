package plan

import "github.com/castellan-io/castellan/access"

// Inverse returns the change that undoes one of the given run; ok is false unless the change was written. The inverse
// passes the guard and the floors like any other change; it depends on no source group.
func Inverse(c access.Change, run string) (inverse access.Change, ok bool) {
	if c.State != access.Done {
		return access.Change{}, false
	}
	inverse = access.Change{
		Person: c.Person, Email: c.Email, Target: c.Target, GroupID: c.GroupID, State: access.Planned,
		Reasons: []access.Reason{{Kind: access.ReasonUndo, Name: run}},
	}
	switch c.Action {
	case access.Add:
		inverse.Action = access.Remove
	case access.Remove:
		inverse.Action = access.Add
	default:
		return access.Change{}, false
	}
	return inverse, true
}
