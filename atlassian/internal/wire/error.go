package wire

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"
)

// The kinds of failure. Every *Error has exactly one, except for a read that its caller cancelled, which has none.
// Their texts say what to do.
var (
	ErrUnauthorized = errors.New(
		"the API key is not accepted: it may be mistyped, expired or revoked; set a valid one")
	ErrNoKey     = errors.New("the API key could not be read; nothing was sent")
	ErrForbidden = errors.New(
		"not allowed: the key lacks the right or a scope, or what it should change is managed elsewhere, for example by an identity provider")
	ErrNotFound       = errors.New("not found")
	ErrRateLimited    = errors.New("too many calls: wait before the next one")
	ErrUnavailable    = errors.New("the API could not be reached or could not answer: try again later")
	ErrOutcomeUnknown = errors.New("the change may or may not have been made: read back before writing again")
	ErrAlreadyMember  = errors.New("already so")
	ErrLicenceLimit   = errors.New("the app has no free licence: raise its user limit or free a seat")
	ErrConflict       = errors.New("conflict with the present state")
	ErrNameTaken      = errors.New("the name is taken")
	ErrInvalid        = errors.New("the request is not valid")
	ErrMalformed      = errors.New("the answer is broken: nothing in it may be trusted")
)

// Error is a failed call. errors.Is finds its kind, and the error of the transport or the context. It never contains
// the key, a query, or a request's body.
type Error struct {
	Package    string        // the client that was used
	Operation  string        // for example "add member"
	Method     string        // HTTP method; empty if the request was refused unsent
	Path       string        // the path below the base URL, without the query
	Status     int           // HTTP status; 0 if no response came
	Code       string        // the API's own code, for example ADMIN-409-3; may be empty
	Title      string        // the API's short text; at most 300 characters, no control characters
	Detail     string        // the API's long text, or what this client found; limited likewise
	Reason     string        // user management: why it is not allowed, for example externalDirectory.scim; may be empty
	RetryAfter time.Duration // how long the API asks to wait; 0 if it does not
	Rate       Rate          // the limit according to the response's headers
	Kind       error         // one of the sentinels
	Cause      error         // the transport's or the context's error; may be nil
}

func (e *Error) Error() string {
	var s strings.Builder
	s.WriteString(e.Package + ": " + e.Operation)
	if e.Method != "" {
		fmt.Fprintf(&s, " (%s %s)", e.Method, e.Path)
	}
	if e.Status != 0 {
		fmt.Fprintf(&s, ": status %d", e.Status)
	}
	if e.Code != "" {
		s.WriteString(" " + e.Code)
	}
	if e.Kind != nil {
		s.WriteString(": " + e.Kind.Error())
	}
	if e.Title != "" && e.Title != e.Detail {
		s.WriteString(": " + e.Title)
	}
	if e.Detail != "" {
		s.WriteString(": " + e.Detail)
	}
	if e.Reason != "" {
		s.WriteString(": " + e.Reason)
	}
	if e.Cause != nil {
		s.WriteString(": " + e.Cause.Error())
	}
	if e.RetryAfter > 0 {
		fmt.Fprintf(&s, " (retry after %s)", e.RetryAfter)
	}
	return s.String()
}

// Unwrap returns the kind and the cause.
func (e *Error) Unwrap() []error {
	var all []error
	if e.Kind != nil {
		all = append(all, e.Kind)
	}
	if e.Cause != nil {
		all = append(all, e.Cause)
	}
	return all
}

// Invalid returns the error of a request that was refused before it was sent.
func Invalid(pkg, operation, format string, args ...any) error {
	return &Error{Package: pkg, Operation: operation, Rate: unknownRate(), Kind: ErrInvalid,
		Detail: fmt.Sprintf(format, args...) + "; nothing was sent"}
}

func (e *Error) fail(kind error, detail string, cause error) bool {
	e.Kind, e.Detail, e.Cause = kind, detail, cause
	return false
}

// lost fills in e for a response that did not come, or not to its end.
func (e *Error) lost(caller context.Context, r Request, sent bool, cause error) bool {
	switch {
	case r.Write && sent:
		return e.fail(ErrOutcomeUnknown, "no answer came", cause)
	case caller.Err() != nil:
		return e.fail(nil, "given up by the caller", caller.Err())
	case !sent:
		return e.fail(ErrUnavailable, "nothing was sent", cause)
	default:
		return e.fail(ErrUnavailable, "no answer came", cause)
	}
}

// lostAnswer fills in e for an unusable response. For a read that is the kind given; a write may have been done.
func (e *Error) lostAnswer(r Request, kind error, detail string, cause error) bool {
	if r.Write {
		kind = ErrOutcomeUnknown
	}
	return e.fail(kind, detail, cause)
}

// answered fills in e from any response but a success.
func (e *Error) answered(r Request, header http.Header, start []byte, key string) {
	said := parseErrorBody(start)
	e.Code, e.Title, e.Detail = clean(said.code, key), clean(said.title, key), clean(said.detail, key)
	e.Reason = clean(said.reason, key)
	html := isHTML(header, start)
	if html {
		e.Code, e.Title, e.Reason, e.Detail = "", "", "",
			"an HTML page: a gateway answered, not the API; see whether the base URL is right"
	}
	e.RetryAfter = retryAfter(header, e.Status, e.Rate)
	e.Kind = e.kind(r, html)
}

func (e *Error) kind(r Request, html bool) error {
	switch {
	case e.Status == http.StatusUnauthorized:
		return ErrUnauthorized
	case e.Status == http.StatusForbidden:
		return ErrForbidden
	case e.Status == http.StatusTooManyRequests:
		return ErrRateLimited
	case e.Status >= 500, e.Status == http.StatusRequestTimeout:
		if r.Write {
			return ErrOutcomeUnknown
		}
		return ErrUnavailable
	case e.Status < 400:
		// A redirect, for example to a log-in page.
		e.Detail = "not an answer of this API; see whether the base URL is right"
		return ErrMalformed
	case html:
		// A gateway's 404 or 409 is not about a group or a person.
		return ErrUnavailable
	case e.Status == http.StatusNotFound:
		return ErrNotFound
	case e.Status == http.StatusConflict:
		return e.conflict(r.Conflict)
	case e.Status == http.StatusPaymentRequired:
		return ErrLicenceLimit
	default:
		return ErrInvalid
	}
}

var (
	alreadySo = regexp.MustCompile(`(?i)\balready\b`)
	noSeat    = regexp.MustCompile(`(?i)\b(user limit|licen[cs]e|seats?\b)`)
)

// conflict distinguishes the meanings of a 409: by its code first, then by its words. The status text that the vendor
// documents for adding a member contains both meanings at once; words that fit both prove neither.
func (e *Error) conflict(otherwise error) error {
	if otherwise == nil {
		otherwise = ErrConflict
	}
	switch {
	case strings.HasSuffix(e.Code, "409-3"):
		return ErrLicenceLimit
	case strings.HasSuffix(e.Code, "409-5"):
		return ErrConflict
	}
	text := e.Title + " " + e.Detail
	already, limit := alreadySo.MatchString(text), noSeat.MatchString(text)
	switch {
	case already && limit:
		return ErrConflict
	case limit:
		return ErrLicenceLimit
	case otherwise == ErrConflict && already:
		return ErrAlreadyMember
	default:
		return otherwise
	}
}
