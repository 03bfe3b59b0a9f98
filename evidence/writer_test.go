package evidence_test

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/evidence"
)

func TestWriterWritesAValidPack(t *testing.T) {
	m := sample(60)
	m.head.Review.Head, m.head.Review.Lines = "sha256:of an earlier pack", 7
	var pack bytes.Buffer
	seal := write(t, m, &pack)
	checked, err := evidence.Verify(&pack)
	require.NoError(t, err)
	require.Equal(t, 1+60+len(m.events)+1, seal.Lines)
	review := m.head.Review
	review.Head, review.Lines = "", 0
	require.Equal(t, evidence.VerifiedPack{
		Org: "acme", Review: review, Made: m.head.Made, Castellan: "v1.4.0", Seal: seal,
		Counts: evidence.Counts{
			Items: 60, Events: len(m.events), Verdicts: map[string]int{"keep": 44, "remove": 9, "none": 7},
			Outcomes:   map[string]int{"kept": 44, "removed": 3, "gone": 2, "refused": 2, "denied": 2, "undecided": 7},
			Exceptions: 11, Silent: 7,
		},
	}, checked)
}

func TestWriterIsDeterministic(t *testing.T) {
	require.Equal(t, packOf(t, sample(60)), packOf(t, sample(60)))
}

// TestVerifyAcceptsOldPacks: a pack is kept for years. A field that is added to what a pack holds must be left out
// of its JSON while it is zero; where this fails, it is not.
func TestVerifyAcceptsOldPacks(t *testing.T) {
	file, err := os.Open("testdata/pack.jsonl")
	require.NoError(t, err)
	defer file.Close()
	checked, err := evidence.Verify(file)
	require.NoError(t, err)
	require.Equal(t, evidence.Seal{Lines: 34,
		Head: "sha256:095ca93b86575445096a774be19fd8448843cad53ffad32a644dda27966f7269"}, checked.Seal)
}

func TestWriterOfSkippedAndCancelledReviews(t *testing.T) {
	empty := sample(0)
	empty.head.Review.State, empty.events = access.ReviewSkipped, nil
	requireContains(t, read(t, packOf(t, empty)).words, "There was nothing to review.")

	cancelled := sample(20)
	cancelled.head.Review.State, cancelled.head.Review.ClosedBy = access.ReviewCancelled, "lea.fontaine@acme.example"
	for n := range cancelled.items {
		i := &cancelled.items[n]
		i.Outcome = []access.Outcome{access.OutcomeDropped, access.OutcomeOpen, access.OutcomeHeld, "",
			access.OutcomeRemoved}[n%5]
	}
	page := read(t, packOf(t, cancelled))
	requireContains(t, page.words, "This review was cancelled by lea.fontaine@acme.example.")
	require.Len(t, page.section(t, "outcome").all("tbody")[0].kids, 5)

	early := sample(0)
	early.head.Review.State, early.head.Review.Stage, early.head.Review.Stages = access.ReviewCancelled, 0, 0
	early.items, early.events = []access.Item{{N: 1, Person: "p", Target: "t", Outcome: access.OutcomeDropped}}, nil
	packOf(t, early)
}

func TestWriterAcceptsInvalidUTF8(t *testing.T) {
	m := sample(1)
	m.items[0].Name, m.items[0].Why = "not\xffutf8", "\u2028 <b> \\ufffd \ufffd"
	checked := string(packOf(t, m))
	requireContains(t, checked, `"name":"not`+"\ufffd"+`utf8"`)
}

func TestWriterChecksOrder(t *testing.T) {
	m := sample(2)
	for name, c := range map[string]struct {
		write func(w *evidence.Writer) error
		says  string
	}{
		"an item left out": {func(w *evidence.Writer) error { return w.Item(m.items[1]) },
			"write item 2: the next is item 1"},
		"an event left out": {func(w *evidence.Writer) error { return w.Event(m.events[1]) },
			"write event 2: the next is event 1"},
		"an item behind events": {func(w *evidence.Writer) error {
			return errors.Join(w.Event(m.events[0]),
				w.Item(m.items[0]))
		}, "items come before the events"},
		"a line too long": {func(w *evidence.Writer) error {
			return w.Item(access.Item{N: 1, GroupID: strings.Repeat("x", evidence.MaxLine)})
		}, "at most 4,194,304 are read back"},
		"a time that JSON cannot hold": {func(w *evidence.Writer) error {
			return w.Item(access.Item{N: 1, Since: time.Date(12026, 1, 1, 0, 0, 0, 0, time.UTC)})
		}, "write line 2 (item)"},
	} {
		w, err := evidence.NewWriter(&bytes.Buffer{}, m.head)
		require.NoError(t, err)
		require.ErrorContains(t, c.write(w), c.says, name)
		require.ErrorContains(t, w.Event(m.events[0]), c.says, "%s: after it", name)
		_, err = w.Close()
		require.ErrorContains(t, err, c.says, "%s: at the end", name)
	}
}

