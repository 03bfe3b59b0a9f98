// Package reviewpage is the page on which reviewers decide: a manager opens the personal link of a mail, says of each
// item whether it is to be kept or removed, and can do nothing else.
//
// The page keeps nothing between two requests. Who is there is in the link, which the browser keeps as a cookie; what
// is there, and what may be said, is the [Desk]'s. It works without JavaScript, and with it answers in place and by the
// keyboard. It sends nothing anywhere else and loads nothing from elsewhere.
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

// Options are what the page is made of.
type Options struct {
	Desk   Desk
	Signer *links.Signer
	// Base is the URL of a host alone at which browsers reach the page: it says whether cookies are for https only, and
	// which origin may post.
	Base *url.URL
	Now  func() time.Time // nil: the machine's clock
	Log  *zap.Logger      // nil: nothing is logged
}

// The bounds on what one link may ask for: so many at once, and one more after each span. They are kept for each
// process, for the [mostBuckets] that asked last. A link that opens nothing has none: its answer costs a hash, and is
// always the same.
const (
	readsAtOnce, readEvery = 60, 200 * time.Millisecond
	postsAtOnce, postEvery = 30, 500 * time.Millisecond
)

// page is the handler's state: its options, and who asked for how much.
type page struct {
	desk    Desk
	signer  *links.Signer
	now     func() time.Time
	log     *zap.Logger
	origin  string
	secure  bool     // reached by https
	refused *buckets // tokens that opened nothing, by their hash
	reads   *buckets
	posts   *buckets
}

// New is the page's handler. It answers these and nothing else:
//
//	GET  /r/<token>        enter by a personal link
//	GET  /enter            the step between the link and the list
//	GET  /review           the list of items
//	POST /review/decide    keep or remove: one item, those of the page, or those of a recommendation
//	POST /review/comment   a word on one item
//	POST /review/delegate  hand one item on, or all that are undecided
//	POST /review/reopen    take back what was said of one item
//	GET  /assets/<name>    style sheet and script
//
// Whoever serves it sets the timeouts, and bounds connections.
func New(o Options) http.Handler {
	p := &page{
		desk: o.Desk, signer: o.Signer, now: o.Now, log: o.Log, origin: originOf(o.Base),
		secure:  o.Base.Scheme == "https",
		refused: newBuckets(0, 1),
		reads:   newBuckets(rate.Every(readEvery), readsAtOnce),
		posts:   newBuckets(rate.Every(postEvery), postsAtOnce),
	}
	if p.now == nil {
		p.now = time.Now
	}
	if p.log == nil {
		p.log = zap.NewNop()
	}
	routes := http.NewServeMux()
	routes.HandleFunc("GET /r/{token...}", p.enter)
	routes.HandleFunc("GET /enter", p.goOn)
	routes.HandleFunc("GET /review", p.list)
	routes.HandleFunc("POST /review/decide", p.takes(decide))
	routes.HandleFunc("POST /review/comment", p.takes(comment))
	routes.HandleFunc("POST /review/delegate", p.takes(delegate))
	routes.HandleFunc("POST /review/reopen", p.takes(reopen))
	routes.HandleFunc("GET /assets/{name}", asset)
	return p.withHeaders(routes)
}

// originOf is the URL's origin as browsers write it: in lower case, without the scheme's own port.
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

// withHeaders sets what every answer says to the browser.
func (p *page) withHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		// connect-src is for the script's own posts. Nothing else is allowed than what the page is made of.
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
