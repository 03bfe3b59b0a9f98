package config

import (
	"fmt"
	"net/mail"
	"net/url"
	"path/filepath"
	"strings"
)

// Notices is where notices go, with all secrets read.
type Notices struct {
	WebhookURL    Secret
	WebhookSecret Secret
	SlackURL      Secret
	SMTP          string
	SMTPPassword  Secret
	SMTPFrom      string
	Watchers      []string
}

// Notices reads the secrets that are given as file:/PATH, an absolute path as in [Worker.LedgerPasswordFile]. It does
// not check the contents of files.
func (w Worker) Notices() (Notices, error) {
	n := Notices{SMTP: w.NotifySMTP, SMTPFrom: w.NotifySMTPFrom}
	for _, watcher := range w.NotifyWatchers {
		n.Watchers = append(n.Watchers, strings.TrimSpace(watcher))
	}
	for _, s := range []struct {
		variable string
		given    Secret
		to       *Secret
	}{
		{"CASTELLAN_NOTIFY_WEBHOOK_URL", w.NotifyWebhookURL, &n.WebhookURL},
		{"CASTELLAN_NOTIFY_WEBHOOK_SECRET", w.NotifyWebhookSecret, &n.WebhookSecret},
		{"CASTELLAN_NOTIFY_SLACK_URL", w.NotifySlackURL, &n.SlackURL},
		{"CASTELLAN_NOTIFY_SMTP_PASSWORD", w.NotifySMTPPassword, &n.SMTPPassword},
	} {
		path, isFile := strings.CutPrefix(s.given.Reveal(), "file:")
		if !isFile {
			*s.to = s.given
			continue
		}
		value, err := readSecret(filepath.Dir(path), filepath.Base(path))
		if err != nil {
			return Notices{}, fmt.Errorf("%s: read %s: %w", s.variable, path, err)
		}
		*s.to = NewSecret(value)
	}
	return n, nil
}

func (w Worker) rejectsNotify(variable string) bool {
	switch variable {
	case "CASTELLAN_NOTIFY_WEBHOOK_URL":
		return w.NotifyWebhookURL.Reveal() != "" && !isFileOr(w.NotifyWebhookURL, isWebhook)
	case "CASTELLAN_NOTIFY_WEBHOOK_SECRET":
		longEnough := func(s string) bool { return len(s) >= 16 }
		return w.NotifyWebhookSecret.Reveal() != "" &&
			!(isFileOr(w.NotifyWebhookSecret, longEnough) && w.NotifyWebhookURL.Reveal() != "")
	case "CASTELLAN_NOTIFY_SLACK_URL":
		return w.NotifySlackURL.Reveal() != "" && !isFileOr(w.NotifySlackURL, isWebhook)
	case "CASTELLAN_NOTIFY_SMTP":
		return w.NotifySMTP != "" && !isMailServer(w.NotifySMTP)
	case "CASTELLAN_NOTIFY_SMTP_PASSWORD":
		anything := func(string) bool { return true }
		return hasUser(w.NotifySMTP) != (w.NotifySMTPPassword.Reveal() != "") ||
			!isFileOr(w.NotifySMTPPassword, anything)
	case "CASTELLAN_NOTIFY_SMTP_FROM":
		_, err := mail.ParseAddress(w.NotifySMTPFrom)
		return (w.NotifySMTP != "" || w.NotifySMTPFrom != "") && (err != nil || w.NotifySMTP == "")
	case "CASTELLAN_NOTIFY_WATCHERS":
		for _, watcher := range w.NotifyWatchers {
			watcher = strings.TrimSpace(watcher)
			if address, err := mail.ParseAddress(watcher); err != nil || address.Address != watcher ||
				w.NotifySMTP == "" {
				return true
			}
		}
	}
	return false
}

// isFileOr reports whether the secret is a file's absolute path, or fits itself.
func isFileOr(s Secret, fits func(string) bool) bool {
	if path, isFile := strings.CutPrefix(s.Reveal(), "file:"); isFile {
		return filepath.IsAbs(path)
	}
	return fits(s.Reveal())
}

func isWebhook(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && isLoopback(u.Hostname())
}

func isMailServer(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "smtp" && u.Scheme != "smtps" || u.Hostname() == "" || u.Path != "" ||
		u.RawQuery != "" || u.Fragment != "" {
		return false
	}
	_, has := u.User.Password()
	return !has
}

func hasUser(server string) bool {
	u, err := url.Parse(server)
	return err == nil && u.User.Username() != "" && isMailServer(server)
}
