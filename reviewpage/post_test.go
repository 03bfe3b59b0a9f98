package reviewpage_test

import (
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/reviewpage"
)

func at(n int) *int { return &n }

func TestFormsReachTheBackend(t *testing.T) {
	for name, c := range map[string]struct {
		path string
		form map[string]string
		want any
	}{
		"one item": {"/review/decide",
			map[string]string{"item": "2", "verdict-2": "remove", "comment-2": " left\r\nin May ", "verdict-1": "keep"},
			messages.DecideInput{By: "mia@acme.example",
				Lines: []messages.DecideLine{{Item: 2, Verdict: "remove", Comment: "left\nin May", Version: at(0)}}}},
		"the page": {"/review/decide",
			map[string]string{"save": "page", "verdict-1": "keep", "verdict-3": "remove", "comment-3": "x"},
			messages.DecideInput{By: "mia@acme.example",
				Lines: []messages.DecideLine{{Item: 1, Verdict: "keep", Version: at(0)},
					{Item: 3, Verdict: "remove", Comment: "x", Version: at(0)}}}},
		"as recommended": {"/review/decide", map[string]string{"recommended": "keep", "why": "as last time"},
			messages.DecideInput{By: "mia@acme.example", Verdict: "keep", Comment: "as last time",
				All: &messages.ItemFilter{Undecided: true, Recommend: "keep"}}},
		"a comment": {"/review/comment", map[string]string{"item": "1", "comment-1": "who is this?"},
			messages.CommentInput{By: "mia@acme.example", Item: 1, Comment: "who is this?"}},
		"handed on": {"/review/delegate", map[string]string{"item": "3", "to": " bo@acme.example ", "note": "yours"},
			messages.DelegateInput{By: "mia@acme.example", To: "bo@acme.example", Items: []int{3}, Comment: "yours"}},
		"all handed on": {"/review/delegate", map[string]string{"all": "undecided", "to": "bo@acme.example"},
			messages.DelegateInput{By: "mia@acme.example", To: "bo@acme.example",
				All: &messages.ItemFilter{Undecided: true}}},
		"taken back": {"/review/reopen", map[string]string{"item": "4"},
			messages.ReopenInput{By: "mia@acme.example", Items: []int{4}}},
		"taken back, with a word": {"/review/reopen", map[string]string{"item": "4", "comment-4": "too soon"},
			messages.ReopenInput{By: "mia@acme.example", Items: []int{4}, Comment: "too soon"}},
		"in another's name": {"/review/reopen",
			map[string]string{"item": "4", "by": "bo@acme.example", "By": "bo@acme.example", "code": "123",
				"proof": "x"},
			messages.ReopenInput{By: "mia@acme.example", Items: []int{4}}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newTestPage(t, https, 4)
			p.set(func(d *memoryBackend) { d.sheet.Items[3].Mine, d.sheet.Items[3].MyComment = access.VerdictKeep, "fine" })
			answer := p.post(c.path, p.fields("/review", c.form))
			require.Equal(t, http.StatusSeeOther, answer.Code, answer.Body)
			require.Equal(t, []any{c.want}, p.heard())
		})
	}
}

func TestFlashIsShownOnce(t *testing.T) {
	p := newTestPage(t, https, 30)
	answer := p.post("/review/decide",
		p.fields("/review?undecided=1&after=3", map[string]string{"item": "5", "verdict-5": "keep"}))
	require.Equal(t, "/review?after=3&undecided=1#item-5", answer.Header().Get("Location"),
		"back to where it came from")
	cookie := answer.Result().Cookies()[0]
	require.Equal(t, "/review", cookie.Path)
	require.True(t, cookie.HttpOnly && cookie.Secure && cookie.SameSite == http.SameSiteStrictMode)

	told := p.follow(answer)
	page := read(t, told.Body.String())
	require.Equal(t, "Saved: 1.", page.id("told").text(), "its item is not on the page any more")
	require.Contains(t, page.id("progress").text(), "1 of 30 decided")
	gone := told.Result().Cookies()[0]
	require.Equal(t, cookie.Name, gone.Name)
	require.Negative(t, gone.MaxAge)

	answer = p.post("/review/decide", p.fields("/review", map[string]string{"item": "6", "verdict-6": "remove"}))
	page = read(t, p.follow(answer).Body.String())
	require.Empty(t, page.id("told").text())
	require.Equal(t, "Saved: 1.", page.id("item-6").class("flash")[0].text(), "it stands where the browser scrolls to")
	require.Contains(t, page.id("item-6").text(), "You said: remove")
}

