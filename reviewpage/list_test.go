package reviewpage_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
)

const https = "https://reviews.acme.example"

func TestListShowsEachItemsFacts(t *testing.T) {
	p := newTestPage(t, https, 4)
	answer := p.get("/review", p.token())
	require.Equal(t, http.StatusOK, answer.Code)
	page := read(t, answer.Body.String())

	require.Equal(t, "Admins, every quarter", page.all("h1")[0].text())
	require.Contains(t, page.id("progress").text(), "0 of 4 decided")
	require.Equal(t, "30 November 2026, 11:00 UTC, in 8 days", page.fact("Due"))
	require.Equal(t, "1 of 2", page.fact("Stage"))
	require.Equal(t, "mia@acme.example", page.fact("For"))
	require.Equal(t, "sec@acme.example", page.fact("Questions to"))
	require.Equal(t, "#item-1", page.id("next-undecided").attrs["href"])

	olu := page.id("item-1")
	require.Equal(t, "Olu Adeyemi organization admin", olu.all("h2")[0].text())
	require.Contains(t, olu.class("marks")[0].text(), "external")
	require.Contains(t, olu.class("marks")[0].text(), "Risk: high, 92 of 100")
	require.Equal(t, "everything: the administration of the whole organization", olu.fact("Opens"))
	require.Equal(t, "Castellan did not add it, and nothing in the policy explains it", olu.fact("Why"))
	require.Equal(t, "not known", olu.fact("Last use"))
	require.Equal(t, "0 of 14 others in contractors hold it too", olu.fact("Others"))
	require.Equal(t, "bo@acme.example", olu.fact("Sponsor"))
	require.Equal(t, "organization admin | external | nothing in the policy explains it", olu.fact("Risks"))
	require.Equal(t, "Castellan recommends: remove, because nobody else in contractors holds it, and it was added by hand", olu.class("recommend")[0].text())

	ana := page.id("item-2")
	require.Equal(t, "Ana López group jira-admins-acme", ana.all("h2")[0].text())
	require.Equal(t, "Jira on acme | Confluence on acme", ana.fact("Opens"))
	require.Equal(t, "the mapping platform-admins gives it, to everybody in the source group eng-platform | a temporary grant gives it (INC-4711)", ana.fact("Why"))
	require.Equal(t, "7 January 2026", ana.fact("Held since"))
	require.Equal(t, "Jira on acme: 19 November 2026, 3 days before the review opened | Confluence on acme: not known",
		ana.fact("Last use"))
	require.Equal(t, "7 of 9 others in eng-platform hold it too", ana.fact("Others"))
	require.Equal(t, "keep, by mia@acme.example, 25 August 2026 (admins:2026-08-22)", ana.fact("Last review"))
	require.Equal(t, "bo@acme.example, stage 1: remove, “changed teams in May”, 22 November 2026",
		ana.fact("Others said"))
	require.Empty(t, ana.fact("Sponsor"), "asked of people from outside only")

	tom := page.id("item-3")
	require.Contains(t, tom.class("marks")[0].text(), "suspended")
	require.Equal(t, "not known", tom.fact("Held since"))
	require.Equal(t, "Jira Service Management on acme: never used", tom.fact("Last use"))
	require.Equal(t, "nobody to compare with", tom.fact("Others"))
	require.Equal(t, "not known", tom.fact("From outside"))

	yuki := page.id("item-4")
	require.Equal(t, "Yuki Tanaka the role admin in Confluence on acme", yuki.all("h2")[0].text())
	require.Equal(t, "the rule docs-leads gives it", yuki.fact("Why"))
	require.Equal(t, "1 of 1 other in docs holds it too", yuki.fact("Others"))
	require.Equal(t, "Castellan recommends nothing here", yuki.class("recommend")[0].text())

	for _, radio := range page.id("sheet").all("input") {
		require.Empty(t, radio.attrs["checked"], "nothing is chosen before the reviewer has")
	}
}

