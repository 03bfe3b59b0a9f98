package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	enumspb "go.temporal.io/api/enums/v1"

	"github.com/castellan-io/castellan/atlassian/scim"
	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// verification is what one full verification cost.
type verification struct {
	size
	calls  int
	writes int
	took   time.Duration
	memory int64 // peak of the worker, in bytes, since its start
}

// verification applies the policy, and measures the full verification after the first, which finds nothing to change.
func (b *bench) verification(ctx context.Context) (verification, error) {
	v := verification{size: b.size}
	say("%s: first verification", b.size)
	if _, err := b.Apply(ctx, org, policy(b.Simulator.OrgID, time.Hour)); err != nil {
		return v, err
	}
	first, err := b.settled(ctx)
	if err != nil {
		return v, err
	}
	say("%s: took %s with %d calls; verifying again", b.size,
		first.LastFull.Ended.Sub(first.LastFull.Started).Round(time.Millisecond), first.LastFull.Counts.Calls)
	if err := b.Simulator.ResetStats(ctx); err != nil {
		return v, err
	}
	if err := b.Update(ctx, org, messages.SyncNow, messages.SyncNowInput{By: "bench"}, nil); err != nil {
		return v, err
	}
	second, err := b.Until(ctx, org, 15*time.Minute, func(s messages.OrgSyncState) bool {
		return stack.Idle(s) && s.LastFull.Run != first.LastFull.Run
	})
	if err != nil {
		return v, err
	}
	stats, err := b.Simulator.Stats(ctx)
	v.calls, v.writes, v.memory = stats.Calls, stats.Writes, b.Worker.PeakMemory()
	v.took = second.LastFull.Ended.Sub(second.LastFull.Started)
	say("%s: %d calls in %s", b.size, v.calls, v.took)
	return v, err
}

func (v verification) rows(s size, latency time.Duration) []row {
	ideal := time.Duration(v.calls) * latency
	return []row{
		{"API calls of a full verification", s.String(), "≤ 125", fmt.Sprintf("%d (%d writes)", v.calls, v.writes)},
		{"wall time of that", latency.String() + " per call", fmt.Sprintf("≤ 1.3 × %s = %s", ideal, ideal*13/10),
			fmt.Sprintf("%s = %.2f ×", v.took.Round(time.Millisecond), v.took.Seconds()/ideal.Seconds())},
	}
}

// changes measures a quiet minute, a thousand changes at once, and single ones.
func (b *bench) changes(ctx context.Context, rows []row, singles int) ([]row, error) {
	quiet, err := b.quietMinute(ctx)
	if err != nil {
		return rows, err
	}
	many, err := b.thousand(ctx)
	if err != nil {
		return append(rows, quiet), err
	}
	delays, err := b.singles(ctx, singles)
	return append(append(append(rows, quiet), many...), delays...), err
}

func (b *bench) quietMinute(ctx context.Context) (row, error) {
	say("a quiet minute, feed every 30 s")
	if _, err := b.Apply(ctx, org, policy(b.Simulator.OrgID, 30*time.Second)); err != nil {
		return row{}, err
	}
	if _, err := b.settled(ctx); err != nil {
		return row{}, err
	}
	if err := b.Simulator.ResetStats(ctx); err != nil {
		return row{}, err
	}
	select {
	case <-time.After(time.Minute):
	case <-ctx.Done():
		return row{}, ctx.Err()
	}
	stats, err := b.Simulator.Stats(ctx)
	return row{"calls in a quiet minute with the event feed at 30 s", b.size.String(), "≤ 2, no writes",
		fmt.Sprintf("%d calls, %d writes", stats.Calls, stats.Writes)}, err
}

