package rules_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// TestRuleActsOnAnEventThroughCrashes kills the worker between the two looks, and again between a write and its
// answer.
func TestRuleActsOnAnEventThroughCrashes(t *testing.T) {
	t.Parallel()
	o := start(t, company)
	o.settled("guard: {adopt: auto, rules: auto, settle: 5s}\n" +
		rulesOf(`{name: left, owner: ana@example.com, mode: enforce, when: managed && !in("staff"), suspend: true}`))
	require.NoError(t, o.Simulator.ResetStats(t.Context()))
	require.NoError(t, o.Simulator.Fault(t.Context(),
		cloud.Fault{Operations: []string{"users.suspend"}, Kind: cloud.FaultTimeoutAfter, Count: 1}))

	eve := o.person("eve").AccountID
	o.leave("staff", "eve")
	o.until(func(s messages.OrgSyncState) bool { // the first look is over, the second is to come
		return len(s.Pending.Settling) > 0
	})
	o.Worker.Kill()
	require.False(t, o.person("eve").Suspended, "nobody is suspended after one look")
	require.NoError(t, o.StartWorker())

	o.eventually(func() error {
		if !o.person("eve").Suspended {
			return fmt.Errorf("eve is not suspended")
		}
		return nil
	})
	o.Worker.Kill() // the answer never came: whether it was done is not known
	require.NoError(t, o.StartWorker())
	o.until(stack.Idle)

	require.Len(t, o.losses("eve", cloud.WhatDirectory), 1)
	stats, err := o.Simulator.Stats(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, stats.Operations["users.suspend"], "what may have been done is read, not done again")
	done := 0
	for _, r := range answered[messages.ReportAnswer](o, "runs", org).Runs {
		require.Zero(t, r.Counts.Failed, "%+v", r)
		for _, l := range answered[messages.ReportAnswer](o, "plan", "--run", r.Run, org).Plan.Lines {
			if l.Person == eve && l.Target == access.Directory &&
				(l.State == access.Done || l.State == access.Already) {
				done++
				require.Equal(t, "left", l.Reasons[0].Name)
			}
		}
	}
	require.Equal(t, 1, done, "the ledger knows it, once")
	require.Contains(t, o.starter("verify-ledger", org), "is whole")
}

// TestRulesLookAtOnceAtWhatARunChanges: verifications are a day apart, and no event comes of Castellan's own writes.
func TestRulesLookAtOnceAtWhatARunChanges(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	o := start(t, company)
	o.settled("guard: {adopt: auto, rules: auto, settle: 1s, run: {share: 100%}, target: {share: 100%}}\n" + rulesOf(
		`{name: apart, owner: ana@example.com, mode: enforce, when: 'in("builders")', deny: ["group:partner-wiki"]}`,
		`{name: lab, mode: enforce, when: 'in("vault")', give: ["group:lab"]}`,
		`{name: vault, mode: enforce, when: 'in("builders") && email.startsWith("dan")', give: ["group:vault"]}`))
	o.eventually(func() error {
		if lab := o.members("lab"); lab != "dan" {
			return fmt.Errorf("lab has %q: what dan was given in one run leads to the next", lab)
		}
		return nil
	})
	o.until(stack.Idle)
	var triggers []string
	for _, r := range answered[messages.ReportAnswer](o, "runs", org).Runs {
		triggers = append(triggers, r.Trigger)
	}
	require.Len(t, triggers, 3, "builders; then vault; then lab: %v", triggers)
}
