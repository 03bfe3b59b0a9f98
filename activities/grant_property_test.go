package activities_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// castle is a small organization: whoever is in eng holds vault and plain, whoever is in ops holds keys; di and ed were put
// there by hand.
var castle = cloud.OrgFile{
	People:  []string{"ana", "bo", "cy", "di", "ed"},
	Admins:  []string{"ana"},
	Groups:  []cloud.OrgGroup{{Name: "eng", Members: []string{"ana", "bo"}}, {Name: "ops", Members: []string{"cy"}}},
	Local:   []cloud.OrgGroup{{Name: "vault"}, {Name: "keys"}, {Name: "plain"}},
	Foreign: map[string][]string{"vault": {"di"}, "keys": {"di", "ed"}},
}

const castlePolicy = `
version: 1
organization: {name: acme, id: ORG, key: "env:KEY"}
mappings:
  - {name: engineers, from: [eng], to: ["group:vault", "group:plain"]}
  - {name: operators, from: [ops], to: ["group:keys"]}
protected:
  - {target: "group:vault", minimum: 1}
  - {target: "group:keys", minimum: 2}
grants:
  - name: free
    targets: ["group:keys", "group:plain"]
    duration: {max: 1h}
    ahead: 1h
  - name: asked
    targets: ["group:vault"]
    duration: {max: 1h}
    ahead: 1h
    approval: {by: [boss@example.com]}
` + open

var (
	castleGroups  = []string{"vault", "keys", "plain"}
	castleFloors  = map[string]int{"vault": 1, "keys": 2}
	castleSources = map[string]string{"vault": "eng", "plain": "eng", "keys": "ops"}
)

// membership is one person in one group, both by name.
type membership struct{ name, group string }

// siege lends and takes in a castle while all sorts of things happen, and holds every change against what must always be so.
type siege struct {
	*world
	*rapid.T
	seen     int                   // changes of the simulator's history
	members  map[membership]bool   // by the history
	ours     map[membership]bool   // whether Castellan made it
	foreign  map[membership]bool   // whether somebody else did, beyond doubt
	read     map[membership]bool   // what a mapping gave when a verification last read it
	begun    []*round              // rounds, for stragglers
	stories  []string              // what was done, for whoever reads a failure
	accounts map[string]string     // names by account id
	leases   map[string]membership // by the grant's id
}

func besiege(t *testing.T, r *rapid.T) *siege {
	w := newWorldOf(t, castle)
	s := &siege{
		world: w, T: r, members: map[membership]bool{}, ours: map[membership]bool{}, foreign: map[membership]bool{}, read: map[membership]bool{},
		accounts: map[string]string{}, leases: map[string]membership{},
	}
	for _, p := range w.sim.State().People {
		s.accounts[p.AccountID] = p.Name
	}
	for _, g := range slices.Concat(castle.Groups, castle.Local) {
		for _, name := range slices.Concat(g.Members, castle.Foreign[g.Name]) {
			s.members[membership{name, g.Name}] = true
			s.foreign[membership{name, g.Name}] = castle.Foreign[g.Name] != nil
		}
	}
	w.policy = must[activities.AdmitResult](w, w.acts.Admit, w.admitIn(strings.Replace(castlePolicy, "ORG", w.sim.Info().OrgID, 1))).Policy
	s.verify(nil)
	return s
}

// story notes a step.
func (s *siege) story(format string, args ...any) {
	s.stories = append(s.stories, s.clock().Format("15:04:05 ")+fmt.Sprintf(format, args...))
	s.Log(s.stories[len(s.stories)-1])
}

// pick draws a membership.
func (s *siege) pick() membership {
	return membership{rapid.SampledFrom(castle.People).Draw(s.T, "person"), rapid.SampledFrom(castleGroups).Draw(s.T, "group")}
}

