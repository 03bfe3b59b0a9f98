package workflows_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/reviews"
	"github.com/castellan-io/castellan/messages"
)

// badWords are words that are refused while a stage lasts, and why.
var badWords = map[string]struct{ name, body, why string }{
	"nobody decides": {messages.DecideItems, `{"verdict":"keep","items":[1]}`, "by is missing"},
	"an unknown verdict": {messages.DecideItems, `{"by":"rita@acme.example","verdict":"maybe","items":[1]}`,
		`the verdict "maybe" is unknown; say keep or remove`},
	"no verdict": {messages.DecideItems, `{"by":"rita@acme.example","items":[1]}`,
		`the verdict "" is unknown`},
	"no items": {messages.DecideItems, `{"by":"rita@acme.example","verdict":"keep"}`,
		"items are missing"},
	"items twice": {messages.DecideItems,
		`{"by":"rita@acme.example","verdict":"keep","items":[1],"all":{}}`, "by only one of items, all and lines"},
	"a line without a verdict": {messages.DecideItems, `{"by":"rita@acme.example","lines":[{"item":1}]}`,
		`the verdict "" is unknown`},
	"too many items": {messages.DecideItems,
		`{"by":"rita@acme.example","verdict":"keep","items":[` + strings.Repeat("1,", 500) + `1]}`,
		"items has 501 elements; at most 500 are allowed"},
	"an endless comment": {messages.DecideItems,
		`{"by":"rita@acme.example","verdict":"keep","items":[1],"comment":"` + strings.Repeat("x", 1<<20) + `"}`,
		"split it"},
	"a character of no text": {messages.DecideItems,
		`{"by":"rita@acme.example","verdict":"keep","items":[1],"comment":"a\u0000b"}`, "U+0000"},
	"a reason of no text": {messages.Extend, `{"by":"bo@acme.example","duration":"24h","reason":"\u0000"}`,
		"U+0000"},
	"a name that is none": {messages.DecideItems,
		`{"by":"` + strings.Repeat("r", 321) + `","verdict":"keep","items":[1]}`, "has 321 bytes; at most 320"},
	"a delegate that is none": {messages.DelegateItems,
		`{"by":"rita@acme.example","to":"` + strings.Repeat("r", 321) + `"}`, "has 321 bytes; at most 320"},
	"a reviewer that is none": {messages.Remind, `{"by":"bo@acme.example","reviewer":"` + strings.Repeat("r", 321) +
		`"}`, "has 321 bytes; at most 320"},
	"links of nobody": {messages.RevokeLinks,
		`{"by":"bo@acme.example","reviewer":"` + strings.Repeat("r", 321) + `"}`, "has 321 bytes; at most 320"},
	"an unknown field": {messages.DecideItems, `{"by":"rita@acme.example","verdict":"keep","item":1}`,
		`unknown field "item"`},
	"no JSON object": {messages.DecideItems, `"keep"`, "input is not valid"},
	"two objects": {messages.DecideItems, `{"by":"rita@acme.example","verdict":"keep","items":[1]} {}`,
		"after top-level value"},
	"nobody delegates":       {messages.DelegateItems, `{"to":"fay@acme.example"}`, "by is missing"},
	"a delegation to nobody": {messages.DelegateItems, `{"by":"rita@acme.example"}`, "to is missing"},
	"a delegation twice": {messages.DelegateItems,
		`{"by":"rita@acme.example","to":"fay@acme.example","items":[1],"all":{}}`, "by only one of items, all and lines"},
	"nobody comments": {messages.CommentItem, `{"item":1,"comment":"why?"}`, "by is missing"},
	"a comment on nothing": {messages.CommentItem, `{"by":"rita@acme.example","comment":"why?"}`,
		"item is missing"},
	"an empty comment":        {messages.CommentItem, `{"by":"rita@acme.example","item":1}`, "comment is missing"},
	"nobody reopens":          {messages.ReopenItems, `{"items":[1]}`, "by is missing"},
	"nothing to reopen":       {messages.ReopenItems, `{"by":"rita@acme.example"}`, "items are missing"},
	"nobody reminds":          {messages.Remind, `{}`, "by is missing"},
	"nobody revokes links":    {messages.RevokeLinks, `{}`, "by is missing"},
	"nobody extends":          {messages.Extend, `{"duration":"24h"}`, "by is missing"},
	"an extension by nothing": {messages.Extend, `{"by":"bo@acme.example"}`, "duration is missing"},
	"an extension into the past": {messages.Extend, `{"by":"bo@acme.example","duration":"-24h"}`,
		"duration is missing"},
	"an extension without end": {messages.Extend, `{"by":"bo@acme.example","duration":"2161h"}`,
		"is too long; at most 2160h"},
	"an extension of no duration": {messages.Extend, `{"by":"bo@acme.example","duration":"soon"}`, "soon"},
	"nobody closes":               {messages.CloseReview, `{}`, "by is missing"},
	"nobody cancels":              {messages.CancelReview, `{}`, "by is missing"},
}

