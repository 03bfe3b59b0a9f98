package evidence_test

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/evidence"
)

// Values as somebody might name a person or a group to harm who reads of it.
var attacks = []string{
	`<script>alert(1)</script>`, `</td></table><img src=x onerror=alert(1)>`, `"onmouseover="alert(1)`,
	`' style='display:none`,
	`</style><script>alert(1)</script>`, `javascript:alert(1)`, `{{.Title}}`, `-->`, `]]>`, `&lt;b&gt;`, `<wbr />@<b>`,
	"ana\u202Egro.emca@", "a\u200bna", "two\nlines", "nul\x00", strings.Repeat("x", 5000), "💥👩‍💻", "שלום",
}

// hostile returns a review with an attack in every place that takes text.
func hostile(a string) sampleParts {
	m := duel()
	h := &m.head
	h.Org, h.Castellan, h.Campaign = a, a,
		[]byte(fmt.Sprintf(`{"name":%q,"owners":[%[1]q,{"by":[%[1]q,[]]}]}`, jsonSafe(a)))
	r := &h.Review
	r.ID, r.Campaign, r.By, r.Owner, r.ClosedBy, r.ClosedWhy, r.Policy, h.Policy = a, a, a, a, a, a, a, a
	r.Findings, r.Holders = []string{a}, map[access.Entitlement]int{access.Entitlement(a): 3}
	for n := range m.items {
		i := &m.items[n]
		target := access.Entitlement(a)
		i.Person, i.Email, i.Name, i.Status, i.Sponsor, i.Target, i.GroupID, i.Because = a, a, a, a, a, target, a, a
		i.Opens, i.Sources, i.Risks, i.External = []string{a}, []string{a}, []string{a}, new(true)
		i.Reasons = []access.Reason{{Kind: access.ReasonKind(a), Name: a, Via: target, Source: a}}
		i.Uses, i.Peers = []access.Use{{App: a}}, &access.Peers{Group: a}
		i.Recommend, i.Before = access.Verdict(a), &access.PastDecision{Review: a, Verdict: access.Verdict(a), By: a}
		i.Why, i.Plan, i.Run = a, a, a
		for s := range i.Said {
			if i.Said[s].By == "ana" {
				i.Said[s].By, i.Said[s].Comment = a, a
			}
		}
	}
	m.items[0].Outcome = access.OutcomeRefused
	for n := range m.events {
		e := &m.events[n]
		if e.By == "ana" {
			e.By, e.To, e.Text = a, a, a
		}
	}
	for _, kind := range []string{access.EventStage, access.EventExtended, access.EventReminded,
		access.EventClosed, a} {
		m.events = append(m.events, access.ReviewEvent{Seq: len(m.events) + 1, At: monday, Kind: kind, By: a, Via: a,
			To: a, Text: a})
	}
	return m
}

// jsonSafe returns the text for Go's quotes, which are not JSON's.
func jsonSafe(a string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || strconv.QuoteRune(r)[1] == '\\' && r != '"' && r != '\\' {
			return 'x'
		}
		return r
	}, a)
}

func TestHTMLEscapesEveryText(t *testing.T) {
	want := shape(read(t, packOf(t, hostile("tame@x"))))
	for _, a := range attacks {
		pack := packOf(t, hostile(a))
		page := read(t, pack)
		require.Equal(t, want, shape(page), "%q makes no element and no attribute", a)
		var out bytes.Buffer
		require.NoError(t, evidence.HTML(bytes.NewReader(pack), &out))
		require.False(t, strings.Contains(out.String(), "ZgotmplZ"))
		require.Equal(t, -1, strings.IndexAny(out.String(), "\u202a\u202e\u2066\u2069\u200b\u200e\u200f\a\x00"))
		require.False(t, strings.Contains(out.String(), strings.Repeat("x", 2001)))
	}
	page := read(t, packOf(t, hostile(attacks[0])))
	require.Equal(t, "Access review: "+attacks[0], page.all("h1")[0].words, "what is shown is the value")
	requireContains(t, read(t, packOf(t, hostile("ana\u202Egro.emca@"))).words, "ana⟨U+202E⟩gro.emca@")
	requireContains(t, read(t, packOf(t, hostile("&lt;b&gt;"))).words, "&lt;b&gt;")
}

