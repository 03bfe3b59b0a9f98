package reviewpage

import (
	"bytes"
	"errors"
	"html/template"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"go.uber.org/zap"
)

// notice is a page with a short message.
type notice struct {
	Title, Text    string
	Link, LinkText string // where to continue; empty: nowhere
	Refresh        bool   // continues automatically
	Resend         *resend
}

// resend is a form that sends the same again.
type resend struct {
	To     string
	Fields []field
	Shown  []field // of them, those that the reviewer wrote
}

type field struct{ Name, Value string }

// refuse answers every invalid link, forged, expired, revoked, another's or none, with the same bytes.
func (p *page) refuse(w http.ResponseWriter) {
	p.writeNotice(w, http.StatusForbidden, notice{
		Title: "This link is not valid",
		Text:  "It may have expired, or been replaced by a newer one. Ask the person who runs the review for a new one.",
	})
}

// tooMany answers requests beyond the rate limits.
func (p *page) tooMany(w http.ResponseWriter, wait time.Duration) {
	seconds := strconv.Itoa(int(math.Ceil(wait.Seconds())))
	w.Header().Set("Retry-After", seconds)
	p.writeNotice(w, http.StatusTooManyRequests,
		notice{Title: "Too many requests", Text: "Nothing was changed. Wait " + seconds + " s, then try again."})
}

// badForm answers a form that was not read.
func (p *page) badForm(w http.ResponseWriter, err error) {
	status, n := http.StatusBadRequest, notice{Title: "Nothing was changed", Link: "/review", LinkText: "Go to your list"}
	switch {
	case errors.Is(err, errForeign):
		status = http.StatusForbidden
		n.Text = "What was sent did not come from the page that is open here now. If you opened another link meanwhile, open the right one again."
	case errors.Is(err, errTooBig):
		status = http.StatusRequestEntityTooLarge
		n.Text = "What was sent is more than the page takes at once. Save fewer items at a time, with shorter comments."
	default:
		n.Text = "What was sent is not a form of this page."
	}
	p.writeNotice(w, status, n)
}

// unknownOutcome answers when the backend did not, and offers to send the same again.
func (p *page) unknownOutcome(w http.ResponseWriter, r *http.Request, f form) {
	n := notice{
		Title: "Castellan did not answer",
		Text:  "It is not certain that what you sent was saved. Look into your list; what is missing there, send again. To send the same twice does no harm.",
		Link:  f.view.address(), LinkText: "Go to your list",
		Resend: &resend{To: r.URL.Path},
	}
	for _, name := range slices.Sorted(maps.Keys(f.values)) {
		for _, value := range f.values[name] {
			n.Resend.Fields = append(n.Resend.Fields, field{name, value})
		}
	}
	drafts := f.drafts(nil)
	for _, item := range slices.Sorted(maps.Keys(drafts)) {
		n.Resend.Shown = append(n.Resend.Shown, field{"Item " + strconv.Itoa(item), drafts[item].summary()})
	}
	p.writeNotice(w, http.StatusServiceUnavailable, n)
}

func (p *page) writeNotice(w http.ResponseWriter, status int, n notice) {
	p.render(w, status, plainTemplate, n)
}

// render writes a page, or an error if it cannot be rendered.
func (p *page) render(w http.ResponseWriter, status int, t *template.Template, data any) {
	var out bytes.Buffer
	if err := t.Execute(&out, data); err != nil {
		p.log.Error("the review page could not be written", zap.Error(err))
		http.Error(w, "Castellan cannot show this page.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(out.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(out.Bytes()) // the client may be gone
}
