package ldap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/source"
)

// seen is what one read showed.
type seen struct {
	people map[string]source.Identity
	groups map[string]source.Group // by name
	proof  source.Proof
	pages  int
}

func read(t *testing.T, o Options) (seen, error) {
	t.Helper()
	r, err := New(o)
	require.NoError(t, err)
	s := seen{people: map[string]source.Identity{}, groups: map[string]source.Group{}}
	s.proof, err = r.Read(t.Context(), func(page source.Page) error {
		s.pages++
		for _, person := range page.People {
			_, again := s.people[person.Key]
			require.False(t, again, person.Key)
			s.people[person.Key] = person
		}
		for _, group := range page.Groups {
			require.NotContains(t, s.groups, group.Name)
			require.True(t, slices.IsSorted(group.Members))
			s.groups[group.Name] = group
		}
		return nil
	})
	if err != nil {
		require.Empty(t, s.proof)
	}
	return s, err
}

func readAll(t *testing.T, o Options) seen {
	t.Helper()
	s, err := read(t, o)
	require.NoError(t, err)
	require.Len(t, s.people, s.proof.People)
	require.Len(t, s.groups, s.proof.Groups)
	return s
}

func TestReadShowsPeopleInPages(t *testing.T) {
	fake := newFake(t, append(people(1201),
		groupOf("dev", 1, "UID=P7, ou=People,dc=acme", "uid=p3,ou=people,dc=acme"))...)
	s := readAll(t, fake.options(false))
	require.Len(t, s.people, 1201)
	require.Equal(t, source.Identity{Key: uuidOf(7), Attributes: map[string]any{
		"objectClass": "inetOrgPerson", "uid": "p7", "mail": "p7@acme.example", "entryUUID": uuidOf(7),
	}}, s.people[uuidOf(7)])
	require.Equal(t, []string{uuidOf(3), uuidOf(7)}, s.groups["dev"].Members)
	require.Equal(t, uuidOf(900001), s.groups["dev"].Key)
	require.Equal(t, 2, s.proof.Memberships)
	require.Equal(t, 4, fake.count(), "three pages of people, one of groups")
}

// TestReadTakesNobodyForAFault: an account that lost its rights is shown nothing, and no error.
func TestReadTakesNobodyForAFault(t *testing.T) {
	fake := newFake(t, groupOf("atl-dev", 1))
	_, err := read(t, fake.options(false))
	require.ErrorIs(t, err, source.ErrIncomplete)
	require.ErrorContains(t, err, "nobody at all")
}

// TestReadRanges: Active Directory gives the values of an attribute in parts of 1,500.
func TestReadRanges(t *testing.T) {
	for _, count := range []int{1500, 1501, 3000, 4000} {
		t.Run(fmt.Sprint(count), func(t *testing.T) {
			var entries []fakeEntry
			var members []string
			for number := range count {
				entries = append(entries, adPerson(number))
				members = append(members, strings.ToLower(entries[number].dn))
			}
			fake := newFake(t, append(entries, adGroup("all", 1, members...))...)
			fake.values = 1500
			s := readAll(t, fake.options(true))
			require.Len(t, s.groups["all"].Members, count)
		})
	}
}

