package evidence

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/castellan-io/castellan/access"
)

// What a pack has of a text at the most, in bytes. What people may say is shorter; what is longer stands in a ledger
// from before it was bounded, or comes from elsewhere.
const (
	mostText  = 8_000
	mostShort = 240 // in a line that is too long as a whole
	mostNames = 100 // of a list, in such a line
)

// cut is a text of so many bytes at the most, at a whole character, with the length and the hash of the whole, so that
// who has the whole can show that it is the one.
func cut(text string, most int) string {
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

// fitting is a value whose line may be too long. Each degree leaves more of it out, and says so where it does.
type fitting[T any] func(value T, degree int) T

// degrees are how often a line is made shorter before that is given up.
const degrees = 24

// fitItem makes an item shorter: its texts, then its lists, then what reviewers said beside their verdicts, then half
// of the reviewers again and again. The log has every word in a line of its own.
func fitItem(i access.Item, degree int) access.Item {
	most := mostText
	if degree > 0 {
		most = mostShort
	}
	for _, text := range []*string{&i.Email, &i.Name, &i.Status, &i.Sponsor, &i.SponsorEmail, &i.Because, &i.Why,
		&i.Plan, &i.Run} {
		*text = cut(*text, most)
	}
	said := i.Said
	i.Said = make([]access.Said, len(said))
	for n, s := range said {
		s.Comment, s.Email = cut(s.Comment, mostText), cut(s.Email, most)
		switch {
		case degree == 1:
			s.Comment = cut(s.Comment, most) // of what the log has
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
	i.Sources, i.Opens, i.Risks = fitNames(i.Sources), fitNames(i.Opens), fitNames(i.Risks)
	i.Uses = i.Uses[:min(len(i.Uses), mostNames)]
	if more := len(i.Reasons) - mostNames; more > 0 {
		i.Reasons = append(i.Reasons[:mostNames:mostNames],
			access.Reason{Kind: i.Reasons[mostNames].Kind, Name: fmt.Sprintf("… (cut: %d more)", more)})
	}
	reasons := i.Reasons
	i.Reasons = make([]access.Reason, len(reasons))
	for n, r := range reasons {
		r.Name, r.Source = cut(r.Name, most), cut(r.Source, most)
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

func fitNames(all []string) []string {
	if more := len(all) - mostNames; more > 0 {
		all = append(all[:mostNames:mostNames], fmt.Sprintf("… (cut: %d more)", more))
	}
	short := make([]string, len(all))
	for n, name := range all {
		short[n] = cut(name, mostShort)
	}
	if len(all) == 0 {
		return nil
	}
	return short
}

// fitEvent makes an entry of the log shorter.
func fitEvent(e access.ReviewEvent, degree int) access.ReviewEvent {
	most := mostText
	if degree > 0 {
		most = mostShort
	}
	for _, text := range []*string{&e.By, &e.ByEmail, &e.Via, &e.To, &e.ToEmail, &e.Text} {
		*text = cut(*text, most)
	}
	return e
}

// fitOpening makes the first line shorter: the review's texts, then its lists, and the campaign last.
func fitOpening(o opening, degree int) opening {
	most := mostText
	if degree > 0 {
		most = mostShort
	}
	r := &o.Review
	for _, text := range []*string{&r.By, &r.Owner, &r.ClosedBy, &r.ClosedWhy} {
		*text = cut(*text, most)
	}
	if degree == 0 {
		return o
	}
	r.Findings, r.Unexplained = fitNames(r.Findings), fitNames(r.Unexplained)
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
