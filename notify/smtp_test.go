package notify_test

import (
	"crypto/tls"
	"io"
	"mime"
	"mime/quotedprintable"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/notify"
)

func newSMTP(t *testing.T, o notify.SMTPOptions) *notify.SMTP {
	t.Helper()
	if o.From == "" {
		o.From = "Castellan <castellan@acme.example>"
	}
	s, err := notify.NewSMTP(o)
	require.NoError(t, err)
	return s
}

func TestMailSaysTheNotice(t *testing.T) {
	server := startMail(t, nil)
	smtp := newSMTP(t, notify.SMTPOptions{Server: "smtp://" + server.address})
	require.True(t, smtp.Private())
	require.NoError(t, smtp.Notify(t.Context(), notice()))
	require.NoError(t, smtp.Notify(t.Context(), notice()))

	mails := server.received()
	require.Len(t, mails, 2)
	require.Equal(t, "bo@acme.example", mails[0].to)
	m := mails[0].message(t)
	require.Equal(t, `"Castellan" <castellan@acme.example>`, m.Header.Get("From"))
	require.Equal(t, "<bo@acme.example>", m.Header.Get("To"))
	require.Equal(t, "[acme] ana asks for role:org-admin", m.Header.Get("Subject"))
	require.Equal(t, "auto-generated", m.Header.Get("Auto-Submitted"))
	require.Equal(t, "Thu, 01 Jan 2026 00:00:00 +0000", m.Header.Get("Date"))
	require.Regexp(t, `^<[0-9a-f]{32}@acme\.example>$`, m.Header.Get("Message-ID"))
	require.Regexp(t, `^<[0-9a-f]{32}@acme\.example>$`, m.Header.Get("References"))
	require.True(t, strings.HasPrefix(m.Header.Get("Content-Type"), "text/plain"))
	text := content(t, mails[0])
	require.Contains(t, text, "For two hours, because of INC-4711.\r\nApprove or deny it.")
	require.Contains(t, text, "\r\n    temporal workflow update execute --name approve\r\n")
	require.Contains(t, text, "One-time code: "+code)
	require.Contains(t, text, "Workflow: org-sync:acme")

	require.Equal(t, m.Header.Get("Message-ID"), mails[1].message(t).Header.Get("Message-ID"),
		"a repeat is known by its id")
	other := notice()
	other.ID = "n2"
	require.NoError(t, smtp.Notify(t.Context(), other))
	last := server.received()[2].message(t)
	require.NotEqual(t, m.Header.Get("Message-ID"), last.Header.Get("Message-ID"))
	require.Equal(t, m.Header.Get("References"), last.Header.Get("References"), "all mail on one grant is one thread")
}

func content(t *testing.T, m received) string {
	t.Helper()
	decoded, err := io.ReadAll(quotedprintable.NewReader(m.message(t).Body))
	require.NoError(t, err)
	return strings.ReplaceAll(strings.ReplaceAll(string(decoded), "\r\n", "\n"), "\n", "\r\n")
}

func TestMailHeadersCannotBeForged(t *testing.T) {
	server := startMail(t, nil)
	smtp := newSMTP(t, notify.SMTPOptions{Server: "smtp://" + server.address})
	for _, subject := range []string{
		"x\r\nBcc: eve@evil.example", "x\nBcc: eve@evil.example", "x\rBcc: eve@evil.example",
		"x\x00\u2028Bcc: eve@evil.example\r\n\r\nbody", "\r\n.\r\nMAIL FROM:<eve@evil.example>",
		"=?utf-8?q?x=0D=0ABcc:_eve@evil.example?=", strings.Repeat("ä\r\nBcc: eve@evil.example ", 50),
	} {
		n := notice()
		n.Subject, n.ID, n.Grant, n.Org = subject, subject, subject, subject
		require.NoError(t, smtp.Notify(t.Context(), n))
		got := server.received()
		m := got[len(got)-1].message(t)
		require.Equal(t, "bo@acme.example", got[len(got)-1].to)
		for name, values := range m.Header {
			require.Contains(t, []string{"From", "To", "Subject", "Date", "Message-Id", "References", "Auto-Submitted",
				"Mime-Version", "Content-Type",
				"Content-Transfer-Encoding", "User-Agent", "X-Mailer"}, name)
			require.Len(t, values, 1, name)
		}
		shown, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
		require.NoError(t, err)
		require.NotContains(t, shown, "\n", "what was typed is not decoded")
	}
	sent := len(server.received())
	for _, to := range []string{"bo@acme.example, eve@evil.example", "Bo <bo@acme.example>",
		"bo@acme.example\r\nBcc: eve@evil.example", "5b10ac8d82e05b22cc7d4ef5", " "} {
		n := notice()
		n.To = to
		require.ErrorIs(t, smtp.Notify(t.Context(), n), notify.ErrPermanent, to)
	}
	require.Len(t, server.received(), sent)
}