func TestReadRangesThatEndEarly(t *testing.T) {
	var members []string
	for number := range 4000 {
		members = append(members, adPerson(number).dn)
	}
	tests := map[string]struct {
		answer func(q *fakeSearch)
		kind   error
	}{
		"an error": {func(q *fakeSearch) { q.done(ldap.LDAPResultBusy, "busy") }, source.ErrUnavailable},
		"no values": {func(q *fakeSearch) {
			q.entry(fakeEntry{dn: q.base})
			q.done(ldap.LDAPResultSuccess, "")
		}, source.ErrIncomplete},
		"no entry": {func(q *fakeSearch) { q.done(ldap.LDAPResultNoSuchObject, "") }, source.ErrIncomplete},
		"a changed entry": {func(q *fakeSearch) {
			q.entry(fakeEntry{dn: q.base, attributes: map[string][]string{
				"member;range=3000-*": members[3000:], "uSNChanged": {"8"},
			}})
			q.done(ldap.LDAPResultSuccess, "")
		}, source.ErrIncomplete},
		"the range before": {func(q *fakeSearch) {
			q.entry(fakeEntry{dn: q.base, attributes: map[string][]string{
				"member;range=1500-2999": members[1500:3000], "uSNChanged": {"7"},
			}})
			q.done(ldap.LDAPResultSuccess, "")
		}, source.ErrMalformed},
		"fewer values than said": {func(q *fakeSearch) {
			q.entry(fakeEntry{dn: q.base, attributes: map[string][]string{
				"member;range=3000-3999": members[3000:3500], "uSNChanged": {"7"},
			}})
			q.done(ldap.LDAPResultSuccess, "")
		}, source.ErrMalformed},
		"a hang-up": {func(q *fakeSearch) { _ = q.conn.Close() }, source.ErrUnavailable},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			fake := newFake(t, adPerson(0), adGroup("all", 1, members...))
			fake.values = 1500
			fake.search = func(_ int, q *fakeSearch) bool {
				last := slices.Contains(q.attributes, "member;range=3000-*")
				if last {
					test.answer(q)
				}
				return last
			}
			_, err := read(t, fake.options(true))
			require.ErrorIs(t, err, test.kind)
		})
	}
}

