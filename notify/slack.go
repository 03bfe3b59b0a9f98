package notify

import (
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"

	"github.com/castellan-io/castellan/messages"
)

// Slack posts notices to a Slack-compatible incoming webhook, for a channel's readers; never a code.
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

// Notify posts the notice. Answers of 4xx but 408, 425 and 429 are ErrPermanent.
func (s *Slack) Notify(ctx context.Context, n messages.Notice) error {
	n = tidy(withoutSecrets(n))
	text := "*" + mrkdwn.escape(subject(n)) + "*\n"
	if n.To != "" {
		text += "For " + mrkdwn.escape(n.To) + "\n"
	}
	// Addresses in what people typed are not fetched for a preview.
	content, err := json.Marshal(map[string]any{"text": text + body(n, mrkdwn), "unfurl_links": false, "unfurl_media": false})
	if err == nil {
		err = post(ctx, s.address, content, http.Header{})
	}
	if err != nil {
		return failed("slack", n, err)
	}
	return nil
}

// mrkdwn is Slack's markup. These three characters are all that Slack wants escaped; they begin its mentions and links
// (https://docs.slack.dev/messaging/formatting-message-text). Mattermost and others also read @channel in plain text, so
// an invisible character stands behind that @.
var mrkdwn = markup{
	escape: func(s string) string {
		return mention.ReplaceAllString(angles.Replace(s), "@\u200b$1")
	},
	block: func(command string) string {
		return "```" + strings.ReplaceAll(command, "```", "`\u200b``") + "```"
	},
}

var (
	angles  = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
	mention = regexp.MustCompile(`(?i)@(channel|here|everyone|all)\b`)
)
