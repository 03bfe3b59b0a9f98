package reviewpage_test

import (
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/reviewpage"
)

// elsewhere is another site, such as a web mailer: localhost is another site than 127.0.0.1.
func elsewhere(t *testing.T, content string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = fmt.Fprintf(w, "<!doctype html><html lang=en><title>Mail</title><body>%s", content)
	}))
	t.Cleanup(server.Close)
	return strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
}

// TestBrowserEntersFromAMail goes where a strict cookie is lost if one redirects straight on.
func TestBrowserEntersFromAMail(t *testing.T) {
	b := newTab(t, 2)
	mail := elsewhere(t, `<a href="`+b.server.URL+"/r/"+b.token()+`">Your review</a>`)
	b.do(chromedp.Navigate(mail))
	b.click("a")
	b.until("location.pathname === '/review' && document.querySelector('h1').innerText === 'Admins, every quarter'")

	require.Equal(t, b.server.URL+"/review", eval[string](b, "location.href"))
	require.Empty(t, eval[string](b, "document.cookie"), "no script reads the token")
	require.Empty(t, eval[string](b, "document.referrer"))
	require.NotContains(t, eval[string](b, "document.documentElement.outerHTML"), b.token())
	history, err := chromedp.Run(b.ctx, chromedp.NavigationEntries())
	require.NoError(t, err)
	for _, entry := range history.Entries {
		require.NotContains(t, entry.URL, b.token())
	}
	cookies, err := chromedp.Call(b.ctx, network.GetCookies,
		network.GetCookiesParams{URLs: []string{b.server.URL + "/review"}})
	require.NoError(t, err)
	require.Len(t, cookies.Cookies, 1)
	require.Equal(t, network.CookieSameSiteStrict, cookies.Cookies[0].SameSite)
	require.True(t, cookies.Cookies[0].HTTPOnly)
	require.Equal(t, "/review", cookies.Cookies[0].Path)

	b.do(chromedp.Reload())
	b.until("document.querySelector('h1').innerText === 'Admins, every quarter'")
	b.do(chromedp.Navigate(mail))
	b.click("a")
	b.until("location.pathname === '/review' && document.querySelector('h1').innerText === 'Admins, every quarter'")
}

// TestBrowserRefusesPostsFromAnotherSite, though it knows the form by heart and the reviewer is in.
func TestBrowserRefusesPostsFromAnotherSite(t *testing.T) {
	b := newTab(t, 2)
	b.enter()
	var fields strings.Builder
	for name, values := range b.fields("/review", map[string]string{"item": "1", "verdict-1": "keep"}) {
		fmt.Fprintf(&fields, `<input type="hidden" name="%s" value="%s">`, html.EscapeString(name),
			html.EscapeString(values[0]))
	}
	b.do(chromedp.Navigate(elsewhere(t, `<form method="post" action="`+b.server.URL+`/review/decide">`+fields.String()+
		`<button>Win</button></form>`)))
	b.click("button")
	b.until("location.pathname === '/review/decide' && document.querySelector('h1')")
	require.Equal(t, "This link is not valid.", eval[string](b, "document.querySelector('h1').innerText"),
		"the browser did not say who it is")
	require.Empty(t, b.heard())
}