// What is refused as an update leaves no trace; as a signal it is recorded and shown. Nothing comes of either.
func TestAccessReviewBadMessages(t *testing.T) {
	for name, test := range badWords {
		t.Run(name, func(t *testing.T) {
			c := newReviewTest(t)
			c.silence = keep
			update := c.updateAt(time.Hour, test.name, typed(test.body))
			c.at(2*time.Hour, func() { require.Empty(t, c.status().Refused) })
			c.signalAt(3*time.Hour, test.name, typed(test.body))
			c.at(4*time.Hour, func() {
				s := c.status()
				require.Equal(t, messages.ReviewDeciding, s.Phase)
				require.Len(t, s.Refused, 1)
				require.Equal(t, test.name, s.Refused[0].Name)
				contains(t, s.Refused[0].Why, test.why)
				require.Less(t, len(s.Refused[0].Why), 600)
				contains(t, c.page(), "### Signals that were not accepted", "2026-03-02 12:00:00 UTC "+test.name)
			})
			c.mustEnd()
			require.ErrorContains(t, update.rejected, test.why)
			require.False(t, update.accepted)
			require.Zero(t, c.called("ReviewSay")+c.called("ReviewMark")+c.called("ReviewRevoke"))
			require.Equal(t, 10*day, from(c.review.Closed))
		})
	}
}

// What the ledger refuses is an answer to an update, and is shown of a signal.
func TestAccessReviewMessagesThatTheLedgerRefuses(t *testing.T) {
	c := newReviewTest(t)
	update := c.decides(time.Hour, "eve@acme.example", keep, 1)
	c.signalAt(2*time.Hour, messages.DecideItems, typed(`{"by":"eve@acme.example","verdict":"keep","items":[1]}`))
	partly := c.decides(3*time.Hour, rita, keep, 1, 4)
	c.at(4*time.Hour, func() {
		s := c.status()
		require.Len(t, s.Refused, 1)
		contains(t, s.Refused[0].Why, "eve@acme.example is not asked about anything")
	})
	c.mustEnd()
	require.True(t, update.accepted)
	require.ErrorContains(t, update.err, "eve@acme.example is not asked about anything")
	contains(t, partly.message(t), `"applied":1`, `"declined":1`, "not one of the items that you are asked about")
}

// A signal nobody listens to does not go unnoticed.
func TestAccessReviewSignalsThatAReviewDoesNotKnow(t *testing.T) {
	c := newReviewTest(t)
	c.signalAt(time.Hour, "decice", typed(`{"by":"rita@acme.example","verdict":"keep","items":[1]}`))
	c.signalAt(time.Hour, messages.Approve, typed(`{}`))
	c.at(2*time.Hour, func() {
		s := c.status()
		require.Len(t, s.Refused, 2)
		require.Equal(t, "decice", s.Refused[0].Name)
		require.Equal(t, "there is no such signal; the signals are decide, delegate, comment, reopen, remind, revoke-links, extend, close, cancel", s.Refused[0].Why)
	})
	c.mustEnd()
}

func TestAccessReviewOnlyTheLastRefusalsAreKept(t *testing.T) {
	c := newReviewTest(t)
	for i := range 25 {
		c.signalAt(time.Duration(i+1)*time.Minute, fmt.Sprintf("word-%02d", i), typed(`{}`))
	}
	s := c.mustEnd()
	require.Len(t, s.Refused, 10)
	require.Equal(t, "word-24", lastOf(s.Refused).Name)
}

