package reconcile_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/activities/apply"
	"github.com/castellan-io/castellan/activities/grants"
	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/messages"
)

// restoring lets the same be granted, and gives back what is taken by hand.
var restoring = strings.Replace(activitytest.Lendable, "reason: false", "reason: false\n    handTaken: restore", 1)

// taken are ways to take by hand what a grant gave.
var taken = map[access.Entitlement]func(*activitytest.SimulatedOrg){
	access.OrgAdmin:       func(w *activitytest.SimulatedOrg) { w.Set("ivo", map[string]any{"orgAdmin": false}) },
	activitytest.Builders: func(w *activitytest.SimulatedOrg) { w.ByHand(http.MethodDelete, "builders", "ivo") },
	access.Directory:      func(w *activitytest.SimulatedOrg) { w.Set("ivo", map[string]any{"suspended": true}) },
	activitytest.Jira:     func(w *activitytest.SimulatedOrg) { w.RevokeRole("ivo") },
}

// lent is a world in which ivo holds the target by a grant, as was seen an hour ago.
func lent(t *testing.T, policy string, target access.Entitlement) (*activitytest.SimulatedOrg, access.Grant) {
	t.Helper()
	w := activitytest.WithGrants(t, policy)
	if target == access.Directory {
		w.Set("ivo", map[string]any{"suspended": true})
	}
	g := w.Grant("ivo", target, 8*time.Hour)
	w.Right(g)
	w.Verified()
	w.Pass(time.Hour)
	require.True(t, w.Has(target))
	require.NotNil(t, w.Held("ivo", target))
	return w, g
}

func TestCloseEndedEndsAGrantTakenByHand(t *testing.T) {
	t.Parallel()
	for target, take := range taken {
		for name, notice := range map[string]func(*activitytest.SimulatedOrg){
			"by events":                        func(w *activitytest.SimulatedOrg) { w.Twice(w.Id("ivo")) },
			"by a verification after downtime": func(w *activitytest.SimulatedOrg) { w.Verified() },
		} {
			t.Run(string(target)+" "+name, func(t *testing.T) {
				w, g := lent(t, activitytest.Lendable, target)
				take(w)
				w.Temporal.Woken = nil
				notice(w)
				over := w.Stored(g)
				require.Equal(t, access.GrantEnded, over.State)
				require.True(t, over.HandTaken)
				require.Contains(t, over.ClosedWhy, "taken by hand")
				require.Equal(t, []string{messages.GrantID(activitytest.Org, target, g.Key)}, w.Temporal.Woken)
				require.Nil(t, w.Held("ivo", target))
				require.False(t, w.Has(target))
				w.Right(over)
				w.Twice(w.Id("ivo"))
				results, _ := w.Verified()
				require.Empty(t, results)
				require.False(t, w.Has(target), "what was taken stays taken")
			})
		}
	}
}

func TestTellTellsOfAGrantTakenByHand(t *testing.T) {
	t.Parallel()
	w, g := lent(t, activitytest.Lendable, access.OrgAdmin)
	taken[access.OrgAdmin](w)
	verdict := w.Twice(w.Id("ivo"))
	require.Len(t, verdict.Regiven, 1)
	require.True(t, verdict.Regiven[0].Told, "by the grant's own workflow")
	_, err := w.Direct(func(a *activities.Activities) any { return a.Grants.Tell },
		grants.TellInput{Org: activitytest.Org, Workflow: "w", Kind: grants.NoticeHandTaken, Grant: g.ID})
	require.NoError(t, err)
	var to []string
	for _, n := range w.Notifier.Notices {
		if n.Kind == grants.NoticeHandTaken {
			to = append(to, n.To)
			require.Contains(t, n.Text, "taken by hand")
		}
	}
	require.Equal(t, []string{"", "ivo@example.com", "bo@example.com"}, to, "watchers, holder, asker")
}

func TestHandTakenRestoreGivesItBack(t *testing.T) {
	t.Parallel()
	for target, take := range taken {
		for name, notice := range map[string]func(*activitytest.SimulatedOrg) reconcile.JudgeResult{
			"by events": func(w *activitytest.SimulatedOrg) reconcile.JudgeResult {
				run := w.NewRun()
				verdict := w.Examine(run, "", w.Id("ivo"))
				w.Write(run)
				return verdict
			},
			"by a verification": func(w *activitytest.SimulatedOrg) reconcile.JudgeResult {
				run, verdict := w.Planned()
				w.Write(run)
				return verdict
			},
		} {
			t.Run(string(target)+" "+name, func(t *testing.T) {
				w, g := lent(t, restoring, target)
				take(w)
				verdict := notice(w)
				require.True(t, w.Has(target))
				require.Equal(t, access.GrantGranted, w.Stored(g).State)
				if name == "by events" {
					require.Len(t, verdict.Regiven, 1)
					require.Equal(t, apply.NoticeRestored, verdict.Regiven[0].Kind)
				} else {
					require.Contains(t, strings.Join(verdict.Findings, "\n"), "grant-restored "+string(target))
				}
			})
		}
	}
}

