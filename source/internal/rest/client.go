// Package rest reads identity providers by HTTP and JSON: one call at a time, within bounds, and every answer either
// decoded or an *Error of one of source's kinds. It repeats a call only where a rate limit asks for a pause, and once
// with a new token where the old one is refused.
package rest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/castellan-io/castellan/source"
)

// The defaults of Options.
const (
	DefaultTimeout  = 30 * time.Second
	DefaultMaxBytes = 16 << 20
	DefaultWaits    = 5
	DefaultMaxWait  = time.Minute
)

const maxErrorBody = 64 << 10

// Options say how to reach one provider, or its token endpoint.
type Options struct {
	Name      string        // begins every error, for example "okta"
	URL       string        // absolute, with the path that all calls share; https unless it is loopback
	PlainHTTP bool          // allows http to other hosts as well: secrets then cross the network unencrypted
	HTTP      *http.Client  // for a CA of one's own, a proxy or tests; nil: a client of the standard library
	Timeout   time.Duration // of one call, its answer included; default DefaultTimeout
	MaxBytes  int64         // of one answer, decompressed; default DefaultMaxBytes

	// Credentials authorize each call. Nil: calls carry no Authorization header.
	Credentials Credentials
	// Unauthorized and Forbidden say what to do about a 401 and a 403, for example which scope to grant.
	Unauthorized, Forbidden string
	// Explain reads the body of a refusal: the vendor's own words, empty if these are not they, and what kind of
	// failure it is, where the status does not say it right. Nil: the status alone counts, and no 404 says that
	// somebody is gone.
	Explain func(status int, body []byte) (text string, kind error)

	// A call is repeated after the pause that the provider asks for (429, or 503 with Retry-After), at most Waits times
	// (default DefaultWaits; negative: never) and only if the pause is at most MaxWait (default DefaultMaxWait).
	Waits   int
	MaxWait time.Duration
	Sleep   func(context.Context, time.Duration) error // nil: sleeps, until the context ends
}

// Credentials give the value of the Authorization header. They are asked before each call.
type Credentials interface {
	Authorization(ctx context.Context) (string, error)
	// Refused tells that a value was answered with 401. It reports whether to try once more.
	Refused(value string) bool
}

// Client sends calls to one provider. It is safe for use by several goroutines.
type Client struct {
	options Options
	base    *url.URL
	http    *http.Client
}

