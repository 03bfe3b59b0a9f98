package kit_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/workflows/internal/kit"
)

func TestPatienceGrowsUpToItsBound(t *testing.T) {
	p := kit.Backoff{First: 2 * time.Second, Longest: time.Minute}
	for tries, want := range map[int]time.Duration{
		1: 2 * time.Second, 2: 4 * time.Second, 5: 32 * time.Second, 6: time.Minute, 1000: time.Minute,
	} {
		require.Equal(t, want, p.After(tries), "after %d failures", tries)
	}
}

func TestRecordFailureKeepsSinceWhenItHasLasted(t *testing.T) {
	began := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	later := began.Add(time.Hour)
	p := kit.Backoff{First: time.Second, Longest: time.Minute}
	first := kit.RecordFailure(began, nil, messages.Problem{Kind: "Server", Message: "503"}, p)
	require.Equal(t, &messages.Problem{Kind: "Server", Message: "503", Since: began, Tries: 1,
		Retry: began.Add(time.Second)}, first)
	second := kit.RecordFailure(later, first, messages.Problem{Kind: "Timeout"}, p)
	require.Equal(t, &messages.Problem{Kind: "Timeout", Since: began, Tries: 2, Retry: later.Add(2 * time.Second)},
		second)
	require.False(t, kit.RetryDue(second, later))
	require.True(t, kit.RetryDue(second, second.Retry))
	require.True(t, kit.RetryDue(nil, later))
}

func TestAgendaFindsWhatIsDueNext(t *testing.T) {
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	a := kit.NewAgenda(now)
	require.Zero(t, a.Due)
	a.At(time.Time{}, "never")
	a.At(now.Add(-time.Hour), "over")
	a.At(now.Add(2*time.Hour), "later")
	a.At(now.Add(time.Hour), "next")
	a.At(now.Add(time.Hour), "at the same time, said later")
	require.Equal(t, now.Add(time.Hour), a.Due)
	require.Equal(t, "next", a.Why)
}

func TestBoundedCutsBetweenLetters(t *testing.T) {
	long := make([]byte, 0, 2*kit.MostText)
	for len(long) < 2*kit.MostText {
		long = append(long, "xé"...)
	}
	cut := kit.Bounded(string(long))
	require.LessOrEqual(t, len(cut), kit.MostText+len("…"))
	require.Equal(t, "short", kit.Bounded("short"))
	require.NotContains(t, cut, "\ufffd")
}