func TestBrowserDecidesByMouse(t *testing.T) {
	b := newTab(t, 4)
	b.screen()
	b.enter()
	b.do(chromedp.Evaluate[chromedp.Void]("window.stays = true"))
	b.write("#comment-3", "still to be asked")
	b.click("#item-2 [value=remove]")
	b.write("#comment-2", "changed teams\nin May")
	b.click("#save-2")
	b.until("document.querySelector('#item-2 .mine').innerText === 'You said: remove'")
	require.Equal(t, []any{messages.DecideInput{By: "mia@acme.example",
		Lines: []messages.DecideLine{{Item: 2, Verdict: "remove", Comment: "changed teams\nin May", Version: at(0)}}}},
		b.heard())
	require.Equal(t, "Saved: 1.", eval[string](b, "document.querySelector('#item-2 .flash').innerText"))
	require.Contains(t, eval[string](b, "document.querySelector('#progress').innerText"), "1 of 4 decided")
	b.until("document.getElementById('said').textContent === 'Saved: 1. 1 of 4 decided'")
	require.Equal(t, "save-2", eval[string](b, "document.activeElement.id"), "the focus stays")
	require.Equal(t, "still to be asked", eval[string](b, "document.getElementById('comment-3').value"),
		"and so does what is written elsewhere")

	// All that was chosen on the page, with one button.
	b.click("#item-1 [value=keep]")
	b.click("#item-4 [value=keep]")
	b.click("form > .all:last-of-type button")
	b.until("document.querySelector('#item-1 .mine').innerText === 'You said: keep' && document.querySelector('#item-4 .mine').innerText === 'You said: keep'")
	require.Equal(t, []messages.DecideLine{{Item: 1, Verdict: "keep", Version: at(0)},
		{Item: 4, Verdict: "keep", Version: at(0)}}, b.heard()[1].(messages.DecideInput).Lines)
	require.Equal(t, "still to be asked", eval[string](b, "document.getElementById('comment-3').value"))
	require.Equal(t, "#item-3", eval[string](b, "document.getElementById('next-undecided').getAttribute('href')"))

	// Another mind.
	b.click("#item-2 [value=keep]")
	b.click("#save-2")
	b.until("document.querySelector('#item-2 .mine').innerText === 'You said: keep'")
	require.Equal(t, at(1), b.heard()[2].(messages.DecideInput).Lines[0].Version, "on what was said meanwhile")

	// And none: taken back, where the button is now.
	b.click("#back-2")
	b.until("document.querySelector('#item-2 .mine').innerText === 'Not decided yet'")
	require.Equal(t, messages.ReopenInput{By: "mia@acme.example", Items: []int{2}}, b.heard()[3])
	require.True(t, eval[bool](b, "window.stays"), "all of it without another page")
}

func TestBrowserDecidesByKeyboard(t *testing.T) {
	b := newTab(t, 4)
	b.screen()
	b.enter()
	focus := func(id string) { t.Helper(); b.until("document.activeElement.id === '" + id + "'") }
	said := func(item int, words string) {
		t.Helper()
		b.until(fmt.Sprintf("document.querySelector('#item-%d .mine').innerText === '%s'", item, words))
	}
	b.press("2")
	b.until("document.getElementById('said').textContent.startsWith('Go to an item first')")
	b.press("j")
	focus("item-1")
	b.press("2")
	said(1, "You said: remove")
	focus("item-1")
	b.press("j")
	focus("item-2")
	require.True(t, eval[bool](b, "document.activeElement.getBoundingClientRect().top >= 0"))
	b.press("c")
	focus("comment-2")
	b.press("k1 j2u") // while one writes, letters are letters
	b.press("\x1b")
	focus("item-2")
	b.press("1")
	said(2, "You said: keep")
	require.Equal(t, messages.DecideLine{Item: 2, Verdict: "keep", Comment: "k1 j2u", Version: at(0)},
		b.heard()[1].(messages.DecideInput).Lines[0])
	b.press("k")
	focus("item-1")
	b.press("u")
	said(1, "Not decided yet")
	b.press("j")
	focus("item-2")
	b.press("n")
	focus("item-3")
	b.press("n")
	focus("item-4")
	b.press("n")
	focus("item-1")
	require.Len(t, b.heard(), 3)

	// Whoever's software needs the letters turns the keys off, also for the next time.
	b.click("#keys summary")
	b.click("#keys-on")
	b.press("j")
	b.do(chromedp.Reload())
	b.until("document.readyState === 'complete' && !document.getElementById('keys').hidden")
	require.False(t, eval[bool](b, "document.getElementById('keys-on').checked"))
	b.press("j1")
	require.Equal(t, "BODY", eval[string](b, "document.activeElement.tagName"))
	require.Len(t, b.heard(), 3)
}

