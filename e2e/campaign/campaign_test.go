// Package campaign breaks a simulated organization at random, again and again, and checks what must never happen and what
// must always come back. `make campaign N=…` runs it; a seed repeats a schedule.
package campaign

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/messages"
)

const org = "campaign"

// TestCampaign runs CASTELLAN_CAMPAIGN schedules from CASTELLAN_SEED on, on one organization that lives through all of
// them.
func TestCampaign(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("CASTELLAN_CAMPAIGN"))
	if err != nil || n < 1 {
		t.Skip("skipped: CASTELLAN_CAMPAIGN does not say how many fault schedules to run (make campaign N=20)")
	}
	seed, err := strconv.ParseUint(os.Getenv("CASTELLAN_SEED"), 10, 64)
	if err != nil {
		seed = 1
	}
	c := begin(t)
	for i := range n {
		c.schedule(t, seed+uint64(i))
	}
	c.report(t, n, seed)
}

type campaign struct {
	*stack.Stack
	world     *world
	recovered []time.Duration
	runs      []int // full verifications until everything was right again
	faults    map[string]int
	seen      int // writes looked at so far
	removals  int
	wrongful  []string
	repeated  []string
	redundant int
	hiding    bool // this round's faults have reads hide memberships
	sure      int  // writes repeated in such rounds, to make sure
}

func begin(t *testing.T) *campaign {
	t.Helper()
	ctx := t.Context()
	s, err := stack.Start(ctx, t.TempDir(), "", false, "--people", "150", "--groups", "24", "--memberships", "700", "--seed", "11")
	require.NoError(t, err)
	t.Cleanup(s.Stop)
	c := &campaign{Stack: s, faults: map[string]int{}}
	c.world, err = newWorld(ctx, s)
	require.NoError(t, err)
	_, err = s.Apply(ctx, org, policy(s.Simulator.OrgID))
	require.NoError(t, err)
	_, err = s.Until(ctx, org, 3*time.Minute, stack.Idle)
	require.NoError(t, err)
	require.NoError(t, c.right(ctx), "before any fault")
	return c
}

// schedule is one round: faults on, the identity provider goes on with its day, verifications are asked for; faults off,
// and everything must come right.
func (c *campaign) schedule(t *testing.T, seed uint64) {
	t.Helper()
	ctx := t.Context()
	random := rand.New(rand.NewPCG(seed, 0x5eed))
	faults := pick(random)
	t.Logf("seed %d: %v", seed, names(faults))
	c.hiding = slices.ContainsFunc(faults, hides)
	for _, f := range faults {
		c.faults[f.Kind]++
		require.NoError(t, c.Simulator.Fault(ctx, f))
	}
	for range 2 + random.IntN(3) {
		require.NoError(t, c.world.day(ctx, random))
		if random.IntN(2) == 0 {
			_ = c.Update(ctx, org, messages.SyncNow, messages.SyncNowInput{By: "campaign"}, nil) // the fault may refuse it
		}
		c.breathe(ctx, random)
	}
	c.look(t, seed)
	require.NoError(t, c.Simulator.ClearFaults(ctx))
	c.recover(t, seed)
	c.look(t, seed)
}

// breathe lets the system work on what happened: until it made some more calls, or a moment passed.
func (c *campaign) breathe(ctx context.Context, random *rand.Rand) {
	before, err := c.Simulator.Stats(ctx)
	if err != nil {
		return
	}
	_ = stack.Eventually(ctx, time.Duration(1+random.IntN(4))*time.Second, func() error {
		now, err := c.Simulator.Stats(ctx)
		if err == nil && now.Calls < before.Calls+20 {
			err = fmt.Errorf("%d calls", now.Calls-before.Calls)
		}
		return err
	})
}

// recover asks for verifications until the memberships are what the sources say.
func (c *campaign) recover(t *testing.T, seed uint64) {
	t.Helper()
	ctx := t.Context()
	began, verifications := time.Now(), 0
	err := stack.Eventually(ctx, 4*time.Minute, func() error {
		if err := c.right(ctx); err == nil {
			return nil
		}
		verifications++
		before, err := c.Status(ctx, org)
		if err != nil {
			return err
		}
		if before.Hold != nil {
			_ = c.Decide(ctx, org, messages.ApprovePlan, before.Hold.Plan) // it may just have been replaced
		}
		if err := c.Update(ctx, org, messages.SyncNow, messages.SyncNowInput{By: "campaign"}, nil); err != nil {
			return err
		}
		_, err = c.Until(ctx, org, time.Minute, func(s messages.OrgSyncState) bool {
			done := s.LastFull != nil && (before.LastFull == nil || s.LastFull.Run != before.LastFull.Run)
			return done && s.Running == nil && s.Pending.Full == "" && len(s.Pending.Jobs) == 0
		})
		if err != nil {
			return err
		}
		return c.right(ctx)
	})
	require.NoError(t, err, "seed %d: no recovery after the faults ended", seed)
	c.recovered = append(c.recovered, time.Since(began))
	c.runs = append(c.runs, verifications)
}

// look checks every write since the last look against what the sources said around that time.
func (c *campaign) look(t *testing.T, seed uint64) {
	t.Helper()
	stats, err := c.Simulator.Stats(t.Context())
	require.NoError(t, err)
	for _, w := range stats.WritesByMembership[c.seen:] {
		c.world.judge(c, seed, w)
	}
	c.seen = len(stats.WritesByMembership)
}

func (c *campaign) report(t *testing.T, n int, seed uint64) {
	t.Helper()
	slices.Sort(c.recovered)
	slices.Sort(c.runs)
	t.Logf("%d fault schedules from seed %d: %v", n, seed, c.faults)
	t.Logf("removals: %d, of which without evidence: %d", c.removals, len(c.wrongful))
	t.Logf("writes repeated that were known to be done: %d, and %d that a read had hidden; writes that found it so already: %d; writes in all: %d",
		len(c.repeated), c.sure, c.redundant, c.seen)
	t.Logf("recovery: %s median, %s at most; full verifications asked for: %d median, %d at most",
		c.recovered[len(c.recovered)/2].Round(time.Millisecond), c.recovered[len(c.recovered)-1].Round(time.Millisecond), c.runs[len(c.runs)/2], c.runs[len(c.runs)-1])
	require.Empty(t, c.wrongful, "removals without evidence")
	require.Empty(t, c.repeated, "writes repeated that were known to be done")
	answer, err := c.Ask(t.Context(), messages.ReportInput{Org: org, Kind: messages.ReportLedger})
	require.NoError(t, err)
	require.True(t, answer.Ledger.Whole, answer.Message)
}
