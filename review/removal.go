package review

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
)

// Removal is what is known about an item that is to be removed.
type Removal struct {
	Item        access.Item
	Review      string
	Opened      time.Time     // the review
	Deny        time.Duration // how long to deny it if something gives it; 0: leave it, and report it
	Now         time.Time
	Unexplained bool // its row was not written by the ledger
	DryRun      bool // the policy's

	Managed bool            // the policy names the target
	Shown   bool            // the directory has the person
	Known   bool            // it was read whether the person holds the target
	Held    bool            // they hold it
	Gives   []access.Reason // what gives the target, without reviews
	Unsure  []access.Reason // rules that may give it: not decidable now

	Line     *access.Change  // its last removal that was begun, answered, refused or held; nil: none
	Run      string          // of the line
	Rulings  []access.Ruling // of the person
	Rejected []access.Change // the person's rejected changes
	HoldRun  string          // the run that is held now; "": none
	HoldPlan string
}

// Step is what to do next about a removal.
type Step struct {
	Resolution
	Changed       bool // the resolution differs from the recorded one
	AskMembers    bool // one read does not show the person: check the members, then NotMember or StillMember
	EndGrants     bool // end grants of the target first
	RecheckPerson bool // the organization's loop is to look at the person
}

// Next returns the next step of a removal. What a mapping or rule gives is not removed, since it would come back: its
// source must change, unless the campaign denies it for a while.
func (r Removal) Next() Step {
	switch {
	case r.Unexplained:
		return Step{Resolution: Unexplained(r.Item), Changed: true}
	case r.DryRun:
		return r.end(access.OutcomeRefused, "the policy says dryRun: nothing is written")
	case !r.Managed:
		return r.end(access.OutcomeRefused, "the policy no longer names the target, so nothing may be written")
	case !r.Shown:
		return r.wait("the directory does not show the person at the moment")
	case !r.Known:
		return r.wait("the read does not say whether it is held")
	case !r.Held:
		return r.gone()
	}
	ruling, ruled := r.ruling()
	source := describeSources(append(r.Gives[:len(r.Gives):len(r.Gives)], r.Unsure...))
	switch {
	case source != "" && r.Deny == 0:
		return r.end(access.OutcomeSource, source)
	case r.rejected():
		return r.end(access.OutcomeRejected, "the guard held it, and a person rejected the plan")
	case ruled && r.lastIs(access.Refused) && !r.Line.At.Before(ruling.At):
		r.Item.Run = r.Run
		return r.end(access.OutcomeRefused, r.Line.Answer)
	}
	step := r.carryOut()
	step.EndGrants = true
	if !ruled && !access.OnlyGrants(r.Gives) {
		step.NewRuling = &access.Ruling{Review: r.Review, Person: r.Item.Person, Target: r.Item.Target,
			Verdict: access.VerdictRemove, At: r.Now}
		if source != "" {
			step.NewRuling.Until = r.Now.Add(r.Deny)
		}
		step.Changed = true
	}
	step.RecheckPerson = step.Item.Outcome != access.OutcomeHeld
	return step
}

// end ends the removal and its ruling.
func (r Removal) end(o access.Outcome, why string) Step {
	r.Item.Outcome, r.Item.Why, r.Item.Plan = o, why, ""
	return Step{Resolution: Resolution{Item: r.Item, EndRuling: true}, Changed: true}
}

// wait leaves the removal as it is, with the reason.
func (r Removal) wait(why string) Step {
	was := r.Item
	r.Item.Outcome, r.Item.Why = cmp.Or(was.Outcome, access.OutcomeOpen), why
	return Step{Resolution: Resolution{Item: r.Item}, Changed: differs(r.Item, was)}
}

