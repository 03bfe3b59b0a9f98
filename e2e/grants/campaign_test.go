package grants_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// The campaign lends short grants while things break, and then asks the simulator what was really held.
//
//	calm     nothing breaks
//	crashes  the worker is killed, at once, every few seconds, and started again
//	outage   every call fails for a while across many ends, and some writes are done although they seem to fail
var weathers = []string{"calm", "crashes", "outage"}

const (
	askEvery   = 800 * time.Millisecond
	crashEvery = 4 * time.Second
	outageFor  = 25 * time.Second
)

// TestCampaign lends CASTELLAN_GRANTS short grants in each weather; make campaign prints what came of them.
func TestCampaign(t *testing.T) {
	t.Parallel()
	n := 40
	if text := os.Getenv("CASTELLAN_GRANTS"); text != "" {
		var err error
		n, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	for _, weather := range weathers {
		t.Run(weather, func(t *testing.T) {
			c := newCampaign(t, weather, n)
			c.lend()
			c.settle()
			c.judge()
		})
	}
}

// campaign is one weather's grants and what came of them.
type campaign struct {
	*testOrg
	weather string
	wishes  []plannedGrant
	seized  []plannedGrant // long ones, which somebody takes by hand once they were given
	renamed []plannedGrant // long ones, whose holder gets another address once they were given
	random  *rand.Rand
	broke   [2]time.Time // the outage
	ticks   [2]int       // of the processors so far: all, and those that the host took away
}

// plannedGrant is one grant to ask for.
type plannedGrant struct {
	id       string
	person   string
	email    string
	target   access.Entitlement
	after    time.Duration // since the beginning
	duration time.Duration
	revoke   time.Duration // after asking; 0: it ends by itself
}

// These hold something for other reasons, and keep it: by a mapping, and because somebody put them there.
const (
	byMapping = "carol" // in builders, through eng
	byHand    = "hana"  // in site-admins
)

func newCampaign(t *testing.T, weather string, n int) *campaign {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("CASTELLAN_SEED"); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("seed %d", seed)
	c := &campaign{weather: weather, random: rand.New(rand.NewPCG(seed, uint64(len(weather)))), ticks: ticks()}
	file, targets := staff, []access.Entitlement{"role:org-admin", "group:site-admins", "group:builders"}
	people := []string{byMapping, byHand}
	for i := range 40 {
		people = append(people, fmt.Sprintf("p%03d", i))
	}
	file.People = append(append(slices.Clone(staff.People), people[2:]...), "seized-0", "seized-1", "seized-2",
		"renamed-0", "renamed-1", "other-0", "other-1")
	for i := range 8 {
		name := fmt.Sprintf("vault-%d", i)
		file.Local = append(slices.Clone(file.Local), cloud.OrgGroup{Name: name})
		targets = append(targets, access.GroupEntitlement(name))
	}
	list := `"` + strings.Join(texts(targets), `", "`) + `"`
	c.testOrg = startWith(t, file, fmt.Sprintf(`
grants:
  - {name: all, targets: [%s], duration: {max: 1h}}
protected:
  - {target: "group:site-admins", minimum: 1}
  - {target: "role:org-admin", minimum: 2}
`, list), "--lag", "500ms", "--role-lag", "3s")
	c.wish(n, people, targets)
	for i := range 3 {
		name := fmt.Sprintf("seized-%d", i)
		c.seized = append(c.seized, plannedGrant{
			id: weather + "-" + name, person: name, email: c.email(name), duration: 50 * time.Minute,
			target: []access.Entitlement{"group:vault-0", access.OrgAdmin, "group:builders"}[i],
		})
	}
	for i, target := range []access.Entitlement{"group:vault-1", access.OrgAdmin} {
		name := fmt.Sprintf("renamed-%d", i)
		c.renamed = append(c.renamed, plannedGrant{
			id: weather + "-" + name, person: name, email: c.email(name), duration: 50 * time.Minute, target: target,
		})
	}
	return c
}

func texts(es []access.Entitlement) []string {
	all := make([]string, len(es))
	for i, e := range es {
		all[i] = string(e)
	}
	return all
}

// wish makes up the grants: a third overlaps with another of the same person and target; one in ten ends early.
func (c *campaign) wish(n int, people []string, targets []access.Entitlement) {
	state, err := c.Simulator.State(c.t.Context())
	require.NoError(c.t, err)
	emails := map[string]string{}
	for _, p := range state.People {
		emails[p.Name] = p.Email
	}
	spread, longest := time.Duration(n)*askEvery, 14*time.Second
	if c.weather == "outage" { // so that many end while it lasts
		longest = 45 * time.Second
	}
	taken := map[string]bool{}
	for len(c.wishes) < n {
		one := plannedGrant{
			person: people[c.random.IntN(len(people))], target: targets[c.random.IntN(len(targets))],
			after:    time.Duration(c.random.Int64N(int64(spread))),
			duration: 6*time.Second + time.Duration(c.random.Int64N(int64(longest))),
		}
		if key := one.person + string(one.target); taken[key] {
			continue
		} else {
			taken[key] = true
		}
		one.email = emails[one.person]
		one.id = fmt.Sprintf("%s-%03d", c.weather, len(c.wishes))
		switch c.random.IntN(10) {
		case 0:
			one.revoke = one.duration / 2
		case 1, 2, 3:
			again := one
			again.id += "-again"
			again.after += one.duration / 2
			again.duration = one.duration/2 + time.Duration(c.random.Int64N(int64(8*time.Second)))
			c.wishes = append(c.wishes, again)
		}
		c.wishes = append(c.wishes, one)
	}
	slices.SortFunc(c.wishes, func(a, b plannedGrant) int { return int(a.after - b.after) })
}

// lend asks for everything at its time, each twice, while the weather does its work.
func (c *campaign) lend() {
	c.t.Helper()
	begin := time.Now()
	ctx, stop := context.WithCancel(c.t.Context())
	weather := c.blow(ctx)
	var asking sync.WaitGroup
	errs := make(chan error, 3*len(c.wishes)+len(c.seized)+len(c.renamed))
	for _, one := range c.seized {
		asking.Go(func() { errs <- c.seize(one) })
	}
	for i, one := range c.renamed {
		asking.Go(func() { errs <- c.rename(one, fmt.Sprintf("other-%d", i)) })
	}
	for _, one := range c.wishes {
		asking.Go(func() {
			at(ctx, begin.Add(one.after))
			errs <- c.askTwice(one)
			if one.revoke > 0 {
				at(ctx, begin.Add(one.after+one.revoke))
				errs <- c.signal(messages.Revoke, messages.RevokeInput{
					Person: one.email, Target: one.target, RequestedBy: one.email, Reason: "early",
				})
			}
		})
	}
	asking.Wait()
	last := c.wishes[len(c.wishes)-1]
	at(ctx, begin.Add(last.after+last.duration))
	stop()
	weather()
	close(errs)
	for err := range errs {
		require.NoError(c.t, err)
	}
}

// seize takes by hand what a grant gave, as soon as it is held.
func (c *campaign) seize(one plannedGrant) error {
	if err := c.askTwice(one); err != nil {
		return err
	}
	c.eventually(func() bool { return len(c.held(one.person, string(one.target))) > 0 })
	c.take(one.person, one.target)
	return nil
}

// rename gives the holder of a grant another address and the one of before to somebody else, as soon as it is held.
// What is then revoked by the old address is nobody's, by the new one it is the holder's.
func (c *campaign) rename(one plannedGrant, other string) error {
	if err := c.askTwice(one); err != nil {
		return err
	}
	account, heir := c.person(one.person).AccountID, c.person(other).AccountID
	c.eventually(func() bool { return len(c.held(one.person, string(one.target))) > 0 })
	address := "lee-" + one.email
	if err := c.Simulator.Person(context.Background(), account, map[string]any{"email": address}); err != nil {
		return err
	}
	if err := c.Simulator.Person(context.Background(), heir, map[string]any{"email": one.email}); err != nil {
		return err
	}
	for _, by := range []string{one.email, address} {
		if err := c.signal(messages.Revoke,
			messages.RevokeInput{Person: by, Target: one.target, RequestedBy: by, Reason: by}); err != nil {
			return err
		}
	}
	return nil
}

// at waits for an instant of the schedule.
func at(ctx context.Context, when time.Time) {
	select {
	case <-time.After(time.Until(when)):
	case <-ctx.Done():
	}
}

func (c *campaign) askTwice(one plannedGrant) error {
	in := messages.GrantInput{
		Person: one.email, Target: one.target, Duration: messages.Duration(one.duration), Reason: "campaign",
		RequestedBy: one.email, RequestID: one.id,
	}
	if err := c.signal(messages.Grant, in); err != nil {
		return err
	}
	return c.signal(messages.Grant, in)
}

func (c *campaign) signal(name string, in any) error {
	return c.Temporal.Client.SignalWorkflow(context.Background(), messages.OrgSyncID(org), "", name, in)
}

// blow lets the weather begin; the function returned waits until it is over.
func (c *campaign) blow(ctx context.Context) (wait func()) {
	var over sync.WaitGroup
	switch c.weather {
	case "crashes":
		over.Go(func() {
			for ctx.Err() == nil {
				at(ctx, time.Now().Add(crashEvery))
				c.Worker.Kill()
				if err := c.StartWorker(); err != nil {
					c.t.Error(err)
					return
				}
			}
		})
	case "outage":
		over.Go(func() {
			at(ctx, time.Now().Add(time.Duration(len(c.wishes))*askEvery/3)) // when many are lent
			c.check(c.Simulator.Fault(context.Background(),
				cloud.Fault{Kind: cloud.FaultTimeoutAfter, Operations: []string{"memberships.*", "org-roles.*"},
					Probability: 0.2, Count: 20}))
			at(ctx, time.Now().Add(2*time.Second))
			c.broke[0] = time.Now()
			c.check(c.Simulator.Fault(context.Background(),
				cloud.Fault{Kind: cloud.FaultStatus, Params: cloud.FaultParams{Status: 503}}))
			at(context.Background(), time.Now().Add(outageFor))
			c.check(c.Simulator.ClearFaults(context.Background()))
			c.broke[1] = time.Now()
		})
	}
	return over.Wait
}

func (c *campaign) check(err error) {
	if err != nil {
		c.t.Error(err)
	}
}

// settle waits until nothing is left to do about any grant.
func (c *campaign) settle() {
	c.t.Helper()
	require.NoError(c.t, stack.Eventually(c.t.Context(), patience, func() error {
		all, err := c.Ask(c.t.Context(), messages.ReportInput{Org: org, Kind: messages.ReportGrants, Limit: 2000})
		if err != nil {
			return err
		}
		for _, g := range all.Grants {
			if !g.Settled() {
				return fmt.Errorf("grant %s of %s to %s is open: %+v", g.ID, g.Target, g.Email, g)
			}
		}
		if n := len(all.Grants); n < len(c.wishes)+len(c.seized)+len(c.renamed) {
			state, err := c.Status(c.t.Context(), org)
			return fmt.Errorf("%d of %d requests were heard; refused: %+v (%v)", n, len(c.wishes), state.Refused, err)
		}
		return nil
	}))
}

// judge holds what was really held against what was granted.
func (c *campaign) judge() {
	c.t.Helper()
	answer, err := c.Ask(c.t.Context(), messages.ReportInput{Org: org, Kind: messages.ReportGrants, Limit: 2000})
	require.NoError(c.t, err)
	require.Equal(c.t, len(c.wishes)+len(c.seized)+len(c.renamed), len(answer.Grants), "every request was heard once")
	granted, accounts := map[[2]string][]access.Grant{}, map[string]string{}
	for _, one := range slices.Concat(c.wishes, c.seized, c.renamed) {
		accounts[one.id] = c.person(one.person).AccountID
	}
	for _, g := range answer.Grants {
		require.Equal(c.t, access.GrantEnded, g.State, g.ID)
		require.Equal(c.t, accounts[g.ID], g.Person, "%s: whose it is", g.ID)
		seized := slices.ContainsFunc(c.seized, func(one plannedGrant) bool { return one.id == g.ID })
		require.Equal(c.t, seized, g.RemovedByHand, "%s: what was taken by hand ends, and nothing else does so", g.ID)
		if seized {
			continue
		}
		key := [2]string{g.Person, strings.ToLower(string(g.Target))}
		granted[key] = append(granted[key], g)
	}
	for _, one := range c.seized {
		spans := c.held(one.person, string(one.target))
		require.Len(c.t, spans, 1, "%s: what was taken by hand was given back", one.id)
		require.False(c.t, spans[0][1].IsZero(), one.id)
	}
	for i, one := range c.renamed {
		j := slices.IndexFunc(answer.Grants, func(g access.Grant) bool { return g.ID == one.id })
		require.Equal(c.t, "lee-"+one.email, answer.Grants[j].ClosedWhy, "%s: ended by its holder's address of today",
			one.id)
		require.Empty(c.t, c.held(fmt.Sprintf("other-%d", i), string(one.target)),
			"%s: given to who has the address now", one.id)
	}
	history, err := c.Simulator.History(c.t.Context())
	require.NoError(c.t, err)
	keeps := map[[2]string]bool{
		{c.person(byMapping).AccountID, "group:builders"}: true,
		{c.person(byHand).AccountID, "group:site-admins"}: true,
	}
	held := map[[2]string]time.Time{}
	var late, lateAfter, start []time.Duration
	handovers := 0
	for _, change := range history {
		key := [2]string{change.Account, strings.ToLower(change.What)}
		leases, lent := granted[key]
		switch {
		case keeps[key] && !change.Holds:
			c.t.Errorf("%s lost %s at %s, which is theirs without any grant", change.Email, change.What, change.At)
		case !lent:
		case change.Holds:
			held[key] = change.At
			if from := begun(leases, change.At); !from.IsZero() && !c.outage(from) {
				start = append(start, change.At.Sub(from))
			}
		default:
			delete(held, key)
			if g := inForce(leases, change.At); g != nil {
				if !followed(history, change) {
					c.t.Errorf("%s lost %s at %s while grant %s was in force from %s to %s", change.Email, change.What,
						change.At, g.ID, g.From, g.Until)
				}
				handovers++
			} else if until := ended(leases, change.At); c.outage(until) {
				lateAfter = append(lateAfter, max(change.At.Sub(c.broke[1]), 0))
			} else {
				late = append(late, change.At.Sub(until))
			}
		}
	}
	for key, since := range held {
		if !keeps[key] {
			c.t.Errorf("%v is still held since %s", key, since)
			c.tell(key[0], access.Entitlement(key[1]))
		}
	}
	require.NotEmpty(c.t, append(late, lateAfter...))
	c.t.Logf("%s: %d grants; given after %s; taken back after %s", c.weather, len(c.wishes), spread(start),
		spread(late))
	if len(lateAfter) > 0 {
		c.t.Logf("%s: %d ends fell into an outage of %s; taken back, after it was over, after %s", c.weather,
			len(lateAfter), c.broke[1].Sub(c.broke[0]).Round(time.Second), spread(lateAfter))
	}
	if now := ticks(); now[0] > c.ticks[0] {
		c.t.Logf("%s: the host took away %d%% of the processors' time meanwhile", c.weather,
			100*(now[1]-c.ticks[1])/(now[0]-c.ticks[0]))
	}
	c.t.Logf("%s: %d times a grant began while the one before was just being taken back, and was given again",
		c.weather, handovers)
}

// tell shows what the ledger knows of somebody who holds what they should not.
func (c *campaign) tell(person string, target access.Entitlement) {
	answer, err := c.Ask(c.t.Context(),
		messages.ReportInput{Org: org, Kind: messages.ReportWhy, Person: person, Target: target})
	if err != nil {
		c.t.Logf("why is not known: %v", err)
		return
	}
	c.t.Log(answer.Message)
	for _, e := range answer.Why.History {
		c.t.Logf("%s %s %s %s", e.At, e.Kind, e.Run, e.Body)
	}
}

// outage reports whether the instant fell into the outage, or shortly before its beginning.
func (c *campaign) outage(at time.Time) bool {
	return !c.broke[0].IsZero() && at.After(c.broke[0].Add(-3*time.Second)) && at.Before(c.broke[1])
}

// begun returns when the grant began that gave access at the instant.
func begun(leases []access.Grant, at time.Time) (from time.Time) {
	for _, g := range leases {
		if !g.From.After(at) && at.Before(g.Until) && (from.IsZero() || g.From.Before(from)) {
			from = g.From
		}
	}
	return from
}

// ended returns when the last grant before the instant ended.
func ended(leases []access.Grant, at time.Time) (until time.Time) {
	for _, g := range leases {
		if !g.Until.After(at) && g.Until.After(until) {
			until = g.Until
		}
	}
	return until
}

func inForce(leases []access.Grant, at time.Time) *access.Grant {
	for i, g := range leases {
		if !g.From.After(at) && at.Before(g.Until) {
			return &leases[i]
		}
	}
	return nil
}

// followed reports whether what was lost was given again, within the grant that began meanwhile.
func followed(history []cloud.Change, lost cloud.Change) bool {
	return slices.ContainsFunc(history, func(c cloud.Change) bool {
		return c.Account == lost.Account && c.What == lost.What && c.Holds && c.At.After(lost.At)
	})
}

// ticks returns what the processors did since the machine started: all of it, and what the host gave to others. Zero
// where the system does not say.
func ticks() (sum [2]int) {
	stat, _ := os.ReadFile("/proc/stat")
	line, _, _ := strings.Cut(string(stat), "\n")
	const stolen = 8 // of the fields; see proc(5)
	for i, field := range strings.Fields(line) {
		n, err := strconv.Atoi(field)
		if err != nil || i > stolen {
			continue
		}
		sum[0] += n
		if i == stolen {
			sum[1] = n
		}
	}
	return sum
}

func spread(all []time.Duration) string {
	if len(all) == 0 {
		return "none"
	}
	slices.Sort(all)
	at := func(p float64) time.Duration {
		return all[min(int(float64(len(all))*p), len(all)-1)].Round(time.Millisecond)
	}
	return fmt.Sprintf("p50 %s, p99 %s, at most %s (%d)", at(0.5), at(0.99), at(1), len(all))
}