func TestFlashListsRefusedItems(t *testing.T) {
	p := newTestPage(t, https, 20)
	fill := map[string]string{"save": "page"}
	p.set(func(d *memoryBackend) {
		for n := 1; n <= 14; n++ {
			d.refuse[n] = "it was decided or commented on since"
		}
	})
	for _, item := range p.sheet.Items {
		fill["verdict-"+itoa(item.N)] = "keep"
	}
	page := read(t, p.follow(p.post("/review/decide", p.fields("/review", fill))).Body.String())
	told := page.id("told")
	require.Contains(t, told.text(), "Saved: 6.")
	require.Contains(t, told.text(), "Item 10: it was decided or commented on since and 4 more")
	require.Contains(t, told.class("flash")[0].attrs["class"], "bad")
	require.Equal(t, "#item-1", told.all("a")[0].attrs["href"])
	require.Contains(t, page.id("item-14").text(), "What is chosen or written here is not saved yet.",
		"what was chosen is not lost")
	require.NotContains(t, page.id("item-15").text(), "not saved yet")
}

// TestFormKeepsOtherItemsChoices: without JavaScript the whole page is sent with one item's button.
func TestFormKeepsOtherItemsChoices(t *testing.T) {
	p := newTestPage(t, https, 4)
	form := p.fields("/review", map[string]string{"item": "1", "verdict-1": "keep", "verdict-2": "remove",
		"comment-3": "asking <Bo>\nfirst"})
	page := read(t, p.follow(p.post("/review/decide", form)).Body.String())
	require.Len(t, p.heard(), 1)
	checked := func(n string) (chosen string) {
		for _, radio := range page.id("item-" + n).all("input") {
			if radio.attrs["checked"] != "" {
				chosen = radio.attrs["value"]
			}
		}
		return chosen
	}
	require.Equal(t, "keep", checked("1"))
	require.NotContains(t, page.id("item-1").text(), "not saved yet")
	require.Equal(t, "remove", checked("2"))
	require.Contains(t, page.id("item-2").text(), "Not decided yet")
	require.Contains(t, page.id("item-2").text(), "not saved yet")
	require.Equal(t, "asking <Bo>\nfirst", page.id("comment-3").words)
	require.Empty(t, checked("4"))

	// And from there, all of it.
	form = url.Values{}
	maps.Copy(form, p.fields("/review",
		map[string]string{"save": "page", "verdict-2": "remove", "comment-3": "asking first"}))
	page = read(t, p.follow(p.post("/review/decide", form)).Body.String())
	require.Equal(t, []messages.DecideLine{{Item: 2, Verdict: "remove", Version: at(0)}},
		p.heard()[1].(messages.DecideInput).Lines, "a comment alone decides nothing")
	require.Equal(t, "asking first", page.id("comment-3").words)
}

func TestCommentKeepsTheChoice(t *testing.T) {
	p := newTestPage(t, https, 2)
	page := read(t, p.follow(p.post("/review/comment",
		p.fields("/review", map[string]string{"item": "1", "verdict-1": "remove", "comment-1": "hm"}))).Body.String())
	require.Contains(t, page.id("item-1").text(), "Not decided yet")
	require.Contains(t, page.id("item-1").text(), "not saved yet")
	page = read(t, p.follow(p.post("/review/comment",
		p.fields("/review", map[string]string{"item": "2", "comment-2": "hm"}))).Body.String())
	require.NotContains(t, page.id("item-2").text(), "not saved yet")
}

