package ledger

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/review"
)

// ReviewMessage is one message of a reviewer about items.
type ReviewMessage struct {
	Kind    string // access.EventDecided, …Commented, …Delegated or …Reopened
	By      string // account ID of the reviewer
	ByEmail string // for display, never compared
	Via     string
	Pass    Pass
	Lines   []ItemMessage  // item by item; or
	All     *MessageFilter // all items that the reviewer is asked about and that match
	Verdict access.Verdict
	Comment string
	To      string // of a delegation: account id
	ToEmail string
	At      time.Time // when it was sent; the same for a repeat (a zero At means now)
}

// ItemMessage is the part of a message about one item. Without a verdict or a comment of its own it has those of the
// whole.
type ItemMessage struct {
	N       int
	Verdict access.Verdict
	Comment string
	Version *int // of the item as the reviewer saw it; nil: any
}

// MessageFilter selects among the items that a reviewer is asked about.
type MessageFilter struct {
	Person    string // account id; "": anyone
	Target    access.Entitlement
	Recommend access.Verdict
	Undecided bool // which they have not decided
}

// MessageResult is the result of a message.
type MessageResult struct {
	Err      error // the whole was refused
	Applied  []int
	Repeated []int
	Refused  []RefusedItem
	Left     int // the reviewer's items that nobody has decided, once all messages are recorded
}

// RefusedItem is an item that a message did not change, and why.
type RefusedItem struct {
	N   int
	Why string
}

// RecordMessages records messages of reviewers, each by itself and all in one transaction: what is answered is stored.
// A repeat of a message changes nothing, even if it comes late: after another message, or when nobody may decide any
// more. If several reviewers decide differently on one item in one stage, a removal counts (access.Stricter).
func (l *Ledger) RecordMessages(ctx context.Context, org, id string, words []ReviewMessage) ([]MessageResult, error) {
	var said []MessageResult
	err := l.write(ctx, org, "record what was said in review "+id, func(w *write) error {
		said = make([]MessageResult, len(words))
		r, err := w.review(ctx, id)
		if err != nil {
			return err
		}
		last, err := w.lastEvent(ctx, id)
		if err != nil {
			return err
		}
		by := make([]review.Names, len(words))
		for i, word := range words {
			if by[i], err = w.namesOf(ctx, id, word.By); err != nil {
				return err
			}
			if err := w.recordMessage(ctx, r, last, word, by[i], &said[i]); err != nil {
				return err
			}
		}
		return w.leftOf(ctx, r, by, said)
	})
	return said, err
}

// recordMessage records one message. last is the end of the log before the messages of the same call.
func (w *write) recordMessage(ctx context.Context, r access.Review, last int, word ReviewMessage, known review.Names,
	said *MessageResult) (err error) {
	word.At = cut(orNow(word.At))
	t := messageRecorder{write: w, review: r, word: word, names: known, said: said}
	if t.before, err = w.messageEvents(ctx, r, last, word, known); err != nil {
		return err
	}
	if err = t.record(ctx); refuses(err) {
		*said = MessageResult{Err: err}
		t.answerRepeat(err)
		err = nil
	}
	return err
}

// refuses reports whether an error refuses a message as a whole.
func refuses(err error) bool {
	return errors.Is(err, review.ErrNotReviewer) || errors.Is(err, review.ErrOver) || errors.Is(err, ErrCode)
}

// record records the message, or returns why it is refused as a whole.
func (t *messageRecorder) record(ctx context.Context) (err error) {
	if err := review.CheckOpen(t.review); err != nil {
		return err
	}
	if t.tasks, err = t.tasksOf(ctx, t.review, t.names, t.word.Lines); err != nil {
		return err
	}
	if len(t.tasks) == 0 {
		others, err := t.tasksOf(ctx, t.review, t.names, nil)
		if err != nil {
			return err
		}
		if len(others) == 0 {
			return review.ErrNotReviewer
		}
	}
	spent, wrong := t.admit(ctx, t.review.ID, t.names, t.word.Pass, t.word.At)
	if wrong != nil && !errors.Is(wrong, ErrCode) {
		return wrong
	}
	found, err := t.items(ctx)
	if err != nil {
		return err
	}
	if t.word.Kind == access.EventDelegated {
		if t.to, err = t.namesOf(ctx, t.review.ID, t.word.To); err != nil {
			return err
		}
	}
	n := t.changes(found)
	switch {
	case wrong != nil && (len(n.events) > 0 || len(t.said.Repeated) == 0):
		return wrong
	case spent:
		t.said.Repeated, t.said.Applied, n = append(t.said.Repeated, t.said.Applied...), nil, itemChanges{}
	}
	slices.Sort(t.said.Repeated)
	return t.store(ctx, n)
}

// messageEvents returns the log entries that this very message may have left, by item: those of its reviewer at the
// same instant, up to the entry last; of comments, in the same stage.
func (w *write) messageEvents(ctx context.Context, r access.Review, last int, word ReviewMessage,
	by review.Names) (map[int][]access.ReviewEvent, error) {
	before := map[int][]access.ReviewEvent{}
	query, args := messageEventsQuery(w.org, r.ID, r.Stage, last, word, by)
	return before, w.each(ctx, func(row scanner) error {
		var e access.ReviewEvent
		err := row.Scan(&e.Item, &e.Verdict, &e.To, &e.Text)
		before[e.Item] = append(before[e.Item], e)
		return err
	}, query, args...)
}

