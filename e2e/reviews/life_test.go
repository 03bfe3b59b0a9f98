package reviews_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/messages"
)

const partners = `
reviews:
  - name: partners
    description: Who from outside still needs our wiki?
    owner: bo@acme.example
    schedule: "0 9 1 */3 *"
    zone: Europe/Berlin
    scope: {targets: ["group:partner-wiki", "group:builders"]}
    stages: [{reviewers: [carol@acme.example, dan@acme.example], length: 30m, escalate: 0s}]
    codes: true
`

// TestReviewFromOutside is one campaign as everybody sees it: ops start it, managers decide on their page and by
// commands, what was decided is carried out and read back, and the evidence is checked offline.
func TestReviewFromOutside(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	o := start(t, staff, partners)
	schedule, err := o.CLI(t.Context(), "schedule", "describe", "--schedule-id", "access-review:acme:partners",
		"--output", "json")
	require.NoError(t, err)
	require.Contains(t, schedule, "Europe/Berlin")
	id := o.review("partners")
	carol, dan := o.asked("carol@acme.example"), o.asked("dan@acme.example")
	require.NotEmpty(t, carol.Link)
	require.NotEmpty(t, carol.Code)
	require.NotContains(t, carol.Text+carol.Command+carol.Subject, carol.Code)
	seen := o.until(id, func(s messages.ReviewStatus) bool { return s.Progress.Asked == 7 })
	require.Len(t, seen.Progress.Reviewers, 2)

	t.Log("in Temporal's list, by campaign and state")
	require.NoError(t, stack.Eventually(t.Context(), patience, func() error {
		list, err := o.Temporal.Client.ListWorkflow(t.Context(),
			&workflowservice.ListWorkflowExecutionsRequest{
				Query: `CastellanCampaign = "partners" AND CastellanState = "deciding"`})
		if err == nil && len(list.GetExecutions()) != 1 {
			err = fmt.Errorf("%d workflows are listed", len(list.GetExecutions()))
		}
		return err
	}))

	t.Log("carol decides on her page")
	browser := o.open(carol.Link)
	page := browser.get("/review")
	require.Contains(t, page, "Who from outside still needs our wiki?")
	hers := regexp.MustCompile(`id="item-(\d+)"`).FindAllStringSubmatch(page, -1)
	require.Len(t, hers, 4, "the seven items are shared out")

	t.Log("dan decides by the ops command, which proves his code without showing it")
	paul := o.item(id, "paul", "group:partner-wiki")
	_, err = o.Starter(t.Context(), "review", "decide", id, "remove", fmt.Sprint(paul.N), "--by", "dan@acme.example")
	require.Error(t, err, "a code is asked for")
	for who, n := range map[string]messages.Notice{"dan@acme.example": dan, "carol@acme.example": carol} {
		_, err := o.with("CASTELLAN_CODE="+n.Code, "review", "decide", id, "keep", "--undecided", "--by", who)
		require.NoError(t, err)
	}
	s := o.until(id, func(s messages.ReviewStatus) bool { return s.Phase != messages.ReviewDeciding })
	require.Equal(t, 7, s.Progress.Keep)
	done := o.over(id)
	require.Equal(t, access.ReviewDone, done.Review.State)
	history := o.history(id)
	require.NotContains(t, history, carol.Code, "codes stand in no history")
	require.NotContains(t, history, url.PathEscape(strings.TrimPrefix(carol.Link, "http://"+o.page+"/r/")),
		"nor do links")
}