// TestReadDistrusts: whatever makes an answer shorter than the truth is an error.
func TestReadDistrusts(t *testing.T) {
	paging := func(cookie string) ldap.Control { return &ldap.ControlPaging{Cookie: []byte(cookie)} }
	tests := map[string]struct {
		change func(*fakeServer, *Options)
		kind   error
	}{
		"a size limit": {func(s *fakeServer, _ *Options) { s.limit = 5 }, source.ErrIncomplete},
		"no paging":    {func(s *fakeServer, _ *Options) { s.unpaged = true }, source.ErrIncomplete},
		"a hang-up in the middle of a page": {func(s *fakeServer, _ *Options) {
			s.search = func(number int, q *fakeSearch) bool {
				if number == 1 {
					q.entry(person(500))
					_ = q.conn.Close()
				}
				return number == 1
			}
		}, source.ErrUnavailable},
		"an answer that does not come": {func(s *fakeServer, o *Options) {
			o.Timeout = 20 * time.Millisecond
			s.search = func(number int, _ *fakeSearch) bool { return number == 1 }
		}, source.ErrUnavailable},
		"the first page again": {func(s *fakeServer, _ *Options) {
			s.search = func(_ int, q *fakeSearch) bool {
				for number := range 10 {
					q.entry(person(number))
				}
				q.done(ldap.LDAPResultSuccess, "", paging("again"))
				return true
			}
		}, source.ErrMalformed},
		"an empty page again": {func(s *fakeServer, _ *Options) {
			s.search = func(_ int, q *fakeSearch) bool {
				q.done(ldap.LDAPResultSuccess, "", paging("again"))
				return true
			}
		}, source.ErrMalformed},
		"more than a page": {func(s *fakeServer, _ *Options) {
			s.search = func(_ int, q *fakeSearch) bool {
				for number := range 11 {
					q.entry(person(number))
				}
				q.done(ldap.LDAPResultSuccess, "", paging(""))
				return true
			}
		}, source.ErrMalformed},
		"a key twice": {func(s *fakeServer, _ *Options) {
			again := person(3)
			again.dn = "uid=p3,ou=leavers,dc=acme"
			s.entries = append(s.entries, again)
		}, source.ErrMalformed},
		"no key": {func(s *fakeServer, _ *Options) { delete(s.entries[3].attributes, "entryUUID") },
			source.ErrForbidden},
		"an empty key": {func(s *fakeServer, _ *Options) { s.entries[3].attributes["entryUUID"] = []string{""} },
			source.ErrMalformed},
		"two keys": {func(s *fakeServer, _ *Options) { s.entries[3].attributes["entryUUID"] = []string{"a", "b"} },
			source.ErrMalformed},
		"a long key": {func(s *fakeServer, _ *Options) {
			s.entries[3].attributes["entryUUID"] = []string{strings.Repeat("a", source.MaxKey+1)}
		}, source.ErrMalformed},
		"a long attribute": {func(s *fakeServer, _ *Options) {
			s.entries[3].attributes["description"] = []string{strings.Repeat("a", source.MaxAttribute)}
		}, source.ErrMalformed},
		"a reference to another server": {func(s *fakeServer, _ *Options) {
			s.search = func(_ int, q *fakeSearch) bool {
				q.reference("ldap://child.acme.example/DC=child,DC=acme??sub")
				q.done(ldap.LDAPResultSuccess, "", paging(""))
				return true
			}
		}, source.ErrIncomplete},
		"a wrong password": {func(s *fakeServer, _ *Options) { s.password = "other" }, source.ErrUnauthorized},
		"no such base": {func(s *fakeServer, _ *Options) {
			s.search = func(_ int, q *fakeSearch) bool { q.done(ldap.LDAPResultNoSuchObject, ""); return true }
		}, source.ErrInvalid},
		"no right": {func(s *fakeServer, _ *Options) {
			s.search = func(_ int, q *fakeSearch) bool {
				q.done(ldap.LDAPResultInsufficientAccessRights, "")
				return true
			}
		}, source.ErrForbidden},
		"a referral as the answer": {func(s *fakeServer, _ *Options) {
			s.search = func(_ int, q *fakeSearch) bool { q.done(ldap.LDAPResultReferral, ""); return true }
		}, source.ErrIncomplete},
		"what is no LDAP": {func(s *fakeServer, o *Options) {
			o.Timeout = 50 * time.Millisecond
			s.search = func(_ int, q *fakeSearch) bool {
				_, _ = q.conn.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
				return true
			}
		}, source.ErrUnavailable},
		"a search that ends without a code": {func(s *fakeServer, _ *Options) {
			s.search = func(_ int, q *fakeSearch) bool {
				send(q.conn, q.id, ber.Encode(ber.ClassApplication, ber.TypeConstructed,
					ldap.ApplicationSearchResultDone, nil, ""))
				return true
			}
		}, source.ErrMalformed},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			fake := newFake(t, people(25)...)
			options := fake.options(false)
			options.PageSize = 10
			test.change(fake, &options)
			_, err := read(t, options)
			require.ErrorIs(t, err, test.kind)
			require.NotContains(t, err.Error(), "secret")
		})
	}
}

// TestReadWithOneCookie: 389 Directory Server numbers searches, and sends that number with each page.
func TestReadWithOneCookie(t *testing.T) {
	fake := newFake(t)
	fake.search = func(number int, q *fakeSearch) bool {
		if number > 2 {
			return false
		}
		q.entry(person(number))
		cookie := map[bool]string{true: "0"}[number < 2]
		q.done(ldap.LDAPResultSuccess, "", &ldap.ControlPaging{Cookie: []byte(cookie)})
		return true
	}
	require.Len(t, readAll(t, fake.options(false)).people, 3)
}

// TestReadReferences: Active Directory refers to its own partitions from the root of a domain.
func TestReadReferences(t *testing.T) {
	fake := newFake(t, adPerson(1))
	fake.search = func(_ int, q *fakeSearch) bool {
		q.reference("ldap://ForestDnsZones.acme/DC=ForestDnsZones,DC=acme")
		q.reference("ldap://DomainDnsZones.acme/DC=DomainDnsZones,DC=acme")
		q.reference("ldap://acme/CN=Configuration,DC=acme")
		q.reference("ldap://child.acme/dc=Child,DC=acme??sub")
		return false
	}
	options := fake.options(true)
	_, err := read(t, options)
	require.ErrorIs(t, err, source.ErrIncomplete)
	require.ErrorContains(t, err, "Child")
	options.Elsewhere = []string{"DC=child, DC=acme"}
	require.Len(t, readAll(t, options).people, 1)
}