// thousand measures a thousand changes at once.
func (b *bench) thousand(ctx context.Context) ([]row, error) {
	const n = 1000
	say("%d people join a source group in one request of the identity provider, feed every 5 s", n)
	if _, err := b.Apply(ctx, org, policy(b.Simulator.OrgID, 5*time.Second)); err != nil {
		return nil, err
	}
	before, err := b.settled(ctx)
	if err != nil {
		return nil, err
	}
	took, err := b.joinAtOnce(ctx, n)
	if err != nil {
		return nil, err
	}
	after, err := b.Until(ctx, org, 5*time.Minute, func(s messages.OrgSyncState) bool {
		return stack.Idle(s) && s.LastRun != nil && s.LastRun.Run != before.LastRun.Run
	})
	if err != nil {
		return nil, err
	}
	stats, err := b.Simulator.Stats(ctx)
	if err != nil {
		return nil, err
	}
	scimCalls := stats.Operations["scim.groups.patch"]
	activities, err := b.activities(ctx, messages.ReconcileID(org, after.LastRun.Run))
	if err != nil {
		return nil, err
	}
	more, err := b.activities(ctx, messages.OrgSyncID(org))
	if err != nil {
		return nil, err
	}
	writes := stats.Operations["memberships.add"]
	return []row{
		{"calls for 1,000 changes", b.size.String(), "1,000 writes, other calls ≤ 200",
			fmt.Sprintf("%d writes, %d other calls, in %s", writes, stats.Calls-writes-scimCalls,
				took.Round(time.Second))},
		{"Temporal activities per change",
			"same; all activities of the run, and of the organization's loop since its last renewal", "≤ 1.1",
			fmt.Sprintf("%.3f (run), %.3f (with the loop)", float64(activities)/n, float64(activities+more)/n)},
	}, nil
}

// joinAtOnce has so many people join the source group in one request, and returns how long it took until all were
// added.
func (b *bench) joinAtOnce(ctx context.Context, n int) (time.Duration, error) {
	state, err := b.Simulator.State(ctx)
	if err != nil {
		return 0, err
	}
	idp, group, err := b.sourceGroup(ctx)
	if err != nil {
		return 0, err
	}
	joiners := strangers(state, "bench-1", n)
	if err := b.Simulator.ResetStats(ctx); err != nil {
		return 0, err
	}
	began := time.Now()
	if _, err := idp.AddMembers(ctx, group, joiners...); err != nil {
		return 0, err
	}
	err = stack.Eventually(ctx, 10*time.Minute, func() error {
		stats, err := b.Simulator.Stats(ctx)
		if err == nil && stats.Operations["memberships.add"] < n {
			err = fmt.Errorf("%d of %d adds", stats.Operations["memberships.add"], n)
		}
		return err
	})
	return time.Since(began), err
}

