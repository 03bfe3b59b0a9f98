package campaign

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// followedOrganization has groups that follow those of an identity provider, whose people all have accounts.
var followedOrganization = organizationOf{
	flags:   teamFlags,
	model:   newFollowed,
	decides: true,
}

// followedOrg is what the test knows of the groups of an identity provider, which are teams here, and of those that
// follow them.
type followedOrg struct {
	*teamProvider
	followers map[string]*follower // by name
	source    string               // guard.source.share

	hand     map[membership]bool // somebody else put them there, and they are to stay
	adopted  map[membership]bool // they were, and then were in the team for a while
	approved map[membership]bool // removals that a person decided
	rejected map[string]bool     // differences, by hash
	seen     int                 // changes of the simulator's history

	additions, removals, decided, byHand, handTaken, approvals, rejections, accepted int
	wrongful, strangers, doubled, deleted                                            []string
	accused                                                                          []membership // of wrongful
}

func newFollowed(ctx context.Context, s *stack.Stack) (orgModel, error) {
	provider, err := newOktaProvider(ctx, s)
	if err != nil {
		return nil, err
	}
	w := followedOf(provider)
	w.createTeams()
	return w, w.restart()
}

// followedOf returns what is known of groups that follow the teams of an identity provider: nothing yet.
func followedOf(provider *teamProvider) *followedOrg {
	w := &followedOrg{teamProvider: provider, source: "100%", followers: map[string]*follower{},
		hand: map[membership]bool{}, adopted: map[membership]bool{}, approved: map[membership]bool{},
		rejected: map[string]bool{}}
	w.changed = w.adopt
	return w
}

// policy has no limit on how many people are removed, and of how many a source may lose: the guard is not to hide what
// evidence alone must prevent.
func (w *followedOrg) policy() string {
	return fmt.Sprintf(`
version: 1
organization: {name: %s, id: %s, key: "env:%s", keyOwner: boss@acme.example}
sources: [%s]
groups: [{name: teams, from: ["%s:%s*"], create: true}]
guard:
  adopt: auto
  settle: 2s
  flapping: 0
  run: {removals: 100000, share: 100%%}
  target: {removals: 100000, share: 100%%}
  lastAccess: {people: 100000}
  window: {removals: 100000, share: 100%%}
  source: {share: %s}
sync: {feed: 5s}
`, org, w.Simulator.OrgID, stack.KeyVariable, w.spec, corp, teamPrefix, w.source)
}

func (w *followedOrg) begun(context.Context) error { return nil }

// followedTargets are what faults strike where local groups follow.
var followedTargets = faultTargets{
	cut:    [][]string{{"users.search"}, {"groups.search"}, {"users.search", "groups.search"}},
	stale:  [][]string{{"users.search"}},
	reads:  []string{"users.search", "groups.search", "events.stream"},
	writes: []string{"memberships.*", "groups.create"},
	all:    []string{"users.search", "groups.search", "memberships.*", "groups.create", "events.stream"},
}

func (w *followedOrg) pick(random *rand.Rand) []cloud.Fault {
	w.random = random
	faults := pick(random, followedTargets)
	w.breakSource(random)
	return faults
}

// look checks what became of every group since the last look.
func (w *followedOrg) look(ctx context.Context, seed uint64) error {
	w.seed = max(w.seed, seed)
	state, err := w.Simulator.State(ctx)
	if err != nil {
		return err
	}
	changes, err := w.Simulator.History(ctx)
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, g := range state.Groups {
		name := strings.ToLower(g.Name)
		if !strings.HasPrefix(name, teamPrefix) && !strings.HasPrefix(name, "circle-") {
			continue
		}
		if there[name] {
			w.doubled = append(w.doubled, w.failure("there are two groups %s", name))
		}
		if there[name] = true; w.followers[name] == nil {
			w.appear(name)
		}
	}
	for name := range w.followers {
		if !there[name] {
			w.deleted = append(w.deleted, w.failure("group %s was deleted", name))
			delete(w.followers, name)
		}
	}
	for _, c := range changes[w.seen:] {
		m := membership{strings.TrimPrefix(c.What, "group:"), c.Account}
		f := w.followers[m.group]
		if f == nil {
			continue
		}
		w.meet(f)
		if byCastellan(c) {
			w.judge(c.At, m, c.Holds)
		}
		f.people.set(c.At, c.Holds, c.Account)
		if !c.Holds {
			delete(w.hand, m)
			delete(w.adopted, m)
		}
	}
	w.seen = len(changes)
	for _, f := range w.followers {
		w.meet(f)
	}
	w.adopt()
	return nil
}

// right says what is not as the identity provider says, once it says the truth again and has been read.
func (w *followedOrg) right(ctx context.Context) error {
	if !w.mend() {
		return w.explain(ctx, errors.New("the source was not read since it is whole"))
	}
	if err := errors.Join(w.operate(ctx), w.look(ctx, 0)); err != nil {
		return err
	}
	conflicts, err := w.conflicts(ctx)
	if err != nil {
		return err
	}
	for _, t := range w.present() {
		if err := w.rightOf(t, conflicts); err != nil {
			return w.explain(ctx, err)
		}
	}
	for m := range w.approved {
		if f := w.followers[m.group]; f.people.now()[m.account] && !w.wanted(f, m.account) {
			return w.explain(ctx, fmt.Errorf("%s is in %s, and somebody decided otherwise", w.who(m.account), m.group))
		}
	}
	return nil
}

