package reconcile_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

func TestExamineLeavesADeletedSourceToAFullVerification(t *testing.T) {
	t.Parallel()
	w, cursor := activitytest.Watched(t)
	w.Admit(activitytest.AutoAdopt)
	w.Full()
	w.Pass(time.Minute)
	cursor = w.Watch(cursor).Cursor
	w.DeleteSource("eng")
	w.Pass(time.Minute)
	seen := w.Watch(cursor)
	verdict := w.Glance(seen)
	require.Equal(t, "source groups changed as a whole: eng", verdict.Full)
	require.True(t, verdict.Quiet())
	require.Nil(t, verdict.Hold, "a part of what the group gave is no plan to decide on")

	// Before everybody was looked at, an event about one of them opens no hold of its own.
	one := w.Examine(w.NewRun(), "", w.Id("carol"))
	require.NotEmpty(t, one.Full)
	require.Nil(t, one.Hold)

	run, whole := w.Planned()
	require.Equal(t, 6, whole.Hold.Removals, "everybody whom the group gave something")
	w.Finish(run, messages.ScopeFull)
	w.Pass(time.Minute)

	// From then on the hold is whole, and a look at one of them keeps it so.
	one = w.Examine(w.NewRun(), "", w.Id("carol"))
	require.Empty(t, one.Full)
	require.Equal(t, 6, one.Hold.Removals)
}

func TestExamineLeavesAnEmptiedSourceToAFullVerification(t *testing.T) {
	t.Parallel()
	file := activitytest.Crowded(40)
	w := activitytest.NewOf(t, file)
	w.Admit(activitytest.AutoAdopt)
	w.Full()
	w.Full()
	w.Leave("eng", file.People[:30]...)
	verdict := activitytest.Must[reconcile.JudgeResult](w, w.Acts.Reconcile.Examine,
		reconcile.ExamineInput{RunInput: w.NewRun(), Trigger: "events", Scope: messages.Scope{
			Kind: messages.ScopePeople, People: []string{w.Id(file.People[0])}, Recount: []string{w.Group("eng").ID},
		}})
	require.NotEmpty(t, verdict.Full)
	require.Nil(t, verdict.Hold)
	_, whole := w.Planned()
	require.Equal(t, 30, whole.Hold.Removals)
}

func TestJudgeTakesASourceMadeAnewForTheSame(t *testing.T) {
	t.Parallel()
	w := activitytest.InStep(t)
	w.Admit(activitytest.AutoAdopt)
	w.Full()
	w.DeleteSource("eng")
	run, gone := w.Planned()
	require.Equal(t, 6, gone.Hold.Removals)
	w.Finish(run, messages.ScopeFull)

	w.CreateSource("eng", "ana", "bo", "carol", "dan", "eve", "kim")
	look := activitytest.Must[reconcile.JudgeResult](w, w.Acts.Reconcile.Examine, reconcile.ExamineInput{
		RunInput: w.NewRun(), Trigger: "events", Fresh: true,
		Scope: messages.Scope{Kind: messages.ScopeGroups, Groups: []string{w.Group("eng").ID}},
	})
	require.NotEmpty(t, look.Full)
	run, back := w.Planned()
	require.Nil(t, back.Hold)
	recreated := "source-recreated eng: source group eng was deleted and made anew under another id, with 6 members where it had 6: it is taken for the same group"
	require.Contains(t, back.Findings, recreated)
	w.Finish(run, messages.ScopeFull)
	w.Pass(time.Minute)

	w.Leave("eng", "carol")
	run, left := w.Planned()
	require.Contains(t, left.Findings, recreated, "it is shown for a day, and not until the next run alone")
	require.Contains(t, w.Examine(w.NewRun(), "", w.Id("dan")).Findings, recreated)
	require.Zero(t, left.Suspects)
	require.Nil(t, left.Hold)
	require.Equal(t, map[string]access.ChangeState{"remove carol@example.com from group:builders": access.Done},
		activitytest.States(w.Write(run)))
	w.Pass(24 * time.Hour)
	_, later := w.Planned()
	require.NotContains(t, later.Findings, recreated)
}

func TestJudgeDoubtsASourceMadeAnewWithFewerMembers(t *testing.T) {
	t.Parallel()
	w := activitytest.InStep(t)
	w.Admit(activitytest.AutoAdopt)
	w.Full()
	w.DeleteSource("eng")
	w.CreateSource("eng", "ana", "bo", "carol", "dan")
	for range 2 {
		run, verdict := w.Planned()
		require.Equal(t, 2, verdict.Hold.Removals)
		require.Contains(t, verdict.Hold.Rules[0], "lacks 2 of the 6 people it had")
		w.Finish(run, messages.ScopeFull)
	}
	w.Join("eng", "eve", "kim")
	_, verdict := w.Planned()
	require.Nil(t, verdict.Hold)
	require.Zero(t, verdict.Suspects)
}

