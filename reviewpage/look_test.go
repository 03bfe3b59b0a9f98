package reviewpage_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
)

// TestAppearance goes through the forms in which people see the page, and keeps pictures if CASTELLAN_SCREENSHOTS names
// a folder.
func TestAppearance(t *testing.T) {
	b := newTab(t, 4)
	b.set(func(d *memoryBackend) {
		d.sheet.Items[3].Mine, d.sheet.Items[3].MyComment = access.VerdictKeep, "she writes the handbook"
		d.refuse[2] = "it was decided or commented on since this page was shown: look again"
	})
	b.screen()
	b.enter()
	b.click("#item-2 [value=remove]")
	b.click("#save-2")
	b.until("document.querySelector('#item-2 .flash')")
	b.do(chromedp.Evaluate[chromedp.Void]("document.activeElement.blur(); scrollTo({ top: 0, behavior: 'instant' })"))
	for _, dark := range []bool{false, true} {
		name := map[bool]string{false: "light", true: "dark"}[dark]
		b.dark(dark)
		b.screen()
		b.picture("desktop-"+name, true)
		contrast(b)
		b.phone()
		require.LessOrEqual(t, eval[int](b, "document.documentElement.scrollWidth"), 390)
		b.picture("phone-"+name, true)
		b.picture("phone-"+name+"-top", false)
	}
	b.screen()
	b.dark(false)
	b.do(chromedp.Evaluate[chromedp.Void]("for (const d of document.querySelectorAll('details')) d.open = true"))
	b.picture("desktop-unfolded", true)
	contrast(b)
	b.do(chromedp.Evaluate[chromedp.Void]("document.getElementById('several').scrollIntoView({ behavior: 'instant' })"))
	b.picture("desktop-several", false)
}

func TestAppearanceOfTheRefusal(t *testing.T) {
	b := newTab(t, 1)
	b.screen()
	b.do(chromedp.Navigate(b.server.URL + "/r/x"))
	require.Equal(t, "This link is not valid.", eval[string](b, "document.querySelector('h1').innerText"))
	b.picture("refusal", false)
	contrast(b)
	b.dark(true)
	b.phone()
	b.picture("refusal-phone-dark", false)
	contrast(b)
}

// contrast demands of all words that they stand out from what is behind them, as WCAG AA wants it: 4.5 to 1, and 3 to 1
// for what is large, and for the frames of fields.
func contrast(b *browserTab) {
	b.t.Helper()
	poor := eval[[]string](b, `(() => {
		const numbers = (c) => c.match(/[\d.]+/g).map(Number);
		const light = (c) => { const [r, g, b] = c.map((v) => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126*r + .7152*g + .0722*b; };
		const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + .05) / (y + .05); };
		const behind = (e) => { for (; e; e = e.parentElement) { const c = numbers(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] === 1) return c.slice(0, 3); if (c[3] !== 0) return [127, 127, 127]; } return [255, 255, 255]; };
		const poor = [];
		const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
		while (words.nextNode()) {
			const e = words.currentNode.parentElement, text = words.currentNode.data.trim();
			if (!text || !e.checkVisibility({ visibilityProperty: true }) || e.closest(".hidden, .skip, script")) continue;
			const style = getComputedStyle(e), size = parseFloat(style.fontSize);
			const least = size >= 24 || size >= 18.66 && style.fontWeight >= 700 ? 3 : 4.5;
			const got = ratio(numbers(style.color).slice(0, 3), behind(e));
			if (got < least) poor.push(text.slice(0, 40) + ": " + got.toFixed(2));
		}
		for (const e of document.querySelectorAll("button, textarea, input:not([type]), .choice")) {
			if (!e.checkVisibility()) continue;
			const got = ratio(numbers(getComputedStyle(e).borderTopColor).slice(0, 3), behind(e.parentElement));
			if (got < 3) poor.push("frame of " + (e.id || e.className) + ": " + got.toFixed(2));
		}
		return poor;
	})()`)
	require.Empty(b.t, poor)
}