func messageEventsQuery(org, id string, stage, last int, word ReviewMessage, by review.Names) (string, []any) {
	who, args := in("by_whom", by.List())
	query := `SELECT n, verdict, to_whom, body FROM review_events WHERE ` + byPerson + ` AND ` + who + ` AND kind = ?`
	args = append(append([]any{org, id}, args...), word.Kind)
	if word.Kind == access.EventCommented {
		return query + ` AND stage = ?`, append(args, stage)
	}
	return query + ` AND at = ? AND seq <= ?`, append(args, instant(word.At), last)
}

// recordedBefore reports whether this very message was recorded for the item before.
func (t *messageRecorder) recordedBefore(n int) bool { return t.wordOn(n).RecordedIn(t.before[n]) }

// answerRepeat answers a message that would be refused now as a repeat, if it was recorded before.
func (t *messageRecorder) answerRepeat(refusal error) {
	var said MessageResult
	lines := slices.Collect(maps.Keys(t.before))
	if t.word.All == nil {
		lines = numbersOf(t.word.Lines)
	}
	slices.Sort(lines)
	for _, n := range slices.Compact(lines) {
		if t.recordedBefore(n) {
			said.Repeated = append(said.Repeated, n)
		} else if t.word.All == nil {
			said.Refused = append(said.Refused, RefusedItem{n, refusal.Error()})
		}
	}
	if len(said.Repeated) > 0 {
		*t.said = said
	}
}

func numbersOf(lines []ItemMessage) []int {
	numbers := make([]int, len(lines))
	for i, line := range lines {
		numbers[i] = line.N
	}
	return numbers
}

// ownTask is a task of the message's reviewer.
type ownTask struct {
	review.Assigned
	names []string // all names by which they are asked about the item
}

// items returns the items that the message is about, and that the reviewer is asked about.
func (t *messageRecorder) items(ctx context.Context) ([]access.Item, error) {
	var numbers []int
	if t.word.All == nil {
		numbers = t.listedNumbers()
	} else {
		numbers = t.filteredNumbers()
	}
	if len(numbers) == 0 {
		return nil, nil
	}
	all, err := items(ctx, t.database, t.org, t.review.ID, ItemFilter{Numbers: numbers})
	if err != nil {
		return all, err
	}
	forged, err := t.forged(ctx, all)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(i access.Item) bool {
		switch {
		case t.word.All != nil && !t.word.All.fits(i):
			return true
		case t.recordedBefore(i.N):
			t.said.Repeated = append(t.said.Repeated, i.N)
			return true
		case forged[Key{Person: i.Person, Target: i.Target}]:
			t.refuse(i.N, ErrUnexplained.Error())
			return true
		}
		return false
	}), nil
}

// listedNumbers returns the numbers of the message's lines that have to be looked at; the others it answers at once.
func (t *messageRecorder) listedNumbers() (numbers []int) {
	lines := map[int]ItemMessage{}
	for _, line := range t.word.Lines {
		other, twice := lines[line.N]
		lines[line.N] = line
		switch _, asked := t.tasks[line.N]; {
		case twice && (other.Verdict != line.Verdict || other.Comment != line.Comment):
			t.refuse(line.N, "it stands more than once in what you sent, and not alike")
			numbers = slices.DeleteFunc(numbers, func(n int) bool { return n == line.N })
		case twice:
		case asked:
			numbers = append(numbers, line.N)
		case t.recordedBefore(line.N):
			t.said.Repeated = append(t.said.Repeated, line.N)
		default:
			t.refuse(line.N, "it is not one of the items that you are asked about in this stage of the review")
		}
	}
	return numbers
}

