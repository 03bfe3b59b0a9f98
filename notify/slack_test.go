package notify_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/notify"
)

// posted returns the text that Slack gets for the notice.
func posted(t *testing.T, n messages.Notice) string {
	t.Helper()
	r := receive(t, http.StatusOK)
	slack, err := notify.NewSlack(r.URL)
	require.NoError(t, err)
	require.False(t, slack.Private())
	require.NoError(t, slack.Notify(t.Context(), n))
	var body map[string]any
	require.NoError(t, json.Unmarshal([]byte(r.got()[0].body), &body))
	require.Equal(t, false, body["unfurl_links"])
	return body["text"].(string)
}

func TestSlackSaysTheNotice(t *testing.T) {
	require.Equal(t, strings.Join([]string{
		"*[acme] ana asks for role:org-admin*", "For bo@acme.example", "For two hours, because of INC-4711.",
		"Approve or deny it.", "", "To type:", "",
		"```temporal workflow update execute --name approve```", "", "Workflow: org-sync:acme",
		"Time: 2026-01-01T00:00:00Z",
	}, "\n"), posted(t, notice()))
}

func TestSlackEscapesWhatPeopleTyped(t *testing.T) {
	n := notice()
	n.Subject = "<!channel> & <https://evil.example|your ticket>"
	n.Text = "<@U123> <!here|here> &lt;!everyone&gt; @channel @Here (@everyone) @@all ana@acme.example"
	n.Command = "echo '<x>' ``` <!channel>"
	n.Workflow, n.Org = "<!subteam^S1>", "<!channel>"
	text := posted(t, n)
	require.NotContains(t, text, "<")
	require.NotContains(t, text, ">")
	require.Contains(t, text, "&lt;!channel&gt; &amp; &lt;https://evil.example|your ticket&gt;")
	require.Contains(t, text, "&amp;lt;!everyone&amp;gt;")
	require.Contains(t, text, "ana@acme.example")
	for _, word := range []string{"@channel", "@here", "@everyone", "@all"} {
		require.NotContains(t, strings.ToLower(text), word)
	}
	require.Equal(t, 2, strings.Count(text, "```"), "the command stays in its block")
}

func TestSlackErrorsAreNamed(t *testing.T) {
	for answer, shown := range map[string]bool{"no_service": true, "channel_is_archived\n": true, "hunter2": false,
		"<html>no_service": false, strings.Repeat("a_b", 500): false} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(answer))
		}))
		slack, err := notify.NewSlack(server.URL)
		require.NoError(t, err)
		err = slack.Notify(t.Context(), notice())
		require.ErrorIs(t, err, notify.ErrPermanent)
		if answer = strings.TrimSpace(answer); shown {
			require.ErrorContains(t, err, "answered 404 ("+answer+")")
		} else {
			require.NotContains(t, err.Error(), answer)
		}
		server.Close()
	}
}
