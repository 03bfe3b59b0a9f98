package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/messages"
)

func TestParseItems(t *testing.T) {
	for typed, want := range map[string][]int{
		"":         nil,
		"3":        {3},
		"3 1 3":    {1, 3},
		"3,1, 2":   {1, 2, 3},
		"7-9 1-2":  {1, 2, 7, 8, 9},
		"5-5,5":    {5},
		"1-100000": nil, // too many beside another
	} {
		if typed == "1-100000" {
			_, err := parseItems([]string{"200000", typed})
			require.ErrorContains(t, err, "too many items")
			continue
		}
		items, err := parseItems(strings.Fields(typed))
		require.NoError(t, err, typed)
		require.Equal(t, want, items, typed)
	}
	for _, wrong := range []string{"x", "0", "-1", "3-", "-3", "9-7", "1-2-3", "1.5", "1-999999999999"} {
		_, err := parseItems([]string{wrong})
		require.Error(t, err, wrong)
		require.ErrorContains(t, err, wrong)
	}
}

func TestDecideInputs(t *testing.T) {
	keep, remove := access.VerdictKeep, access.VerdictRemove
	many := make([]int, messages.MostItems+1)
	for n := range many {
		many[n] = n + 1
	}
	for name, c := range map[string]struct {
		args        string
		all         messages.ItemFilter
		recommended bool
		want        []messages.DecideInput
		err         string
	}{
		"numbers": {args: "KEEP 1 2",
			want: []messages.DecideInput{{Verdict: keep, Comment: "why", Items: []int{1, 2}}}},
		"more than one takes": {args: "remove 1-501",
			want: []messages.DecideInput{{Verdict: remove, Comment: "why", Items: many[:500]},
				{Verdict: remove, Comment: "why", Items: many[500:]}}},
		"a person's": {args: "remove",
			all: messages.ItemFilter{Person: "ana@acme.example", Target: access.OrgAdmin},
			want: []messages.DecideInput{{Verdict: remove, Comment: "why",
				All: &messages.ItemFilter{Person: "ana@acme.example", Target: access.OrgAdmin}}}},
		"all undecided": {args: "keep", all: messages.ItemFilter{Undecided: true},
			want: []messages.DecideInput{{Verdict: keep, Comment: "why", All: &messages.ItemFilter{Undecided: true}}}},
		"as recommended": {recommended: true, all: messages.ItemFilter{Target: access.OrgAdmin},
			want: []messages.DecideInput{{Verdict: keep, Comment: "why",
				All: &messages.ItemFilter{Target: access.OrgAdmin, Recommend: keep, Undecided: true}},
				{Verdict: remove, Comment: "why",
					All: &messages.ItemFilter{Target: access.OrgAdmin, Recommend: remove, Undecided: true}}}},
		"nothing":                {err: "give keep or remove"},
		"no items":               {args: "keep", err: "name the items"},
		"no verdict":             {args: "yes 1", err: `"yes" is not a verdict`},
		"both":                   {args: "keep 1", all: messages.ItemFilter{Undecided: true}, err: "not both"},
		"recommended, a verdict": {args: "keep", recommended: true, err: "leave out the verdict and the items"},
		"no number":              {args: "keep x", err: `"x" is not an item`},
	} {
		got, err := decideInputs(strings.Fields(c.args), c.all, c.recommended, "why")
		if c.err != "" {
			require.ErrorContains(t, err, c.err, name)
			continue
		}
		require.NoError(t, err, name)
		require.Equal(t, c.want, got, name)
	}
	_, err := decideInputs([]string{"keep", "1"}, messages.ItemFilter{}, false, strings.Repeat("ü", 1001))
	require.ErrorContains(t, err, "the comment has 1001 characters; at most 1000")
}

