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

// notice is a page of a few words.
type notice struct {
	Title, Text string
	On, OnWords string // where to go on, as an address and in words; empty: nowhere
	Refresh     bool   // goes on by itself
	Resend      *resend
}

// resend is a form with what was sent, to send it again.
type resend struct {
	To     string
	Fields []field
	Shown  []field // of them, what the reviewer wrote
}

type field struct{ Name, Value string }

// refuse answers to every link that opens nothing: forged, expired, revoked, another's or none, in the same bytes.
func (p *page) refuse(w http.ResponseWriter) {
	p.plain(w, http.StatusForbidden, notice{
		Title: "This link opens nothing",
		Text:  "It may have expired, or been replaced by a newer one. Ask the person who runs the review for a new one.",
	})
}

// tooMany answers to whoever asks for more than the bounds allow.
func (p *page) tooMany(w http.ResponseWriter, wait time.Duration) {
	seconds := strconv.Itoa(int(math.Ceil(wait.Seconds())))
	w.Header().Set("Retry-After", seconds)
	p.plain(w, http.StatusTooManyRequests,
		notice{Title: "Too much at once", Text: "Nothing was changed. Wait " + seconds + " s, then try again."})
}

// unread answers to a form that is not read.
func (p *page) unread(w http.ResponseWriter, err error) {
	status, n := http.StatusBadRequest, notice{Title: "Nothing was changed", On: "/review", OnWords: "Go to your list"}
	switch {
	case errors.Is(err, errForeign):
		status = http.StatusForbidden
		n.Text = "What was sent did not come from the page that is open here now. If you opened another link meanwhile, open the right one again."
	case errors.Is(err, errTooBig):
		status = http.StatusRequestEntityTooLarge
		n.Text = "What was sent is more than the page takes at once. Save fewer items at a time, with shorter comments."
	default:
		n.Text = "What was sent is no form of this page."
	}
	p.plain(w, status, n)
}

// unsure answers where Castellan did not, and gives back what was sent.
func (p *page) unsure(w http.ResponseWriter, r *http.Request, f form) {
	n := notice{
		Title: "Castellan did not answer",
		Text:  "It is not certain that what you sent was saved. Look into your list; what is missing there, send again. To send the same twice does no harm.",
		On:    f.now.address(), OnWords: "Go to your list",
		Resend: &resend{To: r.URL.Path},
	}
	for _, name := range slices.Sorted(maps.Keys(f.values)) {
		for _, value := range f.values[name] {
			n.Resend.Fields = append(n.Resend.Fields, field{name, value})
		}
	}
	drafts := f.drafts(nil)
	for _, item := range slices.Sorted(maps.Keys(drafts)) {
		n.Resend.Shown = append(n.Resend.Shown, field{"Item " + strconv.Itoa(item), drafts[item].words()})
	}
	p.plain(w, http.StatusServiceUnavailable, n)
}

// plain writes a page of a few words.
func (p *page) plain(w http.ResponseWriter, status int, n notice) {
	p.render(w, status, plainTemplate, n)
}

// render writes a page, or, if that fails, none of it.
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
