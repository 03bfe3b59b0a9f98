package workflows

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/workflows/internal/kit"
)

// Bounds of a history and of what it hands to the next one.
const (
	renewSize   = 2 << 20         // bytes of a history after which a loop continues as new: signals may be large
	pressAt     = 4 * renewAt     // events from which on the watch ends for a fresh history, whatever else runs
	pressSize   = 8 << 20         // or bytes, and then a run in the background ends for it as well
	unwatched   = time.Minute     // the longest time without a watch for the sake of a fresh history
	watchAgain  = 2 * time.Minute // after that time, how long until it is tried again
	stuckAt     = 6 * renewAt     // events from which on it is a problem that the history is not renewed
	stuckSize   = 20 << 20        // or bytes
	mostCarried = 3 << 19         // bytes of the state: Temporal carries 2 MB
	// people who wait for a run of grants and are carried; the others ask again in a minute
	leastGrants = 500
	mostJobs    = 500 // jobs that may wait
)

// renewal is the state of the history's renewal.
type renewal struct {
	watchful bool      // the watch ends only when all else is quiet, and goes on where the renewal is held up
	since    time.Time // when the watch was ended for it
	next     time.Time // before this it is not tried again
	bySize   bool      // bytes press for it as events do, and a run in the background ends for it
	stopped  bool      // one did, in this history
	jobs     bool      // so does what somebody asked for, and goes on in the next history
}

// mayWindDown reports whether the watch may end so that the history can end.
func (s *orgSync) mayWindDown(ctx workflow.Context) bool {
	if !s.renewal.watchful {
		return true
	}
	if workflow.Now(ctx).Before(s.renewal.next) {
		return false
	}
	return s.idleButWatch() || s.history.Forced() || s.mustRenew(ctx)
}

// mustRenew reports whether the history is so large that it must end whatever else runs.
func (s *orgSync) mustRenew(ctx workflow.Context) bool {
	info := workflow.GetInfo(ctx)
	return info.GetCurrentHistoryLength() >= pressAt || s.renewal.bySize && info.GetCurrentHistorySize() >= pressSize
}

// blocksRenewal reports whether the run in the background keeps a far too large history from ending, and can continue
// in the next.
func (s *orgSync) blocksRenewal(ctx workflow.Context) bool {
	return s.renewal.bySize && !s.renewal.stopped && s.ending && s.mustRenew(ctx) && s.stoppingRuns == 0 &&
		s.full != nil && (s.full.scope == messages.ScopeFull || s.renewal.jobs)
}

// stopForRenewal stops the run in the background. The next history does the rest: by another full verification, or by
// continuing what was asked for.
func (s *orgSync) stopForRenewal(ctx workflow.Context) {
	s.renewal.stopped = true
	const why = "the history had to be renewed"
	if s.full.scope == messages.ScopeFull && (!s.renewal.jobs || !s.full.requested) {
		s.stopFull(ctx, why)
		return
	}
	s.full.continued = true
	s.stop(ctx, why, s.full)
}

// remainingJob returns the job that completes a stopped run. What the guard has released of an undo is not planned
// again.
func remainingJob(job messages.Job, run messages.RunSummary) messages.Job {
	job.Key = 0 // the caller has been answered
	if job.Scope.Kind == messages.ScopeUndo && run.Plan != "" {
		job.Scope = messages.Scope{Kind: messages.ScopeHold, Run: run.Run, Plan: run.Plan, Undo: true}
	}
	return job
}

// waitsForRenewal reports whether no run may begin in the background because the history is about to end.
func (s *orgSync) waitsForRenewal(ctx workflow.Context) bool {
	return s.renewal.bySize && s.ending && s.mustRenew(ctx) && !s.hasWaitingCaller()
}

// resumeWatch restarts the watch if the renewal that it ended for is delayed.
func (s *orgSync) resumeWatch(ctx workflow.Context) {
	now := workflow.Now(ctx)
	if !s.renewal.watchful || !s.ending || s.watching || now.Before(s.renewal.since.Add(unwatched)) {
		return
	}
	s.ending, s.renewal.next = false, now.Add(watchAgain)
	s.watch(ctx)
}

