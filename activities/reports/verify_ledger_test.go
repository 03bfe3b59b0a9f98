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
	w := activitytest.WithGrants(t, activitytest.Lendable)
	w.Grant("kim", activitytest.Other, time.Hour)
	whole := w.Ask(messages.ReportInput{Kind: messages.ReportLedger})
	require.True(t, whole.Ledger.Whole, whole.Message)
	require.Positive(t, whole.Ledger.Rows)

	w.Forge(`UPDATE grants SET until = until + 1000000`)
	w.Forge(`UPDATE holdings SET owned = 1 - owned WHERE rowid = (SELECT MIN(rowid) FROM holdings)`)
	answer := w.Ask(messages.ReportInput{Kind: messages.ReportLedger})
	require.False(t, answer.Ledger.Whole)
	require.EqualValues(t, 2, answer.Ledger.Unexplained)
	require.Contains(t, answer.Message, "does not explain 2 rows of its ledger:\n  grants g001: it is not as entry")
	require.Contains(t, answer.Message, "\n  holdings ")
}

func TestVerifyLedgerOfAnEmptiedChain(t *testing.T) {
	t.Parallel()
	w := activitytest.InStep(t)
	w.Forge(`DELETE FROM entries`)
	w.Forge(`DELETE FROM heads`)
	answer := w.Ask(messages.ReportInput{Kind: messages.ReportLedger})
	require.False(t, answer.Ledger.Whole)
	require.Contains(t, answer.Message, "it was emptied")
}

func TestVerifyLedgerOfAnOrganizationWhoseRowIsGone(t *testing.T) {
	t.Parallel()
	w := activitytest.InStep(t)
	w.Forge(`DELETE FROM organizations`)
	answer := w.Ask(messages.ReportInput{Kind: messages.ReportLedger})
	require.Contains(t, answer.Message, "organizations : entry")
}

// Which policy is in force is taken from nothing that somebody wrote past Castellan; applying one settles it.
func TestAForgedPolicyInForceIsNotFollowed(t *testing.T) {
	t.Parallel()
	w := activitytest.New(t)
	w.Admit(activitytest.AutoAdopt)
	w.Forge(`UPDATE organizations SET adopted_at = adopted_at + 1`)
	outline := func() error {
		_, err := activitytest.Call[reconcile.OutlineResult](w, w.Acts.Reconcile.Outline,
			reconcile.OutlineInput{RunInput: w.NewRun(), Trigger: "by hand", Started: w.Clock()})
		return err
	}
	app := activitytest.ApplicationError(t, outline())
	require.Equal(t, session.ErrPolicy, app.Type())
	require.Contains(t, app.Message(), "does not explain which policy of organization acme is in force")
	w.Admit(activitytest.AutoAdopt)
	require.NoError(t, outline())
	require.True(t, w.Ask(messages.ReportInput{Kind: messages.ReportLedger}).Ledger.Whole)
}

// Removals that stand on a source group wait where its last count was changed past Castellan: a small one would hide
// that the group is emptied.
func TestAForgedCountMakesItsSourceSuspect(t *testing.T) {
	t.Parallel()
	w := activitytest.InStep(t)
	w.Forge(`UPDATE source_counts SET users = users - 1`)
	w.Leave("eng", "carol")
	w.Pass(time.Minute)
	_, whole := w.Planned()
	require.NotNil(t, whole.Hold)
	require.Positive(t, whole.Hold.Removals)
	require.Contains(t, fmt.Sprint(whole.Hold.Rules), "does not explain how many members it had")
}

func TestVerifyLedgerAgainstAHeadKeptElsewhere(t *testing.T) {
	t.Parallel()
	w := activitytest.InStep(t)
	kept := w.Ask(messages.ReportInput{Kind: messages.ReportLedger}).Ledger
	head := fmt.Sprintf("%d:%s", kept.Entries, kept.Head)
	w.Admit(activitytest.AutoAdopt)
	require.True(t, w.Ask(messages.ReportInput{Kind: messages.ReportLedger, Head: head}).Ledger.Whole,
		"what came after does not matter")

	rewritten := w.Ask(messages.ReportInput{Kind: messages.ReportLedger,
		Head: fmt.Sprintf("%d:%s", kept.Entries-1, kept.Head)})
	require.False(t, rewritten.Ledger.Whole)
	require.Contains(t, rewritten.Message, "what came before it was rewritten")
	cut := w.Ask(messages.ReportInput{Kind: messages.ReportLedger, Head: "100000:" + kept.Head})
	require.False(t, cut.Ledger.Whole)
	require.Contains(t, cut.Message, "the chain was cut")
	for _, wrong := range []string{"x", "5", "0:sha256:00", "-1:sha256:00", "5:md5:00", kept.Head} {
		_, err := activitytest.Call[messages.ReportAnswer](w, w.Acts.Reports.Answer,
			messages.ReportInput{Org: activitytest.Org, Kind: messages.ReportLedger, Head: wrong})
		require.ErrorContains(t, err, "is no head", wrong)
	}
}

func TestAForgedGrantGivesNothing(t *testing.T) {
	t.Parallel()
	w := activitytest.WithGrants(t,
		strings.Replace(activitytest.Lendable, "reason: false",
			"reason: false\n    approval: {by: [carol@example.com]}", 1))
	g := w.Grant("kim", activitytest.Other, time.Hour)
	now := w.Clock().UnixMicro()
	w.Forge(`UPDATE grants SET state = 'granted', since = ?, until = ?, body = REPLACE(body, '"needs":1', '"needs":0')`,
		now, w.Clock().AddDate(10, 0, 0).UnixMicro())
	require.True(t, w.Stored(g).InForce(w.Clock()), "so says its row")

	require.Zero(t, w.Begin(w.Stored(g)).Plan.Open, "planned from the ledger")
	run, sum := w.Full()
	require.Zero(t, sum.Counts.Adds, "and by a verification")
	done, err := w.Ledger.Run(t.Context(), activitytest.Org, run.Run)
	require.NoError(t, err)
	require.True(t, slices.ContainsFunc(done.Findings,
		func(f access.Finding) bool { return f.Rule == "grant-unexplained" && f.Subject == g.ID }), done.Findings)
	require.False(t, w.Holds("kim", activitytest.Other))
}

func TestDecideReleasesTheLinesThatWereHashed(t *testing.T) {
	t.Parallel()
	w := activitytest.New(t)
	w.Admit("")
	_, judged := w.Planned()
	require.NotNil(t, judged.Hold, "the first plan waits for consent")
	approve := reconcile.DecideInput{Org: activitytest.Org, Decision: "approve",
		DecisionInput: messages.DecisionInput{Plan: judged.Hold.Plan, By: "carol@example.com"}}
	w.Forge(`UPDATE lines SET person = 'somebody-else' WHERE rowid = (SELECT MIN(rowid) FROM lines WHERE state = 'held')`)
	_, err := activitytest.Call[reconcile.DecideResult](w, w.Acts.Reconcile.Decide, approve)
	require.Equal(t, session.ErrEvidence, activitytest.ApplicationError(t, err).Type())
	require.ErrorContains(t, err, "they were written past Castellan")
	approve.Decision = "reject"
	activitytest.Must[reconcile.DecideResult](w, w.Acts.Reconcile.Decide, approve)
}
