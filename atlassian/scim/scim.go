// Package scim is a client of Atlassian's user provisioning API (SCIM 2.0), as the vendor's OpenAPI file of 2023-08-08
// describes it.
//
// Whoever provisions by this API acts as the identity provider: the groups it creates are read-only everywhere else.
// The directory behind it has its own key and its own user and group IDs, which are not those of the organization's
// directory; User.AtlassianAccountID links the two. One method is one call, without retries.
//
// Castellan writes people's records one attribute at a time. There is no call that replaces a whole record: it would
// clear what another identity provider wrote beside. Likewise it adds and removes members of groups, and never replaces
// all of them.
package scim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/castellan-io/castellan/atlassian/internal/wire"
)

const pkg = "scim"

// Options configure the client of one SCIM directory.
type Options struct {
	// the directory's base URL, https://api.atlassian.com/scim/directory/<id>
	BaseURL string
	// returns the directory's own key, at every call; it is never in logs or errors
	Key       func(context.Context) (string, error)
	HTTP      *http.Client  // default: one of its own. Redirects are never followed
	UserAgent string        // default castellan
	Timeout   time.Duration // of one call, to the end of its response; default 30 s
	// limit of one response's body; default 16 MiB. A group comes with all its members, some 200 bytes each
	MaxBytes int64
	// called after every call, perhaps by several goroutines at once
	Observe func(Call)
}

// The results of a call, shared by all clients of Atlassian's APIs.
type (
	Call  = wire.Call
	Rate  = wire.Rate
	Error = wire.Error
)

// The kinds of failure, for errors.Is.
var (
	ErrUnauthorized   = wire.ErrUnauthorized   // 401
	ErrForbidden      = wire.ErrForbidden      // 403
	ErrNotFound       = wire.ErrNotFound       // 404
	ErrRateLimited    = wire.ErrRateLimited    // 429, which the vendor's file does not mention
	ErrNoKey          = wire.ErrNoKey          // nothing was sent: the caller has no key
	ErrUnavailable    = wire.ErrUnavailable    // 5xx or no answer to a read, a gateway's page, or no connection at all
	ErrOutcomeUnknown = wire.ErrOutcomeUnknown // the write may have been done: read back
	ErrConflict       = wire.ErrConflict       // 409 on anything but a creation
	ErrNameTaken      = wire.ErrNameTaken      // 409 when a user or group was to be created
	ErrInvalid        = wire.ErrInvalid        // 400 and its like, or a request that was refused before it was sent
	ErrMalformed      = wire.ErrMalformed      // a success that is broken, cut off or too large
)

// The schemas of the messages.
const (
	schemaUser       = "urn:ietf:params:scim:schemas:core:2.0:User"
	schemaGroup      = "urn:ietf:params:scim:schemas:core:2.0:Group"
	schemaPatch      = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
	schemaEnterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
)

// MaxPage is the most users or groups on a page.
const MaxPage = 100

// Client calls the API for one SCIM directory. It is safe for use by several goroutines.
type Client struct{ wire *wire.Client }

// Writer is a client that can also write, which a mere Client cannot.
type Writer struct{ *Client }

// NewWriter lets a client write.
func NewWriter(c *Client) Writer { return Writer{c} }

// New checks the options; it calls nothing.
func New(o Options) (*Client, error) {
	client, err := wire.NewClient(wire.Options{
		Package: pkg, BaseURL: o.BaseURL, Media: "application/scim+json", Key: o.Key, HTTP: o.HTTP,
		UserAgent: o.UserAgent, Timeout: o.Timeout, MaxBytes: o.MaxBytes, Observe: o.Observe,
	})
	if err != nil {
		return nil, err
	}
	return &Client{wire: client}, nil
}

// Page is one page of a list.
type Page[T any] struct {
	Items []T
	Total int // of the whole list, according to the API
	Next  int // start index of the next page, counted from 1; 0 at the end
}

// list requests one page of resources.
func list[I, T any](ctx context.Context, c *Client, operation, path, filter string, start, count int,
	convert func(I) (T, error)) (Page[T], error) {
	if start < 0 || count < 0 {
		return Page[T]{}, wire.Invalid(pkg, operation, "a start of %d or a count of %d is out of range", start, count)
	}
	start = max(start, 1)
	if count == 0 {
		count = MaxPage
	}
	page := Page[T]{}
	err := c.wire.Do(ctx, wire.Request{
		Operation: operation, Method: http.MethodGet, Path: path, Query: listQuery(filter, start, count),
		Decode: func(body io.Reader) (err error) {
			page, err = decodeList(body, start, convert)
			return err
		},
	})
	if err != nil {
		return Page[T]{}, err // never part of a page
	}
	return page, nil
}

// decodeList reads a ListResponse resource by resource. A list that does not start where it should, or ends before its
// own total, is an error: it would look shorter than it is.
func decodeList[I, T any](body io.Reader, start int, convert func(I) (T, error)) (Page[T], error) {
	page := Page[T]{Total: -1}
	answered := start
	err := wire.DecodeObject(body, func(name string, d *json.Decoder) error {
		switch strings.ToLower(name) {
		case "totalresults":
			return d.Decode(&page.Total)
		case "startindex":
			return d.Decode(&answered)
		case "resources":
			return wire.EachItem(d, func(item I) error {
				converted, err := convert(item)
				page.Items = append(page.Items, converted)
				return err
			})
		}
		var ignored json.RawMessage
		return d.Decode(&ignored)
	})
	next := start + len(page.Items)
	switch {
	case err != nil:
		return page, err
	case page.Total < 0:
		return page, errors.New("a list without its totalResults")
	case answered != start && len(page.Items) > 0:
		return page, fmt.Errorf("a list that starts at %d, asked for from %d", answered, start)
	case next <= page.Total && len(page.Items) == 0:
		return page, fmt.Errorf("an empty page at %d of a list of %d", start, page.Total)
	case next <= page.Total:
		page.Next = next
	}
	return page, nil
}

// exchange sends an optional body and reads one resource.
func exchange[I, T any](ctx context.Context, c *Client, r wire.Request, convert func(I) (T, error)) (T, error) {
	var result, none T
	r.Decode = func(body io.Reader) error {
		var item I
		d := json.NewDecoder(body)
		if err := d.Decode(&item); err != nil {
			return err
		}
		var err error
		result, err = convert(item)
		return err
	}
	if err := c.wire.Do(ctx, r); err != nil {
		return none, err
	}
	return result, nil
}

// resourcePath returns the path of one user or group.
func resourcePath(operation, kind, id string) (string, error) {
	if !wire.Segment(id) {
		return "", wire.Invalid(pkg, operation, "%q cannot be a SCIM id", id)
	}
	return wire.Path(kind, id), nil
}

var errNoID = errors.New("a resource has no id")
