// Package keycloak reads people and groups of one realm from Keycloak by its admin REST API, as a client with a service
// account. It needs the roles view-users and query-groups of realm-management: with query-users alone, Keycloak
// shows fewer people without a word. It was made for Keycloak 24 and later; older ones nest groups in one answer, which
// is read as well.
package keycloak

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

// Options say which realm to read, and as which client.
type Options struct {
	URL      string // of the server, with its path if it has one: https://sso.acme.example
	Realm    string
	ClientID string
	// ClientRealm is where the client is; default Realm.
	ClientRealm string
	Secret      func(context.Context) (string, error) // the client's

	Groups   []string // globs over the paths of the groups to read, such as staff/dev; none: every group
	Nested   bool     // members of the groups below a group count as its members
	PageSize int      // people on a page; default 1000, which is the most; at least 2
	InFlight int      // groups whose members are read at once; default 4, at most 16

	HTTP      *http.Client                               // nil: a client of its own
	Timeout   time.Duration                              // of one call; default 30 s
	PlainHTTP bool                                       // allows http to other hosts than loopback
	Sleep     func(context.Context, time.Duration) error // for the pauses of rate limits, in tests
}

const mostPeople = 1000

// Reader reads one realm.
type Reader struct {
	options Options
	names   globs.Globs
	client  *rest.Client
}

var _ source.Source = (*Reader)(nil)

// New checks the options; it calls nobody.
func New(o Options) (*Reader, error) {
	if o.Realm == "" || o.ClientID == "" || o.Secret == nil {
		return nil, fmt.Errorf("keycloak: %w: give the realm, and a client with its secret", source.ErrInvalid)
	}
	if err := rest.CheckSizes("keycloak", &o.PageSize, mostPeople, &o.InFlight); err != nil {
		return nil, err
	}
	if o.PageSize < 2 {
		return nil, fmt.Errorf("keycloak: %w: a page has at least 2 people, because pages overlap by one",
			source.ErrInvalid)
	}
	if o.ClientRealm == "" {
		o.ClientRealm = o.Realm
	}
	names, err := globs.Compile(o.Groups)
	if err != nil {
		return nil, err
	}
	r := &Reader{options: o, names: names}
	base := rest.Options{Name: "keycloak", PlainHTTP: o.PlainHTTP, HTTP: o.HTTP, Timeout: o.Timeout, Sleep: o.Sleep,
		Unauthorized: "see whether the client's secret is right, and whether its service account is on",
		Forbidden:    "give the client's service account the roles view-users and query-groups of realm-management"}
	login := base
	server := strings.TrimRight(o.URL, "/")
	login.URL = server + "/realms/" + url.PathEscape(o.ClientRealm) + "/protocol/openid-connect/token"
	if base.Credentials, err = rest.NewTokens(login, func(ctx context.Context) (url.Values, error) {
		secret, err := rest.ReadSecret(ctx, o.Secret)
		return url.Values{"grant_type": {"client_credentials"}, "client_id": {o.ClientID}, "client_secret": {secret}},
			err
	}); err != nil {
		return nil, err
	}
	base.URL, base.Explain = server+"/admin/realms/"+url.PathEscape(o.Realm), explain
	r.client, err = rest.New(base)
	return r, err
}

// explain reads Keycloak's errors. A 404 may also be that of a realm, or of a path that this version does not have.
func explain(status int, body []byte) (string, error) {
	var answer struct {
		Error       string `json:"error"`
		Message     string `json:"errorMessage"`
		Description string `json:"error_description"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return "", nil
	}
	text := strings.TrimSpace(answer.Error + " " + answer.Message + " " + answer.Description)
	if status == http.StatusNotFound && !slices.Contains([]string{"User not found", "Could not find group by id"},
		answer.Error) {
		return text, source.ErrInvalid
	}
	return text, nil
}

// user is a person as Keycloak shows them. What is not named here differs between reads or concerns sign-in.
type user struct {
	ID         string              `json:"id"`
	Enabled    *bool               `json:"enabled"`
	Username   string              `json:"username"`
	Email      string              `json:"email"`
	Verified   *bool               `json:"emailVerified"`
	First      string              `json:"firstName"`
	Last       string              `json:"lastName"`
	Attributes map[string][]string `json:"attributes"`
}

func (u user) key() string { return u.ID }

// identity takes the attributes of an account and of its profile. One value is a text; several are a sorted list, since
// Keycloak keeps no order. A profile's attribute with a name of the account's is "attributes.<name>".
func (u user) identity() (source.Identity, error) {
	if u.Enabled == nil {
		return source.Identity{}, fmt.Errorf("keycloak: %w: it does not say whether %.100q is enabled",
			source.ErrMalformed, u.ID)
	}
	all := map[string]any{"username": u.Username}
	for name, value := range map[string]string{"email": u.Email, "firstName": u.First, "lastName": u.Last} {
		if value != "" {
			all[name] = value
		}
	}
	if u.Verified != nil {
		all["emailVerified"] = *u.Verified
	}
	own := []string{"username", "email", "firstName", "lastName", "emailVerified"}
	for name, values := range u.Attributes {
		if slices.Contains(own, name) {
			name = "attributes." + name
		}
		if len(values) == 1 {
			all[name] = values[0]
			continue
		}
		slices.Sort(values)
		list := []any{}
		for _, value := range values {
			list = append(list, value)
		}
		all[name] = list
	}
	return source.Identity{Key: u.ID, Enabled: u.Enabled, Attributes: all}, nil
}

// Lookup asks for one person.
func (r *Reader) Lookup(ctx context.Context, key string) (source.Identity, error) {
	segment, err := rest.Segment(key)
	if err != nil {
		return source.Identity{}, fmt.Errorf("keycloak: %w", err)
	}
	var u user
	_, err = r.client.Do(ctx, rest.Request{Operation: "look up a user", Path: "/users/" + segment,
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

var errShifted = errors.New("people came or went while they were listed")
