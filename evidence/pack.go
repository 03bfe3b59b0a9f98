package evidence

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/castellan-io/castellan/access"
)

// The kinds of line.
const (
	kindReview = "review"
	kindItem   = "item"
	kindEvent  = "event"
	kindEnd    = "end"
)

// format is the version of the format that this package reads and writes.
const format = "castellan-evidence/1"

// opening is the body of the first line.
type opening struct {
	Format string `json:"format"`
	Head
}

// Head describes the review as a whole.
type Head struct {
	Org       string          `json:"org"`      // short name of the organization
	Review    access.Review   `json:"review"`   // without the seal of its evidence, which does not exist yet
	Campaign  json.RawMessage `json:"campaign"` // the policy's campaign, a JSON object
	Policy    string          `json:"policy"`   // hash of the review's policy
	Made      time.Time       `json:"made"`     // when the pack was made
	Castellan string          `json:"castellan,omitempty"`
}

func (h Head) check() error {
	switch {
	case h.Org == "":
		return errors.New("no organization is named")
	case h.Review.ID == "":
		return errors.New("the review has no id")
	case h.Review.State == access.ReviewOpening || h.Review.State == access.ReviewOpen:
		return fmt.Errorf("the review is %s: only one that people have done deciding has evidence", h.Review.State)
	case h.Review.State != access.ReviewClosing && !h.Review.State.Final():
		return fmt.Errorf("%q is no state of a review", h.Review.State)
	case h.Review.Head != "" || h.Review.Lines != 0:
		return errors.New("the review names the head of its evidence, which nobody can have known before it was made")
	case h.Policy != h.Review.Policy:
		return fmt.Errorf("the campaign is from policy %q, and the review followed %q", h.Policy, h.Review.Policy)
	}
	_, err := readSettings(h.Campaign)
	return err
}

// Counts are a pack's numbers. Verdicts and Outcomes have only keys that occur; items without one count as None.
type Counts struct {
	Items      int            `json:"items"`
	Events     int            `json:"events"`
	Verdicts   map[string]int `json:"verdicts"`
	Outcomes   map[string]int `json:"outcomes"`
	Exceptions int            `json:"exceptions"` // outcomes that are not what was decided
	Silent     int            `json:"silent"`     // items that the rule for silence decided
}

// None is the key in Counts for no verdict, or no outcome.
const None = "none"

func newCounts() Counts {
	return Counts{Verdicts: make(map[string]int), Outcomes: make(map[string]int)}
}

func (c *Counts) add(i access.Item) {
	c.Items++
	c.Verdicts[orNone(string(i.Verdict))]++
	c.Outcomes[orNone(string(i.Outcome))]++
	if i.Outcome.Exception() {
		c.Exceptions++
	}
	if i.Silent {
		c.Silent++
	}
}

// mismatch describes the first difference from the actual counts; "" for none.
func (c Counts) mismatch(from Counts) string {
	switch {
	case c.Items != from.Items:
		return fmt.Sprintf("it counts %d items, and there are %d", c.Items, from.Items)
	case c.Events != from.Events:
		return fmt.Sprintf("it counts %d events, and there are %d", c.Events, from.Events)
	case !maps.Equal(c.Verdicts, from.Verdicts):
		return fmt.Sprintf("it counts the verdicts %v, and there are %v", c.Verdicts, from.Verdicts)
	case !maps.Equal(c.Outcomes, from.Outcomes):
		return fmt.Sprintf("it counts the outcomes %v, and there are %v", c.Outcomes, from.Outcomes)
	case c.Exceptions != from.Exceptions:
		return fmt.Sprintf("it counts %d exceptions, and there are %d", c.Exceptions, from.Exceptions)
	case c.Silent != from.Silent:
		return fmt.Sprintf("it counts %d silent items, and there are %d", c.Silent, from.Silent)
	}
	return ""
}

func orNone(word string) string {
	if word == "" {
		return None
	}
	return word
}
