package evidence

import (
	"errors"
	"fmt"
	"time"

	"github.com/castellan-io/castellan/access"
)

// asked is what must still be heard of an item in the log: each word that counts there was said.
type asked struct {
	words []word
	stray int // number of the event of a decision of which the item does not know; 0: none
}

// word is what one person said of an item in one stage, as the item has it, and as the log does.
type word struct {
	access.Said
	verdict   access.Verdict // of the person's last decision in the log; "": there was none
	at        time.Time      // of it
	commented bool           // the log has the comment too
}

func askedOf(i access.Item) asked {
	a := asked{words: make([]word, len(i.Said))}
	for n, said := range i.Said {
		a.words[n] = word{Said: said, commented: said.Comment == ""}
	}
	return a
}

// heard holds an event against what the items say.
func (c *contents) heard(e access.ReviewEvent) error {
	switch e.Kind {
	case "":
		return errors.New("it has no kind")
	case access.EventDecided:
		return c.decided(e)
	case access.EventCommented:
		if e.Item > 0 {
			c.items[e.Item-1].comment(e)
		}
	case access.EventReopened: // what was decided before counts no more
		if e.Item > 0 {
			c.items[e.Item-1].stray = 0
			break
		}
		for i := range c.items {
			c.items[i].stray = 0
		}
	}
	return nil
}

func (c *contents) decided(e access.ReviewEvent) error {
	switch {
	case e.Item == 0:
		return errors.New("it is a decision on no item")
	case e.By == "":
		return errors.New("nobody made the decision")
	case e.Verdict != access.VerdictKeep && e.Verdict != access.VerdictRemove:
		return fmt.Errorf("%q is no verdict", e.Verdict)
	}
	a := &c.items[e.Item-1]
	for n := range a.words {
		if w := &a.words[n]; w.Stage == e.Stage && w.By == e.By {
			w.verdict, w.at = e.Verdict, e.At
			a.comment(e)
			return nil
		}
	}
	a.stray = e.Seq
	return nil
}

func (a *asked) comment(e access.ReviewEvent) {
	for n := range a.words {
		if w := &a.words[n]; w.By == e.By && (w.Comment == e.Text || w.Comment == cut(e.Text, mostShort)) {
			w.commented = true
		}
	}
}

// agree says what of the items' words the log does not have, and what of the log the items do not have.
func (c *contents) agree() error {
	for i, a := range c.items {
		for _, w := range a.words {
			if wrong := w.differs(); wrong != "" {
				return fmt.Errorf("line %d: item %d: %s said %s in stage %d, and %s", i+2, i+1, w.By, w.Verdict,
					w.Stage, wrong)
			}
		}
		if a.stray > 0 {
			return fmt.Errorf("line %d: event %d: it is a decision on item %d, and the item does not say so",
				1+len(c.items)+a.stray, a.stray, i+1)
		}
	}
	return nil
}

func (w word) differs() string {
	switch {
	case w.verdict == "":
		return "no event of the log is that decision"
	case w.verdict != w.Verdict:
		return "the log says " + string(w.verdict)
	case !w.at.Equal(w.At):
		return fmt.Sprintf("the log has it at %s rather than %s", exact(w.at), exact(w.At))
	case !w.commented:
		return "the log does not have the comment"
	}
	return ""
}

func exact(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
