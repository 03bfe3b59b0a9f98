package workflows_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/reviews"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
)

// The ledger that reviewing plays: items, tasks and words in memory, under the rules of the ledger and of the
// activities.

func (c *reviewTest) playBegin(in reviews.ReviewBeginInput) (reviews.ReviewBeginResult, error) {
	if err := c.failing("ReviewBegin"); err != nil {
		return reviews.ReviewBeginResult{}, err
	}
	if in.Campaign != quarterly {
		return reviews.ReviewBeginResult{}, fatal(session.ErrRefused,
			fmt.Sprintf("the policy of organization acme has no review named %q; its reviews are: %s", in.Campaign,
				quarterly))
	}
	if c.review.ID == "" {
		c.review = access.Review{
			ID: in.Review, Campaign: in.Campaign, Run: in.Run, By: in.By, Owner: olga, State: access.ReviewOpening,
			Opened: c.env.Now(),
			Stages: len(c.rounds), Codes: len(c.codes) > 0,
		}
		c.enterLog(access.EventOpened, in.By, "")
	}
	return reviews.ReviewBeginResult{Review: c.review, Settings: c.settings}, nil
}

func (c *reviewTest) enterLog(kind, by, text string) {
	c.log = append(c.log, access.ReviewEvent{Seq: len(c.log) + 1, At: c.env.Now(), Kind: kind, By: by,
		Stage: c.review.Stage, Text: text})
}

func (c *reviewTest) playSweep(in reviews.ReviewSweepInput) (session.SweepResult, error) {
	if err := c.failing("ReviewSweep"); err != nil {
		return session.SweepResult{}, err
	}
	result := session.SweepResult{People: 100}
	if c.circle {
		result.Next = "cursor 1"
	} else if in.Block+1 < c.blocks {
		result.Next = fmt.Sprintf("cursor %d", in.Block+1)
	}
	return result, nil
}

func (c *reviewTest) playRank(reviews.ReviewInput) (reviews.ReviewRankResult, error) {
	if err := c.failing("ReviewRank"); err != nil {
		return reviews.ReviewRankResult{}, err
	}
	c.review.Items = len(c.items)
	return reviews.ReviewRankResult{Items: c.review.Items, Review: c.review}, nil
}

func (c *reviewTest) playStage(in reviews.ReviewStageInput) (reviews.ReviewStageResult, error) {
	if err := c.failing("ReviewStage"); err != nil {
		return reviews.ReviewStageResult{}, err
	}
	if c.review.Stage >= in.Stage {
		return reviews.ReviewStageResult{Items: c.asked(), Of: c.review}, nil
	}
	var coming []*access.Item
	for _, i := range c.items {
		said := i.Verdict
		if in.Stage > 1 && !c.hasDecision(i.N) {
			said = ""
		}
		if in.Stage == 1 || i.Stage == in.Stage-1 && c.rounds[in.Stage-2].goes(said) {
			coming = append(coming, i)
		}
	}
	if len(coming) > 0 {
		c.review.State, c.review.Stage, c.review.Due = access.ReviewOpen, in.Stage, in.Due
		c.enterLog(access.EventStage, "", "")
		for _, i := range coming {
			i.Stage = in.Stage
			if who := c.rounds[in.Stage-1].reviewers(i.N); c.gone[who] {
				c.askFallback(i)
			} else {
				c.ask(i.N, who, access.TaskReviewer)
			}
		}
	}
	return reviews.ReviewStageResult{Items: len(coming), Of: c.review}, nil
}

func (r playedStage) goes(v access.Verdict) bool {
	if r.next == nil {
		return v == ""
	}
	return r.next(v)
}

// ask gives out a task, and says whether it is new.
func (c *reviewTest) ask(n int, who string, role access.TaskRole) bool {
	if who == "" || c.taskOf(n, who) != nil {
		return false
	}
	c.tasks = append(c.tasks, &reviewTask{stage: c.review.Stage, n: n, who: who, role: role})
	return true
}

// askFallback asks the fallback, or the owner where that one is gone.
func (c *reviewTest) askFallback(i *access.Item) bool {
	if who := c.rounds[c.review.Stage-1].fallback; who != "" && !c.gone[who] {
		return c.ask(i.N, who, access.TaskFallback)
	}
	return c.ask(i.N, olga, access.TaskOwner)
}

func (c *reviewTest) taskOf(n int, who string) *reviewTask {
	at := slices.IndexFunc(c.tasks,
		func(t *reviewTask) bool { return t.stage == c.review.Stage && t.n == n && t.who == who })
	if at < 0 {
		return nil
	}
	return c.tasks[at]
}

