package campaign

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"time"

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

func policy(orgID string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "version: 1\norganization: {name: %s, id: %s, key: \"env:%s\"}\nguard: {adopt: auto, settle: 2s}\nsync: {feed: 5s}\nignore: [\"*\"]\nmappings:\n", org, orgID, stack.KeyVariable)
	for i, target := range []string{"jira-users-acme", "confluence-users-acme", "jira-servicemanagement-users-acme"} {
		fmt.Fprintf(&b, "  - {name: m%d, from: [\"%s\"], to: [\"default:%s/acme/user\"]}\n", i, strings.Join(gives[target], `", "`), written[target])
	}
	return b.String()
}

// world is what the test knows of the organization by itself: who is in which source group, and since when.
type world struct {
	sim     *stack.Simulator
	idp     *scim.Client
	groups  []source
	people  []member
	foreign map[[2]string]bool // memberships in targets that were there before
	without map[[2]string][]span
	last    map[[2]string]cloud.MembershipWrite
}

type source struct {
	name, id string // id of the SCIM directory
	members  map[string]bool
}

type member struct{ account, scim string }

// span is a time in which a person had no source for a target; open while Until is zero.
type span struct{ from, until time.Time }

func newWorld(ctx context.Context, s *stack.Stack) (*world, error) {
	state, err := s.Simulator.State(ctx)
	if err != nil {
		return nil, err
	}
	w := &world{sim: s.Simulator, foreign: map[[2]string]bool{}, without: map[[2]string][]span{}, last: map[[2]string]cloud.MembershipWrite{}}
	if w.idp, err = s.Simulator.SCIM(); err != nil {
		return nil, err
	}
	for _, p := range state.People {
		if p.SCIMUserID != "" && !p.App && !p.Inactive && !p.Absent && !p.Suspended {
			w.people = append(w.people, member{p.AccountID, p.SCIMUserID})
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

func (w *world) wanted(account, target string) bool {
	return slices.ContainsFunc(w.groups, func(g source) bool {
		return g.members[account] && slices.ContainsFunc(gives[target], func(glob string) bool {
			ok, _ := path.Match(glob, g.name)
			return ok
		})
	})
}

// day is some of what an identity provider does: people join, leave, and move from one group to another.
func (w *world) day(ctx context.Context, random *rand.Rand) error {
	for range 1 + random.IntN(4) {
		p := w.people[random.IntN(len(w.people))]
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

func (w *world) of(account string, random *rand.Rand) *source {
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

func (w *world) join(ctx context.Context, g *source, p member) error {
	if g.members[p.account] {
		return nil
	}
	_, err := w.idp.AddMembers(ctx, g.id, p.scim)
	g.members[p.account] = true
	w.note(p.account)
	return err
}

func (w *world) leave(ctx context.Context, g *source, p member) error {
	_, err := w.idp.RemoveMembers(ctx, g.id, p.scim)
	delete(g.members, p.account)
	w.note(p.account)
	return err
}

// note keeps the spans in which a person had no source for a target.
func (w *world) note(account string) {
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

// reach is how far back a read may lie on which a write stands: pages are read, removals settle and are read again, and a
// stale read shows the past on purpose.
const reach = 10 * time.Second

// judge holds one write against what the sources said.
func (w *world) judge(c *campaign, seed uint64, m cloud.MembershipWrite) {
	if gives[m.Group] == nil || m.Operation != "memberships.add" && m.Operation != "memberships.remove" {
		return
	}
	key := [2]string{m.Account, m.Group}
	at, _ := time.Parse(time.RFC3339Nano, m.At)
	if !m.Changed && m.Status != "403" {
		c.redundant++
	}
	before, again := w.last[key]
	if again && before.Operation == m.Operation && before.Status == "204" && !m.Changed && (m.Status == "204" || m.Status == "409" || m.Status == "404") {
		if c.hiding { // what a read hides is not known any more: writing it again is how Castellan makes sure
			c.sure++
		} else {
			c.repeated = append(c.repeated, fmt.Sprintf("seed %d: %s of %s in %s at %s, done before at %s", seed, m.Operation, m.Account, m.Group, m.At, before.At))
		}
	}
	w.last[key] = m
	if m.Operation != "memberships.remove" || !m.Changed {
		return
	}
	c.removals++
	evidence := slices.ContainsFunc(w.without[key], func(s span) bool {
		return s.from.Before(at) && (s.until.IsZero() || s.until.After(at.Add(-reach)))
	})
	if !evidence || w.foreign[key] {
		c.wrongful = append(c.wrongful, fmt.Sprintf("seed %d: %s removed from %s at %s", seed, m.Account, m.Group, m.At))
	}
}

// right compares the target memberships with an independent calculation from the sources.
func (c *campaign) right(ctx context.Context) error {
	for target := range gives {
		members, err := c.Simulator.MembersOf(ctx, target)
		if err != nil {
			return err
		}
		in := map[string]bool{}
		for _, m := range members {
			in[m] = true
		}
		for _, p := range c.world.people {
			want := c.world.wanted(p.account, target) || c.world.foreign[[2]string{p.account, target}]
			if in[p.account] != want {
				return fmt.Errorf("%s in %s: is %v, should be %v", p.account, target, in[p.account], want)
			}
		}
	}
	return nil
}

// pick chooses one to three faults.
func pick(random *rand.Rand) []cloud.Fault {
	reads := []string{"users.search", "groups.search", "role-assignments.list", "events.stream"}
	people := []string{"users.search"}
	writes := []string{"memberships.*"}
	all := []string{"users.search", "groups.search", "memberships.*", "events.stream"}
	choice := func() cloud.Fault {
		f := cloud.Fault{Seed: random.Uint64(), Probability: 0.2 + 0.6*random.Float64()}
		switch random.IntN(14) {
		case 0:
			f.Kind, f.Operations, f.Params.Next = "emptyPage", people, keepOrDrop(random)
		case 1:
			f.Kind, f.Operations, f.Params.Next = "truncatedPage", people, keepOrDrop(random)
		case 2:
			f.Kind, f.Operations = "truncatedGroups", people
		case 3:
			f.Kind, f.Operations = "repeatedCursor", reads
		case 4:
			f.Kind, f.Operations, f.Params.Status, f.Params.RetryAfter = "status", all, 429, "1"
		case 5:
			f.Kind, f.Operations, f.Params.Status, f.Probability = "status", all, 429, 0.2
		case 6:
			f.Kind, f.Operations, f.Params.Status = "status", all, 500
		case 7:
			f.Kind, f.Operations, f.Params.Status, f.Params.Done = "status", writes, 503, true
		case 8:
			f.Kind, f.Operations = "timeoutAfter", writes
		case 9:
			f.Kind, f.Operations = "timeoutBefore", all
		case 10:
			f.Kind, f.Operations, f.Params.Age, f.Params.Share = "staleRead", people, cloud.Duration(time.Duration(1+random.IntN(6))*time.Second), random.Float64()
		case 11:
			f.Kind, f.Operations, f.Params.Off = "countsDisagree", []string{"groups.search"}, 1+random.IntN(3)
		case 12:
			f.Kind, f.Operations = "html", all
		default:
			f.Kind, f.Operations, f.Count = "garbage", all, 3
		}
		return f
	}
	var faults []cloud.Fault
	for range 1 + random.IntN(3) {
		faults = append(faults, choice())
	}
	return faults
}

// hides says that a fault makes reads leave out memberships that there are, or show some that there were.
func hides(f cloud.Fault) bool {
	return slices.Contains([]string{cloud.FaultEmptyPage, cloud.FaultTruncatedPage, cloud.FaultTruncatedGroups, cloud.FaultStaleRead}, f.Kind)
}

func keepOrDrop(random *rand.Rand) string {
	if random.IntN(2) == 0 {
		return "keep"
	}
	return "drop"
}

func names(faults []cloud.Fault) []string {
	var out []string
	for _, f := range faults {
		out = append(out, fmt.Sprintf("%s on %s (%.0f %%)", f.Kind, strings.Join(f.Operations, ","), f.Probability*100))
	}
	return out
}
