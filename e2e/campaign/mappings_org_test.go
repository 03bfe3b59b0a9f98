package campaign

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/atlassian/scim"
	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// gives says which source groups give which target group, for the policy and for the independent calculation.
var gives = map[string][]string{
	"jira-users-acme":                   {"eng-*", "ops-*"},
	"confluence-users-acme":             {"eng-*", "sales-*", "hr-*"},
	"jira-servicemanagement-users-acme": {"support-*", "ops-*"},
}

var written = map[string]string{
	"jira-users-acme": "jira", "confluence-users-acme": "confluence", "jira-servicemanagement-users-acme": "jsm",
}

// The first people never lose the protected target, once they have it: the owner of the key, and those who always stay.
const (
	protected = "jira-users-acme"
	stay      = 5
)

// mappedOrganization is an invented one.
var mappedOrganization = organizationOf{
	flags: func(*testing.T) []string {
		return []string{"--people", "150", "--groups", "24", "--memberships", "700", "--seed", "11"}
	},
	model: newMapped,
}

func (w *mappingsOrg) policy() string {
	var b strings.Builder
	fmt.Fprintf(&b, "version: 1\norganization: {name: %s, id: %s, key: \"env:%s\", keyOwner: %s}\nguard: {adopt: auto, settle: 2s, flapping: 0}\nsync: {feed: 5s}\nignore: [\"*\"]\n",
		org, w.sim.OrgID, stack.KeyVariable, w.addresses.of[w.people[0].account])
	fmt.Fprintf(&b, "protected: [{target: \"group:%s\", always: [", protected)
	for _, p := range w.people[1:stay] {
		fmt.Fprintf(&b, "%s, ", w.addresses.of[p.account])
	}
	b.WriteString("]}]\nmappings:\n")
	for i, target := range []string{"jira-users-acme", "confluence-users-acme", "jira-servicemanagement-users-acme"} {
		fmt.Fprintf(&b, "  - {name: m%d, from: [\"%s\"], to: [\"default:%s/acme/user\"]}\n", i,
			strings.Join(gives[target], `", "`), written[target])
	}
	return b.String()
}

// mappingsOrg is what the test knows of an organization with mappings alone: who is in which source group, and since
// when.
type mappingsOrg struct {
	sim     *stack.Simulator
	idp     scim.Writer
	groups  []source
	people  []member
	foreign map[[2]string]bool // memberships in targets that were there before
	without map[[2]string][]span
	last    map[[2]string]cloud.MembershipWrite

	addresses *addressChanges
	handTaken int

	seen      int // writes looked at so far
	removals  int
	wrongful  []string
	repeated  []string
	redundant int
	hiding    bool // this round's faults have reads hide memberships
	sure      int  // writes repeated in such rounds, to make sure
}

type source struct {
	name, id string // id of the SCIM directory
	members  map[string]bool
}

type member struct{ account, scim string }

// span is a time in which a person had no source for a target; open while Until is zero.
type span struct{ from, until time.Time }

func newMapped(ctx context.Context, s *stack.Stack) (orgModel, error) {
	state, err := s.Simulator.State(ctx)
	if err != nil {
		return nil, err
	}
	w := &mappingsOrg{sim: s.Simulator, foreign: map[[2]string]bool{}, without: map[[2]string][]span{},
		last:      map[[2]string]cloud.MembershipWrite{},
		addresses: newAddresses(s.Simulator)}
	if w.idp, err = s.Simulator.SCIM(); err != nil {
		return nil, err
	}
	for _, p := range state.People {
		if p.SCIMUserID != "" && !p.App && !p.Inactive && !p.Absent && !p.Suspended {
			w.people = append(w.people, member{p.AccountID, p.SCIMUserID})
			w.addresses.of[p.AccountID] = p.Email
		}
	}
	for _, g := range state.Groups {
		if g.Synced {
			in := map[string]bool{}
			for _, m := range g.Members {
				in[m] = true
			}
			w.groups = append(w.groups, source{g.Name, g.SCIMGroupID, in})
		}
		if gives[g.Name] != nil {
			for _, m := range g.Members {
				w.foreign[[2]string{m, g.Name}] = true
			}
		}
	}
	for target := range gives {
		for _, p := range w.people {
			if !w.wanted(p.account, target) {
				w.without[[2]string{p.account, target}] = []span{{}}
			}
		}
	}
	return w, nil
}

