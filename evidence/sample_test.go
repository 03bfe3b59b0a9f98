package evidence_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/evidence"
)

// TestSample writes a page to look at: CASTELLAN_EVIDENCE_SAMPLE=/tmp/ev.html go test -run TestSample ./evidence
func TestSample(t *testing.T) {
	pack := packOf(t, sample(60))
	page := read(t, pack)
	for _, words := range []string{
		"60 items were reviewed.", "are exceptions", "removal refused", "Have the campaign's owner settle it",
		"kept everything", "keeps in a row (remarked on from 20)", "items saved at once", "stage 2 begun",
		"greta.ito@acme.example",
	} {
		requireContains(t, page.words, words)
	}
	if path := os.Getenv("CASTELLAN_EVIDENCE_SAMPLE"); path != "" {
		var html bytes.Buffer
		require.NoError(t, evidence.HTML(bytes.NewReader(pack), &html))
		require.NoError(t, os.WriteFile(path, html.Bytes(), 0o644))
	}
}

var monday = time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)

// sampleParts is what a pack is made of.
type sampleParts struct {
	head   evidence.Head
	items  []access.Item
	events []access.ReviewEvent
}

// packOf returns the pack, which passes Verify.
func packOf(t testing.TB, m sampleParts) []byte {
	t.Helper()
	var pack bytes.Buffer
	seal := write(t, m, &pack)
	checked, err := evidence.Verify(bytes.NewReader(pack.Bytes()))
	require.NoError(t, err)
	require.Equal(t, seal, checked.Seal)
	return pack.Bytes()
}

func write(t testing.TB, m sampleParts, pack *bytes.Buffer) evidence.Seal {
	t.Helper()
	w, err := evidence.NewWriter(pack, m.head)
	require.NoError(t, err)
	for _, i := range m.items {
		require.NoError(t, w.Item(i))
	}
	for _, e := range m.events {
		require.NoError(t, w.Event(e))
	}
	seal, err := w.Close()
	require.NoError(t, err)
	return seal
}

const policyHash = "sha256:5f1d7a84c64f21c9b1d0a3e07c2e9a33a0c57d2f7f4f0de1f4e3a2b6c1d09e77"

// sample returns a plausible review of so many items in two stages, with reviewers of many kinds.
func sample(items int) sampleParts {
	m := sampleParts{head: evidence.Head{
		Org: "acme", Policy: policyHash, Made: monday.AddDate(0, 0, 17), Castellan: "v1.4.0",
		Campaign: json.RawMessage(`{"name":"quarterly-privileged","owner":"lea.fontaine@acme.example","schedule":"0 8 1 */3 *",` +
			`"scope":{"targets":["role:org-admin","group:payments-*","group:jira-admins-*"],"only":"changed"},` +
			`"stages":[{"reviewers":["owner"],"assign":"one","escalate":"24h","length":"240h","next":"all"},{"reviewers":["owner"],"assign":"one","escalate":"0s","length":"72h","next":"removed"}],` +
			`"reminders":["start","middle"],"silence":"hold","apply":"close","most":500,"deny":"0s","keep":"2160h","codes":true,"patience":"168h"}`),
		Review: access.Review{
			ID: "quarterly-privileged:2026-03-02", Campaign: "quarterly-privileged", Policy: policyHash,
			Run: "019c9f0e-77aa", Owner: "lea.fontaine@acme.example",
			State: access.ReviewClosing, Opened: monday, Stage: 2, Stages: 2, Closed: monday.AddDate(0, 0, 13),
			Items: items, Codes: true, Skipped: 112,
			Findings: []string{"group:payments-old has no members: there was nothing to ask",
				"of 4 people it is not known when they last used Confluence"},
			Holders: map[access.Entitlement]int{"role:org-admin": 4, "group:payments-approvers": 31,
				"group:jira-admins-acme": 12},
		},
	}}
	dice := rand.New(rand.NewPCG(7, 7))
	m.log(access.ReviewEvent{At: monday, Kind: access.EventOpened,
		Text: fmt.Sprintf("%d items for 8 reviewers", items)})
	m.log(access.ReviewEvent{At: monday, Kind: access.EventStage, Stage: 1})
	for n := range items {
		m.items = append(m.items, item(n+1, dice))
	}
	m.firstStage(dice)
	second := monday.AddDate(0, 0, 10)
	m.log(access.ReviewEvent{At: second, Kind: access.EventStage, Stage: 2})
	m.secondStage(second, dice)
	m.log(access.ReviewEvent{At: m.head.Review.Closed, Kind: access.EventClosed})
	slices.SortStableFunc(m.events, func(a, b access.ReviewEvent) int { return a.At.Compare(b.At) })
	for n := range m.events {
		m.events[n].Seq = n + 1
	}
	m.settle(m.head.Review.Closed.Add(40 * time.Minute))
	return m
}