// A signal does what the update of the same name and body does.
func TestAccessReviewSignalIsAnUpdate(t *testing.T) {
	words := []struct {
		name string
		body string
	}{
		{messages.DecideItems, `{"by":"rita@acme.example","verdict":"keep","items":[1,2]}`},
		{messages.DecideItems, `{"by":"rita@acme.example","lines":[{"item":1,"verdict":"remove"},{"item":2,"verdict":"remove"}]}`},
		{messages.ReopenItems, `{"by":"rita@acme.example","items":[2]}`},
		{messages.CommentItem, `{"by":"rita@acme.example","item":2,"comment":"left for sam"}`},
		{messages.DelegateItems, `{"by":"rita@acme.example","to":"sam@acme.example"}`},
		{messages.DecideItems, `{"by":"sam@acme.example","verdict":"keep","all":{"undecided":true}}`},
		{messages.RevokeLinks, `{"by":"bo@acme.example"}`},
	}
	want := map[int][]string{
		1: {"decided keep", "decided remove"},
		2: {"decided keep", "decided remove", "reopened", "commented left for sam", "delegated sam@acme.example",
			"decided keep"},
		3: {"decided keep"}, 4: {"decided keep"},
	}
	for kind, send := range map[string]func(c *reviewTest, after time.Duration, name string, body any){
		"update": func(c *reviewTest, after time.Duration, name string, body any) { c.updateAt(after, name, body) },
		"signal": func(c *reviewTest, after time.Duration, name string, body any) { c.signalAt(after, name, body) },
	} {
		t.Run(kind, func(t *testing.T) {
			c := newReviewTest(t)
			c.paused = true
			for i, w := range words {
				send(c, time.Duration(i+1)*time.Second, w.name, typed(w.body))
			}
			c.mustEnd()
			require.Equal(t, 1, c.links)
			for n, words := range want {
				require.Equal(t, words, c.decisionsOn(n), "item %d", n)
			}
			require.Less(t, from(c.review.Closed), time.Minute)
		})
	}
}

// However many speak at once, the history grows by a few activities, and each gets their own answer.
func TestAccessReviewManyMessagesAtOnce(t *testing.T) {
	c := newReviewTest(t)
	var names []string
	for i := range 20 {
		names = append(names, fmt.Sprintf("p%d", i))
	}
	c.people(names...)
	c.rounds[0].reviewers = func(n int) string { return fmt.Sprintf("r%d@acme.example", n) }
	c.takes["ReviewSay"] = func() time.Duration { return 50 * time.Millisecond }
	var answers []*answer
	for n := 1; n <= 20; n++ {
		verdict := keep
		if n%2 == 0 {
			verdict = remove
		}
		if n == 13 {
			verdict = "remove" // by somebody who is not asked
			answers = append(answers, c.decides(time.Hour, "eve@acme.example", verdict, n))
			continue
		}
		answers = append(answers, c.decides(time.Hour, fmt.Sprintf("r%d@acme.example", n), verdict, n))
	}
	c.silence = keep
	c.at(time.Hour+time.Minute, func() {
		require.LessOrEqual(t, c.called("ReviewProgress"), 4, "nor is it counted at every word")
	})
	c.mustEnd()
	for i, a := range answers {
		if i == 12 {
			require.ErrorContains(t, a.err, "eve@acme.example is not asked")
			continue
		}
		contains(t, a.message(t), `"applied":1`, `"left":0`)
		require.Len(t, c.decisionsOn(i+1), 1)
	}
	require.LessOrEqual(t, c.called("ReviewSay"), 2)
}

// A step records no more than fits into one payload.
func TestAccessReviewLargeMessages(t *testing.T) {
	c := newReviewTest(t)
	c.takes["ReviewSay"] = func() time.Duration { return time.Second }
	for n := range 8 {
		in := messages.DecideInput{By: rita}
		for i := range messages.MostItems {
			in.Lines = append(in.Lines, messages.DecideLine{Item: 1 + 1000*i,
				Verdict: []access.Verdict{keep, remove}[n%2], Comment: strings.Repeat("x", messages.MostComment)})
		}
		c.updateAt(time.Hour, messages.DecideItems, in)
	}
	c.mustEnd()
	require.Len(t, c.decisionsOn(1), 8)
	for i, name := range c.calls {
		if name == "ReviewSay" {
			require.Less(t, len(c.inputs[i]), 3<<19)
		}
	}
}

// Two words of one reviewer in one instant are two words, whichever step records them: the ledger takes the same word
// at the same instant for a repeat.
func TestAccessReviewMessagesOfOneInstant(t *testing.T) {
	c := newReviewTest(t)
	c.takes["ReviewSay"] = func() time.Duration { return time.Second }
	c.at(time.Hour, func() {
		for _, v := range []access.Verdict{keep, remove, keep} {
			c.env.UpdateWorkflow(messages.DecideItems, "", &answer{},
				messages.DecideInput{By: rita, Verdict: v, Items: []int{1}})
		}
	})
	c.at(2*time.Hour, func() { require.Equal(t, keep, c.items[0].Verdict) })
	c.mustEnd()
	require.Equal(t, []string{"decided keep", "decided remove", "decided keep"}, c.decisionsOn(1))
}