func (w *mappingsOrg) wanted(account, target string) bool {
	return slices.ContainsFunc(w.groups, func(g source) bool {
		return g.members[account] && slices.ContainsFunc(gives[target], func(glob string) bool {
			ok, _ := path.Match(glob, g.name)
			return ok
		})
	})
}

func (w *mappingsOrg) begun(context.Context) error { return nil }

func (w *mappingsOrg) pick(random *rand.Rand) []cloud.Fault {
	faults := pick(random, faultTargets{
		cut:    [][]string{{"users.search"}, {"groups.search"}, {"users.search", "groups.search"}},
		stale:  [][]string{{"users.search"}},
		reads:  []string{"users.search", "groups.search", "role-assignments.list", "events.stream"},
		writes: []string{"memberships.*"},
		all:    []string{"users.search", "groups.search", "memberships.*", "events.stream"},
	})
	w.hiding = slices.ContainsFunc(faults, hides)
	return faults
}

// day returns some of what an identity provider and admins do: people join, leave, and move from one group to another,
// get other addresses, and lose what they have by hand.
func (w *mappingsOrg) day(ctx context.Context, random *rand.Rand) error {
	for range 1 + random.IntN(4) {
		p := w.somebody(random)
		if err := w.addresses.change(ctx, random, p.account); err != nil {
			return err
		}
		if err := w.take(ctx, random); err != nil {
			return err
		}
		p = w.somebody(random)
		to := &w.groups[random.IntN(len(w.groups))]
		switch from := w.of(p.account, random); {
		case from == nil || random.IntN(3) == 0:
			if err := w.join(ctx, to, p); err != nil {
				return err
			}
		case random.IntN(2) == 0:
			if err := w.leave(ctx, from, p); err != nil {
				return err
			}
		default: // a move is two requests: between them the person is in neither
			if err := w.leave(ctx, from, p); err != nil {
				return err
			}
			if err := w.join(ctx, to, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// somebody is anybody, and one of those whom the policy names more often than others.
func (w *mappingsOrg) somebody(random *rand.Rand) member {
	if random.IntN(6) == 0 {
		return w.people[random.IntN(stay)]
	}
	return w.people[random.IntN(len(w.people))]
}

// take takes a target from somebody by hand: it comes back if the sources give it, and only then.
func (w *mappingsOrg) take(ctx context.Context, random *rand.Rand) error {
	target := slices.Sorted(maps.Keys(gives))[random.IntN(len(gives))]
	members, err := w.sim.MembersOf(ctx, target)
	if err != nil {
		return err
	}
	p := w.people[random.IntN(len(w.people))]
	if !slices.Contains(members, p.account) {
		return nil
	}
	w.handTaken++
	delete(w.foreign, [2]string{p.account, target})
	return w.sim.Expel(ctx, target, p.account)
}

func (w *mappingsOrg) of(account string, random *rand.Rand) *source {
	var in []*source
	for i := range w.groups {
		if w.groups[i].members[account] {
			in = append(in, &w.groups[i])
		}
	}
	if len(in) == 0 {
		return nil
	}
	return in[random.IntN(len(in))]
}

func (w *mappingsOrg) join(ctx context.Context, g *source, p member) error {
	if g.members[p.account] {
		return nil
	}
	_, err := w.idp.AddMembers(ctx, g.id, p.scim)
	g.members[p.account] = true
	w.note(p.account)
	return err
}

func (w *mappingsOrg) leave(ctx context.Context, g *source, p member) error {
	_, err := w.idp.RemoveMembers(ctx, g.id, p.scim)
	delete(g.members, p.account)
	w.note(p.account)
	return err
}

// note keeps the spans in which a person had no source for a target.
func (w *mappingsOrg) note(account string) {
	now := time.Now()
	for target := range gives {
		key := [2]string{account, target}
		spans := w.without[key]
		open := len(spans) > 0 && spans[len(spans)-1].until.IsZero()
		if wanted := w.wanted(account, target); wanted && open {
			spans[len(spans)-1].until = now
		} else if !wanted && !open {
			w.without[key] = append(spans, span{from: now})
		}
	}
}

func (s span) String() string {
	until := "now"
	if !s.until.IsZero() {
		until = s.until.Format(time.RFC3339Nano)
	}
	return s.from.Format(time.RFC3339Nano) + " to " + until
}

// reach is how far back a read may lie on which a write stands: a batch of removals is read again when its read is 20 s
// old, one that waited 10 s for its write once more, and a stale read shows the past on purpose.
const reach = 30 * time.Second

func (w *mappingsOrg) look(ctx context.Context, seed uint64) error {
	stats, err := w.sim.Stats(ctx)
	if err != nil {
		return err
	}
	for _, m := range stats.WritesByMembership[w.seen:] {
		w.judge(seed, m)
	}
	w.seen = len(stats.WritesByMembership)
	return nil
}

// judge holds one write against what the sources said.
func (w *mappingsOrg) judge(seed uint64, m cloud.MembershipWrite) {
	if gives[m.Group] == nil || m.Operation != "memberships.add" && m.Operation != "memberships.remove" {
		return
	}
	key := [2]string{m.Account, m.Group}
	at, _ := time.Parse(time.RFC3339Nano, m.At)
	if !m.Changed && m.Status != "403" {
		w.redundant++
	}
	before, again := w.last[key]
	if again && before.Operation == m.Operation && before.Status == "204" && !m.Changed &&
		(m.Status == "204" || m.Status == "409" || m.Status == "404") {
		if w.hiding { // what a read hides is not known any more: writing it again is how Castellan makes sure
			w.sure++
		} else {
			w.repeated = append(w.repeated,
				fmt.Sprintf("seed %d: %s of %s in %s at %s, done before at %s", seed, m.Operation, m.Account, m.Group,
					m.At, before.At))
		}
	}
	w.last[key] = m
	if m.Operation != "memberships.remove" || !m.Changed {
		return
	}
	w.removals++
	evidence := slices.ContainsFunc(w.without[key], func(s span) bool {
		return s.from.Before(at) && (s.until.IsZero() || s.until.After(at.Add(-reach)))
	})
	if !evidence || w.foreign[key] || w.stays(m.Account, m.Group) {
		w.wrongful = append(w.wrongful,
			fmt.Sprintf("seed %d: %s removed from %s at %s: foreign %v, stays %v, without a source in %s",
				seed, m.Account, m.Group, m.At, w.foreign[key], w.stays(m.Account, m.Group), w.without[key]))
	}
}

// stays reports whether the policy protects somebody's place in a target.
func (w *mappingsOrg) stays(account, target string) bool {
	return target == protected && slices.ContainsFunc(w.people[:stay],
		func(p member) bool { return p.account == account })
}

// right compares the target memberships with an independent calculation from the sources.
func (w *mappingsOrg) right(ctx context.Context) error {
	for target := range gives {
		members, err := w.sim.MembersOf(ctx, target)
		if err != nil {
			return err
		}
		in := map[string]bool{}
		for _, m := range members {
			in[m] = true
		}
		for _, p := range w.people {
			want := w.wanted(p.account, target) || w.foreign[[2]string{p.account, target}]
			if in[p.account] != want && !(in[p.account] && w.stays(p.account, target)) {
				return fmt.Errorf("%s in %s: is %v, should be %v", p.account, target, in[p.account], want)
			}
		}
	}
	return nil
}

func (w *mappingsOrg) tally() string {
	return fmt.Sprintf("%d removals so far, %d without evidence", w.removals, len(w.wrongful))
}

func (w *mappingsOrg) report(t *testing.T) {
	t.Helper()
	t.Logf("removals: %d, of which without evidence: %d", w.removals, len(w.wrongful))
	t.Logf("%s; taken by hand: %d", w.addresses, w.handTaken)
	t.Logf("writes repeated that were known to be done: %d, and %d that a read had hidden; writes that found it so already: %d; writes in all: %d",
		len(w.repeated), w.sure, w.redundant, w.seen)
	require.Empty(t, w.wrongful, "removals without evidence")
	require.Empty(t, w.repeated, "writes repeated that were known to be done")
}
