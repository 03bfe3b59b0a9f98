package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/messages"
)

// manyTargets measures the calls of a full verification with many targets that a star makes of source groups, and that
// open nothing, as most groups do.
func manyTargets(ctx context.Context, dir, bin string, targets int, latency time.Duration) (row, error) {
	at := fmt.Sprintf("10000 people, %d groups, %d starred targets", 2*targets, targets)
	say("%s: starting", at)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return row{}, err
	}
	st, err := stack.Start(ctx, dir, bin, false, "--people", "10000", "--groups", fmt.Sprint(targets), "--memberships",
		"50000", "--sites", "acme,beta", "--seed", "7")
	if err != nil {
		return row{}, err
	}
	b := &bench{Stack: st, latency: latency}
	defer b.Stop()
	if err := b.mirrorGroups(ctx); err != nil {
		return row{}, err
	}
	if err := b.Simulator.Set(ctx, map[string]any{"latency": latency.String()}); err != nil {
		return row{}, err
	}
	text, _, _ := strings.Cut(policy(b.Simulator.OrgID, time.Hour), "mappings:")
	text += "mappings:\n  - {name: teams, from: [\"*\"], to: [\"group:team-*\"], adopt: true}\n"
	if _, err := b.Apply(ctx, org, text); err != nil {
		return row{}, err
	}
	first, err := b.settled(ctx)
	if err != nil {
		return row{}, err
	}
	say("%s: verifying again", at)
	if err := b.Simulator.ResetStats(ctx); err != nil {
		return row{}, err
	}
	if err := b.Update(ctx, org, messages.SyncNow, messages.SyncNowInput{By: "bench"}, nil); err != nil {
		return row{}, err
	}
	second, err := b.Until(ctx, org, 15*time.Minute, func(s messages.OrgSyncState) bool {
		return stack.Idle(s) && s.LastFull.Run != first.LastFull.Run
	})
	if err != nil {
		return row{}, err
	}
	stats, err := b.Simulator.Stats(ctx)
	return row{"API calls of a full verification with many targets", at, "≤ 130",
		fmt.Sprintf("%d (%d writes, %d for roles), in %s",
			stats.Calls, stats.Writes, stats.Operations["role-assignments.list"],
			second.LastFull.Ended.Sub(second.LastFull.Started).Round(100*time.Millisecond))}, err
}

// mirrorGroups makes a local group with the same members for each synced one.
func (b *bench) mirrorGroups(ctx context.Context) error {
	state, err := b.Simulator.State(ctx)
	if err != nil {
		return err
	}
	for _, g := range state.Groups {
		if !g.Synced {
			continue
		}
		target := "team-" + g.Name
		if err := b.Simulator.LocalGroup(ctx, target); err != nil {
			return err
		}
		if len(g.Members) > 0 {
			if err := b.Simulator.Invite(ctx, target, g.Members...); err != nil {
				return err
			}
		}
	}
	return nil
}
