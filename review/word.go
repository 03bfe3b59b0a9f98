package review

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
)

// Why what a reviewer says is refused as a whole.
var (
	ErrNotReviewer = errors.New("nobody of this name is asked about anything in this stage of the review")
	ErrOver        = errors.New("deciding is over")
)

// Takes returns an error when nothing that is said counts in a review as it stands.
func Takes(r access.Review) error {
	if r.State != access.ReviewOpen {
		return fmt.Errorf("%w: the review is %s", ErrOver, r.State)
	}
	return nil
}

// Names are all that one person goes by in a review: their account id, and what they went by in a review from before
// reviewers were accounts. They are in lower case, account ids as they are too.
type Names map[string]bool

// NamesOf returns the names of an account that goes by its id alone; none for "".
func NamesOf(account string) Names {
	if account == "" {
		return Names{}
	}
	return Names{account: true, strings.ToLower(account): true}
}

// Has reports whether the person goes by a name.
func (n Names) Has(name string) bool { return name != "" && n[strings.ToLower(name)] }

// List returns the names in order.
func (n Names) List() []string { return slices.Sorted(maps.Keys(n)) }

// Asked is by what a reviewer is asked about an item.
type Asked struct {
	access.Task
	Verdict access.Verdict // what they said of it already; "": nothing
}

// Word is what one reviewer says of one item.
type Word struct {
	Kind    string // access.EventDecided, …Commented, …Delegated or …Reopened
	Stage   int
	By      Names
	Email   string // of who speaks, to be read and never compared
	Via     string
	Verdict access.Verdict
	Comment string
	Version *int // of the item as the reviewer saw it; nil: it does not matter
	To      string
	ToEmail string
	ToNames Names // all by which the one goes to whom it is handed; none: that is not said
	At      time.Time
}

// Said is what a word comes to. It was refused, or repeats what was said before, or is to be recorded.
type Said struct {
	Refused  string
	Repeated bool
	Item     access.Item // with what is said of it now
	Spoke    int         // the last stage in which anybody has said something of it
	Own      access.Verdict
	Give     access.Task // of whom it is handed to
	Event    access.ReviewEvent
}

// Changes reports whether something else is said of the item than before.
func (w Word) Changes() bool { return w.Kind == access.EventDecided || w.Kind == access.EventReopened }

// Say returns what a word about an item comes to, of which its reviewer is asked.
func Say(i access.Item, asked Asked, w Word) Said {
	switch w.Kind {
	case access.EventDecided:
		return w.decide(i, asked)
	case access.EventReopened:
		return w.reopen(i, asked)
	case access.EventDelegated:
		return w.delegate(i, asked)
	}
	return Said{Event: w.event(i, asked)}
}

func (w Word) decide(i access.Item, asked Asked) Said {
	at := w.own(i)
	one := access.Said{Stage: w.Stage, By: w.voice(i, asked), Email: w.Email, Verdict: w.Verdict, Comment: w.Comment,
		At: w.At}
	switch {
	case at >= 0 && i.Said[at].Verdict == one.Verdict && (one.Comment == "" || one.Comment == i.Said[at].Comment):
		return Said{Repeated: true}
	case one.Verdict != access.VerdictKeep && one.Verdict != access.VerdictRemove:
		return Said{Refused: fmt.Sprintf("%q is no verdict: write keep or remove", one.Verdict)}
	case w.Version != nil && *w.Version != i.Version:
		return Said{Refused: "more was said of it since you saw it; look at it again"}
	}
	said := slices.Clone(i.Said)
	if at >= 0 {
		said[at] = one
	} else {
		said = append(said, one)
	}
	slices.SortStableFunc(said, func(a, b access.Said) int {
		return cmp.Or(cmp.Compare(a.Stage, b.Stage), strings.Compare(a.By, b.By))
	})
	if v, _ := Verdict(said); i.Outcome != "" && v != i.Verdict {
		return Said{Refused: carriedOut}
	}
	return w.changed(i, said, w.Verdict, w.event(i, asked))
}

const carriedOut = "it is being carried out already"

func (w Word) reopen(i access.Item, asked Asked) Said {
	at := w.own(i)
	switch {
	case at < 0:
		return Said{Repeated: true}
	case i.Outcome != "":
		return Said{Refused: carriedOut}
	}
	return w.changed(i, slices.Delete(slices.Clone(i.Said), at, at+1), "", w.event(i, asked))
}

// changed returns the item with other words.
func (w Word) changed(i access.Item, said []access.Said, own access.Verdict, e access.ReviewEvent) Said {
	s := Said{Own: own, Event: e}
	i.Said = said
	i.Verdict, s.Spoke = Verdict(said)
	i.Version++
	s.Item = i
	return s
}

// delegate hands an item on of which its reviewer has said nothing.
func (w Word) delegate(i access.Item, asked Asked) Said {
	switch {
	case len(w.ToNames) == 0:
		return Said{Refused: "it is not said to whom it is to be handed"}
	case asked.Verdict != "":
		return Said{Refused: "you decided it already; reopen it first"}
	case w.To == i.Person:
		return Said{Refused: "it is about the very person it would be handed to"}
	case w.ToNames.Has(asked.Reviewer):
		return Said{Repeated: true}
	}
	return Said{Give: access.Task{N: i.N, Reviewer: w.To, Role: access.TaskDelegate, Since: w.At},
		Event: w.event(i, asked)}
}

// event is the log's entry of the word.
func (w Word) event(i access.Item, asked Asked) access.ReviewEvent {
	e := access.ReviewEvent{At: w.At, Kind: w.Kind, By: w.voice(i, asked), ByEmail: w.Email, Via: w.Via, Item: i.N,
		Stage: w.Stage, Text: w.Comment}
	switch w.Kind {
	case access.EventDecided:
		e.Verdict = w.Verdict
	case access.EventDelegated:
		e.To, e.ToEmail = w.To, w.ToEmail
	}
	return e
}

// own is where in what was said of an item the reviewer's own word of this stage stands; -1 when they said nothing.
func (w Word) own(i access.Item) int {
	return slices.IndexFunc(i.Said, func(s access.Said) bool { return s.Stage == w.Stage && w.By.Has(s.By) })
}

// voice is the name by which the reviewer speaks of an item: their account, or what they went by when they spoke of it
// before, so that the log and the item go on to agree.
func (w Word) voice(i access.Item, asked Asked) string {
	if at := w.own(i); at >= 0 {
		return i.Said[at].By
	}
	return asked.Reviewer
}

// In reports whether this very word is among entries that the log has of its item.
func (w Word) In(before []access.ReviewEvent) bool {
	return slices.ContainsFunc(before, func(e access.ReviewEvent) bool {
		switch w.Kind {
		case access.EventDecided:
			return e.Verdict == w.Verdict && e.Text == w.Comment
		case access.EventDelegated:
			return e.To == w.To && e.Text == w.Comment
		}
		return e.Text == w.Comment
	})
}
