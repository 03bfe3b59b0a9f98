package workflows_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/apply"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
)

const jira, wiki = access.Entitlement("group:jira"), access.Entitlement("group:wiki")

func adding(person string, target access.Entitlement) *planLine {
	return &planLine{person: person, target: target, action: access.Add}
}

func removing(person string, target access.Entitlement) *planLine {
	return &planLine{person: person, target: target, action: access.Remove}
}

func fatal(kind, message string) error {
	return temporal.NewApplicationErrorWithOptions(message, kind, temporal.ApplicationErrorOptions{NonRetryable: true})
}

func TestReconcilePhasesComeInOrder(t *testing.T) {
	r := newRunTest(t, adding("a", jira), removing("b", jira), &planLine{person: "c", target: jira, action: access.Adopt})
	r.blocks = 3
	sum := r.do()
	require.Equal(t, []string{
		"Outline", "Sweep", "Sweep", "Sweep", "Judge", "Set", "Next", "add a", "Next", "Confirm", "Next", "remove b",
		"Verify", "Finish",
	}, r.calls)
	require.Equal(t, messages.RunDone, sum.State)
	require.Equal(t, "sha256:plan", sum.Plan)
	require.Equal(t, 2, sum.Counts.Done)
	require.Equal(t, 2, sum.Counts.Verified)
	require.Nil(t, sum.Problem)
	require.Equal(t, access.Done, r.plan[2].state, "an adoption is a matter of the ledger")
	require.Equal(t, []string{"", "cursor+", "cursor++"},
		[]string{r.sweeps[0].Cursor, r.sweeps[1].Cursor, r.sweeps[2].Cursor})
	require.Equal(t, 20, r.sweeps[0].Pages)
}

func TestReconcilePlanWithNothingToWriteIsClosedAtOnce(t *testing.T) {
	r := newRunTest(t, &planLine{person: "a", target: jira, action: access.Remove, state: access.Held})
	r.hold = &messages.Hold{Plan: held, Run: "r1", Removals: 1}
	sum := r.do()
	require.Equal(t, []string{"Outline", "Sweep", "Judge", "Finish"}, r.calls)
	require.Equal(t, held, sum.Hold.Plan)
	require.True(t, r.told[0].Judged)
	require.Equal(t, held, r.told[0].Run.Hold.Plan, "the hold is told before the run ends")
}

func TestReconcileReadsAgainWhatWasNotShown(t *testing.T) {
	for name, plan := range map[string][]*planLine{"nothing to write": nil, "an addition": {adding("a", jira)}} {
		t.Run(name, func(t *testing.T) {
			r := newRunTest(t, plan...)
			r.missed = 3
			sum := r.do()
			require.Equal(t, []string{"CloseEnded", "Finish"}, r.calls[len(r.calls)-2:])
			require.GreaterOrEqual(t, r.at["CloseEnded"].Sub(r.at["Judge"]), 5*time.Second,
				"it must stay so for a while")
			require.Nil(t, sum.Problem)
		})
	}
	r := newRunTest(t)
	r.missed, r.fail["CloseEnded"] = 3, fatal("Invalid", "no")
	require.Equal(t, "Invalid", r.do().Problem.Kind)
}

func TestReconcileRemovalsSettleAndAreReadAgain(t *testing.T) {
	r := newRunTest(t, removing("gone", jira), removing("back", jira))
	r.stale = []string{"back"}
	r.do()
	require.GreaterOrEqual(t, r.at["Confirm"].Sub(r.at["Judge"]), 5*time.Second, "a removal must stay true for a while")
	require.Less(t, r.index("Confirm"), r.index("remove gone"))
	require.NotContains(t, r.calls, "remove back")
	require.Equal(t, access.Superseded, r.plan[1].state)
	require.Equal(t, []access.Action{access.Remove}, r.confirms[0].Actions)
}

