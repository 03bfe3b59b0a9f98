package workflows_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/messages"
)

// TestTemporaryGrantTenThousandGrants lends ten thousand times while things go wrong: leases overlap, come late, are
// ended early; the loop is silent, refuses, does not run, answers twice or long after; histories end; the ledger fails
// now and then. Whatever happens, everything is taken back, nothing early, and what several leases give is their union.
// Under -short or -race there are fewer.
func TestTemporaryGrantTenThousandGrants(t *testing.T) {
	leases, parts := 10_000, 8
	if testing.Short() || raced() {
		leases = 100
	}
	var mu sync.Mutex
	var all, calm delays
	made, flows := 0, 0
	t.Run("at once", func(t *testing.T) {
		for part := range parts {
			t.Run(fmt.Sprint(part), func(t *testing.T) {
				t.Parallel()
				for seed, n := uint64(part), 0; n < leases/parts; seed += uint64(parts) {
					s := newScene(t, seed)
					n += len(s.leases)
					s.play()
					mu.Lock()
					all, calm = append(all, s.late...), append(calm, s.calm...)
					made, flows = made+len(s.leases), flows+1
					mu.Unlock()
				}
			})
		}
	})
	require.GreaterOrEqual(t, made, leases)
	t.Logf("%d leases in %d workflows; taken back after their end, in virtual time:", made, flows)
	t.Logf("  while the loop works (%d): %s", len(calm), calm)
	t.Logf("  whatever happens     (%d): %s", len(all), all)
}

// raced reports whether the race detector runs, under which everything takes ten times as long.
func raced() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.ContainsFunc(info.Settings,
		func(s debug.BuildSetting) bool { return s.Key == "-race" && s.Value == "true" })
}

type delays []time.Duration

func (l delays) String() string {
	slices.Sort(l)
	if len(l) == 0 {
		return "none"
	}
	of := func(part float64) time.Duration {
		return l[int(part*float64(len(l)-1))].Round(time.Millisecond)
	}
	return fmt.Sprintf("p50 %s, p99 %s, max %s", of(0.5), of(0.99), of(1))
}

// span is a stretch of time since the beginning; its end is not part of it.
type span struct{ from, to time.Duration }

func (s span) has(at time.Duration) bool { return s.from <= at && at < s.to }

// loopOutage is a span in which the loop does not do what it is asked.
type loopOutage struct {
	span
	loopReply
}

var outageReplies = []loopReply{{silent: true}, {lost: true}, {why: "a floor forbids it"}, {why: "503", soon: true}}

// scenario is one workflow's life as a seed makes it up, and what must come of it.
type scenario struct {
	*grantTest
	seed     uint64
	random   *rand.Rand
	leases   []span // as they are in force
	troubles []loopOutage
	failed   int // reads of the ledger, one after the other

	late, calm delays
}

// The longest that the played loop takes to write, and then to answer.
const mostWork = 5 * time.Second

func newScene(t *testing.T, seed uint64) *scenario {
	s := &scenario{grantTest: newGrantTest(t), seed: seed, random: rand.New(rand.NewPCG(seed, 7))}
	s.replies, s.readErr = s.reply, s.readFails
	first := s.lend(span{}, 0)
	for i := range s.random.IntN(10) {
		s.lend(first, i+1)
	}
	for range s.random.IntN(3) { // most of them just when a lease ends
		from := s.upTo(6 * time.Hour)
		if s.random.IntN(4) > 0 {
			from = max(0, s.leases[s.random.IntN(len(s.leases))].to-s.upTo(2*time.Minute))
		}
		one := loopOutage{span{from, from + s.upTo(4*time.Minute)}, outageReplies[s.random.IntN(len(outageReplies))]}
		s.troubles = append(s.troubles, one)
	}
	slices.SortFunc(s.troubles, func(a, b loopOutage) int { return int(a.from - b.from) })
	for range s.random.IntN(2) {
		s.signalAt(s.upTo(6*time.Hour), messages.Look, nil)
		s.signalAt(s.upTo(6*time.Hour), messages.ForceContinueAsNew, nil)
		s.at(s.upTo(6*time.Hour), s.repeatAnOldAnswer)
	}
	return s
}

func (s *scenario) upTo(most time.Duration) time.Duration {
	return time.Duration(s.random.Int64N(int64(most/time.Millisecond))) * time.Millisecond
}