// steps are what may happen, by name.
func (s *siege) steps() map[string]func() {
	return map[string]func(){
		"request": s.request,
		"approve": s.approve,
		"revoke":  s.revoke,
		"time":    s.time,
		"attend":  func() { s.attendAll(true) },
		"cut off": func() { s.attendAll(false) },
		"fault":   s.fault,
		"late":    s.late,
		"verify":  func() { s.verify(func() { s.happen("request", "revoke", "time", "attend", "move", "by hand") }) },
		"move":    s.move,
		"by hand": s.hand,
	}
}

// happen does one of the named steps.
func (s *siege) happen(names ...string) {
	s.steps()[rapid.SampledFrom(names).Draw(s.T, "step")]()
	s.check()
}

func (s *siege) request() {
	m := s.pick()
	in := s.requestOf(m.name+"@example.com", access.GroupEntitlement(m.group), rapid.SampledFrom([]time.Duration{time.Minute, 10 * time.Minute, time.Hour}).Draw(s.T, "for"))
	if rapid.IntRange(0, 3).Draw(s.T, "ahead") == 0 {
		in.Start = s.clock().Add(5 * time.Minute)
	}
	s.story("%s asks for %s for %s, from %s", m.name, m.group, in.Duration, in.Start)
	for range rapid.IntRange(1, 2).Draw(s.T, "times") {
		must[messages.GrantAnswer](s.world, s.acts.RequestGrant, in)
	}
	s.leases[in.RequestID] = m
}

// grants are those of some state ("": which are not settled), oldest first.
func (s *siege) grants(state access.GrantState) []access.Grant {
	filter := ledger.GrantFilter{Unsettled: true}
	if state != "" {
		filter.States = []access.GrantState{state}
	}
	found, err := s.ledger.Grants(s.world.t.Context(), org, filter)
	require.NoError(s.world.t, err)
	slices.Reverse(found)
	return found
}

func (s *siege) approve() {
	waiting := s.grants(access.GrantWaiting)
	if len(waiting) == 0 {
		return
	}
	g := rapid.SampledFrom(waiting).Draw(s.T, "grant")
	in := activities.DecideGrantInput{Org: org, Target: g.Target, Key: g.Key, Approve: rapid.IntRange(0, 4).Draw(s.T, "yes") > 0,
		ApprovalInput: messages.ApprovalInput{Request: g.ID, By: "boss@example.com"}}
	s.story("%s of %s is decided: %t", g.ID, g.Email, in.Approve)
	for range rapid.IntRange(1, 2).Draw(s.T, "times") {
		must[messages.GrantAnswer](s.world, s.acts.DecideGrant, in)
	}
}

func (s *siege) revoke() {
	open := s.grants("")
	if len(open) == 0 {
		return
	}
	g := rapid.SampledFrom(open).Draw(s.T, "grant")
	in := activities.RevokeGrantInput{Org: org, RevokeInput: messages.RevokeInput{Person: g.Email, Target: g.Target, RequestedBy: "bo"}}
	if rapid.Bool().Draw(s.T, "one") {
		in.Request = g.ID
	}
	s.story("%s of %s is revoked, only it: %t", g.ID, g.Email, in.Request != "")
	must[messages.GrantAnswer](s.world, s.acts.RevokeGrant, in)
}

func (s *siege) time() {
	d := rapid.SampledFrom([]time.Duration{time.Second, 30 * time.Second, time.Minute, 5 * time.Minute, time.Hour}).Draw(s.T, "passes")
	s.story("%s pass", d)
	s.pass(d)
}