func TestReadEndsWithItsContext(t *testing.T) {
	for _, at := range []int{0, 1, 2} {
		fake := newFake(t, people(25)...)
		ctx, cancel := context.WithCancel(t.Context())
		fake.search = func(number int, q *fakeSearch) bool {
			if number == at {
				q.entry(person(500))
				cancel()
			}
			return number == at
		}
		options := fake.options(false)
		options.PageSize = 10
		r, err := New(options)
		require.NoError(t, err)
		proof, err := r.Read(ctx, func(source.Page) error { return nil })
		require.ErrorIs(t, err, context.Canceled)
		require.Empty(t, proof)
	}
	fake := newFake(t, people(25)...)
	ctx, cancel := context.WithCancel(t.Context())
	options := fake.options(false)
	options.PageSize = 10
	r, err := New(options)
	require.NoError(t, err)
	pages := 0
	_, err = r.Read(ctx, func(source.Page) error {
		if pages++; pages == 1 {
			cancel() // at the last page
		}
		return nil
	})
	require.ErrorIs(t, err, context.Canceled)
}

func TestReadReturnsThePagesError(t *testing.T) {
	fake := newFake(t, people(1201)...)
	r, err := New(fake.options(false))
	require.NoError(t, err)
	full := errors.New("full")
	_, err = r.Read(t.Context(), func(source.Page) error { return full })
	require.Equal(t, full, err)
}

// TestReadEnabled: in Active Directory, a bit of userAccountControl says whether an account is disabled.
func TestReadEnabled(t *testing.T) {
	disabled, dollar := adPerson(2), adPerson(3)
	disabled.attributes["userAccountControl"] = []string{"66050"}
	dollar.attributes["userAccountControl"] = []string{"66048"}
	fake := newFake(t, adPerson(1), disabled, dollar)
	s := readAll(t, fake.options(true))
	enabled := func(number int) bool {
		key, err := guidText([]byte(guidOf(number)))
		require.NoError(t, err)
		return *s.people[key].Enabled
	}
	require.True(t, enabled(1))
	require.False(t, enabled(2))
	require.True(t, enabled(3))

	for _, values := range [][]string{nil, {""}, {"disabled"}, {"512", "514"}} {
		fake.entries[0].attributes["userAccountControl"] = values
		_, err := read(t, fake.options(true))
		require.ErrorIs(t, err, source.ErrMalformed, values)
	}
}

func TestReadProofNotesWhoReads(t *testing.T) {
	fake := newFake(t, append(people(3), adPerson(4))...)
	as := readAll(t, fake.options(false)).proof.As
	require.Equal(t, as, readAll(t, fake.options(false)).proof.As)

	fake.whoami = "dn:cn=weaker"
	require.NotEqual(t, as, readAll(t, fake.options(false)).proof.As)
	fake.whoami = ""
	narrower := fake.options(false)
	narrower.People.Filter = "(uid=p1)"
	require.NotEqual(t, as, readAll(t, narrower).proof.As)
	fake.mute = true
	require.NotEqual(t, as, readAll(t, fake.options(false)).proof.As)

	as = readAll(t, fake.options(true)).proof.As
	fake.tokens = []string{"group"}
	require.NotEqual(t, as, readAll(t, fake.options(true)).proof.As)
}

func TestReadRefusesToBeAnonymous(t *testing.T) {
	fake := newFake(t, people(3)...)
	options := fake.options(false)
	options.Password = func(context.Context) (string, error) { return "", nil }
	_, err := read(t, options)
	require.ErrorIs(t, err, source.ErrInvalid)

	locked := errors.New("the safe is locked")
	options.Password = func(context.Context) (string, error) { return "", locked }
	_, err = read(t, options)
	require.ErrorIs(t, err, locked)
}