func TestFormErrors(t *testing.T) {
	long := strings.Repeat("ü", 1001)
	for name, c := range map[string]struct {
		path string
		form map[string]string
		why  string
	}{
		"nothing chosen":             {"/review/decide", map[string]string{"item": "1"}, "choose keep or remove first"},
		"nothing chosen on the page": {"/review/decide", map[string]string{"save": "page"}, "nothing new was chosen"},
		"a verdict of its own": {"/review/decide", map[string]string{"item": "1", "verdict-1": "approve"},
			"choose keep or remove first"},
		"an item of another page": {"/review/decide", map[string]string{"item": "99", "verdict-99": "keep"},
			"nothing new was chosen"},
		"a long comment": {"/review/decide",
			map[string]string{"item": "1", "verdict-1": "keep", "comment-1": long},
			"has 1001 characters, and may have 1000"},
		"no recommendation": {"/review/decide", map[string]string{"recommended": "x"},
			"choose which of the recommendations"},
		"an empty comment": {"/review/comment", map[string]string{"item": "1", "comment-1": "  "},
			"write a comment first"},
		"a comment on nothing": {"/review/comment", map[string]string{"comment-1": "x"}, "which item"},
		"handed on to nobody": {"/review/delegate", map[string]string{"item": "1", "note": "please"},
			"write the e-mail address"},
		"nothing handed on":  {"/review/delegate", map[string]string{"to": "bo@acme.example"}, "which item"},
		"a long address":     {"/review/delegate", map[string]string{"item": "1", "to": long}, "may have 254"},
		"nothing taken back": {"/review/reopen", map[string]string{"item": "x"}, "which item"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newTestPage(t, https, 2)
			page := read(t, p.follow(p.post(c.path, p.fields("/review", c.form))).Body.String())
			require.Contains(t, page.class("flash")[0].text(), c.why)
			require.Contains(t, page.class("flash")[0].attrs["class"], "bad")
			require.Empty(t, p.heard())
		})
	}
}

func TestFormKeepsWhatTheBackendRefuses(t *testing.T) {
	p := newTestPage(t, https, 2)
	p.set(func(d *memoryBackend) { d.sayErr = reviewpage.RefusedError{Why: "There is nobody of this address."} })
	page := read(t, p.follow(p.post("/review/delegate",
		p.fields("/review", map[string]string{"item": "2", "to": "bo@acme.exmaple", "note": "yours"}))).Body.String())
	require.Contains(t, page.id("item-2").class("flash")[0].text(), "There is nobody of this address.")
	require.Equal(t, "bo@acme.exmaple", page.id("to-2").attrs["value"])
	require.Equal(t, "yours", page.id("note-2").attrs["value"])
	page = read(t, p.follow(p.post("/review/delegate",
		p.fields("/review", map[string]string{"all": "undecided", "to": "bo@acme.exmaple"}))).Body.String())
	require.Contains(t, page.id("told").text(), "There is nobody of this address.")
	require.Equal(t, "bo@acme.exmaple", page.id("to-all").attrs["value"])
	page = read(t, p.follow(p.post("/review/decide",
		p.fields("/review", map[string]string{"recommended": "keep", "why": "as last time"}))).Body.String())
	require.Equal(t, "as last time", page.id("why-all").attrs["value"])
	require.Zero(t, p.logs.Len(), "it is no failure")
}

func TestFormKeepsWhatWasNotRecorded(t *testing.T) {
	p := newTestPage(t, https, 2)
	p.set(func(d *memoryBackend) { d.sheet.Items = d.sheet.Items[1:] }) // item 1 is gone by then
	page := read(t, p.follow(p.post("/review/delegate",
		p.fields("/review", map[string]string{"item": "1", "to": "bo@acme.example"}))).Body.String())
	require.Contains(t, page.id("told").text(), "Handed on: 0.")
	require.Contains(t, page.id("told").all("div")[0].attrs["class"], "bad")
}

