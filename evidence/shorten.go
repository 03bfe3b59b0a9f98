package evidence

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/castellan-io/castellan/access"
)

// The largest texts and lists of a pack. What people enter is shorter; longer texts are older than the limits, or come
// from elsewhere.
const (
	maxText       = 8_000
	maxShortText  = 240 // in a line that is too long as a whole
	maxListLength = 100 // of a list, in such a line
)

// truncate cuts a text to at most so many bytes, and adds the whole text's length and hash, so that whoever has the
// whole text can prove it.
func truncate(text string, most int) string {
	if len(text) <= most {
		return text
	}
	sum := sha256.Sum256([]byte(text))
	at := most
	for at > 0 && !utf8.RuneStart(text[at]) {
		at--
	}
	return fmt.Sprintf("%s… (cut: %d bytes, sha256:%s)", text[:at], len(text), hex.EncodeToString(sum[:]))
}

// shortener shortens a value whose line is too long. Each degree omits more of it, and marks what it omitted.
type shortener[T any] func(value T, degree int) T

// maxDegrees is how often a line is shortened before Writer gives up.
const maxDegrees = 24

// shortenItem shortens an item's texts, then its lists, then the comments, then halves the list of decisions again and
// again. The log has each decision in a line of its own.
func shortenItem(i access.Item, degree int) access.Item {
	most := maxText
	if degree > 0 {
		most = maxShortText
	}
	for _, text := range []*string{&i.Email, &i.Name, &i.Status, &i.Sponsor, &i.SponsorEmail, &i.Because, &i.Why,
		&i.Plan, &i.Run} {
		*text = truncate(*text, most)
	}
	said := i.Said
	i.Said = make([]access.ItemDecision, len(said))
	for n, s := range said {
		s.Comment, s.Email = truncate(s.Comment, maxText), truncate(s.Email, most)
		switch {
		case degree == 1:
			s.Comment = truncate(s.Comment, most)
		case degree > 1:
			s.Comment, s.Email = "", ""
		}
		i.Said[n] = s
	}
	if len(said) == 0 {
		i.Said = nil
	}
	if degree == 0 {
		return i
	}
	i.Sources, i.Opens, i.Risks = shortenList(i.Sources), shortenList(i.Opens), shortenList(i.Risks)
	i.Uses = i.Uses[:min(len(i.Uses), maxListLength)]
	if more := len(i.Reasons) - maxListLength; more > 0 {
		i.Reasons = append(i.Reasons[:maxListLength:maxListLength],
			access.Reason{Kind: i.Reasons[maxListLength].Kind, Name: fmt.Sprintf("… (cut: %d more)", more)})
	}
	reasons := i.Reasons
	i.Reasons = make([]access.Reason, len(reasons))
	for n, r := range reasons {
		r.Name, r.Source = truncate(r.Name, most), truncate(r.Source, most)
		i.Reasons[n] = r
	}
	if len(reasons) == 0 {
		i.Reasons = nil
	}
	if degree > 2 {
		i.Said = i.Said[:len(i.Said)>>(degree-2)]
	}
	return i
}

func shortenList(all []string) []string {
	if more := len(all) - maxListLength; more > 0 {
		all = append(all[:maxListLength:maxListLength], fmt.Sprintf("… (cut: %d more)", more))
	}
	short := make([]string, len(all))
	for n, name := range all {
		short[n] = truncate(name, maxShortText)
	}
	if len(all) == 0 {
		return nil
	}
	return short
}

func shortenEvent(e access.ReviewEvent, degree int) access.ReviewEvent {
	most := maxText
	if degree > 0 {
		most = maxShortText
	}
	for _, text := range []*string{&e.By, &e.ByEmail, &e.Via, &e.To, &e.ToEmail, &e.Text} {
		*text = truncate(*text, most)
	}
	return e
}

// shortenOpening shortens the first line: the review's texts, then its lists, and the campaign last.
func shortenOpening(o opening, degree int) opening {
	most := maxText
	if degree > 0 {
		most = maxShortText
	}
	r := &o.Review
	for _, text := range []*string{&r.By, &r.Owner, &r.ClosedBy, &r.ClosedWhy} {
		*text = truncate(*text, most)
	}
	if degree == 0 {
		return o
	}
	r.Findings, r.Unexplained = shortenList(r.Findings), shortenList(r.Unexplained)
	if degree > 1 {
		r.Holders = nil
		r.Findings = append(r.Findings, "how many people hold each target was left out: it was too long")
	}
	if degree > 2 {
		sum := sha256.Sum256(o.Campaign)
		o.Campaign, _ = json.Marshal(map[string]string{
			"name": o.Review.Campaign, "description": fmt.Sprintf(
				"the campaign was too long (cut: %d bytes, sha256:%s)", len(o.Campaign), hex.EncodeToString(sum[:])),
		})
	}
	return o
}
