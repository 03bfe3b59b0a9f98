package ldap

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"github.com/castellan-io/castellan/source"
)

const maxAnswer = 256 << 20 // bytes of one answer

// The library would make room for whatever size a server claims, even before TLS.
func init() { ber.MaxPacketLengthBytes = maxAnswer }

// conn is a connection that is bound as the account. It ends with the context it was made with.
type conn struct {
	ldap    *ldap.Conn
	raw     *countedConn
	at      address
	timeout time.Duration
	whoami  string // what the server calls the account; empty if it does not tell
	stop    func() bool
	late    atomic.Bool // an answer took too long
	flood   atomic.Bool // an answer was too large
}

// countedConn ends an answer that is too large.
type countedConn struct {
	net.Conn
	left  atomic.Int64
	flood *atomic.Bool
}

var errFlood = errors.New("the answer is too large")

func (c *countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.left.Add(int64(-n)) < 0 {
		c.flood.Store(true)
		return 0, errFlood
	}
	return n, err
}

// connect dials, secures the connection and binds. Nothing but the request for TLS is sent in the clear, unless the
// options allow it.
func (r *Reader) connect(ctx context.Context) (*conn, error) {
	c := &conn{at: r.at, timeout: r.o.Timeout}
	dialing, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	dial := r.o.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	raw, err := dial(dialing, "tcp", c.at.String())
	if err != nil {
		if ctx.Err() == nil {
			return nil, c.fail(source.ErrUnavailable, "it cannot be reached: %v", err)
		}
		return nil, c.explain(ctx, "dialing", err)
	}
	c.raw = &countedConn{Conn: raw, flood: &c.flood}
	c.raw.left.Store(maxAnswer)
	c.stop = context.AfterFunc(ctx, func() { _ = raw.Close() })
	if err := r.secure(ctx, dialing, c); err != nil {
		c.close()
		return nil, err
	}
	err = r.bind(ctx, c)
	if err == nil {
		err = r.askWhoWeAre(ctx, c)
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// secure starts TLS, if it is asked for, and LDAP on top of it.
func (r *Reader) secure(ctx, dialing context.Context, c *conn) error {
	if !c.at.tls && !r.o.StartTLS {
		c.start(c.raw, false)
		return nil
	}
	if r.o.StartTLS {
		if err := c.do(c.askForTLS); err != nil {
			return c.explain(ctx, "asking for TLS", err)
		}
	}
	secured := tls.Client(c.raw, &tls.Config{
		ServerName: c.at.host, RootCAs: r.o.RootCAs, MinVersion: tls.VersionTLS12,
	})
	if err := secured.HandshakeContext(dialing); err != nil {
		return c.explainTLS(ctx, err)
	}
	c.start(secured, true)
	return nil
}

// askForTLS makes the request of RFC 4511, 4.14. The library's own gives no reason if the handshake fails afterwards.
func (c *conn) askForTLS() error {
	const startTLS = "1.3.6.1.4.1.1466.20037"
	request := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationExtendedRequest, nil, "")
	request.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 0, startTLS, ""))
	message := ber.NewSequence("")
	message.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, 1, ""))
	message.AppendChild(request)
	if _, err := c.raw.Write(message.Bytes()); err != nil {
		return err
	}
	answer, err := ber.ReadPacket(c.raw) // reads no byte beyond the answer
	if err != nil {
		return err
	}
	return ldap.GetLDAPError(answer)
}

func (c *conn) start(over net.Conn, secured bool) {
	c.ldap = ldap.NewConn(over, secured)
	c.ldap.Start()
}

// bind says who we are.
func (r *Reader) bind(ctx context.Context, c *conn) error {
	if r.o.BindDN == "" {
		return nil
	}
	password, err := r.o.Password(ctx)
	if err != nil {
		return err
	}
	if password == "" {
		// A server takes it for an anonymous bind, which succeeds.
		return c.fail(source.ErrInvalid, "the password of %q is empty", r.o.BindDN)
	}
	err = c.do(func() error { return c.ldap.Bind(r.o.BindDN, password) })
	if hasCode(err, ldap.LDAPResultUnwillingToPerform, ldap.LDAPResultNoSuchObject, ldap.LDAPResultInvalidDNSyntax) {
		return c.fail(source.ErrUnauthorized, "binding as %q: %.300q", r.o.BindDN, err.Error())
	}
	if err != nil {
		return c.explain(ctx, "binding as "+r.o.BindDN, err)
	}
	return nil
}

// askWhoWeAre asks the server whom it takes us for. Active Directory also says in which groups the account is, which
// decide what it may see; Samba says that alone.
func (r *Reader) askWhoWeAre(ctx context.Context, c *conn) error {
	var answer *ldap.WhoAmIResult
	err := c.do(func() (err error) { answer, err = c.ldap.WhoAmI(nil); return err })
	switch {
	case hasCode(err, ldap.LDAPResultProtocolError, ldap.LDAPResultUnwillingToPerform,
		ldap.LDAPResultInsufficientAccessRights, ldap.LDAPResultUnavailableCriticalExtension):
		// The server does not tell.
	case err != nil:
		return c.explain(ctx, "asking who we are", err)
	case answer.AuthzID == "" && r.o.BindDN != "":
		return c.fail(source.ErrUnauthorized, "bound as %q, the server takes us for anonymous", r.o.BindDN)
	default:
		c.whoami = answer.AuthzID
	}
	if !r.o.ActiveDirectory {
		return nil
	}
	root, err := c.entry(ctx, "asking which groups we are in", "", []string{attrTokenGroups})
	if err != nil || root == nil {
		return err
	}
	groups := valuesOf(root, attrTokenGroups)
	slices.SortFunc(groups, bytes.Compare)
	c.whoami += fmt.Sprintf(" %x", groups)
	return nil
}

// attrTokenGroups is, of the root, the identifiers of the account and of all groups that it is in.
const attrTokenGroups = "tokenGroups"

// do makes one request. If it takes too long, the connection ends.
func (c *conn) do(request func() error) error {
	c.raw.left.Store(maxAnswer)
	timer := time.AfterFunc(c.timeout, func() {
		c.late.Store(true)
		_ = c.raw.Close()
	})
	defer timer.Stop()
	return request()
}

// search makes one search. Its result is complete only without an error.
func (c *conn) search(ctx context.Context, what string, request *ldap.SearchRequest) (*ldap.SearchResult, error) {
	result, err := c.searchOrCode(ctx, what, request)
	if err != nil {
		return nil, c.explain(ctx, what, err)
	}
	return result, nil
}

// searchOrCode is search with the library's error.
func (c *conn) searchOrCode(
	ctx context.Context, what string, request *ldap.SearchRequest,
) (*ldap.SearchResult, error) {
	var result *ldap.SearchResult
	err := c.do(func() (err error) { result, err = c.ldap.Search(request); return err })
	if err == nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	if err == nil && result == nil {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	return result, nil
}

func (c *conn) close() {
	c.stop()
	_ = c.raw.Close()
	if c.ldap != nil {
		_ = c.ldap.Close()
	}
}
