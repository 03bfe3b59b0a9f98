// Package organization is a client of Atlassian's Organizations REST API (api.atlassian.com/admin, v1 and v2), as the
// vendor's OpenAPI file of 2026-08-21 describes it.
//
// One method is one call without retries or waiting, which are up to the caller. Every response is returned as a value
// or as an *Error of a known kind. The organization's API key must have been created without scopes: the searches and
// writes have none.
package organization

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/castellan-io/castellan/atlassian/internal/wire"
)

const pkg = "organization"

// AllDirectories, in place of a directory's ID, means every directory that the key may manage. It is for reads only.
const AllDirectories = "-"

// MaxPage is the greatest number of users or groups on a page.
const MaxPage = 100

// Options configure the client.
type Options struct {
	BaseURL string // default https://api.atlassian.com/admin
	OrgID   string // the organization's id
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

// Page is one page of a list. Next is the bare cursor of the page after it, and "" at the end.
type Page[T any] = wire.Page[T]

// The kinds of failure, for errors.Is. ErrOutcomeUnknown comes from writes only: a timeout, a broken connection, a 5xx
// or an unreadable response.
var (
	ErrUnauthorized   = wire.ErrUnauthorized   // 401
	ErrForbidden      = wire.ErrForbidden      // 403: a right or a scope is missing, or the group is synced
	ErrNotFound       = wire.ErrNotFound       // 404
	ErrRateLimited    = wire.ErrRateLimited    // 429: see Error.RetryAfter
	ErrNoKey          = wire.ErrNoKey          // nothing was sent: the caller has no key
	ErrUnavailable    = wire.ErrUnavailable    // 5xx or no answer to a read, a gateway's page, or no connection at all
	ErrOutcomeUnknown = wire.ErrOutcomeUnknown // the write may have been done: read back
	ErrAlreadyMember  = wire.ErrAlreadyMember  // 409 with the word already
	ErrLicenceLimit   = wire.ErrLicenceLimit   // 409 for want of a licence, or 402
	ErrConflict       = wire.ErrConflict       // 409 that does not say which: read back
	ErrNameTaken      = wire.ErrNameTaken      // 409 when a group was to be created
	ErrInvalid        = wire.ErrInvalid        // 400 and its like, or a request that was refused before it was sent
	ErrMalformed      = wire.ErrMalformed      // a success that is broken, cut off, too large, or repeats its cursor
)

// Client calls the API for one organization. It is safe for use by several goroutines.
type Client struct {
	wire *wire.Client
	org  string
}

// Writer is a client that can also write, which a mere Client cannot.
type Writer struct{ *Client }

// NewWriter lets a client write.
func NewWriter(c *Client) Writer { return Writer{c} }

// New checks the options; it calls nothing.
func New(o Options) (*Client, error) {
	if !wire.Segment(o.OrgID) {
		return nil, errors.New("organization: the organization's id is missing or cannot be one; it stands in the address of admin.atlassian.com")
	}
	if o.BaseURL == "" {
		o.BaseURL = "https://api.atlassian.com/admin"
	}
	client, err := wire.NewClient(wire.Options{
		Package: pkg, BaseURL: o.BaseURL, Media: "application/json", Key: o.Key, HTTP: o.HTTP,
		UserAgent: o.UserAgent, Timeout: o.Timeout, MaxBytes: o.MaxBytes, Observe: o.Observe,
	})
	if err != nil {
		return nil, err
	}
	return &Client{wire: client, org: o.OrgID}, nil
}

// id is a part of a path, with its name for errors.
type id struct{ name, value string }

// path builds a path from segments and ids, and refuses an id that cannot be one.
func path(operation string, parts ...any) (string, error) {
	segments := make([]string, 0, len(parts))
	for _, part := range parts {
		switch p := part.(type) {
		case string:
			segments = append(segments, p)
		case id:
			if !wire.Segment(p.value) {
				return "", wire.Invalid(pkg, operation, "%q cannot be the %s", p.value, p.name)
			}
			segments = append(segments, p.value)
		}
	}
	return wire.Path(segments...), nil
}

// directoryPath is a path below a directory. A write needs a real one: "-" is documented for reads only.
func (c *Client) directoryPath(operation, directory string, write bool, parts ...any) (string, error) {
	if write && directory == AllDirectories {
		return "", wire.Invalid(pkg, operation, `a write needs a directory's id, not "-"`)
	}
	return path(operation, append([]any{"v2", "orgs", c.org, "directories", id{"directory's id", directory}},
		parts...)...)
}

// BareID removes an identity ARI around an ID: ari:cloud:identity::group/<id> becomes <id>. Anything else is returned
// as it is. The API returns group IDs in both forms.
func BareID(s string) string {
	if !strings.HasPrefix(s, "ari:cloud:identity:") {
		return s
	}
	_, bare, found := strings.Cut(s, "/")
	if !found || bare == "" {
		return s
	}
	return strings.Clone(bare)
}
