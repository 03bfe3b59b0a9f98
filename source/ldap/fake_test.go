package ldap

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// fakeServer is a small directory that may misbehave. It knows what this package asks: simple binds, who we are,
// searches by equality and presence, paging, and the ranges of Active Directory.
type fakeServer struct {
	t       *testing.T
	entries []fakeEntry
	address string

	password string   // of any account; default secret
	whoami   string   // default dn: and the account
	mute     bool     // does not tell who we are
	tokens   []string // the account's groups
	name     string   // of the server
	usn      int      // its last change
	values   int      // how many of an attribute are given at once; 0: all
	limit    int      // how many entries a page or an answer may have before it ends in an error; 0: any number
	unpaged  bool     // ignores paging

	// search, if not nil, is asked first. It returns true if it has answered.
	search func(number int, q *fakeSearch) bool

	mu       sync.Mutex
	searches []fakeSearch
	byDN     map[string]string // normalized
}

type fakeEntry struct {
	dn         string
	attributes map[string][]string
	deleted    bool // shown with the control for it only
}

type fakeSearch struct {
	base       string
	scope      int64
	filter     *ber.Packet
	attributes []string
	controls   map[string]ldap.Control

	conn    net.Conn
	id      int64
	account string
}

func newFake(t *testing.T, entries ...fakeEntry) *fakeServer {
	s := &fakeServer{t: t, entries: entries, password: "secret"}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.address = listener.Addr().String()
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go s.serve(conn)
		}
	}()
	return s
}

// options are those of Active Directory, or else of OpenLDAP.
func (s *fakeServer) options(active bool) Options {
	return Options{
		URL: "ldap://" + s.address, BindDN: "cn=reader,dc=acme", ActiveDirectory: active, Base: "dc=acme",
		Password: func(context.Context) (string, error) { return "secret", nil },
	}
}

func (s *fakeServer) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.searches)
}

// fakeConn sends what is written once a request is answered, or the connection ends.
type fakeConn struct {
	net.Conn
	out *bufio.Writer
}

func (c fakeConn) Write(p []byte) (int, error) { return c.out.Write(p) }

func (c fakeConn) Close() error {
	_ = c.out.Flush()
	return c.Conn.Close()
}

func (s *fakeServer) serve(over net.Conn) {
	conn := fakeConn{over, bufio.NewWriter(over)}
	defer func() { _ = conn.Close() }()
	in, account := bufio.NewReader(conn), ""
	for {
		packet, err := ber.ReadPacket(in)
		if err != nil {
			return
		}
		id, request := packet.Children[0].Value.(int64), packet.Children[1]
		switch request.Tag {
		case ldap.ApplicationBindRequest:
			account = request.Children[1].Value.(string)
			code := uint16(ldap.LDAPResultSuccess)
			if request.Children[2].Data.String() != s.password {
				code = ldap.LDAPResultInvalidCredentials
			}
			send(conn, id, result(ldap.ApplicationBindResponse, code, "bind"))
		case ldap.ApplicationExtendedRequest:
			s.sendWhoami(conn, id, account)
		case ldap.ApplicationSearchRequest:
			s.answer(parseSearch(packet, conn, id, account))
		default:
			return
		}
		_ = conn.out.Flush()
	}
}

func (s *fakeServer) sendWhoami(conn net.Conn, id int64, account string) {
	if s.mute {
		send(conn, id, result(ldap.ApplicationExtendedResponse, ldap.LDAPResultProtocolError, "unknown"))
		return
	}
	answer := result(ldap.ApplicationExtendedResponse, ldap.LDAPResultSuccess, "")
	if s.whoami != "" {
		account = s.whoami
	}
	answer.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 11, account, ""))
	send(conn, id, answer)
}

func parseSearch(packet *ber.Packet, conn net.Conn, id int64, account string) *fakeSearch {
	request := packet.Children[1].Children
	q := &fakeSearch{
		base: request[0].Value.(string), scope: request[1].Value.(int64), filter: request[6], conn: conn, id: id,
		account: account, controls: map[string]ldap.Control{},
	}
	for _, name := range request[7].Children {
		q.attributes = append(q.attributes, name.Value.(string))
	}
	if len(packet.Children) > 2 {
		for _, child := range packet.Children[2].Children {
			if control, err := ldap.DecodeControl(child); err == nil {
				q.controls[control.GetControlType()] = control
			}
		}
	}
	return q
}

