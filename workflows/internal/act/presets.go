// Package act calls activities: a typed function for each, with how long it may take, how it is tried again, which
// calls go first, and what the Web UI shows of it.
package act

import (
	"cmp"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/messages"
)

// Priorities on the queue of calls: lower goes first.
const (
	PriorityUrgent = 1 // people who wait, and decisions
	PriorityWatch  = 2 // also requests: what was granted goes ahead
	PriorityBulk   = 4
)

// preset names how an activity may behave.
type preset struct {
	timeout   time.Duration // of one attempt
	heartbeat time.Duration // zero: none needed
	attempts  int32         // zero: without end
	shortest  time.Duration // between attempts; zero: a second
	longest   time.Duration // between attempts
	over      time.Duration // of all attempts together; zero: without end
	queued    time.Duration // how long it may wait for a worker with room; zero: without end
	queue     string        // empty: the queue of calls
	priority  int
}

// soon is short, for what a worker that died left behind; the waits grow from there.
const soon = 250 * time.Millisecond

var (
	// lookup is a short question to the ledger.
	lookup = preset{timeout: 30 * time.Second, heartbeat: 3 * time.Second, attempts: 10, shortest: soon,
		longest: 10 * time.Second, priority: PriorityUrgent}
	// check talks to Atlassian while a person waits for the answer.
	check = preset{timeout: 10 * time.Minute, heartbeat: time.Minute, attempts: 3, longest: 10 * time.Second,
		priority: PriorityUrgent}
	// walk reads many pages; it heartbeats after each.
	walk = preset{timeout: 30 * time.Minute, heartbeat: 2 * time.Minute, attempts: 8, longest: 20 * time.Second,
		priority: PriorityBulk}
	// glance reads a few people.
	glance = preset{timeout: 5 * time.Minute, heartbeat: 15 * time.Second, attempts: 5, longest: 10 * time.Second,
		priority: PriorityUrgent}
	// write is one change: an HTTP call of at most 30 s, its reads and its record. It is given up after a while, and
	// taken up by the next verification.
	write = preset{timeout: 90 * time.Second, heartbeat: 20 * time.Second, longest: 30 * time.Second,
		over: 4 * time.Minute, priority: PriorityBulk}
	// ask judges a request. Somebody may wait for the answer; but a request that was signalled outlives an outage.
	ask = preset{timeout: time.Minute, heartbeat: 10 * time.Second, shortest: soon, longest: 5 * time.Second,
		over: 10 * time.Minute, priority: PriorityWatch}
	// identify looks up who decides. Where the directory cannot be read in time, they are taken by their word.
	identify = preset{timeout: 15 * time.Second, heartbeat: 5 * time.Second, shortest: soon, longest: 5 * time.Second,
		over: 20 * time.Second, priority: PriorityUrgent}
	// ledgerRead takes from the ledger what a workflow is to know. It is soon a problem that the status shows, and
	// tried again by the workflow.
	ledgerRead = preset{timeout: 30 * time.Second, heartbeat: 3 * time.Second, shortest: soon, longest: 5 * time.Second,
		over: time.Minute, priority: PriorityUrgent}
	// ledgerOfGrants is what a run of grants does in the ledger. Where it fails for long the grants ask again, and no
	// history waits for it.
	ledgerOfGrants = preset{timeout: 30 * time.Second, heartbeat: 3 * time.Second, shortest: soon,
		longest: 5 * time.Second, over: 10 * time.Minute, priority: PriorityUrgent}
	// statement records what people said, in the ledger alone. It outlives an outage, but not for ever: a word that can
	// never be recorded keeps nothing from its end.
	statement = preset{timeout: 30 * time.Second, heartbeat: 3 * time.Second, shortest: soon, longest: 5 * time.Second,
		over: 6 * time.Hour, priority: PriorityUrgent}
	// grantChange is one change that a grant gives or takes back, when somebody's access waits for it. Where it fails
	// for long, the grant asks again.
	grantChange = preset{timeout: time.Minute, heartbeat: 5 * time.Second, shortest: soon, longest: 5 * time.Second,
		over: time.Minute, priority: PriorityUrgent}
	// notice tells people; not for ever, since news grows old, and since who was reached may be told again.
	notice = preset{timeout: time.Minute, attempts: 6, longest: time.Minute, priority: PriorityWatch}
	// resend sends somebody another code in place of one that was burnt, who cannot decide without: it outlives an
	// outage.
	resend = preset{timeout: time.Minute, longest: 30 * time.Second, over: time.Hour, priority: PriorityWatch}
	// digest is notices that gather: many may go out in one step.
	digest = preset{timeout: 10 * time.Minute, heartbeat: 15 * time.Second, attempts: 4, longest: 30 * time.Second,
		priority: PriorityWatch}
	// remediation carries out what a review decided: many people may have to be read.
	remediation = preset{timeout: 10 * time.Minute, heartbeat: 15 * time.Second, attempts: 5, longest: 15 * time.Second,
		priority: PriorityUrgent}
	// feedWatch is the long poll of the event feed. That no worker has room for it is soon a problem that the status
	// shows.
	feedWatch = preset{timeout: time.Hour, attempts: 3, longest: 10 * time.Second, queued: 5 * time.Minute,
		queue: messages.QueueWatches, priority: PriorityWatch}
	// record ends something in the ledger. It outlives an outage, but not for ever: what can never be recorded keeps
	// nothing from its end.
	record = preset{timeout: 5 * time.Minute, heartbeat: 10 * time.Second, longest: 30 * time.Second,
		over: 6 * time.Hour, priority: PriorityUrgent}
)

// How long a watch may be silent before another worker takes it over: as long as three of its polls, within these
// bounds. It shows three times as often that it lives, or more often, and learns then that it is to end.
const (
	shortestSilence = 12 * time.Second
	longestSilence  = 75 * time.Second
)

// feedWatchEvery is feedWatch for an organization whose feed is polled so often.
func feedWatchEvery(feed time.Duration) preset {
	p := feedWatch
	p.heartbeat = min(max(3*feed, shortestSilence), longestSilence)
	return p
}

// options are the preset as activity options, on the queue of calls unless it has another, with a summary for the Web
// UI. Organizations share the queue fairly: the fairness key is the organization.
func (p preset) options(ctx workflow.Context, org, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:              cmp.Or(p.queue, messages.QueueAtlassian),
		StartToCloseTimeout:    p.timeout,
		HeartbeatTimeout:       p.heartbeat,
		ScheduleToCloseTimeout: p.over,
		ScheduleToStartTimeout: p.queued,
		WaitForCancellation:    true,
		Summary:                display.Summary(summary),
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: cmp.Or(p.shortest, time.Second), BackoffCoefficient: 2, MaximumInterval: p.longest,
			MaximumAttempts: p.attempts,
		},
		Priority: temporal.Priority{PriorityKey: p.priority, FairnessKey: fairnessKey(org)},
	})
}

// mostFairness is the server's bound of a fairness key, in bytes.
const mostFairness = 64

func fairnessKey(org string) string { return org[:min(len(org), mostFairness)] }
