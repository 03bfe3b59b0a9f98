// Package google reads people and groups from Google Workspace or Cloud Identity by the Directory API, as a service
// account that acts for an administrator (domain-wide delegation). It needs the scopes admin.directory.user.readonly
// and admin.directory.group.readonly.
package google

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/castellan-io/castellan/source"
	"github.com/castellan-io/castellan/source/internal/globs"
	"github.com/castellan-io/castellan/source/internal/reading"
	"github.com/castellan-io/castellan/source/internal/rest"
)

// Options say which account to read, and as whom.
type Options struct {
	// Key returns the service account's key, the JSON file that Google gives. What it says of addresses is not
	// followed.
	Key      func(context.Context) (string, error)
	Subject  string // e-mail address of the administrator for whom the service account acts
	Customer string // id of the Google account; default my_customer, which is the subject's

	URL      string // of the API; default DefaultURL
	TokenURL string // of the token endpoint; default DefaultTokenURL

	Query    string   // over users, in Google's language, for example orgUnitPath='/Staff'; empty: everybody
	Groups   []string // globs over the e-mail addresses of the groups to read; none: every group
	Nested   bool     // members of groups in a group count as its members
	PageSize int      // people on a page; default 500, which is Google's most
	InFlight int      // groups whose members are read at once; default 4, at most 16

	HTTP      *http.Client                               // nil: a client of its own
	Timeout   time.Duration                              // of one call; default 30 s
	PlainHTTP bool                                       // allows http to other hosts than loopback
	Sleep     func(context.Context, time.Duration) error // for the pauses of rate limits, in tests
}

// The vendor's addresses.
const (
	DefaultURL      = "https://admin.googleapis.com"
	DefaultTokenURL = "https://oauth2.googleapis.com/token"
)

const (
	mostPeople = 500
	mostOthers = 200 // groups or members on a page
	scopes     = "https://www.googleapis.com/auth/admin.directory.user.readonly " +
		"https://www.googleapis.com/auth/admin.directory.group.readonly"
)

// Reader reads one account.
type Reader struct {
	options Options
	names   globs.Globs
	client  *rest.Client
}

var _ source.Source = (*Reader)(nil)

// New checks the options; it calls nobody.
func New(o Options) (*Reader, error) {
	if o.Key == nil || !strings.Contains(o.Subject, "@") {
		return nil, fmt.Errorf("google: %w: give the service account's key, and the e-mail address of the "+
			"administrator for whom it acts", source.ErrInvalid)
	}
	if err := rest.CheckSizes("google", &o.PageSize, mostPeople, &o.InFlight); err != nil {
		return nil, err
	}
	for field, value := range map[*string]string{&o.Customer: "my_customer", &o.URL: DefaultURL,
		&o.TokenURL: DefaultTokenURL} {
		if *field == "" {
			*field = value
		}
	}
	names, err := globs.Compile(o.Groups)
	if err != nil {
		return nil, err
	}
	r := &Reader{options: o, names: names}
	base := rest.Options{Name: "google", URL: o.TokenURL, PlainHTTP: o.PlainHTTP, HTTP: o.HTTP, Timeout: o.Timeout,
		Sleep: o.Sleep,
		Unauthorized: "see whether the service account and its key still exist, and whether the subject is an " +
			"administrator who is not suspended",
		Forbidden: "allow the service account the scopes admin.directory.user.readonly and " +
			"admin.directory.group.readonly under Domain-wide delegation, and give the subject a role that reads " +
			"users and groups; the Admin SDK API must be on"}
	if base.Credentials, err = rest.NewTokens(base, r.form); err != nil {
		return nil, err
	}
	base.URL, base.Explain = strings.TrimRight(o.URL, "/")+"/admin/directory/v1", explain
	r.client, err = rest.New(base)
	return r, err
}

// form is what the token endpoint is asked with: an assertion that the service account acts for the subject.
func (r *Reader) form(ctx context.Context) (url.Values, error) {
	text, err := rest.ReadSecret(ctx, r.options.Key)
	if err != nil {
		return nil, err
	}
	var account struct {
		Type  string `json:"type"`
		Email string `json:"client_email"`
		ID    string `json:"private_key_id"`
		Key   string `json:"private_key"`
	}
	if json.Unmarshal([]byte(text), &account) != nil || account.Type != "service_account" || account.Email == "" {
		return nil, fmt.Errorf("%w: the key is not the JSON file of a service account", source.ErrInvalid)
	}
	key, err := rest.ParseKey(account.Key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", source.ErrInvalid, err)
	}
	now := time.Now()
	assertion, err := rest.SignJWT(key, map[string]string{"kid": account.ID}, map[string]any{"iss": account.Email,
		"sub": r.options.Subject, "scope": scopes, "aud": r.options.TokenURL, "iat": now.Unix(),
		"exp": now.Add(30 * time.Minute).Unix()})
	return url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {assertion}}, err
}

