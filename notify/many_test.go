package notify_test

import (
	"bytes"
	"crypto/rand"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/notify"
)

// allChannels is a notifier with all channels, whose output tests can read.
type allChannels struct {
	*notify.Many
	webhook, slack *receiver
	mail           *mailServer
	log            *bytes.Buffer
}

func start(t *testing.T, secret string, webhook, slack []int, refuse map[string]string) allChannels {
	t.Helper()
	e := allChannels{webhook: receive(t, webhook...), slack: receive(t, slack...), mail: startMail(t, nil),
		log: new(bytes.Buffer)}
	e.mail.refuse = refuse
	logger := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(e.log),
		zapcore.DebugLevel))
	var err error
	e.Many, err = notify.New(notify.Options{
		WebhookURL: e.webhook.URL, WebhookSecret: secret, SlackURL: e.slack.URL + "/services/hunter2",
		SMTP: notify.SMTPOptions{Server: "smtp://" + e.mail.address, From: "castellan@acme.example",
			Watchers: []string{"cy@acme.example"}},
	}, logger)
	require.NoError(t, err)
	return e
}

// public returns all that reached the log and Slack, and the webhook if that is unsigned.
func (e allChannels) public(unsigned bool) string {
	said := e.log.String()
	posts := e.slack.got()
	if unsigned {
		posts = append(posts, e.webhook.got()...)
	}
	for _, r := range posts {
		said += r.body
		for name, values := range r.header {
			said += name + strings.Join(values, " ")
		}
	}
	return said
}

// TestTheCodeGoesToItsAddresseeOnly searches everything that is sent for the code, even where a text repeats it.
func TestTheCodeGoesToItsAddresseeOnly(t *testing.T) {
	n := notice()
	n.Text += "\nThe code is " + code
	n.Command += " --code " + code
	n.Subject += code
	for name, status := range map[string]int{"all is well": http.StatusOK, "all fail": http.StatusInternalServerError} {
		t.Run(name, func(t *testing.T) {
			refuse := map[string]string{}
			if status != http.StatusOK {
				refuse["."] = "554 rejected: " + code
			}
			for _, shared := range []string{secret, ""} {
				e := start(t, shared, []int{status}, []int{status}, refuse)
				err := e.Notify(t.Context(), n)
				require.True(t, e.Private(), "mail is")
				require.NotContains(t, e.public(shared == ""), code)
				require.Contains(t, e.public(shared == ""), "INC-4711")
				if shared != "" {
					require.Contains(t, e.webhook.got()[0].body, `"code":"`+code+`"`)
				}
				if status == http.StatusOK {
					require.NoError(t, err)
					require.Contains(t, content(t, e.mail.received()[0]), code)
				} else {
					require.Error(t, err)
					require.NotContains(t, err.Error(), code)
				}
			}
		})
	}
}

func TestManyTriesAllAndJoinsTheErrors(t *testing.T) {
	e := start(t, secret, []int{500}, []int{404}, map[string]string{"RCPT": "550 no such user"})
	err := e.Notify(t.Context(), notice())
	for _, part := range []string{"webhook: ", "answered 500", "slack: ", "answered 404", "smtp: ",
		"refused with 550"} {
		require.ErrorContains(t, err, part)
	}
	require.NotContains(t, err.Error(), "hunter2")
	require.NotErrorIs(t, err, notify.ErrPermanent, "the webhook may come back")
	require.Contains(t, e.log.String(), "n1", "the log is a channel of its own")

	e = start(t, secret, []int{401}, []int{404}, map[string]string{"RCPT": "550 no such user"})
	require.ErrorIs(t, e.Notify(t.Context(), notice()), notify.ErrPermanent)
}

func TestManyRepeatsOnlyWhatFailed(t *testing.T) {
	e := start(t, secret, []int{503, 503, 200}, []int{200}, nil)
	for i := range 2 {
		n := notice()
		n.At, n.Code = n.At.Add(time.Duration(i)*time.Second), rand.Text()
		require.Error(t, e.Notify(t.Context(), n))
	}
	for range 2 {
		require.NoError(t, e.Notify(t.Context(), notice()))
	}
	require.Len(t, e.webhook.got(), 3)
	require.Len(t, e.slack.got(), 1)
	require.Len(t, e.mail.received(), 1)

	for _, other := range []func(*messages.Notice){func(n *messages.Notice) { n.ID = "n2" },
		func(n *messages.Notice) { n.To = "cy@acme.example" }} {
		n, before := notice(), len(e.slack.got())
		other(&n)
		require.NoError(t, e.Notify(t.Context(), n))
		require.Len(t, e.slack.got(), before+1, "another notice")
	}
}

func TestOnlyWhatIsConfiguredIsThere(t *testing.T) {
	only, err := notify.New(notify.Options{}, zap.NewNop())
	require.NoError(t, err)
	require.False(t, only.Private())
	require.NoError(t, only.Notify(t.Context(), notice()))

	for name, o := range map[string]notify.Options{
		"webhook": {WebhookURL: "http://hooks.acme.example"},
		"slack":   {SlackURL: "http://hooks.slack.com"},
		"smtp":    {SMTP: notify.SMTPOptions{Server: "mail.acme.example"}},
	} {
		_, err := notify.New(o, zap.NewNop())
		require.ErrorContains(t, err, name)
	}
}