// TestFormCanBeResentWithoutAnAnswer: without JavaScript, too, nothing that was written is lost.
func TestFormCanBeResentWithoutAnAnswer(t *testing.T) {
	p := newTestPage(t, https, 2)
	p.set(func(d *memoryBackend) { d.sayErr = errLedger })
	form := p.fields("/review", map[string]string{"item": "1", "verdict-1": "remove", "comment-1": `left "us"`})
	answer := p.post("/review/decide", form)
	require.Equal(t, http.StatusServiceUnavailable, answer.Code)
	page := read(t, answer.Body.String())
	require.Contains(t, page.text(), "It is not certain that what you sent was saved.")
	require.Equal(t, `remove, left "us"`, page.fact("Item 1"))
	again := url.Values{}
	for _, input := range page.all("input") {
		again.Add(input.attrs["name"], input.attrs["value"])
	}
	require.Equal(t, form, again)
	p.set(func(d *memoryBackend) { d.sayErr = nil })
	require.Equal(t, http.StatusSeeOther, p.post(page.all("form")[0].attrs["action"], again).Code)
	require.Equal(t, p.heard()[0], p.heard()[1])

	p.set(func(d *memoryBackend) { d.sayErr = reviewpage.ErrLinkInvalid })
	require.Equal(t, http.StatusForbidden, p.post("/review/decide", form).Code)
}

// TestFormsFromElsewhereAreRefused: what another site, another link's page or nobody's page sent changes nothing.
func TestFormsFromElsewhereAreRefused(t *testing.T) {
	p := newTestPage(t, https, 2)
	good := func() url.Values { return p.fields("/review", map[string]string{"item": "1", "verdict-1": "keep"}) }
	other := p.link()
	other.ID = "LINK-2"
	for name, c := range map[string]struct {
		change func(r *http.Request)
		form   func(url.Values)
		status int
	}{
		"another origin": {change: func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }},
		"another port":   {change: func(r *http.Request) { r.Header.Set("Origin", https+":8443") }},
		"another scheme": {change: func(r *http.Request) {
			r.Header.Set("Origin",
				"http://reviews.acme.example")
		}},
		"a longer host": {change: func(r *http.Request) { r.Header.Set("Origin", https+".evil.example") }},
		"cross-site":    {change: func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }},
		"same-site":     {change: func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") }},
		"typed in":      {change: func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "none") }},
		"a hidden origin": {change: func(r *http.Request) {
			r.Header.Set("Origin",
				"null")
			r.Header.Del("Sec-Fetch-Site")
		}},
		"a hidden origin, crossed": {change: func(r *http.Request) {
			r.Header.Set("Origin",
				"null")
			r.Header.Set("Sec-Fetch-Site", "cross-site")
		}},
		"nothing said": {change: func(
			r *http.Request) {
			r.Header.Del("Origin")
			r.Header.Del("Sec-Fetch-Site")
		}},
		"no mark":               {form: func(f url.Values) { f.Del("form") }},
		"an empty mark":         {form: func(f url.Values) { f.Set("form", "") }},
		"a wrong mark":          {form: func(f url.Values) { f.Set("form", "x"+f.Get("form")[1:]) }},
		"another link's mark":   {form: func(f url.Values) { f.Set("form", p.signer.Mark(other, "form", "")) }},
		"a mark of another use": {form: func(f url.Values) { f.Set("form", p.signer.Mark(p.link(), "flash", "")) }},
		"mark in the address": {form: func(f url.Values) { f.Del("form") },
			change: func(r *http.Request) { r.URL.RawQuery = "form=" + p.signer.Mark(p.link(), "form", "") }},
		"as text": {change: func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") },
			status: http.StatusBadRequest},
		"as JSON": {change: func(r *http.Request) { r.Header.Set("Content-Type", "application/json") },
			status: http.StatusBadRequest},
		"of no type": {change: func(r *http.Request) { r.Header.Del("Content-Type") },
			status: http.StatusBadRequest},
		"no text": {form: func(f url.Values) { f.Set("comment-1", "\xff") },
			status: http.StatusBadRequest},
		"a zero": {form: func(f url.Values) { f.Set("comment-1", "a\x00b") },
			status: http.StatusBadRequest},
		"half an escape": {change: func(r *http.Request) { r.Body = body("form=%zz") },
			status: http.StatusBadRequest},
		"too much": {form: func(f url.Values) { f.Set("comment-1", strings.Repeat("x", 600<<10)) },
			status: http.StatusRequestEntityTooLarge},
		"too many items": {form: func(f url.Values) {
			for n := range 30 {
				f.Set("was-"+itoa(n+1), ".")
			}
		}, status: http.StatusRequestEntityTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			form := good()
			if c.form != nil {
				c.form(form)
			}
			for _, path := range []string{"/review/decide", "/review/comment", "/review/delegate", "/review/reopen"} {
				r := p.request(http.MethodPost, path, p.token(), form)
				if c.change != nil {
					c.change(r)
				}
				answer := p.do(r)
				want := c.status
				if want == 0 {
					want = http.StatusForbidden
				}
				require.Equal(t, want, answer.Code, answer.Body)
				require.Contains(t, answer.Body.String(), "Nothing was changed")
				require.Contains(t, answer.Body.String(), `href="/review"`)
			}
			require.Empty(t, p.heard())
			p.wait(60e9)
		})
	}
	for name, change := range map[string]func(r *http.Request){
		"as browsers do":         func(*http.Request) {},
		"older ones":             func(r *http.Request) { r.Header.Del("Sec-Fetch-Site") },
		"from a page that hides": func(r *http.Request) { r.Header.Set("Origin", "null") },
		"without an origin":      func(r *http.Request) { r.Header.Del("Origin") },
		"with a charset": func(r *http.Request) {
			r.Header.Set("Content-Type",
				"application/x-www-form-urlencoded;charset=UTF-8")
		},
		"though another is claimed": func(r *http.Request) {
			r.Host = "internal:8090"
			r.Header.Set("X-Forwarded-Host",
				"evil.example")
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := p.request(http.MethodPost, "/review/decide", p.token(), good())
			change(r)
			require.Equal(t, http.StatusSeeOther, p.do(r).Code)
			p.wait(60e9)
		})
	}
}

