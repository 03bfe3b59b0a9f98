package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/temporal"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/policy"
)

func printed(t *testing.T, print func(io.Writer)) string {
	t.Helper()
	var out bytes.Buffer
	print(&out)
	return out.String()
}

func TestPrintStatusSuggestsCommandsForAHold(t *testing.T) {
	at := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	text := printed(t, func(w io.Writer) {
		printStatus(w, messages.OrgSyncState{
			Org: "acme", State: messages.StateHeld, Policy: "sha256:p",
			Settings: messages.Settings{Feed: messages.Duration(30 * time.Second)},
			Hold: &messages.Hold{Plan: "sha256:h", Adds: 1, Adopts: 2, Removals: 3, People: 4,
				Rules: []string{"adopt: the first run"}, Changed: "replaces sha256:g"},
			Paused:  &messages.PauseInput{By: "ana", Reason: "audit"},
			Problem: &messages.Problem{Kind: "KeyRefused", Message: "make a new key", Since: at, Retry: at},
			LastRun: &messages.RunSummary{Run: "r2", Scope: messages.ScopePeople, State: messages.RunDone,
				Counts: messages.Counts{Done: 1, Shortage: 2}},
			LastFull: &messages.RunSummary{Run: "r1", Scope: messages.ScopeFull, State: messages.RunDone},
			Refused:  []messages.RefusedMessage{{Name: "pause", Why: "by is missing"}},
			Findings: []string{"uncovered-group x"},
		})
	})
	for _, want := range []string{
		"acme is held\n", "3 adds, 3 removals for 4 people", "plan sha256:h", "adopt: the first run",
		"this plan replaces sha256:g",
		`temporal workflow update execute --workflow-id org-sync:acme --name approve-plan --input '{"plan":"sha256:h","by":"you@example.com"}' --output json`,
		"--name reject-plan", "starter plan --held acme", "paused by ana: audit", "KeyRefused: make a new key",
		"last run: r2", "2 short of licences", "last full verification: r1",
		"signal pause at not set was not accepted: by is missing",
		"noticed: uncovered-group x", "every 30s",
	} {
		require.Contains(t, text, want)
	}
}

func TestPrintPlan(t *testing.T) {
	text := printed(t, func(w io.Writer) {
		printPlan(w, messages.ReportAnswer{Next: `{"person":"x"}`, Plan: &messages.PlanPage{
			Run: messages.RunSummary{Run: "r1", Scope: messages.ScopeFull,
				Counts: messages.Counts{People: 7, Adds: 1, Removals: 1, Held: 1}},
			Lines: []access.Change{
				{Person: "1", Email: "ana@acme.example", Target: "group:jira", Action: access.Add, State: access.Done,
					Reasons: []access.Reason{{Kind: access.ReasonMapping, Name: "eng"}}},
				{Person: "712020:x", Target: access.OrgAdmin, Action: access.Remove, State: access.Held,
					HeldBy: []string{"run-removals"}},
			},
			Noticed: []string{"key-expires key: in 5 days"},
		}})
	})
	for _, want := range []string{"7 people read: 1 adds, 1 removals", "ana@acme.example", "mapping eng", "712020:x",
		"run-removals", "more: --after '{\"person\":\"x\"}'", "key-expires key: in 5 days"} {
		require.Contains(t, text, want)
	}
	require.Equal(t, "nothing is held\n",
		printed(t, func(w io.Writer) { printPlan(w, messages.ReportAnswer{Message: "nothing is held"}) }))
	require.Contains(t, printed(t, func(w io.Writer) {
		printPlan(w, messages.ReportAnswer{Plan: &messages.PlanPage{Held: "sha256:held",
			Run: messages.RunSummary{Run: "r1", Scope: messages.ScopeFull, Trigger: "asked for", Plan: "sha256:all"}}})
	}), "run r1 (full, asked for) holds the plan sha256:held\n", "by this it is approved")
}

