package main

import (
	"bytes"
	"fmt"
	"io"
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