// However many removals there are, and however long they take, each is written on a read of the last moments.
func TestReconcileRemovalsAreReadAgainBatchByBatch(t *testing.T) {
	for name, c := range map[string]struct {
		takes time.Duration
		stale int
	}{
		"many":                          {takes: time.Millisecond},
		"slow ones":                     {takes: 10 * time.Second},
		"many that are asked no more":   {takes: time.Millisecond, stale: 50},
		"a batch that is asked no more": {takes: time.Millisecond, stale: 130},
	} {
		t.Run(name, func(t *testing.T) {
			var plan []*planLine
			for i := range 250 {
				l := removing(fmt.Sprintf("p%03d", i), jira)
				l.takes = c.takes
				plan = append(plan, l)
			}
			r := newRunTest(t, plan...)
			for i := range c.stale {
				r.stale = append(r.stale, fmt.Sprintf("p%03d", i))
			}
			r.env.SetOnActivityStartedListener(func(info *activity.Info, ctx context.Context,
				args converter.EncodedValues) {
				r.note(info, ctx, args)
				if info.ActivityType.Name != "Apply" {
					return
				}
				var in apply.ChangeInput
				require.NoError(t, args.Get(&in))
				r.mu.Lock()
				defer r.mu.Unlock()
				require.Less(t, r.env.Now().Sub(r.line(in).read), 30*time.Second, "%s is written on old evidence",
					in.Person)
			})
			require.Equal(t, 250-c.stale, r.do().Counts.Done)
			for _, in := range r.confirms {
				require.Equal(t, 100, in.Limit)
			}
		})
	}
}

// The additions of a large plan are made twenty at a time. What fails among them is tried by itself, and whatever comes
// after it is made all the same; a target that takes no more is asked no more.
func TestReconcileMakesManyAdditionsTogether(t *testing.T) {
	var plan []*planLine
	for i := range 250 {
		plan = append(plan, adding(fmt.Sprintf("p%03d", i), jira))
	}
	plan[7].err = errors.New("the API is down")
	plan[9].guarded = true
	r := newRunTest(t, plan...)
	r.together = true
	done := r.do()
	require.Equal(t, 249, done.Counts.Done)
	require.Equal(t, 1, done.Counts.Failed)
	require.Equal(t, []int{9, 10}, slices.DeleteFunc(slices.Clone(r.several), func(n int) bool { return n == 20 }),
		"before the guarded one, and at the end of a page")
	require.Contains(t, r.calls, "add p007")
	require.Contains(t, r.calls, "add p008")
	require.Contains(t, r.calls, "add p009")
	require.NotContains(t, r.calls, "add p010")
	require.Contains(t, r.calls, "add p240", "the last ones are few")

	for _, l := range plan {
		l.state, l.err = access.Planned, nil
	}
	plan[22].closed, plan[22].answer = true, access.Shortage
	full := newRunTest(t, plan...)
	full.together = true
	require.Equal(t, 1, full.do().Counts.Shortage)
	require.Equal(t, access.Refused, plan[249].state, "closed, and not asked for")
}

// A removal that fails for long is left to the next verification: those behind it go on.
func TestReconcilePassesOverARemovalThatFails(t *testing.T) {
	stuck, next := removing("a", jira), removing("b", jira)
	for _, l := range []*planLine{stuck, next} {
		l.guarded = true // one at a time
	}
	stuck.takes, stuck.err = 4*time.Minute, fatal("Unavailable", "no answer")
	r := newRunTest(t, stuck, next)
	sum := r.do()
	require.Nil(t, sum.Problem)
	require.Equal(t, access.Done, next.state)
	require.Equal(t, 1, sum.Counts.Failed)
}

func TestReconcileSecondLookIsNotTakenAThirdTime(t *testing.T) {
	r := newRunTest(t, removing("gone", jira))
	r.input.Scope = messages.Scope{Kind: messages.ScopePeople, People: []string{"gone"}}
	r.input.Progress = &messages.Progress{Workflow: messages.ReconcileID(org, "r1"), Phase: "adopt", Since: begin,
		Settled: true, Run: messages.RunSummary{Run: "r1", Plan: "sha256:plan"}}
	r.do()
	require.Equal(t, []string{"Set", "Next", "Next", "Next", "remove gone", "Verify", "Finish"}, r.calls)
}

func TestReconcileApprovedPlanIsReadAgainAsAWhole(t *testing.T) {
	plan := []*planLine{adding("a", jira), adding("left", jira), removing("b", jira)}
	for _, l := range plan {
		l.waited = true
	}
	r := newRunTest(t, plan...)
	r.stale = []string{"left"}
	r.input.Scope = messages.Scope{Kind: messages.ScopeHold, Run: "r1", Plan: held}
	r.startAs(messages.ReconcileID(org, "r1") + ":approved")
	r.do()
	require.Equal(t, "Confirm", r.calls[0])
	require.Equal(t, []access.Action{access.Add, access.Adopt}, r.confirms[0].Actions)
	require.Equal(t, []access.Action{access.Remove}, r.confirms[1].Actions)
	require.NotContains(t, r.calls, "add left")
	require.NotContains(t, r.calls, "Sweep")
	require.Contains(t, r.calls, "remove b")
}

