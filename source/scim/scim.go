package scim

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/castellan-io/castellan/source"
	"github.com/castellan-io/castellan/source/internal/reading"
	"github.com/castellan-io/castellan/source/internal/rest"
)

// The defaults of Options.
const (
	DefaultPageSize = 100
	DefaultInFlight = 4
)

const maxPageSize = 1000

// Options say which service is read, and by whom.
type Options struct {
	// URL is where Users and Groups are: https, with or without the version at its end ("/v2"), which is looked for.
	URL string
	// Secret is asked for before each call and sent to the URL's host only: as the password of User, if that is given,
	// otherwise as a bearer token.
	Secret func(context.Context) (string, error)
	User   string

	// Filter limits the people who are read, in SCIM's language: userType eq "Employee". Empty: everybody. GroupFilter
	// limits the groups.
	Filter, GroupFilter string
	// NoGroups: groups are not read, for services that have none.
	NoGroups bool
	// Nested: members of groups in a group count as its own. Otherwise groups in groups are left out.
	Nested bool

	// PageSize is how many to ask for at once, 1 to 1000; default DefaultPageSize. Services may send fewer.
	PageSize int
	// InFlight is how many groups are asked for at once, 1 to 16; default DefaultInFlight.
	InFlight int
	// Timeout bounds one call; default that of package rest.
	Timeout time.Duration
	// HTTP is for a CA of one's own, a proxy or tests; nil: a client of the standard library.
	HTTP *http.Client
	// Sleep waits when the service asks for it; nil: until the time is over or the context ends.
	Sleep func(context.Context, time.Duration) error
}

// Reader is a source that speaks SCIM. It is safe for use by several goroutines.
type Reader struct {
	options Options
	client  *rest.Client
	as      string

	mu      sync.Mutex
	version string // what stands between the URL and /Users
	found   bool   // whether that is known
}

var _ source.Source = (*Reader)(nil)

// New checks the options. It calls nobody.
func New(o Options) (*Reader, error) {
	if o.PageSize == 0 {
		o.PageSize = DefaultPageSize
	}
	if o.InFlight == 0 {
		o.InFlight = DefaultInFlight
	}
	var wrong string
	switch {
	case o.Secret == nil:
		wrong = "there is no secret"
	case strings.Contains(o.User, ":"):
		wrong = "a user's name has no colon"
	case o.PageSize < 1 || o.PageSize > maxPageSize:
		wrong = fmt.Sprintf("a page has 1 to %d people", maxPageSize)
	case o.InFlight < 1 || o.InFlight > rest.MostInFlight:
		wrong = fmt.Sprintf("1 to %d groups are asked for at once", rest.MostInFlight)
	case o.NoGroups && (o.GroupFilter != "" || o.Nested):
		wrong = "groups are either read or not"
	}
	if wrong != "" {
		return nil, fmt.Errorf("scim: %w: %s", source.ErrInvalid, wrong)
	}
	client, err := rest.New(rest.Options{Name: "scim", URL: o.URL, HTTP: o.HTTP, Timeout: o.Timeout, Sleep: o.Sleep,
		Credentials: credentials(o), Explain: explain,
		Unauthorized: "give a new secret", Forbidden: "let this account read Users and Groups"})
	if err != nil {
		return nil, err
	}
	r := &Reader{options: o, client: client, as: reading.As("scim", strings.TrimRight(o.URL, "/"), o.User, o.Filter,
		o.GroupFilter, strconv.FormatBool(o.NoGroups), strconv.FormatBool(o.Nested))}
	if at := strings.ToLower(strings.TrimRight(o.URL, "/")); strings.HasSuffix(at, "/v2") {
		r.found = true
	}
	return r, nil
}

func credentials(o Options) rest.Credentials {
	if o.User == "" {
		return rest.Secret("Bearer", o.Secret)
	}
	return rest.Secret("Basic", func(ctx context.Context) (string, error) {
		password, err := rest.ReadSecret(ctx, o.Secret)
		if err != nil {
			return "", err
		}
		return base64.StdEncoding.EncodeToString([]byte(o.User + ":" + password)), nil
	})
}

// explain reads an error of SCIM 2.0 or 1.1.
func explain(_ int, body []byte) (text string, kind error) {
	answer, err := decode(body)
	if err != nil {
		return "", nil
	}
	if list, is := answer["errors"].([]any); is && len(list) > 0 {
		if first, is := list[0].(map[string]any); is {
			answer = folded(first)
		}
	}
	words := []string{}
	for _, name := range []string{"scimtype", "detail", "description", "message"} {
		if text, is := answer[name].(string); is && text != "" {
			words = append(words, text)
		}
	}
	if len(words) == 0 && strings.Contains(strings.ToLower(fmt.Sprint(answer["schemas"])), "messages:2.0:error") {
		words = append(words, "the service gives no reason")
	}
	return strings.Join(words, ": "), nil
}

