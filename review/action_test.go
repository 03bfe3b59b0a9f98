package review_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/review"
)

const (
	keep   = access.VerdictKeep
	remove = access.VerdictRemove
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// said is one word of an item, in a stage.
func said(stage int, by string, v access.Verdict) access.ItemDecision {
	return access.ItemDecision{Stage: stage, By: by, Verdict: v, At: noon}
}

func TestVerdict(t *testing.T) {
	for name, c := range map[string]struct {
		said  []access.ItemDecision
		want  access.Verdict
		stage int
	}{
		"nobody":                       {nil, "", 0},
		"one":                          {[]access.ItemDecision{said(1, "carol", keep)}, keep, 1},
		"a removal wins":               {[]access.ItemDecision{said(1, "carol", keep), said(1, "dan", remove)}, remove, 1},
		"whoever spoke first":          {[]access.ItemDecision{said(1, "carol", remove), said(1, "dan", keep)}, remove, 1},
		"a later stage counts alone":   {[]access.ItemDecision{said(1, "carol", remove), said(2, "dan", keep)}, keep, 2},
		"in whatever order they stand": {[]access.ItemDecision{said(3, "bo", keep), said(1, "carol", remove)}, keep, 3},
	} {
		v, stage := review.Verdict(c.said)
		require.Equal(t, c.want, v, name)
		require.Equal(t, c.stage, stage, name)
	}
}

func TestVerdictIsTheStricterOfTheLastStage(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		all := rapid.SliceOf(rapid.Custom(func(r *rapid.T) access.ItemDecision {
			return said(rapid.IntRange(1, 3).Draw(r, "stage"), rapid.SampledFrom([]string{"bo", "carol"}).Draw(r, "by"),
				rapid.SampledFrom([]access.Verdict{keep, remove}).Draw(r, "verdict"))
		})).Draw(r, "said")
		v, stage := review.Verdict(all)
		if len(all) == 0 {
			require.Empty(r, v)
			return
		}
		last := slices.DeleteFunc(slices.Clone(all), func(s access.ItemDecision) bool { return s.Stage < stage })
		require.NotEmpty(r, last)
		require.Equal(r, slices.ContainsFunc(last, func(s access.ItemDecision) bool { return s.Verdict == remove }),
			v == remove)
		again, same := review.Verdict(rapid.Permutation(all).Draw(r, "other order"))
		require.Equal(r, v, again, "whoever spoke first")
		require.Equal(r, stage, same)
		require.Equal(r, v, review.Decider(access.Item{Verdict: v, Said: all}).Verdict)
		require.Zero(r, review.Decider(access.Item{Verdict: v, Said: all, Silent: true}))
	})
}