func TestVerifyReadsTheLongestLine(t *testing.T) {
	for _, over := range []int{0, 1} {
		m := sample(1)
		var pack bytes.Buffer
		write(t, m, &pack)
		room := evidence.MaxLine - len(bytes.SplitAfter(pack.Bytes(), []byte("\n"))[1]) - len(`,"groupId":""`)
		m.items[0].GroupID = strings.Repeat("x", room+over)
		pack.Reset()
		w, err := evidence.NewWriter(&pack, m.head)
		require.NoError(t, err)
		require.NoError(t, w.Item(m.items[0]))
		packOf(t, m) // what is one byte too long is made shorter
	}
}

// Whatever stands in a ledger, the pack can be made, and agrees with itself: what is too long is cut, and its hash says
// which it was.
func TestWriterShortensLongTexts(t *testing.T) {
	if testing.Short() {
		t.Skip("packs of many megabytes: make test-large")
	}
	long := strings.Repeat("ж", 90_000) // 180,000 bytes
	for name, of := range map[string]func(m *sampleParts){
		"a comment": func(m *sampleParts) { sayOften(m, 1, long) },
		"a comment of those who decide together": func(m *sampleParts) {
			m.items[0].Why, m.items[0].Name = long, long
			sayOften(m, 700, strings.Repeat("\U0001f600", 1000))
		},
		"the words of thousands":   func(m *sampleParts) { sayOften(m, 9_000, strings.Repeat("\U0001f600", 100)) },
		"comments beyond the line": func(m *sampleParts) { sayOften(m, 600, long) },
		"reasons": func(m *sampleParts) {
			for n := range 20_000 {
				m.items[0].Reasons = append(m.items[0].Reasons,
					access.Reason{Kind: access.ReasonMapping, Name: fmt.Sprintf("mapping %d", n),
						Source: strings.Repeat("g", 250)})
			}
			m.items[0].Opens = slices.Repeat([]string{"jira/acme"}, 100_000)
		},
		"the review": func(m *sampleParts) {
			m.head.Review.By, m.head.Review.ClosedWhy = strings.Repeat("x", 3<<20), long
			m.head.Review.Findings = slices.Repeat([]string{long}, 50)
			m.head.Review.Holders = map[access.Entitlement]int{}
			for n := range 20_000 {
				m.head.Review.Holders[access.Entitlement(fmt.Sprintf("group:%s %d", strings.Repeat("g", 240), n))] = n
			}
		},
		"the campaign": func(m *sampleParts) {
			m.head.Campaign =
				json.RawMessage(`{"name":"` + strings.Repeat("x", 5<<20) + `"}`)
		},
		"the log": func(m *sampleParts) {
			for n := range m.events {
				m.events[n].Text = cmp.Or(m.events[n].Text, long)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := duel()
			of(&m)
			pack := packOf(t, m)
			require.NoError(t, evidence.HTML(bytes.NewReader(pack), io.Discard))
			require.NoError(t, evidence.CSV(bytes.NewReader(pack), io.Discard))
		})
	}
	m := duel()
	sayOften(&m, 1, long)
	sum := sha256.Sum256([]byte(long))
	require.Contains(t, string(packOf(t, m)),
		strings.Repeat("ж", 4000)+"… (cut: 180000 bytes, sha256:"+hex.EncodeToString(sum[:])+")")
}

