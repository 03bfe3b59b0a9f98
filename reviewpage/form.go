package reviewpage

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/links"
	"github.com/castellan-io/castellan/messages"
)

// The bounds of a form.
const (
	mostBody    = 512 << 10 // bytes: a page full of the longest comments, each letter of them escaped
	mostComment = messages.MostComment
	mostAddress = 254 // characters
	pageSize    = 25  // items
)

// formPurpose is what the mark in every form is for.
const formPurpose = "form"

// form is what a reviewer sent.
type form struct {
	values url.Values
	now    view
}

// view is which part of the list a browser shows.
type view struct {
	Undecided bool
	After     int
}

// viewOf reads the part of the list from an address or a form; what makes no sense is its beginning.
func viewOf(values url.Values) view {
	after, err := strconv.Atoi(values.Get("after"))
	if err != nil || after < 0 {
		after = 0
	}
	return view{Undecided: values.Get("undecided") == "1", After: after}
}

// address is where the part of the list is.
func (v view) address() string {
	query := url.Values{}
	if v.Undecided {
		query.Set("undecided", "1")
	}
	if v.After > 0 {
		query.Set("after", strconv.Itoa(v.After))
	}
	if len(query) == 0 {
		return "/review"
	}
	return "/review?" + query.Encode()
}

// The answers to a form that is not read.
var (
	errForeign = errors.New("this was not sent from the page that is open under this link")
	errTooBig  = errors.New("this is more than the page takes at once")
	errForm    = errors.New("this is not a form of this page")
)

// readForm reads a form that the link's own page sent.
func (p *page) readForm(w http.ResponseWriter, r *http.Request, link links.Link) (form, error) {
	if !p.sameOrigin(r) {
		return form{}, errForeign
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil ||
		kind != "application/x-www-form-urlencoded" {
		return form{}, errForm
	}
	r.Body = http.MaxBytesReader(w, r.Body, mostBody)
	if err := r.ParseForm(); err != nil {
		var big *http.MaxBytesError
		if errors.As(err, &big) {
			return form{}, errTooBig
		}
		return form{}, errForm
	}
	if !p.signer.Marked(link, formPurpose, "", r.PostForm.Get("form")) {
		return form{}, errForeign
	}
	f := form{values: r.PostForm, now: viewOf(r.PostForm)}
	if len(f.numbers()) > pageSize {
		return form{}, errTooBig
	}
	for _, all := range f.values {
		for _, value := range all {
			if !utf8.ValidString(value) || strings.ContainsRune(value, 0) {
				return form{}, errForm
			}
		}
	}
	return f, nil
}

// sameOrigin says that the browser sent the form from a page of this site. Every browser says so by one header or the
// other.
func (p *page) sameOrigin(r *http.Request) bool {
	site, origin := r.Header.Get("Sec-Fetch-Site"), r.Header.Get("Origin")
	if site != "" && site != "same-origin" {
		return false
	}
	if origin == "null" { // what a page says of itself that hides where it is
		return site == "same-origin"
	}
	return origin == p.origin || origin == "" && site == "same-origin"
}

// numbers are the items of the page that was sent, in order.
func (f form) numbers() []int {
	found := make(map[int]bool)
	for name := range f.values {
		if number, ok := strings.CutPrefix(name, "was-"); ok {
			if n, err := strconv.Atoi(number); err == nil && n > 0 {
				found[n] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// item is the one item that the form is about; 0: none.
func (f form) item() int {
	n, err := strconv.Atoi(f.values.Get("item"))
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// of is what the form says in one of an item's fields.
func (f form) of(name string, item int) string {
	return tidy(f.values.Get(name + "-" + strconv.Itoa(item)))
}

// verdict is what was chosen of an item.
func (f form) verdict(item int) access.Verdict {
	return verdictOf(f.of("verdict", item))
}

// was is what the page had in the item's fields: the verdict, and the fingerprint of the comment.
func (f form) was(item int) (verdict access.Verdict, comment string) {
	had, comment, _ := strings.Cut(f.of("was", item), ".")
	return verdictOf(had), comment
}

// changed says that the item's fields are not as the page had them.
func (f form) changed(item int) bool {
	verdict, comment := f.was(item)
	return f.verdict(item) != verdict || fingerprint(f.of("comment", item)) != comment
}

// version is the item's version as the page showed it: nil where the form does not say.
func (f form) version(item int) *int {
	n, err := strconv.Atoi(f.of("version", item))
	if err != nil {
		return nil
	}
	return &n
}

// newComment is the item's comment, if it is not the one that the page had.
func (f form) newComment(item int) string {
	if _, was := f.was(item); fingerprint(f.of("comment", item)) == was {
		return ""
	}
	return f.of("comment", item)
}

func verdictOf(s string) access.Verdict {
	if v := access.Verdict(s); v == access.VerdictKeep || v == access.VerdictRemove {
		return v
	}
	return ""
}

// fingerprint is a short note of a comment, to tell later whether it was touched.
func fingerprint(comment string) string {
	sum := sha256.Sum256([]byte(tidy(comment)))
	return hex.EncodeToString(sum[:6])
}

// tidy undoes what browsers do to line ends.
func tidy(s string) string {
	return strings.TrimSpace(strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n"))
}
