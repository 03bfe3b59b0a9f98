// Package ldap is a small LDAP directory in memory, on a loopback address: simple binds, who am I, and searches page by
// page, as OpenLDAP answers them; of attributes with many values, as Active Directory does. It changes by method calls
// alone.
package ldap

import (
	"bufio"
	"crypto/subtle"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

// Options say who may read the directory, and how it answers.
type Options struct {
	BindDN   string
	Password string
	// MaxValues is how many values of an attribute are given at once: one that has more is shown empty, beside a range
	// of it. 0: all are given.
	MaxValues int
}

// Server is a directory that is served. DNs are compared as they are written, whatever the case.
type Server struct {
	options  Options
	listener net.Listener

	mu      sync.Mutex
	conns   map[net.Conn]bool
	entries []entry
}

type entry struct {
	dn         string
	attributes map[string][]string // by name in lower case
}

// operational are the attributes that are shown only to who asks for them by name.
var operational = []string{"entryuuid", "pwdaccountlockedtime"}

// Listen serves an empty directory at a free port of 127.0.0.1. Close it.
func Listen(o Options) (*Server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Server{options: o, listener: listener, conns: map[net.Conn]bool{}}
	go s.accept()
	return s, nil
}

// Address is the server's host and port.
func (s *Server) Address() string { return s.listener.Addr().String() }

// Add adds an entry. Whoever adds it gives it an entryUUID, which nothing changes.
func (s *Server) Add(dn string, attributes map[string][]string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at(dn) >= 0 {
		return fmt.Errorf("the directory has %s already", dn)
	}
	added := entry{dn, map[string][]string{}}
	for name, values := range attributes {
		added.attributes[strings.ToLower(name)] = slices.Clone(values)
	}
	s.entries = append(s.entries, added)
	return nil
}

// Set replaces all values of an attribute; without any it is removed.
func (s *Server) Set(dn, attribute string, values ...string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.at(dn)
	if i < 0 {
		return fmt.Errorf("the directory has no %s", dn)
	}
	changed := maps.Clone(s.entries[i].attributes) // an answer may be under way
	changed[strings.ToLower(attribute)] = slices.Clone(values)
	s.entries[i].attributes = changed
	return nil
}

// Remove removes an entry; what names it stays.
func (s *Server) Remove(dn string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.at(dn)
	if i < 0 {
		return fmt.Errorf("the directory has no %s", dn)
	}
	s.entries = slices.Delete(slices.Clone(s.entries), i, i+1) // an answer may be under way
	return nil
}

// Values returns the values of an attribute.
func (s *Server) Values(dn, attribute string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := s.at(dn); i >= 0 {
		return slices.Clone(s.entries[i].attributes[strings.ToLower(attribute)])
	}
	return nil
}

// at is the index of an entry, or -1.
func (s *Server) at(dn string) int {
	return slices.IndexFunc(s.entries, func(e entry) bool { return strings.EqualFold(e.dn, dn) })
}

// Close ends the server and its connections.
func (s *Server) Close() {
	_ = s.listener.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.conns {
		_ = conn.Close()
	}
}

func (s *Server) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns[conn] = true
		s.mu.Unlock()
		go s.serve(conn)
	}
}

// serve answers the requests of a connection, one after the other.
func (s *Server) serve(conn net.Conn) {
	defer func() {
		_ = conn.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.conns, conn)
	}()
	in, c := bufio.NewReader(conn), &session{Server: s, out: bufio.NewWriter(conn)}
	for {
		packet, err := ber.ReadPacket(in)
		if err != nil || !c.answer(packet) || c.out.Flush() != nil {
			return
		}
	}
}

// session is a connection with who is bound.
type session struct {
	*Server
	out   *bufio.Writer
	id    int64 // of the message that is answered
	bound string
}

