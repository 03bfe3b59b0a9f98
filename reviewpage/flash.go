package reviewpage

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/links"
	"github.com/castellan-io/castellan/messages"
)

// flash is what the next page shows about the last form. It is kept in a signed cookie, so that nobody else can forge
// it.
type flash struct {
	Text    string                 `json:"text"`
	Bad     bool                   `json:"bad,omitempty"`  // something was not accepted
	Item    int                    `json:"item,omitempty"` // the item it is about; 0: the page
	Refused []messages.RefusedItem `json:"refused,omitempty"`
	More    int                    `json:"more,omitempty"` // number of further refused items
	// Drafts are what was sent but not saved, by item, to be put back into the fields. 0 is the form for several items.
	Drafts map[int]draft `json:"drafts,omitempty"`
	Lost   int           `json:"lost,omitempty"` // number of drafts that did not fit
}

// draft is the content of an item's fields.
type draft struct {
	Verdict access.Verdict `json:"verdict,omitempty"`
	Comment string         `json:"comment,omitempty"`
	To      string         `json:"to,omitempty"`   // delegate
	Note    string         `json:"note,omitempty"` // for the delegate
	Why     string         `json:"why,omitempty"`  // comment on following recommendations
}

// summary returns the draft on one line.
func (d draft) summary() string {
	var parts []string
	for _, part := range []string{string(d.Verdict), d.Comment, d.To, d.Note, d.Why} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ", ")
}

const (
	flashPurpose  = "flash"
	flashSeconds  = 60
	maxFlashBytes = 3600 // browsers keep about 4000
	maxRefused    = 10
	maxFlashText  = 400 // bytes of one text
)

// setFlash sets what the next page shows.
func (p *page) setFlash(w http.ResponseWriter, link links.Link, f flash) {
	if beyond := len(f.Refused) - maxRefused; beyond > 0 {
		f.Refused, f.More = f.Refused[:maxRefused], f.More+beyond
	}
	f.Text, f.Refused = display.Shorten(f.Text, maxFlashText), slices.Clone(f.Refused)
	for i := range f.Refused {
		f.Refused[i].Why = display.Shorten(f.Refused[i].Why, maxFlashText)
	}
	value := encodeFlash(f)
	// Drop the largest until the rest fits.
	for len(value) > maxFlashBytes && (len(f.Drafts) > 0 || len(f.Refused) > 0) {
		if longest, found := f.longest(); found {
			delete(f.Drafts, longest)
			f.Lost++
		} else {
			f.Refused, f.More = f.Refused[:len(f.Refused)-1], f.More+1
		}
		value = encodeFlash(f)
	}
	http.SetCookie(w, p.cookie("flash", value+"."+p.signer.Mark(link, flashPurpose, value), flashSeconds))
}

// longest returns the item with the longest draft.
func (f flash) longest() (item int, found bool) {
	most := -1
	for n, d := range f.Drafts {
		if size := len(d.summary()); size > most || size == most && n > item {
			item, most, found = n, size, true
		}
	}
	return item, found
}

func encodeFlash(f flash) string {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false) // escapes would make some letters six times as long
	_ = encoder.Encode(f)        // cannot fail
	return base64.RawURLEncoding.EncodeToString(text.Bytes())
}

// takeFlash returns the flash, and removes its cookie.
func (p *page) takeFlash(w http.ResponseWriter, r *http.Request, link links.Link) (f flash) {
	cookie, err := r.Cookie(p.cookieName("flash"))
	if err != nil {
		return flash{}
	}
	http.SetCookie(w, p.cookie("flash", "", -1))
	value, mark, _ := strings.Cut(cookie.Value, ".")
	if !p.signer.VerifyMark(link, flashPurpose, value, mark) {
		return flash{}
	}
	text, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil || json.Unmarshal(text, &f) != nil {
		return flash{}
	}
	return f
}
