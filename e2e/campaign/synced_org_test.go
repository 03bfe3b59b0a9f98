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

	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/simulator/cloud"
	"github.com/castellan-io/castellan/simulator/idp"
)

// syncedOrganization has its people and groups from an identity provider: Castellan keeps the people's records, and
// copies the groups into the SCIM directory.
var syncedOrganization = organizationOf{flags: teamFlags, model: newSynced, decides: true}

// syncedOrg is what the test knows of the groups of a SCIM directory that are copies of teams.
type syncedOrg struct {
	*teamProvider
	enabled timeline         // who is, at the identity provider
	lives   map[string]*life // by the id of the group
	local   map[string]bool  // names of groups that an admin made
	reads   []time.Time      // when complete reads of the source were over, as far as that was seen
	waits   string           // why a plan is not approved yet
	seen    int              // changes of the simulator's history

	additions, removals, decided, deactivations, disabled, returned, conflicts int
	gone, replaced, approvals, rejections, accepted                            int
	wrongful, strangers, doubled, deleted, gaps                                []string
}

// life is a group of the directory, from its creation to its deletion.
type life struct {
	cloud.SCIMGroup
	people timeline
	teams  map[string]bool // which it may follow, by key
	kept   bool            // somebody rejected its deletion
	// What somebody approved: that it is deleted, and who leaves it by that; and who leaves it otherwise.
	approved, replaced bool
	with, leaving      map[string]bool
}

func (l *life) there() bool { return l.Deleted.IsZero() }

func newSynced(ctx context.Context, s *stack.Stack) (orgModel, error) {
	provider, err := newOktaProvider(ctx, s, stack.SCIMKeyVariable)
	if err != nil {
		return nil, err
	}
	w := &syncedOrg{teamProvider: provider, lives: map[string]*life{}, local: map[string]bool{}}
	w.keyOf = func(n int) string { return fmt.Sprintf("00g%05d", n*36343%99991) } // in no order
	w.enabled.set(time.Time{}, true, w.accounts...)
	w.createTeams()
	return w, w.restart()
}

// policy has no limit on how many people leave, as that of a followedOrg.
func (w *syncedOrg) policy() string {
	return fmt.Sprintf(`
version: 1
organization: {name: %s, id: %s, key: "env:%s", keyOwner: boss@acme.example}
sources: [%s]
provision: [{name: staff, from: [%s], directory: {id: %s, key: "env:%s"}}]
groups: [{name: teams, from: ["%s:%s*"], as: synced, create: true}]
guard:
  adopt: auto
  settle: 2s
  flapping: 0
  run: {removals: 100000, share: 100%%}
  target: {removals: 100000, share: 100%%}
  lastAccess: {people: 100000}
  window: {removals: 100000, share: 100%%}
  deactivations: {people: 1000, share: 100%%}
  source: {share: 100%%}
sync: {feed: 5s}
`, org, w.Simulator.OrgID, stack.KeyVariable, w.spec, corp, w.Simulator.SCIMDirectoryID,
		stack.SCIMKeyVariable, corp, teamPrefix)
}

