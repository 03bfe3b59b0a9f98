package rest

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/castellan-io/castellan/source"
)

// Secret are credentials that are sent as they are, after a scheme such as "SSWS". Read is asked before each call.
func Secret(scheme string, read func(context.Context) (string, error)) Credentials {
	return secret{scheme, read}
}

type secret struct {
	scheme string
	read   func(context.Context) (string, error)
}

func (s secret) Authorization(ctx context.Context) (string, error) {
	value, err := ReadSecret(ctx, s.read)
	if err != nil {
		return "", err
	}
	if !sendable(value) {
		return "", fmt.Errorf("%w: the secret has characters that no token has; nothing was sent",
			source.ErrUnauthorized)
	}
	return s.scheme + " " + value, nil
}

func (secret) Refused(string) bool { return false }

// ReadSecret asks for a secret, which may not be empty, and drops the white space around it.
func ReadSecret(ctx context.Context, read func(context.Context) (string, error)) (string, error) {
	if read == nil {
		return "", fmt.Errorf("%w: there is no secret", source.ErrInvalid)
	}
	value, err := read(ctx)
	if err != nil {
		return "", err
	}
	if value = strings.TrimSpace(value); value == "" {
		return "", fmt.Errorf("%w: the secret is empty; nothing was sent", source.ErrUnauthorized)
	}
	return value, nil
}

func sendable(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// Tokens are credentials that a token endpoint of OAuth 2.0 gives for a short time. They are kept in memory until
// shortly before they expire.
type Tokens struct {
	client *Client
	form   func(context.Context) (url.Values, error)
	now    func() time.Time

	gate    chan struct{} // guards what follows; one goroutine at a time asks for a token
	value   string
	expires time.Time
}

// NewTokens makes credentials of the token endpoint at o.URL. Form is what to post there; it holds the secret, or what
// was signed with it, and is asked for each time.
func NewTokens(o Options, form func(context.Context) (url.Values, error)) (*Tokens, error) {
	if o.Explain == nil {
		o.Explain = explainOAuth
	}
	client, err := New(o)
	if err != nil {
		return nil, err
	}
	return &Tokens{client: client, form: form, now: time.Now, gate: make(chan struct{}, 1)}, nil
}

// Authorization returns the token that is in force, or asks for one.
func (t *Tokens) Authorization(ctx context.Context) (string, error) {
	select {
	case t.gate <- struct{}{}:
		defer func() { <-t.gate }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if t.value != "" && t.now().Before(t.expires) {
		return t.value, nil
	}
	form, err := t.form(ctx)
	if err != nil {
		return "", err
	}
	var answer struct {
		Token   string `json:"access_token"`
		Type    string `json:"token_type"`
		Expires int64  `json:"expires_in"`
	}
	request := Request{Operation: "ask for a token", Form: form}
	asked := t.now()
	if _, err := t.client.Do(ctx, request, &answer); err != nil {
		return "", err
	}
	if !sendable(answer.Token) || !strings.EqualFold(answer.Type, "Bearer") {
		return "", t.client.fail(request, source.ErrMalformed, "the answer holds no bearer token")
	}
	lifetime := time.Duration(min(max(answer.Expires, 0), 24*3600)) * time.Second
	t.value = "Bearer " + answer.Token
	t.expires = asked.Add(lifetime - min(lifetime/4, time.Minute))
	return t.value, nil
}

// Refused forgets the token.
func (t *Tokens) Refused(value string) bool {
	t.gate <- struct{}{}
	defer func() { <-t.gate }()
	if t.value == value {
		t.value = ""
	}
	return true
}

// explainOAuth reads an error of RFC 6749, section 5.2.
func explainOAuth(status int, body []byte) (text string, kind error) {
	var answer struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return "", nil
	}
	text = join(answer.Error, answer.Description)
	if status != http.StatusBadRequest && status != http.StatusUnauthorized && status != http.StatusForbidden {
		return text, nil
	}
	switch answer.Error {
	case "invalid_client", "invalid_grant":
		return text, source.ErrUnauthorized
	case "unauthorized_client", "invalid_scope", "access_denied":
		return text, source.ErrForbidden
	case "temporarily_unavailable":
		return text, source.ErrUnavailable
	}
	return text, nil
}
