// Package wire sends one call to an Atlassian administration API and turns every response into a decoded body or an
// *Error of a known kind. It never retries; that is up to its caller.
package wire

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// The limits if the options leave them at zero.
const (
	DefaultTimeout  = 30 * time.Second
	DefaultMaxBytes = 16 << 20
)

// Options configure the client of one API.
type Options struct {
	Package   string // begins every error's text, for example "organization"
	BaseURL   string // scheme, host and path prefix
	Media     string // media type of bodies sent and asked for
	Key       func(context.Context) (string, error)
	HTTP      *http.Client
	UserAgent string
	Timeout   time.Duration
	MaxBytes  int64
	Observe   func(Call)
}

// Call describes one call, for metrics and for pacing. Status is 0 if no response came.
type Call struct {
	Operation string        // for example "search users"; of a small fixed set, fit for a metric's label
	Status    int           // the HTTP status
	Duration  time.Duration // from reading the key to the end of the response's body
	Rate      Rate          // the limit according to the response's headers
	Err       error         // nil when the call succeeded; else an *Error
}

// Client sends calls to one API. It is safe for use by several goroutines.
type Client struct {
	options Options
	base    string
	http    *http.Client
}

// NewClient checks the options and fills in the defaults.
func NewClient(o Options) (*Client, error) {
	base, err := url.Parse(o.BaseURL)
	switch {
	case err != nil || (base.Scheme != "https" && base.Scheme != "http") || base.Host == "":
		return nil, fmt.Errorf("%s: the base URL must be absolute, for example https://api.atlassian.com/admin",
			o.Package)
	case base.User != nil || base.RawQuery != "" || base.Fragment != "":
		return nil, fmt.Errorf("%s: the base URL may have no credentials, query or fragment; the key is given on its own", o.Package)
	case o.Key == nil:
		return nil, fmt.Errorf("%s: no API key is configured", o.Package)
	case o.Timeout < 0 || o.MaxBytes < 0:
		return nil, fmt.Errorf("%s: the timeout and the size bound may not be negative", o.Package)
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.UserAgent == "" {
		o.UserAgent = "castellan"
	}
	client := http.Client{Transport: pooled()}
	if o.HTTP != nil {
		client = *o.HTTP
	}
	// An API does not redirect. Following one could send a write, or the key, elsewhere.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{options: o, base: strings.TrimRight(base.String(), "/"), http: &client}, nil
}

// pooled keeps enough idle connections for the concurrent writes of a sync; the standard library keeps two.
func pooled() http.RoundTripper {
	if standard, ok := http.DefaultTransport.(*http.Transport); ok {
		transport := standard.Clone()
		transport.MaxIdleConnsPerHost = 16
		return transport
	}
	return http.DefaultTransport
}

// Request is one call.
type Request struct {
	Operation string
	Method    string
	Path      string // escaped, begins with a slash; see Path
	Query     url.Values
	Body      any                   // encoded as JSON when not nil
	Write     bool                  // the call may change something: after a lost response the outcome is unknown
	Conflict  error                 // the kind of a 409 whose body does not tell; ErrConflict when nil
	Decode    func(io.Reader) error // reads the body of a success; nil if there is none
	// receives the response's Date header, to the second; may be nil
	Answered *time.Time
}

// Do sends the request once. The error is nil or an *Error.
func (c *Client) Do(ctx context.Context, r Request) error {
	started := time.Now()
	failure := &Error{Package: c.options.Package, Operation: r.Operation, Method: r.Method, Path: r.Path,
		Rate: unknownRate()}
	ok := c.do(ctx, r, failure)
	call := Call{Operation: r.Operation, Status: failure.Status, Duration: time.Since(started), Rate: failure.Rate}
	if !ok {
		call.Err = failure
	}
	if c.options.Observe != nil {
		c.options.Observe(call)
	}
	return call.Err
}

// do reports whether the call succeeded; otherwise it has filled in e.
func (c *Client) do(caller context.Context, r Request, e *Error) bool {
	ctx, cancel := context.WithTimeout(caller, c.options.Timeout)
	defer cancel()

	key, err := c.options.Key(ctx)
	if err != nil {
		return e.fail(ErrNoKey, "", err)
	}
	key = strings.TrimSpace(key)
	if key == "" || strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return e.fail(ErrUnauthorized,
			"the configured API key is empty or has characters that no key has; nothing was sent", nil)
	}

	if ctx.Err() != nil {
		return e.lost(caller, r, false, ctx.Err())
	}
	var reached connection
	request, err := c.request(httptrace.WithClientTrace(ctx, reached.trace()), r, key)
	if err != nil {
		return e.fail(ErrInvalid, "the request could not be built; nothing was sent", err)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return e.lost(caller, r, !reached.never(), withoutURL(err))
	}
	defer response.Body.Close()
	e.Status = response.StatusCode
	e.Rate = parseRate(response.Header)
	if r.Answered != nil {
		*r.Answered, _ = http.ParseTime(response.Header.Get("Date"))
	}

	body := &bounded{from: response.Body, left: c.options.MaxBytes}
	if response.StatusCode/100 != 2 {
		start, _ := io.ReadAll(io.LimitReader(body, maxErrorBody))
		e.answered(r, response.Header, start, key)
		return false
	}
	if isHTML(response.Header, nil) {
		return e.lostAnswer(r, ErrUnavailable,
			"a success with an HTML page: a gateway answered, not the API; see whether the base URL is right", nil)
	}
	if r.Decode == nil {
		// The change is done; reading on only lets the connection be reused.
		_, _ = io.CopyN(io.Discard, body, maxErrorBody)
		return true
	}
	return c.decode(caller, r, body, key, e)
}