// begun has some groups open an app.
func (w *syncedOrg) begun(ctx context.Context) error {
	for n, t := range w.present() {
		if n%2 == 0 {
			if err := w.Simulator.GroupRole(ctx, t.name, "jira", "acme", "user"); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *syncedOrg) pick(random *rand.Rand) []cloud.Fault {
	w.random = random
	faults := pick(random, faultTargets{
		cut: [][]string{{"scim.groups.list"}, {"scim.users.list"}, {"users.search"}, {"groups.search"},
			{"scim.groups.list", "groups.search"}},
		stale: [][]string{{"users.search"}},
		reads: []string{"users.search", "groups.search", "events.stream"},
		writes: []string{"scim.groups.create", "scim.groups.patch", "scim.groups.delete", "scim.users.create",
			"scim.users.patch"},
		all: []string{"scim.groups.*", "scim.users.*", "users.search", "groups.search", "events.stream"},
	})
	if random.IntN(6) == 0 {
		faults = append(faults, cloud.Fault{Kind: cloud.FaultUnstored, Operations: []string{"scim.groups.patch"},
			Probability: 0.5, Seed: random.Uint64()})
	}
	w.breakSource(random)
	return faults
}

// day is some of what goes on with teams and their people, and what somebody decides meanwhile.
func (w *syncedOrg) day(ctx context.Context, random *rand.Rand) error {
	w.random = random
	if err := w.look(ctx, 0); err != nil {
		return err
	}
	for range 2 + random.IntN(5) {
		if err := w.event(ctx, random); err != nil {
			return err
		}
	}
	w.awaitRead(ctx)
	if random.IntN(2) == 0 {
		_ = w.operate(ctx) // Atlassian, or the worker, may fail just then
	}
	if random.IntN(4) == 0 {
		w.kills++
		return w.restart()
	}
	return nil
}

func (w *syncedOrg) event(ctx context.Context, random *rand.Rand) error {
	t := w.someTeam(random)
	switch n := random.IntN(teamEvents + 8); {
	case w.happen(t, n, random):
		return nil
	case n < teamEvents+3:
		w.disableOrEnable(random)
	case n < teamEvents+5:
		w.rename(t, random)
	case n < teamEvents+7:
		w.renameBack(t)
	default:
		return w.addTaken(ctx, random)
	}
	return nil
}

// mostDisabled is how many people are disabled at once.
const mostDisabled = 8

// disableOrEnable disables somebody at the identity provider, or enables whoever was disabled.
func (w *syncedOrg) disableOrEnable(random *rand.Rand) {
	account := w.somebody(random)
	if n := memberCount - len(w.enabled.now()); n >= mostDisabled || n > 0 && random.IntN(2) == 0 {
		disabled := slices.DeleteFunc(slices.Clone(w.accounts), func(a string) bool { return w.enabled.now()[a] })
		account = disabled[random.IntN(len(disabled))]
	}
	if !w.enabled.now()[account] {
		w.idp.SetStatus(w.keys[account], idp.Active)
		w.enabled.set(time.Now(), true, account)
		w.returned++
		return
	}
	w.enabled.set(time.Now(), false, account)
	w.idp.SetStatus(w.keys[account], idp.Deprovisioned)
	w.disabled++
}

// renameBack gives a team a name that it had before, if no other one has that now.
func (w *syncedOrg) renameBack(t *team) {
	for _, name := range t.names {
		if w.named(name) || w.closed[name] {
			continue
		}
		t.names, t.name = append(t.names, name), name
		w.store.renameTeam(t.key, name)
		w.renames++
		return
	}
}

// addTaken creates a team of a name that a group of Atlassian's own has, with other people in it.
func (w *syncedOrg) addTaken(ctx context.Context, random *rand.Rand) error {
	if len(w.present()) >= manyTeams {
		return nil
	}
	w.serial++
	name := fmt.Sprintf("%s%02d", teamPrefix, w.serial)
	if err := w.Simulator.LocalGroup(ctx, name); err != nil {
		return err
	}
	if err := w.Simulator.Invite(ctx, name, w.some(random)...); err != nil {
		return err
	}
	w.local[name] = true
	w.conflicts++
	w.create(name, w.some(random)...)
	return nil
}

// right says what is not as the identity provider says, once it says the truth again and has been read.
func (w *syncedOrg) right(ctx context.Context) error {
	if !w.mend() {
		return w.explain(ctx, errors.New("the source was not read since it is whole"))
	}
	if err := w.operate(ctx); err != nil {
		return err
	}
	state, err := w.Simulator.State(ctx)
	if err == nil {
		err = w.look(ctx, 0)
	}
	if err != nil {
		return err
	}
	for _, p := range state.People {
		want, of := w.enabled.now()[p.AccountID], w.keys[p.AccountID] != ""
		if of && (p.Inactive == want || p.SCIMUserID == "") {
			return w.explain(ctx, fmt.Errorf("%s is to be active: %v, and is %+v", w.who(p.AccountID), want, p))
		}
	}
	for _, t := range w.present() {
		if err := w.rightOf(t, state); err != nil {
			return w.explain(ctx, err)
		}
	}
	for _, l := range w.sorted() {
		if !l.kept && !slices.ContainsFunc(w.present(), func(t *team) bool { return l.teams[t.key] }) {
			keys := slices.Collect(maps.Keys(l.teams))
			return w.explain(ctx, fmt.Errorf("group %s is left, and %v are gone", l.Name, keys))
		}
	}
	return nil
}

// sorted returns the groups that are there, by name.
func (w *syncedOrg) sorted() (all []*life) {
	for _, l := range w.lives {
		if l.there() {
			all = append(all, l)
		}
	}
	slices.SortFunc(all, func(a, b *life) int { return strings.Compare(a.Name+a.ID, b.Name+b.ID) })
	return all
}

// rightOf says why a team has not exactly one group, of its name and with exactly its active people.
func (w *syncedOrg) rightOf(t *team, state cloud.State) error {
	of := slices.DeleteFunc(w.sorted(), func(l *life) bool { return !l.teams[t.key] })
	if len(of) == 0 && !t.settled && !strings.HasPrefix(t.name, teamPrefix) {
		return nil // the policy never knew it
	}
	if len(of) != 1 {
		return fmt.Errorf("%s (%s) has %d groups", t.name, t.key, len(of))
	}
	l := of[0]
	if l.Name != t.name && strings.HasPrefix(t.name, teamPrefix) {
		return fmt.Errorf("%s (%s) has the group %s", t.name, t.key, l.Name)
	}
	i := slices.IndexFunc(state.Groups, func(g cloud.StateGroup) bool { return g.SCIMGroupID == l.ID })
	if i < 0 {
		return fmt.Errorf("the organization does not show %s", l.Name)
	}
	var want []string
	for account := range t.people.now() {
		if w.enabled.now()[account] {
			want = append(want, account)
		}
	}
	slices.Sort(want)
	if is := slices.Sorted(slices.Values(state.Groups[i].Members)); !slices.Equal(is, want) {
		return fmt.Errorf("%s (%s) has %v, and %s has %v", t.name, t.key, w.whoAll(want), l.Name, w.whoAll(is))
	}
	t.settled = true
	return nil
}

func (w *syncedOrg) whoAll(accounts []string) (names []string) {
	for _, a := range accounts {
		names = append(names, w.who(a))
	}
	return names
}

// explain adds to what is not right what ops are told.
func (w *syncedOrg) explain(ctx context.Context, wrong error) error {
	s, err := w.Status(ctx, org)
	if err != nil {
		return wrong
	}
	told, err := json.Marshal(map[string]any{"hold": s.IdentityHold, "not approved": w.waits, "sources": s.Sources,
		"provisions": s.Provisions, "pending": s.Pending})
	return errors.Join(fmt.Errorf("%w: %s", wrong, told), err)
}

func (w *syncedOrg) tally() string {
	wrong := slices.Concat(w.wrongful, w.strangers, w.doubled, w.deleted, w.gaps)
	return fmt.Sprintf("the source %s; %d groups, %d additions and %d removals so far, %d of them decided; %d groups deleted and %d replaced; wrong: %q",
		w.spoilt, len(w.sorted()), w.additions, w.removals, w.decided, w.gone, w.replaced, wrong)
}

func (w *syncedOrg) report(t *testing.T) {
	t.Helper()
	t.Logf("teams: %d, of which deleted %d; renames %d, emptied %d; people disabled %d and enabled %d; names taken by groups of Atlassian's own %d; workers killed %d",
		len(w.teams), w.deletions, w.renames, w.emptied, w.disabled, w.returned, w.conflicts, w.kills)
	t.Logf("groups made %d, deleted %d, replaced %d; additions %d, removals %d, of which decided %d; deactivations %d; held plans approved %d and rejected %d; groups accepted at Atlassian %d; suspect reads accepted %d",
		len(w.lives), w.gone, w.replaced, w.additions, w.removals, w.decided, w.deactivations, w.approvals,
		w.rejections, w.accepted, w.suspects)
	require.Empty(t, w.wrongful, "removed or deactivated though the source says otherwise, and nobody decided it")
	require.Empty(t, w.strangers, "added though the source says otherwise")
	require.Empty(t, w.doubled, "groups or records of which there are two")
	require.Empty(t, w.deleted, "groups deleted though nobody approved it")
	require.Empty(t, w.gaps, "people who were in neither group when one replaced the other")
}
