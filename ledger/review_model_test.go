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
			w := world{t: t, r: r, l: l, org: fmt.Sprint("org-", n),
				m: said{stage: 1, items: map[int]*saidItem{}, tasks: map[duty]access.Verdict{}}}
			w.open()
			for range rapid.IntRange(1, 12).Draw(r, "steps") {
				w.step()
				w.compare()
			}
			check, err := l.VerifyChain(t.Context(), w.org, 0, 0)
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

// duty is a task of the present stage.
type duty struct {
	n  int
	by string
}

// said is what should have become of a review.
type said struct {
	stage  int
	over   bool
	items  map[int]*saidItem
	tasks  map[duty]access.Verdict
	events int
}

type saidItem struct {
	stage, version int
	words          []map[string]access.Verdict // by stage, from 1
	open           bool
}

// comes is what the words of an item come to, and in which stage.
func (i *saidItem) comes() (v access.Verdict, stage int) {
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

// sent is a word, and of which items it left an entry in the log.
type sent struct {
	ledger.ReviewWord
	left map[int]bool
}

type world struct {
	t    *testing.T
	r    *rapid.T
	l    *ledger.Ledger
	org  string
	m    said
	sent []*sent
	at   int
}

func (w *world) open() {
	_, err := w.l.BeginReview(w.t.Context(), w.org, campaign(spring))
	require.NoError(w.r, err)
	var items []access.Item
	for n := 1; n <= saidItems; n++ {
		items = append(items, asks(n, "ops"))
		w.m.items[n] = &saidItem{words: make([]map[string]access.Verdict, 4)}
	}
	require.NoError(w.r, w.l.SaveItems(w.t.Context(), w.org, spring, "1", items, nil))
	_, err = w.l.NumberItems(w.t.Context(), w.org, spring)
	require.NoError(w.r, err)
	w.m.events = 1
	w.begin(1)
}

// begin lets a stage begin with some items, each for some people.
func (w *world) begin(stage int) {
	var numbers []int
	var tasks []access.Task
	given := map[duty]access.Verdict{}
	for n := 1; n <= saidItems; n++ {
		who := rapid.SliceOfNDistinct(rapid.SampledFrom(speakers[:3]), 0, 2, rapid.ID[string]).Draw(w.r, "asked")
		for _, by := range who {
			tasks = append(tasks, task(n, by))
			given[duty{n, by}] = ""
		}
		if len(who) > 0 {
			numbers = append(numbers, n)
		}
	}
	require.NoError(w.r, w.l.BeginStage(w.t.Context(), w.org, spring, stage, minutes(90), numbers, tasks, noon))
	if w.m.over || stage < w.m.stage || stage == w.m.stage && w.m.events > 1 {
		return
	}
	w.m.stage, w.m.tasks = stage, given
	w.m.events++
	for _, n := range numbers {
		w.m.items[n].stage = stage
	}
}

func (w *world) step() {
	switch act := rapid.SampledFrom([]string{"say", "say", "say", "say", "again", "stage", "carry", "close"}).Draw(w.r,
		"act"); {
	case act == "say":
		var words []*sent
		for range rapid.IntRange(1, 3).Draw(w.r, "words") {
			words = append(words, w.word())
		}
		w.say(words...)
		w.sent = append(w.sent, words...)
	case act == "again" && len(w.sent) > 0:
		w.say(rapid.SampledFrom(w.sent).Draw(w.r, "which"))
	case act == "stage":
		w.begin(rapid.IntRange(1, 3).Draw(w.r, "stage"))
	case act == "carry":
		w.carry(rapid.IntRange(1, saidItems).Draw(w.r, "item"))
	case act == "close" && rapid.IntRange(0, 3).Draw(w.r, "really") == 0:
		_, err := w.l.ChangeReview(w.t.Context(), w.org, spring,
			func(r *access.Review) bool { r.State = access.ReviewClosing; return true })
		require.NoError(w.r, err)
		w.m.over = true
	}
}

func (w *world) word() *sent {
	w.at++
	some := rapid.SliceOfN(rapid.IntRange(1, saidItems), 1, 3).Draw(w.r, "items")
	s := &sent{word(rapid.SampledFrom(speakers).Draw(w.r, "by"),
		rapid.SampledFrom([]access.Verdict{keep, remove}).Draw(w.r, "verdict"), some...), map[int]bool{}}
	s.At = minutes(w.at)
	switch s.Kind = rapid.SampledFrom([]string{decided, decided, decided, reopened, delegated, commented}).Draw(w.r,
		"kind"); s.Kind {
	case delegated:
		s.To = rapid.SampledFrom(speakers).Draw(w.r, "to")
	case commented:
		s.Comment = rapid.SampledFrom([]string{"why?", "ah"}).Draw(w.r, "comment")
	}
	if s.Kind != decided {
		s.Verdict = ""
	}
	if rapid.IntRange(0, 3).Draw(w.r, "all") == 0 {
		s.Lines, s.All = nil, &ledger.WordFilter{Undecided: rapid.Bool().Draw(w.r, "undecided")}
	}
	return s
}

// carry lets a removal begin to be carried out, as it is when removals are carried out at once.
func (w *world) carry(n int) {
	some, err := w.l.Items(w.t.Context(), w.org, spring, ledger.ItemFilter{Numbers: []int{n}})
	require.NoError(w.r, err)
	if i := some[0]; i.Verdict == remove {
		i.Outcome = access.OutcomeOpen
		require.NoError(w.r, w.l.Settle(w.t.Context(), w.org, spring, []review.Settlement{{Item: i}}, noon))
		w.m.items[n].open = true
	}
}

func (w *world) say(words ...*sent) {
	var told []ledger.ReviewWord
	for _, s := range words {
		told = append(told, s.ReviewWord)
	}
	said, err := w.l.Say(w.t.Context(), w.org, spring, told)
	require.NoError(w.r, err)
	var applied [][]int
	for _, s := range words {
		applied = append(applied, w.m.hear(s))
	}
	for i, s := range said {
		require.Equal(w.r, applied[i], s.Applied, "%+v", words[i].ReviewWord)
		if s.Err == nil {
			require.Equal(w.r, w.m.left(words[i].By), s.Left, "%+v", words[i].ReviewWord)
		}
	}
}

// left is how many items a person is asked about and nobody has spoken of.
func (m *said) left(by string) (left int) {
	for task := range m.tasks {
		if _, stage := m.items[task.n].comes(); (by == "" || task.by == by) && stage < m.stage {
			left++
		}
	}
	return left
}

// hear takes in a word, and returns the items of which it changes something.
func (m *said) hear(s *sent) (applied []int) {
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
		v, is := m.tasks[duty{n, s.By}]
		if is && (s.Kind == commented || !s.left[n]) && m.change(s, n, v) {
			applied = append(applied, n)
			s.left[n] = true
			m.events++
		}
	}
	return applied
}