// decode reads the response of a success; it reports whether that worked, like do.
func (c *Client) decode(caller context.Context, r Request, body *bounded, key string, e *Error) bool {
	err := r.Decode(body)
	switch {
	case err == nil:
		return true
	case body.oversized:
		return e.lostAnswer(r, ErrMalformed,
			fmt.Sprintf("the answer is larger than the bound of %d bytes", c.options.MaxBytes), nil)
	case body.err != nil && !errors.Is(body.err, io.ErrUnexpectedEOF):
		return e.lost(caller, r, true, body.err)
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return e.lostAnswer(r, ErrMalformed, "the answer breaks off", err)
	default:
		return e.lostAnswer(r, ErrMalformed, clean("the answer is not what the API describes: "+err.Error(), key), nil)
	}
}

func (c *Client) request(ctx context.Context, r Request, key string) (*http.Request, error) {
	var body io.Reader
	if r.Body != nil {
		encoded, err := json.Marshal(r.Body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(encoded)
	}
	target := c.base + r.Path
	if len(r.Query) > 0 {
		target += "?" + r.Query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, r.Method, target, body)
	if err != nil {
		return nil, withoutURL(err)
	}
	request.Header.Set("Accept", c.options.Media)
	request.Header.Set("Authorization", "Bearer "+key)
	request.Header.Set("User-Agent", c.options.UserAgent)
	if body != nil {
		request.Header.Set("Content-Type", c.options.Media)
	}
	return request, nil
}

// connection records how far a request got. Only if the transport looked for a connection and never wrote to one is it
// certain that the API got nothing.
type connection struct{ asked, wrote atomic.Bool }

func (s *connection) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		// The transport itself retries only what it has not written: each attempt starts afresh.
		GetConn:      func(string) { s.asked.Store(true); s.wrote.Store(false) },
		WroteHeaders: func() { s.wrote.Store(true) },
	}
}

func (s *connection) never() bool { return s.asked.Load() && !s.wrote.Load() }

// bounded reads at most left bytes, then fails.
type bounded struct {
	from      io.Reader
	left      int64
	oversized bool
	err       error // the connection's error other than EOF
}

var errOversized = errors.New("answer too large")

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		// Exactly the limit is allowed: check whether one more byte comes.
		var probe [1]byte
		n, err := io.ReadFull(b.from, probe[:])
		if n == 0 {
			return 0, b.note(err)
		}
		b.oversized = true
		return 0, errOversized
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.from.Read(p)
	b.left -= int64(n)
	return n, b.note(err)
}

func (b *bounded) note(err error) error {
	if err != nil && err != io.EOF {
		b.err = err
	}
	return err
}

// withoutURL removes the URL that net/http adds to its errors: it includes the query.
func withoutURL(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}