// A code goes no further than its hash.
func TestAccessReviewCodesGoNoFurther(t *testing.T) {
	c := newReviewTest(t)
	c.codes[rita], c.codes[sam] = "ABCDE-FGHIJ", "KLMNO-PQRST"
	wrong := c.updateAt(time.Hour, messages.DecideItems,
		messages.DecideInput{By: rita, Verdict: keep, Items: []int{1}, Credential: messages.Credential{Code: "WRONG-CODES"}})
	for name, body := range map[string]any{
		messages.DecideItems: messages.DecideInput{By: rita, Verdict: keep, Items: []int{1},
			Credential: messages.Credential{Code: "ABCDE-FGHIJ"}},
		messages.CommentItem: messages.CommentInput{By: rita, Item: 1, Comment: "fine",
			Credential: messages.Credential{Code: "ABCDE-FGHIJ"}},
		messages.DelegateItems: messages.DelegateInput{By: rita, To: fay, Items: []int{2},
			Credential: messages.Credential{Code: "ABCDE-FGHIJ"}},
		messages.ReopenItems: messages.ReopenInput{By: sam, Items: []int{3},
			Credential: messages.Credential{Code: "KLMNO-PQRST"}},
	} {
		right := c.updateAt(2*time.Hour, name, body)
		c.at(3*time.Hour, func() { contains(t, right.message(t), `"message":`) })
		text, err := json.Marshal(body)
		require.NoError(t, err)
		c.signalAt(4*time.Hour, name, typed(string(text)))
	}
	c.at(5*time.Hour, func() {
		require.NotContains(t, c.page(), "FGHIJ")
		status, err := json.Marshal(c.status())
		require.NoError(t, err)
		require.NotContains(t, string(status), "FGHIJ")
	})
	c.mustEnd()
	require.ErrorContains(t, wrong.err, "the code is not the one")
	require.Contains(t, c.burning.burnt, messages.CodeHash("ABCDE-FGHIJ"), "what was typed counts no more")
	said := 0
	for i, in := range c.inputs {
		require.NotContains(t, in, "FGHIJ", c.calls[i])
		require.NotContains(t, in, "PQRST", c.calls[i])
		said += strings.Count(in, `"codeHash":"`)
	}
	require.Equal(t, 9, said)
}

// Whoever gets items from another is told, once for all that came together.
func TestAccessReviewDelegationTellsTheDelegate(t *testing.T) {
	c := newReviewTest(t)
	delegated := c.updateAt(time.Hour, messages.DelegateItems,
		messages.DelegateInput{By: rita, To: fay, Items: []int{1}})
	c.updateAt(time.Hour, messages.DelegateItems, messages.DelegateInput{By: rita, To: fay, Items: []int{2}})
	c.updateAt(time.Hour, messages.DelegateItems, messages.DelegateInput{By: sam, To: olga, Items: []int{3}})
	asking, most := 0, 0
	c.takes["ReviewTell"] = func() time.Duration {
		c.mu.Lock()
		defer c.mu.Unlock()
		asking++
		most = max(most, asking)
		return time.Minute
	}
	c.fails["ReviewTell"] = func(int) error { asking--; return nil }
	c.at(90*time.Minute, func() { require.Equal(t, 1, most, "two at once would both tell who was not told yet") })
	c.decides(2*time.Hour, fay, keep, 1, 2)
	c.decides(2*time.Hour, olga, keep, 3)
	c.decides(2*time.Hour, sam, keep, 4)
	c.mustEnd()
	contains(t, delegated.message(t), `"applied":1`)
	require.Len(t, c.noticesTo("review-asked 1", fay), 1)
	require.Len(t, c.noticesTo("review-asked 1", olga), 1)
	require.Len(t, c.noticesTo("review-asked 1", rita), 1)
	require.Equal(t, access.OutcomeKept, c.outcomes()[0])
}

// A word on a reviewer's page is the ledger's at once; the workflow is woken to look.
func TestAccessReviewLooksWhenItIsWoken(t *testing.T) {
	c := newReviewTest(t)
	c.at(day+time.Hour, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, one := range c.tasks {
			c.recordItem(one, wordOf(one.who, keep))
		}
		c.env.SignalWorkflow(messages.Look, nil)
	})
	c.mustEnd()
	require.Equal(t, day+time.Hour, from(c.review.Closed).Truncate(time.Minute))
}

