package activities_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/plan"
)

const kimFromOther = "remove kim@example.com from group:other"

// lost is a world in which kim was given other by a grant that is over, and whose workflow is gone.
func lost(t *testing.T, more string) (*world, access.Grant) {
	t.Helper()
	w := lending(t, strings.Replace(lendable, "reason: false", "reason: false\n    "+more, 1))
	g := w.grant("kim", other, time.Hour)
	w.right(g)
	w.until(g)
	return w, g
}

func TestAVerificationTakesBackWhatALostGrantLeft(t *testing.T) {
	t.Parallel()
	w, g := lost(t, "lost: remove")
	w.pass(30 * time.Second)
	_, verdict := w.planned()
	require.Zero(t, verdict.Counts.Removals, "its own workflow goes first")
	require.True(t, w.held("kim", other).Owned)
	require.Len(t, w.temporal.woken, 1)

	w.pass(2 * time.Minute)
	run, verdict := w.planned()
	require.Equal(t, 1, verdict.Counts.Removals)
	require.Zero(t, verdict.Counts.Held)
	require.Nil(t, verdict.Hold)
	require.Equal(t, access.Done, w.write(run)[kimFromOther].State)
	require.False(t, w.holds("kim", other))
	require.Nil(t, w.held("kim", other))

	w.pass(time.Minute)
	w.full()
	require.Contains(t, w.temporal.woken[1:], messages.GrantID(org, g.Target, g.Key), "it has its people told, should it live")
	w.right(g)
	require.False(t, w.stored(g).Taken.IsZero())
}

func TestWhatALostGrantLeftCanWaitForADecision(t *testing.T) {
	t.Parallel()
	w, g := lost(t, "lost: hold")
	w.pass(2 * time.Minute)
	run, verdict := w.planned()
	require.Equal(t, 1, verdict.Counts.Held)
	require.Equal(t, 1, verdict.Hold.Removals)
	require.Contains(t, verdict.Hold.Rules[0], "grants.lost is hold")
	require.Equal(t, []string{plan.RuleGrantLost}, w.lines(run.Run)[kimFromOther].HeldBy)
	require.Empty(t, w.write(run))
	require.True(t, w.holds("kim", other))
	require.True(t, w.stored(g).Taken.IsZero())

	must[activities.DecideResult](w, w.acts.Decide, activities.DecideInput{Org: org, Decision: "approve", DecisionInput: messages.DecisionInput{Plan: verdict.Hold.Plan, By: "carol"}})
	checked := must[activities.ConfirmResult](w, w.acts.Confirm, activities.ConfirmInput{RunInput: run, Actions: []access.Action{access.Remove}, Fresh: true})
	require.Equal(t, 1, checked.Standing)
	require.Equal(t, access.Done, w.write(run)[kimFromOther].State)
	require.False(t, w.holds("kim", other))
}

func TestWhatALostGrantLeftCanBeReportedOnly(t *testing.T) {
	t.Parallel()
	w, g := lost(t, "lost: report")
	w.pass(2*time.Minute + time.Second)
	run, verdict := w.planned()
	require.Zero(t, verdict.Counts.Removals)
	require.Nil(t, verdict.Hold)
	require.Contains(t, strings.Join(verdict.Findings, "\n"), "kim@example.com still holds it by grant "+g.ID)
	require.Empty(t, w.write(run))
	require.True(t, w.held("kim", other).Owned, "it is not forgotten whose it is")
	w.right(g) // its workflow was only late
	require.False(t, w.holds("kim", other))
}

// What was lent is not lost: no limit on removals counts it, now or later.
func TestTheEndsOfGrantsCountAgainstNoLimit(t *testing.T) {
	t.Parallel()
	const many = 13
	file := crowded(many)
	w := newWorldOf(t, file)
	w.admit("guard: {adopt: auto, run: {removals: 10}, target: {removals: 5}, window: {removals: 10}}\n" + strings.ReplaceAll(lendable, "group:other", "group:helpers"))
	w.full()
	w.pass(time.Minute)
	var grants []access.Grant
	for _, name := range file.People[2:] {
		grants = append(grants, w.grant(name, helpers, time.Hour))
	}
	for _, name := range file.People[:2] { // who have it by a mapping anyway
		grants = append(grants, w.grant(name, access.OrgAdmin, time.Hour))
	}
	w.right(grants...)
	w.pass(time.Hour + 3*time.Minute)
	run, verdict := w.planned()
	require.Equal(t, many-1, verdict.Counts.Removals, "the first is an administrator anyway")
	require.Zero(t, verdict.Counts.Held, "%+v", verdict.Hold)
	w.write(run)
	w.finish(run, messages.ScopeFull)
	require.Len(t, w.group("helpers").Members, 2)

	w.pass(time.Hour)
	w.leave("eng", "p0012")
	_, verdict = w.planned()
	require.Equal(t, 1, verdict.Counts.Removals)
	require.Zero(t, verdict.Counts.Held, "nor does the window of later runs: %+v", verdict.Hold)
}