func TestOriginOf(t *testing.T) {
	for base, origin := range map[string]string{
		"https://Reviews.ACME.example:443": "https://reviews.acme.example", "http://localhost:80": "http://localhost",
		"https://reviews.acme.example:8443": "https://reviews.acme.example:8443",
		"http://[::1]:8090":                 "http://[::1]:8090",
	} {
		p := newTestPage(t, base, 1)
		r := p.request(http.MethodPost, "/review/decide", p.token(),
			p.fields("/review", map[string]string{"item": "1", "verdict-1": "keep"}))
		r.Header.Set("Origin", origin)
		require.Equal(t, http.StatusSeeOther, p.do(r).Code, base)
	}
}

// TestGetChangesNothing, whatever is in the address.
func TestGetChangesNothing(t *testing.T) {
	p := newTestPage(t, https, 2)
	query := "?" + p.fields("/review",
		map[string]string{"item": "1", "verdict-1": "remove", "to": "bo@acme.example", "all": "undecided"}).Encode()
	for _, path := range []string{"/review/decide", "/review/comment", "/review/delegate", "/review/reopen"} {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete,
			http.MethodPatch, http.MethodOptions} {
			answer := p.do(p.request(method, path+query, p.token(), nil))
			require.Equal(t, http.StatusMethodNotAllowed, answer.Code, method)
			require.Equal(t, "POST", answer.Header().Get("Allow"))
		}
	}
	for _, path := range []string{"/review", "/enter", "/r/" + p.token()} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			require.Less(t, p.do(p.request(method, path+query, p.token(), nil)).Code, 400)
		}
		require.Equal(t, http.StatusMethodNotAllowed, p.do(p.request(http.MethodPost, path+query, p.token(), nil)).Code)
	}
	require.Empty(t, p.heard())
	require.Empty(t, p.row(1).Mine)
}

func TestRoutes(t *testing.T) {
	p := newTestPage(t, https, 2)
	for _, path := range []string{"/", "/review/", "/review/items", "/review/export", "/healthz", "/metrics",
		"/assets/", "/assets/list.html", "/debug/pprof/", "/favicon.ico", "/robots.txt"} {
		answer := p.get(path, p.token())
		require.Equal(t, http.StatusNotFound, answer.Code, path)
		require.Equal(t, "text/plain; charset=utf-8", answer.Header().Get("Content-Type"))
	}
}

