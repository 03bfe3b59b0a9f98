package main

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/messages"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// hourGrant returns a provisioned grant of one hour from noon on.
func hourGrant(change func(*access.Grant)) access.Grant {
	g := access.Grant{
		ID: "g1", Person: "712020:ana", Email: "ana@acme.example", Target: access.OrgAdmin, State: access.GrantGranted,
		Ticket: "INC-1",
		Reason: "mail\nis down", By: "bo@acme.example", From: noon, Until: noon.Add(time.Hour),
		ProvisionedAt: noon.Add(time.Second),
		Approvals:     []access.Approval{{By: "cy@acme.example"}, {By: "dan@acme.example"}},
	}
	change(&g)
	return g
}

func TestGrantState(t *testing.T) {
	after := noon.Add(2 * time.Hour)
	for want, c := range map[string]struct {
		at     time.Time
		change func(*access.Grant)
	}{
		"waits for approval (1 of 2) until " + localTime(after): {noon, func(g *access.Grant) {
			*g = access.Grant{State: access.GrantWaiting, Needs: 2, Approvals: g.Approvals[:1], ApprovalDeadline: after}
		}},
		"denied by cy@acme.example": {noon,
			func(g *access.Grant) { g.State, g.ClosedBy = access.GrantDenied, "cy@acme.example" }},
		"nobody decided in time": {noon, func(g *access.Grant) { g.State = access.GrantExpired }},
		"not begun":              {noon.Add(-time.Second), func(g *access.Grant) { g.ProvisionedAt = time.Time{} }},
		"being given":            {noon, func(g *access.Grant) { g.ProvisionedAt = time.Time{} }},
		"active":                 {noon, func(*access.Grant) {}},
		"being revoked":          {noon.Add(time.Hour), func(*access.Grant) {}},
		"over":                   {after, func(g *access.Grant) { g.State, g.RevokedAt = access.GrantEnded, after }},
		"ended early by ana@acme.example": {after, func(g *access.Grant) {
			g.State, g.RevokedAt, g.ClosedBy = access.GrantEnded, after, "ana@acme.example"
		}},
		"withdrawn by ana@acme.example": {after, func(g *access.Grant) {
			g.State, g.From, g.Until, g.RevokedAt, g.ClosedBy = access.GrantEnded, noon, noon, noon, "ana@acme.example"
		}},
	} {
		require.Equal(t, want, grantState(hourGrant(c.change), c.at))
	}
}

func TestPrintGrants(t *testing.T) {
	text := printed(t, func(w io.Writer) {
		printGrants(w, messages.ReportAnswer{Next: "g0", Grants: []access.Grant{
			hourGrant(func(*access.Grant) {}),
			hourGrant(func(g *access.Grant) { g.ID, g.Email, g.Urgent, g.Approvals = "g2", "", true, nil }),
		}}, noon)
	})
	for _, want := range []string{"g1", "ana@acme.example", "role:org-admin", "active", "bo@acme.example",
		"cy@acme.example, dan@acme.example", "INC-1 mail is down", "712020:ana", "nobody: break-glass",
		"more: --after g0"} {
		require.Contains(t, text, want)
	}
	require.Equal(t, "no grants\n", printed(t, func(w io.Writer) { printGrants(w, messages.ReportAnswer{}, noon) }))
}

func TestPrintHours(t *testing.T) {
	answer := messages.ReportAnswer{Message: "2.5 hours of privilege since 2026-01-01", Hours: []messages.Privilege{
		{Month: "2026-02", Person: "ana@acme.example", Target: access.OrgAdmin,
			Held: messages.Duration(2*time.Hour + 30*time.Minute + 100*time.Millisecond), Grants: 3},
	}}
	text := printed(t, func(w io.Writer) { printHours(w, answer) })
	require.Regexp(t, `2026-02 +ana@acme.example +role:org-admin +2h30m0s +3\n\n2.5 hours of privilege since 2026-01-01\n$`, text)
}

func TestPrintAnswerSuggestsCommands(t *testing.T) {
	text := printed(t, func(w io.Writer) {
		printAnswer(w, messages.GrantAnswer{Message: "it waits", Workflow: "grant:acme:role:org-admin:ana@acme.example",
			Grants: []access.Grant{
				hourGrant(func(g *access.Grant) { g.State = access.GrantWaiting }),
				hourGrant(func(g *access.Grant) { g.ID = "g2" }),
			}})
	})
	for _, want := range []string{"it waits\n", "starter approve g1 --by", "starter revoke --request g2",
		"grant:acme:role:org-admin:ana@acme.example"} {
		require.Contains(t, text, want)
	}
}

