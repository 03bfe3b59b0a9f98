package evidence_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/evidence"
)

func refused(t require.TestingT, pack []byte) error {
	_, err := evidence.Verify(bytes.NewReader(pack))
	require.Error(t, err)
	require.True(t, numbered.MatchString(err.Error()), err)
	return err
}

var numbered = regexp.MustCompile(`^evidence: line [0-9]+: `)

// small returns a pack of three items.
func small(t testing.TB) []byte {
	t.Helper()
	m := sample(3)
	m.items[0].Name = "<ana & bo>" // with what JSON escapes
	return packOf(t, m)
}

// TestVerifyDetectsEveryChangedByte goes through all bytes: another case, another bit, a space instead, and it gone or
// doubled.
func TestVerifyDetectsEveryChangedByte(t *testing.T) {
	m := sample(1)
	m.head.Campaign, m.head.Review.Findings, m.head.Review.Holders, m.events = []byte("{}"), nil, nil, m.events[:1]
	m.items[0] = access.Item{N: 1, Person: "<ana & bo>", Target: "role:org-admin", Uses: m.items[0].Uses, Silent: true,
		Outcome: access.OutcomeUndecided}
	pack := packOf(t, m)
	for n, b := range pack {
		for _, other := range []byte{b ^ 0x20, b ^ 1, ' '} {
			if other != b {
				changed := slices.Clone(pack)
				changed[n] = other
				refused(t, changed)
			}
		}
		refused(t, slices.Delete(slices.Clone(pack), n, n+1))
		refused(t, slices.Insert(slices.Clone(pack), n, b))
		refused(t, pack[:n])
	}
}

func TestVerifyDetectsEdits(t *testing.T) {
	pack := small(t)
	lines := bytes.SplitAfter(pack, []byte("\n"))
	lines = lines[:len(lines)-1]
	rapid.Check(t, func(t *rapid.T) {
		at := func(name string, n int) int { return rapid.IntRange(0, n-1).Draw(t, name) }
		edited := slices.Clone(lines)
		switch rapid.SampledFrom([]string{"byte", "insert", "cut", "swap", "remove", "double", "append",
			"begin later"}).Draw(t, "edit") {
		case "byte":
			n := at("where", len(pack))
			other := slices.Clone(pack)
			other[n] = byte(rapid.IntRange(0, 255).Filter(func(b int) bool { return byte(b) != pack[n] }).Draw(t,
				"byte"))
			edited = [][]byte{other}
		case "insert":
			n := at("where", len(pack)+1)
			edited = [][]byte{slices.Insert(slices.Clone(pack), n,
				rapid.SliceOfN(rapid.Byte(), 1, 4).Draw(t, "bytes")...)}
		case "cut":
			edited = [][]byte{pack[:at("where", len(pack))]}
		case "swap":
			a, b := at("one", len(lines)), at("other", len(lines))
			if a == b {
				t.Skip()
			}
			edited[a], edited[b] = edited[b], edited[a]
		case "remove":
			n := at("which", len(lines))
			edited = slices.Delete(edited, n, n+1)
		case "double":
			edited = slices.Insert(edited, at("where", len(lines)+1), lines[at("which", len(lines))])
		case "append":
			edited = append(edited, rapid.SliceOfN(rapid.Byte(), 1, 99).Draw(t, "bytes"))
		case "begin later":
			edited = edited[at("where", len(lines)-1)+1:]
		}
		refused(t, bytes.Join(edited, nil))
	})
}

// line is a line as a forger sees it.
type line struct {
	kind string
	body map[string]any
}

// forged returns the pack with other contents, all hashes made anew by the formula in the package comment. It is the
// test of the contents' checks: the chain has nothing to say against it.
func forged(t testing.TB, pack []byte, forge func(lines []line) []line) []byte {
	t.Helper()
	var lines []line
	for _, text := range bytes.Split(bytes.TrimSuffix(pack, []byte("\n")), []byte("\n")) {
		var l struct {
			Kind string
			Body map[string]any
		}
		require.NoError(t, json.Unmarshal(text, &l))
		if l.Kind == "review" {
			l.Body["campaign"] = sample(0).head.Campaign // a map would lose its order
		}
		lines = append(lines, line{l.Kind, l.Body})
	}
	var bodies []string
	var kinds []string
	for _, l := range forge(lines) {
		kinds = append(kinds, l.kind)
		bodies = append(bodies, ordered(t, l))
	}
	return chained(kinds, bodies)
}