// TestReviewRemovalsFromOutside sees removals through: by the plain Temporal CLI, by the page, by an import.
func TestReviewRemovalsFromOutside(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	o := start(t, staff, strings.Replace(partners, "reviewers: [carol@acme.example, dan@acme.example]",
		"reviewers: [carol@acme.example], fallback: [dan@acme.example]", 1))
	id := o.review("partners")
	carol := o.asked("carol@acme.example")
	paul, pia, finn := o.item(id, "paul", "group:partner-wiki"), o.item(id, "pia", "group:partner-wiki"),
		o.item(id, "finn", "group:builders")

	t.Log("by the plain Temporal CLI, with the code as it is: once")
	say := func(item int, verdict string) (string, error) {
		return o.CLI(t.Context(), "workflow", "update", "execute", "--workflow-id", messages.ReviewID(org, id),
			"--name", messages.DecideItems, "--output", "json",
			"--input", fmt.Sprintf(`{"by":"carol@acme.example","items":[%d],"verdict":"%s","comment":"left the project","code":"%s"}`, item, verdict, carol.Code))
	}
	out, err := say(paul.N, "remove")
	require.NoError(t, err, out)
	require.Contains(t, out, "1 item decided")
	out, err = say(pia.N, "remove")
	require.Error(t, err)
	require.Contains(t, out, "the code is not the one that this reviewer was sent")

	t.Log("on the page")
	browser := o.open(carol.Link)
	browser.decide(pia.N, "remove", "their project is over")
	browser.decide(finn.N, "remove", "moved on")
	require.Equal(t, access.VerdictRemove, o.item(id, "pia", "group:partner-wiki").Verdict)

	t.Log("by a spreadsheet")
	file := filepath.Join(t.TempDir(), "items.csv")
	_, err = o.with("", "review", "export", id, "--mine", "--by", "carol@acme.example", "--out", file)
	require.NoError(t, err)
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Contains(t, string(data), "paul@partner.example")

	t.Log("ops remind carol, who gets a fresh code, and close the review")
	var answer messages.Answer
	require.NoError(t, o.update(id, messages.Remind,
		messages.RemindInput{By: "bo@acme.example", Reviewer: "carol@acme.example"}, &answer))
	require.Contains(t, answer.Message, "reminded: 1")
	require.NoError(t, o.update(id, messages.CloseReview,
		messages.EndReviewInput{By: "bo@acme.example", Reason: "enough"}, &answer))
	done := o.over(id)
	require.Equal(t, access.ReviewDone, done.Review.State, "%+v", done)
	outcomes := map[string]access.Outcome{}
	for _, i := range o.items(id) {
		outcomes[i.Label()] = i.Outcome
	}
	require.Equal(t, access.OutcomeRemoved, outcomes["paul@partner.example, group:partner-wiki"], outcomes)
	require.Equal(t, access.OutcomeRemoved, outcomes["pia@partner.example, group:partner-wiki"])
	require.Equal(t, access.OutcomeSource, outcomes["finn@acme.example, group:builders"])
	require.Equal(t, []string{"finn"}, o.members("partner-wiki"))

	t.Log("the evidence is fetched and checked, and a changed one is refused")
	prefix := filepath.Join(t.TempDir(), "evidence")
	_, err = o.Starter(t.Context(), "review", "evidence", id, "--out", prefix)
	require.NoError(t, err)
	out, err = o.Starter(t.Context(), "verify-evidence", prefix+".jsonl", "--head", done.Review.Head)
	require.NoError(t, err)
	require.Contains(t, out, done.Review.Head)
	pack, err := os.ReadFile(prefix + ".jsonl")
	require.NoError(t, err)
	forged := prefix + "-forged.jsonl"
	require.NoError(t, os.WriteFile(forged,
		[]byte(strings.Replace(string(pack), "left the project", "left the company", 1)), 0o600))
	_, err = o.Starter(t.Context(), "verify-evidence", forged)
	require.Error(t, err)
	notice := o.mail.Of("review-done", "bo@acme.example")
	require.Len(t, notice, 1)
	require.Contains(t, notice[0].Text, done.Review.Head)
	out, err = o.Starter(t.Context(), "why", org, "paul@partner.example")
	require.NoError(t, err)
	require.Contains(t, out, "review-decided", "the ledger says what the review decided: %s", out)
}

// TestReviewLinksThatOpenNothing shows that whatever is wrong with a link, the answer is the same.
func TestReviewLinksThatOpenNothing(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	o := start(t, staff, partners+`
  - name: other
    owner: bo@acme.example
    codes: false
    scope: {targets: ["group:partner-wiki"]}
    stages: [{reviewers: [carol@acme.example], length: 30m, escalate: 0s}]
`)
	id := o.review("partners")
	carol := o.asked("carol@acme.example")
	other := o.review("other")
	bodies := map[string]string{}
	refused := func(name, link string) {
		jar, err := cookiejar.New(nil)
		require.NoError(t, err)
		answer, err := (&http.Client{Jar: jar}).Get(link)
		require.NoError(t, err)
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		require.Equal(t, http.StatusForbidden, answer.StatusCode, name)
		bodies[name] = string(body)
		require.NotContains(t, string(body), "partner-wiki", name)
	}
	flipped := carol.Link[:len(carol.Link)-4] + "AAAA"
	refused("forged", flipped)
	refused("none", "http://"+o.page+"/review")
	refused("nonsense", "http://"+o.page+"/r/nonsense")
	var answer messages.Answer
	require.NoError(t, o.update(id, messages.RevokeLinks,
		messages.RevokeLinksInput{By: "bo@acme.example", Reviewer: "carol@acme.example"}, &answer))
	refused("revoked", carol.Link)
	require.NoError(t, o.update(other, messages.CancelReview, messages.EndReviewInput{By: "bo@acme.example"}, &answer))
	o.over(other)
	var cancelled string
	for _, n := range o.mail.Of("review-asked", "carol@acme.example") {
		if n.Review == other {
			cancelled = n.Link
		}
	}
	require.NotEmpty(t, cancelled)
	refused("of a campaign that is over", cancelled)
	for name, body := range bodies {
		require.Equal(t, bodies["forged"], body, name)
	}
	require.NoError(t, o.update(id, messages.Remind,
		messages.RemindInput{By: "bo@acme.example", Reviewer: "carol@acme.example"}, &answer))
	require.NoError(t, stack.Eventually(t.Context(), patience, func() error {
		if len(o.mail.Of("review-reminder", "carol@acme.example")) == 0 {
			return fmt.Errorf("no fresh link came")
		}
		return nil
	}))
	o.open(o.mail.Of("review-reminder", "carol@acme.example")[0].Link)
}