// activities counts the activities scheduled by a workflow, over all histories of its chain.
func (b *bench) activities(ctx context.Context, id string) (int, error) {
	n, run := 0, ""
	for {
		history := b.Temporal.Client.GetWorkflowHistory(ctx, id, run, false,
			enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		before := ""
		for history.HasNext() {
			e, err := history.Next()
			if err != nil {
				return n, err
			}
			switch e.GetEventType() {
			case enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
				n++
			case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
				before = e.GetWorkflowExecutionStartedEventAttributes().GetContinuedExecutionRunId()
			}
		}
		if before == "" {
			return n, nil
		}
		run = before
	}
}

func (b *bench) sourceGroup(ctx context.Context) (scim.Writer, string, error) {
	idp, err := b.Simulator.SCIM()
	if err != nil {
		return idp, "", err
	}
	found, err := idp.Groups(ctx, scim.GroupQuery{DisplayName: "data-bench"})
	if err != nil || len(found.Items) != 1 {
		return idp, "", fmt.Errorf("source group data-bench: %d found: %w", len(found.Items), err)
	}
	return idp, found.Items[0].ID, nil
}

func scimGroup(name string) scim.Group { return scim.Group{DisplayName: name} }

// strangers are SCIM ids of people who are not in the group.
func strangers(state cloud.State, group string, n int) []string {
	in := stack.Members(state, group)
	slices.Sort(in)
	var ids []string
	for _, p := range state.People {
		if _, is := slices.BinarySearch(in, p.AccountID); !is && p.SCIMUserID != "" && !p.App && !p.Inactive &&
			!p.Absent && !p.Suspended && len(ids) < n {
			ids = append(ids, p.SCIMUserID)
		}
	}
	return ids
}

// singles measures the delay from a change at the identity provider to the target membership, one person at a time, a
// second apart: first people join, then the same people leave.
func (b *bench) singles(ctx context.Context, n int) ([]row, error) {
	say("%d single changes, a second apart, feed every 5 s, reads lag by 1 s", n)
	if err := b.Simulator.Set(ctx, map[string]any{"lag": "1s", "eventLag": "1s"}); err != nil {
		return nil, err
	}
	state, err := b.Simulator.State(ctx)
	if err != nil {
		return nil, err
	}
	idp, group, err := b.sourceGroup(ctx)
	if err != nil {
		return nil, err
	}
	account := map[string]string{}
	for _, p := range state.People {
		account[p.SCIMUserID] = p.AccountID
	}
	who := strangers(state, "bench-1", n/2)
	joins, err := b.delays(ctx, who, account, true,
		func(id string) error { _, err := idp.AddMembers(ctx, group, id); return err })
	if err != nil {
		return nil, err
	}
	leaves, err := b.delays(ctx, who, account, false,
		func(id string) error { _, err := idp.RemoveMembers(ctx, group, id); return err })
	if err != nil {
		return nil, err
	}
	all := append(slices.Clone(joins), leaves...)
	at := fmt.Sprintf("feed every 5 s, simulator lag 1 s, %d single changes", len(all))
	return []row{
		{"source change → target membership, p50 / p95 / max", at, "p95 ≤ 15 s", quantiles(all)},
		{"— joining", at, "", quantiles(joins)},
		{"— leaving (a removal settles 5 s and is read twice)", at, "", quantiles(leaves)},
	}, nil
}

func (b *bench) delays(ctx context.Context, who []string, account map[string]string, member bool,
	change func(string) error) ([]time.Duration, error) {
	began := map[string]time.Time{}
	var delays []time.Duration
	look := func() error {
		members, err := b.Simulator.MembersOf(ctx, "bench-1")
		if err != nil {
			return err
		}
		in := map[string]bool{}
		for _, m := range members {
			in[m] = true
		}
		for id, at := range began {
			if in[account[id]] == member {
				delays = append(delays, time.Since(at))
				delete(began, id)
			}
		}
		return nil
	}
	next := time.Now()
	for _, id := range who {
		for time.Now().Before(next) {
			if err := pauseAndLook(ctx, look); err != nil {
				return nil, err
			}
		}
		next = next.Add(time.Second)
		if err := change(id); err != nil {
			return nil, err
		}
		began[id] = time.Now()
	}
	deadline := time.Now().Add(3 * time.Minute)
	for len(began) > 0 {
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("%d single changes had not arrived after three minutes", len(began))
		}
		if err := pauseAndLook(ctx, look); err != nil {
			return nil, err
		}
	}
	return delays, nil
}

func pauseAndLook(ctx context.Context, look func() error) error {
	select {
	case <-time.After(100 * time.Millisecond):
		return look()
	case <-ctx.Done():
		return ctx.Err()
	}
}

func quantiles(d []time.Duration) string {
	if len(d) == 0 {
		return "none"
	}
	d = slices.Sorted(slices.Values(d))
	at := func(q float64) time.Duration {
		return d[min(int(q*float64(len(d))), len(d)-1)].Round(10 * time.Millisecond)
	}
	return fmt.Sprintf("%s / %s / %s", at(0.50), at(0.95), d[len(d)-1].Round(10*time.Millisecond))
}
