package ldap

import (
	"bytes"
	"context"
	"net/url"
	"strconv"
	"strings"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"github.com/castellan-io/castellan/source"
)

// query is a search of a whole subtree, page by page.
type query struct {
	what       string // for errors
	base       string
	filter     string
	attributes []string
	page       int
	wanted     func(attribute string) bool // whose values are all needed
	controls   []ldap.Control              // besides paging
}

// pages shows each page of a search's entries to show. That it ends without an error means that these were all. While
// a page is shown, the next one is on its way.
func (r *Reader) pages(ctx context.Context, c *conn, q query, show func([]*ldap.Entry) error) error {
	seen := map[string]bool{}
	var cookie []byte
	empty := 0
	for coming := c.page(ctx, q, nil); ; {
		answer := <-coming
		if answer.err != nil {
			return answer.err
		}
		if err := r.checkReferences(c, q.what, answer.result.Referrals); err != nil {
			return err
		}
		next, err := c.checkPage(q, cookie, answer.result, seen)
		if err != nil {
			return err
		}
		if empty++; len(answer.result.Entries) > 0 {
			empty = 0
		}
		if empty > maxEmpty {
			return c.fail(source.ErrMalformed, "%s: more than %d pages without an entry", q.what, maxEmpty)
		}
		if cookie = next; len(cookie) > 0 {
			coming = c.page(ctx, q, cookie)
		}
		if err := c.completeAll(ctx, answer.result.Entries, q.wanted); err != nil {
			return err
		}
		if err := show(answer.result.Entries); err != nil {
			return err
		}
		if len(cookie) == 0 {
			return nil
		}
	}
}

// maxEmpty is how many pages in a row may hold nobody: a server may look at so many entries that do not match.
const maxEmpty = 1000

type pageAnswer struct {
	result *ldap.SearchResult
	err    error
}

// page asks for a page. If nobody waits for the answer any more, it ends with the connection.
func (c *conn) page(ctx context.Context, q query, cookie []byte) <-chan pageAnswer {
	controls := append([]ldap.Control{&pagingControl{size: q.page, cookie: cookie}}, q.controls...)
	request := ldap.NewSearchRequest(q.base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false, q.filter,
		q.attributes, controls)
	answer := make(chan pageAnswer, 1)
	go func() {
		result, err := c.search(ctx, q.what, request)
		answer <- pageAnswer{result, err}
	}()
	return answer
}

// checkPage returns the cookie for the page after this one, which was asked for with a cookie itself.
func (c *conn) checkPage(
	q query, cookie []byte, result *ldap.SearchResult, seen map[string]bool,
) ([]byte, error) {
	answer, ok := ldap.FindControl(result.Controls, ldap.ControlTypePaging).(*ldap.ControlPaging)
	switch {
	case !ok:
		return nil, c.fail(source.ErrIncomplete, "%s: the server does not page, so that nothing tells the last page",
			q.what)
	case len(result.Entries) > q.page:
		return nil, c.fail(source.ErrMalformed, "%s: a page of %d entries, where %d were asked for", q.what,
			len(result.Entries), q.page)
	case len(result.Entries) == 0 && len(answer.Cookie) > 0 && bytes.Equal(answer.Cookie, cookie):
		return nil, c.fail(source.ErrMalformed, "%s: the server repeats an empty page", q.what)
	}
	for _, entry := range result.Entries {
		if seen[entry.DN] {
			return nil, c.fail(source.ErrMalformed, "%s: the server shows %q twice; if it was moved, read again",
				q.what, entry.DN)
		}
		seen[entry.DN] = true
	}
	return answer.Cookie, nil
}

// pagingControl is the request of RFC 2696. Unlike the library's, it is critical: a server that cannot page says so.
type pagingControl struct {
	size   int
	cookie []byte
}

func (p *pagingControl) GetControlType() string { return ldap.ControlTypePaging }
func (p *pagingControl) String() string         { return "page of " + strconv.Itoa(p.size) }

func (p *pagingControl) Encode() *ber.Packet {
	packet := (&ldap.ControlPaging{PagingSize: uint32(p.size), Cookie: p.cookie}).Encode()
	return critical(packet.Children[0], packet.Children[1:]...)
}

// critical returns a control that the server must not ignore.
func critical(kind *ber.Packet, value ...*ber.Packet) *ber.Packet {
	packet := ber.NewSequence("Control")
	packet.AppendChild(kind)
	packet.AppendChild(ber.NewBoolean(ber.ClassUniversal, ber.TypePrimitive, ber.TagBoolean, true, "Criticality"))
	for _, each := range value {
		packet.AppendChild(each)
	}
	return packet
}

// checkReferences fails if a part of what was asked for is on another server, unless no people are there.
func (r *Reader) checkReferences(c *conn, what string, references []string) error {
	for _, reference := range references {
		dn, err := dnOfReference(reference)
		if err == nil && (r.o.ActiveDirectory && isOwnPartition(dn) || r.isElsewhere(dn)) {
			continue
		}
		return c.fail(source.ErrIncomplete, "%s: a part of it is on another server, %.300q: narrow the base, ask the "+
			"global catalog, or list it as elsewhere", what, reference)
	}
	return nil
}

func dnOfReference(reference string) (string, error) {
	u, err := url.Parse(reference)
	if err != nil {
		return "", err
	}
	return strings.TrimPrefix(u.Path, "/"), nil
}

// isOwnPartition reports whether a DN is one of the partitions that Active Directory refers to from the root of a
// domain, and that hold no people.
func isOwnPartition(dn string) bool {
	first, _, _ := strings.Cut(normalize(dn), ",")
	return first == "cn=configuration" || first == "dc=domaindnszones" || first == "dc=forestdnszones"
}

func (r *Reader) isElsewhere(dn string) bool {
	for _, other := range r.o.Elsewhere {
		if isUnder(dn, other) {
			return true
		}
	}
	return false
}
