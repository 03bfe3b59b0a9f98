package workflows_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities/provisioning"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/activities/sources"
	"github.com/castellan-io/castellan/messages"
)

// sourceLoop is a loop whose policy has the source hr and the provision staff. read plays each read of the source, by
// its number, beginning with 1; after the last one nothing happens any more.
type sourceLoop struct {
	*loop
	reads   []sources.WatchInput
	accepts []sources.AcceptInput
}

func newSourceLoop(t *testing.T, read ...func() (sources.WatchResult, error)) *sourceLoop {
	t.Helper()
	s := &sourceLoop{}
	s.loop = newLoop(t, func(l *loop) {
		l.env.RegisterActivityWithOptions(func(_ context.Context, in sources.WatchInput) (sources.WatchResult,
			error) {
			l.mu.Lock()
			defer l.mu.Unlock()
			s.reads = append(s.reads, in)
			if n := len(s.reads); n <= len(read) {
				return read[n-1]()
			}
			return sources.WatchResult{}, errors.New("cancelled") // only a test that reads too often comes here
		}, activity.RegisterOptions{Name: "WatchSource"})
		l.env.RegisterActivityWithOptions(func(_ context.Context, in sources.AcceptInput) (bool, error) {
			s.accepts = append(s.accepts, in)
			return true, nil
		}, activity.RegisterOptions{Name: "AcceptSource"})
		l.env.RegisterActivityWithOptions(func(_ context.Context, in sources.DecideConflictInput) (string, error) {
			if in.Conflict == "sha256:old" {
				return "", session.NonRetryable(session.ErrNotOpen, errors.New("the difference has changed"))
			}
			return "web", nil
		}, activity.RegisterOptions{Name: "DecideConflict"})
		l.env.RegisterActivityWithOptions(func(_ context.Context, in provisioning.FindIdentitiesInput) ([]string,
			error) {
			if in.Provision != "staff" {
				return nil, errors.New("the loop asks for the people of " + in.Provision)
			}
			return []string{"hr:7"}, nil
		}, activity.RegisterOptions{Name: "FindIdentities"})
	})
	s.admit = func(in reconcile.AdmitInput) (reconcile.AdmitResult, error) {
		result := inForce(in, true)
		result.Settings.Sources = []messages.SourceSetting{{Name: "hr"}}
		result.Settings.Provisions = []messages.ProvisionSetting{{Name: "staff", From: []string{"hr"}}}
		return result, nil
	}
	s.run = func(_ workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
		sum := ended(in)
		sum.Provision = in.Scope.Provision
		if sum.Provision != "" {
			sum.States = []messages.StateCount{{State: "linked", Count: 7}}
		}
		return sum, nil
	}
	return s
}

func wasRead(people ...string) func() (sources.WatchResult, error) {
	return func() (sources.WatchResult, error) {
		return sources.WatchResult{Source: messages.SourceStatus{Name: "hr", Read: begin, People: 7}, People: people}, nil
	}
}

// TestOrgSyncReadsSourcesFirst: the first verification waits for the sources, so that its plan is whole, and
// provisioning waits for the verification, which shows the accounts.
func TestOrgSyncReadsSourcesFirst(t *testing.T) {
	l := newSourceLoop(t, wasRead(), wasRead("p1"))
	l.at(time.Second, func() {
		state := l.status()
		require.Equal(t, "hr", state.Sources[0].Name)
		require.Equal(t, 7, state.Sources[0].People)
		require.Contains(t, l.page(), "hr: 7 people")
		require.Contains(t, l.page(), "staff: 7 linked")
	})
	l.start(2 * time.Second)
	require.True(t, l.reads[0].Once)
	require.False(t, l.reads[1].Once)
	require.Equal(t, messages.ScopeFull, l.runs[0].Scope.Kind)
	require.Equal(t, "staff", l.runs[1].Scope.Provision)
	require.Equal(t, []string{"p1"}, l.examines[0].Scope.People)
}