func TestApply(t *testing.T) {
	seen, stale := 4, 3
	item := func(all ...access.ItemDecision) access.Item {
		v, _ := review.Verdict(all)
		return access.Item{N: 7, Person: "id-paul", Target: "group:wiki", Stage: 2, Version: seen, Said: all, Verdict: v}
	}
	carol := review.Assigned{Task: access.Task{N: 7, Reviewer: "id-carol"}}
	spoke := carol
	spoke.Verdict = keep
	settled := item(said(2, "id-carol", remove), said(2, "id-dan", remove))
	settled.Outcome = access.OutcomeOpen
	word := review.Action{Kind: access.EventDecided, Stage: 2, By: review.NamesOf("id-carol"), Verdict: keep, At: noon}
	as := func(change func(*review.Action)) review.Action {
		w := word
		change(&w)
		return w
	}
	reopen := as(func(w *review.Action) { w.Kind = access.EventReopened })
	handOn := func(to string) review.Action {
		return as(func(w *review.Action) { w.Kind, w.To, w.ToNames = access.EventDelegated, to, review.NamesOf(to) })
	}
	for name, c := range map[string]struct {
		item     access.Item
		asked    review.Assigned
		word     review.Action
		refused  string
		repeated bool
		verdict  access.Verdict // of a word that counts: what the item comes to
		spoke    int
	}{
		"a first word":   {item: item(), asked: carol, word: word, verdict: keep, spoke: 2},
		"another's word": {item: item(said(2, "id-dan", remove)), asked: carol, word: word, verdict: remove, spoke: 2},
		"second thoughts": {item: item(said(2, "id-carol", remove)), asked: spoke, word: word, verdict: keep,
			spoke: 2},
		"the same again": {item: item(said(2, "id-carol", keep)), asked: spoke, word: word, repeated: true},
		"a reason to add": {item: item(said(2, "id-carol", keep)), asked: spoke,
			word: as(func(w *review.Action) { w.Comment = "still needed" }), verdict: keep, spoke: 2},
		"no verdict": {item: item(), asked: carol, word: as(func(w *review.Action) { w.Verdict = "perhaps" }),
			refused: "is not a verdict"},
		"stale": {item: item(), asked: carol, word: as(func(w *review.Action) { w.Version = &stale }),
			refused: "since you saw it"},
		"as seen": {item: item(), asked: carol, word: as(func(w *review.Action) { w.Version = &seen }), verdict: keep,
			spoke: 2},
		"under a former name": {item: item(said(2, "carol@acme.example", remove)), asked: carol,
			word:    as(func(w *review.Action) { w.By = review.Names{"id-carol": true, "carol@acme.example": true} }),
			verdict: keep, spoke: 2},
		"carried out": {item: settled, asked: carol, word: as(func(w *review.Action) { w.By = review.NamesOf("id-dan") }),
			verdict: remove, spoke: 2},
		"which would change it": {item: func() access.Item { i := item(said(2, "id-carol", remove)); i.Outcome = "open"; return i }(),
			asked: spoke, word: word, refused: "being carried out"},
		"taken back": {item: item(said(1, "id-bo", remove), said(2, "id-carol", keep)), asked: spoke, word: reopen,
			verdict: remove, spoke: 1},
		"nothing to take back":            {item: item(), asked: carol, word: reopen, repeated: true},
		"what is carried out is not":      {item: settled, asked: spoke, word: reopen, refused: "being carried out"},
		"handed on":                       {item: item(), asked: carol, word: handOn("id-dan")},
		"handed to nobody":                {item: item(), asked: carol, word: handOn(""), refused: "to whom"},
		"handed on after it was decided":  {item: item(), asked: spoke, word: handOn("id-dan"), refused: "reopen it first"},
		"handed to whom it is about":      {item: item(), asked: carol, word: handOn("id-paul"), refused: "would be delegated"},
		"handed to oneself":               {item: item(), asked: carol, word: handOn("ID-CAROL"), repeated: true},
		"a comment says nothing of these": {item: settled, asked: carol, word: as(func(w *review.Action) { w.Kind = access.EventCommented })},
	} {
		t.Run(name, func(t *testing.T) {
			was := slices.Clone(c.item.Said)
			got := review.Apply(c.item, c.asked, c.word)
			require.Equal(t, was, c.item.Said, "what was said before stays as it is")
			require.Equal(t, c.repeated, got.Repeated)
			if c.refused != "" || c.repeated {
				require.Contains(t, got.Refused, c.refused)
				require.Zero(t, got.Event)
				return
			}
			require.Empty(t, got.Refused)
			require.Equal(t, []any{c.word.Kind, 7, 2}, []any{got.Event.Kind, got.Event.Item, got.Event.Stage})
			if !c.word.ChangesDecision() {
				require.Zero(t, got.Item)
				return
			}
			require.Equal(t, []any{c.verdict, c.spoke, seen + 1},
				[]any{got.Item.Verdict, got.LastStage, got.Item.Version})
		})
	}
	on := review.Apply(item(), carol, handOn("id-dan"))
	require.Equal(t, access.Task{N: 7, Reviewer: "id-dan", Role: access.TaskDelegate, Since: noon}, on.Delegated)
	former := review.Apply(item(said(2, "carol@acme.example", remove)), carol,
		as(func(w *review.Action) { w.By = review.Names{"id-carol": true, "carol@acme.example": true} }))
	require.Equal(t, "carol@acme.example", former.Event.By, "the log and the item go on to agree")
}

