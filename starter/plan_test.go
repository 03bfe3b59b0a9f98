package main

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/messages"
)

func TestPlanAndApplyCheckTheFileFirst(t *testing.T) {
	t.Setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
	broken := files(t, "version: 1\nnonsense: true\n", "")[0]
	for _, args := range [][]string{{"plan", broken}, {"apply", broken}} {
		root := command()
		root.SetOut(io.Discard)
		root.SetErr(io.Discard)
		root.SetArgs(args)
		err := root.Execute()
		require.ErrorContains(t, err, "the policy is not accepted")
		require.ErrorContains(t, err, broken+":2")
		require.NotContains(t, err.Error(), "reach Temporal")
	}
}

func TestPrintPlanNamesOneSourceGroupAndCountsTheOthers(t *testing.T) {
	var many []access.Reason
	for i := range 500 {
		many = append(many, access.Reason{Kind: access.ReasonMapping, Name: "everything",
			Source: fmt.Sprintf("team-%d", i)})
	}
	var out bytes.Buffer
	printPlan(&out, messages.ReportAnswer{Plan: &messages.PlanPage{Lines: []access.Change{{
		Action: access.Add, Person: "712020:ana", Email: "ana@acme.example", Target: "group:jira", Reasons: many,
	}}}})
	require.Contains(t, out.String(), "mapping everything (source group team-0) and 499 other source groups")
	require.Less(t, out.Len(), 1000)
}

// recordLine is a change of a record that waits.
var recordLine = access.Change{
	Action: access.Update, Person: "712020:ana", Email: "ana@acme.example", Target: access.RecordTarget("staff"),
	Sources: []string{"corp:7"}, State: access.Held, HeldBy: []string{"email-change"},
	Edits: []access.Edit{{Attribute: "title", From: "", To: "Lead"}, {Attribute: "emails", From: "a@x", To: "b\u202e\tc@x"}},
}

func TestPrintPlanShowsEachValueOfARecord(t *testing.T) {
	for name, run := range map[string]messages.RunSummary{
		"a run over records":   {Run: "r1", Scope: messages.ScopeProvision, Counts: messages.Counts{People: 7, Updates: 1, Held: 1}},
		"a hold that is done":  {Run: "r1", Scope: messages.ScopeHold, Counts: messages.Counts{People: 7, Updates: 1, Held: 1}},
		"a run of an undo too": {Run: "r1", Scope: messages.ScopeUndo, Counts: messages.Counts{People: 7, Updates: 1, Held: 1}},
	} {
		var out bytes.Buffer
		printPlan(&out, messages.ReportAnswer{Plan: &messages.PlanPage{Run: run, Lines: []access.Change{recordLine,
			{Action: access.Remove, Person: "712020:bo", Target: access.RecordTarget("staff"), Sources: []string{"corp:8"},
				Edits: []access.Edit{{Attribute: "active", From: "true", To: "false"}}}}}})
		text := regexp.MustCompile(` +`).ReplaceAllString(out.String(), " ")
		for _, want := range []string{
			"7 people decided: 0 records to create, 1 to update, 0 to deactivate; the guard holds 1 of these changes",
			"update ana@acme.example corp:7 title: \"\" → \"Lead\" held email-change",
			`update ana@acme.example corp:7 emails: "a@x" → "b\u202e\tc@x" held email-change`,
			"deactivate 712020:bo corp:8 active: \"true\" → \"false\"",
		} {
			require.Contains(t, text, want, name)
		}
	}
}

// TestPlanHeldShowsBothHolds: what is held of records is shown beside what is held of access, and once if it is alone.
func TestPlanHeldShowsBothHolds(t *testing.T) {
	access1 := messages.PlanPage{Run: messages.RunSummary{Run: "r1", Scope: messages.ScopeFull}, Lines: []access.Change{
		{Action: access.Add, Person: "p", Target: "group:jira"}}}
	records := messages.PlanPage{Run: messages.RunSummary{Run: "r2", Scope: messages.ScopeProvision},
		Lines: []access.Change{recordLine}}
	for name, c := range map[string]struct {
		access, records *messages.PlanPage
		asked           int
		want, not       string
	}{
		"both":    {&access1, &records, 2, "run r2", "nothing"},
		"access":  {&access1, nil, 2, "run r1", "nothing"},
		"records": {nil, &records, 1, "run r2", "run r1"},
		"none":    {nil, nil, 1, "nothing is held", "run"},
	} {
		f := &fakeTemporal{answer: func(in messages.ReportInput) (messages.ReportAnswer, error) {
			answer := messages.ReportAnswer{Message: "nothing is held"}
			if answer.Plan = c.access; answer.Plan == nil || in.Lane == messages.LaneIdentity {
				answer.Plan = c.records
			}
			return answer, nil
		}}
		s, out, _ := f.session()
		command := s.plan()
		command.SetArgs([]string{"--held", "acme"})
		require.NoError(t, command.ExecuteContext(t.Context()), name)
		require.Len(t, f.asked, c.asked, name)
		require.Contains(t, out.String(), c.want, name)
		require.NotContains(t, out.String(), c.not, name)
		if c.access != nil {
			require.Contains(t, out.String(), "run r1", name)
		}
	}
}