func TestHandTakenRestoreAsksWhetherThePersonMayStillHoldIt(t *testing.T) {
	t.Parallel()
	w, _ := lent(t, strings.Replace(restoring, "    reason: false",
		"    eligible: 'in(\"support\") || !in(\"unused\")'\n    reason: false", 1), access.OrgAdmin)
	taken[access.OrgAdmin](w)
	w.Join("unused", "ivo")
	run := w.NewRun()
	w.Examine(run, "", w.Id("ivo"))
	require.Equal(t, map[string]access.ChangeState{"add ivo@example.com to role:org-admin": access.Refused},
		activitytest.States(w.Write(run)))
	require.False(t, w.Has(access.OrgAdmin))
}

// A role takes up to half a minute to be seen: a read that lags behind our own write is nobody's hand.
func TestCloseEndedWaitsForReadsThatLag(t *testing.T) {
	t.Parallel()
	w := activitytest.WithGrants(t, activitytest.Lendable)
	g := w.Grant("ivo", access.OrgAdmin, 8*time.Hour)
	w.Right(g)
	taken[access.OrgAdmin](w)
	verdict := w.Twice(w.Id("ivo"))
	require.Equal(t, access.GrantGranted, w.Stored(g).State)
	require.False(t, w.Has(access.OrgAdmin), "nor is it given back")
	for range 8 {
		if w.Pass(10 * time.Second); len(verdict.Settling) > 0 {
			verdict = w.Examine(w.NewRun(), "run-001", verdict.Settling...)
		} else {
			verdict = w.Twice(w.Id("ivo"))
		}
	}
	require.True(t, w.Stored(g).HandTaken)
}

// An extension was consented to before somebody took it.
func TestCloseEndedEndsTheExtensionsToo(t *testing.T) {
	t.Parallel()
	w, g := lent(t, activitytest.Lendable, access.OrgAdmin)
	extension := activitytest.Must[messages.GrantAnswer](w, w.Acts.Grants.ExtendGrant,
		grants.ExtendGrantInput{Org: activitytest.Org, Target: access.OrgAdmin, Key: g.Key,
			ExtendInput: messages.ExtendInput{
				Duration: access.Duration(8 * time.Hour), RequestedBy: "bo@example.com", RequestID: "more",
			}}).Grants[0]
	require.Equal(t, g.ID, extension.Renews)
	taken[access.OrgAdmin](w)
	w.Twice(w.Id("ivo"))
	require.True(t, w.Stored(g).HandTaken)
	require.Equal(t, access.GrantEnded, w.Stored(extension).State)
	w.Until(g)
	w.Pass(8 * time.Hour)
	w.Right(g)
	w.Verified()
	require.False(t, w.Has(access.OrgAdmin))
}

// An extension begins when what its forerunner gave was taken by hand, and nobody has looked yet.
func TestAnExtensionGivesNothingBackThatWasTakenByHand(t *testing.T) {
	t.Parallel()
	for target, take := range taken {
		for name, notice := range map[string]func(*activitytest.SimulatedOrg, access.Grant){
			"when it begins":    func(w *activitytest.SimulatedOrg, extension access.Grant) { w.Attend(extension) },
			"by a look":         func(w *activitytest.SimulatedOrg, _ access.Grant) { w.Written(w.Id("ivo")) },
			"by a verification": func(w *activitytest.SimulatedOrg, _ access.Grant) { w.Verified() },
		} {
			t.Run(string(target)+" "+name, func(t *testing.T) {
				w, g := lent(t, activitytest.Lendable, target)
				extension := activitytest.Must[messages.GrantAnswer](w, w.Acts.Grants.ExtendGrant,
					grants.ExtendGrantInput{Org: activitytest.Org, Target: target, Key: g.Key,
						ExtendInput: messages.ExtendInput{
							Duration: access.Duration(8 * time.Hour), RequestedBy: "bo@example.com", RequestID: "more",
						}}).Grants[0]
				w.Until(g)
				w.Pass(-30 * time.Second)
				take(w)
				w.Until(g)
				w.Pass(time.Second)
				notice(w, extension)
				require.False(t, w.Has(target))
				require.True(t, w.Stored(extension).HandTaken)
				require.Equal(t, access.GrantEnded, w.Stored(extension).State)
				w.Pass(time.Minute)
				w.Right(w.Stored(extension))
				w.Written(w.Id("ivo"))
				w.Verified()
				require.False(t, w.Has(target), "what was taken stays taken")
			})
		}
	}
}

