package messages_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"

	"github.com/castellan-io/castellan/messages"
)

func TestDurationsAreText(t *testing.T) {
	for text, want := range map[string]time.Duration{
		`"2h30m"`: 150 * time.Minute, `"0s"`: 0, `"1h30m0s"`: 90 * time.Minute, `"500ms"`: 500 * time.Millisecond,
	} {
		var d messages.Duration
		require.NoError(t, json.Unmarshal([]byte(text), &d))
		require.Equal(t, want, d.Std())
		written, err := json.Marshal(d)
		require.NoError(t, err)
		var again messages.Duration
		require.NoError(t, json.Unmarshal(written, &again))
		require.Equal(t, d, again)
		require.Equal(t, want.String(), d.String())
	}
}

func TestDurationsWithoutAUnitAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		`3600000000000`: "written as text", `"2 hours"`: "is not a duration", `"7"`: "is not a duration",
		`true`: "written as text", `{}`: "written as text",
	} {
		var d messages.Duration
		require.ErrorContains(t, json.Unmarshal([]byte(text), &d), want)
	}
}

func TestWorkflowIDs(t *testing.T) {
	require.Equal(t, "org-sync:acme", messages.OrgSyncID("acme"))
	require.Equal(t, "reconcile:acme:r1", messages.ReconcileID("acme", "r1"))
	require.Equal(t, "report:acme:why:1", messages.ReportID("acme", "why", "1"))
	org, ok := messages.OrgOf(messages.OrgSyncID("acme"))
	require.True(t, ok)
	require.Equal(t, "acme", org)
	for _, other := range []string{"", "acme", "org-sync:", "reconcile:acme:r1"} {
		_, ok := messages.OrgOf(other)
		require.False(t, ok, other)
	}
}

func TestSearchAttributesHaveTheirTypes(t *testing.T) {
	all := messages.Attributes()
	require.Len(t, all, 7)
	require.Equal(t, enumspb.INDEXED_VALUE_TYPE_DATETIME, all["CastellanUntil"])
	require.Equal(t, enumspb.INDEXED_VALUE_TYPE_KEYWORD_LIST, all["CastellanSource"])
	for _, name := range []string{"CastellanOrg", "CastellanState", "CastellanTarget", "CastellanPerson",
		"CastellanCampaign"} {
		require.Equal(t, enumspb.INDEXED_VALUE_TYPE_KEYWORD, all[name], name)
	}
}

// The state of an organization goes from one history to the next as JSON: nothing may be lost.
func TestTheCarriedStateIsWhole(t *testing.T) {
	at := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	state := messages.OrgSyncState{
		Org: "acme", State: messages.StateHeld, Policy: "sha256:p", Adopted: true,
		Settings: messages.Settings{Every: messages.Duration(time.Hour), Settle: messages.Duration(5 * time.Second),
			InFlight: 8, Pages: 20},
		Paused: &messages.PauseInput{By: "ana", Reason: "audit"},
		Problem: &messages.Problem{Kind: "KeyRefused", Message: "make a new key", Since: at,
			Retry: at.Add(time.Minute), Tries: 3},
		Hold: &messages.Hold{Plan: "sha256:h", Run: "r1", Adds: 1, Removals: 2, Adopts: 3, People: 4,
			Rules: []string{"adopt: first"}, Opened: at, Undo: true},
		LastRun:  &messages.RunSummary{Run: "r1", State: messages.RunDone, Counts: messages.Counts{People: 5, Done: 2}},
		NextFull: at.Add(time.Hour), Feed: messages.Feed{Mode: "events", Cursor: "c", Seen: at},
		Pending: messages.Pending{
			Full: "resumed", People: []string{"x"}, Groups: []string{"g"}, Recount: []string{"h"}, Fresh: true,
			Settling: []messages.SecondLook{{People: []string{"y"}, Due: at, First: "r0"}},
			Jobs:     []messages.Job{{Scope: messages.Scope{Kind: messages.ScopeUndo, Run: "r1"}, By: "ana", Key: 7}},
		},
		First:   &messages.PolicyInput{Policy: json.RawMessage(`"text"`), By: "ana"},
		Refused: []messages.RefusedMessage{{At: at, Name: "pause", Why: "by is missing"}}, LastID: "r1",
	}
	written, err := json.Marshal(messages.OrgSyncInput{State: &state})
	require.NoError(t, err)
	var again messages.OrgSyncInput
	require.NoError(t, json.Unmarshal(written, &again))
	require.Equal(t, state, *again.State)
	require.Empty(t, again.Policy)
}