// ordered writes a body in the order of its type's fields, which a map does not keep.
func ordered(t testing.TB, l line) string {
	t.Helper()
	text, err := json.Marshal(l.body)
	require.NoError(t, err)
	var value any
	switch l.kind {
	case "review":
		value = &struct {
			Format string `json:"format"`
			evidence.Head
		}{}
	case "item":
		value = &access.Item{}
	case "event":
		value = &access.ReviewEvent{}
	case "end":
		value = &evidence.Counts{}
	default:
		return string(text)
	}
	require.NoError(t, json.Unmarshal(text, value))
	text, err = json.Marshal(value)
	require.NoError(t, err)
	return string(text)
}

func chained(kinds, bodies []string) []byte {
	var pack bytes.Buffer
	prev := ""
	for n, body := range bodies {
		f := func(x string) string { return fmt.Sprintf("%d:%s\n", len(x), x) }
		hash := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(f(prev)+f(fmt.Sprint(n+1))+f(kinds[n])+f(body))))
		fmt.Fprintf(&pack, `{"seq":%d,"kind":"%s","body":%s,"prev":"%s","hash":"%s"}`+"\n", n+1, kinds[n], body,
			prev, hash)
		prev = hash
	}
	return pack.Bytes()
}

// duel returns a review of three items: two people disagree on the first, the second changed their mind with a comment,
// nobody answered on the third.
func duel() sampleParts {
	m := sample(3)
	m.events = nil
	at := func(minutes int) access.ReviewEvent {
		return access.ReviewEvent{Seq: len(m.events) + 1, At: monday.Add(time.Duration(minutes) * time.Minute),
			Via: "page"}
	}
	hear := func(e access.ReviewEvent) { m.events = append(m.events, e) }
	decide := func(minutes, item int, by string, verdict access.Verdict, text string) {
		e := at(minutes)
		e.Kind, e.Item, e.Stage, e.By, e.Verdict, e.Text = access.EventDecided, item, 1, by, verdict, text
		hear(e)
	}
	e := at(0)
	e.Kind = access.EventOpened
	hear(e)
	decide(10, 1, "ana", access.VerdictKeep, "still needed")
	decide(20, 1, "bo", access.VerdictRemove, "")
	decide(30, 2, "ana", access.VerdictRemove, "")
	decide(40, 2, "ana", access.VerdictKeep, "asked her")
	for n := range m.items {
		i := &m.items[n]
		i.Stage, i.Silent, i.Verdict, i.Said, i.Outcome, i.Why, i.Run = 1, false, "", nil, access.OutcomeKept, "", ""
	}
	m.items[0].Said = []access.ItemDecision{
		{Stage: 1, By: "ana", Verdict: access.VerdictKeep, Comment: "still needed", At: m.events[1].At},
		{Stage: 1, By: "bo", Verdict: access.VerdictRemove, At: m.events[2].At},
	}
	m.items[0].Verdict, m.items[0].Outcome = access.VerdictRemove, access.OutcomeRemoved
	m.items[1].Said = []access.ItemDecision{{Stage: 1, By: "ana", Verdict: access.VerdictKeep, Comment: "asked her",
		At: m.events[4].At}}
	m.items[1].Verdict = access.VerdictKeep
	m.items[2].Silent, m.items[2].Outcome = true, access.OutcomeUndecided
	return m
}

