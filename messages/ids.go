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

// Limits of Temporal's IDs and search attributes.
const (
	mostID      = 1000 // bytes of a workflow ID, the server's own limit
	mostGrantID = 255  // bytes of a workflow ID that fit the server's tables on PostgreSQL and MySQL
	mostIDPart  = 400  // bytes of one name in a workflow ID, before the whole is cut
	mostKeyword = 255  // bytes of a search attribute that fit a visibility store on PostgreSQL
)

// GrantID returns the workflow ID for what one person holds of one target by grants; key is the person's account ID, or
// the e-mail address in lower case. Different targets or keys never share an ID, whatever characters they have.
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

// GrantIDPrefix begins the IDs of all grants of an organization.
func GrantIDPrefix(org string) string { return "grant:" + org + ":" }

// FormerGrantIDs returns the IDs that such a workflow had before IDs were limited, and before they were encoded.
// Workflows of those times go on under them.
func FormerGrantIDs(org string, target access.Entitlement, key string) []string {
	return []string{longGrantID(org, target, key), FormerGrantIDPrefix(org, target) + key}
}

// FormerGrantIDPrefix is the part before the key in an ID from before IDs were encoded.
func FormerGrantIDPrefix(org string, target access.Entitlement) string {
	return GrantIDPrefix(org) + string(target) + ":"
}

// idPart returns a name as part of a workflow ID, which is sent in an HTTP/2 header and is limited: reserved characters
// and any but printable ASCII are percent-encoded; a name that is too long is cut, and a hash replaces the rest.
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

// cutWithHash returns the text if it has at most most bytes, else its beginning and the hash of of. No cut text equals
// one that was short enough.
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

// requestID matches a request's ID. It is used in commands that people paste: nothing in it is special to a shell.
var requestID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,100}$`)

// CheckRequestID returns an error if the text cannot be the ID of a request.
func CheckRequestID(id string) error {
	if requestID.MatchString(id) {
		return nil
	}
	return fmt.Errorf("the request id %.120q is not taken: write 1 to 100 letters, digits, dots, dashes and underscores, or leave it out", id)
}

// Keyword returns a value for a search attribute: one that is too long is cut, and its hash replaces the rest.
func Keyword(value string) string {
	return cutWithHash(strings.ToValidUTF8(value, "\uFFFD"), value, mostKeyword-1)
}

// CheckID returns an error if a workflow ID cannot be sent to Temporal: the client would try for ever.
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
