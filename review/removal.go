package review

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
)

// Removal is what is read and recorded of an item that is to be removed.
type Removal struct {
	Item        access.Item
	Review      string
	Opened      time.Time     // the review
	Deny        time.Duration // how long what would be given back is denied; 0: it is left, and reported
	Now         time.Time
	Unexplained bool // its row was written past the ledger
	DryRun      bool // the policy's

	Managed bool            // the policy names the target
	Shown   bool            // the directory shows the person
	Known   bool            // the read says whether the person holds the target,
	Held    bool            // and they do
	Gives   []access.Reason // what gives the target, reviews left aside
	Unsure  []access.Reason // rules that may give it: it cannot be told now

	Line     *access.Change  // the last removal of it that was begun, answered, refused or held; nil: none
	Run      string          // of the line
	Rulings  []access.Ruling // of the person
	Rejected []access.Change // what somebody said no to, of the person
	HoldRun  string          // the run that the guard holds now; "": none
	HoldPlan string
}

// Step is what is to be done about a removal.
type Step struct {
	Settlement
	Changed    bool // the settlement says something new
	AskMembers bool // one read does not show the person in the target: NotMember or StillMember says what that means
	EndGrants  bool // what grants give of the target ends first
	Look       bool // the organization's loop is to look at the person
}

// Next returns the next step of a removal. What a mapping or rule gives is not taken to be given back: its source must
// change, unless the campaign denies it for a while.
func (r Removal) Next() Step {
	switch {
	case r.Unexplained:
		return Step{Settlement: Unexplained(r.Item), Changed: true}
	case r.DryRun:
		return r.end(access.OutcomeRefused, "the policy says dryRun: nothing is written")
	case !r.Managed:
		return r.end(access.OutcomeRefused, "the policy names the target no more, so that nothing may be written")
	case !r.Shown:
		return r.waits("the directory does not show the person just now")
	case !r.Known:
		return r.waits("the read does not say whether it is held")
	case !r.Held:
		return r.gone()
	}
	ruling, ruled := r.ruling()
	source := sources(append(r.Gives[:len(r.Gives):len(r.Gives)], r.Unsure...))
	switch {
	case source != "" && r.Deny == 0:
		return r.end(access.OutcomeSource, source)
	case r.rejected():
		return r.end(access.OutcomeRejected, "the guard held it, and somebody rejected the plan")
	case ruled && r.written(access.Refused) && !r.Line.At.Before(ruling.At):
		r.Item.Run = r.Run
		return r.end(access.OutcomeRefused, r.Line.Answer)
	}
	step := r.goesOn()
	step.EndGrants = true
	if !ruled && !access.OnlyGrants(r.Gives) {
		step.Rule = &access.Ruling{Review: r.Review, Person: r.Item.Person, Target: r.Item.Target,
			Verdict: access.VerdictRemove, At: r.Now}
		if source != "" {
			step.Rule.Until = r.Now.Add(r.Deny)
		}
		step.Changed = true
	}
	step.Look = step.Item.Outcome != access.OutcomeHeld
	return step
}

// end ends the removal, and the ruling with it.
func (r Removal) end(o access.Outcome, why string) Step {
	r.Item.Outcome, r.Item.Why, r.Item.Plan = o, why, ""
	return Step{Settlement: Settlement{Item: r.Item, Free: true}, Changed: true}
}

// waits leaves the removal as it is until more is known.
func (r Removal) waits(why string) Step {
	was := r.Item
	r.Item.Outcome, r.Item.Why = cmp.Or(was.Outcome, access.OutcomeOpen), why
	return Step{Settlement: Settlement{Item: r.Item}, Changed: differs(r.Item, was)}
}

// goesOn has the removal carried out, or says that the guard holds it.
func (r Removal) goesOn() Step {
	was := r.Item
	r.Item.Outcome, r.Item.Plan, r.Item.Why = access.OutcomeOpen, "", ""
	if r.written(access.Held) && r.HoldPlan != "" && r.Run == r.HoldRun {
		r.Item.Outcome, r.Item.Plan, r.Item.Run = access.OutcomeHeld, r.HoldPlan, r.Run
		r.Item.Why = "the guard holds it: " + strings.Join(r.Line.HeldBy, ", ")
	}
	return Step{Settlement: Settlement{Item: r.Item}, Changed: differs(r.Item, was)}
}

func differs(i, was access.Item) bool {
	return i.Outcome != was.Outcome || i.Plan != was.Plan || i.Why != was.Why
}

// gone is what becomes of a removal whose person is not shown in the target any more. Where nothing was written, the
// members of a group are to be asked too: one read may lie.
func (r Removal) gone() Step {
	if !r.written(access.Done) && !r.written(access.Already) {
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
	step := r.end(access.OutcomeDenied, fmt.Sprintf("removed and read back (%s). What gives it still does, and is "+
		"overruled until %s: its source must change before that", answer, ruling.Until.UTC().Format(time.DateOnly)))
	step.Item.Until, step.Free = ruling.Until, false
	return step
}

// NotMember returns the end of a removal whose person the members of the group do not name either.
func (r Removal) NotMember() Step {
	return r.end(access.OutcomeGone, "it was held no more before anything was written")
}

// StillMember returns what a removal waits for whose person is among the members of the group.
func (r Removal) StillMember() Step {
	return r.waits("one read shows the person in it, another does not")
}

// written reports whether the last removal stands so.
func (r Removal) written(state access.ChangeState) bool {
	return r.Line != nil && r.Line.State == state
}

// ruling is this review's ruling on the item.
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

// sources says what gives a target and would give it back; "" for nothing. A rule of which it cannot be told now is
// taken at its last word.
func sources(reasons []access.Reason) string {
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
	return "the source must change: " + strings.Join(words[:min(len(words), mostSources)], "; ")
}

// mostSources is how many sources are named.
const mostSources = 10

// Late returns the end of a removal that was not carried out in time; failed says what kept it from being looked at.
func Late(i access.Item, failed string) Settlement {
	switch {
	case i.Outcome == access.OutcomeHeld:
		i.Why = "nobody decided on the plan that held it, " + i.Plan
	case failed != "":
		i.Why = "it could not be looked at: " + failed
	case i.Why == "":
		i.Why = "the organization's loop did not take it in time: was it paused, or not running?"
	}
	i.Outcome = access.OutcomeLate
	return Settlement{Item: i, Free: true}
}