// explain reads Google's errors. Rate limits come as 403 as well.
func explain(status int, body []byte) (string, error) {
	var answer struct {
		Error struct {
			Message string `json:"message"`
			Errors  []struct {
				Reason string `json:"reason"`
			} `json:"errors"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &answer) != nil || len(answer.Error.Errors) == 0 {
		return "", nil
	}
	reason := answer.Error.Errors[0].Reason
	text := reason + " " + answer.Error.Message
	switch {
	case status == http.StatusForbidden && (reason == "rateLimitExceeded" || reason == "userRateLimitExceeded" ||
		reason == "quotaExceeded" || reason == "dailyLimitExceeded"):
		return text, source.ErrRateLimited
	case status == http.StatusNotFound && reason != "notFound":
		return text, source.ErrInvalid
	}
	return text, nil
}

// identity takes a user's attributes. An archived account is closed like a suspended one. What differs between reads,
// is for recovering the account, or could hold a secret is left out.
func identity(user reading.Attributes) (source.Identity, error) {
	id, _ := user["id"].(string)
	suspended, says := user["suspended"].(bool)
	archived, _ := user["archived"].(bool)
	if !says {
		return source.Identity{}, fmt.Errorf("google: %w: Google does not show whether the account %.100q is "+
			"suspended: see "+
			"whether the subject is an administrator who may read users", source.ErrForbidden, id)
	}
	enabled := !suspended && !archived
	attributes := map[string]any{}
	for name, value := range user {
		if !slices.Contains(leftOut, name) {
			attributes[name] = value
		}
	}
	return source.Identity{Key: id, Enabled: &enabled, Attributes: attributes}, nil
}

var leftOut = []string{"id", "kind", "etag", "password", "hashFunction", "lastLoginTime", "thumbnailPhotoUrl",
	"thumbnailPhotoEtag", "recoveryEmail", "recoveryPhone", "sshPublicKeys", "posixAccounts"}

// Lookup asks for one person. Google answers 412 for somebody who was deleted, but for others as well; then the list of
// the deleted ones decides.
func (r *Reader) Lookup(ctx context.Context, key string) (source.Identity, error) {
	segment, err := rest.Segment(key)
	if err != nil {
		return source.Identity{}, fmt.Errorf("google: %w", err)
	}
	var user reading.Attributes
	_, err = r.client.Do(ctx, rest.Request{Operation: "look up a user", Path: "/users/" + segment,
		Query: url.Values{"projection": {"full"}}, NotFound: source.ErrGone}, &user)
	if failed := (*rest.Error)(nil); errors.As(err, &failed) && failed.Status == http.StatusPreconditionFailed {
		return source.Identity{}, r.deleted(ctx, key, failed)
	}
	if err != nil {
		return source.Identity{}, err
	}
	p, err := identity(user)
	if err != nil {
		return source.Identity{}, err
	}
	return reading.AskedFor(key, p)
}

// deleted returns ErrGone if the key is among the deleted users of the last 20 days, and otherwise that it is unknown.
func (r *Reader) deleted(ctx context.Context, key string, refusal error) error {
	found := ""
	_, err := list(ctx, r, rest.Request{Operation: "list deleted users", Path: "/users", Query: url.Values{
		"customer": {r.options.Customer}, "showDeleted": {"true"}}}, "users", mostPeople,
		func(user reading.Attributes) error {
			if id, _ := user["id"].(string); id == key {
				if found, _ = user["deletionTime"].(string); found == "" {
					return fmt.Errorf("google: %w: a deleted user has no time of deletion", source.ErrMalformed)
				}
			}
			return nil
		})
	switch {
	case err != nil:
		return err
	case found != "":
		return fmt.Errorf("google: %w: it was deleted at %.40q", source.ErrGone, found)
	}
	return fmt.Errorf("google: %w: neither a user nor among the deleted ones, whatever it is: %w",
		source.ErrUnavailable, refusal)
}
