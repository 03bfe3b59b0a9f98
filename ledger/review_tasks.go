package ledger

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/review"
)

// BeginStage begins the next stage of a review: it assigns the items and tasks, and deletes what the pages counted. A
// repeat finds it begun, and nothing begins once deciding has ended.
func (l *Ledger) BeginStage(ctx context.Context, org, review string, stage int, due time.Time, items []int,
	tasks []access.Task, at time.Time) error {
	at = orNow(at)
	return l.write(ctx, org, fmt.Sprintf("begin stage %d of review %s", stage, review), func(w *write) error {
		r, err := w.review(ctx, review)
		if err != nil || r.Stage >= stage || r.State != access.ReviewOpening && r.State != access.ReviewOpen {
			return err
		}
		r.State, r.Stage, r.Due = access.ReviewOpen, stage, due
		if err := w.saveReview(ctx, r); err != nil {
			return err
		}
		for _, some := range chunks(items) {
			if err := w.touchDoubtedWhere(ctx, tableItems, itemsWhere(some), itemsArgs(review, some)...); err != nil {
				return err
			}
			query, args := stageQuery(org, review, stage, some)
			if _, err := w.exec(ctx, query, args...); err != nil {
				return err
			}
		}
		if _, err := w.exec(ctx, `DELETE FROM review_pages WHERE org = ? AND review = ?`, org, review); err != nil {
			return err
		}
		if err := w.giveTasks(ctx, review, stage, tasks); err != nil {
			return err
		}
		if err := w.analyze(ctx, countedOfItems+`, review_tasks`); err != nil {
			return err
		}
		return w.note(ctx, review, access.ReviewEvent{At: at, Kind: access.EventStage, Stage: stage,
			Text: fmt.Sprintf("%d items, until %s", len(items), due.UTC().Format(time.RFC3339))})
	})
}

func stageQuery(org, review string, stage int, numbers []int) (string, []any) {
	return `UPDATE review_items SET stage = ? WHERE org = ? AND ` + itemsWhere(numbers),
		append([]any{stage, org}, itemsArgs(review, numbers)...)
}

func itemsWhere(numbers []int) string { return `review = ? AND n IN (` + marks(len(numbers)) + `)` }

func itemsArgs(review string, numbers []int) []any {
	args := []any{review}
	for _, n := range numbers {
		args = append(args, n)
	}
	return args
}

// GiveTasks asks more people in a stage, and no longer asks some about items that they have not decided. Events are
// added to the log if anything changed. Nothing changes once the stage is over.
func (l *Ledger) GiveTasks(ctx context.Context, org, review string, stage int, give []access.Task, drop []string,
	events ...access.ReviewEvent) (changed bool, err error) {
	err = l.write(ctx, org, "give out items of review "+review, func(w *write) error {
		changed = false
		r, err := w.review(ctx, review)
		if err != nil || r.State != access.ReviewOpen || r.Stage != stage {
			return err
		}
		before, err := w.taskCount(ctx, review, stage)
		if err != nil {
			return err
		}
		if err := w.giveTasks(ctx, review, stage, give); err != nil {
			return err
		}
		after, err := w.taskCount(ctx, review, stage)
		if err != nil {
			return err
		}
		dropped := 0
		for _, reviewer := range drop {
			if err := w.forgetWhere(ctx, tableTasks, `review = ? AND stage = ? AND reviewer = ? AND verdict = ''`,
				review, stage, reviewer); err != nil {
				return err
			}
			n, err := w.exec(ctx, `DELETE FROM review_tasks WHERE org = ? AND review = ? AND stage = ? AND reviewer = ? AND verdict = ''`, org, review, stage, reviewer)
			if err != nil {
				return err
			}
			dropped += n
		}
		if changed = after > before || dropped > 0; !changed {
			return nil
		}
		return w.note(ctx, review, events...)
	})
	return changed, err
}

func (w *write) taskCount(ctx context.Context, review string, stage int) (int, error) {
	return first(ctx, w.database, func(row scanner) (n int, err error) { return n, row.Scan(&n) },
		`SELECT COUNT(*) FROM review_tasks WHERE org = ? AND review = ? AND stage = ?`, w.org, review, stage)
}

