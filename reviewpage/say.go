package reviewpage

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/castellan-io/castellan/links"
	"github.com/castellan-io/castellan/messages"
)

// said is what became of a form: the desk's answer, and the drafts that go back into the fields beside those of refused
// items.
type said struct {
	answer messages.ReviewAnswer
	item   int   // which it was about; 0: several
	sent   []int // items of which something was sent
}

// say puts a form before the desk. A [Refused] is for the reviewer to read, also where the form itself makes no sense.
type say func(ctx context.Context, desk Desk, link links.Link, f form) (said, error)

// takes is the handler of one kind of form: whatever comes of it, it leads back to the list, which says so.
func (p *page) takes(say say) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		link, ok := p.session(w, r)
		if !ok {
			return
		}
		if wait := p.posts.take(link.ID, p.now()); wait > 0 {
			p.tooMany(w, wait)
			return
		}
		f, err := p.readForm(w, r, link)
		if err != nil {
			p.unread(w, err)
			return
		}
		done, err := say(r.Context(), p.desk, link, f)
		var refused Refused
		switch {
		case errors.As(err, &refused):
			p.tell(w, link, flash{Text: refused.Why, Bad: true, Item: done.item, Drafts: f.drafts(nil)})
		case errors.Is(err, ErrNoEntry):
			p.refuse(w)
			return
		case err != nil:
			p.report(r, link, err)
			p.unsure(w, r, f)
			return
		default:
			p.tell(w, link, flashOf(done, f))
		}
		to := f.now.address()
		if done.item > 0 {
			to += "#item-" + strconv.Itoa(done.item)
		}
		http.Redirect(w, r, to, http.StatusSeeOther)
	}
}

// flashOf is what the list says of the desk's answer. What was not taken goes back into the fields.
func flashOf(done said, f form) flash {
	a := done.answer
	refused := make(map[int]bool)
	for _, r := range a.Refused {
		refused[r.Item] = true
	}
	nothing := a.Applied+a.Repeated == 0
	saved := slices.DeleteFunc(slices.Clone(done.sent), func(n int) bool { return nothing || refused[n] })
	return flash{
		Text: a.Message, Bad: nothing || a.Declined > 0 || len(refused) > 0, Item: done.item,
		Refused: a.Refused, More: max(0, a.Declined-len(a.Refused)), Drafts: f.drafts(saved),
	}
}

// drafts are the fields of the form that were touched, but for those of items that are saved.
func (f form) drafts(saved []int) map[int]draft {
	drafts := make(map[int]draft)
	for _, n := range f.numbers() {
		if f.changed(n) && !slices.Contains(saved, n) {
			drafts[n] = draft{Verdict: f.verdict(n), Comment: f.of("comment", n)}
		}
	}
	// What is handed on, or said of many, is in a form of its own.
	if own := (draft{To: tidy(f.values.Get("to")), Note: tidy(f.values.Get("note")),
		Why: tidy(f.values.Get("why"))}); own != (draft{}) && !slices.Contains(saved, f.item()) {
		drafts[f.item()] = own
	}
	return drafts
}

// decide is what the reviewer says of one item, of those of the page whose fields were touched, or of all undecided
// ones of a recommendation.
func decide(ctx context.Context, desk Desk, link links.Link, f form) (said, error) {
	in := messages.DecideInput{By: link.Reviewer}
	if recommended := f.values.Get("recommended"); recommended != "" {
		in.Verdict, in.Comment = verdictOf(recommended), tidy(f.values.Get("why"))
		in.All = &messages.ItemFilter{Undecided: true, Recommend: in.Verdict}
		if in.Verdict == "" {
			return said{}, Refused{"Nothing was changed: choose which of the recommendations to follow."}
		}
		if err := short("The comment", in.Comment, mostComment); err != nil {
			return said{}, err
		}
		answer, err := desk.Decide(ctx, link, in)
		return said{answer: answer, sent: []int{0}}, err
	}
	done := said{item: f.item()}
	for _, n := range f.numbers() {
		if done.item > 0 && n != done.item || done.item == 0 && (!f.changed(n) || f.verdict(n) == "") {
			continue
		}
		line := messages.DecideLine{Item: n, Verdict: f.verdict(n), Comment: f.of("comment", n), Version: f.version(n)}
		if line.Verdict == "" {
			return done, Refused{"Not saved: choose keep or remove first."}
		}
		if err := short(fmt.Sprintf("The comment on item %d", n), line.Comment, mostComment); err != nil {
			return done, err
		}
		in.Lines, done.sent = append(in.Lines, line), append(done.sent, n)
	}
	if len(in.Lines) == 0 {
		return done, Refused{"Nothing was saved: nothing new was chosen on this page."}
	}
	answer, err := desk.Decide(ctx, link, in)
	done.answer = answer
	return done, err
}

// comment is a word on one item that decides nothing.
func comment(ctx context.Context, desk Desk, link links.Link, f form) (said, error) {
	done := said{item: f.item()}
	in := messages.CommentInput{By: link.Reviewer, Item: done.item, Comment: f.of("comment", done.item)}
	if err := oneItem(in.Item); err != nil {
		return done, err
	}
	if in.Comment == "" {
		return done, Refused{"Nothing was sent: write a comment first."}
	}
	if err := short("The comment", in.Comment, mostComment); err != nil {
		return done, err
	}
	answer, err := desk.Comment(ctx, link, in)
	done.answer = answer
	if was, _ := f.was(done.item); f.verdict(done.item) == was {
		done.sent = []int{done.item} // otherwise the verdict that was chosen still waits
	}
	return done, err
}

// delegate hands one item on, or all that are undecided.
func delegate(ctx context.Context, desk Desk, link links.Link, f form) (said, error) {
	done := said{item: f.item(), sent: []int{f.item()}}
	in := messages.DelegateInput{By: link.Reviewer, To: tidy(f.values.Get("to")), Comment: tidy(f.values.Get("note"))}
	switch {
	case f.values.Get("all") == "undecided":
		in.All = &messages.ItemFilter{Undecided: true}
	case done.item > 0:
		in.Items = []int{done.item}
	default:
		return done, oneItem(0)
	}
	if in.To == "" {
		return done, Refused{"Nothing was handed on: write the e-mail address of the person who should decide."}
	}
	if err := short("The address", in.To, mostAddress); err != nil {
		return done, err
	}
	if err := short("The comment", in.Comment, mostComment); err != nil {
		return done, err
	}
	answer, err := desk.Delegate(ctx, link, in)
	done.answer = answer
	return done, err
}

// reopen takes back what the reviewer said of one item.
func reopen(ctx context.Context, desk Desk, link links.Link, f form) (said, error) {
	done := said{item: f.item(), sent: []int{f.item()}}
	if err := oneItem(done.item); err != nil {
		return done, err
	}
	in := messages.ReopenInput{By: link.Reviewer, Items: []int{done.item}, Comment: f.newComment(done.item)}
	if err := short("The comment", in.Comment, mostComment); err != nil {
		return done, err
	}
	answer, err := desk.Reopen(ctx, link, in)
	done.answer = answer
	return done, err
}

func oneItem(n int) error {
	if n == 0 {
		return Refused{"Nothing was changed: the form does not say which item it is about."}
	}
	return nil
}

func short(what, text string, most int) error {
	if length := utf8.RuneCountInString(text); length > most {
		return Refused{fmt.Sprintf("Not saved: %s has %d characters, and may have %d.", what, length, most)}
	}
	return nil
}
