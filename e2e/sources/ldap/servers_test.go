package ldap_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	client "github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/source"
	"github.com/castellan-io/castellan/source/ldap"
)

// program returns where a program is. Without it, the test is skipped, or fails where servers are required.
func program(t *testing.T, name, install string) string {
	t.Helper()
	for _, folder := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/usr/bin") {
		if path := filepath.Join(folder, name); exec.Command("test", "-x", path).Run() == nil {
			return path
		}
	}
	missing(t, "%s is not installed: apt-get install %s", name, install)
	return ""
}

func missing(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CASTELLAN_REQUIRE_SERVERS") == "1" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// certificate writes a certificate for 127.0.0.1 and its key, and returns the authority for it.
func certificate(t *testing.T, certFile, keyFile string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, IsCA: true,
		BasicConstraintsValid: true, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	require.NoError(t, os.WriteFile(certFile, cert, 0o600))
	secret := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	require.NoError(t, os.WriteFile(keyFile, secret, 0o600))
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(cert))
	return pool
}

// output is what a server says, for when it does not start.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func add(t *testing.T, conn *client.Conn, dn string, attributes map[string][]string) {
	t.Helper()
	request := client.NewAddRequest(dn, nil)
	for name, values := range attributes {
		request.Attribute(name, values)
	}
	require.NoError(t, conn.Add(request), dn)
}

func password(word string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return word, nil }
}

// shown is what one read showed.
type shown struct {
	people map[string]source.Identity // by key
	groups map[string]source.Group    // by name
	proof  source.Proof
}

func read(t *testing.T, o ldap.Options) (shown, error) {
	t.Helper()
	r, err := ldap.New(o)
	require.NoError(t, err)
	s := shown{people: map[string]source.Identity{}, groups: map[string]source.Group{}}
	s.proof, err = r.Read(t.Context(), func(page source.Page) error {
		for _, person := range page.People {
			s.people[person.Key] = person
		}
		for _, group := range page.Groups {
			s.groups[group.Name] = group
		}
		return nil
	})
	if err != nil {
		require.Empty(t, s.proof)
	}
	return s, err
}

func readAll(t *testing.T, o ldap.Options) shown {
	t.Helper()
	s, err := read(t, o)
	require.NoError(t, err)
	require.Len(t, s.people, s.proof.People)
	require.Len(t, s.groups, s.proof.Groups)
	return s
}

// named returns the person of whom an attribute has this value.
func (s shown) named(t *testing.T, attribute, value string) source.Identity {
	t.Helper()
	for _, person := range s.people {
		if person.Attributes[attribute] == value {
			return person
		}
	}
	t.Fatalf("nobody's %s is %s", attribute, value)
	return source.Identity{}
}