func (c *reviewTest) asked() int {
	n := 0
	for _, i := range c.items {
		if c.review.Stage > 0 && i.Stage == c.review.Stage {
			n++
		}
	}
	return n
}

func (c *reviewTest) playAttend(in reviews.ReviewAttendInput) (reviews.ReviewAttendResult, error) {
	var answer reviews.ReviewAttendResult
	if err := c.failing("ReviewAttend"); err != nil || c.review.State != access.ReviewOpen ||
		c.review.Stage != in.Stage {
		return answer, err
	}
	for _, i := range c.items {
		if i.Stage != in.Stage || c.hasDecision(i.N) {
			continue
		}
		there, asked := 0, false
		for _, t := range slices.Clone(c.tasks) {
			switch {
			case t.stage != in.Stage || t.n != i.N:
			case !c.gone[t.who] && !c.hidden[t.who]:
				there++
			default:
				if !slices.Contains(answer.Gone, t.who) {
					answer.Gone = append(answer.Gone, t.who)
				}
				if c.hidden[t.who] {
					continue
				}
				c.tasks = slices.DeleteFunc(c.tasks, func(other *reviewTask) bool { return other == t })
			}
		}
		if there == 0 || in.Fallback {
			asked = c.askFallback(i)
		}
		if in.Escalate {
			asked = c.ask(i.N, olga, access.TaskOwner) || asked
		}
		if asked {
			answer.Asked++
		}
	}
	if answer.Asked > 0 {
		c.enterLog(map[bool]string{true: access.EventEscalated, false: access.EventFallback}[in.Escalate], "", "")
	}
	return answer, nil
}

func (c *reviewTest) playProgress(reviews.ReviewInput) (messages.ReviewProgress, error) {
	if err := c.failing("ReviewProgress"); err != nil {
		return messages.ReviewProgress{}, err
	}
	p := messages.ReviewProgress{Items: len(c.items), Outcomes: map[access.Outcome]int{}, Reviewers: c.reviewers()}
	for _, i := range c.items {
		switch i.Verdict {
		case access.VerdictKeep:
			p.Keep++
		case access.VerdictRemove:
			p.Remove++
		}
		if i.Outcome != "" {
			p.Outcomes[i.Outcome]++
		}
		if c.review.Stage > 0 && i.Stage == c.review.Stage {
			p.Asked++
			if c.hasDecision(i.N) {
				p.Decided++
			}
		}
		if c.atOnce(i) {
			p.Carry++
		}
	}
	p.Complete = p.Decided == p.Asked
	if c.counted != nil {
		c.counted(p)
	}
	return p, nil
}

// atOnce reports whether a removal is to be carried out while the stage lasts, and was not begun.
func (c *reviewTest) atOnce(i *access.Item) bool {
	last := c.review.Stage == len(c.rounds) || !c.rounds[max(c.review.Stage, 1)-1].goes(access.VerdictRemove)
	return c.settings.AtOnce && last && i.Outcome == "" && i.Stage == c.review.Stage &&
		i.Verdict == access.VerdictRemove
}

func (c *reviewTest) playSay(in reviews.ReviewSayInput) ([]reviews.ReviewMessageResult, error) {
	if err := c.failing("ReviewSay"); err != nil {
		return nil, err
	}
	var all []reviews.ReviewMessageResult
	for _, w := range in.Words {
		all = append(all, c.recordDecision(w))
	}
	return all, nil
}

