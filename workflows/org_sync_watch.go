package workflows

import (
	"slices"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/workflows/internal/act"
	"github.com/castellan-io/castellan/workflows/internal/kit"
)

// watch watches the organization between verifications with one long activity at a time, whose results tell whom to
// reconcile. It restarts when the policy changes and ends when the history is renewed.
func (s *orgSync) watch(ctx workflow.Context) {
	s.watching = true
	workflow.GoNamed(ctx, "watch", func(ctx workflow.Context) {
		defer func() { s.watching, s.wake = false, true }()
		for tries := 0; ctx.Err() == nil && !s.ending; {
			if s.Policy == "" || s.Paused != nil || s.retired() {
				if workflow.Await(ctx, func() bool {
					return s.Policy != "" && s.Paused == nil && !s.retired() ||
						s.ending
				}) != nil {
					return
				}
				continue
			}
			once, stop := workflow.WithCancel(ctx)
			s.cancelWatch = stop
			result, err := act.Watch(once, reconcile.WatchInput{
				Org: s.Org, Policy: s.Policy, Mode: s.Feed.Mode, Cursor: s.Feed.Cursor, Every: s.Settings.Feed,
				Once: tries > 0 || s.Feed.Mode == "",
			})
			stopped := once.Err() != nil
			stop()
			switch {
			case err == nil:
				tries = 0
				s.recordWatched(ctx, result)
			case stopped:
			case kit.KindOf(err) == session.ErrRetired &&
				workflow.GetVersion(ctx, "retired-rests", workflow.DefaultVersion, 1) > workflow.DefaultVersion:
				s.recordFailure(ctx, messages.Problem{Kind: kit.KindOf(err), Message: kit.MessageOf(err)})
				s.wake = true
			default:
				tries++
				s.Feed.Problem, s.wake = kit.MessageOf(err), true
				kit.AwaitUntil(ctx, workflow.Now(ctx).Add(loopBackoff.After(tries)), "watch again after a problem",
					func() bool { return s.ending || s.feedAgain })
				s.feedAgain = false
			}
		}
	})
}

// restartWatch restarts the watch under the policy in force.
func (s *orgSync) restartWatch() {
	if s.cancelWatch != nil {
		s.cancelWatch()
	}
}

func (s *orgSync) recordWatched(ctx workflow.Context, r reconcile.WatchResult) {
	s.Feed = messages.Feed{Mode: r.Mode, Cursor: r.Cursor, Seen: workflow.Now(ctx)}
	s.wake = true
	if !s.Adopted {
		return // the first plan waits for consent; then everybody is verified anyway
	}
	if len(r.Later) > 0 {
		s.Pending.Later = append(s.Pending.Later,
			messages.SecondLook{People: r.Later, Due: workflow.Now(ctx).Add(writesBelieved)})
	}
	p := &s.Pending
	p.People = merge(p.People, r.People)
	p.Groups = merge(p.Groups, r.Groups)
	p.Recount = merge(p.Recount, r.Recount)
	p.Fresh = p.Fresh || r.Fresh
	switch {
	case r.Full != "":
		s.requestFull(r.Full, "")
	case len(p.People)+len(p.Groups) > mostPending:
		p.People, p.Groups, p.Recount, p.Fresh = nil, nil, nil, false
		// except people whom somebody waits for
		p.Settling = slices.DeleteFunc(p.Settling, func(w messages.SecondLook) bool { return w.Key == 0 })
		s.requestFull("events affected too many people to decide one by one", "")
	}
}

// writesBelieved is how long what Castellan wrote is believed over what a read shows.
const writesBelieved = 35 * time.Second

func merge(all, more []string) []string {
	seen := make(map[string]bool, len(all))
	for _, a := range all {
		seen[a] = true
	}
	for _, m := range more {
		if !seen[m] {
			seen[m] = true
			all = append(all, m)
		}
	}
	return all
}
