package reconcile_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/apply"
	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/plan"
)

const kimFromOther = "remove kim@example.com from group:other"

// lost is a simulated organization in which kim was given other by a grant that is over, and whose workflow is gone.
func lost(t *testing.T, more string) (*activitytest.SimulatedOrg, access.Grant) {
	t.Helper()
	o := activitytest.WithGrants(t,
		strings.Replace(activitytest.Lendable, "reason: false", "reason: false\n    "+more, 1))
	g := o.Grant("kim", activitytest.Other, time.Hour)
	o.AttendAll(g)
	o.AdvanceToEnd(g)
	return o, g
}

func TestLostGrantIsRevokedByAVerification(t *testing.T) {
	t.Parallel()
	o, g := lost(t, "lost: remove")
	o.Advance(30 * time.Second)
	_, verdict := o.SweepAndJudge()
	require.Zero(t, verdict.Counts.Removals, "its own workflow goes first")
	require.True(t, o.Held("kim", activitytest.Other).Owned)
	require.Len(t, o.Temporal.Woken, 2, "by the request alone")

	o.Advance(2 * time.Minute)
	run, verdict := o.SweepAndJudge()
	require.Equal(t, 1, verdict.Counts.Removals)
	require.Zero(t, verdict.Counts.Held)
	require.Nil(t, verdict.Hold)
	require.Equal(t, access.Done, o.Write(run)[kimFromOther].State)
	require.False(t, o.Holds("kim", activitytest.Other))
	require.Nil(t, o.Held("kim", activitytest.Other))

	o.Advance(time.Minute)
	o.VerifyEverybody()
	require.Contains(t, o.Temporal.Woken[2:], messages.GrantID(activitytest.Org, g.Target, g.Key),
		"it has its people told, should it live")
	o.AttendAll(g)
	require.False(t, o.StoredGrant(g).RevokedAt.IsZero())
}

func TestLostGrantCanWaitForADecision(t *testing.T) {
	t.Parallel()
	o, g := lost(t, "lost: hold")
	o.Advance(2 * time.Minute)
	run, verdict := o.SweepAndJudge()
	require.Equal(t, 1, verdict.Counts.Held)
	require.Equal(t, 1, verdict.Hold.Removals)
	require.Contains(t, verdict.Hold.Rules[0], "grants.lost is hold")
	require.Equal(t, []string{plan.RuleGrantLost}, o.Lines(run.Run)[kimFromOther].HeldBy)
	require.Empty(t, o.Write(run))
	require.True(t, o.Holds("kim", activitytest.Other))
	require.True(t, o.StoredGrant(g).RevokedAt.IsZero())

	activitytest.Must[reconcile.DecideResult](o, o.Acts.Reconcile.Decide,
		reconcile.DecideInput{Org: activitytest.Org, Decision: "approve",
			DecisionInput: messages.DecisionInput{Plan: verdict.Hold.Plan, By: "carol"}})
	checked := activitytest.Must[reconcile.ConfirmResult](o, o.Acts.Reconcile.Confirm,
		apply.ConfirmInput{RunInput: run, Actions: []access.Action{access.Remove}, Fresh: true})
	require.Equal(t, 1, checked.Standing)
	require.Equal(t, access.Done, o.Write(run)[kimFromOther].State)
	require.False(t, o.Holds("kim", activitytest.Other))
}

func TestLostGrantCanBeOnlyReported(t *testing.T) {
	t.Parallel()
	o, g := lost(t, "lost: report")
	o.Advance(2*time.Minute + time.Second)
	run, verdict := o.SweepAndJudge()
	require.Zero(t, verdict.Counts.Removals)
	require.Nil(t, verdict.Hold)
	require.Contains(t, strings.Join(verdict.Findings, "\n"), "kim@example.com still holds it by grant "+g.ID)
	require.Empty(t, o.Write(run))
	require.True(t, o.Held("kim", activitytest.Other).Owned, "it is not forgotten whose it is")
	o.AttendAll(g) // its workflow was only late
	require.False(t, o.Holds("kim", activitytest.Other))
}