// What Castellan itself took is not taken by hand, and what a mapping gives as well is not the grant's.
func TestDecideTellsHandsFromRules(t *testing.T) {
	t.Parallel()
	guard := strings.Replace(activitytest.OpenGuard, "adopt: auto", "adopt: auto, rules: auto", 1)
	w, g := lent(t, activitytest.Lendable, activitytest.Builders)
	w.Admit(guard + activitytest.Lendable +
		"\nrules:\n  - {name: no, when: 'in(\"unused\")', deny: ['group:builders'], mode: enforce, owner: ana@example.com}\n")
	w.Verified()
	w.Join("unused", "ivo")
	w.Verified()
	require.False(t, w.Has(activitytest.Builders))
	w.Leave("unused", "ivo")
	w.Verified()
	require.True(t, w.Has(activitytest.Builders), "the rule took it, and lets it be given again")
	require.Equal(t, access.GrantGranted, w.Stored(g).State)

	w.Join("eng", "ivo")
	w.Verified()
	taken[activitytest.Builders](w)
	w.Verified()
	require.True(t, w.Has(activitytest.Builders), "a mapping gives it")
	require.Equal(t, access.GrantGranted, w.Stored(g).State)
}

// Whoever left the organization comes back without what a grant gave.
func TestCloseEndedEndsTheGrantsOfWhoLeft(t *testing.T) {
	t.Parallel()
	w, g := lent(t, activitytest.Lendable, access.OrgAdmin)
	w.Set("ivo", map[string]any{"remove": true})
	w.Verified()
	require.True(t, w.Stored(g).HandTaken)
	w.Invite("ivo")
	w.Pass(time.Minute)
	w.Twice(w.Id("ivo"))
	w.Verified()
	require.False(t, w.Has(access.OrgAdmin))
}

// A rule that restores whom a rule suspended is no reason to give back what somebody else took.
func TestCloseEndedEndsAGrantOfPresenceThoughARuleWouldRestore(t *testing.T) {
	t.Parallel()
	w, g := lent(t, activitytest.Lendable, access.Directory)
	w.Admit(strings.Replace(activitytest.OpenGuard, "adopt: auto", "adopt: auto, rules: auto", 1) +
		activitytest.Lendable + "\nrules:\n  - {name: back, when: '!in(\"unused\")', restore: true, mode: enforce}\n")
	w.Verified()
	require.Len(t, w.Held("ivo", access.Directory).Reasons, 2)
	taken[access.Directory](w)
	w.Twice(w.Id("ivo"))
	require.False(t, w.Has(access.Directory))
	require.True(t, w.Stored(g).HandTaken)
	w.Twice(w.Id("ivo"))
	w.Verified()
	require.False(t, w.Has(access.Directory), "nobody gives it back")
}

// A short grant that is asked for before anybody looked does not undo for a long one what was taken by hand.
func TestApplyEndsTheEarlierGrantThatWasTaken(t *testing.T) {
	t.Parallel()
	for target, take := range taken {
		t.Run(string(target), func(t *testing.T) {
			w, long := lent(t, activitytest.Lendable, target)
			take(w)
			w.Temporal.Woken = nil
			short := w.Grant("ivo", target, time.Minute)
			require.NotEqual(t, long.ID, short.ID)
			w.Right(short)
			require.True(t, w.Has(target), "the new grant gives it")
			require.True(t, w.Stored(long).HandTaken)
			require.Equal(t, access.GrantGranted, w.Stored(short).State)
			w.Twice(w.Id("ivo"))
			w.Verified()
			require.True(t, w.Has(target))
			w.Until(short)
			w.Right(short)
			require.False(t, w.Has(target), "and takes it back")
			w.Pass(time.Minute)
			w.Twice(w.Id("ivo"))
			w.Verified()
			require.False(t, w.Has(target))
		})
	}
}

// Two grants at once are both held where nobody took anything.
func TestApplyKeepsTheEarlierGrantThatNobodyTook(t *testing.T) {
	t.Parallel()
	for target := range taken {
		w, long := lent(t, activitytest.Lendable, target)
		short := w.Grant("ivo", target, time.Minute)
		w.Right(short)
		w.Until(short)
		w.Right(short)
		require.True(t, w.Has(target))
		require.Equal(t, access.GrantGranted, w.Stored(long).State)
	}
}
