package evidence

import (
	"errors"
	"fmt"

	"github.com/castellan-io/castellan/access"
)

// checkItem returns an error if an item contradicts itself or its review.
func checkItem(i access.Item, review access.Review) error {
	if i.Person == "" || i.Target == "" {
		return errors.New("it names no person or no target")
	}
	if i.Stage < 0 || i.Stage > review.Stages {
		return fmt.Errorf("it came to stage %d of %d", i.Stage, review.Stages)
	}
	if err := checkDecisions(i); err != nil {
		return err
	}
	if err := checkVerdict(i); err != nil {
		return err
	}
	return checkOutcome(i, review.State == access.ReviewCancelled)
}

func checkDecisions(i access.Item) error {
	type key struct {
		stage int
		by    string
	}
	seen := make(map[key]bool, len(i.Said))
	for _, s := range i.Said {
		k := key{s.Stage, s.By}
		switch {
		case s.By == "":
			return errors.New("nobody said what was said")
		case s.Verdict != access.VerdictKeep && s.Verdict != access.VerdictRemove:
			return fmt.Errorf("%s said %q, which is no verdict", s.By, s.Verdict)
		case s.Stage < 1 || s.Stage > i.Stage:
			return fmt.Errorf("%s said something in stage %d, and it came to stage %d", s.By, s.Stage, i.Stage)
		case seen[k]:
			return fmt.Errorf("%s said two things in stage %d", s.By, s.Stage)
		}
		seen[k] = true
	}
	return nil
}

func checkVerdict(i access.Item) error {
	switch i.Verdict {
	case "", access.VerdictKeep, access.VerdictRemove:
	default:
		return fmt.Errorf("%q is no verdict", i.Verdict)
	}
	switch {
	case i.Silent && len(i.Said) > 0:
		return fmt.Errorf("nobody is said to have decided, and %s did", i.Said[0].By)
	case i.Silent: // the verdict is that of the campaign's rule for silence
		return nil
	}
	stage, want := 0, access.Verdict("")
	for _, s := range i.Said {
		if s.Stage > stage {
			stage, want = s.Stage, ""
		}
		if s.Stage == stage {
			want = access.Stricter(want, s.Verdict)
		}
	}
	if i.Verdict != want {
		return fmt.Errorf("its verdict is %s, and what was said comes to %s", orNone(string(i.Verdict)),
			orNone(string(want)))
	}
	return nil
}

func checkOutcome(i access.Item, cancelled bool) error {
	if _, known := outcomeTexts[i.Outcome]; !known {
		return fmt.Errorf("%q is no outcome", i.Outcome)
	}
	if cancelled { // any outcome is possible
		return nil
	}
	if !i.Outcome.Final() {
		return fmt.Errorf("its outcome is %s, which is not the last word, and the review was not cancelled",
			orNone(string(i.Outcome)))
	}
	if !outcomeMatches(i) {
		verdict := "its verdict is " + orNone(string(i.Verdict))
		if i.Silent {
			verdict += " by the rule for silence"
		}
		return fmt.Errorf("%s, and its outcome %s", verdict, i.Outcome)
	}
	return nil
}

// outcomeMatches reports whether the outcome is possible for the verdict.
func outcomeMatches(i access.Item) bool {
	switch i.Outcome {
	case access.OutcomeDropped:
		return false
	case access.OutcomeUndecided:
		return i.Verdict == ""
	case access.OutcomeSpared:
		return i.Silent
	case access.OutcomeGone:
		return true
	case access.OutcomeKept:
		return i.Verdict == access.VerdictKeep || i.Silent && i.Verdict == ""
	}
	// All other outcomes are those of removals.
	return i.Verdict == access.VerdictRemove || i.Silent && i.Verdict == ""
}