func (w *write) giveTasks(ctx context.Context, review string, stage int, tasks []access.Task) error {
	type key struct {
		n        int
		reviewer string
	}
	var rows, keys [][]any
	seen := map[key]bool{}
	for _, t := range tasks {
		k := key{t.N, t.Reviewer}
		if seen[k] {
			continue
		}
		seen[k] = true
		rows = append(rows, []any{w.org, review, stage, k.reviewer, t.N, string(t.Role), instant(t.Since), ""})
		keys = append(keys, []any{review, stage, k.reviewer, t.N})
	}
	if err := w.forget(ctx, tableTasks, keys...); err != nil {
		return err
	}
	return w.execRows(ctx, `INSERT INTO review_tasks (org, review, stage, reviewer, n, role, since, verdict) VALUES`,
		marks(8),
		`ON CONFLICT (org, review, stage, reviewer, n) DO NOTHING`, rows)
}

// OpenTasks returns the tasks of a stage about items that nobody has decided in it; only those of one reviewer if one
// is named.
func (l *Ledger) OpenTasks(ctx context.Context, org, review string, stage int, reviewer string) ([]access.Task, error) {
	query, args := openTasksQuery(org, review, stage, reviewer)
	all, err := collect(ctx, l.reads, func(row scanner) (t access.Task, err error) {
		var since int64
		err = row.Scan(&t.N, &t.Reviewer, &t.Role, &since)
		t.Since = fromInstant(since)
		return t, err
	}, query, args...)
	return all, reading(err, "who is asked in review "+review, org)
}

func openTasksQuery(org, review string, stage int, reviewer string) (string, []any) {
	query, args := `SELECT t.n, t.reviewer, t.role, t.since FROM review_tasks t JOIN review_items i ON i.org = t.org AND i.review = t.review AND i.n = t.n
		WHERE t.org = ? AND t.review = ? AND t.stage = ? AND i.spoke < t.stage`, []any{org, review, stage}
	if reviewer != "" {
		query, args = query+` AND t.reviewer = ?`, append(args, reviewer)
	}
	return query + ` ORDER BY t.n, t.reviewer`, args
}

// ReviewerCount is the progress of one reviewer in a stage.
type ReviewerCount struct {
	Reviewer string
	Role     access.TaskRole // of several, the most binding: reviewer, delegate, fallback, owner
	Items    int
	Spoken   int // that they have decided
	Left     int // that nobody has decided
}

// ReviewCount is the progress of a review in numbers.
type ReviewCount struct {
	Items     int // of the review
	Asked     int // of the stage
	Decided   int // of the stage's items, those with a decision in it
	Verdicts  map[access.Verdict]int
	Outcomes  map[access.Outcome]int
	Removals  int             // of the stage's items, those to be removed, without an outcome
	Reviewers []ReviewerCount // by name
}

// CountReview counts the decisions in a review, and by reviewer in its present stage.
func (l *Ledger) CountReview(ctx context.Context, org, review string) (ReviewCount, error) {
	c := ReviewCount{Verdicts: map[access.Verdict]int{}, Outcomes: map[access.Outcome]int{}}
	r, err := l.Review(ctx, org, review)
	if err != nil {
		return c, err
	}
	err = l.reads.each(ctx, func(row scanner) error {
		var verdict access.Verdict
		var outcome access.Outcome
		var stage, spoke, n int
		if err := row.Scan(&verdict, &outcome, &stage, &spoke, &n); err != nil {
			return err
		}
		c.Items += n
		c.Verdicts[verdict] += n
		if outcome != "" {
			c.Outcomes[outcome] += n
		}
		if stage == r.Stage && stage > 0 {
			c.Asked += n
			if outcome == "" && verdict == access.VerdictRemove {
				c.Removals += n
			}
			if spoke == stage {
				c.Decided += n
			}
		}
		return nil
	}, countItems, org, review)
	if err != nil {
		return c, reading(err, "how far review "+review+" is", org)
	}
	c.Reviewers, err = collect(ctx, l.reads, func(row scanner) (one ReviewerCount, err error) {
		var role int
		err = row.Scan(&one.Reviewer, &role, &one.Items, &one.Spoken, &one.Left)
		one.Role = taskRoles[role]
		return one, err
	}, countTasks, org, review, r.Stage)
	return c, reading(err, "how far the reviewers of "+review+" are", org)
}

// taskRoles are the roles as countTasks numbers them.
var taskRoles = []access.TaskRole{access.TaskReviewer, access.TaskDelegate, access.TaskFallback, access.TaskOwner}

const (
	countItems = `SELECT verdict, outcome, stage, spoke, COUNT(*) FROM review_items WHERE org = ? AND review = ? GROUP BY verdict, outcome, stage, spoke`
	countTasks = `SELECT t.reviewer, MIN(CASE t.role WHEN 'reviewer' THEN 0 WHEN 'delegate' THEN 1 WHEN 'fallback' THEN 2 ELSE 3 END), COUNT(*),
		SUM(CASE WHEN t.verdict <> '' THEN 1 ELSE 0 END), SUM(CASE WHEN i.spoke < t.stage THEN 1 ELSE 0 END)
		FROM review_tasks t JOIN review_items i ON i.org = t.org AND i.review = t.review AND i.n = t.n
		WHERE t.org = ? AND t.review = ? AND t.stage = ? GROUP BY t.reviewer ORDER BY t.reviewer`
)

