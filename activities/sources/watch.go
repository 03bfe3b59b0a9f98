package sources

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/source"
)

// The limits of watching a source.
const (
	watchFor    = 10 * time.Minute // then the workflow learns when the source was last read, though nothing changed
	mostTouched = 1000             // people who are looked at one by one
	firstPause  = 15 * time.Second // after a read that failed; twice as long each time, up to the source's own interval
)

// hintEvery is how often a source that can tell what changed is asked, between whole reads. What it says never counts,
// it only has everything read earlier.
var hintEvery = 30 * time.Second

// WatchInput asks to keep the replica of one source up to date.
type WatchInput struct {
	Org    string `json:"org"`
	Policy string `json:"policy"`
	Source string `json:"source"`
	// Once: read at once, and return whatever it shows
	Once bool `json:"once,omitempty"`
	// After is the number of the last change that the workflow was told of, as the status has it.
	After int64 `json:"after,omitempty"`
}

// WatchResult is the state of a source after a read, and the people to decide again because of it.
type WatchResult struct {
	Source messages.SourceStatus `json:"source"`
	People []string              `json:"people,omitempty"` // account ids
	// Identities are those that changed, as "source:key", for the provisions that take them.
	Identities []string `json:"identities,omitempty"`
	Full       string   `json:"full,omitempty"` // why everybody is to be looked at
}

// WatchSource reads a source each time that is due, and returns once a read changed something that may matter, once the
// source began or ceased to be readable, or after ten minutes. A source that cannot be read is no error: the result
// says so, and nobody counts as gone. A retry begins the read anew; what the former attempt had read is kept as it is,
// and proves nothing about who is missing. A source that posts is not read: see follow.
//
// Calls: those of the source, and one to Atlassian for a hundred people who may be linked by their address.
func (a *Activities) WatchSource(ctx context.Context, in WatchInput) (WatchResult, error) {
	stop := session.AutoHeartbeat(ctx)
	defer stop()
	s, err := a.env.Open(ctx, in.Org, in.Policy)
	if err != nil {
		return WatchResult{}, err
	}
	w, err := newWatch(s, in)
	if err != nil {
		return WatchResult{}, err
	}
	ctx, _, done := session.UntilStopping(ctx) // another worker goes on at once
	defer done()
	if w.spec.Kind.Pushed() {
		return w.follow(ctx, in.Once)
	}
	end := s.Now().Add(watchFor)
	for {
		due, err := w.due(ctx)
		switch {
		case err != nil:
			return WatchResult{}, err
		case in.Once:
		case !w.await(ctx, earlier(due, end)):
			return w.result(context.WithoutCancel(ctx), touched{})
		case !s.Now().Before(end):
			return w.result(ctx, touched{})
		}
		before, lacked := w.state, w.lacks
		found, err := w.read(ctx)
		if err != nil && ctx.Err() == nil {
			if found, err = w.fail(ctx, err); err != nil {
				return WatchResult{}, err
			}
		}
		if ctx.Err() != nil {
			return w.result(context.WithoutCancel(ctx), touched{})
		}
		if in.Once || found.any() || statusChanged(before, w.state) || lacked != w.lacks {
			return w.result(ctx, found)
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// await waits for an instant, or until the source hints that something changed; false when the activity should end.
func (w *watch) await(ctx context.Context, at time.Time) bool {
	watcher, hints := w.source.(source.Watcher)
	for hints && w.tries == 0 && at.Sub(w.Now()) > hintEvery {
		if !waitUntil(ctx, w.Session, w.Now().Add(hintEvery)) {
			return false
		}
		changes, next, err := watcher.Changes(ctx, w.cursor)
		if err != nil { // the read tells what is wrong
			activity.GetLogger(ctx).Info("a source does not tell what changed", "source", w.spec.Name, "error", err)
			break
		}
		if w.cursor = next; changes.All || len(changes.People)+len(changes.Groups) > 0 {
			return true
		}
	}
	return waitUntil(ctx, w.Session, at)
}

// waitUntil waits; false when the activity should end.
func waitUntil(ctx context.Context, s *session.Session, at time.Time) bool {
	timer := time.NewTimer(max(at.Sub(s.Now()), 0))
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// due returns when the source is to be read next: after its interval, or, while somebody is missing from it whom no
// look-up has shown, as soon as a second read may prove that. A source that cannot be read is tried more and more
// rarely.
func (w *watch) due(ctx context.Context) (at time.Time, err error) {
	if w.state, err = w.Ledger.Source(ctx, w.Org, w.spec.Name); err != nil {
		return at, err
	}
	if w.missing, err = w.Ledger.MissingCount(ctx, w.Org, w.spec.Name); err != nil {
		return at, err
	}
	if err := w.noteLacking(ctx); err != nil {
		return at, err
	}
	every := w.spec.Every.Std()
	switch {
	case w.tries > 0:
		return w.Now().Add(min(firstPause<<min(w.tries-1, 10), max(every, firstPause))), nil
	case w.missing > len(w.unproved):
		return w.state.ReadAt.Add(min(every, max(w.Policy.Guard.Settle.Std(), time.Second))), nil
	}
	return w.state.ReadAt.Add(every), nil
}

// noteLacking notes the digest of what is missing while the source is suspect.
func (w *watch) noteLacking(ctx context.Context) (err error) {
	if w.lacks = ""; w.state.Suspect != "" {
		w.lacks, err = w.Ledger.Lacking(ctx, w.Org, w.spec.Name)
	}
	return err
}

// statusChanged reports whether what ops see of a source has changed.
func statusChanged(before, after ledger.Source) bool {
	return before.Read == 0 != (after.Read == 0) || before.ProblemKind != after.ProblemKind ||
		before.Suspect != after.Suspect
}

// fail records that a read failed. It proves nothing about who is missing; new people in it count.
func (w *watch) fail(ctx context.Context, err error) (touched, error) {
	w.tries++
	kind := session.ErrUnavailable
	var app *temporal.ApplicationError
	if errors.As(err, &app) {
		kind = app.Type()
	}
	activity.GetLogger(ctx).Warn("a source cannot be read", "org", w.Org, "source", w.spec.Name, "error", err)
	if err := w.Ledger.FailSourceRead(ctx, w.Org, w.spec.Name, w.number, kind, session.ErrorText(err),
		w.Now()); err != nil {
		return touched{}, err
	}
	if w.state, err = w.Ledger.Source(ctx, w.Org, w.spec.Name); err != nil {
		return touched{}, err
	}
	return w.whom(ctx)
}

// result is what the workflow learns.
func (w *watch) result(ctx context.Context, found touched) (WatchResult, error) {
	status, err := Status(ctx, w.Session, w.spec.Name)
	status.Change = w.after
	r := WatchResult{Source: status, People: found.people, Identities: found.identities, Full: found.full}
	return r, err
}
