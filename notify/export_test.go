package notify

import (
	"context"
	"crypto/tls"
	"net"

	"github.com/wneessen/go-mail"
)

// Tidy is for the property test.
var Tidy = tidy

// Reach delivers all mail to one address, and trusts its certificate for STARTTLS.
func (s *SMTP) Reach(address string, trusted *tls.Config) {
	s.options = append(s.options, mail.WithTLSConfig(trusted))
	s.dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
}

// ReachTLS is Reach for implicit TLS.
func (s *SMTP) ReachTLS(address string, trusted *tls.Config) {
	s.dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&tls.Dialer{Config: trusted}).DialContext(ctx, network, address)
	}
}