func TestVerifyRefusesContradictions(t *testing.T) {
	pack := packOf(t, duel())
	require.Equal(t, pack, forged(t, pack, func(l []line) []line { return l }), "what the forger does not touch stays")
	// Lines: 0 review, 1 to 3 items, 4 to 8 events, 9 end.
	set := func(n int, key string, value any) func([]line) []line {
		return func(l []line) []line {
			l[n].body[key] = value
			return l
		}
	}
	said := func(n, which int, key string, value any) func([]line) []line {
		return func(l []line) []line {
			l[n].body["said"].([]any)[which].(map[string]any)[key] = value
			return l
		}
	}
	both := func(forges ...func([]line) []line) func([]line) []line {
		return func(l []line) []line {
			for _, f := range forges {
				l = f(l)
			}
			return l
		}
	}
	drop := func(n int) func([]line) []line { return func(l []line) []line { return slices.Delete(l, n, n+1) } }
	for says, forge := range map[string]func([]line) []line{
		"line 2: item 1: its verdict is keep, and what was said comes to remove": set(1,
			"verdict", "keep"),
		"line 2: item 1: its verdict is none, and what was said comes to remove": set(1, "verdict", ""),
		`line 2: item 1: "maybe" is no verdict`: set(1,
			"verdict", "maybe"),
		`line 2: item 1: "fine" is no outcome`: set(1,
			"outcome", "fine"),
		"line 2: item 1: its outcome is held, which is not the last word": set(1,
			"outcome", "held"),
		"line 2: item 1: its outcome is none, which is not the last word": set(1, "outcome", ""),
		"line 2: item 1: its verdict is remove, and its outcome kept": set(1,
			"outcome", "kept"),
		"line 2: item 1: its verdict is remove, and its outcome undecided": set(1, "outcome",
			"undecided"),
		"line 2: item 1: its verdict is remove, and its outcome dropped": set(1, "outcome",
			"dropped"),
		"line 3: item 2: its verdict is keep, and its outcome removed": set(2, "outcome",
			"removed"),
		"line 3: item 2: its verdict is keep, and its outcome spared": set(2,
			"outcome", "spared"),
		"line 4: item 3: its verdict is remove by the rule for silence, and its outcome kept": both(
			set(3, "verdict", "remove"), set(3, "outcome", "kept")),
		"line 4: item 3: its verdict is none, and its outcome kept": both(
			set(3, "silent", false), set(3, "outcome", "kept")),
		"line 2: item 1: nobody is said to have decided, and ana did":           set(1, "silent", true),
		"line 2: item 1: ana said something in stage 2, and it came to stage 1": said(1, 0, "stage", 2),
		"line 2: item 1: ana said two things in stage 1":                        said(1, 1, "by", "ana"),
		"line 2: item 1: nobody said what was said":                             said(1, 0, "by", ""),
		`line 2: item 1: ana said "yes", which is no verdict`: said(1, 0,
			"verdict", "yes"),
		"line 2: item 1: it came to stage 9 of 2":         set(1, "stage", 9),
		"line 2: item 1: it names no person or no target": set(1, "person", ""),
		"line 2: item 1: ana said remove in stage 1, and the log says keep": said(1, 0,
			"verdict", "remove"),
		"line 2: item 1: ana said keep in stage 1, and the log has it at": said(1, 0, "at",
			"2026-03-02T08:11:00Z"),
		"line 2: item 1: ana said keep in stage 1, and the log does not have the comment": said(1, 0, "comment",
			"looked closely"),
		"line 2: item 1: cy said remove in stage 1, and no event of the log is that decision": said(1, 1, "by", "cy"),
		"line 7: event 3: it is a decision on item 1, and the item does not say so": both(
			func(l []line) []line {
				l[1].body["said"] = l[1].body["said"].([]any)[:1]
				return l
			}, set(1, "verdict", "keep"), set(1, "outcome", "kept"),
			set(9, "verdicts", map[string]any{"keep": 2, "none": 1}),
			set(9, "outcomes", map[string]any{"kept": 2, "undecided": 1})),
		"line 7: it is event 4 instead of event 3":                    drop(6),
		"line 3: it is item 3 instead of item 2":                      drop(2),
		"line 9: event 5: nobody made the decision":                   set(8, "by", ""),
		"line 9: event 5: it is a decision on no item":                set(8, "item", 0),
		`line 9: event 5: "" is no verdict`:                           set(8, "verdict", ""),
		"line 9: event 5: it has no kind":                             set(8, "kind", ""),
		"line 9: event 5 is about item 4, but there are 3 items":      set(8, "item", 4),
		"line 9: event 5 is about item -1, but there are 3 items":     set(8, "item", -1),
		"line 10: it counts 4 items, and there are 3":                 set(9, "items", 4),
		"line 10: it counts 4 events, and there are 5":                set(9, "events", 4),
		"line 10: it counts the verdicts map[keep:3], and there are":  set(9, "verdicts", map[string]any{"keep": 3}),
		"line 10: it counts the outcomes map[kept:3], and there are":  set(9, "outcomes", map[string]any{"kept": 3}),
		"line 10: its counts of verdicts or outcomes are missing":     set(9, "outcomes", nil),
		"line 10: it counts 0 exceptions, and there are 1":            set(9, "exceptions", 0),
		"line 10: it counts 0 silent items, and there are 1":          set(9, "silent", 0),
		"line 10: it is missing: the file ends without its last line": drop(9),
		"line 1: it is of kind \"item\", but the first line must be":  drop(0),
		"line 2: it is a second line of kind review": func(l []line) []line {
			return slices.Insert(l, 1, l[0])
		},
		"line 6: an item comes after events": func(l []line) []line {
			return append(slices.Insert(slices.Clone(l[:5]), 5, l[3]), l[5:]...)
		},
		"line 11: it comes after the end": func(l []line) []line { return append(l, l[9]) },
		`line 9: "note" is no kind of line`: func(l []line) []line {
			return slices.Insert(l, 8, line{"note", map[string]any{}})
		},
		`line 1: the pack is in the form "x"`: set(0, "format", "x"),
		"line 1: no organization is named":    set(0, "org", ""),
		"line 1: the campaign is from policy": set(0, "policy", "sha256:another"),
		"line 10: the review has 4 items, and": func(l []line) []line {
			l[0].body["review"].(map[string]any)["items"] = 4
			return l
		},
		"line 1: the review names the head of its evidence": func(l []line) []line {
			l[0].body["review"].(map[string]any)["head"] = "sha256:x"
			return l
		},
	} {
		require.ErrorContains(t, refused(t, forged(t, pack, forge)), "evidence: "+says)
	}
}

