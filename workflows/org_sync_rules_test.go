package workflows_test

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
)

// clockedLoop is a loop whose policy has rules for which time matters; say is what time means to them.
type clockedLoop struct {
	*loop
	say       func(reconcile.RuleTimeInput) (reconcile.RuleTimeResult, error)
	asked     []time.Time // when
	since     []time.Time
	schedules []string
	scheduled bool
}

func newClockedLoop(t *testing.T) *clockedLoop {
	t.Helper()
	c := &clockedLoop{}
	c.say = func(reconcile.RuleTimeInput) (reconcile.RuleTimeResult, error) {
		return reconcile.RuleTimeResult{}, nil
	}
	c.loop = newLoop(t, func(l *loop) {
		l.env.RegisterActivityWithOptions(func(_ context.Context, in reconcile.RuleTimeInput) (reconcile.RuleTimeResult,
			error) {
			l.mu.Lock()
			defer l.mu.Unlock()
			now := l.env.Now().UTC()
			c.asked, c.since = append(c.asked, now), append(c.since, in.Since)
			result, err := c.say(in)
			result.At = now
			return result, err
		}, activity.RegisterOptions{Name: "RuleTime", DisableAlreadyRegisteredCheck: true})
		l.env.RegisterActivityWithOptions(func(_ context.Context, in reconcile.KeepSchedulesInput) error {
			c.schedules = append(c.schedules, in.Policy)
			return nil
		}, activity.RegisterOptions{Name: "KeepSchedules"})
	})
	c.admit = func(in reconcile.AdmitInput) (reconcile.AdmitResult, error) {
		result := inForce(in, true)
		result.Settings.Clocked, result.Settings.Scheduled = true, c.scheduled
		return result, nil
	}
	return c
}

// A rule that comes into force, or goes out of it, has everybody looked at by a timer of the loop's own.
func TestOrgSyncRulesTimeHasEverybodyLookedAt(t *testing.T) {
	c := newClockedLoop(t)
	edge := begin.Add(90 * time.Minute)
	c.say = func(in reconcile.RuleTimeInput) (reconcile.RuleTimeResult, error) {
		if c.env.Now().Before(edge) {
			return reconcile.RuleTimeResult{Next: edge}, nil
		}
		return reconcile.RuleTimeResult{Full: in.Since.Before(edge)}, nil
	}
	c.at(time.Hour, func() {
		require.Equal(t, edge, c.status().Rules.Next)
		contains(t, c.page(), "next decision due by time: 2026-03-02 10:30:00 UTC")
	})
	c.start(3 * time.Hour)
	require.Equal(t, "a policy was applied; a rule came into or went out of force", triggers(c.runs))
	at := slices.IndexFunc(c.asked, edge.Equal)
	require.Positive(t, at, "it is asked when it is due: %s", c.asked)
	for i := range c.asked[1:] {
		require.Equal(t, c.asked[i], c.since[i+1], "so that nothing between two times is missed")
	}
	require.LessOrEqual(t, len(c.asked), 4, "after each run, and when it is due")
}

// Whose waiting or grace is over is looked at, without everybody else.
func TestOrgSyncLooksAtPeopleWhoAreDue(t *testing.T) {
	c := newClockedLoop(t)
	due := begin.Add(time.Hour)
	c.say = func(in reconcile.RuleTimeInput) (reconcile.RuleTimeResult, error) {
		switch {
		case c.env.Now().Before(due):
			return reconcile.RuleTimeResult{Next: due}, nil
		case in.Since.Before(due):
			return reconcile.RuleTimeResult{People: []string{"eve", "sam"}}, nil
		}
		return reconcile.RuleTimeResult{}, nil
	}
	c.start(2 * time.Hour)
	require.Equal(t, []string{"eve", "sam"}, c.examines[0].Scope.People)
	require.Equal(t, []string{"eve", "sam"}, c.examines[1].Scope.People, "and once more, since reads lag")
	require.Equal(t, "a policy was applied", triggers(c.runs))
}

