package ldap_test

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	client "github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/source"
	"github.com/castellan-io/castellan/source/ldap"
)

const (
	manyPeople = 10000
	manyGroups = 200
	perGroup   = 50
)

// slapd is a running OpenLDAP.
type slapd struct {
	plain, secure string // addresses
	roots         *x509.CertPool
	program, dir  string
	process       *os.Process
	ended         chan error
}

const slapdConfig = `
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
moduleload syncprov
moduleload ppolicy
pidfile DIR/pid
TLSCACertificateFile DIR/cert
TLSCertificateFile DIR/cert
TLSCertificateKeyFile DIR/key
sizelimit 500
database mdb
suffix "dc=acme"
rootdn "cn=admin,dc=acme"
rootpw secret
directory DIR/db
maxsize 1073741824
dbnosync
index objectClass,entryUUID,entryCSN eq
overlay memberof
overlay syncprov
overlay ppolicy
limits dn.exact="cn=reader,dc=acme" size.soft=500 size.hard=500 size.pr=unlimited size.prtotal=unlimited
limits dn.exact="cn=limited,dc=acme" size.soft=500 size.hard=500 size.pr=unlimited size.prtotal=500
access to attrs=userPassword by anonymous auth by * none
access to dn.subtree="ou=leavers,dc=acme" by dn.exact="cn=weak,dc=acme" none by * read
access to * by * read
`

// startSlapd runs slapd with what seed writes, on free ports.
func startSlapd(t *testing.T, seed string) *slapd {
	t.Helper()
	server, add := program(t, "slapd", "slapd"), program(t, "slapadd", "slapd")
	dir := t.TempDir()
	s := &slapd{roots: certificate(t, filepath.Join(dir, "cert"), filepath.Join(dir, "key")), program: server, dir: dir}
	config := filepath.Join(dir, "slapd.conf")
	require.NoError(t, os.WriteFile(config, []byte(strings.ReplaceAll(slapdConfig, "DIR", dir)), 0o600))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "db"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "seed.ldif"), []byte(seed), 0o600))
	out, err := exec.Command(add, "-q", "-f", config, "-l", filepath.Join(dir, "seed.ldif")).CombinedOutput()
	require.NoError(t, err, "%s", out)

	s.plain, s.secure = freeAddress(t), freeAddress(t)
	t.Cleanup(s.kill)
	s.start(t)
	return s
}

// kill ends the server at once.
func (s *slapd) kill() {
	if s.ended != nil {
		_ = s.process.Kill()
		<-s.ended
		s.ended = nil
	}
}

// start starts the server with what is on its disk.
func (s *slapd) start(t *testing.T) {
	t.Helper()
	said := &output{}
	command := exec.Command(s.program, "-f", filepath.Join(s.dir, "slapd.conf"), "-h",
		"ldap://"+s.plain+" ldaps://"+s.secure, "-d", "0")
	command.Stdout, command.Stderr = said, said
	require.NoError(t, command.Start())
	ended := make(chan error, 1)
	s.process, s.ended = command.Process, ended
	go func() { ended <- command.Wait() }()
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", s.plain)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}, time.Minute, 10*time.Millisecond, "slapd does not start: %s", said)
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// options read as an account that may see everything, page by page.
func (s *slapd) options() ldap.Options {
	return ldap.Options{
		URL: "ldap://" + s.plain, BindDN: "cn=reader,dc=acme", Password: password("secret"), Base: "dc=acme",
		People: ldap.People{Base: "ou=people,dc=acme"},
	}
}

// admin connects as somebody who may write.
func (s *slapd) admin(t *testing.T) *client.Conn {
	t.Helper()
	conn, err := client.DialURL("ldap://" + s.plain)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.Bind("cn=admin,dc=acme", "secret"))
	return conn
}

