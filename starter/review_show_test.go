package main

import (
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/messages"
)

var yes = true

// fullItem returns an item with every field set.
func fullItem() access.Item {
	return access.Item{
		N: 1, Person: "712020:ana", Email: "ana@partner.example", Name: "Ana Ray", Status: "suspended", External: &yes,
		Sponsor: "cy@acme.example",
		Target:  "group:jira-admins", Opens: []string{"jira/acme", "confluence/acme"}, Owned: true,
		Since: noon.AddDate(0, -2, 0), Risk: 85,
		Reasons: []access.Reason{{Kind: access.ReasonMapping, Name: "admins", Source: "it"},
			{Kind: access.ReasonGrant, Name: "g1"}},
		Uses: []access.Use{{App: "jira/acme", Last: noon.AddDate(0, 0, -3)}, {App: "confluence/acme", Never: true},
			{App: "jsm/acme"}},
		Peers: &access.Peers{Group: "it", Of: 14, Hold: 2}, Recommend: access.VerdictRemove,
		Because: "2 of 14 peers hold it",
		Risks:   []string{"protected", "few peers"},
		Before:  &access.PastDecision{Verdict: access.VerdictKeep, By: "dan@acme.example", At: noon.AddDate(0, -3, 0)},
		Verdict: access.VerdictRemove, Stage: 1, Version: 2, Said: []access.ItemDecision{
			{Stage: 1, By: "bo@acme.example", Verdict: access.VerdictKeep, At: noon},
			{Stage: 1, By: "cy@acme.example", Verdict: access.VerdictRemove, Comment: "left\nthe team", At: noon},
		},
	}
}

// bareItem returns an item of which little is known.
func bareItem() access.Item {
	return access.Item{N: 12, Person: "712020:x", Target: access.OrgAdmin, Risk: 3}
}

func TestReviewShow(t *testing.T) {
	inUTC(t)
	open := listed("2026-03-02", access.ReviewOpen)
	open.Findings = []string{"group:gone is not there"}
	answer := messages.ReportAnswer{
		Next: "12", Items: []access.Item{fullItem(), bareItem()},
		Review: &messages.ReviewStatus{Review: open.Review,
			Progress: messages.ReviewProgress{Items: 40, Asked: 40, Decided: 12, Keep: 10, Remove: 2,
				Reviewers: []messages.ReviewerProgress{
					{Reviewer: "bo@acme.example", Role: access.TaskReviewer, Items: 20, Decided: 3},
					{Reviewer: "eva@acme.example", Role: access.TaskFallback, Items: 11, Decided: 2, Gone: true},
					{Reviewer: "cy@acme.example", Role: access.TaskReviewer, Items: 9, Decided: 9},
				}}},
	}
	text := printed(t, func(w io.Writer) {
		printReview(w, quarterly, answer,
			messages.ReportInput{By: "bo@acme.example"})
	})
	require.Equal(t, `review quarterly:2026-03-02 of acme: open, stage 1 of 2
  opened    2026-03-02 12:00:00 UTC, 40 items
  due       2026-03-16 12:00:00 UTC
  decided   12 of 40 in this stage
  verdicts  10 keep, 2 remove, 28 none
  noticed   group:gone is not there

who has most left:
  bo@acme.example   3 of 20 decided
  eva@acme.example  2 of 11 decided, as fallback, gone

1  risk 85  ana@partner.example (Ana Ray, external, sponsor cy@acme.example, suspended)  group:jira-admins
   why held     mapping admins (source group it); grant g1
   since        2026-01-02, made by Castellan
   last use     jira/acme 2026-02-27, confluence/acme never, jsm/acme not known
   peers        2 of 14 others in it hold it
   risks        protected, few peers
   before       keep by dan@acme.example on 2025-12-02
   recommended  remove: 2 of 14 peers hold it
   decided      remove (keep by bo@acme.example; remove by cy@acme.example: left the team)

12  risk 3  712020:x  role:org-admin
   why held     nothing in the policy explains it
   since        not known, made by someone else
   last use     not known
   peers        nobody to compare with
   recommended  nothing
   decided      by nobody yet

more: --after 12

decide: starter review decide quarterly:2026-03-02 --org acme --by bo@acme.example keep ITEM… (or remove ITEM…, or --recommended)
`, text)
}

func TestReviewShowOfAFinishedReview(t *testing.T) {
	inUTC(t)
	done := listed("2026-03-02", access.ReviewDone).Review
	done.Closed, done.ClosedBy, done.ClosedWhy, done.Head, done.Lines = noon, "bo@acme.example", "enough",
		"sha256:h", 99
	late := bareItem()
	late.Verdict, late.Silent, late.Outcome, late.Why, late.Until = access.VerdictRemove, true, access.OutcomeLate,
		"not in time\x1b[2J", noon
	text := printed(t, func(w io.Writer) {
		printReview(w, quarterly, messages.ReportAnswer{Items: []access.Item{late},
			Review: &messages.ReviewStatus{Review: done, Progress: messages.ReviewProgress{
				Items: 40, Keep: 30, Remove: 10,
				Outcomes: map[access.Outcome]int{access.OutcomeKept: 30, access.OutcomeRemoved: 9,
					access.OutcomeLate: 1},
				Reviewers: []messages.ReviewerProgress{{Reviewer: "bo@acme.example", Items: 3}},
			}}}, messages.ReportInput{})
	})
	require.Equal(t, `review quarterly:2026-03-02 of acme: done
  opened    2026-03-02 12:00:00 UTC, 40 items
  verdicts  30 keep, 10 remove, 0 none
  outcomes  1 late, 30 kept, 9 removed
  closed    2026-03-02 12:00:00 UTC, bo@acme.example: enough
  evidence  99 lines, head sha256:h: starter review evidence quarterly:2026-03-02 --org acme

12  risk 3  712020:x  role:org-admin
   why held     nothing in the policy explains it
   since        not known, made by someone else
   last use     not known
   peers        nobody to compare with
   recommended  nothing
   decided      remove by nobody: the rule for silence
   outcome      late: not in time⟨U+001B⟩[2J, until 2026-03-02 12:00:00 UTC
`, text)
}

func TestReviewShowAppliesItsFlags(t *testing.T) {
	for args, want := range map[string]messages.ReportInput{
		"show R": {Limit: 50},
		"show R --mine --undecided --person ana@acme.example --target group:x --limit 5 --after 7": {
			By: "bo@acme.example", Open: true, Person: "ana@acme.example", Target: "group:x", Limit: 5, After: "7"},
		"show R --outcome late,held --outcome refused": {
			States: []string{"late", "held", "refused"}, Limit: 50},
	} {
		f := &fakeTemporal{answer: func(messages.ReportInput) (messages.ReportAnswer, error) {
			return messages.ReportAnswer{Review: &messages.ReviewStatus{
				Review: listed("2026-03-02", access.ReviewDone).Review}}, nil
		}}
		s, out, _ := f.session()
		require.NoError(t, f.run(t, s, "", commandArgs(args)...), args)
		want.Org, want.Kind, want.ID = "acme", messages.ReportReview, quarterly.id
		require.Equal(t, []messages.ReportInput{want}, f.asked)
		require.Contains(t, out.String(), "no items match")
	}
	f := &fakeTemporal{}
	s, _, _ := f.session()
	require.ErrorContains(t, f.run(t, s, "", commandArgs("show R --outcome lost")...),
		`--outcome "lost": the outcomes are [open held kept`)
	require.Error(t, f.run(t, s, "", commandArgs("show R --target nonsense")...))
	require.Empty(t, f.asked)
}
