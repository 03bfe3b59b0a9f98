// Package entra reads people and groups from Microsoft Entra ID by Microsoft Graph, as an app registration with a
// client secret or a certificate. It needs the application permissions User.Read.All and GroupMember.Read.All,
// consented by an administrator.
package entra

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
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

// Options say which tenant to read, and as which app.
type Options struct {
	Tenant   string // id or domain of the tenant; not common or organizations
	ClientID string // of the app registration

	// Secret returns the client secret, Certificate a certificate with its RSA private key, both as PEM. One of them.
	Secret, Certificate func(context.Context) (string, error)

	URL      string // of Graph; default DefaultURL; national clouds have others
	LoginURL string // of the token endpoint; default DefaultLoginURL

	Filter     string   // $filter over users, for example userType eq 'Member'; empty: everybody
	Attributes []string // of users, by Graph's names; none: DefaultAttributes
	Groups     []string // globs over the names of the groups to read; none: every group
	Nested     bool     // members of groups in a group count as its members
	PageSize   int      // people on a page; default 999, which is Graph's most
	InFlight   int      // groups whose members are read at once; default 4, at most 16

	HTTP      *http.Client                               // nil: a client of its own
	Timeout   time.Duration                              // of one call; default 30 s
	PlainHTTP bool                                       // allows http to other hosts than loopback
	Sleep     func(context.Context, time.Duration) error // for the pauses of rate limits, in tests
}

// The vendor's addresses.
const (
	DefaultURL      = "https://graph.microsoft.com"
	DefaultLoginURL = "https://login.microsoftonline.com"
)

// DefaultAttributes are read of each user unless Options names others.
var DefaultAttributes = []string{"userPrincipalName", "mail", "displayName", "givenName", "surname", "jobTitle",
	"department", "companyName", "officeLocation", "city", "country", "employeeId", "employeeType", "userType",
	"preferredLanguage", "businessPhones", "mobilePhone", "mailNickname", "otherMails", "proxyAddresses",
	"onPremisesImmutableId", "onPremisesSamAccountName"}

const mostPeople = 999

// Reader reads one tenant. It is a source.Watcher.
type Reader struct {
	options  Options
	names    globs.Globs
	client   *rest.Client
	selected string
}

var _ source.Watcher = (*Reader)(nil)

// New checks the options; it calls nobody.
func New(o Options) (*Reader, error) {
	invalid := func(text string) error { return fmt.Errorf("entra: %w: %s", source.ErrInvalid, text) }
	tenant := strings.ToLower(o.Tenant)
	switch {
	case tenant == "" || tenant == "common" || tenant == "organizations" || tenant == "consumers":
		return nil, invalid("name the tenant by its id or domain")
	case o.ClientID == "" || (o.Secret == nil) == (o.Certificate == nil):
		return nil, invalid("give the client id of the app registration, and either its secret or its certificate")
	}
	if err := rest.CheckSizes("entra", &o.PageSize, mostPeople, &o.InFlight); err != nil {
		return nil, err
	}
	if o.URL == "" {
		o.URL = DefaultURL
	}
	if o.LoginURL == "" {
		o.LoginURL = DefaultLoginURL
	}
	if len(o.Attributes) == 0 {
		o.Attributes = DefaultAttributes
	}
	for _, name := range o.Attributes {
		if name == "" || strings.ContainsAny(name, ", $()/") || strings.EqualFold(name, "passwordProfile") {
			return nil, invalid(fmt.Sprintf("the attribute %q cannot be read", name))
		}
	}
	names, err := globs.Compile(o.Groups)
	if err != nil {
		return nil, err
	}
	r := &Reader{options: o, names: names, selected: strings.Join(append([]string{"id", "accountEnabled"},
		o.Attributes...), ",")}
	base := rest.Options{Name: "entra", PlainHTTP: o.PlainHTTP, HTTP: o.HTTP, Timeout: o.Timeout, Sleep: o.Sleep,
		Unauthorized: "see whether the app's secret or certificate has expired, and whether tenant and client id " +
			"are right",
		Forbidden: "grant the app the application permissions User.Read.All and GroupMember.Read.All, with " +
			"admin consent"}
	login := base
	login.URL = strings.TrimRight(o.LoginURL, "/") + "/" + url.PathEscape(o.Tenant) + "/oauth2/v2.0/token"
	if base.Credentials, err = rest.NewTokens(login, func(ctx context.Context) (url.Values, error) {
		return r.form(ctx, login.URL)
	}); err != nil {
		return nil, err
	}
	base.URL, base.Explain = strings.TrimRight(o.URL, "/")+"/v1.0", explain
	r.client, err = rest.New(base)
	return r, err
}