// What was lent is not lost: no limit on removals counts it, now or later.
func TestGuardDoesNotCountTheEndsOfGrants(t *testing.T) {
	t.Parallel()
	const many = 13
	file := activitytest.PeopleInEng(many)
	o := activitytest.NewOf(t, file)
	o.Admit("guard: {adopt: auto, run: {removals: 10}, target: {removals: 5}, window: {removals: 10}}\n" +
		strings.ReplaceAll(activitytest.Lendable, "group:other", "group:helpers"))
	o.VerifyEverybody()
	o.Advance(time.Minute)
	var grants []access.Grant
	for _, name := range file.People[2:] {
		grants = append(grants, o.Grant(name, activitytest.Helpers, time.Hour))
	}
	for _, name := range file.People[:2] { // who have it by a mapping anyway
		grants = append(grants, o.Grant(name, access.OrgAdmin, time.Hour))
	}
	o.AttendAll(grants...)
	o.Advance(time.Hour + 3*time.Minute)
	run, verdict := o.SweepAndJudge()
	require.Equal(t, many-1, verdict.Counts.Removals, "the first is an administrator anyway")
	require.Zero(t, verdict.Counts.Held, "%+v", verdict.Hold)
	o.Write(run)
	o.Finish(run, messages.ScopeFull)
	require.Len(t, o.Group("helpers").Members, 2)

	o.Advance(time.Hour)
	o.Leave("eng", "p0012")
	_, verdict = o.SweepAndJudge()
	require.Equal(t, 1, verdict.Counts.Removals)
	require.Zero(t, verdict.Counts.Held, "nor does the window of later runs: %+v", verdict.Hold)
}

func TestVerificationKeepsWhatAGrantGives(t *testing.T) {
	t.Parallel()
	o := activitytest.WithGrants(t, activitytest.Lendable)
	g := o.Grant("kim", activitytest.Other, time.Hour)
	o.AttendAll(g)
	o.Advance(10 * time.Minute)
	run, verdict := o.SweepAndJudge()
	require.Zero(t, verdict.Counts.Adds+verdict.Counts.Removals)
	require.Empty(t, o.Lines(run.Run))
	require.Equal(t, []access.Reason{g.GrantReason()}, o.Held("kim", activitytest.Other).Reasons)
}

func TestLostGrantIsProvisionedByAVerification(t *testing.T) {
	t.Parallel()
	o := activitytest.WithGrants(t, activitytest.Lendable)
	g := o.Grant("kim", activitytest.Other, time.Hour)
	run, verdict := o.SweepAndJudge()
	require.Equal(t, 1, verdict.Counts.Adds)
	require.Equal(t, access.Done, o.Write(run)["add kim@example.com to group:other"].State)
	require.Zero(t, o.AttendAll(g).Plan.Open, "and it is not given twice")
	require.False(t, o.StoredGrant(g).ProvisionedAt.IsZero())
	o.AdvanceToEnd(g)
	o.AttendAll(g)
	require.False(t, o.Holds("kim", activitytest.Other))
}

// Between its planning and its writing, a verification's change may be overtaken by a grant.
func TestVerificationIsOvertakenByGrants(t *testing.T) {
	t.Parallel()
	t.Run("one that began keeps what was to be removed", func(t *testing.T) {
		t.Parallel()
		o := activitytest.WithGrants(t, activitytest.Lendable)
		o.Leave("eng", "carol")
		run, verdict := o.SweepAndJudge()
		require.Equal(t, 1, verdict.Open)
		g := o.Grant("carol", activitytest.Builders, time.Hour)
		o.AttendAll(g)
		require.Equal(t, access.Superseded, o.Write(run)["remove carol@example.com from group:builders"].State)
		require.Contains(t, o.Members("builders"), "carol")
		o.AdvanceToEnd(g)
		o.AttendAll(g)
		o.Advance(3 * time.Minute)
		o.VerifyEverybody()
		require.NotContains(t, o.Members("builders"), "carol")
	})
	t.Run("one that ended takes what was to be added", func(t *testing.T) {
		t.Parallel()
		o := activitytest.WithGrants(t, activitytest.Lendable)
		g := o.Grant("kim", activitytest.Other, time.Minute)
		run, verdict := o.SweepAndJudge()
		require.Equal(t, 1, verdict.Open)
		o.AdvanceToEnd(g)
		require.Equal(t, access.Superseded, o.Write(run)["add kim@example.com to group:other"].State)
		require.False(t, o.Holds("kim", activitytest.Other))
	})
}