func (m *said) change(s *sent, n int, own access.Verdict) bool {
	i, task := m.items[n], duty{n, s.By}
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
		if _, is := m.tasks[duty{n, s.To}]; !is {
			m.tasks[duty{n, s.To}] = ""
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

func (w *world) compare() {
	c, err := w.l.CountReview(w.t.Context(), w.org, spring)
	require.NoError(w.r, err)
	some, err := w.l.Items(w.t.Context(), w.org, spring, ledger.ItemFilter{})
	require.NoError(w.r, err)
	require.Len(w.r, some, saidItems)
	want := ledger.ReviewCount{Items: saidItems, Verdicts: map[access.Verdict]int{}, Outcomes: map[access.Outcome]int{}}
	for _, got := range some {
		is := w.m.items[got.N]
		v, stage := is.comes()
		require.Equal(w.r, []any{v, is.version, is.stage}, []any{got.Verdict, got.Version, got.Stage}, "item %d", got.N)
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
		require.Equal(w.r, words, kept, "item %d", got.N)
		want.Verdicts[v]++
		if is.open {
			want.Outcomes[access.OutcomeOpen]++
		}
		if is.stage == w.m.stage {
			want.Asked++
			if v == remove && !is.open {
				want.Removals++
			}
			if stage == w.m.stage {
				want.Decided++
			}
		}
	}
	for _, by := range speakers {
		one := ledger.ReviewerCount{Reviewer: by, Left: w.m.left(by)}
		for task, v := range w.m.tasks {
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
	require.Equal(w.r, want, c)
	open, err := w.l.OpenTasks(w.t.Context(), w.org, spring, w.m.stage, "")
	require.NoError(w.r, err)
	require.Len(w.r, open, w.m.left(""))
	for _, one := range open {
		require.Contains(w.r, w.m.tasks, duty{one.N, one.Reviewer})
	}
	events, err := w.l.ReviewEvents(w.t.Context(), w.org, spring, 0, 0)
	require.NoError(w.r, err)
	require.Len(w.r, events, w.m.events, "%s", strings.Join(eventKinds(events), " "))
	require.True(w.r, slices.IsSortedFunc(events, func(a, b access.ReviewEvent) int { return a.Seq - b.Seq }))
	require.WithinRange(w.r, events[0].At, noon, noon.Add(time.Second))
}

func eventKinds(events []access.ReviewEvent) (kinds []string) {
	for _, e := range events {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}
