package workflows_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/reviews"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/workflows"
)

// Who takes part in the played campaign.
const (
	olga = "olga@acme.example" // owns it
	rita = "rita@acme.example"
	sam  = "sam@acme.example"
	fay  = "fay@acme.example" // the fallback
)

const (
	quarterly = "quarterly"
	spring    = quarterly + ":2026-03-02"
	day       = 24 * time.Hour
	waits     = 5 * day // how much patience the campaign has
)

// playedStage is one stage of the played campaign.
type playedStage struct {
	messages.StageSettings
	reviewers func(n int) string // of an item; nobody: ""
	fallback  string
	next      func(access.Verdict) bool // what goes on to the next stage; what is undecided, when nil
}

// reviewTask is what somebody is asked.
type reviewTask struct {
	stage, n int
	who      string
	role     access.TaskRole
	said     access.Verdict
}

// reviewTest runs one AccessReview in time-skipping time, history after history, and plays what is around it: the
// ledger, the organization's loop, which alone writes, and the notifier.
type reviewTest struct {
	historyRunner
	id       string
	input    messages.AccessReviewInput
	rounds   []playedStage
	settings messages.ReviewSettings
	silence  access.Verdict // what silence means; "" for nothing
	blocks   int            // of the sweep; 1 when zero
	codes    map[string]string
	burning  fakeCodes
	gone     map[string]bool // reviewers who are not active
	hidden   map[string]bool // reviewers whom the directory does not show: that may be one bad read

	fails map[string]func(attempt int) error // how activities fail, by name; they do not when it returns nil
	takes map[string]func() time.Duration    // how long they take; nothing when there is none

	circle   bool // the sweep's cursor does not move
	noOutage bool // what fails at the close is no trouble to a cancellation
	lost     bool // the ledger does not know of the review any more

	absent   bool          // the organization's loop does not run
	paused   bool          // it writes nothing
	writes   time.Duration // how long it takes to write what it was asked to look at
	guard    string        // the plan in which it holds what it should write
	rejected bool          // somebody rejected that plan

	// The ledger.
	review  access.Review
	items   []*access.Item
	tasks   []*reviewTask
	holds   map[int]bool // who holds what, by item
	written map[int]bool // removals that were written
	ruled   map[int]bool // removals that the loop may write
	held    map[int]bool // removals that the guard holds
	log     []access.ReviewEvent
	told    map[string]bool // reviewers who were told in a stage
	links   int             // revocations

	counted  func(p messages.ReviewProgress) // what happens just after it was counted what is decided
	accepted map[int]int                     // updates, by history
	calls    []string                        // activities that were started, in order
	inputs   []string                        // of them
	begun    map[string]int
	looks    []lookRequest
	notices  []reviewNotice
	shown    temporal.SearchAttributes
}

// lookRequest is what the loop was asked to look at.
type lookRequest struct {
	at time.Duration
	messages.LookAtSignal
}

// reviewNotice is a notice that somebody got.
type reviewNotice struct {
	at   time.Duration
	what string // "<kind> <stage>"
	when string
	to   string
	why  string
}

// newReviewTest plays a campaign of four items, of which rita and sam decide two each: one stage of ten days, with
// reminders after five and nine, the fallback asked after six and the owner after nine and a half.
func newReviewTest(t *testing.T, rounds ...playedStage) *reviewTest {
	t.Helper()
	if len(rounds) == 0 {
		rounds = []playedStage{stage()}
	}
	c := &reviewTest{
		historyRunner: historyRunner{t: t}, id: messages.ReviewID(org, spring), rounds: rounds,
		input: messages.AccessReviewInput{Org: org, Campaign: quarterly},
		codes: map[string]string{}, gone: map[string]bool{}, hidden: map[string]bool{},
		fails: map[string]func(int) error{}, takes: map[string]func() time.Duration{},
		holds: map[int]bool{}, written: map[int]bool{}, ruled: map[int]bool{}, held: map[int]bool{},
		told: map[string]bool{}, begun: map[string]int{},
		accepted: map[int]int{},
		writes:   time.Minute,
		settings: messages.ReviewSettings{
			Remind: []string{"start", "middle", "last"}, Pages: 20, Patience: messages.Duration(waits),
		},
	}
	for _, r := range rounds {
		c.settings.Stages = append(c.settings.Stages, r.StageSettings)
	}
	c.people("ana", "eve", "finn", "gil")
	return c
}

// stage returns a stage of ten days in which rita decides the first half of the items and sam the others.
func stage() playedStage {
	return playedStage{
		StageSettings: messages.StageSettings{Length: messages.Duration(10 * day),
			FallbackAfter: messages.Duration(6 * day), Escalate: messages.Duration(12 * time.Hour)},
		reviewers: func(n int) string {
			if n <= 2 {
				return rita
			}
			return sam
		},
		fallback: fay,
	}
}

