package ledger_test

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/review"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestTheDecidingOfAReview lets reviewers say things in any order, again and late, while stages pass and removals are
// carried out, and compares the ledger with a model of two pages.
func TestTheDecidingOfAReview(t *testing.T) {
	t.Parallel()
	test := func(t *testing.T, l *ledger.Ledger) {
		n := 0
		rapid.Check(t, func(r *rapid.T) {
			n++
			m := reviewModel{t: t, r: r, l: l, org: fmt.Sprint("org-", n),
				m: expectedReview{stage: 1, items: map[int]*expectedItem{}, tasks: map[expectedTask]access.Verdict{}}}
			m.open()
			for range rapid.IntRange(1, 12).Draw(r, "steps") {
				m.step()
				m.compare()
			}
			check, err := l.VerifyChain(t.Context(), m.org, 0, 0)
			require.NoError(r, err)
			require.Nil(r, check.Broken)
		})
	}
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, open(t, filepath.Join(t.TempDir(), "castellan.db")))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, open(t, postgresURL(t)))
	})
}

const saidItems = 4

var speakers = []string{bo, carol, dan, eve} // eve is asked only if somebody hands something on to her

// expectedTask is a task of the present stage.
type expectedTask struct {
	n  int
	by string
}

// expectedReview is what should have become of a review.
type expectedReview struct {
	stage  int
	over   bool
	items  map[int]*expectedItem
	tasks  map[expectedTask]access.Verdict
	events int
}

type expectedItem struct {
	stage, version int
	words          []map[string]access.Verdict // by stage, from 1
	open           bool
}

// comes is what the words of an item come to, and in which stage.
func (i *expectedItem) comes() (v access.Verdict, stage int) {
	for stage = len(i.words) - 1; stage > 0; stage-- {
		for _, one := range i.words[stage] {
			v = access.Stricter(v, one)
		}
		if v != "" {
			return v, stage
		}
	}
	return "", 0
}

// sentDecision is a word, and of which items it left an entry in the log.
type sentDecision struct {
	ledger.ReviewMessage
	left map[int]bool
}

type reviewModel struct {
	t    *testing.T
	r    *rapid.T
	l    *ledger.Ledger
	org  string
	m    expectedReview
	sent []*sentDecision
	at   int
}

func (m *reviewModel) open() {
	_, err := m.l.BeginReview(m.t.Context(), m.org, campaign(spring))
	require.NoError(m.r, err)
	var items []access.Item
	for n := 1; n <= saidItems; n++ {
		items = append(items, asks(n, "ops"))
		m.m.items[n] = &expectedItem{words: make([]map[string]access.Verdict, 4)}
	}
	require.NoError(m.r, m.l.SaveItems(m.t.Context(), m.org, spring, "1", items, nil))
	_, err = m.l.NumberItems(m.t.Context(), m.org, spring)
	require.NoError(m.r, err)
	m.m.events = 1
	m.begin(1)
}

// begin lets a stage begin with some items, each for some people.
func (m *reviewModel) begin(stage int) {
	var numbers []int
	var tasks []access.Task
	given := map[expectedTask]access.Verdict{}
	for n := 1; n <= saidItems; n++ {
		who := rapid.SliceOfNDistinct(rapid.SampledFrom(speakers[:3]), 0, 2, rapid.ID[string]).Draw(m.r, "asked")
		for _, by := range who {
			tasks = append(tasks, task(n, by))
			given[expectedTask{n, by}] = ""
		}
		if len(who) > 0 {
			numbers = append(numbers, n)
		}
	}
	require.NoError(m.r, m.l.BeginStage(m.t.Context(), m.org, spring, stage, minutes(90), numbers, tasks, noon))
	if m.m.over || stage < m.m.stage || stage == m.m.stage && m.m.events > 1 {
		return
	}
	m.m.stage, m.m.tasks = stage, given
	m.m.events++
	for _, n := range numbers {
		m.m.items[n].stage = stage
	}
}