// filteredNumbers returns the numbers of the items that the message's filter may select, and of those for which the
// message was recorded before.
func (t *messageRecorder) filteredNumbers() (numbers []int) {
	for n, task := range t.tasks {
		if !t.word.All.Undecided || task.Verdict == "" {
			numbers = append(numbers, n)
		}
	}
	for n := range t.before {
		if t.recordedBefore(n) {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

// forged returns those of the items that the chain does not explain.
func (t *messageRecorder) forged(ctx context.Context, all []access.Item) (map[Key]bool, error) {
	keys := make([][]any, len(all))
	for n, i := range all {
		keys[n] = []any{t.review.ID, i.Person, string(i.Target)}
	}
	doubted, err := t.doubts(ctx, tableItems, keys)
	if err != nil {
		return nil, err
	}
	forged := map[Key]bool{}
	for _, key := range doubted {
		forged[Key{Person: key[1], Target: access.Entitlement(key[2])}] = true
	}
	return forged, nil
}

// refuse answers that an item is not changed.
func (t *messageRecorder) refuse(n int, why string) {
	t.said.Refused = append(t.said.Refused, RefusedItem{n, why})
}

func (f *MessageFilter) fits(i access.Item) bool {
	return (f.Person == "" || f.Person == i.Person) &&
		(f.Target == "" || f.Target.Same(i.Target)) &&
		(f.Recommend == "" || f.Recommend == i.Recommend)
}

// messageRecorder is one message as it is recorded.
type messageRecorder struct {
	*write
	review access.Review
	word   ReviewMessage
	names  review.Names
	to     review.Names // to whom something is delegated
	before map[int][]access.ReviewEvent
	tasks  map[int]ownTask
	said   *MessageResult
}

// itemChanges is what a message changes.
type itemChanges struct {
	items  []review.Result // with new decisions
	give   []access.Task
	drop   []ownTask
	events []access.ReviewEvent // one for each item
}

// wordOn returns the part of the message about one item.
func (t *messageRecorder) wordOn(n int) review.Action {
	line := ItemMessage{N: n}
	if at := slices.IndexFunc(t.word.Lines, func(line ItemMessage) bool { return line.N == n }); at >= 0 {
		line = t.word.Lines[at]
	}
	return review.Action{
		Kind: t.word.Kind, Stage: t.review.Stage, By: t.names, Email: t.word.ByEmail, Via: t.word.Via,
		Verdict: cmp.Or(line.Verdict, t.word.Verdict), Comment: clean(cmp.Or(line.Comment, t.word.Comment)),
		Version: line.Version, To: t.word.To, ToEmail: t.word.ToEmail, ToNames: t.to, At: t.word.At,
	}
}

// changes returns the changes of the message, item by item.
func (t *messageRecorder) changes(found []access.Item) (n itemChanges) {
	for _, i := range found {
		task, word := t.tasks[i.N], t.wordOn(i.N)
		said := review.Apply(i, task.Assigned, word)
		switch {
		case said.Refused != "":
			t.refuse(i.N, said.Refused)
			continue
		case said.Repeated:
			t.said.Repeated = append(t.said.Repeated, i.N)
			continue
		case word.ChangesDecision():
			n.items = append(n.items, said)
		case word.Kind == access.EventDelegated:
			n.give, n.drop = append(n.give, said.Delegated), append(n.drop, task)
		}
		t.said.Applied, n.events = append(t.said.Applied, i.N), append(n.events, said.Event)
	}
	return n
}

// store stores the changes of the message.
func (t *messageRecorder) store(ctx context.Context, n itemChanges) error {
	index := map[int]access.Item{}
	var items, tasks, drop [][]any
	for _, said := range n.items {
		i := said.Item
		index[i.N] = i
		items = append(items, []any{t.org, t.review.ID, i.Person, string(i.Target), list(i.Said), string(i.Verdict),
			said.LastStage, i.Version})
		for _, name := range t.tasks[i.N].names {
			tasks = append(tasks, []any{t.org, t.review.ID, t.review.Stage, name, i.N, string(said.Own)})
		}
	}
	for _, task := range n.drop {
		for _, name := range task.names {
			drop = append(drop, []any{t.org, t.review.ID, t.review.Stage, name, task.N})
		}
	}
	var keys [][]any
	for _, said := range n.items {
		keys = append(keys, []any{t.review.ID, said.Item.Person, string(said.Item.Target)})
	}
	var tasked [][]any
	for _, row := range slices.Concat(tasks, drop) {
		tasked = append(tasked, row[1:5])
	}
	if err := errors.Join(t.touch(ctx, tableItems, keys...), t.touch(ctx, tableTasks, tasked...)); err != nil {
		return err
	}
	if err := t.execRows(ctx, `UPDATE review_items SET said = v.column5, verdict = v.column6, spoke = v.column7, version = v.column8 FROM (VALUES`,
		`?, ?, ?, ?, ?, ?, CAST(? AS BIGINT), CAST(? AS BIGINT)`, `) AS v WHERE `+wholeItem, items); err != nil {
		return err
	}
	if err := t.execRows(ctx, `UPDATE review_tasks SET verdict = v.column6 FROM (VALUES`,
		`?, ?, CAST(? AS BIGINT), ?, CAST(? AS BIGINT), ?`, `) AS v WHERE `+wholeTask, tasks); err != nil {
		return err
	}
	if err := t.execRows(ctx, `DELETE FROM review_tasks WHERE (org, review, stage, reviewer, n) IN (VALUES`,
		`?, ?, CAST(? AS BIGINT), ?, CAST(? AS BIGINT)`, `)`, drop); err != nil {
		return err
	}
	if err := t.giveTasks(ctx, t.review.ID, t.review.Stage, n.give); err != nil {
		return err
	}
	for at := range n.events {
		if t.word.Kind != access.EventCommented {
			n.events[at].Bulk = len(n.events)
		}
	}
	return t.noteOf(ctx, t.review.ID, index, n.events...)
}

// wholeTask joins tasks to a list of values that begins with their key; see wholeKey.
const wholeTask = `org = v.column1 AND review = v.column2 AND stage = v.column3 AND reviewer = v.column4 AND n = v.column5`
