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
	maxBodyBytes = 512 << 10 // a page of the longest comments, every letter escaped
	maxComment   = messages.MostComment
	maxAddress   = 254 // characters
	pageSize     = 25  // items
)

// formPurpose is the purpose of the signature in every form.
const formPurpose = "form"

// form is what a reviewer sent.
type form struct {
	values url.Values
	view   view
}

// view is the part of the list that is shown.
type view struct {
	Undecided bool
	After     int
}

// viewOf reads the view from a query or a form; invalid values mean the beginning.
func viewOf(values url.Values) view {
	after, err := strconv.Atoi(values.Get("after"))
	if err != nil || after < 0 {
		after = 0
	}
	return view{Undecided: values.Get("undecided") == "1", After: after}
}

// address returns the view's path and query.
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

// Why a form is not read.
var (
	errForeign = errors.New("this was not sent from the page that is open under this link")
	errTooBig  = errors.New("this is more than the page takes at once")
	errForm    = errors.New("this is not a form of this page")
)

// readForm reads a form that the link's own page sent, and refuses any other.
func (p *page) readForm(w http.ResponseWriter, r *http.Request, link links.Link) (form, error) {
	if !p.sameOrigin(r) {
		return form{}, errForeign
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil ||
		kind != "application/x-www-form-urlencoded" {
		return form{}, errForm
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBodyBytes)
	if err := r.ParseForm(); err != nil {
		var big *http.MaxBytesError
		if errors.As(err, &big) {
			return form{}, errTooBig
		}
		return form{}, errForm
	}
	if !p.signer.VerifyMark(link, formPurpose, "", r.PostForm.Get("form")) {
		return form{}, errForeign
	}
	f := form{values: r.PostForm, view: viewOf(r.PostForm)}
	if len(f.items()) > pageSize {
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

// sameOrigin reports whether the form came from a page of this site. Every browser sends one of the two headers.
func (p *page) sameOrigin(r *http.Request) bool {
	site, origin := r.Header.Get("Sec-Fetch-Site"), r.Header.Get("Origin")
	if site != "" && site != "same-origin" {
		return false
	}
	if origin == "null" { // from a page that hides its origin
		return site == "same-origin"
	}
	return origin == p.origin || origin == "" && site == "same-origin"
}

// items returns the items on the page that was sent, in order.
func (f form) items() []int {
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

// item returns the item that the form is about; 0: none.
func (f form) item() int {
	n, err := strconv.Atoi(f.values.Get("item"))
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// value returns the value of an item's field.
func (f form) value(name string, item int) string {
	return normalize(f.values.Get(name + "-" + strconv.Itoa(item)))
}

// verdict returns the verdict that was chosen for an item.
func (f form) verdict(item int) access.Verdict {
	return verdictOf(f.value("verdict", item))
}

// original returns what the page showed in the item's fields: the verdict, and the comment's fingerprint.
func (f form) original(item int) (verdict access.Verdict, comment string) {
	had, comment, _ := strings.Cut(f.value("was", item), ".")
	return verdictOf(had), comment
}

// changed reports whether the item's fields were changed.
func (f form) changed(item int) bool {
	verdict, comment := f.original(item)
	return f.verdict(item) != verdict || fingerprint(f.value("comment", item)) != comment
}

// version returns the item's version that the page showed, or nil.
func (f form) version(item int) *int {
	n, err := strconv.Atoi(f.value("version", item))
	if err != nil {
		return nil
	}
	return &n
}

// newComment returns the item's comment if it was changed.
func (f form) newComment(item int) string {
	if _, was := f.original(item); fingerprint(f.value("comment", item)) == was {
		return ""
	}
	return f.value("comment", item)
}

func verdictOf(s string) access.Verdict {
	if v := access.Verdict(s); v == access.VerdictKeep || v == access.VerdictRemove {
		return v
	}
	return ""
}

// fingerprint returns a short hash of a comment, to detect changes.
func fingerprint(comment string) string {
	sum := sha256.Sum256([]byte(normalize(comment)))
	return hex.EncodeToString(sum[:6])
}

// normalize undoes browsers' line endings, and trims.
func normalize(s string) string {
	return strings.TrimSpace(strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n"))
}