// TestBrowserShowsUndecidedOnly: what is decided leaves the page, and comes back when it is taken back.
func TestBrowserShowsUndecidedOnly(t *testing.T) {
	b := newTab(t, 2)
	b.screen()
	b.enter()
	b.click(".choose a")
	b.until("location.search === '?undecided=1' && document.readyState === 'complete'")
	b.press("j")
	b.press("1")
	b.until("!document.getElementById('item-1') && document.activeElement.id === 'item-2'")
	b.until("document.getElementById('said').textContent === 'Saved: 1. 1 of 2 decided'")
	require.Equal(t, "Saved: 1.", eval[string](b, "document.getElementById('told').innerText"))
	b.press("u")
	b.until("document.getElementById('item-1') && document.readyState === 'complete'")
	require.Equal(t, messages.ReopenInput{By: "mia@acme.example", Items: []int{1}}, b.heard()[1])
	b.press("j")
	b.until("document.activeElement.id === 'item-1'")
	b.press("2")
	b.until("!document.getElementById('item-1') && document.activeElement.id === 'item-2'")
	b.press("2")
	b.until("document.querySelector('.nothing')?.innerText === 'You have decided everything.'")
}

func TestBrowserDelegatesByMouse(t *testing.T) {
	b := newTab(t, 3)
	b.screen()
	b.enter()
	b.click("#item-2 summary")
	b.write("#to-2", "bo@acme.example")
	b.write("#note-2", "this is your team\r") // the enter key sends what one is at, not the decision
	b.until("!document.getElementById('item-2')")
	require.Equal(t, []any{messages.DelegateInput{By: "mia@acme.example", To: "bo@acme.example", Items: []int{2},
		Comment: "this is your team"}}, b.heard())
	b.until("document.getElementById('said').textContent === 'Handed on: 1. 0 of 2 decided'")
	require.Equal(t, "item-3", eval[string](b, "document.activeElement.id"))

	// Everything else, by a form with an answer of its own.
	b.click(".several summary")
	b.write("#to-all", "bo@acme.example")
	b.click(".several form:first-of-type button")
	b.until("document.querySelector('.nothing')?.innerText === 'Nothing is waiting for you here.'")
	require.Equal(t, messages.DelegateInput{By: "mia@acme.example", To: "bo@acme.example",
		All: &messages.ItemFilter{Undecided: true}}, b.heard()[1])
}

func TestBrowserFollowsRecommendations(t *testing.T) {
	b := newTab(t, 30)
	b.screen()
	b.enter()
	b.click(".several summary")
	b.click("[name=recommended][value=remove]")
	b.click(".several form:last-of-type button")
	b.until("document.getElementById('told').innerText.includes('Saved: 15.')")
	require.Equal(t, access.VerdictRemove, b.row(29).Mine)
	require.Empty(t, b.row(30).Mine)
}

