package notify

import (
	"context"
	"crypto/tls"
	"net"

	"github.com/wneessen/go-mail"
)

// Tidy is for the property test.
var Tidy = tidy

// Reach lets mail for any host go to one address, and has STARTTLS trust its certificate.
func (s *SMTP) Reach(address string, trusted *tls.Config) {
	s.options = append(s.options, mail.WithTLSConfig(trusted))
	s.dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
}

// ReachTLS is Reach for TLS from the start.
func (s *SMTP) ReachTLS(address string, trusted *tls.Config) {
	s.dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&tls.Dialer{Config: trusted}).DialContext(ctx, network, address)
	}
}
