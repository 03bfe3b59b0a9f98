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
	o, cursor := activitytest.NewWatched(t)
	o.Admit(activitytest.AutoAdopt)
	o.VerifyEverybody()
	o.Advance(time.Minute)
	cursor = o.Watch(cursor).Cursor
	o.DeleteSource("eng")
	o.Advance(time.Minute)
	seen := o.Watch(cursor)
	verdict := o.LookAt(seen)
	require.Equal(t, "source groups changed as a whole: eng", verdict.Full)
	require.True(t, verdict.Quiet())
	require.Nil(t, verdict.Hold, "a part of what the group gave is no plan to decide on")

	// Before everybody was looked at, an event about one of them opens no hold of its own.
	one := o.Examine(o.NewRun(), "", o.AccountID("carol"))
	require.NotEmpty(t, one.Full)
	require.Nil(t, one.Hold)

	run, whole := o.SweepAndJudge()
	require.Equal(t, 6, whole.Hold.Removals, "everybody whom the group gave something")
	o.Finish(run, messages.ScopeFull)
	o.Advance(time.Minute)

	// From then on the hold is whole, and a look at one of them keeps it so.
	one = o.Examine(o.NewRun(), "", o.AccountID("carol"))
	require.Empty(t, one.Full)
	require.Equal(t, 6, one.Hold.Removals)
}

func TestExamineLeavesAnEmptiedSourceToAFullVerification(t *testing.T) {
	t.Parallel()
	file := activitytest.PeopleInEng(40)
	o := activitytest.NewOf(t, file)
	o.Admit(activitytest.AutoAdopt)
	o.VerifyEverybody()
	o.VerifyEverybody()
	o.Leave("eng", file.People[:30]...)
	verdict := activitytest.Must[reconcile.JudgeResult](o, o.Acts.Reconcile.Examine,
		reconcile.ExamineInput{RunInput: o.NewRun(), Trigger: "events", Scope: messages.Scope{
			Kind: messages.ScopePeople, People: []string{o.AccountID(file.People[0])}, Recount: []string{o.Group("eng").ID},
		}})
	require.NotEmpty(t, verdict.Full)
	require.Nil(t, verdict.Hold)
	_, whole := o.SweepAndJudge()
	require.Equal(t, 30, whole.Hold.Removals)
}

func TestJudgeTakesASourceMadeAnewForTheSame(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	o.Admit(activitytest.AutoAdopt)
	o.VerifyEverybody()
	o.DeleteSource("eng")
	run, gone := o.SweepAndJudge()
	require.Equal(t, 6, gone.Hold.Removals)
	o.Finish(run, messages.ScopeFull)

	o.CreateSource("eng", "ana", "bo", "carol", "dan", "eve", "kim")
	look := activitytest.Must[reconcile.JudgeResult](o, o.Acts.Reconcile.Examine, reconcile.ExamineInput{
		RunInput: o.NewRun(), Trigger: "events", Fresh: true,
		Scope: messages.Scope{Kind: messages.ScopeGroups, Groups: []string{o.Group("eng").ID}},
	})
	require.NotEmpty(t, look.Full)
	run, back := o.SweepAndJudge()
	require.Nil(t, back.Hold)
	recreated := "source-recreated eng: source group eng was deleted and created again with another id; it has 6 members, and had 6: it is treated as the same group"
	require.Contains(t, back.Findings, recreated)
	o.Finish(run, messages.ScopeFull)
	o.Advance(time.Minute)

	o.Leave("eng", "carol")
	run, left := o.SweepAndJudge()
	require.Contains(t, left.Findings, recreated, "it is shown for a day, and not until the next run alone")
	require.Contains(t, o.Examine(o.NewRun(), "", o.AccountID("dan")).Findings, recreated)
	require.Zero(t, left.Suspects)
	require.Nil(t, left.Hold)
	require.Equal(t, map[string]access.ChangeState{"remove carol@example.com from group:builders": access.Done},
		activitytest.States(o.Write(run)))
	o.Advance(24 * time.Hour)
	_, later := o.SweepAndJudge()
	require.NotContains(t, later.Findings, recreated)
}

func TestJudgeDoubtsASourceMadeAnewWithFewerMembers(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	o.Admit(activitytest.AutoAdopt)
	o.VerifyEverybody()
	o.DeleteSource("eng")
	o.CreateSource("eng", "ana", "bo", "carol", "dan")
	for range 2 {
		run, verdict := o.SweepAndJudge()
		require.Equal(t, 2, verdict.Hold.Removals)
		require.Contains(t, verdict.Hold.Rules[0], "2 of the 6 people it had are missing")
		o.Finish(run, messages.ScopeFull)
	}
	o.Join("eng", "eve", "kim")
	_, verdict := o.SweepAndJudge()
	require.Nil(t, verdict.Hold)
	require.Zero(t, verdict.Suspects)
}