// form is what the token endpoint is asked with.
func (r *Reader) form(ctx context.Context, audience string) (url.Values, error) {
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {r.options.ClientID},
		"scope": {strings.TrimRight(r.options.URL, "/") + "/.default"}}
	if r.options.Secret != nil {
		secret, err := rest.ReadSecret(ctx, r.options.Secret)
		form.Set("client_secret", secret)
		return form, err
	}
	text, err := rest.ReadSecret(ctx, r.options.Certificate)
	if err != nil {
		return nil, err
	}
	key, err := rest.ParseKey(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", source.ErrInvalid, err)
	}
	thumbprint, err := thumbprint(text)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	assertion, err := rest.SignJWT(key, map[string]string{"alg": "PS256", "x5t#S256": thumbprint},
		map[string]any{"iss": r.options.ClientID, "sub": r.options.ClientID, "aud": audience, "nbf": now.Unix(),
			"iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(), "jti": uuid.NewString()})
	form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
	form.Set("client_assertion", assertion)
	return form, err
}

// thumbprint names the certificate of which the app registration knows the public part.
func thumbprint(text string) (string, error) {
	for block, rest := pem.Decode([]byte(text)); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			digest := sha256.Sum256(block.Bytes)
			return base64.RawURLEncoding.EncodeToString(digest[:]), nil
		}
	}
	return "", fmt.Errorf("%w: the certificate is missing beside its private key: it begins with "+
		"-----BEGIN CERTIFICATE-----", source.ErrInvalid)
}

// explain reads Graph's errors. Only Request_ResourceNotFound says that there is no such thing.
func explain(status int, body []byte) (string, error) {
	var answer struct {
		Error struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &answer) != nil || answer.Error.Code == "" {
		return "", nil
	}
	text := answer.Error.Code + " " + answer.Error.Message
	if status == http.StatusNotFound && answer.Error.Code != "Request_ResourceNotFound" {
		return text, source.ErrInvalid
	}
	return text, nil
}

// identity takes a user's attributes. Lists are sets at Graph, which may order them differently each time.
func identity(user reading.Attributes) (source.Identity, error) {
	id, _ := user["id"].(string)
	enabled, says := user["accountEnabled"].(bool)
	if !says {
		return source.Identity{}, fmt.Errorf("entra: %w: Graph does not show whether the account %.100q is "+
			"enabled: grant "+
			"the app User.Read.All", source.ErrForbidden, id)
	}
	attributes := map[string]any{}
	for name, value := range user {
		if name != "id" && name != "accountEnabled" && !strings.Contains(name, "@odata.") {
			attributes[name] = value
		}
	}
	rest.SortTexts(attributes)
	return source.Identity{Key: id, Enabled: &enabled, Attributes: attributes}, nil
}

// Lookup asks for one person. That somebody is gone needs two answers: there is no such user, and either the user is
// among the deleted ones or is not there either.
func (r *Reader) Lookup(ctx context.Context, key string) (source.Identity, error) {
	segment, err := rest.Segment(key)
	if err != nil {
		return source.Identity{}, fmt.Errorf("entra: %w", err)
	}
	var user reading.Attributes
	_, err = r.client.Do(ctx, rest.Request{Operation: "look up a user", Path: "/users/" + segment,
		Query: url.Values{"$select": {r.selected}}, NotFound: errNotFound}, &user)
	if errors.Is(err, errNotFound) {
		return source.Identity{}, r.deleted(ctx, segment)
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

func (r *Reader) deleted(ctx context.Context, segment string) error {
	var item struct {
		Deleted string `json:"deletedDateTime"`
	}
	_, err := r.client.Do(ctx, rest.Request{Operation: "look up a deleted user", Path: "/directory/deletedItems/" +
		segment,
		Query: url.Values{"$select": {"id,deletedDateTime"}}, NotFound: source.ErrGone}, &item)
	if err != nil {
		return err
	}
	return fmt.Errorf("entra: %w: it was deleted at %.40q", source.ErrGone, item.Deleted)
}
