package workflows_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/messages"
)

var wave = messages.LinkWaveSignal{Batch: "pilot", Run: "link-pilot-1", Plan: "sha256:4a", Provision: "staff",
	Identities: []string{"hr:1", "hr:2"}, By: "ana", Wave: 1}

// TestOrgSyncWritesAWaveOnce: a wave that is asked for again while it waits or is written is written once; the batch
// hears of the end.
func TestOrgSyncWritesAWaveOnce(t *testing.T) {
	l := newSourceLoop(t, wasRead())
	l.run = func(ctx workflow.Context, in messages.ReconcileInput) (messages.RunSummary, error) {
		if in.Scope.Batch != "" {
			_ = workflow.Sleep(ctx, time.Minute)
		}
		sum := ended(in)
		sum.Provision = in.Scope.Provision
		if in.Scope.Batch != "" {
			sum.Counts.Failed = 7 // those of later waves
		}
		return sum, nil
	}
	var heard []time.Duration
	l.env.OnSignalExternalWorkflow(mock.Anything, messages.LinkID(org, "pilot"), "", messages.Look,
		mock.Anything).Return(func(_, _, _, _ string, _ any) error {
		heard = append(heard, l.env.Now().Sub(begin).Round(time.Second))
		return nil
	})
	for _, at := range []time.Duration{10 * time.Second, 10*time.Second + time.Millisecond, 30 * time.Second} {
		l.at(at, func() { l.env.SignalWorkflow(messages.LinkWave, wave) })
	}
	l.start(5 * time.Minute)
	var waves []messages.ReconcileInput
	for _, in := range l.runs {
		if in.Scope.Batch != "" {
			waves = append(waves, in)
		}
	}
	require.Len(t, waves, 1)
	require.Equal(t, "link-pilot-1", waves[0].Run)
	require.Equal(t, messages.ScopeHold, waves[0].Scope.Kind)
	require.Equal(t, []string{"hr:1", "hr:2"}, waves[0].Scope.Identities)
	require.Equal(t, "ana", waves[0].By)
	require.Equal(t, []time.Duration{70 * time.Second}, heard)
	require.NotContains(t, triggers(l.runs), "changes were left")
}

// TestOrgSyncKeepsAWaveThroughAPause: a wave waits until the organization is resumed.
func TestOrgSyncKeepsAWaveThroughAPause(t *testing.T) {
	l := newSourceLoop(t, wasRead())
	l.env.OnSignalExternalWorkflow(mock.Anything, messages.LinkID(org, "pilot"), "", messages.Look,
		mock.Anything).Return(nil).Maybe()
	l.updateAt(10*time.Second, messages.Pause, messages.PauseInput{By: "bo"})
	l.at(20*time.Second, func() { l.env.SignalWorkflow(messages.LinkWave, wave) })
	l.at(time.Hour, func() {
		for _, in := range l.runs {
			require.Empty(t, in.Scope.Batch)
		}
	})
	l.updateAt(time.Hour+time.Second, messages.Resume, messages.ResumeInput{By: "bo"})
	l.start(2 * time.Hour)
	require.True(t, slices.ContainsFunc(l.runs,
		func(in messages.ReconcileInput) bool { return in.Scope.Batch == "pilot" }))
}

// TestOrgSyncAnswersAWaveOfNoProvision: where the policy has the provision no more, the batch is told at once.
func TestOrgSyncAnswersAWaveOfNoProvision(t *testing.T) {
	l := newSourceLoop(t, wasRead())
	heard := 0
	l.env.OnSignalExternalWorkflow(mock.Anything, messages.LinkID(org, "pilot"), "", messages.Look,
		mock.Anything).Return(func(_, _, _, _ string, _ any) error { heard++; return nil })
	other := wave
	other.Provision = "students"
	l.at(10*time.Second, func() { l.env.SignalWorkflow(messages.LinkWave, other) })
	l.start(time.Minute)
	require.Equal(t, 1, heard)
}

// TestOrgSyncProvisionsNow: people who are named are looked at by themselves; without names it is everybody.
func TestOrgSyncProvisionsNow(t *testing.T) {
	l := newSourceLoop(t, wasRead())
	one := l.updateAt(10*time.Second, messages.ProvisionNow,
		messages.ProvisionNowInput{People: []string{"ana@acme.example"}, By: "bo"})
	all := l.updateAt(20*time.Second, messages.ProvisionNow, messages.ProvisionNowInput{By: "bo"})
	none := l.updateAt(30*time.Second, messages.ProvisionNow, messages.ProvisionNowInput{Provision: "students", By: "bo"})
	nobody := l.updateAt(40*time.Second, messages.ProvisionNow, messages.ProvisionNowInput{})
	l.start(time.Minute)
	require.NoError(t, one.err)
	require.NoError(t, all.err)
	require.ErrorContains(t, none.rejected, "no provision students")
	require.ErrorContains(t, nobody.rejected, "by is missing")
	var asked []messages.ReconcileInput
	for _, in := range l.runs {
		if in.Trigger == "asked for by bo" {
			asked = append(asked, in)
		}
	}
	require.Len(t, asked, 2)
	require.Equal(t, []string{"hr:7"}, asked[0].Scope.Identities)
	require.Empty(t, asked[1].Scope.Identities)
}