func (m *reviewModel) step() {
	switch act := rapid.SampledFrom([]string{"say", "say", "say", "say", "again", "stage", "carry", "close"}).Draw(m.r,
		"act"); {
	case act == "say":
		var words []*sentDecision
		for range rapid.IntRange(1, 3).Draw(m.r, "words") {
			words = append(words, m.word())
		}
		m.say(words...)
		m.sent = append(m.sent, words...)
	case act == "again" && len(m.sent) > 0:
		m.say(rapid.SampledFrom(m.sent).Draw(m.r, "which"))
	case act == "stage":
		m.begin(rapid.IntRange(1, 3).Draw(m.r, "stage"))
	case act == "carry":
		m.carry(rapid.IntRange(1, saidItems).Draw(m.r, "item"))
	case act == "close" && rapid.IntRange(0, 3).Draw(m.r, "really") == 0:
		_, err := m.l.ChangeReview(m.t.Context(), m.org, spring,
			func(r *access.Review) bool { r.State = access.ReviewClosing; return true })
		require.NoError(m.r, err)
		m.m.over = true
	}
}

func (m *reviewModel) word() *sentDecision {
	m.at++
	some := rapid.SliceOfN(rapid.IntRange(1, saidItems), 1, 3).Draw(m.r, "items")
	s := &sentDecision{word(rapid.SampledFrom(speakers).Draw(m.r, "by"),
		rapid.SampledFrom([]access.Verdict{keep, remove}).Draw(m.r, "verdict"), some...), map[int]bool{}}
	s.At = minutes(m.at)
	switch s.Kind = rapid.SampledFrom([]string{decided, decided, decided, reopened, delegated, commented}).Draw(m.r,
		"kind"); s.Kind {
	case delegated:
		s.To = rapid.SampledFrom(speakers).Draw(m.r, "to")
	case commented:
		s.Comment = rapid.SampledFrom([]string{"why?", "ah"}).Draw(m.r, "comment")
	}
	if s.Kind != decided {
		s.Verdict = ""
	}
	if rapid.IntRange(0, 3).Draw(m.r, "all") == 0 {
		s.Lines, s.All = nil, &ledger.MessageFilter{Undecided: rapid.Bool().Draw(m.r, "undecided")}
	}
	return s
}

// carry lets a removal begin to be carried out, as it is when removals are carried out at once.
func (m *reviewModel) carry(n int) {
	some, err := m.l.Items(m.t.Context(), m.org, spring, ledger.ItemFilter{Numbers: []int{n}})
	require.NoError(m.r, err)
	if i := some[0]; i.Verdict == remove {
		i.Outcome = access.OutcomeOpen
		require.NoError(m.r, m.l.Settle(m.t.Context(), m.org, spring, []review.Resolution{{Item: i}}, noon))
		m.m.items[n].open = true
	}
}

func (m *reviewModel) say(words ...*sentDecision) {
	var told []ledger.ReviewMessage
	for _, s := range words {
		told = append(told, s.ReviewMessage)
	}
	said, err := m.l.RecordMessages(m.t.Context(), m.org, spring, told)
	require.NoError(m.r, err)
	var applied [][]int
	for _, s := range words {
		applied = append(applied, m.m.hear(s))
	}
	for i, s := range said {
		require.Equal(m.r, applied[i], s.Applied, "%+v", words[i].ReviewMessage)
		if s.Err == nil {
			require.Equal(m.r, m.m.left(words[i].By), s.Left, "%+v", words[i].ReviewMessage)
		}
	}
}

// left is how many items a person is asked about and nobody has spoken of.
func (m *expectedReview) left(by string) (left int) {
	for task := range m.tasks {
		if _, stage := m.items[task.n].comes(); (by == "" || task.by == by) && stage < m.stage {
			left++
		}
	}
	return left
}

// hear takes in a decision, and returns the items of which it changes something.
func (m *expectedReview) hear(s *sentDecision) (applied []int) {
	if m.over {
		return nil
	}
	var numbers []int
	for _, line := range s.Lines {
		numbers = append(numbers, line.N)
	}
	if s.All != nil {
		for task, v := range m.tasks {
			if task.by == s.By && (!s.All.Undecided || v == "") {
				numbers = append(numbers, task.n)
			}
		}
	}
	slices.Sort(numbers)
	for _, n := range slices.Compact(numbers) {
		v, is := m.tasks[expectedTask{n, s.By}]
		if is && (s.Kind == commented || !s.left[n]) && m.change(s, n, v) {
			applied = append(applied, n)
			s.left[n] = true
			m.events++
		}
	}
	return applied
}

