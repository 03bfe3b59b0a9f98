package evidence

import (
	"errors"
	"fmt"

	"github.com/castellan-io/castellan/access"
)

// contents holds what the lines say against each other.
type contents struct {
	begun, ended bool
	head         Head
	counts       Counts
	items        []asked // by number, from 1
}

func (c *contents) line(kind string, body []byte, see visitor) error {
	if !c.begun && kind != kindReview {
		return fmt.Errorf("it is of kind %q, and the first line must be of kind review", kind)
	}
	switch kind {
	case kindReview:
		return c.review(body, see)
	case kindItem:
		return c.item(body, see)
	case kindEvent:
		return c.event(body, see)
	case kindEnd:
		return c.end(body)
	}
	return fmt.Errorf("%q is no kind of line", kind)
}

func (c *contents) review(body []byte, see visitor) error {
	if c.begun {
		return errors.New("it is a second line of kind review")
	}
	o, err := valueOf[opening](body)
	if err != nil {
		return err
	}
	if o.Format != format {
		return fmt.Errorf("the pack is in the form %q, and this version of Castellan knows %q", o.Format, format)
	}
	if err := o.check(); err != nil {
		return err
	}
	c.begun, c.head = true, o.Head
	if see.head != nil {
		see.head(o.Head)
	}
	return nil
}

func (c *contents) item(body []byte, see visitor) error {
	i, err := valueOf[access.Item](body)
	switch {
	case err != nil:
		return err
	case c.counts.Events > 0:
		return errors.New("an item comes after events")
	case i.N != c.counts.Items+1:
		return fmt.Errorf("it is item %d, and item %d is next", i.N, c.counts.Items+1)
	}
	if err := checkItem(i, c.head.Review); err != nil {
		return fmt.Errorf("item %d: %w", i.N, err)
	}
	c.counts.add(i)
	c.items = append(c.items, askedOf(i))
	if see.item != nil {
		see.item(i)
	}
	return nil
}

func (c *contents) event(body []byte, see visitor) error {
	e, err := valueOf[access.ReviewEvent](body)
	switch {
	case err != nil:
		return err
	case e.Seq != c.counts.Events+1:
		return fmt.Errorf("it is event %d, and event %d is next", e.Seq, c.counts.Events+1)
	case e.Item < 0 || e.Item > len(c.items):
		return fmt.Errorf("event %d is about item %d, and there are %d items", e.Seq, e.Item, len(c.items))
	}
	c.counts.Events++
	if err := c.heard(e); err != nil {
		return fmt.Errorf("event %d: %w", e.Seq, err)
	}
	if see.event != nil {
		see.event(e)
	}
	return nil
}

func (c *contents) end(body []byte) error {
	end, err := valueOf[Counts](body)
	if err != nil {
		return err
	}
	if end.Verdicts == nil || end.Outcomes == nil {
		return errors.New("its counts of verdicts or outcomes are missing")
	}
	if wrong := end.differs(c.counts); wrong != "" {
		return errors.New(wrong)
	}
	// One that is cancelled while it opens has not counted its items yet.
	if r := c.head.Review; r.Items != c.counts.Items && (r.State != access.ReviewCancelled || r.Stage > 0) {
		return fmt.Errorf("the review has %d items, and the pack %d", c.head.Review.Items, c.counts.Items)
	}
	c.ended = true
	return nil
}
