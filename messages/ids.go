package messages

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/castellan-io/castellan/access"
)

// Bounds of what Temporal identifies and lists things by.
const (
	mostID      = 1000 // bytes of a workflow ID, the server's own bound
	mostGrantID = 255  // bytes of a workflow ID: what the server's tables on PostgreSQL and MySQL take
	mostIDPart  = 400  // bytes of one name in a workflow ID, before the whole is cut
	mostKeyword = 255  // bytes of a search attribute: what a visibility store on PostgreSQL takes
)

// GrantID is the workflow ID of what one person holds of one target by grants; key is the person's account id, or the
// e-mail address in lower case. Two different targets or keys never have one ID, whatever their names are made of.
func GrantID(org string, target access.Entitlement, key string) string {
	return cutWithHash(longGrantID(org, target, key), org+"\x00"+string(target)+"\x00"+key, mostGrantID-1)
}

func longGrantID(org string, target access.Entitlement, key string) string {
	kind, name, found := strings.Cut(string(target), ":")
	if found {
		kind += ":" + idPart(name, "%:") // the key alone may have colons: account ids do
	}
	return GrantIDPrefix(org) + kind + ":" + idPart(key, "%")
}

// GrantIDPrefix is what the IDs of all grants of an organization begin with.
func GrantIDPrefix(org string) string { return "grant:" + org + ":" }

// FormerGrantIDs are the IDs that such a workflow had before IDs were bounded, and before they were encoded. Workflows
// of those times go on under them.
func FormerGrantIDs(org string, target access.Entitlement, key string) []string {
	return []string{longGrantID(org, target, key), FormerGrantIDPrefix(org, target) + key}
}

// FormerGrantIDPrefix is what stands before the key in an ID from before IDs were encoded.
func FormerGrantIDPrefix(org string, target access.Entitlement) string {
	return GrantIDPrefix(org) + string(target) + ":"
}

// idPart is a name in a workflow ID, which travels in a header of HTTP/2 and is bounded: what is not printable ASCII,
// and what is reserved, is percent-encoded; a name that is too long is cut, and its hash is put in place of the rest.
func idPart(name, reserved string) string {
	var b strings.Builder
	for i := range len(name) {
		if c := name[i]; c < ' ' || c > '~' || strings.IndexByte(reserved, c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return cutWithHash(b.String(), name, mostIDPart)
}

// cutWithHash returns the text, or, where it is longer than most bytes, its beginning and the hash of what it stands
// for. Texts that are no longer than most bytes and such as were cut are never the same.
func cutWithHash(text, of string, most int) string {
	if len(text) <= most {
		return text
	}
	sum := sha256.Sum256([]byte(of))
	begin := most - 32
	for begin > 0 && !utf8.RuneStart(text[begin]) {
		begin--
	}
	return text[:begin] + strings.Repeat("~", most-begin-32+1) + hex.EncodeToString(sum[:16])
}

// requestID is the form of a request's id. It stands in commands that people paste: nothing in it means anything to a
// shell.
var requestID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,100}$`)

// CheckRequestID says why a text cannot be the id of a request.
func CheckRequestID(id string) error {
	if requestID.MatchString(id) {
		return nil
	}
	return fmt.Errorf("the request id %.120q is not taken: write 1 to 100 letters, digits, dots, dashes and underscores, or leave it out", id)
}

// Keyword is a value as search attributes take it: one that is too long is cut, and its hash is put in place of the
// rest.
func Keyword(value string) string {
	return cutWithHash(strings.ToValidUTF8(value, "\uFFFD"), value, mostKeyword-1)
}

// CheckID says why a workflow ID cannot travel to Temporal: the client would try without end.
func CheckID(id string) error {
	if len(id) > mostID {
		return fmt.Errorf("the workflow ID %s… has %d bytes; at most %d are allowed", strings.ToValidUTF8(id[:60], ""),
			len(id), mostID)
	}
	for i := range len(id) {
		if id[i] < ' ' || id[i] > '~' {
			return fmt.Errorf("the workflow ID %q is not plain ASCII: check the names in it", id)
		}
	}
	return nil
}
