package messages_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/messages"
)

// What histories from before carried as texts.
func TestCarriedTexts(t *testing.T) {
	kept := messages.SentNotice{Kind: "granted", Grant: "g0"}
	require.Equal(t, []messages.SentNotice{kept, {Kind: "given", Grant: "g-1"},
		{Kind: "blocked", For: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)}},
		messages.SentNotices([]messages.SentNotice{kept}, []string{"given g-1", "blocked 2026-03-02T09:00:00Z"}))
	require.Equal(t, []messages.ReviewNotice{{When: "start", Stage: 1}, {When: "last", Stage: 12}, {Plan: "sha256:1"}},
		messages.ReviewNotices([]string{"start 1", "last 12", "held sha256:1"}))
	require.Equal(t, []messages.Exhausted{{Action: "add", Target: "group:all of us"}},
		messages.ExhaustedTargets([]string{"add group:all of us"}))
	require.Equal(t, "add group:all of us", messages.Exhausted{Action: "add", Target: "group:all of us"}.String())
}