// renewalDue returns when the next step of the renewal is due.
func (s *orgSync) renewalDue(ctx workflow.Context) (due time.Time, why string) {
	switch {
	case !s.renewal.watchful:
	case s.ending && !s.watching:
		return s.renewal.since.Add(unwatched), "watch again if the history is not renewed"
	case s.tooLong(ctx) && !s.ending && workflow.Now(ctx).Before(s.renewal.next):
		return s.renewal.next, "try again to renew the history"
	}
	return due, why
}

// recordStuck records what keeps the history from being renewed, once it is so long that Temporal will end it.
func (s *orgSync) recordStuck(ctx workflow.Context) {
	info := workflow.GetInfo(ctx)
	length, size := info.GetCurrentHistoryLength(), info.GetCurrentHistorySize()
	if length < stuckAt && !(s.renewal.bySize && size >= stuckSize) {
		s.Stuck = ""
		return
	}
	var waits []string
	for _, one := range []struct {
		what string
		is   bool
	}{
		{"a run in the background", s.full != nil},
		{"a run of a few people", s.urgent != nil || s.verifying > 0},
		{"a run of grants", s.runningGrants},
		{"a policy being checked", s.applyingPolicy},
		{"runs being ended", s.stoppingRuns > 0},
		{"a caller waiting for an answer", s.hasWaitingCaller() || !workflow.AllHandlersFinished(ctx)},
		{"signals being handled", s.handlers.Pending(ctx)},
	} {
		if one.is {
			waits = append(waits, one.what)
		}
	}
	s.Stuck = fmt.Sprintf("the history has %d events and %d MB and cannot be renewed, because it waits for: %s. Temporal ends it at 51,200 events or 50 MB. See the pending activities in the Web UI; "+
		"Reset it; if Temporal has terminated it, run starter apply", length, size>>20,
		cmp.Or(strings.Join(waits, ", "), "nothing known"))
}

// hasWaitingCaller reports whether an update waits for a job.
func (s *orgSync) hasWaitingCaller() bool {
	for _, job := range s.Pending.Jobs {
		if job.Key > 0 {
			return true
		}
	}
	return false
}

// carriedState returns the state for the next history, within Temporal's size limit. What is dropped is sent again by
// itself, is covered by a full verification, or is listed as refused.
func (s *orgSync) carriedState(ctx workflow.Context) messages.OrgSyncState {
	state := s.OrgSyncState
	for _, less := range []func() bool{
		func() bool {
			state.Pending.Grants = state.Pending.Grants[:min(len(state.Pending.Grants), leastGrants)]
			return true
		},
		func() bool {
			p := &state.Pending
			p.People, p.Groups, p.Recount, p.Settling, p.Later = nil, nil, nil, nil, nil
			p.Full = cmp.Or(p.Full, "more waited than a history can hand to the next")
			return true
		},
		func() bool {
			last := len(state.Kept) - 1
			if last < 0 {
				return true
			}
			state.Refused = kit.KeepRefused(state.Refused, messages.RefusedMessage{
				At: workflow.Now(ctx), Name: state.Kept[last].Name, Size: len(state.Kept[last].Body),
				Why: "too much waited for the next history: send it again",
			})
			state.Kept = state.Kept[:last]
			return false
		},
	} {
		for sizeOf(state) > mostCarried {
			if less() {
				break
			}
		}
	}
	return state
}

// mostStatus is how many bytes the answer of the status query may have; the server carries 2 MB.
const mostStatus = 1 << 20

// answerable returns the state for the answer to a query: of long lists, only the beginning.
func answerable(state messages.OrgSyncState) messages.OrgSyncState {
	if sizeOf(state) <= mostStatus {
		return state
	}
	const first = 100
	p := &state.Pending
	p.People, p.Groups, p.Recount = p.People[:min(len(p.People), first)], p.Groups[:min(len(p.Groups), first)],
		p.Recount[:min(len(p.Recount), first)]
	p.Grants, p.Settling, p.Later, p.Jobs = p.Grants[:min(len(p.Grants), first)], nil, nil,
		p.Jobs[:min(len(p.Jobs), first)]
	state.Kept, state.First = nil, nil
	return state
}

func sizeOf(state messages.OrgSyncState) int {
	text, _ := json.Marshal(state) // plain data always encodes
	return len(text)
}