func (s *fakeServer) answer(q *fakeSearch) {
	if q.base == "" {
		q.entry(fakeEntry{attributes: map[string][]string{
			"tokenGroups": s.tokens, "dsServiceName": {s.name}, "highestCommittedUSN": {strconv.Itoa(s.usn)},
		}})
		q.done(ldap.LDAPResultSuccess, "")
		return
	}
	s.mu.Lock()
	number := len(s.searches)
	s.searches = append(s.searches, *q)
	s.mu.Unlock()
	if s.search != nil && s.search(number, q) {
		return
	}
	found := s.find(q)
	if q.scope == ldap.ScopeBaseObject && len(found) == 0 {
		q.done(ldap.LDAPResultNoSuchObject, "")
		return
	}
	s.send(q, found)
}

// find returns the entries that a search matches.
func (s *fakeServer) find(q *fakeSearch) []fakeEntry {
	_, deleted := q.controls[ldap.ControlTypeMicrosoftShowDeleted]
	base := normalize(q.base)
	var found []fakeEntry
	for _, entry := range s.entries {
		dn := s.normalized(entry.dn)
		in := dn == base || q.scope != ldap.ScopeBaseObject && strings.HasSuffix(dn, ","+base)
		if in && (deleted || !entry.deleted) && entry.matches(q.filter) {
			found = append(found, entry)
		}
	}
	return found
}

func (s *fakeServer) normalized(dn string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byDN == nil {
		s.byDN = map[string]string{}
	}
	if s.byDN[dn] == "" {
		s.byDN[dn] = normalize(dn)
	}
	return s.byDN[dn]
}

// send answers a search with a page of what was found.
func (s *fakeServer) send(q *fakeSearch, found []fakeEntry) {
	paging, paged := q.controls[ldap.ControlTypePaging].(*ldap.ControlPaging)
	paged = paged && !s.unpaged
	var cookie []byte
	if paged {
		from := 0
		if len(paging.Cookie) > 0 {
			from, _ = strconv.Atoi(string(paging.Cookie))
		}
		to := min(from+int(paging.PagingSize), len(found))
		if to < len(found) {
			cookie = []byte(strconv.Itoa(to))
		}
		found = found[from:to]
	}
	for i, entry := range found {
		if s.limit > 0 && i == s.limit {
			q.done(ldap.LDAPResultSizeLimitExceeded, "size limit")
			return
		}
		q.entry(s.visible(entry, q.attributes))
	}
	if !paged {
		q.done(ldap.LDAPResultSuccess, "")
		return
	}
	q.done(ldap.LDAPResultSuccess, "", &ldap.ControlPaging{Cookie: cookie})
}

// visible is what is shown of an entry.
func (s *fakeServer) visible(entry fakeEntry, asked []string) fakeEntry {
	shown := fakeEntry{dn: entry.dn, attributes: map[string][]string{}}
	for name, values := range entry.attributes {
		for _, want := range asked {
			base, option, _ := strings.Cut(want, ";range=")
			if !strings.EqualFold(base, name) && want != "*" {
				continue
			}
			first := 0
			if option != "" {
				from, _, _ := strings.Cut(option, "-")
				first, _ = strconv.Atoi(from)
			}
			switch rest := values[min(first, len(values)):]; {
			case option == "" && (s.values == 0 || len(values) <= s.values):
				shown.attributes[name] = values
			case len(rest) > s.values:
				if option == "" {
					shown.attributes[name] = nil
				}
				part := fmt.Sprintf("%s;range=%d-%d", name, first, first+s.values-1)
				shown.attributes[part] = rest[:s.values]
			case len(rest) > 0:
				shown.attributes[fmt.Sprintf("%s;range=%d-*", name, first)] = rest
			}
		}
	}
	return shown
}

func (e fakeEntry) matches(filter *ber.Packet) bool {
	switch filter.Tag {
	case ldap.FilterAnd:
		return !slices.ContainsFunc(filter.Children, func(each *ber.Packet) bool { return !e.matches(each) })
	case ldap.FilterOr:
		return slices.ContainsFunc(filter.Children, e.matches)
	case ldap.FilterNot:
		return !e.matches(filter.Children[0])
	case ldap.FilterPresent:
		name := filter.Data.String()
		return strings.EqualFold(name, "objectClass") || len(e.values(name)) > 0
	case ldap.FilterEqualityMatch:
		name, value := filter.Children[0].Data.String(), filter.Children[1].Data.String()
		return slices.ContainsFunc(e.values(name), func(each string) bool { return strings.EqualFold(each, value) })
	case ldap.FilterSubstrings: // wider than what is asked for
		return len(e.values(filter.Children[0].Data.String())) > 0
	case ldap.FilterGreaterOrEqual:
		name, value := filter.Children[0].Data.String(), filter.Children[1].Data.String()
		return slices.ContainsFunc(e.values(name), func(each string) bool {
			return len(each) > len(value) || len(each) == len(value) && each >= value
		})
	}
	return false
}

