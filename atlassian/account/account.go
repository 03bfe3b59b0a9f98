// Package account is a client of Atlassian's user management API (api.atlassian.com/users/<id>/manage), as the vendor's
// OpenAPI file of 2026-06-11 describes it.
//
// It reaches managed accounts only: those at a domain that the organization has claimed, in its directory or not. The
// key is the organization's API key, which must have been created without scopes: one with scopes is refused by every
// call. One method is one call, without retries.
package account

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/castellan-io/castellan/atlassian/internal/wire"
)

const pkg = "account"

// Options configure the client.
type Options struct {
	BaseURL string // default https://api.atlassian.com
	// returns the organization's API key, at every call, so that a new one is picked up; it is never in logs or errors
	Key       func(context.Context) (string, error)
	HTTP      *http.Client  // default: one of its own. Redirects are never followed
	UserAgent string        // default castellan
	Timeout   time.Duration // of one call, to the end of its response; default 30 s
	MaxBytes  int64         // limit of one response's body; default 16 MiB
	// called after every call, perhaps by several goroutines at once
	Observe func(Call)
}

// The results of a call, shared by all clients of Atlassian's APIs.
type (
	Call  = wire.Call
	Rate  = wire.Rate
	Error = wire.Error
)

// The kinds of failure, for errors.Is. ErrOutcomeUnknown comes from writes only.
var (
	ErrUnauthorized   = wire.ErrUnauthorized   // 401
	ErrForbidden      = wire.ErrForbidden      // 403: a right is missing, or the key has scopes
	ErrNotFound       = wire.ErrNotFound       // 404: Atlassian knows no such account, or no such token
	ErrRateLimited    = wire.ErrRateLimited    // 429: see Error.RetryAfter
	ErrNoKey          = wire.ErrNoKey          // nothing was sent: the caller has no key
	ErrUnavailable    = wire.ErrUnavailable    // 5xx or no answer to a read, a gateway's page, or no connection at all
	ErrOutcomeUnknown = wire.ErrOutcomeUnknown // the write may have been done: read back
	ErrConflict       = wire.ErrConflict       // 409: the account is not eligible for the change
	ErrAlready        = wire.ErrAlreadyMember  // 409 with the word already
	ErrInvalid        = wire.ErrInvalid        // 400, or a request that was refused before it was sent
	ErrMalformed      = wire.ErrMalformed      // a success that is broken, cut off or too large
)

// refusal is a 403 that says more than ErrForbidden, which it is too.
type refusal string

func (r refusal) Error() string { return string(r) }

func (refusal) Is(target error) bool { return target == ErrForbidden }

// The refusals.
const (
	// Beware: with the key of another organization, no account is managed.
	ErrNotManaged refusal = "the organization does not manage the account: it has not claimed its domain"
	// Error.Reason says what kind of provider it is
	ErrLocked    refusal = "an identity provider owns it: change it there, or in its SCIM directory"
	ErrUnclaimed refusal = "the organization has not claimed the domain of the new address"
)

// Client calls the API. It is safe for use by several goroutines.
type Client struct{ wire *wire.Client }

// Writer is a client that can also write, which a mere Client cannot.
type Writer struct{ *Client }

// NewWriter lets a client write.
func NewWriter(c *Client) Writer { return Writer{c} }

// New checks the options; it calls nothing.
func New(o Options) (*Client, error) {
	if o.BaseURL == "" {
		o.BaseURL = "https://api.atlassian.com"
	}
	client, err := wire.NewClient(wire.Options{
		Package: pkg, BaseURL: o.BaseURL, Media: "application/json", Key: o.Key, HTTP: o.HTTP,
		UserAgent: o.UserAgent, Timeout: o.Timeout, MaxBytes: o.MaxBytes, Observe: o.Observe,
	})
	if err != nil {
		return nil, err
	}
	return &Client{wire: client}, nil
}

// call is one call that concerns an account.
type call struct {
	operation, method string
	account           string
	parts             []string // of the path below manage
	body              any
	write             bool
	decode            func(io.Reader) error
}

func (c *Client) do(ctx context.Context, r call) error {
	for _, id := range append([]string{r.account}, r.parts...) {
		if !wire.Segment(id) {
			return wire.Invalid(pkg, r.operation, "%q cannot be an id", id)
		}
	}
	return refused(c.wire.Do(ctx, wire.Request{
		Operation: r.operation, Method: r.method, Path: wire.Path(append([]string{"users", r.account, "manage"},
			r.parts...)...), Body: r.body, Write: r.write, Decode: r.decode,
	}))
}

// refused gives a 403 the kind that its key tells.
func refused(err error) error {
	var failure *Error
	if !errors.As(err, &failure) || failure.Status != http.StatusForbidden {
		return err
	}
	switch {
	case failure.Code == "forbidden", failure.Code == "forbidden.targetUnverified":
		failure.Kind = ErrNotManaged
	case failure.Code == "forbidden.unclaimedDomain":
		failure.Kind = ErrUnclaimed
	case strings.HasPrefix(failure.Reason, "externalDirectory."):
		failure.Kind = ErrLocked
	}
	return err
}
