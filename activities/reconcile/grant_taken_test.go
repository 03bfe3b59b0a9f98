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
	access.OrgAdmin:       func(o *activitytest.SimulatedOrg) { o.ChangePerson("ivo", map[string]any{"orgAdmin": false}) },
	activitytest.Builders: func(o *activitytest.SimulatedOrg) { o.ByHand(http.MethodDelete, "builders", "ivo") },
	access.Directory:      func(o *activitytest.SimulatedOrg) { o.ChangePerson("ivo", map[string]any{"suspended": true}) },
	activitytest.Jira:     func(o *activitytest.SimulatedOrg) { o.RevokeRole("ivo") },
}

// lent is a simulated organization in which ivo holds the target by a grant, as was seen an hour ago.
func lent(t *testing.T, policy string, target access.Entitlement) (*activitytest.SimulatedOrg, access.Grant) {
	t.Helper()
	o := activitytest.WithGrants(t, policy)
	if target == access.Directory {
		o.ChangePerson("ivo", map[string]any{"suspended": true})
	}
	g := o.Grant("ivo", target, 8*time.Hour)
	o.AttendAll(g)
	o.VerifyFully()
	o.Advance(time.Hour)
	require.True(t, o.Has(target))
	require.NotNil(t, o.Held("ivo", target))
	return o, g
}

func TestCloseEndedEndsAGrantTakenByHand(t *testing.T) {
	t.Parallel()
	for target, take := range taken {
		for name, notice := range map[string]func(*activitytest.SimulatedOrg){
			"by events":                        func(o *activitytest.SimulatedOrg) { o.LookTwice(o.AccountID("ivo")) },
			"by a verification after downtime": func(o *activitytest.SimulatedOrg) { o.VerifyFully() },
		} {
			t.Run(string(target)+" "+name, func(t *testing.T) {
				o, g := lent(t, activitytest.Lendable, target)
				take(o)
				o.Temporal.Woken = nil
				notice(o)
				over := o.StoredGrant(g)
				require.Equal(t, access.GrantEnded, over.State)
				require.True(t, over.RemovedByHand)
				require.Contains(t, over.ClosedWhy, "taken by hand")
				require.Equal(t, []string{messages.GrantID(activitytest.Org, target, g.Key)}, o.Temporal.Woken)
				require.Nil(t, o.Held("ivo", target))
				require.False(t, o.Has(target))
				o.AttendAll(over)
				o.LookTwice(o.AccountID("ivo"))
				results, _ := o.VerifyFully()
				require.Empty(t, results)
				require.False(t, o.Has(target), "what was taken stays taken")
			})
		}
	}
}