// TestAccessibility: what a screen reader says and where the tabulator goes.
func TestAccessibility(t *testing.T) {
	b := newTab(t, 3)
	b.set(func(d *memoryBackend) { d.sheet.Items[2].Mine = access.VerdictKeep })
	b.screen()
	b.enter()
	b.do(chromedp.Evaluate[chromedp.Void]("for (const d of document.querySelectorAll('details')) d.open = true"))

	tree, err := chromedp.Call(b.ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	require.NoError(t, err)
	names := make(map[string][]string)
	for _, n := range tree.Nodes {
		if n.Ignored || n.Role == nil {
			continue
		}
		var role, name string
		require.NoError(t, json.Unmarshal(n.Role.Value, &role))
		if n.Name != nil {
			require.NoError(t, json.Unmarshal(n.Name.Value, &name))
		}
		names[role] = append(names[role], name)
	}
	for _, role := range []string{"button", "textbox", "radio", "checkbox", "link", "progressbar", "article", "group",
		"navigation", "region"} {
		require.NotEmpty(t, names[role], role)
		for _, name := range names[role] {
			if role == "group" && name == "" {
				continue // a <details>: its summary says it
			}
			require.NotEmpty(t, name, "a %s without a name", role)
		}
	}
	require.Contains(t, names["article"], "Olu Adeyemi organization admin")
	require.Contains(t, names["group"], "Your decision on Olu Adeyemi, organization admin")
	require.Contains(t, names["button"], "Save the decision on Ana López, group jira-admins-acme")
	require.Contains(t, names["button"], "Take back the decision on Tom Weiß, group service-desk-agents")
	require.Contains(t, names["textbox"], "Comment on Olu Adeyemi, organization admin")
	require.Contains(t, names["progressbar"], "1 of 3 decided")

	require.Equal(t, "en", eval[string](b, "document.documentElement.lang"))
	require.Empty(t, eval[[]string](b,
		`[...document.querySelectorAll("input:not([type=hidden]), textarea, select, progress")].filter((e) => !e.labels.length).map((e) => e.name)`), "fields without a label")
	require.Empty(t, eval[[]string](b,
		`[...document.querySelectorAll("[id]")].map((e) => e.id).filter((id, at, all) => all.indexOf(id) !== at)`),
		"ids that are there twice")
	levels := eval[[]int](b, `[...document.querySelectorAll("h1, h2, h3, h4")].map((e) => Number(e.tagName[1]))`)
	require.Equal(t, 1, levels[0])
	for at := 1; at < len(levels); at++ {
		require.LessOrEqual(t, levels[at], levels[at-1]+1, "headings in order: %v", levels)
		require.NotEqual(t, 1, levels[at])
	}
	require.Empty(t, eval[[]string](b,
		`[...document.querySelectorAll("button, .choice")].filter((e) => e.checkVisibility() && e.getBoundingClientRect().height < 24).map((e) => e.textContent)`), "too small to hit")

	// The tabulator goes from top to bottom, beginning with the way around all that is above the items.
	b.do(chromedp.Reload())
	b.until("document.readyState === 'complete'")
	b.press("\t")
	require.Equal(t, "Skip to the items", eval[string](b, "document.activeElement.textContent"))
	require.True(t, eval[bool](b, "document.activeElement.getBoundingClientRect().top >= 0"),
		"it is seen while it has the focus")
	b.press("\r")
	b.until("document.activeElement.id === 'items'")
	var order []string
	for range 9 {
		b.press("\t")
		order = append(order, eval[string](b,
			"document.activeElement.id || document.activeElement.value || document.activeElement.textContent"))
	}
	require.Equal(t, []string{"page", "keep", "comment-1", "save-1", "say-1"}, order[:5])
	require.Equal(t, []string{"keep", "comment-2", "save-2"}, order[6:9], "behind the folded form to hand on")
}

// TestAppearanceFitsAPhone, also where names are long and without a space.
func TestAppearanceFitsAPhone(t *testing.T) {
	b := newTab(t, 3)
	b.set(func(d *memoryBackend) {
		long := strings.Repeat("unbroken", 40)
		row := &d.sheet.Items[0]
		row.Name, row.Email, row.Target, row.Because = long, long+"@acme.example", access.Entitlement("group:"+long),
			long
		row.Sources, row.Opens, row.Risks, row.Status = []string{long}, []string{long + "/" + long},
			[]string{long}, long
		d.sheet.About, d.sheet.Review.Campaign, d.sheet.Review.Owner, d.refuse[1] = long, long, long, long
	})
	b.phone()
	b.enter()
	b.click("#item-1 [value=keep]")
	b.click("#save-1")
	b.until("document.querySelector('#item-1 .flash')")
	b.do(chromedp.Evaluate[chromedp.Void]("for (const d of document.querySelectorAll('details')) d.open = true"))
	require.Empty(t, eval[[]string](b,
		`[...document.querySelectorAll("body *")].filter((e) => e.checkVisibility() && !e.closest(".hidden, .skip") && e.getBoundingClientRect().right > 390.5).map((e) => e.tagName + "." + e.className)`))
	require.LessOrEqual(t, eval[int](b, "document.documentElement.scrollWidth"), 390)
	b.picture("phone-long", true)
}
