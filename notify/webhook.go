package notify

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/castellan-io/castellan/messages"
)

// The headers of a webhook's request. Another, Idempotency-Key, is the notice's ID, with ":" and the addressee if there
// is one; it stays the same when the same notice is sent again.
const (
	HeaderTimestamp = "X-Castellan-Timestamp" // when it was sent, in seconds since 1970 UTC
	HeaderSignature = "X-Castellan-Signature" // see [Sign]
)

// minSecret is the shortest signing secret, in bytes.
const minSecret = 16

// Webhook posts each notice as the JSON of [messages.Notice] to a receiver, which responds with 2xx. Requests are
// signed if there is a secret; receivers check the signature with [Verify].
type Webhook struct{ address, secret string }

// NewWebhook takes an https address (plain http for loopback addresses only) and the shared signing secret, at least 16
// bytes. Without a secret, nothing is signed and no code is sent.
func NewWebhook(address, secret string) (*Webhook, error) {
	if err := httpsURL("webhook", address); err != nil {
		return nil, err
	}
	if secret != "" && len(secret) < minSecret {
		return nil, errors.New("webhook: the signing secret must have at least 16 characters")
	}
	return &Webhook{address, secret}, nil
}

// Private reports whether requests are signed: only then is the receiver trusted to hand a code to its addressee alone.
func (w *Webhook) Private() bool { return w.secret != "" }

// Notify posts the notice. Responses of 4xx but 408, 425 and 429 are ErrPermanent.
func (w *Webhook) Notify(ctx context.Context, n messages.Notice) error {
	if !w.Private() {
		n = withoutSecrets(n)
	}
	err := deliverable(n)
	if err == nil {
		err = w.post(ctx, tidy(n))
	}
	if err != nil {
		return deliveryError("webhook", n, err)
	}
	return nil
}

func (w *Webhook) post(ctx context.Context, n messages.Notice) error {
	body, err := json.Marshal(n)
	if err != nil {
		return err
	}
	header := http.Header{}
	key := url.PathEscape(n.ID)
	if n.To != "" {
		key += ":" + url.PathEscape(n.To)
	}
	header.Set("Idempotency-Key", key)
	if w.secret != "" {
		now := strconv.FormatInt(time.Now().Unix(), 10)
		header.Set(HeaderTimestamp, now)
		header.Set(HeaderSignature, Sign(w.secret, now, body))
	}
	return post(ctx, w.address, body, header)
}