// An organization whose feed says nothing of groups: what came, went or changed its name is found all the same.
func TestWatchComparesTheGroupsWhereTheFeedIsSilent(t *testing.T) {
	t.Parallel()
	o, cursor := activitytest.NewWatched(t)
	o.Configure(func(s *cloud.Settings) { s.EventLag = cloud.Duration(100 * time.Hour) })
	o.Advance(9 * time.Minute)
	o.DeleteSource("support")
	o.ByHand(http.MethodDelete, "other", "jo")
	o.Advance(time.Minute)
	silent := reconcile.WatchInput{Org: activitytest.Org, Policy: o.Policy, Cursor: cursor,
		Every: messages.Duration(time.Second), Once: true}
	seen := activitytest.Must[reconcile.WatchResult](o, o.Acts.Reconcile.Watch, silent)
	require.Equal(t, []string{o.DeletedGroup("support")}, seen.Groups)
	require.True(t, seen.Fresh)
	require.Equal(t, "source groups changed as a whole: support", o.LookAt(seen).Full)
	cursor = seen.Cursor
	o.Advance(10 * time.Minute)
	require.Empty(t, activitytest.Must[reconcile.WatchResult](o, o.Acts.Reconcile.Watch, silent).Groups,
		"it is told once")
	require.Equal(t, map[string]int{"events.stream": 1}, o.Calls(func() { o.Watch(cursor) }),
		"and costs nothing in between")
}

// Where the identity provider is disconnected, its groups become the organization's own: they are no sources any more.
func TestWatchFindsGroupsThatAreNoLongerSynced(t *testing.T) {
	t.Parallel()
	o, cursor := activitytest.NewWatched(t)
	o.Admit(activitytest.AutoAdopt)
	o.VerifyEverybody()
	o.Advance(time.Hour)
	cursor = o.Watch(cursor).Cursor
	o.Advance(10 * time.Minute)
	o.Send(http.MethodPost, "/_sim/scim/disconnect", map[string]any{})
	seen := o.Watch(cursor)
	require.Contains(t, seen.Groups, o.Group("eng").ID)
	require.Equal(t, "source groups changed as a whole: eng, support", o.LookAt(seen).Full)
	_, verdict := o.SweepAndJudge()
	require.Equal(t, 2, verdict.Suspects)
	require.Zero(t, verdict.Open)
}

// Somebody whom the policy names is renamed, which is no event: the watch finds it all the same, and what is noticed
// says so.
func TestWatchFindsWhomThePolicyNamesByAnotherAddress(t *testing.T) {
	t.Parallel()
	for name, feed := range map[string]bool{"by the feed": true, "by counts": false} {
		t.Run(name, func(t *testing.T) {
			o, cursor := activitytest.NewWatched(t)
			o.Admit(activitytest.OpenGuard + activitytest.Guarded)
			o.VerifyEverybody()
			o.Advance(time.Hour)
			o.Configure(func(s *cloud.Settings) { s.Guard = feed })
			o.Watch(cursor)
			o.Rename("dan", "dan.lee@example.com")
			o.Advance(time.Minute)
			require.Empty(t, o.Watch(cursor).People, "it is not looked for at every poll")
			o.Advance(10 * time.Minute)
			seen := o.Watch(cursor)
			require.Equal(t, []string{o.AccountID("dan")}, seen.People)
			require.True(t, seen.Fresh)
			require.Contains(t, activitytest.Joined(o.LookAt(seen).Findings),
				"name-changed dan@example.com: has the address dan.lee@example.com now")
			o.Advance(10 * time.Minute)
			require.Empty(t, o.Watch(seen.Cursor).People, "it is told once")
		})
	}
}

// What only a look at everybody can tell stays noticed while a few people are looked at.
func TestExamineRepeatsWhatTheLastFullVerificationAloneCouldTell(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	o.Admit(activitytest.OpenGuard + "\nprotected: [{target: 'group:builders', minimum: 1, maximum: 2}]")
	run, _ := o.VerifyEverybody()
	few := activitytest.Must[reconcile.JudgeResult](o, o.Acts.Reconcile.Examine, reconcile.ExamineInput{
		RunInput: o.NewRun(), Trigger: "events",
		Scope: messages.Scope{Kind: messages.ScopePeople, People: []string{o.AccountID("carol")}}, Full: run.Run,
	})
	require.Contains(t, activitytest.Joined(few.Findings), "too-many-holders group:builders")
	require.NotContains(t, activitytest.Joined(o.Examine(o.NewRun(), "", o.AccountID("carol")).Findings), "too-many-holders",
		"it cannot tell by itself")
}

// Its members are counted by no sweep, since it gives nothing; so no sweep speaks against it.
func TestJudgeReportsASourceWhoseTargetCannotBeMadeAndDoesNotDoubtIt(t *testing.T) {
	t.Parallel()
	o := activitytest.New(t)
	o.CreateSource("squad-a ", "ana")
	o.CreateSource("squad-b", "bo")
	text := strings.Replace(o.PolicyText(activitytest.AutoAdopt), "ignore:",
		"  - {name: squads, from: ['squad-*'], to: ['group:crew-*'], create: true}\nignore:", 1)
	o.Policy = activitytest.Must[reconcile.AdmitResult](o, o.Acts.Reconcile.Admit, o.AdmitIn(text)).Policy
	o.VerifyEverybody()
	for range 2 {
		run, verdict := o.SweepAndJudge()
		require.Contains(t, strings.Join(verdict.Findings, "\n"), "target-name group:crew-a ")
		require.NotContains(t, strings.Join(verdict.Findings, "\n"), "source-suspect")
		require.Zero(t, verdict.Suspects)
		require.False(t, verdict.Doubtful)
		o.Finish(run, messages.ScopeFull)
	}
}
