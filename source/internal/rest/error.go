package rest

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/castellan-io/castellan/source"
)

// Error is a call that failed. errors.Is tells its kind, one of source's, or that the caller's context ended. Neither a
// secret nor a query is ever in it.
type Error struct {
	Source    string // the options' name
	Operation string
	Host      string
	Status    int    // 0: no answer came
	Kind      error  // nil: the caller gave up
	Detail    string // what was found and what to do
	Cause     error  // the transport's or the context's; may be nil

	pause   time.Duration // how long the provider wants no calls; 0: it does not say so
	guessed bool          // pause is ours, because the provider named none
}

// Error says what was tried, where, what came back and what to do.
func (e *Error) Error() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s: %s (%s)", e.Source, e.Operation, e.Host)
	if e.Status != 0 {
		fmt.Fprintf(&s, ": status %d", e.Status)
	}
	if e.Kind != nil {
		s.WriteString(": " + e.Kind.Error())
	}
	if e.Detail != "" {
		s.WriteString(": " + e.Detail)
	}
	if e.Cause != nil {
		s.WriteString(": " + e.Cause.Error())
	}
	if e.pause > 0 && !e.guessed {
		fmt.Fprintf(&s, " (the provider asks to wait %s)", e.pause)
	}
	return s.String()
}

// Unwrap gives errors.Is and errors.As the kind and the cause.
func (e *Error) Unwrap() []error {
	var all []error
	for _, err := range []error{e.Kind, e.Cause} {
		if err != nil {
			all = append(all, err)
		}
	}
	return all
}

// Pause is how long the provider asked to be left alone; 0: it did not say.
func (e *Error) Pause() time.Duration {
	if e.guessed {
		return 0
	}
	return e.pause
}

// grows is how often to double a pause that the provider did not name.
func (e *Error) grows(waits int) int {
	if e.guessed {
		return min(waits, 5)
	}
	return 0
}

func (c *Client) fail(r Request, kind error, detail string) *Error {
	return &Error{Source: c.options.Name, Operation: r.Operation, Host: c.base.Host, Kind: kind, Detail: detail}
}

// lost is a call without a whole answer.
func (c *Client) lost(caller context.Context, r Request, cause error) *Error {
	if caller.Err() != nil {
		e := c.fail(r, nil, "given up by the caller")
		e.Cause = caller.Err()
		return e
	}
	e := c.fail(r, source.ErrUnavailable, "")
	e.Cause = cause
	if errors.Is(cause, context.DeadlineExceeded) {
		e.Detail = fmt.Sprintf("no whole answer came within %s", c.options.Timeout)
	}
	return e
}

// unauthorized is a call that was not sent, because there are no credentials for it.
func (c *Client) unauthorized(caller context.Context, r Request, cause error) *Error {
	var known *Error
	if errors.As(cause, &known) {
		return known // of the token endpoint
	}
	if caller.Err() != nil {
		return c.lost(caller, r, cause)
	}
	e := c.fail(r, source.ErrUnauthorized, "the credentials could not be read; nothing was sent")
	if errors.Is(cause, source.ErrInvalid) {
		e.Kind = source.ErrInvalid
	}
	e.Cause = cause
	return e
}

// refused is an answer other than 200.
func (c *Client) refused(r Request, response *http.Response, body []byte, secrets []string) *Error {
	e := c.fail(r, nil, "")
	e.Status = response.StatusCode
	e.Detail, e.Kind = c.byStatus(r, e.Status)
	own := false // whether the provider itself says no, not something before it
	if c.options.Explain != nil && !isHTML(response.Header, body) {
		text, kind := c.options.Explain(e.Status, body)
		if kind != nil {
			e.Kind = kind
		}
		e.Detail = join(e.Detail, clean(text, secrets))
		own = text != ""
	}
	if e.Status == http.StatusNotFound && !own && r.NotFound != nil {
		e.Kind, e.Detail = source.ErrMalformed, "the answer is not in the provider's words: see whether the URL is "+
			"right, and whether a proxy answers"
	}
	if errors.Is(e.Kind, source.ErrRateLimited) || e.Status == http.StatusServiceUnavailable {
		e.pause = pauseOf(response.Header)
	}
	if errors.Is(e.Kind, source.ErrRateLimited) && e.pause == 0 {
		e.pause, e.guessed = time.Second, true
	}
	return e
}

func (c *Client) byStatus(r Request, status int) (detail string, kind error) {
	switch {
	case status == http.StatusUnauthorized:
		return c.options.Unauthorized, source.ErrUnauthorized
	case status == http.StatusForbidden:
		return c.options.Forbidden, source.ErrForbidden
	case status == http.StatusNotFound && r.NotFound != nil:
		return "", r.NotFound
	case status == http.StatusNotFound:
		return "there is nothing at this address: see whether the URL is right", source.ErrInvalid
	case status == http.StatusTooManyRequests:
		return "", source.ErrRateLimited
	case status >= 500 || status == http.StatusRequestTimeout:
		return "", source.ErrUnavailable
	case status/100 == 3:
		return "a redirect, which was not followed: configure the address that it leads to, if it is right",
			source.ErrMalformed
	case status/100 == 2:
		return "data was expected with the status 200", source.ErrMalformed
	}
	return "", source.ErrInvalid
}

func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + ": " + b
}

// pauseOf reads Retry-After, in seconds or as a date, or else X-Rate-Limit-Reset, in seconds since 1970. Dates count
// from the answer's own Date, so that a wrong clock here does no harm. 0: the answer names no time.
func pauseOf(h http.Header) time.Duration {
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	const most = 24 * time.Hour
	bounded := func(d time.Duration) time.Duration { return min(max(d, time.Second), most) }
	asked := strings.TrimSpace(h.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(asked, 10, 32); err == nil {
		return bounded(time.Duration(seconds) * time.Second)
	}
	if at, err := http.ParseTime(asked); err == nil {
		return bounded(at.Sub(now))
	}
	if at, err := strconv.ParseInt(strings.TrimSpace(h.Get("X-Rate-Limit-Reset")), 10, 64); err == nil {
		return bounded(time.Unix(at, 0).Sub(now))
	}
	return 0
}

// secretsOf are the texts that no error may repeat.
func secretsOf(r Request, authorization string) []string {
	scheme, token, _ := strings.Cut(authorization, " ")
	secrets := []string{token}
	if plain, err := base64.StdEncoding.DecodeString(token); err == nil && scheme == "Basic" {
		_, password, _ := strings.Cut(string(plain), ":")
		secrets = append(secrets, password)
	}
	for name, values := range r.Form {
		if name != "grant_type" && name != "scope" && name != "client_id" && !strings.HasSuffix(name, "_type") {
			secrets = append(secrets, values...)
		}
	}
	return secrets
}

const maxText = 300

// clean makes a vendor's text fit for logs and people: one line, bounded, printable, and without secrets.
func clean(s string, secrets []string) string {
	for _, secret := range secrets {
		if secret != "" {
			s = strings.ReplaceAll(s, secret, "[secret]")
		}
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case r == utf8.RuneError, !unicode.IsPrint(r):
			return -1
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if runes := []rune(s); len(runes) > maxText {
		return string(runes[:maxText-1]) + "…"
	}
	return s
}
