package notify_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"io"
	"net"
	"net/http/httptest"
	netmail "net/mail"
	"net/textproto"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// mailServer is as much of an SMTP server as the tests need. Its options must be set before the first mail.
type mailServer struct {
	address  string
	refuse   map[string]string // from the beginning of a command, such as "RCPT TO:<x@", to the reply in place of 250
	startTLS *tls.Config       // nil: STARTTLS is not offered

	mu    sync.Mutex
	mails []received
}

type received struct {
	from, to  string
	user      string // the authenticated user
	encrypted bool
	raw       string
}

func (r received) message(t *testing.T) *netmail.Message {
	t.Helper()
	m, err := netmail.ReadMessage(strings.NewReader(r.raw))
	require.NoError(t, err)
	return m
}

// startMail listens on a loopback address until the test ends, for implicit TLS if that is given.
func startMail(t *testing.T, implicit *tls.Config) *mailServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &mailServer{address: listener.Addr().String()}
	var sessions sync.WaitGroup
	sessions.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			if implicit != nil {
				conn = tls.Server(conn, implicit)
			}
			sessions.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		sessions.Wait()
	})
	return s
}

func (s *mailServer) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	_, encrypted := conn.(*tls.Conn)
	mail := received{encrypted: encrypted}
	text := textproto.NewReader(bufio.NewReader(conn))
	answer := func(line string) { _, _ = io.WriteString(conn, line+"\r\n") }
	answer("220 test")
	for {
		line, err := text.ReadLine()
		if err != nil {
			return
		}
		if refusal := s.refusal(line); refusal != "" {
			answer(refusal)
			continue
		}
		verb, rest, _ := strings.Cut(line, " ")
		switch strings.ToUpper(verb) {
		case "EHLO":
			answer("250-test")
			if s.startTLS != nil && !mail.encrypted {
				answer("250-STARTTLS")
			}
			answer("250 AUTH PLAIN")
		case "STARTTLS":
			answer("220 go on")
			conn = tls.Server(conn, s.startTLS)
			text = textproto.NewReader(bufio.NewReader(conn))
			mail.encrypted = true
		case "AUTH":
			credentials, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(rest, "PLAIN "))
			mail.user = strings.ReplaceAll(string(credentials), "\x00", " ")
			answer("235 welcome")
		case "MAIL":
			mail.from = rest
			answer("250 ok")
		case "RCPT":
			mail.to = strings.Trim(strings.TrimPrefix(rest, "TO:"), "<>")
			answer("250 ok")
		case "DATA":
			answer("354 go on")
			raw, err := io.ReadAll(text.DotReader())
			if err != nil {
				return
			}
			mail.raw = string(raw)
			if refusal := s.refusal("." + mail.raw); refusal != "" {
				answer(refusal)
				continue
			}
			s.mu.Lock()
			s.mails = append(s.mails, mail)
			s.mu.Unlock()
			answer("250 taken")
		case "QUIT":
			answer("221 bye")
			return
		default:
			answer("250 ok")
		}
	}
}

func (s *mailServer) refusal(command string) string {
	for begin, refusal := range s.refuse {
		if strings.HasPrefix(command, begin) {
			return refusal
		}
	}
	return ""
}

func (s *mailServer) received() []received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]received(nil), s.mails...)
}

// certificates returns the TLS configurations of a server and its client: valid for example.com and 127.0.0.1.
func certificates(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	borrowed := httptest.NewTLSServer(nil)
	defer borrowed.Close()
	pool := x509.NewCertPool()
	pool.AddCert(borrowed.Certificate())
	return &tls.Config{Certificates: borrowed.TLS.Certificates}, &tls.Config{RootCAs: pool, ServerName: "example.com"}
}
