package session_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

func TestLookUpAccountByItsCurrentAddress(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	is := func(want, typed string) {
		t.Helper()
		got, err := o.WhoIs(typed)
		require.NoError(t, err, typed)
		require.Equal(t, o.AccountID(want), got, typed)
	}
	nobody := func(typed string) {
		t.Helper()
		_, err := o.WhoIs(typed)
		require.Equal(t, session.ErrUnknown, activitytest.ApplicationError(t, err).Type(), typed)
		require.ErrorContains(t, err, "names nobody", typed)
	}
	is("ana", "ana@example.com")
	is("ana", " ANA@example.com ")
	is("ana", o.AccountID("ana"))
	for _, typed := range []string{"Ana <ana@example.com>", "ana@example.com, bo@example.com", "ana bo"} {
		nobody(typed)
	}
	for _, typed := range []string{"ana+me@example.com", "\u0430na@example.com", "help-desk-1"} {
		_, err := o.WhoIs(typed)
		require.ErrorContains(t, err, "shows nobody named "+typed)
	}

	o.Rename("ana", "ana.lee@example.com")
	is("ana", "ana.lee@example.com")
	is("ana", "ana@example.com") // the ledger saw her with it, and nobody has it
	o.VerifyEverybody()
	is("ana", "ana@example.com") // still known as what it was
	o.Rename("bo", "ana@example.com")
	is("bo", "ana@example.com")
	is("bo", "bo@example.com")
	o.VerifyEverybody()
	o.Rename("bo", "bo.again@example.com")
	_, err := o.WhoIs("ana@example.com")
	require.NoError(t, err, "the ledger saw bo with it last")
	o.VerifyEverybody()
	_, err = o.WhoIs("ana@example.com")
	require.ErrorContains(t, err, "no account has the address ana@example.com now; the accounts", "both had it")
	require.ErrorContains(t, err, o.AccountID("ana"))
}

func TestLookUpAccountInTheLedgerDuringAnOutage(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	o.Inject(cloud.Fault{Kind: cloud.FaultHTML})
	got, err := o.WhoIs("Ana@example.com")
	require.NoError(t, err)
	require.Equal(t, o.AccountID("ana"), got)
	_, err = o.WhoIs("nobody@example.com")
	require.ErrorContains(t, err, "the ledger shows nobody named nobody@example.com")
}

func TestSyncNowFindsWhoWasRenamed(t *testing.T) {
	t.Parallel()
	o := activitytest.NewInStep(t)
	o.Rename("ana", "ana.lee@example.com")
	for _, typed := range []string{"ana.lee@example.com", "ana@example.com", o.AccountID("ana")} {
		o.Advance(time.Minute)
		result, err := activitytest.Call[reconcile.JudgeResult](o, o.Acts.Reconcile.Examine, reconcile.ExamineInput{
			RunInput: o.NewRun(), Trigger: "asked", By: "bo",
			Scope: messages.Scope{Kind: messages.ScopePeople, People: []string{typed}}})
		require.NoError(t, err, typed)
		require.Equal(t, 1, result.Counts.People, typed)
	}
	_, err := activitytest.Call[reconcile.JudgeResult](o, o.Acts.Reconcile.Examine, reconcile.ExamineInput{
		RunInput: o.NewRun(), Trigger: "asked", By: "bo",
		Scope: messages.Scope{Kind: messages.ScopePeople, People: []string{"ana+x@example.com"}}})
	require.Equal(t, session.ErrUnknown, activitytest.ApplicationError(t, err).Type())
}
