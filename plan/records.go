package plan

import (
	"fmt"
	"slices"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
)

// The guard's rules of records in SCIM directories; and RuleAdopt. Beside them stand the reasons of package identity to
// hold one person's change, whatever the numbers are.
const (
	RuleDeactivations = "deactivations" // too many people would be deactivated
	RuleUnlinkWave    = "unlink-wave"   // too many records have lost their accounts
	RuleSecondWriter  = "second-writer" // somebody else writes to the directory
)

// RecordStats are the sums of a run over the records of one SCIM directory.
type RecordStats struct {
	Provision     string `json:"provision"`
	Adopted       bool   `json:"adopted"` // its first plan was approved
	Creations     int    `json:"creations"`
	Updates       int    `json:"updates"` // and reactivations
	Deactivations int    `json:"deactivations"`
	Active        int    `json:"active"`      // active records before the run
	Window        int    `json:"window"`      // deactivations done within guard.window.days
	Overwritten   int    `json:"overwritten"` // records that somebody else changed since they were written
	Unlinked      int    `json:"unlinked"`    // records that have lost their account since they were last seen with it

	Groups      int   `json:"groups"`      // that are made, taken over or deleted
	Memberships Stats `json:"memberships"` // in the directory's groups, with the members that each has

	person string   // of the last line
	lost   []string // the apps that they lose by the lines so far
}

// Add counts a line. Lines are added in the order of a plan's hash.
func (s *RecordStats) Add(c access.Change) {
	switch c.Target.Kind() {
	case access.KindSCIMGroupExists:
		s.Groups++
		return
	case access.KindSCIMGroup:
		s.addMembership(c)
		return
	}
	switch c.Action {
	case access.Add:
		s.Creations++
	case access.Update:
		s.Updates++
	case access.Remove:
		s.Deactivations++
	}
}

// addMembership counts a line of somebody who joins or leaves a group. Those who leave because it is deleted wait for a
// decision whatever their number.
func (s *RecordStats) addMembership(c access.Change) {
	if access.LeavesWithGroup(c) {
		return
	}
	if c.Person != s.person {
		s.person, s.lost = c.Person, nil
	}
	loses := slices.DeleteFunc(slices.Clone(c.Loses), func(app string) bool { return slices.Contains(s.lost, app) })
	s.lost = append(s.lost, loses...)
	c.Loses = loses
	s.Memberships.Add([]access.Change{c})
}

// JudgeRecords compares a run over records with the policy's limits, in a fixed order. What it holds waits as one plan.
func JudgeRecords(p *policy.Policy, s RecordStats) []Verdict {
	var verdicts []Verdict
	hold := func(rule string, scope Scope, format string, args ...any) {
		verdicts = append(verdicts, Verdict{Rule: rule, Scope: scope, Detail: fmt.Sprintf(format, args...)})
	}
	everything, groups := Scope{Everything: true}, s.Memberships.Total()
	lines := s.Creations + s.Updates + s.Deactivations + s.Groups + groups.Adds + groups.Removals
	if p.Guard.Adopt == policy.AdoptAsk && !s.Adopted && lines > 0 {
		detail := fmt.Sprintf("the first run of provision %s needs consent: it would create %d records, change %d and deactivate %d",
			s.Provision, s.Creations, s.Updates, s.Deactivations)
		if s.Groups+groups.Adds+groups.Removals > 0 {
			detail += fmt.Sprintf("; make or take over %d groups, add %d memberships and remove %d", s.Groups, groups.Adds,
				groups.Removals)
		}
		hold(RuleAdopt, everything, "%s (guard.adopt is ask)", detail)
	}
	limit := p.Guard.Deactivations
	switch sum := s.Window + s.Deactivations; {
	case s.Deactivations == 0:
	case s.Deactivations > limit.People:
		hold(RuleDeactivations, Scope{}, "the run would deactivate %d people; the limit is %d (guard.deactivations.people)",
			s.Deactivations, limit.People)
	case s.Deactivations > atLeast && limit.Share.Exceeded(s.Deactivations, s.Active):
		hold(RuleDeactivations, Scope{}, "the run would deactivate %d of %d people; the limit is %s (guard.deactivations.share)",
			s.Deactivations, s.Active, limit.Share)
	case sum > p.Guard.Window.Removals:
		hold(RuleDeactivations, Scope{}, "%d people were deactivated over %d days and the run would deactivate %d more; the limit is %d (guard.window.removals)",
			s.Window, p.Guard.Window.Days, s.Deactivations, p.Guard.Window.Removals)
	}
	if s.Unlinked > p.Guard.Unlinked.People {
		hold(RuleUnlinkWave, everything, "%d records have lost their accounts since they were last read; the limit is %d (guard.unlinked.people). Nothing is provisioned until a person has found out why",
			s.Unlinked, p.Guard.Unlinked.People)
	}
	if s.Overwritten > p.Guard.SecondWriter.People {
		hold(RuleSecondWriter, everything, "somebody else changed %d records since they were written; the limit is %d (guard.secondWriter.people). Nothing is provisioned until somebody has found out who writes there",
			s.Overwritten, p.Guard.SecondWriter.People)
	}
	return append(verdicts, judgeMemberships(p, s.Memberships)...)
}

// judgeMemberships judges who leaves groups of a directory as who leaves local ones.
func judgeMemberships(p *policy.Policy, s Stats) []Verdict {
	j := judge{guard: p.Guard, stats: s, total: s.Total()}
	j.run()
	j.targets()
	j.lastAccess()
	j.window()
	return j.verdicts
}

// atLeast is how many deactivations a run may make before their share is judged: in a small directory, one leaver is a
// large share.
const atLeast = 2

// Holds reports whether a verdict on a run over records holds a line. Where too many people would be deactivated, they
// stay in their groups as well.
func (v Verdict) Holds(c access.Change) bool {
	switch {
	case v.Scope.Everything:
		return true
	case c.Action != access.Remove:
		return false
	case v.Rule == RuleDeactivations:
		return c.Target.Kind() != access.KindSCIMGroupExists
	case c.Target.Kind() != access.KindSCIMGroup || access.LeavesWithGroup(c):
		return false
	case v.Scope.App != "":
		return slices.Contains(c.Loses, v.Scope.App)
	}
	return v.Scope.Targets == nil || slices.ContainsFunc(v.Scope.Targets,
		func(e access.Entitlement) bool { return same(e, c.Target) })
}