func TestReviewDecideRecommendedMergesTwoUpdates(t *testing.T) {
	f := &fakeTemporal{update: func(n int, _ string, _ any) (any, error) {
		if n == 0 {
			return messages.ReviewAnswer{Message: "3 items decided; 2 items left to decide", Applied: 3, Left: 2}, nil
		}
		return messages.ReviewAnswer{Message: "1 item decided, 1 item refused; 1 item left to decide", Applied: 1,
			Declined: 1, Left: 1,
			Refused: []messages.RefusedItem{{Item: 7, Why: "it is being carried out already"}}}, nil
	}}
	s, out, _ := f.session()
	err := f.run(t, s, "", "decide", quarterly.id, "--recommended", "--comment", "as advised")
	require.EqualError(t, err, "1 item was refused; all others were recorded")
	require.Equal(t, "3 items decided; 2 items left to decide\n1 item decided, 1 item refused; 1 item left to decide\n  item 7: it is being carried out already\n", out.String())
	require.Len(t, f.heard, 2)
	for _, sent := range f.heard {
		body := sent.Args[0].(messages.DecideInput)
		require.Equal(t, "bo@acme.example", body.By)
		require.Equal(t, "as advised", body.Comment)
		require.Equal(t, body.Verdict, body.All.Recommend)
	}

	s, out, _ = f.session()
	s.json = true
	f.heard = nil
	require.Error(t, f.run(t, s, "", "decide", quarterly.id, "--recommended"))
	var answer messages.ReviewAnswer
	require.NoError(t, json.Unmarshal(out.Bytes(), &answer), "one object: %s", out)
	require.Equal(t, 4, answer.Applied)
	require.Equal(t, 1, answer.Left)
}

func TestReviewDecideNeedsAPerson(t *testing.T) {
	f := &fakeTemporal{}
	for _, args := range [][]string{{"decide", quarterly.id, "keep", "1"}, {"show", quarterly.id, "--mine"},
		{"delegate", quarterly.id, "--to", "cy@acme.example"}} {
		s, _, _ := f.session()
		s.givenBy, s.by = "", "root"
		require.ErrorContains(t, f.run(t, s, "", args...), "--by you@example.com")
	}
}

func TestReviewDelegateCommentReopen(t *testing.T) {
	for args, want := range map[string]struct {
		update string
		body   any
	}{
		"delegate R --to cy@acme.example 2 4-5 --comment holidays": {messages.DelegateItems,
			messages.DelegateInput{By: "bo@acme.example", To: "cy@acme.example", Items: []int{2, 4, 5},
				Comment: "holidays"}},
		"delegate R --to cy@acme.example": {messages.DelegateItems,
			messages.DelegateInput{By: "bo@acme.example", To: "cy@acme.example"}},
		"comment R 2 hm": {messages.CommentItem,
			messages.CommentInput{By: "bo@acme.example", Item: 2, Comment: "hm"}},
		"reopen R 2 3": {messages.ReopenItems,
			messages.ReopenInput{By: "bo@acme.example", Items: []int{2, 3}}},
	} {
		f := &fakeTemporal{update: func(int, string, any) (any,
			error) {
			return messages.ReviewAnswer{Message: "so it is"}, nil
		}}
		s, out, _ := f.session()
		require.NoError(t, f.run(t, s, "", strings.Fields(strings.Replace(args, "R", quarterly.id, 1))...), args)
		require.Equal(t, "so it is\n", out.String())
		require.Equal(t, want.update, f.heard[0].UpdateName)
		sent, err := json.Marshal(f.heard[0].Args[0])
		require.NoError(t, err)
		var got, wanted map[string]any
		require.NoError(t, json.Unmarshal(sent, &got))
		require.NotEmpty(t, got["nonce"])
		delete(got, "nonce")
		require.NoError(t, copied(want.body, &wanted))
		require.Equal(t, wanted, got)
	}
	f := &fakeTemporal{}
	s, _, _ := f.session()
	require.ErrorContains(t, f.run(t, s, "", "comment", quarterly.id, "1-2", "x"), "a comment is about one item")
	require.ErrorContains(t, f.run(t, s, "", "delegate", quarterly.id), "starter review delegate needs --to")
}
