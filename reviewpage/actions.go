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

// result is the result of a form.
type result struct {
	answer messages.ReviewAnswer
	item   int   // the item it was about; 0: several
	sent   []int // the items that were sent
}

// action passes a form to the backend. A [RefusedError] is for the reviewer to read, also if the form itself is wrong.
type action func(ctx context.Context, backend Backend, link links.Link, f form) (result, error)

// handle returns the handler of one kind of form. Unless it fails, it redirects to the list, which shows the result.
func (p *page) handle(say action) http.HandlerFunc {
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
			p.badForm(w, err)
			return
		}
		done, err := say(r.Context(), p.backend, link, f)
		var refused RefusedError
		switch {
		case errors.As(err, &refused):
			p.setFlash(w, link, flash{Text: refused.Why, Bad: true, Item: done.item, Drafts: f.drafts(nil)})
		case errors.Is(err, ErrLinkInvalid):
			p.refuse(w)
			return
		case err != nil:
			p.logError(r, link, err)
			p.unknownOutcome(w, r, f)
			return
		default:
			p.setFlash(w, link, newFlash(done, f))
		}
		to := f.view.address()
		if done.item > 0 {
			to += "#item-" + strconv.Itoa(done.item)
		}
		http.Redirect(w, r, to, http.StatusSeeOther)
	}
}

// newFlash returns what the list shows of the backend's answer. What was not accepted goes back into the fields.
func newFlash(done result, f form) flash {
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

// drafts returns the fields that were changed, without those of saved items.
func (f form) drafts(saved []int) map[int]draft {
	drafts := make(map[int]draft)
	for _, n := range f.items() {
		if f.changed(n) && !slices.Contains(saved, n) {
			drafts[n] = draft{Verdict: f.verdict(n), Comment: f.value("comment", n)}
		}
	}
	// Delegating, and following recommendations, have forms of their own.
	if own := (draft{To: normalize(f.values.Get("to")), Note: normalize(f.values.Get("note")),
		Why: normalize(f.values.Get("why"))}); own != (draft{}) && !slices.Contains(saved, f.item()) {
		drafts[f.item()] = own
	}
	return drafts
}

// decide decides one item, those on the page whose fields were changed, or all undecided ones with a recommendation.
func decide(ctx context.Context, backend Backend, link links.Link, f form) (result, error) {
	in := messages.DecideInput{By: link.Reviewer}
	if recommended := f.values.Get("recommended"); recommended != "" {
		in.Verdict, in.Comment = verdictOf(recommended), normalize(f.values.Get("why"))
		in.All = &messages.ItemFilter{Undecided: true, Recommend: in.Verdict}
		if in.Verdict == "" {
			return result{}, RefusedError{"Nothing was changed: choose which of the recommendations to follow."}
		}
		if err := checkLength("The comment", in.Comment, maxComment); err != nil {
			return result{}, err
		}
		answer, err := backend.Decide(ctx, link, in)
		return result{answer: answer, sent: []int{0}}, err
	}
	done := result{item: f.item()}
	for _, n := range f.items() {
		if done.item > 0 && n != done.item || done.item == 0 && (!f.changed(n) || f.verdict(n) == "") {
			continue
		}
		line := messages.DecideLine{Item: n, Verdict: f.verdict(n), Comment: f.value("comment", n), Version: f.version(n)}
		if line.Verdict == "" {
			return done, RefusedError{"Not saved: choose keep or remove first."}
		}
		if err := checkLength(fmt.Sprintf("The comment on item %d", n), line.Comment, maxComment); err != nil {
			return done, err
		}
		in.Lines, done.sent = append(in.Lines, line), append(done.sent, n)
	}
	if len(in.Lines) == 0 {
		return done, RefusedError{"Nothing was saved: nothing new was chosen on this page."}
	}
	answer, err := backend.Decide(ctx, link, in)
	done.answer = answer
	return done, err
}

// comment comments on one item without deciding it.
func comment(ctx context.Context, backend Backend, link links.Link, f form) (result, error) {
	done := result{item: f.item()}
	in := messages.CommentInput{By: link.Reviewer, Item: done.item, Comment: f.value("comment", done.item)}
	if err := oneItem(in.Item); err != nil {
		return done, err
	}
	if in.Comment == "" {
		return done, RefusedError{"Nothing was sent: write a comment first."}
	}
	if err := checkLength("The comment", in.Comment, maxComment); err != nil {
		return done, err
	}
	answer, err := backend.Comment(ctx, link, in)
	done.answer = answer
	if was, _ := f.original(done.item); f.verdict(done.item) == was {
		done.sent = []int{done.item} // otherwise the chosen verdict is still unsaved
	}
	return done, err
}

// delegate delegates one item, or all undecided ones.
func delegate(ctx context.Context, backend Backend, link links.Link, f form) (result, error) {
	done := result{item: f.item(), sent: []int{f.item()}}
	in := messages.DelegateInput{By: link.Reviewer, To: normalize(f.values.Get("to")), Comment: normalize(f.values.Get("note"))}
	switch {
	case f.values.Get("all") == "undecided":
		in.All = &messages.ItemFilter{Undecided: true}
	case done.item > 0:
		in.Items = []int{done.item}
	default:
		return done, oneItem(0)
	}
	if in.To == "" {
		return done, RefusedError{"Nothing was handed on: write the e-mail address of the person who should decide."}
	}
	if err := checkLength("The address", in.To, maxAddress); err != nil {
		return done, err
	}
	if err := checkLength("The comment", in.Comment, maxComment); err != nil {
		return done, err
	}
	answer, err := backend.Delegate(ctx, link, in)
	done.answer = answer
	return done, err
}

// reopen withdraws the reviewer's decision on one item.
func reopen(ctx context.Context, backend Backend, link links.Link, f form) (result, error) {
	done := result{item: f.item(), sent: []int{f.item()}}
	if err := oneItem(done.item); err != nil {
		return done, err
	}
	in := messages.ReopenInput{By: link.Reviewer, Items: []int{done.item}, Comment: f.newComment(done.item)}
	if err := checkLength("The comment", in.Comment, maxComment); err != nil {
		return done, err
	}
	answer, err := backend.Reopen(ctx, link, in)
	done.answer = answer
	return done, err
}

func oneItem(n int) error {
	if n == 0 {
		return RefusedError{"Nothing was changed: the form does not say which item it is about."}
	}
	return nil
}

func checkLength(what, text string, most int) error {
	if length := utf8.RuneCountInString(text); length > most {
		return RefusedError{fmt.Sprintf("Not saved: %s has %d characters, and may have %d.", what, length, most)}
	}
	return nil
}