// TestOrgSyncGoesOnWithoutASource: a source that cannot be read is told, and keeps nothing else from going on.
func TestOrgSyncGoesOnWithoutASource(t *testing.T) {
	l := newSourceLoop(t, func() (sources.WatchResult, error) {
		return sources.WatchResult{Source: messages.SourceStatus{Name: "hr", Problem: "no route to host",
			Failing: begin}}, nil
	})
	l.at(time.Second, func() {
		require.NotNil(t, l.status().LastFull)
		require.Contains(t, l.page(), "no route to host")
		require.Contains(t, l.page(), "nobody counts as gone")
	})
	l.start(2 * time.Second)
}

// TestOrgSyncSyncNowReadsAFailingSource: what could not be read is read at once when somebody asks for a verification,
// rather than after its pause. A source that can be read keeps its interval.
func TestOrgSyncSyncNowReadsAFailingSource(t *testing.T) {
	failing := func() (sources.WatchResult, error) {
		return sources.WatchResult{Source: messages.SourceStatus{Name: "hr", Problem: "no such file", Failing: begin}}, nil
	}
	for name, c := range map[string]struct {
		read func() (sources.WatchResult, error)
		once int
	}{"failing": {failing, 2}, "read": {wasRead(), 1}} {
		t.Run(name, func(t *testing.T) {
			l := newSourceLoop(t, c.read, c.read)
			done := l.updateAt(2*time.Second, messages.SyncNow, messages.SyncNowInput{By: "ana"})
			l.start(3 * time.Second)
			contains(t, done.message(t), "a full verification starts")
			once := slices.DeleteFunc(slices.Clone(l.reads), func(in sources.WatchInput) bool { return !in.Once })
			require.Len(t, once, c.once)
		})
	}
}

// TestOrgSyncReadsASourceAtOnceAfterAnActivityThatDied: what was wrong with it is not said for longer than it is so,
// though a source that posts may say nothing for days.
func TestOrgSyncReadsASourceAtOnceAfterAnActivityThatDied(t *testing.T) {
	posts := func() (sources.WatchResult, error) {
		return sources.WatchResult{Source: messages.SourceStatus{Name: "hr", Posts: true, Posted: begin}}, nil
	}
	died := func() (sources.WatchResult, error) { return sources.WatchResult{}, fatal("Timeout", "no heartbeat") }
	l := newSourceLoop(t, posts, died, posts)
	l.start(time.Minute)
	require.Equal(t, []bool{true, false, true}, []bool{l.reads[0].Once, l.reads[1].Once, l.reads[2].Once})
	require.False(t, l.reads[3].Once, "once is enough")
}

// TestOrgSyncListsSourcesByState: the workflow list finds organizations by the states of their sources.
func TestOrgSyncListsSourcesByState(t *testing.T) {
	for want, is := range map[string]messages.SourceStatus{
		"hr:ok":         {Name: "hr", Read: begin, People: 7},
		"hr:suspect":    {Name: "hr", Read: begin, Suspect: "it shrank"},
		"hr:failing":    {Name: "hr", Read: begin, Suspect: "it shrank", Problem: "no route to host", Failing: begin},
		"hr:never-read": {Name: "hr"},
	} {
		l := newSourceLoop(t, func() (sources.WatchResult, error) { return sources.WatchResult{Source: is}, nil },
			func() (sources.WatchResult, error) { return sources.WatchResult{Source: is}, nil })
		l.start(2 * time.Second)
		expected := slices.Compact([]string{"hr:never-read", want})
		require.Equal(t, expected, l.sourceStates[:len(expected)], "only changes are written")
	}
	l := newLoop(t)
	l.start(2 * time.Second)
	require.Empty(t, l.sourceStates, "an organization without sources says nothing of them")
}

// TestOrgSyncAcceptsASuspectRead: somebody accepts what a read lacks; the source is read again at once.
func TestOrgSyncAcceptsASuspectRead(t *testing.T) {
	suspect := func() (sources.WatchResult, error) {
		return sources.WatchResult{Source: messages.SourceStatus{Name: "hr", Read: begin, Suspect: "it shrank"}}, nil
	}
	l := newSourceLoop(t, suspect)
	refused := l.updateAt(time.Second, messages.AcceptSource, messages.AcceptSourceInput{Source: "payroll", By: "ana"})
	done := l.updateAt(2*time.Second, messages.AcceptSource, messages.AcceptSourceInput{Source: "hr", By: "ana"})
	l.start(5 * time.Second)
	require.ErrorContains(t, refused.rejected, "no source payroll")
	require.NoError(t, done.err)
	require.NoError(t, done.rejected)
	require.Equal(t, "hr", l.accepts[0].Source)
}