func TestActingPersonHasAnAddressOrAccountID(t *testing.T) {
	for said, right := range map[string]bool{
		"bo@acme.example": true, "712020:5b1c-77": true, "5b10ac8d82e05b22cc7d4ef5": true,
		"": false, "root": false, "Bo Ray": false, "bo@acme@example": false, "@": false,
	} {
		who, err := (&session{givenBy: said, by: "root"}).actingPerson()
		if right {
			require.NoError(t, err, said)
			require.Equal(t, said, who)
			continue
		}
		require.ErrorContains(t, err, "--by you@example.com", said)
		require.ErrorContains(t, err, "CASTELLAN_BY", said)
	}
}

func TestApprovalCode(t *testing.T) {
	waiting := hourGrant(func(g *access.Grant) { g.State, g.Codes = access.GrantWaiting, true })
	for name, c := range map[string]struct {
		grant              access.Grant
		given, typed, want string
		err                string
	}{
		"given":                  {grant: waiting, given: "ABCDE", want: "ABCDE"},
		"from standard input":    {grant: waiting, given: "-", typed: " ABCDE \nmore", want: "ABCDE"},
		"without an end of line": {grant: waiting, given: "-", typed: "ABCDE", want: "ABCDE"},
		"nothing comes":          {grant: waiting, given: "-", err: "no code came"},
		"no terminal to ask on":  {grant: waiting, typed: "ABCDE", err: "--code -"},
		"none is wanted":         {grant: hourGrant(func(g *access.Grant) { g.State = access.GrantWaiting })},
		"decided already":        {grant: hourGrant(func(g *access.Grant) { g.Codes = true })},
	} {
		got, err := approvalCode(strings.NewReader(c.typed), c.given, c.grant)
		if c.err != "" {
			require.ErrorContains(t, err, c.err, name)
			continue
		}
		require.NoError(t, err, name)
		require.Equal(t, c.want, got, name)
	}
}

func TestApproveSendsAProofNotTheCode(t *testing.T) {
	waiting := hourGrant(func(g *access.Grant) { g.State, g.Codes = access.GrantWaiting, true })
	temporal := &fakeTemporal{
		answer: func(messages.ReportInput) (messages.ReportAnswer, error) {
			return messages.ReportAnswer{Grants: []access.Grant{waiting}}, nil
		},
		update: func(int, string, any) (any, error) { return messages.GrantAnswer{Message: "noted"}, nil },
	}
	for _, name := range []string{messages.Approve, messages.Deny} {
		s, _, _ := temporal.session()
		c := s.approve()
		if name == messages.Deny {
			c = s.deny()
		}
		c.SetIn(strings.NewReader("abcde fghij\n"))
		c.SetArgs([]string{"g1", "--code", "-", "--note", "fine"})
		require.NoError(t, c.ExecuteContext(t.Context()))
		said := temporal.heard[len(temporal.heard)-1]
		require.Equal(t, messages.OrgSyncID("acme"), said.WorkflowID)
		require.Equal(t, name, said.UpdateName)
		body := said.Args[0].(messages.ApprovalInput)
		require.Equal(t, messages.Proof(messages.CodeHash("ABCDEFGHIJ"), messages.OrgSyncID("acme"), name, body),
			body.Proof)
		text, err := json.Marshal(body)
		require.NoError(t, err)
		require.NotContains(t, strings.ToLower(string(text)), "abcde")
		require.Contains(t, string(text), `"request":"g1","by":"bo@acme.example","note":"fine"`)
	}
}

func TestPrintGrantsEscapesTerminalSequences(t *testing.T) {
	hostile := hourGrant(func(g *access.Grant) {
		g.Reason, g.By, g.Email = "a\x1b[2Jb\nREQUEST  forged\u202e", "x'$(touch pwned)'",
			"ana\x1b]0;owned\x07@acme.example"
	})
	var out bytes.Buffer
	printGrants(&out, messages.ReportAnswer{Grants: []access.Grant{hostile}}, noon)
	require.Equal(t, 2, strings.Count(out.String(), "\n"))
	require.NotContains(t, out.String(), "\x1b")
	require.Contains(t, out.String(), "a⟨U+001B⟩[2Jb REQUEST forged⟨U+202E⟩")
}

func TestDurationFlagAcceptsDays(t *testing.T) {
	for written, want := range map[string]time.Duration{"1d": 24 * time.Hour, "2h30m": 150 * time.Minute,
		"1w1d": 8 * 24 * time.Hour} {
		var s durationValue
		require.NoError(t, s.Set(written))
		require.Equal(t, want, time.Duration(s))
	}
	var s durationValue
	require.ErrorContains(t, s.Set("a day"), "write for example 30s, 2h30m, 7d or 2w")
}

func TestParseTime(t *testing.T) {
	for written, want := range map[string]time.Time{
		"": {}, "2026-03-02": noon.Add(-12 * time.Hour), "2026-03-02T13:00:00+01:00": noon,
	} {
		at, err := parseTime("--since", written)
		require.NoError(t, err)
		require.True(t, want.Equal(at), written)
	}
	_, err := parseTime("--since", "yesterday")
	require.ErrorContains(t, err, `--since "yesterday"`)
}
