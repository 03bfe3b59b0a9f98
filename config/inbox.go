package config

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Inbox is where identity providers post.
type Inbox struct {
	Addr string      // HOST:PORT, or [ListenOff]
	TLS  *tls.Config // nil: it speaks plain http

	Connections int // at most, at once
}

// Inbox reads the certificate. It is read again whenever its file changes, so that a renewed one needs no restart.
func (w Worker) Inbox() (Inbox, error) {
	inbox := Inbox{Addr: w.InboxAddr, Connections: w.InboxConnections}
	if w.InboxAddr == ListenOff || !hasInboxCert(w.InboxCert) {
		return inbox, nil
	}
	files := &keyPair{cert: w.InboxCert, key: w.InboxKey}
	if _, err := files.get(nil); err != nil {
		return Inbox{}, fmt.Errorf("CASTELLAN_INBOX_CERT, CASTELLAN_INBOX_KEY: %w", err)
	}
	inbox.TLS = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: files.get}
	return inbox, nil
}

func hasInboxCert(path string) bool { return path != "" && path != ListenOff }

func (w Worker) rejectsInbox(variable string) bool {
	switch variable {
	case "CASTELLAN_INBOX_ADDR":
		return w.InboxAddr != ListenOff && !isHostPort(w.InboxAddr)
	case "CASTELLAN_INBOX_CERT":
		if hasInboxCert(w.InboxCert) {
			return !filepath.IsAbs(w.InboxCert)
		}
		host, _, _ := net.SplitHostPort(w.InboxAddr)
		return w.InboxAddr != ListenOff && w.InboxCert == "" && !isLoopback(host)
	case "CASTELLAN_INBOX_KEY":
		return hasInboxCert(w.InboxCert) != filepath.IsAbs(w.InboxKey)
	case "CASTELLAN_INBOX_CONNECTIONS":
		return w.InboxConnections < 8 || w.InboxConnections > 10_000
	}
	return false
}

// keyPair is a certificate and its key in files.
type keyPair struct {
	cert, key string

	mu     sync.Mutex
	pair   *tls.Certificate
	loaded [2]time.Time // when the files were changed that it is from
}

// get returns the certificate. Files that cannot be read leave the one before: they may just be being replaced.
func (k *keyPair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var changed [2]time.Time
	for i, path := range []string{k.cert, k.key} {
		if info, err := os.Stat(path); err == nil {
			changed[i] = info.ModTime()
		}
	}
	if k.pair != nil && changed == k.loaded {
		return k.pair, nil
	}
	pair, err := tls.LoadX509KeyPair(k.cert, k.key)
	switch {
	case err == nil:
		k.pair, k.loaded = &pair, changed
	case k.pair == nil:
		return nil, err
	}
	return k.pair, nil
}
