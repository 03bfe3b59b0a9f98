package grants_test

import (
	"flag"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/apply"
	"github.com/castellan-io/castellan/activities/grants"
	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// Whatever happens, and in whatever order: nothing is taken for which a reason stands, nor beyond a floor, and in the
// end nothing is left of any grant.
func TestGrantsInvariants(t *testing.T) {
	if checks := flag.Lookup("rapid.checks"); checks.Value.String() == checks.DefValue {
		// each takes a while, and more so with -race; whoever asks for more gets them
		require.NoError(t, checks.Value.Set("12"))
	}
	t.Parallel()
	var s *stressTest
	t.Cleanup(func() {
		if t.Failed() { // perhaps by a helper that knows nothing of rapid
			t.Logf("at last this was done:\n%s", strings.Join(s.stories, "\n"))
		}
	})
	rapid.Check(t, func(r *rapid.T) {
		s = newStressTest(t, r)
		names := []string{"request", "attend", "time", "by hand", "move", "approve", "cut off", "fault", "time",
			"attend", "request", "verify", "late", "revoke"}
		for range rapid.IntRange(10, 30).Draw(r, "steps") {
			s.happen(names...)
		}
		s.quiet()
	})
}

// steps are what may happen, by name.
func (s *stressTest) steps() map[string]func() {
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
func (s *stressTest) happen(names ...string) {
	s.steps()[rapid.SampledFrom(names).Draw(s.T, "step")]()
	s.check()
}

func (s *stressTest) request() {
	m := s.pick()
	in := s.RequestOf(m.name+"@example.com", access.GroupEntitlement(m.group),
		rapid.SampledFrom([]time.Duration{time.Minute, 10 * time.Minute, time.Hour}).Draw(s.T, "for"))
	in.RequestedBy = in.Person
	if rapid.IntRange(0, 3).Draw(s.T, "ahead") == 0 {
		in.Start = s.Clock().Add(5 * time.Minute)
	}
	s.story("%s asks for %s for %s, from %s", m.name, m.group, in.Duration, in.Start)
	for range rapid.IntRange(1, 2).Draw(s.T, "times") {
		activitytest.Must[messages.GrantAnswer](s.SimulatedOrg, s.Acts.Grants.RequestGrant, in)
	}
	s.leases[in.RequestID] = m
}

// grants are those of some state ("": which are not settled), oldest first.
func (s *stressTest) grants(state access.GrantState) []access.Grant {
	filter := ledger.GrantFilter{Unsettled: true}
	if state != "" {
		filter.States = []access.GrantState{state}
	}
	found, err := s.Ledger.Grants(s.SimulatedOrg.T.Context(), activitytest.Org, filter)
	require.NoError(s.SimulatedOrg.T, err)
	slices.Reverse(found)
	return found
}

func (s *stressTest) approve() {
	waiting := s.grants(access.GrantWaiting)
	if len(waiting) == 0 {
		return
	}
	g := rapid.SampledFrom(waiting).Draw(s.T, "grant")
	in := grants.DecideGrantInput{Org: activitytest.Org, Target: g.Target, Key: g.Key,
		Approve:       rapid.IntRange(0, 4).Draw(s.T, "yes") > 0,
		ApprovalInput: messages.ApprovalInput{Request: g.ID, By: "boss@example.com"}}
	s.story("%s of %s is decided: %t", g.ID, g.Email, in.Approve)
	for range rapid.IntRange(1, 2).Draw(s.T, "times") {
		activitytest.Must[messages.GrantAnswer](s.SimulatedOrg, s.Acts.Grants.DecideGrant, in)
	}
}

func (s *stressTest) revoke() {
	open := s.grants("")
	if len(open) == 0 {
		return
	}
	g := rapid.SampledFrom(open).Draw(s.T, "grant")
	in := grants.RevokeGrantInput{Org: activitytest.Org,
		RevokeInput: messages.RevokeInput{Person: g.Email, Target: g.Target, RequestedBy: "bo"}}
	if rapid.Bool().Draw(s.T, "one") {
		in.Request = g.ID
	}
	s.story("%s of %s is revoked, only it: %t", g.ID, g.Email, in.Request != "")
	activitytest.Must[messages.GrantAnswer](s.SimulatedOrg, s.Acts.Grants.RevokeGrant, in)
}

func (s *stressTest) time() {
	d := rapid.SampledFrom([]time.Duration{time.Minute, 10 * time.Minute, time.Second, 30 * time.Second,
		time.Hour}).Draw(s.T, "passes")
	s.story("%s pass", d)
	s.Advance(d)
}

// attendAll is a round of all grants that are not settled. One that is cut off writes some lines, some of them twice,
// and may tell nobody.
func (s *stressTest) attendAll(whole bool) []messages.GrantReconciledSignal {
	open := slices.DeleteFunc(s.grants(""), func(g access.Grant) bool { return g.State == access.GrantWaiting })
	if len(open) == 0 {
		return nil
	}
	r := s.PlanRound(open...)
	s.begun = append(s.begun, r)
	for _, line := range s.LinesOf(r) {
		times := 1
		if !whole {
			times = rapid.IntRange(0, 2).Draw(s.T, "attempts")
		}
		for range times {
			s.Attempt(r, line)
			s.story("%s %s: %v %v", r.Run, line.Label, r.Results[line.Label], r.Failed[line.Label])
		}
		s.check()
	}
	if !whole && rapid.Bool().Draw(s.T, "nobody is told") {
		return nil
	}
	answers := s.AnswerRound(r)
	s.story("%s is told: %+v", r.Run, answers)
	return answers
}

// fault lets one write go wrong in a round, or in a verification.
func (s *stressTest) fault() {
	f := cloud.Fault{
		Operations: []string{"memberships.*"}, Count: 1, After: rapid.IntRange(0, 1).Draw(s.T, "after"),
		Kind: rapid.SampledFrom([]string{cloud.FaultTimeoutAfter, cloud.FaultTimeoutBefore, cloud.FaultStatus}).Draw(
			s.T, "fault"),
	}
	s.Inject(f)
	s.story("a write goes wrong: %s", f.Kind)
	s.happen("attend", "cut off", "verify")
	s.Sim.ClearFaults("")
}

// late is an attempt at a line of an earlier round, by a worker that was away.
func (s *stressTest) late() {
	if len(s.begun) == 0 {
		return
	}
	r := rapid.SampledFrom(s.begun).Draw(s.T, "round")
	lines, err := s.Ledger.Lines(s.SimulatedOrg.T.Context(), activitytest.Org, r.Run,
		ledger.Filter{States: []access.ChangeState{access.Planned, access.Sent}})
	require.NoError(s.SimulatedOrg.T, err)
	for _, c := range lines {
		s.Attempt(r, apply.Line{Person: c.Person, Target: c.Target, Label: c.Label()})
		s.story("late: %s %s: %v %v", r.Run, c.Label(), r.Results[c.Label()], r.Failed[c.Label()])
	}
}

// verify is a full verification; something may happen between its reading and its writing.
func (s *stressTest) verify(between func()) {
	s.story("verification: reads")
	run, _ := s.SweepAndJudge()
	for _, name := range castle.People {
		for _, group := range castleGroups {
			s.read[membership{name, group}] = s.mapped(membership{name, group})
		}
	}
	if between != nil {
		s.underway = true
		between()
		s.underway = false
		s.Advance(5 * time.Second)
	}
	s.story("verification: writes")
	for _, action := range []access.Action{access.Add, access.Remove} {
		if action == access.Remove {
			activitytest.Must[reconcile.ConfirmResult](s.SimulatedOrg, s.Acts.Reconcile.Confirm,
				apply.ConfirmInput{RunInput: run, Actions: []access.Action{action}})
		}
		next := activitytest.Must[apply.NextResult](s.SimulatedOrg, s.Acts.Apply.Next,
			apply.NextInput{RunInput: run, Actions: []access.Action{action}, Limit: 100})
		for _, l := range next.Lines {
			for range 3 {
				result, err := activitytest.Call[apply.ChangeResult](s.SimulatedOrg, s.Acts.Apply.Apply,
					apply.ChangeInput{RunInput: run, Person: l.Person, Target: l.Target})
				s.story("%s %s: %v %v", run.Run, l.Label, result, err)
				s.check()
				if err == nil {
					break
				}
			}
		}
	}
	s.Finish(run, messages.ScopeFull)
}

// move has somebody join or leave a source group.
func (s *stressTest) move() {
	name, source := rapid.SampledFrom(castle.People).Draw(s.T, "person"),
		rapid.SampledFrom([]string{"eng", "ops"}).Draw(s.T, "source")
	if s.members[membership{name, source}] {
		s.story("%s leaves %s", name, source)
		s.Leave(source, name)
		return
	}
	s.story("%s joins %s", name, source)
	s.Join(source, name)
}

// hand has an administrator give or take something.
func (s *stressTest) hand() {
	m := s.pick()
	if s.members[m] {
		s.story("%s is taken out of %s by hand", m.name, m.group)
		s.ByHand(http.MethodDelete, m.group, m.name)
		return
	}
	h := s.Held(m.name, access.GroupEntitlement(m.group))
	doubts, err := s.Ledger.Doubtful(s.SimulatedOrg.T.Context(), activitytest.Org, "", s.AccountID(m.name))
	require.NoError(s.SimulatedOrg.T, err)
	_, doubtful := doubts[s.AccountID(m.name)][access.GroupEntitlement(m.group)]
	// else the write that comes may be lost, and take it for its own
	s.foreign[m] = (h == nil || !h.Owned) && !doubtful && !s.underway
	s.story("%s is put into %s by hand; foreign: %t", m.name, m.group, s.foreign[m])
	s.ByHand(http.MethodPost, m.group, m.name)
}

// quiet lets all grants end, and everybody leave: what Castellan gave is taken back, where the floors let it.
func (s *stressTest) quiet() {
	s.Advance(10 * time.Hour)
	for _, g := range s.grants(access.GrantWaiting) {
		activitytest.Must[access.Grant](s.SimulatedOrg, s.Acts.Grants.ExpireGrant,
			grants.GrantInput{Org: activitytest.Org, ID: g.ID})
	}
	s.settle()
	s.Advance(3 * time.Minute)
	s.verify(nil)
	s.settle() // a mapping that began with a write that was never answered is made sure of by the verification
	require.Empty(s, s.wrong(), "it does not come right")
	s.nothingLeft()
	for _, name := range castle.People {
		for _, source := range []string{"eng", "ops"} {
			if s.members[membership{name, source}] {
				s.Leave(source, name)
			}
		}
	}
	s.Advance(3 * time.Minute)
	s.check()
	s.verify(nil)
	s.nothingLeft()
}

// settle attends to the grants until all is right, or nothing more comes of it.
func (s *stressTest) settle() {
	for range 3 {
		if len(s.wrong()) == 0 {
			return
		}
	}
}

// wrong attends to all grants, and returns the answers that nothing explains.
func (s *stressTest) wrong() []messages.GrantReconciledSignal {
	answers := s.attendAll(true)
	s.check()
	return slices.DeleteFunc(answers, func(a messages.GrantReconciledSignal) bool {
		return a.Right || strings.Contains(a.Why, "active holders would remain")
	})
}

// nothingLeft says that what Castellan gave is held for a reason or to keep a floor, and that what a mapping gives is
// held.
func (s *stressTest) nothingLeft() {
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
