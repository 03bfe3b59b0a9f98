package notify

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/messages"
)

// Slack posts notices to a Slack-compatible incoming webhook, for the readers of a channel; never a code.
type Slack struct{ address string }

// NewSlack takes the incoming webhook's address, which is a secret: https, or plain http for loopback addresses only.
func NewSlack(address string) (*Slack, error) {
	if err := httpsURL("slack", address); err != nil {
		return nil, err
	}
	return &Slack{address}, nil
}

// Private is false: a whole channel reads it.
func (s *Slack) Private() bool { return false }

// Notify posts the notice. Responses of 4xx but 408, 425 and 429 are ErrPermanent.
func (s *Slack) Notify(ctx context.Context, n messages.Notice) error {
	n = tidy(withoutSecrets(n))
	text := "*" + mrkdwn.escape(subject(n)) + "*\n"
	if n.To != "" {
		text += "For " + mrkdwn.escape(n.To) + "\n"
	}
	// No previews of addresses in what people typed.
	content, err := json.Marshal(map[string]any{"text": text + body(n, mrkdwn), "unfurl_links": false,
		"unfurl_media": false})
	if err == nil {
		err = post(ctx, s.address, content, http.Header{})
	}
	if err != nil {
		return deliveryError("slack", n, err)
	}
	return nil
}

var mrkdwn = markup{escape: display.Mrkdwn, block: display.MrkdwnBlock}