func TestPrintStatusShowsSourcesAndProvisions(t *testing.T) {
	at := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	state := messages.OrgSyncState{
		Org: "acme", State: messages.StateHeld,
		Settings: messages.Settings{
			Sources:    []messages.SourceSetting{{Name: "corp"}, {Name: "hr"}, {Name: "late"}},
			Provisions: []messages.ProvisionSetting{{Name: "staff"}, {Name: "guests"}},
		},
		Sources: []messages.SourceStatus{
			{Name: "corp", Read: at, People: 7, Groups: 2, Missing: 3, Suspect: "it shrank", Lacks: "3f2a"},
			{Name: "hr", Problem: "no route to host", Failing: at},
		},
		Provisions: []messages.ProvisionStatus{{Name: "staff", Done: at,
			States:   []messages.StateCount{{State: "absent", Count: 1}, {State: "linked", Count: 6}},
			Findings: []string{"duplicate staff: 1 people"},
			Problem:  &messages.Problem{Kind: "KeyRefused", Message: "make a new key", Since: at, Retry: at}}},
		Hold: &messages.Hold{Plan: "sha256:a", Adds: 1, People: 1},
		IdentityHold: &messages.Hold{Plan: "sha256:i", Provision: "staff", Adds: 1, Updates: 2, Removals: 3,
			Rules: []string{"rebind: 1 changes"}},
	}
	text := printed(t, func(w io.Writer) { printStatus(w, state) })
	for _, want := range []string{
		"source corp: 7 people, 2 groups, read completely at " + localTime(at),
		"suspect: it shrank", `--name accept-source --input '{"source":"corp","lacks":"3f2a","by":"you@example.com","note":""}'`,
		"3 missing from the last read", "source hr: never read completely",
		"cannot be read since " + localTime(at) + "; until it can, nobody counts as gone: no route to host",
		"source late: being read for the first time",
		"provision staff: 1 absent, 6 linked, at " + localTime(at), "KeyRefused: make a new key",
		"noticed: duplicate staff: 1 people", "provision guests: not run yet", "starter identities acme",
		"1 adds, 0 removals for 1 people\n    plan sha256:a",
		"provision staff, 1 additions, 2 updates and 3 removals\n    plan sha256:i",
		"rebind: 1 changes",
		`--name approve-plan --input '{"plan":"sha256:i","by":"you@example.com"}'`,
		`--name reject-plan --input '{"plan":"sha256:i","by":"you@example.com"}'`,
	} {
		require.Contains(t, text, want)
	}
	state.Settings, state.IdentityHold = messages.Settings{}, nil
	text = printed(t, func(w io.Writer) { printStatus(w, state) })
	require.NotContains(t, text, "source ")
	require.NotContains(t, text, "identities")
}

func TestShowPrintsJSON(t *testing.T) {
	var out bytes.Buffer
	s := &session{out: &out, json: true}
	require.NoError(t, s.show(messages.Answer{Message: "a <b> & c"},
		func(io.Writer) { t.Fatal("words were not asked for") }))
	var answer messages.Answer
	require.NoError(t, json.Unmarshal(out.Bytes(), &answer))
	require.Equal(t, "a <b> & c", answer.Message)
	require.Contains(t, out.String(), "<b>", "people read it too")
}

func TestErrorTextSuggestsWhatToDo(t *testing.T) {
	require.Contains(t, errorText(serviceerror.NewNotFound("no execution")), "starter apply FILE")
	refused := temporal.NewApplicationError("plan sha256:x is not open", "Refused")
	require.Equal(t, "plan sha256:x is not open", errorText(refused))
	require.Equal(t, "disk full", errorText(errors.New("disk full")))
	require.Contains(t, errorText(fmt.Errorf("ask: %w", serviceerror.NewDeadlineExceeded("context deadline exceeded"))),
		"try again")
}

func TestReadPolicyChecksTheFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "acme.yaml")
	require.NoError(t, os.WriteFile(file, []byte("version: 1\nmapings: []\n"), 0o600))
	_, _, err := readPolicy(file)
	require.ErrorContains(t, err, "acme.yaml:2", "a mistake comes with its place")
	_, _, err = readPolicy(filepath.Join(t.TempDir(), "none.yaml"))
	require.ErrorIs(t, err, os.ErrNotExist)

	text := "version: 1\norganization: {name: acme, id: 0a1b2c3d-0000-4000-8000-000000000001, key: \"env:KEY\"}\nmappings: [{name: eng, from: [eng], to: [\"group:jira\"]}]\n"
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	p, source, err := readPolicy(file)
	require.NoError(t, err)
	require.Equal(t, "acme", p.Organization.Name)
	var sent string
	require.NoError(t, json.Unmarshal(source, &sent))
	require.Equal(t, text, sent, "the file travels as its author wrote it")
}

func TestPrintTimetableUsesEachZone(t *testing.T) {
	p, err := policy.Parse("p", []byte(`
version: 1
organization: {name: acme, id: a1, key: "env:A"}
mappings: [{name: m, from: [eng], to: ["group:x"]}]
governance: {schedule: "0 9 1 * 1"}
reviews:
  - {name: spring, owner: ana@acme.example, schedule: "30 2 28 3 *", zone: Europe/Berlin, stages: [{reviewers: [ana@acme.example], length: 7d}]}
rules:
  - {name: nights, when: managed, give: ["group:x"], owner: ana@acme.example, during: {weekly: ["Mon-Fri 22:00-06:00"], zone: America/New_York}}
`))
	require.NoError(t, err)
	text := printed(t, func(w io.Writer) {
		printTimetable(w,
			p.Timetable(time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC), 2))
	})
	for _, want := range []string{
		"review spring opens", "Europe/Berlin", "Sun 2027-03-28 03:00 +02:00, Tue 2028-03-28 02:30 +02:00",
		"governance report", "Mon 2026-11-30 09:00 +00:00, Tue 2026-12-01 09:00 +00:00",
		"rule nights opens, closes", "Mon 2026-11-30 22:00 -05:00, Tue 2026-12-01 06:00 -05:00",
	} {
		require.Contains(t, text, want)
	}
	require.Empty(t, printed(t, func(w io.Writer) { printTimetable(w, nil) }))
}