// sayOften has so many people decide the first item, each with a comment.
func sayOften(m *sampleParts, people int, comment string) {
	i := &m.items[0]
	i.Said, i.Verdict, i.Outcome, i.Silent = nil, access.VerdictKeep, access.OutcomeKept, false
	events := []access.ReviewEvent{}
	for _, e := range m.events {
		if e.Item != 1 {
			events = append(events, e)
		}
	}
	for n := range people {
		at := m.head.Review.Opened.Add(time.Duration(n) * time.Second)
		by := fmt.Sprintf("712020:%08d-c1d2-4f5e-9a8b-000000000000", n)
		i.Said = append(i.Said, access.ItemDecision{Stage: 1, By: by, Email: by + "@acme.example", Verdict: access.VerdictKeep,
			Comment: comment, At: at})
		events = append(events, access.ReviewEvent{At: at, Kind: access.EventDecided, By: by, Via: "page", Item: 1,
			Stage: 1, Verdict: access.VerdictKeep, Text: comment})
	}
	for n := range events {
		events[n].Seq = n + 1
	}
	m.events = events
}

func TestWriterRefusesAfterClose(t *testing.T) {
	m := sample(0)
	w, err := evidence.NewWriter(&bytes.Buffer{}, m.head)
	require.NoError(t, err)
	_, err = w.Close()
	require.NoError(t, err)
	require.ErrorContains(t, w.Event(m.events[0]), "the pack is closed")
	_, err = w.Close()
	require.ErrorContains(t, err, "the pack is closed")
}

// limitedWriter takes so many bytes.
type limitedWriter struct{ room int }

func (f *limitedWriter) Write(p []byte) (int, error) {
	if f.room -= len(p); f.room < 0 {
		return 0, errors.New("no space left")
	}
	return len(p), nil
}

func TestWriterReturnsWriteErrors(t *testing.T) {
	m := sample(60)
	var whole bytes.Buffer
	write(t, m, &whole)
	for _, room := range []int{0, 5000, whole.Len() - 1} {
		w, err := evidence.NewWriter(&limitedWriter{room}, m.head)
		for _, i := range m.items {
			if err == nil {
				err = w.Item(i)
			}
		}
		for _, e := range m.events {
			if err == nil {
				err = w.Event(e)
			}
		}
		if err == nil {
			_, err = w.Close()
		}
		require.ErrorContains(t, err, "no space left", "%d bytes", room)
		require.ErrorContains(t, evidence.CSV(bytes.NewReader(whole.Bytes()), &limitedWriter{0}), "no space left")
		require.ErrorContains(t, evidence.HTML(bytes.NewReader(whole.Bytes()), &limitedWriter{0}), "no space left")
	}
}

func TestNewWriterRefusesABadHead(t *testing.T) {
	for says, spoil := range map[string]func(h *evidence.Head){
		"no organization is named": func(h *evidence.Head) { h.Org = "" },
		"the review has no id":     func(h *evidence.Head) { h.Review.ID = "" },
		"the review is open":       func(h *evidence.Head) { h.Review.State = access.ReviewOpen },
		`"over" is no state`:       func(h *evidence.Head) { h.Review.State = "over" },
		"the campaign is from":     func(h *evidence.Head) { h.Policy = "sha256:another" },
		"it is no JSON object":     func(h *evidence.Head) { h.Campaign = json.RawMessage(`[]`) },
		"the campaign cannot be":   func(h *evidence.Head) { h.Campaign = nil },
		`it has the key "next" twice`: func(
			h *evidence.Head) {
			h.Campaign = json.RawMessage(`{"stages":[{"next":1,"next":2}]}`)
		},
		`it has the key "Name", which no campaign has`: func(
			h *evidence.Head) {
			h.Campaign = json.RawMessage(`{"name":"a","Name":"b"}`)
		},
		`it has the key "name", which no campaign has`: func(
			h *evidence.Head) {
			h.Campaign = json.RawMessage(`{"stages":[{"name":"a"}]}`)
		},
		`it has the key "x", which no campaign has`: func(
			h *evidence.Head) {
			h.Campaign = json.RawMessage(`{"name":[[{"x":1}]]}`)
		},
		"something comes after it": func(h *evidence.Head) { h.Campaign = json.RawMessage(`{} {}`) },
		"nested more than 16 deep": func(h *evidence.Head) {
			h.Campaign = json.RawMessage(`{"name":` + strings.Repeat("[", 99) + strings.Repeat("]", 99) + `}`)
		},
		"the campaign is not UTF-8": func(h *evidence.Head) { h.Campaign = json.RawMessage("{\"name\":\"\xff\"}") },
	} {
		head := sample(1).head
		spoil(&head)
		_, err := evidence.NewWriter(&bytes.Buffer{}, head)
		require.ErrorContains(t, err, says)
	}
}