// recordDecision records one word.
func (c *reviewTest) recordDecision(w reviews.ReviewMessage) reviews.ReviewMessageResult {
	by, items, filter := "", []int{}, (*messages.ItemFilter)(nil)
	switch {
	case w.Decide != nil:
		by, items, filter = w.Decide.By, slices.Clone(w.Decide.Items), w.Decide.All
		for _, line := range w.Decide.Lines {
			items = append(items, line.Item)
		}
	case w.Delegate != nil:
		by, items, filter = w.Delegate.By, w.Delegate.Items, w.Delegate.All
		if filter == nil && len(items) == 0 {
			filter = &messages.ItemFilter{Undecided: true}
		}
	case w.Comment != nil:
		by, items = w.Comment.By, []int{w.Comment.Item}
	case w.Reopen != nil:
		by, items, filter = w.Reopen.By, w.Reopen.Items, w.Reopen.All
	}
	if c.review.State != access.ReviewOpen {
		return reviews.ReviewMessageResult{Refused: fmt.Sprintf("deciding is over: the review is %s", c.review.State)}
	}
	var own []*reviewTask
	for _, t := range c.tasks {
		if t.stage == c.review.Stage && t.who == by {
			own = append(own, t)
			if filter != nil && (!filter.Undecided || t.said == "") &&
				(filter.Person == "" || filter.Person == c.items[t.n-1].Email) {
				items = append(items, t.n)
			}
		}
	}
	switch {
	case len(own) == 0:
		return reviews.ReviewMessageResult{Refused: by + " is not asked about anything in this stage of the review"}
	case c.review.Codes && (w.CodeHash == "" || w.CodeHash != messages.CodeHash(c.codes[by])):
		return reviews.ReviewMessageResult{Refused: "the code is not the one that this reviewer was sent for this review"}
	}
	var answer messages.ReviewAnswer
	for _, n := range items {
		at := slices.IndexFunc(own, func(t *reviewTask) bool { return t.n == n })
		if at < 0 {
			answer.Declined++
			answer.Refused = append(answer.Refused,
				messages.RefusedItem{Item: n, Why: "it is not one of the items that you are asked about in this stage of the review"})
			continue
		}
		if c.recordItem(own[at], w) {
			answer.Applied++
		} else {
			answer.Repeated++
		}
	}
	for _, t := range c.tasks {
		if t.stage == c.review.Stage && t.who == by && !c.hasDecision(t.n) {
			answer.Left++
		}
	}
	answer.Message = fmt.Sprintf("%d applied; %d left to decide", answer.Applied, answer.Left)
	return reviews.ReviewMessageResult{Answer: answer}
}

// recordItem records a word on one item, and says whether it changed anything.
func (c *reviewTest) recordItem(t *reviewTask, w reviews.ReviewMessage) bool {
	i := c.items[t.n-1]
	mine := slices.IndexFunc(i.Said, func(s access.ItemDecision) bool {
		return s.Stage == c.review.Stage && s.By == t.who
	})
	event := access.ReviewEvent{Seq: len(c.log) + 1, At: w.At, By: t.who, Via: w.Via, Item: t.n, Stage: c.review.Stage}
	switch {
	case w.Decide != nil:
		event.Kind, event.Verdict = access.EventDecided, w.Decide.Verdict
		for _, line := range w.Decide.Lines {
			if line.Item == t.n {
				event.Verdict = line.Verdict
			}
		}
		if t.said == event.Verdict || slices.ContainsFunc(c.log, func(e access.ReviewEvent) bool { // a repeat
			return e.Kind == event.Kind && e.At.Equal(w.At) && e.By == t.who && e.Item == t.n &&
				e.Verdict == event.Verdict
		}) {
			return false
		}
		said := access.ItemDecision{Stage: c.review.Stage, By: t.who, Verdict: event.Verdict, At: w.At}
		if t.said = said.Verdict; mine >= 0 {
			i.Said[mine] = said
		} else {
			i.Said = append(i.Said, said)
		}
	case w.Delegate != nil:
		if t.said != "" {
			return false
		}
		event.Kind, event.To = access.EventDelegated, w.Delegate.To
		t.who, t.role = w.Delegate.To, access.TaskDelegate
	case w.Comment != nil:
		event.Kind, event.Text = access.EventCommented, w.Comment.Comment
	case w.Reopen != nil:
		if event.Kind = access.EventReopened; mine < 0 || i.Outcome != "" {
			return false
		}
		i.Said, t.said = slices.Delete(i.Said, mine, mine+1), ""
	}
	i.Verdict, i.Version = "", i.Version+1
	last := 0
	for _, s := range i.Said {
		if s.Stage > last {
			last, i.Verdict = s.Stage, s.Verdict
		} else if s.Stage == last {
			i.Verdict = access.Stricter(i.Verdict, s.Verdict)
		}
	}
	c.log = append(c.log, event)
	return true
}

func (c *reviewTest) playMark(in reviews.ReviewMarkInput) (access.Review, error) {
	if err := c.failing("ReviewMark"); err != nil {
		return access.Review{}, err
	}
	if in.Due.After(c.review.Due) {
		c.review.Due = in.Due
		c.enterLog(in.Kind, in.By, in.Text)
	}
	return c.review, nil
}

func (c *reviewTest) playRevoke(reviews.ReviewRevokeInput) (int, error) {
	c.links++
	return 3, c.failing("ReviewRevoke")
}