// TasksOf counts the items that a reviewer is asked about in a stage, and those they have decided.
func (l *Ledger) TasksOf(ctx context.Context, org, review string, stage int, reviewer string) (all, spoken int,
	err error) {
	err = l.reads.each(ctx, func(row scanner) error { return row.Scan(&all, &spoken) },
		`SELECT COUNT(*), COALESCE(SUM(CASE WHEN verdict <> '' THEN 1 ELSE 0 END), 0) FROM review_tasks
			WHERE org = ? AND review = ? AND stage = ? AND reviewer = ?`, org, review, stage, reviewer)
	return all, spoken, reading(err, "what "+reviewer+" is asked", org)
}

// tasksOf returns a reviewer's tasks, by item; only those of lines if there are any. One that the chain does not
// explain is nobody's.
func (w *write) tasksOf(ctx context.Context, r access.Review, by review.Names,
	lines []ItemMessage) (map[int]ownTask, error) {
	tasks := map[int]ownTask{}
	numbers := numbersOf(lines)
	slices.Sort(numbers)
	pieces := chunks(slices.Compact(numbers))
	if len(lines) == 0 {
		pieces = [][]int{nil}
	}
	for _, numbers := range pieces {
		query, args := tasksQuery(w.org, r.ID, r.Stage, by, numbers)
		found, err := collect(ctx, w.database, func(row scanner) (t ownTask, err error) {
			var since int64
			err = row.Scan(&t.N, &t.Reviewer, &t.Role, &since, &t.Verdict)
			t.Since = fromInstant(since)
			return t, err
		}, query, args...)
		if err != nil {
			return nil, err
		}
		keys := make([][]any, len(found))
		for i, t := range found {
			keys[i] = []any{r.ID, r.Stage, t.Reviewer, t.N}
		}
		forged, err := w.doubts(ctx, tableTasks, keys)
		if err != nil {
			return nil, err
		}
		for _, t := range found {
			if slices.ContainsFunc(forged,
				func(key []string) bool { return key[2] == t.Reviewer && key[3] == strconv.Itoa(t.N) }) {
				continue
			}
			is, twice := tasks[t.N]
			t.names = append(is.names, t.Reviewer)
			if twice && t.Verdict == "" {
				t.Assigned = is.Assigned
			}
			tasks[t.N] = t
		}
	}
	return tasks, nil
}

func tasksQuery(org, id string, stage int, by review.Names, numbers []int) (string, []any) {
	who, whom := in("reviewer", by.List())
	query, args := `SELECT n, reviewer, role, since, verdict FROM review_tasks WHERE org = ? AND review = ? AND stage = ? AND `+who,
		append([]any{org, id, stage}, whom...)
	if len(numbers) > 0 {
		query += ` AND n IN (` + marks(len(numbers)) + `)`
		for _, n := range numbers {
			args = append(args, n)
		}
	}
	return query + ` ORDER BY reviewer`, args
}

// leftOf counts, once all messages are recorded, the items left to each of their reviewers.
func (w *write) leftOf(ctx context.Context, r access.Review, by []review.Names, said []MessageResult) (err error) {
	counted := map[string]int{}
	for i := range said {
		if said[i].Err != nil {
			continue
		}
		key := digest(by[i].List()...)
		n, known := counted[key]
		if !known {
			query, args := leftQuery(w.org, r.ID, r.Stage, by[i])
			if n, err = first(ctx, w.database, func(row scanner) (n int, err error) { return n, row.Scan(&n) }, query,
				args...); err != nil {
				return err
			}
			counted[key] = n
		}
		said[i].Left = n
	}
	return nil
}

// leftQuery looks up each task by itself, or SQLite would scan all items.
func leftQuery(org, id string, stage int, by review.Names) (string, []any) {
	who, args := in("t.reviewer", by.List())
	return `SELECT COUNT(DISTINCT t.n) FROM review_tasks t WHERE t.org = ? AND t.review = ? AND t.stage = ? AND ` + who + `
		AND (SELECT i.spoke FROM review_items i WHERE i.org = t.org AND i.review = t.review AND i.n = t.n) < t.stage`,
		append([]any{org, id, stage}, args...)
}
