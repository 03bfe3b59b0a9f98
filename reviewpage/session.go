package reviewpage

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"

	"go.uber.org/zap"

	"github.com/castellan-io/castellan/links"
)

// enter moves the token from the address into a cookie and redirects, so that the token stays neither in the address
// bar nor in the browser's history. Links can be opened any number of times: mail servers open them too.
//
// The cookie is SameSite=Strict. A navigation from a web mailer, redirects included, counts as cross-site, so that the
// browser would not send the cookie; hence /enter in between, whose refresh counts as same-site.
func (p *page) enter(w http.ResponseWriter, r *http.Request) {
	token := r.PathValue("token")
	link, ok := p.admit(w, r, token)
	if !ok {
		return
	}
	http.SetCookie(w, p.cookie("link", token, int(link.Expires.Sub(p.now()).Seconds())))
	http.Redirect(w, r, "/enter", http.StatusSeeOther)
}

// interstitial is the step between the link and the list, the same for everybody.
func (p *page) interstitial(w http.ResponseWriter, _ *http.Request) {
	p.writeNotice(w, http.StatusOK, notice{Title: "Your review is being opened", Link: "/review", LinkText: "Open the review",
		Refresh: true})
}

// cookie returns a cookie for this page only, and no script. A negative lifetime removes it.
func (p *page) cookie(name, value string, seconds int) *http.Cookie {
	return &http.Cookie{
		Name: p.cookieName(name), Value: value, Path: "/review", MaxAge: seconds,
		HttpOnly: true, Secure: p.secure, SameSite: http.SameSiteStrictMode,
	}
}

// cookieName adds the prefix with which browsers accept a cookie over https only.
func (p *page) cookieName(name string) string {
	if p.secure {
		return "__Secure-castellan-" + name
	}
	return "castellan-" + name
}

// session returns the link in the browser's cookie if it is valid. Otherwise it has answered the request.
func (p *page) session(w http.ResponseWriter, r *http.Request) (links.Link, bool) {
	cookie, err := r.Cookie(p.cookieName("link"))
	if err != nil {
		p.refuse(w)
		return links.Link{}, false
	}
	return p.admit(w, r, cookie.Value)
}

// admit returns a token's link if it is valid now. Otherwise it has answered the request. Invalid tokens all get the
// same answer: a rate limit would reveal which of them once were valid. A token that was refused stays refused, and is
// not looked up again.
func (p *page) admit(w http.ResponseWriter, r *http.Request, token string) (links.Link, bool) {
	link, err := p.signer.Read(token, p.now())
	sum := sha256.Sum256([]byte(token))
	if err != nil || p.refused.known(string(sum[:])) {
		p.refuse(w)
		return links.Link{}, false
	}
	if err := p.backend.Admit(r.Context(), link); err != nil {
		if errors.Is(err, ErrLinkInvalid) {
			p.refused.take(string(sum[:]), p.now())
		}
		p.answerError(w, r, link, err, "Nothing was changed. Try again in a moment.")
		return links.Link{}, false
	}
	if wait := p.reads.take(link.ID, p.now()); wait > 0 {
		p.tooMany(w, wait)
		return links.Link{}, false
	}
	return link, true
}

// answerError answers a request that failed with the backend's error; means explains what that means to the reviewer.
func (p *page) answerError(w http.ResponseWriter, r *http.Request, link links.Link, err error, means string) {
	if errors.Is(err, ErrLinkInvalid) {
		p.refuse(w)
		return
	}
	p.logError(r, link, err)
	p.writeNotice(w, http.StatusServiceUnavailable, notice{
		Title: "Castellan cannot answer just now", Text: means, Link: "/review", LinkText: "Go to your list",
	})
}

// logError logs a failure with the link's id. The token is a secret and is never logged.
func (p *page) logError(r *http.Request, link links.Link, err error) {
	if errors.Is(r.Context().Err(), context.Canceled) {
		return // the client left
	}
	p.log.Error("the review page could not be served", zap.String("route", r.Pattern), zap.String("org", link.Org),
		zap.String("review", link.Review), zap.String("link", link.ID), zap.Error(err))
}
