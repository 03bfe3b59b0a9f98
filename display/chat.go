package display

import (
	"regexp"
	"strings"
)

// Mrkdwn returns a text of several lines in Slack's markup. Slack wants only three characters escaped: they begin its
// mentions and links (https://docs.slack.dev/messaging/formatting-message-text). What would format letters, or begin a
// quotation, is replaced by look-alikes; and since Mattermost and others also read @channel and [links](…) in plain
// text, an invisible character is put into those.
func Mrkdwn(text string) string {
	text = angles.Replace(quotation.ReplaceAllString(Lines(text), "$1›"))
	text = replaceOuterUnderscores(lookalikes.Replace(text), "＿")
	return mention.ReplaceAllString(strings.ReplaceAll(text, "](", "]\u200b("), "@\u200b$1")
}

// MrkdwnBlock returns a command as a block, letter by letter. An invisible character follows each backtick, which could
// end the block.
func MrkdwnBlock(command string) string {
	return "```" + strings.ReplaceAll(angles.Replace(Line(command)), "`", "`\u200b") + "```"
}

var (
	angles     = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
	lookalikes = strings.NewReplacer("*", "∗", "~", "∼", "`", "ˋ")
	quotation  = regexp.MustCompile(`(?m)^(\s*)>`)
	mention    = regexp.MustCompile(`(?i)@(channel|here|everyone|all)\b`)
)