// Something is reopened on a page just when it was counted that all is decided: the stage goes on.
func TestAccessReviewPageReopensAtTheLastMoment(t *testing.T) {
	c := newReviewTest(t)
	c.all(day, keep)
	c.counted = func(p messages.ReviewProgress) {
		if p.Complete && c.since() < 2*day {
			c.recordItem(c.taskOf(1, rita), reviews.ReviewMessage{Reopen: &messages.ReopenInput{By: rita}, Via: "page"})
			c.env.SignalWorkflow(messages.Look, nil)
		}
	}
	c.decides(3*day, rita, keep, 1)
	c.mustEnd()
	require.Equal(t, 3*day, from(c.review.Closed).Truncate(time.Hour))
}

// A stream of words on pages does not make it count all the time.
func TestAccessReviewManyLooksAreFewCounts(t *testing.T) {
	c := newReviewTest(t)
	for i := range 600 {
		c.signalAt(time.Hour+time.Duration(i)*100*time.Millisecond, messages.Look, nil)
	}
	c.mustEnd()
	require.LessOrEqual(t, c.called("ReviewProgress"), 20)
}

// While words are recorded without a pause, it is counted all the same.
func TestAccessReviewStreamOfMessagesIsCounted(t *testing.T) {
	c := newReviewTest(t)
	c.takes["ReviewSay"] = func() time.Duration { return 3 * time.Second }
	for i := range 120 {
		c.updateAt(time.Hour+time.Duration(i)*time.Second, messages.CommentItem,
			messages.CommentInput{By: rita, Item: 1, Comment: fmt.Sprint(i)})
	}
	c.decides(time.Hour+10*time.Second, rita, keep, 2)
	c.at(time.Hour+time.Minute, func() { require.Equal(t, 1, c.status().Progress.Decided) })
	c.mustEnd()
	require.Len(t, c.decisionsOn(1), 120)
}

func TestAccessReviewOpsRemindReviewers(t *testing.T) {
	c := newReviewTest(t)
	all := c.updateAt(time.Hour, messages.Remind, messages.RemindInput{By: "bo@acme.example"})
	one := c.updateAt(2*time.Hour, messages.Remind, messages.RemindInput{By: "bo@acme.example", Reviewer: sam})
	nobody := c.updateAt(3*time.Hour, messages.Remind,
		messages.RemindInput{By: "bo@acme.example", Reviewer: "eve@acme.example"})
	c.mustEnd()
	contains(t, all.message(t), "reminded: 2")
	contains(t, one.message(t), "reminded: 1")
	require.ErrorContains(t, nobody.err, "eve@acme.example is not asked about anything")
	require.Equal(t, []time.Duration{time.Hour, 5 * day, 9 * day}, c.noticesTo("review-reminder 1", rita))
	require.Equal(t, []time.Duration{time.Hour, 2 * time.Hour, 5 * day, 9 * day}, c.noticesTo("review-reminder 1", sam))
}

func TestAccessReviewOpsRevokeLinks(t *testing.T) {
	c := newReviewTest(t)
	revoked := c.updateAt(time.Hour, messages.RevokeLinks,
		messages.RevokeLinksInput{By: "bo@acme.example", Reviewer: sam})
	c.mustEnd()
	contains(t, revoked.message(t), "revoked: 3 links")
}

// Words that come when deciding is over, or before it began, are refused.
func TestAccessReviewMessagesAtTheWrongTime(t *testing.T) {
	c := removals(t)
	c.paused = true
	c.hangBetween("ReviewStage", 0, time.Minute)
	c.hangBetween("ReviewBegin", 0, time.Second)
	links := c.updateAt(time.Millisecond, messages.RevokeLinks, messages.RevokeLinksInput{By: "bo@acme.example"})
	early := c.decides(30*time.Second, rita, keep, 1)
	earlyClose := c.updateAt(30*time.Second, messages.CloseReview, messages.EndReviewInput{By: "bo@acme.example"})
	late := c.decides(2*time.Hour, rita, keep, 1)
	lateExtension := c.updateAt(2*time.Hour, messages.Extend,
		messages.ExtendReviewInput{By: "bo@acme.example", Duration: messages.Duration(day)})
	lateReminder := c.updateAt(2*time.Hour, messages.Remind, messages.RemindInput{By: "bo@acme.example"})
	c.mustEnd()
	require.ErrorContains(t, links.rejected, "no links were sent yet")
	require.ErrorContains(t, early.rejected, "just opening; try again in a moment")
	require.ErrorContains(t, earlyClose.rejected, "just opening; to stop it, use cancel")
	require.ErrorContains(t, late.rejected, "deciding is over: the review is carrying out")
	require.ErrorContains(t, lateExtension.rejected, "deciding is over")
	require.ErrorContains(t, lateReminder.rejected, "deciding is over")
}