// lend makes up a lease, asked for while the first one lasts, and perhaps ended early.
func (s *scenario) lend(first span, i int) span {
	arrives := first.from
	if i > 0 {
		arrives += s.upTo(first.to - first.from)
	}
	from := arrives
	if i > 0 && s.random.IntN(3) == 0 {
		from += s.upTo(2 * time.Hour)
	}
	g := grantFrom(fmt.Sprintf("g%d", i), from, time.Minute+s.upTo(4*time.Hour))
	is := span{from, g.Until.Sub(begin)}
	if i == 0 {
		s.book = append(s.book, g)
	} else {
		s.at(arrives, func() { s.grantTest.addGrant(g) })
	}
	if s.random.IntN(3) == 0 {
		early := arrives + time.Second + s.upTo(is.to-arrives)
		s.at(early, func() { s.endEarly(g.ID) })
		is.from, is.to = min(is.from, early), min(is.to, early)
	}
	s.leases = append(s.leases, is)
	return is
}

// endEarly is what another workflow's revoke comes to.
func (s *scenario) endEarly(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end(&s.book[s.index(id)], "bo@acme.example", "done")
	s.env.SignalWorkflow(messages.Look, nil)
}

func (s *scenario) repeatAnOldAnswer() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.asks) > 1 {
		old := s.asks[s.random.IntN(len(s.asks)-1)]
		s.env.SignalWorkflow(messages.GrantReconciled,
			messages.GrantReconciledSignal{Turn: old.turn, Right: s.random.IntN(2) == 0, Why: "an old answer"})
	}
}

func (s *scenario) reply(int, messages.ReconcileGrantSignal) loopReply {
	at := s.env.Now().Sub(begin)
	for _, one := range s.troubles {
		if one.has(at) {
			return one.loopReply
		}
	}
	r := loopReply{after: s.upTo(mostWork), verify: s.upTo(mostWork)}
	switch s.random.IntN(20) {
	case 0:
		r.twice = s.upTo(3 * time.Minute)
	case 1:
		r.mute = true
	}
	return r
}

// readFails lets one read of the ledger in twenty fail, but not more than two on end.
func (s *scenario) readFails() error {
	if s.random.IntN(20) > 0 || s.failed == 2 {
		s.failed = 0
		return nil
	}
	s.failed++
	return errors.New("the database is locked")
}

func (s *scenario) play() {
	s.t.Helper()
	state := s.mustEnd()
	say := fmt.Sprintf("seed %d: leases %v, troubles %v, moves %v", s.seed, s.leases, s.troubles, s.moves)
	require.Equal(s.t, messages.GrantOver, state.State, say)
	for _, g := range s.book {
		require.True(s.t, g.Settled(), "%s: %s", g.ID, say)
	}
	held := s.union()
	for _, m := range s.moves {
		lent := slices.ContainsFunc(held, func(is span) bool { return is.has(m.at) })
		require.Equal(s.t, m.given, lent, "given or taken at %s, at the wrong time: %s", m.at, say)
	}
	for i, is := range held {
		if latest := s.latest(is.from, 5*time.Minute); latest < is.to {
			require.True(s.t, s.holdsAt(latest), "not given by %s: %s", latest, say)
		}
		if !s.holdsAt(is.to) {
			continue
		}
		latest := s.latest(is.to, time.Minute)
		if i+1 < len(held) && held[i+1].from <= latest {
			continue // it is held on
		}
		require.False(s.t, s.holdsAt(latest), "not taken by %s: %s", latest, say)
		end := s.moves[slices.IndexFunc(s.moves,
			func(m writtenChange) bool { return !m.given && m.at >= is.to })].at - is.to
		s.late = append(s.late, end)
		if !slices.ContainsFunc(s.troubles,
			func(one loopOutage) bool { return one.from < is.to+time.Minute && is.to-time.Minute < one.to }) {
			s.calm = append(s.calm, end)
		}
	}
}

// union returns when some lease or other is in force.
func (s *scenario) union() (all []span) {
	sorted := slices.Clone(s.leases)
	slices.SortFunc(sorted, func(a, b span) int { return int(a.from - b.from) })
	for _, is := range sorted {
		switch {
		case is.from == is.to:
		case len(all) > 0 && is.from <= lastOf(all).to:
			all[len(all)-1].to = max(lastOf(all).to, is.to)
		default:
			all = append(all, is)
		}
	}
	return all
}

// holdsAt reports whether the person held the target then, what was done at that instant included.
func (s *scenario) holdsAt(at time.Duration) (held bool) {
	for _, m := range s.moves {
		if m.at <= at {
			held = m.given
		}
	}
	return held
}

// latest returns when something that is due must have been done: an attempt is made in every stretch of the given
// length, and the first one that falls into no trouble succeeds. The ledger may keep it waiting for some seconds.
func (s *scenario) latest(due, every time.Duration) time.Duration {
	longest := every + 2*mostWork + 10*time.Second
	for _, one := range s.troubles { // in the order of time
		if due < one.to && one.from < due+longest {
			due = one.to
		}
	}
	return due + longest
}