// browser is somebody with a link, and no JavaScript.
type browser struct {
	w    *testOrg
	http *http.Client
}

func (o *testOrg) open(link string) *browser {
	o.t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(o.t, err)
	b := &browser{w: o, http: &http.Client{Jar: jar, Timeout: time.Minute}}
	answer, err := b.http.Get(link)
	require.NoError(o.t, err)
	defer answer.Body.Close()
	require.Equal(o.t, http.StatusOK, answer.StatusCode, link)
	return b
}

func (b *browser) get(path string) string {
	b.w.t.Helper()
	answer, err := b.http.Get("http://" + b.w.page + path)
	require.NoError(b.w.t, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	require.NoError(b.w.t, err)
	require.Equal(b.w.t, http.StatusOK, answer.StatusCode, string(body))
	return string(body)
}

var hidden = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)"`)

// decide posts the form of one item as a browser would.
func (b *browser) decide(item int, verdict, comment string) {
	b.w.t.Helper()
	form := url.Values{}
	for _, field := range hidden.FindAllStringSubmatch(b.get("/review"), -1) {
		form.Set(field[1], field[2])
	}
	form.Set("item", fmt.Sprint(item))
	form.Set(fmt.Sprintf("verdict-%d", item), verdict)
	form.Set(fmt.Sprintf("comment-%d", item), comment)
	ask, err := http.NewRequestWithContext(b.w.t.Context(), http.MethodPost, "http://"+b.w.page+"/review/decide",
		strings.NewReader(form.Encode()))
	require.NoError(b.w.t, err)
	ask.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	ask.Header.Set("Origin", "http://"+b.w.page)
	answer, err := b.http.Do(ask)
	require.NoError(b.w.t, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	require.NoError(b.w.t, err)
	require.Equal(b.w.t, http.StatusOK, answer.StatusCode, string(body))
}

// history is everything that Temporal keeps of a review.
func (o *testOrg) history(review string) string {
	o.t.Helper()
	out, err := o.CLI(o.t.Context(), "workflow", "show", "--workflow-id", messages.ReviewID(org, review),
		"--output", "json")
	require.NoError(o.t, err)
	require.True(o.t, json.Valid([]byte(out)))
	return out
}

// E14: permission reviews run on a schedule: the policy's cadence is a schedule of Temporal's, which starts a review of
// its own.
func TestFieldE14ReviewsRunOnASchedule(t *testing.T) {
	t.Parallel()
	o := start(t, staff, strings.Replace(partners, "codes: true", "codes: false", 1))
	_, err := o.CLI(t.Context(), "schedule", "trigger", "--schedule-id", "access-review:acme:partners")
	require.NoError(t, err)
	var id string
	require.NoError(t, stack.Eventually(t.Context(), patience, func() error {
		answer, err := o.Ask(t.Context(),
			messages.ReportInput{Org: org, Kind: messages.ReportReviews, Campaign: "partners"})
		if err == nil && len(answer.Reviews) != 1 {
			err = fmt.Errorf("%d reviews have begun", len(answer.Reviews))
		}
		if err == nil {
			id = answer.Reviews[0].ID
		}
		return err
	}))
	require.Regexp(t, `^partners-\d{4}-\d{2}-\d{2}T`, id)
	o.until(id, func(s messages.ReviewStatus) bool { return s.Progress.Asked == 7 })
	o.apply("") // the campaign leaves the policy: what runs goes on, and nothing starts it any more
	require.NoError(t, stack.Eventually(t.Context(), patience, func() error {
		if out, err := o.CLI(t.Context(), "schedule", "describe", "--schedule-id",
			"access-review:acme:partners"); err == nil {
			return fmt.Errorf("the schedule is still there: %s", out)
		}
		return nil
	}))
	var answer messages.Answer
	require.NoError(t, o.update(id, messages.CloseReview, messages.EndReviewInput{By: "bo@acme.example"}, &answer))
	require.Equal(t, access.ReviewDone, o.over(id).Review.State)
}