// TestVerifyDetectsADroppedDecision: all of bo's word is dropped from the log, and the numbers are made to fit.
func TestVerifyDetectsADroppedDecision(t *testing.T) {
	pack := forged(t, packOf(t, duel()), func(l []line) []line {
		l = slices.Delete(l, 6, 7)
		for n := 6; n < 8; n++ {
			l[n].body["seq"] = n - 3
		}
		l[8].body["events"] = 4
		return l
	})
	require.ErrorContains(t, refused(t, pack),
		"item 1: bo said remove in stage 1, and no event of the log is that decision")
}

func TestVerifyComparesTheLastDecision(t *testing.T) {
	event := func(m *sampleParts, kind string, item int, text string) {
		m.events = append(m.events, access.ReviewEvent{Seq: len(m.events) + 1, At: monday.Add(50 * time.Minute),
			Kind: kind, By: "ana", Item: item, Text: text})
	}
	decided := func(m *sampleParts, verdict access.Verdict) {
		event(m, access.EventDecided, 3, "")
		last := &m.events[len(m.events)-1]
		last.Stage, last.Verdict = 1, verdict
	}
	for name, change := range map[string]func(m *sampleParts){
		"a comment that came later": func(m *sampleParts) {
			m.items[1].Said[0].Comment = "asked her again"
			event(m, access.EventCommented, 2, "asked her again")
		},
		"a comment on no item": func(m *sampleParts) { event(m, access.EventCommented, 0, "on the whole") },
		"a decision reopened":  func(m *sampleParts) { decided(m, access.VerdictKeep); event(m, access.EventReopened, 3, "") },
		"all reopened":         func(m *sampleParts) { decided(m, access.VerdictKeep); event(m, access.EventReopened, 0, "") },
		"silence that kept": func(m *sampleParts) {
			m.items[2].Verdict, m.items[2].Outcome = access.VerdictKeep,
				access.OutcomeKept
		},
		"silence that removed": func(m *sampleParts) {
			m.items[2].Verdict, m.items[2].Outcome = access.VerdictRemove,
				access.OutcomeRemoved
		},
		"silence that spared": func(m *sampleParts) {
			m.items[2].Verdict, m.items[2].Outcome = access.VerdictRemove,
				access.OutcomeSpared
		},
		"gone on its own": func(m *sampleParts) { m.items[2].Silent, m.items[2].Outcome = false, access.OutcomeGone },
		"a later stage counts": func(m *sampleParts) {
			decided(m, access.VerdictKeep)
			last := &m.events[len(m.events)-1]
			last.Item, last.Stage = 1, 2
			m.items[0].Stage, m.items[0].Verdict, m.items[0].Outcome = 2, access.VerdictKeep, access.OutcomeKept
			m.items[0].Said = append(m.items[0].Said,
				access.ItemDecision{Stage: 2, By: "ana", Verdict: access.VerdictKeep, At: last.At})
		},
	} {
		m := duel()
		change(&m)
		var pack bytes.Buffer
		write(t, m, &pack)
		_, err := evidence.Verify(&pack)
		require.NoError(t, err, name)
	}
	m := duel()
	decided(&m, access.VerdictKeep)
	event(&m, access.EventReopened, 2, "")
	var pack bytes.Buffer
	write(t, m, &pack)
	require.ErrorContains(t, refused(t, pack.Bytes()), "a decision on item 3, and the item does not say so",
		"another item was reopened")
}

