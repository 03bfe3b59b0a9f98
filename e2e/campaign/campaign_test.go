// Package campaign breaks a simulated organization at random, again and again, and checks what must never happen and
// what must always come back. `make campaign N=…` runs it; a seed repeats a schedule.
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
	"github.com/castellan-io/castellan/simulator/cloud"
)

const org = "campaign"

// TestCampaign runs CASTELLAN_CAMPAIGN schedules from CASTELLAN_SEED on, on organizations that have mappings alone.
func TestCampaign(t *testing.T) {
	schedules(t, mappedOrganization, func(int) []cloud.Fault { return nil })
}

// TestCampaignOfRules does the same on organizations whose rules give and deny, suspend and restore people, and remove
// them.
func TestCampaignOfRules(t *testing.T) {
	schedules(t, ruledOrganization, func(int) []cloud.Fault { return nil })
}

// TestCampaignOfLies has several reads leave things out at once: the ones that rules go by, and the ones that speak
// against them.
func TestCampaignOfLies(t *testing.T) {
	schedules(t, ruledOrganization, func(i int) []cloud.Fault { return lies[i%len(lies)] })
}

// TestCampaignOfRecords does it on organizations whose people come from an identity provider, which is broken too.
func TestCampaignOfRecords(t *testing.T) {
	schedules(t, provisionedOrganization, func(int) []cloud.Fault { return nil })
}

// TestCampaignOfGroups does it on organizations whose groups follow those of an identity provider, where groups are
// renamed, emptied, deleted and made again.
func TestCampaignOfGroups(t *testing.T) {
	schedules(t, followedOrganization, func(int) []cloud.Fault { return nil })
}

// TestCampaignOfLostGroups does it on such organizations where another provider deletes groups at Atlassian, which are
// restored in the end.
func TestCampaignOfLostGroups(t *testing.T) {
	schedules(t, losingOrganization, func(int) []cloud.Fault { return nil })
}

// TestCampaignOfSyncedGroups does it on organizations whose groups are copied into a SCIM directory, where they are
// made, replaced and deleted.
func TestCampaignOfSyncedGroups(t *testing.T) {
	schedules(t, syncedOrganization, func(int) []cloud.Fault { return nil })
}

// TestCampaignOfPosts does it on organizations whose groups follow those of a feed, which is silent for a while; its
// posts are late, lost, replayed and in another order.
func TestCampaignOfPosts(t *testing.T) {
	schedules(t, postedOrganization, func(int) []cloud.Fault { return nil })
}

// TestCampaignOfPushes does it on organizations whose groups follow what an identity provider pushes by SCIM, late,
// replayed and in another order, or not at all.
func TestCampaignOfPushes(t *testing.T) {
	schedules(t, pushedOrganization, func(int) []cloud.Fault { return nil })
}

// most is how many schedules an organization lives through. Several organizations do at once: they mostly wait.
const most = 25

// schedules runs those that were asked for. faults returns the i-th's; none, for some at random.
func schedules(t *testing.T, of organizationOf, faults func(i int) []cloud.Fault) {
	t.Parallel()
	n, seed := asked(t)
	for from := 0; from < n; from += most {
		first, many := seed+uint64(from), min(most, n-from)
		t.Run(fmt.Sprintf("from seed %d", first), func(t *testing.T) {
			t.Parallel()
			c := begin(t, of)
			for i := range many {
				c.schedule(t, first+uint64(i), faults(from+i)...)
			}
			c.report(t, many, first)
		})
	}
}

// asked returns how many schedules are asked for, and the first one's seed.
func asked(t *testing.T) (n int, seed uint64) {
	t.Helper()
	n, err := strconv.Atoi(os.Getenv("CASTELLAN_CAMPAIGN"))
	if err != nil || n < 1 {
		t.Skip("skipped: CASTELLAN_CAMPAIGN does not say how many fault schedules to run (make campaign N=20)")
	}
	if seed, err = strconv.ParseUint(os.Getenv("CASTELLAN_SEED"), 10, 64); err != nil {
		seed = 1
	}
	return n, seed
}

type campaign struct {
	*stack.Stack
	model     orgModel
	decides   bool // the model does, what is held
	recovered []time.Duration
	runs      []int // full verifications until everything was right again
	faults    map[string]int
}

// orgModel is what the test knows of the organization by itself, and what it does to it.
type orgModel interface {
	policy() string
	begun(ctx context.Context) error // the policy is in force, and everything in step
	pick(random *rand.Rand) []cloud.Fault
	// day is some of what goes on in the organization, whatever else is broken.
	day(ctx context.Context, random *rand.Rand) error
	// look checks every write since the last look against what was true around that time.
	look(ctx context.Context, seed uint64) error
	// right says what is not as it should be in the end.
	right(ctx context.Context) error
	tally() string
	report(t *testing.T)
}

