package main

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
)

// Texts about items, for lists and spreadsheets alike.

const notKnown = "not known"

func personOf(i access.Item) string { return access.Person{ID: i.Person, Email: i.Email}.Label() }

func whyHeld(i access.Item) string {
	if len(i.Reasons) == 0 {
		return "nothing in the policy explains it"
	}
	return reasons(i.Reasons)
}

func heldSince(i access.Item) string {
	if i.Since.IsZero() {
		return notKnown
	}
	return i.Since.UTC().Format(time.DateOnly)
}

func madeBy(i access.Item) string {
	if i.Owned {
		return "Castellan"
	}
	return "someone else"
}

func lastUse(i access.Item) string {
	if len(i.Uses) == 0 {
		return notKnown
	}
	var uses []string
	for _, u := range i.Uses {
		when := notKnown
		switch {
		case u.Never:
			when = "never"
		case !u.Last.IsZero():
			when = u.Last.UTC().Format(time.DateOnly)
		}
		uses = append(uses, u.App+" "+when)
	}
	return strings.Join(uses, ", ")
}

func peersOf(i access.Item) string {
	if i.Peers == nil {
		return "nobody to compare with"
	}
	return fmt.Sprintf("%d of %d others in %s hold it", i.Peers.Hold, i.Peers.Of, i.Peers.Group)
}

func externalOf(i access.Item) string {
	switch {
	case i.External == nil:
		return notKnown
	case *i.External:
		return "yes"
	}
	return "no"
}

func previousDecision(i access.Item) string {
	if i.Before == nil {
		return ""
	}
	by := cmp.Or(i.Before.ByEmail, i.Before.By)
	if by == "" {
		by = "nobody, by the rule for silence"
	}
	return fmt.Sprintf("%s by %s on %s", i.Before.Verdict, by, i.Before.At.UTC().Format(time.DateOnly))
}

// decisionsText lists the decisions on an item, without those that skip reports.
func decisionsText(i access.Item, skip func(access.ItemDecision) bool) string {
	var texts []string
	for _, one := range i.Said {
		if skip != nil && skip(one) {
			continue
		}
		text := fmt.Sprintf("%s by %s", one.Verdict, one.Who())
		if one.Comment != "" {
			text += ": " + one.Comment
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, "; ")
}