// people hold what is reviewed, one item each.
func (c *reviewTest) people(names ...string) {
	c.items = nil
	for i, name := range names {
		c.items = append(c.items, &access.Item{N: i + 1, Person: "p-" + name, Email: name + "@acme.example",
			Target: "group:vault"})
		c.holds[i+1] = true
	}
}

// runToEnd runs the workflow until it has ended.
func (c *reviewTest) runToEnd() (status messages.ReviewStatus, err error) {
	c.t.Helper()
	if err = c.historyRunner.runHistories(messages.AccessReview, c.input, c.openHistory); err == nil {
		err = c.env.GetWorkflowResult(&status)
	}
	c.allDone()
	return status, err
}

// mustEnd is live for a workflow that ends well: everything has an outcome, and nobody is left to be answered or told.
func (c *reviewTest) mustEnd() messages.ReviewStatus {
	c.t.Helper()
	status, err := c.runToEnd()
	require.NoError(c.t, err)
	require.True(c.t, c.review.State.Final(), "the review is %s in the ledger", c.review.State)
	for _, i := range c.items {
		require.True(c.t, i.Outcome.Final() || c.review.Items == 0, "item %d is %q", i.N, i.Outcome)
	}
	return status
}

// openHistory makes the environment of a history.
func (c *reviewTest) openHistory(start time.Time) {
	env := c.newHistory(c.id, start)
	env.RegisterWorkflowWithOptions(workflows.AccessReview, workflow.RegisterOptions{Name: messages.AccessReview})
	c.burning.register(env)
	plays := map[string]any{
		"ReviewBegin": play(c, c.playBegin), "ReviewSweep": play(c, c.playSweep), "ReviewRank": play(c, c.playRank),
		"ReviewStage":  play(c, c.playStage),
		"ReviewAttend": play(c, c.playAttend), "ReviewProgress": play(c, c.playProgress),
		"ReviewSay": play(c, c.playSay), "ReviewTell": play(c, c.playTell),
		"ReviewMark": play(c, c.playMark), "ReviewRevoke": play(c, c.playRevoke), "ReviewClose": play(c, c.playClose),
		"ReviewCarry": play(c, c.playCarry),
		"ReviewEnd":   play(c, c.playEnd),
	}
	for name, do := range plays {
		env.RegisterActivityWithOptions(do, activity.RegisterOptions{Name: name})
	}
	env.SetOnActivityStartedListener(c.note)
	// Only a mock can take time, but it keeps every call and compares it with every other mock: those that take none
	// are none.
	for name, takes := range c.takes {
		env.OnActivity(name, mock.Anything, mock.Anything).AfterFn(takes).Return(plays[name]).Maybe()
	}
	env.OnSignalExternalWorkflow(mock.Anything, messages.OrgSyncID(org), "", messages.LookAt,
		mock.Anything).Return(c.playLoop).Maybe()
	env.OnUpsertTypedSearchAttributes(mock.MatchedBy(func(is temporal.SearchAttributes) bool {
		c.shown = is
		return true
	})).Return(nil).Maybe()
	c.runs(env)
}

// play returns an activity under the played ledger's lock.
func play[I, O any](c *reviewTest, do func(I) (O, error)) func(context.Context, I) (O, error) {
	return func(_ context.Context, in I) (O, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		return do(in)
	}
}

// note writes down every activity as it starts.
func (c *reviewTest) note(info *activity.Info, _ context.Context, args converter.EncodedValues) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var in any
	require.NoError(c.t, args.Get(&in))
	text, err := json.Marshal(in)
	require.NoError(c.t, err)
	c.calls = append(c.calls, info.ActivityType.Name)
	c.inputs = append(c.inputs, string(text))
}

// failing returns how an activity fails now; nil when it does not.
func (c *reviewTest) failing(name string) error {
	c.begun[name]++
	if fail := c.fails[name]; fail != nil {
		return fail(c.begun[name])
	}
	return nil
}

// failUntil lets an activity fail until a while after the beginning.
func (c *reviewTest) failUntil(after time.Duration, name string, err error) {
	c.fails[name] = func(int) error {
		if c.since() < after {
			return err
		}
		return nil
	}
}

// failBetween lets it fail from one instant to another.
func (c *reviewTest) failBetween(from, to time.Duration, name string, err error) {
	c.fails[name] = func(int) error {
		if at := c.since(); from <= at && at < to {
			return err
		}
		return nil
	}
}

// hangBetween lets an activity that begins after a while hang until another.
func (c *reviewTest) hangBetween(name string, from, to time.Duration) {
	c.takes[name] = func() time.Duration {
		if at := c.env.Now().Sub(begin); from <= at && at < to {
			return to - at
		}
		return 0
	}
}

// down returns what an API answers that does not work.
func down() error {
	return temporal.NewApplicationError("Atlassian cannot be reached, or returns errors", session.ErrUnavailable)
}

// status returns the answer of the status query.
func (c *reviewTest) status() messages.ReviewStatus {
	c.t.Helper()
	return queried[messages.ReviewStatus](&c.historyRunner)
}

