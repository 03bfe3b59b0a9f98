package report

import (
	"bufio"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"

	"github.com/castellan-io/castellan/display"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"text": func(s string) string { return display.Shorten(display.Visible(s), maxShownText) },
}).Parse(pageText))

// maxShownText is how many bytes of a text the page shows, so that no name fills it.
const maxShownText = 2_000

// HTML writes a self-contained page: it loads no script, font, style sheet or image, and its content security policy
// forbids them. It adapts to phones, dark mode and paper, and can be understood without colours. Rows beyond the first
// few are folded; folded rows are not printed, and the page says so.
//
// Invisible characters are written as ⟨U+202E⟩, and texts are cut after 2,000 bytes. JSON has the exact values.
func (r Report) HTML(w io.Writer) error {
	if err := r.Check(); err != nil {
		return err
	}
	out := bufio.NewWriter(w)
	if err := pageTemplate.Execute(out, newPage(r)); err != nil {
		return fmt.Errorf("report: writing the page: %w", err)
	}
	return out.Flush()
}

// page is the template's data.
type page struct {
	Title, Org, ID, Policy string
	At, AtExact            string
	Last                   string // when the report before was made; empty: there is none
	Facts                  []Fact
	Summary                []string // sentences
	Sections               []sectionView
	Columns                []int // 1 to the most columns of a section, for the style sheet
}

// sectionView is a section in the template's data.
type sectionView struct {
	Key, Title, About, Incomplete string
	Severity                      Severity
	Label                         string // the severity
	Clear                         bool   // nothing was found
	Found                         string
	Change                        string // since the report before; empty: there is none
	Trend                         *trend
	Note                          string // rows were cut
	Open, Folded                  *table
}

func newPage(r Report) page {
	p := page{
		Title: r.Title, Org: r.Org, ID: r.ID, Policy: r.Policy,
		At: formatTime(r.At), AtExact: r.At.UTC().Format(time.RFC3339),
		Facts: r.Facts, Summary: summary(r.Sections),
	}
	if len(r.Past) > 0 {
		p.Last = formatTime(r.Past[len(r.Past)-1].At)
	}
	for _, s := range r.Sections {
		p.Sections = append(p.Sections, newSectionView(s, r.Past))
		for len(p.Columns) < len(s.Columns) {
			p.Columns = append(p.Columns, len(p.Columns)+1)
		}
	}
	return p
}

func newSectionView(s Section, past []Past) sectionView {
	p := sectionView{
		Key: s.Key, Title: s.Title, About: s.About, Incomplete: s.Incomplete,
		Severity: s.Severity, Label: severityLabels[s.Severity],
		Clear:  s.Incomplete == "" && s.Count == 0,
		Found:  display.Number(s.Count),
		Change: change(s, past), Trend: newTrend(s, past),
	}
	if s.cut() {
		p.Note = fmt.Sprintf("This report holds %s of %s rows; %s left out.", display.Number(len(s.Rows)), display.Number(s.Count),
			display.Count(s.Count-len(s.Rows), "is", "are"))
	}
	p.Open, p.Folded = newTables(s)
	return p
}

var severityLabels = map[Severity]string{Act: "Act", Look: "Look", Know: "Know"}

func formatTime(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04 UTC") }

// summary returns a sentence or two about what there is to do.
func summary(sections []Section) []string {
	if len(sections) == 0 {
		return []string{"This report has no sections: nothing was looked at."}
	}
	asks := make(map[Severity]int)
	unseen := 0
	for _, s := range sections {
		if s.Incomplete != "" {
			unseen++
		} else if s.Count > 0 {
			asks[s.Severity]++
		}
	}
	sentence := "Nothing to act on or to look at."
	switch act, look := asks[Act], asks[Look]; {
	case act > 0 && look > 0:
		sentence = fmt.Sprintf("%s to act on, and %s to look at.", display.Count(act, "section", "sections"), display.Number(look))
	case act > 0:
		sentence = display.Count(act, "section", "sections") + " to act on."
	case look > 0:
		sentence = display.Count(look, "section", "sections") + " to look at, none to act on."
	}
	sentences := []string{sentence}
	if unseen > 0 {
		sentences = append(sentences, display.Count(unseen, "section", "sections")+
			" could not be read: what is there is not known.")
	}
	return sentences
}

// change describes a section's change since the previous report. If rows cannot be compared, counts still can.
func change(s Section, past []Past) string {
	if len(past) == 0 {
		return ""
	}
	if s.Incomplete != "" {
		return "not known"
	}
	last, known := past[len(past)-1].Counts[s.Key]
	if !known {
		return "not known"
	}
	more := s.Count - last
	// A report that was never compared has zeros, which must not read as "no change".
	if s.New >= 0 && s.Gone >= 0 && s.New-s.Gone == more {
		var said []string
		if s.New > 0 {
			said = append(said, display.Number(s.New)+" new")
		}
		if s.Gone > 0 {
			said = append(said, display.Number(s.Gone)+" gone")
		}
		if len(said) == 0 {
			return "no change"
		}
		return strings.Join(said, ", ")
	}
	switch {
	case more > 0:
		return display.Number(more) + " more"
	case more < 0:
		return display.Number(-more) + " fewer"
	}
	return "as many"
}