// seed is a directory of people in groups of fifty, whose members are written in another case, and a chain of nested
// groups that ends in a cycle.
func seed(people, groups int) string {
	var b strings.Builder
	add := func(dn string, lines ...string) { fmt.Fprintf(&b, "dn: %s\n%s\n\n", dn, strings.Join(lines, "\n")) }
	add("dc=acme", "objectClass: dcObject", "objectClass: organization", "o: Acme")
	for _, unit := range []string{"people", "leavers", "groups"} {
		add("ou="+unit+",dc=acme", "objectClass: organizationalUnit")
	}
	for _, account := range []string{"reader", "limited", "weak"} {
		add("cn="+account+",dc=acme", "objectClass: organizationalRole", "objectClass: simpleSecurityObject",
			"userPassword: secret")
	}
	person := func(number int, under string, more ...string) {
		add(fmt.Sprintf("uid=p%d,ou=%s,dc=acme", number, under), append([]string{
			"objectClass: inetOrgPerson", fmt.Sprintf("cn: Person %d", number), "sn: Person", "userPassword: hunter2",
			fmt.Sprintf("mail: p%d@acme.example", number), fmt.Sprintf("mail: person%d@acme.example", number),
			"jpegPhoto:: /9j/4AAQSkZJRgABAQAAAQABAAD/", "title: Engineer", "departmentNumber: 7",
		}, more...)...)
	}
	for number := range people {
		person(number, "people")
	}
	person(900001, "leavers")
	person(900002, "people", "pwdAccountLockedTime: 000001010000Z")
	person(900003, "people", "pwdAccountLockedTime: 20261101000000Z")
	for number := range groups {
		lines := []string{"objectClass: groupOfNames"}
		for member := range perGroup {
			lines = append(lines, fmt.Sprintf("member: UID=P%d, ou=People,dc=ACME", (number*perGroup+member)%people))
		}
		add(fmt.Sprintf("cn=team-%d,ou=groups,dc=acme", number), lines...)
	}
	for level := range 5 {
		add(fmt.Sprintf("cn=level%d,ou=groups,dc=acme", level), "objectClass: groupOfNames",
			fmt.Sprintf("member: uid=p%d,ou=people,dc=acme", level),
			fmt.Sprintf("member: cn=level%d,ou=groups,dc=acme", (level+1)%5))
	}
	add("cn=mixed,ou=groups,dc=acme", "objectClass: groupOfNames", "member: uid=p1,ou=people,dc=acme",
		"member: uid=p900001,ou=leavers,dc=acme", "member: uid=deleted,ou=people,dc=acme", "member: cn=reader,dc=acme",
		"member: uid=p900002,ou=people,dc=acme")
	return b.String()
}

func TestSlapdLargeDirectory(t *testing.T) {
	s := startSlapd(t, seed(manyPeople, manyGroups))
	options := s.options()
	options.Groups.Nested = true
	readAll(t, options) // warms the server
	start, used := time.Now(), processorTime(t)
	got := readAll(t, options)
	t.Logf("%d people, %d groups, %d memberships in %s, of which %s were ours", got.proof.People, got.proof.Groups,
		got.proof.Memberships, time.Since(start), processorTime(t)-used)
	require.Len(t, got.people, manyPeople+2)
	require.Len(t, got.groups, manyGroups+6)
	require.Len(t, got.groups["team-7"].Members, perGroup)
	for level := range 5 {
		require.Len(t, got.groups[fmt.Sprintf("level%d", level)].Members, 5)
	}
	p7 := got.named(t, "cn", "Person 7")
	require.Contains(t, got.groups["team-0"].Members, p7.Key)
	require.Equal(t, map[string]any{
		"objectClass": "inetOrgPerson", "cn": "Person 7", "sn": "Person", "title": "Engineer", "uid": "p7",
		"departmentNumber": "7", "entryUUID": p7.Key, "mail": []any{"p7@acme.example", "person7@acme.example"},
	}, p7.Attributes, "neither photo nor password")
	require.Nil(t, p7.Enabled)

	t.Run("a limit on all pages together", func(t *testing.T) {
		options := s.options()
		options.BindDN = "cn=limited,dc=acme"
		_, err := read(t, options)
		require.ErrorIs(t, err, source.ErrIncomplete)
	})
	t.Run("the end of its context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		r, err := ldap.New(s.options())
		require.NoError(t, err)
		proof, err := r.Read(ctx, func(source.Page) error { cancel(); return nil })
		require.ErrorIs(t, err, context.Canceled)
		require.Empty(t, proof)
	})
	t.Run("a kill in the middle of a page", func(t *testing.T) {
		options := s.options()
		options.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			if err == nil {
				err = conn.(*net.TCPConn).SetReadBuffer(4096)
			}
			return &killing{Conn: conn, after: 300000, kill: s.process.Kill}, err
		}
		got, err := read(t, options)
		require.ErrorIs(t, err, source.ErrUnavailable)
		require.NotEmpty(t, got.people, "some were shown")
	})
}

