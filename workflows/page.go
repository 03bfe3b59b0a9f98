package workflows

import (
	"fmt"
	"strings"
	"time"

	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/messages"
)

// mostDetails is below the server's limit of 20,000 bytes.
const mostDetails = 19_000

func clipDetails(s string) string {
	if len(s) <= mostDetails {
		return s
	}
	return strings.ToValidUTF8(s[:mostDetails], "") + "\n\n… cut; the status query has all of it"
}

// instant is one as people read it.
func instant(t time.Time) string {
	if t.IsZero() {
		return "not set"
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

// oneLine joins the lines of a text.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func summarizeRun(r messages.RunSummary) string {
	c := r.Counts
	words := fmt.Sprintf("%d people read; %d changes made, %d found already so", c.People, c.Done, c.Already)
	for _, part := range []struct {
		n    int
		what string
	}{
		{c.Held, "held"}, {c.Shortage, "short of licences"}, {c.Refused, "refused"}, {c.Superseded, "no longer needed"},
		{c.Failed, "not done"}, {c.Suppressed, "rejected earlier"}, {c.Foreign, "foreign memberships"},
		{c.Unverified, "not seen when read back"},
	} {
		if part.n > 0 {
			words += fmt.Sprintf(", %d %s", part.n, part.what)
		}
	}
	if r.DryRun {
		words = fmt.Sprintf("dry run: %d adds and %d removals would be made", c.Adds, c.Removals)
	}
	return words
}

func describeRun(r messages.RunSummary) string {
	words := fmt.Sprintf("%s (%s, %s): %s. %s", r.Run, r.Scope, r.Trigger, r.State, summarizeRun(r))
	if !r.Ended.IsZero() {
		words += fmt.Sprintf(", in %s with %d calls", r.Ended.Sub(r.Started).Round(time.Millisecond), r.Counts.Calls)
	}
	if r.Problem != nil {
		words += ". Stopped by " + r.Problem.Kind
	}
	return words
}

// describeRefused lists the signals that were not accepted.
func describeRefused(page *display.Page, refused []messages.RefusedMessage) {
	if len(refused) == 0 {
		return
	}
	page.Line("\n### Signals that were not accepted\n")
	for _, r := range refused {
		var who string
		if r.By != "" {
			who = ", said by " + r.By
		}
		if r.Size > 0 {
			who += fmt.Sprintf(", %d KB", r.Size>>10)
		}
		page.Line("- %s %s%s: %s", instant(r.At), r.Name, who, r.Why)
	}
	page.Line("")
}