// TestOrgSyncDecidesConflictsOfGroups: an accepted conflict has everybody verified; a rejected one nobody; what cannot
// be decided is refused, with the reason.
func TestOrgSyncDecidesConflictsOfGroups(t *testing.T) {
	l := newSourceLoop(t, wasRead())
	runs := func() (full int) {
		for _, run := range l.runs {
			if run.Scope.Kind == messages.ScopeFull {
				full++
			}
		}
		return full
	}
	in := func(hash, by string) messages.ConflictInput { return messages.ConflictInput{Conflict: hash, By: by} }
	var before, rejected, accepted int
	nobody := l.updateAt(2*time.Second, messages.AcceptConflict, in("sha256:1", ""))
	nothing := l.updateAt(2*time.Second, messages.RejectConflict, in("web", "ana"))
	old := l.updateAt(3*time.Second, messages.AcceptConflict, in("sha256:old", "ana"))
	l.at(4*time.Second, func() { before = runs() })
	no := l.updateAt(5*time.Second, messages.RejectConflict, in("sha256:1", "ana"))
	l.at(9*time.Second, func() { rejected = runs() })
	yes := l.updateAt(10*time.Second, messages.AcceptConflict, in("sha256:1", "ana"))
	l.at(20*time.Second, func() { accepted = runs() })
	l.start(25 * time.Second)
	require.ErrorContains(t, nobody.rejected, "say who decides")
	require.ErrorContains(t, nothing.rejected, "give the hash of the difference")
	require.ErrorContains(t, old.err, "the difference has changed")
	contains(t, no.message(t), "web stays as it is")
	require.Equal(t, before, rejected)
	contains(t, yes.message(t), "a full verification starts now")
	require.Equal(t, before+1, accepted)
}

// TestOrgSyncAcceptsWhatWasSeen: accept-source may leave out what the read lacks as long as that stayed what it was
// when the source became suspect.
func TestOrgSyncAcceptsWhatWasSeen(t *testing.T) {
	lacks := func(what string) func() (sources.WatchResult, error) {
		return func() (sources.WatchResult, error) {
			return sources.WatchResult{Source: messages.SourceStatus{Name: "hr", Read: begin, Suspect: "it shrank",
				Lacks: what}}, nil
		}
	}
	type reads = []func() (sources.WatchResult, error)
	for name, c := range map[string]struct {
		reads   reads
		names   string
		accepts string // "": it is refused
	}{
		"the same, not named": {reads{lacks("1"), lacks("1")}, "", "1"},
		"other, not named":    {reads{lacks("1"), lacks("2"), lacks("2")}, "", ""},
		"other, named":        {reads{lacks("1"), lacks("2")}, "2", "2"},
		"believed, then not":  {reads{lacks("1"), wasRead(), lacks("2")}, "", "2"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newSourceLoop(t, c.reads...)
			done := l.updateAt(2*time.Second, messages.AcceptSource,
				messages.AcceptSourceInput{Source: "hr", By: "ana", Lacks: c.names})
			l.start(5 * time.Second)
			if c.accepts == "" {
				require.ErrorContains(t, done.rejected, `then send "lacks": "2"`)
				require.Empty(t, l.accepts)
				return
			}
			require.NoError(t, done.rejected)
			require.Equal(t, c.accepts, l.accepts[0].Lacks)
		})
	}
}