// rightOf says why a team has no group at Atlassian that has the same people in it, and those whom somebody else added.
func (w *followedOrg) rightOf(t *team, conflicts []messages.GroupConflict) error {
	var wrong error
	taken, follows := false, false
	for _, name := range slices.Sorted(maps.Keys(w.followers)) {
		f := w.followers[name]
		_, may := f.teams[t.key]
		if !may && f.name != t.name {
			continue
		}
		why := w.differs(f, t)
		if why == nil {
			t.settled = t.settled || f.sure[t.key]
			return nil
		}
		wrong = errors.Join(wrong, why)
		follows, taken = follows || may, taken || !w.free(f, time.Now())
	}
	if taken && !follows || wrong == nil && !strings.HasPrefix(t.name, teamPrefix) {
		return nil // its name is that of another team's group; or nothing is to follow it
	}
	if slices.ContainsFunc(conflicts, func(c messages.GroupConflict) bool {
		return c.Key == t.key && c.Decision == "rejected" && w.rejected[c.Conflict]
	}) {
		return nil
	}
	if wrong == nil {
		wrong = fmt.Errorf("%s (%s) has no group", t.name, t.key)
	}
	return wrong
}

// differs says how a group differs from a team.
func (w *followedOrg) differs(f *follower, t *team) error {
	is, want := f.people.now(), t.people.now()
	for _, account := range w.accounts {
		m := membership{f.name, account}
		switch {
		case want[account] && !is[account]:
			return fmt.Errorf("%s is in %s (%s), and not in %s", w.who(account), t.name, t.key, f.name)
		case is[account] && !want[account] && !w.hand[m] && !w.adopted[m]:
			return fmt.Errorf("%s is in %s, and not in %s (%s)", w.who(account), f.name, t.name, t.key)
		}
	}
	return nil
}

// wanted reports whether somebody is in a team that a group may follow, or would by its name.
func (w *followedOrg) wanted(f *follower, account string) bool {
	return slices.ContainsFunc(w.present(), func(t *team) bool {
		_, may := f.teams[t.key]
		return (may || t.name == f.name) && t.people.now()[account]
	})
}

// explain adds to what is not right what ops are told.
func (w *followedOrg) explain(ctx context.Context, wrong error) error {
	s, err := w.Status(ctx, org)
	if err != nil {
		return wrong
	}
	told, err := json.Marshal(map[string]any{"hold": s.Hold, "sources": s.Sources, "findings": s.Findings,
		"pending": s.Pending})
	return errors.Join(fmt.Errorf("%w: %s", wrong, told), err)
}

// describe tells of the teams that a group may follow, and since when somebody was in them or not.
func (w *followedOrg) describe(f *follower, account string) string {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(w.teams)) {
		t := w.teams[key]
		if since, may := f.teams[key]; may || slices.Contains(t.names, f.name) {
			fmt.Fprintf(&b, "%s (may: %v since %s, sure: %v) ", t.describe(account), may, stamp(since), f.sure[key])
		}
	}
	return b.String()
}

func (w *followedOrg) tally() string {
	return fmt.Sprintf("the source %s; %d groups, %d additions and %d removals so far, %d of them decided, %d wrongful",
		w.spoilt, len(w.followers), w.additions, w.removals, w.decided, len(w.wrongful))
}

func (w *followedOrg) report(t *testing.T) {
	t.Helper()
	t.Logf("teams: %d, of which deleted %d; renames %d, emptied %d; groups at Atlassian: %d; workers killed %d", len(w.teams),
		w.deletions, w.renames, w.emptied, len(w.followers), w.kills)
	t.Logf("additions %d, removals %d, of which decided %d; by hand: added %d, removed %d; held plans approved %d and rejected %d; conflicts accepted %d and rejected %d; suspect reads accepted %d",
		w.additions, w.removals, w.decided, w.byHand, w.handTaken, w.approvals, w.rejections, w.accepted,
		len(w.rejected), w.suspects)
	for _, m := range w.accused {
		why, err := w.Ask(t.Context(), messages.ReportInput{Org: org, Kind: messages.ReportWhy,
			Person: w.emails[m.account], Target: access.GroupEntitlement(m.group)})
		t.Logf("%v: %s: %s (%v)", m, w.who(m.account), why.Message, err)
	}
	require.Empty(t, w.wrongful, "removed though the source says otherwise, and nobody decided it")
	require.Empty(t, w.strangers, "added by the wrong group")
	require.Empty(t, w.doubled, "groups of one team")
	require.Empty(t, w.deleted, "groups deleted at Atlassian")
}

// membershipOf returns what a line is about.
func membershipOf(line access.Change) membership {
	return membership{strings.ToLower(line.Target.Group()), line.Person}
}
