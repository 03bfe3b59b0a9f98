// Package notify sends notices to people: by a signed webhook, to a Slack channel, by e-mail, and to the log.
//
// Every channel takes a [messages.Notice] and sends it once: retries are up to its caller. What people typed (names,
// reasons) is bounded and stripped of control characters, and each channel escapes its own markup. A code, or a link to
// somebody's page, is sent only by a private channel, and only to one addressee; it is never part of an error.
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

// ErrPermanent marks failures that a retry cannot fix: somebody must change a setting or an address.
var ErrPermanent = errors.New("trying again will not help")

// timeout bounds one delivery, from dialling to the reply.
const timeout = 10 * time.Second

// Options configure the channels besides the log. An empty address leaves its channel out.
type Options struct {
	WebhookURL    string // see [NewWebhook]
	WebhookSecret string
	SlackURL      string // see [NewSlack]
	SMTP          SMTPOptions
}

// New returns all channels of the options, and the log, as one. Its errors name the channel and quote no secret.
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
	// Private reports whether only its addressee reads a notice; only then may the notice carry a code or a link.
	Private() bool
	// Notify sends the notice once.
	Notify(ctx context.Context, n messages.Notice) error
}

// deliverable refuses a notice whose code or link could reach somebody else, or whose addressee is not one plain
// address: a name or a control character in it could smuggle in a second address.
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

// deliveryError adds to an error which notice was not delivered, and by which channel.
func deliveryError(channel string, n messages.Notice, err error) error {
	n = tidy(n)
	to := ""
	if n.To != "" {
		to = " to " + n.To
	}
	return fmt.Errorf("%s: send notice %s (%s)%s: %w", channel, n.ID, n.Kind, to, err)
}

// loopback accepts literal addresses and the name localhost; any other name might resolve elsewhere tomorrow.
func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// httpsURL checks an address for notices. The error does not quote it: most webhook addresses are secrets.
func httpsURL(channel, address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Fragment != "" ||
		u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())) {
		return fmt.Errorf("%s: the address must be an https URL without user and password; plain http is accepted for loopback addresses only", channel)
	}
	return nil
}
