package reviewpage

import (
	"cmp"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/links"
)

// list shows one page of the reviewer's items. It changes nothing.
func (p *page) list(w http.ResponseWriter, r *http.Request) {
	link, ok := p.session(w, r)
	if !ok {
		return
	}
	now := viewOf(r.URL.Query())
	sheet, err := p.desk.Sheet(r.Context(), link, Query{Undecided: now.Undecided, After: now.After, Limit: pageSize})
	if err != nil {
		p.failed(w, r, link, err, "Your list cannot be read. Try again in a moment.")
		return
	}
	// The list's address is no secret, so the browser may tell this site where a form comes from. A page that hides
	// where it is would have browsers hide it from the page's own posts, too.
	w.Header().Set("Referrer-Policy", "same-origin")
	p.render(w, http.StatusOK, listTemplate, p.listOf(sheet, link, now, p.told(w, r, link)))
}

// listPage is a sheet as the template shows it. An address that is empty is not offered.
type listPage struct {
	Title, Org, About, Reviewer, Owner string
	Stage                              string // which of several; empty: there is one
	Due, DueExact, DueIn               string
	Expires                            string
	Decided, Total                     int
	Open                               bool
	Closed                             string
	Now                                view
	Form                               string // the mark that every form carries
	Flash                              *flash // what is not about an item on the page
	Draft                              draft  // of the forms for several items
	Cards                              []card
	NextUndecided                      string
	All, OnlyUndecided                 string
	First, Next                        string
	Nothing                            string // why there are no items
}

// card is one item as the template shows it.
type card struct {
	N                  int
	Name, Mail, Target string
	Marks              []string // what is to be seen at once: from outside, suspended
	Risk               int
	RiskWords          string
	Facts              []fact
	Recommend          access.Verdict
	Because            string
	Mine               access.Verdict
	MyComment          string
	Chosen             access.Verdict // what the fields show: mine, or a draft
	Comment            string
	Was                string // what the fields showed, before any draft
	Version            int
	Unsaved            bool  // the fields show a draft
	Hand               draft // of handing it on
	Flash              *flash
	Open               bool // something can be said of it
}

// fact is what is known of one thing, in one line or several.
type fact struct {
	Name  string
	Lines []string
}

func (p *page) listOf(s Sheet, link links.Link, now view, told flash) listPage {
	l := listPage{
		Title: s.Review.Campaign, Org: s.Org, About: s.About, Reviewer: s.Reviewer, Owner: s.Review.Owner,
		Expires: instant(link.Expires), Decided: s.Decided, Total: s.Total, Open: s.Open, Closed: s.Closed, Now: now,
		Form: p.signer.Mark(link, formPurpose, ""), Draft: told.Drafts[0], Nothing: nothing(s, now),
	}
	if s.Review.Stages > 1 {
		l.Stage = fmt.Sprintf("%d of %d", s.Review.Stage, s.Review.Stages)
	}
	if due := s.Review.Due; !due.IsZero() {
		l.Due, l.DueExact, l.DueIn = instant(due), due.UTC().Format(time.RFC3339), left(due.Sub(p.now()))
	}
	if told.Text != "" {
		l.Flash = &told
	}
	for _, row := range s.Items {
		c := cardOf(row, s, told.Drafts[row.N])
		if l.Flash != nil && l.Flash.Item == row.N {
			c.Flash, l.Flash = l.Flash, nil
		}
		if c.Mine == "" && l.NextUndecided == "" {
			l.NextUndecided = "#item-" + strconv.Itoa(c.N)
		}
		l.Cards = append(l.Cards, c)
	}
	if l.NextUndecided == "" && s.Decided < s.Total {
		l.NextUndecided = view{Undecided: true}.address()
	}
	if now.Undecided {
		l.All = view{}.address()
	} else {
		l.OnlyUndecided = view{Undecided: true}.address()
	}
	if now.After > 0 {
		l.First = view{Undecided: now.Undecided}.address()
	}
	if s.Next > 0 {
		l.Next = view{Undecided: now.Undecided, After: s.Next}.address()
	}
	return l
}

// nothing says why the page has no items.
func nothing(s Sheet, now view) string {
	switch {
	case len(s.Items) > 0:
		return ""
	case s.Total == 0:
		return "Nothing is waiting for you here."
	case s.Decided >= s.Total:
		return "You have decided everything."
	case now.After > 0:
		return "There is nothing beyond the last page."
	}
	return "There is nothing to show."
}

func cardOf(row Row, s Sheet, left draft) card {
	c := card{
		N: row.N, Name: row.Name, Mail: row.Email, Target: targetWords(row.Target), Marks: marks(row.Item),
		Risk: row.Risk, RiskWords: riskWords(row.Risk), Facts: facts(row, s.Review),
		Recommend: row.Recommend, Because: row.Because, Mine: row.Mine, MyComment: row.MyComment,
		Chosen: row.Mine, Comment: row.MyComment, Was: string(row.Mine) + "." + fingerprint(row.MyComment),
		Version: row.Version, Open: s.Open,
	}
	if c.Name == "" {
		c.Name, c.Mail = row.Email, ""
	}
	if c.Name == "" {
		c.Name = row.Person
	}
	switch {
	case left.To != "" || left.Note != "":
		c.Hand = left
	case left != draft{}:
		c.Chosen, c.Comment, c.Unsaved = left.Verdict, left.Comment, true
	}
	return c
}

// marks are what nobody should overlook.
func marks(i access.Item) []string {
	var words []string
	if i.External != nil && *i.External {
		words = append(words, "from outside")
	}
	if i.Status != "" && i.Status != "active" {
		words = append(words, i.Status)
	}
	return words
}

// facts are what is known of the item, each thing always, so that what is missing is seen to be missing.
func facts(row Row, review access.Review) []fact {
	all := []fact{
		{"Opens", opens(row.Item)},
		{"Why", reasons(row.Item)},
		{"Held since", []string{day(row.Since)}},
		{"Last use", lastUses(row.Item, review.Opened)},
		{"Others", []string{peers(row.Item)}},
	}
	if len(row.Risks) > 0 {
		all = append(all, fact{"Risks", row.Risks})
	}
	if outside := row.External; outside == nil {
		all = append(all, fact{"From outside", []string{notKnown}})
	} else if *outside || row.Sponsor != "" {
		all = append(all, fact{"Sponsor", []string{cmp.Or(row.SponsorEmail, row.Sponsor, "nobody")}})
	}
	if len(row.Sources) > 0 {
		all = append(all, fact{"Is in", several(row.Sources)})
	}
	if past := lastTime(row.Before); past != "" {
		all = append(all, fact{"Last review", []string{past}})
	}
	if len(row.Others) > 0 {
		said := fact{Name: "Others said"}
		for _, other := range row.Others {
			said.Lines = append(said.Lines, saidWords(other, review.Stages))
		}
		all = append(all, said)
	}
	return all
}

// mostGroups is how many of a person's groups are told by name.
const mostGroups = 6

func several(groups []string) []string {
	if len(groups) <= mostGroups {
		return groups
	}
	return append(groups[:mostGroups:mostGroups], fmt.Sprintf("and %d more groups", len(groups)-mostGroups))
}
