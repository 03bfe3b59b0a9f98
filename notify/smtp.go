package notify

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/wneessen/go-mail"

	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/messages"
)

// SMTPOptions configure how mail is sent.
type SMTPOptions struct {
	// smtp://user@host:587 for STARTTLS, smtps://user@host:465 for implicit TLS; the port may be left out
	Server   string
	Password string   // of the user
	From     string   // the sender's address, with or without a name
	Watchers []string // addresses that get the notices without an addressee
}

// SMTP sends notices as plain-text mail. The connection is always encrypted, except for smtp:// to a loopback address.
type SMTP struct {
	host     string
	dial     func(ctx context.Context, network, address string) (net.Conn, error)
	options  []mail.Option
	from     *netmail.Address
	watchers []string
}

// NewSMTP checks the options. It does not connect.
func NewSMTP(o SMTPOptions) (*SMTP, error) {
	server, err := url.Parse(o.Server)
	if err != nil || server.Scheme != "smtp" && server.Scheme != "smtps" || server.Hostname() == "" ||
		server.Path != "" || server.RawQuery != "" || server.Fragment != "" {
		return nil, errors.New("smtp: the server must be smtp://user@host:587 or smtps://user@host:465")
	}
	if _, has := server.User.Password(); has {
		return nil, errors.New("smtp: the server's address must have no password; it is given on its own")
	}
	from, err := netmail.ParseAddress(o.From)
	if err != nil {
		return nil, errors.New("smtp: the sender (from) must be one e-mail address")
	}
	for _, watcher := range o.Watchers {
		if deliverable(messages.Notice{To: watcher}) != nil {
			return nil, fmt.Errorf("smtp: the watcher %q is not an e-mail address", watcher)
		}
	}
	s := &SMTP{host: server.Hostname(), dial: new(net.Dialer).DialContext, from: from, watchers: o.Watchers}
	if strings.Contains(s.host, ":") { // the library appends the port
		s.host = "[" + s.host + "]"
	}
	if err := s.transport(server, o.Password); err != nil {
		return nil, err
	}
	return s, nil
}

// Private is true: mail to one address is for whoever reads that mailbox.
func (s *SMTP) Private() bool { return true }

// Notify sends one mail to the addressee, or one to each watcher if there is none. It fails if any of them failed; a
// refusal with a 5xx code is ErrPermanent. A repeat has the same Message-ID.
func (s *SMTP) Notify(ctx context.Context, n messages.Notice) error {
	err := deliverable(n)
	if err == nil {
		err = s.send(ctx, tidy(n))
	}
	if err != nil {
		return deliveryError("smtp", n, err)
	}
	return nil
}

func (s *SMTP) send(ctx context.Context, n messages.Notice) error {
	recipients := s.watchers
	if n.To != "" {
		recipients = []string{n.To}
	}
	if len(recipients) == 0 {
		return nil
	}
	var all []*mail.Msg
	for _, to := range recipients {
		m, err := s.message(n, to)
		if err != nil {
			return err
		}
		all = append(all, m)
	}
	err := s.deliver(ctx, all)
	var failures []error
	for i, m := range all {
		if m.IsDelivered() {
			continue // errors after that do not matter
		}
		why := err
		if m.HasSendError() {
			why = m.SendError()
		}
		failures = append(failures, fmt.Errorf("mail to %s: %w", recipients[i], serverError(why)))
	}
	return join(failures)
}

// deliver sends all mail over one connection.
func (s *SMTP) deliver(ctx context.Context, all []*mail.Msg) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	// The library leaves the connection open when the greeting, STARTTLS or the authentication fails.
	dial := func(dialling context.Context, network, address string) (net.Conn, error) {
		conn, err := s.dial(dialling, network, address)
		if err == nil {
			context.AfterFunc(ctx, func() { _ = conn.Close() })
		}
		return conn, err
	}
	client, err := mail.NewClient(s.host,
		append(slices.Clone(s.options), mail.WithTimeout(timeout), mail.WithDialContextFunc(dial))...)
	if err != nil {
		return err
	}
	return client.DialAndSendWithContext(ctx, all...)
}

// message returns the mail to one recipient.
func (s *SMTP) message(n messages.Notice, to string) (*mail.Msg, error) {
	m := mail.NewMsg()
	m.FromMailAddress(s.from)
	if err := m.To(to); err != nil {
		return nil, fmt.Errorf("%q is not an e-mail address: %w", to, ErrPermanent)
	}
	m.Subject(display.Subject(subject(n)))
	if !n.At.IsZero() {
		m.SetDateWithValue(n.At)
	}
	m.SetMessageIDWithValue(s.id(n.ID, to))
	if n.Grant != "" {
		// all mail about one grant is one thread
		m.SetGenHeader(mail.HeaderReferences, "<"+s.id("grant", n.Org, n.Grant)+">")
	}
	m.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: prevents out-of-office replies
	m.SetBodyString(mail.TypeTextPlain, body(n, plain)+"\n")
	return m, nil
}

// id returns a Message-ID that is always the same for the same parts.
func (s *SMTP) id(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	_, domain, _ := strings.Cut(s.from.Address, "@")
	return hex.EncodeToString(sum[:16]) + "@" + domain
}

// serverError keeps the server's code and drops its text, which may repeat the mail or the password.
func serverError(err error) error {
	code := 0
	sending, begun := errors.AsType[*mail.SendError](err)
	if begun {
		code = sending.ErrorCode()
	} else if answer, ok := errors.AsType[*textproto.Error](err); ok {
		code = answer.Code
	}
	switch {
	case code >= 500:
		return fmt.Errorf("the server refused with %d; its log says why: %w", code, ErrPermanent)
	case code >= 400:
		return fmt.Errorf("the server put it off with %d", code)
	case begun:
		return errors.New("the connection broke off")
	}
	return connection(err, "the server does not speak SMTP, or offers no STARTTLS or no authentication that is supported")
}

// transport chooses encryption, port and authentication.
func (s *SMTP) transport(server *url.URL, password string) error {
	port, auth := 587, mail.SMTPAuthAutoDiscover
	switch {
	case server.Scheme == "smtps":
		port = 465
		s.dial = (&tls.Dialer{Config: &tls.Config{ServerName: server.Hostname(),
			MinVersion: tls.VersionTLS12}}).DialContext
		// The connection is encrypted already; with this, the library knows it and sends passwords.
		s.options = append(s.options, mail.WithTLSPolicy(mail.TLSOpportunistic))
	case loopback(server.Hostname()):
		auth = mail.SMTPAuthPlainNoEnc // nothing leaves the machine
		s.options = append(s.options, mail.WithTLSPolicy(mail.NoTLS))
	default:
		s.options = append(s.options, mail.WithTLSPolicy(mail.TLSMandatory))
	}
	if given := server.Port(); given != "" {
		var err error
		if port, err = strconv.Atoi(given); err != nil || port < 1 || port > 65535 {
			return errors.New("smtp: the server's port must be from 1 to 65535")
		}
	}
	s.options = append(s.options, mail.WithPort(port))
	user := server.User.Username()
	if (user == "") != (password == "") {
		return errors.New("smtp: a user and its password come together: the user stands in the server's address")
	}
	if user != "" {
		s.options = append(s.options, mail.WithSMTPAuth(auth), mail.WithUsername(user), mail.WithPassword(password))
	}
	return nil
}