// What a decision released is written by the run that it starts, and what nothing held by the run that planned it. What
// is left of an undo, which was stopped for a fresh history, is all one run's.
func TestReconcileWritesWhatIsItsOwn(t *testing.T) {
	for name, test := range map[string]struct {
		scope messages.Scope
		wrote []string
	}{
		"the run that planned it": {messages.Scope{Kind: messages.ScopeFull}, []string{"remove b", "remove c"}},
		"an approved plan": {messages.Scope{Kind: messages.ScopeHold, Run: "r1"},
			[]string{"remove a", "remove d"}},
		"an undo": {messages.Scope{Kind: messages.ScopeUndo, Run: "r0"},
			[]string{"remove a", "remove b", "remove c", "remove d"}},
		"the rest of an undo": {messages.Scope{Kind: messages.ScopeHold, Run: "r1", Undo: true},
			[]string{"remove a", "remove b", "remove c", "remove d"}},
	} {
		t.Run(name, func(t *testing.T) {
			plan := []*planLine{removing("a", jira), removing("b", jira), removing("c", jira), removing("d", jira)}
			plan[0].waited, plan[3].waited = true, true
			r := newRunTest(t, plan...)
			r.input.Scope = test.scope
			if test.scope.Kind == messages.ScopeHold {
				r.startAs(messages.ReconcileID(org, "r1") + ":approved")
			}
			r.do()
			var wrote []string
			for _, call := range r.calls {
				if strings.HasPrefix(call, "remove ") {
					wrote = append(wrote, call)
				}
			}
			require.ElementsMatch(t, test.wrote, wrote)
		})
	}
}

func TestReconcileUndoIsPlannedAndNotAskedOfThePolicy(t *testing.T) {
	r := newRunTest(t, adding("a", jira), removing("b", jira))
	r.input.Scope = messages.Scope{Kind: messages.ScopeUndo, Run: "r0"}
	sum := r.do()
	require.Equal(t, "PlanUndo", r.calls[0])
	require.Empty(t, r.confirms, "the policy does not ask for an inverse")
	require.Equal(t, 2, sum.Counts.Done)
}

func TestReconcileWritesAreBoundedAndConcurrent(t *testing.T) {
	var plan []*planLine
	for i := range 250 {
		plan = append(plan, adding(fmt.Sprintf("p%03d", i), jira))
	}
	r := newRunTest(t, plan...)
	sum := r.do()
	require.Equal(t, 250, sum.Counts.Done)
	require.Equal(t, 4, r.most, "as many at once as the policy says")
	require.Equal(t, 3, count(r.calls[:r.index("Verify")], "Next")-1,
		"a hundred lines are fetched at a time, and the removals asked for once")
}

func TestReconcileRemovalsOfAProtectedTargetGoOneAtATime(t *testing.T) {
	var plan []*planLine
	for i := range 6 {
		l := removing(fmt.Sprintf("admin%d", i), access.OrgAdmin)
		l.guarded, l.takes = true, 10*time.Second
		plan = append(plan, l)
	}
	r := newRunTest(t, plan...)
	r.do()
	require.Equal(t, 1, r.mostWhileGuarded)
}

func TestReconcileTargetThatTakesNoMoreIsLeftForThisRun(t *testing.T) {
	var plan []*planLine
	for i := range 30 {
		l := adding(fmt.Sprintf("p%02d", i), jira)
		l.answer, l.closed = access.Shortage, true
		plan = append(plan, l, adding(fmt.Sprintf("p%02d", i), wiki))
	}
	r := newRunTest(t, plan...)
	r.input.Settings.InFlight = 1
	r.do()
	tried := 0
	for _, l := range r.plan {
		if l.target == jira {
			require.NotEqual(t, access.Planned, l.state)
			continue
		}
		require.Equal(t, access.Done, l.state, "other targets go on")
	}
	for _, set := range r.sets {
		if len(set.Target) > 0 {
			tried++
			require.Equal(t, []access.Entitlement{jira}, set.Target)
		}
	}
	require.Equal(t, 1, tried)
	writes := 0
	for _, call := range r.calls {
		if strings.HasPrefix(call, "add ") {
			writes++
		}
	}
	require.LessOrEqual(t, writes, 32, "no call is made for what the target does not take")
}

// One person whom Atlassian refuses must not keep everybody else out of a target.
func TestReconcileRefusedPersonDoesNotCloseTheTarget(t *testing.T) {
	refused := adding("a", jira)
	refused.answer = access.Refused
	r := newRunTest(t, refused, adding("b", jira), adding("c", jira))
	r.input.Settings.InFlight = 1
	sum := r.do()
	require.Equal(t, 2, sum.Counts.Done)
	require.Equal(t, 1, sum.Counts.Refused)
}