// attendAll is a round of all grants that are not settled. One that is cut off writes some lines, some of them twice, and may
// tell nobody.
func (s *siege) attendAll(whole bool) []messages.AttendedSignal {
	open := slices.DeleteFunc(s.grants(""), func(g access.Grant) bool { return g.State == access.GrantWaiting })
	if len(open) == 0 {
		return nil
	}
	r := s.begin(open...)
	s.begun = append(s.begun, r)
	for _, line := range s.linesOf(r) {
		times := 1
		if !whole {
			times = rapid.IntRange(0, 2).Draw(s.T, "attempts")
		}
		for range times {
			s.attempt(r, line)
			s.story("%s %s: %v %v", r.Run, line.Label, r.results[line.Label], r.failed[line.Label])
		}
		s.check()
	}
	if !whole && rapid.Bool().Draw(s.T, "nobody is told") {
		return nil
	}
	answers := s.answer(r)
	s.story("%s is told: %+v", r.Run, answers)
	return answers
}

// fault lets one write go wrong in a round, or in a verification.
func (s *siege) fault() {
	f := cloud.Fault{
		Operations: []string{"memberships.*"}, Count: 1, After: rapid.IntRange(0, 1).Draw(s.T, "after"),
		Kind: rapid.SampledFrom([]string{cloud.FaultTimeoutAfter, cloud.FaultTimeoutBefore, cloud.FaultStatus}).Draw(s.T, "fault"),
	}
	s.inject(f)
	s.story("a write goes wrong: %s", f.Kind)
	s.happen("attend", "cut off", "verify")
	s.sim.ClearFaults("")
}

// late is an attempt at a line of an earlier round, by a worker that was away.
func (s *siege) late() {
	if len(s.begun) == 0 {
		return
	}
	r := rapid.SampledFrom(s.begun).Draw(s.T, "round")
	lines, err := s.ledger.Lines(s.world.t.Context(), org, r.Run, ledger.Filter{States: []access.ChangeState{access.Planned, access.Sent}})
	require.NoError(s.world.t, err)
	for _, c := range lines {
		s.attempt(r, activities.Line{Person: c.Person, Target: c.Target, Label: c.Label()})
		s.story("late: %s %s: %v %v", r.Run, c.Label(), r.results[c.Label()], r.failed[c.Label()])
	}
}

// verify is a full verification; something may happen between its reading and its writing.
func (s *siege) verify(between func()) {
	s.story("verification: reads")
	run, _ := s.planned()
	for _, name := range castle.People {
		for _, group := range castleGroups {
			s.read[membership{name, group}] = s.mapped(membership{name, group})
		}
	}
	if between != nil {
		between()
		s.pass(5 * time.Second)
	}
	s.story("verification: writes")
	for _, action := range []access.Action{access.Add, access.Remove} {
		if action == access.Remove {
			must[activities.ConfirmResult](s.world, s.acts.Confirm, activities.ConfirmInput{RunInput: run, Actions: []access.Action{action}})
		}
		next := must[activities.NextResult](s.world, s.acts.Next, activities.NextInput{RunInput: run, Actions: []access.Action{action}, Limit: 100})
		for _, l := range next.Lines {
			result, err := call[activities.ChangeResult](s.world, s.acts.Apply, activities.ChangeInput{RunInput: run, Person: l.Person, Target: l.Target})
			s.story("%s %s: %v %v", run.Run, l.Label, result, err)
			s.check()
		}
	}
	s.finish(run, messages.ScopeFull)
}

// move has somebody join or leave a source group.
func (s *siege) move() {
	name, source := rapid.SampledFrom(castle.People).Draw(s.T, "person"), rapid.SampledFrom([]string{"eng", "ops"}).Draw(s.T, "source")
	if s.members[membership{name, source}] {
		s.story("%s leaves %s", name, source)
		s.leave(source, name)
		return
	}
	s.story("%s joins %s", name, source)
	s.join(source, name)
}

// hand has an administrator give or take something.
func (s *siege) hand() {
	m := s.pick()
	if s.members[m] {
		s.story("%s is taken out of %s by hand", m.name, m.group)
		s.byHand(http.MethodDelete, m.group, m.name)
		return
	}
	h := s.held(m.name, access.GroupEntitlement(m.group))
	doubts, err := s.ledger.Doubtful(s.world.t.Context(), org, s.id(m.name))
	require.NoError(s.world.t, err)
	_, doubtful := doubts[access.GroupEntitlement(m.group)]
	s.foreign[m] = (h == nil || !h.Owned) && !doubtful
	s.story("%s is put into %s by hand; foreign: %t", m.name, m.group, s.foreign[m])
	s.byHand(http.MethodPost, m.group, m.name)
}

