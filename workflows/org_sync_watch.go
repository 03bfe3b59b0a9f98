package workflows

import (
	"slices"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/messages"
)

// watch keeps an eye on the organization between verifications: one long activity at a time, whose answers say where to
// look. It starts again when a policy changes and ends when the history is renewed.
func (s *orgSync) watch(ctx workflow.Context) {
	s.watching = true
	workflow.GoNamed(ctx, "watch", func(ctx workflow.Context) {
		defer func() { s.watching, s.wake = false, true }()
		for tries := 0; ctx.Err() == nil && !s.ending; {
			if s.Policy == "" || s.Paused != nil {
				if workflow.Await(ctx, func() bool { return (s.Policy != "" && s.Paused == nil) || s.ending }) != nil {
					return
				}
				continue
			}
			once, stop := workflow.WithCancel(ctx)
			s.restart = stop
			result, err := watch(once, activities.WatchInput{
				Org: s.Org, Policy: s.Policy, Mode: s.Feed.Mode, Cursor: s.Feed.Cursor, Every: s.Settings.Feed, Once: tries > 0,
			})
			stopped := once.Err() != nil
			stop()
			switch {
			case err == nil:
				tries = 0
				s.noticed(ctx, result)
			case stopped:
			default:
				tries++
				s.Feed.Problem, s.wake = messageOf(err), true
				awaitUntil(ctx, workflow.Now(ctx).Add(backoff(tries)), "watch again after a problem", func() bool { return s.ending || s.feedAgain })
				s.feedAgain = false
			}
		}
	})
}

// rewatch has the watch start again under the policy in force.
func (s *orgSync) rewatch() {
	if s.restart != nil {
		s.restart()
	}
}

func (s *orgSync) noticed(ctx workflow.Context, r activities.WatchResult) {
	s.Feed = messages.Feed{Mode: r.Mode, Cursor: r.Cursor, Seen: workflow.Now(ctx)}
	s.wake = true
	if !s.Adopted {
		return // the first plan waits for consent; after it everybody is looked at anyway
	}
	if len(r.Later) > 0 {
		s.Pending.Later = append(s.Pending.Later, messages.Settling{People: r.Later, Due: workflow.Now(ctx).Add(writesBelieved)})
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
		p.Settling = slices.DeleteFunc(p.Settling, func(w messages.Settling) bool { return w.Key == 0 }) // but for whom somebody waits
		s.requestFull("more people were touched than are looked at one by one", "")
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