func TestHeaders(t *testing.T) {
	p := newTestPage(t, https, 1)
	assets := make([]string, 0, 2)
	page := read(t, p.get("/review", p.token()).Body.String())
	for _, e := range slices.Concat(page.all("link"), page.all("script")) {
		if path := e.attrs["href"] + e.attrs["src"]; strings.HasPrefix(path, "/assets/") {
			assets = append(assets, path)
		}
	}
	require.Len(t, assets, 2)
	paths := append([]string{"/r/" + p.token(), "/r/x", "/enter", "/review", "/review/decide", "/nothing"}, assets...)
	for _, path := range paths {
		h := p.get(path, p.token()).Header()
		require.Equal(t, "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'", h.Get("Content-Security-Policy"))
		require.Equal(t, "nosniff", h.Get("X-Content-Type-Options"))
		require.Equal(t, "DENY", h.Get("X-Frame-Options"))
		require.Equal(t, "same-origin", h.Get("Cross-Origin-Opener-Policy"))
		require.Equal(t, "max-age=31536000", h.Get("Strict-Transport-Security"))
		require.Contains(t, h.Get("Permissions-Policy"), "camera=()")
		switch {
		case slices.Contains(assets, path):
			require.Regexp(t, `^/assets/(style|page)\.[0-9a-f]{16}\.(css|js)$`, path)
			require.Equal(t, "public, max-age=31536000, immutable", h.Get("Cache-Control"))
			require.Regexp(t, `^text/(css|javascript); charset=utf-8$`, h.Get("Content-Type"))
		default:
			require.Equal(t, "no-store", h.Get("Cache-Control"))
		}
		if path == "/review" {
			require.Equal(t, "same-origin", h.Get("Referrer-Policy"))
		} else {
			require.Equal(t, "no-referrer", h.Get("Referrer-Policy"))
		}
	}
	require.Empty(t, newTestPage(t, "http://127.0.0.1:8090", 1).get("/review",
		"").Header().Get("Strict-Transport-Security"))
}

// TestFlashIgnoresForgedCookies: whoever can set a cookie for the host cannot put words on the page.
func TestFlashIgnoresForgedCookies(t *testing.T) {
	p := newTestPage(t, https, 1)
	answer := p.post("/review/comment", p.fields("/review", map[string]string{"item": "1"}))
	real := answer.Result().Cookies()[0]
	told := func(value string) string {
		r := p.request(http.MethodGet, "/review", p.token(), nil)
		r.AddCookie(&http.Cookie{Name: real.Name, Value: value})
		return p.do(r).Body.String()
	}
	require.Contains(t, told(real.Value), "write a comment first")
	for _, forged := range []string{"", ".", "x", "x.y", "A" + real.Value[1:], real.Value + "x",
		strings.Split(real.Value, ".")[0]} {
		page := told(forged)
		require.NotContains(t, page, "write a comment first", forged)
		require.NotContains(t, page, `class="flash`, forged)
	}
}

func TestFlashTellsWhatWasTooLong(t *testing.T) {
	p := newTestPage(t, https, 25)
	p.set(func(d *memoryBackend) { d.refuse[1] = strings.Repeat("<y>", 700) })
	fill := map[string]string{"item": "1", "verdict-1": "keep"}
	for n := 2; n <= 25; n++ {
		fill["comment-"+itoa(n)] = strings.Repeat("ü", n*40)
	}
	answer := p.post("/review/decide", p.fields("/review", fill))
	require.Less(t, len(answer.Header().Get("Set-Cookie")), 4000, "browsers keep 4096 bytes")
	page := read(t, p.follow(answer).Body.String())
	require.Contains(t, page.id("item-1").class("flash")[0].text(), "Saved: 0.")
	require.Regexp(t, `What you had chosen or written for \d+ more could not be kept`, page.text())
	require.NotEmpty(t, page.id("comment-2").words, "the shorter ones are kept")
	require.Empty(t, page.id("comment-25").words)
}

func TestHandleWrappedBackendErrors(t *testing.T) {
	p := newTestPage(t, https, 1)
	p.set(func(d *memoryBackend) {
		d.err = errors.Join(errors.New("link LINK-1 was revoked by sec@acme.example"), reviewpage.ErrLinkInvalid)
	})
	answer := p.get("/review", p.token())
	require.Equal(t, http.StatusForbidden, answer.Code)
	require.NotContains(t, answer.Body.String(), "revoked by")
}
