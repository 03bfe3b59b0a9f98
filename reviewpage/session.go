package reviewpage

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"

	"go.uber.org/zap"

	"github.com/castellan-io/castellan/links"
)

// enter takes the token from the address into a cookie and leads on, so that it stays neither in the address bar nor in
// the browser's history. Nothing is used up: mail servers open links too.
//
// The cookie is strict: browsers send it with nothing that another site began. That a mail's link led here was begun by
// another site, redirects included; so /enter is between, whose own refresh the browser takes for this site's.
func (p *page) enter(w http.ResponseWriter, r *http.Request) {
	token := r.PathValue("token")
	link, ok := p.admit(w, r, token)
	if !ok {
		return
	}
	http.SetCookie(w, p.cookie("link", token, int(link.Expires.Sub(p.now()).Seconds())))
	http.Redirect(w, r, "/enter", http.StatusSeeOther)
}

// goOn is the same for everybody, and says nothing of anybody.
func (p *page) goOn(w http.ResponseWriter, _ *http.Request) {
	p.plain(w, http.StatusOK, notice{Title: "Your review is being opened", On: "/review", OnWords: "Open the review",
		Refresh: true})
}

// cookie is one that only this page gets, and no script. Its lifetime is in seconds; below zero removes it.
func (p *page) cookie(name, value string, seconds int) *http.Cookie {
	return &http.Cookie{
		Name: p.cookieName(name), Value: value, Path: "/review", MaxAge: seconds,
		HttpOnly: true, Secure: p.secure, SameSite: http.SameSiteStrictMode,
	}
}

// cookieName has the prefix by which browsers refuse such a cookie from anything but https.
func (p *page) cookieName(name string) string {
	if p.secure {
		return "__Secure-castellan-" + name
	}
	return "castellan-" + name
}

// session is the link that the browser's cookie says, if it opens anything. Otherwise the answer is given already.
func (p *page) session(w http.ResponseWriter, r *http.Request) (links.Link, bool) {
	cookie, err := r.Cookie(p.cookieName("link"))
	if err != nil {
		p.refuse(w)
		return links.Link{}, false
	}
	return p.admit(w, r, cookie.Value)
}

// admit reads a token and asks whether it opens anything now. Where it does not, the answer is given already, and is
// one and the same whatever the reason, and however often it is asked: a bound that answers some of them otherwise
// would tell which. A token that was refused once opens nothing for good, and is not looked up again.
func (p *page) admit(w http.ResponseWriter, r *http.Request, token string) (links.Link, bool) {
	link, err := p.signer.Read(token, p.now())
	sum := sha256.Sum256([]byte(token))
	if err != nil || p.refused.known(string(sum[:])) {
		p.refuse(w)
		return links.Link{}, false
	}
	if err := p.desk.Admit(r.Context(), link); err != nil {
		if errors.Is(err, ErrNoEntry) {
			p.refused.take(string(sum[:]), p.now())
		}
		p.failed(w, r, link, err, "Nothing was changed. Try again in a moment.")
		return links.Link{}, false
	}
	if wait := p.reads.take(link.ID, p.now()); wait > 0 {
		p.tooMany(w, wait)
		return links.Link{}, false
	}
	return link, true
}

// failed answers for the desk's error: no entry, or that Castellan cannot answer now, with what that means.
func (p *page) failed(w http.ResponseWriter, r *http.Request, link links.Link, err error, means string) {
	if errors.Is(err, ErrNoEntry) {
		p.refuse(w)
		return
	}
	p.report(r, link, err)
	p.plain(w, http.StatusServiceUnavailable, notice{
		Title: "Castellan cannot answer just now", Text: means, On: "/review", OnWords: "Go to your list",
	})
}

// report logs a failure, with the link's id: its token opens doors and is nowhere written down.
func (p *page) report(r *http.Request, link links.Link, err error) {
	if errors.Is(r.Context().Err(), context.Canceled) {
		return // the client is gone, which is what failed
	}
	p.log.Error("the review page could not be served", zap.String("route", r.Pattern), zap.String("org", link.Org),
		zap.String("review", link.Review), zap.String("link", link.ID), zap.Error(err))
}