// An organization whose feed says nothing of groups: what came, went or changed its name is found all the same.
func TestWatchComparesTheGroupsWhereTheFeedIsSilent(t *testing.T) {
	t.Parallel()
	w, cursor := activitytest.Watched(t)
	w.Configure(func(s *cloud.Settings) { s.EventLag = cloud.Duration(100 * time.Hour) })
	w.Pass(9 * time.Minute)
	w.DeleteSource("support")
	w.ByHand(http.MethodDelete, "other", "jo")
	w.Pass(time.Minute)
	silent := reconcile.WatchInput{Org: activitytest.Org, Policy: w.Policy, Cursor: cursor,
		Every: messages.Duration(time.Second), Once: true}
	seen := activitytest.Must[reconcile.WatchResult](w, w.Acts.Reconcile.Watch, silent)
	require.Equal(t, []string{w.Deleted("support")}, seen.Groups)
	require.True(t, seen.Fresh)
	require.Equal(t, "source groups changed as a whole: support", w.Glance(seen).Full)
	cursor = seen.Cursor
	w.Pass(10 * time.Minute)
	require.Empty(t, activitytest.Must[reconcile.WatchResult](w, w.Acts.Reconcile.Watch, silent).Groups,
		"it is told once")
	require.Equal(t, map[string]int{"events.stream": 1}, w.Calls(func() { w.Watch(cursor) }),
		"and costs nothing in between")
}

// Where the identity provider is disconnected, its groups become the organization's own: they are no sources any more.
func TestWatchFindsGroupsThatAreNoLongerSynced(t *testing.T) {
	t.Parallel()
	w, cursor := activitytest.Watched(t)
	w.Admit(activitytest.AutoAdopt)
	w.Full()
	w.Pass(time.Hour)
	cursor = w.Watch(cursor).Cursor
	w.Pass(10 * time.Minute)
	w.Send(http.MethodPost, "/_sim/scim/disconnect", map[string]any{})
	seen := w.Watch(cursor)
	require.Contains(t, seen.Groups, w.Group("eng").ID)
	require.Equal(t, "source groups changed as a whole: eng, support", w.Glance(seen).Full)
	_, verdict := w.Planned()
	require.Equal(t, 2, verdict.Suspects)
	require.Zero(t, verdict.Open)
}

// Somebody whom the policy names is renamed, which is no event: the watch finds it all the same, and what is noticed
// says so.
func TestWatchFindsWhomThePolicyNamesByAnotherAddress(t *testing.T) {
	t.Parallel()
	for name, feed := range map[string]bool{"by the feed": true, "by counts": false} {
		t.Run(name, func(t *testing.T) {
			w, cursor := activitytest.Watched(t)
			w.Admit(activitytest.OpenGuard + activitytest.Guarded)
			w.Full()
			w.Pass(time.Hour)
			w.Configure(func(s *cloud.Settings) { s.Guard = feed })
			w.Watch(cursor)
			w.Rename("dan", "dan.lee@example.com")
			w.Pass(time.Minute)
			require.Empty(t, w.Watch(cursor).People, "it is not looked for at every poll")
			w.Pass(10 * time.Minute)
			seen := w.Watch(cursor)
			require.Equal(t, []string{w.Id("dan")}, seen.People)
			require.True(t, seen.Fresh)
			require.Contains(t, activitytest.Joined(w.Glance(seen).Findings),
				"name-changed dan@example.com: is now dan.lee@example.com")
			w.Pass(10 * time.Minute)
			require.Empty(t, w.Watch(seen.Cursor).People, "it is told once")
		})
	}
}

// What only a look at everybody can tell stays noticed while a few people are looked at.
func TestExamineRepeatsWhatTheLastFullVerificationAloneCouldTell(t *testing.T) {
	t.Parallel()
	w := activitytest.InStep(t)
	w.Admit(activitytest.OpenGuard + "\nprotected: [{target: 'group:builders', minimum: 1, maximum: 2}]")
	run, _ := w.Full()
	few := activitytest.Must[reconcile.JudgeResult](w, w.Acts.Reconcile.Examine, reconcile.ExamineInput{
		RunInput: w.NewRun(), Trigger: "events",
		Scope: messages.Scope{Kind: messages.ScopePeople, People: []string{w.Id("carol")}}, Full: run.Run,
	})
	require.Contains(t, activitytest.Joined(few.Findings), "too-many-holders group:builders")
	require.NotContains(t, activitytest.Joined(w.Examine(w.NewRun(), "", w.Id("carol")).Findings), "too-many-holders",
		"it cannot tell by itself")
}

// Its members are counted by no sweep, since it gives nothing; so no sweep speaks against it.
func TestJudgeReportsASourceWhoseTargetCannotBeMadeAndDoesNotDoubtIt(t *testing.T) {
	t.Parallel()
	w := activitytest.New(t)
	w.CreateSource("squad-a ", "ana")
	w.CreateSource("squad-b", "bo")
	text := strings.Replace(w.Text(activitytest.AutoAdopt), "ignore:",
		"  - {name: squads, from: ['squad-*'], to: ['group:crew-*'], create: true}\nignore:", 1)
	w.Policy = activitytest.Must[reconcile.AdmitResult](w, w.Acts.Reconcile.Admit, w.AdmitIn(text)).Policy
	w.Full()
	for range 2 {
		run, verdict := w.Planned()
		require.Contains(t, strings.Join(verdict.Findings, "\n"), "target-name group:crew-a ")
		require.NotContains(t, strings.Join(verdict.Findings, "\n"), "source-suspect")
		require.Zero(t, verdict.Suspects)
		require.False(t, verdict.Doubtful)
		w.Finish(run, messages.ScopeFull)
	}
}
