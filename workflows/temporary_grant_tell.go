package workflows

import (
	"slices"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/grants"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/workflows/internal/act"
	"github.com/castellan-io/castellan/workflows/internal/kit"
)

// The notices that a grant sends. Recipients and texts are determined by the activity.
const (
	noticeRequested  = grants.NoticeRequested
	noticeBreakGlass = grants.NoticeBreakGlass
	noticeGranted    = grants.NoticeGranted
	noticeDenied     = grants.NoticeDenied
	noticeExpired    = grants.NoticeExpired
	noticeGiven      = grants.NoticeGiven
	noticeReminder   = grants.NoticeReminder
	noticeEnded      = grants.NoticeEnded
	noticeHandTaken  = grants.NoticeHandTaken
	noticeBlocked    = grants.NoticeBlocked
)

// notices returns the notices due for one grant, in the order in which to send them.
func notices(one access.Grant, now time.Time) []string {
	var due []string
	switch one.State {
	case access.GrantWaiting:
		return []string{noticeRequested}
	case access.GrantDenied:
		return []string{noticeDenied}
	case access.GrantExpired:
		return []string{noticeExpired}
	}
	if one.Urgent {
		due = append(due, noticeBreakGlass)
	}
	if one.Needs > 0 && len(one.Approvals) > 0 {
		due = append(due, noticeGranted)
	}
	if !one.ProvisionedAt.IsZero() {
		due = append(due, noticeGiven)
	}
	if !one.ProvisionedAt.IsZero() && one.Remind > 0 && !now.Before(one.Until.Add(-one.Remind.Std())) &&
		now.Before(one.Until) {
		due = append(due, noticeReminder)
	}
	switch {
	case one.RemovedByHand:
		due = append(due, noticeHandTaken)
	case !one.ProvisionedAt.IsZero() && one.Settled():
		due = append(due, noticeEnded)
	}
	return due
}

// blockedNoticeAfter is how many attempts fail before somebody is told; after that, every hour.
const blockedNoticeAfter = 3

// blockedNotice returns the hour for which a notice that something stays wrong is due; zero: none is.
func (g *temporaryGrant) blockedNotice(now time.Time) time.Time {
	if g.Blocked == nil || g.Blocked.Tries < blockedNoticeAfter {
		return time.Time{}
	}
	return g.Blocked.Since.Add(now.Sub(g.Blocked.Since).Truncate(time.Hour)).UTC().Truncate(time.Second)
}

func (g *temporaryGrant) sent(kind, id string, at time.Time) bool {
	return slices.ContainsFunc(g.Sent, func(n messages.SentNotice) bool {
		return n.Kind == kind && n.Grant == id && n.For.Equal(at)
	})
}

// nextNotice returns the notice to send now.
func (g *temporaryGrant) nextNotice(now time.Time) (kind string, about access.Grant, ok bool) {
	if alarm := g.blockedNotice(now); !alarm.IsZero() && !g.sent(noticeBlocked, "", alarm) && len(g.Grants) > 0 {
		return noticeBlocked, g.Grants[len(g.Grants)-1], true
	}
	for _, one := range g.Grants {
		for _, kind := range notices(one, now) {
			if !g.sent(kind, one.ID, time.Time{}) {
				return kind, one, true
			}
		}
	}
	return "", access.Grant{}, false
}

func (g *temporaryGrant) noticeDue(now time.Time) bool {
	_, _, ok := g.nextNotice(now)
	return ok
}

// sendNotice sends the next notice concurrently: a failing notifier does not delay the end of access.
func (g *temporaryGrant) sendNotice(ctx workflow.Context, now time.Time) {
	kind, about, _ := g.nextNotice(now)
	in := grants.TellInput{Org: g.in.Org, Workflow: workflow.GetInfo(ctx).WorkflowExecution.ID, Kind: kind,
		Grant: about.ID}
	if kind == noticeBlocked {
		in.Why = g.Blocked.Why
		g.Sent = append(g.Sent, messages.SentNotice{Kind: kind, For: g.blockedNotice(now)})
	} else {
		g.Sent = append(g.Sent, messages.SentNotice{Kind: kind, Grant: about.ID})
	}
	g.dropOldNotices()
	g.telling++
	workflow.Go(ctx, func(ctx workflow.Context) {
		defer func() { g.telling--; g.wake = true }()
		g.Untold = ""
		if err := act.Tell(ctx, in); err != nil {
			g.Untold = kit.Bounded(kind + ": " + kit.MessageOf(err))
		}
	})
}

// dropOldNotices drops notices of grants that are not shown any more, and older alarms.
func (g *temporaryGrant) dropOldNotices() {
	last := time.Time{}
	for _, sent := range g.Sent {
		if sent.Kind == noticeBlocked {
			last = sent.For
		}
	}
	g.Sent = slices.DeleteFunc(g.Sent, func(sent messages.SentNotice) bool {
		if sent.Kind == noticeBlocked {
			return !sent.For.Equal(last)
		}
		return !slices.ContainsFunc(g.Grants, func(one access.Grant) bool { return one.ID == sent.Grant })
	})
}
