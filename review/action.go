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

// Why all that a reviewer sends is refused.
var (
	ErrNotReviewer = errors.New("nobody of this name is asked about anything in this stage of the review")
	ErrOver        = errors.New("deciding is over")
)

// CheckOpen returns an error if the review accepts no decisions now.
func CheckOpen(r access.Review) error {
	if r.State != access.ReviewOpen {
		return fmt.Errorf("%w: the review is %s", ErrOver, r.State)
	}
	return nil
}

// Names are all names of one person in a review: their account id, and their address in a review from before reviewers
// were accounts. They are in lower case; account ids are in their original case as well.
type Names map[string]bool

// NamesOf returns the names of an account that has only its id; none for "".
func NamesOf(account string) Names {
	if account == "" {
		return Names{}
	}
	return Names{account: true, strings.ToLower(account): true}
}

// Has reports whether name is one of them.
func (n Names) Has(name string) bool { return name != "" && n[strings.ToLower(name)] }

// List returns the names in order.
func (n Names) List() []string { return slices.Sorted(maps.Keys(n)) }

// Assigned is a reviewer's task for an item.
type Assigned struct {
	access.Task
	Verdict access.Verdict // their verdict so far; "": none
}

// Action is what a reviewer does to one item: decide, comment, delegate or reopen.
type Action struct {
	Kind    string // access.EventDecided, …Commented, …Delegated or …Reopened
	Stage   int
	By      Names
	Email   string // for reading, never compared
	Via     string
	Verdict access.Verdict
	Comment string
	Version *int // of the item as the reviewer saw it; nil: any
	To      string
	ToEmail string
	ToNames Names // all names of the delegate; none: not given
	At      time.Time
}

// Result is the result of an action: refused, a repeat, or to be recorded.
type Result struct {
	Refused   string
	Repeated  bool
	Item      access.Item // with the action applied
	LastStage int         // the last stage with a decision
	Own       access.Verdict
	Delegated access.Task // the delegate's task
	Event     access.ReviewEvent
}

// ChangesDecision reports whether the action changes a decision.
func (w Action) ChangesDecision() bool {
	return w.Kind == access.EventDecided || w.Kind == access.EventReopened
}

// Apply applies an action to an item that its reviewer is asked about.
func Apply(i access.Item, asked Assigned, w Action) Result {
	switch w.Kind {
	case access.EventDecided:
		return w.decide(i, asked)
	case access.EventReopened:
		return w.reopen(i, asked)
	case access.EventDelegated:
		return w.delegate(i, asked)
	}
	return Result{Event: w.event(i, asked)}
}

func (w Action) decide(i access.Item, asked Assigned) Result {
	at := w.ownDecision(i)
	one := access.ItemDecision{Stage: w.Stage, By: w.actor(i, asked), Email: w.Email, Verdict: w.Verdict,
		Comment: w.Comment, At: w.At}
	switch {
	case at >= 0 && i.Said[at].Verdict == one.Verdict && (one.Comment == "" || one.Comment == i.Said[at].Comment):
		return Result{Repeated: true}
	case one.Verdict != access.VerdictKeep && one.Verdict != access.VerdictRemove:
		return Result{Refused: fmt.Sprintf("%q is not a verdict: write keep or remove", one.Verdict)}
	case w.Version != nil && *w.Version != i.Version:
		return Result{Refused: "it was decided or commented on since you saw it; look at it again"}
	}
	said := slices.Clone(i.Said)
	if at >= 0 {
		said[at] = one
	} else {
		said = append(said, one)
	}
	slices.SortStableFunc(said, func(a, b access.ItemDecision) int {
		return cmp.Or(cmp.Compare(a.Stage, b.Stage), strings.Compare(a.By, b.By))
	})
	if v, _ := Verdict(said); i.Outcome != "" && v != i.Verdict {
		return Result{Refused: errCarriedOut}
	}
	return w.withDecisions(i, said, w.Verdict, w.event(i, asked))
}

const errCarriedOut = "it is being carried out already"

func (w Action) reopen(i access.Item, asked Assigned) Result {
	at := w.ownDecision(i)
	switch {
	case at < 0:
		return Result{Repeated: true}
	case i.Outcome != "":
		return Result{Refused: errCarriedOut}
	}
	return w.withDecisions(i, slices.Delete(slices.Clone(i.Said), at, at+1), "", w.event(i, asked))
}

// withDecisions returns the result with other decisions.
func (w Action) withDecisions(i access.Item, said []access.ItemDecision, own access.Verdict,
	e access.ReviewEvent) Result {
	s := Result{Own: own, Event: e}
	i.Said = said
	i.Verdict, s.LastStage = Verdict(said)
	i.Version++
	s.Item = i
	return s
}

// delegate delegates an item that its reviewer has not decided.
func (w Action) delegate(i access.Item, asked Assigned) Result {
	switch {
	case len(w.ToNames) == 0:
		return Result{Refused: "to is missing: say to whom it is delegated"}
	case asked.Verdict != "":
		return Result{Refused: "you decided it already; reopen it first"}
	case w.To == i.Person:
		return Result{Refused: "it is about the person to whom it would be delegated"}
	case w.ToNames.Has(asked.Reviewer):
		return Result{Repeated: true}
	}
	return Result{Delegated: access.Task{N: i.N, Reviewer: w.To, Role: access.TaskDelegate, Since: w.At},
		Event: w.event(i, asked)}
}

// event returns the action's log entry.
func (w Action) event(i access.Item, asked Assigned) access.ReviewEvent {
	e := access.ReviewEvent{At: w.At, Kind: w.Kind, By: w.actor(i, asked), ByEmail: w.Email, Via: w.Via, Item: i.N,
		Stage: w.Stage, Text: w.Comment}
	switch w.Kind {
	case access.EventDecided:
		e.Verdict = w.Verdict
	case access.EventDelegated:
		e.To, e.ToEmail = w.To, w.ToEmail
	}
	return e
}

// ownDecision returns the index of the reviewer's decision of this stage, or -1.
func (w Action) ownDecision(i access.Item) int {
	return slices.IndexFunc(i.Said, func(s access.ItemDecision) bool { return s.Stage == w.Stage && w.By.Has(s.By) })
}

// actor returns the reviewer's name for the record: their account or, if they decided the item under another name, that
// name, so that the log and the item continue to agree.
func (w Action) actor(i access.Item, asked Assigned) string {
	if at := w.ownDecision(i); at >= 0 {
		return i.Said[at].By
	}
	return asked.Reviewer
}

// RecordedIn reports whether the action is among the item's log entries.
func (w Action) RecordedIn(before []access.ReviewEvent) bool {
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