func (m *sampleParts) log(e access.ReviewEvent) { m.events = append(m.events, e) }

// say has somebody decide on an item.
func (m *sampleParts) say(n, stage int, by string, verdict access.Verdict, at time.Time, bulk int, comment string) {
	i := &m.items[n]
	i.Stage, i.Version = stage, i.Version+1
	i.Said = append(i.Said, access.ItemDecision{Stage: stage, By: by, Verdict: verdict, Comment: comment, At: at})
	m.log(access.ReviewEvent{At: at, Kind: access.EventDecided, By: by, Via: "page", Item: n + 1, Stage: stage,
		Verdict: verdict, Bulk: bulk, Text: comment})
}

var (
	givenNames = []string{"ana", "bo", "chidi", "dalia", "emeka", "fatima", "greta", "hiro", "ines", "jonas",
		"kavya", "luis"}
	familyNames = []string{"almeida", "berg", "castro", "dietrich", "eze", "fontaine", "gupta", "haraldsen", "ito",
		"jansen", "kowalski"}
	targets = []access.Entitlement{"group:payments-approvers", "group:jira-admins-acme", "role:org-admin",
		"group:confluence-space-admins-emea", "default:jira-software/acme/user"}
	reviewers = []string{
		"jonas.berg@acme.example", "kavya.gupta@acme.example", "bo.haraldsen@acme.example", "ines.castro@acme.example",
		"luis.kowalski@acme.example", "dalia.eze@acme.example", "hiro.almeida@acme.example", "greta.ito@acme.example",
	}
	comments = []string{"", "", "left the team in January", "still on call for it", "only needed for the migration",
		"asked her: does not use it"}
)

func item(n int, dice *rand.Rand) access.Item {
	given, family := givenNames[n%len(givenNames)], familyNames[n*7%len(familyNames)]
	i := access.Item{
		N: n, Person: fmt.Sprintf("712020:%08x-4a1c-4f6e-9c2f-%06d", dice.Uint32(), n),
		Email: fmt.Sprintf("%s.%s@acme.example", given, family),
		Name:  fmt.Sprintf("%s %s", given, family), Status: "active", External: new(bool),
		Target: targets[dice.IntN(len(targets))], GroupID: fmt.Sprintf("b1c7-%d", n),
		Opens: []string{"jira-software/acme", "confluence/acme"}, Owned: dice.IntN(3) > 0, Stage: 1,
		Since: monday.AddDate(0, 0, -dice.IntN(900)),
		Peers: &access.Peers{Group: "eng-platform", Of: 14, Hold: dice.IntN(14)},
		Uses: []access.Use{{App: "jira-software/acme", Last: monday.AddDate(0, 0, -dice.IntN(200))},
			{App: "confluence/acme", Never: dice.IntN(2) == 0}},
		Risk: max(4, 96-n), Recommend: access.VerdictKeep,
		Because: "used within 30 days, and held by most of the peers",
	}
	switch n % 5 {
	case 1:
		i.Recommend, i.Because, i.Risks = access.VerdictRemove, "not used for 140 days, and no peer holds it",
			[]string{"unused", "privileged"}
	case 2:
		*i.External, i.Email, i.Sponsor, i.Owned = true, fmt.Sprintf("%s.%s@partner.example", given, family),
			"jonas.berg@acme.example", false
	case 3:
		i.Reasons = []access.Reason{{Kind: access.ReasonMapping, Name: "engineering", Source: "eng-platform"}}
	case 4:
		i.Uses, i.Peers, i.Since = nil, nil, time.Time{}
		i.Before = &access.PastDecision{Review: "quarterly-privileged:2025-12-01", Verdict: access.VerdictKeep,
			By: "jonas.berg@acme.example", At: monday.AddDate(0, -3, 0)}
	}
	return i
}

