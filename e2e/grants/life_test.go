package grants_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

const openGrants = `
grants:
  - {name: admins, targets: ["role:org-admin"], duration: {max: 1h}}
  - {name: site, targets: ["group:site-admins", "group:builders", "group:vault"], duration: {max: 1h}}
protected:
  - {target: "group:site-admins", minimum: 1}
`

// A grant begins, is seen to be given, ends by itself, and is read back before its workflow is over. Beside one read
// for the question, its start and its end are one write and at most two reads each.
func TestGrantBeginsAndEnds(t *testing.T) {
	t.Parallel()
	o := start(t, openGrants, "--lag", "500ms", "--role-lag", "3s")
	for name, target := range map[string]access.Entitlement{"group": "group:vault",
		"protected group": "group:site-admins", "role": access.OrgAdmin} {
		t.Run(name, func(t *testing.T) {
			o := &testOrg{Stack: o.Stack, t: t}
			reads := 0
			for range 3 { // steps that a busy machine starves are done twice, with more reads, or come too late
				if reads = o.lent("dan", target); reads <= 5 {
					break
				}
			}
			require.LessOrEqual(t, reads, 5)
		})
	}
}

// lent lends somebody a target, says when they held it, and returns how many reads that took; many when they never did.
func (o *testOrg) lent(name string, target access.Entitlement) int {
	o.t.Helper()
	require.NoError(o.t, o.Simulator.ResetStats(o.t.Context()))
	before := len(o.held(name, string(target)))
	answer, err := o.ask(name, target, 15*time.Second)
	require.NoError(o.t, err)
	o.over(answer.Workflow)
	spans := o.held(name, string(target))
	if len(spans) == before {
		return math.MaxInt
	}
	last := spans[len(spans)-1]
	until := answer.Grants[0].Until
	require.False(o.t, last[1].IsZero(), "it was not taken back")
	require.False(o.t, last[1].Before(until), "it was taken back early: %s before %s", last[1], until)
	o.t.Logf("given %s after it began, taken back %s after its end", last[0].Sub(answer.Grants[0].From),
		last[1].Sub(until))
	stats, err := o.Simulator.Stats(o.t.Context())
	require.NoError(o.t, err)
	require.Equal(o.t, 2, stats.Writes, "%+v", stats.ByOperation)
	return stats.Operations["users.search"] + stats.Operations["groups.search"]
}

// What somebody gives by hand after a grant is over is foreign: it stays, and is told of at once.
func TestGrantReportsWhatIsGivenByHandAfterIt(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	o := start(t, openGrants)
	answer, err := o.ask("dan", "group:vault", suite.Lasting(15*time.Second))
	require.NoError(t, err)
	o.over(answer.Workflow)
	require.False(t, o.holds("dan", "group:vault"))
	require.NoError(t, o.Simulator.Invite(t.Context(), "vault", o.person("dan").AccountID))
	state, err := o.Until(t.Context(), org, patience, func(s messages.OrgSyncState) bool { return len(s.Noticed) > 0 })
	require.NoError(t, err)
	require.Contains(t, state.Noticed[0], o.email("dan")+" holds group:vault again, given by hand")
	require.True(t, o.holds("dan", "group:vault"), "what somebody else gave is theirs")
}

// While an organization is paused, grants begin and end all the same.
func TestGrantsWhilePaused(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	o := start(t, openGrants)
	running, err := o.ask("dan", "group:vault", suite.Lasting(20*time.Second))
	require.NoError(t, err)
	o.until(running.Workflow, is(messages.GrantActive))
	var answer messages.Answer
	require.NoError(t, o.Update(t.Context(), org, messages.Pause, messages.PauseInput{By: "test"}, &answer))
	begun, err := o.ask("eve", "group:vault", suite.Lasting(15*time.Second))
	require.NoError(t, err)
	o.over(begun.Workflow)
	o.over(running.Workflow)
	for _, name := range []string{"dan", "eve"} {
		spans := o.held(name, "group:vault")
		require.Len(t, spans, 1, name)
		require.False(t, spans[0][1].IsZero(), "%s was not taken back", name)
	}
	status, err := o.Status(t.Context(), org)
	require.NoError(t, err)
	require.Equal(t, messages.StatePaused, status.State)
}

// A grant whose workflow was terminated is found by the next verification and taken back.
func TestGrantThatIsLostIsTakenBack(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	o := start(t, openGrants)
	answer, err := o.ask("dan", "group:site-admins", suite.Lasting(20*time.Second))
	require.NoError(t, err)
	o.until(answer.Workflow, is(messages.GrantActive))
	require.NoError(t, o.Temporal.Client.TerminateWorkflow(t.Context(), answer.Workflow, "", "test"))
	o.eventually(func() bool { // a verification leaves a grant's end to its workflow for two minutes
		var message messages.Answer
		require.NoError(t, o.Update(t.Context(), org, messages.SyncNow, messages.SyncNowInput{By: "test"}, &message))
		return !o.holds("dan", "group:site-admins")
	})
	o.over(answer.Workflow)
}

// The end of a grant never takes the last holder of a protected target; it is tried again, and succeeds once it may.
func TestGrantEndIsDelayedByAFloor(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	o := start(t, `
grants:
  - {name: site, targets: ["group:vault"], duration: {max: 1h}}
protected:
  - {target: "group:vault", minimum: 1}
`)
	answer, err := o.ask("dan", "group:vault", suite.Lasting(20*time.Second))
	require.NoError(t, err)
	state := o.until(answer.Workflow, is(messages.GrantBlocked))
	require.Contains(t, state.Blocked.Why, "0 active holders would remain")
	require.True(t, o.holds("dan", "group:vault"))
	require.NoError(t, o.Simulator.Invite(t.Context(), "vault", o.person("hana").AccountID))
	o.over(answer.Workflow)
	require.False(t, o.holds("dan", "group:vault"))
	require.True(t, o.holds("hana", "group:vault"))
}

// Every name that a group may have is given and taken back on time, by a workflow whose ID is its own.
func TestGrantOfAGroupOfAnyName(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	names := []string{
		"Büro-Admins", "管理者 🔥", `it's "quoted"/a\b: 100%`, "עברית a\u202eb", "ends with a space ",
		strings.Repeat("🔥", 255), strings.Repeat("z", 255),
	}
	people, targets := staff, ""
	for _, name := range names {
		people.Local = append(people.Local, cloud.OrgGroup{Name: name})
		written, err := json.Marshal("group:" + name)
		require.NoError(t, err)
		targets += string(written) + ", "
	}
	o := startWith(t, people, "grants:\n  - {name: any, targets: ["+targets+"], duration: {max: 1h}}\n")
	var workflows []string
	for _, name := range names {
		answer, err := o.ask("dan", access.GroupEntitlement(name), suite.Lasting(40*time.Second))
		require.NoError(t, err, "%q", name)
		workflows = append(workflows, answer.Workflow)
	}
	for i, name := range names {
		o.over(workflows[i])
		spans := o.held("dan", "group:"+name)
		require.Len(t, spans, 1, "%q", name)
		require.False(t, spans[0][1].IsZero(), "%q was not taken back", name)
	}
}
