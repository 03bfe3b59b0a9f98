package reconcile

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/messages"
)

// TestWatchPausesBetweenPolls: a watch that follows another one waits as that would have, unless the feed had more to
// tell, a problem is to be over, or another organization was asked.
func TestWatchPausesBetweenPolls(t *testing.T) {
	t.Parallel()
	a := New(nil, nil)
	in := WatchInput{Org: "acme", Every: messages.Duration(time.Hour)}
	require.Zero(t, a.pollDue(in))
	a.notePoll(in, true)
	require.Positive(t, a.pollDue(in))
	require.LessOrEqual(t, a.pollDue(in), time.Hour)
	require.Zero(t, a.pollDue(WatchInput{Org: "globex", Every: in.Every}))
	require.Zero(t, a.pollDue(WatchInput{Org: "acme", Every: in.Every, Once: true}))
	a.notePoll(in, false)
	require.Zero(t, a.pollDue(in))
}