// New checks the options and fills in the defaults.
func New(o Options) (*Client, error) {
	invalid := func(format string, args ...any) error {
		return fmt.Errorf("%s: %w: %s", o.Name, source.ErrInvalid, fmt.Sprintf(format, args...))
	}
	base, err := url.Parse(o.URL)
	switch {
	case err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http":
		return nil, invalid("the URL must be absolute, for example https://idp.acme.example")
	case base.User != nil || base.RawQuery != "" || base.Fragment != "":
		return nil, invalid("the URL may have no credentials, query or fragment")
	case base.Scheme == "http" && !o.PlainHTTP && !loopback(base.Hostname()):
		return nil, invalid("the URL must be https, because secrets are sent to %s", base.Host)
	case o.Timeout < 0 || o.MaxBytes < 0 || o.MaxWait < 0:
		return nil, invalid("timeouts and bounds may not be negative")
	}
	base.Path = strings.TrimRight(base.Path, "/")
	base.RawPath = strings.TrimRight(base.RawPath, "/")
	setDefault(&o.Timeout, DefaultTimeout)
	setDefault(&o.MaxBytes, DefaultMaxBytes)
	setDefault(&o.Waits, DefaultWaits)
	setDefault(&o.MaxWait, DefaultMaxWait)
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	client := http.Client{Transport: pooled()}
	if o.HTTP != nil {
		client = *o.HTTP
	}
	// A redirect could carry the secret elsewhere.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{options: o, base: base, http: &client}, nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// pooled keeps enough idle connections for a few calls in flight; the standard library keeps two.
func pooled() http.RoundTripper {
	if standard, ok := http.DefaultTransport.(*http.Transport); ok {
		transport := standard.Clone()
		transport.MaxIdleConnsPerHost = 8
		return transport
	}
	return http.DefaultTransport
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Host is the only host that calls go to.
func (c *Client) Host() string { return c.base.Host }

// Request is one call: a GET, or a POST if it has a form.
type Request struct {
	Operation string     // what is asked, for errors: "list users"
	Path      string     // below the URL: escaped, begins with a slash; see Segment
	Query     url.Values // may be nil
	Link      string     // instead of Path and Query: a link that the provider gave, to its own host and path only
	Header    http.Header
	Form      url.Values // sent by POST; its values are taken for secrets
	NotFound  error      // the kind of a 404 in the provider's own words; default source.ErrInvalid
}

// Segment escapes a key for use as one segment of a path.
func Segment(key string) (string, error) {
	if key == "" || key == "." || key == ".." || len(key) > source.MaxKey {
		return "", fmt.Errorf("%w: a key has 1 to %d bytes and is not a dot or two: nothing was sent",
			source.ErrInvalid, source.MaxKey)
	}
	return url.PathEscape(key), nil
}

// Do sends the request and decodes the answer, which must be JSON with the status 200 and have no name twice in an
// object. Names are matched with their case. An error is an *Error.
func (c *Client) Do(ctx context.Context, r Request, into any) (http.Header, error) {
	target, failure := c.target(r)
	if failure != nil {
		return nil, failure
	}
	renewed := false
	for waits := 0; ; {
		header, authorization, failure := c.once(ctx, r, target, into)
		switch {
		case failure == nil:
			return header, nil
		case failure.pause > 0 && waits < c.options.Waits && failure.pause <= c.options.MaxWait:
			if err := c.options.Sleep(ctx, failure.pause<<failure.grows(waits)); err != nil {
				return nil, c.lost(ctx, r, err)
			}
			waits++
		case failure.Status == http.StatusUnauthorized && !renewed && authorization != "" &&
			c.options.Credentials.Refused(authorization):
			renewed = true
		default:
			return nil, failure
		}
	}
}

// target is the URL of a request. A link must stay below the client's own URL.
func (c *Client) target(r Request) (string, *Error) {
	if r.Link == "" {
		target := c.base.String() + r.Path
		if len(r.Query) > 0 {
			target += "?" + r.Query.Encode()
		}
		return target, nil
	}
	link, err := c.base.Parse(r.Link)
	if err != nil || link.User != nil {
		return "", c.fail(r, source.ErrMalformed, "the link to the next page is not a URL; it was not followed")
	}
	if link.Scheme != c.base.Scheme || !strings.EqualFold(hostAndPort(link), hostAndPort(c.base)) {
		return "", c.fail(r, source.ErrMalformed,
			"the link to the next page leads to another host; it was not followed, because the credentials are for "+
				"this one. If that is the provider's name, configure it as the URL")
	}
	clean := path.Clean("/" + link.Path)
	if clean != strings.TrimRight(link.Path, "/") ||
		clean != c.base.Path && !strings.HasPrefix(clean, c.base.Path+"/") {
		return "", c.fail(r, source.ErrMalformed,
			"the link to the next page leads out of the path of the configured URL; it was not followed")
	}
	link.Fragment = ""
	return link.String(), nil
}

func hostAndPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// once sends the request a single time.
func (c *Client) once(caller context.Context, r Request, target string, into any) (http.Header, string, *Error) {
	authorization := ""
	if c.options.Credentials != nil {
		var err error
		if authorization, err = c.options.Credentials.Authorization(caller); err != nil {
			return nil, "", c.unauthorized(caller, r, err)
		}
	}
	ctx, cancel := context.WithTimeout(caller, c.options.Timeout)
	defer cancel()
	request, err := newRequest(ctx, r, target, authorization)
	if err != nil {
		return nil, "", c.fail(r, source.ErrInvalid, "the request could not be built; nothing was sent")
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, "", c.lost(caller, r, withoutURL(err))
	}
	defer response.Body.Close()
	limit := c.options.MaxBytes
	if response.StatusCode != http.StatusOK {
		limit = maxErrorBody
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, limit+1))
	switch {
	case response.StatusCode != http.StatusOK:
		return nil, authorization, c.refused(r, response, body, secretsOf(r, authorization))
	case err != nil:
		return nil, "", c.lost(caller, r, fmt.Errorf("the answer broke off: %w", withoutURL(err)))
	case int64(len(body)) > limit:
		return nil, "", c.fail(r, source.ErrMalformed, fmt.Sprintf(
			"the answer is larger than %d bytes: ask for smaller pages", limit))
	case isHTML(response.Header, body):
		return nil, "", c.fail(r, source.ErrMalformed,
			"a web page came instead of data: see whether the URL is right, and whether a proxy or a login page "+
				"answers")
	}
	if err := json.Unmarshal(body, into); err != nil {
		return nil, "", c.fail(r, source.ErrMalformed, "the answer is not the JSON that was expected: "+
			clean(err.Error(), secretsOf(r, authorization)))
	}
	return response.Header, authorization, nil
}

func newRequest(ctx context.Context, r Request, target, authorization string) (*http.Request, error) {
	method, body := http.MethodGet, io.Reader(nil)
	if r.Form != nil {
		method, body = http.MethodPost, strings.NewReader(r.Form.Encode())
	}
	request, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, err
	}
	for name, values := range r.Header {
		request.Header[name] = values
	}
	request.Header.Set("Accept", "application/json")
	if value := r.Header.Get("Accept"); value != "" {
		request.Header.Set("Accept", value)
	}
	request.Header.Set("User-Agent", "castellan")
	if r.Form != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if authorization != "" {
		request.Header.Set("Authorization", authorization)
	}
	return request, nil
}

// withoutURL drops the address that net/http puts around its errors: its query may hold what is no one's business.
func withoutURL(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

func isHTML(header http.Header, body []byte) bool {
	media, _, _ := mime.ParseMediaType(header.Get("Content-Type"))
	return media == "text/html" || media == "application/xhtml+xml" ||
		strings.HasPrefix(strings.TrimSpace(string(body[:min(len(body), 64)])), "<")
}
