package evidence

import (
	"errors"
	"fmt"
	"time"

	"github.com/castellan-io/castellan/access"
)

// itemCheck checks an item's decisions against the log.
type itemCheck struct {
	decisions []decisionCheck
	unmatched int // number of a decision's event that the item does not have; 0: none
}

// decisionCheck is one person's decision in one stage, as in the item and as in the log.
type decisionCheck struct {
	access.ItemDecision
	verdict   access.Verdict // of the person's last decision in the log; "": none
	at        time.Time      // the time of that
	commented bool           // the log has the comment too
}

func newItemCheck(i access.Item) itemCheck {
	a := itemCheck{decisions: make([]decisionCheck, len(i.Said))}
	for n, said := range i.Said {
		a.decisions[n] = decisionCheck{ItemDecision: said, commented: said.Comment == ""}
	}
	return a
}

// checkEvent checks an event against the items.
func (c *checker) checkEvent(e access.ReviewEvent) error {
	switch e.Kind {
	case "":
		return errors.New("it has no kind")
	case access.EventDecided:
		return c.checkDecision(e)
	case access.EventCommented:
		if e.Item > 0 {
			c.items[e.Item-1].matchComment(e)
		}
	case access.EventReopened: // what was decided before counts no more
		if e.Item > 0 {
			c.items[e.Item-1].unmatched = 0
			break
		}
		for i := range c.items {
			c.items[i].unmatched = 0
		}
	}
	return nil
}

func (c *checker) checkDecision(e access.ReviewEvent) error {
	switch {
	case e.Item == 0:
		return errors.New("it is a decision on no item")
	case e.By == "":
		return errors.New("nobody made the decision")
	case e.Verdict != access.VerdictKeep && e.Verdict != access.VerdictRemove:
		return fmt.Errorf("%q is no verdict", e.Verdict)
	}
	a := &c.items[e.Item-1]
	for n := range a.decisions {
		if w := &a.decisions[n]; w.Stage == e.Stage && w.By == e.By {
			w.verdict, w.at = e.Verdict, e.At
			a.matchComment(e)
			return nil
		}
	}
	a.unmatched = e.Seq
	return nil
}

func (a *itemCheck) matchComment(e access.ReviewEvent) {
	for n := range a.decisions {
		if w := &a.decisions[n]; w.By == e.By && (w.Comment == e.Text || w.Comment == truncate(e.Text, maxShortText)) {
			w.commented = true
		}
	}
}

// crossCheck returns an error if the items and the log do not have the same decisions.
func (c *checker) crossCheck() error {
	for i, a := range c.items {
		for _, w := range a.decisions {
			if wrong := w.mismatch(); wrong != "" {
				return fmt.Errorf("line %d: item %d: %s said %s in stage %d, and %s", i+2, i+1, w.By, w.Verdict,
					w.Stage, wrong)
			}
		}
		if a.unmatched > 0 {
			return fmt.Errorf("line %d: event %d: it is a decision on item %d, and the item does not say so",
				1+len(c.items)+a.unmatched, a.unmatched, i+1)
		}
	}
	return nil
}

func (w decisionCheck) mismatch() string {
	switch {
	case w.verdict == "":
		return "no event of the log is that decision"
	case w.verdict != w.Verdict:
		return "the log says " + string(w.verdict)
	case !w.at.Equal(w.At):
		return fmt.Sprintf("the log has it at %s rather than %s", formatExact(w.at), formatExact(w.At))
	case !w.commented:
		return "the log does not have the comment"
	}
	return ""
}

func formatExact(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
