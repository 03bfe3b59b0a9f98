package config_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/config"
)

func TestLoadJudgesNotifySettingsTogether(t *testing.T) {
	const (
		hook, secret, slack = "CASTELLAN_NOTIFY_WEBHOOK_URL", "CASTELLAN_NOTIFY_WEBHOOK_SECRET",
			"CASTELLAN_NOTIFY_SLACK_URL"
		smtp, password, from, watched = "CASTELLAN_NOTIFY_SMTP", "CASTELLAN_NOTIFY_SMTP_PASSWORD",
			"CASTELLAN_NOTIFY_SMTP_FROM", "CASTELLAN_NOTIFY_WATCHERS"
	)
	type settings map[string]string
	for name, c := range map[string]struct {
		given   settings
		refused []string
	}{
		"nothing":         {},
		"webhook":         {settings{hook: "https://hooks.acme.example/castellan?team=1"}, nil},
		"webhook, signed": {settings{hook: "http://127.0.0.1:8080", secret: "0123456789abcdef"}, nil},
		"webhook, files": {settings{hook: "file:/run/secrets/hook", secret: "file:/run/secrets/hook-secret",
			slack: "file:/run/secrets/slack"}, nil},
		"mail, relay without a user": {settings{smtp: "smtp://localhost:25", from: "castellan@acme.example"}, nil},
		"mail": {settings{smtp: "smtps://castellan@acme.example@mail.acme.example", password: "hunter2",
			from:    "Castellan <castellan@acme.example>",
			watched: "ana@acme.example, bo@acme.example"}, nil},

		"plain http": {settings{hook: "http://hooks.acme.example",
			slack: "http://hooks.slack.com/hunter2"}, []string{hook, slack}},
		"credentials in the URL": {settings{hook: "https://u:hunter2@hooks.acme.example"}, []string{hook}},
		"not a URL":              {settings{hook: "hunter2", slack: "https://"}, []string{hook, slack}},
		"relative files":         {settings{hook: "file:hook", slack: "file:./slack"}, []string{hook, slack}},
		"short secret":           {settings{hook: "https://hooks.acme.example", secret: "hunter2"}, []string{secret}},
		"secret without its use": {settings{secret: "0123456789abcdef"}, []string{secret}},
		"password in the URL": {settings{smtp: "smtp://u:hunter2@mail.acme.example",
			from: "castellan@acme.example"}, []string{smtp}},
		"other schemes": {settings{smtp: "mail.acme.example:587", from: "castellan@acme.example"},
			[]string{smtp}},
		"a user, no password": {settings{smtp: "smtp://u@mail.acme.example", from: "castellan@acme.example"},
			[]string{password}},
		"a password, no user": {settings{smtp: "smtp://mail.acme.example", password: "hunter2",
			from: "castellan@acme.example"}, []string{password}},
		"no sender": {settings{smtp: "smtp://mail.acme.example"}, []string{from}},
		"two senders": {settings{smtp: "smtp://mail.acme.example", from: "a@acme.example, b@acme.example"},
			[]string{from}},
		"mail without its server": {settings{password: "hunter2", from: "castellan@acme.example",
			watched: "ana@acme.example"}, []string{password, from, watched}},
		"watchers by name": {settings{smtp: "smtp://localhost", from: "c@acme.example",
			watched: "ana@acme.example,bo"}, []string{watched}},
	} {
		t.Run(name, func(t *testing.T) {
			clearVariables(t)
			for variable, value := range c.given {
				t.Setenv(variable, value)
			}
			_, err := config.Load[config.Worker]()
			if len(c.refused) == 0 {
				require.NoError(t, err)
				return
			}
			require.Error(t, err)
			require.NotContains(t, err.Error(), "hunter2")
			for _, variable := range []string{hook, secret, slack, smtp, password, from, watched} {
				if has := variable + " cannot be used"; slices.Contains(c.refused, variable) {
					require.ErrorContains(t, err, has)
				} else {
					require.NotContains(t, err.Error(), has)
				}
			}
		})
	}
}

func TestNoticesReadsSecretsFromFiles(t *testing.T) {
	clearVariables(t)
	file := filepath.Join(t.TempDir(), "slack")
	require.NoError(t, os.WriteFile(file, []byte("https://hooks.slack.com/services/hunter2\n"), 0o600))
	t.Setenv("CASTELLAN_NOTIFY_SLACK_URL", "file:"+file)
	t.Setenv("CASTELLAN_NOTIFY_SMTP", "smtp://castellan@mail.acme.example:587")
	t.Setenv("CASTELLAN_NOTIFY_SMTP_PASSWORD", "hunter2")
	t.Setenv("CASTELLAN_NOTIFY_SMTP_FROM", "castellan@acme.example")
	t.Setenv("CASTELLAN_NOTIFY_WATCHERS", "ana@acme.example, bo@acme.example")
	worker, err := config.Load[config.Worker]()
	require.NoError(t, err)
	notices, err := worker.Notices()
	require.NoError(t, err)
	require.Equal(t, "https://hooks.slack.com/services/hunter2", notices.SlackURL.Reveal())
	require.Empty(t, notices.WebhookURL.Reveal())
	require.Equal(t, "smtp://castellan@mail.acme.example:587", notices.SMTP)
	require.Equal(t, "hunter2", notices.SMTPPassword.Reveal())
	require.Equal(t, "castellan@acme.example", notices.SMTPFrom)
	require.Equal(t, []string{"ana@acme.example", "bo@acme.example"}, notices.Watchers)

	require.NoError(t, os.Remove(file))
	_, err = worker.Notices()
	require.ErrorContains(t, err, "CASTELLAN_NOTIFY_SLACK_URL: read "+file)
}