// firstStage: one careful reviewer after another, one who keeps all within a minute, one who clicks once for all; the
// last never answers where there is little to answer.
func (m *sampleParts) firstStage(dice *rand.Rand) {
	first := 0
	for r, reviewer := range reviewers {
		last := first + len(m.items)*[]int{3, 8, 14, 3, 3, 3, 3, 40}[r]/40
		last = min(last, len(m.items))
		m.answers(r, reviewer, first, last, dice)
		first = last
	}
}

func (m *sampleParts) answers(r int, reviewer string, first, last int, dice *rand.Rand) {
	for _, days := range []int{3, 7} {
		if r > 3 || days == 3 && r > 1 {
			m.log(access.ReviewEvent{At: monday.AddDate(0, 0, days), Kind: access.EventReminded,
				To: reviewer, Stage: 1})
		}
	}
	if r == len(reviewers)-1 && last-first < 10 {
		return
	}
	at := monday.Add(time.Duration(r*31+2) * time.Hour)
	m.log(access.ReviewEvent{At: at, Kind: access.EventSeen, By: reviewer, Via: "page", Stage: 1})
	for n := first; n < last; n++ {
		switch r {
		case 1:
			at = at.Add(time.Duration(900+dice.IntN(1500)) * time.Millisecond)
			m.say(n, 1, reviewer, access.VerdictKeep, at, 0, "")
		case 2:
			m.say(n, 1, reviewer, access.VerdictKeep, at.Add(20*time.Second), last-first, "")
		default:
			at = at.Add(time.Duration(12+dice.IntN(90)) * time.Second)
			verdict := access.VerdictKeep
			if m.items[n].Recommend == access.VerdictRemove || dice.IntN(3) == 0 {
				verdict = access.VerdictRemove
			}
			m.say(n, 1, reviewer, verdict, at, 0, comments[dice.IntN(len(comments))])
		}
	}
}

// secondStage: the owner looks at the removals, and takes some back.
func (m *sampleParts) secondStage(at time.Time, dice *rand.Rand) {
	for n := range m.items {
		if len(m.items[n].Said) > 0 && m.items[n].Said[0].Verdict == access.VerdictRemove {
			at = at.Add(time.Duration(20+dice.IntN(60)) * time.Second)
			verdict := access.VerdictRemove
			if dice.IntN(5) == 0 {
				verdict = access.VerdictKeep
			}
			m.say(n, 2, "lea.fontaine@acme.example", verdict, at, 0, "")
		}
	}
}

func (m *sampleParts) settle(at time.Time) {
	removals := 0
	for n := range m.items {
		i := &m.items[n]
		i.Settled = at
		if len(i.Said) == 0 {
			i.Silent, i.Outcome = true, access.OutcomeUndecided
			continue
		}
		i.Verdict, i.Outcome = i.Said[len(i.Said)-1].Verdict, access.OutcomeKept
		if i.Verdict == access.VerdictKeep {
			continue
		}
		i.Run, i.Outcome = "2026-03-15T08-40", access.OutcomeRemoved
		switch removals++; removals % 6 {
		case 1:
			i.Outcome, i.Why = access.OutcomeRefused, "role:org-admin has a floor of 2 holders, and only 2 are left"
		case 2:
			i.Outcome, i.Until, i.Why = access.OutcomeDenied, at.AddDate(0, 0, 30),
				"mapping engineering (source group eng-platform)"
		case 3:
			i.Outcome = access.OutcomeGone
		}
	}
}
