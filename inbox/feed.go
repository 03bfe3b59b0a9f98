package inbox

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/notify"
	"github.com/castellan-io/castellan/policy/attribute"
	"github.com/castellan-io/castellan/policy/provision"
	"github.com/castellan-io/castellan/source"
	"github.com/castellan-io/castellan/source/feed"
)

// The bounds of what is posted.
const (
	maxPost     = 64 << 10  // bytes of a signed post
	maxResponse = 192 << 10 // bytes of an identity provider's response, as it is sent

	minSecret    = 32 // characters
	checksAtOnce = 2  // assertions: each takes a processor for some milliseconds
)

// feed takes a statement about one person.
func (b *inbox) feed(w http.ResponseWriter, r *http.Request) {
	org, name := r.PathValue("org"), r.PathValue("source")
	s, err := b.sender(r.Context(), org, name, provision.Feed)
	if err != nil {
		b.refuse(w, nil, b.senderFailure(org, name, err))
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxResponse))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		b.refuse(w, s, failTooLarge)
		return
	case err != nil:
		b.refuse(w, s, failure{http.StatusBadRequest, "malformed", "the body broke off"})
		return
	}
	statement, err := b.read(r, s, body)
	if err == nil {
		err = b.admit(s, statement)
	}
	if err != nil {
		b.refuse(w, s, failureOf(err))
		return
	}
	outcome, err := b.accept(r.Context(), s, statement)
	if err != nil {
		b.refuse(w, s, b.storeFailure(s, err))
		return
	}
	answer(w, success{string(outcome)})
}

// read checks who posts, by what the post says of its kind, and reads it.
func (b *inbox) read(r *http.Request, s *sender, body []byte) (feed.Statement, error) {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case kind == "application/json":
		return b.readPost(r.Header, s, body)
	case s.spec.Certificate == "":
		return feed.Statement{}, failUnauthorized
	}
	response := body
	switch kind {
	case "application/x-www-form-urlencoded":
		form, err := url.ParseQuery(string(body))
		if err != nil || len(form["SAMLResponse"]) != 1 {
			return feed.Statement{}, failure{http.StatusBadRequest, "malformed", "the form has no field SAMLResponse, or several"}
		}
		text := strings.Join(strings.Fields(form.Get("SAMLResponse")), "")
		if response, err = base64.StdEncoding.DecodeString(text); err != nil {
			return feed.Statement{}, failure{http.StatusBadRequest, "malformed", "SAMLResponse is not in Base64"}
		}
	case "application/xml", "text/xml", "application/samlresponse+xml":
	default:
		return feed.Statement{}, failure{http.StatusUnsupportedMediaType, "content-type", "write application/json, application/x-www-form-urlencoded with SAMLResponse, or application/samlresponse+xml"}
	}
	select {
	case b.checks <- struct{}{}:
		defer func() { <-b.checks }()
	case <-r.Context().Done():
		return feed.Statement{}, failUnavailable
	}
	return b.readAssertion(s, response)
}

// readPost checks the signature of a post before anything in it is looked at.
func (b *inbox) readPost(h http.Header, s *sender, body []byte) (feed.Statement, error) {
	if s.spec.Secret == "" {
		return feed.Statement{}, failUnauthorized
	}
	if len(body) > maxPost {
		return feed.Statement{}, failTooLarge
	}
	secrets, err := b.secretsOf(s)
	if err != nil {
		return feed.Statement{}, err
	}
	err = notify.ErrSignature
	for _, secret := range secrets {
		if found := notify.Verify(secret, h.Get(notify.HeaderTimestamp), h.Get(notify.HeaderSignature), body,
			b.env.Now()); !errors.Is(found, notify.ErrSignature) {
			err = found
		}
	}
	switch {
	case errors.Is(err, notify.ErrSignature):
		return feed.Statement{}, failUnauthorized
	case err != nil:
		return feed.Statement{}, failure{http.StatusUnauthorized, "timestamp", "the timestamp is more than 5 minutes from this machine's clock: sign when you send, and set the clock right"}
	}
	return feed.ReadPost(body)
}

