// Package notify tells people what concerns them: by a signed webhook, in a Slack channel, by e-mail, and in the log.
//
// Every channel takes a [messages.Notice] and sends it once: it never retries and never sleeps, that is its caller's
// business. What people typed (names, reasons) is bounded and freed of control characters, and each channel escapes
// what means something there. A code, or a link to somebody's page, leaves only by a private channel, and only to one
// addressee; it never stands in an error.
package notify

import (
	"context"
	"errors"
	"fmt"
	"net/mail"
	"net/netip"
	"net/url"
	"time"

	"go.uber.org/zap"

	"github.com/castellan-io/castellan/messages"
)

// ErrPermanent marks failures that trying again cannot mend: somebody must change a setting or an address.
var ErrPermanent = errors.New("trying again will not help")

// timeout bounds one delivery, from the dialling to the answer.
const timeout = 10 * time.Second

// Options say which channels there are besides the log. An empty address leaves its channel out.
type Options struct {
	WebhookURL    string // see [NewWebhook]
	WebhookSecret string
	SlackURL      string // see [NewSlack]
	SMTP          SMTPOptions
}

// New returns all channels that the options name, and the log, as one. Its errors name the channel and quote no secret.
func New(o Options, logger *zap.Logger) (*Many, error) {
	channels := []channel{NewLog(logger)}
	if o.WebhookURL != "" {
		webhook, err := NewWebhook(o.WebhookURL, o.WebhookSecret)
		if err != nil {
			return nil, err
		}
		channels = append(channels, webhook)
	}
	if o.SlackURL != "" {
		slack, err := NewSlack(o.SlackURL)
		if err != nil {
			return nil, err
		}
		channels = append(channels, slack)
	}
	if o.SMTP.Server != "" {
		smtp, err := NewSMTP(o.SMTP)
		if err != nil {
			return nil, err
		}
		channels = append(channels, smtp)
	}
	return &Many{channels: channels}, nil
}

// channel is one way to reach people.
type channel interface {
	// Private says that what is sent to one addressee reaches only them; only then may a notice carry a code or a link.
	Private() bool
	// Notify sends the notice once.
	Notify(ctx context.Context, n messages.Notice) error
}

// deliverable refuses a notice whose code or link could reach somebody else, or whose addressee is not one plain
// address: a name or a control character in it could carry a second address.
func deliverable(n messages.Notice) error {
	if n.To == "" {
		if n.Code != "" || n.Link != "" {
			return fmt.Errorf("it has a code or a link but no addressee: %w", ErrPermanent)
		}
		return nil
	}
	if address, err := mail.ParseAddress(n.To); err != nil || address.Address != n.To {
		return fmt.Errorf("its addressee is not an e-mail address: %w", ErrPermanent)
	}
	return nil
}

// failed says which notice was not delivered, and how.
func failed(channel string, n messages.Notice, err error) error {
	n = tidy(n)
	to := ""
	if n.To != "" {
		to = " to " + n.To
	}
	return fmt.Errorf("%s: send notice %s (%s)%s: %w", channel, n.ID, n.Kind, to, err)
}

// loopback takes literal addresses and the name localhost; any other name might resolve elsewhere tomorrow.
func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// httpsURL checks an address that notices are posted to. The error does not quote it: most webhook addresses are
// secrets.
func httpsURL(channel, address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Fragment != "" ||
		u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())) {
		return fmt.Errorf("%s: the address must be an https URL without user and password; plain http is accepted for loopback addresses only", channel)
	}
	return nil
}
