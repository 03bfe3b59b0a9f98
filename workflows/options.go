// Package workflows holds the durable processes: OrgSync, the loop of one organization; Reconcile, one run of it;
// TemporaryGrant, what one person holds of one target for a while; AccessReview, one campaign; and Report, a read-only question.
// A workflow file reads as its own specification: its state, its loop, its handlers.
package workflows

import (
	"cmp"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/messages"
)

// Priorities on the queue of calls: lower goes first.
const (
	priorityUrgent = 1 // people who wait, and decisions
	priorityWatch  = 2 // also requests: what was granted goes ahead
	priorityBulk   = 4
)

// preset names how an activity may behave.
type preset struct {
	timeout   time.Duration // of one attempt
	heartbeat time.Duration // zero: none needed
	attempts  int32         // zero: without end
	shortest  time.Duration // between attempts; zero: a second
	longest   time.Duration // between attempts
	over      time.Duration // of all attempts together; zero: without end
	priority  int
}

// soon is short, for what a worker that died left behind; the waits grow from there.
const soon = 250 * time.Millisecond

var (
	// lookup is a short question to the ledger.
	lookup = preset{timeout: 30 * time.Second, heartbeat: 3 * time.Second, attempts: 10, shortest: soon, longest: 10 * time.Second, priority: priorityUrgent}
	// check talks to Atlassian while a person waits for the answer.
	check = preset{timeout: 10 * time.Minute, heartbeat: time.Minute, attempts: 3, longest: 10 * time.Second, priority: priorityUrgent}
	// walk reads many pages; it heartbeats after each.
	walk = preset{timeout: 30 * time.Minute, heartbeat: 2 * time.Minute, attempts: 8, longest: 20 * time.Second, priority: priorityBulk}
	// glance reads a few people.
	glance = preset{timeout: 5 * time.Minute, heartbeat: 15 * time.Second, attempts: 5, longest: 10 * time.Second, priority: priorityUrgent}
	// write is one change: an HTTP call of at most 30 s, its reads and its record. It is given up after a while, and taken
	// up by the next verification.
	write = preset{timeout: 90 * time.Second, heartbeat: 20 * time.Second, longest: 30 * time.Second, over: 4 * time.Minute, priority: priorityBulk}
	// ask judges a request. Somebody may wait for the answer; but a request that was signalled outlives an outage.
	ask = preset{timeout: time.Minute, heartbeat: 10 * time.Second, shortest: soon, longest: 5 * time.Second, over: 10 * time.Minute, priority: priorityWatch}
	// endless is a short step of a grant's life, in the ledger alone: it must come about.
	endless = preset{timeout: 30 * time.Second, heartbeat: 3 * time.Second, shortest: soon, longest: 5 * time.Second, priority: priorityUrgent}
	// hearing records what people said, in the ledger alone. It outlives an outage, but not for ever: a word that can never be
	// recorded keeps nothing from its end.
	hearing = preset{timeout: 30 * time.Second, heartbeat: 3 * time.Second, shortest: soon, longest: 5 * time.Second, over: 6 * time.Hour, priority: priorityUrgent}
	// lend is one change that a grant gives or takes back, when somebody's access waits for it. Where it fails for long, the
	// grant asks again.
	lend = preset{timeout: time.Minute, heartbeat: 5 * time.Second, shortest: soon, longest: 5 * time.Second, over: time.Minute, priority: priorityUrgent}
	// notice tells people; not for ever, since news grows old, and since who was reached may be told again.
	notice = preset{timeout: time.Minute, attempts: 6, longest: time.Minute, priority: priorityWatch}
	// digest is notices that gather: many may go out in one step.
	digest = preset{timeout: 10 * time.Minute, heartbeat: 15 * time.Second, attempts: 4, longest: 30 * time.Second, priority: priorityWatch}
	// settle carries out what a review decided: many people may have to be read.
	settle = preset{timeout: 10 * time.Minute, heartbeat: 15 * time.Second, attempts: 5, longest: 15 * time.Second, priority: priorityUrgent}
	// watching is the long poll of the event feed.
	watching = preset{timeout: time.Hour, heartbeat: 12 * time.Second, attempts: 3, longest: 10 * time.Second, priority: priorityWatch}
	// record ends something in the ledger; it must succeed.
	record = preset{timeout: 5 * time.Minute, heartbeat: 10 * time.Second, longest: 30 * time.Second, priority: priorityUrgent}
)

// options are the preset as activity options, on the queue of calls, with a summary for the Web UI. Organizations share
// the queue fairly: the fairness key is the organization.
func (p preset) options(ctx workflow.Context, org, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:              messages.QueueAtlassian,
		StartToCloseTimeout:    p.timeout,
		HeartbeatTimeout:       p.heartbeat,
		ScheduleToCloseTimeout: p.over,
		WaitForCancellation:    true,
		Summary:                clip(summary),
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: cmp.Or(p.shortest, time.Second), BackoffCoefficient: 2, MaximumInterval: p.longest, MaximumAttempts: p.attempts,
		},
		Priority: temporal.Priority{PriorityKey: p.priority, FairnessKey: fairnessKey(org)},
	})
}

// The server's bounds of a summary and a fairness key, in bytes.
const (
	mostSummary  = 400
	mostFairness = 64
)

func clip(s string) string {
	if len(s) > mostSummary {
		return strings.ToValidUTF8(s[:mostSummary-3], "") + "..."
	}
	return s
}

func fairnessKey(org string) string { return org[:min(len(org), mostFairness)] }