// TestVerifyRefusesNonCanonicalBodies: what a lenient reader takes for the same is refused, though the hashes fit.
func TestVerifyRefusesNonCanonicalBodies(t *testing.T) {
	var kinds, bodies []string
	for _, text := range strings.Split(strings.TrimSpace(string(packOf(t, duel()))), "\n") {
		var l struct {
			Kind string
			Body json.RawMessage
		}
		require.NoError(t, json.Unmarshal([]byte(text), &l))
		kinds, bodies = append(kinds, l.Kind), append(bodies, string(l.Body))
	}
	for name, change := range map[string][2]string{
		"a space":            {`"item":1,`, `"item": 1,`},
		"another case":       {`"verdict":"remove"`, `"Verdict":"remove"`},
		"a repeated key":     {`"verdict":"remove"`, `"verdict":"keep","verdict":"remove"`},
		"an unknown key":     {`"item":1,`, `"item":1,"note":"x",`},
		"another order":      {`"item":1,"person"`, `"person":"x","item":1,"person"`},
		"another number":     {`"item":1,`, `"item":1e0,`},
		"an escaped letter":  {`"by":"ana"`, `"by":"\u0061na"`},
		"half a character":   {`"by":"ana"`, `"by":"\ud800"`},
		"a zero written out": {`"item":1,`, `"item":1,"email":"",`},
		"null":               {`"item":1,`, `"item":1,"outcome":null,`},
	} {
		require.Contains(t, bodies[1], change[0], name)
		other := slices.Clone(bodies)
		other[1] = strings.Replace(other[1], change[0], change[1], 1)
		err := refused(t, chained(kinds, other))
		require.ErrorContains(t, err, "line 2: its body ", name)
	}
	other := slices.Clone(bodies)
	other[1] = "null"
	require.ErrorContains(t, refused(t, chained(kinds, other)), "line 2: its body is not in the form")
	require.ErrorContains(t, refused(t,
		chained(append([]string{"review"}, kinds[1:]...), append([]string{`{"a":1,"a":2}`}, bodies[1:]...))),
		"line 1: its body")
}

func TestVerifyErrors(t *testing.T) {
	pack := small(t)
	lines := strings.SplitAfter(string(pack), "\n")
	all := func(change func(l []string) []string) []byte {
		return []byte(strings.Join(change(slices.Clone(lines)), ""))
	}
	for says, pack := range map[string][]byte{
		"line 1: it is missing: the file ends without its last line": {},
		"line 2: its number is 3: lines are missing": all(
			func(l []string) []string { return slices.Delete(l, 1, 2) }),
		"line 3: its number is 2: lines are missing, doubled": all(
			func(l []string) []string { return slices.Insert(l, 2, l[1]) }),
		"line 2: its hash is not that of its content": bytes.Replace(pack, []byte(`"item":1,`),
			[]byte(`"item":7,`), 1),
		"line 1: it is not in the form that Castellan writes": bytes.ReplaceAll(pack, []byte("\n"),
			[]byte("\r\n")),
		"line 1: it is no line of an evidence pack":          []byte("PK\x03\x04 a zip\n"),
		"line 1: it is longer than 4,194,304 bytes":          bytes.Repeat([]byte(" "), 5<<20),
		"it does not end with a line feed: the file was cut": pack[:len(pack)-1],
		"line 3: it does not follow the line before it":      forgedMiddle(t, pack),
	} {
		require.ErrorContains(t, refused(t, pack), says)
	}
}

// forgedMiddle has one line made anew, its hash too, and the others left.
func forgedMiddle(t *testing.T, pack []byte) []byte {
	t.Helper()
	lines := bytes.SplitAfter(pack, []byte("\n"))
	forgery := forged(t, pack, func(l []line) []line {
		l[1].body["name"] = "somebody else"
		return l
	})
	lines[1] = bytes.SplitAfter(forgery, []byte("\n"))[1]
	return bytes.Join(lines, nil)
}
