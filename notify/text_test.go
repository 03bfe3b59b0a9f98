package notify_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/notify"
)

func TestTidyBoundsAndCleans(t *testing.T) {
	anything := rapid.OneOf(rapid.String(),
		rapid.Custom(func(t *rapid.T) string { return string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")) }),
		rapid.Custom(func(t *rapid.T) string {
			return strings.Repeat("ä\r\n\u202e", rapid.IntRange(0, 3000).Draw(t, "times"))
		}))
	rapid.Check(t, func(t *rapid.T) {
		n := notify.Tidy(messages.Notice{
			ID: anything.Draw(t, "id"), Subject: anything.Draw(t, "subject"), Text: anything.Draw(t, "text"),
			Command: anything.Draw(t, "command"),
			Person:  anything.Draw(t, "person"),
		})
		for _, c := range []struct {
			text  string
			limit int
			lines bool
		}{{n.ID, 300, false}, {n.Subject, 300, false}, {n.Person, 300, false}, {n.Command, 2000, false},
			{n.Text, 4000, true}} {
			require.True(t, utf8.ValidString(c.text))
			require.LessOrEqual(t, utf8.RuneCountInString(c.text), c.limit)
			for _, r := range c.text {
				require.False(t, unicode.IsControl(r) && !(r == '\n' && c.lines) || unicode.Is(unicode.Bidi_Control, r),
					"%q in %q", r, c.text)
			}
		}
		require.Equal(t, n, notify.Tidy(n), "tidied once is tidied for good")
	})
}

func TestTidyLeavesProperTextAlone(t *testing.T) {
	n := notice()
	n.Subject = "Ærøskøbing, نام\u200cها, 👩\u200d🚒"
	n.Text = "a\n\n  b\nc"
	require.Equal(t, n, notify.Tidy(n))
}