// mapped says that a source group gives it.
func (s *siege) mapped(m membership) bool {
	return s.members[membership{m.name, castleSources[m.group]}]
}

// lent says that a grant that is in force gives it.
func (s *siege) lent(m membership, at time.Time) bool {
	for id, of := range s.leases {
		if of == m && s.stored(access.Grant{ID: id}).InForce(at) {
			return true
		}
	}
	return false
}

// holders counts who holds a group.
func (s *siege) holders(group string) (n int) {
	for _, name := range castle.People {
		if s.members[membership{name, group}] {
			n++
		}
	}
	return n
}

// check goes through what changed since it was last called.
func (s *siege) check() {
	history := s.sim.History()
	for _, c := range history[s.seen:] {
		m := membership{s.accounts[c.Account], strings.TrimPrefix(c.What, "group:")}
		s.members[m] = c.Holds
		switch {
		case c.Key == "":
			s.ours[m], s.foreign[m] = false, s.foreign[m] && c.Holds
		case c.Holds:
			s.ours[m] = true
			require.True(s, s.mapped(m) || s.read[m] || s.lent(m, c.At), "%v was given for no reason", m)
		default:
			s.ours[m] = false
			require.False(s, s.mapped(m), "%v was taken, and a mapping gives it", m)
			require.False(s, s.lent(m, c.At), "%v was taken, and a grant gives it", m)
			require.False(s, s.foreign[m], "%v was taken, and somebody else gave it", m)
			require.GreaterOrEqual(s, s.holders(m.group), castleFloors[m.group], "%v was taken beyond the floor", m)
		}
	}
	s.seen = len(history)
}

// quiet lets all grants end, has everybody attended to, and verifies once.
func (s *siege) quiet() {
	s.pass(10 * time.Hour)
	for _, g := range s.grants(access.GrantWaiting) {
		must[access.Grant](s.world, s.acts.ExpireGrant, activities.GrantInput{Org: org, ID: g.ID})
	}
	for round := 0; ; round++ {
		wrong := slices.DeleteFunc(s.attendAll(true), func(a messages.AttendedSignal) bool {
			return a.Right || strings.Contains(a.Why, "active holders would remain")
		})
		s.check()
		if len(wrong) == 0 {
			break
		}
		require.Less(s, round, 5, "it does not come right: %+v", wrong)
	}
	s.pass(3 * time.Minute)
	s.verify(nil)
	for _, name := range castle.People {
		for _, group := range castleGroups {
			m := membership{name, group}
			if s.members[m] && s.ours[m] && !s.mapped(m) {
				require.LessOrEqual(s, s.holders(group), castleFloors[group], "%v is left over", m)
			}
			if s.mapped(m) {
				require.True(s, s.members[m], "%v is missing", m)
			}
		}
	}
}

// Whatever happens, and in whatever order: nothing is taken for which a reason stands, nor beyond a floor, and in the end
// nothing is left of any grant.
func TestGrantsHoldWhateverHappens(t *testing.T) {
	t.Parallel()
	var s *siege
	t.Cleanup(func() {
		if t.Failed() { // perhaps by a helper that knows nothing of rapid
			t.Logf("at last this was done:\n%s", strings.Join(s.stories, "\n"))
		}
	})
	rapid.Check(t, func(r *rapid.T) {
		s = besiege(t, r)
		names := []string{"request", "request", "approve", "revoke", "time", "time", "attend", "attend", "cut off", "fault", "late", "verify", "move", "by hand"}
		for range rapid.IntRange(1, 25).Draw(r, "steps") {
			s.happen(names...)
		}
		s.quiet()
	})
}
