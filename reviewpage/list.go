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
	shown := viewOf(r.URL.Query())
	sheet, err := p.backend.Sheet(r.Context(), link,
		Query{Undecided: shown.Undecided, After: shown.After, Limit: pageSize})
	if err != nil {
		p.answerError(w, r, link, err, "Your list cannot be read. Try again in a moment.")
		return
	}
	// The list's address is no secret. With no-referrer, browsers would hide the origin of the page's own posts, too.
	w.Header().Set("Referrer-Policy", "same-origin")
	p.render(w, http.StatusOK, listTemplate, p.newListPage(sheet, link, shown, p.takeFlash(w, r, link)))
}

// listPage is the template's data. Empty addresses are not offered.
type listPage struct {
	Title, Org, About, Reviewer, Owner string
	Stage                              string // of several; "": there is one
	Due, DueExact, DueIn               string
	Expires                            string
	Decided, Total                     int
	Open                               bool
	Closed                             string
	View                               view
	Form                               string // the signature in every form
	Flash                              *flash // unless it is about an item on the page
	Draft                              draft  // of the form for several items
	Cards                              []card
	NextUndecided                      string
	All, OnlyUndecided                 string
	First, Next                        string
	EmptyText                          string // why there are no items
}

// card is one item in the template's data.
type card struct {
	N                  int
	Name, Mail, Target string
	Badges             []string // from outside, suspended
	Risk               int
	RiskLevel          string
	Facts              []fact
	Recommend          access.Verdict
	Because            string
	Mine               access.Verdict
	MyComment          string
	Chosen             access.Verdict // shown in the fields: mine, or a draft's
	Comment            string
	Was                string // the fields without a draft
	Version            int
	Unsaved            bool // the fields show a draft
	Delegation         draft
	Flash              *flash
	Open               bool // may be decided
}

// fact is a fact about an item.
type fact struct {
	Name  string
	Lines []string
}

func (p *page) newListPage(s Sheet, link links.Link, shown view, last flash) listPage {
	l := listPage{
		Title: s.Review.Campaign, Org: s.Org, About: s.About, Reviewer: s.Reviewer, Owner: s.Review.Owner,
		Expires: formatTime(link.Expires), Decided: s.Decided, Total: s.Total, Open: s.Open, Closed: s.Closed,
		View: shown,
		Form: p.signer.Mark(link, formPurpose, ""), Draft: last.Drafts[0], EmptyText: emptyText(s, shown),
	}
	if s.Review.Stages > 1 {
		l.Stage = fmt.Sprintf("%d of %d", s.Review.Stage, s.Review.Stages)
	}
	if due := s.Review.Due; !due.IsZero() {
		l.Due, l.DueExact, l.DueIn = formatTime(due), due.UTC().Format(time.RFC3339), timeLeft(due.Sub(p.now()))
	}
	if last.Text != "" {
		l.Flash = &last
	}
	for _, row := range s.Items {
		c := newCard(row, s, last.Drafts[row.N])
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
	if shown.Undecided {
		l.All = view{}.address()
	} else {
		l.OnlyUndecided = view{Undecided: true}.address()
	}
	if shown.After > 0 {
		l.First = view{Undecided: shown.Undecided}.address()
	}
	if s.Next > 0 {
		l.Next = view{Undecided: shown.Undecided, After: s.Next}.address()
	}
	return l
}

// emptyText explains why the page has no items; "" if it has.
func emptyText(s Sheet, shown view) string {
	switch {
	case len(s.Items) > 0:
		return ""
	case s.Total == 0:
		return "Nothing is waiting for you here."
	case s.Decided >= s.Total:
		return "You have decided everything."
	case shown.After > 0:
		return "There is nothing beyond the last page."
	}
	return "There is nothing to show."
}

func newCard(row Row, s Sheet, left draft) card {
	c := card{
		N: row.N, Name: row.Name, Mail: row.Email, Target: targetText(row.Target), Badges: badges(row.Item),
		Risk: row.Risk, RiskLevel: riskLevel(row.Risk), Facts: facts(row, s.Review),
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
		c.Delegation = left
	case left != draft{}:
		c.Chosen, c.Comment, c.Unsaved = left.Verdict, left.Comment, true
	}
	return c
}

// badges returns what nobody should overlook.
func badges(i access.Item) []string {
	var words []string
	if i.External != nil && *i.External {
		words = append(words, "external")
	}
	if i.Status != "" && i.Status != "active" {
		words = append(words, i.Status)
	}
	return words
}

// facts returns the item's facts. Unknown ones are listed too, so that it shows that they are unknown.
func facts(row Row, review access.Review) []fact {
	all := []fact{
		{"Opens", opens(row.Item)},
		{"Why", reasons(row.Item)},
		{"Held since", []string{formatDay(row.Since)}},
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
		all = append(all, fact{"Is in", shortenGroups(row.Sources)})
	}
	if past := previousDecision(row.Before); past != "" {
		all = append(all, fact{"Last review", []string{past}})
	}
	if len(row.Others) > 0 {
		said := fact{Name: "Others said"}
		for _, other := range row.Others {
			said.Lines = append(said.Lines, decisionText(other, review.Stages))
		}
		all = append(all, said)
	}
	return all
}

// maxGroups is how many of a person's groups are named.
const maxGroups = 6

func shortenGroups(groups []string) []string {
	if len(groups) <= maxGroups {
		return groups
	}
	return append(groups[:maxGroups:maxGroups], fmt.Sprintf("and %d more groups", len(groups)-maxGroups))
}