// TestOrgSyncKeepsTryingAProvision: what is wrong with a provision is told, and keeps nothing else from going on; what
// somebody approved of it is tried again as well, more and more rarely.
func TestOrgSyncKeepsTryingAProvision(t *testing.T) {
	l := newSourceLoop(t, wasRead())
	l.run = func(_ workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
		sum := ended(in)
		if sum.Provision = in.Scope.Provision; sum.Provision != "" {
			sum.State, sum.Problem = messages.RunStopped, &messages.Problem{Kind: "KeyRefused", Message: "401"}
		}
		return sum, nil
	}
	l.decide = func(in reconcile.DecideInput) (reconcile.DecideResult, error) {
		return reconcile.DecideResult{Hold: messages.Hold{Plan: in.Plan, Run: "held-run", Provision: "staff"}}, nil
	}
	l.standing.Identity = &messages.Hold{Plan: "sha256:1", Run: "held-run", Provision: "staff"}
	l.at(20*time.Second, func() {
		state := l.status()
		require.Nil(t, state.Problem)
		require.Equal(t, "KeyRefused", state.Provisions[0].Problem.Kind)
		require.Contains(t, l.page(), "KeyRefused")
	})
	l.start(10 * time.Minute)
	runs := 0
	for _, in := range l.runs {
		if in.Scope.Provision != "" {
			runs++
		}
	}
	require.GreaterOrEqual(t, runs, 3)
	require.LessOrEqual(t, runs, 12)
}

// TestOrgSyncFinishesAProvision: changes that a run left are tried again soon, with growing pauses, and no more once
// none is left.
func TestOrgSyncFinishesAProvision(t *testing.T) {
	for name, left := range map[string]messages.Counts{"failed": {Failed: 1}, "superseded": {Superseded: 1}} {
		t.Run(name, func(t *testing.T) {
			l := newSourceLoop(t, wasRead())
			runs := 0
			l.run = func(_ workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
				sum := ended(in)
				if sum.Provision = in.Scope.Provision; sum.Provision != "" {
					if runs++; runs <= 2 {
						sum.Counts = left
					}
				}
				return sum, nil
			}
			l.at(10*time.Second, func() { require.Contains(t, l.page(), "Unfinished") })
			l.at(9*time.Minute, func() { require.Nil(t, l.status().Provisions[0].Unfinished) })
			l.start(10 * time.Minute)
			require.Equal(t, 3, runs)
		})
	}
}

// TestOrgSyncFollowsAProvision: people whose records were written are decided again, if that may alter what they hold.
func TestOrgSyncFollowsAProvision(t *testing.T) {
	for due, want := range map[int]int{0: 0, 1: 1} {
		l := newSourceLoop(t, wasRead())
		l.run = func(_ workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
			sum := ended(in)
			if sum.Provision = in.Scope.Provision; sum.Provision != "" {
				sum.Due = due
			}
			return sum, nil
		}
		l.start(10 * time.Minute)
		require.Len(t, l.examines, want)
		for _, in := range l.examines {
			require.Len(t, in.After, 1)
		}
	}
}

// TestOrgSyncRemembersWhatASourceTold: each watch begins after the last change that the loop was told of, even if a
// read failed in between; and a problem does not hide that a read is suspect.
func TestOrgSyncRemembersWhatASourceTold(t *testing.T) {
	l := newSourceLoop(t, func() (sources.WatchResult, error) {
		return sources.WatchResult{Source: messages.SourceStatus{Name: "hr", Read: begin, Change: 7, Suspect: "it shrank"}}, nil
	}, func() (sources.WatchResult, error) { return sources.WatchResult{}, errors.New("the worker is gone") })
	l.at(10*time.Second, func() { require.Equal(t, "it shrank", l.status().Sources[0].Suspect) })
	l.start(time.Minute)
	require.Zero(t, l.reads[0].After)
	for _, in := range l.reads[1:] {
		require.EqualValues(t, 7, in.After)
	}
	require.Greater(t, len(l.reads), 2)
}