func TestListDoesNotShowUnknownUseAsNever(t *testing.T) {
	p := newTestPage(t, https, 1)
	for name, c := range map[string]struct {
		uses []access.Use
		want string
	}{
		"not read":       {nil, "not known"},
		"nothing":        {[]access.Use{}, "not known"},
		"an unknown one": {[]access.Use{{App: "jira-software/acme"}}, "Jira on acme: not known"},
		"never":          {[]access.Use{{App: "jira-software/acme", Never: true}}, "Jira on acme: never used"},
		"the same day":   {[]access.Use{{App: "trello/x", Last: start}}, "Trello on x: 22 November 2026"},
	} {
		t.Run(name, func(t *testing.T) {
			p.set(func(d *memoryBackend) { d.sheet.Items[0].Uses = c.uses })
			page := read(t, p.get("/review", p.token()).Body.String())
			require.Equal(t, c.want, page.id("item-1").fact("Last use"))
		})
	}
}

func TestListPages(t *testing.T) {
	p := newTestPage(t, https, 60)
	p.set(func(d *memoryBackend) {
		for n := range 30 {
			d.sheet.Items[n].Mine = access.VerdictKeep
		}
	})
	links := func(page *node) map[string]string {
		found := make(map[string]string)
		for _, a := range page.all("a") {
			found[a.text()] = a.attrs["href"]
		}
		return found
	}
	first := read(t, p.get("/review", p.token()).Body.String())
	require.Len(t, first.class("card"), 25)
	require.Equal(t, "/review?after=25", links(first)["Next page"])
	require.NotContains(t, links(first), "First page")
	require.Equal(t, "/review?undecided=1", links(first)["Next undecided"], "there is none on this page")
	require.Equal(t, "/review?undecided=1", links(first)["Undecided only"])

	second := read(t, p.get("/review?after=25", p.token()).Body.String())
	require.Equal(t, "item-26", second.class("card")[0].attrs["id"])
	require.Equal(t, "/review", links(second)["First page"])
	require.Equal(t, "#item-31", links(second)["Next undecided"])

	last := read(t, p.get("/review?after=50", p.token()).Body.String())
	require.Len(t, last.class("card"), 10)
	require.NotContains(t, links(last), "Next page")

	undecided := read(t, p.get("/review?undecided=1", p.token()).Body.String())
	require.Equal(t, "item-31", undecided.class("card")[0].attrs["id"])
	require.Equal(t, "/review?after=55&undecided=1", links(undecided)["Next page"])
	require.Equal(t, "/review", links(undecided)["All items"])
	require.Equal(t, "1", undecided.id("sheet").all("input")[2].attrs["value"],
		"the form comes back to the same part of the list")

	for _, nonsense := range []string{"?after=-1", "?after=x", "?after=99999999999999999999", "?undecided=yes&x=%ff"} {
		require.Len(t, read(t, p.get("/review"+nonsense, p.token()).Body.String()).class("card"), 25, nonsense)
	}
	require.Contains(t, p.get("/review?after=60", p.token()).Body.String(), "nothing beyond the last page")
}

func TestListWithNothingToDo(t *testing.T) {
	p := newTestPage(t, https, 0)
	page := read(t, p.get("/review", p.token()).Body.String())
	require.Equal(t, "Nothing is waiting for you here.", page.class("nothing")[0].text())
	require.Nil(t, page.id("sheet"))

	p = newTestPage(t, https, 1)
	p.set(func(d *memoryBackend) { d.sheet.Items[0].Mine = access.VerdictKeep })
	page = read(t, p.get("/review?undecided=1", p.token()).Body.String())
	require.Equal(t, "You have decided everything.", page.class("nothing")[0].text())
	require.Contains(t, page.id("progress").text(), "All done")
}