// While paused nobody is told anything and no rule's time comes; after it, what was missed is asked for.
func TestOrgSyncPauseStopsTheRulesClock(t *testing.T) {
	c := newClockedLoop(t)
	due := begin.Add(time.Hour)
	c.say = func(reconcile.RuleTimeInput) (reconcile.RuleTimeResult, error) {
		if c.env.Now().Before(due) {
			return reconcile.RuleTimeResult{Next: due}, nil
		}
		return reconcile.RuleTimeResult{}, nil
	}
	c.signalAt(30*time.Minute, messages.Pause, messages.PauseInput{By: "ana"})
	c.signalAt(2*time.Hour, messages.Resume, messages.ResumeInput{By: "ana"})
	c.start(3 * time.Hour)
	for _, at := range c.asked {
		require.False(t, at.After(begin.Add(30*time.Minute)) && at.Before(begin.Add(2*time.Hour)), at)
	}
	require.False(t, lastOf(c.asked).Before(begin.Add(2*time.Hour)), "what was missed is asked for after it")
}

// What cannot be asked is asked again, and does not keep the loop from its other work.
func TestOrgSyncRulesClockIsPatient(t *testing.T) {
	c := newClockedLoop(t)
	fails := 2 // after the policy came, and after the first run
	c.say = func(reconcile.RuleTimeInput) (reconcile.RuleTimeResult, error) {
		if fails > 0 {
			fails--
			return reconcile.RuleTimeResult{}, fatal(session.ErrPolicy, "the clock is away")
		}
		return reconcile.RuleTimeResult{Untold: "the mail server is away", Next: begin.Add(5 * time.Hour)}, nil
	}
	c.at(time.Minute, func() { require.Equal(t, "the clock is away", c.status().Rules.Untold) })
	c.at(time.Hour, func() { contains(t, c.page(), "**notices not sent yet**, which are retried: the mail server is away") })
	c.start(2 * time.Hour)
	require.Len(t, c.asked, 3)
	require.Len(t, c.runs, 1)
}

// Under a policy whose rules know no time, what a review decided for a while ends on time all the same.
func TestOrgSyncLooksWhenARulingEnds(t *testing.T) {
	c := newClockedLoop(t)
	c.admit = func(in reconcile.AdmitInput) (reconcile.AdmitResult, error) { return inForce(in, true), nil }
	var end time.Time
	c.say = func(in reconcile.RuleTimeInput) (reconcile.RuleTimeResult, error) {
		switch now := c.env.Now(); {
		case end.IsZero():
			return reconcile.RuleTimeResult{}, nil
		case now.Before(end):
			return reconcile.RuleTimeResult{Next: end}, nil
		case in.Since.Before(end):
			return reconcile.RuleTimeResult{People: []string{"ana"}}, nil
		}
		return reconcile.RuleTimeResult{}, nil
	}
	var looked []time.Time
	c.examine = func(in reconcile.ExamineInput) (reconcile.JudgeResult, error) {
		if slices.Contains(in.Scope.People, "ana") {
			looked = append(looked, c.env.Now().UTC())
		}
		return reconcile.JudgeResult{Counts: messages.Counts{People: 1}}, nil
	}
	c.signalAt(time.Hour, messages.LookAt, messages.LookAtSignal{Review: "quarterly:001", Clock: true})
	c.at(time.Hour-time.Second, func() { end = begin.Add(time.Hour + 90*time.Second) })
	c.start(3 * time.Hour)
	require.NotEmpty(t, looked)
	require.Equal(t, end, looked[0])
	require.LessOrEqual(t, len(c.asked), 6, "it sleeps between: %v", c.asked)
	require.Empty(t, c.schedules)
}

// The schedule of the governance report follows the policy.
func TestOrgSyncSchedulesFollowThePolicy(t *testing.T) {
	c := newClockedLoop(t)
	c.scheduled = true
	c.at(time.Hour, func() {
		c.scheduled = false
		c.update(messages.ApplyPolicy, messages.PolicyInput{Policy: json.RawMessage(`"second"`), By: "ana"})
	})
	c.at(2*time.Hour, func() {
		c.update(messages.ApplyPolicy, messages.PolicyInput{Policy: json.RawMessage(`"third"`), By: "ana"})
	})
	c.start(3 * time.Hour)
	require.Equal(t, []string{`hash of "first"`, `hash of "second"`}, c.schedules,
		"once more when it goes, and then no more")
}