// carryOut continues the removal, or records that the guard holds it.
func (r Removal) carryOut() Step {
	was := r.Item
	r.Item.Outcome, r.Item.Plan, r.Item.Why = access.OutcomeOpen, "", ""
	if r.lastIs(access.Held) && r.HoldPlan != "" && r.Run == r.HoldRun {
		r.Item.Outcome, r.Item.Plan, r.Item.Run = access.OutcomeHeld, r.HoldPlan, r.Run
		r.Item.Why = "the guard holds it: " + strings.Join(r.Line.HeldBy, ", ")
	}
	return Step{Resolution: Resolution{Item: r.Item}, Changed: differs(r.Item, was)}
}

func differs(i, was access.Item) bool {
	return i.Outcome != was.Outcome || i.Plan != was.Plan || i.Why != was.Why
}

// gone ends a removal whose person does not hold the target any more. If Castellan wrote nothing, a group's members are
// checked too: one read may be wrong.
func (r Removal) gone() Step {
	if !r.lastIs(access.Done) && !r.lastIs(access.Already) {
		if r.Item.GroupID == "" {
			return r.NotMember()
		}
		return Step{AskMembers: true}
	}
	r.Item.Run = r.Run
	answer := cmp.Or(r.Line.Outcome(), "done")
	ruling, ruled := r.ruling()
	if !ruled || ruling.Until.IsZero() {
		return r.end(access.OutcomeRemoved, answer)
	}
	step := r.end(access.OutcomeDenied, fmt.Sprintf("removed and read back (%s). A mapping or rule still gives it, and is "+
		"overruled until %s: change it before that", answer, ruling.Until.UTC().Format(time.DateOnly)))
	step.Item.Until, step.EndRuling = ruling.Until, false
	return step
}

// NotMember ends a removal whose person is not among the group's members either.
func (r Removal) NotMember() Step {
	return r.end(access.OutcomeGone, "it was no longer held before anything was written")
}

// StillMember leaves a removal open whose person is among the group's members.
func (r Removal) StillMember() Step {
	return r.wait("one read shows the person in it, another does not")
}

// lastIs reports whether the last removal has this state.
func (r Removal) lastIs(state access.ChangeState) bool {
	return r.Line != nil && r.Line.State == state
}

// ruling returns this review's ruling on the item.
func (r Removal) ruling() (access.Ruling, bool) {
	for _, one := range r.Rulings {
		if one.Review == r.Review && one.Verdict == access.VerdictRemove && one.Target.Same(r.Item.Target) {
			return one, true
		}
	}
	return access.Ruling{}, false
}

func (r Removal) rejected() bool {
	for _, c := range r.Rejected {
		if c.Action == access.Remove && c.Target.Same(r.Item.Target) && !c.At.Before(r.Opened) {
			return true
		}
	}
	return false
}

// describeSources describes the mappings and rules that give a target; "" for none.
func describeSources(reasons []access.Reason) string {
	var words []string
	for _, r := range reasons {
		switch r.Kind {
		case access.ReasonMapping:
			words = append(words, fmt.Sprintf("mapping %s gives it through source group %s: take the person out of that "+
				"group at the identity provider, or change the mapping", r.Name, r.Source))
		case access.ReasonRule:
			words = append(words, fmt.Sprintf("rule %s gives it: change what its condition asks for, or the rule",
				r.Name))
		}
	}
	if len(words) == 0 {
		return ""
	}
	return "what gives it must change: " + strings.Join(words[:min(len(words), maxSources)], "; ")
}

const maxSources = 10

// Late ends a removal that was not carried out in time; failed is the error that prevented its check.
func Late(i access.Item, failed string) Resolution {
	switch {
	case i.Outcome == access.OutcomeHeld:
		i.Why = "nobody decided on the plan that held it, " + i.Plan
	case failed != "":
		i.Why = "it could not be read: " + failed
	case i.Why == "":
		i.Why = "the organization's loop did not write it in time: was it paused, or not running?"
	}
	i.Outcome = access.OutcomeLate
	return Resolution{Item: i, EndRuling: true}
}
