package evidence

import (
	"bufio"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/display"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"text":    func(s string) string { return display.Shorten(display.Visible(s), maxShownText) },
	"brief":   func(s string) string { return display.Shorten(display.Visible(s), maxBriefText) },
	"grouped": display.Number,
	"parts":   splitAddress,
}).Parse(pageText))

const (
	// maxShownText is how many bytes of a text the page shows, so that no text fills it.
	maxShownText = 2_000
	// maxBriefText is the limit in tables, so that browsers can open a page of 10,000 items.
	maxBriefText = 240
)

// HTML checks the pack and writes a self-contained page: it loads no script, font, style sheet or image, and its
// content security policy forbids them. It adapts to phones, dark mode and paper, and can be understood without colours
// and plots. If the pack does not pass Verify, nothing is written; so the pack is held in memory first.
//
// Invisible characters are written as ⟨U+202E⟩, and texts are cut after 2,000 bytes, or 240 in tables. The pack has the
// exact values.
func HTML(r io.Reader, w io.Writer) error {
	var p wholePack
	checked, err := read(r, visitor{
		head:  func(h Head) { p.head = h },
		item:  func(i access.Item) { p.items = append(p.items, i) },
		event: func(e access.ReviewEvent) { p.events = append(p.events, e) },
	})
	if err != nil {
		return err
	}
	out := bufio.NewWriter(w)
	if err := pageTemplate.Execute(out, newPage(p, checked)); err != nil {
		return fmt.Errorf("evidence: write the page: %w", err)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("evidence: write the page: %w", err)
	}
	return nil
}

// splitAddress splits an e-mail address where a narrow column may break it.
func splitAddress(who string) [2]string {
	who = display.Shorten(display.Visible(who), maxBriefText)
	if at := strings.LastIndexByte(who, '@'); at >= 0 {
		return [2]string{who[:at], who[at:]}
	}
	return [2]string{who}
}

type wholePack struct {
	head   Head
	items  []access.Item
	events []access.ReviewEvent
}

// page is the template's data.
type page struct {
	Org, Campaign string
	Summary       []string
	About, Facts  []setting
	Targets       []targetSummary
	MoreTargets   int // omitted
	Settings      []setting
	Findings      []string
	Timeline      *timeline // nil: nobody decided anything
	Outcomes      []outcomeShare
	Reviewers     []reviewerTotals
	MoreReviewers int // who are not among them
	Exceptions    []exception
	Paces         []paceRow
	PaceRule      string // of remarks on the paces
	Milestones    []milestone
	OtherEvents   string // of the log, in numbers
	Items         []row
	Seal          Seal
}

func newPage(p wholePack, checked VerifiedPack) page {
	settings, _ := readSettings(p.head.Campaign) // cannot fail: checked by read
	shown := page{
		Org: p.head.Org, Campaign: p.head.Review.Campaign,
		Summary: summary(p.head.Review, checked.Counts),
		About:   overview(p.head), Facts: facts(p, checked.Counts),
		Settings: settings, Findings: findings(p.head.Review),
		Timeline: newTimeline(p.head.Review, p.events), Outcomes: outcomeShares(checked.Counts),
		Exceptions: exceptions(p.items),
		Paces:      paceRows(Paces(slices.Values(p.events))), PaceRule: paceRule,
		Seal: checked.Seal,
	}
	shown.Reviewers, shown.MoreReviewers = totalsByReviewer(p.items, p.events)
	shown.Targets, shown.MoreTargets = targetSummaries(p.head.Review, p.items)
	shown.Milestones, shown.OtherEvents = all(p.events)
	for _, i := range p.items {
		shown.Items = append(shown.Items, newRow(i))
	}
	return shown
}

func overview(h Head) []setting {
	r := h.Review
	all := []setting{{"Review", r.ID}, {"State", string(r.State)}}
	add := func(name, value string) {
		if value != "" {
			all = append(all, setting{name, value})
		}
	}
	if r.By == "" {
		add("Started by", "the schedule")
	}
	add("Started by", r.By)
	add("Answers for it", r.Owner)
	add("Opened", formatMinute(r.Opened))
	if !r.Closed.IsZero() {
		add("Deciding ended", formatMinute(r.Closed))
	}
	add("Closed by", r.ClosedBy)
	add("Why", r.ClosedWhy)
	if !r.Ended.IsZero() {
		add("Ended", formatMinute(r.Ended))
	}
	add("Stages", display.Number(r.Stages))
	add("A decision needed the reviewer’s code", yesNo(r.Codes))
	if r.Skipped > 0 {
		add("Left out", display.Count(r.Skipped, "item", "items")+" that did not change since last decided")
	}
	add("Policy", h.Policy)
	add("Pack made", formatMinute(h.Made))
	add("By Castellan", h.Castellan)
	return all
}

func facts(p wholePack, c Counts) []setting {
	decided := 0
	people := make(map[string]bool)
	for _, i := range p.items {
		if len(i.Said) > 0 {
			decided++
		}
		for _, s := range i.Said {
			people[s.By] = true
		}
	}
	return []setting{
		{"Items", display.Number(c.Items)},
		{"Decided by people", display.Number(decided)},
		{"Nobody decided", display.Number(c.Items - decided)},
		{"To keep", display.Number(c.Verdicts[string(access.VerdictKeep)])},
		{"To remove", display.Number(c.Verdicts[string(access.VerdictRemove)])},
		{"Exceptions", display.Number(c.Exceptions)},
		{"People who decided", display.Number(len(people))},
		{"Entries of the log", display.Number(c.Events)},
	}
}

// summary returns sentences about the review's result.
func summary(r access.Review, c Counts) []string {
	switch {
	case r.State == access.ReviewCancelled && r.ClosedBy != "":
		return []string{"This review was cancelled by " + r.ClosedBy + ". What was decided is not carried out."}
	case r.State == access.ReviewCancelled:
		return []string{"This review was cancelled. What was decided is not carried out."}
	case c.Items == 0:
		return []string{"There was nothing to review."}
	}
	all := []string{display.Count(c.Items, "item was", "items were") + " reviewed."}
	var parts []string
	for _, o := range outcomeOrder {
		if n := c.Outcomes[string(o)]; n > 0 && !o.Exception() {
			parts = append(parts, display.Number(n)+" "+outcomeTexts[o].Label)
		}
	}
	if len(parts) > 0 {
		all = append(all, strings.ToUpper(parts[0][:1])+strings.Join(parts, ", ")[1:]+".")
	}
	if c.Exceptions == 0 {
		return append(all, "Everything became what was decided.")
	}
	return append(all, display.Count(c.Exceptions, "item is an exception", "items are exceptions")+
		": the outcome is not what was decided, and needs attention.")
}

// findings returns a review's findings, rows that the ledger's chain does not explain first.
func findings(r access.Review) []string {
	var all []string
	for _, row := range r.Unexplained {
		all = append(all, "the ledger's chain does not explain "+row)
	}
	return append(all, r.Findings...)
}