func TestMailWithoutAddresseeGoesToEachWatcher(t *testing.T) {
	server := startMail(t, nil)
	server.refuse = map[string]string{"RCPT TO:<gone@": "550 5.1.1 no such user"}
	smtp := newSMTP(t, notify.SMTPOptions{Server: "smtp://" + server.address,
		Watchers: []string{"cy@acme.example", "gone@acme.example", "di@acme.example"}})
	n := notice()
	n.To = ""
	require.ErrorIs(t, smtp.Notify(t.Context(), n), notify.ErrPermanent, "a code is for one addressee")
	require.Empty(t, server.received())

	n.Code = ""
	err := smtp.Notify(t.Context(), n)
	require.ErrorContains(t, err, "gone@acme.example")
	require.ErrorIs(t, err, notify.ErrPermanent)
	var to []string
	for _, m := range server.received() {
		to = append(to, m.to)
	}
	require.Equal(t, []string{"cy@acme.example", "di@acme.example"}, to)

	nobody := newSMTP(t, notify.SMTPOptions{Server: "smtp://" + server.address})
	require.NoError(t, nobody.Notify(t.Context(), n))
	require.Len(t, server.received(), 2)
}

func TestMailIsEncrypted(t *testing.T) {
	serverTLS, clientTLS := certificates(t)
	t.Run("STARTTLS", func(t *testing.T) {
		server := startMail(t, nil)
		server.startTLS = serverTLS
		smtp := newSMTP(t, notify.SMTPOptions{Server: "smtp://castellan@example.com", Password: "hunter2"})
		smtp.Reach(server.address, clientTLS)
		require.NoError(t, smtp.Notify(t.Context(), notice()))
		require.True(t, server.received()[0].encrypted)
		require.Equal(t, " castellan hunter2", server.received()[0].user)
	})
	t.Run("STARTTLS is not offered", func(t *testing.T) {
		server := startMail(t, nil)
		smtp := newSMTP(t, notify.SMTPOptions{Server: "smtp://castellan@example.com", Password: "hunter2"})
		smtp.Reach(server.address, clientTLS)
		err := smtp.Notify(t.Context(), notice())
		require.ErrorContains(t, err, "STARTTLS")
		require.NotErrorIs(t, err, notify.ErrPermanent)
		require.Empty(t, server.received())
	})
	t.Run("another host's certificate", func(t *testing.T) {
		server := startMail(t, nil)
		server.startTLS = serverTLS
		smtp := newSMTP(t, notify.SMTPOptions{Server: "smtp://mail.acme.example"})
		smtp.Reach(server.address, &tls.Config{RootCAs: clientTLS.RootCAs, ServerName: "mail.acme.example"})
		require.ErrorContains(t, smtp.Notify(t.Context(), notice()), "certificate")
		require.Empty(t, server.received())
	})
	t.Run("from the start", func(t *testing.T) {
		server := startMail(t, serverTLS)
		smtp := newSMTP(t, notify.SMTPOptions{Server: "smtps://" + server.address})
		require.ErrorContains(t, smtp.Notify(t.Context(), notice()), "certificate", "nobody trusts it")
		require.Empty(t, server.received())

		smtp = newSMTP(t, notify.SMTPOptions{Server: "smtps://castellan@example.com", Password: "hunter2"})
		smtp.ReachTLS(server.address, clientTLS)
		require.NoError(t, smtp.Notify(t.Context(), notice()))
		require.True(t, server.received()[0].encrypted)
		require.Equal(t, " castellan hunter2", server.received()[0].user)
	})
	t.Run("loopback", func(t *testing.T) {
		server := startMail(t, nil)
		smtp := newSMTP(t, notify.SMTPOptions{Server: "smtp://castellan@" + server.address, Password: "hunter2"})
		require.NoError(t, smtp.Notify(t.Context(), notice()))
		require.Equal(t, " castellan hunter2", server.received()[0].user)
	})
}