// secretsOf returns the secrets of a source: two while it changes from one to the next.
func (b *inbox) secretsOf(s *sender) ([]string, error) {
	text, err := b.secret(s.org, s.spec.Secret)
	secrets := strings.Fields(text)
	for _, one := range secrets {
		if err == nil && len(one) < minSecret {
			err = errors.New("the source's secret has fewer than 32 characters: make one by openssl rand -base64 32")
		}
	}
	if err == nil && (len(secrets) == 0 || len(secrets) > 2) {
		err = errors.New("the source's secret must be one or, while it is changed, two, with a space or line break between")
	}
	if err != nil {
		b.log.Error("posts of a source cannot be checked", zap.String("org", s.org), zap.String("source", s.spec.Name),
			zap.Error(err))
		return nil, failUnavailable
	}
	return secrets, nil
}

// readAssertion reads an identity provider's response.
func (b *inbox) readAssertion(s *sender, response []byte) (feed.Statement, error) {
	text, err := b.secret(s.org, s.spec.Certificate)
	if err != nil {
		b.log.Error("assertions of a source cannot be checked", zap.String("org", s.org),
			zap.String("source", s.spec.Name), zap.Error(err))
		return feed.Statement{}, failUnavailable
	}
	certificates, err := feed.ReadCertificates(text)
	if err != nil {
		return feed.Statement{}, err
	}
	return feed.Assertions{Issuer: s.spec.Issuer, Audience: s.spec.Audience, Recipient: s.spec.Recipient,
		Certificates: certificates, Key: s.spec.Key, Groups: s.spec.Groups.Attribute}.Read(response, b.env.Now())
}

// admit refuses authentic statements that cannot be so, or are too many.
func (b *inbox) admit(s *sender, statement feed.Statement) error {
	if statement.At.After(b.env.Now().Add(notify.Tolerance)) {
		return failure{http.StatusBadRequest, "at", "at is in the future: nothing later would count until then"}
	}
	if wait := b.mayPost(s); wait > 0 {
		return tooMany{wait}
	}
	return nil
}

// accept stores a statement.
func (b *inbox) accept(ctx context.Context, s *sender, statement feed.Statement) (ledger.PostOutcome, error) {
	attributes, err := json.Marshal(statement.Person.Attributes)
	if err != nil {
		return "", err
	}
	post := ledger.Post{At: statement.At, Message: statement.ID, Identity: ledger.Identity{Key: statement.Person.Key,
		Enabled: statement.Person.Enabled, Attributes: attributes}}
	asked := &attribute.Subject{Source: s.spec.Name, Key: post.Key, Enabled: post.Enabled,
		Attributes: statement.Person.Attributes}
	if post.Address, err = s.email.Value(asked); err != nil {
		post.Address = "" // nobody is linked by an address that cannot be told
	}
	for _, name := range statement.Groups {
		post.Groups = append(post.Groups, ledger.SourceGroupRef{Source: s.spec.Name, Key: groupKey(name),
			Name: s.spec.Name + ":" + name})
	}
	limits := ledger.PostLimits{People: source.MaxPeople, Groups: source.MaxGroups, Valid: s.spec.Valid.Std()}
	outcomes, err := b.env.Ledger.AcceptPosts(ctx, s.org, s.spec.Name, limits, []ledger.Post{post}, b.env.Now())
	if err != nil {
		return "", err
	}
	return outcomes[0], nil
}

// groupKey is what identifies a group that has nothing but a name.
func groupKey(name string) string {
	if len(name) <= source.MaxKey {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// tooMany refuses a post for now.
type tooMany struct{ wait time.Duration }

func (tooMany) Error() string { return "too many posts" }