// shape returns the page's elements with how many attributes each has. An address that may break has one wbr more.
func shape(page *node) []string {
	var lines []string
	for _, e := range page.all("") {
		if e.name != "wbr" {
			lines = append(lines, fmt.Sprintf("%s/%s %d", strings.Join(e.depth, "/"), e.name, len(e.attrs)))
		}
	}
	return lines
}

func TestHTMLLoadsNothing(t *testing.T) {
	page := read(t, packOf(t, sample(60)))
	for _, e := range page.all("") {
		require.NotContains(t, []string{"script", "link", "img", "iframe", "object", "embed", "base", "form", "input",
			"use", "image", "video", "audio"}, e.name)
		for name := range e.attrs {
			require.NotContains(t, []string{"src", "srcset", "action", "background", "data", "poster"}, name)
			require.False(t, strings.HasPrefix(name, "on"), name)
		}
		if href, ok := e.attrs["href"]; ok {
			require.True(t, strings.HasPrefix(href, "#"), href)
		}
	}
	style := page.all("style")[0].words
	for _, outside := range []string{"url(", "@import", "@font-face"} {
		require.False(t, strings.Contains(style, outside), outside)
	}
	require.Equal(t, "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
		page.all("meta")[1].attrs["content"])
}

func TestHTMLIsAccessible(t *testing.T) {
	page := read(t, packOf(t, sample(60)))
	require.Equal(t, "en", page.all("html")[0].attrs["lang"])
	require.Len(t, page.all("h1"), 1)
	require.Len(t, page.all("main"), 1)
	ids := map[string]bool{}
	for _, e := range page.all("") {
		if id, ok := e.attrs["id"]; ok {
			require.False(t, ids[id], "id %s is there twice", id)
			ids[id] = true
		}
	}
	for _, e := range page.all("") {
		if href, ok := e.attrs["href"]; ok {
			require.True(t, ids[href[1:]], href)
		}
		if label, ok := e.attrs["aria-labelledby"]; ok {
			require.True(t, ids[label], label)
		}
		switch e.name {
		case "section":
			require.Contains(t, e.attrs, "aria-labelledby")
		case "table":
			require.NotEmpty(t, e.all("caption"), "a table without caption")
			for _, head := range e.all("th") {
				require.Contains(t, []string{"col", "row"}, head.attrs["scope"])
			}
			width := len(e.all("thead")[0].all("th"))
			for _, row := range e.all("tbody")[0].kids {
				require.Len(t, row.kids, width)
			}
		case "svg":
			if e.attrs["aria-hidden"] != "true" && !strings.Contains(strings.Join(e.depth, "/"), "svg") {
				require.Equal(t, "img", e.attrs["role"])
				require.NotEmpty(t, e.attrs["aria-label"])
			}
		}
	}
	label := page.section(t, "decisions").all("svg")
	for _, svg := range label {
		if svg.attrs["role"] == "img" {
			require.Equal(t, "63 decisions from 2 Mar 2026, 08:00 UTC to 15 Mar 2026, 08:00 UTC, 44 to keep and 19 to remove. "+
				"Half were made by 5 Mar 2026, 00:00 UTC, nine in ten by 12 Mar 2026, 08:03 UTC, the last on 12 Mar 2026, 08:08 UTC. Reviewers were asked or reminded twice.", svg.attrs["aria-label"])
		}
	}
}

func TestHTMLShowsThePack(t *testing.T) {
	m := sample(60)
	pack := packOf(t, m)
	page := read(t, pack)
	require.Len(t, page.section(t, "items").all("tbody")[0].kids, 60)
	exceptions := page.section(t, "exceptions")
	require.Len(t, exceptions.all("h3"), 3)
	rows := 0
	for _, body := range exceptions.all("tbody") {
		rows += len(body.kids)
	}
	require.Equal(t, 11, rows)
	requireContains(t, exceptions.words, "role:org-admin has a floor of 2 holders, and only 2 are left")
	requireContains(t, exceptions.words, "until 14 Apr 2026, run 2026-03-15T08-40")
	decisions := page.section(t, "decisions")
	requireContains(t, decisions.words, "nobody007")
	requireContains(t, decisions.words, "greta.ito@acme.example00")
	scope := page.section(t, "scope")
	for _, words := range []string{"stages 2.next", "removed", "start, middle", "112 items that did not change",
		"group:payments-old has no members", policyHash} {
		requireContains(t, scope.words, words)
	}
	checked, err := evidence.Verify(bytes.NewReader(pack))
	require.NoError(t, err)
	requireContains(t, page.section(t, "seal").words, checked.Head)
	requireContains(t, page.section(t, "seal").words, "starter verify-evidence FILE")
}

