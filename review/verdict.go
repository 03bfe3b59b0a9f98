package review

import (
	"fmt"
	"slices"
	"time"

	"github.com/castellan-io/castellan/access"
)

// Verdict returns what words come to: those of the last stage in which somebody said something, the stricter of several
// (access.Stricter).
func Verdict(said []access.Said) (v access.Verdict, stage int) {
	for _, s := range said {
		switch {
		case s.Stage > stage:
			v, stage = s.Verdict, s.Stage
		case s.Stage == stage:
			v = access.Stricter(v, s.Verdict)
		}
	}
	return v, stage
}

// Decider returns the last word that says the verdict that counts; nobody's for an item that silence decided.
func Decider(i access.Item) (last access.Said) {
	if i.Silent {
		return last
	}
	_, stage := Verdict(i.Said)
	for _, s := range i.Said {
		if s.Stage == stage && s.Verdict == i.Verdict && !s.At.Before(last.At) {
			last = s
		}
	}
	return last
}

// Unchanged reports whether somebody decided last to keep an item, and it is held for the same reasons as then.
func Unchanged(i access.Item, last access.PastDecision, owned bool, reasons []access.Reason) bool {
	return last.Verdict == access.VerdictKeep && last.By != "" && i.Owned == owned &&
		slices.EqualFunc(i.Reasons, reasons, func(a, b access.Reason) bool {
			return a.Kind == b.Kind && a.Name == b.Name && a.Source == b.Source
		})
}

// Course is which verdicts of a stage go on to the next one, by stage.
type Course []func(access.Verdict) bool

// Comes reports whether an item comes to a stage that begins: its last stage was the one before, and what that said of
// it goes on. Spoke is the last stage in which anybody said something, and v what that came to.
func (c Course) Comes(stage, last, spoke int, v access.Verdict) bool {
	if stage == 1 {
		return true
	}
	if spoke < stage-1 {
		v = ""
	}
	return last == stage-1 && c[stage-2](v)
}

// Due reports whether the removal of an item is to be carried out: it is under way, or was decided and is carried out
// at once, since no further stage will look at the item.
func (c Course) Due(i access.Item, atOnce bool) bool {
	if i.Outcome != "" {
		return true
	}
	last := i.Stage >= len(c) || !c[i.Stage-1](access.VerdictRemove)
	return i.Verdict == access.VerdictRemove && last && atOnce
}

// Settlement is what happens to one item once deciding is over, or at once.
type Settlement struct {
	Item access.Item    // with its verdict, outcome and all that belongs to that
	Rule *access.Ruling // comes into force; nil: as it was
	Free bool           // its ruling ends
}

// Closing decides what deciding comes to. Every item is counted before the first is ended: silence takes nobody's last
// holders.
type Closing struct {
	Review  string
	Holders map[access.Entitlement]int
	Silence func(access.Item) access.Verdict // what the campaign's rule for silence says of an item; "": nothing
	Keep    time.Duration                    // for how long a decision to keep is a reason
	Now     time.Time

	decided, silent map[access.Entitlement]int // removals by target
}

// Count counts an item among the removals of its target.
func (c *Closing) Count(i access.Item) {
	if c.decided == nil {
		c.decided, c.silent = map[access.Entitlement]int{}, map[access.Entitlement]int{}
	}
	switch {
	case i.Verdict == access.VerdictRemove && !i.Silent:
		c.decided[i.Target]++
	case i.Verdict == "" && c.Silence(i) == access.VerdictRemove, i.Silent && i.Verdict == access.VerdictRemove:
		c.silent[i.Target]++
	}
}

// empties reports whether silence would take the last holders of a target.
func (c *Closing) empties(target access.Entitlement) bool {
	return c.silent[target] > 0 && c.decided[target]+c.silent[target] >= c.Holders[target]
}

// End returns what deciding comes to for one item. One that has an outcome stays as it is.
func (c *Closing) End(i access.Item) Settlement {
	if i.Outcome != "" {
		return Settlement{Item: i}
	}
	if i.Verdict == "" {
		i.Verdict, i.Silent = c.Silence(i), true
		switch {
		case i.Verdict == "":
			i.Silent, i.Outcome, i.Why = false, access.OutcomeUndecided,
				"nobody decided; it stays as it is until somebody does"
			return Settlement{Item: i}
		case i.Verdict == access.VerdictRemove && c.empties(i.Target):
			i.Outcome = access.OutcomeSpared
			i.Why = fmt.Sprintf("nobody decided, and silence would have taken the last of %d holders; "+
				"it stays as it is until somebody decides", c.Holders[i.Target])
			return Settlement{Item: i}
		}
	}
	if i.Verdict == access.VerdictRemove {
		i.Outcome = access.OutcomeOpen
		return Settlement{Item: i}
	}
	i.Outcome = access.OutcomeKept
	s := Settlement{Item: i}
	if len(i.Reasons) == 0 && !i.Target.Presence() { // nothing else explains it: the decision does, for a while
		s.Item.Until = c.Now.Add(c.Keep)
		s.Rule = &access.Ruling{Review: c.Review, Person: i.Person, Target: i.Target, Verdict: access.VerdictKeep,
			At: c.Now, Until: s.Item.Until}
	}
	return s
}

// Unexplained returns the end of an item whose rows were written past the ledger: nobody can tell what was decided.
func Unexplained(i access.Item) Settlement {
	i.Outcome, i.Why, i.Plan, i.Until = access.OutcomeRefused, unexplained, "", time.Time{}
	return Settlement{Item: i, Free: true}
}

const unexplained = "the ledger's chain does not explain what is written of it: somebody wrote it past Castellan, " +
	"so nothing is done about it; starter verify-ledger names all such rows"

// Dropped returns the end of an item of a review that was cancelled.
func Dropped(i access.Item) Settlement {
	i.Outcome, i.Why = access.OutcomeDropped, "the review was cancelled"
	return Settlement{Item: i}
}
