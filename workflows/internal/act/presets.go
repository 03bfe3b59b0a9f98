// Package act calls activities: a typed function for each, with its timeouts, retry policy, priority, and summary for
// the Web UI.
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

// preset is an activity's timeouts, retry policy and priority.
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

// firstRetry is short, since the worker may just have died.
const firstRetry = 250 * time.Millisecond

var (
	// lookup is a short query of the ledger.
	lookup = preset{timeout: 30 * time.Second, heartbeat: 3 * time.Second, attempts: 10, shortest: firstRetry,
		longest: 10 * time.Second, priority: PriorityUrgent}
	// check calls Atlassian while a person waits for the answer.
	check = preset{timeout: 10 * time.Minute, heartbeat: time.Minute, attempts: 3, longest: 10 * time.Second,
		priority: PriorityUrgent}
	// pagedRead reads many pages, with a heartbeat after each.
	pagedRead = preset{timeout: 30 * time.Minute, heartbeat: 2 * time.Minute, attempts: 8, longest: 20 * time.Second,
		priority: PriorityBulk}
	// shortRead reads a few people.
	shortRead = preset{timeout: 5 * time.Minute, heartbeat: 15 * time.Second, attempts: 5, longest: 10 * time.Second,
		priority: PriorityUrgent}
	// write is one change: an HTTP call of at most 30 s, its reads and its record. After a while it is left to the next
	// verification.
	write = preset{timeout: 90 * time.Second, heartbeat: 20 * time.Second, longest: 30 * time.Second,
		over: 4 * time.Minute, priority: PriorityBulk}
	// severalWrites are a few changes of a large plan. What fails is done change by change, with the patience of write.
	severalWrites = preset{timeout: 3 * time.Minute, heartbeat: 20 * time.Second, attempts: 1, priority: PriorityBulk}
	// judgeRequest judges a request for a grant. Somebody may be waiting; but a signalled request must survive an
	// outage.
	judgeRequest = preset{timeout: time.Minute, heartbeat: 10 * time.Second, shortest: firstRetry,
		longest: 5 * time.Second, over: 10 * time.Minute, priority: PriorityWatch}
	// identify looks up who decides. If the directory cannot be read in time, the given name is accepted.
	identify = preset{timeout: 15 * time.Second, heartbeat: 5 * time.Second, shortest: firstRetry,
		longest: 5 * time.Second, over: 20 * time.Second, priority: PriorityUrgent}
	// ledgerRead reads the ledger. A failure soon shows in the status, and the workflow retries.
	ledgerRead = preset{timeout: 30 * time.Second, heartbeat: 3 * time.Second, shortest: firstRetry,
		longest: 5 * time.Second, over: time.Minute, priority: PriorityUrgent}
	// ledgerOfGrants is what a run of grants does in the ledger. If it fails for long, the grants ask again, and no
	// history waits for it.
	ledgerOfGrants = preset{timeout: 30 * time.Second, heartbeat: 3 * time.Second, shortest: firstRetry,
		longest: 5 * time.Second, over: 10 * time.Minute, priority: PriorityUrgent}
	// statement records decisions in the ledger. It survives an outage, but does not retry forever: a decision that can
	// never be recorded must not keep a workflow from ending.
	statement = preset{timeout: 30 * time.Second, heartbeat: 3 * time.Second, shortest: firstRetry,
		longest: 5 * time.Second, over: 6 * time.Hour, priority: PriorityUrgent}
	// grantChange is one change for a grant, while somebody waits for it. If it fails for long, the grant asks again.
	grantChange = preset{timeout: time.Minute, heartbeat: 5 * time.Second, shortest: firstRetry,
		longest: 5 * time.Second, over: time.Minute, priority: PriorityUrgent}
	// notice sends a notice. It does not retry forever: news gets old, and those reached already may get it again.
	notice = preset{timeout: time.Minute, attempts: 6, longest: time.Minute, priority: PriorityWatch}
	// resend sends a new code for one that was invalidated. Its owner cannot decide without, so it survives an outage.
	resend = preset{timeout: time.Minute, longest: 30 * time.Second, over: time.Hour, priority: PriorityWatch}
	// noticeBatch sends many notices in one step.
	noticeBatch = preset{timeout: 10 * time.Minute, heartbeat: 15 * time.Second, attempts: 4, longest: 30 * time.Second,
		priority: PriorityWatch}
	// remediation carries out what a review decided: many people may have to be read.
	remediation = preset{timeout: 10 * time.Minute, heartbeat: 15 * time.Second, attempts: 5, longest: 15 * time.Second,
		priority: PriorityUrgent}
	// feedWatch is the long poll of the event feed. If no worker has a slot for it, the status soon shows that.
	feedWatch = preset{timeout: time.Hour, attempts: 3, longest: 10 * time.Second, queued: 5 * time.Minute,
		queue: messages.QueueWatches, priority: PriorityWatch}
	// sourceWatch reads an identity source again and again. A whole read may take long; it is not resumed.
	sourceWatch = preset{timeout: 6 * time.Hour, heartbeat: 15 * time.Second, attempts: 3, longest: 10 * time.Second,
		queued: 5 * time.Minute, queue: messages.QueueWatches, priority: PriorityWatch}
	// record ends something in the ledger. It survives an outage, but does not retry forever: what can never be
	// recorded must not keep a workflow from ending.
	record = preset{timeout: 5 * time.Minute, heartbeat: 10 * time.Second, longest: 30 * time.Second,
		over: 6 * time.Hour, priority: PriorityUrgent}
)

// Bounds of the watch's heartbeat timeout, which is otherwise three polls. It heartbeats at least three times as often,
// and learns then of a cancellation.
const (
	shortestSilence = 12 * time.Second
	longestSilence  = 75 * time.Second
)

// feedWatchEvery returns feedWatch for the given poll interval.
func feedWatchEvery(feed time.Duration) preset {
	p := feedWatch
	p.heartbeat = min(max(3*feed, shortestSilence), longestSilence)
	return p
}

// options sets the preset's activity options and a summary for the Web UI. The fairness key is the organization, so
// that organizations share the queue fairly.
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

// mostFairness is the server's limit of a fairness key, in bytes.
const mostFairness = 64

func fairnessKey(org string) string { return org[:min(len(org), mostFairness)] }