func TestLostGrantIsRevokedWithoutItsPolicyEntry(t *testing.T) {
	t.Parallel()
	for name, back := range map[string]func(*activitytest.SimulatedOrg, access.Grant){
		"by its workflow":   func(o *activitytest.SimulatedOrg, g access.Grant) { o.Attend(g) },
		"by a verification": func(o *activitytest.SimulatedOrg, _ access.Grant) { o.Advance(3 * time.Minute); o.VerifyEverybody() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := activitytest.WithGrants(t, "protected: [{target: group:other, minimum: 1}]\n"+activitytest.Lendable)
			g := o.Grant("kim", activitytest.Other, time.Hour)
			o.AttendAll(g)
			o.Admit(activitytest.OpenGuard + "\nprotected: [{target: group:other, minimum: 1}]")
			o.VerifyEverybody()
			require.True(t, o.Holds("kim", activitytest.Other), "it runs")
			require.True(t, o.Held("kim", activitytest.Other).Owned)
			in := o.RequestOf("lea@example.com", activitytest.Other, time.Hour)
			o.RequireRefused(func() error {
				_, err := activitytest.Call[messages.GrantAnswer](o, o.Acts.Grants.RequestGrant, in)
				return err
			}, "no entry of the policy's grants")

			o.ByHand(http.MethodDelete, "other", "jo")
			o.AdvanceToEnd(g)
			back(o, g)
			require.True(t, o.Holds("kim", activitytest.Other), "the floor stands")
			o.ByHand(http.MethodPost, "other", "jo")
			back(o, g)
			require.Equal(t, "jo", o.Members("other"))
			o.AttendAll(g)
			require.False(t, o.StoredGrant(g).RevokedAt.IsZero())
		})
	}
}

func TestVerificationNoticesWhatIsGivenByHandAfterAGrant(t *testing.T) {
	t.Parallel()
	o := activitytest.WithGrants(t, activitytest.Lendable)
	g := o.Grant("kim", activitytest.Other, time.Hour)
	o.AttendAll(g)
	o.AdvanceToEnd(g)
	o.AttendAll(g)
	o.Advance(5 * time.Minute)
	o.ByHand(http.MethodPost, "other", "kim")
	verdict := o.Examine(o.NewRun(), "", o.AccountID("kim"))
	require.Len(t, verdict.Regiven, 1)
	require.Equal(t, g.ID, verdict.Regiven[0].Grant)
	require.Equal(t, messages.GrantID(activitytest.Org, g.Target, g.Key), verdict.Regiven[0].Workflow)
	require.True(t, o.Holds("kim", activitytest.Other))
	require.Empty(t, o.Examine(o.NewRun(), "", o.AccountID("kim")).Regiven, "it is said once")
}

func TestVerificationGoesOnWhereAGrantCannotBeWoken(t *testing.T) {
	t.Parallel()
	o, g := lost(t, "lost: remove")
	o.Temporal.Refuses = fmt.Errorf("it cannot be woken")
	o.Advance(2 * time.Minute)
	run, verdict := o.SweepAndJudge()
	require.Equal(t, 1, verdict.Counts.Removals)
	require.Contains(t, strings.Join(verdict.Findings, "\n"), "grant "+g.ID)
	require.Equal(t, access.Done, o.Write(run)[kimFromOther].State)
	require.False(t, o.Holds("kim", activitytest.Other))
}