func TestListOfAClosedReviewIsReadOnly(t *testing.T) {
	p := newTestPage(t, https, 3)
	p.set(func(d *memoryBackend) {
		d.sheet.Open, d.sheet.Closed = false, "The stage ended on 20 November."
		d.sheet.Items[0].Mine, d.sheet.Items[0].MyComment = access.VerdictRemove, "left us"
	})
	page := read(t, p.get("/review", p.token()).Body.String())
	require.Len(t, page.class("card"), 3)
	require.Contains(t, page.class("note")[0].text(), "The stage ended on 20 November.")
	require.Contains(t, page.id("item-1").text(), "You said: remove")
	require.Contains(t, page.id("item-1").text(), "“left us”")
	for _, name := range []string{"form", "button", "input", "textarea"} {
		require.Empty(t, page.all(name), name)
	}
}

// TestListEscapesHostileNames: the page has the same elements and attributes whatever the names are.
func TestListEscapesHostileNames(t *testing.T) {
	// skeleton is the page without its words and values.
	var skeleton func(n *node) string
	skeleton = func(n *node) string {
		var b strings.Builder
		b.WriteString("<" + n.name)
		for _, attr := range []string{"class", "href", "src", "action", "formaction", "id", "name", "type", "form"} {
			if v, ok := n.attrs[attr]; ok {
				b.WriteString(" " + attr + "=" + v)
			}
		}
		if n.name == "script" {
			b.WriteString(n.words)
		}
		b.WriteString(">")
		for _, kid := range n.kids {
			b.WriteString(skeleton(kid))
		}
		return b.String()
	}
	fill := func(s string) *testPage {
		p := newTestPage(t, https, 1)
		p.set(func(d *memoryBackend) {
			d.sheet.About, d.sheet.Review.Campaign, d.sheet.Review.Owner = s, s, s
			row := &d.sheet.Items[0]
			row.Name, row.Email, row.Person, row.Target, row.Sponsor, row.Because, row.Status = s, s, s,
				access.Entitlement("group:"+s), s, s, s
			row.Sources, row.Opens, row.Risks = []string{s}, []string{s + "/" + s}, []string{s}
			row.Reasons = []access.Reason{{Kind: access.ReasonKind(s), Name: s, Source: s}}
			row.Uses = []access.Use{{App: s}}
			row.Peers = &access.Peers{Group: s, Of: 1, Hold: 1}
			row.Before = &access.PastDecision{Review: s, Verdict: access.VerdictKeep, By: s, At: start}
			row.Others = []access.ItemDecision{{By: s, Comment: s, Verdict: access.VerdictKeep}}
			row.MyComment = s
		})
		return p
	}
	plain := skeleton(read(t, fill("x").get("/review", fill("x").token()).Body.String()))
	for _, hostile := range []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onmouseover='alert(1)`,
		`</textarea><script>alert(1)</script>`,
		`</title><script>alert(1)</script>`, `javascript:alert(1)`, `{{.Form}}`, `<!--`, `]]>`, `&lt;b&gt;`,
		"\u202egnp.exe", strings.Repeat("<b>", 5000),
	} {
		p := fill(hostile)
		answer := p.get("/review", p.token())
		require.Equal(t, http.StatusOK, answer.Code)
		require.Equal(t, plain, skeleton(read(t, answer.Body.String())), hostile)
		require.Less(t, answer.Body.Len(), 400_000, "no single name fills the page")

		// What a backend says goes through a cookie and must stay text there, too.
		p.set(func(d *memoryBackend) { d.refuse[1] = hostile })
		told := p.follow(p.post("/review/decide",
			p.fields("/review", map[string]string{"item": "1", "verdict-1": "keep"})))
		page := read(t, told.Body.String())
		require.Empty(t, page.all("img"), hostile)
		require.Len(t, page.all("script"), 1, hostile)
		require.Empty(t, page.all("script")[0].words)
	}
	turned := read(t, fill("a\u202eb").get("/review", fill("x").token()).Body.String())
	require.Equal(t, "a⟨U+202E⟩b", turned.all("h1")[0].text(), "what turns the text around is written by its number")
}
