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
	"text":    func(s string) string { return display.Shorten(display.Visible(s), mostShown) },
	"brief":   func(s string) string { return display.Shorten(display.Visible(s), mostBrief) },
	"grouped": grouped,
	"parts":   parts,
}).Parse(pageText))

const (
	// mostShown is how many bytes of one text the page shows, so that no single one fills it.
	mostShown = 2_000
	// mostBrief is the same where there are many, so that the page of 10,000 items is one that a browser opens.
	mostBrief = 240
)

// HTML checks the pack and writes one page that needs nothing but itself: no script, font, style sheet or image from
// elsewhere, and a policy in it that forbids them. It adapts to phones, to dark screens and to paper, and needs neither
// colour nor its plots to be understood. Nothing is written of a pack that does not pass Verify; so the pack is held in
// memory first.
//
// Invisible characters are written as ⟨U+202E⟩, and a text ends with … after 2,000 bytes, or 240 in the tables. The
// pack has every value as it is.
func HTML(r io.Reader, w io.Writer) error {
	var p pack
	checked, err := read(r, visitor{
		head:  func(h Head) { p.head = h },
		item:  func(i access.Item) { p.items = append(p.items, i) },
		event: func(e access.ReviewEvent) { p.events = append(p.events, e) },
	})
	if err != nil {
		return err
	}
	out := bufio.NewWriter(w)
	if err := pageTemplate.Execute(out, pageOf(p, checked)); err != nil {
		return fmt.Errorf("evidence: write the page: %w", err)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("evidence: write the page: %w", err)
	}
	return nil
}

// parts are an e-mail address in two, between which a narrow column may break it.
func parts(who string) [2]string {
	who = display.Shorten(display.Visible(who), mostBrief)
	if at := strings.LastIndexByte(who, '@'); at >= 0 {
		return [2]string{who[:at], who[at:]}
	}
	return [2]string{who}
}

// pack is a checked pack as a whole.
type pack struct {
	head   Head
	items  []access.Item
	events []access.ReviewEvent
}

// page is a pack as the template shows it.
type page struct {
	Org, Campaign string
	Sentences     []string
	About, Facts  []setting
	Reaches       []reach
	MoreReaches   int // that are not among them
	Settings      []setting
	Findings      []string
	Timeline      *timeline // nil: nobody decided anything
	Outcomes      []share
	Voices        []voice
	MoreVoices    int // who are not among them
	Exceptions    []exception
	Paces         []paceRow
	Rule          string // of remarks on the paces
	Course        []step
	Rest          string // of the log, in numbers
	Items         []row
	Seal          Seal
}

func pageOf(p pack, checked Checked) page {
	settings, _ := settingsOf(p.head.Campaign) // read before, when the pack was checked
	shown := page{
		Org: p.head.Org, Campaign: p.head.Review.Campaign,
		Sentences: sentences(p.head.Review, checked.Counts),
		About:     about(p.head), Facts: facts(p, checked.Counts),
		Settings: settings, Findings: foundOf(p.head.Review),
		Timeline: timelineOf(p.head.Review, p.events), Outcomes: shares(checked.Counts),
		Exceptions: exceptions(p.items),
		Paces:      paceRows(Paces(slices.Values(p.events))), Rule: paceRule,
		Seal: checked.Seal,
	}
	shown.Voices, shown.MoreVoices = voicesOf(p.items, p.events)
	shown.Reaches, shown.MoreReaches = reaches(p.head.Review, p.items)
	shown.Course, shown.Rest = course(p.events)
	for _, i := range p.items {
		shown.Items = append(shown.Items, rowOf(i))
	}
	return shown
}

func about(h Head) []setting {
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
	add("Opened", minute(r.Opened))
	if !r.Closed.IsZero() {
		add("Deciding ended", minute(r.Closed))
	}
	add("Closed by", r.ClosedBy)
	add("Why", r.ClosedWhy)
	if !r.Ended.IsZero() {
		add("Ended", minute(r.Ended))
	}
	add("Stages", grouped(r.Stages))
	add("A decision needed the reviewer’s code", yes(r.Codes))
	if r.Skipped > 0 {
		add("Left out", some(r.Skipped, "item", "items")+" that did not change since last decided")
	}
	add("Policy", h.Policy)
	add("Pack made", minute(h.Made))
	add("By Castellan", h.Castellan)
	return all
}

func facts(p pack, c Counts) []setting {
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
		{"Items", grouped(c.Items)},
		{"Decided by people", grouped(decided)},
		{"Nobody decided", grouped(c.Items - decided)},
		{"To keep", grouped(c.Verdicts[string(access.VerdictKeep)])},
		{"To remove", grouped(c.Verdicts[string(access.VerdictRemove)])},
		{"Exceptions", grouped(c.Exceptions)},
		{"People who decided", grouped(len(people))},
		{"Entries of the log", grouped(c.Events)},
	}
}

// sentences say what came of the review.
func sentences(r access.Review, c Counts) []string {
	switch {
	case r.State == access.ReviewCancelled && r.ClosedBy != "":
		return []string{"This review was cancelled by " + r.ClosedBy + ". What was decided is not carried out."}
	case r.State == access.ReviewCancelled:
		return []string{"This review was cancelled. What was decided is not carried out."}
	case c.Items == 0:
		return []string{"There was nothing to review."}
	}
	all := []string{some(c.Items, "item was", "items were") + " reviewed."}
	var parts []string
	for _, o := range outcomeOrder {
		if n := c.Outcomes[string(o)]; n > 0 && !o.Exception() {
			parts = append(parts, grouped(n)+" "+outcomes[o].Word)
		}
	}
	if len(parts) > 0 {
		all = append(all, strings.ToUpper(parts[0][:1])+strings.Join(parts, ", ")[1:]+".")
	}
	if c.Exceptions == 0 {
		return append(all, "Everything became what was decided.")
	}
	return append(all, some(c.Exceptions, "item is an exception", "items are exceptions")+
		": what became of it is not what was decided, and somebody has to look.")
}

// foundOf is what was found about a review, what its ledger's chain does not explain first.
func foundOf(r access.Review) []string {
	var all []string
	for _, row := range r.Unexplained {
		all = append(all, "the ledger's chain does not explain "+row)
	}
	return append(all, r.Findings...)
}
