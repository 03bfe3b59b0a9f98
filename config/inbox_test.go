package config_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/config"
)

const inboxAddr, inboxCert, inboxKey = "CASTELLAN_INBOX_ADDR", "CASTELLAN_INBOX_CERT", "CASTELLAN_INBOX_KEY"

func TestLoadJudgesInboxSettingsTogether(t *testing.T) {
	type settings map[string]string
	for name, c := range map[string]struct {
		given   settings
		refused []string
	}{
		"off":             {settings{}, nil},
		"with TLS":        {settings{inboxAddr: ":8443", inboxCert: "/etc/tls/cert.pem", inboxKey: "/etc/tls/key.pem"}, nil},
		"behind a proxy":  {settings{inboxAddr: ":8091", inboxCert: "off"}, nil},
		"on this machine": {settings{inboxAddr: "127.0.0.1:8091"}, nil},

		"in the clear":    {settings{inboxAddr: ":8443"}, []string{inboxCert}},
		"no key":          {settings{inboxAddr: ":8443", inboxCert: "/etc/tls/cert.pem"}, []string{inboxKey}},
		"no certificate":  {settings{inboxAddr: "127.0.0.1:8091", inboxKey: "/etc/tls/key.pem"}, []string{inboxKey}},
		"relative paths":  {settings{inboxAddr: ":8443", inboxCert: "cert.pem", inboxKey: "key.pem"}, []string{inboxCert, inboxKey}},
		"not an address":  {settings{inboxAddr: "8443", inboxCert: "off"}, []string{inboxAddr}},
		"too many at all": {settings{"CASTELLAN_INBOX_CONNECTIONS": "1"}, []string{"CASTELLAN_INBOX_CONNECTIONS"}},
	} {
		t.Run(name, func(t *testing.T) {
			clearVariables(t)
			for variable, value := range c.given {
				t.Setenv(variable, value)
			}
			_, err := config.Load[config.Worker]()
			if len(c.refused) == 0 {
				require.NoError(t, err)
				return
			}
			for _, variable := range []string{inboxAddr, inboxCert, inboxKey, "CASTELLAN_INBOX_CONNECTIONS"} {
				if has := variable + " cannot be used"; slices.Contains(c.refused, variable) {
					require.ErrorContains(t, err, has)
				} else {
					require.NotContains(t, err.Error(), has)
				}
			}
		})
	}
}

// writeKeyPair writes a certificate with a serial number, and its key.
func writeKeyPair(t *testing.T, dir string, serial int64, at time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: certificate},
		"key.pem": {Type: "PRIVATE KEY", Bytes: private}} {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(block), 0o600))
		require.NoError(t, os.Chtimes(path, at, at))
	}
}

// TestInboxFollowsARenewedCertificate: without a restart, and whatever stands in the files meanwhile.
func TestInboxFollowsARenewedCertificate(t *testing.T) {
	dir := t.TempDir()
	w := config.Worker{InboxAddr: ":8443", InboxCert: filepath.Join(dir, "cert.pem"), InboxKey: filepath.Join(dir, "key.pem")}
	_, err := w.Inbox()
	require.ErrorContains(t, err, "CASTELLAN_INBOX_CERT")
	now := time.Now()
	writeKeyPair(t, dir, 1, now)
	inbox, err := w.Inbox()
	require.NoError(t, err)
	serial := func() int64 {
		pair, err := inbox.TLS.GetCertificate(&tls.ClientHelloInfo{})
		require.NoError(t, err)
		certificate, err := x509.ParseCertificate(pair.Certificate[0])
		require.NoError(t, err)
		return certificate.SerialNumber.Int64()
	}
	require.EqualValues(t, 1, serial())
	require.NoError(t, os.WriteFile(w.InboxCert, []byte("half"), 0o600))
	require.EqualValues(t, 1, serial())
	writeKeyPair(t, dir, 2, now.Add(time.Second))
	require.EqualValues(t, 2, serial())
}