// TestBrowserKeepsWhatFailed, whether Castellan, the page or the network fails.
func TestBrowserKeepsWhatFailed(t *testing.T) {
	b := newTab(t, 2)
	b.screen()
	b.enter()
	fails := func(words string) {
		t.Helper()
		b.until("document.querySelector('#item-1 .flash.bad')?.innerText.includes(" + fmt.Sprintf("%q", words) + ")")
		b.until("document.getElementById('said').textContent.includes(" + fmt.Sprintf("%q", words) + ")")
		require.True(t, eval[bool](b, "document.querySelector('#item-1 [value=keep]').checked"))
		require.Equal(t, "she runs it", eval[string](b, "document.getElementById('comment-1').value"))
		require.Equal(t, "Not decided yet", eval[string](b, "document.querySelector('#item-1 .mine').innerText"))
		require.Empty(t, b.row(1).Mine)
	}
	b.write("#comment-1", "she runs it")
	b.click("#item-1 [value=keep]")

	b.deaf.Store(true)
	b.click("#save-1")
	fails("No answer came. It is not certain that this was saved")
	b.deaf.Store(false)

	b.set(func(d *memoryBackend) { d.sayErr = errLedger })
	b.click("#save-1")
	fails("Castellan did not answer.")

	b.set(func(d *memoryBackend) {
		d.sayErr = reviewpage.RefusedError{Why: "The stage is just ending: try again."}
	})
	b.click("#save-1")
	fails("The stage is just ending: try again.")

	b.set(func(d *memoryBackend) { d.sayErr, d.refuse[1] = nil, "it was decided or commented on since" })
	b.click("#save-1")
	fails("Item 1: it was decided or commented on since")

	// Who would leave now is asked first.
	b.do(chromedp.Evaluate[chromedp.Void]("setTimeout(() => document.querySelector('.choose a').click())"))
	require.Eventually(t, func() bool { b.mu.Lock(); defer b.mu.Unlock(); return b.asked == 1 }, patience,
		10*time.Millisecond)
	_, err := chromedp.Call(b.ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: false})
	require.NoError(t, err)
	fails("Item 1: it was decided or commented on since")

	b.set(func(d *memoryBackend) { d.refuse = nil })
	b.click("#save-1")
	b.until("document.querySelector('#item-1 .mine').innerText === 'You said: keep'")
	require.Equal(t, "she runs it", b.row(1).MyComment)
	require.False(t, eval[bool](b, "Boolean(document.querySelector('#item-1 .flash.bad'))"))

	b.set(func(d *memoryBackend) { d.revoked["LINK-1"] = true }) // for good: what was refused once is not looked up again
	b.write("#comment-2", "late")
	b.click("#item-2 [value=keep]")
	b.click("#save-2")
	b.until("document.querySelector('#item-2 .flash.bad')?.innerText.includes('This link is not valid.')")
	require.Equal(t, "late", eval[string](b, "document.getElementById('comment-2').value"))
	require.Empty(t, b.row(2).Mine)
	b.picture("failed", false)
}

// TestBrowserShowsThatTheReviewClosed: the page that comes back has nothing to fill in.
func TestBrowserShowsThatTheReviewClosed(t *testing.T) {
	b := newTab(t, 2)
	b.enter()
	b.write("#comment-2", "hm")
	b.set(func(d *memoryBackend) { d.sheet.Open, d.sheet.Closed = false, "The stage has ended." })
	b.press("\x1b")
	b.press("k")
	b.press("1")
	b.until("document.querySelector('#item-1 .mine').innerText === 'You said: keep' && !document.querySelector('#item-1 button')")
	require.Equal(t, "hm", eval[string](b, "document.getElementById('comment-2').value"))
}