// processorTime is how long this process has computed: what is left of time on a machine that others use.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// killing kills the server once so many bytes have come.
type killing struct {
	net.Conn
	after int64
	come  atomic.Int64
	kill  func() error
}

func (k *killing) Read(p []byte) (int, error) {
	n, err := k.Conn.Read(p[:min(len(p), 1024)])
	if come := k.come.Add(int64(n)); come >= k.after && come-int64(n) < k.after {
		_ = k.kill()
	}
	return n, err
}

func TestSlapdSmallDirectory(t *testing.T) {
	s := startSlapd(t, seed(20, 2))
	admin := s.admin(t)

	t.Run("TLS", func(t *testing.T) {
		want := readAll(t, s.options()).people
		started, secure := s.options(), s.options()
		started.StartTLS, started.RootCAs = true, s.roots
		require.Equal(t, want, readAll(t, started).people)
		secure.URL, secure.RootCAs = "ldaps://"+s.secure, s.roots
		require.Equal(t, want, readAll(t, secure).people)

		started.RootCAs, secure.RootCAs = nil, nil
		for _, options := range []ldap.Options{started, secure} {
			options.Password = func(context.Context) (string, error) {
				t.Error("asked for the password")
				return "secret", nil
			}
			_, err := read(t, options)
			require.ErrorIs(t, err, source.ErrInvalid)
			require.ErrorContains(t, err, "certificate")
		}
	})
	t.Run("paging", func(t *testing.T) {
		options := s.options()
		options.PageSize = 7
		require.Len(t, readAll(t, options).people, 22)
	})
	t.Run("members out of scope", func(t *testing.T) {
		got := readAll(t, s.options())
		require.Len(t, got.groups["mixed"].Members, 3, "neither who is deleted nor the role")
		r, err := ldap.New(s.options())
		require.NoError(t, err)
		for _, key := range got.groups["mixed"].Members {
			_, err := r.Lookup(t.Context(), key)
			require.NoError(t, err)
		}
	})
	t.Run("enabled", func(t *testing.T) {
		options := s.options()
		options.Enabled = ldap.Enabled{Attribute: "pwdAccountLockedTime", Disabled: []string{"000001010000Z"}}
		got := readAll(t, options)
		require.True(t, *got.named(t, "uid", "p1").Enabled)
		require.False(t, *got.named(t, "uid", "p900002").Enabled)
		require.True(t, *got.named(t, "uid", "p900003").Enabled)
	})
	t.Run("lookup", func(t *testing.T) {
		got := readAll(t, s.options())
		r, err := ldap.New(s.options())
		require.NoError(t, err)
		p5 := got.named(t, "uid", "p5")
		found, err := r.Lookup(t.Context(), p5.Key)
		require.NoError(t, err)
		require.Equal(t, p5, found)
		require.NoError(t, admin.ModifyDN(client.NewModifyDNRequest("uid=p5,ou=people,dc=acme", "uid=renamed", true,
			"ou=leavers,dc=acme")))
		found, err = r.Lookup(t.Context(), p5.Key)
		require.NoError(t, err, "moved out of the scope")
		require.Equal(t, "renamed", found.Attributes["uid"])
		require.NoError(t, admin.Del(client.NewDelRequest("uid=renamed,ou=leavers,dc=acme", nil)))
		_, err = r.Lookup(t.Context(), p5.Key)
		require.ErrorIs(t, err, source.ErrGone)

		options := s.options()
		options.Base, options.People.Base = "ou=none,dc=acme", ""
		r, err = ldap.New(options)
		require.NoError(t, err)
		_, err = r.Lookup(t.Context(), p5.Key)
		require.ErrorIs(t, err, source.ErrInvalid, "the base is wrong: nobody is gone")
		require.NotErrorIs(t, err, source.ErrGone)
	})
	t.Run("who reads", func(t *testing.T) {
		as := readAll(t, s.options()).proof.As
		require.Equal(t, as, readAll(t, s.options()).proof.As)
		options := s.options()
		options.BindDN = "cn=weak,dc=acme"
		require.NotEqual(t, as, readAll(t, options).proof.As)
		options.Password = password("hunter3")
		_, err := read(t, options)
		require.ErrorIs(t, err, source.ErrUnauthorized)
		require.NotContains(t, err.Error(), "hunter3")
	})
}
