package evidence

import (
	"errors"
	"fmt"

	"github.com/castellan-io/castellan/access"
)

// checker checks the lines against each other.
type checker struct {
	begun, ended bool
	head         Head
	counts       Counts
	items        []itemCheck // by number, from 1
}

func (c *checker) line(kind string, body []byte, see visitor) error {
	if !c.begun && kind != kindReview {
		return fmt.Errorf("it is of kind %q, but the first line must be of kind review", kind)
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

func (c *checker) review(body []byte, see visitor) error {
	if c.begun {
		return errors.New("it is a second line of kind review")
	}
	o, err := decodeBody[opening](body)
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

func (c *checker) item(body []byte, see visitor) error {
	i, err := decodeBody[access.Item](body)
	switch {
	case err != nil:
		return err
	case c.counts.Events > 0:
		return errors.New("an item comes after events")
	case i.N != c.counts.Items+1:
		return fmt.Errorf("it is item %d instead of item %d", i.N, c.counts.Items+1)
	}
	if err := checkItem(i, c.head.Review); err != nil {
		return fmt.Errorf("item %d: %w", i.N, err)
	}
	c.counts.add(i)
	c.items = append(c.items, newItemCheck(i))
	if see.item != nil {
		see.item(i)
	}
	return nil
}

func (c *checker) event(body []byte, see visitor) error {
	e, err := decodeBody[access.ReviewEvent](body)
	switch {
	case err != nil:
		return err
	case e.Seq != c.counts.Events+1:
		return fmt.Errorf("it is event %d instead of event %d", e.Seq, c.counts.Events+1)
	case e.Item < 0 || e.Item > len(c.items):
		return fmt.Errorf("event %d is about item %d, but there are %d items", e.Seq, e.Item, len(c.items))
	}
	c.counts.Events++
	if err := c.checkEvent(e); err != nil {
		return fmt.Errorf("event %d: %w", e.Seq, err)
	}
	if see.event != nil {
		see.event(e)
	}
	return nil
}

func (c *checker) end(body []byte) error {
	end, err := decodeBody[Counts](body)
	if err != nil {
		return err
	}
	if end.Verdicts == nil || end.Outcomes == nil {
		return errors.New("its counts of verdicts or outcomes are missing")
	}
	if wrong := end.mismatch(c.counts); wrong != "" {
		return errors.New(wrong)
	}
	// A review that was cancelled while it opened had not counted its items yet.
	if r := c.head.Review; r.Items != c.counts.Items && (r.State != access.ReviewCancelled || r.Stage > 0) {
		return fmt.Errorf("the review has %d items, and the pack %d", c.head.Review.Items, c.counts.Items)
	}
	c.ended = true
	return nil
}