// Read shows everybody, then the groups.
func (r *Reader) Read(ctx context.Context, page func(source.Page) error) (source.Proof, error) {
	if err := r.findVersion(ctx); err != nil {
		return source.Proof{}, err
	}
	shown := reading.New(page)
	direct := memberships{}
	declared, err := r.people(ctx, shown, direct)
	if err != nil {
		return source.Proof{}, err
	}
	if shown.People() == 0 {
		return source.Proof{}, rest.Nobody("scim", "the account may see everybody")
	}
	if !r.options.NoGroups {
		if err = r.groups(ctx, shown, direct); err != nil {
			return source.Proof{}, err
		}
	}
	return shown.Finish(r.as, "", declared)
}

// unsteady is what a list shows of itself if it changes while it is read, and always if its paging is broken. The list
// is read once more.
type unsteady struct{ what string }

func (u *unsteady) Error() string { return u.what }

func unsteadyf(format string, args ...any) error { return &unsteady{fmt.Sprintf(format, args...)} }

// twice calls read a second time if the list was unsteady.
func twice(what string, read func() error) error {
	err := read()
	var u *unsteady
	if errors.As(err, &u) {
		err = read()
	}
	if errors.As(err, &u) {
		return fmt.Errorf("scim: list %s: %w: %s. It was read twice. If it happens every time, the service's paging "+
			"is broken", what, source.ErrIncomplete, u.what)
	}
	return err
}

// people shows everybody. Who was shown before the list had to be read again is not shown again, but must be in it.
func (r *Reader) people(ctx context.Context, shown *reading.Reading, direct memberships) (declared *int, err error) {
	err = twice("users", func() error {
		seen := map[string]struct{}{}
		clear(direct)
		declared, err = r.list(ctx, "users", "/Users", r.options.Filter, func(resource map[string]any) error {
			p, groups, err := person(resource)
			if err != nil {
				return err
			}
			if _, again := seen[p.Key]; again {
				return unsteadyf("%.100q was shown twice, so that others may be missing", p.Key)
			}
			seen[p.Key] = struct{}{}
			direct.add(groups)
			if shown.Seen(p.Key) {
				return nil
			}
			return shown.Person(p)
		})
		if err == nil && len(seen) != shown.People() {
			return unsteadyf("%d people disappeared while it was read", shown.People()-len(seen))
		}
		return err
	})
	return declared, err
}

// Lookup asks for one person. A 404 says nothing if the service does not find somebody it lists either.
func (r *Reader) Lookup(ctx context.Context, key string) (source.Identity, error) {
	if err := r.findVersion(ctx); err != nil {
		return source.Identity{}, err
	}
	found, err := r.get(ctx, key)
	var failure *rest.Error
	if !errors.As(err, &failure) || failure.Status != http.StatusNotFound {
		return found, err
	}
	lookup := func(kind error, detail string) error {
		return fmt.Errorf("scim: look up %.100q: %w%s", key, kind, detail)
	}
	request := r.request("see whether look-ups work", "/Users")
	request.Query = url.Values{"count": {"1"}}
	somebody, err := r.page(ctx, request)
	if err != nil {
		return source.Identity{}, err
	}
	if len(somebody.resources) == 0 {
		return source.Identity{}, lookup(source.ErrIncomplete, ": the service finds nobody, and lists nobody either")
	}
	other, _, err := person(somebody.resources[0])
	if err != nil {
		return source.Identity{}, err
	}
	if other.Key == key {
		return source.Identity{}, lookup(source.ErrMalformed, ": the service lists this person and does not find them")
	}
	if _, err = r.get(ctx, other.Key); err != nil {
		return source.Identity{}, fmt.Errorf("%w: %w",
			lookup(source.ErrMalformed, ": nor is a person found whom the service lists"), err)
	}
	return source.Identity{}, lookup(source.ErrGone, "")
}

func (r *Reader) get(ctx context.Context, key string) (source.Identity, error) {
	segment, err := rest.Segment(key)
	if err != nil {
		return source.Identity{}, err
	}
	var answer reading.Attributes
	if _, err = r.client.Do(ctx, r.request("look up a user", "/Users/"+segment), &answer); err != nil {
		return source.Identity{}, err
	}
	p, _, err := person(answer)
	if err != nil {
		return source.Identity{}, err
	}
	return reading.AskedFor(key, p)
}

// findVersion finds out, once, whether the version stands in the URL.
func (r *Reader) findVersion(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.found {
		return nil
	}
	var first error
	for _, version := range []string{"", "/v2"} {
		r.version = version
		request := r.request("look for Users", "/Users")
		request.Query = url.Values{"count": {"1"}}
		_, err := r.page(ctx, request)
		if err == nil {
			r.found = true
			return nil
		}
		var failure *rest.Error
		if first == nil {
			first = err
		}
		if errors.As(err, &failure) && failure.Status != http.StatusNotFound && !errors.Is(err, source.ErrMalformed) {
			return err
		}
	}
	return first
}

// header asks for SCIM's media type, or that of services which do not know it.
var header = http.Header{"Accept": {"application/scim+json, application/json;q=0.9"}}

func (r *Reader) request(operation, path string) rest.Request {
	return rest.Request{Operation: operation, Path: r.version + path, Header: header}
}
