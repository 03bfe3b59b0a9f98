package ldap_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"testing"

	client "github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// forward makes Samba reachable from this network, where a worker is, and returns the address.
func (s *samba) forward(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			go s.pass(from)
		}
	}()
	return listener.Addr().String()
}

// pass connects somebody with Samba, until either hangs up.
func (s *samba) pass(from net.Conn) {
	defer func() { _ = from.Close() }()
	to, err := s.connect(context.Background())
	if err != nil {
		return
	}
	defer func() { _ = to.Close() }()
	go func() {
		_, _ = io.Copy(to, from)
		_ = to.Close()
	}()
	_, _ = io.Copy(from, to)
}

func TestProvisioningFollowsSamba(t *testing.T) {
	t.Parallel()
	s := startSamba(t)
	admin := s.admin(t)
	add(t, admin, "OU=Staff,"+sambaBase, map[string][]string{"objectClass": {"organizationalUnit"}})
	addReader(t, admin)
	const enabled = "544"
	for n := range crewSize {
		addToSamba(t, admin, n, "Staff", enabled)
	}
	dn := func(n int) string { return fmt.Sprintf("CN=Person %d,OU=Staff,%s", n, sambaBase) }
	requireFollowed(t, company{
		source: map[string]any{"base": sambaBase, "bind": "reader@acme.example", "activeDirectory": true,
			"people": map[string]any{"base": "OU=Staff," + sambaBase}},
		address: s.forward(t), password: sambaWord, certificate: filepath.Join(s.dir, "cert"),
		hire: func(n int) { addToSamba(t, s.admin(t), n, "Staff", enabled) },
		disable: func(n int) {
			request := client.NewModifyRequest(dn(n), nil)
			request.Replace("userAccountControl", []string{"546"})
			require.NoError(t, s.admin(t).Modify(request))
		},
		remove: func(n int) { require.NoError(t, s.admin(t).Del(client.NewDelRequest(dn(n), nil))) },
		kill:   s.kill, start: func() { s.start(t) },
	})
}
