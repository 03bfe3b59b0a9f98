// Package reviewpage serves the web page on which reviewers decide: a manager opens the personal link from a mail,
// keeps or removes each item, and can do nothing else.
//
// The page is stateless. The link, which the browser keeps as a cookie, identifies the reviewer; items and decisions
// are the [Backend]'s. It works without JavaScript; with it, it updates in place and can be used by keyboard. It
// neither sends anything to other sites nor loads anything from them.
package reviewpage

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/castellan-io/castellan/links"
)

// Options configure the page.
type Options struct {
	Backend Backend
	Signer  *links.Signer
	// Base is the URL, without a path, at which browsers reach the page: it determines whether cookies are for https
	// only, and which origin may post.
	Base *url.URL
	Now  func() time.Time // nil: the machine's clock
	Log  *zap.Logger      // nil: nothing is logged
}

// The rate limits of a link: the burst, and the time after which one more request is allowed. They are kept per
// process, for the [maxLimiters] most recent links. Invalid links have no limit: their answer costs a hash, and is
// always the same.
const (
	readsAtOnce, readEvery = 60, 200 * time.Millisecond
	postsAtOnce, postEvery = 30, 500 * time.Millisecond
)

// page is the handler's state.
type page struct {
	backend Backend
	signer  *links.Signer
	now     func() time.Time
	log     *zap.Logger
	origin  string
	secure  bool      // https
	refused *limiters // invalid tokens, by their hash
	reads   *limiters
	posts   *limiters
}

// New returns the page's handler. It serves only:
//
//	GET  /r/<token>        enter by a personal link
//	GET  /enter            the step between the link and the list
//	GET  /review           the list of items
//	POST /review/decide    keep or remove: one item, those of the page, or those of a recommendation
//	POST /review/comment   comment on one item
//	POST /review/delegate  delegate one item, or all undecided ones
//	POST /review/reopen    withdraw the decision on one item
//	GET  /assets/<name>    style sheet and script
//
// The server has to set timeouts and limit connections.
func New(o Options) http.Handler {
	p := &page{
		backend: o.Backend, signer: o.Signer, now: o.Now, log: o.Log, origin: originOf(o.Base),
		secure:  o.Base.Scheme == "https",
		refused: newLimiters(0, 1),
		reads:   newLimiters(rate.Every(readEvery), readsAtOnce),
		posts:   newLimiters(rate.Every(postEvery), postsAtOnce),
	}
	if p.now == nil {
		p.now = time.Now
	}
	if p.log == nil {
		p.log = zap.NewNop()
	}
	routes := http.NewServeMux()
	routes.HandleFunc("GET /r/{token...}", p.enter)
	routes.HandleFunc("GET /enter", p.interstitial)
	routes.HandleFunc("GET /review", p.list)
	routes.HandleFunc("POST /review/decide", p.handle(decide))
	routes.HandleFunc("POST /review/comment", p.handle(comment))
	routes.HandleFunc("POST /review/delegate", p.handle(delegate))
	routes.HandleFunc("POST /review/reopen", p.handle(reopen))
	routes.HandleFunc("GET /assets/{name}", serveAsset)
	return p.withHeaders(routes)
}

// originOf returns the URL's origin as browsers send it: in lower case, without the default port.
func originOf(base *url.URL) string {
	host := strings.ToLower(base.Host)
	switch base.Scheme {
	case "https":
		host = strings.TrimSuffix(host, ":443")
	case "http":
		host = strings.TrimSuffix(host, ":80")
	}
	return base.Scheme + "://" + host
}

// withHeaders sets the headers of every response.
func (p *page) withHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		// connect-src is for the script's posts.
		h.Set("Content-Security-Policy",
			"default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "+
				"form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("X-Robots-Tag", "noindex, nofollow")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Permissions-Policy", "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if p.secure {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		next.ServeHTTP(w, r)
	})
}