// TestMailRefusals: 5xx is permanent, anything else is not; and the server's text is not repeated, since it may hold
// the mail or the password.
func TestMailRefusals(t *testing.T) {
	words := " rejected: " + code + " hunter2 aHVudGVyMg=="
	for command, answers := range map[string]map[string]bool{
		"EHLO":      {"421 busy" + words: false},
		"AUTH":      {"535 5.7.8" + words: true, "454 4.7.0" + words: false},
		"MAIL FROM": {"550 5.7.1" + words: true, "451 4.3.0" + words: false},
		"RCPT TO":   {"550 5.1.1" + words: true, "450 4.2.1" + words: false},
		"DATA":      {"554 5.6.0" + words: true, "451 4.3.0" + words: false},
		".":         {"554 5.7.1" + words: true, "452 4.3.1" + words: false},
		"NOOP":      {"nonsense" + words: false},
	} {
		for answer, permanent := range answers {
			t.Run(command+" "+answer[:8], func(t *testing.T) {
				server := startMail(t, nil)
				server.refuse = map[string]string{command: answer}
				if command == "EHLO" {
					server.refuse["HELO"] = answer
				}
				err := newSMTP(t, notify.SMTPOptions{Server: "smtp://castellan@" + server.address,
					Password: "hunter2"}).Notify(t.Context(), notice())
				require.ErrorContains(t, err, "smtp: send notice n1 (grant-requested) to bo@acme.example: ")
				if permanent {
					require.ErrorIs(t, err, notify.ErrPermanent)
				} else {
					require.NotErrorIs(t, err, notify.ErrPermanent)
				}
				for _, secret := range []string{code, "hunter2", "aHVudGVyMg"} {
					require.NotContains(t, err.Error(), secret)
				}
			})
		}
	}
}

func TestMailCountsWhatWasTaken(t *testing.T) {
	server := startMail(t, nil)
	server.refuse = map[string]string{"QUIT": "500 no", "RSET": "500 no"}
	require.NoError(t, newSMTP(t, notify.SMTPOptions{Server: "smtp://" + server.address}).Notify(t.Context(), notice()))
	require.Len(t, server.received(), 1)
}

func TestNewSMTPRefuses(t *testing.T) {
	for _, o := range []notify.SMTPOptions{
		{Server: "mail.acme.example:587"}, {Server: "http://mail.acme.example"}, {Server: "smtp://"},
		{Server: "smtp://mail.acme.example/path"},
		{Server: "smtp://u:hunter2@mail.acme.example"}, {Server: "smtp://u@mail.acme.example"},
		{Server: "smtp://mail.acme.example", Password: "hunter2"},
		{Server: "smtp://mail.acme.example:99999"}, {Server: "smtp://mail.acme.example", From: "nobody"},
		{Server: "smtp://mail.acme.example", Watchers: []string{"a@acme.example, b@acme.example"}},
	} {
		if o.From == "" {
			o.From = "castellan@acme.example"
		}
		_, err := notify.NewSMTP(o)
		require.ErrorContains(t, err, "smtp: ", o.Server)
		require.NotContains(t, err.Error(), "hunter2")
	}
}