func TestAVerificationKeepsWhatAGrantGives(t *testing.T) {
	t.Parallel()
	w := lending(t, lendable)
	g := w.grant("kim", other, time.Hour)
	w.right(g)
	w.pass(10 * time.Minute)
	run, verdict := w.planned()
	require.Zero(t, verdict.Counts.Adds+verdict.Counts.Removals)
	require.Empty(t, w.lines(run.Run))
	require.Equal(t, []access.Reason{g.GrantReason()}, w.held("kim", other).Reasons)
}

func TestAVerificationGivesWhatALostGrantShould(t *testing.T) {
	t.Parallel()
	w := lending(t, lendable)
	g := w.grant("kim", other, time.Hour)
	run, verdict := w.planned()
	require.Equal(t, 1, verdict.Counts.Adds)
	require.Equal(t, access.Done, w.write(run)["add kim@example.com to group:other"].State)
	require.Zero(t, w.right(g).plan.Open, "and it is not given twice")
	require.False(t, w.stored(g).Given.IsZero())
	w.until(g)
	w.right(g)
	require.False(t, w.holds("kim", other))
}

// Between its planning and its writing, a verification's change may be overtaken by a grant.
func TestAVerificationIsOvertakenByGrants(t *testing.T) {
	t.Parallel()
	t.Run("one that began keeps what was to be removed", func(t *testing.T) {
		t.Parallel()
		w := lending(t, lendable)
		w.leave("eng", "carol")
		run, verdict := w.planned()
		require.Equal(t, 1, verdict.Open)
		g := w.grant("carol", builders, time.Hour)
		w.right(g)
		require.Equal(t, access.Superseded, w.write(run)["remove carol@example.com from group:builders"].State)
		require.Contains(t, w.members("builders"), "carol")
		w.until(g)
		w.right(g)
		w.pass(3 * time.Minute)
		w.full()
		require.NotContains(t, w.members("builders"), "carol")
	})
	t.Run("one that ended takes what was to be added", func(t *testing.T) {
		t.Parallel()
		w := lending(t, lendable)
		g := w.grant("kim", other, time.Minute)
		run, verdict := w.planned()
		require.Equal(t, 1, verdict.Open)
		w.until(g)
		require.Equal(t, access.Superseded, w.write(run)["add kim@example.com to group:other"].State)
		require.False(t, w.holds("kim", other))
	})
}

func TestAPolicyThatForgetsAGrantStillTakesItBack(t *testing.T) {
	t.Parallel()
	for name, back := range map[string]func(*world, access.Grant){
		"by its workflow":   func(w *world, g access.Grant) { w.attend(g) },
		"by a verification": func(w *world, _ access.Grant) { w.pass(3 * time.Minute); w.full() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := lending(t, "protected: [{target: group:other, minimum: 1}]\n"+lendable)
			g := w.grant("kim", other, time.Hour)
			w.right(g)
			w.admit(open + "\nprotected: [{target: group:other, minimum: 1}]")
			w.full()
			require.True(t, w.holds("kim", other), "it runs")
			require.True(t, w.held("kim", other).Owned)
			in := w.requestOf("lea@example.com", other, time.Hour)
			w.refuses(func() error { _, err := call[messages.GrantAnswer](w, w.acts.RequestGrant, in); return err }, "no entry of the policy's grants")

			w.byHand(http.MethodDelete, "other", "jo")
			w.until(g)
			back(w, g)
			require.True(t, w.holds("kim", other), "the floor stands")
			w.byHand(http.MethodPost, "other", "jo")
			back(w, g)
			require.Equal(t, "jo", w.members("other"))
			w.right(g)
			require.False(t, w.stored(g).Taken.IsZero())
		})
	}
}

func TestWhatIsGivenByHandAfterAGrantIsNoticed(t *testing.T) {
	t.Parallel()
	w := lending(t, lendable)
	g := w.grant("kim", other, time.Hour)
	w.right(g)
	w.until(g)
	w.right(g)
	w.pass(5 * time.Minute)
	w.byHand(http.MethodPost, "other", "kim")
	verdict := w.examine(w.newRun(), "", w.id("kim"))
	require.Len(t, verdict.Regiven, 1)
	require.Equal(t, g.ID, verdict.Regiven[0].Grant)
	require.Equal(t, messages.GrantID(org, g.Target, g.Key), verdict.Regiven[0].Workflow)
	require.True(t, w.holds("kim", other))
	require.Empty(t, w.examine(w.newRun(), "", w.id("kim")).Regiven, "it is said once")
}