// phaseAt looks after a while where the review is.
func (c *reviewTest) phaseAt(after time.Duration, phase string) {
	c.t.Helper()
	c.at(after, func() { require.Equal(c.t, phase, c.status().Phase, "after %s", after) })
}

// decides returns what a reviewer says by an update.
func (c *reviewTest) decides(after time.Duration, who string, v access.Verdict, items ...int) *answer {
	return c.updateAt(after, messages.DecideItems, messages.DecideInput{By: who, Verdict: v, Items: items})
}

// all has everything decided after a while.
func (c *reviewTest) all(after time.Duration, v access.Verdict) {
	c.decides(after, rita, v, 1, 2)
	c.decides(after, sam, v, 3, 4)
}

// outcomes returns those of all items, in order.
func (c *reviewTest) outcomes() []access.Outcome {
	var all []access.Outcome
	for _, i := range c.items {
		all = append(all, i.Outcome)
	}
	return all
}

// noticesTo returns when somebody got a notice of a kind and a stage, such as "review-asked 1".
func (c *reviewTest) noticesTo(what, to string) []time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := []time.Duration{}
	for _, n := range c.notices {
		if n.what == what && n.to == to {
			at = append(at, n.at)
		}
	}
	return at
}

// called returns how many times an activity was started.
func (c *reviewTest) called(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return count(c.calls, name)
}

// playLoop returns the organization's loop, as it is asked to look.
func (c *reviewTest) playLoop(_, _, _, _ string, arg any) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.absent {
		return temporal.NewNonRetryableApplicationError("workflow execution not found", "NotFound", nil)
	}
	in := arg.(messages.LookAtSignal)
	c.looks = append(c.looks, lookRequest{c.since(), in})
	c.plan(c.env.Now().Add(c.writes), func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.write(in.People)
	})
	return nil
}

// write takes what rulings deny, as the loop's next run does: through the guard, and not while it is paused.
func (c *reviewTest) write(people []string) {
	if c.paused {
		return
	}
	for _, i := range c.items {
		switch {
		case !c.ruled[i.N] || !c.holds[i.N] || !slices.Contains(people, i.Person):
		case c.guard != "":
			c.held[i.N] = true
		default:
			c.holds[i.N], c.written[i.N], c.held[i.N] = false, true, false
		}
	}
}

// approve is what approving the held plan comes to.
func (c *reviewTest) approve() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.guard = ""
	for _, i := range c.items {
		if c.held[i.N] {
			c.write([]string{i.Person})
		}
	}
}

func (c *reviewTest) playTell(in reviews.ReviewTellInput) (told reviews.ReviewTellResult, err error) {
	to := []string{olga}
	asks := in.Kind == reviews.NoticeReviewAsked
	if asks || in.Kind == reviews.NoticeReviewReminder {
		to = nil
		for _, one := range c.reviewers() {
			switch {
			case in.Reviewer != "" && in.Reviewer != one.Reviewer, in.Reviewer == "" && one.Items == one.Decided:
			case asks && c.told[fmt.Sprint(c.review.Stage, one.Reviewer)]:
			default:
				to = append(to, one.Reviewer)
			}
		}
		if in.Reviewer != "" && len(to) == 0 {
			return told, fatal(session.ErrRefused,
				in.Reviewer+" is not asked about anything in this stage of the review")
		}
	}
	if err := c.failing("ReviewTell"); err != nil {
		return told, err
	}
	for _, who := range to {
		c.notices = append(c.notices, reviewNotice{c.since(),
			strings.TrimSuffix(fmt.Sprintf("%s %d", in.Kind, in.Stage), " 0"), in.When, who, in.Why})
		if asks || in.Kind == reviews.NoticeReviewReminder {
			c.told[fmt.Sprint(c.review.Stage, who)] = true
		}
	}
	return reviews.ReviewTellResult{Told: len(to)}, nil
}

// reviewers returns those of the present stage, those with most left first.
func (c *reviewTest) reviewers() []messages.ReviewerProgress {
	var all []messages.ReviewerProgress
	for _, t := range c.tasks {
		if t.stage != c.review.Stage {
			continue
		}
		at := slices.IndexFunc(all, func(p messages.ReviewerProgress) bool { return p.Reviewer == t.who })
		if at < 0 {
			at, all = len(all), append(all, messages.ReviewerProgress{Reviewer: t.who, Role: t.role})
		}
		all[at].Items++
		if c.hasDecision(t.n) {
			all[at].Decided++
		}
	}
	slices.SortFunc(all, func(a, b messages.ReviewerProgress) int {
		return cmp.Or(cmp.Compare(b.Items-b.Decided, a.Items-a.Decided), strings.Compare(a.Reviewer, b.Reviewer))
	})
	return all
}

// hasDecision reports whether somebody said something of an item in the present stage.
func (c *reviewTest) hasDecision(n int) bool {
	return slices.ContainsFunc(c.items[n-1].Said, func(s access.ItemDecision) bool { return s.Stage == c.review.Stage })
}
