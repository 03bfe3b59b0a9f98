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

// flash is what the next page says of the last form. Its cookie carries it, marked so that nobody else can put words
// there.
type flash struct {
	Text    string                 `json:"text"`
	Bad     bool                   `json:"bad,omitempty"`  // something was not taken
	Item    int                    `json:"item,omitempty"` // which it is about; 0: the page
	Refused []messages.RefusedItem `json:"refused,omitempty"`
	More    int                    `json:"more,omitempty"` // refused beyond those
	// Drafts are what was sent and is not saved, by item: it goes back into the fields. 0 is the form for all items.
	Drafts map[int]draft `json:"drafts,omitempty"`
	Lost   int           `json:"lost,omitempty"` // drafts for which there was no room
}

// draft is what stood in an item's fields.
type draft struct {
	Verdict access.Verdict `json:"verdict,omitempty"`
	Comment string         `json:"comment,omitempty"`
	To      string         `json:"to,omitempty"`   // whom to hand it on to
	Note    string         `json:"note,omitempty"` // for them
	Why     string         `json:"why,omitempty"`  // of following recommendations
}

// words are the draft in a line.
func (d draft) words() string {
	var parts []string
	for _, part := range []string{string(d.Verdict), d.Comment, d.To, d.Note, d.Why} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ", ")
}

const (
	flashPurpose = "flash"
	flashSeconds = 60
	mostFlash    = 3600 // bytes of the cookie, of some 4000 that browsers keep
	mostRefused  = 10   // refused items that are told
	mostTold     = 400  // bytes of one text
)

// tell has the next page say it.
func (p *page) tell(w http.ResponseWriter, link links.Link, f flash) {
	if beyond := len(f.Refused) - mostRefused; beyond > 0 {
		f.Refused, f.More = f.Refused[:mostRefused], f.More+beyond
	}
	f.Text, f.Refused = display.Shorten(f.Text, mostTold), slices.Clone(f.Refused)
	for i := range f.Refused {
		f.Refused[i].Why = display.Shorten(f.Refused[i].Why, mostTold)
	}
	value := encodeFlash(f)
	// What takes most room goes first, until the rest fits.
	for len(value) > mostFlash && (len(f.Drafts) > 0 || len(f.Refused) > 0) {
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

// longest is the item with the longest draft.
func (f flash) longest() (item int, found bool) {
	most := -1
	for n, d := range f.Drafts {
		if size := len(d.words()); size > most || size == most && n > item {
			item, most, found = n, size, true
		}
	}
	return item, found
}

func encodeFlash(f flash) string {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false) // it would make some letters six times as long
	_ = encoder.Encode(f)        // plain data always encodes
	return base64.RawURLEncoding.EncodeToString(text.Bytes())
}

// told is what the last form had to say, once.
func (p *page) told(w http.ResponseWriter, r *http.Request, link links.Link) (f flash) {
	cookie, err := r.Cookie(p.cookieName("flash"))
	if err != nil {
		return flash{}
	}
	http.SetCookie(w, p.cookie("flash", "", -1))
	value, mark, _ := strings.Cut(cookie.Value, ".")
	if !p.signer.Marked(link, flashPurpose, value, mark) {
		return flash{}
	}
	text, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil || json.Unmarshal(text, &f) != nil {
		return flash{}
	}
	return f
}