func TestTellTellsOfAGrantTakenByHand(t *testing.T) {
	t.Parallel()
	o, g := lent(t, activitytest.Lendable, access.OrgAdmin)
	taken[access.OrgAdmin](o)
	verdict := o.LookTwice(o.AccountID("ivo"))
	require.Len(t, verdict.Regiven, 1)
	require.True(t, verdict.Regiven[0].Told, "by the grant's own workflow")
	_, err := o.CallInOwnEnv(func(a *activities.Activities) any { return a.Grants.Tell },
		grants.TellInput{Org: activitytest.Org, Workflow: "w", Kind: grants.NoticeHandTaken, Grant: g.ID})
	require.NoError(t, err)
	var to []string
	for _, n := range o.Notifier.Notices {
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
			"by events": func(o *activitytest.SimulatedOrg) reconcile.JudgeResult {
				run := o.NewRun()
				verdict := o.Examine(run, "", o.AccountID("ivo"))
				o.Write(run)
				return verdict
			},
			"by a verification": func(o *activitytest.SimulatedOrg) reconcile.JudgeResult {
				run, verdict := o.SweepAndJudge()
				o.Write(run)
				return verdict
			},
		} {
			t.Run(string(target)+" "+name, func(t *testing.T) {
				o, g := lent(t, restoring, target)
				take(o)
				verdict := notice(o)
				require.True(t, o.Has(target))
				require.Equal(t, access.GrantGranted, o.StoredGrant(g).State)
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
	o, _ := lent(t, strings.Replace(restoring, "    reason: false",
		"    eligible: 'in(\"support\") || !in(\"unused\")'\n    reason: false", 1), access.OrgAdmin)
	taken[access.OrgAdmin](o)
	o.Join("unused", "ivo")
	run := o.NewRun()
	o.Examine(run, "", o.AccountID("ivo"))
	require.Equal(t, map[string]access.ChangeState{"add ivo@example.com to role:org-admin": access.Refused},
		activitytest.States(o.Write(run)))
	require.False(t, o.Has(access.OrgAdmin))
}

// A role takes up to half a minute to be seen: a read that lags behind our own write is nobody's hand.
func TestCloseEndedWaitsForReadsThatLag(t *testing.T) {
	t.Parallel()
	o := activitytest.WithGrants(t, activitytest.Lendable)
	g := o.Grant("ivo", access.OrgAdmin, 8*time.Hour)
	o.AttendAll(g)
	taken[access.OrgAdmin](o)
	verdict := o.LookTwice(o.AccountID("ivo"))
	require.Equal(t, access.GrantGranted, o.StoredGrant(g).State)
	require.False(t, o.Has(access.OrgAdmin), "nor is it given back")
	for range 8 {
		if o.Advance(10 * time.Second); len(verdict.Settling) > 0 {
			verdict = o.Examine(o.NewRun(), "run-001", verdict.Settling...)
		} else {
			verdict = o.LookTwice(o.AccountID("ivo"))
		}
	}
	require.True(t, o.StoredGrant(g).RemovedByHand)
}

// An extension was consented to before somebody took it.
func TestCloseEndedEndsTheExtensionsToo(t *testing.T) {
	t.Parallel()
	o, g := lent(t, activitytest.Lendable, access.OrgAdmin)
	extension := activitytest.Must[messages.GrantAnswer](o, o.Acts.Grants.ExtendGrant,
		grants.ExtendGrantInput{Org: activitytest.Org, Target: access.OrgAdmin, Key: g.Key,
			ExtendInput: messages.ExtendInput{
				Duration: access.Duration(8 * time.Hour), RequestedBy: "bo@example.com", RequestID: "more",
			}}).Grants[0]
	require.Equal(t, g.ID, extension.Renews)
	taken[access.OrgAdmin](o)
	o.LookTwice(o.AccountID("ivo"))
	require.True(t, o.StoredGrant(g).RemovedByHand)
	require.Equal(t, access.GrantEnded, o.StoredGrant(extension).State)
	o.AdvanceToEnd(g)
	o.Advance(8 * time.Hour)
	o.AttendAll(g)
	o.VerifyFully()
	require.False(t, o.Has(access.OrgAdmin))
}

// An extension begins when what its forerunner gave was taken by hand, and nobody has looked yet.
func TestExtensionDoesNotRestoreWhatWasTakenByHand(t *testing.T) {
	t.Parallel()
	for target, take := range taken {
		for name, notice := range map[string]func(*activitytest.SimulatedOrg, access.Grant){
			"when it begins":    func(o *activitytest.SimulatedOrg, extension access.Grant) { o.Attend(extension) },
			"by a look":         func(o *activitytest.SimulatedOrg, _ access.Grant) { o.LookAndWrite(o.AccountID("ivo")) },
			"by a verification": func(o *activitytest.SimulatedOrg, _ access.Grant) { o.VerifyFully() },
		} {
			t.Run(string(target)+" "+name, func(t *testing.T) {
				o, g := lent(t, activitytest.Lendable, target)
				extension := activitytest.Must[messages.GrantAnswer](o, o.Acts.Grants.ExtendGrant,
					grants.ExtendGrantInput{Org: activitytest.Org, Target: target, Key: g.Key,
						ExtendInput: messages.ExtendInput{
							Duration: access.Duration(8 * time.Hour), RequestedBy: "bo@example.com", RequestID: "more",
						}}).Grants[0]
				o.AdvanceToEnd(g)
				o.Advance(-30 * time.Second)
				take(o)
				o.AdvanceToEnd(g)
				o.Advance(time.Second)
				notice(o, extension)
				require.False(t, o.Has(target))
				require.True(t, o.StoredGrant(extension).RemovedByHand)
				require.Equal(t, access.GrantEnded, o.StoredGrant(extension).State)
				o.Advance(time.Minute)
				o.AttendAll(o.StoredGrant(extension))
				o.LookAndWrite(o.AccountID("ivo"))
				o.VerifyFully()
				require.False(t, o.Has(target), "what was taken stays taken")
			})
		}
	}
}

// What Castellan itself took is not taken by hand, and what a mapping gives as well is not the grant's.
func TestDecideTellsHandsFromRules(t *testing.T) {
	t.Parallel()
	guard := strings.Replace(activitytest.OpenGuard, "adopt: auto", "adopt: auto, rules: auto", 1)
	o, g := lent(t, activitytest.Lendable, activitytest.Builders)
	o.Admit(guard + activitytest.Lendable +
		"\nrules:\n  - {name: no, when: 'in(\"unused\")', deny: ['group:builders'], mode: enforce, owner: ana@example.com}\n")
	o.VerifyFully()
	o.Join("unused", "ivo")
	o.VerifyFully()
	require.False(t, o.Has(activitytest.Builders))
	o.Leave("unused", "ivo")
	o.VerifyFully()
	require.True(t, o.Has(activitytest.Builders), "the rule took it, and lets it be given again")
	require.Equal(t, access.GrantGranted, o.StoredGrant(g).State)

	o.Join("eng", "ivo")
	o.VerifyFully()
	taken[activitytest.Builders](o)
	o.VerifyFully()
	require.True(t, o.Has(activitytest.Builders), "a mapping gives it")
	require.Equal(t, access.GrantGranted, o.StoredGrant(g).State)
}

// Whoever left the organization comes back without what a grant gave.
func TestCloseEndedEndsTheGrantsOfWhoLeft(t *testing.T) {
	t.Parallel()
	o, g := lent(t, activitytest.Lendable, access.OrgAdmin)
	o.ChangePerson("ivo", map[string]any{"remove": true})
	o.VerifyFully()
	require.True(t, o.StoredGrant(g).RemovedByHand)
	o.Invite("ivo")
	o.Advance(time.Minute)
	o.LookTwice(o.AccountID("ivo"))
	o.VerifyFully()
	require.False(t, o.Has(access.OrgAdmin))
}

// A rule that restores whom a rule suspended is no reason to give back what somebody else took.
func TestCloseEndedEndsAGrantOfPresenceThoughARuleWouldRestore(t *testing.T) {
	t.Parallel()
	o, g := lent(t, activitytest.Lendable, access.Directory)
	o.Admit(strings.Replace(activitytest.OpenGuard, "adopt: auto", "adopt: auto, rules: auto", 1) +
		activitytest.Lendable + "\nrules:\n  - {name: back, when: '!in(\"unused\")', restore: true, mode: enforce}\n")
	o.VerifyFully()
	require.Len(t, o.Held("ivo", access.Directory).Reasons, 2)
	taken[access.Directory](o)
	o.LookTwice(o.AccountID("ivo"))
	require.False(t, o.Has(access.Directory))
	require.True(t, o.StoredGrant(g).RemovedByHand)
	o.LookTwice(o.AccountID("ivo"))
	o.VerifyFully()
	require.False(t, o.Has(access.Directory), "nobody gives it back")
}

// A short grant that is asked for before anybody looked does not undo for a long one what was taken by hand.
func TestApplyEndsTheEarlierGrantThatWasTaken(t *testing.T) {
	t.Parallel()
	for target, take := range taken {
		t.Run(string(target), func(t *testing.T) {
			o, long := lent(t, activitytest.Lendable, target)
			take(o)
			o.Temporal.Woken = nil
			short := o.Grant("ivo", target, time.Minute)
			require.NotEqual(t, long.ID, short.ID)
			o.AttendAll(short)
			require.True(t, o.Has(target), "the new grant gives it")
			require.True(t, o.StoredGrant(long).RemovedByHand)
			require.Equal(t, access.GrantGranted, o.StoredGrant(short).State)
			o.LookTwice(o.AccountID("ivo"))
			o.VerifyFully()
			require.True(t, o.Has(target))
			o.AdvanceToEnd(short)
			o.AttendAll(short)
			require.False(t, o.Has(target), "and takes it back")
			o.Advance(time.Minute)
			o.LookTwice(o.AccountID("ivo"))
			o.VerifyFully()
			require.False(t, o.Has(target))
		})
	}
}

// Two grants at once are both held where nobody took anything.
func TestApplyKeepsTheEarlierGrantThatNobodyTook(t *testing.T) {
	t.Parallel()
	for target := range taken {
		o, long := lent(t, activitytest.Lendable, target)
		short := o.Grant("ivo", target, time.Minute)
		o.AttendAll(short)
		o.AdvanceToEnd(short)
		o.AttendAll(short)
		require.True(t, o.Has(target))
		require.Equal(t, access.GrantGranted, o.StoredGrant(long).State)
	}
}