// TestOrgSyncTriesAnApprovedPlanOfRecordsNowAndThen: a problem of a provision is its own. What was approved of it stays
// approved and is tried again later and later, and the organization goes on.
func TestOrgSyncTriesAnApprovedPlanOfRecordsNowAndThen(t *testing.T) {
	l := newSourceLoop(t, wasRead())
	l.decide = func(in reconcile.DecideInput) (reconcile.DecideResult, error) {
		return reconcile.DecideResult{Hold: messages.Hold{Plan: in.Plan, Run: "held-run", Adds: 3, Provision: "staff"}}, nil
	}
	l.run = func(_ workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
		sum := ended(in)
		if sum.Provision = in.Scope.Provision; sum.Provision != "" {
			sum.State, sum.Problem = messages.RunStopped, &messages.Problem{Kind: "KeyRefused", Message: "the key is refused"}
		}
		return sum, nil
	}
	approved := l.updateAt(time.Minute, messages.ApprovePlan, messages.DecisionInput{Plan: held, By: "carol"})
	l.at(20*time.Minute, func() {
		require.Nil(t, l.status().Problem, "the organization goes on")
		require.Contains(t, l.page(), "the key is refused")
	})
	l.startWith(heldRecords(), 21*time.Minute)
	contains(t, approved.message(t), "3 additions")
	tries := 0
	for _, run := range l.runs {
		if run.Scope.Kind == messages.ScopeHold {
			tries++
		}
	}
	require.Greater(t, tries, 1, "what was approved stays approved")
	require.Less(t, tries, 12)
}

// scopes are what the runs were about, in order.
func (s *sourceLoop) scopes() (kinds []string) {
	for _, in := range s.runs {
		kinds = append(kinds, in.Scope.Kind)
	}
	return kinds
}

// heldRecords is a loop that has seen everybody, with a plan of records that is held.
func heldRecords() messages.OrgSyncInput {
	return messages.OrgSyncInput{State: &messages.OrgSyncState{Org: org, Policy: "in force", Adopted: true,
		Settings: messages.Settings{Every: settings.Every,
			Sources:    []messages.SourceSetting{{Name: "hr"}},
			Provisions: []messages.ProvisionSetting{{Name: "staff", From: []string{"hr"}}}},
		LastFull: &messages.RunSummary{}, NextFull: begin.Add(6 * time.Hour),
		Sources:      []messages.SourceStatus{{Name: "hr", Read: begin}},
		IdentityHold: &messages.Hold{Plan: held, Run: "held-run", Provision: "staff"}}}
}

// TestOrgSyncLooksAgainAfterADecisionOnRecords: what came up while a plan of records was held waited for the decision.
func TestOrgSyncLooksAgainAfterADecisionOnRecords(t *testing.T) {
	for decision, want := range map[string][]string{
		messages.ApprovePlan: {messages.ScopeHold, messages.ScopeProvision},
		messages.RejectPlan:  {messages.ScopeProvision},
	} {
		l := newSourceLoop(t, wasRead())
		l.decide = func(in reconcile.DecideInput) (reconcile.DecideResult, error) {
			return reconcile.DecideResult{Hold: messages.Hold{Plan: in.Plan, Run: "held-run", Provision: "staff"}}, nil
		}
		l.updateAt(time.Minute, decision, messages.DecisionInput{Plan: held, By: "carol"})
		l.startWith(heldRecords(), 2*time.Minute)
		require.Equal(t, want, l.scopes())
		require.Empty(t, l.runs[len(l.runs)-1].Scope.Identities, "everybody")
	}
}

// TestOrgSyncWritesApprovedRecordsFirst: after a problem, what was approved is written before anybody is looked at anew
// and held again.
func TestOrgSyncWritesApprovedRecordsFirst(t *testing.T) {
	l := newSourceLoop(t, wasRead())
	l.decide = func(in reconcile.DecideInput) (reconcile.DecideResult, error) {
		return reconcile.DecideResult{Hold: messages.Hold{Plan: in.Plan, Run: "held-run", Provision: "staff"}}, nil
	}
	l.run = func(_ workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
		sum := ended(in)
		if sum.Provision = in.Scope.Provision; len(l.runs) == 1 {
			sum.State, sum.Problem = messages.RunStopped, &messages.Problem{Kind: "Forbidden", Message: "403"}
		}
		return sum, nil
	}
	l.updateAt(time.Minute, messages.ApprovePlan, messages.DecisionInput{Plan: held, By: "carol"})
	l.startWith(heldRecords(), 5*time.Minute)
	require.Equal(t, []string{messages.ScopeHold, messages.ScopeHold, messages.ScopeProvision}, l.scopes())
}