func TestHTMLWithoutExceptions(t *testing.T) {
	m := duel()
	m.items[2].Verdict, m.items[2].Outcome = access.VerdictKeep, access.OutcomeKept
	page := read(t, packOf(t, m))
	requireContains(t, page.words, "3 items were reviewed. 2 kept, 1 removed. Everything became what was decided.")
	requireContains(t, page.section(t, "exceptions").words, "None: every final outcome is what was decided.")
}

var inPercent = regexp.MustCompile(`^(\d+\.\d\d)%$`)

// TestHTMLPlotsStayInBounds also where times are absurd, or all the same.
func TestHTMLPlotsStayInBounds(t *testing.T) {
	for name, when := range map[string]func(n int) time.Time{
		"as usual":     func(n int) time.Time { return monday.Add(time.Duration(n) * time.Hour) },
		"at once":      func(int) time.Time { return monday },
		"backwards":    func(n int) time.Time { return monday.Add(-time.Duration(n) * time.Hour) },
		"ages apart":   func(n int) time.Time { return time.Date(1+n*900, 1, 1, 0, 0, 0, 0, time.UTC) },
		"before time":  func(int) time.Time { return time.Time{} },
		"in one burst": func(n int) time.Time { return monday.Add(time.Duration(n) * time.Nanosecond) },
	} {
		m := duel()
		m.head.Review.Closed = time.Time{}
		for n := range m.events {
			m.events[n].At = when(n)
		}
		m.items[0].Said[0].At, m.items[0].Said[1].At, m.items[1].Said[0].At = when(1), when(2), when(4)
		for stage := range 60 {
			m.events = append(m.events, access.ReviewEvent{Seq: len(m.events) + 1, At: when(stage % 9),
				Kind: access.EventStage, Stage: 1})
		}
		page := read(t, packOf(t, m))
		for _, e := range page.all("") {
			for attr, value := range e.attrs {
				if found := inPercent.FindStringSubmatch(value); found != nil {
					share, err := strconv.ParseFloat(found[1], 64)
					require.NoError(t, err)
					require.LessOrEqual(t, share, 100.0, "%s: %s", name, attr)
				}
				require.NotContains(t, value, "NaN", name)
				require.NotContains(t, value, "Inf", name)
			}
			if e.name == "path" {
				for _, number := range regexp.MustCompile(`-?\d+(\.\d+)?`).FindAllString(e.attrs["d"], -1) {
					value, err := strconv.ParseFloat(number, 64)
					require.NoError(t, err)
					require.True(t, value >= 0 && value <= 1000 && !math.IsNaN(value), "%s: %s", name, number)
				}
			}
		}
	}
}

// TestHTMLSizeIsBounded: a browser, and who gets it by mail, can take it.
func TestHTMLSizeIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("a pack of 10,000 items")
	}
	var out bytes.Buffer
	require.NoError(t, evidence.HTML(bytes.NewReader(packOf(t, sample(10_000))), &out))
	require.Less(t, out.Len(), 8_000_000)
}

// TestHTMLExplainsEveryOutcome: an outcome that is added to access needs its words here, or its packs would be refused.
func TestHTMLExplainsEveryOutcome(t *testing.T) {
	source, err := os.ReadFile(filepath.Join("..", "access", "review.go"))
	require.NoError(t, err)
	outcomes := regexp.MustCompile(`Outcome\w+\s+Outcome = "(\w+)"`).FindAllStringSubmatch(string(source), -1)
	require.NotEmpty(t, outcomes)
	for _, found := range outcomes {
		m := duel()
		m.head.Review.State = access.ReviewCancelled
		m.items[2].Outcome = access.Outcome(found[1])
		page := read(t, packOf(t, m))
		if access.Outcome(found[1]).Exception() {
			require.NotEmpty(t, page.section(t, "exceptions").all("h3"))
		}
		sum := 0
		for _, row := range page.section(t, "outcome").all("tbody")[0].kids {
			require.NotEmpty(t, strings.TrimSpace(row.kids[0].words))
			n, err := strconv.Atoi(row.kids[1].words)
			require.NoError(t, err)
			sum += n
		}
		require.Equal(t, 3, sum, "%s has no place in the order", found[1])
	}
}