func TestBrowserWithoutJavaScript(t *testing.T) {
	b := newTab(t, 30)
	b.screen()
	b.scripts(false)
	b.enter()
	loaded := func(expression string) { t.Helper(); b.until("document.readyState === 'complete' && " + expression) }
	require.True(t, eval[bool](b, "document.getElementById('keys').hidden"), "there are no keys")

	b.click("#item-2 [value=remove]")
	b.write("#comment-2", "left")
	b.click("#item-3 [value=keep]")
	b.click("#save-2")
	loaded("location.hash === '#item-2' && document.querySelector('#item-2 .mine').innerText === 'You said: remove'")
	require.Equal(t, "Saved: 1.", eval[string](b, "document.querySelector('#item-2 .flash').innerText"))
	require.True(t, eval[bool](b, "document.querySelector('#item-3 [value=keep]').checked"),
		"what was chosen beside it")
	require.Contains(t, eval[string](b, "document.getElementById('item-3').innerText"), "not saved yet")

	b.click("#item-1 [value=keep]")
	b.click("form > .all:last-of-type button")
	loaded("document.getElementById('told').innerText === 'Saved: 2.'")
	require.Equal(t, access.VerdictKeep, b.row(1).Mine)
	require.Equal(t, access.VerdictKeep, b.row(3).Mine)

	b.click("#back-2")
	loaded("document.querySelector('#item-2 .flash')?.innerText === 'Taken back: 1.'")
	require.Empty(t, b.row(2).Mine)

	b.write("#comment-4", "who is this?")
	b.click("#say-4")
	loaded("document.querySelector('#item-4 .flash')?.innerText === 'Commented: 1.'")

	b.click("#item-4 summary")
	b.write("#to-4", "bo@acme.example")
	b.click("#hand-on-4")
	loaded("document.getElementById('told').innerText === 'Handed on: 1.'")
	require.False(t, eval[bool](b, "Boolean(document.getElementById('item-4'))"))

	b.click("[rel=next]")
	loaded("location.search === '?after=26'")
	b.click("#save-28")
	loaded("document.querySelector('#item-28 .flash.bad')?.innerText.includes('choose keep or remove first')")
	require.Equal(t, "?after=26", eval[string](b, "location.search"))

	b.set(func(d *memoryBackend) { d.sayErr = errLedger })
	b.click("#item-28 [value=remove]")
	b.click("#save-28")
	loaded("document.querySelector('h1').innerText === 'Castellan did not answer.'")
	b.picture("unsure", false)
	b.set(func(d *memoryBackend) { d.sayErr = nil })
	b.click("button.main")
	loaded("document.querySelector('#item-28 .mine')?.innerText === 'You said: remove'")
	require.Equal(t, "?after=26", eval[string](b, "location.search"))

	heard := b.heard()
	require.Equal(t, messages.DelegateInput{By: "mia@acme.example", To: "bo@acme.example", Items: []int{4}}, heard[4])
	require.Len(t, heard, 7)
}

// TestBrowserEnterKeySavesTheChoice, and not the first item of the page.
func TestBrowserEnterKeySavesTheChoice(t *testing.T) {
	b := newTab(t, 3)
	b.scripts(false)
	b.enter()
	b.click("#item-3 [value=keep]")
	b.press("\r")
	b.until("document.getElementById('told').innerText === 'Saved: 1.'")
	require.Equal(t, access.VerdictKeep, b.row(3).Mine)
}

// TestBrowserWithTwoLinks: the page of the first does not speak for the second.
func TestBrowserWithTwoLinks(t *testing.T) {
	b := newTab(t, 2)
	b.enter()
	other := b.link()
	other.ID = "LINK-2"
	b.do(chromedp.Evaluate[chromedp.Void](`fetch("/r/` + b.signer.Token(other) +
		`").then(() => { window.swapped = true; })`))
	b.until("window.swapped")
	b.click("#item-1 [value=keep]")
	b.click("#save-1")
	b.until("document.querySelector('#item-1 .flash.bad')?.innerText.includes('If you opened another link meanwhile')")
	require.Empty(t, b.heard())
}

// TestBrowserRunsNoHostileNames, neither when the page loads nor when the script takes over what came back.
func TestBrowserRunsNoHostileNames(t *testing.T) {
	b := newTab(t, 2)
	hostile := `"><img src=x onerror="window.hacked=1"><script>window.hacked=1</script></textarea><svg onload="window.hacked=1">`
	b.set(func(d *memoryBackend) {
		row := &d.sheet.Items[0]
		row.Name, row.Because, row.MyComment, row.Target = hostile, hostile, hostile,
			access.Entitlement("group:"+hostile)
		d.sheet.About, d.refuse[1] = hostile, hostile
	})
	b.enter()
	require.Equal(t, hostile, eval[string](b, "document.querySelector('#item-1 .name').textContent"))
	b.press("j1")
	b.until("document.querySelector('#item-1 .flash.bad')?.textContent.includes('onerror')")
	require.Equal(t, hostile, eval[string](b, "document.getElementById('comment-1').value"))
	require.False(t, eval[bool](b, "'hacked' in window"))
	require.Zero(t, eval[int](b, "document.querySelectorAll('img, svg, body script').length"))
}
