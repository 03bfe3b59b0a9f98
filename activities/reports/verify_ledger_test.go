package reports_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
)

func TestVerifyLedgerNamesForgedRows(t *testing.T) {
	t.Parallel()
	o := activitytest.WithGrants(t, activitytest.Lendable)
	o.Grant("kim", activitytest.Other, time.Hour)
	whole := o.Ask(messages.ReportInput{Kind: messages.ReportLedger})
	require.True(t, whole.Ledger.Whole, whole.Message)
	require.Positive(t, whole.Ledger.Rows)

	o.Forge(`UPDATE grants SET until = until + 1000000`)
	o.Forge(`UPDATE holdings SET owned = 1 - owned WHERE rowid = (SELECT MIN(rowid) FROM holdings)`)
	answer := o.Ask(messages.ReportInput{Kind: messages.ReportLedger})
	require.False(t, answer.Ledger.Whole)
	require.EqualValues(t, 2, answer.Ledger.Unexplained)
	require.Contains(t, answer.Message, "does not explain 2 rows of its ledger:\n  grants g001: it is not as entry")
	require.Contains(t, answer.Message, "\n  holdings ")
}

func TestVerifyLedgerOfAnEmptiedChain(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	o.Forge(`DELETE FROM entries`)
	o.Forge(`DELETE FROM heads`)
	answer := o.Ask(messages.ReportInput{Kind: messages.ReportLedger})
	require.False(t, answer.Ledger.Whole)
	require.Contains(t, answer.Message, "it was emptied")
}

func TestVerifyLedgerOfAnOrganizationWhoseRowIsGone(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	o.Forge(`DELETE FROM organizations`)
	answer := o.Ask(messages.ReportInput{Kind: messages.ReportLedger})
	require.Contains(t, answer.Message, "organizations : entry")
}

// Which policy is in force is taken from nothing that somebody wrote past Castellan; applying one settles it.
func TestForgedPolicyInForceIsNotFollowed(t *testing.T) {
	t.Parallel()
	o := activitytest.New(t)
	o.Admit(activitytest.AutoAdopt)
	o.Forge(`UPDATE organizations SET adopted_at = adopted_at + 1`)
	outline := func() error {
		_, err := activitytest.Call[reconcile.OutlineResult](o, o.Acts.Reconcile.Outline,
			reconcile.OutlineInput{RunInput: o.NewRun(), Trigger: "by hand", Started: o.Clock()})
		return err
	}
	app := activitytest.ApplicationError(t, outline())
	require.Equal(t, session.ErrPolicy, app.Type())
	require.Contains(t, app.Message(), "does not explain which policy of organization acme is in force")
	o.Admit(activitytest.AutoAdopt)
	require.NoError(t, outline())
	require.True(t, o.Ask(messages.ReportInput{Kind: messages.ReportLedger}).Ledger.Whole)
}

// Removals that stand on a source group wait where its last count was changed past Castellan: a small one would hide
// that the group is emptied.
func TestForgedCountMakesItsSourceSuspect(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	o.Forge(`UPDATE source_counts SET users = users - 1`)
	o.Leave("eng", "carol")
	o.Advance(time.Minute)
	_, whole := o.SweepAndJudge()
	require.NotNil(t, whole.Hold)
	require.Positive(t, whole.Hold.Removals)
	require.Contains(t, fmt.Sprint(whole.Hold.Rules), "does not explain how many members it had")
}

func TestVerifyLedgerAgainstAHeadKeptElsewhere(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	kept := o.Ask(messages.ReportInput{Kind: messages.ReportLedger}).Ledger
	head := fmt.Sprintf("%d:%s", kept.Entries, kept.Head)
	o.Admit(activitytest.AutoAdopt)
	require.True(t, o.Ask(messages.ReportInput{Kind: messages.ReportLedger, Head: head}).Ledger.Whole,
		"what came after does not matter")

	rewritten := o.Ask(messages.ReportInput{Kind: messages.ReportLedger,
		Head: fmt.Sprintf("%d:%s", kept.Entries-1, kept.Head)})
	require.False(t, rewritten.Ledger.Whole)
	require.Contains(t, rewritten.Message, "what came before it was rewritten")
	cut := o.Ask(messages.ReportInput{Kind: messages.ReportLedger, Head: "100000:" + kept.Head})
	require.False(t, cut.Ledger.Whole)
	require.Contains(t, cut.Message, "the chain was cut")
	for _, wrong := range []string{"x", "5", "0:sha256:00", "-1:sha256:00", "5:md5:00", kept.Head} {
		_, err := activitytest.Call[messages.ReportAnswer](o, o.Acts.Reports.Answer,
			messages.ReportInput{Org: activitytest.Org, Kind: messages.ReportLedger, Head: wrong})
		require.ErrorContains(t, err, "is no head", wrong)
	}
}

func TestForgedGrantGivesNothing(t *testing.T) {
	t.Parallel()
	o := activitytest.WithGrants(t,
		strings.Replace(activitytest.Lendable, "reason: false",
			"reason: false\n    approval: {by: [carol@example.com]}", 1))
	g := o.Grant("kim", activitytest.Other, time.Hour)
	now := o.Clock().UnixMicro()
	o.Forge(`UPDATE grants SET state = 'granted', since = ?, until = ?, body = REPLACE(body, '"needs":1', '"needs":0')`,
		now, o.Clock().AddDate(10, 0, 0).UnixMicro())
	require.True(t, o.StoredGrant(g).InForce(o.Clock()), "so says its row")

	require.Zero(t, o.PlanRound(o.StoredGrant(g)).Plan.Open, "planned from the ledger")
	run, sum := o.VerifyEverybody()
	require.Zero(t, sum.Counts.Adds, "and by a verification")
	done, err := o.Ledger.Run(t.Context(), activitytest.Org, run.Run)
	require.NoError(t, err)
	require.True(t, slices.ContainsFunc(done.Findings,
		func(f access.Finding) bool { return f.Rule == "grant-unexplained" && f.Subject == g.ID }), done.Findings)
	require.False(t, o.Holds("kim", activitytest.Other))
}

func TestDecideReleasesTheLinesThatWereHashed(t *testing.T) {
	t.Parallel()
	o := activitytest.New(t)
	o.Admit("")
	_, judged := o.SweepAndJudge()
	require.NotNil(t, judged.Hold, "the first plan waits for consent")
	approve := reconcile.DecideInput{Org: activitytest.Org, Decision: "approve",
		DecisionInput: messages.DecisionInput{Plan: judged.Hold.Plan, By: "carol@example.com"}}
	o.Forge(`UPDATE lines SET person = 'somebody-else' WHERE rowid = (SELECT MIN(rowid) FROM lines WHERE state = 'held')`)
	_, err := activitytest.Call[reconcile.DecideResult](o, o.Acts.Reconcile.Decide, approve)
	require.Equal(t, session.ErrEvidence, activitytest.ApplicationError(t, err).Type())
	require.ErrorContains(t, err, "they were written past Castellan")
	approve.Decision = "reject"
	activitytest.Must[reconcile.DecideResult](o, o.Acts.Reconcile.Decide, approve)
}