// TestReadAtALatency prints how long a read of 100,000 people takes at 50 ms a page, against that latency alone.
func TestReadAtALatency(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 100,000 people")
	}
	const count, latency = 100000, 50 * time.Millisecond
	fake := newFake(t, people(count)...)
	var found []fakeEntry
	fake.search = func(_ int, q *fakeSearch) bool {
		if paging := q.controls[ldap.ControlTypePaging].(*ldap.ControlPaging); len(paging.Cookie) == 0 {
			found = fake.find(q)
		}
		answered, answer := time.After(latency), &heldBack{Conn: q.conn}
		q.conn = answer
		fake.send(q, found)
		<-answered
		_, _ = answer.held.WriteTo(answer.Conn)
		return true
	}
	start := time.Now()
	s := readAll(t, fake.options(false))
	took := time.Since(start)
	require.Len(t, s.people, count)
	require.Equal(t, count/500+1, fake.count())
	t.Logf("%d people in %s: %.2f of the latency of %d pages", count, took,
		took.Seconds()/(latency.Seconds()*float64(fake.count())), fake.count())
}

// heldBack is a connection whose writer decides when the whole answer leaves.
type heldBack struct {
	net.Conn
	held bytes.Buffer
}

func (h *heldBack) Write(some []byte) (int, error) { return h.held.Write(some) }

func TestExplainBinds(t *testing.T) {
	c := &conn{}
	err := c.explain(t.Context(), "binding", ldap.NewError(ldap.LDAPResultInvalidCredentials, errors.New(
		"80090308: LdapErr: DSID-0C090447, comment: AcceptSecurityContext error, data 533, v4563")))
	require.ErrorIs(t, err, source.ErrUnauthorized)
	require.ErrorContains(t, err, "the account is disabled")
	require.ErrorIs(t, c.explain(t.Context(), "binding", &ldap.Error{ResultCode: 80}), source.ErrUnavailable)
}

func TestAnswersAreBounded(t *testing.T) {
	ours, theirs := net.Pipe()
	go func() { _, _ = theirs.Write(make([]byte, 100)) }()
	c := &conn{}
	counted := &countedConn{Conn: ours, flood: &c.flood}
	counted.left.Store(99)
	_, err := counted.Read(make([]byte, 200))
	require.ErrorIs(t, err, errFlood)
	require.ErrorIs(t, c.explain(t.Context(), "reading", err), source.ErrMalformed)
}

func TestConnectToNobody(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	_, err = read(t, Options{URL: "ldap://" + listener.Addr().String(), Base: "dc=acme"})
	require.ErrorIs(t, err, source.ErrUnavailable)
}

// TestAnswersThatClaimToBeLarge: room for an answer is made as it comes, even of a server before TLS, which could be
// anybody's.
func TestAnswersThatClaimToBeLarge(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = conn.Read(make([]byte, 100))
		_, _ = conn.Write([]byte("\x30\x84\x7f\xff\xff\xf0\x04\x84\x7f\xff\xff\x00"))
		_, _ = conn.Read(make([]byte, 100)) // until the reader gives up
	}()
	_, err = read(t, Options{URL: "ldap://" + listener.Addr().String(), StartTLS: true, Base: "dc=acme"})
	require.ErrorContains(t, err, "greater than maximum")
}

func TestReadOfEmptyPagesEnds(t *testing.T) {
	fake := newFake(t)
	fake.search = func(number int, q *fakeSearch) bool {
		q.done(ldap.LDAPResultSuccess, "", &ldap.ControlPaging{Cookie: fmt.Append(nil, number)})
		return true
	}
	_, err := read(t, fake.options(false))
	require.ErrorIs(t, err, source.ErrMalformed)
	require.ErrorContains(t, err, "pages without an entry")
}