// organizationOf is how to invent one, and what is known of it before Castellan does anything.
type organizationOf struct {
	flags func(t *testing.T) []string // of the simulator
	model func(ctx context.Context, s *stack.Stack) (orgModel, error)
	// decides: the model decides what is held of access, which is approved in the end otherwise
	decides bool
}

func begin(t *testing.T, o organizationOf) *campaign {
	t.Helper()
	ctx := t.Context()
	s, err := stack.Start(ctx, t.TempDir(), "", false, o.flags(t)...)
	require.NoError(t, err)
	t.Cleanup(s.Stop)
	c := &campaign{Stack: s, decides: o.decides, faults: map[string]int{}}
	c.model, err = o.model(ctx, s)
	require.NoError(t, err)
	_, err = s.Apply(ctx, org, c.model.policy())
	require.NoError(t, err)
	_, err = s.Until(ctx, org, 3*time.Minute, stack.Idle)
	require.NoError(t, err)
	_, err = c.mend(ctx)
	require.NoError(t, err, "before any fault")
	require.NoError(t, c.model.begun(ctx))
	t.Logf("begun: %s", c.model.tally())
	return c
}

// schedule is one round: faults on, the identity provider goes on with its day, verifications are asked for; faults
// off, and everything must come right. The faults are chosen at random unless they are given.
func (c *campaign) schedule(t *testing.T, seed uint64, given ...cloud.Fault) {
	t.Helper()
	ctx := t.Context()
	require.NoError(t, c.model.look(ctx, seed))
	random := rand.New(rand.NewPCG(seed, 0x5eed))
	faults := c.model.pick(random)
	if len(given) > 0 {
		faults = given
	}
	for _, f := range faults {
		c.faults[f.Kind]++
		require.NoError(t, c.Simulator.Fault(ctx, f))
	}
	for range 2 + random.IntN(3) {
		require.NoError(t, c.model.day(ctx, random))
		if random.IntN(2) == 0 {
			// the fault may refuse it
			_ = c.Update(ctx, org, messages.SyncNow, messages.SyncNowInput{By: "campaign"}, nil)
		}
		c.breathe(ctx, random)
	}
	require.NoError(t, c.model.look(ctx, seed))
	require.NoError(t, c.Simulator.ClearFaults(ctx))
	c.recover(t, seed, faults)
	require.NoError(t, c.model.look(ctx, seed))
	t.Logf("seed %d: %v: %s; right again after %s", seed, names(faults), c.model.tally(),
		c.recovered[len(c.recovered)-1].Round(time.Millisecond))
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

// recover waits until everything is as it should be.
func (c *campaign) recover(t *testing.T, seed uint64, faults []cloud.Fault) {
	t.Helper()
	began := time.Now()
	verifications, err := c.mend(t.Context())
	if err != nil && c.model.look(t.Context(), seed) == nil {
		t.Logf("seed %d: %s", seed, c.model.tally())
	}
	require.NoError(t, err, "seed %d: %v: no recovery after the faults ended", seed, names(faults))
	c.recovered = append(c.recovered, time.Since(began))
	c.runs = append(c.runs, verifications)
}

// mend asks for verifications until everything is as it should be, and says how many.
func (c *campaign) mend(ctx context.Context) (verifications int, err error) {
	err = stack.Eventually(ctx, 4*time.Minute, func() error {
		if err := c.model.right(ctx); err == nil {
			return nil
		}
		verifications++
		before, err := c.Status(ctx, org)
		if err != nil {
			return err
		}
		if before.Hold != nil && !c.decides {
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
		return c.model.right(ctx)
	})
	return verifications, err
}

func (c *campaign) report(t *testing.T, n int, seed uint64) {
	t.Helper()
	slices.Sort(c.recovered)
	slices.Sort(c.runs)
	t.Logf("%d fault schedules from seed %d: %v", n, seed, c.faults)
	t.Logf("recovery: %s median, %s at most; full verifications asked for: %d median, %d at most",
		c.recovered[len(c.recovered)/2].Round(time.Millisecond),
		c.recovered[len(c.recovered)-1].Round(time.Millisecond), c.runs[len(c.runs)/2], c.runs[len(c.runs)-1])
	c.model.report(t)
	answer, err := c.Ask(t.Context(), messages.ReportInput{Org: org, Kind: messages.ReportLedger})
	require.NoError(t, err)
	require.True(t, answer.Ledger.Whole, answer.Message)
}
