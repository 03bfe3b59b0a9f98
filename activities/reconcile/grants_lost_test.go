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

// lost is a world in which kim was given other by a grant that is over, and whose workflow is gone.
func lost(t *testing.T, more string) (*activitytest.SimulatedOrg, access.Grant) {
	t.Helper()
	w := activitytest.WithGrants(t,
		strings.Replace(activitytest.Lendable, "reason: false", "reason: false\n    "+more, 1))
	g := w.Grant("kim", activitytest.Other, time.Hour)
	w.Right(g)
	w.Until(g)
	return w, g
}

func TestAVerificationTakesBackWhatALostGrantLeft(t *testing.T) {
	t.Parallel()
	w, g := lost(t, "lost: remove")
	w.Pass(30 * time.Second)
	_, verdict := w.Planned()
	require.Zero(t, verdict.Counts.Removals, "its own workflow goes first")
	require.True(t, w.Held("kim", activitytest.Other).Owned)
	require.Len(t, w.Temporal.Woken, 2, "by the request alone")

	w.Pass(2 * time.Minute)
	run, verdict := w.Planned()
	require.Equal(t, 1, verdict.Counts.Removals)
	require.Zero(t, verdict.Counts.Held)
	require.Nil(t, verdict.Hold)
	require.Equal(t, access.Done, w.Write(run)[kimFromOther].State)
	require.False(t, w.Holds("kim", activitytest.Other))
	require.Nil(t, w.Held("kim", activitytest.Other))

	w.Pass(time.Minute)
	w.Full()
	require.Contains(t, w.Temporal.Woken[2:], messages.GrantID(activitytest.Org, g.Target, g.Key),
		"it has its people told, should it live")
	w.Right(g)
	require.False(t, w.Stored(g).RevokedAt.IsZero())
}

func TestWhatALostGrantLeftCanWaitForADecision(t *testing.T) {
	t.Parallel()
	w, g := lost(t, "lost: hold")
	w.Pass(2 * time.Minute)
	run, verdict := w.Planned()
	require.Equal(t, 1, verdict.Counts.Held)
	require.Equal(t, 1, verdict.Hold.Removals)
	require.Contains(t, verdict.Hold.Rules[0], "grants.lost is hold")
	require.Equal(t, []string{plan.RuleGrantLost}, w.Lines(run.Run)[kimFromOther].HeldBy)
	require.Empty(t, w.Write(run))
	require.True(t, w.Holds("kim", activitytest.Other))
	require.True(t, w.Stored(g).RevokedAt.IsZero())

	activitytest.Must[reconcile.DecideResult](w, w.Acts.Reconcile.Decide,
		reconcile.DecideInput{Org: activitytest.Org, Decision: "approve",
			DecisionInput: messages.DecisionInput{Plan: verdict.Hold.Plan, By: "carol"}})
	checked := activitytest.Must[reconcile.ConfirmResult](w, w.Acts.Reconcile.Confirm,
		apply.ConfirmInput{RunInput: run, Actions: []access.Action{access.Remove}, Fresh: true})
	require.Equal(t, 1, checked.Standing)
	require.Equal(t, access.Done, w.Write(run)[kimFromOther].State)
	require.False(t, w.Holds("kim", activitytest.Other))
}

func TestWhatALostGrantLeftCanBeReportedOnly(t *testing.T) {
	t.Parallel()
	w, g := lost(t, "lost: report")
	w.Pass(2*time.Minute + time.Second)
	run, verdict := w.Planned()
	require.Zero(t, verdict.Counts.Removals)
	require.Nil(t, verdict.Hold)
	require.Contains(t, strings.Join(verdict.Findings, "\n"), "kim@example.com still holds it by grant "+g.ID)
	require.Empty(t, w.Write(run))
	require.True(t, w.Held("kim", activitytest.Other).Owned, "it is not forgotten whose it is")
	w.Right(g) // its workflow was only late
	require.False(t, w.Holds("kim", activitytest.Other))
}

// What was lent is not lost: no limit on removals counts it, now or later.
func TestTheEndsOfGrantsCountAgainstNoLimit(t *testing.T) {
	t.Parallel()
	const many = 13
	file := activitytest.Crowded(many)
	w := activitytest.NewOf(t, file)
	w.Admit("guard: {adopt: auto, run: {removals: 10}, target: {removals: 5}, window: {removals: 10}}\n" +
		strings.ReplaceAll(activitytest.Lendable, "group:other", "group:helpers"))
	w.Full()
	w.Pass(time.Minute)
	var grants []access.Grant
	for _, name := range file.People[2:] {
		grants = append(grants, w.Grant(name, activitytest.Helpers, time.Hour))
	}
	for _, name := range file.People[:2] { // who have it by a mapping anyway
		grants = append(grants, w.Grant(name, access.OrgAdmin, time.Hour))
	}
	w.Right(grants...)
	w.Pass(time.Hour + 3*time.Minute)
	run, verdict := w.Planned()
	require.Equal(t, many-1, verdict.Counts.Removals, "the first is an administrator anyway")
	require.Zero(t, verdict.Counts.Held, "%+v", verdict.Hold)
	w.Write(run)
	w.Finish(run, messages.ScopeFull)
	require.Len(t, w.Group("helpers").Members, 2)

	w.Pass(time.Hour)
	w.Leave("eng", "p0012")
	_, verdict = w.Planned()
	require.Equal(t, 1, verdict.Counts.Removals)
	require.Zero(t, verdict.Counts.Held, "nor does the window of later runs: %+v", verdict.Hold)
}