func TestReconcileFailingActivityEndsInASummary(t *testing.T) {
	for _, name := range []string{"Outline", "Sweep", "Judge", "Set", "Next", "Confirm", "Verify"} {
		t.Run(name, func(t *testing.T) {
			r := newRunTest(t, adding("a", jira), removing("b", jira))
			r.fail[name] = fatal(session.ErrKeyRefused, "make a new key")
			sum := r.do()
			require.Equal(t, messages.RunStopped, sum.State)
			require.Equal(t, session.ErrKeyRefused, sum.Problem.Kind)
			require.Equal(t, "make a new key", sum.Problem.Message)
			require.Equal(t, "Finish", lastOf(r.calls))
		})
	}
}

func TestReconcileWriteThatStopsTheRunWaitsForTheOthers(t *testing.T) {
	bad := adding("a", jira)
	bad.err = fatal(session.ErrKeyRefused, "make a new key")
	slow := adding("b", jira)
	slow.takes = time.Minute
	r := newRunTest(t, bad, slow, adding("c", wiki), adding("d", wiki), adding("e", wiki), adding("f", wiki),
		adding("g", wiki), removing("z", wiki))
	sum := r.do()
	require.Equal(t, session.ErrKeyRefused, sum.Problem.Kind)
	require.Equal(t, access.Done, slow.state, "what is in flight comes to its end")
	require.Equal(t, "Finish", lastOf(r.calls))
	require.NotContains(t, r.calls, "remove z")
}

func TestReconcileCancellingWaitsForWritesInFlight(t *testing.T) {
	var plan []*planLine
	for i := range 20 {
		l := adding(fmt.Sprintf("p%02d", i), jira)
		l.takes = time.Minute
		plan = append(plan, l)
	}
	r := newRunTest(t, plan...)
	r.env.RegisterDelayedCallback(r.env.CancelWorkflow, 90*time.Second)
	sum := r.do()
	require.Equal(t, messages.RunStopped, sum.State)
	require.Nil(t, sum.Problem, "a run that was stopped has no problem")
	states := map[access.ChangeState]int{}
	for _, l := range r.plan {
		states[l.state]++
	}
	require.Equal(t, map[access.ChangeState]int{access.Done: 8, access.Planned: 12}, states,
		"two times four were begun, and ended")
}

func TestReconcileVerificationIsPatient(t *testing.T) {
	r := newRunTest(t, adding("a", jira))
	r.unseen = 2
	sum := r.do()
	require.Equal(t, 3, count(r.calls, "Verify"))
	require.Equal(t, 0, sum.Counts.Unverified)

	r = newRunTest(t, adding("a", jira))
	r.unseen = 100
	sum = r.do()
	require.Equal(t, 4, count(r.calls, "Verify"))
	require.Equal(t, 1, sum.Counts.Unverified)
	require.Equal(t, messages.RunDone, sum.State)
	require.Nil(t, sum.Problem)
	require.True(t, slices.ContainsFunc(r.told,
		func(s messages.ProgressSignal) bool { return s.Run.State == messages.RunVerifying }),
		"it tells that it only verifies")
}

// Whoever leaves frees a licence: want of licences must never keep somebody in.
func TestReconcileShortageDoesNotKeepAnybodyIn(t *testing.T) {
	full := adding("a", jira)
	full.answer, full.closed = access.Shortage, true
	r := newRunTest(t, full, removing("z", jira))
	r.do()
	require.Equal(t, access.Done, r.plan[1].state)
}

// One change that cannot be made keeps nobody else waiting; the next verification takes it up.
func TestReconcileChangeThatFailsDoesNotStopTheOthers(t *testing.T) {
	bad := adding("b", jira)
	bad.err = fatal(session.ErrUnavailable, "503")
	r := newRunTest(t, adding("a", jira), bad, adding("c", jira), removing("z", jira))
	sum := r.do()
	require.Equal(t, messages.RunDone, sum.State)
	require.Nil(t, sum.Problem)
	require.Equal(t, 3, sum.Counts.Done)
	require.Equal(t, 1, sum.Counts.Failed)
}

func TestReconcileFailuresInARowStopTheRun(t *testing.T) {
	var plan []*planLine
	for i := range 50 {
		l := adding(fmt.Sprintf("p%02d", i), jira)
		l.err = fatal(session.ErrUnavailable, "503")
		plan = append(plan, l)
	}
	r := newRunTest(t, plan...)
	sum := r.do()
	require.Equal(t, messages.RunStopped, sum.State)
	require.Equal(t, session.ErrUnavailable, sum.Problem.Kind)
	require.LessOrEqual(t, sum.Counts.Failed, 5+4)
}