func (m *expectedReview) change(s *sentDecision, n int, own access.Verdict) bool {
	i, task := m.items[n], expectedTask{n, s.By}
	speak := func(v access.Verdict) bool {
		before, _ := i.comes()
		words := maps.Clone(i.words[m.stage])
		if i.words[m.stage] == nil {
			i.words[m.stage] = map[string]access.Verdict{}
		}
		i.words[m.stage][s.By] = v
		if after, _ := i.comes(); i.open && after != before {
			i.words[m.stage] = words
			return false
		}
		if v == "" {
			delete(i.words[m.stage], s.By)
		}
		m.tasks[task] = v
		i.version++
		return true
	}
	switch s.Kind {
	case decided:
		return own != s.Verdict && speak(s.Verdict)
	case reopened:
		return own != "" && !i.open && speak("")
	case delegated:
		if own != "" || s.To == s.By {
			return false
		}
		delete(m.tasks, task)
		if _, is := m.tasks[expectedTask{n, s.To}]; !is {
			m.tasks[expectedTask{n, s.To}] = ""
		}
		return true
	}
	if i.words[0] == nil {
		i.words[0] = map[string]access.Verdict{}
	}
	key := fmt.Sprint(s.By, m.stage, s.Comment) // of comments it is remembered which were made
	_, made := i.words[0][key]
	i.words[0][key] = keep
	return !made
}

func (m *reviewModel) compare() {
	c, err := m.l.CountReview(m.t.Context(), m.org, spring)
	require.NoError(m.r, err)
	some, err := m.l.Items(m.t.Context(), m.org, spring, ledger.ItemFilter{})
	require.NoError(m.r, err)
	require.Len(m.r, some, saidItems)
	want := ledger.ReviewCount{Items: saidItems, Verdicts: map[access.Verdict]int{}, Outcomes: map[access.Outcome]int{}}
	for _, got := range some {
		is := m.m.items[got.N]
		v, stage := is.comes()
		require.Equal(m.r, []any{v, is.version, is.stage}, []any{got.Verdict, got.Version, got.Stage}, "item %d", got.N)
		var words []string
		for stage := 1; stage < len(is.words); stage++ {
			for _, by := range slices.Sorted(maps.Keys(is.words[stage])) {
				words = append(words, fmt.Sprint(stage, by, is.words[stage][by]))
			}
		}
		var kept []string
		for _, s := range got.Said {
			kept = append(kept, fmt.Sprint(s.Stage, s.By, s.Verdict))
		}
		require.Equal(m.r, words, kept, "item %d", got.N)
		want.Verdicts[v]++
		if is.open {
			want.Outcomes[access.OutcomeOpen]++
		}
		if is.stage == m.m.stage {
			want.Asked++
			if v == remove && !is.open {
				want.Removals++
			}
			if stage == m.m.stage {
				want.Decided++
			}
		}
	}
	for _, by := range speakers {
		one := ledger.ReviewerCount{Reviewer: by, Left: m.m.left(by)}
		for task, v := range m.m.tasks {
			if task.by == by {
				one.Items++
			}
			if task.by == by && v != "" {
				one.Spoken++
			}
		}
		if one.Items > 0 {
			want.Reviewers = append(want.Reviewers, one)
		}
	}
	for i := range c.Reviewers {
		c.Reviewers[i].Role = ""
	}
	require.Equal(m.r, want, c)
	open, err := m.l.OpenTasks(m.t.Context(), m.org, spring, m.m.stage, "")
	require.NoError(m.r, err)
	require.Len(m.r, open, m.m.left(""))
	for _, one := range open {
		require.Contains(m.r, m.m.tasks, expectedTask{one.N, one.Reviewer})
	}
	events, err := m.l.ReviewEvents(m.t.Context(), m.org, spring, 0, 0)
	require.NoError(m.r, err)
	require.Len(m.r, events, m.m.events, "%s", strings.Join(eventKinds(events), " "))
	require.True(m.r, slices.IsSortedFunc(events, func(a, b access.ReviewEvent) int { return a.Seq - b.Seq }))
	require.WithinRange(m.r, events[0].At, noon, noon.Add(time.Second))
}

func eventKinds(events []access.ReviewEvent) (kinds []string) {
	for _, e := range events {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}
