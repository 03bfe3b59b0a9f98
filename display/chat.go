package display

import (
	"regexp"
	"strings"
)

// Mrkdwn is a text of several lines in Slack's markup. Three characters are all that Slack wants escaped: they begin
// its mentions and links (https://docs.slack.dev/messaging/formatting-message-text). What would set letters apart, or
// begin a quotation, is replaced by what looks alike; and since Mattermost and others also read @channel and [links](…)
// in plain text, an invisible character stands within those.
func Mrkdwn(text string) string {
	text = angles.Replace(quotation.ReplaceAllString(Lines(text), "$1›"))
	text = replaceOuterUnderscores(lookalikes.Replace(text), "＿")
	return mention.ReplaceAllString(strings.ReplaceAll(text, "](", "]\u200b("), "@\u200b$1")
}

// MrkdwnBlock sets a command apart, letter by letter. Behind a backtick, which could end the block, stands an invisible
// character.
func MrkdwnBlock(command string) string {
	return "```" + strings.ReplaceAll(angles.Replace(Line(command)), "`", "`\u200b") + "```"
}

var (
	angles     = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
	lookalikes = strings.NewReplacer("*", "∗", "~", "∼", "`", "ˋ")
	quotation  = regexp.MustCompile(`(?m)^(\s*)>`)
	mention    = regexp.MustCompile(`(?i)@(channel|here|everyone|all)\b`)
)
