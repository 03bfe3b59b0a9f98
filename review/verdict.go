package review

import (
	"fmt"
	"slices"
	"time"

	"github.com/castellan-io/castellan/access"
)

// Verdict returns the verdict of several decisions: of those in the last stage that has any, the stricter
// (access.Stricter).
func Verdict(said []access.ItemDecision) (v access.Verdict, stage int) {
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

// Decider returns the last decision that agrees with the verdict; none for an item that silence decided.
func Decider(i access.Item) (last access.ItemDecision) {
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

// Unchanged reports whether a person last decided to keep an item, and it is still held for the same reasons.
func Unchanged(i access.Item, last access.PastDecision, owned bool, reasons []access.Reason) bool {
	return last.Verdict == access.VerdictKeep && last.By != "" && i.Owned == owned &&
		slices.EqualFunc(i.Reasons, reasons, func(a, b access.Reason) bool {
			return a.Kind == b.Kind && a.Name == b.Name && a.Source == b.Source
		})
}

// StageFilters reports, for each stage, which verdicts go on to the next.
type StageFilters []func(access.Verdict) bool

// Enters reports whether an item enters a stage: its last stage was the one before, whose verdict goes on. decided is
// the last stage with a decision, v the verdict of that.
func (c StageFilters) Enters(stage, last, decided int, v access.Verdict) bool {
	if stage == 1 {
		return true
	}
	if decided < stage-1 {
		v = ""
	}
	return last == stage-1 && c[stage-2](v)
}

// Due reports whether to carry out an item's removal now: it is under way, or atOnce is true, it was decided, and no
// further stage has the item.
func (c StageFilters) Due(i access.Item, atOnce bool) bool {
	if i.Outcome != "" {
		return true
	}
	last := i.Stage >= len(c) || !c[i.Stage-1](access.VerdictRemove)
	return i.Verdict == access.VerdictRemove && last && atOnce
}

// Resolution is what becomes of one item.
type Resolution struct {
	Item      access.Item    // with its verdict, outcome, reason and so on
	NewRuling *access.Ruling // comes into force; nil: no change
	EndRuling bool           // the item's ruling ends
}

// Closer resolves a review's items when deciding ends. Count every item before the first Close, so that silence never
// removes the last holders of a target.
type Closer struct {
	Review  string
	Holders map[access.Entitlement]int
	Silence func(access.Item) access.Verdict // verdict by the campaign's rule for silence; "": none
	Keep    time.Duration                    // how long a decision to keep is a reason
	Now     time.Time

	decided, silent map[access.Entitlement]int // removals by target
}

// Count counts an item's removal, if any.
func (c *Closer) Count(i access.Item) {
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

// empties reports whether silence would remove the last holders of a target.
func (c *Closer) empties(target access.Entitlement) bool {
	return c.silent[target] > 0 && c.decided[target]+c.silent[target] >= c.Holders[target]
}

// Close resolves one item. An item that has an outcome stays as it is.
func (c *Closer) Close(i access.Item) Resolution {
	if i.Outcome != "" {
		return Resolution{Item: i}
	}
	if i.Verdict == "" {
		i.Verdict, i.Silent = c.Silence(i), true
		switch {
		case i.Verdict == "":
			i.Silent, i.Outcome, i.Why = false, access.OutcomeUndecided,
				"nobody decided; it stays as it is until a person does"
			return Resolution{Item: i}
		case i.Verdict == access.VerdictRemove && c.empties(i.Target):
			i.Outcome = access.OutcomeSpared
			i.Why = fmt.Sprintf("nobody decided, and the rule for silence would have removed the last of %d holders; "+
				"it stays as it is until a person decides", c.Holders[i.Target])
			return Resolution{Item: i}
		}
	}
	if i.Verdict == access.VerdictRemove {
		i.Outcome = access.OutcomeOpen
		return Resolution{Item: i}
	}
	i.Outcome = access.OutcomeKept
	s := Resolution{Item: i}
	if len(i.Reasons) == 0 && !i.Target.Presence() { // the decision becomes its reason, for a while
		s.Item.Until = c.Now.Add(c.Keep)
		s.NewRuling = &access.Ruling{Review: c.Review, Person: i.Person, Target: i.Target, Verdict: access.VerdictKeep,
			At: c.Now, Until: s.Item.Until}
	}
	return s
}

// Unexplained resolves an item whose rows were not written by the ledger: nobody can tell what was decided.
func Unexplained(i access.Item) Resolution {
	i.Outcome, i.Why, i.Plan, i.Until = access.OutcomeRefused, unexplainedText, "", time.Time{}
	return Resolution{Item: i, EndRuling: true}
}

const unexplainedText = "the ledger's chain does not explain its row: it was not written by Castellan, " +
	"so nothing is done about it; starter verify-ledger names all such rows"

// Dropped resolves an item of a cancelled review.
func Dropped(i access.Item) Resolution {
	i.Outcome, i.Why = access.OutcomeDropped, "the review was cancelled"
	return Resolution{Item: i}
}