func (c *reviewTest) playClose(in reviews.ReviewCloseInput) (reviews.ReviewCloseResult, error) {
	var closed reviews.ReviewCloseResult
	if err := c.failing("ReviewClose"); err != nil && (!in.Cancel || !c.noOutage) {
		return closed, err
	}
	r, kind := &c.review, access.EventClosed
	if in.Cancel {
		kind = access.EventCancelled
	}
	if in.Cancel && !r.State.Final() || r.State == access.ReviewOpen {
		r.State, r.Closed, r.ClosedBy, r.ClosedWhy = access.ReviewClosing, c.env.Now(), in.By, in.Why
		c.enterLog(kind, in.By, in.Why)
	}
	for _, i := range c.items {
		switch {
		case in.Cancel:
			if !i.Outcome.Final() {
				i.Outcome, c.ruled[i.N] = access.OutcomeDropped, false
			}
		case i.Outcome != "":
		default:
			if i.Verdict == "" {
				i.Verdict, i.Silent = c.silence, c.silence != ""
			}
			i.Outcome = map[access.Verdict]access.Outcome{
				access.VerdictKeep: access.OutcomeKept, access.VerdictRemove: access.OutcomeOpen,
				"": access.OutcomeUndecided,
			}[i.Verdict]
		}
	}
	return closed, nil
}

func (c *reviewTest) playCarry(in reviews.ReviewCarryInput) (reviews.ReviewCarryResult, error) {
	var done reviews.ReviewCarryResult
	failed := c.failing("ReviewCarry")
	if failed != nil && !in.Final {
		return done, failed
	}
	for _, i := range c.items {
		if c.review.State == access.ReviewOpen && c.atOnce(i) && failed == nil {
			i.Outcome = access.OutcomeOpen
		}
		if i.Outcome != access.OutcomeOpen && i.Outcome != access.OutcomeHeld {
			continue
		}
		was := i.Outcome
		switch {
		case failed != nil:
		case c.rejected && c.held[i.N]:
			i.Outcome = access.OutcomeRejected
		case !c.holds[i.N] && c.written[i.N]:
			i.Outcome = access.OutcomeRemoved
		case !c.holds[i.N]:
			i.Outcome = access.OutcomeGone
		case c.held[i.N] && c.guard != "":
			i.Outcome, i.Plan, done.Plan = access.OutcomeHeld, c.guard, c.guard
		default:
			i.Outcome, c.ruled[i.N] = access.OutcomeOpen, true
			done.Look = append(done.Look, i.Person)
		}
		switch {
		case i.Outcome.Final():
			done.Done++
		case in.Final:
			i.Why, i.Outcome, c.ruled[i.N] = "late: it was "+string(was), access.OutcomeLate, false
			done.Done++
		case i.Outcome == access.OutcomeHeld:
			done.Held++
		default:
			done.Open++
		}
	}
	if in.Final {
		done.Plan, done.Look = "", nil
	}
	if c.lost {
		return done, failed
	}
	return done, nil
}

func (c *reviewTest) playEnd(in reviews.ReviewEndInput) (access.Review, error) {
	err := c.failing("ReviewEnd")
	if err != nil && !in.Bare {
		return c.review, err
	}
	if !c.review.State.Final() {
		c.review.State, c.review.Ended = in.State, c.env.Now()
		if err != nil {
			c.review.Findings = append(c.review.Findings, "its evidence could not be made: "+err.Error())
		} else if in.State != access.ReviewSkipped {
			c.review.Head, c.review.Lines = strings.Repeat("e", 64), len(c.items)+len(c.log)+2
		}
		c.enterLog(access.EventEnded, "", "")
	}
	return c.review, nil
}

// opened returns when the first stage began.
func (c *reviewTest) opened() time.Time {
	return c.log[slices.IndexFunc(c.log, func(e access.ReviewEvent) bool { return e.Kind == access.EventStage })].At
}

// decisionsOn returns the words that were recorded of an item, in order.
func (c *reviewTest) decisionsOn(n int) (words []string) {
	for _, e := range c.log {
		if e.Item == n {
			words = append(words, strings.TrimSpace(e.Kind+" "+string(e.Verdict)+e.To+e.Text))
		}
	}
	return words
}

// from returns a while after the beginning, for comparing instants of the ledger.
func from(at time.Time) time.Duration { return at.Sub(begin).Truncate(time.Second) }

// wordOf returns a verdict as a reviewer's page records it.
func wordOf(who string, v access.Verdict) reviews.ReviewMessage {
	return reviews.ReviewMessage{Decide: &messages.DecideInput{By: who, Verdict: v}, Via: "page"}
}
