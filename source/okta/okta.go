// Package okta reads people and groups from Okta by its management API, as a service app (OAuth 2.0, private key) or
// with an API token. It needs the scopes okta.users.read and okta.groups.read, or an administrator who may see
// everybody and every group: to a narrower one, Okta shows fewer without a word.
package okta

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"github.com/castellan-io/castellan/source"
	"github.com/castellan-io/castellan/source/internal/globs"
	"github.com/castellan-io/castellan/source/internal/reading"
	"github.com/castellan-io/castellan/source/internal/rest"
)

// Options say which organization to read, and as whom.
type Options struct {
	URL string // of the organization, without a path: https://acme.okta.com

	// Token returns the API token. It acts with the rights of the administrator who made it. Either this or what
	// follows.
	Token func(context.Context) (string, error)
	// ClientID, KeyID and Key are the service app's: its id, the id of its public key at Okta (may be empty if it has
	// only one), and the RSA private key as PEM. The app must not require DPoP.
	ClientID, KeyID string
	Key             func(context.Context) (string, error)

	Groups   []string // globs over the names of the groups to read; none: every group
	Events   bool     // the credentials may read the system log (okta.logs.read): the source then is a source.Watcher
	PageSize int      // people on a page; default 200, which is Okta's most
	InFlight int      // groups whose members are read at once; default 4, at most 16

	HTTP      *http.Client                               // nil: a client of its own
	Timeout   time.Duration                              // of one call; default 30 s
	PlainHTTP bool                                       // allows http to other hosts than loopback
	Sleep     func(context.Context, time.Duration) error // for the pauses of rate limits, in tests
}

const (
	mostPeople  = 200
	membersPage = 1000
	groupsPage  = 1000
	logPage     = 1000
)

// Reader reads one organization.
type Reader struct {
	options Options
	names   globs.Globs
	client  *rest.Client
}

// watcher is a Reader that may read the system log.
type watcher struct{ *Reader }

var _ source.Watcher = watcher{}

// New checks the options; it calls nobody.
func New(o Options) (source.Source, error) {
	if (o.Token == nil) == (o.Key == nil) || (o.Key == nil) != (o.ClientID == "") {
		return nil, fmt.Errorf("okta: %w: give either an API token, or a client id with its private key",
			source.ErrInvalid)
	}
	if err := rest.CheckSizes("okta", &o.PageSize, mostPeople, &o.InFlight); err != nil {
		return nil, err
	}
	names, err := globs.Compile(o.Groups)
	if err != nil {
		return nil, err
	}
	r := &Reader{options: o, names: names}
	base := rest.Options{Name: "okta", URL: o.URL, PlainHTTP: o.PlainHTTP, HTTP: o.HTTP, Timeout: o.Timeout,
		Sleep:        o.Sleep,
		Unauthorized: "make a new API token, or see whether the service app is active and its key and URL are right",
		Forbidden: "grant the service app okta.users.read and okta.groups.read, with a role that sees everybody; a " +
			"token needs an administrator who does"}
	if base.Credentials, err = r.credentials(base); err != nil {
		return nil, err
	}
	base.Explain = explain
	if r.client, err = rest.New(base); err != nil {
		return nil, err
	}
	if o.Events {
		return watcher{r}, nil
	}
	return r, nil
}

func (r *Reader) credentials(base rest.Options) (rest.Credentials, error) {
	if r.options.Token != nil {
		return rest.Secret("SSWS", r.options.Token), nil
	}
	base.URL = strings.TrimRight(base.URL, "/") + "/oauth2/v1/token"
	scope := "okta.users.read okta.groups.read"
	if r.options.Events {
		scope += " okta.logs.read"
	}
	return rest.NewTokens(base, func(ctx context.Context) (url.Values, error) {
		text, err := rest.ReadSecret(ctx, r.options.Key)
		if err != nil {
			return nil, err
		}
		key, err := rest.ParseKey(text)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", source.ErrInvalid, err)
		}
		header := map[string]string{}
		if r.options.KeyID != "" {
			header["kid"] = r.options.KeyID
		}
		now := time.Now()
		assertion, err := rest.SignJWT(key, header, map[string]any{"iss": r.options.ClientID, "sub": r.options.ClientID,
			"aud": base.URL, "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(), "jti": uuid.NewString()})
		return url.Values{"grant_type": {"client_credentials"}, "scope": {scope},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
			"client_assertion":      {assertion}}, err
	})
}

// explain reads Okta's errors. Only E0000007 says that there is no such thing.
func explain(status int, body []byte) (string, error) {
	var answer struct {
		Code    string `json:"errorCode"`
		Summary string `json:"errorSummary"`
	}
	if json.Unmarshal(body, &answer) != nil || answer.Code == "" {
		return "", nil
	}
	text := answer.Code + " " + answer.Summary
	if status == http.StatusNotFound && answer.Code != "E0000007" {
		return text, source.ErrInvalid
	}
	return text, nil
}

// user is a person as Okta shows them. Their credentials are not looked at.
type user struct {
	ID      string             `json:"id"`
	Status  string             `json:"status"`
	Profile reading.Attributes `json:"profile"`
}

// enabled maps the status of an account. A lock after wrong passwords is temporary, and anybody could bring it about;
// who has yet to set a password, or a new one, may. Who is staged is not activated yet.
var enabled = map[string]bool{
	"ACTIVE": true, "PROVISIONED": true, "RECOVERY": true, "PASSWORD_EXPIRED": true, "LOCKED_OUT": true,
	"STAGED": false, "SUSPENDED": false, "DEPROVISIONED": false,
}

// identity takes the profile's attributes, and the account's status as "status". A profile's own attribute of that name
// is "profile.status". Times of logins and changes are left out: they differ between reads.
func (u user) identity() (source.Identity, error) {
	if u.Status == "" {
		return source.Identity{}, fmt.Errorf("okta: %w: %.100q has no status", source.ErrMalformed, u.ID)
	}
	attributes := maps.Clone(map[string]any(u.Profile))
	if attributes == nil {
		attributes = map[string]any{}
	}
	if own, is := attributes["status"]; is {
		attributes["profile.status"] = own
	}
	attributes["status"] = u.Status
	p := source.Identity{Key: u.ID, Attributes: attributes}
	if is, known := enabled[u.Status]; known {
		p.Enabled = &is
	}
	return p, nil
}

// Lookup asks for one person.
func (r *Reader) Lookup(ctx context.Context, key string) (source.Identity, error) {
	segment, err := rest.Segment(key)
	if err != nil {
		return source.Identity{}, fmt.Errorf("okta: %w", err)
	}
	var u user
	_, err = r.client.Do(ctx, rest.Request{Operation: "look up a user", Path: "/api/v1/users/" + segment,
		NotFound: source.ErrGone}, &u)
	if err != nil {
		return source.Identity{}, err
	}
	p, err := u.identity()
	if err != nil {
		return source.Identity{}, err
	}
	return reading.AskedFor(key, p)
}