// TestApplyKeepsTheLastDecisionOfEach: in whatever order reviewers decide and take back, what is said of an item is the
// last that each said in each stage.
func TestApplyKeepsTheLastDecisionOfEach(t *testing.T) {
	type key struct {
		stage int
		by    string
	}
	rapid.Check(t, func(r *rapid.T) {
		i, want := access.Item{N: 1, Person: "id-paul"}, map[key]access.Verdict{}
		for range rapid.IntRange(0, 12).Draw(r, "words") {
			k := key{rapid.IntRange(1, 3).Draw(r, "stage"), rapid.SampledFrom([]string{"id-bo", "id-carol"}).Draw(r, "by")}
			w := review.Action{Kind: access.EventDecided, Stage: k.stage, By: review.NamesOf(k.by), At: noon,
				Verdict: rapid.SampledFrom([]access.Verdict{keep, remove}).Draw(r, "verdict")}
			if rapid.Bool().Draw(r, "takes it back") {
				w.Kind = access.EventReopened
			}
			got := review.Apply(i, review.Assigned{Task: access.Task{N: 1, Reviewer: k.by}, Verdict: want[k]}, w)
			require.Empty(r, got.Refused)
			same := w.Kind == access.EventDecided && want[k] == w.Verdict ||
				w.Kind == access.EventReopened && want[k] == ""
			require.Equal(r, same, got.Repeated)
			if same {
				continue
			}
			if want[k] = w.Verdict; w.Kind == access.EventReopened {
				delete(want, k)
			}
			require.Equal(r, want[k], got.Own)
			i = got.Item
		}
		have := map[key]access.Verdict{}
		for _, s := range i.Said {
			have[key{s.Stage, s.By}] = s.Verdict
		}
		require.True(r, maps.Equal(want, have), "%v %v", want, have)
		require.Len(r, i.Said, len(have))
		v, _ := review.Verdict(i.Said)
		require.Equal(r, v, i.Verdict)
	})
}

func TestActionRecordedIn(t *testing.T) {
	log := []access.ReviewEvent{{Verdict: keep, Text: "needed", To: "id-dan"}}
	for name, c := range map[string]struct {
		word review.Action
		want bool
	}{
		"the same decision": {review.Action{Kind: access.EventDecided, Verdict: keep, Comment: "needed"}, true},
		"another verdict":   {review.Action{Kind: access.EventDecided, Verdict: remove, Comment: "needed"}, false},
		"another comment":   {review.Action{Kind: access.EventDecided, Verdict: keep}, false},
		"handed on so":      {review.Action{Kind: access.EventDelegated, To: "id-dan", Comment: "needed"}, true},
		"to somebody else":  {review.Action{Kind: access.EventDelegated, To: "id-bo", Comment: "needed"}, false},
		"a comment":         {review.Action{Kind: access.EventCommented, Comment: "needed"}, true},
		"another":           {review.Action{Kind: access.EventReopened, Comment: "why?"}, false},
	} {
		require.Equal(t, c.want, c.word.RecordedIn(log), name)
		require.False(t, c.word.RecordedIn(nil), name)
	}
}

func TestCheckOpen(t *testing.T) {
	require.NoError(t, review.CheckOpen(access.Review{State: access.ReviewOpen}))
	for _, s := range []access.ReviewState{access.ReviewOpening, access.ReviewClosing, access.ReviewDone} {
		require.ErrorIs(t, review.CheckOpen(access.Review{State: s}), review.ErrOver)
	}
}