func (e fakeEntry) values(name string) []string {
	for each, values := range e.attributes {
		if strings.EqualFold(each, name) {
			return values
		}
	}
	return nil
}

func (q *fakeSearch) entry(entry fakeEntry) {
	packet := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationSearchResultEntry, nil, "")
	packet.AppendChild(octets(entry.dn))
	attributes := ber.NewSequence("")
	for name, values := range entry.attributes {
		attribute, set := ber.NewSequence(""), ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSet, nil, "")
		attribute.AppendChild(octets(name))
		for _, value := range values {
			set.AppendChild(octets(value))
		}
		attribute.AppendChild(set)
		attributes.AppendChild(attribute)
	}
	packet.AppendChild(attributes)
	send(q.conn, q.id, packet)
}

func (q *fakeSearch) reference(url string) {
	packet := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationSearchResultReference, nil, "")
	packet.AppendChild(octets(url))
	send(q.conn, q.id, packet)
}

func (q *fakeSearch) done(code uint16, text string, controls ...ldap.Control) {
	send(q.conn, q.id, result(ldap.ApplicationSearchResultDone, code, text), controls...)
}

func result(tag ber.Tag, code uint16, text string) *ber.Packet {
	packet := ber.Encode(ber.ClassApplication, ber.TypeConstructed, tag, nil, "")
	packet.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, int64(code), ""))
	packet.AppendChild(octets(""))
	packet.AppendChild(octets(text))
	return packet
}

func octets(value string) *ber.Packet {
	return ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, value, "")
}

func send(conn net.Conn, id int64, response *ber.Packet, controls ...ldap.Control) {
	message := ber.NewSequence("")
	message.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, id, ""))
	message.AppendChild(response)
	if len(controls) > 0 {
		list := ber.Encode(ber.ClassContext, ber.TypeConstructed, 0, nil, "")
		for _, control := range controls {
			list.AppendChild(control.Encode())
		}
		message.AppendChild(list)
	}
	_, _ = conn.Write(message.Bytes())
}

// person is an entry of OpenLDAP.
func person(number int) fakeEntry {
	return fakeEntry{dn: fmt.Sprintf("uid=p%d,ou=people,dc=acme", number), attributes: map[string][]string{
		"objectClass": {"inetOrgPerson"}, "uid": {fmt.Sprintf("p%d", number)}, "entryUUID": {uuidOf(number)},
		"mail": {fmt.Sprintf("p%d@acme.example", number)},
	}}
}

func people(count int) []fakeEntry {
	var all []fakeEntry
	for number := range count {
		all = append(all, person(number))
	}
	return all
}

func uuidOf(number int) string {
	return fmt.Sprintf("00000000-0000-0000-0000-%012d", number)
}

func groupOf(name string, number int, members ...string) fakeEntry {
	return fakeEntry{dn: "cn=" + name + ",ou=groups,dc=acme", attributes: map[string][]string{
		"objectClass": {"groupOfNames"}, "cn": {name}, "entryUUID": {uuidOf(900000 + number)}, "member": members,
	}}
}

// adPerson is an entry of Active Directory.
func adPerson(number int) fakeEntry {
	return fakeEntry{dn: fmt.Sprintf("CN=P%d,OU=Staff,DC=acme", number), attributes: map[string][]string{
		"objectClass": {"top", "person", "organizationalPerson", "user"}, "objectCategory": {"person"},
		"objectGUID": {guidOf(number)}, "userAccountControl": {"512"}, "primaryGroupID": {"513"},
		"uSNChanged": {strconv.Itoa(number)}, "mail": {fmt.Sprintf("p%d@acme.example", number)},
	}}
}

func adGroup(name string, number int, members ...string) fakeEntry {
	return fakeEntry{dn: "CN=" + name + ",OU=Groups,DC=acme", attributes: map[string][]string{
		"objectClass": {"top", "group"}, "objectCategory": {"group"}, "cn": {name}, "member": members,
		"objectGUID": {guidOf(900000 + number)}, "uSNChanged": {"7"},
		"primaryGroupToken": {strconv.Itoa(1000 + number)},
	}}
}

func guidOf(number int) string {
	return string(binary.BigEndian.AppendUint64(make([]byte, 8), uint64(number)))
}