func TestAVerificationKeepsWhatAGrantGives(t *testing.T) {
	t.Parallel()
	w := activitytest.WithGrants(t, activitytest.Lendable)
	g := w.Grant("kim", activitytest.Other, time.Hour)
	w.Right(g)
	w.Pass(10 * time.Minute)
	run, verdict := w.Planned()
	require.Zero(t, verdict.Counts.Adds+verdict.Counts.Removals)
	require.Empty(t, w.Lines(run.Run))
	require.Equal(t, []access.Reason{g.GrantReason()}, w.Held("kim", activitytest.Other).Reasons)
}

func TestAVerificationGivesWhatALostGrantShould(t *testing.T) {
	t.Parallel()
	w := activitytest.WithGrants(t, activitytest.Lendable)
	g := w.Grant("kim", activitytest.Other, time.Hour)
	run, verdict := w.Planned()
	require.Equal(t, 1, verdict.Counts.Adds)
	require.Equal(t, access.Done, w.Write(run)["add kim@example.com to group:other"].State)
	require.Zero(t, w.Right(g).Plan.Open, "and it is not given twice")
	require.False(t, w.Stored(g).ProvisionedAt.IsZero())
	w.Until(g)
	w.Right(g)
	require.False(t, w.Holds("kim", activitytest.Other))
}

// Between its planning and its writing, a verification's change may be overtaken by a grant.
func TestAVerificationIsOvertakenByGrants(t *testing.T) {
	t.Parallel()
	t.Run("one that began keeps what was to be removed", func(t *testing.T) {
		t.Parallel()
		w := activitytest.WithGrants(t, activitytest.Lendable)
		w.Leave("eng", "carol")
		run, verdict := w.Planned()
		require.Equal(t, 1, verdict.Open)
		g := w.Grant("carol", activitytest.Builders, time.Hour)
		w.Right(g)
		require.Equal(t, access.Superseded, w.Write(run)["remove carol@example.com from group:builders"].State)
		require.Contains(t, w.Members("builders"), "carol")
		w.Until(g)
		w.Right(g)
		w.Pass(3 * time.Minute)
		w.Full()
		require.NotContains(t, w.Members("builders"), "carol")
	})
	t.Run("one that ended takes what was to be added", func(t *testing.T) {
		t.Parallel()
		w := activitytest.WithGrants(t, activitytest.Lendable)
		g := w.Grant("kim", activitytest.Other, time.Minute)
		run, verdict := w.Planned()
		require.Equal(t, 1, verdict.Open)
		w.Until(g)
		require.Equal(t, access.Superseded, w.Write(run)["add kim@example.com to group:other"].State)
		require.False(t, w.Holds("kim", activitytest.Other))
	})
}

func TestAPolicyThatForgetsAGrantStillTakesItBack(t *testing.T) {
	t.Parallel()
	for name, back := range map[string]func(*activitytest.SimulatedOrg, access.Grant){
		"by its workflow":   func(w *activitytest.SimulatedOrg, g access.Grant) { w.Attend(g) },
		"by a verification": func(w *activitytest.SimulatedOrg, _ access.Grant) { w.Pass(3 * time.Minute); w.Full() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := activitytest.WithGrants(t, "protected: [{target: group:other, minimum: 1}]\n"+activitytest.Lendable)
			g := w.Grant("kim", activitytest.Other, time.Hour)
			w.Right(g)
			w.Admit(activitytest.OpenGuard + "\nprotected: [{target: group:other, minimum: 1}]")
			w.Full()
			require.True(t, w.Holds("kim", activitytest.Other), "it runs")
			require.True(t, w.Held("kim", activitytest.Other).Owned)
			in := w.RequestOf("lea@example.com", activitytest.Other, time.Hour)
			w.Refuses(func() error {
				_, err := activitytest.Call[messages.GrantAnswer](w, w.Acts.Grants.RequestGrant, in)
				return err
			}, "no entry of the policy's grants")

			w.ByHand(http.MethodDelete, "other", "jo")
			w.Until(g)
			back(w, g)
			require.True(t, w.Holds("kim", activitytest.Other), "the floor stands")
			w.ByHand(http.MethodPost, "other", "jo")
			back(w, g)
			require.Equal(t, "jo", w.Members("other"))
			w.Right(g)
			require.False(t, w.Stored(g).RevokedAt.IsZero())
		})
	}
}

func TestWhatIsGivenByHandAfterAGrantIsNoticed(t *testing.T) {
	t.Parallel()
	w := activitytest.WithGrants(t, activitytest.Lendable)
	g := w.Grant("kim", activitytest.Other, time.Hour)
	w.Right(g)
	w.Until(g)
	w.Right(g)
	w.Pass(5 * time.Minute)
	w.ByHand(http.MethodPost, "other", "kim")
	verdict := w.Examine(w.NewRun(), "", w.Id("kim"))
	require.Len(t, verdict.Regiven, 1)
	require.Equal(t, g.ID, verdict.Regiven[0].Grant)
	require.Equal(t, messages.GrantID(activitytest.Org, g.Target, g.Key), verdict.Regiven[0].Workflow)
	require.True(t, w.Holds("kim", activitytest.Other))
	require.Empty(t, w.Examine(w.NewRun(), "", w.Id("kim")).Regiven, "it is said once")
}

func TestVerificationGoesOnWhereAGrantCannotBeWoken(t *testing.T) {
	t.Parallel()
	w, g := lost(t, "lost: remove")
	w.Temporal.Refuses = fmt.Errorf("it cannot be woken")
	w.Pass(2 * time.Minute)
	run, verdict := w.Planned()
	require.Equal(t, 1, verdict.Counts.Removals)
	require.Contains(t, strings.Join(verdict.Findings, "\n"), "grant "+g.ID)
	require.Equal(t, access.Done, w.Write(run)[kimFromOther].State)
	require.False(t, w.Holds("kim", activitytest.Other))
}