// answer answers a message; false: the connection ends.
func (c *session) answer(packet *ber.Packet) bool {
	if len(packet.Children) < 2 {
		return false
	}
	id, numbered := packet.Children[0].Value.(int64)
	request := packet.Children[1]
	c.id = id
	switch {
	case !numbered:
		return false
	case request.Tag == ldap.ApplicationBindRequest && len(request.Children) == 3:
		c.bind(request.Children[1].Data.String(), request.Children[2].Data.String())
	case request.Tag == ldap.ApplicationExtendedRequest && len(request.Children) == 1 &&
		request.Children[0].Data.String() == ldap.ControlTypeWhoAmI:
		answer := result(ldap.ApplicationExtendedResponse, ldap.LDAPResultSuccess)
		answer.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 11, "dn:"+c.bound, ""))
		c.send(answer)
	case request.Tag == ldap.ApplicationExtendedRequest:
		c.send(result(ldap.ApplicationExtendedResponse, ldap.LDAPResultProtocolError))
	case request.Tag == ldap.ApplicationSearchRequest && len(request.Children) == 8:
		c.search(request.Children, paging(packet))
	default: // an unbind, or what this server does not know
		return false
	}
	return true
}

func (c *session) bind(dn, password string) {
	c.bound = ""
	known := strings.EqualFold(dn, c.options.BindDN) && password != "" &&
		subtle.ConstantTimeCompare([]byte(password), []byte(c.options.Password)) == 1
	if !known {
		c.send(result(ldap.ApplicationBindResponse, ldap.LDAPResultInvalidCredentials))
		return
	}
	c.bound = dn
	c.send(result(ldap.ApplicationBindResponse, ldap.LDAPResultSuccess))
}

// paging is the control that asks for a page, or nil.
func paging(packet *ber.Packet) *ldap.ControlPaging {
	if len(packet.Children) < 3 {
		return nil
	}
	for _, child := range packet.Children[2].Children {
		if control, err := ldap.DecodeControl(child); err == nil {
			if asked, is := control.(*ldap.ControlPaging); is {
				return asked
			}
		}
	}
	return nil
}

// search answers with the entries that match, or with one page of them: the cookie is how many were shown.
func (c *session) search(request []*ber.Packet, asked *ldap.ControlPaging) {
	base, scope := request[0].Data.String(), request[1].Value
	if c.bound == "" {
		c.send(result(ldap.ApplicationSearchResultDone, ldap.LDAPResultInsufficientAccessRights))
		return
	}
	found, known := c.find(base, scope == int64(ldap.ScopeBaseObject), request[6])
	if !known {
		c.send(result(ldap.ApplicationSearchResultDone, ldap.LDAPResultNoSuchObject))
		return
	}
	var controls []ldap.Control
	if asked != nil {
		from, _ := strconv.Atoi(string(asked.Cookie))
		from = min(max(from, 0), len(found))
		to := min(from+int(asked.PagingSize), len(found))
		next := &ldap.ControlPaging{}
		if to < len(found) {
			next.Cookie = []byte(strconv.Itoa(to))
		}
		found, controls = found[from:to], []ldap.Control{next}
	}
	var names []string
	for _, name := range request[7].Children {
		names = append(names, strings.ToLower(name.Data.String()))
	}
	for _, e := range found {
		c.send(e.packet(names, c.options.MaxValues))
	}
	c.send(result(ldap.ApplicationSearchResultDone, ldap.LDAPResultSuccess), controls...)
}

// find returns the entries at, or also under, a DN that a filter matches, and whether there is anything there at all.
func (s *Server) find(base string, alone bool, filter *ber.Packet) (found []entry, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	base = strings.ToLower(base)
	for _, e := range s.entries {
		dn := strings.ToLower(e.dn)
		if dn != base && (alone || !strings.HasSuffix(dn, ","+base)) {
			continue
		}
		known = true
		if e.matches(filter) {
			found = append(found, e)
		}
	}
	return found, known
}
