package workflows_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/grants"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
)

// A workflow whose grants go by the account by now gives them to the workflow of the account, with what it told of
// them, and ends without ending them.
func TestTemporaryGrantHandsOverWhatGoesByAnotherKey(t *testing.T) {
	l := newGrantTest(t, grantFrom("g1", 0, 10*time.Hour), grantFrom("g2", 0, 12*time.Hour))
	var over []grants.HandOverInput
	l.handOver = func(_ context.Context, in grants.HandOverInput) error { over = append(over, in); return nil }
	l.at(time.Hour, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		for i := range l.book {
			l.book[i].Key, l.book[i].FormerKey = l.book[i].Person, l.book[i].Key
		}
		l.env.SignalWorkflow(messages.Look, nil)
	})
	state, err := l.runToEnd()
	require.NoError(t, err)
	require.Equal(t, messages.GrantOver, state.State)
	require.Len(t, over, 1)
	require.Equal(t, []string{"g1", "g2"}, over[0].Grants)
	require.ElementsMatch(t, []messages.SentNotice{{Kind: grants.NoticeGiven, Grant: "g1"},
		{Kind: grants.NoticeGiven, Grant: "g2"}}, over[0].Sent)
	require.True(t, l.holds, "nothing was taken back")
	require.Less(t, l.since(), 2*time.Hour)
	require.Empty(t, l.revoked)
}

// The workflow of the account goes on from there: nobody is told twice, and people see the address.
func TestTemporaryGrantGoesOnWithWhatItIsHanded(t *testing.T) {
	for name, in := range map[string]messages.TemporaryGrantInput{
		"as notices":                          {Sent: []messages.SentNotice{{Kind: grants.NoticeGiven, Grant: "g1"}}},
		"as texts, by a workflow from before": {Told: []string{grants.NoticeGiven + " g1"}},
	} {
		t.Run(name, func(t *testing.T) { goesOnWithWhatItIsHanded(t, in) })
	}
}

func goesOnWithWhatItIsHanded(t *testing.T, in messages.TemporaryGrantInput) {
	g := grantFrom("g1", 0, 10*time.Hour)
	g.ProvisionedAt, g.Key = begin, g.Person
	l := newGrantTest(t, g)
	in.Org, in.Target, in.Key, in.Email = org, admin, g.Person, "eve@acme.example"
	l.input = in
	l.holds = true
	l.at(time.Hour, func() {
		person, ok := l.shown.GetKeyword(messages.AttributePerson)
		require.True(t, ok)
		require.Equal(t, "eve@acme.example", person)
	})
	state := l.mustEnd()
	require.Equal(t, access.GrantEnded, state.Grants[0].State)
	for _, n := range l.told {
		require.NotEqual(t, grants.NoticeGiven+" g1", n.what)
	}
}

// Grants that cannot be handed over for now are not left without a clock.
func TestTemporaryGrantHandsOverAgain(t *testing.T) {
	l := newGrantTest(t, grantFrom("g1", 0, 10*time.Hour))
	handed := time.Duration(0)
	l.handOver = func(context.Context, grants.HandOverInput) error {
		if l.since() < 3*time.Hour {
			return fatal(session.ErrInvalid, "the ledger is read only")
		}
		handed = l.since()
		return nil
	}
	l.at(time.Hour, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.book[0].Key, l.book[0].FormerKey = l.book[0].Person, l.book[0].Key
		l.env.SignalWorkflow(messages.Look, nil)
	})
	state, err := l.runToEnd()
	require.NoError(t, err)
	require.Equal(t, messages.GrantOver, state.State)
	require.GreaterOrEqual(t, handed, 3*time.Hour)
	require.Less(t, handed, 3*time.Hour+time.Minute)
}
